//! Windows: the progress of each reader, kept in the transactions that apply its pages.

use sea_orm::ConnectionTrait;
use tidemark_core::Millis;
use tidemark_core::bug::{Bug, planted};
use tidemark_core::source::Position;
use tidemark_core::window::{Reader, Window};

use crate::query::{get, one, run, scalar};
use crate::streams::{self, Fence, cursor_column};
use crate::{Store, StoreError};

/// A window that is being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenWindow {
    pub id: i64,
    pub reader: Reader,
    pub window: Window,
    /// Where to go on; `None` at its start.
    pub position: Option<Position>,
    pub pages: i64,
    pub records: i64,
}

/// The window this reader left open, if it was read with the same query; with another query it starts again at its own beginning.
pub async fn resume(store: &Store, stream: i64, reader: Reader, query_digest: &str) -> Result<Option<OpenWindow>, StoreError> {
    let sql = "SELECT id, from_stamp, until_stamp, position, query_digest, pages, records FROM tidemark_window
        WHERE stream_id = $1 AND reader = $2 AND state = 'open' ORDER BY id LIMIT 1";
    let Some(row) = one(&store.db, sql, vec![stream.into(), reader.word().into()]).await? else { return Ok(None) };
    let id: i64 = get(&row, 0)?;
    let same = get::<String>(&row, 4)? == query_digest || planted(Bug::ResumesAcrossMappings);
    if !same {
        let sql = "UPDATE tidemark_window SET position = NULL, query_digest = $2 WHERE id = $1";
        run(&store.db, sql, vec![id.into(), query_digest.into()]).await?;
    }
    let position: Option<String> = get(&row, 3)?;
    Ok(Some(OpenWindow {
        id,
        reader,
        window: Window { from: get(&row, 1)?, until: get(&row, 2)? },
        position: position.filter(|_| same).map(Position),
        pages: get(&row, 5)?,
        records: get(&row, 6)?,
    }))
}

/// Fixes a window before its first request. Behind the fence: whoever set the cursors back meanwhile has abandoned the windows it saw, and one more that reaches from
/// the old cursor would set them forward again.
pub async fn open(
    store: &Store,
    fence: Fence,
    reader: Reader,
    window: Window,
    query_digest: &str,
) -> Result<OpenWindow, StoreError> {
    let sql = "INSERT INTO tidemark_window (stream_id, reader, from_stamp, until_stamp, query_digest, started_at) VALUES ($1, $2, $3, $4, $5, {now}) RETURNING id";
    let values = vec![fence.stream.into(), reader.word().into(), window.from.into(), window.until.into(), query_digest.into()];
    let tx = store.begin().await?;
    streams::hold(&tx, fence).await?;
    let id = scalar(&tx, sql, values).await?;
    tx.commit().await?;
    Ok(OpenWindow { id, reader, window, position: None, pages: 0, records: 0 })
}

/// The place that was reached leads no further: the window is read again from its beginning.
pub async fn begin_again(store: &Store, fence: Fence, window: i64) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    streams::hold(&tx, fence).await?;
    run(&tx, "UPDATE tidemark_window SET position = NULL WHERE id = $1 AND state = 'open'", vec![window.into()]).await?;
    tx.commit().await?;
    Ok(())
}

/// What a page did, for the window's counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PageCounts {
    /// Records inside the window; those outside are applied, never counted.
    pub records: i64,
    pub rows_changed: i64,
    pub parked: i64,
    pub excluded: i64,
    pub conflicts: i64,
    pub owed_reads: i64,
    /// Records a sweep found different although no reader told.
    pub drift: i64,
}

