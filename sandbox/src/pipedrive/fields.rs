//! The account's fields: reading them, adding custom ones, and the drift of taking one away.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{list, records, refuse, stock};
use crate::{
    ObjectType, Refusal,
    call::{Answer, Call},
    schema::{Choice, Kind, Property},
    turn::Turn,
};

#[derive(Deserialize)]
struct NewField {
    field_name: String,
    field_type: String,
    #[serde(default)]
    options: Vec<NewOption>,
}

#[derive(Deserialize)]
struct NewOption {
    label: String,
}

/// The kind whose fields a path names.
pub(super) fn owner(path: &str) -> Option<ObjectType> {
    match path {
        "personFields" => Some(ObjectType::Contacts),
        "organizationFields" => Some(ObjectType::Companies),
        "dealFields" => Some(ObjectType::Deals),
        _ => None,
    }
}

pub(super) fn list(turn: &Turn<'_>, object: ObjectType, call: &Call) -> Result<Answer, Refusal> {
    let limit = list::limit(call)?;
    let computed = [("id", "ID", "int"), ("add_time", "Created", "date"), ("update_time", "Updated", "date")];
    let computed = computed.map(|(code, name, kind)| shown(code, name, kind, &[]));
    let kept = turn.store.table(object).schema.all().filter(|property| !property.archived).map(described);
    let all: Vec<Value> = computed.into_iter().chain(kept).collect();
    let start = call.parameter("cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let data: Vec<&Value> = all.iter().skip(start).take(limit).collect();
    let next = (start + data.len() < all.len()).then(|| (start + data.len()).to_string());
    Ok(Answer::json(200, &json!({ "success": true, "data": data, "additional_data": { "next_cursor": next } })))
}

pub(super) fn get(turn: &Turn<'_>, object: ObjectType, code: &str) -> Result<Answer, Refusal> {
    let property = turn.store.table(object).schema.find(code).ok_or_else(missing)?;
    Ok(records::answered(200, &described(property)))
}

pub(super) fn create(turn: &mut Turn<'_>, object: ObjectType, call: &Call) -> Result<Answer, Refusal> {
    let sent: NewField = serde_json::from_str(&call.body).map_err(|error| refuse::validation(&error.to_string()))?;
    let kind = match sent.field_type.as_str() {
        "varchar" | "text" | "varchar_auto" => Kind::Text,
        "phone" => Kind::Phone,
        "double" | "int" => Kind::Number,
        "date" => Kind::Date,
        "enum" => Kind::Enumeration,
        other => return Err(refuse::validation(&format!("field_type: {other} is not offered by this practice CRM"))),
    };
    let options = sent.options.into_iter().enumerate().map(|(at, option)| Choice {
        value: (at + 1).to_string(),
        label: option.label,
        hidden: false,
    });
    let property = Property {
        options: options.collect(),
        stock: false,
        ..Property::stock(&stock::code(&sent.field_name), &sent.field_name, kind, turn.crm_ms())
    };
    let shown = described(&property);
    if turn.store.table_mut(object).schema.add(property) {
        return Ok(records::answered(201, &shown));
    }
    Err(refuse::validation(&format!("field_name: {} is in use", sent.field_name)))
}

pub(super) fn remove(turn: &mut Turn<'_>, object: ObjectType, code: &str) -> Result<Answer, Refusal> {
    let now_ms = turn.crm_ms();
    let property = turn.store.table_mut(object).schema.change(code).ok_or_else(missing)?;
    if property.stock {
        return Err(refuse::validation("field_code: a stock field cannot be deleted"));
    }
    property.archived = true;
    property.updated_ms = now_ms;
    Ok(records::answered(200, &json!({ "field_code": code })))
}

fn missing() -> Refusal {
    Refusal::new(404, "", "Field not found")
}

fn described(property: &Property) -> Value {
    let kind = match (property.name.as_str(), property.kind) {
        ("org_id", _) => "org",
        ("person_id", _) => "people",
        ("owner_id", _) => "user",
        ("stage_id", _) => "stage",
        ("status", _) => "status",
        ("visible_to", _) => "visible_to",
        ("value", _) => "monetary",
        ("address", _) => "address",
        ("label_ids", _) => "set",
        (_, Kind::Text | Kind::Email) => "varchar",
        (_, Kind::Phone) => "phone",
        (_, Kind::Number) => "double",
        (_, Kind::Boolean) => "boolean",
        (_, Kind::Date | Kind::DateTime) => "date",
        (_, Kind::Enumeration) => "enum",
    };
    shown(&property.name, &property.label, kind, &property.options)
}

fn shown(code: &str, name: &str, kind: &str, options: &[Choice]) -> Value {
    let listed = options.iter().map(|Choice { value, label, .. }| {
        let id: Value = value.parse::<u64>().map_or_else(|_| json!(value), |id| json!(id));
        json!({ "id": id, "label": label })
    });
    let options = if options.is_empty() { Value::Null } else { listed.collect::<Vec<_>>().into() };
    json!({
        "field_code": code,
        "field_name": name,
        "field_type": kind,
        "is_custom_field": stock::is_custom(code),
        "is_optional_response_field": false,
        "options": options,
        "subfields": Value::Null,
    })
}
