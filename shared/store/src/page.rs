//! Applies a batch of records that was read: fence, load and lock, plan (pure), write, clear our own echo, progress. One transaction, no network call inside.
//!
//! Order of locks: stream, links by id, rows by key, debts by (stream, kind, subject). Rows somebody else holds are skipped, not waited for. A record the database
//! refuses is found by halving the batch under savepoints and parked alone, while the others and the cursor pass.

use std::collections::{BTreeMap, HashMap, HashSet};

use sea_orm::{DatabaseTransaction, TransactionTrait};
use tidemark_core::Millis;
use tidemark_core::base::Base;
use tidemark_core::merge::{Heard, Merged};
use tidemark_core::page::{Known, Step, plan};
use tidemark_core::record::{Record, RemoteId, Row, RowKey};
use tidemark_core::source::Position;

use crate::debts::{self, Claim, Kind};
use crate::known::{load, resolve_references};
use crate::links::{self, By, LinkUpdate, NewLink};
use crate::rows::{self, Mapped, NewRow};
use crate::streams::{self, Fence};
use crate::windows::{self, OpenWindow, PageCounts};
use crate::{Store, StoreError, changes};

/// One or more pages of a window, one after the other.
#[derive(Debug)]
pub struct WindowPage<'a> {
    pub fence: Fence,
    pub window: &'a OpenWindow,
    pub pages: usize,
    pub records: Vec<Record>,
    /// `None` when the window is drained.
    pub next: Option<&'a Position>,
    /// Database clock when the page was asked for.
    pub asked_at: Millis,
    pub commit_lag: Millis,
    pub precision: Millis,
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
    let heard = Heard::Page { asked_at: page.asked_at, commit_lag: page.commit_lag };
    let inside =
        page.records.iter().filter(|record| record.modified.is_none_or(|stamp| page.window.window.contains(stamp))).count();
    let batch = Batch {
        mapped,
        parents,
        records: page.records,
        heard,
        precision: page.precision,
        read_delay: page.read_delay,
        undecided_creates: held.undecided_creates,
        read_debts: held.read_debts,
        moved: HashSet::new(),
    };
    let mut counts = apply(&tx, batch).await?.counts;
    counts.records = i64::try_from(inside).unwrap_or(0);
    windows::advance(&tx, page.fence, page.window, page.next, page.pages, counts).await?;
    tx.commit().await?;
    Ok(counts)
}

/// Records that were owed a read.
#[derive(Debug)]
pub struct OwedReads<'a> {
    pub fence: &'a str,
    pub claims: &'a [Claim],
    /// What the CRM answered; ids without a record are absent.
    pub records: Vec<Record>,
    /// The links' versions when the records were asked for; absent for records without a link.
    pub versions: HashMap<RemoteId, i64>,
    pub precision: Millis,
    pub read_delay: Millis,
}

/// Merges records that were read by id and pays their debts. A record that is gone leaves a tombstone.
pub async fn apply_reads(
    store: &Store,
    mapped: &Mapped,
    parents: &Parents<'_>,
    reads: OwedReads<'_>,
) -> Result<PageCounts, StoreError> {
    let tx = store.begin().await?;
    let ids: Vec<&str> = reads.claims.iter().map(|claim| claim.subject.as_str()).collect();
    let now = links::locked(&tx, mapped, By::Remote, ids.iter().copied()).await?;
    let moved = now.into_iter().filter_map(|link| {
        let id = link.remote_id?;
        (reads.versions.get(&id) != Some(&link.version)).then_some(id)
    });
    let moved: HashSet<RemoteId> = moved.collect();
    let answered: HashSet<String> = reads.records.iter().map(|record| record.id.0.clone()).collect();
    let gone: Vec<&str> =
        ids.iter().copied().filter(|id| !answered.contains(*id) && !moved.contains(&RemoteId::new(*id))).collect();
    links::bury(&tx, mapped.id, gone.iter().copied()).await?;
    let batch = Batch {
        mapped,
        parents,
        records: reads.records,
        heard: Heard::ById,
        precision: reads.precision,
        read_delay: reads.read_delay,
        undecided_creates: false,
        read_debts: false,
        moved: moved.clone(),
    };
    let applied = apply(&tx, batch).await?;
    // What is owed again was moved to its next generation by `apply`, so that paying leaves it; what was parked is no longer ours to pay.
    let unanswered = |id: &String| moved.contains(&RemoteId::new(id.as_str())) && !answered.contains(id);
    let paid: Vec<&Claim> =
        reads.claims.iter().filter(|claim| !applied.parked.contains(&claim.subject) && !unanswered(&claim.subject)).collect();
    debts::pay(&tx, reads.fence, &paid).await?;
    tx.commit().await?;
    Ok(applied.counts)
}

