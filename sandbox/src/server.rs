//! The HTTP server around the practice CRM: reads calls, waits as long as the weather says, sends answers or drops the line.

use std::{io, net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, Query, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    Crm, SandboxConfig,
    call::{Answer, Call},
    control,
    wire::{Line, Switchboard},
};

const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How long open connections may take to finish once the server stops.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// Why a practice CRM did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the practice CRM cannot listen on {address}: the port is already in use")]
    PortInUse { address: SocketAddr },
    #[error("the practice CRM cannot listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
}

/// A running practice CRM. Dropping it stops the server too, without waiting.
#[derive(Debug)]
pub struct Sandbox {
    crm: Crm,
    address: SocketAddr,
    stop: DropGuard,
    server: JoinHandle<()>,
}

impl Sandbox {
    pub async fn start(config: SandboxConfig) -> Result<Self, StartError> {
        let asked = config.listen;
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => StartError::PortInUse { address: asked },
            _ => StartError::Listen { address: asked, source },
        };
        let listener = TcpListener::bind(asked).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let crm = Crm::new(&config);
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(listener, Desk { crm: crm.clone(), stop: stop.clone(), control: config.control }));
        tracing::info!(%address, "the practice CRM listens on {address}");
        Ok(Self { crm, address, stop: stop.drop_guard(), server })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://address`, without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn crm(&self) -> Crm {
        self.crm.clone()
    }

    /// Stops listening and lets open calls finish for a moment.
    pub async fn stop(self) {
        let Self { stop, server, .. } = self;
        drop(stop);
        let abort = server.abort_handle();
        if tokio::time::timeout(STOP_PATIENCE, server).await.is_err() {
            abort.abort();
        }
    }
}

#[derive(Debug, Clone)]
struct Desk {
    crm: Crm,
    stop: CancellationToken,
    control: bool,
}

async fn serve(listener: TcpListener, desk: Desk) {
    let stop = desk.stop.clone();
    let service = Router::new().fallback(front).with_state(desk).into_make_service_with_connect_info::<Line>();
    let served = axum::serve(Switchboard(listener), service).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the practice CRM stopped serving");
    }
}

async fn front(State(desk): State<Desk>, ConnectInfo(line): ConnectInfo<Line>, request: Request) -> Response {
    let Some((call, form)) = read(request).await else {
        return sent(Answer::text(413, "text/plain", "The request body is too large or broke off."));
    };
    if desk.control && (call.path == "/sandbox" || call.path.starts_with("/sandbox/")) {
        return sent(control::answer(&desk.crm, &call, form));
    }
    let presence = desk.crm.enter();
    desk.pause(desk.crm.latency_ms()).await;
    let delivery = desk.crm.handle(&call);
    desk.pause(delivery.hold_ms).await;
    drop(presence);
    match delivery.answer {
        Some(answer) => sent(answer),
        None => {
            line.cut();
            Response::new(Body::empty())
        }
    }
}

impl Desk {
    /// Waits, but not beyond the server's end.
    async fn pause(&self, ms: u64) {
        if ms > 0 {
            let wait = tokio::time::sleep(Duration::from_millis(ms));
            self.stop.run_until_cancelled(wait).await;
        }
    }
}

/// The request as a plain value, and whether its body is an HTML form. `None` when the body cannot be read.
async fn read(request: Request) -> Option<(Call, bool)> {
    let (parts, body) = request.into_parts();
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let form = kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map(|Query(pairs)| pairs).unwrap_or_default();
    let headers = parts.headers.iter().filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
    let headers = headers.collect();
    let bytes = to_bytes(body, BODY_BYTES_MAX).await.ok()?;
    let call = Call {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query,
        headers,
        body: String::from_utf8_lossy(&bytes).into_owned(),
    };
    Some((call, form))
}

/// Headers that are no valid HTTP, which only a forced answer can hold, are left out.
fn sent(answer: Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = answer.content_type.map(|kind| (header::CONTENT_TYPE.to_string(), kind));
    for (name, value) in kind.into_iter().chain(answer.headers) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
