//! The named races, made to happen: each test puts two actors into the one order that loses or doubles data elsewhere.

use std::sync::Arc;
use std::time::Duration;

use eyre::OptionExt;
use tidemark_core::hint::{Hint, HintKind};
use tidemark_sandbox::ForcedAnswer;
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_store::{streams, walk};
use tidemark_tests::{Kind, Rig, on_both_databases};
use tidemark_worker::{Outcome, handle};

/// A confirmed customer that is in the CRM, agreed.
async fn agreed(kind: Kind) -> eyre::Result<(Rig, String)> {
    let rig = Rig::start(kind).await?;
    rig.db.run("INSERT INTO customers (email, first_name, phone, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', '1', '2026-01-01 00:00:00')").await?;
    rig.settle().await?;
    let id = rig.db.one("SELECT hubspot_id FROM customers").await?.unwrap_or_default();
    Ok((rig, id))
}

async fn poll_of(rig: &Rig) -> eyre::Result<Hint> {
    let stream = rig.db.own("tidemark_stream");
    rig.db.run(&format!("UPDATE {stream} SET poll_owed_at = 0 WHERE name = 'hubspot.contacts'")).await?;
    Ok(Hint { kind: HintKind::Poll, stream: rig.stream("hubspot.contacts")?.id })
}

fn count(rig: &Rig, path: &str) -> usize {
    rig.crm.crm().calls().iter().filter(|call| call.path.ends_with(path)).count()
}

