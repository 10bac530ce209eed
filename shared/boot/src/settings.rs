//! The settings of the process itself: one struct per concern, each checked as it is read.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::errors::{Findings, nearest};
use crate::node::Located;
use crate::secrets::Vault;
use crate::section::Section;
use crate::telemetry;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const TEN_YEARS: Duration = Duration::from_secs(3_650 * 24 * 3_600);
const POSTGRES: [&str; 2] = ["postgres://", "postgresql://"];

/// The order system's database, which also holds Tidemark's own tables.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `postgres://…` or `sqlite:…`; may hold a password.
    pub url: SecretString,
    /// PostgreSQL schema of the `tidemark_*` tables; SQLite ignores it.
    pub schema: String,
    /// PostgreSQL schema of order tables named without one. Streams already carry it in their table names.
    pub orders_schema: String,
    /// Connections one process may hold open.
    pub pool_max: u32,
}

impl DatabaseConfig {
    pub fn is_postgres(&self) -> bool {
        POSTGRES.iter().any(|scheme| self.url.expose_secret().starts_with(scheme))
    }

    pub(crate) fn read(section: Option<Section<'_>>, vault: &Vault<'_>) -> Option<Self> {
        let mut section = section?;
        let remedy = "Write url = \"postgres://tidemark@orders-db/orders\" or url = \"sqlite:orders.db\".";
        let url = section.require("url", remedy).and_then(|node| vault.text_or_secret(node, section.findings));
        let url = url.and_then(|url| database_url(url, section.findings));
        let (schema, orders_schema) = (identifier(&mut section, "schema"), identifier(&mut section, "orders_schema"));
        let pool_max = section.integer("pool_max", 1..=1_000);
        section.close();
        Some(Self { url: url?, schema: schema?, orders_schema: orders_schema?, pool_max: pool_max?.value })
    }
}

fn database_url(url: Located<SecretString>, findings: &Findings) -> Option<SecretString> {
    let known = POSTGRES.iter().chain(&["sqlite:"]).any(|scheme| url.value.expose_secret().starts_with(scheme));
    if !known {
        let remedy = "Begin it with postgres:// or sqlite:, such as \"postgres://tidemark@orders-db/orders\".";
        findings.add(&url.at, "The URL names no database that Tidemark knows.", remedy);
    }
    known.then_some(url.value)
}

/// A name that needs no quotes in SQL.
fn identifier(section: &mut Section<'_>, name: &'static str) -> Option<String> {
    let Located { value, at } = section.text(name)?;
    let starts = value.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
    if starts && value.len() <= 63 && value.chars().all(|one| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '_') {
        return Some(value);
    }
    let remedy = "Use small letters, digits and _, at most 63, not a digit first.";
    section.findings.add(&at, format!("\"{value}\" is not a name for a schema."), remedy);
    None
}

/// Connectors beside those of this build.
#[derive(Debug, Clone)]
pub struct ConnectorsConfig {
    /// Whose every `*.toml` describes one.
    pub folder: Option<PathBuf>,
}

impl ConnectorsConfig {
    pub(crate) fn read(section: Option<Section<'_>>, vault: &Vault<'_>) -> Option<Self> {
        let mut section = section?;
        let folder = section.optional_text("folder");
        let findings = section.findings;
        section.close();
        let Some(Located { value, at }) = folder else { return Some(Self { folder: None }) };
        let folder = vault.directory.join(value);
        if !folder.is_dir() {
            let problem = format!("There is no folder {}.", folder.display());
            findings.add(&at, problem, "Make it, or correct the path; a relative one starts beside this file.");
        }
        Some(Self { folder: Some(folder) })
    }
}

/// Carries hints from schedulers to workers.
#[derive(Debug, Clone)]
pub struct QueueConfig {
    pub url: QueueUrl,
    /// Starts the name of every queue.
    pub prefix: String,
}

#[derive(Debug, Clone)]
pub enum QueueUrl {
    /// A throw-away SQLite file of the process's own choice.
    Embedded,
    /// A throw-away SQLite file here.
    File(PathBuf),
    /// `redis://…`; may hold a password.
    Redis(SecretString),
}

