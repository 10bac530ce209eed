//! Writes what a batch was planned to do to rows and links, in as few statements as the database allows. A record the database refuses is found by halving the batch under
//! savepoints and parked alone.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use tidemark_core::Millis;
use tidemark_core::base::{Base, agreed_json};
use tidemark_core::ghost::Ghosts;
use tidemark_core::lineage::{Source, What};
use tidemark_core::merge::Merged;
use tidemark_core::page::Known;
use tidemark_core::record::{Record, RemoteId, RowKey};

use crate::StoreError;
use crate::lineage::Notes;
use crate::links::{self, LinkUpdate, NewLink};
use crate::row_writes::{self, NewRow, ReadBack, Stored};
use crate::rows::Mapped;
use crate::session::Tx;
use crate::terms::Terms;

/// What the batch writes, gathered from the plan.
#[derive(Default)]
pub(crate) struct Work<'a> {
    /// Records that become rows, with the values of their fields.
    pub(crate) inserts: Vec<(&'a Record, Vec<Option<Cow<'a, str>>>)>,
    pub(crate) merges: Vec<Merge<'a>>,
    pub(crate) updates: Vec<LinkUpdate>,
    pub(crate) owed_reads: Vec<&'a str>,
    /// Record, class, cause and next step.
    pub(crate) parked: Vec<(&'a str, &'static str, String, String)>,
}

impl Work<'_> {
    pub(crate) fn writes_rows(&self) -> bool {
        !self.inserts.is_empty() || !self.merges.is_empty()
    }
}

pub(crate) struct Merge<'a> {
    pub(crate) record: &'a Record,
    pub(crate) link: Option<i64>,
    pub(crate) key: RowKey,
    pub(crate) merged: Merged,
    pub(crate) ghosts: Ghosts,
    pub(crate) bind: bool,
    /// The link was another record's, which was merged into this one.
    pub(crate) rebind: bool,
}

/// What was written.
#[derive(Default)]
pub(crate) struct Written {
    /// Rows made or changed.
    pub(crate) keys: Vec<String>,
    /// Rows that a trigger of the order system re-keyed: what they were called and what they are called now.
    pub(crate) strangers: Vec<String>,
    /// Rows that got a record.
    pub(crate) linked: Vec<String>,
    pub(crate) owe_push: Vec<String>,
    pub(crate) merged: Vec<RemoteId>,
    /// Records whose link somebody else made meanwhile.
    pub(crate) lost: Vec<RemoteId>,
    /// Records in which an earlier write of ours may still land, with when it has or never will.
    pub(crate) haunted: Vec<(RemoteId, Millis)>,
}

pub(crate) async fn write(
    tx: &Tx,
    mapped: &Mapped,
    terms: &Terms,
    known: &Known,
    source: Source,
    work: &mut Work<'_>,
) -> Result<Written, StoreError> {
    let mut written = Written::default();
    write_inserts(tx, mapped, terms, source, work, &mut written).await?;
    let notes = write_merges(tx, mapped, terms, known, source, work, &mut written).await?;
    links::update(tx, &work.updates).await?;
    notes.write(tx).await?;
    Ok(written)
}

