//! Real processes on PostgreSQL and Redis, in the order that hurts: one stands still in the middle of a push, one is killed there, the queue is emptied while
//! work is due. Nothing is lost and nothing is done twice.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use eyre::{OptionExt, ensure};
use tidemark_queue::{Queue, QueueConfig};
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_sandbox::{ForcedAnswer, Refusal};
use tidemark_tests::deadline::until;
use tidemark_tests::house::{DATABASE, House, PATIENCE};
use tidemark_tests::{Kind, Setup, redis};

const LEASE: Duration = Duration::from_secs(8);
/// What a lapsed lease takes to be found, hinted, fetched and paid; the machine may be busy.
const RETURN: Duration = Duration::from_secs(10);
const ENV: [(&str, &str); 2] = [("TIDEMARK__WORKER__LEASE", "8s"), ("TIDEMARK__CONNECTIONS__HUBSPOT__CALL_DEADLINE", "3500ms")];
/// For this long the CRM keeps an answer back, while a test stops or kills who waits for it.
const KEPT: Duration = Duration::from_secs(3);
/// apalis gives a silent worker's hints out again after 30 s.
const SILENCE: Duration = Duration::from_secs(60);

/// Ana is on both sides and agreed.
async fn open() -> eyre::Result<House> {
    let house = House::open(Kind::Postgres, Setup::default(), &ENV).await?;
    house.rig.db.run(&insert("Ana")).await?;
    house.rig.settle().await?;
    Ok(house)
}

pub(crate) fn insert(name: &str) -> String {
    format!(
        "INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('{name}@acme.test', '{name}', '2026-01-01 00:00:00')"
    )
}

/// The CRM carries out the next call of this kind at once, and keeps its answer back.
fn keep_answer(house: &House, path: &str) {
    let delay_ms = u64::try_from(KEPT.as_millis()).unwrap_or(0);
    let answer = ForcedAnswer { honest: true, delay_ms, path_contains: path.into(), ..ForcedAnswer::default() };
    house.rig.crm.crm().force_next(answer);
}

/// First names and how many records have each.
fn names(house: &House) -> BTreeMap<String, usize> {
    let mut names = BTreeMap::new();
    for mut record in house.rig.crm.crm().list(Contacts) {
        *names.entry(record.properties.remove("firstname").unwrap_or_default()).or_default() += 1;
    }
    names
}

fn each_once<const N: usize>(names: [&str; N]) -> BTreeMap<String, usize> {
    names.into_iter().map(|name| (name.to_owned(), 1)).collect()
}

fn refused(refusal: &Refusal) -> eyre::Report {
    eyre::eyre!("{}", refusal.message())
}

async fn shows(house: &mut House, name: &str) -> eyre::Result<()> {
    let seen =
        until(&format!("the CRM holds {name}"), PATIENCE, async || Ok(names(house).contains_key(name).then_some(()))).await;
    house.explain(seen)
}

