//! The weather: how often the CRM misbehaves, and which fault one call meets. Never sleeps and never reads a clock.

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::record::Moment;

/// Probabilities are `0.0..=1.0` per call (`late_commit`: per record written; `out_of_window`: per row), ranges are inclusive milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weather {
    /// Time between a version's commit and the moment search can see it.
    pub index_lag_ms: (u64, u64),
    /// A write carries its modified stamp at once but becomes visible, anywhere, only later.
    pub late_commit: f64,
    pub late_commit_ms: (u64, u64),
    /// 500, 502, 503 or 504 as JSON; nothing happened.
    pub error_5xx: f64,
    /// A 429 although the quota was kept.
    pub throttle: f64,
    /// The write happens; the caller gets a dropped connection or a 502.
    pub lost_answer: f64,
    /// The connection drops at once and the write happens `late_commit_ms` afterwards.
    pub late_landing: f64,
    /// Time a call takes to reach the CRM.
    pub latency_ms: (u64, u64),
    /// 502 or 503 as an HTML page; nothing happened.
    pub html_error: f64,
    /// A read answers 200 with half of its JSON.
    pub truncated: f64,
    /// A search row matched by its indexed version is answered with its newest one, stamp outside the window and all.
    pub out_of_window: f64,
    /// Rows with equal sort keys change places from one search to the next.
    pub unstable_ties: bool,
    /// Batch answers come in another order than their inputs.
    pub shuffle: bool,
    /// Spaces, dashes, dots and brackets are dropped from phone numbers.
    pub normalise_phones: bool,
    /// The id of a merged-away record leads to its survivor instead of a 404.
    pub merged_redirect: bool,
    /// A write that commits late answers when it commits. Off: it answers at once and cannot be read back yet.
    pub answers_wait_for_commit: bool,
    /// Adds `Retry-After` to 429 answers; the vendor sends none.
    pub retry_after_secs: Option<u64>,
    /// How far the CRM's clock runs ahead of ours. Shows in stamps and in the `Date` header.
    pub clock_offset_ms: i64,
}

impl Default for Weather {
    fn default() -> Self {
        Self::calm()
    }
}

impl Weather {
    /// No faults, no lag, no latency. The vendor's quirks stay.
    pub fn calm() -> Self {
        Self {
            index_lag_ms: (0, 0),
            late_commit: 0.0,
            late_commit_ms: (0, 0),
            error_5xx: 0.0,
            throttle: 0.0,
            lost_answer: 0.0,
            late_landing: 0.0,
            latency_ms: (0, 0),
            html_error: 0.0,
            truncated: 0.0,
            out_of_window: 0.0,
            unstable_ties: false,
            shuffle: true,
            normalise_phones: true,
            merged_redirect: false,
            answers_wait_for_commit: true,
            retry_after_secs: None,
            clock_offset_ms: 0,
        }
    }

    /// A bad day: every fault at once, at rates a client must survive without a word from anyone.
    pub fn rough() -> Self {
        Self {
            index_lag_ms: (100, 1500),
            late_commit: 0.10,
            late_commit_ms: (50, 1500),
            error_5xx: 0.04,
            throttle: 0.04,
            lost_answer: 0.03,
            late_landing: 0.01,
            latency_ms: (1, 25),
            html_error: 0.01,
            truncated: 0.01,
            out_of_window: 0.05,
            unstable_ties: true,
            ..Self::calm()
        }
    }

    pub(crate) fn latency(&self, dice: &mut impl Rng) -> u64 {
        within(self.latency_ms, dice)
    }

    /// When a write made at `now_ms` is stamped, committed and indexed. The stamp is cut down to the precision.
    pub(crate) fn moment(&self, now_ms: i64, precision_ms: i64, dice: &mut impl Rng) -> Moment {
        let commit_delay_ms = if hits(self.late_commit, dice) { within(self.late_commit_ms, dice) } else { 0 };
        Moment {
            now_ms,
            stamp_ms: now_ms.saturating_add(self.clock_offset_ms).div_euclid(precision_ms) * precision_ms,
            commit_delay_ms,
            index_lag_ms: within(self.index_lag_ms, dice),
            moves_stamp: true,
        }
    }
}

