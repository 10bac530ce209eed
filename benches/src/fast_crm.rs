//! A HubSpot that answers the reading of contacts and costs almost nothing: every record is rendered before the first call.
//!
//! Decides nothing about sync, and knows no writes. What it cannot answer it refuses aloud.

use std::io::Write;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use clap::Args;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::contacts;
use crate::search::{self, Found};

/// Serves contacts in HubSpot's dialect, fast. Prints its address as the first line.
#[derive(Args)]
pub(crate) struct Options {
    /// Contacts to serve.
    #[arg(long, default_value_t = 200_000)]
    records: u64,
    /// Port on the loopback address; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Largest page, at most 1000. HubSpot's own search gives 200.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    page_max: u16,
    /// Milliseconds that every page takes.
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// Ends when its standard input does, so that it never outlives whoever started it.
    #[arg(long)]
    until_stdin_ends: bool,
}

struct Crm {
    records: u64,
    page_max: u64,
    latency: Duration,
    /// All records, each followed by a comma.
    text: String,
    /// Where each record begins in `text`, and where the last one ends.
    starts: Vec<usize>,
}

pub(crate) async fn run(options: &Options) -> eyre::Result<()> {
    let routes = routes(Crm::new(options));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
    writeln!(std::io::stdout(), "http://{}", listener.local_addr()?)?;
    // The tail of a page is less than a segment, and would wait for the acknowledgement of the rest.
    let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
    let until_stdin_ends = options.until_stdin_ends;
    tokio::select! {
        served = async { axum::serve(listener, routes).await } => served?,
        () = stdin_ended(), if until_stdin_ends => {}
    }
    // The thread that reads standard input cannot be woken up, and the runtime would wait for it.
    std::process::exit(0)
}

fn routes(crm: Crm) -> Router {
    Router::new()
        .route("/crm/v3/objects/contacts/search", post(answer_search))
        .route("/crm/v3/properties/contacts", get(answer_properties))
        .route("/account-info/v3/details", get(answer_account))
        .fallback(refuse_route)
        .with_state(Arc::new(crm))
}

async fn stdin_ended() {
    let mut byte = [0];
    while tokio::io::stdin().read(&mut byte).await.is_ok_and(|read| read > 0) {}
}

impl Crm {
    fn new(options: &Options) -> Self {
        let mut text = String::new();
        let mut starts = vec![0];
        for index in 0..options.records {
            contacts::render(index, &mut text);
            text.push(',');
            starts.push(text.len());
        }
        text.shrink_to_fit();
        let latency = Duration::from_millis(options.latency_ms);
        Self { records: options.records, page_max: options.page_max.into(), latency, text, starts }
    }

    /// One copy of the page, which is a hundredth of the time that anyone needs to read it.
    fn page(&self, found: &Found) -> String {
        let at = |index: u64| usize::try_from(index).ok().and_then(|index| self.starts.get(index)).copied().unwrap_or_default();
        let records = self.text.get(at(found.page.start)..at(found.page.end)).unwrap_or_default().trim_end_matches(',');
        let given = found.page.end - found.page.start;
        let mut page = String::with_capacity(records.len() + 128);
        page.push_str(r#"{"total":"#);
        page.push_str(&found.total.to_string());
        page.push_str(r#","results":["#);
        page.push_str(records);
        page.push(']');
        if found.total > given {
            page.push_str(&format!(r#","paging":{{"next":{{"after":"{given}"}}}}"#));
        }
        page.push('}');
        page
    }
}

async fn answer_search(State(crm): State<Arc<Crm>>, body: Bytes) -> Response {
    if !crm.latency.is_zero() {
        tokio::time::sleep(crm.latency).await;
    }
    match search::find(&body, crm.records, crm.page_max) {
        Ok(found) => json_answer(StatusCode::OK, crm.page(&found)),
        Err(message) => refuse(StatusCode::BAD_REQUEST, &message),
    }
}

async fn answer_account() -> Response {
    let body = json!({ "portalId": 1, "accountType": "DEVELOPER_TEST", "timeZone": "UTC", "utcOffset": "+00:00" });
    json_answer(StatusCode::OK, body.to_string())
}

async fn answer_properties() -> Response {
    let property = |(name, kind): (&str, contacts::Kind)| {
        let (kind, field) = kind.hubspot();
        let read_only = matches!(name, "createdate" | "hs_object_id" | "lastmodifieddate");
        json!({
            "name": name, "label": name, "type": kind, "fieldType": field, "groupName": "contactinformation", "options": [],
            "hasUniqueValue": false, "calculated": false, "archived": false, "modificationMetadata": { "readOnlyValue": read_only },
        })
    };
    let results: Vec<_> = contacts::FIELDS.into_iter().map(property).collect();
    json_answer(StatusCode::OK, json!({ "results": results }).to_string())
}

async fn refuse_route(method: Method, uri: Uri) -> Response {
    refuse(StatusCode::NOT_FOUND, &format!("{method} {} is not answered by this server", uri.path()))
}

fn refuse(status: StatusCode, message: &str) -> Response {
    eprintln!("fast CRM: {message}");
    json_answer(status, json!({ "status": "error", "message": message, "category": "VALIDATION_ERROR" }).to_string())
}

fn json_answer(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json;charset=utf-8")], body).into_response()
}

#[cfg(test)]
mod tests {
    use tidemark_boot::Config;
    use tidemark_core::source::Next;
    use tidemark_crm::{Crm as _, PageRequest, hubspot};

    use super::*;
    use crate::product::sample_config;

    async fn serve(records: u64) -> String {
        let options = Options { records, port: 0, page_max: 200, latency_ms: 0, until_stdin_ends: false };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes(Crm::new(&options))).await });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn tidemarks_own_connector_reads_every_contact_once() {
        let (text, env) = sample_config(&serve(1_001).await);
        let config = Config::parse(&text, "tidemark.toml", env.into_iter()).unwrap();
        let (spec, secrets) = &config.connections[0];
        let crm = hubspot::connect(spec, secrets["token"].clone()).unwrap();
        let account = crm.account().await.result.unwrap();
        assert_eq!((Some(account.id), account.environment), (spec.account.clone(), spec.environment.clone()));
        let described = crm.describe("contacts").await.result.unwrap();
        assert!(config.streams[0].fields.iter().all(|field| described.iter().any(|property| property.name == field.property)));

        let properties: Vec<Option<String>> = contacts::FIELDS.iter().map(|(name, _)| Some((*name).to_owned())).collect();
        let mut position = None;
        let mut ids = Vec::new();
        loop {
            let request = PageRequest {
                object: "contacts",
                properties: &properties,
                external_key: None,
                from: 0,
                until: chrono::Utc::now().timestamp_millis(),
                position: position.as_ref(),
                rows_max: config.streams[0].poll.page_rows_max,
                deletes: false,
                feed: None,
            };
            let page = crm.read_page(&request).await.result.unwrap();
            assert!(page.records.iter().all(|record| record.modified.is_some() && record.values.iter().all(Option::is_some)));
            ids.extend(page.records.into_iter().map(|record| record.id.0));
            match page.next {
                Next::More(next) => position = Some(next),
                Next::Drained => break,
            }
        }
        assert_eq!(ids, (0..1_001).map(|index| contacts::id(index).to_string()).collect::<Vec<_>>());
    }
}
