//! `rewind`: what reading a stream again from an earlier time would cost; with `--apply` its readers are set back.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use chrono::DateTime;
use eyre::{WrapErr, bail, eyre};
use serde::Serialize;
use tidemark_core::rewind::{Back, Cost, Standing, Terms, cost, target};
use tidemark_core::source::Bucket;
use tidemark_core::spec::StreamSpec;
use tidemark_core::window::millis;
use tidemark_store::acts::By;
use tidemark_store::{budget, connections, rewind, streams};

use crate::cli::RewindArgs;
use crate::compose::{House, names};
use crate::verbs::{say, say_json, time, who};

/// What reading again takes, and whether it was begun. Times are the CRM's clock in milliseconds.
#[derive(Serialize)]
struct Report {
    stream: String,
    to: i64,
    fast_until: Option<i64>,
    settled_until: Option<i64>,
    /// Records, calls and seconds, at least.
    records: u64,
    calls: u64,
    seconds: u64,
    /// And at most; `null` where no window tells of that time.
    records_most: Option<u64>,
    calls_most: Option<u64>,
    seconds_most: Option<u64>,
    /// Calls of the connection that are left of the day; `null` where nothing bounds them.
    day_calls_left: Option<u64>,
    applied: bool,
}

pub(crate) async fn run(house: &House, args: &RewindArgs) -> eyre::Result<ExitCode> {
    let name = &args.stream;
    let known = (house.config.streams.iter().find(|spec| spec.name == *name), streams::find(&house.store, name).await?);
    let (Some(spec), Some(stream)) = known else {
        bail!("there is no stream {name}: the configuration has {}", names(&house.config.streams));
    };
    if spec.is_one_way() {
        bail!("{name} is only sent to: nothing was read that could be read again");
    }
    let back = match (args.to, args.by) {
        (Some(to), _) => Back::To(to),
        (None, Some(by)) => Back::By(millis(by)),
        (None, None) => bail!("say how far: `--by 2h`, or `--to 2026-11-25T10:00:00Z`"),
    };
    let known = connections::list(&house.store).await?.into_iter().find(|connection| connection.name == spec.connection);
    let crm_now = house.store.now().await? + known.map_or(0, |connection| connection.clock_offset_ms);
    let standing = Standing { is_loaded: stream.loaded_at.is_some(), fast: stream.fast_until, crm_now };
    let to = target(standing, back).wrap_err_with(|| format!("{name} is not rewound"))?;
    let terms = terms(house, spec).await?;
    let known = rewind::known(&house.store, stream.id, to).await?;
    let least = cost(u64::try_from(known.linked).unwrap_or(0), terms);
    let most = known.read.map(|read| cost(u64::try_from(read).unwrap_or(0), terms));
    if args.apply {
        let reason = args.reason.as_deref().map(|reason| format!("; {reason}")).unwrap_or_default();
        let reason = format!("what was modified since {} is read again{reason}", time(to));
        if !rewind::rewind(&house.store, stream.id, name, to, By { who: &who(), reason: Some(&reason) }).await? {
            bail!("{name} is not rewound: its readers were set back meanwhile, before {}", time(to));
        }
    }
    let report = Report {
        stream: name.clone(),
        to,
        fast_until: stream.fast_until,
        settled_until: stream.settled_until,
        records: least.records,
        calls: least.calls,
        seconds: least.seconds,
        records_most: most.map(|most| most.records),
        calls_most: most.map(|most| most.calls),
        seconds_most: most.map(|most| most.seconds),
        day_calls_left: terms.day_left,
        applied: args.apply,
    };
    if args.json {
        say_json(&report)?;
    } else {
        print(&report, least, most);
        print_next(args, &stream.state, &report);
    }
    Ok(ExitCode::SUCCESS)
}

/// How the stream is read, by its connector and its budget. No call is made.
async fn terms(house: &House, spec: &StreamSpec) -> eyre::Result<Terms> {
    let connections = house.connections()?;
    let connection = connections.iter().find(|connection| connection.spec.name == spec.connection);
    let connection = connection.ok_or_else(|| eyre!("connection {} is not in the configuration", spec.connection))?;
    let traits = connection.crm.traits(&spec.object).map_err(|failure| eyre!("{}", failure.message))?;
    let limits = connection.crm.limits();
    let rate = |bucket: Bucket| {
        let own = limits.iter().find(|limit| limit.bucket == bucket).or_else(|| limits.first());
        own.map_or(f64::INFINITY, |limit| limit.per_second)
    };
    let spent = u64::try_from(budget::spent_today(&house.store, &spec.connection).await?).unwrap_or(0);
    Ok(Terms {
        page_rows: u64::from(spec.poll.page_rows_max.min(traits.page_rows_max)),
        batch_rows: u64::from(traits.batch_rows_max),
        reference_fields: spec.reference_fields().count() as u64,
        searches_per_second: rate(connection.crm.search_bucket()),
        calls_per_second: rate(Bucket::General),
        day_left: connection.spec.budget.per_day.map(|per_day| per_day.saturating_sub(spent) / u64::from(traits.page_cost)),
    })
}

