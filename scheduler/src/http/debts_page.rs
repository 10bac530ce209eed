//! What is owed, debt by debt: how often it was tried, what stopped it, when it is tried again.

use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;
use tidemark_core::Millis;
use tidemark_store::overview::{self, DEBT_STATES, DebtFilter, DebtRow};

use super::frame::{Page, act};
use super::snapshot::Snapshot;
use super::trouble::Trouble;
use super::words::{class, number, part, span, when};
use super::{App, row_page, snapshot};

const PAGE_ROWS: u32 = 50;

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Wish {
    stream: String,
    kind: String,
    state: String,
    page: u32,
}

pub(crate) async fn show(State(shared): App, Query(wish): Query<Wish>) -> Result<Markup, Trouble> {
    let snapshot = snapshot::look(&shared).await?;
    let chosen = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let filter = DebtFilter { stream: chosen(&wish.stream), kind: chosen(&wish.kind), state: chosen(&wish.state) };
    let start = wish.page.min(10_000) * PAGE_ROWS;
    let mut debts = overview::debts(&shared.app.store, &filter, PAGE_ROWS + 1, start).await?;
    let more = debts.len() > PAGE_ROWS as usize;
    debts.truncate(PAGE_ROWS as usize);
    let page =
        Page { title: "Debts", place: "/debts", mood: snapshot.headline.mood, now: snapshot.now, leavable: shared.key.is_some() };
    Ok(page.show(&html! {
        h1 { "Debts" }
        p.lead { "What one side still owes the other. Each is tried again by itself, except the parked ones: they wait for a person." }
        (filters(&snapshot, &wish))
        @if debts.is_empty() { p.empty { (nothing(&wish)) } } @else { (table(&debts, &address(&wish, wish.page))) }
        nav.pager aria-label="More debts" {
            @if wish.page > 0 { a href=(address(&wish, wish.page - 1)) { "← Earlier in the list" } }
            @if more { a href=(address(&wish, wish.page + 1)) { "Further down the list →" } }
        }
    }))
}

fn address(wish: &Wish, page: u32) -> String {
    format!("/debts?stream={}&kind={}&state={}&page={page}", part(&wish.stream), part(&wish.kind), part(&wish.state))
}

fn nothing(wish: &Wish) -> &'static str {
    if wish.stream.is_empty() && wish.kind.is_empty() && wish.state.is_empty() {
        "Nothing is owed: every known change has reached the other side."
    } else {
        "No debt matches these filters."
    }
}

fn filters(snapshot: &Snapshot, wish: &Wish) -> Markup {
    let streams: Vec<&str> = snapshot.streams.iter().map(|view| view.overview.name.as_str()).collect();
    let choice = |name: &str, label: &str, all: &str, chosen: &str, options: &[(&str, &str)]| {
        html! {
            label { (label) " "
                select name=(name) {
                    option value="" { (all) }
                    @for (value, word) in options { option value=(value) selected[*value == chosen] { (word) } }
                }
            }
        }
    };
    let streams: Vec<(&str, &str)> = streams.into_iter().map(|name| (name, name)).collect();
    html! {
        form.filters method="get" action="/debts" {
            (choice("stream", "Stream", "all", &wish.stream, &streams))
            (choice("kind", "Kind", "both", &wish.kind, &[("push", "push: owed to the CRM"), ("read", "read: owed by us")]))
            (choice("state", "State", "all", &wish.state, &DEBT_STATES.map(|state| (state, state_word(state)))))
            button type="submit" { "Show" }
            @if !(wish.stream.is_empty() && wish.kind.is_empty() && wish.state.is_empty()) { a href="/debts" { "Show all" } }
        }
    }
}

pub(crate) fn state_word(state: &str) -> &str {
    match state {
        "parent" => "waits for a parent",
        "parked" => "parked",
        "waiting" => "waiting",
        other => other,
    }
}

pub(crate) fn table(debts: &[DebtRow], back: &str) -> Markup {
    html! {
        div.scroll { table.debts {
            thead { tr {
                th scope="col" { "Debt" } th scope="col" { "State" } th.num scope="col" { "Attempts" } th scope="col" { "Last error" }
                th scope="col" { "What happens next" } th scope="col" { "Owed for" } th scope="col" { span.hidden { "Acts" } }
            } }
            tbody { @for debt in debts { (row(debt, back)) } }
        } }
    }
}

fn row(debt: &DebtRow, back: &str) -> Markup {
    let thing = format!("{} {} of {}", debt.kind, debt.subject, debt.stream);
    let place = |verb: &str| format!("/acts/debts/{}/{verb}", debt.id);
    let tone = match debt.state.as_str() {
        "parked" => "watch",
        _ if debt.attempts > 0 => "alarm",
        _ => "info",
    };
    html! {
        tr {
            th scope="row" {
                (debt.kind) " " a href=(row_page::address(&debt.stream, &subject(debt))) { code { (debt.subject) } }
                small.block { a href={ "/streams/" (part(&debt.stream)) } { (debt.stream) } }
            }
            td.nowrap { span class={ "dot tone-" (tone) } { @if debt.attempts > 0 && debt.state == "waiting" { "retrying" } @else { (state_word(&debt.state)) } } }
            td.num { (number(debt.attempts.into())) }
            td.cause {
                @if let Some(cause) = &debt.cause { (cause) } @else { span.quiet { "none" } }
                @if let Some(word) = &debt.class { small.block { (class(word)) @if let Some(code) = &debt.code { " · " code { (code) } } } }
            }
            td.step { (next(debt)) }
            td.nowrap { span title={ "the row last changed " (span(debt.changed_age_ms)) " ago" } { (span(debt.age_ms)) } }
            td.acts {
                (act(&place("retry"), "Retry", &thing, back, "plain"))
                @if debt.state != "parked" { (act(&place("park"), "Park", &thing, back, "plain")) }
            }
        }
    }
}

/// A push names a row, a read a record; the same text may be both.
fn subject(debt: &DebtRow) -> String {
    match debt.kind.as_str() {
        "read" => format!("record:{}", debt.subject),
        _ => format!("row:{}", debt.subject),
    }
}

fn next(debt: &DebtRow) -> Markup {
    let late: Millis = debt.now - debt.due_at;
    html! {
        @if debt.state == "parked" { (debt.next_step.as_deref().unwrap_or("look at it, then retry")) }
        @else if debt.leased { "being tried now" }
        @else if late > 2_000 { "due for " (span(late)) ", waits for a worker" }
        @else if debt.state == "parent" { "looked at again " (when(debt.now, debt.due_at)) }
        @else if debt.attempts == 0 { "tried " (when(debt.now, debt.due_at)) }
        @else { "tried again " (when(debt.now, debt.due_at)) }
    }
}
