//! The laws. Some hold after every step, some once it is calm. Each breach is a sentence that names the law, the thing and the values.
//!
//! The judges are the models: rows and records as they stand, and what people wrote. Of Tidemark's own tables only its recorded decisions are heard (an accepted
//! difference, a conflict for a person, something parked), never its links.

use std::collections::BTreeMap;

use tidemark_core::Millis;
use tidemark_core::spec::{Owner, StaleSave as Policy};

use super::crm::{Author, Crm, Overwritten};
use super::ledger::{Ledger, Side, StaleSave};
use super::mapping::{CONTACT, STAGES, stored};
use super::orders::{Change, OrderSystem};
use super::swarm::Swarm;

/// What Tidemark recorded of one field: its state, and the pair it was recorded for.
#[derive(Debug, Clone)]
pub(crate) struct Decision {
    pub(crate) row: Option<String>,
    pub(crate) record: Option<String>,
    pub(crate) state: String,
}

/// By row key and property.
pub(crate) type Decisions = BTreeMap<(String, String), Decision>;

/// Reads a link's base as stored.
pub(crate) fn decisions(key: &str, base: &str, into: &mut Decisions) {
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(base) else { return };
    let text = |value: Option<&serde_json::Value>| value.and_then(|value| value.as_str()).map(str::to_owned);
    for (property, stored) in fields {
        let decision = match stored {
            serde_json::Value::Array(parts) => Decision {
                row: text(parts.first()),
                record: text(parts.get(1)),
                state: parts.get(2).map_or("agreed", state).to_owned(),
            },
            value => Decision { row: text(Some(&value)), record: text(Some(&value)), state: "agreed".into() },
        };
        into.insert((key.to_owned(), property), decision);
    }
}

/// A state is a word, or an object that begins with it and tells more; a decision that is still to be carried out begins with the side it was for.
fn state(stored: &serde_json::Value) -> &str {
    match stored {
        serde_json::Value::String(word) => word,
        serde_json::Value::Object(told) if told.contains_key("orders") || told.contains_key("crm") => "owed",
        serde_json::Value::Object(told) => told.keys().find(|word| *word != "since").map_or("agreed", String::as_str),
        _ => "agreed",
    }
}

/// A cell of a customer that Tidemark changed.
pub(crate) fn row_changed(change: &Change, orders: &OrderSystem, crm: &Crm, ledger: &Ledger, swarm: &Swarm) -> Option<String> {
    let (property, _, owner) = CONTACT.iter().find(|(_, column, _)| *column == change.column)?;
    let row = orders.customers.get(&change.key)?;
    let tag = row["tag"].clone().unwrap_or_default();
    let at = format!("{property} of {tag} (row {}): {:?} → {:?}", change.key, change.before, change.after);
    if *owner == Owner::Orders && change.before.is_some() {
        return Some(format!("an owned field of the row was overwritten: {at}"));
    }
    let word = ledger.words.get(&(tag.clone(), (*property).to_owned()));
    let blank_was_chosen = word.is_some_and(|word| word.side == Side::Records && word.record.is_none());
    if change.after.is_none() && change.before.is_some() && !swarm.clear_blanks && !blank_was_chosen {
        return Some(format!("a blank overwrote a value of the row: {at}"));
    }
    let known = crm.records.values().any(|record| {
        record.object == "contacts"
            && change.after.as_ref().is_none_or(|value| record.ever.get(*property).is_some_and(|ever| ever.contains_key(value)))
    });
    if !known {
        return Some(format!("the row was given a value no record ever had: {at}"));
    }
    // What a person wrote into a field either side may change reaches the CRM before anything else is put in its place, or a conflict is recorded.
    let last = ledger.last(&tag, property, Side::Rows)?;
    let delivered = |value: &String| {
        let value = stored(swarm, property, value);
        crm.records.values().any(|record| record.ever.get(*property).is_some_and(|ever| ever.contains_key(&value)))
    };
    let conflict = ledger.conflicts.contains(&(tag.clone(), (*property).to_owned()));
    let undelivered = last.value == change.before && change.before.as_ref().is_some_and(|value| !delivered(value));
    (*owner == Owner::Hold && undelivered && !conflict)
        .then(|| format!("a person's edit was overwritten before it was sent: {at}"))
}

