//! Endpoints, caps and batches, in calm weather.

use serde_json::{Value, json};

use super::*;
use crate::{ObjectType, snapshot};

#[test]
fn the_vendors_caps_are_refused_with_a_400() {
    let mut bench = Bench::new(Weather::calm());
    let mut check = |path: &str, body: Value, expect: u16| {
        let (status, answer) = bench.post(&format!("/crm/v3/objects/deals/{path}"), &body);
        assert_eq!(status, expect, "{body}");
        assert!(expect == 200 || answer["category"] == "VALIDATION_ERROR");
    };
    check("search", json!({ "limit": 200, "after": "9800" }), 200);
    check("search", json!({ "limit": 200, "after": "10000" }), 400);
    check("search", json!({ "limit": 1, "after": "10000" }), 400);
    check("search", json!({ "limit": 201 }), 400);
    check("search", json!({ "sorts": ["createdate", "amount"] }), 400);
    check("search", json!({ "sorts": ["-createdate"] }), 200);
    let inputs: Vec<Value> = (0..101).map(|id| json!({ "id": id.to_string() })).collect();
    check("batch/read", json!({ "inputs": inputs }), 400);
    check("batch/update", json!({ "inputs": [{ "id": "1", "properties": {} }, { "id": "1", "properties": {} }] }), 400);
    assert_eq!(bench.get("/crm/v3/objects/deals?limit=101").0, 400);
    assert_eq!(bench.get("/crm/v3/objects/boats").0, 400);
}

#[test]
fn a_keyset_walk_over_search_meets_every_record_once() {
    let mut bench = Bench::new(Weather { unstable_ties: true, ..Weather::calm() });
    for number in 0..25 {
        bench.create("deals", &json!({ "dealname": number.to_string() }));
    }
    let (mut floor, mut met) = (0, Vec::new());
    loop {
        let filter = json!({ "propertyName": "hs_object_id", "operator": "GT", "value": floor.to_string() });
        let sort = json!({ "propertyName": "hs_object_id", "direction": "ASCENDING" });
        let body = json!({ "filterGroups": [{ "filters": [filter] }], "sorts": [sort], "limit": 10 });
        let (_, page) = bench.post("/crm/v3/objects/deals/search", &body);
        let ids: Vec<u64> =
            page["results"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().parse().unwrap()).collect();
        let Some(last) = ids.last() else { break };
        floor = *last;
        met.extend(ids);
    }
    assert_eq!(met, (501..526).collect::<Vec<u64>>());
}

#[test]
fn with_trace_ids_a_bad_item_fails_alone_and_results_come_in_their_own_order() {
    let mut bench = Bench::new(Weather::calm());
    let inputs: Vec<Value> = (0..20)
        .map(|number| {
            let amount = if number == 7 { "many".to_owned() } else { number.to_string() };
            json!({ "properties": { "amount": amount }, "objectWriteTraceId": format!("t{number}") })
        })
        .collect();
    let (status, body) = bench.post("/crm/v3/objects/deals/batch/create", &json!({ "inputs": inputs }));
    assert_eq!((status, &body["status"], &body["numErrors"]), (207, &json!("COMPLETE"), &json!(1)));
    assert_eq!(body["errors"][0]["context"]["objectWriteTraceId"], json!(["t7"]));
    let rows = body["results"].as_array().unwrap();
    assert!(
        rows.iter().all(|row| { row["objectWriteTraceId"] == format!("t{}", row["properties"]["amount"].as_str().unwrap()) })
    );
    let order: Vec<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert!(!order.is_sorted(), "{order:?}");
}

#[test]
fn without_trace_ids_a_bad_item_fails_the_whole_batch() {
    let mut bench = Bench::new(Weather::calm());
    bench.create("contacts", &json!({ "email": "ana@acme.test" }));
    let inputs = json!({ "inputs": [
        { "properties": { "email": "ben@acme.test" } },
        { "properties": { "email": "ana@acme.test" } },
    ] });
    assert_eq!(bench.post("/crm/v3/objects/contacts/batch/create", &inputs).0, 409);
    assert_eq!(bench.world.counters().writes, 1);
}

