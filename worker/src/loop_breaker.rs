//! Holds back pushes that would be one more turn of a loop: another program takes back each time what was sent. Only records that were written a short while ago are looked up.

use tidemark_core::Millis;
use tidemark_core::brake::names;
use tidemark_core::loop_breaker::{self, Loop};
use tidemark_core::push::{Plan, Sent};
use tidemark_core::window::millis;
use tidemark_store::debts::Unpaid;
use tidemark_store::push::Prepared;
use tidemark_store::settle::Settlement;
use tidemark_store::{StoreError, lineage};

use crate::push::Push;

impl Push<'_> {
    /// Takes out of the plan what goes round; it waits for a person, with the field and the times.
    pub(crate) async fn break_loops<'p>(
        &self,
        planned: &mut Vec<(&'p Prepared, Plan)>,
        now: Millis,
    ) -> Result<Vec<Settlement<'p>>, StoreError> {
        let mapped = self.purpose.stream;
        let since = now - millis(mapped.spec.loop_breaker.within);
        let links: Vec<i64> =
            planned.iter().filter_map(|(prepared, plan)| watched(prepared, plan, since).map(|(link, _)| link)).collect();
        if links.is_empty() {
            return Ok(Vec::new());
        }
        let entries = lineage::pushed_since(&self.purpose.ctx.store, &links, since).await?;
        let turn = |prepared: &Prepared, plan: &Plan| -> Option<Loop> {
            let (link, fields) = watched(prepared, plan, since)?;
            loop_breaker::find(&mapped.spec, prepared.link.as_ref()?, fields, entries.get(&link)?, now)
        };
        let mut held = Vec::new();
        planned.retain(|(prepared, plan)| {
            let Some(found) = turn(prepared, plan) else { return true };
            let (cause, next_step) = found.words(now);
            let unpaid = Unpaid::ParkedOwned { class: loop_breaker::CLASS, cause, next_step };
            held.push(Settlement::Unpaid { claim: &prepared.claim, unpaid });
            false
        });
        Ok(held)
    }
}

/// The link and the fields of a push that may be a turn: an update of a record that was written lately, and that nobody let through.
fn watched<'a>(prepared: &Prepared, plan: &'a Plan, since: Millis) -> Option<(i64, &'a [Sent])> {
    let Plan::Update { fields, .. } = plan else { return None };
    let passed = names(prepared.claim.passed.as_deref(), loop_breaker::CLASS);
    let link = prepared.link.as_ref().filter(|link| !passed && link.view.written_at.is_some_and(|at| at >= since))?;
    Some((link.id, fields))
}
