//! Weather, quotas, tokens and lateness, under a clock the tests hold.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::ForcedAnswer;

fn lagging() -> Weather {
    Weather { index_lag_ms: (500, 500), ..Weather::calm() }
}

fn late() -> Weather {
    Weather { late_commit: 1.0, late_commit_ms: (900, 900), ..Weather::calm() }
}

#[test]
fn search_shows_the_old_content_of_a_fresh_edit_and_not_yet_a_fresh_record() {
    let mut bench = Bench::new(lagging());
    let id = bench.create("deals", &json!({ "dealname": "old" }));
    assert!(bench.names_found().is_empty());
    bench.now_ms += 500;
    assert_eq!(bench.names_found(), ["old"]);
    bench.send("PATCH", &format!("/crm/v3/objects/deals/{id}"), &json!({ "properties": { "dealname": "new" } }));
    assert_eq!(bench.names_found(), ["old"]);
    assert_eq!(bench.get(&format!("/crm/v3/objects/deals/{id}")).1["properties"]["dealname"], "new");
    bench.now_ms += 500;
    assert_eq!(bench.names_found(), ["new"]);
}

#[test]
fn search_serves_an_archived_record_until_the_index_hears_of_it() {
    let mut bench = Bench::new(lagging());
    let id = bench.create("deals", &json!({ "dealname": "gone" }));
    bench.now_ms += 500;
    assert_eq!(bench.send("DELETE", &format!("/crm/v3/objects/deals/{id}"), &Value::Null).0, 204);
    assert_eq!(bench.names_found(), ["gone"]);
    assert_eq!(bench.get(&format!("/crm/v3/objects/deals/{id}")).0, 404);
    let (status, row) = bench.get(&format!("/crm/v3/objects/deals/{id}?archived=true"));
    assert_eq!((status, &row["archived"]), (200, &json!(true)));
    bench.now_ms += 500;
    assert!(bench.names_found().is_empty());
}

#[test]
fn a_row_may_come_back_with_a_stamp_outside_the_window_asked_for() {
    let mut bench = Bench::new(Weather { out_of_window: 1.0, ..lagging() });
    let id = bench.create("deals", &json!({ "dealname": "old" }));
    bench.now_ms += 600;
    bench.send("PATCH", &format!("/crm/v3/objects/deals/{id}"), &json!({ "properties": { "dealname": "new" } }));
    let until = json!({ "propertyName": "hs_lastmodifieddate", "operator": "LTE", "value": NOON.to_string() });
    let (_, body) = bench.post("/crm/v3/objects/deals/search", &json!({ "filterGroups": [{ "filters": [until] }] }));
    assert_eq!(body["results"][0]["updatedAt"], stamp::iso(NOON + 600));
}

#[test]
fn a_late_commit_appears_later_under_its_early_stamp_and_the_answer_waits_for_it() {
    let mut bench = Bench::new(late());
    let delivery = bench.deliver("POST", "/crm/v3/objects/deals", &json!({ "properties": { "dealname": "slow" } }));
    assert_eq!(delivery.hold_ms, 900);
    assert!(bench.names_found().is_empty());
    assert_eq!(bench.get("/crm/v3/objects/deals").1["results"], json!([]));
    bench.now_ms += 900;
    assert_eq!(bench.get("/crm/v3/objects/deals").1["results"][0]["updatedAt"], stamp::iso(NOON));
}

#[test]
fn an_email_of_an_uncommitted_contact_is_already_taken() {
    let mut bench = Bench::new(late());
    let id = bench.create("contacts", &json!({ "email": "ana@acme.test" }));
    let (status, body) = bench.post("/crm/v3/objects/contacts", &json!({ "properties": { "email": "Ana@Acme.test" } }));
    assert_eq!((status, &body["category"]), (409, &json!("CONFLICT")));
    assert_eq!(body["message"], format!("Contact already exists. Existing ID: {id}"));
}

#[test]
fn a_lost_answer_leaves_the_write_behind() {
    let mut bench = Bench::new(Weather { lost_answer: 1.0, ..Weather::calm() });
    let mut seen = BTreeSet::new();
    for _ in 0..20 {
        let delivery = bench.deliver("POST", "/crm/v3/objects/deals", &json!({ "properties": { "dealname": "x" } }));
        seen.insert(delivery.answer.map(|answer| answer.status));
    }
    assert_eq!(seen, BTreeSet::from([None, Some(502)]));
    assert_eq!((bench.names_found().len(), bench.world.counters().writes), (10, 20));
    assert_eq!(bench.world.counters().faults, 20);
}

#[test]
fn a_late_landing_writes_after_the_connection_is_gone() {
    let mut bench = Bench::new(Weather { late_landing: 1.0, late_commit_ms: (700, 700), ..Weather::calm() });
    let delivery = bench.deliver("POST", "/crm/v3/objects/deals", &json!({ "properties": { "dealname": "x" } }));
    assert_eq!(delivery, Delivery { answer: None, hold_ms: 0 });
    bench.now_ms += 699;
    assert!(bench.names_found().is_empty());
    assert_eq!(bench.world.counters().landings_pending, 1);
    bench.now_ms += 5000;
    assert_eq!(bench.names_found(), ["x"]);
    assert_eq!(bench.get("/crm/v3/objects/deals").1["results"][0]["updatedAt"], stamp::iso(NOON + 700));
}

