//! Decides how a stream stands, in words: whether its sides agree, what is in the way, and what happens next.
//!
//! Pure: what it is given, it judges. Reads no clock and no table.

use serde::Serialize;
use tidemark_core::Millis;
use tidemark_store::overview::{BrakeView, StreamOverview};

use super::words::{class, count, relative, span, vendor};

/// How a stream stands, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mood {
    /// Nothing moves until somebody acts, and nobody asked for that.
    Stopped,
    /// Later than `fresh_within` allows.
    Behind,
    /// A person stopped it.
    Paused,
    /// Fresh, except for what waits for a person, or for edits that nothing tells us of.
    Person,
    /// Waits for somebody to say go.
    Plan,
    /// Reads everything for the first time.
    Loading,
    Fresh,
}

impl Mood {
    /// The word on the badge.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Behind => "behind",
            Self::Paused => "paused",
            Self::Person => "needs a person",
            Self::Plan => "plan ready",
            Self::Loading => "first load",
            Self::Fresh => "fresh",
        }
    }

    /// Which of the four colours it is shown in.
    pub(crate) fn tone(self) -> &'static str {
        match self {
            Self::Stopped | Self::Behind => "alarm",
            Self::Paused | Self::Person => "watch",
            Self::Plan | Self::Loading => "info",
            Self::Fresh => "calm",
        }
    }
}

/// What stands around the streams.
#[derive(Debug, Clone, Copy)]
pub(crate) struct House {
    pub(crate) workers_alive: usize,
    pub(crate) queue_answers: bool,
}

/// How one stream stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub mood: Mood,
    /// The later of the two directions; `None` before anything was read.
    pub lag_ms: Option<Millis>,
    /// Follows the stream's name: "is fresh".
    pub say: String,
    /// What is in the way.
    pub why: Option<String>,
    /// What happens next without anybody's help, or what a person has to do.
    pub next: String,
}

/// The reason a pause by a person begins with.
pub(crate) const BY_PERSON: &str = "paused by ";

