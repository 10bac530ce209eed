//! Cases of how a stream is judged.

use super::*;
use tidemark_store::overview::ReadingWindow;

const NOW: Millis = 1_772_359_863_000;
const WELL: House = House { workers_alive: 2, queue_answers: true };

/// Read eight seconds ago, nothing owed.
fn stream() -> StreamOverview {
    StreamOverview {
        id: 1,
        name: "hubspot.contacts".into(),
        connection: "hubspot".into(),
        object: "contacts".into(),
        table_name: "customers".into(),
        state: "running".into(),
        reason: None,
        connector: Some("hubspot".into()),
        one_way: false,
        connection_state: "running".into(),
        connection_reason: None,
        clock_offset_ms: 0,
        fast_until: Some(NOW - 13_000),
        settled_until: None,
        fresh_at: Some(NOW - 8_000),
        now: NOW,
        loaded_at: Some(NOW - 86_400_000),
        due_at: NOW + 22_000,
        poll_owed_at: None,
        poll_attempts: 0,
        poll_class: None,
        poll_error: None,
        reader: None,
        walk_owed: false,
        held_at: None,
        held_why: None,
        capture: Some("installed".into()),
        excluded: 0,
        conflicts: 0,
        open_conflicts: 0,
        links: 3,
        owed_pushes: 0,
        owed_reads: 0,
        retrying: 0,
        waiting_for_parent: 0,
        parked: 0,
        due_now: 0,
        due_later: 0,
        debt_attempts: 0,
        debt_class: None,
        debt_error: None,
        oldest_owed_ms: None,
        oldest_due_ms: None,
        next_debt_at: None,
        windows_hour: 0,
        records_hour: 0,
        rows_changed_hour: 0,
        open_window: None,
        sweep: tidemark_store::overview::SweepView::default(),
        brakes: Vec::new(),
        arrivals: tidemark_core::arrival::Arrivals::default(),
        rewound: None,
    }
}

/// Mood, first sentence and next step of a stream that differs from [`stream`].
fn check(house: House, change: impl FnOnce(&mut StreamOverview), mood: Mood, says: &str, next: &str) {
    let mut stream = stream();
    change(&mut stream);
    let verdict = judge(&stream, 120_000, house);
    assert_eq!((verdict.mood, sentence(&stream.name, &verdict).as_str(), verdict.next.as_str()), (mood, says, next));
}

#[test]
fn a_stream_within_its_target_is_fresh() {
    check(WELL, |_| (), Mood::Fresh, "hubspot.contacts is fresh", "Reads again in 22 s.");
}

#[test]
fn a_stream_that_the_crm_holds_up_says_for_how_long_and_when_it_is_tried_again() {
    check(
        WELL,
        |stream| {
            stream.fresh_at = Some(NOW - 732_000);
            (stream.poll_owed_at, stream.poll_attempts, stream.poll_class) = (Some(NOW + 40_000), 3, Some("throttled".into()));
        },
        Mood::Behind,
        "hubspot.contacts is 12 min behind: HubSpot asked us to wait",
        "Reads again in 40 s (attempt 4).",
    );
}

#[test]
fn pushes_that_do_not_arrive_make_a_stream_late_although_it_reads() {
    check(
        WELL,
        |stream| {
            (stream.owed_pushes, stream.retrying, stream.debt_attempts, stream.oldest_owed_ms) = (4, 4, 6, Some(900_000));
            (stream.debt_error, stream.next_debt_at) = (Some("HubSpot gave no usable answer: 502.".into()), Some(NOW + 95_000));
        },
        Mood::Behind,
        "hubspot.contacts is 15 min behind: 4 changes failed so far, 6 attempts at most: HubSpot gave no usable answer: 502",
        "Reads again in 22 s. Next debt is tried in 95 s.",
    );
}

#[test]
fn a_dead_worker_pool_is_named_and_so_is_what_to_do() {
    let house = House { workers_alive: 0, queue_answers: true };
    check(
        house,
        |stream| (stream.fresh_at, stream.poll_owed_at) = (Some(NOW - 300_000), Some(NOW - 290_000)),
        Mood::Behind,
        "hubspot.contacts is 5 min behind: no worker is alive",
        "Start a worker: the read is owed and nobody takes it.",
    );
}

#[test]
fn without_workers_no_read_is_promised() {
    let house = House { workers_alive: 0, queue_answers: true };
    let says = "hubspot.contacts is fresh: no worker is alive";
    check(house, |_| (), Mood::Fresh, says, "Start a worker: nobody is there to read it.");
}

#[test]
fn a_refused_token_stops_a_stream_but_a_person_only_pauses_it() {
    let paused = |reason: &'static str| {
        move |stream: &mut StreamOverview| {
            (stream.connection_state, stream.connection_reason) = ("paused".into(), Some(reason.into()));
        }
    };
    let next = "Nothing until its credentials are taken again, which is tried once an hour, or somebody resumes the connection hubspot. Changes made meanwhile are kept.";
    check(
        WELL,
        paused("HubSpot refused the token"),
        Mood::Stopped,
        "hubspot.contacts is stopped: HubSpot refused the token",
        next,
    );
    let next = "Nothing until somebody resumes the connection hubspot. Changes made meanwhile are kept.";
    check(
        WELL,
        paused("paused by dashboard: import"),
        Mood::Paused,
        "hubspot.contacts is paused with its connection: paused by dashboard: import",
        next,
    );
}

#[test]
fn parked_changes_are_told_even_when_all_else_is_fresh() {
    let says = "hubspot.contacts is fresh, except for 1 change that waits for a person";
    check(WELL, |stream| stream.parked = 1, Mood::Person, says, "Reads again in 22 s.");
}

