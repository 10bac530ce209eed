//! Plans what a batch of records that was read does to rows, links and debts. Knows what was loaded; loads and writes nothing.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use crate::Millis;
use crate::base::Base;
use crate::brake::Act;
use crate::bug::{Bug, planted};
use crate::delete::lifts;
use crate::freshness::{Freshness, Heard, freshness, says_what_is_known};
use crate::ghost::Ghosts;
use crate::link::{LinkState, LinkView};
use crate::meeting::{Candidate, Meeting, doubted_key, insertion, meet, says_the_same};
use crate::merge::{Merged, is_at_rest, merge_timed};
use crate::newest::{Ahead, Times};
use crate::record::{Record, RemoteId, Row, RowKey, as_unlinked};
use crate::spec::{FieldSpec, Owner, StreamSpec};
use crate::survivor::Absorbed;
use crate::window::Reader;

/// A link as it was loaded, locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownLink {
    /// `tidemark_link.id`.
    pub id: i64,
    pub row_key: Option<RowKey>,
    pub remote_id: Option<RemoteId>,
    pub view: LinkView,
    pub version: i64,
    /// When a brake last counted an update of its row, and of its record.
    pub counted_in: Option<Millis>,
    pub counted_out: Option<Millis>,
}

/// Everything a plan needs to know about the batch's records.
#[derive(Debug, Default)]
pub struct Known {
    pub links: HashMap<RemoteId, KnownLink>,
    /// Links of rows that unknown records may belong to.
    pub links_by_row: HashMap<RowKey, KnownLink>,
    pub rows: HashMap<RowKey, Row>,
    /// Rows that exist but are locked by somebody else.
    pub locked: HashSet<RowKey>,
    /// Rows that carry an unknown record's keys.
    pub candidates: HashMap<RemoteId, Vec<Candidate>>,
    /// A create of this stream is under way or unresolved.
    pub undecided_creates: bool,
    /// Keys of rows may have been given out twice: a key of ours in a record tells less than it did.
    pub keys_doubted: bool,
    /// Linked rows that may be other things than their records are: their keys were deleted and used again.
    pub reborn: HashSet<RowKey>,
    /// Records without a row that came back, with their tombstones: they are met like strangers, and the tombstone ends with the meeting.
    pub lifted: HashMap<RemoteId, i64>,
    /// Links that changed since the records were asked for by id.
    pub moved: HashSet<RemoteId>,
    /// Records without a link that were merged into another, as an earlier answer told, and into which.
    pub aliases: HashMap<RemoteId, RemoteId>,
    /// What the batch's own records say of others that were merged into them.
    pub absorbed: Absorbed,
    /// How the clocks stand, where fields go to who was later.
    pub clock: Option<Clock>,
}

/// How the CRM's clock stands to the database's, and the step of its stamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    pub ahead: Ahead,
    pub precision: Millis,
}

impl Known {
    fn times(&self, spec: &StreamSpec, row: &Row, record: &Record, heard: Heard) -> Times {
        let (ahead, precision) = self.clock.map(|clock| (clock.ahead, clock.precision)).unzip();
        Times::of(spec, row, record, ahead, precision.unwrap_or(0), heard.asked_at())
    }
}

/// What becomes of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<'a> {
    /// Nothing to write: not news.
    Pass,
    /// Nothing differs, but the link learns that it has seen this version.
    Seen {
        link: i64,
    },
    Exclude {
        reason: &'static str,
    },
    OweRead {
        reason: &'static str,
    },
    /// News of which the list shows a part: all of it is read, and that counts like a page that shows it.
    ReadWhole,
    /// What it refers to has no row yet: it becomes a row after that one.
    Await(Parent),
    /// The record of a row was merged into this one: the row's link goes on with it.
    Rebind {
        link: i64,
        key: RowKey,
        merged: Merged,
        ghosts: Ghosts,
    },
    /// Old news of a record that was merged away: its survivor is read.
    Redirect {
        survivor: RemoteId,
    },
    Park {
        cause: String,
        next_step: String,
    },
    /// The brake on this act is on: it waits for a person.
    Held {
        act: Act,
    },
    /// Becomes a row with these values, aligned with the fields.
    Insert {
        row: Vec<Option<Cow<'a, str>>>,
    },
    /// Into an existing link.
    Merge {
        link: i64,
        key: RowKey,
        merged: Merged,
        ghosts: Ghosts,
    },
    /// A record came back: its link lives again, and the row's mark is taken off.
    Lift {
        link: i64,
        key: RowKey,
        merged: Merged,
    },
    /// A first meeting: binds the record to a row, by a new link or by the one that is `creating`.
    Bind {
        link: Option<i64>,
        key: RowKey,
        merged: Merged,
        ghosts: Ghosts,
    },
}

