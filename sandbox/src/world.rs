//! What happens to one call: forced answer, token, quota, weather, dialect, in that order. Takes the time as an argument and never sleeps.

use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    Counters, Limits, Refusal, SandboxConfig, Weather,
    call::{Answer, Call},
    counters::Journal,
    forced::{ForcedAnswer, ForcedAnswers},
    memory::Memory,
    meters::Meters,
    quirk::Quirks,
    record::{Act, Moment},
    schema::Habits,
    stamp,
    store::Store,
    turn::Turn,
    vendor::Vendor,
    weather::{self, Fault},
};

/// What the network layer does with a call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Delivery {
    /// `None` drops the connection.
    pub(crate) answer: Option<Answer>,
    /// Time to wait before answering.
    pub(crate) hold_ms: u64,
}

/// The whole state of a practice CRM.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) vendor: &'static dyn Vendor,
    pub(crate) store: Store,
    pub(crate) weather: Weather,
    pub(crate) quirks: Quirks,
    pub(crate) forced: ForcedAnswers,
    pub(crate) journal: Journal,
    /// `None`: no token is accepted.
    pub(crate) token: Option<String>,
    counters: Counters,
    meters: Meters,
    pub(crate) memory: Memory,
    /// Calls being answered at this moment.
    pub(crate) in_flight: u64,
    limits: Limits,
    account: String,
    dice: StdRng,
    /// Writes on their way whose caller has already lost the connection, with the time they land.
    landings: Vec<(i64, Call)>,
}

impl World {
    pub(crate) fn new(config: &SandboxConfig, now_ms: i64) -> Self {
        let vendor = config.dialect.vendor();
        Self {
            vendor,
            store: Store::new(vendor, now_ms),
            weather: config.weather.clone(),
            quirks: Quirks::normal(vendor),
            forced: ForcedAnswers::default(),
            journal: Journal::default(),
            token: Some(config.token.clone()),
            counters: Counters::default(),
            meters: Meters::default(),
            memory: Memory::default(),
            in_flight: 0,
            limits: config.limits,
            account: config.account.clone(),
            dice: StdRng::seed_from_u64(config.seed),
            landings: Vec::new(),
        }
    }

    pub(crate) fn account(&self) -> &str {
        &self.account
    }

    pub(crate) fn counters(&self) -> Counters {
        let landings_pending = self.landings.len() as u64;
        Counters { landings_pending, ..self.counters.clone() }
    }

    /// How long the next call takes to get here.
    pub(crate) fn latency_ms(&mut self) -> u64 {
        self.weather.latency(&mut self.dice)
    }

    /// The times of a write made by hand.
    pub(crate) fn moment(&mut self, now_ms: i64) -> Moment {
        self.weather.moment(now_ms, self.vendor.precision_ms(), &mut self.dice)
    }

    /// The times of an act by hand.
    pub(crate) fn moment_of(&mut self, act: Act, now_ms: i64) -> Moment {
        Moment { moves_stamp: self.vendor.moves_stamp(act, &self.quirks), ..self.moment(now_ms) }
    }

    /// How values written by hand are checked and altered.
    pub(crate) fn habits(&self) -> Habits {
        self.vendor.habits(&self.weather, &self.quirks)
    }

    /// Carries out the writes that have landed by now. Everyone who looks at the store calls this first.
    pub(crate) fn land(&mut self, now_ms: i64) {
        self.landings.sort_by_key(|(due_ms, _)| *due_ms);
        let due = self.landings.partition_point(|(due_ms, _)| *due_ms <= now_ms);
        for (due_ms, call) in self.landings.drain(..due).collect::<Vec<_>>() {
            let (outcome, _) = self.carry_out(&call, LATE, due_ms);
            tracing::debug!(endpoint = self.vendor.endpoint(&call), landed = outcome.is_ok(), "a late write arrived");
        }
    }

    /// Answers one API call.
    pub(crate) fn handle(&mut self, call: &Call, now_ms: i64) -> Delivery {
        self.land(now_ms);
        self.counters.calls += 1;
        self.counters.at_once_max = self.counters.at_once_max.max(self.in_flight);
        *self.counters.by_endpoint.entry(self.vendor.endpoint(call)).or_default() += 1;
        if self.vendor.is_search(call) {
            self.counters.search_calls += 1;
        }
        let correlation = self.correlation();
        let (mut delivery, fault) = self.decide(call, &correlation, now_ms);
        if let Some(answer) = delivery.answer.take() {
            delivery.answer = Some(self.with_headers(call, answer, &correlation, now_ms));
        }
        let status = delivery.answer.as_ref().map_or(0, |answer| answer.status);
        self.journal.note(call, now_ms, status, fault);
        delivery
    }

