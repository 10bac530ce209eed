//! Zoho CRM by its file: a refresh token, a window without an upper bound behind a header, look-ups by query, lists whose refusal is a list, and two limits with one status.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails the test")]

mod server;

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use server::{Desk, Say, say, say_nothing, spec};
use tidemark_core::failure::Class;
use tidemark_core::record::RemoteId;
use tidemark_core::source::{Next, Order, Paging};
use tidemark_core::spec::ConnectionSpec;
use tidemark_crm::engine::{Connector, Engine};
use tidemark_crm::{Account, Catalog, Crm, LookUp, Need, PageRequest, ReadIds, WriteBatch, WriteItem, WriteKind};

const NOON: i64 = 1_772_366_400_000;

fn crm(desk: &Desk) -> Arc<dyn Crm> {
    let settings = BTreeMap::from([("dc".to_owned(), "eu".to_owned())]);
    let spec = ConnectionSpec {
        connector: "zoho-crm".to_owned(),
        environment: "sandbox".to_owned(),
        settings,
        ..spec(Some(desk.base.clone()))
    };
    let secrets =
        ["client_id", "client_secret", "refresh_token"].map(|name| (name.to_owned(), SecretString::from(format!("{name}&=+"))));
    Catalog::default().connect(&spec, &BTreeMap::from(secrets)).unwrap()
}

/// The same of a vendor whose refresh token is spent by its use.
fn rotating(desk: &Desk, refresh: &str) -> Engine {
    let file = include_str!("../../../connectors/zoho-crm.toml")
        .replace("refused = \"/error\"", "refused = \"/error\"\nrotates = \"/refresh_token\"");
    let connector = Connector::load("zoho-crm", "zoho-crm.toml", &file).map_err(|error| error.to_string()).unwrap();
    let settings = BTreeMap::from([("dc".to_owned(), "eu".to_owned())]);
    let spec = ConnectionSpec { environment: "sandbox".to_owned(), settings, ..spec(Some(desk.base.clone())) };
    let secrets = [("client_id", "id"), ("client_secret", "secret"), ("refresh_token", refresh)];
    let secrets = secrets.map(|(name, text)| (name.to_owned(), SecretString::from(text)));
    Engine::connect(&spec, &BTreeMap::from(secrets), connector).unwrap()
}

fn token() -> Say {
    say(
        200,
        &json!({ "access_token": "1000.t1", "api_domain": "https://www.zohoapis.eu", "token_type": "Bearer", "expires_in": 3600 }),
    )
}

async fn signed_in(answers: Vec<Say>) -> (Desk, Arc<dyn Crm>) {
    let desk = Desk::saying([vec![token()], answers].concat()).await;
    let crm = crm(&desk);
    crm.meet(&Need::SignIn).await.result.unwrap();
    (desk, crm)
}

/// In the organisation's own offset.
fn contact(id: &str, second: u32) -> Value {
    json!({ "id": id, "Last_Name": "Ruiz", "Modified_Time": format!("2026-03-01T17:30:{second:02}+05:30") })
}

fn rows(rows: &[Value], next: Option<&str>) -> Say {
    let info = json!({ "per_page": 2, "count": rows.len(), "more_records": next.is_some(), "next_page_token": next });
    say(200, &json!({ "data": rows, "info": info }))
}

fn wanted() -> Vec<Option<String>> {
    vec![Some("Last_Name".to_owned())]
}

fn page<'a>(properties: &'a [Option<String>], next: Option<&'a Next>) -> PageRequest<'a> {
    let position = match next {
        Some(Next::More(position)) => Some(position),
        _ => None,
    };
    PageRequest {
        object: "Contacts",
        properties,
        external_key: None,
        from: NOON,
        until: NOON + 60_000,
        position,
        rows_max: 2,
        deletes: false,
        feed: None,
    }
}

fn item(id: Option<&str>, key: Option<&str>, name: &str) -> WriteItem {
    let fields = vec![("Last_Name".to_owned(), Some(name.to_owned()))];
    WriteItem { trace: name.to_owned(), id: id.map(RemoteId::new), key: key.map(str::to_owned), version: None, fields }
}

fn refusal(code: &str, details: &Value, message: &str) -> Value {
    json!({ "code": code, "details": details, "message": message, "status": "error" })
}

