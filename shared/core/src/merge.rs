//! Decides what becomes of a record that was read: which values the row takes, which it keeps, what is owed, what waits for a person.
//!
//! Three values meet per field: what was agreed (the base pair), what the row holds now, what the record holds now. The rules, in order:
//!
//! 1. Old news never wins ([`crate::freshness`]): a version below what the link has seen is not merged; what cannot be ordered is read again by id.
//! 2. While a push of the link is under way, nothing is merged (there, too): the record is read again when the push has settled.
//! 3. A row value that already says what the record says changes nothing, whatever the base says.
//! 4. A field that changed on one side only goes to the other, if its owner allows; a change on the losing side is put right, not ignored.
//! 5. A field that changed on both sides goes to its owner; `hold` leaves both and waits for a person, whose word is then carried out unless a side was edited since;
//!    `newest` lets the later change stand where the two times tell ([`crate::newest`]), and is its fallback's where they do not.
//! 6. A field that never met: equal agrees, a blank takes the other, both set goes to the owner.
//! 7. A value of ours that may have landed late is no change over there: it agrees if the row still says it, and is put right if the row has moved on.
//! 8. A row value that a page has just replaced and that comes back is no edit while its guard lasts: an application saved an old object.
//! 9. A blank does not overwrite a value unless the mapping says `blanks = "clear"`: the difference is accepted and recorded.

use crate::Millis;
use crate::base::{Base, Dispute, FieldBase, State};
use crate::bug::{Bug, planted};
use crate::conflict::Side;
use crate::ghost::{Ghost, Ghosts};
use crate::lineage::Because;
use crate::newest::{Edit, Later, Times};
use crate::record::{Row, Value, as_unlinked, is_blank};
use crate::rule::Rule;
use crate::spec::{Blanks, Fallback, FieldSpec, Owner, StaleSave, StreamSpec};
use crate::stale;

/// What a record and its row come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// Field index and the row's new value, for the fields the row takes.
    pub row_changes: Vec<(usize, Value)>,
    pub base: Base,
    /// The record is to be put right by a push, or a local change waits to be sent.
    pub owes_push: bool,
    /// Fields that changed on both sides, whoever they went to.
    pub conflicts: u32,
    /// Why, for each field whose row or base moved.
    pub because: Vec<Because>,
}

/// A record cannot be carried into the row's form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{property}: {problem}")]
pub struct Unmergeable {
    pub property: String,
    pub problem: String,
}

/// Merges a record into its row where nothing is known of the times at which they were changed.
pub fn merge(
    spec: &StreamSpec,
    base: &Base,
    ghosts: &Ghosts,
    row: &[Value],
    record: &[Value],
    now: Millis,
) -> Result<Merged, Unmergeable> {
    merge_timed(spec, base, ghosts, row, record, now, &Times::default())
}

/// Merges a record into its row, field by field. `row` and `record` are aligned with `spec.fields`; `now` is the database's clock; `times` are those of row and record.
pub fn merge_timed(
    spec: &StreamSpec,
    base: &Base,
    ghosts: &Ghosts,
    row: &[Value],
    record: &[Value],
    now: Millis,
    times: &Times,
) -> Result<Merged, Unmergeable> {
    let mut merged = Merged {
        row_changes: Vec::new(),
        base: Base { fields: Vec::with_capacity(spec.fields.len()) },
        owes_push: false,
        conflicts: 0,
        because: Vec::new(),
    };
    for (at, field) in spec.fields.iter().enumerate() {
        let (row, record) = (row.get(at).and_then(Option::as_deref), record.get(at).and_then(Option::as_deref));
        if let Some(known) = base.get(at).filter(|known| known.rests(row, record)) {
            merged.base.fields.push(Some(known.clone()));
            continue;
        }
        let (row, record) = (row.map(str::to_owned), record.map(str::to_owned));
        let step = match ours(spec, field, base.get(at), ghosts.of(at, record.as_deref()), row.as_deref(), record.as_deref()) {
            Some(act) => Step { act, unsent: false, both_changed: false },
            None => merge_field(spec, field, base.get(at), row.as_deref(), record.as_deref(), now, times),
        };
        let step = if refers_to_a_stranger(field, record.as_deref()) { step.without_taking() } else { step };
        let times = times.of_edit(base.get(at).and_then(|base| base.edit.as_deref()), row.as_deref());
        let replaced = || base.get(at).map(|base| base.replaced.clone()).unwrap_or_default();
        merged.conflicts += u32::from(step.both_changed);
        let because = because(at, &step.act, base.get(at), row.as_deref(), record.as_deref());
        merged.because.extend(
            because.map(|because| Because { times: times.compared().filter(|_| because.rule.compares_times()), ..because }),
        );
        let edit = times.row.map(|at| Box::new(Edit { value: row.clone(), at }));
        let mut next = match step.act {
            Act::Stay => base.get(at).cloned().unwrap_or_else(|| FieldBase::agreed(row, record)),
            Act::Agree(_) => FieldBase { replaced: replaced(), ..FieldBase::agreed(row, record) },
            Act::Take(_) => {
                let suspect = owner(spec, field) != Owner::Crm;
                let replaced = if suspect { stale::remember(spec, base.get(at), &row, now) } else { Vec::new() };
                let taken = field.transform.to_row(record.as_deref());
                let taken =
                    taken.map_err(|error| Unmergeable { property: field.property.clone(), problem: error.to_string() })?;
                merged.row_changes.push((at, taken.clone()));
                FieldBase { replaced, ..FieldBase::agreed(taken, record) }
            }
            Act::Push(_) => FieldBase { row, record, state: State::Owed, replaced: replaced(), edit: None },
            Act::Wait(_) => {
                let state = State::Conflict(Box::new(dispute(base.get(at), now)));
                FieldBase { row, record, state, replaced: replaced(), edit: None }
            }
            Act::Hold(_) => base.get(at).map_or_else(
                || FieldBase::agreed(row.clone(), record.clone()),
                |base| stale::holding(base, row.clone(), record.clone(), now),
            ),
            Act::Accept(rule) => {
                let state = State::Differs(rule.reason().to_owned());
                FieldBase { row, record, state, replaced: replaced(), edit: None }
            }
        };
        let waits = (step.unsent || next.state.owes()) && matches!(field.owner, Owner::Newest(_));
        next.edit = edit.filter(|_| waits);
        merged.owes_push |= step.unsent || next.state.owes();
        merged.base.fields.push(Some(next));
    }
    if base.fields.iter().flatten().any(|field| !field.replaced.is_empty()) && merged.base != *base {
        stale::forget(spec, &mut merged.base, row, now);
    }
    Ok(merged)
}

