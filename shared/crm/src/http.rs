//! Decides what one HTTP call came to before any vendor's words are read: an answer, or a failure that says whether a
//! write may have happened.
//!
//! Never retries, never follows a redirect (credentials stay with the host they were given for), never logs.

use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chrono::DateTime;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT};
use reqwest::{Response, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use tidemark_core::Millis;
use tidemark_core::failure::{Class, Failure};

use crate::address::{check_base, is_loopback};
use crate::redact::vendor_words;
use crate::request::callout;
pub use crate::request::{Content, Intent, JSON, Method, Request};
use crate::tape::{self, Call, Heard};
use crate::{Answer, Callout};

/// Largest body read. A page of 200 records with every property is a tenth of this.
pub const BODY_BYTES_MAX: usize = 20 << 20;

/// Longest `Retry-After` believed: the longest a vendor announces is 24 h, and a typing error must not park work for years.
const WAIT_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Time for name, TCP and TLS. Apart from the deadline, so that "never connected" is known and a write is known not done.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// No redirect: nothing changed since the time that was asked for.
const NOT_MODIFIED: u16 = 304;

/// A complete answer of any status except a redirect.
pub struct Reply {
    pub intent: Intent,
    pub tried: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// Asked for by `Retry-After`.
    pub wait: Option<Duration>,
}

/// A call with its record, before its answer is understood.
pub struct Exchange {
    pub reply: Result<Reply, Failure>,
    pub callout: Callout,
}

impl Exchange {
    /// A call that was refused before it was made.
    pub fn unsent(request: &Request, failure: Failure) -> Self {
        Self { reply: Err(failure), callout: callout(request) }
    }

    /// Reads the answer and completes the record with the class of what came of it.
    pub fn settle<T>(self, read: impl FnOnce(Reply) -> Result<T, Failure>) -> Answer<T> {
        let result = self.reply.and_then(read);
        let class = result.as_ref().err().map(|failure| failure.class);
        Answer { result, callout: Callout { class, ..self.callout } }
    }
}

impl Reply {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub fn content_type(&self) -> &str {
        self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON text; anything else is `Malformed`.
    pub fn json_text(&self) -> Result<&str, Failure> {
        if !self.content_type().contains("json") {
            let kind = self.content_type();
            let kind = if kind.is_empty() { "no content type" } else { kind };
            return Err(self.malformed(&format!("expected JSON and got {kind}")));
        }
        std::str::from_utf8(&self.body).map_err(|_| self.malformed("the body is not UTF-8"))
    }

    /// Names the place and the kind of a fault, never its text: serde repeats values, and values are people's data.
    pub fn broken_json(&self, error: &serde_json::Error) -> Failure {
        let kind = match error.classify() {
            serde_json::error::Category::Eof => "the JSON ends too early",
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => "the JSON is broken",
            serde_json::error::Category::Data => "the JSON has another shape than promised",
        };
        self.malformed(&format!("{kind}, line {} column {}", error.line(), error.column()))
    }

    pub fn malformed(&self, what: &str) -> Failure {
        let mut failure = Failure::new(Class::Malformed, format!("{}: answered {}, but {what}", self.tried, self.status));
        failure.status = Some(self.status);
        failure.wait = self.wait;
        failure.maybe_done = self.intent == Intent::Write;
        failure
    }
}

/// One connection's way to its CRM.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    /// Sent with every call; `None` where the address is the credential, or each request brings its own.
    authorization: Option<HeaderValue>,
    /// Taken out of everything that is said of a call, in this order.
    hidden: RwLock<Vec<SecretString>>,
    deadline: Duration,
    quota_header: Option<HeaderName>,
}

/// Where a call goes whose address is a credential, and what it carries beside its body.
pub struct Secretly<'a> {
    pub path: &'a SecretString,
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// What a client cannot be built from.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the base URL `{url}` {what}")]
    Base { url: String, what: &'static str },
    #[error("the secret is empty or holds characters that no header may carry")]
    Token,
    #[error("`{0}` is not a header name")]
    Header(String),
    #[error("the HTTP client could not be built")]
    Build(#[from] reqwest::Error),
}

/// What a client is built from.
#[derive(Debug, Clone, Copy)]
pub struct ClientSpec<'a> {
    pub base: &'a str,
    /// Whole call, connect to last body byte.
    pub deadline: Duration,
    pub quota_header: Option<&'a str>,
    /// Plain HTTP to another host would show the token to the network: for practice only.
    pub plain_http: bool,
}

impl Client {
    pub fn new(spec: ClientSpec<'_>, token: SecretString) -> Result<Self, ClientError> {
        let token = trimmed(token);
        let bearer = bearer(&token).ok_or(ClientError::Token)?;
        let client = Self::unsigned(spec)?;
        client.hide(token);
        Ok(Self { authorization: Some(bearer), ..client })
    }

    /// One whose calls are authorised by their address alone. What is in `secrets` is taken out of every text, in this order.
    pub fn secret(spec: ClientSpec<'_>, secrets: Vec<SecretString>) -> Result<Self, ClientError> {
        let client = Self::unsigned(spec)?;
        secrets.into_iter().for_each(|secret| client.hide(secret));
        Ok(client)
    }

    /// One whose requests bring what signs them.
    pub fn unsigned(spec: ClientSpec<'_>) -> Result<Self, ClientError> {
        let base = check_base(spec.base, spec.plain_http)?;
        let quota_header = match spec.quota_header {
            Some(name) => Some(HeaderName::try_from(name).map_err(|_| ClientError::Header(name.to_owned()))?),
            None => None,
        };
        let mut http = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_MAX.min(spec.deadline / 2));
        if is_loopback(&base) {
            http = http.no_proxy();
        }
        let http = http.build()?;
        Ok(Self { http, base, authorization: None, hidden: RwLock::default(), deadline: spec.deadline, quota_header })
    }

    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// From now on nothing that is said of a call holds this.
    pub fn hide(&self, secret: SecretString) {
        let mut hidden = self.hidden.write().unwrap_or_else(PoisonError::into_inner);
        if !hidden.iter().any(|known| known.expose_secret() == secret.expose_secret()) {
            hidden.push(secret);
        }
    }

    /// Vendor words without secrets and addresses.
    pub fn words(&self, text: &str) -> String {
        let hidden = self.hidden.read().unwrap_or_else(PoisonError::into_inner);
        let secrets: Vec<&str> = hidden.iter().map(ExposeSecret::expose_secret).collect();
        vendor_words(text, &secrets)
    }

    /// Makes one call and reads its answer to the end, within the deadline.
    pub async fn send(&self, request: Request) -> Exchange {
        self.transmit(request, None).await
    }

    /// The same to an address that is a credential. `request.path` is what is shown of it.
    pub async fn send_secretly(&self, request: Request, secretly: &Secretly<'_>) -> Exchange {
        self.transmit(request, Some(secretly)).await
    }

    async fn transmit(&self, request: Request, secretly: Option<&Secretly<'_>>) -> Exchange {
        let mut callout = callout(&request);
        self.tape(&request, secretly, None, &mut callout);
        let started = Instant::now();
        let reply = match tokio::time::timeout(self.deadline, self.exchange(&request, secretly, &mut callout)).await {
            Ok(reply) => reply,
            Err(_) => Err(request.lost(&format!("no complete answer within {} ms", self.deadline.as_millis()))),
        };
        callout.elapsed_ms = u32::try_from(started.elapsed().as_millis()).unwrap_or(u32::MAX);
        Exchange { reply, callout }
    }

    async fn exchange(
        &self,
        request: &Request,
        secretly: Option<&Secretly<'_>>,
        callout: &mut Callout,
    ) -> Result<Reply, Failure> {
        let (started, wall) = (Instant::now(), wall_ms());
        let mut response = self.start(request, secretly).await?;
        let middle = wall + i64::try_from(started.elapsed().as_millis() / 2).unwrap_or_default();
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let date = headers.get(DATE).and_then(http_date_ms);
        callout.status = Some(status);
        callout.clock_offset_ms = date.map(|date| date - middle);
        callout.quota_left = self.quota_header.as_ref().and_then(|name| headers.get(name)).and_then(number);
        let wait = headers.get(RETRY_AFTER).and_then(|value| retry_after(value, date.unwrap_or(middle)));

        let mut reply = Reply { intent: request.intent, tried: request.tried.clone(), status, headers, body: Vec::new(), wait };
        self.tape(request, secretly, Some((&reply, false)), callout);
        if (300..400).contains(&status) && status != NOT_MODIFIED {
            return Err(reply.malformed(&self.redirected(&reply.headers)));
        }
        let read = self.read_body(request, &mut reply, response).await;
        self.tape(request, secretly, Some((&reply, read.is_ok())), callout);
        read.map(|()| reply)
    }

    /// Where this call is recorded: what there is of it so far, so that one that breaks off is told as far as it came.
    fn tape(&self, request: &Request, secretly: Option<&Secretly<'_>>, answer: Option<(&Reply, bool)>, callout: &mut Callout) {
        if !tape::is_on() {
            return;
        }
        let heard =
            answer.map(|(reply, whole)| Heard { status: reply.status, headers: &reply.headers, body: &reply.body, whole });
        let hidden = self.hidden.read().unwrap_or_else(PoisonError::into_inner);
        let call = Call {
            secrets: hidden.iter().map(ExposeSecret::expose_secret).collect(),
            method: callout.method,
            path: &request.shown(),
            headers: &self.headers(request, secretly),
            body: request.body.as_ref().map(|content| content.bytes.as_slice()),
            answer: heard,
        };
        callout.tape = Some(Box::new(tape::tape(&call)));
    }

    fn headers(&self, request: &Request, secretly: Option<&Secretly<'_>>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("tidemark/", env!("CARGO_PKG_VERSION"))));
        if let Some(header) = &self.authorization {
            headers.insert(AUTHORIZATION, header.clone());
        }
        if let Some(content) = &request.body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content.kind));
        }
        headers.extend(request.headers.clone());
        headers.extend(secretly.into_iter().flat_map(|secretly| secretly.headers.clone()));
        headers
    }

    async fn start(&self, request: &Request, secretly: Option<&Secretly<'_>>) -> Result<Response, Failure> {
        let base = request.base.as_ref().unwrap_or(&self.base);
        let mut url = base.clone();
        match secretly {
            // The whole path: what it opens is not put together here.
            Some(secretly) => url.set_path(secretly.path.expose_secret()),
            None => url = below(base, &request.path),
        }
        let mut call = self.http.request(request.method.clone(), url).headers(self.headers(request, secretly));
        if let Some(content) = &request.body {
            call = call.body(content.bytes.clone());
        }
        call.send().await.map_err(|error| {
            let cause = self.words(&root_cause(&error));
            if error.is_connect() || error.is_builder() {
                let host = base.host_str().unwrap_or_default();
                return Failure::new(Class::Retry, format!("{}: no connection to {host}: {cause}", request.tried));
            }
            request.lost(&format!("the call broke off: {cause}"))
        })
    }

    async fn read_body(&self, request: &Request, reply: &mut Reply, mut response: Response) -> Result<(), Failure> {
        let too_large = |reply: &Reply| reply.malformed(&format!("the body is larger than {} MiB", BODY_BYTES_MAX >> 20));
        let announced = usize::try_from(response.content_length().unwrap_or_default()).unwrap_or(usize::MAX);
        if announced > BODY_BYTES_MAX {
            return Err(too_large(reply));
        }
        reply.body.reserve_exact(announced);
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if reply.body.len() + chunk.len() > BODY_BYTES_MAX => return Err(too_large(reply)),
                Ok(Some(chunk)) => reply.body.extend_from_slice(&chunk),
                Ok(None) => return Ok(()),
                Err(error) => {
                    let cause = self.words(&root_cause(&error));
                    let mut failure = request.lost(&format!("answered {}, then the body broke off: {cause}", reply.status));
                    failure.status = Some(reply.status);
                    return Err(failure);
                }
            }
        }
    }

    fn redirected(&self, headers: &HeaderMap) -> String {
        let target = headers.get(LOCATION).and_then(|value| value.to_str().ok()).and_then(|text| self.base.join(text).ok());
        let target = target.as_ref().and_then(Url::host_str).unwrap_or("nowhere").to_owned();
        format!("it redirects to {}, which is not followed: the token belongs to {}", self.words(&target), self.base.authority())
    }
}

