//! Decides how the records of a closed window are asked for, page after page, from what the source declares: order, paging, cap. Never asks, and knows no CRM.
//!
//! The ways, the first that a source allows:
//!
//! 1. *By id.* An edit takes a record out of a closed window and never lets one slide past the place that was reached; ties and caps mean nothing. Where the source
//!    gives tokens for it, they are followed instead.
//! 2. *By stamp and id.* A keyset over both: a tie goes on behind its last id.
//! 3. *By stamp.* Each page begins at the last page's last stamp, which is read again rather than lost. A page that is one stamp from end to end is a tie: that one
//!    step of time is read by itself, by numbers or tokens.
//! 4. *By token.* A token is asked for no longer than it lives; a dead one, and one that is refused, begins its part of the window again. Tokens that go in circles
//!    end the window with an error.
//! 5. *By number, from the last page to the first.* Whoever leaves the window moves others only towards the pages that are still to come. If the count has grown
//!    meanwhile, somebody may have moved the other way: the part is read again, unless everything is read, which grows all the time.
//! 6. *By number, where nobody counts:* on to the page that no other follows, and from there back to the first. Who slid past on the way on is met on the way back.
//!
//! Where a query gives no more than `result_cap` records, the window is halved until its parts fit, down to one step of the source's precision.

mod numbers;
mod tokens;

use serde::{Deserialize, Serialize};

use crate::Millis;
use crate::record::Record;
use crate::source::{IdOrder, Order, Paging, Position, SourceTraits};
use crate::window::Window;

use tokens::Trail;
pub use tokens::{fresh, worn};

/// Where reading stands inside a window: the part that is read now, and how far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The part `[from, until)` of the window; all of it unless a cap or a tie makes it smaller.
    from: Millis,
    until: Millis,
    at: At,
    /// How often this part had to be begun again.
    #[serde(default, skip_serializing_if = "is_zero")]
    again: u8,
}

fn is_zero(count: &u8) -> bool {
    *count == 0
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum At {
    Start,
    /// After this id.
    Id(String),
    /// After this stamp and id.
    Key(Millis, String),
    /// From this page down to the first, of so many records.
    Page {
        number: u64,
        counted: u64,
        rows: u16,
    },
    /// On to the last page, behind one that ended with this record.
    Onward {
        number: u64,
        rows: u16,
        behind: String,
    },
    /// From this page back to the first.
    Back {
        number: u64,
        rows: u16,
    },
    Token {
        token: String,
        since: Millis,
        /// From the second token on, and not in positions of before there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trail: Option<Trail>,
    },
}

/// The question for one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask<'a> {
    /// Stamps from here, inclusive.
    pub from: Millis,
    /// Up to here, exclusive.
    pub until: Millis,
    pub sort: Sort,
    pub after: After<'a>,
    pub rows_max: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Id,
    TimeThenId,
    Time,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After<'a> {
    Start,
    Id(&'a str),
    Key {
        stamp: Millis,
        id: &'a str,
    },
    /// From 1, of pages of `rows_max`.
    Page(u64),
    Token(&'a str),
}

/// What the source answered.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    pub records: &'a [Record],
    /// How many the query finds in all, where the source says so.
    pub total: Option<u64>,
    /// The source says that there is more.
    pub more: bool,
    pub token: Option<Token<'a>>,
}

/// What asks for the next page, and when it was given, on any clock that only goes forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    pub text: &'a str,
    pub given_at: Millis,
}

/// Where reading goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Course {
    More(Place),
    Drained,
}

/// The source does not do what it declares, or cannot be read in any of its ways: the window ends with an error and is not passed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("a page repeated the position {0}")]
    Repeated(String),
    #[error("the tokens of the pages go in circles: one came again after {0} pages")]
    Circle(u32),
    #[error("{0} is no id of this source")]
    StrangeId(String),
    #[error("record {0} carries no stamp, and pages go by stamp")]
    Unstamped(String),
    #[error("more records are promised{}, and none was given", .0.map_or_else(String::new, |total| format!(" ({total} are counted)")))]
    Promised(Option<u64>),
    #[error("a page of more to come ends with the stamp {0}, before the time that was asked for: the source does not heed it")]
    Unheeded(Millis),
    #[error("more than {0} records share one stamp, and the source gives no more than that")]
    TieBeyondCap(u32),
    #[error("a page is one stamp from end to end, and the source pages by stamp alone")]
    Tie,
    #[error("the source pages by number and does not say how many there are")]
    Uncounted,
    #[error("this part of the window was begun {0} times and never held still")]
    Restless(u8),
    #[error("everything has to come in one page, and it did not")]
    OnePage,
}

impl Fault {
    /// It lies in what the place remembers, so that every later try from there meets it too.
    pub fn is_of_place(&self) -> bool {
        matches!(self, Self::Restless(_))
    }
}

