//! Laws about the order of versions: a row never goes back to what its record said before, a conflict takes a person on either side, and goes by nobody's hand but a person's.

use super::crm::{Author, Crm};
use super::laws::Decision;
use super::ledger::{Ledger, OpenConflict, Side};
use super::mapping::{CONTACT, stored};
use super::orders::{Change, OrderSystem};
use super::swarm::Swarm;

/// A cell of a customer that Tidemark set back to what the record had said before it said what stood in the row.
pub(crate) fn row_went_back(change: &Change, orders: &OrderSystem, crm: &Crm, ledger: &Ledger, swarm: &Swarm) -> Option<String> {
    let (property, ..) = CONTACT.iter().find(|(_, column, _)| *column == change.column)?;
    let row = orders.customers.get(&change.key)?;
    let (tag, remote) = (row["tag"].as_deref().unwrap_or_default(), row["remote"].as_deref()?);
    // Whose record absorbed another's starts from that record's versions; and where the clock is set back a later version may carry the earlier stamp.
    if swarm.clock_steps || ledger.merged_at.contains_key(ledger.became(tag)) {
        return None;
    }
    let said = crm.records.get(remote)?.ever.get(*property)?;
    let when = |value: &str| said.get(&stored(swarm, property, value));
    // A blank that somebody wrote into the row is no version of the record's.
    let before = change.before.as_deref()?;
    let ((after_seq, after_stamp), (before_seq, before_stamp)) =
        (when(change.after.as_deref().unwrap_or_default())?, when(before)?);
    // What was stamped first may be committed last: whoever reads both goes by the stamps until the record is read by its id.
    (after_seq < before_seq && after_stamp <= before_stamp)
        .then(|| format!("a row was set back to an older version: {property} of {tag}: {before:?} → {:?}", change.after))
}

/// A conflict over a value that nobody wrote: ours came through, and was taken for somebody else's.
pub(crate) fn conflict_with_nobody(
    tag: &str,
    property: &str,
    decision: &Decision,
    ledger: &Ledger,
    swarm: &Swarm,
) -> Option<String> {
    // After a merge, a restore or a change of the mapping our own earlier writes are strangers' to us.
    if ledger.restored_at > 0 || swarm.remapped == Some(property) || ledger.merged_at.contains_key(ledger.became(tag)) {
        return None;
    }
    let key = (tag.to_owned(), property.to_owned());
    let wrote = |side: Side, value: &String| {
        let written = ledger.entries.get(&key);
        written.is_some_and(|entries| entries.iter().any(|one| one.side == side && one.value.as_ref() == Some(value)))
    };
    let saved = |value: &String| ledger.stale.get(&key).is_some_and(|save| save.value == *value);
    let by_people = decision.record.as_ref().is_none_or(|value| wrote(Side::Records, value))
        && decision.row.as_ref().is_none_or(|value| wrote(Side::Rows, value) || saved(value));
    (!by_people).then(|| format!("a conflict over what nobody wrote: {property} of {tag}: {decision:?}"))
}

/// A conflict that is not shown any more although nobody decided, and nobody but us changed what it was about.
pub(crate) fn dropped(
    (key, property): &(String, String),
    gone: &OpenConflict,
    now: &Decision,
    orders: &OrderSystem,
    crm: &Crm,
    ledger: &Ledger,
    swarm: &Swarm,
) -> Option<String> {
    let merged = ledger.merged_at.contains_key(ledger.became(&gone.tag));
    if ledger.restored_at > 0 || swarm.remapped == Some(property.as_str()) || merged {
        return None;
    }
    let (_, column, _) = CONTACT.iter().find(|(name, ..)| name == property)?;
    let row = orders.customers.get(key)?;
    let record = crm.records.get(row["remote"].as_deref()?)?;
    let key = (gone.tag.clone(), property.clone());
    let by_us = record.cells.get(property).is_some_and(|cell| cell.author != Author::People && cell.seq > gone.seq);
    let same = row[column] == gone.row && (by_us || record.get(property) == gone.record.as_deref());
    let excused = ledger.in_the_gap.contains(&key) || ledger.stale.get(&key).is_some_and(|save| save.seq > gone.seq);
    let decided = ledger.words.get(&key).is_some_and(|word| word.seq >= gone.seq);
    (same && !decided && !excused)
        .then(|| format!("a conflict was dropped by nobody: {property} of {}: {gone:?} is {now:?}", gone.tag))
}
