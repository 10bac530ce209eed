//! Makes records, never twice: the link is claimed before any call, a natural key is looked up before anything is made, and the record is upserted by a property that
//! holds our key where the mapping has one.
//!
//! Without such a property a create whose answer was lost is looked up again once the search index must show it. What then remains, two creates by one paused
//! process, cannot be excluded by anybody; it shows as two records of one row.

use std::collections::{HashMap, HashSet};

use tidemark_core::brake::names;
use tidemark_core::bug::{Bug, planted};
use tidemark_core::erasure::{CLASS, row_again};
use tidemark_core::link::LinkState;
use tidemark_core::meeting::{doubted_key, says_the_same};
use tidemark_core::page::KnownLink;
use tidemark_core::record::{Record, RemoteId, RowKey};
use tidemark_crm::{Bucket, LookUp, WriteKind};
use tidemark_store::debts::{self, Unpaid};
use tidemark_store::push::begin_creates;
use tidemark_store::settle::{Settlement, settle};
use tidemark_store::{StoreError, erased, links, rows, streams};

use crate::calls::NoAnswer;
use crate::poll::{READ_DELAY_MS, wanted};
use crate::push::{Going, PARENT_RECHECK_MS, Push};

/// Creates what has no record yet. False when no further call should be made now.
pub(crate) async fn create(push: &Push<'_>, going: Vec<Going<'_>>) -> Result<bool, StoreError> {
    if going.is_empty() {
        return Ok(true);
    }
    let (ctx, mapped) = (push.purpose.ctx, push.purpose.stream);
    let going = hold_erased(push, going).await?;
    let keys: Vec<&str> = going.iter().map(|going| going.prepared.claim.subject.as_str()).collect();
    let won = begin_creates(&ctx.store, mapped, push.fence, &keys, ctx.lease()).await?;
    let doubted = streams::doubts_keys(&ctx.store, mapped.id).await?;
    // What shows after this moment the look-up may not have seen.
    let asked_at = ctx.store.now().await?;
    let found = match look_up(push, &going, doubted).await? {
        Ok(found) => found,
        Err(no) => return push.stop(no).await,
    };
    let known =
        links::of_records(&ctx.store, mapped, &found.values().flatten().map(|record| record.id.clone()).collect::<Vec<_>>())
            .await?;
    let ended = ended(push, &known).await?;
    let now = ctx.store.now().await?;
    let mut settlements = Vec::new();
    let mut make = Vec::new();
    for going in going {
        let claim = &going.prepared.claim;
        let free: Vec<&Record> =
            found.get(&claim.id).into_iter().flatten().filter(|record| !known.contains_key(&record.id)).collect();
        let taken = found.get(&claim.id).is_some_and(|records| records.len() > free.len());
        // Found, and linked to this very row while it was looked up: an earlier create of ours was heard of late.
        let key = RowKey::new(claim.subject.as_str());
        let own = |record: &Record| known.get(&record.id).is_some_and(|link| link.row_key.as_ref() == Some(&key));
        let is = |record: &Record, state| known.get(&record.id).is_some_and(|link| link.view.state == state);
        let linked = |record: &&Record| is(record, LinkState::Linked);
        let buried = |record: &&Record| is(record, LinkState::Tombstone);
        if !won.contains(&key) || found.get(&claim.id).into_iter().flatten().any(own) {
            settlements.push(Settlement::Unpaid {
                claim,
                unpaid: Unpaid::Later { due_at: now + READ_DELAY_MS, cause: "the row was linked meanwhile" },
            });
        } else if let [record] = free.as_slice()
            && doubted
            && carries_doubted_key(push, &going, record)
        {
            settlements.push(Settlement::Unpaid { claim, unpaid: key_given_twice(push, &key, record, false) });
        } else if let [record] = free.as_slice() {
            // The same thing is there already: it is read and bound to the row, and what then still differs is sent.
            let cause = "a record with the same match key is in the CRM".to_owned();
            settlements.push(Settlement::ReadFirst {
                claim,
                remote_id: record.id.clone(),
                due_at: now + 2 * READ_DELAY_MS,
                cause,
            });
        } else if found.get(&claim.id).into_iter().flatten().any(|record| ended.contains(&record.id)) {
            let cause = "the record with the same match key belongs to a row that is gone, which is settled first";
            settlements.push(Settlement::Unpaid { claim, unpaid: Unpaid::Later { due_at: now + PARENT_RECHECK_MS, cause } });
        } else if doubted
            && let Some(record) =
                found.get(&claim.id).into_iter().flatten().filter(linked).find(|record| carries_doubted_key(push, &going, record))
        {
            // It has been another row's since the restore, under the key that row had before.
            settlements.push(Settlement::Unpaid { claim, unpaid: key_given_twice(push, &key, record, true) });
        } else if free.is_empty() && !taken {
            match push.unheard_until(going.prepared).filter(|shown| asked_at <= *shown) {
                // An edit of the row makes its debt due, and no record shown: the one we may have made may show yet.
                Some(shown) => settlements.push(Settlement::Unpaid {
                    claim,
                    unpaid: Unpaid::Later {
                        due_at: shown + 1,
                        cause: "a create was sent and not heard of; its record may show yet",
                    },
                }),
                None => make.push(going),
            }
        } else if let Some(left) = found.get(&claim.id).into_iter().flatten().find(buried) {
            settlements.push(Settlement::Unpaid { claim, unpaid: left_behind(&key, &left.id) });
        } else {
            let (cause, next_step) = if taken {
                (
                    "the record with the same match key belongs to another row",
                    "merge the doubles, or correct the match key, then retry",
                )
            } else {
                ("several records in the CRM carry the same match key", "merge the doubles, or correct the match key, then retry")
            };
            settlements.push(Settlement::Unpaid {
                claim,
                unpaid: Unpaid::Parked { class: "duplicate", code: Some("match_on"), cause, next_step },
            });
        }
    }
    settle(&ctx.store, mapped, push.fence, &settlements).await?;
    let natural = mapped.spec.match_on.first().filter(|_| planted(Bug::UpsertsByNaturalKey));
    let kind = match natural.or(mapped.spec.external_key.as_ref()) {
        Some(key_property) => WriteKind::Upsert { key_property },
        None => WriteKind::Create,
    };
    push.send(kind, make).await
}

