//! Lists by filter and order, and the feed of changes: pages behind a next link, and at their end a delta link for the next poll.

use serde_json::{Map, Value, json};

use super::{
    DELTA_DAYS, PAGE_ROWS_MAX, TRACKING_OFF,
    filter::{self, Filter},
    refuse, render, set_name,
};
use crate::{
    ObjectType, Refusal,
    call::{Answer, Call},
    oauth,
    record::{Life, Record, Version},
    schema::Schema,
    turn::Turn,
};

const KEPT_MAX: usize = 1000;
const DAY_MS: i64 = 86_400_000;

pub(super) fn list(turn: &mut Turn<'_>, object: ObjectType, call: &Call) -> Result<Answer, Refusal> {
    if let Some(token) = call.parameter("$skiptoken") {
        return more(turn, object, call, token);
    }
    if call.parameter("$skip").is_some() {
        return Err(refuse::bad("The query parameter $skip is not supported"));
    }
    let schema = &turn.store.table(object).schema;
    let select = call.list("$select");
    if let Some(column) = select.iter().flatten().find(|column| schema.find(column).is_none()) {
        return Err(filter::no_such_column(column));
    }
    if let Some(token) = call.parameter("$deltatoken") {
        let since = seen_at(turn, token)?;
        let rows = changed(turn, object, &since);
        return paged(turn, object, call, &rows, select.as_deref(), true);
    }
    if prefers(call, "odata.track-changes").is_some() {
        check_trackable(turn, call)?;
        let rows: Vec<u64> =
            seen(turn, object).filter(|(_, version)| render::is_there(version)).map(|(record, _)| record.id).collect();
        return paged(turn, object, call, &rows, select.as_deref(), true);
    }
    let rows = matching(turn, object, call)?;
    paged(turn, object, call, &rows, select.as_deref(), false)
}

/// The value of one preference, empty when it has none.
pub(super) fn prefers<'a>(call: &'a Call, name: &str) -> Option<&'a str> {
    let mut preferences = call.header("prefer")?.split(',').map(str::trim);
    preferences.find_map(|preference| {
        let (own, value) = preference.split_once('=').unwrap_or((preference, ""));
        (own == name).then_some(value.trim_matches('"'))
    })
}

fn matching(turn: &Turn<'_>, object: ObjectType, call: &Call) -> Result<Vec<u64>, Refusal> {
    let schema = &turn.store.table(object).schema;
    let wanted = call.parameter("$filter").map(|text| Filter::parse(text, schema)).transpose()?;
    let order: Vec<(String, bool)> =
        call.list("$orderby").unwrap_or_default().iter().map(|rule| ordered(rule, schema)).collect::<Result<_, _>>()?;
    let top = match call.parameter("$top") {
        Some(text) => text.parse().map_err(|_| refuse::bad("Invalid value for $top"))?,
        None => usize::MAX,
    };
    let there = seen(turn, object).filter(|(_, version)| render::is_there(version));
    let mut rows: Vec<(&Record, &Version)> =
        there.filter(|(record, version)| wanted.as_ref().is_none_or(|wanted| wanted.passes(schema, record, version))).collect();
    rows.sort_by(|(one, one_version), (two, two_version)| {
        let mut keys = order.iter().map(|(column, descending)| {
            let (one, two) = (filter::read(schema, one, one_version, column), filter::read(schema, two, two_version, column));
            let order = match (&one, &two) {
                (Some(one), Some(two)) => one.compare(two),
                (one, two) => one.is_some().cmp(&two.is_some()),
            };
            if *descending { order.reverse() } else { order }
        });
        keys.find(|order| order.is_ne()).unwrap_or_else(|| one.id.cmp(&two.id))
    });
    Ok(rows.into_iter().map(|(record, _)| record.id).take(top).collect())
}

fn ordered(rule: &str, schema: &Schema) -> Result<(String, bool), Refusal> {
    let (column, direction) = rule.split_once(' ').unwrap_or((rule, "asc"));
    if schema.find(column).is_none() {
        return Err(filter::no_such_column(column));
    }
    match direction.trim() {
        "asc" => Ok((column.to_owned(), false)),
        "desc" => Ok((column.to_owned(), true)),
        other => Err(refuse::bad(&format!("Syntax error in $orderby: {other}"))),
    }
}

fn check_trackable(turn: &Turn<'_>, call: &Call) -> Result<(), Refusal> {
    if turn.is_on(&TRACKING_OFF) {
        return Err(refuse::bad("Change tracking is not enabled for this table."));
    }
    match ["$filter", "$orderby", "$expand", "$top"].into_iter().find(|name| call.parameter(name).is_some()) {
        Some(name) => Err(refuse::bad(&format!("The {name} system query option isn't supported with change tracking."))),
        None => Ok(()),
    }
}

/// Rows whose visible version is another than it was, in the order of their versions. One that came and went in between counts.
fn changed(turn: &Turn<'_>, object: ObjectType, since: &Map<String, Value>) -> Vec<u64> {
    let mut rows: Vec<(i64, u64)> = seen(turn, object)
        .filter(|(record, _)| since.get(&record.id.to_string()).and_then(Value::as_u64) != Some(visible(turn, record)))
        .map(|(record, version)| (render::row_version(record, version), record.id))
        .collect();
    rows.sort_unstable();
    rows.into_iter().map(|(_, id)| id).collect()
}

