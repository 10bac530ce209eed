//! Gives back what one process holds once it has stopped: streams, debts and links, told by its name in their owner or fence.
//!
//! Never what may be on its way to a CRM: that waits for the end of its lease, as it would if the process had died.

use crate::query::run;
use crate::{Store, StoreError};

/// Frees everything `process` still holds; how many things. For a process that begins nothing any more.
pub async fn release(store: &Store, process: &str) -> Result<u64, StoreError> {
    let within = if store.is_postgres() { "strpos" } else { "instr" };
    let sent = |fence: &str, stream: &str, key: &str| {
        format!(
            "EXISTS (SELECT 1 FROM tidemark_link s WHERE s.stream_id = {stream} AND s.row_key = {key} AND s.push_fence = {fence} AND {within}(s.ghosts, {fence}) > 0)"
        )
    };
    let own = |fence: &str| format!("{fence} IS NOT NULL AND substr({fence}, 1, length($1)) = $1");
    let debts = format!(
        "UPDATE tidemark_debt SET lease_fence = NULL, lease_until = NULL WHERE {} AND NOT (kind = 'push' AND {})",
        own("lease_fence"),
        sent("tidemark_debt.lease_fence", "tidemark_debt.stream_id", "tidemark_debt.subject")
    );
    let links = format!(
        "UPDATE tidemark_link SET push_fence = NULL, push_until = NULL WHERE {} AND NOT {}",
        own("push_fence"),
        format_args!("({within}(COALESCE(ghosts, ''), push_fence) > 0)")
    );
    let streams =
        "UPDATE tidemark_stream SET lease_until = NULL, lease_owner = NULL, poll_hinted_at = NULL WHERE lease_owner = $1";
    let fences = format!("{process}/");
    let tx = store.begin().await?;
    let mut released = run(&tx, streams, vec![process.into()]).await?;
    run(&tx, &links, vec![fences.clone().into()]).await?;
    released += run(&tx, &debts, vec![fences.into()]).await?;
    tx.commit().await?;
    Ok(released)
}
