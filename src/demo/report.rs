//! What a run came to: one value, as JSON for programs or as a table for people.

use std::collections::BTreeMap;

use serde::Serialize;
use tidemark_core::agree::Difference;
use tidemark_sandbox::Counters;
use tidemark_store::overview::Totals;
use tidemark_worker::agree::StreamReport;

use super::args::{DemoArgs, WeatherName};
use crate::verbs::say;

/// How many differences the table lists; JSON lists all that were kept.
const LISTED_MAX: usize = 20;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) agree: bool,
    /// Pairs of row and record that were compared, over all streams.
    records: usize,
    /// Rows that Tidemark changed in the order database.
    rows_changed: i64,
    /// Records written to the CRM, as the CRM counted them.
    pushes: u64,
    /// HTTP calls the CRM received.
    calls: u64,
    /// Calls that were a second or later attempt.
    retries: i64,
    edits: Edits,
    /// Fields that changed on both sides between two looks.
    conflicts: i64,
    /// Faults the weather brought.
    faults: u64,
    /// Calls the CRM refused because its limit was really exceeded.
    limit_exceeded: u64,
    seconds: f64,
    seed: u64,
    weather: WeatherName,
    /// Fields and lone things that are decided to differ, by reason.
    decided: BTreeMap<String, usize>,
    /// As Tidemark compares and as an outsider does; more may differ than are listed.
    differ: usize,
    differences: Vec<Difference>,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Edits {
    pub(crate) orders: u64,
    pub(crate) crm: u64,
}

/// What was counted where.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) totals: Totals,
    pub(crate) crm: Counters,
    pub(crate) retries: i64,
    pub(crate) edits: Edits,
    pub(crate) seconds: f64,
}

impl Report {
    /// `outside` is what an outsider's comparison found.
    pub(crate) fn new(args: &DemoArgs, streams: Vec<StreamReport>, outside: Vec<Difference>, counts: &Counts) -> Self {
        let mut decided = BTreeMap::new();
        for (reason, count) in streams.iter().flat_map(|stream| &stream.decided_reasons) {
            *decided.entry(reason.clone()).or_default() += count;
        }
        let differ = streams.iter().map(|stream| stream.differ).sum::<usize>() + outside.len();
        Self {
            agree: differ == 0,
            records: streams.iter().map(|stream| stream.pairs).sum(),
            rows_changed: counts.totals.rows_changed,
            pushes: counts.crm.writes,
            calls: counts.crm.calls,
            retries: counts.retries,
            edits: counts.edits,
            conflicts: counts.totals.conflicts,
            faults: counts.crm.faults,
            limit_exceeded: counts.crm.limit_exceeded,
            seconds: (counts.seconds * 10.0).round() / 10.0,
            seed: args.seed,
            weather: args.weather,
            decided,
            differ,
            differences: streams.into_iter().flat_map(|stream| stream.differences).chain(outside).collect(),
        }
    }

    pub(crate) fn print(&self) {
        say(format_args!("\n{:<38} {:>8}", "records compared", self.records));
        for (name, number) in [
            ("rows changed in the order database", self.rows_changed.unsigned_abs()),
            ("records written to the CRM", self.pushes),
            ("edits in the order system", self.edits.orders),
            ("edits in the CRM", self.edits.crm),
            ("fields changed on both sides at once", self.conflicts.unsigned_abs()),
            ("calls", self.calls),
            ("calls that were another attempt", self.retries.unsigned_abs()),
            ("faults the CRM brought", self.faults),
            ("calls beyond the CRM's limit", self.limit_exceeded),
        ] {
            say(format_args!("{name:<38} {number:>8}"));
        }
        say(format_args!("{:<38} {:>8.1}", "seconds", self.seconds));
        for (reason, count) in &self.decided {
            say(format_args!("decided to differ: {count:>5}  {reason}"));
        }
        for difference in self.differences.iter().take(LISTED_MAX) {
            say(format_args!("differs: {}", words(difference)));
        }
        let unlisted = self.differ.saturating_sub(LISTED_MAX.min(self.differences.len()));
        if unlisted > 0 {
            say(format_args!("differs: … and {unlisted} more"));
        }
        say(if self.agree { "Both sides agree." } else { "The sides differ." });
    }
}

fn words(difference: &Difference) -> String {
    let Difference { stream, row, record, field, row_value, record_value, reason } = difference;
    let thing = match (row, record) {
        (Some(row), Some(record)) => format!("row {row} ↔ record {record}"),
        (Some(row), None) => format!("row {row}"),
        (None, Some(record)) => format!("record {record}"),
        (None, None) => String::new(),
    };
    let value = |value: &Option<String>| value.clone().unwrap_or_default();
    let field = field.as_ref().map(|field| format!(" {field}: {:?} ↔ {:?}", value(row_value), value(record_value)));
    format!("{stream} {thing}{} ({reason})", field.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        demo: DemoArgs,
    }

    fn report(differ: usize) -> Report {
        let args = Line::parse_from(["demo", "--once"]).demo;
        let streams = vec![StreamReport { pairs: 3, differ, ..StreamReport::default() }];
        let (totals, crm) = (Totals::default(), Counters::default());
        Report::new(
            &args,
            streams,
            Vec::new(),
            &Counts { totals, crm, retries: 0, edits: Edits { orders: 1, crm: 2 }, seconds: 1.26 },
        )
    }

    #[test]
    fn the_sides_agree_when_nothing_differs() {
        assert!(report(0).agree && !report(1).agree);
    }

    #[test]
    fn the_json_has_its_promised_keys_at_the_top() {
        let json = serde_json::to_value(report(0)).unwrap();
        let promised = [
            "agree",
            "records",
            "rows_changed",
            "pushes",
            "calls",
            "retries",
            "edits",
            "conflicts",
            "faults",
            "seconds",
            "differences",
        ];
        for key in promised {
            assert!(json.get(key).is_some(), "{key}");
        }
        assert_eq!((&json["edits"]["crm"], &json["seconds"]), (&2.into(), &1.3.into()));
    }
}
