//! Queries carried out: which rows pass, in which order, in pages behind a locator that ages.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::{
    DELETED_DAYS, LOCATOR_MINUTES, LOCATORS_MAX, OFFSET_MAX, PAGE_ROWS_MAX, ids, known, refuse, render,
    soql::{self, Condition, Literal, Operator, Order, Query, Select},
};
use crate::{
    ObjectType, Refusal,
    call::{Answer, Call},
    record::{Life, Record, Version},
    schema::{Kind, Schema},
    stamp,
    turn::Turn,
};

const DAY_MS: u64 = 86_400_000;
const ROWS_MIN: u64 = 200;

/// A value as queries compare it.
#[derive(Debug, Clone, PartialEq)]
enum Scalar {
    Text(String),
    Number(f64),
    Time(i64),
    Flag(bool),
}

pub(super) fn query(turn: &mut Turn<'_>, call: &Call, version: &str, all: bool) -> Result<Answer, Refusal> {
    let text = call.parameter("q").ok_or_else(|| soql::malformed("A query string has to be specified"))?;
    let query = soql::parse(text)?;
    if query.from.eq_ignore_ascii_case("Organization") {
        return Ok(organization(turn));
    }
    let object = known(&query.from).map_err(|_| refuse::no_such_type(&query.from))?;
    let rows = matching(turn, object, &query, all)?;
    let fields = match &query.select {
        Select::Count => return Ok(Answer::json(200, &json!({ "totalSize": rows.len(), "done": true, "records": [] }))),
        Select::Fields(fields) => columns(turn, object, fields)?,
    };
    let page = page_rows(turn, call);
    let (total, verb) = (rows.len(), if all { "queryAll" } else { "query" });
    if total <= page {
        return Ok(answered(turn, object, version, &fields, &rows, total, None));
    }
    let ticket = json!({ "rows": rows, "fields": fields, "from": query.from, "page": page, "verb": verb });
    let max = usize::try_from(turn.number(&LOCATORS_MAX)).unwrap_or(usize::MAX);
    let locator = turn.memory.keep(ticket, turn.now_ms, max);
    let next = format!("/services/data/{version}/{verb}/{}-{page}", shown(locator));
    Ok(answered(turn, object, version, &fields, &rows[..page], total, Some(next)))
}

