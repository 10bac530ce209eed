//! `up`, `scheduler`, `worker`: run until told to stop, then drain.

use std::process::ExitCode;

use tidemark_boot::{Config, LogFormat, shutdown};
use tidemark_store::streams;

use crate::compose::{House, Roles, start, stop_deadline};
use crate::verbs::{log, say};

pub(crate) async fn run(config: Config, roles: Roles) -> eyre::Result<ExitCode> {
    let _log = log(&config)?;
    let house = House::open(config).await?;
    let stop = shutdown::on_signal();
    let running = start(&house, roles, None, stop.clone()).await?;
    // Beside JSON lines on a collector a plain line is noise; the log names the address too.
    let plain = house.config.log.format == LogFormat::Text;
    if let Some(address) = running.dashboard.filter(|_| plain) {
        say(format_args!("dashboard  http://{address}/"));
    }
    let streams = streams::list(&house.store).await?;
    for stream in streams.iter().filter(|stream| plain && stream.state == "plan_ready") {
        say(format_args!(
            "{0} stands at \"plan ready\": look at its plan on the dashboard or in `tidemark status`, then `tidemark resume {0}`",
            stream.name
        ));
    }
    running.join(stop_deadline(&house)).await?;
    house.store.close().await?;
    Ok(ExitCode::SUCCESS)
}
