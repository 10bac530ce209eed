//! The account's quotas: rolling windows and the daily budget. Refused calls do not count against them.

use std::collections::VecDeque;

use serde_json::json;

use crate::{
    Limits,
    call::{Answer, Call},
};

const DAY_MS: i64 = 86_400_000;

/// The quota a call ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    TenSecondly,
    Secondly,
    Daily,
}

impl Policy {
    /// The vendor's 429: `errorType` and `policyName` where other errors have a `category`.
    pub(crate) fn answer(self, correlation: &str, retry_after_secs: Option<u64>) -> Answer {
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

/// Admits `max` calls in any `span_ms`.
#[derive(Debug)]
struct Window {
    span_ms: i64,
    max: u32,
    hits: VecDeque<i64>,
}

impl Window {
    fn new(span_ms: i64, max: u32) -> Self {
        Self { span_ms, max, hits: VecDeque::new() }
    }

    fn remaining(&mut self, now_ms: i64) -> u32 {
        while self.hits.front().is_some_and(|hit| *hit <= now_ms - self.span_ms) {
            self.hits.pop_front();
        }
        self.max.saturating_sub(u32::try_from(self.hits.len()).unwrap_or(u32::MAX))
    }
}

#[derive(Debug)]
pub(crate) struct Throttle {
    calls: Window,
    searches: Window,
    per_day: u32,
    day: i64,
    today: u32,
}

impl Throttle {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            calls: Window::new(10_000, limits.per_10s),
            searches: Window::new(1000, limits.search_per_second),
            per_day: limits.per_day,
            day: 0,
            today: 0,
        }
    }

    /// Counts the call, or names the quota it would break. Searches have a quota of their own.
    pub(crate) fn admit(&mut self, call: &Call, now_ms: i64) -> Result<(), Policy> {
        let day = now_ms.div_euclid(DAY_MS);
        if day != self.day {
            (self.day, self.today) = (day, 0);
        }
        let (window, policy) =
            if call.is_search() { (&mut self.searches, Policy::Secondly) } else { (&mut self.calls, Policy::TenSecondly) };
        if self.today >= self.per_day {
            return Err(Policy::Daily);
        }
        if window.remaining(now_ms) == 0 {
            return Err(policy);
        }
        window.hits.push_back(now_ms);
        self.today += 1;
        Ok(())
    }

    /// The quota headers of every answer that is not a search's.
    pub(crate) fn headers(&mut self, now_ms: i64) -> Vec<(String, String)> {
        let remaining = self.calls.remaining(now_ms);
        [
            ("Max", i64::from(self.calls.max)),
            ("Remaining", i64::from(remaining)),
            ("Interval-Milliseconds", self.calls.span_ms),
            ("Daily", i64::from(self.per_day)),
            ("Daily-Remaining", i64::from(self.per_day.saturating_sub(self.today))),
        ]
        .into_iter()
        .map(|(name, value)| (format!("X-HubSpot-RateLimit-{name}"), value.to_string()))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, path: &str) -> Call {
        Call { method: method.to_owned(), path: path.to_owned(), query: Vec::new(), authorization: None, body: String::new() }
    }

    fn small() -> Throttle {
        Throttle::new(Limits { per_10s: 2, search_per_second: 1, per_day: 4 })
    }

    #[test]
    fn the_window_rolls_rather_than_resets() {
        let (mut throttle, read) = (small(), call("GET", "/crm/v3/objects/deals"));
        assert_eq!(throttle.admit(&read, 9_000), Ok(()));
        assert_eq!(throttle.admit(&read, 9_999), Ok(()));
        assert_eq!(throttle.admit(&read, 10_001), Err(Policy::TenSecondly));
        assert_eq!(throttle.admit(&read, 18_999), Err(Policy::TenSecondly));
        assert_eq!(throttle.admit(&read, 19_000), Ok(()));
    }

    #[test]
    fn searches_have_a_window_of_their_own() {
        let (mut throttle, search) = (small(), call("POST", "/crm/v3/objects/deals/search"));
        assert_eq!(throttle.admit(&search, 0), Ok(()));
        assert_eq!(throttle.admit(&search, 999), Err(Policy::Secondly));
        assert_eq!(throttle.admit(&search, 1000), Ok(()));
        assert_eq!(throttle.headers(1000)[1].1, "2");
    }

    #[test]
    fn the_daily_budget_returns_at_midnight() {
        let (mut throttle, read) = (small(), call("GET", "/crm/v3/objects/deals"));
        for at in 0..4 {
            assert_eq!(throttle.admit(&read, at * 10_000), Ok(()));
        }
        assert_eq!(throttle.admit(&read, 60_000), Err(Policy::Daily));
        assert_eq!(throttle.admit(&read, DAY_MS), Ok(()));
    }
}
