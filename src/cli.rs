//! What can be said on the command line. Help texts are for strangers.

mod connector;
mod help;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand};
use tidemark_sandbox::Dialect;

pub(crate) use connector::{ConnectorAct, TestArgs, TrialArgs};

/// Keeps an order system's database and its CRMs in agreement, above all CRMs that send no webhooks.
///
/// Start with `tidemark demo`: it needs nothing but this program. For a database of your own: write tidemark.toml, then `tidemark check`,
/// `tidemark migrate`, `tidemark up`; look at what a stream would do with `tidemark match STREAM`, and let it go with `tidemark resume STREAM`.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110, after_help = help::EXITS)]
pub(crate) struct Args {
    /// The configuration file; `demo` and `sandbox` read none.
    #[arg(long, short, global = true, env = "TIDEMARK_CONFIG", default_value = "tidemark.toml", value_name = "FILE")]
    pub(crate) config: PathBuf,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run everything in one process: scheduler, workers and dashboard.
    #[command(after_help = help::UP)]
    Up,
    /// Run a scheduler: it decides what is due, and serves the dashboard. Any number may run.
    #[command(after_help = help::SCHEDULER)]
    Scheduler,
    /// Run a worker: it reads the CRMs, applies the changes and pushes. Any number may run.
    #[command(after_help = help::WORKER)]
    Worker,
    /// Make or update Tidemark's own tables, and install the triggers that note which rows changed.
    #[command(after_help = help::MIGRATE)]
    Migrate {
        /// Only print the SQL and, on PostgreSQL, the grants that Tidemark's role needs; change nothing.
        #[arg(long)]
        plan: bool,
    },
    /// Show Tidemark at work with a sample order database and a practice CRM.
    #[command(after_help = help::DEMO)]
    Demo(crate::demo::DemoArgs),
    /// Run the practice CRM: a vendor's dialect over HTTP, with a page to edit records, set the weather and switch quirks.
    #[command(after_help = help::SANDBOX)]
    Sandbox(SandboxArgs),
    /// List the connectors and what each can do; begin a file of one's own, check it, and try it in front of a CRM.
    #[command(after_help = help::CONNECTOR)]
    Connector {
        #[command(subcommand)]
        act: ConnectorAct,
    },
    /// Look after the triggers that note which rows the order system changed: verify them, put them right, take them away.
    #[command(after_help = help::CAPTURE)]
    Capture(CaptureArgs),
    /// List everything of Tidemark's in the order database, with the SQL that takes it away; --apply takes it away.
    #[command(after_help = help::UNINSTALL)]
    Uninstall(UninstallArgs),
    /// Remove a person on both sides and from everything that is kept, so that nothing brings them back unasked.
    #[command(after_help = help::ERASE)]
    Erase(EraseArgs),
    /// Check configuration, database, rights, queue and CRM: what will fail, and what to do about it.
    #[command(after_help = help::CHECK)]
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
    /// Show how each stream stands: how fresh, what is owed, parked or failing, and the plan of a new one.
    #[command(after_help = help::STATUS)]
    Status {
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
        /// Only say whether database and queue answer, for health checks.
        #[arg(long)]
        ping: bool,
    },
    /// Compare both sides of every stream field by field.
    #[command(after_help = help::AGREE)]
    Agree {
        /// Compare these streams only, such as `hubspot.contacts`.
        streams: Vec<String>,
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
    },
    /// Look through both sides of a new stream before they meet: what is matched, new on either side, ambiguous or invalid.
    #[command(after_help = help::MATCH)]
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
    /// Tell why a row or record is as it is: each field as last agreed, by which rule, and what stood before.
    #[command(after_help = help::WHY)]
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
    #[command(after_help = help::CONFLICTS)]
    Conflicts {
        /// List this stream only.
        stream: Option<String>,
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
    },
    /// Decide a conflict: let one side's value stand. The other side takes it with the next push or read.
    #[command(after_help = help::RESOLVE)]
    Resolve(ResolveArgs),
    /// Show where the database is, whether it may be a copy or a restored backup, what is held because of that, and what would be sent.
    #[command(after_help = help::ENVIRONMENT)]
    Environment {
        #[command(subcommand)]
        act: Option<EnvironmentAct>,
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
    },
    /// Pause a stream or a whole connection: no call is made for it until it is resumed.
    #[command(after_help = help::PAUSE)]
    Pause {
        /// A stream such as `hubspot.contacts`, or a connection such as `hubspot`.
        subject: String,
        /// Why; everybody who looks at the stream sees it.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Sweep a stream now instead of when it is due: compare every row and read every record, to find what no stamp and no trigger told.
    #[command(after_help = help::SWEEP)]
    Sweep {
        /// A stream such as `hubspot.contacts`.
        #[arg(value_name = "STREAM")]
        subject: String,
    },
    /// Read again what was modified since an earlier time: say what that costs, or with --apply set the stream's readers back.
    #[command(after_help = help::REWIND)]
    Rewind(RewindArgs),
    /// List the latest calls to the CRMs, look at one, or record for a while what is said in each, without anybody's data.
    #[command(after_help = help::CALLS)]
    Calls(CallsArgs),
    /// Report how well the CRMs answered: first tries, retries until cured, what is not cured, times, quota, outages.
    #[command(after_help = help::RELIABILITY)]
    Reliability {
        /// A connection such as `hubspot`; without it all.
        connection: Option<String>,
        /// How far back, in whole hours.
        #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = humantime::parse_duration)]
        since: Duration,
        /// Print Markdown, to be filed or sent to the CRM's vendor.
        #[arg(long, conflicts_with = "json")]
        markdown: bool,
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
    },
    /// Say go to a new stream whose plan is ready, or let go on what was paused.
    #[command(after_help = help::RESUME)]
    Resume {
        /// A stream, a connection, or `all`: every stream whose plan is ready, not what is paused.
        subject: String,
        /// Let through what a brake of this stream holds back, once: `create`, `update`, `blank` (values replaced by nothing) or `delete`. `tidemark status` says what waits.
        #[arg(long, value_parser = ["create", "update", "blank", "delete"])]
        act: Option<String>,
        /// Only what is to be written this way: `in` to rows, `out` to records. Without it both.
        #[arg(long, requires = "act", value_parser = ["in", "out"])]
        direction: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum EnvironmentAct {
    /// Take the present place for the right one; or, where the place is the same, let go what is held.
    Adopt {
        /// Let everything go although not every stream was read, compared and swept since.
        #[arg(long)]
        anyway: bool,
        /// Why; it is recorded with the act.
        #[arg(long)]
        reason: Option<String>,
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("act").required(true).multiple(false))]
pub(crate) struct CaptureArgs {
    /// Print the SQL that puts right what is wrong.
    #[arg(long, group = "act")]
    pub(crate) plan: bool,
    /// Put right what is wrong. Where a trigger had been missing every row is compared once.
    #[arg(long, group = "act")]
    pub(crate) apply: bool,
    /// Name each table and trigger with which something is wrong, and what.
    #[arg(long, group = "act")]
    pub(crate) verify: bool,
    /// Take every trigger away. Changes are then found by comparing every row.
    #[arg(long, group = "act")]
    pub(crate) remove: bool,
    /// Why; it is recorded with the act.
    #[arg(long, conflicts_with_all = ["plan", "apply", "verify"])]
    pub(crate) reason: Option<String>,
    /// Print JSON for programs.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UninstallArgs {
    /// Only print; this is the default.
    #[arg(long, conflicts_with = "apply")]
    pub(crate) plan: bool,
    /// Take everything away.
    #[arg(long, requires = "database")]
    pub(crate) apply: bool,
    /// The name of the database that is meant, so that it is no other.
    #[arg(long, value_name = "NAME")]
    pub(crate) database: Option<String>,
    /// Empty the columns into which the CRM's ids were written, too.
    #[arg(long)]
    pub(crate) clear_ids: bool,
    /// Although changes wait that were not sent yet.
    #[arg(long, requires = "apply")]
    pub(crate) anyway: bool,
    /// Print JSON for programs.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct EraseArgs {
    /// A stream such as `hubspot.contacts`.
    pub(crate) stream: String,
    /// The key of the row.
    #[arg(required_unless_present = "record", conflicts_with = "record")]
    pub(crate) row: Option<String>,
    /// The id of the record, where there is no row or its key is not at hand.
    #[arg(long, value_name = "ID")]
    pub(crate) record: Option<String>,
    /// Delete the record so that nothing brings it back, where the CRM can, rather than archive it.
    #[arg(long)]
    pub(crate) for_good: bool,
    /// Only say what would go and what is kept.
    #[arg(long)]
    pub(crate) plan: bool,
    /// Why; it is recorded with the act. Name no person.
    #[arg(long, conflicts_with = "plan")]
    pub(crate) reason: Option<String>,
    /// Print JSON for programs.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CallsArgs {
    /// A connection such as `hubspot`; without it all.
    pub(crate) connection: Option<String>,
    /// Let each call of the connection keep its request and response for a while.
    #[arg(long, requires = "connection", conflicts_with_all = ["stop", "show", "failed"])]
    pub(crate) record: bool,
    /// How long to record, an hour at most; 15m when it is not said.
    #[arg(long = "for", value_name = "DURATION", requires = "record", value_parser = humantime::parse_duration)]
    pub(crate) length: Option<Duration>,
    /// End the recording of the connection now.
    #[arg(long, requires = "connection", conflicts_with_all = ["show", "failed"])]
    pub(crate) stop: bool,
    /// Show one call by its number, with what was kept of it.
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["connection", "failed"])]
    pub(crate) show: Option<i64>,
    /// List only calls that did not succeed.
    #[arg(long)]
    pub(crate) failed: bool,
    /// How many calls to list.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// Why; it is recorded with the act.
    #[arg(long, conflicts_with_all = ["show", "failed"])]
    pub(crate) reason: Option<String>,
    /// Print JSON for programs.
    #[arg(long)]
    pub(crate) json: bool,
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
pub(crate) struct RewindArgs {
    /// A stream such as `hubspot.contacts`.
    pub(crate) stream: String,
    /// Read again from this time on, by the CRM's clock; UTC where no zone is named.
    #[arg(long, value_name = "TIME", required_unless_present = "by", conflicts_with = "by", value_parser = crate::verbs::rewind::parse_time)]
    pub(crate) to: Option<i64>,
    /// Read again from so long before where the readers stand, such as `2h`.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) by: Option<Duration>,
    /// Set the readers back; without it nothing is changed.
    #[arg(long)]
    pub(crate) apply: bool,
    /// Why; it is recorded with the act.
    #[arg(long, requires = "apply")]
    pub(crate) reason: Option<String>,
    /// Print JSON for programs.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The dialect of the practice receiver, which keeps no records.
pub(crate) const HOOKS: &str = "hooks";

#[derive(Debug, clap::Args)]
pub(crate) struct SandboxArgs {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8625")]
    pub(crate) listen: SocketAddr,
    /// The vendor whose dialect it speaks; `hooks` receives what zapier and ifttt streams tell, and prints it.
    #[arg(long, default_value = "hubspot", value_parser = PossibleValuesParser::new(Dialect::ALL.map(Dialect::name).into_iter().chain([HOOKS])))]
    pub(crate) dialect: String,
    /// The token callers must send; also the refresh token and the client secret, where the vendor has them.
    #[arg(long, env = "SANDBOX_TOKEN", default_value = "pat-na1-sandbox", hide_env_values = true)]
    pub(crate) token: String,
    /// `hooks` takes only what is signed with it.
    #[arg(long, env = "SANDBOX_SIGNING", hide_env_values = true)]
    pub(crate) signing: Option<String>,
    /// calm, or rough: 5xx, 429, lost answers, late commits, index lag.
    #[arg(long, default_value = "calm", value_parser = ["calm", "rough"])]
    pub(crate) weather: String,
    /// Contacts to start with, or what the vendor calls them.
    #[arg(long, default_value_t = 0)]
    pub(crate) records: u32,
    /// Seed of the weather's dice.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}
