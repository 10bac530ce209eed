//! What is shown when a page cannot be: in words, with what to do.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::html;
use tidemark_store::StoreError;
use tracing::warn;

use super::frame;
use super::verdict::Mood;

/// A page that could not be made because the order database did not answer.
pub(crate) struct Trouble(StoreError);

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        warn!(error = self.0.log_words(), "the dashboard got no answer from the order database");
        let body = html! {
            section.hero.tone-alarm {
                h1 { (frame::sign("alarm")) "The order database does not answer" }
                p { "It said: " (self.0.words()) }
                p { "Nothing is lost: what is owed is kept in it, and work goes on when it is back. This page tries again every five seconds." }
            }
        };
        (StatusCode::SERVICE_UNAVAILABLE, frame::retrying("No answer", &body)).into_response()
    }
}

pub(crate) async fn not_found() -> Response {
    missing("page of this name")
}

pub(crate) fn missing(what: &str) -> Response {
    let body = html! {
        section.hero.tone-info { h1 { "There is no " (what) } p { a href="/" { "To the overview" } } }
    };
    (StatusCode::NOT_FOUND, frame::bare("Not found", Mood::Plan, &body)).into_response()
}

pub(crate) fn refused(why: &str, as_page: bool) -> Response {
    if !as_page {
        return (StatusCode::FORBIDDEN, format!("{why}\n")).into_response();
    }
    let body = html! { section.hero.tone-alarm { h1 { "Refused" } p { (why) } } };
    (StatusCode::FORBIDDEN, frame::bare("Refused", Mood::Stopped, &body)).into_response()
}

/// The act makes no sense as things stand.
pub(crate) fn senseless(why: &str) -> Response {
    let body =
        html! { section.hero.tone-watch { h1 { "Nothing was changed" } p { (why) } p { a href="/" { "To the overview" } } } };
    (StatusCode::CONFLICT, frame::bare("Nothing was changed", Mood::Paused, &body)).into_response()
}