/// A property that Tidemark wrote. `known` is what it had recorded when it wrote.
pub(crate) fn record_written(
    written: &Overwritten,
    orders: &OrderSystem,
    crm: &Crm,
    ledger: &mut Ledger,
    known: &Decisions,
    swarm: &Swarm,
    now: Millis,
) -> Option<String> {
    let tag = crm.records.get(&written.id).and_then(|record| record.get("tag")).unwrap_or_default();
    let key = (tag.to_owned(), written.property.clone());
    let blank_was_chosen = ledger.words.get(&key).is_some_and(|word| word.side == Side::Rows && word.row.is_none());
    if written.after.is_empty()
        && !swarm.clear_blanks
        && !blank_was_chosen
        && written.before.as_ref().is_some_and(|cell| !cell.value.is_empty())
    {
        return Some(format!("a blank overwrote a value of record {}: {}", written.id, written.property));
    }
    if written.object != "contacts" || written.created {
        return None;
    }
    let (property, column, owner) = CONTACT.iter().find(|(property, _, _)| *property == written.property)?;
    let tag = tag.to_owned();
    if let Some(save) = ledger.stale.get(&key).filter(|save| now < save.guarded_until)
        && *owner == Owner::Hold
        && stored(swarm, property, &save.value) == stored(swarm, property, &written.after)
    {
        return Some(format!("an old object was sent: {property} of {tag}: {:?}", written.after));
    }
    let before = written.before.as_ref().filter(|cell| cell.author == Author::People && !cell.value.is_empty())?;
    if before.value == written.after {
        return None;
    }
    let at = format!("{property} of {tag} (record {}): {:?} → {:?}", written.id, before.value, written.after);
    match owner {
        Owner::Crm => Some(format!("an owned field of the record was overwritten: {at}")),
        Owner::Orders => None,
        Owner::Hold | Owner::Newest(_) => {
            let mut rows = orders.ever_tagged(&tag);
            // A row that goes on with the record may say another name still.
            let linked = orders.customers.iter().filter(|(_, cells)| cells["remote"].as_deref() == Some(written.id.as_str()));
            rows.extend(linked.map(|(key, _)| key.clone()));
            let taken =
                rows.iter().any(|key| orders.ever.get(&(key.clone(), column)).is_some_and(|ever| ever.contains(&before.value)));
            let recorded = rows.iter().any(|key| {
                known
                    .get(&(key.clone(), (*property).to_owned()))
                    .is_some_and(|known| known.record.as_ref() == Some(&before.value))
            });
            if taken || recorded {
                return None;
            }
            let served = crm.served.get(&(written.job, written.through.clone().unwrap_or_else(|| written.id.clone())));
            // Meant for a record that was merged away since: everything in the survivor is news.
            let since = if written.through.is_some() { crm.records.get(&written.id)?.absorbed_seq } else { before.seq };
            match served {
                Some(served) if since > *served => {
                    ledger.in_the_gap.insert((tag, (*property).to_owned()));
                    None
                }
                _ => Some(format!("a person's edit in the CRM was overwritten unread: {at}")),
            }
        }
    }
}

