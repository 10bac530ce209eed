//! Pipedrive by its file: what is asked in its words, and what its answers come to.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails the test")]

mod server;

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::SecretString;
use serde_json::{Value, json};
use server::{Desk, Say, say, say_nothing, say_text, spec};
use tidemark_core::failure::{Class, Failure};
use tidemark_core::record::RemoteId;
use tidemark_core::source::{Next, Page};
use tidemark_core::spec::ConnectionSpec;
use tidemark_crm::{Account, Answer, Bucket, Catalog, Crm, LookUp, Need, PageRequest, ReadIds, WriteBatch, WriteItem, WriteKind};

const NOON: i64 = 1_772_366_400_000;
const TOKEN: &str = "0123456789abcdef";

fn connection(base: Option<String>) -> ConnectionSpec {
    let settings = BTreeMap::from([("company".to_owned(), "acme".to_owned())]);
    ConnectionSpec { connector: "pipedrive".to_owned(), settings, ..spec(base) }
}

fn crm(desk: &Desk) -> Arc<dyn Crm> {
    let secrets = BTreeMap::from([("token".to_owned(), SecretString::from(TOKEN))]);
    Catalog::default().connect(&connection(Some(desk.base.clone())), &secrets).unwrap()
}

fn wanted(names: &[&str]) -> Vec<Option<String>> {
    names.iter().map(|name| Some((*name).to_owned())).collect()
}

fn ids(texts: &[&str]) -> Vec<RemoteId> {
    texts.iter().map(|text| RemoteId::new(*text)).collect()
}

fn person(id: u64, minute: u32) -> Value {
    json!({
        "id": id, "name": format!("Person {id}"), "org_id": 5, "is_deleted": false,
        "emails": [{ "value": "old@x.test", "primary": false }, { "value": format!("p{id}@x.test"), "primary": true }],
        "add_time": "2026-01-01T00:00:00Z", "update_time": format!("2026-03-01T12:{minute:02}:00Z"),
        "custom_fields": { "abc": 7, "set": [1, 2], "none": null, "money": { "value": 3, "currency": "EUR" } },
    })
}

fn listed(rows: &[Value], cursor: Option<&str>) -> Say {
    say(200, &json!({ "success": true, "data": rows, "additional_data": { "next_cursor": cursor } }))
}

async fn page(crm: &Arc<dyn Crm>, names: &[&str], position: Option<&Next>, rows_max: u16) -> Answer<Page> {
    let position = match position {
        Some(Next::More(position)) => Some(position),
        _ => None,
    };
    let properties = wanted(names);
    let request = PageRequest {
        object: "persons",
        properties: &properties,
        external_key: None,
        from: NOON,
        until: NOON + 3_600_000,
        position,
        rows_max,
        deletes: false,
        feed: None,
    };
    crm.read_page(&request).await
}

fn item(id: Option<&str>, fields: &[(&str, Option<&str>)]) -> WriteItem {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect();
    WriteItem { trace: "t1".to_owned(), id: id.map(RemoteId::new), key: None, version: None, fields }
}

