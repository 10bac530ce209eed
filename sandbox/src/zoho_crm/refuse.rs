//! How the vendor says no: a code, details and a message, for a call and for each record of one alike.

use serde_json::{Value, json};

use crate::{
    ObjectType, Refusal,
    call::Answer,
    schema::{Fault, Wrong},
};

pub(super) fn whole(refusal: &Refusal) -> Answer {
    Answer::json(refusal.status(), &body(refusal))
}

pub(super) fn body(refusal: &Refusal) -> Value {
    let details = if refusal.context().is_object() { refusal.context().clone() } else { json!({}) };
    json!({ "code": refusal.category(), "details": details, "message": refusal.message(), "status": "error" })
}

/// A failed record of a batch: its details tell where in the call it stood.
pub(super) fn item(refusal: &Refusal, at: usize) -> Value {
    let mut body = body(refusal);
    if let Some(name) = body["details"]["api_name"].as_str().map(str::to_owned) {
        body["details"]["json_path"] = json!(format!("$.data[{at}].{name}"));
    }
    body
}

/// An unknown id is not merely missing.
pub(super) fn no_such_id() -> Refusal {
    let details = json!({ "api_name": "id" });
    Refusal::new(400, "INVALID_DATA", "the id given seems to be invalid").with_context(details)
}

pub(super) fn no_such_module(name: &str) -> Refusal {
    let details = json!({ "resource_path_index": 0, "given": name });
    Refusal::new(400, "INVALID_MODULE", "the module name given seems to be invalid").with_context(details)
}

pub(super) fn no_such_path() -> Refusal {
    Refusal::new(404, "INVALID_URL_PATTERN", "Please check if the URL trying to access is a correct one")
}

pub(super) fn param(name: &str, code: &'static str, message: &str) -> Refusal {
    Refusal::new(400, code, message).with_context(json!({ "param": name, "param_name": name }))
}

pub(super) fn needed(field: &str) -> Refusal {
    Refusal::new(400, "MANDATORY_NOT_FOUND", "required field not found").with_context(json!({ "api_name": field }))
}

pub(super) fn duplicate(field: &str, id: &str, module: &str) -> Refusal {
    let record = json!({ "id": id, "module": { "api_name": module } });
    let details = json!({ "api_name": field, "id": id, "duplicate_record": record });
    Refusal::new(400, "DUPLICATE_DATA", "duplicate data").with_context(details)
}

pub(super) fn invalid(_object: ObjectType, faults: &[Fault]) -> Refusal {
    let Some(Fault { name, wrong, .. }) = faults.first() else {
        return Refusal::new(400, "INVALID_DATA", "invalid data");
    };
    let expected = match wrong {
        Wrong::Unknown => {
            let details = json!({ "api_name": name });
            return Refusal::new(400, "INVALID_DATA", "the field name given seems to be invalid").with_context(details);
        }
        Wrong::ReadOnly => "readonly",
        Wrong::Shape => "text",
        Wrong::Email => "email",
        Wrong::Number => "double",
        Wrong::Time => "datetime",
        Wrong::Flag => "boolean",
        Wrong::Option(_) => "picklist",
        Wrong::Long(max) => {
            let details = json!({ "api_name": name, "maximum_length": max });
            return Refusal::new(400, "INVALID_DATA", "invalid data").with_context(details);
        }
    };
    Refusal::new(400, "INVALID_DATA", "invalid data").with_context(json!({ "api_name": name, "expected_data_type": expected }))
}