impl QueueConfig {
    pub(crate) fn read(section: Option<Section<'_>>, vault: &Vault<'_>) -> Option<Self> {
        let mut section = section?;
        let url = section.require("url", "Write \"embedded\", a path, or \"redis://redis:6379/0\".");
        let url = url.and_then(|node| vault.text_or_secret(node, section.findings));
        let url = url.and_then(|url| queue_url(url, section.findings));
        let prefix = section.text("prefix").and_then(|prefix| queue_prefix(prefix, section.findings));
        section.close();
        Some(Self { url: url?, prefix: prefix? })
    }
}

fn queue_url(url: Located<SecretString>, findings: &Findings) -> Option<QueueUrl> {
    let text = url.value.expose_secret();
    if text == "embedded" {
        return Some(QueueUrl::Embedded);
    }
    if text.starts_with("redis://") || text.starts_with("rediss://") {
        return Some(QueueUrl::Redis(url.value));
    }
    if !text.contains("://") && text.contains(['/', '\\', '.']) {
        return Some(QueueUrl::File(PathBuf::from(text)));
    }
    let remedy = match nearest(text, ["embedded"]) {
        Some(_) => "Did you mean \"embedded\"?",
        None => "Write \"embedded\", a path such as \"./queue.db\", or \"redis://redis:6379/0\".",
    };
    findings.add(&url.at, "This names no queue that Tidemark knows.", remedy);
    None
}

fn queue_prefix(prefix: Located<String>, findings: &Findings) -> Option<String> {
    let plain = prefix.value.chars().all(|one| one.is_ascii_alphanumeric() || matches!(one, '_' | '-' | ':'));
    if !plain {
        findings.add(
            &prefix.at,
            "The prefix has a character that a queue's name may not have.",
            "Use letters, digits, _, - and :.",
        );
    }
    plain.then_some(prefix.value)
}

/// The dashboard, the API, metrics and health.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub listen: SocketAddr,
    /// Always there when `listen` is beyond loopback.
    pub token: Option<SecretString>,
    /// The address by which CRMs reach `/hooks/`, without a slash at its end.
    pub public_url: Option<String>,
}

impl ServerConfig {
    pub(crate) fn read(section: Option<Section<'_>>, vault: &Vault<'_>) -> Option<Self> {
        let mut section = section?;
        let listen = section.text("listen").and_then(|listen| address(listen, section.findings));
        let token = section.take("token");
        let has_token = token.is_some();
        let token = token.and_then(|node| vault.secret(node, section.findings));
        let public_url = section.optional_text("public_url").and_then(|url| public(url, section.findings));
        let findings = section.findings;
        section.close();
        let Located { value: listen, at } = listen?;
        if !listen.ip().is_loopback() && !has_token {
            let problem = format!(
                "server.listen is {listen}, beyond loopback, and there is no server.token: anyone who reaches it could act."
            );
            let remedy = "Write server.token = { env = \"TIDEMARK_TOKEN\" }, or listen on 127.0.0.1.";
            findings.add(&at, problem, remedy);
        }
        Some(Self { listen, token, public_url })
    }
}

fn public(url: Located<String>, findings: &Findings) -> Option<String> {
    let host = url.value.strip_prefix("https://").or_else(|| url.value.strip_prefix("http://"));
    let is_bare = host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', '@']));
    if !is_bare {
        let problem = format!("\"{}\" is not the address of a host.", url.value);
        findings.add(&url.at, problem, "Write what CRMs are told, without a path, such as \"https://sync.example.com\".");
    }
    is_bare.then_some(url.value)
}

fn address(listen: Located<String>, findings: &Findings) -> Option<Located<SocketAddr>> {
    match listen.value.parse() {
        Ok(value) => Some(Located { value, at: listen.at }),
        Err(_) => {
            let problem = format!("\"{}\" is not a numeric address and port.", listen.value);
            findings.add(&listen.at, problem, "Write \"127.0.0.1:8624\", or \"0.0.0.0:8624\" to be reached from other machines.");
            None
        }
    }
}

