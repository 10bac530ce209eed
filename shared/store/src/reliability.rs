//! How well the CRMs answered: hours of calls, counted once they are over and kept longer than the calls; and the report over any time. What is counted, and what it
//! says, is decided in `core::reliability`.

use std::collections::BTreeMap;

use sea_orm::QueryResult;
use tidemark_core::Millis;
use tidemark_core::failure::Class;
use tidemark_core::reliability::{Attempts, Call, Counted, FOLLOWED_MS, HOUR_MS, Report, Tally, Uncured, WHOLE, report};

use crate::dialect::table;
use crate::query::{all, get, one, run};
use crate::session::Tx;
use crate::{Store, StoreError};

/// How long after its end an hour is counted: workers write their calls twice a second.
const SETTLED_AFTER: Millis = 120_000;
/// Calls read at a time.
const PAGE: usize = 5_000;
/// Hours counted in one go: a week of calls that nobody has counted yet, and a margin.
const HOURS_MAX: usize = 200;
/// Name of the mark in `tidemark_meta`.
const MARK: &str = "calls are counted until";

/// Counts every hour that is over and was not counted. Any number of schedulers may: an hour is counted by the one that moves the mark. Returns how many it was.
pub async fn count_hours(store: &Store) -> Result<usize, StoreError> {
    let mut counted = 0;
    for _ in 0..HOURS_MAX {
        let mark = mark(store).await?;
        let Some(first) = first_call(store, mark.unwrap_or(0)).await? else { break };
        let hour = first.div_euclid(HOUR_MS) * HOUR_MS;
        if hour + HOUR_MS + SETTLED_AFTER > store.now().await? {
            break;
        }
        let tallies = tallies(store, hour, hour + HOUR_MS).await?;
        let tx = store.begin().await?;
        if moved(&tx, mark, hour + HOUR_MS).await? {
            keep(&tx, &tallies).await?;
            counted += 1;
        }
        tx.commit().await?;
    }
    Ok(counted)
}

async fn mark(store: &Store) -> Result<Option<Millis>, StoreError> {
    let row = one(&store.db, "SELECT CAST(value AS BIGINT) FROM tidemark_meta WHERE name = $1", vec![MARK.into()]).await?;
    row.map(|row| get(&row, 0)).transpose()
}

async fn first_call(store: &Store, from: Millis) -> Result<Option<Millis>, StoreError> {
    let row = one(&store.db, "SELECT min(at) FROM tidemark_callout WHERE at >= $1", vec![from.into()]).await?;
    Ok(row.map(|row| get::<Option<Millis>>(&row, 0)).transpose()?.flatten())
}

/// Moves the mark if nobody has meanwhile.
async fn moved(tx: &Tx, from: Option<Millis>, to: Millis) -> Result<bool, StoreError> {
    let to = to.to_string();
    let moved = match from {
        None => {
            let sql = "INSERT INTO tidemark_meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
            run(tx, sql, vec![MARK.into(), to.into()]).await?
        }
        Some(from) => {
            let sql = "UPDATE tidemark_meta SET value = $2 WHERE name = $1 AND value = $3";
            run(tx, sql, vec![MARK.into(), to.into(), from.to_string().into()]).await?
        }
    };
    Ok(moved == 1)
}

async fn keep(tx: &Tx, tallies: &[Counted]) -> Result<(), StoreError> {
    if tallies.is_empty() {
        return Ok(());
    }
    let texts: Vec<(String, String)> = tallies
        .iter()
        .map(|one| (one.hour.to_string(), serde_json::to_string(&one.tally).unwrap_or_else(|_| "{}".to_owned())))
        .collect();
    let cells: Vec<Option<&str>> = tallies
        .iter()
        .zip(&texts)
        .flat_map(|(one, (hour, tally))| [one.connection.as_str(), one.endpoint.as_str(), hour.as_str(), tally.as_str()])
        .map(Some)
        .collect();
    let (source, values) = table(sea_orm::ConnectionTrait::get_database_backend(tx), 1, 4, &cells);
    let sql = format!(
        "INSERT INTO tidemark_call_hour (connection, endpoint, hour, tally)
         SELECT v.c0, v.c1, CAST(v.c2 AS BIGINT), v.c3 FROM {source} WHERE true ON CONFLICT (connection, endpoint, hour) DO NOTHING"
    );
    run(tx, &sql, values).await?;
    Ok(())
}

/// Counts the calls that were answered in `[from, until)`, by hour. Those of right before are followed too, for what they left to be tried again.
async fn tallies(store: &Store, from: Millis, until: Millis) -> Result<Vec<Counted>, StoreError> {
    let sql = format!(
        "SELECT at, id, connection, method, endpoint, attempt, class, status, elapsed_ms, quota_left, COALESCE(stream_id, 0), purpose FROM tidemark_callout
         WHERE (at > $1 OR at = $1 AND id > $2) AND at < $3 ORDER BY at, id LIMIT {PAGE}"
    );
    let mut tallies: BTreeMap<(String, String, Millis), Tally> = BTreeMap::new();
    let mut attempts = Attempts::default();
    let (mut at, mut id) = (from - FOLLOWED_MS, 0_i64);
    loop {
        let rows = all(&store.db, &sql, vec![at.into(), id.into(), until.into()]).await?;
        for row in &rows {
            let (connection, method, path) = (get::<String>(row, 2)?, get::<String>(row, 3)?, get::<String>(row, 4)?);
            let of = format!("{connection} {method} {path} {} {}", get::<i64>(row, 10)?, get::<String>(row, 11)?);
            let call = read_call(row, &of, &mut attempts)?;
            (at, id) = (call.at, get(row, 1)?);
            if call.at < from {
                continue;
            }
            let hour = call.at.div_euclid(HOUR_MS) * HOUR_MS;
            for endpoint in [format!("{method} {path}"), WHOLE.to_owned()] {
                tallies.entry((connection.clone(), endpoint, hour)).or_default().add(&call);
            }
        }
        if rows.len() < PAGE {
            break;
        }
    }
    let counted = |((connection, endpoint, hour), tally)| Counted { connection, endpoint, hour, tally };
    Ok(tallies.into_iter().map(counted).collect())
}

