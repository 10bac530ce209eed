//! Decides where a record without a link belongs: to a row that carries its keys, to none yet, or to a person's decision; and what a row made from it holds.

use std::borrow::Cow;

use crate::merge::Unmergeable;
use crate::record::{RowKey, Value, as_unlinked};
use crate::spec::{FieldSpec, StreamSpec};

/// Where an unknown record belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meeting {
    /// This row, which has no record yet.
    Bind(RowKey),
    Insert,
    /// Not by this mapping; with the reason.
    Exclude(&'static str),
    /// A create of ours may be this record: wait for it.
    Wait(&'static str),
    /// A person has to say.
    Park(String),
}

/// A row that a record without a link may belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub key: RowKey,
    /// Linked to another record already.
    pub taken: bool,
    pub by_external_key: bool,
    /// A create of it was begun and not heard of.
    pub creating: bool,
}

/// Decides where a record without a link belongs, from the rows that carry its keys.
pub fn meet(spec: &StreamSpec, candidates: &[Candidate], undecided_creates: bool) -> Meeting {
    if let Some(own) = candidates.iter().find(|candidate| candidate.by_external_key) {
        return match own.taken {
            false => Meeting::Bind(own.key.clone()),
            true => Meeting::Park(format!("two records carry the key of row {}: merge them in the CRM", own.key)),
        };
    }
    match candidates {
        [] if spec.external_key.is_none() && undecided_creates => {
            Meeting::Wait("a create of ours is undecided and may be this record")
        }
        [] if !spec.direction.writes_rows() => Meeting::Exclude("the stream does not write rows"),
        [] if spec.inbound == crate::spec::Inbound::UpdateOnly => Meeting::Exclude("inbound = \"update_only\""),
        [] => Meeting::Insert,
        [one] if one.taken => {
            Meeting::Park(format!("two records, one row: row {} is linked to another record with the same match key", one.key))
        }
        [one] => Meeting::Bind(one.key.clone()),
        many => {
            // The others have records of their own, and this is what the create of the one made, or will be bound to it when that looks.
            let mut free = many.iter().filter(|candidate| !candidate.taken);
            if let (Some(one), None) = (free.next(), free.next())
                && one.creating
            {
                return Meeting::Bind(one.key.clone());
            }
            let keys: Vec<&str> = many.iter().take(5).map(|candidate| candidate.key.as_str()).collect();
            Meeting::Park(format!("{} rows match this record: {}", many.len(), keys.join(", ")))
        }
    }
}

/// Whether a row and a record that carries its key are the same thing by a match key, too. Asked where the key alone does not tell: after a restore a key of a row that was
/// lost is given out again, and the record of the lost one still carries it.
pub fn says_the_same<'a>(spec: &StreamSpec, row: impl Fn(usize) -> Option<&'a str>, record: &[Value]) -> bool {
    let normalised = |text: &str| text.trim().to_lowercase();
    spec.match_on.iter().filter_map(|property| spec.field(property)).any(|(at, field)| {
        let there = field.transform.to_row(record.get(at).and_then(Option::as_deref)).ok().flatten();
        matches!((row(at), there), (Some(here), Some(there)) if !here.is_empty() && normalised(here) == normalised(&there))
    })
}

/// Why a record is not bound to the row whose key it carries.
pub fn doubted_key(key: &RowKey) -> String {
    format!(
        "it carries the key of row {key}, which no match key confirms: since a restore that key may have been given out twice"
    )
}

/// The values of the row that a record becomes, aligned with the fields, without a copy where they are the record's own. Every field then agrees: this is what
/// `merge` makes of a row that holds nothing and a base in which nothing met.
pub fn insertion<'a>(spec: &'a StreamSpec, record: &'a [Value]) -> Result<Vec<Option<Cow<'a, str>>>, Unmergeable> {
    let value = |(at, field): (usize, &'a FieldSpec)| {
        let held = record.get(at).and_then(Option::as_deref);
        let held = held.filter(|held| field.references.is_none() || as_unlinked(held).is_none());
        let taken = field.transform.in_row(held);
        taken.map_err(|error| Unmergeable { property: field.property.clone(), problem: error.to_string() })
    };
    spec.fields.iter().enumerate().map(value).collect()
}
