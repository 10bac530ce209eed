//! One call: what came of it and, where it was recorded, its request and response. And the recordings: which run, how one is ended or begun.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use tidemark_core::recording::Tape;
use tidemark_store::overview::{self, CalloutLine};
use tidemark_store::recordings::{self, Recording};

use super::frame::{Page, act};
use super::snapshot::{ConnectionView, Snapshot};
use super::trouble::{Trouble, missing};
use super::words::{absolute, class, number, part, span};
use super::{App, snapshot};

/// What the form offers; an hour is the most there is.
const MINUTES: [u16; 4] = [5, 15, 30, 60];
const MINUTES_UNASKED: u16 = 15;

pub(crate) async fn show(State(shared): App, Path(id): Path<String>) -> Result<Response, Trouble> {
    let snapshot = snapshot::look(&shared).await?;
    let store = &shared.app.store;
    let found = match id.parse() {
        Ok(number) => overview::find_callout(store, number).await?,
        Err(_) => None,
    };
    let Some(call) = found else { return Ok(missing(&format!("call {id}"))) };
    let tape = recordings::tape(store, call.id).await?;
    let page = Page {
        title: "Call",
        place: "/callouts",
        mood: snapshot.headline.mood,
        now: snapshot.now,
        leavable: shared.key.is_some(),
    };
    Ok(page.show(&body(&call, tape.as_ref())).into_response())
}

fn body(call: &CalloutLine, tape: Option<&Tape>) -> Markup {
    html! {
        h1 { "Call " (call.id) }
        p { a href="/callouts" { "← Callouts" } }
        section.panel {
            dl.explanation.call {
                div { dt { "Call" } dd { code { (call.method) " " (call.endpoint) } } }
                div { dt { "For" } dd { (call.purpose) ", attempt " (call.attempt) ", " (number(call.items.into())) " records, "
                    @match &call.stream { Some(stream) => a href={ "/streams/" (part(stream)) } { (stream) }, None => (call.connection) } } }
                div { dt { "When" } dd { (absolute(call.at)) ", took " (number(call.elapsed_ms.into())) " ms" } }
                div { dt { "Answer" } dd {
                    @let status = call.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
                    @match &call.class { None => span.dot.tone-calm { (status) }, Some(word) => span.dot.tone-alarm { (status) " " (class(word)) } }
                    @if let Some(words) = &call.message { small.block { (words) } }
                } }
            }
        }
        @match tape {
            None => p.empty { "Its request and response were not kept: that is done while " a href="/callouts" { "a recording" } " runs, and for a day." },
            Some(tape) => {
                p.lead { "Values are replaced by their kind and length; those with the same number are the same. Names, codes and ids of requests stand as they were sent." }
                (said("Request", &tape.request))
                (said("Response", tape.response.as_deref().unwrap_or("Nothing was heard.")))
            }
        }
    }
}

fn said(title: &str, text: &str) -> Markup {
    html! { section.panel { h2 { (title) } pre.tape tabindex="0" aria-label=(title) { (text) } } }
}

/// Above the list of calls: what is recorded, and what may be.
pub(crate) fn panel(snapshot: &Snapshot) -> Markup {
    html! {
        @if !snapshot.connections.is_empty() {
            section.panel {
                h2 { "Recordings" }
                p.quiet { "For a while each call of a connection keeps its request and response, without secrets and without anybody's data. It ends by itself, and what was kept goes within a day." }
                div.scroll { table { tbody {
                    @for connection in &snapshot.connections {
                        tr {
                            th scope="row" { (connection.name) }
                            td { @match &connection.recording { Some(recording) => (running(recording)), None => span.quiet { "is not recorded" } } }
                            td.acts { @if connection.recording.is_some() { (stop(connection, "/callouts")) } @else { (start(connection)) } }
                        }
                    }
                } } }
            }
        }
    }
}

/// That it runs, for how long, and who began it.
pub(crate) fn running(recording: &Recording) -> Markup {
    html! {
        span.dot.tone-watch { "recorded for " (span(recording.until - recording.now)) " more" }
        small.block { (number(recording.left)) " calls at most" @if let Some(by) = &recording.by { ", begun by " (by) } }
    }
}

pub(crate) fn stop(connection: &ConnectionView, back: &str) -> Markup {
    act(&place(connection, "stop-recording"), "Stop recording", &connection.name, back, "plain")
}

fn start(connection: &ConnectionView) -> Markup {
    let id = format!("record-{}", part(&connection.name));
    html! {
        details.pause id=(id) {
            summary aria-label={ "Record the calls of " (connection.name) } { "Record" }
            form method="post" action=(place(connection, "record")) {
                input type="hidden" name="back" value="/callouts";
                label for={ (id) "-for" } { "For how long?" }
                select id={ (id) "-for" } name="minutes" {
                    @for minutes in MINUTES { option value=(minutes) selected[minutes == MINUTES_UNASKED] { (minutes) " min" } }
                }
                label for={ (id) "-why" } { "Why? Everybody sees it." }
                input id={ (id) "-why" } type="text" name="reason" maxlength="200" autocomplete="off";
                button type="submit" { "Record the calls of " (connection.name) }
            }
        }
    }
}

fn place(connection: &ConnectionView, verb: &str) -> String {
    format!("/acts/connections/{}/{verb}", part(&connection.name))
}
