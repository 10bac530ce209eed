//! HubSpot: one file per kind of call, facts in `connectors/hubspot.toml`.
//!
//! Decides how Tidemark's questions become HubSpot's calls. Never retries, never paces, never remembers a record.

mod associations;
mod parse;
mod properties;
mod read;
mod stamp;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use serde::Serialize;
use tidemark_core::failure::{Class, Failure};
use tidemark_core::record::{Record, RemoteId};
use tidemark_core::source::{Order, Page, SourceTraits};
use tidemark_core::spec::ConnectionSpec;
use tidemark_core::webhook::Signature;

use crate::catalog::{Entry, ObjectEntry};
use crate::connect::ConnectError;
use crate::description::{Description, Object};
use crate::http::{Client, ClientSpec, Exchange, Intent, Reply, Request};
use crate::refusal::Refusals;
use crate::{Account, Answer, Bucket, BucketLimit, Crm, LookUp, Outcomes, PageRequest, Property, ReadIds, WriteBatch};

/// As in `connector = "hubspot"`.
pub const NAME: &str = "hubspot";
const FILE: &str = "connectors/hubspot.toml";
const TEXT: &str = include_str!("../../../../connectors/hubspot.toml");

/// One HubSpot account behind one token.
#[derive(Debug)]
pub struct HubSpot {
    client: Client,
    description: Description,
    limits: Vec<BucketLimit>,
    request_life: Option<Duration>,
    /// `(object, property)` that `describe` found to be unique, beyond those the description declares.
    unique: RwLock<BTreeSet<(String, String)>>,
}

/// Connects with the description of this build.
pub fn connect(spec: &ConnectionSpec, token: SecretString) -> Result<HubSpot, ConnectError> {
    connect_described(spec, token, Description::load(NAME, FILE, TEXT)?)
}

/// What is listed of it.
pub(crate) fn entry() -> Result<Entry, ConnectError> {
    let description = Description::load(NAME, FILE, TEXT)?;
    let object = |(name, traits): (&str, &SourceTraits)| {
        let mut can = vec!["create", "update", "upsert", "archive", "look_up", "read_archived", "describe", "make_key", "refer"];
        can.extend(description.object(name).and_then(|object| object.erase.as_ref()).map(|_| "erase"));
        let name = if name == "object_default" { "*" } else { name };
        (name.to_owned(), ObjectEntry { can, traits: traits.clone() })
    };
    Ok(Entry {
        name: NAME.to_owned(),
        vendor: description.vendor.clone(),
        file: None,
        one_way: false,
        secrets: [("token".to_owned(), "the token of a private app".to_owned())].into(),
        settings: BTreeMap::new(),
        objects: description.traits().map(object).collect(),
    })
}

/// Connects with another description: a file laid over the embedded one, or one that a test wants to fail.
pub fn connect_described(spec: &ConnectionSpec, token: SecretString, description: Description) -> Result<HubSpot, ConnectError> {
    let client = ClientSpec {
        base: spec.base_url.as_deref().unwrap_or(&description.base),
        deadline: spec.call_deadline,
        quota_header: description.quota_header.as_deref(),
        plain_http: spec.environment != "production",
    };
    let client = Client::new(client, token);
    let client = client.map_err(|source| ConnectError::Client { connection: spec.name.clone(), source })?;
    // Search sorts by one property, and only by id does nobody slide past a page.
    if let Some((object, traits)) = description.traits().find(|(_, traits)| traits.order != Order::IdOnly) {
        return Err(ConnectError::Order { connector: NAME, object: object.to_owned(), order: traits.order });
    }
    let limits = description.limits(&spec.budget);
    Ok(HubSpot { client, description, limits, request_life: spec.request_life, unique: RwLock::default() })
}

impl HubSpot {
    fn object(&self, name: &str) -> Result<&Object, Failure> {
        self.description
            .object(name)
            .ok_or_else(|| Failure::new(Class::Schema, format!("`{name}` cannot be the name of a HubSpot object")))
    }

    fn learn_unique(&self, object: &str, properties: impl Iterator<Item = impl Into<String>>) {
        let mut learned = self.unique.write().unwrap_or_else(PoisonError::into_inner);
        learned.extend(properties.map(|property| (object.to_owned(), property.into())));
    }

