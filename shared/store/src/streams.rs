//! Streams: their ticks, leases and states. A tick and a claim are each one compare-and-set: any number of schedulers and workers is right.

use sea_orm::{ConnectionTrait, QueryResult};
use tidemark_core::Millis;
use tidemark_core::bug::{Bug, planted};
use tidemark_core::failure::Failure;
use tidemark_core::ghost::Ghosts;
use tidemark_core::hint::HintKind;
use tidemark_core::sweep::Cursors;
use tidemark_core::window::{Reader, millis};

use crate::environment::most_seen;
use crate::query::{all, get, one, run, scalar};
use crate::rows::Mapped;
use crate::{Store, StoreError};

/// A stream's row, for deciding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    pub id: i64,
    pub name: String,
    pub connection: String,
    pub state: String,
    pub fast_until: Option<Millis>,
    pub settled_until: Option<Millis>,
    pub settled_due_at: Millis,
    pub loaded_at: Option<Millis>,
    pub poll_attempts: i32,
    pub walk_owed: bool,
    /// Where the CRM's own feed of changes was left, in the vendor's words.
    pub feed: Option<String>,
}

const COLUMNS: &str =
    "id, name, connection, state, fast_until, settled_until, settled_due_at, loaded_at, poll_attempts, walk_owed, feed";

fn read(row: &QueryResult) -> Result<Stream, StoreError> {
    Ok(Stream {
        id: get(row, 0)?,
        name: get(row, 1)?,
        connection: get(row, 2)?,
        state: get(row, 3)?,
        fast_until: get(row, 4)?,
        settled_until: get(row, 5)?,
        settled_due_at: get(row, 6)?,
        loaded_at: get(row, 7)?,
        poll_attempts: get(row, 8)?,
        walk_owed: get::<i64>(row, 9)? > 0,
        feed: get(row, 10)?,
    })
}

pub async fn find(store: &Store, name: &str) -> Result<Option<Stream>, StoreError> {
    one(&store.db, &format!("SELECT {COLUMNS} FROM tidemark_stream WHERE name = $1"), vec![name.into()])
        .await?
        .as_ref()
        .map(read)
        .transpose()
}

pub async fn list(store: &Store) -> Result<Vec<Stream>, StoreError> {
    all(&store.db, &format!("SELECT {COLUMNS} FROM tidemark_stream ORDER BY name LIMIT 1000"), vec![])
        .await?
        .iter()
        .map(read)
        .collect()
}

/// A stream whose tick has come: its id and the time it was due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    pub id: i64,
    pub name: String,
    pub due_at: Millis,
    /// When the first load ended.
    pub loaded_at: Option<Millis>,
    /// When the last sweep was owed.
    pub sweep_begun_at: Option<Millis>,
    /// A sweep is owed or under way.
    pub sweep_owed: bool,
}

/// Streams to tick now, oldest first.
pub async fn due(store: &Store, now: Millis) -> Result<Vec<Due>, StoreError> {
    let sql =
        "SELECT id, name, due_at, loaded_at, sweep_begun_at, sweep_owed_at FROM tidemark_stream WHERE state = 'running' AND due_at <= $1
        ORDER BY due_at, id LIMIT 500";
    let read = |row: &QueryResult| {
        Ok(Due {
            id: get(row, 0)?,
            name: get(row, 1)?,
            due_at: get(row, 2)?,
            loaded_at: get(row, 3)?,
            sweep_begun_at: get(row, 4)?,
            sweep_owed: get::<Option<Millis>>(row, 5)?.is_some(),
        })
    };
    all(&store.db, sql, vec![now.into()]).await?.iter().map(read).collect()
}

/// The tick: moves `due_at` on and owes a poll, unless another scheduler did it first. True when it was ours.
pub async fn tick(store: &Store, due: &Due, next: Millis) -> Result<bool, StoreError> {
    let sql = "UPDATE tidemark_stream SET due_at = $3, ticks = ticks + 1, poll_owed_at = COALESCE(poll_owed_at, {now}) WHERE id = $1 AND due_at = $2 AND state = 'running'";
    Ok(run(&store.db, sql, vec![due.id.into(), due.due_at.into(), next.into()]).await? == 1)
}

