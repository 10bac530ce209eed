//! The sweep: what no window and no trigger told is found, repaired and written down, and a sweep that did not read everything claims nothing.

use std::sync::Arc;
use std::time::Duration;

use eyre::OptionExt;
use tidemark_core::hint::{Hint, HintKind};
use tidemark_sandbox::ForcedAnswer;
use tidemark_sandbox::ObjectType::{Contacts, Deals};
use tidemark_store::sweeps;
use tidemark_tests::{Kind, Rig, Setup, deadline, on_both_databases};
use tidemark_worker::{Outcome, handle};

const CONTACTS: &str = "hubspot.contacts";

/// Small pages, so that a sweep has several.
async fn with_contacts(kind: Kind, contacts: &'static str, count: usize) -> eyre::Result<(Rig, Vec<String>)> {
    let rig = Rig::with(kind, Setup { contacts, ..Setup::default() }).await?;
    let crm = rig.crm.crm();
    let ids = (0..count).map(|at| crm.create(Contacts, &[("email", &format!("c{at}@acme.test")), ("company", "Old")]));
    let ids = ids.collect::<Result<_, _>>()?;
    rig.settle().await?;
    Ok((rig, ids))
}

const PAGES_OF_TWO: &str = "poll = { page_rows_max = 2 }";
/// No window reads again what the one before it read.
const NO_OVERLAP: &str = "poll = { overlap = \"0s\" }";

fn searches(rig: &Rig) -> usize {
    rig.crm.crm().calls().iter().filter(|call| call.path.ends_with("/contacts/search")).count()
}

fn fails() -> ForcedAnswer {
    ForcedAnswer { status: 502, path_contains: "/contacts/search".into(), ..ForcedAnswer::default() }
}

fn held(delay_ms: u64) -> ForcedAnswer {
    ForcedAnswer { honest: true, delay_ms, path_contains: "/contacts/search".into(), ..ForcedAnswer::default() }
}

