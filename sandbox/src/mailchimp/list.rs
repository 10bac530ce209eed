//! The list of members: windows over the time of the last change, one sort key, and positions as pages.

use rand::Rng;
use serde_json::{Value, json};

use super::{BAD_TIMES_IGNORED, LIST, LIST_HAS_ARCHIVED, ROWS_MAX, SINCE_IS_EXCLUSIVE, refuse, render, stock};
use crate::{
    ObjectType, Refusal,
    call::{Answer, Call},
    record::{Life, Record, Version},
    stamp,
    turn::Turn,
};

const ROWS_DEFAULT: u64 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    /// No order was asked for: as the members joined.
    None,
    OptedIn,
    Changed,
}

pub(super) fn list(turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Refusal> {
    let since_ms = time(turn, call, "since_last_changed")?;
    let before_ms = time(turn, call, "before_last_changed")?;
    let joined_since_ms = time(turn, call, "since_timestamp_opt")?;
    let joined_before_ms = time(turn, call, "before_timestamp_opt")?;
    let key = match call.parameter("sort_field") {
        None => Key::None,
        Some("timestamp_opt" | "timestamp_signup") => Key::OptedIn,
        Some("last_changed") => Key::Changed,
        Some(_) => return Err(wrong("sort_field", "Data did not match any of the values")),
    };
    let descending = call.parameter("sort_dir").is_some_and(|direction| direction.eq_ignore_ascii_case("desc"));
    let status = call.parameter("status");
    if status.is_some_and(|status| !stock::STATUSES.contains(&status)) {
        return Err(wrong("status", "Data did not match any of the values"));
    }
    let count = number(call, "count", ROWS_DEFAULT)?;
    if count > turn.number(&ROWS_MAX) {
        return Err(wrong("count", "Must be less than or equal to 1000"));
    }
    let offset = number(call, "offset", 0)?;
    let salt: u64 = if turn.weather.unstable_ties { turn.dice.random() } else { 0 };

    let archived_too = turn.is_on(&LIST_HAS_ARCHIVED);
    let exclusive = turn.is_on(&SINCE_IS_EXCLUSIVE);
    let since = |bound: Option<i64>, ms: i64| bound.is_none_or(|bound| if exclusive { ms > bound } else { ms >= bound });
    let before = |bound: Option<i64>, ms: i64| bound.is_none_or(|bound| ms < bound);
    let mut rows: Vec<(i64, u64, &Record, &Version)> = live(turn)
        .filter(|(_, version)| {
            let own = version.props.get("status").map_or("", String::as_str);
            status.map_or(archived_too || own != "archived", |wanted| own == wanted)
        })
        .filter(|(record, version)| {
            since(since_ms, version.stamp_ms)
                && before(before_ms, version.stamp_ms)
                && since(joined_since_ms, record.created_ms)
                && before(joined_before_ms, record.created_ms)
        })
        .map(|(record, version)| {
            let place = match key {
                Key::None => 0,
                Key::OptedIn => record.created_ms,
                Key::Changed => version.stamp_ms,
            };
            (if descending { -place } else { place }, tie(record.id, salt), record, version)
        })
        .collect();
    rows.sort_by_key(|(place, tie, ..)| (*place, *tie));
    let total = rows.len();
    let (start, limit) = (usize::try_from(offset).unwrap_or(usize::MAX), usize::try_from(count).unwrap_or(usize::MAX));
    let page = rows.into_iter().skip(start).take(limit);
    let members: Vec<Value> = page.map(|(.., record, version)| render::member(turn.store, record, version)).collect();
    let body = json!({ "members": members, "list_id": LIST, "total_items": total, "_links": [] });
    Ok(Answer::json(200, &render::pruned(call, body)))
}

/// The members of every status.
pub(super) fn count(turn: &Turn<'_>) -> usize {
    live(turn).count()
}

fn live<'a>(turn: &'a Turn<'_>) -> impl Iterator<Item = (&'a Record, &'a Version)> {
    let seen =
        turn.store.table(ObjectType::Contacts).records().filter_map(|record| Some((record, record.committed(turn.now_ms)?)));
    seen.filter(|(_, version)| version.life == Life::Active)
}

/// Equal keys stay as the members joined, or fall as the salt wills.
fn tie(id: u64, salt: u64) -> u64 {
    if salt == 0 { id } else { (id ^ salt).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29) }
}

fn time(turn: &Turn<'_>, call: &Call, name: &str) -> Result<Option<i64>, Refusal> {
    let Some(text) = call.parameter(name) else { return Ok(None) };
    match stamp::parse(text).filter(|_| text.contains('-')) {
        Some(ms) => Ok(Some(ms)),
        None if turn.is_on(&BAD_TIMES_IGNORED) => Ok(None),
        None => Err(wrong(name, "Please enter a valid date and time")),
    }
}

pub(super) fn number(call: &Call, name: &str, default: u64) -> Result<u64, Refusal> {
    let Some(text) = call.parameter(name) else { return Ok(default) };
    text.parse().map_err(|_| wrong(name, "Schema describes integer, string found instead"))
}

fn wrong(field: &str, message: &str) -> Refusal {
    refuse::not_valid(&[(field, message.to_owned())])
}
