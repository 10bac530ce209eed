//! What each fault of a call comes to: its class, whether a write may have happened, how long to wait, and what is said.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails the test")]

mod server;

use std::time::Duration;

use serde_json::{Value, json};
use server::{
    Say, Server, TOKEN, crm_behind_bytes, crm_behind_nothing, crm_behind_silence, ids_of, item, page_of, properties, say,
    say_nothing, say_text,
};
use tidemark_core::failure::{Class, Failure};
use tidemark_core::record::RemoteId;
use tidemark_crm::hubspot::HubSpot;
use tidemark_crm::{Answer, Crm, WriteBatch, WriteKind, recorded};

async fn read(crm: &HubSpot) -> Answer<tidemark_core::source::Page> {
    crm.read_page(&page_of("contacts", &properties())).await
}

async fn write(crm: &HubSpot) -> Answer<tidemark_crm::Outcomes> {
    let items = [item("t1", Some("7"), Some("ana@acme.test"))];
    crm.write(&WriteBatch { object: "contacts", kind: WriteKind::Update, items: &items }).await
}

async fn refused_read(say: Say) -> Failure {
    let server = Server::saying(vec![say]).await;
    let answer = read(&server.crm).await;
    let failure = answer.result.unwrap_err();
    assert_eq!(answer.callout.class, Some(failure.class));
    assert!(!failure.maybe_done, "a read does nothing");
    failure
}

async fn refused_write(say: Say) -> Failure {
    let server = Server::saying(vec![say]).await;
    write(&server.crm).await.result.unwrap_err()
}

fn vendor_error(category: &str, message: &str) -> Value {
    json!({ "status": "error", "message": message, "category": category, "correlationId": "c-1" })
}

async fn check(status: u16, body: Value, class: Class) -> Failure {
    let failure = refused_read(say(status, &body)).await;
    assert_eq!((failure.class, failure.status), (class, Some(status)), "{failure}");
    failure
}

#[tokio::test]
async fn every_status_of_hubspot_has_its_class() {
    let plain = json!({ "status": "error", "message": "no" });
    let expected = [
        (400, Class::Rejected),
        (401, Class::Auth),
        (403, Class::Scope),
        (404, Class::Gone),
        (409, Class::Duplicate),
        (412, Class::Conflict),
        (414, Class::Schema),
        (423, Class::Retry),
        (429, Class::Throttled),
        (477, Class::Retry),
        (500, Class::Retry),
        (502, Class::Retry),
        (503, Class::Retry),
        (504, Class::Retry),
        (522, Class::Retry),
        (530, Class::Auth),
    ];
    for (status, class) in expected {
        check(status, plain.clone(), class).await;
    }
}

#[tokio::test]
async fn a_429_is_told_apart_by_its_policy() {
    let policy = |name: &str| json!({ "status": "error", "message": "slow down", "errorType": "RATE_LIMIT", "policyName": name });
    assert_eq!(check(429, policy("DAILY"), Class::DayBudget).await.code.as_deref(), Some("DAILY"));
    let rolling = check(429, policy("TEN_SECONDLY_ROLLING"), Class::Throttled).await;
    assert_eq!(rolling.wait, Some(Duration::from_secs(5)));
    check(429, policy("SECONDLY"), Class::Throttled).await;
    let prose = json!({ "status": "error", "message": "You have reached your daily limit.", "errorType": "RATE_LIMIT" });
    check(429, prose, Class::DayBudget).await;
    let bare = refused_read(say_nothing(429)).await;
    assert_eq!((bare.class, bare.wait), (Class::Throttled, Some(Duration::from_secs(1))));
}

#[tokio::test]
async fn a_lock_waits_at_least_two_seconds_and_longer_when_asked() {
    assert_eq!(refused_read(say(423, &json!({}))).await.wait, Some(Duration::from_secs(2)));
    assert_eq!(refused_read(say(423, &json!({})).with("retry-after", "9")).await.wait, Some(Duration::from_secs(9)));
}

