//! How late versions became visible, counted by the settled reader as it passes them: a row for each stream, day and pair of ages. What they say is decided in the core.

use std::collections::{BTreeMap, HashMap};

use sea_orm::ConnectionTrait;
use tidemark_core::arrival::{Arrival, Arrivals, arrival};
use tidemark_core::page::{Known, Step};
use tidemark_core::record::Record;
use tidemark_core::sweep::Cursors;
use tidemark_core::window::Window;
use tidemark_core::{DAY_MS, Millis};

use crate::dialect::table;
use crate::query::{all, get, run};
use crate::session::Tx;
use crate::{Store, StoreError};

/// Days that a report looks back on.
const REPORT_DAYS: i64 = 7;

/// What the settled reader's page is measured by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measure {
    pub(crate) window: Window,
    pub(crate) cursors: Cursors,
    /// The CRM's clock when the page was asked for, and how far it is ahead of the database's.
    pub(crate) crm_asked_at: Millis,
    pub(crate) crm_ahead: Millis,
}

/// Stamps of versions that this page is the first to show although the fast reader has passed them.
fn late(records: &[Record], known: &Known, steps: &[Step<'_>], measure: Measure) -> Vec<Millis> {
    let fast = measure.cursors.fast.unwrap_or(Millis::MIN);
    let is_late = |(record, step): (&Record, &Step)| {
        let stamp = record.modified.filter(|stamp| *stamp < fast)?;
        let seen = known.links.get(&record.id).and_then(|link| link.view.seen);
        let first = match step {
            Step::Insert { .. } | Step::Bind { .. } => true,
            Step::Merge { .. } | Step::Seen { .. } => seen.is_none_or(|seen| stamp > seen),
            Step::Pass
            | Step::Exclude { .. }
            | Step::OweRead { .. }
            | Step::ReadWhole
            | Step::Await(_)
            | Step::Park { .. }
            | Step::Held { .. }
            | Step::Rebind { .. }
            | Step::Redirect { .. }
            | Step::Lift { .. } => false,
        };
        first.then_some(stamp)
    };
    records.iter().zip(steps).filter_map(is_late).collect()
}

/// Counts the versions of one page of the settled reader, each once: what its window reads again of the one before was counted then.
pub(crate) async fn count(
    tx: &Tx,
    stream: i64,
    records: &[Record],
    known: &Known,
    steps: &[Step<'_>],
    measure: Measure,
) -> Result<(), StoreError> {
    let from = measure.cursors.settled.unwrap_or(measure.window.from);
    // When a part came to be known whole is not told by a page.
    let is_new = |record: &&Record| {
        !record.is_part() && record.modified.is_some_and(|stamp| (from..measure.window.until).contains(&stamp))
    };
    let versions = i64::try_from(records.iter().filter(is_new).count()).unwrap_or(0);
    let late = late(records, known, steps, measure);
    if versions == 0 && late.is_empty() {
        return Ok(());
    }
    let mut counts: BTreeMap<(Millis, Millis), i64> = BTreeMap::new();
    let looked = first_looks(tx, stream, &late).await?;
    for stamp in &late {
        // The first window of the fast reader that ends behind the stamp is the one that did not show it.
        let unseen_at = looked.iter().find(|(until, _)| until > stamp).map(|(_, at)| at + measure.crm_ahead);
        let Arrival { low_ms, high_ms } = arrival(unseen_at.map_or(0, |at| at - stamp), measure.crm_asked_at - stamp);
        *counts.entry((low_ms, high_ms)).or_default() += 1;
    }
    let in_time = versions - i64::try_from(late.len()).unwrap_or(0);
    if in_time > 0 {
        counts.insert((0, 0), in_time);
    }
    let texts: Vec<[String; 3]> =
        counts.iter().map(|((low, high), count)| [low.to_string(), high.to_string(), count.to_string()]).collect();
    let cells: Vec<Option<&str>> = texts.iter().flatten().map(|text| Some(text.as_str())).collect();
    let (source, mut values) = table(tx.get_database_backend(), 2, 3, &cells);
    values.insert(0, stream.into());
    let sql = format!(
        "INSERT INTO tidemark_arrival (stream_id, day, low_ms, high_ms, versions)
         SELECT $1, {{now}} / {DAY_MS}, CAST(v.c0 AS BIGINT), CAST(v.c1 AS BIGINT), CAST(v.c2 AS BIGINT) FROM {source} WHERE true
         ON CONFLICT (stream_id, day, low_ms, high_ms) DO UPDATE SET versions = tidemark_arrival.versions + excluded.versions"
    );
    run(tx, &sql, values).await?;
    Ok(())
}

/// The fast reader's windows that cover these stamps: their ends, CRM clock, and when they were begun, the database's.
async fn first_looks(tx: &Tx, stream: i64, stamps: &[Millis]) -> Result<Vec<(Millis, Millis)>, StoreError> {
    let (Some(first), Some(last)) = (stamps.iter().min(), stamps.iter().max()) else { return Ok(Vec::new()) };
    let sql = "SELECT until_stamp, started_at FROM tidemark_window WHERE stream_id = $1 AND reader = 'fast' AND until_stamp > $2 AND from_stamp <= $3
        ORDER BY until_stamp, id LIMIT 1000";
    let values = vec![stream.into(), (*first).into(), (*last).into()];
    all(tx, sql, values).await?.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect()
}

/// What came how late within a week, by stream.
pub(crate) async fn of_a_week(store: &Store) -> Result<HashMap<i64, Arrivals>, StoreError> {
    let sql = format!(
        "SELECT stream_id, low_ms, high_ms, CAST(sum(versions) AS BIGINT) FROM tidemark_arrival WHERE day > {{now}} / {DAY_MS} - {REPORT_DAYS}
         GROUP BY stream_id, low_ms, high_ms ORDER BY stream_id, low_ms, high_ms LIMIT 50000"
    );
    let mut streams: HashMap<i64, Arrivals> = HashMap::new();
    for row in all(&store.db, &sql, vec![]).await? {
        let arrivals = streams.entry(get(&row, 0)?).or_default();
        let (arrival, count) = (Arrival { low_ms: get(&row, 1)?, high_ms: get(&row, 2)? }, get::<i64>(&row, 3)?);
        arrivals.versions += count;
        if arrival.high_ms > 0 {
            arrivals.late.push((arrival, count));
        }
    }
    Ok(streams)
}

/// Forgets what was counted before `before`.
pub async fn prune(store: &Store, before: Millis) -> Result<u64, StoreError> {
    run(&store.db, &format!("DELETE FROM tidemark_arrival WHERE day < $1 / {DAY_MS}"), vec![before.into()]).await
}
