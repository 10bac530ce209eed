//! Turns due work into hints: polls that are owed, debts that are due, leases that ran out. The one guard against lost hints, dead workers and a full queue.

use tidemark_core::Millis;
use tidemark_core::hint::{Hint, HintKind};
use tidemark_queue::{Queue, QueueError};
use tidemark_store::{Store, StoreError, streams};

/// A hint that was not taken up after this long is given again.
pub const HINT_LIFE_MS: Millis = 5_000;
/// Debts one hint stands for: one batch of the common connector.
const BATCH: i64 = 100;
/// Hints for one kind of work of one stream at a time: more workers than this on one stream only wait for its budget.
const HINTS_PER_STREAM: i64 = 4;

/// The dispatcher could not do its round.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl DispatchError {
    pub(crate) fn log_words(&self) -> String {
        match self {
            Self::Store(error) => error.log_words(),
            Self::Queue(error) => error.to_string(),
        }
    }
}

/// One round. Returns how many hints the queue took.
pub async fn once(store: &Store, queue: &Queue, depth_max: u64) -> Result<usize, DispatchError> {
    let due = streams::due_work(store, HINT_LIFE_MS).await?;
    if due.is_empty() {
        return Ok(0);
    }
    let mut room = depth_max.saturating_sub(queue.depth().await?.waiting);
    let mut hints = Vec::new();
    for work in due {
        let wanted = hints_for(work.kind, work.units).min(room);
        if wanted == 0 || !streams::mark_hinted(store, &work).await? {
            continue;
        }
        room -= wanted;
        hints.extend((0..wanted).map(|_| Hint { kind: work.kind, stream: work.stream }));
    }
    Ok(queue.push(&hints).await?)
}

fn hints_for(kind: HintKind, units: i64) -> u64 {
    let hints = match kind {
        HintKind::Poll | HintKind::Sweep => 1,
        HintKind::Push | HintKind::Read => units.div_euclid(BATCH) + 1,
    };
    u64::try_from(hints.clamp(1, HINTS_PER_STREAM)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_thousand_debts_are_a_handful_of_hints() {
        assert_eq!(hints_for(HintKind::Push, 100_000), 4);
        assert_eq!(hints_for(HintKind::Push, 1), 1);
        assert_eq!(hints_for(HintKind::Poll, 1), 1);
    }
}
