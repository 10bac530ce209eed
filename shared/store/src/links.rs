//! Links: which row and which record are one thing, what was last agreed, what was last seen. Unique both ways within a stream.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Value};
use tidemark_core::Millis;
use tidemark_core::base::Base;
use tidemark_core::bug::{Bug, planted};
use tidemark_core::delete::Gone;
use tidemark_core::ghost::Ghosts;
use tidemark_core::link::{LinkState, LinkView};
use tidemark_core::page::KnownLink;
use tidemark_core::record::{RemoteId, RowKey};
use tidemark_core::spec::StreamSpec;

use crate::dialect::{in_list, list, table};
use crate::query::{all, get, run};
use crate::rows::Mapped;
use crate::{Store, StoreError};

pub(crate) const COLUMNS: &str = "id, row_key, remote_id, state, base, seen, written_at, COALESCE(push_until, 0) > {now}, version, ghosts, gone, counted_in, counted_out";

fn state_of(word: &str) -> LinkState {
    match word {
        "creating" => LinkState::Creating,
        "tombstone" => LinkState::Tombstone,
        "double" => LinkState::Double,
        _ => LinkState::Linked,
    }
}

fn gone_of(word: Option<&str>) -> Option<Gone> {
    Gone::ALL.into_iter().find(|gone| Some(gone.word()) == word)
}

/// Reads what `COLUMNS` selects.
pub(crate) fn read(spec: &StreamSpec, row: &QueryResult) -> Result<KnownLink, StoreError> {
    let state = state_of(&get::<String>(row, 3)?);
    let base: String = get(row, 4)?;
    let gone: Option<String> = get(row, 10)?;
    Ok(KnownLink {
        id: get(row, 0)?,
        row_key: get::<Option<String>>(row, 1)?.map(RowKey),
        remote_id: get::<Option<String>>(row, 2)?.map(RemoteId),
        view: LinkView {
            state,
            gone: gone_of(gone.as_deref()),
            base: Base::from_json(spec, &base),
            seen: get(row, 5)?,
            written_at: get(row, 6)?,
            push_leased: get(row, 7)?,
            ghosts: Ghosts::from_json(spec, get::<Option<String>>(row, 9)?.as_deref()),
        },
        version: get(row, 8)?,
        counted_in: get(row, 11)?,
        counted_out: get(row, 12)?,
    })
}

/// Which column a list of texts is looked up in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum By {
    Remote,
    Row,
}

/// The links of these records or rows, locked in the order of their ids so that no two transactions wait for each other in a ring.
pub(crate) async fn locked<'a>(
    db: &impl ConnectionTrait,
    mapped: &Mapped,
    by: By,
    items: impl Iterator<Item = &'a str>,
) -> Result<Vec<KnownLink>, StoreError> {
    load(db, (mapped.id, &mapped.spec), by, items, "{lock}").await
}

/// The same without locks.
pub(crate) async fn free<'a>(
    db: &impl ConnectionTrait,
    mapped: &Mapped,
    by: By,
    items: impl Iterator<Item = &'a str>,
) -> Result<Vec<KnownLink>, StoreError> {
    load(db, (mapped.id, &mapped.spec), by, items, "").await
}

async fn load<'a>(
    db: &impl ConnectionTrait,
    (stream, spec): (i64, &StreamSpec),
    by: By,
    items: impl Iterator<Item = &'a str>,
    lock: &str,
) -> Result<Vec<KnownLink>, StoreError> {
    let backend = db.get_database_backend();
    let column = match by {
        By::Remote => "remote_id",
        By::Row => "row_key",
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM tidemark_link WHERE stream_id = $1 AND {column} {} ORDER BY id {lock}",
        in_list(backend, 2, "text")
    );
    all(db, &sql, vec![stream.into(), list(backend, items)]).await?.iter().map(|row| read(spec, row)).collect()
}

/// A link as the walk sees it: whether its row is owed anything, were it gone.
#[derive(Debug, Clone)]
pub(crate) struct WalkedLink {
    pub(crate) id: i64,
    pub(crate) row_key: String,
    pub(crate) state: LinkState,
    pub(crate) gone: Option<Gone>,
}

