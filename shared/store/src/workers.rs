//! Heartbeats of processes: who is alive, by the database's clock.

use crate::query::run;
use crate::{Store, StoreError};

/// Says that `name` is alive; a process writes this every few seconds.
pub async fn beat(store: &Store, name: &str, kind: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO tidemark_worker (name, kind) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET beat_at = {now}";
    run(&store.db, sql, vec![name.into(), kind.into()]).await?;
    Ok(())
}

/// A process that ended says so; those that could not are forgotten after a day.
pub async fn leave(store: &Store, name: &str) -> Result<(), StoreError> {
    run(&store.db, "DELETE FROM tidemark_worker WHERE name = $1 OR beat_at < {now} - 86400000", vec![name.into()]).await?;
    Ok(())
}