/// Brings a stream's next tick forward to `delay` from now, where it would come later. True when it did.
pub async fn bring_forward(store: &Store, stream: &str, delay: Millis) -> Result<bool, StoreError> {
    let sql = "UPDATE tidemark_stream SET due_at = {now} + $2 WHERE name = $1 AND due_at > {now} + $2";
    Ok(run(&store.db, sql, vec![stream.into(), delay.into()]).await? == 1)
}

/// Work that is due and has no live hint: one entry per (stream, kind) with how many units are due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueWork {
    pub stream: i64,
    pub kind: HintKind,
    pub units: i64,
    hinted_at: Option<Millis>,
}

/// What the dispatcher has to hint: polls that are owed and unleased, sweeps that are owed while no poll is, debts that are due and unleased (an expired lease counts
/// as none). A hint older than `hint_life` counts as lost.
pub async fn due_work(store: &Store, hint_life: Millis) -> Result<Vec<DueWork>, StoreError> {
    let open = "s.state = 'running' AND c.state = 'running'";
    let polls = format!(
        "SELECT s.id, 'poll', 1, s.poll_hinted_at FROM tidemark_stream s JOIN tidemark_connection c ON c.name = s.connection
         WHERE {open} AND s.poll_owed_at <= {{now}} AND (s.lease_until IS NULL OR s.lease_until < {{now}})
           AND (s.poll_hinted_at IS NULL OR s.poll_hinted_at < {{now}} - $1) ORDER BY s.poll_owed_at LIMIT 500"
    );
    let sweeps = format!(
        "SELECT s.id, 'sweep', 1, s.sweep_hinted_at FROM tidemark_stream s JOIN tidemark_connection c ON c.name = s.connection
         WHERE {open} AND s.sweep_owed_at <= {{now}} AND COALESCE(s.poll_owed_at > {{now}}, true) AND (s.lease_until IS NULL OR s.lease_until < {{now}})
           AND (s.sweep_hinted_at IS NULL OR s.sweep_hinted_at < {{now}} - $1) ORDER BY s.sweep_owed_at LIMIT 500"
    );
    let debts = format!(
        "SELECT s.id, d.kind, count(*), CASE d.kind WHEN 'push' THEN s.push_hinted_at ELSE s.read_hinted_at END
         FROM tidemark_debt d JOIN tidemark_stream s ON s.id = d.stream_id JOIN tidemark_connection c ON c.name = s.connection
         WHERE {open} AND (d.kind <> 'push' OR s.held_at IS NULL) AND d.state <> 'parked' AND d.due_at <= {{now}} AND (d.lease_until IS NULL OR d.lease_until < {{now}})
           AND COALESCE(CASE d.kind WHEN 'push' THEN s.push_hinted_at ELSE s.read_hinted_at END, 0) < {{now}} - $1
         GROUP BY s.id, d.kind, s.push_hinted_at, s.read_hinted_at ORDER BY min(d.due_at) LIMIT 500"
    );
    // Whoever pays a stream's pushes takes away the records of who was erased, too.
    let erasures = "SELECT s.id, 'push', count(*), s.push_hinted_at
         FROM tidemark_erasure e JOIN tidemark_stream s ON s.id = e.stream_id JOIN tidemark_connection c ON c.name = s.connection
         WHERE e.state = 'begun' AND s.state <> 'paused' AND c.state = 'running' AND e.due_at <= {now} AND (e.lease_until IS NULL OR e.lease_until < {now})
           AND COALESCE(s.push_hinted_at, 0) < {now} - $1
         GROUP BY s.id, s.push_hinted_at ORDER BY min(e.due_at) LIMIT 500"
        .to_owned();
    let mut work: Vec<DueWork> = Vec::new();
    for sql in [polls, debts, sweeps, erasures] {
        for row in all(&store.db, &sql, vec![hint_life.into()]).await? {
            let kind = match get::<String>(&row, 1)?.as_str() {
                "poll" => HintKind::Poll,
                "push" => HintKind::Push,
                "sweep" => HintKind::Sweep,
                _ => HintKind::Read,
            };
            let units = match kind {
                HintKind::Poll | HintKind::Sweep => 1,
                HintKind::Push | HintKind::Read => get(&row, 2)?,
            };
            let stream = get(&row, 0)?;
            // A stream may owe pushes and erasures: one hint says both.
            if !work.iter().any(|one| one.stream == stream && one.kind == kind) {
                work.push(DueWork { stream, kind, units, hinted_at: get(&row, 3)? });
            }
        }
    }
    Ok(work)
}

