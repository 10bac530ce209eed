//! Deletes, case by case and as laws.

use proptest::prelude::*;

use super::*;
use crate::base::{Base, FieldBase};
use crate::ghost::Ghosts;
use crate::merge::tests::spec;
use crate::push::Sent;
use crate::record::{RemoteId, RowKey};
use crate::spec::{Deletes, Direction, Mark};

fn link(state: LinkState, gone: Option<Gone>) -> LinkView {
    let values = ["Rome", "Ana", "1"].map(|text| Some(text.to_owned()));
    let fields = values.into_iter().map(|value| Some(FieldBase::agreed(value.clone(), value))).collect();
    let base = Base { fields };
    LinkView { state, gone, base, seen: Some(100), written_at: None, push_leased: false, ghosts: Ghosts::default() }
}

fn row(values: [&str; 3]) -> Row {
    Row { key: RowKey::new("7"), columns: values.iter().map(|text| Some((*text).to_owned())).collect() }
}

fn with(inbound: InboundDelete) -> StreamSpec {
    let spec = spec();
    StreamSpec { deletes: Deletes { inbound, ..spec.deletes.clone() }, ..spec }
}

fn policies() -> [InboundDelete; 3] {
    [InboundDelete::Ignore, InboundDelete::Set { column: "deleted_at".into(), value: Mark::Now }, InboundDelete::Delete]
}

fn absent<'a>(link: &'a LinkView, row: &'a Row) -> Case<'a> {
    Case {
        link,
        row: Some(row),
        row_locked: false,
        word: Word::Absent,
        witness: Witness::Answered,
        archive_view: false,
        asked_at: 1_000_000,
        commit_lag: 10,
        approved: false,
    }
}

#[test]
fn a_delete_reaches_the_row_as_the_mapping_says() {
    let (link, row) = (link(LinkState::Linked, None), row(["Rome", "Ana", "1"]));
    let acts = policies().map(|policy| conclude(&with(policy), &absent(&link, &row)));
    assert_eq!(acts, [RowAct::Leave, RowAct::Mark, RowAct::Delete].map(Conclusion::Gone));
    let out = StreamSpec { direction: Direction::Out, ..with(InboundDelete::Delete) };
    assert_eq!(conclude(&out, &absent(&link, &row)), Conclusion::Gone(RowAct::Leave), "it writes no rows");
}

#[test]
fn silence_is_no_delete_while_a_known_record_is_silent_too() {
    let (link, row) = (link(LinkState::Linked, None), row(["Rome", "Ana", "1"]));
    let case = Case { witness: Witness::Silent, ..absent(&link, &row) };
    assert!(matches!(conclude(&with(InboundDelete::Delete), &case), Conclusion::Wait(_)));
    let case = Case { witness: Witness::Nobody, ..absent(&link, &row) };
    let conclusion = conclude(&with(InboundDelete::Delete), &case);
    assert!(matches!(conclusion, Conclusion::Gone(RowAct::Ask(_))), "the only record there is: {conclusion:?}");
    let case = Case { approved: true, ..case };
    assert_eq!(conclude(&with(InboundDelete::Delete), &case), Conclusion::Gone(RowAct::Delete), "a person has looked");
}

#[test]
fn h16_a_record_whose_own_row_went_first_ends_the_waiting_of_others_once_it_is_believed_gone() {
    let (spec, row) = (with(InboundDelete::Delete), row(["Rome", "Ana", "1"]));
    for gone in [Gone::Row, Gone::Both] {
        let link = link(LinkState::Tombstone, Some(gone));
        let absent = || Case { row: None, ..absent(&link, &row) };
        assert_eq!(conclude(&spec, &absent()), Conclusion::Ended);
        assert_eq!(conclude(&spec, &Case { witness: Witness::Silent, ..absent() }), Conclusion::Nothing);
        assert_eq!(conclude(&spec, &Case { word: Word::Merged, ..absent() }), Conclusion::Nothing, "it leads on");
    }
}

