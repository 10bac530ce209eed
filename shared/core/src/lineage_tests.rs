//! Each way to decide names its rule; what is kept is read back, and a digest gives nothing away.

use proptest::prelude::*;

use super::*;
use crate::base::Replaced;
use crate::ghost::Ghosts;
use crate::merge::merge;
use crate::merge::tests::spec;
use crate::rule::Effect;
use crate::spec::{Blanks, Direction, Owner, StaleSave};

fn text(value: &str) -> Value {
    (!value.is_empty()).then(|| value.to_owned())
}

fn pair(row: &str, record: &str, state: State) -> Option<FieldBase> {
    Some(FieldBase { row: text(row), record: text(record), state, replaced: Vec::new(), edit: None })
}

fn conflict() -> State {
    State::Conflict(Box::default())
}

fn decided(side: Side) -> State {
    State::Decided(side, Box::default())
}

/// One field of `owner` is merged from `base`, and this is the rule with what stood before.
#[track_caller]
fn check(owner: Owner, base: Option<FieldBase>, row: &str, record: &str, expect: Option<(Rule, &str)>) {
    let mut spec = spec();
    spec.fields.truncate(1);
    spec.fields[0].owner = owner;
    check_with(&spec, &Ghosts::default(), base, row, record, expect);
}

#[track_caller]
fn check_with(
    spec: &StreamSpec,
    ghosts: &Ghosts,
    base: Option<FieldBase>,
    row: &str,
    record: &str,
    expect: Option<(Rule, &str)>,
) {
    let merged = merge(spec, &Base { fields: vec![base] }, ghosts, &[text(row)], &[text(record)], 5).unwrap();
    let found = merged.because.first().map(|because| (because.rule, because.was.as_deref().unwrap_or_default()));
    assert_eq!(found, expect);
}

fn agreed(both: &str) -> Option<FieldBase> {
    pair(both, both, State::Agreed)
}

#[test]
fn each_way_a_merge_ends_names_its_rule() {
    use Owner::{Crm, Hold, Orders};
    check(Crm, agreed("a"), "a", "b", Some((Rule::TakenThere, "a")));
    check(Hold, agreed("a"), "a", "b", Some((Rule::TakenThere, "a")));
    check(Crm, agreed("a"), "c", "b", Some((Rule::TakenBoth, "c")));
    check(Hold, pair("c", "b", conflict()), "c", "d", Some((Rule::TakenDecided, "c")));
    check(Crm, agreed("a"), "c", "a", Some((Rule::PutBack, "c")));
    check(Hold, None, "", "b", Some((Rule::MetBlankRow, "")));
    check(Crm, None, "c", "b", Some((Rule::MetCrm, "c")));
    check(Orders, agreed("a"), "a", "b", Some((Rule::OwedThere, "a")));
    check(Orders, agreed("a"), "c", "b", Some((Rule::OwedBoth, "a")));
    check(Orders, pair("a", "b", State::Owed), "a", "c", Some((Rule::OwedThere, "b")));
    check(Orders, pair("a", "b", State::Owed), "c", "b", Some((Rule::OwedAgain, "b")));
    check(Hold, None, "c", "", Some((Rule::MetBlankRecord, "")));
    check(Orders, None, "c", "b", Some((Rule::MetOrders, "")));
    check(Hold, agreed("a"), "c", "b", Some((Rule::ConflictBoth, "a")));
    check(Hold, pair("c", "b", conflict()), "d", "e", Some((Rule::ConflictAgain, "c")));
    check(Hold, None, "c", "b", Some((Rule::ConflictMet, "")));
    check(Hold, pair("c", "b", decided(Side::Crm)), "c", "b", Some((Rule::TakenWord, "c")));
    check(Hold, pair("c", "", decided(Side::Crm)), "c", "", Some((Rule::TakenWord, "c")));
    check(Hold, pair("c", "b", decided(Side::Crm)), "c", "d", Some((Rule::TakenWord, "c")));
    check(Hold, pair("c", "b", decided(Side::Crm)), "c", "", Some((Rule::BlankRecord, "c")));
    check(Hold, pair("c", "b", decided(Side::Orders)), "c", "d", Some((Rule::ConflictUndecided, "c")));
    check(Hold, pair("c", "b", decided(Side::Crm)), "d", "e", Some((Rule::ConflictUndecided, "c")));
    check(Hold, pair("c", "b", decided(Side::Orders)), "d", "b", Some((Rule::OwedAgain, "b")));
    check(Hold, pair("c", "b", decided(Side::Orders)), "b", "b", Some((Rule::ConflictEnded, "c")));
    check(Crm, agreed("a"), "a", "", Some((Rule::BlankRecord, "a")));
    check(Orders, pair("a", "b", State::Owed), "", "b", Some((Rule::BlankRow, "a")));
    check(Hold, agreed("a"), "b", "b", Some((Rule::SameBoth, "a")));
    check(Hold, pair("a", "b", State::Agreed), "b", "b", Some((Rule::SameForm, "a")));
    check(Hold, pair("c", "b", conflict()), "b", "b", Some((Rule::ConflictEnded, "c")));
    check(Orders, pair("a", "b", State::Owed), "a", "a", Some((Rule::OwedEnded, "a")));
    check(Hold, pair("a", "", State::Differs("x".into())), "a", "a", Some((Rule::DifferenceEnded, "a")));
}

