//! Runs a scheduler: ticks, dispatch, housekeeping, heartbeat; and watches itself. A loop that hangs is reported and ends the process, so that its container starts
//! another.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tidemark_core::recording::KEEP_MS;
use tidemark_core::spec::StreamSpec;
use tidemark_core::window::millis;
use tidemark_queue::Queue;
use tidemark_store::capture::Captured;
use tidemark_store::{Store, arrivals, callouts, lineage, recordings, reliability, sweeps, windows, workers};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::now;
use crate::{dispatch, pulse, tick, watch};

/// How a scheduler works, from the configuration.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// Unique per process incarnation.
    pub name: String,
    pub tick_every: Duration,
    pub dispatch_every: Duration,
    pub jitter: f64,
    pub queue_depth_max: u64,
    pub keep_callouts: Duration,
    pub keep_call_hours: Duration,
    pub keep_windows: Duration,
    pub keep_lineage: Duration,
    /// A silence longer than this is taken for a restore.
    pub restore_guard: Duration,
    /// A loop that takes longer than this for one turn hangs.
    pub hang_after: Duration,
}

/// The watchdog saw a loop that no longer turns.
#[derive(Debug, thiserror::Error)]
#[error("the scheduler's {which} loop has not turned for {} s; the process ends so that it can be started anew", .silent_ms / 1_000)]
pub struct Hung {
    which: &'static str,
    silent_ms: i64,
}

/// How often the watchdog looks, at most.
const WATCH_EVERY: Duration = Duration::from_secs(5);

/// Rounds of pruning in one tidying up: with the next in five minutes, far more than any CRM's limits let happen meanwhile.
const LINEAGE_ROUNDS_MAX: u32 = 40;

/// When each loop last turned, milliseconds of this process's clock; shared with the health page.
#[derive(Debug, Clone, Default)]
pub struct Turns {
    pub tick: Arc<AtomicI64>,
    pub dispatch: Arc<AtomicI64>,
}

/// Schedules until `shutdown`.
pub async fn run(
    store: Store,
    queue: Queue,
    specs: Arc<Vec<StreamSpec>>,
    tables: Vec<Captured>,
    tuning: Tuning,
    turns: Turns,
    shutdown: CancellationToken,
) -> Result<(), Hung> {
    for turn in [&turns.tick, &turns.dispatch] {
        turn.store(now(), Ordering::Relaxed);
    }
    let loops = [
        tokio::spawn(tick_loop(store.clone(), specs, tables, tuning.clone(), Arc::clone(&turns.tick), shutdown.clone())),
        tokio::spawn(dispatch_loop(store.clone(), queue.clone(), tuning.clone(), Arc::clone(&turns.dispatch), shutdown.clone())),
        tokio::spawn(housekeeping(store.clone(), queue, tuning.clone(), shutdown.clone())),
    ];
    info!("scheduler {} is scheduling", tuning.name);
    let watched = watch_loops(&turns, tuning.hang_after, &shutdown).await;
    if watched.is_ok() {
        for task in loops {
            if let Err(error) = task.await {
                warn!("a task of the scheduler ended badly: {error}");
            }
        }
        if let Err(error) = workers::leave(&store, &tuning.name).await {
            warn!("could not sign off: {}", error.log_words());
        }
    }
    info!("scheduler {} has stopped", tuning.name);
    watched
}

async fn watch_loops(turns: &Turns, hang_after: Duration, shutdown: &CancellationToken) -> Result<(), Hung> {
    while pause(shutdown, WATCH_EVERY.min(hang_after / 4)).await {
        for (which, turn) in [("tick", &turns.tick), ("dispatch", &turns.dispatch)] {
            let silent_ms = now() - turn.load(Ordering::Relaxed);
            if silent_ms > millis(hang_after) {
                error!("the {which} loop hangs");
                return Err(Hung { which, silent_ms });
            }
        }
    }
    Ok(())
}