/// What a record refers to that has no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    pub object: String,
    pub record: RemoteId,
}

/// What the row of this record waits for: it takes the reference when there is a row to refer to.
pub fn awaited(spec: &StreamSpec, record: &Record) -> Option<Parent> {
    let takes = |field: &FieldSpec| spec.direction.writes_rows() && field.owner != Owner::Orders;
    refers_to_strangers(spec, record).find(|(field, _)| takes(field)).map(|(_, parent)| parent)
}

fn refers_to_strangers<'a>(spec: &'a StreamSpec, record: &'a Record) -> impl Iterator<Item = (&'a FieldSpec, Parent)> {
    spec.reference_fields().filter_map(|(at, field, object)| {
        let id = as_unlinked(record.values.get(at)?.as_deref()?)?;
        Some((field, Parent { object: object.to_owned(), record: RemoteId::new(id) }))
    })
}

/// Plans each record of a batch, in the batch's order; one step per record.
pub fn plan<'a>(spec: &'a StreamSpec, records: &'a [Record], known: &Known, heard: Heard, precision: Millis) -> Vec<Step<'a>> {
    let mut bound: HashSet<RowKey> = HashSet::new();
    let merged_away: HashSet<&RemoteId> = known.absorbed.aliases.iter().map(|(alias, _)| alias).collect();
    let plan_one = |record: &'a Record| {
        if merged_away.contains(&record.id) {
            return Step::Pass;
        }
        if known.moved.contains(&record.id) || known.absorbed.waiting.contains(&record.id) {
            return Step::OweRead { reason: "the link moved while the record was read" };
        }
        if let Some(link) = known.absorbed.rebound.get(&record.id) {
            if is_part(record) {
                return Step::ReadWhole;
            }
            return rebind(spec, record, link, known, heard);
        }
        match (known.links.get(&record.id), known.aliases.get(&record.id)) {
            (Some(link), _) => plan_linked(spec, record, link, known, heard, precision),
            (None, Some(survivor)) => Step::Redirect { survivor: survivor.clone() },
            (None, None) => plan_unknown(spec, record, known, heard, &mut bound),
        }
    };
    records.iter().map(plan_one).collect()
}

fn plan_linked(
    spec: &StreamSpec,
    record: &Record,
    link: &KnownLink,
    known: &Known,
    heard: Heard,
    precision: Millis,
) -> Step<'static> {
    if link.view.state == LinkState::Double {
        return Step::Pass;
    }
    if link.view.state == LinkState::Tombstone {
        return plan_tombstone(spec, record, link, known, heard);
    }
    if let Some(key) = link.row_key.as_ref().filter(|key| known.reborn.contains(*key)) {
        return if is_part(record) { Step::ReadWhole } else { plan_reborn(record, link, key) };
    }
    // What becomes of its row is decided where the CRM is asked for it by name.
    if record.archived {
        return Step::OweRead { reason: "it is archived in the CRM" };
    }
    match freshness(&link.view, record, heard, precision) {
        Freshness::Stale => return Step::Pass,
        Freshness::Doubt(_) if planted(Bug::DoubtIsDropped) => return Step::Pass,
        Freshness::Doubt(reason) => return Step::OweRead { reason },
        Freshness::New => {}
    }
    let Some(key) = &link.row_key else { return Step::Pass };
    if known.locked.contains(key) {
        return Step::OweRead { reason: "somebody else holds the row" };
    }
    // A row that was deleted here is the push's business: its debt decides what becomes of the record.
    let Some(row) = known.rows.get(key) else { return Step::Pass };
    let ghosts = link.view.ghosts.after(heard.as_of());
    let nothing_to_write = ghosts == link.view.ghosts && knows_its_record(spec, row, record);
    if is_part(record) {
        return if nothing_to_write && is_no_news(link, record, heard) { Step::Pass } else { Step::ReadWhole };
    }
    let seen = || if record.modified > link.view.seen { Step::Seen { link: link.id } } else { Step::Pass };
    if nothing_to_write && is_at_rest(&link.view.base, row, &record.values) {
        return seen();
    }
    let times = known.times(spec, row, record, heard);
    match merge_timed(spec, &link.view.base, &link.view.ghosts, row.values(spec), &record.values, heard.asked_at(), &times) {
        Err(error) => unmergeable(&error, record),
        Ok(merged) if nothing_to_write && merged.row_changes.is_empty() && merged.base == link.view.base && !merged.owes_push => {
            seen()
        }
        Ok(merged) => Step::Merge { link: link.id, key: key.clone(), merged, ghosts },
    }
}

