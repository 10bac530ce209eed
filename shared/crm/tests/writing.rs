//! How batches are sent, and which outcome goes to which item.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails the test")]

mod server;

use serde_json::{Value, json};
use server::{Say, Server, item, say, say_nothing};
use tidemark_core::failure::{Class, Failure};
use tidemark_core::record::RemoteId;
use tidemark_crm::{Crm, WriteBatch, WriteItem, WriteKind, Written};

async fn write(server: &Server, kind: WriteKind<'_>, items: &[WriteItem]) -> Vec<Result<Written, Failure>> {
    server.crm.write(&WriteBatch { object: "contacts", kind, items }).await.result.unwrap()
}

async fn outcomes(answer: Say, kind: WriteKind<'_>, items: &[WriteItem]) -> Vec<Result<Written, Failure>> {
    write(&Server::saying(vec![answer]).await, kind, items).await
}

fn result(id: &str, trace: Option<&str>, email: &str) -> Value {
    let mut result = json!({
        "id": id, "properties": { "email": email, "hs_object_id": id, "lastmodifieddate": "2026-03-01T12:00:00.123Z" },
        "createdAt": "2026-03-01T12:00:00.000Z", "updatedAt": "2026-03-01T12:00:00.000Z", "archived": false
    });
    if let Some(trace) = trace {
        result["objectWriteTraceId"] = json!(trace);
    }
    result
}

fn complete(results: &[Value], errors: &[Value]) -> Value {
    json!({ "status": "COMPLETE", "results": results, "numErrors": errors.len(), "errors": errors })
}

fn ids(outcomes: &[Result<Written, Failure>]) -> Vec<Option<&str>> {
    outcomes.iter().map(|outcome| outcome.as_ref().ok().map(|written| written.id.as_str())).collect()
}

fn is_unknown(outcome: &Result<Written, Failure>) -> bool {
    outcome.as_ref().is_err_and(|failure| failure.class == Class::Retry && failure.maybe_done)
}

#[tokio::test]
async fn a_create_sends_cleared_fields_as_empty_text_and_reads_back_what_is_held() {
    let held = result("501", Some("t1"), "ana@acme.test");
    let server = Server::saying(vec![say(201, &complete(&[held], &[]))]).await;
    let mut new = item("t1", None, Some("Ana@acme.test"));
    new.fields.push(("phone".to_owned(), None));
    let outcomes = write(&server, WriteKind::Create, &[new]).await;
    let expected = Written {
        id: RemoteId::new("501"),
        modified: Some(1_772_366_400_123),
        created: Some(true),
        fields: vec![("email".to_owned(), Some("ana@acme.test".to_owned()))],
    };
    assert_eq!(outcomes, [Ok(expected)]);
    let asked = &server.asked()[0];
    assert_eq!(asked.path, "/crm/v3/objects/contacts/batch/create");
    let sent = json!({ "inputs": [{ "properties": { "email": "Ana@acme.test", "phone": "" }, "objectWriteTraceId": "t1" }] });
    assert_eq!(asked.body, sent);
}

#[tokio::test]
async fn a_207_in_another_order_is_matched_by_trace() {
    let error = |trace: &str, category: &str, message: &str| json!({ "status": "error", "category": category, "message": message, "context": { "objectWriteTraceId": [trace] } });
    let answer = complete(
        &[result("503", Some("t3"), "c@x.test"), result("501", Some("t1"), "a@x.test")],
        &[
            error("t4", "CONFLICT", "Contact already exists. Existing ID: 77"),
            error("t2", "VALIDATION_ERROR", "Email address b@x is invalid"),
        ],
    );
    let items = ["t1", "t2", "t3", "t4"].map(|trace| item(trace, None, Some("x@x.test")));
    let outcomes = outcomes(say(207, &answer), WriteKind::Create, &items).await;
    assert_eq!(ids(&outcomes), [Some("501"), None, Some("503"), None]);
    let refused = outcomes[1].as_ref().unwrap_err();
    assert_eq!((refused.class, refused.maybe_done), (Class::Rejected, false));
    assert!(refused.message.contains("[e-mail]"), "{refused}");
    let duplicate = outcomes[3].as_ref().unwrap_err();
    assert_eq!((duplicate.class, &duplicate.existing), (Class::Duplicate, &Some(RemoteId::new("77"))));
}

#[tokio::test]
async fn without_traces_an_update_is_matched_by_id_and_an_upsert_by_its_key() {
    let answer = complete(&[result("8", None, "b@x.test"), result("7", None, "a@x.test")], &[]);
    let items = [item("t1", Some("7"), None), item("t2", Some("8"), None)];
    assert_eq!(ids(&outcomes(say(200, &answer), WriteKind::Update, &items).await), [Some("7"), Some("8")]);

    let mut first = result("7", None, "a@x.test");
    first["properties"]["tidemark_key"] = json!("k1");
    first["new"] = json!(false);
    let mut second = result("8", None, "b@x.test");
    second["properties"]["tidemark_key"] = json!("k2");
    second["new"] = json!(true);
    let server = Server::saying(vec![say(200, &complete(&[second, first], &[]))]).await;
    let keyed = ["k1", "k2"].map(|key| WriteItem { key: Some(key.to_owned()), ..item(key, None, None) });
    let outcomes = write(&server, WriteKind::Upsert { key_property: "tidemark_key" }, &keyed).await;
    assert_eq!(ids(&outcomes), [Some("7"), Some("8")]);
    assert_eq!(outcomes.iter().map(|outcome| outcome.as_ref().unwrap().created).collect::<Vec<_>>(), [Some(false), Some(true)]);
    let sent = &server.asked()[0].body["inputs"][0];
    assert_eq!((&sent["id"], &sent["idProperty"]), (&json!("k1"), &json!("tidemark_key")));
}

