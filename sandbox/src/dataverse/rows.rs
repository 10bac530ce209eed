//! Single rows by id or by an alternate key, under tags and preferences; and many rows at once, all or none of them.

use serde_json::{Map, Value, json};

use super::{BATCH_MAX, DUPLICATE_STATUS, list, refuse, render, set_name, stock};
use crate::{
    ObjectType, Refusal,
    call::{Answer, Call},
    oauth,
    record::{Act, Author, Changes, Life, Record, Version},
    turn::Turn,
};

/// A row as a path names it.
pub(super) enum Key {
    Id(String),
    /// Columns and values of an alternate key.
    Alternate(Vec<(String, String)>),
}

impl Key {
    /// `60c4e274-…` or `column='value',other=1`.
    pub(super) fn parse(text: &str) -> Self {
        if !text.contains('=') {
            return Self::Id(text.to_owned());
        }
        let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
        Self::Alternate(pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('\'').replace("''", "'"))).collect())
    }
}

pub(super) fn get(turn: &Turn<'_>, object: ObjectType, key: &Key, call: &Call) -> Result<Answer, Refusal> {
    let number = find(turn, object, key)?.ok_or_else(|| missing(object, key))?;
    let record = turn.store.table(object).find(number);
    let seen = record.and_then(|record| Some((record, record.committed(turn.now_ms)?)));
    let (record, version) = seen.filter(|(_, version)| render::is_there(version)).ok_or_else(|| missing(object, key))?;
    let tag = render::etag(record, version);
    if call.header("if-none-match").is_some_and(|sent| sent == tag) {
        return Ok(Answer::empty(304));
    }
    Ok(Answer::json(200, &shown(turn, record, version, call)))
}

pub(super) fn create(turn: &mut Turn<'_>, object: ObjectType, call: &Call) -> Result<Answer, Refusal> {
    let fields = body(call)?;
    check_twin(turn, object, &fields, call)?;
    let changes = checked(turn, object, None, fields)?;
    let number = apply(turn, object, None, &changes);
    Ok(saved(turn, object, number, true, call))
}

/// A row is made where there is none, unless a header forbids it: by an alternate key, and by the id of one that was deleted.
pub(super) fn patch(turn: &mut Turn<'_>, object: ObjectType, key: &Key, call: &Call) -> Result<Answer, Refusal> {
    let target = find(turn, object, key)?;
    let mut fields = body(call)?;
    match (target, key) {
        (Some(number), _) => {
            if call.header("if-none-match") == Some("*") {
                return Err(refuse::exists());
            }
            check_tag(turn, object, number, call)?;
        }
        (None, Key::Alternate(pairs)) if call.header("if-match").is_none() => {
            for (name, value) in pairs {
                fields.entry(name.clone()).or_insert_with(|| json!(value));
            }
        }
        (None, Key::Id(id)) if call.header("if-match").is_none() => {
            let gone = render::number(object, id).filter(|number| turn.store.table(object).find(*number).is_some());
            let number = gone.ok_or_else(|| missing(object, key))?;
            let changes = checked(turn, object, Some(number), fields)?;
            let moment = turn.moment();
            turn.store.table_mut(object).restore(number, Author::Api, moment);
            apply(turn, object, Some(number), &changes);
            return Ok(saved(turn, object, number, true, call));
        }
        (None, _) => return Err(missing(object, key)),
    }
    let changes = checked(turn, object, target, fields)?;
    let number = apply(turn, object, target, &changes);
    Ok(saved(turn, object, number, target.is_none(), call))
}

pub(super) fn delete(turn: &mut Turn<'_>, object: ObjectType, key: &Key, call: &Call) -> Result<Answer, Refusal> {
    let number = find(turn, object, key)?.ok_or_else(|| missing(object, key))?;
    check_tag(turn, object, number, call)?;
    let moment = turn.moment_of(Act::Archive);
    turn.store.table_mut(object).archive(number, Author::Api, moment);
    turn.wrote(object, number);
    Ok(Answer::empty(204))
}

/// `CreateMultiple` and `UpdateMultiple`: the first bad row fails them all.
pub(super) fn multiple(turn: &mut Turn<'_>, object: ObjectType, updates: bool, call: &Call) -> Result<Answer, Refusal> {
    let body = body(call)?;
    let targets = body.get("Targets").and_then(Value::as_array).cloned().unwrap_or_default();
    if targets.is_empty() || targets.len() as u64 > turn.number(&BATCH_MAX) {
        return Err(refuse::bad("The number of targets is not supported"));
    }
    let mut plans: Vec<(Option<u64>, Changes)> = Vec::new();
    let mut claimed = std::collections::HashSet::new();
    for target in &targets {
        let mut fields = target.as_object().cloned().ok_or_else(|| refuse::bad("A target is no entity"))?;
        let id = fields.remove(stock::key(object)).and_then(|id| id.as_str().map(str::to_owned));
        let number = match (updates, id) {
            (false, _) => None,
            (true, Some(id)) => {
                let key = Key::Id(id);
                Some(find(turn, object, &key)?.ok_or_else(|| missing(object, &key))?)
            }
            (true, None) => return Err(refuse::bad("The id of a target is missing")),
        };
        let changes = checked(turn, object, number, fields)?;
        for (name, value) in turn.store.table(object).unique_values(&changes) {
            if !claimed.insert((name.to_owned(), value.to_owned())) {
                return Err(super::key_taken(name));
            }
        }
        plans.push((number, changes));
    }
    let numbers: Vec<u64> = plans.iter().map(|(number, changes)| apply(turn, object, *number, changes)).collect();
    if updates {
        return Ok(Answer::empty(204));
    }
    let ids: Vec<String> = numbers.iter().map(|number| render::guid(object, *number)).collect();
    Ok(Answer::json(200, &json!({ "Ids": ids })))
}

