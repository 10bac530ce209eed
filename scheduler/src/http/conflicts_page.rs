//! What both sides changed and a person decides: what was agreed, what each side holds, and one button for each side.

use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;
use tidemark_core::Millis;
use tidemark_core::spec::StreamSpec;
use tidemark_store::overview::{self, ConflictLine};

use super::frame::{Page, act};
use super::trouble::Trouble;
use super::words::{part, when};
use super::{App, Shared, snapshot};

const PAGE_LINKS: u32 = 50;

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Wish {
    stream: String,
    page: u32,
}

pub(crate) async fn show(State(shared): App, Query(wish): Query<Wish>) -> Result<Markup, Trouble> {
    let snapshot = snapshot::look(&shared).await?;
    let start = wish.page.min(10_000) * PAGE_LINKS;
    let lines = overview::conflicts(&shared.app.store, &chosen(&shared, &wish.stream), PAGE_LINKS, start).await?;
    let open: i64 = snapshot.streams.iter().map(|view| view.overview.open_conflicts).sum();
    let more = open > i64::from(start) + i64::from(PAGE_LINKS);
    let (mood, now) = (snapshot.headline.mood, snapshot.now);
    let page = Page { title: "Conflicts", place: "/conflicts", mood, now, leavable: shared.key.is_some() };
    let address = |page: u32| format!("/conflicts?stream={}&page={page}", part(&wish.stream));
    Ok(page.show(&html! {
        h1 { "Conflicts" }
        p.lead { "Fields that both sides changed. Both keep their value until somebody decides here, or edits one side to what is right." }
        @if !wish.stream.is_empty() { p { "Only " (wish.stream) ". " a href="/conflicts" { "Show all" } } }
        @if lines.is_empty() { p.empty { "Nothing waits for a decision." } } @else { (table(&lines, now, &address(wish.page))) }
        nav.pager aria-label="More conflicts" {
            @if wish.page > 0 { a href=(address(wish.page - 1)) { "← Earlier in the list" } }
            @if more { a href=(address(wish.page + 1)) { "Further down the list →" } }
        }
    }))
}

/// The mapping of the named stream, or all.
pub(crate) fn chosen<'a>(shared: &'a Shared, stream: &str) -> Vec<&'a StreamSpec> {
    shared.app.specs.iter().filter(|spec| stream.is_empty() || spec.name == stream).collect()
}

fn table(lines: &[ConflictLine], now: Millis, back: &str) -> Markup {
    html! {
        div.scroll { table.conflicts {
            thead { tr {
                th scope="col" { "Field" } th scope="col" { "Was agreed" } th scope="col" { "The row holds" } th scope="col" { "The record holds" }
                th scope="col" { "Since" } th scope="col" { span.hidden { "Acts" } }
            } }
            tbody { @for line in lines { (row(line, now, back)) } }
        } }
    }
}

fn row(line: &ConflictLine, now: Millis, back: &str) -> Markup {
    let thing = format!("for {} of row {} of {}", line.field, line.row.as_deref().unwrap_or("none"), line.stream);
    let place = |verb: &str| format!("/acts/conflicts/{}/{verb}", part(&format!("{}:{}", line.link, line.field)));
    html! {
        tr {
            th scope="row" {
                code { (line.field) }
                small.block { "row " code { (line.row.as_deref().unwrap_or("none")) } " ↔ record " code { (line.record.as_deref().unwrap_or("none")) } }
                small.block { a href={ "/streams/" (part(&line.stream)) } { (line.stream) } " · " (line.reason) }
            }
            td.cause {
                @if !line.met { span.quiet { "the two never met" } }
                @else if line.agreed_row == line.agreed_record { (value(line.agreed_row.as_deref())) }
                @else { (value(line.agreed_row.as_deref())) " ↔ " (value(line.agreed_record.as_deref())) }
            }
            td.cause { (value(line.row_value.as_deref())) }
            td.cause { (value(line.record_value.as_deref())) }
            td.nowrap { (when(now, line.since)) }
            td.acts {
                @if line.take.contains(&"orders") { (act(&place("take-orders"), "Take the row's", &thing, back, "plain")) }
                @if line.take.contains(&"crm") { (act(&place("take-crm"), "Take the record's", &thing, back, "plain")) }
            }
        }
    }
}

fn value(text: Option<&str>) -> Markup {
    match text.filter(|text| !text.is_empty()) {
        Some(text) => html! { (text) },
        None => html! { span.quiet { "blank" } },
    }
}
