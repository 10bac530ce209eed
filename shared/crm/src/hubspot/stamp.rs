//! Decides how HubSpot's times and plain values are read: ISO 8601 or epoch milliseconds, text or nothing.

use std::fmt;

use chrono::DateTime;
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use tidemark_core::Millis;
use tidemark_core::record::Value;

/// Properties answer `2026-03-01T12:00:00.123Z`; some older ones epoch milliseconds in text. `None` when it is neither.
pub(super) fn parse_stamp(text: &str) -> Option<Millis> {
    if let Ok(millis) = text.parse::<i64>() {
        return Some(millis);
    }
    Some(DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis())
}

/// A stamp of the envelope; one that cannot be read counts as absent, and its record is then read by id.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stamp(pub(super) Option<Millis>);

/// A property's value: text, or nothing for null and the empty text, which HubSpot uses alike for "cleared".
#[derive(Debug, Clone, Default)]
pub(super) struct Scalar(pub(super) Value);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor).map(Self)
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Scalar(text) = Scalar::deserialize(deserializer)?;
        Ok(Self(text.as_deref().and_then(parse_stamp)))
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, a truth value or null")
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Some(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Some(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Some(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Some(value.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::parse_stamp;

    #[test]
    fn both_written_forms_of_a_time_are_read_to_the_millisecond() {
        assert_eq!(parse_stamp("2026-03-01T12:00:00.123Z"), Some(1_772_366_400_123));
        assert_eq!(parse_stamp("2026-03-01T12:00:00Z"), Some(1_772_366_400_000));
        assert_eq!(parse_stamp("1772366400123"), Some(1_772_366_400_123));
        assert_eq!(parse_stamp("yesterday"), None);
    }
}
