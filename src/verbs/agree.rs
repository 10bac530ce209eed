//! `agree`: both sides of every stream, field by field.

use std::process::ExitCode;

use serde::Serialize;
use tidemark_worker::agree::StreamReport;

use crate::compose::{self, House};
use crate::verbs::{DIFFERS, say, say_json};

#[derive(Serialize)]
struct Report<'a> {
    agree: bool,
    streams: &'a [StreamReport],
}

pub(crate) async fn run(house: &House, only: &[String], json: bool) -> eyre::Result<ExitCode> {
    let streams = compose::agree(house, only).await?;
    let agree = streams.iter().all(|stream| stream.differ == 0);
    if json {
        say_json(&Report { agree, streams: &streams })?;
    } else {
        for stream in &streams {
            print(stream);
        }
        say(if agree { "Both sides agree." } else { "The sides differ." });
    }
    Ok(if agree { ExitCode::SUCCESS } else { ExitCode::from(DIFFERS) })
}

fn print(stream: &StreamReport) {
    say(format_args!(
        "{}: {} pairs, {} fields agree, {} decided to differ, {} differ",
        stream.stream, stream.pairs, stream.agree, stream.decided, stream.differ
    ));
    let mut reasons: Vec<_> = stream.decided_reasons.iter().collect();
    reasons.sort();
    for (reason, count) in reasons {
        say(format_args!("    decided  {count:>6}  {reason}"));
    }
    for one in &stream.differences {
        let thing = match (&one.row, &one.record) {
            (Some(row), Some(record)) => format!("row {row} ↔ record {record}"),
            (Some(row), None) => format!("row {row}"),
            (None, Some(record)) => format!("record {record}"),
            (None, None) => String::new(),
        };
        let field = one.field.as_ref().map(|field| {
            format!(" {field}: {:?} ↔ {:?}", one.row_value.as_deref().unwrap_or(""), one.record_value.as_deref().unwrap_or(""))
        });
        say(format_args!("    differs  {thing}{}  ({})", field.unwrap_or_default(), one.reason));
    }
    if stream.differ > stream.differences.len() {
        say(format_args!("    … and {} more", stream.differ - stream.differences.len()));
    }
}
