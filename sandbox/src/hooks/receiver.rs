//! Decides what a receiver answers, what it keeps, and whether it has been told the same before. Reads no clock and touches no network.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// A signature older than this is somebody else's copy.
const SIGNATURE_SECS_MAX: u64 = 300;

/// Who receives.
#[derive(Debug, Clone, Default)]
pub struct HookConfig {
    /// Where to listen; a free port of this machine unless set.
    pub listen: Option<SocketAddr>,
    /// Paths of the catch hooks that exist, such as `/hooks/catch/1/abcdef/`.
    pub catch: Vec<String>,
    /// The key of the Webhooks service.
    pub maker_key: Option<String>,
    /// Deliveries must be signed with it.
    pub signing: Option<String>,
    /// Largest body that is taken; 10 MB unless set.
    pub body_bytes_max: Option<usize>,
}

/// How a delivery is answered instead of well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookAnswer {
    /// Refused under this status; nothing is kept.
    Status(u16),
    /// 429, to be waited for so many seconds.
    Throttled(u64),
    /// A redirect to another host.
    Redirect(String),
    /// It is heard, and the line drops before the answer.
    Lost,
    /// It is heard, and a 502 hides that.
    Masked,
    /// It is heard, and the answer takes so many milliseconds.
    Slow(u64),
}

/// What a delivery's signature is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// None was asked for.
    NotAsked,
    Good,
    Missing,
    Wrong,
    Old,
}

/// A request as it arrived.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) key: Option<String>,
    pub(super) event: Option<String>,
    pub(super) signature: Option<String>,
    pub(super) authorization: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) body: Vec<u8>,
    pub(super) now_secs: u64,
}

/// One delivery as the receiver saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub path: String,
    /// `Idempotency-Key`.
    pub key: String,
    pub event: String,
    pub body: Value,
    pub signature: Signature,
    /// Under which status it was answered; `None` when the line dropped.
    pub status: Option<u16>,
    /// The receiver has acted on it, whatever it answered.
    pub kept: bool,
    /// The key was kept before: a receiver that looks does nothing.
    pub again: bool,
    /// It carried credentials in a header.
    pub authorized: bool,
}

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: String,
    pub(super) retry_after: Option<u64>,
    pub(super) location: Option<String>,
}

impl Reply {
    pub(super) fn of(status: u16, content_type: &'static str, body: impl Into<String>) -> Self {
        Self { status, content_type, body: body.into(), retry_after: None, location: None }
    }
}

#[derive(Debug)]
pub(super) struct Receiver {
    config: HookConfig,
    heard: Vec<Heard>,
    kept: BTreeSet<String>,
    next: VecDeque<HookAnswer>,
    always: Option<HookAnswer>,
}

impl Receiver {
    pub(super) fn new(config: HookConfig) -> Self {
        Self { config, heard: Vec::new(), kept: BTreeSet::new(), next: VecDeque::new(), always: None }
    }

    pub(super) fn heard(&self) -> &[Heard] {
        &self.heard
    }

    pub(super) fn taken(&self) -> Vec<Heard> {
        self.heard.iter().filter(|heard| heard.kept && !heard.again).cloned().collect()
    }

    pub(super) fn next(&mut self, answers: impl IntoIterator<Item = HookAnswer>) {
        self.next.extend(answers);
    }

    pub(super) fn always(&mut self, answer: Option<HookAnswer>) {
        self.always = answer;
    }

    /// The reply, or none where the line drops; and how long it takes.
    pub(super) fn hear(&mut self, told: Told) -> (Option<Reply>, Option<u64>) {
        let signature = self.signature(&told);
        let body: Option<Value> = serde_json::from_slice(&told.body).ok();
        let well = self.judge(&told, signature, body.as_ref());
        let forced = if well.status < 300 { self.next.pop_front().or_else(|| self.always.clone()) } else { None };
        let (reply, wait, kept) = match forced {
            None => {
                let kept = well.status < 300;
                (Some(well), None, kept)
            }
            Some(HookAnswer::Status(status)) => (Some(Reply::of(status, "application/json", refusal(status))), None, false),
            Some(HookAnswer::Throttled(secs)) => {
                let reply = Reply { retry_after: Some(secs), ..Reply::of(429, "application/json", refusal(429)) };
                (Some(reply), None, false)
            }
            Some(HookAnswer::Redirect(target)) => {
                (Some(Reply { location: Some(target), ..Reply::of(307, "text/plain", "") }), None, false)
            }
            Some(HookAnswer::Lost) => (None, None, true),
            Some(HookAnswer::Masked) => (Some(Reply::of(502, "text/html", "<html>Bad gateway</html>")), None, true),
            Some(HookAnswer::Slow(ms)) => (Some(well), Some(ms), true),
        };
        let key = told.key.unwrap_or_default();
        let again = kept && !self.kept.insert(key.clone());
        self.heard.push(Heard {
            path: told.path,
            key,
            event: told.event.unwrap_or_default(),
            body: body.unwrap_or_default(),
            signature,
            status: reply.as_ref().map(|reply| reply.status),
            kept,
            again,
            authorized: told.authorization.is_some(),
        });
        (reply, wait)
    }

