//! Decides what a signed statement says of who asks for a token (a JWT as RFC 7523 has it, signed by RS256), and signs it. Sends nothing, and remembers no key.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value as Json};

use super::findings::Findings;
use super::hole::Values;
use super::node::{Fields, Node};
use super::template::{Position, Scope, Template};

/// What is stated: who asks, as whom, and of whom.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    claims: Vec<(String, Template)>,
    life: Duration,
}

/// The secret that signs: a private RSA key as PEM.
pub(super) const KEY: &str = "private_key";
/// Vendors take no statement that is good for long: Salesforce five minutes at most.
const LIFE_SECS: u32 = 180;
const HEADER: &str = r#"{"alg":"RS256","typ":"JWT"}"#;

impl Statement {
    /// Reads `claims` and `claims_secs`.
    pub(super) fn read(fields: &mut Fields<'_>, scope: &Scope<'_>, findings: &Findings) -> Option<Self> {
        let claims = fields.need("claims", "Write claims = { iss = \"{secret.client_id}\", sub = …, aud = … }.");
        let life = fields.number("claims_secs", 1, 3_600).unwrap_or(LIFE_SECS);
        let claim = |(name, node): &(String, Node)| {
            if matches!(name.as_str(), "iat" | "exp") {
                findings.add(
                    &node.at,
                    format!("`{name}` is the time at which it is signed."),
                    "Take it out; claims_secs says how long it is good.",
                );
            }
            Some((name.clone(), Template::parse(node.text(findings)?, Position::Form, &node.at, scope, findings)?))
        };
        let claims: Vec<_> = claims?.entries(findings)?.iter().filter_map(claim).collect();
        if !scope.secrets.iter().any(|name| name == KEY) {
            findings.add(
                fields.at,
                "a statement is signed, and no key is asked for.",
                "Write [secret.private_key] with about = \"…\".",
            );
        }
        Some(Self { claims, life: Duration::from_secs(u64::from(life)) })
    }

    /// What is sent as `assertion`, good from this second on.
    pub(super) fn signed(&self, values: &Values<'_>, key: &RsaKeyPair, now_secs: i64) -> Result<String, String> {
        let mut claims = Map::new();
        for (name, template) in &self.claims {
            claims.insert(name.clone(), Json::String(template.text(values)?));
        }
        claims.insert("iat".to_owned(), now_secs.into());
        claims.insert("exp".to_owned(), now_secs.saturating_add_unsigned(self.life.as_secs()).into());
        sign(HEADER, &Json::Object(claims).to_string(), key)
    }
}

fn sign(header: &str, claims: &str, key: &RsaKeyPair) -> Result<String, String> {
    let said = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), said.as_bytes(), &mut signature)
        .map_err(|_| "the statement cannot be signed".to_owned())?;
    Ok(format!("{said}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// A private RSA key of 2048 bits or more as PEM, whose lines may be parted by `\n` written out, as environment variables often have it. `Err` says what is wrong with it, and nothing of it.
pub(super) fn key_of(secret: &SecretString) -> Result<RsaKeyPair, &'static str> {
    let text = secret.expose_secret().replace("\\n", "\n");
    let body = |label: &str| {
        let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
        let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
        let plain: String = body.split_whitespace().collect();
        STANDARD.decode(plain).ok()
    };
    let key = match (body("PRIVATE KEY"), body("RSA PRIVATE KEY")) {
        (Some(der), _) => RsaKeyPair::from_pkcs8(&der),
        (None, Some(der)) => RsaKeyPair::from_der(&der),
        (None, None) => return Err("is no private key as PEM: it begins with -----BEGIN PRIVATE KEY-----"),
    };
    key.map_err(|_| "is no private RSA key of 2048 bits or more")
}

#[cfg(test)]
#[path = "statement_tests.rs"]
mod tests;
