//! Cases about reading: windows, ties, stamps, ids, look-ups.

use std::collections::BTreeSet;

use eyre::{OptionExt, WrapErr, ensure, eyre};
use tidemark_core::record::{Record, RemoteId};
use tidemark_core::source::Next;
use tidemark_crm::WriteKind;

use crate::Verdict;
use crate::bench::{BASE, Bench, INSIDE, MAKING, set_clock};
use crate::likely::{Asked, BEGINNING, EDITED, FOLLOWING};

/// Pages in the midst of which records are edited.
const PAGES_MAX: usize = 500;

fn ids(records: &[Record]) -> BTreeSet<&RemoteId> {
    records.iter().map(|record| &record.id).collect()
}

fn list(ids: &BTreeSet<&RemoteId>) -> String {
    let texts: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
    if texts.is_empty() { "nobody".to_owned() } else { texts.join(", ") }
}

/// Of those that must be there the ones that are not.
pub(crate) fn missing<'a>(all: &'a [RemoteId], found: &[Record]) -> Vec<&'a RemoteId> {
    let found = ids(found);
    all.iter().filter(|id| !found.contains(id)).collect()
}

fn floor(stamp: i64, step: i64) -> i64 {
    stamp - stamp.rem_euclid(step)
}

/// Around all of these stamps, with room for what a bound may do wrong.
pub(crate) fn around(stamps: &[i64], step: i64) -> (i64, i64) {
    let (first, last) = (stamps.iter().min().copied().unwrap_or_default(), stamps.iter().max().copied().unwrap_or_default());
    (floor(first, step) - 5 * step, floor(last, step) + 6 * step)
}

pub(crate) async fn windows(bench: &Bench) -> eyre::Result<Verdict> {
    let step = i64::from(bench.traits()?.precision_ms);
    let mut all = Vec::new();
    for at in 0..4 {
        bench.moment(at).await?;
        for one in 0..2 {
            all.push(bench.make(&format!("p{at}{one}")).await?);
        }
    }
    bench.later().await?;
    let stamps = bench.stamps(&all).await?;
    let wide = around(&stamps, step);
    bench.shown(&all, wide).await?;
    let bounds: BTreeSet<i64> = stamps.iter().map(|stamp| floor(*stamp, step)).collect();
    let last = bounds.last().copied().unwrap_or_default() + step;
    let ends: Vec<i64> = bounds.iter().skip(1).copied().chain([last]).collect();
    for (from, until) in bounds.iter().copied().zip(ends) {
        let found = bench.window((from, until), 100).await?;
        let within: Vec<RemoteId> =
            all.iter().zip(&stamps).filter(|(_, stamp)| (from..until).contains(stamp)).map(|(id, _)| id.clone()).collect();
        let lost = missing(&within, &found).len();
        ensure!(lost == 0, "{lost} of {} records stamped from {from} on are not in the window [{from}, {until})", within.len());
    }
    let quiet = bench.window((last + 10 * step, last + 20 * step), 100).await?;
    let strays = all.iter().filter(|id| ids(&quiet).contains(id)).count();
    ensure!(strays == 0, "{strays} records come in a window in which they were not changed");
    Ok(Verdict::Holds)
}

pub(crate) async fn ties(bench: &Bench) -> eyre::Result<Verdict> {
    let traits = bench.traits()?;
    let step = i64::from(traits.precision_ms);
    let mut all = Vec::new();
    if bench.practice().is_none() && traits.batch_rows_max >= 6 {
        let items: Vec<_> = (0..6)
            .map(|at| {
                let (email, name) = (bench.email(&format!("p{at}")), bench.name("P"));
                tidemark_crm::WriteItem { trace: email.clone(), ..bench.item(None, None, [Some(&email), Some(&name), None]) }
            })
            .collect();
        for outcome in bench.write(WriteKind::Create, &items).await.wrap_err(MAKING)? {
            all.push(outcome.wrap_err(MAKING)?.id);
        }
    } else {
        for at in 0..9 {
            bench.moment(0).await?;
            all.push(bench.make(&format!("p{at}")).await?);
        }
    }
    bench.later().await?;
    let stamps = bench.stamps(&all).await?;
    bench.shown(&all, around(&stamps, step)).await?;
    let (tie, rows_max) = if bench.practice().is_some() { (all, 3) } else { largest(&all, &stamps) };
    if tie.len() < 2 {
        return Ok(Verdict::Unseen(format!("no two of {} records that were made got the same stamp", stamps.len())));
    }
    let stamps = bench.stamps(&tie).await?;
    let (first, last) = (stamps.iter().min().copied().unwrap_or_default(), stamps.iter().max().copied().unwrap_or_default());
    for window in [(floor(first, step), floor(last, step) + step), around(&stamps, step)] {
        let found = bench.window(window, rows_max).await?;
        let lost = missing(&tie, &found).len();
        if lost > 0 {
            // Whoever finds none of them asks from another time; whoever finds some does not go on.
            let places = if lost == tie.len() { BEGINNING } else { FOLLOWING };
            let lost = eyre!("{lost} of {} did not come, in pages of {rows_max}", tie.len());
            return Err(lost.wrap_err(Asked { places, what: "records of one stamp" }));
        }
    }
    Ok(Verdict::Holds)
}