#[test]
fn a_plan_waits_and_a_first_load_counts() {
    let next = "Nothing is read or written until somebody says go.";
    check(WELL, |stream| stream.state = "plan_ready".into(), Mood::Plan, "hubspot.contacts waits for your go", next);
    check(
        WELL,
        |stream| {
            (stream.loaded_at, stream.fresh_at, stream.reader) = (None, None, Some("w1".into()));
            stream.open_window = Some(ReadingWindow {
                reader: "fast".into(),
                from: 0,
                until: NOW,
                pages: 4,
                records: 800,
                started_at: NOW - 9_000,
            });
        },
        Mood::Loading,
        "hubspot.contacts is loading for the first time: 800 records so far",
        "Being read now: 800 records in 4 pages so far.",
    );
}

#[test]
fn the_headline_begins_with_the_worst_and_counts_the_rest() {
    let fresh = judge(&stream(), 120_000, WELL);
    let late = judge(&StreamOverview { fresh_at: Some(NOW - 732_000), ..stream() }, 120_000, WELL);
    let parked = judge(&StreamOverview { parked: 3, ..stream() }, 120_000, WELL);
    let line = |verdicts: &[(&str, &Verdict)], house| headline(verdicts, house).line;
    assert_eq!(line(&[("a", &fresh)], WELL), "a is fresh: both sides agree");
    assert_eq!(line(&[("a", &fresh), ("b", &fresh)], WELL), "Both streams are fresh");
    assert_eq!(line(&[("a", &fresh), ("b", &fresh), ("c", &fresh)], WELL), "All 3 streams are fresh");
    let told = headline(&[("a", &parked), ("b", &fresh), ("c", &late)], WELL);
    assert_eq!(told.line, "c is 12 min behind: the work waits for a free worker");
    assert_eq!(told.more, ["a is fresh, except for 3 changes that wait for a person"]);
    assert_eq!(
        line(&[("a", &fresh)], House { workers_alive: 0, queue_answers: true }),
        "No worker is alive: nothing moves until one starts"
    );
    assert_eq!(line(&[], WELL), "No stream is configured yet");
}

#[test]
fn a_stream_whose_triggers_are_gone_says_what_to_do_and_what_happens_meanwhile() {
    check(
        WELL,
        |stream| stream.capture = Some("missing".into()),
        Mood::Person,
        "hubspot.contacts hears of no edit in the order system: the capture triggers on customers are missing or disabled",
        "Until `tidemark migrate` puts them back, every row is compared from time to time. Reads again in 22 s.",
    );
    // What is worse is said first.
    check(
        WELL,
        |stream| (stream.capture, stream.fresh_at) = (Some("missing".into()), Some(NOW - 732_000)),
        Mood::Behind,
        "hubspot.contacts is 12 min behind: the work waits for a free worker",
        "Reads again in 22 s.",
    );
}

#[test]
fn what_a_brake_holds_back_is_said_with_the_way_to_let_it_through() {
    use tidemark_core::brake::{Act, Direction};
    let brake = |direction, act, held| BrakeView {
        direction,
        act,
        day: 50,
        most: 50,
        tripped_at: Some(NOW - 60_000),
        answered_at: None,
        held,
    };
    let mut braked = stream();
    braked.brakes = vec![brake(Direction::Out, Act::Delete, 180), brake(Direction::In, Act::Create, 0)];
    let said = judge(&braked, 300_000, House { workers_alive: 1, queue_answers: true });
    assert_eq!(said.mood, Mood::Person);
    assert_eq!(said.say, "is fresh, except for what its brakes hold back");
    let why = "180 records are not deleted: 50 within a day pass without asking; no more rows are made: 50 within a day pass without asking";
    assert_eq!(said.why.as_deref(), Some(why));
    let next =
        "`tidemark resume hubspot.contacts --act delete` or `tidemark resume hubspot.contacts --act create` lets them through";
    assert!(said.next.contains(next), "{}", said.next);
}

#[test]
fn a_stream_that_is_held_says_why_and_who_lets_it_go() {
    let mut held = stream();
    (held.held_at, held.held_why, held.owed_pushes) = (Some(NOW - 60_000), Some("the database is a restored one".into()), 3);
    // What it owes ages meanwhile, and is not what is in the way.
    held.oldest_owed_ms = Some(3_600_000);
    let said = judge(&held, 120_000, WELL);
    assert_eq!((said.mood, said.say.as_str()), (Mood::Person, "is read and sends nothing until somebody has looked"));
    assert_eq!(said.why.as_deref(), Some("the database is a restored one"));
    assert!(said.next.contains("`tidemark environment adopt` lets it go. 3 owed changes are kept."), "{}", said.next);
}

#[test]
fn a_one_way_stream_is_told_of_without_a_word_about_reading() {
    let calm = StreamOverview { one_way: true, fast_until: None, settled_until: None, ..stream() };
    let verdict = judge(&calm, 120_000, WELL);
    assert_eq!((verdict.mood, verdict.next.as_str()), (Mood::Fresh, "Each change is told as it comes."));
    let begun = StreamOverview { loaded_at: None, fresh_at: None, ..calm.clone() };
    assert_eq!(judge(&begun, 120_000, WELL).say, "takes down the rows that are there");
    let reason = Some("needs a person: delivering row 7 of orders: Zapier answered 410".to_owned());
    let gone = StreamOverview { state: "paused".into(), reason: reason.clone(), ..calm.clone() };
    let verdict = judge(&gone, 120_000, WELL);
    assert_eq!((verdict.mood, verdict.why), (Mood::Person, reason));
    let by_person = StreamOverview { state: "paused".into(), reason: Some("paused by ana".into()), ..calm };
    assert_eq!(judge(&by_person, 120_000, WELL).mood, Mood::Paused);
}
