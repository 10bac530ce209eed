//! Says numbers, spans and times in words. Reads no clock: `now` is always the caller's.

use chrono::DateTime;
use maud::{Markup, html};
use tidemark_core::Millis;

/// `850 ms`, `12 s`, `3 min 20 s`, `1 h 5 min`, `2 days 3 h`: at most two units, the second only while it matters.
pub(crate) fn span(ms: Millis) -> String {
    let ms = ms.max(0);
    let (seconds, minutes, hours, days) = (ms / 1000, ms / 60_000, ms / 3_600_000, ms / 86_400_000);
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{seconds} s"),
        120_000..600_000 if seconds % 60 > 0 => format!("{minutes} min {} s", seconds % 60),
        120_000..7_200_000 => format!("{minutes} min"),
        7_200_000..86_400_000 if minutes % 60 > 0 => format!("{hours} h {} min", minutes % 60),
        7_200_000..172_800_000 => format!("{hours} h"),
        _ if hours % 24 > 0 => format!("{days} days {} h", hours % 24),
        _ => format!("{days} days"),
    }
}

/// `12 s ago`, `in 3 min`, `now`.
pub(crate) fn relative(now: Millis, at: Millis) -> String {
    match now - at {
        -999..=999 => "now".to_owned(),
        age if age > 0 => format!("{} ago", span(age)),
        age => format!("in {}", span(-age)),
    }
}

/// `2026-11-23 19:51:03 UTC`.
pub(crate) fn absolute(at: Millis) -> String {
    DateTime::from_timestamp_millis(at)
        .map_or_else(|| format!("{at} ms"), |time| time.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// `19:51:03`.
pub(crate) fn clock(at: Millis) -> String {
    DateTime::from_timestamp_millis(at).map_or_else(|| format!("{at} ms"), |time| time.format("%H:%M:%S").to_string())
}

/// Relative for the eye, absolute for whoever points at it.
pub(crate) fn when(now: Millis, at: Millis) -> Markup {
    let iso = DateTime::from_timestamp_millis(at).map(|time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string());
    html! { time datetime=[iso] title=(absolute(at)) { (relative(now, at)) } }
}

/// `1 234 567`, with spaces that do not break.
pub(crate) fn number(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut out = String::from(if value < 0 { "-" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// `1 change`, `3 changes`.
pub(crate) fn count(value: i64, one: &str, many: &str) -> String {
    format!("{} {}", number(value), if value == 1 { one } else { many })
}

/// What a class of failure means to a person, as the middle of a sentence.
pub(crate) fn class(word: &str) -> &str {
    match word {
        "throttled" => "the CRM asked us to wait",
        "day_budget" => "the day's calls are spent",
        "retry" => "a passing fault",
        "auth" => "the credentials are refused",
        "scope" => "the CRM does not permit it",
        "conflict" => "both sides changed it",
        "duplicate" => "another record holds this identity",
        "rejected" => "the content was refused",
        "unfit" => "the CRM would refuse it",
        "reused" => "its key was used before",
        "edited" => "the record was edited meanwhile",
        "erased" => "its person was erased",
        "gone" => "the record is not there",
        "schema" => "the mapping does not fit the CRM",
        "malformed" => "the answer made no sense",
        "parent" => "waits for its parent",
        "loop" => "another program takes it back each time",
        "person" => "parked by a person",
        "brake_create" => "a brake: too many were to be made",
        "brake_update" => "a brake: too many were to be changed",
        "brake_blank" => "a brake: too many were to be emptied in part",
        "brake_delete" => "a brake: too many were to be deleted",
        other => other,
    }
}

/// The CRM behind a connector, as its vendor writes it.
pub(crate) fn vendor(connector: &str) -> &str {
    match connector {
        "dataverse" => "Dataverse",
        "hubspot" => "HubSpot",
        "ifttt" => "IFTTT",
        "mailchimp" => "Mailchimp",
        "pipedrive" => "Pipedrive",
        "salesforce" => "Salesforce",
        "zoho-books" => "Zoho Books",
        "zapier" => "Zapier",
        "zoho-crm" => "Zoho CRM",
        other => other,
    }
}

/// One part of an address: a path segment or a query value, percent-encoded.
pub(crate) fn part(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_shows_at_most_two_units_and_never_a_false_precision() {
        let expect = [
            (-5, "0 ms"),
            (850, "850 ms"),
            (119_999, "119 s"),
            (200_000, "3 min 20 s"),
            (720_000, "12 min"),
            (3_900_000, "65 min"),
            (7_500_000, "2 h 5 min"),
            (90_000_000, "25 h"),
            (183_600_000, "2 days 3 h"),
            (259_200_000, "3 days"),
        ];
        for (ms, words) in expect {
            assert_eq!(span(ms), words);
        }
    }

    #[test]
    fn times_are_told_from_the_callers_now() {
        assert_eq!(relative(10_000, 4_000), "6 s ago");
        assert_eq!(relative(10_000, 16_000), "in 6 s");
        assert_eq!(relative(10_000, 10_400), "now");
        assert_eq!(absolute(1_772_359_863_000), "2026-03-01 10:11:03 UTC");
        assert_eq!(number(-1_234_567), "-1\u{202f}234\u{202f}567");
    }
}