    fn decide(&mut self, call: &Call, correlation: &str, now_ms: i64) -> (Delivery, Option<&'static str>) {
        let vendor = self.vendor;
        if let Some(forced) = self.forced.take(call) {
            self.counters.forced += 1;
            if forced.honest {
                let delivery = self.under(None, call, correlation, now_ms);
                return (Delivery { hold_ms: forced.delay_ms, ..delivery }, Some("held"));
            }
            if forced.applies {
                let (outcome, _) = self.carry_out(call, correlation, now_ms);
                tracing::debug!(carried_out = outcome.is_ok(), "a forced answer hides what happened");
            }
            let answer = (!forced.dropped).then(|| self.prepared(&forced, correlation, now_ms));
            return (Delivery { answer, hold_ms: forced.delay_ms }, Some("forced"));
        }
        if let Err(answer) = vendor.authorise(&mut self.turn(correlation, now_ms), call) {
            self.counters.unauthenticated += 1;
            return (answered(answer), None);
        }
        if let Err(answer) = vendor.admit(&mut self.turn(correlation, now_ms), call) {
            self.counters.limit_exceeded += 1;
            return (answered(answer), None);
        }
        let fault = weather::forecast(&self.weather, vendor.nature(call), &mut self.dice);
        if fault.is_some() {
            self.counters.faults += 1;
        }
        (self.under(fault, call, correlation, now_ms), fault.map(Fault::label))
    }

    /// Answers an admitted call under the fault it meets.
    fn under(&mut self, fault: Option<Fault>, call: &Call, correlation: &str, now_ms: i64) -> Delivery {
        match fault {
            Some(Fault::ServerError(status)) => {
                return answered(self.vendor.server_error(&self.turn(correlation, now_ms), status));
            }
            Some(Fault::HtmlError(status)) => return answered(Answer::html(status, HTML_ERROR)),
            Some(Fault::SpuriousThrottle) => {
                let shape = self.vendor.throttle(call);
                return answered(self.shaped(shape, correlation, now_ms).unwrap_or_else(|| Answer::empty(429)));
            }
            Some(Fault::LandsLate { delay_ms }) => {
                self.landings.push((now_ms.saturating_add_unsigned(delay_ms), call.clone()));
                return Delivery { answer: None, hold_ms: 0 };
            }
            Some(Fault::Dropped | Fault::Masked | Fault::Truncated) | None => {}
        }
        let (outcome, commit_ms) = self.carry_out(call, correlation, now_ms);
        let waits = self.weather.answers_wait_for_commit;
        let hold_ms = if waits { u64::try_from(commit_ms - now_ms).unwrap_or_default() } else { 0 };
        let honest = outcome.unwrap_or_else(|refusal| self.vendor.refused(&self.turn(correlation, now_ms), &refusal));
        let answer = match fault {
            Some(Fault::Dropped) => None,
            Some(Fault::Masked) => Some(self.vendor.server_error(&self.turn(correlation, now_ms), 502)),
            Some(Fault::Truncated) => Some(honest.truncated()),
            _ => Some(honest),
        };
        Delivery { answer, hold_ms }
    }

    /// The answer prepared for a call: one of the vendor's own, or word for word.
    fn prepared(&mut self, forced: &ForcedAnswer, correlation: &str, now_ms: i64) -> Answer {
        let shaped = forced.shape.as_deref().and_then(|shape| self.shaped(shape, correlation, now_ms));
        shaped.unwrap_or_else(|| forced.answer())
    }

    fn shaped(&mut self, shape: &str, correlation: &str, now_ms: i64) -> Option<Answer> {
        self.vendor.shaped(&self.turn(correlation, now_ms), shape)
    }

    /// Lets the dialect work. Also returns when the last record written commits.
    fn carry_out(&mut self, call: &Call, correlation: &str, now_ms: i64) -> (Result<Answer, Refusal>, i64) {
        let mut turn = self.turn(correlation, now_ms);
        let outcome = turn.vendor.route(&mut turn, call);
        let (written, commit_ms) = (turn.written, turn.commit_ms);
        self.counters.writes += written;
        (outcome, commit_ms)
    }

    fn turn<'a>(&'a mut self, correlation: &'a str, now_ms: i64) -> Turn<'a> {
        Turn {
            vendor: self.vendor,
            store: &mut self.store,
            weather: &self.weather,
            quirks: &self.quirks,
            meters: &mut self.meters,
            limits: self.limits,
            memory: &mut self.memory,
            in_flight: self.in_flight,
            dice: &mut self.dice,
            account: &self.account,
            token: self.token.as_deref(),
            correlation,
            now_ms,
            written: 0,
            commit_ms: now_ms,
        }
    }

    fn with_headers(&mut self, call: &Call, answer: Answer, correlation: &str, now_ms: i64) -> Answer {
        let crm_ms = now_ms.saturating_add(self.weather.clock_offset_ms);
        let mut answer = answer.with_header("Date", stamp::http_date(crm_ms));
        let vendor = self.vendor;
        answer.headers.extend(vendor.headers(&mut self.turn(correlation, now_ms), call));
        answer
    }

    /// A number in the shape of the vendor's correlation ids.
    fn correlation(&mut self) -> String {
        let dice: u128 = self.dice.random();
        let hex = format!("{dice:032x}");
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

/// The correlation of a write that nobody waits for any more.
const LATE: &str = "late";

const HTML_ERROR: &str = "<!DOCTYPE html>\n<html><head><title>Error</title></head>\
    <body><h1>Something went wrong</h1><p>We're having trouble. Please try again in a moment.</p></body></html>\n";

fn answered(answer: Answer) -> Delivery {
    Delivery { answer: Some(answer), hold_ms: 0 }
}

#[cfg(test)]
mod tests;