#[test]
fn a_record_written_a_moment_ago_is_not_missed_yet() {
    let (mut link, row) = (link(LinkState::Linked, None), row(["Rome", "Ana", "1"]));
    link.written_at = Some(999_995);
    assert!(matches!(conclude(&spec(), &absent(&link, &row)), Conclusion::Wait(_)));
    let archived = Case { word: Word::Archived { modified: None }, ..absent(&link, &row) };
    assert!(matches!(conclude(&spec(), &archived), Conclusion::Gone(_)), "the CRM's own word needs no patience");
}

#[test]
fn where_the_crm_tells_what_is_archived_silence_asks_a_person() {
    let (link, row) = (link(LinkState::Linked, None), row(["Rome", "Ana", "1"]));
    let delete = with(InboundDelete::Delete);
    for word in [Word::Absent, Word::Merged] {
        let case = Case { archive_view: true, word, ..absent(&link, &row) };
        assert!(matches!(conclude(&delete, &case), Conclusion::Gone(RowAct::Ask(_))), "{word:?}");
    }
    let case = Case { archive_view: true, word: Word::Archived { modified: Some(200) }, ..absent(&link, &row) };
    assert_eq!(conclude(&delete, &case), Conclusion::Gone(RowAct::Delete));
}

#[test]
fn a_delete_against_an_unsent_edit_waits_for_a_person() {
    let (linked, row) = (link(LinkState::Linked, None), row(["Rome", "Anna", "1"]));
    let delete = with(InboundDelete::Delete);
    assert!(matches!(conclude(&delete, &absent(&linked, &row)), Conclusion::Gone(RowAct::Ask(_))));
    let tombstone = link(LinkState::Tombstone, Some(Gone::Record));
    assert_eq!(conclude(&delete, &absent(&tombstone, &row)), Conclusion::Nothing, "it was established before");
    let approved = Case { approved: true, ..absent(&tombstone, &row) };
    assert_eq!(conclude(&delete, &approved), Conclusion::Gone(RowAct::Delete));
}

fn record(modified: Millis) -> Record {
    Record {
        id: RemoteId::new("9"),
        modified: Some(modified),
        archived: false,
        external_key: None,
        absorbed: Vec::new(),
        version: None,
        left_out: Vec::new(),
        values: Vec::new(),
    }
}

#[test]
fn only_a_strictly_newer_version_lifts_a_tombstone() {
    let check = |gone, modified| lifts(&link(LinkState::Tombstone, gone), &record(modified));
    assert!(check(Some(Gone::Record), 101) && check(Some(Gone::Both), 101));
    assert!(!check(Some(Gone::Record), 100), "the version that was deleted, shown late");
    assert!(!check(Some(Gone::Row), 101), "the record was left alone: it was edited, not restored");
    assert!(!check(None, 101), "nobody knows which side went");
    assert!(!lifts(&link(LinkState::Tombstone, Some(Gone::Record)), &Record { archived: true, ..record(101) }));
}

#[test]
fn a_key_used_again_begins_a_new_link() {
    let check = |gone, reborn, same| returns(&link(LinkState::Tombstone, gone), reborn, same);
    assert_eq!(check(Some(Gone::Both), false, true), Return::BeginsAnew);
    assert_eq!(check(Some(Gone::Row), false, false), Return::BeginsAnew);
    assert_eq!(check(Some(Gone::Row), false, true), Return::Resumes, "the same thing, and its record is still there");
    assert_eq!(check(Some(Gone::Record), true, true), Return::BeginsAnew);
    assert_eq!(check(Some(Gone::Record), false, true), Return::None, "the row was there all along");
    assert_eq!(returns(&link(LinkState::Linked, None), true, false), Return::None);
}

