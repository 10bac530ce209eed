//! Hints in a SQLite file of their own, for one process. Never shares the order system's database, never keeps a hint over a restart.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use apalis::prelude::{EventListenerExt, TaskBuilder, WorkerBuilderExt};
use apalis_sqlite::{Config, SqliteStorage};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tidemark_core::hint::Hint;
use tokio::time::timeout;

use crate::supervisor::{FETCH, HEARTBEAT, Life, MISSED_HEARTBEATS, run_worker};
use crate::{Depth, QueueError};

const QUEUE: &str = "hints";
const CONNECTIONS_MAX: u32 = 4;
const PING_PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(crate) struct EmbeddedQueue {
    pool: SqlitePool,
    file: Arc<Path>,
    _held: Arc<File>,
}

impl EmbeddedQueue {
    pub(crate) async fn open(file: &Path) -> Result<EmbeddedQueue, QueueError> {
        let held = hold_and_wipe(file)?;
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal);
        let failed = QueueError::failed("open its file");
        let pool = match SqlitePoolOptions::new().max_connections(CONNECTIONS_MAX).connect_with(options).await {
            Ok(pool) => pool,
            Err(error) => return Err(failed(error)),
        };
        // `SqliteStorage::setup` would also migrate, but sets `synchronous = OFF` on whichever connection it gets.
        SqliteStorage::migrations().run(&pool).await.map_err(QueueError::failed("create its tables"))?;
        // With this index each confirmation of a hint scans all hints that worker ever finished: 143 hints a second after
        // 20,000 of them, against 33,600 without it.
        let dropped = sqlx::query("DROP INDEX IF EXISTS LIdx").execute(&pool).await;
        dropped.map_err(QueueError::failed("create its tables"))?;
        Ok(EmbeddedQueue { pool, file: file.into(), _held: Arc::new(held) })
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// By writing, because what the folder's permissions say is neither true of an administrator nor of a file system that is read-only or full.
    pub(crate) fn probe(file: &Path) -> Result<(), QueueError> {
        let unusable = |place: &Path, cause: io::Error| QueueError::Settings {
            reason: format!("its file {} cannot be made or written ({}: {cause})", file.display(), place.display()),
        };
        let folder = nearest_folder(file);
        let trial = folder.join(format!(".tidemark-probe-{}", std::process::id()));
        File::create_new(&trial).and_then(|_| std::fs::remove_file(&trial)).map_err(|cause| unusable(folder, cause))?;
        for suffix in ["", ".lock"] {
            let path = beside(file, suffix);
            match File::options().append(true).open(&path) {
                Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(unusable(&path, cause)),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    pub(crate) async fn push(&self, hints: &[Hint]) -> Result<(), QueueError> {
        let mut tasks = Vec::with_capacity(hints.len());
        for hint in hints {
            let payload = serde_json::to_vec(hint).map_err(QueueError::failed("write a hint as JSON"))?;
            tasks.push(TaskBuilder::new(payload).build());
        }
        let doing = "add hints";
        let mut transaction = self.pool.begin().await.map_err(QueueError::failed(doing))?;
        apalis_sqlite::queries::push_tasks(&mut *transaction, QUEUE, &tasks).await.map_err(QueueError::failed(doing))?;
        transaction.commit().await.map_err(QueueError::failed(doing))
    }

    pub(crate) async fn depth(&self) -> Result<Depth, QueueError> {
        let counts = "SELECT count(*) FILTER (WHERE status = 'Pending'), count(*) FILTER (WHERE status <> 'Pending') \
                      FROM Jobs WHERE job_type = ?1 AND status IN ('Pending', 'Queued', 'Running')";
        let (waiting, running): (i64, i64) =
            sqlx::query_as(counts).bind(QUEUE).fetch_one(&self.pool).await.map_err(QueueError::failed("count its hints"))?;
        Ok(Depth { waiting: waiting.unsigned_abs(), running: running.unsigned_abs() })
    }

    pub(crate) async fn ping(&self) -> Result<(), QueueError> {
        let asked = timeout(PING_PATIENCE, sqlx::query("SELECT 1").execute(&self.pool)).await;
        asked.map_err(QueueError::failed("answer in time"))?.map_err(QueueError::failed("answer"))?;
        Ok(())
    }

    /// Our own statement: the one apalis brings compares a number with a text, so that it ignores the age it was asked
    /// for, and rewrites the whole file each time.
    pub(crate) async fn tidy(&self) -> Result<(), QueueError> {
        let finished = "DELETE FROM Jobs WHERE job_type = ?1 AND status IN ('Done', 'Killed')";
        sqlx::query(finished).bind(QUEUE).execute(&self.pool).await.map_err(QueueError::failed("remove finished hints"))?;
        Ok(())
    }

    pub(crate) fn live(&self, life: Life) -> BoxFuture<'static, Result<(), QueueError>> {
        let config = Config::default()
            .queue(QUEUE)
            .batch_size(FETCH)
            .lock_tasks(false)
            .heartbeat_interval(HEARTBEAT)
            .missed_heartbeats(MISSED_HEARTBEATS);
        let storage = SqliteStorage::<Value>::new(&self.pool).with_config(config);
        let worker = run_worker!(storage, life);
        async move { worker.await.map_err(QueueError::failed("keep its worker running")) }.boxed()
    }
}

/// Makes this process the only one on the file and removes what an earlier one left.
///
/// Without the lock a second process would unlink the file under the first, whose connections would then disagree on
/// which file is the queue.
fn hold_and_wipe(file: &Path) -> Result<File, QueueError> {
    let failed = || QueueError::failed("prepare its file");
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory).map_err(failed())?;
    }
    let held = File::create(beside(file, ".lock")).map_err(failed())?;
    match held.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(QueueError::Held { file: file.to_owned() }),
        Err(TryLockError::Error(error)) => return Err(failed()(error)),
    }
    for suffix in ["", "-wal", "-shm", "-journal"] {
        match std::fs::remove_file(beside(file, suffix)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed()(error)),
        }
    }
    Ok(held)
}

/// The folder the file is in, or where that is missing the one below which it would be made.
fn nearest_folder(file: &Path) -> &Path {
    let above = file.ancestors().skip(1).find(|folder| folder.exists());
    // A bare name has no folder but the present one.
    above.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

pub(crate) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
