//! A call, or one item of a batch, that was turned down, and why. How it looks in an answer is the vendor's.

use serde_json::{Value, json};

use crate::call::Answer;

/// A call, or one item of a batch, that the CRM turned down. Nothing was changed by it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{status} {category}: {message}")]
pub struct Refusal {
    status: u16,
    category: &'static str,
    message: String,
    /// What the vendor adds for programs to read, in its own form. `Null` when there is nothing to add.
    context: Value,
}

impl Refusal {
    pub(crate) fn new(status: u16, category: &'static str, message: impl Into<String>) -> Self {
        Self { status, category, message: message.into(), context: Value::Null }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "VALIDATION_ERROR", message)
    }

    pub(crate) fn no_such_path() -> Self {
        Self::new(404, "OBJECT_NOT_FOUND", "Unable to find a resource at this path.")
    }

    pub(crate) fn with_context(self, context: Value) -> Self {
        Self { context, ..self }
    }

    /// The HTTP status the vendor answers with.
    pub fn status(&self) -> u16 {
        self.status
    }

    pub fn category(&self) -> &'static str {
        self.category
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn is_missing(&self) -> bool {
        self.status == 404
    }

    pub(crate) fn context(&self) -> &Value {
        &self.context
    }

    /// How the control API says no, whatever the dialect.
    pub(crate) fn plain(&self) -> Answer {
        let mut body = json!({ "status": "error", "category": self.category, "message": self.message });
        if !self.context.is_null() {
            body["context"] = self.context.clone();
        }
        Answer::json(self.status, &body)
    }
}
