//! Erasures: the transaction that takes a person out of the order database and out of everything that is kept here, the debt that is left until the record is gone. Calls no CRM; whether and what is said is decided in `core::erasure`.
//!
//! The first transaction does all that can be done here, and leaves the tombstone that keeps both sides from being made again: whatever crashes after it, the person
//! is gone from this database and the debt says what is still to be done.

use sea_orm::{ConnectionTrait, QueryResult};
use serde::Serialize;
use tidemark_core::Millis;
use tidemark_core::erasure::{NEVER, State, digests, refusal};
use tidemark_core::page::KnownLink;
use tidemark_core::record::{RemoteId, Row, RowKey};

use crate::acts::{self, By};
use crate::debts::Kind;
use crate::dialect::{in_list, list, table};
use crate::links;
use crate::owing;
use crate::query::{all, get, one, run, scalar};
use crate::rows::{self, Mapped};
use crate::session::Tx;
use crate::{Store, StoreError, changes, row_writes, terms};

/// Name of the digests' key in `tidemark_meta`.
const SECRET: &str = "erasure key";

/// What is to be erased in one stream.
#[derive(Debug, Clone)]
pub struct Target<'a> {
    pub mapped: &'a Mapped,
    pub link: Option<KnownLink>,
    pub row: Option<Row>,
    /// The row's key, also when the row is gone already.
    pub row_key: Option<RowKey>,
    pub remote_id: Option<RemoteId>,
    /// Digests of its match keys.
    pub keys: Vec<String>,
    /// Texts by which what was said of it is found: its values.
    pub values: Vec<String>,
    /// The record is to be deleted so that nothing brings it back, rather than archived.
    pub for_good: bool,
}

/// The key of the digests, made when it is first needed. It never leaves this database.
pub async fn secret(store: &Store) -> Result<Vec<u8>, StoreError> {
    let random = match store.is_postgres() {
        true => "replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '')",
        false => "lower(hex(randomblob(32)))",
    };
    let sql = format!("INSERT INTO tidemark_meta (name, value) VALUES ($1, {random}) ON CONFLICT (name) DO NOTHING");
    run(&store.db, &sql, vec![SECRET.into()]).await?;
    Ok(known_secret(&store.db).await?.unwrap_or_default())
}

/// `None` while nobody was ever erased.
pub(crate) async fn known_secret(db: &impl ConnectionTrait) -> Result<Option<Vec<u8>>, StoreError> {
    let row = one(db, "SELECT value FROM tidemark_meta WHERE name = $1", vec![SECRET.into()]).await?;
    row.map(|row| Ok(get::<String>(&row, 0)?.into_bytes())).transpose()
}

/// Looks for a row or a record in a stream, and for its row's links in every other stream over the table. Changes nothing.
pub async fn look<'a>(
    store: &Store,
    mapped: &'a Mapped,
    all_streams: &[&'a Mapped],
    row: Option<&RowKey>,
    record: Option<&RemoteId>,
) -> Result<Vec<Target<'a>>, StoreError> {
    let secret = secret(store).await?;
    let by_record = match record {
        Some(id) => links::of_records(store, mapped, std::slice::from_ref(id)).await?.remove(id),
        None => None,
    };
    let key = row.cloned().or_else(|| by_record.as_ref()?.row_key.clone());
    let mut targets = Vec::new();
    for other in std::iter::once(mapped).chain(all_streams.iter().copied().filter(|other| other.id != mapped.id)) {
        if other.shape.table != mapped.shape.table {
            continue;
        }
        let own = other.id == mapped.id;
        let by_row = match &key {
            Some(key) => links::of_rows(store, other, std::slice::from_ref(key)).await?.remove(key),
            None => None,
        };
        let link = by_row.or_else(|| by_record.clone().filter(|_| own));
        let row = match &key {
            Some(key) => rows::of_keys(store, other, std::slice::from_ref(key)).await?.into_iter().next(),
            None => None,
        };
        let remote_id = link.as_ref().and_then(|link| link.remote_id.clone()).or_else(|| record.cloned().filter(|_| own));
        if !own && link.is_none() {
            continue;
        }
        let mut target = Target {
            mapped: other,
            link,
            row,
            row_key: key.clone(),
            remote_id,
            keys: Vec::new(),
            values: Vec::new(),
            for_good: false,
        };
        target.learn(&secret);
        targets.push(target);
    }
    Ok(targets)
}

