//! What the CRM counts about its callers, and the list of their last calls.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use crate::{call::Call, stamp};

const CALLS_KEPT: usize = 1000;

/// Totals since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    pub calls: u64,
    /// Records created, updated or archived through the API.
    pub writes: u64,
    pub search_calls: u64,
    /// The most calls that were being answered at one moment.
    pub at_once_max: u64,
    /// 429 answers that were deserved: a rolling window or the daily budget was really exceeded.
    pub limit_exceeded: u64,
    /// Faults the weather brought.
    pub faults: u64,
    /// Answers that were forced over the control API.
    pub forced: u64,
    pub unauthenticated: u64,
    /// Writes whose connection was dropped and which have yet to land.
    pub landings_pending: u64,
    /// Calls by method and path, ids left out.
    pub by_endpoint: BTreeMap<String, u64>,
}

/// One call as the list shows it.
#[derive(Debug, Clone, Serialize)]
pub struct CallEntry {
    pub at: String,
    pub method: String,
    pub path: String,
    /// 0 when the connection was dropped without an answer.
    pub status: u16,
    pub fault: Option<&'static str>,
}

/// The last calls, newest first.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    entries: VecDeque<CallEntry>,
}

impl Journal {
    pub(crate) fn note(&mut self, call: &Call, now_ms: i64, status: u16, fault: Option<&'static str>) {
        self.entries.truncate(CALLS_KEPT - 1);
        self.entries.push_front(CallEntry {
            at: stamp::iso(now_ms),
            method: call.method.clone(),
            path: call.path.clone(),
            status,
            fault,
        });
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &CallEntry> {
        self.entries.iter()
    }
}
