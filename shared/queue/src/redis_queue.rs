//! Hints in a Redis that many processes share. Never trusts it to keep a hint, and never shows its password.

use std::time::Duration;

use apalis::prelude::{EventListenerExt, TaskBuilder, WorkerBuilderExt};
use apalis_redis::{Config, RedisStorage};
use futures::FutureExt;
use futures::future::BoxFuture;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, ErrorKind, FromRedisValue, IntoConnectionInfo, RedisError, ServerErrorKind};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tidemark_core::hint::Hint;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::warn;

use crate::config::validate_prefix;
use crate::supervisor::{FETCH, HEARTBEAT, Life, MISSED_HEARTBEATS, run_worker};
use crate::{Depth, QueueError};

/// Scheduled hints above which the queue is repaired. Our own pushes stop far below; the wall is at 8,000.
const SCHEDULED_MAX: u64 = 7_000;
/// Finished hints removed per call, so that no call holds the server up.
const TIDY_CHUNK: usize = 500;

const CONNECT_PATIENCE: Duration = Duration::from_millis(4_500);
const CONNECT_PAUSE: Duration = Duration::from_millis(250);
const PING_PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(crate) struct RedisQueue {
    connection: ConnectionManager,
    config: Config,
    address: String,
}

impl RedisQueue {
    pub(crate) async fn connect(url: &SecretString, prefix: &str) -> Result<RedisQueue, QueueError> {
        let (client, address) = reach(url, prefix).await?;
        // A response timeout ends the worker. The default of 500 ms let a stall of 1.2 s end them all.
        let patient = ConnectionManagerConfig::new()
            .set_response_timeout(Some(Duration::from_secs(10)))
            .set_connection_timeout(Some(Duration::from_secs(2)))
            .set_number_of_retries(2)
            .set_max_delay(Duration::from_millis(500));
        let connection = ConnectionManager::new_lazy_with_config(client, patient)
            .map_err(|source| QueueError::Unreachable { address: address.clone(), source: source.into() })?;
        // `lock_tasks` only sets a label, and costs a scan of the whole backlog per hint: 898 hints a second with it, 25,900 without.
        let config = Config::default()
            .queue(prefix)
            .batch_size(FETCH)
            .lock_tasks(false)
            .emit_events(false)
            .heartbeat_interval(HEARTBEAT)
            .missed_heartbeats(MISSED_HEARTBEATS);
        Ok(RedisQueue { connection, config, address })
    }

    pub(crate) async fn probe(url: &SecretString, prefix: &str) -> Result<(), QueueError> {
        reach(url, prefix).await.map(drop)
    }

    pub(crate) async fn push(&self, hints: &[Hint]) -> Result<(), QueueError> {
        let mut tasks = Vec::with_capacity(hints.len());
        for hint in hints {
            let payload = serde_json::to_vec(hint).map_err(QueueError::failed("write a hint as JSON"))?;
            tasks.push(TaskBuilder::new(payload).build());
        }
        let mut connection = self.connection.clone();
        let pushed = apalis_redis::queries::push_tasks(&mut connection, &self.config, &tasks).await;
        pushed.map_err(QueueError::failed("add hints"))?;
        Ok(())
    }

    pub(crate) async fn depth(&self) -> Result<Depth, QueueError> {
        let (waiting, running, _) = self.count().await?;
        Ok(Depth { waiting, running })
    }

    /// Hints that wait, once a queue too deep to be fetched from has been cleared.
    pub(crate) async fn waiting_after_repair(&self) -> Result<u64, QueueError> {
        let (waiting, _, scheduled) = self.count().await?;
        if scheduled <= SCHEDULED_MAX {
            return Ok(waiting);
        }
        self.mend().await?;
        Ok(self.count().await?.0)
    }

    pub(crate) async fn ping(&self) -> Result<(), QueueError> {
        let mut connection = self.connection.clone();
        let ping = redis::cmd("PING");
        let unreachable = |source| QueueError::Unreachable { address: self.address.clone(), source };
        let asked = timeout(PING_PATIENCE, ping.query_async::<()>(&mut connection)).await;
        asked.map_err(|error| unreachable(error.into()))?.map_err(|error| unreachable(error.into()))
    }

    pub(crate) async fn testimony(&self) -> Result<Option<String>, QueueError> {
        let mut connection = self.connection.clone();
        redis::cmd("GET")
            .arg(self.witness_key())
            .query_async(&mut connection)
            .await
            .map_err(QueueError::failed("say what it witnessed"))
    }

    pub(crate) async fn testify(&self, text: &str) -> Result<(), QueueError> {
        let mut connection = self.connection.clone();
        let set = redis::cmd("SET").arg(self.witness_key()).arg(text).query_async::<()>(&mut connection).await;
        set.map_err(QueueError::failed("keep what it witnessed"))
    }

    fn witness_key(&self) -> String {
        format!("{}:witness", self.config.queue)
    }