#[test]
fn h24_a_stale_save_names_its_rule_when_it_is_held_and_when_it_is_put_right() {
    let stale = |policy, at, state: State, record: &str| {
        let mut spec = spec();
        spec.fields.truncate(1);
        spec.fields[0].owner = Owner::Hold;
        spec.stale.policy = policy;
        let replaced = vec![Replaced { value: text("a"), at: 1_000 }];
        let base = FieldBase {
            row: text(if state == State::Agreed { "b" } else { "a" }),
            record: text("b"),
            state,
            replaced,
            edit: None,
        };
        let merged =
            merge(&spec, &Base { fields: vec![Some(base)] }, &Ghosts::default(), &[text("a")], &[text(record)], at).unwrap();
        merged.because.first().map(|because| because.rule)
    };
    let held = || State::Held(Box::default());
    assert_eq!(stale(StaleSave::Ours, 2_000, State::Agreed, "b"), Some(Rule::TakenStale));
    assert_eq!(stale(StaleSave::Ours, 2_000, held(), "b"), Some(Rule::TakenStale));
    assert_eq!(stale(StaleSave::Theirs, 2_000, State::Agreed, "b"), Some(Rule::Held));
    assert_eq!(stale(StaleSave::Theirs, 2_000, held(), "b"), None);
    assert_eq!(stale(StaleSave::Theirs, 2_000, held(), "c"), Some(Rule::TakenStale));
    assert_eq!(stale(StaleSave::Theirs, 2_000_000, held(), "c"), Some(Rule::ConflictBoth));
}

#[test]
fn what_is_decided_already_is_not_noted_again() {
    check(Owner::Crm, agreed("a"), "a", "a", None);
    check(Owner::Hold, None, "a", "a", None);
    check(Owner::Orders, pair("a", "b", State::Owed), "a", "b", None);
    check(Owner::Hold, pair("c", "b", conflict()), "c", "b", None);
    check(Owner::Hold, pair("c", "b", decided(Side::Orders)), "c", "b", None);
    check(Owner::Hold, pair("", "b", decided(Side::Orders)), "", "b", None);
    check(Owner::Hold, pair("c", "b", decided(Side::Crm)), "d", "b", None);
    check(Owner::Crm, pair("a", "", State::Differs(Rule::BlankRecord.reason().into())), "a", "", None);
    check(Owner::Orders, agreed("a"), "c", "a", None);
}

