//! What happens to one call: forced answer, token, quota, weather, dialect, in that order. Takes the time as an argument and never sleeps.

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;

use crate::{
    Counters, Refusal, SandboxConfig, Weather,
    call::{Answer, Call},
    counters::Journal,
    forced::ForcedAnswers,
    hubspot::{self, Turn},
    record::Moment,
    stamp,
    store::Store,
    throttle::{Policy, Throttle},
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
    pub(crate) store: Store,
    pub(crate) weather: Weather,
    pub(crate) forced: ForcedAnswers,
    pub(crate) journal: Journal,
    /// `None`: no token is accepted.
    pub(crate) token: Option<String>,
    counters: Counters,
    throttle: Throttle,
    account: String,
    dice: StdRng,
    /// Writes on their way whose caller has already lost the connection, with the time they land.
    landings: Vec<(i64, Call)>,
}

impl World {
    pub(crate) fn new(config: &SandboxConfig, now_ms: i64) -> Self {
        Self {
            store: Store::new(now_ms),
            weather: config.weather.clone(),
            forced: ForcedAnswers::default(),
            journal: Journal::default(),
            token: Some(config.token.clone()),
            counters: Counters::default(),
            throttle: Throttle::new(config.limits),
            account: config.account.clone(),
            dice: StdRng::seed_from_u64(config.seed),
            landings: Vec::new(),
        }
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
        self.weather.moment(now_ms, &mut self.dice)
    }

    /// Carries out the writes that have landed by now. Everyone who looks at the store calls this first.
    pub(crate) fn land(&mut self, now_ms: i64) {
        self.landings.sort_by_key(|(due_ms, _)| *due_ms);
        let due = self.landings.partition_point(|(due_ms, _)| *due_ms <= now_ms);
        for (due_ms, call) in self.landings.drain(..due).collect::<Vec<_>>() {
            let (outcome, _) = self.carry_out(&call, due_ms);
            tracing::debug!(endpoint = call.endpoint(), landed = outcome.is_ok(), "a late write arrived");
        }
    }

    /// Answers one API call.
    pub(crate) fn handle(&mut self, call: &Call, now_ms: i64) -> Delivery {
        self.land(now_ms);
        self.counters.calls += 1;
        *self.counters.by_endpoint.entry(call.endpoint()).or_default() += 1;
        if call.is_search() {
            self.counters.search_calls += 1;
        }
        let (mut delivery, fault) = self.decide(call, now_ms);
        if let Some(answer) = delivery.answer.take() {
            delivery.answer = Some(self.with_headers(call, answer, now_ms));
        }
        let status = delivery.answer.as_ref().map_or(0, |answer| answer.status);
        self.journal.note(call, now_ms, status, fault);
        delivery
    }

    fn decide(&mut self, call: &Call, now_ms: i64) -> (Delivery, Option<&'static str>) {
        let correlation = self.correlation();
        if let Some(forced) = self.forced.take(call) {
            self.counters.forced += 1;
            if forced.honest {
                let delivery = self.under(None, call, &correlation, now_ms);
                return (Delivery { hold_ms: forced.delay_ms, ..delivery }, Some("held"));
            }
            if forced.applies {
                let (outcome, _) = self.carry_out(call, now_ms);
                tracing::debug!(carried_out = outcome.is_ok(), "a forced answer hides what happened");
            }
            let answer = (!forced.dropped).then(|| forced.answer());
            return (Delivery { answer, hold_ms: forced.delay_ms }, Some("forced"));
        }
        if !self.is_authorised(call) {
            self.counters.unauthenticated += 1;
            return (answered(Refusal::unauthenticated().answer(&correlation)), None);
        }
        if let Err(policy) = self.throttle.admit(call, now_ms) {
            self.counters.limit_exceeded += 1;
            return (answered(policy.answer(&correlation, self.weather.retry_after_secs)), None);
        }
        let fault = weather::forecast(&self.weather, call.nature(), &mut self.dice);
        if fault.is_some() {
            self.counters.faults += 1;
        }
        (self.under(fault, call, &correlation, now_ms), fault.map(Fault::label))
    }

    /// Answers an admitted call under the fault it meets.
    fn under(&mut self, fault: Option<Fault>, call: &Call, correlation: &str, now_ms: i64) -> Delivery {
        match fault {
            Some(Fault::ServerError(status)) => return answered(server_error(status, correlation)),
            Some(Fault::HtmlError(status)) => return answered(Answer::html(status, HTML_ERROR)),
            Some(Fault::SpuriousThrottle) => {
                let policy = if call.is_search() { Policy::Secondly } else { Policy::TenSecondly };
                return answered(policy.answer(correlation, self.weather.retry_after_secs));
            }
            Some(Fault::LandsLate { delay_ms }) => {
                self.landings.push((now_ms.saturating_add_unsigned(delay_ms), call.clone()));
                return Delivery { answer: None, hold_ms: 0 };
            }
            Some(Fault::Dropped | Fault::Masked | Fault::Truncated) | None => {}
        }
        let (outcome, commit_ms) = self.carry_out(call, now_ms);
        let waits = self.weather.answers_wait_for_commit;
        let hold_ms = if waits { u64::try_from(commit_ms - now_ms).unwrap_or_default() } else { 0 };
        let honest = outcome.unwrap_or_else(|refusal| refusal.answer(correlation));
        let answer = match fault {
            Some(Fault::Dropped) => None,
            Some(Fault::Masked) => Some(server_error(502, correlation)),
            Some(Fault::Truncated) => Some(honest.truncated()),
            _ => Some(honest),
        };
        Delivery { answer, hold_ms }
    }

    /// Lets the dialect work. Also returns when the last record written commits.
    fn carry_out(&mut self, call: &Call, now_ms: i64) -> (Result<Answer, Refusal>, i64) {
        let mut turn = Turn {
            store: &mut self.store,
            weather: &self.weather,
            dice: &mut self.dice,
            account: &self.account,
            now_ms,
            written: 0,
            commit_ms: now_ms,
        };
        let outcome = hubspot::route(&mut turn, call);
        let (written, commit_ms) = (turn.written, turn.commit_ms);
        self.counters.writes += written;
        (outcome, commit_ms)
    }

    fn is_authorised(&self, call: &Call) -> bool {
        let sent = call.authorization.as_deref().and_then(|header| header.strip_prefix("Bearer "));
        sent.is_some() && sent == self.token.as_deref()
    }

    fn with_headers(&mut self, call: &Call, answer: Answer, now_ms: i64) -> Answer {
        let crm_ms = now_ms.saturating_add(self.weather.clock_offset_ms);
        let mut answer = answer.with_header("Date", stamp::http_date(crm_ms));
        if !call.is_search() {
            answer.headers.extend(self.throttle.headers(now_ms));
        }
        answer
    }

    /// A number in the shape of the vendor's correlation ids.
    fn correlation(&mut self) -> String {
        let dice: u128 = self.dice.random();
        let hex = format!("{dice:032x}");
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

const HTML_ERROR: &str = "<!DOCTYPE html>\n<html><head><title>HubSpot | Error</title></head>\
    <body><h1>Something went wrong</h1><p>We're having trouble. Please try again in a moment.</p></body></html>\n";

fn answered(answer: Answer) -> Delivery {
    Delivery { answer: Some(answer), hold_ms: 0 }
}

fn server_error(status: u16, correlation: &str) -> Answer {
    let body = json!({ "status": "error", "message": "internal error", "correlationId": correlation });
    Answer::json(status, &body)
}

#[cfg(test)]
mod tests;
