//! Who may call: an access token for the client's secret, or the secret itself.

use serde_json::json;

use super::refuse;
use crate::{
    Refusal,
    call::{Answer, Call},
    oauth::{self, Grant},
    quirk::Switch,
    turn::Turn,
};

pub(super) const ACCESS_TOKEN_SECS: Switch =
    Switch::number("access_token_secs", 3600, "seconds for which an access token is accepted");

/// Under any tenant.
pub(super) fn is_endpoint(call: &Call) -> bool {
    call.path.ends_with("/oauth2/v2.0/token")
}

pub(super) fn authorise(turn: &Turn<'_>, call: &Call) -> Result<(), Answer> {
    if turn.knows(call.credential("Bearer")) || is_endpoint(call) {
        return Ok(());
    }
    // The vendor's 401 has no JSON, only a header that says where to get a token.
    let place = format!("Bearer authorization_uri={}/common/oauth2/authorize", oauth::base_url(call));
    Err(Answer::empty(401).with_header("WWW-Authenticate", place))
}

pub(super) fn give(turn: &mut Turn<'_>, call: &Call) -> Answer {
    let refused = |status, error: &str, text: &str| {
        Answer::json(status, &json!({ "error": error, "error_description": text, "error_codes": [7_000_215] }))
    };
    let secret = match oauth::grant(call) {
        Grant::Client(secret) | Grant::Refresh(secret) => secret,
        Grant::Statement(_) | Grant::Unknown(_) => {
            return refused(400, "unsupported_grant_type", "AADSTS70003: unsupported grant type");
        }
    };
    if Some(secret.as_str()) != turn.token {
        return refused(401, "invalid_client", "AADSTS7000215: Invalid client secret provided.");
    }
    let secs = turn.number(&ACCESS_TOKEN_SECS);
    let token = turn.memory.give_token("eyJ0eXAiOiJKV1Qi.", secs, turn.now_ms, turn.dice);
    let body =
        json!({ "token_type": "Bearer", "expires_in": secs.saturating_sub(1), "ext_expires_in": secs, "access_token": token });
    Answer::json(200, &body)
}

pub(super) fn privilege() -> Answer {
    refuse::whole(&Refusal::new(403, "0x80040220", "Principal user is missing prvReadContact privilege"))
}
