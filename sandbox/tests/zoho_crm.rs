//! Zoho CRM's dialect over a real connection.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod caller;

use caller::{Caller, Reply, TOKEN, each};
use reqwest::Method;
use serde_json::{Value, json};
use tidemark_sandbox::{Dialect, ObjectType, Weather};

const CONTACTS: &str = "/crm/v8/Contacts";
const LIST: &str = "/crm/v8/Contacts?fields=Last_Name,Modified_Time&sort_by=Modified_Time&sort_order=asc";

async fn zoho() -> Caller {
    Caller::new(Dialect::ZohoCrm, ("authorization", &format!("Zoho-oauthtoken {TOKEN}"))).await
}

async fn contact(caller: &Caller, name: &str) -> String {
    let made = caller.post(CONTACTS, &json!({ "data": [{ "Last_Name": name }] })).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.body["data"][0]["details"]["id"].as_str().unwrap().to_owned()
}

async fn since(caller: &Caller, path: &str, time: &str) -> Reply {
    Reply::read(caller.request(Method::GET, path).header("If-Modified-Since", time)).await
}

fn names(body: &Value) -> Vec<String> {
    each(&body["data"], "Last_Name").into_iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn code(reply: &Reply) -> (u16, &str) {
    (reply.status, reply.body["code"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn pages_reach_so_far_and_tokens_reach_on() {
    let caller = zoho().await;
    caller.quirk("paged_rows_max", 4);
    for at in 0..7 {
        contact(&caller, &at.to_string()).await;
    }
    let path = format!("{LIST}&per_page=2");
    assert_eq!(code(&caller.get(&format!("{path}&page=3")).await), (400, "DISCRETE_PAGINATION_LIMIT_EXCEEDED"));
    let (mut met, mut page) = (Vec::new(), caller.get(&format!("{path}&page=2")).await.body);
    assert_eq!(names(&page), ["2", "3"]);
    loop {
        met.extend(names(&page));
        let Some(token) = page["info"]["next_page_token"].as_str().map(str::to_owned) else { break };
        page = caller.get(&format!("{path}&page_token={token}")).await.body;
    }
    assert_eq!(met, ["2", "3", "4", "5", "6"]);
    assert_eq!(page["info"]["more_records"], false);
}

#[tokio::test]
async fn a_page_token_belongs_to_its_query_and_ages() {
    let caller = zoho().await;
    for at in 0..3 {
        contact(&caller, &at.to_string()).await;
    }
    let token = caller.get(&format!("{LIST}&per_page=1")).await.body["info"]["next_page_token"].as_str().unwrap().to_owned();
    let with = async |rest: &str| caller.get(&format!("{LIST}&page_token={token}{rest}")).await;
    assert_eq!(with("&per_page=1").await.status, 200);
    assert_eq!(code(&with("&per_page=2").await), (400, "TOKEN_BOUND_DATA_MISMATCH"));
    assert_eq!(code(&with("&per_page=1&page=2").await), (400, "AMBIGUITY_DURING_PROCESSING"));
    caller.quirk("token_rows_max", 1);
    assert_eq!(code(&with("&per_page=1").await), (400, "PAGINATION_LIMIT_EXCEEDED"));
    caller.quirk("page_token_hours", 0);
    assert_eq!(code(&with("&per_page=1").await), (400, "EXPIRED_VALUE"));
}

#[tokio::test]
async fn nothing_is_told_without_a_body_and_times_carry_the_organisations_offset() {
    let caller = zoho().await;
    let empty = caller.get(LIST).await;
    assert_eq!((empty.status, empty.text.as_str()), (204, ""));
    contact(&caller, "Ana").await;
    let stamp = caller.get(LIST).await.body["data"][0]["Modified_Time"].as_str().unwrap().to_owned();
    assert!(stamp.ends_with("+05:30"), "{stamp}");
    assert_eq!(names(&since(&caller, LIST, &stamp).await.body), ["Ana"]);
    caller.quirk("since_is_inclusive", false);
    let nothing = since(&caller, LIST, &stamp).await;
    assert_eq!((nothing.status, nothing.text.as_str()), (304, ""));
    caller.quirk("empty_is_304", false);
    assert_eq!(since(&caller, LIST, &stamp).await.status, 204);
    assert_eq!(code(&since(&caller, LIST, "yesterday").await), (400, "INVALID_DATA"));
    caller.quirk("bad_times_ignored", true);
    assert_eq!(names(&since(&caller, LIST, "yesterday").await.body), ["Ana"]);
    caller.quirk("offset_minutes", 0);
    assert!(caller.get(LIST).await.body["data"][0]["Modified_Time"].as_str().unwrap().ends_with("+00:00"));
}

#[tokio::test]
async fn a_list_needs_fields_and_comes_newest_first_unless_told() {
    let caller = zoho().await;
    for name in ["a", "b"] {
        contact(&caller, name).await;
    }
    assert_eq!(code(&caller.get(CONTACTS).await), (400, "REQUIRED_PARAM_MISSING"));
    let row = caller.get(&format!("{CONTACTS}?fields=Last_Name")).await.body;
    assert_eq!((names(&row), row["data"][0].get("Email")), (vec!["b".to_owned(), "a".to_owned()], None));
    let many: Vec<String> = (0..51).map(|at| format!("F{at}")).collect();
    assert_eq!(code(&caller.get(&format!("{CONTACTS}?fields={}", many.join(","))).await), (400, "LIMIT_EXCEEDED"));
    assert_eq!(code(&caller.get(&format!("{CONTACTS}?fields=Last_Name&sort_by=Email")).await), (400, "INVALID_DATA"));
    assert_eq!(code(&caller.get("/crm/v8/Boats?fields=a").await), (400, "INVALID_MODULE"));
}

#[tokio::test]
async fn the_feed_of_deletes_has_a_memory_and_knows_no_merges() {
    let caller = zoho().await;
    let (gone, keep, lose) = (contact(&caller, "gone").await, contact(&caller, "keep").await, contact(&caller, "lose").await);
    let deleted = caller.send(Method::DELETE, &format!("{CONTACTS}/{gone}"), &Value::Null).await;
    assert_eq!((deleted.status, &deleted.body["data"][0]["code"]), (200, &json!("SUCCESS")));
    caller.crm().merge(ObjectType::Contacts, &keep, &lose).unwrap();
    let path = format!("{CONTACTS}/deleted?type=all");
    let feed = caller.get(&path).await.body;
    assert_eq!((each(&feed["data"], "id"), &feed["data"][0]["type"]), (vec![&json!(gone)], &json!("recycle")));
    assert_eq!(since(&caller, &path, "2999-01-01T00:00:00+00:00").await.status, 204);
    assert_eq!(code(&caller.get(&format!("{CONTACTS}/{gone}?fields=Last_Name")).await), (400, "INVALID_DATA"));
    assert_eq!(code(&caller.get(&format!("{CONTACTS}/{lose}?fields=Last_Name")).await), (400, "INVALID_DATA"));
    caller.quirk("merged_in_feed", true);
    assert_eq!(caller.get(&path).await.body["data"].as_array().unwrap().len(), 2);
    caller.quirk("recycle_days", 0);
    assert_eq!(caller.get(&format!("{CONTACTS}/deleted?type=recycle")).await.status, 204);
    assert_eq!(caller.get(&path).await.body["data"][0]["type"], "permanent");
    caller.quirk("feed_days", 0);
    assert_eq!(caller.get(&path).await.status, 204);
}

#[tokio::test]
async fn a_batch_answers_in_order_under_a_status_that_tells_how_many_failed() {
    let caller = zoho().await;
    let good = json!({ "Last_Name": "Ana", "Email": "ana@acme.test" });
    let (bare, bad) = (json!({ "First_Name": "Ben" }), json!({ "Last_Name": "Cleo", "Email": "not an address" }));
    let mixed = caller.post(CONTACTS, &json!({ "data": [bare, good, bad], "trigger": [] })).await;
    assert_eq!(mixed.status, 207);
    assert_eq!(each(&mixed.body["data"], "code"), ["MANDATORY_NOT_FOUND", "SUCCESS", "INVALID_DATA"]);
    let details = &mixed.body["data"][2]["details"];
    assert_eq!((&details["api_name"], &details["json_path"]), (&json!("Email"), &json!("$.data[2].Email")));
    assert_eq!(caller.post(CONTACTS, &json!({ "data": [bad] })).await.status, 400);
    let many: Vec<Value> = (0..101).map(|at| json!({ "Last_Name": at.to_string() })).collect();
    assert_eq!(code(&caller.post(CONTACTS, &json!({ "data": many })).await), (400, "LIMIT_EXCEEDED"));
    assert_eq!(caller.crm().list(ObjectType::Contacts).len(), 1);
}

#[tokio::test]
async fn an_upsert_looks_at_the_fields_it_is_told_and_refuses_to_choose() {
    let caller = zoho().await;
    let upsert = async |body: Value| caller.post(&format!("{CONTACTS}/upsert"), &body).await.body["data"][0].clone();
    let ana = json!({ "data": [{ "Last_Name": "Ana", "Email": "ana@acme.test" }] });
    let made = upsert(ana.clone()).await;
    assert_eq!((&made["action"], &made["duplicate_field"]), (&json!("insert"), &Value::Null));
    let again = upsert(ana.clone()).await;
    assert_eq!(
        (&again["action"], &again["duplicate_field"], &again["details"]["id"]),
        (&json!("update"), &json!("Email"), &made["details"]["id"])
    );
    let by_name =
        json!({ "data": [{ "Last_Name": "Ana", "Email": "other@acme.test" }], "duplicate_check_fields": ["Last_Name"] });
    assert_eq!(upsert(by_name).await["details"]["id"], made["details"]["id"]);
    caller.post(CONTACTS, &json!({ "data": [{ "Last_Name": "Ben", "Email": "other@acme.test" }] })).await;
    let refused = upsert(json!({ "data": [{ "Last_Name": "Cleo", "Email": "other@acme.test" }] })).await;
    assert_eq!((&refused["code"], &refused["details"]["id"]), (&json!("DUPLICATE_DATA"), &made["details"]["id"]));
}

#[tokio::test]
async fn a_field_made_unique_and_external_is_an_id_by_header() {
    let caller = zoho().await;
    caller.crm().add_property(ObjectType::Contacts, "Key", "text", true).unwrap();
    let made = caller.post(CONTACTS, &json!({ "data": [{ "Last_Name": "Ana", "Key": "A-1" }] })).await.body["data"][0].clone();
    let taken = caller.post(CONTACTS, &json!({ "data": [{ "Last_Name": "Ben", "Key": "A-1" }] })).await;
    assert_eq!((taken.status, &taken.body["data"][0]["code"]), (400, &json!("DUPLICATE_DATA")));
    assert_eq!(taken.body["data"][0]["details"]["duplicate_record"]["id"], made["details"]["id"]);
    let by_key = caller.request(Method::PUT, &format!("{CONTACTS}/A-1")).header("X-EXTERNAL", "Contacts.Key");
    let reply = Reply::read(by_key.json(&json!({ "data": [{ "Title": "Boss" }] }))).await;
    assert_eq!((reply.status, &reply.body["data"][0]["details"]["id"]), (200, &made["details"]["id"]));
    let upsert = caller.request(Method::POST, &format!("{CONTACTS}/upsert")).header("X-EXTERNAL", "Contacts.Key");
    let reply =
        Reply::read(upsert.json(&json!({ "data": [{ "Last_Name": "Anna", "Key": "A-1" }, { "Last_Name": "B", "Key": "B-1" }] })))
            .await;
    assert_eq!(each(&reply.body["data"], "action"), ["update", "insert"]);
}

#[tokio::test]
async fn a_lock_by_second_refuses_the_stale_and_a_rename_stamps_nobody_below() {
    let caller = zoho().await;
    let account =
        caller.post("/crm/v8/Accounts", &json!({ "data": [{ "Account_Name": "Acme" }] })).await.body["data"][0]["details"]["id"]
            .clone();
    let body = json!({ "data": [{ "Last_Name": "Ana", "Account_Name": { "id": account } }] });
    let id = caller.post(CONTACTS, &body).await.body["data"][0]["details"]["id"].as_str().unwrap().to_owned();
    let path = format!("{CONTACTS}/{id}");
    let put = async |since: &str| {
        let request = caller.request(Method::PUT, &path).header("If-Unmodified-Since", since);
        Reply::read(request.json(&json!({ "data": [{ "Title": "Boss" }] }))).await
    };
    assert_eq!(code(&put("2020-01-01T00:00:00+00:00").await), (412, "RECORD_MODIFIED"));
    let stamp = caller.get(&path).await.body["data"][0]["Modified_Time"].as_str().unwrap().to_owned();
    assert_eq!(put(&stamp).await.status, 200);
    caller.crm().edit(ObjectType::Companies, account.as_str().unwrap(), &[("Account_Name", "Acme Ltd")]).unwrap();
    let versions = caller.crm().versions(ObjectType::Contacts, &id).unwrap().len();
    assert_eq!(caller.get(&path).await.body["data"][0]["Account_Name"]["name"], "Acme Ltd");
    assert_eq!(caller.crm().versions(ObjectType::Contacts, &id).unwrap().len(), versions);
}

#[tokio::test]
async fn a_search_lags_and_finds_nothing_without_a_body() {
    let caller = zoho().await;
    caller.weather(Weather { index_lag_ms: (600_000, 600_000), ..Weather::calm() });
    caller.post(CONTACTS, &json!({ "data": [{ "Last_Name": "Ana", "Email": "ana@acme.test" }] })).await;
    assert_eq!(caller.get(&format!("{CONTACTS}/search?email=ana@acme.test")).await.status, 204);
    caller.weather(Weather::calm());
    caller.post(CONTACTS, &json!({ "data": [{ "Last_Name": "Ben", "Email": "ben@acme.test" }] })).await;
    assert_eq!(names(&caller.get(&format!("{CONTACTS}/search?criteria=(Email:equals:BEN@acme.test)")).await.body), ["Ben"]);
    assert_eq!(code(&caller.get(&format!("{CONTACTS}/search?criteria=(Email~x)")).await), (400, "INVALID_QUERY"));
}

#[tokio::test]
async fn credits_are_told_only_when_half_are_spent_and_one_429_means_both_limits() {
    let caller = zoho().await;
    caller.quirk("credits_max", 6);
    let header = async || caller.get("/crm/v8/org").await.header("x-api-credits-remaining").to_owned();
    assert_eq!((header().await, header().await, header().await), (String::new(), String::new(), "3".to_owned()));
    assert_eq!(caller.get(&format!("{CONTACTS}/deleted")).await.header("x-api-credits-remaining"), "1");
    let rows: Vec<Value> = (0..11).map(|at| json!({ "Last_Name": at.to_string() })).collect();
    let spent = caller.post(CONTACTS, &json!({ "data": rows })).await;
    assert_eq!((code(&spent), spent.header("retry-after")), ((429, "TOO_MANY_REQUESTS"), ""));
    caller.quirk("credits_max", 1000);
    caller.quirk("concurrent_max", 0);
    assert_eq!(caller.get("/crm/v8/org").await.text, spent.text);
}

#[tokio::test]
async fn a_token_is_refused_with_a_200_and_sent_under_a_scheme_of_its_own() {
    let caller = zoho().await;
    let path = "/oauth/v2/token";
    let refused = caller.form(path, "grant_type=refresh_token&refresh_token=other").await;
    assert_eq!((refused.status, refused.body), (200, json!({ "error": "invalid_code" })));
    let query = format!("{path}?grant_type=refresh_token&refresh_token={TOKEN}");
    let given = Reply::read(caller.bare(Method::POST, &query)).await.body;
    assert_eq!((&given["api_domain"], &given["expires_in"]), (&json!(caller.sandbox.base_url()), &json!(3600)));
    let token = given["access_token"].as_str().unwrap();
    let with = async |scheme: &str| {
        Reply::read(caller.bare(Method::GET, "/crm/v8/org").header("authorization", format!("{scheme} {token}"))).await
    };
    assert_eq!((with("Zoho-oauthtoken").await.status, with("Bearer").await.status), (200, 401));
    caller.crm().expire_access_tokens();
    assert_eq!(code(&with("Zoho-oauthtoken").await), (401, "INVALID_TOKEN"));
    caller.quirk("grants_max", 1);
    let denied = Reply::read(caller.bare(Method::POST, &query)).await;
    assert_eq!((denied.status, &denied.body["error"]), (400, &json!("Access Denied")));
}

#[tokio::test]
async fn a_query_finds_what_is_committed_by_one_condition() {
    let caller = zoho().await;
    let ask = async |query: &str| caller.post("/crm/v8/coql", &json!({ "select_query": query })).await;
    caller.weather(Weather { index_lag_ms: (60_000, 60_000), ..caller.crm().weather() });
    for name in ["O'Neil", "Ruiz"] {
        contact(&caller, name).await;
    }
    assert_eq!(names(&ask("select Last_Name, id from Contacts where Last_Name = 'o''neil'").await.body), ["O'Neil"]);
    let both = ask("select Last_Name from Contacts where Last_Name in ('Ruiz', 'O''Neil') limit 1").await;
    assert_eq!((names(&both.body).len(), &both.body["info"]["more_records"]), (1, &json!(true)));
    assert_eq!(ask("select id from Contacts where Last_Name = 'nobody'").await.status, 204);
    assert_eq!(code(&ask("select id from Contacts where Last_Name = 'O\\'Neil'").await), (400, "SYNTAX_ERROR"));
    assert_eq!(code(&ask("select Nick from Contacts where id = '1'").await), (400, "INVALID_QUERY"));
    assert_eq!(code(&ask("select id from Things where id = '1'").await), (400, "INVALID_MODULE"));
}

#[tokio::test]
async fn a_refresh_token_that_rotates_is_good_once() {
    let caller = zoho().await;
    caller.quirk("refresh_rotates", true);
    let refresh = async |token: &str| {
        let form = format!("grant_type=refresh_token&refresh_token={token}");
        caller.form("/oauth/v2/token", &form).await.body
    };
    let first = refresh(TOKEN).await;
    let next = first["refresh_token"].as_str().unwrap();
    assert_eq!(refresh(TOKEN).await["error"], "invalid_code");
    assert!(refresh(next).await["access_token"].is_string());
    assert_eq!(refresh(next).await["error"], "invalid_code");
}
