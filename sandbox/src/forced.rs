//! Answers prepared in advance for the next matching calls, for tests that need one exact fault.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::call::{Answer, Call};

/// What the next matching calls get instead of an honest answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForcedAnswer {
    pub status: u16,
    /// Text is sent as it is, anything else as JSON. `Null` sends no body.
    pub body: Value,
    pub headers: BTreeMap<String, String>,
    /// `None`: JSON.
    pub content_type: Option<String>,
    pub delay_ms: u64,
    /// How many matching calls it serves.
    pub times: u32,
    /// Part of the path a call must have. Empty matches every call.
    pub path_contains: String,
    /// `GET`, `POST` and so on. `None` matches every method.
    pub method: Option<String>,
    /// The call is carried out all the same; only its answer is replaced.
    pub applies: bool,
    /// No answer at all: the connection is dropped.
    pub dropped: bool,
    /// Nothing is replaced: the call is carried out and answered truly, only held back by `delay_ms`.
    pub honest: bool,
    /// One of the vendor's own answers instead of `status`, `body` and `headers`, by the name the dialect gives it.
    pub shape: Option<String>,
}

impl Default for ForcedAnswer {
    fn default() -> Self {
        Self {
            status: 500,
            body: Value::Null,
            headers: BTreeMap::new(),
            content_type: None,
            delay_ms: 0,
            times: 1,
            path_contains: String::new(),
            method: None,
            applies: false,
            dropped: false,
            honest: false,
            shape: None,
        }
    }
}

impl ForcedAnswer {
    fn matches(&self, call: &Call) -> bool {
        call.path.contains(&self.path_contains)
            && self.method.as_ref().is_none_or(|method| method.eq_ignore_ascii_case(&call.method))
    }

    pub(crate) fn answer(&self) -> Answer {
        let text = match &self.body {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        let kind = self.content_type.as_deref().unwrap_or("application/json;charset=utf-8");
        let answer = text.map_or_else(|| Answer::empty(self.status), |text| Answer::text(self.status, kind, text));
        self.headers.iter().fold(answer, |answer, (name, value)| answer.with_header(name, value))
    }
}

/// Prepared answers, served in the order they were given.
#[derive(Debug, Default)]
pub(crate) struct ForcedAnswers(VecDeque<ForcedAnswer>);

impl ForcedAnswers {
    pub(crate) fn add(&mut self, forced: ForcedAnswer) {
        self.0.push_back(forced);
    }

    pub(crate) fn take(&mut self, call: &Call) -> Option<ForcedAnswer> {
        self.0.retain(|forced| forced.times > 0);
        let forced = self.0.iter_mut().find(|forced| forced.matches(call))?;
        forced.times -= 1;
        Some(forced.clone())
    }
}
