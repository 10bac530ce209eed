//! The folder the demo works in: clears what an earlier run left, and nothing that somebody else made.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use eyre::{WrapErr, bail};

use super::{config, listing};

const ORDERS: &str = "orders.db";
const CONFIG: &str = "tidemark.toml";
const LOCK: &str = "demo.lock";
/// What a run leaves besides its configuration.
const LEFT: [&str; 7] = [
    ORDERS,
    "orders.db-wal",
    "orders.db-shm",
    "tidemark-queue.db",
    "tidemark-queue.db-wal",
    "tidemark-queue.db-shm",
    "tidemark-queue.db.witness",
];

/// A folder that is ours while this lives.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Held, not read: a second demo in the same folder is told so.
    _lock: File,
}

impl Folder {
    pub(crate) fn open(path: &Path, keep: bool) -> eyre::Result<Self> {
        // A name alone would not say where.
        let place = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let cannot = |what: &str| format!("cannot {what} the folder {}: choose another with --folder", place.display());
        fs::create_dir_all(path).wrap_err_with(|| cannot("make"))?;
        refuse_a_strangers(path)?;
        let lock = File::create(path.join(LOCK)).wrap_err_with(|| cannot("write in"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another demo runs in the folder {}: stop it, or choose another with --folder", path.display())
            }
            Err(TryLockError::Error(cause)) => return Err(cause).wrap_err_with(|| cannot("lock")),
        }
        let listings = listing::FILES.map(|(_, file)| file);
        let left = LEFT.into_iter().chain(listings).filter(|name| !(keep && name.starts_with(ORDERS)));
        for name in left {
            remove(&path.join(name)).wrap_err_with(|| cannot("clear"))?;
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// A URL that makes the file when it is missing.
    pub(crate) fn orders_url(&self) -> String {
        format!("sqlite://{}?mode=rwc", self.path.join(ORDERS).display())
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path.join(CONFIG)
    }

    pub(crate) fn write_config(&self, text: &str) -> eyre::Result<()> {
        self.write(CONFIG, text)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> eyre::Result<()> {
        let file = self.path.join(name);
        fs::write(&file, text).wrap_err_with(|| format!("cannot write {}: choose another folder with --folder", file.display()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Left behind it would do no harm.
        let _ = fs::remove_file(self.path.join(LOCK));
    }
}

/// A folder with a configuration or database that no demo wrote is somebody's work.
fn refuse_a_strangers(path: &Path) -> eyre::Result<()> {
    let file = path.join(CONFIG);
    let stranger = match fs::read_to_string(&file) {
        Ok(text) if text.starts_with(config::FIRST_LINE) => return Ok(()),
        Ok(_) => file,
        Err(_) if path.join(ORDERS).exists() => path.join(ORDERS),
        Err(_) => return Ok(()),
    };
    bail!("{} was not made by a demo and would be lost: choose another folder with --folder", stranger.display())
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of this test's own below the build directory's temporary one.
    fn fresh(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("tidemark-demo-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn what_no_demo_wrote_is_left_alone() {
        let path = fresh("stranger");
        fs::write(path.join(CONFIG), "[database]\n").unwrap();
        assert!(Folder::open(&path, false).unwrap_err().to_string().contains("--folder"));
        assert!(path.join(CONFIG).exists());
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_second_run_starts_anew_unless_told_to_keep() {
        let path = fresh("again");
        Folder::open(&path, false).unwrap().write_config(config::FIRST_LINE).unwrap();
        fs::write(path.join(ORDERS), "rows").unwrap();
        drop(Folder::open(&path, true).unwrap());
        assert!(path.join(ORDERS).exists());
        drop(Folder::open(&path, false).unwrap());
        assert!(!path.join(ORDERS).exists());
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn two_demos_do_not_share_a_folder() {
        let path = fresh("shared");
        let _first = Folder::open(&path, false).unwrap();
        assert!(Folder::open(&path, false).unwrap_err().to_string().contains("another demo"));
        fs::remove_dir_all(path).unwrap();
    }
}
