//! Decides what becomes of the links of records that were merged away in the CRM. The survivor tells which ids it absorbed.
//!
//! A row whose record was merged away goes on with the survivor, if that one has no row yet: its link is bound to the survivor, and the old id becomes an alias. If the
//! survivor belongs to another row there are two rows and one record: the second is never bound, its pushes are held, and a person merges the rows.

use std::collections::{HashMap, HashSet};

use crate::link::LinkState;
use crate::page::{Known, KnownLink};
use crate::push::is_somebody_else;
use crate::record::{Record, RemoteId, RowKey};
use crate::spec::StreamSpec;

/// The words shown where a row waits.
pub const REASON: &str = "two rows, one record";

/// A row whose record is another row's record now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Double {
    pub link: i64,
    pub key: RowKey,
    pub cause: String,
    pub next_step: String,
}

/// What a batch's survivors come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Absorbed {
    /// Ids that lead to a survivor from now on.
    pub aliases: Vec<(RemoteId, RemoteId)>,
    /// Links that go on with a survivor, by its id.
    pub rebound: HashMap<RemoteId, KnownLink>,
    /// Links whose own row is gone: they give the record up to the row that goes on with it, or to nobody.
    pub released: Vec<i64>,
    pub doubles: Vec<Double>,
    /// Survivors that are read again, because something of theirs is under way.
    pub waiting: HashSet<RemoteId>,
}

/// Judges every record of a batch that absorbed others. `known` holds the links and rows of the records and of what they absorbed.
pub fn absorb(spec: &StreamSpec, records: &[Record], known: &Known) -> Absorbed {
    let mut absorbed = Absorbed::default();
    for record in records.iter().filter(|record| !record.absorbed.is_empty() && !record.archived) {
        absorb_one(spec, record, known, &mut absorbed);
    }
    absorbed
}

fn absorb_one(spec: &StreamSpec, record: &Record, known: &Known, absorbed: &mut Absorbed) {
    let own = known.links.get(&record.id);
    // Itself merged away since: this is old news.
    if known.aliases.contains_key(&record.id) || own.is_some_and(|own| own.view.state == LinkState::Double) {
        return;
    }
    let mut losers: Vec<&KnownLink> = record.absorbed.iter().filter_map(|id| known.links.get(id)).collect();
    losers.retain(|loser| Some(loser.id) != own.map(|own| own.id));
    // A row that went before the merge was heard of: its record is another's now, and nothing of it is left to archive or to wait for.
    let rowless: Vec<i64> = losers.iter().filter(|loser| has_lost_its_row(loser, known)).map(|loser| loser.id).collect();
    losers.retain(|loser| goes_on(spec, loser, known));
    losers.sort_by_key(|loser| loser.id);
    losers.dedup_by_key(|loser| loser.id);
    let moving = |link: &&KnownLink| {
        let moved = link.remote_id.as_ref().is_some_and(|id| known.moved.contains(id));
        moved || link.view.push_leased || link.row_key.as_ref().is_some_and(|key| known.locked.contains(key))
    };
    // Its own link too: an archive of its record may be under way because its row is gone, and who goes on with the record would lose it.
    if own.iter().any(moving) || losers.iter().any(moving) {
        absorbed.waiting.insert(record.id.clone());
        return;
    }
    absorbed.aliases.extend(record.absorbed.iter().map(|id| (id.clone(), record.id.clone())));
    absorbed.released.extend(rowless);
    let mut holder = row_of(spec, record, own, known);
    for loser in losers {
        let Some(key) = &loser.row_key else { continue };
        match &holder {
            Some(other) if other == key => {}
            Some(other) => absorbed.doubles.push(double(record, loser, key, other)),
            None => {
                absorbed.released.extend(own.map(|own| own.id));
                absorbed.rebound.insert(record.id.clone(), loser.clone());
                holder = Some(key.clone());
            }
        }
    }
}

/// The row that holds the survivor, or is about to: its own link's, or the one whose key it carries.
fn row_of(spec: &StreamSpec, record: &Record, own: Option<&KnownLink>, known: &Known) -> Option<RowKey> {
    let is_there = |key: &RowKey| known.rows.contains_key(key) || known.locked.contains(key);
    match own {
        Some(own) => {
            let key = own.row_key.clone().filter(is_there)?;
            (own.view.state != LinkState::Tombstone || goes_on(spec, own, known)).then_some(key)
        }
        None => {
            let candidates = known.candidates.get(&record.id).into_iter().flatten();
            candidates.into_iter().find(|own| own.by_external_key && !own.taken).map(|own| own.key.clone())
        }
    }
}

/// The link lives, and its row does not.
fn has_lost_its_row(link: &KnownLink, known: &Known) -> bool {
    let is_there = |key: &RowKey| known.rows.contains_key(key) || known.locked.contains(key);
    let unmoved = !link.view.push_leased && link.remote_id.as_ref().is_none_or(|id| !known.moved.contains(id));
    link.view.state == LinkState::Linked && unmoved && link.row_key.as_ref().is_some_and(|key| !is_there(key))
}

/// The link's row is there and is still the same thing. A tombstone counts: the record seemed to be gone before its survivor was heard of.
fn goes_on(spec: &StreamSpec, link: &KnownLink, known: &Known) -> bool {
    let Some(key) = &link.row_key else { return false };
    match (known.rows.get(key), link.view.state) {
        (Some(row), LinkState::Tombstone) => !is_somebody_else(spec, &link.view, row),
        (Some(_), LinkState::Linked | LinkState::Double) => true,
        (_, LinkState::Creating) => false,
        (None, _) => known.locked.contains(key),
    }
}

fn double(record: &Record, loser: &KnownLink, key: &RowKey, other: &RowKey) -> Double {
    let lost = loser.remote_id.as_ref().map_or_else(String::new, |id| format!(" {id}"));
    Double {
        link: loser.id,
        key: key.clone(),
        cause: format!("{REASON}: record{lost} was merged into {}, which belongs to row {other}", record.id),
        next_step: format!("merge rows {other} and {key} in the order system; the one that stays keeps the record"),
    }
}

#[cfg(test)]
#[path = "survivor_tests.rs"]
mod tests;
