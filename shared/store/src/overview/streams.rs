//! One line per stream: how far each reader is, what is owed, what stands in the way.

use std::collections::HashMap;

use sea_orm::QueryResult;
use serde::Serialize;
use tidemark_core::Millis;
use tidemark_core::arrival::Arrivals;

use crate::query::{all, get};
use crate::{Store, StoreError, arrivals, conflicts};

/// Everything about one stream that tells whether its two sides agree. Times are the database's clock in milliseconds unless they say otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamOverview {
    pub id: i64,
    pub name: String,
    pub connection: String,
    pub object: String,
    pub table_name: String,
    /// `plan_ready`, `running` or `paused`.
    pub state: String,
    pub reason: Option<String>,
    pub connector: Option<String>,
    /// Nothing is ever read: there are no cursors, windows or sweeps.
    pub one_way: bool,
    /// `running` or `paused`; `missing` when the connection has no row.
    pub connection_state: String,
    pub connection_reason: Option<String>,
    pub clock_offset_ms: i64,
    /// Cursor of the fast reader, CRM clock.
    pub fast_until: Option<Millis>,
    /// Cursor of the settled reader, CRM clock.
    pub settled_until: Option<Millis>,
    /// The last time every record the CRM showed had been read.
    pub fresh_at: Option<Millis>,
    pub now: Millis,
    /// When the first load ended.
    pub loaded_at: Option<Millis>,
    /// The next tick.
    pub due_at: Millis,
    /// A poll is owed since, or again at, this time.
    pub poll_owed_at: Option<Millis>,
    pub poll_attempts: i32,
    pub poll_class: Option<String>,
    pub poll_error: Option<String>,
    /// Who reads the stream now; `None` when nobody holds a live lease.
    pub reader: Option<String>,
    pub walk_owed: bool,
    /// Since when nothing is sent for it, and why: the database may be a restored one.
    pub held_at: Option<Millis>,
    pub held_why: Option<String>,
    /// How capture stands on its table: `installed`, `missing`, `impossible` (a view), or nobody has looked.
    pub capture: Option<String>,
    pub excluded: i64,
    /// Fields that both sides changed, ever.
    pub conflicts: i64,
    /// Links in which a field waits for a person now.
    pub open_conflicts: i64,
    pub links: i64,
    /// Waiting, not parked and not waiting for a parent.
    pub owed_pushes: i64,
    pub owed_reads: i64,
    /// Failed at least once and waiting to be tried again.
    pub retrying: i64,
    /// Waiting until another row is in the CRM.
    pub waiting_for_parent: i64,
    /// Waiting for a person.
    pub parked: i64,
    /// Could be paid this moment.
    pub due_now: i64,
    /// Due at a later time.
    pub due_later: i64,
    /// The waiting debt that failed most often: how often, its class, and its error.
    pub debt_attempts: i32,
    pub debt_class: Option<String>,
    pub debt_error: Option<String>,
    /// How long the longest unpaid change (not parked, no parent missing) has been owed.
    pub oldest_owed_ms: Option<Millis>,
    /// How long the longest overdue debt could have been paid already.
    pub oldest_due_ms: Option<Millis>,
    /// When the next debt that is not due yet comes due.
    pub next_debt_at: Option<Millis>,
    /// Windows begun within the last hour.
    pub windows_hour: i64,
    pub records_hour: i64,
    pub rows_changed_hour: i64,
    /// A window of one of the two readers; a sweep has its own place.
    pub open_window: Option<ReadingWindow>,
    pub sweep: super::SweepView,
    /// The brakes that have something to tell.
    pub brakes: Vec<super::BrakeView>,
    /// How late the versions of the last week became visible.
    pub arrivals: Arrivals,
    /// The last rewind within a day.
    pub rewound: Option<super::RewindView>,
}

impl StreamOverview {
    /// The brakes behind which something waits for a person.
    pub fn brakes_on(&self) -> impl Iterator<Item = &super::BrakeView> {
        self.brakes.iter().filter(|brake| brake.is_on())
    }

    /// Why edits in the order system are not heard of, if so.
    pub fn deaf(&self) -> Option<String> {
        let lost = self.capture.as_deref() == Some("missing");
        lost.then(|| format!("the capture triggers on {} are missing or disabled", self.table_name))
    }
}

/// A window that is being read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReadingWindow {
    pub reader: String,
    /// CRM clock; the window is `[from, until)`.
    pub from: Millis,
    pub until: Millis,
    pub pages: i64,
    pub records: i64,
    pub started_at: Millis,
}

