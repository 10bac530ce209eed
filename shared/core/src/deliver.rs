//! Decides what a one-way stream owes for a row, and under which key it is told. Nobody can be asked what was heard: what counts is what was last answered for.
//!
//! The link's remote id is the key of the last delivery that was answered, and each key is made from the one before it, so that it is the same however often one delivery
//! is tried, and another for every later one, even of equal content. A delivery that nobody answered may have been heard: as long as it is remembered, the row is told again.

use sha2::{Digest, Sha256};

use crate::base::{Base, FieldBase};
use crate::failure::Class;
use crate::hook::Event;
use crate::link::{LinkState, LinkView};
use crate::push::{Plan, Sent, Subject, invalid, unmapped};
use crate::record::{RemoteId, Row, RowKey, Value};
use crate::spec::{DeletePolicy, StreamSpec};

/// Plans one delivery. An update carries every field, because whoever listens keeps nothing.
pub fn plan(spec: &StreamSpec, subject: &Subject<'_>) -> Plan {
    let Some(row) = subject.row else {
        return match subject.link {
            None => Plan::NotOurs { why: "the row is gone, and nobody was told of it" },
            Some(link) if link.state == LinkState::Tombstone => Plan::NotOurs { why: "the row is gone, and that is settled" },
            // Nothing ever left.
            Some(link) if link.state == LinkState::Creating && link.ghosts.is_empty() => Plan::Bury,
            Some(_) if spec.deletes.outbound == DeletePolicy::Tell => Plan::Archive,
            Some(_) => Plan::Bury,
        };
    };
    if !row.is_sendable(spec) {
        return Plan::NotOurs { why: "send_when does not hold" };
    }
    if let Some(problem) = invalid(spec, row) {
        return problem;
    }
    let fields = match values(spec, row) {
        Ok(fields) => fields,
        Err(plan) => return *plan,
    };
    match subject.link {
        Some(link) if matches!(link.state, LinkState::Linked | LinkState::Double) => plan_update(spec, row, link, fields),
        _ => Plan::Create { fields, references: Vec::new(), owes_tie: false },
    }
}

fn plan_update(spec: &StreamSpec, row: &Row, link: &LinkView, fields: Vec<Sent>) -> Plan {
    // A mapping that says the same value otherwise is no news of the row, and neither is a field that is new in it.
    let is_news = |sent: &Sent| {
        let known = link.base.get(sent.field);
        link.base.row_moved(sent.field, row) && known.is_some_and(|known| known.record != sent.record)
    };
    if !link.ghosts.is_empty() || fields.iter().any(is_news) {
        return Plan::Update { fields, references: Vec::new(), owes_tie: false };
    }
    let base = base(spec, fields);
    Plan::Nothing { base: (base != link.base).then_some(base), why: "nothing differs" }
}

/// Every field of the row in the form in which it is told.
fn values(spec: &StreamSpec, row: &Row) -> Result<Vec<Sent>, Box<Plan>> {
    let sent = |(at, field): (usize, &crate::spec::FieldSpec)| {
        let value = row.field(at).map(str::to_owned);
        match field.transform.to_record(value.as_deref()) {
            Ok(record) => Ok(Sent { field: at, row: value, record }),
            Err(error) => Err(Box::new(unmapped(field, row, &error.to_string()))),
        }
    };
    spec.fields.iter().enumerate().map(sent).collect()
}

fn base(spec: &StreamSpec, fields: Vec<Sent>) -> Base {
    let mut base = Base::default();
    base.fields.resize(spec.fields.len(), None);
    for sent in fields {
        base.fields[sent.field] = Some(FieldBase::agreed(sent.row, sent.record));
    }
    base
}

/// What the link of a row holds that counts as delivered although nothing was; `None` for a row that is not sent as it stands.
pub fn taken(spec: &StreamSpec, row: &Row) -> Option<Base> {
    if !row.is_sendable(spec) {
        return None;
    }
    values(spec, row).ok().map(|fields| base(spec, fields))
}

/// What goes round a second time before it is sent: a row that is gone is told with what was told last.
pub fn last_told(spec: &StreamSpec, base: &Base) -> Vec<Sent> {
    let told = |at: usize| base.get(at).and_then(|known| known.record.clone());
    (0..spec.fields.len()).map(|field| Sent { field, row: None, record: told(field) }).collect()
}

/// The values of a delivery, aligned with the fields.
pub fn aligned(spec: &StreamSpec, fields: &[Sent]) -> Vec<Value> {
    let value = |at: usize| fields.iter().find(|sent| sent.field == at).and_then(|sent| sent.record.clone());
    (0..spec.fields.len()).map(value).collect()
}

/// The key of a delivery: the same for each attempt at it, another for the next one. `before` is the key of the last one that was answered.
pub fn key(spec: &StreamSpec, row: &RowKey, before: Option<&RemoteId>, event: Event, values: &[Value]) -> String {
    let named: Vec<(&str, Option<&str>)> =
        spec.fields.iter().zip(values).map(|(field, value)| (field.property.as_str(), value.as_deref())).collect();
    digest(&(spec.name.as_str(), row.as_str(), before.map(RemoteId::as_str), event.word(), named))
}

/// What stands in the link of a row that counts as delivered, for the first key to be made from.
pub fn taken_key(spec: &StreamSpec, row: &RowKey) -> RemoteId {
    RemoteId(digest(&(spec.name.as_str(), row.as_str(), "taken")))
}

fn digest(of: &impl serde::Serialize) -> String {
    let bytes = serde_json::to_vec(of).unwrap_or_default();
    Sha256::digest(bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether nobody listens any more: the stream waits for a person then, and nothing of it is lost.
pub fn is_unsubscribed(class: Class) -> bool {
    match class {
        Class::Gone => true,
        Class::Throttled
        | Class::DayBudget
        | Class::Retry
        | Class::Auth
        | Class::Scope
        | Class::Conflict
        | Class::Duplicate
        | Class::Rejected
        | Class::Schema
        | Class::Malformed => false,
    }
}

#[cfg(test)]
#[path = "deliver_tests.rs"]
mod tests;
