//! Writes: a list of records in, a list of outcomes out, in the same order and under a status that tells how many failed.

use serde_json::{Map, Value, json};

use super::{BATCH_MAX, LOCK_BY_MODIFIED, UNKNOWN_FIELDS_IGNORED, refuse, render, stock};
use crate::{
    ObjectType, Refusal,
    call::{Answer, Call},
    record::{Act, Author, Life, Record},
    stamp,
    turn::Turn,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Create,
    Update,
    Upsert,
}

pub(super) fn get(turn: &Turn<'_>, object: ObjectType, id: &str, call: &Call) -> Result<Answer, Refusal> {
    let number = resolve(turn, object, id, call)?;
    let record = turn.store.table(object).find(number);
    let seen = record.and_then(|record| Some((record, record.committed(turn.now_ms)?)));
    let (record, version) = match seen {
        Some((record, version)) if version.life == Life::Active => (record, version),
        Some((_, version)) if matches!(version.life, Life::MergedInto(_)) => {
            turn.store.seen(object, number, turn.now_ms, turn.weather.merged_redirect).ok_or_else(refuse::no_such_id)?
        }
        _ => return Err(refuse::no_such_id()),
    };
    let row = render::row(turn, record, version, call.list("fields").as_deref());
    Ok(Answer::json(200, &json!({ "data": [row] })))
}

/// `id`: of the one record that the path names.
pub(super) fn write(
    turn: &mut Turn<'_>,
    object: ObjectType,
    verb: Verb,
    id: Option<&str>,
    call: &Call,
) -> Result<Answer, Refusal> {
    let body: Map<String, Value> =
        serde_json::from_str(&call.body).map_err(|_| Refusal::new(400, "INVALID_DATA", "body is not a JSON object"))?;
    let Some(rows) = body.get("data").and_then(Value::as_array) else {
        return Err(refuse::needed("data"));
    };
    if rows.is_empty() || rows.len() as u64 > turn.number(&BATCH_MAX) {
        let details = json!({ "limit": turn.number(&BATCH_MAX), "api_name": "data" });
        return Err(Refusal::new(400, "LIMIT_EXCEEDED", "maximum records limit exceeded").with_context(details));
    }
    let checks: Vec<String> = match body.get("duplicate_check_fields").and_then(Value::as_array) {
        Some(names) => names.iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect(),
        None => vec![stock::duplicate_check(object).to_owned()],
    };
    let mut outcomes = Vec::with_capacity(rows.len());
    let mut failed = 0_usize;
    for (at, row) in rows.iter().enumerate() {
        match write_one(turn, object, verb, id, &checks, row, call) {
            Ok(outcome) => outcomes.push(outcome),
            Err(refusal) if refusal.status() == 412 => return Err(refusal),
            Err(refusal) => {
                failed += 1;
                outcomes.push(refuse::item(&refusal, at));
            }
        }
    }
    let good = if verb == Verb::Create { 201 } else { 200 };
    let status = match failed {
        0 => good,
        failed if failed == outcomes.len() => 400,
        _ => 207,
    };
    Ok(Answer::json(status, &json!({ "data": outcomes })))
}

pub(super) fn delete(turn: &mut Turn<'_>, object: ObjectType, ids: &[String], call: &Call) -> Result<Answer, Refusal> {
    let mut outcomes = Vec::new();
    let mut failed = 0_usize;
    for (at, id) in ids.iter().enumerate() {
        let outcome = resolve(turn, object, id, call).and_then(|number| {
            let number = target(turn, object, number)?;
            let moment = turn.moment_of(Act::Archive);
            turn.store.table_mut(object).archive(number, Author::Api, moment);
            turn.wrote(object, number);
            Ok(json!({ "code": "SUCCESS", "details": { "id": render::id(number) }, "message": "record deleted", "status": "success" }))
        });
        failed += usize::from(outcome.is_err());
        outcomes.push(outcome.unwrap_or_else(|refusal| refuse::item(&refusal, at)));
    }
    let status = if failed == 0 {
        200
    } else if failed == outcomes.len() {
        400
    } else {
        207
    };
    Ok(Answer::json(status, &json!({ "data": outcomes })))
}

