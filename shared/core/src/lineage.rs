//! Lineage: what is kept of each change, so that anyone can see why a field has the value it has. Gives entries their stored form and reads it back; decides nothing.
//!
//! One entry for each row or record that changed, with a JSON of the fields that moved; none where nothing did. A field whose values shall not be kept is kept as a
//! short digest, which tells two values of one field apart and gives neither away.

use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

use crate::Millis;
use crate::base::{Base, FieldBase, State};
use crate::conflict::Side;
use crate::newest::Compared;
use crate::push::Sent;
use crate::record::Value;
use crate::rule::Rule;
use crate::spec::{Lineage, StreamSpec};
use crate::window::Reader;

/// Why one field of a row or record moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Because {
    pub field: usize,
    pub rule: Rule,
    /// What stood before: of the side that changes, else what was last agreed in the row's form.
    pub was: Value,
    /// When each side was changed, where that decided or was too close to decide.
    pub times: Option<Compared>,
}

/// What happened to the thing as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A row and a record that never met were found to be one thing.
    Met,
    /// The record was made from the row.
    Created,
    /// Fields moved.
    Changed,
    /// The row was deleted, and its record archived.
    Archived,
    /// The row was deleted, and its record left alone.
    Left,
    /// The record is gone from the CRM.
    Gone,
    /// The record is gone, and its row was deleted.
    RowDeleted,
    /// The record is gone, and its row was marked.
    RowMarked,
    /// The record came back, and is linked again.
    Restored,
    /// The record was merged into another, and the row goes on with that one.
    Rebound,
    /// The record was merged into one that belongs to another row.
    Doubled,
}

impl What {
    const ALL: [Self; 11] = [
        Self::Met,
        Self::Created,
        Self::Changed,
        Self::Archived,
        Self::Left,
        Self::Gone,
        Self::RowDeleted,
        Self::RowMarked,
        Self::Restored,
        Self::Rebound,
        Self::Doubled,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Archived => "archived",
            Self::Left => "left",
            Self::Gone => "gone",
            Self::RowDeleted => "row_deleted",
            Self::RowMarked => "row_marked",
            Self::Restored => "restored",
            Self::Rebound => "rebound",
            Self::Doubled => "doubled",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.word() == word)
    }
}

/// Through what a change came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Window {
        id: i64,
        reader: Reader,
    },
    /// A record read by its id.
    Read,
    Push {
        /// From 1.
        attempt: i64,
    },
    /// A person decided.
    Person,
}

impl Source {
    /// As it is stored: a word, and the window's id or the push's attempt.
    pub fn stored(self) -> (&'static str, Option<i64>) {
        match self {
            Self::Window { id, reader } => (reader.word(), Some(id)),
            Self::Read => ("read", None),
            Self::Push { attempt } => ("push", Some(attempt)),
            Self::Person => ("person", None),
        }
    }

    /// The same in one text: `fast 17`, `read`.
    pub fn text(self) -> String {
        match self.stored() {
            (word, Some(number)) => format!("{word} {number}"),
            (word, None) => word.to_owned(),
        }
    }
}

/// A source in words, from its stored form: any word but three is a reader's.
pub fn source_words(word: &str, number: Option<i64>) -> String {
    match (word, number) {
        ("push", Some(attempt)) if attempt > 1 => format!("push, attempt {attempt}"),
        ("push", _) => "push".to_owned(),
        ("read", _) => "read by its id".to_owned(),
        ("person", _) => "by hand; the acts say who".to_owned(),
        (reader, Some(id)) => format!("window {id}, {reader} reader"),
        (reader, None) => format!("{reader} reader"),
    }
}

/// A value as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    Blank,
    Value(String),
    Digest(String),
}

impl Kept {
    /// `None` where nothing is kept of the field.
    pub fn of(policy: Lineage, link: i64, property: &str, value: Option<&str>) -> Option<Self> {
        let Some(text) = value.filter(|text| !text.is_empty()) else {
            return (policy != Lineage::Off).then_some(Self::Blank);
        };
        match policy {
            Lineage::Values => Some(Self::Value(text.to_owned())),
            Lineage::Digest => Some(Self::Digest(digest(link, property, text))),
            Lineage::Off => None,
        }
    }

    pub fn to_json(&self) -> Json {
        match self {
            Self::Blank => Json::Null,
            Self::Value(text) => Json::String(text.clone()),
            Self::Digest(digest) => json!({ "digest": digest }),
        }
    }

    fn from_json(json: &Json) -> Option<Self> {
        match json {
            Json::Null => Some(Self::Blank),
            Json::String(text) => Some(Self::Value(text.clone())),
            Json::Object(parts) => Some(Self::Digest(parts.get("digest")?.as_str()?.to_owned())),
            _ => None,
        }
    }
}

/// 24 bits: enough to tell two values of one field of one link apart, too few to find the value by trying all phone numbers there are. The link is part of it, so that
/// one value in two rows does not show as one.
fn digest(link: i64, property: &str, value: &str) -> String {
    let bytes = Sha256::digest(format!("{link}\0{property}\0{value}"));
    bytes.iter().take(3).map(|byte| format!("{byte:02x}")).collect()
}