#[tokio::test]
async fn an_error_without_a_trace_is_matched_by_the_ids_it_names() {
    let gone =
        json!({ "status": "error", "category": "OBJECT_NOT_FOUND", "message": "not found", "context": { "ids": ["8", "9"] } });
    let answer = complete(&[result("7", None, "a@x.test")], &[gone]);
    let items = [item("t1", Some("9"), None), item("t2", Some("7"), None), item("t3", Some("8"), None)];
    let outcomes = outcomes(say(207, &answer), WriteKind::Update, &items).await;
    assert_eq!(ids(&outcomes), [None, Some("7"), None]);
    assert!([0, 2].iter().all(|at: &usize| outcomes[*at].as_ref().is_err_and(|failure| failure.class == Class::Gone)));
}

#[tokio::test]
async fn a_trace_that_reads_like_another_items_id_is_still_a_trace() {
    let refused =
        json!({ "status": "error", "category": "VALIDATION_ERROR", "message": "no", "context": { "objectWriteTraceId": ["8"] } });
    let answer = complete(&[result("8", Some("7"), "b@x.test")], &[refused]);
    let items = [item("7", Some("8"), None), item("8", Some("7"), None)];
    let outcomes = outcomes(say(207, &answer), WriteKind::Update, &items).await;
    assert_eq!(ids(&outcomes), [Some("8"), None]);
    assert_eq!(outcomes[1].as_ref().unwrap_err().class, Class::Rejected);
}

#[tokio::test]
async fn what_no_entry_speaks_of_may_have_been_done() {
    let answer = complete(
        &[result("501", None, "a@x.test"), result("502", Some("foreign"), "b@x.test")],
        &[json!({ "status": "error", "category": "VALIDATION_ERROR", "message": "one of them" })],
    );
    let items = ["t1", "t2", "t3"].map(|trace| item(trace, None, None));
    assert!(outcomes(say(207, &answer), WriteKind::Create, &items).await.iter().all(is_unknown));
    let pending = json!({ "status": "PENDING", "results": [] });
    assert!(outcomes(say(202, &pending), WriteKind::Create, &items).await.iter().all(is_unknown));
}

#[tokio::test]
async fn an_item_alone_in_its_batch_owns_the_only_outcome() {
    let done = complete(&[result("501", None, "")], &[]);
    let written = outcomes(say(201, &done), WriteKind::Create, &[item("t1", None, None)]).await;
    assert_eq!(ids(&written), [Some("501")]);
    assert_eq!(written[0].as_ref().unwrap().fields, [("email".to_owned(), None)]);
    let refused = complete(&[], &[json!({ "status": "error", "category": "VALIDATION_ERROR", "message": "no" })]);
    let refused = outcomes(say(207, &refused), WriteKind::Create, &[item("t1", None, None)]).await;
    assert_eq!(refused[0].as_ref().unwrap_err().class, Class::Rejected);
}

#[tokio::test]
async fn a_passing_fault_of_one_item_may_have_been_done() {
    let fault = json!({ "status": "error", "category": "INTERNAL_ERROR", "message": "oops", "context": { "objectWriteTraceId": ["t1"] } });
    let answer = complete(&[result("8", Some("t2"), "b@x.test")], &[fault]);
    let outcomes =
        outcomes(say(207, &answer), WriteKind::Update, &[item("t1", Some("7"), None), item("t2", Some("8"), None)]).await;
    assert!(is_unknown(&outcomes[0]) && outcomes[1].is_ok());
}

#[tokio::test]
async fn a_refusal_of_the_whole_batch_is_the_calls_own_result() {
    let refused = json!({ "status": "error", "category": "VALIDATION_ERROR", "message": "Property values were not valid" });
    let server = Server::saying(vec![say(400, &refused)]).await;
    let items = ["1", "2"].map(|id| item(id, Some(id), None));
    let answer = server.crm.write(&WriteBatch { object: "contacts", kind: WriteKind::Update, items: &items }).await;
    let failure = answer.result.unwrap_err();
    assert_eq!((failure.class, failure.maybe_done), (Class::Rejected, false));
}

#[tokio::test]
async fn an_archive_is_answered_without_a_body_for_all_items() {
    let server = Server::saying(vec![say_nothing(204)]).await;
    let items = ["7", "8"].map(|id| item(id, Some(id), None));
    assert_eq!(ids(&write(&server, WriteKind::Archive, &items).await), [Some("7"), Some("8")]);
    let asked = &server.asked()[0];
    assert_eq!(
        (asked.path.as_str(), &asked.body),
        ("/crm/v3/objects/contacts/batch/archive", &json!({ "inputs": [{ "id": "7" }, { "id": "8" }] }))
    );
}

#[tokio::test]
async fn an_update_without_an_id_is_never_sent() {
    let server = Server::saying(Vec::new()).await;
    let items = [item("t1", None, None)];
    let answer = server.crm.write(&WriteBatch { object: "contacts", kind: WriteKind::Update, items: &items }).await;
    let failure = answer.result.unwrap_err();
    assert_eq!((failure.class, failure.maybe_done), (Class::Rejected, false));
    assert!(server.asked().is_empty());
}
