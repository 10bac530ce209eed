//! Serves the dashboard, the JSON API, metrics and health over one address.
//!
//! Shows and records; decides nothing about what is due. Every page is made on the server, works without JavaScript and loads nothing from another host.

mod acts_page;
mod api;
mod assets;
mod call_page;
mod callouts_page;
mod chart;
mod conflicts_page;
mod debts_page;
mod deeds;
mod frame;
mod guard;
mod health;
mod home_page;
mod login;
mod metrics;
mod plan;
mod reliability_page;
mod row_page;
mod snapshot;
mod stream_card;
mod stream_page;
mod trouble;
mod verdict;
mod webhooks;
mod words;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use futures::future::BoxFuture;
use secrecy::SecretString;
use tidemark_core::spec::StreamSpec;
use tidemark_store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

pub use metrics::metrics_handle;
pub use verdict::{Headline, Mood, Verdict};
pub use webhooks::{Hinted, Webhook};

/// Where to listen, and who may ask.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    pub listen: SocketAddr,
    /// Without a token only this machine is served.
    pub token: Option<SecretString>,
}

/// Answers with the hints that wait in the queue and those that workers hold, or `None` when the queue does not answer.
pub type QueueDepth = Arc<dyn Fn() -> BoxFuture<'static, Option<(u64, u64)>> + Send + Sync>;

/// What the pages look at.
#[derive(Clone)]
pub struct AppState {
    pub store: Store,
    pub queue_depth: QueueDepth,
    /// The configured streams: their mappings and staleness targets.
    pub specs: Arc<Vec<StreamSpec>>,
    /// When the scheduler's loop last went round, milliseconds since 1970 by this machine's clock; 0 before its first round.
    pub last_tick: Arc<AtomicI64>,
    /// What may give hints, by connection.
    pub webhooks: Arc<BTreeMap<String, Webhook>>,
}

/// The server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("cannot listen on {listen}: {remedy}")]
    Bind {
        listen: SocketAddr,
        remedy: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "listening on {listen} would show the dashboard to other machines: set `server.token`, or `server.listen` to a loopback address"
    )]
    Exposed { listen: SocketAddr },
    #[error("the dashboard's server stopped")]
    Stopped {
        #[source]
        source: std::io::Error,
    },
}

/// Takes the address, so that the caller learns the port before anything is served.
pub async fn bind(listen: SocketAddr) -> Result<TcpListener, HttpError> {
    TcpListener::bind(listen).await.map_err(|source| {
        let remedy = match source.kind() {
            std::io::ErrorKind::AddrInUse => "another program has it; stop that one or set `server.listen` to a free port",
            std::io::ErrorKind::PermissionDenied => "ports below 1024 need rights; set `server.listen` to a higher port",
            std::io::ErrorKind::AddrNotAvailable => "this machine has no such address; correct `server.listen`",
            _ => "check `server.listen`",
        };
        HttpError::Bind { listen, remedy, source }
    })
}

/// Binds and serves until `shutdown`.
pub async fn serve(config: HttpConfig, state: AppState, shutdown: CancellationToken) -> Result<(), HttpError> {
    let listener = bind(config.listen).await?;
    serve_on(listener, config.token, state, shutdown).await
}

/// Serves an address that is bound already. Requests under way when `shutdown` comes have five seconds to end.
pub async fn serve_on(
    listener: TcpListener,
    token: Option<SecretString>,
    state: AppState,
    shutdown: CancellationToken,
) -> Result<(), HttpError> {
    let listen = listener.local_addr().map_err(|source| HttpError::Stopped { source })?;
    if token.is_none() && !guard::is_local(listen.ip()) {
        return Err(HttpError::Exposed { listen });
    }
    info!(server.listen = %listen, "dashboard on http://{listen}/");
    let shared = Arc::new(Shared::new(state, token.as_ref()));
    let service = router(shared).into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    tokio::select! {
        ended = serving.into_future() => ended.map_err(|source| HttpError::Stopped { source }),
        () = async { shutdown.cancelled().await; tokio::time::sleep(Duration::from_secs(5)).await } => Ok(()),
    }
}

/// What every handler shares.
struct Shared {
    app: AppState,
    key: Option<guard::Key>,
    started: Instant,
    snapshots: snapshot::Cache,
    counters: metrics::Counters,
    login_pace: login::Pace,
}

impl Shared {
    fn new(app: AppState, token: Option<&SecretString>) -> Self {
        metrics_handle();
        Self {
            app,
            key: token.map(guard::Key::new),
            started: Instant::now(),
            snapshots: snapshot::Cache::default(),
            counters: metrics::Counters::default(),
            login_pace: login::Pace::default(),
        }
    }

    fn spec(&self, stream: &str) -> Option<&StreamSpec> {
        self.app.specs.iter().find(|spec| spec.name == stream)
    }
}

type App = axum::extract::State<Arc<Shared>>;

fn router(shared: Arc<Shared>) -> Router {
    let pages = Router::new()
        .route("/", get(home_page::show))
        .route("/streams/{name}", get(stream_page::show))
        .route("/streams/{name}/rows", get(row_page::find))
        .route("/streams/{name}/rows/{thing}", get(row_page::show))
        .route("/debts", get(debts_page::show))
        .route("/conflicts", get(conflicts_page::show))
        .route("/callouts", get(callouts_page::show))
        .route("/callouts/{id}", get(call_page::show))
        .route("/reliability", get(reliability_page::show))
        .route("/reliability.md", get(reliability_page::as_markdown))
        .route("/acts", get(acts_page::show))
        .route("/acts/{what}/{name}/{verb}", post(deeds::by_form));
    let api = Router::new()
        .route("/api/status", get(api::status))
        .route("/api/debts", get(api::debts))
        .route("/api/conflicts", get(api::conflicts))
        .route("/api/reliability", get(reliability_page::as_json))
        .route("/api/{what}/{name}/{verb}", post(deeds::by_api));
    let hooks = Router::new()
        .route("/hooks/{connection}", get(webhooks::look).post(webhooks::take))
        .route("/hooks/{connection}/{object}", get(webhooks::look).post(webhooks::take))
        .layer(DefaultBodyLimit::max(webhooks::BODY_MAX));
    Router::new()
        .merge(pages)
        .merge(api)
        .merge(hooks)
        .route("/login", get(login::form).post(login::enter))
        .route("/logout", post(login::leave))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::scrape))
        .route("/style.css", get(assets::style))
        .route("/refresh.js", get(assets::script))
        .fallback(trouble::not_found)
        .layer(axum::middleware::from_fn_with_state(shared.clone(), guard::check))
        .layer(axum::middleware::map_response(guard::harden))
        .layer(DefaultBodyLimit::max(16 * 1024))
        .with_state(shared)
}
