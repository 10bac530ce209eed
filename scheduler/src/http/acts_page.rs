//! What people did, the newest first.

use axum::extract::State;
use maud::{Markup, html};
use tidemark_store::overview;

use super::frame::Page;
use super::trouble::Trouble;
use super::words::{absolute, when};
use super::{App, snapshot};

pub(crate) async fn show(State(shared): App) -> Result<Markup, Trouble> {
    let snapshot = snapshot::look(&shared).await?;
    let acts = overview::acts(&shared.app.store, 200).await?;
    let page =
        Page { title: "Acts", place: "/acts", mood: snapshot.headline.mood, now: snapshot.now, leavable: shared.key.is_some() };
    Ok(page.show(&html! {
        h1 { "Acts" }
        p.lead { "Everything people did, the newest first; 200 are shown. Acts are never changed or removed." }
        @if acts.is_empty() { p.empty { "Nobody has done anything yet." } }
        @else { div.scroll { table {
            thead { tr { th scope="col" { "When" } th scope="col" { "Time" } th scope="col" { "Who" } th scope="col" { "Did" } th scope="col" { "To" } th scope="col" { "Why" } } }
            tbody {
                @for act in &acts {
                    tr {
                        td.nowrap { (when(act.now, act.at)) }
                        td.nowrap.quiet { (absolute(act.at)) }
                        td { (act.who) }
                        td { strong { (act.verb) } }
                        td.cause { (act.subject) }
                        td.cause { @if let Some(reason) = &act.reason { (reason) } @else { span.quiet { "not said" } } }
                    }
                }
            }
        } } }
    }))
}
