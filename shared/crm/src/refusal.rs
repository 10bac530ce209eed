//! Decides how a refusal reads as a [`Failure`]: the table's verdict with the vendor's words, redacted, in one sentence.
//!
//! Never decides a class itself; that is the error table's.

use std::time::Duration;

use serde_json::Value;
use tidemark_core::failure::{Class, Failure};
use tidemark_core::record::RemoteId;

use crate::errors::{CallEvidence, ErrorTable, Evidence, Verdict};
use crate::http::{Client, Intent, Reply};

/// Reads refusals of one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusals<'a> {
    pub(crate) vendor: &'a str,
    pub(crate) errors: &'a ErrorTable,
    pub(crate) client: &'a Client,
}

impl Refusals<'_> {
    /// A whole call that was not answered with a success.
    pub(crate) fn of_call(&self, reply: &Reply) -> Failure {
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let call = CallEvidence { status: reply.status, headers: &reply.headers, content_type: reply.content_type() };
        let verdict = self.errors.judge(Evidence { call: Some(call), body: &body });
        let answered = format!("{} answered {}", self.vendor, reply.status);
        let mut failure = self.failure(verdict, &reply.tried, &answered, reply.wait);
        failure.status = Some(reply.status);
        // A fault behind the edge, or an answer nobody can read, does not say that nothing happened.
        let unclear = reply.status >= 500 || reply.status == 408 || failure.class == Class::Malformed;
        failure.maybe_done = reply.intent == Intent::Write && unclear;
        failure
    }

    /// One entry of a batch's errors.
    pub(crate) fn of_item(&self, reply: &Reply, item: &Value) -> Failure {
        let verdict = self.errors.judge(Evidence { call: None, body: item });
        let answered = format!("{} refused one item", self.vendor);
        let mut failure = self.failure(verdict, &reply.tried, &answered, reply.wait);
        failure.status = Some(reply.status);
        failure.maybe_done = reply.intent == Intent::Write && matches!(failure.class, Class::Retry | Class::Malformed);
        failure
    }

    fn failure(&self, verdict: Verdict, tried: &str, answered: &str, asked: Option<Duration>) -> Failure {
        let code = verdict.code.map(|code| self.client.words(&code));
        let words = verdict.message.map(|message| self.client.words(&message));
        let code_part = code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
        let words_part = words.map(|words| format!(": {words}")).unwrap_or_default();
        let mut failure = Failure::new(verdict.class, format!("{tried}: {answered}{code_part}{words_part}"));
        failure.code = code;
        failure.wait = asked.max(verdict.wait_min);
        failure.existing = verdict.existing.map(RemoteId);
        failure.property = verdict.property.map(|property| self.client.words(&property));
        failure
    }
}
