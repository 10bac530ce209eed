//! One file per verb. A verb reads its arguments, asks `compose` for the parts, prints, and says how it ended.

mod agree;
mod brake;
mod calls;
mod capture;
mod check;
mod conflicts;
mod connector;
mod environment;
mod erase;
mod first_meeting;
mod migrate;
mod pause;
mod reliability;
pub(crate) mod rewind;
mod sandbox;
mod serve;
mod status;
mod sweep;
mod uninstall;
mod why;

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use tidemark_boot::{Config, telemetry};

use crate::cli::{Args, ConnectorAct, EnvironmentAct, Verb};
use crate::compose::{House, Roles};

/// Both sides differ, or a check found something that will fail.
pub(crate) const DIFFERS: u8 = 2;

pub(crate) async fn run(args: Args) -> eyre::Result<ExitCode> {
    match args.verb {
        Verb::Demo(demo) => crate::demo::run(demo).await,
        Verb::Sandbox(sandbox) => sandbox::run(sandbox).await,
        Verb::Connector { act: ConnectorAct::List { folder, json } } => connector::list(folder.as_deref(), json),
        Verb::Connector { act: ConnectorAct::Check { file } } => connector::check(&file),
        Verb::Connector { act: ConnectorAct::New { name, out } } => connector::new(&name, out.as_deref()),
        Verb::Connector { act: ConnectorAct::Test(wish) } => connector::test::run(&args.config, &wish).await,
        Verb::Connector { act: ConnectorAct::Probe(wish) } => connector::probe::run(&args.config, &wish).await,
        Verb::Up => serve::run(load(&args.config)?, Roles::ALL).await,
        Verb::Scheduler => serve::run(load(&args.config)?, Roles { scheduler: true, worker: false }).await,
        Verb::Worker => serve::run(load(&args.config)?, Roles { scheduler: false, worker: true }).await,
        Verb::Migrate { plan } => migrate::run(&open(&args.config).await?, plan).await,
        Verb::Erase(wish) => erase::run(&open_migrated(&args.config).await?, &wish).await,
        Verb::Capture(wish) => capture::run(&open_migrated(&args.config).await?, &wish).await,
        Verb::Uninstall(wish) => uninstall::run(&open(&args.config).await?, &wish).await,
        Verb::Check { fix, offline, json } => check::run(&args.config, check::Options { fix, offline, json }).await,
        Verb::Status { ping: true, .. } => status::answer(&open(&args.config).await?).await,
        Verb::Status { json, ping: false } => status::run(&open_migrated(&args.config).await?, json).await,
        Verb::Agree { streams, json } => agree::run(&open_migrated(&args.config).await?, &streams, json).await,
        Verb::Match { stream, plan: _, apply, only, json } => {
            let options = first_meeting::Options { apply, only: only.map(usize::from), json };
            first_meeting::run(&open_migrated(&args.config).await?, &stream, options).await
        }
        Verb::Why { stream, thing, field, json } => {
            why::run(&open_migrated(&args.config).await?, &stream, &thing, field.as_deref(), json).await
        }
        Verb::Conflicts { stream, json } => conflicts::list(&open_migrated(&args.config).await?, stream.as_deref(), json).await,
        Verb::Resolve(wish) => conflicts::resolve(&open_migrated(&args.config).await?, &wish).await,
        Verb::Environment { act: Some(EnvironmentAct::Adopt { anyway, reason, json: own }), json } => {
            environment::adopt(&open_migrated(&args.config).await?, anyway, reason.as_deref(), own || json).await
        }
        Verb::Environment { act: None, json } => environment::show(&open_migrated(&args.config).await?, json).await,
        Verb::Pause { subject, reason } => pause::pause(&open_migrated(&args.config).await?, &subject, reason.as_deref()).await,
        Verb::Sweep { subject } => sweep::run(&open_migrated(&args.config).await?, &subject).await,
        Verb::Rewind(wish) => rewind::run(&open_migrated(&args.config).await?, &wish).await,
        Verb::Calls(wish) => calls::run(&open_migrated(&args.config).await?, &wish).await,
        Verb::Reliability { connection, since, markdown, json } => {
            let form = reliability::Form { markdown, json };
            reliability::run(&open_migrated(&args.config).await?, connection.as_deref(), since, form).await
        }
        Verb::Resume { subject, act: Some(act), direction } => {
            brake::let_through(&open_migrated(&args.config).await?, &subject, &act, direction.as_deref()).await
        }
        Verb::Resume { subject, act: None, .. } => pause::resume(&open_migrated(&args.config).await?, &subject).await,
    }
}

/// A moment for people, UTC.
pub(crate) fn time(at: i64) -> String {
    chrono::DateTime::from_timestamp_millis(at)
        .map_or_else(|| format!("{at} ms"), |at| at.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

pub(crate) fn load(path: &Path) -> eyre::Result<Config> {
    Ok(Config::load(path, environment())?)
}

async fn open(path: &Path) -> eyre::Result<House> {
    House::open(load(path)?).await
}

/// For verbs that ask Tidemark's own tables.
async fn open_migrated(path: &Path) -> eyre::Result<House> {
    let house = open(path).await?;
    house.prove_migrated().await?;
    Ok(house)
}

/// The environment, less what is not text.
fn environment() -> impl Iterator<Item = (String, String)> {
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(text)
}

/// Says what is logged, where and how; kept until the process ends.
pub(crate) fn log(config: &Config) -> eyre::Result<telemetry::TelemetryGuard> {
    Ok(telemetry::init(config.log.format, &config.log.level)?)
}

/// One line to standard output. A reader that went away ends the program quietly, as it does for every tool in a pipe.
pub(crate) fn say(line: impl std::fmt::Display) {
    if writeln!(std::io::stdout().lock(), "{line}").is_err() {
        std::process::exit(0);
    }
}

/// How far something is that takes a while: for whoever waits, and nothing of the answer.
pub(crate) fn aside(line: impl std::fmt::Display) {
    // Whoever does not look misses nothing.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

pub(crate) fn say_json(value: &impl serde::Serialize) -> eyre::Result<()> {
    say(serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Who acts on the command line.
pub(crate) fn who() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "somebody".to_owned());
    format!("{user} on the command line")
}
