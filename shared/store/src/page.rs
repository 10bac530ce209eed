//! Applies a batch of records that was read: fence, load and lock, plan (pure), write, clear our own echo, progress. One transaction, no network call inside.
//!
//! Order of locks: stream, links by id, rows by key, debts by (stream, kind, subject). Rows somebody else holds are skipped, not waited for. A record the database
//! refuses is found by halving the batch under savepoints and parked alone, while the others and the cursor pass.

use std::collections::{HashMap, HashSet};

use tidemark_core::Millis;
use tidemark_core::brake::Direction;
use tidemark_core::bug::{Bug, planted};
use tidemark_core::erasure;
use tidemark_core::freshness::Heard;
use tidemark_core::ghost::Ghosts;
use tidemark_core::lineage::{Source, What};
use tidemark_core::link::LinkState;
use tidemark_core::page::{Clock, Known, KnownLink, Parent, Step, awaited, plan};
use tidemark_core::record::{Record, RemoteId, RowKey};
use tidemark_core::source::Position;
use tidemark_core::survivor::absorb;
use tidemark_core::sweep::Cursors;
use tidemark_core::window::Reader;

use crate::arrivals::Measure;
use crate::debts::{self, Claim, Kind, Unpaid};
use crate::gone::{self, Round};
use crate::known::{load, resolve_references};
use crate::lineage::{self, Notes};
use crate::links::{self, By, LinkUpdate};
use crate::owing::{self, Owing, Parking};
use crate::page_brakes::hold_back;
use crate::page_rows::{Merge, Work, write};
use crate::rows::Mapped;
use crate::session::Tx;
use crate::streams::{self, Fence};
use crate::terms::{self, Terms};
use crate::windows::{self, OpenWindow, PageCounts};
use crate::{Store, StoreError, aliases, arrivals, brakes, changes, children, erased, holds, row_writes, sweeps};

/// One or more pages of a window, one after the other.
#[derive(Debug)]
pub struct WindowPage<'a> {
    pub fence: Fence,
    pub window: &'a OpenWindow,
    pub pages: usize,
    pub records: Vec<Record>,
    /// `None` when the window is drained.
    pub next: Option<&'a Position>,
    /// Where the CRM's own feed of changes is gone on with, if a page told.
    pub feed: Option<&'a str>,
    /// Database clock when the page was asked for.
    pub asked_at: Millis,
    pub commit_lag: Millis,
    pub precision: Millis,
    /// How far the CRM's clock is ahead of the database's.
    pub crm_ahead: Millis,
    /// Larger stamps do not tell a later version, by the CRM's clock.
    pub orders_until: Option<Millis>,
    /// How the clocks stand, for fields that go to who was later.
    pub clock: Option<Clock>,
    /// How long an owed read waits before it is due.
    pub read_delay: Millis,
}

/// Applies one page and moves the window on, all or nothing. Running it twice changes nothing the second time.
pub async fn apply_page(
    store: &Store,
    mapped: &Mapped,
    parents: &Parents<'_>,
    page: WindowPage<'_>,
) -> Result<PageCounts, StoreError> {
    let tx = store.begin().await?;
    let held = streams::hold(&tx, page.fence).await?;
    let reader = page.window.reader;
    let heard = Heard::Page { asked_at: page.asked_at, commit_lag: page.commit_lag, reader, orders_until: page.orders_until };
    let sweeping = reader == Reader::Sweep;
    let counts_as_read = |record: &&Record| sweeping || record.modified.is_none_or(|stamp| page.window.window.contains(stamp));
    let inside = page.records.iter().filter(counts_as_read).count();
    let batch = Batch {
        mapped,
        parents,
        records: page.records,
        heard,
        source: Source::Window { id: page.window.id, reader },
        precision: page.precision,
        clock: page.clock,
        read_delay: page.read_delay,
        // Seldom: the fence told only that something is begun.
        undecided_creates: held.undecided_creates
            && mapped.spec.external_key.is_none()
            && streams::undecided_creates(&tx, mapped).await?,
        keys_doubted: held.keys_doubted,
        read_debts: held.read_debts,
        claimed: HashSet::new(),
        children: held.children,
        aliases: held.aliases,
        moved: HashSet::new(),
        sweep: sweeping.then_some(Sweeping { window: page.window.id, cursors: held.cursors }),
        passed: HashMap::new(),
        measure: (reader == Reader::Settled).then_some(Measure {
            window: page.window.window,
            cursors: held.cursors,
            crm_asked_at: page.asked_at + page.crm_ahead,
            crm_ahead: page.crm_ahead,
        }),
    };
    let mut counts = apply(&tx, batch).await?.counts;
    counts.records = i64::try_from(inside).unwrap_or(0);
    windows::advance(&tx, page.fence, page.window, page.next, page.pages, counts).await?;
    if let Some(feed) = page.feed {
        streams::keep_feed(&tx, page.fence, feed).await?;
    }
    tx.commit().await?;
    Ok(counts)
}