/// The row behind a key. A key the table does not have is refused.
fn find(turn: &Turn<'_>, object: ObjectType, key: &Key) -> Result<Option<u64>, Refusal> {
    let table = turn.store.table(object);
    let there = |number: &u64| table.find(*number).is_some_and(|record| render::is_there(record.head()));
    match key {
        Key::Id(id) => {
            let number = render::number(object, id).filter(there);
            let winner = number.and_then(|number| table.find(number)).and_then(|record| match record.head().life {
                Life::MergedInto(winner) if turn.weather.merged_redirect => Some(winner),
                _ => None,
            });
            Ok(winner.or(number))
        }
        Key::Alternate(pairs) => match pairs.as_slice() {
            [(name, value)] if table.schema.find(name).is_some_and(|property| property.unique) => {
                Ok(table.owner(name, value).filter(there))
            }
            _ => Err(Refusal::new(400, "0x80060888", "The specified key attributes are not a defined key for the entity")),
        },
    }
}

fn missing(object: ObjectType, key: &Key) -> Refusal {
    match key {
        Key::Id(id) => refuse::missing(super::logical_name(object), id),
        Key::Alternate(_) => Refusal::new(404, "0x80060891", "A record with the specified key values does not exist"),
    }
}

fn check_tag(turn: &Turn<'_>, object: ObjectType, number: u64, call: &Call) -> Result<(), Refusal> {
    let Some(sent) = call.header("if-match").filter(|sent| *sent != "*") else { return Ok(()) };
    let record = turn.store.table(object).find(number);
    if record.is_some_and(|record| render::etag(record, record.head()) == sent) { Ok(()) } else { Err(refuse::stale()) }
}

fn body(call: &Call) -> Result<Map<String, Value>, Refusal> {
    serde_json::from_str(&call.body).map_err(|_| refuse::bad("The request payload is not valid JSON"))
}

fn checked(turn: &Turn<'_>, object: ObjectType, target: Option<u64>, mut fields: Map<String, Value>) -> Result<Changes, Refusal> {
    fields.retain(|name, _| !name.starts_with("@odata."));
    for (name, column, kind) in stock::bindings(object) {
        if let Some(bound) = fields.remove(&format!("{name}@odata.bind")) {
            let id = match bound.as_str() {
                Some(path) => Some(pointed(turn, *kind, path)?),
                None => None,
            };
            fields.insert((*column).to_owned(), json!(id));
        }
    }
    let table = turn.store.table(object);
    let changes = table.clean(&fields, turn.habits())?;
    table.check_unique(&changes, target)?;
    Ok(changes)
}

/// The id in `/accounts(60c4e274-…)`, of a row that is there.
fn pointed(turn: &Turn<'_>, kind: ObjectType, path: &str) -> Result<String, Refusal> {
    let wrong = || refuse::bad(&format!("'{path}' is no row of {}", set_name(kind)));
    let inner = path.trim_start_matches('/').strip_prefix(set_name(kind)).ok_or_else(wrong)?;
    let key = Key::parse(inner.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')).ok_or_else(wrong)?);
    let number = find(turn, kind, &key)?.ok_or_else(|| missing(kind, &key))?;
    Ok(render::guid(kind, number))
}

/// Looks for a contact with the same address, only where a header asks for it.
fn check_twin(turn: &Turn<'_>, object: ObjectType, fields: &Map<String, Value>, call: &Call) -> Result<(), Refusal> {
    let asked = call.header("mscrm.suppressduplicatedetection") == Some("false");
    let address = fields.get("emailaddress1").and_then(Value::as_str).filter(|_| asked && object == ObjectType::Contacts);
    let Some(address) = address else { return Ok(()) };
    let same = |record: &Record| record.head().props.get("emailaddress1").is_some_and(|own| own.eq_ignore_ascii_case(address));
    let twin = turn.store.table(object).records().any(|record| record.head().life == Life::Active && same(record));
    let status = u16::try_from(turn.number(&DUPLICATE_STATUS)).unwrap_or(412);
    if twin {
        Err(Refusal::new(
            status,
            "0x80040333",
            "A record was not created or updated because a duplicate of the current record already exists.",
        ))
    } else {
        Ok(())
    }
}

fn apply(turn: &mut Turn<'_>, object: ObjectType, target: Option<u64>, changes: &Changes) -> u64 {
    let moment = turn.moment();
    let table = turn.store.table_mut(object);
    let number = match target {
        Some(number) => {
            table.update(number, changes, Author::Api, moment);
            number
        }
        None => table.create(changes, Author::Api, moment),
    };
    turn.wrote(object, number);
    number
}

fn saved(turn: &Turn<'_>, object: ObjectType, number: u64, created: bool, call: &Call) -> Answer {
    let url = format!("{}/api/data/v9.2/{}({})", oauth::base_url(call), set_name(object), render::guid(object, number));
    let record = turn.store.table(object).find(number).filter(|_| list::prefers(call, "return") == Some("representation"));
    let answer = match record {
        Some(record) => {
            let answer = Answer::json(if created { 201 } else { 200 }, &shown(turn, record, record.head(), call));
            answer.with_header("Preference-Applied", "return=representation")
        }
        None => Answer::empty(204),
    };
    answer.with_header("OData-EntityId", url)
}

fn shown(turn: &Turn<'_>, record: &Record, version: &Version, call: &Call) -> Value {
    let mut row = render::row(turn, record, version, call.list("$select").as_deref());
    let context = format!("{}/api/data/v9.2/$metadata#{}/$entity", oauth::base_url(call), set_name(record.object));
    row["@odata.context"] = json!(context);
    row
}