/// A virtual machine is paused while its worker waits for the CRM's answer: long enough that the lease lapses and another worker does the work, and that the queue
/// takes the sleeper for dead and gives its hint out again. Then it wakes, in the middle of its sentence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_worker_that_stood_still_in_a_push_wakes_to_find_it_done_and_does_it_once() -> eyre::Result<()> {
    let mut house = open().await?;
    house.start("scheduler-1")?;
    house.start("worker-1")?;
    house.loaded().await?;
    keep_answer(&house, "/batch/upsert");
    // One transaction, one claim: the new one is sent first, the change after it.
    house.rig.db.run(&format!("UPDATE customers SET first_name = 'Anna' WHERE first_name = 'Ana'; {}", insert("Bo"))).await?;
    shows(&mut house, "Bo").await?;
    house.service("worker-1")?.pause().await?;
    let writes = house.rig.crm.crm().counters().writes;
    let sleeper = house.service("worker-1")?.id()?;
    ensure!(redis::held_by(DATABASE, &house.prefix, sleeper).await? > 0, "the sleeper holds no hint");

    house.start("worker-2")?;
    house.agreement().await?;
    assert_eq!(names(&house), each_once(["Anna", "Bo"]));
    let after = house.rig.crm.crm().counters().writes;
    assert_eq!(after, writes + 1, "Bo was made by the sleeper, Ana renamed by the one who took over");
    // The queue gives the sleeper's hint to another, too.
    let prefix = house.prefix.clone();
    let given = until("the sleeper counts as dead", SILENCE, async || {
        Ok((redis::held_by(DATABASE, &prefix, sleeper).await? == 0).then_some(()))
    });
    let given = given.await;
    house.explain(given)?;

    house.service("worker-1")?.go_on().await?;
    house.service("worker-2")?.terminate(PATIENCE).await?;
    // It works on: what comes now only it can do.
    house.rig.db.run(&insert("Cy")).await?;
    shows(&mut house, "Cy").await?;
    house.agreement().await?;
    assert_eq!(names(&house), each_once(["Anna", "Bo", "Cy"]));
    assert_eq!(house.rig.crm.crm().counters().writes, after + 1, "it did nothing twice");
    let versions = |name: &str| -> eyre::Result<usize> {
        let of_name =
            |version: &tidemark_sandbox::VersionView| version.properties.get("firstname").map(String::as_str) == Some(name);
        let crm = house.rig.crm.crm();
        let record = crm.list(Contacts).into_iter().find(|record| record.properties["firstname"] == name).ok_or_eyre("gone")?;
        let versions = crm.versions(Contacts, &record.id).map_err(|refusal| refused(&refusal))?;
        Ok(versions.iter().filter(|version| of_name(version)).count())
    };
    assert_eq!((versions("Anna")?, versions("Bo")?), (1, 1), "one effect each");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_push_whose_worker_is_killed_is_taken_over_when_its_lease_ends() -> eyre::Result<()> {
    let mut house = open().await?;
    house.start("scheduler-1")?;
    house.start("worker-1")?;
    house.loaded().await?;
    keep_answer(&house, "/batch/upsert");
    house.rig.db.run(&insert("Bo")).await?;
    shows(&mut house, "Bo").await?;
    let (linked, debt) = (house.rig.db.own("tidemark_link"), house.rig.db.own("tidemark_debt"));
    let linked = format!("{linked} WHERE state = 'linked'");
    house.service("worker-1")?.kill().await?;
    let killed = Instant::now();
    assert_eq!(house.rig.db.count(&linked).await?, 1, "nobody heard that Bo was made");
    assert_eq!(house.rig.db.count(&format!("{debt} WHERE lease_fence IS NOT NULL")).await?, 1, "the dead worker's claim stands");
    house.start("worker-2")?;
    let db = &house.rig.db;
    let settled = until("the push is settled", PATIENCE, async || Ok((db.count(&linked).await? == 2).then_some(()))).await;
    let took = killed.elapsed();
    house.explain(settled)?;
    assert!(took < LEASE + RETURN, "it took {took:?}");
    house.agreement().await?;
    assert_eq!(names(&house), each_once(["Ana", "Bo"]), "taken over, not made again");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_hints_of_due_work_that_the_queue_loses_are_given_again() -> eyre::Result<()> {
    let mut house = open().await?;
    // Nobody works: what is due is hinted, and the hints wait.
    house.start("scheduler-1")?;
    let rig = &house.rig;
    rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) SELECT 'c' || n || '@acme.test', 'C' || n, now() FROM generate_series(1, 250) n").await?;
    tidemark_worker::relay_once(&rig.ctx).await?;
    rig.crm.crm().create(Contacts, &[("email", "only@crm.test"), ("firstname", "Only")])?;
    let url = format!("{}/{DATABASE}", redis::server()?);
    let queue = Queue::connect(&QueueConfig::Redis { url: url.into(), prefix: house.prefix.clone() }).await?;
    // Two streams are polled, and 250 debts are three hints.
    let hinted = until("hints wait in the queue", PATIENCE, async || Ok((queue.depth().await?.waiting >= 5).then_some(()))).await;
    house.explain(hinted)?;
    redis::flush_all().await?;
    assert_eq!(queue.depth().await?.waiting, 0);
    let lost = Instant::now();
    house.start("worker-1")?;
    house.agreement().await?;
    let took = lost.elapsed();
    assert_eq!(house.rig.crm.crm().list(Contacts).len(), 252);
    assert_eq!(house.rig.db.count("customers").await?, 252);
    // A hint that was not taken up is given again after 5 s; the rest is the work itself.
    assert!(took < Duration::from_secs(30), "it took {took:?}");
    Ok(())
}