/// Rows of people who were erased wait for a person's word, before anything is made of them; the rest goes on.
async fn hold_erased<'a>(push: &Push<'_>, going: Vec<Going<'a>>) -> Result<Vec<Going<'a>>, StoreError> {
    let (store, mapped) = (&push.purpose.ctx.store, push.purpose.stream);
    let fields = 0..mapped.spec.fields.len();
    let value =
        |going: &'_ Going<'a>, at: usize| going.fields.iter().find(|sent| sent.field == at).and_then(|sent| sent.record.clone());
    let values: Vec<Vec<Option<String>>> =
        going.iter().map(|going| fields.clone().map(|at| value(going, at)).collect()).collect();
    let things: Vec<Vec<Option<&str>>> = values.iter().map(|thing| thing.iter().map(Option::as_deref).collect()).collect();
    let found = erased::erased(store, mapped, &things).await?;
    let (mut go_on, mut settlements) = (Vec::with_capacity(going.len()), Vec::new());
    for (going, found) in going.into_iter().zip(found) {
        let claim = &going.prepared.claim;
        match found {
            None => go_on.push(going),
            Some((erasures, _)) if names(claim.passed.as_deref(), CLASS) => {
                erased::lift(store, &erasures, &format!("row {}", claim.subject)).await?;
                go_on.push(going);
            }
            Some((_, erased_at)) => {
                let again = row_again(&RowKey::new(claim.subject.as_str()), erased_at);
                let unpaid = Unpaid::ParkedOwned { class: CLASS, cause: again.cause, next_step: again.next_step };
                settlements.push(Settlement::Unpaid { claim, unpaid });
            }
        }
    }
    settle(store, mapped, push.fence, &settlements).await?;
    Ok(go_on)
}

/// The record names this row by the key alone, and nothing that was sent for the row can have made it. Where the list shows a part of it, that is told when it is read.
fn carries_doubted_key(push: &Push<'_>, going: &Going<'_>, record: &Record) -> bool {
    let by_key = record.external_key.as_deref() == Some(going.prepared.claim.subject.as_str());
    let sent = going.prepared.link.as_ref().is_some_and(|link| !link.view.ghosts.is_empty());
    let row = going.prepared.row.as_ref();
    by_key
        && !sent
        && !record.is_part()
        && row.is_some_and(|row| !says_the_same(&push.purpose.stream.spec, |at| row.field(at), &record.values))
}

