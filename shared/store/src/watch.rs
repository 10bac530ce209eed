//! How capture stands on the tables of a running system, and what follows when a trigger is gone: it is noted once, and every row is compared.
//!
//! The note is a compare-and-set, so that of any number of watchers one tells. Looks at nothing itself: `capture::verify` does.

use sea_orm::ConnectionTrait;
use tidemark_core::Millis;

use crate::capture::Standing;
use crate::query::{all, get, run};
use crate::shape::TableShape;
use crate::{Store, StoreError};

/// What was not so when somebody last looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A trigger is gone or disabled.
    Lost,
    /// All are there again.
    Back,
}

/// What the lost trigger would have told of is drift, unless somebody has told that the rows are to be compared.
const WALK: &str = "walk_owed = CASE WHEN walk_owed = 1 THEN 1 ELSE 2 END, walk_position = NULL, walk_pass = NULL, poll_owed_at = COALESCE(poll_owed_at, {now})";

/// Notes how capture stands on a table, for all its streams. While it is lost, and where it is not possible at all, every row is compared again each `walk_every`; and
/// once more when it is back, for what was changed in between.
pub async fn note(
    store: &Store,
    shape: &TableShape,
    standing: Standing,
    walk_every: Millis,
) -> Result<Option<Change>, StoreError> {
    let word = match standing {
        // An older or newer mapping's triggers: while processes are exchanged one after another, both are right.
        Standing::Installed | Standing::Outdated => "installed",
        Standing::Missing => "missing",
        Standing::NotPossible => "impossible",
    };
    let table = shape.log_name();
    // Asked first: on SQLite an update takes the write lock even when it finds nothing to do.
    let sql = "SELECT count(*) FILTER (WHERE capture IS NULL OR capture <> $2), count(*) FILTER (WHERE capture <> 'installed' AND walk_owed = 0 AND capture_walk_at <= {now})
        FROM tidemark_stream WHERE table_name = $1";
    let rows = all(&store.db, sql, vec![table.clone().into(), word.into()]).await?;
    let counts = rows.first().map(|row| Ok::<_, StoreError>((get::<i64>(row, 0)?, get::<i64>(row, 1)?))).transpose()?;
    let (changed, due) = counts.unwrap_or_default();
    let mut change = None;
    if changed > 0 {
        let sql = format!(
            "UPDATE tidemark_stream SET capture = $2, capture_walk_at = {{now}} + $3, {WALK} WHERE table_name = $1 AND COALESCE(capture, 'installed') <> $2"
        );
        if run(&store.db, &sql, vec![table.clone().into(), word.into(), walk_every.into()]).await? > 0 {
            change = match standing {
                Standing::Missing => Some(Change::Lost),
                Standing::Installed | Standing::Outdated => Some(Change::Back),
                Standing::NotPossible => None,
            };
        }
        let sql = "UPDATE tidemark_stream SET capture = $2 WHERE table_name = $1 AND capture IS NULL";
        run(&store.db, sql, vec![table.clone().into(), word.into()]).await?;
    }
    if due > 0 {
        let sql = format!(
            "UPDATE tidemark_stream SET capture_walk_at = {{now}} + $2, {WALK} WHERE table_name = $1 AND capture <> 'installed' AND walk_owed = 0 AND capture_walk_at <= {{now}}"
        );
        run(&store.db, &sql, vec![table.into(), walk_every.into()]).await?;
    }
    Ok(change)
}

/// In the transaction that puts the triggers back.
pub(crate) async fn installed_again(db: &impl ConnectionTrait, shape: &TableShape) -> Result<(), StoreError> {
    let sql = format!("UPDATE tidemark_stream SET capture = 'installed', {WALK} WHERE table_name = $1");
    run(db, &sql, vec![shape.log_name().into()]).await?;
    Ok(())
}
