//! Who may call: a session from the token endpoint, or the organisation's token itself. A session says nothing of its end.

use serde_json::{Value, json};

use super::{organization_id, refuse};
use crate::{
    call::{Answer, Call},
    oauth::{self, Grant},
    quirk::Switch,
    turn::Turn,
};

pub(super) const SESSION_SECS: Switch =
    Switch::number("session_secs", 7200, "seconds for which a session is accepted; no answer tells");
pub(super) const STATEMENT_SECS: Switch =
    Switch::number("statement_secs", 300, "seconds a signed statement's exp may lie ahead [unverified]");

pub(super) fn is_endpoint(call: &Call) -> bool {
    call.path == "/services/oauth2/token"
}

pub(super) fn authorise(turn: &mut Turn<'_>, call: &Call) -> Result<(), Answer> {
    if is_endpoint(call) || call.path == "/services/data" {
        return Ok(());
    }
    if turn.knows(call.credential("Bearer")) {
        return Ok(());
    }
    Err(refuse::whole(&refuse::session()))
}

/// The signature of a statement is not checked; its claims are.
pub(super) fn give(turn: &mut Turn<'_>, call: &Call) -> Answer {
    let refused = |error: &str, text: &str| Answer::json(400, &json!({ "error": error, "error_description": text }));
    match oauth::grant(call) {
        Grant::Refresh(refresh) if Some(refresh.as_str()) == turn.token => {}
        Grant::Refresh(_) => return refused("invalid_grant", "expired access/refresh token"),
        Grant::Client(secret) if Some(secret.as_str()) == turn.token => {}
        Grant::Client(_) => return refused("invalid_client", "invalid client credentials"),
        Grant::Statement(claims) => {
            if let Err(text) = check(turn, &claims) {
                return refused("invalid_grant", text);
            }
        }
        Grant::Unknown(_) => return refused("unsupported_grant_type", "grant type not supported"),
    }
    let start = format!("{}!", organization_id(turn));
    let token = turn.memory.give_token(&start, turn.number(&SESSION_SECS), turn.now_ms, turn.dice);
    let base = oauth::base_url(call);
    Answer::json(
        200,
        &json!({
            "access_token": token,
            "signature": "c2lnbmF0dXJl",
            "scope": "api refresh_token",
            "instance_url": base,
            "id": format!("{base}/id/{}/005Ax0000000001AAA", organization_id(turn)),
            "token_type": "Bearer",
            "issued_at": turn.crm_ms().to_string(),
        }),
    )
}

fn check(turn: &Turn<'_>, claims: &Value) -> Result<(), &'static str> {
    if turn.token.is_none() {
        return Err("user hasn't approved this consumer");
    }
    if ["iss", "sub", "aud"].into_iter().any(|name| claims[name].as_str().is_none_or(str::is_empty)) {
        return Err("invalid assertion");
    }
    let now_secs = turn.crm_ms() / 1000;
    let ahead = i64::try_from(turn.number(&STATEMENT_SECS)).unwrap_or(i64::MAX);
    match claims["exp"].as_i64() {
        Some(exp) if exp <= now_secs => Err("expired authorization code"),
        Some(exp) if exp - now_secs <= ahead => Ok(()),
        _ => Err("invalid assertion"),
    }
}
