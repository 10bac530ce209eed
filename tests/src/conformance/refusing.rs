//! Cases about what is no answer: throttles, spent days, dead credentials, and errors that are dressed as pages.

use std::collections::BTreeMap;

use eyre::ensure;
use serde_json::{Value, json};
use tidemark_core::failure::{Class, Failure};
use tidemark_sandbox::{ForcedAnswer, Weather};

use super::{Bench, Verdict};
use crate::rig::TOKEN;

const WINDOW: (i64, i64) = (0, 4_102_444_800_000);

async fn refusal(bench: &Bench) -> eyre::Result<Failure> {
    match bench.page(WINDOW, 10, None).await {
        Err(failure) => Ok(failure),
        Ok((records, _)) => Err(eyre::eyre!("a page of {} records", records.len())),
    }
}

fn shape(name: &str) -> ForcedAnswer {
    ForcedAnswer { shape: Some(name.to_owned()), ..ForcedAnswer::default() }
}

pub(super) async fn throttles(bench: &Bench) -> eyre::Result<Verdict> {
    bench.ready().await?;
    for name in bench.vendor.throttles {
        bench.hand().force_next(shape(name));
        let failure = refusal(bench).await?;
        ensure!(matches!(failure.class, Class::Throttled | Class::Retry), "{name} is {:?}: {failure}", failure.class);
        bench.page(WINDOW, 10, None).await?;
    }
    Ok(Verdict::Holds)
}

pub(super) async fn day(bench: &Bench) -> eyre::Result<Verdict> {
    let Some(name) = bench.vendor.day else { return Ok(Verdict::NotDeclared) };
    bench.ready().await?;
    bench.hand().force_next(shape(name));
    let failure = refusal(bench).await?;
    ensure!(failure.class == Class::DayBudget, "{name} is {:?}: {failure}", failure.class);
    Ok(Verdict::Holds)
}

pub(super) async fn credentials(bench: &Bench) -> eyre::Result<Verdict> {
    bench.page(WINDOW, 10, None).await?;
    bench.hand().set_token(Some("another".into()));
    let mut told = Vec::new();
    while told.last() != Some(&Class::Auth) {
        ensure!(told.len() < 3, "they are told to be {told:?}");
        told.push(refusal(bench).await?.class);
    }
    bench.hand().set_token(Some(TOKEN.into()));
    bench.page(WINDOW, 10, None).await?;
    // What ends by itself is renewed by itself.
    bench.hand().expire_access_tokens();
    if let Err(failure) = bench.page(WINDOW, 10, None).await {
        ensure!(failure.class == Class::Retry, "a session that wore out is {:?}: {failure}", failure.class);
        bench.page(WINDOW, 10, None).await?;
    }
    Ok(Verdict::Holds)
}

pub(super) async fn no_page(bench: &Bench) -> eyre::Result<Verdict> {
    bench.vendor.add(&bench.hand(), "ana@acme.test", "Ana")?;
    bench.page(WINDOW, 10, None).await?;
    let mut bodies: Vec<(u16, Value)> = [200, 404].map(|status| (status, json!({}))).into();
    bodies.extend([json!([]), json!(null), json!("<html>Sign in</html>")].map(|body| (200, body)));
    bodies.extend(bench.vendor.says_no_with_200.map(|body| (200, serde_json::from_str(body).unwrap_or_default())));
    for (status, body) in bodies {
        bench.hand().force_next(ForcedAnswer { status, body: body.clone(), ..ForcedAnswer::default() });
        let failure = refusal(bench).await.map_err(|page| eyre::eyre!("{status} {body} is {page}"))?;
        ensure!(!failure.maybe_done, "a read changes nothing: {failure}");
    }
    let headers = BTreeMap::from([("location".to_owned(), "http://127.0.0.2:9/".to_owned())]);
    bench.hand().force_next(ForcedAnswer { status: 302, headers, ..ForcedAnswer::default() });
    refusal(bench).await?;
    let calm = bench.hand().weather();
    for rough in [
        Weather { truncated: 1.0, ..calm.clone() },
        Weather { html_error: 1.0, ..calm.clone() },
        Weather { error_5xx: 1.0, ..calm.clone() },
    ] {
        bench.hand().set_weather(rough);
        let failure = refusal(bench).await?;
        ensure!(matches!(failure.class, Class::Retry | Class::Malformed), "{:?}: {failure}", failure.class);
    }
    bench.hand().set_weather(calm);
    let (records, _) = bench.page(WINDOW, 10, None).await?;
    ensure!(records.len() == 1, "{} records came in the end", records.len());
    Ok(Verdict::Holds)
}