/// A part of a window is begun again this often before that is an error.
const AGAIN_MAX: u8 = 5;

/// How pages of a part follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Id,
    Key,
    Time,
    Numbers,
    Uncounted,
    Tokens,
    One,
}

impl Place {
    /// Where an earlier page ended; the beginning of the window before the first, and for a position of another version.
    pub fn of(window: Window, position: Option<&Position>) -> Self {
        let kept = position.and_then(|Position(text)| serde_json::from_str(text).ok());
        kept.unwrap_or_else(|| Self::part(window.from, window.until))
    }

    pub fn position(&self) -> Position {
        Position(serde_json::to_string(self).unwrap_or_default())
    }

    fn part(from: Millis, until: Millis) -> Self {
        Self { from, until, at: At::Start, again: 0 }
    }

    fn at(&self, at: At) -> Self {
        Self { at, ..self.clone() }
    }

    /// The same part from its beginning.
    fn once_more(&self) -> Result<Self, Fault> {
        let again = self.again + 1;
        if again > AGAIN_MAX { Err(Fault::Restless(again)) } else { Ok(Self { at: At::Start, again, ..self.clone() }) }
    }

    /// One step of the source's time, which cannot be parted further.
    fn is_one_step(&self, traits: &SourceTraits) -> bool {
        self.until - self.from <= Millis::from(traits.precision_ms)
    }

    fn way(&self, traits: &SourceTraits) -> Way {
        let paged = match traits.paging {
            Paging::Numbers => Way::Numbers,
            Paging::Uncounted => Way::Uncounted,
            Paging::Tokens => Way::Tokens,
            Paging::Queries => Way::One,
        };
        match traits.order {
            // The source's own tokens go on behind an id as well as we do.
            Order::IdOnly if traits.paging == Paging::Tokens => Way::Tokens,
            Order::IdOnly => Way::Id,
            Order::TimeThenId => Way::Key,
            // Inside a tie stamps order nothing.
            Order::TimeOnly if !self.is_one_step(traits) => Way::Time,
            Order::TimeOnly | Order::None => paged,
        }
    }
}

/// The question for the page at this place.
pub fn ask<'a>(traits: &SourceTraits, place: &'a Place, rows_max: u16) -> Ask<'a> {
    let rows_max = rows_max.clamp(1, traits.page_rows_max);
    let sort = match place.way(traits) {
        Way::Id => Sort::Id,
        Way::Key => Sort::TimeThenId,
        Way::Time => Sort::Time,
        Way::Tokens if traits.order == Order::IdOnly => Sort::Id,
        Way::Numbers | Way::Uncounted | Way::Tokens | Way::One => Sort::None,
    };
    let (after, rows_max) = match &place.at {
        // Numbers go from the last page: how many there are has to be asked first.
        At::Start => (After::Start, rows_max),
        At::Id(id) => (After::Id(id), rows_max),
        At::Key(stamp, id) => (After::Key { stamp: *stamp, id }, rows_max),
        // The numbers mean what they meant only while pages keep their size.
        At::Page { number, rows, .. } | At::Onward { number, rows, .. } | At::Back { number, rows } => {
            (After::Page(*number), *rows)
        }
        At::Token { token, .. } => (After::Token(token), rows_max),
    };
    Ask { from: place.from, until: place.until, sort, after, rows_max }
}

/// Where reading goes on after this answer to `ask` at this place.
pub fn conclude(
    traits: &SourceTraits,
    window: Window,
    place: &Place,
    ask: Ask<'_>,
    answer: Answered<'_>,
) -> Result<Course, Fault> {
    if let Some(smaller) = beyond_cap(traits, place, answer)? {
        return Ok(Course::More(smaller));
    }
    let given = answer.records.len();
    let more = answer.more || given >= usize::from(ask.rows_max) || answer.total.is_some_and(|total| total > given as u64);
    match place.way(traits) {
        // Everything comes at once: a full page is all there is where that is counted.
        Way::One if answer.total == Some(given as u64) && !answer.more => Ok(rest(traits, window, place)),
        Way::Id => {
            let last = by_id(traits, place, answer.records)?;
            follow(traits, window, place, more, answer.total, last.map(At::Id))
        }
        Way::Key => {
            let last = by_key(traits, place, answer.records)?;
            follow(traits, window, place, more, answer.total, last.map(|(stamp, id)| At::Key(stamp, id)))
        }
        Way::Time => by_time(traits, window, place, more, answer),
        Way::Numbers => numbers::counted(traits, window, place, ask, answer),
        Way::Uncounted => numbers::uncounted(traits, window, place, ask, answer),
        Way::Tokens => tokens::followed(traits, window, place, answer),
        Way::One if more => Err(if traits.order == Order::None { Fault::OnePage } else { Fault::Tie }),
        Way::One => Ok(rest(traits, window, place)),
    }
}

