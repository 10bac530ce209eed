//! How well a CRM answered: what its calls came to, how many attempts it took, how long they lasted and when nothing got through. Counts what it is given; reads no
//! clock and asks nobody.
//!
//! One [`Tally`] is an hour of one endpoint. Tallies of hours that follow one another add up to the tally of the whole time, whatever the cut: so hours can be kept
//! long after the calls themselves are forgotten.

mod attempts;
mod latency;
mod outage;
mod page;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Millis;
use crate::failure::Class;

pub use attempts::{Attempts, FOLLOWED_MS};
pub use latency::Latency;
pub use outage::{Outages, Run};
pub use page::{Section, Table, markdown, sections};

/// What a tally covers, milliseconds.
pub const HOUR_MS: Millis = 3_600_000;

/// The endpoint under which all calls of a connection are counted together: when nothing gets through at all is no sum of its endpoints.
pub const WHOLE: &str = "";

/// Hours shown of one connection.
const HOURS_SHOWN: usize = 12;

/// One call, as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// How often the same had failed before: 0 for a first try. [`Attempts`] tells.
    pub failures: u32,
    /// The word of its class; `None` for a success.
    pub class: Option<String>,
    pub status: Option<u16>,
    pub elapsed_ms: u32,
    pub quota_left: Option<i64>,
    /// When it was answered, database clock.
    pub at: Millis,
}

impl Call {
    /// Whether the CRM, or the way to it, got nothing done: no answer, a broken one, or "later". An answer that refuses is an answer; the day's calls are ours to plan.
    fn got_through(&self) -> Option<bool> {
        let Some(word) = &self.class else { return Some(true) };
        match Class::from_word(word)? {
            Class::Retry | Class::Malformed | Class::Throttled => Some(false),
            Class::DayBudget => None,
            Class::Auth | Class::Scope | Class::Conflict | Class::Duplicate | Class::Rejected | Class::Gone | Class::Schema => {
                Some(true)
            }
        }
    }
}

/// Calls that ended alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ended {
    /// `None` for successes.
    pub class: Option<String>,
    pub status: Option<u16>,
    pub first_tries: u64,
    pub retries: u64,
}

impl Ended {
    pub fn calls(&self) -> u64 {
        self.first_tries + self.retries
    }
}

/// Calls of some time, counted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// By class and status.
    ended: Vec<Ended>,
    /// Successes that were no first try, by how many retries they took.
    cured: BTreeMap<u32, u64>,
    latency: Latency,
    /// The fewest calls the CRM said were left.
    quota_worst: Option<i64>,
    outages: Outages,
}

impl Tally {
    /// Counts one call; calls come in the order of their answers.
    pub fn add(&mut self, call: &Call) {
        let ended = self.ended_as(call.class.as_deref(), call.status);
        if call.failures == 0 {
            ended.first_tries += 1;
        } else {
            ended.retries += 1;
            if call.class.is_none() {
                *self.cured.entry(call.failures).or_default() += 1;
            }
        }
        self.latency.add(call.elapsed_ms, 1);
        self.quota_worst = self.quota_worst.into_iter().chain(call.quota_left).min();
        if let Some(got_through) = call.got_through() {
            self.outages.add(call.at - Millis::from(call.elapsed_ms), call.at, got_through);
        }
    }

    /// Counts what came after.
    pub fn merge(&mut self, later: &Self) {
        for other in &later.ended {
            let ended = self.ended_as(other.class.as_deref(), other.status);
            ended.first_tries += other.first_tries;
            ended.retries += other.retries;
        }
        for (retries, calls) in &later.cured {
            *self.cured.entry(*retries).or_default() += calls;
        }
        self.latency.merge(&later.latency);
        self.quota_worst = self.quota_worst.into_iter().chain(later.quota_worst).min();
        self.outages.merge(&later.outages);
    }

    fn ended_as(&mut self, class: Option<&str>, status: Option<u16>) -> &mut Ended {
        let place = self.ended.binary_search_by(|known| (known.class.as_deref(), known.status).cmp(&(class, status)));
        let at = place.unwrap_or_else(|at| {
            self.ended.insert(at, Ended { class: class.map(str::to_owned), status, first_tries: 0, retries: 0 });
            at
        });
        &mut self.ended[at]
    }

    /// What the counts say.
    pub fn measures(&self) -> Measures {
        let sum = |of: fn(&Ended) -> u64, good: Option<bool>| -> u64 {
            self.ended.iter().filter(|ended| good.is_none_or(|good| ended.class.is_none() == good)).map(of).sum()
        };
        let mut failed: Vec<Ended> = self.ended.iter().filter(|ended| ended.class.is_some()).cloned().collect();
        failed.sort_by_key(|ended| std::cmp::Reverse(ended.calls()));
        let percentile = |permille| self.latency.percentile(permille);
        Measures {
            calls: sum(Ended::calls, None),
            successes: sum(Ended::calls, Some(true)),
            first_tries: sum(|ended| ended.first_tries, None),
            first_try_successes: sum(|ended| ended.first_tries, Some(true)),
            cured: self.cured.iter().map(|(retries, calls)| Cured { retries: *retries, calls: *calls }).collect(),
            failed,
            p50_ms: percentile(500),
            p95_ms: percentile(950),
            p99_ms: percentile(990),
            max_ms: percentile(1_000),
            quota_worst: self.quota_worst,
            longest_outage: self.outages.longest(),
        }
    }
}

