//! Who may call: an access token under a scheme of the vendor's own. The token endpoint says no with a 200.

use serde_json::json;

use super::refuse;
use crate::{
    Refusal,
    call::{Answer, Call},
    oauth::{self, Grant},
    quirk::Switch,
    turn::Turn,
};

pub(crate) const ACCESS_TOKEN_SECS: Switch =
    Switch::number("access_token_secs", 3600, "seconds for which an access token is accepted");
pub(crate) const GRANTS_MAX: Switch =
    Switch::number("grants_max", 10, "access tokens given in ten minutes; a further one is denied [unverified]");
pub(crate) const REFUSALS_ARE_200: Switch =
    Switch::flag("token_refusals_are_200", true, "the token endpoint refuses with 200 and an error in the body; off: 400");

const GRANTS: &str = "grants";
const TEN_MINUTES_MS: i64 = 600_000;

pub(crate) fn is_endpoint(call: &Call) -> bool {
    call.path == "/oauth/v2/token"
}

/// The token sent, under the vendor's own scheme only.
pub(crate) fn is_known(turn: &Turn<'_>, call: &Call) -> bool {
    turn.knows(call.credential("Zoho-oauthtoken"))
}

pub(super) fn authorise(turn: &Turn<'_>, call: &Call) -> Result<(), Answer> {
    if is_endpoint(call) || is_known(turn, call) {
        return Ok(());
    }
    Err(refuse::whole(&match call.header("authorization") {
        Some(_) => Refusal::new(401, "INVALID_TOKEN", "invalid oauth token"),
        None => Refusal::new(401, "AUTHENTICATION_FAILURE", "Authentication failed"),
    }))
}

pub(crate) fn give(turn: &mut Turn<'_>, call: &Call) -> Answer {
    let status = if turn.is_on(&REFUSALS_ARE_200) { 200 } else { 400 };
    let refused = |error: &str| Answer::json(status, &json!({ "error": error }));
    match oauth::grant(call) {
        Grant::Refresh(refresh) if oauth::takes_refresh(turn, &refresh) => {}
        Grant::Refresh(_) => return refused("invalid_code"),
        Grant::Client(secret) if Some(secret.as_str()) == turn.token => {}
        Grant::Client(_) => return refused("invalid_client"),
        Grant::Statement(_) | Grant::Unknown(_) => return refused("unsupported_grant_type"),
    }
    if turn.meters.spent(GRANTS, turn.now_ms - TEN_MINUTES_MS) >= turn.number(&GRANTS_MAX) {
        let text = "You have made too many requests continuously. Please try again after some time.";
        return Answer::json(400, &json!({ "error_description": text, "error": "Access Denied", "status": "failure" }));
    }
    turn.meters.spend(GRANTS, 1, turn.now_ms, TEN_MINUTES_MS);
    let secs = turn.number(&ACCESS_TOKEN_SECS);
    let token = turn.memory.give_token("1000.", secs, turn.now_ms, turn.dice);
    let mut body = json!({
        "access_token": token,
        "scope": "ZohoCRM.modules.ALL ZohoBooks.fullaccess.all",
        "api_domain": oauth::base_url(call),
        "token_type": "Bearer",
        "expires_in": secs,
    });
    if let Some(refresh) = oauth::next_refresh(turn, "1000.r") {
        body["refresh_token"] = json!(refresh);
    }
    Answer::json(200, &body)
}
