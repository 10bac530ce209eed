//! What is due and who is told: ticks and hints stay right with any number of schedulers, after an outage, and when hints or workers are lost.

use std::sync::Arc;
use std::time::Duration;

use eyre::OptionExt;
use sea_orm::{ConnectionTrait, TransactionTrait};
use tidemark_core::hint::HintKind;
use tidemark_core::spec::StreamSpec;
use tidemark_queue::{Queue, QueueConfig};
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_scheduler::dispatch::{self, HINT_LIFE_MS};
use tidemark_scheduler::run::{Tuning, Turns, run};
use tidemark_scheduler::tick;
use tidemark_store::{connections, debts, streams};
use tidemark_tests::{Kind, Rig, connect, on_both_databases};
use tokio_util::sync::CancellationToken;

const DEPTH_MAX: u64 = 2_000;

/// The streams, polled once an hour.
fn hourly(rig: &Rig) -> Vec<StreamSpec> {
    let mut specs = rig.config.streams.clone();
    specs.iter_mut().for_each(|spec| spec.poll.every = Duration::from_secs(3_600));
    specs
}

/// A queue of this test's own. In a file: other tests empty the Redis they share.
async fn queue(rig: &Rig) -> eyre::Result<Queue> {
    Ok(Queue::connect(&QueueConfig::Embedded { file: rig.db.folder.path().join("queue.db") }).await?)
}

async fn number(rig: &Rig, sql: &str) -> eyre::Result<i64> {
    Ok(rig.db.one(sql).await?.ok_or_eyre("no number")?.parse()?)
}

/// What the dispatcher finds, as (kind, units), polls first.
async fn due(rig: &Rig) -> eyre::Result<Vec<(HintKind, i64)>> {
    Ok(streams::due_work(&rig.store, HINT_LIFE_MS).await?.into_iter().map(|work| (work.kind, work.units)).collect())
}

/// Nothing is due on the streams.
async fn rest(rig: &Rig) -> eyre::Result<()> {
    let quiet =
        "poll_owed_at = NULL, poll_hinted_at = NULL, push_hinted_at = NULL, read_hinted_at = NULL, due_at = 9000000000000";
    rig.db.run(&format!("UPDATE {} SET {quiet}", rig.db.own("tidemark_stream"))).await
}

