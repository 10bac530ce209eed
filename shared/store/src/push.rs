//! What a push starts from: rows, links and parents in one transaction, the mark that keeps pages away, and the note of what is about to be sent. The call happens after
//! it, with no transaction open; `settle` has what came of it.
//!
//! The claim read each debt's generation before `prepare` reads the row, so a change after that is another generation and stays owed.

use std::collections::{HashMap, HashSet};

use sea_orm::ConnectionTrait;
use tidemark_core::Millis;
use tidemark_core::delete::{Gone, Return, returns};
use tidemark_core::link::LinkState;
use tidemark_core::page::KnownLink;
use tidemark_core::push::is_somebody_else;
use tidemark_core::record::{RemoteId, Row, RowKey};
use tidemark_core::stale;

use crate::debts::{Claim, Kind};
use crate::dialect::{in_list, list, table};
use crate::lineage::Notes;
use crate::links::{self, By};
use crate::owing::{self, Owing};
use crate::page::Parents;
use crate::query::{all, get, run, scalar};
use crate::rows::{self, Lock, Mapped};
use crate::session::Tx;
use crate::{Store, StoreError, aliases};

/// A claimed debt with what its push starts from.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub claim: Claim,
    pub row: Option<Row>,
    pub link: Option<KnownLink>,
    /// The record of the key's former life, whose tombstone has let go of the row.
    pub former: Option<RemoteId>,
    /// Aligned with the fields: the record of the parent row, for references that have one.
    pub parents: Vec<Option<RemoteId>>,
    /// Another row waits for this record: its own was merged into it.
    pub heir: bool,
}

impl Prepared {
    pub fn record(&self) -> Option<&RemoteId> {
        self.link.as_ref()?.remote_id.as_ref()
    }
}

/// Of a link whose record was merged away the survivor is what there is to read.
async fn lead_on(tx: &Tx, mapped: &Mapped, links: &mut HashMap<RowKey, KnownLink>) -> Result<(), StoreError> {
    let mut doubles: Vec<&mut KnownLink> = links.values_mut().filter(|link| link.view.state == LinkState::Double).collect();
    if doubles.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = doubles.iter().filter_map(|link| Some(link.remote_id.clone()?.0)).collect();
    let aliases = aliases::of(tx, mapped.id, ids.iter().map(String::as_str)).await?;
    for link in &mut doubles {
        link.remote_id = link.remote_id.as_ref().map(|id| aliases.get(id).unwrap_or(id).clone());
    }
    Ok(())
}

/// Marks the links as being pushed and loads rows, links and parents, in one transaction.
pub async fn prepare(
    store: &Store,
    mapped: &Mapped,
    parents: &Parents<'_>,
    fence: &str,
    claims: Vec<Claim>,
    lease: Millis,
) -> Result<Vec<Prepared>, StoreError> {
    let tx = store.begin().await?;
    let keys: Vec<&str> = claims.iter().map(|claim| claim.subject.as_str()).collect();
    let locked = links::locked(&tx, mapped, By::Row, keys.iter().copied()).await?;
    mark(&tx, locked.iter().map(|link| link.id), fence, lease).await?;
    if !mapped.spec.is_one_way() {
        owe_haunted(&tx, mapped, &locked).await?;
    }
    let mut links: HashMap<RowKey, KnownLink> =
        locked.into_iter().filter_map(|link| Some((link.row_key.clone()?, link))).collect();
    let rows = rows::by_keys(&tx, mapped, keys.iter().copied(), Lock::Free).await?;
    let mut rows: HashMap<RowKey, Row> = rows.into_iter().map(|row| (row.key.clone(), row)).collect();
    let mut former = receive(&tx, mapped, &claims, &rows, &mut links).await?;
    hold_stale(&tx, mapped, &claims, &mut links, &rows).await?;
    lead_on(&tx, mapped, &mut links).await?;
    let vanished = links.values().filter(|link| link.row_key.as_ref().is_some_and(|key| !rows.contains_key(key)));
    let vanished: Vec<String> = vanished.filter_map(|link| Some(link.remote_id.clone()?.0)).collect();
    let awaited = match vanished.as_slice() {
        [] => HashMap::new(),
        ids => aliases::awaited(&tx, mapped.id, ids.iter().map(String::as_str)).await?,
    };
    // Whoever waits for a record has to be there to take it over.
    let heirs = rows::by_keys(&tx, mapped, awaited.values().flatten().map(String::as_str), Lock::Free).await?;
    let heirs: HashSet<RowKey> = heirs.into_iter().map(|row| row.key).collect();
    let mut parent_ids: Vec<HashMap<RowKey, RemoteId>> = vec![HashMap::new(); mapped.spec.fields.len()];
    for (at, field, object) in mapped.spec.reference_fields() {
        let Some(parent) = parents.get(object) else { continue };
        let wanted: HashSet<&str> = rows.values().filter_map(|row| row.get(&mapped.spec, &field.column)).collect();
        let links = links::free(&tx, parent, By::Row, wanted.into_iter()).await?;
        let linked = links.into_iter().filter(|link| link.view.state == LinkState::Linked);
        parent_ids[at] = linked.filter_map(|link| Some((link.row_key?, link.remote_id?))).collect();
    }
    tx.commit().await?;
    let prepare = |claim: Claim| {
        let key = RowKey::new(claim.subject.as_str());
        let row = rows.remove(&key);
        let parent = |at: usize| {
            let value = row.as_ref()?.get(&mapped.spec, &mapped.spec.fields.get(at)?.column)?;
            parent_ids.get(at)?.get(&RowKey::new(value)).cloned()
        };
        let parents = (0..mapped.spec.fields.len()).map(parent).collect();
        let link = links.remove(&key);
        let record = link.as_ref().and_then(|link| link.remote_id.as_ref());
        let awaited = record.and_then(|id| awaited.get(id));
        let heir = awaited.is_some_and(|keys| keys.iter().any(|key| heirs.contains(&RowKey::new(key.as_str()))));
        Prepared { link, former: former.remove(&key), row, parents, claim, heir }
    };
    Ok(claims.into_iter().map(prepare).collect())
}

