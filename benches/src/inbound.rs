//! The inbound benchmark: an initial load by Tidemark and by the plain loop, by turns, on one machine in one sitting.
//!
//! Decides when a run begins and ends and what is counted in it. Judges no figure; only wrong or missing work is a failure.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use eyre::{WrapErr, bail, ensure, eyre};
use serde::{Deserialize, Serialize};

use crate::database::{Database, Server};
use crate::machine::Machine;
use crate::process::Running;
use crate::product::Product;
use crate::reference;
use crate::summary::Summary;

/// Measures an initial load of contacts into PostgreSQL: Tidemark (the program named by TIDEMARK_BIN) beside the plain loop.
#[derive(Args)]
pub(crate) struct Options {
    /// Contacts to load.
    #[arg(long, default_value_t = 200_000)]
    records: u64,
    /// Repetitions; each runs both variants, one after the other.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Records asked for per page.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    page: u16,
    /// Milliseconds that the CRM takes for each page.
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// Seconds after which a run has failed.
    #[arg(long, default_value_t = 600)]
    timeout_secs: u64,
    /// Runs the plain loop alone.
    #[arg(long)]
    reference_only: bool,
    /// Prints every run and the summary as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Variant {
    Reference,
    Tidemark,
}

/// One load, from the start of its process until the last record was committed and the window closed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Run {
    pub(crate) variant: Variant,
    pub(crate) repetition: u32,
    pub(crate) wall_s: f64,
    /// From the start until a row could be seen; of the plain loop it is not measured.
    pub(crate) first_record_s: Option<f64>,
    /// User and system time of the process, until the load was complete.
    pub(crate) cpu_s: f64,
    /// The same of the whole PostgreSQL server.
    pub(crate) postgres_cpu_s: f64,
    pub(crate) memory_peak_mib: f64,
    /// The same of the fast CRM: what the harness itself took away.
    pub(crate) crm_cpu_s: f64,
    /// From SIGTERM until the process was gone.
    pub(crate) stop_s: Option<f64>,
}

#[derive(Serialize)]
struct Report<'a> {
    machine: &'a Machine,
    records: u64,
    page: u16,
    runs: &'a [Run],
    summary: &'a Summary,
}

pub(crate) async fn run(options: &Options) -> eyre::Result<()> {
    let program = program(options)?;
    let mut bench = Bench {
        options,
        server: Server::find().await?,
        crm: FastCrm::start(options.records, options.page.max(200), options.latency_ms)?,
        fingerprint: None,
    };
    let machine = Machine::look(bench.server.folder());
    let mut runs = Vec::new();
    for repetition in 1..=options.runs {
        let mut variants = vec![None];
        variants.extend(program.as_deref().map(Some));
        // By turns, so that neither always runs on what the other has warmed up.
        if repetition % 2 == 0 {
            variants.reverse();
        }
        for program in variants {
            let run = bench.measure(repetition, program).await?;
            eprintln!("repetition {repetition}: {:?} took {:.2} s", run.variant, run.wall_s);
            runs.push(run);
        }
    }
    let summary = Summary::new(options.records, &runs);
    let mut out = std::io::stdout();
    if options.json {
        let report = Report { machine: &machine, records: options.records, page: options.page, runs: &runs, summary: &summary };
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        writeln!(
            out,
            "{}\n{} records, pages of {}, {} repetitions: median (min-max)\n",
            machine.words(),
            options.records,
            options.page,
            options.runs
        )?;
        write!(out, "{}", summary.words())?;
    }
    Ok(())
}

fn program(options: &Options) -> eyre::Result<Option<PathBuf>> {
    if options.reference_only {
        return Ok(None);
    }
    let path =
        std::env::var_os("TIDEMARK_BIN").ok_or_else(|| eyre!("TIDEMARK_BIN names no program; --reference-only needs none"))?;
    // Absolute, because it is started in another folder.
    let path = PathBuf::from(path).canonicalize().wrap_err("TIDEMARK_BIN names no program")?;
    Ok(Some(path))
}

struct Bench<'a> {
    options: &'a Options,
    server: Server,
    crm: FastCrm,
    /// What the first run has written. Every other must have written the same.
    fingerprint: Option<String>,
}

/// What was used before a run.
struct Before {
    postgres_ms: u64,
    crm_ms: u64,
    started: Instant,
}