#[tokio::test]
async fn a_retry_after_is_read_as_seconds_or_as_a_date_of_the_servers_own_clock() {
    let seconds = refused_read(say(477, &json!({})).with("retry-after", "86400")).await;
    assert_eq!(seconds.wait, Some(Duration::from_secs(86_400)));
    let date =
        say(503, &json!({})).with("date", "Sun, 01 Mar 2026 12:00:00 GMT").with("retry-after", "Sun, 01 Mar 2026 12:02:30 GMT");
    assert_eq!(refused_read(date).await.wait, Some(Duration::from_secs(150)));
    let past =
        say(503, &json!({})).with("date", "Sun, 01 Mar 2026 12:00:00 GMT").with("retry-after", "Sun, 01 Mar 2026 11:00:00 GMT");
    assert_eq!(refused_read(past).await.wait, Some(Duration::ZERO));
    let absurd = refused_read(say(503, &json!({})).with("retry-after", "99999999999999")).await;
    assert_eq!(absurd.wait, Some(Duration::from_secs(7 * 24 * 3600)));
    assert_eq!(refused_read(say(503, &json!({})).with("retry-after", "soon")).await.wait, None);
}

#[tokio::test]
async fn a_duplicate_names_the_record_that_holds_the_identity() {
    let conflict = refused_write(say(409, &vendor_error("CONFLICT", "Contact already exists. Existing ID: 551"))).await;
    assert_eq!((conflict.class, conflict.existing), (Class::Duplicate, Some(RemoteId::new("551"))));
    assert!(!conflict.maybe_done);
    let silent = refused_write(say(409, &vendor_error("CONFLICT", "Property already exists"))).await;
    assert_eq!((silent.class, silent.existing), (Class::Duplicate, None));
}

#[tokio::test]
async fn refused_content_names_its_property_in_both_shapes() {
    let details = r#"[{"isValid":false,"message":"Email address nope is invalid","error":"INVALID_EMAIL","name":"email"}]"#;
    let message = format!("Property values were not valid: {details}");
    let refused = refused_write(say(400, &vendor_error("VALIDATION_ERROR", &message))).await;
    assert_eq!((refused.class, refused.property.as_deref()), (Class::Rejected, Some("email")));
    assert_eq!(refused.code.as_deref(), Some("VALIDATION_ERROR"));
    let older =
        json!({ "validationResults": [{ "isValid": false, "error": "INVALID_EMAIL", "name": "email" }], "status": "error" });
    let refused = refused_write(say(400, &older)).await;
    assert_eq!((refused.class, refused.property.as_deref()), (Class::Rejected, Some("email")));
}

#[tokio::test]
async fn an_unknown_property_or_object_is_a_fault_of_the_mapping() {
    let details = r#"[{"isValid":false,"message":"gone","error":"PROPERTY_DOESNT_EXIST","name":"vip"}]"#;
    let message = format!("Property values were not valid: {details}");
    let unknown = refused_write(say(400, &vendor_error("VALIDATION_ERROR", &message))).await;
    assert_eq!((unknown.class, unknown.property.as_deref()), (Class::Schema, Some("vip")));
    let object = vendor_error("VALIDATION_ERROR", "Unable to infer object type from: cars");
    check(400, object, Class::Schema).await;
}

#[tokio::test]
async fn a_page_of_the_edge_is_not_taken_for_an_answer_of_hubspot() {
    let html = |status| say_text(status, "text/html", "<html>blocked</html>");
    assert_eq!(refused_read(html(404)).await.class, Class::Malformed, "absence must come from the CRM itself");
    assert_eq!(refused_read(html(403)).await.class, Class::Throttled);
    assert_eq!(refused_read(html(200)).await.class, Class::Malformed);
    assert_eq!(refused_read(html(503)).await.class, Class::Retry);
}

