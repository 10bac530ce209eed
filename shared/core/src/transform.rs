//! Carries one value from one side's form into the other's. Never used to compare what was agreed: the base keeps both forms.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::record::Value;

/// How a column's text becomes a property's text, and back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transform {
    Text,
    /// Whole numbers; `12.0` counts as `12`.
    Integer,
    /// Column in cents (`1250`), property as a decimal (`12.50`).
    DecimalOfCents,
    /// Column in the database's own form (`true`/`t`/`1`), property `true`/`false`.
    Bool,
    /// The day of any date or time text, `YYYY-MM-DD`.
    Date,
    /// Column text ↔ property text. Several columns texts may share a property text; the first listed one is its inverse.
    Map(Vec<(String, String)>),
}

/// The value has no counterpart on the other side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is {problem}")]
pub struct Unmapped {
    pub value: String,
    pub problem: &'static str,
}

impl Transform {
    /// The record's form of a row value. A blank stays a blank.
    pub fn to_record(&self, row: Option<&str>) -> Result<Value, Unmapped> {
        let Some(text) = present(row) else { return Ok(None) };
        match self {
            Self::Text => Ok(Some(text.to_owned())),
            Self::Integer => integer(text).map(Some),
            Self::DecimalOfCents => decimal_of_cents(text).map(Some),
            Self::Bool => boolean(text).map(|yes| Some(if yes { "true" } else { "false" }.to_owned())),
            Self::Date => day(text).map(Some),
            Self::Map(pairs) => {
                let pair = pairs.iter().find(|(row, _)| row == text);
                pair.map(|(_, record)| Some(record.clone())).ok_or_else(|| unmapped(text, "not in the map of the mapping"))
            }
        }
    }

    /// The row's form of a record value. A blank stays a blank.
    pub fn to_row(&self, record: Option<&str>) -> Result<Value, Unmapped> {
        Ok(self.in_row(record)?.map(Cow::into_owned))
    }

    /// The same without a copy where the text stays as it is.
    pub fn in_row<'a>(&'a self, record: Option<&'a str>) -> Result<Option<Cow<'a, str>>, Unmapped> {
        let Some(text) = present(record) else { return Ok(None) };
        let row = match self {
            Self::Text => Cow::Borrowed(text),
            Self::Integer => Cow::Owned(integer(text)?),
            Self::DecimalOfCents => Cow::Owned(cents_of_decimal(text)?),
            Self::Bool => Cow::Borrowed(if boolean(text)? { "true" } else { "false" }),
            Self::Date => Cow::Owned(day(text)?),
            Self::Map(pairs) => {
                let pair = pairs.iter().find(|(_, record)| record == text);
                Cow::Borrowed(pair.ok_or_else(|| unmapped(text, "not in the map of the mapping"))?.0.as_str())
            }
        };
        Ok(Some(row))
    }

    /// True when the row's present value already says what the record says: nothing is to be written either way.
    pub fn says_the_same(&self, row: Option<&str>, record: Option<&str>) -> bool {
        let (row, record) = (present(row), present(record));
        match (row, record) {
            (None, None) => true,
            (Some(row), Some(record)) => match (self.to_record(Some(row)), self) {
                (Ok(Some(mapped)), Self::Integer | Self::DecimalOfCents) => same_number(&mapped, record),
                (Ok(Some(mapped)), Self::Bool | Self::Date) => self
                    .to_row(Some(record))
                    .ok()
                    .flatten()
                    .is_some_and(|back| self.to_record(Some(&back)).ok().flatten().is_some_and(|record| record == mapped)),
                (Ok(Some(mapped)), _) => mapped == record,
                (Ok(None) | Err(_), _) => false,
            },
            _ => false,
        }
    }
}

fn present(value: Option<&str>) -> Option<&str> {
    value.filter(|text| !text.is_empty())
}

fn unmapped(value: &str, problem: &'static str) -> Unmapped {
    Unmapped { value: value.to_owned(), problem }
}

fn integer(text: &str) -> Result<String, Unmapped> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let number: i64 = whole.parse().map_err(|_| unmapped(text, "not a whole number"))?;
    if fraction.bytes().all(|digit| digit == b'0') { Ok(number.to_string()) } else { Err(unmapped(text, "not a whole number")) }
}

