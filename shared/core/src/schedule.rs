//! Decides when a stream is due next. Never reads a clock, never rolls its own dice.

use std::time::Duration;

use crate::Millis;
use crate::window::millis;

/// When a stream that was due at `due` and is ticked at `now` is due again.
///
/// The rhythm is kept while it is on time. Missed ticks are made up once, by the tick that is happening: the next one lies a whole interval ahead of `now`. Jitter
/// takes up to `jitter` (a share of the interval) off, so that streams do not march in step; `dice` is uniform in `[0, 1)`.
pub fn next_due(due: Millis, now: Millis, every: Duration, jitter: f64, dice: f64) -> Millis {
    let every = millis(every).max(1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "milliseconds of at most an hour")]
    let early = (every as f64 * jitter.clamp(0.0, 0.5) * dice.clamp(0.0, 1.0)) as Millis;
    let on_time = due + every;
    let next = if on_time > now { on_time } else { now + every };
    (next - early).max(now + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVERY: Duration = Duration::from_secs(30);

    #[test]
    fn a_missed_tick_is_made_up_once_and_never_doubled() {
        assert_eq!(next_due(0, 1_000_000, EVERY, 0.0, 0.0), 1_030_000);
    }

    #[test]
    fn the_rhythm_is_kept_while_on_time() {
        assert_eq!(next_due(60_000, 60_200, EVERY, 0.0, 0.0), 90_000);
    }

    proptest! {
        #[test]
        fn the_next_tick_is_always_ahead_and_within_one_interval(due in 0i64..1_000_000, late in 0i64..1_000_000, jitter in 0.0f64..0.5, dice in 0.0f64..1.0) {
            let now = due + late;
            let next = next_due(due, now, EVERY, jitter, dice);
            prop_assert!(next > now && next <= now + 30_000);
        }
    }
}
