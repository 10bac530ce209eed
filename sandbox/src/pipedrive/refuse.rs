//! How the vendor says no.

use serde_json::{Value, json};

use crate::{
    ObjectType, Refusal,
    call::Answer,
    schema::{Fault, Wrong},
};

const INFO: &str = "Please check developers.pipedrive.com for more information about Pipedrive API.";

/// `code` is there only where the vendor has a word for the case.
pub(super) fn whole(refusal: &Refusal) -> Answer {
    let mut body = json!({
        "success": false,
        "error": refusal.message(),
        "error_info": INFO,
        "data": Value::Null,
        "additional_data": Value::Null,
    });
    if !refusal.category().is_empty() {
        body["code"] = json!(refusal.category());
    }
    Answer::json(refusal.status(), &body)
}

pub(super) fn missing(object: ObjectType) -> Refusal {
    let what = match object {
        ObjectType::Contacts => "Person",
        ObjectType::Companies => "Organization",
        ObjectType::Deals => "Deal",
    };
    Refusal::new(404, "", format!("{what} not found"))
}

pub(super) fn no_such_path() -> Refusal {
    Refusal::new(404, "", "Not Found")
}

/// The second version checks what is sent against a schema, as a whole.
pub(super) fn validation(text: &str) -> Refusal {
    Refusal::new(400, "ERR_SCHEMA_VALIDATION_FAILED", format!("Validation failed: {text}"))
}

pub(super) fn invalid(faults: &[Fault]) -> Refusal {
    let told: Vec<String> = faults.iter().map(told).collect();
    validation(&told.join(", "))
}

fn told(Fault { name, value, wrong }: &Fault) -> String {
    match wrong {
        Wrong::Unknown => format!("{name}: Unrecognized key"),
        Wrong::ReadOnly => format!("{name}: cannot be set"),
        Wrong::Shape => format!("{name}: Expected a single value"),
        Wrong::Email => format!("{name}: {value} is not a valid e-mail"),
        Wrong::Number => format!("{name}: Expected number"),
        Wrong::Time => format!("{name}: {value} is not a valid datetime"),
        Wrong::Flag => format!("{name}: Expected boolean"),
        Wrong::Option(allowed) => format!("{name}: Expected one of {}", allowed.join(", ")),
        Wrong::Long(max) => format!("{name}: longer than {max} characters"),
    }
}