fn is_part(record: &Record) -> bool {
    record.is_part() && !planted(Bug::PartIsMerged)
}

/// A record of which a list shows a part holds nothing new as far as that can be told: what is shown is known, under the very stamp that was seen. The settled reader cannot tell: two edits
/// under one stamp may differ where the list shows nothing, and nobody comes to that stamp again.
fn is_no_news(link: &KnownLink, record: &Record, heard: Heard) -> bool {
    let told_again = !matches!(heard, Heard::Page { reader: Reader::Settled, .. }) || planted(Bug::ListIsTrusted);
    let stamp_is_seen = record.modified.is_some() && record.modified == link.view.seen;
    told_again && stamp_is_seen && says_what_is_known(&link.view.base, record)
}

/// What is owed to the row says whose it is, once it is paid or a person has spoken. Until then nothing of the record is written into it.
fn plan_reborn(record: &Record, link: &KnownLink, key: &RowKey) -> Step<'static> {
    let moved = |at: usize| link.view.base.get(at).is_none_or(|base| base.record != record.values[at]);
    if !(0..record.values.len()).any(moved) {
        return Step::Pass;
    }
    Step::Park {
        cause: format!("row {key} may be another thing than this record: its key seems to have been used again"),
        next_step: format!("decide about the push that waits for row {key}, then retry"),
    }
}

/// A page may show the version that was deleted, or one from right before it: only a read by id brings a record back.
fn plan_tombstone(spec: &StreamSpec, record: &Record, link: &KnownLink, known: &Known, heard: Heard) -> Step<'static> {
    if !lifts(&link.view, record) {
        return Step::Pass;
    }
    if let Heard::Page { .. } = heard {
        return Step::OweRead { reason: "it was deleted and shows a newer version" };
    }
    let Some(key) = &link.row_key else { return Step::Pass };
    if known.locked.contains(key) {
        return Step::OweRead { reason: "somebody else holds the row" };
    }
    // Row and record are both gone by now, and the push that is owed for the row has yet to say so.
    let Some(row) = known.rows.get(key) else { return Step::Pass };
    let times = known.times(spec, row, record, heard);
    match merge_timed(spec, &link.view.base, &Ghosts::default(), row.values(spec), &record.values, heard.asked_at(), &times) {
        Ok(merged) => Step::Lift { link: link.id, key: key.clone(), merged },
        Err(error) => unmergeable(&error, record),
    }
}

/// The row's own column for the CRM's id, where the mapping has one, holds it already.
fn knows_its_record(spec: &StreamSpec, row: &Row, record: &Record) -> bool {
    spec.remote_id.as_deref().is_none_or(|column| row.get(spec, column) == Some(record.id.as_str()))
}

