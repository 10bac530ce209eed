//! Zoho Books' dialect over a real connection.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod caller;

use caller::{Caller, Reply, TOKEN, each};
use reqwest::Method;
use serde_json::{Value, json};
use tidemark_sandbox::{Dialect, ForcedAnswer, ObjectType, Weather};

const ORG: &str = "organization_id=24539219";

async fn books() -> Caller {
    let caller = Caller::new(Dialect::ZohoBooks, ("authorization", &format!("Zoho-oauthtoken {TOKEN}"))).await;
    caller.quirk("minute_calls_max", 1000);
    caller
}

fn contacts(query: &str) -> String {
    format!("/books/v3/contacts?{ORG}&sort_column=last_modified_time&sort_order=A{query}")
}

fn one(path: &str) -> String {
    format!("/books/v3/{path}?{ORG}")
}

async fn contact(caller: &Caller, name: &str) -> String {
    let made = caller.post(&one("contacts"), &json!({ "contact_name": name })).await;
    assert_eq!((made.status, &made.body["code"]), (201, &json!(0)), "{}", made.text);
    made.body["contact"]["contact_id"].as_str().unwrap().to_owned()
}

fn names(reply: &Reply) -> Vec<String> {
    each(&reply.body["contacts"], "contact_name").into_iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn code(reply: &Reply) -> (u16, u64) {
    (reply.status, reply.body["code"].as_u64().unwrap_or(u64::MAX))
}

#[tokio::test]
async fn each_page_says_whether_another_follows_and_none_says_how_many() {
    let caller = books().await;
    for at in 0..5 {
        contact(&caller, &at.to_string()).await;
    }
    let mut met = Vec::new();
    for page in 1.. {
        let reply = caller.get(&contacts(&format!("&per_page=2&page={page}"))).await;
        let context = &reply.body["page_context"];
        assert_eq!((&context["page"], &context["total"]), (&json!(page), &Value::Null));
        met.extend(names(&reply));
        if context["has_more_page"] == false {
            break;
        }
    }
    assert_eq!(met, ["0", "1", "2", "3", "4"]);
    assert_eq!(names(&caller.get(&format!("/books/v3/contacts?{ORG}&sort_order=D&per_page=1")).await), ["4"]);
    for wrong in ["&per_page=201", "&page=0", "&sort_column=notes", "&sort_order=up", "&filter_by=all"] {
        assert_eq!(code(&caller.get(&format!("/books/v3/contacts?{ORG}{wrong}")).await), (400, 2), "{wrong}");
    }
}

#[tokio::test]
async fn a_time_holds_its_own_second_and_is_written_without_a_colon() {
    let caller = books().await;
    contact(&caller, "Ana").await;
    let stamp = caller.get(&contacts("")).await.body["contacts"][0]["last_modified_time"].as_str().unwrap().to_owned();
    assert!(stamp.ends_with("+0530"), "{stamp}");
    let since = async |text: &str| caller.get(&contacts(&format!("&last_modified_time={}", text.replace('+', "%2B")))).await;
    let utc = |seconds: i64| {
        let time = chrono::DateTime::parse_from_str(&stamp, "%Y-%m-%dT%H:%M:%S%z").unwrap().to_utc();
        (time + chrono::TimeDelta::seconds(seconds)).format("%Y-%m-%dT%H:%M:%S+0000").to_string()
    };
    assert_eq!(names(&since(&stamp).await), ["Ana"]);
    assert_eq!(names(&since(&utc(0)).await), ["Ana"], "the same instant in another zone");
    assert!(names(&since(&utc(1)).await).is_empty());
    caller.quirk("since_is_inclusive", false);
    assert!(names(&since(&stamp).await).is_empty());
    caller.quirk("since_is_exact", true);
    assert_eq!((names(&since(&stamp).await).len(), names(&since(&utc(-1)).await).len()), (1, 0));
    for no_time in ["2026-03-01T12:00:00Z", "2026-03-01T12:00:00+00:00", "yesterday"] {
        assert_eq!(code(&since(no_time).await), (400, 2), "{no_time}");
    }
    caller.quirk("bad_times_ignored", true);
    assert_eq!(names(&since("yesterday").await), ["Ana"]);
    caller.quirk("since_is_exact", false);
    caller.quirk("contacts_heed_since", false);
    assert_eq!(names(&since("2999-01-01T00:00:00+0000").await), ["Ana"]);
    caller.quirk("stamp_absent", true);
    assert_eq!(caller.get(&contacts("")).await.body["contacts"][0].get("last_modified_time"), None);
}

#[tokio::test]
async fn a_list_shows_a_part_and_is_searched_by_a_value_its_beginning_or_a_piece() {
    let caller = books().await;
    let body = json!({ "contact_name": "Ana Ltd", "email": "ana@acme.test", "phone": "+49301", "website": "acme.test" });
    let made = caller.post(&one("contacts"), &body).await.body["contact"].clone();
    assert_eq!((&made["website"], &made["contact_persons"][0]["email"]), (&json!("acme.test"), &json!("ana@acme.test")));
    let found = async |query: &str| caller.get(&contacts(query)).await;
    for query in ["&email=ANA@acme.test", "&email_startswith=ana@", "&contact_name_contains=na l", "&phone=%2B49301"] {
        assert_eq!(names(&found(query).await), ["Ana Ltd"], "{query}");
    }
    for query in ["&email=ana@acme", "&email=%25", "&filter_by=Status.Inactive"] {
        assert!(names(&found(query).await).is_empty(), "{query}");
    }
    let row = found("").await.body["contacts"][0].clone();
    assert_eq!((row.get("website"), row.get("contact_persons"), &row["mobile"]), (None, None, &json!("")));
    let id = made["contact_id"].as_str().unwrap();
    assert_eq!(code(&caller.post(&one(&format!("contacts/{id}/inactive")), &Value::Null).await), (200, 0));
    assert_eq!(names(&found("&filter_by=Status.Inactive").await), ["Ana Ltd"]);
}

#[tokio::test]
async fn a_display_name_is_one_contacts_and_an_unknown_id_has_a_code() {
    let caller = books().await;
    let ana = contact(&caller, "Ana").await;
    let again = caller.post(&one("contacts"), &json!({ "contact_name": "ANA" })).await;
    assert_eq!(code(&again), (400, 3062));
    assert!(again.text.contains("already exists. Please specify a different name."), "{}", again.text);
    let put = async |id: &str, body: Value| caller.send(Method::PUT, &one(&format!("contacts/{id}")), &body).await;
    assert_eq!(code(&put(&ana, json!({ "contact_name": "Ana", "phone": "1" })).await), (200, 0), "its own name");
    assert_eq!(code(&put("7", json!({ "phone": "1" })).await), (404, 1002));
    assert_eq!(code(&put(&ana, json!({ "contact_name": "" })).await), (400, 2));
    assert_eq!(code(&put(&ana, json!({ "email": "no address" })).await), (400, 2));
    assert_eq!(put(&ana, json!({ "shoe_size": "42", "status": "inactive" })).await.body["contact"]["status"], "active");
    caller.quirk("same_name_max", 2);
    contact(&caller, "ana").await;
    caller.quirk("missing_status", 400);
    assert_eq!(code(&caller.get(&one("contacts/7")).await), (400, 1002));
    caller.quirk("refusals_are_200", true);
    assert_eq!(code(&caller.get(&one("contacts/7")).await), (200, 1002));
    caller.quirk("unknown_fields_ignored", false);
    assert_eq!(code(&put(&ana, json!({ "shoe_size": "42" })).await), (200, 2));
}

#[tokio::test]
async fn persons_that_are_sent_take_the_place_of_those_there_were() {
    let caller = books().await;
    let body = json!({ "contact_name": "Ana", "email": "ana@acme.test", "phone": "+49301" });
    let id = caller.post(&one("contacts"), &body).await.body["contact"]["contact_id"].as_str().unwrap().to_owned();
    let put = async |body: Value| caller.send(Method::PUT, &one(&format!("contacts/{id}")), &body).await.body["contact"].clone();
    let replaced = put(json!({ "contact_persons": [{ "email": "bo@acme.test", "is_primary_contact": true }] })).await;
    assert_eq!((&replaced["email"], &replaced["phone"]), (&json!("bo@acme.test"), &json!("")));
    caller.quirk("persons_only", true);
    let ignored = put(json!({ "email": "cy@acme.test" })).await;
    assert_eq!((ignored.get("email"), &ignored["contact_persons"][0]["email"]), (None, &json!("bo@acme.test")));
}

#[tokio::test]
async fn a_unique_custom_field_leads_to_its_record_or_to_a_new_one() {
    let caller = books().await;
    let field = caller.crm().add_property(ObjectType::Contacts, "order key", "text", true).unwrap();
    assert_eq!(field, "cf_order_key");
    let put = async |value: &str, upsert: bool, body: Value| {
        let request = caller.request(Method::PUT, &one("contacts")).header("X-Unique-Identifier-Key", &field);
        let request = request.header("X-Unique-Identifier-Value", value).header("X-Upsert", upsert.to_string());
        Reply::read(request.json(&body)).await
    };
    let ana = json!({ "contact_name": "Ana", "custom_fields": [{ "api_name": field, "value": "A-1" }] });
    assert_eq!(code(&put("A-1", false, ana.clone()).await), (404, 1002));
    let made = put("A-1", true, ana).await;
    assert_eq!((made.status, &made.body["contact"][&field]), (201, &json!("A-1")), "{}", made.text);
    let again = put("A-1", true, json!({ "contact_name": "Anna" })).await;
    assert_eq!((again.status, &again.body["contact"]["contact_id"]), (200, &made.body["contact"]["contact_id"]));
    // Without the field among those sent the next upsert would not find it.
    assert_eq!(put("B-1", true, json!({ "contact_name": "Bo" })).await.body["contact"].get(&field), None);
    caller.quirk("upsert_sets_key", true);
    assert_eq!(put("C-1", true, json!({ "contact_name": "Cy" })).await.body["contact"][&field], "C-1");
    let taken = json!({ "contact_name": "Di", "custom_fields": [{ "label": "order key", "value": "A-1" }] });
    assert_eq!(caller.post(&one("contacts"), &taken).await.status, 400);
    let unknown = json!({ "contact_name": "Ed", "custom_fields": [{ "api_name": "cf_boat", "value": "1" }] });
    assert_eq!(code(&caller.post(&one("contacts"), &unknown).await), (400, 2));
    let list = caller.get(&contacts("")).await.body["contacts"].clone();
    assert_eq!(list[0]["custom_field_hash"]["cf_order_key"], "A-1");
}

#[tokio::test]
async fn an_order_adds_up_its_lines_and_holds_its_contact() {
    let caller = books().await;
    let ana = contact(&caller, "Ana").await;
    let lines = json!([{ "name": "Boat", "rate": 12.5, "quantity": 2 }, { "name": "Oar", "rate": 5 }]);
    let body = json!({ "customer_id": ana, "reference_number": "A1", "line_items": lines });
    let made = caller.post(&one("salesorders"), &body).await.body["salesorder"].clone();
    assert_eq!((&made["total"], &made["status"], &made["customer_name"]), (&json!(30.0), &json!("draft"), &json!("Ana")));
    assert_eq!(made["line_items"], lines);
    let list = caller.get(&format!("/books/v3/salesorders?{ORG}&reference_number=a1")).await.body["salesorders"].clone();
    assert_eq!((each(&list, "total"), list[0].get("line_items")), (vec![&json!(30.0)], None));
    assert_eq!(code(&caller.post(&one("salesorders"), &json!({ "customer_id": ana })).await), (400, 2));
    let stranger = json!({ "customer_id": "7", "line_items": lines });
    assert_eq!(code(&caller.post(&one("salesorders"), &stranger).await), (400, 2));
    let delete = async |path: String| caller.send(Method::DELETE, &one(&path), &Value::Null).await;
    assert_eq!(code(&delete(format!("contacts/{ana}")).await), (400, 3000));
    let order = made["salesorder_id"].as_str().unwrap();
    caller.post(&one(&format!("salesorders/{order}/status/void")), &Value::Null).await;
    assert_eq!(caller.get(&one(&format!("salesorders/{order}"))).await.body["salesorder"]["status"], "void");
    assert_eq!(code(&delete(format!("salesorders/{order}")).await), (200, 0));
    assert_eq!(code(&caller.get(&one(&format!("salesorders/{order}"))).await), (404, 1002));
    assert_eq!(code(&delete(format!("contacts/{ana}")).await), (200, 0));
}

#[tokio::test]
async fn a_rename_stamps_no_order_and_a_merge_leaves_one_contact() {
    let caller = books().await;
    let (ana, bo) = (contact(&caller, "Ana").await, contact(&caller, "Bo").await);
    let body = json!({ "customer_id": ana, "line_items": [{ "name": "Boat", "rate": "9.50" }] });
    let order = caller.post(&one("salesorders"), &body).await.body["salesorder"]["salesorder_id"].as_str().unwrap().to_owned();
    caller.crm().edit(ObjectType::Contacts, &ana, &[("contact_name", "Anna")]).unwrap();
    assert_eq!(caller.get(&one(&format!("salesorders/{order}"))).await.body["salesorder"]["customer_name"], "Anna");
    assert_eq!(caller.crm().versions(ObjectType::Deals, &order).unwrap().len(), 1);
    caller.crm().merge(ObjectType::Contacts, &ana, &bo).unwrap();
    assert_eq!(names(&caller.get(&contacts("")).await), ["Anna"]);
    assert_eq!(code(&caller.get(&one(&format!("contacts/{bo}"))).await), (404, 1002));
    caller.weather(Weather { merged_redirect: true, ..Weather::calm() });
    assert_eq!(caller.get(&one(&format!("contacts/{bo}"))).await.body["contact"]["contact_id"], json!(ana));
}

#[tokio::test]
async fn every_call_names_the_organisation() {
    let caller = books().await;
    assert_eq!(code(&caller.get("/books/v3/contacts").await), (400, 6041));
    assert_eq!(code(&caller.get("/books/v3/contacts?organization_id=1").await), (400, 6041));
    let all = caller.get("/books/v3/organizations").await.body;
    assert_eq!(each(&all["organizations"], "organization_id"), ["24539219"]);
    assert_eq!(caller.get(&one("organizations/24539219")).await.body["organization"]["organization_id"], "24539219");
    assert_eq!(code(&caller.get(&one("boats")).await), (404, 5));
}

#[tokio::test]
async fn each_limit_has_a_code_and_the_day_is_told_in_headers() {
    let caller = books().await;
    caller.quirk("daily_calls_max", 3);
    let call = async || caller.get(&one("organizations")).await;
    let first = call().await;
    assert_eq!((first.header("x-rate-limit-limit"), first.header("x-rate-limit-remaining")), ("3", "2"));
    assert!(first.header("x-rate-limit-reset").parse::<u64>().unwrap() <= 86_400);
    call().await;
    call().await;
    let spent = call().await;
    assert_eq!((code(&spent), spent.header("retry-after")), ((429, 45), ""));
    caller.quirk("limit_headers", false);
    caller.quirk("daily_calls_max", 2000);
    caller.quirk("minute_calls_max", 4);
    assert_eq!(call().await.header("x-rate-limit-limit"), "");
    assert_eq!(code(&call().await), (429, 44));
    caller.quirk("minute_calls_max", 1000);
    assert_eq!(code(&call().await), (429, 44), "blocked for a while");
    caller.quirk("block_secs", 0);
    assert_eq!(code(&call().await), (200, 0));
    caller.quirk("concurrent_max", 0);
    assert_eq!(code(&call().await), (429, 1070));
}

#[tokio::test]
async fn a_refusal_under_200_looks_like_a_success_to_those_who_read_the_status() {
    let caller = books().await;
    caller.crm().force_next(ForcedAnswer { shape: Some("200 refused".to_owned()), ..ForcedAnswer::default() });
    let refused = caller.get(&contacts("")).await;
    assert_eq!((code(&refused), refused.body.get("contacts")), ((200, 1000), None));
}

#[tokio::test]
async fn a_token_is_sent_under_the_vendors_own_scheme() {
    let caller = books().await;
    let query = format!("/oauth/v2/token?grant_type=refresh_token&refresh_token={TOKEN}");
    let token = Reply::read(caller.bare(Method::POST, &query)).await.body["access_token"].as_str().unwrap().to_owned();
    let with = async |scheme: &str| {
        Reply::read(caller.bare(Method::GET, &one("organizations")).header("authorization", format!("{scheme} {token}"))).await
    };
    assert_eq!(code(&with("Zoho-oauthtoken").await), (200, 0));
    assert_eq!(code(&with("Bearer").await), (401, 57));
    caller.crm().expire_access_tokens();
    assert_eq!(code(&with("Zoho-oauthtoken").await), (401, 57));
    assert_eq!(code(&Reply::read(caller.bare(Method::GET, &one("organizations"))).await), (401, 14));
}
