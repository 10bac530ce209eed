//! `sweep`: owes a full comparison of one stream now, instead of when it is due.

use std::process::ExitCode;

use eyre::bail;
use tidemark_store::{acts, streams, sweeps};

use crate::compose::{House, names};
use crate::verbs::{say, who};

pub(crate) async fn run(house: &House, subject: &str) -> eyre::Result<ExitCode> {
    let Some(stream) = streams::find(&house.store, subject).await? else {
        bail!("there is no stream {subject}: the configuration has {}", names(&house.config.streams));
    };
    if stream.loaded_at.is_none() {
        bail!("{subject} was not loaded once: its first load reads everything");
    }
    if !sweeps::owe(&house.store, stream.id).await? {
        say(format_args!("A sweep of {subject} is owed or under way already: `tidemark status` says how far it is."));
        return Ok(ExitCode::SUCCESS);
    }
    acts::record(&house.store, &who(), "sweep", subject, None).await?;
    if house.config.streams.iter().any(|spec| spec.name == subject && spec.is_one_way()) {
        say(format_args!("Every row of {subject} is compared with what was told of it."));
        return Ok(ExitCode::SUCCESS);
    }
    say(format_args!(
        "A sweep of {subject} begins: every row is compared, then every record is read, with its share of the calls."
    ));
    Ok(ExitCode::SUCCESS)
}