#[tokio::test]
async fn the_refresh_token_goes_to_the_token_endpoint_alone_and_the_scheme_is_zohos() {
    let org = json!({ "org": [{ "zgid": "7", "type": "sandbox" }] });
    let (desk, crm) = signed_in(vec![say(200, &org)]).await;
    assert_eq!(crm.account().await.result.unwrap(), Account { id: "7".to_owned(), environment: "sandbox".to_owned() });
    let asked = desk.asked();
    assert_eq!((asked[0].path.as_str(), asked[0].authorization.as_deref()), ("/oauth/v2/token", None));
    let form = "grant_type=refresh_token&refresh_token=refresh_token%26%3D%2B&client_id=client_id%26%3D%2B&client_secret=client_secret%26%3D%2B";
    assert_eq!(asked[0].text, form);
    assert_eq!(asked[1].authorization.as_deref(), Some("Zoho-oauthtoken 1000.t1"));
}

#[tokio::test]
async fn a_token_that_is_refused_under_200_is_refused_and_too_many_are_waited_out() {
    let many = json!({ "error_description": "You have made too many requests continuously.", "error": "Access Denied", "status": "failure" });
    let desk = Desk::saying(vec![say(200, &json!({ "error": "invalid_code" })), say(400, &many)]).await;
    let crm = crm(&desk);
    let dead = crm.meet(&Need::SignIn).await.result.unwrap_err();
    assert!(dead.class == Class::Auth && dead.message.contains("invalid_code"), "{dead}");
    let later = crm.meet(&Need::SignIn).await.result.unwrap_err();
    assert_eq!((later.class, later.wait.map(|wait| wait.as_secs())), (Class::Throttled, Some(600)));
}

/// Pages of the feed of deletes, which says no more than whether another follows.
fn gone(ids: &[u64], more: bool) -> Say {
    let row = |id: &u64| json!({ "id": id.to_string(), "type": "recycle", "deleted_time": "2026-03-01T17:31:00+05:30" });
    let rows: Vec<Value> = ids.iter().map(row).collect();
    say(200, &json!({ "data": rows, "info": { "per_page": 2, "more_records": more } }))
}

#[tokio::test]
async fn deletes_are_told_behind_the_window_by_id_and_time_alone_and_read_to_the_last_page_and_back() {
    let answers = vec![say_nothing(304), gone(&[11, 12], true), gone(&[13], false), gone(&[11, 12], true)];
    let (desk, crm) = signed_in(answers).await;
    assert!(crm.tells_deletes("Contacts"));
    let properties = wanted();
    let (mut next, mut told) = (None, Vec::new());
    for _ in 0..4 {
        let request = PageRequest { deletes: true, ..page(&properties, next.as_ref()) };
        let read = crm.read_page(&request).await.result.unwrap();
        told.extend(read.records);
        next = Some(read.next);
    }
    assert_eq!(next, Some(Next::Drained));
    assert_eq!(told.iter().map(|record| record.id.as_str()).collect::<Vec<_>>(), ["11", "12", "13", "11", "12"]);
    assert!(told.iter().all(|record| record.archived && record.modified == Some(NOON + 60_000) && record.values == [None]));
    let asked = desk.asked();
    let paths: Vec<&str> = asked[2..].iter().map(|asked| asked.path.as_str()).collect();
    let all = "/crm/v8/Contacts/deleted?type=all&per_page=2";
    assert_eq!(paths, [all, &format!("{all}&page=2"), &format!("{all}&page=1")]);
    assert!(asked[2..].iter().all(|asked| asked.headers["if-modified-since"] == "2026-03-01T11:59:59+00:00"));
}

#[tokio::test]
async fn deletes_that_nobody_asks_for_cost_no_call_and_a_refused_feed_is_no_empty_one() {
    let (desk, crm) =
        signed_in(vec![say_nothing(304), say_nothing(304), say(400, &refusal("INVALID_MODULE", &json!({}), "no"))]).await;
    let properties = wanted();
    assert_eq!(crm.read_page(&page(&properties, None)).await.result.unwrap().next, Next::Drained);
    assert_eq!(desk.asked().len(), 2);
    let asking = |next| PageRequest { deletes: true, ..page(&properties, next) };
    let window = crm.read_page(&asking(None)).await.result.unwrap();
    let failure = crm.read_page(&asking(Some(&window.next))).await.result.unwrap_err();
    assert!(failure.class == Class::Schema && failure.message.contains("reading the deletes of Contacts"), "{failure}");
}

