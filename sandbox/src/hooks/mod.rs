//! The practice receiver: a real HTTP server that takes deliveries as Zapier's catch hooks and IFTTT's Webhooks do, keeps what it was told, and misbehaves on demand.
//!
//! It checks keys and signatures by itself, from the request alone. What it decides is in `receiver`; only this file touches the network.

mod receiver;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::receiver::{Heard, HookAnswer, HookConfig, Signature};
use self::receiver::{Receiver, Reply, Told};
use crate::wire::{Line, Switchboard};

/// Larger than what a vendor takes, so that it is the receiver who says that a body is too large.
const BODY_BYTES_MAX: usize = 32 << 20;

/// A running receiver. Dropping it stops the server.
#[derive(Debug)]
pub struct HookSandbox {
    receiver: Arc<Mutex<Receiver>>,
    /// How many have arrived.
    arrived: watch::Sender<usize>,
    address: SocketAddr,
    _stop: DropGuard,
}

#[derive(Debug, Clone)]
struct Desk {
    receiver: Arc<Mutex<Receiver>>,
    arrived: watch::Sender<usize>,
    stop: CancellationToken,
}

impl HookSandbox {
    pub async fn start(config: HookConfig) -> io::Result<Self> {
        let listen = config.listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into());
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let receiver = Arc::new(Mutex::new(Receiver::new(config)));
        let stop = CancellationToken::new();
        let arrived = watch::Sender::new(0);
        let desk = Desk { receiver: Arc::clone(&receiver), arrived: arrived.clone(), stop: stop.clone() };
        let service = Router::new().fallback(front).with_state(desk).into_make_service_with_connect_info::<Line>();
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move {
            let served = axum::serve(Switchboard(listener), service).with_graceful_shutdown(stopped).await;
            if let Err(error) = served {
                tracing::error!(%error, "the practice receiver stopped serving");
            }
        });
        Ok(Self { receiver, arrived, address, _stop: stop.drop_guard() })
    }

    /// `http://address`, without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that arrived, in order, also what was refused.
    pub fn heard(&self) -> Vec<Heard> {
        lock(&self.receiver).heard().to_vec()
    }

    /// What arrived behind the first so many, once there is something.
    pub async fn heard_after(&self, known: usize) -> Vec<Heard> {
        // The sender is ours: it ends with this.
        let _ = self.arrived.subscribe().wait_for(|count| *count > known).await;
        lock(&self.receiver).heard().iter().skip(known).cloned().collect()
    }

    /// What a receiver acts on that takes each idempotency key once: the bodies of what was answered with success, or heard and not answered.
    pub fn taken(&self) -> Vec<Heard> {
        lock(&self.receiver).taken()
    }

    /// How the next deliveries are answered, one each; after them all is well again.
    pub fn next(&self, answers: impl IntoIterator<Item = HookAnswer>) {
        lock(&self.receiver).next(answers);
    }

    /// Every delivery from now on is answered like this; `None` ends it.
    pub fn always(&self, answer: Option<HookAnswer>) {
        lock(&self.receiver).always(answer);
    }
}

fn lock(receiver: &Mutex<Receiver>) -> std::sync::MutexGuard<'_, Receiver> {
    receiver.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn front(State(desk): State<Desk>, ConnectInfo(line): ConnectInfo<Line>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        return sent(Reply::of(413, "text/plain", "The body is too large or broke off."));
    };
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let told = Told {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        key: text("idempotency-key"),
        event: text("x-tidemark-event"),
        signature: text("x-tidemark-signature"),
        authorization: text("authorization"),
        content_type: text("content-type"),
        body: body.to_vec(),
        now_secs: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
    };
    let (reply, wait) = {
        let mut receiver = lock(&desk.receiver);
        let heard = receiver.hear(told);
        desk.arrived.send_replace(receiver.heard().len());
        heard
    };
    if let Some(ms) = wait {
        desk.stop.run_until_cancelled(tokio::time::sleep(Duration::from_millis(ms))).await;
    }
    match reply {
        Some(reply) => sent(reply),
        None => {
            line.cut();
            Response::new(Body::empty())
        }
    }
}

fn sent(reply: Reply) -> Response {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    if let Some(secs) = reply.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
    }
    if let Some(target) = reply.location.and_then(|target| HeaderValue::from_str(&target).ok()) {
        response.headers_mut().insert(header::LOCATION, target);
    }
    response
}
