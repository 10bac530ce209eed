//! What the queue's tests share: queues to test on, a throw-away Redis, workers to stop again, waiting with a deadline.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::future::Future;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tempfile::TempDir;
use tidemark_core::hint::{Hint, HintKind};
use tidemark_queue::{Queue, QueueConfig, QueueError, WorkerSettings};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) fn hint(stream: i64) -> Hint {
    Hint { kind: HintKind::Push, stream }
}

pub(crate) fn hints(streams: std::ops::Range<i64>) -> Vec<Hint> {
    streams.map(hint).collect()
}

pub(crate) fn settings() -> WorkerSettings {
    WorkerSettings { name: "test".into(), concurrency: 8, poll_every: Duration::from_millis(20), grace: Duration::from_secs(5) }
}

/// A queue together with what it stands on, which goes when the value is dropped.
pub(crate) struct Bench {
    pub(crate) queue: Queue,
    pub(crate) redis: Option<RedisServer>,
    directory: Option<TempDir>,
}

pub(crate) async fn embedded() -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let config = QueueConfig::Embedded { file: directory.path().join("queue.db") };
    Bench { queue: Queue::connect(&config).await.unwrap(), redis: None, directory: Some(directory) }
}

pub(crate) async fn redis() -> Bench {
    let server = RedisServer::start();
    Bench { queue: server.queue("test").await, redis: Some(server), directory: None }
}

/// A Redis of our own on a free port, without persistence, killed when dropped.
pub(crate) struct RedisServer {
    child: Child,
    port: u16,
    directory: TempDir,
}

impl RedisServer {
    pub(crate) fn start() -> RedisServer {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        RedisServer { child: serve(port, &directory), port, directory }
    }

    /// Kills the server and starts an empty one on the same port.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.child = serve(self.port, &self.directory);
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn config(&self, prefix: &str) -> QueueConfig {
        QueueConfig::Redis { url: self.url(), prefix: prefix.into() }
    }

    pub(crate) fn url(&self) -> SecretString {
        format!("redis://127.0.0.1:{}/", self.port).into()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) async fn queue(&self, prefix: &str) -> Queue {
        Queue::connect(&self.config(prefix)).await.unwrap()
    }

    /// Runs a command next to the queue, as a person with `redis-cli` would.
    pub(crate) async fn run<T: redis::FromRedisValue>(&self, command: &str) -> T {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/", self.port)).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut words = command.split_whitespace();
        let mut cmd = redis::cmd(words.next().unwrap());
        cmd.arg(words.collect::<Vec<_>>()).query_async(&mut connection).await.unwrap()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(port: u16, directory: &TempDir) -> Child {
    let port = port.to_string();
    let started = Command::new("redis-server")
        .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"])
        .arg(directory.path())
        .stdout(Stdio::null())
        .spawn();
    started.unwrap_or_else(|error| {
        panic!("these tests need a redis-server on the PATH ({error}); scripts/test runs them where there is one")
    })
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A worker in the background.
pub(crate) struct Work {
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), QueueError>>,
}

impl Work {
    pub(crate) fn start<H, Fut>(queue: &Queue, settings: WorkerSettings, handler: H) -> Work
    where
        H: Fn(Hint) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let (queue, shutdown) = (queue.clone(), CancellationToken::new());
        let asked = shutdown.clone();
        Work { shutdown, task: tokio::spawn(async move { queue.work(settings, asked, handler).await }) }
    }

    pub(crate) fn ask_to_stop(&self) {
        self.shutdown.cancel();
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        within(self.task).await.unwrap().unwrap();
    }

    /// Drops the worker on the spot, as the death of its process would.
    pub(crate) async fn vanish(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// A worker that reports the stream of each hint it is given.
pub(crate) fn start_reporting(queue: &Queue) -> (Work, UnboundedReceiver<i64>) {
    let (tell, told) = unbounded_channel();
    let work = Work::start(queue, settings(), move |hint| {
        let tell = tell.clone();
        async move {
            let _ = tell.send(hint.stream);
        }
    });
    (work, told)
}

/// Awaits what must come, and fails the test when it does not.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("what the test waits for did not come in time")
}

/// Receives until `wanted` has been told; doubles and others may come first.
pub(crate) async fn told_of(told: &mut UnboundedReceiver<i64>, wanted: i64) {
    within(async { while told.recv().await.unwrap() != wanted {} }).await;
}

/// Looks again and again until `holds` is true.
pub(crate) async fn eventually<F, Fut>(what: &str, mut holds: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let give_up = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < give_up, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Makes each function of one `Bench` into two tests, one for each kind of queue.
#[macro_export]
macro_rules! on_both_queues {
    ($($name:ident),+ $(,)?) => {
        mod on_the_embedded_queue {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::support::embedded().await).await })+
        }
        mod on_redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::support::redis().await).await })+
        }
    };
}
