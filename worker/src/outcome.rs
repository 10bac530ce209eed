//! What a job came to, and the one place that turns it into logs and metrics. The queue only ever hears that the job is over: what is still owed is in the database.

use std::time::Duration;

use metrics::{counter, histogram};
use tidemark_core::hint::{Hint, HintKind};
use tidemark_store::StoreError;
use tracing::{debug, error, info, warn};

/// The end of one job.
#[derive(Debug)]
pub enum Outcome {
    /// Did what was due.
    Done { units: usize },
    /// There was nothing for this worker to do.
    Skipped(&'static str),
    /// Something failed as planned for; it is due again, in words.
    Deferred(String),
    /// Somebody else took the work over.
    LeaseLost,
    /// Our own plumbing failed; the dispatcher hints the work again.
    Broken(StoreError),
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Done { .. } => "done",
            Self::Skipped(_) => "skipped",
            Self::Deferred(_) => "deferred",
            Self::LeaseLost => "lease_lost",
            Self::Broken(_) => "broken",
        }
    }
}

pub(crate) fn report(stream: &str, hint: Hint, outcome: &Outcome, elapsed: Duration) {
    let kind = match hint.kind {
        HintKind::Poll => "poll",
        HintKind::Push => "push",
        HintKind::Read => "read",
        HintKind::Sweep => "sweep",
    };
    counter!("tidemark_jobs_total", "kind" => kind, "outcome" => outcome.word()).increment(1);
    histogram!("tidemark_job_seconds", "kind" => kind).record(elapsed.as_secs_f64());
    match outcome {
        Outcome::Done { units } => debug!(units, "{kind} of {stream} done"),
        Outcome::Skipped(why) => debug!("{kind} of {stream} skipped: {why}"),
        Outcome::Deferred(cause) => info!("{kind} of {stream} is due again: {cause}"),
        Outcome::LeaseLost => warn!("{kind} of {stream} was taken over by another worker"),
        Outcome::Broken(failure) => error!("{kind} of {stream} could not go on: {failure}: {}", failure.log_words()),
    }
}
