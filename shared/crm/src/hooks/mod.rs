//! Hooks: connectors that only ever send, one POST for one row. Facts in `connectors/zapier.toml` and `connectors/ifttt.toml`.
//!
//! The address is the credential, or holds it: it is in no error, no record of calls and no log. Nobody can be asked anything here.

mod description;
mod signature;
mod target;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::SecretString;
use serde_json::Value;
use tidemark_core::failure::{Class, Failure};
use tidemark_core::hook::{IFTTT, ONE_WAY, ZAPIER};
use tidemark_core::record::{Record, RemoteId};
use tidemark_core::source::{Page, SourceTraits};
use tidemark_core::spec::ConnectionSpec;

pub use self::description::HookDescription;
use self::target::Targets;
use crate::catalog::{Entry, ObjectEntry};
use crate::connect::ConnectError;
use crate::errors::{CallEvidence, Evidence};
use crate::http::{Client, ClientSpec, Exchange, Intent, Reply, Request, Secretly};
use crate::{Account, Answer, Bucket, BucketLimit, Crm, LookUp, Outcomes, PageRequest, Posted, Property, ReadIds, WriteBatch};

pub(crate) const ZAPIER_FILE: (&str, &str, &str) =
    (ZAPIER, "connectors/zapier.toml", include_str!("../../../../connectors/zapier.toml"));
pub(crate) const IFTTT_FILE: (&str, &str, &str) =
    (IFTTT, "connectors/ifttt.toml", include_str!("../../../../connectors/ifttt.toml"));

/// The secret that signs; every other one is an address or a key.
const SIGNING: &str = "signing";
/// A receiver that keeps such keys takes each delivery once.
const IDEMPOTENCY: HeaderName = HeaderName::from_static("idempotency-key");
const EVENT: HeaderName = HeaderName::from_static("x-tidemark-event");

/// The hooks of one connection.
#[derive(Debug)]
pub struct Hooks {
    connector: &'static str,
    client: Client,
    description: HookDescription,
    limits: Vec<BucketLimit>,
    request_life: Option<Duration>,
    targets: Targets,
    signing: Option<SecretString>,
}

/// Makes the connector of that name; `None` where it is no hook.
pub(crate) fn connect(
    spec: &ConnectionSpec,
    secrets: &BTreeMap<String, SecretString>,
) -> Option<Result<Arc<dyn Crm>, ConnectError>> {
    let file = [ZAPIER_FILE, IFTTT_FILE].into_iter().find(|(name, _, _)| *name == spec.connector)?;
    Some(hooks(spec, secrets, file).map(|hooks| Arc::new(hooks) as Arc<dyn Crm>))
}

pub(crate) fn is_hook(name: &str) -> bool {
    ONE_WAY.contains(&name)
}

/// What is listed of them.
pub(crate) fn entries() -> Result<Vec<Entry>, ConnectError> {
    let entry = |(name, file, text): (&'static str, &str, &str)| {
        let description = HookDescription::load(name, file, text)?;
        let secrets = match name {
            IFTTT => [("key", "the key of the Webhooks service")],
            _ => [("url", "the address of the catch hook of every object; secret.OBJECT is that of one")],
        };
        let secrets = secrets.into_iter().chain([("signing", "signs every delivery; may be left out")]);
        let told = ObjectEntry { can: vec!["deliver"], traits: description.traits(None) };
        Ok(Entry {
            name: name.to_owned(),
            vendor: description.vendor,
            file: None,
            one_way: true,
            secrets: secrets.map(|(name, about)| (name.to_owned(), about.to_owned())).collect(),
            settings: BTreeMap::new(),
            objects: [("*".to_owned(), told)].into(),
        })
    };
    [ZAPIER_FILE, IFTTT_FILE].into_iter().map(entry).collect()
}