fn plan_unknown<'a>(
    spec: &'a StreamSpec,
    record: &'a Record,
    known: &Known,
    heard: Heard,
    bound: &mut HashSet<RowKey>,
) -> Step<'a> {
    if record.archived {
        return Step::Exclude { reason: "archived in the CRM" };
    }
    if leaves_out_who_it_is(spec, record) {
        return Step::ReadWhole;
    }
    // Our key on a record whose row is gone: a create of ours came through after all.
    let own = record.external_key.as_ref().and_then(|key| known.links_by_row.get(&RowKey::new(key.as_str())));
    let orphan =
        own.filter(|link| link.row_key.as_ref().is_some_and(|key| !known.rows.contains_key(key) && !known.locked.contains(key)));
    match orphan.map(|link| link.view.state) {
        Some(LinkState::Creating) => return Step::OweRead { reason: "its row was deleted while it was being made" },
        Some(LinkState::Tombstone) => return Step::Exclude { reason: "the row whose key it carries was deleted" },
        Some(LinkState::Linked | LinkState::Double) | None => {}
    }
    let none = Vec::new();
    let candidates = known.candidates.get(&record.id).unwrap_or(&none);
    let named = candidates.iter().find(|candidate| candidate.by_external_key).map(|candidate| &candidate.key);
    if let Some(key) = named.filter(|key| known.keys_doubted && is_doubted(spec, record, key, known)) {
        let property = spec.external_key.as_deref().unwrap_or("the key");
        let next_step = format!(
            "make a match key equal if both are the same thing, else clear {property} in record {}; it is read again by itself then",
            record.id
        );
        return Step::Park { cause: doubted_key(key), next_step };
    }
    match meet(spec, candidates, known.undecided_creates) {
        Meeting::Exclude(reason) => Step::Exclude { reason },
        Meeting::Wait(reason) => Step::OweRead { reason },
        Meeting::Park(cause) => Step::Park {
            cause,
            next_step: "merge or correct one of them; the record is read again by itself when it changes".into(),
        },
        Meeting::Insert | Meeting::Bind(_) if is_part(record) => Step::ReadWhole,
        Meeting::Insert => match refers_to_strangers(spec, record).find(|(field, _)| !field.in_cycle) {
            Some((_, parent)) => Step::Await(parent),
            None => insertion(spec, &record.values).map_or_else(|error| unmergeable(&error, record), |row| Step::Insert { row }),
        },
        Meeting::Bind(key) if !bound.insert(key.clone()) => {
            Step::Park { cause: format!("two records match row {key}"), next_step: "merge the records in the CRM".into() }
        }
        Meeting::Bind(key) => bind(spec, record, key, known, heard),
    }
}

/// By what a list shows of a record nobody can say which row it belongs to.
fn leaves_out_who_it_is(spec: &StreamSpec, record: &Record) -> bool {
    let told_by = |property: &String| spec.field(property).is_some_and(|(at, _)| !record.shows(at));
    is_part(record) && (record.left_out.len() == record.values.len() || spec.match_on.iter().any(told_by))
}

/// The record names its row by the key alone, and nothing that was sent for the row can have made it.
fn is_doubted(spec: &StreamSpec, record: &Record, key: &RowKey, known: &Known) -> bool {
    let by_key = record.external_key.as_deref() == Some(key.as_str());
    let sent = known.links_by_row.get(key).is_some_and(|link| !link.view.ghosts.is_empty());
    let row = known.rows.get(key);
    by_key && !sent && row.is_some_and(|row| !says_the_same(spec, |at| row.field(at), &record.values))
}

fn bind(spec: &StreamSpec, record: &Record, key: RowKey, known: &Known, heard: Heard) -> Step<'static> {
    if known.locked.contains(&key) {
        return Step::OweRead { reason: "somebody else holds the row" };
    }
    let link = known.links_by_row.get(&key);
    if link.is_some_and(|link| link.view.push_leased) {
        return Step::OweRead { reason: "a create of this row is under way" };
    }
    let Some(row) = known.rows.get(&key) else { return Step::OweRead { reason: "the row went away while it was matched" } };
    let (base, sent) =
        link.map_or_else(|| (Base::unmet(spec), Ghosts::default()), |link| (link.view.base.clone(), link.view.ghosts.clone()));
    let times = known.times(spec, row, record, heard);
    match merge_timed(spec, &base, &sent, row.values(spec), &record.values, heard.asked_at(), &times) {
        Ok(merged) => Step::Bind { link: link.map(|link| link.id), key, merged, ghosts: sent.after(heard.as_of()) },
        Err(error) => unmergeable(&error, record),
    }
}

/// The link of a record that was merged away goes on with the survivor: what differs from what was agreed has changed in the CRM.
fn rebind(spec: &StreamSpec, record: &Record, link: &KnownLink, known: &Known, heard: Heard) -> Step<'static> {
    let there = link.row_key.as_ref().and_then(|key| known.rows.get_key_value(key));
    let Some((key, row)) = there else {
        return Step::OweRead { reason: "the row went away while its record was merged" };
    };
    let times = known.times(spec, row, record, heard);
    match merge_timed(spec, &link.view.base, &link.view.ghosts, row.values(spec), &record.values, heard.asked_at(), &times) {
        Ok(merged) => Step::Rebind { link: link.id, key: key.clone(), merged, ghosts: link.view.ghosts.after(heard.as_of()) },
        Err(error) => unmergeable(&error, record),
    }
}

fn unmergeable(error: &crate::merge::Unmergeable, record: &Record) -> Step<'static> {
    Step::Park { cause: error.to_string(), next_step: format!("correct record {} in the CRM, or extend the mapping", record.id) }
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
