//! What a page does with a record of which it shows a part: the list leaves out the phone number, or who the record is.

use super::*;
use crate::link::LinkState;
use crate::merge::tests::{agreed, some, spec};
use crate::spec::{Direction, Inbound};

const SEEN: Millis = 5_000;
const AGREED: [&str; 3] = ["Rome", "Ana", "1"];

fn record(modified: Option<Millis>, city: &str, left_out: &[usize]) -> Record {
    let mut values = some(&[city, "Ana", "1"]);
    left_out.iter().for_each(|at| values[*at] = None);
    Record {
        id: RemoteId::new("9"),
        modified,
        archived: false,
        external_key: None,
        absorbed: Vec::new(),
        version: None,
        values,
        left_out: left_out.to_vec(),
    }
}

fn linked() -> Known {
    let view = LinkView {
        state: LinkState::Linked,
        gone: None,
        base: agreed(&AGREED),
        seen: Some(SEEN),
        written_at: None,
        push_leased: false,
        ghosts: Ghosts::default(),
    };
    let (key, id) = (RowKey::new("7"), RemoteId::new("9"));
    let row = Row { key: key.clone(), columns: some(&AGREED) };
    let link = KnownLink {
        id: 1,
        row_key: Some(key.clone()),
        remote_id: Some(id.clone()),
        view,
        version: 0,
        counted_in: None,
        counted_out: None,
    };
    Known { links: [(id, link)].into(), rows: [(key, row)].into(), ..Known::default() }
}

fn met(key: &str, taken: bool) -> Known {
    let candidate = Candidate { key: RowKey::new(key), taken, by_external_key: false, creating: false };
    let row = Row { key: RowKey::new(key), columns: some(&AGREED) };
    Known {
        candidates: [(RemoteId::new("9"), vec![candidate])].into(),
        rows: [(row.key.clone(), row)].into(),
        ..Known::default()
    }
}

fn heard(reader: Reader) -> Heard {
    Heard::Page { asked_at: 1_000_000, commit_lag: 10, reader, orders_until: None }
}

fn step(spec: &StreamSpec, known: &Known, record: Record, reader: Reader) -> String {
    let records = [record];
    format!("{:?}", plan(spec, &records, known, heard(reader), 1)[0])
}

fn is_owed(step: &str) -> bool {
    step == "ReadWhole" || step.starts_with("OweRead")
}

#[test]
fn what_is_shown_and_known_under_the_seen_stamp_is_no_news_but_for_the_settled_reader() {
    let known = linked();
    for reader in [Reader::Fast, Reader::Sweep] {
        assert_eq!(step(&spec(), &known, record(Some(SEEN), "Rome", &[2]), reader), "Pass");
    }
    // Two edits under one stamp: the list may show nothing of the second.
    assert!(is_owed(&step(&spec(), &known, record(Some(SEEN), "Rome", &[2]), Reader::Settled)));
}

#[test]
fn whatever_may_be_news_is_read_by_id() {
    let known = linked();
    for reader in [Reader::Fast, Reader::Settled, Reader::Sweep] {
        // An older stamp may be an index that is behind, or a clock that was set back.
        for (modified, city) in
            [(Some(SEEN - 1), "Rome"), (Some(SEEN + 1), "Rome"), (Some(SEEN + 1), "Oslo"), (Some(SEEN), "Oslo"), (None, "Rome")]
        {
            let step = step(&spec(), &known, record(modified, city, &[2]), reader);
            assert!(is_owed(&step), "{modified:?} {city} by {reader:?}: {step}");
        }
    }
}

#[test]
fn a_field_that_never_met_is_read_by_id_whatever_the_list_shows() {
    let mut known = linked();
    known.links.get_mut(&RemoteId::new("9")).unwrap().view.base.fields[2] = None;
    for reader in [Reader::Fast, Reader::Sweep] {
        assert!(is_owed(&step(&spec(), &known, record(Some(SEEN), "Rome", &[2]), reader)));
    }
}

#[test]
fn a_record_nobody_knows_becomes_no_row_by_a_part_of_it() {
    for known in [Known::default(), met("7", false)] {
        let step = step(&spec(), &known, record(Some(SEEN), "Rome", &[2]), Reader::Fast);
        assert!(is_owed(&step), "{step}");
    }
}

#[test]
fn a_record_that_the_mapping_leaves_alone_is_not_read_for_it() {
    let updates = StreamSpec { inbound: Inbound::UpdateOnly, match_on: vec!["name".into()], ..spec() };
    let sends = StreamSpec { direction: Direction::Out, match_on: vec!["name".into()], ..spec() };
    for spec in [updates, sends] {
        let excluded = step(&spec, &Known::default(), record(Some(SEEN), "Rome", &[2]), Reader::Sweep);
        assert!(excluded.starts_with("Exclude"), "{excluded}");
        // Nor is anything said of whom the list does not name.
        for left_out in [vec![1], vec![0, 1, 2]] {
            let step = step(&spec, &Known::default(), record(Some(SEEN), "Rome", &left_out), Reader::Sweep);
            assert!(is_owed(&step), "{left_out:?}: {step}");
        }
    }
    let parked = step(&spec(), &met("7", true), record(Some(SEEN), "Rome", &[2]), Reader::Fast);
    assert!(parked.starts_with("Park"), "two records of one row are told apart by a part of them: {parked}");
}

#[test]
fn what_was_merged_into_it_waits_until_all_of_it_is_read() {
    let mut known = linked();
    let link = known.links.remove(&RemoteId::new("9")).unwrap();
    known.absorbed.rebound.insert(RemoteId::new("9"), link);
    assert!(is_owed(&step(&spec(), &known, record(Some(SEEN), "Rome", &[2]), Reader::Fast)));
    assert!(step(&spec(), &known, record(Some(SEEN), "Rome", &[]), Reader::Fast).starts_with("Rebind"));
}