    fn refusals(&self) -> Refusals<'_> {
        Refusals { vendor: &self.description.vendor, errors: &self.description.errors, client: &self.client }
    }

    /// Sends, and turns every answer that is no success into the failure the error table makes of it.
    async fn call(&self, request: Request) -> Exchange {
        let mut exchange = self.client.send(request).await;
        exchange.reply =
            exchange.reply.and_then(|reply| if reply.is_success() { Ok(reply) } else { Err(self.refusals().of_call(&reply)) });
        exchange
    }

    /// A POST on a path below `/crm/v3/objects/{object}`; refused unsent when `object` cannot be one.
    async fn post_object(&self, intent: Intent, object: &str, path: &str, body: &impl Serialize, tried: String) -> Exchange {
        let request = post(intent, format!("{}/{object}/{path}", self.description.paths.objects), body, tried);
        match self.object(object) {
            Ok(_) => self.call(request).await,
            Err(failure) => Exchange::unsent(&request, failure),
        }
    }
}

fn post(intent: Intent, path: String, body: &impl Serialize, tried: String) -> Request {
    // Only maps with keys that are not text fail to serialise, and there are none.
    let body = serde_json::to_vec(body).unwrap_or_default();
    Request::post(intent, path, body, tried)
}

fn parse_json<'a, T: serde::Deserialize<'a>>(reply: &'a Reply) -> Result<T, Failure> {
    serde_json::from_str(reply.json_text()?).map_err(|error| reply.broken_json(&error))
}

/// HubSpot's ids are numbers in text, and only as numbers are they in order.
fn id_number(id: &str) -> Option<u64> {
    id.bytes().all(|byte| byte.is_ascii_digit()).then(|| id.parse().ok()).flatten()
}

#[async_trait]
impl Crm for HubSpot {
    fn connector(&self) -> &'static str {
        NAME
    }

    fn traits(&self, object: &str) -> Result<SourceTraits, Failure> {
        let mut traits = self.object(object)?.traits.clone();
        traits.request_life = self.request_life.unwrap_or(traits.request_life);
        Ok(traits)
    }

    fn limits(&self) -> Vec<BucketLimit> {
        self.limits.clone()
    }

    fn archive_leaves(&self) -> Option<&str> {
        self.description.archive_leaves.as_deref()
    }

    fn can_erase(&self, object: &str) -> bool {
        self.description.object(object).is_some_and(|object| object.erase.is_some())
    }

    fn webhook(&self) -> Option<&Signature> {
        self.description.webhook.as_ref()
    }

    fn describes(&self) -> bool {
        true
    }

    fn search_bucket(&self) -> Bucket {
        Bucket::Search
    }

    fn is_unique(&self, object: &str, property: &str) -> bool {
        let declared = self.description.object(object).is_some_and(|object| object.unique.iter().any(|name| name == property));
        let learned = self.unique.read().unwrap_or_else(PoisonError::into_inner);
        declared || learned.contains(&(object.to_owned(), property.to_owned()))
    }

    async fn account(&self) -> Answer<Account> {
        properties::account(self).await
    }

    async fn describe(&self, object: &str) -> Answer<Vec<Property>> {
        properties::describe(self, object).await
    }

    async fn create_key_property(&self, object: &str, property: &str) -> Answer<()> {
        properties::create_key(self, object, property).await
    }

    async fn read_page(&self, request: &PageRequest<'_>) -> Answer<Page> {
        read::page(self, request).await
    }

    async fn read_ids(&self, request: &ReadIds<'_>) -> Answer<Vec<Record>> {
        read::ids(self, request).await
    }

    async fn read_archived(&self, request: &ReadIds<'_>) -> Answer<Vec<Record>> {
        read::archived(self, request).await
    }

    async fn look_up(&self, request: &LookUp<'_>) -> Answer<Vec<Record>> {
        read::look_up(self, request).await
    }

    async fn write(&self, batch: &WriteBatch<'_>) -> Answer<Outcomes> {
        write::batch(self, batch).await
    }

    async fn erase(&self, object: &str, id: &RemoteId) -> Answer<()> {
        write::erase(self, object, id).await
    }

    async fn read_references(&self, object: &str, target: &str, ids: &[RemoteId]) -> Answer<Vec<(RemoteId, Vec<RemoteId>)>> {
        associations::read(self, object, target, ids).await
    }

    async fn refer(&self, object: &str, target: &str, pairs: &[(RemoteId, RemoteId)]) -> Answer<Vec<Result<(), Failure>>> {
        associations::refer(self, object, target, pairs).await
    }

    async fn unrefer(&self, object: &str, target: &str, pairs: &[(RemoteId, RemoteId)]) -> Answer<Vec<Result<(), Failure>>> {
        associations::unrefer(self, object, target, pairs).await
    }
}
