//! Recordings: the wish that a connection's calls keep their request and response for a while, and what was kept. What may be kept is decided where the call is made;
//! how long, in `core::recording`.

use sea_orm::QueryResult;
use serde::Serialize;
use tidemark_core::Millis;
use tidemark_core::recording::{CALLS_MAX, Tape};

use crate::acts::{self, By};
use crate::query::{all, get, one, run};
use crate::{Store, StoreError};

/// A recording that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recording {
    pub connection: String,
    pub until: Millis,
    /// Calls that are still kept before it ends by their number.
    pub left: i64,
    pub by: Option<String>,
    pub now: Millis,
}

/// Begins a recording, or begins it anew; false when there is no such connection. Running workers heed it with their next call.
pub async fn start(store: &Store, connection: &str, length: Millis, by: By<'_>) -> Result<bool, StoreError> {
    let tx = store.begin().await?;
    let sql = "UPDATE tidemark_connection SET record_until = {now} + $2, record_left = $3, record_by = $4 WHERE name = $1";
    let known = run(&tx, sql, vec![connection.into(), length.into(), CALLS_MAX.into(), by.who.into()]).await? == 1;
    if known {
        let subject = format!("connection {connection} for {} s", length / 1_000);
        acts::record_in(&tx, by.who, "record calls", &subject, by.reason).await?;
    }
    tx.commit().await?;
    Ok(known)
}

/// Ends a recording; false when none runs. A call that is under way is not kept any more.
pub async fn stop(store: &Store, connection: &str, by: By<'_>) -> Result<bool, StoreError> {
    let tx = store.begin().await?;
    let sql = "UPDATE tidemark_connection SET record_until = NULL, record_left = 0, record_by = NULL
        WHERE name = $1 AND record_until > {now} AND record_left > 0";
    let ran = run(&tx, sql, vec![connection.into()]).await? == 1;
    if ran {
        acts::record_in(&tx, by.who, "stop recording calls", &format!("connection {connection}"), by.reason).await?;
    }
    tx.commit().await?;
    Ok(ran)
}

/// Those that run.
pub async fn running(store: &Store) -> Result<Vec<Recording>, StoreError> {
    let sql = "SELECT name, record_until, record_left, record_by, {now} FROM tidemark_connection
        WHERE record_until > {now} AND record_left > 0 ORDER BY name LIMIT 1000";
    let read = |row: &QueryResult| {
        Ok(Recording { connection: get(row, 0)?, until: get(row, 1)?, left: get(row, 2)?, by: get(row, 3)?, now: get(row, 4)? })
    };
    all(&store.db, sql, vec![]).await?.iter().map(read).collect()
}

/// Keeps what was taped of a call, unless its recording was stopped meanwhile or has kept as many as it may. One that has run out since the call began is heeded still.
pub(crate) async fn keep(store: &Store, callout: i64, connection: &str, tape: &Tape) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    let sql = "UPDATE tidemark_connection SET record_left = record_left - 1 WHERE name = $1 AND record_until IS NOT NULL AND record_left > 0";
    if run(&tx, sql, vec![connection.into()]).await? == 1 {
        let sql = "INSERT INTO tidemark_tape (callout_id, request, response) VALUES ($1, $2, $3)";
        run(&tx, sql, vec![callout.into(), tape.request.as_str().into(), tape.response.as_deref().into()]).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// What was kept of a call.
pub async fn tape(store: &Store, callout: i64) -> Result<Option<Tape>, StoreError> {
    let sql = "SELECT request, response FROM tidemark_tape WHERE callout_id = $1";
    let row = one(&store.db, sql, vec![callout.into()]).await?;
    row.map(|row| Ok(Tape { request: get(&row, 0)?, response: get(&row, 1)? })).transpose()
}

/// Forgets what is older than `before`, or whose call is forgotten: a bounded number at a time. Returns how many those were.
pub async fn prune(store: &Store, before: Millis) -> Result<u64, StoreError> {
    let sql = "DELETE FROM tidemark_tape WHERE callout_id IN (SELECT t.callout_id FROM tidemark_tape t
        WHERE t.at < $1 OR NOT EXISTS (SELECT 1 FROM tidemark_callout c WHERE c.id = t.callout_id) ORDER BY t.callout_id LIMIT 1000)";
    run(&store.db, sql, vec![before.into()]).await
}
