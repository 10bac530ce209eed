//! What a first meeting comes to, thing by thing.

use proptest::prelude::*;

use super::*;
use crate::freshness::Heard;
use crate::meeting::Candidate;
use crate::merge::tests::spec as plain;
use crate::page::plan as plan_page;
use crate::spec::{Check, Condition, Direction, Test};
use crate::window::Reader;

const HEARD: Heard = Heard::Page { asked_at: 1_000, commit_lag: 0, reader: Reader::Fast, orders_until: None };

/// Matched by name, which is owned by the orders; city by the CRM, phone by nobody.
fn spec() -> StreamSpec {
    StreamSpec { match_on: vec!["name".into()], ..plain() }
}

fn record(id: &str, values: &[&str]) -> Record {
    let values = values.iter().map(|text| (!text.is_empty()).then(|| (*text).to_owned())).collect();
    Record {
        id: RemoteId::new(id),
        modified: Some(1),
        archived: false,
        external_key: None,
        absorbed: Vec::new(),
        version: None,
        left_out: Vec::new(),
        values,
    }
}

fn row(key: &str, values: &[&str]) -> Row {
    Row { key: RowKey::new(key), columns: values.iter().map(|text| (!text.is_empty()).then(|| (*text).to_owned())).collect() }
}

/// What the database would say: rows of the same name, or of the key that the record carries.
fn known(records: &[Record], rows: &[Row]) -> Known {
    let mut known = Known::default();
    for record in records {
        let by_key = rows.iter().filter(|row| record.external_key.as_deref() == Some(row.key.as_str()));
        let by_name = rows.iter().filter(|row| row.field(1).is_some() && row.field(1) == record.values[1].as_deref());
        let candidate =
            |row: &Row, by_external_key| Candidate { key: row.key.clone(), taken: false, by_external_key, creating: false };
        let mut found: Vec<Candidate> = by_key.map(|row| candidate(row, true)).collect();
        if found.is_empty() {
            found = by_name.map(|row| candidate(row, false)).collect();
        }
        known.candidates.insert(record.id.clone(), found);
    }
    known.rows = rows.iter().map(|row| (row.key.clone(), row.clone())).collect();
    known
}

/// Every record in one page, then every row.
fn met(spec: &StreamSpec, records: &[Record], rows: &[Row]) -> FirstMeeting {
    let mut meeting = FirstMeeting::new(100, 10);
    let known = known(records, rows);
    let steps = plan_page(spec, records, &known, HEARD, 0);
    meeting.records(spec, records, &known, &steps);
    rows.iter().for_each(|row| meeting.row(spec, row, false, false));
    meeting
}

#[test]
fn pairs_and_lone_things_are_told_apart() {
    let own = Record { external_key: Some("2".into()), ..record("b", &["Oslo", "Bea", ""]) };
    let records = [record("a", &["Oslo", "Ana", "2"]), own, record("c", &["Kyiv", "Cem", ""])];
    let rows = [row("1", &["Rome", "Ana", "1"]), row("2", &["Oslo", "Bea", ""]), row("3", &["Bonn", "Dan", ""])];
    let tally = met(&spec(), &records, &rows).tally;
    assert_eq!((tally.matched, tally.matched_by_key, tally.new_rows, tally.new_records), (1, 1, 1, 1));
    assert_eq!((tally.rows_changed, tally.records_changed, tally.conflicts), (1, 0, 1), "the city is taken, the phone is held");
    assert_eq!((tally.records, tally.rows, tally.is_clear()), (3, 3, true));
    assert_eq!(tally.calls_at_least(1, 100), 1 + 2);
}

