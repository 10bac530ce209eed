//! The practice CRM over a real connection: what only the network can show.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tidemark_sandbox::{ForcedAnswer, Limits, ObjectType, Sandbox, SandboxConfig, StartError, Weather};

const TOKEN: &str = "pat-na1-sandbox";

struct Caller {
    sandbox: Sandbox,
    client: Client,
}

impl Caller {
    async fn new(weather: Weather) -> Self {
        let sandbox = Sandbox::start(SandboxConfig { weather, ..SandboxConfig::default() }).await.unwrap();
        Self { sandbox, client: Client::new() }
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> reqwest::Result<reqwest::Response> {
        let url = format!("{}{path}", self.sandbox.base_url());
        self.client.request(method, url).bearer_auth(TOKEN).json(body).send().await
    }

    async fn json(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let answer = self.send(method, path, &body).await.unwrap();
        let status = answer.status();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
    }
}

#[tokio::test]
async fn an_account_says_who_it_is_and_carries_quota_headers() {
    let caller = Caller::new(Weather::calm()).await;
    let answer = caller.send(Method::GET, "/account-info/v3/details", &Value::Null).await.unwrap();
    assert_eq!(answer.headers()["x-hubspot-ratelimit-remaining"], "189");
    assert!(answer.headers()["date"].to_str().unwrap().ends_with("GMT"));
    let body: Value = answer.json().await.unwrap();
    assert_eq!((&body["portalId"], &body["accountType"]), (&json!(24_539_219), &json!("SANDBOX")));
    caller.sandbox.stop().await;
}

#[tokio::test]
async fn a_lost_answer_reaches_the_caller_as_a_broken_connection_and_the_write_is_there() {
    let caller = Caller::new(Weather::calm()).await;
    let crm = caller.sandbox.crm();
    crm.force_next(ForcedAnswer { dropped: true, applies: true, ..ForcedAnswer::default() });
    let sent = json!({ "properties": { "dealname": "Sofa" } });
    let error = caller.send(Method::POST, "/crm/v3/objects/deals", &sent).await.unwrap_err();
    assert!(error.is_request(), "{error:?}");
    let deals = crm.list(ObjectType::Deals);
    assert_eq!((deals.len(), deals[0].properties["dealname"].as_str()), (1, "Sofa"));
    let (status, _) = caller.json(Method::GET, "/crm/v3/objects/deals/501", Value::Null).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn a_human_and_the_api_see_each_others_work() {
    let caller = Caller::new(Weather::calm()).await;
    let crm = caller.sandbox.crm();
    let id = crm.create(ObjectType::Contacts, &[("email", "Ana@Acme.test"), ("phone", "030 12-34")]).unwrap();
    let path = "/crm/v3/objects/contacts/ana%40acme.test?idProperty=email&properties=phone";
    let (_, row) = caller.json(Method::GET, path, Value::Null).await;
    assert_eq!((&row["id"], &row["properties"]["phone"]), (&json!(id), &json!("0301234")));
    let change = json!({ "properties": { "phone": "" } });
    let (status, _) = caller.json(Method::PATCH, &format!("/crm/v3/objects/contacts/{id}"), change).await;
    assert_eq!(status, StatusCode::OK);
    assert!(!crm.list(ObjectType::Contacts)[0].properties.contains_key("phone"));
    let versions = crm.versions(ObjectType::Contacts, &id).unwrap();
    assert_eq!(versions.iter().map(|version| version.source).collect::<Vec<_>>(), ["human", "api"]);
    assert_eq!(crm.create(ObjectType::Contacts, &[("email", "ana@acme.test")]).unwrap_err().status(), 409);
}

#[tokio::test]
async fn the_control_api_needs_no_token_and_does_what_the_handle_does() {
    let caller = Caller::new(Weather::calm()).await;
    let (status, made) =
        caller.json(Method::POST, "/sandbox/records/deals", json!({ "properties": { "dealname": "Sofa <b>" } })).await;
    assert_eq!((status, &made["id"]), (StatusCode::CREATED, &json!("501")));
    let (_, list) = caller.json(Method::GET, "/sandbox/records/deals", Value::Null).await;
    assert_eq!(list[0]["properties"]["dealname"], "Sofa <b>");
    let (_, weather) = caller.json(Method::PUT, "/sandbox/weather", json!({ "merged_redirect": true })).await;
    assert_eq!((&weather["merged_redirect"], &weather["shuffle"]), (&json!(true), &json!(true)));
    let (status, _) = caller.json(Method::PUT, "/sandbox/weather", json!({ "rain": 1 })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (_, weather) = caller.json(Method::PUT, "/sandbox/weather", json!({ "preset": "calm" })).await;
    assert_eq!(weather["merged_redirect"], json!(false));
    let (status, _) = caller.json(Method::DELETE, "/sandbox/records/deals/501", Value::Null).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (_, versions) = caller.json(Method::GET, "/sandbox/versions/deals/501", Value::Null).await;
    assert_eq!(versions[1]["life"], "archived");
    let page = caller.send(Method::GET, "/sandbox/?object=deals", &Value::Null).await.unwrap().text().await.unwrap();
    assert!(page.contains("Sofa &lt;b&gt;"));
    let (_, counters) = caller.json(Method::GET, "/sandbox/counters", Value::Null).await;
    assert_eq!((&counters["calls"], &counters["writes"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn a_form_of_the_page_edits_a_record_and_leads_back() {
    let caller = Caller::new(Weather::calm()).await;
    let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let url = format!("{}/sandbox/records/contacts", caller.sandbox.base_url());
    let answer = client
        .post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body("p.email=ana%40acme.test&p.firstname=Ana+Maria&p.phone=")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (answer.status(), &answer.headers()["location"]),
        (StatusCode::SEE_OTHER, &"/sandbox/?object=contacts".parse().unwrap())
    );
    let contact = &caller.sandbox.crm().list(ObjectType::Contacts)[0];
    assert_eq!((contact.properties["email"].as_str(), contact.properties["firstname"].as_str()), ("ana@acme.test", "Ana Maria"));
}

#[tokio::test]
async fn a_quirk_is_switched_and_the_schema_drifts_over_the_control_api() {
    let caller = Caller::new(Weather::calm()).await;
    let (status, quirks) = caller.json(Method::PUT, "/sandbox/quirks", json!({ "search_results_max": 3 })).await;
    assert_eq!((status, &quirks["search_results_max"]), (StatusCode::OK, &json!(3)));
    let search = "/crm/v3/objects/deals/search";
    assert_eq!(caller.json(Method::POST, search, json!({ "limit": 4 })).await.0, StatusCode::BAD_REQUEST);
    let (_, quirks) = caller.json(Method::GET, "/sandbox/quirks", Value::Null).await;
    assert_eq!((&quirks[0]["value"], &quirks[0]["normal"]), (&json!(3), &json!(10_000)));
    assert_eq!(caller.json(Method::PUT, "/sandbox/quirks", json!({ "rain": 1 })).await.0, StatusCode::BAD_REQUEST);

    let created = json!({ "properties": { "shoe_size": "42" } });
    assert_eq!(caller.json(Method::POST, "/crm/v3/objects/contacts", created.clone()).await.0, StatusCode::BAD_REQUEST);
    let property = json!({ "name": "shoe_size", "kind": "number" });
    let path = "/sandbox/properties/contacts";
    let (status, added) = caller.json(Method::POST, path, property.clone()).await;
    assert_eq!((status, &added["name"]), (StatusCode::CREATED, &json!("shoe_size")));
    assert_eq!(caller.json(Method::POST, path, property).await.0, StatusCode::CONFLICT);
    assert_eq!(caller.json(Method::POST, "/crm/v3/objects/contacts", created.clone()).await.0, StatusCode::CREATED);
    let path = "/sandbox/properties/contacts/shoe_size";
    assert_eq!(caller.json(Method::DELETE, path, Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(caller.json(Method::POST, "/crm/v3/objects/contacts", created).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_shape_prepared_on_the_page_is_the_vendors_own_answer() {
    let caller = Caller::new(Weather::calm()).await;
    let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let url = format!("{}/sandbox/next", caller.sandbox.base_url());
    let form = |body: &'static str| client.post(&url).header("content-type", "application/x-www-form-urlencoded").body(body);
    assert_eq!(form("shape=429+daily&times=1").send().await.unwrap().status(), StatusCode::SEE_OTHER);
    assert_eq!(form("shape=rain").send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    let (status, body) = caller.json(Method::GET, "/crm/v3/objects/deals", Value::Null).await;
    assert_eq!((status, &body["policyName"]), (StatusCode::TOO_MANY_REQUESTS, &json!("DAILY")));
    assert_eq!(caller.json(Method::GET, "/crm/v3/objects/deals", Value::Null).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_killed_token_is_refused_until_it_is_replaced() {
    let caller = Caller::new(Weather::calm()).await;
    caller.json(Method::POST, "/sandbox/token", json!({ "token": null })).await;
    let path = "/crm/v3/objects/deals";
    assert_eq!(caller.json(Method::GET, path, Value::Null).await.0, StatusCode::UNAUTHORIZED);
    caller.json(Method::POST, "/sandbox/token", json!({ "token": TOKEN })).await;
    assert_eq!(caller.json(Method::GET, path, Value::Null).await.0, StatusCode::OK);
    let (_, calls) = caller.json(Method::GET, "/sandbox/calls", Value::Null).await;
    assert_eq!((&calls[0]["status"], &calls[1]["status"]), (&json!(200), &json!(401)));
}

#[tokio::test]
async fn a_forced_answer_is_sent_word_for_word() {
    let caller = Caller::new(Weather::calm()).await;
    let forced = json!({ "status": 502, "body": "<html>oops", "content_type": "text/html", "headers": { "X-Edge": "1" },
        "times": 1, "path_contains": "/search" });
    caller.json(Method::POST, "/sandbox/next", forced).await;
    let answer = caller.send(Method::POST, "/crm/v3/objects/deals/search", &json!({})).await.unwrap();
    assert_eq!((answer.status(), answer.headers()["x-edge"].as_bytes()), (StatusCode::BAD_GATEWAY, &b"1"[..]));
    assert_eq!(answer.headers()["content-type"], "text/html");
    assert_eq!(answer.text().await.unwrap(), "<html>oops");
}

#[tokio::test]
async fn a_truncated_read_arrives_complete_as_http_and_broken_as_json() {
    let caller = Caller::new(Weather { truncated: 1.0, ..Weather::calm() }).await;
    let answer = caller.send(Method::POST, "/crm/v3/objects/deals/search", &json!({})).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(serde_json::from_str::<Value>(&answer.text().await.unwrap()).is_err());
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let caller = Caller::new(Weather::calm()).await;
    let taken = SandboxConfig { listen: caller.sandbox.address(), ..SandboxConfig::default() };
    let error = Sandbox::start(taken).await.unwrap_err();
    assert!(matches!(error, StartError::PortInUse { .. }));
    assert!(error.to_string().contains(&caller.sandbox.address().to_string()));
}

#[tokio::test]
async fn a_stopped_server_frees_its_port() {
    let caller = Caller::new(Weather::calm()).await;
    let listen = caller.sandbox.address();
    caller.json(Method::GET, "/crm/v3/objects/deals", Value::Null).await;
    caller.sandbox.stop().await;
    let again = Sandbox::start(SandboxConfig { listen, ..SandboxConfig::default() }).await.unwrap();
    assert_eq!(again.address(), listen);
}

#[tokio::test]
async fn a_patient_caller_gets_every_order_through_rough_weather_exactly_once() {
    const ORDERS: usize = 40;
    let limits = Limits { per_10s: 10_000, ..Limits::default() };
    let sandbox = Sandbox::start(SandboxConfig { limits, seed: 11, ..SandboxConfig::default() }).await.unwrap();
    let caller = Caller { sandbox, client: Client::new() };
    let crm = caller.sandbox.crm();
    let property = json!({ "name": "order_id", "type": "string", "hasUniqueValue": true });
    assert_eq!(caller.json(Method::POST, "/crm/v3/properties/deals", property).await.0, StatusCode::CREATED);
    crm.set_weather(Weather { late_commit_ms: (0, 20), lost_answer: 0.2, late_landing: 0.1, ..Weather::rough() });

    for order in 0..ORDERS {
        let input = json!({ "id": format!("A{order}"), "idProperty": "order_id", "properties": { "amount": "1" } });
        let body = json!({ "inputs": [input] });
        loop {
            match caller.send(Method::POST, "/crm/v3/objects/deals/batch/upsert", &body).await {
                Ok(answer) if answer.status().is_success() => break,
                Ok(answer) => assert!(answer.status().is_server_error() || answer.status() == StatusCode::TOO_MANY_REQUESTS),
                Err(error) => assert!(error.is_request(), "{error:?}"),
            }
        }
    }

    let deals = crm.list(ObjectType::Deals);
    let orders: BTreeSet<&str> = deals.iter().map(|deal| deal.properties["order_id"].as_str()).collect();
    assert_eq!((deals.len(), orders.len()), (ORDERS, ORDERS));
    assert!(crm.counters().faults > 0);
}
