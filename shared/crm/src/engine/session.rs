//! Decides which credentials go with a request, and when a token has to be asked for. Holds the token of this process; asks nobody.
//!
//! A token that was taken once and is refused later has worn out: it is forgotten, and the work goes on after the next one. A token that is refused while it is new
//! means that the credentials themselves are no longer good. One that another process asked for may be as old as it likes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::auth::{Kept, TokenAuth};
use super::place::scalar;

/// A token is renewed this long before it is said to end: a call takes time, and clocks differ.
const EARLY: Duration = Duration::from_secs(60);

/// What is kept of an answer to signing in, for this process and for others.
#[derive(Serialize, Deserialize)]
pub(super) struct Told {
    access: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refresh: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    kept: BTreeMap<String, String>,
}

impl Told {
    /// Reads an answer, and for how long its token can be used; `Err` says what it lacks.
    pub(super) fn read(auth: &TokenAuth, body: &Json) -> Result<(Self, Option<Duration>), &'static str> {
        let access = auth.token.find(body).and_then(scalar).ok_or("it holds no token")?;
        let told = auth.lifetime.as_ref().and_then(|at| scalar(at.find(body)?)?.parse::<u64>().ok());
        let lifetime = told.or(auth.lifetime_secs.map(u64::from)).map(Duration::from_secs);
        let early = |lifetime: Duration| lifetime.saturating_sub(EARLY.min(lifetime / 2));
        let mut kept = BTreeMap::new();
        for (name, Kept { at, within }) in &auth.keep {
            let text = at.find(body).and_then(scalar).ok_or("it lacks what later requests need")?;
            if !within.is_empty() && !is_within(&text, within) {
                return Err("it names an address of another host");
            }
            kept.insert(name.clone(), text);
        }
        let refresh = auth.rotates.as_ref().and_then(|at| at.find(body).and_then(scalar));
        Ok((Self { access, refresh, kept }, lifetime.map(early)))
    }

    /// What was kept; `None` where it was kept by another version of this program.
    pub(super) fn parse(text: &SecretString) -> Option<Self> {
        serde_json::from_str(text.expose_secret()).ok()
    }

    pub(super) fn text(&self) -> SecretString {
        // Maps have text keys, so JSON is always written.
        SecretString::from(serde_json::to_string(self).unwrap_or_default())
    }

    /// Everything of it that must not be said.
    pub(super) fn secrets(&self) -> impl Iterator<Item = SecretString> {
        [Some(&self.access), self.refresh.as_ref()].into_iter().flatten().map(|text| SecretString::from(text.as_str()))
    }
}

/// One token and what came with it.
pub(super) struct Token {
    secret: SecretString,
    ends: Option<Instant>,
    pub(super) kept: BTreeMap<String, String>,
    proven: AtomicBool,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}

impl Token {
    /// `proven`: it may have been taken before, by another process.
    pub(super) fn of(told: Told, lives: Option<Duration>, proven: bool, now: Instant) -> Self {
        Self {
            secret: SecretString::from(told.access),
            ends: lives.and_then(|lives| now.checked_add(lives)),
            kept: told.kept,
            proven: AtomicBool::new(proven),
        }
    }

    pub(super) fn text(&self) -> &str {
        self.secret.expose_secret()
    }

    fn is_live(&self, now: Instant) -> bool {
        self.ends.is_none_or(|ends| now < ends)
    }

    /// The CRM took it.
    pub(super) fn prove(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }
}

/// An `https` address whose host is one of these, or below one.
fn is_within(text: &str, hosts: &[String]) -> bool {
    let Ok(url) = reqwest::Url::parse(text) else { return false };
    let host = url.host_str().unwrap_or_default().to_lowercase();
    let below = |suffix: &String| host == *suffix || host.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.ends_with('.'));
    url.scheme() == "https" && url.username().is_empty() && hosts.iter().any(below)
}

/// The token in use.
#[derive(Debug, Default)]
pub(super) struct Session(RwLock<Option<Arc<Token>>>);

impl Session {
    pub(super) fn current(&self, now: Instant) -> Option<Arc<Token>> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().filter(|token| token.is_live(now)).cloned()
    }

    pub(super) fn keep(&self, token: Token) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(token));
    }

    /// Forgets this token, and no newer one.
    pub(super) fn forget(&self, worn: &Arc<Token>) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_some_and(|token| Arc::ptr_eq(token, worn)) {
            *held = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_within;

    #[test]
    fn credentials_go_to_no_host_but_the_vendors() {
        let hosts = ["salesforce.com".to_owned()];
        let check = |text: &str, expect: bool| assert_eq!(is_within(text, &hosts), expect, "{text}");
        check("https://acme.my.salesforce.com", true);
        check("https://salesforce.com", true);
        check("https://evilsalesforce.com", false);
        check("https://salesforce.com.evil.test", false);
        check("http://acme.my.salesforce.com", false);
        check("https://me@acme.my.salesforce.com", false);
        check("acme.my.salesforce.com", false);
    }
}