#[test]
fn what_cannot_be_told_waits_for_a_person() {
    let records = [record("a", &["", "Ana", ""]), record("b", &["", "Ana", ""]), record("c", &["", "Bea", ""])];
    let rows = [row("1", &["", "Ana", ""]), row("2", &["", "Bea", ""]), row("3", &["", "Bea", ""])];
    let tally = met(&spec(), &records, &rows).tally;
    assert_eq!((tally.matched, tally.ambiguous), (1, 2), "two records of one row, two rows of one record");
    let reasons: Vec<&str> = tally.cases.iter().map(|case| case.reason.as_str()).collect();
    assert!(reasons.iter().any(|reason| reason.contains("two records match row 1")), "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason.contains("2 rows match this record")), "{reasons:?}");
    assert_eq!(tally.new_records, 0, "nothing is made of the rows that it could be");
    assert!(!tally.is_clear());
}

#[test]
fn two_records_of_one_row_are_told_across_pages() {
    let rows = [row("1", &["", "Ana", ""])];
    let mut meeting = FirstMeeting::new(10, 10);
    for id in ["a", "b"] {
        let page = [record(id, &["", "Ana", ""])];
        let known = known(&page, &rows);
        let spec = spec();
        let steps = plan_page(&spec, &page, &known, HEARD, 0);
        meeting.records(&spec, &page, &known, &steps);
    }
    assert_eq!((meeting.tally.matched, meeting.tally.ambiguous), (1, 1));
}

#[test]
fn new_things_that_share_a_key_are_twins() {
    let records =
        [record("a", &["", "Ana", ""]), record("b", &["", " ANA", ""]), record("c", &["", "", ""]), record("d", &["", "", ""])];
    let tally = met(&spec(), &records, &[row("1", &["", "Bea", ""]), row("2", &["", "bea", ""])]).tally;
    assert_eq!((tally.new_rows, tally.new_records, tally.twins), (4, 2, 2), "a blank is no key");
}

#[test]
fn rows_that_are_not_sent_are_counted_by_reason() {
    let only = Condition { column: "city".into(), test: Test::OneOf(vec!["Rome".into()]) };
    let mut spec = StreamSpec { send_when: vec![only], ..spec() };
    spec.fields[1].check = Some(Check::Email);
    let (rome, bonn) = (row("1", &["Rome", "ana@acme.test", ""]), row("2", &["Bonn", "bea@acme.test", ""]));
    let (wrong, child) = (row("3", &["Rome", "nobody", ""]), row("4", &["Rome", "cem@acme.test", ""]));
    let mut meeting = met(&spec, &[], &[rome, bonn, wrong]);
    meeting.row(&spec, &child, false, true);
    let tally = &meeting.tally;
    assert_eq!((tally.new_records, tally.invalid), (1, 1));
    assert_eq!(tally.excluded.values().sum::<usize>(), 2, "{:?}", tally.excluded);
    assert!(tally.cases[0].reason.contains("not an e-mail address"), "{:?}", tally.cases);
    let reads = StreamSpec { direction: Direction::In, ..plain() };
    assert_eq!(met(&reads, &[], &[row("1", &["Rome", "Ana", ""])]).tally.new_records, 0);
}

#[test]
fn a_sample_takes_some_of_each_kind() {
    let records: Vec<Record> = (0..8).map(|at| record(&format!("r{at}"), &["", &format!("name {at}"), ""])).collect();
    let rows: Vec<Row> = (6..12).map(|at| row(&at.to_string(), &["", &format!("name {at}"), ""])).collect();
    let sample = met(&spec(), &records, &rows).sample(6);
    let rows_in = sample.iter().filter(|chosen| matches!(chosen, Chosen::Row(_))).count();
    assert_eq!((sample.len(), rows_in), (6, 2), "{sample:?}");
    assert_eq!(met(&spec(), &records, &[]).sample(5).len(), 5, "what there is of one kind alone");
    assert!(met(&spec(), &[], &[]).sample(5).is_empty());
}

proptest! {
    #[test]
    fn each_record_and_each_row_is_counted_once(
        records in prop::collection::vec(("[a-d]?", "[x-y]?"), 0..8),
        rows in prop::collection::vec(("[a-d]?", "[x-y]?"), 0..8),
    ) {
        let records: Vec<Record> = records.iter().enumerate().map(|(at, (name, city))| record(&format!("r{at}"), &[city, name, ""])).collect();
        let rows: Vec<Row> = rows.iter().enumerate().map(|(at, (name, city))| row(&at.to_string(), &[city, name, ""])).collect();
        let meeting = met(&spec(), &records, &rows);
        let tally = &meeting.tally;
        let pairs = tally.matched + tally.matched_by_key;
        let excluded: usize = tally.excluded.values().sum();
        prop_assert_eq!(tally.records, records.len());
        prop_assert_eq!(tally.records, pairs + tally.new_rows + tally.ambiguous, "no record is excluded here");
        prop_assert_eq!(tally.rows, pairs + tally.new_records + excluded);
        prop_assert!(meeting.sample(4).len() <= 4);
    }
}
