//! What every handler has at hand: the store, the CRMs, the mapped streams, the clock offset of each CRM. Decides nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tidemark_core::Millis;
use tidemark_core::crm_clock::{CrmClock, Sample, Step};
use tidemark_core::newest::Ahead;
use tidemark_core::page::Clock;
use tidemark_core::spec::{ConnectionSpec, StreamSpec};
use tidemark_core::window::millis;
use tidemark_crm::seal::Sealer;
use tidemark_crm::{Bucket, Crm};
use tidemark_store::callouts::CalloutRow;
use tidemark_store::page::Parents;
use tidemark_store::rows::Mapped;
use tidemark_store::{Store, StoreError, registration, shape};
use tokio::sync::{OnceCell, mpsc};
use tokio_util::sync::CancellationToken;

use crate::described::Descriptions;
use crate::event::Event;
use crate::sign_in::{Sharing, SignInError};

/// How a worker works, from the configuration.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// Unique per process incarnation.
    pub name: String,
    pub lease: Duration,
    /// A job gives its stream back after this long, so that readers take turns.
    pub slice: Duration,
    pub relay_every: Duration,
}

/// One account of one CRM with everything that is shared by its calls.
#[derive(Debug)]
pub struct Connection {
    pub spec: ConnectionSpec,
    pub crm: Arc<dyn Crm>,
    smoothers: HashMap<Bucket, DefaultDirectRateLimiter>,
    clock: Mutex<CrmClock>,
    /// Its clock was set and no poll has gone back yet.
    step: Mutex<Option<Step>>,
    /// Set once the account behind the token was compared with the configuration.
    pub(crate) account: OnceCell<()>,
    pub(crate) described: Descriptions,
    /// Set where its token is one that all processes share.
    pub(crate) sharing: Option<Sharing>,
}

impl Connection {
    pub fn new(spec: ConnectionSpec, crm: Arc<dyn Crm>) -> Self {
        let smoother = |limit: tidemark_crm::BucketLimit| {
            let period = Duration::from_secs_f64(1.0 / limit.per_second.max(0.001));
            let burst = std::num::NonZeroU32::new(limit.burst).unwrap_or(std::num::NonZeroU32::MIN);
            Some((limit.bucket, RateLimiter::direct(Quota::with_period(period)?.allow_burst(burst))))
        };
        let smoothers = crm.limits().into_iter().filter_map(smoother).collect();
        Self {
            spec,
            crm,
            smoothers,
            clock: Mutex::default(),
            step: Mutex::default(),
            account: OnceCell::new(),
            described: Descriptions::default(),
            sharing: None,
        }
    }

    /// Its token is kept for all processes, sealed, where its credentials allow that.
    #[must_use]
    pub fn shared(self, sealer: &Arc<Sealer>) -> Self {
        let sharing = self.crm.grant().map(|grant| Sharing::new(Arc::clone(sealer), grant));
        Self { sharing, ..self }
    }

    /// Spreads this process's calls over time before the shared budget is asked.
    pub(crate) async fn smooth(&self, bucket: Bucket) {
        if let Some(limiter) = self.smoothers.get(&bucket) {
            limiter.until_ready().await;
        }
    }

    /// Learns the CRM's clock from an answer that was heard at `heard_at`.
    pub(crate) fn learn_offset(&self, heard_at: Millis, offset: Millis) {
        let step = self.clock.lock().unwrap_or_else(PoisonError::into_inner).learn(Sample { heard_at, offset });
        if let Some(step) = step {
            tracing::warn!(step.by_ms = step.by, "the clock of {} was set by {} ms", self.spec.name, step.by);
            *self.step.lock().unwrap_or_else(PoisonError::into_inner) = Some(step);
        }
    }

    /// The step that was noticed last, for whoever goes back for it.
    pub(crate) fn take_step(&self) -> Option<Step> {
        self.step.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// How far the CRM's clock is ahead of ours, as far as it has told.
    fn ahead(&self) -> Option<Ahead> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).ahead()
    }

    /// Larger stamps do not tell a later version.
    pub(crate) fn orders_until(&self, now: Millis, lag: Millis) -> Option<Millis> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).orders_until(now, lag)
    }

    /// The CRM's time when ours is `now`.
    pub(crate) fn crm_now(&self, now: Millis) -> Millis {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).at(now)
    }
}

/// Everything a handler needs.
#[derive(Debug, Clone)]
pub struct Context {
    pub store: Store,
    connections: Arc<HashMap<String, Arc<Connection>>>,
    streams: Arc<HashMap<i64, Arc<Mapped>>>,
    pub(crate) tuning: Tuning,
    pub(crate) callouts: mpsc::UnboundedSender<CalloutRow>,
    events: Option<mpsc::UnboundedSender<Event>>,
    /// Nothing new is begun.
    pub(crate) shutdown: CancellationToken,
    /// No call is waited for any longer: what is held has to be given back while there is time.
    pub(crate) cut: CancellationToken,
}

