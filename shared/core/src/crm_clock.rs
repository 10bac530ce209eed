//! What time it is in the CRM, told from the `Date` of its answers, and whether its clock was set meanwhile. Never reads a clock.
//!
//! The offset is the median of the last samples: one wild header moves nothing. Samples that agree with each other and no longer with the rest are a step. After a step
//! back, stamps repeat that were read past already, so the cursors have to go back to where the clock was last known to be right; and a larger stamp tells no later version.

use crate::Millis;
use crate::bug::{Bug, planted};
use crate::newest::Ahead;

/// How many samples the median is taken from.
const KEPT: usize = 15;
/// So many in a row, apart from all before and together, are a step.
const STEPPED: usize = 3;
/// `Date` has whole seconds, and an answer takes its time: samples this far apart may still be one offset.
const TOGETHER_MS: Millis = 3_000;

/// The step of a `Date`.
const HEADER_STEP_MS: Millis = 1_000;

/// One answer's `Date` less our clock, and when it was heard by our clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    pub heard_at: Millis,
    pub offset: Millis,
}

/// The CRM's clock was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// How far: negative is back.
    pub by: Millis,
    /// The CRM's time, by its new clock, up to which the old clock was known to be right: what was stamped since then is in doubt.
    pub doubt_from: Millis,
}

/// Stamps of a clock that was set back: it gives them twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Twice {
    from: Millis,
    until: Millis,
}

/// The samples of one connection in one process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CrmClock {
    samples: Vec<Sample>,
    twice: Option<Twice>,
}

impl CrmClock {
    /// Learns from one answer. `Some` when it completes the proof of a step; the samples from before it are forgotten then.
    pub fn learn(&mut self, sample: Sample) -> Option<Step> {
        self.samples.push(sample);
        if self.samples.len() > KEPT {
            self.samples.remove(0);
        }
        if planted(Bug::ClockStepIgnored) {
            return None;
        }
        let at = self.samples.len().checked_sub(STEPPED).filter(|at| *at > 0)?;
        let (before, after) = self.samples.split_at(at);
        let (was, is) = (median(before), median(after));
        let together = after.iter().all(|one| (one.offset - is).abs() <= TOGETHER_MS);
        let apart = after.iter().all(|one| (one.offset - was).abs() > TOGETHER_MS);
        if !together || !apart {
            return None;
        }
        // The last sample that still told the old time; a step may have happened right after it.
        let last_good = before.iter().rposition(|one| (one.offset - was).abs() <= TOGETHER_MS);
        let good = last_good.map_or(0, |at| before[at].heard_at);
        // Set more than once: what the lowest of its clocks stamped is in doubt too.
        let lowest = self.samples.iter().skip(last_good.map_or(0, |at| at + 1)).map(|one| one.offset).min().unwrap_or(is);
        let (doubt_from, first) = (good + lowest.min(is), self.samples[at].heard_at);
        self.samples.drain(..at);
        if is < was {
            // Set back again before it came to where it had been: all of it is given twice.
            let (from, until) = (doubt_from, first + was);
            self.twice =
                Some(self.twice.map_or(Twice { from, until }, |before| Twice {
                    from: before.from.min(from),
                    until: before.until.max(until),
                }));
        }
        Some(Step { by: is - was, doubt_from })
    }

    /// A larger stamp than this does not tell a later version: it lies ahead of what any of the kept answers told of the clock, or the clock was set back a while ago and gives it
    /// twice. `lag`: how far an index may be behind, and show what was stamped before. `None` before the first answer.
    ///
    /// Answers that are well never lead to doubt of what was stamped by `now`: they name a whole second, and are as far apart as it takes to be no step. One wild `Date` does, for
    /// as long as it is kept; what is doubted is read by id.
    pub fn orders_until(&self, now: Millis, lag: Millis) -> Option<Millis> {
        let lowest = self.samples.iter().map(|sample| sample.offset).min()?;
        let told = now.saturating_add(lowest + HEADER_STEP_MS + TOGETHER_MS);
        let twice = self.twice.filter(|twice| self.at(now) <= twice.until.saturating_add(lag));
        Some(twice.map_or(told, |twice| twice.from.min(told)))
    }

