//! Mailchimp's dialect over a real connection.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod caller;

use caller::{Caller, Reply, TOKEN, each};
use reqwest::Method;
use serde_json::{Value, json};
use tidemark_sandbox::{Dialect, ObjectType, Weather};

const LIST: &str = "/3.0/lists/a1b2c3d4e5";
const ANA: &str = "/3.0/lists/a1b2c3d4e5/members/f4c0e2f54a2b4ea7ad8f2fd5a2d9f1ab";

async fn mailchimp() -> Caller {
    Caller::new(Dialect::Mailchimp, ("authorization", &format!("Bearer {TOKEN}"))).await
}

fn member(address: &str) -> Value {
    json!({ "email_address": address, "status_if_new": "subscribed" })
}

/// Puts a member under its hash, which is taken from a first answer by address. Returns the member.
async fn put(caller: &Caller, address: &str) -> Value {
    let reply = caller.send(Method::PUT, &format!("{LIST}/members/{address}"), &member(address)).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.body
}

fn addresses(body: &Value) -> Vec<String> {
    each(&body["members"], "email_address").into_iter().map(|address| address.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_put_makes_a_member_once_and_then_changes_it() {
    let caller = mailchimp().await;
    let made = put(&caller, "Ana@acme.test").await;
    assert_eq!((made["status"].as_str(), made["email_address"].as_str()), (Some("subscribed"), Some("Ana@acme.test")));
    let path = format!("{LIST}/members/{}", made["id"].as_str().unwrap());
    let change = json!({ "status_if_new": "pending", "merge_fields": { "FNAME": "Ana", "SHOE": "42" } });
    let changed = caller.send(Method::PUT, &path, &change).await.body;
    assert_eq!((&changed["status"], &changed["merge_fields"]["FNAME"]), (&json!("subscribed"), &json!("Ana")));
    assert_eq!(changed["merge_fields"].get("SHOE"), None);
    caller.quirk("unknown_merge_fields_ignored", false);
    assert_eq!(caller.send(Method::PUT, &path, &change).await.status, 400);
    let again =
        caller.post(&format!("{LIST}/members"), &json!({ "email_address": "ANA@acme.test", "status": "subscribed" })).await;
    assert_eq!((again.status, &again.body["title"]), (400, &json!("Member Exists")));
    assert!(again.header("content-type").starts_with("application/problem+json"));
    assert_eq!(caller.crm().list(ObjectType::Contacts).len(), 1);
}

#[tokio::test]
async fn the_id_changes_with_the_address_and_the_contact_id_stays() {
    let caller = mailchimp().await;
    let before = put(&caller, "ana@acme.test").await;
    let old = format!("{LIST}/members/{}", before["id"].as_str().unwrap());
    let after = caller.send(Method::PATCH, &old, &json!({ "email_address": "ana@home.test" })).await.body;
    assert_ne!(before["id"], after["id"]);
    assert_eq!((&before["contact_id"], &before["unique_email_id"]), (&after["contact_id"], &after["unique_email_id"]));
    assert_eq!(caller.get(&old).await.status, 404);
    let by_contact = format!("{LIST}/members/{}", before["contact_id"].as_str().unwrap());
    assert_eq!(caller.get(&by_contact).await.body["email_address"], "ana@home.test");
    assert_eq!(caller.crm().versions(ObjectType::Contacts, after["contact_id"].as_str().unwrap()).unwrap().len(), 2);
}

#[tokio::test]
async fn since_leaves_out_its_own_second_and_before_does_too() {
    let caller = mailchimp().await;
    let changed = put(&caller, "ana@acme.test").await["last_changed"].as_str().unwrap().to_owned();
    assert!(changed.ends_with("+00:00") && !changed.contains('.'), "{changed}");
    let stamp = changed.replace('+', "%2B");
    let total = async |query: &str| caller.get(&format!("{LIST}/members?{query}")).await.body["total_items"].clone();
    assert_eq!(total(&format!("since_last_changed={stamp}")).await, 0);
    assert_eq!(total(&format!("before_last_changed={stamp}")).await, 0);
    caller.quirk("since_is_exclusive", false);
    assert_eq!(total(&format!("since_last_changed={stamp}")).await, 1);
}

#[tokio::test]
async fn a_plus_that_was_not_encoded_brings_every_member() {
    let caller = mailchimp().await;
    put(&caller, "ana@acme.test").await;
    let path = format!("{LIST}/members?since_last_changed=2099-01-01T00:00:00+00:00");
    assert_eq!(caller.get(&path).await.body["total_items"], 1);
    assert_eq!(caller.get(&path.replace('+', "%2B")).await.body["total_items"], 0);
    caller.quirk("bad_times_ignored", false);
    assert_eq!(caller.get(&path).await.status, 400);
}

#[tokio::test]
async fn positions_as_pages_lose_a_quiet_member_when_another_one_leaves_the_window() {
    let caller = mailchimp().await;
    for at in 0..4 {
        put(&caller, &format!("m{at}@acme.test")).await;
    }
    let path = format!("{LIST}/members?sort_field=timestamp_opt&sort_dir=ASC&status=subscribed&count=2");
    let first = addresses(&caller.get(&path).await.body);
    caller.send(Method::PATCH, &format!("{LIST}/members/{}", first[0]), &json!({ "status": "unsubscribed" })).await;
    let second = addresses(&caller.get(&format!("{path}&offset=2")).await.body);
    assert_eq!((first, second), (vec!["m0@acme.test".to_owned(), "m1@acme.test".to_owned()], vec!["m3@acme.test".to_owned()]));
}

#[tokio::test]
async fn equal_seconds_may_change_places_between_pages() {
    let caller = mailchimp().await;
    for at in 0..6 {
        put(&caller, &format!("m{at}@acme.test")).await;
    }
    let path = format!("{LIST}/members?count=6");
    let calm = addresses(&caller.get(&path).await.body);
    assert_eq!(calm, addresses(&caller.get(&path).await.body));
    caller.weather(Weather { unstable_ties: true, ..Weather::calm() });
    let mut orders = Vec::new();
    for _ in 0..5 {
        orders.push(addresses(&caller.get(&path).await.body));
    }
    assert!(orders.iter().any(|order| *order != calm));
}

#[tokio::test]
async fn an_archived_member_stays_and_a_forgotten_one_may_not_come_back() {
    let caller = mailchimp().await;
    put(&caller, "ana@acme.test").await;
    let path = format!("{LIST}/members/ana@acme.test");
    assert_eq!(caller.send(Method::DELETE, &path, &Value::Null).await.status, 204);
    assert_eq!(caller.get(&path).await.body["status"], "archived");
    assert_eq!(caller.send(Method::DELETE, &path, &Value::Null).await.status, 405);
    assert_eq!(caller.get(&format!("{LIST}/members")).await.body["total_items"], 1);
    caller.quirk("list_has_archived", false);
    assert_eq!(caller.get(&format!("{LIST}/members")).await.body["total_items"], 0);
    assert_eq!(caller.get(&format!("{LIST}/members?status=archived")).await.body["total_items"], 1);
    assert_eq!(caller.post(&format!("{path}/actions/delete-permanent"), &Value::Null).await.status, 204);
    assert_eq!(caller.get(&path).await.status, 404);
    let back = caller.send(Method::PUT, &path, &member("ana@acme.test")).await;
    assert_eq!((back.status, &back.body["title"]), (400, &json!("Forgotten Email Not Subscribed")));
    caller.quirk("forgotten", false);
    assert_eq!(caller.send(Method::PUT, &path, &member("ana@acme.test")).await.status, 200);
}

#[tokio::test]
async fn who_left_by_themselves_cannot_be_subscribed_by_the_api() {
    let caller = mailchimp().await;
    let contact = put(&caller, "ana@acme.test").await["contact_id"].as_str().unwrap().to_owned();
    let path = format!("{LIST}/members/ana@acme.test");
    let subscribe = json!({ "status": "subscribed" });
    caller.send(Method::PATCH, &path, &json!({ "status": "unsubscribed" })).await;
    assert_eq!(caller.send(Method::PATCH, &path, &subscribe).await.status, 200);
    caller.crm().edit(ObjectType::Contacts, &contact, &[("status", "unsubscribed")]).unwrap();
    let refused = caller.send(Method::PATCH, &path, &subscribe).await;
    assert_eq!((refused.status, &refused.body["title"]), (400, &json!("Member In Compliance State")));
    caller.quirk("compliance", false);
    assert_eq!(caller.send(Method::PATCH, &path, &subscribe).await.status, 200);
}

#[tokio::test]
async fn a_batch_answers_200_and_tells_per_member_what_failed() {
    let caller = mailchimp().await;
    put(&caller, "ana@acme.test").await;
    let members = json!([
        { "email_address": "ana@acme.test", "status": "subscribed" },
        { "email_address": "ben@acme.test", "status": "subscribed" },
        { "email_address": "not an address", "status": "subscribed" },
        { "email_address": "cleo@acme.invalid", "status": "subscribed" },
    ]);
    let reply = caller.post(LIST, &json!({ "members": members, "update_existing": false })).await;
    let told = (&reply.body["total_created"], &reply.body["total_updated"], &reply.body["error_count"]);
    assert_eq!((reply.status, told), (200, (&json!(1), &json!(0), &json!(3))));
    let codes = each(&reply.body["errors"], "error_code");
    assert_eq!(codes.iter().filter(|code| **code == "ERROR_CONTACT_EXISTS").count(), 1);
    let reply = caller.post(LIST, &json!({ "members": members, "update_existing": true })).await;
    assert_eq!((&reply.body["total_created"], &reply.body["total_updated"]), (&json!(0), &json!(2)));
    let many: Vec<Value> =
        (0..501).map(|at| json!({ "email_address": format!("m{at}@acme.test"), "status": "subscribed" })).collect();
    assert_eq!(caller.post(LIST, &json!({ "members": many })).await.status, 400);
}

#[tokio::test]
async fn an_eleventh_call_at_the_same_time_is_refused_and_those_who_insist_get_no_json() {
    let caller = mailchimp().await;
    caller.weather(Weather { latency_ms: (1000, 1000), ..Weather::calm() });
    caller.quirk("blunt_after", 2);
    let calls = (0..14).map(|_| tokio::spawn(Reply::read(caller.request(Method::GET, &format!("{LIST}/members")))));
    let mut statuses = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        let reply = call.await.unwrap();
        statuses.push((reply.status, reply.body.is_null()));
    }
    let count = |status: u16| statuses.iter().filter(|(seen, _)| *seen == status).count();
    assert!(count(429) <= 2 && count(403) > 0 && count(200) >= 10, "{statuses:?}");
    assert!(statuses.iter().all(|(status, bare)| (*status == 403) == *bare), "{statuses:?}");
    assert_eq!(caller.crm().counters().at_once_max, 14);
}

#[tokio::test]
async fn a_key_is_sent_as_basic_or_bearer_and_a_dead_one_is_told_apart_from_a_throttle() {
    let caller = mailchimp().await;
    let basic = caller.bare(Method::GET, "/3.0/ping").basic_auth("anything", Some(TOKEN));
    assert_eq!(Reply::read(basic).await.status, 200);
    caller.crm().set_token(None);
    let dead = caller.get("/3.0/ping").await;
    assert_eq!((dead.status, &dead.body["title"]), (401, &json!("API Key Invalid")));
    caller.quirk("translated_titles", true);
    assert_ne!(caller.get("/3.0/ping").await.body["title"], "API Key Invalid");
}

#[tokio::test]
async fn what_is_not_there_or_not_asked_for_is_left_out() {
    let caller = mailchimp().await;
    assert_eq!(caller.get(ANA).await.status, 404);
    assert_eq!(caller.get("/3.0/lists/other/members").await.status, 404);
    assert_eq!(caller.get(&format!("{LIST}/members?count=1001")).await.status, 400);
    put(&caller, "ana@acme.test").await;
    let body = caller.get(&format!("{LIST}/members?exclude_fields=members._links,_links")).await.body;
    assert_eq!((body.get("_links"), body["members"][0].get("_links")), (None, None));
    let field = json!({ "tag": "ORDERS", "name": "Orders", "type": "number" });
    assert_eq!(caller.post(&format!("{LIST}/merge-fields"), &field).await.body["tag"], "ORDERS");
    let change = json!({ "merge_fields": { "ORDERS": "many" } });
    assert_eq!(caller.send(Method::PATCH, &format!("{LIST}/members/ana@acme.test"), &change).await.status, 400);
}