fn decimal_of_cents(text: &str) -> Result<String, Unmapped> {
    let cents: i64 = integer(text)?.parse().map_err(|_| unmapped(text, "not a number of cents"))?;
    let sign = if cents < 0 { "-" } else { "" };
    Ok(format!("{sign}{}.{:02}", cents.unsigned_abs() / 100, cents.unsigned_abs() % 100))
}

fn cents_of_decimal(text: &str) -> Result<String, Unmapped> {
    let problem = || unmapped(text, "not a decimal amount with at most two places");
    let (sign, digits) = match text.trim().strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.trim()),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let (places, rest) = fraction.split_at_checked(2).unwrap_or((fraction, ""));
    let only_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !only_digits(whole) || !only_digits(places) || !rest.bytes().all(|byte| byte == b'0') {
        return Err(problem());
    }
    let whole: i64 = whole.parse().map_err(|_| problem())?;
    let places: i64 = format!("{places:0<2}").parse().map_err(|_| problem())?;
    let cents = whole.checked_mul(100).and_then(|cents| cents.checked_add(places)).ok_or_else(problem)?;
    Ok((sign * cents).to_string())
}

fn boolean(text: &str) -> Result<bool, Unmapped> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "t" | "1" | "yes" => Ok(true),
        "false" | "f" | "0" | "no" => Ok(false),
        _ => Err(unmapped(text, "neither true nor false")),
    }
}

fn day(text: &str) -> Result<String, Unmapped> {
    let day = text.trim().get(..10).unwrap_or(text);
    chrono::NaiveDate::parse_from_str(day, "%Y-%m-%d").map(|day| day.to_string()).map_err(|_| unmapped(text, "not a date"))
}

/// Compares decimals as texts without trailing zeros: exact at any size.
fn same_number(left: &str, right: &str) -> bool {
    fn canonical(text: &str) -> (bool, &str, &str) {
        let text = text.trim();
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        (negative && !(whole.is_empty() && fraction.is_empty()), whole, fraction)
    }
    canonical(left) == canonical(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(transform: &Transform, row: &str, record: &str) {
        assert_eq!(transform.to_record(Some(row)).unwrap().as_deref(), Some(record), "{row} to the record's form");
        assert!(transform.says_the_same(Some(row), Some(record)), "{row} says {record}");
    }

    #[test]
    fn a_value_is_carried_into_the_records_form() {
        check(&Transform::Text, "Ana", "Ana");
        check(&Transform::Integer, "12.0", "12");
        check(&Transform::DecimalOfCents, "1250", "12.50");
        check(&Transform::DecimalOfCents, "-5", "-0.05");
        check(&Transform::Bool, "1", "true");
        check(&Transform::Date, "2026-03-01 10:00:00", "2026-03-01");
        let status = Transform::Map(vec![("accepted".into(), "closedwon".into()), ("shipped".into(), "closedwon".into())]);
        check(&status, "shipped", "closedwon");
        assert_eq!(status.to_row(Some("closedwon")).unwrap().as_deref(), Some("accepted"));
        assert!(status.to_record(Some("draft")).is_err());
    }

    #[test]
    fn an_amount_that_lost_its_zeros_on_the_way_is_the_same_amount() {
        assert!(Transform::DecimalOfCents.says_the_same(Some("1250"), Some("12.5")));
        assert!(Transform::DecimalOfCents.says_the_same(Some("1200"), Some("12")));
        assert!(!Transform::DecimalOfCents.says_the_same(Some("1250"), Some("12.51")));
        assert_eq!(Transform::DecimalOfCents.to_row(Some("12.5")).unwrap().as_deref(), Some("1250"));
        assert!(Transform::DecimalOfCents.to_row(Some("12.505")).is_err());
    }

    #[test]
    fn blanks_stay_blank_and_equal_each_other() {
        for transform in [Transform::Text, Transform::Integer, Transform::Bool, Transform::Date] {
            assert_eq!(transform.to_record(Some("")), Ok(None));
            assert!(transform.says_the_same(None, Some("")));
            assert!(!transform.says_the_same(Some("1"), None));
        }
    }
}
