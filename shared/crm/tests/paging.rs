//! How an engine follows pages: what leads to the next one, and what is done where it leads nowhere.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails the test")]

mod server;

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::{Value, json};
use server::{Desk, Say, say, spec};
use tidemark_core::failure::{Class, Failure};
use tidemark_core::source::{Next, Page, Position};
use tidemark_core::spec::ConnectionSpec;
use tidemark_crm::engine::{Connector, Engine};
use tidemark_crm::{Crm, PageRequest};

const HOUR: i64 = 3_600_000;

/// The smallest file, with these changes, in front of this address.
fn engine(base: &str, changes: &[(&str, &str)]) -> Engine {
    let mut file = include_str!("server/small.toml").to_owned();
    for (stands, instead) in changes {
        assert!(file.contains(stands), "{stands}");
        file = file.replace(stands, instead);
    }
    let connector = Connector::load("small", "small.toml", &file).unwrap();
    let settings = BTreeMap::from([("list".to_owned(), "l1".to_owned())]);
    let spec = ConnectionSpec { connector: "small".to_owned(), settings, ..spec(Some(base.to_owned())) };
    let secrets = BTreeMap::from([("token".to_owned(), SecretString::from("a-token"))]);
    Engine::connect(&spec, &secrets, connector).unwrap()
}

async fn page(crm: &Engine, position: Option<&Position>) -> Result<Page, Failure> {
    let properties = [Some("name".to_owned())];
    let request = PageRequest {
        object: "people",
        properties: &properties,
        external_key: None,
        from: 0,
        until: HOUR,
        position,
        rows_max: 2,
        deletes: false,
        feed: None,
    };
    crm.read_page(&request).await.result
}

/// The ids of each page to the end, or the failure that ended it.
async fn pages(crm: &Engine) -> Result<Vec<Vec<u64>>, Failure> {
    let (mut all, mut position) = (Vec::new(), None);
    loop {
        let Page { records, next, .. } = page(crm, position.as_ref()).await?;
        all.push(records.iter().map(|record| record.id.0.parse().unwrap()).collect());
        let Next::More(more) = next else { return Ok(all) };
        position = Some(more);
    }
}

/// People by their ids, and what asks for the next page.
fn listed(ids: &[u64], next: Option<&str>) -> Value {
    let rows: Vec<Value> =
        ids.iter().map(|id| json!({ "id": id, "name": "P", "updated": format!("1970-01-01T00:00:{id:02}Z") })).collect();
    json!({ "data": rows, "next": next })
}

fn told(ids: &[u64], next: Option<&str>) -> Say {
    say(200, &listed(ids, next))
}

/// Pages in an order of the vendor's own, so that its tokens are what leads on.
const UNORDERED: (&str, &str) = ("order = \"time\"", "order = \"none\"");

fn refused(status: u16) -> Say {
    say(status, &json!({ "error": "no such cursor" }))
}

#[tokio::test]
async fn a_cursor_that_is_taken_no_more_begins_its_part_again() {
    for status in [400, 404, 410] {
        let again = [told(&[1, 2], Some("b")), told(&[3], None)];
        let desk = Desk::saying([vec![told(&[1, 2], Some("a")), refused(status)], again.to_vec()].concat()).await;
        let crm = engine(&desk.base, &[UNORDERED, ("rows_max = 100", "rows_max = 100\nempty_status = [404]")]);
        assert_eq!(pages(&crm).await.unwrap(), [vec![1, 2], vec![], vec![1, 2], vec![3]], "{status}");
        let cursors: Vec<bool> = desk.asked().iter().map(|asked| asked.path.contains("cursor=")).collect();
        assert_eq!(cursors, [false, true, false, true]);
    }
}

#[tokio::test]
async fn what_passes_by_itself_is_no_fault_of_the_cursor() {
    for status in [401, 429, 500] {
        let desk = Desk::saying(vec![told(&[1, 2], Some("a")), refused(status)]).await;
        let failure = pages(&engine(&desk.base, &[UNORDERED])).await.unwrap_err();
        assert!(!failure.class.is_final() && !failure.anew, "{status}: {failure}");
    }
}

#[tokio::test]
async fn a_first_page_that_is_refused_is_an_error_and_so_is_a_cursor_that_never_leads_on() {
    let desk = Desk::saying(vec![told(&[1, 2], Some("a")), refused(400), refused(400)]).await;
    let failure = pages(&engine(&desk.base, &[UNORDERED])).await.unwrap_err();
    assert_eq!((failure.class, failure.anew), (Class::Rejected, false));
    let turns = (0..9).flat_map(|_| [told(&[1, 2], Some("a")), refused(400)]).collect();
    let desk = Desk::saying(turns).await;
    let failure = pages(&engine(&desk.base, &[UNORDERED])).await.unwrap_err();
    assert_eq!((failure.class, failure.anew), (Class::Rejected, true), "the window is begun again with the next try: {failure}");
    assert_eq!(desk.asked().len(), 12);
}