/// Everything that is wrong once it is calm.
pub(crate) fn at_rest(orders: &OrderSystem, crm: &Crm, ledger: &Ledger, known: &Decisions, swarm: &Swarm) -> Vec<String> {
    let mut breaches = Vec::new();
    let tags: std::collections::BTreeSet<String> = ledger.entries.keys().map(|(tag, _)| tag.clone()).collect();
    for tag in &tags {
        let (mut rows, mut records) = (orders.tagged(tag), crm.tagged("contacts", "tag", tag));
        // It was detected, and waits for somebody to merge the two.
        records.retain(|record| !(crm.doubled_in_the_gap.contains(tag) && ledger.waiting.contains(record)));
        let two_rows = rows.len() > 1;
        if two_rows {
            // Of somebody who was deleted nothing waits any more, and the rows of the records that were theirs stay.
            let deleted = ledger.deleted.contains(tag);
            rows.retain(|key| !(ledger.waiting.contains(key) || deleted && ledger.went_on.contains(key)));
        } else if rows.first().is_some_and(|key| ledger.waiting.contains(key)) {
            continue;
        }
        if rows.is_empty() {
            rows.extend(records.iter().filter_map(|record| row_of_another_name(record, tag, orders, known)));
        }
        if rows.len() > 1 {
            breaches.push(format!("two rows for {tag}: {rows:?}"));
        }
        if records.len() > 1 {
            breaches.push(format!("two records for {tag}: {records:?}"));
        }
        // Whoever was merged away has at most a row that waits for somebody to merge it with the survivor's.
        if ledger.deleted.contains(tag) || ledger.merged.contains_key(tag) || crm.archived_in_the_gap.contains(tag) {
            continue;
        }
        match (rows.first(), records.first()) {
            // The shop merged the rows into the one that has the other name, and so has its record.
            (None, None) if ledger.rows_merged_at.contains_key(tag) && goes_by_another_name(tag, orders, crm, ledger) => {}
            (None, None) => breaches.push(format!("{tag} is gone from both sides")),
            // The row that is left of theirs was never told of the record, and waits for somebody.
            (None, Some(_)) if ledger.waiting.iter().any(|row| is_row_of(row, tag, orders, ledger)) => {}
            (None, Some(record)) => breaches.push(format!("record {record} of {tag} became no row")),
            (Some(row), None) if orders.customers[row]["confirmed"].is_some() => {
                breaches.push(format!("row {row} of {tag} became no record"));
            }
            (Some(_), None) => {}
            (Some(row), Some(record)) => compare(tag, row, record, two_rows, orders, crm, ledger, known, swarm, &mut breaches),
        }
    }
    compare_deals(orders, crm, ledger, &mut breaches);
    breaches
}

/// A row and a record are there of somebody who became this person.
fn goes_by_another_name(tag: &str, orders: &OrderSystem, crm: &Crm, ledger: &Ledger) -> bool {
    let is_there = |other: &str| !orders.tagged(other).is_empty() && !crm.tagged("contacts", "tag", other).is_empty();
    ledger.merged.keys().any(|other| ledger.became(other) == tag && is_there(other))
}

fn is_row_of(row: &str, tag: &str, orders: &OrderSystem, ledger: &Ledger) -> bool {
    orders.customers.get(row).and_then(|row| row["tag"].as_deref()).is_some_and(|one| ledger.became(one) == tag)
}

/// A row that goes on with somebody's record although it says somebody else: a person has been asked who it is.
fn row_of_another_name(record: &str, tag: &str, orders: &OrderSystem, known: &Decisions) -> Option<String> {
    let asked = |key: &str| {
        let decision = known.get(&(key.to_owned(), "tag".to_owned()));
        decision.is_some_and(|one| one.state == "conflict" && one.record.as_deref() == Some(tag))
    };
    orders
        .customers
        .iter()
        .find(|(key, cells)| cells["remote"].as_deref() == Some(record) && asked(key))
        .map(|(key, _)| key.clone())
}

