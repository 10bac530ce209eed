//! Decides when a stream is swept, what a sweep asks for, whether it may be believed, and which reader should have told of what it found. Reads nothing.
//!
//! A sweep reads every record of a stream, whatever its stamp. It finds what no window can: a change that moved no stamp, a record that became visible later than every
//! reader waited, a stamp that was written backwards, a record somebody gave us the right to see. Its end is worth more than its pages: only a sweep that read
//! everything says that what it did not see may be gone.

use std::time::Duration;

use crate::Millis;
use crate::base::FieldBase;
use crate::delete::{Gone, Return, returns};
use crate::link::{LinkState, LinkView};
use crate::page::Step;
use crate::push::is_somebody_else;
use crate::record::{Record, Row};
use crate::source::{Order, Paging};
use crate::spec::StreamSpec;
use crate::window::{Window, millis};

/// What a sweep asks for: every stamp a record can carry, up to the year 9999. A record that is edited meanwhile stays a member, so none slides out of the walk.
pub const EVERY_STAMP: Window = Window { from: 0, until: 253_402_300_800_000 };

/// Whether a stream is to be swept now. The first load read everything, so the first sweep comes one interval after it.
pub fn is_due(loaded_at: Option<Millis>, begun_at: Option<Millis>, every: Option<Duration>, now: Millis) -> bool {
    let (Some(loaded_at), Some(every)) = (loaded_at, every) else { return false };
    now >= begun_at.unwrap_or(loaded_at).saturating_add(millis(every))
}

/// How far the readers have come, CRM clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursors {
    pub fast: Option<Millis>,
    pub settled: Option<Millis>,
}

/// Who should have told of a version before a sweep found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Missed {
    /// The fast reader has passed its stamp, the settled one has yet to.
    ByFast,
    /// Both have passed its stamp: it became visible later than the settled reader waits.
    BySettled,
    /// Its stamp did not move, or there is none: no window can find it.
    ByNone,
}

impl Missed {
    pub fn word(self) -> &'static str {
        match self {
            Self::ByFast => "fast",
            Self::BySettled => "settled",
            Self::ByNone => "none",
        }
    }
}

/// Who has missed a version that differs from what was agreed. `None` when nobody has: its stamp lies ahead of every cursor, it is news.
pub fn missed(modified: Option<Millis>, seen: Option<Millis>, cursors: Cursors) -> Option<Missed> {
    let Some(stamp) = modified else { return Some(Missed::ByNone) };
    if seen.is_some_and(|seen| stamp <= seen) {
        return Some(Missed::ByNone);
    }
    if cursors.settled.is_some_and(|until| stamp < until) {
        return Some(Missed::BySettled);
    }
    cursors.fast.is_some_and(|until| stamp < until).then_some(Missed::ByFast)
}

/// A record that differs from what was agreed although no reader told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    pub missed: Missed,
    /// Places of the fields that differ; empty for a record nobody knew.
    pub fields: Vec<usize>,
    /// What was done about it, in a word.
    pub repair: &'static str,
}

/// Whether what a reader met is drift. What its plan leaves alone is none, nor is our own write on its way.
pub fn drift(record: &Record, link: Option<&LinkView>, step: &Step, cursors: Cursors) -> Option<Drift> {
    let repair = match step {
        Step::Pass | Step::Seen { .. } | Step::Exclude { .. } => return None,
        // Whether it is any of the stream's business is not known yet.
        Step::ReadWhole if link.is_none() => return None,
        Step::OweRead { .. } | Step::ReadWhole => "read owed",
        Step::Await(_) => "waits for its parent",
        Step::Park { .. } => "parked",
        Step::Held { .. } => "held back",
        Step::Insert { .. } => "inserted",
        Step::Merge { .. } => "merged",
        Step::Lift { .. } => "restored",
        Step::Bind { .. } => "bound",
        Step::Rebind { .. } => "bound to what its record was merged into",
        Step::Redirect { .. } => "read of what it was merged into owed",
    };
    let Some(link) = link else {
        return missed(record.modified, None, cursors).map(|missed| Drift { missed, fields: Vec::new(), repair });
    };
    if link.state != LinkState::Linked || link.push_leased || !link.ghosts.is_empty() {
        return None;
    }
    let differs = |at: &usize| {
        let value = record.values.get(*at).and_then(Option::as_deref);
        record.shows(*at) && link.base.get(*at).is_none_or(|base| base.record.as_deref() != value)
    };
    let fields: Vec<usize> = (0..record.values.len()).filter(differs).collect();
    if fields.is_empty() {
        return None;
    }
    missed(record.modified, link.seen, cursors).map(|missed| Drift { missed, fields, repair })
}

