//! A built `tidemark` in a folder of its own: its configuration file, the variables that names, and what each of its verbs has written. Decides nothing of what is run.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use eyre::{WrapErr, ensure};

use crate::process::Running;

const LOG_LINES: usize = 20;

pub(crate) struct Installation {
    program: PathBuf,
    folder: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Installation {
    pub(crate) fn new(program: &Path, config: &str, variables: &[(&'static str, &str)]) -> eyre::Result<Self> {
        let folder = tempfile::Builder::new().prefix("tidemark-bench.").tempdir()?;
        fs::write(folder.path().join("tidemark.toml"), config)?;
        let variables = variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Ok(Self { program: program.to_owned(), folder, variables })
    }

    /// Starts a verb; its log is named after it.
    pub(crate) fn start(&self, words: &[&str]) -> eyre::Result<Running> {
        let log = File::create(self.log_path(words.first().copied().unwrap_or_default())).wrap_err("no log file")?;
        let mut command = Command::new(&self.program);
        command.args(words).current_dir(self.folder.path()).envs(self.variables.iter().cloned());
        // A configuration of the caller's own is not meant; single values set by TIDEMARK__… variables are.
        command.env_remove("TIDEMARK_CONFIG").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Running::start(&mut command)
    }

    /// Runs a verb to its end, which has to be a good one.
    pub(crate) fn finish(&self, words: &[&str]) -> eyre::Result<()> {
        let status = self.start(words)?.wait()?;
        let log = || self.log(words.first().copied().unwrap_or_default());
        ensure!(status.success(), "`tidemark {}` failed ({status}):\n{}", words.join(" "), log());
        Ok(())
    }

    /// The last lines that a verb has written.
    pub(crate) fn log(&self, verb: &str) -> String {
        let log = fs::read_to_string(self.log_path(verb)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    fn log_path(&self, verb: &str) -> PathBuf {
        self.folder.path().join(format!("{verb}.log"))
    }
}

/// Free now; whoever takes it in between makes the start fail, and the run with it.
pub(crate) fn free_port() -> eyre::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
