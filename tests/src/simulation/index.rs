//! The search index of the model CRM: what it shows of each record, and since when. It is behind the records themselves.

use std::collections::BTreeMap;

use tidemark_core::Millis;
use tidemark_core::record::Record;

use super::crm::{Author, Crm, Rec};
use super::face::record;
use super::swarm::Swarm;

/// A record as one part of the CRM sees it from a moment on.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    indexed_at: Millis,
    stamp: Millis,
    archived: bool,
    values: BTreeMap<String, String>,
}

impl Crm {
    /// A record as it is now shows in the index after a while.
    pub(super) fn snapshot(&mut self, id: &str) {
        let lag =
            if self.fair { 0 } else { i64::try_from(self.turns.below(self.swarm.index_lag.unsigned_abs() + 1)).unwrap_or(0) };
        let now = self.committed_at.unwrap_or_else(|| self.our_now());
        let Some(record) = self.records.get_mut(id) else { return };
        let last = record.snapshots.last().map_or(Millis::MIN, |last| last.indexed_at);
        record.snapshots.push(Snapshot {
            indexed_at: (now + lag).max(last),
            stamp: record.stamp,
            archived: record.archived,
            values: record.values(),
        });
    }

    /// What the search index shows of `[from, until)`, after a position, in the order of stamp and id.
    pub(crate) fn search(
        &self,
        object: &str,
        from: Millis,
        until: Millis,
        after: Option<&(Millis, String)>,
    ) -> Vec<(String, Millis, BTreeMap<String, String>)> {
        let now = self.our_now();
        let indexed = |(id, record): (&String, &Rec)| {
            let seen = record.snapshots.iter().rev().find(|snapshot| snapshot.indexed_at <= now)?;
            (record.object == object && !seen.archived && (from..until).contains(&seen.stamp))
                .then(|| (id.clone(), seen.stamp, seen.values.clone()))
        };
        let mut found: Vec<_> = self.records.iter().filter_map(indexed).collect();
        found.sort_by(|one, other| (one.1, &one.0).cmp(&(other.1, &other.0)));
        found.retain(|(id, stamp, _)| after.is_none_or(|(last, last_id)| (*stamp, id) > (*last, last_id)));
        found
    }

    /// What a page that is served puts to the test.
    pub(crate) fn served_page(
        &mut self,
        object: &str,
        found: &[(String, Millis, BTreeMap<String, String>)],
        window: Option<(Millis, Millis)>,
    ) {
        self.paging = window.map(|(from, until)| (object.to_owned(), from, until));
        for (id, stamp, values) in found {
            let Some(record) = self.records.get(id) else { continue };
            let newer =
                record.cells.iter().any(|(name, cell)| cell.author != Author::People && values.get(name) != Some(&cell.value));
            if newer && *stamp <= record.stamp {
                self.coverage.count("a page was older than our push");
            }
            if self.unheard.contains(id) {
                self.coverage.count("a create was read before it was heard of");
            }
        }
    }
}

/// What lists leave out of a contact, in worlds where they do: a field of each owner.
const LEFT_OUT: [&str; 3] = ["company", "firstname", "phone"];

/// A version as a list shows it.
pub(crate) fn listed(found: &(String, Millis, BTreeMap<String, String>), swarm: &Swarm, properties: &[Option<String>]) -> Record {
    let (id, stamp, values) = found;
    let is_left_out = |name: &Option<String>| swarm.part && name.as_deref().is_some_and(|name| LEFT_OUT.contains(&name));
    let mut record = record(id, *stamp, values, properties);
    record.left_out = (0..properties.len()).filter(|at| is_left_out(&properties[*at])).collect();
    for at in &record.left_out {
        record.values[*at] = None;
    }
    record
}
