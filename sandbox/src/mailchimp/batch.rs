//! Many members in one call: 200 whatever happened, and what happened to each in lists that follow no order.

use rand::seq::SliceRandom;
use serde_json::{Value, json};

use super::{BATCH_MAX, members, refuse, render};
use crate::{
    ObjectType, Refusal,
    call::{Answer, Call},
    turn::Turn,
};

pub(super) fn write(turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Refusal> {
    let body = members::body(call)?;
    let Some(inputs) = body.get("members").and_then(Value::as_array) else {
        return Err(refuse::not_valid(&[("members", "This value should not be blank.".to_owned())]));
    };
    let max = turn.number(&BATCH_MAX);
    if inputs.len() as u64 > max {
        return Err(refuse::not_valid(&[("members", format!("This collection should contain {max} elements or less."))]));
    }
    let updates = body.get("update_existing").and_then(Value::as_bool).unwrap_or_default();
    let (mut new, mut updated, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for input in inputs {
        let address = input["email_address"].as_str().unwrap_or_default();
        match write_one(turn, input, updates) {
            Ok((id, true)) => new.push(id),
            Ok((id, false)) => updated.push(id),
            Err(refusal) => errors.push(error(address, &refusal)),
        }
    }
    if turn.weather.shuffle {
        new.shuffle(turn.dice);
        errors.shuffle(turn.dice);
    }
    let shown = |ids: &[u64]| -> Vec<Value> {
        let table = turn.store.table(ObjectType::Contacts);
        ids.iter().filter_map(|id| table.find(*id)).map(|record| render::member(turn.store, record, record.head())).collect()
    };
    let body = json!({
        "new_members": shown(&new),
        "updated_members": shown(&updated),
        "errors": errors,
        "total_created": new.len(),
        "total_updated": updated.len(),
        "error_count": errors.len(),
        "_links": [],
    });
    Ok(Answer::json(200, &render::pruned(call, body)))
}

fn write_one(turn: &mut Turn<'_>, input: &Value, updates: bool) -> Result<(u64, bool), Refusal> {
    let Some(input) = input.as_object() else {
        return Err(refuse::not_valid(&[("members", "Schema describes object".to_owned())]));
    };
    let address = input.get("email_address").and_then(Value::as_str).unwrap_or_default();
    let target = members::find(turn, address).filter(|_| !address.is_empty());
    match target {
        Some(_) if !updates => Err(refuse::exists(address)),
        target => members::write(turn, target, input.clone()),
    }
}

/// The codes are two; the reason is in prose.
fn error(address: &str, refusal: &Refusal) -> Value {
    let exists = refusal.category() == "Member Exists";
    let text = if exists {
        format!(
            "{address} is already a list member, do you want to update? please provide update_existing:true in the request body"
        )
    } else {
        refusal.message().to_owned()
    };
    json!({
        "email_address": address,
        "error": text,
        "error_code": if exists { "ERROR_CONTACT_EXISTS" } else { "ERROR_GENERIC" },
        "field": "",
        "field_message": "",
    })
}
