//! Tidemark's processes as the simulation runs them: jobs on two workers, a scheduler, a relay; hints that are lost, doubled and reordered; processes that stand still and die.

use std::sync::{Arc, PoisonError};

use tidemark_core::hint::{Hint, HintKind};
use tidemark_store::pace::Driver;
use tidemark_store::streams;
use tidemark_worker::{Outcome, handle};

use super::driver::JOB;
use super::world::{Job, Role, World, ended};
use super::{mapping, restores};

impl World {
    pub(crate) fn at_work(&self, role: Role) -> usize {
        self.jobs.values().filter(|job| job.role == role).count()
    }

    /// Somebody sets the CRM's clock.
    pub(crate) fn set_the_clock(&mut self) {
        // Set forward, it makes what is not shown yet look old before its time: the settled reader passes it, and only a sweep finds it.
        let ahead = if self.swarm.sweeps { 5_000 } else { -5_000 };
        let by = [-20_000, -5_000, ahead][self.turns.index(3)];
        self.face.model().swarm.skew += by;
        self.coverage.count("the CRM's clock was set");
        self.note(|| format!("the CRM's clock is set by {by} ms"));
    }

    pub(crate) fn spawn(
        &mut self,
        role: Role,
        worker: Option<usize>,
        what: String,
        work: impl Future<Output = Outcome> + Send + 'static,
    ) {
        let id = self.next_job;
        self.next_job += 1;
        let ended = Arc::clone(&self.ended);
        self.note(|| format!("job {id} begins: {what} on {worker:?}"));
        let task = async move {
            let outcome = work.await;
            ended.lock().unwrap_or_else(PoisonError::into_inner).push((id, what, outcome));
        };
        let handle = tokio::spawn(JOB.scope(id, task));
        self.jobs.insert(id, Job { handle, role, worker, frozen_until: 0, began: self.turns.now() });
    }

    pub(crate) fn schedule(&mut self) {
        if self.at_work(Role::Scheduler) > 1 {
            return;
        }
        let (store, queue) = (self.store.clone(), Arc::clone(&self.queue));
        let specs = mapping::streams(&self.swarm);
        let witness = self.swarm.restores.then(|| Arc::clone(&self.witness));
        let round = async move {
            if let Some(witness) = witness {
                restores::beat(&store, &witness).await?;
            }
            tidemark_scheduler::tick::once(&store, &specs, 0.0).await?;
            for work in streams::due_work(&store, 5_000).await? {
                if streams::mark_hinted(&store, &work).await? {
                    queue.lock().unwrap_or_else(PoisonError::into_inner).push(Hint { kind: work.kind, stream: work.stream });
                }
            }
            Ok(())
        };
        self.spawn(Role::Scheduler, None, "scheduler".into(), async move { ended(round.await) });
    }

    pub(crate) fn relay(&mut self) {
        if self.at_work(Role::Relay) > 1 {
            return;
        }
        let worker = self.turns.index(self.workers.len());
        let ctx = self.workers[worker].clone();
        self.spawn(Role::Relay, Some(worker), "relay".into(), async move {
            ended(tidemark_worker::relay_once(&ctx).await.map(|_| ()))
        });
    }

    /// A hint reaches a worker: any hint, perhaps twice, perhaps never.
    pub(crate) fn deliver(&mut self) {
        if self.at_work(Role::Handler) >= self.swarm.jobs {
            return;
        }
        let hint = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.is_empty() {
                return;
            }
            let at = self.turns.index(queue.len());
            if self.turns.chance(self.swarm.double_hint) { queue[at] } else { queue.swap_remove(at) }
        };
        if self.turns.chance(self.swarm.drop_hint) {
            self.coverage.count("a hint was lost");
            return;
        }
        let worker = self.turns.index(self.workers.len());
        let ctx = self.workers[worker].clone();
        let stream = self.mapped.iter().find(|one| one.id == hint.stream).map_or("?", |one| one.spec.object.as_str());
        let kind = match hint.kind {
            HintKind::Poll => "poll",
            HintKind::Push => "push",
            HintKind::Read => "read",
            HintKind::Sweep => "sweep",
        };
        if self.at_work(Role::Handler) >= 2 {
            self.coverage.count("three handlers at once");
        }
        self.spawn(Role::Handler, Some(worker), format!("{kind} {stream}"), async move {
            let outcome = handle(&ctx, hint).await;
            match streams::clear_hint(&ctx.store, hint.stream, hint.kind).await {
                Ok(()) => outcome,
                Err(error) => Outcome::Broken(error),
            }
        });
    }

    /// A process stands still for a while: its jobs have no turn.
    pub(crate) fn freeze(&mut self) {
        if self.workers.is_empty() || self.turns.below(3) > 0 {
            return;
        }
        let worker = self.turns.index(self.workers.len());
        let until = self.step + 20 + u32::try_from(self.turns.below(120)).unwrap_or(0);
        for job in self.jobs.values_mut().filter(|job| job.worker == Some(worker)) {
            job.frozen_until = until;
        }
        self.coverage.count("a process stood still");
        self.note(|| format!("worker {worker} stands still"));
    }

    /// A process dies with all its jobs, and another takes its place.
    pub(crate) async fn crash(&mut self) -> eyre::Result<()> {
        let worker = self.turns.index(self.workers.len());
        let dead = self.stop(worker).await;
        self.note(|| format!("worker {worker} dies with jobs {dead:?}"));
        if !dead.is_empty() {
            self.coverage.count("a process died at work");
        }
        // Whoever starts it again starts it as it was.
        if self.outdated.is_none_or(|(outdated, _)| outdated != worker) {
            self.workers[worker] = self.worker(worker).await?;
        }
        Ok(())
    }

    /// Ends a worker's jobs, wherever they are.
    pub(crate) async fn stop(&mut self, worker: usize) -> Vec<u64> {
        let dead: Vec<u64> = self.jobs.iter().filter(|(_, job)| job.worker == Some(worker)).map(|(id, _)| *id).collect();
        for id in &dead {
            if let Some(job) = self.jobs.remove(id) {
                job.handle.abort();
            }
        }
        self.turns.settle().await;
        self.face.model().under_way = 0;
        dead
    }
}
