//! Decides which side of a thing was changed later: the row by its own time of change, the record by the CRM's stamp, both brought to the database's clock. Says so only
//! where the difference is larger than everything that may be wrong with the two; reads no clock.
//!
//! That a field was changed at all is never told by a time: the base pair says it. Two times only part those that both changed. A row's time is moved by whatever
//! writes the row, our own page among them, so the time at which an unsent edit was first seen stays with the edit.

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime};

use crate::Millis;
use crate::fit::{ColumnKind, Fit};
use crate::record::{Record, Row, Value};
use crate::spec::{RowModified, StreamSpec};
use crate::why::time;

/// A time this far ahead of the database's clock is no time of change: somebody wrote it there.
const FUTURE_MS: Millis = 300_000;
/// Numbers above this are milliseconds since 1970, those below are seconds.
const MILLIS_FROM: f64 = 100_000_000_000.0;

/// How far the CRM's clock is ahead of the database's, and how far that may be off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    pub by: Millis,
    pub error: Millis,
}

/// A moment, and the step in which its source tells time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub at: Millis,
    pub precision: Millis,
}

/// Which side was changed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Later {
    Row,
    Record,
    /// One of the times is not known, or they lie too close together.
    Untold,
}

/// The times of one thing, as far as they are known: the row's on the database's clock, the record's on the CRM's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    pub row: Option<Moment>,
    pub record: Option<Moment>,
    pub ahead: Option<Ahead>,
}

/// An edit of the row that was not sent yet, with the row's time of change when it was first seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    pub value: Value,
    pub at: Moment,
}

/// What is kept of two times that were compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    /// Database clock.
    pub row: Millis,
    /// CRM clock.
    pub record: Millis,
    /// How far the CRM's clock was ahead.
    pub ahead: Millis,
}

impl Times {
    /// Nothing is known where the stream names no column that tells. `now` is the database's clock, `precision` that of the CRM's stamps.
    pub fn of(spec: &StreamSpec, row: &Row, record: &Record, ahead: Option<Ahead>, precision: Millis, now: Millis) -> Self {
        let Some(column) = &spec.row_modified else { return Self::default() };
        let told = row.modified(spec).and_then(|text| parse(text, column));
        let past = |at: Millis| at <= now.saturating_add(FUTURE_MS);
        let by = ahead.map_or(0, |ahead| ahead.by);
        let stamp = record.modified.filter(|at| past(at.saturating_sub(by)));
        Self { row: told.filter(|moment| past(moment.at)), record: stamp.map(|at| Moment { at, precision }), ahead }
    }

    /// The same for a field whose unsent edit was seen before: whatever moved the row's time since did not make that edit.
    #[must_use]
    pub fn of_edit(self, edit: Option<&Edit>, row: Option<&str>) -> Self {
        match edit.filter(|edit| edit.value.as_deref() == row) {
            Some(edit) => Self { row: Some(edit.at), ..self },
            None => self,
        }
    }

    pub fn later(self) -> Later {
        let (Some(row), Some(record), Some(ahead)) = (self.row, self.record, self.ahead) else { return Later::Untold };
        let unsure = row.precision.saturating_add(record.precision).saturating_add(ahead.error);
        let record_later_by = record.at.saturating_sub(ahead.by).saturating_sub(row.at);
        match record_later_by {
            by if by > unsure => Later::Record,
            by if by < unsure.saturating_neg() => Later::Row,
            _ => Later::Untold,
        }
    }

    /// What a person is told of them; `None` where one is not known.
    pub fn compared(self) -> Option<Compared> {
        Some(Compared { row: self.row?.at, record: self.record?.at, ahead: self.ahead?.by })
    }
}

impl Compared {
    /// Both times, and how the clocks stand to each other.
    pub fn words(self) -> String {
        let secs = (self.ahead.abs() + 500) / 1_000;
        let clock = match self.ahead {
            _ if secs == 0 => "agrees with the database's".to_owned(),
            0.. => format!("is {secs} s ahead"),
            _ => format!("is {secs} s behind"),
        };
        let (row, record) = (time(self.row), time(self.record));
        format!("the row was changed at {row}, the record at {record} by its clock, which {clock}")
    }
}

/// A row's own time as its column writes it: a number of seconds or milliseconds, a date, or a time with its zone or in the one that is declared. The precision is what the
/// text shows: a column of microseconds that happens to show whole seconds counts as one of seconds.
pub fn parse(text: &str, column: &RowModified) -> Option<Moment> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return of_number(number, text);
    }
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        let at = on_clock(day.and_hms_opt(0, 0, 0)?, column)?;
        return Some(Moment { at, precision: crate::DAY_MS });
    }
    let precision = precision_of(text);
    for form in ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f%#z"] {
        if let Ok(time) = DateTime::parse_from_str(text, form) {
            return Some(Moment { at: time.timestamp_millis(), precision });
        }
    }
    let local = text.trim_end_matches(['Z', 'z']);
    let zoned = local.len() < text.len();
    for (form, precision) in [
        ("%Y-%m-%d %H:%M:%S%.f", precision),
        ("%Y-%m-%dT%H:%M:%S%.f", precision),
        ("%Y-%m-%d %H:%M", 60_000),
        ("%Y-%m-%dT%H:%M", 60_000),
    ] {
        if let Ok(time) = NaiveDateTime::parse_from_str(local, form) {
            let at = if zoned { time.and_utc().timestamp_millis() } else { on_clock(time, column)? };
            return Some(Moment { at, precision });
        }
    }
    None
}

fn on_clock(time: NaiveDateTime, column: &RowModified) -> Option<Millis> {
    let zone = FixedOffset::east_opt(column.east_secs)?;
    Some(time.and_local_timezone(zone).single()?.timestamp_millis())
}

#[expect(clippy::cast_possible_truncation, reason = "bounded just before")]
fn of_number(number: f64, text: &str) -> Option<Moment> {
    if !number.is_finite() || !(0.0..1e15).contains(&number) {
        return None;
    }
    Some(if number > MILLIS_FROM {
        Moment { at: number as Millis, precision: 1 }
    } else {
        Moment { at: (number * 1_000.0) as Millis, precision: precision_of(text) }
    })
}

/// By the digits behind the point, no finer than a millisecond.
fn precision_of(text: &str) -> Millis {
    let digits = text.split_once('.').map_or(0, |(_, rest)| rest.bytes().take_while(u8::is_ascii_digit).count());
    match digits {
        0 => 1_000,
        1 => 100,
        2 => 10,
        _ => 1,
    }
}

/// Whether a column of this kind can tell when its row was changed.
pub fn tells_time(kind: ColumnKind) -> Fit {
    match kind {
        ColumnKind::Moment | ColumnKind::Other => Fit::Fine,
        ColumnKind::Integer | ColumnKind::Number => Fit::Suspicious {
            why: "a number tells the time only as seconds or milliseconds since 1970",
            remedy: "see that it holds one of the two",
        },
        ColumnKind::Text => Fit::Suspicious {
            why: "a text tells the time only in a form like 2026-03-01 10:11:03",
            remedy: "see that the application writes one; what cannot be read goes to the field's fallback",
        },
        ColumnKind::Date => Fit::Suspicious {
            why: "a date tells no more than the day: what both sides changed within two days goes to the field's fallback",
            remedy: "name a column with a time",
        },
        ColumnKind::Bool | ColumnKind::Flag | ColumnKind::Uuid => Fit::WillFail {
            why: "it holds no time",
            remedy: "name the column in which the application keeps when it changed the row",
        },
    }
}

#[cfg(test)]
#[path = "newest_tests.rs"]
mod tests;
