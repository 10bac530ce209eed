//! A person's word on a conflict is carried out, whatever the values are, unless a side was edited since.

use proptest::prelude::*;

use super::*;
use crate::base::{Dispute, FieldBase};
use crate::ghost::Ghosts;
use crate::link::{LinkState, LinkView};
use crate::merge::merge;
use crate::merge::tests::spec;
use crate::push::{Plan, Subject, plan, settled};
use crate::record::{Row, RowKey};
use crate::spec::Direction;

const PHONE: usize = 2;

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![Just(None), "[ab]".prop_map(Some)]
}

/// The phone is in conflict between `row` and `record`; all else agrees.
fn in_conflict(row: &Value, record: &Value) -> Base {
    let same = |text: &str| Some(FieldBase::agreed(Some(text.into()), Some(text.into())));
    let dispute = Dispute { agreed: Some((Some("0".into()), Some("0".into()))), since: Some(1) };
    let phone = FieldBase {
        row: row.clone(),
        record: record.clone(),
        state: State::Conflict(Box::new(dispute)),
        replaced: Vec::new(),
        edit: None,
    };
    Base { fields: vec![same("Rome"), same("Ana"), Some(phone)] }
}

fn values(phone: &Value) -> Vec<Value> {
    vec![Some("Rome".into()), Some("Ana".into()), phone.clone()]
}

fn link(base: Base) -> LinkView {
    LinkView {
        state: LinkState::Linked,
        gone: None,
        base,
        seen: None,
        written_at: None,
        push_leased: true,
        ghosts: Ghosts::default(),
    }
}

#[test]
fn nothing_is_decided_where_nothing_waits_or_the_direction_forbids_it() {
    let open = in_conflict(&Some("1".into()), &Some("2".into()));
    assert_eq!(decide(&spec(), &open, 0, Side::Crm), Err(Undecidable::NotOpen));
    assert_eq!(decide(&spec(), &open, 9, Side::Crm), Err(Undecidable::NotOpen));
    let decided = decide(&spec(), &open, PHONE, Side::Crm).unwrap().base;
    assert_eq!(decide(&spec(), &decided, PHONE, Side::Orders), Err(Undecidable::NotOpen));
    let only_in = StreamSpec { direction: Direction::In, ..spec() };
    assert_eq!(decide(&only_in, &open, PHONE, Side::Orders), Err(Undecidable::RecordsAreNotWritten));
    let only_out = StreamSpec { direction: Direction::Out, ..spec() };
    assert_eq!(decide(&only_out, &open, PHONE, Side::Crm), Err(Undecidable::RowsAreNotWritten));
}

#[test]
fn what_waits_is_listed_with_what_was_agreed_and_since_when() {
    let open = open_fields(&in_conflict(&Some("1".into()), &None));
    let agreed = Some((Some("0".into()), Some("0".into())));
    assert_eq!(open, [OpenField { field: PHONE, agreed, row: Some("1".into()), record: None, since: Some(1) }]);
}

#[test]
fn a_decision_is_told_with_what_was_agreed_before() {
    let open = in_conflict(&Some("1".into()), &Some("2".into()));
    let because = decide(&spec(), &open, PHONE, Side::Orders).unwrap().because;
    assert_eq!(because, Because { field: PHONE, rule: Rule::DecidedOrders, was: Some("0".into()), times: None });
    assert_eq!(decide(&spec(), &open, PHONE, Side::Crm).unwrap().because.rule, Rule::DecidedCrm);
}

#[test]
fn a_record_that_moves_on_before_the_word_for_the_orders_is_carried_out_is_in_conflict_again_with_what_was_agreed_at_first() {
    let decided = decide(&spec(), &in_conflict(&Some("1".into()), &Some("2".into())), PHONE, Side::Orders).unwrap().base;
    let (row, record) = (values(&Some("1".into())), values(&Some("3".into())));
    let merged = merge(&spec(), &decided, &Ghosts::default(), &row, &record, 5).unwrap();
    assert!(merged.base.is_open() && merged.row_changes.is_empty() && !merged.owes_push);
    let again = open_fields(&merged.base).remove(0);
    assert_eq!((again.agreed, again.since), (Some((Some("0".into()), Some("0".into()))), Some(1)));
}

#[test]
fn an_edit_after_the_decision_still_decides_by_itself() {
    let decided = decide(&spec(), &in_conflict(&Some("1".into()), &Some("2".into())), PHONE, Side::Crm).unwrap().base;
    let record = values(&Some("2".into()));
    let merged = merge(&spec(), &decided, &Ghosts::default(), &values(&Some("3".into())), &record, 5).unwrap();
    assert!(merged.row_changes.is_empty() && merged.owes_push, "the row was edited since: its value goes out");
}

proptest! {
    #[test]
    fn a_decision_for_the_crm_gives_the_row_the_records_value(row in value(), record in value()) {
        prop_assume!(row != record);
        let decided = decide(&spec(), &in_conflict(&row, &record), PHONE, Side::Crm).unwrap().base;
        let merged = merge(&spec(), &decided, &Ghosts::default(), &values(&row), &values(&record), 5).unwrap();
        prop_assert_eq!(&merged.row_changes, &vec![(PHONE, record.clone())]);
        prop_assert!(!merged.owes_push && !merged.base.is_open());
        let after = merged.base.get(PHONE).unwrap();
        prop_assert_eq!((&after.row, &after.record, &after.state), (&record, &record, &State::Agreed));
    }

    #[test]
    fn a_decision_for_the_orders_sends_the_rows_value(row in value(), record in value()) {
        prop_assume!(row != record);
        let decided = decide(&spec(), &in_conflict(&row, &record), PHONE, Side::Orders).unwrap().base;
        let merged = merge(&spec(), &decided, &Ghosts::default(), &values(&row), &values(&record), 5).unwrap();
        prop_assert!(merged.row_changes.is_empty() && merged.owes_push, "a read meanwhile does not undo it");
        let whole = Row { key: RowKey::new("7"), columns: values(&row) };
        let view = link(merged.base.clone());
        let subject = Subject { row: Some(&whole), link: Some(&view), reborn: false, parents: &[None, None, None], just_read: true, heir: false, now: 5 };
        let Plan::Update { fields, .. } = plan(&spec(), &subject) else { panic!("nothing is sent") };
        prop_assert_eq!(fields.len(), 1);
        prop_assert_eq!(&fields[0].record, &row);
        let after = settled(&spec(), &merged.base, &fields, &[("phone".into(), row.clone())], false);
        prop_assert_eq!(after.get(PHONE), Some(&FieldBase::agreed(row.clone(), row)));
    }

    #[test]
    fn nothing_but_the_decided_field_moves(row in value(), record in value(), crm in any::<bool>()) {
        prop_assume!(row != record);
        let before = in_conflict(&row, &record);
        let decided = decide(&spec(), &before, PHONE, if crm { Side::Crm } else { Side::Orders }).unwrap().base;
        prop_assert_eq!(&decided.fields[..PHONE], &before.fields[..PHONE]);
        let (after, before) = (decided.get(PHONE).unwrap(), before.get(PHONE).unwrap());
        prop_assert_eq!((&after.row, &after.record), (&before.row, &before.record));
    }
}
