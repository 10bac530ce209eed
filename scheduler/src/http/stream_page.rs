//! One stream in full: how it stands, its tide, mapping, debts, windows and calls.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use tidemark_core::arrival::{Arrivals, Report};
use tidemark_store::overview::{self, CalloutFilter, DebtFilter, DriftRow, WindowRow};

use super::frame::{Page, badge};
use super::plan::{arrow, mapping, plan};
use super::snapshot::StreamView;
use super::stream_card::{buttons, explanation, facts};
use super::trouble::{Trouble, missing};
use super::words::{clock, count, number, part, span, vendor, when};
use super::{App, Shared, callouts_page, chart, debts_page, snapshot};

pub(crate) async fn show(State(shared): App, Path(name): Path<String>) -> Result<Response, Trouble> {
    let snapshot = snapshot::look(&shared).await?;
    let Some(view) = snapshot.streams.iter().find(|view| view.overview.name == name) else {
        return Ok(missing(&format!("stream {name}")));
    };
    let page = Page { title: &name, place: "", mood: view.verdict.mood, now: snapshot.now, leavable: shared.key.is_some() };
    Ok(page.show(&body(&shared, view).await?).into_response())
}

async fn body(shared: &Shared, view: &StreamView) -> Result<Markup, Trouble> {
    let store = &shared.app.store;
    let stream = &view.overview;
    let windows = overview::windows(store, Some(stream.id), 120).await?;
    let drift = overview::drift(store, stream.id, 20).await?;
    let filter = DebtFilter { stream: Some(stream.name.clone()), ..DebtFilter::default() };
    let debts = overview::debts(store, &filter, 20, 0).await?;
    let calls =
        overview::callouts(store, &CalloutFilter { stream: Some(stream.name.clone()), ..CalloutFilter::default() }, 25).await?;
    let spec = shared.spec(&stream.name);
    let crm = vendor(stream.connector.as_deref().unwrap_or(&stream.connection));
    let here = format!("/streams/{}", part(&stream.name));
    Ok(html! {
        article class={ "stream tone-" (view.verdict.mood.tone()) } {
            header {
                h1 { (stream.name) }
                (badge(view.verdict.mood))
                p.sides { (crm) " " code { (stream.object) } " " (spec.map_or("·", |spec| arrow(spec.direction).0)) " " code { (stream.table_name) } }
                div.acts { (buttons(stream)) }
            }
            p.verdict { (stream.name) " " (view.verdict.say) "." }
            (explanation(view))
            @if stream.state != "plan_ready" { (facts(view)) }
        }
        @if !stream.one_way { section.panel {
            h2 { "Tide" }
            @if windows.is_empty() { p.quiet { "No window has been read yet." } }
            @else {
                (chart::tide(&windows.iter().collect::<Vec<_>>(), 120, "large"))
                p.legend { span.key.fast { "fast reader" } span.key.settled { "settled reader" } span.key.sweep { "sweep" } span.key.changed { "rows changed" } span.quiet { "one bar per window, oldest left; height grows with the logarithm of the records" } }
                (window_table(&windows))
            }
        } }
        @if let Some(report) = &view.arrival { (arrivals(&stream.arrivals, report)) }
        @if !drift.is_empty() {
            section.panel {
                h2 { "Found by sweeps" }
                p.quiet { "Differences that no reader and no trigger told of, each repaired. " em { "Should have told" } " says who passed it by: nobody could see a change under an old stamp." }
                (drift_table(&drift))
            }
        }
        section.panel {
            h2 { "Mapping" }
            @match spec {
                Some(spec) => { (mapping(spec)) @if stream.state == "plan_ready" { h3 { "What go sets in motion" } (plan(spec, crm, overview::rows_estimate(store, &spec.table).await)) } }
                None => p.quiet { "It is not in the configuration any more." }
            }
        }
        @if spec.is_some() {
            section.panel {
                h2 { "Why has a field its value?" }
                form.filters method="get" action={ (here) "/rows" } {
                    label { "Key of a row, or id of a record " input type="text" name="thing" required autocomplete="off" maxlength="200"; }
                    button type="submit" { "Tell" }
                }
            }
        }
        section.panel {
            h2 { "Debts" }
            @if debts.is_empty() { p.quiet { "Nothing is owed." } }
            @else {
                (debts_page::table(&debts, &here))
                p { a href={ "/debts?stream=" (part(&stream.name)) } { "All debts of this stream" } }
            }
        }
        section.panel {
            h2 { "Latest calls" }
            @if calls.is_empty() { p.quiet { "No call has been made." } } @else { (callouts_page::table(&calls)) }
        }
    })
}

