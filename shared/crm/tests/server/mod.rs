//! A server of the test's own: says what it is told to say and remembers what it was asked. Decides nothing.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Response, Uri};
use secrecy::SecretString;
use serde_json::Value;
use tidemark_core::spec::{BudgetSpec, ConnectionSpec};
use tidemark_crm::hubspot::{self, HubSpot};
use tidemark_crm::{PageRequest, ReadIds, WriteItem};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

pub(crate) const TOKEN: &str = "pat-na1-11111111-2222";

/// One answer to give.
#[derive(Debug, Clone)]
pub(crate) struct Say {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

pub(crate) fn say(status: u16, body: &Value) -> Say {
    Say {
        status,
        headers: vec![("content-type", "application/json;charset=utf-8".to_owned())],
        body: body.to_string().into_bytes(),
    }
}

pub(crate) fn say_text(status: u16, content_type: &str, body: &str) -> Say {
    Say { status, headers: vec![("content-type", content_type.to_owned())], body: body.as_bytes().to_vec() }
}

pub(crate) fn say_nothing(status: u16) -> Say {
    Say { status, headers: Vec::new(), body: Vec::new() }
}

impl Say {
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// One call as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) headers: HeaderMap,
    /// Null where it is no JSON.
    pub(crate) body: Value,
    pub(crate) text: String,
}

/// A server by itself: where it listens, and what it was asked.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) base: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Desk {
    /// Gives these answers in turn.
    pub(crate) async fn saying(answers: Vec<Say>) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let left = Arc::new(Mutex::new(VecDeque::from(answers)));
        let seen = Arc::clone(&asked);
        let handler = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let authorization = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
            seen.lock().unwrap().push(Asked {
                method: method.to_string(),
                path: uri.path_and_query().map_or_else(String::new, ToString::to_string),
                authorization,
                headers,
                body: serde_json::from_slice(&body).unwrap_or_default(),
                text: String::from_utf8_lossy(&body).into_owned(),
            });
            let say = left.lock().unwrap().pop_front();
            async move {
                let say = say.unwrap_or_else(|| say_text(500, "text/plain", "asked more often than expected"));
                let mut answer = Response::builder().status(say.status);
                for (name, value) in say.headers {
                    answer = answer.header(name, value);
                }
                answer.body(Body::from(say.body)).unwrap()
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(handler)).await });
        Self { base, asked }
    }

    /// Nobody answers.
    pub(crate) fn closed() -> Self {
        Self { base: "http://127.0.0.1:9".to_owned(), asked: Arc::default() }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) crm: HubSpot,
    desk: Desk,
}

impl Server {
    /// Gives these answers in turn.
    pub(crate) async fn saying(answers: Vec<Say>) -> Self {
        let desk = Desk::saying(answers).await;
        Self { crm: crm(&desk.base), desk }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.desk.asked()
    }
}

/// A connector in front of a socket that answers each call with these bytes, then closes.
pub(crate) async fn crm_behind_bytes(bytes: Vec<u8>) -> HubSpot {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut buffer = [0; 65_536];
            // The calls made here are far smaller than the buffer and arrive whole or in two parts: head, then body.
            let mut request = Vec::new();
            while !is_complete(&request) {
                match socket.read(&mut buffer).await {
                    Ok(0) | Err(_) => break,
                    Ok(read) => request.extend_from_slice(&buffer[..read]),
                }
            }
            drop(socket.write_all(&bytes).await);
            drop(socket.shutdown().await);
        }
    });
    crm(&base)
}

fn is_complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
    body.len() >= length.unwrap_or_default()
}

/// A connector in front of a socket that takes the call and never answers.
pub(crate) async fn crm_behind_silence() -> HubSpot {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            held.push(socket);
        }
    });
    let spec = ConnectionSpec { call_deadline: Duration::from_millis(150), ..spec(Some(base)) };
    hubspot::connect(&spec, SecretString::from(TOKEN)).unwrap()
}

/// A connector in front of a port where nobody listens.
pub(crate) async fn crm_behind_nothing() -> HubSpot {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    crm(&base)
}

pub(crate) fn crm(base: &str) -> HubSpot {
    hubspot::connect(&spec(Some(base.to_owned())), SecretString::from(TOKEN)).unwrap()
}

pub(crate) fn spec(base_url: Option<String>) -> ConnectionSpec {
    ConnectionSpec {
        name: "main".to_owned(),
        connector: "hubspot".to_owned(),
        base_url,
        environment: "production".to_owned(),
        account: None,
        budget: BudgetSpec::default(),
        call_deadline: Duration::from_secs(20),
        request_life: None,
        settings: BTreeMap::new(),
    }
}

pub(crate) fn properties() -> Vec<Option<String>> {
    ["email", "firstname"].map(|name| Some(name.to_owned())).to_vec()
}

pub(crate) fn page_of<'a>(object: &'a str, properties: &'a [Option<String>]) -> PageRequest<'a> {
    PageRequest {
        object,
        properties,
        external_key: None,
        from: 1_000,
        until: 2_000,
        position: None,
        rows_max: 3,
        deletes: false,
        feed: None,
    }
}

pub(crate) fn ids_of<'a>(properties: &'a [Option<String>], ids: &'a [tidemark_core::record::RemoteId]) -> ReadIds<'a> {
    ReadIds { object: "contacts", properties, external_key: None, ids }
}

pub(crate) fn item(trace: &str, id: Option<&str>, email: Option<&str>) -> WriteItem {
    WriteItem {
        trace: trace.to_owned(),
        id: id.map(tidemark_core::record::RemoteId::new),
        key: None,
        version: None,
        fields: vec![("email".to_owned(), email.map(str::to_owned))],
    }
}