fn read_call(row: &QueryResult, of: &str, attempts: &mut Attempts) -> Result<Call, StoreError> {
    let (attempt, class) = (u32::try_from(get::<i32>(row, 5)?).unwrap_or(1), get::<Option<String>>(row, 6)?);
    Ok(Call {
        at: get(row, 0)?,
        failures: attempts.follow(of, attempt, class.as_deref()),
        class,
        status: get::<Option<i32>>(row, 7)?.and_then(|status| u16::try_from(status).ok()),
        elapsed_ms: u32::try_from(get::<i32>(row, 8)?).unwrap_or(u32::MAX),
        quota_left: get(row, 9)?,
    })
}

/// The report from the hour on in which `since` lies until now; on one connection, or all.
pub async fn look(store: &Store, connection: Option<&str>, since: Millis) -> Result<Report, StoreError> {
    let since = since.div_euclid(HOUR_MS) * HOUR_MS;
    // First: hours before it stay as they are, calls behind it are counted here.
    let mark = mark(store).await?.unwrap_or(0);
    let sql = "SELECT connection, endpoint, hour, tally FROM tidemark_call_hour
        WHERE hour >= $1 AND hour < $2 AND (CAST($3 AS TEXT) IS NULL OR connection = $3) ORDER BY hour, connection, endpoint";
    let values = vec![since.into(), mark.into(), connection.map(str::to_owned).into()];
    let mut hours = Vec::new();
    for row in all(&store.db, sql, values).await? {
        let tally: String = get(&row, 3)?;
        // What another version wrote and this one cannot read is left out rather than keeping the rest from being seen.
        let Ok(tally) = serde_json::from_str(&tally) else { continue };
        hours.push(Counted { connection: get(&row, 0)?, endpoint: get(&row, 1)?, hour: get(&row, 2)?, tally });
    }
    let uncounted = tallies(store, since.max(mark), Millis::MAX).await?;
    hours.extend(uncounted.into_iter().filter(|one| connection.is_none_or(|name| one.connection == name)));
    Ok(report(since, store.now().await?, hours, uncured(store, connection).await?))
}

/// Work that failed and has not succeeded since. What waits for a person for a reason of our own (a brake, a conflict) is none of the CRM's doing.
async fn uncured(store: &Store, connection: Option<&str>) -> Result<Vec<Uncured>, StoreError> {
    let sql = "SELECT s.connection, s.name, d.kind, d.class, d.code, d.state, count(*), max(d.attempts), min(d.cause), min(d.created_at)
        FROM tidemark_debt d JOIN tidemark_stream s ON s.id = d.stream_id
        WHERE d.attempts > 0 AND d.class IS NOT NULL AND d.state IN ('waiting', 'parked') AND (CAST($1 AS TEXT) IS NULL OR s.connection = $1)
        GROUP BY s.connection, s.name, d.kind, d.class, d.code, d.state
        UNION ALL
        SELECT connection, name, 'poll', poll_class, NULL, 'waiting', 1, poll_attempts, poll_error, poll_owed_at
        FROM tidemark_stream WHERE poll_attempts > 0 AND (CAST($1 AS TEXT) IS NULL OR connection = $1)
        UNION ALL
        SELECT connection, name, 'sweep', NULL, NULL, 'waiting', 1, sweep_attempts, sweep_error, sweep_owed_at
        FROM tidemark_stream WHERE sweep_attempts > 0 AND (CAST($1 AS TEXT) IS NULL OR connection = $1)
        ORDER BY 1, 2, 3, 4, 5, 6 LIMIT 1000";
    let mut uncured = Vec::new();
    for row in all(&store.db, sql, vec![connection.map(str::to_owned).into()]).await? {
        let class: Option<String> = get(&row, 3)?;
        if class.as_deref().is_some_and(|word| Class::from_word(word).is_none()) {
            continue;
        }
        uncured.push(Uncured {
            connection: get(&row, 0)?,
            stream: get(&row, 1)?,
            work: get(&row, 2)?,
            class,
            code: get(&row, 4)?,
            parked: get::<String>(&row, 5)? == "parked",
            things: u64::try_from(get::<i64>(&row, 6)?).unwrap_or(0),
            attempts_most: u32::try_from(get::<i32>(&row, 7)?).unwrap_or(0),
            cause: get(&row, 8)?,
            since: get(&row, 9)?,
        });
    }
    Ok(uncured)
}

/// Forgets hours that began before `before`, a bounded number at a time.
pub async fn prune(store: &Store, before: Millis) -> Result<u64, StoreError> {
    let sql = "DELETE FROM tidemark_call_hour WHERE hour < $1 AND (connection, endpoint, hour) IN
        (SELECT connection, endpoint, hour FROM tidemark_call_hour WHERE hour < $1 ORDER BY hour LIMIT 5000)";
    run(&store.db, sql, vec![before.into()]).await
}
