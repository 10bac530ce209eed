//! The change log and its relay: log rows become debts by delete, in one transaction, so that none is lost and none is made twice.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::ConnectionTrait;
use tidemark_core::Millis;
use tidemark_core::bug::{Bug, planted};
use tidemark_core::page::KnownLink;
use tidemark_core::record::{Row, RowKey};

use crate::debts::Kind;
use crate::links::{self, By};
use crate::owing::{self, Owing, owe, owe_changed};
use crate::query::{all, get, run, scalar};
use crate::rows::{self, Lock, Mapped};
use crate::terms::{self, Terms};
use crate::{Store, StoreError};

/// What one run of the relay did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Relayed {
    pub changes: usize,
    pub debts: u64,
}

/// Turns up to `limit` log rows into push debts of every stream over their table. Any number of relays may run: each takes rows no other holds, and debts are
/// locked in (stream, subject) order.
pub async fn relay(store: &Store, streams: &[Mapped], limit: u32) -> Result<Relayed, StoreError> {
    let waiting: i64 = scalar(&store.db, "SELECT count(*) FROM (SELECT 1 FROM tidemark_change LIMIT 1) c", vec![]).await?;
    if waiting == 0 {
        return Ok(Relayed::default());
    }
    let tx = store.begin().await?;
    let sql = format!(
        "DELETE FROM tidemark_change WHERE id IN (SELECT id FROM tidemark_change ORDER BY id LIMIT {limit} {{skip}}) RETURNING table_name, op, row_key, at"
    );
    let rows = all(&tx, &sql, vec![]).await?;
    let tx = if planted(Bug::RelayInTwoSteps) {
        tx.commit().await?;
        store.begin().await?
    } else {
        tx
    };
    let mut changed: BTreeMap<i64, BTreeMap<String, Millis>> = BTreeMap::new();
    let mut deleted: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
    let mut bulk: BTreeSet<i64> = BTreeSet::new();
    for row in &rows {
        let (table, op, key): (String, String, Option<String>) = (get(row, 0)?, get(row, 1)?, get(row, 2)?);
        let at: Millis = get(row, 3)?;
        for mapped in streams.iter().filter(|mapped| mapped.shape.log_name() == table) {
            match &key {
                None => {
                    bulk.insert(mapped.id);
                }
                Some(key) => {
                    let last = changed.entry(mapped.id).or_default().entry(key.clone()).or_insert(at);
                    *last = at.max(*last);
                    if op == "D" {
                        deleted.entry(mapped.id).or_default().insert(key.clone());
                    }
                }
            }
        }
    }
    let mut relayed = Relayed { changes: rows.len(), debts: 0 };
    for (stream, keys) in &changed {
        relayed.debts += owe_changed(&tx, *stream, keys).await?;
    }
    for (stream, keys) in &deleted {
        owing::reborn(&tx, *stream, keys.iter().map(String::as_str)).await?;
    }
    for stream in &bulk {
        run(&tx, "UPDATE tidemark_stream SET walk_owed = 1, walk_position = NULL, walk_pass = NULL, poll_owed_at = COALESCE(poll_owed_at, {now}) WHERE id = $1", vec![(*stream).into()]).await?;
    }
    tx.commit().await?;
    Ok(relayed)
}

