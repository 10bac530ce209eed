//! Counts how often each named race and fault really happened: a law that was never put to the test proves nothing.

use std::collections::BTreeMap;

/// What the fixed seeds must have run, many times each.
pub const RACES: [&str; 28] = [
    "a backup was put back",
    "a brake was answered",
    "a call came back too late",
    "a conflict was recorded",
    "a create was read before it was heard of",
    "a hint was lost",
    "a job was overtaken",
    "a key was given out twice",
    "a list showed a part of a record",
    "a page was older than our push",
    "a person decided a conflict",
    "a person was deleted",
    "a process died at work",
    "a process stood still",
    "a restored database was adopted",
    "a record left its window while it was paged",
    "a row went on with another record",
    "a write landed late",
    "an answer was lost",
    "an edit met a push under way",
    "an old object was saved",
    "one stamp, two contents",
    "the CRM altered a value",
    "the CRM's clock was set",
    "the mapping changed under a window",
    "the shop's own trigger changed an order",
    "three handlers at once",
    "two records were merged",
];

#[derive(Debug, Clone, Default)]
pub struct Coverage(pub BTreeMap<&'static str, u64>);

impl Coverage {
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub fn add(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            *self.0.entry(what).or_default() += times;
        }
    }
}
