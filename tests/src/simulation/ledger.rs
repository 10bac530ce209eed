//! What people wrote, on which side and in which order: the truth against which the end is judged.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Rows,
    Records,
}

/// One value a person wrote.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) side: Side,
    pub(crate) seq: u64,
    pub(crate) value: Option<String>,
    /// What stood there, on their own side, when they wrote.
    pub(crate) before: Option<String>,
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
