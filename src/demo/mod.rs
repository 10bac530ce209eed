//! `demo`: Tidemark at work between a sample order system and a practice CRM, in one process. Decides the order of things; each thing has a file.

mod args;
mod config;
mod edits;
mod folder;
mod listing;
mod live;
mod once;
mod order_system;
mod outsider;
mod parts;
mod people;
mod report;
mod seed;
mod stage;
mod watch;

use std::process::ExitCode;

use tidemark_boot::shutdown;
use tidemark_store::overview;

pub(crate) use self::args::DemoArgs;
use self::report::{Counts, Report};
use self::stage::Stage;
use crate::verbs;

pub(crate) async fn run(args: DemoArgs) -> eyre::Result<ExitCode> {
    let mut stage = Stage::set(args, shutdown::on_signal()).await?;
    let ended = if stage.args.once { once(&mut stage).await } else { watched(&mut stage).await };
    let stopped = stage.stop_tidemark().await;
    let cleared = stage.clear().await;
    match (ended, stopped) {
        // What broke is the cause of what was not done.
        (Err(undone), Err(broken)) => Err(broken.wrap_err(undone)),
        (Err(error), Ok(())) | (Ok(_), Err(error)) => Err(error),
        (Ok(code), Ok(())) => cleared.map(|()| code),
    }
}

async fn watched(stage: &mut Stage) -> eyre::Result<ExitCode> {
    live::run(stage).await.map(|()| ExitCode::SUCCESS)
}

async fn once(stage: &mut Stage) -> eyre::Result<ExitCode> {
    let (streams, edits) = once::run(stage).await?;
    let outside = outsider::compare(&stage.system, &stage.sandbox.crm()).await?;
    let seconds = stage.printer.seconds();
    // The record of calls is complete once the workers have stopped.
    stage.stop_tidemark().await?;
    let schema = if stage.system.is_postgres() { format!("{}.", stage.house.config.database.schema) } else { String::new() };
    let retries = stage.system.number(&format!("SELECT count(*) FROM {schema}tidemark_callout WHERE attempt > 1")).await?;
    let counts = Counts {
        totals: overview::totals(&stage.house.store).await?,
        crm: stage.sandbox.crm().counters(),
        retries,
        edits,
        seconds,
    };
    listing::keep(&stage.folder, &stage.sandbox.base_url()).await?;
    let report = Report::new(&stage.args, streams, outside, &counts);
    if stage.args.json {
        verbs::say_json(&report)?;
    } else {
        report.print();
    }
    Ok(if report.agree { ExitCode::SUCCESS } else { ExitCode::from(verbs::DIFFERS) })
}
