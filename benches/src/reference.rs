//! The plain loop that Tidemark is measured against: what a good programmer writes in an afternoon for one table and one CRM.
//!
//! Does the inbound work and nothing else: typed parse, the next page fetched while this one is applied, and for each page one transaction
//! with the upsert, one outbox row per changed record, and the cursor. No mapping, no conflict rules, no echo suppression, no retry.

mod columns;

use std::io::Write;
use std::time::Instant;

use clap::Args;
use eyre::{WrapErr, ensure, eyre};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use self::columns::{Columns, Contact};
use crate::contacts::{self, Kind};
use crate::process;

/// Variable with the URL of the database to write to.
pub(crate) const DATABASE: &str = "TIDEMARK_BENCH_DATABASE";

/// Reads every contact of a server once, page by page, into PostgreSQL (its URL: TIDEMARK_BENCH_DATABASE). Prints what it took as JSON.
#[derive(Args)]
pub(crate) struct Options {
    /// Address of the server, such as http://127.0.0.1:8080.
    #[arg(long)]
    server: String,
    /// Records asked for per page.
    #[arg(long, default_value_t = 200)]
    page: u16,
}

#[derive(Deserialize)]
struct Answer {
    results: Vec<Found>,
    paging: Option<Paging>,
}

#[derive(Deserialize)]
struct Found {
    properties: Contact,
}

#[derive(Deserialize)]
struct Paging {
    next: Option<IgnoredAny>,
}

/// One page, its values already in columns.
struct Page {
    columns: Columns,
    records: usize,
    /// The id to go on after; `None` at the end.
    next: Option<u64>,
}

pub(crate) async fn run(options: &Options) -> eyre::Result<()> {
    let url = std::env::var(DATABASE).wrap_err_with(|| format!("{DATABASE} names no database"))?;
    let mut database = url.parse::<PgConnectOptions>()?.disable_statement_logging().connect().await?;
    create_tables(&mut database).await?;
    let started = Instant::now();
    let (records, changed) = read_all(options, &mut database).await?;
    let seconds = started.elapsed().as_secs_f64();
    database.close().await?;
    let report = json!({
        "records": records,
        "changed": changed,
        "seconds": seconds,
        "records_per_second": (records as f64 / seconds).round(),
        "memory_peak_kib": process::memory_peak_kib(std::process::id()),
    });
    writeln!(std::io::stdout(), "{report}")?;
    Ok(())
}

/// Whoever measures has made them before, so that this costs one statement.
pub(crate) async fn create_tables(database: &mut PgConnection) -> sqlx::Result<()> {
    let columns = contacts::FIELDS.map(|(name, kind)| format!("{name} {}", kind.sql())).join(", ");
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS bench_reference ({columns}, PRIMARY KEY (hs_object_id));
         CREATE TABLE IF NOT EXISTS bench_outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, record_id text NOT NULL,
             added_at timestamptz NOT NULL DEFAULT now());
         CREATE TABLE IF NOT EXISTS bench_cursor (stream text PRIMARY KEY, position bigint NOT NULL, records bigint NOT NULL);
         INSERT INTO bench_cursor VALUES ('contacts', 0, 0) ON CONFLICT DO NOTHING"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(database).await?;
    Ok(())
}

async fn read_all(options: &Options, database: &mut PgConnection) -> eyre::Result<(usize, u64)> {
    let crm = Crm {
        http: reqwest::Client::builder().no_proxy().build()?,
        url: format!("{}/crm/v3/objects/contacts/search", options.server),
        limit: options.page,
    };
    let upsert = upsert_sql();
    let (mut records, mut changed) = (0, 0);
    let mut page = crm.fetch(None).await?;
    loop {
        // A task of its own, so that parsing goes on while the database answers.
        let crm = crm.clone();
        let next = page.next.map(|id| tokio::spawn(async move { crm.fetch(Some(id)).await }));
        records += page.records;
        changed += apply(database, &upsert, &page).await?;
        let Some(next) = next else { return Ok((records, changed)) };
        page = next.await??;
    }
}

#[derive(Clone)]
struct Crm {
    http: reqwest::Client,
    url: String,
    limit: u16,
}

impl Crm {
    async fn fetch(&self, after: Option<u64>) -> eyre::Result<Page> {
        let window = |operator: &str, value: i64| json!({ "propertyName": "lastmodifieddate", "operator": operator, "value": value.to_string() });
        let mut filters = vec![window("GTE", 0), window("LT", chrono::Utc::now().timestamp_millis())];
        if let Some(id) = after {
            filters.push(json!({ "propertyName": "hs_object_id", "operator": "GT", "value": id.to_string() }));
        }
        let body = json!({
            "filterGroups": [{ "filters": filters }],
            "sorts": [{ "propertyName": "hs_object_id", "direction": "ASCENDING" }],
            "properties": contacts::FIELDS.map(|(name, _)| name),
            "limit": self.limit,
        });
        let answer =
            self.http.post(&self.url).bearer_auth("benchmark").json(&body).send().await?.error_for_status()?.bytes().await?;
        let answer: Answer = serde_json::from_slice(&answer)?;
        let more = answer.paging.is_some_and(|paging| paging.next.is_some());
        let records = answer.results.len();
        let mut columns = Columns::with_capacity(records);
        for found in answer.results {
            columns.push(found.properties);
        }
        let next = match columns.last_id() {
            Some(id) if more => Some(id.parse()?),
            None if more => return Err(eyre!("the server promises more records and gave none")),
            _ => None,
        };
        ensure!(next.is_none() || next > after, "a page repeated the last position");
        Ok(Page { columns, records, next })
    }
}

/// Returns the number of records that were new or newer.
async fn apply(database: &mut PgConnection, upsert: &str, page: &Page) -> sqlx::Result<u64> {
    let mut transaction = database.begin().await?;
    let upserted = page.columns.bind(sqlx::query(AssertSqlSafe(upsert))).execute(&mut *transaction).await?;
    let position = page.columns.last_id().and_then(|id| id.parse().ok()).unwrap_or(0_i64);
    sqlx::query("UPDATE bench_cursor SET position = greatest(position, $1), records = records + $2 WHERE stream = 'contacts'")
        .bind(position)
        .bind(i64::try_from(page.records).unwrap_or(i64::MAX))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(upserted.rows_affected())
}

fn upsert_sql() -> String {
    let names = contacts::FIELDS.map(|(name, _)| name);
    // The workspace builds sqlx without a decimal type, so that numbers with a fraction travel as text.
    let arrays = (1..).zip(contacts::FIELDS).map(|(at, (_, kind))| match kind {
        Kind::Numeric => format!("${at}::text[]"),
        kind => format!("${at}::{}[]", kind.sql()),
    });
    let arrays: Vec<String> = arrays.collect();
    let values =
        contacts::FIELDS.map(|(name, kind)| if kind == Kind::Numeric { format!("{name}::numeric") } else { name.to_owned() });
    let set = names.into_iter().filter(|name| *name != "hs_object_id").map(|name| format!("{name} = excluded.{name}"));
    let set: Vec<String> = set.collect();
    format!(
        "WITH up AS (
             INSERT INTO bench_reference ({names}) SELECT {values} FROM unnest({arrays}) AS page ({names})
             ON CONFLICT (hs_object_id) DO UPDATE SET {set} WHERE bench_reference.lastmodifieddate < excluded.lastmodifieddate
             RETURNING hs_object_id)
         INSERT INTO bench_outbox (record_id) SELECT hs_object_id FROM up",
        names = names.join(", "),
        values = values.join(", "),
        arrays = arrays.join(", "),
        set = set.join(", "),
    )
}
