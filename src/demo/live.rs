//! A run to watch: both sides are edited about once a second until Ctrl-C.

use std::time::Duration;

use super::config;
use super::edits::{Editors, Pace};
use super::stage::Stage;
use super::watch::Colour;
use crate::compose;

const EDIT_EVERY: Duration = Duration::from_millis(1_200);
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub(crate) async fn run(stage: &mut Stage) -> eyre::Result<()> {
    greet(stage);
    let pace = Pace { every: EDIT_EVERY, seed: stage.planted.edits_seed };
    let crm_only = std::mem::take(&mut stage.planted.crm_only);
    let editors = Editors::start(&pace, &stage.system, &stage.sandbox.crm(), crm_only, &stage.shutdown);
    let watched = watch(stage, &editors).await;
    let tally = editors.stop().await;
    watched?;
    let (orders, crm) = tally?.counts();
    stage.printer.line(Colour::Plain, format_args!("stopping after {orders} edits in the order system and {crm} in the CRM"));
    Ok(())
}

/// Until it is to stop; whatever fails ends it.
async fn watch(stage: &mut Stage, editors: &Editors) -> eyre::Result<()> {
    let mut loading = true;
    while !editors.has_failed() && stage.look_out(LOOK_EVERY).await? {
        if loading && compose::quiet(&stage.house).await?.unloaded == 0 {
            loading = false;
            stage.printer.line(Colour::Good, "the first load is done; people go on editing both sides, Ctrl-C ends it");
        }
    }
    Ok(())
}

fn greet(stage: &Stage) {
    let printer = stage.printer;
    if let Some(dashboard) = stage.dashboard {
        printer.plain(format_args!("Dashboard     http://{dashboard}"));
    }
    printer.plain(format_args!("Practice CRM  {}/sandbox  (edit records, change the weather)", stage.sandbox.base_url()));
    let file = stage.folder.config();
    printer.plain(format_args!("Configuration {}", file.display()));
    let (name, token) = config::TOKEN;
    printer.plain(format_args!("Compare       {name}={token} tidemark agree --config {}", file.display()));
    printer.plain("");
}
