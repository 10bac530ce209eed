//! Times as the CRM writes and reads them: milliseconds inside, ISO 8601 UTC outside.

use chrono::{DateTime, NaiveDate, Utc};

/// `2026-03-01T12:00:00.123Z`, always UTC, always milliseconds.
pub(crate) fn iso(ms: i64) -> String {
    moment(ms).format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// `2026-03-01`: the day alone.
pub(crate) fn date(ms: i64) -> String {
    moment(ms).format("%Y-%m-%d").to_string()
}

/// The `Date` header's form, which drops the milliseconds.
pub(crate) fn http_date(ms: i64) -> String {
    moment(ms).format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// `2026-03-01T12:00:00Z`: whole seconds, UTC.
pub(crate) fn seconds(ms: i64) -> String {
    moment(ms).format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `2026-03-01` of a day or of a time, as written there.
pub(crate) fn day(text: &str) -> Option<String> {
    let day = text.get(..10)?;
    NaiveDate::parse_from_str(day, "%Y-%m-%d").ok().map(|_| day.to_owned())
}

/// Reads epoch milliseconds, an ISO time with an offset, or a bare date (midnight UTC).
pub(crate) fn parse(text: &str) -> Option<i64> {
    if let Ok(ms) = text.parse::<i64>() {
        return Some(ms);
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_millis());
    }
    let midnight = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0)?;
    Some(midnight.and_utc().timestamp_millis())
}

fn moment(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or(DateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accepted_spellings_of_one_instant_agree() {
        assert_eq!(parse("1772366400123"), Some(1_772_366_400_123));
        assert_eq!(parse("2026-03-01T12:00:00.123Z"), Some(1_772_366_400_123));
        assert_eq!(parse("2026-03-01T14:00:00.123+02:00"), Some(1_772_366_400_123));
        assert_eq!(parse("2026-03-01"), Some(1_772_323_200_000));
        assert_eq!(parse("yesterday"), None);
    }

    #[test]
    fn a_time_is_written_with_milliseconds_and_a_header_without() {
        assert_eq!(iso(1_772_366_400_000), "2026-03-01T12:00:00.000Z");
        assert_eq!(seconds(1_772_366_400_999), "2026-03-01T12:00:00Z");
        assert_eq!(http_date(1_772_366_400_999), "Sun, 01 Mar 2026 12:00:00 GMT");
    }
}
