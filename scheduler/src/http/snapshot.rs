//! One look at everything the home page, the API and the metrics show. Any number of watchers costs one look.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tidemark_core::Millis;
use tidemark_core::arrival::Report;
use tidemark_core::window::Reader;
use tidemark_store::connections::Connection;
use tidemark_store::erasure::{self, Erasure};
use tidemark_store::overview::{self, CalloutSummary, DebtCount, DebtGroup, StreamOverview, WorkerRow};
use tidemark_store::recordings::{self, Recording};
use tidemark_store::{StoreError, changes, connections};
use tokio::sync::Mutex;

use super::verdict::{Headline, House, Verdict, headline, judge};
use super::{AppState, Shared};

/// What a stream without a mapping in the configuration is measured against.
const FRESH_WITHIN: Duration = Duration::from_secs(300);

#[derive(Serialize)]
pub(crate) struct Snapshot {
    pub(crate) now: Millis,
    pub(crate) headline: Headline,
    pub(crate) streams: Vec<StreamView>,
    pub(crate) queue: QueueView,
    pub(crate) connections: Vec<ConnectionView>,
    pub(crate) workers: Vec<WorkerRow>,
    pub(crate) parked: Vec<DebtGroup>,
    /// People who were erased and whose record is still there, or shows again.
    pub(crate) erasures: Vec<Erasure>,
    #[serde(skip)]
    pub(crate) debts: Vec<DebtCount>,
}

#[derive(Serialize)]
pub(crate) struct StreamView {
    pub(crate) fresh_within_ms: Millis,
    /// False when the stream is in the database and not in the configuration.
    pub(crate) configured: bool,
    pub(crate) verdict: Verdict,
    /// What the week's arrivals say about the fast reader's lag; `None` before any was counted.
    pub(crate) arrival: Option<Report>,
    #[serde(flatten)]
    pub(crate) overview: StreamOverview,
}

#[derive(Serialize)]
pub(crate) struct QueueView {
    /// False when the queue does not answer; then `waiting` and `running` are 0.
    pub(crate) answers: bool,
    pub(crate) waiting: u64,
    pub(crate) running: u64,
    pub(crate) due_now: i64,
    pub(crate) due_later: i64,
    pub(crate) parked: i64,
    pub(crate) oldest_due_ms: Option<Millis>,
    pub(crate) changes_waiting: i64,
    pub(crate) changes_oldest_ms: Millis,
}

#[derive(Serialize)]
pub(crate) struct ConnectionView {
    pub(crate) name: String,
    pub(crate) connector: String,
    pub(crate) state: String,
    pub(crate) reason: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) environment: Option<String>,
    pub(crate) clock_offset_ms: i64,
    /// Its credentials were refused; they are tried again in so many milliseconds.
    pub(crate) probe_in_ms: Option<i64>,
    pub(crate) quota_left: Option<i64>,
    /// The last hour's calls by class, the busiest first.
    pub(crate) calls: Vec<CalloutSummary>,
    /// While its calls keep their requests and responses.
    pub(crate) recording: Option<Recording>,
}

impl ConnectionView {
    pub(crate) fn calls_hour(&self) -> i64 {
        self.calls.iter().map(|calls| calls.calls).sum()
    }

    /// Of the last hour's first attempts, the percentage that succeeded; `None` without any.
    pub(crate) fn first_try_percent(&self) -> Option<i64> {
        let tries: i64 = self.calls.iter().map(|calls| calls.first_tries).sum();
        let good: i64 = self.calls.iter().filter(|calls| calls.class.is_none()).map(|calls| calls.first_tries).sum();
        (tries > 0).then(|| good * 100 / tries)
    }
}

impl Snapshot {
    pub(crate) fn alive(&self, kind: Option<&str>) -> usize {
        self.workers.iter().filter(|worker| worker.alive && kind.is_none_or(|kind| worker.kind == kind)).count()
    }
}

#[derive(Default)]
pub(crate) struct Cache(Mutex<Option<Kept>>);

struct Kept {
    until: Instant,
    snapshot: Arc<Snapshot>,
}

impl Cache {
    /// After an act the next page shows what it changed.
    pub(crate) async fn forget(&self) {
        *self.0.lock().await = None;
    }
}

