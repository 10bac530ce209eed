//! Zoho Books by its file: pages that nobody counts, times without a colon, a code that refuses under 200.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails the test")]

mod server;

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::SecretString;
use serde_json::{Value, json};
use server::{Desk, Say, say, spec};
use tidemark_core::failure::{Class, Failure};
use tidemark_core::record::RemoteId;
use tidemark_core::source::Next;
use tidemark_core::spec::ConnectionSpec;
use tidemark_crm::{Catalog, Crm, LookUp, Need, Outcomes, PageRequest, ReadIds, WriteBatch, WriteItem, WriteKind};

const NOON: i64 = 1_772_366_400_000;

/// Signed in already: the first answer is the token's.
async fn signed_in(mut answers: Vec<Say>) -> (Arc<dyn Crm>, Desk) {
    answers.insert(0, say(200, &json!({ "access_token": "1000.t", "expires_in": 3600 })));
    let desk = Desk::saying(answers).await;
    let settings = [("dc", "eu"), ("organization", "10")].map(|(name, text)| (name.to_owned(), text.to_owned()));
    let spec = ConnectionSpec { connector: "zoho-books".to_owned(), settings: settings.into(), ..spec(Some(desk.base.clone())) };
    let secrets = ["client_id", "client_secret", "refresh_token"].map(|name| (name.to_owned(), SecretString::from("s")));
    let crm = Catalog::default().connect(&spec, &BTreeMap::from(secrets)).unwrap();
    crm.meet(&Need::SignIn).await.result.unwrap();
    (crm, desk)
}

fn wanted() -> Vec<Option<String>> {
    ["email", "contact_name"].map(|name| Some(name.to_owned())).to_vec()
}

fn contact(id: u64, second: u32) -> Value {
    json!({ "contact_id": id.to_string(), "contact_name": format!("C{id}"), "email": format!("c{id}@x.test"), "status": "active",
        "created_time": "2026-01-01T00:00:00+0530", "last_modified_time": format!("2026-03-01T17:30:{second:02}+0530") })
}

fn listed(rows: &[Value], more: bool) -> Say {
    say(200, &json!({ "code": 0, "message": "success", "contacts": rows, "page_context": { "has_more_page": more } }))
}

/// A minute, in pages of two.
fn minute<'a>(properties: &'a [Option<String>], external_key: Option<&'a str>) -> PageRequest<'a> {
    let (from, until) = (NOON, NOON + 60_000);
    PageRequest {
        object: "contacts",
        properties,
        external_key,
        from,
        until,
        position: None,
        rows_max: 2,
        deletes: false,
        feed: None,
    }
}

fn by_e_mail<'a>(properties: &'a [Option<String>], values: &'a [String]) -> LookUp<'a> {
    LookUp { object: "contacts", properties, external_key: None, property: "email", values, unique: false }
}

/// Reads a minute to its end: the ids page by page.
async fn read_all(crm: &Arc<dyn Crm>, rows_max: u16) -> Result<Vec<Vec<String>>, Failure> {
    let properties = wanted();
    let (mut pages, mut position) = (Vec::new(), None);
    loop {
        let request = PageRequest { position: position.as_ref(), rows_max, ..minute(&properties, None) };
        let page = crm.read_page(&request).await.result?;
        pages.push(page.records.iter().map(|record| record.id.0.clone()).collect());
        match page.next {
            Next::More(next) => position = Some(next),
            Next::Drained => return Ok(pages),
        }
    }
}

/// The bound and the page that were asked for, from the second on.
fn asked(desk: &Desk) -> Vec<(String, String)> {
    let of = |path: &str, name: &str| {
        let found = path.split(['?', '&']).find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_default().replace("%3A", ":").replace("%2B", "+").replace("2026-03-01T", "")
    };
    desk.asked().iter().skip(1).map(|asked| (of(&asked.path, "last_modified_time"), of(&asked.path, "page"))).collect()
}

#[tokio::test]
async fn a_page_begins_at_the_last_second_of_the_one_before_and_what_is_beyond_the_window_ends_it() {
    let late = json!({ "contact_id": "9", "contact_name": "Z", "last_modified_time": "2026-03-01T18:00:00+0530" });
    let (crm, desk) = signed_in(vec![
        listed(&[contact(1, 0), contact(2, 1)], true),
        listed(&[contact(2, 1), contact(3, 2)], true),
        listed(&[contact(3, 2), late], true),
    ])
    .await;
    assert_eq!(read_all(&crm, 2).await.unwrap(), [vec!["1", "2"], vec!["2", "3"], vec!["3", "9"]]);
    let bounds: Vec<String> = asked(&desk).into_iter().map(|(since, _)| since).collect();
    // One second early each, because nobody says whether the bound's own second belongs to the answer.
    assert_eq!(bounds, ["11:59:59+0000", "12:00:00+0000", "12:00:01+0000"]);
    let first = &desk.asked()[1];
    assert!(first.path.contains("organization_id=10&") && first.path.contains("per_page=2"), "{}", first.path);
    assert_eq!(first.authorization.as_deref(), Some("Zoho-oauthtoken 1000.t"));
}