/// Every stream, by name.
pub async fn streams(store: &Store) -> Result<Vec<StreamOverview>, StoreError> {
    let sql = "SELECT s.id, s.name, s.connection, s.object, s.table_name, s.state, s.reason, c.connector, COALESCE(c.state, 'missing'), c.reason,
            COALESCE(c.clock_offset_ms, 0), s.fast_until, s.settled_until, s.fresh_at, {now}, s.loaded_at, s.due_at, s.poll_owed_at, s.poll_attempts,
            s.poll_class, s.poll_error, CASE WHEN s.lease_until > {now} THEN COALESCE(s.lease_owner, 'a worker') END, s.walk_owed, s.excluded, s.conflicts, s.capture, s.held_at, s.held_why, s.one_way
        FROM tidemark_stream s LEFT JOIN tidemark_connection c ON c.name = s.connection ORDER BY s.name LIMIT 1000";
    let mut streams: Vec<StreamOverview> = all(&store.db, sql, vec![]).await?.iter().map(read).collect::<Result<_, _>>()?;
    let at: HashMap<i64, usize> = streams.iter().enumerate().map(|(at, stream)| (stream.id, at)).collect();
    count_links(store, &mut streams, &at).await?;
    count_debts(store, &mut streams, &at).await?;
    add_debt_errors(store, &mut streams, &at).await?;
    count_windows(store, &mut streams, &at).await?;
    add_open_windows(store, &mut streams, &at).await?;
    super::sweeps::add(store, &mut streams, &at).await?;
    super::brakes::add(store, &mut streams, &at).await?;
    super::rewinds::add(store, &mut streams).await?;
    let mut arrivals = arrivals::of_a_week(store).await?;
    streams.iter_mut().for_each(|stream| stream.arrivals = arrivals.remove(&stream.id).unwrap_or_default());
    Ok(streams)
}

fn read(row: &QueryResult) -> Result<StreamOverview, StoreError> {
    Ok(StreamOverview {
        id: get(row, 0)?,
        name: get(row, 1)?,
        connection: get(row, 2)?,
        object: get(row, 3)?,
        table_name: get(row, 4)?,
        state: get(row, 5)?,
        reason: get(row, 6)?,
        connector: get(row, 7)?,
        one_way: get::<i64>(row, 28)? > 0,
        connection_state: get(row, 8)?,
        connection_reason: get(row, 9)?,
        clock_offset_ms: get(row, 10)?,
        fast_until: get(row, 11)?,
        settled_until: get(row, 12)?,
        fresh_at: get(row, 13)?,
        now: get(row, 14)?,
        loaded_at: get(row, 15)?,
        due_at: get(row, 16)?,
        poll_owed_at: get(row, 17)?,
        poll_attempts: get(row, 18)?,
        poll_class: get(row, 19)?,
        poll_error: get(row, 20)?,
        reader: get(row, 21)?,
        walk_owed: get::<i64>(row, 22)? > 0,
        excluded: get(row, 23)?,
        conflicts: get(row, 24)?,
        capture: get(row, 25)?,
        held_at: get(row, 26)?,
        held_why: get(row, 27)?,
        open_conflicts: 0,
        links: 0,
        owed_pushes: 0,
        owed_reads: 0,
        retrying: 0,
        waiting_for_parent: 0,
        parked: 0,
        due_now: 0,
        due_later: 0,
        debt_attempts: 0,
        debt_class: None,
        debt_error: None,
        oldest_owed_ms: None,
        oldest_due_ms: None,
        next_debt_at: None,
        windows_hour: 0,
        records_hour: 0,
        rows_changed_hour: 0,
        open_window: None,
        sweep: super::SweepView::default(),
        brakes: Vec::new(),
        arrivals: Arrivals::default(),
        rewound: None,
    })
}

type Places = HashMap<i64, usize>;

async fn count_links(store: &Store, streams: &mut [StreamOverview], at: &Places) -> Result<(), StoreError> {
    let sql = "SELECT stream_id, count(*) FROM tidemark_link WHERE state <> 'tombstone' GROUP BY stream_id ORDER BY stream_id LIMIT 1000";
    for row in all(&store.db, sql, vec![]).await? {
        if let Some(stream) = place(streams, at, &row)? {
            stream.links = get(&row, 1)?;
        }
    }
    for (stream, open) in conflicts::count(&store.db).await? {
        if let Some(stream) = at.get(&stream).and_then(|at| streams.get_mut(*at)) {
            stream.open_conflicts = open;
        }
    }
    Ok(())
}

