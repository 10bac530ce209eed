//! Puts the parts together: configuration, store, CRMs, queue, scheduler, worker, dashboard. Decides nothing else.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use eyre::{WrapErr, bail, eyre};
use tidemark_boot::Config;
use tidemark_boot::QueueUrl;
use tidemark_core::spec::StreamSpec;
use tidemark_core::webhook::Signature;
use tidemark_crm::Catalog;
use tidemark_crm::seal::Sealer;
use tidemark_queue::{Queue, QueueConfig, QueueError};
use tidemark_scheduler::{http, run as scheduling};
use tidemark_store::capture::Captured;
use tidemark_store::environment::{self, Whereabouts};
use tidemark_store::{Store, StoreConfig, acts, capture, connections, shape, streams};
use tidemark_worker::event::Event;
use tidemark_worker::{Connection, Context, Tuning, agree as comparing};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A configuration with its order database at hand.
#[derive(Debug, Clone)]
pub(crate) struct House {
    pub(crate) config: Config,
    pub(crate) store: Store,
}

/// Which parts run in this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Roles {
    pub(crate) scheduler: bool,
    pub(crate) worker: bool,
}

impl Roles {
    pub(crate) const ALL: Self = Self { scheduler: true, worker: true };
}

impl House {
    pub(crate) async fn open(config: Config) -> eyre::Result<Self> {
        use secrecy::ExposeSecret;
        let database = &config.database;
        let settings = StoreConfig {
            url: database.url.expose_secret().to_owned(),
            schema: database.schema.clone(),
            orders_schema: database.orders_schema.clone(),
            pool_max: database.pool_max,
        };
        let store = Store::connect(&settings).await.map_err(with_words)?;
        Ok(Self { store, config })
    }

    /// Tidemark's own tables, the streams' rows, and capture on every mapped table.
    pub(crate) async fn migrate(&self) -> eyre::Result<()> {
        self.prove_columns().await?;
        self.store.migrate().await?;
        for (connection, _) in &self.config.connections {
            connections::register(&self.store, connection).await?;
        }
        let mapped = tidemark_worker::map_streams(&self.store, &self.config.streams).await?;
        for table in capture::tables(&mapped) {
            capture::apply(&self.store, &table.shape, &table.specs())
                .await
                .wrap_err_with(|| format!("capture could not be installed on {}", table.shape.table))?;
        }
        Ok(())
    }

    /// A mapping that names what is not there is refused before anything is made.
    pub(crate) async fn prove_columns(&self) -> eyre::Result<()> {
        for spec in &self.config.streams {
            shape::load(&self.store, spec).await?;
        }
        Ok(())
    }

    pub(crate) async fn prove_migrated(&self) -> eyre::Result<()> {
        if !self.store.is_migrated().await? {
            bail!("the database has no Tidemark tables, or old ones: run `tidemark migrate` (with --plan to read the SQL first)");
        }
        Ok(())
    }

    /// A database that was copied or moved is not worked on before somebody has said that this is it.
    async fn prove_place(&self) -> eyre::Result<()> {
        let Whereabouts::Elsewhere { known, now } = environment::whereabouts(&self.store).await? else { return Ok(()) };
        let known = known.map_or_else(|| "a place that cannot be read any more".to_owned(), |known| known.to_string());
        bail!(
            "the database is at another place than Tidemark was adopted for.\n  now:     {now}\n  adopted: {known}\n  Was it moved or restored, `tidemark environment adopt` goes on here. Is it a copy, it must not be synchronised with the original's CRM: give it a token of another account, or drop Tidemark's tables in it"
        );
    }

    /// What is remembered of the database beside the queue; `None` too where the queue does not answer, which others will tell.
    pub(crate) async fn testimony(&self) -> Option<String> {
        match Queue::testimony(&self.queue_config()).await {
            Ok(text) => text,
            Err(error) => {
                tracing::warn!("nobody could be asked how far the database was: {error}");
                None
            }
        }
    }

    /// Looks whether the database is older than was seen of it. If so nothing is sent from it.
    async fn heed_restore(&self) -> eyre::Result<()> {
        let witness = self.testimony().await;
        if let Some(why) = environment::look(&self.store, witness.as_deref(), self.restore_guard()).await? {
            tracing::error!(
                "nothing is sent: {why}; every stream is read again, then `tidemark environment` shows what would be sent"
            );
        }
        Ok(())
    }

