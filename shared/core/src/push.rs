//! Decides what paying a push debt takes, and what an attempt came to. Never sends anything.
//!
//! A push is a debt, not a payload: what to send is computed when it is sent, from the row as it is then against the base. An empty difference costs no call.

use crate::Millis;
use crate::backoff;
use crate::base::{Base, FieldBase, State};
use crate::bug::{Bug, planted};
use crate::conflict::Side;
use crate::delete::Gone;
use crate::failure::{Class, Failure};
use crate::link::{LinkState, LinkView};
use crate::record::{RemoteId, Row, RowKey, Value};
use crate::rule::Rule;
use crate::spec::{Blanks, DeletePolicy, FieldSpec, Owner, RetrySpec, StaleSave, StreamSpec};
use crate::window::millis;
use crate::{check, deliver, stale, survivor};

/// One field to be sent: the row's value it comes from, and the record's form of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub field: usize,
    pub row: Value,
    pub record: Value,
}

/// A reference to be sent after the record's own fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub field: usize,
    /// The parent's row key.
    pub row: Value,
    pub to: Option<RemoteId>,
    /// What the record refers to now.
    pub from: Option<RemoteId>,
}

/// What one debt takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// The sides agree, as far as nothing is held back; the debt is paid then. With the base to store when it moved.
    Nothing {
        base: Option<Base>,
        why: &'static str,
    },
    /// The row is none of the CRM's business as it stands: the debt is paid, whatever is held. Another change of the row owes another.
    NotOurs {
        why: &'static str,
    },
    Create {
        fields: Vec<Sent>,
        references: Vec<Reference>,
        /// A reference follows when there is something to refer to: the push is not paid by this.
        owes_tie: bool,
    },
    Update {
        fields: Vec<Sent>,
        references: Vec<Reference>,
        owes_tie: bool,
    },
    /// The record has to be read first: a field the CRM may have changed is about to be sent, or the sides never met.
    ReadFirst(&'static str),
    /// The row was deleted while its record was being made: whether there is one has to be found out.
    FindLost,
    /// The parent has no record yet.
    WaitForParent {
        object: String,
        row: String,
    },
    Archive,
    /// The row is gone and its record is left alone.
    Bury,
    /// The row is gone before anything left for its record: there is none, and nothing to remember. Whose record carries the row's key is somebody else.
    Forget,
    /// The row is gone, and its record carries the key of another row that has none: it is that row's from now on.
    HandOver {
        heir: RowKey,
    },
    Park {
        /// Who retries a debt of this class lets it through for it.
        class: &'static str,
        cause: String,
        next_step: String,
    },
}

/// What is known of the thing a debt is about.
#[derive(Debug)]
pub struct Subject<'a> {
    pub row: Option<&'a Row>,
    pub link: Option<&'a LinkView>,
    /// The row's key was deleted and used again since the last push.
    pub reborn: bool,
    /// Per reference field: the record of the parent row, if it has one; aligned with `spec.fields`.
    pub parents: &'a [Option<RemoteId>],
    /// The record was read in this same push: fields the CRM may change can be sent.
    pub just_read: bool,
    /// Another row waits for this record: theirs was merged into it.
    pub heir: bool,
    /// Database clock.
    pub now: Millis,
}

/// What a row holds cannot be sent.
const REJECTED: &str = "rejected";
/// Where the CRM's word stands, a local change is put right by a read.
const OF_THE_CRM: &str = "a field of the CRM was changed in the row";
/// A row's key may stand for another thing than it did.
pub const REUSED: &str = "reused";