#[expect(clippy::too_many_arguments, reason = "the whole court")]
fn compare(
    tag: &str,
    row: &str,
    record: &str,
    two_rows: bool,
    orders: &OrderSystem,
    crm: &Crm,
    ledger: &Ledger,
    known: &Decisions,
    swarm: &Swarm,
    breaches: &mut Vec<String>,
) {
    let (cells, stands) = (&orders.customers[row], &crm.records[record]);
    let confirmed = cells["confirmed"].is_some();
    if cells["remote"].as_deref() != Some(record) {
        breaches.push(format!("row {row} of {tag} knows record {:?}, not {record}", cells["remote"]));
    }
    for (property, column, owner) in CONTACT.into_iter().filter(|(property, _, _)| Some(*property) != swarm.unmapped) {
        let here = cells[column].clone().filter(|text| !text.is_empty());
        let there = stands.get(property).map(str::to_owned);
        let key = (tag.to_owned(), property.to_owned());
        let same = here.as_deref().map(|text| stored(swarm, property, text)) == there || here == there;
        let decision = known.get(&(row.to_owned(), property.to_owned()));
        if confirmed && !two_rows {
            breaches.extend(unheeded(tag, property, here.as_deref(), there.as_deref(), ledger, swarm));
        }
        let at = format!("{property} of {tag}: row {row} {here:?}, record {record} {there:?}");
        if !same {
            let recorded = decision
                .is_some_and(|one| one.row == here && one.record == there && one.state != "owed" && one.state != "agreed");
            let frozen = !confirmed && decision.is_some_and(|one| one.record == there);
            if !recorded && !frozen && confirmed {
                breaches.push(format!("they differ and no decision says so: {at}; recorded {decision:?}"));
            }
            continue;
        }
        // What was written into a row that waits for another of the same person stays in it.
        if !two_rows {
            lost(tag, property, owner, here.as_deref(), confirmed, crm, ledger, swarm, &key, &at, breaches);
        }
    }
}

/// What a person chose when a conflict was shown stands on both sides, if nobody wrote the field since.
fn unheeded(
    tag: &str,
    property: &str,
    here: Option<&str>,
    there: Option<&str>,
    ledger: &Ledger,
    swarm: &Swarm,
) -> Option<String> {
    let key = (tag.to_owned(), property.to_owned());
    let word = ledger.words.get(&key).filter(|word| word.informed && word.seq > ledger.judged_from(tag, Owner::Hold))?;
    let written = ledger.entries.get(&key).is_some_and(|entries| entries.iter().any(|entry| entry.seq > word.seq));
    let saved = ledger.stale.get(&key).is_some_and(|save| save.seq > word.seq);
    let chosen = if word.side == Side::Rows { &word.row } else { &word.record };
    let form = |text: Option<&str>| text.map(|text| stored(swarm, property, text));
    let stands = form(here) == form(chosen.as_deref()) && form(there) == form(chosen.as_deref());
    (!written && !saved && !stands && !ledger.in_the_gap.contains(&key))
        .then(|| format!("a person's word was not carried out: {property} of {tag}: row {here:?}, record {there:?}; {word:?}"))
}

/// An old object that was saved is no edit within its guard, unless the stream waits for the guard to be over, or the row was written again after it.
fn may_stand(tag: &str, save: &StaleSave, ledger: &Ledger, swarm: &Swarm) -> bool {
    swarm.stale_saves == Policy::Theirs || ledger.touched.get(tag).is_some_and(|touched| *touched >= save.guarded_until)
}