#[tokio::test]
async fn a_window_is_asked_for_by_its_bounds_and_followed_by_its_cursor() {
    let desk = Desk::saying(vec![listed(&[person(1, 1), person(2, 2)], Some("c+/=1")), listed(&[person(3, 3)], None)]).await;
    let crm = crm(&desk);
    let names = ["name", "email", "custom_fields.abc", "custom_fields.set", "custom_fields.none", "custom_fields.money", "phone"];
    let first = page(&crm, &names, None, 2).await.result.unwrap();
    let record = &first.records[0];
    assert_eq!((record.id.as_str(), record.modified, record.archived), ("1", Some(NOON + 60_000), false));
    let expected =
        [Some("Person 1"), Some("p1@x.test"), Some("7"), Some("1;2"), None, Some(r#"{"currency":"EUR","value":3}"#), None];
    assert_eq!(record.values.iter().map(|value| value.as_deref()).collect::<Vec<_>>(), expected);
    let second = page(&crm, &names, Some(&first.next), 2).await.result.unwrap();
    assert_eq!((second.records.len(), &second.next), (1, &Next::Drained));

    let asked = desk.asked();
    let window =
        "updated_since=2026-03-01T12%3A00%3A00Z&updated_until=2026-03-01T13%3A00%3A00Z&sort_by=id&sort_direction=asc&limit=2";
    assert_eq!(asked[0].path, format!("/api/v2/persons?{window}"));
    assert_eq!(asked[1].path, format!("/api/v2/persons?{window}&cursor=c%2B%2F%3D1"));
    assert!(
        asked.iter().all(|asked| asked.method == "GET" && asked.headers["x-api-token"] == TOKEN && asked.authorization.is_none())
    );
}

#[tokio::test]
async fn deleted_deals_are_told_behind_the_window_and_persons_have_no_such_list() {
    let deal = json!({ "id": 7, "title": "Acme", "status": "deleted", "is_deleted": true, "add_time": "2026-01-01T00:00:00Z", "update_time": "2026-03-01T12:05:00Z" });
    let desk = Desk::saying(vec![listed(&[], None), listed(&[deal], None)]).await;
    let crm = crm(&desk);
    assert!(crm.tells_deletes("deals") && !crm.tells_deletes("persons"));
    let properties = wanted(&["title"]);
    let (from, until) = (NOON, NOON + 3_600_000);
    let request = PageRequest {
        object: "deals",
        properties: &properties,
        external_key: None,
        from,
        until,
        position: None,
        rows_max: 2,
        deletes: true,
        feed: None,
    };
    let Next::More(position) = crm.read_page(&request).await.result.unwrap().next else { panic!("the deletes are to follow") };
    let told = crm.read_page(&PageRequest { position: Some(&position), ..request }).await.result.unwrap();
    assert_eq!((told.records[0].id.as_str(), told.records[0].archived, told.next), ("7", true, Next::Drained));
    let since = "status=deleted&updated_since=2026-03-01T12%3A00%3A00Z&sort_by=id&sort_direction=asc&limit=2";
    assert_eq!(desk.asked()[1].path, format!("/api/v2/deals?{since}"));
}

#[tokio::test]
async fn a_cursor_that_comes_again_ends_the_window_with_an_error() {
    let desk = Desk::saying(vec![listed(&[person(1, 1)], Some("c1")), listed(&[person(1, 1)], Some("c1"))]).await;
    let crm = crm(&desk);
    let first = page(&crm, &["name"], None, 1).await.result.unwrap();
    let failure = page(&crm, &["name"], Some(&first.next), 1).await.result.unwrap_err();
    assert_eq!((failure.class, failure.maybe_done), (Class::Malformed, false));
}

#[tokio::test]
async fn an_answer_without_its_list_is_no_empty_page() {
    for body in
        [json!({ "success": true, "data": null }), json!({ "success": true }), json!([]), json!({ "data": [{ "name": "x" }] })]
    {
        let desk = Desk::saying(vec![say(200, &body)]).await;
        let failure = page(&crm(&desk), &["name"], None, 9).await.result.unwrap_err();
        assert_eq!(failure.class, Class::Malformed, "{body}");
    }
    let desk = Desk::saying(vec![listed(&[], None)]).await;
    assert_eq!(
        page(&crm(&desk), &["name"], None, 9).await.result.unwrap(),
        Page { records: vec![], next: Next::Drained, feed: None }
    );
}

#[tokio::test]
async fn a_person_that_was_never_changed_has_the_stamp_of_its_making() {
    let mut new = person(1, 1);
    new["update_time"] = Value::Null;
    let desk = Desk::saying(vec![listed(&[new], None)]).await;
    let read = page(&crm(&desk), &["name"], None, 9).await.result.unwrap();
    assert_eq!(read.records[0].modified, Some(1_767_225_600_000));
}

#[tokio::test]
async fn records_are_read_by_id_in_one_call_and_a_deleted_one_says_so() {
    let mut deleted = person(9, 1);
    deleted["is_deleted"] = json!(true);
    let desk = Desk::saying(vec![
        listed(&[person(1, 1), person(2, 1)], None),
        say(200, &json!({ "success": true, "data": deleted })),
        say(404, &json!({ "success": false, "error": "Person not found", "code": "ERR_NOT_FOUND" })),
    ])
    .await;
    let crm = crm(&desk);
    let properties = wanted(&["name"]);
    let asked = ids(&["1", "2", "3"]);
    let request = ReadIds { object: "persons", properties: &properties, external_key: None, ids: &asked };
    assert_eq!(crm.read_ids(&request).await.result.unwrap().len(), 2);
    let gone = ids(&["9"]);
    let archived = crm.read_archived(&ReadIds { ids: &gone, ..request.clone() }).await.result.unwrap();
    assert!(archived[0].archived);
    let absent = crm.read_archived(&ReadIds { ids: &gone, ..request }).await;
    assert_eq!((absent.result.unwrap(), absent.callout.endpoint.as_str()), (vec![], "/api/v2/persons/{id}"));
    let paths: Vec<String> = desk.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(paths, ["/api/v2/persons?ids=1%2C2%2C3&limit=100", "/api/v2/persons/9", "/api/v2/persons/9"]);
}

#[tokio::test]
async fn an_id_that_would_lead_elsewhere_is_never_sent() {
    let desk = Desk::saying(Vec::new()).await;
    let crm = crm(&desk);
    for id in ["", "..", "."] {
        let items = [item(Some(id), &[])];
        let answer = crm.write(&WriteBatch { object: "persons", kind: WriteKind::Archive, items: &items }).await;
        let failure = answer.result.unwrap_err();
        assert_eq!((failure.class, failure.maybe_done), (Class::Rejected, false), "{id:?}");
    }
    assert!(desk.asked().is_empty());
}

#[tokio::test]
async fn who_was_found_by_an_address_is_believed_to_have_it() {
    let found = json!({ "success": true, "data": { "items": [{ "result_score": 1, "item": { "id": 3, "name": "Ana", "emails": ["ana@x.test"] } }] } });
    let desk = Desk::saying(vec![say(200, &found)]).await;
    let crm = crm(&desk);
    let properties = wanted(&["name", "email"]);
    let values = ["ana+1@x.test".to_owned()];
    let request = LookUp {
        object: "persons",
        properties: &properties,
        external_key: None,
        property: "email",
        values: &values,
        unique: false,
    };
    let records = crm.look_up(&request).await.result.unwrap();
    assert_eq!((records[0].id.as_str(), records[0].values[1].as_deref()), ("3", Some("ana+1@x.test")));
    assert_eq!(desk.asked()[0].path, "/api/v2/persons/search?term=ana%2B1%40x.test&fields=email&exact_match=true&limit=100");
    let by_stage = crm.look_up(&LookUp { property: "stage", ..request }).await.result.unwrap_err();
    assert_eq!(by_stage.class, Class::Schema);
    assert!(!crm.is_unique("persons", "email") && crm.search_bucket() == Bucket::Search);
}

#[tokio::test]
async fn a_create_is_sent_in_the_crms_shape_and_answers_what_it_holds() {
    let fields = json!({ "success": true, "data": [
        { "field_code": "name", "field_type": "varchar", "is_custom_field": false },
        { "field_code": "abc", "field_type": "double", "is_custom_field": true },
        { "field_code": "col", "field_type": "enum", "is_custom_field": true, "options": [{ "id": 4, "label": "red" }, { "id": 5, "label": "blue" }] },
        { "field_code": "update_time", "field_type": "date", "is_custom_field": false },
    ] });
    let held = json!({ "success": true, "data": { "id": 31, "name": "Ana R", "emails": [{ "value": "ana@x.test", "primary": true }],
        "update_time": "2026-03-01T12:00:00Z", "custom_fields": { "abc": 1.5 } } });
    let desk = Desk::saying(vec![say(200, &fields), say(201, &held)]).await;
    let crm = crm(&desk);
    assert_eq!(crm.need("persons"), Some(Need::Describe("persons".to_owned())));
    crm.meet(&Need::Describe("persons".to_owned())).await.result.unwrap();
    assert_eq!(crm.need("persons"), None);

    let fields = [
        ("name", Some("Ana")),
        ("email", Some("ana@x.test")),
        ("phone", None),
        ("org_id", Some("5")),
        ("custom_fields.abc", Some("1.50")),
        ("custom_fields.col", Some("4")),
    ];
    let items = [item(None, &fields)];
    let outcomes = crm.write(&WriteBatch { object: "persons", kind: WriteKind::Create, items: &items }).await.result.unwrap();
    let written = outcomes[0].as_ref().unwrap();
    assert_eq!((written.id.as_str(), written.modified, written.created), ("31", Some(NOON), Some(true)));
    let answered: Vec<_> = written.fields.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
    assert_eq!(answered, [("name", Some("Ana R")), ("email", Some("ana@x.test")), ("custom_fields.abc", Some("1.5"))]);
    let asked = &desk.asked()[1];
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/api/v2/persons"));
    let sent = json!({ "name": "Ana", "emails": [{ "value": "ana@x.test", "primary": true, "label": "work" }], "phones": [], "org_id": 5,
        "custom_fields": { "abc": 1.5, "col": 4 } });
    assert_eq!(asked.body, sent);
}

#[tokio::test]
async fn what_the_crm_could_not_take_is_refused_unsent_with_its_property() {
    let desk = Desk::saying(Vec::new()).await;
    let crm = crm(&desk);
    for (name, value) in [("org_id", "five"), ("update_time", "2026-01-01")] {
        let items = [item(Some("7"), &[(name, Some(value))])];
        let answer = crm.write(&WriteBatch { object: "persons", kind: WriteKind::Update, items: &items }).await;
        let failure = answer.result.unwrap_err();
        assert_eq!((failure.class, failure.property.as_deref(), failure.maybe_done), (Class::Rejected, Some(name), false));
        assert!(!failure.message.contains(value), "{failure}");
    }
    assert!(desk.asked().is_empty());
}

#[tokio::test]
async fn a_create_whose_answer_names_no_record_may_have_been_done() {
    for answer in
        [say(200, &json!({ "success": true, "data": {} })), say_text(200, "text/html", "<html>"), say_text(500, "text/html", "")]
    {
        let desk = Desk::saying(vec![answer]).await;
        let items = [item(None, &[("name", Some("Ana"))])];
        let answer = crm(&desk).write(&WriteBatch { object: "persons", kind: WriteKind::Create, items: &items }).await;
        let failure = answer.result.and_then(|outcomes| outcomes.into_iter().next().unwrap()).unwrap_err();
        assert!(failure.maybe_done && matches!(failure.class, Class::Retry | Class::Malformed), "{failure:?}");
    }
}

#[tokio::test]
async fn a_record_is_changed_and_archived_by_its_id() {
    let desk = Desk::saying(vec![
        say(200, &json!({ "success": true, "data": { "id": 7, "name": "B", "update_time": "2026-03-01T12:00:05Z" } })),
        say(200, &json!({ "success": true, "data": { "id": 7 } })),
    ])
    .await;
    let crm = crm(&desk);
    let items = [item(Some("7"), &[("name", Some("B"))])];
    let updated = crm.write(&WriteBatch { object: "persons", kind: WriteKind::Update, items: &items }).await.result.unwrap();
    assert_eq!(updated[0].as_ref().unwrap().modified, Some(NOON + 5_000));
    let items = [item(Some("7"), &[])];
    let archived = crm.write(&WriteBatch { object: "persons", kind: WriteKind::Archive, items: &items }).await.result.unwrap();
    assert_eq!(archived[0].as_ref().unwrap().id, RemoteId::new("7"));
    let asked = desk.asked();
    assert_eq!(
        (asked[0].method.as_str(), asked[0].path.as_str(), &asked[0].body),
        ("PATCH", "/api/v2/persons/7", &json!({ "name": "B" }))
    );
    assert_eq!((asked[1].method.as_str(), asked[1].path.as_str(), asked[1].text.as_str()), ("DELETE", "/api/v2/persons/7", ""));
}

#[tokio::test]
async fn a_reference_is_a_property_like_others() {
    let desk = Desk::saying(vec![
        listed(&[json!({ "id": 1, "person_id": 31 }), json!({ "id": 2, "person_id": null })], None),
        say(200, &json!({ "success": true, "data": { "id": 1 } })),
        say(200, &json!({ "success": true, "data": { "id": 1 } })),
    ])
    .await;
    let crm = crm(&desk);
    let read = crm.read_references("deals", "persons", &ids(&["1", "2"])).await.result.unwrap();
    assert_eq!(read, [(RemoteId::new("1"), ids(&["31"]))]);
    let pair = [(RemoteId::new("1"), RemoteId::new("32"))];
    assert_eq!(crm.refer("deals", "persons", &pair).await.result.unwrap(), [Ok(())]);
    assert_eq!(crm.unrefer("deals", "persons", &pair).await.result.unwrap(), [Ok(())]);
    assert_eq!(desk.asked()[1].body, json!({ "person_id": 32 }));
    assert_eq!(desk.asked()[2].body, json!({ "person_id": null }));
    assert_eq!(crm.read_references("persons", "deals", &ids(&["1"])).await.result.unwrap_err().class, Class::Schema);
}

async fn refused(say: Say) -> Failure {
    let desk = Desk::saying(vec![say]).await;
    let answer = page(&crm(&desk), &["name"], None, 9).await;
    let failure = answer.result.unwrap_err();
    assert_eq!(answer.callout.class, Some(failure.class));
    failure
}

#[tokio::test]
async fn every_refusal_of_pipedrive_has_its_class() {
    let error = |text: &str, code: &str| json!({ "success": false, "error": text, "error_info": "see the docs", "data": null, "code": code });
    let check = async |status, body: Value, class| {
        let failure = refused(say(status, &body)).await;
        assert_eq!((failure.class, failure.status), (class, Some(status)), "{failure}");
    };
    check(400, error("Validation failed: bad", "ERR_SCHEMA_VALIDATION_FAILED"), Class::Rejected).await;
    check(401, error("unauthorized access", ""), Class::Auth).await;
    check(402, error("Payment required", ""), Class::Scope).await;
    check(403, error("Your plan is full", "feature_capping_deals_limit"), Class::Rejected).await;
    check(403, error("Scope and URL mismatch", ""), Class::Scope).await;
    check(404, error("Deal not found", "ERR_NOT_FOUND"), Class::Gone).await;
    check(410, error("Deleted", ""), Class::Gone).await;
    check(429, error("Daily API token budget exceeded", ""), Class::DayBudget).await;
    check(429, error("Rate limit exceeded", ""), Class::Throttled).await;
    check(502, error("Bad gateway", ""), Class::Retry).await;
    check(200, error("Something went wrong", ""), Class::Rejected).await;
    let html = refused(say_text(403, "text/html", "<html>blocked</html>")).await;
    assert_eq!((html.class, html.wait.map(|wait| wait.as_secs())), (Class::Throttled, Some(900)));
}

#[tokio::test]
async fn the_account_is_the_companys_number_and_the_token_is_never_said() {
    let echo = json!({ "success": false, "error": format!("token {TOKEN} is expired") });
    let desk = Desk::saying(vec![
        say(200, &json!({ "success": true, "data": { "id": 3, "company_id": 123 } })),
        say(401, &echo),
        say_nothing(200),
    ])
    .await;
    let crm = crm(&desk);
    let account = crm.account().await.result.unwrap();
    assert_eq!(account, Account { id: "123".to_owned(), environment: "production".to_owned() });
    let failure = crm.account().await.result.unwrap_err();
    assert!(failure.message.contains("[secret]") && !failure.message.contains(TOKEN), "{failure}");
    assert_eq!(crm.account().await.result.unwrap_err().class, Class::Malformed);
    assert!(!format!("{crm:?}").contains(TOKEN));
}

#[test]
fn a_connection_that_lacks_something_is_refused_in_words() {
    let refused = |spec: &ConnectionSpec, secret: &str| {
        let secrets = BTreeMap::from([(secret.to_owned(), SecretString::from(TOKEN))]);
        Catalog::default().connect(spec, &secrets).map(drop).unwrap_err().to_string()
    };
    let check = |text: String, part: &str| assert!(text.contains(part), "{text}");
    check(refused(&connection(None), "tokn"), "connections.main.secret.token is missing: a personal API token");
    let set = |name: &str, text: &str| {
        let settings = BTreeMap::from([(name.to_owned(), text.to_owned())]);
        ConnectionSpec { settings, ..connection(None) }
    };
    check(refused(&set("compny", "acme"), "token"), "settings.compny is not known to pipedrive; known are company");
    check(
        refused(&ConnectionSpec { settings: BTreeMap::new(), ..connection(None) }, "token"),
        "settings.company is missing: the company's domain",
    );
    check(refused(&set("company", "evil.test/x"), "token"), "settings.company is part of a host");
    check(refused(&set("company", "a@evil"), "token"), "settings.company is part of a host");
}

#[test]
fn the_vendors_budget_is_paced_below_its_windows() {
    let secrets = BTreeMap::from([("token".to_owned(), SecretString::from(TOKEN))]);
    let limits = Catalog::default().connect(&connection(None), &secrets).unwrap().limits();
    let limits: Vec<_> = limits.iter().map(|limit| (limit.bucket, limit.per_second, limit.burst)).collect();
    assert_eq!(limits, [(Bucket::General, 8.0, 4), (Bucket::Search, 4.0, 2)]);
}
