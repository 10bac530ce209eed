//! Decides what is told of a call's path, query and headers: names, and values that are known to be harmless.

use reqwest::header::{HeaderMap, HeaderValue};

use super::known::Known;
use super::marks::{self, mark};
use super::walk::plain_name;

/// Values that say how a call was understood, never whose it was.
const PLAIN: [&str; 12] = [
    "accept",
    "age",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "retry-after",
    "sforce-limit-info",
    "transfer-encoding",
    "user-agent",
    "vary",
];
/// What is left of a limit.
const LIMITS: [&str; 4] = ["x-hubspot-ratelimit-", "x-ratelimit-", "x-rate-limit-", "ratelimit-"];
/// By these a vendor's support finds the call.
const IDS: [&str; 11] = [
    "cf-ray",
    "traceparent",
    "x-amzn-requestid",
    "x-amzn-trace-id",
    "x-correlation-id",
    "x-hubspot-correlation-id",
    "x-request-id",
    "x-trace",
    "x-trace-id",
    "x-b3-traceid",
    "request-id",
];
const VALUE_BYTES_MAX: usize = 160;

/// The path with what may be an id replaced, and the query with its names.
pub(super) fn path(known: &mut Known<'_>, path: &str) -> String {
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let segments = path.split('/').map(|segment| if is_step(segment) && known.is_safe(segment) { segment } else { "{id}" });
    let mut said = segments.collect::<Vec<_>>().join("/");
    if let Some(query) = query {
        let pairs: Vec<String> = query.split('&').map(|pair| self::pair(known, pair)).collect();
        said.push('?');
        said.push_str(&pairs.join("&"));
    }
    said
}

/// A step of the vendor's path, such as `contacts`, `v3` or `2026-03`; ids are longer numbers or hold other signs.
fn is_step(segment: &str) -> bool {
    let signs = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let letters = segment.bytes().any(|byte| byte.is_ascii_alphabetic()) || (segment.len() == 7 && segment.contains('-'));
    segment.is_empty() || (letters && segment.len() <= 40 && segment.bytes().all(signs) && !marks::has_digits(segment, 5))
}

fn pair(known: &mut Known<'_>, pair: &str) -> String {
    let Some((name, value)) = pair.split_once('=') else { return mark(pair, None) };
    let shown = if marks::is_name(name) && known.is_safe(name) { name.to_owned() } else { mark(name, None) };
    let short = value.len() <= 3 && value.bytes().all(|byte| byte.is_ascii_digit());
    let value = match value {
        _ if marks::is_secret_name(&plain_name(name)) => "‹secret›".to_owned(),
        "true" | "false" | "" => value.to_owned(),
        _ if short && known.is_safe(value) => value.to_owned(),
        _ => {
            let number = known.number(value);
            mark(value, number)
        }
    };
    format!("{shown}={value}")
}

/// A line for each header.
pub(super) fn lines(known: &mut Known<'_>, headers: &HeaderMap) -> String {
    headers.iter().map(|(name, value)| format!("{name}: {}\n", shown(known, name.as_str(), value))).collect()
}

fn shown(known: &mut Known<'_>, name: &str, value: &HeaderValue) -> String {
    if value.is_sensitive() || marks::is_secret_name(&plain_name(name)) {
        return "‹secret›".to_owned();
    }
    let Ok(text) = value.to_str() else { return format!("‹{} bytes that are no text›", value.len()) };
    let plain = PLAIN.contains(&name) || LIMITS.iter().any(|start| name.starts_with(start));
    let harmless = (plain && is_plain(known, text)) || (IDS.contains(&name) && marks::is_request_id(text));
    match harmless && known.is_safe(text) {
        true => text.to_owned(),
        false => mark(text, None),
    }
}

/// Short, and no word of it is a value of the call.
fn is_plain(known: &Known<'_>, text: &str) -> bool {
    // A year stands in every date.
    let tells = |word: &&str| word.len() > 5 || (word.len() > 3 && word.bytes().any(|byte| byte.is_ascii_alphabetic()));
    let mut words = text.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(tells);
    text.len() <= VALUE_BYTES_MAX && !text.contains(['@', '<', '"']) && words.all(|word| !known.is_of_a_value(word))
}