#[test]
fn a_side_that_is_not_written_and_a_write_of_ours_have_rules_of_their_own() {
    let mut one_way = spec();
    one_way.fields.truncate(1);
    one_way.direction = Direction::In;
    one_way.fields[0].owner = Owner::Hold;
    check_with(&one_way, &Ghosts::default(), pair("a", "b", State::Owed), "c", "b", Some((Rule::RecordsNotWritten, "a")));
    one_way.direction = Direction::Out;
    check_with(&one_way, &Ghosts::default(), None, "", "b", Some((Rule::BlankRow, "")));
    let mut held = spec();
    held.fields.truncate(1);
    held.fields[0].owner = Owner::Hold;
    let sent = |value: &str| Sent { field: 0, row: text(value), record: text(value) };
    let ghosts = Ghosts::default().with(&[sent("b")], "lost", 60_000);
    check_with(&held, &ghosts, agreed("a"), "b", "b", Some((Rule::OurWrite, "a")));
    check_with(&held, &ghosts, agreed("a"), "c", "b", Some((Rule::OwedLate, "a")));
}

#[test]
fn each_way_a_push_ends_names_its_rule() {
    let sent = |value: &str| vec![Sent { field: 0, row: text(value), record: text(value) }];
    let check = |before: Option<FieldBase>, value: &str, after: Option<FieldBase>, created: bool, expect: Option<Rule>| {
        let found = of_push(&Base { fields: vec![before] }, &sent(value), &Base { fields: vec![after] }, created);
        assert_eq!(found.first().map(|because| because.rule), expect);
    };
    check(agreed("a"), "b", agreed("b"), false, Some(Rule::SentHere));
    check(pair("a", "x", State::Owed), "a", agreed("a"), false, Some(Rule::SentOwed));
    check(pair("a", "x", conflict()), "b", agreed("b"), false, Some(Rule::SentDecided));
    check(pair("a", "x", decided(Side::Orders)), "a", agreed("a"), false, Some(Rule::SentWord));
    check(pair("a", "x", decided(Side::Orders)), "b", agreed("b"), false, Some(Rule::SentHere));
    check(pair("a", "x", State::Held(Box::default())), "a", agreed("a"), false, Some(Rule::SentHeld));
    check(pair("a", "x", State::Held(Box::default())), "b", agreed("b"), false, Some(Rule::SentHere));
    check(None, "b", agreed("b"), false, Some(Rule::SentUnmet));
    check(agreed("a"), "b 1", pair("b 1", "b1", State::Agreed), false, Some(Rule::SentAltered));
    check(agreed("a"), "b", pair("b", "a", State::Differs(Rule::NotTaken.reason().into())), false, Some(Rule::NotTaken));
    check(None, "b", agreed("b"), true, None);
    check(None, "b 1", pair("b 1", "b1", State::Agreed), true, Some(Rule::SentAltered));
}

#[test]
fn each_way_a_push_finds_nothing_to_send_names_its_rule() {
    let check = |before: Option<FieldBase>, after: Option<FieldBase>, expect: Option<Rule>| {
        let found = of_agreement(&Base { fields: vec![before] }, &Base { fields: vec![after] });
        assert_eq!(found.first().map(|because| because.rule), expect);
    };
    check(agreed("a"), agreed("a"), None);
    check(pair("a", "b", State::Agreed), agreed("b"), Some(Rule::SameForm));
    check(pair("a", "b", conflict()), agreed("b"), Some(Rule::ConflictEnded));
    check(pair("a", "b", State::Owed), agreed("b"), Some(Rule::OwedEnded));
    check(pair("a", "b", State::Differs("x".into())), agreed("b"), Some(Rule::DifferenceEnded));
    check(agreed("a"), pair("b", "a", State::Held(Box::default())), Some(Rule::Held));
    check(pair("b", "a", State::Held(Box::default())), agreed("a"), Some(Rule::SameForm));
    check(agreed("a"), pair("", "a", State::Differs(Rule::BlankRow.reason().into())), Some(Rule::BlankRow));
}

#[test]
fn each_rule_has_a_word_of_its_own_and_is_read_back_by_it() {
    for rule in Rule::ALL {
        assert_eq!(Rule::from_word(rule.word()), Some(*rule));
        assert_eq!(
            rule.effect() == Effect::Kept,
            rule.reason() != rule.sentence(),
            "only what is left to differ has a reason: {rule:?}"
        );
    }
    assert_eq!(Rule::from_word("newest"), None);
}

