//! Decides when a record counts as deleted, what becomes of its row, and what brings either side back. Asks nobody and deletes nothing.
//!
//! Absence is never believed at once. A record that a sealed sweep did not see is *suspected*; it is then asked for by id. Where the CRM shows archived records under a flag,
//! its word counts; where it does not, the silence counts only if a record that is known to live answers in the same round. A row follows only where the mapping says so,
//! and never over a change of its own that was not sent. The other way round a deleted row takes its record with it only where that still says what was agreed.

use crate::Millis;
use crate::link::{LinkState, LinkView};
use crate::merge::owner;
use crate::push::Plan;
use crate::record::{Record, Row, RowKey};
use crate::spec::{FieldSpec, InboundDelete, Owner, StreamSpec};

/// The class of a push that waits because a row was deleted while its record was edited; `passed` holds it once a person has said that the record goes all the same.
pub const EDITED: &str = "edited";

/// Why silence is not believed.
pub const NOBODY_ANSWERS: &str = "a record that is known to live did not answer either";

/// Which side of a tombstone is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gone {
    /// The record; its row stayed.
    Record,
    /// The row; its record was left alone.
    Row,
    /// Both: one followed the other.
    Both,
}

impl Gone {
    pub const ALL: [Self; 3] = [Self::Record, Self::Row, Self::Both];

    pub fn word(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Row => "row",
            Self::Both => "both",
        }
    }
}

/// A link that a sweep did not see. Times are the database's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unseen {
    pub state: LinkState,
    pub created_at: Millis,
    /// When a push of it last settled.
    pub written_at: Option<Millis>,
}

/// Whether a sealed sweep that began at `begun_at` says that the record may be gone. What was linked or written since may simply be newer than the page that would have
/// shown it.
pub fn is_suspected(link: Unseen, begun_at: Millis) -> bool {
    link.state == LinkState::Linked && link.created_at < begun_at && link.written_at.is_none_or(|written| written < begun_at)
}

/// What the CRM said of a record that a read by id did not find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It is archived: the CRM's own word, with the stamp it carries now.
    Archived { modified: Option<Millis> },
    /// Nothing at all, asked twice.
    Absent,
    /// The answer held a record nobody asked for: it may have been merged into that one.
    Merged,
}

/// Whether a linked record that nobody doubts answered in the same round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Witness {
    Answered,
    Silent,
    /// There is none to ask.
    Nobody,
}

/// A record that was asked for by id and not found.
#[derive(Debug)]
pub struct Case<'a> {
    pub link: &'a LinkView,
    /// `None` when the row is gone, too.
    pub row: Option<&'a Row>,
    /// The row is there and somebody else holds it.
    pub row_locked: bool,
    pub word: Word,
    pub witness: Witness,
    /// The connector shows archived records by id, so that silence is no delete.
    pub archive_view: bool,
    pub asked_at: Millis,
    pub commit_lag: Millis,
    /// A person has said that this delete stands.
    pub approved: bool,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conclusion {
    /// Nothing to conclude: it was concluded before, or never met.
    Nothing,
    /// Its own row went before it did: only rows that wait for the record are told.
    Ended,
    /// Asked again; why.
    Wait(&'static str),
    /// The record is gone; the link becomes a tombstone.
    Gone(RowAct),
}

/// What the row comes to when its record is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowAct {
    Leave,
    /// Its column takes the mark.
    Mark,
    Delete,
    /// A person has to say; the row stays until then.
    Ask(Question),
}

/// What a person is asked, with what either answer does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub cause: String,
    pub next_step: String,
}

/// Concludes one case.
pub fn conclude(spec: &StreamSpec, case: &Case<'_>) -> Conclusion {
    match (case.link.state, case.link.gone) {
        (LinkState::Linked, _) => {}
        // The delete was established, and a person has decided about the row since.
        (LinkState::Tombstone, Some(Gone::Record)) if case.approved && case.row.is_some() && !case.row_locked => {
            return Conclusion::Gone(follow(spec));
        }
        (LinkState::Tombstone, Some(Gone::Row | Gone::Both)) => {
            let believed = case.word != Word::Merged && doubt(case).is_none();
            return if believed { Conclusion::Ended } else { Conclusion::Nothing };
        }
        (LinkState::Tombstone | LinkState::Creating | LinkState::Double, _) => return Conclusion::Nothing,
    }
    if case.link.push_leased {
        return Conclusion::Wait("a push of this record is under way");
    }
    if let Some(doubt) = doubt(case) {
        return doubt;
    }
    if case.row_locked {
        return Conclusion::Wait("somebody else holds the row");
    }
    Conclusion::Gone(case.row.map_or(RowAct::Leave, |row| row_act(spec, case, row)))
}

/// Why the delete is not believed yet.
fn doubt(case: &Case<'_>) -> Option<Conclusion> {
    if matches!(case.word, Word::Archived { .. }) || case.approved {
        return None;
    }
    if case.link.written_at.is_some_and(|written_at| case.asked_at <= written_at + case.commit_lag) {
        return Some(Conclusion::Wait("it was written a moment ago and may not be readable yet"));
    }
    let silent = case.witness == Witness::Silent;
    silent.then_some(Conclusion::Wait(NOBODY_ANSWERS))
}