/// A further page. Rows are looked up again, so that they show what they hold by now.
pub(super) fn more(turn: &mut Turn<'_>, version: &str, locator: &str) -> Result<Answer, Refusal> {
    let invalid = || Refusal::new(400, "INVALID_QUERY_LOCATOR", "invalid query locator");
    let (name, start) = locator.split_once('-').ok_or_else(invalid)?;
    let number = name.strip_prefix("01g").and_then(|hex| u64::from_str_radix(hex, 16).ok()).ok_or_else(invalid)?;
    let start: usize = start.parse().map_err(|_| invalid())?;
    let age_max_ms = i64::try_from(turn.number(&LOCATOR_MINUTES)).unwrap_or(i64::MAX).saturating_mul(60_000);
    let (made_ms, ticket) = turn.memory.find(number).ok_or_else(invalid)?;
    if turn.now_ms - made_ms >= age_max_ms {
        return Err(invalid());
    }
    let ticket = ticket.clone();
    let rows: Vec<u64> = ticket["rows"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    let fields: Vec<String> =
        ticket["fields"].as_array().into_iter().flatten().filter_map(|name| Some(name.as_str()?.to_owned())).collect();
    let object = known(ticket["from"].as_str().unwrap_or_default()).map_err(|_| invalid())?;
    let page = ticket["page"].as_u64().and_then(|page| usize::try_from(page).ok()).unwrap_or(1);
    let end = (start + page).min(rows.len());
    let slice = rows.get(start..end).filter(|slice| !slice.is_empty()).ok_or_else(invalid)?;
    let verb = ticket["verb"].as_str().unwrap_or_default();
    let next = (end < rows.len()).then(|| format!("/services/data/{version}/{verb}/{name}-{end}"));
    Ok(answered(turn, object, version, &fields, slice, rows.len(), next))
}

/// Whether a deleted record can still be seen by those who ask for everything.
pub(super) fn is_kept(turn: &Turn<'_>, version: &Version) -> bool {
    let ends_ms = version.written_ms.saturating_add_unsigned(turn.number(&DELETED_DAYS).saturating_mul(DAY_MS));
    version.life == Life::Active || (version.life != Life::Erased && turn.now_ms < ends_ms)
}

fn organization(turn: &Turn<'_>) -> Answer {
    let row = json!({
        "attributes": { "type": "Organization", "url": "/services/data/v62.0/sobjects/Organization" },
        "Id": super::organization_id(turn),
        "Name": "Practice",
        "IsSandbox": true,
        "InstanceName": "PRACTICE",
        "OrganizationType": "Developer Edition",
        "TimeZoneSidKey": "UTC",
    });
    Answer::json(200, &json!({ "totalSize": 1, "done": true, "records": [row] }))
}

fn shown(locator: u64) -> String {
    format!("01g{locator:012x}")
}

fn answered(
    turn: &Turn<'_>,
    object: ObjectType,
    version: &str,
    fields: &[String],
    rows: &[u64],
    total: usize,
    next: Option<String>,
) -> Answer {
    let table = turn.store.table(object);
    let seen = rows.iter().filter_map(|id| table.find(*id)).filter_map(|record| Some((record, record.committed(turn.now_ms)?)));
    let records: Vec<Value> = seen.map(|(record, seen)| render::row(turn, version, record, seen, fields)).collect();
    let mut body = json!({ "totalSize": total, "done": next.is_none(), "records": records });
    if let Some(next) = next {
        body["nextRecordsUrl"] = json!(next);
    }
    Answer::json(200, &body)
}

/// Asked for in a header, and never more than the CRM likes to give.
fn page_rows(turn: &Turn<'_>, call: &Call) -> usize {
    let max = turn.number(&PAGE_ROWS_MAX).max(1);
    let asked = call.header("sforce-query-options").and_then(|options| options.split("batchSize=").nth(1)?.trim().parse().ok());
    let rows = asked.map_or(max, |asked: u64| asked.max(ROWS_MIN).min(max));
    usize::try_from(rows).unwrap_or(usize::MAX)
}

fn columns(turn: &Turn<'_>, object: ObjectType, asked: &[String]) -> Result<Vec<String>, Refusal> {
    asked.iter().map(|field| column(turn, object, field).map(|(name, _)| name)).collect()
}

/// A field by its name in any letter case.
fn column(turn: &Turn<'_>, object: ObjectType, field: &str) -> Result<(String, Kind), Refusal> {
    let schema: &Schema = &turn.store.table(object).schema;
    let found = schema.all().find(|property| !property.archived && property.name.eq_ignore_ascii_case(field));
    found.map(|property| (property.name.clone(), property.kind)).ok_or_else(|| refuse::no_such_column(object, field))
}

fn matching(turn: &Turn<'_>, object: ObjectType, query: &Query, all: bool) -> Result<Vec<u64>, Refusal> {
    if query.offset > turn.number(&OFFSET_MAX) {
        let text = format!("Maximum SOQL offset allowed is {}", turn.number(&OFFSET_MAX));
        return Err(Refusal::new(400, "NUMBER_OUTSIDE_VALID_RANGE", text));
    }
    let condition = query.condition.as_ref().map(|condition| compiled(turn, object, condition)).transpose()?;
    let order: Vec<(String, &Order)> =
        query.order.iter().map(|order| Ok((column(turn, object, &order.field)?.0, order))).collect::<Result<_, Refusal>>()?;
    let seen = turn.store.table(object).records().filter_map(|record| Some((record, record.committed(turn.now_ms)?)));
    let mut rows: Vec<(Vec<Option<Scalar>>, u64)> = seen
        .filter(|(_, version)| if all { is_kept(turn, version) } else { version.life == Life::Active })
        .filter(|(record, version)| condition.as_ref().is_none_or(|condition| condition.passes(turn, record, version)))
        .map(|(record, version)| (order.iter().map(|(name, _)| read(turn, record, version, name)).collect(), record.id))
        .collect();
    rows.sort_by(|(one, one_id), (two, two_id)| {
        let mut keys = one.iter().zip(two).zip(&order);
        let by_key = keys
            .find_map(|((one, two), (_, order))| Some(placed(one.as_ref(), two.as_ref(), order)).filter(|found| found.is_ne()));
        by_key.unwrap_or(Ordering::Equal).then(one_id.cmp(two_id))
    });
    let start = usize::try_from(query.offset).unwrap_or(usize::MAX);
    let limit = query.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    Ok(rows.into_iter().map(|(_, id)| id).skip(start).take(limit).collect())
}

fn placed(one: Option<&Scalar>, two: Option<&Scalar>, order: &Order) -> Ordering {
    match (one, two) {
        (Some(one), Some(two)) if order.descending => compared(two, one),
        (Some(one), Some(two)) => compared(one, two),
        (None, None) => Ordering::Equal,
        (None, Some(_)) if order.nulls_last => Ordering::Greater,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) if order.nulls_last => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
    }
}

fn compared(one: &Scalar, two: &Scalar) -> Ordering {
    match (one, two) {
        (Scalar::Number(one), Scalar::Number(two)) => one.total_cmp(two),
        (Scalar::Time(one), Scalar::Time(two)) => one.cmp(two),
        (Scalar::Flag(one), Scalar::Flag(two)) => one.cmp(two),
        (Scalar::Text(one), Scalar::Text(two)) => one.cmp(two),
        _ => Ordering::Less,
    }
}

/// A field's value in the form it is compared in. Text in lower case, ids in their short form.
fn read(turn: &Turn<'_>, record: &Record, version: &Version, name: &str) -> Option<Scalar> {
    let property = turn.store.table(record.object).schema.find(name)?;
    let text = render::text(turn, record, version, name)?;
    match property.kind {
        Kind::Number => text.parse().ok().map(Scalar::Number),
        Kind::Boolean => Some(Scalar::Flag(text == "true")),
        Kind::Date | Kind::DateTime => stamp::parse(&text).map(Scalar::Time),
        _ if name == "Id" || name.ends_with("Id") => Some(Scalar::Text(ids::short(&text).to_owned())),
        _ => Some(Scalar::Text(text.to_lowercase())),
    }
}

