//! What a push sends, and what an attempt comes to.

use std::time::Duration;

use super::*;
use crate::base::Dispute;
use crate::ghost::Ghosts;
use crate::merge::tests::{field, spec};
use crate::record::RowKey;
use crate::spec::{Condition, Direction, Test};

fn row(values: &[&str]) -> Row {
    Row { key: RowKey::new("7"), columns: values.iter().map(|text| (!text.is_empty()).then(|| (*text).to_owned())).collect() }
}

fn link(values: &[&str]) -> LinkView {
    let fields = values.iter().map(|text| Some(FieldBase::agreed(Some((*text).to_owned()), Some((*text).to_owned()))));
    LinkView {
        state: LinkState::Linked,
        gone: None,
        base: Base { fields: fields.collect() },
        seen: None,
        written_at: None,
        push_leased: true,
        ghosts: Ghosts::default(),
    }
}

fn check(spec: &StreamSpec, row: Option<&Row>, link: Option<&LinkView>) -> Plan {
    plan(spec, &Subject { row, link, reborn: false, parents: &[None, None, None], just_read: false, heir: false, now: 0 })
}

fn sent(plan: &Plan) -> Vec<usize> {
    match plan {
        Plan::Update { fields, .. } | Plan::Create { fields, .. } => fields.iter().map(|sent| sent.field).collect(),
        other => panic!("nothing is sent by {other:?}"),
    }
}

#[test]
fn only_changed_fields_are_sent() {
    assert_eq!(sent(&check(&spec(), Some(&row(&["Rome", "Anna", "1"])), Some(&link(&["Rome", "Ana", "1"])))), [1]);
}

#[test]
fn a_stream_that_only_reads_makes_and_changes_no_record() {
    let reads = StreamSpec { direction: Direction::In, ..spec() };
    let (agreed, edited) = (row(&["Rome", "Ana", "1"]), row(&["Rome", "Anna", "1"]));
    let nothing = Plan::NotOurs { why: "the stream does not write records" };
    assert_eq!(check(&reads, Some(&agreed), None), nothing, "a new row is the shop's own business");
    assert_eq!(check(&reads, Some(&agreed), Some(&link(&["Rome", "Ana", "1"]))), nothing);
    let plan = check(&reads, Some(&edited), Some(&link(&["Rome", "Ana", "1"])));
    assert!(matches!(plan, Plan::ReadFirst(_)), "an edit of what it follows is put right by a read: {plan:?}");
}

#[test]
fn an_echo_costs_no_call() {
    let plan = check(&spec(), Some(&row(&["Rome", "Ana", "1"])), Some(&link(&["Rome", "Ana", "1"])));
    assert_eq!(plan, Plan::Nothing { base: None, why: "nothing differs" });
}

#[test]
fn an_owed_field_is_sent_although_the_row_did_not_change() {
    let mut link = link(&["Rome", "Ana", "1"]);
    link.base.fields[1] = Some(FieldBase {
        row: Some("Ana".into()),
        record: Some("Anna".into()),
        state: State::Owed,
        replaced: Vec::new(),
        edit: None,
    });
    assert_eq!(sent(&check(&spec(), Some(&row(&["Rome", "Ana", "1"])), Some(&link))), [1]);
}

#[test]
fn a_field_of_the_crm_is_never_sent_but_read() {
    let plan = check(&spec(), Some(&row(&["Oslo", "Ana", "1"])), Some(&link(&["Rome", "Ana", "1"])));
    assert!(matches!(plan, Plan::ReadFirst(_)));
}

#[test]
fn a_held_field_is_sent_only_after_a_read_in_the_same_push() {
    let (row, link) = (row(&["Rome", "Ana", "2"]), link(&["Rome", "Ana", "1"]));
    assert!(matches!(check(&spec(), Some(&row), Some(&link)), Plan::ReadFirst(_)));
    let subject = Subject {
        row: Some(&row),
        link: Some(&link),
        reborn: false,
        parents: &[None, None, None],
        just_read: true,
        heir: false,
        now: 0,
    };
    assert_eq!(sent(&plan(&spec(), &subject)), [2]);
}

