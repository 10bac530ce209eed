//! What every trial of a connector file begins with: the file, the connection, the test records' properties, the account. Writes nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use eyre::{WrapErr, bail, ensure, eyre};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use tidemark_conformance::Subject;
use tidemark_core::spec::{BudgetSpec, ConnectionSpec};
use tidemark_crm::Crm;
use tidemark_crm::catalog::{self, Own};
use tidemark_crm::engine::Engine;

use crate::cli::TrialArgs;
use crate::verbs::{load, say};

type Secrets = BTreeMap<String, SecretString>;

/// A file that is about to be tried.
pub(super) struct Trial {
    pub(super) own: Own,
    pub(super) subject: Arc<Subject>,
    /// Begins the mark of everything that is made.
    pub(super) mark: String,
    pub(super) crm: Arc<dyn Crm>,
}

impl Trial {
    /// Refuses, having said what would be made, unless that was asked for.
    pub(super) async fn prepare(config: &Path, wish: &TrialArgs, external_key: Option<&str>, makes: usize) -> eyre::Result<Self> {
        let own = catalog::open(&wish.file)?;
        let (spec, secrets) = match &wish.connection {
            Some(name) => configured(config, name, &own)?,
            None => said(wish, &own)?,
        };
        let subject = subject(wish, external_key, &own, &spec, &secrets)?;
        let mark = format!("tidemark-{}", number());
        if !wish.yes_write {
            let Subject { object, environment, .. } = &subject;
            say(format_args!(
                "This would make up to {makes} {object} at {} ({environment}), each marked like {mark}, and archive them again.",
                wish.against
            ));
            bail!("nothing was sent: look at the address again, then add --yes-write");
        }
        let crm = connect(&wish.against, &spec, &secrets, &own)?;
        Ok(Self { own, subject: Arc::new(subject), mark, crm })
    }

    /// Nothing is written to an account that is not the one that was meant.
    pub(super) async fn prove(&self) -> eyre::Result<()> {
        let Self { crm, subject, .. } = self;
        tidemark_crm::ready(crm.as_ref(), &subject.object).await.wrap_err("nothing was written: the CRM does not let us in")?;
        let account = crm.account().await.result.wrap_err("nothing was written: whose credentials these are is not told")?;
        if let Some(wanted) = subject.account.as_ref().filter(|wanted| **wanted != account.id) {
            bail!("nothing was written: the credentials are of account {}, and {wanted} is configured", account.id);
        }
        ensure!(
            account.environment == subject.environment,
            "nothing was written: the account is a {}, and {} is configured: say --environment",
            account.environment,
            subject.environment
        );
        Ok(())
    }
}

/// Six digits that no other run near this one has.
fn number() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
    format!("{:06x}", now & 0xff_ffff)
}

/// A connection of the configuration.
fn configured(config: &Path, name: &str, own: &Own) -> eyre::Result<(ConnectionSpec, Secrets)> {
    let config = load(config)?;
    let known: Vec<String> = config.connections.iter().map(|(spec, _)| spec.name.clone()).collect();
    let found = config.connections.into_iter().find(|(spec, _)| spec.name == name);
    let (spec, secrets) = found.ok_or_else(|| eyre!("there is no connection {name}; there are {}", known.join(", ")))?;
    let (connector, file) = (&spec.connector, &own.name);
    ensure!(
        connector == file,
        "connections.{name}.connector is `{connector}`, and the file is {file}'s: name another connection"
    );
    Ok((spec, secrets))
}

/// What the flags say.
fn said(wish: &TrialArgs, own: &Own) -> eyre::Result<(ConnectionSpec, Secrets)> {
    let mut secrets = Secrets::new();
    for (name, variable) in pairs("--secret", &wish.secrets)? {
        let value =
            std::env::var(&variable).map_err(|_| eyre!("--secret {name}: there is no environment variable {variable}"))?;
        secrets.insert(name, value.into());
    }
    let spec = ConnectionSpec {
        name: own.name.clone(),
        connector: own.name.clone(),
        base_url: None,
        environment: wish.environment.clone(),
        account: None,
        budget: BudgetSpec::default(),
        call_deadline: Duration::from_secs(20),
        request_life: None,
        settings: pairs("--setting", &wish.settings)?.into_iter().collect(),
    };
    Ok((spec, secrets))
}

fn pairs(flag: &str, texts: &[String]) -> eyre::Result<Vec<(String, String)>> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').ok_or_else(|| eyre!("{flag} {text}: write it as name=value"))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    texts.iter().map(pair).collect()
}

fn subject(
    wish: &TrialArgs,
    external_key: Option<&str>,
    own: &Own,
    spec: &ConnectionSpec,
    secrets: &Secrets,
) -> eyre::Result<Subject> {
    let entry = own.entry();
    let known: Vec<&str> = own.connector.objects().collect();
    let object = match (&wish.object, known.as_slice()) {
        (Some(object), _) => object.clone(),
        (None, [only]) => (*only).to_owned(),
        (None, several) => bail!("{} has several objects: say --object, one of {}", wish.file.display(), several.join(", ")),
    };
    let listed = entry.objects.get(&object).or_else(|| entry.objects.get("*"));
    let can = &listed.ok_or_else(|| eyre!("{} has no object {object}; known are {}", own.name, known.join(", ")))?.can;
    let lacks: Vec<&str> = ["create", "update", "archive", "look_up"].into_iter().filter(|verb| !can.contains(verb)).collect();
    ensure!(
        lacks.is_empty(),
        "{}: {object} cannot be tried without {}: test records are made, changed, looked up and archived through the connector itself",
        wish.file.display(),
        lacks.join(", ")
    );
    Ok(Subject {
        object,
        email: wish.email.clone(),
        name: wish.name.clone(),
        phone: wish.phone.clone(),
        external_key: external_key.map(str::to_owned),
        with: pairs("--with", &wish.with)?,
        domain: wish.domain.clone(),
        account: spec.account.clone(),
        environment: spec.environment.clone(),
        kept: None,
        refuses_doubles: None,
        says_no_with_200: None,
        secrets: secrets.values().map(|secret| secret.expose_secret().to_owned()).collect(),
    })
}

/// The file's own host is asked as the file says; another address stands for every host of it.
fn connect(against: &str, spec: &ConnectionSpec, secrets: &Secrets, own: &Own) -> eyre::Result<Arc<dyn Crm>> {
    let url = Url::parse(against)
        .wrap_err_with(|| format!("--against {against}: write an address such as https://acme.example.com"))?;
    let plain = ConnectionSpec { base_url: None, ..spec.clone() };
    let as_described = Engine::connect(&plain, secrets, own.connector.clone())?;
    if as_described.address().origin() == url.origin() {
        return Ok(Arc::new(as_described));
    }
    let elsewhere = ConnectionSpec { base_url: Some(against.to_owned()), ..spec.clone() };
    Ok(Arc::new(Engine::connect(&elsewhere, secrets, own.connector.clone())?))
}
