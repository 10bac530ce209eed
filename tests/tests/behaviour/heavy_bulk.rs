//! A statement that touches every row of a large table, over real processes: the order system waits for no more than one marker, the brake stops what follows, one act
//! lets it through, and the worker needs no more memory for many rows than for few. `TIDEMARK_BULK_ROWS` says how many; `scripts/chaos --bulk 1000000` does it at length.

use std::time::{Duration, Instant};

use eyre::{OptionExt, WrapErr, bail, ensure};
use sea_orm::{ConnectionTrait, Statement, TransactionTrait};
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_sandbox::Weather;
use tidemark_tests::deadline::until;
use tidemark_tests::house::House;
use tidemark_tests::{Kind, Setup, connect};

const CONTACTS: &str = "hubspot.contacts";
/// Rows, when nothing else is said.
const ROWS: usize = 20_000;
/// What the brake lets through: the count of the defaults, and no share, which would let a third of the table pass.
const MOST: usize = 2_000;
const BRAKES: &str = "brakes = { update = { count = 2000, share = 0.0 } }";
/// After an answer so many pushes are waited for, at most.
const FLOW: usize = 40_000;
/// By so much the worker's memory may grow, however many rows there are.
const GROWTH_KIB: u64 = 96 * 1024;
/// Rows that are put down at once.
const BATCH: usize = 10_000;
/// The records were made so long ago that no window reads them.
const AGE_MS: i64 = 7_200_000;
const EVERYBODY: &str = "Everybody";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_h21_an_update_of_a_whole_table_trips_the_brake_and_one_act_resumes() -> eyre::Result<()> {
    let rows = match std::env::var("TIDEMARK_BULK_ROWS") {
        Ok(text) => text.parse().wrap_err("TIDEMARK_BULK_ROWS is no number")?,
        Err(_) => ROWS,
    };
    ensure!(rows > 2 * MOST, "fewer than {} rows trip no brake", 2 * MOST);
    let setup = Setup { contacts: BRAKES, ..Setup::default() };
    let mut house = House::open(Kind::Postgres, setup, &[]).await?;
    fill(&house, rows).await?;
    let bare = update(&house, "UPDATE customers SET first_name = first_name").await?;
    house.tidemark(&["capture", "--apply"]).await?.good()?;
    house.start("scheduler-1")?;
    house.start("worker-1")?;
    let started = Instant::now();
    at_rest(&mut house, rows).await?;
    say(format_args!("{rows} rows that agree; a walk over them all takes {:.1} s", started.elapsed().as_secs_f64()));
    let before = memory_peak_kib(&house)?;
    let parked = house.rig.debts("parked").await?;
    ensure!(parked == 0 && changed(&house) == 0, "{parked} are parked before anything happened");

    let captured = update(&house, &format!("UPDATE customers SET first_name = '{EVERYBODY}'")).await?;
    let committed = Instant::now();
    say(format_args!(
        "the statement: {:.2} s without capture, {:.2} s with it, which left {} in the change log",
        bare.took.as_secs_f64(),
        captured.took.as_secs_f64(),
        captured.logged.join(", ")
    ));
    assert_eq!(captured.logged, ["M"], "one marker");
    let tripped = "tidemark.tidemark_brake WHERE direction = 'out' AND act = 'update' AND tripped_at IS NOT NULL";
    let on = until("the brake is on", patience(rows), async || Ok((house.rig.db.count(tripped).await? == 1).then_some(()))).await;
    house.explain(on)?;
    say(format_args!("the brake is on {:.1} s after the commit", committed.elapsed().as_secs_f64()));
    at_rest(&mut house, rows).await?;
    let held = usize::try_from(house.rig.debts("parked").await?)?;
    say(format_args!(
        "{} pushes were made before it; {held} wait behind it, the last of them {:.1} s after the commit",
        changed(&house),
        committed.elapsed().as_secs_f64()
    ));
    assert_eq!((changed(&house), held), (MOST, rows - MOST));

    let asked = Instant::now();
    house.tidemark(&["resume", CONTACTS, "--act", "update"]).await?.good()?;
    say(format_args!("one act, {:.1} s", asked.elapsed().as_secs_f64()));
    let (resumed, flow) = (Instant::now(), FLOW.min(held));
    let left = i64::try_from(held - flow)?;
    let flows = until("pushes flow again", patience(rows), async || {
        Ok((house.rig.db.count("tidemark.tidemark_debt WHERE kind = 'push'").await? <= left).then_some(()))
    });
    let flows = flows.await;
    house.explain(flows)?;
    let rate = flow as f64 / resumed.elapsed().as_secs_f64();
    say(format_args!("{flow} more pushes in {:.1} s: {rate:.0} a second", resumed.elapsed().as_secs_f64()));
    assert!(changed(&house) >= MOST + flow, "{} records were changed", changed(&house));
    assert_eq!((house.rig.debts("parked").await?, house.rig.db.count(tripped).await?), (0, 0), "one act was enough");
    let after = memory_peak_kib(&house)?;
    say(format_args!("the worker's memory at its highest: {} MiB before, {} MiB after", before / 1024, after / 1024));
    assert!(after < before + GROWTH_KIB, "it grew from {before} to {after} KiB");
    Ok(())
}

