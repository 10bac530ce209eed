//! How pages, ids and look-ups are asked for, and which answers are believed.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails the test")]

mod server;

use serde_json::{Value, json};
use server::{Server, ids_of, page_of, properties, say, spec};
use tidemark_core::failure::Class;
use tidemark_core::record::RemoteId;
use tidemark_core::source::{Next, Position};
use tidemark_crm::description::Description;
use tidemark_crm::{Crm, LookUp, PageRequest, hubspot};

fn record(id: &str, email: &str) -> Value {
    json!({
        "id": id,
        "properties": { "createdate": "2026-02-01T08:00:00.000Z", "email": email, "firstname": null, "hs_object_id": id,
            "lastmodifieddate": "1970-01-01T00:00:01.500Z", "lead": "" },
        "createdAt": "2026-02-01T08:00:00.000Z", "updatedAt": "1970-01-01T00:00:01.500Z", "archived": false
    })
}

fn found(ids: &[&str], more: bool) -> Value {
    let results: Vec<Value> = ids.iter().map(|id| record(id, "a@x.test")).collect();
    match more {
        true => json!({ "total": ids.len() + 1, "results": results, "paging": { "next": { "after": "3", "link": "?after=3" } } }),
        false => json!({ "total": ids.len(), "results": results }),
    }
}

async fn page(answer: Value, position: Option<&str>) -> Result<(Vec<String>, Next), Class> {
    let server = Server::saying(vec![say(200, &answer)]).await;
    let position = position.map(after);
    let properties = properties();
    let request = PageRequest { position: position.as_ref(), ..page_of("contacts", &properties) };
    let page = server.crm.read_page(&request).await.result.map_err(|failure| failure.class)?;
    Ok((page.records.into_iter().map(|record| record.id.0).collect(), page.next))
}

