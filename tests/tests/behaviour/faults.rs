//! What a CRM can answer on a bad day: each fault ends in a clear word, and nothing is lost.

use std::time::Duration;

use serde_json::{Value, json};
use tidemark_core::hint::{Hint, HintKind};
use tidemark_sandbox::ForcedAnswer;
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_tests::deadline::until;
use tidemark_tests::{Kind, Rig, Setup, on_both_databases};
use tidemark_worker::{Context, Outcome, handle};

/// Polls into the fault, expects these words in the stream's error, then in calm weather that all arrived.
async fn survives(kind: Kind, fault: ForcedAnswer, words: &str) -> eyre::Result<()> {
    let rig = Rig::start(kind).await?;
    let ctx = rig.ctx.clone();
    ctx_survives(&rig, &ctx, fault, words).await
}

async fn ctx_survives(rig: &Rig, ctx: &Context, fault: ForcedAnswer, words: &str) -> eyre::Result<()> {
    rig.crm.crm().create(Contacts, &[("email", "ana@acme.test"), ("firstname", "Ana")])?;
    // The account is proved before the fault, so that it meets the page itself.
    job(rig, ctx, HintKind::Poll, "hubspot.deals").await?;
    rig.crm.crm().force_next(ForcedAnswer { path_contains: "/contacts/search".into(), ..fault });
    let outcome = job(rig, ctx, HintKind::Poll, "hubspot.contacts").await?;
    assert!(matches!(outcome, Outcome::Deferred(_)), "{outcome:?}");
    let error =
        rig.db.one(&format!("SELECT poll_error FROM {} WHERE name = 'hubspot.contacts'", rig.db.own("tidemark_stream"))).await?;
    let error = error.unwrap_or_default();
    assert!(error.to_lowercase().contains(words), "{error:?} does not say {words:?}");
    assert_eq!(rig.db.count("customers").await?, 0);
    rig.settle().await?;
    assert_eq!(rig.db.count("customers").await?, 1, "nothing was lost");
    Ok(())
}

/// One job by this worker, due now.
async fn job(rig: &Rig, ctx: &Context, kind: HintKind, stream: &str) -> eyre::Result<Outcome> {
    let id = rig.stream(stream)?.id;
    rig.db.run(&format!("UPDATE {} SET poll_owed_at = 0 WHERE id = {id}", rig.db.own("tidemark_stream"))).await?;
    tidemark_worker::relay_once(ctx).await?;
    Ok(handle(ctx, Hint { kind, stream: id }).await)
}

/// A confirmed customer that nobody sent yet.
async fn ana(rig: &Rig) -> eyre::Result<()> {
    rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', '2026-01-01 00:00:00')").await
}

/// Contacts in a CRM that holds no key of ours.
pub(crate) const NO_KEY: &[(&str, &str)] =
    &[("external_key = \"tidemark_key\"\nmatch_on = [\"email\"]", "match_on = [\"email\"]")];

fn html(status: u16) -> ForcedAnswer {
    ForcedAnswer {
        status,
        body: Value::String("<html><body>Bad gateway</body></html>".into()),
        content_type: Some("text/html".into()),
        ..ForcedAnswer::default()
    }
}