/// Rows that are there under a tombstone of their key: the same thing resumes its link, another begins anew. Returns the records of the former lives.
async fn receive(
    tx: &Tx,
    mapped: &Mapped,
    claims: &[Claim],
    rows: &HashMap<RowKey, Row>,
    links: &mut HashMap<RowKey, KnownLink>,
) -> Result<HashMap<RowKey, RemoteId>, StoreError> {
    let spec = &mapped.spec;
    let (mut resumed, mut detached, mut former) = (Vec::new(), Vec::new(), HashMap::new());
    for claim in claims {
        let key = RowKey::new(claim.subject.as_str());
        let (Some(row), Some(link)) = (rows.get(&key).filter(|row| row.is_sendable(spec)), links.get_mut(&key)) else { continue };
        // Whoever was not told that a row went is not told that it is back.
        let told = link.view.gone == Some(Gone::Both);
        let back = match spec.is_one_way() {
            true if link.view.state == LinkState::Tombstone && !told => Return::Resumes,
            true => Return::None,
            false => returns(&link.view, claim.reborn, !is_somebody_else(spec, &link.view, row)),
        };
        match back {
            Return::None => {}
            Return::Resumes => {
                resumed.push(link.id);
                (link.view.state, link.view.gone) = (LinkState::Linked, None);
            }
            Return::BeginsAnew => {
                detached.push(link.id);
                former.extend(link.remote_id.clone().map(|id| (key.clone(), id)));
                links.remove(&key);
            }
        }
    }
    links::resume(tx, &resumed).await?;
    links::detach(tx, &detached).await?;
    Ok(former)
}

async fn mark(db: &impl ConnectionTrait, ids: impl Iterator<Item = i64>, fence: &str, lease: Millis) -> Result<(), StoreError> {
    let texts: Vec<String> = ids.map(|id| id.to_string()).collect();
    if texts.is_empty() {
        return Ok(());
    }
    let backend = db.get_database_backend();
    let sql =
        format!("UPDATE tidemark_link SET push_until = {{now}} + $2, push_fence = $3 WHERE id {}", in_list(backend, 1, "bigint"));
    run(db, &sql, vec![list(backend, texts.iter().map(String::as_str)), lease.into(), fence.into()]).await?;
    Ok(())
}