/// Successes that took so many retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cured {
    pub retries: u32,
    pub calls: u64,
}

/// What the calls of some time came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Measures {
    pub calls: u64,
    pub successes: u64,
    pub first_tries: u64,
    pub first_try_successes: u64,
    /// By how many retries it took, fewest first.
    pub cured: Vec<Cured>,
    /// What did not succeed, the most frequent first.
    pub failed: Vec<Ended>,
    /// Times from sending to the last byte of the answer; `None` without calls. At most a sixteenth above the true value.
    pub p50_ms: Option<u32>,
    pub p95_ms: Option<u32>,
    pub p99_ms: Option<u32>,
    pub max_ms: Option<u32>,
    pub quota_worst: Option<i64>,
    pub longest_outage: Option<Run>,
}

impl Measures {
    /// Of ten thousand first tries so many succeeded, rounded down: what failed once is never shown as a whole. `None` without any.
    pub fn first_try_rate(&self) -> Option<u64> {
        (self.first_tries > 0).then(|| self.first_try_successes * 10_000 / self.first_tries)
    }

    /// Successes that were no first try.
    pub fn cured_calls(&self) -> u64 {
        self.cured.iter().map(|cured| cured.calls).sum()
    }

    /// The most retries that anything took which succeeded in the end.
    pub fn retries_most(&self) -> u32 {
        self.cured.last().map_or(0, |cured| cured.retries)
    }
}

/// One hour of one endpoint, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    pub connection: String,
    /// With its method, or [`WHOLE`].
    pub endpoint: String,
    /// When the hour began.
    pub hour: Millis,
    pub tally: Tally,
}

/// Work that failed at least once and has not succeeded since: it is tried again, or waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Uncured {
    pub connection: String,
    pub stream: String,
    /// `push`, `read`, `poll` or `sweep`.
    pub work: String,
    pub class: Option<String>,
    pub code: Option<String>,
    /// It waits for a person; else it is tried again by itself.
    pub parked: bool,
    /// Rows or records; 1 for a reader.
    pub things: u64,
    pub attempts_most: u32,
    /// One of the causes.
    pub cause: Option<String>,
    /// Since when the oldest is owed.
    pub since: Option<Millis>,
}

/// The report on all connections, or one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The hour in which it begins.
    pub since: Millis,
    pub until: Millis,
    pub connections: Vec<ConnectionReport>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConnectionReport {
    pub connection: String,
    pub whole: Measures,
    /// The most called first.
    pub endpoints: Vec<EndpointReport>,
    /// Hours that were worse than the whole, in order of time; the worst twelve at most.
    pub hours: Vec<HourReport>,
    pub uncured: Vec<Uncured>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EndpointReport {
    pub endpoint: String,
    #[serde(flatten)]
    pub measures: Measures,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HourReport {
    pub hour: Millis,
    #[serde(flatten)]
    pub measures: Measures,
}

/// What there is of one connection.
#[derive(Default)]
struct Gathered {
    endpoints: BTreeMap<String, Tally>,
    hours: Vec<HourReport>,
    uncured: Vec<Uncured>,
}

/// Adds up the hours. A connection without a call is in it when something of it is not cured.
pub fn report(since: Millis, until: Millis, mut hours: Vec<Counted>, uncured: Vec<Uncured>) -> Report {
    // Outages join over the hours only in their order.
    hours.sort_by_key(|counted| counted.hour);
    let mut by_connection: BTreeMap<String, Gathered> = BTreeMap::new();
    for counted in hours {
        let gathered = by_connection.entry(counted.connection).or_default();
        if counted.endpoint == WHOLE {
            gathered.hours.push(HourReport { hour: counted.hour, measures: counted.tally.measures() });
        }
        gathered.endpoints.entry(counted.endpoint).or_default().merge(&counted.tally);
    }
    for thing in uncured {
        by_connection.entry(thing.connection.clone()).or_default().uncured.push(thing);
    }
    let connections = by_connection.into_iter().map(|(connection, gathered)| {
        let Gathered { mut endpoints, hours, uncured } = gathered;
        let whole = endpoints.remove(WHOLE).unwrap_or_default().measures();
        let mut endpoints: Vec<EndpointReport> =
            endpoints.into_iter().map(|(endpoint, tally)| EndpointReport { endpoint, measures: tally.measures() }).collect();
        endpoints.sort_by_key(|endpoint| std::cmp::Reverse(endpoint.measures.calls));
        ConnectionReport { connection, hours: telling(&whole, hours), whole, endpoints, uncured }
    });
    Report { since, until, connections: connections.collect() }
}

/// The hours in which fewer first tries succeeded than in the whole time: where all hours are alike none says anything.
fn telling(whole: &Measures, mut hours: Vec<HourReport>) -> Vec<HourReport> {
    hours.retain(|hour| hour.measures.first_try_rate() < whole.first_try_rate() && hour.measures.first_tries > 0);
    hours.sort_by_key(|hour| (hour.measures.first_try_rate(), std::cmp::Reverse(hour.measures.calls)));
    hours.truncate(HOURS_SHOWN);
    hours.sort_by_key(|hour| hour.hour);
    hours
}

#[cfg(test)]
#[path = "reliability_tests.rs"]
mod tests;
