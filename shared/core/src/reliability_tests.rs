//! What counts as a first try, as cured and as an outage; that hours add up; and how the report reads.

use proptest::prelude::*;

use super::*;

const CONNECTION: &str = "hubspot";
const NOON: Millis = 1_772_366_400_000;

fn call(failures: u32, outcome: &str, at: Millis) -> Call {
    let (class, status) = match outcome {
        "ok" => (None, Some(200)),
        "502" => (Some("retry"), Some(502)),
        "lost" => (Some("retry"), None),
        "429" => (Some("throttled"), Some(429)),
        "400" => (Some("rejected"), Some(400)),
        other => (Some(other), None),
    };
    Call { failures, class: class.map(str::to_owned), status, elapsed_ms: 100, quota_left: Some(at % 1_000), at }
}

fn tally(calls: &[Call]) -> Tally {
    let mut tally = Tally::default();
    calls.iter().for_each(|call| tally.add(call));
    tally
}

fn counted(endpoint: &str, hour: Millis, calls: &[Call]) -> Counted {
    Counted { connection: CONNECTION.to_owned(), endpoint: endpoint.to_owned(), hour, tally: tally(calls) }
}

#[test]
fn only_the_first_attempt_is_a_first_try_and_a_later_success_is_cured_by_its_retries() {
    let calls = ["ok", "502", "ok", "lost", "lost", "ok", "400"];
    let failures = [0, 0, 1, 0, 1, 2, 0];
    let calls: Vec<Call> =
        calls.iter().zip(failures).zip(0..).map(|((outcome, failures), at)| call(failures, outcome, at)).collect();
    let measures = tally(&calls).measures();
    assert_eq!((measures.calls, measures.successes), (7, 3));
    assert_eq!((measures.first_tries, measures.first_try_successes), (4, 1));
    assert_eq!(measures.first_try_rate(), Some(2_500));
    assert_eq!(measures.cured, [Cured { retries: 1, calls: 1 }, Cured { retries: 2, calls: 1 }]);
    let failed: Vec<_> = measures.failed.iter().map(|ended| (ended.class.as_deref(), ended.status, ended.calls())).collect();
    assert_eq!(failed, [(Some("retry"), None, 2), (Some("rejected"), Some(400), 1), (Some("retry"), Some(502), 1)]);
    assert_eq!(measures.quota_worst, Some(0));
}

#[test]
fn a_rate_is_never_rounded_up_to_a_whole() {
    let mut calls: Vec<Call> = (0..19_999).map(|at| call(0, "ok", at)).collect();
    calls.push(call(0, "502", 20_000));
    assert_eq!(tally(&calls).measures().first_try_rate(), Some(9_999));
    assert_eq!(tally(&[call(1, "ok", 1)]).measures().first_try_rate(), None, "there was no first try");
}

#[test]
fn an_answer_that_refuses_is_no_outage_and_a_spent_day_says_nothing() {
    let outage = |outcomes: &[&str]| {
        let calls: Vec<Call> = outcomes.iter().zip(1..).map(|(outcome, at)| call(0, outcome, at * 1_000)).collect();
        tally(&calls).measures().longest_outage.map(|run| run.calls)
    };
    assert_eq!(outage(&["ok", "502", "lost", "429", "malformed", "ok"]), Some(4));
    assert_eq!(outage(&["ok", "502", "400", "502", "ok"]), Some(1), "the CRM answered in between");
    assert_eq!(outage(&["ok", "502", "day_budget", "502", "ok"]), Some(2), "nothing was tried in between");
    assert_eq!(outage(&["ok", "400", "gone", "auth"]), None);
}

#[test]
fn an_outage_goes_over_the_hour() {
    let (before, after) = (
        [call(0, "ok", NOON - 9_000), call(0, "502", NOON - 5_000)],
        [call(1, "502", NOON + 1_000), call(2, "ok", NOON + 7_000)],
    );
    // Told in any order: the hours stand in order in it.
    let hours = vec![counted(WHOLE, NOON, &after), counted(WHOLE, NOON - HOUR_MS, &before)];
    let report = report(NOON - HOUR_MS, NOON + HOUR_MS, hours, Vec::new());
    let run = report.connections[0].whole.longest_outage.unwrap();
    assert_eq!((run.from, run.until, run.calls, run.open), (NOON - 5_100, NOON + 7_000, 2, false));
}

#[test]
fn only_hours_that_were_worse_say_something() {
    let good: Vec<Call> = (0..10).map(|at| call(0, "ok", at)).collect();
    let bad = [good.clone(), vec![call(0, "502", 11)]].concat();
    let hours = |one: &[Call], other: &[Call]| vec![counted(WHOLE, 0, one), counted(WHOLE, HOUR_MS, other)];
    let shown =
        |hours| report(0, 2 * HOUR_MS, hours, Vec::new()).connections[0].hours.iter().map(|hour| hour.hour).collect::<Vec<_>>();
    assert_eq!(shown(hours(&good, &bad)), [HOUR_MS]);
    assert!(shown(hours(&good, &good)).is_empty() && shown(hours(&bad, &bad)).is_empty());
    let many: Vec<Counted> =
        (0..40).map(|hour| counted(WHOLE, hour * HOUR_MS, if hour % 2 == 0 { &good } else { &bad })).collect();
    assert_eq!(shown(many).len(), 12);
}

#[test]
fn the_report_reads_well_and_keeps_its_cells() {
    let search = [call(0, "ok", NOON), call(0, "502", NOON + 60_000), call(1, "ok", NOON + 62_000)];
    let upsert = [call(0, "400", NOON + 70_000)];
    let uncured = Uncured {
        connection: CONNECTION.to_owned(),
        stream: "hubspot.contacts".to_owned(),
        work: "push".to_owned(),
        class: Some("rejected".to_owned()),
        code: Some("VALIDATION".to_owned()),
        parked: true,
        things: 2,
        attempts_most: 1,
        cause: Some("a | in\n<b>words</b>".to_owned()),
        since: Some(NOON),
    };
    let hours = vec![
        counted(WHOLE, NOON, &[&search[..], &upsert].concat()),
        counted("POST /search", NOON, &search),
        counted("POST /upsert", NOON, &upsert),
    ];
    let report = report(NOON, NOON + HOUR_MS, hours, vec![uncured]);
    insta::assert_snapshot!(markdown(&report));
    assert!(markdown(&super::report(NOON, NOON, Vec::new(), Vec::new())).contains("No call was made"));
}

proptest! {
    #[test]
    fn hours_add_up_to_the_whole(
        calls in prop::collection::vec((0_u32..3, 0..6_usize, 0_u32..9_000), 0..30),
        cut in 0..30_usize,
    ) {
        let outcomes = ["ok", "502", "lost", "429", "400", "day_budget"];
        let calls: Vec<Call> = calls.iter().zip(1..).map(|((failures, outcome, elapsed), at)| Call {
            elapsed_ms: *elapsed,
            ..call(*failures, outcomes[*outcome], at * 10_000)
        }).collect();
        let cut = cut.min(calls.len());
        let mut parts = tally(&calls[..cut]);
        parts.merge(&tally(&calls[cut..]));
        prop_assert_eq!(&parts, &tally(&calls));
        // What is kept is what is read again.
        prop_assert_eq!(serde_json::from_str::<Tally>(&serde_json::to_string(&parts).unwrap()).unwrap(), parts);
    }
}