fn write_one(
    turn: &mut Turn<'_>,
    object: ObjectType,
    verb: Verb,
    id: Option<&str>,
    checks: &[String],
    row: &Value,
    call: &Call,
) -> Result<Value, Refusal> {
    let mut fields = row.as_object().cloned().ok_or_else(|| Refusal::new(400, "INVALID_DATA", "invalid data"))?;
    let own = fields.remove("id").and_then(|id| id.as_str().map(str::to_owned));
    let external = external(object, call).and_then(|field| Some((field, fields.get(field)?.as_str()?.to_owned())));
    let mut matched: Option<String> = None;
    let target = match (verb, id, own, external) {
        (Verb::Create, ..) => None,
        (_, Some(id), ..) => Some(target(turn, object, resolve(turn, object, id, call)?)?),
        (_, None, Some(own), _) => Some(target(turn, object, render::number(&own).ok_or_else(refuse::no_such_id)?)?),
        (_, None, None, Some((field, value))) => match holders(turn, object, field, &value).as_slice() {
            [] if verb == Verb::Update => return Err(refuse::no_such_id()),
            found => found.first().copied(),
        },
        (Verb::Update, None, None, None) => return Err(refuse::needed("id")),
        (Verb::Upsert, None, None, None) => {
            let found = twin(turn, object, checks, &fields)?;
            matched = found.as_ref().map(|(field, _)| field.clone());
            found.map(|(_, number)| number)
        }
    };
    check_lock(turn, object, target, call)?;
    for (name, value) in &mut fields {
        if stock::points_to(object, name).is_some() && value.is_object() {
            *value = value["id"].clone();
        }
    }
    if turn.is_on(&UNKNOWN_FIELDS_IGNORED) {
        let schema = &turn.store.table(object).schema;
        fields.retain(|name, _| schema.find(name).is_some());
    }
    let table = turn.store.table(object);
    let changes = table.clean(&fields, turn.habits())?;
    for field in stock::needed(object) {
        let lacks = changes.get(*field).map_or(target.is_none(), Option::is_none);
        if lacks {
            return Err(refuse::needed(field));
        }
    }
    for (name, value) in &changes {
        if let (Some(kind), Some(value)) = (stock::points_to(object, name), value) {
            let found = render::number(value).and_then(|number| self::target(turn, kind, number).ok());
            found.ok_or_else(|| {
                let details = json!({ "api_name": name, "expected_data_type": "lookup" });
                Refusal::new(400, "INVALID_DATA", "the id given seems to be invalid").with_context(details)
            })?;
        }
    }
    table.check_unique(&changes, target)?;
    let moment = turn.moment();
    let table = turn.store.table_mut(object);
    let number = match target {
        Some(number) => {
            table.update(number, &changes, Author::Api, moment);
            number
        }
        None => table.create(&changes, Author::Api, moment),
    };
    turn.wrote(object, number);
    Ok(saved(turn, object, number, verb, target.is_none(), matched.as_deref()))
}

fn saved(turn: &Turn<'_>, object: ObjectType, number: u64, verb: Verb, new: bool, matched: Option<&str>) -> Value {
    let robot = json!({ "name": "Robot", "id": "1" });
    let record = turn.store.table(object).find(number);
    let mut outcome = json!({
        "code": "SUCCESS",
        "details": {
            "Modified_Time": record.map(|record| render::time(turn, record.head().stamp_ms)),
            "Modified_By": robot,
            "Created_Time": record.map(|record| render::time(turn, record.created_ms)),
            "id": render::id(number),
            "Created_By": robot,
        },
        "message": if new { "record added" } else { "record updated" },
        "status": "success",
    });
    if verb == Verb::Upsert {
        outcome["action"] = json!(if new { "insert" } else { "update" });
        outcome["duplicate_field"] = json!(matched);
    }
    outcome
}

/// The record the first of the fields to check leads to.
fn twin(
    turn: &Turn<'_>,
    object: ObjectType,
    checks: &[String],
    fields: &Map<String, Value>,
) -> Result<Option<(String, u64)>, Refusal> {
    for field in checks {
        let Some(value) = fields.get(field).and_then(Value::as_str).filter(|value| !value.is_empty()) else { continue };
        match holders(turn, object, field, value).as_slice() {
            [] => {}
            [number] => return Ok(Some((field.clone(), *number))),
            several => return Err(refuse::duplicate(field, &render::id(several[0]), super::name(object))),
        }
    }
    Ok(None)
}

fn holders(turn: &Turn<'_>, object: ObjectType, field: &str, value: &str) -> Vec<u64> {
    let holds = |record: &&Record| {
        record.head().life == Life::Active
            && record.head().props.get(field).is_some_and(|own| own.eq_ignore_ascii_case(value.trim()))
    };
    turn.store.table(object).records().filter(holds).map(|record| record.id).collect()
}

/// The field that a header makes the id: `Contacts.External_Id`.
fn external(object: ObjectType, call: &Call) -> Option<&str> {
    let (module, field) = call.header("x-external")?.split_once('.')?;
    (module == super::name(object)).then_some(field)
}

/// The number behind an id, or behind the value of an external field where a header says so.
fn resolve(turn: &Turn<'_>, object: ObjectType, id: &str, call: &Call) -> Result<u64, Refusal> {
    match external(object, call) {
        Some(field) => holders(turn, object, field, id).first().copied().ok_or_else(refuse::no_such_id),
        None => render::number(id).ok_or_else(refuse::no_such_id),
    }
}

fn target(turn: &Turn<'_>, object: ObjectType, number: u64) -> Result<u64, Refusal> {
    let record = turn.store.table(object).find(number).ok_or_else(refuse::no_such_id)?;
    match record.head().life {
        Life::Active => Ok(number),
        Life::MergedInto(winner) if turn.weather.merged_redirect => Ok(winner),
        Life::Archived | Life::MergedInto(_) | Life::Erased => Err(refuse::no_such_id()),
    }
}

/// A lock by second. Two writes within one second both pass.
fn check_lock(turn: &Turn<'_>, object: ObjectType, target: Option<u64>, call: &Call) -> Result<(), Refusal> {
    let header = if turn.is_on(&LOCK_BY_MODIFIED) { "if-modified-since" } else { "if-unmodified-since" };
    let record = target.and_then(|number| turn.store.table(object).find(number));
    let (Some(text), Some(record)) = (call.header(header), record) else { return Ok(()) };
    let since_ms = stamp::parse(text).ok_or_else(|| Refusal::new(400, "INVALID_DATA", "invalid data"))?;
    if record.head().stamp_ms > since_ms {
        return Err(Refusal::new(412, "RECORD_MODIFIED", "The record was modified after the time specified"));
    }
    Ok(())
}