fn hinted_column(kind: HintKind) -> &'static str {
    match kind {
        HintKind::Poll => "poll_hinted_at",
        HintKind::Push => "push_hinted_at",
        HintKind::Read => "read_hinted_at",
        HintKind::Sweep => "sweep_hinted_at",
    }
}

/// Marks the work as hinted, unless another dispatcher did it first. True when it was ours.
pub async fn mark_hinted(store: &Store, work: &DueWork) -> Result<bool, StoreError> {
    let column = hinted_column(work.kind);
    let sql = format!("UPDATE tidemark_stream SET {column} = {{now}} WHERE id = $1 AND COALESCE({column}, -1) = $2");
    Ok(run(&store.db, &sql, vec![work.stream.into(), work.hinted_at.unwrap_or(-1).into()]).await? == 1)
}

/// The hint was taken and its work looked at: what is still due may be hinted again.
pub async fn clear_hint(store: &Store, stream: i64, kind: HintKind) -> Result<(), StoreError> {
    let column = hinted_column(kind);
    run(
        &store.db,
        &format!("UPDATE tidemark_stream SET {column} = NULL WHERE id = $1 AND {column} IS NOT NULL"),
        vec![stream.into()],
    )
    .await?;
    Ok(())
}

/// The right to read a stream: a number nobody else has, good until its lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    pub stream: i64,
    pub number: i64,
    pub lease: Millis,
    /// The most beats this process had seen of the database.
    pub(crate) beats: i64,
}

/// Claims the stream for a poll. `None` when nothing is owed, somebody else reads it, or it is paused.
pub async fn claim_poll(
    store: &Store,
    mapped: &Mapped,
    owner: &str,
    lease: Millis,
) -> Result<Option<(Fence, Stream)>, StoreError> {
    let stream = mapped.id;
    // Whoever still goes by the mapping as it was would read everything once more without what is new in it, and move the cursor past it.
    let in_force = if planted(Bug::OldMappingReads) { "" } else { "AND mapping_digest = $4" };
    let sql = format!(
        "UPDATE tidemark_stream SET fence = fence + 1, lease_owner = $2, lease_until = {{now}} + $3
         WHERE id = $1 {in_force} AND state = 'running' AND poll_owed_at <= {{now}} AND (lease_until IS NULL OR lease_until < {{now}})
           AND EXISTS (SELECT 1 FROM tidemark_connection c WHERE c.name = tidemark_stream.connection AND c.state = 'running')
         RETURNING {COLUMNS}, fence"
    );
    let mut values = vec![stream.into(), owner.into(), lease.into()];
    if !in_force.is_empty() {
        values.push(mapped.spec.digest().into());
    }
    let Some(row) = one(&store.db, &sql, values).await? else { return Ok(None) };
    Ok(Some((Fence { stream, number: get(&row, 11)?, lease, beats: most_seen(store) }, read(&row)?)))
}