/// Behind this id of the window that is asked for.
fn after(id: &str) -> Position {
    Position(format!(r#"{{"from":1000,"until":2000,"at":{{"id":"{id}"}}}}"#))
}

fn more(id: &str) -> Next {
    Next::More(after(id))
}

#[tokio::test]
async fn a_page_is_asked_by_id_inside_the_closed_window() {
    let server = Server::saying(vec![say(200, &found(&["100"], false)), say(200, &found(&[], false))]).await;
    let places = [Some("firstname".to_owned()), None, Some("email".to_owned())];
    let position = after("99");
    let request = PageRequest {
        external_key: Some("tidemark_key"),
        position: Some(&position),
        rows_max: 1000,
        deletes: false,
        feed: None,
        ..page_of("contacts", &places)
    };
    let page = server.crm.read_page(&request).await.result.unwrap();
    assert_eq!(page.records[0].values, [None, None, Some("a@x.test".to_owned())]);
    assert_eq!((page.records[0].modified, page.records[0].archived), (Some(1_500), false));
    server.crm.read_page(&page_of("deals", &places)).await.result.unwrap();

    let asked = server.asked();
    assert_eq!(asked[0].path, "/crm/v3/objects/contacts/search");
    let expected = json!({
        "filterGroups": [{ "filters": [
            { "propertyName": "lastmodifieddate", "operator": "GTE", "value": "1000" },
            { "propertyName": "lastmodifieddate", "operator": "LT", "value": "2000" },
            { "propertyName": "hs_object_id", "operator": "GT", "value": "99" },
        ] }],
        "sorts": [{ "propertyName": "hs_object_id", "direction": "ASCENDING" }],
        "properties": ["email", "firstname", "hs_merged_object_ids", "lastmodifieddate", "tidemark_key"],
        "limit": 200,
    });
    assert_eq!(asked[0].body, expected);
    assert_eq!(asked[1].body["filterGroups"][0]["filters"][0]["propertyName"], "hs_lastmodifieddate");
    assert_eq!(asked[1].body["filterGroups"][0]["filters"].as_array().map(Vec::len), Some(2));
}

#[test]
fn an_order_in_which_the_vendor_cannot_be_asked_is_refused_with_its_place() {
    let text = include_str!("../../../connectors/hubspot.toml").replacen("order = \"id_only\"", "order = \"time_then_id\"", 1);
    let description = Description::load("hubspot", "connectors/hubspot.toml", &text).unwrap();
    let refused = hubspot::connect_described(&spec(None), "pat-na1-x".into(), description).unwrap_err().to_string();
    assert!(refused.contains("order = \"TimeThenId\"") && refused.contains("write \"id_only\""), "{refused}");
}

#[tokio::test]
async fn a_window_is_drained_only_when_nothing_in_the_answer_says_otherwise() {
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    assert_eq!(page(found(&["9", "10"], false), None).await, Ok((ids(&["9", "10"]), Next::Drained)));
    assert_eq!(page(found(&[], false), Some("10")).await, Ok((ids(&[]), Next::Drained)));
    assert_eq!(page(found(&["9", "10"], true), None).await, Ok((ids(&["9", "10"]), more("10"))), "short, yet there is more");
    assert_eq!(page(found(&["9", "10", "11"], false), None).await, Ok((ids(&["9", "10", "11"]), more("11"))), "a full page");
    let cut = json!({ "total": 5, "results": [record("9", "a@x.test")] });
    assert_eq!(page(cut, None).await, Ok((ids(&["9"]), more("9"))), "the index counts more than it gave");
}

#[tokio::test]
async fn an_empty_page_that_promises_more_is_a_passing_fault_and_not_the_end() {
    assert_eq!(page(json!({ "total": 5, "results": [] }), None).await, Err(Class::Retry));
    assert_eq!(page(json!({ "total": 0, "results": [], "paging": { "next": { "after": "3" } } }), None).await, Err(Class::Retry));
}

#[tokio::test]
async fn a_page_that_repeats_its_position_is_an_error() {
    assert_eq!(page(found(&["9", "10"], true), Some("10")).await, Err(Class::Malformed));
    assert_eq!(page(found(&["10"], false), Some("10")).await, Err(Class::Malformed));
    assert_eq!(page(found(&["10", "9"], false), None).await, Err(Class::Malformed), "ids are ordered as numbers");
    assert_eq!(page(found(&["9", "9"], false), None).await, Err(Class::Malformed));
    assert_eq!(page(found(&["nine"], false), None).await, Err(Class::Malformed));
    assert!(page(found(&["100"], false), Some("99")).await.is_ok(), "as text 100 would stand before 99");
}

#[tokio::test]
async fn a_record_outside_the_window_is_kept() {
    let mut answer = found(&["9"], false);
    answer["results"][0]["properties"]["lastmodifieddate"] = json!("2026-03-01T12:00:00.123Z");
    assert_eq!(page(answer, None).await.map(|(ids, _)| ids.len()), Ok(1));
}

#[tokio::test]
async fn values_keep_their_text_and_blanks_become_nothing() {
    let mut answer = found(&["9"], false);
    answer["results"][0]["properties"]["firstname"] = json!("  Zoë \"Z\" \\ \u{1F600}\n");
    answer["results"][0]["properties"]["email"] = json!("");
    answer["results"][0]["archived"] = json!(true);
    answer["results"][0]["properties"]["count"] = json!(12);
    answer["results"][0]["properties"]["lastmodifieddate"] = Value::Null;
    let server = Server::saying(vec![say(200, &answer)]).await;
    let places = [Some("email".to_owned()), Some("firstname".to_owned()), Some("count".to_owned())];
    let request = PageRequest { external_key: Some("firstname"), ..page_of("contacts", &places) };
    let page = server.crm.read_page(&request).await.result.unwrap();
    let text = Some("  Zoë \"Z\" \\ \u{1F600}\n".to_owned());
    assert_eq!(page.records[0].values, [None, text.clone(), Some("12".to_owned())]);
    assert_eq!(page.records[0].external_key, text, "a property may be the key and a field at once");
    assert_eq!((page.records[0].modified, page.records[0].archived), (Some(1_500), true), "the envelope's stamp stands in");
}

#[tokio::test]
async fn ids_without_a_record_are_absent_and_a_survivor_comes_once() {
    let answer = json!({
        "status": "COMPLETE", "results": [record("7", "a@x.test"), record("7", "a@x.test")], "numErrors": 1,
        "errors": [{ "status": "error", "category": "OBJECT_NOT_FOUND", "message": "Could not get some", "context": { "ids": ["8"] } }]
    });
    let server = Server::saying(vec![say(207, &answer)]).await;
    let ids = ["6", "7", "8"].map(RemoteId::new);
    let records = server.crm.read_ids(&ids_of(&properties(), &ids)).await.result.unwrap();
    assert_eq!(records.iter().map(|record| record.id.as_str()).collect::<Vec<_>>(), ["7"]);
    let body = &server.asked()[0].body;
    assert_eq!(body["inputs"], json!([{ "id": "6" }, { "id": "7" }, { "id": "8" }]));
    assert!(body.get("idProperty").is_none());
}

#[tokio::test]
async fn a_survivor_names_the_ids_it_answers_for() {
    let mut listed = record("7", "a@x.test");
    listed["properties"]["hs_merged_object_ids"] = json!("5; 6;");
    let answer = |results: Value| say(200, &json!({ "status": "COMPLETE", "results": results }));
    let unlisted = [record("7", "a@x.test"), record("9", "b@x.test")];
    let server = Server::saying(vec![answer(json!([listed])), answer(json!([unlisted[0]])), answer(json!(unlisted))]).await;
    let absorbed = async |ids: &[&str]| -> Vec<Vec<String>> {
        let ids: Vec<RemoteId> = ids.iter().map(|id| RemoteId::new(*id)).collect();
        let records = server.crm.read_ids(&ids_of(&properties(), &ids)).await.result.unwrap();
        records.into_iter().map(|record| record.absorbed.into_iter().map(|id| id.0).collect()).collect()
    };
    assert_eq!(absorbed(&["6"]).await, [["5", "6"]]);
    assert_eq!(absorbed(&["4"]).await, [["4"]], "the only one that can be meant");
    assert_eq!(absorbed(&["3", "4"]).await, [[""; 0], [""; 0]], "which is which is not guessed");
}

#[tokio::test]
async fn an_id_that_could_not_be_read_is_not_taken_for_an_absent_one() {
    let answer = json!({
        "status": "COMPLETE", "results": [record("7", "a@x.test")], "numErrors": 1,
        "errors": [{ "status": "error", "category": "INTERNAL_ERROR", "message": "try later", "context": { "ids": ["8"] } }]
    });
    let server = Server::saying(vec![say(207, &answer)]).await;
    let answer = server.crm.read_ids(&ids_of(&properties(), &["7", "8"].map(RemoteId::new))).await;
    assert_eq!(answer.result.unwrap_err().class, Class::Retry);
    assert_eq!(answer.callout.class, Some(Class::Retry));
}

fn look_up<'a>(properties: &'a [Option<String>], property: &'a str, values: &'a [String], unique: bool) -> LookUp<'a> {
    LookUp { object: "contacts", properties, external_key: None, property, values, unique }
}

