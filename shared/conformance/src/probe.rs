//! Learns what a running system does with stamps: their step, what a bound does with the stamp it equals, the order of pages, how late a save shows. Decides what of it agrees with what a file
//! declares; never changes the file.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use eyre::{OptionExt, bail};
use tidemark_core::record::{Record, RemoteId};
use tidemark_core::source::{IdOrder, Order, SourceTraits};
use tokio::time::Instant;

use crate::Bench;

/// What a file declares that the traits do not say.
#[derive(Debug, Clone, Copy)]
pub struct Declared {
    /// `None` where it says that nobody knows.
    pub lower_open: Option<bool>,
    /// `None` where there is no upper bound.
    pub upper_closed: Option<bool>,
}

/// What one finding comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Agrees,
    /// What is declared costs calls and loses nothing.
    Harsher,
    /// What is declared loses records.
    Differs,
}

/// One thing that was learned.
#[derive(Debug, Clone)]
pub struct Finding {
    pub what: &'static str,
    pub declared: String,
    pub found: String,
    pub comparison: Comparison,
    /// Below the object in a file; from the root on where it begins with a slash.
    pub places: &'static [&'static str],
}

/// Records that are made.
pub const MAKES: usize = 6;
const AROUND_MS: i64 = 600_000;
const LOOK: Duration = Duration::from_millis(200);
/// How long beyond what is declared a save is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest pause between two saves.
const STEP_MAX: Duration = Duration::from_secs(61);
const STEPS: [(i64, &str); 3] = [(60_000, "minute"), (1_000, "second"), (1, "millisecond")];

/// The records that are changed after they were made.
const CHANGES: usize = 2;

/// How long it takes at most: each save is looked for as long as it may be late, and a while beyond.
pub fn takes_at_most(traits: &SourceTraits) -> Duration {
    let looks = u32::try_from(MAKES + 2 * CHANGES).unwrap_or(u32::MAX);
    (traits.commit_lag + PATIENCE) * looks + STEP_MAX * u32::try_from(CHANGES).unwrap_or(u32::MAX)
}

/// Makes records, looks, and takes them away. `tells` hears of each step before it is done.
pub async fn probe(bench: &Bench, declared: Declared, tells: &(dyn Fn(String) + Sync)) -> eyre::Result<Vec<Finding>> {
    let found = learn(bench, declared, tells).await;
    tells("archiving what was made".to_owned());
    bench.clear().await;
    found
}

async fn learn(bench: &Bench, declared: Declared, tells: &(dyn Fn(String) + Sync)) -> eyre::Result<Vec<Finding>> {
    let traits = bench.traits()?;
    let (mut made, mut first, mut lag) = (Vec::with_capacity(MAKES), Vec::with_capacity(MAKES), Duration::ZERO);
    for at in 0..MAKES {
        tells(format!("making record {} of {MAKES}, and looking until it shows", at + 1));
        let id = bench.make(&format!("p{at}")).await?;
        let (record, after) = shows(bench, &id, None).await?;
        lag = lag.max(after);
        first.extend(record.modified);
        made.push(id);
    }
    // Then the first two are the last that were changed, by a stamp of their own.
    let pause = Duration::from_millis(step_of(&first).max(1_000).unsigned_abs() + 100);
    for (at, id) in made[..CHANGES].iter().enumerate() {
        tells(format!("changing record {} of {CHANGES}, and looking until that shows", at + 1));
        tokio::time::sleep(pause).await;
        let before = shows(bench, id, None).await?.0;
        bench.change(id, [None, Some(&bench.name("Q")), None]).await?;
        lag = lag.max(shows(bench, id, before.modified).await?.1);
    }
    tells("asking with each bound on a stamp itself".to_owned());
    let window = recent();
    let rows: Vec<Record> = bench.window(window, 100).await?.into_iter().filter(|record| made.contains(&record.id)).collect();
    let stamps: Vec<i64> = rows.iter().filter_map(|record| record.modified).collect();
    if stamps.len() < MAKES {
        bail!(
            "{} of {MAKES} records came with a stamp: see the cases `windows` and `stamps` of `tidemark connector test`",
            stamps.len()
        );
    }
    let mut findings = vec![precision(&traits, &stamps)];
    findings.extend(bounds(bench, declared, &traits, &rows).await?);
    findings.push(order(&traits, &rows));
    findings.push(lateness(&traits, lag));
    Ok(findings)
}

/// Now, by this machine's clock, with room for another one.
fn recent() -> (i64, i64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
    (now - AROUND_MS, now + AROUND_MS)
}

