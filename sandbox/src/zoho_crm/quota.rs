//! The organisation's quotas: credits over a rolling day and calls at the same time, refused with one and the same 429.

use super::{refuse, token};
use crate::{
    Refusal,
    call::{Answer, Call},
    quirk::Switch,
    turn::Turn,
};

pub(super) const CREDITS_MAX: Switch = Switch::number("credits_max", 50_000, "credits in any 24 hours");
pub(super) const CONCURRENT_MAX: Switch = Switch::number("concurrent_max", 10, "calls that are answered at the same time");
pub(super) const CREDITS_SHOWN_FROM: Switch =
    Switch::number("credits_shown_from", 50, "per cent of the credits that must be spent before a header tells what is left");

const DAY_MS: i64 = 86_400_000;
const CREDITS: &str = "credits";

pub(super) fn admit(turn: &mut Turn<'_>, call: &Call) -> Result<(), Answer> {
    if token::is_endpoint(call) {
        return Ok(());
    }
    let cost = cost(call);
    if turn.in_flight > turn.number(&CONCURRENT_MAX) || spent(turn) + cost > turn.number(&CREDITS_MAX) {
        return Err(too_many(turn));
    }
    turn.meters.spend(CREDITS, cost, turn.now_ms, DAY_MS);
    Ok(())
}

/// Nothing at all while less than half is spent.
pub(super) fn headers(turn: &Turn<'_>) -> Vec<(String, String)> {
    let (spent, max) = (spent(turn), turn.number(&CREDITS_MAX));
    if spent * 100 < max * turn.number(&CREDITS_SHOWN_FROM) {
        return Vec::new();
    }
    vec![("X-API-CREDITS-REMAINING".to_owned(), max.saturating_sub(spent).to_string())]
}

/// The day's credits are gone, or too many calls at once: nothing in it tells which.
pub(super) fn too_many(turn: &Turn<'_>) -> Answer {
    let text = "You have exceeded the number of requests allowed. Please try again after some time";
    let answer = refuse::whole(&Refusal::new(429, "TOO_MANY_REQUESTS", text));
    match turn.weather.retry_after_secs {
        Some(secs) => answer.with_header("Retry-After", secs.to_string()),
        None => answer,
    }
}

/// One credit, two for the feed of deletes, and one for every ten records written.
fn cost(call: &Call) -> u64 {
    if call.method == "GET" {
        return if call.path.ends_with("/deleted") { 2 } else { 1 };
    }
    let rows = serde_json::from_str::<serde_json::Value>(&call.body).ok();
    let rows = rows.and_then(|body| Some(body["data"].as_array()?.len())).unwrap_or(1) as u64;
    rows.div_ceil(10).max(1)
}

fn spent(turn: &Turn<'_>) -> u64 {
    turn.meters.spent(CREDITS, turn.now_ms - DAY_MS)
}
