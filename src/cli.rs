//! What can be said on the command line. Help texts are for strangers.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Keeps an order system's database and its CRMs in agreement, above all CRMs that send no webhooks.
///
/// Start with `tidemark demo`: it needs nothing but this program.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110)]
pub(crate) struct Args {
    /// The configuration file.
    #[arg(long, short, global = true, env = "TIDEMARK_CONFIG", default_value = "tidemark.toml")]
    pub(crate) config: PathBuf,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run everything in one process: scheduler, workers and dashboard.
    Up,
    /// Run a scheduler: it decides what is due, and serves dashboard, API, metrics and health. Any number may run.
    Scheduler,
    /// Run a worker: it reads the CRMs, applies the changes and pushes. Any number may run.
    Worker,
    /// Make or update Tidemark's own tables, and install the triggers that note which rows changed.
    Migrate {
        /// Only print the SQL and the grants; change nothing.
        #[arg(long)]
        plan: bool,
    },
    /// Show Tidemark at work with a sample order database and a practice CRM. Needs nothing installed.
    Demo(crate::demo::DemoArgs),
    /// Run the practice CRM: HubSpot's dialect over HTTP, with a page to edit records and set the weather.
    Sandbox(SandboxArgs),
    /// Check the configuration, the database, the queue and the CRM's answer, and say what to do about what is wrong. Exits 2 if something will fail.
    Check {
        /// Make the properties named by `external_key` in the CRM where they are missing; without it nothing is changed.
        #[arg(long)]
        fix: bool,
        /// Check the file only; call and connect to nothing.
        #[arg(long)]
        offline: bool,
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
    },
    /// Show how each stream stands.
    Status {
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
        /// Only say whether database and queue answer: exit 0 if they do, 1 if not.
        #[arg(long)]
        ping: bool,
    },
    /// Compare both sides of every stream field by field; reads every record of the CRM. Exits 0 when they agree, 2 when they differ.
    Agree {
        /// Compare these streams only.
        streams: Vec<String>,
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
    },
    /// Look through both sides of a stream before they meet: what is matched, new on either side, ambiguous, invalid; nothing is written. With --apply the stream is
    /// let go; with --apply --only N the mapping is tried out on N things first. Exits 2 when something in it waits for a person.
    Match {
        /// A stream such as `hubspot.contacts`.
        stream: String,
        /// Only look; this is the default.
        #[arg(long, conflicts_with = "apply")]
        plan: bool,
        /// Let the stream go, as `tidemark resume` does; for a stream that waits at "plan ready".
        #[arg(long)]
        apply: bool,
        /// With --apply: carry out this many things (some matched, some new on either side) and leave the stream waiting.
        #[arg(long, value_name = "N", requires = "apply", value_parser = clap::value_parser!(u16).range(1..=1000))]
        only: Option<u16>,
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
    },
    /// Tell why a row or record is as it is: each field as last agreed, by which rule, and what stood before. Exits 1 when the stream or the thing is unknown.
    Why {
        /// A stream such as `hubspot.contacts`.
        stream: String,
        /// A row's key or a record's id; `row:7` or `record:501` where it could be either.
        thing: String,
        /// One field only, by its property or its column.
        field: Option<String>,
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
    },
    /// List what both sides changed and a person decides: what was agreed, what the row holds, what the record holds, since when.
    Conflicts {
        /// List this stream only.
        stream: Option<String>,
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
    },
    /// Decide a conflict: let one side's value stand. The other side takes it with the next push or read.
    Resolve(ResolveArgs),
    /// Pause a stream (`hubspot.contacts`) or a whole connection (`hubspot`): no call is made for it until it is resumed.
    Pause {
        /// A stream or a connection.
        subject: String,
        /// Why; everybody sees it.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Sweep a stream now: compare every row and read every record, whatever no stamp and no trigger told. It happens by itself as `sweep.every` says.
    Sweep {
        /// A stream.
        subject: String,
    },
    /// Resume what was paused; or say go to a new stream whose plan is ready: nothing is read or written before.
    Resume {
        /// A stream, a connection, or `all`: every stream whose plan is ready, not what is paused.
        subject: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct ResolveArgs {
    /// The stream, such as `hubspot.contacts`.
    pub(crate) stream: String,
    /// The key of the row.
    #[arg(requires = "field", conflicts_with = "all")]
    pub(crate) row: Option<String>,
    /// The property, or its column.
    pub(crate) field: Option<String>,
    /// Decide this field in every row in which it waits.
    #[arg(long, value_name = "FIELD", required_unless_present = "row")]
    pub(crate) all: Option<String>,
    /// Whose value stands.
    #[arg(long, value_parser = ["orders", "crm"])]
    pub(crate) take: String,
    /// Why; it is recorded with the act.
    #[arg(long)]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SandboxArgs {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8625")]
    pub(crate) listen: SocketAddr,
    /// The vendor's dialect to speak.
    #[arg(long, default_value = "hubspot", value_parser = ["hubspot"])]
    pub(crate) dialect: String,
    /// The bearer token callers must send.
    #[arg(long, env = "SANDBOX_TOKEN", default_value = "pat-na1-sandbox", hide_env_values = true)]
    pub(crate) token: String,
    /// calm, or rough: 5xx, 429, lost answers, late commits, index lag.
    #[arg(long, default_value = "calm", value_parser = ["calm", "rough"])]
    pub(crate) weather: String,
    /// Contacts to start with.
    #[arg(long, default_value_t = 0)]
    pub(crate) records: u32,
    /// Seed of the weather's dice.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}