/// The newest look, at most a second old, or ten times as old as it took to make: watching never takes more than a tenth of one database connection.
pub(crate) async fn look(shared: &Shared) -> Result<Arc<Snapshot>, StoreError> {
    let mut kept = shared.snapshots.0.lock().await;
    if let Some(kept) = kept.as_ref().filter(|kept| kept.until > Instant::now()) {
        return Ok(kept.snapshot.clone());
    }
    let begun = Instant::now();
    let snapshot = Arc::new(take(&shared.app).await?);
    let until = Instant::now() + (begun.elapsed() * 10).clamp(Duration::from_secs(1), Duration::from_secs(30));
    *kept = Some(Kept { until, snapshot: snapshot.clone() });
    Ok(snapshot)
}

async fn take(app: &AppState) -> Result<Snapshot, StoreError> {
    let store = &app.store;
    let depth = tokio::time::timeout(Duration::from_secs(2), (app.queue_depth)()).await.ok().flatten();
    let now = store.now().await?;
    let streams = overview::streams(store).await?;
    let workers = overview::workers(store).await?;
    let (changes_waiting, changes_oldest_ms) = changes::waiting(store).await?;
    let house = House { workers_alive: working(&workers), queue_answers: depth.is_some() };
    let queue = QueueView {
        answers: depth.is_some(),
        waiting: depth.map_or(0, |(waiting, _)| waiting),
        running: depth.map_or(0, |(_, running)| running),
        due_now: streams.iter().map(|stream| stream.due_now).sum(),
        due_later: streams.iter().map(|stream| stream.due_later).sum(),
        parked: streams.iter().map(|stream| stream.parked).sum(),
        oldest_due_ms: streams.iter().filter_map(|stream| stream.oldest_due_ms).max(),
        changes_waiting,
        changes_oldest_ms,
    };
    let streams: Vec<StreamView> = streams.into_iter().map(|stream| view(app, stream, house)).collect();
    let verdicts: Vec<_> = streams.iter().map(|stream| (stream.overview.name.as_str(), &stream.verdict)).collect();
    let headline = headline(&verdicts, house);
    let connections = connection_views(app).await?;
    let parked = overview::debt_groups(store).await?;
    let debts = overview::debt_counts(store).await?;
    let erasures = erasure::open(store).await?;
    Ok(Snapshot { now, headline, streams, queue, connections, workers, parked, erasures, debts })
}

/// Living processes that do work; a scheduler alone moves nothing.
fn working(workers: &[WorkerRow]) -> usize {
    workers.iter().filter(|worker| worker.alive && worker.kind != "scheduler").count()
}

fn view(app: &AppState, overview: StreamOverview, house: House) -> StreamView {
    let spec = app.specs.iter().find(|spec| spec.name == overview.name);
    let fresh_within = spec.map_or(FRESH_WITHIN, |spec| spec.fresh_within);
    let fresh_within_ms = Millis::try_from(fresh_within.as_millis()).unwrap_or(Millis::MAX);
    let arrival = spec.and_then(|spec| overview.arrivals.report(Reader::Fast.lag(&spec.poll)));
    StreamView {
        fresh_within_ms,
        configured: spec.is_some(),
        verdict: judge(&overview, fresh_within_ms, house),
        arrival,
        overview,
    }
}

async fn connection_views(app: &AppState) -> Result<Vec<ConnectionView>, StoreError> {
    let calls = overview::callout_summary(&app.store).await?;
    let quotas = overview::quotas(&app.store).await?;
    let recordings = recordings::running(&app.store).await?;
    let view = |connection: Connection| ConnectionView {
        recording: recordings.iter().find(|one| one.connection == connection.name).cloned(),
        quota_left: quotas.iter().find(|(name, _)| *name == connection.name).map(|(_, left)| *left),
        calls: calls.iter().filter(|calls| calls.connection == connection.name).cloned().collect(),
        name: connection.name,
        connector: connection.connector,
        state: connection.state,
        reason: connection.reason,
        account: connection.account,
        environment: connection.environment,
        clock_offset_ms: connection.clock_offset_ms,
        probe_in_ms: connection.probe_in,
    };
    Ok(connections::list(&app.store).await?.into_iter().map(view).collect())
}
