//! The local walk: every row in key order against its link, owing a push where they differ. After a first load, a bulk statement or a changed mapping it finds what
//! no trigger told.

use std::collections::HashMap;

use tidemark_core::base::Base;
use tidemark_core::merge::LinkState;
use tidemark_core::record::{Row, RowKey};

use crate::debts::{Kind, owe};
use crate::links::{self, By};
use crate::query::{run, scalar};
use crate::rows::{self, Mapped};
use crate::streams::{self, Fence};
use crate::{Store, StoreError};

/// What one step of a walk came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walked {
    pub rows: usize,
    pub owed: u64,
    pub done: bool,
}

/// Walks up to `limit` rows on from where the stream's walk stands. Where that is, is read under the stream's lock: a walk that is owed again while it is under way
/// begins again, or the rows it has passed would not be compared with what was agreed since.
pub async fn step(store: &Store, mapped: &Mapped, fence: Fence, limit: u64) -> Result<Walked, StoreError> {
    let tx = store.begin().await?;
    streams::hold(&tx, fence).await?;
    let sql = "SELECT walk_position FROM tidemark_stream WHERE id = $1";
    let position: Option<String> = scalar(&tx, sql, vec![mapped.id.into()]).await?;
    let rows = rows::walk_in(&tx, mapped, position.as_deref(), limit).await?;
    let links = links::free(&tx, mapped, By::Row, rows.iter().map(|row| row.key.as_str())).await?;
    let links: HashMap<&RowKey, _> = links.iter().filter_map(|link| Some((link.row_key.as_ref()?, link))).collect();
    let differs = |row: &&Row| match links.get(&row.key) {
        None => row.is_sendable(&mapped.spec),
        Some(link) => link.view.state != LinkState::Tombstone && is_owed(mapped, &link.view.base, row),
    };
    let owing: Vec<&str> = rows.iter().filter(differs).map(|row| row.key.as_str()).collect();
    let owed = if mapped.spec.direction.writes_records() {
        owe(&tx, mapped.id, Kind::Push, owing.into_iter(), 0, false).await?
    } else {
        0
    };
    let done = (rows.len() as u64) < limit;
    let sql = "UPDATE tidemark_stream SET walk_owed = $2, walk_position = $3 WHERE id = $1";
    let stored = rows.last().map(|row| row.key.0.clone()).filter(|_| !done);
    run(&tx, sql, vec![mapped.id.into(), i64::from(!done).into(), stored.into()]).await?;
    tx.commit().await?;
    Ok(Walked { rows: rows.len(), owed, done })
}

fn is_owed(mapped: &Mapped, base: &Base, row: &Row) -> bool {
    base.owes()
        || row.values(&mapped.spec).iter().enumerate().any(|(at, value)| base.get(at).is_none_or(|known| known.row != *value))
}
