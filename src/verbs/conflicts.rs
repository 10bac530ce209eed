//! `conflicts` and `resolve`: what both sides changed and a person decides, and the person's word.

use std::process::ExitCode;

use eyre::{bail, eyre};
use serde::Serialize;
use tidemark_core::conflict::Side;
use tidemark_core::record::RowKey;
use tidemark_core::spec::StreamSpec;
use tidemark_store::acts::By;
use tidemark_store::conflicts::Which;
use tidemark_store::overview::{self, ConflictLine};
use tidemark_store::{conflicts, streams};

use crate::cli::ResolveArgs;
use crate::compose::{House, names};
use crate::verbs::{say, say_json, time, who};

/// Pairs that are listed at most.
const LISTED_MAX: u32 = 1_000;

#[derive(Serialize)]
struct Report {
    conflicts: Vec<ConflictLine>,
}

pub(crate) async fn list(house: &House, stream: Option<&str>, json: bool) -> eyre::Result<ExitCode> {
    let specs: Vec<&StreamSpec> = match stream {
        Some(name) => vec![spec(house, name)?],
        None => house.config.streams.iter().collect(),
    };
    let lines = overview::conflicts(&house.store, &specs, LISTED_MAX, 0).await?;
    if json {
        say_json(&Report { conflicts: lines })?;
        return Ok(ExitCode::SUCCESS);
    }
    for line in &lines {
        print(line);
    }
    let all: i64 = overview::streams(&house.store).await?.iter().map(|stream| stream.open_conflicts).sum();
    match lines.len() {
        0 => say("Nothing waits for a decision."),
        _ if all > i64::from(LISTED_MAX) && stream.is_none() => {
            say(format_args!("… {all} pairs wait for a decision in all; `--json` and the dashboard list them too."));
        }
        _ => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn print(line: &ConflictLine) {
    let shown = |value: &Option<String>| value.as_ref().map_or_else(|| "blank".to_owned(), |text| format!("{text:?}"));
    let row = line.row.as_deref().unwrap_or("none");
    say(format_args!("{}  row {row} ↔ record {}  {}", line.stream, line.record.as_deref().unwrap_or("none"), line.field));
    let agreed = match (line.met, line.agreed_row == line.agreed_record) {
        (false, _) => "never: the two sides had not met".to_owned(),
        (true, true) => shown(&line.agreed_row),
        (true, false) => format!("{} ↔ {}", shown(&line.agreed_row), shown(&line.agreed_record)),
    };
    say(format_args!("    agreed   {agreed}"));
    say(format_args!("    row      {}", shown(&line.row_value)));
    say(format_args!("    record   {}", shown(&line.record_value)));
    say(format_args!("    since    {}, {}", time(line.since), line.reason));
    say(format_args!("    decide   tidemark resolve {} {row} {} --take {}", line.stream, line.field, line.take.join("|")));
}

pub(crate) async fn resolve(house: &House, args: &ResolveArgs) -> eyre::Result<ExitCode> {
    let spec = spec(house, &args.stream)?;
    let stream = streams::find(&house.store, &spec.name).await?;
    let stream = stream.ok_or_else(|| eyre!("{} is not registered yet: run `tidemark migrate`", spec.name))?.id;
    let take = if args.take == "orders" { Side::Orders } else { Side::Crm };
    let name = who();
    let by = By { who: &name, reason: args.reason.as_deref() };
    let done = match (&args.row, &args.field, &args.all) {
        (Some(row), Some(field), None) => {
            let which = Which::Row(RowKey::new(row.as_str()));
            conflicts::resolve(&house.store, stream, spec, &which, place(spec, field)?, take, by).await?.map(|()| 1)
        }
        (None, None, Some(field)) => conflicts::resolve_all(&house.store, stream, spec, place(spec, field)?, take, by).await?,
        _ => bail!("name ROW and FIELD, or `--all FIELD`; `tidemark conflicts {}` lists them", spec.name),
    };
    let value = whose(take);
    match done {
        Ok(1) => say(format_args!("Decided: the {value} value stands. It is carried over by the next {}.", carrier(take))),
        Ok(rows) => say(format_args!("Decided in {rows} rows: the {value} value stands in each.")),
        Err(why) => bail!("{}: {why}", spec.name),
    }
    Ok(ExitCode::SUCCESS)
}

fn whose(take: Side) -> &'static str {
    match take {
        Side::Orders => "order database's",
        Side::Crm => "CRM's",
    }
}

fn carrier(take: Side) -> &'static str {
    match take {
        Side::Orders => "push",
        Side::Crm => "read",
    }
}

fn spec<'a>(house: &'a House, name: &str) -> eyre::Result<&'a StreamSpec> {
    let spec = house.config.streams.iter().find(|spec| spec.name == name);
    spec.ok_or_else(|| eyre!("there is no stream {name}: the configuration has {}", names(&house.config.streams)))
}

/// A field by its property, or by its column where no property is called so.
fn place(spec: &StreamSpec, name: &str) -> eyre::Result<usize> {
    let by_column = || spec.fields.iter().position(|field| field.column == name);
    let found = spec.field(name).map(|(at, _)| at).or_else(by_column);
    let known = || spec.fields.iter().map(|field| field.property.as_str()).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| eyre!("{} maps no field {name}: it has {}", spec.name, known()))
}