/// How late versions became visible, and which lag of the fast reader would have missed how many.
fn arrivals(arrivals: &Arrivals, report: &Report) -> Markup {
    html! {
        section.panel {
            h2 { "How late records show" }
            p {
                "Within 7 days the settled reader passed " (count(report.versions, "version", "versions")) ", of which the fast one had missed "
                (number(report.missed)) " with its lag of " (span(report.lag_ms)) "; none was lost. "
                @match report.proposed {
                    None => "That lag does.",
                    Some(proposed) => {
                        "With " code { "poll.lag = \"" (proposed.lag_ms / 1_000) "s\"" } " it would have missed about " (number(proposed.missed)) ", and no more than "
                        (number(proposed.missed_most)) "."
                    }
                }
            }
            @if !arrivals.late.is_empty() {
                details #arrivals {
                    summary { "What the fast reader missed" }
                    div.scroll { table {
                        thead { tr { th scope="col" { "Not there yet after" } th scope="col" { "There after" } th.num scope="col" { "Versions" } } }
                        tbody {
                            @for (arrival, versions) in &arrivals.late {
                                tr {
                                    td { (span(arrival.low_ms)) }
                                    td { @if arrival.high_ms > tidemark_core::DAY_MS { "more than a day" } @else { (span(arrival.high_ms)) } }
                                    td.num { (number(*versions)) }
                                }
                            }
                        }
                    } }
                }
            }
        }
    }
}

fn drift_table(drift: &[DriftRow]) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th scope="col" { "Found" } th scope="col" { "What" } th scope="col" { "Fields" } th scope="col" { "Should have told" } th scope="col" { "Repair" } } }
            tbody {
                @for one in drift {
                    tr {
                        td.nowrap { (when(one.now, one.at)) }
                        td { (one.side) " " code { (one.subject) } }
                        td { @if one.fields.is_empty() { "all of it" } @else { (one.fields) } }
                        td { (told(&one.missed_by)) }
                        td { (one.repair) }
                    }
                }
            }
        } }
    }
}

/// Who should have told of a difference, in words.
fn told(missed_by: &str) -> &str {
    match missed_by {
        "fast" => "the fast reader",
        "settled" => "both readers: it came later than the settled lag",
        "none" => "nobody: its stamp did not move",
        "capture" => "a trigger",
        other => other,
    }
}

fn window_table(windows: &[WindowRow]) -> Markup {
    html! {
        details #windows {
            summary { "The latest windows as a table" }
            div.scroll { table {
                thead { tr {
                    th scope="col" { "Begun" } th scope="col" { "Reader" } th scope="col" { "From, CRM clock" } th scope="col" { "Until" } th.num scope="col" { "Pages" }
                    th.num scope="col" { "Records" } th.num scope="col" { "Rows changed" } th.num scope="col" { "Parked" } th scope="col" { "Took" }
                } }
                tbody {
                    @for window in windows.iter().take(30) {
                        tr {
                            td.nowrap { (when(window.now, window.started_at)) }
                            td { (window.reader) }
                            td.nowrap title=(super::words::absolute(window.from)) { (clock(window.from)) }
                            td.nowrap title=(super::words::absolute(window.until)) { (clock(window.until)) }
                            td.num { (number(window.pages)) }
                            td.num { (number(window.records)) }
                            td.num { (number(window.rows_changed)) }
                            td.num { (number(window.parked)) }
                            td.nowrap {
                                @if let Some(ended) = window.ended_at { (span(ended - window.started_at)) } @else { "still being read" }
                                @if let Some(seal) = &window.seal { ", " (seal) }
                            }
                        }
                    }
                }
            } }
        }
    }
}