    /// Somebody says go: a stream whose plan is ready starts.
    pub(crate) async fn go(&self, stream: &str, who: &str) -> eyre::Result<()> {
        if !streams::set_state(&self.store, stream, "running", None).await? {
            bail!("there is no stream {stream}: the configuration has {}", names(&self.config.streams));
        }
        acts::record(&self.store, who, "go", stream, None).await?;
        Ok(())
    }

    /// The connectors of this build and of the configured folder.
    pub(crate) fn catalog(&self) -> eyre::Result<Catalog> {
        Ok(self.config.connectors.folder.as_deref().map_or_else(|| Ok(Catalog::default()), Catalog::with_folder)?)
    }

    pub(crate) fn connections(&self) -> eyre::Result<Vec<Connection>> {
        let (catalog, sealer) = (self.catalog()?, self.sealer()?);
        let connect = |(spec, secrets): &(tidemark_core::spec::ConnectionSpec, tidemark_boot::Secrets)| {
            let crm = catalog.connect(spec, secrets)?;
            let rotates = crm.grant().is_some_and(|grant| grant.rotates);
            match &sealer {
                Some(sealer) => Ok(Connection::new(spec.clone(), crm).shared(sealer)),
                None if rotates => bail!(no_key(&spec.name, crm.connector())),
                None => Ok(Connection::new(spec.clone(), crm)),
            }
        };
        self.config.connections.iter().map(connect).collect()
    }

    /// Seals what is kept of credentials; `None` without a key, when nothing is kept.
    pub(crate) fn sealer(&self) -> eyre::Result<Option<Arc<Sealer>>> {
        let credentials = &self.config.credentials;
        let sealer = credentials.key.as_ref().map(|key| Sealer::new(key, credentials.former_key.as_ref())).transpose()?;
        Ok(sealer.map(Arc::new))
    }

    /// Who may tell of changes, by connection: whose secret for that is configured.
    pub(crate) fn webhooks(&self) -> eyre::Result<BTreeMap<String, http::Webhook>> {
        let (catalog, mut webhooks) = (self.catalog()?, BTreeMap::new());
        for (spec, secrets) in &self.config.connections {
            let Some(secret) = secrets.get("webhook") else { continue };
            let signature = catalog.connect(spec, secrets)?.webhook().cloned();
            let public_url = self.config.server.public_url.clone();
            if public_url.is_none() && signature.as_ref().is_some_and(Signature::signs_the_url) {
                bail!(
                    "connections.{}.secret.webhook: {} signs the address it sends to, and nothing says what that is. Write server.public_url = \"https://…\", the \
                     host by which it reaches /hooks/{}.",
                    spec.name,
                    spec.connector,
                    spec.name
                );
            }
            let streams = self.config.streams.iter().filter(|stream| stream.connection == spec.name && !stream.is_one_way());
            let streams = streams.map(http::Hinted::of).collect();
            webhooks.insert(spec.name.clone(), http::Webhook::new(secret.clone(), signature, public_url, streams));
        }
        Ok(webhooks)
    }

    pub(crate) async fn queue(&self) -> eyre::Result<Queue> {
        Ok(Queue::connect(&self.queue_config()).await?)
    }

    /// Whether a service could open the queue; nothing in it is touched.
    pub(crate) async fn probe_queue(&self) -> Result<(), QueueError> {
        Queue::probe(&self.queue_config()).await
    }

    fn queue_config(&self) -> QueueConfig {
        let prefix = self.config.queue.prefix.clone();
        match &self.config.queue.url {
            QueueUrl::Redis(url) => QueueConfig::Redis { url: url.clone(), prefix },
            QueueUrl::File(file) => QueueConfig::Embedded { file: file.clone() },
            QueueUrl::Embedded => QueueConfig::Embedded { file: self.embedded_queue() },
        }
    }

    /// Beside a SQLite order database; with PostgreSQL in the folder we run in.
    fn embedded_queue(&self) -> PathBuf {
        use secrecy::ExposeSecret;
        let url = self.config.database.url.expose_secret();
        let file = url.strip_prefix("sqlite:").map(|path| path.trim_start_matches("//").split('?').next().unwrap_or_default());
        match file.filter(|file| !file.is_empty() && *file != ":memory:") {
            Some(file) => PathBuf::from(file).with_file_name("tidemark-queue.db"),
            None => PathBuf::from("tidemark-queue.db"),
        }
    }