/// These links as they are now, locked.
pub(crate) async fn by_ids(db: &impl ConnectionTrait, mapped: &Mapped, ids: &[i64]) -> Result<Vec<KnownLink>, StoreError> {
    let backend = db.get_database_backend();
    let texts: Vec<String> = ids.iter().map(i64::to_string).collect();
    let sql = format!("SELECT {COLUMNS} FROM tidemark_link WHERE id {} ORDER BY id {{lock}}", in_list(backend, 1, "bigint"));
    let rows = all(db, &sql, vec![list(backend, texts.iter().map(String::as_str))]).await?;
    rows.iter().map(|row| read(&mapped.spec, row)).collect()
}

/// Links that have a row's key, in the order of their ids after this one.
pub(crate) async fn walk(
    db: &impl ConnectionTrait,
    mapped: &Mapped,
    after: i64,
    limit: u64,
) -> Result<Vec<WalkedLink>, StoreError> {
    let sql = format!(
        "SELECT id, row_key, state, gone FROM tidemark_link WHERE stream_id = $1 AND id > $2 AND row_key IS NOT NULL ORDER BY id LIMIT {limit}"
    );
    let read = |row: &QueryResult| {
        let (state, gone): (String, Option<String>) = (get(row, 2)?, get(row, 3)?);
        Ok(WalkedLink { id: get(row, 0)?, row_key: get(row, 1)?, state: state_of(&state), gone: gone_of(gone.as_deref()) })
    };
    all(db, &sql, vec![mapped.id.into(), after.into()]).await?.iter().map(read).collect()
}

/// The links of a list of rows, for reports and plans outside transactions.
pub async fn of_rows(store: &Store, mapped: &Mapped, keys: &[RowKey]) -> Result<HashMap<RowKey, KnownLink>, StoreError> {
    let links = free(&store.db, mapped, By::Row, keys.iter().map(RowKey::as_str)).await?;
    Ok(links.into_iter().filter_map(|link| Some((link.row_key.clone()?, link))).collect())
}

/// The links of a list of records.
pub async fn of_records(store: &Store, mapped: &Mapped, ids: &[RemoteId]) -> Result<HashMap<RemoteId, KnownLink>, StoreError> {
    let links = free(&store.db, mapped, By::Remote, ids.iter().map(RemoteId::as_str)).await?;
    Ok(links.into_iter().filter_map(|link| Some((link.remote_id.clone()?, link))).collect())
}

/// A link that is to be.
#[derive(Debug, Clone)]
pub(crate) struct NewLink {
    pub(crate) row_key: RowKey,
    pub(crate) remote_id: RemoteId,
    pub(crate) base: String,
    pub(crate) seen: Option<Millis>,
}

/// Makes links and says which records were won: a record or row that somebody linked meanwhile is left to them. `made` says through what the rows were made, if they
/// were made from their records.
pub(crate) async fn insert(
    db: &impl ConnectionTrait,
    stream: i64,
    links: &[NewLink],
    made: Option<&str>,
) -> Result<HashMap<RemoteId, i64>, StoreError> {
    let (sql, values) = insertion(db.get_database_backend(), stream, links, made);
    let sql = format!("{sql} ON CONFLICT DO NOTHING RETURNING remote_id, id");
    all(db, &sql, values).await?.iter().map(|row| Ok((RemoteId(get(row, 0)?), get(row, 1)?))).collect()
}

/// Makes links of which, as far as is known, none is taken: a third of the cost of asking for each. False when one is taken after all; the savepoint is lost then.
pub(crate) async fn insert_free(
    db: &impl ConnectionTrait,
    stream: i64,
    links: &[NewLink],
    made: Option<&str>,
) -> Result<bool, StoreError> {
    let (sql, values) = insertion(db.get_database_backend(), stream, links, made);
    match run(db, &sql, values).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_about_data() => Ok(false),
        Err(error) => Err(error),
    }
}

fn insertion(backend: DbBackend, stream: i64, links: &[NewLink], made: Option<&str>) -> (String, Vec<Value>) {
    let seen: Vec<Option<String>> = links.iter().map(|link| link.seen.map(|seen| seen.to_string())).collect();
    let mut cells = Vec::with_capacity(links.len() * 4);
    for (link, seen) in links.iter().zip(&seen) {
        cells.extend([Some(link.row_key.as_str()), Some(link.remote_id.as_str()), Some(link.base.as_str()), seen.as_deref()]);
    }
    let (source, mut values) = table(backend, 3, 4, &cells);
    values.splice(0..0, [stream.into(), made.map(str::to_owned).into()]);
    let sql = format!(
        "INSERT INTO tidemark_link (stream_id, row_key, remote_id, state, base, seen, made, created_at)
         SELECT $1, v.c0, v.c1, 'linked', v.c2, CAST(v.c3 AS BIGINT), $2, (SELECT {{now}}) FROM {source} WHERE true ORDER BY v.n"
    );
    (sql, values)
}

