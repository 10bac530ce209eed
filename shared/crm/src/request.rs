//! Decides what one HTTP call asks for, and what of it may be shown. Sends nothing.

pub use reqwest::Method;
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use tidemark_core::failure::{Class, Failure};

use crate::Callout;

/// What a call does to the CRM: a write without a usable answer may have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    Read,
    Write,
}

/// One call to make. Without `Debug`, like its answer: bodies hold people's data and are never logged.
pub struct Request {
    pub intent: Intent,
    pub method: Method,
    /// Another host than the client's own.
    pub base: Option<Url>,
    /// Below the base URL, beginning with `/`, encoded.
    pub path: String,
    /// The path without ids and values: fit for grouping.
    pub endpoint: String,
    /// Beside what the client itself sends.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Option<Content>,
    /// What it takes of the day's budget.
    pub cost: u32,
    /// What this is for, as the start of a sentence: `reading a page of contacts`.
    pub tried: String,
}

/// What is sent with a request.
pub struct Content {
    pub kind: &'static str,
    pub bytes: Vec<u8>,
}

pub const JSON: &str = "application/json";

impl Request {
    /// Asks for what stands at a path without ids.
    pub fn get(path: String, tried: String) -> Self {
        let endpoint = path.clone();
        let (intent, method) = (Intent::Read, Method::GET);
        Self { intent, method, base: None, path, endpoint, headers: Vec::new(), body: None, cost: 1, tried }
    }

    /// Sends JSON to a path without ids.
    pub fn post(intent: Intent, path: String, json: Vec<u8>, tried: String) -> Self {
        let body = Some(Content { kind: JSON, bytes: json });
        Self { intent, method: Method::POST, body, ..Self::get(path, tried) }
    }

    /// The path without ids, which may be anybody's, and the whole query.
    pub(crate) fn shown(&self) -> String {
        let path = self.endpoint.split_once('?').map_or(self.endpoint.as_str(), |(path, _)| path);
        match self.path.split_once('?') {
            Some((_, query)) => format!("{path}?{query}"),
            None => path.to_owned(),
        }
    }

    /// A passing fault after the connection stood: a write may have been carried out.
    pub(crate) fn lost(&self, what: &str) -> Failure {
        let mut failure = Failure::new(Class::Retry, format!("{}: {what}", self.tried));
        failure.maybe_done = self.intent == Intent::Write;
        failure
    }
}

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

pub(crate) fn callout(request: &Request) -> Callout {
    let method = METHODS.into_iter().find(|word| *word == request.method.as_str());
    Callout { cost: request.cost, ..Callout::new(method.unwrap_or("OTHER"), request.endpoint.clone()) }
}
