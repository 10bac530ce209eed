//! Tallies what the first meeting of two full sides would come to, from the very steps that would carry it out. Decides nothing anew and writes nothing.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use crate::meeting::{Meeting, meet};
use crate::page::{Known, Step};
use crate::push::{Plan, Subject, plan};
use crate::record::{Record, RemoteId, Row, RowKey};
use crate::spec::StreamSpec;

/// How many things of each kind there are. A record that a row is matched with is one pair; every other record and row is counted once under what becomes of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub records: usize,
    pub rows: usize,
    /// Pairs that are linked already.
    pub linked: usize,
    /// Pairs told by our own key in the record.
    pub matched_by_key: usize,
    /// Pairs told by `match_on`.
    pub matched: usize,
    /// Records that become rows.
    pub new_rows: usize,
    /// Rows that become records.
    pub new_records: usize,
    /// Of the new ones, those that share a match key with another new one of their side: two of one, perhaps.
    pub twins: usize,
    /// Who is who cannot be told: each is parked until a person has put it right.
    pub ambiguous: usize,
    /// Cannot be carried to the other side as they are: each is parked with its reason.
    pub invalid: usize,
    /// Somebody held them just now.
    pub undecided: usize,
    /// Left alone, by reason.
    pub excluded: BTreeMap<String, usize>,
    /// Of the matched pairs: rows that take a value, records that are owed one, fields that two sides say differently and a person decides.
    pub rows_changed: usize,
    pub records_changed: usize,
    pub conflicts: usize,
    /// What a person should look at before the go, the first of them.
    pub cases: Vec<Case>,
}

impl Tally {
    /// The least number of calls that carrying it out takes: the calls that read the records once more, look-ups and creates, updates.
    pub fn calls_at_least(&self, reading: usize, batch_rows_max: usize) -> usize {
        let batches = |things: usize| things.div_ceil(batch_rows_max.max(1));
        reading + 2 * batches(self.new_records) + batches(self.records_changed)
    }

    /// Nothing in it waits for a person.
    pub fn is_clear(&self) -> bool {
        self.ambiguous + self.invalid + self.twins == 0
    }
}

/// One thing a person should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Case {
    /// `ambiguous`, `invalid`, `twin` or `undecided`.
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<RowKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<RemoteId>,
    pub reason: String,
}

/// One thing to try the mapping out on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// Read it by id: it meets its row, or becomes one.
    Record(RemoteId),
    /// Push it: it becomes a record.
    Row(RowKey),
}

/// A first meeting as far as it has been looked at: every record first, then every row.
#[derive(Debug, Default)]
pub struct FirstMeeting {
    pub tally: Tally,
    cases_max: usize,
    sample_max: usize,
    bound: HashSet<RowKey>,
    /// Rows that an ambiguous record could be.
    claimed: HashSet<RowKey>,
    new_keys: HashSet<(Side, String)>,
    /// Matched records, new records, new rows: some of each.
    samples: [Vec<Chosen>; 3],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Side {
    Record,
    Row,
}

impl FirstMeeting {
    /// Keeps up to `cases_max` cases for a person, and up to `sample_max` things of each kind to try.
    pub fn new(cases_max: usize, sample_max: usize) -> Self {
        Self { cases_max, sample_max, ..Self::default() }
    }

    /// Counts a batch of records with the steps planned for them.
    pub fn records(&mut self, spec: &StreamSpec, records: &[Record], known: &Known, steps: &[Step]) {
        for (record, step) in records.iter().zip(steps) {
            self.tally.records += 1;
            self.record(spec, record, known, step);
        }
    }

    fn record(&mut self, spec: &StreamSpec, record: &Record, known: &Known, step: &Step) {
        if known.links.contains_key(&record.id) {
            self.tally.linked += 1;
            return;
        }
        match step {
            Step::Bind { key, .. } if self.bound.contains(key) => {
                self.case("ambiguous", Some(key), Some(record), &format!("two records match row {key}"));
            }
            Step::Bind { key, merged, .. } => {
                let candidates = known.candidates.get(&record.id).map(Vec::as_slice).unwrap_or_default();
                let by_key = candidates.iter().any(|candidate| candidate.key == *key && candidate.by_external_key);
                self.tally.matched_by_key += usize::from(by_key);
                self.tally.matched += usize::from(!by_key);
                self.tally.rows_changed += usize::from(!merged.row_changes.is_empty());
                self.tally.records_changed += usize::from(merged.owes_push);
                self.tally.conflicts += waiting(merged);
                self.bound.insert(key.clone());
                self.choose(0, Chosen::Record(record.id.clone()));
            }
            Step::Insert { .. } => {
                self.tally.new_rows += 1;
                self.choose(1, Chosen::Record(record.id.clone()));
                let row_form = |property: &String| {
                    let (at, field) = spec.field(property)?;
                    field.transform.to_row(record.values.get(at)?.as_deref()).ok().flatten()
                };
                let shared = spec.match_on.iter().find(|property| self.is_twin(Side::Record, property, row_form(property)));
                if let Some(property) = shared {
                    self.case("twin", None, Some(record), &format!("another record without a row has the same {property}"));
                }
            }
            Step::Exclude { reason } => *self.tally.excluded.entry((*reason).to_owned()).or_default() += 1,
            Step::OweRead { reason } => self.case("undecided", None, Some(record), reason),
            Step::ReadWhole => self.case("undecided", None, Some(record), "only a part of it was read"),
            Step::Await(parent) => {
                self.case(
                    "undecided",
                    None,
                    Some(record),
                    &format!("record {} of {} has no row yet", parent.record, parent.object),
                );
            }
            Step::Held { .. } => self.case("undecided", None, Some(record), "a brake is on"),
            Step::Park { cause, .. } if self.is_ambiguous(spec, record, known) => {
                let candidates = known.candidates.get(&record.id).into_iter().flatten();
                self.claimed.extend(candidates.map(|candidate| candidate.key.clone()));
                self.case("ambiguous", None, Some(record), cause);
            }
            Step::Park { cause, .. } => self.case("invalid", None, Some(record), cause),
            // What these are for is linked.
            Step::Pass
            | Step::Seen { .. }
            | Step::Merge { .. }
            | Step::Lift { .. }
            | Step::Rebind { .. }
            | Step::Redirect { .. } => {
                self.tally.linked += 1;
            }
        }
    }

