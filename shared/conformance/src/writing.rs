//! Cases about writing: values, keys, batches, and what a refusal is called.

use eyre::{OptionExt, WrapErr, ensure};
use serde_json::json;
use tidemark_core::failure::Class;
use tidemark_crm::{WriteItem, WriteKind};

use crate::bench::{CHANGING, MAKING};
use crate::{Bench, Verdict};

/// What a CRM writes otherwise without changing what it means: a practice CRM that is calm writes nothing otherwise.
fn same(bench: &Bench, at: usize, sent: &str, shown: &str) -> bool {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    match at {
        _ if bench.practice().is_some() => sent == shown,
        0 => sent.eq_ignore_ascii_case(shown),
        1 => sent == shown,
        _ => digits(sent) == digits(shown),
    }
}

pub(crate) async fn values(bench: &Bench) -> eyre::Result<Verdict> {
    let (email, name) = (bench.email("ana"), bench.name("Bö \"O'Neil\" & Söhne, 100 %"));
    let first = [email.as_str(), &name, "+493055501234"];
    let made = bench.write_one(WriteKind::Create, bench.item(None, None, first.map(Some))).await.wrap_err(MAKING)?;
    kept(bench, &made.id, first).await?;
    ensure!(bench.living().await?.is_none_or(|living| living == 1), "{:?} records were made", bench.living().await?);
    let is = bench.stamp(&made.id).await?;
    ensure!(made.modified.is_none_or(|told| told == is), "the answer tells another stamp than the record carries");
    read(bench, &made.id, first).await?;
    let name = bench.name("Anna \u{201e}x\u{201c}");
    let item = bench.item(Some(&made.id), None, [None, Some(&name), Some("")]);
    let changed = bench.write_one(WriteKind::Update, item).await.wrap_err(CHANGING)?;
    ensure!(changed.id == made.id, "the answer to an update names another record");
    let then = [first[0], &name, ""];
    kept(bench, &made.id, then).await?;
    read(bench, &made.id, then).await?;
    Ok(Verdict::Holds)
}

/// What the CRM itself says that it keeps, where it can be asked.
async fn kept(bench: &Bench, id: &tidemark_core::record::RemoteId, expect: [&str; 3]) -> eyre::Result<()> {
    let (Some(practice), Some(names)) = (bench.practice(), &bench.subject.kept) else { return Ok(()) };
    let kept = practice.kept(id.as_str(), names).await?;
    ensure!(kept == expect, "{kept:?} is kept of {expect:?}");
    Ok(())
}

async fn read(bench: &Bench, id: &tidemark_core::record::RemoteId, expect: [&str; 3]) -> eyre::Result<()> {
    let read = bench.by_ids(std::slice::from_ref(id)).await?;
    let record = read.first().ok_or_eyre("what was written is not read by its id")?;
    for (at, (expect, shown)) in expect.iter().zip(&record.values).enumerate() {
        if expect.is_empty() {
            ensure!(shown.is_none(), "what was cleared is read as {shown:?}");
        }
        let shown = shown.as_deref().unwrap_or_default();
        ensure!(same(bench, at, expect, shown), "{shown:?} is read of {expect:?}");
    }
    Ok(())
}

pub(crate) async fn upsert(bench: &Bench) -> eyre::Result<Verdict> {
    let Some(key_property) = bench.subject.external_key.as_deref() else { return Ok(Verdict::NotDeclared) };
    let (kind, key) = (WriteKind::Upsert { key_property }, format!("7-{}", bench.mark()));
    let item = |email: &str, name: &str| bench.item(None, Some(&key), [Some(&bench.email(email)), Some(name), None]);
    let one = bench.write_one(kind, item("ana", &bench.name("Ana"))).await?;
    // Only our key says that it is the same.
    let name = bench.name("Anna");
    let two = bench.write_one(kind, item("anna", &name)).await?;
    ensure!(one.id == two.id, "it was made twice");
    ensure!(bench.living().await?.is_none_or(|living| living == 1), "it was made {:?} times", bench.living().await?);
    let read = bench.by_ids(std::slice::from_ref(&one.id)).await?;
    let shown = read.first().and_then(|record| record.values[1].as_deref());
    ensure!(shown == Some(&name), "the second name is not kept: {shown:?}");
    ensure!(two.created != Some(true), "the second is told to be made");
    Ok(Verdict::Holds)
}

