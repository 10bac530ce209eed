//! Makes one HTTP call to a CRM: smoothed in this process, booked in the budget all workers share, within the lease, recorded whatever comes of it; and left
//! unanswered when the process has to stop.

use std::time::Duration;

use metrics::{counter, histogram};
use tidemark_core::Millis;
use tidemark_core::bug::{Bug, planted};
use tidemark_core::failure::{Class, Failure};
use tidemark_core::window::millis;
use tidemark_crm::{Answer, Bucket, Need};
use tidemark_store::budget::{self, Grant, Purse, Rate};
use tidemark_store::callouts::CalloutRow;
use tidemark_store::pace::Pace;
use tidemark_store::rows::Mapped;
use tidemark_store::{StoreError, debts};
use tracing::warn;

use crate::context::{Connection, Context};
use crate::sign_in::sign_in;
use crate::trial::on_trial;

/// A slot is good for this long: a process that was held up longer books another rather than bunch its calls.
const SLOT_LIFE: Duration = Duration::from_millis(100);
/// What a quiet background lane saves up.
const LANE_BURST: Duration = Duration::from_secs(10);
/// Longest wait for a slot while work is claimed; beyond it the work goes back.
const SLOT_WAIT_MAX: Millis = 5_000;

/// A token, and the properties of an object; a token that wears out at once ends it.
const NEEDS_MAX: u32 = 4;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// The call was made, or could not be afforded; what follows is the core's decision.
    Failed(Failure),
    /// The connection is paused: the work stays as it is.
    Paused,
    /// Our lease is too short for the call: somebody else may take the work over.
    LeaseShort,
    /// The process stops: nothing was sent.
    Stopping,
    /// The process could wait no longer: whether the CRM did what it was asked, nobody heard.
    CutOff,
    /// The background's share of the calls is used for now.
    LaneSpent { wait: Millis },
}

impl NoAnswer {
    /// What a call that may have written comes to when nobody waits for its answer.
    pub(crate) fn unheard() -> Failure {
        let mut failure = Failure::new(Class::Retry, "the worker had to stop before the CRM answered");
        failure.maybe_done = true;
        failure
    }
}

/// Whose call it is: which share of the budget it draws on, and whether a refusal pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// All of it.
    Live,
    /// All of it, for a command: who gave it is told of a refusal, and nothing is paused.
    Command,
    /// So many in a thousand, per second and per day, over all workers: what somebody waits for goes first.
    Background { permille: u16 },
    /// What a paused connection is asked now and then: counted, and nothing to be paced with is under way.
    Probe,
}

/// The purpose of a call that asks how an object is described.
const DESCRIBE: &str = "describe";

/// What a call is for, for the record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Purpose<'a> {
    pub(crate) ctx: &'a Context,
    pub(crate) connection: &'a Connection,
    pub(crate) stream: &'a Mapped,
    pub(crate) word: &'static str,
    /// From 1.
    pub(crate) attempt: u32,
    /// The claim whose lease must outlast the call.
    pub(crate) fence: Option<&'a str>,
    pub(crate) lane: Lane,
}

impl<'a> Purpose<'a> {
    /// Of a look at how the CRM describes the stream's object, by itself.
    pub(crate) fn look(ctx: &'a Context, connection: &'a Connection, stream: &'a Mapped) -> Self {
        Self { ctx, connection, stream, word: DESCRIBE, attempt: 1, fence: None, lane: Lane::Live }
    }

    /// Of such a look in the midst of something else, on whose time and share of the calls it is made.
    pub(crate) fn describing(self) -> Self {
        Self { word: DESCRIBE, attempt: 1, ..self }
    }
}