on_both_databases! {
    async fn h28_a_change_that_moves_no_stamp_is_found_by_the_sweep(kind) {
        let (rig, ids) = with_contacts(kind, NO_OVERLAP, 3).await?;
        rig.catch_up(CONTACTS).await?;
        rig.crm.crm().recalculate(Contacts, &ids[1], &[("company", "New")])?;
        for _ in 0..3 {
            rig.catch_up(CONTACTS).await?;
        }
        assert_eq!(rig.db.count("customers WHERE company = 'New'").await?, 0, "no window shows it");
        rig.sweep(CONTACTS).await?;
        rig.read(CONTACTS).await?;
        assert_eq!(rig.db.count("customers WHERE company = 'New'").await?, 1);
        let expect = ["record", ids[1].as_str(), "none", "company", "read owed"].map(str::to_owned);
        assert_eq!(rig.drift().await?, [expect], "by name, never by value");
        assert_eq!(rig.seals(CONTACTS).await?, ["sealed"]);
        rig.sweep(CONTACTS).await?;
        assert_eq!(rig.drift().await?.len(), 1, "it is repaired once");
        Ok(())
    }

    async fn h28_a_record_that_appears_later_than_both_readers_waited_is_found_by_the_sweep(kind) {
        let (rig, ids) = with_contacts(kind, NO_OVERLAP, 2).await?;
        let mut late = rig.crm.crm().weather();
        late.index_lag_ms = (4_000, 4_000);
        rig.crm.crm().set_weather(late);
        rig.crm.crm().edit(Contacts, &ids[0], &[("company", "New")])?;
        rig.catch_up(CONTACTS).await?;
        let settled = format!("SELECT CAST(settled_until AS TEXT) FROM {} WHERE name = '{CONTACTS}'", rig.db.own("tidemark_stream"));
        let stamp = rig.store.now().await?;
        deadline::until("the settled reader has passed the stamp", Duration::from_secs(5), || async {
            rig.poll(CONTACTS).await?;
            Ok((rig.db.one(&settled).await?.unwrap_or_default().parse::<i64>()? > stamp).then_some(()))
        }).await?;
        deadline::until("the sweep has found it", Duration::from_secs(20), || async {
            rig.sweep_alone(CONTACTS).await?;
            Ok((rig.db.count("customers WHERE company = 'New'").await? == 1).then_some(()))
        }).await?;
        let expect = ["record", ids[0].as_str(), "settled", "company", "merged"].map(str::to_owned);
        assert_eq!(rig.drift().await?, [expect]);
        Ok(())
    }

    async fn a_changed_association_is_found_by_the_sweep(kind) {
        let rig = Rig::start(kind).await?;
        rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', '2026-01-01 00:00:00')").await?;
        rig.db.run("INSERT INTO orders (number, customer_id, status, total_cents) VALUES ('R-1', 1, 'accepted', 100)").await?;
        rig.settle().await?;
        let (bo, deal) = (rig.crm.crm().create(Contacts, &[("email", "bo@acme.test")])?, rig.crm.crm().list(Deals)[0].id.clone());
        rig.settle().await?;
        let ana = rig.db.one("SELECT hubspot_id FROM customers WHERE id = 1").await?.ok_or_eyre("no id")?;
        // Somebody gives the deal another contact: the deal's own stamp does not move.
        let client = reqwest::Client::new();
        let url = format!("{}/crm/v4/associations/deals/contacts/batch/archive", rig.crm.base_url());
        let body = serde_json::json!({ "inputs": [{ "from": { "id": deal }, "to": [{ "id": ana }] }] });
        client.post(url).bearer_auth(tidemark_tests::TOKEN).json(&body).send().await?.error_for_status()?;
        rig.crm.crm().associate((Deals, &deal), (Contacts, &bo))?;
        rig.sweep_alone("hubspot.deals").await?;
        rig.settle().await?;
        assert!(rig.crm.crm().list(Deals)[0].associations["contacts"].contains(&ana), "the orders own it: it was put right");
        let drift = rig.drift().await?;
        assert_eq!(drift[0][2..4], ["none".to_owned(), "contact".to_owned()], "{drift:?}");
        Ok(())
    }

    async fn a_sweep_of_agreed_sides_finds_and_writes_nothing(kind) {
        let (rig, _) = with_contacts(kind, PAGES_OF_TWO, 5).await?;
        rig.db.run("INSERT INTO customers (email, first_name, phone, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', '030 12 34', '2026-01-01 00:00:00')").await?;
        rig.settle().await?;
        let rows = "SELECT CAST(id AS TEXT), email, first_name, phone, company, hubspot_id FROM customers ORDER BY id";
        let (before, writes) = (rig.db.rows(rows).await?, rig.crm.crm().counters().writes);
        for _ in 0..10 {
            rig.sweep(CONTACTS).await?;
            rig.push(CONTACTS).await?;
        }
        assert_eq!(rig.db.rows(rows).await?, before);
        assert_eq!(rig.crm.crm().counters().writes, writes);
        assert_eq!(rig.drift().await?, [[""; 5]; 0]);
        assert_eq!(rig.seals(CONTACTS).await?, ["sealed"; 10]);
        Ok(())
    }

    async fn a_sweep_goes_on_where_it_was_interrupted_and_is_sealed(kind) {
        let (rig, ids) = with_contacts(kind, PAGES_OF_TWO, 7).await?;
        rig.crm.crm().recalculate(Contacts, &ids[6], &[("company", "New")])?;
        sweeps::owe(&rig.store, rig.stream(CONTACTS)?.id).await?;
        rig.poll(CONTACTS).await?;
        let before = searches(&rig);
        rig.crm.crm().force_next(held(0));
        rig.crm.crm().force_next(held(0));
        rig.crm.crm().force_next(fails());
        let outcome = rig.sweep_slice(CONTACTS).await?;
        assert!(matches!(&outcome, Outcome::Deferred(words) if words.contains("502")), "{outcome:?}");
        assert_eq!(rig.seals(CONTACTS).await?, ["open"]);
        // Another worker, another day: it goes on behind the last page that was applied.
        let other = rig.second_worker().await?;
        rig.db.run(&format!("UPDATE {} SET sweep_owed_at = 0 WHERE name = '{CONTACTS}'", rig.db.own("tidemark_stream"))).await?;
        handle(&other, Hint { kind: HintKind::Sweep, stream: rig.stream(CONTACTS)?.id }).await;
        assert_eq!(searches(&rig) - before, 3 + 2, "four pages, one of them tried twice");
        assert_eq!(rig.seals(CONTACTS).await?, ["sealed"]);
        rig.read(CONTACTS).await?;
        assert_eq!(rig.db.count("customers WHERE company = 'New'").await?, 1);
        let records = rig.db.one(&format!("SELECT CAST(records AS TEXT) FROM {} WHERE reader = 'sweep'", rig.db.own("tidemark_window"))).await?;
        assert_eq!(records.as_deref(), Some("7"));
        Ok(())
    }

    async fn a_sweep_begun_under_another_mapping_is_abandoned_and_begins_again(kind) {
        let (rig, _) = with_contacts(kind, PAGES_OF_TWO, 5).await?;
        sweeps::owe(&rig.store, rig.stream(CONTACTS)?.id).await?;
        rig.poll(CONTACTS).await?;
        rig.crm.crm().force_next(held(0));
        rig.crm.crm().force_next(fails());
        rig.sweep_slice(CONTACTS).await?;
        rig.db.run(&format!("UPDATE {} SET query_digest = 'another' WHERE reader = 'sweep'", rig.db.own("tidemark_window"))).await?;
        rig.sweep(CONTACTS).await?;
        assert_eq!(rig.seals(CONTACTS).await?, ["the mapping changed while it was read", "sealed"]);
        let records = rig.db.one(&format!("SELECT CAST(records AS TEXT) FROM {} WHERE seal = 'sealed'", rig.db.own("tidemark_window"))).await?;
        assert_eq!(records.as_deref(), Some("5"), "all of it once more");
        Ok(())
    }

    async fn a_sweep_gives_way_to_a_poll(kind) {
        let (rig, _) = with_contacts(kind, PAGES_OF_TWO, 8).await?;
        let id = rig.stream(CONTACTS)?.id;
        let stream = rig.db.own("tidemark_stream");
        sweeps::owe(&rig.store, id).await?;
        assert!(matches!(rig.sweep_slice(CONTACTS).await?, Outcome::Skipped(_)), "the walk that came with it is a poll's, and goes first");
        rig.poll(CONTACTS).await?;
        rig.crm.crm().force_next(held(0));
        rig.crm.crm().force_next(held(2_000));
        let rig = Arc::new(rig);
        let sweeping = Arc::clone(&rig);
        let slice = tokio::spawn(async move { sweeping.sweep_slice(CONTACTS).await });
        let first_page = format!("{} WHERE reader = 'sweep' AND pages > 0", rig.db.own("tidemark_window"));
        deadline::until("the first page is applied", Duration::from_secs(10), || async {
            Ok((rig.db.count(&first_page).await? == 1).then_some(()))
        }).await?;
        rig.db.run(&format!("UPDATE {stream} SET poll_owed_at = 0 WHERE id = {id}")).await?;
        assert!(matches!(slice.await??, Outcome::Done { .. }));
        assert_eq!(rig.seals(CONTACTS).await?, ["open"], "it is not over");
        let hinted = tidemark_store::streams::due_work(&rig.store, 0).await?;
        assert!(hinted.iter().all(|work| work.kind != HintKind::Sweep), "nor hinted while the poll is owed: {hinted:?}");
        rig.poll(CONTACTS).await?;
        rig.sweep(CONTACTS).await?;
        assert_eq!(rig.seals(CONTACTS).await?, ["sealed"]);
        Ok(())
    }

    async fn a_sweep_makes_no_more_than_its_share_of_the_calls(kind) {
        // A thousandth of 900 searches a second, saved up for ten seconds, is nine pages.
        let contacts = "poll = { page_rows_max = 1 }\nsweep = { share = 0.001 }";
        let (rig, _) = with_contacts(kind, contacts, 15).await?;
        sweeps::owe(&rig.store, rig.stream(CONTACTS)?.id).await?;
        rig.poll(CONTACTS).await?;
        let before = searches(&rig);
        rig.sweep_slice(CONTACTS).await?;
        let made = searches(&rig) - before;
        assert!((9..=11).contains(&made), "{made} calls");
        assert_eq!(rig.seals(CONTACTS).await?, ["open"]);
        let ahead = format!("SELECT CAST(sweep_owed_at AS TEXT) FROM {} WHERE name = '{CONTACTS}'", rig.db.own("tidemark_stream"));
        assert!(rig.db.one(&ahead).await?.unwrap_or_default().parse::<i64>()? > rig.store.now().await? + 5_000, "it waits until there is a share again");
        assert!(matches!(rig.poll(CONTACTS).await?, Outcome::Done { .. }), "a poll is not held up by it");
        Ok(())
    }

    async fn the_tick_owes_a_sweep_once_an_interval(kind) {
        let (rig, _) = with_contacts(kind, "sweep = { every = \"1h\" }", 1).await?;
        let stream = rig.db.own("tidemark_stream");
        let tick = async || -> eyre::Result<i64> {
            rig.db.run(&format!("UPDATE {stream} SET due_at = 0")).await?;
            tidemark_scheduler::tick::once(&rig.store, &rig.config.streams, 0.0).await?;
            rig.db.count(&format!("{stream} WHERE sweep_owed_at IS NOT NULL AND walk_owed > 0")).await
        };
        assert_eq!(tick().await?, 0, "the first load has just read everything");
        rig.db.run(&format!("UPDATE {stream} SET loaded_at = loaded_at - 3600000")).await?;
        assert_eq!(tick().await?, 1, "the other stream is swept once a day");
        let begun = format!("SELECT CAST(sweep_begun_at AS TEXT) FROM {stream} WHERE name = '{CONTACTS}'");
        let first = rig.db.one(&begun).await?;
        tick().await?;
        assert_eq!(rig.db.one(&begun).await?, first, "not again while it is owed");
        rig.sweep(CONTACTS).await?;
        assert_eq!(tick().await?, 0, "nor within the interval");
        rig.db.run(&format!("UPDATE {stream} SET sweep_begun_at = sweep_begun_at - 3600000")).await?;
        assert_eq!(tick().await?, 1);
        Ok(())
    }

    async fn a_stream_that_is_never_swept_is_not(kind) {
        let (rig, _) = with_contacts(kind, "sweep = { every = \"never\" }", 1).await?;
        let stream = rig.db.own("tidemark_stream");
        rig.db.run(&format!("UPDATE {stream} SET loaded_at = 1, due_at = 0 WHERE name = '{CONTACTS}'")).await?;
        tidemark_scheduler::tick::once(&rig.store, &rig.config.streams, 0.0).await?;
        assert_eq!(rig.db.count(&format!("{stream} WHERE sweep_owed_at IS NOT NULL")).await?, 0);
        Ok(())
    }

    async fn h7_the_page_of_an_overtaken_sweep_aborts(kind) {
        let (rig, _) = with_contacts(kind, PAGES_OF_TWO, 6).await?;
        let slow = rig.second_worker().await?;
        let hint = Hint { kind: HintKind::Sweep, stream: rig.stream(CONTACTS)?.id };
        sweeps::owe(&rig.store, hint.stream).await?;
        rig.poll(CONTACTS).await?;
        rig.crm.crm().force_next(held(2_500));
        let overtaken = tokio::spawn(async move { handle(&slow, hint).await });
        let held = format!("{} WHERE name = '{CONTACTS}' AND lease_until IS NOT NULL", rig.db.own("tidemark_stream"));
        deadline::until("the slow worker holds the stream", Duration::from_secs(10), || async {
            Ok((rig.db.count(&held).await? == 1).then_some(()))
        }).await?;
        rig.db.run(&format!("UPDATE {} SET lease_until = 1 WHERE name = '{CONTACTS}'", rig.db.own("tidemark_stream"))).await?;
        rig.sweep_slice(CONTACTS).await?;
        let outcome = overtaken.await?;
        assert!(matches!(outcome, Outcome::LeaseLost), "{outcome:?}");
        assert_eq!(rig.seals(CONTACTS).await?, ["sealed"]);
        let records = rig.db.one(&format!("SELECT CAST(records AS TEXT) FROM {} WHERE reader = 'sweep'", rig.db.own("tidemark_window"))).await?;
        assert_eq!(records.as_deref(), Some("6"), "each page counted once");
        Ok(())
    }

    async fn a_sweep_that_sees_none_of_the_linked_records_is_not_sealed(kind) {
        let (rig, _) = with_contacts(kind, "", 3).await?;
        sweeps::owe(&rig.store, rig.stream(CONTACTS)?.id).await?;
        rig.poll(CONTACTS).await?;
        let nothing = serde_json::json!({ "total": 0, "results": [] });
        rig.crm.crm().force_next(ForcedAnswer { status: 200, body: nothing, path_contains: "/contacts/search".into(), ..ForcedAnswer::default() });
        rig.sweep_slice(CONTACTS).await?;
        let seals = rig.seals(CONTACTS).await?;
        assert!(seals[0].contains("saw none of the records that are linked"), "{seals:?}");
        assert_eq!(rig.db.count(&format!("{} WHERE state = 'linked'", rig.db.own("tidemark_link"))).await?, 3);
        Ok(())
    }
}