#[test]
fn each_rule_tells_its_sentence() {
    let lines: Vec<String> = Rule::ALL.iter().map(|rule| format!("{:<19}  {}", rule.word(), rule.sentence())).collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    taken                taken from the CRM: it changed there and not here
    taken_both           taken from the CRM: both sides changed, the CRM owns the field
    taken_later          taken from the CRM: both sides changed, and the later one stands
    taken_untold         taken from the CRM: both sides changed, which was later cannot be told, and the CRM stands then
    taken_decided        taken from the CRM: both sides had changed, then it was edited there
    taken_word           taken from the CRM: a person decided so
    taken_stale          taken from the CRM: the row's value was one that a page had just replaced, as an application leaves that saves an old object
    put_back             put back to the CRM's value: only the row changed, the CRM owns the field
    met_taken            taken from the CRM: the row was blank when the two met
    met_crm              taken from the CRM: the two met with different values, the CRM owns the field
    owed                 the row's value stands and is owed to the CRM: it changed there, the order database owns the field
    owed_both            the row's value stands and is owed to the CRM: both sides changed, the order database owns the field
    owed_later           the row's value stands and is owed to the CRM: both sides changed, and the later one stands
    owed_untold          the row's value stands and is owed to the CRM: both sides changed, which was later cannot be told, and the order database stands then
    owed_again           the row changed while it was owed to the CRM: the newer value is owed
    owed_late            the row's value stands and is owed to the CRM: an older write of ours landed there late
    decided_orders       a person decided: the row's value stands and is owed to the CRM
    decided_crm          a person decided: the record's value stands, and the row takes it with the next read
    awaited              the row keeps its reference for now: the record it is to refer to has no row yet
    met_owed             the row's value is owed to the CRM: the record was blank when the two met
    met_orders           the row's value stands and is owed to the CRM: the two met with different values, the order database owns the field
    conflict             a conflict began: both sides changed, and a person decides
    conflict_untold      a conflict began: both sides changed, which was later cannot be told, and a person decides
    conflict_again       the conflict goes on: both sides changed again
    conflict_undecided   the conflict goes on: the CRM changed it before a person's word was carried out
    conflict_met         a conflict began: the two met with different values, and a person decides
    held                 not sent for now: the row holds again what a page had just replaced, as when an application saves an old object
    blank_record         the row keeps its value: a blank in the CRM does not overwrite
    blank_row            the record keeps its value: a blank in the row does not overwrite
    rows_not_written     the row stays as it is: the stream does not write rows
    records_not_written  the record stays as it is: the stream does not write records
    not_taken            sent to the CRM, which did not take the value
    same_met             both sides said the same when the two met
    same_both            both sides were changed to the same value
    same_form            one side was changed to what the other says already
    conflict_ended       the conflict ended: both sides say the same
    owed_ended           nothing is owed any more: the CRM holds the row's value
    difference_ended     the accepted difference ended: both sides say the same
    our_write            our own write, whose answer was lost, has landed in the CRM
    sent                 sent to the CRM: it changed in the row
    sent_owed            sent to the CRM: it was owed
    sent_decided         sent to the CRM: both sides had changed, then it was edited in the row
    sent_word            sent to the CRM: a person decided so
    sent_held            sent to the CRM: it was held as a stale save, and still stood when the guard was over
    sent_unmet           sent to the CRM: the field had not met yet
    sent_altered         sent to the CRM, which wrote it in its own form
    ");
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![Just(None), "[ab]".prop_map(Some)]
}

fn any_base() -> impl Strategy<Value = Base> {
    let state = prop_oneof![
        Just(State::Agreed),
        Just(State::Owed),
        Just(conflict()),
        Just(decided(Side::Orders)),
        Just(decided(Side::Crm)),
        Just(State::Held(Box::default())),
        Just(State::Differs(Rule::BlankRecord.reason().into()))
    ];
    let field = (any_value(), any_value(), state).prop_map(|(row, record, state)| FieldBase {
        row,
        record,
        state,
        replaced: Vec::new(),
        edit: None,
    });
    prop::collection::vec(prop::option::of(field), 3).prop_map(|fields| Base { fields })
}