/// A condition whose literals are of their field's type.
enum Test {
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    Compare(String, Operator, Option<Scalar>),
    In(String, Vec<Option<Scalar>>, bool),
}

impl Test {
    fn passes(&self, turn: &Turn<'_>, record: &Record, version: &Version) -> bool {
        match self {
            Self::All(tests) => tests.iter().all(|test| test.passes(turn, record, version)),
            Self::Any(tests) => tests.iter().any(|test| test.passes(turn, record, version)),
            Self::Not(test) => !test.passes(turn, record, version),
            Self::In(name, wanted, negated) => wanted.contains(&read(turn, record, version, name)) != *negated,
            Self::Compare(name, operator, wanted) => {
                let found = read(turn, record, version, name);
                match (operator, &found, wanted) {
                    (Operator::Equal, ..) => found == *wanted,
                    (Operator::NotEqual, ..) => found != *wanted,
                    (Operator::Like, Some(Scalar::Text(found)), Some(Scalar::Text(pattern))) => like(found, pattern),
                    (_, Some(found), Some(wanted)) => {
                        let order = compared(found, wanted);
                        match operator {
                            Operator::Less => order.is_lt(),
                            Operator::AtMost => order.is_le(),
                            Operator::Greater => order.is_gt(),
                            Operator::AtLeast => order.is_ge(),
                            Operator::Equal | Operator::NotEqual | Operator::Like => false,
                        }
                    }
                    _ => false,
                }
            }
        }
    }
}

fn compiled(turn: &Turn<'_>, object: ObjectType, condition: &Condition) -> Result<Test, Refusal> {
    let each = |conditions: &[Condition]| {
        conditions.iter().map(|condition| compiled(turn, object, condition)).collect::<Result<Vec<_>, _>>()
    };
    Ok(match condition {
        Condition::All(conditions) => Test::All(each(conditions)?),
        Condition::Any(conditions) => Test::Any(each(conditions)?),
        Condition::Not(condition) => Test::Not(Box::new(compiled(turn, object, condition)?)),
        Condition::Compare { field, operator, literal } => {
            let (name, kind) = column(turn, object, field)?;
            let wanted = operand(&name, kind, literal)?;
            Test::Compare(name, *operator, wanted)
        }
        Condition::In { field, literals, negated } => {
            let (name, kind) = column(turn, object, field)?;
            let wanted = literals.iter().map(|literal| operand(&name, kind, literal)).collect::<Result<Vec<_>, _>>()?;
            Test::In(name, wanted, *negated)
        }
    })
}

/// A literal as its field's type. A time in quotes is the mistake everybody makes once.
fn operand(name: &str, kind: Kind, literal: &Literal) -> Result<Option<Scalar>, Refusal> {
    let wrong = |expected: &str, quotes: &str| {
        let text = format!("value of filter criterion for field '{name}' must be of type {expected}{quotes}");
        Refusal::new(400, "INVALID_FIELD", text)
    };
    Ok(Some(match (kind, literal) {
        (_, Literal::Null) => return Ok(None),
        (Kind::Number, Literal::Number(number)) => Scalar::Number(*number),
        (Kind::Number, _) => return Err(wrong("double", " and should not be enclosed in quotes")),
        (Kind::Boolean, Literal::Flag(flag)) => Scalar::Flag(*flag),
        (Kind::Boolean, _) => return Err(wrong("boolean", "")),
        (Kind::DateTime, Literal::Time(text)) if text.contains('T') => {
            Scalar::Time(stamp::parse(text).ok_or_else(|| soql::malformed(&format!("unexpected token: '{text}'")))?)
        }
        (Kind::DateTime, _) => return Err(wrong("dateTime", " and should not be enclosed in quotes")),
        (Kind::Date, Literal::Time(text)) if !text.contains('T') => {
            Scalar::Time(stamp::parse(text).ok_or_else(|| soql::malformed(&format!("unexpected token: '{text}'")))?)
        }
        (Kind::Date, _) => return Err(wrong("date", " and should not be enclosed in quotes")),
        (_, Literal::Text(text)) if name.ends_with("Id") => Scalar::Text(ids::short(text).to_owned()),
        (_, Literal::Text(text)) => Scalar::Text(text.to_lowercase()),
        _ => return Err(wrong("string", " and should be enclosed in quotes")),
    }))
}

/// `%` for any run of characters, `_` for one.
fn like(text: &str, pattern: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('%') => {
            let mut ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.any(|at| like(&text[at..], &pattern[1..]))
        }
        Some(wanted) => text.chars().next().is_some_and(|found| {
            (wanted == '_' || wanted == found) && like(&text[found.len_utf8()..], &pattern[wanted.len_utf8()..])
        }),
    }
}