/// The most records that share a stamp, and a page that cannot hold them.
fn largest(all: &[RemoteId], stamps: &[i64]) -> (Vec<RemoteId>, u16) {
    let of = |wanted: i64| all.iter().zip(stamps).filter(move |(_, stamp)| **stamp == wanted).map(|(id, _)| id.clone());
    let tie: Vec<RemoteId> = stamps.iter().map(|stamp| of(*stamp).collect::<Vec<_>>()).max_by_key(Vec::len).unwrap_or_default();
    let rows_max = u16::try_from(tie.len().saturating_sub(1)).unwrap_or(1).max(1);
    (tie, rows_max)
}

pub(crate) async fn edits(bench: &Bench) -> eyre::Result<Verdict> {
    let step = i64::from(bench.traits()?.precision_ms);
    let mut all = Vec::new();
    for at in 0..9_usize {
        if bench.practice().is_some() {
            bench.moment(at).await?;
        }
        all.push(bench.make(&format!("p{at}")).await?);
    }
    bench.later().await?;
    let stamps = bench.stamps(&all).await?;
    bench.shown(&all, around(&stamps, step)).await?;
    let (first, last) = (stamps.iter().min().copied().unwrap_or_default(), stamps.iter().max().copied().unwrap_or_default());
    let window = (floor(first, step), floor(last, step) + step);
    let (records, mut next) = bench.page(window, 3, None).await?;
    let mut found: BTreeSet<RemoteId> = records.into_iter().map(|record| record.id).collect();
    let mut pages = 0;
    // One that was read, and one that was not.
    let mut edits = vec![all[0].clone(), all[5].clone()];
    while let Next::More(position) = next {
        if let Some(id) = edits.pop() {
            bench.change(&id, [None, Some(&bench.name("Q")), None]).await?;
        }
        let (records, more) = bench.page(window, 3, Some(&position)).await?;
        found.extend(records.into_iter().map(|record| record.id));
        next = more;
        pages += 1;
        ensure!(pages < PAGES_MAX, "the window does not end");
    }
    for (at, id) in all.iter().enumerate().filter(|(at, _)| ![0, 5].contains(at)) {
        if !found.contains(id) {
            // Without a second page nobody was edited.
            let places = if pages == 0 { FOLLOWING } else { EDITED };
            let lost = eyre!("record {at} was edited by nobody and did not come");
            return Err(lost.wrap_err(Asked { places, what: "pages with an edit between them" }));
        }
    }
    Ok(Verdict::Holds)
}

pub(crate) async fn stamps(bench: &Bench) -> eyre::Result<Verdict> {
    let mut made = Vec::new();
    for at in 0..5 {
        if let Some(practice) = bench.practice() {
            set_clock(practice, BASE + 1_137 * at).await?;
        }
        made.push(bench.make(&format!("p{at}")).await?);
    }
    let before = bench.stamp(&made[0]).await?;
    match bench.practice() {
        Some(practice) => set_clock(practice, BASE + 300_777).await?,
        None => bench.later().await?,
    }
    bench.change(&made[0], [None, Some(&bench.name("Q")), None]).await?;
    let records = bench.by_ids(&made).await?;
    ensure!(records.len() == made.len(), "{} of {} came", records.len(), made.len());
    let mut steps = Vec::new();
    for record in &records {
        let told = record.modified.ok_or_eyre("a record carries no stamp")?;
        if bench.practice().is_some() {
            let is = bench.stamp(&record.id).await?;
            ensure!(told == is, "record {} is told to be of {told}, and is of {is}", record.id);
        }
        steps.push(told);
    }
    let after = records.iter().find(|record| record.id == made[0]).and_then(|record| record.modified).unwrap_or_default();
    ensure!(after > before, "an edit moved the stamp from {before} to {after}");
    let step = i64::from(bench.traits()?.precision_ms);
    let coarser = [1_000, 60_000].into_iter().find(|coarse| *coarse > step && steps.iter().all(|stamp| stamp % coarse == 0));
    ensure!(coarser.is_none(), "steps of {step} ms are declared, and every stamp is one of {} ms", coarser.unwrap_or_default());
    let finer = steps.iter().find(|stamp| **stamp % step != 0);
    ensure!(finer.is_none(), "steps of {step} ms are declared, and a stamp is {}", finer.copied().unwrap_or_default());
    Ok(Verdict::Holds)
}

