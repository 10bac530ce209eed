//! A run that ends by itself: edits beside the first load, then none, then waits until both sides agree.

use std::time::{Duration, Instant};

use eyre::bail;
use tidemark_worker::agree::StreamReport;

use super::edits::{Editors, Pace};
use super::report::Edits;
use super::stage::Stage;
use super::watch::{Colour, count};
use crate::compose;

/// How long the edits may last, whatever the load does.
const EDITS_MAX: Duration = Duration::from_secs(120);
/// How long the edits go on after the first load.
const EDITS_AFTER_LOAD: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Between two comparisons, growing.
const COMPARE_AGAIN: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

pub(crate) async fn run(stage: &mut Stage) -> eyre::Result<(Vec<StreamReport>, Edits)> {
    let edits = edit(stage).await?;
    let (orders, crm) = (edits.orders, edits.crm);
    stage.printer.line(
        Colour::Plain,
        format_args!("the edits stop: {} in the order system, {crm} in the CRM", count(i64::try_from(orders)?, "edit")),
    );
    let streams = settle(stage).await?;
    Ok((streams, edits))
}

/// Edits beside the first load and a little longer: about a quarter as many on each side as there are records.
async fn edit(stage: &mut Stage) -> eyre::Result<Edits> {
    let wanted = u64::from(stage.args.records / 4).max(1);
    let load_secs = f64::from(stage.args.records).mul_add(0.015, 3.0);
    let every = Duration::from_secs_f64(load_secs / wanted as f64);
    let pace = Pace { every, seed: stage.planted.edits_seed };
    let crm_only = std::mem::take(&mut stage.planted.crm_only);
    let editors = Editors::start(&pace, &stage.system, &stage.sandbox.crm(), crm_only, &stage.shutdown);
    let (started, mut loaded_at) = (Instant::now(), None);
    loop {
        look_out(stage, LOOK_EVERY).await?;
        if loaded_at.is_none() && compose::quiet(&stage.house).await?.unloaded == 0 {
            loaded_at = Some(Instant::now());
            stage.printer.line(Colour::Good, "the first load is done");
        }
        let (orders, crm) = editors.tally.counts();
        let enough = orders.min(crm) >= wanted && loaded_at.is_some_and(|at: Instant| at.elapsed() >= EDITS_AFTER_LOAD);
        if enough || editors.has_failed() || started.elapsed() >= EDITS_MAX {
            break;
        }
    }
    let (orders, crm) = editors.stop().await?.counts();
    Ok(Edits { orders, crm })
}

/// Waits until nothing is on its way, and compares; what still differs then has until the end of our patience.
async fn settle(stage: &mut Stage) -> eyre::Result<Vec<StreamReport>> {
    let crm = stage.sandbox.crm();
    let deadline = Instant::now() + stage.args.patience;
    let (mut writes, mut last_write) = (0, chrono::Utc::now().timestamp_millis());
    let mut waits = COMPARE_AGAIN.into_iter().chain(std::iter::repeat(COMPARE_AGAIN[3]));
    loop {
        let over = Instant::now() >= deadline;
        let counters = crm.counters();
        if counters.writes != writes || counters.landings_pending > 0 {
            (writes, last_write) = (counters.writes, chrono::Utc::now().timestamp_millis());
        }
        let quiet = compose::quiet(&stage.house).await?;
        if !over && !quiet.is_quiet_since(last_write) {
            look_out(stage, LOOK_EVERY).await?;
            continue;
        }
        match compose::agree(&stage.house, &[]).await {
            Ok(streams) if over || streams.iter().all(|stream| stream.differ == 0) => return Ok(streams),
            Ok(streams) => {
                let differ: usize = streams.iter().map(|stream| stream.differ).sum();
                stage
                    .printer
                    .line(Colour::Later, format_args!("{} left, looking again", count(i64::try_from(differ)?, "difference")));
            }
            Err(error) if over => return Err(error),
            Err(error) => stage.printer.line(Colour::Later, format_args!("not compared yet: {error:#}")),
        }
        look_out(stage, waits.next().unwrap_or(LOOK_EVERY)).await?;
    }
}

/// A run that is to stop early has nothing to report.
async fn look_out(stage: &mut Stage, wait: Duration) -> eyre::Result<()> {
    if stage.look_out(wait).await? { Ok(()) } else { bail!("stopped before the end") }
}
