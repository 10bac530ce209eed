//! The organisation's three quotas: calls in a minute, on a day, and at the same time, each refused with a number of its own.

use super::refuse;
use crate::{
    Refusal,
    call::{Answer, Call},
    quirk::Switch,
    turn::Turn,
    zoho_crm::token,
};

pub(super) const MINUTE_MAX: Switch = Switch::number("minute_calls_max", 100, "calls in any minute; a further one: code 44");
pub(super) const DAILY_MAX: Switch = Switch::number(
    "daily_calls_max",
    2000,
    "calls between two midnights, UTC [when the day ends unverified]; a further one: code 45",
);
pub(super) const CONCURRENT_MAX: Switch =
    Switch::number("concurrent_max", 10, "calls that are answered at the same time; a further one: code 1070");
pub(super) const BLOCK_SECS: Switch =
    Switch::number("block_secs", 60, "seconds for which code 44 goes on once it was given [unverified]");
pub(super) const LIMIT_HEADERS: Switch =
    Switch::flag("limit_headers", true, "answers carry X-Rate-Limit-Limit, -Remaining and -Reset of the day, as clients report");

const DAY_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;
const CALLS: &str = "calls";
const DAY: &str = "day";
const BLOCK: &str = "block";

pub(super) fn admit(turn: &mut Turn<'_>, call: &Call) -> Result<(), Answer> {
    if token::is_endpoint(call) {
        return Ok(());
    }
    let now_ms = turn.now_ms;
    if turn.in_flight > turn.number(&CONCURRENT_MAX) {
        return Err(concurrent(turn));
    }
    let block_ms = i64::try_from(turn.number(&BLOCK_SECS)).unwrap_or(i64::MAX / 2000).saturating_mul(1000);
    if turn.meters.spent(BLOCK, now_ms - block_ms) > 0 {
        return Err(minute(turn));
    }
    if turn.meters.spent(CALLS, now_ms - MINUTE_MS) >= turn.number(&MINUTE_MAX) {
        turn.meters.spend(BLOCK, 1, now_ms, block_ms);
        return Err(minute(turn));
    }
    if spent_today(turn) >= turn.number(&DAILY_MAX) {
        return Err(daily(turn));
    }
    turn.meters.spend(CALLS, 1, now_ms, MINUTE_MS);
    turn.meters.spend(DAY, 1, now_ms, DAY_MS);
    Ok(())
}

pub(super) fn headers(turn: &Turn<'_>) -> Vec<(String, String)> {
    if !turn.is_on(&LIMIT_HEADERS) {
        return Vec::new();
    }
    let max = turn.number(&DAILY_MAX);
    let left = max.saturating_sub(spent_today(turn));
    let reset = (DAY_MS - turn.now_ms.rem_euclid(DAY_MS)) / 1000;
    vec![
        ("X-Rate-Limit-Limit".to_owned(), max.to_string()),
        ("X-Rate-Limit-Remaining".to_owned(), left.to_string()),
        ("X-Rate-Limit-Reset".to_owned(), reset.to_string()),
    ]
}

pub(super) fn minute(turn: &Turn<'_>) -> Answer {
    let text = "For security reasons your organization has been blocked as it have exceeded the maximum number of requests per minute that can originate from an organization.";
    refused(turn, "44", text)
}

pub(super) fn daily(turn: &Turn<'_>) -> Answer {
    let max = turn.number(&DAILY_MAX);
    refused(turn, "45", &format!("The API call for this organization has exceeded the maximum call rate limit of {max}."))
}

pub(super) fn concurrent(turn: &Turn<'_>) -> Answer {
    let text = "You have reached the maximum number of in process requests allowed. Kindly try again after some time.";
    refused(turn, "1070", text)
}

fn refused(turn: &Turn<'_>, code: &'static str, text: &str) -> Answer {
    let answer = refuse::whole(&Refusal::new(429, code, text));
    match turn.weather.retry_after_secs {
        Some(secs) => answer.with_header("Retry-After", secs.to_string()),
        None => answer,
    }
}

fn spent_today(turn: &Turn<'_>) -> u64 {
    turn.meters.spent(DAY, turn.now_ms.div_euclid(DAY_MS) * DAY_MS - 1)
}
