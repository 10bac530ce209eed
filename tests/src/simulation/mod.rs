//! Simulation: one seed, the real core, store and workers, and models of everything around them, on a clock that is set by hand.
//!
//! Every statement outside a transaction, every transaction and every call is a point at which somebody else may have the next turn; at least three handlers are at
//! work at once. The same seed gives the same run. The models keep every version and are the judges: rows, records and what people wrote, never the links.

mod brakes;
mod calm;
mod cores;
mod coverage;
mod crm;
mod decisions;
mod driver;
mod face;
mod faulty;
mod gap;
mod house;
mod index;
mod judging;
mod laws;
mod ledger;
mod mapping;
mod merges;
mod orders;
mod people;
mod remapping;
mod restores;
mod swarm;
mod versions;
mod world;

use tidemark_core::bug::{self, Bug};

pub use cores::on_each_core;
pub use coverage::{Coverage, RACES};

/// What a seed came to.
#[derive(Debug)]
pub struct Verdict {
    pub seed: u64,
    pub steps: u32,
    /// Breaches of the law; empty when all hold.
    pub breaches: Vec<String>,
    pub coverage: Coverage,
    /// The options the seed drew.
    pub swarm: String,
    /// Every step, when asked for.
    pub trace: Vec<String>,
}

/// Whether a backup is put back in a seed's world.
pub fn restores(seed: u64) -> bool {
    swarm::Swarm::draw(seed).restores
}

/// Lives one seed on a runtime of its own, with a deliberate bug or without.
pub fn run(seed: u64, trace: bool, bug: Option<Bug>) -> eyre::Result<Verdict> {
    bug::plant(bug);
    let verdict = live(seed, trace);
    bug::plant(None);
    verdict
}

fn live(seed: u64, trace: bool) -> eyre::Result<Verdict> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(async {
        let mut world = world::World::open(seed, trace).await?;
        let breaches = world.live().await?;
        let mut coverage = world.coverage.clone();
        coverage.add(&world.face.model().coverage);
        Ok(Verdict {
            seed,
            steps: world.step,
            breaches,
            coverage,
            swarm: format!("{:?}", world.swarm),
            trace: world.trace.unwrap_or_default(),
        })
    })
}
