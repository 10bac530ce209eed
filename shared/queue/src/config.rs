//! What a caller must say to open a queue and to work on it. No defaults: those live in the configuration file.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::QueueError;

/// Where hints wait.
#[derive(Debug, Clone)]
pub enum QueueConfig {
    /// A SQLite file for one process. It is wiped whenever it is opened, and held by a lock until the last [`Queue`](crate::Queue)
    /// over it is dropped.
    Embedded { file: PathBuf },
    /// A Redis that many processes share. `prefix` names the queue and begins each of its keys, so that deployments and tests
    /// can share one server: letters, digits, `-`, `_`, `.` and `:`, at most 64 of them.
    Redis { url: SecretString, prefix: String },
}

/// How one process works on a queue.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Readable part of the worker's name. A process id, a random part and a count of restarts are added to it.
    pub name: String,
    /// Handlers running at once, at least 1. No hint is taken from the queue before a slot is free.
    pub concurrency: usize,
    /// Time between looks at an empty queue, above zero. 50 ms costs about 1 % of a core on Redis and 3 % on SQLite.
    pub poll_every: Duration,
    /// Time that running handlers get to finish after shutdown was asked. Above 30 s another process may be given
    /// the same hints meanwhile, for a draining worker sends no heartbeat.
    pub grace: Duration,
}

impl WorkerSettings {
    pub(crate) fn validate(&self) -> Result<(), QueueError> {
        if self.concurrency == 0 {
            return Err(QueueError::Settings { reason: "a worker needs a concurrency of at least 1".into() });
        }
        if self.poll_every.is_zero() {
            return Err(QueueError::Settings { reason: "a worker needs a poll interval above zero".into() });
        }
        Ok(())
    }
}

/// Accepts what stays legible in a key and means nothing special to a person's `KEYS` or `SCAN`.
pub(crate) fn validate_prefix(prefix: &str) -> Result<(), QueueError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if prefix.is_empty() || prefix.len() > 64 || !prefix.chars().all(plain) {
        let reason = format!("the queue prefix `{prefix}` must be 1 to 64 letters, digits, `-`, `_`, `.` or `:`");
        return Err(QueueError::Settings { reason });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_cannot_be_a_pattern() {
        for good in ["tidemark", "tidemark-eu.prod_2", "shop:tidemark"] {
            assert!(validate_prefix(good).is_ok(), "{good}");
        }
        for bad in ["", "a*", "a?", "{a}", "a b", &"x".repeat(65)] {
            assert!(validate_prefix(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_redis_password_does_not_show_in_debug_output() {
        let config = QueueConfig::Redis { url: "redis://:hunter2@localhost/".to_owned().into(), prefix: "p".into() };
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
