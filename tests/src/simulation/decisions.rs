//! What people do about what Tidemark shows them, and what an application does without looking: conflicts are decided, and objects that were loaded before a page changed
//! them are saved whole.

use tidemark_core::Millis;
use tidemark_core::conflict::Side as Take;
use tidemark_store::acts::By;
use tidemark_store::conflicts::{Which, resolve};
use tidemark_store::pace::Driver;

use super::laws::{self, Decisions};
use super::ledger::{Side, StaleSave, Word};
use super::mapping::{CONTACT, STALE_GUARD};
use super::orders::{Change, sql};
use super::people::is_edited;
use super::world::World;

/// One in so many steps somebody looks at the conflicts.
const LOOKED_AT_EVERY: u64 = 60;
/// One in so many steps the application saves an object that it has held for a while.
const SAVED_EVERY: u64 = 30;

/// One in so many steps somebody merges two rows of one record, if there are any.
const ROWS_MERGED_EVERY: u64 = 100;

/// A field of an object that the application loaded before pages changed it.
#[derive(Debug, Clone)]
pub(crate) struct OldField {
    key: String,
    column: &'static str,
    /// As it was loaded.
    loaded: String,
    /// As pages left it: nobody in the shop has edited it since.
    stands: Option<String>,
    /// Tidemark replaced what was loaded no sooner than this.
    replaced_from: Millis,
    /// Pages since.
    versions: u32,
}

/// Versions that an old object is behind, at most: Tidemark remembers as many.
const VERSIONS_MAX: u32 = 4;

impl OldField {
    pub(crate) fn property(&self) -> Option<&'static str> {
        CONTACT.iter().find(|(_, column, _)| *column == self.column).map(|(property, _, _)| *property)
    }
}

impl World {
    pub(crate) async fn look_after_values(&mut self) -> eyre::Result<()> {
        if self.turns.below(LOOKED_AT_EVERY) == 0 {
            self.decide().await?;
        }
        if self.turns.below(SAVED_EVERY) == 0 {
            self.save_old_object().await?;
        }
        if self.turns.below(ROWS_MERGED_EVERY) == 0 {
            self.merge_rows().await?;
            self.let_records_go().await?;
        }
        Ok(())
    }

    /// Somebody decides a field that waits, for one side or the other.
    async fn decide(&mut self) -> eyre::Result<()> {
        let (stream, spec) = (self.mapped[0].id, self.mapped[0].spec.clone());
        let open = format!(
            "SELECT CAST(id AS TEXT), row_key, base FROM tidemark_link WHERE stream_id = {stream} AND state = 'linked' AND open_since IS NOT NULL
             ORDER BY open_since, id"
        );
        let links = self.orders.texts(&open, 3).await?;
        let Some([Some(link), Some(key), Some(base)]) = links.get(self.turns.index(links.len())).map(Vec::as_slice) else {
            return Ok(());
        };
        let mut known = Decisions::new();
        laws::decisions(key, base, &mut known);
        let Some(((_, property), open)) = known.into_iter().find(|(_, one)| one.state == "conflict") else { return Ok(()) };
        let Some(tag) = self.orders.customers.get(key).and_then(|row| row["tag"].clone()) else { return Ok(()) };
        let Some((field, _)) = spec.field(&property) else { return Ok(()) };
        // Who somebody is since two records were merged is not for the shop to say.
        let take = match [Take::Orders, Take::Crm][self.turns.index(2)] {
            _ if property == "tag" => Take::Crm,
            take => take,
        };
        let by = By { who: "somebody", reason: None };
        if resolve(&self.store, stream, &spec, &Which::Link(link.parse()?), field, take, by).await?.is_err() {
            return Ok(());
        }
        let side = if take == Take::Orders { Side::Rows } else { Side::Records };
        self.note(|| {
            format!("people decide {property} of {tag} for {}: row {:?}, record {:?}", take.word(), open.row, open.record)
        });
        let here = self.orders.customers[key][spec.fields[field].column.as_str()].clone();
        let (seq, there) = {
            let mut crm = self.face.model();
            let record =
                crm.tagged("contacts", "tag", &tag).first().and_then(|id| crm.records[id].get(&property).map(str::to_owned));
            (crm.next_seq(), record)
        };
        let informed = here == open.row && there == open.record;
        self.ledger.words.insert((tag, property), Word { seq, side, row: open.row, record: open.record, informed });
        self.coverage.count("a person decided a conflict");
        Ok(())
    }

