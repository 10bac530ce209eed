//! The built `tidemark` command as processes of their own: run to the end, started, killed, told to stop. Never called as a library.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use eyre::{OptionExt, WrapErr, bail, eyre};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Lines of a log that a failure shows.
const TAIL_LINES: usize = 30;

/// What a process that ended by itself left.
#[derive(Debug)]
pub struct Ended {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// What it printed, if it ended well.
    pub fn good(self) -> eyre::Result<String> {
        if self.code == Some(0) {
            Ok(self.stdout)
        } else {
            Err(eyre!("it ended with {:?}: {}{}", self.code, self.stderr, self.stdout))
        }
    }
}

/// The command in a folder, with these variables as its whole environment. It dies with the test.
pub fn command(folder: &Path, env: &[(&str, &str)], args: &[&str]) -> eyre::Result<Command> {
    let mut command = Command::new(binary()?);
    command.args(args).current_dir(folder).env_clear().envs(env.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
    Ok(command)
}

/// Runs the command to its end.
pub async fn run(mut command: Command, within: Duration) -> eyre::Result<Ended> {
    let output = timeout(within, command.output()).await;
    let output = output.map_err(|_| eyre!("{command:?} did not end within {} s", within.as_secs()))??;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Ended { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) })
}

/// `TIDEMARK_BIN`, or the command built beside this test.
pub fn binary() -> eyre::Result<PathBuf> {
    let named = std::env::var_os("TIDEMARK_BIN").map(PathBuf::from);
    let beside = || Some(std::env::current_exe().ok()?.parent()?.parent()?.join("tidemark"));
    let binary = named.or_else(beside).ok_or_eyre("this test has no folder")?;
    if !binary.is_file() {
        bail!(
            "there is no command at {}: run the tests with scripts/test, which builds it and sets TIDEMARK_BIN",
            binary.display()
        );
    }
    Ok(fs::canonicalize(binary)?)
}

/// A process that runs until it is told to stop, and can be started again. What it says goes to `<name>.log` in its folder.
#[derive(Debug)]
pub struct Service {
    pub name: String,
    folder: PathBuf,
    env: Vec<(String, String)>,
    args: Vec<String>,
    child: Child,
    /// It was ended by the test itself.
    stopped: bool,
}

impl Service {
    pub fn start(name: &str, folder: &Path, env: &[(&str, &str)], args: &[&str]) -> eyre::Result<Self> {
        let child = spawn(name, folder, env, args)?;
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Ok(Self { name: name.to_owned(), folder: folder.to_owned(), env, args, child, stopped: false })
    }

    /// SIGKILL, and a new process in its place. An error when it had ended before.
    pub async fn kill_and_restart(&mut self) -> eyre::Result<()> {
        self.prove_alive()?;
        self.child.kill().await.wrap_err_with(|| format!("{} cannot be killed", self.name))?;
        let env: Vec<(&str, &str)> = self.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        self.child = spawn(&self.name, &self.folder, &env, &args)?;
        Ok(())
    }

    /// SIGKILL, and nothing in its place: from here on it counts as stopped on purpose.
    pub async fn kill(&mut self) -> eyre::Result<()> {
        self.prove_alive()?;
        self.stopped = true;
        self.child.kill().await.wrap_err_with(|| format!("{} cannot be killed", self.name))
    }

    /// SIGSTOP: it stands still in the middle of whatever it does, as a paused virtual machine would.
    pub async fn pause(&self) -> eyre::Result<()> {
        self.signal("STOP").await
    }

    /// SIGCONT: it goes on as if no time had passed.
    pub async fn go_on(&self) -> eyre::Result<()> {
        self.signal("CONT").await
    }

    pub fn id(&self) -> eyre::Result<u32> {
        self.child.id().ok_or_else(|| eyre!("{} has no process id", self.name))
    }

    async fn signal(&self, name: &str) -> eyre::Result<()> {
        let (id, line) = (self.id()?.to_string(), format!("kill -{name} \"$1\""));
        let sent = Command::new("sh").args(["-c", &line, "sh", &id]).status().await?;
        if !sent.success() {
            bail!("{} could not be sent SIG{name}", self.name);
        }
        Ok(())
    }

    pub fn prove_alive(&mut self) -> eyre::Result<()> {
        match self.child.try_wait()? {
            Some(_) if self.stopped => Ok(()),
            Some(status) => bail!("{} ended by itself: {status}\n{}", self.name, self.tail()),
            None => Ok(()),
        }
    }

    /// SIGTERM; how it ended and how long that took. An error when it is still there after `within`.
    pub async fn terminate(&mut self, within: Duration) -> eyre::Result<(ExitStatus, Duration)> {
        self.prove_alive()?;
        self.signal("TERM").await?;
        self.ended(within).await
    }

    /// SIGINT, as Ctrl-C sends it; the rest is as in `terminate`.
    pub async fn interrupt(&mut self, within: Duration) -> eyre::Result<(ExitStatus, Duration)> {
        self.prove_alive()?;
        self.signal("INT").await?;
        self.ended(within).await
    }

    /// Waits for an end that was asked for, or that has to come by itself.
    pub async fn ended(&mut self, within: Duration) -> eyre::Result<(ExitStatus, Duration)> {
        self.stopped = true;
        let since = Instant::now();
        let ended = timeout(within, self.child.wait()).await;
        let status = ended.map_err(|_| eyre!("{} did not stop within {} s\n{}", self.name, within.as_secs(), self.tail()))??;
        Ok((status, since.elapsed()))
    }

    /// Everything it said, and everything earlier processes in its place said.
    pub fn log(&self) -> String {
        fs::read_to_string(log_of(&self.name, &self.folder)).unwrap_or_default()
    }

    /// The last lines it said.
    pub fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let from = lines.len().saturating_sub(TAIL_LINES);
        format!("--- {}\n{}", self.name, lines.get(from..).unwrap_or_default().join("\n"))
    }
}

fn spawn(name: &str, folder: &Path, env: &[(&str, &str)], args: &[&str]) -> eyre::Result<Child> {
    let log = open_log(&log_of(name, folder))?;
    let mut command = command(folder, env, args)?;
    command.stdout(log.try_clone()?).stderr(log);
    command.spawn().wrap_err_with(|| format!("{name} cannot be started"))
}

fn log_of(name: &str, folder: &Path) -> PathBuf {
    folder.join(format!("{name}.log"))
}

/// Processes that follow one another write one log.
fn open_log(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}