/// Records that were owed a read.
#[derive(Debug)]
pub struct OwedReads<'a> {
    pub fence: &'a str,
    pub claims: &'a [Claim],
    /// Database clock when they were asked for.
    pub asked_at: Millis,
    /// What the CRM answered; ids without a record are absent.
    pub records: Vec<Record>,
    /// The links' versions when the records were asked for; absent for records without a link.
    pub versions: HashMap<RemoteId, i64>,
    pub precision: Millis,
    pub clock: Option<Clock>,
    pub read_delay: Millis,
    /// What asking again for those that were not answered came to.
    pub round: Round,
}

/// Merges records that were read by id and pays their debts. What was not found is concluded as the round says, or asked for again.
pub async fn apply_reads(
    store: &Store,
    mapped: &Mapped,
    parents: &Parents<'_>,
    reads: OwedReads<'_>,
) -> Result<PageCounts, StoreError> {
    let tx = store.begin().await?;
    holds::prove_unbroken(&tx, store, mapped, reads.claims.iter().map(|claim| claim.claimed_at)).await?;
    let ids: Vec<&str> = reads.claims.iter().map(|claim| claim.subject.as_str()).collect();
    let now = links::locked(&tx, mapped, By::Remote, ids.iter().copied()).await?;
    let moved = now.iter().filter_map(|link| {
        let id = link.remote_id.clone()?;
        (reads.versions.get(&id) != Some(&link.version)).then_some(id)
    });
    let mut moved: HashSet<RemoteId> = moved.collect();
    // A survivor answers for the ids it absorbed. What nobody asked for by its own id has no version to compare with: its link may have moved.
    let asked: HashSet<&str> = ids.iter().copied().collect();
    let unasked: Vec<&str> = reads.records.iter().map(|record| record.id.as_str()).filter(|id| !asked.contains(id)).collect();
    let unasked = links::locked(&tx, mapped, By::Remote, unasked.into_iter()).await?;
    moved.extend(unasked.into_iter().filter_map(|link| link.remote_id));
    let answered: HashSet<String> = reads.records.iter().flat_map(Record::ids).map(|id| id.0.clone()).collect();
    let is_missing =
        |link: &&KnownLink| link.remote_id.as_ref().is_some_and(|id| !answered.contains(id.as_str()) && !moved.contains(id));
    let missing: Vec<&KnownLink> = now.iter().filter(is_missing).collect();
    let gone = gone::settle(&tx, mapped, &missing, reads.claims, reads.asked_at, &reads.round).await?;
    // Linked and not found, but not asked for again in this round: nothing is known of it.
    let asked_again: HashSet<&RemoteId> = reads.round.missing.iter().map(|missing| &missing.id).collect();
    let unasked = missing.iter().filter(|link| link.view.state == LinkState::Linked).filter_map(|link| link.remote_id.as_ref());
    let unasked: HashSet<&str> = unasked.filter(|id| !asked_again.contains(*id)).map(RemoteId::as_str).collect();
    let batch = Batch {
        mapped,
        parents,
        records: reads.records,
        heard: Heard::ById { asked_at: reads.asked_at },
        source: Source::Read,
        precision: reads.precision,
        clock: reads.clock,
        read_delay: reads.read_delay,
        // With a key of ours on each record a create is told apart; without one a record may be what a create made.
        undecided_creates: mapped.spec.external_key.is_none() && streams::undecided_creates(&tx, mapped).await?,
        keys_doubted: streams::keys_doubted(&tx, mapped.id).await?,
        read_debts: true,
        claimed: reads.claims.iter().map(|claim| claim.subject.as_str()).collect(),
        children: true,
        aliases: true,
        moved: moved.clone(),
        sweep: None,
        passed: reads.claims.iter().filter_map(|claim| Some((claim.subject.as_str(), claim.passed.as_deref()?))).collect(),
        measure: None,
    };
    debts::answered(&tx, reads.fence, reads.claims).await?;
    let mut applied = apply(&tx, batch).await?;
    applied.counts.rows_changed += i64::try_from(gone.rows_changed).unwrap_or(0);
    // What is owed again was moved to its next generation by `apply`, so that paying leaves it; what was parked is no longer ours to pay.
    let unanswered = |id: &String| moved.contains(&RemoteId::new(id.as_str())) && !answered.contains(id);
    let later = |id: &String| gone.waiting.contains_key(id) || unasked.contains(id.as_str());
    let parked = |id: &String| applied.parked.contains(id) || gone.parked.contains(id);
    let (again, rest): (Vec<&Claim>, Vec<&Claim>) = reads.claims.iter().partition(|claim| later(&claim.subject));
    let paid: Vec<&Claim> = rest.into_iter().filter(|claim| !parked(&claim.subject) && !unanswered(&claim.subject)).collect();
    debts::pay(&tx, reads.fence, &paid).await?;
    for claim in again {
        let cause = gone.waiting.get(&claim.subject).copied().unwrap_or("it was not found and is asked for again");
        let unpaid = Unpaid::Later { due_at: reads.asked_at + WAIT_MS, cause };
        debts::leave(&tx, reads.fence, claim, &unpaid).await?;
    }
    tx.commit().await?;
    // Only a number for people: counted inside, it would lock the stream after its links.
    windows::count(&store.db, mapped.id, applied.counts).await?;
    Ok(applied.counts)
}

