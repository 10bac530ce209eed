//! Time as the house itself spends it: the scheduler's tick, what its dispatcher finds due, and the job for each; and the database's own bad moments. Makes nothing
//! due that is not.

use std::time::Duration;

use eyre::{bail, eyre};
use tidemark_core::hint::Hint;
use tidemark_core::spec::StreamSpec;
use tidemark_scheduler::dispatch::HINT_LIFE_MS;
use tidemark_scheduler::tick;
use tidemark_store::streams;
use tidemark_worker::{Outcome, handle};

use crate::deadline::until;
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

    /// The database's administrator ends every session of ours, as a fail-over does (PostgreSQL).
    pub async fn end_sessions(&self) -> eyre::Result<()> {
        let ours = "SELECT pg_terminate_backend(pid, 5000)::text FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'tidemark'";
        self.db.rows(ours).await?;
        Ok(())
    }

    /// Each dead connection of this rig's pool fails whoever takes it, once: asked by more than it has connections, all of them answer.
    pub async fn healed(&self) -> eyre::Result<()> {
        let all_answer = async || {
            let asked: Vec<_> =
                (0..16).map(|_| self.store.clone()).map(|store| tokio::spawn(async move { store.now().await })).collect();
            let mut well = true;
            for answer in asked {
                well &= answer.await?.is_ok();
            }
            Ok(well.then_some(()))
        };
        until("the pool is made of living connections", Duration::from_secs(10), all_answer).await
    }
}
