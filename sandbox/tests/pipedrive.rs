//! Pipedrive's dialect over a real connection.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod caller;

use std::collections::BTreeSet;

use caller::{Caller, Reply, TOKEN, each};
use reqwest::Method;
use serde_json::{Value, json};
use tidemark_sandbox::{Dialect, ForcedAnswer, ObjectType, Weather};

const NOON: &str = "2026-03-01T12:00:00Z";

async fn pipedrive() -> Caller {
    let caller = Caller::new(Dialect::Pipedrive, ("x-api-token", TOKEN)).await;
    caller.quirk("burst_calls_max", 10_000);
    caller
}

async fn person(caller: &Caller, name: &str, updated: &str) -> u64 {
    let made = caller.post("/api/v2/persons", &json!({ "name": name, "update_time": updated })).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.body["data"]["id"].as_u64().unwrap()
}

#[tokio::test]
async fn pages_over_equal_times_meet_every_record_once_even_while_records_move() {
    let caller = pipedrive().await;
    for at in 0..8 {
        person(&caller, &at.to_string(), NOON).await;
    }
    let path = "/api/v2/persons?sort_by=update_time&limit=3";
    let first = caller.get(path).await.body;
    let moved = first["data"][1]["id"].as_u64().unwrap();
    caller.send(Method::PATCH, &format!("/api/v2/persons/{moved}"), &json!({ "name": "moved" })).await;
    let (mut met, mut page) = (Vec::new(), first);
    loop {
        met.extend(each(&page["data"], "name").into_iter().map(|name| name.as_str().unwrap().to_owned()));
        let Some(cursor) = page["additional_data"]["next_cursor"].as_str().map(str::to_owned) else { break };
        page = caller.get(&format!("{path}&cursor={cursor}")).await.body;
    }
    assert_eq!(met, ["0", "1", "2", "3", "4", "5", "6", "7", "moved"]);
}

#[tokio::test]
async fn a_cursor_names_the_next_row_in_the_clear_and_belongs_to_its_order() {
    let caller = pipedrive().await;
    for at in 0..3 {
        person(&caller, &at.to_string(), NOON).await;
    }
    let page = caller.get("/api/v2/persons?sort_by=update_time&limit=2").await.body;
    let cursor = page["additional_data"]["next_cursor"].as_str().unwrap().to_owned();
    use base64::Engine;
    let decoded: Value = serde_json::from_slice(&base64::engine::general_purpose::STANDARD.decode(&cursor).unwrap()).unwrap();
    assert_eq!(decoded, json!({ "field": "update_time", "fieldValue": NOON, "sortDirection": "asc", "id": 503 }));
    assert_eq!(caller.get(&format!("/api/v2/persons?sort_by=id&cursor={cursor}")).await.status, 400);
    assert_eq!(caller.get("/api/v2/persons?cursor=nonsense").await.status, 400);
    caller.quirk("cursor_minutes", 1);
    assert_eq!(caller.get(&format!("/api/v2/persons?sort_by=update_time&cursor={cursor}")).await.status, 400);
}

