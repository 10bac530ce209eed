//! `match`: what the first meeting of a stream would come to, before anything is written; a trial on a few things; and the go.

use std::process::ExitCode;

use eyre::{WrapErr, bail, eyre};
use serde::Serialize;
use tidemark_store::{acts, streams};
use tidemark_worker::first_meeting::{MatchReport, Tried, rehearse, try_out};

use crate::compose::{self, House};
use crate::verbs::{DIFFERS, say, say_json, who};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) apply: bool,
    pub(crate) only: Option<usize>,
    pub(crate) json: bool,
}

#[derive(Serialize)]
struct Said<'a> {
    #[serde(flatten)]
    report: &'a MatchReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    tried: Option<&'a [Tried]>,
    /// The stream was let go.
    went: bool,
}

pub(crate) async fn run(house: &House, stream: &str, options: Options) -> eyre::Result<ExitCode> {
    let Some(state) = streams::find(&house.store, stream).await?.map(|known| known.state) else {
        bail!("there is no stream {stream}: the configuration has {}", compose::names(&house.config.streams));
    };
    if options.apply && state != "plan_ready" {
        bail!("{stream} has met its CRM already (it is {state}): `tidemark agree {stream}` compares what is there");
    }
    if house.config.streams.iter().any(|spec| spec.name == stream && spec.is_one_way()) {
        bail!(
            "{stream} is only sent to and meets nobody: `tidemark status` shows what its go sets in motion, `tidemark resume {stream}` is the go"
        );
    }
    let ctx = house.context().await?;
    let mapped = ctx.streams().find(|mapped| mapped.spec.name == stream);
    let mapped = mapped.ok_or_else(|| eyre!("stream {stream} is not in the configuration"))?;
    let (report, chosen) = rehearse(&ctx, mapped, options.only.unwrap_or(0))
        .await
        .wrap_err_with(|| format!("the two sides of {stream} could not be looked through"))?;
    let mut tried = None;
    let mut went = false;
    match options.only {
        Some(_) if options.apply => {
            acts::record(&house.store, &who(), "try", stream, Some(&format!("{} things", chosen.len()))).await?;
            tried = Some(try_out(&ctx, mapped, &chosen).await.wrap_err("the trial stopped; what it wrote stays linked")?);
        }
        None if options.apply => {
            house.go(stream, &who()).await?;
            went = true;
        }
        _ => {}
    }
    if options.json {
        say_json(&Said { report: &report, tried: tried.as_deref(), went })?;
    } else {
        print(&report);
        print_tried(stream, tried.as_deref());
        print_next(stream, &state, went, tried.is_some());
    }
    let waits = tried.iter().flatten().any(|one| !one.linked);
    Ok(if report.tally.is_clear() && !waits { ExitCode::SUCCESS } else { ExitCode::from(DIFFERS) })
}

fn print(report: &MatchReport) {
    let tally = &report.tally;
    say(format_args!("{}: {} records in the CRM, {} rows in the order database", report.stream, tally.records, tally.rows));
    let line = |count: usize, what: &str| {
        if count > 0 {
            say(format_args!("  {count:>9}  {what}"));
        }
    };
    line(tally.linked, "linked already");
    line(tally.matched_by_key, "pairs, told by our own key in the record");
    line(tally.matched, "pairs, told by match_on");
    line(tally.new_rows, "records become rows");
    line(tally.new_records, "rows become records");
    for (reason, count) in &tally.excluded {
        line(*count, &format!("left alone: {reason}"));
    }
    line(tally.ambiguous, "AMBIGUOUS: parked until a person has put it right");
    line(tally.invalid, "INVALID: parked until it is corrected");
    line(tally.twins, "TWINS among the new ones: two of one, perhaps");
    line(tally.undecided, "held by somebody just now");
    say(format_args!(
        "Of the pairs: {} rows take a value, {} records are owed one, {} fields wait for a person's decision.",
        tally.rows_changed, tally.records_changed, tally.conflicts
    ));
    say(format_args!("It takes {} calls at least.", report.calls_at_least));
    for case in &tally.cases {
        let thing = match (&case.record, &case.row) {
            (Some(record), Some(row)) => format!("record {record}, row {row}"),
            (Some(record), None) => format!("record {record}"),
            (None, Some(row)) => format!("row {row}"),
            (None, None) => String::new(),
        };
        say(format_args!("    {:<9}  {thing}: {}", case.kind, case.reason));
    }
    let listed = tally.ambiguous + tally.invalid + tally.twins + tally.undecided;
    if listed > tally.cases.len() {
        say(format_args!("    … and {} more", listed - tally.cases.len()));
    }
}

fn print_tried(stream: &str, tried: Option<&[Tried]>) {
    let Some(tried) = tried else { return };
    say(format_args!("Tried out on {}:", tried.len()));
    for one in tried {
        let side = |what: &str, id: Option<&str>| id.map_or_else(|| format!("no {what} yet"), |id| format!("{what} {id}"));
        let (row, record) = (one.row.as_ref().map(|key| key.as_str()), one.record.as_ref().map(|id| id.as_str()));
        let ended = match (&one.waits, one.linked) {
            (Some(cause), _) => format!("waits: {cause}"),
            (None, true) => "linked".to_owned(),
            (None, false) => "not linked".to_owned(),
        };
        say(format_args!("    {} ↔ {}  {ended}", side("row", row), side("record", record)));
    }
    say(format_args!("`tidemark why {stream} row:KEY` tells what each field became, and why."));
}

fn print_next(stream: &str, state: &str, went: bool, tried: bool) {
    if went {
        say(format_args!("{stream} runs."));
    } else if tried {
        say(format_args!("Nothing else was touched. `tidemark match {stream} --apply` lets the rest go."));
    } else if state == "plan_ready" {
        say(format_args!(
            "Nothing was written. `tidemark match {stream} --apply --only 50` tries it out on fifty, `--apply` lets all go."
        ));
    } else {
        say("Nothing was written.");
    }
}
