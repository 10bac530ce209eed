//! What a brake counts, where it stops, and what an answer lets through.

use proptest::prelude::*;

use super::*;
use crate::base::FieldBase;
use crate::ghost::Ghosts;
use crate::merge::Merged;
use crate::push::{Reference, Sent};
use crate::record::{RemoteId, RowKey};

const NOW: Millis = 1_800_000_000_000;

fn brakes(limit: i64) -> BTreeMap<Act, Brake> {
    Act::ALL.into_iter().map(|act| (act, Brake { limit, ..Brake::default() })).collect()
}

fn item(act: Act) -> Item {
    Item { act, passed: false, counted_at: None, owed_at: None }
}

fn held(rulings: &[Ruling]) -> usize {
    rulings.iter().filter(|ruling| **ruling == Ruling::Held).count()
}

#[test]
fn the_first_too_many_trips_the_brake_and_only_its_own() {
    let mut brakes = brakes(3);
    let batch: Vec<Item> = [vec![item(Act::Delete); 5], vec![item(Act::Create); 2]].concat();
    let rulings = rule(&mut brakes, &batch, NOW);
    assert_eq!(held(&rulings[..5]), 2);
    assert_eq!(held(&rulings[5..]), 0);
    assert_eq!(brakes[&Act::Delete].tripped_at, Some(NOW));
    assert_eq!(brakes[&Act::Create].tripped_at, None);
}

#[test]
fn many_small_pages_are_one_large_one() {
    let mut brakes = brakes(10);
    let held: usize = (0..40).map(|page| held(&rule(&mut brakes, &[item(Act::Blank)], NOW + page * HOUR / 4))).sum();
    assert_eq!(held, 30);
}

#[test]
fn what_a_day_ago_was_counted_makes_room_and_a_tripped_brake_waits_for_an_answer_all_the_same() {
    let mut brakes = brakes(2);
    assert_eq!(held(&rule(&mut brakes, &[item(Act::Delete); 2], NOW)), 0);
    assert_eq!(held(&rule(&mut brakes, &[item(Act::Delete); 2], NOW + DAY_MS + 2 * HOUR)), 0, "a day later there is room again");
    assert_eq!(held(&rule(&mut brakes, &[item(Act::Delete)], NOW + DAY_MS + 2 * HOUR)), 1);
    assert_eq!(held(&rule(&mut brakes, &[item(Act::Delete)], NOW + 3 * DAY_MS)), 1, "it is on until somebody answers");
}

#[test]
fn an_answer_lets_through_what_was_owed_by_then_and_begins_a_new_day() {
    let mut brakes = brakes(2);
    rule(&mut brakes, &[item(Act::Update); 5], NOW);
    let brake = Brake { limit: 2, answered_at: Some(NOW + 10), ..Brake::default() };
    brakes.insert(Act::Update, brake);
    let owed = |at| Item { owed_at: Some(at), ..item(Act::Update) };
    assert_eq!(held(&rule(&mut brakes, &[owed(NOW + 5); 50], NOW + 20)), 0, "in the eyes of whoever answered");
    assert_eq!(held(&rule(&mut brakes, &[owed(NOW + 15); 5], NOW + 20)), 3, "what came after is counted anew");
}

#[test]
fn what_is_tried_again_or_updated_again_is_counted_once() {
    let mut brakes = brakes(1);
    let again = Item { passed: true, ..item(Act::Delete) };
    assert_eq!(rule(&mut brakes, &[again; 9], NOW), [Ruling::Passes; 9]);
    let hot = Item { counted_at: Some(NOW - HOUR), ..item(Act::Update) };
    assert_eq!(rule(&mut brakes, &[hot; 9], NOW), [Ruling::Passes; 9]);
    let cold = Item { counted_at: Some(NOW - DAY_MS - 1), ..item(Act::Update) };
    assert_eq!(rule(&mut brakes, &[cold, cold], NOW), [Ruling::Counted, Ruling::Held]);
    let before = Brake { limit: 0, answered_at: Some(NOW - 5), ..Brake::default() };
    brakes.insert(Act::Update, before);
    assert_eq!(rule(&mut brakes, &[hot], NOW), [Ruling::Held], "what was counted before an answer is counted again after it");
}

