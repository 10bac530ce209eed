//! Loads and locks what the plan of a batch needs to know: links, rows, the rows that carry an unknown record's keys, parents of references. Writes nothing.

use std::collections::{BTreeMap, HashMap, HashSet};

use sea_orm::ConnectionTrait;
use tidemark_core::delete::{Gone, lifts};
use tidemark_core::freshness::Heard;
use tidemark_core::link::LinkState;
use tidemark_core::meeting::Candidate;
use tidemark_core::page::{Known, KnownLink};
use tidemark_core::push::{REUSED, is_somebody_else};
use tidemark_core::record::{Record, RemoteId, Row, RowKey, unlinked};

use crate::dialect::{in_list, list};
use crate::links::{self, By};
use crate::page::Parents;
use crate::query::{all, get};
use crate::rows::{self, Lock, Mapped};
use crate::session::Tx;
use crate::{Store, StoreError, aliases};

/// A referenced record's id becomes its row's key, so that a re-bind of the parent makes no difference in its children. A record that is not linked keeps its id, marked.
pub(crate) async fn resolve_references(
    tx: &impl ConnectionTrait,
    mapped: &Mapped,
    parents: &Parents<'_>,
    records: &mut [Record],
) -> Result<(), StoreError> {
    for (at, _, object) in mapped.spec.reference_fields() {
        let Some(parent) = parents.get(object) else { continue };
        let ids: HashSet<String> = records.iter().filter_map(|record| record.values.get(at).cloned().flatten()).collect();
        let links = links::free(tx, parent, By::Remote, ids.iter().map(String::as_str)).await?;
        let mut rows: HashMap<RemoteId, RowKey> =
            links.into_iter().filter_map(|link| Some((link.remote_id?, link.row_key?))).collect();
        resolve_aliases(tx, parent, &ids, &mut rows).await?;
        for record in records.iter_mut() {
            let Some(value @ Some(_)) = record.values.get_mut(at) else { continue };
            let id = RemoteId(value.take().unwrap_or_default());
            *value = Some(rows.get(&id).map_or_else(|| unlinked(&id), |key| key.0.clone()));
        }
    }
    Ok(())
}

/// An id that was merged away refers to its survivor's row.
async fn resolve_aliases(
    tx: &impl ConnectionTrait,
    parent: &Mapped,
    ids: &HashSet<String>,
    rows: &mut HashMap<RemoteId, RowKey>,
) -> Result<(), StoreError> {
    let unknown: Vec<&str> = ids.iter().map(String::as_str).filter(|id| !rows.contains_key(&RemoteId::new(*id))).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let aliases = aliases::of(tx, parent.id, unknown.into_iter()).await?;
    if aliases.is_empty() {
        return Ok(());
    }
    let survivors = links::free(tx, parent, By::Remote, aliases.values().map(RemoteId::as_str)).await?;
    let survivors: HashMap<RemoteId, RowKey> =
        survivors.into_iter().filter_map(|link| Some((link.remote_id?, link.row_key?))).collect();
    rows.extend(aliases.into_iter().filter_map(|(id, survivor)| Some((id, survivors.get(&survivor)?.clone()))));
    Ok(())
}

/// The same for comparisons, outside any transaction.
pub async fn resolve_parents(
    store: &Store,
    mapped: &Mapped,
    parents: &Parents<'_>,
    records: &mut [Record],
) -> Result<(), StoreError> {
    resolve_references(&store.db, mapped, parents, records).await
}

