//! A list that says neither how many records there are nor whether another page follows: read to its end and back, as its file declares, while records move.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails the test")]

mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Query, State};
use axum::routing::get;
use secrecy::SecretString;
use serde_json::{Value, json};
use server::spec;
use tidemark_core::failure::{Class, Failure};
use tidemark_core::source::Next;
use tidemark_core::spec::ConnectionSpec;
use tidemark_crm::engine::{Connector, Engine};
use tidemark_crm::{Crm, PageRequest};
use tokio::net::TcpListener;

/// The object, in place of that of the smallest file.
const PEOPLE: &str = r#"[object.people]
id = "/id"
modified = { at = "/changed", form = "secs", precision = "second" }
[object.people.read]
kind = "window"
lower = "closed"
upper = "open"
path = "/people"
query = { since = "{from|secs}", before = "{until|secs}", limit = "{rows_max}" }
after = { query = { offset = "{offset}" } }
rows = ""
rows_max = 100
page = { kind = "offset" }
END
[object.people.read_ids]
path = "/people/{id}"
rows = ""
one = true
"#;

const EMPTY: &str = "end = \"empty_page\"";
const SHORT: &str = "end = \"short_page\"";

/// Those who were changed in the first hour, in the order in which they are listed.
#[derive(Debug, Default)]
struct List {
    people: Vec<(u64, i64)>,
    /// They are taken out of a page after it was cut: rights work like that.
    unseen: BTreeSet<u64>,
    /// After each page somebody whom it showed is changed and leaves the hour.
    restless: bool,
    heeds_offset: bool,
    left: BTreeSet<u64>,
    asked: Vec<usize>,
}

impl List {
    fn page(&mut self, since: i64, before: i64, limit: usize, offset: usize) -> Vec<(u64, i64)> {
        self.asked.push(offset);
        let within = self.people.iter().copied().filter(|(_, changed)| (since..before).contains(changed));
        let skipped = if self.heeds_offset { offset } else { 0 };
        let page: Vec<(u64, i64)> = within.skip(skipped).take(limit).filter(|(id, _)| !self.unseen.contains(id)).collect();
        if let Some((id, _)) = page.first().filter(|_| self.restless) {
            self.left.insert(*id);
            self.people.iter_mut().filter(|(own, _)| own == id).for_each(|(_, changed)| *changed += 3_600);
        }
        page
    }
}

async fn answer(State(list): State<Arc<Mutex<List>>>, Query(asked): Query<BTreeMap<String, String>>) -> axum::Json<Value> {
    let number = |name: &str| asked.get(name).map_or(0, |text| text.parse::<i64>().unwrap());
    let of_rows = |name: &str| usize::try_from(number(name)).unwrap();
    let page = list.lock().unwrap().page(number("since"), number("before"), of_rows("limit"), of_rows("offset"));
    let row = |(id, changed): &(u64, i64)| json!({ "id": id, "changed": changed, "name": format!("P{id}") });
    axum::Json(page.iter().map(row).collect())
}

/// The ids of each page of the hour, whose end is told so.
async fn read_all(list: List, ends: &str) -> (Result<Vec<Vec<u64>>, Failure>, List) {
    let list = Arc::new(Mutex::new(list));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/people", get(answer)).with_state(Arc::clone(&list));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let (head, _) = include_str!("server/small.toml").split_once("[object.people]").unwrap();
    let file = format!("{}{PEOPLE}", head.replace("[config.list]\nabout = \"the list\"\n", ""));
    let connector = Connector::load("small", "small.toml", &file.replace("END", ends)).unwrap();
    let spec = ConnectionSpec { connector: "small".to_owned(), ..spec(Some(base)) };
    let secrets = BTreeMap::from([("token".to_owned(), SecretString::from("a-token"))]);
    let crm = Engine::connect(&spec, &secrets, connector).unwrap();
    let properties = [Some("name".to_owned())];
    let (mut pages, mut position) = (Ok(Vec::new()), None);
    loop {
        let (from, until, position_now) = (0, 3_600_000, position.as_ref());
        let request = PageRequest {
            object: "people",
            properties: &properties,
            external_key: None,
            from,
            until,
            position: position_now,
            rows_max: 4,
            deletes: false,
            feed: None,
        };
        match crm.read_page(&request).await.result {
            Err(failure) => {
                pages = Err(failure);
                break;
            }
            Ok(page) => {
                pages
                    .as_mut()
                    .unwrap()
                    .push(page.records.iter().map(|record| record.id.0.parse().unwrap()).collect::<Vec<u64>>());
                let Next::More(next) = page.next else { break };
                position = Some(next);
            }
        }
    }
    let list = std::mem::take(&mut *list.lock().unwrap());
    (pages, list)
}

