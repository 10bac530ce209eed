//! Each call to a CRM: recorded with its attempt and what came of it, and made while earlier answers are still being put to use.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::Value;
use tidemark_boot::Secrets;
use tidemark_core::hint::{Hint, HintKind};
use tidemark_core::spec::ConnectionSpec;
use tidemark_sandbox::ForcedAnswer;
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_store::callouts::{self, CalloutRow};
use tidemark_tests::deadline::until;
use tidemark_tests::{Kind, Rig, connect, on_both_databases};
use tidemark_worker::{Connection, Context, Outcome, Tuning, handle};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

on_both_databases! {
    async fn every_call_is_recorded_with_its_attempt_and_its_outcome(kind) {
        let rig = Rig::start(kind).await?;
        rig.crm.crm().create(Contacts, &[("email", "ana@acme.test"), ("firstname", "Ana")])?;
        let (worker, mut calls) = recording_worker(&rig).await?;
        let page = Value::String("<html>qvortex@acme.test</html>".into());
        rig.crm.crm().force_next(ForcedAnswer { status: 502, body: page, content_type: Some("text/html".into()), path_contains: "/search".into(), times: 2, ..ForcedAnswer::default() });
        rig.crm.crm().force_next(ForcedAnswer { status: 503, path_contains: "/batch/upsert".into(), ..ForcedAnswer::default() });
        let stream = rig.stream("hubspot.contacts")?.id;
        for _ in 0..3 {
            rig.db.run(&format!("UPDATE {} SET poll_owed_at = 0", rig.db.own("tidemark_stream"))).await?;
            handle(&worker, Hint { kind: HintKind::Poll, stream }).await;
        }
        rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('bo@acme.test', 'Bo', '2026-01-01 00:00:00')").await?;
        tidemark_worker::relay_once(&worker).await?;
        // What was not heard of may land for a while, and is sent again after that.
        until("the create is sent again", Duration::from_secs(30), async || {
            rig.debts_due("hubspot.contacts").await?;
            handle(&worker, Hint { kind: HintKind::Push, stream }).await;
            Ok((rig.debts("waiting").await? == 0).then_some(()))
        })
        .await?;
        let mut made = Vec::new();
        while let Ok(call) = calls.try_recv() {
            made.push(call);
        }
        let told: Vec<_> = made.iter().map(|call| (call.purpose, call.attempt, call.status, call.class)).collect();
        let searches: Vec<_> = made.iter().zip(&told).filter(|(call, _)| call.purpose == "poll" && call.endpoint.contains("/search")).map(|(_, told)| *told).collect();
        assert_eq!(searches, [("poll", 1, Some(502), Some("retry")), ("poll", 2, Some(502), Some("retry")), ("poll", 3, Some(200), None)]);
        let upserts: Vec<_> = made.iter().zip(&told).filter(|(call, _)| call.endpoint.contains("/batch/upsert")).map(|(_, told)| *told).collect();
        assert_eq!(upserts, [("push", 1, Some(503), Some("retry")), ("push", 2, Some(200), None)]);
        assert!(made.iter().all(|call| call.connection == "hubspot" && call.items > 0 && call.at > 0), "{made:#?}");
        assert!(made.iter().all(|call| call.message.as_deref().is_none_or(|words| !words.contains("qvortex"))), "{made:#?}");
        assert!(made.iter().any(|call| call.quota_left.is_some()), "what the CRM said of the quota is kept");

        callouts::record(&rig.store, &made).await?;
        let stored = rig.db.rows(&format!("SELECT purpose, CAST(attempt AS TEXT), CAST(status AS TEXT), class FROM {} ORDER BY id", rig.db.own("tidemark_callout"))).await?;
        let expected: Vec<Vec<Option<String>>> = told.iter().map(|(purpose, attempt, status, class)| {
            vec![Some((*purpose).to_owned()), Some(attempt.to_string()), status.map(|status| status.to_string()), class.map(str::to_owned)]
        }).collect();
        assert_eq!(stored, expected, "and it is kept as it was");
        Ok(())
    }
}

/// A worker, and the record of its calls.
pub(crate) async fn recording_worker(rig: &Rig) -> eyre::Result<(Context, UnboundedReceiver<CalloutRow>)> {
    let connect = |(spec, secrets): &(ConnectionSpec, Secrets)| {
        Ok::<_, eyre::Report>(Connection::new(spec.clone(), tidemark_crm::Catalog::default().connect(spec, secrets)?))
    };
    let connections = rig.config.connections.iter().map(connect).collect::<Result<Vec<_>, _>>()?;
    let tuning = Tuning {
        name: "recorded".into(),
        lease: Duration::from_secs(60),
        slice: Duration::from_secs(20),
        relay_every: Duration::from_millis(100),
    };
    let stop = CancellationToken::new();
    Ok(Context::open(rig.store.clone(), connections, &rig.config.streams, tuning, None, stop).await?)
}

/// Only PostgreSQL lets one table be held while the rest of the database is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_pages_are_asked_for_before_the_first_is_applied() -> eyre::Result<()> {
    let rig = Arc::new(Rig::start(Kind::Postgres).await?);
    let crm = rig.crm.crm();
    for at in 0..700 {
        crm.create(Contacts, &[("email", &format!("c{at}@acme.test"))])
            .map_err(|refusal| eyre::eyre!("{}", refusal.message()))?;
    }
    // The CRM stamps in whole seconds: what was made in this one is of the next window.
    let second = || Ok::<u64, eyre::Report>(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    let made = second()?;
    until("the second is over", Duration::from_secs(5), async || Ok((second()? > made).then_some(()))).await?;
    // The newest call stands first.
    let before = crm.calls().len();
    let searches = || crm.calls().iter().rev().skip(before).filter(|call| call.path.ends_with("/contacts/search")).count();
    let application = connect(&rig.db.url).await?;
    let held = application.begin().await?;
    held.execute_unprepared("LOCK TABLE customers IN EXCLUSIVE MODE").await?;
    let polling = Arc::clone(&rig);
    let poll = tokio::spawn(async move { polling.poll("hubspot.contacts").await });
    until("two more pages are asked for while the first waits for its table", Duration::from_secs(20), async || {
        eyre::ensure!(rig.db.count("customers").await? == 0, "the table was not held");
        Ok((searches() >= 3).then_some(()))
    })
    .await?;
    held.commit().await?;
    let outcome = poll.await??;
    assert!(matches!(outcome, Outcome::Done { .. } | Outcome::Deferred(_)), "{outcome:?}");
    rig.catch_up("hubspot.contacts").await?;
    assert_eq!(rig.db.count("customers").await?, 700);
    Ok(())
}
