//! The engine: speaks to a CRM as its file under `connectors/` describes it. Decides how Tidemark's questions become calls; never retries, never paces, never remembers a record.

mod answer;
mod asking;
mod auth;
mod body;
mod calling;
mod connector;
mod delta;
mod feed;
mod filter;
mod findings;
mod hole;
mod link;
mod listing;
mod moment;
mod more;
mod node;
mod object;
mod outcome;
mod page;
mod place;
mod quote;
mod reading;
mod request;
mod row;
mod sending;
mod session;
mod setting;
mod shape;
mod signing;
mod statement;
mod template;
mod writing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use tidemark_core::failure::{Class, Failure};
use tidemark_core::record::{Record, RemoteId};
use tidemark_core::source::{Page, SourceTraits};
use tidemark_core::spec::ConnectionSpec;

pub use connector::Connector;
pub use findings::{Finding, LoadError};
pub use node::{BLANK, Said, said};

use crate::connect::ConnectError;
use crate::http::{Client, ClientSpec, Intent, trimmed};
use crate::{
    Account, Answer, Bucket, BucketLimit, Crm, Grant, LookUp, Need, Outcomes, PageRequest, Property, ReadIds, Token, WriteBatch,
};
use auth::Auth;
use calling::Question;
use hole::{Constants, Source};
use row::Learned;
use session::Session;

/// One account of one CRM behind one set of credentials.
#[derive(Debug)]
pub struct Engine {
    connector: Connector,
    client: Client,
    /// The connection names the host itself.
    own_host: bool,
    environment: String,
    constants: Constants,
    session: Session,
    signing_in: tokio::sync::Mutex<()>,
    limits: Vec<BucketLimit>,
    request_life: Option<Duration>,
    /// What each object's properties are, as the CRM says.
    learned: RwLock<BTreeMap<String, Learned>>,
    /// `(object, property)` that `describe` found to be unique, beyond those the file declares.
    unique: RwLock<BTreeSet<(String, String)>>,
    /// Objects whose feed of changes was refused.
    untracked: RwLock<BTreeSet<String>>,
}

impl Engine {
    /// Connects as the file says, with the settings and secrets of the connection.
    pub fn connect(
        spec: &ConnectionSpec,
        secrets: &BTreeMap<String, SecretString>,
        connector: Connector,
    ) -> Result<Self, ConnectError> {
        let wrong = |what: String| ConnectError::Setting { connection: spec.name.clone(), what };
        let constants = Constants {
            settings: setting::chosen(&connector.name, &connector.settings, &spec.settings).map_err(wrong)?,
            secrets: needed(spec, secrets, &connector)?,
            signed_in: BTreeMap::new(),
        };
        let host = connector.hosts.get(&spec.environment).or_else(|| connector.hosts.get("any"));
        let host = host.ok_or_else(|| {
            let known: Vec<&str> = connector.hosts.keys().map(String::as_str).collect();
            wrong(format!(
                "{} has no host for the environment `{}`; known are {}",
                connector.vendor,
                spec.environment,
                known.join(", ")
            ))
        })?;
        prove_key(spec, &constants, &connector)?;
        let sign_host = match &connector.auth {
            Auth::Token(auth) => auth.host.as_ref(),
            Auth::Header { .. } | Auth::Basic { .. } => None,
        };
        for hole in [Some(host), sign_host].into_iter().flatten().flat_map(template::Template::holes) {
            if let Source::Config(name) = &hole.source {
                let text = constants.settings.get(name).map(String::as_str).unwrap_or_default();
                if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')) {
                    return Err(wrong(format!(
                        "settings.{name} is part of a host: letters, digits, `.` and `-` are all it may hold"
                    )));
                }
            }
        }
        let values = hole::Values { constants: Some(&constants), ..hole::Values::default() };
        // The API's own host may be known only once signed in.
        let first = [Some(host), sign_host].into_iter().flatten().find_map(|template| template.text(&values).ok());
        let base = spec.base_url.clone().or(first).ok_or_else(|| wrong("no host is known before signing in".to_owned()))?;
        let client = ClientSpec {
            base: &base,
            deadline: spec.call_deadline,
            quota_header: connector.quota_header.as_ref().map(reqwest::header::HeaderName::as_str),
            plain_http: spec.environment != "production",
        };
        let client = Client::unsigned(client).map_err(|source| ConnectError::Client { connection: spec.name.clone(), source })?;
        constants.secrets().for_each(|secret| client.hide(secret.clone()));
        let limits = connector.budgets.iter().map(|limit| crate::description::asked_of(*limit, &spec.budget)).collect();
        Ok(Self {
            connector,
            client,
            own_host: spec.base_url.is_some(),
            environment: spec.environment.clone(),
            constants,
            session: Session::default(),
            signing_in: tokio::sync::Mutex::default(),
            limits,
            request_life: spec.request_life,
            learned: RwLock::default(),
            unique: RwLock::default(),
            untracked: RwLock::default(),
        })
    }

    /// Where the file itself, or the connection, says that the CRM is.
    pub fn address(&self) -> &reqwest::Url {
        self.client.base()
    }

    fn constants_with_token(&self) -> Constants {
        let token = self.session.current(Instant::now());
        self.constants.with_kept(token.as_deref())
    }

    fn signed_in(&self) -> bool {
        !matches!(self.connector.auth, Auth::Token(_)) || self.session.current(Instant::now()).is_some()
    }
}