#[tokio::test]
async fn a_success_that_is_not_the_promised_json_is_malformed_and_never_an_empty_page() {
    let json_type = "application/json";
    for body in ["", "{", "[]", "{}", r#"{"results":null}"#, r#"{"results":[{"properties":{}}]}"#, r#"{"results":[]}}"#, "<html>"]
    {
        let failure = refused_read(say_text(200, json_type, body)).await;
        assert_eq!(failure.class, Class::Malformed, "{body}");
    }
    let truncated = r#"{"total":1,"results":[{"id":"5","properties":{"email":"ana@acme.te"#;
    let failure = refused_read(say_text(200, json_type, truncated)).await;
    assert_eq!(failure.class, Class::Malformed);
    assert!(!failure.message.contains("ana"), "{failure}");
    assert_eq!(refused_read(say_text(200, "text/plain", r#"{"results":[]}"#)).await.class, Class::Malformed);
    assert_eq!(refused_read(say_nothing(204)).await.class, Class::Malformed);
}

#[tokio::test]
async fn a_body_that_is_not_utf_8_or_nested_without_end_is_malformed() {
    let mut latin = say(200, &json!({ "results": [] }));
    latin.body = b"{\"results\":[],\"x\":\"caf\xe9\"}".to_vec();
    assert_eq!(refused_read(latin).await.class, Class::Malformed);
    let deep = format!(r#"{{"results":[],"errors":[{}"#, "[".repeat(100_000));
    assert_eq!(refused_read(say_text(200, "application/json", &deep)).await.class, Class::Malformed);
    let value = format!(r#"{{"results":[{{"id":"5","properties":{{"email":{}1{}}}}}]}}"#, "[".repeat(500), "]".repeat(500));
    assert_eq!(refused_read(say_text(200, "application/json", &value)).await.class, Class::Malformed);
}

#[tokio::test]
async fn a_write_without_a_usable_answer_may_have_happened() {
    for say in [
        say(500, &json!({})),
        say(504, &json!({})),
        say_text(200, "text/html", "<html>"),
        say_text(201, "application/json", "{\"resul"),
        say_text(302, "text/html", "").with("location", "/elsewhere"),
    ] {
        let shown = format!("{say:?}");
        assert!(refused_write(say).await.maybe_done, "{shown}");
    }
    for status in [400, 401, 403, 409, 423, 429, 477] {
        assert!(!refused_write(say(status, &json!({}))).await.maybe_done, "{status} is a refusal");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_names_both_hosts() {
    let redirect = say_nothing(307).with("location", "https://evil.test/crm?to=ana@acme.test");
    let failure = refused_read(redirect).await;
    assert_eq!(failure.class, Class::Malformed);
    assert!(failure.message.contains("evil.test") && failure.message.contains("127.0.0.1"), "{failure}");
    let near = say_nothing(308).with("location", "/crm/elsewhere");
    let server = Server::saying(vec![near, say(200, &json!({ "results": [] }))]).await;
    assert_eq!(read(&server.crm).await.result.unwrap_err().class, Class::Malformed);
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_port_without_a_listener_leaves_a_write_undone() {
    let answer = write(&crm_behind_nothing().await).await;
    let failure = answer.result.unwrap_err();
    assert_eq!((failure.class, failure.maybe_done, answer.callout.status), (Class::Retry, false, None));
}

#[tokio::test]
async fn a_server_that_never_answers_ends_at_the_deadline() {
    let crm = crm_behind_silence().await;
    let failure = write(&crm).await.result.unwrap_err();
    assert_eq!((failure.class, failure.maybe_done), (Class::Retry, true));
    assert!(failure.message.contains("150 ms"), "{failure}");
    let answer = read(&crm).await;
    let failure = answer.result.unwrap_err();
    assert_eq!((failure.class, failure.maybe_done), (Class::Retry, false));
    assert!(answer.callout.elapsed_ms >= 150);
}

#[tokio::test]
async fn a_connection_cut_before_or_inside_the_answer_is_a_passing_fault() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{\"results\":[".to_vec();
    for bytes in [Vec::new(), cut, b"220 smtp.acme.test ready\r\n".to_vec()] {
        let crm = crm_behind_bytes(bytes).await;
        let failure = read(&crm).await.result.unwrap_err();
        assert_eq!((failure.class, failure.maybe_done), (Class::Retry, false), "{failure}");
        let failure = write(&crm).await.result.unwrap_err();
        assert_eq!((failure.class, failure.maybe_done), (Class::Retry, true), "{failure}");
    }
}

#[tokio::test]
async fn a_body_beyond_the_cap_is_refused_announced_or_not() {
    let announced = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99999999\r\n\r\n".to_vec();
    let mut unannounced = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n".to_vec();
    unannounced.resize(unannounced.len() + tidemark_crm::http::BODY_BYTES_MAX + 1, b' ');
    for bytes in [announced, unannounced] {
        let failure = read(&crm_behind_bytes(bytes).await).await.result.unwrap_err();
        assert_eq!(failure.class, Class::Malformed);
        assert!(failure.message.contains("larger than 20 MiB"), "{failure}");
    }
}

#[tokio::test]
async fn what_the_vendor_says_reaches_no_message_with_an_address_or_the_token() {
    let text = format!("Email address ana@acme.test is invalid for {TOKEN}");
    let failure = refused_write(say(400, &vendor_error("VALIDATION_ERROR", &text))).await;
    assert!(failure.message.contains("Email address [e-mail] is invalid for [secret]"), "{failure}");
    let server = Server::saying(Vec::new()).await;
    assert!(!format!("{:?}", server.crm).contains(TOKEN));
}

#[tokio::test]
async fn every_call_records_status_time_quota_and_the_servers_clock() {
    let ok = say(200, &json!({ "results": [] }))
        .with("x-hubspot-ratelimit-remaining", "183")
        .with("date", "Sun, 01 Mar 2026 12:00:00 GMT");
    let server = Server::saying(vec![ok]).await;
    let before = chrono::Utc::now().timestamp_millis();
    let answer = server.crm.read_ids(&ids_of(&properties(), &[RemoteId::new("1")])).await;
    let after = chrono::Utc::now().timestamp_millis();
    let callout = answer.callout;
    assert_eq!((callout.method, callout.endpoint.as_str()), ("POST", "/crm/v3/objects/contacts/batch/read"));
    assert_eq!((callout.status, callout.class, callout.quota_left), (Some(200), None, Some(183)));
    let ours = 1_772_366_400_000 - callout.clock_offset_ms.unwrap();
    assert!((before..=after).contains(&ours));
    assert_eq!(server.asked()[0].authorization.as_deref(), Some(format!("Bearer {TOKEN}").as_str()));
}

#[tokio::test]
async fn a_call_is_kept_as_far_as_it_came_and_only_when_it_is_asked_for() {
    let server =
        Server::saying(vec![say(200, &json!({ "results": [] })), say(400, &vendor_error("VALIDATION_ERROR", "no"))]).await;
    assert_eq!(read(&server.crm).await.callout.tape, None);
    let refused = recorded(write(&server.crm)).await.callout.tape.unwrap();
    assert!(refused.request.starts_with("POST /crm/v3/objects/contacts/batch/update\nuser-agent: tidemark/"), "{refused:?}");
    assert!(refused.request.contains("authorization: ‹secret›\n") && refused.request.contains("\"email\": ‹e-mail 13›"));
    let said = refused.response.unwrap();
    assert!(said.starts_with("400\n") && said.contains("\"category\": \"VALIDATION_ERROR\""), "{said}");
    // Nothing heard, a head and no end, and a page of the edge.
    let unheard = recorded(read(&crm_behind_nothing().await)).await.callout.tape.unwrap();
    assert_eq!(unheard.response, None);
    let unheard = recorded(read(&crm_behind_silence().await)).await.callout.tape.unwrap();
    assert_eq!(unheard.response, None);
    let broken =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{\"results\":[{\"id\":\"Wupperfeld";
    let broken = recorded(read(&crm_behind_bytes(broken.to_vec()).await)).await.callout.tape.unwrap().response.unwrap();
    assert!(broken.contains("\"id\": ‹text 10›") && broken.contains("the body had not ended after 29 bytes"), "{broken}");
    assert_eq!(read(&server.crm).await.callout.tape, None, "and none of it afterwards");
}
