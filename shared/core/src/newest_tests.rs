//! Which side was changed later, and what a merge makes of it.

use proptest::prelude::*;

use super::*;
use crate::base::{Base, FieldBase, State};
use crate::ghost::Ghosts;
use crate::lineage::{from_json, to_json};
use crate::merge::merge;
use crate::merge::merge_timed;
use crate::merge::tests::{field, some, spec};
use crate::record::{RemoteId, RowKey};
use crate::rule::Rule;
use crate::spec::{Fallback, Owner};

const UTC: RowModified = RowModified { column: String::new(), east_secs: 0 };
/// 2026-03-01 10:11:03 UTC.
const NOON: Millis = 1_772_359_863_000;

fn moment(at: Millis) -> Option<Moment> {
    Some(Moment { at, precision: 1 })
}

fn times(row: Millis, record: Millis, by: Millis, error: Millis) -> Times {
    Times { row: moment(row), record: moment(record), ahead: Some(Ahead { by, error }) }
}

/// One field, and `phone` is decided by who was later.
fn newest(fallback: Fallback) -> StreamSpec {
    let row_modified = Some(RowModified { column: "updated_at".into(), east_secs: 0 });
    StreamSpec { fields: vec![field("phone", Owner::Newest(fallback))], row_modified, ..spec() }
}

fn base(row: &str, record: &str) -> Base {
    Base { fields: vec![Some(FieldBase::agreed(some(&[row])[0].clone(), some(&[record])[0].clone()))] }
}

#[test]
fn a_row_tells_its_time_in_the_form_of_its_column() {
    let check =
        |text: &str, at: Millis, precision: Millis| assert_eq!(parse(text, &UTC), Some(Moment { at, precision }), "{text}");
    check("2026-03-01 10:11:03", NOON, 1_000);
    check("2026-03-01T10:11:03Z", NOON, 1_000);
    check("2026-03-01 10:11:03.25", NOON + 250, 10);
    check("2026-03-01 10:11:03.123456+00", NOON + 123, 1);
    check("2026-03-01T12:11:03.5+02:00", NOON + 500, 100);
    check("2026-03-01 05:41:03-0430", NOON, 1_000);
    check("2026-03-01 10:11", NOON - 3_000, 60_000);
    check("1772359863", NOON, 1_000);
    check("1772359863.5", NOON + 500, 100);
    check("1772359863123", NOON + 123, 1);
    check("2026-03-01", NOON - 36_663_000, crate::DAY_MS);
    for text in ["", "yesterday", "10:11:03", "2026-02-30 10:11:03", "NaN", "-5"] {
        assert_eq!(parse(text, &UTC), None, "{text}");
    }
}

#[test]
fn a_zone_that_is_declared_holds_where_the_column_names_none() {
    let berlin = RowModified { column: String::new(), east_secs: 3_600 };
    assert_eq!(parse("2026-03-01 11:11:03", &berlin).map(|moment| moment.at), Some(NOON));
    assert_eq!(parse("2026-03-01 10:11:03+00", &berlin).map(|moment| moment.at), Some(NOON));
    assert_eq!(parse("2026-03-01T10:11:03Z", &berlin).map(|moment| moment.at), Some(NOON));
}

#[test]
fn h11_a_record_is_compared_by_the_database_clock() {
    // By its own clock, 60 s ahead, the record looks later; it was changed 30 s before the row.
    assert_eq!(times(NOON, NOON + 30_000, 60_000, 1_000).later(), Later::Row);
    assert_eq!(times(NOON, NOON + 30_000, 0, 1_000).later(), Later::Record);
}

#[test]
fn h11_what_lies_within_the_uncertainty_is_not_told() {
    // 1 ms of the row, 1 ms of the stamp, 1,000 ms of the offset.
    assert_eq!(times(NOON, NOON + 1_002, 0, 1_000).later(), Later::Untold);
    assert_eq!(times(NOON, NOON + 1_003, 0, 1_000).later(), Later::Record);
    assert_eq!(times(NOON, NOON - 1_002, 0, 1_000).later(), Later::Untold);
    assert_eq!(times(NOON, NOON - 1_003, 0, 1_000).later(), Later::Row);
    let whole = times(NOON, NOON + 30_000, 0, 0);
    for unknown in [Times { row: None, ..whole }, Times { record: None, ..whole }, Times { ahead: None, ..whole }] {
        assert_eq!(unknown.later(), Later::Untold);
    }
}

