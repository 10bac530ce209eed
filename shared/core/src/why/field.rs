//! How one field stands since it was last agreed, and what to say of a name that is no field.

use super::{Facts, FieldNow, LinkFacts, both, quoted};
use crate::base::State;
use crate::conflict::Side;
use crate::lineage::Kept;
use crate::link::LinkState;
use crate::spec::{FieldSpec, Lineage, Owner, StaleSave, StreamSpec};
use crate::stale::REASON;

/// `None` without a link: a lone row or record has agreed on nothing.
pub(super) fn now(spec: &StreamSpec, facts: &Facts, at: usize) -> Option<FieldNow> {
    let link = facts.link.as_ref()?;
    let field = spec.fields.get(at)?;
    let keep = |value: Option<&str>| Kept::of(field.lineage, link.id, &field.property, value);
    let base = link.base.get(at);
    let row = base.and_then(|base| keep(base.row.as_deref()));
    let record = base.and_then(|base| keep(base.record.as_deref()));
    let values = match (&row, &record) {
        (Some(row), Some(record)) => both(row, record),
        _ => "its values are not shown, because lineage = \"off\"".to_owned(),
    };
    let (state, mut sentence) = match base.map(|base| &base.state) {
        None => ("never met", "never met: the field is compared when the record is read next".to_owned()),
        Some(State::Agreed) => ("agreed", format!("agreed: {values}")),
        Some(State::Owed) => ("owed", format!("owed: {values}; a push will put the record right")),
        Some(State::Conflict(dispute)) => {
            let agreed =
                dispute.agreed.as_ref().and_then(|(row, record)| Some((keep(row.as_deref())?, keep(record.as_deref())?)));
            let agreed = agreed.map(|(row, record)| format!("; before that, {}", both(&row, &record))).unwrap_or_default();
            let decide = "a person decides: tidemark resolve, the dashboard, or an edit of one side to what is right";
            ("conflict", format!("conflict: {values}{agreed}; {decide}"))
        }
        Some(State::Decided(Side::Orders, _)) => {
            ("decided", format!("decided: {values}; a person let the row's value stand, and a push will put the record right"))
        }
        Some(State::Decided(Side::Crm, _)) => (
            "decided",
            format!("decided: {values}; a person let the record's value stand, and the next read gives it to the row"),
        ),
        Some(State::Held(_)) if spec.stale.policy == StaleSave::Ours => {
            ("held", format!("held: {values}; it {REASON}, and the next read gives the record's value to the row"))
        }
        Some(State::Held(_)) => ("held", format!("held: {values}; it {REASON}, and counts as an edit when the guard is over")),
        Some(State::Differs(reason)) => ("differs", format!("differs: {values}; {reason}")),
    };
    if let Some(since) = changed_since(spec, facts, link, field, at) {
        sentence.push_str(&since);
    }
    let json = |kept: Option<Kept>| kept.map(|kept| kept.to_json());
    Some(FieldNow {
        property: field.property.clone(),
        column: field.column.clone(),
        state,
        row: json(row),
        record: json(record),
        sentence,
    })
}

/// The row moved on since: what becomes of that.
fn changed_since(spec: &StreamSpec, facts: &Facts, link: &LinkFacts, field: &FieldSpec, at: usize) -> Option<String> {
    let (row, base) = (facts.row()?, link.base.get(at)?);
    if row.field(at) == base.row.as_deref() || link.state == LinkState::Tombstone {
        return None;
    }
    let to = Kept::of(field.lineage, link.id, &field.property, row.field(at)).map(|kept| format!(" to {}", quoted(&kept)));
    let then = if !spec.direction.writes_records() && field.owner != Owner::Crm {
        "the stream does not write records, so that stays here"
    } else if spec.direction.writes_rows() && field.owner == Owner::Crm {
        "the CRM owns the field, so that is put back"
    } else if row.is_sendable(spec) {
        "that is owed to the CRM"
    } else {
        "that is not sent while send_when does not hold"
    };
    Some(format!(". The row was changed since{}: {then}", to.unwrap_or_default()))
}

/// Nothing is kept in agreement under this name; with what it is otherwise, and which names are mapped.
pub(super) fn not_mapped(spec: &StreamSpec, name: &str) -> String {
    let role = if name == spec.key {
        " It is the key of the table."
    } else if spec.remote_id.as_deref() == Some(name) {
        " It is the column that receives the CRM's id."
    } else if spec.external_key.as_deref() == Some(name) {
        " It is the property that holds our key."
    } else if spec.send_when.iter().any(|condition| condition.column == name) {
        " It only decides, by send_when, whether a row is sent."
    } else {
        ""
    };
    let mapped: Vec<String> = spec.fields.iter().map(|field| format!("{} ↔ {}", field.property, field.column)).collect();
    format!(
        "{name} is not mapped in {}: nothing is kept in agreement under that name.{role} Mapped are {}.",
        spec.name,
        mapped.join(", ")
    )
}

/// History is kept of the field.
pub(super) fn is_kept(field: &FieldSpec) -> bool {
    field.lineage != Lineage::Off
}
