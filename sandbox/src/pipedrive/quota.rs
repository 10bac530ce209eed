//! The account's quotas: a burst window per two seconds, a day's token budget, and the edge that blocks those who ignore a 429.

use serde_json::json;

use super::token;
use crate::{
    call::{Answer, Call},
    quirk::Switch,
    turn::Turn,
};

pub(super) const BURST_CALLS_MAX: Switch = Switch::number("burst_calls_max", 20, "calls in any two seconds; searches apart");
pub(super) const BURST_SEARCHES_MAX: Switch = Switch::number("burst_searches_max", 10, "searches in any two seconds");
pub(super) const DAILY_TOKENS_MAX: Switch =
    Switch::number("daily_tokens_max", 30_000, "tokens of all calls between two midnights, UTC");
pub(super) const DAILY_HEADERS: Switch =
    Switch::flag("daily_headers", true, "answers carry the day's budget; the vendor does not always");
pub(super) const EDGE_BLOCK_AFTER: Switch =
    Switch::number("edge_block_after", 10, "so many 429 within a minute, and the edge answers 403 in HTML [number unverified]");
pub(super) const EDGE_BLOCK_SECS: Switch =
    Switch::number("edge_block_secs", 60, "seconds for which the edge blocks [unverified]");

const DAY_MS: i64 = 86_400_000;
const BURST_MS: i64 = 2000;
const MINUTE_MS: i64 = 60_000;
const CALLS: &str = "calls";
const SEARCHES: &str = "searches";
const DAY: &str = "tokens";
const REFUSALS: &str = "refusals";
const EDGE: &str = "edge";

const EDGE_PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Attention Required! | Cloudflare</title></head>\
    <body><h1>Sorry, you have been blocked</h1><p>Error 1015: You are being rate limited.</p></body></html>\n";

pub(super) fn admit(turn: &mut Turn<'_>, call: &Call, is_search: bool) -> Result<(), Answer> {
    if token::is_endpoint(call) {
        return Ok(());
    }
    let now_ms = turn.now_ms;
    let block_ms = i64::try_from(turn.number(&EDGE_BLOCK_SECS)).unwrap_or(i64::MAX / 2000).saturating_mul(1000);
    if block_ms > 0 && turn.meters.spent(EDGE, now_ms - block_ms) > 0 {
        return Err(edge_page());
    }
    let cost = cost(call, is_search);
    let answer = if turn.meters.spent(bucket(is_search), now_ms - BURST_MS) >= burst_max(turn, is_search) {
        burst(turn)
    } else if spent_today(turn) + cost > turn.number(&DAILY_TOKENS_MAX) {
        daily(turn)
    } else {
        turn.meters.spend(bucket(is_search), 1, now_ms, BURST_MS);
        turn.meters.spend(DAY, cost, now_ms, DAY_MS);
        return Ok(());
    };
    turn.meters.spend(REFUSALS, 1, now_ms, MINUTE_MS);
    if turn.meters.spent(REFUSALS, now_ms - MINUTE_MS) > turn.number(&EDGE_BLOCK_AFTER) {
        turn.meters.spend(EDGE, 1, now_ms, block_ms);
    }
    Err(answer)
}

pub(super) fn headers(turn: &Turn<'_>, is_search: bool) -> Vec<(String, String)> {
    let max = burst_max(turn, is_search);
    let left = max.saturating_sub(turn.meters.spent(bucket(is_search), turn.now_ms - BURST_MS));
    let mut headers = vec![
        ("x-ratelimit-limit".to_owned(), max.to_string()),
        ("x-ratelimit-remaining".to_owned(), left.to_string()),
        ("x-ratelimit-reset".to_owned(), (BURST_MS / 1000).to_string()),
    ];
    if turn.is_on(&DAILY_HEADERS) {
        let max = turn.number(&DAILY_TOKENS_MAX);
        headers.push(("x-daily-ratelimit-token-limit".to_owned(), max.to_string()));
        headers.push(("x-daily-ratelimit-token-remaining".to_owned(), max.saturating_sub(spent_today(turn)).to_string()));
    }
    headers
}

pub(super) fn burst(turn: &Turn<'_>) -> Answer {
    with_wait(turn, Answer::json(429, &json!({ "success": false, "error": "request over limit", "code": 429 })))
}

/// The same status as a burst; only the words and the budget left tell them apart.
pub(super) fn daily(turn: &Turn<'_>) -> Answer {
    let text = "Daily API token budget exceeded. The budget resets at midnight.";
    with_wait(turn, Answer::json(429, &json!({ "success": false, "error": text, "code": 429 })))
}

pub(super) fn edge_page() -> Answer {
    Answer::html(403, EDGE_PAGE)
}

fn with_wait(turn: &Turn<'_>, answer: Answer) -> Answer {
    match turn.weather.retry_after_secs {
        Some(secs) => answer.with_header("Retry-After", secs.to_string()),
        None => answer,
    }
}

/// The tokens a call costs.
fn cost(call: &Call, is_search: bool) -> u64 {
    let by_id = call.path.rsplit('/').next().is_some_and(|part| part.parse::<u64>().is_ok());
    match call.method.as_str() {
        _ if is_search => 20,
        "GET" if call.path.ends_with("/archived") || call.path.contains("/v1/") || call.path.starts_with("/v1/") => 20,
        "GET" if by_id => 1,
        "GET" => 10,
        "DELETE" => 3,
        "PUT" if call.path.ends_with("/merge") => 40,
        _ => 5,
    }
}

fn bucket(is_search: bool) -> &'static str {
    if is_search { SEARCHES } else { CALLS }
}

fn burst_max(turn: &Turn<'_>, is_search: bool) -> u64 {
    turn.number(if is_search { &BURST_SEARCHES_MAX } else { &BURST_CALLS_MAX })
}

fn spent_today(turn: &Turn<'_>) -> u64 {
    turn.meters.spent(DAY, turn.now_ms.div_euclid(DAY_MS) * DAY_MS - 1)
}
