//! The merge, case by case and as laws.

use std::borrow::Cow;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::meeting::insertion;
use crate::meeting::{Candidate, Meeting, meet};
use crate::push::Sent;
use crate::record::RowKey;
use crate::spec::{
    DeletePolicy, Deletes, Direction, Inbound, InboundDelete, Lineage, PollSpec, RetrySpec, StaleSpec, SweepSpec, TableName,
    Touch,
};
use crate::transform::Transform;

const NOW: Millis = 1_000;

pub(crate) fn field(property: &str, owner: Owner) -> FieldSpec {
    FieldSpec {
        property: property.to_owned(),
        column: property.to_owned(),
        owner,
        blanks: Blanks::Keep,
        transform: Transform::Text,
        check: None,
        references: None,
        in_cycle: false,
        lineage: Lineage::Values,
    }
}

/// `city` is owned by the CRM, `name` by the orders, `phone` is held.
pub(crate) fn spec() -> StreamSpec {
    StreamSpec {
        name: "hubspot.contacts".into(),
        connection: "hubspot".into(),
        object: "contacts".into(),
        table: TableName { schema: None, name: "customers".into() },
        key: "id".into(),
        direction: Direction::Both,
        inbound: Inbound::Full,
        fields: vec![field("city", Owner::Crm), field("name", Owner::Orders), field("phone", Owner::Hold)],
        send_when: Vec::new(),
        match_on: Vec::new(),
        remote_id: None,
        external_key: Some("order_key".into()),
        deletes: Deletes { outbound: DeletePolicy::Ignore, inbound: InboundDelete::Ignore },
        stale: StaleSpec { guard: Duration::from_secs(300), policy: StaleSave::Ours },
        touch: Touch::default(),
        row_modified: None,
        hook: None,
        poll: PollSpec {
            every: Duration::from_secs(30),
            lag: Duration::from_secs(5),
            settled_every: Duration::from_secs(300),
            settled_lag: Duration::from_secs(60),
            overlap: Duration::from_secs(2),
            page_rows_max: 200,
        },
        brakes: crate::spec::BrakesSpec::NONE,
        loop_breaker: crate::loop_breaker::LoopBreaker::NONE,
        sweep: SweepSpec { every: Some(Duration::from_secs(86_400)), share_permille: 100 },
        retry: RetrySpec { first: Duration::from_secs(2), cap: Duration::from_secs(900) },
        fresh_within: Duration::from_secs(120),
    }
}

pub(crate) fn some(values: &[&str]) -> Vec<Value> {
    values.iter().map(|text| (!text.is_empty()).then(|| (*text).to_owned())).collect()
}

pub(crate) fn agreed(values: &[&str]) -> Base {
    Base { fields: some(values).into_iter().map(|value| Some(FieldBase::agreed(value.clone(), value))).collect() }
}

/// Merges and gives the row after the merge.
fn check(base: &Base, row: &[&str], record: &[&str], row_after: &[&str]) -> Merged {
    let merged = merge(&spec(), base, &Ghosts::default(), &some(row), &some(record), NOW).unwrap();
    let mut after = some(row);
    for (at, value) in &merged.row_changes {
        after[*at] = value.clone();
    }
    assert_eq!(after, some(row_after));
    merged
}

#[test]
fn a_change_in_the_crm_alone_is_taken_except_where_the_orders_own_the_field() {
    let merged = check(&agreed(&["Rome", "Ana", "1"]), &["Rome", "Ana", "1"], &["Oslo", "Anna", "2"], &["Oslo", "Ana", "2"]);
    assert!(merged.owes_push, "the name in the CRM is to be put right");
    assert_eq!(merged.base.get(1).unwrap().state, State::Owed);
    assert_eq!(merged.base.get(1).unwrap().record.as_deref(), Some("Anna"));
}

#[test]
fn a_local_change_on_a_field_of_the_crm_is_put_back() {
    let merged = check(&agreed(&["Rome", "Ana", "1"]), &["Oslo", "Ana", "1"], &["Rome", "Ana", "1"], &["Rome", "Ana", "1"]);
    assert!(!merged.owes_push);
}

