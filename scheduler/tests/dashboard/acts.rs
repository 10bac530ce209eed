//! What people do changes the state and is recorded.

use crate::site::{Site, words};
use crate::{on_both_databases, seed};

on_both_databases! {
    pausing_and_resuming_a_stream_is_recorded_with_its_reason(None);
    go_starts_a_stream_whose_plan_was_ready(None);
    a_connection_can_be_paused_and_resumed(None);
    debts_can_be_retried_and_parked(None);
    calls_are_recorded_for_a_while_and_the_recording_is_stopped(None);
    what_a_brake_holds_is_let_through_with_a_button(None);
    the_api_does_the_same_acts_and_answers_in_json(None);
    conflicts_are_decided_with_one_of_two_buttons(None);
}

async fn world(site: &Site) {
    let now = site.store.now().await.unwrap();
    seed::calm(&site.db, now).await;
    seed::storm(&site.db, now).await;
}

async fn stream_state(site: &Site, name: &str) -> String {
    site.text(&format!("SELECT state || ':' || COALESCE(reason, '') FROM tidemark_stream WHERE name = '{name}'")).await
}

async fn last_act(site: &Site) -> String {
    site.text(
        "SELECT who || ' ' || verb || ' ' || subject || ': ' || COALESCE(reason, '') FROM tidemark_act ORDER BY id DESC LIMIT 1",
    )
    .await
}

async fn pausing_and_resuming_a_stream_is_recorded_with_its_reason(site: Site) {
    world(&site).await;
    let answer = site.post("/acts/streams/hubspot.deals/pause", "back=%2Fdebts%3Fpage%3D1&reason=import+runs").await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["location"]), (303, &"/debts?page=1".parse().unwrap()));
    assert_eq!(stream_state(&site, "hubspot.deals").await, "paused:paused by dashboard: import runs");
    assert_eq!(last_act(&site).await, "dashboard pause stream hubspot.deals: import runs");
    assert!(site.page("/").await.contains("paused by dashboard: import runs"), "the next page shows it");
    assert_eq!(site.post("/acts/streams/hubspot.deals/resume", "back=https://evil.example").await.headers()["location"], "/");
    assert_eq!(stream_state(&site, "hubspot.deals").await, "running:");
    assert_eq!(last_act(&site).await, "dashboard resume stream hubspot.deals: ");
    assert!(site.page("/acts").await.contains("import runs"));
    assert_eq!(site.post("/acts/streams/hubspot.deals/resume", "").await.status(), 409);
    assert_eq!(site.post("/acts/streams/nothing/pause", "").await.status(), 404);
    assert_eq!(site.post("/acts/streams/hubspot.deals/sweep", "").await.status(), 303);
    assert_eq!(last_act(&site).await, "dashboard sweep stream hubspot.deals: ");
    assert_eq!(site.post("/acts/streams/hubspot.deals/sweep", "").await.status(), 409, "it is owed already");
    assert_eq!(site.post("/acts/streams/hubspot.deals/explode", "").await.status(), 404);
}

async fn go_starts_a_stream_whose_plan_was_ready(site: Site) {
    world(&site).await;
    assert_eq!(site.post("/acts/streams/hubspot.companies/pause", "").await.status(), 409);
    assert_eq!(site.post("/acts/streams/hubspot.companies/go", "").await.status(), 303);
    assert_eq!(stream_state(&site, "hubspot.companies").await, "running:");
    assert_eq!(last_act(&site).await, "dashboard go stream hubspot.companies: ");
}

async fn a_connection_can_be_paused_and_resumed(site: Site) {
    world(&site).await;
    let state = "SELECT state || ':' || COALESCE(reason, '') FROM tidemark_connection WHERE name = 'hubspot'";
    assert_eq!(site.post("/acts/connections/hubspot/pause", "").await.status(), 303);
    assert_eq!(site.text(state).await, "paused:paused by dashboard");
    assert_eq!(site.post("/acts/connections/hubspot/resume", "").await.status(), 303);
    assert_eq!(site.text(state).await, "running:");
    assert_eq!(last_act(&site).await, "dashboard resume connection hubspot: ");
    assert_eq!(site.post("/acts/connections/nothing/pause", "").await.status(), 404);
}

