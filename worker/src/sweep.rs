//! Sweeps a stream: claim, go on where the last slice stood, read pages until the share of the calls is used, a poll is owed or time is up, and conclude the end.
//!
//! A slice that ends early is the rule, not a failure. What a page shows is applied like any other; what counts as drift or as sealed is the core's decision.

use tidemark_core::Millis;
use tidemark_core::failure::{Class, Failure};
use tidemark_core::push::{Verdict, after_failure};
use tidemark_core::source::SourceTraits;
use tidemark_core::sweep::Seal;
use tidemark_core::window::millis;
use tidemark_store::StoreError;
use tidemark_store::rows::Mapped;
use tidemark_store::streams::Fence;
use tidemark_store::sweeps::{self, Claimed};

use crate::calls::{Lane, NoAnswer, Purpose};
use crate::context::Context;
use crate::event::Event;
use crate::outcome::Outcome;
use crate::poll::{Read, Reading};
use crate::trial::{pause_connection, prove_account};

/// A sweep that used its share is gone on with no sooner: its share fills up meanwhile, and one claim serves several pages.
const PAUSE_MS: Millis = 10_000;
/// Records that are suspected in one transaction.
const SUSPECTS: u32 = 1_000;

/// How a slice ended.
enum Ended {
    Concluded {
        seal: Seal,
        pages: usize,
    },
    /// To be gone on with at this time.
    Paused {
        at: Millis,
        pages: usize,
    },
    Failed(NoAnswer),
}

/// Sweeps one stream for one slice.
pub(crate) async fn handle(ctx: &Context, mapped: &Mapped) -> Result<Outcome, StoreError> {
    let Some(Claimed { fence, attempts, held_at }) = sweeps::claim(&ctx.store, mapped.id, &ctx.tuning.name, ctx.lease()).await?
    else {
        return Ok(Outcome::Skipped("no sweep is owed, a poll is, or another worker reads the stream"));
    };
    let connection = ctx.connection(mapped)?;
    let attempt = attempts + 1;
    let lane = Lane::Background { permille: mapped.spec.sweep.share_permille };
    let purpose = Purpose { ctx, connection, stream: mapped, word: "sweep", attempt, fence: None, lane };
    match sweep(&purpose, fence, held_at).await {
        Ok(Ended::Concluded { seal, pages }) => {
            sweeps::finish(&ctx.store, fence).await?;
            if let Seal::Void(why) = seal {
                tracing::warn!("the sweep of {} concludes nothing: {why}", mapped.spec.name);
            }
            Ok(Outcome::Done { units: pages })
        }
        Ok(Ended::Paused { at, pages }) => {
            sweeps::pause(&ctx.store, fence, at).await?;
            Ok(Outcome::Done { units: pages })
        }
        Ok(Ended::Failed(no)) => settle_failure(&purpose, fence, no).await,
        Err(StoreError::LeaseLost { .. }) => Ok(Outcome::LeaseLost),
        Err(error) if error.is_contention() => {
            sweeps::pause(&ctx.store, fence, ctx.store.now().await?).await?;
            Ok(Outcome::Deferred("the database was busy".into()))
        }
        Err(error) => {
            // The lease would hold the stream for its whole length; the fault is ours, so give it back with a pause.
            let failure = Failure::new(Class::Retry, error.words());
            let at = ctx.store.now().await? + tidemark_core::backoff::delay(attempt, 0, ctx.dice(), &mapped.spec.retry);
            sweeps::fail(&ctx.store, fence, at, &failure).await?;
            Err(error)
        }
    }
}

