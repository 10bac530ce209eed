//! Mailchimp by its file: a bound that leaves its own second out, pages that begin again at the last second, offsets inside one second only.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails the test")]

mod server;

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::SecretString;
use serde_json::{Value, json};
use server::{Desk, Say, say, say_nothing, say_text, spec};
use tidemark_core::failure::Class;
use tidemark_core::record::RemoteId;
use tidemark_core::source::{Next, Page};
use tidemark_core::spec::ConnectionSpec;
use tidemark_crm::{Catalog, Crm, LookUp, PageRequest, ReadIds, WriteBatch, WriteItem, WriteKind};

const NOON: i64 = 1_772_366_400_000;

fn crm(desk: &Desk) -> Arc<dyn Crm> {
    let settings = [("dc", "us19"), ("list", "L1"), ("new_status", "pending")];
    let settings = settings.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let spec =
        ConnectionSpec { connector: "mailchimp".to_owned(), settings: BTreeMap::from(settings), ..spec(Some(desk.base.clone())) };
    Catalog::default().connect(&spec, &BTreeMap::from([("key".to_owned(), SecretString::from("abc-us19"))])).unwrap()
}

fn member(id: &str, second: u32) -> Value {
    json!({ "id": "5f5", "contact_id": id, "email_address": format!("{id}@x.test"), "status": "subscribed", "merge_fields": { "FNAME": "Ana", "AGE": 7 },
        "last_changed": format!("2026-03-01T12:00:{second:02}+00:00"), "list_id": "L1" })
}

fn listed(rows: &[Value], total: u64) -> Say {
    say(200, &json!({ "members": rows, "list_id": "L1", "total_items": total }))
}

fn wanted(names: &[&str]) -> Vec<Option<String>> {
    names.iter().map(|name| Some((*name).to_owned())).collect()
}

async fn read_all(crm: &Arc<dyn Crm>, rows_max: u16) -> Vec<Page> {
    let properties = wanted(&["email_address", "merge_fields.FNAME", "merge_fields.AGE"]);
    let (mut pages, mut position) = (Vec::new(), None);
    loop {
        let request = PageRequest {
            object: "members",
            properties: &properties,
            external_key: None,
            from: NOON,
            until: NOON + 60_000,
            position: position.as_ref(),
            rows_max,
            deletes: false,
            feed: None,
        };
        let page = crm.read_page(&request).await.result.unwrap();
        pages.push(page.clone());
        match page.next {
            Next::More(next) => position = Some(next),
            Next::Drained => return pages,
        }
    }
}

fn bounds(path: &str) -> (String, String, String) {
    let of = |name: &str| {
        let found = path.split(['?', '&']).find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_default().replace("%3A", ":").replace("%2B", "+").replace("2026-03-01T", "")
    };
    (of("since_last_changed"), of("before_last_changed"), of("offset"))
}

#[tokio::test]
async fn the_second_of_the_lower_bound_is_read_and_pages_begin_again_at_the_last_one() {
    let desk = Desk::saying(vec![
        listed(&[member("a", 0), member("b", 1)], 3),
        listed(&[member("b", 1), member("c", 2)], 2),
        listed(&[member("c", 2)], 1),
    ])
    .await;
    let pages = read_all(&crm(&desk), 2).await;
    let record = &pages[0].records[0];
    let values: Vec<_> = record.values.iter().map(|value| value.as_deref()).collect();
    assert_eq!((record.id.as_str(), values), ("a", vec![Some("a@x.test"), Some("Ana"), Some("7")]));
    let asked: Vec<_> = desk.asked().iter().map(|asked| bounds(&asked.path)).collect();
    let bound = |from: &str| (from.to_owned(), "12:01:00+00:00".to_owned(), String::new());
    assert_eq!(asked[0], bound("11:59:59+00:00"));
    assert_eq!(asked[1], bound("12:00:00+00:00"));
    assert_eq!(desk.asked()[0].authorization.as_deref(), Some("Basic dGlkZW1hcms6YWJjLXVzMTk="));
    assert!(desk.asked()[0].path.starts_with("/3.0/lists/L1/members?since_last_changed=2026-03-01T11%3A59%3A59%2B00%3A00&"));
}