    /// What is answered when nobody wants it otherwise.
    fn judge(&self, told: &Told, signature: Signature, body: Option<&Value>) -> Reply {
        if told.method != "POST" {
            return Reply::of(405, "text/plain", "Only POST is taken here.");
        }
        if told.body.len() > self.config.body_bytes_max.unwrap_or(10_000_000) {
            return Reply::of(413, "text/plain", "Payload Too Large");
        }
        if !matches!(signature, Signature::NotAsked | Signature::Good) {
            return Reply::of(403, "application/json", json!({ "message": "the signature is not good" }).to_string());
        }
        let is_json = told.content_type.as_deref().is_some_and(|kind| kind.starts_with("application/json"));
        let Some(Value::Object(fields)) = body.filter(|_| is_json) else {
            return Reply::of(400, "application/json", json!({ "message": "the body is no JSON object" }).to_string());
        };
        let parts: Vec<&str> = told.path.trim_matches('/').split('/').collect();
        match parts.as_slice() {
            ["hooks", "catch", ..] if self.config.catch.contains(&told.path) => {
                let answer = json!({ "attempt": "0190", "id": "0190", "request_id": "0190", "status": "success" });
                Reply::of(200, "application/json", answer.to_string())
            }
            ["trigger", event, "json", "with", "key", key] => self.trigger(event, key),
            ["trigger", event, "with", "key", key] => {
                let known = |name: &String| matches!(name.as_str(), "value1" | "value2" | "value3");
                // The real service ignores what it does not know; here it is a mistake that a test wants to see.
                if fields.keys().all(known) { self.trigger(event, key) } else { Reply::of(400, "text/plain", "unknown value") }
            }
            _ => Reply::of(404, "application/json", json!({ "status": "error" }).to_string()),
        }
    }

    fn trigger(&self, event: &str, key: &str) -> Reply {
        if self.config.maker_key.as_deref() != Some(key) {
            // The words are the service's; that it repeats what it was asked is ours, to see whether somebody prints it.
            let words = format!("You sent an invalid key. ({key})");
            return Reply::of(401, "application/json", json!({ "errors": [{ "message": words }] }).to_string());
        }
        Reply::of(200, "text/html", format!("Congratulations! You've fired the {event} event"))
    }

    fn signature(&self, told: &Told) -> Signature {
        let Some(secret) = &self.config.signing else { return Signature::NotAsked };
        let Some(text) = &told.signature else { return Signature::Missing };
        let part = |name: &str| text.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        let (Some(time), Some(digest)) = (part("t"), part("v1")) else { return Signature::Wrong };
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return Signature::Wrong };
        mac.update(time.as_bytes());
        mac.update(b".");
        mac.update(&told.body);
        let bytes = |at: usize| digest.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let claimed: Option<Vec<u8>> = (0..digest.len()).step_by(2).map(bytes).collect();
        if claimed.is_none_or(|claimed| mac.verify_slice(&claimed).is_err()) {
            return Signature::Wrong;
        }
        let age = time.parse::<u64>().map(|time| told.now_secs.abs_diff(time));
        if age.is_ok_and(|age| age <= SIGNATURE_SECS_MAX) { Signature::Good } else { Signature::Old }
    }
}

fn refusal(status: u16) -> String {
    json!({ "status": "error", "message": format!("refused under {status}") }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str, key: &str, signature: Option<&str>) -> Told {
        Told {
            method: "POST".into(),
            path: path.into(),
            key: Some(key.into()),
            event: None,
            signature: signature.map(str::to_owned),
            authorization: None,
            content_type: Some("application/json".into()),
            body: br#"{"a":1}"#.to_vec(),
            now_secs: 1_700_000_100,
        }
    }

    fn receiver(signing: Option<&str>) -> Receiver {
        let config =
            HookConfig { catch: vec!["/hooks/catch/1/a/".into()], signing: signing.map(str::to_owned), ..HookConfig::default() };
        Receiver::new(config)
    }

    /// printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac practice
    #[test]
    fn a_signature_is_judged_by_what_openssl_makes_of_it() {
        let good = "t=1700000000,v1=550dad7cd4e523f1ec6c39327d1315d8c065b40761861db720aa729586416f26";
        let mut receiver = receiver(Some("practice"));
        let mut judge = |signature: Option<&str>| {
            receiver.hear(told("/hooks/catch/1/a/", "k", signature));
            receiver.heard.last().unwrap().signature
        };
        assert_eq!(judge(Some(good)), Signature::Good);
        assert_eq!(judge(Some(&good.replace("t=1700000000", "t=1700000001"))), Signature::Wrong);
        assert_eq!(judge(None), Signature::Missing);
    }

    #[test]
    fn a_key_is_taken_once_and_a_hook_that_is_not_there_takes_nothing() {
        let mut receiver = receiver(None);
        receiver.next([HookAnswer::Lost]);
        for path in ["/hooks/catch/1/a/", "/hooks/catch/1/a/", "/hooks/catch/1/b/"] {
            receiver.hear(told(path, "k", None));
        }
        let statuses: Vec<_> = receiver.heard().iter().map(|heard| (heard.status, heard.again)).collect();
        assert_eq!(statuses, [(None, false), (Some(200), true), (Some(404), false)]);
        assert_eq!(receiver.taken().len(), 1);
    }
}
