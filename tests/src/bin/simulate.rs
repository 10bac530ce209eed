//! Lives seeds, one on each core, and says what came of them. Exit 0 only if every law held in every seed; with deliberate bugs, only if each was caught.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use eyre::{OptionExt, bail};
use rayon::prelude::*;
use tidemark_core::bug::Bug;
use tidemark_tests::simulation::{Coverage, Verdict, on_each_core, run};

const USAGE: &str = "Lives seeds in a simulated world and judges them by its laws.

  --seeds N        so many seeds; default 100
  --first N        the first of them; default 1
  --seed S         this seed alone
  --trace          with every step
  --bugs           plants each deliberate bug in turn and says after how many seeds a law caught it
  --bug NAME       plants this one, such as StrictBoundary";

struct Options {
    first: u64,
    seeds: u64,
    trace: bool,
    bugs: Vec<Bug>,
}

#[expect(clippy::print_stdout, reason = "a command")]
fn main() -> eyre::Result<ExitCode> {
    let Some(options) = options()? else {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    };
    let held = on_each_core(|| if options.bugs.is_empty() { seeds(&options) } else { bugs(&options) })??;
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn options() -> eyre::Result<Option<Options>> {
    let mut options = Options { first: 1, seeds: 100, trace: false, bugs: Vec::new() };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_eyre(format!("{arg} needs a value"));
        match arg.as_str() {
            "--seeds" => options.seeds = value()?.parse()?,
            "--first" => options.first = value()?.parse()?,
            "--seed" => (options.first, options.seeds) = (value()?.parse()?, 1),
            "--trace" => options.trace = true,
            "--bugs" => options.bugs = Bug::ALL.to_vec(),
            "--bug" => {
                let name = value()?;
                let bug = Bug::ALL.into_iter().find(|bug| format!("{bug:?}") == name);
                options.bugs = vec![bug.ok_or_eyre(format!("there is no bug {name}: {:?}", Bug::ALL))?];
            }
            "--help" | "-h" => return Ok(None),
            other => bail!("{other} is no option\n\n{USAGE}"),
        }
    }
    Ok(Some(options))
}

#[expect(clippy::print_stdout, reason = "a command")]
fn seeds(options: &Options) -> eyre::Result<bool> {
    let started = Instant::now();
    let seeds = options.first..options.first + options.seeds;
    let verdicts: Vec<Verdict> = seeds
        .into_par_iter()
        .map(|seed| {
            let verdict = run(seed, options.trace, None)?;
            for line in &verdict.trace {
                println!("{line}");
            }
            if !verdict.breaches.is_empty() {
                println!("{}", told(&verdict));
            }
            Ok(Verdict { trace: Vec::new(), ..verdict })
        })
        .collect::<eyre::Result<_>>()?;
    let (mut failed, mut steps, mut coverage) = (Vec::new(), 0, Coverage::default());
    for verdict in verdicts {
        steps += u64::from(verdict.steps);
        coverage.add(&verdict.coverage);
        if !verdict.breaches.is_empty() {
            failed.push(verdict.seed);
        }
    }
    for (what, times) in &coverage.0 {
        println!("{times:8}  {what}");
    }
    let (count, seconds) = (options.seeds, started.elapsed().as_secs_f64());
    println!("{count} seeds, {steps} steps, {seconds:.1} s: {} failed {failed:?}", failed.len());
    Ok(failed.is_empty())
}

fn told(verdict: &Verdict) -> String {
    let mut text = format!("seed {} at step {}:", verdict.seed, verdict.steps);
    for breach in &verdict.breaches {
        let _ = write!(text, "\n  {breach}");
    }
    let _ = write!(text, "\n  {}", verdict.swarm);
    text
}

#[expect(clippy::print_stdout, reason = "a command")]
fn bugs(options: &Options) -> eyre::Result<bool> {
    let caught = options
        .bugs
        .par_iter()
        .map(|bug| {
            let (caught, line) = hunt(*bug, options)?;
            println!("{line}");
            Ok(caught)
        })
        .collect::<eyre::Result<Vec<bool>>>()?;
    Ok(caught.into_iter().all(|caught| caught))
}

/// The median, over up to nine disjoint runs of seeds, of how many it takes until a law is broken; and the first breach.
#[expect(clippy::print_stdout, reason = "a command")]
fn hunt(bug: Bug, options: &Options) -> eyre::Result<(bool, String)> {
    let mut caught_after = Vec::new();
    let (mut since, mut law) = (0, String::new());
    for seed in options.first..options.first + options.seeds {
        since += 1;
        let verdict = run(seed, options.trace, Some(bug))?;
        for line in &verdict.trace {
            println!("{line}");
        }
        if let Some(breach) = verdict.breaches.first() {
            if law.is_empty() {
                law = breach.split(':').next().unwrap_or_default().to_owned();
            }
            caught_after.push(since);
            since = 0;
        }
        if caught_after.len() == 9 {
            break;
        }
    }
    caught_after.sort_unstable();
    Ok(match caught_after.get(caught_after.len() / 2) {
        Some(median) => {
            let (runs, seeds) = (caught_after.len(), caught_after.iter().sum::<u64>() + since);
            (true, format!("{bug:?} | {median} | {runs} of {seeds} | {law}"))
        }
        None => (false, format!("{bug:?} | not caught in {} seeds", options.seeds)),
    })
}
