//! A value that a page has just replaced is not sent when it comes back, and everything else is.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::ghost::Ghosts;
use crate::link::{LinkState, LinkView};
use crate::merge::tests::spec;
use crate::merge::{Merged, merge};
use crate::push::{Plan, Subject, plan};
use crate::record::RowKey;
use crate::spec::{Condition, Direction, StaleSpec, Test};

const PHONE: usize = 2;
const AT: Millis = 1_000_000;
const GUARD: Millis = 300_000;

fn with(policy: StaleSave) -> StreamSpec {
    StreamSpec { stale: StaleSpec { guard: Duration::from_millis(300_000), policy }, ..spec() }
}

fn values(phone: &Value) -> Vec<Value> {
    vec![Some("Rome".into()), Some("Ana".into()), phone.clone()]
}

fn text(phone: &str) -> Vec<Value> {
    values(&Some(phone.into()))
}

/// The CRM changed the phone from `1` to `2`, and a page wrote it into the row at `AT`.
fn replaced(spec: &StreamSpec) -> Base {
    let fields = text("1").into_iter().map(|value| Some(FieldBase::agreed(value.clone(), value)));
    let merged = step(spec, &Base { fields: fields.collect() }, &text("1"), &text("2"), AT);
    assert_eq!(merged.row_changes, [(PHONE, Some("2".into()))]);
    merged.base
}

fn step(spec: &StreamSpec, base: &Base, row: &[Value], record: &[Value], now: Millis) -> Merged {
    merge(spec, base, &Ghosts::default(), row, record, now).unwrap()
}

fn row(phone: &str) -> Row {
    Row { key: RowKey::new("7"), columns: text(phone) }
}

fn push(spec: &StreamSpec, base: &Base, row: &Row, changed_at: Millis, now: Millis) -> (Base, Plan) {
    let base = hold(spec, base, row, changed_at, now).unwrap_or_else(|| base.clone());
    let link = LinkView {
        state: LinkState::Linked,
        gone: None,
        base: base.clone(),
        seen: None,
        written_at: None,
        push_leased: true,
        ghosts: Ghosts::default(),
    };
    let subject = Subject {
        row: Some(row),
        link: Some(&link),
        reborn: false,
        parents: &[None, None, None],
        just_read: true,
        heir: false,
        now,
    };
    (base, plan(spec, &subject))
}

#[test]
fn h24_a_stale_save_is_put_right_by_a_read_and_never_sent() {
    let spec = with(StaleSave::Ours);
    let (held, plan) = push(&spec, &replaced(&spec), &row("1"), AT + 1_000, AT + 2_000);
    assert_eq!(plan, Plan::ReadFirst(REASON));
    assert!(matches!(held.get(PHONE).unwrap().state, State::Held(_)));
    let merged = step(&spec, &held, &text("1"), &text("2"), AT + 3_000);
    assert_eq!((merged.row_changes.as_slice(), merged.owes_push, merged.conflicts), (&[(PHONE, Some("2".into()))][..], false, 0));
    assert_eq!(
        step(&spec, &replaced(&spec), &text("1"), &text("2"), AT + 1).row_changes.len(),
        1,
        "a page that meets it first, too"
    );
}

#[test]
fn h24_the_guard_is_not_begun_anew_by_putting_a_stale_save_right() {
    let spec = with(StaleSave::Ours);
    let merged = step(&spec, &replaced(&spec), &text("1"), &text("2"), AT + GUARD - 1);
    assert_eq!(merged.row_changes.len(), 1);
    let (_, plan) = push(&spec, &merged.base, &row("1"), AT + GUARD + 1, AT + GUARD + 2);
    assert!(matches!(plan, Plan::Update { .. }), "whoever insists is heard: {plan:?}");
}

