//! Runs the caller's handler for each hint that arrives, within the concurrency limit. Never reports an outcome to the queue.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;
use tidemark_core::hint::Hint;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

/// How long an abandoned handler may take to reach its next await before we stop waiting for it.
const LAST_AWAIT: Duration = Duration::from_secs(1);

type Handler = dyn Fn(Hint) -> BoxFuture<'static, ()> + Send + Sync;

/// The handlers of one `Queue::work` call, shared by all incarnations of its worker.
///
/// Each handler is a tokio task of its own. apalis drops the futures of a worker as soon as its backend reports an
/// error, a Redis hiccup for example, and we do not want a push to a CRM torn off half way for that. The slots are
/// shared too, so that a restarted worker does not run another full set beside the tasks its predecessor left.
#[derive(Clone)]
pub(crate) struct Handlers {
    handler: Arc<Handler>,
    slots: Arc<Semaphore>,
    running: TaskTracker,
    abandon: CancellationToken,
}

impl Handlers {
    pub(crate) fn new<H, Fut>(handler: H, concurrency: usize) -> Handlers
    where
        H: Fn(Hint) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Handlers {
            handler: Arc::new(move |hint| handler(hint).boxed()),
            slots: Arc::new(Semaphore::new(concurrency)),
            running: TaskTracker::new(),
            abandon: CancellationToken::new(),
        }
    }

    /// Runs the handler for one payload and returns when it has finished, whatever came of it.
    ///
    /// It returns nothing because no error may ever reach apalis 1.0: a plain error is retried without delay or limit
    /// depending on the backend, and a delayed one hangs or spins for ever. The payload is taken as loose JSON so that
    /// a hint written by a newer version is dropped with a warning here, rather than failing inside the worker.
    pub(crate) async fn run(&self, payload: Value) {
        let hint: Hint = match serde_json::from_value(payload) {
            Ok(hint) => hint,
            Err(error) => {
                warn!(%error, "dropped a hint that this version cannot read");
                return;
            }
        };
        let Ok(slot) = self.slots.clone().acquire_owned().await else { return };
        let (handler, abandon) = (self.handler.clone(), self.abandon.clone());
        let task = self.running.spawn(async move {
            let _slot = slot;
            let work = AssertUnwindSafe(async { handler(hint).await }).catch_unwind();
            tokio::select! {
                () = abandon.cancelled() => {}
                ended = work => if let Err(panic) = ended {
                    let reason = panic_text(panic.as_ref());
                    error!(hint.kind = ?hint.kind, hint.stream, reason, "a handler panicked; its lease will run out and the work be tried again");
                }
            }
        });
        // The task cannot panic and is never aborted, so there is no answer to look at.
        let _ = task.await;
    }

    /// Waits for running handlers until `deadline`, then drops those that are left at their next await.
    pub(crate) async fn drain(&self, deadline: Instant) {
        self.running.close();
        if timeout_at(deadline, self.running.wait()).await.is_ok() {
            return;
        }
        warn!(handlers.running = self.running.len(), "grace is over; handlers are dropped");
        self.abandon.cancel();
        let _ = timeout(LAST_AWAIT, self.running.wait()).await;
    }

    /// Drops all handlers when the guard is dropped: a caller that drops `Queue::work` leaves nothing behind.
    pub(crate) fn abandon_on_drop(&self) -> tokio_util::sync::DropGuard {
        self.abandon.clone().drop_guard()
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let fixed = panic.downcast_ref::<&'static str>().copied();
    fixed.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
