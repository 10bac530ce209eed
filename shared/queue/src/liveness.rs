//! Remembers when the worker loop last gave a sign of life. Decides nothing: the health endpoints do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Signs of life of the workers this process runs on one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Liveness {
    /// Age of the last heartbeat that the queue accepted, one every 5 s. `None` before the first. It grows while Redis is away.
    pub beat_age: Option<Duration>,
    /// Age of the last turn of the loop that keeps workers alive: a heartbeat, or an attempt to get back to the queue.
    /// `None` before the first. It grows only when the process itself is stuck, or is draining.
    pub turn_age: Option<Duration>,
    /// How often a worker ended without being asked and was started again.
    pub restarts: u64,
}

/// The writing end of [`Liveness`], cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Pulse {
    since: Instant,
    marks: Arc<Marks>,
}

/// Milliseconds after `Pulse::since`, plus one, so that zero means never.
#[derive(Debug, Default)]
struct Marks {
    beat: AtomicU64,
    turn: AtomicU64,
    restarts: AtomicU64,
}

impl Pulse {
    pub(crate) fn new() -> Pulse {
        Pulse { since: Instant::now(), marks: Arc::default() }
    }

    pub(crate) fn beat(&self) {
        self.marks.beat.store(self.now(), Ordering::Relaxed);
        self.turn();
    }

    pub(crate) fn turn(&self) {
        self.marks.turn.store(self.now(), Ordering::Relaxed);
    }

    pub(crate) fn restarted(&self) {
        self.marks.restarts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Liveness {
        Liveness {
            beat_age: self.age(&self.marks.beat),
            turn_age: self.age(&self.marks.turn),
            restarts: self.marks.restarts.load(Ordering::Relaxed),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    fn age(&self, mark: &AtomicU64) -> Option<Duration> {
        let mark = mark.load(Ordering::Relaxed);
        (mark > 0).then(|| Duration::from_millis(self.now().saturating_sub(mark)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_is_also_a_turn_and_nothing_is_known_before_the_first() {
        let pulse = Pulse::new();
        assert_eq!(pulse.read(), Liveness { beat_age: None, turn_age: None, restarts: 0 });
        pulse.turn();
        assert!(pulse.read().turn_age.is_some() && pulse.read().beat_age.is_none());
        pulse.beat();
        assert!(pulse.read().beat_age.is_some());
    }
}