impl Target<'_> {
    /// What row and record said when they last met, and what the row says now.
    fn learn(&mut self, secret: &[u8]) {
        let spec = &self.mapped.spec;
        let known = |at: usize| self.link.as_ref()?.view.base.get(at);
        let recorded = digests(spec, secret, |at| known(at)?.record.as_deref());
        let now: Vec<Option<String>> = (0..spec.fields.len())
            .map(|at| {
                let text = self.row.as_ref()?.field(at)?;
                spec.fields[at].transform.to_record(Some(text)).ok().flatten()
            })
            .collect();
        let rowed = digests(spec, secret, |at| now.get(at)?.as_deref());
        let values = (0..spec.fields.len())
            .flat_map(|at| [known(at).and_then(|base| base.record.clone()), known(at).and_then(|base| base.row.clone())])
            .chain((0..spec.fields.len()).map(|at| self.row.as_ref()?.field(at).map(str::to_owned)))
            .flatten();
        let values: Vec<String> = values.collect();
        self.remember([recorded, rowed].concat(), values);
    }

    /// What a record says that was just read.
    pub fn learn_record(&mut self, secret: &[u8], record: &[Option<String>]) {
        let keys = digests(&self.mapped.spec, secret, |at| record.get(at)?.as_deref());
        self.remember(keys, record.iter().flatten().cloned().collect());
    }

    fn remember(&mut self, keys: Vec<String>, values: Vec<String>) {
        self.keys.extend(keys);
        self.keys.sort_unstable();
        self.keys.dedup();
        // A short value is in many a sentence about others.
        self.values.extend(values.into_iter().filter(|value| value.chars().count() >= 4));
        self.values.sort_unstable();
        self.values.dedup();
    }
}

