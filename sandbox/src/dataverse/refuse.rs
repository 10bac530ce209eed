//! How the vendor says no: a hexadecimal code and a sentence, under a status that does not always follow from them.

use serde_json::json;

use crate::{
    Refusal,
    call::Answer,
    schema::{Fault, Wrong},
};

pub(super) fn whole(refusal: &Refusal) -> Answer {
    let body = json!({ "error": { "code": refusal.category(), "message": refusal.message() } });
    Answer::json(refusal.status(), &body)
}

pub(super) fn missing(what: &str, id: &str) -> Refusal {
    Refusal::new(404, "0x80040217", format!("{what} With Id = {id} Does Not Exist"))
}

pub(super) fn no_such_path(name: &str) -> Refusal {
    Refusal::new(404, "0x8006088a", format!("Resource not found for the segment '{name}'."))
}

pub(super) fn bad(text: &str) -> Refusal {
    Refusal::new(400, "0x0", text)
}

pub(super) fn stale() -> Refusal {
    Refusal::new(412, "0x80060882", "The version of the existing record doesn't match the RowVersion property provided.")
}

pub(super) fn exists() -> Refusal {
    Refusal::new(412, "0x80040237", "A record with matching key values already exists.")
}

pub(super) fn invalid(faults: &[Fault]) -> Refusal {
    let Some(Fault { name, value, wrong }) = faults.first() else { return bad("The request is invalid.") };
    let text = match wrong {
        Wrong::Unknown => {
            let text = format!(
                "An error occurred while validating input parameters: Microsoft.OData.ODataException: An undeclared property '{name}' \
                 which only has property annotations in the payload but no property value was found in the payload."
            );
            return Refusal::new(400, "0x80048d19", text);
        }
        Wrong::ReadOnly => format!("Attribute {name} cannot be set"),
        Wrong::Shape => format!("Cannot convert a value to target type for property '{name}'"),
        Wrong::Long(max) => {
            let text = format!(
                "A validation error occurred. The length of the '{name}' attribute exceeded the maximum allowed length of '{max}'."
            );
            return Refusal::new(400, "0x80044331", text);
        }
        Wrong::Email | Wrong::Number | Wrong::Time | Wrong::Flag | Wrong::Option(_) => {
            let text = format!(
                "Error identified in Payload provided by the user for Entity: Cannot convert the literal '{value}' to the expected type of '{name}'"
            );
            return Refusal::new(400, "0x80048d19", text);
        }
    };
    bad(&text)
}
