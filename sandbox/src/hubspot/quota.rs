//! The account's quotas: a window for calls, one of its own for searches, and the daily budget.

use serde_json::json;

use crate::{call::Answer, turn::Turn};

const DAY_MS: i64 = 86_400_000;
const CALLS: &str = "calls";
const SEARCHES: &str = "searches";
const DAY: &str = "day";
const CALLS_SPAN_MS: i64 = 10_000;
const SEARCHES_SPAN_MS: i64 = 1000;

/// The quota a call ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    TenSecondly,
    Secondly,
    Daily,
}

impl Policy {
    /// The vendor's 429: `errorType` and `policyName` where other errors have a `category`.
    pub(super) fn answer(self, correlation: &str, retry_after_secs: Option<u64>) -> Answer {
        let (name, span) = match self {
            Self::TenSecondly => ("TEN_SECONDLY_ROLLING", "ten_secondly_rolling"),
            Self::Secondly => ("SECONDLY", "secondly"),
            Self::Daily => ("DAILY", "daily"),
        };
        let body = json!({
            "status": "error",
            "message": format!("You have reached your {span} limit."),
            "errorType": "RATE_LIMIT",
            "correlationId": correlation,
            "policyName": name,
            "requestId": correlation,
        });
        let answer = Answer::json(429, &body);
        match retry_after_secs {
            Some(secs) => answer.with_header("Retry-After", secs.to_string()),
            None => answer,
        }
    }
}

/// Counts the call, or names the quota it would break.
pub(super) fn admit(turn: &mut Turn<'_>, is_search: bool) -> Result<(), Policy> {
    let now_ms = turn.now_ms;
    let (quota, span_ms, max, policy) = if is_search {
        (SEARCHES, SEARCHES_SPAN_MS, turn.limits.search_per_second, Policy::Secondly)
    } else {
        (CALLS, CALLS_SPAN_MS, turn.limits.per_10s, Policy::TenSecondly)
    };
    if spent_today(turn) >= u64::from(turn.limits.per_day) {
        return Err(Policy::Daily);
    }
    if turn.meters.spent(quota, now_ms - span_ms) >= u64::from(max) {
        return Err(policy);
    }
    turn.meters.spend(quota, 1, now_ms, span_ms);
    turn.meters.spend(DAY, 1, now_ms, DAY_MS);
    Ok(())
}

/// The quota headers of every answer that is not a search's.
pub(super) fn headers(turn: &Turn<'_>) -> Vec<(String, String)> {
    let (per_10s, per_day) = (u64::from(turn.limits.per_10s), u64::from(turn.limits.per_day));
    let remaining = per_10s.saturating_sub(turn.meters.spent(CALLS, turn.now_ms - CALLS_SPAN_MS));
    [
        ("Max", per_10s),
        ("Remaining", remaining),
        ("Interval-Milliseconds", CALLS_SPAN_MS.unsigned_abs()),
        ("Daily", per_day),
        ("Daily-Remaining", per_day.saturating_sub(spent_today(turn))),
    ]
    .into_iter()
    .map(|(name, value)| (format!("X-HubSpot-RateLimit-{name}"), value.to_string()))
    .collect()
}

fn spent_today(turn: &Turn<'_>) -> u64 {
    let midnight_ms = turn.now_ms.div_euclid(DAY_MS) * DAY_MS;
    turn.meters.spent(DAY, midnight_ms - 1)
}
