//! What a CRM would refuse for certain, property by property; and that nothing else is held back.

use super::*;
use crate::merge::tests::{field, spec as sample};
use crate::spec::{Direction, FieldSpec, Owner};
use crate::transform::Transform;

fn property(name: &str, kind: PropertyKind) -> Property {
    Property {
        name: name.to_owned(),
        kind,
        options: Vec::new(),
        labels: Vec::new(),
        several: false,
        unique: false,
        read_only: false,
        required: false,
        chars_max: None,
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn stage() -> Property {
    let (options, labels) = (texts(&["lead", "customer"]), texts(&["Lead", "Paying customer"]));
    Property { options, labels, ..property("stage", PropertyKind::Choice) }
}

/// One property, and columns of the same name that are sent as it is.
fn check(property: &Property, fits: &[&str], refused: &[&str]) {
    for value in fits {
        assert_eq!(property.refuses(value), None, "{value:?} in {property:?}");
    }
    for value in refused {
        assert!(property.refuses(value).is_some(), "{value:?} in {property:?}");
    }
}

#[test]
fn what_is_certainly_no_number_is_told_from_what_a_crm_may_read_as_one() {
    let numbers =
        ["1", "-1.50", "1e5", "1,234.50", "12,50", "1 000", "12 €", "$12", "0x1F", "12d", "NaN", "-Infinity", "١٢", " 7 ", ""];
    check(&property("amount", PropertyKind::Number), &numbers, &["a lot", "12 pieces", "n/a", "-", "1,2k"]);
}

#[test]
fn what_is_certainly_no_date_is_told_from_what_a_crm_may_read_as_one() {
    let dates = [
        "2026-03-01",
        "2026-03-01T10:00:00Z",
        "2026-03-01 10:00:00+00",
        "1772366400123",
        "-86400000",
        "0",
        "20260301",
        "2026/03/01",
        "",
    ];
    for kind in [PropertyKind::Date, PropertyKind::Moment] {
        check(&property("closed", kind), &dates, &["soon", "31.12.2026", "03/01/2026", "Mar 1, 2026"]);
    }
}

#[test]
fn a_bool_is_any_of_the_words_that_are_used_for_it() {
    let bool =
        Property { options: texts(&["true", "false"]), labels: texts(&["Ja", "Nein"]), ..property("vip", PropertyKind::Bool) };
    check(&bool, &["true", "FALSE", "1", "no", "ja", ""], &["perhaps", "2"]);
}

#[test]
fn a_choice_is_one_of_its_options_or_what_people_read_for_it() {
    check(&stage(), &["lead", "Lead", " customer ", "paying customer", ""], &["friend", "lead;customer"]);
    check(&Property { several: true, ..stage() }, &["lead;customer", ";lead", "lead; customer;"], &["lead;friend"]);
    check(&Property { options: Vec::new(), ..stage() }, &["friend"], &[]);
}

#[test]
fn a_text_is_too_long_only_where_a_length_is_known_and_however_it_is_counted() {
    let zip = Property { chars_max: Some(5), ..property("zip", PropertyKind::Text) };
    check(&zip, &["12345", "äöüßé", ""], &["123456"]);
    check(&property("zip", PropertyKind::Text), &[&"x".repeat(100_000)], &[]);
    assert_eq!(
        zip.refuses("123456").as_deref(),
        Some("it has 6 characters, and zip takes 5"),
        "the value itself is not said again"
    );
}

#[test]
fn what_is_not_judged_fits() {
    check(&property("place", PropertyKind::Other), &["anything"], &[]);
}

/// A stream of `stage` from the column `status`, and of `name`.
fn spec() -> StreamSpec {
    let of = |property: &str, column: &str| FieldSpec { column: column.into(), ..field(property, Owner::Orders) };
    StreamSpec {
        object: "contacts".into(),
        fields: vec![of("name", "full_name"), of("stage", "status")],
        external_key: Some("our_key".into()),
        ..sample()
    }
}

fn sent(field: usize, value: &str) -> Sent {
    let value = (!value.is_empty()).then(|| value.to_owned());
    Sent { field, row: value.clone(), record: value }
}

#[test]
fn a_push_says_which_field_why_and_what_to_do() {
    let found = unfit(&spec(), &[stage()], "7", &[sent(0, "Ana"), sent(1, "friend")], false).unwrap();
    assert_eq!(found.cause, "status: \"friend\" is none of the 2 options of stage");
    let next = "correct status of row 7, map its value to an option, or add the option in the CRM; it is sent by itself then";
    assert_eq!(found.next_step, next);
    assert!(found.code.starts_with("stage:") && found.code.len() == "stage:".len() + 8, "{}", found.code);
    assert_eq!(unfit(&spec(), &[], "7", &[sent(1, "friend")], false), None, "where nothing is known the CRM judges");
    let long = unfit(&spec(), &[stage()], "7", &[sent(1, &"x".repeat(500))], false).unwrap();
    assert!(long.cause.len() < 120, "{}", long.cause);
}

#[test]
fn a_property_that_is_read_only_takes_nothing_and_no_blank() {
    let read_only = Property { read_only: true, ..property("name", PropertyKind::Text) };
    for value in ["Ana", ""] {
        let found = unfit(&spec(), std::slice::from_ref(&read_only), "7", &[sent(0, value)], false).unwrap();
        assert_eq!(found.cause, "name is read-only in the CRM");
    }
    assert_eq!(unfit(&spec(), &[read_only], "7", &[sent(1, "lead")], true), None, "it is not sent");
}

#[test]
fn what_is_required_is_required_of_new_records_alone() {
    let required = |name: &str| [Property { required: true, ..property(name, PropertyKind::Text) }];
    let said = |name: &str, sent: &[Sent], creates| unfit(&spec(), &required(name), "7", sent, creates).map(|found| found.cause);
    assert_eq!(said("stage", &[sent(0, "Ana")], false), None);
    assert_eq!(said("stage", &[sent(1, "lead")], true), None);
    let blank = "the CRM makes none of the contacts without stage, and status is blank";
    assert_eq!(said("stage", &[sent(0, "Ana")], true).as_deref(), Some(blank));
    let unmapped = "the CRM makes none of the contacts without owner, and nothing is mapped to it";
    assert_eq!(said("owner", &[sent(0, "Ana")], true).as_deref(), Some(unmapped));
    assert_eq!(said("our_key", &[sent(0, "Ana")], true), None, "the key is sent beside the fields");
}

#[test]
fn a_code_changes_with_all_that_was_judged_by_and_with_nothing_else() {
    let of = |property: &Property| codes(&spec(), std::slice::from_ref(property)).remove(0);
    let known = of(&stage());
    let turned = Property { options: texts(&["customer", "lead"]), unique: true, ..stage() };
    assert_eq!(of(&turned), known, "neither the order of options nor what is beside the point");
    for other in [
        Property { options: texts(&["lead", "customer", "friend"]), ..stage() },
        Property { labels: Vec::new(), ..stage() },
        Property { kind: PropertyKind::Text, ..stage() },
        Property { several: true, ..stage() },
        Property { read_only: true, ..stage() },
        Property { required: true, ..stage() },
        Property { chars_max: Some(9), ..stage() },
    ] {
        assert_ne!(of(&other), known, "{other:?}");
    }
    let mut mapped = spec();
    mapped.fields[1].transform = Transform::Map(vec![("friend".into(), "lead".into())]);
    assert_ne!(codes(&mapped, &[stage()]), [known], "another map may say it otherwise");
}

#[test]
fn what_is_neither_sent_nor_required_is_not_kept() {
    let required = Property { required: true, ..property("owner", PropertyKind::Text) };
    let kept = relevant(&spec(), vec![stage(), property("shoe_size", PropertyKind::Number), required.clone()]);
    assert_eq!(kept, [stage(), required]);
}

#[test]
fn what_every_new_record_would_lack_is_known_beforehand() {
    let required = ["name", "owner", "our_key"].map(|name| Property { required: true, ..property(name, PropertyKind::Text) });
    let never = |spec: &StreamSpec| never_given(spec, &required).map(|property| property.name.clone()).collect::<Vec<_>>();
    assert_eq!(never(&spec()), ["owner"]);
    assert_eq!(never(&StreamSpec { external_key: None, ..spec() }), ["owner", "our_key"]);
    assert!(never(&StreamSpec { direction: Direction::In, ..spec() }).is_empty(), "it makes none");
}