on_both_databases! {
    async fn html_instead_of_json(kind) {
        survives(kind, html(200), "html").await
    }

    async fn a_server_error(kind) {
        survives(kind, html(502), "502").await
    }

    async fn truncated_json(kind) {
        survives(kind, ForcedAnswer { status: 200, body: Value::String("{\"total\":1,\"results\":[{\"id\":\"5".into()), ..ForcedAnswer::default() }, "json").await
    }

    async fn a_dropped_connection(kind) {
        survives(kind, ForcedAnswer { dropped: true, ..ForcedAnswer::default() }, "connection").await
    }

    async fn an_answer_later_than_the_call_may_take(kind) {
        let rig = Rig::start(kind).await?;
        let hasty = rig.worker_with(&[("TIDEMARK__CONNECTIONS__HUBSPOT__CALL_DEADLINE", "500ms")]).await?;
        ctx_survives(&rig, &hasty, ForcedAnswer { honest: true, delay_ms: 2_000, ..ForcedAnswer::default() }, "within").await
    }

    async fn a_write_answered_later_than_the_call_may_take_is_known_for_our_own(kind) {
        let rig = Rig::start(kind).await?;
        rig.settle().await?;
        let hasty = rig.worker_with(&[("TIDEMARK__CONNECTIONS__HUBSPOT__CALL_DEADLINE", "500ms")]).await?;
        ana(&rig).await?;
        rig.crm.crm().force_next(ForcedAnswer { honest: true, delay_ms: 2_000, path_contains: "/batch/upsert".into(), ..ForcedAnswer::default() });
        job(&rig, &hasty, HintKind::Push, "hubspot.contacts").await?;
        assert_eq!(rig.records("contacts").await?.len(), 1, "the CRM did it");
        assert_eq!(rig.db.count(&format!("{} WHERE state = 'creating'", rig.db.own("tidemark_link"))).await?, 1, "and we do not know it");
        assert_eq!(rig.db.rows(&format!("SELECT CAST(attempts AS TEXT), state FROM {}", rig.db.own("tidemark_debt"))).await?, [[Some("1".to_owned()), Some("waiting".to_owned())]]);
        let writes = rig.crm.crm().counters().writes;
        rig.settle().await?;
        assert_eq!((rig.records("contacts").await?.len(), rig.crm.crm().counters().writes), (1, writes), "found, not made again");
        Ok(())
    }

    async fn a_row_whose_phone_number_is_none_waits_without_a_call_and_goes_once_it_is_corrected(kind) {
        let checked = &[("phone = { column = \"phone\", owner = \"hold\" }", "phone = { column = \"phone\", owner = \"hold\", check = \"phone\" }")];
        let rig = Rig::with(kind, Setup { instead: checked, ..Setup::default() }).await?;
        ana(&rig).await?;
        rig.settle().await?;
        rig.db.run("UPDATE customers SET phone = 'call the office', first_name = 'Anna'").await?;
        let calls = rig.crm.crm().counters().calls;
        rig.push("hubspot.contacts").await?;
        assert_eq!((rig.debts("parked").await?, rig.crm.crm().counters().calls), (1, calls), "nothing is sent to be refused");
        let said = rig.db.one(&format!("SELECT cause || '; ' || next_step FROM {}", rig.db.own("tidemark_debt"))).await?;
        assert_eq!(said.as_deref(), Some("phone is not a phone number; correct phone of row 1; it is sent by itself then"));
        rig.db.run("UPDATE customers SET phone = '+49 30 123456'").await?;
        rig.settle().await?;
        let names: Vec<_> = rig.records("contacts").await?.into_values().filter_map(|mut record| record.remove("firstname")).collect();
        assert_eq!((names.as_slice(), rig.debts("parked").await?), (["Anna".to_owned()].as_slice(), 0));
        Ok(())
    }

    async fn h12_strangers_wait_for_an_undecided_create_no_longer_than_it_may_take_to_show(kind) {
        let rig = Rig::with(kind, Setup { instead: NO_KEY, ..Setup::default() }).await?;
        rig.settle().await?;
        ana(&rig).await?;
        rig.crm.crm().force_next(ForcedAnswer { dropped: true, path_contains: "/contacts/batch/create".into(), ..ForcedAnswer::default() });
        job(&rig, &rig.ctx, HintKind::Push, "hubspot.contacts").await?;
        // Its push waits for a person now, who may take days.
        rig.db.run("UPDATE customers SET email = 'no address'").await?;
        rig.debts_due("hubspot.contacts").await?;
        rig.push("hubspot.contacts").await?;
        assert_eq!(rig.debts("parked").await?, 1);
        rig.crm.crm().create(Contacts, &[("email", "bo@acme.test")])?;
        rig.catch_up("hubspot.contacts").await?;
        rig.read("hubspot.contacts").await?;
        assert_eq!(rig.db.count("customers").await?, 1, "it may be what the create made");
        until("the stranger becomes a row", Duration::from_secs(30), async || {
            rig.read("hubspot.contacts").await?;
            Ok((rig.db.count("customers").await? == 2).then_some(()))
        })
        .await
    }

    async fn h12_a_create_that_may_yet_land_is_not_sent_over_what_people_write_into_its_record(kind) {
        let rig = Rig::start(kind).await?;
        rig.settle().await?;
        let (crm, calm) = (rig.crm.crm(), rig.crm.crm().weather());
        ana(&rig).await?;
        crm.set_weather(tidemark_sandbox::Weather { late_landing: 1.0, late_commit_ms: (1_500, 1_500), ..calm.clone() });
        job(&rig, &rig.ctx, HintKind::Push, "hubspot.contacts").await?;
        crm.set_weather(calm);
        rig.debts_due("hubspot.contacts").await?;
        rig.push("hubspot.contacts").await?;
        assert!(rig.records("contacts").await?.is_empty(), "looked for, not there yet, and not made by a second call");
        let cause = rig.db.one(&format!("SELECT cause FROM {} WHERE kind = 'push'", rig.db.own("tidemark_debt"))).await?;
        assert_eq!(cause.as_deref(), Some("a create was sent and not heard of; its record may show yet"));
        let id = until("the create lands", Duration::from_secs(20), async || Ok(rig.records("contacts").await?.into_keys().next())).await?;
        crm.edit(Contacts, &id, &[("phone", "7")])?;
        rig.settle().await?;
        assert_eq!((rig.record("contacts", &id).await?["phone"].as_str(), rig.records("contacts").await?.len()), ("7", 1));
        assert_eq!(rig.db.one("SELECT phone FROM customers").await?.as_deref(), Some("7"));
        Ok(())
    }

    async fn a_crm_that_cannot_be_reached_loses_nothing_either_way(kind) {
        let rig = Rig::start(kind).await?;
        rig.crm.crm().create(Contacts, &[("email", "only@crm.test")])?;
        ana(&rig).await?;
        rig.poll("hubspot.contacts").await?;
        rig.crm.crm().create(Contacts, &[("email", "late@crm.test")])?;
        let lost = rig.worker_with(&[("TIDEMARK__CONNECTIONS__HUBSPOT__BASE_URL", "http://127.0.0.1:9")]).await?;
        let (stream, debt) = (rig.db.own("tidemark_stream"), rig.db.own("tidemark_debt"));
        for attempt in 1..=3 {
            for kind in [HintKind::Poll, HintKind::Push] {
                rig.debts_due("hubspot.contacts").await?;
                let outcome = job(&rig, &lost, kind, "hubspot.contacts").await?;
                assert!(matches!(outcome, Outcome::Deferred(_)), "{outcome:?}");
            }
            let polls = rig.db.rows(&format!("SELECT CAST(poll_attempts AS TEXT), poll_class FROM {stream} WHERE name = 'hubspot.contacts'")).await?;
            assert_eq!(polls, [[Some(attempt.to_string()), Some("retry".to_owned())]]);
            let pushes = rig.db.rows(&format!("SELECT CAST(attempts AS TEXT), class, state FROM {debt} WHERE kind = 'push'")).await?;
            assert_eq!(pushes, [[Some(attempt.to_string()), Some("retry".to_owned()), Some("waiting".to_owned())]], "it goes on trying");
        }
        let due = format!("SELECT CAST(due_at AS TEXT) FROM {debt} WHERE kind = 'push'");
        assert!(rig.db.one(&due).await?.unwrap_or_default().parse::<i64>()? > 0, "later each time");
        rig.settle().await?;
        assert_eq!((rig.db.count("customers").await?, rig.records("contacts").await?.len()), (3, 3));
        Ok(())
    }

    async fn a_record_that_failed_once_and_is_asked_for_again_goes_behind_the_others(kind) {
        let rig = Rig::with(kind, Setup { instead: NO_KEY, ..Setup::default() }).await?;
        rig.settle().await?;
        ana(&rig).await?;
        // Without a key of ours whatever is met from now on may be what this create made.
        rig.crm.crm().force_next(ForcedAnswer { dropped: true, path_contains: "/contacts/batch/create".into(), ..ForcedAnswer::default() });
        job(&rig, &rig.ctx, HintKind::Push, "hubspot.contacts").await?;
        rig.crm.crm().create(Contacts, &[("email", "bo@acme.test")])?;
        rig.catch_up("hubspot.contacts").await?;
        let debt = rig.db.own("tidemark_debt");
        let owed = format!("SELECT CAST(attempts AS TEXT), cause, CASE WHEN due_at > 0 THEN 'later' ELSE 'at once' END FROM {debt} WHERE kind = 'read'");
        rig.crm.crm().force_next(ForcedAnswer { path_contains: "/contacts/batch/read".into(), ..html(502) });
        rig.read("hubspot.contacts").await?;
        let failed = rig.db.rows(&owed).await?;
        assert_eq!((failed.len(), failed[0][0].as_deref()), (1, Some("1")), "{failed:?}");
        rig.read("hubspot.contacts").await?;
        assert_eq!(rig.db.rows(&owed).await?, [[Some("0".to_owned()), None, Some("later".to_owned())]], "it has answered, and is owed anew");
        rig.settle().await?;
        assert_eq!((rig.db.count("customers").await?, rig.records("contacts").await?.len()), (2, 2));
        Ok(())
    }

    async fn throttling_with_a_wait(kind) {
        let fault = ForcedAnswer {
            status: 429,
            body: json!({ "status": "error", "message": "You have reached your secondly limit.", "errorType": "RATE_LIMIT", "policyName": "SECONDLY" }),
            headers: [("Retry-After".to_owned(), "1".to_owned())].into(),
            ..ForcedAnswer::default()
        };
        survives(kind, fault, "limit").await
    }

    async fn a_page_that_repeats_the_position(kind) {
        let rig = Rig::start(kind).await?;
        let crm = rig.crm.crm();
        // Made a while ago: the CRM tells its time in whole seconds, and what it stamped just now may lie beyond the window.
        let weather = crm.weather();
        crm.set_weather(tidemark_sandbox::Weather { clock_offset_ms: -10_000, ..weather.clone() });
        for at in 0..201 {
            crm.create(Contacts, &[("email", &format!("c{at}@acme.test"))])?;
        }
        crm.set_weather(weather);
        let first = crm.list(Contacts).into_iter().map(|record| record.id).min_by_key(|id| id.parse::<u64>().unwrap_or(u64::MAX)).unwrap_or_default();
        rig.catch_up("hubspot.deals").await?;
        // The first page is true; the second shows the first record again.
        let repeated = json!({ "total": 500, "results": [{ "id": first, "properties": { "hs_object_id": first, "lastmodifieddate": "2026-01-01T00:00:00.000Z" },
            "createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-01-01T00:00:00.000Z", "archived": false }], "paging": { "next": { "after": "1" } } });
        crm.force_next(ForcedAnswer { honest: true, path_contains: "/contacts/search".into(), ..ForcedAnswer::default() });
        crm.force_next(ForcedAnswer { status: 200, body: repeated, path_contains: "/contacts/search".into(), ..ForcedAnswer::default() });
        let outcome = rig.poll("hubspot.contacts").await?;
        assert!(matches!(&outcome, Outcome::Deferred(words) if words.contains("position")), "{outcome:?}");
        assert_eq!(rig.db.count("customers").await?, 200, "the page before it stands");
        rig.settle().await?;
        assert_eq!(rig.db.count("customers").await?, 201, "and the window went on where it was");
        Ok(())
    }

    async fn a_refused_token_pauses_the_connection_and_loses_nothing(kind) {
        let rig = Rig::start(kind).await?;
        rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', '2026-01-01 00:00:00')").await?;
        rig.settle().await?;
        rig.crm.crm().set_token(Some("another".into()));
        rig.db.run("UPDATE customers SET first_name = 'Anna'").await?;
        rig.push("hubspot.contacts").await?;
        let connection = rig.db.own("tidemark_connection");
        assert_eq!(rig.db.one(&format!("SELECT state FROM {connection}")).await?.as_deref(), Some("paused"));
        let calls = rig.crm.crm().counters().calls;
        for _ in 0..5 {
            rig.poll("hubspot.contacts").await?;
            rig.push("hubspot.contacts").await?;
        }
        assert_eq!(rig.crm.crm().counters().calls, calls, "calls since the pause: 0");
        rig.crm.crm().set_token(Some(tidemark_tests::TOKEN.into()));
        tidemark_store::connections::set_state(&rig.store, "hubspot", "running", None).await?;
        rig.settle().await?;
        let names: Vec<String> = rig.records("contacts").await?.into_values().filter_map(|record| record.get("firstname").cloned()).collect();
        assert_eq!(names, ["Anna"]);
        Ok(())
    }

    async fn a_failed_look_up_backs_off_like_any_other_call(kind) {
        let rig = Rig::start(kind).await?;
        rig.settle().await?;
        rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', '2026-01-01 00:00:00')").await?;
        rig.crm.crm().force_next(ForcedAnswer { path_contains: "/contacts/batch/read".into(), ..html(502) });
        rig.push("hubspot.contacts").await?;
        let debt = rig.db.rows(&format!("SELECT CAST(attempts AS TEXT), class FROM {}", rig.db.own("tidemark_debt"))).await?;
        assert_eq!(debt, [[Some("1".to_owned()), Some("retry".to_owned())]]);
        rig.settle().await?;
        assert_eq!(rig.records("contacts").await?.len(), 1);
        Ok(())
    }

    async fn a_lost_answer_makes_no_second_record(kind) {
        let rig = Rig::start(kind).await?;
        rig.settle().await?;
        rig.db.run("INSERT INTO customers (email, first_name, company, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', 'Old', '2026-01-01 00:00:00')").await?;
        rig.crm.crm().force_next(ForcedAnswer { applies: true, dropped: true, path_contains: "/batch/upsert".into(), ..ForcedAnswer::default() });
        rig.push("hubspot.contacts").await?;
        let made = rig.records("contacts").await?;
        assert_eq!(made.len(), 1, "the write happened, its answer was lost");
        // Somebody edits the new record before the create is tried again.
        let id = made.into_keys().next().unwrap_or_default();
        rig.crm.crm().edit(Contacts, &id, &[("company", "Edited meanwhile")])?;
        rig.settle().await?;
        assert_eq!(rig.records("contacts").await?.len(), 1);
        assert_eq!(rig.record("contacts", &id).await?["company"], "Edited meanwhile", "the create was not sent again over it");
        let company = rig.db.one("SELECT company FROM customers").await?;
        assert_eq!(company.as_deref(), Some("Edited meanwhile"));
        Ok(())
    }

    async fn a_bad_item_of_a_batch_is_parked_and_freed_by_its_own_change(kind) {
        let rig = Rig::start(kind).await?;
        rig.settle().await?;
        rig.db.run("INSERT INTO orders (number, status, total_cents) VALUES ('R-1', 'accepted', 100), ('R-2', 'accepted', 200)").await?;
        rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('not an address', 'Bad', '2026-01-01 00:00:00'),
            ('good@acme.test', 'Good', '2026-01-01 00:00:00')").await?;
        rig.push("hubspot.contacts").await?;
        assert_eq!(rig.records("contacts").await?.len(), 1);
        assert_eq!(rig.debts("parked").await?, 1);
        rig.db.run("UPDATE customers SET email = 'bad@acme.test' WHERE first_name = 'Bad'").await?;
        rig.settle().await?;
        assert_eq!(rig.records("contacts").await?.len(), 2);
        assert_eq!(rig.debts("parked").await?, 0);
        Ok(())
    }
}