/// A key that cannot sign is told before anything is sent.
fn prove_key(spec: &ConnectionSpec, constants: &Constants, connector: &Connector) -> Result<(), ConnectError> {
    let signs = matches!(&connector.auth, Auth::Token(auth) if auth.statement.is_some());
    let Some(key) = constants.secrets.get(statement::KEY).filter(|_| signs) else { return Ok(()) };
    let wrong = |what| ConnectError::Setting { connection: spec.name.clone(), what: format!("secret.{} {what}", statement::KEY) };
    statement::key_of(key).map(drop).map_err(wrong)
}

fn needed(
    spec: &ConnectionSpec,
    secrets: &BTreeMap<String, SecretString>,
    connector: &Connector,
) -> Result<BTreeMap<String, SecretString>, ConnectError> {
    let mut found = BTreeMap::new();
    for (name, about) in &connector.secrets {
        let secret = secrets.get(name).cloned().map(trimmed).filter(|secret| !secret.expose_secret().is_empty());
        let missing =
            || ConnectError::MissingSecret { connection: spec.name.clone(), key: name.clone(), about: format!(": {about}") };
        found.insert(name.clone(), secret.ok_or_else(missing)?);
    }
    Ok(found)
}

#[async_trait]
impl Crm for Engine {
    fn connector(&self) -> &str {
        &self.connector.name
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
        self.connector.archive_leaves.as_deref()
    }

    fn archived_rows_max(&self, object: &str) -> u16 {
        let asking = self.object(object).ok().and_then(|object| object.read_archived.as_ref());
        asking.map_or(1, |asking| asking.rows_max)
    }

    fn tells_deletes(&self, object: &str) -> bool {
        self.object(object).is_ok_and(|object| object.deletes.is_some())
    }

    fn is_listed(&self, object: &str, property: &str) -> bool {
        self.object(object).is_ok_and(|object| object.shape.is_listed(property))
    }

    fn search_bucket(&self) -> Bucket {
        let own = self.limits.iter().any(|limit| limit.bucket == Bucket::Search);
        if own { Bucket::Search } else { Bucket::General }
    }

    fn is_unique(&self, object: &str, property: &str) -> bool {
        let declared =
            self.object(object).ok().and_then(|object| object.shape.property(property)).is_some_and(|property| property.unique);
        declared || self.unique.read().unwrap_or_else(PoisonError::into_inner).contains(&(object.to_owned(), property.to_owned()))
    }