#[tokio::test]
async fn a_page_begins_a_second_early_and_goes_on_at_the_last_ones_last_second() {
    let first = rows(&[contact("5725767000000420001", 1), contact("5725767000000420002", 4)], Some("p2"));
    let (desk, crm) = signed_in(vec![first, say_nothing(304)]).await;
    let traits = crm.traits("Contacts").unwrap();
    assert_eq!((traits.order, traits.paging, traits.archive_view), (Order::TimeOnly, Paging::Tokens, false));
    let properties = wanted();
    let one = crm.read_page(&page(&properties, None)).await.result.unwrap();
    assert_eq!(one.records[0].modified, Some(NOON + 1_000));
    let two = crm.read_page(&page(&properties, Some(&one.next))).await.result.unwrap();
    assert!(two.records.is_empty() && two.next == Next::Drained);
    let asked = desk.asked();
    let fields = "fields=Last_Name%2CModified_Time%2Cid&sort_by=Modified_Time&sort_order=asc&per_page=2";
    assert_eq!(asked[1].path, format!("/crm/v8/Contacts?{fields}"));
    assert_eq!(asked[1].headers["if-modified-since"], "2026-03-01T11:59:59+00:00");
    assert_eq!(
        (asked[2].path.as_str(), asked[2].headers["if-modified-since"].to_str().unwrap()),
        (asked[1].path.as_str(), "2026-03-01T12:00:03+00:00")
    );
}

#[tokio::test]
async fn a_second_that_fills_a_page_is_read_by_tokens_to_its_end_and_no_further() {
    let full = |ids: [&str; 2], next| rows(&ids.map(|id| contact(id, 4)), Some(next));
    let last = rows(&[contact("5", 4), contact("6", 9)], Some("p4"));
    let (desk, crm) =
        signed_in(vec![full(["1", "2"], "p2"), full(["1", "2"], "p2"), full(["1", "2"], "p2"), full(["3", "4"], "p3"), last])
            .await;
    let properties = wanted();
    let mut next = crm.read_page(&page(&properties, None)).await.result.unwrap().next;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let page = crm.read_page(&page(&properties, Some(&next))).await.result.unwrap();
        seen.extend(page.records.into_iter().map(|record| record.id.0));
        next = page.next;
    }
    assert_eq!(seen, ["1", "2", "1", "2", "3", "4", "5", "6"]);
    let asked = desk.asked();
    assert!(
        asked[3].path.ends_with("per_page=2")
            && asked[4].path.ends_with("&page_token=p2")
            && asked[5].path.ends_with("&page_token=p3")
    );
    // The record beyond the second ended it, although the vendor promises more.
    let Next::More(position) = &next else { panic!("the window has not ended") };
    assert!(position.0.contains(&(NOON + 5_000).to_string()), "{position:?}");
}

#[tokio::test]
async fn a_value_never_becomes_a_part_of_a_query() {
    let (desk, crm) = signed_in(vec![say_nothing(204)]).await;
    let properties = wanted();
    let values = ["O'Neil\\".to_owned(), "x') or (id is not null".to_owned()];
    let request = LookUp {
        object: "Contacts",
        properties: &properties,
        external_key: None,
        property: "Last_Name",
        values: &values,
        unique: false,
    };
    assert!(crm.look_up(&request).await.result.unwrap().is_empty());
    let asked = &desk.asked()[1];
    let query =
        r"select Last_Name,Modified_Time,id from Contacts where Last_Name in ('O''Neil\\','x'') or (id is not null') limit 2000";
    assert_eq!((asked.path.as_str(), asked.body["select_query"].as_str()), ("/crm/v8/coql", Some(query)));
}

