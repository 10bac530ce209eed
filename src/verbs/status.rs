//! `status`: how each stream stands, in words or as JSON; `--ping` for health checks.

use std::process::ExitCode;

use serde::Serialize;
use tidemark_core::arrival::Report;
use tidemark_core::hook::Existing;
use tidemark_core::spec::{DeletePolicy, Inbound, StreamSpec};
use tidemark_core::window::Reader;
use tidemark_store::erasure::{self, Erasure};
use tidemark_store::overview::{self, StreamOverview};

use crate::compose::House;
use crate::verbs::{say, say_json};

#[derive(Serialize)]
struct Status {
    streams: Vec<StreamStatus>,
    workers: Vec<overview::WorkerRow>,
    /// People who were erased and whose record is still there, or shows again.
    erasures: Vec<Erasure>,
}

#[derive(Serialize)]
struct StreamStatus {
    #[serde(flatten)]
    overview: StreamOverview,
    /// What the week's arrivals say about `poll.lag`; `null` before any was counted.
    arrival: Option<Report>,
}

pub(crate) async fn run(house: &House, json: bool) -> eyre::Result<ExitCode> {
    let status_of = |overview: StreamOverview| {
        let spec = house.config.streams.iter().find(|spec| spec.name == overview.name);
        let arrival = spec.and_then(|spec| overview.arrivals.report(Reader::Fast.lag(&spec.poll)));
        StreamStatus { overview, arrival }
    };
    let streams = overview::streams(&house.store).await?.into_iter().map(status_of).collect();
    let status =
        Status { streams, workers: overview::workers(&house.store).await?, erasures: erasure::open(&house.store).await? };
    if json {
        say_json(&status)?;
        return Ok(ExitCode::SUCCESS);
    }
    for StreamStatus { overview: stream, arrival } in &status.streams {
        print(stream);
        if let Some(report) = arrival {
            say(format_args!("    arrival     {}", arrived(report)));
        }
        if stream.state == "plan_ready"
            && let Some(spec) = house.config.streams.iter().find(|spec| spec.name == stream.name)
        {
            print_plan(spec);
        }
    }
    status.erasures.iter().for_each(print_erasure);
    if status.streams.is_empty() {
        say("No stream is registered yet: run `tidemark migrate`.");
    }
    let alive = status.workers.iter().filter(|worker| worker.alive).count();
    say(format_args!("{alive} processes alive"));
    Ok(ExitCode::SUCCESS)
}

/// The database and the queue answer. A queue file is not asked: it is this installation's own, and a health check writes nothing.
pub(crate) async fn answer(house: &House) -> eyre::Result<ExitCode> {
    house.store.now().await?;
    if let tidemark_boot::QueueUrl::Redis(_) = house.config.queue.url {
        house.probe_queue().await?;
    }
    say("database and queue answer");
    Ok(ExitCode::SUCCESS)
}

/// What a new stream will do once someone says go.
fn print_plan(spec: &StreamSpec) {
    let (rows, records) = (spec.direction.writes_rows(), spec.direction.writes_records());
    let inserts = rows && spec.inbound == Inbound::Full;
    let yes = |does: bool| if does { "yes" } else { "no" };
    if let Some(hook) = &spec.hook {
        let existing = match hook.existing {
            Existing::Taken => "the rows that are there count as told",
            Existing::Send => "the rows that are there are told, too",
        };
        let deletes = if spec.deletes.outbound == DeletePolicy::Tell { "told" } else { "not told" };
        say(format_args!("    plan        reads nothing   {existing}   changes are told   deletes are {deletes}"));
    } else {
        say(format_args!(
            "    plan        makes rows: {}   changes rows: {}   makes and changes records: {}",
            yes(inserts),
            yes(rows),
            yes(records)
        ));
    }
    for field in &spec.fields {
        say(format_args!("                {:<20} ↔ {:<20} owner {}", field.property, field.column, field.owner.words()));
    }
    say(format_args!("    go          tidemark resume {}", spec.name));
}

