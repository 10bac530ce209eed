//! The queue as the rest of Tidemark sees it: push, depth, ping, tidy, work. Never promises that a hint arrives, or arrives once.

use std::sync::Arc;

use futures::future::BoxFuture;
use tidemark_core::hint::Hint;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::embedded_queue::EmbeddedQueue;
use crate::handlers::Handlers;
use crate::liveness::{Liveness, Pulse};
use crate::redis_queue::RedisQueue;
use crate::supervisor::{Life, supervise};
use crate::{QueueConfig, QueueError, WorkerSettings, witness_file};

/// Hints that may wait in one queue; [`Queue::push`] takes no more.
///
/// A hard wall stands behind this number: apalis-redis 1.0 moves all due jobs with one Lua `unpack`, which fails from
/// 8,000 on, and from then no worker can fetch anything. Dispatchers in other processes look at the depth at the same
/// time as we do, so each of them may overshoot by one chunk; with 500 a chunk it takes twelve at once to reach the wall.
pub const WAITING_MAX: u64 = 2_000;

/// Hints per write. Far inside the response timeout: Redis took 52,900 hints a second in chunks of 1,000.
const CHUNK: usize = 500;

/// How many hints are where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Pushed and not yet taken by a worker.
    pub waiting: u64,
    /// Taken and not yet finished. Includes what dead workers held, until it is given out again after 30 s.
    pub running: u64,
}

/// A queue of hints. Clones share one connection.
#[derive(Clone)]
pub struct Queue {
    backend: Backend,
    pulse: Pulse,
    pushing: Arc<Mutex<()>>,
}

#[derive(Clone)]
pub(crate) enum Backend {
    Embedded(EmbeddedQueue),
    Redis(RedisQueue),
}

impl Queue {
    /// Opens the queue. Takes at most about 5 s, also when nothing answers.
    ///
    /// Embedded: wipes the file, for the truth is in the database and old locks would only be in the way.
    pub async fn connect(config: &QueueConfig) -> Result<Queue, QueueError> {
        let backend = match config {
            QueueConfig::Embedded { file } => Backend::Embedded(EmbeddedQueue::open(file).await?),
            QueueConfig::Redis { url, prefix } => Backend::Redis(RedisQueue::connect(url, prefix).await?),
        };
        Ok(Queue { backend, pulse: Pulse::new(), pushing: Arc::default() })
    }

    /// Whether the queue could be opened, within about 5 s, without opening it: no hint is touched, and nothing is made or left.
    ///
    /// Embedded: its folder and its file can be written. That another process holds the file is no fault, for that is the one it serves.
    pub async fn probe(config: &QueueConfig) -> Result<(), QueueError> {
        match config {
            QueueConfig::Embedded { file } => EmbeddedQueue::probe(file),
            QueueConfig::Redis { url, prefix } => RedisQueue::probe(url, prefix).await,
        }
    }

    /// What was last testified where these hints lie, by this process or another, before a queue is opened. `None` when nothing was, or it was lost.
    pub async fn testimony(config: &QueueConfig) -> Result<Option<String>, QueueError> {
        match config {
            QueueConfig::Embedded { file } => witness_file::read(file),
            QueueConfig::Redis { url, prefix } => RedisQueue::connect(url, prefix).await?.testimony().await,
        }
    }

    /// What was last testified here.
    pub async fn last_testimony(&self) -> Result<Option<String>, QueueError> {
        match &self.backend {
            Backend::Embedded(queue) => witness_file::read(queue.file()),
            Backend::Redis(queue) => queue.testimony().await,
        }
    }

    /// Keeps a text beside the hints, for somebody who has to know later how far the database was. Embedded: in a file that outlives the queue's own.
    pub async fn testify(&self, text: &str) -> Result<(), QueueError> {
        match &self.backend {
            Backend::Embedded(queue) => witness_file::write(queue.file(), text),
            Backend::Redis(queue) => queue.testify(text).await,
        }
    }