#[test]
fn an_unsent_local_change_is_held_against_a_stale_inbound_value() {
    let merged = check(&agreed(&["Rome", "Ana", "1"]), &["Rome", "Anna", "2"], &["Rome", "Ana", "1"], &["Rome", "Anna", "2"]);
    assert!(merged.owes_push);
    assert_eq!(merged.base, agreed(&["Rome", "Ana", "1"]), "the base moves when the push settles");
}

#[test]
fn a_held_field_that_changed_on_both_sides_waits_for_a_person() {
    let merged = check(&agreed(&["Rome", "Ana", "1"]), &["Rome", "Ana", "2"], &["Rome", "Ana", "3"], &["Rome", "Ana", "2"]);
    assert_eq!(merged.conflicts, 1);
    let agreed = Some((Some("1".into()), Some("1".into())));
    assert_eq!(merged.base.get(2).unwrap().state, State::Conflict(Box::new(Dispute { agreed, since: Some(NOW) })));
    assert!(!merged.owes_push);
}

#[test]
fn a_conflict_that_goes_on_keeps_what_was_agreed_before_it_and_since_when() {
    let merged = check(&agreed(&["Rome", "Ana", "1"]), &["Rome", "Ana", "2"], &["Rome", "Ana", "3"], &["Rome", "Ana", "2"]);
    let again =
        merge(&spec(), &merged.base, &Ghosts::default(), &some(&["Rome", "Ana", "4"]), &some(&["Rome", "Ana", "5"]), 9).unwrap();
    assert_eq!(again.base.get(2).unwrap().state, merged.base.get(2).unwrap().state);
    assert_eq!(again.base.get(2).unwrap().row.as_deref(), Some("4"));
}

#[test]
fn a_field_that_changed_on_both_sides_goes_to_its_owner() {
    let merged = check(&agreed(&["Rome", "Ana", "1"]), &["Bonn", "Anna", "1"], &["Oslo", "Anne", "1"], &["Oslo", "Anna", "1"]);
    assert_eq!(merged.conflicts, 2);
    assert!(merged.owes_push);
}

#[test]
fn a_change_over_there_does_not_undo_an_edit_that_is_still_owed() {
    let mut base = agreed(&["Rome", "Ana", "1"]);
    base.fields[2] =
        Some(FieldBase { row: Some("2".into()), record: Some("1".into()), state: State::Owed, replaced: Vec::new(), edit: None });
    let merged = check(&base, &["Rome", "Ana", "2"], &["Rome", "Ana", "3"], &["Rome", "Ana", "2"]);
    assert_eq!((merged.conflicts, merged.base.conflicts()), (1, 1), "both changed it: a person decides");
}

#[test]
fn an_edit_of_a_field_of_the_crm_is_not_put_right_with_a_blank() {
    let merged = check(&agreed(&["", "Ana", "1"]), &["Oslo", "Ana", "1"], &["", "Ana", "1"], &["Oslo", "Ana", "1"]);
    assert!(matches!(merged.base.get(0).unwrap().state, State::Differs(_)));
}

#[test]
fn both_sides_changing_to_the_same_value_agree() {
    let merged = check(&agreed(&["Rome", "Ana", "1"]), &["Oslo", "Anna", "2"], &["Oslo", "Anna", "2"], &["Oslo", "Anna", "2"]);
    assert_eq!(merged.conflicts, 0);
    assert_eq!(merged.base, agreed(&["Oslo", "Anna", "2"]));
}

#[test]
fn a_blank_in_the_crm_is_kept_out_and_decided_only_once() {
    let merged = check(&agreed(&["Rome", "Ana", "1"]), &["Rome", "Ana", "1"], &["", "Ana", "1"], &["Rome", "Ana", "1"]);
    assert!(matches!(merged.base.get(0).unwrap().state, State::Differs(_)));
    let again =
        merge(&spec(), &merged.base, &Ghosts::default(), &some(&["Rome", "Ana", "1"]), &some(&["", "Ana", "1"]), NOW).unwrap();
    assert_eq!(again.base, merged.base);
    assert!(!again.owes_push && again.row_changes.is_empty());
}