#[test]
fn a_row_that_send_when_excludes_is_not_sent() {
    let mut spec = spec();
    spec.send_when = vec![Condition { column: "confirmed".into(), test: Test::Present }];
    let unconfirmed = Row { key: RowKey::new("7"), columns: vec![Some("Rome".into()), Some("Ana".into()), None, None] };
    assert!(matches!(check(&spec, Some(&unconfirmed), None), Plan::NotOurs { .. }));
}

#[test]
fn a_field_of_the_crm_is_put_right_in_a_row_that_is_not_sent_too() {
    let mut spec = spec();
    spec.send_when = vec![Condition { column: "confirmed".into(), test: Test::Present }];
    let plan = |city: &str, name: &str| {
        let columns = vec![Some(city.into()), Some(name.into()), Some("1".into()), None];
        check(&spec, Some(&Row { key: RowKey::new("7"), columns }), Some(&link(&["Rome", "Ana", "1"])))
    };
    assert!(matches!(plan("Oslo", "Ana"), Plan::ReadFirst(_)), "the CRM's word stands, whoever may hear of the row");
    assert!(matches!(plan("Rome", "Anna"), Plan::NotOurs { .. }));
}

#[test]
fn a_child_waits_for_its_parent() {
    let mut spec = spec();
    spec.fields[1] = FieldSpec { references: Some("companies".into()), ..field("name", Owner::Orders) };
    let plan = check(&spec, Some(&row(&["Rome", "12", ""])), None);
    assert_eq!(plan, Plan::WaitForParent { object: "companies".into(), row: "12".into() });
}

#[test]
fn h40_in_a_cycle_the_rest_goes_first_and_the_tie_is_owed() {
    let mut spec = spec();
    spec.fields[1] = FieldSpec { references: Some("companies".into()), in_cycle: true, ..field("name", Owner::Orders) };
    let create = check(&spec, Some(&row(&["Rome", "12", ""])), None);
    assert!(
        matches!(&create, Plan::Create { fields, references, owes_tie: true } if fields.len() == 1 && references.is_empty()),
        "{create:?}"
    );
    let moved = link(&["Rome", "11", "1"]);
    let waits = Plan::WaitForParent { object: "companies".into(), row: "12".into() };
    assert_eq!(check(&spec, Some(&row(&["Rome", "12", "1"])), Some(&moved)), waits, "nothing else is to be sent");
    spec.fields[2].owner = Owner::Orders;
    let update = check(&spec, Some(&row(&["Rome", "12", "2"])), Some(&moved));
    assert!(matches!(&update, Plan::Update { fields, owes_tie: true, .. } if fields.len() == 1), "{update:?}");
}

#[test]
fn a_reused_key_does_not_rewrite_a_person() {
    let (row, link) = (row(&["Rome", "Bob", "1"]), link(&["Rome", "Ana", "1"]));
    let mut spec = spec();
    spec.match_on = vec!["name".into()];
    let subject = Subject {
        row: Some(&row),
        link: Some(&link),
        reborn: true,
        parents: &[None, None, None],
        just_read: false,
        heir: false,
        now: 0,
    };
    assert!(matches!(plan(&spec, &subject), Plan::Park { .. }));
}

#[test]
fn a_deleted_row_leaves_its_record_alone_unless_the_mapping_says_archive() {
    assert_eq!(check(&spec(), None, Some(&link(&["Rome", "Ana", "1"]))), Plan::Bury);
    let mut spec = spec();
    spec.deletes.outbound = DeletePolicy::Archive;
    assert_eq!(check(&spec, None, Some(&link(&["Rome", "Ana", "1"]))), Plan::Archive);
}

#[test]
fn a_row_that_is_gone_before_anything_was_sent_leaves_nothing_behind() {
    let begun = LinkView { state: LinkState::Creating, ..link(&["Rome", "Ana", "1"]) };
    assert_eq!(check(&spec(), None, Some(&begun)), Plan::Forget);
    let sent = [Sent { field: 2, row: Some("1".into()), record: Some("1".into()) }];
    let unheard = LinkView { ghosts: Ghosts::default().with(&sent, "a", 90), ..begun };
    assert_eq!(check(&spec(), None, Some(&unheard)), Plan::FindLost, "its record may be there");
}

