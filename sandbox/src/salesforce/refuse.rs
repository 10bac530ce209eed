//! How the vendor says no: a list of errors for a call, and the same errors under another name inside a collection.

use serde_json::{Value, json};

use super::OBJECTS;
use crate::{
    ObjectType, Refusal,
    call::Answer,
    schema::{Fault, Wrong},
};

/// `context` holds the fields an error is about, or a duplicate rule's result.
pub(super) fn whole(refusal: &Refusal) -> Answer {
    let mut error = json!({ "message": refusal.message(), "errorCode": refusal.category() });
    match refusal.context() {
        Value::Array(fields) => error["fields"] = json!(fields),
        Value::Object(result) => error["duplicateResult"] = json!(result),
        _ => {}
    }
    Answer::json(refusal.status(), &json!([error]))
}

/// One item of a collection: `statusCode` where a call's error has `errorCode`.
pub(super) fn item(refusal: &Refusal) -> Value {
    let fields = if refusal.context().is_array() { refusal.context().clone() } else { json!([]) };
    json!({
        "success": false,
        "errors": [{ "statusCode": refusal.category(), "message": refusal.message(), "fields": fields }],
    })
}

pub(super) fn name(object: ObjectType) -> &'static str {
    OBJECTS.iter().find(|(kind, _)| *kind == object).map_or("", |(_, name)| name)
}

pub(super) fn not_found() -> Refusal {
    Refusal::new(404, "NOT_FOUND", "The requested resource does not exist")
}

pub(super) fn deleted() -> Refusal {
    Refusal::new(404, "ENTITY_IS_DELETED", "entity is deleted")
}

pub(super) fn malformed_id(object: ObjectType, id: &str) -> Refusal {
    Refusal::new(400, "MALFORMED_ID", format!("{} ID: id value of incorrect type: {id}", name(object)))
        .with_context(json!(["Id"]))
}

pub(super) fn no_such_type(text: &str) -> Refusal {
    Refusal::new(400, "INVALID_TYPE", format!("sObject type '{text}' is not supported."))
}

pub(super) fn no_such_column(object: ObjectType, field: &str) -> Refusal {
    let text = format!(
        "No such column '{field}' on entity '{0}'. If you are attempting to use a custom field, be sure to append the '__c' after the custom field name.",
        name(object)
    );
    Refusal::new(400, "INVALID_FIELD", text)
}

pub(super) fn session() -> Refusal {
    Refusal::new(401, "INVALID_SESSION_ID", "Session expired or invalid")
}

pub(super) fn unreadable() -> Refusal {
    Refusal::new(400, "JSON_PARSER_ERROR", "Unexpected character in the request body")
}

pub(super) fn missing_fields(fields: &[&str]) -> Refusal {
    let text = format!("Required fields are missing: [{}]", fields.join(", "));
    Refusal::new(400, "REQUIRED_FIELD_MISSING", text).with_context(json!(fields))
}

/// The first fault is the one that is told.
pub(super) fn invalid(object: ObjectType, faults: &[Fault]) -> Refusal {
    let Some(Fault { name: field, value, wrong }) = faults.first() else {
        return unreadable();
    };
    let label = field.trim_end_matches("__c");
    let refused = |code, text: String| Refusal::new(400, code, text).with_context(json!([field]));
    match wrong {
        Wrong::Unknown => {
            Refusal::new(400, "INVALID_FIELD", format!("No such column '{field}' on sobject of type {}", name(object)))
        }
        Wrong::ReadOnly => refused(
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            format!("Unable to create/update fields: {field}. Please check the security settings of this field."),
        ),
        Wrong::Shape => Refusal::new(400, "JSON_PARSER_ERROR", format!("Cannot deserialize instance of {label}")),
        Wrong::Email => refused("INVALID_EMAIL_ADDRESS", format!("{label}: invalid email address: {value}")),
        Wrong::Number => Refusal::new(
            400,
            "JSON_PARSER_ERROR",
            format!("Cannot deserialize instance of double from VALUE_STRING value {value}"),
        ),
        Wrong::Time => Refusal::new(
            400,
            "JSON_PARSER_ERROR",
            format!("Cannot deserialize instance of datetime from VALUE_STRING value {value}"),
        ),
        Wrong::Flag => Refusal::new(
            400,
            "JSON_PARSER_ERROR",
            format!("Cannot deserialize instance of boolean from VALUE_STRING value {value}"),
        ),
        Wrong::Option(_) => refused(
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            format!("{label}: bad value for restricted picklist field: {value}"),
        ),
        Wrong::Long(max) => refused("STRING_TOO_LONG", format!("{label}: data value too large: {value} (max length={max})")),
    }
}
