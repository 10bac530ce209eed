//! A call and its answer as plain values, so that the whole dialect can be tested without a network.

use axum::{extract::Query, http::Uri};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Refusal;

/// One HTTP request, already read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Upper case.
    pub(crate) method: String,
    /// As sent, without the query.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Call {
    /// The path's parts, percent-decoded one by one: an encoded slash stays inside its part.
    pub(crate) fn segments(&self) -> Vec<String> {
        self.path.split('/').filter(|part| !part.is_empty()).map(percent_decoded).collect()
    }

    /// `name` in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The token of an `Authorization` header of the given scheme.
    pub(crate) fn credential(&self, scheme: &str) -> Option<&str> {
        let (sent, credential) = self.header("authorization")?.split_once(' ')?;
        sent.eq_ignore_ascii_case(scheme).then_some(credential.trim())
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A list parameter, repeated or separated by commas. `None` when it was not sent.
    pub(crate) fn list(&self, name: &str) -> Option<Vec<String>> {
        let values: Vec<String> = self
            .query
            .iter()
            .filter(|(key, _)| key == name)
            .flat_map(|(_, value)| value.split(','))
            .map(|item| item.trim().to_owned())
            .filter(|item| !item.is_empty())
            .collect();
        (!values.is_empty()).then_some(values)
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.parameter(name) == Some("true")
    }

    /// The fields of a body that is an HTML form.
    pub(crate) fn form(&self) -> Result<Vec<(String, String)>, Refusal> {
        let unreadable = || Refusal::invalid("The form could not be read");
        let uri: Uri = format!("/?{}", self.body.trim()).parse().map_err(|_| unreadable())?;
        Query::try_from_uri(&uri).map(|Query(fields)| fields).map_err(|_| unreadable())
    }

    /// The JSON body in the shape an endpoint asks for.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        serde_json::from_str(&self.body).map_err(|error| Refusal::invalid(format!("Invalid input JSON on line 1: {error}")))
    }
}

/// What goes back to the caller.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `None` for an answer without a body.
    pub(crate) content_type: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, "application/json;charset=utf-8", body.to_string())
    }

    pub(crate) fn html(status: u16, body: impl Into<String>) -> Self {
        Self::text(status, "text/html; charset=utf-8", body)
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self { status, content_type: None, headers: Vec::new(), body: String::new() }
    }

    pub(crate) fn text(status: u16, content_type: &str, body: impl Into<String>) -> Self {
        Self { status, content_type: Some(content_type.to_owned()), headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The same answer with the second half of its body missing.
    pub(crate) fn truncated(mut self) -> Self {
        let mut half = self.body.len() / 2;
        while !self.body.is_char_boundary(half) {
            half -= 1;
        }
        self.body.truncate(half);
        self
    }
}

/// `%40` to `@`. What is not a valid escape stays as it is.
fn percent_decoded(part: &str) -> String {
    let bytes = part.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = part.get(at + 1..at + 3).filter(|_| bytes[at] == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        decoded.push(escape.unwrap_or(bytes[at]));
        at += if escape.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, path: &str) -> Call {
        Call {
            method: method.to_owned(),
            path: path.to_owned(),
            query: vec![("properties".to_owned(), "email,phone".to_owned()), ("properties".to_owned(), "city".to_owned())],
            headers: vec![("authorization".to_owned(), "bearer  t".to_owned())],
            body: String::new(),
        }
    }

    #[test]
    fn an_address_in_the_path_is_decoded_after_splitting() {
        let segments = call("GET", "/crm/v3/objects/contacts/ana%2Fb%40acme.test%").segments();
        assert_eq!(segments[4], "ana/b@acme.test%");
    }

    #[test]
    fn lists_may_be_repeated_or_separated_by_commas() {
        assert_eq!(call("GET", "/").list("properties").unwrap(), ["email", "phone", "city"]);
        assert_eq!(call("GET", "/").list("associations"), None);
    }

    #[test]
    fn a_credential_is_read_under_its_own_scheme_only() {
        assert_eq!(call("GET", "/").credential("Bearer"), Some("t"));
        assert_eq!(call("GET", "/").credential("Basic"), None);
    }

    #[test]
    fn truncation_never_splits_a_character() {
        assert_eq!(Answer::text(200, "text/plain", "aéé").truncated().body, "a");
    }
}