pub(crate) fn judge(stream: &StreamOverview, fresh_within: Millis, house: House) -> Verdict {
    let lag_ms = stream.fresh_at.map(|at| (stream.now - at).max(stream.oldest_owed_ms.unwrap_or(0)).max(0));
    let verdict = |mood, say: String, why, next| Verdict { mood, lag_ms, say, why, next };
    if stream.state == "plan_ready" {
        return verdict(
            Mood::Plan,
            "waits for your go".into(),
            None,
            "Nothing is read or written until somebody says go.".into(),
        );
    }
    if stream.state != "running" {
        let kept = kept(stream);
        // A hook that nobody listens to any more was not stopped by a person, and wants one.
        let unheard = stream.one_way && stream.reason.as_deref().is_some_and(|reason| !reason.starts_with(BY_PERSON));
        return verdict(
            if unheard { Mood::Person } else { Mood::Paused },
            "is paused".into(),
            stream.reason.clone(),
            format!("Nothing until somebody resumes it. {kept}"),
        );
    }
    if stream.connection_state != "running" {
        let by_person = stream.connection_reason.as_deref().is_some_and(|reason| reason.starts_with(BY_PERSON));
        let (mood, say) = if by_person { (Mood::Paused, "is paused with its connection") } else { (Mood::Stopped, "is stopped") };
        let probed =
            if by_person || stream.one_way { "" } else { "its credentials are taken again, which is tried once an hour, or " };
        let next = format!("Nothing until {probed}somebody resumes the connection {}. {}", stream.connection, kept(stream));
        let why = stream.connection_reason.clone();
        let why = why.or_else(|| Some(format!("its connection {} is {}", stream.connection, stream.connection_state)));
        return verdict(mood, say.into(), why, next);
    }
    let next = next_step(stream, house);
    if stream.loaded_at.is_none() {
        let records = stream.records_hour.max(stream.open_window.as_ref().map_or(0, |window| window.records));
        let say = match stream.one_way {
            true => "takes down the rows that are there".to_owned(),
            false => format!("is loading for the first time: {} so far", count(records, "record", "records")),
        };
        let why = obstacle(stream, house);
        // One refusal during a long load is weather; three in a row, or nobody to go on, is not.
        let stuck = stream.poll_attempts >= 3 || house.workers_alive == 0 || !house.queue_answers;
        let mood = if stuck { Mood::Stopped } else { Mood::Loading };
        return verdict(mood, if mood == Mood::Loading { say } else { "has not finished its first load".into() }, why, next);
    }
    if stream.held_at.is_some() {
        let next = format!(
            "It is read again as a whole; then `tidemark environment` shows what would be sent, and `tidemark environment adopt` lets it go. {} {next}",
            kept(stream)
        );
        return verdict(
            Mood::Person,
            "is read and sends nothing until somebody has looked".into(),
            stream.held_why.clone(),
            next,
        );
    }
    if let Some(lag) = lag_ms.filter(|lag| *lag > fresh_within) {
        let why = obstacle(stream, house).or_else(|| stream.reader.as_ref().map(|_| "a large window is being read".into()));
        return verdict(
            Mood::Behind,
            format!("is {} behind", span(lag)),
            why.or_else(|| Some("the work waits for a free worker".into())),
            next,
        );
    }
    if let Some(deaf) = stream.deaf() {
        let next = format!("Until `tidemark migrate` puts them back, every row is compared from time to time. {next}");
        return verdict(Mood::Person, "hears of no edit in the order system".into(), Some(deaf), next);
    }
    let brakes: Vec<String> = stream.brakes_on().map(BrakeView::words).collect();
    if !brakes.is_empty() {
        let mut answers: Vec<String> = stream.brakes_on().map(|brake| format!("`{}`", brake.remedy(&stream.name))).collect();
        answers.dedup();
        let next =
            format!("They wait for a person: {} lets them through, once somebody has looked. {next}", answers.join(" or "));
        return verdict(Mood::Person, "is fresh, except for what its brakes hold back".into(), Some(brakes.join("; ")), next);
    }
    let why = obstacle(stream, house);
    let waiting = stream.parked + stream.open_conflicts;
    if waiting > 0 {
        let say = format!("is fresh, except for {} that {} for a person", count(waiting, "change", "changes"), verb(waiting));
        return verdict(Mood::Person, say, why, next);
    }
    if lag_ms.is_none() {
        return verdict(Mood::Loading, "is being read for the first time".into(), why, next);
    }
    verdict(Mood::Fresh, "is fresh".into(), why, next)
}

fn verb(count: i64) -> &'static str {
    if count == 1 { "waits" } else { "wait" }
}

fn kept(stream: &StreamOverview) -> String {
    let owed = stream.owed_pushes + stream.owed_reads + stream.waiting_for_parent;
    match owed {
        0 => "Changes made meanwhile are kept.".into(),
        1 => "1 owed change is kept.".into(),
        _ => format!("{} are kept.", count(owed, "owed change", "owed changes")),
    }
}

/// What is in the way now, in words; the poll's own error says more than its class.
fn obstacle(stream: &StreamOverview, house: House) -> Option<String> {
    let crm = vendor(stream.connector.as_deref().unwrap_or(&stream.connection));
    let told = |text: Option<&str>, word: Option<&str>| match (text.filter(|text| !text.is_empty()), word) {
        (Some(text), _) => text.to_owned(),
        (None, Some("throttled")) => format!("{crm} asked us to wait"),
        (None, Some(word)) => class(word).to_owned(),
        (None, None) => format!("{crm} gave no usable answer"),
    };
    if stream.poll_attempts > 0 {
        return Some(told(stream.poll_error.as_deref(), stream.poll_class.as_deref()));
    }
    if house.workers_alive == 0 {
        return Some("no worker is alive".into());
    }
    if !house.queue_answers {
        return Some("the queue does not answer, so workers get no hints".into());
    }
    if stream.retrying > 0 {
        let error = told(stream.debt_error.as_deref(), stream.debt_class.as_deref());
        let tries = count(stream.debt_attempts.into(), "attempt", "attempts");
        return Some(format!("{} failed so far, {tries} at most: {error}", count(stream.retrying, "change", "changes")));
    }
    None
}

