//! Cases about what is no answer: throttles, spent days, dead credentials, and errors that are dressed as pages. All of them need a practice CRM.

use eyre::{ensure, eyre};
use serde_json::{Value, json};
use tidemark_core::failure::{Class, Failure};
use tidemark_core::sweep::EVERY_STAMP;

use crate::bench::{BASE, INSIDE, set_clock};
use crate::{Bench, Practice, Verdict};

const WINDOW: (i64, i64) = (EVERY_STAMP.from, EVERY_STAMP.until);

async fn refusal(bench: &Bench) -> eyre::Result<Failure> {
    match bench.page(WINDOW, 10, None).await {
        Err(failure) => Ok(failure),
        Ok((records, _)) => Err(eyre!("a page of {} records", records.len())),
    }
}

pub(crate) async fn throttles(bench: &Bench) -> eyre::Result<Verdict> {
    let Some(practice) = bench.practice() else { return Ok(Verdict::NeedsPractice) };
    bench.ready().await?;
    for name in &practice.about.throttles {
        practice.next(json!({ "shape": name })).await?;
        let failure = refusal(bench).await?;
        let waits = matches!(failure.class, Class::Throttled | Class::Retry);
        ensure!(waits, "`{name}` is told to be {}: {failure}", failure.class.word());
        bench.page(WINDOW, 10, None).await?;
    }
    Ok(Verdict::Holds)
}

pub(crate) async fn day(bench: &Bench) -> eyre::Result<Verdict> {
    let Some(practice) = bench.practice() else { return Ok(Verdict::NeedsPractice) };
    let Some(name) = &practice.about.day else { return Ok(Verdict::NotDeclared) };
    bench.ready().await?;
    practice.next(json!({ "shape": name })).await?;
    let failure = refusal(bench).await?;
    ensure!(failure.class == Class::DayBudget, "`{name}` is told to be {}: {failure}", failure.class.word());
    Ok(Verdict::Holds)
}

pub(crate) async fn credentials(bench: &Bench) -> eyre::Result<Verdict> {
    let Some(practice) = bench.practice() else { return Ok(Verdict::NeedsPractice) };
    bench.page(WINDOW, 10, None).await?;
    let good = practice.token(Some("another")).await?;
    let told = dead(bench).await;
    practice.token(good.as_deref()).await?;
    told?;
    bench.page(WINDOW, 10, None).await?;
    // What ends by itself is renewed by itself.
    practice.expire_access_tokens().await?;
    if let Err(failure) = bench.page(WINDOW, 10, None).await {
        ensure!(failure.class == Class::Retry, "a session that wore out is told to be {}: {failure}", failure.class.word());
        bench.page(WINDOW, 10, None).await?;
    }
    Ok(Verdict::Holds)
}

async fn dead(bench: &Bench) -> eyre::Result<()> {
    let mut told = Vec::new();
    while told.last() != Some(&Class::Auth) {
        ensure!(told.len() < 3, "dead credentials are told to be {told:?}");
        told.push(refusal(bench).await?.class);
    }
    Ok(())
}

pub(crate) async fn no_page(bench: &Bench) -> eyre::Result<Verdict> {
    let Some(practice) = bench.practice() else { return Ok(Verdict::NeedsPractice) };
    set_clock(practice, BASE + INSIDE).await?;
    let ana = bench.make("ana").await?;
    bench.page(WINDOW, 10, None).await?;
    let mut bodies: Vec<(u16, Value)> = [200, 404].map(|status| (status, json!({}))).into();
    bodies.extend([json!([]), json!(null), json!("<html>Sign in</html>")].map(|body| (200, body)));
    bodies.extend(bench.subject.says_no_with_200.iter().map(|body| (200, serde_json::from_str(body).unwrap_or_default())));
    for (status, body) in bodies {
        practice.next(json!({ "status": status, "body": body })).await?;
        let failure = refusal(bench).await.map_err(|page| eyre!("{status} {body} is {page}"))?;
        ensure!(!failure.maybe_done, "a read changes nothing: {failure}");
    }
    let elsewhere = json!({ "status": 302, "headers": { "location": "http://127.0.0.2:9/" } });
    practice.next(elsewhere).await?;
    refusal(bench).await.map_err(|page| eyre!("a redirect is {page}"))?;
    for fault in ["truncated", "html_error", "error_5xx"] {
        let failure = in_weather(bench, practice, fault).await?;
        let told = matches!(failure.class, Class::Retry | Class::Malformed);
        ensure!(told, "{fault} is told to be {}: {failure}", failure.class.word());
    }
    let records = bench.window((BASE - 1_000, BASE + 10_000), 10).await?;
    ensure!(records.iter().any(|record| record.id == ana), "the record does not come in the end");
    Ok(Verdict::Holds)
}

/// What a page comes to while every answer has this fault.
async fn in_weather(bench: &Bench, practice: &Practice, fault: &str) -> eyre::Result<Failure> {
    practice.weather(json!({ fault: 1.0 })).await?;
    let failure = refusal(bench).await;
    practice.weather(json!({ fault: 0.0 })).await?;
    failure
}
