//! Two records are merged in the CRM, and where that leaves two rows of one record somebody merges the rows in the shop, sooner or later. Keeps in the ledger who became whom.

use tidemark_core::delete::EDITED;
use tidemark_core::spec::Owner;
use tidemark_store::debts;

use super::ledger::{Ledger, Word};
use super::orders::Change;
use super::world::World;

/// What is shown of a row whose record belongs to another row.
pub(crate) const TWO_ROWS: &str = "two rows, one record";
/// What is shown of a row whose namesake went, and left its record behind.
pub(crate) const LEFT: &str = "whose row was deleted, is in the way";
/// What is shown of a row that was made for somebody whose record another row had taken by then.
const TAKEN: &str = "belongs to another row";

/// What is shown of a second record that was made for a row.
const TWO_RECORDS: &str = "two records, one row";
/// Persons with a record, at least, before one of them loses it.
pub(crate) const LIVE_MIN: usize = 4;

impl World {
    /// Somebody merges two persons' records in the CRM, or one into a record that was made for that a moment before.
    pub(crate) fn merge_records(&mut self) {
        let made_for_it = self.turns.chance(0.4).then(|| self.add_record(None));
        let mut persons: Vec<(String, String)> = {
            let crm = self.face.model();
            let live =
                crm.records.iter().filter(|(id, rec)| rec.object == "contacts" && !rec.archived && !crm.unheard.contains(*id));
            live.filter_map(|(id, rec)| Some((id.clone(), rec.get("tag")?.to_owned()))).collect()
        };
        persons.retain(|(_, tag)| !self.ledger.deleted.contains(tag) && !self.ledger.merged.contains_key(tag));
        // Where nobody is left who could be asked, silence means nothing, and what is gone is waited for.
        if persons.len() < LIVE_MIN {
            return;
        }
        let newest = (0..persons.len()).max_by_key(|at| persons[*at].0.parse::<u64>().unwrap_or(0)).unwrap_or(0);
        let survivor = if made_for_it.is_some() { newest } else { self.turns.index(persons.len()) };
        let (survivor, stays) = persons.swap_remove(survivor);
        let (lost, goes) = persons.swap_remove(self.turns.index(persons.len()));
        if stays == goes {
            return;
        }
        self.note(|| format!("people merge record {lost} ({goes}) into {survivor} ({stays})"));
        let seq = self.face.model().merge(&survivor, &lost);
        self.ledger.merge(&goes, &stays, seq);
        self.hear_people();
        self.coverage.count("two records were merged");
    }

    /// Somebody merges two rows of one record in the shop: the orders go to the row that stays.
    pub(crate) async fn merge_rows(&mut self) -> eyre::Result<()> {
        let waiting = format!(
            "SELECT subject FROM tidemark_debt WHERE state = 'parked' AND kind = 'push' AND (cause LIKE '{TWO_ROWS}%' OR cause LIKE '%{TAKEN}') ORDER BY id"
        );
        let rows: Vec<String> = self.orders.texts(&waiting, 1).await?.into_iter().flatten().flatten().collect();
        let Some(second) = rows.get(self.turns.index(rows.len())).cloned() else { return Ok(()) };
        let Some(tag) = self.orders.customers.get(&second).and_then(|row| row["tag"].clone()) else { return Ok(()) };
        let stays = self.ledger.became(&tag).to_owned();
        let Some(first) = self.orders.tagged(&stays).into_iter().find(|key| *key != second) else { return Ok(()) };
        let (goes, stays) = if self.turns.below(2) == 0 { (first, second) } else { (second, first) };
        self.note(|| format!("people merge row {goes} into row {stays}"));
        self.orders.person(&format!("UPDATE orders SET customer_id = {stays} WHERE customer_id = {goes}")).await?;
        self.orders.person(&format!("DELETE FROM customers WHERE id = {goes}")).await?;
        // Whatever was only in the row that goes goes with it.
        let (person, seq) = (self.ledger.became(&tag).to_owned(), self.face.model().next_seq());
        self.ledger.merged_at.insert(person.clone(), seq);
        self.ledger.rows_merged_at.insert(person, seq);
        self.coverage.count("two rows of one record were merged");
        Ok(())
    }

    /// Somebody says of rows that were deleted while their records were edited that the records go all the same.
    pub(crate) async fn let_records_go(&mut self) -> eyre::Result<()> {
        let waiting = format!(
            "SELECT CAST(d.id AS TEXT), l.remote_id FROM tidemark_debt d JOIN tidemark_link l ON l.stream_id = d.stream_id AND l.row_key = d.subject
             WHERE d.state = 'parked' AND d.class = '{EDITED}' AND l.state = 'linked' ORDER BY d.id"
        );
        for debt in self.orders.texts(&waiting, 2).await? {
            let [Some(id), Some(record)] = debt.as_slice() else { continue };
            self.note(|| format!("a person lets record {record} go although it was edited"));
            self.face.model().let_go.insert(record.clone());
            debts::retry(&self.store, id.parse()?).await?;
            self.coverage.count("a row was deleted while its record was edited");
        }
        Ok(())
    }

