//! Recordings: for a while each call keeps its request and response, without anybody's data, and nothing of it when nobody asked.

use eyre::OptionExt;
use serde_json::json;
use tidemark_core::hint::{Hint, HintKind};
use tidemark_core::recording::CALLS_MAX;
use tidemark_sandbox::ForcedAnswer;
use tidemark_store::acts::By;
use tidemark_store::callouts::{self, CalloutRow};
use tidemark_store::recordings;
use tidemark_tests::house::House;
use tidemark_tests::{Rig, Setup, TOKEN, on_both_databases};
use tidemark_worker::{Context, handle};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::calls::recording_worker;

const CONTACTS: &str = "hubspot.contacts";
const BY: By<'_> = By { who: "ana", reason: Some("case 4711") };
/// What was written on either side, and the token: in pieces of six.
const PLANTED: [&str; 7] =
    ["qvortex@acme.test", "Zylinda", "Wupperfeld", "+4930777123", "Glimmerkraft", "zylinda.wupperfeld@shop.test", TOKEN];

/// Somebody in the shop, somebody in the CRM, and a CRM that refuses the first with words that quote.
async fn people(rig: &Rig) -> eyre::Result<()> {
    let record = json!({ "id": "501", "updatedAt": "2026-01-01T00:00:00Z", "properties": {
        "email": "qvortex@acme.test", "firstname": "Zylinda", "lastname": "Wupperfeld", "phone": "+4930777123", "lastmodifieddate": "2026-01-01T00:00:00Z" } });
    let page = json!({ "total": 1, "results": [record] });
    rig.crm.crm().force_next(ForcedAnswer {
        status: 200,
        body: page,
        path_contains: "/search".into(),
        times: 9,
        ..ForcedAnswer::default()
    });
    let refusal = json!({
        "status": "error", "category": "VALIDATION_ERROR", "correlationId": "3f1c2d9a-77aa-4c10-9d5e-0a1b2c3d4e5f",
        "message": "Property \"company\" of Zylinda Wupperfeld is not valid: Glimmerkraft, asked by pat-na1-sandbox",
    });
    rig.crm.crm().force_next(ForcedAnswer {
        status: 400,
        body: refusal,
        path_contains: "/batch/upsert".into(),
        times: 9,
        ..ForcedAnswer::default()
    });
    rig.db
        .run(
            "INSERT INTO customers (email, first_name, last_name, company, email_confirmed_at) VALUES
            ('zylinda.wupperfeld@shop.test', 'Zylinda', 'Wupperfeld', 'Glimmerkraft', '2026-01-01 00:00:00')",
        )
        .await
}

/// A poll and a push, and the calls that were made for them.
async fn work(rig: &Rig, worker: &Context, calls: &mut UnboundedReceiver<CalloutRow>) -> eyre::Result<Vec<CalloutRow>> {
    let stream = rig.stream(CONTACTS)?.id;
    rig.db.run(&format!("UPDATE {} SET poll_owed_at = 0", rig.db.own("tidemark_stream"))).await?;
    handle(worker, Hint { kind: HintKind::Poll, stream }).await;
    // What was refused waits for an edit.
    rig.db.run("UPDATE customers SET phone = COALESCE(phone, '+4930777123') || '4'").await?;
    tidemark_worker::relay_once(worker).await?;
    rig.debts_due(CONTACTS).await?;
    handle(worker, Hint { kind: HintKind::Push, stream }).await;
    let mut made = Vec::new();
    while let Ok(call) = calls.try_recv() {
        made.push(call);
    }
    eyre::ensure!(!made.is_empty(), "no call was made");
    Ok(made)
}

async fn kept(rig: &Rig) -> eyre::Result<Vec<String>> {
    let sql = format!("SELECT request || ' ' || COALESCE(response, '') FROM {} ORDER BY callout_id", rig.db.own("tidemark_tape"));
    Ok(rig.db.rows(&sql).await?.into_iter().flatten().flatten().collect())
}

fn leaked(text: &str) -> Option<String> {
    let text = text.to_lowercase();
    let pieces = PLANTED.iter().flat_map(|planted| {
        let planted = planted.to_lowercase().into_bytes();
        planted.windows(6).map(|piece| String::from_utf8_lossy(piece).into_owned()).collect::<Vec<_>>()
    });
    pieces.into_iter().find(|piece| text.contains(piece))
}