    /// A context for acts of this process alone, such as a comparison.
    pub(crate) async fn context(&self) -> eyre::Result<Context> {
        self.prove_place().await?;
        let shutdown = CancellationToken::new();
        let (ctx, callouts) =
            Context::open(self.store.clone(), self.connections()?, &self.config.streams, self.tuning("act"), None, shutdown)
                .await?;
        drop(callouts);
        Ok(ctx)
    }

    fn tuning(&self, role: &str) -> Tuning {
        let worker = &self.config.worker;
        Tuning { name: incarnation(role), lease: worker.lease, slice: worker.lease / 4, relay_every: worker.relay_every }
    }
}

/// Why a connection whose refresh token changes cannot be used without a key.
pub(crate) fn no_key(connection: &str, connector: &str) -> String {
    format!(
        "connections.{connection}: the refresh token of {connector} is another after each use, and there is no key by which the next one could be kept. Write credentials.key = {{ env = \"TIDEMARK_KEY\" }} and \
         put 32 bytes into that variable: openssl rand -base64 32"
    )
}

/// A database's own words belong to the message: they name the cause.
fn with_words(error: tidemark_store::StoreError) -> eyre::Report {
    let words = error.words();
    eyre::Report::new(error).wrap_err(words)
}

pub(crate) fn names(specs: &[StreamSpec]) -> String {
    specs.iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// A name no other process has, nor this one had before.
fn incarnation(role: &str) -> String {
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let host = host.trim();
    let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis();
    format!("{role}-{}-{}-{started:x}", if host.is_empty() { "here" } else { host }, std::process::id())
}

/// Parts that run until the shutdown token is cancelled.
#[derive(Debug)]
pub(crate) struct Running {
    /// Where the dashboard listens.
    pub(crate) dashboard: Option<SocketAddr>,
    parts: JoinSet<eyre::Result<()>>,
    shutdown: CancellationToken,
}

impl Running {
    /// Waits for all parts. The first that fails takes the others down; it is told, also when another hangs for the same cause. `within`: what they have to stop in.
    pub(crate) async fn join(mut self, within: Duration) -> eyre::Result<()> {
        let (mut result, shutdown) = (Ok(()), self.shutdown.clone());
        let late = async {
            shutdown.cancelled().await;
            tokio::time::sleep(within).await;
        };
        tokio::pin!(late);
        loop {
            let part = tokio::select! {
                part = self.parts.join_next() => part,
                () = &mut late => {
                    let hung = || eyre!("not everything stopped within {} s; leases return what was in flight", within.as_secs());
                    return result.and_then(|()| Err(hung()));
                }
            };
            let Some(part) = part else { return result };
            let ended = part.wrap_err("a part of the process ended badly").and_then(|ended| ended);
            if ended.is_err() {
                self.shutdown.cancel();
                result = result.and(ended);
            }
        }
    }
}

/// Starts the parts of this process. Everything that can be wrong from the start is an error here, not later.
pub(crate) async fn start(
    house: &House,
    roles: Roles,
    events: Option<UnboundedSender<Event>>,
    shutdown: CancellationToken,
) -> eyre::Result<Running> {
    house.prove_migrated().await?;
    house.prove_place().await?;
    house.heed_restore().await?;
    // The recorder must stand before the first count.
    http::metrics_handle();
    let queue = house.queue().await?;
    let mut running = Running { dashboard: None, parts: JoinSet::new(), shutdown: shutdown.clone() };
    let specs = Arc::new(house.config.streams.clone());
    let tables = capture::tables(&tidemark_worker::map_streams(&house.store, &specs).await?);
    if roles.scheduler {
        start_scheduler(house, &mut running, &queue, &specs, tables, &shutdown).await?;
    }
    if roles.worker {
        let (ctx, callouts) =
            Context::open(house.store.clone(), house.connections()?, &specs, house.tuning("worker"), events, shutdown.clone())
                .await?;
        let worker = &house.config.worker;
        let (concurrency, grace) = (usize::from(worker.concurrency), worker.drain_deadline);
        running.parts.spawn(async move { Ok(tidemark_worker::run(ctx, callouts, queue, concurrency, grace).await?) });
    }
    Ok(running)
}

async fn start_scheduler(
    house: &House,
    running: &mut Running,
    queue: &Queue,
    specs: &Arc<Vec<StreamSpec>>,
    tables: Vec<Captured>,
    shutdown: &CancellationToken,
) -> eyre::Result<()> {
    let (scheduler, retention) = (&house.config.scheduler, &house.config.retention);
    let tuning = scheduling::Tuning {
        name: incarnation("scheduler"),
        tick_every: scheduler.tick_every,
        dispatch_every: scheduler.dispatch_every,
        jitter: scheduler.jitter,
        queue_depth_max: u64::from(scheduler.queue_depth_max),
        keep_callouts: retention.callouts,
        keep_call_hours: retention.call_hours,
        keep_windows: retention.windows,
        keep_lineage: retention.lineage,
        restore_guard: house.config.environment.restore_guard,
        hang_after: HANG_AFTER,
    };
    let turns = scheduling::Turns::default();
    let listener = http::bind(house.config.server.listen).await?;
    running.dashboard = Some(listener.local_addr()?);
    let depth = queue.clone();
    let state = http::AppState {
        store: house.store.clone(),
        queue_depth: Arc::new(move || {
            let queue = depth.clone();
            Box::pin(async move { queue.depth().await.ok().map(|depth| (depth.waiting, depth.running)) })
        }),
        specs: Arc::clone(specs),
        last_tick: Arc::clone(&turns.tick),
        webhooks: Arc::new(house.webhooks()?),
    };
    let (token, server_shutdown) = (house.config.server.token.clone(), shutdown.clone());
    running.parts.spawn(async move { Ok(http::serve_on(listener, token, state, server_shutdown).await?) });
    let (store, queue, specs, shutdown) = (house.store.clone(), queue.clone(), Arc::clone(specs), shutdown.clone());
    running.parts.spawn(async move { Ok(scheduling::run(store, queue, specs, tables, tuning, turns, shutdown).await?) });
    Ok(())
}

/// Compares every stream, or the named ones.
pub(crate) async fn agree(house: &House, only: &[String]) -> eyre::Result<Vec<comparing::StreamReport>> {
    if let Some(unknown) = only.iter().find(|name| !house.config.streams.iter().any(|spec| spec.name == **name)) {
        bail!("there is no stream {unknown}: the configuration has {}", names(&house.config.streams));
    }
    let ctx = house.context().await?;
    let mut reports = Vec::new();
    for spec in house.config.streams.iter().filter(|spec| only.is_empty() || only.contains(&spec.name)) {
        let mapped = ctx
            .streams()
            .find(|mapped| mapped.spec.name == spec.name)
            .ok_or_else(|| eyre!("stream {} is not registered", spec.name))?;
        reports.push(
            comparing::compare_stream(&ctx, mapped).await.wrap_err_with(|| format!("{} could not be compared", spec.name))?,
        );
    }
    Ok(reports)
}

/// What is still on its way.
pub(crate) async fn quiet(house: &House) -> eyre::Result<streams::Quiet> {
    Ok(streams::quiet(&house.store).await?)
}

/// A scheduler's loop that does not turn for this long hangs: far more than its longest wait for the database.
const HANG_AFTER: Duration = Duration::from_secs(60);

/// How long a process may take to stop: the drain, and a little for the rest.
pub(crate) fn stop_deadline(house: &House) -> Duration {
    house.config.worker.drain_deadline + Duration::from_secs(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts of which one never ends.
    fn running(others: impl Future<Output = eyre::Result<()>> + Send + 'static) -> (Running, CancellationToken) {
        let shutdown = CancellationToken::new();
        let mut parts = JoinSet::new();
        parts.spawn(others);
        parts.spawn(std::future::pending());
        (Running { dashboard: None, parts, shutdown: shutdown.clone() }, shutdown)
    }

    #[tokio::test]
    async fn what_broke_is_told_although_another_part_hangs() {
        let (running, shutdown) = running(async { bail!("a loop has not turned") });
        let error = running.join(Duration::from_millis(10)).await.expect_err("it broke");
        assert!(error.to_string().contains("has not turned") && shutdown.is_cancelled(), "{error:#}");
    }

    #[tokio::test]
    async fn a_part_that_does_not_stop_is_an_error() {
        let (running, shutdown) = running(async { Ok(()) });
        shutdown.cancel();
        let error = running.join(Duration::from_millis(10)).await.expect_err("it hangs");
        assert!(error.to_string().contains("not everything stopped"), "{error:#}");
    }
}