/// What a statement over every row took, and the operations it left in the change log.
struct Ran {
    took: Duration,
    logged: Vec<String>,
}

/// Runs a statement as the order system would, and looks at the log before anybody can take it away.
async fn update(house: &House, sql: &str) -> eyre::Result<Ran> {
    house.rig.db.run("VACUUM ANALYZE customers").await?;
    let db = connect(&house.rig.db.url).await?;
    let tx = db.begin().await?;
    let started = Instant::now();
    tx.execute_unprepared(sql).await?;
    let took = started.elapsed();
    let op = Statement::from_string(tx.get_database_backend(), "SELECT op FROM tidemark.tidemark_change ORDER BY id");
    let logged = tx.query_all_raw(op).await?.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?;
    let committing = Instant::now();
    tx.commit().await?;
    db.close().await?;
    Ok(Ran { took: took + committing.elapsed(), logged })
}

/// One row becomes a record by the ordinary way; all others are put down as that has left it: rows, records, links. Making a million records through the vendor's limits
/// would take ten minutes, and is not what is looked at here.
async fn fill(house: &House, rows: usize) -> eyre::Result<()> {
    let rig = &house.rig;
    let (crm, weather) = (rig.crm.crm(), rig.crm.crm().weather());
    rig.db
        .run(&format!(
            "INSERT INTO customers (id, email, first_name, email_confirmed_at) VALUES (1, '{}', 'Ana', '2026-01-01 00:00:00')",
            email(1)
        ))
        .await?;
    rig.settle().await?;
    house.tidemark(&["capture", "--remove"]).await?.good()?;
    crm.set_weather(Weather { clock_offset_ms: -AGE_MS, ..weather.clone() });
    let numbers: Vec<usize> = (2..=rows).collect();
    for batch in numbers.chunks(BATCH) {
        let mut values = Vec::with_capacity(batch.len());
        for number in batch {
            let (email, key) = (email(*number), number.to_string());
            let id = crm.create(Contacts, &[("email", &email), ("firstname", "Ana"), ("tidemark_key", &key)])?;
            values.push(format!("({number}, '{email}', 'Ana', '2026-01-01 00:00:00', '{id}')"));
        }
        rig.db
            .run(&format!(
                "INSERT INTO customers (id, email, first_name, email_confirmed_at, hubspot_id) VALUES {}",
                values.join(", ")
            ))
            .await?;
    }
    crm.set_weather(weather);
    let first = email(1);
    rig.db
        .run(&format!(
            "INSERT INTO tidemark.tidemark_link (stream_id, row_key, remote_id, state, base, seen, made)
             SELECT t.stream_id, CAST(c.id AS TEXT), c.hubspot_id, t.state, replace(t.base, '{first}', c.email), t.seen - {}, t.made
             FROM tidemark.tidemark_link t CROSS JOIN customers c WHERE t.row_key = '1' AND t.base LIKE '%{first}%' AND c.id > 1",
            2 * AGE_MS
        ))
        .await?;
    rig.db.run("ANALYZE tidemark.tidemark_link").await
}

fn email(number: usize) -> String {
    format!("c{number}@acme.test")
}

/// Waits until nothing is on its way but what waits for a person.
async fn at_rest(house: &mut House, rows: usize) -> eyre::Result<()> {
    let db = &house.rig.db;
    let rest = until("nothing is on its way", patience(rows), async || {
        for on_its_way in ["tidemark_change", "tidemark_stream WHERE walk_owed <> 0", "tidemark_debt WHERE state <> 'parked'"] {
            if db.count(&format!("tidemark.{on_its_way}")).await? > 0 {
                return Ok(None);
            }
        }
        Ok(Some(()))
    });
    let rest = rest.await;
    house.explain(rest)
}

/// Records that say what the statement wrote.
fn changed(house: &House) -> usize {
    let says = |name: &String| name == EVERYBODY;
    house.rig.crm.crm().list(Contacts).iter().filter(|record| record.properties.get("firstname").is_some_and(says)).count()
}

/// The most memory the worker had so far.
fn memory_peak_kib(house: &House) -> eyre::Result<u64> {
    let worker = house.services.iter().find(|service| service.name == "worker-1").ok_or_eyre("no worker")?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.id()?))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    let Some(peak) = peak else { bail!("no VmHWM in {status}") };
    Ok(peak)
}

fn patience(rows: usize) -> Duration {
    Duration::from_secs(120 + rows as u64 / 200)
}

/// A figure, for who runs it at length.
fn say(words: std::fmt::Arguments<'_>) {
    eprintln!("{words}");
}