/// A record whose delete is in doubt is asked for again after this long.
const WAIT_MS: Millis = 60_000;

/// Streams of the same connection by object: whose links turn a referenced record's id into its row's key.
pub type Parents<'a> = HashMap<&'a str, &'a Mapped>;

struct Batch<'a> {
    mapped: &'a Mapped,
    parents: &'a Parents<'a>,
    records: Vec<Record>,
    heard: Heard,
    source: Source,
    precision: Millis,
    clock: Option<Clock>,
    read_delay: Millis,
    undecided_creates: bool,
    keys_doubted: bool,
    read_debts: bool,
    /// Whose debts the caller pays itself: what is owed again for them stays.
    claimed: HashSet<&'a str>,
    children: bool,
    aliases: bool,
    moved: HashSet<RemoteId>,
    sweep: Option<Sweeping>,
    /// What owed reads are let through for, by record.
    passed: HashMap<&'a str, &'a str>,
    /// How late its versions became visible is counted by this.
    measure: Option<Measure>,
}

/// The sweep a batch belongs to, and how far the readers were.
#[derive(Clone, Copy)]
struct Sweeping {
    window: i64,
    cursors: Cursors,
}

struct Applied {
    counts: PageCounts,
    parked: HashSet<String>,
}

/// Records that came back.
#[derive(Default)]
struct Returns {
    /// Met again like strangers, with the tombstones that end with the meeting.
    met: Vec<(RemoteId, i64)>,
    /// Linked again, with the rows whose mark comes off.
    lifted: Vec<(i64, RowKey)>,
}

impl Returns {
    async fn make_way(&self, tx: &Tx, mapped: &Mapped) -> Result<(), StoreError> {
        links::forget(tx, &self.met).await?;
        let lifted: Vec<i64> = self.lifted.iter().map(|(link, _)| *link).collect();
        if let Some(column) = mapped.spec.delete_mark() {
            row_writes::unmark(tx, mapped, column, &lifted).await?;
        }
        let mut notes = Notes::default();
        lifted.into_iter().for_each(|link| notes.whole(link, What::Restored));
        notes.write(tx).await
    }
}

