//! What a call that did not succeed means: a closed set of classes, each of which is what the caller does next.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::record::RemoteId;

/// Decided by the connector's error table; the HTTP status is only its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Too many calls just now: wait, at least as long as was asked.
    Throttled,
    /// The day's calls are spent: wait for the reset.
    DayBudget,
    /// A passing fault: try again with backoff.
    Retry,
    /// The credentials are refused: pause the connection.
    Auth,
    /// This object or property is not permitted: park.
    Scope,
    /// The record changed under our guard: read it first.
    Conflict,
    /// Another record already holds this identity.
    Duplicate,
    /// The CRM refuses the content: park until the row changes.
    Rejected,
    /// The record is not there, or was merged: read it first.
    Gone,
    /// The mapping names something the CRM does not have: park, a person changes the mapping.
    Schema,
    /// The answer is not what the dialect promises (HTML, broken JSON, a repeated position, too large).
    Malformed,
}

impl Class {
    pub const ALL: [Self; 11] = [
        Self::Throttled,
        Self::DayBudget,
        Self::Retry,
        Self::Auth,
        Self::Scope,
        Self::Conflict,
        Self::Duplicate,
        Self::Rejected,
        Self::Gone,
        Self::Schema,
        Self::Malformed,
    ];

    /// The word used in tables, logs, metrics and pages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::DayBudget => "day_budget",
            Self::Retry => "retry",
            Self::Auth => "auth",
            Self::Scope => "scope",
            Self::Conflict => "conflict",
            Self::Duplicate => "duplicate",
            Self::Rejected => "rejected",
            Self::Gone => "gone",
            Self::Schema => "schema",
            Self::Malformed => "malformed",
        }
    }

    /// Tried again, it may go. What is refused for its content does not: it waits for a person or for another content.
    pub fn passes_by_itself(self) -> bool {
        match self {
            Self::Throttled | Self::DayBudget | Self::Retry | Self::Malformed => true,
            Self::Auth | Self::Scope | Self::Conflict | Self::Duplicate | Self::Rejected | Self::Gone | Self::Schema => false,
        }
    }

    /// Asking once more in the same way changes nothing, whatever the credentials.
    pub fn is_final(self) -> bool {
        !self.passes_by_itself() && self != Self::Auth
    }

    /// The class of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.word() == word)
    }
}

/// One failed call, or one failed item of a batch. The text is fit for logs and pages: no secret, no personal data beyond the CRM's own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub class: Class,
    /// What was tried, for which thing, and what came back, in one sentence.
    pub message: String,
    pub status: Option<u16>,
    /// The vendor's own code, for grouping.
    pub code: Option<String>,
    /// Never try again sooner than this.
    pub wait: Option<Duration>,
    /// True when a write may have happened although no usable answer came.
    pub maybe_done: bool,
    /// The record that already holds the identity, when the CRM named it.
    pub existing: Option<RemoteId>,
    /// The property the CRM complained about.
    pub property: Option<String>,
    /// Of a page: the place it was asked from leads no further, and the window has to be read again from its beginning.
    pub anew: bool,
}

impl Failure {
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            status: None,
            code: None,
            wait: None,
            maybe_done: false,
            existing: None,
            property: None,
            anew: false,
        }
    }
}