fn any_case() -> impl Strategy<Value = (LinkView, Row, bool, Word, Witness, bool, bool)> {
    let link = (
        prop_oneof![Just(LinkState::Linked), Just(LinkState::Creating), Just(LinkState::Tombstone)],
        prop_oneof![Just(None), Just(Some(Gone::Record)), Just(Some(Gone::Row)), Just(Some(Gone::Both))],
        prop::option::of(0i64..2_000_000),
        any::<bool>(),
    );
    let link =
        link.prop_map(|(state, gone, written_at, push_leased)| LinkView { written_at, push_leased, ..link_of(state, gone) });
    let row = prop_oneof![Just(row(["Rome", "Ana", "1"])), Just(row(["Rome", "Anna", "1"]))];
    let word = prop_oneof![Just(Word::Absent), Just(Word::Merged), Just(Word::Archived { modified: Some(150) })];
    let witness = prop_oneof![Just(Witness::Answered), Just(Witness::Silent), Just(Witness::Nobody)];
    (link, row, any::<bool>(), word, witness, any::<bool>(), any::<bool>())
}

fn link_of(state: LinkState, gone: Option<Gone>) -> LinkView {
    link(state, gone)
}

proptest! {
    #[test]
    fn no_row_is_deleted_without_the_crms_word_a_witness_or_a_person((link, row, row_locked, word, witness, archive_view, approved) in any_case()) {
        for policy in policies() {
            let spec = with(policy);
            let case = Case { link: &link, row: Some(&row), row_locked, word, witness, archive_view, approved, ..absent(&link, &row) };
            let conclusion = conclude(&spec, &case);
            if let Conclusion::Gone(RowAct::Delete | RowAct::Mark) = conclusion {
                let told = matches!(word, Word::Archived { .. });
                prop_assert!(told || approved || (witness == Witness::Answered && !archive_view));
                prop_assert!(approved || !holds_unsent(&link, &row, &spec));
                prop_assert!(!row_locked && flows(&spec));
                prop_assert!(link.state != LinkState::Creating && !(link.state == LinkState::Linked && link.push_leased));
            }
            if spec.deletes.inbound == InboundDelete::Ignore {
                let touches = matches!(conclusion, Conclusion::Gone(RowAct::Delete | RowAct::Mark | RowAct::Ask(_)));
                prop_assert!(!touches);
            }
        }
    }

    #[test]
    fn what_was_linked_or_written_since_a_sweep_began_is_not_suspected(created_at in 0i64..200, written_at in prop::option::of(0i64..200), begun_at in 0i64..200) {
        let suspected = is_suspected(Unseen { state: LinkState::Linked, created_at, written_at }, begun_at);
        prop_assert_eq!(suspected, created_at < begun_at && written_at.unwrap_or(i64::MIN) < begun_at);
        for state in [LinkState::Creating, LinkState::Tombstone] {
            let suspected = is_suspected(Unseen { state, created_at, written_at }, begun_at);
            prop_assert!(!suspected);
        }
    }
}

#[test]
fn h37_the_record_of_a_deleted_row_goes_only_as_it_was_agreed() {
    let (spec, link, key) = (spec(), link(LinkState::Linked, None), RowKey::new("7"));
    let record = |values: [&str; 3]| Record {
        id: RemoteId::new("501"),
        modified: Some(200),
        archived: false,
        external_key: None,
        absorbed: Vec::new(),
        version: None,
        left_out: Vec::new(),
        values: values.iter().map(|text| Some((*text).to_owned())).collect(),
    };
    assert_eq!(archive(&spec, &key, &link, &record(["Rome", "Ana", "1"])), Plan::Archive);
    let edited = archive(&spec, &key, &link, &record(["Oslo", "Ann", "2"]));
    let Plan::Park { class: EDITED, cause, .. } = edited else { panic!("{edited:?}") };
    let theirs = spec.fields.iter().filter(|field| field.owner != Owner::Orders).map(|field| field.property.as_str());
    let theirs: Vec<&str> = theirs.collect();
    assert_eq!(cause, format!("row 7 was deleted while its record 501 was edited in the CRM: {}", theirs.join(", ")));
    let sent = Sent { field: 2, row: Some("2".into()), record: Some("2".into()) };
    let haunted = LinkView { ghosts: link.ghosts.with(&[sent], "w", 1_000), ..link };
    assert_eq!(archive(&spec, &key, &haunted, &record(["Rome", "Ana", "2"])), Plan::Archive, "our own write, unheard");
}
