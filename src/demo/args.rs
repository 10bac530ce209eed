//! What can be said to `demo` on the command line, and what is meant where nothing is said.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tidemark_sandbox::Weather;

/// The dashboard's port; the practice CRM has the one after it.
const DASHBOARD_PORT: u16 = 8624;
const SANDBOX_PORT: u16 = 8625;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DemoArgs {
    /// Edit both sides while it runs, stop, wait for agreement, print a report and end: 0 when both sides agree, 2 when they differ.
    #[arg(long)]
    pub(crate) once: bool,
    /// Print the report as JSON and nothing else.
    #[arg(long, requires = "once")]
    pub(crate) json: bool,
    /// How long both sides have to come to agree once the edits have stopped, such as 30s or 5m.
    #[arg(long, requires = "once", value_name = "TIME", default_value = "3m", value_parser = humantime::parse_duration)]
    pub(crate) patience: Duration,
    /// Contacts, counted over both sides; there are two orders for every five.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) records: u32,
    /// Seed of everything that is left to chance: names, who is known where, edits, faults.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// What the CRM's day is like: `rough` has 5xx, 429, lost answers and late commits.
    #[arg(long, value_enum, default_value_t = WeatherName::Calm)]
    pub(crate) weather: WeatherName,
    /// Where the databases and the generated tidemark.toml are made; made anew each time.
    #[arg(long, value_name = "DIR", default_value = "demo")]
    pub(crate) folder: PathBuf,
    /// Go on with the order database of the last run. The practice CRM begins empty and is filled from it.
    #[arg(long, conflicts_with = "orders_url")]
    pub(crate) keep: bool,
    /// Where the dashboard listens [default: 127.0.0.1:8624; with --once a free port].
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Where the practice CRM listens [default: 127.0.0.1:8625; with --once a free port].
    #[arg(long, value_name = "ADDR")]
    pub(crate) sandbox_listen: Option<SocketAddr>,
    /// An empty PostgreSQL database to use in place of the SQLite file, such as postgres://me@localhost/demo.
    #[arg(long, value_name = "URL")]
    pub(crate) orders_url: Option<String>,
    /// A Redis to use in place of the queue's own file, such as redis://localhost:6379/0.
    #[arg(long, value_name = "URL")]
    pub(crate) queue_url: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WeatherName {
    Calm,
    Rough,
}

impl WeatherName {
    pub(crate) fn weather(self) -> Weather {
        match self {
            Self::Calm => Weather::calm(),
            Self::Rough => Weather::rough(),
        }
    }
}

impl DemoArgs {
    pub(crate) fn dashboard(&self) -> SocketAddr {
        self.listen.unwrap_or_else(|| self.local(DASHBOARD_PORT))
    }

    pub(crate) fn sandbox(&self) -> SocketAddr {
        self.sandbox_listen.unwrap_or_else(|| self.local(SANDBOX_PORT))
    }

    /// A run that ends by itself takes free ports: several may run side by side.
    fn local(&self, port: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, if self.once { 0 } else { port }))
    }
}