/// Both sides agree, but on what nobody wrote last.
#[expect(clippy::too_many_arguments, reason = "the whole court")]
fn lost(
    tag: &str,
    property: &str,
    owner: Owner,
    stands: Option<&str>,
    confirmed: bool,
    crm: &Crm,
    ledger: &Ledger,
    swarm: &Swarm,
    key: &(String, String),
    at: &str,
    breaches: &mut Vec<String>,
) {
    let (rows, records) = (ledger.last(tag, property, Side::Rows), ledger.last(tag, property, Side::Records));
    let decides = match owner {
        Owner::Orders => rows,
        Owner::Crm => records,
        Owner::Hold | Owner::Newest(_) => match (rows, records) {
            (Some(row), Some(record)) => Some(if row.seq > record.seq { row } else { record }),
            (one, other) => one.or(other),
        },
    };
    let Some(last) = decides else { return };
    if !confirmed && last.side == Side::Rows {
        return;
    }
    let blank = last.value.as_deref().is_none_or(str::is_empty);
    let normal = |text: &str| stored(swarm, property, text);
    let as_written = match (&last.value, stands) {
        (Some(wrote), Some(stands)) => normal(wrote) == normal(stands),
        _ => blank && stands.is_none(),
    };
    let saved = ledger.stale.get(key).filter(|save| save.seq > last.seq);
    let excused = owner == Owner::Hold
        && (ledger.conflicts.contains(key)
            || ledger.in_the_gap.contains(key)
            || saved.is_some_and(|save| may_stand(tag, save, ledger, swarm)));
    // What was in a record that went with its row, as somebody said or in the moment between a read and a write, went with it.
    let judged_from = ledger.judged_from(tag, owner).max(crm.gone_edited.get(tag).copied().unwrap_or(0));
    if !as_written && !blank && !excused && last.seq > judged_from {
        breaches.push(format!("an edit is lost: {at}; last written {last:?}"));
    }
    if owner == Owner::Hold && !excused {
        let other = if last.side == Side::Rows { records } else { rows };
        let unseen = other.is_some_and(|other| {
            let same = |one: &Option<String>| one.as_deref().map(normal) == other.value.as_deref().map(normal);
            let other_blank = other.value.as_deref().is_none_or(str::is_empty);
            // An old object may have taken it from their sight.
            let hidden = ledger.stale.get(key).is_some_and(|save| save.seq > other.seq);
            !other_blank
                && other.seq > judged_from
                && !hidden
                && !same(&last.before)
                && !same(&last.value)
                && !entries_after(ledger, key, other.seq, last.seq)
        });
        if unseen && as_written {
            breaches.push(format!("two people's edits met and no conflict was recorded: {at}; {last:?} over {other:?}"));
        }
    }
}

/// The side that wrote last had written before, after the other's edit: it may have seen it then.
fn entries_after(ledger: &Ledger, key: &(String, String), from: u64, to: u64) -> bool {
    ledger.entries.get(key).is_some_and(|entries| entries.iter().any(|entry| entry.seq > from && entry.seq < to))
}

fn compare_deals(orders: &OrderSystem, crm: &Crm, ledger: &Ledger, breaches: &mut Vec<String>) {
    for (key, cells) in &orders.orders {
        let number = cells["number"].clone().unwrap_or_default();
        let deals = crm.tagged("deals", "dealname", &number);
        if deals.len() > 1 {
            breaches.push(format!("two deals for order {number}: {deals:?}"));
        }
        let stage = STAGES.iter().find(|(status, _)| cells["status"].as_deref() == Some(*status)).map(|(_, stage)| *stage);
        let Some(stage) = stage else { continue };
        let customer = cells["customer_id"].clone().unwrap_or_default();
        // An order whose customer is gone keeps whatever it had.
        let Some(tag) = orders.customers.get(&customer).and_then(|customer| customer["tag"].clone()) else { continue };
        if ledger.deleted.contains(&tag) || ledger.deleted.contains(&number) {
            continue;
        }
        // Nor has one whose customer's row waits to be merged with another.
        if ledger.merged.contains_key(&tag) || ledger.waiting.contains(&customer) {
            continue;
        }
        let contact = crm.tagged("contacts", "tag", &tag).into_iter().next();
        let Some(deal) = deals.first() else {
            if contact.is_some() {
                breaches.push(format!("order {number} (row {key}) of {tag} became no deal"));
            }
            continue;
        };
        let record = &crm.records[deal];
        let cents: i64 = cells["total_cents"].as_deref().unwrap_or("0").parse().unwrap_or(0);
        let amount = record.get("amount").and_then(|amount| amount.parse::<f64>().ok()).unwrap_or(-1.0);
        #[expect(clippy::cast_precision_loss, reason = "small sums")]
        let same = (amount * 100.0 - cents as f64).abs() < 0.01;
        if !same || record.get("dealstage") != Some(stage) {
            breaches.push(format!(
                "deal {deal} of {number} says {:?} {:?}, the order {cents} {stage}",
                record.get("amount"),
                record.get("dealstage")
            ));
        }
        if record.refers.iter().ne(contact.iter()) {
            breaches.push(format!("deal {deal} of {number} refers to {:?}, not {contact:?}", record.refers));
        }
    }
}