fn hooks(
    spec: &ConnectionSpec,
    secrets: &BTreeMap<String, SecretString>,
    (connector, file, text): (&'static str, &str, &str),
) -> Result<Hooks, ConnectError> {
    let description = HookDescription::load(connector, file, text)?;
    let base = spec.base_url.as_deref().unwrap_or(&description.base);
    let targets = Targets::of(connector, spec, base, secrets)?;
    let client =
        ClientSpec { base, deadline: spec.call_deadline, quota_header: None, plain_http: spec.environment != "production" };
    let client = Client::secret(client, targets.secrets().chain(secrets.get(SIGNING).cloned()).collect());
    let client = client.map_err(|source| ConnectError::Client { connection: spec.name.clone(), source })?;
    let limits = description.limits(&spec.budget);
    let signing = secrets.get(SIGNING).cloned();
    Ok(Hooks { connector, client, description, limits, request_life: spec.request_life, targets, signing })
}

impl Hooks {
    fn headers(&self, posted: &Posted<'_>) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = vec![(EVENT, HeaderValue::from_static(posted.event.word()))];
        headers.extend(HeaderValue::from_str(posted.id).ok().map(|id| (IDEMPOTENCY, id)));
        if let Some(secret) = &self.signing {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let signed = signature::signature(secret, now, posted.body);
            let header = HeaderName::from_static(signature::HEADER);
            headers.extend(HeaderValue::from_str(&signed).ok().map(|value| (header, value)));
        }
        headers
    }

    /// Any 2xx is a delivery: no vendor says more.
    fn settle(&self, reply: &Reply) -> Result<(), Failure> {
        if reply.is_success() {
            return Ok(());
        }
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let call = CallEvidence { status: reply.status, headers: &reply.headers, content_type: reply.content_type() };
        let verdict = self.description.errors.judge(Evidence { call: Some(call), body: &body });
        let words = verdict.message.map(|message| format!(": {}", self.client.words(&message))).unwrap_or_default();
        // What is about records means something else where there are none.
        let class = match verdict.class {
            Class::Conflict | Class::Duplicate => Class::Retry,
            Class::Schema => Class::Rejected,
            Class::Scope => Class::Auth,
            class => class,
        };
        let mut failure =
            Failure::new(class, format!("{}: {} answered {}{words}", reply.tried, self.description.vendor, reply.status));
        failure.status = Some(reply.status);
        failure.wait = reply.wait.max(verdict.wait_min);
        // A fault behind the edge does not say that nobody heard.
        failure.maybe_done = reply.status >= 500 || reply.status == 408 || class == Class::Malformed;
        Err(failure)
    }

    fn unread<T>(&self, what: &str) -> Answer<T> {
        let message = format!("{what}: {} is only ever sent to, nothing can be read there", self.description.vendor);
        Answer::unasked("GET", self.description.shown.clone(), Failure::new(Class::Schema, message))
    }
}

#[async_trait]
impl Crm for Hooks {
    fn connector(&self) -> &'static str {
        self.connector
    }

    fn traits(&self, object: &str) -> Result<SourceTraits, Failure> {
        let known = self.targets.path(object).is_some();
        let traits = known.then(|| self.description.traits(self.request_life));
        traits.ok_or_else(|| Failure::new(Class::Schema, format!("there is no address for `{object}`: add secret.{object}")))
    }

    fn limits(&self) -> Vec<BucketLimit> {
        self.limits.clone()
    }

    fn archive_leaves(&self) -> Option<&str> {
        Some("What was delivered stays with whoever received it: Tidemark cannot take it back. Delete it there by hand.")
    }

    fn search_bucket(&self) -> Bucket {
        Bucket::General
    }

    fn is_unique(&self, _: &str, _: &str) -> bool {
        false
    }

    async fn deliver(&self, posted: &Posted<'_>) -> Answer<()> {
        let path = self.targets.path(posted.object);
        let shown = self.description.shown.replace("{event}", posted.object).replace("/json", self.targets.form_part());
        let tried = format!("delivering row {} of {}", posted.row, posted.object);
        let request = Request::post(Intent::Write, shown, posted.body.to_vec(), tried);
        let Some(path) = path else {
            let failure = Failure::new(Class::Schema, format!("{}: there is no address for it", request.tried));
            return Exchange::unsent(&request, failure).settle(|_| Ok(()));
        };
        if posted.body.len() > self.description.body_bytes_max {
            let (bytes, most) = (posted.body.len(), self.description.body_bytes_max);
            let message = format!(
                "{}: the body has {bytes} bytes and {} takes {most}: it was not sent",
                request.tried, self.description.vendor
            );
            return Exchange::unsent(&request, Failure::new(Class::Rejected, message)).settle(|_| Ok(()));
        }
        let secretly = Secretly { path: &path, headers: self.headers(posted) };
        self.client.send_secretly(request, &secretly).await.settle(|reply| self.settle(&reply))
    }

    async fn account(&self) -> Answer<Account> {
        self.unread("asking whose hook it is")
    }

    async fn describe(&self, object: &str) -> Answer<Vec<Property>> {
        self.unread(&format!("describing {object}"))
    }

    async fn create_key_property(&self, object: &str, _: &str) -> Answer<()> {
        self.unread(&format!("making a property of {object}"))
    }

    async fn read_page(&self, request: &PageRequest<'_>) -> Answer<Page> {
        self.unread(&format!("reading {}", request.object))
    }

    async fn read_ids(&self, request: &ReadIds<'_>) -> Answer<Vec<Record>> {
        self.unread(&format!("reading {}", request.object))
    }

    async fn read_archived(&self, request: &ReadIds<'_>) -> Answer<Vec<Record>> {
        self.unread(&format!("reading {}", request.object))
    }

    async fn look_up(&self, request: &LookUp<'_>) -> Answer<Vec<Record>> {
        self.unread(&format!("looking up {}", request.object))
    }

    async fn write(&self, batch: &WriteBatch<'_>) -> Answer<Outcomes> {
        self.unread(&format!("writing {} as records", batch.object))
    }

    async fn read_references(&self, object: &str, _: &str, _: &[RemoteId]) -> Answer<Vec<(RemoteId, Vec<RemoteId>)>> {
        self.unread(&format!("reading what {object} refer to"))
    }

    async fn refer(&self, object: &str, _: &str, _: &[(RemoteId, RemoteId)]) -> Answer<Vec<Result<(), Failure>>> {
        self.unread(&format!("letting {object} refer to something"))
    }

    async fn unrefer(&self, object: &str, _: &str, _: &[(RemoteId, RemoteId)]) -> Answer<Vec<Result<(), Failure>>> {
        self.unread(&format!("ending what {object} refer to"))
    }
}