#[tokio::test]
async fn each_item_of_a_batch_has_the_outcome_in_its_own_place() {
    let good = json!({ "code": "SUCCESS", "details": { "id": "9", "Modified_Time": "2026-03-01T17:30:01+05:30" }, "message": "record added", "status": "success" });
    let answer = json!({ "data": [
        good,
        refusal("DUPLICATE_DATA", &json!({ "api_name": "Email", "id": "3" }), "duplicate data"),
        refusal("INVALID_DATA", &json!({ "api_name": "Email", "expected_data_type": "email" }), "invalid data"),
        refusal("RECORD_LOCKED", &json!({}), "locked"),
        refusal("INVALID_DATA", &json!({ "api_name": "id" }), "the id given seems to be invalid"),
        refusal("INVALID_DATA", &json!({ "api_name": "Account_Name", "expected_data_type": "lookup" }), "the id given seems to be invalid"),
        refusal("INVALID_DATA", &json!({ "api_name": "Nick" }), "the field api name given seems to be invalid"),
    ] });
    let (desk, crm) = signed_in(vec![say(207, &answer)]).await;
    let items: Vec<WriteItem> = ["a", "b", "c", "d", "e", "f", "g"].map(|name| item(Some("1"), None, name)).into();
    let batch = WriteBatch { object: "Contacts", kind: WriteKind::Update, items: &items };
    let outcomes = crm.write(&batch).await.result.unwrap();
    let written = outcomes[0].as_ref().unwrap();
    assert_eq!((&written.id, written.modified), (&RemoteId::new("9"), Some(NOON + 1_000)));
    let failed: Vec<_> = outcomes[1..].iter().map(|outcome| outcome.as_ref().unwrap_err()).collect();
    let classes: Vec<Class> = failed.iter().map(|failure| failure.class).collect();
    assert_eq!(classes, [Class::Duplicate, Class::Rejected, Class::Retry, Class::Gone, Class::Rejected, Class::Schema]);
    assert_eq!((failed[0].existing.as_ref(), failed[1].property.as_deref()), (Some(&RemoteId::new("3")), Some("Email")));
    let asked = &desk.asked()[1];
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("PUT", "/crm/v8/Contacts"));
    let sent = ["a", "b", "c", "d", "e", "f", "g"].map(|name| json!({ "id": "1", "Last_Name": name }));
    assert_eq!(asked.body, json!({ "data": sent }));
}

#[tokio::test]
async fn a_batch_that_is_refused_as_a_whole_says_why_by_its_first_item() {
    let refused = |item: &Value| say(400, &json!({ "data": [item] }));
    let (desk, crm) = signed_in(vec![
        refused(&refusal("DUPLICATE_DATA", &json!({ "api_name": "Email", "id": "3" }), "duplicate data")),
        refused(&refusal("MANDATORY_NOT_FOUND", &json!({ "api_name": "Last_Name" }), "required field not found")),
        refused(&refusal("INVALID_DATA", &json!({ "id": "4" }), "record not deleted")),
    ])
    .await;
    let items = [item(None, Some("7"), "a")];
    let kind = WriteKind::Upsert { key_property: "Tidemark_Key" };
    let twice = crm.write(&WriteBatch { object: "Contacts", kind, items: &items }).await.result.unwrap_err();
    assert_eq!((twice.class, twice.existing, twice.maybe_done), (Class::Duplicate, Some(RemoteId::new("3")), false));
    let lacks = crm.write(&WriteBatch { object: "Contacts", kind: WriteKind::Create, items: &items }).await.result.unwrap_err();
    assert_eq!((lacks.class, lacks.property.as_deref()), (Class::Rejected, Some("Last_Name")));
    let items = [item(Some("4"), None, "a")];
    let gone = crm.write(&WriteBatch { object: "Contacts", kind: WriteKind::Archive, items: &items }).await.result.unwrap_err();
    assert_eq!((gone.class, desk.asked()[3].path.as_str()), (Class::Gone, "/crm/v8/Contacts?ids=4"));
    let upsert = json!({ "data": [{ "Tidemark_Key": "7", "Last_Name": "a" }], "duplicate_check_fields": ["Tidemark_Key"] });
    assert_eq!((desk.asked()[1].path.as_str(), &desk.asked()[1].body), ("/crm/v8/Contacts/upsert", &upsert));
}

#[tokio::test]
async fn what_a_refusal_means_is_its_code_and_what_is_left_of_the_day() {
    let refused = |status, code: &str| say(status, &refusal(code, &json!({}), "no"));
    let answers = vec![
        refused(429, "TOO_MANY_REQUESTS"),
        refused(429, "TOO_MANY_REQUESTS").with("x-api-credits-remaining", "20000"),
        refused(429, "TOO_MANY_REQUESTS").with("x-api-credits-remaining", "4"),
        refused(401, "OAUTH_SCOPE_MISMATCH"),
        refused(403, "NO_PERMISSION"),
        refused(400, "INVALID_MODULE"),
        refused(404, "INVALID_URL_PATTERN"),
        say_nothing(404),
        refused(500, "INTERNAL_ERROR"),
        refused(401, "INVALID_TOKEN"),
    ];
    let (_desk, crm) = signed_in(answers).await;
    let (properties, ids) = (wanted(), [RemoteId::new("1")]);
    let request = ReadIds { object: "Contacts", properties: &properties, external_key: None, ids: &ids };
    let mut told = Vec::new();
    for _ in 0..10 {
        told.push(crm.read_ids(&request).await.result.unwrap_err().class);
    }
    let expect = [
        Class::Throttled,
        Class::Throttled,
        Class::DayBudget,
        Class::Scope,
        Class::Scope,
        Class::Schema,
        Class::Schema,
        Class::Malformed,
        Class::Retry,
        Class::Auth,
    ];
    assert_eq!(told, expect);
}

