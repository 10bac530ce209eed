//! The sweeps of each stream as a person looks at them: the one under way, how the last ones ended, and what they found within a day.

use std::collections::HashMap;

use serde::Serialize;
use tidemark_core::Millis;

use super::streams::{ReadingWindow, StreamOverview, place};
use crate::query::{all, get};
use crate::{Store, StoreError};

/// The sweeps of one stream. Times are the database's clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SweepView {
    /// It goes on at this time; `None` when none is owed.
    pub owed_at: Option<Millis>,
    /// When the last one was owed.
    pub begun_at: Option<Millis>,
    pub attempts: i32,
    pub error: Option<String>,
    pub under_way: Option<ReadingWindow>,
    /// How the last one ended: `sealed`, or why it concludes nothing.
    pub last_seal: Option<String>,
    pub last_ended_at: Option<Millis>,
    /// When the last one that was sealed ended.
    pub sealed_at: Option<Millis>,
    /// Repairs of the last 24 hours, by the reader that should have told: `fast`, `settled`, `none`; or `capture` for rows.
    pub drift_day: Vec<(String, i64)>,
}

impl SweepView {
    pub fn drifted(&self) -> i64 {
        self.drift_day.iter().map(|(_, count)| count).sum()
    }
}

pub(super) async fn add(store: &Store, streams: &mut [StreamOverview], at: &HashMap<i64, usize>) -> Result<(), StoreError> {
    let owed =
        "SELECT id, sweep_owed_at, sweep_begun_at, sweep_attempts, sweep_error FROM tidemark_stream ORDER BY id LIMIT 1000";
    for row in all(&store.db, owed, vec![]).await? {
        let Some(stream) = place(streams, at, &row)? else { continue };
        stream.sweep.owed_at = get(&row, 1)?;
        stream.sweep.begun_at = get(&row, 2)?;
        stream.sweep.attempts = get(&row, 3)?;
        stream.sweep.error = get(&row, 4)?;
    }
    add_windows(store, streams, at).await?;
    let drift = "SELECT stream_id, missed_by, count(*) FROM tidemark_drift WHERE at > {now} - 86400000
        GROUP BY stream_id, missed_by ORDER BY stream_id, missed_by LIMIT 5000";
    for row in all(&store.db, drift, vec![]).await? {
        if let Some(stream) = place(streams, at, &row)? {
            stream.sweep.drift_day.push((get(&row, 1)?, get(&row, 2)?));
        }
    }
    Ok(())
}

async fn add_windows(store: &Store, streams: &mut [StreamOverview], at: &HashMap<i64, usize>) -> Result<(), StoreError> {
    // The newest of each kind: under way, ended, sealed.
    let sql = "SELECT stream_id, state, seal, from_stamp, until_stamp, pages, records, started_at, ended_at FROM tidemark_window
        WHERE id IN (SELECT max(id) FROM tidemark_window WHERE reader = 'sweep' GROUP BY stream_id, state IN ('open', 'drained'), COALESCE(seal, '') = 'sealed')
        ORDER BY stream_id, id LIMIT 5000";
    for row in all(&store.db, sql, vec![]).await? {
        let Some(stream) = place(streams, at, &row)? else { continue };
        let (state, seal): (String, Option<String>) = (get(&row, 1)?, get(&row, 2)?);
        let ended_at: Option<Millis> = get(&row, 8)?;
        if state == "open" || state == "drained" {
            stream.sweep.under_way = Some(ReadingWindow {
                reader: "sweep".into(),
                from: get(&row, 3)?,
                until: get(&row, 4)?,
                pages: get(&row, 5)?,
                records: get(&row, 6)?,
                started_at: get(&row, 7)?,
            });
            continue;
        }
        if seal.as_deref() == Some("sealed") {
            stream.sweep.sealed_at = ended_at;
        }
        stream.sweep.last_seal = seal;
        stream.sweep.last_ended_at = ended_at;
    }
    Ok(())
}

/// One repair, for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DriftRow {
    /// `record` or `row`.
    pub side: String,
    pub subject: String,
    pub missed_by: String,
    /// Names of the properties that differed; empty for a whole record or row.
    pub fields: String,
    pub repair: String,
    pub at: Millis,
    pub now: Millis,
}

/// The newest repairs of one stream.
pub async fn drift(store: &Store, stream: i64, limit: u32) -> Result<Vec<DriftRow>, StoreError> {
    let sql = format!(
        "SELECT side, subject, missed_by, fields, repair, at, {{now}} FROM tidemark_drift WHERE stream_id = $1 ORDER BY at DESC, id DESC LIMIT {limit}"
    );
    let rows = all(&store.db, &sql, vec![stream.into()]).await?;
    let read = |row: &sea_orm::QueryResult| {
        Ok(DriftRow {
            side: get(row, 0)?,
            subject: get(row, 1)?,
            missed_by: get(row, 2)?,
            fields: get(row, 3)?,
            repair: get(row, 4)?,
            at: get(row, 5)?,
            now: get(row, 6)?,
        })
    };
    rows.iter().map(read).collect()
}
