//! A field is taken out of the mapping, or put into it again, while windows are under way: one worker is started anew with the new mapping, the other goes on with the old one
//! for a while. Both sides of the field go on being edited all the time.

use tidemark_store::capture;
use tidemark_worker::map_streams;

use super::mapping;
use super::world::World;

/// One in so many steps with a window under way somebody changes the mapping, in worlds where that happens; and one in so many others.
const CHANGED_EVERY: (u64, u64) = (25, 700);

impl World {
    pub(crate) async fn look_after_the_mapping(&mut self) -> eyre::Result<()> {
        if self.outdated.is_some_and(|(_, until)| self.step >= until) {
            return self.start_outdated_workers_anew().await;
        }
        if self.swarm.remapped.is_none() || self.outdated.is_some() || self.turns.below(CHANGED_EVERY.0) > 0 {
            return Ok(());
        }
        let under_way = "SELECT CAST(count(*) AS TEXT) FROM tidemark_window WHERE state = 'open' AND position IS NOT NULL AND reader <> 'sweep'";
        let under_way = self.orders.texts(under_way, 1).await?.first().is_some_and(|row| row[0].as_deref() != Some("0"));
        if under_way {
            self.coverage.count("the mapping changed under a window");
        } else if self.turns.below(CHANGED_EVERY.1 / CHANGED_EVERY.0) > 0 {
            return Ok(());
        }
        self.change_the_mapping().await
    }

    /// Somebody puts back what is out of the mapping, long after it was edited on both sides: it has to be found although nobody edits it again. Whether there was any such thing.
    pub(crate) async fn complete_the_mapping(&mut self) -> eyre::Result<bool> {
        if self.swarm.unmapped.is_none() {
            return Ok(false);
        }
        self.change_the_mapping().await?;
        self.start_outdated_workers_anew().await?;
        Ok(true)
    }

    async fn change_the_mapping(&mut self) -> eyre::Result<()> {
        let Some(property) = self.swarm.remapped else { return Ok(()) };
        self.swarm.unmapped = if self.swarm.unmapped.is_some() { None } else { Some(property) };
        let how = if self.swarm.unmapped.is_some() { "taken out" } else { "put in" };
        self.note(|| format!("the mapping changes: {property} is {how}"));
        // What was shown of the field, and what pages replaced in it, may be forgotten with it.
        self.ledger.words.retain(|(_, one), _| one != property);
        self.ledger.stale.iter_mut().filter(|((_, one), _)| one == property).for_each(|(_, save)| save.guarded_until = 0);
        self.old.retain(|old| old.property() != Some(property));
        let worker = self.turns.index(self.workers.len());
        self.stop(worker).await;
        let specs = mapping::streams(&self.swarm);
        self.mapped = map_streams(&self.store, &specs).await?;
        for one in &self.mapped {
            capture::apply(&self.store, &one.shape, &[&one.spec]).await?;
        }
        self.workers[worker] = self.worker(worker).await?;
        let later = u32::try_from(self.turns.below(150)).unwrap_or(0);
        self.outdated = Some((1 - worker, self.step + later));
        Ok(())
    }

    /// Nobody works by the old mapping any more.
    pub(crate) async fn start_outdated_workers_anew(&mut self) -> eyre::Result<()> {
        let Some((worker, _)) = self.outdated.take() else { return Ok(()) };
        self.note(|| format!("worker {worker} is started anew with the mapping as it is now"));
        self.stop(worker).await;
        self.workers[worker] = self.worker(worker).await?;
        Ok(())
    }
}