#[test]
fn h11_check_looks_at_the_type_of_the_column() {
    for (kind, fine, fails) in [
        (ColumnKind::Moment, true, false),
        (ColumnKind::Other, true, false),
        (ColumnKind::Text, false, false),
        (ColumnKind::Integer, false, false),
        (ColumnKind::Date, false, false),
        (ColumnKind::Bool, false, true),
        (ColumnKind::Uuid, false, true),
    ] {
        let fit = tells_time(kind);
        assert_eq!((fit == Fit::Fine, matches!(fit, Fit::WillFail { .. })), (fine, fails), "{kind:?}: {fit:?}");
    }
}

#[test]
fn a_time_in_the_future_is_no_time_of_change() {
    let spec = newest(Fallback::Hold);
    let row = |time: &str| Row { key: RowKey::new("7"), columns: some(&["1", time]) };
    let record = |modified| Record {
        id: RemoteId::new("70"),
        modified: Some(modified),
        archived: false,
        external_key: None,
        absorbed: Vec::new(),
        version: None,
        left_out: Vec::new(),
        values: some(&["1"]),
    };
    let ahead = Some(Ahead { by: 0, error: 0 });
    let known = Times::of(&spec, &row("2026-03-01 10:11:03"), &record(NOON), ahead, 1, NOON);
    assert!(known.row.is_some() && known.record.is_some());
    assert_eq!(Times::of(&spec, &row("2099-01-01 00:00:00"), &record(NOON), ahead, 1, NOON).row, None);
    assert_eq!(Times::of(&spec, &row("2026-03-01 10:11:03"), &record(NOON + 3_600_000), ahead, 1, NOON).record, None);
    assert_eq!(
        Times::of(&crate::merge::tests::spec(), &row("2026-03-01 10:11:03"), &record(NOON), ahead, 1, NOON),
        Times::default()
    );
}

/// What the merge does where both changed: the row's new value, whether a push is owed, the rule.
fn both(fallback: Fallback, times: &Times) -> (Option<String>, bool, Rule) {
    let merged =
        merge_timed(&newest(fallback), &base("1", "1"), &Ghosts::default(), &some(&["2"]), &some(&["3"]), NOON, times).unwrap();
    let took = merged.row_changes.first().and_then(|(_, value)| value.clone());
    (took, merged.owes_push, merged.because[0].rule)
}

#[test]
fn h11_the_side_that_changed_later_wins_and_the_other_is_put_right() {
    for fallback in [Fallback::Crm, Fallback::Orders, Fallback::Hold] {
        assert_eq!(both(fallback, &times(NOON, NOON + 9_000, 0, 2_000)), (Some("3".into()), false, Rule::TakenLater));
        assert_eq!(both(fallback, &times(NOON, NOON - 9_000, 0, 2_000)), (None, true, Rule::OwedLater));
    }
}

#[test]
fn h11_the_fallback_decides_what_cannot_be_told() {
    for close in [times(NOON, NOON + 500, 0, 2_000), Times::default()] {
        assert_eq!(both(Fallback::Crm, &close), (Some("3".into()), false, Rule::TakenUntold));
        assert_eq!(both(Fallback::Orders, &close), (None, true, Rule::OwedUntold));
        assert_eq!(both(Fallback::Hold, &close), (None, false, Rule::ConflictUntold));
    }
}

#[test]
fn h11_a_first_meeting_never_asks_who_was_later() {
    let later = times(NOON, NOON + 9_000, 0, 0);
    let unmet = Base { fields: vec![None] };
    for (fallback, rule) in
        [(Fallback::Crm, Rule::MetCrm), (Fallback::Orders, Rule::MetOrders), (Fallback::Hold, Rule::ConflictMet)]
    {
        let merged =
            merge_timed(&newest(fallback), &unmet, &Ghosts::default(), &some(&["2"]), &some(&["3"]), NOON, &later).unwrap();
        assert_eq!(merged.because[0].rule, rule);
    }
}

