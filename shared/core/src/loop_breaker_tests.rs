//! One turn too many is found, and nothing else is.

use super::*;
use crate::base::{Base, FieldBase};
use crate::ghost::Ghosts;
use crate::lineage::{FieldEntry, What};
use crate::link::{LinkState, LinkView};
use crate::merge::tests::spec;
use crate::spec::Lineage;

const NAME: usize = 1;
const MINUTE: Millis = 60_000;
const NOW: Millis = 100 * MINUTE;

fn three_an_hour() -> StreamSpec {
    StreamSpec { loop_breaker: LoopBreaker { times: 3, within: Duration::from_secs(3_600) }, ..spec() }
}

/// The record says this name, and so did the row when they last met.
fn link(name: &str) -> KnownLink {
    let agreed = |value: &str| Some(FieldBase::agreed(Some(value.into()), Some(value.into())));
    KnownLink {
        id: 1,
        row_key: None,
        remote_id: None,
        view: LinkView {
            state: LinkState::Linked,
            gone: None,
            base: Base { fields: vec![agreed("Rome"), agreed(name), agreed("1")] },
            seen: None,
            written_at: None,
            push_leased: true,
            ghosts: Ghosts::default(),
        },
        version: 1,
        counted_in: None,
        counted_out: None,
    }
}

fn pushed(spec: &StreamSpec, at: Millis, source: &str, was: &str, row: &str) -> Entry {
    let kept = |value: &str| Kept::of(spec.fields[NAME].lineage, 1, "name", Some(value)).unwrap_or(Kept::Blank);
    let field = FieldEntry {
        property: "name".into(),
        word: "sent_owed".into(),
        was: kept(was),
        row: kept(row),
        record: kept(row),
        times: None,
    };
    Entry { at, what: Some(What::Changed), source: source.into(), number: Some(1), fields: vec![field] }
}

fn ana() -> [Sent; 1] {
    [Sent { field: NAME, row: Some("Ana".into()), record: Some("Ana".into()) }]
}

#[test]
fn the_turn_after_the_last_that_passes_is_found_with_its_field_and_times() {
    let spec = three_an_hour();
    let turns: Vec<Entry> = (1..=3).map(|n| pushed(&spec, NOW - n * 10 * MINUTE, "push", "Anne", "Ana")).collect();
    assert_eq!(find(&spec, &link("Anne"), &ana(), &turns[1..], NOW), None, "two turns pass");
    let found = find(&spec, &link("Anne"), &ana(), &turns, NOW).expect("the third was the last");
    assert_eq!(found, Loop { property: "name".into(), times: 3, since: NOW - 30 * MINUTE });
    let (cause, next_step) = found.words(NOW);
    assert!(cause.contains("name was sent 3 times within 30 min") && next_step.contains("retry"), "{cause}; {next_step}");
}

#[test]
fn a_change_between_other_values_is_no_turn() {
    let spec = three_an_hour();
    let turns = |was: &str, row: &str| (1..=3).map(|n| pushed(&spec, NOW - n * MINUTE, "push", was, row)).collect::<Vec<_>>();
    assert_eq!(find(&spec, &link("Anne"), &ana(), &turns("Anne", "Anna"), NOW), None, "another value was sent");
    assert_eq!(find(&spec, &link("Anne"), &ana(), &turns("Hanna", "Ana"), NOW), None, "over another value");
}

#[test]
fn what_is_long_ago_and_what_pages_wrote_is_no_turn() {
    let spec = three_an_hour();
    let old: Vec<Entry> = (1..=3).map(|n| pushed(&spec, NOW - 60 * MINUTE - n, "push", "Anne", "Ana")).collect();
    let read: Vec<Entry> = (1..=3).map(|n| pushed(&spec, NOW - n, "fast", "Anne", "Ana")).collect();
    assert_eq!(find(&spec, &link("Anne"), &ana(), &old, NOW), None);
    assert_eq!(find(&spec, &link("Anne"), &ana(), &read, NOW), None);
}

#[test]
fn a_digest_is_enough_and_nothing_kept_is_not() {
    let mut spec = three_an_hour();
    for (lineage, is_found) in [(Lineage::Digest, true), (Lineage::Off, false)] {
        spec.fields[NAME].lineage = lineage;
        let turns: Vec<Entry> = (1..=3).map(|n| pushed(&spec, NOW - n, "push", "Anne", "Ana")).collect();
        assert_eq!(find(&spec, &link("Anne"), &ana(), &turns, NOW).is_some(), is_found);
    }
}