on_both_databases! {
    async fn while_it_runs_each_call_is_kept_without_anybodys_data_and_before_nothing_is(kind) {
        let rig = Rig::start(kind).await?;
        people(&rig).await?;
        let (worker, mut calls) = recording_worker(&rig).await?;
        let before = work(&rig, &worker, &mut calls).await?;
        assert!(before.iter().all(|call| call.tape.is_none()), "nobody asked: {before:#?}");
        assert!(recordings::start(&rig.store, "hubspot", 900_000, BY).await?);
        // The worker that runs already heeds it with its next call.
        let made = work(&rig, &worker, &mut calls).await?;
        assert!(made.iter().all(|call| call.tape.is_some()), "{made:#?}");
        callouts::record(&rig.store, &before).await?;
        callouts::record(&rig.store, &made).await?;
        let kept = kept(&rig).await?;
        assert_eq!(kept.len(), made.len());
        for tape in &kept {
            assert_eq!(leaked(tape), None, "in\n{tape}");
        }
        let all = kept.join("\n");
        for shown in [
            "POST /crm/v3/objects/contacts/search", "authorization: ‹secret›", "content-type: application/json", "\"propertyName\": \"lastmodifieddate\"",
            "\"operator\": \"GTE\"", "\"total\": 1", "\"email\": ‹e-mail 28›", "\"firstname\": ‹text 7", "\"category\": \"VALIDATION_ERROR\"",
            "\"correlationId\": \"3f1c2d9a-77aa-4c10-9d5e-0a1b2c3d4e5f\"", "\"message\": \"Property 'company' of … … is not valid: …, asked by [secret]\"",
        ] {
            assert!(all.contains(shown), "{shown:?} is missing in\n{all}");
        }
        // Each stands with its own call.
        let sql = format!(
            "SELECT c.endpoint FROM {} t JOIN {} c ON c.id = t.callout_id WHERE t.request NOT LIKE c.method || ' ' || c.endpoint || '%'",
            rig.db.own("tidemark_tape"), rig.db.own("tidemark_callout")
        );
        assert_eq!(rig.db.rows(&sql).await?, Vec::<Vec<Option<String>>>::new());
        let act = format!("SELECT who || ': ' || verb || ' ' || subject || ': ' || reason FROM {} ORDER BY id DESC LIMIT 1", rig.db.own("tidemark_act"));
        assert_eq!(rig.db.one(&act).await?.as_deref(), Some("ana: record calls connection hubspot for 900 s: case 4711"));
        Ok(())
    }

    async fn it_ends_by_itself_by_its_number_and_at_once_when_it_is_stopped(kind) {
        let rig = Rig::start(kind).await?;
        people(&rig).await?;
        let (worker, mut calls) = recording_worker(&rig).await?;
        let connection = rig.db.own("tidemark_connection");
        recordings::start(&rig.store, "hubspot", 900_000, BY).await?;
        rig.db.run(&format!("UPDATE {connection} SET record_until = 1")).await?;
        assert_eq!(recordings::running(&rig.store).await?, []);
        assert!(work(&rig, &worker, &mut calls).await?.iter().all(|call| call.tape.is_none()), "it has run out");

        recordings::start(&rig.store, "hubspot", 900_000, BY).await?;
        assert_eq!(recordings::running(&rig.store).await?[0].left, CALLS_MAX);
        rig.db.run(&format!("UPDATE {connection} SET record_left = 1")).await?;
        let made = [work(&rig, &worker, &mut calls).await?, work(&rig, &worker, &mut calls).await?].concat();
        assert!(made.len() > 1 && made.iter().all(|call| call.tape.is_some()));
        // What was under way when the time ran out is kept; beyond the number nothing is.
        rig.db.run(&format!("UPDATE {connection} SET record_until = 1")).await?;
        callouts::record(&rig.store, &made).await?;
        assert_eq!(kept(&rig).await?.len(), 1);
        assert_eq!(rig.db.count(&rig.db.own("tidemark_callout")).await?, i64::try_from(made.len())?);

        recordings::start(&rig.store, "hubspot", 900_000, BY).await?;
        let under_way = work(&rig, &worker, &mut calls).await?;
        assert!(under_way.iter().any(|call| call.tape.is_some()));
        assert!(recordings::stop(&rig.store, "hubspot", BY).await?);
        callouts::record(&rig.store, &under_way).await?;
        assert_eq!(kept(&rig).await?.len(), 1, "it was stopped before these were written down");
        assert!(work(&rig, &worker, &mut calls).await?.iter().all(|call| call.tape.is_none()));
        assert!(!recordings::stop(&rig.store, "hubspot", BY).await?, "none runs");
        assert!(!recordings::start(&rig.store, "nobody", 900_000, BY).await?);
        let acts = format!("{} WHERE verb IN ('record calls', 'stop recording calls')", rig.db.own("tidemark_act"));
        assert_eq!(rig.db.count(&acts).await?, 4);
        Ok(())
    }

    async fn what_was_kept_goes_within_a_day_and_with_its_call(kind) {
        let rig = Rig::start(kind).await?;
        let now = rig.store.now().await?;
        let (callouts, tapes) = (rig.db.own("tidemark_callout"), rig.db.own("tidemark_tape"));
        for nth in 1..=3 {
            rig.db.run(&format!("INSERT INTO {callouts} (id, connection, purpose, attempt, method, endpoint, items, elapsed_ms) VALUES ({nth}, 'hubspot', 'poll', 1, 'GET', '/x', 1, 1)")).await?;
            rig.db.run(&format!("INSERT INTO {tapes} (callout_id, request, at) VALUES ({nth}, 'GET /x', {now} - {nth} * 30000000)")).await?;
        }
        rig.db.run(&format!("DELETE FROM {callouts} WHERE id = 1")).await?;
        assert_eq!(recordings::prune(&rig.store, now - 86_400_000).await?, 2);
        assert_eq!(rig.db.rows(&format!("SELECT CAST(callout_id AS TEXT) FROM {tapes}")).await?, [[Some("2".to_owned())]]);
        assert_eq!(recordings::prune(&rig.store, now - 86_400_000).await?, 0);
        Ok(())
    }

    async fn on_call_records_looks_and_stops_on_the_command_line(kind) {
        let house = House::open(kind, Setup::default(), &[]).await?;
        let rig = &house.rig;
        people(rig).await?;
        let ended = house.tidemark(&["calls", "--record", "hubspot", "--for", "61m"]).await?;
        assert!(ended.code == Some(1) && ended.stderr.contains("for an hour at most"), "{}", ended.stderr);
        let ended = house.tidemark(&["calls", "--record", "nobody"]).await?;
        assert!(ended.code == Some(1) && ended.stderr.contains("there is no connection nobody: the configuration has hubspot"), "{}", ended.stderr);
        assert_eq!(recordings::running(&rig.store).await?, []);
        let said = house.tidemark(&["calls", "--record", "hubspot", "--for", "15m", "--reason", "case 4711"]).await?.good()?;
        assert!(said.contains("hubspot: each call keeps its request and response until "), "{said}");
        let running = recordings::running(&rig.store).await?;
        assert!(running.len() == 1 && (890_000..=900_000).contains(&(running[0].until - running[0].now)), "{running:?}");

        let (worker, mut calls) = recording_worker(rig).await?;
        callouts::record(&rig.store, &work(rig, &worker, &mut calls).await?).await?;
        let said = house.tidemark(&["calls", "hubspot", "--json"]).await?.good()?;
        let listed: serde_json::Value = serde_json::from_str(&said)?;
        assert_eq!(listed["recordings"][0]["connection"], "hubspot");
        let search = listed["calls"].as_array().ok_or_eyre("no list")?.iter().find(|call| call["endpoint"].as_str().is_some_and(|path| path.ends_with("/search")));
        let number = search.and_then(|call| call["id"].as_i64()).ok_or_eyre("no search")?.to_string();
        let said = house.tidemark(&["calls", "--show", &number]).await?.good()?;
        for shown in ["POST /crm/v3/objects/contacts/search", "authorization: ‹secret›", "\"results\": ["] {
            assert!(said.contains(shown), "{shown:?} is missing in\n{said}");
        }
        assert_eq!(leaked(&said), None, "{said}");
        assert!(house.tidemark(&["calls", "--failed"]).await?.good()?.contains("rejected"));

        assert!(house.tidemark(&["calls", "--stop", "hubspot"]).await?.good()?.contains("nothing more is kept"));
        assert!(house.tidemark(&["calls", "--stop", "hubspot"]).await?.good()?.contains("no recording runs"));
        assert_eq!(house.tidemark(&["calls", "--show", "999999"]).await?.code, Some(1));
        Ok(())
    }

    async fn who_is_erased_is_in_nothing_that_was_kept(kind) {
        let house = House::open(kind, Setup::default(), &[]).await?;
        let rig = &house.rig;
        people(rig).await?;
        recordings::start(&rig.store, "hubspot", 900_000, BY).await?;
        let (worker, mut calls) = recording_worker(rig).await?;
        let made = work(rig, &worker, &mut calls).await?;
        callouts::record(&rig.store, &made).await?;
        assert!(!kept(rig).await?.is_empty());
        let key = rig.db.one("SELECT CAST(id AS TEXT) FROM customers WHERE email = 'zylinda.wupperfeld@shop.test'").await?.ok_or_eyre("no row")?;
        house.tidemark(&["erase", CONTACTS, &key]).await?.good()?;
        assert_eq!(kept(rig).await?, Vec::<String>::new());
        Ok(())
    }
}