async fn tick_loop(
    store: Store,
    specs: Arc<Vec<StreamSpec>>,
    tables: Vec<Captured>,
    tuning: Tuning,
    turn: Arc<AtomicI64>,
    shutdown: CancellationToken,
) {
    let (mut failing, mut blind, mut mute) = (false, false, false);
    loop {
        let result = tick::once(&store, &specs, tuning.jitter).await;
        let problem = result.err().filter(|error| !error.is_contention()).map(|error| error.log_words());
        failing = say(failing, "tick", problem.as_deref());
        let result = watch::once(&store, &tables).await;
        let problem = result.err().filter(|error| !error.is_contention()).map(|error| error.words());
        blind = say(blind, "look after capture", problem.as_deref());
        let result = watch::brakes(&store).await;
        let problem = result.err().filter(|error| !error.is_contention()).map(|error| error.log_words());
        mute = say(mute, "tell of brakes", problem.as_deref());
        turn.store(now(), Ordering::Relaxed);
        if !pause(&shutdown, tuning.tick_every).await {
            return;
        }
    }
}

async fn dispatch_loop(store: Store, queue: Queue, tuning: Tuning, turn: Arc<AtomicI64>, shutdown: CancellationToken) {
    let mut failing = false;
    loop {
        let result = dispatch::once(&store, &queue, tuning.queue_depth_max).await;
        let problem = result.err().map(|error| error.log_words());
        failing = say(failing, "dispatch", problem.as_deref());
        turn.store(now(), Ordering::Relaxed);
        if !pause(&shutdown, tuning.dispatch_every).await {
            return;
        }
    }
}

/// Says once that a loop fails and once that it works again.
fn say(was_failing: bool, which: &str, problem: Option<&str>) -> bool {
    match (was_failing, problem) {
        (false, Some(words)) => error!("the scheduler cannot {which}: {words}"),
        (true, None) => info!("the scheduler can {which} again"),
        _ => {}
    }
    problem.is_some()
}

async fn housekeeping(store: Store, queue: Queue, tuning: Tuning, shutdown: CancellationToken) {
    let mut round = 0_u32;
    loop {
        if let Err(error) = workers::beat(&store, &tuning.name, "scheduler").await {
            warn!("could not write the heartbeat: {}", error.log_words());
        }
        if let Err(problem) = pulse::once(&store, &queue, millis(tuning.restore_guard)).await {
            warn!("could not have the database's pulse witnessed: {}", problem.log_words());
        }
        if round.is_multiple_of(60)
            && let Err(problem) = tidy(&store, &queue, &tuning).await
        {
            warn!("could not tidy up: {}", problem.log_words());
        }
        round = round.wrapping_add(1);
        if !pause(&shutdown, Duration::from_secs(5)).await {
            return;
        }
    }
}

async fn tidy(store: &Store, queue: &Queue, tuning: &Tuning) -> Result<(), dispatch::DispatchError> {
    let now = store.now().await?;
    // Before any call is forgotten, and how the CRM answered with it.
    reliability::count_hours(store).await?;
    reliability::prune(store, now - millis(tuning.keep_call_hours)).await?;
    callouts::prune(store, now - millis(tuning.keep_callouts)).await?;
    while recordings::prune(store, now - millis(tuning.keep_callouts).min(KEEP_MS)).await? > 0 {}
    windows::prune(store, now - millis(tuning.keep_windows)).await?;
    sweeps::prune(store, now - millis(tuning.keep_windows)).await?;
    arrivals::prune(store, now - millis(tuning.keep_windows)).await?;
    // A busy day leaves more than one round takes; each is a short transaction of its own.
    for _ in 0..LINEAGE_ROUNDS_MAX {
        if lineage::prune(store, now - millis(tuning.keep_lineage)).await? == 0 {
            break;
        }
    }
    queue.tidy().await?;
    Ok(())
}

/// Waits; false when the token was cancelled meanwhile.
async fn pause(token: &CancellationToken, time: Duration) -> bool {
    tokio::select! {
        () = token.cancelled() => false,
        () = tokio::time::sleep(time) => true,
    }
}
