//! Who may call: an API token, or an access token from the token endpoint. A refresh token is the account's token itself.

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

pub(super) fn is_endpoint(call: &Call) -> bool {
    call.path == "/oauth/token"
}

/// The account's token may stand in `x-api-token`, as a bearer, and in the query where the first version is called.
pub(super) fn authorise(turn: &mut Turn<'_>, call: &Call) -> Result<(), Answer> {
    if is_endpoint(call) {
        return Ok(());
    }
    let in_query = call.parameter("api_token").filter(|_| call.path.contains("v1/"));
    let bearer = call.credential("Bearer");
    let sent = call.header("x-api-token").or(bearer).or(in_query);
    if sent.is_some() && sent == turn.token || turn.knows(bearer) {
        return Ok(());
    }
    Err(refuse::whole(&Refusal::new(401, "", "unauthorized access")))
}

pub(super) fn give(turn: &mut Turn<'_>, call: &Call) -> Answer {
    let refused =
        |error: &str, text: &str| Answer::json(400, &json!({ "success": false, "error": error, "error_description": text }));
    let refresh = match oauth::grant(call) {
        Grant::Refresh(refresh) if Some(refresh.as_str()) == turn.token => refresh,
        Grant::Refresh(_) => return refused("invalid_grant", "refresh_token is invalid"),
        Grant::Client(_) | Grant::Statement(_) | Grant::Unknown(_) => {
            return refused("unsupported_grant_type", "only refresh_token is offered by this practice CRM");
        }
    };
    let secs = turn.number(&ACCESS_TOKEN_SECS);
    let token = turn.memory.give_token("v1u:", secs, turn.now_ms, turn.dice);
    Answer::json(
        200,
        &json!({
            "access_token": token,
            "token_type": "Bearer",
            "refresh_token": refresh,
            "scope": "base,deals:full,contacts:full,search:read",
            "expires_in": secs.saturating_sub(1),
            "api_domain": oauth::base_url(call),
        }),
    )
}
