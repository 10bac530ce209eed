//! `erase`: a person is removed on both sides and from everything that is kept of them; with `--plan` it is only said what that takes.

use std::process::ExitCode;

use eyre::{WrapErr, bail, eyre};
use serde::Serialize;
use tidemark_core::record::{RemoteId, RowKey};
use tidemark_store::acts::By;
use tidemark_store::erasure::{self, Target};
use tidemark_worker::erase;

use crate::cli::EraseArgs;
use crate::compose::{House, names};
use crate::verbs::{DIFFERS, say, say_json, who};

#[derive(Serialize)]
struct Report {
    things: Vec<Thing>,
    /// It was begun: the row and what was kept is gone.
    erased: bool,
    /// Records that are not gone yet, and why.
    waiting: Vec<erasure::Erasure>,
}

#[derive(Serialize)]
struct Thing {
    stream: String,
    table: String,
    row: Option<String>,
    /// The row is there, and is deleted.
    row_is_there: bool,
    record: Option<String>,
    /// A one-way stream has told of it, or may have: there is no record, and nothing can be called back.
    told: bool,
    linked: bool,
    /// How many match keys are known again.
    match_keys: usize,
    /// The record is deleted so that nothing brings it back, rather than archived.
    for_good: bool,
    /// What the CRM keeps of a record that was archived.
    crm_keeps: Option<String>,
}

pub(crate) async fn run(house: &House, args: &EraseArgs) -> eyre::Result<ExitCode> {
    let ctx = house.context().await?;
    let mapped = ctx.streams().find(|mapped| mapped.spec.name == args.stream);
    let mapped = mapped
        .ok_or_else(|| eyre!("there is no stream {}: the configuration has {}", args.stream, names(&house.config.streams)))?;
    let (row, record) = (args.row.as_deref().map(RowKey::new), args.record.as_deref().map(RemoteId::new));
    let targets = erase::look(&ctx, mapped, row.as_ref(), record.as_ref()).await?;
    let mut targets = targets.map_err(|words| eyre!("the record could not be looked at, and nothing was changed: {words}"))?;
    let known = |target: &Target<'_>| target.row.is_some() || target.link.is_some() || !target.keys.is_empty();
    if !targets.iter().any(known) {
        let thing = args.row.as_ref().map_or_else(|| "record".to_owned(), |_| format!("row of {}", mapped.shape.table));
        let id = args.row.as_deref().or(args.record.as_deref()).unwrap_or_default();
        bail!("there is no {thing} {id}, and {} never knew of one", args.stream);
    }
    if args.for_good {
        for target in targets.iter_mut().filter(|target| target.remote_id.is_some()) {
            target.for_good = erase::can_erase(&ctx, target.mapped)?;
        }
        let has_record = |target: &Target<'_>| target.remote_id.is_some() && !target.mapped.spec.is_one_way();
        if targets.iter().any(has_record) && !targets.iter().any(|target| target.for_good) {
            bail!(
                "no CRM of these streams deletes {} for good, and nothing was changed: without --for-good its record is archived",
                mapped.spec.object
            );
        }
    }
    let things = targets.iter().map(|target| thing(house, target)).collect::<eyre::Result<Vec<_>>>()?;
    let mut report = Report { things, erased: false, waiting: Vec::new() };
    if !args.plan {
        let by = By { who: &who(), reason: args.reason.as_deref() };
        erasure::erase(&house.store, &targets, by).await.wrap_err("nothing was changed")?;
        for target in &targets {
            erase::carry_on(&ctx, target.mapped).await?;
        }
        report.erased = true;
        let mine = |one: &erasure::Erasure| {
            one.state == "begun"
                && targets.iter().any(|target| {
                    target.mapped.spec.name == one.stream
                        && target.remote_id.as_ref().map(RemoteId::as_str) == one.record.as_deref()
                })
        };
        report.waiting = erasure::open(&house.store).await?.into_iter().filter(mine).collect();
    }
    if args.json {
        say_json(&report)?;
    } else {
        print(&report, args.plan);
    }
    Ok(if report.waiting.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERS) })
}

fn thing(house: &House, target: &Target<'_>) -> eyre::Result<Thing> {
    let spec = &target.mapped.spec;
    let connections = house.connections()?;
    let connection = connections.iter().find(|connection| connection.spec.name == spec.connection);
    let one_way = spec.is_one_way();
    let unheard = target.link.as_ref().is_some_and(|link| !link.view.ghosts.is_empty());
    Ok(Thing {
        stream: spec.name.clone(),
        table: target.mapped.shape.table.to_string(),
        row: target.row_key.as_ref().map(|key| key.0.clone()),
        row_is_there: target.row.is_some(),
        record: target.remote_id.as_ref().filter(|_| !one_way).map(|id| id.0.clone()),
        told: one_way && (target.remote_id.is_some() || unheard),
        linked: target.link.is_some(),
        match_keys: target.keys.len(),
        for_good: target.for_good,
        crm_keeps: connection
            .filter(|_| !target.for_good)
            .and_then(|connection| connection.crm.archive_leaves().map(str::to_owned)),
    })
}

fn print(report: &Report, plan: bool) {
    let (is, was) = if plan { ("is", "are") } else { ("was", "were") };
    for (at, thing) in report.things.iter().enumerate() {
        match (&thing.row, thing.row_is_there) {
            (Some(row), true) if at == 0 => say(format_args!("row {row} of {} {is} deleted", thing.table)),
            (Some(row), false) => say(format_args!("row {row} of {} is gone already", thing.table)),
            _ => {}
        }
        let waiting = report.waiting.iter().find(|one| one.stream == thing.stream);
        match (&thing.record, waiting) {
            (Some(record), Some(waiting)) => say(format_args!(
                "record {record} of {} is still there: {}; a worker goes on, and `tidemark status` says so until it is gone",
                thing.stream,
                waiting.cause.as_deref().unwrap_or("it waits for its turn, or the stream or connection is paused")
            )),
            (Some(record), None) if thing.for_good => {
                say(format_args!("record {record} of {} {is} deleted for good", thing.stream));
            }
            (Some(record), None) => say(format_args!("record {record} of {} {is} archived", thing.stream)),
            (None, _) if thing.told => {
                say(format_args!("{} has told of it, and nothing of that can be called back", thing.stream));
            }
            (None, _) => say(format_args!("{} has no record of it", thing.stream)),
        }
        if let Some(keeps) = thing.crm_keeps.as_ref().filter(|_| thing.told || thing.record.is_some()) {
            say(format_args!("    {keeps}"));
        }
        let keys = match thing.match_keys {
            0 => "the ids alone: no match key is known".to_owned(),
            1 => "the ids, and a keyed digest of 1 match key".to_owned(),
            keys => format!("the ids, and keyed digests of {keys} match keys"),
        };
        say(format_args!(
            "    lineage, what was agreed and what was said of calls {was} forgotten; kept, so that it does not come back: {keys}"
        ));
    }
    if plan {
        say("Nothing was changed. The same without --plan does it.");
    }
}
