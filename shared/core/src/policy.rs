//! How a stream is read, swept, braked and tried again, and what a stale save comes to: the part of a mapping that is tuned. Decides nothing itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What becomes of a row value that was put back right after a page had replaced it: an application saved an old object whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StaleSave {
    /// The CRM's value is applied again.
    Ours,
    /// It is held back until the guard is over, and counts as an edit then.
    Theirs,
}

/// When a change of a row is taken for a stale save.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaleSpec {
    /// How long after a page replaced a value its return is suspect; zero: never.
    pub guard: Duration,
    pub policy: StaleSave,
}

/// How often and how far a stream is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollSpec {
    /// Time between two polls.
    pub every: Duration,
    /// How far the fast reader stays behind the CRM's clock.
    pub lag: Duration,
    /// Time between two windows of the settled reader.
    pub settled_every: Duration,
    /// How far the settled reader stays behind: at least the CRM's longest commit lag.
    pub settled_lag: Duration,
    /// What each window reads again of the one before.
    pub overlap: Duration,
    /// Records asked for per page; a connector lowers it to its vendor's cap.
    pub page_rows_max: u16,
}

/// How often everything is read, and what it may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepSpec {
    /// Time between the beginnings of two sweeps; `None` when there are none.
    pub every: Option<Duration>,
    /// Of the connection's calls, per second and per day, how many in a thousand a sweep may make.
    pub share_permille: u16,
}

/// What one brake lets through within a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// So many in any case.
    pub count: u32,
    /// And so many in a thousand of the stream's linked pairs, where that is more.
    pub share_permille: u16,
}

/// What passes without asking a person, by act; the same for rows and for records, each counted alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrakesSpec {
    pub create: Limit,
    pub update: Limit,
    pub blank: Limit,
    pub delete: Limit,
}

impl BrakesSpec {
    /// Lets everything through.
    pub const NONE: Self = {
        let none = Limit { count: u32::MAX, share_permille: 1_000 };
        Self { create: none, update: none, blank: none, delete: none }
    };
}

/// When failed work runs again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetrySpec {
    /// Upper bound of the first delay; doubles with each attempt.
    pub first: Duration,
    /// Upper bound of every delay.
    pub cap: Duration,
}