/// How work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerConfig {
    /// Jobs one process does at the same time.
    pub concurrency: u16,
    /// How long a claimed job belongs to its worker.
    pub lease: Duration,
    /// How long a stopping worker waits for running jobs.
    pub drain_deadline: Duration,
    /// Time between two looks at the change log.
    pub relay_every: Duration,
}

impl WorkerConfig {
    pub(crate) fn read(section: Option<Section<'_>>) -> Option<Located<Self>> {
        let mut section = section?;
        let concurrency = section.integer("concurrency", 1..=1_000);
        let lease = section.duration("lease", Duration::from_secs(1)..=HOUR);
        let drain_deadline = section.duration("drain_deadline", Duration::ZERO..=HOUR);
        let relay_every = section.duration("relay_every", Duration::from_millis(10)..=MINUTE);
        section.close();
        let lease = lease?;
        let (drain_deadline, relay_every) = (drain_deadline?.value, relay_every?.value);
        let value = Self { concurrency: concurrency?.value, lease: lease.value, drain_deadline, relay_every };
        Some(Located { value, at: lease.at })
    }
}

/// How due work is found and hinted at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SchedulerConfig {
    /// Time between two looks for streams that are due.
    pub tick_every: Duration,
    /// Time between two rounds that turn due work into hints.
    pub dispatch_every: Duration,
    /// Share of a poll interval by which the next poll is moved at random, 0 to 0.5.
    pub jitter: f64,
    /// Hints that may wait in the queue.
    pub queue_depth_max: u32,
}

impl SchedulerConfig {
    pub(crate) fn read(section: Option<Section<'_>>) -> Option<Self> {
        let mut section = section?;
        let tick_every = section.duration("tick_every", Duration::from_millis(10)..=MINUTE);
        let dispatch_every = section.duration("dispatch_every", Duration::from_millis(10)..=MINUTE);
        let jitter = section.decimal("jitter").and_then(|jitter| share(&jitter, section.findings));
        let queue_depth_max = section.integer("queue_depth_max", 1..=1_000_000);
        section.close();
        let (tick_every, dispatch_every) = (tick_every?.value, dispatch_every?.value);
        Some(Self { tick_every, dispatch_every, jitter: jitter?, queue_depth_max: queue_depth_max?.value })
    }
}

fn share(jitter: &Located<f64>, findings: &Findings) -> Option<f64> {
    let within = (0.0..=0.5).contains(&jitter.value);
    if !within {
        findings.add(&jitter.at, format!("{} is out of bounds.", jitter.value), "Write a share from 0 to 0.5.");
    }
    within.then_some(jitter.value)
}

/// When a database is taken for another than the one that was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnvironmentConfig {
    /// A silence longer than this is taken for a restore.
    pub restore_guard: Duration,
}

impl EnvironmentConfig {
    pub(crate) fn read(section: Option<Section<'_>>) -> Option<Self> {
        let mut section = section?;
        let restore_guard = section.duration("restore_guard", MINUTE..=TEN_YEARS);
        section.close();
        Some(Self { restore_guard: restore_guard?.value })
    }
}

/// What is logged, and in what form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    pub format: LogFormat,
    /// `info`, or parts such as `info,tidemark_worker=debug`.
    pub level: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

impl LogConfig {
    pub(crate) fn read(section: Option<Section<'_>>) -> Option<Self> {
        let mut section = section?;
        let format = section.choice("format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]);
        let level = section.text("level").filter(|level| match telemetry::wrong_part(&level.value) {
            Some(part) => {
                let remedy = match nearest(part, telemetry::LEVELS) {
                    Some(level) => format!("Did you mean \"{level}\"?"),
                    None => "Write a level such as \"info\", or parts such as \"info,tidemark_worker=debug\".".to_owned(),
                };
                section.findings.add(&level.at, format!("\"{part}\" is not a level."), remedy);
                false
            }
            None => true,
        });
        section.close();
        Some(Self { format: format?.value, level: level?.value })
    }
}

/// How long history is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionConfig {
    /// Rows of HTTP calls.
    pub callouts: Duration,
    /// Hours of HTTP calls, counted.
    pub call_hours: Duration,
    /// Completed windows.
    pub windows: Duration,
    /// What happened to rows and records.
    pub lineage: Duration,
}

