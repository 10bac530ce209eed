//! Decides whether a push is one more turn of a loop: another program takes back what is sent, and sending it again would never end. Knows what was sent before from the
//! lineage; stops nothing itself.
//!
//! A turn is one change of one field of one record, from the same value to the same value. People and jobs rarely make it five times within an hour; two programs
//! that both know better make it at every poll. Fields of which the lineage keeps nothing are not watched.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Millis;
use crate::lineage::{Entry, Kept};
use crate::page::KnownLink;
use crate::push::Sent;
use crate::spec::StreamSpec;
use crate::window::millis;

/// The class of a debt that waits because of a loop; `passed` holds it once a person lets one turn through.
pub const CLASS: &str = "loop";

/// How many turns within how long are let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopBreaker {
    pub times: u32,
    pub within: Duration,
}

impl LoopBreaker {
    /// Lets every turn through.
    pub const NONE: Self = Self { times: u32::MAX, within: Duration::ZERO };
}

/// A field that goes round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loop {
    pub property: String,
    pub times: usize,
    /// The first of these turns, database clock.
    pub since: Millis,
}

impl Loop {
    /// Why the push waits, and what a person can do.
    pub fn words(&self, now: Millis) -> (String, String) {
        let minutes = (now - self.since).max(0) / 60_000;
        let cause = format!(
            "{} was sent {} times within {minutes} min, and each time somebody else put back what had been there before",
            self.property, self.times
        );
        let next_step = format!(
            "find the program that also writes {}: another integration, or a workflow in the CRM; let one of the two own the field, then retry. A new value in the row is sent as usual",
            self.property
        );
        (cause, next_step)
    }
}

/// The first of these fields that has made its turns. `entries` are the link's.
pub fn find(spec: &StreamSpec, link: &KnownLink, fields: &[Sent], entries: &[Entry], now: Millis) -> Option<Loop> {
    let since = now - millis(spec.loop_breaker.within);
    fields.iter().find_map(|sent| {
        let field = spec.fields.get(sent.field)?;
        let kept = |value: Option<&str>| Kept::of(field.lineage, link.id, &field.property, value);
        let there = link.view.base.get(sent.field)?.record.as_deref();
        let (was, row) = (kept(there)?, kept(sent.row.as_deref())?);
        let turns = entries.iter().filter(|entry| entry.at >= since && entry.source == "push");
        let turns: Vec<Millis> = turns
            .filter(|entry| entry.fields.iter().any(|one| one.property == field.property && one.was == was && one.row == row))
            .map(|entry| entry.at)
            .collect();
        let goes_round = turns.len() >= usize::try_from(spec.loop_breaker.times).unwrap_or(usize::MAX);
        let first = turns.iter().min().copied().filter(|_| goes_round)?;
        Some(Loop { property: field.property.clone(), times: turns.len(), since: first })
    })
}

#[cfg(test)]
#[path = "loop_breaker_tests.rs"]
mod tests;
