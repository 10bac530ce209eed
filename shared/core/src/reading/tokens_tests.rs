//! A source's own tokens: followed, worn out, refused and in circles.

use std::time::Duration;

use proptest::prelude::*;

use super::super::tests::{WINDOW, place, traits};
use super::super::{AGAIN_MAX, ask, conclude};
use super::*;
use crate::source::{Paging, Position};

proptest! {
    #[test]
    fn tokens_that_go_in_circles_end_the_window_wherever_the_circle_begins(before in 0u32..70, around in 1u32..70) {
        let tokens = traits(Order::None, Paging::Tokens);
        let mut place = place(At::Start);
        let mut next = 0;
        let ended = (0u32..).find_map(|asked| {
            let text = next.to_string();
            next = if next + 1 == before + around { before } else { next + 1 };
            let answered = Answered { records: &[], total: None, more: true, token: Some(Token { text: &text, given_at: 0 }) };
            match conclude(&tokens, WINDOW, &place, ask(&tokens, &place, 2), answered) {
                Ok(Course::More(more)) => place = Place::of(WINDOW, Some(&more.position())),
                Ok(Course::Drained) => return Some((asked, None)),
                Err(fault) => return Some((asked, Some(fault))),
            }
            (asked > 1_000).then_some((asked, None))
        });
        let (asked, fault) = ended.unwrap();
        prop_assert!(matches!(fault, Some(Fault::Circle(_) | Fault::Repeated(_))), "{fault:?} after {asked}");
        prop_assert!(asked <= 3 * (before + around) + 2, "told after {asked} pages");
    }
}

#[test]
fn a_position_that_knows_of_no_circles_is_gone_on_from() {
    let old = r#"{"from":1000,"until":9000,"at":{"token":{"token":"x","since":5}},"again":2}"#;
    let read = Place::of(WINDOW, Some(&Position(old.into())));
    assert_eq!(read, Place { again: 2, ..place(At::Token { token: "x".into(), since: 5, trail: None }) });
    assert_eq!(read.position().0, old, "and is written as it was, for a version that knows of none");
}

#[test]
fn a_token_that_outlived_its_life_is_not_asked_for() {
    let tokens = SourceTraits { token_life: Some(Duration::from_secs(60)), ..traits(Order::None, Paging::Tokens) };
    let old = place(At::Token { token: "x".into(), since: 1_000, trail: None });
    assert_eq!(fresh(&tokens, old.clone(), 60_999).unwrap(), old);
    assert_eq!(fresh(&tokens, old, 61_000).unwrap().at, At::Start);
}

#[test]
fn a_token_that_is_refused_begins_its_part_again_but_not_for_ever() {
    let part = Place { from: 2_000, until: 3_000, ..place(At::Start) };
    assert_eq!(worn(&part), Ok(None), "the question itself is refused");
    assert_eq!(worn(&part.at(At::Id("4".into()))), Ok(None));
    let mut place = part.clone();
    for again in 1..=AGAIN_MAX {
        let old = place.at(At::Token { token: "x".into(), since: 0, trail: None });
        place = worn(&old).unwrap().unwrap();
        assert_eq!(place, Place { again, ..part.clone() });
    }
    let fault = worn(&place.at(At::Token { token: "x".into(), since: 0, trail: None })).unwrap_err();
    assert!(fault.is_of_place(), "whoever tries later begins without it");
}
