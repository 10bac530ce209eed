//! How one record looks in an answer.

use serde_json::{Value, json};

use super::{ids, refuse};
use crate::{
    record::{Life, Record, Version},
    schema::Kind,
    stamp,
    turn::Turn,
};

/// `2026-03-01T12:00:00.000+0000`: whole seconds, and an offset without a colon.
pub(super) fn time(ms: i64) -> String {
    stamp::seconds(ms).replace('Z', ".000+0000")
}

/// The named fields, absent values as `null`.
pub(super) fn row(turn: &Turn<'_>, api: &str, record: &Record, version: &Version, fields: &[String]) -> Value {
    let kind = refuse::name(record.object);
    let url = format!("/services/data/{api}/sobjects/{kind}/{}", ids::long(record.object, record.id));
    let mut row = json!({ "attributes": { "type": kind, "url": url } });
    for name in fields {
        row[name.as_str()] = value(turn, record, version, name);
    }
    row
}

/// A field as plain text, those of the CRM itself included. `None` when it has no value.
pub(super) fn text(turn: &Turn<'_>, record: &Record, version: &Version, name: &str) -> Option<String> {
    match name {
        "Id" => Some(ids::long(record.object, record.id)),
        "IsDeleted" => Some((version.life != Life::Active).to_string()),
        "MasterRecordId" => match version.life {
            Life::MergedInto(winner) => Some(ids::long(record.object, winner)),
            Life::Active | Life::Archived | Life::Erased => None,
        },
        "CreatedDate" => Some(stamp::seconds(record.created_ms)),
        "SystemModstamp" | "LastModifiedDate" => Some(stamp::seconds(version.stamp_ms)),
        "OwnerId" => Some(version.props.get(name).cloned().unwrap_or_else(|| "005Ax0000000001AAA".to_owned())),
        name => {
            turn.store.table(record.object).schema.find(name)?;
            version.props.get(name).cloned()
        }
    }
}

fn value(turn: &Turn<'_>, record: &Record, version: &Version, name: &str) -> Value {
    let Some(text) = text(turn, record, version, name) else { return Value::Null };
    let Some(property) = turn.store.table(record.object).schema.find(name) else { return Value::Null };
    match property.kind {
        Kind::DateTime => stamp::parse(&text).map_or(Value::Null, |ms| json!(time(ms))),
        _ => property.json(&text),
    }
}
