//! What callers have spent: units over a rolling span or since a point in time, by the name of the quota. Decides nothing.

use std::collections::{BTreeMap, VecDeque};

/// Spendings that are kept for longer than this are kept to the second, so that a day's worth stays small.
const FINE_MS: i64 = 60_000;

#[derive(Debug, Default)]
pub(crate) struct Meters {
    spent: BTreeMap<&'static str, VecDeque<(i64, u64)>>,
}

impl Meters {
    /// Books some units. Those older than `keep_ms` are forgotten.
    pub(crate) fn spend(&mut self, quota: &'static str, units: u64, now_ms: i64, keep_ms: i64) {
        let grain_ms = if keep_ms > FINE_MS { 1000 } else { 1 };
        let entries = self.spent.entry(quota).or_default();
        while entries.front().is_some_and(|(at_ms, _)| *at_ms <= now_ms - keep_ms) {
            entries.pop_front();
        }
        match entries.back_mut() {
            Some((at_ms, sum)) if at_ms.div_euclid(grain_ms) == now_ms.div_euclid(grain_ms) => *sum += units,
            _ => entries.push_back((now_ms, units)),
        }
    }

    /// Units spent after `since_ms`.
    pub(crate) fn spent(&self, quota: &str, since_ms: i64) -> u64 {
        self.spent
            .get(quota)
            .map_or(0, |entries| entries.iter().rev().take_while(|(at_ms, _)| *at_ms > since_ms).map(|(_, units)| units).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_rolls_rather_than_resets() {
        let mut meters = Meters::default();
        for at_ms in [9_000, 9_999] {
            meters.spend("calls", 1, at_ms, 10_000);
        }
        let check = |now_ms: i64, expect: u64| assert_eq!(meters.spent("calls", now_ms - 10_000), expect, "{now_ms}");
        check(10_001, 2);
        check(18_999, 2);
        check(19_000, 1);
        check(19_999, 0);
    }

    #[test]
    fn a_days_spendings_stay_small_and_apart_at_midnight() {
        let mut meters = Meters::default();
        for at_ms in 86_399_000..86_400_500 {
            meters.spend("day", 2, at_ms, 86_400_000);
        }
        assert_eq!(meters.spent["day"].len(), 2);
        assert_eq!(meters.spent("day", 86_400_000 - 1), 1000);
        assert_eq!(meters.spent("day", 0), 3000);
        assert_eq!(meters.spent("other", 0), 0);
    }
}
