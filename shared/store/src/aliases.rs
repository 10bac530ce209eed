//! Ids of records that were merged away, and the records they lead to. Which link goes on with a survivor is decided by the core.

use std::collections::{HashMap, HashSet};

use sea_orm::ConnectionTrait;
use tidemark_core::lineage::{Source, What};
use tidemark_core::link::LinkState;
use tidemark_core::record::{Record, RemoteId, RowKey};
use tidemark_core::survivor::{Absorbed, Double, REASON};

use crate::debts::Kind;
use crate::dialect::{in_list, list, table};
use crate::lineage::Notes;
use crate::owing::{self, Owing, Parking};
use crate::query::{all, get, run};
use crate::rows::{self, Mapped};
use crate::session::Tx;
use crate::{Store, StoreError, links};

/// Where each of these ids leads, for those that lead anywhere.
pub(crate) async fn of<'a>(
    db: &impl ConnectionTrait,
    stream: i64,
    ids: impl Iterator<Item = &'a str>,
) -> Result<HashMap<RemoteId, RemoteId>, StoreError> {
    let backend = db.get_database_backend();
    let sql = format!(
        "SELECT remote_id, survivor FROM tidemark_alias WHERE stream_id = $1 AND remote_id {} ORDER BY remote_id",
        in_list(backend, 2, "text")
    );
    all(db, &sql, vec![stream.into(), list(backend, ids)])
        .await?
        .iter()
        .map(|row| Ok((RemoteId(get(row, 0)?), RemoteId(get(row, 1)?))))
        .collect()
}

/// Those of the records that another's row may go on with: others were merged into them, unheard as yet, or wait for them.
pub async fn contested(store: &Store, stream: i64, records: &[Record]) -> Result<HashSet<RemoteId>, StoreError> {
    let mut absorbed: Vec<(RemoteId, RemoteId)> = Vec::new();
    for record in records {
        absorbed.extend(record.absorbed.iter().map(|lost| (lost.clone(), record.id.clone())));
    }
    if absorbed.is_empty() {
        return Ok(HashSet::new());
    }
    let ids: Vec<&str> = absorbed.iter().map(|(lost, _)| lost.as_str()).collect();
    let known = of(&store.db, stream, ids.into_iter()).await?;
    let mut contested: HashSet<RemoteId> =
        absorbed.iter().filter(|(lost, id)| known.get(lost) != Some(id)).map(|(_, id)| id.clone()).collect();
    let ids: Vec<&str> = records.iter().map(|record| record.id.as_str()).collect();
    contested.extend(awaited(&store.db, stream, ids.into_iter()).await?.into_keys());
    Ok(contested)
}

/// Those of the records that a row waits for: its own was merged into them.
pub async fn waited_for(store: &Store, stream: i64, ids: &[RemoteId]) -> Result<Vec<RemoteId>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(awaited(&store.db, stream, ids.iter().map(RemoteId::as_str)).await?.into_keys().collect())
}

/// Rows that have no record, by the record that carries their key although it is another row's, which `own` says: a record of theirs that was made and not heard of was merged
/// into it.
pub async fn heirs_by_key(
    store: &Store,
    mapped: &Mapped,
    records: &[Record],
    own: impl Fn(&RemoteId) -> Option<RowKey>,
) -> Result<HashMap<RemoteId, RowKey>, StoreError> {
    let named = |record: &Record| {
        let key = RowKey::new(record.external_key.as_deref()?);
        (own(&record.id)? != key).then(|| (record.id.clone(), key))
    };
    let mut heirs: HashMap<RemoteId, RowKey> = records.iter().filter_map(named).collect();
    if heirs.is_empty() {
        return Ok(heirs);
    }
    let keys: Vec<RowKey> = heirs.values().cloned().collect();
    let there: HashSet<RowKey> = rows::of_keys(store, mapped, &keys).await?.into_iter().map(|row| row.key).collect();
    let links = links::of_rows(store, mapped, &keys).await?;
    let has_none = |key: &RowKey| links.get(key).is_none_or(|link| link.view.state == LinkState::Creating);
    heirs.retain(|_, key| there.contains(key) && has_none(key));
    Ok(heirs)
}

/// Adds to each record what earlier answers said was merged into it: not every answer tells.
pub(crate) async fn recall(db: &impl ConnectionTrait, stream: i64, records: &mut [Record]) -> Result<(), StoreError> {
    let backend = db.get_database_backend();
    let sql = format!(
        "SELECT survivor, remote_id FROM tidemark_alias WHERE stream_id = $1 AND survivor {} ORDER BY remote_id",
        in_list(backend, 2, "text")
    );
    let survivors = list(backend, records.iter().map(|record| record.id.as_str()));
    let mut known: HashMap<RemoteId, Vec<RemoteId>> = HashMap::new();
    for row in all(db, &sql, vec![stream.into(), survivors]).await? {
        known.entry(RemoteId(get(&row, 0)?)).or_default().push(RemoteId(get(&row, 1)?));
    }
    for record in records.iter_mut() {
        let more = known.remove(&record.id).unwrap_or_default().into_iter();
        let more: Vec<RemoteId> = more.filter(|id| !record.absorbed.contains(id)).collect();
        record.absorbed.extend(more);
    }
    Ok(())
}

