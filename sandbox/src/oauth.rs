//! What a token endpoint is asked for, in the forms the vendors share. What it answers is each vendor's own.

use base64::{Engine, engine::general_purpose};
use serde_json::Value;

use crate::{call::Call, quirk::Switch, turn::Turn};

pub(crate) const REFRESH_ROTATES: Switch = Switch::flag(
    "refresh_rotates",
    false,
    "each access token comes with a new refresh token, and the one that was sent is none any more; other vendors do so, this one does not",
);

/// True when this refresh token is taken: the account's own, until another was given in its place.
pub(crate) fn takes_refresh(turn: &Turn<'_>, sent: &str) -> bool {
    turn.memory.refresh().or(turn.token) == Some(sent)
}

/// The refresh token of the next time, where it is another.
pub(crate) fn next_refresh(turn: &mut Turn<'_>, start: &str) -> Option<String> {
    turn.is_on(&REFRESH_ROTATES).then(|| turn.memory.give_refresh(start, turn.dice))
}

/// How a caller wants to get an access token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Grant {
    /// With a refresh token.
    Refresh(String),
    /// With the client's own secret.
    Client(String),
    /// With a signed statement, whose claims are read and whose signature is not checked.
    Statement(Value),
    Unknown(String),
}

/// Parameters may stand in the form or in the query; a client's secret may also stand in a `Basic` header.
pub(crate) fn grant(call: &Call) -> Grant {
    let form = call.form().unwrap_or_default();
    let field = |name: &str| {
        let sent = form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        sent.or_else(|| call.parameter(name)).unwrap_or_default().to_owned()
    };
    match field("grant_type").as_str() {
        "refresh_token" => Grant::Refresh(field("refresh_token")),
        "client_credentials" => {
            let sent = field("client_secret");
            Grant::Client(if sent.is_empty() { basic_secret(call).unwrap_or_default() } else { sent })
        }
        "urn:ietf:params:oauth:grant-type:jwt-bearer" => Grant::Statement(claims(&field("assertion")).unwrap_or(Value::Null)),
        other => Grant::Unknown(other.to_owned()),
    }
}

/// `http://host`, as the caller reached it.
pub(crate) fn base_url(call: &Call) -> String {
    format!("http://{}", call.header("host").unwrap_or("localhost"))
}

/// The second half of a `Basic` header.
pub(crate) fn basic_secret(call: &Call) -> Option<String> {
    let bytes = general_purpose::STANDARD.decode(call.credential("Basic")?).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    text.split_once(':').map(|(_, secret)| secret.to_owned())
}

fn claims(statement: &str) -> Option<Value> {
    let part = statement.split('.').nth(1)?;
    let bytes = general_purpose::URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(headers: &[(&str, &str)], query: &[(&str, &str)], body: &str) -> Call {
        let owned =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (method, path) = ("POST".to_owned(), "/oauth/token".to_owned());
        Call { method, path, query: owned(query), headers: owned(headers), body: body.to_owned() }
    }

    #[test]
    fn a_grant_is_read_from_the_form_the_query_or_the_header() {
        let form = call(&[], &[], "grant_type=refresh_token&refresh_token=r%2B1");
        assert_eq!(grant(&form), Grant::Refresh("r+1".to_owned()));
        let query = call(&[], &[("grant_type", "client_credentials"), ("client_secret", "s")], "");
        assert_eq!(grant(&query), Grant::Client("s".to_owned()));
        let basic = call(&[("authorization", "Basic aWQ6c2VjcmV0")], &[("grant_type", "client_credentials")], "");
        assert_eq!(grant(&basic), Grant::Client("secret".to_owned()));
    }

    #[test]
    fn the_claims_of_a_statement_are_read() {
        let payload = general_purpose::URL_SAFE_NO_PAD.encode(r#"{"iss":"me"}"#);
        let body = format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=e30.{payload}.sig");
        assert_eq!(grant(&call(&[], &[], &body)), Grant::Statement(json!({ "iss": "me" })));
    }
}