/// Loads and locks what the plan needs to know. `aliases`: records of the stream were merged away before.
pub(crate) async fn load(tx: &Tx, mapped: &Mapped, records: &[Record], heard: Heard, aliases: bool) -> Result<Known, StoreError> {
    let ids: Vec<&str> = records.iter().flat_map(Record::ids).map(RemoteId::as_str).collect();
    let links = links::locked(tx, mapped, By::Remote, ids.into_iter()).await?;
    let links = links.into_iter().filter_map(|link| Some((link.remote_id.clone()?, link))).collect();
    let mut known = Known { links, ..Known::default() };
    if let Heard::ById { .. } = heard {
        for record in records {
            let back = known.links.get(&record.id).filter(|link| link.view.gone == Some(Gone::Both) && lifts(&link.view, record));
            if let Some(id) = back.map(|link| link.id) {
                known.links.remove(&record.id);
                known.lifted.insert(record.id.clone(), id);
            }
        }
    }
    if aliases {
        let unknown = records.iter().map(|record| &record.id).filter(|id| !known.links.contains_key(*id));
        let unknown: Vec<&str> = unknown.map(RemoteId::as_str).collect();
        known.aliases = aliases::of(tx, mapped.id, unknown.into_iter()).await?;
    }
    let unknown: Vec<&Record> = records.iter().filter(|record| !known.links.contains_key(&record.id)).collect();
    let mut candidates: BTreeMap<&RemoteId, BTreeMap<RowKey, bool>> = BTreeMap::new();
    for record in &unknown {
        if let Some(key) = record.external_key.as_deref().filter(|key| !key.is_empty()) {
            candidates.entry(&record.id).or_default().insert(RowKey::new(key), true);
        }
    }
    for property in &mapped.spec.match_on {
        let Some((at, field)) = mapped.spec.field(property) else { continue };
        let mut wanted: HashMap<String, Vec<&RemoteId>> = HashMap::new();
        for record in unknown.iter().filter(|record| !candidates.contains_key(&record.id)) {
            let row_form = field.transform.to_row(record.values.get(at).and_then(Option::as_deref)).ok().flatten();
            if let Some(value) = row_form {
                wanted.entry(value.trim().to_lowercase()).or_default().push(&record.id);
            }
        }
        if wanted.is_empty() {
            continue;
        }
        for (value, key) in rows::matching(tx, mapped, &field.column, wanted.keys().map(String::as_str)).await? {
            for id in wanted.get(&value).into_iter().flatten() {
                candidates.entry(*id).or_default().entry(key.clone()).or_insert(false);
            }
        }
    }
    let candidate_keys: HashSet<&RowKey> = candidates.values().flat_map(BTreeMap::keys).collect();
    if !candidate_keys.is_empty() {
        let links = links::locked(tx, mapped, By::Row, candidate_keys.iter().map(|key| key.as_str())).await?;
        // A link to this very record was made after the links were loaded: it is known now, not a second record of its row.
        let since = links.iter().filter_map(|link| Some((link.remote_id.clone()?, link.clone())));
        known.links.extend(since.filter(|(id, _)| unknown.iter().any(|record| record.id == *id)));
        known.links_by_row = links.into_iter().filter_map(|link| Some((link.row_key.clone()?, link))).collect();
    }
    let keys: HashSet<RowKey> =
        known.links.values().filter_map(|link| link.row_key.clone()).chain(candidate_keys.into_iter().cloned()).collect();
    if !keys.is_empty() {
        let rows = rows::by_keys(tx, mapped, keys.iter().map(RowKey::as_str), Lock::Skip).await?;
        known.rows = rows.into_iter().map(|row| (row.key.clone(), row)).collect();
        let absent: Vec<&str> = keys.iter().filter(|key| !known.rows.contains_key(*key)).map(RowKey::as_str).collect();
        if !absent.is_empty() && tx.get_database_backend() == sea_orm::DbBackend::Postgres {
            let locked = rows::by_keys(tx, mapped, absent.into_iter(), Lock::Free).await?;
            known.locked = locked.into_iter().map(|row| row.key).collect();
        }
    }
    known.reborn = reborn(tx, mapped, &known).await?;
    known.candidates = candidates.into_iter().map(|(id, keys)| (id.clone(), existing(&known, keys))).collect();
    Ok(known)
}

/// Of the linked rows those whose keys were deleted and used again, as a debt or the change log says, and that nothing names any more as it was agreed. Rows that nobody
/// changed are not asked about.
async fn reborn(tx: &Tx, mapped: &Mapped, known: &Known) -> Result<HashSet<RowKey>, StoreError> {
    let spec = &mapped.spec;
    let is_another = |link: &&KnownLink| {
        let row = link.row_key.as_ref().and_then(|key| known.rows.get(key)).filter(|_| link.view.state == LinkState::Linked);
        let moved = |row: &Row| (0..spec.fields.len()).any(|at| link.view.base.row_moved(at, row));
        row.is_some_and(|row| moved(row) && is_somebody_else(spec, &link.view, row))
    };
    let others: Vec<&str> =
        known.links.values().filter(is_another).filter_map(|link| Some(link.row_key.as_ref()?.as_str())).collect();
    if others.is_empty() {
        return Ok(HashSet::new());
    }
    let backend = tx.get_database_backend();
    let sql = format!(
        "SELECT subject FROM tidemark_debt WHERE stream_id = $1 AND kind = 'push' AND subject {0} AND reborn > 0 AND ' ' || COALESCE(passed, '') || ' ' NOT LIKE $3
         UNION SELECT row_key FROM tidemark_change WHERE table_name = $4 AND op = 'D' AND row_key {0}",
        in_list(backend, 2, "text")
    );
    let values =
        vec![mapped.id.into(), list(backend, others.into_iter()), format!("% {REUSED} %").into(), mapped.shape.log_name().into()];
    all(tx, &sql, values).await?.iter().map(|row| Ok(RowKey(get(row, 0)?))).collect()
}

/// A key of ours on a record counts only while its row exists: a restored or foreign key names nothing.
fn existing(known: &Known, keys: BTreeMap<RowKey, bool>) -> Vec<Candidate> {
    let there = keys.into_iter().filter(|(key, _)| known.rows.contains_key(key) || known.locked.contains(key));
    let candidate = |(key, by_external_key): (RowKey, bool)| {
        let link: Option<&KnownLink> = known.links_by_row.get(&key);
        let taken = link.is_some_and(|link| link.remote_id.is_some());
        let creating = link.is_some_and(|link| link.view.state == LinkState::Creating);
        Candidate { key, taken, by_external_key, creating }
    };
    there.map(candidate).collect()
}