/// What was agreed before both sides changed; a conflict that goes on keeps its beginning.
fn dispute(base: Option<&FieldBase>, now: Millis) -> Dispute {
    match base {
        Some(FieldBase { state: State::Conflict(before) | State::Decided(_, before) | State::Held(before), .. }) => {
            before.as_ref().clone()
        }
        Some(base) => Dispute { agreed: Some((base.row.clone(), base.record.clone())), since: Some(now) },
        None => Dispute { agreed: None, since: Some(now) },
    }
}

/// A value that moved over there because we sent it, whatever became of the answer.
fn ours(
    spec: &StreamSpec,
    field: &FieldSpec,
    base: Option<&FieldBase>,
    ghost: Option<&Ghost>,
    row: Option<&str>,
    record: Option<&str>,
) -> Option<Act> {
    let ghost = ghost.filter(|_| {
        !planted(Bug::GhostsForgotten)
            && owner(spec, field) != Owner::Crm
            && base.is_none_or(|base| base.record.as_deref() != record)
    })?;
    let landed = ghost.sent.row.as_deref() == row || says_the_same(field, row, record);
    Some(if landed { Act::Agree(Rule::OurWrite) } else { push(spec, field, row, Rule::OwedLate) })
}

struct Step {
    act: Act,
    /// The row holds a change that has not been sent.
    unsent: bool,
    both_changed: bool,
}

impl Step {
    /// The row keeps its reference until the record it is to refer to has a row; a read is owed for then ([`crate::page::awaited`]).
    fn without_taking(self) -> Self {
        match self.act {
            Act::Take(_) => Self { act: Act::Agree(Rule::Awaited), ..self },
            _ => self,
        }
    }
}

fn refers_to_a_stranger(field: &FieldSpec, record: Option<&str>) -> bool {
    field.references.is_some() && record.is_some_and(|record| as_unlinked(record).is_some())
}

/// What is done about a field, and by which rule.
enum Act {
    /// The base stays as it is.
    Stay,
    Agree(Rule),
    Take(Rule),
    Push(Rule),
    Wait(Rule),
    /// Not sent for now: it looks like a stale save.
    Hold(Rule),
    Accept(Rule),
}

/// What is noted of an act: nothing where neither the row nor the base moves, nor where two that met said the same, which their meeting itself tells.
fn because(at: usize, act: &Act, base: Option<&FieldBase>, row: Option<&str>, record: Option<&str>) -> Option<Because> {
    let is = |state: &State| {
        base.is_some_and(|base| base.row.as_deref() == row && base.record.as_deref() == record && base.state == *state)
    };
    let before = |side: fn(&FieldBase) -> &Value| base.and_then(|base| side(base).clone());
    let (rule, was) = match act {
        Act::Stay | Act::Agree(Rule::SameMet) => return None,
        Act::Take(rule) => (*rule, row.map(str::to_owned)),
        Act::Agree(_) if is(&State::Agreed) => return None,
        Act::Push(_) if is(&State::Owed) => return None,
        Act::Wait(_) if base.is_some_and(|base| is(&base.state) && base.is_open()) => return None,
        Act::Accept(rule) if is(&State::Differs(rule.reason().to_owned())) => return None,
        Act::Push(rule) => (*rule, before(|base| &base.record)),
        Act::Agree(rule) | Act::Wait(rule) | Act::Hold(rule) | Act::Accept(rule) => (*rule, before(|base| &base.row)),
    };
    Some(Because { field: at, rule, was, times: None })
}