/// Remembers that ids lead to survivors; an id whose survivor was merged away itself leads on to the last one.
pub(crate) async fn remember(db: &impl ConnectionTrait, stream: i64, aliases: &[(RemoteId, RemoteId)]) -> Result<(), StoreError> {
    if aliases.is_empty() {
        return Ok(());
    }
    let cells: Vec<Option<&str>> =
        aliases.iter().flat_map(|(id, survivor)| [Some(id.as_str()), Some(survivor.as_str())]).collect();
    let (source, mut values) = table(db.get_database_backend(), 2, 2, &cells);
    values.insert(0, stream.into());
    let sql = format!(
        "INSERT INTO tidemark_alias (stream_id, remote_id, survivor) SELECT DISTINCT $1, v.c0, v.c1 FROM {source} WHERE true
         ON CONFLICT (stream_id, remote_id) DO UPDATE SET survivor = excluded.survivor WHERE tidemark_alias.survivor <> excluded.survivor"
    );
    run(db, &sql, values).await?;
    let (source, mut values) = table(db.get_database_backend(), 2, 2, &cells);
    values.insert(0, stream.into());
    let sql =
        format!("UPDATE tidemark_alias AS t SET survivor = v.c1 FROM {source} WHERE t.stream_id = $1 AND t.survivor = v.c0");
    run(db, &sql, values).await?;
    // What was owed or parked for an id that leads elsewhere is the survivor's business now.
    owing::forget(db, stream, Kind::Read, aliases.iter().map(|(id, _)| id.as_str())).await?;
    Ok(())
}

/// Stores what a batch's survivors came to, before its rows and links are written: links whose row is gone give their record up, second rows wait for a person.
pub(crate) async fn store(tx: &Tx, stream: i64, absorbed: &Absorbed, source: Source) -> Result<(), StoreError> {
    // A survivor lists what it absorbed for ever: only what is new is written.
    let known = match absorbed.aliases.as_slice() {
        [] => HashMap::new(),
        aliases => of(tx, stream, aliases.iter().map(|(id, _)| id.as_str())).await?,
    };
    let new = absorbed.aliases.iter().filter(|(id, survivor)| known.get(id) != Some(survivor));
    remember(tx, stream, &new.cloned().collect::<Vec<_>>()).await?;
    for link in &absorbed.released {
        release(tx, *link).await?;
    }
    let mut notes = Notes::default();
    for Double { link, key, cause, next_step } in &absorbed.doubles {
        if double(tx, *link).await? {
            notes.whole_by(*link, What::Doubled, source);
        }
        let why = Parking { class: "duplicate", code: Some(REASON), cause, next_step };
        owing::park_new(tx, stream, Kind::Push, key.as_str(), why).await?;
    }
    notes.write(tx).await
}

/// The link's row is gone, and its record is another row's from now on.
pub(crate) async fn release(tx: &Tx, link: i64) -> Result<(), StoreError> {
    let sql =
        "UPDATE tidemark_link SET remote_id = NULL, state = 'tombstone', gone = 'both', version = version + 1 WHERE id = $1";
    run(tx, sql, vec![link.into()]).await?;
    Ok(())
}

/// The link's record is another row's now. True when that is new.
pub(crate) async fn double(tx: &Tx, link: i64) -> Result<bool, StoreError> {
    let sql = "UPDATE tidemark_link SET state = 'double', gone = NULL, version = version + 1 WHERE id = $1 AND state <> 'double'";
    Ok(run(tx, sql, vec![link.into()]).await? > 0)
}

/// Records are gone from the CRM: rows that waited for one of them wait for nothing any more.
pub(crate) async fn end(tx: &Tx, stream: i64, gone: &[&str]) -> Result<(), StoreError> {
    if gone.is_empty() {
        return Ok(());
    }
    let heirs = awaited(tx, stream, gone.iter().copied()).await?;
    if heirs.is_empty() {
        return Ok(());
    }
    let backend = tx.get_database_backend();
    let sql = format!(
        "UPDATE tidemark_link SET state = 'tombstone', gone = 'record', version = version + 1 WHERE stream_id = $1 AND state = 'double'
         AND remote_id IN (SELECT remote_id FROM tidemark_alias WHERE stream_id = $1 AND survivor {})",
        in_list(backend, 2, "text")
    );
    run(tx, &sql, vec![stream.into(), list(backend, gone.iter().copied())]).await?;
    let rows = heirs.values().flatten().map(String::as_str);
    owing::owe(tx, stream, Kind::Push, rows, 0, Owing::Freed).await?;
    Ok(())
}

/// Records that another row waits for, among these: its own was merged into it.
pub(crate) async fn awaited<'a>(
    db: &impl ConnectionTrait,
    stream: i64,
    survivors: impl Iterator<Item = &'a str>,
) -> Result<HashMap<RemoteId, Vec<String>>, StoreError> {
    let backend = db.get_database_backend();
    let sql = format!(
        "SELECT a.survivor, l.row_key FROM tidemark_alias a JOIN tidemark_link l ON l.stream_id = a.stream_id AND l.remote_id = a.remote_id
         WHERE a.stream_id = $1 AND l.state = 'double' AND l.row_key IS NOT NULL AND a.survivor {} ORDER BY l.id LIMIT 1000",
        in_list(backend, 2, "text")
    );
    let mut awaited: HashMap<RemoteId, Vec<String>> = HashMap::new();
    for row in all(db, &sql, vec![stream.into(), list(backend, survivors)]).await? {
        awaited.entry(RemoteId(get(&row, 0)?)).or_default().push(get(&row, 1)?);
    }
    Ok(awaited)
}
