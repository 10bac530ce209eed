//! The overview: within five seconds whether the sides agree, what is stuck, why, and what happens next.

use std::collections::HashMap;

use axum::extract::State;
use maud::{Markup, html};
use tidemark_core::hook::ONE_WAY;
use tidemark_store::overview::{self, DebtGroup, WindowRow};

use super::frame::{Page, act, pause, sign};
use super::snapshot::{ConnectionView, Snapshot};
use super::stream_card::{Beside, card};
use super::trouble::Trouble;
use super::words::{class, count, number, part, span, vendor, when};
use super::{App, Shared, call_page, snapshot};

pub(crate) async fn show(State(shared): App) -> Result<Markup, Trouble> {
    let snapshot = snapshot::look(&shared).await?;
    let windows = overview::windows(&shared.app.store, None, 1000).await?;
    let mut rows = HashMap::new();
    for view in snapshot.streams.iter().filter(|view| view.overview.state == "plan_ready") {
        if let Some(spec) = shared.spec(&view.overview.name) {
            rows.insert(spec.name.clone(), overview::rows_estimate(&shared.app.store, &spec.table).await);
        }
    }
    let line = &snapshot.headline.line;
    let title = if snapshot.headline.mood.tone() == "calm" {
        "All fresh"
    } else {
        line.split_once(": ").map_or(line.as_str(), |(short, _)| short)
    };
    let page = Page { title, place: "/", mood: snapshot.headline.mood, now: snapshot.now, leavable: shared.key.is_some() };
    Ok(page.show(&body(&shared, &snapshot, &windows, &rows)))
}

fn body(shared: &Shared, snapshot: &Snapshot, windows: &[WindowRow], rows: &HashMap<String, Option<i64>>) -> Markup {
    let mut streams: Vec<_> = snapshot.streams.iter().collect();
    streams.sort_by_key(|view| (view.verdict.mood.tone() != "alarm", view.verdict.mood));
    // What needs attention first stands first.
    let alarm = snapshot.headline.mood.tone() == "alarm";
    html! {
        (hero(snapshot))
        (vitals(snapshot))
        @if !alarm { (parked(&snapshot.parked)) (erasures(snapshot)) }
        section aria-label="Streams" {
            @for view in streams {
                @let own: Vec<&WindowRow> = windows.iter().filter(|window| window.stream == view.overview.name && window.reader == "fast").collect();
                @let rows = rows.get(&view.overview.name).copied().flatten();
                (card(view, &Beside { spec: shared.spec(&view.overview.name), windows: &own, rows }))
            }
        }
        @if alarm { (parked(&snapshot.parked)) (erasures(snapshot)) }
        (connections(snapshot))
        (processes(snapshot))
    }
}

fn hero(snapshot: &Snapshot) -> Markup {
    let headline = &snapshot.headline;
    let tone = headline.mood.tone();
    let links: i64 = snapshot.streams.iter().map(|view| view.overview.links).sum();
    html! {
        section class={ "hero tone-" (tone) } {
            h1 { (sign(tone)) span { (headline.line) } }
            @if !headline.more.is_empty() { ul { @for line in &headline.more { li { (line) } } } }
            @else if snapshot.streams.is_empty() {
                p { "Add a " code { "[[connections.NAME.streams]]" } " to the configuration; it appears here and waits for your go." }
            } @else if tone == "calm" {
                p { (count(links, "pair of a row and a record is", "pairs of rows and records are")) " kept in agreement; nothing waits for a person." }
            }
        }
    }
}

fn vitals(snapshot: &Snapshot) -> Markup {
    let queue = &snapshot.queue;
    let workers = snapshot.alive(Some("worker"));
    html! {
        dl.vitals aria-label="Queue and workers" {
            div class={ @if queue.answers { "" } @else { "tone-alarm" } } {
                dt { "Queue" }
                dd { @if queue.answers { (number_of(queue.waiting)) } @else { "no answer" } }
                small { @if queue.answers { "waiting, " (number_of(queue.running)) " running" } @else { "workers get no hints" } }
            }
            div { dt { "Due now" } dd { (number(queue.due_now)) } small { @if let Some(age) = queue.oldest_due_ms { "oldest " (span(age)) } @else { "nothing overdue" } } }
            div { dt { "Due later" } dd { (number(queue.due_later)) } small { "retries and waits" } }
            div class={ @if queue.parked > 0 { "tone-watch" } } { dt { "Parked" } dd { (number(queue.parked)) } small { @if queue.parked > 0 { "wait for a person" } @else { "nothing is stuck" } } }
            div class={ @if queue.changes_oldest_ms > 60_000 { "tone-alarm" } } {
                dt { "Change log" } dd { (number(queue.changes_waiting)) }
                small { @if queue.changes_waiting > 0 { "oldest " (span(queue.changes_oldest_ms)) } @else { "all relayed" } }
            }
            div class={ @if workers == 0 { "tone-alarm" } } {
                dt { "Workers" } dd { (workers) } small { (count(snapshot.alive(Some("scheduler")) as i64, "scheduler", "schedulers")) " alive" }
            }
        }
    }
}

fn number_of(value: u64) -> String {
    number(i64::try_from(value).unwrap_or(i64::MAX))
}

