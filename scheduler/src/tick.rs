//! Ticks: moves each stream that is due on to its next time and owes its poll, and a sweep when it is time for one. The tick itself is a compare-and-set, so any
//! number of schedulers is right.

use tidemark_core::schedule::next_due;
use tidemark_core::spec::StreamSpec;
use tidemark_core::sweep;
use tidemark_store::{Store, StoreError, streams, sweeps};
use tracing::{debug, info};

/// Ticks everything that is due now. Returns how many ticks were ours.
pub async fn once(store: &Store, specs: &[StreamSpec], jitter: f64) -> Result<usize, StoreError> {
    let now = store.now().await?;
    let mut ours = 0;
    for due in streams::due(store, now).await? {
        // A stream this configuration does not know belongs to another scheduler, or to nobody.
        let Some(spec) = specs.iter().find(|spec| spec.name == due.name) else { continue };
        let next = next_due(due.due_at, now, spec.poll.every, jitter, rand::random());
        if streams::tick(store, &due, next).await? {
            debug!(stream = %due.name, late_ms = now - due.due_at, "ticked");
            ours += 1;
            let is_due = !due.sweep_owed && sweep::is_due(due.loaded_at, due.sweep_begun_at, spec.sweep.every, now);
            if is_due && sweeps::owe(store, due.id).await? {
                info!(stream = %due.name, "a sweep of {} begins", due.name);
            }
        }
    }
    Ok(ours)
}
