//! What a one-way stream owes for a row, and the keys under which it is told.

use super::*;
use crate::delete::Gone;
use crate::ghost::Ghosts;
use crate::hook::{Existing, HookSpec, Part};
use crate::merge::tests::spec as crm_spec;
use crate::spec::{Deletes, Direction, InboundDelete};

fn spec() -> StreamSpec {
    let deletes = Deletes { outbound: DeletePolicy::Tell, inbound: InboundDelete::Ignore };
    let hook = Some(HookSpec { payload: Part::whole(), existing: Existing::Taken });
    let mut spec = StreamSpec { hook, deletes, direction: Direction::Out, send_when: vec![], ..crm_spec() };
    spec.fields.iter_mut().for_each(|field| (field.references, field.check) = (None, None));
    spec
}

fn row(spec: &StreamSpec, text: &str) -> Row {
    Row { key: RowKey::new("7"), columns: spec.selected_columns().map(|_| Some(text.to_owned())).collect() }
}

fn link(spec: &StreamSpec, state: LinkState, text: &str) -> LinkView {
    let base = taken(spec, &row(spec, text)).unwrap();
    LinkView { state, gone: None, base, seen: None, written_at: None, push_leased: false, ghosts: Ghosts::default() }
}

fn planned(spec: &StreamSpec, row: Option<&Row>, link: Option<&LinkView>) -> Plan {
    let parents = vec![None; spec.fields.len()];
    crate::push::plan(spec, &Subject { row, link, reborn: false, parents: &parents, just_read: false, heir: false, now: 0 })
}

#[test]
fn a_row_is_told_whole_and_only_where_it_differs_from_what_was_told() {
    let spec = spec();
    let (same, other) = (row(&spec, "1"), row(&spec, "2"));
    let told = link(&spec, LinkState::Linked, "1");
    assert_eq!(planned(&spec, Some(&same), Some(&told)), Plan::Nothing { base: None, why: "nothing differs" });
    let Plan::Update { fields, .. } = planned(&spec, Some(&other), Some(&told)) else { panic!("an update") };
    assert_eq!(fields.len(), spec.fields.len());
    assert!(matches!(planned(&spec, Some(&same), None), Plan::Create { .. }));
}

#[test]
fn what_nobody_answered_for_is_told_again_although_the_row_is_as_it_was() {
    let spec = spec();
    let same = row(&spec, "1");
    let mut told = link(&spec, LinkState::Linked, "1");
    told.ghosts = Ghosts::default().with(&values(&spec, &row(&spec, "2")).unwrap(), "a", 10);
    assert!(matches!(planned(&spec, Some(&same), Some(&told)), Plan::Update { .. }));
}

#[test]
fn a_field_that_is_new_in_the_mapping_and_a_map_that_was_changed_are_no_news() {
    let spec = spec();
    let same = row(&spec, "1");
    let mut told = link(&spec, LinkState::Linked, "1");
    told.base.fields[0] = None;
    if let Some(Some(known)) = told.base.fields.get_mut(1) {
        known.record = Some("said otherwise".into());
    }
    assert!(matches!(planned(&spec, Some(&same), Some(&told)), Plan::Nothing { base: Some(_), .. }));
}

#[test]
fn a_row_that_is_gone_is_told_as_the_mapping_says_and_once() {
    let mut spec = spec();
    let told = link(&spec, LinkState::Linked, "1");
    assert_eq!(planned(&spec, None, Some(&told)), Plan::Archive);
    let settled = LinkView { gone: Some(Gone::Both), ..link(&spec, LinkState::Tombstone, "1") };
    assert!(matches!(planned(&spec, None, Some(&settled)), Plan::NotOurs { .. }));
    assert!(matches!(planned(&spec, Some(&row(&spec, "1")), Some(&settled)), Plan::Create { .. }), "it is back");
    let unborn = link(&spec, LinkState::Creating, "1");
    assert_eq!(planned(&spec, None, Some(&unborn)), Plan::Bury, "nothing ever left");
    spec.deletes.outbound = DeletePolicy::Ignore;
    assert_eq!(planned(&spec, None, Some(&told)), Plan::Bury);
}

#[test]
fn a_key_is_the_same_for_each_attempt_and_another_for_every_delivery() {
    let spec = spec();
    let told = |text: &str| aligned(&spec, &values(&spec, &row(&spec, text)).unwrap());
    let of = |before: Option<&str>, text: &str| {
        key(&spec, &RowKey::new("7"), before.map(RemoteId::new).as_ref(), Event::Updated, &told(text))
    };
    let first = of(Some("k0"), "2");
    assert_eq!(first, of(Some("k0"), "2"));
    assert_ne!(first, of(Some("k0"), "3"), "another content");
    let back = of(Some(&first), "1");
    assert_ne!(first, of(Some(&back), "2"), "the same content, two deliveries later");
    assert_ne!(first, key(&spec, &RowKey::new("8"), Some(&RemoteId::new("k0")), Event::Updated, &told("2")), "another row");
    assert_ne!(first, key(&spec, &RowKey::new("7"), Some(&RemoteId::new("k0")), Event::Deleted, &told("2")), "another event");
}
