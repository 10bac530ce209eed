//! Sweeps, case by case and as laws.

use proptest::prelude::*;

use super::*;
use crate::base::{Base, FieldBase, State};
use crate::freshness::Heard;
use crate::ghost::Ghosts;
use crate::merge::tests::spec;
use crate::page::{Known, KnownLink, plan};
use crate::record::{RemoteId, Row, RowKey, Value};
use crate::spec::{Condition, Direction, Test};
use crate::window::Reader;

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn the_first_sweep_comes_one_interval_after_the_first_load() {
    assert!(!is_due(None, None, Some(DAY), i64::MAX), "not before the first load");
    assert!(!is_due(Some(1_000), None, Some(DAY), 86_400_999));
    assert!(is_due(Some(1_000), None, Some(DAY), 86_401_000));
    assert!(!is_due(Some(1_000), Some(86_401_000), Some(DAY), 172_800_999), "nor while the last one is young");
    assert!(!is_due(Some(1_000), None, None, i64::MAX), "nor when it is off");
}

#[test]
fn whoever_passed_a_stamp_should_have_told_of_it() {
    let cursors = Cursors { fast: Some(1_000), settled: Some(500) };
    let check = |modified, seen, expect| assert_eq!(missed(modified, seen, cursors), expect);
    check(Some(499), Some(100), Some(Missed::BySettled));
    check(Some(500), Some(100), Some(Missed::ByFast));
    check(Some(999), None, Some(Missed::ByFast));
    check(Some(1_000), Some(100), None);
    check(Some(100), Some(100), Some(Missed::ByNone));
    check(None, Some(100), Some(Missed::ByNone));
}

fn values(texts: &[&str]) -> Vec<Value> {
    texts.iter().map(|text| Some((*text).to_owned())).collect()
}

fn record(modified: Millis, texts: &[&str]) -> Record {
    Record {
        id: RemoteId::new("9"),
        modified: Some(modified),
        archived: false,
        external_key: None,
        absorbed: Vec::new(),
        version: None,
        left_out: Vec::new(),
        values: values(texts),
    }
}

fn link(seen: Millis, texts: &[&str]) -> KnownLink {
    let base = Base { fields: values(texts).into_iter().map(|value| Some(FieldBase::agreed(value.clone(), value))).collect() };
    let view = LinkView {
        state: LinkState::Linked,
        gone: None,
        base,
        seen: Some(seen),
        written_at: None,
        push_leased: false,
        ghosts: Ghosts::default(),
    };
    KnownLink {
        id: 1,
        row_key: Some(RowKey::new("7")),
        remote_id: Some(RemoteId::new("9")),
        view,
        version: 0,
        counted_in: None,
        counted_out: None,
    }
}

/// Plans the record as a page would and asks whether it is drift.
fn found(link: &KnownLink, row: &[&str], record: &Record) -> Option<Drift> {
    let row = Row { key: RowKey::new("7"), columns: values(row) };
    let known =
        Known { links: [(record.id.clone(), link.clone())].into(), rows: [(row.key.clone(), row)].into(), ..Known::default() };
    let heard = Heard::Page { asked_at: 1_000_000, commit_lag: 10, reader: Reader::Fast, orders_until: None };
    let spec = spec();
    let steps = plan(&spec, std::slice::from_ref(record), &known, heard, 1);
    drift(record, Some(&link.view), &steps[0], Cursors { fast: Some(1_000), settled: Some(500) })
}

#[test]
fn a_calculated_change_under_the_old_stamp_is_drift_that_no_reader_could_see() {
    let agreed = ["Rome", "Ana", "1"];
    let found = found(&link(100, &agreed), &agreed, &record(100, &["Oslo", "Ana", "1"])).unwrap();
    // Or an index that is behind shows what a read by id has passed: the record itself says which.
    assert_eq!(found, Drift { missed: Missed::ByNone, fields: vec![0], repair: "read owed" });
}

#[test]
fn a_local_change_is_no_drift_of_the_record() {
    let agreed = ["Rome", "Ana", "1"];
    assert_eq!(found(&link(100, &agreed), &["Rome", "Anna", "1"], &record(100, &agreed)), None);
}

#[test]
fn what_the_readers_have_yet_to_read_is_news_and_no_drift() {
    let agreed = ["Rome", "Ana", "1"];
    assert_eq!(found(&link(100, &agreed), &agreed, &record(1_000, &["Oslo", "Ana", "1"])), None);
}

#[test]
fn a_push_under_way_is_no_drift() {
    let agreed = ["Rome", "Ana", "1"];
    let mut leased = link(100, &agreed);
    leased.view.push_leased = true;
    assert_eq!(found(&leased, &agreed, &record(200, &["Oslo", "Ana", "1"])), None);
}

fn bare(columns: &[&str]) -> Row {
    Row { key: RowKey::new("7"), columns: values(columns) }
}

