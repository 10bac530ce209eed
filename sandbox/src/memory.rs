//! What the practice CRM remembers between calls beside its records: the access tokens it gave out, and what it left open.

use std::collections::BTreeMap;

use rand::{Rng, rngs::StdRng};
use serde_json::Value;

#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Access tokens and when they end.
    tokens: BTreeMap<String, i64>,
    /// What callers may come back to, such as the rest of a query, by number and with the time it was kept.
    kept: BTreeMap<u64, (i64, Value)>,
    last_kept: u64,
    /// The only refresh token that is taken, once one was given.
    refresh: Option<String>,
}

impl Memory {
    /// Makes an access token that ends after so many seconds.
    pub(crate) fn give_token(&mut self, start: &str, secs: u64, now_ms: i64, dice: &mut StdRng) -> String {
        self.tokens.retain(|_, ends_ms| *ends_ms > now_ms);
        let token = format!("{start}{:032x}", dice.random::<u128>());
        self.tokens.insert(token.clone(), now_ms.saturating_add_unsigned(secs.saturating_mul(1000)));
        token
    }

    pub(crate) fn knows_token(&self, token: &str, now_ms: i64) -> bool {
        self.tokens.get(token).is_some_and(|ends_ms| *ends_ms > now_ms)
    }

    /// Keeps a value for callers to come back to. Beyond `max` kept ones the oldest is dropped.
    pub(crate) fn keep(&mut self, value: Value, now_ms: i64, max: usize) -> u64 {
        self.last_kept += 1;
        self.kept.insert(self.last_kept, (now_ms, value));
        while self.kept.len() > max.max(1) {
            self.kept.pop_first();
        }
        self.last_kept
    }

    /// When a value was kept, and the value.
    pub(crate) fn find(&self, number: u64) -> Option<(i64, &Value)> {
        self.kept.get(&number).map(|(made_ms, value)| (*made_ms, value))
    }

    pub(crate) fn forget_tokens(&mut self) {
        self.tokens.clear();
    }

    pub(crate) fn refresh(&self) -> Option<&str> {
        self.refresh.as_deref()
    }

    /// Makes the next refresh token; the one before is none any more.
    pub(crate) fn give_refresh(&mut self, start: &str, dice: &mut StdRng) -> String {
        self.refresh.insert(format!("{start}{:032x}", dice.random::<u128>())).clone()
    }

    pub(crate) fn forget_refresh(&mut self) {
        self.refresh = None;
    }
}
