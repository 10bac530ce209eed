//! Decides where a record without a link belongs: to a row that carries its keys, to none yet, or to a person's decision; and what a row made from it holds.

use crate::Millis;
use crate::base::Base;
use crate::ghost::Ghosts;
use crate::merge::{Merged, Unmergeable, merge_fields};
use crate::record::{RowKey, Value};
use crate::spec::StreamSpec;

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
            let keys: Vec<&str> = many.iter().take(5).map(|candidate| candidate.key.as_str()).collect();
            Meeting::Park(format!("{} rows match this record: {}", many.len(), keys.join(", ")))
        }
    }
}

/// The row's values for a record that becomes a new row, with its base.
pub fn insertion(spec: &StreamSpec, record: &[Value], now: Millis) -> Result<Merged, Unmergeable> {
    let nothing = vec![None; spec.fields.len()];
    // In a row that is made nothing was replaced.
    let mut merged = merge_fields(spec, &Base::unmet(spec), &Ghosts::default(), &nothing, record, now, false)?;
    merged.owes_push = false;
    // That the row was made from the record says it all: the link keeps that.
    merged.because = Vec::new();
    Ok(merged)
}