#[test]
fn h24_theirs_holds_it_until_the_guard_is_over_and_sends_it_then() {
    let spec = with(StaleSave::Theirs);
    let (held, plan) = push(&spec, &replaced(&spec), &row("1"), AT + 1_000, AT + 2_000);
    assert!(matches!(plan, Plan::Nothing { .. }), "{plan:?}");
    assert_eq!(held_until(&spec, &held), Some(AT + GUARD));
    let stays = step(&spec, &held, &text("1"), &text("2"), AT + 3_000);
    assert_eq!((&stays.base, stays.row_changes.len(), stays.owes_push), (&held, 0, false));
    let (_, plan) = push(&spec, &held, &row("1"), AT + 1_000, AT + GUARD);
    assert!(matches!(plan, Plan::Update { fields, .. } if fields.len() == 1 && fields[0].record.as_deref() == Some("1")));
    assert!(step(&spec, &held, &text("1"), &text("2"), AT + GUARD).owes_push);
}

#[test]
fn h24_the_other_fields_of_a_row_are_sent_while_one_is_held() {
    let spec = with(StaleSave::Theirs);
    let row = Row { columns: vec![Some("Rome".into()), Some("Anna".into()), Some("1".into())], ..row("1") };
    let (_, plan) = push(&spec, &replaced(&spec), &row, AT + 1_000, AT + 2_000);
    assert!(matches!(plan, Plan::Update { fields, .. } if fields.len() == 1 && fields[0].field == 1));
}

#[test]
fn h24_a_newer_change_in_the_crm_is_taken_over_a_held_value() {
    let spec = with(StaleSave::Theirs);
    let (held, _) = push(&spec, &replaced(&spec), &row("1"), AT + 1_000, AT + 2_000);
    let merged = step(&spec, &held, &text("1"), &text("3"), AT + 3_000);
    assert_eq!((merged.row_changes.len(), merged.conflicts), (1, 0));
    let late = step(&spec, &held, &text("1"), &text("3"), AT + GUARD);
    assert_eq!(late.conflicts, 1, "after the guard both sides have changed it");
}

#[test]
fn h24_an_object_that_is_two_versions_old_is_stale_as_well() {
    let spec = with(StaleSave::Ours);
    let twice = step(&spec, &replaced(&spec), &text("2"), &text("3"), AT + 1_000).base;
    let (_, plan) = push(&spec, &twice, &row("1"), AT + 2_000, AT + 2_000);
    assert_eq!(plan, Plan::ReadFirst(REASON));
}

#[test]
fn h24_what_was_replaced_is_forgotten_once_no_guard_stands_over_it() {
    let spec = with(StaleSave::Ours);
    let base = replaced(&spec);
    assert_eq!(step(&spec, &base, &text("2"), &text("2"), AT + 2 * GUARD).base, base, "nothing is stored only to forget");
    let elsewhere = vec![Some("Oslo".into()), Some("Ana".into()), Some("2".into())];
    let after = step(&spec, &base, &text("2"), &elsewhere, AT + 2 * GUARD).base;
    assert!(after.get(PHONE).unwrap().replaced.is_empty());
}

#[test]
fn h24_what_came_back_within_the_guard_is_held_though_its_push_came_after_a_page_and_after_the_guard() {
    let spec = with(StaleSave::Ours);
    let elsewhere = vec![Some("Oslo".into()), Some("Ana".into()), Some("2".into())];
    let page = step(&spec, &replaced(&spec), &text("1"), &elsewhere, AT + 2 * GUARD);
    assert!(page.owes_push);
    let row = Row { columns: vec![Some("Oslo".into()), Some("Ana".into()), Some("1".into())], ..row("1") };
    let (_, plan) = push(&spec, &page.base, &row, AT + 1_000, AT + 2 * GUARD + 1);
    assert_eq!(plan, Plan::ReadFirst(REASON), "the change log tells when it came back");
}