/// Ends a transaction's writing of these rows: their own echo is no news, for this stream. Every other stream over the table hears of them by a debt of its own.
///
/// `strangers` are rows that a trigger re-keyed under our hands. Where capture does not pass over us, the log rows that this transaction itself caused are taken out,
/// once each: such a row now equals its base. A row that was logged more often, or is none of these, was changed by a trigger of the order system, and owes a push.
pub(crate) async fn end_own(
    db: &impl ConnectionTrait,
    mapped: &Mapped,
    terms: &Terms,
    keys: &[&str],
    strangers: &[&str],
) -> Result<(), StoreError> {
    if keys.is_empty() && strangers.is_empty() {
        return Ok(());
    }
    if planted(Bug::EchoByMarker) {
        run(db, "DELETE FROM tidemark_change WHERE id > $1", vec![terms.mark.into()]).await?;
        return Ok(());
    }
    terms::prove(db, mapped, terms).await?;
    let logged = if terms.unlogged { BTreeMap::new() } else { take_logged(db, mapped, terms.mark).await? };
    let ours: BTreeSet<&str> = if logged.is_empty() { BTreeSet::new() } else { keys.iter().copied().collect() };
    let others = logged.iter().filter(|(key, times)| **times > 1 || !ours.contains(key.as_str())).map(|(key, _)| key.as_str());
    let others: BTreeSet<&str> = others.filter(|key| !key.is_empty()).chain(strangers.iter().copied()).collect();
    if terms.alters {
        let altered = altered(db, mapped, keys).await?;
        owe(db, mapped.id, Kind::Push, altered.iter().map(String::as_str), 0, Owing::Doubt).await?;
    }
    owe(db, mapped.id, Kind::Push, others.iter().copied(), 0, Owing::Changed).await?;
    if logged.contains_key("") {
        run(
            db,
            "UPDATE tidemark_stream SET walk_owed = 1, walk_position = NULL, walk_pass = NULL WHERE table_name = $1",
            vec![mapped.shape.log_name().into()],
        )
        .await?;
    }
    for sibling in &mapped.siblings {
        owe(db, *sibling, Kind::Push, keys.iter().chain(&others).copied(), 0, Owing::Changed).await?;
    }
    Ok(())
}

/// Of the rows that we wrote those in which a trigger of the order system made something else of our statement, in a column that we did not write: nobody tells of that.
async fn altered(db: &impl ConnectionTrait, mapped: &Mapped, keys: &[&str]) -> Result<Vec<String>, StoreError> {
    let rows = rows::by_keys(db, mapped, keys.iter().copied(), Lock::Free).await?;
    let links = links::free(db, mapped, By::Row, keys.iter().copied()).await?;
    let links: HashMap<&RowKey, &KnownLink> = links.iter().filter_map(|link| Some((link.row_key.as_ref()?, link))).collect();
    let differs = |row: &&Row| {
        let base = links.get(&row.key).map(|link| &link.view.base);
        base.is_some_and(|base| {
            (0..mapped.spec.fields.len()).any(|at| base.get(at).is_some_and(|known| known.row.as_deref() != row.field(at)))
        })
    };
    Ok(rows.iter().filter(differs).map(|row| row.key.0.clone()).collect())
}

/// The keys of the table that this transaction logged, with how often; a bulk marker has none.
async fn take_logged(db: &impl ConnectionTrait, mapped: &Mapped, mark: i64) -> Result<BTreeMap<String, usize>, StoreError> {
    let own = if db.get_database_backend() == sea_orm::DbBackend::Postgres { "AND txid = txid_current()" } else { "" };
    // The upper bound is out of reach; it lets a planner without statistics see that the range is small.
    let sql =
        format!("DELETE FROM tidemark_change WHERE id > $1 AND id <= $1 + 10000000 {own} AND table_name = $2 RETURNING row_key");
    let mut logged: BTreeMap<String, usize> = BTreeMap::new();
    for row in all(db, &sql, vec![mark.into(), mapped.shape.log_name().into()]).await? {
        *logged.entry(get::<Option<String>>(&row, 0)?.unwrap_or_default()).or_default() += 1;
    }
    Ok(logged)
}

/// How many changes wait for the relay, and the age of the oldest in milliseconds.
pub async fn waiting(store: &Store) -> Result<(i64, i64), StoreError> {
    let row = crate::query::one(&store.db, "SELECT count(*), COALESCE({now} - min(at), 0) FROM tidemark_change", vec![]).await?;
    row.map_or(Ok((0, 0)), |row| Ok((get(&row, 0)?, get(&row, 1)?)))
}