#[test]
fn an_error_answer_means_that_nothing_was_written() {
    for weather in [
        Weather { error_5xx: 1.0, ..Weather::calm() },
        Weather { html_error: 1.0, ..Weather::calm() },
        Weather { throttle: 1.0, ..Weather::calm() },
    ] {
        let mut bench = Bench::new(weather);
        let (status, _) = bench.post("/crm/v3/objects/deals", &json!({ "properties": { "dealname": "x" } }));
        assert!(status == 429 || status >= 500);
        let counters = bench.world.counters();
        assert_eq!((counters.writes, counters.faults, counters.limit_exceeded), (0, 1, 0));
    }
}

#[test]
fn a_wrong_token_is_turned_away_before_it_costs_quota() {
    let mut bench = Bench::new(Weather::calm());
    bench.world.token = Some("another".to_owned());
    let (status, body) = bench.get("/crm/v3/objects/deals");
    assert_eq!((status, &body["category"]), (401, &json!("INVALID_AUTHENTICATION")));
    bench.world.token = None;
    assert_eq!(bench.get("/crm/v3/objects/deals").0, 401);
    assert_eq!(bench.world.counters().unauthenticated, 2);
}

#[test]
fn quotas_answer_429_with_their_policy_and_search_carries_no_quota_headers() {
    let mut bench = Bench::new(Weather { retry_after_secs: Some(3), ..Weather::calm() });
    bench.world.limits = Limits { per_10s: 1, search_per_second: 1, per_day: 100 };
    let headers = |delivery: Delivery| {
        let names = delivery.answer.unwrap().headers.into_iter().map(|(name, _)| name);
        names.collect::<Vec<String>>()
    };
    let read = headers(bench.deliver("GET", "/crm/v3/objects/deals", &Value::Null));
    assert!(read.contains(&"X-HubSpot-RateLimit-Daily-Remaining".to_owned()));
    assert_eq!(headers(bench.deliver("POST", "/crm/v3/objects/deals/search", &json!({}))), ["Date"]);
    let (status, body) = bench.get("/crm/v3/objects/deals");
    assert_eq!((status, &body["policyName"]), (429, &json!("TEN_SECONDLY_ROLLING")));
    let refused = bench.deliver("POST", "/crm/v3/objects/deals/search", &json!({}));
    assert!(headers(refused).contains(&"Retry-After".to_owned()));
    assert_eq!(bench.world.counters().limit_exceeded, 2);
    bench.now_ms += 1000;
    assert_eq!(bench.post("/crm/v3/objects/deals/search", &json!({})).0, 200);
}

#[test]
fn a_clock_ahead_of_ours_shows_in_stamps_and_in_the_date_header() {
    let mut bench = Bench::new(Weather { clock_offset_ms: 60_000, ..Weather::calm() });
    let delivery = bench.deliver("POST", "/crm/v3/objects/deals", &json!({ "properties": {} }));
    let answer = delivery.answer.unwrap();
    assert!(answer.headers.contains(&("Date".to_owned(), stamp::http_date(NOON + 60_000))));
    assert_eq!(bench.get("/crm/v3/objects/deals").1["results"][0]["createdAt"], stamp::iso(NOON + 60_000));
}

#[test]
fn a_forced_answer_serves_the_next_matching_calls_only() {
    let mut bench = Bench::new(Weather::calm());
    let forced = ForcedAnswer {
        status: 503,
        body: json!("<html>"),
        content_type: Some("text/html".to_owned()),
        times: 1,
        path_contains: "/deals".to_owned(),
        applies: true,
        ..ForcedAnswer::default()
    };
    bench.world.forced.add(forced);
    assert_eq!(bench.get("/crm/v3/objects/contacts").0, 200);
    let answer = bench.deliver("POST", "/crm/v3/objects/deals", &json!({ "properties": {} })).answer.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (503, "<html>"));
    assert_eq!(bench.get("/crm/v3/objects/deals").1["results"].as_array().unwrap().len(), 1);
}

#[test]
fn the_same_seed_and_calls_meet_the_same_weather() {
    let run = || {
        let mut bench = Bench::new(Weather::rough());
        (0..200)
            .map(|number| {
                bench.now_ms += 50;
                let sent = json!({ "properties": { "dealname": number.to_string() } });
                bench.deliver("POST", "/crm/v3/objects/deals", &sent)
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn the_daily_budget_returns_at_midnight() {
    let mut bench = Bench::new(Weather::calm());
    bench.world.limits = Limits { per_10s: 10, search_per_second: 10, per_day: 2 };
    assert_eq!(bench.get("/crm/v3/objects/deals").0, 200);
    assert_eq!(bench.get("/crm/v3/objects/deals").0, 200);
    let (status, body) = bench.get("/crm/v3/objects/deals");
    assert_eq!((status, &body["policyName"]), (429, &json!("DAILY")));
    bench.now_ms += 12 * 3_600_000;
    assert_eq!(bench.get("/crm/v3/objects/deals").0, 200);
}

#[test]
fn a_prepared_shape_is_the_vendors_own_answer() {
    let mut bench = Bench::new(Weather::calm());
    bench.world.forced.add(ForcedAnswer { shape: Some("429 daily".to_owned()), ..ForcedAnswer::default() });
    let (status, body) = bench.get("/crm/v3/objects/deals");
    assert_eq!((status, &body["policyName"]), (429, &json!("DAILY")));
    let shapes = bench.world.vendor.shapes();
    assert!(shapes.iter().all(|shape| bench.world.vendor.shaped(&bench.world.turn("c", NOON), shape).is_some()));
}
