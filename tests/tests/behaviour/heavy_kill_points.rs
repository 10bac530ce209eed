//! A worker that is killed at each named point of making a record: before the call, when the CRM has done it and nobody heard, when the answer was heard and is being
//! settled; and, where only a search index that is behind can tell, when the call is lost and lands after everybody has given it up. Nothing is lost and nothing is made
//! twice unsaid. `TIDEMARK_KILL_POINTS` says how often at each point; `scripts/chaos --points N` does it at length. And one that stands still between its claim and its
//! call until others have done its work and more: what it holds in its hands is old by then, and is not sent.

use std::collections::BTreeMap;

use eyre::WrapErr;
use sea_orm::{ConnectionTrait, DatabaseTransaction, TransactionTrait};
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_sandbox::{ForcedAnswer, Weather};
use tidemark_tests::deadline::until;
use tidemark_tests::house::{House, PATIENCE};
use tidemark_tests::{Kind, Setup, connect};

use crate::faults::NO_KEY;
use crate::heavy_processes::insert;
use crate::restore::writes;

/// Kills at each point, when nothing else is said.
const KILLS: u32 = 2;
/// For so long the CRM keeps an answer back after it has done what was asked: there is time to kill who waits for it.
const KEPT_MS: u64 = 900;
const ENV: [(&str, &str); 2] = [("TIDEMARK__WORKER__LEASE", "3s"), ("TIDEMARK__CONNECTIONS__HUBSPOT__CALL_DEADLINE", "1400ms")];

#[derive(Debug, Clone, Copy)]
enum Point {
    /// The link is claimed, a slot for the call is waited for.
    BeforeCall,
    /// The CRM has made the record and keeps its answer back.
    AfterCall,
    /// The answer was heard; the transaction that writes it down is under way.
    BeforeSettle,
    /// The connection broke, and the CRM makes the record when nobody waits for it any more: later than a call may take.
    LandsLate,
}

const POINTS: [Point; 3] = [Point::BeforeCall, Point::AfterCall, Point::BeforeSettle];
const POINTS_OF_A_LATE_INDEX: [Point; 4] = [Point::BeforeCall, Point::AfterCall, Point::BeforeSettle, Point::LandsLate];

/// Nothing in the CRM is unique: a record is known again by its phone number alone, and that only the search index finds.
const BY_PHONE: &[(&str, &str)] = &[
    ("external_key = \"tidemark_key\"\nmatch_on = [\"email\"]", "match_on = [\"phone\"]"),
    ("request_life = \"5s\"", "request_life = \"3s\""),
];
/// As much as the index is behind at most, and a little more.
const DECLARED: &str = "poll = { settled_lag = \"3s\" }";
/// Above the longest back-off of these tests, half a second.
const INDEX_LAG_MS: (u64, u64) = (1_500, 2_500);
/// Above the deadline of a call, below `request_life`.
const LANDS_AFTER_MS: u64 = 2_000;

/// A create looks for the record by our key, which the CRM holds: none is ever made twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_worker_killed_at_any_point_of_a_create_makes_one_record() -> eyre::Result<()> {
    killed_at_each_point(Setup::default(), "/batch/upsert", &POINTS, insert).await
}

/// Without a key of ours a lost create is looked for by its match key, once it must show.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_worker_killed_at_any_point_of_a_create_without_a_key_makes_one_record() -> eyre::Result<()> {
    killed_at_each_point(Setup { instead: NO_KEY, ..Setup::default() }, "/batch/create", &POINTS, insert).await
}

