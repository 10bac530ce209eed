//! Decides which of a vendor's words stand: plain ones that no value of the call shares. And how a body is told that is no JSON.

use super::known::Known;
use super::marks;
use crate::redact::vendor_words;

/// Words that begin sentences of faults, or are written in capitals. Any other capitalised word may be a name.
const CAPITALISED: [&str; 70] = [
    "a",
    "an",
    "the",
    "this",
    "that",
    "there",
    "property",
    "properties",
    "value",
    "values",
    "contact",
    "contacts",
    "company",
    "deal",
    "object",
    "objects",
    "record",
    "records",
    "email",
    "address",
    "required",
    "missing",
    "invalid",
    "unknown",
    "unable",
    "cannot",
    "could",
    "you",
    "your",
    "please",
    "request",
    "requests",
    "resource",
    "existing",
    "authentication",
    "credentials",
    "internal",
    "server",
    "service",
    "unavailable",
    "bad",
    "gateway",
    "rate",
    "limit",
    "too",
    "many",
    "daily",
    "secondly",
    "ten",
    "token",
    "user",
    "field",
    "fields",
    "no",
    "not",
    "error",
    "id",
    "ids",
    "json",
    "api",
    "input",
    "batch",
    "oauth",
    "check",
    "make",
    "ensure",
    "see",
    "only",
    "if",
    "found",
];
/// What error pages are titled with; nothing else of HTML is told.
const TITLES: [&str; 44] = [
    "400",
    "401",
    "403",
    "404",
    "405",
    "408",
    "413",
    "429",
    "500",
    "501",
    "502",
    "503",
    "504",
    "520",
    "521",
    "522",
    "523",
    "524",
    "bad",
    "request",
    "gateway",
    "service",
    "temporarily",
    "unavailable",
    "error",
    "internal",
    "server",
    "not",
    "found",
    "forbidden",
    "access",
    "denied",
    "too",
    "many",
    "requests",
    "timeout",
    "attention",
    "required",
    "maintenance",
    "cloudflare",
    "nginx",
    "login",
    "just",
    "moment",
];
/// A longer word is an identifier or a blob.
const WORD_CHARS_MAX: usize = 24;
/// A longer number may be somebody's.
const DIGITS_MAX: usize = 4;

/// The words without what may be anybody's: first as any words of a vendor, then word by word.
pub(super) fn plain(known: &Known<'_>, text: &str) -> String {
    let hidden = |text: String, secret: &&str| if secret.is_empty() { text } else { text.replace(secret, "[secret]") };
    let text = known.secrets.iter().fold(text.to_owned(), hidden);
    let text = vendor_words(&text, &[]).replace('\\', "");
    let runs = runs(&text);
    let mut said = String::with_capacity(text.len());
    for (at, run) in runs.iter().enumerate() {
        let numbers = |other: Option<&&str>| other.is_some_and(|run| run.bytes().any(|byte| byte.is_ascii_digit()));
        // Between two words there is one run of signs. Groups of digits side by side are one number.
        let beside = numbers(at.checked_sub(2).and_then(|before| runs.get(before))) || numbers(runs.get(at + 2));
        let kept = !is_word(run) || (stands(known, run, beside) && known.is_safe(run));
        said.push_str(if kept { run } else { "…" });
    }
    said.replace('"', "'")
}

/// Words and what is between them, in turn.
fn runs(text: &str) -> Vec<&str> {
    let mut runs = Vec::new();
    let mut from = 0;
    let mut last: Option<bool> = None;
    for (at, letter) in text.char_indices() {
        let word = is_letter(letter);
        if last.is_some_and(|last| last != word) {
            runs.push(&text[from..at]);
            from = at;
        }
        last = Some(word);
    }
    runs.push(&text[from..]);
    runs
}

fn is_letter(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '-' | '\'' | '@' | '+') || !letter.is_ascii()
}

fn is_word(run: &str) -> bool {
    run.chars().next().is_some_and(is_letter)
}

fn stands(known: &Known<'_>, word: &str, beside_digits: bool) -> bool {
    let bare = word.trim_matches('\'');
    if known.is_name(bare) {
        return true;
    }
    if bare.bytes().all(|byte| byte.is_ascii_digit()) {
        return bare.len() <= DIGITS_MAX && !beside_digits && !known.is_of_a_value(bare);
    }
    let lower =
        bare.len() <= WORD_CHARS_MAX && bare.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'-' | b'\''));
    let code = bare.contains('_') && marks::is_code(bare);
    let sentence = CAPITALISED.contains(&bare.to_lowercase().as_str());
    (lower || code || sentence) && !known.is_of_a_value(bare)
}

/// A body that is no JSON: what it is and how long.
pub(super) fn other(trimmed: &[u8], bytes: usize) -> String {
    let Ok(text) = std::str::from_utf8(trimmed) else { return format!("‹{bytes} bytes that are no text›") };
    if !text.starts_with('<') {
        let lines = text.lines().count();
        return if lines > 1 {
            format!("‹text of {bytes} bytes in {lines} lines›")
        } else {
            format!("‹text of {bytes} bytes›")
        };
    }
    let lower = text.to_ascii_lowercase();
    let title = lower.split_once("<title>").and_then(|(_, rest)| Some(rest.split_once("</title>")?.0)).unwrap_or_default();
    let words: Vec<&str> =
        title.split_whitespace().map(|word| if TITLES.contains(&word) { word } else { "…" }).take(12).collect();
    let kind = if text.starts_with("<?xml") { "XML" } else { "HTML" };
    match words.is_empty() {
        true => format!("‹{kind} of {bytes} bytes›"),
        false => format!("‹{kind} of {bytes} bytes, titled: {}›", words.join(" ")),
    }
}