/// Plans one push.
pub fn plan(spec: &StreamSpec, subject: &Subject<'_>) -> Plan {
    if spec.is_one_way() {
        return deliver::plan(spec, subject);
    }
    let linked = subject.link.filter(|link| link.state != LinkState::Tombstone);
    let Some(row) = subject.row else {
        return match linked {
            None if subject.link.is_some_and(|link| link.gone == Some(Gone::Record)) => Plan::Bury,
            // Its record is another row's now, or will be: it is not ours to archive.
            Some(link) if link.state == LinkState::Double => Plan::Bury,
            Some(_) if subject.heir => Plan::Bury,
            None => Plan::NotOurs { why: "row and record are gone" },
            Some(link) if link.state == LinkState::Creating && link.ghosts.is_empty() => Plan::Forget,
            Some(link) if link.state == LinkState::Creating => Plan::FindLost,
            Some(_) if spec.deletes.outbound == DeletePolicy::Archive => Plan::Archive,
            Some(_) => Plan::Bury,
        };
    };
    // Sent or not, nothing reaches the row any more until it goes on with the survivor, or somebody has been told.
    if linked.is_some_and(|link| link.state == LinkState::Double) {
        return Plan::ReadFirst(survivor::REASON);
    }
    if !row.is_sendable(spec) {
        return match linked.and_then(|link| put_right(spec, row, link)) {
            Some(why) => Plan::ReadFirst(why),
            None => Plan::NotOurs { why: "send_when does not hold" },
        };
    }
    if subject.link.is_some_and(|link| link.state == LinkState::Tombstone) {
        return Plan::NotOurs { why: "the record is gone and stays gone" };
    }
    if !spec.direction.writes_records() {
        return put_back(spec, row, linked);
    }
    if let Some(problem) = invalid(spec, row) {
        return problem;
    }
    match linked {
        None => plan_create(spec, row, subject),
        Some(link) if link.state == LinkState::Creating => plan_create(spec, row, subject),
        Some(link) if subject.reborn && is_somebody_else(spec, link, row) => Plan::Park {
            class: REUSED,
            cause: format!("key {} seems to have been deleted and used again for another of the {}", row.key, spec.object),
            next_step: "retry if it is the same thing: its record is changed then; is it another, archive the record in the CRM: the row gets one of its own".into(),
        },
        Some(link) => plan_update(spec, row, link, subject),
    }
}

/// A row that is not sent is none of the CRM's business, but what the CRM wrote into it was its own, and stands.
fn put_right(spec: &StreamSpec, row: &Row, link: &LinkView) -> Option<&'static str> {
    if link.state != LinkState::Linked || !spec.direction.writes_rows() {
        return None;
    }
    // A stale save that was edited since is an edit, and waits for the row to be sent again.
    let stale =
        |at: usize| link.base.get(at).is_some_and(|known| matches!(known.state, State::Held(_))) && !link.base.row_moved(at, row);
    if spec.stale.policy == StaleSave::Ours && (0..spec.fields.len()).any(stale) {
        return Some(stale::REASON);
    }
    let of_the_crm = |(at, field): (usize, &FieldSpec)| field.owner == Owner::Crm && link.base.row_moved(at, row);
    spec.fields.iter().enumerate().any(of_the_crm).then_some(OF_THE_CRM)
}

/// A stream that only reads makes and changes no record: a local change of what it follows is put right by a read.
fn put_back(spec: &StreamSpec, row: &Row, linked: Option<&LinkView>) -> Plan {
    // A stale save that was noticed is the row's known state by now; the read puts it right.
    let held = |base: &Base| base.fields.iter().flatten().any(|known| matches!(known.state, State::Held(_)));
    let changed = |link: &LinkView| {
        link.state == LinkState::Linked && (held(&link.base) || (0..spec.fields.len()).any(|at| link.base.row_moved(at, row)))
    };
    match linked {
        Some(link) if changed(link) => Plan::ReadFirst("the row of a stream that only reads was changed"),
        _ => Plan::NotOurs { why: "the stream does not write records" },
    }
}

pub(crate) fn invalid(spec: &StreamSpec, row: &Row) -> Option<Plan> {
    let mut unmet = spec.fields.iter().filter_map(|field| {
        let value = row.get(spec, &field.column).filter(|text| !text.is_empty())?;
        Some((field, check::unmet(field.check?, value)?))
    });
    let (bad, what) = unmet.next()?;
    Some(Plan::Park {
        class: REJECTED,
        cause: format!("{} {what}", bad.column),
        next_step: format!("correct {} of row {}; it is sent by itself then", bad.column, row.key),
    })
}

/// The row's key stands for another thing than the one that was agreed on: no match key says the same any more.
pub fn is_somebody_else(spec: &StreamSpec, link: &LinkView, row: &Row) -> bool {
    let mut keys = spec.match_on.iter().filter_map(|property| spec.field(property)).peekable();
    keys.peek().is_none()
        || !keys.any(|(at, field)| link.base.get(at).is_some_and(|base| base.row.as_deref() == row.get(spec, &field.column)))
}

