//! The report on how well a CRM answered: it counts what was recorded, says the same once hours were counted, and outlives the calls.

use std::time::Duration;

use eyre::OptionExt;
use tempfile::TempDir;
use tidemark_core::hint::{Hint, HintKind};
use tidemark_core::reliability::Report;
use tidemark_sandbox::ForcedAnswer;
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_store::callouts::{self, CalloutRow};
use tidemark_store::reliability::{count_hours, look, prune};
use tidemark_tests::{Kind, Rig, TOKEN, on_both_databases, processes};
use tidemark_worker::handle;

use crate::calls::recording_worker;

const HOUR: i64 = 3_600_000;

fn call(endpoint: &str, attempt: u32, status: Option<u16>, at: i64) -> CalloutRow {
    let class = status.is_none_or(|status| status >= 500).then_some("retry");
    CalloutRow {
        connection: "hubspot".into(),
        stream: None,
        purpose: "poll",
        attempt,
        method: "POST",
        endpoint: endpoint.into(),
        items: 100,
        status,
        class,
        message: None,
        elapsed_ms: 40,
        quota_left: Some(1_000 - at % 7),
        at,
        tape: None,
    }
}

/// The report without the moment at which it was made.
async fn of_a_week(rig: &Rig) -> eyre::Result<Report> {
    let report = look(&rig.store, Some("hubspot"), rig.store.now().await? - 7 * 24 * HOUR).await?;
    Ok(Report { until: 0, since: 0, ..report })
}

