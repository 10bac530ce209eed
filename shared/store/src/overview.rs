//! What the dashboard, `status` and the metrics show: read-only questions over everything, each bounded.
//!
//! Nothing here decides whether a number is good or bad, and nothing here writes.

mod brakes;
mod calls;
mod conflicts;
mod debts;
mod history;
mod rewinds;
mod streams;
mod sweeps;
mod totals;

pub use brakes::BrakeView;
pub use calls::{
    CALLOUT_PURPOSES, CalloutCounter, CalloutFilter, CalloutLine, CalloutSummary, callout_counters, callout_mark,
    callout_summary, callouts, find_callout, quotas,
};
pub use conflicts::{ConflictLine, conflicts};
pub use debts::{DEBT_STATES, DebtCount, DebtFilter, DebtGroup, DebtRow, debt_counts, debt_groups, debts, find_debt};
pub use history::{ActLine, WORKER_LIFE_MS, WindowRow, WorkerRow, acts, windows, workers};
pub use rewinds::RewindView;
pub use streams::{ReadingWindow, StreamOverview, streams};
pub use sweeps::{DriftRow, SweepView, drift};
pub use totals::{Totals, rows_estimate, totals};