/// A record as pages show it, and how long after its save they did; `before` is the stamp that it had.
async fn shows(bench: &Bench, id: &RemoteId, before: Option<i64>) -> eyre::Result<(Record, Duration)> {
    let saved = Instant::now();
    let patience = bench.traits()?.commit_lag + PATIENCE;
    loop {
        let found = bench.window(recent(), 100).await?.into_iter().rfind(|record| record.id == *id);
        if let Some(record) = found.filter(|record| before.is_none() || record.modified != before) {
            return Ok((record, saved.elapsed()));
        }
        if saved.elapsed() > patience {
            bail!("a record shows in no page within {} s; is this machine's clock right?", patience.as_secs());
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn step_word(step: i64) -> String {
    STEPS.iter().find(|(own, _)| *own == step).map_or_else(|| format!("{step} ms"), |(_, word)| (*word).to_owned())
}

/// The coarsest step that all of these lie on.
fn step_of(stamps: &[i64]) -> i64 {
    STEPS.iter().map(|(step, _)| *step).find(|step| stamps.iter().all(|stamp| stamp % step == 0)).unwrap_or(1)
}

fn precision(traits: &SourceTraits, stamps: &[i64]) -> Finding {
    let step = step_of(stamps);
    let declared = i64::from(traits.precision_ms);
    let comparison = if step == declared { Comparison::Agrees } else { Comparison::Differs };
    let (declared, found) = (step_word(declared), step_word(step));
    Finding { what: "precision", declared, found, comparison, places: &["modified"] }
}

/// Asks with each bound on a stamp itself, whatever the file moves bounds by.
async fn bounds(bench: &Bench, declared: Declared, traits: &SourceTraits, rows: &[Record]) -> eyre::Result<Vec<Finding>> {
    let last = rows.iter().max_by_key(|record| record.modified).ok_or_eyre("no record came")?;
    let stamp = last.modified.unwrap_or_default();
    let step = i64::from(traits.precision_ms);
    let comes =
        async |window| -> eyre::Result<bool> { Ok(bench.window(window, 100).await?.iter().any(|record| record.id == last.id)) };
    let moved = if declared.lower_open == Some(false) { 0 } else { step };
    let closed = comes((stamp + moved, stamp + AROUND_MS)).await?;
    let mut findings = vec![Finding {
        what: "lower bound",
        declared: declared.lower_open.map_or("unknown", |open| bound(!open)).to_owned(),
        found: bound(closed).to_owned(),
        comparison: match (declared.lower_open, closed) {
            (Some(open), closed) if open != closed => Comparison::Agrees,
            (Some(false), _) => Comparison::Differs,
            _ => Comparison::Harsher,
        },
        places: &["read.lower"],
    }];
    let Some(declared) = declared.upper_closed else { return Ok(findings) };
    let closed = comes((stamp - AROUND_MS, stamp + if declared { step } else { 0 })).await?;
    findings.push(Finding {
        what: "upper bound",
        declared: bound(declared).to_owned(),
        found: bound(closed).to_owned(),
        comparison: match (declared, closed) {
            (declared, closed) if declared == closed => Comparison::Agrees,
            (true, _) => Comparison::Differs,
            (false, _) => Comparison::Harsher,
        },
        places: &["read.upper"],
    });
    Ok(findings)
}

fn bound(closed: bool) -> &'static str {
    if closed { "closed" } else { "open" }
}

fn order(traits: &SourceTraits, rows: &[Record]) -> Finding {
    let by_time = rows.is_sorted_by_key(|record| record.modified);
    let by_id = match traits.id_order {
        IdOrder::Number => rows.is_sorted_by_key(|record| record.id.as_str().parse::<u64>().ok()),
        IdOrder::Bytes => rows.is_sorted_by(|one, other| one.id.as_str() <= other.id.as_str()),
    };
    let found = match (by_time, by_id) {
        // Two were changed last that were made first: both at once is no order of ids.
        (true, _) => "by time",
        (false, true) => "by id",
        (false, false) => "none",
    };
    let (declared, holds) = match traits.order {
        Order::TimeThenId => ("by time, then by id", by_time),
        Order::TimeOnly => ("by time", by_time),
        Order::IdOnly => ("by id", by_id),
        Order::None => ("none", true),
    };
    let comparison = match (holds, traits.order) {
        (false, _) => Comparison::Differs,
        (true, Order::None) if by_time || by_id => Comparison::Harsher,
        (true, _) => Comparison::Agrees,
    };
    Finding { what: "order", declared: declared.to_owned(), found: found.to_owned(), comparison, places: &["read.order", "read"] }
}

fn lateness(traits: &SourceTraits, lag: Duration) -> Finding {
    let found = format!("{:.1} s at most, of {} saves", lag.as_secs_f64(), MAKES + 2);
    // What a quiet system does on a good day is less than what it may do: only more than declared says something.
    let comparison = if lag > traits.commit_lag { Comparison::Differs } else { Comparison::Agrees };
    let declared = format!("{} s", traits.commit_lag.as_secs());
    Finding { what: "commit lag", declared, found, comparison, places: &["commit_lag_secs", "/timing"] }
}