impl Purpose<'_> {
    /// Makes the call. `items` is how many records it asks for or carries.
    pub(crate) async fn call<T>(
        &self,
        bucket: Bucket,
        items: usize,
        send: impl Future<Output = Answer<T>>,
    ) -> Result<Result<T, NoAnswer>, StoreError> {
        let lease_holds = async {
            let Some(fence) = self.fence else { return Ok(true) };
            Ok(debts::lease_left(&self.ctx.store, fence).await? >= self.lease_needed())
        };
        self.call_if(lease_holds, bucket, items, send).await
    }

    /// Of its lease a claim needs this much, so that a call ends before anybody else may take the work over.
    pub(crate) fn lease_needed(&self) -> Millis {
        let deadline = millis(self.connection.spec.call_deadline);
        deadline + deadline / 10
    }

    /// Makes the call if the lease turns out to outlast it, which is asked last, right before sending.
    pub(crate) async fn call_if<T>(
        &self,
        lease_holds: impl Future<Output = Result<bool, StoreError>>,
        bucket: Bucket,
        items: usize,
        send: impl Future<Output = Answer<T>>,
    ) -> Result<Result<T, NoAnswer>, StoreError> {
        if let Err(no) = self.prepare().await? {
            return Ok(Err(no));
        }
        let recorded = match self.book(bucket).await? {
            Ok(recorded) => recorded,
            Err(no) => return Ok(Err(no)),
        };
        if !lease_holds.await? && !planted(Bug::NoLeaseBeforeCall) {
            return Ok(Err(NoAnswer::LeaseShort));
        }
        let mut answer = tokio::select! {
            biased;
            answer = sent(recorded, send) => answer,
            () = self.ctx.cut.cancelled() => return Ok(Err(NoAnswer::CutOff)),
        };
        self.pay_for(&answer).await;
        self.record(items, &mut answer);
        Ok(answer.result.map_err(NoAnswer::Failed))
    }

    /// Asks first what the connector has to know first (a token, what properties are), each in a call of its own. Of an account that is not compared yet nothing but a
    /// token is asked.
    async fn prepare(&self) -> Result<Result<(), NoAnswer>, StoreError> {
        let crm = &self.connection.crm;
        for _ in 0..NEEDS_MAX {
            let need = crm.need(&self.stream.spec.object);
            let Some(need) = need.filter(|need| *need == Need::SignIn || self.connection.account.initialized()) else {
                return Ok(Ok(()));
            };
            if let (Need::SignIn, Some(sharing)) = (&need, &self.connection.sharing) {
                match sign_in(self, sharing).await? {
                    Ok(()) => continue,
                    Err(no) => return Ok(Err(no)),
                }
            }
            // Before the account is compared, and in a probe, the turn is taken already.
            let is_on_trial = self.lane == Lane::Probe || !self.connection.account.initialized();
            let met = if need == Need::SignIn && !is_on_trial {
                on_trial(self, || crm.need("") != Some(Need::SignIn), self.meet(&need)).await?
            } else {
                self.meet(&need).await?
            };
            if let Err(no) = met {
                return Ok(Err(no));
            }
        }
        Ok(Ok(()))
    }

    async fn meet(&self, need: &Need) -> Result<Result<(), NoAnswer>, StoreError> {
        let recorded = match self.book(Bucket::General).await? {
            Ok(recorded) => recorded,
            Err(no) => return Ok(Err(no)),
        };
        let mut answer = tokio::select! {
            biased;
            answer = sent(recorded, self.connection.crm.meet(need)) => answer,
            () = self.ctx.cut.cancelled() => return Ok(Err(NoAnswer::Stopping)),
        };
        let word = if *need == Need::SignIn { "sign in" } else { DESCRIBE };
        // Somebody else may have met it while this one waited: then no call was made.
        self.pay_for(&answer).await;
        if answer.result.is_err() || answer.callout.status.is_some() {
            Purpose { word, ..*self }.record(1, &mut answer);
        }
        Ok(answer.result.map_err(NoAnswer::Failed))
    }

    /// True when the call is to be recorded.
    pub(crate) async fn book(&self, bucket: Bucket) -> Result<Result<bool, NoAnswer>, StoreError> {
        if self.lane == Lane::Probe {
            budget::spend(&self.ctx.store, &self.connection.spec.name, &[Purse::Of(Bucket::General)], 1).await?;
            return Ok(Ok(false));
        }
        let limits = self.connection.crm.limits();
        let Some(limit) = limits.iter().find(|limit| limit.bucket == bucket).or_else(|| limits.first()) else {
            return Ok(Ok(false));
        };
        let rate = Rate {
            per_second: limit.per_second,
            burst: limit.burst,
            per_day: self.connection.spec.budget.per_day,
            wait_max: SLOT_WAIT_MAX,
        };
        let ctx = self.ctx;
        tokio::select! {
            biased;
            () = ctx.cut.cancelled() => Ok(Err(NoAnswer::Stopping)),
            booked = self.book_slot(limit.bucket, rate) => booked,
        }
    }

    /// Waits for the slot, too.
    async fn book_slot(&self, bucket: Bucket, rate: Rate) -> Result<Result<bool, NoAnswer>, StoreError> {
        let ctx = self.ctx;
        if let Err(no) = self.book_lane(rate).await? {
            return Ok(Err(no));
        }
        if let Pace::Free = ctx.store.pace() {
            self.connection.smooth(bucket).await;
        }
        loop {
            let no = match budget::book(&ctx.store, &self.connection.spec.name, Purse::Of(bucket), rate).await? {
                Grant::Slot { wait, recorded } => {
                    let wait = Duration::from_millis(u64::try_from(wait).unwrap_or(0));
                    let good_until = ctx.now() + millis(wait + SLOT_LIFE);
                    ctx.store.pace().sleep(wait).await;
                    if ctx.now() <= good_until {
                        return Ok(Ok(recorded));
                    }
                    continue;
                }
                // The connection's row is being made.
                Grant::Busy { wait } if wait <= 1 => continue,
                Grant::Busy { wait } => waiting(Class::Throttled, "the connection's calls are spoken for", wait),
                Grant::DaySpent { wait } => waiting(Class::DayBudget, "the connection's calls of the day are spent", wait),
                Grant::Paused => NoAnswer::Paused,
            };
            return Ok(Err(no));
        }
    }

    /// The background's share is a budget of its own beside the connection's. It is not waited for: the caller gives its stream back meanwhile.
    async fn book_lane(&self, whole: Rate) -> Result<Result<(), NoAnswer>, StoreError> {
        let Lane::Background { permille } = self.lane else { return Ok(Ok(())) };
        let share = f64::from(permille) / 1_000.0;
        let per_second = whole.per_second * share;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "calls of ten seconds")]
        let burst = (per_second * LANE_BURST.as_secs_f64()).ceil().clamp(1.0, 1_000.0) as u32;
        let per_day = whole.per_day.map(|per_day| per_day.saturating_mul(u64::from(permille)) / 1_000);
        let rate = Rate { per_second, burst, per_day, wait_max: 0 };
        loop {
            let wait = match budget::book(&self.ctx.store, &self.connection.spec.name, Purse::Background, rate).await? {
                Grant::Slot { .. } => return Ok(Ok(())),
                // The lane's row is being made.
                Grant::Busy { wait } if wait <= 1 => continue,
                Grant::Busy { wait } | Grant::DaySpent { wait } => wait,
                Grant::Paused => return Ok(Err(NoAnswer::Paused)),
            };
            return Ok(Err(NoAnswer::LaneSpent { wait }));
        }
    }

    /// One unit was booked; what an answered call costs beyond it is taken now. An answer is worth more than the count: it is heard even if this fails.
    async fn pay_for<T>(&self, answer: &Answer<T>) {
        let more = answer.callout.cost.saturating_sub(1);
        if more == 0 || answer.callout.status.is_none() {
            return;
        }
        let purses: &[Purse] = match self.lane {
            Lane::Live | Lane::Command | Lane::Probe => &[Purse::Of(Bucket::General)],
            Lane::Background { .. } => &[Purse::Of(Bucket::General), Purse::Background],
        };
        let name = &self.connection.spec.name;
        if let Err(error) = budget::spend(&self.ctx.store, name, purses, more).await {
            warn!("{more} of {name}'s day are spent and not counted: {}", error.log_words());
        }
    }

    pub(crate) fn record<T>(&self, items: usize, answer: &mut Answer<T>) {
        let tape = answer.callout.tape.take();
        let call = &answer.callout;
        if let Some(offset) = call.clock_offset_ms {
            self.connection.learn_offset(self.ctx.now(), offset);
        }
        let failure = answer.result.as_ref().err();
        let class = failure.map(|failure| failure.class.word());
        counter!("tidemark_calls_total", "connection" => self.connection.spec.name.clone(), "purpose" => self.word, "class" => class.unwrap_or("ok")).increment(1);
        histogram!("tidemark_call_seconds", "connection" => self.connection.spec.name.clone())
            .record(f64::from(call.elapsed_ms) / 1_000.0);
        let row = CalloutRow {
            connection: self.connection.spec.name.clone(),
            stream: Some(self.stream.id),
            purpose: self.word,
            attempt: self.attempt,
            method: call.method,
            endpoint: call.endpoint.clone(),
            items: u32::try_from(items).unwrap_or(u32::MAX),
            status: call.status,
            class,
            message: failure.map(|failure| failure.message.clone()),
            elapsed_ms: call.elapsed_ms,
            quota_left: call.quota_left,
            at: self.ctx.now(),
            tape,
        };
        // The record's writer ends only with the process.
        let _ = self.ctx.callouts.send(row);
    }
}

pub(crate) async fn sent<T>(recorded: bool, send: impl Future<Output = Answer<T>>) -> Answer<T> {
    if recorded { tidemark_crm::recorded(send).await } else { send.await }
}

pub(crate) fn waiting(class: Class, message: &str, wait: Millis) -> NoAnswer {
    let mut failure = Failure::new(class, message);
    failure.wait = Some(Duration::from_millis(u64::try_from(wait).unwrap_or(0)));
    NoAnswer::Failed(failure)
}
