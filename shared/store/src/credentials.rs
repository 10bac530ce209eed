//! The token that all processes of a connection share: who asks for the next one, and which answer is kept. Sees sealed texts and opens none.
//!
//! The lease decides who asks, the version what is kept: an answer that comes late never overwrites a newer token, and is not lost while it is the newest. Each act is one update.

use tidemark_core::Millis;

use crate::query::{get, one, run};
use crate::{Store, StoreError};

/// What is kept of a connection's credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// A digest of the grant it began with.
    pub origin: String,
    pub sealed: Option<String>,
    /// Tokens that were kept so far.
    pub version: i64,
    /// For how long the token can still be used; `None` where nobody says.
    pub lives: Option<Millis>,
    /// Who asks, or was asking and has not said what came of it.
    pub lease: Option<String>,
    /// How long that is still waited for.
    pub lease_left: Millis,
    pub refused: Option<String>,
}

/// A row for the connection, which begins anew where the grant is another.
pub async fn register(store: &Store, connection: &str, origin: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO tidemark_credential (connection, origin) VALUES ($1, $2) ON CONFLICT (connection) DO UPDATE
        SET origin = excluded.origin, sealed = NULL, good_until = NULL, version = tidemark_credential.version + 1, lease = NULL, lease_until = NULL, refused = NULL, changed_at = {now}
        WHERE tidemark_credential.origin <> excluded.origin";
    run(&store.db, sql, vec![connection.into(), origin.into()]).await?;
    Ok(())
}

pub async fn find(store: &Store, connection: &str) -> Result<Option<Credential>, StoreError> {
    let sql = "SELECT origin, sealed, version, good_until - {now}, lease, CAST(COALESCE(lease_until, 0) - {now} AS BIGINT), refused FROM tidemark_credential WHERE connection = $1";
    let Some(row) = one(&store.db, sql, vec![connection.into()]).await? else { return Ok(None) };
    Ok(Some(Credential {
        origin: get(&row, 0)?,
        sealed: get(&row, 1)?,
        version: get(&row, 2)?,
        lives: get(&row, 3)?,
        lease: get(&row, 4)?,
        lease_left: get::<Millis>(&row, 5)?.max(0),
        refused: get(&row, 6)?,
    }))
}

/// Takes the lease where nothing has changed since `seen` was read and nobody asks. False when somebody else was faster.
pub async fn claim(
    store: &Store,
    connection: &str,
    seen: &Credential,
    fence: &str,
    lease_ms: Millis,
) -> Result<bool, StoreError> {
    let sql = "UPDATE tidemark_credential SET lease = $4, lease_until = {now} + $5, changed_at = {now}
        WHERE connection = $1 AND version = $2 AND COALESCE(lease, '') = $3 AND (lease_until IS NULL OR lease_until <= {now}) AND refused IS NULL";
    let lease = seen.lease.clone().unwrap_or_default();
    let values = vec![connection.into(), seen.version.into(), lease.into(), fence.into(), lease_ms.into()];
    Ok(run(&store.db, sql, values).await? == 1)
}

/// Keeps a token that was asked for with version `seen`. False when another was kept meanwhile: that one is newer.
pub async fn keep(store: &Store, connection: &str, seen: i64, sealed: &str, lives: Option<Millis>) -> Result<bool, StoreError> {
    let sql = "UPDATE tidemark_credential SET sealed = $3, version = version + 1, good_until = {now} + $4, lease = NULL, lease_until = NULL, refused = NULL, changed_at = {now}
        WHERE connection = $1 AND version = $2";
    let values = vec![connection.into(), seen.into(), sealed.into(), lives.into()];
    Ok(run(&store.db, sql, values).await? == 1)
}

/// The same token under another seal. A newer one stays as it is.
pub async fn reseal(store: &Store, connection: &str, seen: i64, sealed: &str) -> Result<(), StoreError> {
    let sql = "UPDATE tidemark_credential SET sealed = $3, changed_at = {now} WHERE connection = $1 AND version = $2";
    run(&store.db, sql, vec![connection.into(), seen.into(), sealed.into()]).await?;
    Ok(())
}

/// Nobody waits for this lease any longer. `unheard`: what it asked for may have been given, so that its name stays.
pub async fn give_back(store: &Store, connection: &str, fence: &str, unheard: bool) -> Result<(), StoreError> {
    let sql = "UPDATE tidemark_credential SET lease = CASE WHEN $3 THEN lease END, lease_until = NULL WHERE connection = $1 AND lease = $2";
    run(&store.db, sql, vec![connection.into(), fence.into(), unheard.into()]).await?;
    Ok(())
}

/// Notes why the grant of version `seen` was refused, so that nobody asks again. False when a newer token was kept meanwhile.
pub async fn refuse(store: &Store, connection: &str, seen: i64, why: &str) -> Result<bool, StoreError> {
    let sql = "UPDATE tidemark_credential SET refused = $3, lease = NULL, lease_until = NULL, changed_at = {now} WHERE connection = $1 AND version = $2";
    Ok(run(&store.db, sql, vec![connection.into(), seen.into(), why.into()]).await? == 1)
}
