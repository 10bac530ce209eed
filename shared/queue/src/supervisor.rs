//! Keeps a worker alive until shutdown is asked, and then drains it. Never spins, and never gives up on an outage.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use apalis::prelude::WorkerContext;
use futures::FutureExt;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::WorkerSettings;
use crate::handlers::Handlers;
use crate::liveness::Pulse;
use crate::queue::Backend;

/// Heartbeats of a worker. With [`MISSED_HEARTBEATS`] a worker counts as dead after 30 s, and its hints are given out again.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(5);
pub(crate) const MISSED_HEARTBEATS: usize = 6;

/// Hints fetched at once. More than one would wait inside the worker, and apalis 1.0 sends no heartbeat and confirms
/// no finished hint while any does: with slow handlers such a worker is declared dead while it works.
pub(crate) const FETCH: usize = 1;

/// Time between the end of a worker and the start of its successor, and between looks at a queue that does not answer.
const RESTART_PAUSE: Duration = Duration::from_millis(500);

const BURIAL_PATIENCE: Duration = Duration::from_millis(500);

/// What one incarnation of a worker needs.
pub(crate) struct Life {
    /// Never used twice: both backends refuse, or lose hints of, a name that comes back too soon.
    pub(crate) name: String,
    pub(crate) concurrency: usize,
    pub(crate) poll_every: Duration,
    pub(crate) handlers: Handlers,
    pub(crate) pulse: Pulse,
    pub(crate) handle: StopHandle,
}

/// How a running worker is asked to stop. Empty until it runs.
#[derive(Clone, Default)]
pub(crate) struct StopHandle(Arc<OnceLock<WorkerContext>>);

impl StopHandle {
    pub(crate) fn bind(&self, context: WorkerContext) {
        let _ = self.0.set(context);
    }

    /// False when there is nothing to stop yet.
    fn stop(&self) -> bool {
        self.0.get().is_some_and(|context| context.stop().is_ok())
    }
}

/// Builds and runs the worker of a [`Life`] over any apalis storage; a macro, for the bounds of a generic function
/// would be several times its size.
macro_rules! run_worker {
    ($storage:expr, $life:expr) => {{
        let Life { name, concurrency, poll_every, handlers, pulse, handle } = $life;
        apalis::prelude::WorkerBuilder::new(name)
            .backend(apalis::prelude::PollWith::new($storage, crate::ticker::Ticker::new(poll_every)))
            .concurrency(concurrency)
            .on_event(move |_, event| {
                if let apalis::prelude::Event::HeartBeat = event {
                    pulse.beat();
                }
            })
            .build(move |payload: serde_json::Value| {
                let handlers = handlers.clone();
                async move { handlers.run(payload).await }
            })
            .run_with_ctx(move |context| {
                handle.bind(context);
                std::future::ready(Ok(()))
            })
    }};
}
pub(crate) use run_worker;

pub(crate) async fn supervise(
    backend: &Backend,
    workers: &WorkerSettings,
    shutdown: &CancellationToken,
    handlers: &Handlers,
    pulse: &Pulse,
) {
    let _abandon = handlers.abandon_on_drop();
    let process = format!("{}-{}-{}", workers.name, std::process::id(), Uuid::new_v4().simple());
    let mut outage = false;
    for incarnation in 0u64.. {
        pulse.turn();
        let usable = tokio::select! {
            () = shutdown.cancelled() => break,
            usable = backend.mend() => usable,
        };
        match usable {
            Ok(()) => {
                if std::mem::take(&mut outage) {
                    info!("the queue answers again");
                }
                let name = format!("{process}-{incarnation}");
                if live_once(backend, workers, shutdown, handlers, pulse, name).await == End::Asked {
                    return;
                }
                pulse.restarted();
            }
            Err(error) if !outage => {
                outage = true;
                warn!(error = &error as &dyn std::error::Error, "no hints arrive until the queue answers again");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = sleep(RESTART_PAUSE) => {}
        }
    }
    handlers.drain(Instant::now() + workers.grace).await;
}

#[derive(PartialEq, Eq)]
enum End {
    Asked,
    Failed,
}

async fn live_once(
    backend: &Backend,
    workers: &WorkerSettings,
    shutdown: &CancellationToken,
    handlers: &Handlers,
    pulse: &Pulse,
    name: String,
) -> End {
    let handle = StopHandle::default();
    let life = Life {
        name: name.clone(),
        concurrency: workers.concurrency,
        poll_every: workers.poll_every,
        handlers: handlers.clone(),
        pulse: pulse.clone(),
        handle: handle.clone(),
    };
    let mut worker = AssertUnwindSafe(backend.live(life)).catch_unwind();
    tokio::select! {
        ended = &mut worker => {
            match ended {
                Ok(Ok(())) => warn!(worker = name, "a worker ended without being asked; starting another"),
                Ok(Err(error)) => warn!(worker = name, error = &error as &dyn std::error::Error, "a worker failed; starting another"),
                Err(_) => warn!(worker = name, "the queue library panicked; starting another worker"),
            }
            drop(worker);
            bury(backend, &name).await;
            End::Failed
        }
        () = shutdown.cancelled() => {
            let deadline = Instant::now() + workers.grace;
            // The worker returns once its handlers have, and has then confirmed their hints.
            if handle.stop() && timeout_at(deadline, &mut worker).await.is_err() {
                warn!(worker = name, "grace is over before all hints were confirmed; others will be given them again");
            }
            drop(worker);
            handlers.drain(deadline).await;
            bury(backend, &name).await;
            End::Asked
        }
    }
}

/// Not worth waiting for: a worker that is not buried counts as dead 30 s later.
async fn bury(backend: &Backend, name: &str) {
    let _ = timeout(BURIAL_PATIENCE, backend.bury(name)).await;
}