#[test]
fn fields_that_never_met_agree_fill_blanks_or_go_to_their_owner() {
    let merged = check(&Base::unmet(&spec()), &["Rome", "Ana", ""], &["Oslo", "Anna", "1"], &["Oslo", "Ana", "1"]);
    assert!(merged.owes_push);
    let both_set = check(&Base::unmet(&spec()), &["Rome", "Ana", "1"], &["Rome", "Ana", "2"], &["Rome", "Ana", "1"]);
    assert_eq!(both_set.base.get(2).unwrap().state, State::Conflict(Box::new(Dispute { agreed: None, since: Some(NOW) })));
}

#[test]
fn a_field_altered_by_the_crm_is_neither_pushed_for_ever_nor_taken_back() {
    let mut base = agreed(&["Rome", "Ana", "1"]);
    base.fields[2] = Some(FieldBase::agreed(Some("030 1".into()), Some("0301".into())));
    let merged = check(&base, &["Rome", "Ana", "030 1"], &["Rome", "Ana", "0301"], &["Rome", "Ana", "030 1"]);
    assert!(!merged.owes_push && merged.row_changes.is_empty());
}

#[test]
fn a_stage_that_the_rows_status_already_maps_to_changes_nothing() {
    let mut spec = spec();
    spec.fields[0].transform = Transform::Map(vec![("accepted".into(), "won".into()), ("shipped".into(), "won".into())]);
    let base = Base { fields: vec![Some(FieldBase::agreed(Some("shipped".into()), Some("lost".into()))), None, None] };
    let merged = merge(&spec, &base, &Ghosts::default(), &some(&["shipped", "", ""]), &some(&["won", "", ""]), NOW).unwrap();
    assert!(merged.row_changes.is_empty(), "shipped stays shipped, it does not fall back to accepted");
}

#[test]
fn an_unknown_record_is_bound_inserted_or_parked_by_who_carries_its_keys() {
    let candidate =
        |key: &str, taken, by_external_key| Candidate { key: RowKey::new(key), taken, by_external_key, creating: false };
    assert_eq!(meet(&spec(), &[], false), Meeting::Insert);
    assert_eq!(meet(&spec(), &[candidate("1", false, false)], false), Meeting::Bind(RowKey::new("1")));
    assert_eq!(
        meet(&spec(), &[candidate("1", false, false), candidate("2", false, true)], false),
        Meeting::Bind(RowKey::new("2"))
    );
    assert!(matches!(meet(&spec(), &[candidate("1", true, false)], false), Meeting::Park(_)));
    assert!(matches!(meet(&spec(), &[candidate("1", false, false), candidate("2", false, false)], false), Meeting::Park(_)));
    assert!(matches!(meet(&spec(), &[candidate("1", true, false), candidate("2", false, false)], false), Meeting::Park(_)));
    let begun = Candidate { creating: true, ..candidate("2", false, false) };
    let made = meet(&spec(), &[candidate("1", true, false), begun.clone()], false);
    assert_eq!(made, Meeting::Bind(RowKey::new("2")), "it is what its create made");
    assert!(matches!(meet(&spec(), &[candidate("1", false, false), begun], false), Meeting::Park(_)));
    let without_key = StreamSpec { external_key: None, ..spec() };
    assert!(matches!(meet(&without_key, &[], true), Meeting::Wait(_)));
    let out = StreamSpec { direction: Direction::Out, ..spec() };
    assert!(matches!(meet(&out, &[], false), Meeting::Exclude(_)));
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![Just(None), "[ab]".prop_map(Some)]
}

fn values() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(value(), 3)
}

fn bases() -> impl Strategy<Value = Base> {
    let field = (value(), value(), any::<bool>()).prop_map(|(row, record, owed)| FieldBase {
        row,
        record,
        state: if owed { State::Owed } else { State::Agreed },
        replaced: Vec::new(),
        edit: None,
    });
    prop::collection::vec(prop::option::of(field), 3).prop_map(|fields| Base { fields })
}