/// What happens to one call besides what it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    ServerError(u16),
    HtmlError(u16),
    SpuriousThrottle,
    /// The write happens, then the connection drops.
    Dropped,
    /// The write happens, then the answer is a 502.
    Masked,
    LandsLate {
        delay_ms: u64,
    },
    Truncated,
}

impl Fault {
    /// The name shown in the list of calls.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::ServerError(_) => "server error",
            Self::HtmlError(_) => "html error page",
            Self::SpuriousThrottle => "spurious throttle",
            Self::Dropped => "answer lost: connection dropped",
            Self::Masked => "answer lost: 502 after the write",
            Self::LandsLate { .. } => "connection dropped, write lands later",
            Self::Truncated => "truncated body",
        }
    }
}

/// Whether a call changes anything, which decides which faults it can meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    Read,
    Write,
}

/// Which fault a call meets, if any. At most one.
pub(crate) fn forecast(weather: &Weather, nature: Nature, dice: &mut impl Rng) -> Option<Fault> {
    if hits(weather.error_5xx, dice) {
        return Some(Fault::ServerError([500, 502, 503, 504][dice.random_range(0..4)]));
    }
    if hits(weather.html_error, dice) {
        return Some(Fault::HtmlError([502, 503][dice.random_range(0..2)]));
    }
    if hits(weather.throttle, dice) {
        return Some(Fault::SpuriousThrottle);
    }
    match nature {
        Nature::Read => hits(weather.truncated, dice).then_some(Fault::Truncated),
        Nature::Write if hits(weather.lost_answer, dice) => Some(if hits(0.5, dice) { Fault::Dropped } else { Fault::Masked }),
        Nature::Write => {
            hits(weather.late_landing, dice).then(|| Fault::LandsLate { delay_ms: within(weather.late_commit_ms, dice) })
        }
    }
}

/// One throw of the dice. Probabilities outside `0..=1` count as the nearer bound.
pub(crate) fn hits(probability: f64, dice: &mut impl Rng) -> bool {
    probability > 0.0 && dice.random::<f64>() < probability
}

fn within((from, to): (u64, u64), dice: &mut impl Rng) -> u64 {
    if from < to { dice.random_range(from..=to) } else { from }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn thousand(weather: &Weather, nature: Nature) -> Vec<Option<Fault>> {
        let mut dice = StdRng::seed_from_u64(7);
        (0..1000).map(|_| forecast(weather, nature, &mut dice)).collect()
    }

    #[test]
    fn calm_weather_brings_no_fault() {
        assert!(thousand(&Weather::calm(), Nature::Write).iter().all(Option::is_none));
    }

    #[test]
    fn rough_weather_is_the_same_for_the_same_seed() {
        assert_eq!(thousand(&Weather::rough(), Nature::Write), thousand(&Weather::rough(), Nature::Write));
    }

    #[test]
    fn rough_weather_spares_most_calls_and_brings_every_fault_of_a_write() {
        let faults = thousand(&Weather::rough(), Nature::Write);
        assert!(faults.iter().filter(|fault| fault.is_none()).count() > 800);
        assert!(faults.contains(&Some(Fault::Dropped)) && faults.contains(&Some(Fault::Masked)));
        assert!(faults.iter().any(|fault| matches!(fault, Some(Fault::LandsLate { .. }))));
    }

    #[test]
    fn a_read_never_loses_an_answer_and_a_write_is_never_truncated() {
        let sure = Weather { lost_answer: 1.0, truncated: 1.0, ..Weather::calm() };
        assert!(thousand(&sure, Nature::Read).iter().all(|fault| *fault == Some(Fault::Truncated)));
        assert!(!thousand(&sure, Nature::Write).contains(&Some(Fault::Truncated)));
    }

    #[test]
    fn a_moment_keeps_to_the_stated_ranges() {
        let weather = Weather { late_commit: 1.0, clock_offset_ms: -5000, ..Weather::rough() };
        let moment = weather.moment(100_777, 1000, &mut StdRng::seed_from_u64(3));
        assert_eq!(moment.stamp_ms, 95_000);
        assert!((50..=1500).contains(&moment.commit_delay_ms) && (100..=1500).contains(&moment.index_lag_ms));
    }
}
