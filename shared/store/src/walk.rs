//! The local walk: every row in key order against its link, then every link for its row, owing a push where they differ. After a first load, a bulk statement, a changed
//! mapping or a lost trigger, and with every sweep, it finds what no trigger told.

use std::collections::{HashMap, HashSet};

use sea_orm::ConnectionTrait;
use tidemark_core::Millis;
use tidemark_core::brake::GO;
use tidemark_core::hook::Existing;
use tidemark_core::link::LinkState;
use tidemark_core::page::KnownLink;
use tidemark_core::push::is_somebody_else;
use tidemark_core::record::{Row, RowKey};
use tidemark_core::sweep::{row_owes, vanished_row_owes};

use crate::debts::Kind;
use crate::dialect::{in_list, list};
use crate::links::{self, By};
use crate::owing::{self, Owing, owe};
use crate::query::{all, get, one, run};
use crate::rows::{self, Mapped};
use crate::session::Tx;
use crate::streams::{self, Fence};
use crate::sweeps::{DriftLine, write_drift};
use crate::{Store, StoreError, brakes, deliveries};

/// What one step of a walk came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walked {
    /// Rows, or links, that were looked at.
    pub rows: usize,
    pub owed: u64,
    pub done: bool,
}

/// Where a walk stands.
enum Place {
    /// After this row.
    Rows(Option<String>),
    /// After this link.
    Links(i64),
}

/// Walks up to `limit` rows, or links, on from where the stream's walk stands. Where that is, is read under the stream's lock: a walk that is owed again while it is under
/// way begins again, or the rows it has passed would not be compared with what was agreed since.
pub async fn step(store: &Store, mapped: &Mapped, fence: Fence, limit: u64) -> Result<Walked, StoreError> {
    let tx = store.begin().await?;
    streams::hold(&tx, fence).await?;
    let sql = "SELECT walk_position, walk_links, walk_owed, capture, walk_pass, braked_at, loaded_at, began_at FROM tidemark_stream WHERE id = $1";
    let row = one(&tx, sql, vec![mapped.id.into()]).await?;
    let row = row.ok_or_else(|| StoreError::LeaseLost { what: format!("stream {}", mapped.spec.name) })?;
    let place = match (get::<Option<String>>(&row, 0)?, get::<Option<i64>>(&row, 1)?) {
        (Some(_), Some(link)) => Place::Links(link),
        (position, _) => Place::Rows(position),
    };
    // Where triggers are to tell and nobody owed the walk, what is found is drift.
    let telling = match (get::<i64>(&row, 2)?, get::<Option<String>>(&row, 3)?.as_deref()) {
        (UNTOLD, Some("installed" | "missing") | None) => Telling::Expected,
        _ => Telling::Done,
    };
    // A person has said go to what a first load finds, or has let through what a brake held of this walk.
    let pass = match get::<Option<Millis>>(&row, 5)? {
        None => Some(GO.to_owned()),
        Some(_) => get(&row, 4)?,
    };
    // Rows that were there when a one-way stream began count as delivered, where the mapping does not say otherwise.
    let takes = mapped.spec.hook.as_ref().is_some_and(|hook| hook.existing == Existing::Taken);
    let began_at = match (get::<Option<Millis>>(&row, 6)?, get::<Option<Millis>>(&row, 7)?) {
        (None, Some(began_at)) if takes => Some(began_at),
        _ => None,
    };
    let walked = match (place, began_at) {
        (Place::Rows(position), Some(began_at)) => take_rows(&tx, mapped, position.as_deref(), limit, began_at).await?,
        (Place::Rows(position), None) => walk_rows(&tx, mapped, position.as_deref(), limit, telling).await?,
        (Place::Links(link), _) => walk_links(&tx, mapped, link, limit, telling).await?,
    };
    if let Some(pass) = pass {
        brakes::pass_rows(&tx, mapped.id, walked.owing.iter().map(String::as_str), &pass).await?;
    }
    if walked.done {
        let sql = "UPDATE tidemark_stream SET walk_owed = 0, walk_position = NULL, walk_links = NULL, walk_pass = NULL, braked_at = COALESCE(braked_at, {now}) WHERE id = $1";
        run(&tx, sql, vec![mapped.id.into()]).await?;
    }
    tx.commit().await?;
    Ok(Walked { rows: walked.looked_at, owed: walked.owing.len() as u64, done: walked.done })
}