#[tokio::test]
async fn what_does_not_say_whether_more_follows_is_not_taken_for_the_end() {
    for says in [json!({}), json!({ "has_more_page": 1 }), json!({ "has_more_page": null })] {
        let body = json!({ "code": 0, "message": "success", "contacts": [contact(1, 0)], "page_context": says });
        let (crm, _) = signed_in(vec![say(200, &body)]).await;
        let failure = read_all(&crm, 2).await.unwrap_err();
        assert!(failure.message.contains("whether there is more"), "{says}: {}", failure.message);
    }
    let (crm, _) = signed_in(vec![say(200, &json!({ "code": 0, "message": "success", "contacts": [] }))]).await;
    assert_eq!(read_all(&crm, 2).await.unwrap().concat(), [""; 0], "without rows nothing follows");
}

#[tokio::test]
async fn a_tie_that_nobody_counts_is_read_to_its_last_page_and_back() {
    let same = |ids: [u64; 2]| ids.map(|id| contact(id, 0));
    let (crm, desk) = signed_in(vec![
        listed(&same([1, 2]), true),
        listed(&same([1, 2]), true),
        // Somebody left: the third slid to the page that was read already, and is met on the way back.
        listed(&same([4, 5]), false),
        listed(&same([2, 3]), true),
        listed(&[], false),
    ])
    .await;
    let pages = read_all(&crm, 2).await.unwrap();
    assert_eq!(pages.concat(), ["1", "2", "1", "2", "4", "5", "2", "3"]);
    let numbers: Vec<String> = asked(&desk).into_iter().map(|(_, page)| page).collect();
    assert_eq!(numbers, ["", "", "2", "1", ""]);
}

#[tokio::test]
async fn a_page_that_comes_again_whatever_its_number_ends_the_window_with_an_error() {
    let same = || listed(&[contact(1, 0), contact(2, 0)], true);
    let (crm, _desk) = signed_in(vec![same(), same(), same()]).await;
    let failure = read_all(&crm, 2).await.unwrap_err();
    assert!(failure.class == Class::Malformed && failure.message.contains("repeated"), "{failure}");
}

#[tokio::test]
async fn a_code_that_is_not_0_is_a_refusal_under_any_status() {
    let cases = [
        (200, 1000, Class::Retry),
        (200, 2, Class::Rejected),
        (400, 2, Class::Rejected),
        (200, 1002, Class::Gone),
        (404, 1002, Class::Gone),
        (400, 3062, Class::Duplicate),
        (429, 45, Class::DayBudget),
        (429, 44, Class::Throttled),
        (429, 1070, Class::Throttled),
        (400, 6041, Class::Auth),
    ];
    for (status, code, expect) in cases {
        let body = json!({ "code": code, "message": "no", "contacts": [], "contact": contact(1, 0) });
        let (crm, _desk) = signed_in(vec![say(status, &body), say(status, &body)]).await;
        assert_eq!(read_all(&crm, 2).await.unwrap_err().class, expect, "{status} {code}");
        // A token that is refused while it is new is forgotten.
        if expect == Class::Auth {
            continue;
        }
        let item = WriteItem {
            trace: "t".into(),
            id: Some(RemoteId::new("1")),
            key: None,
            version: None,
            fields: vec![("email".into(), None)],
        };
        let outcome = write(&crm, WriteKind::Update, item).await;
        assert_eq!(outcome.unwrap_err().class, expect, "{status} {code} of a write");
    }
}

async fn write(crm: &Arc<dyn Crm>, kind: WriteKind<'_>, item: WriteItem) -> Result<Outcomes, Failure> {
    crm.write(&WriteBatch { object: "contacts", kind, items: &[item] }).await.result
}

