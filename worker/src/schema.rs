//! Notices that a mapped property is gone from the CRM, or of another type, before its blanks are merged: the stream stops and says so, all others go on. The looks are cheap: one call for
//! each stream and hour by all workers together, and one right before a batch that shows a property blank in every record.
//!
//! Failure cases. Nobody described the object yet: there is nothing to compare with, and the first look learns it. Describing is not permitted: nothing is known, and everything goes on. It
//! fails for now: what is in doubt waits. Within a minute of the last look nobody asks again: what is removed in that minute reaches the merge, where blanks overwrite only what the mapping says.

use tidemark_core::Millis;
use tidemark_core::property::Property;
use tidemark_core::record::Record;
use tidemark_core::schema::{Schema, blank_in_all, reason};
use tidemark_crm::Bucket;
use tidemark_store::{StoreError, described, registration};
use tracing::{error, warn};

use crate::calls::{NoAnswer, Purpose};
use crate::context::Context;
use crate::trial::prove_account;

/// Without any doubt it is asked this often.
const EVERY_MS: Millis = 60 * 60_000;
/// With a doubt no more often than this.
const DOUBTED_MS: Millis = 60_000;

/// Asks for every stream whose turn it is.
pub(crate) async fn look(ctx: &Context) -> Result<(), StoreError> {
    for mapped in ctx.streams() {
        let connection = ctx.connection(mapped)?;
        if mapped.spec.is_one_way() || !connection.crm.can_describe(&mapped.spec.object) {
            continue;
        }
        if !registration::is_in_force(&ctx.store, mapped).await? || !described::take_turn(&ctx.store, mapped.id, EVERY_MS).await?
        {
            continue;
        }
        let purpose = Purpose::look(ctx, connection, mapped);
        let asked = match prove_account(&purpose).await? {
            Ok(()) => ask(&purpose).await?,
            Err(no) => Err(no),
        };
        if asked.is_err() {
            described::doubt(&ctx.store, mapped.id, 0).await?;
        }
    }
    Ok(())
}

/// Whether these records may be merged: none of what is blank in all of them is gone from the CRM. False when the stream stops for it.
pub(crate) async fn prove(purpose: &Purpose<'_>, records: &[Record]) -> Result<Result<bool, NoAnswer>, StoreError> {
    let (ctx, mapped) = (purpose.ctx, purpose.stream);
    if !purpose.connection.crm.can_describe(&mapped.spec.object) || blank_in_all(&mapped.spec, records).next().is_none() {
        return Ok(Ok(true));
    }
    let Some((known, age)) = described::last(&ctx.store, mapped.id).await? else { return Ok(Ok(true)) };
    if age < DOUBTED_MS || !known.is_in_doubt(&mapped.spec, records) {
        return Ok(Ok(true));
    }
    ask(&purpose.describing()).await
}

/// Hears how the object is described. False when the stream stops for it.
async fn ask(purpose: &Purpose<'_>) -> Result<Result<bool, NoAnswer>, StoreError> {
    let (connection, spec) = (purpose.connection, &purpose.stream.spec);
    match purpose.call(Bucket::General, 1, connection.crm.describe(&spec.object)).await? {
        Ok(properties) => Ok(Ok(heard(purpose, &properties).await?)),
        Err(NoAnswer::Failed(failure)) if !failure.class.passes_by_itself() => {
            warn!("whether the properties of {} are all there is not known: {}", spec.object, failure.message);
            Ok(Ok(true))
        }
        Err(no) => Ok(Err(no)),
    }
}

/// The CRM refused something for what it is: perhaps it is not described as it was. Asked at the next look.
pub(crate) async fn doubt(purpose: &Purpose<'_>) -> Result<(), StoreError> {
    described::doubt(&purpose.ctx.store, purpose.stream.id, DOUBTED_MS).await
}

/// Compares a description with the last one, and remembers it.
pub(crate) async fn heard(purpose: &Purpose<'_>, properties: &[Property]) -> Result<bool, StoreError> {
    let (store, mapped) = (&purpose.ctx.store, purpose.stream);
    let now = Schema::of(&mapped.spec, properties);
    let before = described::last(store, mapped.id).await?.map(|(schema, _)| schema).unwrap_or_default();
    let changes = before.changes(&mapped.spec, &now);
    if changes.is_empty() {
        // Whatever holds nothing of what is mapped tells nothing, and what was known stays known.
        let learnt = if now == Schema::default() { &before } else { &now };
        described::learn(store, mapped, learnt, None).await?;
        return Ok(true);
    }
    let reason = reason(&mapped.spec, &changes);
    if described::learn(store, mapped, &now, Some(&reason)).await? {
        error!("{} is paused: {reason}", mapped.spec.name);
    }
    Ok(false)
}