#[test]
fn a_batch_upsert_finds_by_unique_value_and_says_what_is_new() {
    let mut bench = Bench::new(Weather::calm());
    let property = json!({ "name": "order_id", "label": "Order", "type": "string", "fieldType": "text",
        "groupName": "dealinformation", "hasUniqueValue": true });
    assert_eq!(bench.post("/crm/v3/properties/deals", &property).0, 201);
    assert_eq!(bench.post("/crm/v3/properties/deals", &property).0, 409);
    let old = bench.create("deals", &json!({ "order_id": "A1", "dealname": "old" }));
    let input =
        |id: &str| json!({ "id": id, "idProperty": "order_id", "properties": { "dealname": "up" }, "objectWriteTraceId": id });
    let body = json!({ "inputs": [input("A1"), input("A2")] });
    let (status, answer) = bench.post("/crm/v3/objects/deals/batch/upsert", &body);
    assert_eq!(status, 200, "{answer}");
    for row in answer["results"].as_array().unwrap() {
        assert_eq!(row["new"], json!(row["id"] != old));
        assert_eq!(row["properties"]["order_id"], row["objectWriteTraceId"]);
    }
    let read = json!({ "idProperty": "order_id", "properties": ["dealname"], "inputs": [{ "id": "A2" }, { "id": "A3" }] });
    let (status, answer) = bench.post("/crm/v3/objects/deals/batch/read", &read);
    assert_eq!((status, answer["results"].as_array().unwrap().len()), (207, 1));
    assert_eq!(answer["errors"][0]["category"], "OBJECT_NOT_FOUND");
    assert_eq!(answer["errors"][0]["context"]["ids"], json!(["A3"]));
}

#[test]
fn a_taken_unique_value_is_a_validation_error() {
    let mut bench = Bench::new(Weather::calm());
    bench.post("/crm/v3/properties/deals", &json!({ "name": "order_id", "type": "string", "hasUniqueValue": true }));
    bench.create("deals", &json!({ "order_id": "A1" }));
    let (status, body) = bench.post("/crm/v3/objects/deals", &json!({ "properties": { "order_id": "A1" } }));
    assert_eq!((status, &body["category"]), (400, &json!("VALIDATION_ERROR")));
    let twice = json!({ "inputs": [
        { "properties": { "order_id": "B1" }, "objectWriteTraceId": "1" },
        { "properties": { "order_id": "B1" }, "objectWriteTraceId": "2" },
    ] });
    let (status, body) = bench.post("/crm/v3/objects/deals/batch/create", &twice);
    assert_eq!((status, &body["errors"][0]["context"]), (207, &json!({ "objectWriteTraceId": ["2"] })));
}

#[test]
fn a_no_op_write_moves_the_modified_stamp_and_an_association_does_not() {
    let mut bench = Bench::new(Weather::calm());
    let deal = bench.create("deals", &json!({ "dealname": "same" }));
    let contact = bench.create("contacts", &json!({ "email": "ana@acme.test" }));
    bench.now_ms += 1000;
    let path = format!("/crm/v4/objects/deals/{deal}/associations/default/contacts/{contact}");
    assert_eq!(bench.send("PUT", &path, &Value::Null).0, 200);
    let modified = |bench: &mut Bench| bench.get(&format!("/crm/v3/objects/deals/{deal}")).1["updatedAt"].clone();
    assert_eq!(modified(&mut bench), stamp::iso(NOON));
    let same = json!({ "properties": { "dealname": "same" } });
    bench.send("PATCH", &format!("/crm/v3/objects/deals/{deal}"), &same);
    assert_eq!(modified(&mut bench), stamp::iso(NOON + 1000));
}

