//! Decides when a brake stops: one for each stream, direction and act, counted over a rolling day, whatever the source. Stops nothing itself and keeps no count.
//!
//! What is counted is things, not writes: a row that is updated a hundred times a day is one updated row. The first too many trips the brake; from then on everything
//! of its act waits until a person answers, so that a mistake does not trickle through at the pace of the days.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::Base;
use crate::page::Step;
use crate::push::Plan;
use crate::record::{Row, is_blank};
use crate::spec::{BrakesSpec, Limit};
use crate::{DAY_MS, Millis};

/// Which side is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Rows, from records.
    In,
    /// Records, from rows.
    Out,
}

impl Direction {
    pub const ALL: [Self; 2] = [Self::In, Self::Out];

    pub fn word(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }

    /// What is written.
    pub fn things(self) -> &'static str {
        match self {
            Self::In => "rows",
            Self::Out => "records",
        }
    }

    /// `1 record`, `180 records`.
    pub fn count(self, many: impl std::fmt::Display) -> String {
        let many = many.to_string();
        let things = self.things();
        let things = if many == "1" { things.trim_end_matches('s') } else { things };
        format!("{many} {things}")
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|direction| direction.word() == word)
    }
}

/// What is done to a thing; of several the most harmful.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    Create,
    Update,
    /// A value is replaced by nothing.
    Blank,
    /// Deleted, archived or marked as deleted.
    Delete,
}

impl Act {
    pub const ALL: [Self; 4] = [Self::Create, Self::Update, Self::Blank, Self::Delete];

    pub fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Blank => "blank",
            Self::Delete => "delete",
        }
    }

    /// What a debt that waits behind the brake is parked as.
    pub fn class(self) -> &'static str {
        match self {
            Self::Create => "brake_create",
            Self::Update => "brake_update",
            Self::Blank => "brake_blank",
            Self::Delete => "brake_delete",
        }
    }

    /// Follows "to be": "180 records to be deleted".
    pub fn done(self) -> &'static str {
        match self {
            Self::Create => "made",
            Self::Update => "changed",
            Self::Blank => "emptied in part",
            Self::Delete => "deleted",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.word() == word)
    }
}

/// The command by which a person lets through what a brake of the stream holds.
pub fn answer(stream: &str, act: Act) -> String {
    format!("tidemark resume {stream} --act {}", act.word())
}

/// What a debt says that a first load owes: a person said go to all of it. A first load deletes nothing.
pub const GO: &str = "go";

/// Whether what a debt was let through for covers this act.
pub fn passes(passed: Option<&str>, act: Act) -> bool {
    names(passed, act.class()) || (act != Act::Delete && names(passed, GO))
}

/// Whether what a debt was let through for, one word each, names this class.
pub fn names(passed: Option<&str>, class: &str) -> bool {
    passed.is_some_and(|passed| passed.split(' ').any(|word| word == class))
}

/// What a step does to its row; `row` as it stands. `None` when the row stays as it is.
pub fn act_on_row(step: &Step<'_>, row: Option<&Row>) -> Option<Act> {
    match step {
        Step::Insert { .. } => Some(Act::Create),
        Step::Lift { .. } => Some(Act::Update),
        Step::Merge { merged, .. } | Step::Bind { merged, .. } | Step::Rebind { merged, .. } => {
            let empties = |(at, value): &(usize, Option<String>)| {
                is_blank(value.as_deref()) && !is_blank(row.and_then(|row| row.field(*at)))
            };
            match merged.row_changes.as_slice() {
                [] => None,
                changes if changes.iter().any(empties) => Some(Act::Blank),
                _ => Some(Act::Update),
            }
        }
        Step::Pass
        | Step::Seen { .. }
        | Step::Exclude { .. }
        | Step::OweRead { .. }
        | Step::ReadWhole
        | Step::Await(_)
        | Step::Redirect { .. }
        | Step::Park { .. }
        | Step::Held { .. } => None,
    }
}

