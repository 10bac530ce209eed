//! `pause` and `resume`: a stream or a whole connection; and the go for a new stream.

use std::process::ExitCode;

use eyre::bail;
use tidemark_store::{acts, connections, overview, streams};

use crate::compose::House;
use crate::verbs::{say, who};

pub(crate) async fn pause(house: &House, subject: &str, reason: Option<&str>) -> eyre::Result<ExitCode> {
    let reason = reason.map_or_else(|| format!("paused by {}", who()), |reason| format!("paused by {}: {reason}", who()));
    if streams::find(&house.store, subject).await?.is_some_and(|stream| stream.state == "plan_ready") {
        bail!(
            "{subject} has not started: it stands at \"plan ready\", and nothing is read or written before `tidemark resume {subject}`"
        );
    }
    let stream = streams::set_state(&house.store, subject, "paused", Some(&reason)).await?;
    if !stream && !connections::set_state(&house.store, subject, "paused", Some(&reason)).await? {
        return unknown(house, subject).await;
    }
    acts::record(&house.store, &who(), "pause", subject, Some(&reason)).await?;
    say(format_args!("{subject} is paused. `tidemark resume {subject}` lets it go on where it stood."));
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn resume(house: &House, subject: &str) -> eyre::Result<ExitCode> {
    if subject == "all" {
        let ready: Vec<_> =
            streams::list(&house.store).await?.into_iter().filter(|stream| stream.state == "plan_ready").collect();
        for stream in &ready {
            house.go(&stream.name, &who()).await?;
            say(format_args!("{} runs.", stream.name));
        }
        if ready.is_empty() {
            say("No stream stands at \"plan ready\".");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let before = streams::find(&house.store, subject).await?.map(|stream| stream.state);
    if before.as_deref() == Some("plan_ready") {
        house.go(subject, &who()).await?;
        say(format_args!("{subject} runs."));
        return Ok(ExitCode::SUCCESS);
    }
    let stream = streams::set_state(&house.store, subject, "running", None).await?;
    if !stream && !connections::set_state(&house.store, subject, "running", None).await? {
        return unknown(house, subject).await;
    }
    acts::record(&house.store, &who(), "resume", subject, None).await?;
    say(format_args!("{subject} runs."));
    let streams = overview::streams(&house.store).await?;
    let stream = streams.iter().find(|stream| stream.name == subject);
    for brake in stream.into_iter().flat_map(|stream| stream.brakes_on()) {
        say(format_args!("Its brake stays on: {}. `{}` lets them through.", brake.words(), brake.remedy(subject)));
    }
    Ok(ExitCode::SUCCESS)
}

async fn unknown(house: &House, subject: &str) -> eyre::Result<ExitCode> {
    let streams: Vec<String> = streams::list(&house.store).await?.into_iter().map(|stream| stream.name).collect();
    let connections: Vec<String> = connections::list(&house.store).await?.into_iter().map(|connection| connection.name).collect();
    bail!("there is no stream or connection {subject}; streams: {}; connections: {}", streams.join(", "), connections.join(", "))
}
