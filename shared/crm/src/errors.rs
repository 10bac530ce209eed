//! Decides what a refusal means: the connector's error table, first match wins, the HTTP status only as its default.
//!
//! Never calls, never waits, and knows no vendor: each vendor's words stand in its file under `connectors/`.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName};
use serde::Deserialize;
use serde_json::Value;
use tidemark_core::failure::Class;

/// What a rule can look at. For one entry of a batch only the body is there.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// `None` for one entry of a batch.
    pub call: Option<CallEvidence<'a>>,
    /// JSON of the answer, or of the entry; null when the answer was none.
    pub body: &'a Value,
}

#[derive(Debug, Clone, Copy)]
pub struct CallEvidence<'a> {
    pub status: u16,
    pub headers: &'a HeaderMap,
    pub content_type: &'a str,
}

/// What the table made of the evidence. Texts are the vendor's own and not yet redacted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub class: Class,
    pub wait_min: Option<Duration>,
    pub message: Option<String>,
    pub code: Option<String>,
    pub property: Option<String>,
    /// Read only for duplicates: other refusals name ids too.
    pub existing: Option<String>,
}

/// The rules of one connector, validated.
#[derive(Debug, Clone)]
pub struct ErrorTable {
    rules: Vec<Rule>,
    words: Words,
}

#[derive(Debug, Clone)]
struct Rule {
    when: When,
    class: Class,
    wait_min: Option<Duration>,
}

impl ErrorTable {
    /// `Err` holds the rule and what is wrong with it, for the loader to name the file.
    pub(crate) fn new(rules: Vec<RuleText>, words: Words) -> Result<Self, String> {
        Self::build(rules, words).map_err(|(_, what)| what)
    }

    /// The same, with the place of the rule in the list, from 0; without one it is the words that are wrong.
    pub(crate) fn build(rules: Vec<RuleText>, words: Words) -> Result<Self, (Option<usize>, String)> {
        words.check().map_err(|what| (None, what))?;
        let mut checked: Vec<Rule> = Vec::with_capacity(rules.len());
        for (at, text) in rules.into_iter().enumerate() {
            let name = format!("error rule {} ({})", at + 1, text.rule);
            let rule = Rule::new(text).map_err(|what| (Some(at), format!("{name}: {what}")))?;
            if checked.iter().any(|earlier| earlier.when == rule.when) {
                return Err((Some(at), format!("{name}: never reached, an earlier rule has the same conditions")));
            }
            checked.push(rule);
        }
        Ok(Self { rules: checked, words })
    }

    pub fn judge(&self, evidence: Evidence<'_>) -> Verdict {
        let rule = self.rules.iter().find(|rule| rule.when.matches(&evidence));
        let class = match (rule, evidence.call) {
            (Some(rule), _) => rule.class,
            (None, Some(call)) => class_by_status(call.status),
            (None, None) => Class::Rejected,
        };
        let existing = if class == Class::Duplicate { first(&self.words.existing, evidence.body) } else { None };
        Verdict {
            class,
            wait_min: rule.and_then(|rule| rule.wait_min),
            message: first(&self.words.message, evidence.body),
            code: first(&self.words.code, evidence.body),
            property: first(&self.words.property, evidence.body),
            existing,
        }
    }
}

/// What a status means where no rule says otherwise.
fn class_by_status(status: u16) -> Class {
    match status {
        401 | 407 => Class::Auth,
        403 => Class::Scope,
        404 | 410 => Class::Gone,
        409 => Class::Duplicate,
        412 => Class::Conflict,
        414 => Class::Schema,
        408 | 423 | 425 | 500..=599 => Class::Retry,
        429 => Class::Throttled,
        400..=499 => Class::Rejected,
        _ => Class::Malformed,
    }
}