async fn count_debts(store: &Store, streams: &mut [StreamOverview], at: &Places) -> Result<(), StoreError> {
    let sql = "SELECT stream_id, count(*) FILTER (WHERE state = 'waiting' AND kind = 'push'), count(*) FILTER (WHERE state = 'waiting' AND kind = 'read'),
            count(*) FILTER (WHERE state = 'waiting' AND attempts > 0), count(*) FILTER (WHERE state = 'parent'), count(*) FILTER (WHERE state = 'parked'),
            count(*) FILTER (WHERE state <> 'parked' AND due_at <= {now}), count(*) FILTER (WHERE state <> 'parked' AND due_at > {now}),
            {now} - min(changed_at) FILTER (WHERE state = 'waiting'), {now} - min(due_at) FILTER (WHERE state <> 'parked' AND due_at <= {now}),
            min(due_at) FILTER (WHERE state <> 'parked' AND due_at > {now})
        FROM tidemark_debt GROUP BY stream_id ORDER BY stream_id LIMIT 1000";
    for row in all(&store.db, sql, vec![]).await? {
        let Some(stream) = place(streams, at, &row)? else { continue };
        stream.owed_pushes = get(&row, 1)?;
        stream.owed_reads = get(&row, 2)?;
        stream.retrying = get(&row, 3)?;
        stream.waiting_for_parent = get(&row, 4)?;
        stream.parked = get(&row, 5)?;
        stream.due_now = get(&row, 6)?;
        stream.due_later = get(&row, 7)?;
        stream.oldest_owed_ms = get::<Option<i64>>(&row, 8)?.map(|age| age.max(0));
        stream.oldest_due_ms = get(&row, 9)?;
        stream.next_debt_at = get(&row, 10)?;
    }
    Ok(())
}

async fn add_debt_errors(store: &Store, streams: &mut [StreamOverview], at: &Places) -> Result<(), StoreError> {
    let sql = "SELECT stream_id, attempts, class, cause FROM (
            SELECT stream_id, attempts, class, cause, row_number() OVER (PARTITION BY stream_id ORDER BY attempts DESC, id) AS place
            FROM tidemark_debt WHERE state = 'waiting' AND attempts > 0) failed
        WHERE place = 1 ORDER BY stream_id LIMIT 1000";
    for row in all(&store.db, sql, vec![]).await? {
        let Some(stream) = place(streams, at, &row)? else { continue };
        stream.debt_attempts = get(&row, 1)?;
        stream.debt_class = get(&row, 2)?;
        stream.debt_error = get(&row, 3)?;
    }
    Ok(())
}

/// Looks at no more than the newest windows, so that a month of history costs nothing.
async fn count_windows(store: &Store, streams: &mut [StreamOverview], at: &Places) -> Result<(), StoreError> {
    let sql = "SELECT stream_id, count(*), CAST(sum(records) AS BIGINT), CAST(sum(rows_changed) AS BIGINT) FROM tidemark_window
        WHERE id > (SELECT COALESCE(max(id), 0) - 20000 FROM tidemark_window) AND started_at > {now} - 3600000
        GROUP BY stream_id ORDER BY stream_id LIMIT 1000";
    for row in all(&store.db, sql, vec![]).await? {
        let Some(stream) = place(streams, at, &row)? else { continue };
        stream.windows_hour = get(&row, 1)?;
        stream.records_hour = get(&row, 2)?;
        stream.rows_changed_hour = get(&row, 3)?;
    }
    Ok(())
}

/// The fast reader's window is shown before the settled one's: it is what freshness waits for.
async fn add_open_windows(store: &Store, streams: &mut [StreamOverview], at: &Places) -> Result<(), StoreError> {
    let sql = "SELECT stream_id, reader, from_stamp, until_stamp, pages, records, started_at FROM tidemark_window
        WHERE state = 'open' AND reader <> 'sweep' ORDER BY stream_id, reader DESC, id DESC LIMIT 2000";
    for row in all(&store.db, sql, vec![]).await? {
        let Some(stream) = place(streams, at, &row)? else { continue };
        stream.open_window = Some(ReadingWindow {
            reader: get(&row, 1)?,
            from: get(&row, 2)?,
            until: get(&row, 3)?,
            pages: get(&row, 4)?,
            records: get(&row, 5)?,
            started_at: get(&row, 6)?,
        });
    }
    Ok(())
}

pub(super) fn place<'a>(
    streams: &'a mut [StreamOverview],
    at: &Places,
    row: &QueryResult,
) -> Result<Option<&'a mut StreamOverview>, StoreError> {
    let id: i64 = get(row, 0)?;
    Ok(at.get(&id).and_then(|at| streams.get_mut(*at)))
}
