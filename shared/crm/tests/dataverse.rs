//! Dataverse by its file: links that are followed as they are, updates that make nothing, references as addresses.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails the test")]

mod server;

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::SecretString;
use serde_json::{Value, json};
use server::{Desk, Say, say, spec};
use tidemark_core::failure::{Class, Failure};
use tidemark_core::record::RemoteId;
use tidemark_core::source::{Next, Page, Position};
use tidemark_core::spec::ConnectionSpec;
use tidemark_crm::{Catalog, Crm, Need, PageRequest, ReadIds, WriteBatch, WriteItem, WriteKind};

const NOON: i64 = 1_772_366_400_000;
const ANA: &str = "60c4e274-7a2d-e711-80e5-000000000001";

async fn signed_in(answers: Vec<Say>) -> (Desk, Arc<dyn Crm>) {
    let token = say(200, &json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": "t1" }));
    let columns = json!({ "value": [
        { "LogicalName": "lastname", "AttributeType": "String", "IsValidForUpdate": true },
        { "LogicalName": "numberofchildren", "AttributeType": "Integer", "IsValidForUpdate": true },
    ] });
    let desk = Desk::saying([vec![token, say(200, &columns)], answers].concat()).await;
    let settings = [("domain", "acme.crm4"), ("tenant", "acme")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let spec =
        ConnectionSpec { connector: "dataverse".to_owned(), settings: BTreeMap::from(settings), ..spec(Some(desk.base.clone())) };
    let secrets = ["client_id", "client_secret"].map(|name| (name.to_owned(), SecretString::from(name)));
    let crm = Catalog::default().connect(&spec, &BTreeMap::from(secrets)).unwrap();
    for need in [Need::SignIn, Need::Describe("contacts".to_owned())] {
        assert_eq!(crm.need("contacts"), Some(need.clone()));
        crm.meet(&need).await.result.unwrap();
    }
    (desk, crm)
}

fn contact(second: u32) -> Value {
    json!({ "@odata.etag": "W/\"1\"", "contactid": ANA, "lastname": "Ruiz", "merged": false,
        "modifiedon": format!("2026-03-01T12:00:{second:02}Z") })
}

fn item(fields: &[(&str, Option<&str>)], id: Option<&str>, key: Option<&str>) -> WriteItem {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect();
    WriteItem { trace: "t".to_owned(), id: id.map(RemoteId::new), key: key.map(str::to_owned), version: None, fields }
}

async fn page(crm: &Arc<dyn Crm>, position: Option<&Position>) -> Result<Page, Failure> {
    let (object, properties, external_key) = ("contacts", &[Some("lastname".to_owned())], None);
    let (from, until) = (NOON, NOON + 60_000);
    crm.read_page(&PageRequest {
        object,
        properties,
        external_key,
        from,
        until,
        position,
        rows_max: 1,
        deletes: false,
        feed: None,
    })
    .await
    .result
}

#[tokio::test]
async fn a_token_is_asked_for_in_the_scope_of_the_environment() {
    let (desk, _crm) = signed_in(Vec::new()).await;
    let asked = &desk.asked()[0];
    assert_eq!(asked.path, "/acme/oauth2/v2.0/token");
    assert!(asked.text.contains("scope=https%3A%2F%2Facme.crm4.dynamics.com%2F.default"), "{}", asked.text);
}

#[tokio::test]
async fn a_second_that_fills_a_page_is_read_by_its_links_and_the_rest_by_stamp() {
    let full = || say(200, &json!({ "value": [contact(1)] }));
    let linked = |host: &str| {
        let next = format!("{host}/api/data/v9.2/contacts?$skiptoken=x%2B1");
        say(200, &json!({ "value": [contact(1)], "@odata.nextLink": next }))
    };
    let last = say(200, &json!({ "value": [] }));
    let (desk, crm) = signed_in(vec![linked("http://other.test"), full(), full(), linked(""), last]).await;
    // Credentials go to no other host, whatever a link says.
    let failure = page(&crm, None).await.unwrap_err();
    assert!(failure.message.contains("another host"), "{failure}");
    let mut next = page(&crm, None).await.unwrap().next;
    for _ in 0..3 {
        let Next::More(position) = next else { panic!("{next:?}") };
        next = page(&crm, Some(&position)).await.unwrap().next;
    }
    let asked = desk.asked();
    let between = |from: &str, until: &str| {
        let time = |second: &str| format!("2026-03-01T12%3A{second}Z");
        format!("modifiedon%20ge%20{}%20and%20modifiedon%20lt%20{}", time(from), time(until))
    };
    assert!(asked[3].path.contains(&between("00%3A00", "01%3A00")), "{}", asked[3].path);
    assert!(asked[4].path.contains(&between("00%3A01", "01%3A00")), "{}", asked[4].path);
    assert!(asked[5].path.contains(&between("00%3A01", "00%3A02")), "{}", asked[5].path);
    assert_eq!(asked[6].path, "/api/data/v9.2/contacts?$skiptoken=x%2B1");
    assert!(asked[3..].iter().all(|asked| asked.headers["prefer"] == "odata.maxpagesize=1"));
}

fn deleted(id: &str) -> Value {
    json!({ "@odata.context": "$metadata#contacts/$deletedEntity", "id": id, "reason": "deleted" })
}

/// The feed of changes, as it is read behind a window whose place is kept.
async fn changes(crm: &Arc<dyn Crm>, position: &Position, feed: Option<&str>) -> Result<Page, Failure> {
    let (object, properties, external_key) = ("contacts", &[Some("lastname".to_owned())], None);
    let (from, until, position) = (NOON, NOON + 60_000, Some(position));
    let request = PageRequest { object, properties, external_key, from, until, position, rows_max: 200, deletes: true, feed };
    crm.read_page(&request).await.result
}

fn more(page: Page) -> Position {
    let Next::More(position) = page.next else { panic!("{page:?}") };
    position
}

#[tokio::test]
async fn change_tracking_tells_who_is_gone_page_by_page_and_where_it_goes_on() {
    let base = "/api/data/v9.2/contacts";
    let link = |name: &str, token: &str| json!({ "value": [contact(1), deleted("g1")], name: format!("{base}?{token}") });
    let (desk, crm) = signed_in(vec![
        say(200, &json!({ "value": [] })),
        say(200, &link("@odata.nextLink", "$skiptoken=2")),
        say(200, &link("@odata.deltaLink", "$deltatoken=9")),
        say(200, &link("@odata.deltaLink", "$deltatoken=10")),
    ])
    .await;
    let (object, properties, external_key) = ("contacts", &[Some("lastname".to_owned())], None);
    let window = PageRequest {
        object,
        properties,
        external_key,
        from: NOON,
        until: NOON + 60_000,
        position: None,
        rows_max: 200,
        deletes: true,
        feed: None,
    };
    let start = more(crm.read_page(&window).await.result.unwrap());
    let first = changes(&crm, &start, None).await.unwrap();
    assert_eq!(first.records.iter().map(|one| (one.id.as_str(), one.archived)).collect::<Vec<_>>(), [("g1", true)]);
    assert_eq!(first.feed, None);
    let last = changes(&crm, &more(first), None).await.unwrap();
    assert_eq!((&last.next, last.feed.as_deref()), (&Next::Drained, Some("/api/data/v9.2/contacts?$deltatoken=9")));
    let later = changes(&crm, &start, last.feed.as_deref()).await.unwrap();
    assert_eq!(later.feed.as_deref(), Some("/api/data/v9.2/contacts?$deltatoken=10"));
    let paths: Vec<String> = desk.asked().into_iter().skip(3).map(|asked| asked.path).collect();
    assert_eq!(paths, [format!("{base}?%24select=contactid"), format!("{base}?$skiptoken=2"), format!("{base}?$deltatoken=9")]);
    assert!(desk.asked()[3..].iter().all(|asked| asked.headers["prefer"] == "odata.track-changes,odata.maxpagesize=5000"));
}

#[tokio::test]
async fn a_place_that_is_refused_begins_anew_and_a_table_that_is_not_tracked_is_asked_once() {
    let refusal = |text: &str| say(400, &json!({ "error": { "code": "0x0", "message": text } }));
    let throttle = say(429, &json!({ "error": { "code": "0x80072321", "message": "execution time" } }));
    let empty = || say(200, &json!({ "value": [] }));
    let (desk, crm) = signed_in(vec![throttle, refusal("too old"), refusal("not tracked"), empty()]).await;
    let start = Position("deletes ".to_owned());
    let kept = Some("/api/data/v9.2/contacts?$deltatoken=1");
    assert_eq!(changes(&crm, &start, kept).await.unwrap_err().class, Class::Throttled, "what passes by itself loses no place");
    let anew = changes(&crm, &start, kept).await.unwrap();
    assert_eq!((anew.records.len(), &anew.feed), (0, &None));
    let refused = changes(&crm, &more(anew), kept).await.unwrap();
    assert_eq!((refused.next, refused.feed), (Next::Drained, None));
    assert!(desk.asked()[4].path.contains("select=contactid"), "{}", desk.asked()[4].path);
    // Behind a window nothing follows any more.
    let (object, properties, external_key) = ("contacts", &[Some("lastname".to_owned())], None);
    let (from, until) = (NOON, NOON + 60_000);
    let request =
        PageRequest { object, properties, external_key, from, until, position: None, rows_max: 200, deletes: true, feed: kept };
    assert_eq!(crm.read_page(&request).await.result.unwrap().next, Next::Drained);
}

#[tokio::test]
async fn a_page_behind_the_first_that_is_refused_or_one_too_many_ends_the_feed_until_the_next_window() {
    let refused = say(400, &json!({ "error": { "code": "0x0", "message": "The paging cookie is not valid." } }));
    let circle = say(200, &json!({ "value": [], "@odata.nextLink": "/api/data/v9.2/contacts?$skiptoken=1" }));
    let (_desk, crm) = signed_in(vec![refused, circle]).await;
    for place in ["2 /api/data/v9.2/contacts?$skiptoken=1", "20000 /api/data/v9.2/contacts?$skiptoken=1"] {
        let page = changes(&crm, &Position(format!("deletes {place}")), Some("/kept")).await.unwrap();
        assert_eq!((page.next, page.feed), (Next::Drained, None), "{place}");
    }
}

#[tokio::test]
async fn a_server_that_answers_as_if_nobody_had_asked_for_changes_is_not_asked_again() {
    let (_desk, crm) = signed_in(vec![say(200, &json!({ "value": [contact(1)] })), say(200, &json!({ "value": [] }))]).await;
    let page = changes(&crm, &Position("deletes ".to_owned()), None).await.unwrap();
    assert_eq!((page.records.len(), page.next, page.feed), (0, Next::Drained, None));
    let (object, properties, external_key) = ("contacts", &[Some("lastname".to_owned())], None);
    let (from, until) = (NOON, NOON + 60_000);
    let window =
        PageRequest { object, properties, external_key, from, until, position: None, rows_max: 200, deletes: true, feed: None };
    assert_eq!(crm.read_page(&window).await.result.unwrap().next, Next::Drained, "nothing follows behind a window");
}

#[tokio::test]
async fn an_answer_of_change_tracking_that_cannot_be_followed_is_no_end_of_it() {
    let other = json!({ "value": [], "@odata.deltaLink": "http://other.test/contacts?$deltatoken=2" });
    let nameless = json!({ "value": [{ "reason": "deleted" }], "@odata.deltaLink": "/x" });
    let cases = [(other, "another host"), (nameless, "carries no id"), (json!({}), "no rows where they are promised")];
    for (body, expect) in cases {
        let (_desk, crm) = signed_in(vec![say(200, &body)]).await;
        let start = Position("deletes ".to_owned());
        let failure = changes(&crm, &start, Some("/api/data/v9.2/contacts?$deltatoken=1")).await.unwrap_err();
        assert!(failure.class == Class::Malformed && failure.message.contains(expect), "{failure}");
    }
}

#[tokio::test]
async fn ids_are_asked_for_together_and_nothing_in_one_ends_the_list() {
    let (desk, crm) = signed_in(vec![say(200, &json!({ "value": [contact(1)] }))]).await;
    let properties = [Some("lastname".to_owned())];
    let ids = [RemoteId::new(ANA), RemoteId::new("x']) or (1 eq 1")];
    let found = crm.read_ids(&ReadIds { object: "contacts", properties: &properties, external_key: None, ids: &ids }).await;
    assert_eq!(found.result.unwrap().len(), 1);
    assert!(desk.asked()[2].path.contains("x%27%27%5D%29%20or"), "{}", desk.asked()[2].path);
}

#[tokio::test]
async fn an_update_makes_nothing_and_a_reference_is_sent_as_an_address_or_as_null() {
    let gone = say(404, &json!({ "error": { "code": "0x80040217", "message": "contact With Id = x Does Not Exist" } }));
    let (desk, crm) = signed_in(vec![say(200, &contact(2)), say(200, &contact(3)), gone]).await;
    let company = |value| [("_parentcustomerid_value", value), ("numberofchildren", Some("2"))];
    for (value, expect) in [(Some("a/b"), json!("/accounts(a%2Fb)")), (None, Value::Null)] {
        let items = [item(&company(value), Some(ANA), None)];
        let written = crm.write(&WriteBatch { object: "contacts", kind: WriteKind::Update, items: &items }).await.result.unwrap();
        assert_eq!(written[0].as_ref().unwrap().id.as_str(), ANA);
        let asked = desk.asked().pop().unwrap();
        assert_eq!((asked.method.as_str(), asked.path), ("PATCH", format!("/api/data/v9.2/contacts({ANA})")));
        assert_eq!(asked.headers["if-match"], "*");
        assert_eq!(asked.body, json!({ "parentcustomerid_account@odata.bind": expect, "numberofchildren": 2 }));
    }
    let empty = [item(&company(Some("")), Some(ANA), None)];
    let refused = crm.write(&WriteBatch { object: "contacts", kind: WriteKind::Update, items: &empty }).await.result.unwrap_err();
    assert!(refused.class == Class::Rejected && desk.asked().len() == 4, "{refused}");
    let items = [item(&[("lastname", Some("X"))], Some(ANA), None)];
    let failure = crm.write(&WriteBatch { object: "contacts", kind: WriteKind::Update, items: &items }).await.result.unwrap_err();
    assert_eq!(failure.class, Class::Gone);
}

#[tokio::test]
async fn a_row_is_made_by_our_key_and_a_refusal_is_told_by_its_code() {
    let refusal = |status, code: &str, text: &str| say(status, &json!({ "error": { "code": code, "message": text } }));
    let told = [
        (refusal(412, "0x80040333", "a duplicate"), Class::Duplicate),
        (refusal(500, "0x80040333", "a duplicate"), Class::Duplicate),
        (refusal(412, "0x80060892", "a key"), Class::Duplicate),
        (refusal(412, "0x80060882", "the version"), Class::Conflict),
        (refusal(400, "0x80060888", "Could not find a property named 'shoe' on type 'x'."), Class::Schema),
        (refusal(404, "0x8006088a", "Resource not found for the segment 'contact'."), Class::Schema),
        (refusal(403, "0x80040220", "missing prvReadContact privilege"), Class::Scope),
        (refusal(500, "0x80040216", "An unexpected error occurred."), Class::Retry),
        (refusal(429, "0x80072321", "execution time").with("retry-after", "31"), Class::Throttled),
    ];
    let (desk, crm) = signed_in(told.iter().map(|(say, _)| say.clone()).collect()).await;
    let items = [item(&[("lastname", Some("X"))], None, Some("it's 7"))];
    for (_, class) in told {
        let kind = WriteKind::Upsert { key_property: "tidemark_key" };
        let failure = crm.write(&WriteBatch { object: "contacts", kind, items: &items }).await.result.unwrap_err();
        assert_eq!(failure.class, class, "{failure}");
    }
    assert_eq!(desk.asked()[2].path, "/api/data/v9.2/contacts(tidemark_key=%27it%27%27s%207%27)");
}
