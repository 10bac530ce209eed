//! One-way streams: each change is told once under a key of its own, nothing is told that did not change, nothing is lost, and the address stays a secret.

use serde_json::json;
use tidemark_core::hint::HintKind;
use tidemark_sandbox::hooks::{Heard, HookAnswer, Signature};
use tidemark_tests::hook_rig::{HookRig, HookSetup, MAKER_SECRET, SECRETS, catch_path};
use tidemark_tests::on_both_databases;
use tidemark_worker::Outcome;

const ORDERS: &str = "zap.orders";
const CUSTOMERS: &str = "maker.customer_changed";
const TELLS_DELETES: &str = "deletes = { outbound = \"tell\" }";

/// An order that is sent.
async fn order(rig: &HookRig, number: &str) -> eyre::Result<()> {
    rig.db.run(&format!("INSERT INTO orders (number, status, total_cents) VALUES ('{number}', 'accepted', 1250)")).await
}

fn of(heard: &Heard, field: &str) -> String {
    heard.body["fields"][field].as_str().unwrap_or_default().to_owned()
}

/// Event and number of everything that a receiver takes.
fn events(rig: &HookRig) -> Vec<(String, String)> {
    rig.receiver.taken().iter().map(|heard| (heard.event.clone(), of(heard, "number"))).collect()
}

fn told(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(event, number)| ((*event).to_owned(), (*number).to_owned())).collect()
}

/// Delivers until nothing waits any more.
async fn settle(rig: &HookRig, name: &str) -> eyre::Result<()> {
    for _ in 0..20 {
        rig.due().await?;
        rig.deliver(name).await?;
        if rig.debts("waiting").await? == 0 {
            return Ok(());
        }
    }
    eyre::bail!("something waits after 20 rounds")
}

