//! Decides where a hook lives, from secrets that are addresses or keys, and refuses those that would leave the vendor's host. Never repeats one in an error.

use std::collections::BTreeMap;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use tidemark_core::hook::{IFTTT, ZAPIER};
use tidemark_core::spec::ConnectionSpec;

use crate::connect::ConnectError;

use super::SIGNING;

/// The address of every object that has none of its own.
const URL: &str = "url";
const KEY: &str = "key";

/// Where deliveries go, by object.
#[derive(Debug)]
pub(super) enum Targets {
    /// Paths of catch hooks, by the name of their secret.
    Addresses(BTreeMap<String, SecretString>),
    /// One key for every event.
    Key { key: SecretString, values: bool },
}

impl Targets {
    pub(super) fn of(
        connector: &str,
        spec: &ConnectionSpec,
        base: &str,
        secrets: &BTreeMap<String, SecretString>,
    ) -> Result<Self, ConnectError> {
        let fail = |place: String, what: &str| ConnectError::Hook { connection: spec.name.clone(), place, what: what.to_owned() };
        let form = spec.settings.get("form").map(String::as_str);
        if let Some(unknown) = spec.settings.keys().find(|name| connector == ZAPIER || *name != "form") {
            return Err(fail(format!("settings.{unknown}"), "is no setting of this connector: take it out"));
        }
        if connector == IFTTT {
            let known = secrets.get(KEY).filter(|key| !key.expose_secret().is_empty());
            let key = known.ok_or_else(|| fail("secret.key".into(), "is missing: write the key of your Webhooks service"))?;
            let plain = |one: char| one.is_ascii_alphanumeric() || matches!(one, '-' | '_');
            if !key.expose_secret().chars().all(plain) {
                return Err(fail("secret.key".into(), "is no key: write the part of the address behind /with/key/ alone"));
            }
            let values = match form {
                None | Some("json") => false,
                Some("values") => true,
                Some(_) => return Err(fail("settings.form".into(), "is neither \"json\" nor \"values\"")),
            };
            return Ok(Self::Key { key: key.clone(), values });
        }
        let mut addresses = BTreeMap::new();
        for (name, secret) in secrets.iter().filter(|(name, _)| *name != SIGNING) {
            let path = path(base, secret).map_err(|what| fail(format!("secret.{name}"), &what))?;
            addresses.insert(name.clone(), path);
        }
        if addresses.is_empty() {
            return Err(fail("secret.url".into(), "is missing: write the address of the catch hook"));
        }
        Ok(Self::Addresses(addresses))
    }

    /// The path a delivery of this object is sent to, below the base.
    pub(super) fn path(&self, object: &str) -> Option<SecretString> {
        match self {
            Self::Addresses(addresses) => addresses.get(object).or_else(|| addresses.get(URL)).cloned(),
            Self::Key { key, .. } => {
                let plain = |one: char| one.is_ascii_alphanumeric() || matches!(one, '-' | '_');
                let (form, key) = (self.form_part(), key.expose_secret());
                let is_event = !object.is_empty() && object.chars().all(plain);
                is_event.then(|| format!("/trigger/{object}{form}/with/key/{key}").into())
            }
        }
    }

    /// The part of an IFTTT path that says that the body may be any JSON.
    pub(super) fn form_part(&self) -> &'static str {
        if matches!(self, Self::Key { values: true, .. }) { "" } else { "/json" }
    }

    /// Everything that must never be repeated: whole paths, and the parts of them that open a hook.
    pub(super) fn secrets(&self) -> impl Iterator<Item = SecretString> {
        let secrets: Vec<SecretString> = match self {
            Self::Addresses(addresses) => addresses.values().flat_map(parts).collect(),
            Self::Key { key, .. } => vec![key.clone()],
        };
        secrets.into_iter()
    }
}

/// The longest first, so that what is left of a path does not show the rest.
fn parts(path: &SecretString) -> Vec<SecretString> {
    let text = path.expose_secret();
    // A short part opens nothing, and its letters stand in every other text.
    let opens = text.split('/').filter(|part| part.len() >= 5 && !matches!(*part, "hooks" | "catch"));
    let mut parts: Vec<String> = opens.map(str::to_owned).collect();
    parts.push(text.to_owned());
    parts.push(text.trim_end_matches('/').to_owned());
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    parts.into_iter().map(SecretString::from).collect()
}

/// The path of an address that lies at the base. The error says what is wrong and never the address.
fn path(base: &str, secret: &SecretString) -> Result<SecretString, String> {
    let url =
        Url::parse(secret.expose_secret().trim()).map_err(|_| "is no address: write the whole https:// address".to_owned())?;
    let base = Url::parse(base).map_err(|_| "cannot be compared with base_url, which is no address".to_owned())?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() || url.query().is_some() {
        return Err("must not carry a user name, a query or a fragment".to_owned());
    }
    if url.origin() != base.origin() {
        return Err(format!(
            "is not an address at {}: correct it, or write base_url = \"https://…\" if the receiver is your own",
            base.origin().ascii_serialization()
        ));
    }
    if url.path().trim_matches('/').is_empty() {
        return Err("names a host and no hook: write the whole address".to_owned());
    }
    Ok(url.path().to_owned().into())
}