proptest! {
    #[test]
    fn merging_twice_is_merging_once(base in bases(), row in values(), record in values()) {
        let once = merge(&spec(), &base, &Ghosts::default(), &row, &record, NOW).unwrap();
        let mut after = row;
        for (at, value) in &once.row_changes { after[*at] = value.clone(); }
        let twice = merge(&spec(), &once.base, &Ghosts::default(), &after, &record, NOW).unwrap();
        prop_assert!(twice.row_changes.is_empty());
        prop_assert_eq!(&twice.base, &once.base);
        prop_assert_eq!(twice.owes_push, once.owes_push);
    }

    #[test]
    fn two_equal_sides_agree_whatever_was_known(base in bases(), both in values()) {
        let merged = merge(&spec(), &base, &Ghosts::default(), &both, &both, NOW).unwrap();
        prop_assert!(merged.row_changes.is_empty() && !merged.owes_push && merged.conflicts == 0);
    }

    #[test]
    fn a_field_of_the_orders_is_never_overwritten_by_a_value(base in bases(), row in values(), record in values()) {
        prop_assume!(row[1].is_some());
        let merged = merge(&spec(), &base, &Ghosts::default(), &row, &record, NOW).unwrap();
        prop_assert!(merged.row_changes.iter().all(|(at, _)| *at != 1));
    }

    #[test]
    fn after_a_merge_every_difference_is_owed_waits_or_is_accepted(base in bases(), row in values(), record in values()) {
        let merged = merge(&spec(), &base, &Ghosts::default(), &row, &record, NOW).unwrap();
        let mut after = row;
        for (at, value) in &merged.row_changes { after[*at] = value.clone(); }
        for at in 0..3 {
            let field = merged.base.get(at).unwrap();
            let unsent = merged.owes_push && field.row != after[at];
            let known = field.row == after[at] && field.record == record[at];
            prop_assert!(after[at] == record[at] || field.state != State::Agreed || unsent || known);
        }
    }
}

/// The row sent `sent` as its phone and nobody heard the answer.
fn haunted(sent: &str) -> Ghosts {
    let phone = Sent { field: 2, row: Some(sent.to_owned()), record: Some(sent.to_owned()) };
    Ghosts::default().with(&[phone], "lost", 60_000)
}

fn merge_haunted(base: &Base, sent: &str, row: &str, record: &str) -> Merged {
    merge(&spec(), base, &haunted(sent), &some(&["Rome", "Ana", row]), &some(&["Rome", "Ana", record]), NOW).unwrap()
}

#[test]
fn h10_our_own_write_that_landed_unheard_is_no_change_over_there() {
    let merged = merge_haunted(&agreed(&["Rome", "Ana", "0"]), "1", "2", "1");
    assert_eq!((merged.conflicts, merged.row_changes.len(), merged.owes_push), (0, 0, true), "the newer row is sent");
    let merged = merge_haunted(&agreed(&["Rome", "Ana", "0"]), "1", "0", "1");
    assert_eq!((merged.row_changes.len(), merged.owes_push), (0, true), "a row that went back is sent as well");
}

#[test]
fn h10_our_own_write_that_lands_late_does_not_undo_the_newer_one() {
    let merged = merge_haunted(&agreed(&["Rome", "Ana", "2"]), "1", "2", "1");
    assert_eq!((merged.conflicts, merged.row_changes.len(), merged.owes_push), (0, 0, true));
}

#[test]
fn h10_a_create_that_went_through_unheard_meets_a_row_that_moved_on() {
    let merged = merge_haunted(&Base::unmet(&spec()), "1", "2", "1");
    assert_eq!((merged.conflicts, merged.row_changes.len(), merged.owes_push), (0, 0, true));
    assert_eq!(merged.base.conflicts(), 0);
}

#[test]
fn h10_what_the_crm_made_of_our_write_is_agreed_as_a_pair() {
    let merged = merge_haunted(&agreed(&["Rome", "Ana", "0"]), "+1 (2)", "+1 (2)", "+12");
    assert!(merged.row_changes.is_empty() && !merged.owes_push);
    assert_eq!(merged.base.get(2), Some(&FieldBase::agreed(Some("+1 (2)".into()), Some("+12".into()))));
}

