//! The same answers as the pages, as JSON.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tidemark_store::StoreError;
use tidemark_store::overview::{self, DebtFilter};

use super::{App, conflicts_page, snapshot};

/// Headline, streams with their verdicts, queue, connections, workers, parked groups.
pub(crate) async fn status(State(shared): App) -> Response {
    match snapshot::look(&shared).await {
        Ok(snapshot) => Json(&*snapshot).into_response(),
        Err(error) => unavailable(&error),
    }
}

#[derive(Deserialize)]
pub(crate) struct DebtQuery {
    stream: Option<String>,
    kind: Option<String>,
    state: Option<String>,
    /// At most 1000; 100 when it is not said.
    limit: Option<u32>,
    offset: Option<u32>,
}

pub(crate) async fn debts(State(shared): App, Query(query): Query<DebtQuery>) -> Response {
    let filter = DebtFilter { stream: query.stream, kind: query.kind, state: query.state };
    let limit = query.limit.unwrap_or(100).min(1000);
    match overview::debts(&shared.app.store, &filter, limit, query.offset.unwrap_or(0)).await {
        Ok(debts) => Json(json!({ "debts": debts })).into_response(),
        Err(error) => unavailable(&error),
    }
}

#[derive(Deserialize)]
pub(crate) struct ConflictQuery {
    stream: Option<String>,
    /// Pairs, at most 1000; 100 when it is not said.
    limit: Option<u32>,
    offset: Option<u32>,
}

pub(crate) async fn conflicts(State(shared): App, Query(query): Query<ConflictQuery>) -> Response {
    let specs = conflicts_page::chosen(&shared, query.stream.as_deref().unwrap_or_default());
    let limit = query.limit.unwrap_or(100).min(1000);
    match overview::conflicts(&shared.app.store, &specs, limit, query.offset.unwrap_or(0)).await {
        Ok(conflicts) => Json(json!({ "conflicts": conflicts })).into_response(),
        Err(error) => unavailable(&error),
    }
}

pub(crate) fn unavailable(error: &StoreError) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": error.words() }))).into_response()
}
