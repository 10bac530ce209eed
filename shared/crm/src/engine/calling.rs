//! Makes one call of an engine: the host, the credentials, the request, and what the answer comes to. Never retries, never pages.

use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::SecretString;
use serde_json::Value as Json;
use tidemark_core::failure::{Class, Failure};

use super::Engine;
use super::answer::Asked;
use super::auth::Auth;
use super::hole::{Constants, Values};
use super::request::Built;
use super::session::Token;
use super::template::Template;
use crate::address::check_base;
use crate::http::{Content, Exchange, Intent, JSON, Reply, Request};
use crate::refusal::Refusals;

/// One question, before it is a request.
pub(super) struct Question {
    pub(super) intent: Intent,
    pub(super) built: Result<Built, String>,
    /// Statuses that are answers although they are no successes.
    pub(super) taken: Vec<u16>,
    pub(super) tried: String,
}

impl Engine {
    pub(super) fn refusals(&self) -> Refusals<'_> {
        Refusals { vendor: &self.connector.vendor, errors: &self.connector.errors, client: &self.client }
    }

    /// Sends, and turns every answer that is no success, or says that it is none, into the failure the error table makes of it.
    pub(super) async fn call(&self, question: Question) -> Exchange {
        let Question { intent, built, taken, tried } = question;
        let token = self.session.current(Instant::now());
        let request = match built.and_then(|built| self.request(intent, built, token.as_deref(), tried.clone())) {
            Ok(request) => request,
            Err(why) => return unsent(tried, &why),
        };
        if token.is_none() && matches!(self.connector.auth, Auth::Token(_)) {
            let failure = Failure::new(Class::Retry, format!("{}: not signed in", request.tried));
            return Exchange::unsent(&request, failure);
        }
        let mut exchange = self.client.send(request).await;
        exchange.reply = exchange.reply.and_then(|reply| self.heed(reply, &taken, token.as_ref()));
        exchange
    }

    fn heed(&self, reply: Reply, taken: &[u16], token: Option<&Arc<Token>>) -> Result<Reply, Failure> {
        let says_no = || reply.content_type().contains("json") && self.connector.refuses(&json_of(&reply));
        let is_answer = (reply.is_success() || taken.contains(&reply.status)) && !says_no();
        if is_answer {
            if let Some(token) = token {
                token.prove();
            }
            return Ok(reply);
        }
        let mut failure = self.refusals().of_call(&reply);
        if let Some(token) = token.filter(|_| failure.class == Class::Auth) {
            self.session.forget(token);
            if token.is_proven() {
                // It was good before: a new one is asked for, and the work goes on.
                failure.class = Class::Retry;
            }
        }
        Err(failure)
    }

    fn request(&self, intent: Intent, built: Built, token: Option<&Token>, tried: String) -> Result<Request, String> {
        let constants = self.constants.with_kept(token);
        let base = self.host(&constants)?;
        let mut headers = built.headers;
        let values = Values { token: token.map(Token::text), constants: Some(&constants), ..Values::default() };
        headers.extend(self.signature(&values)?);
        let body = built.body.map(|bytes| Content { kind: JSON, bytes });
        let Built { method, path, endpoint, cost, .. } = built;
        Ok(Request { intent, method, base, path, endpoint, headers, body, cost, tried })
    }

    fn signature(&self, values: &Values<'_>) -> Result<Option<(HeaderName, HeaderValue)>, String> {
        let (name, text) = match &self.connector.auth {
            Auth::Header { name, value } => (name.clone(), value.text(values)?),
            Auth::Basic { user, password } => (AUTHORIZATION, basic(&user.text(values)?, &password.text(values)?)),
            Auth::Token(_) if values.token.is_none() => return Ok(None),
            Auth::Token(auth) => (auth.name.clone(), auth.value.text(values)?),
        };
        sensitive(&text).map(|value| Some((name, value)))
    }

    /// `None` for the client's own host, which a connection may name itself.
    pub(super) fn host(&self, constants: &Constants) -> Result<Option<Url>, String> {
        if self.own_host {
            return Ok(None);
        }
        self.connector_host().map(|template| address(template, constants)).transpose()
    }

    /// Where this is asked for, to find the next page from; `None` where nobody knows.
    pub(super) fn asked_at(&self, built: &Result<Built, String>) -> Option<Asked> {
        let host = self.host(&self.constants_with_token()).ok()?;
        let base = host.as_ref().unwrap_or(self.client.base());
        built.as_ref().ok().map(|built| Asked::at(base, built))
    }

    pub(super) fn connector_host(&self) -> Option<&Template> {
        self.connector.hosts.get(&self.environment).or_else(|| self.connector.hosts.get("any"))
    }
}

/// What cannot be asked as the file says: nothing was sent.
pub(super) fn unsent(tried: String, why: &str) -> Exchange {
    let request = Request::get(String::new(), tried);
    let failure = Failure::new(Class::Rejected, format!("{}: {why}", request.tried));
    Exchange::unsent(&request, failure)
}

pub(super) fn address(template: &Template, constants: &Constants) -> Result<Url, String> {
    let text = template.text(&Values { constants: Some(constants), ..Values::default() })?;
    check_base(&text, false).map_err(|error| error.to_string())
}

pub(super) fn sensitive(text: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::try_from(text).map_err(|_| "a secret holds characters that no header may carry".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// The body as JSON, null where it is none.
pub(super) fn json_of(reply: &Reply) -> Json {
    serde_json::from_slice(&reply.body).unwrap_or_default()
}

/// As `Basic` wants it.
pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

impl Constants {
    /// With what came with the token.
    pub(super) fn with_kept(&self, token: Option<&Token>) -> Self {
        let kept = token.map(|token| token.kept.clone()).unwrap_or_default();
        Self { settings: self.settings.clone(), secrets: self.secrets.clone(), signed_in: kept }
    }

    /// Everything that must not be said.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &SecretString> {
        self.secrets.values()
    }
}

#[cfg(test)]
mod tests {
    use super::basic;

    #[test]
    fn basic_credentials_are_written_as_the_standard_says() {
        assert_eq!(basic("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(basic("a", ""), "Basic YTo=");
        assert_eq!(basic("ab", "c"), "Basic YWI6Yw==");
        assert_eq!(basic("ab", "cd"), "Basic YWI6Y2Q=");
        assert_eq!(basic("abc", "de"), "Basic YWJjOmRl");
    }
}
