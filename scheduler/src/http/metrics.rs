//! Prometheus text: what the process counted itself, and how things stand in the database at the moment of the scrape.
//!
//! Every scheduler tells the same numbers about the database: aggregate those over instances with `max`, not `sum`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::OnceLock;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tidemark_core::Millis;
use tidemark_core::brake::{Act, Direction};
use tidemark_store::{StoreError, overview};
use tokio::sync::Mutex;
use tracing::warn;

use super::snapshot::{self, Snapshot};
use super::{App, Shared, health};

/// The recorder of the `metrics` macros, installed on the first call.
pub fn metrics_handle() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    let install = || {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            warn!("another metrics recorder is installed: /metrics shows only what the database knows");
        }
        handle
    };
    HANDLE.get_or_init(install).clone()
}

/// Counters made of rows that are pruned by age: they remember what they have counted.
#[derive(Default)]
pub(crate) struct Counters(Mutex<Counted>);

#[derive(Default)]
struct Counted {
    /// Rows up to this id are counted, or were there before the first scrape; `None` before it.
    seen: Option<i64>,
    /// The newest id at the last scrape. A row with a lower id may have been committed since, so rows are counted one scrape late.
    mark: i64,
    totals: BTreeMap<(String, String, String), [i64; 3]>,
}

pub(crate) async fn scrape(State(shared): App) -> Response {
    let handle = metrics_handle();
    handle.run_upkeep();
    let mut text = Text(handle.render());
    text.family("tidemark_scheduler_tick_age_seconds", "gauge", "Time since this process's scheduler last went round.");
    text.sample("tidemark_scheduler_tick_age_seconds", &[], seconds(health::tick_age_ms(&shared)));
    let database = add_database(&mut text, &shared).await;
    if let Err(error) = &database {
        warn!(error = error.log_words(), "no metrics from the order database");
    }
    text.family("tidemark_database_up", "gauge", "1 when the order database answered this scrape.");
    text.sample("tidemark_database_up", &[], if database.is_ok() { 1.0 } else { 0.0 });
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text.0).into_response()
}

async fn add_database(text: &mut Text, shared: &Shared) -> Result<(), StoreError> {
    let snapshot = snapshot::look(shared).await?;
    add_streams(text, &snapshot);
    add_house(text, &snapshot);
    add_callouts(text, shared).await
}

/// One number of a stream.
type Count = fn(&overview::StreamOverview) -> i64;

fn add_streams(text: &mut Text, snapshot: &Snapshot) {
    let gauge = "gauge";
    text.family(
        "tidemark_stream_lag_seconds",
        gauge,
        "How far a stream is behind: the later of its two directions. Absent before its first read.",
    );
    for stream in &snapshot.streams {
        if let Some(lag) = stream.verdict.lag_ms {
            text.sample("tidemark_stream_lag_seconds", &[("stream", &stream.overview.name)], seconds(lag));
        }
    }
    text.family("tidemark_stream_fresh_within_seconds", gauge, "The lag a stream may have.");
    for stream in &snapshot.streams {
        text.sample(
            "tidemark_stream_fresh_within_seconds",
            &[("stream", &stream.overview.name)],
            seconds(stream.fresh_within_ms),
        );
    }
    text.family("tidemark_stream_state", gauge, "1 for the state a stream is in.");
    for stream in &snapshot.streams {
        text.sample("tidemark_stream_state", &[("stream", &stream.overview.name), ("state", &stream.overview.state)], 1.0);
    }
    text.family("tidemark_stream_loaded", gauge, "1 when the first load has ended.");
    for stream in &snapshot.streams {
        let loaded = if stream.overview.loaded_at.is_some() { 1.0 } else { 0.0 };
        text.sample("tidemark_stream_loaded", &[("stream", &stream.overview.name)], loaded);
    }
    text.family(
        "tidemark_stream_captured",
        gauge,
        "1 when edits in the order system are captured, 0 when a trigger is gone. Absent for views.",
    );
    for stream in &snapshot.streams {
        let captured = match stream.overview.capture.as_deref() {
            Some("installed") => 1.0,
            Some("missing") => 0.0,
            _ => continue,
        };
        text.sample("tidemark_stream_captured", &[("stream", &stream.overview.name)], captured);
    }
    let counts: [(&str, &str, Count); 6] = [
        ("tidemark_stream_links", "Pairs of a row and a record.", |stream| stream.links),
        ("tidemark_stream_poll_attempts", "Failed reads in a row.", |stream| stream.poll_attempts.into()),
        ("tidemark_stream_conflicts", "Fields that both sides changed, ever.", |stream| stream.conflicts),
        ("tidemark_stream_conflicts_open", "Pairs in which a field waits for a decision.", |stream| stream.open_conflicts),
        ("tidemark_stream_held", "1 while nothing is sent because the database may be a restored one.", |stream| {
            stream.held_at.is_some().into()
        }),
        ("tidemark_stream_excluded", "Records left out by the mapping, ever.", |stream| stream.excluded),
    ];
    for (name, help, value) in counts {
        text.family(name, gauge, help);
        for stream in &snapshot.streams {
            text.sample(name, &[("stream", &stream.overview.name)], value(&stream.overview) as f64);
        }
    }
    add_sweeps(text, snapshot);
    add_brakes(text, snapshot);
    add_arrivals(text, snapshot);
    text.family("tidemark_debt_oldest_seconds", gauge, "How long the longest unpaid change has been owed.");
    for stream in &snapshot.streams {
        text.sample(
            "tidemark_debt_oldest_seconds",
            &[("stream", &stream.overview.name)],
            seconds(stream.overview.oldest_owed_ms.unwrap_or(0)),
        );
    }
    text.family("tidemark_debts", gauge, "Debts by what they are and how they stand.");
    for stream in &snapshot.streams {
        for (kind, state) in ["push", "read"].into_iter().flat_map(|kind| overview::DEBT_STATES.map(|state| (kind, state))) {
            let name = &stream.overview.name;
            let found = snapshot.debts.iter().find(|debts| &debts.stream == name && debts.kind == kind && debts.state == state);
            text.sample(
                "tidemark_debts",
                &[("stream", name), ("kind", kind), ("state", state)],
                found.map_or(0, |debts| debts.count) as f64,
            );
        }
    }
}