/// Streams of the same connection by object: whose links turn a referenced record's id into its row's key.
pub type Parents<'a> = HashMap<&'a str, &'a Mapped>;

struct Batch<'a> {
    mapped: &'a Mapped,
    parents: &'a Parents<'a>,
    records: Vec<Record>,
    heard: Heard,
    precision: Millis,
    read_delay: Millis,
    undecided_creates: bool,
    read_debts: bool,
    moved: HashSet<RemoteId>,
}

struct Applied {
    counts: PageCounts,
    parked: HashSet<String>,
}

async fn apply(tx: &DatabaseTransaction, mut batch: Batch<'_>) -> Result<Applied, StoreError> {
    let mapped = batch.mapped;
    let mut applied = Applied { counts: PageCounts::default(), parked: HashSet::new() };
    if batch.records.is_empty() {
        return Ok(applied);
    }
    resolve_references(tx, mapped, batch.parents, &mut batch.records).await?;
    let known = load(tx, mapped, &batch.records).await?;
    let known = Known { undecided_creates: batch.undecided_creates, moved: batch.moved, ..known };
    let steps = plan(&mapped.spec, &batch.records, &known, batch.heard, batch.precision);
    let mark = changes::mark(tx).await?;

    let mut work = Work::default();
    for (record, step) in batch.records.iter().zip(steps) {
        match step {
            Step::Pass => {}
            Step::Seen { link } => work.updates.push(LinkUpdate { id: link, base: None, seen: record.modified, remote_id: None }),
            Step::Exclude { .. } => applied.counts.excluded += 1,
            Step::OweRead { .. } => work.owed_reads.push(record.id.as_str()),
            Step::Park { cause, next_step } => work.parked.push((record.id.as_str(), cause, next_step)),
            Step::Insert { merged } => work.inserts.push((record, merged)),
            Step::Merge { link, key, merged } => {
                applied.counts.conflicts += i64::from(merged.conflicts);
                work.merges.push(Merge { record, link: Some(link), key, merged, bind: false });
            }
            Step::Bind { link, key, merged } => {
                applied.counts.conflicts += i64::from(merged.conflicts);
                work.merges.push(Merge { record, link, key, merged, bind: true });
            }
        }
    }
    let written = write(tx, mapped, &known, &mut work).await?;
    applied.counts.rows_changed = i64::try_from(written.keys.len()).unwrap_or(0);
    let keys: Vec<&str> = written.keys.iter().map(String::as_str).collect();
    changes::clear_own(tx, mapped, mark, &keys).await?;
    debts::free_children(
        tx,
        &mapped.spec.connection,
        &mapped.spec.object,
        &written.linked.iter().map(String::as_str).collect::<Vec<_>>(),
    )
    .await?;
    debts::owe(tx, mapped.id, Kind::Push, written.owe_push.iter().map(String::as_str), 0, false).await?;
    if batch.read_debts {
        // A record that is merged now owes nothing any more, parked or not.
        debts::forget(tx, mapped.id, Kind::Read, written.merged.iter().map(RemoteId::as_str)).await?;
    }
    let owed: Vec<&str> = work.owed_reads.iter().copied().chain(written.lost.iter().map(RemoteId::as_str)).collect();
    applied.counts.owed_reads = i64::try_from(owed.len()).unwrap_or(0);
    debts::owe(tx, mapped.id, Kind::Read, owed.into_iter(), batch.read_delay, false).await?;
    for (id, cause, next_step) in &work.parked {
        debts::park_new(tx, mapped.id, Kind::Read, id, cause, next_step).await?;
        applied.parked.insert((*id).to_owned());
    }
    applied.counts.parked = i64::try_from(work.parked.len()).unwrap_or(0);
    Ok(applied)
}

/// What the batch writes, gathered from the plan.
#[derive(Default)]
struct Work<'a> {
    inserts: Vec<(&'a Record, Merged)>,
    merges: Vec<Merge<'a>>,
    updates: Vec<LinkUpdate>,
    owed_reads: Vec<&'a str>,
    parked: Vec<(&'a str, String, String)>,
}

struct Merge<'a> {
    record: &'a Record,
    link: Option<i64>,
    key: RowKey,
    merged: Merged,
    bind: bool,
}

/// What was written.
#[derive(Default)]
struct Written {
    /// Rows made or changed.
    keys: Vec<String>,
    /// Rows that got a record.
    linked: Vec<String>,
    owe_push: Vec<String>,
    merged: Vec<RemoteId>,
    /// Records whose link somebody else made meanwhile.
    lost: Vec<RemoteId>,
}