#[test]
fn h11_a_persons_word_is_not_outdone_by_a_time() {
    let decided = State::Decided(crate::conflict::Side::Orders, Box::default());
    let known = FieldBase { state: decided, ..FieldBase::agreed(some(&["2"])[0].clone(), some(&["3"])[0].clone()) };
    let base = Base { fields: vec![Some(known)] };
    let later = times(NOON, NOON + 9_000, 0, 0);
    let merged =
        merge_timed(&newest(Fallback::Hold), &base, &Ghosts::default(), &some(&["2"]), &some(&["4"]), NOON, &later).unwrap();
    assert_eq!(merged.because[0].rule, Rule::ConflictUndecided, "the CRM changed it before the word was carried out");
}

#[test]
fn h11_what_moved_the_rows_time_after_an_edit_did_not_make_the_edit() {
    let spec = newest(Fallback::Hold);
    // The row was edited at noon; a page that shows nothing new of the field sees it.
    let seen = times(NOON, NOON - 60_000, 0, 1_000);
    let first = merge_timed(&spec, &base("1", "1"), &Ghosts::default(), &some(&["2"]), &some(&["1"]), NOON, &seen).unwrap();
    assert_eq!(first.base.fields[0].as_ref().and_then(|field| field.edit.clone()).map(|edit| edit.at.at), Some(NOON));
    // Our own write moves the row's time a minute later; ten seconds after the edit, the CRM's people edit it too.
    let moved = times(NOON + 60_000, NOON + 10_000, 0, 1_000);
    let merge = |base: &Base, row: &str| {
        merge_timed(&spec, base, &Ghosts::default(), &some(&[row]), &some(&["3"]), NOON, &moved).unwrap()
    };
    assert_eq!(merge(&first.base, "2").because[0].rule, Rule::TakenLater);
    assert_eq!(merge(&base("1", "1"), "2").because[0].rule, Rule::OwedLater, "without the note the bump would pass for the edit");
    assert_eq!(merge(&first.base, "4").because[0].rule, Rule::OwedLater, "another value is another edit");
    let stored = Base::from_json(&spec, &first.base.to_json(&spec));
    assert_eq!(stored, first.base);
}

#[test]
fn a_person_is_told_both_times_and_the_difference_of_the_clocks() {
    let spec = newest(Fallback::Hold);
    let close = times(NOON, NOON + 12_000, 2_000, 1_000);
    let merged = merge_timed(&spec, &base("1", "1"), &Ghosts::default(), &some(&["2"]), &some(&["3"]), NOON, &close).unwrap();
    let kept = from_json(to_json(&spec, 1, &merged.because, &merged.base).as_deref());
    assert_eq!(kept[0].times, Some(Compared { row: NOON, record: NOON + 12_000, ahead: 2_000 }));
    let words = |ahead| Compared { row: NOON, record: NOON + 12_000, ahead }.words();
    assert_eq!(
        words(2_000),
        "the row was changed at 2026-03-01 10:11:03, the record at 2026-03-01 10:11:15 by its clock, which is 2 s ahead"
    );
    assert!(
        words(-61_400).ends_with("which is 61 s behind")
            && words(300).ends_with("by its clock, which agrees with the database's")
    );
}

fn any_times() -> impl Strategy<Value = Times> {
    let moment =
        || prop::option::of((NOON - 20_000..NOON + 20_000, 1i64..2_000).prop_map(|(at, precision)| Moment { at, precision }));
    let ahead = prop::option::of((-5_000i64..5_000, 0i64..3_000).prop_map(|(by, error)| Ahead { by, error }));
    (moment(), moment(), ahead).prop_map(|(row, record, ahead)| Times { row, record, ahead })
}

fn any_fallback() -> impl Strategy<Value = Fallback> {
    prop_oneof![Just(Fallback::Crm), Just(Fallback::Orders), Just(Fallback::Hold)]
}

fn any_base() -> impl Strategy<Value = Base> {
    let value = || prop::option::of("[123]");
    (value(), value(), any::<bool>()).prop_map(|(row, record, owed)| {
        let state = if owed { State::Owed } else { State::Agreed };
        Base { fields: vec![Some(FieldBase { state, ..FieldBase::agreed(row, record) })] }
    })
}