#[tokio::test]
async fn a_page_of_one_second_is_read_by_offsets_from_its_last_page() {
    let tie = |id: &str| member(id, 5);
    let desk = Desk::saying(vec![
        listed(&[tie("a"), tie("b")], 4),
        listed(&[tie("a"), tie("b")], 4),
        // The second by itself: counted, then from the last page to the first.
        listed(&[tie("a"), tie("b")], 3),
        listed(&[tie("c")], 3),
        listed(&[tie("a"), tie("b")], 3),
        listed(&[member("d", 9)], 1),
    ])
    .await;
    let pages = read_all(&crm(&desk), 2).await;
    let mut seen: Vec<&str> = pages.iter().flat_map(|page| &page.records).map(|record| record.id.as_str()).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, ["a", "b", "c", "d"]);
    let asked: Vec<_> = desk.asked().iter().map(|asked| bounds(&asked.path)).collect();
    let one = |offset: &str| ("12:00:04+00:00".to_owned(), "12:00:06+00:00".to_owned(), offset.to_owned());
    assert_eq!(asked[2..5], [one(""), one("2"), one("0")]);
    assert_eq!(asked[5].0, "12:00:05+00:00");
}

#[tokio::test]
async fn a_member_is_found_by_the_digest_of_its_address_and_who_is_not_there_is_absent() {
    let not_found = json!({ "type": "x", "title": "Resource Not Found", "status": 404, "detail": "The requested resource could not be found." });
    let desk = Desk::saying(vec![say(200, &member("a", 1)), say(404, &not_found), say(404, &not_found)]).await;
    let crm = crm(&desk);
    let properties = wanted(&["email_address"]);
    let values = ["Ana@X.test".to_owned()];
    let request = LookUp {
        object: "members",
        properties: &properties,
        external_key: None,
        property: "email_address",
        values: &values,
        unique: true,
    };
    assert_eq!(crm.look_up(&request).await.result.unwrap().len(), 1);
    assert_eq!(crm.look_up(&request).await.result.unwrap(), []);
    let ids = [RemoteId::new("gone")];
    let read = ReadIds { object: "members", properties: &properties, external_key: None, ids: &ids };
    assert_eq!(crm.read_ids(&read).await.result.unwrap(), []);
    let asked = desk.asked();
    // MD5 of ana@x.test.
    assert_eq!(asked[0].path, "/3.0/lists/L1/members/430a88b59dd165d707a2ca70b18efefb?exclude_fields=_links");
    assert_eq!(asked[2].path, "/3.0/lists/L1/members/gone?exclude_fields=_links");
    assert!(crm.is_unique("members", "email_address"));
}

#[tokio::test]
async fn a_new_member_has_the_status_of_the_configuration_and_cleared_fields_are_sent_empty() {
    let desk = Desk::saying(vec![say(200, &member("a", 1)), say_nothing(204)]).await;
    let crm = crm(&desk);
    let fields = [("email_address", Some("a@x.test")), ("merge_fields.FNAME", None), ("merge_fields.LNAME", Some("R"))];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.map(str::to_owned))).to_vec();
    let items = [WriteItem { trace: "1".to_owned(), id: None, key: None, version: None, fields }];
    let written = crm.write(&WriteBatch { object: "members", kind: WriteKind::Create, items: &items }).await.result.unwrap();
    assert_eq!(written[0].as_ref().unwrap().id, RemoteId::new("a"));
    let items = [WriteItem { trace: "1".to_owned(), id: Some(RemoteId::new("a")), key: None, version: None, fields: Vec::new() }];
    crm.write(&WriteBatch { object: "members", kind: WriteKind::Archive, items: &items }).await.result.unwrap()[0]
        .as_ref()
        .unwrap();
    let sent = json!({ "status": "pending", "email_address": "a@x.test", "merge_fields": { "FNAME": "", "LNAME": "R" } });
    assert_eq!((&desk.asked()[0].body, desk.asked()[1].method.as_str()), (&sent, "DELETE"));
}

#[tokio::test]
async fn a_403_without_json_is_a_throttle_and_one_with_it_is_not() {
    let problem = |status: u16, title: &str| {
        let body = json!({ "title": title, "status": status, "detail": "x@x.test is already a list member. Use PUT." });
        Say { headers: vec![("content-type", "application/problem+json; charset=utf-8".to_owned())], ..say(status, &body) }
    };
    let answers = [
        (say_text(403, "text/html", "<html>"), Class::Throttled),
        (say_nothing(429), Class::Throttled),
        (problem(403, "User Disabled"), Class::Auth),
        (problem(403, "Forbidden"), Class::Scope),
        (problem(401, "API Key Invalid"), Class::Auth),
        (problem(400, "Member Exists"), Class::Duplicate),
        (problem(400, "Member In Compliance State"), Class::Rejected),
        (problem(400, "Invalid Resource"), Class::Rejected),
    ];
    for (answer, class) in answers {
        let desk = Desk::saying(vec![answer]).await;
        let failure = crm(&desk).account().await.result.unwrap_err();
        assert!(failure.class == class && !failure.message.contains("x@x.test"), "{failure}");
    }
}
