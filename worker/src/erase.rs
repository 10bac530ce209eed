//! Erases a person: looks for what there is on both sides, and asks the CRM to take the record away. What goes here, in the order database, goes first and at once (`store::erasure`);
//! the record's end is a debt that is tried until the CRM has done it.

use tidemark_core::Millis;
use tidemark_core::failure::{Class, Failure};
use tidemark_core::push::{Verdict, after_failure};
use tidemark_core::record::{RemoteId, RowKey};
use tidemark_crm::{Bucket, Outcomes, WriteBatch, WriteItem, WriteKind};
use tidemark_store::StoreError;
use tidemark_store::erasure::{self, Owed, Target};
use tidemark_store::rows::Mapped;

use crate::calls::{Lane, NoAnswer, Purpose, pause_connection, prove_account};
use crate::context::Context;
use crate::read;

/// What a person has to put right first is asked for again this often.
const AGAIN_MS: Millis = 15 * 60_000;

/// What there is of a row or a record, in its stream and in every other over the same table. A record that no row is linked to is read, so that its match keys are known.
/// The error is the CRM's, in words.
pub async fn look<'a>(
    ctx: &'a Context,
    mapped: &'a Mapped,
    row: Option<&RowKey>,
    record: Option<&RemoteId>,
) -> Result<Result<Vec<Target<'a>>, String>, StoreError> {
    let all: Vec<&Mapped> = ctx.streams().map(AsRef::as_ref).collect();
    let mut targets = erasure::look(&ctx.store, mapped, &all, row, record).await?;
    for target in targets.iter_mut().filter(|target| target.link.is_none()) {
        let Some(id) = target.remote_id.clone() else { continue };
        let purpose = purpose(ctx, target.mapped, 1)?;
        let records = match prove_account(&purpose).await? {
            Ok(()) => read::by_ids(&purpose, std::slice::from_ref(&id)).await?,
            Err(no) => Err(no),
        };
        let records = match records {
            Ok(records) => records,
            Err(NoAnswer::Failed(failure)) => return Ok(Err(failure.message)),
            Err(_) => return Ok(Err(format!("the connection {} is paused", target.mapped.spec.connection))),
        };
        let secret = erasure::secret(&ctx.store).await?;
        for record in records.iter().filter(|record| record.id == id) {
            target.learn_record(&secret, &record.values);
        }
    }
    Ok(Ok(targets))
}

fn purpose<'a>(ctx: &'a Context, mapped: &'a Mapped, attempt: u32) -> Result<Purpose<'a>, StoreError> {
    let connection = ctx.connection(mapped)?;
    Ok(Purpose { ctx, connection, stream: mapped, word: "erase", attempt, fence: None, lane: Lane::Live })
}

/// The CRM of a stream can delete its records so that nothing brings them back.
pub fn can_erase(ctx: &Context, mapped: &Mapped) -> Result<bool, StoreError> {
    Ok(ctx.connection(mapped)?.crm.can_erase(&mapped.spec.object))
}

/// Takes away the records of erasures that are due. Returns how many are gone.
pub async fn carry_on(ctx: &Context, mapped: &Mapped) -> Result<usize, StoreError> {
    let mut gone = 0;
    while !ctx.shutdown.is_cancelled() {
        let fence = ctx.fence();
        let Some(owed) = erasure::claim(&ctx.store, mapped.id, &fence, ctx.lease()).await? else { break };
        let purpose = purpose(ctx, mapped, owed.attempts + 1)?;
        match take_away(&purpose, &fence, &owed).await? {
            Ok(()) => {
                erasure::done(&ctx.store, &fence).await?;
                gone += 1;
            }
            Err(no) => {
                leave(&purpose, &fence, &owed, no).await?;
                break;
            }
        }
    }
    Ok(gone)
}

/// One call. A record that is not there any more is gone.
async fn take_away(purpose: &Purpose<'_>, fence: &str, owed: &Owed) -> Result<Result<(), NoAnswer>, StoreError> {
    if let Err(no) = prove_account(purpose).await? {
        return Ok(Err(no));
    }
    let crm = &purpose.connection.crm;
    let lease_holds = async { Ok(erasure::lease_left(&purpose.ctx.store, fence).await? >= purpose.lease_needed()) };
    if owed.for_good {
        let answer =
            purpose.call_if(lease_holds, Bucket::General, 1, crm.erase(&purpose.stream.spec.object, &owed.remote_id)).await?;
        return Ok(gone_is_done(answer));
    }
    let item = WriteItem { trace: owed.id.to_string(), id: Some(owed.remote_id.clone()), key: None, fields: Vec::new() };
    let items = [item];
    let batch = WriteBatch { object: &purpose.stream.spec.object, kind: WriteKind::Archive, items: &items };
    let answer = purpose.call_if(lease_holds, Bucket::General, 1, crm.write(&batch)).await?;
    let silence = || Err(Failure::new(Class::Malformed, "archiving a record: the answer says nothing of it"));
    let outcome = |outcomes: Outcomes| outcomes.into_iter().next().unwrap_or_else(silence).map_err(NoAnswer::Failed);
    Ok(gone_is_done(answer.and_then(outcome)))
}

fn gone_is_done<T>(answer: Result<T, NoAnswer>) -> Result<(), NoAnswer> {
    match answer {
        Err(NoAnswer::Failed(failure)) if failure.class == Class::Gone => Ok(()),
        answer => answer.map(drop),
    }
}

/// Taking it away twice does no harm, so whatever came of the call it is made again.
async fn leave(purpose: &Purpose<'_>, fence: &str, owed: &Owed, no: NoAnswer) -> Result<(), StoreError> {
    let ctx = purpose.ctx;
    let now = ctx.store.now().await?;
    let NoAnswer::Failed(failure) = no else {
        return erasure::leave(&ctx.store, fence, now, None, "the connection is paused, or the worker stops", false).await;
    };
    let verdict = after_failure(&failure, owed.attempts + 1, now, ctx.dice(), &purpose.stream.spec.retry);
    let (due_at, counts) = match verdict {
        Verdict::RetryAt { at } => (at, true),
        Verdict::WaitForBudget { until } => (until, false),
        Verdict::PauseConnection => (now, false),
        Verdict::ReadFirst | Verdict::Parked { .. } => (now + AGAIN_MS, true),
    };
    erasure::leave(&ctx.store, fence, due_at, Some(failure.class.word()), &failure.message, counts).await?;
    tracing::warn!("a record of {} that is to be erased is still there: {}", purpose.stream.spec.name, failure.message);
    if verdict == Verdict::PauseConnection {
        pause_connection(ctx, purpose.connection, &failure).await?;
    }
    Ok(())
}
