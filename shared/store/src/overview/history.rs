//! What happened lately: windows, processes, acts of people.

use sea_orm::{QueryResult, Value};
use serde::Serialize;
use tidemark_core::Millis;

use crate::query::{all, get};
use crate::{Store, StoreError};

/// A window, open or completed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WindowRow {
    pub id: i64,
    pub stream: String,
    /// `fast`, `settled` or `sweep`.
    pub reader: String,
    /// CRM clock; the window is `[from, until)`.
    pub from: Millis,
    pub until: Millis,
    /// `open`, `completed` or `abandoned`; of a sweep also `drained`.
    pub state: String,
    /// Of a sweep that ended: `sealed`, or why it concludes nothing.
    pub seal: Option<String>,
    pub pages: i64,
    pub records: i64,
    pub rows_changed: i64,
    pub parked: i64,
    pub started_at: Millis,
    pub ended_at: Option<Millis>,
    pub now: Millis,
}

/// The newest windows, of one stream or of all.
pub async fn windows(store: &Store, stream: Option<i64>, limit: u32) -> Result<Vec<WindowRow>, StoreError> {
    let (only, values): (&str, Vec<Value>) = match stream {
        Some(id) => ("WHERE w.stream_id = $1", vec![id.into()]),
        None => ("", vec![]),
    };
    let sql = format!(
        "SELECT w.id, s.name, w.reader, w.from_stamp, w.until_stamp, w.state, w.pages, w.records, w.rows_changed, w.parked, w.started_at, w.ended_at, {{now}}, w.seal
         FROM tidemark_window w JOIN tidemark_stream s ON s.id = w.stream_id {only} ORDER BY w.id DESC LIMIT {limit}"
    );
    let read = |row: &QueryResult| {
        Ok(WindowRow {
            id: get(row, 0)?,
            stream: get(row, 1)?,
            reader: get(row, 2)?,
            from: get(row, 3)?,
            until: get(row, 4)?,
            state: get(row, 5)?,
            pages: get(row, 6)?,
            records: get(row, 7)?,
            rows_changed: get(row, 8)?,
            parked: get(row, 9)?,
            started_at: get(row, 10)?,
            ended_at: get(row, 11)?,
            now: get(row, 12)?,
            seal: get(row, 13)?,
        })
    };
    all(&store.db, &sql, values).await?.iter().map(read).collect()
}

/// A process that has not beaten for this long counts as dead.
pub const WORKER_LIFE_MS: Millis = 20_000;

/// A process of ours, by its heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkerRow {
    pub name: String,
    pub kind: String,
    pub started_at: Millis,
    pub beat_at: Millis,
    pub alive: bool,
    pub now: Millis,
}

/// Every process that beat within the last hour, the living first.
pub async fn workers(store: &Store) -> Result<Vec<WorkerRow>, StoreError> {
    let sql = "SELECT name, kind, started_at, beat_at, {now} FROM tidemark_worker WHERE beat_at > {now} - 3600000 ORDER BY beat_at DESC, name LIMIT 500";
    let read = |row: &QueryResult| -> Result<WorkerRow, StoreError> {
        let (beat_at, now): (Millis, Millis) = (get(row, 3)?, get(row, 4)?);
        Ok::<_, StoreError>(WorkerRow {
            name: get(row, 0)?,
            kind: get(row, 1)?,
            started_at: get(row, 2)?,
            beat_at,
            alive: now - beat_at <= WORKER_LIFE_MS,
            now,
        })
    };
    let mut rows: Vec<WorkerRow> = all(&store.db, sql, vec![]).await?.iter().map(read).collect::<Result<_, _>>()?;
    rows.sort_by(|a, b| (b.alive, &a.kind, &a.name).cmp(&(a.alive, &b.kind, &b.name)));
    Ok(rows)
}

/// What a person did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActLine {
    pub id: i64,
    pub at: Millis,
    pub who: String,
    pub verb: String,
    pub subject: String,
    pub reason: Option<String>,
    pub now: Millis,
}

/// The newest acts.
pub async fn acts(store: &Store, limit: u32) -> Result<Vec<ActLine>, StoreError> {
    let sql = format!("SELECT id, at, who, verb, subject, reason, {{now}} FROM tidemark_act ORDER BY id DESC LIMIT {limit}");
    let read = |row: &QueryResult| {
        Ok(ActLine {
            id: get(row, 0)?,
            at: get(row, 1)?,
            who: get(row, 2)?,
            verb: get(row, 3)?,
            subject: get(row, 4)?,
            reason: get(row, 5)?,
            now: get(row, 6)?,
        })
    };
    all(&store.db, &sql, vec![]).await?.iter().map(read).collect()
}
