//! Lists: half-open windows over the modified time, in an order whose ties fall by id, paged by a cursor that names the next row.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{BAD_TIMES_IGNORED, CURSOR_MINUTES, DELETED_DAYS, FRACTIONS_REFUSED, MERGED_IS_DELETED, refuse, render};
use crate::{
    ObjectType, Refusal,
    call::{Answer, Call},
    record::{Life, Record, Version},
    stamp,
    turn::Turn,
};

const ROWS_DEFAULT: usize = 100;
const ROWS_MAX: usize = 500;
const IDS_MAX: usize = 100;
const DAY_MS: u64 = 86_400_000;

/// The place of the first row of the next page, in the clear, as the vendor's own cursors turn out to be.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cursor {
    field: String,
    field_value: Value,
    sort_direction: String,
    id: u64,
    /// When it was made, only where cursors age.
    #[serde(skip_serializing_if = "Option::is_none")]
    made: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Id,
    Updated,
    Added,
}

impl Key {
    fn of(self, record: &Record, version: &Version) -> i64 {
        match self {
            Self::Id => record.id.cast_signed(),
            Self::Updated => version.stamp_ms,
            Self::Added => record.created_ms,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Updated => "update_time",
            Self::Added => "add_time",
        }
    }

    fn shown(self, key: i64) -> Value {
        if self == Self::Id { json!(key) } else { json!(stamp::seconds(key)) }
    }

    fn read(self, value: &Value) -> Option<i64> {
        if self == Self::Id { value.as_i64() } else { stamp::parse(value.as_str()?) }
    }
}

