//! The demo that runs until somebody ends it: how it ends, by Ctrl-C and by what breaks, and that nothing of it is left.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use eyre::OptionExt;
use sea_orm::ConnectionTrait;
use tempfile::TempDir;
use tidemark_tests::connect;
use tidemark_tests::deadline::until;
use tidemark_tests::processes::{Service, command, run};

const PATIENCE: Duration = Duration::from_secs(60);

/// A demo in a folder of its own, past its first load.
struct Live {
    folder: TempDir,
    demo: Service,
    listening: Vec<SocketAddr>,
}

impl Live {
    async fn start() -> eyre::Result<Self> {
        let folder = TempDir::new()?;
        let anywhere = "127.0.0.1:0";
        let args = ["demo", "--folder", "shop", "--records", "40", "--listen", anywhere, "--sandbox-listen", anywhere];
        let mut demo = Service::start("demo", folder.path(), &[], &args)?;
        let loaded = until("the first load is done", PATIENCE, || {
            let said = demo.prove_alive().map(|()| demo.log());
            std::future::ready(said.map(|said| said.contains("the first load is done").then_some(said)))
        });
        let said = loaded.await?;
        let mut listening = Vec::new();
        for word in said.split_whitespace().filter_map(|word| word.strip_prefix("http://")) {
            listening.push(word.trim_end_matches("/sandbox").parse()?);
        }
        assert_eq!(listening.len(), 2, "the dashboard and the practice CRM:\n{said}");
        assert!(listening.iter().all(|address| TcpStream::connect(address).is_ok()), "{listening:?}");
        Ok(Self { folder, demo, listening })
    }

    /// No port, no lock, no process.
    fn nothing_is_left(&self) -> eyre::Result<()> {
        for address in &self.listening {
            assert!(TcpStream::connect(address).is_err(), "something listens on {address} after the end");
        }
        assert!(!self.folder.path().join("shop").join("demo.lock").exists(), "the folder is still held");
        // Whatever it started began in its folder.
        let here = self.folder.path().canonicalize()?;
        let mut left: Vec<PathBuf> = Vec::new();
        for process in std::fs::read_dir("/proc")?.flatten() {
            if std::fs::read_link(process.path().join("cwd")).is_ok_and(|folder| folder == here) {
                left.push(process.path());
            }
        }
        assert!(left.is_empty(), "still running: {left:?}");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_ctrl_c_ends_the_demo_well_and_leaves_nothing_running() -> eyre::Result<()> {
    let mut live = Live::start().await?;
    let (status, took) = live.demo.interrupt(Duration::from_secs(30)).await?;
    assert_eq!(status.code(), Some(0), "{}", live.demo.tail());
    assert!(live.demo.log().contains("stopping after"), "{}", live.demo.tail());
    assert!(took < Duration::from_secs(20), "it took {took:?}");
    live.nothing_is_left()?;
    // And the folder is free for the next one.
    let again = ["demo", "--once", "--keep", "--folder", "shop", "--records", "10"];
    run(command(live.folder.path(), &[], &again)?, Duration::from_secs(120)).await?.good()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_demo_that_breaks_says_why_exits_1_and_leaves_nothing_running() -> eyre::Result<()> {
    let mut live = Live::start().await?;
    let orders = connect(&format!("sqlite://{}", live.folder.path().join("shop").join("orders.db").display())).await?;
    orders.execute_unprepared("ALTER TABLE customers RENAME TO gone").await?;
    orders.close().await?;
    let (status, _) = live.demo.ended(PATIENCE).await?;
    let log = live.demo.log();
    assert_eq!(status.code(), Some(1), "{log}");
    let (_, words) = log.rsplit_once("tidemark: ").ok_or_eyre("it said nothing")?;
    assert!(
        words.contains("could not edit its own database") && words.contains("because: ") && words.contains("customers"),
        "{words}"
    );
    live.nothing_is_left()
}

/// In `/proc` nobody can make a file, an administrator neither.
#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named_with_the_option_that_chooses_another() -> eyre::Result<()> {
    let here = TempDir::new()?;
    for once in [&[][..], &["--once"]] {
        let args =
            [&["demo", "--folder", "/proc/self", "--listen", "127.0.0.1:0", "--sandbox-listen", "127.0.0.1:0"], once].concat();
        let ended = run(command(here.path(), &[], &args)?, PATIENCE).await?;
        assert_eq!(ended.code, Some(1), "{}{}", ended.stderr, ended.stdout);
        assert!(ended.stderr.contains("cannot write in the folder /proc/self: choose another with --folder"), "{}", ended.stderr);
    }
    Ok(())
}
