//! How a thing stands as a whole: linked, being made, gone, kept back, parked, waiting. One sentence each.

use super::{DebtFacts, Facts, RowFacts, quoted, time};
use crate::lineage::Kept;
use crate::link::LinkState;
use crate::record::Row;
use crate::spec::{StreamSpec, Test};

pub(super) fn of_thing(spec: &StreamSpec, facts: &Facts) -> Vec<String> {
    let mut said = vec![pair(spec, facts)];
    if matches!(facts.row, RowFacts::Absent) && facts.row_key.is_some() {
        said.push(format!("The row is not in {} any more.", spec.table));
    }
    said.extend(kept_back(spec, facts));
    said.extend(facts.push.as_ref().map(|debt| push(debt, facts.parent_kept_back)));
    said.extend(facts.read.as_ref().map(read));
    said.extend(unlinked(spec, facts));
    if let Some(link) = &facts.link {
        if link.push_under_way {
            said.push("A push of it is under way.".to_owned());
        }
        if link.unheard {
            said.push(
                "How a write to the record came through was not answered: that is seen when the record is read again.".to_owned(),
            );
        }
    }
    if facts.also_a_record {
        let id = facts.row_key.as_ref().map_or("", |key| key.as_str());
        said.push(format!("Record {id} is another thing: ask for record:{id} to hear of it."));
    }
    said.extend(facts.halted.as_ref().map(|halted| sentence(halted)));
    said
}

fn pair(spec: &StreamSpec, facts: &Facts) -> String {
    let row = facts.row_key.as_ref().map(|key| format!("Row {key} of {}", spec.table));
    let record = facts.remote_id.as_ref().map(|id| format!("record {id} of {}", spec.object));
    match (facts.link.as_ref().map(|link| (link.state, link.since)), row, record) {
        (Some((LinkState::Linked, since)), Some(row), Some(record)) => {
            format!("{row} and {record} are one thing, linked since {}.", time(since))
        }
        (Some((LinkState::Creating, _)), Some(row), _) => {
            format!(
                "{row} is being made a record of {}; whether it is there already is not known before it is looked up.",
                spec.object
            )
        }
        (Some((LinkState::Double, _)), Some(row), Some(record)) => format!(
            "{row} and {record} were one thing, until the record was merged into one that belongs to another row: nothing is sent for this row until a person has merged the two rows."
        ),
        (Some((LinkState::Tombstone, _)), Some(row), Some(record)) => {
            format!("{row} and {record} were one thing, and one of them is gone: neither is made again, and nothing is sent.")
        }
        (Some(_), Some(row), _) => format!("{row} has a link without a record: it was never sent."),
        (None, Some(row), _) => format!("{row} is linked to no record of {}.", spec.object),
        (_, None, Some(record)) => sentence(&format!("{record} is linked to no row of {}", spec.table)),
        (_, None, None) => format!("Nothing of {} is linked.", spec.name),
    }
}

/// Why a row is not sent, by the condition that does not hold.
fn kept_back(spec: &StreamSpec, facts: &Facts) -> Option<String> {
    let row = facts.row().filter(|row| spec.direction.writes_records() && !row.is_sendable(spec))?;
    let failing: Vec<String> = spec
        .send_when
        .iter()
        .filter(|condition| !condition.test.holds(row.get(spec, &condition.column)))
        .map(|condition| match &condition.test {
            Test::Present => format!("{} must be present and is blank", condition.column),
            Test::Absent => format!("{} must be absent and is not", condition.column),
            Test::OneOf(texts) => {
                let value = row.get(spec, &condition.column);
                let value = value.filter(|text| !text.is_empty()).map_or(Kept::Blank, |text| Kept::Value(text.to_owned()));
                format!("{} must be one of {} and is {}", condition.column, texts.join(", "), quoted(&value))
            }
        })
        .collect();
    Some(format!("It is not sent while send_when does not hold: {}.", failing.join("; ")))
}

fn push(debt: &DebtFacts, parent_kept_back: bool) -> String {
    if debt.state == "parent" {
        let waits = sentence(debt.cause.as_deref().unwrap_or("waits for its parent"));
        let why = if parent_kept_back { " The parent is not sent while the send_when of its stream does not hold." } else { "" };
        return format!("{waits} Looked at again by itself, the next time at {}.{why}", time(debt.due_at));
    }
    owed(debt, "A push is owed to the CRM", "Its push is parked")
}

fn read(debt: &DebtFacts) -> String {
    owed(debt, "The record is to be read by its id", "Reading the record is parked")
}

fn owed(debt: &DebtFacts, waits: &str, parked: &str) -> String {
    let cause = debt.cause.as_deref().filter(|cause| !cause.is_empty());
    if debt.state == "parked" {
        let cause = cause.unwrap_or("no cause was noted");
        let next_step = debt.next_step.as_deref().unwrap_or("look at it, then retry");
        return format!("{parked}, and a person has to see to it: {cause}. Next step: {next_step}.");
    }
    let when = if debt.leased { "being tried now".to_owned() } else { format!("due at {}", time(debt.due_at)) };
    match (debt.attempts, cause) {
        (0, None) => format!("{waits}, {when}."),
        (0, Some(cause)) => format!("{waits}, {when}: {cause}."),
        (attempts, cause) => {
            format!("{waits}, {when}; {attempts} attempts failed, the last one: {}.", cause.unwrap_or("no cause was noted"))
        }
    }
}

/// Why a row that could be sent has neither a link nor a debt.
fn unlinked(spec: &StreamSpec, facts: &Facts) -> Option<String> {
    let is_lone =
        |row: &&Row| facts.link.is_none() && facts.push.is_none() && (row.is_sendable(spec) || !spec.direction.writes_records());
    facts.row().filter(is_lone)?;
    Some(if spec.direction.writes_records() {
        "No push is owed for it: its change was not noted yet, or got round the triggers and is found when every row is compared."
            .to_owned()
    } else if spec.match_on.is_empty() {
        "The stream does not write records, and without match_on no record is ever bound to it.".to_owned()
    } else {
        format!(
            "The stream does not write records: it is bound when a record with the same {} is read.",
            spec.match_on.join(" or ")
        )
    })
}

/// With a capital letter and a full stop.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let stop = if words.ends_with('.') { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}