#[test]
fn h10_what_somebody_else_wrote_stays_a_change() {
    let merged = merge_haunted(&agreed(&["Rome", "Ana", "0"]), "1", "2", "3");
    assert_eq!(merged.base.conflicts(), 1);
}

proptest! {
    /// The short way is the long way with nothing to begin with.
    #[test]
    fn a_record_becomes_the_row_that_merging_it_into_nothing_makes(record in prop::collection::vec(prop::option::of("[a-z]{0,3}"), 3)) {
        let (spec, nothing) = (spec(), vec![None; 3]);
        let mut merged = merge(&spec, &Base::unmet(&spec), &Ghosts::default(), &nothing, &record, 0).unwrap();
        // A row that is made has replaced nothing that a stale save could bring back.
        merged.base.fields.iter_mut().flatten().for_each(|field| field.replaced.clear());
        let row: Vec<Value> = insertion(&spec, &record).unwrap().into_iter().map(|value| value.map(Cow::into_owned)).collect();
        let mut expected = nothing;
        for (at, value) in &merged.row_changes {
            expected[*at] = value.clone();
        }
        prop_assert_eq!(&row, &expected);
        let sides = row.iter().zip(&record).map(|(row, record)| (row.as_deref(), record.as_deref()));
        prop_assert_eq!(crate::base::agreed_json(&spec, sides), merged.base.to_json(&spec));
    }

    #[test]
    fn what_is_at_rest_is_what_merging_leaves_alone(
        base in prop::collection::vec(prop::option::of("[ab]{0,1}"), 6),
        row in prop::collection::vec(prop::option::of("[ab]{0,1}"), 3),
        record in prop::collection::vec(prop::option::of("[ab]{0,1}"), 3),
        apart in any::<bool>(),
    ) {
        let spec = spec();
        let (row, record) = if apart { (row, record) } else { (base[..3].to_vec(), base[3..].to_vec()) };
        let base = Base { fields: (0..3).map(|at| Some(FieldBase::agreed(base[at].clone(), base[at + 3].clone()))).collect() };
        if is_at_rest(&base, &Row { key: RowKey::new("1"), columns: row.clone() }, &record) {
            let merged = merge(&spec, &base, &Ghosts::default(), &row, &record, 0).unwrap();
            prop_assert_eq!((merged.row_changes.is_empty(), merged.owes_push, merged.conflicts), (true, false, 0));
            prop_assert_eq!(merged.base, base);
        }
    }
}

#[test]
fn h40_a_reference_to_a_record_without_a_row_is_never_written_into_the_row() {
    let mut spec = spec();
    spec.fields[0] = FieldSpec { references: Some("companies".into()), ..field("city", Owner::Crm) };
    let at = |city: &str, name: &str| some(&[city, name, "1"]);
    let agreed = at("3", "Ana").into_iter().map(|value| Some(FieldBase::agreed(value.clone(), value)));
    let base = Base { fields: agreed.collect() };
    let unlinked = crate::record::unlinked(&crate::record::RemoteId::new("5"));
    let waiting = merge(&spec, &base, &Ghosts::default(), &at("3", "Ana"), &at(&unlinked, "Ana"), 0).unwrap();
    assert_eq!((waiting.row_changes.as_slice(), waiting.owes_push), (&[][..], false));
    assert_eq!(waiting.because.first().map(|because| because.rule), Some(Rule::Awaited));
    let arrived = merge(&spec, &waiting.base, &Ghosts::default(), &at("3", "Ana"), &at("7", "Ana"), 0).unwrap();
    assert_eq!(arrived.row_changes, [(0, Some("7".into()))]);
    let unmet = merge(&spec, &Base::unmet(&spec), &Ghosts::default(), &at("", "Ana"), &at(&unlinked, "Ana"), 0).unwrap();
    assert!(unmet.row_changes.iter().all(|(at, _)| *at != 0), "{:?}", unmet.row_changes);
}
