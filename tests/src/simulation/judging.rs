//! Brings what happened before the laws, after each step and at rest.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use tidemark_store::pace::Driver;
use tidemark_worker::Outcome;

use super::crm::Author;
use super::face::{BURST, PER_SECOND};
use super::laws::{self, Decisions};
use super::ledger::OpenConflict;
use super::versions;
use super::world::World;

impl World {
    pub(crate) fn judge_records(&mut self, known: &Decisions) -> Vec<String> {
        let (face, now) = (self.face.clone(), self.turns.now());
        let mut crm = face.model();
        let written = std::mem::take(&mut crm.overwritten);
        for one in &written {
            let before = one.before.as_ref().map(|cell| cell.value.clone());
            let (made, object, id, property) = (if one.created { "makes" } else { "writes" }, one.object, &one.id, &one.property);
            let line = format!("     job {} {made} {object} {id}: {property} {before:?} → {:?}", one.job, one.after);
            self.trace_line(line);
        }
        let judge = |one| laws::record_written(one, &self.orders, &crm, &mut self.ledger, known, &self.swarm, now);
        written.iter().filter_map(judge).collect()
    }

    /// What the house wrote by landing late is nobody's fault any more: the gap between the read of a push and its write was as long as that.
    pub(crate) fn judge_landed(&mut self) {
        let landed = std::mem::take(&mut self.face.model().overwritten);
        let over_people = landed
            .iter()
            .filter(|one| one.before.as_ref().is_some_and(|cell| cell.author == Author::People && cell.value != one.after));
        for one in over_people {
            let tag = self.face.model().records.get(&one.id).and_then(|rec| rec.get("tag").map(str::to_owned));
            self.ledger.in_the_gap.extend(tag.map(|tag| (tag, one.property.clone())));
        }
    }

    pub(crate) async fn judge_rows(&mut self) -> eyre::Result<Vec<String>> {
        let (customers, orders) = self.orders.look().await?;
        let mut breaches = self.remember_conflicts().await?;
        let face = self.face.clone();
        let crm = face.model();
        for change in &customers.changed {
            breaches.extend(laws::row_changed(change, &self.orders, &crm, &self.ledger, &self.swarm));
            breaches.extend(versions::row_went_back(change, &self.orders, &crm, &self.ledger, &self.swarm));
        }
        for key in &customers.made {
            let tag = self.orders.customers[key]["tag"].clone().unwrap_or_default();
            if self.ledger.buried.contains(&tag) || self.orders.tagged(&tag).len() > 1 {
                breaches.push(format!("row {key} was made for {tag}, who has one or was deleted"));
            }
        }
        breaches.extend(customers.gone.iter().chain(&orders.gone).map(|key| format!("row {key} was deleted by nobody")));
        // The shop's own trigger moves the total with the customer's company.
        let ours = orders.changed.iter().filter(|change| !["remote", "total_cents"].contains(&change.column));
        breaches.extend(ours.map(|change| format!("an order was changed though nothing flows there: {change:?}")));
        drop(crm);
        if orders.changed.iter().any(|change| change.column == "total_cents") {
            self.coverage.count("the shop's own trigger changed an order");
        }
        if !customers.changed.is_empty()
            || !customers.made.is_empty()
            || orders.changed.iter().any(|change| change.column == "remote")
        {
            self.last_write = self.turns.now();
            self.note(|| format!("     rows made {:?}, changed {:?}", customers.made, customers.changed));
        }
        self.remember_objects(&customers.changed);
        self.follow_rows(&customers.changed);
        Ok(breaches)
    }

    /// What a job came to: nothing may break down while the database is well.
    pub(crate) fn judge_outcomes(&mut self) -> Vec<String> {
        let ended: Vec<_> = std::mem::take(&mut *self.ended.lock().unwrap_or_else(PoisonError::into_inner));
        let mut breaches = Vec::new();
        for (job, what, outcome) in ended {
            self.note(|| format!("     job {job} ({what}): {outcome:?}"));
            match outcome {
                Outcome::Broken(error) => breaches.push(format!("{what} broke down: {error}: {}", error.words())),
                Outcome::LeaseLost => self.coverage.count("a job was overtaken"),
                Outcome::Done { .. } | Outcome::Skipped(_) | Outcome::Deferred(_) => {}
            }
        }
        breaches
    }

    /// The budget all workers share holds on the CRM's side of the line too; each job may be held up once between its slot and its call.
    pub(crate) fn judge_calls(&self) -> Vec<String> {
        let crm = self.face.model();
        let Some(last) = crm.calls.last() else { return Vec::new() };
        let within = crm.calls.iter().rev().take_while(|at| **at > last - 1_000).count();
        #[expect(clippy::cast_precision_loss, reason = "a handful of calls")]
        let over = within as f64 > PER_SECOND + f64::from(BURST) + self.swarm.jobs as f64;
        over.then(|| format!("{within} calls within a second")).into_iter().collect()
    }

    pub(crate) async fn decisions(&self) -> eyre::Result<Decisions> {
        let id = self.mapped[0].id;
        let sql = format!("SELECT row_key, base FROM tidemark_link WHERE stream_id = {id} AND row_key IS NOT NULL");
        let mut known = Decisions::new();
        for row in self.orders.texts(&sql, 2).await? {
            if let [Some(key), Some(base)] = row.as_slice() {
                laws::decisions(key, base, &mut known);
            }
        }
        Ok(known)
    }

    /// Conflicts that were not known yet, and which of them nobody took part in; those that are gone, and which of them nobody decided.
    pub(crate) async fn remember_conflicts(&mut self) -> eyre::Result<Vec<String>> {
        let (mut breaches, mut open) = (Vec::new(), BTreeMap::new());
        let (known, seq) = (self.decisions().await?, self.face.model().seq);
        for (at, decision) in known.iter().filter(|(_, decision)| decision.state == "conflict") {
            let Some(tag) = self.orders.customers.get(&at.0).and_then(|row| row["tag"].clone()) else { continue };
            // Known under both names of a row that has two.
            self.ledger.conflicts.extend(self.went_on_as(&at.0).map(|person| (person, at.1.clone())));
            if self.ledger.conflicts.insert((tag.clone(), at.1.clone())) {
                self.coverage.count("a conflict was recorded");
                breaches.extend(versions::conflict_with_nobody(&tag, &at.1, decision, &self.ledger, &self.swarm));
            }
            let before = self.ledger.open.get(at).filter(|open| open.row == decision.row && open.record == decision.record);
            let shown = |seq| OpenConflict { seq, tag, row: decision.row.clone(), record: decision.record.clone() };
            open.insert(at.clone(), shown(before.map_or(seq, |before| before.seq)));
        }
        let crm = self.face.model();
        for (at, gone) in self.ledger.open.iter().filter(|(at, _)| !open.contains_key(*at)) {
            let now = known.get(at);
            breaches.extend(now.and_then(|now| versions::dropped(at, gone, now, &self.orders, &crm, &self.ledger, &self.swarm)));
        }
        drop(crm);
        self.ledger.open = open;
        Ok(breaches)
    }
}