/// How many versions of a record are visible by now.
fn visible(turn: &Turn<'_>, record: &Record) -> u64 {
    record.versions().filter(|version| version.commit_ms <= turn.now_ms).count() as u64
}

fn paged(
    turn: &mut Turn<'_>,
    object: ObjectType,
    call: &Call,
    rows: &[u64],
    select: Option<&[String]>,
    tracks: bool,
) -> Result<Answer, Refusal> {
    let max = turn.number(&PAGE_ROWS_MAX).max(1);
    let asked = prefers(call, "odata.maxpagesize").and_then(|size| size.parse::<u64>().ok());
    let page = asked.unwrap_or(max).clamp(1, max);
    let now: Map<String, Value> = if tracks {
        let counts = seen(turn, object).map(|(record, _)| (record.id.to_string(), json!(visible(turn, record))));
        counts.collect()
    } else {
        Map::new()
    };
    let ticket = json!({ "rows": rows, "select": select, "page": page, "seen": now, "tracks": tracks });
    page_of(turn, object, call, &ticket, 0)
}

fn more(turn: &mut Turn<'_>, object: ObjectType, call: &Call, token: &str) -> Result<Answer, Refusal> {
    let invalid = || refuse::bad("The paging cookie is not valid.");
    let (number, start) = token.split_once('-').ok_or_else(invalid)?;
    let (number, start): (u64, usize) = (number.parse().map_err(|_| invalid())?, start.parse().map_err(|_| invalid())?);
    let ticket = turn.memory.find(number).map(|(_, ticket)| ticket.clone()).ok_or_else(invalid)?;
    page_of(turn, object, call, &ticket, start)
}

fn page_of(turn: &mut Turn<'_>, object: ObjectType, call: &Call, ticket: &Value, start: usize) -> Result<Answer, Refusal> {
    let rows: Vec<u64> = ticket["rows"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    let select: Option<Vec<String>> =
        ticket["select"].as_array().map(|names| names.iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect());
    let page = ticket["page"].as_u64().and_then(|page| usize::try_from(page).ok()).unwrap_or(1);
    let tracks = ticket["tracks"] == true;
    let base = format!("{}/api/data/v9.2", oauth::base_url(call));
    let set = set_name(object);
    let end = start.saturating_add(page).min(rows.len());
    let table = turn.store.table(object);
    let shown = rows.get(start..end).unwrap_or_default().iter().filter_map(|id| table.find(*id));
    let shown = shown.filter_map(|record| Some((record, record.committed(turn.now_ms)?)));
    let value: Vec<Value> = shown
        .filter(|(_, version)| tracks || render::is_there(version))
        .map(|(record, version)| {
            if render::is_there(version) {
                return render::row(turn, record, version, select.as_deref());
            }
            let context = format!("{base}/$metadata#{set}/$deletedEntity");
            json!({ "@odata.context": context, "id": render::guid(object, record.id), "reason": "deleted" })
        })
        .collect();
    let chosen = select.as_ref().map(|names| format!("({})", names.join(","))).unwrap_or_default();
    let delta = if tracks { "/$delta" } else { "" };
    let mut body = json!({ "@odata.context": format!("{base}/$metadata#{set}{chosen}{delta}"), "value": value });
    let prefix = select.as_ref().map(|names| format!("$select={}&", names.join(","))).unwrap_or_default();
    if end < rows.len() {
        let number = turn.memory.keep(ticket.clone(), turn.now_ms, KEPT_MAX);
        body["@odata.nextLink"] = json!(format!("{base}/{set}?{prefix}$skiptoken={number}-{end}"));
    } else if tracks {
        let number = turn.memory.keep(ticket["seen"].clone(), turn.now_ms, KEPT_MAX);
        body["@odata.deltaLink"] = json!(format!("{base}/{set}?{prefix}$deltatoken={number}%21{}", turn.crm_ms() / 1000));
    }
    let answer = Answer::json(200, &body);
    Ok(if tracks { answer.with_header("Preference-Applied", "odata.track-changes") } else { answer })
}

/// What was visible when a token was given. One that is too old is of no use any more.
fn seen_at(turn: &Turn<'_>, token: &str) -> Result<Map<String, Value>, Refusal> {
    let expired = || refuse::bad("The delta token is no longer valid. Retrieve all changes again.");
    let number: u64 = token.split('!').next().and_then(|number| number.parse().ok()).ok_or_else(expired)?;
    let (made_ms, kept) = turn.memory.find(number).ok_or_else(expired)?;
    let age_max_ms = i64::try_from(turn.number(&DELTA_DAYS)).unwrap_or(i64::MAX).saturating_mul(DAY_MS);
    if turn.now_ms - made_ms >= age_max_ms {
        return Err(expired());
    }
    kept.as_object().cloned().ok_or_else(expired)
}

/// Every row ever committed, those gone for good included.
fn seen<'a>(turn: &'a Turn<'_>, object: ObjectType) -> impl Iterator<Item = (&'a Record, &'a Version)> {
    let seen = turn.store.table(object).records().filter_map(|record| Some((record, record.committed(turn.now_ms)?)));
    seen.filter(|(record, version)| version.life != Life::Erased || record.versions().count() > 1)
}
