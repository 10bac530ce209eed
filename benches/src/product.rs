//! Tidemark as a user runs it: a configuration file, `migrate`, `resume`, then `up`, each a process of its own.
//!
//! Changes no default that a user would leave alone, except that the budget is too large to matter.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use eyre::{WrapErr, ensure};

use crate::contacts::{self, Kind};
use crate::process::Running;

const DATABASE: &str = "TIDEMARK_BENCH_DATABASE_URL";
const TOKEN: &str = "TIDEMARK_BENCH_TOKEN";
const STREAM: &str = "hubspot.contacts";
const LOG_LINES: usize = 20;

/// One installation in a folder of its own.
pub(crate) struct Product {
    program: PathBuf,
    folder: tempfile::TempDir,
    database_url: String,
}

impl Product {
    pub(crate) fn install(program: &Path, database_url: &str, crm_url: &str, page: u16) -> eyre::Result<Self> {
        let folder = tempfile::Builder::new().prefix("tidemark-bench.").tempdir()?;
        // Free now; whoever takes it in between makes `up` fail, and the run with it.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        fs::write(folder.path().join("tidemark.toml"), config(crm_url, port, page))?;
        Ok(Self { program: program.to_owned(), folder, database_url: database_url.to_owned() })
    }

    /// Everything that comes before reading: Tidemark's tables, and the word to go.
    pub(crate) fn prepare(&self) -> eyre::Result<()> {
        self.finish(&["migrate"])?;
        self.finish(&["resume", STREAM])
    }

    /// Scheduler, worker and dashboard in one process.
    pub(crate) fn up(&self) -> eyre::Result<Running> {
        Running::start(&mut self.command(&["up"])?)
    }

    /// The last lines that a verb has written.
    pub(crate) fn log(&self, verb: &str) -> String {
        let log = fs::read_to_string(self.log_path(verb)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    fn finish(&self, words: &[&str]) -> eyre::Result<()> {
        let verb = words.first().copied().unwrap_or_default();
        let status = Running::start(&mut self.command(words)?)?.wait()?;
        ensure!(status.success(), "`tidemark {}` failed ({status}):\n{}", words.join(" "), self.log(verb));
        Ok(())
    }

    fn command(&self, words: &[&str]) -> eyre::Result<Command> {
        let log = File::create(self.log_path(words.first().copied().unwrap_or_default())).wrap_err("no log file")?;
        let mut command = Command::new(&self.program);
        command.args(words).current_dir(self.folder.path()).env(DATABASE, &self.database_url).env(TOKEN, "benchmark");
        // A configuration of the caller's own is not meant; single values set by TIDEMARK__… variables are.
        command.env_remove("TIDEMARK_CONFIG").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }

    fn log_path(&self, verb: &str) -> PathBuf {
        self.folder.path().join(format!("{verb}.log"))
    }
}

fn config(crm_url: &str, port: u16, page: u16) -> String {
    let mut text = format!(
        r#"[database]
url = {{ env = "{DATABASE}" }}

[queue]
url = "embedded"

[server]
listen = "127.0.0.1:{port}"

[connections.hubspot]
connector = "hubspot"
environment = "test"
account = "1"
base_url = "{crm_url}"
secret.token = {{ env = "{TOKEN}" }}
budget = {{ per_second = 5000, search_per_second = 5000 }}

[[connections.hubspot.streams]]
object = "contacts"
table = "bench_contacts"
key = "id"
direction = "in"
owner = "crm"
poll = {{ page_rows_max = {page} }}

[connections.hubspot.streams.fields]
"#
    );
    for (name, kind) in contacts::FIELDS {
        let form = match kind {
            Kind::Integer => Some("integer"),
            Kind::Boolean => Some("bool"),
            Kind::Text | Kind::Numeric | Kind::Timestamp => None,
        };
        // Writing to a String cannot fail.
        let _ = match form {
            Some(form) => writeln!(text, "{name} = {{ column = \"{name}\", as = \"{form}\" }}"),
            None => writeln!(text, "{name} = \"{name}\""),
        };
    }
    text
}

/// What a run configures, and the variables it needs, for tests that give it to Tidemark's own code.
#[cfg(test)]
pub(crate) fn sample_config(crm_url: &str) -> (String, [(String, String); 2]) {
    let variables = [(DATABASE, "postgres://orders@localhost/orders"), (TOKEN, "benchmark")];
    (config(crm_url, 8_624, 200), variables.map(|(name, value)| (name.to_owned(), value.to_owned())))
}

#[cfg(test)]
mod tests {
    use tidemark_boot::Config;
    use tidemark_core::spec::{Direction, Owner};

    use super::{STREAM, sample_config};
    use crate::contacts;

    #[test]
    fn the_generated_configuration_is_one_that_tidemark_takes() {
        let (text, env) = sample_config("http://127.0.0.1:1");
        let config = Config::parse(&text, "tidemark.toml", env.into_iter()).unwrap_or_else(|errors| panic!("{errors}"));
        let stream = &config.streams[0];
        assert_eq!((stream.name.as_str(), stream.direction), (STREAM, Direction::In));
        assert!(stream.fields.iter().all(|field| field.owner == Owner::Crm));
        assert_eq!(stream.fields.len(), contacts::FIELDS.len());
    }
}