/// In these new links a field waits for a person. Most links wait for nobody, so that their making does not carry the column.
pub(crate) async fn open(db: &impl ConnectionTrait, ids: &[i64]) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    let texts: Vec<String> = ids.iter().map(i64::to_string).collect();
    let backend = db.get_database_backend();
    let sql = format!("UPDATE tidemark_link SET open_since = {{now}} WHERE id {}", in_list(backend, 1, "bigint"));
    run(db, &sql, vec![list(backend, texts.iter().map(String::as_str))]).await?;
    Ok(())
}

/// A link's next state.
#[derive(Debug, Clone)]
pub(crate) struct LinkUpdate {
    pub(crate) id: i64,
    pub(crate) base: Option<String>,
    /// Stored with the base: what may still land.
    pub(crate) ghosts: Option<String>,
    pub(crate) seen: Option<Millis>,
    /// For a link that was `creating`, or whose record was merged into this one.
    pub(crate) remote_id: Option<RemoteId>,
    /// With the base: a field waits for a person.
    pub(crate) open: bool,
}

/// Updates links that this transaction holds locked. `seen` only moves forward.
pub(crate) async fn update(db: &impl ConnectionTrait, links: &[LinkUpdate]) -> Result<u64, StoreError> {
    if links.is_empty() {
        return Ok(0);
    }
    let backend = db.get_database_backend();
    let texts: Vec<(String, Option<String>)> =
        links.iter().map(|link| (link.id.to_string(), link.seen.map(|seen| seen.to_string()))).collect();
    let mut cells = Vec::with_capacity(links.len() * 6);
    for (link, (id, seen)) in links.iter().zip(&texts) {
        let remote_id = link.remote_id.as_ref().map(RemoteId::as_str);
        let open = link.open.then_some("1");
        cells.extend([Some(id.as_str()), link.base.as_deref(), seen.as_deref(), remote_id, link.ghosts.as_deref(), open]);
    }
    let (source, values) = table(backend, 1, 6, &cells);
    let sql = format!(
        "UPDATE tidemark_link AS t SET base = COALESCE(v.c1, t.base), ghosts = CASE WHEN v.c1 IS NULL THEN t.ghosts ELSE v.c4 END, remote_id = COALESCE(v.c3, t.remote_id), state = 'linked', gone = NULL, mark = NULL, version = t.version + 1,
            open_since = CASE WHEN v.c1 IS NULL THEN t.open_since WHEN v.c5 = '1' THEN COALESCE(t.open_since, {{now}}) END,
            seen = CASE WHEN t.seen IS NULL OR CAST(v.c2 AS BIGINT) > t.seen THEN COALESCE(CAST(v.c2 AS BIGINT), t.seen) ELSE t.seen END
         FROM {source} WHERE t.id = CAST(v.c0 AS BIGINT)"
    );
    run(db, &sql, values).await
}

/// What a link becomes when a side of it is gone.
#[derive(Debug, Clone)]
pub(crate) struct Buried {
    pub(crate) id: i64,
    pub(crate) gone: Gone,
    /// The stamp the CRM gave the archived record; the version that was deleted is the newest known.
    pub(crate) modified: Option<Millis>,
    /// What the row's column holds because of it.
    pub(crate) mark: Option<String>,
}