#[tokio::test]
async fn what_is_made_is_sent_beside_the_persons_and_what_is_blank_as_the_empty_text() {
    let saved = say(201, &json!({ "code": 0, "contact": contact(7, 0) }));
    let (crm, desk) = signed_in(vec![saved]).await;
    let fields = vec![("email".to_owned(), Some("c7@x.test".to_owned())), ("phone".to_owned(), None)];
    let item = WriteItem { trace: "t".into(), id: None, key: Some("42".into()), version: None, fields };
    let written = write(&crm, WriteKind::Create, item.clone()).await.unwrap().remove(0).unwrap();
    assert_eq!((written.id.as_str(), written.modified), ("7", Some(NOON)));
    let asked = desk.asked()[1].clone();
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/books/v3/contacts?organization_id=10"));
    assert_eq!(asked.body, json!({ "email": "c7@x.test", "phone": "" }));
    let status = WriteItem { id: Some(written.id), fields: vec![("status".to_owned(), Some("inactive".to_owned()))], ..item };
    assert_eq!(write(&crm, WriteKind::Update, status).await.unwrap_err().class, Class::Rejected, "status has calls of its own");
    assert_eq!(desk.asked().len(), 2, "nothing was sent");
}

#[tokio::test]
async fn a_record_is_read_by_id_and_looked_up_by_its_e_mail() {
    let none = say(404, &json!({ "code": 1002, "message": "Contact does not exist." }));
    let never_changed = json!({ "contact_id": "8", "contact_name": "C8", "created_time": "2026-03-01T17:30:00+0530" });
    let found = say(200, &json!({ "code": 0, "contact": never_changed }));
    let (crm, desk) = signed_in(vec![none, found, listed(&[contact(7, 0)], false)]).await;
    let properties = wanted();
    let by_id = async |id: &str| {
        let ids = [RemoteId::new(id)];
        let request = ReadIds { object: "contacts", properties: &properties, external_key: None, ids: &ids };
        crm.read_ids(&request).await.result.unwrap()
    };
    assert!(by_id("7").await.is_empty());
    assert_eq!(by_id("8").await[0].modified, Some(NOON));
    let values = ["c7+a@x.test".to_owned()];
    let request = by_e_mail(&properties, &values);
    assert_eq!(crm.look_up(&request).await.result.unwrap().len(), 1);
    assert!(desk.asked()[3].path.contains("email=c7%2Ba%40x.test"), "{}", desk.asked()[3].path);
    let request = LookUp { property: "contact_name", ..request };
    assert_eq!(crm.look_up(&request).await.result.unwrap_err().class, Class::Schema, "nothing else can be looked up");
}

#[tokio::test]
async fn what_no_list_shows_is_said_to_be_left_out_and_stands_in_a_record_by_id() {
    let whole = json!({ "contact_id": "7", "contact_name": "C7", "notes": "new", "billing_address": { "city": "Rome" }, "cf_key": "k",
        "last_modified_time": "2026-03-01T17:30:00+0530" });
    let found = say(200, &json!({ "code": 0, "contact": whole }));
    let (crm, _desk) = signed_in(vec![listed(&[contact(7, 0)], false), listed(&[contact(7, 0)], false), found]).await;
    let properties = ["contact_name", "notes", "billing_address.city", "cf_key"].map(|name| Some(name.to_owned())).to_vec();
    let page = minute(&properties, None);
    let listed = crm.read_page(&page).await.result.unwrap().records.remove(0);
    assert_eq!((listed.left_out, &listed.values[0]), (vec![1, 2], &Some("C7".to_owned())));
    let values = ["c7@x.test".to_owned()];
    let look_up = by_e_mail(&properties, &values);
    assert_eq!(crm.look_up(&look_up).await.result.unwrap()[0].left_out, [1, 2]);
    let ids = [RemoteId::new("7")];
    let by_id = ReadIds { object: "contacts", properties: &properties, external_key: None, ids: &ids };
    let whole = crm.read_ids(&by_id).await.result.unwrap().remove(0);
    assert!(!whole.is_part());
    assert_eq!(whole.values, ["C7", "new", "Rome", "k"].map(|text| Some(text.to_owned())));
}

#[tokio::test]
async fn a_list_without_our_key_shows_nothing_that_counts() {
    let (crm, _desk) = signed_in(vec![listed(&[contact(7, 0)], false)]).await;
    let properties = wanted();
    let page = minute(&properties, Some("our_key"));
    assert_eq!(crm.read_page(&page).await.result.unwrap().records[0].left_out, [0, 1], "who it is would not be known");
}

#[tokio::test]
async fn contacts_that_do_not_heed_the_time_end_the_window_with_an_error_that_says_so() {
    let old =
        |id: u64| json!({ "contact_id": id.to_string(), "contact_name": "C", "last_modified_time": "2020-01-01T00:00:00+0530" });
    let (crm, _desk) = signed_in(vec![listed(&[old(1), old(2)], true)]).await;
    let failure = read_all(&crm, 2).await.unwrap_err();
    assert!(failure.class == Class::Malformed && failure.message.contains("does not heed"), "{failure}");
}
