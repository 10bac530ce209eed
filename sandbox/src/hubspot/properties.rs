//! The account's properties: reading them, adding custom ones, and the drift of changing or archiving them.

use serde::Deserialize;
use serde_json::{Value, json};

use super::refuse::no_such_property;
use crate::{
    ObjectType, Refusal,
    call::{Answer, Call},
    schema::{Choice, Kind, Property},
    stamp,
    turn::Turn,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewProperty {
    name: String,
    label: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    field_type: Option<String>,
    #[serde(default)]
    options: Vec<OptionSpec>,
    #[serde(default)]
    has_unique_value: bool,
}

#[derive(Deserialize)]
struct PropertyChange {
    label: Option<String>,
    options: Option<Vec<OptionSpec>>,
}

#[derive(Deserialize)]
struct OptionSpec {
    value: String,
    label: Option<String>,
    #[serde(default)]
    hidden: bool,
}

impl OptionSpec {
    fn choice(self) -> Choice {
        Choice { label: self.label.unwrap_or_else(|| self.value.clone()), value: self.value, hidden: self.hidden }
    }
}

pub(super) fn list(turn: &Turn<'_>, object: ObjectType, call: &Call) -> Answer {
    let archived = call.flag("archived");
    let schema = &turn.store.table(object).schema;
    let results: Vec<Value> = schema.all().filter(|property| property.archived == archived).map(described).collect();
    Answer::json(200, &json!({ "results": results }))
}

pub(super) fn get(turn: &Turn<'_>, object: ObjectType, name: &str) -> Result<Answer, Refusal> {
    let property = turn.store.table(object).schema.find(name).ok_or_else(|| no_such_property(object, name))?;
    Ok(Answer::json(200, &described(property)))
}

pub(super) fn create(turn: &mut Turn<'_>, object: ObjectType, call: &Call) -> Result<Answer, Refusal> {
    let sent: NewProperty = call.read()?;
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !sent.name.starts_with(|c: char| c.is_ascii_lowercase()) || !sent.name.chars().all(lower) {
        let text = format!("Property name '{}' may hold only lower case letters, digits and underscores", sent.name);
        return Err(Refusal::invalid(text));
    }
    let kind = match sent.kind.as_str() {
        "string" => Kind::Text,
        "phone_number" => Kind::Phone,
        "number" => Kind::Number,
        "date" => Kind::Date,
        "datetime" => Kind::DateTime,
        "bool" => Kind::Boolean,
        "enumeration" => Kind::Enumeration,
        other => return Err(Refusal::invalid(format!("{other} is not a known property type"))),
    };
    let options = if sent.kind == "bool" && sent.options.is_empty() {
        let choice = |(value, label): (&str, &str)| Choice { value: value.to_owned(), label: label.to_owned(), hidden: false };
        [("true", "Yes"), ("false", "No")].map(choice).into()
    } else {
        sent.options.into_iter().map(OptionSpec::choice).collect()
    };
    let property = Property {
        options,
        several: sent.field_type.as_deref() == Some("checkbox"),
        unique: sent.has_unique_value,
        stock: false,
        ..Property::stock(&sent.name, sent.label.as_deref().unwrap_or(&sent.name), kind, turn.crm_ms())
    };
    let answer = Answer::json(201, &described(&property));
    let name = sent.name;
    if turn.store.table_mut(object).schema.add(property) {
        return Ok(answer);
    }
    let text = format!("A property named '{name}' already exists.");
    Err(Refusal::new(409, "OBJECT_ALREADY_EXISTS", text))
}

pub(super) fn update(turn: &mut Turn<'_>, object: ObjectType, name: &str, call: &Call) -> Result<Answer, Refusal> {
    let sent: PropertyChange = call.read()?;
    let now_ms = turn.crm_ms();
    let property = turn.store.table_mut(object).schema.change(name).ok_or_else(|| no_such_property(object, name))?;
    if let Some(label) = sent.label {
        property.label = label;
    }
    if let Some(options) = sent.options {
        property.options = options.into_iter().map(OptionSpec::choice).collect();
    }
    property.updated_ms = now_ms;
    Ok(Answer::json(200, &described(property)))
}

pub(super) fn archive(turn: &mut Turn<'_>, object: ObjectType, name: &str) -> Result<Answer, Refusal> {
    let now_ms = turn.crm_ms();
    let property = turn.store.table_mut(object).schema.change(name).ok_or_else(|| no_such_property(object, name))?;
    if property.stock {
        return Err(Refusal::invalid(format!("Property {name} is defined by the CRM and cannot be archived")));
    }
    property.archived = true;
    property.updated_ms = now_ms;
    Ok(Answer::empty(204))
}

fn described(property: &Property) -> Value {
    let (kind, field) = match property.kind {
        Kind::Text | Kind::Email => ("string", "text"),
        Kind::Phone => ("string", "phonenumber"),
        Kind::Number => ("number", "number"),
        Kind::Boolean => ("bool", "booleancheckbox"),
        Kind::Date => ("date", "date"),
        Kind::DateTime => ("datetime", "date"),
        Kind::Enumeration if property.several => ("enumeration", "checkbox"),
        Kind::Enumeration => ("enumeration", "select"),
    };
    let options: Vec<Value> = property
        .options
        .iter()
        .enumerate()
        .map(|(at, choice)| json!({ "label": choice.label, "value": choice.value, "displayOrder": at, "hidden": choice.hidden }))
        .collect();
    json!({
        "name": property.name,
        "label": property.label,
        "type": kind,
        "fieldType": field,
        "description": "",
        "groupName": "information",
        "options": options,
        "hasUniqueValue": property.unique,
        "calculated": false,
        "externalOptions": false,
        "hidden": false,
        "hubspotDefined": property.stock,
        "formField": !property.read_only,
        "displayOrder": -1,
        "archived": property.archived,
        "createdAt": stamp::iso(property.created_ms),
        "updatedAt": stamp::iso(property.updated_ms),
        "modificationMetadata": {
            "archivable": !property.stock,
            "readOnlyDefinition": property.stock,
            "readOnlyOptions": false,
            "readOnlyValue": property.read_only,
        },
    })
}