impl RetentionConfig {
    pub(crate) fn read(section: Option<Section<'_>>) -> Option<Self> {
        let mut section = section?;
        let mut kept = |name| section.duration(name, HOUR..=TEN_YEARS).map(|kept| kept.value);
        let (callouts, call_hours) = (kept("callouts"), kept("call_hours"));
        let (windows, lineage) = (kept("windows"), kept("lineage"));
        section.close();
        Some(Self { callouts: callouts?, call_hours: call_hours?, windows: windows?, lineage: lineage? })
    }
}

#[cfg(test)]
mod tests {
    use crate::sample::{load, minimal};

    #[test]
    fn a_server_beyond_loopback_needs_a_token() {
        insta::assert_snapshot!(load(&minimal(), &[("TIDEMARK__SERVER__LISTEN", "0.0.0.0:8624")]).unwrap_err(), @r#"
        The configuration has 1 error.

        environment variable TIDEMARK__SERVER__LISTEN: server.listen
            server.listen is 0.0.0.0:8624, beyond loopback, and there is no server.token: anyone who reaches it could act.
            Write server.token = { env = "TIDEMARK_TOKEN" }, or listen on 127.0.0.1.
        "#);
        let env = [("TIDEMARK__SERVER__LISTEN", "0.0.0.0:8624"), ("TIDEMARK__SERVER__TOKEN", "abc")];
        assert!(load(&minimal(), &env).is_ok());
    }

    #[test]
    fn settings_of_the_process_stay_within_bounds() {
        let text = minimal()
            + "\n[scheduler]\njitter = 0.7\nqueue_depth_max = 0\ntick_every = '2h'\n[worker]\nconcurrency = '8'\n[retention]\ncallouts = '5'\n\
            [queue]\nprefix = 'tide mark'\n[database.x]\n";
        let env = [("TIDEMARK__DATABASE__SCHEMA", "tide-mark"), ("TIDEMARK__DATABASE__URL", "mysql://me:pw@db")];
        let errors = load(&text, &env).unwrap_err().to_string();
        assert!(!errors.contains("pw@"), "{errors}");
        insta::assert_snapshot!(errors, @r#"
        The configuration has 9 errors.

        tidemark.toml:16:10: scheduler.jitter
            0.7 is out of bounds.
            Write a share from 0 to 0.5.

        tidemark.toml:17:19: scheduler.queue_depth_max
            0 is out of bounds.
            Write a whole number from 1 to 1000000.

        tidemark.toml:18:14: scheduler.tick_every
            "2h" is out of bounds.
            Write a duration from 10ms to 1m.

        tidemark.toml:20:15: worker.concurrency
            This must be a whole number; it is a text.
            Write a whole number from 1 to 1000.

        tidemark.toml:22:12: retention.callouts
            "5" is not a duration.
            Write a number and a unit, such as "500ms", "30s" or "5m".

        tidemark.toml:24:10: queue.prefix
            The prefix has a character that a queue's name may not have.
            Use letters, digits, _, - and :.

        tidemark.toml:25:11: database.x
            There is no key `x` here.
            Known here: `url`, `schema`, `orders_schema`, `pool_max`.

        environment variable TIDEMARK__DATABASE__SCHEMA: database.schema
            "tide-mark" is not a name for a schema.
            Use small letters, digits and _, at most 63, not a digit first.

        environment variable TIDEMARK__DATABASE__URL: database.url
            The URL names no database that Tidemark knows.
            Begin it with postgres:// or sqlite:, such as "postgres://tidemark@orders-db/orders".
        "#);
    }
}