fn add_sweeps(text: &mut Text, snapshot: &Snapshot) {
    text.family("tidemark_sweep_age_seconds", "gauge", "Time since the last sealed sweep ended. Absent before the first.");
    for stream in &snapshot.streams {
        if let Some(at) = stream.overview.sweep.sealed_at {
            text.sample("tidemark_sweep_age_seconds", &[("stream", &stream.overview.name)], seconds(stream.overview.now - at));
        }
    }
    text.family("tidemark_sweep_sealed", "gauge", "1 when the last sweep that ended was sealed, 0 when it concludes nothing.");
    for stream in &snapshot.streams {
        if let Some(seal) = &stream.overview.sweep.last_seal {
            let sealed = if seal == "sealed" { 1.0 } else { 0.0 };
            text.sample("tidemark_sweep_sealed", &[("stream", &stream.overview.name)], sealed);
        }
    }
    text.family("tidemark_drift_day", "gauge", "Differences found by sweeps within 24 hours, by who should have told of them.");
    for stream in &snapshot.streams {
        for missed_by in ["fast", "settled", "none", "capture"] {
            let found = stream.overview.sweep.drift_day.iter().find(|(by, _)| by == missed_by).map_or(0, |(_, count)| *count);
            let labels = [("stream", stream.overview.name.as_str()), ("missed_by", missed_by)];
            text.sample("tidemark_drift_day", &labels, found as f64);
        }
    }
}

fn add_arrivals(text: &mut Text, snapshot: &Snapshot) {
    let reports = || snapshot.streams.iter().filter_map(|stream| Some((stream.overview.name.as_str(), stream.arrival.as_ref()?)));
    text.family("tidemark_arrival_versions", "gauge", "Versions that the settled reader passed within 7 days.");
    for (name, report) in reports() {
        text.sample("tidemark_arrival_versions", &[("stream", name)], report.versions as f64);
    }
    text.family(
        "tidemark_arrival_late",
        "gauge",
        "Of these, what the fast reader had missed: it became visible later than poll.lag.",
    );
    for (name, report) in reports() {
        text.sample("tidemark_arrival_late", &[("stream", name)], report.missed as f64);
    }
    text.family(
        "tidemark_arrival_lag_proposed_seconds",
        "gauge",
        "The poll.lag that would do. Absent while the present one does.",
    );
    for (name, report) in reports() {
        if let Some(proposed) = report.proposed {
            text.sample("tidemark_arrival_lag_proposed_seconds", &[("stream", name)], seconds(proposed.lag_ms));
        }
    }
}

/// One number of a brake.
type BrakeCount = fn(&overview::BrakeView) -> i64;

