//! How one row looks in an answer, and the ids and versions it is known by.

use serde_json::{Map, Value, json};

use super::stock;
use crate::{
    ObjectType,
    record::{Life, Record, Version},
    schema::Kind,
    stamp,
    turn::Turn,
};

/// A number as a GUID of its table.
pub(super) fn guid(object: ObjectType, number: u64) -> String {
    format!("{:08x}-7a2d-e711-80e5-{number:012x}", 0x60c4_e274_u64 + object as u64)
}

/// The number behind a GUID of this table. A plain number is understood too, for people at the control API.
pub(super) fn number(object: ObjectType, id: &str) -> Option<u64> {
    if let Ok(number) = id.parse() {
        return Some(number);
    }
    let lower = id.trim_matches(['{', '}']).to_lowercase();
    let number = u64::from_str_radix(lower.get(24..)?, 16).ok()?;
    (guid(object, number) == lower).then_some(number)
}

/// Grows with every version of any row.
pub(super) fn row_version(record: &Record, version: &Version) -> i64 {
    let older = record.versions().filter(|other| other.written_ms <= version.written_ms).count();
    version.written_ms * 10 + i64::try_from(older % 10).unwrap_or_default()
}

pub(super) fn etag(record: &Record, version: &Version) -> String {
    format!("W/\"{}\"", row_version(record, version))
}

/// Whether a row is there: also the loser of a merge, which is only inactive.
pub(super) fn is_there(version: &Version) -> bool {
    matches!(version.life, Life::Active | Life::MergedInto(_))
}

/// The chosen columns, every one of them when none is chosen, and always tag and id. Absent values are `null`.
pub(super) fn row(turn: &Turn<'_>, record: &Record, version: &Version, select: Option<&[String]>) -> Value {
    let mut row = Map::from_iter([("@odata.etag".to_owned(), json!(etag(record, version)))]);
    let used = turn.store.table(record.object).schema.all().filter(|property| !property.archived);
    for property in used {
        let name = property.name.as_str();
        if name == stock::key(record.object) || select.is_none_or(|select| select.iter().any(|chosen| chosen == name)) {
            let shown = text(record, version, name).map_or(Value::Null, |text| match property.kind {
                Kind::DateTime => stamp::parse(&text).map_or(Value::Null, |ms| json!(stamp::seconds(ms))),
                _ => property.json(&text),
            });
            row.insert(name.to_owned(), shown);
        }
    }
    row.into()
}

/// A column as plain text, the CRM's own included. `None` when it has no value.
pub(super) fn text(record: &Record, version: &Version, name: &str) -> Option<String> {
    let inactive = version.life != Life::Active;
    match name {
        "createdon" => Some(stamp::seconds(record.created_ms)),
        "modifiedon" => Some(stamp::seconds(version.stamp_ms)),
        "versionnumber" => Some(row_version(record, version).to_string()),
        "statecode" => Some(u8::from(inactive).to_string()),
        "merged" => Some(inactive.to_string()),
        "_masterid_value" => match version.life {
            Life::MergedInto(winner) => Some(guid(record.object, winner)),
            Life::Active | Life::Archived | Life::Erased => None,
        },
        name if name == stock::key(record.object) => Some(guid(record.object, record.id)),
        name => version.props.get(name).cloned(),
    }
}