async fn sweep(purpose: &Purpose<'_>, fence: Fence, held_at: Option<Millis>) -> Result<Ended, StoreError> {
    // Nothing is read in a one-way stream: the walk that came with the sweep is all of it.
    if purpose.stream.spec.is_one_way() {
        return Ok(Ended::Concluded { seal: Seal::Sealed, pages: 0 });
    }
    // The proof of the account is no part of the sweep's share: it is made once per process.
    let live = Purpose { lane: Lane::Live, ..*purpose };
    if let Err(no) = prove_account(&live).await? {
        return Ok(Ended::Failed(no));
    }
    let (ctx, mapped) = (purpose.ctx, purpose.stream);
    let traits = match purpose.connection.crm.traits(&mapped.spec.object) {
        Ok(traits) => traits,
        Err(failure) => return Ok(Ended::Failed(NoAnswer::Failed(failure))),
    };
    let now = ctx.store.now().await?;
    if let Some(at) = held_at.and_then(|held_at| shown_from(purpose, &traits, held_at)).filter(|at| now < *at) {
        return Ok(Ended::Paused { at, pages: 0 });
    }
    let crm_now = purpose.connection.crm_now(ctx.now());
    let open = sweeps::resume(&ctx.store, fence, &mapped.spec.digest(), crm_now).await?;
    let window = open.window.id;
    let mut reading = Reading { purpose, fence, traits, until: ctx.slice_end(), pages: 0, feed: None };
    if !open.drained {
        match reading.read_pages(open.window).await? {
            Read::Drained => {}
            Read::TimeUp => return Ok(Ended::Paused { at: now, pages: reading.pages }),
            Read::Failed(NoAnswer::LaneSpent { wait }) => {
                return Ok(Ended::Paused { at: now + wait.max(PAUSE_MS), pages: reading.pages });
            }
            Read::Failed(no) => return Ok(Ended::Failed(no)),
        }
    }
    let seal =
        if open.sealed { Seal::Sealed } else { sweeps::conclude(&ctx.store, mapped, fence, window, &reading.traits).await? };
    while seal == Seal::Sealed && !sweeps::suspect(&ctx.store, mapped, fence, window, SUSPECTS).await? {
        if reading.is_over() {
            return Ok(Ended::Paused { at: ctx.store.now().await?, pages: reading.pages });
        }
    }
    Ok(Ended::Concluded { seal, pages: reading.pages })
}

/// Whether a restored database sent something for a row is told by the key in the record. In a stream without one only the search index tells: its sweep waits until everything
/// that was sent before the hold has landed and is shown, or the record would be made again.
fn shown_from(purpose: &Purpose<'_>, traits: &SourceTraits, held_at: Millis) -> Option<Millis> {
    let spec = &purpose.stream.spec;
    let commit_lag = traits.commit_lag.min(spec.poll.settled_lag);
    // A call that left right before the hold is given up at its deadline, and may land for `request_life` from then on.
    let landed = held_at + millis(purpose.connection.spec.call_deadline) + millis(traits.request_life);
    spec.external_key.is_none().then(|| landed + millis(commit_lag))
}

async fn settle_failure(purpose: &Purpose<'_>, fence: Fence, no: NoAnswer) -> Result<Outcome, StoreError> {
    let ctx = purpose.ctx;
    let now = ctx.store.now().await?;
    let NoAnswer::Failed(failure) = no else {
        sweeps::pause(&ctx.store, fence, now).await?;
        return Ok(Outcome::Skipped("the connection is paused"));
    };
    let spec = &purpose.stream.spec;
    let retry_at = match after_failure(&failure, purpose.attempt, now, ctx.dice(), &spec.retry) {
        Verdict::RetryAt { at } | Verdict::WaitForBudget { until: at } => at,
        Verdict::PauseConnection => {
            pause_connection(ctx, purpose.connection, &failure).await?;
            now
        }
        Verdict::ReadFirst | Verdict::Parked { .. } => now + millis(spec.retry.cap),
    };
    sweeps::fail(&ctx.store, fence, retry_at, &failure).await?;
    ctx.tell(Event::Failed { stream: spec.name.clone(), what: "sweep", cause: failure.message.clone() });
    Ok(Outcome::Deferred(failure.message))
}
