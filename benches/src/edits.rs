//! The outbound benchmark: how long an edit in the shop takes to its record in the CRM, and what capture costs whoever writes.
//!
//! Decides what is edited and when, and what is counted. Judges no figure; only an edit that does not arrive is a failure.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use eyre::{WrapErr, ensure, eyre};
use serde::Serialize;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use crate::database::{Database, Server, connect};
use crate::machine::Machine;
use crate::shop::{Shop, TABLE};
use crate::summary::Spread;

/// Measures edits of rows on their way to a practice CRM, and writers of the captured table, on PostgreSQL and Redis (the program is named by TIDEMARK_BIN).
#[derive(Args)]
pub(crate) struct Options {
    /// Edits, each of another row.
    #[arg(long, default_value_t = 300)]
    edits: u32,
    /// Edits a second.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    per_second: u32,
    /// Writers that commit as fast as they can.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=64))]
    writers: u32,
    /// Seconds that each of the ways is written in.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Repetitions of the writers' part, each in every way.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Rows the writers have, each writer as many as the others.
const WRITTEN_ROWS: u32 = 16_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// What stands beside the writers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Way {
    /// Nothing: no trigger.
    Bare,
    /// The triggers, and nobody who takes what they note.
    Captured,
    /// The triggers, a scheduler and a worker.
    Followed,
}

const WAYS: [Way; 3] = [Way::Bare, Way::Captured, Way::Followed];

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    edits: usize,
    /// From the commit of the edit to the CRM's stamp, milliseconds.
    latency_ms: Latency,
    writers: u32,
    commits_per_second: Vec<(Way, Option<Spread>)>,
    /// Over the bare table's, of the runs of one repetition.
    ratio: Vec<(Way, Option<Spread>)>,
}

#[derive(Debug, Serialize)]
struct Latency {
    p50: i64,
    p90: i64,
    p99: i64,
    max: i64,
}

pub(crate) async fn run(options: &Options) -> eyre::Result<()> {
    let program = std::env::var_os("TIDEMARK_BIN").ok_or_else(|| eyre!("TIDEMARK_BIN names no program: run scripts/bench"))?;
    let program = PathBuf::from(program).canonicalize().wrap_err("TIDEMARK_BIN names no program")?;
    let mut server = Server::find().await?;
    let machine = Machine::look(server.folder());
    let latencies = follow_edits(options, &mut server, &program).await?;
    let rates = write_fast(options, &mut server, &program).await?;
    let of = |way: Way| rates.iter().filter(move |(one, _)| *one == way).map(|(_, rate)| *rate);
    let ratio = |way: Way| Spread::of(of(way).zip(of(Way::Bare)).map(|(rate, bare)| rate / bare));
    let report = Report {
        machine,
        edits: latencies.len(),
        latency_ms: Latency {
            p50: at(&latencies, 50),
            p90: at(&latencies, 90),
            p99: at(&latencies, 99),
            max: at(&latencies, 100),
        },
        writers: options.writers,
        commits_per_second: WAYS.map(|way| (way, Spread::of(of(way)))).into(),
        ratio: WAYS.map(|way| (way, ratio(way))).into(),
    };
    let mut out = std::io::stdout();
    match options.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
        false => write!(out, "{}", words(&report, options))?,
    }
    Ok(())
}

/// The value that so many in a hundred do not exceed, of values in order.
fn at(values: &[i64], percent: usize) -> i64 {
    let rank = (values.len() * percent).div_ceil(100).max(1);
    values.get(rank - 1).copied().unwrap_or_default()
}

fn words(report: &Report, options: &Options) -> String {
    let Latency { p50, p90, p99, max } = report.latency_ms;
    let mut text = format!(
        "{}\n{} edits, {} a second, from commit to record: p50 {p50} ms, p90 {p90} ms, p99 {p99} ms, max {max} ms\n\n\
         commits a second of {} writers, {} repetitions of {} s: median (min-max)\n",
        report.machine.words(),
        report.edits,
        options.per_second,
        report.writers,
        options.runs,
        options.seconds,
    );
    for ((way, rate), (_, ratio)) in report.commits_per_second.iter().zip(&report.ratio) {
        let what = match way {
            Way::Bare => "without capture",
            Way::Captured => "with capture",
            Way::Followed => "with capture, scheduler and worker",
        };
        text.push_str(&format!("  {what:36} {:24} {}\n", Spread::words(*rate, 0), Spread::words(*ratio, 2)));
    }
    text
}