/// `linked`: the record is another row's already.
fn key_given_twice(push: &Push<'_>, key: &RowKey, record: &Record, linked: bool) -> Unpaid<'static> {
    let property = push.purpose.stream.spec.external_key.as_deref().unwrap_or("the key");
    let (whose, act) = if linked { (", which is another row's,", "merge the two rows") } else { ("", "make a match key equal") };
    Unpaid::ParkedOwned {
        class: "duplicate",
        cause: format!("record {}{whose} is in the way: {}", record.id, doubted_key(key)),
        next_step: format!("{act} if both are the same thing, else clear {property} in record {}; then retry", record.id),
    }
}

/// The record of a row that was deleted was left in the CRM, and what it carries leads to this row.
fn left_behind(key: &RowKey, record: &RemoteId) -> Unpaid<'static> {
    Unpaid::ParkedOwned {
        class: "duplicate",
        cause: format!(
            "record {record}, whose row was deleted, is in the way: it still carries the key of row {key}, or a match key"
        ),
        next_step: format!("archive record {record}, or clear the key in it, then retry"),
    }
}

/// Records whose row is gone although nobody told: SQLite wakes no delete trigger for a row that is replaced away. Their links owe a push from now on.
async fn ended(push: &Push<'_>, known: &HashMap<RemoteId, KnownLink>) -> Result<HashSet<RemoteId>, StoreError> {
    let (store, mapped) = (&push.purpose.ctx.store, push.purpose.stream);
    let linked = known.iter().filter(|(_, link)| link.view.state == LinkState::Linked);
    let linked: Vec<(&RemoteId, &RowKey)> = linked.filter_map(|(id, link)| Some((id, link.row_key.as_ref()?))).collect();
    if linked.is_empty() {
        return Ok(HashSet::new());
    }
    let keys: Vec<RowKey> = linked.iter().map(|(_, key)| (*key).clone()).collect();
    let there: HashSet<RowKey> = rows::of_keys(store, mapped, &keys).await?.into_iter().map(|row| row.key).collect();
    let ended: Vec<(&RemoteId, &RowKey)> = linked.into_iter().filter(|(_, key)| !there.contains(*key)).collect();
    let keys: Vec<&str> = ended.iter().map(|(_, key)| key.as_str()).collect();
    debts::owe_pushes(store, mapped.id, &keys).await?;
    Ok(ended.into_iter().map(|(id, _)| id.clone()).collect())
}

/// Looks for records of rows that were deleted while they were being made. One that is found is bound, so that the delete reaches it; one that cannot come any more is
/// given up. False when no further call should be made now.
pub(crate) async fn find_lost(push: &Push<'_>, going: Vec<Going<'_>>) -> Result<bool, StoreError> {
    if going.is_empty() {
        return Ok(true);
    }
    let ctx = push.purpose.ctx;
    let asked_at = ctx.store.now().await?;
    let found = match look_up(push, &going, false).await? {
        Ok(found) => found,
        Err(no) => return push.stop(no).await,
    };
    let mut settlements = Vec::with_capacity(going.len());
    for going in &going {
        let claim = &going.prepared.claim;
        let shown = push.shown_by(going.prepared).unwrap_or(asked_at);
        settlements.push(match found.get(&claim.id).map(Vec::as_slice) {
            Some([record]) => Settlement::Found { claim, remote_id: record.id.clone(), modified: record.modified },
            _ if asked_at > shown => Settlement::Buried { claim, archived: false },
            _ => {
                let cause = "the row was deleted while its record was being made";
                Settlement::Unpaid { claim, unpaid: Unpaid::Later { due_at: shown + 1, cause } }
            }
        });
    }
    settle(&ctx.store, push.purpose.stream, push.fence, &settlements).await?;
    Ok(true)
}