fn merge_field(
    spec: &StreamSpec,
    field: &FieldSpec,
    base: Option<&FieldBase>,
    row: Option<&str>,
    record: Option<&str>,
    now: Millis,
    times: &Times,
) -> Step {
    let step = |act, unsent, both_changed| Step { act, unsent, both_changed };
    if says_the_same(field, row, record) {
        return step(Act::Agree(agreement(base, row, record)), false, false);
    }
    let Some(base) = base else { return step(first_meeting(spec, field, row, record), false, false) };
    // A value that is owed was changed here and has not been sent yet.
    let here = base.row.as_deref() != row || (base.state.owes() && !planted(Bug::OwedIsNoChange));
    let there = base.record.as_deref() != record;
    if let Some(act) = word(spec, field, base, row, record) {
        let unsent = matches!(act, Act::Stay);
        return step(act, unsent, false);
    }
    let held = !here && matches!(base.state, State::Held(_));
    if held && !stale::is_over(spec, base, now) || here && stale::is_stale(spec, field, base, row, now) {
        return match spec.stale.policy {
            StaleSave::Theirs if held && !there => step(Act::Stay, false, false),
            StaleSave::Theirs if !there => step(Act::Hold(Rule::Held), true, false),
            StaleSave::Ours | StaleSave::Theirs => step(take(spec, field, record, Rule::TakenStale), false, false),
        };
    }
    // Held until its guard was over: it was an edit after all.
    let here = here || held;
    match (here, there) {
        (false, false) => step(Act::Stay, base.state == State::Owed, false),
        (false, true) => step(changed_there(spec, field, base, row, record), false, false),
        (true, false) => match changed_here(spec, field, row, record) {
            Act::Push(_) if !base.state.owes() => step(Act::Stay, true, false),
            act => step(act, false, false),
        },
        (true, true) => match owner(spec, field) {
            Owner::Newest(fallback) => step(later(spec, field, base, (row, record), fallback, times), false, true),
            Owner::Crm => step(take(spec, field, record, Rule::TakenBoth), false, true),
            // The row said so when it was owed already: only the CRM moved again.
            Owner::Orders if base.row.as_deref() == row => step(push(spec, field, row, Rule::OwedThere), false, true),
            Owner::Orders => step(push(spec, field, row, Rule::OwedBoth), false, true),
            Owner::Hold => step(Act::Wait(waits(base, Rule::ConflictBoth)), false, true),
        },
    }
}

/// Both sides changed: the later change stands, and the fallback decides where nobody can tell.
fn later(
    spec: &StreamSpec,
    field: &FieldSpec,
    base: &FieldBase,
    (row, record): (Option<&str>, Option<&str>),
    fallback: Fallback,
    times: &Times,
) -> Act {
    let later = match base.state {
        // A person let the row's value stand, and that word has no time that could be compared.
        State::Decided(..) => Later::Untold,
        State::Agreed | State::Owed | State::Conflict(_) | State::Held(_) | State::Differs(_) => {
            times.of_edit(base.edit.as_deref(), row).later()
        }
    };
    match (later, fallback) {
        (Later::Record, _) => take(spec, field, record, Rule::TakenLater),
        (Later::Row, _) => push(spec, field, row, Rule::OwedLater),
        (Later::Untold, Fallback::Crm) => take(spec, field, record, Rule::TakenUntold),
        (Later::Untold, Fallback::Orders) => push(spec, field, row, Rule::OwedUntold),
        (Later::Untold, Fallback::Hold) => Act::Wait(waits(base, Rule::ConflictUntold)),
    }
}

/// A conflict that goes on, or one that begins by this rule.
fn waits(base: &FieldBase, begins: Rule) -> Rule {
    match base.state {
        State::Conflict(_) => Rule::ConflictAgain,
        State::Decided(..) => Rule::ConflictUndecided,
        State::Agreed | State::Owed | State::Held(_) | State::Differs(_) => begins,
    }
}

