//! The report in words and tables, once for the command line, the dashboard and Markdown: each only draws what stands here.

use super::{ConnectionReport, Ended, Measures, Report, Uncured};
use crate::Millis;

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    pub title: String,
    pub lead: Vec<String>,
    pub tables: Vec<Table>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub title: &'static str,
    /// Names, and whether numbers stand below.
    pub columns: Vec<(&'static str, bool)>,
    pub rows: Vec<Vec<String>>,
}

/// Measures as columns, behind whatever they are of.
const MEASURES: [(&str, bool); 9] = [
    ("calls", true),
    ("first try", true),
    ("cured", true),
    ("failed", true),
    ("p50", true),
    ("p95", true),
    ("p99", true),
    ("max", true),
    ("longest outage", false),
];

/// The report, connection by connection.
pub fn sections(report: &Report) -> Vec<Section> {
    report.connections.iter().map(section).collect()
}

fn section(report: &ConnectionReport) -> Section {
    let mut tables = vec![Table {
        title: "Endpoints",
        columns: [&[("endpoint", false)], &MEASURES[..], &[("quota left at worst", true)]].concat(),
        rows: report
            .endpoints
            .iter()
            .map(|endpoint| {
                let quota = endpoint.measures.quota_worst.map_or_else(none, |left| left.to_string());
                [vec![endpoint.endpoint.clone()], cells(&endpoint.measures), vec![quota]].concat()
            })
            .collect(),
    }];
    tables.push(Table {
        title: "Calls that did not succeed",
        columns: vec![("class", false), ("status", false), ("on the first try", true), ("on a retry", true)],
        rows: report.whole.failed.iter().map(failed).collect(),
    });
    tables.push(Table {
        title: "Retries until cured",
        columns: vec![("retries", true), ("calls", true)],
        rows: report.whole.cured.iter().map(|cured| vec![cured.retries.to_string(), cured.calls.to_string()]).collect(),
    });
    tables.push(Table {
        title: "Not cured yet",
        columns: vec![
            ("stream", false),
            ("work", false),
            ("things", true),
            ("attempts", true),
            ("class", false),
            ("waits for", false),
            ("since", false),
            ("for example", false),
        ],
        rows: report.uncured.iter().map(uncured).collect(),
    });
    tables.push(Table {
        title: "Hours that were worse than the whole",
        columns: [&[("hour", false)], &MEASURES[..]].concat(),
        rows: report.hours.iter().map(|hour| [vec![time(hour.hour)], cells(&hour.measures)].concat()).collect(),
    });
    tables.retain(|table| !table.rows.is_empty());
    Section { title: report.connection.clone(), lead: lead(&report.whole), tables }
}

fn lead(whole: &Measures) -> Vec<String> {
    if whole.calls == 0 {
        return vec!["No call was made in this time.".to_owned()];
    }
    let mut lead = vec![format!("{}, {} of them successful.", count(whole.calls, "call"), whole.successes)];
    if let Some(rate) = whole.first_try_rate() {
        lead.push(format!("First try: {} of {} succeeded, {}.", whole.first_try_successes, whole.first_tries, percent(rate)));
    }
    match whole.cured_calls() {
        0 => {}
        cured => lead.push(format!("Cured by trying again: {cured}, by {} at most.", retries(whole.retries_most()))),
    }
    if let (Some(p50), Some(p95), Some(p99), Some(max)) = (whole.p50_ms, whole.p95_ms, whole.p99_ms, whole.max_ms) {
        lead.push(format!("Time of a call: p50 {p50} ms, p95 {p95} ms, p99 {p99} ms, max {max} ms."));
    }
    if let Some(left) = whole.quota_worst {
        lead.push(format!("The fewest calls that the CRM said were left: {left}."));
    }
    lead.push(match whole.longest_outage {
        None => "There was no time in which no call got through.".to_owned(),
        Some(run) => format!(
            "Longest outage, in which no call got through: {} from {} on, {}{}.",
            span(run.length()),
            time(run.from),
            count(run.calls, "call"),
            if run.open { ", and none has since" } else { "" }
        ),
    });
    lead
}

fn cells(measures: &Measures) -> Vec<String> {
    let ms = |time: Option<u32>| time.map_or_else(none, |ms| format!("{ms} ms"));
    let failed: u64 = measures.failed.iter().map(Ended::calls).sum();
    let outage = measures.longest_outage.map_or_else(none, |run| {
        // To the minute: it has to fit into a table.
        let from: String = crate::why::time(run.from).chars().take(16).collect();
        format!("{} from {from}{}", span(run.length()), if run.open { ", still" } else { "" })
    });
    vec![
        measures.calls.to_string(),
        measures.first_try_rate().map_or_else(none, percent),
        measures.cured_calls().to_string(),
        failed.to_string(),
        ms(measures.p50_ms),
        ms(measures.p95_ms),
        ms(measures.p99_ms),
        ms(measures.max_ms),
        outage,
    ]
}

fn failed(ended: &Ended) -> Vec<String> {
    vec![
        ended.class.clone().unwrap_or_default(),
        ended.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string()),
        ended.first_tries.to_string(),
        ended.retries.to_string(),
    ]
}

fn uncured(thing: &Uncured) -> Vec<String> {
    let class = match (&thing.class, &thing.code) {
        (Some(class), Some(code)) => format!("{class} ({code})"),
        (class, code) => class.clone().or_else(|| code.clone()).unwrap_or_else(none),
    };
    vec![
        thing.stream.clone(),
        thing.work.clone(),
        thing.things.to_string(),
        thing.attempts_most.to_string(),
        class,
        if thing.parked { "a person" } else { "its next attempt" }.to_owned(),
        thing.since.map_or_else(none, time),
        thing.cause.clone().unwrap_or_else(none),
    ]
}

/// The whole report as Markdown, fit to be sent to the CRM's vendor.
pub fn markdown(report: &Report) -> String {
    let mut out = format!("# Reliability of the CRMs\n\nFrom {} to {}.\n", time(report.since), time(report.until));
    for section in sections(report) {
        out.push_str(&format!("\n## {}\n\n", section.title));
        for sentence in &section.lead {
            out.push_str(&format!("- {sentence}\n"));
        }
        for table in &section.tables {
            out.push_str(&format!("\n### {}\n\n", table.title));
            let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
            out.push_str(&line(table.columns.iter().map(|(name, _)| (*name).to_owned()).collect()));
            out.push_str(&line(
                table.columns.iter().map(|(_, number)| if *number { "---:" } else { "---" }.to_owned()).collect(),
            ));
            for row in &table.rows {
                out.push_str(&line(row.iter().map(|cell| escaped(cell)).collect()));
            }
        }
    }
    if report.connections.is_empty() {
        out.push_str("\nNo call was made in this time.\n");
    }
    out
}

/// A cell's text, kept from ending the cell or being read as HTML.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;").replace(['\n', '\r'], " ")
}

fn percent(of_ten_thousand: u64) -> String {
    format!("{}.{:02} %", of_ten_thousand / 100, of_ten_thousand % 100)
}

fn time(at: Millis) -> String {
    format!("{} UTC", crate::why::time(at))
}

fn count(value: u64, word: &str) -> String {
    format!("{value} {word}{}", if value == 1 { "" } else { "s" })
}

fn retries(value: u32) -> String {
    format!("{value} {}", if value == 1 { "retry" } else { "retries" })
}

fn none() -> String {
    "–".to_owned()
}

fn span(ms: Millis) -> String {
    let seconds = ms.max(0) / 1_000;
    match seconds {
        0 => format!("{ms} ms"),
        1..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}