async fn write(tx: &DatabaseTransaction, mapped: &Mapped, known: &Known, work: &mut Work<'_>) -> Result<Written, StoreError> {
    let mut written = Written::default();
    write_inserts(tx, mapped, work, &mut written).await?;
    write_merges(tx, mapped, known, work, &mut written).await?;
    links::update(tx, &work.updates).await?;
    Ok(written)
}

/// Rows and their links in one savepoint: a record that somebody linked meanwhile takes its new row back with it, so that two readers never make two rows.
async fn write_inserts<'a>(
    tx: &DatabaseTransaction,
    mapped: &Mapped,
    work: &mut Work<'a>,
    written: &mut Written,
) -> Result<(), StoreError> {
    let inserts = std::mem::take(&mut work.inserts);
    if inserts.is_empty() {
        return Ok(());
    }
    let spec = &mapped.spec;
    let keys = rows::new_keys(tx, mapped, inserts.len()).await?;
    let mut columns: Vec<&str> = spec.fields.iter().map(|field| field.column.as_str()).collect();
    columns.extend(spec.remote_id.as_deref());
    let mut changes: Vec<(usize, NewRow)> = Vec::with_capacity(inserts.len());
    for (at, ((record, merged), key)) in inserts.iter().zip(keys).enumerate() {
        let mut values: Vec<Option<String>> = vec![None; spec.fields.len()];
        for (field, value) in &merged.row_changes {
            values[*field].clone_from(value);
        }
        values.extend(spec.remote_id.as_ref().map(|_| Some(record.id.0.clone())));
        changes.push((at, NewRow { key, values }));
    }
    let mut parts = vec![changes];
    while let Some(mut part) = parts.pop() {
        let savepoint = tx.begin().await?;
        match insert_with_links(&savepoint, mapped, &columns, &inserts, &part).await {
            Ok(Inserted { rows, lost }) if lost.is_empty() => {
                savepoint.commit().await?;
                written.merged.extend(part.iter().map(|(at, _)| inserts[*at].0.id.clone()));
                written.linked.extend(rows.iter().map(|row| row.key.0.clone()));
                written.keys.extend(rows.into_iter().map(|row| row.key.0));
            }
            Ok(Inserted { lost, .. }) => {
                savepoint.rollback().await?;
                part.retain(|(at, _)| !lost.contains(&inserts[*at].0.id));
                written.lost.extend(lost);
                parts.extend((!part.is_empty()).then_some(part));
            }
            Err(error) if error.is_about_data() => {
                savepoint.rollback().await?;
                if let [(at, _)] = part.as_slice() {
                    let cause = format!("{} refused the new row: {}", spec.table, error.words());
                    work.parked.push((inserts[*at].0.id.as_str(), cause, "correct the record in the CRM, or the mapping".into()));
                } else {
                    let right = part.split_off(part.len() / 2);
                    parts.extend([right, part]);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

struct Inserted {
    rows: Vec<Row>,
    /// Records whose link somebody else holds.
    lost: HashSet<RemoteId>,
}

async fn insert_with_links(
    tx: &DatabaseTransaction,
    mapped: &Mapped,
    columns: &[&str],
    inserts: &[(&Record, Merged)],
    part: &[(usize, NewRow)],
) -> Result<Inserted, StoreError> {
    let rows = rows::insert(tx, mapped, columns, part.iter().map(|(_, row)| row)).await?;
    let by_key: HashMap<&RowKey, &Row> = rows.iter().map(|row| (&row.key, row)).collect();
    let new_link = |(at, new): &(usize, NewRow)| {
        let (record, merged) = &inserts[*at];
        let base = by_key
            .get(&new.key)
            .map_or_else(|| merged.base.to_json(&mapped.spec), |row| merged.base.to_json_as_stored(&mapped.spec, row));
        NewLink { row_key: new.key.clone(), remote_id: record.id.clone(), base, seen: record.modified }
    };
    let links: Vec<NewLink> = part.iter().map(new_link).collect();
    let won = links::insert(tx, mapped.id, &links).await?;
    let lost = links.into_iter().map(|link| link.remote_id).filter(|id| !won.contains_key(id)).collect();
    Ok(Inserted { rows, lost })
}

async fn write_merges<'a>(
    tx: &DatabaseTransaction,
    mapped: &Mapped,
    known: &Known,
    work: &mut Work<'a>,
    written: &mut Written,
) -> Result<(), StoreError> {
    let spec = &mapped.spec;
    let merges = std::mem::take(&mut work.merges);
    let mut stored: HashMap<usize, Row> = HashMap::new();
    let mut refused: HashMap<usize, String> = HashMap::new();
    // One statement per set of changed columns: a column that did not change is not written, so no trigger of the shop fires for it.
    let mut groups: BTreeMap<Vec<&str>, Vec<(usize, NewRow)>> = BTreeMap::new();
    for (at, merge) in merges.iter().enumerate() {
        let mut columns: Vec<&str> =
            merge.merged.row_changes.iter().map(|(field, _)| spec.fields[*field].column.as_str()).collect();
        let mut values: Vec<Option<String>> = merge.merged.row_changes.iter().map(|(_, value)| value.clone()).collect();
        let needs_id =
            |column: &&str| known.rows.get(&merge.key).and_then(|row| row.get(spec, column)) != Some(merge.record.id.as_str());
        if let Some(column) = spec.remote_id.as_deref().filter(needs_id) {
            columns.push(column);
            values.push(Some(merge.record.id.0.clone()));
        }
        if !columns.is_empty() {
            groups.entry(columns).or_default().push((at, NewRow { key: merge.key.clone(), values }));
        }
    }
    for (columns, changes) in groups {
        let (made, failed) = bisect(tx, mapped, &columns, &changes).await?;
        stored.extend(made);
        refused.extend(failed);
    }
    let mut new_links = Vec::new();
    for (at, merge) in merges.into_iter().enumerate() {
        if let Some(words) = refused.remove(&at) {
            let cause = format!("{} refused the change of row {}: {words}", spec.table, merge.key);
            work.parked.push((merge.record.id.as_str(), cause, "correct the record in the CRM, or the row".into()));
            continue;
        }
        let row = stored.remove(&at);
        let base = match &row {
            Some(row) => as_stored(&merge.merged, row),
            None => merge.merged.base.clone(),
        };
        let base = base.to_json(spec);
        match merge.link {
            Some(id) => {
                let remote_id = merge.bind.then(|| merge.record.id.clone());
                work.updates.push(LinkUpdate { id, base: Some(base), seen: merge.record.modified, remote_id });
            }
            None => new_links.push(NewLink {
                row_key: merge.key.clone(),
                remote_id: merge.record.id.clone(),
                base,
                seen: merge.record.modified,
            }),
        }
        written.keys.extend(row.map(|row| row.key.0));
        if merge.bind {
            written.linked.push(merge.key.0.clone());
        }
        if merge.merged.owes_push && spec.direction.writes_records() {
            written.owe_push.push(merge.key.0);
        }
        written.merged.push(merge.record.id.clone());
    }
    if !new_links.is_empty() {
        let won = links::insert(tx, mapped.id, &new_links).await?;
        written.lost.extend(new_links.into_iter().map(|link| link.remote_id).filter(|id| !won.contains_key(id)));
    }
    Ok(())
}

/// The base with the row's side as the database stored it: what a BEFORE trigger or a type made of the value is what was agreed.
fn as_stored(merged: &Merged, row: &Row) -> Base {
    let mut base = merged.base.clone();
    for (at, _) in &merged.row_changes {
        if let Some(Some(field)) = base.fields.get_mut(*at) {
            field.row = row.field(*at).map(str::to_owned);
        }
    }
    base
}

type Bisected = (Vec<(usize, Row)>, Vec<(usize, String)>);

/// Changes what the database takes, in as few statements as it allows, and names what it refuses.
async fn bisect(
    tx: &DatabaseTransaction,
    mapped: &Mapped,
    columns: &[&str],
    changes: &[(usize, NewRow)],
) -> Result<Bisected, StoreError> {
    let (mut made, mut refused) = (Vec::new(), Vec::new());
    let mut parts = vec![changes];
    while let Some(part) = parts.pop() {
        let savepoint = tx.begin().await?;
        match rows::update(&savepoint, mapped, columns, part.iter().map(|(_, row)| row)).await {
            Ok(rows) => {
                savepoint.commit().await?;
                let mut by_key: HashMap<RowKey, Row> = rows.into_iter().map(|row| (row.key.clone(), row)).collect();
                made.extend(part.iter().filter_map(|(at, new)| Some((*at, by_key.remove(&new.key)?))));
            }
            Err(error) if error.is_about_data() => {
                savepoint.rollback().await?;
                match part {
                    [(at, _)] => refused.push((*at, error.words())),
                    _ => {
                        let (left, right) = part.split_at(part.len() / 2);
                        parts.extend([right, left]);
                    }
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok((made, refused))
}
