//! Runs a worker: jobs from the queue, the relay, the call record, the heartbeat; and stops them in that order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidemark_core::Millis;
use tidemark_queue::{Queue, QueueError, WorkerSettings};
use tidemark_store::callouts::CalloutRow;
use tidemark_store::{callouts, connections, environment, leases, streams, workers};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};

use crate::context::Context;
use crate::outcome::report;
use crate::{described, handle, relay, schema, trial};

/// The worker could not run at all.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error("the queue does not take this worker")]
    Queue(#[from] QueueError),
}

/// What is left of the grace when calls are cut off: time to write down that they were not heard, and to give leases back.
const CUT_BEFORE_END: Duration = Duration::from_secs(2);

/// Between two looks at how the CRMs describe themselves and whether refused credentials are taken again; how often they are asked then is decided where they are asked.
const LOOK_AGAIN_EVERY: Duration = Duration::from_secs(60);

/// Works until `shutdown`, then drains for at most `grace`: jobs in flight finish, or leave the CRM unheard and give their leases back.
pub async fn run(
    ctx: Context,
    callouts: UnboundedReceiver<CalloutRow>,
    queue: Queue,
    concurrency: usize,
    grace: Duration,
) -> Result<(), WorkerError> {
    let shutdown = ctx.shutdown.clone();
    let ended = CancellationToken::new();
    let beat = tokio::spawn(heartbeat(ctx.clone(), ended.clone()));
    let relaying = tokio::spawn(relay_loop(ctx.clone(), shutdown.clone()));
    let looking = tokio::spawn(look_again_loop(ctx.clone(), shutdown.clone()));
    let recording = tokio::spawn(record_loop(ctx.clone(), callouts, ended.clone()));
    let cutting = tokio::spawn(cut_in_time(ctx.clone(), grace));
    let shared = Arc::new(ctx.clone());
    let settings = WorkerSettings { name: ctx.tuning.name.clone(), concurrency, poll_every: Duration::from_millis(50), grace };
    info!("worker {} is working", ctx.tuning.name);
    let result = queue.work(settings, shutdown, move |hint| job(Arc::clone(&shared), hint)).await;
    cutting.abort();
    // What a handler that was dropped still held; nobody else works under this name.
    match leases::release(&ctx.store, &ctx.tuning.name).await {
        Ok(0) => {}
        Ok(left) => warn!("{left} leases were given back for handlers that did not end in time"),
        Err(error) => warn!("leases could not be given back and will run out: {}", error.words()),
    }
    ended.cancel();
    for task in [relaying, looking, recording, beat] {
        if let Err(error) = task.await {
            warn!("a task of the worker ended badly: {error}");
        }
    }
    if let Err(error) = workers::leave(&ctx.store, &ctx.tuning.name).await {
        warn!("could not sign off: {}", error.log_words());
    }
    info!("worker {} has stopped", ctx.tuning.name);
    Ok(result?)
}

async fn cut_in_time(ctx: Context, grace: Duration) {
    ctx.shutdown.cancelled().await;
    tokio::time::sleep(grace.saturating_sub(CUT_BEFORE_END.min(grace / 2))).await;
    ctx.cut.cancel();
}

async fn job(ctx: Arc<Context>, hint: tidemark_core::hint::Hint) {
    let stream = ctx.stream(hint.stream).map_or_else(|| hint.stream.to_string(), |mapped| mapped.spec.name.clone());
    let span = info_span!("job", kind = ?hint.kind, stream = %stream);
    let started = Instant::now();
    async {
        let outcome = handle(&ctx, hint).await;
        report(&stream, hint, &outcome, started.elapsed());
        // What is still due may be hinted again at once.
        if let Err(error) = streams::clear_hint(&ctx.store, hint.stream, hint.kind).await {
            warn!("could not clear a hint: {}", error.log_words());
        }
    }
    .instrument(span)
    .await;
}

async fn relay_loop(ctx: Context, shutdown: CancellationToken) {
    while pause(&shutdown, ctx.tuning.relay_every).await {
        if let Err(error) = relay::once(&ctx).await
            && !error.is_contention()
        {
            warn!("the relay could not run: {error}: {}", error.log_words());
        }
    }
}

async fn look_again_loop(ctx: Context, shutdown: CancellationToken) {
    while pause(&shutdown, LOOK_AGAIN_EVERY).await {
        // It only asks, and whoever stops waits for no answer.
        let looked = tokio::select! {
            () = shutdown.cancelled() => return,
            looked = async { trial::probe(&ctx).await.and(schema::look(&ctx).await).and(described::look_again(&ctx).await) } => looked,
        };
        if let Err(error) = looked
            && !error.is_contention()
        {
            warn!("could not look again at a CRM: {error}: {}", error.log_words());
        }
    }
}

/// Writes the call record in batches; what is left at the end is written before it ends.
async fn record_loop(ctx: Context, mut calls: UnboundedReceiver<CalloutRow>, ended: CancellationToken) {
    let mut last = false;
    while !last {
        last = !pause(&ended, Duration::from_millis(500)).await;
        let mut batch = Vec::new();
        while let Ok(call) = calls.try_recv() {
            batch.push(call);
            if batch.len() == 500 {
                store_calls(&ctx, &mut batch).await;
            }
        }
        store_calls(&ctx, &mut batch).await;
    }
}

async fn store_calls(ctx: &Context, batch: &mut Vec<CalloutRow>) {
    if let Err(error) = callouts::record(&ctx.store, batch).await {
        warn!("{} calls could not be recorded: {}", batch.len(), error.log_words());
    }
    batch.clear();
}

async fn heartbeat(ctx: Context, ended: CancellationToken) {
    loop {
        if let Err(error) = workers::beat(&ctx.store, &ctx.tuning.name, "worker").await {
            warn!("could not write the heartbeat: {}", error.log_words());
        }
        heed_restore(&ctx).await;
        for mapped in ctx.streams() {
            let Ok(connection) = ctx.connection(mapped) else { continue };
            let now = ctx.now();
            let offset = connection.crm_now(now) - now;
            if let Err(error) = connections::set_clock_offset(&ctx.store, &connection.spec.name, offset).await {
                warn!("could not store the clock offset: {}", error.log_words());
            }
        }
        if !pause(&ended, Duration::from_secs(5)).await {
            return;
        }
    }
}

/// A database that was put back under a running worker is older than the worker remembers. A long silence is for whoever starts, and for the schedulers, to judge.
async fn heed_restore(ctx: &Context) {
    match environment::look(&ctx.store, None, Millis::MAX).await {
        Ok(None) => {}
        Ok(Some(why)) => error!("nothing is sent any more: {why}; `tidemark environment` says what to do"),
        Err(error) => warn!("could not look how far the database is: {}", error.log_words()),
    }
}

/// Waits; false when the token was cancelled meanwhile.
async fn pause(token: &CancellationToken, time: Duration) -> bool {
    tokio::select! {
        () = token.cancelled() => false,
        () = tokio::time::sleep(time) => true,
    }
}