#[tokio::test]
async fn cursors_that_go_in_circles_end_the_window() {
    let turns = (0..9).flat_map(|_| [told(&[1, 2], Some("a")), told(&[3, 4], Some("b"))]).collect();
    let desk = Desk::saying(turns).await;
    let failure = pages(&engine(&desk.base, &[UNORDERED])).await.unwrap_err();
    assert_eq!(failure.class, Class::Malformed);
    assert!(failure.message.contains("circles") && desk.asked().len() < 6, "{failure} after {}", desk.asked().len());
}

#[tokio::test]
async fn a_count_that_never_holds_still_is_an_error_whose_place_is_not_kept() {
    let counted = |total: u64| say(200, &json!({ "data": listed(&[1, 2], None)["data"], "total": total }));
    let desk = Desk::saying((3..40).map(counted).collect()).await;
    let numbers = [
        UNORDERED,
        ("page = { kind = \"token\", next = \"/next\" }", "page = { kind = \"number\" }\ntotal = \"/total\""),
        ("cursor = \"{token}\"", "page = \"{page}\""),
    ];
    let failure = pages(&engine(&desk.base, &numbers)).await.unwrap_err();
    assert_eq!((failure.class, failure.anew), (Class::Malformed, true), "{failure}");
}

const BY_LINK: (&str, &str) = ("page = { kind = \"token\", next = \"/next\" }", "page = { kind = \"link_header\" }");
const BY_URL: (&str, &str) =
    ("page = { kind = \"token\", next = \"/next\" }", "page = { kind = \"next_url\", next = \"/next\" }");
const NO_CURSOR: (&str, &str) = ("after = { query = { cursor = \"{token}\" } }\n", "");

#[tokio::test]
async fn the_link_header_leads_on_and_never_back() {
    let first = told(&[1, 2], None).with("link", "</lists/l1/people?p=1>; rel=\"prev\",</lists/l1/people?p=3>; rel=\"next\"");
    let desk = Desk::saying(vec![first, told(&[3], None)]).await;
    assert_eq!(pages(&engine(&desk.base, &[UNORDERED, BY_LINK, NO_CURSOR])).await.unwrap(), [vec![1, 2], vec![3]]);
    assert_eq!(desk.asked()[1].path, "/lists/l1/people?p=3");
    let broken = told(&[1, 2], None).with("link", "/lists/l1/people?p=3; rel=\"next\"");
    let desk = Desk::saying(vec![broken]).await;
    let failure = pages(&engine(&desk.base, &[UNORDERED, BY_LINK, NO_CURSOR])).await.unwrap_err();
    assert!(failure.class == Class::Malformed && failure.message.contains("`Link` header cannot be read"), "{failure}");
}

#[tokio::test]
async fn a_next_address_is_found_from_the_page_it_stands_in_behind_a_gateway_with_a_path_too() {
    for (base, next, expect) in [
        ("", "/lists/l1/people?p=2", "/lists/l1/people?p=2"),
        ("", "?p=2", "/lists/l1/people?p=2"),
        ("", "others?p=2", "/lists/l1/others?p=2"),
        ("/crm", "/crm/lists/l1/people?p=2", "/crm/lists/l1/people?p=2"),
        ("/crm/", "/crm/lists/l1/people?p=2", "/crm/lists/l1/people?p=2"),
        ("/crm", "?p=2", "/crm/lists/l1/people?p=2"),
        ("/crm", "/lists/l1/people?p=2", "/crm/lists/l1/people?p=2"),
        ("/crm", "/crmx/people?p=2", "/crm/crmx/people?p=2"),
    ] {
        let desk = Desk::saying(vec![told(&[1, 2], Some(next)), told(&[3], None)]).await;
        let crm = engine(&format!("{}{base}", desk.base), &[UNORDERED, BY_URL, NO_CURSOR]);
        assert_eq!(pages(&crm).await.unwrap().concat(), [1, 2, 3]);
        assert_eq!(desk.asked()[1].path, expect, "{next} below {base}");
    }
    let desk = Desk::saying(vec![told(&[1, 2], None)]).await;
    let elsewhere = Desk::saying(vec![told(&[1, 2], Some(&format!("{}/lists", desk.base)))]).await;
    let failure = pages(&engine(&elsewhere.base, &[UNORDERED, BY_URL, NO_CURSOR])).await.unwrap_err();
    assert!(failure.message.contains("another host") && desk.asked().is_empty(), "{failure}");
}

#[tokio::test]
async fn a_list_without_pages_is_asked_in_parts_where_a_query_gives_too_few_of_them() {
    let counted = |ids: &[u64], total: u64| say(200, &json!({ "data": listed(ids, None)["data"], "total": total }));
    let desk = Desk::saying(vec![counted(&[1, 2], 3), counted(&[1], 1), counted(&[2, 3], 2)]).await;
    let whole = [
        UNORDERED,
        ("page = { kind = \"token\", next = \"/next\" }", "page = { kind = \"none\" }\ntotal = \"/total\"\nresult_cap = 2"),
        ("rows_max = 100", "rows_max = 2"),
        NO_CURSOR,
    ];
    assert_eq!(pages(&engine(&desk.base, &whole)).await.unwrap(), [vec![1, 2], vec![1], vec![2, 3]]);
    assert!(desk.asked()[1].path.contains("before=1970-01-01T00%3A30%3A00Z"), "{}", desk.asked()[1].path);
}
