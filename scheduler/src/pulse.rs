//! Moves the database's pulse and has it witnessed where the hints lie; and notices first when the database is older than its witness. What follows is the store's to do.

use tidemark_core::Millis;
use tidemark_queue::Queue;
use tidemark_store::{Store, environment};
use tracing::error;

use crate::dispatch::DispatchError;

/// One beat. A queue that does not answer is no witness for now: the beats go on.
pub async fn once(store: &Store, queue: &Queue, restore_guard: Millis) -> Result<(), DispatchError> {
    // Asked first: the witness repeats the database, and never knows more of it than was true before.
    let witness = queue.last_testimony().await;
    let known = witness.as_ref().ok().and_then(Option::as_deref);
    if let Some(why) = environment::look(store, known, restore_guard).await? {
        error!(
            "nothing is sent any more: {why}; every stream is read again, then `tidemark environment` shows what would be sent"
        );
    }
    let Some(pulse) = environment::beat(store).await? else { return Ok(()) };
    witness?;
    Ok(queue.testify(&pulse.to_string()).await?)
}