#[tokio::test]
async fn converted_leads_are_asked_for_and_any_other_module_is_read_like_contacts() {
    let (desk, crm) = signed_in(vec![say_nothing(204), say_nothing(204)]).await;
    let (properties, ids) = (wanted(), [RemoteId::new("1"), RemoteId::new("2")]);
    for object in ["Leads", "Gear__s"] {
        let request = ReadIds { object, properties: &properties, external_key: None, ids: &ids };
        assert!(crm.read_ids(&request).await.result.unwrap().is_empty());
    }
    let asked = desk.asked();
    assert!(
        asked[1].path.starts_with("/crm/v8/Leads?ids=1%2C2&") && asked[1].path.ends_with("&converted=both"),
        "{}",
        asked[1].path
    );
    assert!(asked[2].path.starts_with("/crm/v8/Gear__s?ids=1%2C2&fields="), "{}", asked[2].path);
}

#[tokio::test]
async fn a_refresh_token_that_changes_is_kept_with_its_access_token_and_used_only_once_it_is_adopted() {
    let with = |access: &str, refresh: Option<&str>| {
        say(200, &json!({ "access_token": access, "expires_in": 600, "refresh_token": refresh }))
    };
    let desk = Desk::saying(vec![with("a1", Some("r1")), with("a2", None), with("a3", Some("r3"))]).await;
    let crm = rotating(&desk, "r0");
    let first = crm.ask_token(None).await.result.unwrap();
    assert_eq!((crm.need("Contacts"), first.lives.map(|lives| lives.as_secs())), (Some(Need::SignIn), Some(540)));
    crm.adopt(&first, true).unwrap();
    assert_ne!(crm.need("Contacts"), Some(Need::SignIn));
    // One that was not told stays as it was.
    let second = crm.ask_token(Some(&first.text)).await.result.unwrap();
    crm.ask_token(Some(&second.text)).await.result.unwrap();
    let sent: Vec<String> = desk.asked().into_iter().map(|asked| asked.text).collect();
    let with = |text: &str, token: &str| text.contains(&format!("refresh_token={token}&"));
    assert!(with(&sent[0], "r0") && with(&sent[1], "r1") && with(&sent[2], "r1"), "{sent:?}");
    assert!(second.text.expose_secret().contains("a2") && !format!("{second:?}").contains("a2"));
}

#[tokio::test]
async fn a_token_of_another_process_that_is_refused_has_worn_out() {
    let refused = || say(401, &refusal("INVALID_TOKEN", &json!({}), "invalid oauth token"));
    let desk = Desk::saying(vec![token(), refused(), token(), refused()]).await;
    let crm = rotating(&desk, "r0");
    for (own, class) in [(false, Class::Retry), (true, Class::Auth)] {
        let token = crm.ask_token(None).await.result.unwrap();
        crm.adopt(&token, own).unwrap();
        assert_eq!(crm.account().await.result.unwrap_err().class, class);
    }
}

#[test]
fn another_secret_is_another_grant() {
    let desk = |refresh| rotating(&Desk::closed(), refresh).grant().unwrap();
    assert!(desk("r0").rotates && desk("r0") == desk("r0") && desk("r0").digest != desk("r1").digest);
    assert!(!desk("r0").digest.contains("r0"));
}

#[test]
fn a_refresh_token_that_is_never_sent_cannot_change() {
    let file = include_str!("../../../connectors/zoho-crm.toml")
        .replace("kind = \"oauth_refresh\"", "kind = \"oauth_client\"")
        .replace("refused = \"/error\"", "refused = \"/error\"\nrotates = \"/refresh_token\"");
    let told = Connector::load("zoho-crm", "zoho-crm.toml", &file).map(|_| ()).unwrap_err().to_string();
    assert!(told.contains("auth.rotates: there is no refresh token that could be another the next time."), "{told}");
}
