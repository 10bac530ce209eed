//! What can be said on the command line. Help texts are for strangers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Keeps an order system's database and its CRMs in agreement, above all CRMs that send no webhooks.
///
/// Start with `tidemark demo`: it needs nothing but this program. For a database of your own: write tidemark.toml, then `tidemark check`,
/// `tidemark migrate`, `tidemark up`; look at what a stream would do with `tidemark match STREAM`, and let it go with `tidemark resume STREAM`.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110, after_help = EXITS)]
pub(crate) struct Args {
    /// The configuration file; `demo` and `sandbox` read none.
    #[arg(long, short, global = true, env = "TIDEMARK_CONFIG", default_value = "tidemark.toml", value_name = "FILE")]
    pub(crate) config: PathBuf,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const EXITS: &str = "Exit codes, of every command:
  0    it did what was asked; for what runs until told to stop: it was told, and stopped in order
  1    it could not: the message names the thing, the place and the remedy
  2    `agree` and `demo --once`: the sides differ; `check`: something will fail; `match`: something waits for a person
  130  ended at once, by a second Ctrl-C or SIGTERM";

const UP: &str = "Needs: the database, the queue, and tables made by `tidemark migrate`. With queue.url = \"embedded\" no other process may use the same queue.
Runs until Ctrl-C or SIGTERM, then lets running jobs finish for worker.drain_deadline. A second signal ends it at once.

Exit codes:
  0  it was told to stop
  1  it could not start, or a part of it broke down: the message says which

Example:
  tidemark up --config shop.toml";

const SCHEDULER: &str =
    "Needs: the database, tables made by `tidemark migrate`, and a Redis as queue (queue.url) that the workers share.
It serves the dashboard, the API, /metrics, /healthz and /readyz at server.listen. Runs until Ctrl-C or SIGTERM.

Exit codes:
  0  it was told to stop
  1  it could not start, or a loop of it hung: start it again

Example:
  TIDEMARK__SERVER__LISTEN=0.0.0.0:8624 tidemark scheduler";

const WORKER: &str = "Needs: the database, tables made by `tidemark migrate`, a Redis as queue (queue.url), and the CRM's secrets in the environment.
Runs until Ctrl-C or SIGTERM, then lets running jobs finish for worker.drain_deadline; what is cut off is taken over by others.

Exit codes:
  0  it was told to stop
  1  it could not start

Example:
  HUBSPOT_TOKEN=pat-na1-... tidemark worker";

const MIGRATE: &str =
    "Needs: the database. Run it once per release and after each change of the mapping; running it again changes nothing.
Tables of the order system are left as they are, but for the triggers. It starts no stream: a new one waits for `tidemark resume`.

Exit codes:
  0  all is up to date, or the plan was printed
  1  it could not: a table or column of the mapping is missing, or a right is

Example, for a database administrator to read first:
  tidemark migrate --plan > plan.sql";

const CAPTURE: &str = "Needs: the database, with tables made by `tidemark migrate`. --plan and --verify change nothing and may run beside a service.
Capture is the triggers that note which rows the order system changed. Where they are missing every row is compared instead, each
poll.settled_every: nothing is lost, but it is late.

Exit codes:
  0  all is as it ought to be; with --plan or --remove: it was printed, or done
  1  it could not: a table is missing, a right is, or the order system held the table for two seconds
  2  with --verify or --apply: something is wrong with a trigger, which is named

Examples:
  tidemark capture --verify
  tidemark capture --plan > repair.sql
  tidemark capture --remove --reason \"bulk load tonight\"";

const UNINSTALL: &str = "Needs: the database. Without --apply nothing is changed: it prints every object of Tidemark's in the database and the SQL that
takes it away, which leaves the order tables as they were found. What is in the CRM stays there.
With --apply it does so in one transaction, if no scheduler or worker is alive and nothing waits to be sent.

Exit codes:
  0  it was printed, or with --apply done
  1  refused, with the reason: nothing was changed

Examples:
  tidemark uninstall --plan > uninstall.sql
  tidemark uninstall --apply --database orders --clear-ids";

const CHECK: &str = "Needs: the configuration, and for all but --offline the database, the queue and the CRM. May run beside a service; nothing is changed without --fix.
Each finding is `ok`, `note` (it works, but look at it) or `error` (it will fail), with what to do about it.

Exit codes:
  0  nothing will fail
  1  the configuration cannot be read: every mistake is listed with its line
  2  at least one error was found

Example:
  HUBSPOT_TOKEN=pat-na1-... tidemark check";

const STATUS: &str =
    "Needs: the database, with tables made by `tidemark migrate`. It asks no CRM, and works while nothing else runs.
A stream that stands at \"plan ready\" is shown with its plan: nothing is read or written for it before `tidemark resume`.

Exit codes:
  0  it was shown; with --ping: the database answers, and Redis where it is the queue
  1  the database, or with --ping the queue, does not answer

Example:
  tidemark status --json";

const AGREE: &str = "Needs: the database and the CRM. Every record is read, which takes calls of the CRM's budget; nothing is changed.
Each field is in one of three groups: the sides agree, they were decided to differ (with the reason), or they differ (listed with the ids).

Exit codes:
  0  the sides agree, or were decided to differ
  1  they could not be compared
  2  they differ

Example:
  tidemark agree hubspot.contacts --json";

const MATCH: &str = "Needs: the database and the CRM. Every record is read, which takes calls of the CRM's budget. Nothing is written without --apply.
With --apply the stream is let go; with --apply --only N the mapping is tried out on N things first, and the stream waits on.

Exit codes:
  0  nothing in it waits for a person
  1  the sides could not be looked through, or --apply came too late: the stream runs already
  2  something is ambiguous, invalid or there twice, or was tried out and not linked: it is listed

Examples:
  tidemark match hubspot.contacts
  tidemark match hubspot.contacts --apply --only 50";

const WHY: &str = "Needs: the database alone. Former values are known for as long as retention.lineage keeps them.

Exit codes:
  0  it was told
  1  the stream, the row or the record is unknown

Examples:
  tidemark why hubspot.contacts row:7
  tidemark why hubspot.contacts record:501 email";

const CONFLICTS: &str = "Needs: the database alone. Fields of owner = \"hold\" come here when both sides changed them; each is listed with the command that decides it.

Exit codes:
  0  they were listed, or there are none
  1  there is no such stream

Example:
  tidemark conflicts hubspot.contacts";

const RESOLVE: &str =
    "Needs: the database. The word is recorded with who gave it; the next push or read of a running worker carries it out.

Exit codes:
  0  it is decided
  1  nothing waits there, or the stream, the row or the field is unknown

Examples:
  tidemark resolve hubspot.contacts 7 phone --take crm
  tidemark resolve hubspot.contacts --all phone --take orders --reason \"the shop verified them\"";

const PAUSE: &str = "Needs: the database. Running processes take on no more work for it. Changes are still captured, and go out once it is resumed.

Exit codes:
  0  it is paused
  1  there is no such stream or connection, or the stream has not started yet

Example:
  tidemark pause hubspot --reason \"quarter end\"";

const SWEEP: &str = "Needs: the database, and running scheduler and workers that do it. The stream must have been loaded once.
`tidemark status` shows how far it is and what it found.

Exit codes:
  0  the sweep begins, or one is under way already
  1  there is no such stream, or it was not loaded yet

Example:
  tidemark sweep hubspot.contacts";

const REWIND: &str = "Needs: the database, and the CRM's secrets, though it makes no call. Without --apply nothing is changed:
it prints which records and calls reading again takes. With --apply running workers read.
What is known already is not written twice. What moved no stamp only `tidemark sweep` finds.

Exit codes:
  0  it was printed, or with --apply the readers are set back
  1  refused: the time lies ahead of the readers or before 1970, or the stream was not loaded yet

Examples:
  tidemark rewind hubspot.contacts --by 2h
  tidemark rewind hubspot.contacts --to 2026-11-25T10:00:00Z --apply";

const RELIABILITY: &str = "Needs: the database alone; it asks no CRM. Hours are counted by a running scheduler and kept for retention.call_hours; the calls
themselves for retention.callouts.
A first try is a call that tries nothing again; what failed is cured when a later attempt at it succeeds. An outage lasts from the first
call that got no usable answer (none, a broken one, 5xx, 429) to the next that did.

Exit codes:
  0  it was printed
  1  there is no such connection

Examples:
  tidemark reliability
  tidemark reliability hubspot --since 30d --markdown > hubspot.md";

const RESUME: &str = "Needs: the database. Running processes heed it within a tick.

Exit codes:
  0  it runs, or nothing waits behind that brake any more
  1  there is no such stream or connection

Examples:
  tidemark resume hubspot.contacts --act delete   lets through what its brake on deletes holds back
  tidemark match hubspot.contacts      shows what would happen
  tidemark resume hubspot.contacts     says go to it
  tidemark resume hubspot              after `tidemark pause hubspot`";

const ENVIRONMENT: &str = "Needs: the database, and the queue for what is remembered beside it. Asks no CRM. Without `adopt` nothing is changed.
A database at another place than it was adopted at is not started on: it may be a copy. From one that is older than was seen of it, or on
which nothing ran for environment.restore_guard, nothing is sent until everything was read again and somebody has looked.

Exit codes:
  0  it was shown, or adopted
  1  it could not: with `adopt`, not every stream was read, compared and swept yet

Examples:
  tidemark environment
  tidemark environment adopt --reason \"restored last night's backup\"";

const SANDBOX: &str = "Needs: nothing. Reads no configuration; what is in it is gone when it ends. Runs until Ctrl-C or SIGTERM.
A stream reaches it with base_url = \"http://127.0.0.1:8625\" and the token in its connection. The page is at /sandbox/.

Exit codes:
  0  it was told to stop
  1  it cannot listen there

Example:
  tidemark sandbox --records 100 --weather rough";

const DEMO: &str = "Needs: nothing. Reads no configuration but writes one, which is a good start for your own. Runs until Ctrl-C, or with --once until both sides agree.

Exit codes:
  0  it was ended by Ctrl-C; with --once: both sides agree
  1  it could not start or broke down: a port is in use, the folder cannot be written
  2  with --once: the sides differ after --patience

Examples:
  tidemark demo
  tidemark demo --once --records 500 --weather rough --json";

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run everything in one process: scheduler, workers and dashboard.
    #[command(after_help = UP)]
    Up,
    /// Run a scheduler: it decides what is due, and serves the dashboard. Any number may run.
    #[command(after_help = SCHEDULER)]
    Scheduler,
    /// Run a worker: it reads the CRMs, applies the changes and pushes. Any number may run.
    #[command(after_help = WORKER)]
    Worker,
    /// Make or update Tidemark's own tables, and install the triggers that note which rows changed.
    #[command(after_help = MIGRATE)]
    Migrate {
        /// Only print the SQL and, on PostgreSQL, the grants that Tidemark's role needs; change nothing.
        #[arg(long)]
        plan: bool,
    },
    /// Show Tidemark at work with a sample order database and a practice CRM.
    #[command(after_help = DEMO)]
    Demo(crate::demo::DemoArgs),
    /// Run the practice CRM: HubSpot's dialect over HTTP, with a page to edit records and set the weather.
    #[command(after_help = SANDBOX)]
    Sandbox(SandboxArgs),
    /// Look after the triggers that note which rows the order system changed: verify them, put them right, take them away.
    #[command(after_help = CAPTURE)]
    Capture(CaptureArgs),
    /// List everything of Tidemark's in the order database, with the SQL that takes it away; --apply takes it away.
    #[command(after_help = UNINSTALL)]
    Uninstall(UninstallArgs),
    /// Check configuration, database, rights, queue and CRM: what will fail, and what to do about it.
    #[command(after_help = CHECK)]
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
    #[command(after_help = STATUS)]
    Status {
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
        /// Only say whether database and queue answer, for health checks.
        #[arg(long)]
        ping: bool,
    },
    /// Compare both sides of every stream field by field.
    #[command(after_help = AGREE)]
    Agree {
        /// Compare these streams only, such as `hubspot.contacts`.
        streams: Vec<String>,
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
    },
    /// Look through both sides of a new stream before they meet: what is matched, new on either side, ambiguous or invalid.
    #[command(after_help = MATCH)]
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
    #[command(after_help = WHY)]
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
    #[command(after_help = CONFLICTS)]
    Conflicts {
        /// List this stream only.
        stream: Option<String>,
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
    },
    /// Decide a conflict: let one side's value stand. The other side takes it with the next push or read.
    #[command(after_help = RESOLVE)]
    Resolve(ResolveArgs),
    /// Show where the database is, whether it may be a copy or a restored backup, what is held because of that, and what would be sent.
    #[command(after_help = ENVIRONMENT)]
    Environment {
        #[command(subcommand)]
        act: Option<EnvironmentAct>,
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
    },
    /// Pause a stream or a whole connection: no call is made for it until it is resumed.
    #[command(after_help = PAUSE)]
    Pause {
        /// A stream such as `hubspot.contacts`, or a connection such as `hubspot`.
        subject: String,
        /// Why; everybody who looks at the stream sees it.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Sweep a stream now instead of when it is due: compare every row and read every record, to find what no stamp and no trigger told.
    #[command(after_help = SWEEP)]
    Sweep {
        /// A stream such as `hubspot.contacts`.
        #[arg(value_name = "STREAM")]
        subject: String,
    },
    /// Read again what was modified since an earlier time: say what that costs, or with --apply set the stream's readers back.
    #[command(after_help = REWIND)]
    Rewind(RewindArgs),
    /// Report how well the CRMs answered: first tries, retries until cured, what is not cured, times, quota, outages.
    #[command(after_help = RELIABILITY)]
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
    #[command(after_help = RESUME)]
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