fn plan_create(spec: &StreamSpec, row: &Row, subject: &Subject<'_>) -> Plan {
    let (mut fields, mut references, mut owes_tie) = (Vec::new(), Vec::new(), false);
    for (at, field) in spec.fields.iter().enumerate() {
        let value = row.field(at).map(str::to_owned);
        if field.references.is_some() {
            match reference(at, field, value, None, subject) {
                Err(_) if field.in_cycle => owes_tie = true,
                Err(plan) => return plan,
                Ok(Some(reference)) => references.push(reference),
                Ok(None) => {}
            }
            continue;
        }
        match field.transform.to_record(value.as_deref()) {
            Err(error) => return unmapped(field, row, &error.to_string()),
            Ok(Some(record)) => fields.push(Sent { field: at, row: value, record: Some(record) }),
            Ok(None) => {}
        }
    }
    Plan::Create { fields, references, owes_tie }
}

fn plan_update(spec: &StreamSpec, row: &Row, link: &LinkView, subject: &Subject<'_>) -> Plan {
    let (mut fields, mut references, mut tie) = (Vec::new(), Vec::new(), None);
    let mut base = link.base.clone();
    for (at, field) in spec.fields.iter().enumerate() {
        let value = row.field(at).map(str::to_owned);
        let Some(known) = link.base.get(at) else { return Plan::ReadFirst("a field of the mapping has not met yet") };
        let changed = known.row != value;
        let is_decided = !changed && known.state.is_decided(Side::Orders);
        let held = !changed && matches!(known.state, State::Held(_));
        if held && spec.stale.policy == StaleSave::Ours {
            return Plan::ReadFirst(stale::REASON);
        }
        let is_owed = known.state.owes() && !planted(Bug::OwedIsIgnored) || held && stale::is_over(spec, known, subject.now);
        if !changed && !is_owed {
            // The edit whose time was noted was undone: another one to the same value has a time of its own.
            if known.edit.is_some() {
                base.fields[at] = Some(FieldBase { edit: None, ..known.clone() });
            }
            continue;
        }
        if field.references.is_some() {
            if known.record == value {
                base.fields[at] = Some(FieldBase { replaced: known.replaced.clone(), ..FieldBase::agreed(value.clone(), value) });
                continue;
            }
            let from = known.record.as_deref();
            match reference(at, field, value, from, subject) {
                Err(plan) if field.in_cycle => tie = Some(plan),
                Err(plan) => return plan,
                Ok(Some(reference)) => references.push(reference),
                Ok(None) => {}
            }
            continue;
        }
        let record = match field.transform.to_record(value.as_deref()) {
            Ok(record) => record,
            Err(error) => return unmapped(field, row, &error.to_string()),
        };
        if record == known.record || field.transform.says_the_same(value.as_deref(), known.record.as_deref()) {
            let agreed = FieldBase::agreed(value, known.record.clone());
            base.fields[at] = Some(FieldBase { replaced: known.replaced.clone(), ..agreed });
        } else if record.is_none() && field.blanks == Blanks::Keep && !is_decided {
            let kept = State::Differs(Rule::BlankRow.reason().to_owned());
            let (record, replaced) = (known.record.clone(), known.replaced.clone());
            base.fields[at] = Some(FieldBase { row: value, record, state: kept, replaced, edit: None });
        } else {
            match field.owner {
                Owner::Orders => fields.push(Sent { field: at, row: value, record }),
                Owner::Hold | Owner::Newest(_) if subject.just_read || planted(Bug::HoldSentUnread) => {
                    fields.push(Sent { field: at, row: value, record });
                }
                Owner::Hold | Owner::Newest(_) => {
                    return Plan::ReadFirst("the CRM may have changed a field that is about to be sent");
                }
                Owner::Crm if planted(Bug::CrmFieldsSent) => fields.push(Sent { field: at, row: value, record }),
                Owner::Crm => return Plan::ReadFirst(OF_THE_CRM),
            }
        }
    }
    if fields.is_empty() && references.is_empty() {
        if let Some(waits) = tie {
            return waits;
        }
        return Plan::Nothing { base: (base != link.base).then_some(base), why: "nothing differs" };
    }
    Plan::Update { fields, references, owes_tie: tie.is_some() }
}

