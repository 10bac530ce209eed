//! Holds what every stream would send while the database may be a restored one: until each was read again, compared and swept, and a person has looked at what would
//! be sent. Reading goes on. Judges nothing: who looks decides whether to begin, a person when it ends.

use sea_orm::{ConnectionTrait, QueryResult};
use serde::Serialize;
use tidemark_core::Millis;

use crate::debts::Kind;
use crate::dialect::{in_list, list};
use crate::environment::{Environment, most_seen};
use crate::query::{all, get, run, scalar};
use crate::rows::Mapped;
use crate::{Store, StoreError, acts};

/// Holds every stream, unless somebody else was quicker or the pulse has moved since `environment` was loaded. The pulse goes on from the most that was seen of it.
/// What is read anew is read from the cursors, which are as old as everything else here, and by a sweep of both sides that begins now, or after the first load.
pub(crate) async fn begin(
    store: &Store,
    environment: &Environment,
    most: i64,
    timeline: Option<i64>,
    why: &str,
) -> Result<bool, StoreError> {
    let tx = store.begin().await?;
    let sql = "UPDATE tidemark_environment SET beats = $1, beat_at = {now}, timeline = COALESCE($2, timeline) WHERE id = 1 AND beats = $3 AND COALESCE(beat_at, -1) = $4";
    let loaded = environment.pulse.beats.into();
    let values = vec![most.into(), timeline.into(), loaded, environment.beat_at.unwrap_or(-1).into()];
    if run(&tx, sql, values).await? != 1 {
        tx.rollback().await?;
        return Ok(false);
    }
    hold(&tx, why).await?;
    tx.commit().await?;
    Ok(true)
}

/// Holds every stream because a person adopts a place at which nobody remembers the database.
pub async fn at_new_place(store: &Store, why: &str) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    run(&tx, "UPDATE tidemark_environment SET beat_at = {now} WHERE id = 1", vec![]).await?;
    hold(&tx, why).await?;
    tx.commit().await
}

/// Proves that the database is the one in which these claims were made: neither older than this process has seen it nor held since. An answer that was on its way when it was
/// put back is about a row or a link that may be another's now.
pub(crate) async fn prove_unbroken(
    tx: &impl ConnectionTrait,
    store: &Store,
    mapped: &Mapped,
    claimed_at: impl Iterator<Item = Millis>,
) -> Result<(), StoreError> {
    let Some(first) = claimed_at.min() else { return Ok(()) };
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM tidemark_environment e WHERE e.beats < $2) AND COALESCE(held_at, $3 - 1) < $3 FROM tidemark_stream WHERE id = $1";
    let unbroken: bool = scalar(tx, sql, vec![mapped.id.into(), most_seen(store).into(), first.into()]).await?;
    unbroken.then_some(()).ok_or_else(|| StoreError::LeaseLost { what: format!("claims of {}", mapped.spec.name) })
}

/// A stream that waits for its go has sent nothing, and has a plan of its own.
async fn hold(tx: &impl ConnectionTrait, why: &str) -> Result<(), StoreError> {
    run(tx, "UPDATE tidemark_stream SET keys_doubted = 1", vec![]).await?;
    let sql =
        // Numbers of the history that was lost were given out beyond what this database knows of.
        "UPDATE tidemark_stream SET held_at = {now}, held_why = $1, fence = fence + 1000000, lease_until = NULL, walk_owed = 1, walk_position = NULL, walk_links = NULL, walk_pass = NULL,
            poll_owed_at = COALESCE(poll_owed_at, {now}), settled_due_at = 0, sweep_attempts = 0, sweep_error = NULL, sweep_hinted_at = NULL,
            sweep_owed_at = CASE WHEN loaded_at IS NULL THEN NULL ELSE {now} END, sweep_begun_at = CASE WHEN loaded_at IS NULL THEN NULL ELSE {now} END
        WHERE state <> 'plan_ready'";
    run(tx, sql, vec![why.into()]).await?;
    let sql =
        "UPDATE tidemark_window SET state = 'abandoned', ended_at = {now}, seal = 'it began before the database was restored'
        WHERE reader = 'sweep' AND state IN ('open', 'drained')";
    run(tx, sql, vec![]).await?;
    acts::record_in(tx, "tidemark", "hold", "every stream", Some(why)).await
}

/// A stream that sends nothing until a person says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    #[serde(skip)]
    pub id: i64,
    pub stream: String,
    pub state: String,
    pub since: Millis,
    pub why: String,
    /// Its window was read to the present, and whatever had to be read by its id.
    pub read: bool,
    /// Every row was compared.
    pub compared: bool,
    /// Every record was read by a sealed sweep, which follows the first load too. Nothing is read in a one-way stream.
    pub swept: bool,
    /// How the last sweep since then ended.
    pub sweep: Option<String>,
    /// Changes that wait.
    pub owed: i64,
}

impl Held {
    /// Everything there is to know of the other side is known.
    pub fn is_ready(&self) -> bool {
        self.read && self.compared && self.swept
    }
}

/// The streams that are held, by name.
pub async fn list_held(store: &Store) -> Result<Vec<Held>, StoreError> {
    let sql = "SELECT s.id, s.name, s.state, s.held_at, COALESCE(s.held_why, ''), COALESCE(s.fresh_at >= s.held_at, false) AND NOT EXISTS (
                SELECT 1 FROM tidemark_debt d WHERE d.stream_id = s.id AND d.kind = 'read' AND d.state = 'waiting'), s.walk_owed = 0,
            s.one_way = 1 OR EXISTS (
                SELECT 1 FROM tidemark_window w WHERE w.stream_id = s.id AND w.reader = 'sweep' AND w.started_at >= s.held_at AND w.seal = 'sealed' AND w.state = 'completed'),
            (SELECT w.seal FROM tidemark_window w WHERE w.stream_id = s.id AND w.reader = 'sweep' AND w.started_at >= s.held_at AND w.seal IS NOT NULL ORDER BY w.id DESC LIMIT 1),
            (SELECT count(*) FROM tidemark_debt d WHERE d.stream_id = s.id AND d.kind = $1 AND d.state <> 'parked')
        FROM tidemark_stream s WHERE s.held_at IS NOT NULL ORDER BY s.name LIMIT 1000";
    let read = |row: &QueryResult| {
        Ok(Held {
            id: get(row, 0)?,
            stream: get(row, 1)?,
            state: get(row, 2)?,
            since: get(row, 3)?,
            why: get(row, 4)?,
            read: get(row, 5)?,
            compared: get(row, 6)?,
            swept: get(row, 7)?,
            sweep: get(row, 8)?,
            owed: get(row, 9)?,
        })
    };
    all(&store.db, sql, vec![Kind::Push.word().into()]).await?.iter().map(read).collect()
}

/// A person lets these streams send again; recorded with the act itself.
pub async fn release(store: &Store, held: &[&Held], who: &str, reason: Option<&str>) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    let ids: Vec<String> = held.iter().map(|held| held.id.to_string()).collect();
    let backend = tx.get_database_backend();
    let sql = format!("UPDATE tidemark_stream SET held_at = NULL, held_why = NULL WHERE id {}", in_list(backend, 1, "bigint"));
    run(&tx, &sql, vec![list(backend, ids.iter().map(String::as_str))]).await?;
    for one in held {
        let what = format!("{}: {} owed changes go out", one.stream, one.owed);
        acts::record_in(&tx, who, "adopt", &what, reason).await?;
    }
    tx.commit().await
}