/// Edits one row after the other while Tidemark runs; how long each took to its record, in order of length.
async fn follow_edits(options: &Options, server: &mut Server, program: &Path) -> eyre::Result<Vec<i64>> {
    let mut database = shop_database(server, "edits", options.edits).await?;
    let shop = Shop::open(program, &database.url, 1).await?;
    shop.prepare()?;
    shop.installed.finish(&["resume", "hubspot.contacts"])?;
    let service = shop.start()?;
    let told = |error: eyre::Report| eyre!("{error:#}; the worker's log ends:\n{}", shop.installed.log("worker"));
    let wanted = i64::from(options.edits);
    let linked = "SELECT count(*) FROM customers WHERE hubspot_id IS NOT NULL";
    let quiet = "SELECT count(*) FROM tidemark.tidemark_debt";
    await_count(&mut database.connection, linked, wanted).await.wrap_err("not every row became a record").map_err(told)?;
    await_count(&mut database.connection, quiet, 0).await.map_err(told)?;

    let mut committed = HashMap::new();
    let mut beat = tokio::time::interval(Duration::from_secs(1) / options.per_second);
    for number in 1..=options.edits {
        beat.tick().await;
        let name = format!("edit {number}");
        let edit = "UPDATE customers SET first_name = $1 WHERE id = $2";
        sqlx::query(edit).bind(&name).bind(i64::from(number)).execute(&mut database.connection).await?;
        committed.insert(name, chrono::Utc::now().timestamp_millis());
    }
    let started = Instant::now();
    let mut latencies: Vec<i64> = loop {
        let names = shop.first_names().await?;
        let latency = |(name, written): &(String, i64)| Some(*written - committed.get(name)?);
        let arrived: Vec<i64> = names.iter().filter_map(latency).collect();
        if arrived.len() == committed.len() {
            break arrived;
        }
        let missing = committed.len() - arrived.len();
        ensure!(
            started.elapsed() < PATIENCE,
            "{missing} edits have not arrived; the worker's log ends:\n{}",
            shop.installed.log("worker")
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    latencies.sort_unstable();
    service.stop().await?;
    server.remove(database).await?;
    Ok(latencies)
}

/// Commits a second in each way, by turns.
async fn write_fast(options: &Options, server: &mut Server, program: &Path) -> eyre::Result<Vec<(Way, f64)>> {
    let mut database = shop_database(server, "writers", WRITTEN_ROWS).await?;
    let shop = Shop::open(program, &database.url, 2).await?;
    shop.prepare()?;
    let mut rates = Vec::new();
    for repetition in 0..options.runs as usize {
        for turn in 0..WAYS.len() {
            let way = WAYS[(repetition + turn) % WAYS.len()];
            shop.installed.finish(if way == Way::Bare { &["capture", "--remove"] } else { &["capture", "--apply"] })?;
            // No way pays for what the one before has left.
            sqlx::raw_sql("TRUNCATE tidemark.tidemark_change").execute(&mut database.connection).await?;
            server.checkpoint().await?;
            let service = if way == Way::Followed { Some(shop.start()?) } else { None };
            let rate = commits_per_second(options, &database.url).await?;
            eprintln!("repetition {}: {way:?} {rate:.0} commits a second", repetition + 1);
            rates.push((way, rate));
            if let Some(service) = service {
                service.stop().await?;
            }
        }
    }
    server.remove(database).await?;
    Ok(rates)
}

async fn commits_per_second(options: &Options, url: &str) -> eyre::Result<f64> {
    let mut connections = Vec::new();
    for _ in 0..options.writers {
        connections.push(connect(url).await?);
    }
    let (started, room) = (Instant::now(), WRITTEN_ROWS / options.writers);
    let until = started + Duration::from_secs(options.seconds);
    let writers = connections.into_iter().zip(0..).map(|(mut connection, writer): (PgConnection, u32)| {
        tokio::spawn(async move {
            let mut commits = 0_u32;
            while Instant::now() < until {
                // Rows of its own: nobody waits for another's lock.
                let row = i64::from(1 + writer * room + commits % room);
                let edit = "UPDATE customers SET phone = $1 WHERE id = $2";
                sqlx::query(edit).bind(format!("{writer} {commits}")).bind(row).execute(&mut connection).await?;
                commits += 1;
            }
            connection.close().await?;
            Ok::<_, sqlx::Error>(commits)
        })
    });
    let mut commits = 0;
    for writer in writers.collect::<Vec<_>>() {
        commits += writer.await??;
    }
    Ok(f64::from(commits) / started.elapsed().as_secs_f64())
}

async fn shop_database(server: &mut Server, what: &str, rows: u32) -> eyre::Result<Database> {
    let mut database = server.create_empty(&format!("bench_{}_{what}", std::process::id())).await?;
    let fill = format!(
        "INSERT INTO customers (email, first_name, phone) SELECT 'customer' || n || '@example.com', 'Customer ' || n, '0' FROM generate_series(1, {rows}) n"
    );
    for sql in [TABLE.to_owned(), fill] {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut database.connection).await?;
    }
    Ok(database)
}

async fn await_count(connection: &mut PgConnection, sql: &'static str, wanted: i64) -> eyre::Result<()> {
    let started = Instant::now();
    loop {
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&mut *connection).await?;
        if count == wanted {
            return Ok(());
        }
        ensure!(started.elapsed() < PATIENCE, "{count} instead of {wanted} after {} s", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::at;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<i64> = (1..=200).collect();
        assert_eq!([50, 99, 100].map(|percent| at(&values, percent)), [100, 198, 200]);
        assert_eq!((at(&[7], 1), at(&[], 50)), (7, 0));
    }
}
