//! Why one row or record is as it is: how it stands, each field as last agreed, what happened to it. What the order table holds now is not looked at here.

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use tidemark_core::why::{Asked, Why, tell, unknown};
use tidemark_store::why::look;

use super::frame::Page;
use super::trouble::{Trouble, missing};
use super::words::{part, when};
use super::{App, snapshot};

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Wish {
    thing: String,
}

/// What somebody typed into the form of a stream.
pub(crate) async fn find(Path(stream): Path<String>, Query(wish): Query<Wish>) -> Redirect {
    match wish.thing.trim() {
        "" => Redirect::to(&format!("/streams/{}", part(&stream))),
        thing => Redirect::to(&address(&stream, thing)),
    }
}

pub(crate) fn address(stream: &str, thing: &str) -> String {
    format!("/streams/{}/rows/{}", part(stream), part(thing))
}

pub(crate) async fn show(State(shared): App, Path((name, thing)): Path<(String, String)>) -> Result<Response, Trouble> {
    let snapshot = snapshot::look(&shared).await?;
    let view = snapshot.streams.iter().find(|view| view.overview.name == name);
    let (Some(view), Some(spec)) = (view, shared.spec(&name)) else {
        return Ok(missing(&format!("stream {name} in the configuration")));
    };
    let asked = Asked::parse(&thing);
    let facts = look(&shared.app.store, view.overview.id, spec, &asked, &[]).await?;
    let title = format!("{} of {name}", asked.text());
    let page = Page { title: &title, place: "", mood: view.verdict.mood, now: snapshot.now, leavable: shared.key.is_some() };
    let body = if facts.is_known() {
        body(&tell(spec, &facts, None), snapshot.now)
    } else {
        html! {
            section.panel {
                h1 { (asked.text()) }
                p { (unknown(spec, &asked, facts.halted.as_deref())) "." }
                p.quiet { "The order table itself is not looked at here: " code { "tidemark why " (name) " " (thing) } " does." }
                p { a href={ "/streams/" (part(&name)) } { "To " (name) } }
            }
        }
    };
    Ok(page.show(&body).into_response())
}

fn body(why: &Why, now: tidemark_core::Millis) -> Markup {
    html! {
        section.panel {
            h1 {
                @if let Some(row) = &why.row { "Row " code { (row) } }
                @if why.row.is_some() && why.record.is_some() { " ↔ " }
                @if let Some(record) = &why.record { "record " code { (record) } }
            }
            p.sides { "of " a href={ "/streams/" (part(&why.stream)) } { (why.stream) } }
            @for sentence in &why.stands { p { (sentence) } }
        }
        section.panel {
            h2 { "As last agreed" }
            @if why.fields.is_empty() { p.quiet { "Row and record have not met." } }
            @else { div.scroll { table {
                thead { tr { th scope="col" { "CRM property" } th scope="col" { "Column" } th scope="col" { "How it stands" } } }
                tbody { @for field in &why.fields { tr { td { code { (field.property) } } td { code { (field.column) } } td.cause { (field.sentence) } } } }
            } } }
        }
        section.panel {
            h2 { "What happened" }
            @if why.history.is_empty() { p.quiet { "Nothing is kept: Tidemark changed nothing here, or longer ago than retention.lineage, or lineage is off." } }
            @else { div.scroll { table {
                thead { tr { th scope="col" { "When" } th scope="col" { "Time, UTC" } th scope="col" { "Field" } th scope="col" { "What and why" } } }
                tbody {
                    @for passage in &why.history {
                        tr {
                            td.nowrap { (when(now, passage.at)) }
                            td.nowrap.quiet { (passage.time) }
                            td.nowrap { @if let Some(field) = &passage.field { code { (field) } } @else { span.quiet { "all" } } }
                            td.cause { (passage.sentence) }
                        }
                    }
                }
            } } }
            @if why.older { p.quiet { "Older entries are not shown." } }
        }
    }
}