/// Rows and their links in one savepoint: a record that somebody linked meanwhile takes its new row back with it, so that two readers never make two rows.
async fn write_inserts<'a>(
    tx: &Tx,
    mapped: &Mapped,
    terms: &Terms,
    source: Source,
    work: &mut Work<'a>,
    written: &mut Written,
) -> Result<(), StoreError> {
    let inserts = std::mem::take(&mut work.inserts);
    if inserts.is_empty() {
        return Ok(());
    }
    let (spec, made) = (&mapped.spec, source.text());
    let keys = row_writes::new_keys(tx, mapped, inserts.len()).await?;
    let mut columns: Vec<&str> = spec.fields.iter().map(|field| field.column.as_str()).collect();
    columns.extend(spec.remote_id.as_deref());
    let (mut records, mut changes) = (Vec::with_capacity(inserts.len()), Vec::with_capacity(inserts.len()));
    for (at, ((record, mut values), key)) in inserts.into_iter().zip(keys).enumerate() {
        values.extend(spec.remote_id.as_ref().map(|_| Some(Cow::Borrowed(record.id.as_str()))));
        records.push(record);
        changes.push((at, NewRow { key, values }));
    }
    let back = ReadBack::new(terms, &columns, changes.iter().map(|(_, row)| row));
    // Whether somebody may have linked one of the part's records meanwhile.
    let mut parts = vec![(changes, false)];
    while let Some((mut part, contested)) = parts.pop() {
        let savepoint = tx.savepoint().await?;
        match insert_with_links(&savepoint, mapped, (&columns, &back), &records, &part, &made, contested).await {
            Ok(Inserted::Contested) => {
                savepoint.rollback().await?;
                parts.push((part, true));
            }
            Ok(Inserted::Rows { rows, lost }) if lost.is_empty() => {
                savepoint.commit().await?;
                written.merged.extend(part.iter().map(|(at, _)| records[*at].id.clone()));
                written.linked.extend(rows.iter().map(|row| row.key.0.clone()));
                written.keys.extend(rows.into_iter().map(|row| row.key.0));
            }
            Ok(Inserted::Rows { lost, .. }) => {
                savepoint.rollback().await?;
                part.retain(|(at, _)| !lost.contains(&records[*at].id));
                written.lost.extend(lost);
                parts.extend((!part.is_empty()).then_some((part, contested)));
            }
            Err(error) if error.is_about_data() => {
                savepoint.rollback().await?;
                if let [(at, _)] = part.as_slice() {
                    let cause = format!("{} refused the new row: {}", spec.table, error.words());
                    work.parked.push((
                        records[*at].id.as_str(),
                        "rejected",
                        cause,
                        "correct the record in the CRM, or the mapping".into(),
                    ));
                } else {
                    let right = part.split_off(part.len() / 2);
                    parts.extend([(right, contested), (part, contested)]);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

enum Inserted {
    Rows {
        rows: Vec<Stored>,
        /// Records whose link somebody else holds.
        lost: HashSet<RemoteId>,
    },
    /// A link is taken: which one is asked for in a second go.
    Contested,
}

async fn insert_with_links(
    tx: &Tx,
    mapped: &Mapped,
    (columns, back): (&[&str], &ReadBack),
    records: &[&Record],
    part: &[(usize, NewRow<'_>)],
    made: &str,
    contested: bool,
) -> Result<Inserted, StoreError> {
    let rows = row_writes::insert(tx, mapped, columns, part.iter().map(|(_, row)| row), back).await?;
    let by_key: HashMap<&RowKey, &Stored> = rows.iter().map(|row| (&row.key, row)).collect();
    let new_link = |(at, new): &(usize, NewRow<'_>)| {
        let (record, row) = (records[*at], by_key.get(&new.key));
        // As the database stored it; what it made of a column that was left out is no agreed value.
        let sides = new.values.iter().zip(&record.values).enumerate().map(|(at, (sent, value))| {
            let held = sent.as_deref().and_then(|sent| row.map_or(Some(sent), |row| row.get(back, at, Some(sent))));
            (held, value.as_deref())
        });
        let base = agreed_json(&mapped.spec, sides);
        NewLink { row_key: new.key.clone(), remote_id: record.id.clone(), base, seen: record.modified }
    };
    let links: Vec<NewLink> = part.iter().map(new_link).collect();
    if !contested {
        let free = links::insert_free(tx, mapped.id, &links, Some(made)).await?;
        return Ok(if free { Inserted::Rows { rows, lost: HashSet::new() } } else { Inserted::Contested });
    }
    let won = links::insert(tx, mapped.id, &links, Some(made)).await?;
    let lost = links.into_iter().map(|link| link.remote_id).filter(|id| !won.contains_key(id)).collect();
    Ok(Inserted::Rows { rows, lost })
}

async fn write_merges<'a>(
    tx: &Tx,
    mapped: &Mapped,
    terms: &Terms,
    known: &Known,
    source: Source,
    work: &mut Work<'a>,
    written: &mut Written,
) -> Result<Notes, StoreError> {
    let spec = &mapped.spec;
    let mut notes = Notes::default();
    let merges = std::mem::take(&mut work.merges);
    let mut stored: HashMap<usize, (RowKey, Base)> = HashMap::new();
    let mut refused: HashMap<usize, String> = HashMap::new();
    // One statement per set of changed columns: a column that did not change is not written, so no trigger of the shop fires for it.
    let mut groups: BTreeMap<Vec<&str>, Vec<(usize, NewRow<'_>)>> = BTreeMap::new();
    for (at, merge) in merges.iter().enumerate() {
        let mut columns: Vec<&str> =
            merge.merged.row_changes.iter().map(|(field, _)| spec.fields[*field].column.as_str()).collect();
        let changed = merge.merged.row_changes.iter();
        let mut values: Vec<Option<Cow<'_, str>>> = changed.map(|(_, value)| value.as_deref().map(Cow::Borrowed)).collect();
        let needs_id =
            |column: &&str| known.rows.get(&merge.key).and_then(|row| row.get(spec, column)) != Some(merge.record.id.as_str());
        if let Some(column) = spec.remote_id.as_deref().filter(needs_id) {
            columns.push(column);
            values.push(Some(Cow::Borrowed(merge.record.id.as_str())));
        }
        if !columns.is_empty() {
            groups.entry(columns).or_default().push((at, NewRow { key: merge.key.clone(), values }));
        }
    }
    for (columns, changes) in groups {
        let back = ReadBack::new(terms, &columns, changes.iter().map(|(_, row)| row));
        let Bisected { made, failed, strangers } = bisect(tx, mapped, (&columns, &back), &changes).await?;
        for (at, row) in made {
            let base = as_stored(&merges[at].merged, &row, &back);
            stored.insert(at, (row.key, base));
        }
        refused.extend(failed);
        written.strangers.extend(strangers);
    }
    let (mut new_links, mut waiting) = (Vec::new(), Vec::new());
    for (at, merge) in merges.into_iter().enumerate() {
        if let Some(words) = refused.remove(&at) {
            let cause = format!("{} refused the change of row {}: {words}", spec.table, merge.key);
            work.parked.push((merge.record.id.as_str(), "rejected", cause, "correct the record in the CRM, or the row".into()));
            continue;
        }
        let (row, base) = stored.remove(&at).unzip();
        let base = base.unwrap_or_else(|| merge.merged.base.clone());
        let open = base.is_open();
        match merge.link {
            Some(id) => {
                if merge.rebind {
                    notes.whole_by(id, What::Rebound, source);
                }
                notes.merged(spec, id, source, merge.bind && !merge.rebind, &merge.merged.because, &base);
                let base = base.to_json(spec);
                let remote_id = merge.bind.then(|| merge.record.id.clone());
                let ghosts = merge.ghosts.to_json(spec);
                work.updates.push(LinkUpdate { id, base: Some(base), ghosts, seen: merge.record.modified, remote_id, open });
                written.haunted.extend(merge.ghosts.until().map(|until| (merge.record.id.clone(), until)));
            }
            None => {
                let (row_key, remote_id, seen) = (merge.key.clone(), merge.record.id.clone(), merge.record.modified);
                waiting.extend(open.then(|| remote_id.clone()));
                new_links.push(NewLink { row_key, remote_id, base: base.to_json(spec), seen });
                notes.met(&merge.record.id, merge.merged.because, base);
            }
        }
        written.keys.extend(row.map(|key| key.0));
        if merge.bind {
            written.linked.push(merge.key.0.clone());
        }
        if merge.merged.owes_push && spec.direction.writes_records() {
            written.owe_push.push(merge.key.0);
        }
        written.merged.push(merge.record.id.clone());
    }
    if !new_links.is_empty() {
        let won = links::insert(tx, mapped.id, &new_links, None).await?;
        notes.linked(spec, source, &won);
        let waiting: Vec<i64> = waiting.iter().filter_map(|id| won.get(id).copied()).collect();
        links::open(tx, &waiting).await?;
        written.lost.extend(new_links.into_iter().map(|link| link.remote_id).filter(|id| !won.contains_key(id)));
    }
    Ok(notes)
}

/// The base with the row's side as the database stored it: what a BEFORE trigger or a type made of the value is what was agreed.
fn as_stored(merged: &Merged, row: &Stored, back: &ReadBack) -> Base {
    let mut base = merged.base.clone();
    for (place, (at, sent)) in merged.row_changes.iter().enumerate() {
        if let Some(Some(field)) = base.fields.get_mut(*at) {
            field.row = row.get(back, place, sent.as_deref()).map(str::to_owned);
        }
    }
    base
}

#[derive(Default)]
struct Bisected {
    made: Vec<(usize, Stored)>,
    failed: Vec<(usize, String)>,
    /// Keys that came back and were not asked for, and those they came back for.
    strangers: Vec<String>,
}

/// Changes what the database takes, in as few statements as it allows, and names what it refuses.
async fn bisect(
    tx: &Tx,
    mapped: &Mapped,
    (columns, back): (&[&str], &ReadBack),
    changes: &[(usize, NewRow<'_>)],
) -> Result<Bisected, StoreError> {
    let mut bisected = Bisected::default();
    let mut parts = vec![changes];
    while let Some(part) = parts.pop() {
        let savepoint = tx.savepoint().await?;
        match row_writes::update(&savepoint, mapped, columns, part.iter().map(|(_, row)| row), back).await {
            Ok(rows) => {
                savepoint.commit().await?;
                let mut by_key: HashMap<RowKey, Stored> = rows.into_iter().map(|row| (row.key.clone(), row)).collect();
                let (there, gone): (Vec<_>, Vec<_>) = part.iter().partition(|(_, new)| by_key.contains_key(&new.key));
                bisected.made.extend(there.into_iter().filter_map(|(at, new)| Some((*at, by_key.remove(&new.key)?))));
                if !by_key.is_empty() {
                    let gone = gone.into_iter().map(|(_, new)| new.key.0.clone());
                    bisected.strangers.extend(gone.chain(by_key.into_keys().map(|key| key.0)));
                }
            }
            Err(error) if error.is_about_data() => {
                savepoint.rollback().await?;
                match part {
                    [(at, _)] => bisected.failed.push((*at, error.words())),
                    _ => {
                        let (left, right) = part.split_at(part.len() / 2);
                        parts.extend([right, left]);
                    }
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(bisected)
}
