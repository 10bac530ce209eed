//! Time as the house itself spends it: the scheduler's tick, what its dispatcher finds due, and the job for each. Makes nothing due that is not.

use std::time::Duration;

use eyre::{bail, eyre};
use tidemark_core::hint::Hint;
use tidemark_core::spec::StreamSpec;
use tidemark_scheduler::dispatch::HINT_LIFE_MS;
use tidemark_scheduler::tick;
use tidemark_store::streams;
use tidemark_worker::{Outcome, handle};

use crate::rig::Rig;

/// Jobs of one round; more would mean that doing the work makes it.
const JOBS_MAX: usize = 200;

impl Rig {
    /// One turn of the scheduler, for streams whose interval is so short that each is due again at once. How many ticks it made.
    pub async fn tick(&self) -> eyre::Result<usize> {
        let mut specs: Vec<StreamSpec> = self.config.streams.clone();
        specs.iter_mut().for_each(|spec| spec.poll.every = Duration::from_millis(1));
        Ok(tick::once(&self.store, &specs, 0.0).await?)
    }

    /// Relays, and does whatever the dispatcher finds due until it finds nothing. How many jobs that were.
    pub async fn work_off(&self) -> eyre::Result<usize> {
        tidemark_worker::relay_once(&self.ctx).await?;
        let mut jobs = 0;
        loop {
            let due = streams::due_work(&self.store, HINT_LIFE_MS).await?;
            if due.is_empty() {
                return Ok(jobs);
            }
            for work in due {
                if !streams::mark_hinted(&self.store, &work).await? {
                    continue;
                }
                if let Outcome::Broken(error) = handle(&self.ctx, Hint { kind: work.kind, stream: work.stream }).await {
                    bail!("{work:?}: {error}: {}", error.words());
                }
                streams::clear_hint(&self.store, work.stream, work.kind).await?;
                jobs += 1;
            }
            if jobs > JOBS_MAX {
                return Err(eyre!("{jobs} jobs were done and {:?} is due", streams::due_work(&self.store, HINT_LIFE_MS).await?));
            }
        }
    }
}