/// Whether a record that no link holds any more is over for the rows that wait for it: theirs was merged into it, and its own row went. `None`: it is asked for again.
pub fn is_over(word: Word, witness: Witness, approved: bool) -> Option<bool> {
    match word {
        Word::Archived { .. } => Some(true),
        Word::Absent => (approved || witness != Witness::Silent).then_some(true),
        // Whoever took it in tells so, and they wait for that one then.
        Word::Merged => Some(false),
    }
}

fn row_act(spec: &StreamSpec, case: &Case<'_>, row: &Row) -> RowAct {
    if !flows(spec) || case.approved {
        return follow(spec);
    }
    let told = matches!(case.word, Word::Archived { .. });
    if case.archive_view && !told {
        return ask(format!(
            "the record of row {} is neither there nor archived: merged, erased for good, or out of the token's sight",
            row.key
        ));
    }
    if !told && case.word == Word::Merged {
        return ask(format!("the record of row {} seems to be merged into another", row.key));
    }
    if !told && case.witness == Witness::Nobody {
        return ask(format!(
            "the record of row {} does not answer, and there is no other to ask: it is deleted, or the token lost the right to see it",
            row.key
        ));
    }
    if holds_unsent(case.link, row, spec) {
        return ask(format!("the record was deleted in the CRM while row {} had a change that was not sent", row.key));
    }
    follow(spec)
}

fn ask(cause: String) -> RowAct {
    let next_step =
        "look in the CRM; retry to let the delete reach the row, or leave this: the row stays, and is no longer sent".into();
    RowAct::Ask(Question { cause, next_step })
}

/// Deletes reach rows by this mapping.
pub fn flows(spec: &StreamSpec) -> bool {
    spec.direction.writes_rows() && spec.deletes.inbound != InboundDelete::Ignore
}

fn follow(spec: &StreamSpec) -> RowAct {
    if !spec.direction.writes_rows() {
        return RowAct::Leave;
    }
    match spec.deletes.inbound {
        InboundDelete::Ignore => RowAct::Leave,
        InboundDelete::Set { .. } => RowAct::Mark,
        InboundDelete::Delete => RowAct::Delete,
    }
}

/// Edit and delete of the same version: the row has moved on from what was agreed.
fn holds_unsent(link: &LinkView, row: &Row, spec: &StreamSpec) -> bool {
    spec.direction.writes_records()
        && row.is_sendable(spec)
        && (0..spec.fields.len())
            .any(|at| link.base.row_moved(at, row) || link.base.get(at).is_some_and(|base| base.state.is_unsettled()))
}

/// What becomes of the record of a row that was deleted, as a read in the same push shows it: edit and delete of the same version are for a person. What the order system owns is none
/// of the CRM's to edit, and what we sent and have not heard of is no edit.
pub fn archive(spec: &StreamSpec, key: &RowKey, link: &LinkView, record: &Record) -> Plan {
    let was_edited = |(at, field): &(usize, &FieldSpec)| {
        let says = record.values.get(*at).and_then(Option::as_deref);
        let known = link.base.get(*at);
        owner(spec, field) != Owner::Orders
            && field.references.is_none()
            && known.is_some_and(|known| known.record.as_deref() != says)
            && link.ghosts.of(*at, says).is_none()
    };
    let edited: Vec<&str> = spec.fields.iter().enumerate().filter(was_edited).map(|(_, field)| field.property.as_str()).collect();
    if edited.is_empty() {
        return Plan::Archive;
    }
    Plan::Park {
        class: EDITED,
        cause: format!("row {key} was deleted while its record {} was edited in the CRM: {}", record.id, edited.join(", ")),
        next_step: "look in the CRM; retry to archive the record all the same, or leave this: the record stays as it is".into(),
    }
}

/// Whether a record lifts its tombstone: it lives, and its version is strictly newer than the one that was deleted. Of a record whose row went away and which was itself left
/// alone a newer version is an edit like any other, and brings no row back.
pub fn lifts(link: &LinkView, record: &Record) -> bool {
    link.state == LinkState::Tombstone
        && matches!(link.gone, Some(Gone::Record | Gone::Both))
        && !record.archived
        && record.modified.is_some_and(|stamp| link.seen.is_none_or(|seen| stamp > seen))
}

/// What a row that is there means to a tombstone of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Return {
    /// Nothing: it was there all along.
    None,
    /// The same thing is back, and so is its record, which was left alone.
    Resumes,
    /// Another life of the key: it gets a link of its own.
    BeginsAnew,
}

/// Judges a row under a tombstone. `reborn` says that the key was deleted and used again since the last push; `same` that a match key still says what was agreed.
pub fn returns(link: &LinkView, reborn: bool, same: bool) -> Return {
    if link.state != LinkState::Tombstone {
        return Return::None;
    }
    match link.gone {
        Some(Gone::Row) if same => Return::Resumes,
        Some(Gone::Row | Gone::Both) => Return::BeginsAnew,
        Some(Gone::Record) if reborn => Return::BeginsAnew,
        Some(Gone::Record) | None => Return::None,
    }
}

#[cfg(test)]
#[path = "delete_tests.rs"]
mod tests;