on_both_databases! {
    async fn counted_hours_say_what_their_calls_said_and_outlive_them(kind) {
        let rig = Rig::start(kind).await?;
        let now = rig.store.now().await?;
        let begun = (now - 5 * HOUR) / HOUR * HOUR;
        let mut calls = Vec::new();
        // An outage over the turn of an hour, another endpoint that answers meanwhile, and what was only just called.
        for minute in 0..150 {
            let at = begun + minute * 60_000;
            let failed = (55..=64).contains(&minute);
            calls.push(call("/search", if (56..=65).contains(&minute) { u32::try_from(minute - 54)? } else { 1 }, (!failed).then_some(200), at));
            calls.push(call("/upsert", 1, Some(if minute == 149 { 503 } else { 200 }), at + 1));
        }
        calls.push(call("/search", 1, Some(200), now - 1));
        callouts::record(&rig.store, &calls).await?;
        let before = of_a_week(&rig).await?;
        let hubspot = before.connections.first().ok_or_eyre("no report")?;
        assert_eq!((hubspot.whole.calls, hubspot.whole.first_tries, hubspot.whole.first_try_successes), (301, 291, 289));
        assert_eq!(hubspot.whole.cured.iter().map(|cured| (cured.retries, cured.calls)).collect::<Vec<_>>(), [(10, 1)], "over the turn of the hour");
        let search = hubspot.endpoints.iter().find(|endpoint| endpoint.endpoint == "POST /search").ok_or_eyre("no search")?;
        let outage = search.measures.longest_outage.ok_or_eyre("no outage")?;
        assert_eq!((outage.from, outage.until, outage.calls), (begun + 55 * 60_000 - 40, begun + 65 * 60_000, 10));
        assert_eq!(hubspot.whole.longest_outage.map(|run| run.calls), Some(1), "something got through all the time");

        let other = rig.second_store().await?;
        let (one, two) = tokio::join!(count_hours(&rig.store), count_hours(&other));
        assert_eq!(one? + two?, 3, "each hour that is over was counted once, by one of two");
        assert_eq!(count_hours(&rig.store).await?, 0);
        assert_eq!(of_a_week(&rig).await?, before);
        // The calls go; what they came to stays.
        while callouts::prune(&rig.store, now - HOUR).await? > 0 {}
        assert_eq!(rig.db.count(&rig.db.own("tidemark_callout")).await?, 1);
        assert_eq!(of_a_week(&rig).await?, before);
        // And goes in its turn.
        assert!(prune(&rig.store, begun + HOUR).await? > 0);
        let later = of_a_week(&rig).await?;
        assert_eq!(later.connections.first().map(|one| one.whole.calls), Some(301 - 120));
        Ok(())
    }

    async fn an_hour_is_counted_when_it_is_over_and_its_calls_are_written(kind) {
        let rig = Rig::start(kind).await?;
        let now = rig.store.now().await?;
        callouts::record(&rig.store, &[call("/search", 1, Some(200), now)]).await?;
        assert_eq!(count_hours(&rig.store).await?, 0, "it is not over");
        // A late call of an hour that nobody has counted is counted with it.
        let hour = (now - 3 * HOUR) / HOUR * HOUR;
        callouts::record(&rig.store, &[call("/search", 1, Some(200), hour)]).await?;
        assert_eq!(count_hours(&rig.store).await?, 1);
        let mark = rig.db.one(&format!("SELECT value FROM {} WHERE name = 'calls are counted until'", rig.db.own("tidemark_meta"))).await?;
        assert_eq!(mark, Some((hour + HOUR).to_string()));
        Ok(())
    }

    async fn the_report_tells_first_tries_what_was_cured_and_what_was_not(kind) {
        let rig = Rig::start(kind).await?;
        rig.crm.crm().create(Contacts, &[("email", "ana@acme.test")])?;
        let (worker, mut calls) = recording_worker(&rig).await?;
        rig.crm.crm().force_next(ForcedAnswer { status: 502, path_contains: "/search".into(), times: 2, ..ForcedAnswer::default() });
        let stream = rig.stream("hubspot.contacts")?.id;
        for _ in 0..3 {
            rig.db.run(&format!("UPDATE {} SET poll_owed_at = 0", rig.db.own("tidemark_stream"))).await?;
            handle(&worker, Hint { kind: HintKind::Poll, stream }).await;
        }
        rig.crm.crm().force_next(ForcedAnswer { status: 503, path_contains: "/batch/upsert".into(), times: 1, ..ForcedAnswer::default() });
        rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('bo@acme.test', 'Bo', '2026-01-01 00:00:00')").await?;
        tidemark_worker::relay_once(&worker).await?;
        handle(&worker, Hint { kind: HintKind::Push, stream }).await;
        let mut made = Vec::new();
        while let Ok(call) = calls.try_recv() {
            made.push(call);
        }
        callouts::record(&rig.store, &made).await?;
        let report = look(&rig.store, None, 0).await?;
        let hubspot = report.connections.first().ok_or_eyre("no report")?;
        let cured: Vec<_> = hubspot.whole.cured.iter().map(|cured| (cured.retries, cured.calls)).collect();
        assert_eq!(cured, [(2, 1)]);
        let failed: Vec<_> = hubspot.whole.failed.iter().map(|ended| (ended.status, ended.first_tries, ended.retries)).collect();
        assert_eq!(failed, [(Some(502), 1, 1), (Some(503), 1, 0)]);
        let uncured: Vec<_> = hubspot.uncured.iter().map(|thing| (thing.stream.as_str(), thing.work.as_str(), thing.things, thing.parked)).collect();
        assert_eq!(uncured, [("hubspot.contacts", "push", 1, false)]);

        let folder = TempDir::new()?;
        std::fs::write(folder.path().join("tidemark.toml"), &rig.text)?;
        let tidemark = async |args: &[&str]| {
            let args: Vec<&str> = ["reliability"].iter().chain(args).copied().collect();
            processes::run(processes::command(folder.path(), &[("HUBSPOT_TOKEN", TOKEN)], &args)?, Duration::from_secs(30)).await
        };
        let said = tidemark(&["hubspot"]).await?.good()?;
        for words in ["First try: ", "Cured by trying again: ", "POST /crm/v3/objects/contacts/search", "Not cured yet", "its next attempt", "Retries until cured"] {
            assert!(said.contains(words), "{words:?} is missing in:\n{said}");
        }
        let said = tidemark(&["--since", "1h", "--markdown"]).await?.good()?;
        assert!(said.starts_with("# Reliability of the CRMs\n") && said.contains("| retry | 502 | 1 | 1 |"), "{said}");
        let told: serde_json::Value = serde_json::from_str(&tidemark(&["--json"]).await?.good()?)?;
        assert_eq!(told["connections"][0]["whole"]["failed"][0]["status"], 502, "{told}");
        let ended = tidemark(&["nothing"]).await?;
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.contains("there is no connection nothing: the configuration has hubspot"), "{}", ended.stderr);
        Ok(())
    }
}

/// What a person waits for although nothing fails is none of the CRM's doing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_person_by_our_own_rules_is_not_held_against_the_crm() -> eyre::Result<()> {
    let rig = Rig::start(Kind::Sqlite).await?;
    let debts = rig.db.own("tidemark_debt");
    for (subject, class, state) in
        [("1", "brake_update", "parked"), ("2", "rejected", "parked"), ("3", "retry", "waiting"), ("4", "parent", "parent")]
    {
        rig.db.run(&format!("INSERT INTO {debts} (stream_id, kind, subject, state, class, attempts, cause) VALUES (1, 'push', '{subject}', '{state}', '{class}', 1, 'x')")).await?;
    }
    rig.db
        .run(&format!("UPDATE {} SET sweep_attempts = 2, sweep_error = 'no answer' WHERE id = 1", rig.db.own("tidemark_stream")))
        .await?;
    let report = look(&rig.store, Some("hubspot"), 0).await?;
    let told: Vec<_> =
        report.connections[0].uncured.iter().map(|one| (one.work.as_str(), one.class.as_deref(), one.parked)).collect();
    assert_eq!(told, [("push", Some("rejected"), true), ("push", Some("retry"), false), ("sweep", None, false)]);
    Ok(())
}
