//! What happened to a thing, newest first, each with its rule, its source and the value that stood before.

use super::field::is_kept;
use super::{Facts, Passage, both, quoted, time};
use crate::Millis;
use crate::lineage::{Entry, FieldEntry, What, source_words};
use crate::rule::{Effect, Rule};
use crate::spec::StreamSpec;

/// `only_fields` when some field was asked for: what happened to the whole is then told as far as it gave the field its value.
pub(super) fn of(spec: &StreamSpec, facts: &Facts, fields: &[usize], only_fields: bool) -> Vec<Passage> {
    let properties: Vec<&str> = fields.iter().map(|at| spec.fields[*at].property.as_str()).collect();
    let mut told: Vec<Passage> =
        facts.history.iter().flat_map(|entry| of_entry(spec, facts, entry, &properties, only_fields)).collect();
    if let Some(link) = &facts.link
        && let Some(made) = &link.made
        && (!only_fields || fields.iter().any(|at| is_kept(&spec.fields[*at])))
    {
        let (word, number) = made.split_once(' ').map_or((made.as_str(), None), |(word, number)| (word, number.parse().ok()));
        told.push(whole(link.since, word, number, "the row was made from the record"));
    }
    told
}

fn of_entry(spec: &StreamSpec, facts: &Facts, entry: &Entry, properties: &[&str], only_fields: bool) -> Vec<Passage> {
    let named = |field: &&FieldEntry| {
        properties.contains(&field.property.as_str()) || (!only_fields && spec.field(&field.property).is_none())
    };
    let mut told: Vec<Passage> = entry.fields.iter().filter(named).map(|field| of_field(entry, field)).collect();
    let words = match entry.what {
        // Nothing to add where the fields themselves are named.
        Some(What::Met | What::Created) if only_fields && !told.is_empty() => None,
        Some(What::Met) if only_fields => Some(Rule::SameMet.sentence().to_owned()),
        Some(What::Met) => Some("row and record met and were found to be one thing".to_owned()),
        Some(What::Created) => Some("the record was made from the row".to_owned()),
        Some(What::Changed) => None,
        Some(What::Archived) => Some("the record was archived, because its row was deleted".to_owned()),
        Some(What::Left) => Some("the row was deleted; its record is left alone".to_owned()),
        Some(What::RowDeleted) => Some("the record is gone from the CRM, and its row was deleted".to_owned()),
        Some(What::RowMarked) => Some("the record is gone from the CRM, and its row was marked as deleted".to_owned()),
        Some(What::Restored) => Some("the record was restored in the CRM, and is linked again".to_owned()),
        Some(What::Rebound) => {
            Some("the record was merged into another in the CRM, and the row goes on with that one".to_owned())
        }
        Some(What::Doubled) => Some(
            "the record was merged into one that belongs to another row: two rows, one record, and a person merges the rows"
                .to_owned(),
        ),
        Some(What::Gone) => Some("the record is gone from the CRM; its row is kept and not sent any more".to_owned()),
        None => Some("something happened that this version does not know".to_owned()),
    };
    let off = only_fields
        && facts.link.is_some()
        && !properties.iter().any(|name| spec.field(name).is_some_and(|(_, field)| is_kept(field)));
    let begins = matches!(entry.what, Some(What::Met | What::Created));
    told.extend(words.filter(|_| !(off && begins)).map(|words| whole(entry.at, &entry.source, entry.number, &words)));
    told
}

fn whole(at: Millis, word: &str, number: Option<i64>, words: &str) -> Passage {
    let source = source_words(word, number);
    Passage {
        at,
        time: time(at),
        field: None,
        rule: None,
        stood: None,
        sentence: format!("{words} ({source})"),
        source,
        window: window(word, number),
        was: None,
        row: None,
        record: None,
    }
}

fn window(word: &str, number: Option<i64>) -> Option<i64> {
    number.filter(|_| !["push", "read", "person"].contains(&word))
}

fn of_field(entry: &Entry, field: &FieldEntry) -> Passage {
    let rule = Rule::from_word(&field.word);
    let words = match rule {
        Some(rule) => rule.sentence().to_owned(),
        None => format!("decided by the rule \"{}\", which this version does not know", field.word),
    };
    let times = field.times.map(|times| format!("{}; ", times.words())).unwrap_or_default();
    let words = format!("{words} ({}); {times}{}", source_words(&entry.source, entry.number), values(rule, field));
    Passage {
        field: Some(field.property.clone()),
        rule: Some(field.word.clone()),
        stood: rule.map(|rule| rule.effect().stood()),
        was: Some(field.was.to_json()),
        row: Some(field.row.to_json()),
        record: Some(field.record.to_json()),
        sentence: words,
        ..whole(entry.at, &entry.source, entry.number, "")
    }
}

/// The values, as far as the rule makes them worth saying.
fn values(rule: Option<Rule>, field: &FieldEntry) -> String {
    let (was, row, record) = (quoted(&field.was), quoted(&field.row), quoted(&field.record));
    let both = both(&field.row, &field.record);
    match rule.map(|rule| (rule, rule.effect())) {
        Some((_, Effect::Took)) => format!("it was {was} and became {row}"),
        Some((_, Effect::Sent)) => format!("it was {was} there and became {record}"),
        Some((Rule::ConflictBoth, _)) => format!("{both}; they had agreed on {was}"),
        Some((_, Effect::Owes | Effect::Takes | Effect::Waits | Effect::Kept | Effect::Agreed)) | None => both,
    }
}
