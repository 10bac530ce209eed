//! How one record looks in an answer.

use std::{borrow::Cow, collections::BTreeSet};

use serde_json::{Map, Value, json};

use crate::{
    ObjectType, Refusal,
    record::{Life, Record, Version},
    stamp,
    store::Store,
};

/// The properties a read answers with: those asked for, or the vendor's default ones, and always id and stamps.
pub(crate) struct Wanted(BTreeSet<String>);

impl Wanted {
    pub(crate) fn new(object: ObjectType, asked: Option<&[String]>) -> Self {
        let mut names: BTreeSet<String> = match asked {
            Some(asked) if !asked.is_empty() => asked.iter().cloned().collect(),
            _ => object.default_properties().iter().map(|name| (*name).to_owned()).collect(),
        };
        names.extend(["hs_object_id", "createdate", object.modified_property()].map(str::to_owned));
        Self(names)
    }
}

/// A property as text, the CRM's own ones included. `None` when it has no value.
fn value<'a>(record: &Record, version: &'a Version, property: &str) -> Option<Cow<'a, str>> {
    match property {
        "hs_object_id" => Some(Cow::Owned(record.id.to_string())),
        "createdate" => Some(Cow::Owned(stamp::iso(record.created_ms))),
        name if name == record.object.modified_property() => Some(Cow::Owned(stamp::iso(version.stamp_ms))),
        name => version.props.get(name).map(|value| Cow::Borrowed(value.as_str())),
    }
}

/// A read's row. A wanted property without a value is `null`; a name the account does not know is left out.
pub(crate) fn row(store: &Store, record: &Record, version: &Version, wanted: &Wanted) -> Value {
    let schema = &store.table(record.object).schema;
    let properties: Map<String, Value> = wanted
        .0
        .iter()
        .filter(|name| schema.find(name).is_some())
        .map(|name| (name.clone(), value(record, version, name).map_or(Value::Null, |value| json!(value))))
        .collect();
    envelope(record, version, &properties)
}

/// What a write answers with: every property that has a value.
pub(crate) fn written(record: &Record) -> Value {
    let version = record.head();
    let mut properties: Map<String, Value> = version.props.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    for name in ["hs_object_id", "createdate", record.object.modified_property()] {
        properties.insert(name.to_owned(), json!(value(record, version, name)));
    }
    envelope(record, version, &properties)
}

/// Adds the `associations` a read by id or a list asked for.
pub(crate) fn add_associations(store: &Store, record: &Record, asked: &[String], row: &mut Value) -> Result<(), Refusal> {
    for name in asked {
        let to = super::known(name)?;
        let label = format!("{}_to_{}", record.object.singular(), to.singular());
        let results: Vec<Value> =
            store.links.of((record.object, record.id), to).map(|id| json!({ "id": id.to_string(), "type": label })).collect();
        if !results.is_empty() {
            row["associations"][to.plural()] = json!({ "results": results });
        }
    }
    Ok(())
}

fn envelope(record: &Record, version: &Version, properties: &Map<String, Value>) -> Value {
    let archived = version.life == Life::Archived;
    let mut row = json!({
        "id": record.id.to_string(),
        "properties": properties,
        "createdAt": stamp::iso(record.created_ms),
        "updatedAt": stamp::iso(version.stamp_ms),
        "archived": archived,
    });
    if archived {
        row["archivedAt"] = json!(stamp::iso(version.stamp_ms));
    }
    row
}
