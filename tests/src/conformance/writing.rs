//! Cases about writing: values, keys, batches, and what a refusal is called.

use eyre::ensure;
use tidemark_core::failure::Class;
use tidemark_core::record::RemoteId;
use tidemark_crm::{WriteItem, WriteKind};
use tidemark_sandbox::ForcedAnswer;

use super::{Bench, Verdict};
use crate::vendor::PEOPLE;

pub(super) async fn values(bench: &Bench) -> eyre::Result<Verdict> {
    let first = ["ana@acme.test", "Bö \"O'Neil\" & Söhne, 100 %", "+49301"];
    let made = bench.write_one(WriteKind::Create, bench.item(None, None, first.map(Some))).await?;
    let id = made.id.as_str();
    ensure!(bench.kept(id)? == first, "{:?} is kept of {first:?}", bench.kept(id)?);
    ensure!(bench.count() == 1, "{} records were made", bench.count());
    ensure!(made.modified.is_none_or(|told| bench.stamp(id).is_ok_and(|is| is == told)), "the answer tells another stamp");
    let read = bench.by_ids(std::slice::from_ref(&made.id)).await?;
    let shown: Vec<&str> =
        read.iter().flat_map(|record| &record.values).map(|value| value.as_deref().unwrap_or_default()).collect();
    ensure!(shown == first, "{shown:?} is read of {first:?}");
    let changed =
        bench.write_one(WriteKind::Update, bench.item(Some(id), None, [None, Some("Anna \u{201e}x\u{201c}"), Some("")])).await?;
    ensure!(changed.id == made.id, "the answer names another record");
    let expect = [first[0], "Anna \u{201e}x\u{201c}", ""];
    ensure!(bench.kept(id)? == expect, "{:?} is kept of {expect:?}", bench.kept(id)?);
    let read = bench.by_ids(std::slice::from_ref(&made.id)).await?;
    ensure!(read.first().is_some_and(|record| record.values[2].is_none()), "what was cleared is read as {:?}", read[0].values[2]);
    Ok(Verdict::Holds)
}

pub(super) async fn upsert(bench: &Bench) -> eyre::Result<Verdict> {
    let Some(key_property) = bench.vendor.external_key else { return Ok(Verdict::NotDeclared) };
    let kind = WriteKind::Upsert { key_property };
    let one = bench.write_one(kind, bench.item(None, Some("7"), [Some("ana@acme.test"), Some("Ana"), None])).await?;
    // Only our key says that it is the same.
    let two = bench.write_one(kind, bench.item(None, Some("7"), [Some("anna@acme.test"), Some("Anna"), None])).await?;
    ensure!(bench.count() == 1 && one.id == two.id, "it was made {} times", bench.count());
    ensure!(bench.kept(one.id.as_str())?[1] == "Anna", "{:?}", bench.kept(one.id.as_str())?);
    ensure!(two.created != Some(true), "the second is told to be made");
    Ok(Verdict::Holds)
}

pub(super) async fn batches(bench: &Bench) -> eyre::Result<Verdict> {
    if bench.traits()?.batch_rows_max < 3 {
        return Ok(Verdict::NotDeclared);
    }
    // Some vendors tell outcomes apart by what an item is called alone.
    let item = |email: &str| WriteItem { trace: email.to_owned(), ..bench.item(None, None, [Some(email), Some(email), None]) };
    match bench.write(WriteKind::Create, &[item("ana@acme.test"), item("no address"), item("cy@acme.test")]).await {
        // The whole batch was refused: its parts are sent alone.
        Err(failure) => ensure!(failure.class == Class::Rejected && bench.count() == 0, "{failure}; {} were made", bench.count()),
        Ok(outcomes) => {
            let [Ok(ana), Err(failure), Ok(cy)] = outcomes.as_slice() else { eyre::bail!("{outcomes:?}") };
            ensure!(failure.class == Class::Rejected && !failure.maybe_done, "{failure}");
            ensure!(
                bench.kept(ana.id.as_str())?[0] == "ana@acme.test" && bench.kept(cy.id.as_str())?[0] == "cy@acme.test",
                "outcomes are mixed up"
            );
        }
    }
    Ok(Verdict::Holds)
}

pub(super) async fn deletes(bench: &Bench) -> eyre::Result<Verdict> {
    let hand = bench.hand();
    let id = bench.vendor.add(&hand, "ana@acme.test", "Ana")?;
    bench.vendor.add(&hand, "bo@acme.test", "Bo")?;
    bench.write_one(WriteKind::Archive, bench.item(Some(&id), None, [None; 3])).await?;
    ensure!(bench.count() == 1, "{} records live", bench.count());
    let left = bench.by_ids(&[RemoteId(id)]).await?;
    ensure!(left.is_empty(), "it is read as if it lived");
    Ok(Verdict::Holds)
}

pub(super) async fn gone(bench: &Bench) -> eyre::Result<Verdict> {
    let id = bench.vendor.add(&bench.hand(), "ana@acme.test", "Ana")?;
    bench.hand().delete(PEOPLE, &id)?;
    let failure = bench.write_one(WriteKind::Update, bench.item(Some(&id), None, [None, Some("Anna"), None])).await;
    let failure = failure.err().ok_or_else(|| eyre::eyre!("it was changed"))?;
    ensure!(failure.class == Class::Gone && !failure.maybe_done, "{:?}: {failure}", failure.class);
    Ok(Verdict::Holds)
}

pub(super) async fn doubles(bench: &Bench) -> eyre::Result<Verdict> {
    if !bench.vendor.refuses_doubles {
        return Ok(Verdict::NotDeclared);
    }
    bench.vendor.add(&bench.hand(), "ana@acme.test", "Ana")?;
    let again = bench.write_one(WriteKind::Create, bench.item(None, None, [Some("ana@acme.test"), Some("Ana"), None])).await;
    let failure = again.err().ok_or_else(|| eyre::eyre!("it was made twice"))?;
    ensure!(failure.class == Class::Duplicate, "{:?}: {failure}", failure.class);
    Ok(Verdict::Holds)
}

pub(super) async fn unheard(bench: &Bench) -> eyre::Result<Verdict> {
    bench.ready().await?;
    bench.hand().force_next(ForcedAnswer { applies: true, dropped: true, ..ForcedAnswer::default() });
    let made = bench.write_one(WriteKind::Create, bench.item(None, None, [Some("ana@acme.test"), Some("Ana"), None])).await;
    let failure = made.err().ok_or_else(|| eyre::eyre!("nothing was answered, and it is told to be made"))?;
    ensure!(failure.maybe_done && bench.count() == 1, "{failure}");
    Ok(Verdict::Holds)
}