fn next_step(stream: &StreamOverview, house: House) -> String {
    let now = stream.now;
    let mut parts = Vec::new();
    match (&stream.reader, stream.poll_owed_at) {
        _ if stream.one_way && house.workers_alive == 0 => {
            parts.push("Start a worker: nobody is there to tell of changes.".into());
        }
        _ if stream.one_way => parts.push("Each change is told as it comes.".into()),
        (Some(_), _) => match &stream.open_window {
            Some(window) if window.pages > 0 => parts.push(format!(
                "Being read now: {} in {} so far.",
                count(window.records, "record", "records"),
                count(window.pages, "page", "pages")
            )),
            _ => parts.push("Being read now.".into()),
        },
        (None, Some(at)) if at > now => {
            parts.push(format!("Reads again {} (attempt {}).", relative(now, at), stream.poll_attempts + 1));
        }
        (None, Some(_)) if house.workers_alive == 0 => parts.push("Start a worker: the read is owed and nobody takes it.".into()),
        (None, Some(at)) if now - at < 2_000 => parts.push("Is read next.".into()),
        (None, Some(at)) => parts.push(format!("A read has been waiting for a worker for {}.", span(now - at))),
        (None, None) if house.workers_alive == 0 => parts.push("Start a worker: nobody is there to read it.".into()),
        (None, None) if stream.due_at > now => parts.push(format!("Reads again {}.", relative(now, stream.due_at))),
        (None, None) => parts.push("Is due to be read.".into()),
    }
    if stream.due_now > 0 {
        parts.push(format!("{} due now.", count(stream.due_now, "debt is", "debts are")));
    } else if let Some(at) = stream.next_debt_at {
        parts.push(format!("Next debt is tried {}.", relative(now, at)));
    }
    if stream.walk_owed {
        parts.push("Every row is being compared with what was agreed.".into());
    }
    parts.join(" ")
}

/// The page's first sentence, and what follows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Headline {
    pub mood: Mood,
    pub line: String,
    /// The other streams that are not fresh, one sentence each, the most urgent first.
    pub more: Vec<String>,
}

/// Sums up all streams, `(name, verdict)` each.
pub(crate) fn headline(verdicts: &[(&str, &Verdict)], house: House) -> Headline {
    if verdicts.is_empty() {
        return Headline { mood: Mood::Plan, line: "No stream is configured yet".into(), more: vec![] };
    }
    let wants_work = verdicts.iter().any(|(_, verdict)| !matches!(verdict.mood, Mood::Plan | Mood::Paused));
    let mut unfresh: Vec<_> = verdicts.iter().filter(|(_, verdict)| verdict.mood != Mood::Fresh).collect();
    unfresh.sort_by_key(|(_, verdict)| (verdict.mood, std::cmp::Reverse(verdict.lag_ms)));
    let mut more: Vec<String> = unfresh.iter().map(|(name, verdict)| sentence(name, verdict)).collect();
    if wants_work && house.workers_alive == 0 {
        return Headline { mood: Mood::Stopped, line: "No worker is alive: nothing moves until one starts".into(), more };
    }
    if wants_work && !house.queue_answers {
        return Headline {
            mood: Mood::Stopped,
            line: "The queue does not answer: workers get no hints until it is back".into(),
            more,
        };
    }
    match unfresh.first() {
        None => Headline { mood: Mood::Fresh, line: all_fresh(verdicts), more },
        Some((_, worst)) => {
            let line = more.remove(0);
            Headline { mood: worst.mood, line, more }
        }
    }
}

fn sentence(name: &str, verdict: &Verdict) -> String {
    match &verdict.why {
        Some(why) => format!("{name} {}: {}", verdict.say, why.trim_end_matches('.')),
        None => format!("{name} {}", verdict.say),
    }
}

fn all_fresh(verdicts: &[(&str, &Verdict)]) -> String {
    match verdicts {
        [(name, _)] => format!("{name} is fresh: both sides agree"),
        [_, _] => "Both streams are fresh".into(),
        _ => format!("All {} streams are fresh", verdicts.len()),
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