/// Notes which changed fields look like stale saves: they are not sent.
async fn hold_stale(
    tx: &Tx,
    mapped: &Mapped,
    claims: &[Claim],
    links: &mut HashMap<RowKey, KnownLink>,
    rows: &HashMap<RowKey, Row>,
) -> Result<(), StoreError> {
    let remembers = |link: &KnownLink| link.view.base.fields.iter().flatten().any(|field| !field.replaced.is_empty());
    if !links.values().any(remembers) {
        return Ok(());
    }
    let now: Millis = scalar(tx, "SELECT {now}", vec![]).await?;
    let mut notes = Notes::default();
    for claim in claims {
        let key = RowKey::new(claim.subject.as_str());
        let (Some(link), Some(row)) = (links.get_mut(&key), rows.get(&key)) else { continue };
        let Some(base) = stale::hold(&mapped.spec, &link.view.base, row, claim.changed_at, now) else { continue };
        let sql = "UPDATE tidemark_link SET base = $2, version = version + 1 WHERE id = $1";
        run(tx, sql, vec![link.id.into(), base.to_json(&mapped.spec).into()]).await?;
        notes.agreed(&mapped.spec, link, i64::from(claim.attempts) + 1, &base);
        link.view.base = base;
        link.version += 1;
    }
    notes.write(tx).await
}

/// An earlier push of these records was never answered: they are read once it has landed or never will.
async fn owe_haunted(tx: &Tx, mapped: &Mapped, links: &[KnownLink]) -> Result<(), StoreError> {
    let haunted: Vec<(&RemoteId, Millis)> =
        links.iter().filter_map(|link| Some((link.remote_id.as_ref()?, link.view.ghosts.until()?))).collect();
    let Some(last) = haunted.iter().map(|(_, until)| *until).max() else { return Ok(()) };
    let now: Millis = scalar(tx, "SELECT {now}", vec![]).await?;
    let ids = haunted.iter().map(|(id, _)| id.as_str());
    owing::owe(tx, mapped.id, Kind::Read, ids, (last - now).max(0), Owing::Doubt).await?;
    Ok(())
}

/// Writes down what is about to be sent, right before the call, if the claim still holds every item for `need`. False when it does not: nothing may be sent then.
pub async fn remember(
    store: &Store,
    mapped: &Mapped,
    fence: &str,
    need: Millis,
    items: &[(&str, Option<String>)],
) -> Result<bool, StoreError> {
    let backend = store.db.get_database_backend();
    let cells: Vec<Option<&str>> = items.iter().flat_map(|(key, ghosts)| [Some(*key), ghosts.as_deref()]).collect();
    let (source, mut values) = table(backend, 4, 2, &cells);
    values.splice(0..0, [mapped.id.into(), fence.into(), need.into()]);
    let sql = format!(
        "UPDATE tidemark_link AS t SET ghosts = v.c1 FROM {source} WHERE t.stream_id = $1 AND t.row_key = v.c0 AND t.push_fence = $2
            AND (SELECT min(lease_until) FROM tidemark_debt WHERE lease_fence = $2) - {{now}} >= $3"
    );
    Ok(run(&store.db, &sql, values).await? == items.len() as u64)
}

/// Claims the links of rows that are about to be created in the CRM, before any call. Rows somebody else linked meanwhile are left out.
pub async fn begin_creates(
    store: &Store,
    mapped: &Mapped,
    fence: &str,
    keys: &[&str],
    lease: Millis,
) -> Result<HashSet<RowKey>, StoreError> {
    if keys.is_empty() {
        return Ok(HashSet::new());
    }
    let backend = store.db.get_database_backend();
    let cells: Vec<Option<&str>> = keys.iter().map(|key| Some(*key)).collect();
    let (source, mut values) = table(backend, 4, 1, &cells);
    values.splice(0..0, [mapped.id.into(), lease.into(), fence.into()]);
    let sql = format!(
        "INSERT INTO tidemark_link (stream_id, row_key, state, push_until, push_fence, created_at) SELECT $1, v.c0, 'creating', {{now}} + $2, $3, {{now}} FROM {source} WHERE true ORDER BY v.c0
         ON CONFLICT (stream_id, row_key) DO UPDATE SET push_until = excluded.push_until, push_fence = excluded.push_fence
            WHERE tidemark_link.state = 'creating' AND (tidemark_link.push_fence = excluded.push_fence OR COALESCE(tidemark_link.push_until, 0) < {{now}})
         RETURNING row_key"
    );
    all(&store.db, &sql, values).await?.iter().map(|row| Ok(RowKey(get(row, 0)?))).collect()
}

/// Gives back everything still held under this fence: claims that were not tried are due as they were.
pub async fn release(store: &Store, fence: &str) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    run(&tx, "UPDATE tidemark_link SET push_until = NULL, push_fence = NULL WHERE push_fence = $1", vec![fence.into()]).await?;
    run(&tx, "UPDATE tidemark_debt SET lease_fence = NULL, lease_until = NULL WHERE lease_fence = $1", vec![fence.into()])
        .await?;
    tx.commit().await?;
    Ok(())
}
