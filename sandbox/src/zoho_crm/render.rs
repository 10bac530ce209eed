//! How one record looks in an answer, and how times look in the organisation's own offset.

use chrono::{DateTime, FixedOffset};
use serde_json::{Value, json};

use super::{OFFSET_MINUTES, stock};
use crate::{
    ObjectType,
    quirk::Switch,
    record::{Record, Version},
    schema::Kind,
    stamp,
    turn::Turn,
};

/// Ids begin here, so that they look like the vendor's.
const FIRST: u64 = 5_725_767_000_000_000_000;

pub(super) fn id(number: u64) -> String {
    (FIRST + number).to_string()
}

/// A plain number is understood too, for people at the control API.
pub(super) fn number(id: &str) -> Option<u64> {
    let number: u64 = id.parse().ok()?;
    Some(number.checked_sub(FIRST).unwrap_or(number))
}

/// A moment in the organisation's offset.
pub(crate) fn local(turn: &Turn<'_>, offset: &Switch, ms: i64) -> DateTime<FixedOffset> {
    let minutes = i32::try_from(turn.number(offset)).unwrap_or_default().clamp(0, 14 * 60);
    let utc = DateTime::from_timestamp_millis(ms).unwrap_or(DateTime::UNIX_EPOCH);
    FixedOffset::east_opt(minutes * 60).map_or_else(|| utc.fixed_offset(), |offset| utc.with_timezone(&offset))
}

/// `2026-03-01T17:30:00+05:30`.
pub(super) fn time(turn: &Turn<'_>, ms: i64) -> String {
    local(turn, &OFFSET_MINUTES, ms).format("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// The id and the fields asked for; every field there is when `None`.
pub(super) fn row(turn: &Turn<'_>, record: &Record, version: &Version, fields: Option<&[String]>) -> Value {
    let mut row = json!({ "id": id(record.id) });
    let used = turn.store.table(record.object).schema.all().filter(|property| !property.archived);
    for property in used.filter(|property| fields.is_none_or(|fields| fields.contains(&property.name))) {
        let name = property.name.as_str();
        let kept = version.props.get(name).map(String::as_str);
        row[name] = match (name, kept) {
            ("id", _) => continue,
            ("Created_Time", _) => json!(time(turn, record.created_ms)),
            ("Modified_Time", _) => json!(time(turn, version.stamp_ms)),
            (_, None) => Value::Null,
            (_, Some(kept)) => match stock::points_to(record.object, name) {
                Some(kind) => pointer(turn, kind, kept),
                None if property.kind == Kind::DateTime => stamp::parse(kept).map_or(Value::Null, |ms| json!(time(turn, ms))),
                None => property.json(kept),
            },
        };
    }
    row
}

/// A record that another points to: its id and the name it has by now, a change of which stamps nobody.
fn pointer(turn: &Turn<'_>, kind: ObjectType, kept: &str) -> Value {
    let found =
        number(kept).and_then(|number| turn.store.table(kind).find(number)).and_then(|record| record.committed(turn.now_ms));
    let name = found.and_then(|version| {
        let name = stock::needed(kind)[0];
        version.props.get(name).cloned()
    });
    json!({ "name": name, "id": kept })
}