fn print(stream: &StreamOverview) {
    let state = match (stream.connection_state.as_str(), stream.state.as_str()) {
        ("running", state) => state,
        (connection, _) => connection,
    };
    let never = if stream.one_way { "rows not looked at yet" } else { "not read yet" };
    let fresh = stream.fresh_at.map_or_else(|| never.to_owned(), |at| format!("fresh {} s ago", (stream.now - at) / 1_000));
    let sign = if stream.one_way { "←" } else { "↔" };
    say(format_args!("{}  {} {sign} {}  {state}, {fresh}", stream.name, stream.object, stream.table_name));
    if let Some(reason) = stream.connection_reason.as_ref().or(stream.reason.as_ref()) {
        say(format_args!("    because   {reason}"));
    }
    if stream.one_way {
        let (owed, parked) = (stream.owed_pushes, stream.parked);
        say(format_args!(
            "    rows known {}   to be told {owed}   failed before {}   parked {parked}",
            stream.links, stream.retrying
        ));
    } else {
        say(format_args!(
            "    linked {}   owed out {}   owed reads {}   parked {}   wait for a parent {}   conflicts to decide {}",
            stream.links, stream.owed_pushes, stream.owed_reads, stream.parked, stream.waiting_for_parent, stream.open_conflicts
        ));
    }
    if let Some(rewind) = &stream.rewound {
        say(format_args!("    rewound     {} min ago {}", (stream.now - rewind.at) / 60_000, rewind.words()));
    }
    if let Some(why) = stream.held_at.and(stream.held_why.as_ref()) {
        say(format_args!("    held        nothing is sent: {why}: look at `tidemark environment`"));
    }
    if let Some(deaf) = stream.deaf() {
        say(format_args!("    capture     {deaf}: run `tidemark migrate`"));
    }
    for brake in stream.brakes_on() {
        say(format_args!("    brake       {}: `{}` lets them through", brake.words(), brake.remedy(&stream.name)));
    }
    if !stream.one_way {
        say(format_args!("    {}", sweep(stream)));
    }
    if let Some(error) = stream.poll_error.as_ref().or(stream.debt_error.as_ref()) {
        say(format_args!("    last error  {error}"));
    }
}

fn print_erasure(one: &Erasure) {
    say(format_args!("erased: {} {}", one.thing(), one.waits_for()));
    say(format_args!("    next      {}", one.next_step()));
}

/// What the fast reader missed, and the lag that would do.
fn arrived(report: &Report) -> String {
    let missed = format!(
        "the fast reader missed {} of {} versions in 7 days with its lag of {} s; the settled one had them",
        report.missed,
        report.versions,
        report.lag_ms / 1_000
    );
    match report.proposed {
        None => missed,
        Some(proposed) => format!(
            "{missed}. poll.lag = \"{}s\" would have missed about {}, no more than {}",
            proposed.lag_ms / 1_000,
            proposed.missed,
            proposed.missed_most
        ),
    }
}

/// The sweep in a line: how far, how it ended, what it found.
fn sweep(stream: &StreamOverview) -> String {
    let (view, now) = (&stream.sweep, stream.now);
    let found: Vec<String> = view.drift_day.iter().map(|(by, count)| format!("{count} missed by {by}")).collect();
    let found = if found.is_empty() { "nothing found in a day".to_owned() } else { found.join(", ") };
    let last = match (&view.last_seal, view.last_ended_at) {
        (Some(seal), Some(at)) => format!("last {} min ago ({seal})", (now - at) / 60_000),
        _ => "none ended yet".to_owned(),
    };
    match (&view.under_way, &view.error) {
        (_, Some(error)) => format!("sweep       failing ({error}), {last}, {found}"),
        (Some(window), None) => {
            format!("sweep       {} records in {} pages so far, {last}, {found}", window.records, window.pages)
        }
        (None, None) => format!("sweep       {last}, {found}"),
    }
}