on_both_databases! {
    async fn h31_a_worker_that_goes_by_another_mapping_leaves_the_work_to_others(kind) {
        let (rig, id) = agreed(kind).await?;
        let stream = rig.db.own("tidemark_stream");
        let digest = rig.db.one(&format!("SELECT mapping_digest FROM {stream} WHERE name = 'hubspot.contacts'")).await?.ok_or_eyre("no digest")?;
        // Somebody started a worker with a changed mapping: everything is to be read once more, with what is new in it.
        rig.db.run(&format!("UPDATE {stream} SET mapping_digest = 'another', fast_until = NULL WHERE name = 'hubspot.contacts'")).await?;
        rig.crm.crm().edit(Contacts, &id, &[("phone", "2")])?;
        rig.db.run("UPDATE customers SET first_name = 'Anna'").await?;
        tidemark_worker::relay_once(&rig.ctx).await?;
        let calls = rig.crm.crm().calls().len();
        let mut skipped = Vec::new();
        for kind in [HintKind::Poll, HintKind::Push, HintKind::Read, HintKind::Sweep] {
            skipped.push(handle(&rig.ctx, Hint { kind, ..poll_of(&rig).await? }).await);
        }
        assert!(skipped.iter().all(|outcome| matches!(outcome, Outcome::Skipped(_))), "{skipped:?}");
        assert!(streams::claim_poll(&rig.store, rig.stream("hubspot.contacts")?, "late", 60_000).await?.is_none(), "nor does one that looked before");
        assert_eq!(rig.crm.crm().calls().len(), calls);
        rig.db.run(&format!("UPDATE {stream} SET mapping_digest = '{digest}' WHERE name = 'hubspot.contacts'")).await?;
        rig.settle().await?;
        assert_eq!(rig.db.one("SELECT phone FROM customers").await?.as_deref(), Some("2"));
        assert_eq!(rig.record("contacts", &id).await?["firstname"], "Anna");
        Ok(())
    }

    async fn h21_a_walk_that_is_owed_again_while_it_is_under_way_begins_again(kind) {
        let rig = Rig::start(kind).await?;
        for at in 1..=5 {
            rig.db.run(&format!("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('c{at}@acme.test', 'Old', '2026-01-01 00:00:00')")).await?;
        }
        rig.settle().await?;
        let stream = rig.stream("hubspot.contacts")?;
        streams::owe_walk(&rig.store, stream.id).await?;
        let (fence, _) = streams::claim_poll(&rig.store, stream, "walker", 60_000).await?.ok_or_eyre("not claimed")?;
        assert_eq!(walk::step(&rig.store, stream, fence, 2).await?.rows, 2);
        // A statement that touches very many rows leaves a marker; the first rows are behind the walk.
        rig.db.run("UPDATE customers SET first_name = 'New' WHERE email = 'c1@acme.test'").await?;
        let log = rig.db.own("tidemark_change");
        rig.db.run(&format!("UPDATE {log} SET op = 'M', row_key = NULL")).await?;
        tidemark_worker::relay_once(&rig.ctx).await?;
        assert_eq!(rig.debts("waiting").await?, 0, "the marker names no row");
        while !walk::step(&rig.store, stream, fence, 2).await?.done {}
        assert_eq!(rig.debts("waiting").await?, 1, "the row behind the walk is found");
        Ok(())
    }

    async fn h6_a_stale_page_after_a_newer_push_is_not_merged(kind) {
        let (rig, id) = agreed(kind).await?;
        // The index goes on showing the record as it was before our push.
        let mut lagging = rig.crm.crm().weather();
        lagging.index_lag_ms = (3_600_000, 3_600_000);
        rig.crm.crm().set_weather(lagging);
        rig.db.run("UPDATE customers SET phone = '2'").await?;
        rig.push("hubspot.contacts").await?;
        assert_eq!(rig.record("contacts", &id).await?["phone"], "2");
        rig.poll("hubspot.contacts").await?;
        assert_eq!(rig.db.one("SELECT phone FROM customers").await?.as_deref(), Some("2"), "the old value in the page is old news");
        rig.read("hubspot.contacts").await?;
        rig.push("hubspot.contacts").await?;
        assert_eq!(rig.db.one("SELECT phone FROM customers").await?.as_deref(), Some("2"));
        assert_eq!(rig.record("contacts", &id).await?["phone"], "2", "and the edit was not sent back either");
        Ok(())
    }

    async fn h7_the_page_of_an_overtaken_reader_aborts(kind) {
        let (rig, id) = agreed(kind).await?;
        let slow = rig.second_worker().await?;
        // The slow reader's page is held up in the CRM's answer while its lease runs out and another reader goes ahead.
        rig.crm.crm().edit(Contacts, &id, &[("company", "Old")])?;
        rig.crm.crm().force_next(ForcedAnswer {
            delay_ms: 3_000, times: 1, path_contains: "/search".into(), ..pass_through()
        });
        // The CRM tells its time in whole seconds: right after a poll there may be nothing to read yet, so the cursor is set back a little.
        let stream = rig.db.own("tidemark_stream");
        rig.db.run(&format!("UPDATE {stream} SET fast_until = fast_until - 5000 WHERE name = 'hubspot.contacts'")).await?;
        let rig = Arc::new(rig);
        let racing = Arc::clone(&rig);
        let overtaken = tokio::spawn(async move {
            loop {
                let outcome = handle(&slow, poll_of(&racing).await?).await;
                if !matches!(outcome, Outcome::Done { units: 0 }) {
                    return Ok::<_, eyre::Report>(outcome);
                }
            }
        });
        stream_is_held(&rig).await?;
        let stream = rig.db.own("tidemark_stream");
        rig.db.run(&format!("UPDATE {stream} SET lease_until = 1 WHERE name = 'hubspot.contacts'")).await?;
        rig.crm.crm().edit(Contacts, &id, &[("company", "New")])?;
        tidemark_tests::deadline::until("the reader ahead has read the newer value", Duration::from_secs(10), || async {
            rig.poll("hubspot.contacts").await?;
            let company = rig.db.one("SELECT company FROM customers").await?;
            Ok((company.as_deref() == Some("New")).then_some(()))
        }).await?;
        let outcome = overtaken.await??;
        assert!(matches!(outcome, Outcome::LeaseLost), "{outcome:?}");
        assert_eq!(rig.db.one("SELECT company FROM customers").await?.as_deref(), Some("New"), "the zombie's page did not take it back");
        Ok(())
    }

    async fn h8_an_inbound_value_is_not_merged_while_its_push_is_under_way(kind) {
        let (rig, id) = agreed(kind).await?;
        rig.db.run("UPDATE customers SET phone = '030 99'").await?;
        tidemark_worker::relay_once(&rig.ctx).await?;
        let updates = count(&rig, "/batch/update");
        // The CRM takes the write at once and answers late: a page in between shows the altered value before we have settled.
        rig.crm.crm().force_next(ForcedAnswer { delay_ms: 2_500, times: 1, path_contains: "/batch/update".into(), ..pass_through() });
        let pusher = rig.second_worker().await?;
        let hint = Hint { kind: HintKind::Push, stream: rig.stream("hubspot.contacts")?.id };
        let push = tokio::spawn(async move { handle(&pusher, hint).await });
        record_shows(&rig, &id, "phone", "03099").await?;
        rig.poll("hubspot.contacts").await?;
        let conflicts = rig.db.one(&format!("SELECT CAST(sum(conflicts) AS TEXT) FROM {}", rig.db.own("tidemark_stream"))).await?;
        assert_eq!(conflicts.as_deref(), Some("0"), "no false conflict");
        assert_eq!(rig.db.one("SELECT phone FROM customers").await?.as_deref(), Some("030 99"), "the row keeps what its people wrote");
        push.await?;
        assert!(count(&rig, "/batch/update") > updates);
        rig.settle().await?;
        assert_eq!(rig.db.one("SELECT phone FROM customers").await?.as_deref(), Some("030 99"));
        assert_eq!(rig.record("contacts", &id).await?["phone"], "03099", "an altered value is agreed as a pair, not fought over");
        Ok(())
    }

    async fn a_conflict_that_a_read_before_a_push_finds_is_counted(kind) {
        let (rig, id) = agreed(kind).await?;
        rig.db.run("UPDATE customers SET phone = '2'").await?;
        rig.crm.crm().edit(Contacts, &id, &[("phone", "3")])?;
        rig.push("hubspot.contacts").await?;
        rig.read("hubspot.contacts").await?;
        let conflicts = rig.db.one(&format!("SELECT CAST(sum(conflicts) AS TEXT) FROM {}", rig.db.own("tidemark_stream"))).await?;
        assert_eq!(conflicts.as_deref(), Some("1"));
        assert_eq!(rig.db.one("SELECT phone FROM customers").await?.as_deref(), Some("2"), "a person decides");
        assert_eq!(rig.record("contacts", &id).await?["phone"], "3");
        Ok(())
    }

    async fn h12_a_record_met_while_its_create_is_in_flight_becomes_no_second_row(kind) {
        let rig = Rig::start(kind).await?;
        rig.settle().await?;
        rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('new@acme.test', 'New', '2026-01-01 00:00:00')").await?;
        tidemark_worker::relay_once(&rig.ctx).await?;
        rig.crm.crm().force_next(ForcedAnswer { delay_ms: 2_500, times: 1, path_contains: "/batch/upsert".into(), ..pass_through() });
        let creator = rig.second_worker().await?;
        let hint = Hint { kind: HintKind::Push, stream: rig.stream("hubspot.contacts")?.id };
        let create = tokio::spawn(async move { handle(&creator, hint).await });
        tidemark_tests::deadline::until("the record is in the CRM", Duration::from_secs(10), || async {
            Ok((rig.records("contacts").await?.len() == 1).then_some(()))
        }).await?;
        rig.poll("hubspot.contacts").await?;
        assert_eq!(rig.db.count("customers").await?, 1, "the page knew the record for the one that is being made");
        create.await?;
        rig.settle().await?;
        assert_eq!(rig.db.count("customers").await?, 1);
        assert_eq!(rig.records("contacts").await?.len(), 1, "and it was not made twice");
        assert_eq!(rig.db.count(&format!("{} WHERE state = 'linked'", rig.db.own("tidemark_link"))).await?, 1);
        Ok(())
    }

    async fn a_paused_creator_that_is_overtaken_makes_one_record(kind) {
        let rig = Rig::start(kind).await?;
        rig.settle().await?;
        rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('new@acme.test', 'New', '2026-01-01 00:00:00')").await?;
        tidemark_worker::relay_once(&rig.ctx).await?;
        // The first worker is stopped after its create was sent; its lease runs out and another does the work again.
        rig.crm.crm().force_next(ForcedAnswer { delay_ms: 2_500, path_contains: "/batch/upsert".into(), ..pass_through() });
        let paused = rig.second_worker().await?;
        let hint = Hint { kind: HintKind::Push, stream: rig.stream("hubspot.contacts")?.id };
        let first = tokio::spawn(async move { handle(&paused, hint).await });
        tidemark_tests::deadline::until("the record is in the CRM", Duration::from_secs(10), || async {
            Ok((rig.records("contacts").await?.len() == 1).then_some(()))
        }).await?;
        rig.db.run(&format!("UPDATE {} SET lease_until = 1", rig.db.own("tidemark_debt"))).await?;
        rig.db.run(&format!("UPDATE {} SET push_until = 1", rig.db.own("tidemark_link"))).await?;
        rig.push("hubspot.contacts").await?;
        first.await?;
        rig.settle().await?;
        assert_eq!(rig.records("contacts").await?.len(), 1);
        assert_eq!(rig.db.count(&rig.db.own("tidemark_link")).await?, 1);
        assert_eq!(rig.db.count("customers").await?, 1);
        Ok(())
    }

    async fn a_child_told_to_wait_while_its_parent_is_linked_is_freed(kind) {
        let rig = Rig::start(kind).await?;
        rig.settle().await?;
        rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', '2026-01-01 00:00:00')").await?;
        rig.db.run("INSERT INTO orders (number, customer_id, status, total_cents) VALUES ('R-1', 1, 'accepted', 100)").await?;
        rig.push("hubspot.deals").await?;
        assert_eq!(rig.debts("parent").await?, 1);
        // The order the two transactions must not be seen in: the parent is linked, and only then the child's wait is stored.
        let debts = rig.db.own("tidemark_debt");
        rig.db.run(&format!("UPDATE {debts} SET state = 'held' WHERE state = 'parent'")).await?;
        rig.push("hubspot.contacts").await?;
        rig.db.run(&format!("UPDATE {debts} SET state = 'parent', due_at = due_at + 60000 WHERE state = 'held'")).await?;
        rig.push("hubspot.deals").await?;
        assert_eq!(rig.records("deals").await?.len(), 1, "it did not wait for the next look a minute later");
        Ok(())
    }

    async fn h22_an_edit_during_a_push_is_not_lost(kind) {
        let (rig, id) = agreed(kind).await?;
        rig.db.run("UPDATE customers SET first_name = 'First'").await?;
        tidemark_worker::relay_once(&rig.ctx).await?;
        rig.crm.crm().force_next(ForcedAnswer { delay_ms: 2_500, times: 1, path_contains: "/batch/update".into(), ..pass_through() });
        let pusher = rig.second_worker().await?;
        let hint = Hint { kind: HintKind::Push, stream: rig.stream("hubspot.contacts")?.id };
        let push = tokio::spawn(async move { handle(&pusher, hint).await });
        record_shows(&rig, &id, "firstname", "First").await?;
        // The row changes again and is relayed while the first value is still on its way.
        rig.db.run("UPDATE customers SET first_name = 'Second'").await?;
        tidemark_worker::relay_once(&rig.ctx).await?;
        push.await?;
        rig.push("hubspot.contacts").await?;
        assert_eq!(rig.record("contacts", &id).await?["firstname"], "Second");
        Ok(())
    }
}

/// A forced answer that only delays: the call itself is carried out and answered truly.
fn pass_through() -> ForcedAnswer {
    ForcedAnswer { honest: true, ..ForcedAnswer::default() }
}

async fn stream_is_held(rig: &Rig) -> eyre::Result<()> {
    let stream = rig.db.own("tidemark_stream");
    tidemark_tests::deadline::until("the slow reader holds the stream", Duration::from_secs(10), || async {
        let held = rig.db.one(&format!("SELECT CAST(lease_until AS TEXT) FROM {stream} WHERE name = 'hubspot.contacts'")).await?;
        Ok(held.map(|_| ()))
    })
    .await
}

async fn record_shows(rig: &Rig, id: &str, property: &str, value: &str) -> eyre::Result<()> {
    tidemark_tests::deadline::until("the CRM holds the value", Duration::from_secs(10), || async {
        Ok((rig.record("contacts", id).await?.get(property).map(String::as_str) == Some(value)).then_some(()))
    })
    .await
}
