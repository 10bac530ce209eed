//! Service protection: calls in five minutes and calls at once, refused with a wait that grows for those who do not wait.

use super::{refuse, token};
use crate::{
    Refusal,
    call::{Answer, Call},
    quirk::Switch,
    turn::Turn,
};

pub(super) const BURST_MAX: Switch = Switch::number("burst_max", 6000, "calls in any five minutes");
pub(super) const CONCURRENT_MAX: Switch = Switch::number("concurrent_max", 52, "calls that are answered at the same time");
pub(super) const RETRY_AFTER_SECS: Switch =
    Switch::number("retry_after_secs", 10, "seconds of the first Retry-After; each further 429 adds as many [growth unverified]");

const SPAN_MS: i64 = 300_000;
const CALLS: &str = "calls";
const REFUSALS: &str = "refusals";

pub(super) fn admit(turn: &mut Turn<'_>, call: &Call) -> Result<(), Answer> {
    if token::is_endpoint(call) {
        return Ok(());
    }
    let answer = if turn.in_flight > turn.number(&CONCURRENT_MAX) {
        concurrent(turn)
    } else if spent(turn) >= turn.number(&BURST_MAX) {
        burst(turn)
    } else {
        turn.meters.spend(CALLS, 1, turn.now_ms, SPAN_MS);
        return Ok(());
    };
    turn.meters.spend(REFUSALS, 1, turn.now_ms, SPAN_MS);
    Err(answer)
}

pub(super) fn headers(turn: &Turn<'_>) -> Vec<(String, String)> {
    let left = turn.number(&BURST_MAX).saturating_sub(spent(turn));
    vec![
        ("x-ms-ratelimit-burst-remaining-xrm-requests".to_owned(), left.to_string()),
        ("OData-Version".to_owned(), "4.0".to_owned()),
    ]
}

pub(super) fn burst(turn: &Turn<'_>) -> Answer {
    let text = "Number of requests exceeded the limit of 6000 over time window of 300 seconds.";
    waiting(turn, "0x80072322", text)
}

pub(super) fn concurrent(turn: &Turn<'_>) -> Answer {
    waiting(turn, "0x80072326", "Number of concurrent requests exceeded the limit of 52.")
}

pub(super) fn time(turn: &Turn<'_>) -> Answer {
    let text = "Combined execution time of incoming requests exceeded limit of 1,200,000 milliseconds over time window of 300 seconds. Decrease number of concurrent requests or reduce the duration of requests and try again later.";
    waiting(turn, "0x80072321", text)
}

fn waiting(turn: &Turn<'_>, code: &'static str, text: &str) -> Answer {
    let times = turn.meters.spent(REFUSALS, turn.now_ms - SPAN_MS) + 1;
    let secs = turn.weather.retry_after_secs.unwrap_or_else(|| turn.number(&RETRY_AFTER_SECS).saturating_mul(times));
    refuse::whole(&Refusal::new(429, code, text)).with_header("Retry-After", secs.to_string())
}

fn spent(turn: &Turn<'_>) -> u64 {
    turn.meters.spent(CALLS, turn.now_ms - SPAN_MS)
}