    /// Our own script: the vacuum of apalis reads all data of the queue in one call, deletes the data of ids that are
    /// still scheduled, which stops each worker that meets one, and leaves the sets of finished ids to grow.
    pub(crate) async fn tidy(&self) -> Result<(), QueueError> {
        let (data, descriptions) = (self.config.job_data_hash(), self.config.job_meta_hash());
        for finished in [self.config.done_jobs_set(), self.config.dead_jobs_set()] {
            loop {
                let args = [descriptions.as_str(), &TIDY_CHUNK.to_string()];
                let removed: usize = self
                    .eval(include_str!("lua/tidy.lua"), &[&finished, &data], &args)
                    .await
                    .map_err(QueueError::failed("remove finished hints"))?;
                if removed < TIDY_CHUNK {
                    break;
                }
            }
        }
        self.mend().await
    }

    pub(crate) async fn mend(&self) -> Result<(), QueueError> {
        let config = &self.config;
        let keys = [config.scheduled_jobs_set(), config.active_jobs_list(), config.workers_set(), config.job_data_hash()];
        let args = [config.job_meta_hash(), config.inflight_jobs_set(), SCHEDULED_MAX.to_string()];
        let dropped: u64 = self
            .eval(include_str!("lua/mend.lua"), &keys.each_ref().map(String::as_str), &args.each_ref().map(String::as_str))
            .await
            .map_err(QueueError::failed("check itself for what stops workers"))?;
        if dropped > 0 {
            warn!(hints.dropped = dropped, "repaired the queue: dropped {dropped} hints that no worker could fetch");
        }
        Ok(())
    }

    pub(crate) fn live(&self, life: Life) -> BoxFuture<'static, Result<(), QueueError>> {
        let storage = RedisStorage::<Value>::new(self.connection.clone()).with_config(self.config.clone());
        let worker = run_worker!(storage, life);
        async move { worker.await.map_err(QueueError::failed("keep its worker running")) }.boxed()
    }

    /// apalis itself removes an ended worker under a wrong name, that is never, and keeps its description for ever.
    pub(crate) async fn bury(&self, name: &str) {
        let queue = &self.config.queue;
        let inflight = format!("{}:{name}", self.config.inflight_jobs_set());
        let description = format!("{queue}:workers:metadata:{name}");
        let keys = [self.config.workers_set(), inflight, description];
        // When it fails the worker counts as dead 30 s later and is removed then.
        let _: Result<u64, RedisError> =
            self.eval(include_str!("lua/bury.lua"), &keys.each_ref().map(String::as_str), &[name]).await;
    }

    /// Waiting, running, and of the waiting those that one fetch would move at once.
    async fn count(&self) -> Result<(u64, u64, u64), QueueError> {
        let config = &self.config;
        let keys = [config.scheduled_jobs_set(), config.active_jobs_list(), config.workers_set()];
        let inflight = config.inflight_jobs_set();
        self.eval(include_str!("lua/depth.lua"), &keys.each_ref().map(String::as_str), &[&inflight])
            .await
            .map_err(QueueError::failed("count its hints"))
    }

    async fn eval<T: FromRedisValue>(&self, script: &str, keys: &[&str], args: &[&str]) -> Result<T, RedisError> {
        let mut connection = self.connection.clone();
        redis::cmd("EVAL").arg(script).arg(keys.len()).arg(keys).arg(args).query_async(&mut connection).await
    }
}

/// A server that answers a PING, and its address. Nothing but PING is said to it.
async fn reach(url: &SecretString, prefix: &str) -> Result<(Client, String), QueueError> {
    validate_prefix(prefix)?;
    let unusable = |error| QueueError::Settings { reason: format!("the queue's Redis URL: {error}") };
    let target = url.expose_secret().into_connection_info().map_err(unusable)?.set_tcp_settings(tcp());
    let address = target.addr().to_string();
    let client = Client::open(target).map_err(unusable)?;
    await_answer(&client, &address).await?;
    Ok((client, address))
}

/// Lets the kernel close a connection whose other end is gone without a word, a container that moved for example.
///
/// The connection manager replaces a connection only when it is closed, not when it is silent, and Linux left alone
/// takes about a quarter of an hour to notice.
fn tcp() -> TcpSettings {
    let settings = TcpSettings::default();
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(Duration::from_secs(15));
    settings
}

/// Waits for the first answer, a little while also for a server that is only just starting.
async fn await_answer(client: &Client, address: &str) -> Result<(), QueueError> {
    let give_up = Instant::now() + CONNECT_PATIENCE;
    loop {
        let source = match timeout_at(give_up, ask(client)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) if may_pass(&error) && Instant::now() + CONNECT_PAUSE < give_up => {
                sleep(CONNECT_PAUSE).await;
                continue;
            }
            Ok(Err(error)) => error.into(),
            Err(elapsed) => elapsed.into(),
        };
        return Err(QueueError::Unreachable { address: address.to_owned(), source });
    }
}

async fn ask(client: &Client) -> Result<(), RedisError> {
    let hasty = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(2)))
        .set_response_timeout(Some(Duration::from_secs(2)));
    let mut connection = client.get_multiplexed_async_connection_with_config(&hasty).await?;
    redis::cmd("PING").query_async(&mut connection).await
}

/// False for an answer that will not change by itself, a refused password for example.
fn may_pass(error: &RedisError) -> bool {
    error.is_io_error() || error.kind() == ErrorKind::Server(ServerErrorKind::BusyLoading)
}