fn print(report: &Report, least: Cost, most: Option<Cost>) {
    let up_to = |least: u64, most: Option<u64>, unit: &str| match most {
        Some(most) if most > least => format!("{least} to {most} {unit}"),
        Some(_) => format!("{least} {unit}"),
        None => format!("at least {least} {unit}"),
    };
    let stands = |at: Option<i64>| at.map_or_else(|| "nowhere yet".to_owned(), time);
    say(format_args!("{}: everything modified since {} is read again", report.stream, time(report.to)));
    say(format_args!("    readers     fast at {}, settled at {}", stands(report.fast_until), stands(report.settled_until)));
    say(format_args!("    records     {}, by both readers", up_to(report.records, report.records_most, "records")));
    say(format_args!(
        "    calls       {}, {} at the connection's rate",
        up_to(report.calls, report.calls_most, "calls"),
        minutes(report.seconds_most.unwrap_or(report.seconds))
    ));
    let share = most.unwrap_or(least).day_permille;
    match (report.day_calls_left, share) {
        (Some(left), Some(share)) if share > 1_000 => {
            say(format_args!(
                "    day         {left} calls are left of the day: it would go on tomorrow, and other work with it"
            ));
        }
        (Some(left), Some(share)) => {
            say(format_args!("    day         {}.{} % of the {left} calls that are left of the day", share / 10, share % 10));
        }
        _ => say("    day         nothing bounds the calls of a day (budget.per_day)"),
    }
}

fn print_next(args: &RewindArgs, state: &str, report: &Report) {
    let back = match args.by {
        Some(by) => format!("--by {}", humantime::format_duration(by).to_string().replace(' ', "")),
        None => format!("--to {}", iso(report.to)),
    };
    if !report.applied {
        say(format_args!("Nothing was changed. `tidemark rewind {} {back} --apply` does it.", report.stream));
    } else if state == "paused" {
        say(format_args!("The readers are set back. They read once it runs again: `tidemark resume {}`.", report.stream));
    } else {
        say(format_args!("The readers are set back, and read from there. `tidemark status` says how far they are."));
    }
}

/// How long it takes, coarsely: it is an estimate.
fn minutes(seconds: u64) -> String {
    match seconds {
        0..60 => "less than a minute".to_owned(),
        _ => format!("about {} min", seconds.div_ceil(60)),
    }
}

fn iso(at: i64) -> String {
    DateTime::from_timestamp_millis(at)
        .map_or_else(|| at.to_string(), |at| at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
}

/// A time with its zone, or in UTC without one; a day begins at midnight.
pub(crate) fn parse_time(text: &str) -> Result<i64, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.timestamp_millis());
    }
    let weak = humantime::parse_rfc3339_weak(text).or_else(|_| humantime::parse_rfc3339_weak(&format!("{text} 00:00:00")));
    let at = weak.ok().and_then(|at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    at.map(|since: Duration| millis(since))
        .ok_or_else(|| "write a time such as 2026-11-25T10:00:00Z, in UTC where no zone is named".to_owned())
}

#[cfg(test)]
mod tests {
    use super::parse_time;

    #[test]
    fn a_time_has_a_zone_or_is_utc() {
        for text in ["2026-03-01T10:11:03Z", "2026-03-01T12:11:03+02:00", "2026-03-01 10:11:03", "2026-03-01T10:11:03"] {
            assert_eq!(parse_time(text), Ok(1_772_359_863_000), "{text}");
        }
        assert_eq!(parse_time("2026-03-01"), Ok(1_772_323_200_000));
        assert_eq!(parse_time("1969-12-31T23:59:59Z"), Ok(-1_000));
        for text in ["yesterday", "10:11", "", "2026-13-01"] {
            assert!(parse_time(text).is_err_and(|words| words.contains("such as 2026-11-25T10:00:00Z")), "{text}");
        }
    }
}
