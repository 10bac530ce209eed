//! Decides how long the calls of a connection may be recorded, and what is kept of one. Records nothing and redacts nothing.

use std::fmt;
use std::time::Duration;

use crate::window::millis;
use crate::{DAY_MS, Millis};

/// Longest recording. Who needs more says so again: nobody forgets one that ends by itself.
pub const FOR_MAX: Duration = Duration::from_secs(3_600);
/// Calls kept of one recording, after which it ends: a busy connection makes 19 a second, and each may take 32 KiB of the order database.
pub const CALLS_MAX: i64 = 2_000;
/// Longest that a recording is kept, whatever `retention.callouts` says.
pub const KEEP_MS: Millis = DAY_MS;
/// Most that is kept of one body.
pub const BODY_BYTES_MAX: usize = 16 << 10;

/// What is kept of one call: texts for a person, without secrets and without anybody's data.
#[derive(Clone, PartialEq, Eq)]
pub struct Tape {
    pub request: String,
    /// `None` when nothing was heard.
    pub response: Option<String>,
}

/// Nothing of it gets into a log by way of what holds it.
impl fmt::Debug for Tape {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Tape({} and {} bytes)", self.request.len(), self.response.as_ref().map_or(0, String::len))
    }
}

/// A recording that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("calls are recorded for an hour at most (60m): start it again when it has ended")]
    TooLong,
    #[error("a recording of no time records nothing: say how long, such as 15m")]
    NoTime,
}

/// How long a recording lasts that somebody asks for.
pub fn length(asked: Duration) -> Result<Millis, Refusal> {
    match asked {
        asked if asked > FOR_MAX => Err(Refusal::TooLong),
        asked if millis(asked) == 0 => Err(Refusal::NoTime),
        asked => Ok(millis(asked)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_lasts_an_hour_at_most_and_some_time() {
        assert_eq!(length(Duration::from_secs(900)), Ok(900_000));
        assert_eq!(length(FOR_MAX), Ok(3_600_000));
        assert_eq!(length(FOR_MAX + Duration::from_millis(1)), Err(Refusal::TooLong));
        assert_eq!(length(Duration::ZERO), Err(Refusal::NoTime));
    }

    #[test]
    fn what_was_recorded_is_not_in_what_debugging_shows() {
        let tape = Tape { request: "POST /x".into(), response: Some("200".into()) };
        assert_eq!(format!("{tape:?}"), "Tape(7 and 3 bytes)");
    }
}
