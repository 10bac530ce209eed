//! Erases a person: looks for what there is on both sides, and asks the CRM to take the record away. What goes here, in the order database, goes first and at once (`store::erasure`);
//! the record's end is a debt that is tried until the CRM has done it.

use tidemark_core::Millis;
use tidemark_core::failure::{Class, Failure};
use tidemark_core::push::{Verdict, after_failure};
use tidemark_core::record::{RemoteId, RowKey};
use tidemark_crm::{Bucket, Outcomes, ReadIds, WriteBatch, WriteItem, WriteKind};
use tidemark_store::StoreError;
use tidemark_store::erasure::{self, Owed, Target};
use tidemark_store::rows::Mapped;

use crate::calls::{Lane, NoAnswer, Purpose};
use crate::context::Context;
use crate::read;
use crate::trial::{pause_connection, prove_account};

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
    for target in targets.iter_mut().filter(|target| target.link.is_none() && !target.mapped.spec.is_one_way()) {
        let Some(id) = target.remote_id.clone() else { continue };
        let purpose = Purpose { lane: Lane::Command, ..purpose(ctx, target.mapped, 1)? };
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

/// A record that is not there any more is gone. What was told in a one-way stream is with whoever heard it, as `archive_leaves` says: there is nothing to call.
async fn take_away(purpose: &Purpose<'_>, fence: &str, owed: &Owed) -> Result<Result<(), NoAnswer>, StoreError> {
    if purpose.stream.spec.is_one_way() {
        return Ok(Ok(()));
    }
    if let Err(no) = prove_account(purpose).await? {
        return Ok(Err(no));
    }
    let crm = &purpose.connection.crm;
    let there = match whereabouts(purpose, &owed.remote_id).await? {
        Ok(there) => there,
        Err(no) => return Ok(Err(no)),
    };
    match &there {
        Whereabouts::Merged(survivor) => {
            return Ok(Err(waits(format!(
                "record {} was merged into record {survivor}, which holds its person's data now: erase that one with `tidemark erase {} --record {survivor}`",
                owed.remote_id, purpose.stream.spec.name
            ))));
        }
        Whereabouts::Nowhere if owed.for_good => return Ok(Ok(())),
        Whereabouts::Live | Whereabouts::Archived | Whereabouts::Nowhere => {}
    }
    let lease_holds = async { Ok(erasure::lease_left(&purpose.ctx.store, fence).await? >= purpose.lease_needed()) };
    if owed.for_good {
        let answer =
            purpose.call_if(lease_holds, Bucket::General, 1, crm.erase(&purpose.stream.spec.object, &owed.remote_id)).await?;
        return Ok(match answer {
            Err(NoAnswer::Failed(failure)) if failure.class == Class::Gone && matches!(there, Whereabouts::Archived) => {
                Err(waits(format!(
                    "record {} is archived, and the CRM does not delete it for good from there: restore it in the CRM, or delete it for good there",
                    owed.remote_id
                )))
            }
            answer => gone_is_done(answer),
        });
    }
    let item =
        WriteItem { trace: owed.id.to_string(), id: Some(owed.remote_id.clone()), key: None, version: None, fields: Vec::new() };
    let items = [item];
    let batch = WriteBatch { object: &purpose.stream.spec.object, kind: WriteKind::Archive, items: &items };
    let answer = purpose.call_if(lease_holds, Bucket::General, 1, crm.write(&batch)).await?;
    let silence = || Err(Failure::new(Class::Malformed, "archiving a record: the answer says nothing of it"));
    let outcome = |outcomes: Outcomes| outcomes.into_iter().next().unwrap_or_else(silence).map_err(NoAnswer::Failed);
    Ok(gone_is_done(answer.and_then(outcome)))
}

/// Where a record is that is to go.
enum Whereabouts {
    Live,
    Archived,
    /// Its id leads to another record.
    Merged(RemoteId),
    Nowhere,
}

/// Asked right before it is taken away: an id may have been merged into another person's record a minute ago, and some calls would reach that one.
async fn whereabouts(purpose: &Purpose<'_>, id: &RemoteId) -> Result<Result<Whereabouts, NoAnswer>, StoreError> {
    let (crm, object) = (&purpose.connection.crm, purpose.stream.spec.object.as_str());
    let request = ReadIds { object, properties: &[], external_key: None, ids: std::slice::from_ref(id) };
    let live = match purpose.call(Bucket::General, 1, crm.read_ids(&request)).await? {
        Ok(records) => records,
        Err(no) => return Ok(Err(no)),
    };
    if let Some(record) = live.first() {
        return Ok(Ok(if record.id == *id { Whereabouts::Live } else { Whereabouts::Merged(record.id.clone()) }));
    }
    if !crm.traits(object).is_ok_and(|traits| traits.archive_view) {
        return Ok(Ok(Whereabouts::Nowhere));
    }
    let archived = purpose.call(Bucket::General, 1, crm.read_archived(&request)).await?;
    Ok(archived.map(|records| if records.is_empty() { Whereabouts::Nowhere } else { Whereabouts::Archived }))
}

/// A person has to act first; it is tried again now and then.
fn waits(words: String) -> NoAnswer {
    NoAnswer::Failed(Failure::new(Class::Rejected, words))
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