/// A path with its query, below what the base itself holds of a path.
pub(crate) fn below(base: &Url, path: &str) -> Url {
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url.set_query(query);
    url
}

/// A secret read from a file often ends in a line break.
pub(crate) fn trimmed(token: SecretString) -> SecretString {
    let text = token.expose_secret();
    if text.trim().len() == text.len() {
        return token;
    }
    SecretString::from(text.trim())
}

fn bearer(token: &SecretString) -> Option<HeaderValue> {
    let token = token.expose_secret();
    let mut header = HeaderValue::try_from(format!("Bearer {token}")).ok().filter(|_| !token.is_empty())?;
    header.set_sensitive(true);
    Some(header)
}

/// The innermost error: the outer ones repeat the URL.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn wall_ms() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn number(value: &HeaderValue) -> Option<i64> {
    value.to_str().ok()?.trim().parse().ok()
}

fn http_date_ms(value: &HeaderValue) -> Option<Millis> {
    Some(DateTime::parse_from_rfc2822(value.to_str().ok()?).ok()?.timestamp_millis())
}

/// Seconds, or a date against the answer's own `Date`: our clock may be wrong.
fn retry_after(value: &HeaderValue, answered_ms: Millis) -> Option<Duration> {
    let wait = match value.to_str().ok()?.trim().parse::<f64>() {
        Ok(secs) => Duration::try_from_secs_f64(secs.clamp(0.0, WAIT_MAX.as_secs_f64())).ok()?,
        Err(_) => Duration::from_millis(u64::try_from(http_date_ms(value)? - answered_ms).unwrap_or_default()),
    };
    Some(wait.min(WAIT_MAX))
}
