//! What time it is in the CRM, told from the `Date` of its answers, and whether its clock was set meanwhile. Never reads a clock.
//!
//! The offset is the median of the last samples: one wild header moves nothing. Samples that agree with each other and no longer with the rest are a step. After a step
//! back, stamps repeat that were read past already, so the cursors have to go back to where the clock was last known to be right.

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

/// The samples of one connection in one process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CrmClock {
    samples: Vec<Sample>,
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
        self.samples.drain(..at);
        Some(Step { by: is - was, doubt_from: good + lowest.min(is) })
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
    fn answers_that_differ_by_the_seconds_of_their_header_are_no_step() {
        let mut clock = CrmClock::default();
        assert!(hear(&mut clock, &[900, -1_900, 0, -1_500, -1_900, -1_800, 900, 800]).is_empty());
    }
}
