//! Pays owed reads: fetches records by id and merges them. Whatever was doubtful in a page is settled here by the CRM's own word.

use std::collections::HashMap;

use tidemark_core::Millis;
use tidemark_core::failure::{Class, Failure};
use tidemark_core::push::{Verdict, after_failure};
use tidemark_core::record::{Record, RemoteId};
use tidemark_core::source::SourceTraits;
use tidemark_crm::{Bucket, ReadIds};
use tidemark_store::debts::{self, Claim, Kind, Unpaid, Which};
use tidemark_store::page::{OwedReads, apply_reads};
use tidemark_store::rows::Mapped;
use tidemark_store::{StoreError, aliases, links, push};

use crate::ask_again;
use crate::calls::{Lane, NoAnswer, Purpose};
use crate::context::Context;
use crate::event::Event;
use crate::outcome::Outcome;
use crate::poll::{READ_DELAY_MS, wanted};
use crate::trial::{pause_connection, prove_account};
use crate::{references, schema};

/// Pays due reads of one stream, batch after batch, until none is due or the slice is over.
pub(crate) async fn handle(ctx: &Context, mapped: &Mapped) -> Result<Outcome, StoreError> {
    pay_due(ctx, mapped, Which::Due).await
}

/// The same for those that are chosen.
pub(crate) async fn pay_due(ctx: &Context, mapped: &Mapped, which: Which<'_>) -> Result<Outcome, StoreError> {
    let connection = ctx.connection(mapped)?;
    let Ok(traits) = connection.crm.traits(&mapped.spec.object) else {
        return Ok(Outcome::Skipped("the connector does not know the object"));
    };
    let until = ctx.slice_end();
    let mut units = 0;
    while ctx.now() < until && !ctx.shutdown.is_cancelled() {
        let fence = ctx.fence();
        let claims =
            debts::claim(&ctx.store, mapped.id, Kind::Read, which, &fence, ctx.lease(), usize::from(traits.read_rows_max))
                .await?;
        if claims.is_empty() {
            return Ok(Outcome::Done { units });
        }
        let attempt = claims.iter().map(|claim| u32::try_from(claim.attempts).unwrap_or(0)).max().unwrap_or(0) + 1;
        let purpose = Purpose { ctx, connection, stream: mapped, word: "read", attempt, fence: Some(&fence), lane: Lane::Live };
        let result = read(&purpose, &fence, &claims, &traits).await;
        match result {
            Ok(Ok(())) => units += claims.len(),
            Ok(Err(no)) => return give_back(&purpose, &fence, &claims, no).await,
            Err(error) if error.is_contention() => {
                push::release(&ctx.store, &fence).await?;
                return Ok(Outcome::Deferred("the database was busy".into()));
            }
            Err(StoreError::LeaseLost { .. }) => {
                push::release(&ctx.store, &fence).await?;
                return Ok(Outcome::LeaseLost);
            }
            Err(error) => return give_back_later(&purpose, &fence, &claims, error).await,
        }
    }
    Ok(Outcome::Done { units })
}

async fn read(
    purpose: &Purpose<'_>,
    fence: &str,
    claims: &[Claim],
    traits: &SourceTraits,
) -> Result<Result<(), NoAnswer>, StoreError> {
    if let Err(no) = prove_account(purpose).await? {
        return Ok(Err(no));
    }
    let ctx = purpose.ctx;
    let ids: Vec<RemoteId> = claims.iter().map(|claim| RemoteId::new(claim.subject.as_str())).collect();
    // The links' versions before asking: a link that moves meanwhile is read once more rather than merged with an answer that may be older.
    let links = links::of_records(&ctx.store, purpose.stream, &ids).await?;
    let asked_at = ctx.store.now().await?;
    let records = match by_ids(purpose, &ids).await? {
        Ok(records) => records,
        Err(no) => return Ok(Err(no)),
    };
    match schema::prove(purpose, &records).await? {
        Ok(true) => {}
        // The stream stops: what was claimed goes back as it was.
        Ok(false) => {
            push::release(&ctx.store, fence).await?;
            return Ok(Ok(()));
        }
        Err(no) => return Ok(Err(no)),
    }
    let is_silent = |id: &&RemoteId| records.iter().flat_map(Record::ids).all(|answered| answered != *id);
    let (known, strange): (Vec<RemoteId>, Vec<RemoteId>) =
        ids.iter().filter(is_silent).cloned().partition(|id| links.contains_key(id));
    // Of what no link holds only those matter that a row waits for.
    let missing = [aliases::waited_for(&ctx.store, purpose.stream.id, &strange).await?, known].concat();
    let round = match ask_again::round(purpose, &missing, &ids, traits).await? {
        Ok(round) => round,
        Err(no) => return Ok(Err(no)),
    };
    let versions: HashMap<RemoteId, i64> = links.into_iter().map(|(id, link)| (id, link.version)).collect();
    let precision = Millis::from(traits.precision_ms);
    let clock = ctx.clock_of(purpose.connection, purpose.stream, precision).await?;
    let reads = OwedReads { fence, claims, asked_at, records, versions, precision, clock, read_delay: READ_DELAY_MS, round };
    apply_reads(&ctx.store, purpose.stream, &ctx.parents(purpose.stream), reads).await?;
    Ok(Ok(()))
}