#[test]
fn a_debt_is_let_through_for_its_own_act() {
    assert!(
        passes(Some("brake_delete"), Act::Delete)
            && passes(Some(GO), Act::Create)
            && passes(Some("brake_update brake_delete"), Act::Delete)
    );
    for passed in [None, Some("gone"), Some("brake_update"), Some(GO)] {
        assert!(!passes(passed, Act::Delete), "{passed:?}");
    }
}

#[test]
fn a_limit_is_a_count_or_a_share_whichever_is_more() {
    let limit = Limit { count: 50, share_permille: 10 };
    for (links, most) in [(0, 50), (4_999, 50), (5_100, 51), (1_000_000, 10_000), (-1, 50)] {
        assert_eq!(limit.of(links), most);
    }
    assert!(!limit.is_open() && BrakesSpec::NONE.limit(Act::Create).is_open());
}

#[test]
fn a_record_is_emptied_when_a_value_or_a_reference_goes() {
    let base =
        Base { fields: vec![Some(FieldBase::agreed(Some("a".into()), Some("a".into()))), Some(FieldBase::agreed(None, None))] };
    let sent = |field, record: Option<&str>| Sent { field, row: record.map(str::to_owned), record: record.map(str::to_owned) };
    let act = |fields, references| act_on_record(&Plan::Update { fields, references, owes_tie: false }, Some(&base));
    assert_eq!(act(vec![sent(0, Some("b"))], vec![]), Some(Act::Update));
    assert_eq!(act(vec![sent(0, None)], vec![]), Some(Act::Blank));
    assert_eq!(act(vec![sent(1, None)], vec![]), Some(Act::Update), "it was blank before");
    let reference =
        |to: Option<&str>| Reference { field: 1, row: None, to: to.map(RemoteId::new), from: Some(RemoteId::new("1")) };
    assert_eq!(act(vec![], vec![reference(Some("2"))]), Some(Act::Update));
    assert_eq!(act(vec![], vec![reference(None)]), Some(Act::Blank));
    assert_eq!(act_on_record(&Plan::Bury, Some(&base)), None, "the record is left alone");
    assert_eq!(act_on_record(&Plan::Archive, Some(&base)), Some(Act::Delete));
}

#[test]
fn a_row_is_emptied_when_a_value_goes_and_left_alone_when_only_the_base_moves() {
    let row = Row { key: RowKey::new("7"), columns: vec![Some("a".into()), None] };
    let step = |changes: &[(usize, Option<&str>)]| {
        let row_changes = changes.iter().map(|(at, value)| (*at, value.map(str::to_owned))).collect();
        let merged = Merged { row_changes, base: Base::default(), owes_push: false, conflicts: 0, because: Vec::new() };
        Step::Merge { link: 1, key: RowKey::new("7"), merged, ghosts: Ghosts::default() }
    };
    assert_eq!(act_on_row(&step(&[]), Some(&row)), None);
    assert_eq!(act_on_row(&step(&[(0, Some("b")), (1, None)]), Some(&row)), Some(Act::Update));
    assert_eq!(act_on_row(&step(&[(0, Some("")), (1, Some("x"))]), Some(&row)), Some(Act::Blank));
    assert_eq!(act_on_row(&Step::Pass, Some(&row)), None);
}

proptest! {
    #[test]
    fn never_more_than_the_limit_is_counted_within_any_day(batches in prop::collection::vec((0i64..DAY_MS / 4, 0usize..9), 1..60), limit in 0i64..12) {
        let (mut brakes, mut now, mut counted) = (brakes(limit), NOW, Vec::new());
        for (later, many) in batches {
            now += later;
            let rulings = rule(&mut brakes, &vec![item(Act::Create); many], now);
            counted.extend(rulings.iter().filter(|ruling| **ruling == Ruling::Counted).map(|_| now));
        }
        for first in &counted {
            let within = counted.iter().filter(|at| (*first..first + DAY_MS).contains(*at)).count();
            prop_assert!(i64::try_from(within).unwrap_or(0) <= limit);
        }
    }

    #[test]
    fn a_tally_is_read_as_it_was_written(counts in prop::collection::btree_map(0i64..1_000_000, 1i64..1_000_000, 0..30)) {
        let tally = Tally { hours: counts };
        prop_assert_eq!(Tally::parse(&tally.to_text()), tally);
    }
}