/// What a plan does to its record; `base` as it was agreed. `None` when the record stays as it is, or is only looked for.
pub fn act_on_record(plan: &Plan, base: Option<&Base>) -> Option<Act> {
    match plan {
        Plan::Create { .. } => Some(Act::Create),
        Plan::Archive => Some(Act::Delete),
        Plan::Update { fields, references, .. } => {
            let held = |at: usize| base.and_then(|base| base.get(at)).and_then(|known| known.record.as_deref());
            let empties = fields.iter().any(|sent| is_blank(sent.record.as_deref()) && !is_blank(held(sent.field)))
                || references.iter().any(|reference| reference.to.is_none() && reference.from.is_some());
            Some(if empties { Act::Blank } else { Act::Update })
        }
        Plan::Nothing { .. }
        | Plan::NotOurs { .. }
        | Plan::ReadFirst(_)
        | Plan::FindLost
        | Plan::WaitForParent { .. }
        | Plan::Bury
        | Plan::Forget
        | Plan::HandOver { .. }
        | Plan::Park { .. } => None,
    }
}

const HOUR: Millis = 3_600_000;

/// How many were let through in each hour of the last day. Kept as text: `482107:5 482109:12`, hours since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    hours: BTreeMap<i64, i64>,
}

impl Tally {
    /// What cannot be read counts as nothing.
    pub fn parse(text: &str) -> Self {
        let hour = |word: &str| word.split_once(':').and_then(|(hour, count)| Some((hour.parse().ok()?, count.parse().ok()?)));
        Self { hours: text.split_whitespace().filter_map(hour).collect() }
    }

    pub fn to_text(&self) -> String {
        let words: Vec<String> = self.hours.iter().map(|(hour, count)| format!("{hour}:{count}")).collect();
        words.join(" ")
    }

    /// How many within the last day, and up to an hour more: never less than a day is remembered.
    pub fn within_day(&self, now: Millis) -> i64 {
        self.hours.range((now - DAY_MS) / HOUR..).map(|(_, count)| count).sum()
    }

    fn add(&mut self, count: i64, now: Millis) {
        self.hours.retain(|hour, _| *hour >= (now - DAY_MS) / HOUR);
        if count > 0 {
            *self.hours.entry(now / HOUR).or_default() += count;
        }
    }
}

impl Limit {
    /// Everything passes, and nobody is asked.
    pub fn is_open(self) -> bool {
        self.share_permille >= 1_000
    }

    /// How many within a day, of so many linked pairs.
    pub fn of(self, links: i64) -> i64 {
        let share = links.max(0).saturating_mul(i64::from(self.share_permille)) / 1_000;
        i64::from(self.count).max(share)
    }
}

impl BrakesSpec {
    pub fn limit(&self, act: Act) -> Limit {
        match act {
            Act::Create => self.create,
            Act::Update => self.update,
            Act::Blank => self.blank,
            Act::Delete => self.delete,
        }
    }
}

/// One brake as it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Brake {
    pub tally: Tally,
    /// How many may pass within a day.
    pub limit: i64,
    pub tripped_at: Option<Millis>,
    /// When a person last let through what waited.
    pub answered_at: Option<Millis>,
}

/// One thing that is about to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    pub act: Act,
    /// Let through already: by a person, or when it was tried before.
    pub passed: bool,
    /// When the brake last counted an update of this link.
    pub counted_at: Option<Millis>,
    /// It was owed by then.
    pub owed_at: Option<Millis>,
}

/// What becomes of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// It passes and is counted.
    Counted,
    /// It passes: it was let through, or is counted already.
    Passes,
    /// It waits for a person.
    Held,
}

/// Rules on a batch, in its order: as many pass as there is room for, and the first too many trips the brake.
pub fn rule(brakes: &mut BTreeMap<Act, Brake>, items: &[Item], now: Millis) -> Vec<Ruling> {
    let rule_one = |item: &Item| {
        let Some(brake) = brakes.get_mut(&item.act) else { return Ruling::Passes };
        // Whoever answered had it before his eyes.
        let answered = item.owed_at.is_some_and(|owed_at| brake.answered_at.is_some_and(|answered_at| answered_at >= owed_at));
        let since = brake.answered_at.unwrap_or(0).max(now - DAY_MS);
        if item.passed || answered || (item.act == Act::Update && item.counted_at.is_some_and(|at| at >= since)) {
            return Ruling::Passes;
        }
        if brake.tripped_at.is_some() {
            return Ruling::Held;
        }
        if brake.tally.within_day(now) >= brake.limit {
            brake.tripped_at = Some(now);
            return Ruling::Held;
        }
        brake.tally.add(1, now);
        Ruling::Counted
    };
    items.iter().map(rule_one).collect()
}

#[cfg(test)]
#[path = "brake_tests.rs"]
mod tests;
