//! When nothing got through: calls that failed in a row, from the start of the first to the call that did get through. Counts only; what counts as getting through is
//! the caller's word.

use serde::{Deserialize, Serialize};

use crate::Millis;

/// Calls that failed one after another, by the order of their answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// When the first of them was made.
    pub from: Millis,
    /// When a call got through, or the last that did not was given up.
    pub until: Millis,
    pub calls: u64,
    /// Nothing has got through since.
    pub open: bool,
}

impl Run {
    pub fn length(&self) -> Millis {
        self.until - self.from
    }

    fn joined(self, later: Self) -> Self {
        Self { from: self.from, until: later.until, calls: self.calls + later.calls, open: later.open }
    }

    fn ended(self, at: Millis) -> Self {
        Self { until: at, open: false, ..self }
    }
}

/// The runs of some time, such that those of two times that follow one another can be joined: the one it begins with, the one it ends with, and the longest between.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outages {
    /// Before the first call that got through; the only one when none did.
    head: Option<Run>,
    /// When that was.
    through_at: Option<Millis>,
    /// Between two calls that got through.
    longest: Option<Run>,
    /// After the last call that got through.
    tail: Option<Run>,
}

impl Outages {
    /// One call, made at `from` and answered or given up at `until`.
    pub(super) fn add(&mut self, from: Millis, until: Millis, got_through: bool) {
        let one = if got_through {
            Self { through_at: Some(until), ..Self::default() }
        } else {
            Self { head: Some(Run { from, until, calls: 1, open: true }), ..Self::default() }
        };
        self.merge(&one);
    }

    pub(super) fn merge(&mut self, later: &Self) {
        let last = if self.through_at.is_some() { &mut self.tail } else { &mut self.head };
        let between = match (last.take(), later.head) {
            (Some(earlier), Some(next)) => Some(earlier.joined(next)),
            (earlier, next) => earlier.or(next),
        };
        let Some(through_at) = later.through_at else {
            *last = between;
            return;
        };
        let between = between.map(|run| run.ended(run.until.max(through_at)));
        if self.through_at.is_some() {
            self.longest = longer(self.longest, between);
        } else {
            self.head = between;
        }
        self.longest = longer(self.longest, later.longest);
        self.through_at = self.through_at.or(later.through_at);
        self.tail = later.tail;
    }

    /// The longest of all; of two that are alike the earlier.
    pub fn longest(&self) -> Option<Run> {
        longer(longer(self.head, self.longest), self.tail)
    }
}

fn longer(one: Option<Run>, other: Option<Run>) -> Option<Run> {
    match (one, other) {
        (Some(one), Some(other)) if other.length() > one.length() => Some(other),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One call a minute that takes a second; `.` got through, `x` did not.
    fn of(calls: &str, minute: usize) -> Outages {
        let mut outages = Outages::default();
        for (at, call) in calls.chars().enumerate() {
            let until = (minute + at) as Millis * 60;
            outages.add(until - 1, until, call == '.');
        }
        outages
    }

    fn check(calls: &str, expect: Option<(Millis, Millis, u64, bool)>) {
        let longest = of(calls, 0).longest().map(|run| (run.from, run.until, run.calls, run.open));
        assert_eq!(longest, expect, "{calls}");
    }

    #[test]
    fn an_outage_lasts_from_the_first_failed_call_to_the_one_that_got_through() {
        check("", None);
        check("....", None);
        check(".x..", Some((59, 120, 1, false)));
        check(".x.xxx.x.", Some((179, 360, 3, false)));
        check("xx.x", Some((-1, 120, 2, false)));
        check(".xxx", Some((59, 180, 3, true)));
        check("xxx", Some((-1, 120, 3, true)));
        check(".x.x.", Some((59, 120, 1, false)));
    }

    proptest! {
        #[test]
        fn outages_join_over_any_cut(calls in "[.x]{0,24}", cut in 0..24_usize) {
            let cut = cut.min(calls.len());
            let mut parts = of(&calls[..cut], 0);
            parts.merge(&of(&calls[cut..], cut));
            prop_assert_eq!(parts, of(&calls, 0));
        }
    }
}
