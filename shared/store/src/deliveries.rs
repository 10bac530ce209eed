//! What a one-way stream remembers beside its links: since when it sends, and that the rows which were there then count as delivered. Sends nothing.

use std::collections::HashSet;

use sea_orm::ConnectionTrait;
use tidemark_core::Millis;
use tidemark_core::deliver::{taken, taken_key};
use tidemark_core::record::{Row, RowKey};

use crate::dialect::{in_list, list};
use crate::links::{self, NewLink};
use crate::query::{all, get, one, run};
use crate::rows::Mapped;
use crate::session::Tx;
use crate::streams::Fence;
use crate::{Store, StoreError};

/// What every new link says of its making.
const TAKEN: &str = "taken as delivered";

/// How far a one-way stream has come with the rows that were there when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beginning {
    pub began_at: Option<Millis>,
    /// All of them were looked at.
    pub is_over: bool,
}

pub async fn beginning(store: &Store, stream: i64) -> Result<Beginning, StoreError> {
    beginning_in(&store.db, stream).await
}

pub(crate) async fn beginning_in(db: &impl ConnectionTrait, stream: i64) -> Result<Beginning, StoreError> {
    let row = one(db, "SELECT began_at, loaded_at FROM tidemark_stream WHERE id = $1", vec![stream.into()]).await?;
    let row = row.ok_or_else(|| StoreError::LeaseLost { what: format!("stream {stream}") })?;
    Ok(Beginning { began_at: get(&row, 0)?, is_over: get::<Option<Millis>>(&row, 1)?.is_some() })
}

/// Takes these rows down as delivered, except those that have changed since the stream began: they are told of by their debts. What was owed from before is forgotten with it.
/// `linked` are the keys that have a link.
pub(crate) async fn take(
    tx: &Tx,
    mapped: &Mapped,
    rows: &[Row],
    linked: &HashSet<&RowKey>,
    began_at: Millis,
) -> Result<(), StoreError> {
    let backend = tx.get_database_backend();
    let keys = || rows.iter().map(|row| row.key.as_str());
    let sql = format!(
        "SELECT subject FROM tidemark_debt WHERE stream_id = $1 AND kind = 'push' AND changed_at > $3 AND subject {0}
         UNION SELECT row_key FROM tidemark_change WHERE table_name = $4 AND at > $3 AND row_key {0}",
        in_list(backend, 2, "text")
    );
    let values = vec![mapped.id.into(), list(backend, keys()), began_at.into(), mapped.shape.log_name().into()];
    let news: HashSet<String> = all(tx, &sql, values).await?.iter().map(|row| get(row, 0)).collect::<Result<_, _>>()?;
    let old = rows.iter().filter(|row| !news.contains(row.key.as_str()));
    let new_link = |row: &Row| {
        let base = taken(&mapped.spec, row).filter(|_| !linked.contains(&row.key))?;
        Some(NewLink {
            row_key: row.key.clone(),
            remote_id: taken_key(&mapped.spec, &row.key),
            base: base.to_json(&mapped.spec),
            seen: None,
        })
    };
    let made: Vec<NewLink> = old.filter_map(new_link).collect();
    if !made.is_empty() {
        links::insert(tx, mapped.id, &made, Some(TAKEN)).await?;
    }
    let sql = format!(
        "DELETE FROM tidemark_debt WHERE stream_id = $1 AND kind = 'push' AND changed_at <= $3 AND lease_fence IS NULL AND subject {}",
        in_list(backend, 2, "text")
    );
    run(tx, &sql, vec![mapped.id.into(), list(backend, keys()), began_at.into()]).await?;
    Ok(())
}

/// The rows that were there when the stream began have all been looked at.
pub async fn end_beginning(store: &Store, fence: Fence) -> Result<(), StoreError> {
    let sql = "UPDATE tidemark_stream SET loaded_at = COALESCE(loaded_at, {now}) WHERE id = $1 AND fence = $2";
    run(&store.db, sql, vec![fence.stream.into(), fence.number.into()]).await?;
    Ok(())
}