on_both_databases! {
    async fn many_schedulers_make_one_tick_of_each_stream(kind) {
        let rig = Rig::start(kind).await?;
        let (specs, stream) = (Arc::new(hourly(&rig)), rig.db.own("tidemark_stream"));
        let mut stores = Vec::new();
        for _ in 0..4 {
            stores.push(rig.second_store().await?);
        }
        for round in 1..=10 {
            rig.db.run(&format!("UPDATE {stream} SET due_at = 0, poll_owed_at = NULL")).await?;
            let schedulers: Vec<_> = stores.iter().map(|store| {
                let (store, specs) = (store.clone(), Arc::clone(&specs));
                tokio::spawn(async move { tick::once(&store, &specs, 0.1).await })
            }).collect();
            let mut ours = 0;
            for scheduler in schedulers {
                ours += scheduler.await??;
            }
            assert_eq!(ours, 2, "in round {round} each stream was ticked by one of four");
            assert_eq!(rig.db.count(&format!("{stream} WHERE ticks = {round} AND poll_owed_at IS NOT NULL AND due_at > 0")).await?, 2);
        }
        Ok(())
    }

    async fn ticks_that_were_missed_are_made_up_once(kind) {
        let rig = Rig::start(kind).await?;
        let (specs, stream) = (hourly(&rig), rig.db.own("tidemark_stream"));
        let day = rig.store.now().await? - 86_400_000;
        rig.db.run(&format!("UPDATE {stream} SET due_at = {day}, poll_owed_at = NULL, ticks = 0")).await?;
        assert_eq!(tick::once(&rig.store, &specs, 0.0).await?, 2);
        for _ in 0..5 {
            assert_eq!(tick::once(&rig.store, &specs, 0.0).await?, 0, "the other twenty-three are not made up");
        }
        assert_eq!(rig.db.count(&format!("{stream} WHERE ticks = 1 AND poll_owed_at IS NOT NULL")).await?, 2, "one poll is owed");
        let ahead = number(&rig, &format!("SELECT CAST(min(due_at) AS TEXT) FROM {stream}")).await? - rig.store.now().await?;
        assert!((3_500_000..=3_600_000).contains(&ahead), "the next tick is a whole interval ahead: {ahead} ms");
        Ok(())
    }

    async fn a_stream_that_may_not_run_is_neither_ticked_nor_hinted(kind) {
        let rig = Rig::start(kind).await?;
        let (specs, stream) = (hourly(&rig), rig.db.own("tidemark_stream"));
        rig.db.run(&format!("UPDATE {stream} SET due_at = 0, poll_owed_at = 0")).await?;
        debts::owe_pushes(&rig.store, rig.stream("hubspot.contacts")?.id, &["1"]).await?;
        assert_eq!(due(&rig).await?, [(HintKind::Poll, 1), (HintKind::Poll, 1), (HintKind::Push, 1)]);
        for state in ["plan_ready", "paused"] {
            rig.db.run(&format!("UPDATE {stream} SET state = '{state}'")).await?;
            assert_eq!(tick::once(&rig.store, &specs, 0.0).await?, 0, "{state}");
            assert_eq!(due(&rig).await?, [], "{state}");
        }
        rig.db.run(&format!("UPDATE {stream} SET state = 'running'")).await?;
        connections::set_state(&rig.store, "hubspot", "paused", None).await?;
        assert_eq!(due(&rig).await?, [], "its connection is paused");
        assert_eq!(tick::once(&rig.store, &[], 0.0).await?, 0, "a scheduler leaves streams alone that its configuration does not have");
        Ok(())
    }

    async fn dispatchers_fill_the_queue_up_to_its_depth_and_no_further(kind) {
        let rig = Rig::start(kind).await?;
        rest(&rig).await?;
        let (queue, contacts) = (queue(&rig).await?, rig.stream("hubspot.contacts")?.id);
        let keys: Vec<String> = (1..=950).map(|key| key.to_string()).collect();
        debts::owe_pushes(&rig.store, contacts, &keys.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        rig.db.run(&format!("UPDATE {} SET poll_owed_at = 1 WHERE id <> {contacts}", rig.db.own("tidemark_stream"))).await?;
        rig.db.run(&format!("UPDATE {} SET poll_owed_at = 0 WHERE id = {contacts}", rig.db.own("tidemark_stream"))).await?;
        // Two polls, then of the four hints that 950 debts are worth what there is room for.
        assert_eq!(dispatch::once(&rig.store, &queue, 3).await?, 3);
        assert_eq!(queue.depth().await?.waiting, 3);
        rest(&rig).await?;
        assert_eq!(due(&rig).await?, [(HintKind::Push, 950)]);
        assert_eq!(dispatch::once(&rig.store, &queue, 3).await?, 0, "it is full");
        assert_eq!(due(&rig).await?, [(HintKind::Push, 950)], "work without room was not marked as hinted");
        assert_eq!(dispatch::once(&rig.store, &queue, DEPTH_MAX).await?, 4, "a handful of hints, whatever is due");
        assert_eq!(queue.depth().await?.waiting, 7);
        Ok(())
    }

    async fn many_dispatchers_hint_the_same_work_once(kind) {
        let rig = Rig::start(kind).await?;
        let queue = queue(&rig).await?;
        for _ in 0..5 {
            rest(&rig).await?;
            rig.db.run(&format!("UPDATE {} SET poll_owed_at = 0", rig.db.own("tidemark_stream"))).await?;
            let waiting = queue.depth().await?.waiting;
            let dispatchers: Vec<_> = (0..4).map(|_| {
                let (store, queue) = (rig.store.clone(), queue.clone());
                tokio::spawn(async move { dispatch::once(&store, &queue, DEPTH_MAX).await })
            }).collect();
            let mut hints = 0;
            for dispatcher in dispatchers {
                hints += dispatcher.await??;
            }
            assert_eq!((hints, queue.depth().await?.waiting - waiting), (2, 2));
        }
        Ok(())
    }

    async fn lost_hints_and_lapsed_leases_are_hinted_again(kind) {
        let rig = Rig::start(kind).await?;
        rest(&rig).await?;
        let (queue, contacts) = (queue(&rig).await?, rig.stream("hubspot.contacts")?.id);
        let (stream, debt) = (rig.db.own("tidemark_stream"), rig.db.own("tidemark_debt"));
        debts::owe_pushes(&rig.store, contacts, &["1"]).await?;
        assert_eq!(dispatch::once(&rig.store, &queue, DEPTH_MAX).await?, 1);
        assert_eq!(dispatch::once(&rig.store, &queue, DEPTH_MAX).await?, 0, "its hint lives");
        // Nobody took it up for longer than a hint lives.
        let old = rig.store.now().await? - HINT_LIFE_MS - 1_000;
        rig.db.run(&format!("UPDATE {stream} SET push_hinted_at = {old}")).await?;
        assert_eq!(dispatch::once(&rig.store, &queue, DEPTH_MAX).await?, 1, "given again");
        // A worker took it up and looked.
        streams::clear_hint(&rig.store, contacts, HintKind::Push).await?;
        let claims = debts::claim(&rig.store, contacts, debts::Kind::Push, debts::Which::Due, "worker", 60_000, 10).await?;
        assert_eq!(claims.len(), 1);
        assert_eq!(due(&rig).await?, [], "it is in a worker's hands");
        rig.db.run(&format!("UPDATE {debt} SET lease_until = {old}")).await?;
        assert_eq!(dispatch::once(&rig.store, &queue, DEPTH_MAX).await?, 1, "whose lease ran out");
        rest(&rig).await?;
        rig.db.run(&format!("UPDATE {debt} SET due_at = 9000000000000, lease_until = NULL")).await?;
        assert_eq!(due(&rig).await?, [], "not due yet");
        rig.db.run(&format!("UPDATE {debt} SET due_at = 0, state = 'parked'")).await?;
        assert_eq!(due(&rig).await?, [], "it waits for a person");
        rig.db.run(&format!("UPDATE {debt} SET kind = 'read', state = 'waiting'")).await?;
        assert_eq!(due(&rig).await?, [(HintKind::Read, 1)]);
        rig.db.run(&format!("DELETE FROM {debt}")).await?;

        rig.db.run(&format!("UPDATE {stream} SET poll_owed_at = 0 WHERE id = {contacts}")).await?;
        streams::claim_poll(&rig.store, rig.stream("hubspot.contacts")?, "worker", 60_000).await?.ok_or_eyre("not claimed")?;
        assert_eq!(due(&rig).await?, [], "somebody reads it");
        rig.db.run(&format!("UPDATE {stream} SET lease_until = {old} WHERE id = {contacts}")).await?;
        assert_eq!(dispatch::once(&rig.store, &queue, DEPTH_MAX).await?, 1, "the reader is gone");
        Ok(())
    }

    async fn a_scheduler_ticks_and_dispatches_until_it_is_told_to_stop(kind) {
        let rig = Rig::start(kind).await?;
        rig.crm.crm().create(Contacts, &[("email", "ana@acme.test")])?;
        let (queue, stop, turns) = (queue(&rig).await?, CancellationToken::new(), Turns::default());
        let specs = Arc::new(rig.config.streams.clone());
        let running = tokio::spawn(run(rig.store.clone(), queue.clone(), specs, Vec::new(), tuning(Duration::from_secs(60)), turns.clone(), stop.clone()));
        tidemark_tests::deadline::until("each stream was ticked and hinted", Duration::from_secs(20), async || {
            let ticked = format!("{} WHERE ticks > 0 AND poll_hinted_at IS NOT NULL", rig.db.own("tidemark_stream"));
            Ok((rig.db.count(&ticked).await? == 2 && queue.depth().await?.waiting >= 2).then_some(()))
        }).await?;
        let workers = rig.db.own("tidemark_worker");
        assert_eq!(rig.db.count(&format!("{workers} WHERE kind = 'scheduler'")).await?, 1, "and is seen at work");
        stop.cancel();
        running.await??;
        assert_eq!(rig.db.count(&workers).await?, 0, "it signed off");
        Ok(())
    }
}

fn tuning(hang_after: Duration) -> Tuning {
    Tuning {
        name: "scheduler".into(),
        tick_every: Duration::from_millis(50),
        dispatch_every: Duration::from_millis(50),
        jitter: 0.0,
        queue_depth_max: DEPTH_MAX,
        keep_callouts: Duration::from_secs(3_600),
        keep_windows: Duration::from_secs(3_600),
        keep_call_hours: Duration::from_secs(3_600),
        keep_lineage: Duration::from_secs(3_600),
        restore_guard: Duration::from_secs(86_400),
        hang_after,
    }
}

/// A database that neither answers nor fails, which only PostgreSQL can be made to: the watchdog ends the process, so that its container starts another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduler_whose_loops_stand_still_ends_with_a_word() -> eyre::Result<()> {
    let rig = Rig::start(Kind::Postgres).await?;
    let (queue, stop, turns) = (queue(&rig).await?, CancellationToken::new(), Turns::default());
    let specs = Arc::new(rig.config.streams.clone());
    let application = connect(&rig.db.url).await?;
    let lock = application.begin().await?;
    lock.execute_unprepared("LOCK TABLE tidemark.tidemark_stream").await?;
    let ended = run(rig.store.clone(), queue, specs, Vec::new(), tuning(Duration::from_secs(1)), turns, stop.clone());
    let hung = tokio::time::timeout(Duration::from_secs(20), ended).await?.err().ok_or_eyre("it should have ended badly")?;
    let words = hung.to_string();
    assert!(words.contains("loop has not turned for 1 s") && words.contains("started anew"), "{words}");
    stop.cancel();
    lock.rollback().await?;
    Ok(())
}
