//! Connections: running or paused, which account stands behind them, how far the CRM's clock is off.

use tidemark_core::spec::ConnectionSpec;

use crate::query::{all, get, run, scalar};
use crate::{Store, StoreError};

/// A connection's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    pub name: String,
    pub connector: String,
    pub state: String,
    pub reason: Option<String>,
    pub account: Option<String>,
    pub environment: Option<String>,
    pub clock_offset_ms: i64,
}

pub async fn register(store: &Store, spec: &ConnectionSpec) -> Result<(), StoreError> {
    // A process that stands still may hold the row: whoever starts with the connector that is known asks for no lock.
    let same = "SELECT count(*) FROM tidemark_connection WHERE name = $1 AND connector = $2";
    if scalar::<i64>(&store.db, same, vec![spec.name.clone().into(), spec.connector.clone().into()]).await? > 0 {
        return Ok(());
    }
    let sql = "INSERT INTO tidemark_connection (name, connector) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET connector = excluded.connector";
    run(&store.db, sql, vec![spec.name.clone().into(), spec.connector.clone().into()]).await?;
    Ok(())
}

pub async fn list(store: &Store) -> Result<Vec<Connection>, StoreError> {
    let sql = "SELECT name, connector, state, reason, account, environment, clock_offset_ms FROM tidemark_connection ORDER BY name LIMIT 1000";
    let rows = all(&store.db, sql, vec![]).await?;
    let read = |row: &sea_orm::QueryResult| {
        Ok(Connection {
            name: get(row, 0)?,
            connector: get(row, 1)?,
            state: get(row, 2)?,
            reason: get(row, 3)?,
            account: get(row, 4)?,
            environment: get(row, 5)?,
            clock_offset_ms: get(row, 6)?,
        })
    };
    rows.iter().map(read).collect()
}

/// The account that answered; remembered so that a token of another account is noticed.
pub async fn set_account(store: &Store, name: &str, account: &str, environment: &str) -> Result<(), StoreError> {
    let sql = "UPDATE tidemark_connection SET account = $2, environment = $3 WHERE name = $1";
    run(&store.db, sql, vec![name.into(), account.into(), environment.into()]).await?;
    Ok(())
}

pub async fn set_clock_offset(store: &Store, name: &str, offset_ms: i64) -> Result<(), StoreError> {
    let sql = "UPDATE tidemark_connection SET clock_offset_ms = $2 WHERE name = $1 AND clock_offset_ms <> $2";
    run(&store.db, sql, vec![name.into(), offset_ms.into()]).await?;
    Ok(())
}

/// Pauses or resumes; with the reason everybody sees. Returns false when there is no such connection. Work that waited out a pause is due again.
pub async fn set_state(store: &Store, name: &str, state: &str, reason: Option<&str>) -> Result<bool, StoreError> {
    let sql = "UPDATE tidemark_connection SET state = $2, reason = $3, changed_at = {now} WHERE name = $1";
    let known = run(&store.db, sql, vec![name.into(), state.into(), reason.into()]).await? == 1;
    if known && state == "running" {
        let sql =
            "UPDATE tidemark_stream SET poll_owed_at = {now}, poll_attempts = 0 WHERE connection = $1 AND poll_owed_at > {now}";
        run(&store.db, sql, vec![name.into()]).await?;
        // Whoever resumes says that the credentials may be tried once more.
        run(&store.db, "UPDATE tidemark_credential SET refused = NULL WHERE connection = $1", vec![name.into()]).await?;
    }
    Ok(known)
}
