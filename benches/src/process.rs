//! What processes have used, from /proc: processor time, memory, and a child that is ended when its guard is.
//!
//! Never waits for a child before its last figures are read: a process that has ended keeps them until it is waited for.

use std::fs;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use eyre::{WrapErr, eyre};

/// Linux reports times to programs in hundredths of a second, whatever the kernel's own tick is.
const TICK_MS: u64 = 10;

/// One line of /proc/PID/stat.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stat {
    ended: bool,
    parent: u32,
    /// User and system time of the process and of its children that were waited for.
    cpu_ms: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may hold anything.
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
    let ended = matches!(fields.first().copied(), Some("Z" | "X"));
    Some(Stat { ended, parent: fields.get(1)?.parse().ok()?, cpu_ms: ticks * TICK_MS })
}

/// High-water mark of a process's memory; 0 when it is gone.
pub(crate) fn memory_peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// Processor time of a process and all its children, those it has waited for among them.
pub(crate) fn family_cpu_ms(pid: u32) -> eyre::Result<u64> {
    let own = stat(pid).ok_or_else(|| eyre!("process {pid} is gone"))?.cpu_ms;
    let processes = fs::read_dir("/proc").wrap_err("/proc cannot be read: this needs Linux")?;
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let children = pids.filter_map(stat).filter(|child| child.parent == pid);
    Ok(own + children.map(|child| child.cpu_ms).sum::<u64>())
}

/// A child process, killed when this is dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    memory_peak_kib: u64,
}

/// What a child has used so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    pub(crate) ended: bool,
    pub(crate) cpu_ms: u64,
    pub(crate) memory_peak_kib: u64,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> eyre::Result<Self> {
        let child = command.spawn().wrap_err_with(|| format!("{} did not start", command.get_program().display()))?;
        Ok(Self { child, memory_peak_kib: 0 })
    }

    pub(crate) fn used(&mut self) -> eyre::Result<Used> {
        let pid = self.child.id();
        self.memory_peak_kib = self.memory_peak_kib.max(memory_peak_kib(pid));
        let Stat { ended, cpu_ms, .. } = stat(pid).ok_or_else(|| eyre!("/proc/{pid}/stat cannot be read: this needs Linux"))?;
        Ok(Used { ended, cpu_ms, memory_peak_kib: self.memory_peak_kib })
    }

    /// Looks every few milliseconds until the process has ended, and returns its last figures.
    pub(crate) async fn ended(&mut self, deadline: Duration) -> eyre::Result<Used> {
        let looks = async {
            loop {
                let used = self.used()?;
                if used.ended {
                    return Ok(used);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(deadline, looks).await.map_err(|_| eyre!("still running after {} s", deadline.as_secs()))?
    }

    pub(crate) fn ask_to_stop(&self) -> eyre::Result<()> {
        let status = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status()?;
        status.success().then_some(()).ok_or_else(|| eyre!("process {} could not be signalled", self.child.id()))
    }

    pub(crate) fn wait(mut self) -> eyre::Result<ExitStatus> {
        Ok(self.child.wait()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail when it has been waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
