//! Decides whether a message that claims to come from a CRM does. What it says of records is never looked at: it is a hint that something changed, and a poll finds out what.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;

use crate::Millis;

/// A message is not taken when its timestamp is this far from now: it may be an old one, sent again by somebody else.
const TIMESTAMP_LIFE_MS: Millis = 300_000;

/// How a CRM signs what it sends: an HMAC-SHA256 with a secret that both know.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The header that holds it.
    pub header: String,
    pub encoding: Encoding,
    /// What is signed, one after the other with nothing between.
    pub signs: Vec<Part>,
    /// The header that holds the moment of sending, milliseconds since 1970.
    #[serde(default)]
    pub timestamp: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    Base64,
    Hex,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Method,
    /// The whole address the CRM sent it to, as it knows it.
    Url,
    Body,
    Timestamp,
}

/// A message as it came.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    pub method: &'a str,
    pub url: &'a str,
    pub body: &'a [u8],
    pub signature: Option<&'a str>,
    pub timestamp: Option<&'a str>,
}

/// Why a message is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It shows neither signature nor key.
    Unsigned,
    /// Its timestamp is missing, or too far from this machine's clock.
    Old,
    /// It was not made with the secret: by somebody else, or with another secret or address than is configured here.
    Forged,
}

impl Refusal {
    pub fn word(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Old => "old",
            Self::Forged => "forged",
        }
    }
}

impl Signature {
    /// What contradicts itself, in words, for whoever wrote it.
    pub fn problem(&self) -> Option<String> {
        let is_signed = self.signs.contains(&Part::Timestamp);
        match &self.timestamp {
            None if is_signed => Some("the timestamp is signed, and `timestamp` does not say which header holds it".into()),
            Some(_) if !is_signed => {
                Some("`timestamp` is not signed, so that it proves nothing: put \"timestamp\" into `signs`".into())
            }
            _ if !self.signs.contains(&Part::Body) => Some("`signs` leaves the body out: anything could be sent".into()),
            _ => None,
        }
    }

    pub fn signs_the_url(&self) -> bool {
        self.signs.contains(&Part::Url)
    }

    /// Whether the CRM itself sent this, lately. `now` is this machine's clock.
    pub fn check(&self, secret: &[u8], message: &Message<'_>, now: Millis) -> Result<(), Refusal> {
        let shown = message.signature.ok_or(Refusal::Unsigned)?;
        if self.timestamp.is_some() {
            let stamp: Millis = message.timestamp.and_then(|stamp| stamp.parse().ok()).ok_or(Refusal::Old)?;
            if now.saturating_sub(stamp).saturating_abs() > TIMESTAMP_LIFE_MS {
                return Err(Refusal::Old);
            }
        }
        let shown = match self.encoding {
            Encoding::Base64 => STANDARD.decode(shown).map_err(|_| Refusal::Forged)?,
            Encoding::Hex => unhex(shown).ok_or(Refusal::Forged)?,
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|_| Refusal::Forged)?;
        for part in &self.signs {
            mac.update(match part {
                Part::Method => message.method.as_bytes(),
                Part::Url => message.url.as_bytes(),
                Part::Body => message.body,
                Part::Timestamp => message.timestamp.unwrap_or_default().as_bytes(),
            });
        }
        mac.verify_slice(&shown).map_err(|_| Refusal::Forged)
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let is_whole = digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit);
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    is_whole.then(|| digits.chunks(2).map(pair).collect()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Millis = 1_772_366_400_000;

    fn hubspot() -> Signature {
        Signature {
            header: "x-hubspot-signature-v3".into(),
            encoding: Encoding::Base64,
            signs: vec![Part::Method, Part::Url, Part::Body, Part::Timestamp],
            timestamp: Some("x-hubspot-request-timestamp".into()),
        }
    }

    /// printf 'POSThttps://sync.acme.test/hooks/hubspot[{"eventId":1}]1772366400000' | openssl dgst -sha256 -hmac app-secret -binary | base64
    fn message() -> Message<'static> {
        Message {
            method: "POST",
            url: "https://sync.acme.test/hooks/hubspot",
            body: br#"[{"eventId":1}]"#,
            signature: Some("7l4NW6RpTblYE97uVgCtb0Vv+FSVFTc6cHABMaeI5J8="),
            timestamp: Some("1772366400000"),
        }
    }

    #[test]
    fn what_the_crm_signed_is_taken_and_nothing_else() {
        let (signature, good) = (hubspot(), message());
        assert_eq!(signature.check(b"app-secret", &good, SENT + 1_000), Ok(()));
        let refused = |message: Message<'_>| signature.check(b"app-secret", &message, SENT).unwrap_err();
        assert_eq!(signature.check(b"another", &good, SENT), Err(Refusal::Forged));
        assert_eq!(refused(Message { body: b"[]", ..good }), Refusal::Forged);
        assert_eq!(refused(Message { method: "PUT", ..good }), Refusal::Forged);
        assert_eq!(refused(Message { url: "https://elsewhere.test/hooks/hubspot", ..good }), Refusal::Forged);
        assert_eq!(refused(Message { signature: Some("no base64!"), ..good }), Refusal::Forged);
        assert_eq!(refused(Message { signature: Some(""), ..good }), Refusal::Forged);
        assert_eq!(refused(Message { signature: None, ..good }), Refusal::Unsigned);
    }

    #[test]
    fn an_old_message_that_is_sent_again_is_not_taken() {
        let (signature, good) = (hubspot(), message());
        for now in [SENT + TIMESTAMP_LIFE_MS + 1, SENT - TIMESTAMP_LIFE_MS - 1, Millis::MIN, Millis::MAX] {
            assert_eq!(signature.check(b"app-secret", &good, now), Err(Refusal::Old));
        }
        for timestamp in [None, Some("yesterday")] {
            assert_eq!(signature.check(b"app-secret", &Message { timestamp, ..good }, SENT), Err(Refusal::Old));
        }
        // A timestamp that was moved to now is not what was signed.
        let moved = Message { timestamp: Some("1772366999000"), ..good };
        assert_eq!(signature.check(b"app-secret", &moved, 1_772_366_999_000), Err(Refusal::Forged));
    }

    /// printf '{"a":1}' | openssl dgst -sha256 -hmac app-secret -hex
    #[test]
    fn a_signature_may_be_written_in_hexadecimal_digits() {
        let signature = Signature { encoding: Encoding::Hex, signs: vec![Part::Body], timestamp: None, ..hubspot() };
        let hex = "a2ac6607a24977f9757e6d78319ae1660ad42ffeee0ee3f0dff30a92bcf85448";
        let sent = |signature| Message { body: br#"{"a":1}"#, signature: Some(signature), timestamp: None, ..message() };
        assert_eq!(signature.check(b"app-secret", &sent(hex), 0), Ok(()));
        for wrong in [&hex[1..], "zz", "é", ""] {
            assert_eq!(signature.check(b"app-secret", &sent(wrong), 0), Err(Refusal::Forged), "{wrong}");
        }
    }

    #[test]
    fn a_signature_that_proves_nothing_is_no_signature() {
        assert_eq!(hubspot().problem(), None);
        assert!(Signature { timestamp: None, ..hubspot() }.problem().is_some());
        assert!(Signature { signs: vec![Part::Body], ..hubspot() }.problem().is_some());
        assert!(Signature { signs: vec![Part::Url], timestamp: None, ..hubspot() }.problem().is_some());
    }
}