proptest! {
    #[test]
    fn h11_who_was_later_does_not_depend_on_where_the_clocks_stand(times in any_times(), by in -100_000i64..100_000) {
        let moved = Times {
            record: times.record.map(|moment| Moment { at: moment.at + by, ..moment }),
            ahead: times.ahead.map(|ahead| Ahead { by: ahead.by + by, ..ahead }),
            ..times
        };
        prop_assert_eq!(times.later(), moved.later());
    }

    #[test]
    fn h11_the_two_sides_are_judged_alike(row in NOON - 9_000..NOON + 9_000, record in NOON - 9_000..NOON + 9_000, error in 0i64..5_000) {
        let mirrored = match times(record, row, 0, error).later() {
            Later::Row => Later::Record,
            Later::Record => Later::Row,
            Later::Untold => Later::Untold,
        };
        prop_assert_eq!(times(row, record, 0, error).later(), mirrored);
    }

    #[test]
    fn h11_a_larger_doubt_never_turns_the_decision_round(times in any_times(), more in 0i64..50_000) {
        let wider = Times { ahead: times.ahead.map(|ahead| Ahead { error: ahead.error + more, ..ahead }), ..times };
        prop_assert!(wider.later() == times.later() || wider.later() == Later::Untold);
    }

    #[test]
    fn h11_where_one_side_alone_changed_no_time_matters(base in any_base(), value in prop::option::of("[123]"), here in any::<bool>(), fallback in any_fallback(), times in any_times()) {
        let known = base.fields[0].clone().unwrap();
        prop_assume!(known.state == State::Agreed);
        let (row, record) = if here { (value, known.record) } else { (known.row, value) };
        let spec = newest(fallback);
        let with = merge_timed(&spec, &base, &Ghosts::default(), std::slice::from_ref(&row), std::slice::from_ref(&record), NOON, &times).unwrap();
        let without = merge(&spec, &base, &Ghosts::default(), &[row], &[record], NOON).unwrap();
        prop_assert_eq!((with.row_changes, with.owes_push), (without.row_changes, without.owes_push));
    }

    #[test]
    fn h11_what_cannot_be_told_ends_as_the_fallback_owner_ends_it(base in any_base(), row in prop::option::of("[123]"), record in prop::option::of("[123]"), fallback in any_fallback()) {
        let own = StreamSpec { fields: vec![field("phone", fallback.owner())], ..newest(fallback) };
        let known = base.fields[0].clone().unwrap();
        let both_changed = (known.row != row || known.state == State::Owed) && known.record != record;
        prop_assume!(both_changed);
        let one = merge(&newest(fallback), &base, &Ghosts::default(), std::slice::from_ref(&row), std::slice::from_ref(&record), NOON).unwrap();
        let other = merge(&own, &base, &Ghosts::default(), &[row], &[record], NOON).unwrap();
        // What is remembered against stale saves is the owner's own affair.
        let sides = |base: &Base| base.fields.iter().flatten().map(|field| (field.row.clone(), field.record.clone(), field.state.clone())).collect::<Vec<_>>();
        prop_assert_eq!((one.row_changes, one.owes_push, sides(&one.base)), (other.row_changes, other.owes_push, sides(&other.base)));
    }

    #[test]
    fn h11_no_edit_is_dropped_without_the_other_side_standing(base in any_base(), row in prop::option::of("[123]"), record in prop::option::of("[123]"), fallback in any_fallback(), times in any_times()) {
        let merged = merge_timed(&newest(fallback), &base, &Ghosts::default(), std::slice::from_ref(&row), std::slice::from_ref(&record), NOON, &times).unwrap();
        let after = merged.row_changes.first().map_or(row, |(_, value)| value.clone());
        let state = merged.base.fields[0].as_ref().map(|field| field.state.clone());
        // The sides say the same, a push is owed, a person decides, or a difference stands accepted.
        prop_assert!(after == record || merged.owes_push || matches!(state, Some(State::Conflict(_) | State::Differs(_))) || state == Some(State::Agreed) && base.fields == merged.base.fields, "{:?}", state);
    }
}
