//! Sets the readers of a stream back, and counts what they will read again. Whether they may be is decided in the core.

use tidemark_core::Millis;

use crate::acts::By;
use crate::query::{get, one, run, scalar};
use crate::{Store, StoreError, acts};

/// What is known of the records that were modified since a moment, CRM clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Linked pairs whose newest version carries such a stamp: at least these are read.
    pub linked: i64,
    /// What the fast reader read since: at most these, for a record that was modified twice counts twice. `None` where its windows are not remembered that long.
    pub read: Option<i64>,
}

pub async fn known(store: &Store, stream: i64, since: Millis) -> Result<Known, StoreError> {
    let sql = "SELECT count(*) FROM tidemark_link WHERE stream_id = $1 AND state = 'linked' AND seen >= $2";
    let linked = scalar(&store.db, sql, vec![stream.into(), since.into()]).await?;
    let sql = "SELECT CAST(COALESCE(sum(records), 0) AS BIGINT), COALESCE(min(from_stamp) <= $2, false) FROM tidemark_window
        WHERE stream_id = $1 AND reader = 'fast' AND state = 'completed' AND until_stamp > $2";
    let row = one(&store.db, sql, vec![stream.into(), since.into()]).await?;
    let read = row.map(|row| Ok::<_, StoreError>(get::<bool>(&row, 1)?.then_some(get::<i64>(&row, 0)?))).transpose()?.flatten();
    // A record that came by another way (made by a push, read by its id) is in no window.
    Ok(Known { linked, read: read.map(|read| read.max(linked)) })
}

/// Sets both readers back to `to`, each no farther than it has come, and owes a poll. Whoever reads the stream now loses its claim, and what its readers had begun is
/// abandoned: the end of that window would set the cursor forward again. A sweep goes on where it stands. False when the fast reader is not beyond `to` any more.
pub async fn rewind(store: &Store, stream: i64, name: &str, to: Millis, by: By<'_>) -> Result<bool, StoreError> {
    let tx = store.begin().await?;
    let sql = "UPDATE tidemark_stream SET fence = fence + 1, lease_until = NULL, lease_owner = NULL, fast_until = $2,
        settled_until = CASE WHEN settled_until > $2 THEN $2 ELSE settled_until END, settled_due_at = 0, poll_owed_at = COALESCE(poll_owed_at, {now}),
        poll_hinted_at = NULL WHERE id = $1 AND fast_until > $2 AND loaded_at IS NOT NULL";
    if run(&tx, sql, vec![stream.into(), to.into()]).await? != 1 {
        tx.rollback().await?;
        return Ok(false);
    }
    let sql = "UPDATE tidemark_window SET state = 'abandoned', ended_at = {now} WHERE stream_id = $1 AND state = 'open' AND reader <> 'sweep'";
    run(&tx, sql, vec![stream.into()]).await?;
    acts::record_in(&tx, by.who, "rewind", name, by.reason).await?;
    tx.commit().await?;
    Ok(true)
}
