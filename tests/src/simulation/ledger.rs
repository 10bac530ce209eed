//! What people wrote, on which side and in which order: the truth against which the end is judged.

use std::collections::{BTreeMap, BTreeSet};

use tidemark_core::Millis;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Rows,
    Records,
}

/// One value a person wrote.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) side: Side,
    /// The row it was written into.
    pub(crate) row: Option<String>,
    pub(crate) seq: u64,
    pub(crate) value: Option<String>,
    /// What stood there, on their own side, when they wrote.
    pub(crate) before: Option<String>,
}

/// A person's word on a field that waited: whose value was to stand, and what Tidemark had shown.
#[derive(Debug, Clone)]
pub(crate) struct Word {
    pub(crate) seq: u64,
    pub(crate) side: Side,
    pub(crate) row: Option<String>,
    pub(crate) record: Option<String>,
    /// Both sides held what was shown when the word was given.
    pub(crate) informed: bool,
}

/// A field in which an object was saved that had been loaded before a page changed it.
#[derive(Debug, Clone)]
pub(crate) struct StaleSave {
    pub(crate) seq: u64,
    pub(crate) value: String,
    /// Until then it is surely no edit.
    pub(crate) guarded_until: Millis,
}

/// A conflict that waits for a person, as it was first shown.
#[derive(Debug, Clone)]
pub(crate) struct OpenConflict {
    pub(crate) seq: u64,
    pub(crate) tag: String,
    pub(crate) row: Option<String>,
    pub(crate) record: Option<String>,
}

/// By person's tag and property.
pub(crate) type Key = (String, String);

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) entries: BTreeMap<Key, Vec<Entry>>,
    /// Deleted by people, on one side or the other.
    pub(crate) deleted: BTreeSet<String>,
    /// Deleted when both sides had met: neither may be made again.
    pub(crate) buried: BTreeSet<String>,
    /// A conflict was recorded for a person to decide.
    pub(crate) conflicts: BTreeSet<Key>,
    /// Conflicts that wait, by row and property.
    pub(crate) open: BTreeMap<(String, String), OpenConflict>,
    /// Persons whose records were merged into another's, and whose.
    pub(crate) merged: BTreeMap<String, String>,
    /// When a person's record last absorbed another.
    pub(crate) merged_at: BTreeMap<String, u64>,
    /// When somebody last merged a person's rows in the shop: the record of the row that goes may be archived with it.
    pub(crate) rows_merged_at: BTreeMap<String, u64>,
    /// Rows that wait for somebody to merge them with another of the same person.
    pub(crate) waiting: BTreeSet<String>,
    /// Rows whose record was merged into another's, and that took its name.
    pub(crate) went_on: BTreeSet<String>,
    /// When people last wrote anything into somebody's row.
    pub(crate) touched: BTreeMap<String, Millis>,
    /// The last word of a person on a field.
    pub(crate) words: BTreeMap<Key, Word>,
    /// The last old object that was saved over what a page had written.
    pub(crate) stale: BTreeMap<Key, StaleSave>,
    /// When the shop's database was last put back to an older state.
    pub(crate) restored_at: u64,
    /// Written over in the moment between the read of a push and its write: the gap that no CRM without a guard closes.
    pub(crate) in_the_gap: BTreeSet<Key>,
}

impl Ledger {
    pub(crate) fn write(&mut self, tag: &str, property: &str, entry: Entry) {
        self.entries.entry((tag.to_owned(), property.to_owned())).or_default().push(entry);
    }

    /// The last a side's people wrote.
    pub(crate) fn last(&self, tag: &str, property: &str, side: Side) -> Option<&Entry> {
        let entries = self.entries.get(&(tag.to_owned(), property.to_owned()))?;
        entries.iter().rev().find(|entry| entry.side == side)
    }
}
