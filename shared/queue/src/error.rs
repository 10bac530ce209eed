//! What a caller can do about a queue that does not work. Never carries a password, never exposes the library below.

use std::path::PathBuf;

type Cause = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// Correct the configuration; trying again will not help.
    #[error("the queue settings cannot be used: {reason}")]
    Settings { reason: String },
    /// Stop the other process, or leave the queue to it.
    #[error("the queue file {} is held by another process; stop that one, or give each its own file", file.display())]
    Held { file: PathBuf },
    /// Wait: the server may come back. Nothing is lost, the database still knows all work that is due.
    #[error("no usable Redis at {address}; start it, correct the queue's URL, or choose the embedded queue")]
    Unreachable {
        address: String,
        #[source]
        source: Cause,
    },
    /// Log it and go on: the next interval tries again.
    #[error("the queue could not {doing}")]
    Failed {
        doing: &'static str,
        #[source]
        source: Cause,
    },
}

impl QueueError {
    pub(crate) fn failed<E: Into<Cause>>(doing: &'static str) -> impl FnOnce(E) -> QueueError {
        move |source| QueueError::Failed { doing, source: source.into() }
    }
}
