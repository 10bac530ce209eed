//! Reads and writes of single records: no batch, no upsert, no lock and no key but the id.

use serde_json::{Map, Value, json};

use super::{TIMES_TAKEN, UNKNOWN_FIELDS_IGNORED, list, refuse, render, stock};
use crate::{
    ObjectType, Refusal,
    call::{Answer, Call},
    record::{Act, Author, Changes, Life, Moment},
    stamp,
    turn::Turn,
};

/// A deleted record still answers, marked as deleted, until it is gone for good.
pub(super) fn get(turn: &Turn<'_>, object: ObjectType, id: &str) -> Result<Answer, Refusal> {
    let number = number(object, id)?;
    let record = turn.store.table(object).find(number);
    let seen = record.and_then(|record| Some((record, record.committed(turn.now_ms)?)));
    let (record, version) = match seen {
        Some((_, version)) if matches!(version.life, Life::MergedInto(_)) && turn.weather.merged_redirect => {
            turn.store.seen(object, number, turn.now_ms, true).ok_or_else(|| refuse::missing(object))?
        }
        Some(seen) => seen,
        None => return Err(refuse::missing(object)),
    };
    if !list::is_kept(turn, version) {
        return Err(refuse::missing(object));
    }
    Ok(answered(200, &render::row(turn.store, record, version)))
}

pub(super) fn create(turn: &mut Turn<'_>, object: ObjectType, call: &Call) -> Result<Answer, Refusal> {
    let mut sent = body(call)?;
    let moment = turn.moment();
    let moment = if object == ObjectType::Deals { moment } else { dated(turn, &mut sent, moment)? };
    let mut changes = checked(turn, object, sent)?;
    let needed = stock::needed(object);
    if changes.get(needed).is_none_or(Option::is_none) {
        return Err(refuse::validation(&format!("{needed}: Required")));
    }
    for (name, value) in stock::defaults(object) {
        changes.entry((*name).to_owned()).or_insert_with(|| Some((*value).to_owned()));
    }
    let table = turn.store.table_mut(object);
    table.check_unique(&changes, None)?;
    let id = table.create(&changes, Author::Api, moment);
    turn.wrote(object, id);
    Ok(answered(201, &written(turn, object, id)))
}

pub(super) fn update(turn: &mut Turn<'_>, object: ObjectType, id: &str, call: &Call) -> Result<Answer, Refusal> {
    number(object, id)?;
    let id = turn.store.target(object, id, turn.weather.merged_redirect)?;
    let changes = checked(turn, object, body(call)?)?;
    let moment = turn.moment();
    let table = turn.store.table_mut(object);
    table.check_unique(&changes, Some(id))?;
    table.update(id, &changes, Author::Api, moment);
    turn.wrote(object, id);
    Ok(answered(200, &written(turn, object, id)))
}

pub(super) fn delete(turn: &mut Turn<'_>, object: ObjectType, id: &str) -> Result<Answer, Refusal> {
    number(object, id)?;
    let moment = turn.moment_of(Act::Archive);
    let id = turn.store.archive(object, id, Author::Api, moment)?;
    turn.wrote(object, id);
    Ok(answered(200, &json!({ "id": id })))
}

/// The record named in the body survives and wins where both have a value.
pub(super) fn merge(turn: &mut Turn<'_>, object: ObjectType, id: &str, call: &Call) -> Result<Answer, Refusal> {
    let survivor = body(call)?.get("merge_with_id").and_then(Value::as_u64);
    let survivor = survivor.ok_or_else(|| Refusal::new(400, "", "merge_with_id must be given"))?;
    let moment = turn.moment_of(Act::Merge);
    turn.store.merge(object, &survivor.to_string(), id, moment)?;
    turn.wrote(object, survivor);
    let mut row = written(turn, object, survivor);
    row["merge_what_id"] = json!(number(object, id)?);
    Ok(answered(200, &row))
}

/// The user behind the token, which is how a caller learns which company it talks to.
pub(super) fn me(turn: &Turn<'_>) -> Answer {
    let company: Value = turn.account.parse::<u64>().map_or_else(|_| json!(turn.account), |id| json!(id));
    let body = json!({ "id": 1, "name": "Robot", "company_id": company, "company_name": "Practice", "company_domain": "practice",
        "timezone_name": "Etc/UTC", "is_admin": 1 });
    answered(200, &body)
}

pub(super) fn answered(status: u16, data: &Value) -> Answer {
    Answer::json(status, &json!({ "success": true, "data": data, "additional_data": Value::Null }))
}

/// An id that is no number is not merely missing.
fn number(object: ObjectType, id: &str) -> Result<u64, Refusal> {
    match id.parse() {
        Ok(0) => Err(refuse::missing(object)),
        Ok(number) => Ok(number),
        Err(_) => Err(refuse::validation("id: Expected number")),
    }
}

fn body(call: &Call) -> Result<Map<String, Value>, Refusal> {
    serde_json::from_str(&call.body).map_err(|_| Refusal::new(400, "", "Bad request: the body is not a JSON object"))
}

/// Takes the times a new record is sent with out of the body.
fn dated(turn: &Turn<'_>, sent: &mut Map<String, Value>, moment: Moment) -> Result<Moment, Refusal> {
    let mut time = |name: &str| match sent.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let ms = value.as_str().and_then(stamp::parse);
            ms.map(Some).ok_or_else(|| refuse::validation(&format!("{name}: {value} is not a valid datetime")))
        }
    };
    let (added, updated) = (time("add_time")?, time("update_time")?);
    let stamp_ms = updated.or(added).filter(|_| turn.is_on(&TIMES_TAKEN)).map(|ms| ms.div_euclid(1000) * 1000);
    Ok(Moment { stamp_ms: stamp_ms.unwrap_or(moment.stamp_ms), ..moment })
}

fn checked(turn: &Turn<'_>, object: ObjectType, sent: Map<String, Value>) -> Result<Changes, Refusal> {
    let mut sent = render::flat(sent)?;
    let table = turn.store.table(object);
    if turn.is_on(&UNKNOWN_FIELDS_IGNORED) {
        sent.retain(|name, _| table.schema.find(name).is_some());
    }
    let changes = table.clean(&sent, turn.habits())?;
    for (name, kind) in [("person_id", ObjectType::Contacts), ("org_id", ObjectType::Companies)] {
        if let Some(Some(id)) = changes.get(name) {
            turn.store.target(kind, id, true).map_err(|_| refuse::validation(&format!("{name}: {id} does not exist")))?;
        }
    }
    Ok(changes)
}

fn written(turn: &Turn<'_>, object: ObjectType, id: u64) -> Value {
    turn.store.table(object).find(id).map_or(Value::Null, |record| render::row(turn.store, record, record.head()))
}
