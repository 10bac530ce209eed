//! Cases about reading: windows, ties, stamps, ids, look-ups.

use std::collections::BTreeSet;

use eyre::ensure;
use tidemark_core::record::{Record, RemoteId};
use tidemark_core::source::Next;

use super::{Bench, Verdict};
use crate::vendor::PEOPLE;

/// A while ago, in the middle of a second.
const BASE: i64 = 1_772_366_400_000;
const INSIDE: i64 = 400;

fn ids(records: &[Record]) -> BTreeSet<String> {
    records.iter().map(|record| record.id.0.clone()).collect()
}

fn email(at: usize) -> String {
    format!("p{at}@acme.test")
}

pub(super) async fn windows(bench: &Bench) -> eyre::Result<Verdict> {
    let (mut all, mut found) = (BTreeSet::new(), BTreeSet::new());
    for at in 0..4 {
        bench.stamp_from(BASE + 1_000 * at + INSIDE)?;
        for one in 0..2 {
            all.insert(bench.vendor.add(&bench.hand(), &format!("p{at}{one}@acme.test"), "P")?);
        }
    }
    bench.stamp_from(BASE + 600_000)?;
    for at in 0..4 {
        found.extend(ids(&bench.window((BASE + 1_000 * at, BASE + 1_000 * (at + 1)), 100).await?));
    }
    let lost: Vec<&String> = all.difference(&found).collect();
    ensure!(lost.is_empty(), "{} of {} records are in no window: {lost:?}", lost.len(), all.len());
    let none = bench.window((BASE + 20_000, BASE + 30_000), 100).await?;
    ensure!(none.is_empty(), "nothing was changed then, and {} records came", none.len());
    Ok(Verdict::Holds)
}

pub(super) async fn ties(bench: &Bench) -> eyre::Result<Verdict> {
    let mut all = BTreeSet::new();
    for at in 0..9 {
        bench.stamp_from(BASE + INSIDE)?;
        all.insert(bench.vendor.add(&bench.hand(), &email(at), "P")?);
    }
    bench.stamp_from(BASE + 600_000)?;
    for window in [(BASE, BASE + 1_000), (BASE - 5_000, BASE + 5_000)] {
        let found = ids(&bench.window(window, 3).await?);
        ensure!(found == all, "{} of {} records came", found.intersection(&all).count(), all.len());
    }
    Ok(Verdict::Holds)
}

pub(super) async fn edits(bench: &Bench) -> eyre::Result<Verdict> {
    let mut all = Vec::new();
    for at in 0..9_usize {
        bench.stamp_from(BASE + 1_000 * i64::try_from(at)? + INSIDE)?;
        all.push(bench.vendor.add(&bench.hand(), &email(at), "P")?);
    }
    bench.stamp_from(BASE + 600_000)?;
    let window = (BASE, BASE + 60_000);
    let (first, mut next) = bench.page(window, 3, None).await?;
    let mut found = ids(&first);
    let mut pages = 0;
    // One that was read, and one that was not.
    let mut edits = vec![all[0].clone(), all[5].clone()];
    while let Next::More(position) = next {
        if let Some(id) = edits.pop() {
            bench.hand().edit(PEOPLE, &id, &[(bench.vendor.name.kept, "Q")])?;
        }
        let (records, more) = bench.page(window, 3, Some(&position)).await?;
        found.extend(ids(&records));
        next = more;
        pages += 1;
        ensure!(pages < 60, "the window does not end");
    }
    for (at, id) in all.iter().enumerate().filter(|(at, _)| ![0, 5].contains(at)) {
        ensure!(found.contains(id), "record {at} was edited by nobody and did not come");
    }
    Ok(Verdict::Holds)
}

pub(super) async fn stamps(bench: &Bench) -> eyre::Result<Verdict> {
    let mut made = Vec::new();
    for at in 0..5 {
        bench.stamp_from(BASE + 1_137 * at)?;
        made.push(RemoteId(bench.vendor.add(&bench.hand(), &format!("p{at}@acme.test"), "P")?));
    }
    bench.stamp_from(BASE + 300_777)?;
    bench.hand().edit(PEOPLE, made[0].as_str(), &[(bench.vendor.name.kept, "Q")])?;
    let records = bench.by_ids(&made).await?;
    ensure!(records.len() == made.len(), "{} of {} came", records.len(), made.len());
    let mut steps = Vec::new();
    for record in &records {
        let (told, is) = (record.modified, bench.stamp(record.id.as_str())?);
        ensure!(told == Some(is), "record {} is told to be of {told:?}, and is of {is}", record.id);
        steps.push(is);
    }
    let step = i64::from(bench.traits()?.precision_ms);
    let coarser = [1_000, 60_000].into_iter().find(|coarse| *coarse > step && steps.iter().all(|stamp| stamp % coarse == 0));
    ensure!(coarser.is_none(), "steps of {step} ms are declared, and every stamp is one of {coarser:?}");
    Ok(Verdict::Holds)
}

