//! What happened, for people who watch: the demo prints these, tests wait for them. Nothing depends on anybody listening.

use tidemark_core::window::Reader;

/// One thing worth a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A window was read to its end.
    WindowCompleted { stream: String, reader: Reader, records: i64, rows_changed: i64, pages: i64 },
    /// A page of a window that goes on.
    PageApplied { stream: String, reader: Reader, records: i64 },
    /// Records were created, updated or archived in the CRM.
    Pushed { stream: String, verb: &'static str, records: usize },
    /// A call failed and what follows.
    Failed { stream: String, what: &'static str, cause: String },
    /// A connection whose credentials were refused stopped calling.
    Paused { connection: String, cause: String },
}