#[test]
fn associations_are_set_read_and_removed_in_batches() {
    let mut bench = Bench::new(Weather::calm());
    let (ana, ben) = (
        bench.create("contacts", &json!({ "email": "ana@acme.test" })),
        bench.create("contacts", &json!({ "email": "ben@acme.test" })),
    );
    let linked = json!({ "properties": { "dealname": "a" }, "associations": [{ "to": { "id": ana },
        "types": [{ "associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 3 }] }] });
    let deal = bench.post("/crm/v3/objects/deals", &linked).1["id"].as_str().unwrap().to_owned();
    let lone = bench.create("deals", &json!({ "dealname": "b" }));
    let pair = json!({ "inputs": [{ "from": { "id": deal }, "to": { "id": ben } }] });
    assert_eq!(bench.post("/crm/v4/associations/deals/contacts/batch/associate/default", &pair).0, 200);
    let both = json!({ "inputs": [{ "id": deal }, { "id": lone }] });
    let (status, body) = bench.post("/crm/v4/associations/deals/contacts/batch/read", &both);
    assert_eq!((status, &body["results"][0]["from"]["id"]), (207, &json!(deal)));
    let ends: Vec<String> =
        body["results"][0]["to"].as_array().unwrap().iter().map(|end| end["toObjectId"].to_string()).collect();
    assert_eq!(ends, [ana.clone(), ben]);
    assert_eq!(body["errors"][0]["context"]["fromObjectId"], json!([lone]));
    let gone = json!({ "inputs": [{ "from": { "id": deal }, "to": [{ "id": ana }] }] });
    assert_eq!(bench.post("/crm/v4/associations/deals/contacts/batch/archive", &gone).0, 204);
    let list = snapshot::list(&bench.world.store, ObjectType::Deals, bench.now_ms);
    assert_eq!(list[0].associations["contacts"].len(), 1);
}

#[test]
fn a_merged_away_contact_is_gone_from_everywhere_but_the_survivor() {
    let mut bench = Bench::new(Weather::calm());
    let (winner, loser) = (
        bench.create("contacts", &json!({ "email": "ana@acme.test" })),
        bench.create("contacts", &json!({ "email": "ana@home.test" })),
    );
    let moment = bench.world.moment(NOON);
    bench.world.store.merge(ObjectType::Contacts, &winner, &loser, moment).unwrap();
    assert_eq!(bench.post("/crm/v3/objects/contacts/search", &json!({})).1["total"], 1);
    assert_eq!(bench.get("/crm/v3/objects/contacts?archived=true").1["results"], json!([]));
    let path = format!("/crm/v3/objects/contacts/{loser}?properties=hs_merged_object_ids");
    assert_eq!(bench.get(&path).0, 404);
    bench.world.weather.merged_redirect = true;
    let (_, row) = bench.get(&path);
    assert_eq!((&row["id"], &row["properties"]["hs_merged_object_ids"]), (&json!(winner), &json!(loser)));
    let by_email = "/crm/v3/objects/contacts/ana%40home.test?idProperty=email";
    assert_eq!(bench.get(by_email).1["id"], json!(winner));
}

#[test]
fn an_archived_property_and_a_removed_option_are_refused_on_write() {
    let mut bench = Bench::new(Weather::calm());
    bench.post("/crm/v3/properties/deals", &json!({ "name": "channel", "type": "string" }));
    let sent = json!({ "properties": { "channel": "web" } });
    assert_eq!(bench.post("/crm/v3/objects/deals", &sent).0, 201);
    assert_eq!(bench.send("DELETE", "/crm/v3/properties/deals/channel", &Value::Null).0, 204);
    let (status, body) = bench.post("/crm/v3/objects/deals", &sent);
    assert_eq!(status, 400);
    assert!(body["message"].as_str().unwrap().contains("PROPERTY_DOESNT_EXIST"));
    bench.send("PATCH", "/crm/v3/properties/deals/dealstage", &json!({ "options": [{ "value": "closedwon" }] }));
    let lost = json!({ "properties": { "dealstage": "closedlost" } });
    assert!(bench.post("/crm/v3/objects/deals", &lost).1["message"].as_str().unwrap().contains("INVALID_OPTION"));
}

#[test]
fn a_list_walk_pages_by_id() {
    let mut bench = Bench::new(Weather::calm());
    let ids: Vec<String> = (0..5).map(|_| bench.create("deals", &json!({}))).collect();
    let (_, first) = bench.get("/crm/v3/objects/deals?limit=3");
    let after = first["paging"]["next"]["after"].as_str().unwrap().to_owned();
    assert_eq!(after, ids[2]);
    let (_, second) = bench.get(&format!("/crm/v3/objects/deals?limit=3&after={after}"));
    assert_eq!((second["results"].as_array().unwrap().len(), &second["paging"]), (2, &Value::Null));
}

#[test]
fn an_update_of_a_missing_record_is_told_per_item() {
    let mut bench = Bench::new(Weather::calm());
    let id = bench.create("deals", &json!({}));
    let body = json!({ "inputs": [{ "id": id, "properties": { "amount": "1" } }, { "id": "9", "properties": {} }] });
    let (status, answer) = bench.post("/crm/v3/objects/deals/batch/update", &body);
    assert_eq!((status, &answer["errors"][0]["context"]["ids"]), (207, &json!(["9"])));
    assert_eq!(answer["results"][0]["properties"]["amount"], "1");
}

#[test]
fn a_search_over_five_thousand_records_stays_quick() {
    let mut bench = Bench::new(Weather::calm());
    let body = |from: usize| {
        let rows = (from..from + 100).map(|number| json!({ "properties": { "amount": number.to_string() } }));
        json!({ "inputs": rows.collect::<Vec<_>>() })
    };
    for page in 0..50 {
        bench.now_ms += 1;
        assert_eq!(bench.post("/crm/v3/objects/deals/batch/create", &body(page * 100)).0, 201);
    }
    let filter = json!({ "propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": (NOON + 2).to_string() });
    let search = json!({ "filterGroups": [{ "filters": [filter] }], "sorts": ["hs_lastmodifieddate"], "limit": 200 });
    let quickest = (0..5)
        .map(|_| {
            let began = std::time::Instant::now();
            assert_eq!(bench.post("/crm/v3/objects/deals/search", &search).1["total"], 4900);
            began.elapsed()
        })
        .min();
    assert!(quickest.is_some_and(|took| took.as_millis() < 250), "{quickest:?}");
}

#[test]
fn a_property_says_what_it_takes_and_takes_nothing_else() {
    let mut bench = Bench::new(Weather::calm());
    let options = json!([{ "value": "tea", "label": "Tea" }, { "value": "beer", "label": "Beer", "hidden": true }]);
    let likes = json!({ "name": "likes", "type": "enumeration", "fieldType": "checkbox", "options": options });
    assert_eq!(bench.post("/crm/v3/properties/deals", &likes).0, 201);
    for (name, kind) in [("vip", "bool"), ("born", "date"), ("size", "number")] {
        assert_eq!(bench.post("/crm/v3/properties/deals", &json!({ "name": name, "type": kind })).0, 201);
    }
    let (_, all) = bench.get("/crm/v3/properties/deals");
    let told = |name: &str| all["results"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
    let types =
        ["likes", "vip", "born", "size", "closedate"].map(|name| (told(name)["type"].clone(), told(name)["fieldType"].clone()));
    let expected =
        [("enumeration", "checkbox"), ("bool", "booleancheckbox"), ("date", "date"), ("number", "number"), ("datetime", "date")];
    assert_eq!(types, expected.map(|(kind, field)| (json!(kind), json!(field))));
    assert_eq!(told("likes")["options"][1]["hidden"], json!(true));
    assert_eq!(told("vip")["options"][0]["value"], json!("true"));
    assert_eq!(told("createdate")["modificationMetadata"]["readOnlyValue"], json!(true));
    for (name, taken, refused, error) in [
        ("likes", "tea;beer", "tea;milk", "INVALID_OPTION"),
        ("vip", "true", "perhaps", "INVALID_OPTION"),
        ("born", "2026-03-01", "01.03.2026", "INVALID_DATE"),
        ("size", "1.5", "big", "INVALID_DOUBLE"),
    ] {
        assert_eq!(bench.post("/crm/v3/objects/deals", &json!({ "properties": { name: taken } })).0, 201, "{name}");
        let (status, body) = bench.post("/crm/v3/objects/deals", &json!({ "properties": { name: refused } }));
        assert_eq!((status, body["message"].as_str().unwrap().contains(error)), (400, true), "{body}");
    }
}