impl Bench<'_> {
    /// The program is Tidemark; without one it is the plain loop's turn.
    async fn measure(&mut self, repetition: u32, program: Option<&Path>) -> eyre::Result<Run> {
        let word = if program.is_some() { "tidemark" } else { "reference" };
        let mut database = self.server.create(&format!("bench_{}_{repetition}_{word}", std::process::id())).await?;
        let measured = match program {
            Some(program) => self.measure_tidemark(repetition, program, &mut database).await,
            None => self.measure_reference(repetition, &mut database).await,
        };
        self.server.remove(database).await?;
        measured.wrap_err_with(|| format!("repetition {repetition}, {word}"))
    }

    async fn measure_reference(&mut self, repetition: u32, database: &mut Database) -> eyre::Result<Run> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["reference", "--server", &self.crm.url, "--page", &self.options.page.to_string()]);
        command.env(reference::DATABASE, &database.url).stdin(Stdio::null()).stdout(Stdio::piped());
        let before = self.before().await?;
        let mut child = Running::start(&mut command)?;
        let used = child.ended(self.deadline()).await?;
        let wall_s = before.started.elapsed().as_secs_f64();
        let output = child.child.stdout.take().map(std::io::read_to_string).transpose()?.unwrap_or_default();
        let status = child.wait()?;
        ensure!(status.success(), "it failed ({status})");
        let told: Told = serde_json::from_str(&output).wrap_err("it did not tell what it took")?;
        let run = Run {
            variant: Variant::Reference,
            repetition,
            wall_s,
            first_record_s: None,
            cpu_s: seconds(used.cpu_ms),
            postgres_cpu_s: seconds(self.server.cpu_ms()?.saturating_sub(before.postgres_ms)),
            // It looks at itself last; from outside its last milliseconds are not seen.
            memory_peak_mib: mib(told.memory_peak_kib),
            crm_cpu_s: seconds(self.crm.cpu_ms()?.saturating_sub(before.crm_ms)),
            stop_s: None,
        };
        self.prove(database, "bench_reference").await?;
        ensure!(database.count("bench_outbox").await? == self.options.records, "it owes outbox rows");
        Ok(run)
    }

    async fn measure_tidemark(&mut self, repetition: u32, program: &Path, database: &mut Database) -> eyre::Result<Run> {
        let product = Product::install(program, &database.url, &self.crm.url, self.options.page)?;
        product.prepare()?;
        let before = self.before().await?;
        let mut child = product.up()?;
        let loaded = self.await_load(&mut child, database, before.started).await;
        let (first_record_s, wall_s) = loaded.map_err(|error| eyre!("{error:#}; its log ends:\n{}", product.log("up")))?;
        let used = child.used()?;
        let postgres_ms = self.server.cpu_ms()?;
        let crm_ms = self.crm.cpu_ms()?;
        let rows = database.count("bench_contacts").await?;
        ensure!(rows == self.options.records, "the window is complete, the table is not: {}", database.explain().await);

        let stopping = Instant::now();
        child.ask_to_stop()?;
        let memory_peak_kib = child.ended(Duration::from_secs(60)).await.wrap_err("after SIGTERM")?.memory_peak_kib;
        let stop_s = stopping.elapsed().as_secs_f64();
        let status = child.wait()?;
        ensure!(status.success(), "it did not end cleanly after SIGTERM ({status}):\n{}", product.log("up"));
        self.prove(database, "bench_contacts").await?;
        Ok(Run {
            variant: Variant::Tidemark,
            repetition,
            wall_s,
            first_record_s: Some(first_record_s),
            cpu_s: seconds(used.cpu_ms),
            postgres_cpu_s: seconds(postgres_ms.saturating_sub(before.postgres_ms)),
            memory_peak_mib: mib(memory_peak_kib),
            crm_cpu_s: seconds(crm_ms.saturating_sub(before.crm_ms)),
            stop_s: Some(stop_s),
        })
    }

    /// Seconds until the first record was there, and until the first window was complete.
    async fn await_load(&self, child: &mut Running, database: &mut Database, started: Instant) -> eyre::Result<(f64, f64)> {
        let mut first = None;
        loop {
            if first.is_none() && database.has_rows().await? {
                first = Some(started.elapsed().as_secs_f64());
            }
            if database.is_loaded().await? {
                let loaded = started.elapsed().as_secs_f64();
                return Ok((first.unwrap_or(loaded), loaded));
            }
            ensure!(!child.used()?.ended, "`tidemark up` ended by itself");
            if started.elapsed() > self.deadline() {
                let (seconds, why) = (self.deadline().as_secs(), database.explain().await);
                bail!("not loaded after {seconds} s: {why}");
            }
            // Seldom enough to cost the database nothing that could be seen in its figures.
            tokio::time::sleep(Duration::from_millis(if first.is_some() { 20 } else { 10 })).await;
        }
    }

    async fn before(&mut self) -> eyre::Result<Before> {
        self.server.checkpoint().await?;
        Ok(Before { postgres_ms: self.server.cpu_ms()?, crm_ms: self.crm.cpu_ms()?, started: Instant::now() })
    }

    /// Fast and wrong counts for nothing.
    async fn prove(&mut self, database: &mut Database, table: &str) -> eyre::Result<()> {
        let rows = database.count(table).await?;
        ensure!(rows == self.options.records, "{table} has {rows} rows instead of {}", self.options.records);
        let found = database.fingerprint(table).await?;
        let expected = self.fingerprint.get_or_insert_with(|| found.clone());
        ensure!(*expected == found, "{table} holds other values ({found}) than the first run has written ({expected})");
        Ok(())
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(self.options.timeout_secs)
    }
}

/// What the plain loop says of itself, as far as it is of use.
#[derive(Deserialize)]
struct Told {
    memory_peak_kib: u64,
}

/// The fast server as a child process.
pub(crate) struct FastCrm {
    pub(crate) url: String,
    process: Running,
}

impl FastCrm {
    /// Returns when it listens.
    pub(crate) fn start(records: u64, page_max: u16, latency_ms: u64) -> eyre::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", "--until-stdin-ends"]);
        command.args([
            "--records",
            &records.to_string(),
            "--page-max",
            &page_max.to_string(),
            "--latency-ms",
            &latency_ms.to_string(),
        ]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Running::start(&mut command)?;
        let mut url = String::new();
        if let Some(stdout) = process.child.stdout.take() {
            BufReader::new(stdout).read_line(&mut url)?;
        }
        ensure!(!url.trim().is_empty(), "the fast server did not start");
        Ok(Self { url: url.trim().to_owned(), process })
    }

    pub(crate) fn cpu_ms(&mut self) -> eyre::Result<u64> {
        Ok(self.process.used()?.cpu_ms)
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1_024.0
}
