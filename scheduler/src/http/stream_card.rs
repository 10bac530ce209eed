//! One stream on the overview: how it stands, why, what happens next, and what a person can do.

use maud::{Markup, html};
use tidemark_core::spec::StreamSpec;
use tidemark_store::overview::{BrakeView, StreamOverview, WindowRow};

use super::chart;
use super::frame::{act, badge, maybe_when, pause};
use super::plan::{arrow, mapping, plan};
use super::snapshot::StreamView;
use super::verdict::{BY_PERSON, Mood};
use super::words::{count, number, part, span, vendor, when};

/// What the card shows besides the stream itself.
pub(crate) struct Beside<'a> {
    pub(crate) spec: Option<&'a StreamSpec>,
    pub(crate) windows: &'a [&'a WindowRow],
    /// Rows of its table; asked for only while a plan waits.
    pub(crate) rows: Option<i64>,
}

pub(crate) fn card(view: &StreamView, beside: &Beside<'_>) -> Markup {
    let stream = &view.overview;
    let verdict = &view.verdict;
    html! {
        article class={ "stream tone-" (verdict.mood.tone()) } aria-label={ "Stream " (stream.name) } {
            header {
                h2 { a href={ "/streams/" (part(&stream.name)) } { (stream.name) } }
                (badge(verdict.mood))
                (sides(stream, beside.spec))
                div.acts { (buttons(stream)) }
            }
            @if stream.state == "plan_ready" { (waiting_plan(stream, beside)) }
            @else {
                (explanation(view))
                (facts(view))
                @if !beside.windows.is_empty() { (chart::tide(beside.windows, 120, "small")) }
            }
        }
    }
}

fn sides(stream: &StreamOverview, spec: Option<&StreamSpec>) -> Markup {
    let crm = vendor(stream.connector.as_deref().unwrap_or(&stream.connection));
    let (sign, meaning) = spec.map_or(("·", "not in the configuration"), |spec| arrow(spec.direction));
    html! { p.sides { (crm) " " code { (stream.object) } " " span title=(meaning) { (sign) } " " code { (stream.table_name) } } }
}

/// Buttons that fit the stream's state.
pub(crate) fn buttons(stream: &StreamOverview) -> Markup {
    let place = |verb: &str| format!("/acts/streams/{}/{verb}", part(&stream.name));
    html! {
        @match stream.state.as_str() {
            "plan_ready" => (act(&place("go"), "Go", &stream.name, "/", "primary")),
            "running" if stream.connection_state == "paused" => (act(&format!("/acts/connections/{}/resume", part(&stream.connection)), "Resume connection",
                &stream.connection, "/", "primary")),
            "running" => (pause(&place("pause"), &stream.name, "/")),
            _ => (act(&place("resume"), "Resume", &stream.name, "/", "primary")),
        }
    }
}

/// Why and what next, in words.
pub(crate) fn explanation(view: &StreamView) -> Markup {
    let verdict = &view.verdict;
    let stream = &view.overview;
    let label = if verdict.mood == Mood::Fresh || verdict.mood == Mood::Person { "Note" } else { "Why" };
    let note = stream.reason.as_deref().filter(|reason| stream.state == "running" && !reason.starts_with(BY_PERSON));
    html! {
        dl.explanation {
            @if let Some(why) = &verdict.why { div.why { dt { (label) } dd { (why) } } }
            @if let Some(deaf) = stream.deaf().filter(|deaf| verdict.why.as_ref() != Some(deaf)) { div.why { dt { "Capture" } dd { (deaf) ": run " code { "tidemark migrate" } } } }
            @for brake in stream.brakes_on() {
                div.why { dt { "Brake" } dd {
                    @if verdict.mood != Mood::Person { (brake.words()) ". " }
                    (act(&format!("/acts/brakes/{}/{}-{}", part(&stream.name), brake.direction.word(), brake.act.word()), &let_through(brake), &stream.name, &format!("/streams/{}", part(&stream.name)), "primary"))
                } }
            }
            @if let Some(reason) = note { div.why { dt { "Note" } dd { (reason) } } }
            @if let Some(rewind) = &stream.rewound { div.why { dt { "Rewound" } dd { (when(stream.now, rewind.at)) " " (rewind.words()) } } }
            @if !view.configured { div.why { dt { "Note" } dd { "It is not in the configuration any more: nothing reads or writes it." } } }
            div { dt { "Next" } dd { (verdict.next) } }
        }
    }
}

/// The button's words: what the answer does.
fn let_through(brake: &BrakeView) -> String {
    match brake.held {
        0 => format!("Let {} to be {} pass again", brake.direction.things(), brake.act.done()),
        held => format!("Let {} to be {} through", brake.direction.count(number(held)), brake.act.done()),
    }
}