    /// How far it is ahead of ours, and how far that may be off: the `Date` of an answer names a whole second, and its samples lie apart. `None` before the first answer.
    pub fn ahead(&self) -> Option<Ahead> {
        let by = median(&self.samples);
        let apart = self.samples.iter().map(|sample| (sample.offset - by).abs()).filter(|apart| *apart <= TOGETHER_MS).max()?;
        Some(Ahead { by, error: HEADER_STEP_MS + apart })
    }

    /// The CRM's time when ours is `now`. Stamps may pull it back, never push it forward.
    pub fn at(&self, now: Millis) -> Millis {
        if planted(Bug::OurClock) { now } else { now + median(&self.samples) }
    }
}

fn median(samples: &[Sample]) -> Millis {
    let mut offsets: Vec<Millis> = samples.iter().map(|sample| sample.offset).collect();
    offsets.sort_unstable();
    offsets.get(offsets.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(clock: &mut CrmClock, offsets: &[Millis]) -> Vec<Step> {
        let first = clock.samples.last().map_or(0, |last| last.heard_at);
        let sample = |(at, offset): (usize, &Millis)| Sample { heard_at: first + 1_000 * (at as Millis + 1), offset: *offset };
        offsets.iter().enumerate().map(sample).filter_map(|sample| clock.learn(sample)).collect()
    }

    #[test]
    fn one_wild_date_header_does_not_move_the_clock() {
        let mut clock = CrmClock::default();
        assert_eq!(clock.at(1_000), 1_000);
        assert!(hear(&mut clock, &[3, 9_999_999, 5, 4]).is_empty());
        assert_eq!(clock.at(1_000), 1_005);
    }

    #[test]
    fn h11_the_error_of_the_offset_is_a_second_and_what_the_samples_lie_apart() {
        let mut clock = CrmClock::default();
        assert_eq!(clock.ahead(), None, "nobody has told the CRM's time");
        hear(&mut clock, &[60_000, 60_400, 59_700, 9_999_999]);
        assert_eq!(clock.ahead(), Some(Ahead { by: 60_400, error: 1_700 }));
    }

    #[test]
    fn h30_a_clock_that_was_set_back_is_noticed_and_what_it_stamped_since_is_in_doubt() {
        let mut clock = CrmClock::default();
        hear(&mut clock, &[0, 400, -300, 100]);
        assert_eq!(hear(&mut clock, &[-60_000, -59_600, -60_200]), [Step { by: -60_100, doubt_from: 4_000 - 60_200 }]);
        assert_eq!(clock.at(100_000), 40_000);
        assert!(hear(&mut clock, &[-60_100, -60_000]).is_empty(), "once");
    }

    #[test]
    fn h30_stamps_of_a_clock_that_was_set_back_do_not_tell_what_is_later() {
        let mut clock = CrmClock::default();
        assert_eq!(clock.orders_until(1_000, 500), None, "nobody has told the CRM's time");
        hear(&mut clock, &[0, 400, -300, 100]);
        assert!(
            clock.orders_until(4_000, 500) > Some(4_000 + 900),
            "what was stamped by now, whatever of a second its answers leave out"
        );
        // The first answer from after it is enough: what lies ahead of the clock was stamped before.
        hear(&mut clock, &[-60_000]);
        assert_eq!(clock.orders_until(5_000, 500), Some(5_000 - 60_000 + 4_000));
        // Once the step is proven, all that is stamped twice is known, until the clock has passed it and the index has followed.
        hear(&mut clock, &[-59_600, -60_200]);
        let (from, until) = (4_000 - 60_200, 5_000 + 100);
        assert_eq!(clock.orders_until(10_000, 500), Some(from));
        assert_eq!(clock.orders_until(until + 60_000 + 500, 500), Some(from));
        assert!(clock.orders_until(until + 60_000 + 501, 500) > Some(until), "it is later than ever");
    }

    #[test]
    fn answers_that_differ_by_the_seconds_of_their_header_are_no_step() {
        let mut clock = CrmClock::default();
        assert!(hear(&mut clock, &[900, -1_900, 0, -1_500, -1_900, -1_800, 900, 800]).is_empty());
    }
}