/// Whatever still holds a lease is dead as far as anybody knows.
async fn leases_lapse(rig: &Rig) -> eyre::Result<()> {
    for (table, lease) in [("tidemark_stream", "lease_until"), ("tidemark_debt", "lease_until"), ("tidemark_link", "push_until")]
    {
        rig.db.run(&format!("UPDATE {} SET {lease} = 1 WHERE {lease} IS NOT NULL", rig.db.own(table))).await?;
    }
    Ok(())
}

/// The next call of this kind is carried out at once, and answered when the sessions are gone.
fn hold_answer(rig: &Rig, path: &str) {
    rig.crm.crm().force_next(ForcedAnswer {
        honest: true,
        delay_ms: 2_000,
        path_contains: path.into(),
        ..ForcedAnswer::default()
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_whose_database_sessions_end_is_made_again() -> eyre::Result<()> {
    let rig = Rig::start(Kind::Postgres).await?;
    rig.crm.crm().create(Contacts, &[("email", "ana@acme.test")])?;
    hold_answer(&rig, "/contacts/search");
    let hint = Hint { kind: HintKind::Poll, stream: rig.stream("hubspot.contacts")?.id };
    rig.db.run(&format!("UPDATE {} SET poll_owed_at = 0", rig.db.own("tidemark_stream"))).await?;
    let worker = rig.ctx.clone();
    let poll = tokio::spawn(async move { handle(&worker, hint).await });
    searched(&rig).await?;
    rig.end_sessions().await?;
    let outcome = poll.await?;
    assert!(!matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
    assert_eq!(rig.db.count("customers").await?, 0);
    leases_lapse(&rig).await?;
    rig.healed().await?;
    rig.settle().await?;
    assert_eq!(rig.db.count("customers").await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_whose_database_sessions_end_makes_no_second_record() -> eyre::Result<()> {
    let rig = Rig::start(Kind::Postgres).await?;
    rig.settle().await?;
    ana(&rig).await?;
    tidemark_worker::relay_once(&rig.ctx).await?;
    hold_answer(&rig, "/batch/upsert");
    let hint = Hint { kind: HintKind::Push, stream: rig.stream("hubspot.contacts")?.id };
    let worker = rig.ctx.clone();
    let push = tokio::spawn(async move { handle(&worker, hint).await });
    until("the record is made", Duration::from_secs(10), async || Ok((rig.records("contacts").await?.len() == 1).then_some(())))
        .await?;
    rig.end_sessions().await?;
    let outcome = push.await?;
    assert!(!matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
    leases_lapse(&rig).await?;
    rig.healed().await?;
    let writes = rig.crm.crm().counters().writes;
    rig.settle().await?;
    assert_eq!((rig.records("contacts").await?.len(), rig.crm.crm().counters().writes), (1, writes), "found, not made again");
    assert_eq!(rig.db.count("customers").await?, 1);
    Ok(())
}

async fn searched(rig: &Rig) -> eyre::Result<()> {
    let is_search = |call: &tidemark_sandbox::CallEntry| call.path.ends_with("/contacts/search");
    until("the page was asked for", Duration::from_secs(10), async || {
        Ok(rig.crm.crm().calls().iter().any(is_search).then_some(()))
    })
    .await
}