/// Keeps where the CRM's own feed of changes is gone on with.
pub(crate) async fn keep_feed(db: &impl ConnectionTrait, fence: Fence, feed: &str) -> Result<(), StoreError> {
    run(db, "UPDATE tidemark_stream SET feed = $2 WHERE id = $1", vec![fence.stream.into(), feed.into()]).await.map(drop)
}

/// Proves inside a transaction that the fence still stands, and renews its lease. Everything the transaction then does is ours to do. In a database that was put back to an older
/// state no fence stands until that was noticed: what is read meanwhile would be merged as if nothing had been.
pub(crate) async fn hold(db: &impl ConnectionTrait, fence: Fence) -> Result<Held, StoreError> {
    let fence_holds = if planted(Bug::NoFence) { "fence >= $2" } else { "fence = $2" };
    let sql = format!(
        "UPDATE tidemark_stream SET version = version + 1, lease_until = {{now}} + $3
         WHERE id = $1 AND {fence_holds} AND lease_until > {{now}} AND state = 'running' AND NOT EXISTS (SELECT 1 FROM tidemark_environment e WHERE e.beats < $4)
         RETURNING EXISTS (SELECT 1 FROM tidemark_link l WHERE l.stream_id = $1 AND {UNDECIDED}),
             EXISTS (SELECT 1 FROM tidemark_debt d WHERE d.stream_id = $1 AND d.kind = 'read'), fast_until, settled_until,
             EXISTS (SELECT 1 FROM tidemark_debt d WHERE d.state = 'parent'),
             EXISTS (SELECT 1 FROM tidemark_alias a WHERE a.stream_id = $1), keys_doubted > 0"
    );
    let row = one(db, &sql, vec![fence.stream.into(), fence.number.into(), fence.lease.into(), fence.beats.into()]).await?;
    let row = row.ok_or_else(|| StoreError::LeaseLost { what: format!("stream {}", fence.stream) })?;
    let truth = |at| get::<bool>(&row, at);
    let cursors = Cursors { fast: get(&row, 2)?, settled: get(&row, 3)? };
    Ok(Held {
        undecided_creates: truth(0)?,
        read_debts: truth(1)?,
        children: truth(4)?,
        cursors,
        aliases: truth(5)?,
        keys_doubted: truth(6)?,
    })
}

/// Keys of the stream's rows may have been given out twice since a restore.
pub async fn doubts_keys(store: &Store, stream: i64) -> Result<bool, StoreError> {
    keys_doubted(&store.db, stream).await
}

pub(crate) async fn keys_doubted(db: &impl ConnectionTrait, stream: i64) -> Result<bool, StoreError> {
    scalar(db, "SELECT keys_doubted > 0 FROM tidemark_stream WHERE id = $1", vec![stream.into()]).await
}

/// A create whose record may be there although nobody has heard of it: it was sent without a known outcome, or is about to be.
const UNDECIDED: &str = "l.state = 'creating' AND (l.ghosts IS NOT NULL OR l.push_until > {now})";

/// Whether a create of this stream is under way or unresolved. One whose push waits for a person, or is not owed any more, is waited for no longer than its record may take to
/// show: else no stranger would become a row before somebody has looked.
pub(crate) async fn undecided_creates(db: &impl ConnectionTrait, mapped: &Mapped) -> Result<bool, StoreError> {
    let sql = format!(
        "SELECT l.ghosts, COALESCE(l.push_until, 0) > {{now}} OR EXISTS (SELECT 1 FROM tidemark_debt d
             WHERE d.stream_id = l.stream_id AND d.kind = 'push' AND d.subject = l.row_key AND d.state <> 'parked'), {{now}}
         FROM tidemark_link l WHERE l.stream_id = $1 AND {UNDECIDED} ORDER BY l.id"
    );
    for row in all(db, &sql, vec![mapped.id.into()]).await? {
        let (ghosts, goes_on, now): (Option<String>, bool, Millis) = (get(&row, 0)?, get(&row, 1)?, get(&row, 2)?);
        let shown = Ghosts::from_json(&mapped.spec, ghosts.as_deref()).until();
        if goes_on || shown.is_some_and(|until| now <= until + millis(mapped.spec.poll.settled_lag)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What the fence update learned on its way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) undecided_creates: bool,
    pub(crate) read_debts: bool,
    /// Somebody waits for a parent. Who begins to wait from here on is looked after by `children::free_linked`.
    pub(crate) children: bool,
    pub(crate) cursors: Cursors,
    /// Records of the stream were merged away.
    pub(crate) aliases: bool,
    pub(crate) keys_doubted: bool,
}