    /// What a page replaces in a row is what an application that had loaded it before holds still.
    pub(crate) fn remember_objects(&mut self, changes: &[Change]) {
        // A page is asked for after its job began.
        let replaced_from = self.job_began;
        for Change { key, column, before, after } in changes.iter().filter(|change| is_edited(change.column)).cloned() {
            for old in self.old.iter_mut().filter(|old| old.key == key && old.column == column) {
                if old.stands == before {
                    (old.stands, old.versions) = (after.clone(), old.versions + 1);
                }
            }
            let Some(loaded) = before else { continue };
            // A stale save that was put right is guarded from the first time on.
            if !self.old.iter().any(|old| old.key == key && old.column == column && old.loaded == loaded) {
                self.old.push(OldField { key, column, loaded, stands: after, replaced_from, versions: 1 });
            }
        }
    }

    /// The application saves an object whole that it loaded before: in whatever field nobody in the shop has edited since, the value that was loaded is back. Half of the times
    /// it does so because somebody edited another field.
    async fn save_old_object(&mut self) -> eyre::Result<()> {
        let now = self.turns.now();
        let stands = |old: &OldField| self.orders.customers.get(&old.key).is_some_and(|row| row[old.column] == old.stands);
        let may = |old: &&OldField| {
            old.versions <= VERSIONS_MAX
                && now < old.replaced_from + STALE_GUARD
                && Some(&old.loaded) != old.stands.as_ref()
                && stands(old)
        };
        let fresh: Vec<OldField> = self.old.iter().filter(may).cloned().collect();
        let Some(chosen) = fresh.get(self.turns.index(fresh.len())) else { return Ok(()) };
        let key = chosen.key.clone();
        // One loaded value for each column.
        let mut fields: Vec<OldField> = Vec::new();
        for old in fresh.iter().filter(|old| old.key == key) {
            if old.column == chosen.column && old.loaded != chosen.loaded || fields.iter().any(|one| one.column == old.column) {
                continue;
            }
            fields.push(old.clone());
        }
        let tag = self.orders.customers[&key]["tag"].clone().unwrap_or_default();
        self.note(|| format!("the application saves an old object of row {key} ({tag}): {fields:?}"));
        let set: Vec<String> = fields.iter().map(|old| format!("{} = {}", old.column, sql(Some(&old.loaded)))).collect();
        let edit = match self.turns.chance(0.5) {
            true => self.edit_of_another(&fields.iter().map(|old| old.column).collect::<Vec<_>>()),
            false => None,
        };
        let assigned = edit.iter().map(|(_, column, value)| format!("{column} = {}", sql(value.as_deref())));
        let set: Vec<String> = set.into_iter().chain(assigned).collect();
        let before = edit.as_ref().and_then(|(_, column, _)| self.orders.customers[&key][*column].clone());
        self.orders.person(&format!("UPDATE customers SET {} WHERE id = {key}", set.join(", "))).await?;
        for old in &fields {
            let Some(property) = old.property() else { continue };
            let seq = self.face.model().next_seq();
            let guarded_until = old.replaced_from + STALE_GUARD;
            let save = StaleSave { seq, value: old.loaded.clone(), guarded_until };
            self.ledger.stale.insert((tag.clone(), property.to_owned()), save);
        }
        self.ledger.touched.insert(tag.clone(), now);
        if let Some((property, _, value)) = edit
            && before != value
        {
            self.wrote(&key, &tag, property, value, before);
        }
        self.coverage.count("an old object was saved");
        Ok(())
    }
}
