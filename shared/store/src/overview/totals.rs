//! Sums over everything, and what a stream would touch.

use sea_orm::ConnectionTrait;
use serde::Serialize;
use tidemark_core::spec::TableName;

use crate::dialect::{literal, quote};
use crate::query::{get, one, scalar};
use crate::{Store, StoreError};

/// One number each, over all streams. Counts of calls and records reach as far back as their rows are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub links: i64,
    pub debts: i64,
    pub parked: i64,
    pub conflicts: i64,
    pub excluded: i64,
    /// Records in push calls that the CRM accepted.
    pub pushed: i64,
    pub calls: i64,
    pub calls_failed: i64,
    pub records_read: i64,
    pub rows_changed: i64,
}

pub async fn totals(store: &Store) -> Result<Totals, StoreError> {
    let sql = "SELECT (SELECT count(*) FROM tidemark_link WHERE state <> 'tombstone'), (SELECT count(*) FROM tidemark_debt),
            (SELECT count(*) FROM tidemark_debt WHERE state = 'parked'), (SELECT CAST(COALESCE(sum(conflicts), 0) AS BIGINT) FROM tidemark_stream),
            (SELECT CAST(COALESCE(sum(excluded), 0) AS BIGINT) FROM tidemark_stream),
            (SELECT CAST(COALESCE(sum(items), 0) AS BIGINT) FROM tidemark_callout WHERE purpose = 'push' AND class IS NULL),
            (SELECT count(*) FROM tidemark_callout), (SELECT count(*) FROM tidemark_callout WHERE class IS NOT NULL),
            (SELECT CAST(COALESCE(sum(records), 0) AS BIGINT) FROM tidemark_window), (SELECT CAST(COALESCE(sum(rows_changed), 0) AS BIGINT) FROM tidemark_window)";
    let Some(row) = one(&store.db, sql, vec![]).await? else { return Ok(Totals::default()) };
    Ok(Totals {
        links: get(&row, 0)?,
        debts: get(&row, 1)?,
        parked: get(&row, 2)?,
        conflicts: get(&row, 3)?,
        excluded: get(&row, 4)?,
        pushed: get(&row, 5)?,
        calls: get(&row, 6)?,
        calls_failed: get(&row, 7)?,
        records_read: get(&row, 8)?,
        rows_changed: get(&row, 9)?,
    })
}

/// How many rows an order table holds, cheaply: PostgreSQL's own estimate (an exact count while it has none), and on SQLite a count that stops at 100 000.
/// `None` when there is no such table or it may not be read.
pub async fn rows_estimate(store: &Store, table: &TableName) -> Option<i64> {
    let table = store.qualify(table);
    let quoted = match &table.schema {
        Some(schema) => format!("{}.{}", quote(schema), quote(&table.name)),
        None => quote(&table.name),
    };
    if store.is_postgres() {
        let sql = format!("SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass({})", literal(&quoted));
        let estimate: Option<i64> = scalar(&store.db, &sql, vec![]).await.ok();
        if estimate.is_none_or(|rows| rows >= 0) {
            return estimate;
        }
    }
    count_up_to(&store.db, &quoted, 100_000).await.ok()
}

async fn count_up_to(db: &impl ConnectionTrait, quoted: &str, limit: u32) -> Result<i64, StoreError> {
    scalar(db, &format!("SELECT count(*) FROM (SELECT 1 FROM {quoted} LIMIT {limit}) few"), vec![]).await
}