fn add_brakes(text: &mut Text, snapshot: &Snapshot) {
    let families: [(&str, &str, BrakeCount); 3] = [
        ("tidemark_brake_on", "1 while a brake waits for a person's answer.", |brake| brake.is_on().into()),
        ("tidemark_brake_held", "Rows or records that wait behind a brake.", |brake| brake.held),
        ("tidemark_brake_day", "Rows or records that passed a brake within 24 hours.", |brake| brake.day),
    ];
    for (name, help, value) in families {
        text.family(name, "gauge", help);
        for stream in &snapshot.streams {
            for (direction, act) in Direction::ALL.into_iter().flat_map(|direction| Act::ALL.map(|act| (direction, act))) {
                let brake = stream.overview.brakes.iter().find(|brake| (brake.direction, brake.act) == (direction, act));
                let labels = [("stream", stream.overview.name.as_str()), ("direction", direction.word()), ("act", act.word())];
                text.sample(name, &labels, brake.map_or(0, value) as f64);
            }
        }
    }
}

fn add_house(text: &mut Text, snapshot: &Snapshot) {
    let queue = &snapshot.queue;
    text.family("tidemark_queue_up", "gauge", "1 when the queue answers.");
    text.sample("tidemark_queue_up", &[], if queue.answers { 1.0 } else { 0.0 });
    text.family("tidemark_queue_depth", "gauge", "Hints in the queue.");
    text.sample("tidemark_queue_depth", &[("state", "waiting")], queue.waiting as f64);
    text.sample("tidemark_queue_depth", &[("state", "running")], queue.running as f64);
    text.family("tidemark_workers_alive", "gauge", "Processes that beat within the last 20 seconds.");
    let mut kinds: Vec<&str> =
        snapshot.workers.iter().map(|worker| worker.kind.as_str()).chain(["scheduler", "worker"]).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        text.sample("tidemark_workers_alive", &[("kind", kind)], snapshot.alive(Some(kind)) as f64);
    }
    text.family("tidemark_change_log_waiting", "gauge", "Changes in the order system that are not debts yet.");
    text.sample("tidemark_change_log_waiting", &[], queue.changes_waiting as f64);
    text.family("tidemark_change_log_oldest_seconds", "gauge", "Age of the oldest of them.");
    text.sample("tidemark_change_log_oldest_seconds", &[], seconds(queue.changes_oldest_ms));
    text.family("tidemark_connection_running", "gauge", "1 when a connection runs, 0 when it is paused.");
    for connection in &snapshot.connections {
        let running = if connection.state == "running" { 1.0 } else { 0.0 };
        text.sample("tidemark_connection_running", &[("connection", &connection.name)], running);
    }
    text.family("tidemark_connection_quota_left", "gauge", "Calls left, as the CRM last said.");
    for connection in &snapshot.connections {
        if let Some(left) = connection.quota_left {
            text.sample("tidemark_connection_quota_left", &[("connection", &connection.name)], left as f64);
        }
    }
}

async fn add_callouts(text: &mut Text, shared: &Shared) -> Result<(), StoreError> {
    let mut counted = shared.counters.0.lock().await;
    let store = &shared.app.store;
    let newest = overview::callout_mark(store).await?;
    let seen = counted.seen.unwrap_or(newest);
    if counted.mark > seen {
        for line in overview::callout_counters(store, seen, counted.mark).await? {
            let class = line.class.unwrap_or_else(|| "success".to_owned());
            let totals = counted.totals.entry((line.connection, line.purpose, class)).or_default();
            for (total, more) in totals.iter_mut().zip([line.calls, line.items, line.elapsed_ms_sum]) {
                *total += more;
            }
        }
    }
    counted.seen = Some(seen.max(counted.mark));
    counted.mark = newest;
    let families = [
        ("tidemark_callouts_total", "Calls to a CRM.", 1.0),
        ("tidemark_callout_items_total", "Records asked for or sent in calls.", 1.0),
        ("tidemark_callout_seconds_total", "Time spent in calls.", 1000.0),
    ];
    for (at, (name, help, unit)) in families.into_iter().enumerate() {
        text.family(name, "counter", help);
        for ((connection, purpose, class), totals) in &counted.totals {
            text.sample(name, &[("connection", connection), ("purpose", purpose), ("class", class)], totals[at] as f64 / unit);
        }
    }
    Ok(())
}

fn seconds(ms: Millis) -> f64 {
    ms as f64 / 1000.0
}

/// The exposition format.
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escape(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

fn escape(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