/// Without any key, behind an index that is slower than the back-off, and with writes that land after their time-out: the CRM itself would take every double.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_worker_killed_where_only_a_late_index_can_tell_makes_one_record_or_says_so() -> eyre::Result<()> {
    let weather = Weather { index_lag_ms: INDEX_LAG_MS, ..Weather::calm() };
    let setup = Setup { instead: BY_PHONE, contacts: DECLARED, weather, ..Setup::default() };
    killed_at_each_point(setup, "/batch/create", &POINTS_OF_A_LATE_INDEX, by_phone).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_worker_that_stood_still_between_claim_and_call_does_not_send_what_others_sent() -> eyre::Result<()> {
    let mut house = House::open(Kind::Postgres, Setup::default(), &ENV).await?;
    house.start("scheduler-1")?;
    house.start("worker-1")?;
    house.loaded().await?;
    let holder = connect(&house.rig.db.url).await?;
    let held = holder.begin().await?;
    claimed_before_call(&mut house, &held, "Ana", insert).await?;
    house.service("worker-1")?.pause().await?;
    held.rollback().await?;
    house.start("worker-2")?;
    reached(&mut house, "another has made the record", &["customers WHERE hubspot_id IS NOT NULL"]).await?;
    house.rig.db.run("UPDATE customers SET first_name = 'Anna'").await?;
    shown(&mut house, "Anna").await?;
    let sent = writes(&house.rig);
    let since = house.rig.db.one("SELECT CAST(CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) AS TEXT)").await?;
    house.service("worker-1")?.go_on().await?;
    let since = since.unwrap_or_default();
    let both = format!(
        "(SELECT 1 FROM tidemark.tidemark_worker WHERE kind = 'worker' AND beat_at > {since} HAVING count(*) = 2) both_beat"
    );
    reached(&mut house, "it has gone on", &[&both]).await?;
    house.agreement().await?;
    assert_eq!(writes(&house.rig), sent, "what it had claimed before was not sent");
    let names: Vec<_> =
        house.rig.crm.crm().list(Contacts).into_iter().filter_map(|mut rec| rec.properties.remove("firstname")).collect();
    assert_eq!(names, ["Anna"], "one record, as it was last edited");
    holder.close().await?;
    Ok(())
}

async fn killed_at_each_point(setup: Setup, path: &str, points: &[Point], row: fn(&str) -> String) -> eyre::Result<()> {
    let kills = match std::env::var("TIDEMARK_KILL_POINTS") {
        Ok(text) => text.parse().wrap_err("TIDEMARK_KILL_POINTS is no number")?,
        Err(_) => KILLS,
    };
    let mut house = House::open(Kind::Postgres, setup, &ENV).await?;
    house.start("scheduler-1")?;
    house.start("worker-1")?;
    house.loaded().await?;
    let mut expected = BTreeMap::new();
    for round in 0..kills {
        for point in points {
            let name = format!("P{round}{point:?}");
            kill_at(&mut house, *point, &name, (path, row)).await.wrap_err_with(|| format!("round {round}, {point:?}"))?;
            expected.insert(name, 1);
        }
    }
    reached(&mut house, "nothing is on its way but what waits for a person", &[REST]).await?;
    let mut made: BTreeMap<String, usize> = BTreeMap::new();
    for mut record in house.rig.crm.crm().list(Contacts) {
        *made.entry(record.properties.remove("firstname").unwrap_or_default()).or_default() += 1;
    }
    let doubled = made.values().filter(|records| **records > 1).count();
    let said = usize::try_from(house.rig.debts("parked").await?)?;
    eprintln!("{} kills, {} rows: {doubled} doubled, {said} waiting for a person", expected.len(), made.len());
    // Only where the CRM holds nothing unique may a record be made twice, and then a person is told.
    if doubled > 0 && points.len() > POINTS.len() {
        assert!(said >= doubled, "{doubled} doubled in silence: {made:?}");
        assert_eq!(made.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "none is lost");
        return Ok(());
    }
    assert_eq!(made, expected, "each once");
    house.agreement().await
}

/// True when nothing waits but for a person.
const REST: &str = "(SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM tidemark.tidemark_debt WHERE state <> 'parked') AND NOT EXISTS (SELECT 1 FROM tidemark.tidemark_change)) rest";

/// A customer who gave a phone number and no address.
fn by_phone(name: &str) -> String {
    let digits: String = name.bytes().map(|letter| (b'0' + letter % 10) as char).collect();
    format!("INSERT INTO customers (first_name, phone, email_confirmed_at) VALUES ('{name}', '{digits}', '2026-01-01 00:00:00')")
}

