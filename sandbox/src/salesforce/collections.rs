//! Many records in one call: 200 when the call was well-formed, and an outcome per record in the order they were sent.

use serde_json::{Map, Value, json};

use super::{COLLECTION_MAX, known, plan, refuse, render, rows};
use crate::{
    ObjectType, Refusal,
    call::{Answer, Call},
    turn::Turn,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb<'a> {
    Create,
    Update,
    /// By this external id.
    Upsert(&'a str),
}

pub(super) fn write(turn: &mut Turn<'_>, verb: Verb<'_>, kind: Option<ObjectType>, call: &Call) -> Result<Answer, Refusal> {
    let body = rows::body(call)?;
    let records = body.get("records").and_then(Value::as_array).cloned().unwrap_or_default();
    check_count(turn, records.len())?;
    let whole = body.get("allOrNone").and_then(Value::as_bool).unwrap_or_default();
    let may_duplicate = plan::may_duplicate(call);
    let mut outcomes: Vec<Value> = Vec::with_capacity(records.len());
    let mut claimed = plan::Claimed::new();
    if whole {
        let plans: Vec<Result<plan::Plan, Refusal>> =
            records.iter().map(|record| planned(turn, verb, kind, record, may_duplicate, &mut claimed)).collect();
        if plans.iter().any(Result::is_err) {
            let rolled_back = Refusal::new(
                400,
                "ALL_OR_NONE_OPERATION_ROLLED_BACK",
                "Record rolled back because not all records were valid and the request was using AllOrNone header",
            );
            outcomes.extend(plans.iter().map(|plan| refuse::item(plan.as_ref().err().unwrap_or(&rolled_back))));
        } else {
            for plan in plans.into_iter().flatten() {
                outcomes.push(applied(turn, verb, &plan));
            }
        }
    } else {
        for record in &records {
            claimed.clear();
            let outcome = match planned(turn, verb, kind, record, may_duplicate, &mut claimed) {
                Ok(plan) => applied(turn, verb, &plan),
                Err(refusal) => refuse::item(&refusal),
            };
            outcomes.push(outcome);
        }
    }
    Ok(Answer::json(200, &json!(outcomes)))
}

pub(super) fn delete(turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Refusal> {
    let ids = call.list("ids").unwrap_or_default();
    check_count(turn, ids.len())?;
    let mut outcomes = Vec::new();
    for id in &ids {
        let object = kind_of(id);
        let outcome =
            match object.ok_or_else(refuse::not_found).and_then(|object| Ok((object, rows::delete_one(turn, object, id)?))) {
                Ok((object, number)) => rows::saved(object, number),
                Err(refusal) => refuse::item(&refusal),
            };
        outcomes.push(outcome);
    }
    Ok(Answer::json(200, &json!(outcomes)))
}

/// Reads by id, `null` in the place of what is not there.
pub(super) fn retrieve(turn: &Turn<'_>, api: &str, object: ObjectType, call: &Call) -> Result<Answer, Refusal> {
    let body = if call.method == "POST" { rows::body(call)? } else { Map::new() };
    let list = |name: &str| -> Vec<String> {
        let sent = body.get(name).and_then(Value::as_array).into_iter().flatten();
        let sent: Vec<String> = sent.filter_map(|value| Some(value.as_str()?.to_owned())).collect();
        if sent.is_empty() { call.list(name).unwrap_or_default() } else { sent }
    };
    let (ids, fields) = (list("ids"), list("fields"));
    check_count(turn, ids.len())?;
    if let Some(name) = fields.iter().find(|name| turn.store.table(object).schema.find(name).is_none()) {
        return Err(refuse::no_such_column(object, name));
    }
    let read = |id: &String| {
        let number = super::ids::number(object, id)?;
        let (record, version) = rows::seen(turn, object, number).ok()?;
        Some(render::row(turn, api, record, version, &fields))
    };
    let rows: Vec<Value> = ids.iter().map(|id| read(id).unwrap_or(Value::Null)).collect();
    Ok(Answer::json(200, &json!(rows)))
}

fn planned(
    turn: &Turn<'_>,
    verb: Verb<'_>,
    kind: Option<ObjectType>,
    record: &Value,
    may_duplicate: bool,
    claimed: &mut plan::Claimed,
) -> Result<plan::Plan, Refusal> {
    let mut fields = record.as_object().cloned().ok_or_else(refuse::unreadable)?;
    let object = known(record["attributes"]["type"].as_str().unwrap_or_default())?;
    if kind.is_some_and(|kind| kind != object) {
        return Err(Refusal::new(400, "INVALID_TYPE", "The record's type is not the one of the call"));
    }
    let target = match verb {
        Verb::Create => None,
        Verb::Update => {
            let name = fields.keys().find(|name| name.eq_ignore_ascii_case("id")).cloned();
            let id = name.and_then(|name| fields.remove(&name));
            let id = id.as_ref().and_then(Value::as_str).ok_or_else(|| {
                Refusal::new(400, "MISSING_ARGUMENT", "Id not specified in an update call").with_context(json!([]))
            })?;
            Some(plan::target(turn, object, id)?)
        }
        Verb::Upsert(field) => {
            let key = fields.get(field).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            let key = key.ok_or_else(|| Refusal::new(400, "MISSING_ARGUMENT", format!("{field} not specified")))?;
            match plan::holders(turn, object, field, &key)?.as_slice() {
                [] => None,
                [number] => Some(*number),
                several => {
                    let text = format!("{field}: more than one record found for external id field: {several:?}");
                    return Err(Refusal::new(400, "DUPLICATE_EXTERNAL_ID", text).with_context(json!([field])));
                }
            }
        }
    };
    plan::plan(turn, object, target, fields, may_duplicate, claimed)
}

fn applied(turn: &mut Turn<'_>, verb: Verb<'_>, plan: &plan::Plan) -> Value {
    let object = plan.object;
    let (id, created) = plan::apply(turn, plan);
    let mut saved = rows::saved(object, id);
    if matches!(verb, Verb::Upsert(_)) {
        saved["created"] = json!(created);
    }
    saved
}

fn kind_of(id: &str) -> Option<ObjectType> {
    ObjectType::ALL.into_iter().find(|object| super::ids::is_id(id) && super::ids::number(*object, id).is_some())
}

fn check_count(turn: &Turn<'_>, count: usize) -> Result<(), Refusal> {
    let max = turn.number(&COLLECTION_MAX);
    if count == 0 {
        return Err(Refusal::new(400, "REQUIRED_FIELD_MISSING", "Required fields are missing: [records]"));
    }
    if count as u64 > max {
        return Err(Refusal::new(400, "EXCEEDED_MAX_SOBJECTS", format!("record count ({count}) exceeds the maximum of {max}")));
    }
    Ok(())
}