/// The poll is done: nothing is owed until the next tick.
pub async fn finish_poll(store: &Store, fence: Fence, fresh_at: Option<Millis>) -> Result<(), StoreError> {
    let sql = "UPDATE tidemark_stream SET lease_until = NULL, lease_owner = NULL, poll_owed_at = NULL, poll_attempts = 0, poll_class = NULL, poll_error = NULL,
        reason = NULL, fresh_at = COALESCE($3, fresh_at), poll_hinted_at = NULL WHERE id = $1 AND fence = $2";
    run(&store.db, sql, vec![fence.stream.into(), fence.number.into(), fresh_at.into()]).await?;
    Ok(())
}

/// Gives the lease back early; the poll stays owed and is hinted again at once. `fresh_at` when everything was read and only rows are still to be compared.
pub async fn yield_poll(store: &Store, fence: Fence, fresh_at: Option<Millis>) -> Result<(), StoreError> {
    let sql = "UPDATE tidemark_stream SET lease_until = NULL, lease_owner = NULL, poll_hinted_at = NULL, fresh_at = COALESCE($3, fresh_at)
        WHERE id = $1 AND fence = $2";
    run(&store.db, sql, vec![fence.stream.into(), fence.number.into(), fresh_at.into()]).await?;
    Ok(())
}

/// The poll failed: it is owed again at `retry_at`.
pub async fn fail_poll(store: &Store, fence: Fence, retry_at: Millis, failure: &Failure) -> Result<(), StoreError> {
    let sql = "UPDATE tidemark_stream SET lease_until = NULL, lease_owner = NULL, poll_owed_at = $3, poll_attempts = poll_attempts + 1, poll_class = $4,
        poll_error = $5, poll_hinted_at = NULL WHERE id = $1 AND fence = $2";
    let values = vec![
        fence.stream.into(),
        fence.number.into(),
        retry_at.into(),
        failure.class.word().into(),
        failure.message.clone().into(),
    ];
    run(&store.db, sql, values).await?;
    Ok(())
}

/// When the settled reader is due next.
pub async fn set_settled_due(store: &Store, fence: Fence, due_at: Millis) -> Result<(), StoreError> {
    let sql = "UPDATE tidemark_stream SET settled_due_at = $3 WHERE id = $1 AND fence = $2";
    run(&store.db, sql, vec![fence.stream.into(), fence.number.into(), due_at.into()]).await?;
    Ok(())
}

/// Sets the cursors of a connection's streams back to a moment of the CRM's clock, each no farther than it has come, and abandons windows that reach beyond it: their end
/// would set the cursors forward again. The settled reader keeps its distance.
pub async fn step_back(store: &Store, connection: &str, to: Millis) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    // A worker that had not noticed yet may have carried the settled cursor past the fast one: there is no distance to keep then, only a future to come back from.
    let kept = "$2 - CASE WHEN fast_until > settled_until THEN fast_until - settled_until ELSE 0 END";
    let sql = format!("UPDATE tidemark_stream SET fence = fence + 1, lease_until = NULL, settled_until = CASE WHEN settled_until > {kept} THEN {kept} ELSE settled_until END,
        fast_until = CASE WHEN fast_until > $2 THEN $2 ELSE fast_until END, settled_due_at = 0 WHERE connection = $1");
    run(&tx, &sql, vec![connection.into(), to.into()]).await?;
    let sql = "UPDATE tidemark_window SET state = 'abandoned', ended_at = {now} WHERE state = 'open' AND until_stamp > $2
        AND stream_id IN (SELECT id FROM tidemark_stream WHERE connection = $1)";
    run(&tx, sql, vec![connection.into(), to.into()]).await?;
    tx.commit().await
}

