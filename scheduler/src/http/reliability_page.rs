//! How well the CRMs answered: the report as a page, as Markdown to take away, and as JSON.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use tidemark_core::reliability::{Report, Section, Table, markdown, sections};
use tidemark_core::{DAY_MS, Millis};
use tidemark_store::{StoreError, reliability};

use super::frame::Page;
use super::trouble::Trouble;
use super::words::part;
use super::{App, Shared, api, snapshot};

/// What the page offers; hours are kept longer than the longest.
const DAYS: [u16; 5] = [1, 7, 30, 90, 365];
/// A week.
const DAYS_UNASKED: u16 = 7;
/// Ten years, so that no number is too large.
const DAYS_MAX: u16 = 3_650;

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Wish {
    connection: String,
    days: String,
}

impl Wish {
    fn days(&self) -> u16 {
        self.days.parse::<u16>().ok().filter(|days| *days > 0).map_or(DAYS_UNASKED, |days| days.min(DAYS_MAX))
    }

    async fn report(&self, shared: &Shared) -> Result<Report, StoreError> {
        let connection = Some(self.connection.as_str()).filter(|name| !name.is_empty());
        let since = shared.app.store.now().await? - Millis::from(self.days()) * DAY_MS;
        reliability::look(&shared.app.store, connection, since).await
    }
}

pub(crate) async fn show(State(shared): App, Query(wish): Query<Wish>) -> Result<Markup, Trouble> {
    let snapshot = snapshot::look(&shared).await?;
    let sections = sections(&wish.report(&shared).await?);
    let page = Page {
        title: "Reliability",
        place: "/callouts",
        mood: snapshot.headline.mood,
        now: snapshot.now,
        leavable: shared.key.is_some(),
    };
    let days = wish.days();
    let query = format!("connection={}&days={days}", part(&wish.connection));
    Ok(page.show(&html! {
        h1 { "Reliability of the CRMs" }
        p.lead {
            "How the calls of the last " (days) " days ended. A first try is a call that tries nothing again; what a later attempt cured is no alarm. "
            "Take it away as " a href={ "/reliability.md?" (query) } { "Markdown" } " or " a href={ "/api/reliability?" (query) } { "JSON" } ", or look at " a href="/callouts" { "single calls" } "."
        }
        form.filters method="get" action="/reliability" {
            label { "Connection " select name="connection" {
                option value="" { "all" }
                @for connection in &snapshot.connections {
                    option value=(connection.name) selected[connection.name == wish.connection] { (connection.name) }
                }
            } }
            label { "Time " select name="days" {
                @for choice in DAYS { option value=(choice) selected[choice == days] { (choice) @if choice == 1 { " day" } @else { " days" } } }
            } }
            button type="submit" { "Show" }
        }
        @if sections.is_empty() { p.empty { "No call was made in this time." } }
        @for section in &sections { (panel(section)) }
    }))
}

fn panel(section: &Section) -> Markup {
    html! {
        section.panel {
            h2 { (section.title) }
            ul { @for sentence in &section.lead { li { (sentence) } } }
            @for table in &section.tables { (rows(table)) }
        }
    }
}

fn rows(table: &Table) -> Markup {
    let class = |number: bool, text: &str| match number {
        true => Some("num nowrap"),
        false => (text.chars().count() > 40).then_some("cause"),
    };
    html! {
        h3 { (table.title) }
        div.scroll { table {
            thead { tr { @for (name, number) in &table.columns { th scope="col" class=[number.then_some("num")] { (name) } } } }
            tbody {
                @for row in &table.rows { tr {
                    @for (cell, (_, number)) in row.iter().zip(&table.columns) { td class=[class(*number, cell)] { (cell) } }
                } }
            }
        } }
    }
}

pub(crate) async fn as_markdown(State(shared): App, Query(wish): Query<Wish>) -> Response {
    match wish.report(&shared).await {
        Ok(report) => {
            let kind = (CONTENT_TYPE, "text/markdown; charset=utf-8");
            ([kind, (CONTENT_DISPOSITION, "attachment; filename=\"reliability.md\"")], markdown(&report)).into_response()
        }
        Err(error) => Trouble::from(error).into_response(),
    }
}

pub(crate) async fn as_json(State(shared): App, Query(wish): Query<Wish>) -> Response {
    match wish.report(&shared).await {
        Ok(report) => Json(report).into_response(),
        Err(error) => api::unavailable(&error),
    }
}