pub(crate) async fn by_id(bench: &Bench) -> eyre::Result<Verdict> {
    let all = bench.make_each(["p0", "p1", "p2", "p3"]).await?;
    bench.archive(&all[1]).await?;
    match bench.practice() {
        Some(practice) => practice.delete(all[2].as_str()).await?,
        None => bench.archive(&all[2]).await?,
    }
    let found = bench.by_ids(&all).await?;
    let live = BTreeSet::from([&all[0], &all[3]]);
    ensure!(ids(&found) == live, "{} came, and {} live", list(&ids(&found)), list(&live));
    let alone = bench.by_ids(&all[2..3]).await?;
    ensure!(alone.is_empty(), "one that is gone, asked for alone, is read as if it lived");
    Ok(Verdict::Holds)
}

pub(crate) async fn parts(bench: &Bench) -> eyre::Result<Verdict> {
    let made = bench.make("ana").await?;
    bench.later().await?;
    let (email, name) = (bench.email("anna"), bench.name("Anna"));
    bench.change(&made, [Some(&email), Some(&name), Some("+49 30 901820")]).await?;
    let whole = bench.by_ids(std::slice::from_ref(&made)).await?.pop().ok_or_eyre("what was made is not read by its id")?;
    let step = i64::from(bench.traits()?.precision_ms);
    let window = around(&[whole.modified.ok_or_eyre("a record carries no stamp")?], step);
    bench.shown(std::slice::from_ref(&made), window).await?;
    let paged = bench.window(window, 100).await?;
    let Some(listed) = paged.iter().find(|record| record.id == made && record.modified == whole.modified) else {
        return Ok(Verdict::Unseen("the list showed another version than the read by id".to_owned()));
    };
    for (at, name) in bench.wanted().iter().enumerate().filter(|(at, _)| listed.shows(*at)) {
        let name = name.as_deref().unwrap_or_default();
        let (there, here) = (&whole.values[at], &listed.values[at]);
        ensure!(
            here == there,
            "by its id a record says of {name} {there:?}, in a list {here:?}: name in `listed` what lists show"
        );
    }
    Ok(Verdict::Holds)
}

pub(crate) async fn archive(bench: &Bench) -> eyre::Result<Verdict> {
    if !bench.traits()?.archive_view {
        return Ok(Verdict::NotDeclared);
    }
    let all = bench.make_each(["p0", "p1", "p2"]).await?;
    bench.archive(&all[0]).await?;
    bench.archive(&all[1]).await?;
    let found = bench.archived(&all).await?;
    let gone = BTreeSet::from([&all[0], &all[1]]);
    let told = ids(&found);
    ensure!(
        told == gone && found.iter().all(|record| record.archived),
        "{} are told to be gone, and {} are",
        list(&told),
        list(&gone)
    );
    Ok(Verdict::Holds)
}

pub(crate) async fn told(bench: &Bench) -> eyre::Result<Verdict> {
    if bench.practice().is_none() {
        return Ok(Verdict::NeedsPractice);
    }
    let step = i64::from(bench.traits()?.precision_ms);
    bench.moment(0).await?;
    let all = bench.make_each(["p0", "p1", "p2"]).await?;
    let made = bench.stamps(&all).await?;
    // A feed of changes tells what comes behind the place where it was left.
    bench.window_and_deletes(around(&made, step)).await?;
    bench.moment(20).await?;
    bench.archive(&all[0]).await?;
    bench.archive(&all[1]).await?;
    bench.later().await?;
    let (_, before) = around(&made, step);
    let found = bench.window_and_deletes((before, before + 60_000 + 60 * step)).await?;
    let told: Vec<Record> = found.into_iter().filter(|record| record.archived).collect();
    if told.is_empty() && !bench.crm.tells_deletes(&bench.subject.object) {
        return Ok(Verdict::NotDeclared);
    }
    let gone = BTreeSet::from([&all[0], &all[1]]);
    ensure!(ids(&told) == gone, "{} are told to be gone, and {} are", list(&ids(&told)), list(&gone));
    let quiet = bench.window_and_deletes((before + 120_000 + 120 * step, before + 180_000 + 180 * step)).await?;
    let strays = ids(&quiet).intersection(&gone).count();
    ensure!(strays == 0, "{strays} deletes are told in a window behind the one in which they happened");
    Ok(Verdict::Holds)
}

