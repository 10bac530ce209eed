//! Decides what a person's word on a field in conflict makes of its base, and what is owed for it. Never writes either side.

use crate::Millis;
use crate::base::{Base, State};
use crate::lineage::Because;
use crate::record::Value;
use crate::rule::Rule;
use crate::spec::StreamSpec;

/// Whose value a person lets stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Orders,
    Crm,
}

impl Side {
    pub fn word(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Crm => "crm",
        }
    }
}

/// The base that carries the decision. With `Side::Orders` a push is owed for it, with `Side::Crm` a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub base: Base,
    pub take: Side,
    /// What its lineage tells.
    pub because: Because,
}

/// Why a decision cannot be carried out; the text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecidable {
    #[error("nothing waits for a decision there: it was decided, or an edit decided it")]
    NotOpen,
    #[error("the stream does not write rows: let the orders' value stand, or edit the row yourself")]
    RowsAreNotWritten,
    #[error("the stream does not write records: let the CRM's value stand, or edit the record yourself")]
    RecordsAreNotWritten,
}

/// Lets one side's value of a field stand that is in conflict or held. Neither side is written here: the debt that follows does it, unless somebody edits a side first.
pub fn decide(spec: &StreamSpec, base: &Base, field: usize, take: Side) -> Result<Decision, Undecidable> {
    let mut base = base.clone();
    let open = base.fields.get_mut(field).and_then(Option::as_mut).ok_or(Undecidable::NotOpen)?;
    let (State::Conflict(dispute) | State::Held(dispute)) = &open.state else { return Err(Undecidable::NotOpen) };
    let rule = match take {
        Side::Orders if !spec.direction.writes_records() => return Err(Undecidable::RecordsAreNotWritten),
        Side::Crm if !spec.direction.writes_rows() => return Err(Undecidable::RowsAreNotWritten),
        Side::Orders => Rule::DecidedOrders,
        Side::Crm => Rule::DecidedCrm,
    };
    let was = dispute.agreed.as_ref().and_then(|(row, _)| row.clone());
    open.state = State::Decided(take, dispute.clone());
    Ok(Decision { base, take, because: Because { field, rule, was, times: None } })
}

/// One field that waits for a person, with everything there is to decide by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenField {
    pub field: usize,
    /// The pair that was agreed before; `None` when the two sides never met in this field.
    pub agreed: Option<(Value, Value)>,
    pub row: Value,
    pub record: Value,
    /// Database clock.
    pub since: Option<Millis>,
}

/// What of a base waits for a person, in field order.
pub fn open_fields(base: &Base) -> Vec<OpenField> {
    let open = |(field, known): (usize, &Option<crate::base::FieldBase>)| {
        let known = known.as_ref()?;
        let State::Conflict(dispute) = &known.state else { return None };
        let (row, record) = (known.row.clone(), known.record.clone());
        Some(OpenField { field, agreed: dispute.agreed.clone(), row, record, since: dispute.since })
    };
    base.fields.iter().enumerate().filter_map(open).collect()
}

#[cfg(test)]
#[path = "conflict_tests.rs"]
mod tests;
