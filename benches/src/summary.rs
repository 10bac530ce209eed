//! Medians, ranges and ratios of the runs, and the table that shows them. Values in, text out.

use std::fmt::Write;

use serde::Serialize;

use crate::inbound::{Run, Variant};

/// Of several repetitions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    /// `None` when there is nothing to spread.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self { median: f64::midpoint(low, high), min, max })
    }

    pub(crate) fn words(spread: Option<Self>, digits: usize) -> String {
        match spread {
            Some(Self { median, min, max }) => format!("{median:.digits$} ({min:.digits$}-{max:.digits$})"),
            None => "-".to_owned(),
        }
    }
}

#[derive(Debug, Serialize)]
struct Line {
    variant: Variant,
    wall_s: Option<Spread>,
    records_per_second: Option<Spread>,
    first_record_s: Option<Spread>,
    cpu_s: Option<Spread>,
    cpu_ms_per_1000_records: Option<Spread>,
    postgres_cpu_s: Option<Spread>,
    memory_peak_mib: Option<Spread>,
    crm_cpu_s: Option<Spread>,
    stop_s: Option<Spread>,
}

/// Tidemark over the plain loop, both ways of taking a ratio.
#[derive(Debug, Serialize)]
struct Ratio {
    name: &'static str,
    of_medians: f64,
    /// Of the two runs of each repetition: others' load on the machine meets both alike.
    within_repetitions: Option<Spread>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    variants: Vec<Line>,
    /// Empty without runs of both.
    ratios: Vec<Ratio>,
}

impl Summary {
    pub(crate) fn new(records: u64, runs: &[Run]) -> Self {
        let variants =
            [Variant::Reference, Variant::Tidemark].into_iter().filter_map(|variant| line(records, variant, runs)).collect();
        let records = records as f64;
        let ratios = [
            ratio("records a second, from the start of the process", runs, |run| records / run.wall_s),
            ratio("records a second, from the first record on", runs, |run| {
                records / (run.wall_s - run.first_record_s.unwrap_or(0.0))
            }),
            ratio("CPU of the service", runs, |run| run.cpu_s),
            ratio("CPU of service and PostgreSQL", runs, |run| run.cpu_s + run.postgres_cpu_s),
            ratio("peak memory", runs, |run| run.memory_peak_mib),
        ];
        Self { variants, ratios: ratios.into_iter().flatten().collect() }
    }

    pub(crate) fn words(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "| | wall s | records/s | first record s | CPU s | CPU ms per 1,000 | Postgres CPU s | peak MiB | CRM CPU s | stop s |"
        );
        let _ = writeln!(out, "|---|---|---|---|---|---|---|---|---|---|");
        for line in &self.variants {
            let name = match line.variant {
                Variant::Reference => "plain loop",
                Variant::Tidemark => "Tidemark",
            };
            let cells = [
                Spread::words(line.wall_s, 2),
                Spread::words(line.records_per_second, 0),
                Spread::words(line.first_record_s, 2),
                Spread::words(line.cpu_s, 2),
                Spread::words(line.cpu_ms_per_1000_records, 1),
                Spread::words(line.postgres_cpu_s, 2),
                Spread::words(line.memory_peak_mib, 1),
                Spread::words(line.crm_cpu_s, 2),
                Spread::words(line.stop_s, 2),
            ];
            let _ = writeln!(out, "| {name} | {} |", cells.join(" | "));
        }
        if !self.ratios.is_empty() {
            let _ = writeln!(out, "\n| Tidemark / plain loop | of the medians | within each repetition |");
            let _ = writeln!(out, "|---|---|---|");
        }
        for Ratio { name, of_medians, within_repetitions } in &self.ratios {
            let _ = writeln!(out, "| {name} | {of_medians:.2} | {} |", Spread::words(*within_repetitions, 2));
        }
        out
    }
}

fn line(records: u64, variant: Variant, runs: &[Run]) -> Option<Line> {
    let runs: Vec<&Run> = runs.iter().filter(|run| run.variant == variant).collect();
    if runs.is_empty() {
        return None;
    }
    let spread = |of: &dyn Fn(&Run) -> Option<f64>| Spread::of(runs.iter().filter_map(|run| of(run)));
    let records = records as f64;
    Some(Line {
        variant,
        wall_s: spread(&|run| Some(run.wall_s)),
        records_per_second: spread(&|run| Some(records / run.wall_s)),
        first_record_s: spread(&|run| run.first_record_s),
        cpu_s: spread(&|run| Some(run.cpu_s)),
        cpu_ms_per_1000_records: spread(&|run| Some(run.cpu_s * 1_000_000.0 / records)),
        postgres_cpu_s: spread(&|run| Some(run.postgres_cpu_s)),
        memory_peak_mib: spread(&|run| Some(run.memory_peak_mib)),
        crm_cpu_s: spread(&|run| Some(run.crm_cpu_s)),
        stop_s: spread(&|run| run.stop_s),
    })
}

fn ratio(name: &'static str, runs: &[Run], of: impl Fn(&Run) -> f64) -> Option<Ratio> {
    let all = |variant| runs.iter().filter(move |run| run.variant == variant);
    let median = |variant| Spread::of(all(variant).map(&of)).map(|spread| spread.median);
    let of_medians = median(Variant::Tidemark)? / median(Variant::Reference)?;
    let pairs = all(Variant::Tidemark).filter_map(|run| {
        let reference = all(Variant::Reference).find(|other| other.repetition == run.repetition)?;
        Some(of(run) / of(reference))
    });
    Some(Ratio { name, of_medians, within_repetitions: Spread::of(pairs) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(variant: Variant, repetition: u32, wall_s: f64) -> Run {
        let (first_record_s, stop_s) = (None, None);
        Run {
            variant,
            repetition,
            wall_s,
            first_record_s,
            cpu_s: 1.0,
            postgres_cpu_s: 1.0,
            memory_peak_mib: 8.0,
            crm_cpu_s: 0.1,
            stop_s,
        }
    }

    #[test]
    fn a_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn a_ratio_is_taken_within_each_repetition_so_that_a_busy_minute_meets_both() {
        let runs = [
            run(Variant::Reference, 1, 4.0),
            run(Variant::Tidemark, 1, 5.0),
            run(Variant::Tidemark, 2, 50.0),
            run(Variant::Reference, 2, 40.0),
        ];
        let summary = Summary::new(1_000, &runs);
        assert_eq!(summary.ratios[0].within_repetitions, Some(Spread { median: 0.8, min: 0.8, max: 0.8 }));
        assert!(summary.words().contains("| Tidemark | 27.50 (5.00-50.00) |"), "{}", summary.words());
    }

    #[test]
    fn one_variant_alone_has_no_ratios() {
        assert!(Summary::new(1_000, &[run(Variant::Reference, 1, 4.0)]).ratios.is_empty());
    }
}
