//! How a CRM last described what a stream maps, and when: who asks next, and the stream that stops because it is not the same any more. Judges nothing.

use tidemark_core::Millis;
use tidemark_core::schema::Schema;

use crate::query::{get, one, run};
use crate::rows::Mapped;
use crate::{Store, StoreError, acts};

/// What was described, and how long ago by the database's clock; `None` before the first time.
pub async fn last(store: &Store, stream: i64) -> Result<Option<(Schema, Millis)>, StoreError> {
    let sql = "SELECT described, {now} - described_at FROM tidemark_stream WHERE id = $1 AND described_at IS NOT NULL";
    let Some(row) = one(&store.db, sql, vec![stream.into()]).await? else { return Ok(None) };
    let age = get(&row, 1)?;
    Ok(Schema::from_json(get::<Option<String>>(&row, 0)?.as_deref()).map(|schema| (schema, age)))
}

/// Takes the turn to ask for a running stream that nobody has asked for in this long. One of any number of workers has it.
pub async fn take_turn(store: &Store, stream: i64, every: Millis) -> Result<bool, StoreError> {
    let sql = "UPDATE tidemark_stream SET described_at = {now} WHERE id = $1 AND state = 'running' AND (described_at IS NULL OR described_at <= {now} - $2)
        AND EXISTS (SELECT 1 FROM tidemark_connection c WHERE c.name = tidemark_stream.connection AND c.state = 'running')";
    Ok(run(&store.db, sql, vec![stream.into(), every.into()]).await? == 1)
}

/// What was described is in doubt: whoever looks next asks again, unless somebody asked within this time.
pub async fn doubt(store: &Store, stream: i64, asked_within: Millis) -> Result<(), StoreError> {
    let sql = "UPDATE tidemark_stream SET described_at = 0 WHERE id = $1 AND described_at <= {now} - $2";
    run(&store.db, sql, vec![stream.into(), asked_within.into()]).await?;
    Ok(())
}

/// Remembers what was described. With a reason, the stream stops for it in the same transaction; whoever lets it go on takes what was described as it is. False when it was
/// stopped already.
pub async fn learn(store: &Store, mapped: &Mapped, schema: &Schema, reason: Option<&str>) -> Result<bool, StoreError> {
    let tx = store.begin().await?;
    let sql = "UPDATE tidemark_stream SET described = $2, described_at = {now} WHERE id = $1";
    run(&tx, sql, vec![mapped.id.into(), schema.to_json().into()]).await?;
    let mut stopped = false;
    if let Some(reason) = reason {
        let sql = "UPDATE tidemark_stream SET state = 'paused', reason = $2 WHERE id = $1 AND state = 'running'";
        stopped = run(&tx, sql, vec![mapped.id.into(), reason.into()]).await? == 1;
        if stopped {
            acts::record_in(&tx, "tidemark", "pause", &mapped.spec.name, Some(reason)).await?;
        }
    }
    tx.commit().await?;
    Ok(stopped)
}
