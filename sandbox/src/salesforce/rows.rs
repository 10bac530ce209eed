//! Reads and writes of single records, by id and by external id, under the conditions a caller sets.

use chrono::DateTime;
use serde_json::{Map, Value, json};

use super::{ids, plan, query, refuse, render, stock};
use crate::{
    ObjectType, Refusal,
    call::{Answer, Call},
    record::{Act, Author, Life, Record, Version},
    stamp,
    turn::Turn,
};

pub(super) fn get(turn: &Turn<'_>, api: &str, object: ObjectType, id: &str, call: &Call) -> Result<Answer, Refusal> {
    if !ids::is_id(id) {
        return Err(refuse::malformed_id(object, id));
    }
    let number = ids::number(object, id).ok_or_else(refuse::not_found)?;
    let (record, version) = seen(turn, object, number)?;
    answered(turn, api, record, version, call)
}

pub(super) fn get_by(turn: &Turn<'_>, api: &str, object: ObjectType, key: (&str, &str), call: &Call) -> Result<Answer, Refusal> {
    match plan::holders(turn, object, key.0, key.1)?.as_slice() {
        [] => Err(refuse::not_found()),
        [number] => {
            let (record, version) = seen(turn, object, *number)?;
            answered(turn, api, record, version, call)
        }
        several => Ok(choices(api, object, several)),
    }
}

pub(super) fn create(turn: &mut Turn<'_>, api: &str, object: ObjectType, call: &Call) -> Result<Answer, Refusal> {
    let fields = body(call)?;
    let plan = plan::plan(turn, object, None, fields, plan::may_duplicate(call), &mut plan::Claimed::new())?;
    let alerts = plan.alerts;
    let (id, _) = plan::apply(turn, &plan);
    if alerts {
        return Ok(choices(api, object, &[id]));
    }
    Ok(Answer::json(201, &saved(object, id)))
}

pub(super) fn update(turn: &mut Turn<'_>, object: ObjectType, id: &str, call: &Call) -> Result<Answer, Refusal> {
    let target = plan::target(turn, object, id)?;
    check_conditions(turn, object, target, call)?;
    let fields = body(call)?;
    check_no_key(&fields, "Id")?;
    let plan = plan::plan(turn, object, Some(target), fields, true, &mut plan::Claimed::new())?;
    plan::apply(turn, &plan);
    Ok(Answer::empty(204))
}

/// Makes the record or changes it. Several with the same key are neither.
pub(super) fn upsert(
    turn: &mut Turn<'_>,
    api: &str,
    object: ObjectType,
    key: (&str, &str),
    call: &Call,
) -> Result<Answer, Refusal> {
    let target = match plan::holders(turn, object, key.0, key.1)?.as_slice() {
        [] if call.flag("updateOnly") => return Err(refuse::not_found()),
        [] => None,
        [number] => Some(*number),
        several => return Ok(choices(api, object, several)),
    };
    let mut fields = body(call)?;
    check_no_key(&fields, "Id")?;
    check_no_key(&fields, key.0)?;
    if target.is_none() {
        fields.insert(key.0.to_owned(), json!(key.1));
    }
    let plan = plan::plan(turn, object, target, fields, plan::may_duplicate(call), &mut plan::Claimed::new())?;
    let (id, created) = plan::apply(turn, &plan);
    let mut body = saved(object, id);
    body["created"] = json!(created);
    Ok(Answer::json(if created { 201 } else { 200 }, &body))
}

/// Pays no heed to a condition on the time of the last change.
pub(super) fn delete(turn: &mut Turn<'_>, object: ObjectType, id: &str) -> Result<Answer, Refusal> {
    delete_one(turn, object, id)?;
    Ok(Answer::empty(204))
}

pub(super) fn delete_one(turn: &mut Turn<'_>, object: ObjectType, id: &str) -> Result<u64, Refusal> {
    let target = plan::target(turn, object, id)?;
    let moment = turn.moment_of(Act::Archive);
    turn.store.table_mut(object).archive(target, Author::Api, moment);
    turn.wrote(object, target);
    Ok(target)
}

pub(super) fn saved(object: ObjectType, id: u64) -> Value {
    json!({ "id": ids::long(object, id), "success": true, "errors": [] })
}

pub(super) fn body(call: &Call) -> Result<Map<String, Value>, Refusal> {
    serde_json::from_str(&call.body).map_err(|_| refuse::unreadable())
}

/// All fields there are, in use and not.
pub(super) fn all_fields(turn: &Turn<'_>, object: ObjectType) -> Vec<String> {
    let used = turn.store.table(object).schema.all().filter(|property| !property.archived);
    used.map(|property| property.name.clone()).filter(|name| name != "MasterRecordId" || object != ObjectType::Deals).collect()
}

pub(super) fn seen<'a>(turn: &'a Turn<'_>, object: ObjectType, number: u64) -> Result<(&'a Record, &'a Version), Refusal> {
    let record = turn.store.table(object).find(number).ok_or_else(refuse::not_found)?;
    let version = record.committed(turn.now_ms).ok_or_else(refuse::not_found)?;
    match version.life {
        Life::Active => Ok((record, version)),
        Life::MergedInto(winner) if turn.weather.merged_redirect => seen(turn, object, winner),
        _ if query::is_kept(turn, version) => Err(refuse::deleted()),
        _ => Err(refuse::not_found()),
    }
}

