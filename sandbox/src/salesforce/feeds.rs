//! What changed and what was deleted between two times, as lists of ids with a short memory.

use serde_json::{Value, json};

use super::{DELETED_DAYS, UPDATED_DAYS, ids, query, render};
use crate::{
    ObjectType, Refusal,
    call::{Answer, Call},
    record::{Life, Record, Version},
    stamp,
    turn::Turn,
};

const DAY_MS: i64 = 86_400_000;

pub(super) fn updated(turn: &Turn<'_>, object: ObjectType, call: &Call) -> Result<Answer, Refusal> {
    let span = span(turn, call, turn.number(&UPDATED_DAYS))?;
    let changed = seen(turn, object).filter(|(_, version)| version.life == Life::Active && span.contains(&version.stamp_ms));
    let found: Vec<String> = changed.map(|(record, _)| ids::long(object, record.id)).collect();
    Ok(Answer::json(200, &json!({ "ids": found, "latestDateCovered": render::time(covered(turn, object, span.end)) })))
}

pub(super) fn deleted(turn: &Turn<'_>, object: ObjectType, call: &Call) -> Result<Answer, Refusal> {
    let span = span(turn, call, u64::MAX)?;
    let gone = seen(turn, object).filter(|(_, version)| version.life != Life::Active && query::is_kept(turn, version));
    let found: Vec<Value> = gone
        .filter(|(_, version)| span.contains(&version.stamp_ms))
        .map(|(record, version)| json!({ "id": ids::long(object, record.id), "deletedDate": render::time(version.stamp_ms) }))
        .collect();
    let days = i64::try_from(turn.number(&DELETED_DAYS)).unwrap_or(i64::MAX);
    let earliest_ms = turn.crm_ms().saturating_sub(days.saturating_mul(DAY_MS));
    Ok(Answer::json(
        200,
        &json!({
            "deletedRecords": found,
            "earliestDateAvailable": render::time(earliest_ms),
            "latestDateCovered": render::time(covered(turn, object, span.end)),
        }),
    ))
}

/// The end asked for, or the time of the oldest change that has begun and is not committed: the start of the next call.
fn covered(turn: &Turn<'_>, object: ObjectType, end_ms: i64) -> i64 {
    let versions = turn.store.table(object).records().flat_map(Record::versions);
    let pending = versions.filter(|version| version.commit_ms > turn.now_ms).map(|version| version.stamp_ms).min();
    pending.unwrap_or(i64::MAX).min(end_ms).min(turn.crm_ms())
}

fn seen<'a>(turn: &'a Turn<'_>, object: ObjectType) -> impl Iterator<Item = (&'a Record, &'a Version)> {
    turn.store.table(object).records().filter_map(|record| Some((record, record.committed(turn.now_ms)?)))
}

fn span(turn: &Turn<'_>, call: &Call, days: u64) -> Result<std::ops::Range<i64>, Refusal> {
    let time = |name: &str| {
        let text = call.parameter(name).unwrap_or_default();
        stamp::parse(text).ok_or_else(|| Refusal::new(400, "INVALID_DATE_FORMAT", format!("{name} is not a valid date: {text}")))
    };
    let (start_ms, end_ms) = (time("start")?, time("end")?);
    let reach_ms = i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(DAY_MS);
    if end_ms <= start_ms || turn.crm_ms().saturating_sub(reach_ms) > start_ms {
        let text = "startDate cannot be before the replication window, and endDate must be after it";
        return Err(Refusal::new(400, "INVALID_REPLICATION_DATE", text));
    }
    Ok(start_ms..end_ms)
}
