//! Decides what late arrivals say about a reader's lag: how late each version became visible at most and at least, and which lag would have missed how many.
//!
//! Nobody tells when a record became visible. What is known are two ages of its stamp: the fast reader looked at `low` and did not see it, the settled one saw it at
//! `high`. In between the truth lies anywhere, so a proposal is an estimate and says how far it may be off.

use serde::Serialize;

use crate::Millis;

/// The ages that are told apart, milliseconds. Finer than these no reader looks.
const BOUNDS_MS: [Millis; 16] = [
    1_000, 2_000, 5_000, 10_000, 15_000, 20_000, 30_000, 45_000, 60_000, 90_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000,
    86_400_000,
];

/// Of a thousand versions so many may be missed by the fast reader before another lag is proposed: the settled reader has them all the same.
const TOLERATED_PERMILLE: i64 = 1;

/// How late a version became visible: later than `low_ms` after its stamp, by `high_ms` at the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Arrival {
    pub low_ms: Millis,
    pub high_ms: Millis,
}

/// An arrival that was not seen at one age and seen at another, to the ages that are told apart.
pub fn arrival(unseen_age: Millis, seen_age: Millis) -> Arrival {
    let low_ms = BOUNDS_MS.into_iter().rev().find(|bound| *bound <= unseen_age).unwrap_or(0);
    let high_ms = BOUNDS_MS.into_iter().find(|bound| *bound >= seen_age && *bound > low_ms).unwrap_or(Millis::MAX);
    Arrival { low_ms, high_ms }
}

/// What came how late.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Arrivals {
    /// Versions that the settled reader passed.
    pub versions: i64,
    /// Of these, what the fast reader had missed.
    pub late: Vec<(Arrival, i64)>,
}

/// What a lag would have missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Outlook {
    pub lag_ms: Millis,
    /// Of `versions`, by estimate.
    pub missed: i64,
    /// And no more than this.
    pub missed_most: i64,
}

/// What the arrivals say about a lag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    pub versions: i64,
    /// What the fast reader missed with the lag it has.
    pub missed: i64,
    pub lag_ms: Millis,
    /// The lag that would do; `None` while the present one does.
    pub proposed: Option<Outlook>,
}

impl Arrivals {
    pub fn missed(&self) -> i64 {
        self.late.iter().map(|(_, count)| count).sum()
    }

    /// What a reader with this lag would have missed, taking each version to have come anywhere between its two ages.
    pub fn outlook(&self, lag_ms: Millis) -> Outlook {
        let (mut missed, mut missed_most) = (0.0, 0);
        for (arrival, count) in &self.late {
            if arrival.high_ms <= lag_ms {
                continue;
            }
            #[expect(clippy::cast_precision_loss, reason = "an estimate")]
            let share = (arrival.high_ms - lag_ms.max(arrival.low_ms)) as f64 / (arrival.high_ms - arrival.low_ms) as f64;
            #[expect(clippy::cast_precision_loss, reason = "an estimate")]
            let of_these = share * *count as f64;
            missed += of_these;
            missed_most += count;
        }
        #[expect(clippy::cast_possible_truncation, reason = "no more than the versions there were")]
        let missed = missed.round() as i64;
        Outlook { lag_ms, missed, missed_most }
    }

    /// What to think of a lag; `None` before any version was passed.
    pub fn report(&self, lag_ms: Millis) -> Option<Report> {
        if self.versions == 0 {
            return None;
        }
        let enough = |missed: i64| missed * 1_000 <= self.versions * TOLERATED_PERMILLE;
        let missed = self.missed();
        let proposed = match enough(missed) {
            true => None,
            false => BOUNDS_MS
                .into_iter()
                .filter(|bound| *bound > lag_ms)
                .map(|bound| self.outlook(bound))
                .find(|outlook| enough(outlook.missed)),
        };
        Some(Report { versions: self.versions, missed, lag_ms, proposed })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_arrival_lies_between_the_age_at_which_it_was_not_there_and_the_age_at_which_it_was() {
        assert_eq!(arrival(7_300, 61_000), Arrival { low_ms: 5_000, high_ms: 90_000 });
        assert_eq!(arrival(0, 400), Arrival { low_ms: 0, high_ms: 1_000 });
        assert_eq!(arrival(-50, 1_000), Arrival { low_ms: 0, high_ms: 1_000 }, "clocks differ a little");
        assert_eq!(arrival(5_000, 5_000), Arrival { low_ms: 5_000, high_ms: 10_000 });
        assert_eq!(arrival(1_000, 90_000_000), Arrival { low_ms: 1_000, high_ms: Millis::MAX });
    }

    #[test]
    fn a_lag_is_proposed_with_what_it_would_have_missed() {
        let late = vec![(Arrival { low_ms: 5_000, high_ms: 15_000 }, 40), (Arrival { low_ms: 5_000, high_ms: 20_000 }, 3)];
        let arrivals = Arrivals { versions: 2_000, late };
        let report = arrivals.report(5_000).unwrap();
        assert_eq!((report.missed, report.versions), (43, 2_000));
        assert_eq!(report.proposed, Some(Outlook { lag_ms: 15_000, missed: 1, missed_most: 3 }));
        assert_eq!(arrivals.outlook(10_000), Outlook { lag_ms: 10_000, missed: 22, missed_most: 43 });
    }

    #[test]
    fn a_lag_that_misses_next_to_nothing_stays() {
        let arrivals = Arrivals { versions: 5_000, late: vec![(Arrival { low_ms: 5_000, high_ms: 60_000 }, 5)] };
        assert_eq!(arrivals.report(5_000).unwrap().proposed, None);
        assert_eq!(Arrivals::default().report(5_000), None);
    }

    proptest! {
        #[test]
        fn a_longer_lag_never_misses_more(late in prop::collection::vec((0i64..4_000_000, 0i64..90_000_000, 1i64..50), 0..20), lag in 0i64..100_000, more in 0i64..100_000) {
            let late: Vec<_> = late.into_iter().map(|(low, after, count)| (arrival(low, low + after), count)).collect();
            let arrivals = Arrivals { versions: 10_000, late };
            let (short, long) = (arrivals.outlook(lag), arrivals.outlook(lag + more));
            prop_assert!(long.missed <= short.missed && long.missed_most <= short.missed_most);
            prop_assert!(short.missed <= short.missed_most && short.missed_most <= arrivals.missed());
        }
    }
}
