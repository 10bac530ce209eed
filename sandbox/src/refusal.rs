//! How the CRM says no: the vendor's error body, and the refusals more than one endpoint gives.

use serde_json::{Value, json};

use crate::{ObjectType, call::Answer};

/// A call, or one item of a batch, that the CRM turned down. Nothing was changed by it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{status} {category}: {message}")]
pub struct Refusal {
    status: u16,
    category: &'static str,
    message: String,
    /// Lists of names by kind of name, as the vendor's `context`. `Null` when there is nothing to add.
    context: Value,
}

impl Refusal {
    pub(crate) fn new(status: u16, category: &'static str, message: impl Into<String>) -> Self {
        Self { status, category, message: message.into(), context: Value::Null }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "VALIDATION_ERROR", message)
    }

    pub(crate) fn not_found(object: ObjectType, id: &str) -> Self {
        let text = format!("Object not found.  objectId are usually numeric. {} {id}", object.singular());
        Self::new(404, "OBJECT_NOT_FOUND", text).with_context(json!({ "ids": [id] }))
    }

    pub(crate) fn no_such_path() -> Self {
        Self::new(404, "OBJECT_NOT_FOUND", "Unable to find a resource at this path.")
    }

    pub(crate) fn unauthenticated() -> Self {
        Self::new(
            401,
            "INVALID_AUTHENTICATION",
            "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more \
             details at https://developers.hubspot.com/docs/methods/auth/oauth-overview",
        )
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

    /// The body of a call that failed as a whole.
    pub(crate) fn answer(&self, correlation: &str) -> Answer {
        let mut body = json!({
            "status": "error",
            "message": self.message,
            "correlationId": correlation,
            "category": self.category,
        });
        if !self.context.is_null() {
            body["context"] = self.context.clone();
        }
        Answer::json(self.status, &body)
    }

    /// One entry of a Multi-Status answer's `errors`.
    pub(crate) fn item(&self, trace_id: Option<&str>) -> Value {
        let mut context = if self.context.is_object() { self.context.clone() } else { json!({}) };
        if let Some(trace_id) = trace_id {
            context["objectWriteTraceId"] = json!([trace_id]);
        }
        json!({
            "status": "error",
            "category": self.category,
            "message": self.message,
            "context": context,
            "errors": [],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_error_names_the_trace_id_beside_what_it_already_knew() {
        let item = Refusal::not_found(ObjectType::Deals, "7").item(Some("t-1"));
        assert_eq!(item["context"], json!({ "ids": ["7"], "objectWriteTraceId": ["t-1"] }));
    }

    #[test]
    fn a_failed_call_carries_the_vendors_four_fields() {
        let body: Value = serde_json::from_str(&Refusal::invalid("no").answer("c-1").body).unwrap();
        let expected = json!({"status": "error", "message": "no", "correlationId": "c-1", "category": "VALIDATION_ERROR"});
        assert_eq!(body, expected);
    }
}