fn of(count: u64) -> List {
    List { people: (1..=count).map(|id| (id, 10)).collect(), heeds_offset: true, ..List::default() }
}

#[tokio::test]
async fn whoever_stayed_is_read_while_others_leave_between_short_pages() {
    let unseen: BTreeSet<u64> = (1..=30).filter(|id| id % 5 == 0).collect();
    let list = List { unseen: unseen.clone(), restless: true, ..of(30) };
    let (pages, list) = read_all(list, EMPTY).await;
    let read: BTreeSet<u64> = pages.unwrap().concat().into_iter().collect();
    let lost: Vec<u64> = (1..=30).filter(|id| !unseen.contains(id) && !list.left.contains(id) && !read.contains(id)).collect();
    assert!(lost.is_empty() && list.left.len() > 3, "{lost:?} of those who stayed, {:?} left", list.left);
}

#[tokio::test]
async fn a_page_that_is_short_for_another_reason_is_no_end_where_an_empty_one_is() {
    let list = || List { unseen: BTreeSet::from([2]), ..of(10) };
    let (pages, _) = read_all(list(), EMPTY).await;
    assert_eq!(pages.unwrap().concat().into_iter().collect::<BTreeSet<u64>>().len(), 9);
    // What the other word costs whoever writes it of such a CRM.
    let (pages, _) = read_all(list(), SHORT).await;
    assert_eq!(pages.unwrap(), [[1, 3, 4]]);
}

#[tokio::test]
async fn the_end_is_the_empty_page_or_the_short_one_and_from_there_all_pages_are_read_back() {
    let (pages, list) = read_all(of(10), EMPTY).await;
    assert_eq!(list.asked, [0, 4, 8, 12, 8, 4, 0]);
    assert_eq!(pages.unwrap()[3], [0; 0]);
    let (_, list) = read_all(of(10), SHORT).await;
    assert_eq!(list.asked, [0, 4, 8, 4, 0]);
    // The last page is full: nobody knows that it is the last before the next is asked for.
    let (_, list) = read_all(of(8), SHORT).await;
    assert_eq!(list.asked, [0, 4, 8, 4, 0]);
    for end in [EMPTY, SHORT] {
        let (pages, list) = read_all(of(0), end).await;
        assert_eq!((pages.unwrap(), list.asked), (vec![vec![]], vec![0]), "{end}");
    }
}

#[tokio::test]
async fn in_the_order_of_time_each_page_begins_at_the_last_stamp_and_only_ties_go_by_offset() {
    // Two, a tie of six, and one.
    let changed = [10, 20, 30, 30, 30, 30, 30, 30, 40];
    let list = || List { people: (1..).zip(changed).collect(), heeds_offset: true, ..List::default() };
    for end in [EMPTY, SHORT] {
        let (pages, list) = read_all(list(), &format!("order = \"time\"\n{end}")).await;
        let read: BTreeSet<u64> = pages.unwrap().concat().into_iter().collect();
        assert_eq!(read, (1..=9).collect(), "{end}");
        assert!(list.asked.len() <= 14, "{end}: {:?}", list.asked);
    }
}

#[tokio::test]
async fn a_list_that_takes_no_offset_ends_with_an_error() {
    for end in [EMPTY, SHORT] {
        let (pages, _) = read_all(List { heeds_offset: false, ..of(10) }, end).await;
        let failure = pages.unwrap_err();
        assert!(failure.class == Class::Malformed && failure.message.contains("repeated"), "{end}: {failure}");
    }
}
