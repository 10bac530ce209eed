//! `calls`: the latest calls to the CRMs, one of them with what was kept of it, and the recordings that keep it.

use std::process::ExitCode;
use std::time::Duration;

use eyre::{bail, eyre};
use serde::Serialize;
use tidemark_core::recording::{Tape, length};
use tidemark_store::acts::By;
use tidemark_store::overview::{self, CalloutFilter, CalloutLine};
use tidemark_store::recordings::{self, Recording};

use crate::cli::CallsArgs;
use crate::compose::House;
use crate::verbs::{say, say_json, time, who};

/// Long enough for a fault to come again, short enough to be forgotten.
const FOR: Duration = Duration::from_secs(15 * 60);

#[derive(Serialize)]
struct Listing {
    recordings: Vec<Recording>,
    calls: Vec<CalloutLine>,
}

#[derive(Serialize)]
struct One {
    #[serde(flatten)]
    call: CalloutLine,
    request: Option<String>,
    response: Option<String>,
}

pub(crate) async fn run(house: &House, args: &CallsArgs) -> eyre::Result<ExitCode> {
    let known: Vec<&str> = house.config.connections.iter().map(|(spec, _)| spec.name.as_str()).collect();
    if let Some(name) = args.connection.as_deref().filter(|name| !known.contains(name)) {
        bail!("there is no connection {name}: the configuration has {}", known.join(", "));
    }
    match (args.show, args.connection.as_deref()) {
        (Some(id), _) => show(house, id, args.json).await?,
        (None, Some(connection)) if args.record => record(house, connection, args).await?,
        (None, Some(connection)) if args.stop => stop(house, connection, args).await?,
        (None, connection) => list(house, connection, args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn record(house: &House, connection: &str, args: &CallsArgs) -> eyre::Result<()> {
    let length = length(args.length.unwrap_or(FOR))?;
    let by = By { who: &who(), reason: args.reason.as_deref() };
    if !recordings::start(&house.store, connection, length, by).await? {
        bail!("{connection} is not registered yet: run `tidemark migrate`");
    }
    let running = recordings::running(&house.store).await?;
    let recording = running.iter().find(|one| one.connection == connection);
    let recording = recording.ok_or_else(|| eyre!("the recording of {connection} was stopped by somebody else at once"))?;
    if args.json {
        return say_json(recording);
    }
    say(says(recording));
    say("Values are replaced by their kind and length. `tidemark calls` lists the calls; what is kept goes within a day.");
    Ok(())
}

fn says(recording: &Recording) -> String {
    format!(
        "{}: each call keeps its request and response until {}, {} at most. `tidemark calls {} --stop` ends it.",
        recording.connection,
        time(recording.until),
        recording.left,
        recording.connection
    )
}

async fn stop(house: &House, connection: &str, args: &CallsArgs) -> eyre::Result<()> {
    let by = By { who: &who(), reason: args.reason.as_deref() };
    let ran = recordings::stop(&house.store, connection, by).await?;
    if args.json {
        return say_json(&serde_json::json!({ "stopped": ran }));
    }
    match ran {
        true => say(format_args!("{connection}: nothing more is kept. What was kept can be looked at for a day.")),
        false => say(format_args!("{connection}: no recording runs.")),
    }
    Ok(())
}

async fn list(house: &House, connection: Option<&str>, args: &CallsArgs) -> eyre::Result<()> {
    let filter = CalloutFilter { connection: connection.map(str::to_owned), failed: args.failed, ..CalloutFilter::default() };
    let recordings = recordings::running(&house.store).await?;
    let recordings = recordings.into_iter().filter(|one| connection.is_none_or(|name| name == one.connection)).collect();
    let listing = Listing { recordings, calls: overview::callouts(&house.store, &filter, args.limit).await? };
    if args.json {
        return say_json(&listing);
    }
    for recording in &listing.recordings {
        say(says(recording));
    }
    for call in &listing.calls {
        say(line(call));
    }
    if listing.calls.is_empty() {
        say("No such call was made.");
    }
    Ok(())
}

fn line(call: &CalloutLine) -> String {
    let of = call.stream.as_ref().unwrap_or(&call.connection);
    let kept = if call.taped { "  recorded" } else { "" };
    format!(
        "{:>8}  {}  {of}  {} #{}  {} {}  {}  {} ms{kept}",
        call.id,
        time(call.at),
        call.purpose,
        call.attempt,
        call.method,
        call.endpoint,
        answer(call),
        call.elapsed_ms
    )
}

fn answer(call: &CalloutLine) -> String {
    let status = call.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    call.class.as_ref().map_or_else(|| status.clone(), |class| format!("{status} {class}"))
}

async fn show(house: &House, id: i64, json: bool) -> eyre::Result<()> {
    let call = overview::find_callout(&house.store, id).await?;
    let call =
        call.ok_or_else(|| eyre!("there is no call {id}, or it is older than retention.callouts: `tidemark calls` lists them"))?;
    let tape = recordings::tape(&house.store, id).await?;
    if json {
        let (request, response) = tape.map_or((None, None), |tape| (Some(tape.request), tape.response));
        return say_json(&One { call, request, response });
    }
    say(line(&call));
    if let Some(message) = &call.message {
        say(format_args!("          {message}"));
    }
    let Some(Tape { request, response }) = tape else {
        say(format_args!(
            "Its request and response were not kept. `tidemark calls {} --record` keeps them of the calls from now on.",
            call.connection
        ));
        return Ok(());
    };
    say(format_args!("\n{}", request.trim_end()));
    say(format_args!("\n{}", response.as_deref().unwrap_or("nothing was heard").trim_end()));
    Ok(())
}