/// The numbers that make up agreement.
pub(crate) fn facts(view: &StreamView) -> Markup {
    let stream = &view.overview;
    let now = stream.now;
    let debts =
        |query: &str, value: i64| html! { a href={ "/debts?stream=" (part(&stream.name)) "&" (query) } { (number(value)) } };
    html! {
        dl.facts {
            @if stream.one_way {
                div { dt { "Looked at" } dd { (maybe_when(now, stream.fresh_at, "not yet")) small { "may be " (span(view.fresh_within_ms)) " ago" } } }
                div { dt { "To be told" } dd { (debts("kind=push", stream.owed_pushes)) small { (owed_note(stream)) } } }
                div { dt { "Failed before" } dd { (number(stream.retrying)) small { "told again under the same key" } } }
                div.person[stream.parked > 0] { dt { "Wait for a person" } dd { (debts("state=parked", stream.parked)) small { "rows that nobody takes" } } }
                div { dt { "Rows known" } dd { (number(stream.links)) small { "told, or taken as told" } } }
            } @else { (read_facts(view)) }
        }
    }
}

/// The same of a stream whose other side is read.
fn read_facts(view: &StreamView) -> Markup {
    let stream = &view.overview;
    let now = stream.now;
    let debts =
        |query: &str, value: i64| html! { a href={ "/debts?stream=" (part(&stream.name)) "&" (query) } { (number(value)) } };
    html! {
            div { dt { "Fresh as of" } dd { (maybe_when(now, stream.fresh_at, "never")) small { "may be " (span(view.fresh_within_ms)) " old" } } }
            div { dt { "Read up to" } dd { (maybe_when(now, stream.fast_until, "nothing yet")) small { "settled " (maybe_when(now, stream.settled_until, "nothing yet")) } } }
            div { dt { "Owed to the CRM" } dd { (debts("kind=push", stream.owed_pushes)) small { (owed_note(stream)) } } }
            div { dt { "Reads owed" } dd { (debts("kind=read", stream.owed_reads)) small { @if stream.retrying == 0 { "none failed before" } @else { (number(stream.retrying)) " failed before" } } } }
            div.person[stream.parked + stream.open_conflicts > 0] { dt { "Wait for a person" } dd { (debts("state=parked", stream.parked)) small { (conflicts(stream)) } } }
            div { dt { "Linked pairs" } dd { (number(stream.links)) small { (number(stream.excluded)) " left out" } } }
            (sweep_fact(stream))
            div { dt { "Last hour" } dd { (number(stream.records_hour)) small { "read, " (number(stream.rows_changed_hour)) " changed" } } }
    }
}

fn conflicts(stream: &StreamOverview) -> Markup {
    html! {
        @if stream.open_conflicts > 0 {
            a href={ "/conflicts?stream=" (part(&stream.name)) } { (count(stream.open_conflicts, "conflict", "conflicts")) " to decide" }
        } @else { (number(stream.conflicts)) " conflicts ever" }
    }
}

/// How far the sweep is, or when the last one that counts ended, and what it found.
fn sweep_fact(stream: &StreamOverview) -> Markup {
    let (sweep, now) = (&stream.sweep, stream.now);
    let found = match sweep.drifted() {
        0 => "nothing found in a day".to_owned(),
        found => format!("{} in a day", count(found, "repair", "repairs")),
    };
    html! {
        div.person[sweep.error.is_some() || void(stream).is_some()] {
            dt { "Swept" }
            dd {
                @match &sweep.under_way {
                    Some(window) => { (number(window.records)) " read" }
                    None => (maybe_when(now, sweep.sealed_at, "not yet")),
                }
                small {
                    @if sweep.under_way.is_some() { "so far, " }
                    @if let Some(error) = &sweep.error { "failing: " (error) } @else if let Some(why) = void(stream) { "the last one concludes nothing: " (why) } @else { (found) }
                }
            }
        }
    }
}

/// Why the last sweep concludes nothing; a change of the mapping explains itself.
fn void(stream: &StreamOverview) -> Option<&str> {
    stream.sweep.last_seal.as_deref().filter(|seal| *seal != "sealed" && !seal.starts_with("the mapping changed"))
}

fn owed_note(stream: &StreamOverview) -> String {
    match (stream.oldest_owed_ms, stream.waiting_for_parent) {
        (_, 1) => "1 waits for a parent".to_owned(),
        (_, parents) if parents > 0 => format!("{} wait for a parent", number(parents)),
        (Some(age), _) => format!("oldest {}", span(age)),
        (None, _) => "nothing waits".to_owned(),
    }
}

fn waiting_plan(stream: &StreamOverview, beside: &Beside<'_>) -> Markup {
    let crm = vendor(stream.connector.as_deref().unwrap_or(&stream.connection));
    html! {
        p.ask { "Nothing is read or written until somebody says " strong { "go" } ". This is what will happen then:" }
        @match beside.spec {
            Some(spec) => {
                (plan(spec, crm, beside.rows))
                details.fields id={ "fields-" (stream.id) } { summary { "Fields and owners (" (spec.fields.len()) ")" } (mapping(spec)) }
            }
            None => p { "It is not in the configuration any more: going has no effect." }
        }
    }
}