proptest! {
    #[test]
    fn a_field_is_noted_exactly_when_its_row_or_its_base_moved(
        base in any_base(),
        row in prop::collection::vec(any_value(), 3),
        record in prop::collection::vec(any_value(), 3),
        direction in prop_oneof![Just(Direction::In), Just(Direction::Out), Just(Direction::Both)],
        clear in any::<bool>(),
    ) {
        let mut spec = spec();
        spec.direction = direction;
        spec.fields.iter_mut().for_each(|field| field.blanks = if clear { Blanks::Clear } else { Blanks::Keep });
        let merged = merge(&spec, &base, &Ghosts::default(), &row, &record, 5).unwrap();
        for at in 0..3 {
            let taken = merged.row_changes.iter().any(|(field, _)| *field == at);
            let met_alike = base.get(at).is_none() && merged.base.get(at).is_some_and(|field| field.state == State::Agreed) && !taken;
            let moved = taken || merged.base.get(at) != base.get(at);
            let noted: Vec<&Because> = merged.because.iter().filter(|because| because.field == at).collect();
            prop_assert_eq!(noted.len(), usize::from(moved && !met_alike));
            for because in noted {
                prop_assert_eq!(because.rule.effect() == Effect::Took, taken);
                prop_assert_eq!(because.rule.effect() == Effect::Owes, merged.base.get(at).unwrap().state.owes());
            }
        }
    }
}

fn noted(policy: Lineage, base: &FieldBase) -> Option<String> {
    let mut spec = spec();
    spec.fields.iter_mut().for_each(|field| field.lineage = policy);
    let because = Because { field: 2, rule: Rule::TakenBoth, was: text("0301 \"old\""), times: None };
    to_json(&spec, 7, &[because], &Base { fields: vec![None, None, Some(base.clone())] })
}

#[test]
fn an_entry_is_read_back_as_it_was_kept() {
    let base = FieldBase::agreed(text("030 2"), text("0302"));
    let entry = from_json(noted(Lineage::Values, &base).as_deref()).remove(0);
    assert_eq!((entry.property.as_str(), entry.word.as_str()), ("phone", "taken_both"));
    let value = |text: &str| Kept::Value(text.to_owned());
    assert_eq!((entry.was, entry.row, entry.record), (value("0301 \"old\""), value("030 2"), value("0302")));
    let same = noted(Lineage::Values, &FieldBase::agreed(text("1"), text("1"))).unwrap();
    assert_eq!(same, r#"{"phone":["taken_both","0301 \"old\"","1"]}"#, "the shorter form where both sides hold the same");
    assert_eq!(from_json(Some("no list")), []);
}

#[test]
fn a_digest_tells_values_apart_and_gives_none_away() {
    let base = FieldBase::agreed(text("030 2"), text("0302"));
    let kept = noted(Lineage::Digest, &base).unwrap();
    assert!(!kept.contains("030"), "{kept}");
    let entry = from_json(Some(&kept)).remove(0);
    assert_ne!(entry.row, entry.record);
    assert_eq!(
        Kept::of(Lineage::Digest, 7, "phone", Some("030 2")),
        Some(entry.row.clone()),
        "the same value has the same digest"
    );
    assert_ne!(Kept::of(Lineage::Digest, 8, "phone", Some("030 2")), Some(entry.row), "but not in another row");
    assert_eq!(Kept::of(Lineage::Digest, 7, "phone", Some("")), Some(Kept::Blank), "a blank is nobody's");
    assert_eq!(noted(Lineage::Off, &base), None);
}

#[test]
fn what_is_kept_of_values_is_no_part_of_the_mappings_meaning() {
    let mut other = spec();
    other.fields[0].lineage = Lineage::Digest;
    assert_eq!(other.digest(), spec().digest(), "nothing is read again for it");
}