/// Half the part, where one query has to give all of it and finds more than the source gives.
fn beyond_cap(traits: &SourceTraits, place: &Place, answer: Answered<'_>) -> Result<Option<Place>, Fault> {
    let one_query = matches!(place.way(traits), Way::Numbers | Way::Tokens | Way::One);
    let (Some(cap), Some(total)) = (traits.result_cap, answer.total) else { return Ok(None) };
    if !one_query || total <= u64::from(cap) {
        return Ok(None);
    }
    if place.is_one_step(traits) {
        return Err(Fault::TieBeyondCap(cap));
    }
    // On a step's border, or one tie would lie in two parts.
    let step = Millis::from(traits.precision_ms);
    let half = step_of(place.from + (place.until - place.from) / 2, step);
    let half = if half <= place.from { place.from + step } else { half };
    Ok(Some(Place::part(place.from, half.min(place.until))))
}

fn step_of(stamp: Millis, step: Millis) -> Millis {
    stamp - stamp.rem_euclid(step.max(1))
}

/// What comes after a part that is read to its end: after a tie all the rest; after a part that was made small by a cap one twice as long.
fn rest(traits: &SourceTraits, window: Window, place: &Place) -> Course {
    if place.until >= window.until {
        return Course::Drained;
    }
    let until = match traits.order {
        Order::TimeOnly => window.until,
        _ => place.until.saturating_add(2 * (place.until - place.from)).min(window.until),
    };
    Course::More(Place::part(place.until, until))
}

fn follow(
    traits: &SourceTraits,
    window: Window,
    place: &Place,
    more: bool,
    total: Option<u64>,
    last: Option<At>,
) -> Result<Course, Fault> {
    match last {
        Some(at) if more => Ok(Course::More(place.at(at))),
        None if more => Err(Fault::Promised(total)),
        _ => Ok(rest(traits, window, place)),
    }
}

fn is_after(order: IdOrder, id: &str, last: &str) -> Result<bool, Fault> {
    let number = |id: &str| {
        let digits = id.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| id.parse::<u64>().ok()).flatten().ok_or_else(|| Fault::StrangeId(id.to_owned()))
    };
    Ok(match order {
        IdOrder::Number => number(id)? > number(last)?,
        IdOrder::Bytes => id.as_bytes() > last.as_bytes(),
    })
}

fn by_id(traits: &SourceTraits, place: &Place, records: &[Record]) -> Result<Option<String>, Fault> {
    let mut last = match &place.at {
        At::Id(id) => Some(id.clone()),
        _ => None,
    };
    for record in records {
        let id = record.id.as_str();
        // Compared with itself where there is nothing before: what is no id is told at once.
        if !is_after(traits.id_order, id, last.as_deref().unwrap_or(id))? && last.is_some() {
            return Err(Fault::Repeated(last.unwrap_or_default()));
        }
        last = Some(id.to_owned());
    }
    Ok(last.filter(|_| !records.is_empty()))
}

fn by_key(traits: &SourceTraits, place: &Place, records: &[Record]) -> Result<Option<(Millis, String)>, Fault> {
    let mut last = match &place.at {
        At::Key(stamp, id) => Some((*stamp, id.clone())),
        _ => None,
    };
    for record in records {
        let stamp = stamp_of(record)?;
        if let Some((before, id)) = &last
            && (stamp < *before || (stamp == *before && !is_after(traits.id_order, record.id.as_str(), id)?))
        {
            return Err(Fault::Repeated(format!("{before} {id}")));
        }
        last = Some((stamp, record.id.0.clone()));
    }
    Ok(last.filter(|_| !records.is_empty()))
}

fn stamp_of(record: &Record) -> Result<Millis, Fault> {
    record.modified.ok_or_else(|| Fault::Unstamped(record.id.0.clone()))
}

fn by_time(traits: &SourceTraits, window: Window, place: &Place, more: bool, answer: Answered<'_>) -> Result<Course, Fault> {
    let step = Millis::from(traits.precision_ms);
    let mut last = None;
    for record in answer.records {
        let stamp = stamp_of(record)?;
        if last.is_some_and(|last| stamp < last) {
            return Err(Fault::Repeated(stamp.to_string()));
        }
        last = Some(stamp);
    }
    match last {
        _ if !more => Ok(rest(traits, window, place)),
        None => Err(Fault::Promised(answer.total)),
        // One step early is what a bound may be that leaves its own stamp out. Earlier, every step of the window would cost all pages there are.
        Some(last) if last < step_of(place.from, step) - step => Err(Fault::Unheeded(last)),
        Some(last) => {
            let from = step_of(last, step);
            // What lies before the page's own beginning is another's: the source answers stamps that were not asked for.
            let at = if from > place.from {
                (from, place.until)
            } else {
                (place.from, (step_of(place.from, step) + step).min(place.until))
            };
            Ok(Course::More(Place::part(at.0, at.1)))
        }
    }
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
