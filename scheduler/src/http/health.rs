//! Whether this process lives (`/healthz`) and whether it can do its work (`/readyz`); the body names what fails.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tidemark_core::Millis;
use tidemark_core::window::millis;
use tokio::time::timeout;

use super::{App, Shared};
use crate::clock::now;

/// A scheduler that did not go round for this long hangs.
const TICK_LIFE: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(2);

/// Milliseconds since the scheduler last went round, or since the server started if it never did.
pub(crate) fn tick_age_ms(shared: &Shared) -> Millis {
    let last = shared.app.last_tick.load(Ordering::Relaxed);
    if last == 0 {
        return millis(shared.started.elapsed());
    }
    (now() - last).max(0)
}

pub(crate) async fn healthz(State(shared): App) -> Response {
    let age = tick_age_ms(&shared);
    let alive = age <= millis(TICK_LIFE);
    let status = if alive { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let failing: &[&str] = if alive { &[] } else { &["scheduler"] };
    (status, Json(json!({ "alive": alive, "failing": failing, "tick_age_ms": age }))).into_response()
}

pub(crate) async fn readyz(State(shared): App) -> Response {
    let database = timeout(PATIENCE, shared.app.store.now()).await.is_ok_and(|answer| answer.is_ok());
    let migrations =
        database && timeout(PATIENCE, shared.app.store.is_migrated()).await.is_ok_and(|answer| answer.unwrap_or(false));
    let queue = timeout(PATIENCE, (shared.app.queue_depth)()).await.is_ok_and(|depth| depth.is_some());
    let checks = [
        ("database", database, "the order database does not answer: check `database.url` and the server"),
        ("migrations", migrations, "Tidemark's tables are missing or old: run `tidemark migrate`"),
        ("queue", queue, "the queue does not answer: check `queue.url` and its server"),
    ];
    let failing: Vec<&str> = checks.iter().filter(|(_, good, _)| !good).map(|(name, ..)| *name).collect();
    let remedies: Vec<&str> = checks.iter().filter(|(_, good, _)| !good).map(|(.., remedy)| *remedy).collect();
    let status = if failing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": failing.is_empty(), "failing": failing, "remedies": remedies }))).into_response()
}
