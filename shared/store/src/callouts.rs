//! The record of every HTTP call to a CRM: attempt, class, status, time, quota left. Written in batches, pruned by age.

use sea_orm::Value;
use tidemark_core::Millis;
use tidemark_core::recording::Tape;

use crate::dialect::table;
use crate::query::{run, scalar};
use crate::{Store, StoreError, recordings};

/// One call, as it is remembered. Texts are free of secrets and personal data.
#[derive(Debug, Clone)]
pub struct CalloutRow {
    pub connection: String,
    pub stream: Option<i64>,
    /// What the call was for: `poll`, `push`, `read`, `check`, `agree`.
    pub purpose: &'static str,
    /// From 1.
    pub attempt: u32,
    pub method: &'static str,
    pub endpoint: String,
    /// Records asked for or sent.
    pub items: u32,
    pub status: Option<u16>,
    pub class: Option<&'static str>,
    pub message: Option<String>,
    pub elapsed_ms: u32,
    pub quota_left: Option<i64>,
    /// When it was answered, database clock as the caller measured it.
    pub at: Millis,
    /// Where the connection is recorded.
    pub tape: Option<Box<Tape>>,
}

/// Stores a batch of calls: in one statement, but for those that are recorded, which are looked up by their number.
pub async fn record(store: &Store, calls: &[CalloutRow]) -> Result<(), StoreError> {
    let (taped, plain): (Vec<&CalloutRow>, Vec<&CalloutRow>) = calls.iter().partition(|call| call.tape.is_some());
    if !plain.is_empty() {
        let (sql, values) = insert(store, &plain);
        run(&store.db, &sql, values).await?;
    }
    for call in taped {
        let (sql, values) = insert(store, &[call]);
        let id: i64 = scalar(&store.db, &format!("{sql} RETURNING id"), values).await?;
        if let Some(tape) = &call.tape {
            recordings::keep(store, id, &call.connection, tape).await?;
        }
    }
    Ok(())
}

fn insert(store: &Store, calls: &[&CalloutRow]) -> (String, Vec<Value>) {
    let numbers: Vec<[Option<String>; 7]> = calls
        .iter()
        .map(|call| {
            [
                call.stream.map(|stream| stream.to_string()),
                Some(call.attempt.to_string()),
                Some(call.items.to_string()),
                call.status.map(|status| status.to_string()),
                Some(call.elapsed_ms.to_string()),
                call.quota_left.map(|left| left.to_string()),
                Some(call.at.to_string()),
            ]
        })
        .collect();
    let mut cells: Vec<Option<&str>> = Vec::with_capacity(calls.len() * 13);
    for (call, [stream, attempt, items, status, elapsed, quota, at]) in calls.iter().zip(&numbers) {
        cells.extend([
            Some(call.connection.as_str()),
            stream.as_deref(),
            Some(call.purpose),
            attempt.as_deref(),
            Some(call.method),
        ]);
        cells.extend([Some(call.endpoint.as_str()), items.as_deref(), status.as_deref(), call.class, call.message.as_deref()]);
        cells.extend([elapsed.as_deref(), quota.as_deref(), at.as_deref()]);
    }
    let backend = sea_orm::ConnectionTrait::get_database_backend(&store.db);
    let (source, values) = table(backend, 1, 13, &cells);
    let sql = format!(
        "INSERT INTO tidemark_callout (connection, stream_id, purpose, attempt, method, endpoint, items, status, class, message, elapsed_ms, quota_left, at)
         SELECT v.c0, CAST(v.c1 AS BIGINT), v.c2, CAST(v.c3 AS INTEGER), v.c4, v.c5, CAST(v.c6 AS INTEGER), CAST(v.c7 AS INTEGER), v.c8, v.c9,
            CAST(v.c10 AS INTEGER), CAST(v.c11 AS BIGINT), CAST(v.c12 AS BIGINT) FROM {source}"
    );
    (sql, values)
}

/// Forgets calls older than `before`, a bounded number at a time.
pub async fn prune(store: &Store, before: Millis) -> Result<u64, StoreError> {
    let sql = "DELETE FROM tidemark_callout WHERE id IN (SELECT id FROM tidemark_callout WHERE at < $1 ORDER BY at LIMIT 5000)";
    run(&store.db, sql, vec![before.into()]).await
}
