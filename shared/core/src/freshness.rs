//! Decides whether a version that was heard of may be merged at all: old news never wins, and what cannot be ordered is read again by id.

use crate::Millis;
use crate::base::{Base, FieldBase};
use crate::bug::{Bug, planted};
use crate::link::LinkView;
use crate::record::{Record, Value};
use crate::window::Reader;

/// How a record was heard of. Times are the database's clock at the moment of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// In a page, from an index that may be `commit_lag` behind. `reader`: who read it; behind the settled one nobody comes to this stamp again before the next sweep.
    /// `orders_until`: larger stamps do not tell a later version, by the CRM's clock; `None` where its time is not known.
    Page { asked_at: Millis, commit_lag: Millis, reader: Reader, orders_until: Option<Millis> },
    /// By id, and the link did not change since it was asked.
    ById { asked_at: Millis },
}

impl Heard {
    pub fn asked_at(self) -> Millis {
        match self {
            Self::Page { asked_at, .. } | Self::ById { asked_at } => asked_at,
        }
    }

    /// Whatever the CRM had taken by then is in the record.
    pub fn as_of(self) -> Millis {
        match self {
            Self::Page { asked_at, commit_lag, .. } => asked_at - commit_lag,
            Self::ById { asked_at } => asked_at,
        }
    }
}

/// Whether a version may be merged at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    New,
    /// Below what the link has seen.
    Stale,
    /// Cannot be ordered: read it by id.
    Doubt(&'static str),
}

/// Orders a version against the link.
pub fn freshness(link: &LinkView, record: &Record, heard: Heard, precision: Millis) -> Freshness {
    if link.push_leased {
        return Freshness::Doubt("a push of this record is under way");
    }
    let Heard::Page { asked_at, commit_lag, reader, orders_until } = heard else { return Freshness::New };
    if says_what_is_known(&link.base, record) {
        return Freshness::New;
    }
    if planted(Bug::NoVersionGuard) {
        return Freshness::New;
    }
    if link.seen.is_some() && (planted(Bug::OncePerRecord) || planted(Bug::EqualStampIsOld) && record.modified <= link.seen) {
        return Freshness::Stale;
    }
    let settled = link.written_at.is_none_or(|written_at| asked_at > written_at + commit_lag);
    // Where the stamp of our last write is not known, a version above what was seen may still be one from before that write.
    let above_our_write = settled || link.ghosts.is_empty();
    match (record.modified, link.seen) {
        (Some(stamp), Some(seen)) if stamp < seen => {
            // Mostly what the record was before our push, shown by an index that is behind. But it may be an edit that was committed late, under the stamp it began with.
            if settled || reader != Reader::Fast {
                Freshness::Doubt("an older stamp came late with other content")
            } else {
                Freshness::Stale
            }
        }
        // What an index that is behind shows, or a page whose answer took its time, may be what the record was before a read by id met it, under the very stamp that it has
        // kept since.
        (Some(stamp), Some(seen)) if stamp == seen => Freshness::Doubt("one stamp, and other content"),
        // It may be what the record was before the clock was set back, and what was seen is from after that.
        (Some(stamp), Some(seen)) if stamp > seen && orders_until.is_some_and(|until| stamp > until) => {
            Freshness::Doubt("the CRM's clock was set back: its stamp tells no later version")
        }
        (Some(stamp), Some(seen)) if above_our_write && stamp > seen + precision => Freshness::New,
        (Some(_), None) if above_our_write => Freshness::New,
        (Some(_) | None, _) => {
            if settled {
                Freshness::New
            } else {
                Freshness::Doubt("the page may be older than our last push")
            }
        }
    }
}

/// What the record shows is what it is known to hold.
pub fn says_what_is_known(base: &Base, record: &Record) -> bool {
    let known = |(at, (base, value)): (usize, (&Option<FieldBase>, &Value))| {
        base.as_ref().is_some_and(|base| base.record == *value || !record.shows(at))
    };
    base.fields.iter().zip(&record.values).enumerate().all(known)
}

#[cfg(test)]
#[path = "freshness_tests.rs"]
mod tests;