pub(crate) async fn batches(bench: &Bench) -> eyre::Result<Verdict> {
    if bench.traits()?.batch_rows_max < 3 {
        return Ok(Verdict::NotDeclared);
    }
    // Some vendors tell outcomes apart by what an item is called alone.
    let item = |email: &str, name: &str| WriteItem {
        trace: email.to_owned(),
        ..bench.item(None, None, [Some(email), Some(&bench.name(name)), None])
    };
    let (ana, cy) = (bench.email("ana"), bench.email("cy"));
    match bench.write(WriteKind::Create, &[item(&ana, "Ana"), item("no address", "Bo"), item(&cy, "Cy")]).await {
        // The whole batch was refused: its parts are sent alone.
        Err(failure) => {
            let living = bench.living().await?;
            ensure!(
                failure.class == Class::Rejected && living.is_none_or(|living| living == 0),
                "{failure}; {living:?} were made"
            );
        }
        Ok(outcomes) => {
            if outcomes.iter().all(Result::is_ok) {
                return Ok(Verdict::Unseen("the CRM takes \"no address\" for an e-mail address".to_owned()));
            }
            let [Ok(first), Err(failure), Ok(last)] = outcomes.as_slice() else { eyre::bail!("{outcomes:?}") };
            ensure!(failure.class == Class::Rejected && !failure.maybe_done, "{failure}");
            let read = bench.by_ids(&[first.id.clone(), last.id.clone()]).await?;
            let shows = |id, email: &str| {
                read.iter().any(|record| {
                    record.id == id && record.values[0].as_deref().is_some_and(|shown| same(bench, 0, email, shown))
                })
            };
            ensure!(shows(first.id.clone(), &ana) && shows(last.id.clone(), &cy), "outcomes are mixed up");
        }
    }
    Ok(Verdict::Holds)
}

pub(crate) async fn deletes(bench: &Bench) -> eyre::Result<Verdict> {
    let [ana, bo] = bench.make_each(["ana", "bo"]).await?;
    bench.archive(&ana).await?;
    ensure!(bench.living().await?.is_none_or(|living| living == 1), "{:?} records live", bench.living().await?);
    let left = bench.by_ids(&[ana, bo.clone()]).await?;
    ensure!(left.len() == 1 && left[0].id == bo, "what was archived is read as if it lived");
    Ok(Verdict::Holds)
}

pub(crate) async fn guard(bench: &Bench) -> eyre::Result<Verdict> {
    if !bench.traits()?.guarded {
        return Ok(Verdict::NotDeclared);
    }
    let id = bench.make("ana").await?;
    let [before, other, own] = ["Anna", "Anne", "Annie"].map(|name| bench.name(name));
    let write = |version: Option<String>, name: &str| {
        let item = WriteItem { version, ..bench.item(Some(&id), None, [None, Some(name), None]) };
        bench.write_one(WriteKind::Update, item)
    };
    let version = async || {
        let read = bench.by_ids(std::slice::from_ref(&id)).await?;
        read.into_iter().next().and_then(|record| record.version).ok_or_eyre("a record that is read by its id shows no version")
    };
    let first = version().await?;
    write(Some(first.clone()), &before).await.wrap_err("a record that nobody changed is not written")?;
    write(None, &other).await.wrap_err("without a version a record is not written")?;
    let failure = write(Some(first), &own).await.err().ok_or_eyre("a record that others changed was overwritten")?;
    ensure!(failure.class == Class::Conflict && !failure.maybe_done, "it is told to be {}: {failure}", failure.class.word());
    let read = bench.by_ids(std::slice::from_ref(&id)).await?;
    let shown = read.first().and_then(|record| record.values[1].clone()).unwrap_or_default();
    ensure!(same(bench, 1, &other, &shown), "{shown} stands where {other} was written last");
    write(Some(version().await?), &own).await.wrap_err("after it was read again it is not written")?;
    Ok(Verdict::Holds)
}

pub(crate) async fn gone(bench: &Bench) -> eyre::Result<Verdict> {
    let id = bench.make("ana").await?;
    match bench.practice() {
        Some(practice) => practice.delete(id.as_str()).await?,
        None => bench.archive(&id).await?,
    }
    let name = bench.name("Anna");
    let failure = bench.write_one(WriteKind::Update, bench.item(Some(&id), None, [None, Some(&name), None])).await;
    let failure = failure.err().ok_or_eyre("a record that is gone was changed, or made again")?;
    ensure!(failure.class == Class::Gone && !failure.maybe_done, "it is told to be {}: {failure}", failure.class.word());
    Ok(Verdict::Holds)
}

pub(crate) async fn doubles(bench: &Bench) -> eyre::Result<Verdict> {
    if bench.subject.refuses_doubles == Some(false) {
        return Ok(Verdict::NotDeclared);
    }
    let (email, name) = (bench.email("ana"), bench.name("Ana"));
    bench.make_with(&email, &name).await?;
    let again = bench.write_one(WriteKind::Create, bench.item(None, None, [Some(&email), Some(&name), None])).await;
    let failure = match (again, bench.subject.refuses_doubles) {
        (Err(failure), _) => failure,
        (Ok(_), None) => return Ok(Verdict::NotDeclared),
        (Ok(_), Some(_)) => eyre::bail!("it was made twice"),
    };
    ensure!(failure.class == Class::Duplicate, "it is told to be {}: {failure}", failure.class.word());
    Ok(Verdict::Holds)
}

pub(crate) async fn unheard(bench: &Bench) -> eyre::Result<Verdict> {
    let Some(practice) = bench.practice() else { return Ok(Verdict::NeedsPractice) };
    bench.ready().await?;
    practice.next(json!({ "applies": true, "dropped": true })).await?;
    let (email, name) = (bench.email("ana"), bench.name("Ana"));
    let made = bench.write_one(WriteKind::Create, bench.item(None, None, [Some(&email), Some(&name), None])).await;
    let failure = made.err().ok_or_eyre("nothing was answered, and it is told to be made")?;
    ensure!(failure.maybe_done && bench.living().await? == Some(1), "{failure}");
    Ok(Verdict::Holds)
}
