//! Brakes in the simulated world: narrow ones in some seeds, a person who answers them now and then, and the law that no more is archived than passes without asking, and
//! what was let through.

use tidemark_core::brake::{Act, Direction};
use tidemark_core::spec::{BrakesSpec, Limit};
use tidemark_store::brakes;

use super::swarm::Swarm;
use super::world::World;

/// Deletes that pass within a day.
const DELETES: u32 = 1;

pub(crate) fn spec(swarm: &Swarm) -> BrakesSpec {
    let limit = |count| Limit { count, share_permille: 0 };
    match swarm.brakes {
        true => BrakesSpec { create: limit(2), update: limit(2), blank: limit(1), delete: limit(DELETES) },
        false => BrakesSpec::NONE,
    }
}

impl World {
    /// A person answers every brake that is on.
    pub(crate) async fn answer_brakes(&mut self) -> eyre::Result<()> {
        if !self.swarm.brakes {
            return Ok(());
        }
        for at in 0..self.mapped.len() {
            let (id, object) = (self.mapped[at].id, self.mapped[at].spec.object.clone());
            for (direction, act) in Direction::ALL.into_iter().flat_map(|direction| Act::ALL.map(|act| (direction, act))) {
                let archives = (direction, act) == (Direction::Out, Act::Delete);
                let owed = if archives { self.owed_pushes(id).await? } else { 0 };
                let Some(held) = brakes::release(&self.store, id, direction, act).await? else { continue };
                self.coverage.count("a brake was answered");
                self.note(|| format!("a person lets {held} things through: {object}, {} {}", direction.word(), act.word()));
                if archives {
                    *self.let_through.entry(object.clone()).or_default() += i64::from(DELETES) + owed;
                }
            }
        }
        Ok(())
    }

    async fn owed_pushes(&self, stream: i64) -> eyre::Result<i64> {
        let owed = format!("SELECT subject FROM tidemark_debt WHERE stream_id = {stream} AND kind = 'push'");
        Ok(i64::try_from(self.orders.texts(&owed, 1).await?.len())?)
    }

    /// Without an answer no more is archived than passes without asking.
    pub(crate) fn judge_brakes(&self) -> Vec<String> {
        if !self.swarm.brakes {
            return Vec::new();
        }
        let crm = self.face.model();
        let over = crm.archived.iter().filter_map(|(object, archived)| {
            let most = i64::from(DELETES) + self.let_through.get(*object).copied().unwrap_or(0);
            (*archived > most)
                .then(|| format!("{archived} records of {object} were archived, and nobody let more than {most} through"))
        });
        over.collect()
    }
}