#[test]
fn settling_moves_only_the_fields_that_were_sent_to_the_pair_sent_and_answered() {
    let before = link(&["Rome", "Ana", "030 1"]).base;
    let sent = [Sent { field: 2, row: Some("030 2".into()), record: Some("030 2".into()) }];
    let base =
        settled(&spec(), &before, &sent, &[("phone".into(), Some("0302".into())), ("city".into(), Some("Oslo".into()))], false);
    assert_eq!(base.get(2), Some(&FieldBase::agreed(Some("030 2".into()), Some("0302".into()))));
    assert_eq!(base.get(0), before.get(0));
}

#[test]
fn a_value_the_crm_ignores_is_reported_and_not_sent_for_ever() {
    let before = link(&["Rome", "Ana", "1"]).base;
    let sent = [Sent { field: 1, row: Some("Anna".into()), record: Some("Anna".into()) }];
    let base = settled(&spec(), &before, &sent, &[("name".into(), Some("Ana".into()))], false);
    assert!(matches!(base.get(1).unwrap().state, State::Differs(_)));
    let again = LinkView { base, ..link(&["Rome", "Ana", "1"]) };
    assert!(matches!(check(&spec(), Some(&row(&["Rome", "Anna", "1"])), Some(&again)), Plan::Nothing { .. }));
}

#[test]
fn a_record_made_by_this_push_is_blank_where_nothing_was_sent() {
    let sent = [Sent { field: 1, row: Some("Ana".into()), record: Some("Ana".into()) }];
    let base = settled(&spec(), &Base::unmet(&spec()), &sent, &[], true);
    assert!(base.is_met());
    assert!(
        !settled(&spec(), &Base::unmet(&spec()), &sent, &[], false).is_met(),
        "a record that was there before has to be read"
    );
}

#[test]
fn every_class_of_failure_has_a_verdict_and_transient_ones_never_die() {
    let retry = RetrySpec { first: Duration::from_secs(2), cap: Duration::from_secs(900) };
    for class in Class::ALL {
        let mut failure = Failure::new(class, "x");
        failure.wait = Some(Duration::from_secs(3_600));
        match after_failure(&failure, 1_000, 0, 0.5, &retry) {
            Verdict::RetryAt { at } | Verdict::WaitForBudget { until: at } => {
                assert!(at >= 3_600_000, "{class:?} waits as asked");
            }
            Verdict::ReadFirst | Verdict::Parked { .. } | Verdict::PauseConnection => {
                assert!(!matches!(class, Class::Retry | Class::Throttled | Class::Malformed | Class::DayBudget), "{class:?}");
            }
        }
    }
}

#[test]
fn h16_a_row_that_waits_for_another_rows_record_asks_for_it_though_it_is_not_sent() {
    let mut spec = spec();
    spec.send_when = vec![Condition { column: "confirmed".into(), test: Test::Present }];
    let mut double = link(&["Rome", "Ana", "1"]);
    double.state = LinkState::Double;
    assert!(matches!(check(&spec, Some(&row(&["Rome", "Ana", "1"])), Some(&double)), Plan::ReadFirst(_)));
}

#[test]
fn h24_what_was_written_after_a_stale_save_into_a_row_that_is_not_sent_owes_no_read() {
    let mut spec = spec();
    spec.send_when = vec![Condition { column: "confirmed".into(), test: Test::Present }];
    let mut link = link(&["Rome", "Ana", "1"]);
    let before = Dispute { agreed: None, since: Some(0) };
    link.base.fields[2] =
        Some(FieldBase { state: State::Held(Box::new(before)), ..FieldBase::agreed(Some("1".into()), Some("2".into())) });
    assert!(matches!(check(&spec, Some(&row(&["Rome", "Ana", "1"])), Some(&link)), Plan::ReadFirst(_)), "it is put right");
    let since = check(&spec, Some(&row(&["Rome", "Ana", "3"])), Some(&link));
    assert_eq!(since, Plan::NotOurs { why: "send_when does not hold" });
}
