//! What is known of people who were erased: who carries their match keys, which of their records show again, and who was let in again. Erases nobody.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, QueryResult};
use tidemark_core::Millis;
use tidemark_core::brake::names;
use tidemark_core::erasure::{Again, CLASS, NEVER, digests, record_again};
use tidemark_core::page::{Known, Step};
use tidemark_core::record::Record;

use crate::dialect::{in_list, list};
use crate::erasure::known_secret;
use crate::query::{all, get, run};
use crate::rows::Mapped;
use crate::session::Tx;
use crate::{Store, StoreError, brakes};

/// Of these digests those of people who were erased and not let in again, each with the erasure and when it was.
async fn known<'a>(
    db: &impl ConnectionTrait,
    stream: i64,
    digests: impl Iterator<Item = &'a str>,
) -> Result<Vec<(String, i64, Millis)>, StoreError> {
    let backend = db.get_database_backend();
    let sql = format!(
        "SELECT k.digest, e.id, e.begun_at FROM tidemark_erased_key k JOIN tidemark_erasure e ON e.id = k.erasure_id
         WHERE k.stream_id = $1 AND e.state <> 'lifted' AND k.digest {} ORDER BY e.id",
        in_list(backend, 2, "text")
    );
    let read = |row: &QueryResult| Ok((get(row, 0)?, get(row, 1)?, get(row, 2)?));
    all(db, &sql, vec![stream.into(), list(backend, digests)]).await?.iter().map(read).collect()
}

/// What is known of each of these things, which give their fields in the record's form: the erasures whose match keys they carry, and when the last was begun.
pub(crate) async fn erased_in(
    db: &impl ConnectionTrait,
    mapped: &Mapped,
    things: &[Vec<Option<&str>>],
) -> Result<Vec<Option<(Vec<i64>, Millis)>>, StoreError> {
    let mut found = vec![None; things.len()];
    if things.is_empty() || mapped.spec.match_on.is_empty() {
        return Ok(found);
    }
    let Some(secret) = known_secret(db).await? else { return Ok(found) };
    let keys: Vec<Vec<String>> =
        things.iter().map(|thing| digests(&mapped.spec, &secret, |at| thing.get(at).copied().flatten())).collect();
    let known = known(db, mapped.id, keys.iter().flatten().map(String::as_str)).await?;
    for (found, keys) in found.iter_mut().zip(&keys) {
        let mut ids: Vec<i64> = known.iter().filter(|(digest, ..)| keys.contains(digest)).map(|(_, id, _)| *id).collect();
        ids.dedup();
        let at = known.iter().filter(|(_, id, _)| ids.contains(id)).map(|(.., at)| *at).max();
        *found = at.map(|at| (ids, at));
    }
    Ok(found)
}

/// The same outside a page, for rows that are about to become records.
pub async fn erased(
    store: &Store,
    mapped: &Mapped,
    things: &[Vec<Option<&str>>],
) -> Result<Vec<Option<(Vec<i64>, Millis)>>, StoreError> {
    erased_in(&store.db, mapped, things).await
}

/// The steps, those that would bring one who was erased into a row left out, with what each of their records is parked for.
pub(crate) async fn hold_back<'a>(
    tx: &Tx,
    mapped: &Mapped,
    records: &'a [Record],
    known: &Known,
    mut steps: Vec<Step<'a>>,
    passed: &HashMap<&str, &str>,
) -> Result<(Vec<Step<'a>>, Vec<(&'a str, Again)>), StoreError> {
    let buried =
        |record: &&Record| !record.archived && known.links.get(&record.id).is_some_and(|link| link.view.seen == Some(NEVER));
    let shown: Vec<&str> = records.iter().filter(buried).map(|record| record.id.as_str()).collect();
    if !shown.is_empty() {
        shown_again(tx, mapped.id, shown.into_iter()).await?;
    }
    let enters = |step: &Step<'_>| matches!(step, Step::Insert { .. } | Step::Bind { .. });
    let entering: Vec<usize> = (0..steps.len()).filter(|at| enters(&steps[*at])).collect();
    if entering.is_empty() || mapped.spec.match_on.is_empty() {
        return Ok((steps, Vec::new()));
    }
    let things: Vec<Vec<Option<&str>>> =
        entering.iter().map(|at| records[*at].values.iter().map(Option::as_deref).collect()).collect();
    let mut held = Vec::new();
    let found = erased_in(tx, mapped, &things).await?;
    if found.iter().all(Option::is_none) {
        return Ok((steps, held));
    }
    // A page may show what an owed read is let through for before that read is made.
    let owed = brakes::passed_reads(tx, mapped.id, entering.iter().map(|at| records[*at].id.as_str())).await?;
    for (at, found) in entering.into_iter().zip(found) {
        let (Some((erasures, erased_at)), id) = (found, &records[at].id) else { continue };
        let passed = passed.get(id.as_str()).copied().or_else(|| owed.get(id.as_str()).map(String::as_str));
        if names(passed, CLASS) {
            lift_in(tx, &erasures, &format!("record {id}")).await?;
        } else {
            steps[at] = Step::Pass;
            held.push((id.as_str(), record_again(id, erased_at)));
        }
    }
    Ok((steps, held))
}

/// A person let the one who was erased in again: its match keys stop nobody any more. The tombstone of the old record stays.
pub(crate) async fn lift_in(db: &impl ConnectionTrait, erasures: &[i64], thing: &str) -> Result<(), StoreError> {
    let backend = db.get_database_backend();
    let ids: Vec<String> = erasures.iter().map(i64::to_string).collect();
    let sql = format!(
        "UPDATE tidemark_erasure SET state = 'lifted', lifted_at = {{now}}, lifted_for = $2 WHERE state = 'done' AND id {}",
        in_list(backend, 1, "bigint")
    );
    run(db, &sql, vec![list(backend, ids.iter().map(String::as_str)), thing.into()]).await?;
    Ok(())
}

pub async fn lift(store: &Store, erasures: &[i64], thing: &str) -> Result<(), StoreError> {
    lift_in(&store.db, erasures, thing).await
}

/// Records of people who were erased show in the CRM again: somebody restored them there. They come back nowhere, and it is noted, once.
pub(crate) async fn shown_again<'a>(
    db: &impl ConnectionTrait,
    stream: i64,
    records: impl Iterator<Item = &'a str>,
) -> Result<(), StoreError> {
    let backend = db.get_database_backend();
    // A search index may show it for a while after it is gone.
    let sql = format!(
        "UPDATE tidemark_erasure SET again_at = {{now}} WHERE stream_id = $1 AND state <> 'begun' AND again_at IS NULL AND done_at < {{now}} - {INDEX_LAG_MS} AND remote_id {}",
        in_list(backend, 2, "text")
    );
    run(db, &sql, vec![stream.into(), list(backend, records)]).await?;
    Ok(())
}

const INDEX_LAG_MS: Millis = 600_000;
