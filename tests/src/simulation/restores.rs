//! A backup of the order database is taken and put back later, under running workers or after they died: the shop forgets what was done since, the CRM does not. The pulse and
//! its witness tell; a person lets the pushes go when everything was read again, and takes a key that was given out twice away from the record that had it first.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use tidemark_core::Millis;
use tidemark_store::holds::{self, Held};
use tidemark_store::{Store, StoreError, debts, environment};

use super::decisions::OldField;
use super::ledger::{Key, Ledger, Side, Word};
use super::merges::LEFT;
use super::orders::LOG_CLOCK;
use super::world::World;
use crate::backup::{OURS_ON_SQLITE, SHOP, copied, filled};

/// One in so many steps a backup is taken.
const TAKEN_EVERY: u64 = 20;
/// Steps until it is put back, at least and at most: what the shop makes meanwhile is sent by then, or is not.
const PUT_BACK_AFTER: Range<u32> = 220..420;
/// One in so many steps somebody looks at what is held.
const LOOKED_AT_EVERY: u64 = 40;

/// What the order database held, and what the judges knew.
#[derive(Debug)]
pub(crate) struct Backup {
    tables: Vec<String>,
    seq: u64,
    ever: BTreeMap<(String, &'static str), BTreeSet<String>>,
    buried: BTreeSet<String>,
    words: BTreeMap<Key, Word>,
    old: Vec<OldField>,
    /// The pulse, as it stood.
    beats: i64,
    put_back_at: u32,
}

/// One beat of a scheduler, with a witness that outlives the database.
pub(crate) async fn beat(store: &Store, witness: &Mutex<Option<String>>) -> Result<(), StoreError> {
    let known = witness.lock().unwrap_or_else(PoisonError::into_inner).clone();
    environment::look(store, known.as_deref(), Millis::MAX).await?;
    if let Some(pulse) = environment::beat(store).await? {
        *witness.lock().unwrap_or_else(PoisonError::into_inner) = Some(pulse.to_string());
    }
    Ok(())
}

impl World {
    pub(crate) async fn look_after_backups(&mut self) -> eyre::Result<()> {
        if !self.swarm.restores {
            return Ok(());
        }
        if self.turns.below(LOOKED_AT_EVERY) == 0 {
            self.adopt().await?;
        }
        match &self.backup {
            None if self.turns.below(TAKEN_EVERY) == 0 => self.take_backup().await,
            Some(backup) if self.step >= backup.put_back_at => self.put_back().await,
            _ => Ok(()),
        }
    }

    async fn beats(&self) -> eyre::Result<i64> {
        Ok(environment::load(&self.store).await?.map_or(0, |environment| environment.pulse.beats))
    }

    async fn take_backup(&mut self) -> eyre::Result<()> {
        let beats = self.beats().await?;
        // From a database that is held nothing is sent that a restore could undo.
        if beats == 0 || self.is_held().await? {
            return Ok(());
        }
        let ours = self.orders.texts(OURS_ON_SQLITE, 1).await?.into_iter().flatten().flatten();
        let tables: Vec<String> = SHOP.map(str::to_owned).into_iter().chain(ours).chain(["sqlite_sequence".to_owned()]).collect();
        self.orders.run(&copied(&tables)).await?;
        let seq = self.face.model().next_seq();
        let Range { start, end } = PUT_BACK_AFTER;
        let put_back_at = self.step + start + u32::try_from(self.turns.below(u64::from(end - start))).unwrap_or(0);
        let (ever, buried, words) = (self.orders.ever.clone(), self.ledger.buried.clone(), self.ledger.words.clone());
        self.backup = Some(Backup { tables, seq, ever, buried, words, old: self.old.clone(), beats, put_back_at });
        self.note(|| "a backup is taken".into());
        // What the shop makes from here on has a key that will be given out again.
        self.open_for_business().await
    }