/// What a part of a walk came to.
struct Part {
    looked_at: usize,
    owing: Vec<String>,
    done: bool,
}

/// `walk_owed` of a walk that nobody asked for because of a change: it came with a sweep, or because a trigger is gone.
pub(crate) const UNTOLD: i64 = 2;

/// Whether the triggers should have told of what a walk finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Telling {
    Expected,
    /// Somebody has told that rows are to be compared, or nobody could.
    Done,
}

async fn walk_rows(tx: &Tx, mapped: &Mapped, position: Option<&str>, limit: u64, telling: Telling) -> Result<Part, StoreError> {
    let spec = &mapped.spec;
    let rows = rows::walk_in(tx, mapped, position, limit).await?;
    let keys = || rows.iter().map(|row| row.key.as_str());
    // Between rows and links: what was told of before is in the log or owed, and what was paid meanwhile shows in the links.
    let told = told(tx, mapped, keys(), telling).await?;
    let links = links::free(tx, mapped, By::Row, keys()).await?;
    let links: HashMap<&RowKey, &KnownLink> = links.iter().filter_map(|link| Some((link.row_key.as_ref()?, link))).collect();
    let owes = |row: &Row| {
        let moved = row_owes(spec, row, links.get(&row.key).map(|link| &link.view))?;
        let names: Vec<&str> = moved.iter().filter_map(|at| spec.fields.get(*at)).map(|field| field.property.as_str()).collect();
        Some((row.key.0.clone(), names.join(", ")))
    };
    let owing: Vec<(String, String)> = rows.iter().filter_map(owes).collect();
    owe_found(tx, mapped, &owing, "push owed", &told).await?;
    // Nobody told of an update, and nothing that names the thing is as it was: its key may have been used again behind the triggers.
    let is_another = |row: &&Row| {
        let link = links.get(&row.key).map(|link| &link.view).filter(|link| link.state == LinkState::Linked);
        !spec.match_on.is_empty() && !told.of(row.key.as_str()) && link.is_some_and(|link| is_somebody_else(spec, link, row))
    };
    let others: Vec<&str> = rows.iter().filter(is_another).map(|row| row.key.as_str()).collect();
    if !others.is_empty() {
        owing::reborn(tx, mapped.id, others.into_iter()).await?;
    }
    pass_by(tx, mapped, &rows, limit).await?;
    Ok(Part { looked_at: rows.len(), owing: owing.into_iter().map(|(key, _)| key).collect(), done: false })
}

/// The same of a one-way stream that has just begun: what is there is taken down as delivered, and nothing is owed for it.
async fn take_rows(tx: &Tx, mapped: &Mapped, position: Option<&str>, limit: u64, began_at: Millis) -> Result<Part, StoreError> {
    let rows = rows::walk_in(tx, mapped, position, limit).await?;
    let links = links::free(tx, mapped, By::Row, rows.iter().map(|row| row.key.as_str())).await?;
    let linked: HashSet<&RowKey> = links.iter().filter_map(|link| link.row_key.as_ref()).collect();
    deliveries::take(tx, mapped, &rows, &linked, began_at).await?;
    pass_by(tx, mapped, &rows, limit).await?;
    Ok(Part { looked_at: rows.len(), owing: Vec::new(), done: false })
}

