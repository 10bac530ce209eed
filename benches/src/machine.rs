//! The machine in general words: enough to judge a figure by, nothing that names it.

use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cores: usize,
    memory_gib: u64,
    /// Others' work included.
    load_average: String,
    /// Of 8 kB in the database's folder, before the first run: a commit waits for one.
    fdatasync_per_second: Option<u64>,
}

impl Machine {
    pub(crate) fn look(database_folder: &Path) -> Self {
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib =
            memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().trim_end_matches(" kB").parse::<u64>().ok());
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: (kib.unwrap_or_default() + (1 << 19)) >> 20,
            load_average: load.split(' ').next().unwrap_or_default().to_owned(),
            fdatasync_per_second: fdatasync_per_second(database_folder).ok(),
        }
    }

    pub(crate) fn words(&self) -> String {
        let sync = self.fdatasync_per_second.map(|rate| format!(", {rate} fdatasync of 8 kB a second")).unwrap_or_default();
        format!("{} cores, {} GiB, load average {} at the start{sync}", self.cores, self.memory_gib, self.load_average)
    }
}

fn fdatasync_per_second(folder: &Path) -> std::io::Result<u64> {
    let path = folder.join("fdatasync");
    let mut file = File::create(&path)?;
    let (started, mut count) = (Instant::now(), 0_u32);
    while started.elapsed() < Duration::from_millis(500) {
        file.rewind()?;
        file.write_all(&[u8::try_from(count % 251).unwrap_or_default(); 8_192])?;
        file.sync_data()?;
        count += 1;
    }
    let rate = f64::from(count) / started.elapsed().as_secs_f64();
    fs::remove_file(path)?;
    Ok(rate.round() as u64)
}
