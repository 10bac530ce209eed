//! Salesforce's dialect over a real connection.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod caller;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use caller::{Caller, Reply, TOKEN, each};
use reqwest::Method;
use serde_json::{Value, json};
use tidemark_sandbox::{Dialect, ObjectType, Weather};

const DATA: &str = "/services/data/v62.0";

async fn salesforce() -> Caller {
    Caller::new(Dialect::Salesforce, ("authorization", &format!("Bearer {TOKEN}"))).await
}

async fn soql(caller: &Caller, verb: &str, query: &str) -> Reply {
    Reply::read(caller.request(Method::GET, &format!("{DATA}/{verb}")).query(&[("q", query)])).await
}

async fn contact(caller: &Caller, name: &str) -> String {
    let made = caller.post(&format!("{DATA}/sobjects/Contact"), &json!({ "LastName": name })).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.body["id"].as_str().unwrap().to_owned()
}

fn names(body: &Value) -> Vec<String> {
    each(&body["records"], "LastName").into_iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn code(reply: &Reply) -> (u16, &str) {
    (reply.status, reply.body[0]["errorCode"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_reader_by_keyset_meets_every_record_of_one_second_once() {
    let caller = salesforce().await;
    for at in 0..7 {
        contact(&caller, &at.to_string()).await;
    }
    let (mut met, mut stamp, mut id) = (Vec::new(), "2000-01-01T00:00:00Z".to_owned(), "000000000000000".to_owned());
    loop {
        let query = format!(
            "SELECT Id, LastName, SystemModstamp FROM Contact WHERE SystemModstamp < 2999-01-01T00:00:00Z AND \
             (SystemModstamp > {stamp} OR (SystemModstamp = {stamp} AND Id > '{id}')) ORDER BY SystemModstamp ASC, Id ASC LIMIT 3"
        );
        let body = soql(&caller, "query", &query).await.body;
        let Some(last) = body["records"].as_array().unwrap().last() else { break };
        id = last["Id"].as_str().unwrap().to_owned();
        stamp = last["SystemModstamp"].as_str().unwrap().replace(".000+0000", "Z");
        met.extend(names(&body));
    }
    assert_eq!(met, ["0", "1", "2", "3", "4", "5", "6"]);
}

#[tokio::test]
async fn pages_hang_on_a_locator_that_can_be_dropped_or_grow_old() {
    let caller = salesforce().await;
    caller.quirk("page_rows_max", 2);
    for at in 0..5 {
        contact(&caller, &at.to_string()).await;
    }
    let mut page = soql(&caller, "query", "SELECT LastName FROM Contact").await.body;
    assert_eq!((&page["totalSize"], &page["done"]), (&json!(5), &json!(false)));
    let first = page["nextRecordsUrl"].as_str().unwrap().to_owned();
    let mut met = names(&page);
    while let Some(next) = page["nextRecordsUrl"].as_str().map(str::to_owned) {
        page = caller.get(&next).await.body;
        met.extend(names(&page));
    }
    assert_eq!((met.len(), &page["done"]), (5, &json!(true)));
    caller.quirk("locators_max", 1);
    soql(&caller, "query", "SELECT LastName FROM Contact").await;
    assert_eq!(code(&caller.get(&first).await), (400, "INVALID_QUERY_LOCATOR"));
    let again = soql(&caller, "query", "SELECT LastName FROM Contact").await.body["nextRecordsUrl"].as_str().unwrap().to_owned();
    assert_eq!(caller.get(&again).await.status, 200);
    caller.quirk("locator_minutes", 0);
    assert_eq!(code(&caller.get(&again).await), (400, "INVALID_QUERY_LOCATOR"));
}

#[tokio::test]
async fn a_query_is_refused_as_the_vendor_refuses_it() {
    let caller = salesforce().await;
    let check = async |query: &str, expect: &str| {
        assert_eq!(code(&soql(&caller, "query", query).await), (400, expect), "{query}");
    };
    check("SELECT Id FROM Contact WHERE SystemModstamp > '2026-03-01T12:00:00Z'", "INVALID_FIELD").await;
    check("SELECT Id FROM Contact WHERE LastName = 'a' AND Phone = 'b' OR Phone = 'c'", "MALFORMED_QUERY").await;
    check("SELECT Shoe__c FROM Contact", "INVALID_FIELD").await;
    check("SELECT Id FROM Boat", "INVALID_TYPE").await;
    check("SELECT Id FROM Contact OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE").await;
    check("SELECT Id FROM Contact WHERE LastName = name", "MALFORMED_QUERY").await;
    assert_eq!(soql(&caller, "query", "SELECT Id FROM Contact OFFSET 2000").await.status, 200);
    let long = format!("SELECT Id FROM Contact WHERE LastName = '{}'", "x".repeat(16_400));
    assert_eq!(soql(&caller, "query", &long).await.status, 414);
}

#[tokio::test]
async fn filters_sorts_and_counts_mean_what_they_say() {
    let caller = salesforce().await;
    for (name, phone) in [("Ruiz", "1"), ("Adams", "2"), ("Berg", "")] {
        caller.crm().create(ObjectType::Contacts, &[("LastName", name), ("Phone", phone)]).unwrap();
    }
    let check = async |rest: &str, expect: &[&str]| {
        let body = soql(&caller, "query", &format!("SELECT LastName FROM Contact {rest}")).await.body;
        assert_eq!(names(&body), expect, "{rest}");
    };
    check("WHERE LastName = 'ruiz'", &["Ruiz"]).await;
    check("WHERE LastName LIKE '%er_'", &["Berg"]).await;
    check("WHERE Phone != null ORDER BY LastName DESC", &["Ruiz", "Adams"]).await;
    check("WHERE LastName IN ('Ruiz', 'Berg') AND NOT (Phone = '1')", &["Berg"]).await;
    check("ORDER BY Phone", &["Berg", "Ruiz", "Adams"]).await;
    check("ORDER BY Phone NULLS LAST LIMIT 2", &["Ruiz", "Adams"]).await;
    let count = soql(&caller, "query", "SELECT COUNT() FROM Contact").await.body;
    assert_eq!((&count["totalSize"], &count["records"]), (&json!(3), &json!([])));
    let place = soql(&caller, "query", "SELECT Id, IsSandbox FROM Organization").await.body;
    assert_eq!(place["records"][0]["IsSandbox"], true);
}

#[tokio::test]
async fn deleted_and_merged_records_show_to_those_who_ask_for_all_until_they_are_purged() {
    let caller = salesforce().await;
    let (keep, lose, gone) = (contact(&caller, "keep").await, contact(&caller, "lose").await, contact(&caller, "gone").await);
    caller.crm().merge(ObjectType::Contacts, &keep, &lose).unwrap();
    let path = format!("{DATA}/sobjects/Contact/{gone}");
    assert_eq!(caller.send(Method::DELETE, &path, &Value::Null).await.status, 204);
    assert_eq!(code(&caller.get(&path).await), (404, "ENTITY_IS_DELETED"));
    let query = "SELECT LastName, IsDeleted, MasterRecordId FROM Contact ORDER BY Id";
    assert_eq!(names(&soql(&caller, "query", query).await.body), ["keep"]);
    let all = soql(&caller, "queryAll", query).await.body;
    assert_eq!(each(&all["records"], "IsDeleted"), [false, true, true]);
    assert_eq!(each(&all["records"], "MasterRecordId"), [&Value::Null, &json!(keep), &Value::Null]);
    caller.quirk("deleted_days", 0);
    assert_eq!(names(&soql(&caller, "queryAll", query).await.body), ["keep"]);
    assert_eq!(code(&caller.get(&path).await), (404, "NOT_FOUND"));
}

#[tokio::test]
async fn the_feed_of_deletes_says_how_far_it_covers_while_a_change_is_on_its_way() {
    let caller = salesforce().await;
    let gone = contact(&caller, "gone").await;
    caller.crm().delete(ObjectType::Contacts, &gone).unwrap();
    let path = format!("{DATA}/sobjects/Contact/deleted?start=2020-01-01T00:00:00%2B00:00&end=2999-01-01T00:00:00%2B00:00");
    let feed = caller.get(&path).await.body;
    assert_eq!(feed["deletedRecords"][0]["id"], gone);
    let quiet = feed["latestDateCovered"].as_str().unwrap().to_owned();
    caller.weather(Weather { late_commit: 1.0, late_commit_ms: (600_000, 600_000), ..Weather::calm() });
    let open = caller.crm().create(ObjectType::Contacts, &[("LastName", "open")]).unwrap();
    let covered = caller.get(&path).await.body["latestDateCovered"].as_str().unwrap().to_owned();
    let stamp = caller.crm().versions(ObjectType::Contacts, &open).unwrap()[0].stamp.replace(".000Z", ".000+0000");
    assert_eq!(covered, stamp);
    assert!(quiet <= covered);
    let refused = caller.get(&path.replace("deleted?", "updated?")).await;
    assert_eq!(code(&refused), (400, "INVALID_REPLICATION_DATE"));
}

#[tokio::test]
async fn an_upsert_by_external_id_makes_changes_or_asks_which() {
    let caller = salesforce().await;
    caller.crm().add_property(ObjectType::Contacts, "Key", "text", true).unwrap();
    caller.crm().add_property(ObjectType::Contacts, "Loose", "text", false).unwrap();
    let path = format!("{DATA}/sobjects/Contact/Key__c/A%2F1");
    let only = caller.send(Method::PATCH, &format!("{path}?updateOnly=true"), &json!({ "LastName": "Ana" })).await;
    assert_eq!(only.status, 404);
    let made = caller.send(Method::PATCH, &path, &json!({ "LastName": "Ana" })).await;
    assert_eq!((made.status, &made.body["created"]), (201, &json!(true)));
    let again = caller.send(Method::PATCH, &path, &json!({ "LastName": "Anna", "Loose__c": "x" })).await;
    assert_eq!((again.status, &again.body["created"], &again.body["id"]), (200, &json!(false), &made.body["id"]));
    assert_eq!(code(&caller.send(Method::PATCH, &path, &json!({ "Key__c": "B" })).await), (400, "INVALID_FIELD"));
    caller.post(&format!("{DATA}/sobjects/Contact"), &json!({ "LastName": "Ben", "Loose__c": "x" })).await;
    let several = caller.send(Method::PATCH, &format!("{DATA}/sobjects/Contact/Loose__c/x"), &json!({ "LastName": "?" })).await;
    assert_eq!((several.status, several.body.as_array().unwrap().len()), (300, 2));
    let taken = caller.post(&format!("{DATA}/sobjects/Contact"), &json!({ "LastName": "Cleo", "Key__c": "A/1" })).await;
    assert_eq!(code(&taken), (400, "DUPLICATE_VALUE"));
    assert!(taken.text.contains(made.body["id"].as_str().unwrap()));
}

#[tokio::test]
async fn a_collection_answers_200_and_keeps_the_order_of_what_was_sent() {
    let caller = salesforce().await;
    let record = |name: &str, email: &str| json!({ "attributes": { "type": "Contact" }, "LastName": name, "Email": email });
    let path = format!("{DATA}/composite/sobjects");
    let sent =
        json!({ "records": [record("Ana", "ana@acme.test"), record("Ben", "not an address"), record("Cleo", "c@acme.test")] });
    let reply = caller.post(&path, &sent).await;
    assert_eq!((reply.status, each(&reply.body, "success")), (200, vec![&json!(true), &json!(false), &json!(true)]));
    assert_eq!(reply.body[1]["errors"][0]["statusCode"], "INVALID_EMAIL_ADDRESS");
    let mut whole = sent.clone();
    whole["allOrNone"] = json!(true);
    whole["records"][0]["LastName"] = json!("Dora");
    let reply = caller.post(&path, &whole).await;
    assert_eq!(reply.body[0]["errors"][0]["statusCode"], "ALL_OR_NONE_OPERATION_ROLLED_BACK");
    assert_eq!(caller.crm().list(ObjectType::Contacts).len(), 2);
    let ids: Vec<Value> = caller.crm().list(ObjectType::Contacts).iter().map(|row| json!(row.id)).collect();
    let change = |id: &Value| json!({ "attributes": { "type": "Contact" }, "id": id, "Title": "Boss" });
    let reply =
        caller.send(Method::PATCH, &path, &json!({ "records": [change(&ids[0]), change(&json!("003000000000000AAA"))] })).await;
    assert_eq!(each(&reply.body, "success"), [true, false]);
    let read = caller.get(&format!("{path}/Contact?ids={},003Ax0000zzzzzz&fields=Title", ids[0].as_str().unwrap())).await;
    assert_eq!((&read.body[0]["Title"], &read.body[1]), (&json!("Boss"), &Value::Null));
    let gone = caller.send(Method::DELETE, &format!("{path}?ids={}", ids[1].as_str().unwrap()), &Value::Null).await;
    assert_eq!(each(&gone.body, "success"), [true]);
    let many: Vec<Value> = (0..201).map(|at| record(&at.to_string(), "")).collect();
    assert_eq!(caller.post(&path, &json!({ "records": many })).await.status, 400);
}

#[tokio::test]
async fn a_collection_upserts_by_external_id() {
    let caller = salesforce().await;
    caller.crm().add_property(ObjectType::Contacts, "Key", "text", true).unwrap();
    let record = |key: &str, name: &str| json!({ "attributes": { "type": "Contact" }, "Key__c": key, "LastName": name });
    let path = format!("{DATA}/composite/sobjects/Contact/Key__c");
    let body = json!({ "records": [record("1", "Ana"), record("2", "Ben")] });
    let reply = caller.send(Method::PATCH, &path, &body).await;
    assert_eq!(each(&reply.body, "created"), [true, true]);
    let reply = caller.send(Method::PATCH, &path, &json!({ "records": [record("2", "Benno"), record("3", "Cleo")] })).await;
    assert_eq!(each(&reply.body, "created"), [false, true]);
    assert_eq!(caller.crm().list(ObjectType::Contacts).len(), 3);
}

#[tokio::test]
async fn a_twin_is_refused_or_saved_and_answered_as_if_it_were_not() {
    let caller = salesforce().await;
    let path = format!("{DATA}/sobjects/Contact");
    let ana = json!({ "FirstName": "Ana", "LastName": "Ruiz", "Email": "ana@acme.test" });
    let first = caller.post(&path, &ana).await.body["id"].clone();
    let refused = caller.post(&path, &ana).await;
    assert_eq!(code(&refused), (400, "DUPLICATES_DETECTED"));
    assert_eq!(refused.body[0]["duplicateResult"]["matchResults"][0]["matchRecords"][0]["record"]["Id"], first);
    let allowed = caller.request(Method::POST, &path).header("Sforce-Duplicate-Rule-Header", "allowSave=true").json(&ana);
    assert_eq!(Reply::read(allowed).await.status, 201);
    caller.quirk("duplicates_alert", true);
    assert_eq!(caller.post(&path, &ana).await.status, 300);
    assert_eq!(caller.crm().list(ObjectType::Contacts).len(), 3);
}

#[tokio::test]
async fn a_condition_on_the_time_guards_an_update_and_not_a_delete() {
    let caller = salesforce().await;
    let id = contact(&caller, "Ana").await;
    let path = format!("{DATA}/sobjects/Contact/{id}");
    let stamp = caller.get(&path).await.header("last-modified").to_owned();
    let patch = async |since: &str| {
        let request = caller.request(Method::PATCH, &path).header("If-Unmodified-Since", since);
        Reply::read(request.json(&json!({ "Title": "Boss" }))).await.status
    };
    assert_eq!(patch("Sun, 01 Mar 2020 12:00:00 GMT").await, 412);
    assert_eq!(patch("yesterday").await, 400);
    assert_eq!(patch(&stamp).await, 204);
    let fresh = caller.request(Method::GET, &path).header("If-Modified-Since", "Fri, 01 Mar 2999 12:00:00 GMT");
    assert_eq!(Reply::read(fresh).await.status, 304);
    let delete = caller.request(Method::DELETE, &path).header("If-Unmodified-Since", "Sun, 01 Mar 2020 12:00:00 GMT");
    assert_eq!(Reply::read(delete).await.status, 204);
}

#[tokio::test]
async fn an_account_has_a_tag_and_a_contact_has_none() {
    let caller = salesforce().await;
    let id = caller.post(&format!("{DATA}/sobjects/Account"), &json!({ "Name": "Acme" })).await.body["id"].clone();
    let path = format!("{DATA}/sobjects/Account/{}", id.as_str().unwrap());
    let tag = caller.get(&path).await.header("etag").to_owned();
    let patch = async |tag: &str| {
        Reply::read(caller.request(Method::PATCH, &path).header("If-Match", tag).json(&json!({ "Phone": "1" }))).await.status
    };
    assert_eq!((patch(&tag).await, patch(&tag).await), (204, 412));
    let person = contact(&caller, "Ana").await;
    assert_eq!(caller.get(&format!("{DATA}/sobjects/Contact/{person}")).await.header("etag"), "");
}

#[tokio::test]
async fn what_a_record_needs_and_may_hold_is_checked() {
    let caller = salesforce().await;
    let check = async |kind: &str, body: Value, expect: (u16, &str)| {
        let reply = caller.post(&format!("{DATA}/sobjects/{kind}"), &body).await;
        assert_eq!(code(&reply), expect, "{body}: {}", reply.text);
    };
    check("Contact", json!({ "FirstName": "Ana" }), (400, "REQUIRED_FIELD_MISSING")).await;
    check("Contact", json!({ "LastName": "A", "Email": "ana" }), (400, "INVALID_EMAIL_ADDRESS")).await;
    check("Contact", json!({ "LastName": "A", "Shoe__c": 42 }), (400, "INVALID_FIELD")).await;
    check(
        "Contact",
        json!({ "LastName": "A", "SystemModstamp": "2026-03-01T12:00:00Z" }),
        (400, "INVALID_FIELD_FOR_INSERT_UPDATE"),
    )
    .await;
    check("Contact", json!({ "LastName": "x".repeat(256) }), (400, "STRING_TOO_LONG")).await;
    check("Contact", json!({ "LastName": "A", "AccountId": "001000000000000AAA" }), (400, "INVALID_CROSS_REFERENCE_KEY")).await;
    let deal = json!({ "Name": "Sofa", "StageName": "Maybe", "CloseDate": "2026-03-01" });
    check("Opportunity", deal, (400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST")).await;
    assert_eq!(code(&caller.get(&format!("{DATA}/sobjects/Contact/abc")).await), (400, "MALFORMED_ID"));
}

#[tokio::test]
async fn the_schema_tells_its_age() {
    let caller = salesforce().await;
    let path = format!("{DATA}/sobjects/Contact/describe");
    let told = caller.get(&path).await;
    let since = caller.request(Method::GET, &path).header("If-Modified-Since", told.header("last-modified"));
    assert_eq!(Reply::read(since).await.status, 304);
    caller.crm().add_property(ObjectType::Contacts, "Key", "text", true).unwrap();
    let fields = caller.get(&path).await.body;
    let key = fields["fields"].as_array().unwrap().iter().find(|field| field["name"] == "Key__c").unwrap().clone();
    assert_eq!((&key["externalId"], &key["unique"], &key["custom"]), (&json!(true), &json!(true), &json!(true)));
}

#[tokio::test]
async fn a_session_comes_by_three_ways_and_ends_without_saying_when() {
    let caller = salesforce().await;
    let path = "/services/oauth2/token";
    let given = caller.form(path, &format!("grant_type=refresh_token&refresh_token={TOKEN}&client_id=x")).await.body;
    assert_eq!((&given["instance_url"], given.get("expires_in")), (&json!(caller.sandbox.base_url()), None));
    let client = caller.form(path, &format!("grant_type=client_credentials&client_id=x&client_secret={TOKEN}")).await;
    assert_eq!(client.status, 200);
    let statement = |exp: i64| {
        let claims = json!({ "iss": "client", "sub": "robot@practice.test", "aud": "https://login.salesforce.com", "exp": exp });
        let assertion = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
        format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}")
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().cast_signed();
    assert_eq!(caller.form(path, &statement(now + 60)).await.status, 200);
    assert_eq!(caller.form(path, &statement(now - 60)).await.body["error"], "invalid_grant");
    let dead = caller.form(path, "grant_type=refresh_token&refresh_token=other").await;
    assert_eq!((dead.status, &dead.body["error"]), (400, &json!("invalid_grant")));

    let session = given["access_token"].as_str().unwrap();
    let limits = format!("{DATA}/limits");
    let with = async || Reply::read(caller.bare(Method::GET, &limits).bearer_auth(session)).await;
    assert_eq!(with().await.status, 200);
    caller.crm().expire_access_tokens();
    assert_eq!(code(&with().await), (401, "INVALID_SESSION_ID"));
}

#[tokio::test]
async fn the_days_calls_are_counted_aloud_and_refused_with_a_403() {
    let caller = salesforce().await;
    caller.quirk("daily_calls_max", 2);
    let path = format!("{DATA}/limits");
    assert_eq!(caller.get(&path).await.header("sforce-limit-info"), "api-usage=1/2");
    assert_eq!(caller.get(&path).await.body["DailyApiRequests"]["Remaining"], 0);
    let refused = caller.get(&path).await;
    assert_eq!(code(&refused), (403, "REQUEST_LIMIT_EXCEEDED"));
    assert_eq!(refused.body[0]["message"], "TotalRequests Limit exceeded.");
    assert_eq!(refused.header("retry-after"), "");
}

#[tokio::test]
async fn a_late_commit_lands_behind_a_stamp_already_read() {
    let caller = salesforce().await;
    caller.weather(Weather { late_commit: 1.0, late_commit_ms: (300, 300), answers_wait_for_commit: false, ..Weather::calm() });
    let late = contact(&caller, "late").await;
    caller.weather(Weather::calm());
    let read =
        async || soql(&caller, "query", "SELECT LastName, SystemModstamp FROM Contact ORDER BY SystemModstamp, Id").await.body;
    assert_eq!(read().await["totalSize"], 0);
    loop {
        contact(&caller, "later").await;
        // It comes first in the order, before those that were read without it.
        if names(&read().await)[0] == "late" {
            break;
        }
    }
    assert_eq!(caller.crm().versions(ObjectType::Contacts, &late).unwrap()[0].source, "api");
}