    /// A parked push of a row whose record really was merged into another's, or a second record that nobody could exclude.
    pub(crate) fn waits_for_its_rows_to_be_merged(&self, debt: &[Option<String>]) -> bool {
        let [_, Some(kind), Some(subject), Some(cause)] = debt else { return false };
        let is_part = |tag: &str| self.ledger.merged.contains_key(tag) || self.ledger.merged_at.contains_key(tag);
        if kind == "read" {
            // An index that was behind showed a record that had been merged away while another was made for its row, and no key of ours tells the two apart.
            let crm = self.face.model();
            let tag = crm.records.get(subject).and_then(|record| record.get("tag"));
            let expected = tag.is_some_and(|tag| is_part(tag) || crm.doubled_in_the_gap.contains(tag));
            return !self.swarm.external_key && cause.starts_with(TWO_RECORDS) && expected;
        }
        let tag = self.orders.customers.get(subject).and_then(|row| row["tag"].as_deref());
        // A record that was merged before the row it was made for heard of it belongs to the other's row.
        let two_rows = cause.starts_with(TWO_ROWS) || cause.ends_with(TAKEN) || cause.contains(LEFT);
        two_rows && tag.is_some_and(is_part)
    }

    /// Rows that would say that their record is another row's, were they sent: that row's own was merged into it before the two had met.
    pub(crate) fn unsent_namesakes(&self) -> Vec<String> {
        let taken = |tag: &str| self.orders.tagged(tag).iter().any(|key| self.ledger.went_on.contains(key));
        let unsent = self.orders.customers.iter().filter(|(_, row)| row["confirmed"].is_none() && row["remote"].is_none());
        let namesakes = unsent
            .filter(|(_, row)| row["tag"].as_deref().is_some_and(|tag| self.ledger.merged_at.contains_key(tag) && taken(tag)));
        namesakes.map(|(key, _)| key.clone()).collect()
    }

    /// The person of the survivor that a row has gone on with, while its own tag says another still.
    pub(crate) fn went_on_as(&self, row: &str) -> Option<String> {
        let cells = self.orders.customers.get(row)?;
        let tag = cells["tag"].as_deref()?;
        let person = self.ledger.became(tag);
        let crm = self.face.model();
        let of_record = crm.records.get(cells["remote"].as_ref()?)?.get("tag")?;
        (person != tag && person == of_record).then(|| person.to_owned())
    }

    /// A row whose record was merged away goes on as the person of the survivor: what was written into it is theirs from now on.
    pub(crate) fn follow_rows(&mut self, changes: &[Change]) {
        for change in changes.iter().filter(|change| change.column == "tag") {
            if let (Some(goes), Some(stays)) = (&change.before, &change.after)
                && self.ledger.became(goes) == stays
            {
                self.ledger.rename(&change.key, goes, stays);
                self.ledger.went_on.insert(change.key.clone());
                self.coverage.count("a row went on with another record");
            }
        }
    }
}

impl Ledger {
    /// One person became another, by a merge of their records.
    fn merge(&mut self, goes: &str, stays: &str, seq: u64) {
        self.merged.insert(goes.to_owned(), stays.to_owned());
        self.merged_at.insert(stays.to_owned(), seq);
    }

    /// Who somebody is after all merges.
    pub(crate) fn became<'a>(&'a self, tag: &'a str) -> &'a str {
        let mut tag = tag;
        while let Some(next) = self.merged.get(tag) {
            tag = next;
        }
        tag
    }

    /// What was written before the last merge of somebody's records is not judged: which of two values stands is the CRM's business.
    pub(crate) fn judged_from(&self, tag: &str, owner: Owner) -> u64 {
        let merged = self.merged_at.get(tag).copied().unwrap_or(0);
        match owner {
            Owner::Crm => self.rows_merged_at.get(tag).copied().unwrap_or(0),
            Owner::Orders => merged,
            // Both sides wrote it, and the shop has forgotten its part.
            Owner::Hold | Owner::Newest(_) => merged.max(self.restored_at),
        }
    }

    /// Another row of the same name keeps what was written into it.
    fn rename(&mut self, row: &str, goes: &str, stays: &str) {
        let theirs = |key: &&(String, String)| key.0 == goes;
        let keys: Vec<_> = self.entries.keys().filter(theirs).cloned().collect();
        for key in keys {
            let moved: Vec<_> = self.entries[&key].iter().filter(|entry| entry.row.as_deref() == Some(row)).cloned().collect();
            let into = self.entries.entry((stays.to_owned(), key.1)).or_default();
            into.extend(moved);
            into.sort_by_key(|entry| entry.seq);
        }
        let conflicts: Vec<_> = self.conflicts.iter().filter(theirs).cloned().collect();
        self.conflicts.extend(conflicts.into_iter().map(|(_, property)| (stays.to_owned(), property)));
        let saves: Vec<_> =
            self.stale.iter().filter(|(key, _)| theirs(key)).map(|(key, save)| (key.1.clone(), save.clone())).collect();
        self.stale.extend(saves.into_iter().map(|(property, save)| ((stays.to_owned(), property), save)));
        // What somebody chose of one record may have been carried out; of the other it has to be asked again.
        let chosen = self.words.iter().filter(|(key, _)| theirs(key));
        let chosen: Vec<_> = chosen.map(|(key, word)| (key.1.clone(), Word { informed: false, ..word.clone() })).collect();
        for (property, word) in chosen {
            self.words.entry((stays.to_owned(), property)).or_insert(word);
        }
        if let Some(touched) = self.touched.get(goes).copied() {
            let of_both = self.touched.entry(stays.to_owned()).or_insert(touched);
            *of_both = touched.max(*of_both);
        }
    }
}
