//! Decides how a moment is written for a vendor and read from one: with an offset, without one in a named zone, or as a number. Reads no clock.

use chrono::{DateTime, FixedOffset, NaiveDateTime, SecondsFormat, Utc};
use tidemark_core::Millis;

/// A zone without summer time: an offset from UTC. Named zones would need a calendar of their own, and no vendor here needs one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Zone(FixedOffset);

impl Zone {
    /// `UTC`, `+05:30`, `-08:00`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let utc = FixedOffset::east_opt(0)?;
        if matches!(text, "UTC" | "Z") {
            return Some(Self(utc));
        }
        let east = match text.as_bytes().first()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let (hours, minutes) = text[1..].split_once(':')?;
        let both_short = hours.len() == 2 && minutes.len() == 2;
        let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
        let fits = both_short && (0..=14).contains(&hours) && (0..60).contains(&minutes);
        fits.then(|| FixedOffset::east_opt(east * (hours * 3_600 + minutes * 60))).flatten().map(Self)
    }
}

/// How a moment is written into a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// `2026-03-01T12:00:00.123Z`
    Rfc3339,
    /// `2026-03-01T12:00:00Z`
    Rfc3339Secs,
    /// Milliseconds since 1970.
    Millis,
    Secs,
    /// `2026-03-01 12:00:00`, in this zone.
    Naive(Zone),
    /// `2026-03-01T12:00:00+00:00`, in this zone: for readers that do not know `Z`.
    Offset(Zone),
    /// `2026-03-01T12:00:00+0000`, in this zone: for readers that know no colon there.
    OffsetDigits(Zone),
}

impl Written {
    pub(super) fn write(self, stamp: Millis) -> Option<String> {
        let moment = DateTime::<Utc>::from_timestamp_millis(stamp)?;
        Some(match self {
            Self::Rfc3339 => moment.to_rfc3339_opts(SecondsFormat::Millis, true),
            Self::Rfc3339Secs => moment.to_rfc3339_opts(SecondsFormat::Secs, true),
            Self::Millis => stamp.to_string(),
            Self::Secs => stamp.div_euclid(1_000).to_string(),
            Self::Naive(Zone(zone)) => moment.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S").to_string(),
            Self::Offset(Zone(zone)) => moment.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Secs, false),
            Self::OffsetDigits(Zone(zone)) => moment.with_timezone(&zone).format("%Y-%m-%dT%H:%M:%S%z").to_string(),
        })
    }

    /// The smallest step it can say, milliseconds.
    pub(super) fn step(self) -> Millis {
        match self {
            Self::Rfc3339 | Self::Millis => 1,
            Self::Rfc3339Secs | Self::Secs | Self::Naive(_) | Self::Offset(_) | Self::OffsetDigits(_) => 1_000,
        }
    }
}

/// How a stamp stands in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamp {
    /// ISO 8601 with an offset or `Z`, with or without a colon in it.
    Iso,
    Naive(Zone),
    Millis,
    Secs,
}

impl Stamp {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "iso" => Some(Self::Iso),
            "millis" => Some(Self::Millis),
            "secs" => Some(Self::Secs),
            _ => Some(Self::Naive(Zone::parse(text.strip_prefix("naive(")?.strip_suffix(')')?)?)),
        }
    }

    /// `None` when the text is no such stamp.
    pub(super) fn read(self, text: &str) -> Option<Millis> {
        match self {
            Self::Iso => {
                let moment =
                    DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%#z"));
                Some(moment.ok()?.timestamp_millis())
            }
            Self::Naive(Zone(zone)) => {
                let parse = |form| NaiveDateTime::parse_from_str(text, form).ok();
                let moment = parse("%Y-%m-%d %H:%M:%S%.f").or_else(|| parse("%Y-%m-%dT%H:%M:%S%.f"))?;
                Some(moment.and_local_timezone(zone).single()?.timestamp_millis())
            }
            Self::Millis => text.parse().ok(),
            Self::Secs => text.parse::<Millis>().ok()?.checked_mul(1_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Millis = 1_772_366_400_123;

    #[test]
    fn a_moment_is_written_in_each_form() {
        let india = Zone::parse("+05:30").unwrap();
        let check = |written: Written, expect: &str| assert_eq!(written.write(NOON).unwrap(), expect);
        check(Written::Rfc3339, "2026-03-01T12:00:00.123Z");
        check(Written::Rfc3339Secs, "2026-03-01T12:00:00Z");
        check(Written::Millis, "1772366400123");
        check(Written::Secs, "1772366400");
        check(Written::Naive(india), "2026-03-01 17:30:00");
        check(Written::Offset(india), "2026-03-01T17:30:00+05:30");
        check(Written::Offset(Zone::parse("UTC").unwrap()), "2026-03-01T12:00:00+00:00");
        check(Written::OffsetDigits(india), "2026-03-01T17:30:00+0530");
        check(Written::OffsetDigits(Zone::parse("UTC").unwrap()), "2026-03-01T12:00:00+0000");
        assert_eq!(Written::Secs.write(-1), Some("-1".to_owned()));
    }

    #[test]
    fn a_stamp_is_read_in_each_form() {
        let second = NOON - 123;
        for text in
            ["2026-03-01T12:00:00Z", "2026-03-01T17:30:00+05:30", "2026-03-01T12:00:00.000+0000", "2026-03-01T17:30:00+0530"]
        {
            assert_eq!(Stamp::Iso.read(text), Some(second), "{text}");
        }
        assert_eq!(Stamp::parse("naive(+05:30)").unwrap().read("2026-03-01 17:30:00"), Some(second));
        assert_eq!(Stamp::parse("naive(UTC)").unwrap().read("2026-03-01T12:00:00.123"), Some(NOON));
        assert_eq!(Stamp::Secs.read("1772366400"), Some(second));
        assert_eq!(Stamp::Millis.read("1772366400123"), Some(NOON));
    }

    #[test]
    fn what_is_no_stamp_is_none() {
        for text in ["", "yesterday", "2026-03-01", "0000-00-00T00:00:00Z"] {
            assert_eq!(Stamp::Iso.read(text), None, "{text}");
        }
        assert_eq!(Stamp::Secs.read("9223372036854775807"), None);
        for zone in ["", "CET", "+5:30", "+15:00", "+05:99", "5:30"] {
            assert_eq!(Zone::parse(zone), None, "{zone}");
        }
    }
}