/// A paused machine has whatever it had, locks too. The server takes them back, and the order system's people do not wait until somebody finds the machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_worker_that_stands_still_inside_a_transaction_loses_its_locks() -> eyre::Result<()> {
    let mut house = House::open(Kind::Postgres, Setup::default(), &ENV).await?;
    house.start("scheduler-1")?;
    house.start("worker-1")?;
    house.loaded().await?;
    // Each page of a window is one transaction; ours is caught in one, as often as it takes.
    let inside =
        "pg_stat_activity WHERE datname = current_database() AND application_name = 'tidemark' AND state = 'idle in transaction'
        AND EXISTS (SELECT 1 FROM pg_locks l WHERE l.pid = pg_stat_activity.pid AND l.mode = 'RowExclusiveLock')";
    let (rig, made) = (&house.rig, Cell::new(0));
    let worker = house.services.last().ok_or_eyre("no worker")?;
    let caught = until("the worker stands still inside a transaction", PATIENCE, async || {
        for _ in 0..20 {
            made.set(made.get() + 1);
            rig.crm
                .crm()
                .create(Contacts, &[("email", &format!("c{}@crm.test", made.get())), ("firstname", "C")])
                .map_err(|refusal| refused(&refusal))?;
        }
        worker.pause().await?;
        if rig.db.count(inside).await? > 0 {
            return Ok(Some(()));
        }
        worker.go_on().await?;
        Ok(None)
    });
    caught.await?;
    let freed = until("the server takes the locks back", Duration::from_secs(15), async || {
        Ok((rig.db.count(inside).await? == 0).then_some(()))
    });
    freed.await?;
    worker.go_on().await?;
    house.agreement().await?;
    assert_eq!(house.rig.db.count("customers").await?, made.get());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_processes_whose_database_sessions_end_again_and_again_go_on_and_lose_nothing() -> eyre::Result<()> {
    let mut house = open().await?;
    house.start("scheduler-1")?;
    house.start("worker-1")?;
    house.loaded().await?;
    let crm = house.rig.crm.crm();
    for round in 0..10 {
        for at in 0..5 {
            house.rig.db.run(&insert(&format!("Shop{round}x{at}"))).await?;
            let (email, name) = (format!("crm{round}x{at}@crm.test"), format!("Crm{round}x{at}"));
            crm.create(Contacts, &[("email", &email), ("firstname", &name)]).map_err(|refusal| refused(&refusal))?;
        }
        let ticks = format!("SELECT CAST(max(ticks) AS TEXT) FROM {}", house.rig.db.own("tidemark_stream"));
        let before = house.rig.db.one(&ticks).await?;
        house.rig.end_sessions().await?;
        // The next round hurts whatever came of this one.
        let db = &house.rig.db;
        let ticked = until("the scheduler ticks again", PATIENCE, async || Ok((db.one(&ticks).await? != before).then_some(())));
        let ticked = ticked.await;
        house.explain(ticked)?;
    }
    house.rig.healed().await?;
    house.agreement().await?;
    assert_eq!((house.rig.crm.crm().list(Contacts).len(), house.rig.db.count("customers").await?), (101, 101));
    Ok(())
}
