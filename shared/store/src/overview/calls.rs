//! Calls to the CRMs as a person looks at them: a list, the last hour in sum, and counters that only rise.

use sea_orm::{QueryResult, Value};
use serde::Serialize;
use tidemark_core::Millis;

use crate::query::{all, get, one, scalar};
use crate::{Store, StoreError};

/// What calls are made for.
pub const CALLOUT_PURPOSES: [&str; 8] = ["poll", "push", "read", "sweep", "describe", "erase", "check", "agree"];

/// Which calls to show; an absent part filters nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CalloutFilter {
    pub connection: Option<String>,
    pub stream: Option<String>,
    pub purpose: Option<String>,
    /// Only calls that did not succeed.
    pub failed: bool,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CalloutLine {
    pub id: i64,
    pub connection: String,
    pub stream: Option<String>,
    pub purpose: String,
    pub attempt: i32,
    pub method: String,
    pub endpoint: String,
    pub items: i32,
    pub status: Option<i32>,
    /// `None` when the call succeeded.
    pub class: Option<String>,
    pub message: Option<String>,
    pub elapsed_ms: i32,
    pub quota_left: Option<i64>,
    pub at: Millis,
    /// Its request and response were kept.
    pub taped: bool,
    pub now: Millis,
}

/// The newest calls that match.
pub async fn callouts(store: &Store, filter: &CalloutFilter, limit: u32) -> Result<Vec<CalloutLine>, StoreError> {
    let failed = if filter.failed { "AND c.class IS NOT NULL" } else { "" };
    let sql = format!(
        "{LINES} WHERE (CAST($1 AS TEXT) IS NULL OR s.name = $1) AND (CAST($2 AS TEXT) IS NULL OR c.purpose = $2) AND (CAST($3 AS TEXT) IS NULL OR c.connection = $3)
            {failed} ORDER BY c.at DESC, c.id DESC LIMIT {limit}"
    );
    let values: Vec<Value> = vec![filter.stream.clone().into(), filter.purpose.clone().into(), filter.connection.clone().into()];
    all(&store.db, &sql, values).await?.iter().map(line).collect()
}

/// One call by its number.
pub async fn find_callout(store: &Store, id: i64) -> Result<Option<CalloutLine>, StoreError> {
    let row = one(&store.db, &format!("{LINES} WHERE c.id = $1"), vec![id.into()]).await?;
    row.as_ref().map(line).transpose()
}

const LINES: &str = "SELECT c.id, c.connection, s.name, c.purpose, c.attempt, c.method, c.endpoint, c.items, c.status, c.class, c.message, c.elapsed_ms,
        c.quota_left, c.at, EXISTS (SELECT 1 FROM tidemark_tape t WHERE t.callout_id = c.id), {now}
    FROM tidemark_callout c LEFT JOIN tidemark_stream s ON s.id = c.stream_id";

fn line(row: &QueryResult) -> Result<CalloutLine, StoreError> {
    Ok(CalloutLine {
        id: get(row, 0)?,
        connection: get(row, 1)?,
        stream: get(row, 2)?,
        purpose: get(row, 3)?,
        attempt: get(row, 4)?,
        method: get(row, 5)?,
        endpoint: get(row, 6)?,
        items: get(row, 7)?,
        status: get(row, 8)?,
        class: get(row, 9)?,
        message: get(row, 10)?,
        elapsed_ms: get(row, 11)?,
        quota_left: get(row, 12)?,
        at: get(row, 13)?,
        taped: get(row, 14)?,
        now: get(row, 15)?,
    })
}

/// The last hour's calls of one connection that ended in one class (`None` is success).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CalloutSummary {
    pub connection: String,
    pub class: Option<String>,
    pub calls: i64,
    /// Of these, how many were a first attempt.
    pub first_tries: i64,
    pub elapsed_ms_sum: i64,
}

/// The last hour by connection and class, the busiest class first. The first-try success rate of a connection is `first_tries` of the row without a class, over
/// `first_tries` of all its rows.
pub async fn callout_summary(store: &Store) -> Result<Vec<CalloutSummary>, StoreError> {
    let sql = "SELECT connection, class, count(*), count(*) FILTER (WHERE attempt <= 1), CAST(sum(elapsed_ms) AS BIGINT) FROM tidemark_callout
        WHERE at > {now} - 3600000 GROUP BY connection, class ORDER BY connection, count(*) DESC, class LIMIT 2000";
    let read = |row: &QueryResult| {
        Ok(CalloutSummary {
            connection: get(row, 0)?,
            class: get(row, 1)?,
            calls: get(row, 2)?,
            first_tries: get(row, 3)?,
            elapsed_ms_sum: get(row, 4)?,
        })
    };
    all(&store.db, sql, vec![]).await?.iter().map(read).collect()
}

/// Calls with an id in `(after, up to]`, by what they were and how they ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CalloutCounter {
    pub connection: String,
    pub purpose: String,
    /// `None` when they succeeded.
    pub class: Option<String>,
    pub calls: i64,
    pub items: i64,
    pub elapsed_ms_sum: i64,
}

/// The newest call's id, 0 when there is none.
pub async fn callout_mark(store: &Store) -> Result<i64, StoreError> {
    scalar(&store.db, "SELECT COALESCE(max(id), 0) FROM tidemark_callout", vec![]).await
}

/// What a counter that only rises adds: rows are pruned by age, so it has to remember what it has seen.
pub async fn callout_counters(store: &Store, after: i64, up_to: i64) -> Result<Vec<CalloutCounter>, StoreError> {
    let sql = "SELECT connection, purpose, class, count(*), CAST(sum(items) AS BIGINT), CAST(sum(elapsed_ms) AS BIGINT) FROM tidemark_callout
        WHERE id > $1 AND id <= $2 GROUP BY connection, purpose, class ORDER BY connection, purpose, class LIMIT 5000";
    let read = |row: &QueryResult| {
        Ok(CalloutCounter {
            connection: get(row, 0)?,
            purpose: get(row, 1)?,
            class: get(row, 2)?,
            calls: get(row, 3)?,
            items: get(row, 4)?,
            elapsed_ms_sum: get(row, 5)?,
        })
    };
    all(&store.db, sql, vec![after.into(), up_to.into()]).await?.iter().map(read).collect()
}

/// What each connection's newest answer within the last hour said about the calls it has left.
pub async fn quotas(store: &Store) -> Result<Vec<(String, i64)>, StoreError> {
    let sql = "SELECT connection, quota_left FROM (
            SELECT connection, quota_left, row_number() OVER (PARTITION BY connection ORDER BY at DESC, id DESC) AS place
            FROM tidemark_callout WHERE at > {now} - 3600000 AND quota_left IS NOT NULL) newest
        WHERE place = 1 ORDER BY connection LIMIT 1000";
    all(&store.db, sql, vec![]).await?.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect()
}