/// Makes a row whose create is claimed, and waits for its slot as long as `held` is open.
async fn claimed_before_call(
    house: &mut House,
    held: &DatabaseTransaction,
    name: &str,
    row: fn(&str) -> String,
) -> eyre::Result<()> {
    held.execute_unprepared("LOCK TABLE tidemark.tidemark_budget IN EXCLUSIVE MODE").await?;
    house.rig.db.run(&row(name)).await?;
    let debts = format!(
        "tidemark.tidemark_debt d JOIN customers c ON CAST(c.id AS TEXT) = d.subject WHERE c.first_name = '{name}' AND d.lease_fence IS NOT NULL"
    );
    reached(house, "the create is claimed and waits for its slot", &[&debts, &waiter("tidemark_budget")]).await
}

/// Makes a row, kills the worker when it stands at the point, and starts another in its place.
async fn kill_at(house: &mut House, point: Point, name: &str, (path, row): (&str, fn(&str) -> String)) -> eyre::Result<()> {
    let holder = connect(&house.rig.db.url).await?;
    let held = holder.begin().await?;
    match point {
        // Whoever wants a slot waits; the lock is let go when nobody is left to take it.
        Point::BeforeCall => claimed_before_call(house, &held, name, row).await?,
        Point::AfterCall => {
            keep_answer(house, path);
            house.rig.db.run(&row(name)).await?;
            shown(house, name).await?;
        }
        Point::BeforeSettle => {
            keep_answer(house, path);
            held.execute_unprepared("LOCK TABLE tidemark.tidemark_lineage IN EXCLUSIVE MODE").await?;
            house.rig.db.run(&row(name)).await?;
            shown(house, name).await?;
            reached(house, "the answer is being settled", &[&waiter("tidemark_lineage")]).await?;
        }
        Point::LandsLate => {
            let crm = house.rig.crm.crm();
            let weather = crm.weather();
            let late_commit_ms = (LANDS_AFTER_MS, LANDS_AFTER_MS);
            crm.set_weather(Weather { late_landing: 1.0, late_commit_ms, ..weather.clone() });
            house.rig.db.run(&row(name)).await?;
            let gone =
                until("the call is lost", PATIENCE, async || Ok((crm.counters().landings_pending > 0).then_some(()))).await;
            crm.set_weather(weather);
            house.explain(gone)?;
        }
    }
    house.service("worker-1")?.kill_and_restart().await?;
    held.rollback().await?;
    holder.close().await?;
    let landed = format!("customers WHERE first_name = '{name}' AND hubspot_id IS NOT NULL");
    reached(house, "the create was finished by the next", &[&landed]).await
}

/// The CRM carries out the next call of this kind at once, and keeps its answer back.
fn keep_answer(house: &House, path: &str) {
    let answer = ForcedAnswer { honest: true, delay_ms: KEPT_MS, path_contains: path.into(), ..ForcedAnswer::default() };
    house.rig.crm.crm().force_next(answer);
}

/// Somebody waits for a lock on this table of ours.
fn waiter(table: &str) -> String {
    format!("pg_locks WHERE NOT granted AND relation = 'tidemark.{table}'::regclass")
}

async fn reached(house: &mut House, what: &str, conditions: &[&str]) -> eyre::Result<()> {
    let db = &house.rig.db;
    let reached = until(what, PATIENCE, async || {
        for condition in conditions {
            if db.count(condition).await? == 0 {
                return Ok(None);
            }
        }
        Ok(Some(()))
    });
    let reached = reached.await;
    house.explain(reached)
}

async fn shown(house: &mut House, name: &str) -> eyre::Result<()> {
    let crm = house.rig.crm.crm();
    let shown = until("the CRM has made the record", PATIENCE, async || {
        let made =
            crm.list(Contacts).into_iter().any(|record| record.properties.get("firstname").is_some_and(|first| first == name));
        Ok(made.then_some(()))
    });
    let shown = shown.await;
    house.explain(shown)
}