fn answered(turn: &Turn<'_>, api: &str, record: &Record, version: &Version, call: &Call) -> Result<Answer, Refusal> {
    if let Some(since_ms) = condition(call, "if-modified-since")?
        && version.stamp_ms <= since_ms
    {
        return Ok(Answer::empty(304));
    }
    let fields = match call.list("fields") {
        Some(fields) => {
            let schema = &turn.store.table(record.object).schema;
            let unknown = fields.iter().find(|name| schema.find(name).is_none());
            if let Some(name) = unknown {
                return Err(refuse::no_such_column(record.object, name));
            }
            fields
        }
        None => all_fields(turn, record.object),
    };
    let answer = Answer::json(200, &render::row(turn, api, record, version, &fields));
    let answer = answer.with_header("Last-Modified", stamp::http_date(version.stamp_ms));
    Ok(if record.object == ObjectType::Companies { answer.with_header("ETag", etag(record)) } else { answer })
}

/// Optimistic locks: by second on every kind, by tag on accounts alone.
fn check_conditions(turn: &Turn<'_>, object: ObjectType, number: u64, call: &Call) -> Result<(), Refusal> {
    let Some(record) = turn.store.table(object).find(number) else { return Ok(()) };
    let failed = || Refusal::new(412, "PRECONDITION_FAILED", "The record was modified since the time or version given");
    if condition(call, "if-unmodified-since")?.is_some_and(|since_ms| record.head().stamp_ms > since_ms) {
        return Err(failed());
    }
    let tag = call.header("if-match").filter(|_| object == ObjectType::Companies);
    if tag.is_some_and(|tag| tag != "*" && tag != etag(record)) {
        return Err(failed());
    }
    Ok(())
}

fn etag(record: &Record) -> String {
    format!("\"{}{:04}\"", record.head().stamp_ms, record.versions().count())
}

fn condition(call: &Call, header: &str) -> Result<Option<i64>, Refusal> {
    let Some(text) = call.header(header) else { return Ok(None) };
    let time = DateTime::parse_from_rfc2822(text)
        .map_err(|_| Refusal::new(400, "INVALID_HEADER", format!("Invalid {header}: {text}")))?;
    Ok(Some(time.timestamp_millis()))
}

fn check_no_key(fields: &Map<String, Value>, key: &str) -> Result<(), Refusal> {
    match fields.keys().find(|name| name.eq_ignore_ascii_case(key)) {
        Some(_) => {
            Err(Refusal::new(400, "INVALID_FIELD", format!("The {key} field should not be specified in the sobject data.")))
        }
        None => Ok(()),
    }
}

/// More than one record, told by their addresses. Also what an alert of a duplicate rule looks like.
fn choices(api: &str, object: ObjectType, numbers: &[u64]) -> Answer {
    let kind = refuse::name(object);
    let urls: Vec<String> =
        numbers.iter().map(|number| format!("/services/data/{api}/sobjects/{kind}/{}", ids::long(object, *number))).collect();
    Answer::json(300, &json!(urls))
}

/// The fields of a kind, for programs.
pub(super) fn describe(turn: &Turn<'_>, object: ObjectType, call: &Call) -> Result<Answer, Refusal> {
    let schema = &turn.store.table(object).schema;
    let changed_ms = schema.all().map(|property| property.updated_ms).max().unwrap_or_default();
    if condition(call, "if-modified-since")?.is_some_and(|since_ms| changed_ms.div_euclid(1000) * 1000 <= since_ms) {
        return Ok(Answer::empty(304));
    }
    let fields: Vec<Value> = schema
        .all()
        .filter(|property| !property.archived)
        .map(|property| {
            use crate::schema::Kind;
            let kind = match (property.name.as_str(), property.kind) {
                ("Id", _) => "id",
                (name, _) if name.ends_with("Id") => "reference",
                (_, Kind::Text) => "string",
                (_, Kind::Email) => "email",
                (_, Kind::Phone) => "phone",
                (_, Kind::Number) => "double",
                (_, Kind::Boolean) => "boolean",
                (_, Kind::Date) => "date",
                (_, Kind::DateTime) => "datetime",
                (_, Kind::Enumeration) => "picklist",
            };
            let values: Vec<Value> = property
                .options
                .iter()
                .map(|choice| json!({ "active": true, "value": choice.value, "label": choice.label }))
                .collect();
            json!({
                "name": property.name,
                "label": property.label,
                "type": kind,
                "custom": property.name.ends_with("__c"),
                "createable": !property.read_only,
                "updateable": !property.read_only,
                "nillable": !stock::needed(object).contains(&property.name.as_str()),
                "unique": property.unique,
                "externalId": stock::is_external_id(property),
                "restrictedPicklist": property.kind == Kind::Enumeration,
                "picklistValues": values,
                "length": 255,
            })
        })
        .collect();
    let answer =
        Answer::json(200, &json!({ "name": refuse::name(object), "fields": fields, "queryable": true, "replicateable": true }));
    Ok(answer.with_header("Last-Modified", stamp::http_date(changed_ms)))
}