async fn apply(tx: &Tx, mut batch: Batch<'_>) -> Result<Applied, StoreError> {
    let mapped = batch.mapped;
    let mut applied = Applied { counts: PageCounts::default(), parked: HashSet::new() };
    if batch.records.is_empty() {
        return Ok(applied);
    }
    resolve_references(tx, mapped, batch.parents, &mut batch.records).await?;
    if batch.aliases {
        aliases::recall(tx, mapped.id, &mut batch.records).await?;
    }
    let known = load(tx, mapped, &batch.records, batch.heard, batch.aliases).await?;
    let mut known = Known {
        undecided_creates: batch.undecided_creates,
        keys_doubted: batch.keys_doubted,
        moved: std::mem::take(&mut batch.moved),
        clock: batch.clock,
        ..known
    };
    known.absorbed = absorb(&mapped.spec, &batch.records, &known);
    aliases::store(tx, mapped.id, &known.absorbed, batch.source).await?;
    let steps = plan(&mapped.spec, &batch.records, &known, batch.heard, batch.precision);
    let steps = match planted(Bug::BrakesOnlySweeps) && batch.sweep.is_none() {
        true => steps,
        false => hold_back(tx, mapped, &batch.records, &known, steps, &batch.passed, batch.read_debts).await?,
    };
    let (steps, again) = erased::hold_back(tx, mapped, &batch.records, &known, steps, &batch.passed).await?;
    let found = match batch.sweep {
        Some(sweep) => sweeps::found(tx, mapped, &batch.records, &known, &steps, sweep.cursors).await?,
        None => Vec::new(),
    };
    if let Some(measure) = batch.measure {
        arrivals::count(tx, mapped.id, &batch.records, &known, &steps, measure).await?;
    }
    applied.counts.drift = i64::try_from(found.len()).unwrap_or(0);

    let waits = |(record, step): (&Record, &Step<'_>)| Some((record.id.clone(), waits_for(mapped, record, step, &known)?));
    let awaiting: Vec<(RemoteId, Parent)> = batch.records.iter().zip(&steps).filter_map(waits).collect();
    let mut work = Work::default();
    work.parked.extend(again.into_iter().map(|(id, again)| (id, erasure::CLASS, again.cause, again.next_step)));
    let mut returns = Returns::default();
    let (mut redirected, mut freed): (Vec<RemoteId>, Vec<RowKey>) = (Vec::new(), Vec::new());
    let mut parts: Vec<&str> = Vec::new();
    for (record, step) in batch.records.iter().zip(steps) {
        match step {
            Step::Pass | Step::Await(_) => {}
            Step::Seen { link } => {
                // A list that shows a part is believed for the stamp that was seen: what was read by id under it holds nothing of a property that was out of the mapping.
                let by_id = matches!(batch.heard, Heard::ById { .. });
                let base = known.links.get(&record.id).filter(|_| by_id).map(|link| link.view.base.to_json(&mapped.spec));
                work.updates.push(LinkUpdate {
                    id: link,
                    base,
                    ghosts: None,
                    seen: record.modified,
                    remote_id: None,
                    open: false,
                });
            }
            Step::Exclude { .. } => applied.counts.excluded += 1,
            Step::OweRead { .. } => work.owed_reads.push(record.id.as_str()),
            Step::ReadWhole => parts.push(record.id.as_str()),
            Step::Redirect { survivor } => redirected.push(survivor),
            Step::Park { cause, next_step } => work.parked.push((record.id.as_str(), "rejected", cause, next_step)),
            Step::Held { act } => {
                let (cause, next_step) = brakes::words(mapped, Direction::In, act);
                work.parked.push((record.id.as_str(), act.class(), cause, next_step));
            }
            Step::Insert { row } => {
                returns.met.extend(known.lifted.get(&record.id).map(|link| (record.id.clone(), *link)));
                work.inserts.push((record, row));
            }
            Step::Lift { link, key, merged } => {
                returns.lifted.push((link, key.clone()));
                let ghosts = Ghosts::default();
                work.merges.push(Merge { record, link: Some(link), key, merged, ghosts, bind: false, rebind: false });
            }
            Step::Merge { link, key, merged, ghosts } => {
                applied.counts.conflicts += i64::from(merged.conflicts);
                work.merges.push(Merge { record, link: Some(link), key, merged, ghosts, bind: false, rebind: false });
            }
            Step::Rebind { link, key, merged, ghosts } => {
                applied.counts.conflicts += i64::from(merged.conflicts);
                // It seemed to be gone before its survivor was heard of, or waited for a person: neither holds any more.
                match known.absorbed.rebound.get(&record.id).map(|link| link.view.state) {
                    Some(LinkState::Tombstone) => {
                        returns.lifted.push((link, key.clone()));
                        freed.push(key.clone());
                    }
                    Some(LinkState::Double) => freed.push(key.clone()),
                    _ => {}
                }
                work.merges.push(Merge { record, link: Some(link), key, merged, ghosts, bind: true, rebind: true });
            }
            Step::Bind { link, key, merged, ghosts } => {
                // Its create may wait for a person who has answered in the CRM.
                freed.extend(link.map(|_| key.clone()));
                returns.met.extend(known.lifted.get(&record.id).map(|link| (record.id.clone(), *link)));
                applied.counts.conflicts += i64::from(merged.conflicts);
                work.merges.push(Merge { record, link, key, merged, ghosts, bind: true, rebind: false });
            }
        }
    }
    let terms = if work.writes_rows() { terms::ask(tx, mapped).await? } else { Terms::default() };
    returns.make_way(tx, mapped).await?;
    let written = write(tx, mapped, &terms, &known, batch.source, &mut work).await?;
    lineage::inherit(tx, mapped.id, &returns.met).await?;
    applied.counts.rows_changed = i64::try_from(written.keys.len()).unwrap_or(0);
    let keys = written.keys.iter().map(String::as_str).chain(returns.lifted.iter().map(|(_, key)| key.as_str()));
    let keys: Vec<&str> = keys.collect();
    let strangers: Vec<&str> = written.strangers.iter().map(String::as_str).collect();
    changes::end_own(tx, mapped, &terms, &keys, &strangers).await?;
    if batch.children {
        let linked: Vec<&str> = written.linked.iter().map(String::as_str).collect();
        let records: Vec<&str> = written.merged.iter().map(RemoteId::as_str).collect();
        children::free(tx, &mapped.spec, &linked, &records).await?;
    }
    owing::owe(tx, mapped.id, Kind::Push, freed.iter().map(RowKey::as_str), 0, Owing::Freed).await?;
    owing::owe(tx, mapped.id, Kind::Push, written.owe_push.iter().map(String::as_str), 0, Owing::Doubt).await?;
    if batch.read_debts {
        // A record that is merged now owes nothing any more, parked or not.
        let merged = written.merged.iter().map(RemoteId::as_str).filter(|id| !batch.claimed.contains(id));
        owing::forget(tx, mapped.id, Kind::Read, merged).await?;
    }
    let others = written.lost.iter().chain(&redirected).map(RemoteId::as_str);
    let owed: Vec<&str> = work.owed_reads.iter().copied().chain(others).collect();
    applied.counts.owed_reads = i64::try_from(owed.len() + parts.len()).unwrap_or(0);
    owing::owe(tx, mapped.id, Kind::Read, owed.into_iter(), batch.read_delay, Owing::Doubt).await?;
    owing::owe_whole(tx, mapped.id, &parts, batch.read_delay, batch.sweep.is_some()).await?;
    for (id, until) in &written.haunted {
        let delay = until - batch.heard.asked_at();
        owing::owe(tx, mapped.id, Kind::Read, std::iter::once(id.as_str()), delay, Owing::Doubt).await?;
    }
    children::wait(tx, mapped.id, &awaiting).await?;
    for (id, class, cause, next_step) in &work.parked {
        owing::park_new(tx, mapped.id, Kind::Read, id, Parking { class, code: None, cause, next_step }).await?;
        applied.parked.insert((*id).to_owned());
    }
    applied.counts.parked = i64::try_from(work.parked.len()).unwrap_or(0);
    if let Some(sweep) = batch.sweep {
        sweeps::note(tx, mapped, sweep.window, &batch.records, &found).await?;
    }
    Ok(applied)
}

/// What the row of a record waits for, unless the record is none of this stream's business now.
fn waits_for(mapped: &Mapped, record: &Record, step: &Step<'_>, known: &Known) -> Option<Parent> {
    match step {
        Step::Await(parent) => Some(parent.clone()),
        Step::Insert { .. }
        | Step::Merge { .. }
        | Step::Bind { .. }
        | Step::Rebind { .. }
        | Step::Lift { .. }
        | Step::Seen { .. } => awaited(&mapped.spec, record),
        Step::Pass if known.links.get(&record.id).is_some_and(|link| link.view.state == LinkState::Linked) => {
            awaited(&mapped.spec, record)
        }
        Step::Pass
        | Step::Exclude { .. }
        | Step::OweRead { .. }
        | Step::ReadWhole
        | Step::Redirect { .. }
        | Step::Park { .. }
        | Step::Held { .. } => None,
    }
}
