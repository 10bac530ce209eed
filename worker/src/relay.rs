//! Runs the relay: change-log rows become debts. Any number of workers may run it.

use tidemark_store::rows::Mapped;
use tidemark_store::{StoreError, changes, children};

use crate::context::Context;

/// Rows of one run: one short transaction.
const CHANGES_MAX: u32 = 1_000;

/// Relays until the log is empty or one run was not full, and frees children whose parent is there by now. Returns how many changes were relayed.
pub(crate) async fn once(ctx: &Context) -> Result<usize, StoreError> {
    let streams: Vec<Mapped> = ctx.streams().map(|mapped| mapped.as_ref().clone()).collect();
    children::free_linked(&ctx.store).await?;
    let mut total = 0;
    loop {
        let relayed = changes::relay(&ctx.store, &streams, CHANGES_MAX).await?;
        total += relayed.changes;
        if relayed.changes < CHANGES_MAX as usize || ctx.shutdown.is_cancelled() {
            return Ok(total);
        }
    }
}