/// What waits for a person, by what stopped it.
fn parked(groups: &[DebtGroup]) -> Markup {
    if groups.is_empty() {
        return html! {};
    }
    html! {
        section.panel {
            h2 { "Waits for a person" }
            div.scroll { table {
                thead { tr { th.num scope="col" { "Count" } th scope="col" { "Stream" } th scope="col" { "Cause" } th scope="col" { "What to do" } th scope="col" { "Oldest" } } }
                tbody {
                    @for group in groups.iter().take(12) {
                        tr {
                            td.num { a href={ "/debts?state=parked&stream=" (part(&group.stream)) } { (number(group.count)) } }
                            td { (group.stream) }
                            td.cause {
                                (group.cause.as_deref().unwrap_or("no cause was noted"))
                                small.block { (class(group.class.as_deref().unwrap_or("unknown"))) @if let Some(code) = &group.code { " · " code { (code) } } }
                            }
                            td.step { (group.next_step.as_deref().unwrap_or("look at it, then retry")) }
                            td.nowrap { (span(group.oldest_ms)) }
                        }
                    }
                }
            } }
            @if groups.len() > 12 { p { a href="/debts?state=parked" { "All that is parked" } } }
        }
    }
}

/// People who were erased and are not gone everywhere: what stands in the way, and what comes next.
fn erasures(snapshot: &Snapshot) -> Markup {
    html! {
        @if !snapshot.erasures.is_empty() {
            section.panel {
                h2 { "Erased, and not gone yet" }
                div.scroll { table {
                    thead { tr { th scope="col" { "Record" } th scope="col" { "What it waits for" } th scope="col" { "Next step" } th scope="col" { "Since" } } }
                    tbody { @for one in &snapshot.erasures { tr {
                        th scope="row" { code { (one.record.as_deref().unwrap_or("none")) } small.block { a href={ "/streams/" (part(&one.stream)) } { (one.stream) } } }
                        td.cause { (one.waits_for()) }
                        td.step {
                            (one.next_step())
                            @if one.again_at.is_none() && one.paused.is_none() { small.block { (when(snapshot.now, one.due_at.max(snapshot.now))) } }
                        }
                        td.nowrap { (when(snapshot.now, one.again_at.unwrap_or(one.begun_at))) }
                    } } }
                } }
            }
        }
    }
}

fn connections(snapshot: &Snapshot) -> Markup {
    html! {
        section.panel {
            h2 { "Connections" }
            @if snapshot.connections.is_empty() { p.quiet { "None is configured." } }
            @else { div.scroll { table {
                thead { tr {
                    th scope="col" { "Connection" } th scope="col" { "State" } th scope="col" { "Account" } th.num scope="col" { "Calls, last hour" }
                    th.num scope="col" { "First try" } th scope="col" { "Failures" } th.num scope="col" { "Quota left" } th scope="col" { span.hidden { "Acts" } }
                } }
                tbody { @for connection in &snapshot.connections { (connection_row(connection)) } }
            } } }
        }
    }
}

/// A hook takes what it is sent and says nothing of itself: nobody ever asks it.
fn account(connection: &ConnectionView) -> &str {
    match connection.account.as_deref() {
        Some(account) => account,
        None if ONE_WAY.contains(&connection.connector.as_str()) => "no account: one-way hook",
        None => "not asked yet",
    }
}

fn connection_row(connection: &ConnectionView) -> Markup {
    let place = |verb: &str| format!("/acts/connections/{}/{verb}", part(&connection.name));
    let running = connection.state == "running";
    let failures: Vec<_> = connection.calls.iter().filter(|calls| calls.class.is_some()).collect();
    html! {
        tr {
            th scope="row" { (connection.name) small.block { (vendor(&connection.connector)) } }
            td {
                span class={ @if running { "dot tone-calm" } @else { "dot tone-alarm" } } { (connection.state) }
                @if let Some(reason) = &connection.reason { small.block { (reason) } }
                @if let Some(wait) = connection.probe_in_ms { small.block { "tried again by itself in " (span(wait.max(0))) } }
                @if let Some(recording) = &connection.recording { div { a href="/callouts" { (call_page::running(recording)) } } }
            }
            td { (account(connection)) small.block { (connection.environment.as_deref().unwrap_or("")) } }
            td.num { (number(connection.calls_hour())) }
            td.num {
                a href={ "/reliability?connection=" (part(&connection.name)) } aria-label={ "Reliability of " (connection.name) } {
                    @if let Some(percent) = connection.first_try_percent() { (percent) " %" } @else { "–" }
                }
            }
            td { @if failures.is_empty() { span.quiet { "none" } } @else { @for calls in failures { small.block { (number(calls.calls)) " × " (class(calls.class.as_deref().unwrap_or(""))) } } } }
            td.num { @if let Some(left) = connection.quota_left { (number(left)) } @else { "–" } }
            td.acts {
                @if connection.recording.is_some() { (call_page::stop(connection, "/")) }
                @if running { (pause(&place("pause"), &connection.name, "/")) }
                @else { (act(&place("resume"), "Resume", &connection.name, "/", "primary")) }
            }
        }
    }
}

fn processes(snapshot: &Snapshot) -> Markup {
    html! {
        section.panel {
            h2 { "Processes" }
            @if snapshot.workers.is_empty() { p.quiet { "None has been heard of within the last hour." } }
            @else { ul.processes { @for worker in &snapshot.workers {
                li {
                    span class={ @if worker.alive { "dot tone-calm" } @else { "dot tone-alarm" } } { (worker.kind) } " " code { (worker.name) } " "
                    span.quiet { @if worker.alive { "alive for " (span(worker.now - worker.started_at)) } @else { "silent for " (span(worker.now - worker.beat_at)) } }
                }
            } } }
        }
    }
}