async fn calls_are_recorded_for_a_while_and_the_recording_is_stopped(site: Site) {
    world(&site).await;
    assert!(site.page("/callouts").await.contains("action=\"/acts/connections/hubspot/record\""));
    assert_eq!(site.post("/acts/connections/hubspot/record", "minutes=61&back=/callouts").await.status(), 409);
    assert_eq!(site.post("/acts/connections/hubspot/record", "minutes=30&reason=case+4711&back=/callouts").await.status(), 303);
    assert_eq!(last_act(&site).await, "dashboard record calls connection hubspot for 1800 s: case 4711");
    for page in ["/", "/callouts"] {
        let text = words(&site.page(page).await);
        assert!(text.contains("recorded for 29 min more") && text.contains("calls at most, begun by dashboard"), "{text}");
        assert!(site.page(page).await.contains("action=\"/acts/connections/hubspot/stop-recording\""));
    }
    let status: serde_json::Value = site.get("/api/status").await.json().await.unwrap();
    let hubspot = status["connections"].as_array().unwrap().iter().find(|one| one["name"] == "hubspot").unwrap();
    assert_eq!(hubspot["recording"]["by"], "dashboard");
    assert_eq!(site.post("/acts/connections/hubspot/stop-recording", "back=/").await.status(), 303);
    assert_eq!(last_act(&site).await, "dashboard stop recording calls connection hubspot: ");
    assert_eq!(site.post("/acts/connections/hubspot/stop-recording", "").await.status(), 409, "none runs");
    assert!(!site.page("/").await.contains("recorded for"));
    let by_api = site.client.post(format!("{}/api/connections/hubspot/record", site.address)).body(r#"{"minutes": 5}"#);
    assert_eq!(by_api.send().await.unwrap().status(), 200);
    assert_eq!(last_act(&site).await, "api record calls connection hubspot for 300 s: ");
    // It ends by itself.
    seed::run(&site.db, "UPDATE tidemark_connection SET record_until = 1").await;
    assert_eq!(site.post("/acts/connections/hubspot/stop-recording", "").await.status(), 409);
    assert_eq!(site.post("/acts/connections/nothing/record", "").await.status(), 404);
}

async fn debts_can_be_retried_and_parked(site: Site) {
    world(&site).await;
    let id = site.text("SELECT CAST(id AS TEXT) FROM tidemark_debt WHERE subject = '1041'").await;
    let state = format!("SELECT state FROM tidemark_debt WHERE id = {id}");
    assert_eq!(site.post(&format!("/acts/debts/{id}/retry"), "back=/debts").await.status(), 303);
    assert_eq!(site.text(&state).await, "waiting");
    assert_eq!(last_act(&site).await, "dashboard retry push debt of hubspot.contacts 1041: ");
    assert_eq!(site.post(&format!("/acts/debts/{id}/park"), "back=/debts").await.status(), 303);
    assert_eq!(site.text(&state).await, "parked");
    for id in ["999999", "x", "-1"] {
        assert_eq!(site.post(&format!("/acts/debts/{id}/retry"), "").await.status(), 404);
    }
}

async fn the_api_does_the_same_acts_and_answers_in_json(site: Site) {
    world(&site).await;
    let post = |path: &str, body: &'static str| site.client.post(format!("{}{path}", site.address)).body(body).send();
    let done = post("/api/streams/hubspot.deals/pause", r#"{"reason": "deploy"}"#).await.unwrap();
    assert_eq!((done.status().as_u16(), done.text().await.unwrap()), (200, r#"{"done":true}"#.into()));
    assert_eq!(last_act(&site).await, "api pause stream hubspot.deals: deploy");
    assert_eq!(post("/api/connections/pipedrive/resume", "").await.unwrap().status(), 200);
    assert_eq!(post("/api/streams/hubspot.deals/pause", "{").await.unwrap().status(), 400);
    let missing = post("/api/debts/999999/park", "").await.unwrap();
    assert_eq!(
        (missing.status().as_u16(), missing.text().await.unwrap()),
        (404, r#"{"error":"there is no debt 999999 to park"}"#.into())
    );
}

async fn conflicts_are_decided_with_one_of_two_buttons(site: Site) {
    world(&site).await;
    let base = r#"{"phone":["+49 30 <1>","+49 30 2",{"conflict":["0",null],"since":1}],"firstname":["A","B",{"conflict":null}]}"#;
    seed::run(
        &site.db,
        &format!("UPDATE tidemark_link SET base = '{base}', open_since = 1000 WHERE stream_id = 1 AND row_key = '2'"),
    )
    .await;
    let id = site.text("SELECT CAST(id AS TEXT) FROM tidemark_link WHERE stream_id = 1 AND row_key = '2'").await;
    let page = site.page("/conflicts").await;
    for expect in ["+49 30 &lt;1&gt;", "+49 30 2", "0 ↔ ", "the two never met", "both sides changed it"] {
        assert!(page.contains(expect), "{expect:?} is not in\n{page}");
    }
    assert!(page.contains(&format!("/acts/conflicts/{id}%3Aphone/take-orders")));
    assert!(site.page("/").await.contains("1 conflict to decide</a>"));
    let answer = site.post(&format!("/acts/conflicts/{id}%3Aphone/take-orders"), "back=%2Fconflicts").await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["location"]), (303, &"/conflicts".parse().unwrap()));
    assert_eq!(last_act(&site).await, "dashboard take orders phone of row 2 of hubspot.contacts: ");
    let owed = "SELECT kind || ' ' || subject || ' ' || state FROM tidemark_debt ORDER BY id DESC LIMIT 1";
    assert_eq!(site.text(owed).await, "push 2 waiting");
    assert_eq!(
        site.text("SELECT CAST(open_since AS TEXT) FROM tidemark_link WHERE row_key = '2' AND stream_id = 1").await,
        "1000"
    );
    let again = site.post(&format!("/acts/conflicts/{id}%3Aphone/take-crm"), "").await;
    assert_eq!(again.status(), 409, "it is decided");
    assert!(again.text().await.unwrap().contains("nothing waits for a decision there"));
    let left: serde_json::Value = site.get("/api/conflicts?stream=hubspot.contacts").await.json().await.unwrap();
    assert_eq!(
        (left["conflicts"][0]["field"].as_str(), left["conflicts"].as_array().map(Vec::len)),
        (Some("firstname"), Some(1))
    );
    let by_api = site.client.post(format!("{}/api/conflicts/{id}:firstname/take-crm", site.address)).send().await.unwrap();
    assert_eq!(by_api.status(), 200);
    assert_eq!(site.text(owed).await, "read r2 waiting");
    assert!(site.page("/conflicts").await.contains("Nothing waits for a decision."));
    for place in ["x", "999999:phone", &format!("{id}:nothing"), &id] {
        assert_eq!(site.post(&format!("/acts/conflicts/{place}/take-crm"), "").await.status(), 404, "{place}");
    }
}

async fn what_a_brake_holds_is_let_through_with_a_button(site: Site) {
    world(&site).await;
    let id = "(SELECT id FROM tidemark_stream WHERE name = 'hubspot.deals')";
    let brake =
        format!("INSERT INTO tidemark_brake (stream_id, direction, act, most, tripped_at) VALUES ({id}, 'out', 'delete', 50, 1)");
    let debt = "INSERT INTO tidemark_debt (stream_id, kind, subject, state, class)";
    seed::run(&site.db, &brake).await;
    seed::run(&site.db, &format!("{debt} VALUES ({id}, 'push', '7001', 'parked', 'brake_delete')")).await;
    let page = site.page("/streams/hubspot.deals").await;
    assert!(page.contains("1 of the records is not deleted: 50 within a day pass without asking"), "{page}");
    assert!(page.contains("Let 1 record to be deleted through"), "{page}");
    assert_eq!(site.post("/acts/brakes/hubspot.deals/out-delete", "back=/").await.status(), 303);
    assert_eq!(last_act(&site).await, "dashboard let through stream hubspot.deals: 1 record to be deleted: ");
    let passed = "SELECT state || ':' || passed FROM tidemark_debt WHERE subject = '7001'";
    assert_eq!(site.text(passed).await, "waiting:brake_delete");
    assert_eq!(site.post("/acts/brakes/hubspot.deals/out-delete", "").await.status(), 409, "it is answered");
    for nothing in ["out-explode", "sideways-delete", "delete"] {
        assert_eq!(site.post(&format!("/acts/brakes/hubspot.deals/{nothing}"), "").await.status(), 404);
    }
}
