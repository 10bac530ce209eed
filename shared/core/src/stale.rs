//! Decides whether a row value that came back is an edit, or an old object that an application saved whole.
//!
//! An application loads a customer, a page writes the new e-mail into the row, the application saves what it had loaded: the old value is back, and looks like an edit. A
//! change back to exactly what a page replaced is therefore suspect for a while. It is never sent during that time; what follows is the stream's policy.

use crate::Millis;
use crate::base::{Base, Dispute, FieldBase, Replaced, State};
use crate::merge::owner;
use crate::record::{Row, Value};
use crate::spec::{FieldSpec, Owner, StaleSave, StreamSpec};
use crate::window::millis;

/// Replaced values that a field remembers: an object may be several versions old.
const REMEMBERED_MAX: usize = 4;

/// The words shown where it is held.
pub const REASON: &str = "looks like a stale save";

/// Whether a row value, changed at `changed_at`, is one that a page replaced within the guard before.
pub fn is_stale(spec: &StreamSpec, field: &FieldSpec, base: &FieldBase, row: Option<&str>, changed_at: Millis) -> bool {
    // After anything but a page the row's people have had a say; and where the CRM owns the field a change of the row is put right whatever it is.
    let after_a_page = matches!(base.state, State::Agreed | State::Differs(_)) && spec.direction.writes_rows();
    after_a_page && owner(spec, field) != Owner::Crm && guard_end(spec, base, row).is_some_and(|end| changed_at < end)
}

/// When the guard over a value that came back is over; `None` for a value that no page replaced.
fn guard_end(spec: &StreamSpec, base: &FieldBase, row: Option<&str>) -> Option<Millis> {
    let guard = millis(spec.stale.guard);
    let newest = base.replaced.iter().rev().find(|replaced| replaced.value.as_deref() == row)?;
    (guard > 0).then_some(newest.at.saturating_add(guard))
}

/// A held field counts as an edit from now on.
pub(crate) fn is_over(spec: &StreamSpec, base: &FieldBase, now: Millis) -> bool {
    spec.stale.policy == StaleSave::Theirs && guard_end(spec, base, base.row.as_deref()).is_none_or(|end| now >= end)
}

/// When the earliest held field of a link counts as an edit and its push is due.
pub fn held_until(spec: &StreamSpec, base: &Base) -> Option<Millis> {
    if spec.stale.policy == StaleSave::Ours {
        return None;
    }
    let held = base.fields.iter().flatten().filter(|field| matches!(field.state, State::Held(_)));
    held.map(|field| guard_end(spec, field, field.row.as_deref()).unwrap_or(0)).min()
}

/// The base with every field held that looks like a stale save; `None` when there is none.
pub fn hold(spec: &StreamSpec, base: &Base, row: &Row, changed_at: Millis, now: Millis) -> Option<Base> {
    let mut held: Option<Base> = None;
    for (at, field) in spec.fields.iter().enumerate() {
        let Some(known) = base.get(at).filter(|known| known.row.as_deref() != row.field(at)) else { continue };
        if is_stale(spec, field, known, row.field(at), changed_at.min(now)) {
            let field = holding(known, row.field(at).map(str::to_owned), known.record.clone(), now);
            held.get_or_insert_with(|| base.clone()).fields[at] = Some(field);
        }
    }
    held
}

/// A field that is held back.
pub(crate) fn holding(base: &FieldBase, row: Value, record: Value, now: Millis) -> FieldBase {
    let dispute = Dispute { agreed: Some((base.row.clone(), base.record.clone())), since: Some(now) };
    FieldBase { row, record, state: State::Held(Box::new(dispute)), replaced: base.replaced.clone(), edit: None }
}

/// What a field remembers once a page replaces `row`. A stale save that is put right does not begin a guard of its own, or a field could be fought over for ever.
pub(crate) fn remember(spec: &StreamSpec, base: Option<&FieldBase>, row: &Value, now: Millis) -> Vec<Replaced> {
    let guard = millis(spec.stale.guard);
    if guard == 0 {
        return Vec::new();
    }
    let before = base.map_or(&[][..], |base| base.replaced.as_slice());
    let fresh = before.iter().filter(|replaced| replaced.at.saturating_add(guard) > now);
    let mut replaced: Vec<Replaced> = fresh.cloned().collect();
    if !replaced.iter().any(|replaced| replaced.value == *row) {
        replaced.push(Replaced { value: row.clone(), at: now });
    }
    replaced.drain(..replaced.len().saturating_sub(REMEMBERED_MAX));
    replaced
}

/// Forgets what no guard stands over any more, where the base is stored anyway. Where the row has changed and the change was not pushed yet, it may have come back within the
/// guard: the push knows when, and has to find it still.
pub(crate) fn forget(spec: &StreamSpec, base: &mut Base, row: &[Value], now: Millis) {
    let guard = millis(spec.stale.guard);
    for (field, row) in base.fields.iter_mut().zip(row) {
        let Some(field) = field.as_mut().filter(|field| !field.replaced.is_empty()) else { continue };
        let unsent = field.row != *row && field.replaced.iter().any(|replaced| replaced.value == *row);
        if !unsent && !matches!(field.state, State::Held(_)) {
            field.replaced.retain(|replaced| replaced.at.saturating_add(guard) > now);
        }
    }
}

#[cfg(test)]
#[path = "stale_tests.rs"]
mod tests;