/// One `[[error]]` as written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleText {
    rule: String,
    when: When,
    then: Then,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Then {
    class: String,
    wait_secs_min: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct When {
    #[serde(default)]
    status: OneOrMany<u16>,
    /// JSON pointer → the text there is one of these.
    #[serde(default)]
    body: BTreeMap<String, OneOrMany<String>>,
    /// JSON pointer → the text there contains one of these, in any case.
    #[serde(default)]
    contains: BTreeMap<String, OneOrMany<String>>,
    /// Header → its value is one of these.
    #[serde(default)]
    header: BTreeMap<String, OneOrMany<String>>,
    /// The content type does not contain this.
    content_type_not: Option<String>,
    /// About one entry of a batch, never about a whole call.
    #[serde(default)]
    item: bool,
}

impl Rule {
    fn new(text: RuleText) -> Result<Self, String> {
        let when = text.when;
        let of_call = !when.status.0.is_empty() || !when.header.is_empty() || when.content_type_not.is_some();
        if when.item && of_call {
            return Err("`item = true` cannot be combined with status, header or content_type_not".to_owned());
        }
        if !of_call && when.body.is_empty() && when.contains.is_empty() {
            return Err("`when` names no condition and would match everything".to_owned());
        }
        if let Some(status) = when.status.0.iter().find(|status| !(100..=599).contains(*status)) {
            return Err(format!("{status} is not an HTTP status"));
        }
        when.body.keys().chain(when.contains.keys()).try_for_each(|pointer| check_pointer(pointer))?;
        if let Some(name) = when.header.keys().find(|name| HeaderName::try_from(name.as_str()).is_err()) {
            return Err(format!("`{name}` is not a header name"));
        }
        let known = Class::ALL.iter().find(|class| class.word() == text.then.class);
        let Some(&class) = known else {
            let words: Vec<&str> = Class::ALL.iter().map(|class| class.word()).collect();
            return Err(format!("unknown class `{}`; known are {}", text.then.class, words.join(", ")));
        };
        Ok(Self { when, class, wait_min: text.then.wait_secs_min.map(|secs| Duration::from_secs(u64::from(secs))) })
    }
}

impl When {
    fn matches(&self, evidence: &Evidence<'_>) -> bool {
        self.call_matches(evidence.call)
            && self.body.iter().all(|(at, wanted)| texts_at(evidence.body, at).iter().any(|text| wanted.0.contains(text)))
            && self.contains.iter().all(|(at, wanted)| {
                texts_at(evidence.body, at).iter().any(|text| {
                    let text = text.to_lowercase();
                    wanted.0.iter().any(|part| text.contains(&part.to_lowercase()))
                })
            })
    }

    fn call_matches(&self, call: Option<CallEvidence<'_>>) -> bool {
        let Some(call) = call else {
            return self.status.0.is_empty() && self.header.is_empty() && self.content_type_not.is_none();
        };
        !self.item
            && (self.status.0.is_empty() || self.status.0.contains(&call.status))
            && self.content_type_not.as_ref().is_none_or(|part| !call.content_type.contains(part.as_str()))
            && self.header.iter().all(|(name, wanted)| {
                let value = call.headers.get(name.as_str()).and_then(|value| value.to_str().ok());
                value.is_some_and(|value| wanted.0.iter().any(|text| text == value))
            })
    }
}

/// Where the vendor's words stand in a refusal.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Words {
    message: Vec<Place>,
    code: Vec<Place>,
    property: Vec<Place>,
    existing: Vec<Place>,
}

impl Words {
    fn check(&self) -> Result<(), String> {
        let all = self.message.iter().chain(&self.code).chain(&self.property).chain(&self.existing);
        all.map(|place| &place.at).try_for_each(|at| check_pointer(at).map_err(|what| format!("words: {what}")))
    }
}

fn check_pointer(text: &str) -> Result<(), String> {
    match text {
        _ if text.contains(['{', '}']) => {
            Err(format!("`{text}` has a hole, and nothing is filled in where an answer is looked at"))
        }
        _ if text.starts_with('/') => Ok(()),
        _ => Err(format!("`{text}` is not a JSON pointer, it must begin with /")),
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    at: String,
    /// Take only the word that follows this text.
    after: Option<String>,
}

fn first(places: &[Place], body: &Value) -> Option<String> {
    places.iter().find_map(|place| {
        let text = texts_at(body, &place.at).into_iter().next().filter(|text| !text.is_empty())?;
        match &place.after {
            Some(after) => word_after(&text, after),
            None => Some(text),
        }
    })
}

/// The first run of letters, digits, `_` and `-` behind `marker`; signs between them are skipped.
fn word_after(text: &str, marker: &str) -> Option<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let behind = &text[text.find(marker)? + marker.len()..];
    let word: String = behind.chars().skip_while(|c| !is_word(*c)).take_while(|c| is_word(*c)).collect();
    (!word.is_empty()).then_some(word)
}

/// The text at a pointer: itself, a number's digits, `true` or `false`, or each text of a list.
fn texts_at(body: &Value, pointer: &str) -> Vec<String> {
    match body.pointer(pointer) {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Number(number)) => vec![number.to_string()],
        Some(Value::Bool(yes)) => vec![yes.to_string()],
        Some(Value::Array(list)) => list.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

#[derive(Debug, Clone, PartialEq)]
struct OneOrMany<T>(Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either<T> {
            One(T),
            Many(Vec<T>),
        }
        Ok(match Either::deserialize(deserializer)? {
            Either::One(one) => Self(vec![one]),
            Either::Many(many) => Self(many),
        })
    }
}
