//! The audience's merge fields: reading them, adding and taking away.

use serde_json::{Value, json};

use super::{LIST, members, refuse, render, stock};
use crate::{
    ObjectType, Refusal,
    call::{Answer, Call},
    schema::{Choice, Kind, Property},
    turn::Turn,
};

const KIND: ObjectType = ObjectType::Contacts;

pub(super) fn list(turn: &Turn<'_>, call: &Call) -> Answer {
    let fields: Vec<Value> = numbered(turn).map(|(id, property)| described(id, property)).collect();
    let body = json!({ "merge_fields": fields, "list_id": LIST, "total_items": fields.len(), "_links": [] });
    Answer::json(200, &render::pruned(call, body))
}

pub(super) fn create(turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Refusal> {
    let sent = members::body(call)?;
    let text = |name: &str| sent.get(name).and_then(Value::as_str).unwrap_or_default();
    let kind = match text("type") {
        "text" | "address" | "zip" | "url" => Kind::Text,
        "number" => Kind::Number,
        "phone" => Kind::Phone,
        "date" => Kind::Date,
        "dropdown" | "radio" => Kind::Enumeration,
        other => return Err(refuse::not_valid(&[("type", format!("{other} is not offered by this practice CRM"))])),
    };
    let name = text("name");
    let tag = stock::tag(if text("tag").is_empty() { name } else { text("tag") });
    let choices = sent.get("options").and_then(|options| options["choices"].as_array()).into_iter().flatten();
    let choice = |value: &str| Choice { value: value.to_owned(), label: value.to_owned(), hidden: false };
    let options = choices.filter_map(Value::as_str).map(choice).collect();
    let property = Property { options, stock: false, ..Property::stock(&tag, name, kind, turn.crm_ms()) };
    if !turn.store.table_mut(KIND).schema.add(property) {
        let text = format!("A Merge Field with the tag \"{tag}\" already exists for this list.");
        return Err(Refusal::new(400, "Invalid Resource", text));
    }
    let made = numbered(turn).find(|(_, property)| property.name == tag).map(|(id, property)| described(id, property));
    Ok(Answer::json(200, &made.unwrap_or_default()))
}

pub(super) fn remove(turn: &mut Turn<'_>, id: &str) -> Result<Answer, Refusal> {
    let named = numbered(turn).find(|(own, _)| own.to_string() == id).map(|(_, property)| property.name.clone());
    let property = named.and_then(|name| turn.store.table_mut(KIND).schema.change(&name)).ok_or_else(refuse::missing)?;
    property.archived = true;
    Ok(Answer::empty(204))
}

/// The merge fields in use, each under a number of its own that stays while others come and go.
fn numbered<'a>(turn: &'a Turn<'_>) -> impl Iterator<Item = (u64, &'a Property)> {
    let fields = turn.store.table(KIND).schema.all().filter(|property| stock::is_merge_field(&property.name));
    fields.filter(|property| !property.archived).map(|property| (number(&property.name), property))
}

fn number(tag: &str) -> u64 {
    tag.bytes().fold(7_u64, |number, byte| (number * 31 + u64::from(byte)) % 99_991)
}

fn described(id: u64, property: &Property) -> Value {
    let kind = match property.kind {
        Kind::Number => "number",
        Kind::Phone => "phone",
        Kind::Date | Kind::DateTime => "date",
        Kind::Enumeration => "dropdown",
        Kind::Text | Kind::Email | Kind::Boolean => "text",
    };
    let options = match property.kind {
        Kind::Enumeration => json!({ "choices": property.options.iter().map(|choice| &choice.value).collect::<Vec<_>>() }),
        _ => json!({ "size": 25 }),
    };
    json!({
        "merge_id": id,
        "tag": property.name,
        "name": property.label,
        "type": kind,
        "required": false,
        "default_value": "",
        "public": false,
        "options": options,
        "list_id": LIST,
    })
}