on_both_databases! {
    async fn a_row_that_is_made_edited_and_deleted_is_told_once_each(kind) {
        let mut rig = HookRig::with(kind, HookSetup { stream: TELLS_DELETES, signed: true, ..HookSetup::default() }).await?;
        order(&rig, "A1").await?;
        rig.deliver(ORDERS).await?;
        rig.db.run("UPDATE orders SET status = 'shipped' WHERE number = 'A1'").await?;
        rig.deliver(ORDERS).await?;
        // A save that changes nothing is no news.
        rig.db.run("UPDATE orders SET status = 'shipped', hubspot_id = 'x' WHERE number = 'A1'").await?;
        rig.deliver(ORDERS).await?;
        rig.db.run("DELETE FROM orders WHERE number = 'A1'").await?;
        rig.deliver(ORDERS).await?;
        rig.deliver(ORDERS).await?;
        assert_eq!(events(&rig), told(&[("created", "A1"), ("updated", "A1"), ("deleted", "A1")]));
        let heard = rig.receiver.heard();
        assert_eq!(heard.len(), 3, "nothing was said twice: {heard:?}");
        assert!(heard.iter().all(|one| one.signature == Signature::Good && one.path == catch_path() && !one.authorized));
        let second = &heard[1];
        let id = second.body["row_key"].clone();
        let expect = json!({ "event": "updated", "stream": ORDERS, "row_key": id, "idempotency_key": second.key,
            "occurred_at": second.body["occurred_at"], "fields": { "number": "A1", "status": "shipped", "total": "12.50" } });
        assert_eq!(second.body, expect);
        assert!(second.body["occurred_at"].as_str().is_some_and(|at| at.ends_with('Z') && at.len() == 24));
        let calls = rig.calls().await?;
        assert!(calls.iter().all(|call| call.endpoint == "/hooks/catch/…" && call.purpose == "push"), "{calls:?}");
        assert_eq!(rig.agree(ORDERS).await?.differ, 0);
        Ok(())
    }

    async fn changes_that_come_faster_than_they_are_told_are_one_event(kind) {
        let rig = HookRig::start(kind).await?;
        order(&rig, "A1").await?;
        for cents in [100, 200, 300] {
            rig.db.run(&format!("UPDATE orders SET total_cents = {cents}")).await?;
        }
        rig.deliver(ORDERS).await?;
        let taken = rig.receiver.taken();
        assert_eq!(taken.len(), 1);
        assert_eq!((taken[0].event.as_str(), of(&taken[0], "total").as_str()), ("created", "3.00"));
        // There and back again is nothing.
        rig.db.run("UPDATE orders SET total_cents = 999").await?;
        rig.db.run("UPDATE orders SET total_cents = 300").await?;
        rig.deliver(ORDERS).await?;
        assert_eq!(rig.receiver.heard().len(), 1);
        Ok(())
    }

    async fn what_is_told_again_because_no_answer_came_has_the_same_key(kind) {
        let rig = HookRig::start(kind).await?;
        for answer in [HookAnswer::Lost, HookAnswer::Masked] {
            rig.receiver.next([answer]);
        }
        order(&rig, "A1").await?;
        settle(&rig, ORDERS).await?;
        let keys: Vec<String> = rig.receiver.heard().into_iter().map(|heard| heard.key).collect();
        assert_eq!(keys.len(), 3);
        assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
        assert_eq!(rig.receiver.taken().len(), 1, "whoever looks at the key was told once");
        // The same content, later, is another delivery.
        for cents in [1, 1250] {
            rig.db.run(&format!("UPDATE orders SET total_cents = {cents}")).await?;
            settle(&rig, ORDERS).await?;
        }
        assert_eq!(rig.receiver.taken().len(), 3);
        Ok(())
    }

    async fn a_change_that_may_have_been_heard_is_taken_back_aloud(kind) {
        let rig = HookRig::start(kind).await?;
        order(&rig, "A1").await?;
        rig.deliver(ORDERS).await?;
        rig.receiver.next([HookAnswer::Lost]);
        rig.db.run("UPDATE orders SET total_cents = 999").await?;
        rig.deliver(ORDERS).await?;
        rig.db.run("UPDATE orders SET total_cents = 1250").await?;
        settle(&rig, ORDERS).await?;
        let totals: Vec<String> = rig.receiver.taken().iter().map(|heard| of(heard, "total")).collect();
        assert_eq!(totals, ["12.50", "9.99", "12.50"], "the receiver ends with what the row holds");
        Ok(())
    }

    async fn a_hook_that_is_gone_pauses_its_stream_and_loses_nothing(kind) {
        let rig = HookRig::start(kind).await?;
        rig.receiver.always(Some(HookAnswer::Status(410)));
        order(&rig, "A1").await?;
        order(&rig, "A2").await?;
        rig.deliver(ORDERS).await?;
        assert_eq!(rig.receiver.heard().len(), 1, "nobody is asked again");
        assert_eq!(rig.of_stream("state", ORDERS).await?, "paused");
        let reason = rig.of_stream("reason", ORDERS).await?;
        assert!(reason.starts_with("needs a person") && reason.contains("410") && reason.contains("tidemark resume zap.orders"), "{reason}");
        assert_eq!(rig.of_stream("state", CUSTOMERS).await?, "running");
        order(&rig, "A3").await?;
        rig.due().await?;
        rig.deliver(ORDERS).await?;
        assert_eq!(rig.receiver.heard().len(), 1);
        rig.receiver.always(None);
        rig.go(ORDERS).await?;
        settle(&rig, ORDERS).await?;
        assert_eq!(events(&rig), told(&[("created", "A1"), ("created", "A2"), ("created", "A3")]));
        Ok(())
    }

    async fn whoever_asks_us_to_wait_is_waited_for(kind) {
        let rig = HookRig::start(kind).await?;
        rig.receiver.next([HookAnswer::Throttled(30)]);
        order(&rig, "A1").await?;
        rig.deliver(ORDERS).await?;
        let now = rig.store.now().await?;
        let due = rig.db.one(&format!("SELECT CAST(due_at AS TEXT) FROM {}", rig.db.own("tidemark_debt"))).await?;
        assert!(due.unwrap_or_default().parse::<i64>()? > now + 25_000);
        settle(&rig, ORDERS).await?;
        assert_eq!(events(&rig), told(&[("created", "A1")]));
        Ok(())
    }

    async fn a_key_that_is_refused_pauses_the_connection_and_is_repeated_nowhere(kind) {
        let mut rig = HookRig::start(kind).await?;
        rig.db.run("INSERT INTO customers (email) VALUES ('ana@acme.test')").await?;
        rig.deliver(CUSTOMERS).await?;
        assert_eq!(rig.receiver.taken()[0].body["value1"], "created");
        assert_eq!(rig.receiver.taken()[0].path, format!("/trigger/customer_changed/json/with/key/{MAKER_SECRET}"));
        rig.receiver.next([HookAnswer::Status(401)]);
        rig.db.run("UPDATE customers SET email = 'bo@acme.test'").await?;
        rig.deliver(CUSTOMERS).await?;
        let connections = rig.db.own("tidemark_connection");
        let state = rig.db.one(&format!("SELECT state FROM {connections} WHERE name = 'maker'")).await?;
        assert_eq!(state.as_deref(), Some("paused"));
        tidemark_store::connections::set_state(&rig.store, "maker", "running", None).await?;
        settle(&rig, CUSTOMERS).await?;
        assert_eq!(rig.receiver.taken().len(), 2);
        let calls = rig.calls().await?;
        assert!(calls.iter().any(|call| call.endpoint == "/trigger/customer_changed/json/with/key/…"), "{calls:?}");
        Ok(())
    }

    async fn a_row_that_nobody_takes_waits_alone_and_comes_back_by_its_own_change(kind) {
        let rig = HookRig::with(kind, HookSetup { body_bytes_max: Some(2_000), ..HookSetup::default() }).await?;
        let long = "x".repeat(3_000);
        order(&rig, &long).await?;
        order(&rig, "A2").await?;
        rig.deliver(ORDERS).await?;
        assert_eq!(events(&rig), told(&[("created", "A2")]));
        assert_eq!(rig.debts("parked").await?, 1);
        assert_eq!(rig.agree(ORDERS).await?.differ, 1, "it was not told");
        rig.db.run(&format!("UPDATE orders SET number = 'A1' WHERE number = '{long}'")).await?;
        settle(&rig, ORDERS).await?;
        assert_eq!(events(&rig), told(&[("created", "A2"), ("created", "A1")]));
        // What the mapping itself refuses never leaves.
        rig.db.run("INSERT INTO customers (email) VALUES ('no address')").await?;
        rig.deliver(CUSTOMERS).await?;
        assert_eq!((rig.debts("parked").await?, rig.receiver.taken().len()), (1, 2));
        rig.db.run("UPDATE customers SET email = 'ana@acme.test'").await?;
        settle(&rig, CUSTOMERS).await?;
        assert_eq!((rig.debts("parked").await?, rig.receiver.taken().len()), (0, 3));
        Ok(())
    }

    async fn a_text_that_is_to_be_json_and_is_none_parks_its_row(kind) {
        let stream = "payload = { what = \"$event\", total = \"$json.total\", number = \"$json.number\" }";
        let rig = HookRig::with(kind, HookSetup { stream, ..HookSetup::default() }).await?;
        order(&rig, "A1").await?;
        rig.deliver(ORDERS).await?;
        assert_eq!((rig.receiver.heard().len(), rig.debts("parked").await?), (0, 1));
        rig.db.run("UPDATE orders SET number = '7'").await?;
        settle(&rig, ORDERS).await?;
        assert_eq!(rig.receiver.taken()[0].body, json!({ "what": "created", "total": 12.5, "number": 7 }));
        Ok(())
    }

    async fn rows_that_are_there_at_the_start_fire_nothing(kind) {
        let before = "INSERT INTO orders (number, status) VALUES ('old1', 'accepted'), ('old2', 'accepted'), ('draft', 'draft')";
        let rig = HookRig::with(kind, HookSetup { before, waits: true, ..HookSetup::default() }).await?;
        // Edited and made while the plan waits: all of it is there when somebody says go.
        rig.db.run("UPDATE orders SET total_cents = 1 WHERE number = 'old1'").await?;
        order(&rig, "old3").await?;
        rig.deliver(ORDERS).await?;
        rig.go(ORDERS).await?;
        // Made after the go and before anybody has looked at the rows.
        order(&rig, "new1").await?;
        rig.deliver(ORDERS).await?;
        assert_eq!(events(&rig), told(&[("created", "new1")]));
        rig.turn(ORDERS).await?;
        settle(&rig, ORDERS).await?;
        assert_eq!(events(&rig), told(&[("created", "new1")]));
        assert_eq!(rig.agree(ORDERS).await?.differ, 0);
        rig.db.run("UPDATE orders SET total_cents = 2 WHERE number = 'old1'").await?;
        rig.db.run("UPDATE orders SET status = 'accepted' WHERE number = 'draft'").await?;
        settle(&rig, ORDERS).await?;
        let mut events = events(&rig);
        events[1..].sort();
        assert_eq!(events, told(&[("created", "new1"), ("created", "draft"), ("updated", "old1")]));
        Ok(())
    }

    async fn rows_that_are_there_are_told_where_the_mapping_says_so_as_far_as_the_brake_lets_them(kind) {
        let before = "INSERT INTO orders (number, status) VALUES ('a', 'accepted'), ('b', 'accepted'), ('c', 'accepted')";
        let stream = "existing = \"send\"\nbrakes.create = { count = 2, share = 0.0 }";
        let rig = HookRig::with(kind, HookSetup { before, stream, ..HookSetup::default() }).await?;
        rig.deliver(ORDERS).await?;
        assert_eq!((rig.receiver.taken().len(), rig.debts("parked").await?), (2, 1));
        Ok(())
    }

    async fn a_worker_that_dies_after_its_call_is_followed_by_one_that_tells_the_same_under_the_same_key(kind) {
        let rig = HookRig::start(kind).await?;
        // The first worker's call is cut short by its own end: the answer takes longer than it lives.
        rig.receiver.next([HookAnswer::Slow(60_000)]);
        order(&rig, "A1").await?;
        tidemark_worker::relay_once(&rig.ctx).await?;
        let dying = rig.second_worker().await?;
        let heard = tidemark_tests::deadline::until("it is heard", std::time::Duration::from_secs(20), || async {
            Ok((!rig.receiver.heard().is_empty()).then_some(()))
        });
        tokio::select! {
            outcome = rig.job_by(&dying, HintKind::Push, ORDERS) => eyre::bail!("the call ended: {outcome:?}"),
            heard = heard => heard?,
        }
        let debts = rig.db.own("tidemark_debt");
        assert_eq!(rig.db.count(&format!("{debts} WHERE lease_fence IS NOT NULL")).await?, 1, "its lease stands");
        rig.db.run(&format!("UPDATE {debts} SET lease_until = 0")).await?;
        rig.db.run(&format!("UPDATE {} SET push_until = 0", rig.db.own("tidemark_link"))).await?;
        rig.deliver(ORDERS).await?;
        let keys: Vec<String> = rig.receiver.heard().into_iter().map(|heard| heard.key).collect();
        assert_eq!((keys.len(), keys.first() == keys.last()), (2, true), "{keys:?}");
        assert_eq!(rig.receiver.taken().len(), 1);
        Ok(())
    }

    async fn a_row_that_comes_back_is_made_again_where_its_end_was_told(kind) {
        let rig = HookRig::with(kind, HookSetup { stream: TELLS_DELETES, ..HookSetup::default() }).await?;
        for _ in 0..2 {
            rig.db.run("INSERT INTO orders (id, number, status) VALUES (7, 'A1', 'accepted')").await?;
            settle(&rig, ORDERS).await?;
            rig.db.run("DELETE FROM orders").await?;
            settle(&rig, ORDERS).await?;
        }
        let events: Vec<String> = rig.receiver.taken().into_iter().map(|heard| heard.event).collect();
        assert_eq!(events, ["created", "deleted", "created", "deleted"], "each under a key of its own");
        Ok(())
    }

    async fn a_row_whose_end_was_not_told_goes_on_as_it_was_told(kind) {
        let rig = HookRig::start(kind).await?;
        rig.db.run("INSERT INTO orders (id, number, status) VALUES (7, 'A1', 'accepted')").await?;
        settle(&rig, ORDERS).await?;
        rig.db.run("DELETE FROM orders").await?;
        settle(&rig, ORDERS).await?;
        rig.db.run("INSERT INTO orders (id, number, status) VALUES (7, 'A1', 'accepted')").await?;
        settle(&rig, ORDERS).await?;
        assert_eq!(rig.receiver.heard().len(), 1, "nothing differs from what was told");
        rig.db.run("UPDATE orders SET status = 'shipped'").await?;
        settle(&rig, ORDERS).await?;
        assert_eq!(events(&rig), told(&[("created", "A1"), ("updated", "A1")]));
        Ok(())
    }

    async fn what_no_trigger_told_is_found_by_comparing_and_a_changed_template_sends_nothing(kind) {
        let rig = HookRig::start(kind).await?;
        order(&rig, "A1").await?;
        settle(&rig, ORDERS).await?;
        rig.db.run("UPDATE orders SET total_cents = 5").await?;
        rig.db.run(&format!("DELETE FROM {}", rig.db.own("tidemark_change"))).await?;
        tidemark_store::streams::owe_walk(&rig.store, rig.stream(ORDERS)?.id).await?;
        rig.turn(ORDERS).await?;
        settle(&rig, ORDERS).await?;
        assert_eq!(events(&rig), told(&[("created", "A1"), ("updated", "A1")]));
        tidemark_store::sweeps::owe(&rig.store, rig.stream(ORDERS)?.id).await?;
        rig.turn(ORDERS).await?;
        assert!(matches!(rig.job_by(&rig.ctx, HintKind::Sweep, ORDERS).await?, Outcome::Done { .. }));
        assert_eq!(rig.of_stream("sweep_owed_at", ORDERS).await?, "");
        assert_eq!(rig.receiver.heard().len(), 2);
        let quiet = tidemark_store::streams::quiet(&rig.store).await?;
        assert!(quiet.is_quiet_since(rig.store.now().await?), "{quiet:?}");
        Ok(())
    }

    async fn a_redirect_is_not_followed(kind) {
        let rig = HookRig::start(kind).await?;
        rig.receiver.next([HookAnswer::Redirect("http://192.0.2.1/elsewhere".into())]);
        order(&rig, "A1").await?;
        rig.deliver(ORDERS).await?;
        assert_eq!(rig.receiver.heard().len(), 1);
        let cause = rig.db.one(&format!("SELECT cause FROM {}", rig.db.own("tidemark_debt"))).await?.unwrap_or_default();
        assert!(cause.contains("redirects to 192.0.2.1"), "{cause}");
        settle(&rig, ORDERS).await?;
        assert_eq!(rig.receiver.taken().len(), 1);
        Ok(())
    }

    async fn three_values_go_by_the_older_path(kind) {
        let instead = &[("secret.key = { env = \"MAKER_KEY\" }", "secret.key = { env = \"MAKER_KEY\" }\nsettings.form = \"values\"")];
        let rig = HookRig::with(kind, HookSetup { instead, ..HookSetup::default() }).await?;
        rig.db.run("INSERT INTO customers (email) VALUES ('ana@acme.test')").await?;
        rig.deliver(CUSTOMERS).await?;
        let taken = rig.receiver.taken();
        assert_eq!(taken[0].path, format!("/trigger/customer_changed/with/key/{MAKER_SECRET}"));
        assert_eq!(taken[0].body["value2"], "ana@acme.test");
        Ok(())
    }

    async fn no_secret_is_in_anything_that_is_kept(kind) {
        let mut rig = HookRig::with(kind, HookSetup { stream: TELLS_DELETES, signed: true, ..HookSetup::default() }).await?;
        let all = [
            HookAnswer::Status(404), HookAnswer::Status(401), HookAnswer::Status(500), HookAnswer::Status(413), HookAnswer::Throttled(1),
            HookAnswer::Lost, HookAnswer::Masked, HookAnswer::Redirect(rig.receiver.base_url() + &catch_path()), HookAnswer::Slow(3_000),
        ];
        for (at, answer) in all.into_iter().enumerate() {
            rig.receiver.next([answer]);
            order(&rig, &format!("A{at}")).await?;
            rig.db.run(&format!("INSERT INTO customers (email) VALUES ('a{at}@acme.test')")).await?;
            for name in [ORDERS, CUSTOMERS] {
                rig.due().await?;
                rig.deliver(name).await?;
                rig.go(name).await?;
            }
            for connection in ["zap", "maker"] {
                tidemark_store::connections::set_state(&rig.store, connection, "running", None).await?;
            }
        }
        let calls = rig.calls().await?;
        assert!(calls.len() > 10 && calls.iter().any(|call| call.message.is_some()));
        let everything = format!("{}{:?}{:?}{:?}", rig.everything().await?, calls, rig.ctx, rig.stream(ORDERS)?);
        assert!(everything.contains("delivering row"), "the search looks where causes are");
        for secret in SECRETS {
            assert!(!everything.contains(secret), "{secret} in {everything}");
        }
        Ok(())
    }
}