/// Records by id, whole: with what they refer to.
pub(crate) async fn by_ids(purpose: &Purpose<'_>, ids: &[RemoteId]) -> Result<Result<Vec<Record>, NoAnswer>, StoreError> {
    let spec = &purpose.stream.spec;
    let properties = wanted(purpose.stream);
    let request = ReadIds { object: &spec.object, properties: &properties, external_key: spec.external_key.as_deref(), ids };
    let mut records = match purpose.call(Bucket::General, ids.len(), purpose.connection.crm.read_ids(&request)).await? {
        Ok(records) => records,
        Err(no) => return Ok(Err(no)),
    };
    Ok(references::fill(purpose, &mut records).await?.map(|()| records))
}

async fn give_back(purpose: &Purpose<'_>, fence: &str, claims: &[Claim], no: NoAnswer) -> Result<Outcome, StoreError> {
    let ctx = purpose.ctx;
    let NoAnswer::Failed(failure) = no else {
        push::release(&ctx.store, fence).await?;
        return Ok(Outcome::Skipped("the connection is paused, the worker stops, or the lease is too short"));
    };
    let now = ctx.store.now().await?;
    let mut left: Vec<(&Claim, Unpaid<'_>)> = Vec::with_capacity(claims.len());
    for claim in claims {
        left.push((claim, unpaid(purpose, claim, &failure, now)));
    }
    debts::give_back(&ctx.store, fence, &left).await?;
    if after_failure(&failure, 1, now, 0.0, &purpose.stream.spec.retry) == Verdict::PauseConnection {
        pause_connection(ctx, purpose.connection, &failure).await?;
    }
    ctx.tell(Event::Failed { stream: purpose.stream.spec.name.clone(), what: "read", cause: failure.message.clone() });
    Ok(Outcome::Deferred(failure.message))
}

/// The fault is ours (a missing right, a column that is gone): what was claimed is due again after a pause, with the database's words, rather than at once and for ever.
pub(crate) async fn give_back_later(
    purpose: &Purpose<'_>,
    fence: &str,
    claims: &[Claim],
    error: StoreError,
) -> Result<Outcome, StoreError> {
    let store = &purpose.ctx.store;
    let failure = Failure::new(Class::Retry, error.words());
    let now = store.now().await?;
    let left: Vec<_> = claims.iter().map(|claim| (claim, unpaid(purpose, claim, &failure, now))).collect();
    debts::give_back(store, fence, &left).await?;
    push::release(store, fence).await?;
    Err(error)
}

/// What a failed attempt leaves of one claim; the same for reads and pushes.
pub(crate) fn unpaid<'a>(purpose: &Purpose<'_>, claim: &Claim, failure: &'a Failure, now: Millis) -> Unpaid<'a> {
    let attempts = u32::try_from(claim.attempts).unwrap_or(0) + 1;
    match after_failure(failure, attempts, now, purpose.ctx.dice(), &purpose.stream.spec.retry) {
        Verdict::RetryAt { at } => Unpaid::Retry { due_at: at, failure },
        Verdict::WaitForBudget { until } => Unpaid::Later { due_at: until, cause: &failure.message },
        Verdict::ReadFirst => Unpaid::Retry { due_at: now + READ_DELAY_MS, failure },
        Verdict::Parked { next_step } => {
            Unpaid::Parked { class: failure.class.word(), code: failure.code.as_deref(), cause: &failure.message, next_step }
        }
        Verdict::PauseConnection => Unpaid::Later { due_at: now, cause: &failure.message },
    }
}
