//! The tide chart: one bar per window, oldest left. Draws; asks nothing.

use maud::{Markup, html};
use tidemark_store::overview::WindowRow;

use super::words::{absolute, count};

const HEIGHT: f64 = 48.0;
const STEP: f64 = 8.0;

/// Bars as high as the logarithm of their records, so that a first load does not flatten the rest. `windows` is newest first.
pub(crate) fn tide(windows: &[&WindowRow], slots: usize, style: &str) -> Markup {
    let shown: Vec<&&WindowRow> = windows.iter().take(slots).rev().collect();
    let most = shown.iter().map(|window| window.records).max().unwrap_or(0);
    let height = |value: i64| (value as f64).ln_1p() / (most.max(1) as f64).ln_1p() * (HEIGHT - 4.0);
    let width = slots as f64 * STEP;
    let label = format!("Records read in each of the last {}, {most} at most", count(shown.len() as i64, "window", "windows"));
    html! {
        svg class={ "tide " (style) } viewBox={ "0 0 " (width) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(label) {
            line.floor x1="0" x2=(width) y1=(HEIGHT - 0.5) y2=(HEIGHT - 0.5) {}
            @for (at, window) in shown.iter().enumerate() {
                @let x = (slots - shown.len() + at) as f64 * STEP + 1.0;
                @let tall = if window.records > 0 { height(window.records).max(3.0) } else { 1.5 };
                @let changed = if window.rows_changed > 0 { height(window.rows_changed.min(window.records)).max(2.0) } else { 0.0 };
                g {
                    title { (tip(window)) }
                    rect.slot x=(x - 1.0) y="0" width=(STEP) height=(HEIGHT) {}
                    rect class={ "bar " (window.reader) " " (window.state) } x=(x) y=(format!("{:.1}", HEIGHT - tall)) width=(STEP - 2.0)
                        height=(format!("{tall:.1}")) {}
                    @if changed > 0.0 {
                        rect.changed x=(x) y=(format!("{:.1}", HEIGHT - changed)) width=(STEP - 2.0) height=(format!("{changed:.1}")) {}
                    }
                }
            }
        }
    }
}

fn tip(window: &WindowRow) -> String {
    let parked = if window.parked > 0 { format!(", {} parked", window.parked) } else { String::new() };
    format!(
        "{} reader, {} to {}: {}, {} changed{parked}{}",
        window.reader,
        absolute(window.from),
        absolute(window.until),
        count(window.records, "record", "records"),
        count(window.rows_changed, "row", "rows"),
        if window.state == "open" { ", still being read" } else { "" }
    )
}