/// The fields of an entry as stored, `{"phone":["taken",was,row,record,times]}`; times are rare, and without them the record's form is left out where it is the row's. `None` when none of them is kept.
/// `base` is the link's after the change.
pub fn to_json(spec: &StreamSpec, link: i64, because: &[Because], base: &Base) -> Option<String> {
    let mut fields = Map::new();
    for because in because {
        let Some(field) = spec.fields.get(because.field) else { continue };
        let after = base.get(because.field);
        let keep = |value: Option<&str>| Kept::of(field.lineage, link, &field.property, value).map(|kept| kept.to_json());
        let row = after.and_then(|base| base.row.as_deref());
        let record = after.and_then(|base| base.record.as_deref());
        let (Some(was), Some(row), Some(record)) = (keep(because.was.as_deref()), keep(row), keep(record)) else { continue };
        let mut parts = vec![Json::from(because.rule.word()), was, row];
        if parts.last() != Some(&record) || because.times.is_some() {
            parts.push(record);
        }
        parts.extend(because.times.map(|times| json!({ "row": times.row, "record": times.record, "ahead": times.ahead })));
        fields.insert(field.property.clone(), Json::Array(parts));
    }
    (!fields.is_empty()).then(|| Json::Object(fields).to_string())
}

/// One field of an entry, as read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldEntry {
    pub property: String,
    /// The rule's word, which another version may have written.
    pub word: String,
    pub was: Kept,
    pub row: Kept,
    pub record: Kept,
    pub times: Option<Compared>,
}

/// One row or record that changed, as read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Database clock.
    pub at: Millis,
    /// `None` for a word that another version wrote.
    pub what: Option<What>,
    pub source: String,
    /// The window's id, or the push's attempt.
    pub number: Option<i64>,
    pub fields: Vec<FieldEntry>,
}

/// Reads what `to_json` wrote; what cannot be read is left out.
pub fn from_json(text: Option<&str>) -> Vec<FieldEntry> {
    let Some(Ok(Json::Object(fields))) = text.map(serde_json::from_str) else { return Vec::new() };
    let entry = |(property, json): (String, Json)| {
        let parts = json.as_array()?;
        let kept = |at: usize| Kept::from_json(parts.get(at)?);
        let row = kept(2)?;
        Some(FieldEntry {
            property,
            word: parts.first()?.as_str()?.to_owned(),
            was: kept(1)?,
            record: kept(3).unwrap_or_else(|| row.clone()),
            times: parts.get(4).and_then(compared),
            row,
        })
    };
    fields.into_iter().filter_map(entry).collect()
}

/// Nothing moved that anybody sees: the time of an edit that was undone is forgotten without a word.
fn is_same(was: &FieldBase, now: &FieldBase) -> bool {
    (&was.row, &was.record, &was.state, &was.replaced) == (&now.row, &now.record, &now.state, &now.replaced)
}

fn compared(json: &Json) -> Option<Compared> {
    let at = |name| json.get(name)?.as_i64();
    Some(Compared { row: at("row")?, record: at("record")?, ahead: at("ahead")? })
}

/// Why the fields of a push moved. A record that the push made needs none of its fields named: that it was made from the row says it. Only what the CRM altered or
/// did not take is.
pub fn of_push(before: &Base, sent: &[Sent], after: &Base, created: bool) -> Vec<Because> {
    let of_field = |sent: &Sent| {
        let (was, now) = (before.get(sent.field), after.get(sent.field)?);
        let rule = match (&now.state, was) {
            (State::Differs(_), _) => Rule::NotTaken,
            (_, _) if now.record != sent.record => Rule::SentAltered,
            (_, _) if created => return None,
            (_, None) => Rule::SentUnmet,
            (_, Some(base @ FieldBase { state: State::Held(_), .. })) if base.row == sent.row => Rule::SentHeld,
            (_, Some(FieldBase { state: State::Conflict(_), .. })) => Rule::SentDecided,
            (_, Some(base)) if base.state.is_decided(Side::Orders) && base.row == sent.row => Rule::SentWord,
            (_, Some(base)) if base.state == State::Owed && base.row == sent.row => Rule::SentOwed,
            (_, Some(_)) => Rule::SentHere,
        };
        Some(Because { field: sent.field, rule, was: was.and_then(|base| base.record.clone()), times: None })
    };
    sent.iter().filter_map(of_field).collect()
}

/// Why fields moved though nothing was sent: the row came to say what the record says, or its blank is kept out, or its value is held.
pub fn of_agreement(before: &Base, after: &Base) -> Vec<Because> {
    let moved = |(at, now): (usize, &Option<FieldBase>)| {
        let (was, now) = (before.get(at), now.as_ref()?);
        let rule = match (&now.state, was.map(|base| &base.state)) {
            _ if was.is_some_and(|was| is_same(was, now)) => return None,
            (State::Differs(_), _) => Rule::BlankRow,
            (State::Held(_), _) => Rule::Held,
            (_, Some(State::Conflict(_) | State::Decided(..))) => Rule::ConflictEnded,
            (_, Some(State::Owed)) => Rule::OwedEnded,
            (_, Some(State::Differs(_))) => Rule::DifferenceEnded,
            (_, Some(State::Agreed | State::Held(_))) => Rule::SameForm,
            (_, None) => Rule::SameMet,
        };
        Some(Because { field: at, rule, was: was.and_then(|base| base.row.clone()), times: None })
    };
    after.fields.iter().enumerate().filter_map(moved).collect()
}

#[cfg(test)]
#[path = "lineage_tests.rs"]
mod tests;