/// What a list is asked for.
struct Query {
    since_ms: i64,
    until_ms: i64,
    key: Key,
    descending: bool,
    limit: usize,
    ids: Option<Vec<u64>>,
    statuses: Option<Vec<String>>,
    /// Fields that must hold a value.
    equal: Vec<(&'static str, String)>,
}

pub(super) fn list(turn: &mut Turn<'_>, object: ObjectType, call: &Call, archived: bool) -> Result<Answer, Refusal> {
    let query = read(turn, object, call)?;
    let from = call.parameter("cursor").map(|cursor| place(turn, &query, cursor)).transpose()?;
    let mut rows: Vec<(i64, u64, &Record, &Version)> = turn
        .store
        .table(object)
        .records()
        .filter_map(|record| Some((record, record.committed(turn.now_ms)?)))
        .filter(|(record, version)| is_listed(turn, &query, record, version, archived))
        .map(|(record, version)| (query.key.of(record, version), record.id, record, version))
        .collect();
    rows.sort_by_key(|(key, id, ..)| (*key, *id));
    if query.descending {
        rows.reverse();
    }
    let passed = |key: i64, id: u64| from.is_some_and(|from| if query.descending { (key, id) > from } else { (key, id) < from });
    let start = rows.partition_point(|(key, id, ..)| passed(*key, *id));
    let page = rows.iter().skip(start).take(query.limit);
    let data: Vec<Value> = page.map(|(.., record, version)| render::row(turn.store, record, version)).collect();
    let next = rows.get(start + query.limit).map(|(key, id, ..)| cursor(turn, &query, *key, *id));
    Ok(Answer::json(200, &json!({ "success": true, "data": data, "additional_data": { "next_cursor": next } })))
}

/// Whether a record that is deleted or merged away can still be found. A live one always can.
pub(super) fn is_kept(turn: &Turn<'_>, version: &Version) -> bool {
    let gone = match version.life {
        Life::Active => return true,
        Life::Archived => false,
        Life::Erased => true,
        Life::MergedInto(_) => !turn.is_on(&MERGED_IS_DELETED),
    };
    let ends_ms = version.written_ms.saturating_add_unsigned(turn.number(&DELETED_DAYS).saturating_mul(DAY_MS));
    !gone && turn.now_ms < ends_ms
}

fn is_listed(turn: &Turn<'_>, query: &Query, record: &Record, version: &Version, archived: bool) -> bool {
    let value = |name: &str| version.props.get(name).map(String::as_str);
    let is_archived = value("is_archived") == Some("true");
    let status = if version.life == Life::Active { value("status").unwrap_or("open") } else { "deleted" };
    let status_fits = match &query.statuses {
        Some(wanted) => wanted.iter().any(|wanted| wanted == status),
        None => version.life == Life::Active,
    };
    status_fits
        && is_archived == archived
        && is_kept(turn, version)
        && (query.since_ms..query.until_ms).contains(&version.stamp_ms)
        && query.ids.as_ref().is_none_or(|ids| ids.contains(&record.id))
        && query.equal.iter().all(|(name, wanted)| value(name) == Some(wanted))
}

fn read(turn: &Turn<'_>, object: ObjectType, call: &Call) -> Result<Query, Refusal> {
    if call.parameter("filter_id").is_some() {
        return Err(refuse::validation("filter_id: saved filters are not offered by this practice CRM"));
    }
    let key = match call.parameter("sort_by") {
        None | Some("id") => Key::Id,
        Some("update_time") => Key::Updated,
        Some("add_time") => Key::Added,
        Some(other) => return Err(refuse::validation(&format!("sort_by: {other} is not a sortable field"))),
    };
    let descending = match call.parameter("sort_direction") {
        None | Some("asc") => false,
        Some("desc") => true,
        Some(other) => return Err(refuse::validation(&format!("sort_direction: {other} is not a direction"))),
    };
    let ids = match call.list("ids") {
        Some(ids) if ids.len() > IDS_MAX => return Err(refuse::validation("ids: at most 100")),
        Some(ids) => Some(ids.iter().filter_map(|id| id.parse().ok()).collect()),
        None => None,
    };
    let statuses = call.list("status").filter(|_| object == ObjectType::Deals);
    if let Some(other) = statuses.iter().flatten().find(|status| !["open", "won", "lost", "deleted"].contains(&status.as_str())) {
        return Err(refuse::validation(&format!("status: {other} is not a status")));
    }
    let equal = ["owner_id", "person_id", "org_id", "pipeline_id", "stage_id"];
    Ok(Query {
        since_ms: time(turn, call, "updated_since")?.unwrap_or(i64::MIN),
        until_ms: time(turn, call, "updated_until")?.unwrap_or(i64::MAX),
        key,
        descending,
        limit: limit(call)?,
        ids,
        statuses,
        equal: equal.into_iter().filter_map(|name| Some((name, call.parameter(name)?.to_owned()))).collect(),
    })
}

pub(super) fn limit(call: &Call) -> Result<usize, Refusal> {
    let Some(text) = call.parameter("limit") else { return Ok(ROWS_DEFAULT) };
    let limit = text.parse().ok().filter(|limit| (1..=ROWS_MAX).contains(limit));
    limit.ok_or_else(|| refuse::validation(&format!("limit: {text} is not between 1 and {ROWS_MAX}")))
}

/// RFC 3339 in whole seconds. An offset is understood; a bare date or an epoch is not.
fn time(turn: &Turn<'_>, call: &Call, name: &str) -> Result<Option<i64>, Refusal> {
    let Some(text) = call.parameter(name) else { return Ok(None) };
    let fraction = text.contains('.') && turn.is_on(&FRACTIONS_REFUSED);
    let read = stamp::parse(text).filter(|_| text.contains('T') && !fraction);
    match read {
        Some(ms) => Ok(Some(ms)),
        None if turn.is_on(&BAD_TIMES_IGNORED) => Ok(None),
        None => Err(refuse::validation(&format!("{name}: {text} is not a valid datetime"))),
    }
}

fn cursor(turn: &Turn<'_>, query: &Query, key: i64, id: u64) -> String {
    let cursor = Cursor {
        field: query.key.name().to_owned(),
        field_value: query.key.shown(key),
        sort_direction: if query.descending { "desc" } else { "asc" }.to_owned(),
        id,
        made: (turn.number(&CURSOR_MINUTES) > 0).then_some(turn.now_ms),
    };
    STANDARD.encode(serde_json::to_string(&cursor).unwrap_or_default())
}

/// Where the page begins. A cursor of another order is refused.
fn place(turn: &Turn<'_>, query: &Query, text: &str) -> Result<(i64, u64), Refusal> {
    let wrong = || refuse::validation("cursor: Invalid cursor");
    let bytes = STANDARD.decode(text).map_err(|_| wrong())?;
    let cursor: Cursor = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
    let direction = if query.descending { "desc" } else { "asc" };
    if cursor.field != query.key.name() || cursor.sort_direction != direction {
        return Err(wrong());
    }
    let age_max_ms = i64::try_from(turn.number(&CURSOR_MINUTES)).unwrap_or(i64::MAX).saturating_mul(60_000);
    if age_max_ms > 0 && cursor.made.is_none_or(|made| turn.now_ms - made >= age_max_ms) {
        return Err(wrong());
    }
    Ok((query.key.read(&cursor.field_value).ok_or_else(wrong)?, cursor.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_as_the_vendors_own_example() {
        let example = "eyJmaWVsZCI6ImlkIiwiZmllbGRWYWx1ZSI6Nywic29ydERpcmVjdGlvbiI6ImFzYyIsImlkIjo3fQ==";
        let cursor: Cursor = serde_json::from_slice(&STANDARD.decode(example).unwrap()).unwrap();
        assert_eq!((cursor.field.as_str(), cursor.field_value.clone(), cursor.id), ("id", json!(7), 7));
        assert_eq!(STANDARD.encode(serde_json::to_string(&cursor).unwrap()), example);
    }
}
