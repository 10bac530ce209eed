//! Connections: running or paused, which account stands behind them, whose turn it is to try their credentials, how far the CRM's clock is off.

use tidemark_core::Millis;
use tidemark_core::spec::ConnectionSpec;

use crate::query::{all, get, one, run, scalar};
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
    /// Its credentials were refused; they are tried again in so many milliseconds, less than none where that is due.
    pub probe_in: Option<Millis>,
}

/// Whose turn it is to try credentials that are not known to be good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// The caller's, until then, in the database's time: it is over by [`end_trial`], or lapses.
    Ours { until: Millis },
    /// Another job's.
    Elsewhere,
    /// Nobody's: the connection is paused.
    Paused,
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
    let sql = "SELECT name, connector, state, reason, account, environment, clock_offset_ms, probe_at - {now} FROM tidemark_connection ORDER BY name LIMIT 1000";
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
            probe_in: get(row, 7)?,
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

/// Takes the turn for `lasts`, unless another job of any worker has it. One statement decides over turn and pause.
pub async fn begin_trial(store: &Store, name: &str, lasts: Millis) -> Result<Trial, StoreError> {
    let sql = "UPDATE tidemark_connection SET trial_until = {now} + $2
        WHERE name = $1 AND state = 'running' AND (trial_until IS NULL OR trial_until <= {now}) RETURNING trial_until";
    if let Some(row) = one(&store.db, sql, vec![name.into(), lasts.into()]).await? {
        return Ok(Trial::Ours { until: get(&row, 0)? });
    }
    let sql = "SELECT count(*) FROM tidemark_connection WHERE name = $1 AND state = 'running'";
    Ok(if scalar::<i64>(&store.db, sql, vec![name.into()]).await? > 0 { Trial::Elsewhere } else { Trial::Paused })
}

/// Gives the turn back, unless it has lapsed and is another's.
pub async fn end_trial(store: &Store, name: &str, until: Millis) -> Result<(), StoreError> {
    let sql = "UPDATE tidemark_connection SET trial_until = NULL WHERE name = $1 AND trial_until = $2";
    run(&store.db, sql, vec![name.into(), until.into()]).await?;
    Ok(())
}

/// The CRM refused the credentials: paused, and tried again after `probe_in`, where it can be tried. False when it is paused already.
pub async fn refuse(store: &Store, name: &str, reason: &str, probe_in: Option<Millis>) -> Result<bool, StoreError> {
    let sql = "UPDATE tidemark_connection SET state = 'paused', reason = $2, probe_at = {now} + $3, changed_at = {now}
        WHERE name = $1 AND state = 'running'";
    Ok(run(&store.db, sql, vec![name.into(), reason.into(), probe_in.into()]).await? == 1)
}

/// Takes the turn to try refused credentials again: one worker in `every` milliseconds, and never of what a person paused.
pub async fn take_probe(store: &Store, name: &str, every: Millis) -> Result<bool, StoreError> {
    let sql = "UPDATE tidemark_connection SET probe_at = {now} + $2 WHERE name = $1 AND state = 'paused' AND probe_at <= {now}";
    Ok(run(&store.db, sql, vec![name.into(), every.into()]).await? == 1)
}

/// Pauses or resumes, as a person wishes; with the reason everybody sees. Returns false when there is no such connection. Work that waited out a pause is due again.
pub async fn set_state(store: &Store, name: &str, state: &str, reason: Option<&str>) -> Result<bool, StoreError> {
    let sql = "UPDATE tidemark_connection SET state = $2, reason = $3, probe_at = NULL, trial_until = NULL, changed_at = {now} WHERE name = $1";
    let known = run(&store.db, sql, vec![name.into(), state.into(), reason.into()]).await? == 1;
    if known && state == "running" {
        make_due(store, name).await?;
        // Whoever resumes says that the credentials may be tried once more.
        run(&store.db, "UPDATE tidemark_credential SET refused = NULL WHERE connection = $1", vec![name.into()]).await?;
    }
    Ok(known)
}

/// The CRM takes the refused credentials again: resumes, unless a person has paused or resumed meanwhile. False when nothing was resumed.
pub async fn accept(store: &Store, name: &str) -> Result<bool, StoreError> {
    let sql = "UPDATE tidemark_connection SET state = 'running', reason = NULL, probe_at = NULL, changed_at = {now}
        WHERE name = $1 AND state = 'paused' AND probe_at IS NOT NULL";
    let resumed = run(&store.db, sql, vec![name.into()]).await? == 1;
    if resumed {
        make_due(store, name).await?;
    }
    Ok(resumed)
}

async fn make_due(store: &Store, name: &str) -> Result<(), StoreError> {
    let sql = "UPDATE tidemark_stream SET poll_owed_at = {now}, poll_attempts = 0 WHERE connection = $1 AND poll_owed_at > {now}";
    run(&store.db, sql, vec![name.into()]).await?;
    Ok(())
}
