//! Which version may be merged, case by case.

use super::*;
use crate::ghost::Ghosts;
use crate::link::LinkState;
use crate::merge::tests::{agreed, some};
use crate::push::Sent;
use crate::record::RemoteId;

fn link(seen: Option<Millis>, written_at: Option<Millis>) -> LinkView {
    LinkView {
        state: LinkState::Linked,
        gone: None,
        base: agreed(&["Rome", "Ana", "1"]),
        seen,
        written_at,
        push_leased: false,
        ghosts: Ghosts::default(),
    }
}

fn record(stamp: Option<Millis>, city: &str) -> Record {
    Record {
        id: RemoteId::new("7"),
        modified: stamp,
        archived: false,
        external_key: None,
        absorbed: Vec::new(),
        version: None,
        left_out: Vec::new(),
        values: some(&[city, "Ana", "1"]),
    }
}

#[test]
fn old_news_never_wins() {
    let page = Heard::Page { asked_at: 1_000, commit_lag: 500, reader: Reader::Fast, orders_until: None };
    assert_eq!(freshness(&link(Some(900), Some(950)), &record(Some(800), "Oslo"), page, 1), Freshness::Stale);
    assert_eq!(freshness(&link(Some(900), Some(950)), &record(Some(950), "Oslo"), page, 1), Freshness::New);
    assert!(matches!(freshness(&link(Some(900), Some(950)), &record(Some(900), "Oslo"), page, 1), Freshness::Doubt(_)));
    assert!(matches!(freshness(&link(Some(900), Some(950)), &record(None, "Oslo"), page, 1), Freshness::Doubt(_)));
    assert_eq!(freshness(&link(Some(900), Some(950)), &record(Some(900), "Rome"), page, 1), Freshness::New, "nothing differs");
}

#[test]
fn a_version_above_what_was_seen_may_be_older_than_a_write_whose_stamp_was_not_told() {
    let page = |asked_at| Heard::Page { asked_at, commit_lag: 500, reader: Reader::Fast, orders_until: None };
    let sent = Sent { field: 0, row: Some("Rome".into()), record: Some("Rome".into()) };
    for seen in [Some(900), None] {
        let mut link = link(seen, Some(1_000));
        link.ghosts = Ghosts::default().with(std::slice::from_ref(&sent), "a claim", 1_000);
        assert!(matches!(freshness(&link, &record(Some(950), "Oslo"), page(1_200), 1), Freshness::Doubt(_)));
        assert_eq!(freshness(&link, &record(Some(950), "Oslo"), page(1_501), 1), Freshness::New, "the index shows it by now");
        assert_eq!(freshness(&link, &record(Some(950), "Rome"), page(1_200), 1), Freshness::New, "nothing differs");
    }
}

#[test]
fn h30_a_larger_stamp_of_a_clock_that_was_set_back_is_read_by_id_rather_than_taken_for_news() {
    let page = |orders_until| Heard::Page { asked_at: 5_000, commit_lag: 500, reader: Reader::Fast, orders_until };
    let link = link(Some(900), Some(950));
    assert!(matches!(freshness(&link, &record(Some(1_900), "Oslo"), page(Some(1_500)), 1), Freshness::Doubt(_)));
    assert_eq!(freshness(&link, &record(Some(1_500), "Oslo"), page(Some(1_500)), 1), Freshness::New);
    assert_eq!(freshness(&link, &record(Some(1_900), "Rome"), page(Some(1_500)), 1), Freshness::New, "nothing differs");
    assert_eq!(freshness(&link, &record(Some(1_900), "Oslo"), page(None), 1), Freshness::New, "nobody has told the CRM's time");
}

#[test]
fn a_late_commit_below_what_was_seen_is_read_again_rather_than_dropped() {
    let page = Heard::Page { asked_at: 5_000, commit_lag: 500, reader: Reader::Fast, orders_until: None };
    assert!(matches!(freshness(&link(Some(900), Some(950)), &record(Some(800), "Oslo"), page, 1), Freshness::Doubt(_)));
}

#[test]
fn what_no_reader_comes_to_again_is_read_by_id_however_young_our_push_is() {
    let last = Heard::Page { asked_at: 1_000, commit_lag: 500, reader: Reader::Settled, orders_until: None };
    assert!(matches!(freshness(&link(Some(900), Some(950)), &record(Some(800), "Oslo"), last, 1), Freshness::Doubt(_)));
    assert_eq!(freshness(&link(Some(900), Some(950)), &record(Some(800), "Rome"), last, 1), Freshness::New, "nothing differs");
}

#[test]
fn h6_one_stamp_with_other_content_is_read_by_id() {
    let page = |commit_lag| Heard::Page { asked_at: 5_000, commit_lag, reader: Reader::Fast, orders_until: None };
    let other = record(Some(900), "Oslo");
    for (lag, why) in [(500, "it may be what was there before"), (0, "its answer may have taken its time")] {
        assert!(matches!(freshness(&link(Some(900), None), &other, page(lag), 1_000), Freshness::Doubt(_)), "{why}");
    }
    assert_eq!(freshness(&link(Some(900), None), &other, Heard::ById { asked_at: 5_000 }, 1_000), Freshness::New);
}

#[test]
fn nothing_is_merged_while_a_push_is_under_way() {
    let mut link = link(None, None);
    link.push_leased = true;
    assert!(matches!(freshness(&link, &record(Some(1), "Oslo"), Heard::ById { asked_at: 1_000 }, 1), Freshness::Doubt(_)));
}
