//! Does the jobs: polls, pushes, owed reads, the relay. Each handler loads, asks the core, acts, settles; it decides nothing itself.
//!
//! A handler is safe to run twice, late, or never: the work is in the database, guarded by leases and fences; what the queue carries is only a hint.

pub mod agree;
mod ask_again;
mod calls;
mod context;
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
mod sweep;
pub mod whole;
pub mod would_send;

pub use context::{Connection, Context, Tuning, map_streams};
pub use outcome::Outcome;
pub use run::{WorkerError, run};

use tidemark_core::hint::{Hint, HintKind};

/// Does what a hint points at, if it is still there to do.
pub async fn handle(ctx: &Context, hint: Hint) -> Outcome {
    let Some(mapped) = ctx.stream(hint.stream) else { return Outcome::Skipped("no such stream in this configuration") };
    let result = match hint.kind {
        HintKind::Poll => poll::handle(ctx, mapped).await,
        HintKind::Push => push::handle(ctx, mapped).await,
        HintKind::Read => read::handle(ctx, mapped).await,
        HintKind::Sweep => sweep::handle(ctx, mapped).await,
    };
    match result {
        Ok(outcome) => outcome,
        Err(error) => Outcome::Broken(error),
    }
}

/// One run of the relay, for tests and for the loop that owns it.
pub async fn relay_once(ctx: &Context) -> Result<usize, tidemark_store::StoreError> {
    relay::once(ctx).await
}