#[test]
fn h24_what_is_held_owes_no_push_while_its_row_is_none_of_the_crms_business() {
    let mut spec = with(StaleSave::Theirs);
    let (held, _) = push(&spec, &replaced(&spec), &row("1"), AT + 1_000, AT + 2_000);
    spec.send_when = vec![Condition { column: "confirmed".into(), test: Test::Present }];
    let unconfirmed = Row { columns: text("1").into_iter().chain([None]).collect(), ..row("1") };
    let (_, plan) = push(&spec, &held, &unconfirmed, AT + 1_000, AT + GUARD);
    assert!(matches!(plan, Plan::NotOurs { .. }), "nothing is due at once, for ever: {plan:?}");
    spec.stale.policy = StaleSave::Ours;
    let (_, plan) = push(&spec, &held, &unconfirmed, AT + 1_000, AT + 2_000);
    assert_eq!(plan, Plan::ReadFirst(REASON), "the CRM's change of the row stands");
    let edited = Row { columns: text("5").into_iter().chain([None]).collect(), ..row("5") };
    let (_, plan) = push(&spec, &held, &edited, AT + 1_000, AT + 2_000);
    assert!(
        matches!(plan, Plan::NotOurs { .. }),
        "an edit since is no stale save, and is not read for again and again: {plan:?}"
    );
}

#[test]
fn h24_a_stream_that_only_reads_puts_a_stale_save_right() {
    let spec = StreamSpec { direction: Direction::In, ..with(StaleSave::Ours) };
    let (held, plan) = push(&spec, &replaced(&spec), &row("1"), AT + 1_000, AT + 2_000);
    assert!(matches!(held.get(PHONE).unwrap().state, State::Held(_)));
    assert!(matches!(plan, Plan::ReadFirst(_)), "{plan:?}");
    assert_eq!(step(&spec, &held, &text("1"), &text("2"), AT + 3_000).row_changes.len(), 1);
}

fn phone() -> impl Strategy<Value = Value> {
    prop_oneof![Just(None), "[1-4]".prop_map(Some)]
}

proptest! {
    #[test]
    fn h24_only_what_a_page_replaced_is_ever_held(phone in phone(), after in 0i64..2 * GUARD, ours in any::<bool>()) {
        let spec = with(if ours { StaleSave::Ours } else { StaleSave::Theirs });
        let row = Row { key: RowKey::new("7"), columns: values(&phone) };
        let held = hold(&spec, &replaced(&spec), &row, AT + after, AT + after);
        prop_assert_eq!(held.is_some(), phone.as_deref() == Some("1") && after < GUARD);
    }

    #[test]
    fn h24_without_a_guard_or_rows_to_write_nothing_is_held(phone in phone(), after in 0i64..2 * GUARD) {
        let base = replaced(&with(StaleSave::Ours));
        let row = Row { key: RowKey::new("7"), columns: values(&phone) };
        let off = StreamSpec { stale: StaleSpec { guard: Duration::ZERO, policy: StaleSave::Ours }, ..spec() };
        prop_assert!(hold(&off, &base, &row, AT + after, AT + after).is_none());
        let out = StreamSpec { direction: Direction::Out, ..with(StaleSave::Ours) };
        prop_assert!(hold(&out, &base, &row, AT + after, AT + after).is_none());
    }

    #[test]
    fn h24_merging_twice_is_merging_once_under_a_guard(
        first in phone(), second in phone(), third in phone(), row in phone(), after in 0i64..2 * GUARD, ours in any::<bool>()
    ) {
        let spec = with(if ours { StaleSave::Ours } else { StaleSave::Theirs });
        let met = values(&first).into_iter().map(|value| Some(FieldBase::agreed(value.clone(), value)));
        let base = step(&spec, &Base { fields: met.collect() }, &values(&first), &values(&second), AT).base;
        let once = step(&spec, &base, &values(&row), &values(&third), AT + after);
        let mut now = values(&row);
        for (at, value) in &once.row_changes { now[*at] = value.clone(); }
        let twice = step(&spec, &once.base, &now, &values(&third), AT + after);
        prop_assert!(twice.row_changes.is_empty());
        prop_assert_eq!(&twice.base, &once.base);
    }
}