#[tokio::test]
async fn a_unique_property_is_looked_up_without_the_index_and_others_by_search() {
    let server = Server::saying(vec![say(200, &found(&["7"], false)), say(200, &found(&["7", "8"], false))]).await;
    let values = ["Ana@Acme.test".to_owned()];
    server.crm.look_up(&look_up(&properties(), "email", &values, true)).await.result.unwrap();
    let records = server.crm.look_up(&look_up(&properties(), "company", &values, false)).await.result.unwrap();
    assert_eq!(records.len(), 2);
    let asked = server.asked();
    assert_eq!(asked[0].path, "/crm/v3/objects/contacts/batch/read");
    assert_eq!((&asked[0].body["idProperty"], &asked[0].body["inputs"]), (&json!("email"), &json!([{ "id": "ana@acme.test" }])));
    assert_eq!(asked[1].path, "/crm/v3/objects/contacts/search");
    let filters = &asked[1].body["filterGroups"][0]["filters"];
    assert_eq!(*filters, json!([{ "propertyName": "company", "operator": "IN", "values": ["Ana@Acme.test"] }]));
}

#[tokio::test]
async fn a_look_up_cut_short_is_refused_while_values_could_be_crowded_out() {
    let server = Server::saying(vec![say(200, &found(&["7"], true)), say(200, &found(&["7"], true))]).await;
    let two = ["a".to_owned(), "b".to_owned()];
    let failure = server.crm.look_up(&look_up(&properties(), "company", &two, false)).await.result.unwrap_err();
    assert_eq!(failure.class, Class::Rejected);
    assert!(server.crm.look_up(&look_up(&properties(), "company", &two[..1], false)).await.result.is_ok());
}

#[tokio::test]
async fn a_name_that_cannot_be_an_object_is_never_sent() {
    let server = Server::saying(Vec::new()).await;
    let answer = server.crm.read_page(&page_of("../account", &properties())).await;
    assert_eq!((answer.result.unwrap_err().class, answer.callout.status), (Class::Schema, None));
    assert!(server.asked().is_empty());
    assert!(server.crm.traits("../account").is_err());
    assert_eq!(server.crm.traits("p123_cars").unwrap(), server.crm.traits("deals").unwrap());
}

#[tokio::test]
async fn the_archive_is_asked_under_its_own_flag() {
    let mut answer = json!({ "status": "COMPLETE", "results": [record("7", "a@x.test")] });
    answer["results"][0]["archived"] = json!(true);
    let server = Server::saying(vec![say(200, &answer)]).await;
    let (properties, ids) = (properties(), [RemoteId::new("7"), RemoteId::new("8")]);
    let records = server.crm.read_archived(&ids_of(&properties, &ids)).await.result.unwrap();
    assert_eq!((records.len(), records[0].archived, records[0].modified), (1, true, Some(1_500)));
    assert_eq!(server.asked()[0].path, "/crm/v3/objects/contacts/batch/read?archived=true");
}