#[tokio::test]
async fn a_window_holds_its_lower_bound_and_not_its_upper() {
    let caller = pipedrive().await;
    for (name, second) in [("before", "11:59:59"), ("lower", "12:00:00"), ("inside", "12:00:30"), ("upper", "12:01:00")] {
        person(&caller, name, &format!("2026-03-01T{second}Z")).await;
    }
    let names = |reply: Reply| -> Vec<String> {
        each(&reply.body["data"], "name").into_iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    let window = "updated_since=2026-03-01T12:00:00Z&updated_until=2026-03-01T12:01:00Z";
    assert_eq!(names(caller.get(&format!("/api/v2/persons?{window}")).await), ["lower", "inside"]);
    let descending = caller.get(&format!("/api/v2/persons?{window}&sort_by=update_time&sort_direction=desc")).await;
    assert_eq!(names(descending), ["inside", "lower"]);
    let offset = caller.get("/api/v2/persons?updated_since=2026-03-01T13:01:00%2B01:00").await;
    assert_eq!(names(offset), ["upper"]);
}

#[tokio::test]
async fn an_unreadable_time_is_refused_or_by_a_switch_answered_with_everything() {
    let caller = pipedrive().await;
    person(&caller, "old", "2020-01-01T00:00:00Z").await;
    for bad in ["2026-03-01T12:00:00.123Z", "2026-03-01", "yesterday", "1772366400000", "2026-03-01T13:00:00+01:00"] {
        let reply = caller.get(&format!("/api/v2/persons?updated_since={bad}")).await;
        assert_eq!((reply.status, &reply.body["code"]), (400, &json!("ERR_SCHEMA_VALIDATION_FAILED")), "{bad}");
    }
    caller.quirk("bad_times_ignored", true);
    let reply = caller.get("/api/v2/persons?updated_since=yesterday").await;
    assert_eq!(reply.body["data"].as_array().unwrap().len(), 1);
    caller.quirk("fractions_refused", false);
    let reply = caller.get("/api/v2/persons?updated_since=2026-03-01T12:00:00.123Z").await;
    assert_eq!(reply.body["data"], json!([]));
}

#[tokio::test]
async fn a_deleted_deal_is_listed_as_deleted_for_a_while_and_a_deleted_person_only_answers_by_id() {
    let caller = pipedrive().await;
    let deal = caller.post("/api/v2/deals", &json!({ "title": "Sofa" })).await.body["data"]["id"].clone();
    let person = person(&caller, "Ana", NOON).await;
    for path in [format!("/api/v2/deals/{deal}"), format!("/api/v2/persons/{person}")] {
        let deleted = caller.send(Method::DELETE, &path, &Value::Null).await;
        assert_eq!(deleted.status, 200);
        let row = caller.get(&path).await;
        assert_eq!((row.status, &row.body["data"]["is_deleted"]), (200, &json!(true)));
        assert_eq!(caller.send(Method::PATCH, &path, &json!({})).await.status, 404);
    }
    assert_eq!(caller.get("/api/v2/deals").await.body["data"], json!([]));
    let since = "/api/v2/deals?status=deleted&updated_since=2026-03-02T00:00:00Z";
    let listed = caller.get(since).await.body;
    assert_eq!((&listed["data"][0]["id"], &listed["data"][0]["status"]), (&deal, &json!("deleted")));
    assert_eq!(caller.get("/api/v2/persons?status=deleted").await.body["data"], json!([]));
    caller.quirk("deleted_days", 0);
    assert_eq!(caller.get(since).await.body["data"], json!([]));
    assert_eq!(caller.get(&format!("/api/v2/persons/{person}")).await.status, 404);
    let truth = &caller.crm().list(ObjectType::Contacts)[0];
    assert!(truth.archived && truth.properties["name"] == "Ana");
}

#[tokio::test]
async fn a_delete_that_moves_no_stamp_hides_from_a_window() {
    let caller = pipedrive().await;
    caller.quirk("delete_moves_update_time", false);
    let id = person(&caller, "Ana", NOON).await;
    caller.crm().delete(ObjectType::Contacts, &id.to_string()).unwrap();
    let row = caller.get(&format!("/api/v2/persons/{id}")).await.body;
    assert_eq!((&row["data"]["is_deleted"], &row["data"]["update_time"]), (&json!(true), &json!(NOON)));
}

#[tokio::test]
async fn a_merge_keeps_the_record_named_in_the_body() {
    let caller = pipedrive().await;
    let keep = caller.post("/api/v2/persons", &json!({ "name": "Ana" })).await.body["data"]["id"].as_u64().unwrap();
    let other = json!({ "name": "Anna", "phones": [{ "value": "123" }] });
    let lose = caller.post("/api/v2/persons", &other).await.body["data"]["id"].as_u64().unwrap();
    let merged = caller.send(Method::PUT, &format!("/v1/persons/{lose}/merge"), &json!({ "merge_with_id": keep })).await;
    assert_eq!((merged.status, &merged.body["data"]["id"]), (200, &json!(keep)));
    let row = caller.get(&format!("/api/v2/persons/{keep}")).await.body["data"].clone();
    assert_eq!((&row["name"], &row["phones"][0]["value"]), (&json!("Ana"), &json!("123")));
    assert_eq!(caller.get(&format!("/api/v2/persons/{lose}")).await.body["data"]["is_deleted"], true);
    caller.quirk("merged_is_deleted", false);
    assert_eq!(caller.get(&format!("/api/v2/persons/{lose}")).await.status, 404);
    caller.weather(Weather { merged_redirect: true, ..Weather::calm() });
    assert_eq!(caller.get(&format!("/api/v2/persons/{lose}")).await.body["data"]["id"], keep);
    let truth = caller.crm().list(ObjectType::Contacts);
    assert_eq!(truth[1].merged_into.as_deref(), Some(keep.to_string().as_str()));
}

#[tokio::test]
async fn an_archived_deal_leaves_the_list_for_one_of_its_own() {
    let caller = pipedrive().await;
    let id = caller.post("/api/v2/deals", &json!({ "title": "Sofa", "value": 12.5 })).await.body["data"]["id"].clone();
    let row = caller.send(Method::PATCH, &format!("/api/v2/deals/{id}"), &json!({ "is_archived": true })).await;
    assert_eq!((&row.body["data"]["value"], &row.body["data"]["is_archived"]), (&json!(12.5), &json!(true)));
    assert_eq!(caller.get("/api/v2/deals").await.body["data"], json!([]));
    assert_eq!(each(&caller.get("/api/v2/deals/archived").await.body["data"], "id"), [&id]);
}

#[tokio::test]
async fn custom_fields_have_codes_and_drift_shows_on_both_sides() {
    let caller = pipedrive().await;
    let made = caller.post("/api/v2/dealFields", &json!({ "field_name": "Order", "field_type": "varchar" })).await;
    let code = made.body["data"]["field_code"].as_str().unwrap().to_owned();
    assert_eq!((made.status, code.len()), (201, 40));
    let sent = json!({ "title": "Sofa", "custom_fields": { code.as_str(): "A-1" } });
    let row = caller.post("/api/v2/deals", &sent).await.body["data"].clone();
    assert_eq!(row["custom_fields"], json!({ code.as_str(): "A-1" }));
    let fields = caller.get("/api/v2/dealFields").await.body;
    let custom: Vec<&Value> =
        fields["data"].as_array().unwrap().iter().filter(|field| field["is_custom_field"] == true).collect();
    assert_eq!((custom.len(), &custom[0]["field_code"]), (1, &json!(code)));
    caller.crm().remove_property(ObjectType::Deals, &code).unwrap();
    let refused = caller.post("/api/v2/deals", &sent).await;
    assert_eq!((refused.status, &refused.body["code"]), (400, &json!("ERR_SCHEMA_VALIDATION_FAILED")));
    assert_eq!(caller.get(&format!("/api/v2/deals/{}", row["id"])).await.body["data"]["custom_fields"], json!({}));
    caller.quirk("unknown_fields_ignored", true);
    assert_eq!(caller.post("/api/v2/deals", &sent).await.status, 201);
}

#[tokio::test]
async fn what_a_record_needs_and_points_to_is_checked() {
    let caller = pipedrive().await;
    let check = async |path: &str, body: Value, status: u16| {
        let reply = caller.post(path, &body).await;
        assert_eq!(reply.status, status, "{body}: {}", reply.text);
    };
    check("/api/v2/persons", json!({}), 400).await;
    check("/api/v2/persons", json!({ "name": "Ana", "emails": "ana@acme.test" }), 400).await;
    check("/api/v2/persons", json!({ "name": "Ana", "emails": [{ "value": "not an address" }] }), 201).await;
    check("/api/v2/deals", json!({ "title": "Sofa", "person_id": 9 }), 400).await;
    check("/api/v2/deals", json!({ "title": "Sofa", "person_id": 501 }), 201).await;
    check("/api/v2/deals", json!({ "title": "Sofa", "value": "dear" }), 400).await;
    check("/api/v2/deals", json!({ "title": "Sofa", "status": "maybe" }), 400).await;
    assert_eq!(caller.get("/api/v2/persons/abc").await.status, 400);
    assert_eq!(caller.get("/api/v2/persons/9").await.status, 404);
    assert_eq!(caller.get("/api/v2/boats").await.status, 404);
}

#[tokio::test]
async fn a_search_looks_at_the_index_and_is_paged_as_its_version_pages() {
    let caller = pipedrive().await;
    for at in 0..3 {
        let body = json!({ "name": format!("Ana {at}"), "emails": [{ "value": format!("Ana{at}@acme.test") }] });
        caller.post("/api/v2/persons", &body).await;
    }
    let found = caller.get("/api/v2/persons/search?term=ana1@ACME.test&fields=email&exact_match=true").await.body;
    assert_eq!(found["data"]["items"][0]["item"]["emails"], json!(["Ana1@acme.test"]));
    assert_eq!(caller.get("/api/v2/persons/search?term=a").await.status, 400);
    let first = caller.get("/api/v2/persons/search?term=ana&limit=2").await.body;
    let cursor = first["additional_data"]["next_cursor"].as_str().unwrap();
    let second = caller.get(&format!("/api/v2/persons/search?term=ana&limit=2&cursor={cursor}")).await.body;
    assert_eq!((second["data"]["items"].as_array().unwrap().len(), &second["additional_data"]["next_cursor"]), (1, &Value::Null));
    let old = caller.get("/v1/persons/search?term=ana&limit=2&start=2").await.body;
    assert_eq!(old["additional_data"]["pagination"]["more_items_in_collection"], false);
    caller.weather(Weather { index_lag_ms: (600_000, 600_000), ..Weather::calm() });
    caller.post("/api/v2/persons", &json!({ "name": "Late Ana" })).await;
    assert_eq!(caller.get("/api/v2/persons/search?term=late").await.body["data"]["items"], json!([]));
    assert_eq!(caller.get("/api/v2/persons").await.body["data"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn a_burst_is_refused_with_the_burst_headers_and_the_edge_blocks_those_who_go_on() {
    let caller = pipedrive().await;
    caller.quirk("burst_calls_max", 2);
    caller.quirk("edge_block_after", 2);
    let first = caller.get("/api/v2/persons").await;
    assert_eq!((first.header("x-ratelimit-limit"), first.header("x-ratelimit-remaining")), ("2", "1"));
    assert_eq!(first.header("x-daily-ratelimit-token-remaining"), "29990");
    caller.get("/api/v2/persons").await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let reply = caller.get("/api/v2/persons").await;
        seen.push((reply.status, reply.body.is_null()));
    }
    assert_eq!(seen, [(429, false), (429, false), (429, false), (403, true)]);
    assert_eq!(caller.crm().counters().limit_exceeded, 4);
}

#[tokio::test]
async fn the_days_tokens_are_spent_by_the_weight_of_the_call() {
    let caller = pipedrive().await;
    caller.quirk("daily_tokens_max", 26);
    let id = person(&caller, "Ana", NOON).await;
    caller.get(&format!("/api/v2/persons/{id}")).await;
    let search = caller.get("/api/v2/persons/search?term=ana").await;
    assert_eq!((search.status, search.header("x-daily-ratelimit-token-remaining")), (200, "0"));
    let refused = caller.get(&format!("/api/v2/persons/{id}")).await;
    assert_eq!(refused.status, 429);
    assert!(refused.text.contains("Daily"));
    caller.quirk("daily_headers", false);
    assert_eq!(caller.get("/api/v2/persons").await.header("x-daily-ratelimit-token-remaining"), "");
}

#[tokio::test]
async fn an_access_token_comes_from_the_refresh_token_and_ends() {
    let caller = pipedrive().await;
    let bad = caller.form("/oauth/token", "grant_type=refresh_token&refresh_token=other").await;
    assert_eq!((bad.status, &bad.body["error"]), (400, &json!("invalid_grant")));
    let given = caller.form("/oauth/token", &format!("grant_type=refresh_token&refresh_token={TOKEN}")).await.body;
    assert_eq!(given["api_domain"], caller.sandbox.base_url());
    let token = given["access_token"].as_str().unwrap();
    let with = async |token: &str| Reply::read(caller.bare(Method::GET, "/api/v2/persons").bearer_auth(token)).await.status;
    assert_eq!((with(token).await, with("other").await), (200, 401));
    caller.crm().expire_access_tokens();
    assert_eq!((with(token).await, with(TOKEN).await), (401, 200));
    let query = |path: &str| caller.bare(Method::GET, &format!("{path}api_token={TOKEN}"));
    assert_eq!(Reply::read(query("/api/v2/persons?")).await.status, 401);
    assert_eq!(Reply::read(query("/v1/persons/search?term=ana&")).await.status, 200);
    caller.crm().set_token(None);
    assert_eq!(caller.get("/api/v2/persons").await.status, 401);
}

#[tokio::test]
async fn a_late_commit_appears_behind_rows_already_read() {
    let caller = pipedrive().await;
    caller.weather(Weather { late_commit: 1.0, late_commit_ms: (300, 300), answers_wait_for_commit: false, ..Weather::calm() });
    let late = person(&caller, "late", NOON).await;
    assert_eq!(caller.get(&format!("/api/v2/persons/{late}")).await.status, 404);
    caller.weather(Weather::calm());
    person(&caller, "later", "2026-03-01T12:00:05Z").await;
    let names = async || -> BTreeSet<String> {
        let body = caller.get("/api/v2/persons").await.body;
        each(&body["data"], "name").into_iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names().await, BTreeSet::from(["later".to_owned()]));
    while names().await.len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(caller.get(&format!("/api/v2/persons/{late}")).await.body["data"]["update_time"], NOON);
}

#[tokio::test]
async fn a_lost_answer_leaves_a_second_record_behind_when_the_caller_tries_again() {
    let caller = pipedrive().await;
    caller.crm().force_next(ForcedAnswer { dropped: true, applies: true, ..ForcedAnswer::default() });
    let body = json!({ "title": "Sofa" });
    assert!(caller.request(Method::POST, "/api/v2/deals").json(&body).send().await.is_err());
    caller.post("/api/v2/deals", &body).await;
    assert_eq!(caller.crm().list(ObjectType::Deals).len(), 2);
}