pub(super) async fn by_id(bench: &Bench) -> eyre::Result<Verdict> {
    let hand = bench.hand();
    let ids: Vec<RemoteId> =
        (0..4).map(|at| Ok(RemoteId(bench.vendor.add(&hand, &email(at), "P")?))).collect::<eyre::Result<_>>()?;
    bench.vendor.remove(&hand, ids[1].as_str())?;
    hand.delete(PEOPLE, ids[2].as_str())?;
    let found = super::asking::ids(&bench.by_ids(&ids).await?);
    let live: BTreeSet<String> = [0, 3].map(|at: usize| ids[at].0.clone()).into();
    ensure!(found == live, "{found:?} came, and {live:?} live");
    ensure!(bench.by_ids(&ids[2..3]).await?.is_empty(), "one that is gone, asked for alone, is an answer");
    Ok(Verdict::Holds)
}

pub(super) async fn archive(bench: &Bench) -> eyre::Result<Verdict> {
    if !bench.traits()?.archive_view {
        return Ok(Verdict::NotDeclared);
    }
    let hand = bench.hand();
    let ids: Vec<RemoteId> =
        (0..3).map(|at| Ok(RemoteId(bench.vendor.add(&hand, &email(at), "P")?))).collect::<eyre::Result<_>>()?;
    bench.vendor.remove(&hand, ids[0].as_str())?;
    bench.vendor.remove(&hand, ids[1].as_str())?;
    let found = bench.archived(&ids).await?;
    let told = super::asking::ids(&found);
    let gone: BTreeSet<String> = [0, 1].map(|at: usize| ids[at].0.clone()).into();
    ensure!(told == gone && found.iter().all(|record| record.archived), "{told:?} are told to be gone, and {gone:?} are");
    Ok(Verdict::Holds)
}

pub(super) async fn id_stays(bench: &Bench) -> eyre::Result<Verdict> {
    bench.stamp_from(BASE)?;
    bench.vendor.add(&bench.hand(), "ana@acme.test", "Ana")?;
    let window = (BASE - 1_000, BASE + 10_000);
    let before = bench.window(window, 10).await?;
    let [record] = before.as_slice() else { eyre::bail!("{} records came", before.len()) };
    let number = bench.hand().list(PEOPLE).first().map(|record| record.id.clone()).unwrap_or_default();
    bench.hand().edit(PEOPLE, &number, &[(bench.vendor.email.kept, "anna@acme.test")])?;
    let after = bench.by_ids(std::slice::from_ref(&record.id)).await?;
    ensure!(after.len() == 1, "the id that was told leads to nobody once the e-mail is another");
    ensure!(after[0].values[0].as_deref() == Some("anna@acme.test"), "{:?}", after[0].values);
    Ok(Verdict::Holds)
}

pub(super) async fn look_up(bench: &Bench) -> eyre::Result<Verdict> {
    let hand = bench.hand();
    let ana = bench.vendor.add(&hand, "ana.o'neil@acme.test", "Ana")?;
    bench.vendor.add(&hand, "bo@acme.test", "Bo")?;
    let found = bench.look_up("ana.o'neil@acme.test").await?;
    ensure!(ids(&found) == BTreeSet::from([ana]), "{} records were found", found.len());
    let shown = found[0].values[0].as_deref();
    ensure!(shown == Some("ana.o'neil@acme.test"), "what it was found by is not shown: {shown:?}");
    for nobody in ["cy@acme.test", "o@acme.test", "x') OR (Email != 'y", "x\" or 1=1 --@acme.test", "%@acme.test"] {
        let found = bench.look_up(nobody).await?;
        ensure!(found.is_empty(), "{nobody} found {} records", found.len());
    }
    Ok(Verdict::Holds)
}

pub(super) async fn account(bench: &Bench) -> eyre::Result<Verdict> {
    bench.ready().await?;
    let account = bench.crm.account().await.result?;
    ensure!(account.id.contains("24539219"), "the account is told to be {}", account.id);
    ensure!(account.environment == "sandbox", "it is told to be {}", account.environment);
    Ok(Verdict::Holds)
}
