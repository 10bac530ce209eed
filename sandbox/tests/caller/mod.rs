//! A caller of a practice CRM over a real connection, for the tests of every dialect.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its own part, and a test stops at the first surprise")]

use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tidemark_sandbox::{Crm, Dialect, Sandbox, SandboxConfig, Weather};

pub(crate) const TOKEN: &str = "pat-na1-sandbox";

/// What came back, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
    /// `Null` when the body is no JSON.
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) async fn read(request: RequestBuilder) -> Self {
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or_default();
        Self { status, headers, text, body }
    }
}

pub(crate) struct Caller {
    pub(crate) sandbox: Sandbox,
    pub(crate) client: Client,
    /// Name and value of the header that carries the token.
    pub(crate) key: (&'static str, String),
}

impl Caller {
    pub(crate) async fn new(dialect: Dialect, key: (&'static str, &str)) -> Self {
        let config = SandboxConfig { dialect, ..SandboxConfig::default() };
        let sandbox = Sandbox::start(config).await.unwrap();
        Self { sandbox, client: Client::new(), key: (key.0, key.1.to_owned()) }
    }

    pub(crate) fn crm(&self) -> Crm {
        self.sandbox.crm()
    }

    pub(crate) fn weather(&self, weather: Weather) {
        self.crm().set_weather(weather);
    }

    pub(crate) fn quirk(&self, name: &str, setting: impl Into<tidemark_sandbox::Setting>) {
        self.crm().set_quirk(name, setting).unwrap();
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).header(self.key.0, &self.key.1)
    }

    /// Without a token.
    pub(crate) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.sandbox.base_url()))
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        Reply::read(self.request(Method::GET, path)).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> Reply {
        Reply::read(self.request(method, path).json(body)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::POST, path, body).await
    }

    /// Posts a form without a token, as token endpoints are called.
    pub(crate) async fn form(&self, path: &str, body: &str) -> Reply {
        let request = self.bare(Method::POST, path).header("content-type", "application/x-www-form-urlencoded");
        Reply::read(request.body(body.to_owned())).await
    }
}

/// The values of one field of a list's rows, in their order.
pub(crate) fn each<'a>(rows: &'a Value, field: &str) -> Vec<&'a Value> {
    rows.as_array().unwrap().iter().map(|row| &row[field]).collect()
}
