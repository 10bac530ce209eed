//! What is kept of a recorded call, side by side with what was said, and that nothing of anybody's stands in it.

use proptest::prelude::*;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::*;

const SECRET: &str = "pat-na1-7f3c9e21-qzjkwvxn";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &str)| Some((name.parse().ok()?, HeaderValue::from_bytes(value.as_bytes()).ok()?));
    pairs.iter().filter_map(pair).collect()
}

fn taped(path: &str, sent: Option<&[u8]>, status: u16, heard: &[u8]) -> Tape {
    let mut bearer = HeaderValue::from_static("Bearer pat-na1-7f3c9e21-qzjkwvxn");
    bearer.set_sensitive(true);
    let mut asked = headers(&[("content-type", "application/json")]);
    asked.insert("authorization", bearer);
    let said =
        headers(&[("content-type", "application/json"), ("x-request-id", "req-8f2a-11"), ("set-cookie", "sid=Wupperfeld12")]);
    let answer = Heard { status, headers: &said, body: heard, whole: true };
    tape(&Call { secrets: vec![SECRET], method: "POST", path, headers: &asked, body: sent, answer: Some(answer) })
}

fn body_of(status: u16, heard: &[u8]) -> String {
    let response = taped("/x", None, status, heard).response.unwrap_or_default();
    response.split_once("\n\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

#[track_caller]
fn check(status: u16, heard: &str, expect: &str) {
    assert_eq!(body_of(status, heard.as_bytes()), expect);
}

#[test]
fn values_are_told_by_kind_and_length_and_the_same_ones_by_a_number() {
    let sent = json!({ "inputs": [
        { "id": "ana@acme.test", "idProperty": "email", "properties": { "firstname": "Åsa ", "born": "1990-02-03", "phone": "" } },
        { "id": "501", "properties": { "email": "ana@acme.test", "vip": true, "score": 41.5, "seen": "2026-01-01T10:00:00Z", "none": null } },
    ] });
    let tape = taped("/crm/v3/objects/contacts/batch/upsert", Some(sent.to_string().as_bytes()), 200, b"{}");
    let expect = r#"POST /crm/v3/objects/contacts/batch/upsert
content-type: application/json
authorization: ‹secret›

{
  "inputs": [ ‹2 items›
    {
      "id": ‹e-mail 13 #1›,
      "idProperty": "email",
      "properties": {
        "born": ‹date 10›,
        "firstname": ‹text 4, not ASCII, blank around›,
        "phone": ""
      }
    },
    {
      "id": ‹digits 3›,
      "properties": {
        "email": ‹e-mail 13 #1›,
        "none": null,
        "score": ‹number 4›,
        "seen": ‹time 20›,
        "vip": true
      }
    }
  ]
}
"#;
    assert_eq!(tape.request, expect);
    assert_eq!(
        tape.response.as_deref(),
        Some("200\ncontent-type: application/json\nx-request-id: req-8f2a-11\nset-cookie: ‹secret›\n\n{}")
    );
}

#[test]
fn a_refusal_keeps_its_codes_its_ids_its_property_and_its_plain_words() {
    let said = json!({
        "status": "error", "category": "VALIDATION_ERROR", "correlationId": "3f1c2d9a-77aa-4c10-9d5e-0a1b2c3d4e5f",
        "message": "Property \"phone\" of Contact Wupperfeld is invalid: +49 30 7777 1234 is not a number",
        "context": { "propertyName": ["phone", "zylinda"] }, "access_token": "abcdefgh",
    });
    let sent = json!({ "properties": { "phone": "+49 30 7777 1234" } });
    let tape = taped("/x", Some(sent.to_string().as_bytes()), 400, said.to_string().as_bytes());
    let said = tape.response.unwrap_or_default();
    for kept in [
        "\"category\": \"VALIDATION_ERROR\"",
        "\"status\": \"error\"",
        "\"correlationId\": \"3f1c2d9a-77aa-4c10-9d5e-0a1b2c3d4e5f\"",
        "\"access_token\": ‹secret›",
        "\"phone\",\n",
        "\"message\": \"Property 'phone' of Contact … is invalid: … … … … is not a number\"",
        "‹text 7›",
    ] {
        assert!(said.contains(kept), "{kept} is missing in\n{said}");
    }
    // The same words as a record's value are a value.
    assert!(body_of(200, br#"{"message":"invalid is the request"}"#).contains("‹text 22›"));
    assert!(
        body_of(207, br#"{"results":[],"errors":[{"message":"invalid is the request"}]}"#).contains("\"invalid is the request\"")
    );
}

#[test]
fn counts_and_lists_are_told_also_where_the_body_is_cut() {
    check(
        200,
        r#"{"total":41,"results":[{"id":"1"}]}"#,
        "{\n  \"total\": 41,\n  \"results\": [\n    {\n      \"id\": ‹digits 1›\n    }\n  ]\n}",
    );
    let many = json!({ "results": vec![json!({ "firstname": "Zylinda" }); 3_000] }).to_string();
    let said = body_of(200, many.as_bytes());
    assert!(
        said.contains("‹3000 items›") && said.ends_with(&format!("… cut here after 16 KiB; the body has {} bytes", many.len())),
        "{said}"
    );
    assert!(said.len() < BODY_BYTES_MAX + 80);
    let deep = "[".repeat(2_000_000);
    assert!(body_of(200, deep.as_bytes()).len() < BODY_BYTES_MAX + 80);
}

#[test]
fn what_is_no_json_is_told_by_what_it_is() {
    check(
        502,
        "<html><head><title>502 Bad Gateway Wupperfeld</title></head>ana@acme.test</html>",
        "‹HTML of 80 bytes, titled: 502 bad gateway …›",
    );
    check(200, "Wupperfeld\nana@acme.test", "‹text of 24 bytes in 2 lines›");
    check(200, "", "no body");
    assert_eq!(body_of(200, &[0xff, 0xfe, 0, b'A']), "‹4 bytes that are no text›");
    check(200, "{\"a\": Wupperfeld, \"b\": \"Zylinda", "{\n  \"a\": ‹no JSON 10›,\n  \"b\": ‹text 7›");
    assert!(body_of(200, b"{\"a\":\"Zyl\xffinda\"}").contains("‹text 8, not ASCII›"));
    check(200, "{\"+49 30 7777\": 1, \"ana@acme.test\": 2}", "{\n  ‹text 11›: ‹number 1›,\n  ‹e-mail 13›: ‹number 1›\n}");
}

#[test]
fn paths_queries_and_headers_tell_nothing_of_a_person() {
    let path = "/crm/objects/2026-03/contacts/10512345?archived=true&limit=100&email=ana%40acme.test&hapikey=abc&q=Zylinda";
    let said = taped(path, None, 200, b"").request;
    let expect = "POST /crm/objects/2026-03/contacts/{id}?archived=true&limit=100&email=‹text 15›&hapikey=‹secret›&q=‹text 7›\n";
    assert!(said.starts_with(expect), "{said}");
    let said = headers(&[
        ("location", "https://x.test/Wupperfeld"),
        ("x-hubspot-ratelimit-remaining", "97"),
        ("cf-ray", "8c1f2a-TXL"),
        ("x-person", "Zylinda"),
        ("date", "Thu, 26 Nov 2026 10:00:00 GMT"),
    ]);
    let answer = Heard { status: 302, headers: &said, body: b"", whole: false };
    let call =
        Call { secrets: vec![SECRET], method: "GET", path: "/x", headers: &HeaderMap::new(), body: None, answer: Some(answer) };
    let said = tape(&call).response.unwrap_or_default();
    for kept in [
        "location: ‹address 25›",
        "x-hubspot-ratelimit-remaining: 97",
        "cf-ray: 8c1f2a-TXL",
        "x-person: ‹text 7›",
        "date: Thu, 26 Nov",
        "had not ended",
    ] {
        assert!(said.contains(kept), "{kept} is missing in\n{said}");
    }
}

#[tokio::test]
async fn only_calls_made_within_are_recorded() {
    assert!(!is_on());
    assert!(recorded(async { is_on() }).await);
    assert!(!is_on());
}

/// What may not leak: as people are named, written to and reached, and the secret.
fn planted() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Z][a-z]{5,9} [A-Z][a-z]{6,10}",
        "[A-Z]{7,12}",
        "[a-z]{6,9}\\.[a-z]{6,9}@[a-z]{6,9}\\.test",
        "\\+[1-9][0-9]{1,2} [0-9]{3} [0-9]{6,8}",
        "[1-9][0-9]{6,13}",
        "[A-ZÄÖÜ][a-zäöüß]{6,9}straße [0-9]{1,3}",
        "[A-Z][a-z]{6,9}; \\\\[a-z]{6} \"[A-Z][a-z]{6,9}\"",
        Just(SECRET.to_owned()),
    ]
}

const NAMES: [&str; 22] = [
    "id",
    "email",
    "firstname",
    "name",
    "total",
    "status",
    "category",
    "code",
    "message",
    "error",
    "errors",
    "properties",
    "results",
    "correlationId",
    "request_id",
    "value",
    "type",
    "detail",
    "after",
    "in",
    "count",
    "context",
];

fn tree(values: Vec<String>) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        8 => prop::sample::select(values).prop_map(Value::String),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::vec((prop::sample::select(NAMES.to_vec()), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())),
        ]
    })
}