/// A person's word that is still to be carried out. It stands above the rule for blanks, as far as it was about this value; a row that was edited since decides by itself.
fn word(spec: &StreamSpec, field: &FieldSpec, base: &FieldBase, row: Option<&str>, record: Option<&str>) -> Option<Act> {
    let State::Decided(side, _) = &base.state else { return None };
    let there = base.record.as_deref() != record;
    match side {
        _ if base.row.as_deref() != row => None,
        Side::Crm if !spec.direction.writes_rows() => None,
        Side::Crm if there => Some(take(spec, field, record, Rule::TakenWord)),
        Side::Crm => Some(Act::Take(Rule::TakenWord)),
        Side::Orders if there || !spec.direction.writes_records() => None,
        Side::Orders => Some(Act::Stay),
    }
}

/// How two sides that say the same came to do so.
fn agreement(base: Option<&FieldBase>, row: Option<&str>, record: Option<&str>) -> Rule {
    let Some(base) = base else { return Rule::SameMet };
    match base.state {
        State::Conflict(_) | State::Decided(..) => Rule::ConflictEnded,
        State::Held(_) => Rule::SameForm,
        State::Owed => Rule::OwedEnded,
        State::Differs(_) => Rule::DifferenceEnded,
        State::Agreed if base.row.as_deref() != row && base.record.as_deref() != record => Rule::SameBoth,
        State::Agreed => Rule::SameForm,
    }
}

/// References compare by the row key of the parent: no transform applies.
fn says_the_same(field: &FieldSpec, row: Option<&str>, record: Option<&str>) -> bool {
    if field.references.is_some() { row == record } else { field.transform.says_the_same(row, record) }
}

/// A stream that never writes rows has only one side that can own a value.
pub(crate) fn owner(spec: &StreamSpec, field: &FieldSpec) -> Owner {
    if spec.direction.writes_rows() { field.owner } else { Owner::Orders }
}

fn first_meeting(spec: &StreamSpec, field: &FieldSpec, row: Option<&str>, record: Option<&str>) -> Act {
    // Never by who was later: that the two differ is no news of either.
    let owner = |spec, field| owner(spec, field).without_times();
    match (is_blank(row), is_blank(record)) {
        (true, false) if spec.direction.writes_rows() => Act::Take(Rule::MetBlankRow),
        (false, true) if owner(spec, field) != Owner::Crm => push(spec, field, row, Rule::MetBlankRecord),
        _ => match owner(spec, field) {
            Owner::Crm => take(spec, field, record, Rule::MetCrm),
            Owner::Orders => push(spec, field, row, Rule::MetOrders),
            Owner::Hold | Owner::Newest(_) => Act::Wait(Rule::ConflictMet),
        },
    }
}

fn changed_there(spec: &StreamSpec, field: &FieldSpec, base: &FieldBase, row: Option<&str>, record: Option<&str>) -> Act {
    match owner(spec, field) {
        Owner::Crm | Owner::Hold | Owner::Newest(_) if base.is_open() => take(spec, field, record, Rule::TakenDecided),
        Owner::Crm | Owner::Hold | Owner::Newest(_) => take(spec, field, record, Rule::TakenThere),
        Owner::Orders => push(spec, field, row, Rule::OwedThere),
    }
}

fn changed_here(spec: &StreamSpec, field: &FieldSpec, row: Option<&str>, record: Option<&str>) -> Act {
    match owner(spec, field) {
        Owner::Crm => take(spec, field, record, Rule::PutBack),
        Owner::Orders | Owner::Hold | Owner::Newest(_) => push(spec, field, row, Rule::OwedAgain),
    }
}

fn take(spec: &StreamSpec, field: &FieldSpec, record: Option<&str>, rule: Rule) -> Act {
    if !spec.direction.writes_rows() {
        return Act::Accept(Rule::RowsNotWritten);
    }
    match (is_blank(record), field.blanks) {
        (true, Blanks::Keep) if !planted(Bug::BlanksOverwrite) => Act::Accept(Rule::BlankRecord),
        _ => Act::Take(rule),
    }
}

fn push(spec: &StreamSpec, field: &FieldSpec, row: Option<&str>, rule: Rule) -> Act {
    if !spec.direction.writes_records() {
        return Act::Accept(Rule::RecordsNotWritten);
    }
    match (is_blank(row), field.blanks) {
        (true, Blanks::Keep) => Act::Accept(Rule::BlankRow),
        _ => Act::Push(rule),
    }
}

/// Nothing moved on either side since everything agreed: `merge` would change nothing.
pub fn is_at_rest(base: &Base, row: &Row, record: &[Value]) -> bool {
    base.fields.len() == record.len()
        && base
            .fields
            .iter()
            .zip(record)
            .enumerate()
            .all(|(at, (base, record))| base.as_ref().is_some_and(|base| base.rests(row.field(at), record.as_deref())))
}

#[cfg(test)]
#[path = "merge_tests.rs"]
pub(crate) mod tests;