    /// The shop and Tidemark's tables are as they were; what people did in the shop since has never been.
    async fn put_back(&mut self) -> eyre::Result<()> {
        let beats = self.beats().await?;
        // Whoever puts a backup back within a beat is not noticed, and has sent nothing.
        let Some(backup) = self.backup.take_if(|backup| backup.beats < beats) else { return Ok(()) };
        if self.turns.chance(0.7) {
            for worker in 0..self.workers.len() {
                self.stop(worker).await;
                self.workers[worker] = self.worker(worker).await?;
            }
        }
        let script = format!("BEGIN; DROP TRIGGER simulated_log; {}; {LOG_CLOCK}; COMMIT", filled(&backup.tables));
        self.note(|| "the backup is put back".into());
        self.orders.ever = backup.ever;
        self.orders.person(&script).await?;
        let (now, there) = {
            let mut crm = self.face.model();
            let live = crm.records.values().filter(|record| !record.archived);
            let there: BTreeSet<String> = live.filter_map(|record| record.get("tag").map(str::to_owned)).collect();
            (crm.next_seq(), there)
        };
        self.ledger.forget_rows(backup.seq..now, &there);
        // Decisions and the memory of what pages replaced, with its times, are in the database, and as old as it is now.
        (self.ledger.buried, self.ledger.words, self.old) = (backup.buried, backup.words, backup.old);
        self.coverage.count("a backup was put back");
        self.open_for_business().await
    }

    async fn open_for_business(&mut self) -> eyre::Result<()> {
        for _ in 0..4 {
            if self.turns.chance(0.5) {
                self.add_row().await?;
            }
            self.add_order().await?;
        }
        Ok(())
    }

    /// A person lets the pushes go once everything was read again, and answers what waits for a key that was given out twice.
    pub(crate) async fn adopt(&mut self) -> eyre::Result<()> {
        if !self.swarm.restores {
            return Ok(());
        }
        let held = holds::list_held(&self.store).await?;
        if !held.is_empty() && held.iter().all(Held::is_ready) {
            holds::release(&self.store, &held.iter().collect::<Vec<_>>(), "somebody", None).await?;
            self.note(|| "a person adopts the restored database".into());
            self.coverage.count("a restored database was adopted");
        }
        let parked = format!(
            "SELECT CAST(id AS TEXT), kind, subject, cause FROM tidemark_debt WHERE state = 'parked' AND (cause LIKE '%since a restore%' OR cause LIKE '%{LEFT}%') ORDER BY id"
        );
        for debt in self.orders.texts(&parked, 4).await? {
            let [Some(id), Some(kind), Some(subject), Some(cause)] = debt.as_slice() else { continue };
            let in_the_way = cause.strip_prefix("record ").and_then(|text| text.split([' ', ',']).next());
            let record = if kind == "read" { Some(subject.as_str()) } else { in_the_way };
            if let Some(record) = record {
                self.note(|| format!("a person takes the key from record {record}"));
                self.face.model().take_key(record);
            }
            debts::retry(&self.store, id.parse()?).await?;
            self.coverage.count("a key was given out twice");
        }
        Ok(())
    }

    pub(crate) async fn is_held(&self) -> eyre::Result<bool> {
        Ok(self.swarm.restores && !holds::list_held(&self.store).await?.is_empty())
    }
}

impl Ledger {
    /// What people wrote into rows in this time has never been; a person of whom nothing is left is nobody. Which of two values of a field that both sides may write stands
    /// now depends on what was sent meanwhile.
    fn forget_rows(&mut self, gap: Range<u64>, there: &BTreeSet<String>) {
        self.restored_at = gap.end;
        for entries in self.entries.values_mut() {
            entries.retain(|entry| entry.side != Side::Rows || !gap.contains(&entry.seq));
        }
        self.entries.retain(|(tag, _), entries| !entries.is_empty() || there.contains(tag));
        self.stale.values_mut().for_each(|save| save.guarded_until = 0);
    }
}