impl Context {
    /// Registers connections and streams and reads their tables' shapes. The receiver is for the loop that stores the call record.
    pub async fn open(
        store: Store,
        connections: Vec<Connection>,
        specs: &[StreamSpec],
        tuning: Tuning,
        events: Option<mpsc::UnboundedSender<Event>>,
        shutdown: CancellationToken,
    ) -> Result<(Self, mpsc::UnboundedReceiver<CalloutRow>), SignInError> {
        for connection in &connections {
            tidemark_store::connections::register(&store, &connection.spec).await?;
            if let Some(sharing) = &connection.sharing {
                sharing.register(&store, &connection.spec.name).await?;
            }
        }
        let streams = map_streams(&store, specs).await?;
        let streams = streams.into_iter().map(|mapped| (mapped.id, Arc::new(mapped))).collect();
        let connections =
            connections.into_iter().map(|connection| (connection.spec.name.clone(), Arc::new(connection))).collect();
        let (callouts, receiver) = mpsc::unbounded_channel();
        let ctx = Self {
            store,
            connections: Arc::new(connections),
            streams: Arc::new(streams),
            tuning,
            callouts,
            events,
            shutdown,
            cut: CancellationToken::new(),
        };
        Ok((ctx, receiver))
    }

    pub fn stream(&self, id: i64) -> Option<&Arc<Mapped>> {
        self.streams.get(&id)
    }

    pub fn streams(&self) -> impl Iterator<Item = &Arc<Mapped>> {
        self.streams.values()
    }

    pub(crate) fn connection(&self, mapped: &Mapped) -> Result<&Arc<Connection>, StoreError> {
        self.connections.get(&mapped.spec.connection).ok_or_else(|| StoreError::Missing {
            what: format!("connection {}", mapped.spec.connection),
            remedy: "add it to the configuration, or remove its streams".into(),
        })
    }

    pub(crate) fn connections(&self) -> impl Iterator<Item = &Arc<Connection>> {
        self.connections.values()
    }

    /// Any stream of the connection that reads.
    pub(crate) fn two_way_stream(&self, connection: &str) -> Option<&Arc<Mapped>> {
        self.streams.values().find(|mapped| mapped.spec.connection == connection && !mapped.spec.is_one_way())
    }

    /// The streams that references of this one point into, by object.
    pub(crate) fn parents(&self, mapped: &Mapped) -> Parents<'_> {
        let same = self.streams.values().filter(|other| other.spec.connection == mapped.spec.connection);
        same.map(|other| (other.spec.object.as_str(), other.as_ref())).collect()
    }

    /// A fence for one batch of claims, fresh and this process's own: what a process held can be given back once it has stopped.
    pub(crate) fn fence(&self) -> String {
        format!("{}/{}", self.tuning.name, uuid::Uuid::new_v4().simple())
    }

    pub(crate) fn lease(&self) -> Millis {
        millis(self.tuning.lease)
    }

    /// This process's clock: for the CRM's time and for measuring, never for leases.
    pub(crate) fn now(&self) -> Millis {
        self.store.pace().now()
    }

    pub(crate) fn dice(&self) -> f64 {
        self.store.pace().dice()
    }

    /// How the CRM's clock stands to the database's, where fields of the stream go to who was later; `None` before the CRM has told its time.
    pub(crate) async fn clock_of(
        &self,
        connection: &Connection,
        mapped: &Mapped,
        precision: Millis,
    ) -> Result<Option<Clock>, StoreError> {
        if mapped.spec.row_modified.is_none() {
            return Ok(None);
        }
        let asked = self.now();
        let database = self.store.now().await?;
        let took = self.now() - asked;
        let ours_ahead = asked + took / 2 - database;
        let ahead = connection.ahead().map(|crm| Ahead { by: crm.by + ours_ahead, error: crm.error + took / 2 + 1 });
        Ok(ahead.map(|ahead| Clock { ahead, precision }))
    }

    /// The end of a job's slice that begins now, on this process's clock.
    pub(crate) fn slice_end(&self) -> Millis {
        self.now() + millis(self.tuning.slice)
    }

    pub(crate) fn tell(&self, event: Event) {
        if let Some(events) = &self.events {
            // Nobody listening is no failure.
            let _ = events.send(event);
        }
    }
}

/// Registers the streams and joins each with its table. Refused before anything is registered when a table or a column of the mapping is not there.
pub async fn map_streams(store: &Store, specs: &[StreamSpec]) -> Result<Vec<Mapped>, StoreError> {
    let mut shapes = Vec::with_capacity(specs.len());
    for spec in specs {
        shapes.push(shape::load(store, spec).await?);
    }
    let mut mapped: Vec<Mapped> = Vec::with_capacity(specs.len());
    for (spec, shape) in specs.iter().zip(shapes) {
        let stream = registration::register(store, spec).await?;
        mapped.push(Mapped { id: stream.id, spec: spec.clone(), shape, siblings: Vec::new() });
    }
    let tables: Vec<(i64, String, bool)> =
        mapped.iter().map(|one| (one.id, one.shape.log_name(), one.spec.direction.writes_records())).collect();
    for one in &mut mapped {
        let (id, table) = (one.id, one.shape.log_name());
        one.siblings = tables
            .iter()
            .filter(|(other, name, writes)| *other != id && *name == table && *writes)
            .map(|(other, _, _)| *other)
            .collect();
    }
    Ok(mapped)
}