/// Owes a local walk: every row against its base.
pub async fn owe_walk(store: &Store, stream: i64) -> Result<(), StoreError> {
    run(&store.db, "UPDATE tidemark_stream SET walk_owed = 1, walk_position = NULL, walk_pass = NULL, poll_owed_at = COALESCE(poll_owed_at, {now}) WHERE id = $1", vec![stream.into()]).await?;
    Ok(())
}

/// Moves a stream to `running` or `paused`, with the reason shown to everybody. The brakes of a one-way stream stand from its first go on: it has no first load that a
/// person has seen the plan of. Returns false when there is no such stream.
pub async fn set_state(store: &Store, name: &str, state: &str, reason: Option<&str>) -> Result<bool, StoreError> {
    let sql = "UPDATE tidemark_stream SET state = $2, reason = $3, due_at = CASE WHEN $2 = 'running' THEN {now} ELSE due_at END,
        poll_owed_at = CASE WHEN $2 = 'running' AND poll_owed_at > {now} THEN {now} ELSE poll_owed_at END,
        began_at = CASE WHEN $2 = 'running' THEN COALESCE(began_at, {now}) ELSE began_at END,
        braked_at = CASE WHEN $2 = 'running' AND one_way = 1 THEN COALESCE(braked_at, {now}) ELSE braked_at END WHERE name = $1";
    Ok(run(&store.db, sql, vec![name.into(), state.into(), reason.into()]).await? == 1)
}

/// The column of a reader's cursor; a sweep reads everything and has none.
pub(crate) fn cursor_column(reader: Reader) -> Option<&'static str> {
    match reader {
        Reader::Fast => Some("fast_until"),
        Reader::Settled => Some("settled_until"),
        Reader::Sweep => None,
    }
}

/// What is still on its way, over all running streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quiet {
    /// Log rows the relay has not seen.
    pub changes: i64,
    /// Debts that are neither parked nor waiting for a parent.
    pub debts: i64,
    /// Walks that are owed or under way.
    pub walks: i64,
    /// Streams that were not loaded once.
    pub unloaded: i64,
    /// The earliest stamp all settled readers have read up to, CRM clock. Of a one-way stream there is nothing to read.
    pub settled_until: Option<Millis>,
}

impl Quiet {
    /// Nothing is on its way, and everything stamped before `stamp` was read by the settled readers.
    pub fn is_quiet_since(&self, stamp: Millis) -> bool {
        self.changes == 0
            && self.debts == 0
            && self.walks == 0
            && self.unloaded == 0
            && self.settled_until.is_some_and(|until| until > stamp)
    }
}

pub async fn quiet(store: &Store) -> Result<Quiet, StoreError> {
    let sql = "SELECT (SELECT count(*) FROM tidemark_change), (SELECT count(*) FROM tidemark_debt WHERE state = 'waiting'),
        (SELECT count(*) FROM tidemark_stream WHERE walk_owed <> 0 AND state = 'running'),
        (SELECT count(*) FROM tidemark_stream WHERE loaded_at IS NULL AND state = 'running'),
        (SELECT min(CASE WHEN one_way = 1 THEN {now} + 86400000 ELSE COALESCE(settled_until, 0) END) FROM tidemark_stream WHERE state = 'running')";
    let Some(row) = one(&store.db, sql, vec![]).await? else { return Ok(Quiet::default()) };
    Ok(Quiet {
        changes: get(&row, 0)?,
        debts: get(&row, 1)?,
        walks: get(&row, 2)?,
        unloaded: get(&row, 3)?,
        settled_until: get(&row, 4)?,
    })
}