/// The walk goes on behind these rows; past the last one the links begin.
async fn pass_by(tx: &Tx, mapped: &Mapped, rows: &[Row], limit: u64) -> Result<(), StoreError> {
    let (position, link) = if (rows.len() as u64) < limit {
        (Some(String::new()), Some(0_i64))
    } else {
        (rows.last().map(|row| row.key.0.clone()), None)
    };
    let sql = "UPDATE tidemark_stream SET walk_position = $2, walk_links = $3 WHERE id = $1";
    run(tx, sql, vec![mapped.id.into(), position.into(), link.into()]).await?;
    Ok(())
}

/// Links whose row is not there any more owe a push, which does what the mapping says about deleted rows.
async fn walk_links(tx: &Tx, mapped: &Mapped, after: i64, limit: u64, telling: Telling) -> Result<Part, StoreError> {
    let links = links::walk(tx, mapped, after, limit).await?;
    let owing = links.iter().filter(|link| vanished_row_owes(link.state, link.gone)).map(|link| link.row_key.as_str());
    let keys: Vec<&str> = owing.collect();
    let there = rows::existing(tx, mapped, keys.iter().copied()).await?;
    let vanished: Vec<&str> = keys.into_iter().filter(|key| !there.contains(*key)).collect();
    let told = told(tx, mapped, vanished.iter().copied(), telling).await?;
    // Looked at once more: a push may have ended the link since it was read.
    let held = links::free(tx, mapped, By::Row, vanished.into_iter()).await?;
    let still = held.into_iter().filter(|link| vanished_row_owes(link.view.state, link.view.gone));
    let owing: Vec<(String, String)> = still.filter_map(|link| Some((link.row_key?.0, String::new()))).collect();
    owe_found(tx, mapped, &owing, "row gone: push owed", &told).await?;
    let done = (links.len() as u64) < limit;
    let last = links.last().map_or(after, |link| link.id);
    run(tx, "UPDATE tidemark_stream SET walk_links = $2 WHERE id = $1", vec![mapped.id.into(), last.into()]).await?;
    Ok(Part { looked_at: links.len(), owing: owing.into_iter().map(|(key, _)| key).collect(), done })
}

/// Owes a push for each row, and writes down those that nobody has told of.
async fn owe_found(
    tx: &Tx,
    mapped: &Mapped,
    owing: &[(String, String)],
    repair: &'static str,
    told: &Told,
) -> Result<(), StoreError> {
    let drift = owing.iter().filter(|(key, _)| !told.of(key)).map(|(key, fields)| DriftLine {
        side: "row",
        subject: key,
        missed_by: "capture",
        fields: fields.clone(),
        repair,
    });
    write_drift(tx, mapped.id, &drift.collect::<Vec<_>>()).await?;
    owe(tx, mapped.id, Kind::Push, owing.iter().map(|(key, _)| key.as_str()), 0, Owing::Doubt).await?;
    Ok(())
}

/// Of which rows a change was told.
enum Told {
    Every,
    These(HashSet<String>),
}

impl Told {
    fn of(&self, key: &str) -> bool {
        match self {
            Self::Every => true,
            Self::These(keys) => keys.contains(key),
        }
    }
}

/// Which of these rows the change log or a debt knows of; all of them while the log holds the marker of a statement that touched many.
async fn told<'a>(tx: &Tx, mapped: &Mapped, keys: impl Iterator<Item = &'a str>, telling: Telling) -> Result<Told, StoreError> {
    if telling == Telling::Done {
        return Ok(Told::Every);
    }
    let backend = tx.get_database_backend();
    let sql = format!(
        "SELECT subject FROM tidemark_debt WHERE stream_id = $1 AND kind = 'push' AND subject {0}
         UNION SELECT row_key FROM tidemark_change WHERE table_name = $3 AND (row_key IS NULL OR row_key {0})",
        in_list(backend, 2, "text")
    );
    let values = vec![mapped.id.into(), list(backend, keys), mapped.shape.log_name().into()];
    let told: Vec<Option<String>> = all(tx, &sql, values).await?.iter().map(|row| get(row, 0)).collect::<Result<_, _>>()?;
    // A marker names no row: it may be about any.
    Ok(told.into_iter().collect::<Option<_>>().map_or(Told::Every, Told::These))
}