/// The links stay as tombstones, so that neither side is made again by old news.
pub(crate) async fn bury(db: &impl ConnectionTrait, buried: &[Buried]) -> Result<u64, StoreError> {
    if buried.is_empty() {
        return Ok(0);
    }
    let texts: Vec<(String, Option<String>)> =
        buried.iter().map(|one| (one.id.to_string(), one.modified.map(|stamp| stamp.to_string()))).collect();
    let mut cells = Vec::with_capacity(buried.len() * 4);
    for (one, (id, modified)) in buried.iter().zip(&texts) {
        cells.extend([Some(id.as_str()), Some(one.gone.word()), modified.as_deref(), one.mark.as_deref()]);
    }
    if planted(Bug::NoTombstone) {
        let ids = list(db.get_database_backend(), texts.iter().map(|(id, _)| id.as_str()));
        let sql = format!("DELETE FROM tidemark_link WHERE id {}", in_list(db.get_database_backend(), 1, "bigint"));
        return run(db, &sql, vec![ids]).await;
    }
    let (source, values) = table(db.get_database_backend(), 1, 4, &cells);
    let sql = format!(
        "UPDATE tidemark_link AS t SET state = 'tombstone', gone = v.c1, mark = COALESCE(v.c3, t.mark), version = t.version + 1, push_until = NULL, ghosts = NULL,
            seen = CASE WHEN t.seen IS NULL OR CAST(v.c2 AS BIGINT) > t.seen THEN COALESCE(CAST(v.c2 AS BIGINT), t.seen) ELSE t.seen END
         FROM {source} WHERE t.id = CAST(v.c0 AS BIGINT)"
    );
    run(db, &sql, values).await
}

/// Links that were begun for rows which are gone, while nobody but this claim is at them. Nothing was sent: a record that carries the key of such a row is not its own.
pub(crate) async fn unmake(db: &impl ConnectionTrait, ids: &[i64], fence: &str) -> Result<u64, StoreError> {
    if ids.is_empty() {
        return Ok(0);
    }
    let (backend, texts) = (db.get_database_backend(), ids.iter().map(i64::to_string).collect::<Vec<_>>());
    let sql = format!(
        "DELETE FROM tidemark_link WHERE state = 'creating' AND remote_id IS NULL AND ghosts IS NULL AND push_fence = $2 AND id {}",
        in_list(backend, 1, "bigint")
    );
    run(db, &sql, vec![list(backend, texts.iter().map(String::as_str)), fence.into()]).await
}

/// The tombstones of records that are met again like strangers.
pub(crate) async fn forget(db: &impl ConnectionTrait, met: &[(RemoteId, i64)]) -> Result<u64, StoreError> {
    if met.is_empty() {
        return Ok(0);
    }
    let texts: Vec<String> = met.iter().map(|(_, id)| id.to_string()).collect();
    let backend = db.get_database_backend();
    let sql = format!("DELETE FROM tidemark_link WHERE state = 'tombstone' AND id {}", in_list(backend, 1, "bigint"));
    run(db, &sql, vec![list(backend, texts.iter().map(String::as_str))]).await
}

/// The key lives again as another thing: its tombstone keeps the record and lets go of the row.
pub(crate) async fn detach(db: &impl ConnectionTrait, ids: &[i64]) -> Result<u64, StoreError> {
    set_tombstones(db, ids, "row_key = NULL, version = version + 1").await
}

/// The same thing is back, and its record was left alone: they are linked as they were.
pub(crate) async fn resume(db: &impl ConnectionTrait, ids: &[i64]) -> Result<u64, StoreError> {
    set_tombstones(db, ids, "state = 'linked', gone = NULL, mark = NULL, version = version + 1").await
}

async fn set_tombstones(db: &impl ConnectionTrait, ids: &[i64], set: &str) -> Result<u64, StoreError> {
    if ids.is_empty() {
        return Ok(0);
    }
    let texts: Vec<String> = ids.iter().map(i64::to_string).collect();
    let backend = db.get_database_backend();
    let sql = format!("UPDATE tidemark_link SET {set} WHERE state = 'tombstone' AND id {}", in_list(backend, 1, "bigint"));
    run(db, &sql, vec![list(backend, texts.iter().map(String::as_str))]).await
}

/// Linked records that nobody doubts, the newest links first: if they do not answer either, silence means nothing.
pub async fn witnesses(store: &Store, mapped: &Mapped, limit: u32) -> Result<Vec<RemoteId>, StoreError> {
    let sql = format!(
        "SELECT l.remote_id FROM tidemark_link l WHERE l.stream_id = $1 AND l.state = 'linked' AND l.remote_id IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM tidemark_debt d WHERE d.stream_id = $1 AND d.kind = 'read' AND d.subject = l.remote_id)
         ORDER BY l.id DESC LIMIT {limit}"
    );
    all(&store.db, &sql, vec![mapped.id.into()]).await?.iter().map(|row| Ok(RemoteId(get(row, 0)?))).collect()
}