    /// Adds hints, first ones first, until the queue holds [`WAITING_MAX`]; says how many it took.
    ///
    /// On an error some may have been taken. Pushing those again is harmless.
    pub async fn push(&self, hints: &[Hint]) -> Result<usize, QueueError> {
        let _turn = self.pushing.lock().await;
        let mut taken = 0;
        while taken < hints.len() {
            let room = self.backend.room().await?;
            let chunk = room.min(CHUNK).min(hints.len() - taken);
            if chunk == 0 {
                break;
            }
            self.backend.push(&hints[taken..taken + chunk]).await?;
            taken += chunk;
        }
        Ok(taken)
    }

    /// Counts the hints in the queue.
    pub async fn depth(&self) -> Result<Depth, QueueError> {
        match &self.backend {
            Backend::Embedded(queue) => queue.depth().await,
            Backend::Redis(queue) => queue.depth().await,
        }
    }

    /// Whether the queue answers, within 2 s.
    pub async fn ping(&self) -> Result<(), QueueError> {
        match &self.backend {
            Backend::Embedded(queue) => queue.ping().await,
            Backend::Redis(queue) => queue.ping().await,
        }
    }

    /// Removes what finished hints left behind and what could block a worker. Safe at any time; every few minutes will do.
    pub async fn tidy(&self) -> Result<(), QueueError> {
        match &self.backend {
            Backend::Embedded(queue) => queue.tidy().await,
            Backend::Redis(queue) => queue.tidy().await,
        }
    }

    /// Signs of life of the workers that this queue and its clones run.
    pub fn liveness(&self) -> Liveness {
        self.pulse.read()
    }

    /// Gives hints to `handler` until `shutdown` is cancelled, then lets running handlers finish for at most
    /// `workers.grace`. Outlives outages of the queue: a worker that fails is started again. Errors: settings only.
    ///
    /// A panic in the handler is logged and ends that one call. A handler must bear being dropped at any await, once
    /// grace is over or when this future is dropped, and must bear being called twice for one hint, also at the same
    /// time: work under a lease in the database that runs out.
    pub async fn work<H, Fut>(&self, workers: WorkerSettings, shutdown: CancellationToken, handler: H) -> Result<(), QueueError>
    where
        H: Fn(Hint) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        workers.validate()?;
        let handlers = Handlers::new(handler, workers.concurrency);
        supervise(&self.backend, &workers, &shutdown, &handlers, &self.pulse).await;
        Ok(())
    }
}

impl Backend {
    /// Hints that may still be added. Repairs a queue that stands before the wall.
    async fn room(&self) -> Result<usize, QueueError> {
        let waiting = match self {
            Backend::Embedded(queue) => queue.depth().await?.waiting,
            Backend::Redis(queue) => queue.waiting_after_repair().await?,
        };
        Ok(usize::try_from(WAITING_MAX.saturating_sub(waiting)).unwrap_or(0))
    }

    async fn push(&self, hints: &[Hint]) -> Result<(), QueueError> {
        match self {
            Backend::Embedded(queue) => queue.push(hints).await,
            Backend::Redis(queue) => queue.push(hints).await,
        }
    }

    /// Makes sure that the queue answers and that nothing in it stops a worker. To be called before each worker's life.
    pub(crate) async fn mend(&self) -> Result<(), QueueError> {
        match self {
            Backend::Embedded(queue) => queue.ping().await,
            Backend::Redis(queue) => queue.mend().await,
        }
    }

    /// One worker from its registration to its end.
    pub(crate) fn live(&self, life: Life) -> BoxFuture<'static, Result<(), QueueError>> {
        match self {
            Backend::Embedded(queue) => queue.live(life),
            Backend::Redis(queue) => queue.live(life),
        }
    }

    /// Removes the traces of a worker that has ended. Best effort.
    pub(crate) async fn bury(&self, name: &str) {
        match self {
            Backend::Embedded(_) => {}
            Backend::Redis(queue) => queue.bury(name).await,
        }
    }
}