/// Why an erasure did not begin. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Unbegun {
    #[error("{stream}: {why}")]
    Refused { stream: String, why: &'static str },
    #[error(
        "{table} refused the delete of row {row}: {words}. Take away what refers to it, or delete it in the order system; then erase again"
    )]
    RowStays { table: String, row: String, words: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes the person out of this database in one transaction: the row, what is owed, lineage, what was said. What is left is a tombstone for each stream and the debt of
/// the record's end.
pub async fn erase(store: &Store, targets: &[Target<'_>], by: By<'_>) -> Result<(), Unbegun> {
    let tx = store.begin().await?;
    for target in targets {
        let ids: Vec<i64> = target.link.iter().map(|link| link.id).collect();
        // As they are now: between the look and this anything may have happened.
        let now = links::by_ids(&tx, target.mapped, &ids).await?;
        if let Some(why) = refusal(now.first().map(|link| &link.view), target.mapped.spec.is_one_way()) {
            return Err(Unbegun::Refused { stream: target.mapped.spec.name.clone(), why });
        }
        bury(&tx, target).await?;
        scrub(&tx, target).await?;
    }
    if let Some(first) = targets.first() {
        delete_row(&tx, first).await?;
    }
    for target in targets {
        let stream = target.mapped.id;
        owing::forget(&tx, stream, Kind::Push, target.row_key.iter().map(RowKey::as_str)).await?;
        owing::forget(&tx, stream, Kind::Read, target.remote_id.iter().map(RemoteId::as_str)).await?;
        note(&tx, target, by).await?;
        let thing = match (&target.row_key, &target.remote_id) {
            (Some(row), _) => format!("row {row}"),
            (None, Some(record)) => format!("record {record}"),
            (None, None) => "nothing".to_owned(),
        };
        acts::record_in(&tx, by.who, "erase", &format!("{} {thing}", target.mapped.spec.name), by.reason).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// The link stays without a value in it, under a stamp that no version is newer than.
async fn bury(tx: &Tx, target: &Target<'_>) -> Result<(), StoreError> {
    let (stream, never) = (target.mapped.id, NEVER);
    match (&target.link, &target.remote_id) {
        (Some(link), _) => {
            let sql = "UPDATE tidemark_link SET state = 'tombstone', gone = 'both', base = '{}', seen = $2, ghosts = NULL, mark = NULL, made = NULL,
                push_until = NULL, push_fence = NULL, version = version + 1 WHERE id = $1";
            run(tx, sql, vec![link.id.into(), never.into()]).await?;
        }
        (None, Some(record)) => {
            let sql = "INSERT INTO tidemark_link (stream_id, remote_id, state, gone, seen) VALUES ($1, $2, 'tombstone', 'both', $3)
                ON CONFLICT (stream_id, remote_id) DO UPDATE SET state = 'tombstone', gone = 'both', base = '{}', seen = excluded.seen, version = tidemark_link.version + 1";
            run(tx, sql, vec![stream.into(), record.as_str().into(), never.into()]).await?;
        }
        (None, None) => {}
    }
    Ok(())
}

/// Lineage and findings go; what was said of calls loses its words where they hold one of the person's values or the record's id.
async fn scrub(tx: &Tx, target: &Target<'_>) -> Result<(), StoreError> {
    let backend = tx.get_database_backend();
    if let Some(link) = &target.link {
        run(tx, "DELETE FROM tidemark_lineage WHERE link_id = $1", vec![link.id.into()]).await?;
    }
    // Nobody's values are in a tape; its words are the vendor's, and a machine chose which stand.
    let sql = "DELETE FROM tidemark_tape WHERE callout_id IN (SELECT id FROM tidemark_callout WHERE stream_id = $1)";
    run(tx, sql, vec![target.mapped.id.into()]).await?;
    let subjects = target.row_key.iter().map(RowKey::as_str).chain(target.remote_id.iter().map(RemoteId::as_str));
    let sql = format!("DELETE FROM tidemark_drift WHERE stream_id = $1 AND subject {}", in_list(backend, 2, "text"));
    run(tx, &sql, vec![target.mapped.id.into(), list(backend, subjects)]).await?;
    let texts: Vec<Option<&str>> =
        target.values.iter().map(String::as_str).chain(target.remote_id.iter().map(RemoteId::as_str)).map(Some).collect();
    if texts.is_empty() {
        return Ok(());
    }
    let within = if backend == sea_orm::DbBackend::Postgres { "strpos" } else { "instr" };
    let (source, mut values) = table(backend, 2, 1, &texts);
    values.insert(0, target.mapped.id.into());
    let said = format!(
        "UPDATE tidemark_callout SET message = 'erased' WHERE stream_id = $1 AND message IS NOT NULL
         AND EXISTS (SELECT 1 FROM {source} WHERE {within}(lower(message), lower(v.c0)) > 0)"
    );
    run(tx, &said, values.clone()).await?;
    let said = format!(
        "UPDATE tidemark_stream SET poll_error = 'erased' WHERE id = $1 AND poll_error IS NOT NULL
         AND EXISTS (SELECT 1 FROM {source} WHERE {within}(lower(poll_error), lower(v.c0)) > 0)"
    );
    run(tx, &said, values).await?;
    Ok(())
}

async fn delete_row(tx: &Tx, target: &Target<'_>) -> Result<(), Unbegun> {
    let Some(row) = &target.row else { return Ok(()) };
    let mapped = target.mapped;
    let terms = terms::ask(tx, mapped).await?;
    let deleted = match row_writes::delete(tx, mapped, std::iter::once(row.key.as_str())).await {
        Ok(deleted) => deleted,
        Err(error @ StoreError::Refused { .. }) if !error.is_contention() => {
            let (table, row) = (mapped.shape.table.to_string(), row.key.0.clone());
            return Err(Unbegun::RowStays { table, row, words: error.words() });
        }
        Err(error) => return Err(error.into()),
    };
    let keys: Vec<&str> = deleted.iter().map(RowKey::as_str).collect();
    changes::end_own(tx, mapped, &terms, &keys, &[]).await?;
    Ok(())
}

async fn note(tx: &Tx, target: &Target<'_>, by: By<'_>) -> Result<(), StoreError> {
    // Without a record there is nothing left to do; what a one-way stream told is no record, and nobody can take it back.
    let has_record = target.remote_id.is_some() && !target.mapped.spec.is_one_way();
    let state = if has_record { State::Begun } else { State::Done };
    let sql = "INSERT INTO tidemark_erasure (stream_id, row_key, remote_id, state, who, reason, for_good, done_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, CASE WHEN $4 = 'done' THEN {now} END) RETURNING id";
    let values = vec![
        target.mapped.id.into(),
        target.row_key.as_ref().map(|key| key.0.clone()).into(),
        target.remote_id.as_ref().map(|id| id.0.clone()).into(),
        state.word().into(),
        by.who.into(),
        by.reason.into(),
        i64::from(target.for_good).into(),
    ];
    let id: i64 = scalar(tx, sql, values).await?;
    for digest in &target.keys {
        let sql = "INSERT INTO tidemark_erased_key (stream_id, digest, erasure_id) VALUES ($1, $2, $3)";
        run(tx, sql, vec![target.mapped.id.into(), digest.as_str().into(), id.into()]).await?;
    }
    Ok(())
}

/// An erasure whose record is still to go, claimed.
#[derive(Debug, Clone)]
pub struct Owed {
    pub id: i64,
    pub remote_id: RemoteId,
    pub attempts: u32,
    pub for_good: bool,
}

/// Claims the next due erasure of a stream. Not of a paused stream or connection: a pause stops every call.
pub async fn claim(store: &Store, stream: i64, fence: &str, lease: Millis) -> Result<Option<Owed>, StoreError> {
    let sql = "UPDATE tidemark_erasure SET lease_fence = $2, lease_until = {now} + $3 WHERE id = (
            SELECT e.id FROM tidemark_erasure e JOIN tidemark_stream s ON s.id = e.stream_id JOIN tidemark_connection c ON c.name = s.connection
            WHERE e.stream_id = $1 AND e.state = 'begun' AND e.due_at <= {now} AND (e.lease_until IS NULL OR e.lease_until < {now})
              AND s.state <> 'paused' AND c.state = 'running' ORDER BY e.due_at, e.id LIMIT 1 {of_erasure})
        RETURNING id, remote_id, attempts, for_good";
    let sql = sql.replace("{of_erasure}", if store.is_postgres() { "FOR UPDATE OF e SKIP LOCKED" } else { "" });
    let row = one(&store.db, &sql, vec![stream.into(), fence.into(), lease.into()]).await?;
    row.map(|row| {
        let attempts = u32::try_from(get::<i32>(&row, 2)?).unwrap_or(0);
        Ok(Owed {
            id: get(&row, 0)?,
            remote_id: RemoteId(get::<Option<String>>(&row, 1)?.unwrap_or_default()),
            attempts,
            for_good: get::<i64>(&row, 3)? != 0,
        })
    })
    .transpose()
}

/// How long the claim still lasts; 0 when it is somebody else's.
pub async fn lease_left(store: &Store, fence: &str) -> Result<Millis, StoreError> {
    let sql = "SELECT COALESCE(min(lease_until) - {now}, 0) FROM tidemark_erasure WHERE lease_fence = $1";
    scalar(&store.db, sql, vec![fence.into()]).await
}

/// The record is gone: both sides are.
pub async fn done(store: &Store, fence: &str) -> Result<(), StoreError> {
    let sql = "UPDATE tidemark_erasure SET state = 'done', done_at = {now}, class = NULL, cause = NULL, lease_fence = NULL, lease_until = NULL WHERE lease_fence = $1";
    run(&store.db, sql, vec![fence.into()]).await?;
    Ok(())
}

/// The record is still there: tried again then.
pub async fn leave(
    store: &Store,
    fence: &str,
    due_at: Millis,
    class: Option<&str>,
    cause: &str,
    counts: bool,
) -> Result<(), StoreError> {
    let sql = "UPDATE tidemark_erasure SET due_at = $2, class = $3, cause = $4, attempts = attempts + $5, lease_fence = NULL, lease_until = NULL WHERE lease_fence = $1";
    let values = vec![fence.into(), due_at.into(), class.into(), cause.into(), i32::from(counts).into()];
    run(&store.db, sql, values).await?;
    Ok(())
}

/// One erasure, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Erasure {
    pub stream: String,
    pub row: Option<String>,
    pub record: Option<String>,
    pub state: String,
    pub begun_at: Millis,
    pub done_at: Option<Millis>,
    /// The record showed in the CRM again.
    pub again_at: Option<Millis>,
    pub attempts: i32,
    pub cause: Option<String>,
    /// The record is deleted so that nothing brings it back, rather than archived.
    pub for_good: bool,
    /// When it is tried next, while it is open.
    pub due_at: Millis,
    /// The stream or connection that is paused, and with it the erasure.
    pub paused: Option<String>,
}

impl Erasure {
    pub fn thing(&self) -> String {
        format!("record {} of {}", self.record.as_deref().unwrap_or("none"), self.stream)
    }

    /// What is in its way.
    pub fn waits_for(&self) -> String {
        let fate = if self.for_good { "deleted for good" } else { "archived" };
        let tried = format!("is still to be {fate}, tried {} times", self.attempts);
        match (&self.again_at, &self.paused, &self.cause) {
            (Some(_), ..) => "shows in the CRM again and is not taken up".to_owned(),
            (None, Some(paused), _) => format!("{tried}: {paused} is paused, and a pause stops every call"),
            (None, None, Some(cause)) => format!("{tried}: {cause}"),
            (None, None, None) => format!("{tried}: it waits for its turn"),
        }
    }

    /// What a person does, or what happens without one.
    pub fn next_step(&self) -> String {
        let record = self.record.as_deref().unwrap_or("none");
        match (&self.again_at, &self.paused) {
            (Some(_), _) => format!("erase it once more with `tidemark erase {} --record {record}`", self.stream),
            (None, Some(paused)) => format!("`tidemark resume {paused}`; a worker then goes on"),
            (None, None) => "a worker tries it again by itself until the record is gone".to_owned(),
        }
    }
}

/// Those that want somebody's eye: whose record is not gone yet, or shows again.
pub async fn open(store: &Store) -> Result<Vec<Erasure>, StoreError> {
    let sql = "SELECT s.name, e.row_key, e.remote_id, e.state, e.begun_at, e.done_at, e.again_at, e.attempts, e.cause, e.for_good, e.due_at,
            CASE WHEN c.state <> 'running' THEN c.name WHEN s.state = 'paused' THEN s.name END
        FROM tidemark_erasure e JOIN tidemark_stream s ON s.id = e.stream_id LEFT JOIN tidemark_connection c ON c.name = s.connection
        WHERE e.state = 'begun' OR e.again_at IS NOT NULL ORDER BY e.id LIMIT 100";
    let read = |row: &QueryResult| {
        Ok(Erasure {
            stream: get(row, 0)?,
            row: get(row, 1)?,
            record: get(row, 2)?,
            state: get(row, 3)?,
            begun_at: get(row, 4)?,
            done_at: get(row, 5)?,
            again_at: get(row, 6)?,
            attempts: get(row, 7)?,
            cause: get(row, 8)?,
            for_good: get::<i64>(row, 9)? != 0,
            due_at: get(row, 10)?,
            paused: get(row, 11)?,
        })
    };
    all(&store.db, sql, vec![]).await?.iter().map(read).collect()
}