/// Records that carry a row's match key, by claim. One call per match property.
async fn look_up(
    push: &Push<'_>,
    going: &[Going<'_>],
    doubted: bool,
) -> Result<Result<HashMap<i64, Vec<Record>>, NoAnswer>, StoreError> {
    if planted(Bug::CreatesWithoutLookUp) || planted(Bug::UpsertsByNaturalKey) {
        return Ok(Ok(HashMap::new()));
    }
    let mapped = push.purpose.stream;
    let spec = &mapped.spec;
    let crm = &push.purpose.connection.crm;
    let properties = wanted(mapped);
    let mut found: HashMap<i64, Vec<Record>> = match look_up_begun(push, going, doubted, &properties).await? {
        Ok(found) => found,
        Err(no) => return Ok(Err(no)),
    };
    let by_key: HashMap<i64, RemoteId> =
        found.iter().filter_map(|(claim, records)| Some((*claim, records.first()?.id.clone()))).collect();
    for property in &spec.match_on {
        let Some((at, _)) = spec.field(property) else { continue };
        let value = |going: &Going<'_>| going.fields.iter().find(|sent| sent.field == at)?.record.clone();
        let mut claims: HashMap<String, Vec<i64>> = HashMap::new();
        for going in going {
            if let Some(value) = value(going) {
                claims.entry(normalised(&value)).or_default().push(going.prepared.claim.id);
            }
        }
        if claims.is_empty() {
            continue;
        }
        let values: HashSet<String> = going.iter().filter_map(value).collect();
        let values: Vec<String> = values.into_iter().collect();
        let unique = crm.is_unique(&spec.object, property);
        let request = LookUp {
            object: &spec.object,
            properties: &properties,
            external_key: spec.external_key.as_deref(),
            property,
            values: &values,
            unique,
        };
        let bucket = if unique { Bucket::General } else { crm.search_bucket() };
        let records = match push.purpose.call(bucket, values.len(), crm.look_up(&request)).await? {
            Ok(records) => records,
            Err(no) => return Ok(Err(no)),
        };
        for record in records {
            let Some(value) = record.values.get(at).cloned().flatten() else { continue };
            for claim in claims.get(&normalised(&value)).into_iter().flatten() {
                let list = found.entry(*claim).or_default();
                if !list.iter().any(|known| known.id == record.id) {
                    list.push(record.clone());
                }
            }
        }
    }
    own_first(going, &by_key, &mut found);
    Ok(Ok(found))
}

/// A create that was begun before may have made its record, and a key that was used before may still stand in one: it is looked for by our key. It is then read and
/// bound, never written again as a whole, because people may have edited it meanwhile, or because it is somebody else's. Where keys are doubted every one may have been
/// used before, by a row that a restore has lost.
async fn look_up_begun(
    push: &Push<'_>,
    going: &[Going<'_>],
    doubted: bool,
    properties: &[Option<String>],
) -> Result<Result<HashMap<i64, Vec<Record>>, NoAnswer>, StoreError> {
    let spec = &push.purpose.stream.spec;
    let begun: HashMap<&str, i64> = going
        .iter()
        .filter(|going| doubted || going.prepared.link.is_some() || going.prepared.former.is_some())
        .map(|going| (going.prepared.claim.subject.as_str(), going.prepared.claim.id))
        .collect();
    let Some(property) = spec.external_key.as_deref().filter(|_| !begun.is_empty()) else { return Ok(Ok(HashMap::new())) };
    let values: Vec<String> = begun.keys().map(|key| (*key).to_owned()).collect();
    let request =
        LookUp { object: &spec.object, properties, external_key: Some(property), property, values: &values, unique: true };
    let records = push.purpose.call(Bucket::General, values.len(), push.purpose.connection.crm.look_up(&request)).await?;
    let by_claim = |record: Record| Some((*begun.get(record.external_key.as_deref()?)?, vec![record]));
    Ok(records.map(|records| records.into_iter().filter_map(by_claim).collect()))
}

/// Where one of the records found carries our own key, that one is meant, not a stranger with the same name. What was found by the key itself is as it is now; a search may
/// still show the key in a record that was merged away with it.
fn own_first(going: &[Going<'_>], by_key: &HashMap<i64, RemoteId>, found: &mut HashMap<i64, Vec<Record>>) {
    for going in going {
        let (claim, own) = (going.prepared.claim.id, going.prepared.claim.subject.as_str());
        let Some(list) = found.get_mut(&claim) else { continue };
        match by_key.get(&claim) {
            Some(id) => list.retain(|record| record.id == *id),
            None if list.iter().any(|record| record.external_key.as_deref() == Some(own)) => {
                list.retain(|record| record.external_key.as_deref() == Some(own));
            }
            None => {}
        }
    }
}

fn normalised(value: &str) -> String {
    value.trim().to_lowercase()
}
