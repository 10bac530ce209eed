//! Decides when failed work runs again. Never sleeps, never reads a clock, never rolls its own dice.

use crate::Millis;
use crate::spec::RetrySpec;
use crate::window::millis;

/// Delay before the next try, milliseconds: exponential, capped, with full jitter.
///
/// `attempts` counts the failed tries so far, from 1. `dice` is uniform in `[0, 1)`. The delay is uniform in `[0, min(cap, first · 2^(attempts-1)))`, but never
/// below `floor` (what the CRM asked for) and never below a twentieth of its own bound, so that a run of low throws is not a storm.
pub fn delay(attempts: u32, floor: Millis, dice: f64, retry: &RetrySpec) -> Millis {
    let bound = bound(attempts, retry);
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "milliseconds of at most days")]
    let jittered = (bound as f64 * dice.clamp(0.0, 1.0)) as Millis;
    jittered.max(bound / 20).max(floor)
}

fn bound(attempts: u32, retry: &RetrySpec) -> Millis {
    let doublings = attempts.saturating_sub(1).min(40);
    millis(retry.first).saturating_mul(1 << doublings).clamp(1, millis(retry.cap).max(1))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const RETRY: RetrySpec = RetrySpec { first: Duration::from_secs(2), cap: Duration::from_secs(900) };

    #[test]
    fn the_bound_doubles_until_the_cap() {
        let bounds: Vec<_> = (1..=12).map(|attempts| bound(attempts, &RETRY) / 1_000).collect();
        assert_eq!(bounds, [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
    }

    proptest! {
        #[test]
        fn a_delay_is_never_sooner_than_asked_nor_later_than_the_cap(attempts in 1u32..200, floor in 0i64..100_000, dice in 0.0f64..1.0) {
            let delay = delay(attempts, floor, dice, &RETRY);
            prop_assert!(delay >= floor);
            prop_assert!(delay <= floor.max(900_000));
            prop_assert!(delay > 0);
        }
    }
}