/// The bytes as they came over a bad line.
fn damaged(text: &str, how: u8, at: usize) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    let at = if bytes.is_empty() { 0 } else { at % bytes.len() };
    match how {
        0 => bytes.truncate(at),
        1 if !bytes.is_empty() => drop(bytes.remove(at)),
        2 => bytes.insert(at, 0xff),
        3 => bytes.insert(at, b'"'),
        4 => bytes = bytes.split_off(at),
        5 => bytes = format!("<html><title>{text}</title>{text}").into_bytes(),
        _ => {}
    }
    bytes
}

fn leaked(tape: &Tape, planted: &[String]) -> Option<String> {
    let shown = format!("{}\n{}", tape.request, tape.response.as_deref().unwrap_or_default()).to_lowercase();
    // A name is no value, though a value may begin like one.
    let shown = NAMES.iter().fold(shown, |shown, name| shown.replace(&format!("\"{}\"", name.to_lowercase()), "·"));
    let parts = planted.iter().flat_map(|value| {
        let letters: Vec<char> = value.to_lowercase().chars().collect();
        letters.windows(6).map(|part| part.iter().collect::<String>()).collect::<Vec<_>>()
    });
    parts.filter(|part| !part.trim().is_empty()).find(|part| shown.contains(part))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn no_part_of_a_value_or_of_the_secret_is_in_a_tape(
        (values, sent, heard) in prop::collection::vec(planted(), 1..5).prop_flat_map(|values| {
            let (sent, heard) = (tree(values.clone()), tree(values.clone()));
            (Just(values), sent, heard)
        }),
        status in prop::sample::select(vec![200_u16, 207, 400, 502]),
        (how_sent, how_heard) in (6_u8..7, 0_u8..7),
        at in 0_usize..4_000,
    ) {
        let said = if status >= 400 { json!({ "message": format!("{} is invalid, says {}", values[0], values[values.len() - 1]), "body": heard }) } else { heard };
        let sent = json!({ "inputs": [{ "properties": { "p": values, "one": sent } }] }).to_string();
        let path = format!("/crm/contacts?email={}&limit=100", values[0].replace(['&', '='], ""));
        let tape = taped(&path, Some(&damaged(&sent, how_sent, at)), status, &damaged(&said.to_string(), how_heard, at));
        prop_assert_eq!(leaked(&tape, &values), None, "{}\n{:?}", tape.request, tape.response);
    }
}