fn reference(
    at: usize,
    field: &FieldSpec,
    row: Value,
    from: Option<&str>,
    subject: &Subject<'_>,
) -> Result<Option<Reference>, Plan> {
    let object = field.references.clone().unwrap_or_default();
    let from = from.map(RemoteId::new);
    let Some(parent) = row.clone().filter(|key| !key.is_empty()) else {
        return Ok(from.is_some().then_some(Reference { field: at, row, to: None, from }));
    };
    match subject.parents.get(at).cloned().flatten() {
        Some(to) => Ok(Some(Reference { field: at, row, to: Some(to), from })),
        None if planted(Bug::OrphansSent) => Ok(None),
        None => Err(Plan::WaitForParent { object, row: parent }),
    }
}

pub(crate) fn unmapped(field: &FieldSpec, row: &Row, problem: &str) -> Plan {
    Plan::Park {
        class: REJECTED,
        cause: format!("{}: {problem}", field.column),
        next_step: format!("correct {} of row {}, or add the value to the map of {}", field.column, row.key, field.property),
    }
}

/// The base after a push: only the fields that were sent move, each to (value sent, value answered).
///
/// `created` says that the record was made by this very push: a field that was not sent is blank on both sides then. A value the CRM altered is agreed as a pair. A value the CRM ignored (it answers what it held before) is an accepted difference, reported and not sent for ever.
pub fn settled(spec: &StreamSpec, base: &Base, sent: &[Sent], answered: &[(String, Value)], created: bool) -> Base {
    let mut base = base.clone();
    base.fields.resize(spec.fields.len(), None);
    if created {
        let unmet =
            base.fields.iter_mut().zip(&spec.fields).filter(|(known, field)| known.is_none() && field.references.is_none());
        unmet.for_each(|(known, _)| *known = Some(FieldBase::agreed(None, None)));
    }
    for sent in sent {
        let Some(field) = spec.fields.get(sent.field) else { continue };
        let answer = answered.iter().find(|(property, _)| *property == field.property).map(|(_, value)| value.clone());
        let record = answer.unwrap_or_else(|| sent.record.clone());
        let before = base.get(sent.field).map(|known| known.record.clone());
        let ignored = record != sent.record && before.is_some_and(|before| before == record);
        let state = if ignored { State::Differs(Rule::NotTaken.reason().to_owned()) } else { State::Agreed };
        let row = if planted(Bug::SingleValuedBase) { record.clone() } else { sent.row.clone() };
        base.fields[sent.field] = Some(FieldBase { row, record, state, replaced: Vec::new(), edit: None });
    }
    base
}

/// What one failed attempt came to. Matched without a wildcard wherever it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    RetryAt {
        at: Millis,
    },
    /// Nobody's fault: the budget is spent until then.
    WaitForBudget {
        until: Millis,
    },
    /// Read the record by id, merge, then see what is left to send.
    ReadFirst,
    Parked {
        next_step: &'static str,
    },
    PauseConnection,
}

/// Decides what follows a failed attempt. `attempts` counts failed tries so far including this one; transient causes never die: they age and alert.
pub fn after_failure(failure: &Failure, attempts: u32, now: Millis, dice: f64, retry: &RetrySpec) -> Verdict {
    let floor = failure.wait.map_or(0, millis);
    let again = Verdict::RetryAt { at: now + backoff::delay(attempts, floor, dice, retry) };
    match failure.class {
        Class::Retry | Class::Malformed => again,
        Class::Throttled => Verdict::WaitForBudget { until: now + backoff::delay(attempts.min(5), floor, dice, retry) },
        Class::DayBudget => Verdict::WaitForBudget { until: now + floor.max(15 * 60_000) },
        Class::Auth => Verdict::PauseConnection,
        Class::Conflict | Class::Gone => Verdict::ReadFirst,
        Class::Duplicate if failure.existing.is_some() => Verdict::ReadFirst,
        Class::Duplicate => Verdict::Parked {
            next_step: "merge the two records in the CRM, or correct the value that must be unique, then retry",
        },
        Class::Rejected => Verdict::Parked { next_step: "correct the row; it is sent by itself then" },
        Class::Scope => Verdict::Parked { next_step: "give the token the missing scope, then retry" },
        Class::Schema => Verdict::Parked { next_step: "make the property in the CRM or take it out of the mapping, then retry" },
    }
}

#[cfg(test)]
#[path = "push_tests.rs"]
mod tests;
