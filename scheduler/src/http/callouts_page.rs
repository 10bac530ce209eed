//! The latest calls to the CRMs, one line each.

use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;
use tidemark_store::overview::{self, CALLOUT_PURPOSES, CalloutFilter, CalloutLine};

use super::frame::Page;
use super::trouble::Trouble;
use super::words::{class, number, part, when};
use super::{App, call_page, snapshot};

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Wish {
    purpose: String,
    outcome: String,
}

pub(crate) async fn show(State(shared): App, Query(wish): Query<Wish>) -> Result<Markup, Trouble> {
    let snapshot = snapshot::look(&shared).await?;
    let purpose = (!wish.purpose.is_empty()).then(|| wish.purpose.clone());
    let filter = CalloutFilter { purpose, failed: wish.outcome == "failed", ..CalloutFilter::default() };
    let calls = overview::callouts(&shared.app.store, &filter, 200).await?;
    let page = Page {
        title: "Callouts",
        place: "/callouts",
        mood: snapshot.headline.mood,
        now: snapshot.now,
        leavable: shared.key.is_some(),
    };
    Ok(page.show(&html! {
        h1 { "Callouts" }
        p.lead { "Every HTTP call to a CRM, the newest first; 200 are shown. How well the CRM answers over time: " a href="/reliability" { "reliability" } "." }
        (call_page::panel(&snapshot))
        form.filters method="get" action="/callouts" {
            label { "Made for " select name="purpose" {
                option value="" { "anything" }
                @for purpose in CALLOUT_PURPOSES { option value=(purpose) selected[purpose == wish.purpose] { (purpose) } }
            } }
            label { "Outcome " select name="outcome" {
                option value="" { "any" }
                option value="failed" selected[filter.failed] { "failed" }
            } }
            button type="submit" { "Show" }
        }
        @if calls.is_empty() { p.empty { "No such call has been made." } } @else { (table(&calls)) }
    }))
}

pub(crate) fn table(calls: &[CalloutLine]) -> Markup {
    html! {
        div.scroll { table {
            thead { tr {
                th scope="col" { "When" } th scope="col" { "Made for" } th scope="col" { "Call" } th.num scope="col" { "Records" } th scope="col" { "Answer" }
                th.num scope="col" { "Took" } th.num scope="col" { "Attempt" } th.num scope="col" { "Quota left" }
            } }
            tbody {
                @for call in calls {
                    tr {
                        td.nowrap {
                            a href={ "/callouts/" (call.id) } aria-label={ "Call " (call.id) } { (when(call.now, call.at)) }
                            @if call.taped { small.block { span.tag { "recorded" } } }
                        }
                        td { (call.purpose) small.block { @match &call.stream { Some(stream) => a href={ "/streams/" (part(stream)) } { (stream) }, None => (call.connection) } } }
                        td.cause { code { (call.method) " " (call.endpoint) } }
                        td.num { (number(call.items.into())) }
                        td.cause {
                            @match &call.class {
                                None => span.dot.tone-calm { (status(call)) },
                                Some(word) => { span.dot.tone-alarm { (status(call)) " " (class(word)) } @if let Some(words) = &call.message { small.block { (words) } } }
                            }
                        }
                        td.num.nowrap { (number(call.elapsed_ms.into())) " ms" }
                        td.num { (call.attempt) }
                        td.num { @if let Some(left) = call.quota_left { (number(left)) } @else { "–" } }
                    }
                }
            }
        } }
    }
}

fn status(call: &CalloutLine) -> String {
    call.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string())
}
