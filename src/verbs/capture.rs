//! `capture`: what is wrong with the triggers that note the order system's changes; what would put it right; doing that; and taking them away.

use std::process::ExitCode;

use serde::Serialize;
use tidemark_core::capture::Finding;
use tidemark_core::spec::StreamSpec;
use tidemark_core::window::millis;
use tidemark_store::acts::By;
use tidemark_store::capture::Captured;
use tidemark_store::{capture_state, shape};

use crate::cli::CaptureArgs;
use crate::compose::House;
use crate::verbs::{DIFFERS, say, say_json, who};

#[derive(Serialize)]
struct Report {
    tables: Vec<TableReport>,
    /// What is wrong; after `--apply` what still is.
    findings: Vec<Finding>,
    /// With `--plan`: what `--apply` would run.
    statements: Vec<String>,
    /// With `--remove`: the triggers that were taken away, as TABLE.TRIGGER.
    removed: Vec<String>,
}

#[derive(Serialize)]
struct TableReport {
    table: String,
    streams: Vec<String>,
    /// False for a view, whose rows are compared instead.
    can_be_captured: bool,
    partitions: Vec<String>,
    /// How often its rows are compared where capture is not there.
    compared_every_ms: i64,
}

pub(crate) async fn run(house: &House, args: &CaptureArgs) -> eyre::Result<ExitCode> {
    let store = &house.store;
    let tables = tables(house).await?;
    let mut findings = capture_state::inspect(store, &tables).await?;
    let mut report =
        Report { tables: tables.iter().map(told).collect(), findings: Vec::new(), statements: Vec::new(), removed: Vec::new() };
    if args.plan {
        report.statements = capture_state::repair(store, &tables, &findings);
    } else if args.apply {
        capture_state::put_right(store, &tables, &findings).await?;
        findings = capture_state::inspect(store, &tables).await?;
    } else if args.remove {
        let by = By { who: &who(), reason: args.reason.as_deref() };
        let removed = capture_state::remove(store, &tables, by).await?;
        report.removed = removed.iter().map(|trigger| format!("{}.{}", trigger.table, trigger.name)).collect();
    }
    report.findings = findings;
    if args.json {
        say_json(&report)?;
    } else {
        print(args, &report);
    }
    let is_wrong = !args.plan && !args.remove && !report.findings.is_empty();
    Ok(if is_wrong { ExitCode::from(DIFFERS) } else { ExitCode::SUCCESS })
}

/// The mapped tables, each once, as they are now. Nothing is registered.
pub(crate) async fn tables(house: &House) -> eyre::Result<Vec<Captured>> {
    let mut tables: Vec<Captured> = Vec::new();
    for spec in &house.config.streams {
        let shape = shape::load(&house.store, spec).await?;
        match tables.iter_mut().find(|table| table.shape.table == shape.table) {
            Some(table) => table.specs.push(spec.clone()),
            None => tables.push(Captured { shape, specs: vec![spec.clone()] }),
        }
    }
    Ok(tables)
}

fn told(table: &Captured) -> TableReport {
    let every = |spec: &StreamSpec| millis(spec.poll.settled_every);
    TableReport {
        table: table.shape.table.to_string(),
        streams: table.specs.iter().map(|spec| spec.name.clone()).collect(),
        can_be_captured: !table.shape.is_view,
        partitions: table.shape.partitions.iter().map(ToString::to_string).collect(),
        compared_every_ms: table.specs.iter().map(every).min().unwrap_or_default(),
    }
}

fn print(args: &CaptureArgs, report: &Report) {
    if args.plan {
        match report.statements.as_slice() {
            [] => say("-- All is as it ought to be: nothing is to be done."),
            statements => statements.iter().for_each(|statement| say(format_args!("{statement};"))),
        }
        return;
    }
    for table in &report.tables {
        let streams = table.streams.join(", ");
        let compared =
            humantime::format_duration(std::time::Duration::from_millis(u64::try_from(table.compared_every_ms).unwrap_or(0)));
        let wrong: Vec<&Finding> = report.findings.iter().filter(|finding| belongs(table, finding)).collect();
        if !table.can_be_captured {
            say(format_args!(
                "{} ({streams}): a view, which cannot be captured; its rows are compared every {compared}",
                table.table
            ));
        } else if args.remove {
            say(format_args!("{} ({streams}): no trigger any more; every row is compared every {compared} instead", table.table));
        } else if wrong.is_empty() {
            let parts = match table.partitions.len() {
                0 => String::new(),
                parts => format!(", and its {parts} partitions"),
            };
            say(format_args!("{} ({streams}): captured{parts}", table.table));
        } else {
            say(format_args!("{} ({streams}):", table.table));
            wrong.iter().for_each(|finding| say(format_args!("    {}", line(finding))));
        }
    }
    if args.remove {
        say(format_args!(
            "{} triggers were taken away. Until `tidemark capture --apply` or `tidemark migrate` puts them back, edits in the order system are sent\n\
             when a comparison finds them, and the streams say that capture is lost.",
            report.removed.len()
        ));
        return;
    }
    let elsewhere = report.findings.iter().filter(|finding| !report.tables.iter().any(|table| belongs(table, finding)));
    for finding in elsewhere {
        say(line(finding));
    }
    if !report.findings.is_empty() {
        say("`tidemark capture --apply` puts it right; --plan prints how.");
    }
}

fn belongs(table: &TableReport, finding: &Finding) -> bool {
    let place = finding.table.to_string();
    table.table == place || table.partitions.contains(&place)
}

fn line(finding: &Finding) -> String {
    format!("{}, trigger {}: {}", finding.table, finding.trigger, finding.wrong.words(finding.is_partition))
}
