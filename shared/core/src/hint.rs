//! What the queue carries: the identity of work that is due, never its content.

use serde::{Deserialize, Serialize};

/// The kind of work a hint points at. The truth about that work is in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HintKind {
    /// Read what was modified since the cursor of a stream.
    Poll,
    /// Pay the due push debts of a stream.
    Push,
    /// Pay the due read debts of a stream.
    Read,
    /// Go on with the sweep of a stream.
    Sweep,
}

/// "There may be work of this kind in this stream." Disposable: losing one costs at most a dispatch interval, doubling one costs a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hint {
    pub kind: HintKind,
    /// `tidemark_stream.id`.
    pub stream: i64,
}