/// What a row owes by comparison alone, without anybody having told of a change: the places of the fields that moved since they were agreed, none of them for a row that
/// has no link, or another life of its key. `None` when it owes nothing, or is none of the CRM's business as it stands.
pub fn row_owes(spec: &StreamSpec, row: &Row, link: Option<&LinkView>) -> Option<Vec<usize>> {
    if !row.is_sendable(spec) {
        return None;
    }
    let sends = spec.direction.writes_records();
    let Some(link) = link else { return sends.then(Vec::new) };
    if link.state == LinkState::Tombstone {
        // Nothing but the row itself ends a link of a one-way stream, and it is back.
        if spec.is_one_way() {
            return Some(Vec::new());
        }
        let back = returns(link, false, !is_somebody_else(spec, link, row)) != Return::None;
        return (sends && back).then(Vec::new);
    }
    // A stream that only reads puts back what was changed in a row, and owes nothing else.
    if !sends && link.state != LinkState::Linked {
        return None;
    }
    let owed = |known: &FieldBase| sends && known.state.owes();
    let moved = |at: &usize| link.base.row_moved(*at, row) || link.base.get(*at).is_some_and(owed);
    let moved: Vec<usize> = (0..spec.fields.len()).filter(moved).collect();
    (!moved.is_empty()).then_some(moved)
}

/// A link without its row owes the delete policy, unless it has ended on that side already.
pub fn vanished_row_owes(state: LinkState, gone: Option<Gone>) -> bool {
    match state {
        LinkState::Linked | LinkState::Creating | LinkState::Double => true,
        LinkState::Tombstone => gone == Some(Gone::Record),
    }
}

/// How a sweep went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Course {
    /// Its last page said that nothing follows.
    pub drained: bool,
    /// What the connector declares of its pages.
    pub order: Order,
    pub paging: Paging,
    /// Its first page was asked with the query of its last.
    pub one_query: bool,
    /// Each of its claims took it over from the one before, and the last one holds it.
    pub one_lineage: bool,
    /// Links that were there when it began.
    pub links: i64,
    /// Of these, how many it saw.
    pub links_seen: i64,
}

/// Whether a sweep may be believed about what it did not see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    Sealed,
    /// It concludes nothing; why.
    Void(&'static str),
}

impl Seal {
    /// As stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Void(why) => why,
        }
    }
}

/// Seals a sweep, or says why not.
pub fn seal(course: Course) -> Seal {
    if !course.drained {
        return Seal::Void("it was not read to its end");
    }
    if !course.one_query {
        return Seal::Void("the mapping changed while it was read");
    }
    if !course.one_lineage {
        return Seal::Void("another worker took it over");
    }
    if !is_complete(course.order, course.paging) {
        return Seal::Void("the connector declares no order in which nothing is passed over");
    }
    if course.links > 0 && course.links_seen == 0 {
        return Seal::Void("it saw none of the records that are linked: the token may have lost the right to see them");
    }
    Seal::Sealed
}

/// A walk in this order passes over nothing while records move. By time alone a tie longer than a page hides its rest, unless it can be paged through by itself.
fn is_complete(order: Order, paging: Paging) -> bool {
    match order {
        Order::TimeThenId | Order::IdOnly => true,
        Order::TimeOnly => paging != Paging::Queries,
        Order::None => false,
    }
}

#[cfg(test)]
#[path = "sweep_tests.rs"]
mod tests;