    fn can_describe(&self, object: &str) -> bool {
        self.object(object).is_ok_and(|object| object.describe.is_some())
    }

    fn need(&self, object: &str) -> Option<Need> {
        if !self.signed_in() {
            return Some(Need::SignIn);
        }
        let describes = self.can_describe(object);
        let known = self.learned.read().unwrap_or_else(PoisonError::into_inner).contains_key(object);
        (describes && !known).then(|| Need::Describe(object.to_owned()))
    }

    async fn meet(&self, need: &Need) -> Answer<()> {
        let object = match need {
            Need::SignIn => return self.sign_in().await,
            Need::Describe(object) => object,
        };
        let answer = self.read_properties(object).await;
        let result = match answer.result {
            Ok(_) => Ok(()),
            // Who may not read what an object is made of goes without: values are sent as texts, and a CRM that wants them otherwise says so.
            Err(failure) if matches!(failure.class, Class::Scope | Class::Schema | Class::Gone | Class::Rejected) => {
                tracing::warn!("the types of {object} are not known: {failure}");
                self.learned.write().unwrap_or_else(PoisonError::into_inner).insert(object.clone(), Learned::default());
                Ok(())
            }
            Err(failure) => Err(failure),
        };
        Answer { result, callout: answer.callout }
    }

    fn grant(&self) -> Option<Grant> {
        self.shared_grant()
    }

    async fn ask_token(&self, kept: Option<&SecretString>) -> Answer<Token> {
        self.ask_for_token(kept).await
    }

    fn adopt(&self, token: &Token, own: bool) -> Result<(), Failure> {
        self.take(token, own)
    }

    async fn account(&self) -> Answer<Account> {
        self.read_account().await
    }

    async fn describe(&self, object: &str) -> Answer<Vec<Property>> {
        self.read_properties(object).await
    }

    async fn create_key_property(&self, object: &str, property: &str) -> Answer<()> {
        let tried = format!("making the property {property} of {object}");
        let form = self.object(object).map(|object| object.create_key.as_ref());
        let built = match form {
            Ok(Some(form)) => form.build(&hole::Values { property: Some(property), ..self.values(object) }),
            Ok(None) => {
                let what =
                    format!("{} has no property that could hold our key alone: leave external_key out", self.connector.vendor);
                return asking::refuse(tried, Failure::new(Class::Schema, what));
            }
            Err(failure) => return asking::refuse(tried, failure),
        };
        self.call(Question { intent: Intent::Write, built, taken: Vec::new(), tried }).await.settle(|_| Ok(()))
    }

    async fn read_page(&self, request: &PageRequest<'_>) -> Answer<Page> {
        self.page(request).await
    }

    async fn read_ids(&self, request: &ReadIds<'_>) -> Answer<Vec<Record>> {
        self.ids(request, false).await
    }

    async fn read_archived(&self, request: &ReadIds<'_>) -> Answer<Vec<Record>> {
        self.ids(request, true).await
    }

    async fn look_up(&self, request: &LookUp<'_>) -> Answer<Vec<Record>> {
        self.look(request).await
    }

    async fn write(&self, batch: &WriteBatch<'_>) -> Answer<Outcomes> {
        self.write_batch(batch).await
    }

    async fn read_references(&self, object: &str, target: &str, ids: &[RemoteId]) -> Answer<Vec<(RemoteId, Vec<RemoteId>)>> {
        self.referred(object, target, ids).await
    }

    async fn refer(&self, object: &str, target: &str, pairs: &[(RemoteId, RemoteId)]) -> Answer<Vec<Result<(), Failure>>> {
        self.refer_to(object, target, pairs, false).await
    }

    async fn unrefer(&self, object: &str, target: &str, pairs: &[(RemoteId, RemoteId)]) -> Answer<Vec<Result<(), Failure>>> {
        self.refer_to(object, target, pairs, true).await
    }
}
