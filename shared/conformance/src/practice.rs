//! A practice CRM's control API: its clock, its faults, its truth. Knows nothing of connectors.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use eyre::{OptionExt, WrapErr, ensure, eyre};
use reqwest::{Client, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The control API of one practice CRM.
#[derive(Debug, Clone)]
pub struct Practice {
    client: Client,
    base: String,
    pub about: About,
    /// The kind of record the cases are about, as the control API names it.
    object: String,
    /// What stood before: the weather, and of the switches those that a case sets.
    weather: Value,
    switches: Map<String, Value>,
    /// Properties that were added and not taken away yet; of all clones.
    added: Arc<Mutex<BTreeSet<String>>>,
    /// How many records a query of this vendor reaches at most; `None` where it is any number.
    pub reach: Option<u64>,
}

/// What a practice CRM says of itself.
#[derive(Debug, Clone, Deserialize)]
pub struct About {
    program: String,
    pub dialect: String,
    pub account: String,
    objects: Vec<String>,
    pub throttles: Vec<String>,
    pub day: Option<String>,
    quotas: Vec<String>,
    /// Of its switches those that say how many records a query reaches.
    caps: Vec<String>,
    /// Those that say how long what asks for a next page is taken, with the setting under which one from before is taken no more.
    wears: BTreeMap<String, u64>,
    pub merges: bool,
}

/// One record as it truly is.
#[derive(Debug, Deserialize)]
pub struct Truth {
    pub id: String,
    properties: Map<String, Value>,
    archived: bool,
}

impl About {
    /// A case may set this switch.
    fn sets(&self, name: &String) -> bool {
        self.quotas.contains(name) || self.caps.contains(name) || self.wears.contains_key(name)
    }
}

const PROGRAM: &str = "tidemark sandbox";

impl Practice {
    /// Of the server at that address; `None` where it is no practice CRM. `object` is the connector's name for the records.
    pub async fn find(base: &str, object: &str) -> eyre::Result<Option<Self>> {
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(Duration::from_secs(60)).build()?;
        let base = base.trim_end_matches('/').to_owned();
        // A server that is no practice CRM may answer anything, or nothing: the connector will tell what is wrong with it.
        let Ok(answer) = client.get(format!("{base}/sandbox/about")).send().await else { return Ok(None) };
        let Ok(about) = answer.json::<About>().await else { return Ok(None) };
        if about.program != PROGRAM {
            return Ok(None);
        }
        let named = about.objects.iter().find(|known| *known == object).or_else(|| about.objects.first());
        let object = named.cloned().ok_or_else(|| eyre!("the practice CRM keeps no records"))?;
        let (weather, switches, added) = (Value::Null, Map::new(), Arc::default());
        let mut practice = Self { client, base, about, object, weather, switches, added, reach: None };
        practice.weather = practice.ask(Method::GET, "weather", None).await?;
        let quirks = practice.ask(Method::GET, "quirks", None).await?;
        let named = |which| move |quirk: &Value| Some((quirk["name"].as_str()?.to_owned(), quirk[which].clone()));
        let quirks = |which| quirks.as_array().into_iter().flatten().filter_map(named(which));
        let is_cap = |name: &String| practice.about.caps.contains(name);
        practice.reach = quirks("normal").filter(|(name, _)| is_cap(name)).filter_map(|(_, value)| value.as_u64()).max();
        practice.switches = quirks("value").filter(|(name, _)| practice.about.sets(name)).collect();
        Ok(Some(practice))
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> eyre::Result<Value> {
        let mut request = self.client.request(method, format!("{}/sandbox/{path}", self.base));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.wrap_err("the practice CRM's control API does not answer")?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "the practice CRM's control API says {status}: {text}");
        Ok(if status == StatusCode::NO_CONTENT { Value::Null } else { serde_json::from_str(&text)? })
    }

    /// Nothing late, nothing lost, no quota that anybody meets.
    pub async fn calm(&self) -> eyre::Result<()> {
        let lifted: Map<String, Value> = self.about.quotas.iter().map(|name| (name.clone(), json!(1_000_000))).collect();
        self.ask(Method::PUT, "quirks", Some(lifted.into())).await?;
        self.weather(json!({ "preset": "calm", "index_lag_ms": [0, 0] })).await
    }

    /// Some of the weather.
    pub async fn weather(&self, change: Value) -> eyre::Result<()> {
        self.ask(Method::PUT, "weather", Some(change)).await.map(drop)
    }

    /// As it was before, wherever a case broke off.
    pub async fn restore(&self) -> eyre::Result<()> {
        self.ask(Method::PUT, "quirks", Some(self.switches.clone().into())).await?;
        self.weather(self.weather.clone()).await?;
        let left = self.added.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for name in left {
            // One that went before its case heard of it is gone as it should be.
            let _ = self.remove_property(&name).await;
        }
        Ok(())
    }

    /// These switches as they stood before.
    async fn reset(&self, is_meant: impl Fn(&String) -> bool) -> eyre::Result<()> {
        let stood: Map<String, Value> = self.switches.clone().into_iter().filter(|(name, _)| is_meant(name)).collect();
        self.ask(Method::PUT, "quirks", Some(stood.into())).await.map(drop)
    }

    /// A query reaches no more records than this, or as many as before.
    pub async fn cap(&self, records_max: Option<u32>) -> eyre::Result<()> {
        let Some(records_max) = records_max else { return self.reset(|name| self.about.caps.contains(name)).await };
        let caps: Map<String, Value> = self.about.caps.iter().map(|name| (name.clone(), json!(records_max))).collect();
        self.ask(Method::PUT, "quirks", Some(caps.into())).await.map(drop)
    }

    /// Whether what asks for a next page can wear out there.
    pub fn can_wear(&self) -> bool {
        !self.about.wears.is_empty()
    }

    /// What asks for a next page and was given before is taken no more; or as it was.
    pub async fn wear(&self, worn: bool) -> eyre::Result<()> {
        if !worn {
            return self.reset(|name| self.about.wears.contains_key(name)).await;
        }
        self.ask(Method::PUT, "quirks", Some(json!(self.about.wears))).await.map(drop)
    }

    /// An administrator adds a property, of one of the kinds of the control API; its name there.
    pub async fn add_property(&self, kind: &str, options: &[&str]) -> eyre::Result<String> {
        let new = json!({ "name": "tidemark_tries", "kind": kind, "options": options });
        let answer = self.ask(Method::POST, &format!("properties/{}", self.object), Some(new)).await?;
        let name = answer["name"].as_str().map(str::to_owned).ok_or_eyre("a property that was added has no name")?;
        self.added.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        Ok(name)
    }

    pub async fn remove_property(&self, name: &str) -> eyre::Result<()> {
        self.ask(Method::DELETE, &format!("properties/{}/{name}", self.object), None).await?;
        self.added.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(())
    }

    /// Somebody at the CRM changes one value.
    pub async fn edit(&self, id: &str, name: &str, value: &str) -> eyre::Result<()> {
        let edit = json!({ "id": id, "properties": { name: value } });
        self.ask(Method::POST, &format!("records/{}", self.object), Some(edit)).await.map(drop)
    }

    /// What the next call gets in place of an answer.
    pub async fn next(&self, forced: Value) -> eyre::Result<()> {
        self.ask(Method::POST, "next", Some(forced)).await.map(drop)
    }

    /// The token that is accepted from now on; the one before.
    pub async fn token(&self, token: Option<&str>) -> eyre::Result<Option<String>> {
        let answer = self.ask(Method::POST, "token", Some(json!({ "token": token }))).await?;
        Ok(answer["before"].as_str().map(str::to_owned))
    }

    pub async fn expire_access_tokens(&self) -> eyre::Result<()> {
        self.ask(Method::POST, "token/expire", None).await.map(drop)
    }

    async fn all(&self) -> eyre::Result<Vec<Truth>> {
        Ok(serde_json::from_value(self.ask(Method::GET, &format!("records/{}", self.object), None).await?)?)
    }

    /// Records that live and hold this text somewhere.
    pub async fn living(&self, text: &str) -> eyre::Result<Vec<Truth>> {
        let holds = |value: &Value| value.as_str().is_some_and(|value| value.contains(text));
        // An archived member of a Mailchimp audience is a status, not a death.
        let lives =
            |record: &Truth| !record.archived && record.properties.get("status").is_none_or(|status| status != "archived");
        let all = self.all().await?.into_iter();
        Ok(all.filter(|record| lives(record) && record.properties.values().any(holds)).collect())
    }

    /// What it keeps of these properties; the empty text where it keeps nothing.
    pub async fn kept(&self, id: &str, names: &[String; 3]) -> eyre::Result<[String; 3]> {
        let all = self.all().await?;
        let record = all.iter().find(|record| record.id == id).ok_or_else(|| eyre!("there is no record {id}"))?;
        let kept = |name: &String| record.properties.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(names.each_ref().map(kept))
    }

    /// The stamp of a record's present version.
    pub async fn stamp(&self, id: &str) -> eyre::Result<i64> {
        let versions = self.ask(Method::GET, &format!("versions/{}/{id}", self.object), None).await?;
        let last = versions.as_array().and_then(|versions| versions.last()).and_then(|version| version["stamp_ms"].as_i64());
        last.ok_or_else(|| eyre!("record {id} has no version"))
    }

    /// Somebody at the CRM deletes it.
    pub async fn delete(&self, id: &str) -> eyre::Result<()> {
        self.ask(Method::DELETE, &format!("records/{}/{id}", self.object), None).await.map(drop)
    }

    /// Somebody at the CRM merges one record into another.
    pub async fn merge(&self, winner: &str, loser: &str) -> eyre::Result<()> {
        let merge = json!({ "object": self.object, "winner": winner, "loser": loser });
        self.ask(Method::POST, "merge", Some(merge)).await.map(drop)
    }
}
