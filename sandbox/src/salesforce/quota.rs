//! The organisation's quotas: calls over a rolling day, and long calls at the same time. Both are refused with a 403.

use serde_json::json;

use super::{refuse, token};
use crate::{
    Refusal,
    call::{Answer, Call},
    quirk::Switch,
    turn::Turn,
};

pub(super) const DAILY_CALLS_MAX: Switch = Switch::number("daily_calls_max", 100_000, "calls in any 24 hours");
pub(super) const LONG_CALLS_MAX: Switch =
    Switch::number("long_calls_max", 25, "calls at the same time; the vendor counts those of 20 s and more");
pub(super) const LIMIT_INFO: Switch = Switch::flag("limit_info", true, "answers carry Sforce-Limit-Info");

const DAY_MS: i64 = 86_400_000;
const CALLS: &str = "calls";

pub(super) fn admit(turn: &mut Turn<'_>, call: &Call) -> Result<(), Answer> {
    if token::is_endpoint(call) {
        return Ok(());
    }
    if turn.in_flight > turn.number(&LONG_CALLS_MAX) {
        return Err(concurrent());
    }
    if spent(turn) >= turn.number(&DAILY_CALLS_MAX) {
        return Err(daily());
    }
    turn.meters.spend(CALLS, 1, turn.now_ms, DAY_MS);
    Ok(())
}

pub(super) fn headers(turn: &Turn<'_>) -> Vec<(String, String)> {
    let usage = format!("api-usage={}/{}", spent(turn), turn.number(&DAILY_CALLS_MAX));
    if turn.is_on(&LIMIT_INFO) { vec![("Sforce-Limit-Info".to_owned(), usage)] } else { Vec::new() }
}

pub(super) fn limits(turn: &Turn<'_>) -> Answer {
    let max = turn.number(&DAILY_CALLS_MAX);
    let left = max.saturating_sub(spent(turn));
    Answer::json(200, &json!({ "DailyApiRequests": { "Max": max, "Remaining": left } }))
}

pub(super) fn daily() -> Answer {
    refuse::whole(&Refusal::new(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."))
}

/// The same code as the day's limit: only the message tells them apart.
pub(super) fn concurrent() -> Answer {
    refuse::whole(&Refusal::new(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded."))
}

fn spent(turn: &Turn<'_>) -> u64 {
    turn.meters.spent(CALLS, turn.now_ms - DAY_MS)
}
