//! This machine's clock, for what has nothing to do with the database's.

use std::time::SystemTime;

use tidemark_core::Millis;
use tidemark_core::window::millis;

/// Milliseconds since 1970.
pub(crate) fn now() -> Millis {
    millis(SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default())
}
