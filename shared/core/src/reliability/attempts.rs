//! Which call is a first try, and which tries again what had failed. Work as a whole counts its attempts; a call of it that had not failed is a first try all the same.

use std::collections::HashMap;

use crate::failure::Class;

/// How far back calls are followed for the sake of those that come after: four times the longest usual delay of a retry.
pub const FOLLOWED_MS: crate::Millis = 3_600_000;

#[derive(Debug, Clone, Copy)]
struct Failing {
    attempt: u32,
    failures: u32,
}

/// Follows calls in the order of their answers.
#[derive(Debug, Clone, Default)]
pub struct Attempts {
    /// By endpoint and what it was called for.
    failing: HashMap<String, Failing>,
}

impl Attempts {
    /// How often the same call had failed before this one. `call` names endpoint, stream and purpose; `attempt` is the work's, from 1; `class` is `None` for a success.
    pub fn follow(&mut self, call: &str, attempt: u32, class: Option<&str>) -> u32 {
        // A later attempt tries again what failed in an earlier one. Others at the same time have attempts of their own.
        let before = self.failing.get(call).filter(|failing| failing.attempt < attempt).map_or(0, |failing| failing.failures);
        match class {
            None if before > 0 => drop(self.failing.remove(call)),
            Some(word) if Class::from_word(word).is_some_and(Class::passes_by_itself) => {
                self.failing.insert(call.to_owned(), Failing { attempt, failures: before + 1 });
            }
            _ => {}
        }
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(calls: &[(&str, u32, Option<&str>, u32)]) {
        let mut attempts = Attempts::default();
        for (at, (call, attempt, class, expect)) in calls.iter().enumerate() {
            assert_eq!(attempts.follow(call, *attempt, *class), *expect, "call {at}");
        }
    }

    #[test]
    fn a_call_is_a_retry_only_of_what_failed_at_the_same_endpoint() {
        let bad = Some("retry");
        check(&[
            ("search", 1, bad, 0),
            ("search", 2, bad, 1),
            ("search", 3, None, 2),
            ("search", 3, None, 0),
            ("search", 1, None, 0),
        ]);
        // The job came to its second call only on its second attempt.
        check(&[("search", 1, bad, 0), ("search", 2, None, 1), ("read", 2, bad, 0), ("read", 3, None, 1)]);
    }

    #[test]
    fn others_that_succeed_meanwhile_cure_nothing() {
        check(&[("upsert", 1, Some("throttled"), 0), ("upsert", 1, None, 0), ("upsert", 2, None, 1), ("upsert", 2, None, 0)]);
    }

    #[test]
    fn what_is_refused_is_not_tried_again_by_itself() {
        check(&[
            ("upsert", 1, Some("rejected"), 0),
            ("upsert", 2, None, 0),
            ("upsert", 1, Some("a word of tomorrow"), 0),
            ("upsert", 2, None, 0),
        ]);
    }
}
