//! Does the jobs: polls, pushes, owed reads, the relay. Each handler loads, asks the core, acts, settles; it decides nothing itself.
//!
//! A handler is safe to run twice, late, or never: the work is in the database, guarded by leases and fences; what the queue carries is only a hint.

pub mod agree;
mod ask_again;
mod calls;
mod context;
mod deliver;
mod described;
pub mod erase;
pub mod event;
pub mod first_meeting;
mod loop_breaker;
mod outcome;
mod poll;
mod push;
mod push_create;
mod push_refer;
mod push_send;
mod read;
mod references;
mod relay;
mod run;
mod schema;
mod sign_in;
mod sweep;
mod told;
mod trial;
pub mod whole;
pub mod would_send;

pub use context::{Connection, Context, Tuning, map_streams};
pub use outcome::Outcome;
pub use run::{WorkerError, run};
pub use sign_in::{SignInError, adopt_kept};

use tidemark_core::hint::{Hint, HintKind};
use tidemark_store::rows::Mapped;
use tidemark_store::{StoreError, registration};

/// Does what a hint points at, if it is still there to do.
pub async fn handle(ctx: &Context, hint: Hint) -> Outcome {
    let Some(mapped) = ctx.stream(hint.stream) else { return Outcome::Skipped("no such stream in this configuration") };
    match work(ctx, mapped, hint.kind).await {
        Ok(outcome) => outcome,
        Err(error) => Outcome::Broken(error),
    }
}

async fn work(ctx: &Context, mapped: &Mapped, kind: HintKind) -> Result<Outcome, StoreError> {
    // A base that is stored under the old mapping forgets what is new in it: the work is left to those who know the new one.
    if !registration::is_in_force(&ctx.store, mapped).await? {
        tracing::warn!("{} was mapped anew since this worker started: start it again", mapped.spec.name);
        return Ok(Outcome::Skipped("another mapping is in force: this worker has to be started again"));
    }
    match kind {
        HintKind::Poll => poll::handle(ctx, mapped).await,
        HintKind::Push => push::handle(ctx, mapped).await,
        HintKind::Read => read::handle(ctx, mapped).await,
        HintKind::Sweep => sweep::handle(ctx, mapped).await,
    }
}

/// One look after what waits until a CRM describes itself otherwise, for tests and for the loop that owns it.
pub async fn look_again(ctx: &Context) -> Result<(), StoreError> {
    described::look_again(ctx).await
}

/// One look whether what is mapped is there still, for tests and for the loop that owns it.
pub async fn look_at_schemas(ctx: &Context) -> Result<(), StoreError> {
    schema::look(ctx).await
}

/// One run of the relay, for tests and for the loop that owns it.
pub async fn relay_once(ctx: &Context) -> Result<usize, StoreError> {
    relay::once(ctx).await
}

/// One round of probes of connections whose credentials were refused, for tests and for the loop that owns it.
pub async fn probe_once(ctx: &Context) -> Result<(), StoreError> {
    trial::probe(ctx).await
}