pub(crate) async fn merged(bench: &Bench) -> eyre::Result<Verdict> {
    let Some(practice) = bench.practice() else { return Ok(Verdict::NeedsPractice) };
    if !practice.about.merges {
        return Ok(Verdict::NotDeclared);
    }
    set_clock(practice, BASE + INSIDE).await?;
    let [winner, loser] = bench.make_each(["ana", "anna"]).await?;
    practice.merge(winner.as_str(), loser.as_str()).await?;
    let found = bench.by_ids(&[loser.clone(), winner.clone()]).await?;
    ensure!(ids(&found) == BTreeSet::from([&winner]), "{} came, and {winner} lives", list(&ids(&found)));
    let paged = bench.window((BASE - 1_000, BASE + 10_000), 10).await?;
    let lives = paged.iter().any(|record| record.id == loser && !record.archived);
    ensure!(!lives, "a page shows the loser as if it lived");
    Ok(Verdict::Holds)
}

pub(crate) async fn id_stays(bench: &Bench) -> eyre::Result<Verdict> {
    bench.moment(0).await?;
    let made = bench.make("ana").await?;
    let step = i64::from(bench.traits()?.precision_ms);
    let stamp = bench.by_ids(std::slice::from_ref(&made)).await?.first().and_then(|record| record.modified);
    let window = around(&[stamp.ok_or_eyre("what was made is not read by its id, with a stamp")?], step);
    bench.shown(std::slice::from_ref(&made), window).await?;
    let paged = bench.window(window, 100).await?;
    ensure!(ids(&paged).contains(&made), "a page tells another id than the create did");
    let email = bench.email("anna");
    bench.change(&made, [Some(&email), None, None]).await?;
    let after = bench.by_ids(std::slice::from_ref(&made)).await?;
    ensure!(after.len() == 1, "the id that was told leads to nobody once the e-mail is another");
    ensure!(after[0].values[0].as_deref() == Some(&email), "the e-mail that is read is another than was sent");
    Ok(Verdict::Holds)
}

pub(crate) async fn look_up(bench: &Bench) -> eyre::Result<Verdict> {
    let email = bench.email("o'neil");
    let ana = bench.make_with(&email, &bench.name("Ana")).await?;
    bench.make("bo").await?;
    let found = bench.found(&email).await?;
    ensure!(ids(&found) == BTreeSet::from([&ana]), "{} records were found", found.len());
    let shown = found[0].values[0].as_deref();
    ensure!(shown == Some(&email), "what it was found by is not shown: {shown:?}");
    let domain = &bench.subject.domain;
    let nobody = [bench.email("cy"), format!("neil-{}@{domain}", bench.mark()), format!("%@{domain}")];
    let hostile = ["x') OR (Email != 'y", "x\" or 1=1 --@acme.test"].map(str::to_owned);
    for nobody in nobody.into_iter().chain(hostile) {
        let found = bench.look_up(&nobody).await?;
        ensure!(found.is_empty(), "{nobody} found {} records", found.len());
    }
    Ok(Verdict::Holds)
}

pub(crate) async fn account(bench: &Bench) -> eyre::Result<Verdict> {
    bench.ready().await?;
    let account = bench.crm.account().await.result?;
    ensure!(!account.id.is_empty(), "the account has no id");
    if let Some(practice) = bench.practice() {
        ensure!(account.id.contains(&practice.about.account), "the account is told to be {}", account.id);
    }
    if let Some(wanted) = &bench.subject.account {
        ensure!(account.id == *wanted, "the account is told to be {}, and {wanted} is configured", account.id);
    }
    let wanted = &bench.subject.environment;
    ensure!(account.environment == *wanted, "the account is told to be a {}, and {wanted} is configured", account.environment);
    Ok(Verdict::Holds)
}
