//! Cases of places and of databases that are older than what was seen of them.

use super::*;

const GUARD: Millis = 24 * HOUR_MS;

fn postgres(system: Option<&str>, oid: i64, database: &str) -> Place {
    Place::Postgres { system: system.map(str::to_owned), oid, database: database.into(), schema: "tidemark".into() }
}

fn sqlite(file: &str, inode: Option<u64>) -> Place {
    Place::Sqlite { file: file.into(), inode }
}

#[test]
fn h33_a_copy_is_at_another_place() {
    let home = postgres(Some("74"), 16_384, "orders");
    assert!(!postgres(Some("75"), 16_384, "orders").is(&home), "another cluster");
    assert!(!postgres(Some("74"), 16_999, "orders").is(&home), "another database, whatever its name");
    let file = sqlite("/data/orders.db", Some(7));
    assert!(!sqlite("/data/copy.db", Some(7)).is(&file));
    assert!(!sqlite("/data/orders.db", Some(8)).is(&file), "another file under the name");
    assert!(!file.is(&home) && !home.is(&file));
}

#[test]
fn a_place_stays_the_same_whatever_could_not_be_asked_for() {
    let home = postgres(Some("74"), 16_384, "orders");
    assert!(postgres(None, 16_384, "orders").is(&home), "the right to ask was taken away");
    assert!(home.is(&postgres(None, 16_384, "orders")), "and given");
    assert!(postgres(Some("74"), 16_384, "shop").is(&home), "a database that was renamed");
    assert!(sqlite("/data/orders.db", None).is(&sqlite("/data/orders.db", Some(7))));
}

#[test]
fn a_place_is_read_as_it_was_written() {
    for place in [postgres(Some("74"), 16_384, "orders"), postgres(None, 1, "o"), sqlite("/data/orders.db", Some(7))] {
        let text = serde_json::to_string(&place).expect("it is written");
        assert_eq!(serde_json::from_str::<Place>(&text).expect("it is read"), place, "{text}");
    }
    let pulse = Pulse { lineage: "a-b".into(), beats: 12 };
    assert_eq!(Pulse::parse(&format!("{pulse}\n")), Some(pulse));
    for nothing in ["", "12", "a b", "a 1 2"] {
        assert_eq!(Pulse::parse(nothing), None, "{nothing:?}");
    }
}

fn standing(beats: i64, silent: Millis, timeline: Option<i64>) -> Standing {
    Standing { beats, silent: Some(silent), timeline }
}

fn said(standing: Standing, beats: Option<i64>, timeline: Option<i64>) -> String {
    doubt(standing, Witnessed { beats, timeline }, GUARD).unwrap_or_default()
}

#[test]
fn h32_a_pulse_behind_its_witness_is_a_restored_backup() {
    assert!(said(standing(120, 5_000, None), Some(340), None).contains("stands at 120, and 340 was seen"));
    assert!(said(standing(120, 5_000, Some(1)), Some(121), Some(1)).contains("restored"), "one beat is enough");
}

#[test]
fn h32_a_witness_that_is_behind_or_lost_says_nothing() {
    for seen in [None, Some(0), Some(119), Some(120)] {
        assert_eq!(said(standing(120, 5_000, None), seen, None), "", "{seen:?}");
    }
}

#[test]
fn h32_a_long_silence_is_taken_for_a_restore() {
    assert_eq!(said(standing(120, GUARD, None), Some(120), None), "");
    assert!(said(standing(120, GUARD + 1, None), Some(120), None).contains("for 24 h"));
    assert_eq!(said(Standing { beats: 0, silent: None, timeline: None }, None, None), "", "it never ran");
}

#[test]
fn h32_a_new_timeline_is_doubted_where_nobody_remembers_the_pulse() {
    assert!(said(standing(120, 5_000, Some(1)), None, Some(2)).contains("from timeline 1 to 2"));
    assert_eq!(said(standing(120, 5_000, Some(1)), Some(120), Some(2)), "", "a failover that lost nothing");
    for (known, now) in [(None, Some(2)), (Some(1), None), (Some(1), Some(1))] {
        assert_eq!(said(standing(120, 5_000, known), None, now), "");
    }
}