    /// It was parked because it could be several rows, or its row has a record already; else because of what it holds.
    fn is_ambiguous(&self, spec: &StreamSpec, record: &Record, known: &Known) -> bool {
        let candidates = known.candidates.get(&record.id).map(Vec::as_slice).unwrap_or_default();
        match meet(spec, candidates, known.undecided_creates) {
            Meeting::Park(_) => true,
            Meeting::Bind(key) => self.bound.contains(&key),
            Meeting::Insert | Meeting::Wait(_) | Meeting::Exclude(_) => false,
        }
    }

    /// Counts a row, once all records are. `linked` says that it has a link; `parent_stays` that something it refers to is not sent.
    pub fn row(&mut self, spec: &StreamSpec, row: &Row, linked: bool, parent_stays: bool) {
        self.tally.rows += 1;
        if linked || self.bound.contains(&row.key) {
            return;
        }
        // Parents go first: by the time the row is sent they have records.
        let parents = vec![Some(RemoteId::new("")); spec.fields.len()];
        let subject =
            Subject { row: Some(row), link: None, reborn: false, parents: &parents, just_read: false, heir: false, now: 0 };
        let why = match plan(spec, &subject) {
            Plan::Create { .. } if parent_stays => "what it refers to is not sent",
            Plan::Create { .. } if self.claimed.contains(&row.key) => "an ambiguous record could be this row",
            Plan::Create { .. } => {
                self.tally.new_records += 1;
                self.choose(2, Chosen::Row(row.key.clone()));
                let value = |property: &String| Some(row.get(spec, &spec.field(property)?.1.column)?.to_owned());
                let shared = spec.match_on.iter().find(|property| self.is_twin(Side::Row, property, value(property)));
                if let Some(property) = shared {
                    self.row_case("twin", row, &format!("another row without a record has the same {property}"));
                }
                return;
            }
            Plan::Park { cause, .. } => return self.row_case("invalid", row, &cause),
            Plan::Nothing { why, .. } | Plan::NotOurs { why } => why,
            Plan::Update { .. }
            | Plan::ReadFirst(_)
            | Plan::FindLost
            | Plan::WaitForParent { .. }
            | Plan::Archive
            | Plan::Bury
            | Plan::Forget
            | Plan::HandOver { .. } => "nothing is sent for it",
        };
        *self.tally.excluded.entry(why.to_owned()).or_default() += 1;
    }

    /// Up to `limit` things to try the mapping out on, of each kind as evenly as there are.
    pub fn sample(&self, limit: usize) -> Vec<Chosen> {
        let longest = self.samples.iter().map(Vec::len).max().unwrap_or(0);
        let rounds = (0..longest).flat_map(|at| self.samples.iter().filter_map(move |kind| kind.get(at)));
        rounds.take(limit).cloned().collect()
    }

    fn choose(&mut self, kind: usize, chosen: Chosen) {
        if let Some(kind) = self.samples.get_mut(kind).filter(|kind| kind.len() < self.sample_max) {
            kind.push(chosen);
        }
    }

    /// True from the second of a side with this value on.
    fn is_twin(&mut self, side: Side, property: &str, value: Option<String>) -> bool {
        let value = value.map(|value| value.trim().to_lowercase()).filter(|value| !value.is_empty());
        value.is_some_and(|value| !self.new_keys.insert((side, format!("{property}={value}"))))
    }

    fn row_case(&mut self, kind: &'static str, row: &Row, reason: &str) {
        self.case(kind, Some(&row.key), None, reason);
    }

    fn case(&mut self, kind: &'static str, row: Option<&RowKey>, record: Option<&Record>, reason: &str) {
        let count = match kind {
            "ambiguous" => &mut self.tally.ambiguous,
            "invalid" => &mut self.tally.invalid,
            "twin" => &mut self.tally.twins,
            _ => &mut self.tally.undecided,
        };
        *count += 1;
        if self.tally.cases.len() < self.cases_max {
            let record = record.map(|record| record.id.clone());
            self.tally.cases.push(Case { kind, row: row.cloned(), record, reason: reason.to_owned() });
        }
    }
}

/// Fields that a person decides.
fn waiting(merged: &crate::merge::Merged) -> usize {
    merged.base.conflicts()
}

#[cfg(test)]
#[path = "first_meeting_tests.rs"]
mod tests;
