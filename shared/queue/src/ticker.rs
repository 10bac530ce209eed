//! Decides when an idle worker looks at the queue again. Never fetches by itself.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use apalis::prelude::{PollSnapshot, PollStrategy};
use tokio::time::{Instant, Sleep, sleep};

/// A poll interval that cannot lose its waker.
///
/// The interval strategy of apalis 1.0 re-arms its timer without polling it. When the fetch then finishes within the
/// same poll, nobody is left to wake the worker, and it sleeps until its next heartbeat. Measured: 9 of 18 runs
/// stalled for up to 3.5 s with theirs, none of 18 with this one.
#[derive(Debug)]
pub(crate) struct Ticker {
    every: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Ticker {
    pub(crate) fn new(every: Duration) -> Ticker {
        Ticker { every, sleep: Box::pin(sleep(every)) }
    }
}

impl PollStrategy for Ticker {
    fn poll_drive(&mut self, cx: &mut Context<'_>, _: &PollSnapshot) -> Poll<Option<()>> {
        let mut fired = false;
        // Until pending, for only a pending timer holds our waker.
        while self.sleep.as_mut().poll(cx).is_ready() {
            fired = true;
            let next = Instant::now() + self.every;
            self.sleep.as_mut().reset(next);
        }
        if fired { Poll::Ready(Some(())) } else { Poll::Pending }
    }
}