/// Stores a page's progress, or the window's end with the cursor, in the page's own transaction.
pub(crate) async fn advance(
    db: &impl ConnectionTrait,
    fence: Fence,
    window: &OpenWindow,
    next: Option<&Position>,
    pages: usize,
    counts: PageCounts,
) -> Result<(), StoreError> {
    // What a sweep came to is decided over all its links, in a transaction of its own.
    let state = match (next, window.reader) {
        (Some(_), _) => "open",
        (None, Reader::Sweep) => "drained",
        (None, Reader::Fast | Reader::Settled) => "completed",
    };
    let sql = "UPDATE tidemark_window SET position = $2, pages = pages + $7, records = records + $3, rows_changed = rows_changed + $4, parked = parked + $5,
        drift = drift + $8, state = $6, ended_at = CASE WHEN $6 = 'completed' THEN {now} END WHERE id = $1 AND state = 'open' AND (fence IS NULL OR fence = $9)";
    let values = vec![
        window.id.into(),
        next.map(|position| position.0.clone()).into(),
        counts.records.into(),
        counts.rows_changed.into(),
        counts.parked.into(),
        state.into(),
        i64::try_from(pages).unwrap_or(1).into(),
        counts.drift.into(),
        fence.number.into(),
    ];
    if run(db, sql, values).await? != 1 {
        return Err(StoreError::LeaseLost { what: format!("window {}", window.id) });
    }
    count(db, fence.stream, counts).await?;
    if next.is_none() {
        finish(db, fence, window).await?;
    }
    Ok(())
}

/// Adds to the stream's own counters.
pub(crate) async fn count(db: &impl ConnectionTrait, stream: i64, counts: PageCounts) -> Result<(), StoreError> {
    if counts.excluded != 0 || counts.conflicts != 0 {
        let sql = "UPDATE tidemark_stream SET excluded = excluded + $2, conflicts = conflicts + $3 WHERE id = $1";
        run(db, sql, vec![stream.into(), counts.excluded.into(), counts.conflicts.into()]).await?;
    }
    Ok(())
}

async fn finish(db: &impl ConnectionTrait, fence: Fence, window: &OpenWindow) -> Result<(), StoreError> {
    let Some(column) = cursor_column(window.reader) else { return Ok(()) };
    let first_load = if window.reader == Reader::Fast {
        ", walk_owed = CASE WHEN loaded_at IS NULL THEN 1 ELSE walk_owed END, loaded_at = COALESCE(loaded_at, {now}),
            sweep_owed_at = CASE WHEN loaded_at IS NULL AND held_at IS NOT NULL THEN {now} ELSE sweep_owed_at END,
            sweep_begun_at = CASE WHEN loaded_at IS NULL AND held_at IS NOT NULL THEN {now} ELSE sweep_begun_at END"
    } else {
        ""
    };
    // The cursor only moves forward; a window that re-reads older ground leaves it.
    let sql = format!(
        "UPDATE tidemark_stream SET {column} = CASE WHEN COALESCE({column}, 0) > $3 AND COALESCE({column}, 0) <= {{now}} THEN {column} ELSE $3 END {first_load} WHERE id = $1 AND fence = $2"
    );
    let until = if planted(Bug::CursorAtTheEnd) { scalar(db, "SELECT {now}", vec![]).await? } else { window.window.until };
    run(db, &sql, vec![fence.stream.into(), fence.number.into(), until.into()]).await?;
    Ok(())
}

/// Where the settled reader begins: written once, when the first load begins.
pub async fn set_settled_start(store: &Store, fence: Fence, start: Millis) -> Result<(), StoreError> {
    let sql = "UPDATE tidemark_stream SET settled_until = COALESCE(settled_until, $3) WHERE id = $1 AND fence = $2";
    run(&store.db, sql, vec![fence.stream.into(), fence.number.into(), start.into()]).await?;
    Ok(())
}

/// Forgets windows that ended before `before`, a bounded number at a time.
pub async fn prune(store: &Store, before: Millis) -> Result<u64, StoreError> {
    let sql = "DELETE FROM tidemark_window WHERE id IN (SELECT id FROM tidemark_window WHERE state <> 'open' AND ended_at < $1 ORDER BY id LIMIT 5000)";
    run(&store.db, sql, vec![before.into()]).await
}
