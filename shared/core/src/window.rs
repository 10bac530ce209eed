//! Decides which slice of a stream's modified time is read next, and by which reader. Never reads a clock.

use serde::{Deserialize, Serialize};

use crate::Millis;
use crate::bug::{Bug, planted};
use crate::spec::PollSpec;

/// Who reads a window. All read the same stream; the fast and the settled one have a cursor each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reader {
    /// Small lag: freshness.
    Fast,
    /// Stays behind the CRM's commit lag: truth.
    Settled,
    /// Reads everything, whatever its stamp, now and then.
    Sweep,
}

impl Reader {
    pub fn word(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Settled => "settled",
            Self::Sweep => "sweep",
        }
    }

    /// How far this reader stays behind the CRM's clock, milliseconds.
    pub fn lag(self, poll: &PollSpec) -> Millis {
        let lag = match self {
            Self::Fast => poll.lag,
            Self::Settled => poll.settled_lag,
            Self::Sweep => std::time::Duration::ZERO,
        };
        millis(lag)
    }
}

/// A closed slice of modified time: half open `[from, until)`, CRM clock, fixed before its first request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub from: Millis,
    pub until: Millis,
}

impl Window {
    pub fn contains(&self, stamp: Millis) -> bool {
        (self.from..self.until).contains(&stamp)
    }
}

/// Next slice to read, or `None` when nothing lies between the cursor and the lag.
///
/// `until = crm_now - lag`. `from` is the earlier of `last_until` and `crm_now`, less the overlap and one step of the source's precision, so that a stamp equal to
/// the cursor is read again rather than lost. `last_until` is `None` before the first load, which starts at 0: there is no hidden horizon. A cursor that
/// lies in the future (the CRM's clock stepped back) does not stop reading.
pub fn next_window(
    last_until: Option<Millis>,
    crm_now: Millis,
    lag: Millis,
    overlap: Millis,
    precision: Millis,
) -> Option<Window> {
    let until = crm_now - lag;
    let Some(last_until) = last_until else { return (until > 0).then_some(Window { from: 0, until }) };
    if until <= last_until && last_until <= crm_now {
        return None;
    }
    let from = if planted(Bug::StrictBoundary) {
        last_until + 1
    } else if planted(Bug::NoOverlap) {
        last_until
    } else {
        (last_until.min(crm_now) - overlap - precision).max(0)
    };
    (from < until).then_some(Window { from, until })
}

/// Where the settled reader begins when the first load has begun to read up to `until`: far enough back that no late commit falls between the two.
pub fn settled_start(first_until: Millis, poll: &PollSpec) -> Millis {
    (first_until - millis(poll.settled_lag)).max(0)
}

/// Whole milliseconds of a duration, saturating.
pub fn millis(duration: std::time::Duration) -> Millis {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_record_saved_at_the_window_edge_is_read_twice_rather_than_lost() {
        let last_until = 1_000_000;
        let window = next_window(Some(last_until), 1_060_000, 5_000, 0, 1_000).unwrap();
        assert!(window.contains(last_until) && window.contains(last_until - 1_000));
    }

    #[test]
    fn the_first_window_has_no_hidden_horizon() {
        assert_eq!(next_window(None, 1_060_000, 5_000, 2_000, 1), Some(Window { from: 0, until: 1_055_000 }));
    }

    #[test]
    fn nothing_is_read_while_the_cursor_is_within_the_lag() {
        assert_eq!(next_window(Some(1_056_000), 1_060_000, 5_000, 2_000, 1), None);
    }

    #[test]
    fn a_cursor_in_the_future_is_repaired_by_reading() {
        let window = next_window(Some(9_000_000), 1_060_000, 5_000, 10_000, 1).unwrap();
        assert!(window.from < window.until && window.until < 1_060_000);
    }

    proptest! {
        #[test]
        fn consecutive_windows_leave_no_gap(steps in prop::collection::vec(0i64..100_000, 1..30), lag in 0i64..10_000, overlap in 0i64..5_000) {
            let mut now = 10_000_000;
            let mut cursor: Option<Millis> = None;
            for step in steps {
                now += step;
                if let Some(window) = next_window(cursor, now, lag, overlap, 1) {
                    prop_assert!(window.from <= cursor.unwrap_or(0));
                    prop_assert!(window.until <= now - lag);
                    cursor = Some(window.until);
                }
            }
        }
    }
}
