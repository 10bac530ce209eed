//! Takes webhooks of CRMs as hints: a message that proves where it comes from brings the next poll of its streams forward. What it says is never read, and a message that never
//! comes costs nothing but the poll's interval.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::body::Bytes;
use axum::extract::{OriginalUri, Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use metrics::counter;
use secrecy::{ExposeSecret, SecretString};
use tidemark_core::Millis;
use tidemark_core::spec::StreamSpec;
use tidemark_core::webhook::{Message, Refusal, Signature};
use tidemark_core::window::Reader;
use tidemark_store::streams;
use tracing::{debug, warn};

use super::App;
use super::guard::Key;
use crate::clock::now;

/// HubSpot sends up to a hundred events at once, others one record with all it has.
pub(crate) const BODY_MAX: usize = 1024 * 1024;
/// A version is read once the reader's lag has passed over its stamp, which may be a whole second.
const STEP_MS: Millis = 1_000;
/// Refusals are told this often at most: anybody can send them.
const TOLD_EVERY: Millis = 60_000;

/// Who may give hints of one connection, and what they bring forward.
#[derive(Debug)]
pub struct Webhook {
    secret: SecretString,
    signature: Option<Signature>,
    public_url: String,
    streams: Vec<Hinted>,
    told_at: AtomicI64,
}

/// A stream that hints bring forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hinted {
    name: String,
    object: String,
    /// What the CRM told of now is shown by then.
    delay: Millis,
}

impl Hinted {
    pub fn of(spec: &StreamSpec) -> Self {
        Self { name: spec.name.clone(), object: spec.object.clone(), delay: Reader::Fast.lag(&spec.poll) + STEP_MS }
    }
}

impl Webhook {
    /// `secret` is what the CRM signs with, or the key its address carries where it signs nothing. `public_url` is the host as the CRM knows it.
    pub fn new(secret: SecretString, signature: Option<Signature>, public_url: Option<String>, streams: Vec<Hinted>) -> Self {
        let public_url = public_url.unwrap_or_default();
        Self { secret, signature, public_url, streams, told_at: AtomicI64::new(Millis::MIN) }
    }

    fn check(&self, method: &Method, place: &str, headers: &HeaderMap, key: Option<&str>, body: &[u8]) -> Result<(), Refusal> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let Some(signature) = &self.signature else {
            let bearer = text(header::AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
            let shown = key.or(bearer).ok_or(Refusal::Unsigned)?;
            return if Key::new(&self.secret).opens(shown) { Ok(()) } else { Err(Refusal::Forged) };
        };
        let url = format!("{}{place}", self.public_url);
        let message = Message {
            method: method.as_str(),
            url: &url,
            body,
            signature: text(&signature.header),
            timestamp: signature.timestamp.as_deref().and_then(text),
        };
        signature.check(self.secret.expose_secret().as_bytes(), &message, now())
    }

    /// Whether this refusal is told: the first, and then one a minute.
    fn is_told(&self) -> bool {
        let (now, last) = (now(), self.told_at.load(Ordering::Relaxed));
        last <= now - TOLD_EVERY && self.told_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// Some CRMs look whether anybody is there before they send.
pub(crate) async fn look(State(shared): App, Path(place): Path<HashMap<String, String>>) -> StatusCode {
    match meant(&shared, &place) {
        Some((_, streams)) if !streams.is_empty() => StatusCode::NO_CONTENT,
        _ => StatusCode::NOT_FOUND,
    }
}

pub(crate) async fn take(
    State(shared): App,
    Path(place): Path<HashMap<String, String>>,
    Query(query): Query<HashMap<String, String>>,
    OriginalUri(uri): OriginalUri,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let Some((webhook, streams)) = meant(&shared, &place).filter(|(_, streams)| !streams.is_empty()) else {
        return StatusCode::NOT_FOUND;
    };
    let connection = place.get("connection").cloned().unwrap_or_default();
    let asked = uri.path_and_query().map_or("/", |place| place.as_str());
    let checked = webhook.check(&method, asked, &headers, query.get("key").map(String::as_str), &body);
    let outcome = checked.err().map_or("taken", Refusal::word);
    counter!("tidemark_webhooks_total", "connection" => connection.clone(), "outcome" => outcome).increment(1);
    if let Err(refusal) = checked {
        if webhook.is_told() {
            warn!(
                connection,
                "a webhook was refused, {}: compare secret.webhook and server.public_url with what the CRM has",
                refusal.word()
            );
        }
        return StatusCode::UNAUTHORIZED;
    }
    for stream in streams {
        match streams::bring_forward(&shared.app.store, &stream.name, stream.delay).await {
            Ok(moved) => debug!(stream = stream.name, moved, "a webhook came"),
            // It is sent again: whoever sends webhooks does that.
            Err(error) => {
                warn!(stream = stream.name, error = error.log_words(), "a webhook could not be heeded");
                return StatusCode::SERVICE_UNAVAILABLE;
            }
        }
    }
    StatusCode::ACCEPTED
}

/// The streams an address names.
fn meant<'a>(shared: &'a super::Shared, place: &HashMap<String, String>) -> Option<(&'a Webhook, Vec<&'a Hinted>)> {
    let webhook = shared.app.webhooks.get(place.get("connection")?)?;
    let object = place.get("object");
    let streams = webhook.streams.iter().filter(|stream| object.is_none_or(|object| *object == stream.object));
    Some((webhook, streams.collect()))
}
