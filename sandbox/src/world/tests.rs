//! The whole dialect under a clock the tests hold: nothing here sleeps or opens a connection.

mod dialect;
mod quirks;

use serde_json::{Value, json};

use super::*;
use crate::Limits;

const TOKEN: &str = "pat-na1-sandbox";
const NOON: i64 = 1_772_366_400_000;

struct Bench {
    world: World,
    now_ms: i64,
}

impl Bench {
    fn new(weather: Weather) -> Self {
        let limits = Limits { per_10s: 10_000, search_per_second: 10_000, per_day: 1_000_000 };
        let config = SandboxConfig { weather, limits, ..SandboxConfig::default() };
        Self { world: World::new(&config, NOON), now_ms: NOON }
    }

    fn deliver(&mut self, method: &str, path: &str, body: &Value) -> Delivery {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let call = Call {
            method: method.to_owned(),
            path: path.to_owned(),
            query: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            headers: vec![("authorization".to_owned(), format!("Bearer {TOKEN}"))],
            body: if body.is_null() { String::new() } else { body.to_string() },
        };
        self.world.handle(&call, self.now_ms)
    }

    fn send(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.deliver(method, path, body).answer.expect("an answer");
        (answer.status, serde_json::from_str(&answer.body).unwrap_or_default())
    }

    fn get(&mut self, path: &str) -> (u16, Value) {
        self.send("GET", path, &Value::Null)
    }

    fn post(&mut self, path: &str, body: &Value) -> (u16, Value) {
        self.send("POST", path, body)
    }

    fn create(&mut self, object: &str, properties: &Value) -> String {
        let (status, row) = self.post(&format!("/crm/v3/objects/{object}"), &json!({ "properties": properties }));
        assert_eq!(status, 201, "{row}");
        row["id"].as_str().unwrap().to_owned()
    }

    fn names_found(&mut self) -> Vec<String> {
        let (status, body) = self.post("/crm/v3/objects/deals/search", &json!({ "properties": ["dealname"] }));
        assert_eq!(status, 200, "{body}");
        let rows = body["results"].as_array().unwrap();
        rows.iter().map(|row| row["properties"]["dealname"].as_str().unwrap().to_owned()).collect()
    }
}
