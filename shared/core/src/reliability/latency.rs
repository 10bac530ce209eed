//! How long calls took, in steps that grow with the time: exact below 32 ms, then sixteen steps to each doubling. Percentiles come from it and add up over any time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Calls by the step their time falls into.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Latency {
    steps: BTreeMap<u32, u64>,
    max_ms: u32,
}

impl Latency {
    pub(super) fn add(&mut self, ms: u32, calls: u64) {
        *self.steps.entry(step(ms)).or_default() += calls;
        self.max_ms = self.max_ms.max(ms);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (step, calls) in &other.steps {
            *self.steps.entry(*step).or_default() += calls;
        }
        self.max_ms = self.max_ms.max(other.max_ms);
    }

    /// The time within which this share of the calls ended, in thousandths; `None` without calls. Too high by less than a sixteenth, never too low.
    pub fn percentile(&self, permille: u64) -> Option<u32> {
        let calls: u64 = self.steps.values().sum();
        let rank = (calls * permille).div_ceil(1_000).max(1);
        let mut passed = 0;
        let reached = self.steps.iter().find(|(_, calls)| {
            passed += **calls;
            passed >= rank
        });
        reached.map(|(step, _)| longest(*step).min(self.max_ms))
    }
}

/// The step of a time.
fn step(ms: u32) -> u32 {
    if ms < 32 {
        return ms;
    }
    let shift = 27 - ms.leading_zeros();
    shift * 16 + (ms >> shift)
}

/// The longest time of a step.
fn longest(step: u32) -> u32 {
    if step < 32 {
        return step;
    }
    let shift = step / 16 - 1;
    let first = u64::from(step - shift * 16) << shift;
    u32::try_from(first + (1_u64 << shift) - 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(times: &[u32]) -> Latency {
        let mut latency = Latency::default();
        times.iter().for_each(|ms| latency.add(*ms, 1));
        latency
    }

    #[test]
    fn a_percentile_is_the_time_within_which_so_many_ended() {
        let hundred: Vec<u32> = (1..=100).collect();
        let latency = of(&hundred);
        assert_eq!(latency.percentile(10), Some(1), "exact while it is short");
        assert!((50..=53).contains(&latency.percentile(500).unwrap()));
        assert!((99..=100).contains(&latency.percentile(990).unwrap()));
        assert_eq!(latency.percentile(1_000), Some(100), "the longest is exact");
        assert_eq!(of(&[]).percentile(500), None);
        assert_eq!(of(&[u32::MAX]).percentile(500), Some(u32::MAX));
        assert_eq!(of(&[7, 9_000]).percentile(500), Some(7), "half of two is one");
    }

    proptest! {
        #[test]
        fn a_step_holds_its_times_and_is_no_wider_than_a_sixteenth(ms in any::<u32>()) {
            let longest = longest(step(ms));
            prop_assert!(longest >= ms);
            prop_assert!(u64::from(longest - ms) * 16 <= u64::from(ms));
            prop_assert!(ms == 0 || step(ms - 1) <= step(ms));
        }

        #[test]
        fn percentiles_add_up_over_parts(one in prop::collection::vec(0..100_000_u32, 0..40), other in prop::collection::vec(0..100_000_u32, 0..40)) {
            let mut parts = of(&one);
            parts.merge(&of(&other));
            prop_assert_eq!(parts, of(&[one, other].concat()));
        }
    }
}