#[test]
fn a_row_that_nobody_told_of_owes_what_moved() {
    let agreed = ["Rome", "Ana", "1"];
    let linked = link(100, &agreed).view;
    assert_eq!(row_owes(&spec(), &bare(&agreed), Some(&linked)), None);
    assert_eq!(row_owes(&spec(), &bare(&["Rome", "Anna", "2"]), Some(&linked)), Some(vec![1, 2]));
    assert_eq!(row_owes(&spec(), &bare(&agreed), None), Some(vec![]), "a row that was never sent");
    let only_reads = StreamSpec { direction: Direction::In, ..spec() };
    assert_eq!(row_owes(&only_reads, &bare(&agreed), None), None);
    assert_eq!(row_owes(&only_reads, &bare(&["Rome", "Anna", "1"]), Some(&linked)), Some(vec![1]), "to be put back");
    let mut owed = linked.clone();
    if let Some(Some(field)) = owed.base.fields.get_mut(1) {
        field.state = State::Owed;
    }
    assert_eq!(row_owes(&spec(), &bare(&agreed), Some(&owed)), Some(vec![1]), "a push is owed whoever moved");
    assert_eq!(
        row_owes(&only_reads, &bare(&agreed), Some(&owed)),
        None,
        "owed before the mapping turned: nothing is sent any more"
    );
    let confirmed = Condition { column: "name".into(), test: Test::OneOf(vec!["Anna".into()]) };
    let kept_back = StreamSpec { send_when: vec![confirmed], ..spec() };
    assert_eq!(row_owes(&kept_back, &bare(&["Oslo", "Ana", "1"]), Some(&linked)), None, "the filter freezes it");
}

#[test]
fn a_link_without_its_row_owes_once() {
    assert!(vanished_row_owes(LinkState::Linked, None) && vanished_row_owes(LinkState::Creating, None));
    for (gone, owes) in [(None, false), (Some(Gone::Record), true), (Some(Gone::Row), false), (Some(Gone::Both), false)] {
        assert_eq!(vanished_row_owes(LinkState::Tombstone, gone), owes, "{gone:?}");
    }
}

const PERFECT: Course = Course {
    drained: true,
    order: Order::IdOnly,
    paging: Paging::Queries,
    one_query: true,
    one_lineage: true,
    links: 10,
    links_seen: 9,
};

#[test]
fn only_a_sweep_that_read_everything_is_sealed() {
    assert_eq!(seal(PERFECT), Seal::Sealed);
    assert_eq!(
        seal(Course { order: Order::TimeOnly, paging: Paging::Numbers, ..PERFECT }),
        Seal::Sealed,
        "ties are read by themselves"
    );
    assert_eq!(seal(Course { links: 0, links_seen: 0, ..PERFECT }), Seal::Sealed, "there was nothing to see");
    for flawed in [
        Course { drained: false, ..PERFECT },
        Course { one_query: false, ..PERFECT },
        Course { one_lineage: false, ..PERFECT },
        Course { order: Order::TimeOnly, ..PERFECT },
        Course { order: Order::None, paging: Paging::Tokens, ..PERFECT },
        Course { links_seen: 0, ..PERFECT },
    ] {
        assert!(matches!(seal(flawed), Seal::Void(_)), "{flawed:?}");
    }
}

fn any_course() -> impl Strategy<Value = Course> {
    let order = prop_oneof![Just(Order::TimeThenId), Just(Order::IdOnly), Just(Order::TimeOnly), Just(Order::None)];
    let paging = prop_oneof![Just(Paging::Queries), Just(Paging::Numbers), Just(Paging::Tokens)];
    (any::<bool>(), (order, paging), any::<bool>(), any::<bool>(), 0i64..100, 0i64..100).prop_map(
        |(drained, (order, paging), one_query, one_lineage, links, seen)| Course {
            drained,
            order,
            paging,
            one_query,
            one_lineage,
            links,
            links_seen: seen.min(links),
        },
    )
}

proptest! {
    #[test]
    fn a_sweep_that_ended_early_or_changed_hands_is_never_sealed(course in any_course()) {
        if seal(course) == Seal::Sealed {
            prop_assert!(course.drained && course.one_query && course.one_lineage && is_complete(course.order, course.paging));
            prop_assert!(course.links == 0 || course.links_seen > 0);
        }
    }

    #[test]
    fn the_settled_reader_is_blamed_only_for_what_it_passed(stamp in 0i64..2_000, seen in prop::option::of(0i64..2_000), settled in 0i64..1_000, ahead in 0i64..1_000) {
        let cursors = Cursors { fast: Some(settled + ahead), settled: Some(settled) };
        match missed(Some(stamp), seen, cursors) {
            Some(Missed::BySettled) => prop_assert!(stamp < settled && seen.is_none_or(|seen| stamp > seen)),
            Some(Missed::ByFast) => prop_assert!(stamp >= settled && stamp < settled + ahead),
            Some(Missed::ByNone) => prop_assert!(seen.is_some_and(|seen| stamp <= seen)),
            None => prop_assert!(stamp >= settled + ahead),
        }
    }

    #[test]
    fn a_record_that_says_what_was_agreed_is_never_drift(texts in prop::collection::vec("[a-z]{1,4}", 3), stamp in 0i64..2_000, seen in 0i64..2_000) {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        prop_assert_eq!(found(&link(seen, &texts), &texts, &record(stamp, &texts)), None);
    }

    #[test]
    fn a_row_as_it_was_agreed_owes_nothing_and_any_other_owes_exactly_what_moved(agreed in prop::collection::vec("[a-c]", 3), now in prop::collection::vec("[a-c]", 3)) {
        let (agreed, now): (Vec<&str>, Vec<&str>) = (agreed.iter().map(String::as_str).collect(), now.iter().map(String::as_str).collect());
        let moved: Vec<usize> = (0..3).filter(|at| agreed[*at] != now[*at]).collect();
        let owes = row_owes(&spec(), &bare(&now), Some(&link(100, &agreed).view));
        prop_assert_eq!(owes, (!moved.is_empty()).then_some(moved));
    }

    #[test]
    fn a_sweep_asks_for_every_stamp(stamp in 0i64..253_402_300_800_000) {
        prop_assert!(EVERY_STAMP.contains(stamp));
    }
}
