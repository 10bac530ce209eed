//! How the vendor says no: its error body, its list of faults inside a message, and the refusals more than one endpoint gives.

use serde_json::{Value, json};

use crate::{
    ObjectType, Refusal,
    call::Answer,
    schema::{Fault, Wrong},
};

pub(super) fn not_found(object: ObjectType, id: &str) -> Refusal {
    let text = format!("Object not found.  objectId are usually numeric. {} {id}", object.singular());
    Refusal::new(404, "OBJECT_NOT_FOUND", text).with_context(json!({ "ids": [id] }))
}

pub(super) fn unauthenticated() -> Refusal {
    Refusal::new(
        401,
        "INVALID_AUTHENTICATION",
        "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more \
         details at https://developers.hubspot.com/docs/methods/auth/oauth-overview",
    )
}

pub(super) fn no_such_property(object: ObjectType, name: &str) -> Refusal {
    let text = format!("Property \"{name}\" does not exist for {}", object.plural());
    Refusal::new(404, "OBJECT_NOT_FOUND", text)
}

pub(super) fn not_unique(name: &str) -> Refusal {
    Refusal::invalid(format!("The property '{name}' is not a unique identifier property"))
}

/// The vendor puts the list of faults, as JSON, into the message text.
pub(super) fn invalid(faults: &[Fault]) -> Refusal {
    let list: Vec<Value> = faults.iter().map(entry).collect();
    not_valid(&list)
}

/// The vendor's two ways to say that a value is taken: a conflict for e-mails, a validation error for the rest.
pub(super) fn taken(name: &str, value: &str, owner: u64) -> Refusal {
    if name == "email" {
        return Refusal::new(409, "CONFLICT", format!("Contact already exists. Existing ID: {owner}"));
    }
    let text = format!(
        "Cannot set PropertyValueCoordinates{{propertyName={name}, value={value}}} to {value}. {owner} already has that value."
    );
    not_valid(&[fault(name, "CONFLICTING_UNIQUE_VALUE", &text)])
}

/// The body of a call that failed as a whole.
pub(super) fn whole(refusal: &Refusal, correlation: &str) -> Answer {
    let mut body = json!({
        "status": "error",
        "message": refusal.message(),
        "correlationId": correlation,
        "category": refusal.category(),
    });
    if !refusal.context().is_null() {
        body["context"] = refusal.context().clone();
    }
    Answer::json(refusal.status(), &body)
}

/// One entry of a Multi-Status answer's `errors`.
pub(super) fn item(refusal: &Refusal, trace_id: Option<&str>) -> Value {
    let mut context = if refusal.context().is_object() { refusal.context().clone() } else { json!({}) };
    if let Some(trace_id) = trace_id {
        context["objectWriteTraceId"] = json!([trace_id]);
    }
    json!({
        "status": "error",
        "category": refusal.category(),
        "message": refusal.message(),
        "context": context,
        "errors": [],
    })
}

fn entry(found: &Fault) -> Value {
    let Fault { name, value, wrong } = found;
    match wrong {
        Wrong::Unknown => fault(name, "PROPERTY_DOESNT_EXIST", &format!("Property \"{name}\" does not exist")),
        Wrong::ReadOnly => {
            fault(name, "READ_ONLY_VALUE", &format!("\"{name}\" is a read only property; its value cannot be set."))
        }
        Wrong::Shape => fault(name, "INVALID_FORMAT", "A property value must be text"),
        Wrong::Email => fault(name, "INVALID_EMAIL", &format!("Email address {value} is invalid")),
        Wrong::Number => fault(name, "INVALID_DOUBLE", &format!("{value} was not a valid number.")),
        Wrong::Time => fault(name, "INVALID_DATE", &format!("{value} was not a valid date.")),
        Wrong::Flag => fault(name, "INVALID_BOOLEAN", &format!("{value} was not a valid boolean.")),
        Wrong::Option(allowed) => {
            let text = format!("{value} was not one of the allowed options: [{}]", allowed.join(", "));
            fault(name, "INVALID_OPTION", &text)
        }
        Wrong::Long(max) => fault(name, "PROPERTY_VALUE_TOO_LONG", &format!("The value is longer than {max} characters")),
    }
}

fn fault(name: &str, error: &str, message: &str) -> Value {
    json!({ "isValid": false, "message": message, "error": error, "name": name })
}

fn not_valid(faults: &[Value]) -> Refusal {
    Refusal::invalid(format!("Property values were not valid: {}", Value::from(faults)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_error_names_the_trace_id_beside_what_it_already_knew() {
        let item = item(&not_found(ObjectType::Deals, "7"), Some("t-1"));
        assert_eq!(item["context"], json!({ "ids": ["7"], "objectWriteTraceId": ["t-1"] }));
    }

    #[test]
    fn a_failed_call_carries_the_vendors_four_fields() {
        let body: Value = serde_json::from_str(&whole(&Refusal::invalid("no"), "c-1").body).unwrap();
        let expected = json!({"status": "error", "message": "no", "correlationId": "c-1", "category": "VALIDATION_ERROR"});
        assert_eq!(body, expected);
    }

    #[test]
    fn faults_are_told_in_the_message_as_json() {
        let check = |wrong: Wrong, error: &str| {
            let refusal = invalid(&[Fault { name: "stage".to_owned(), value: "won".to_owned(), wrong }]);
            let list = refusal.message().strip_prefix("Property values were not valid: ").unwrap();
            let faults: Value = serde_json::from_str(list).unwrap();
            assert_eq!((&faults[0]["error"], &faults[0]["name"]), (&json!(error), &json!("stage")));
            assert_eq!((refusal.status(), refusal.category()), (400, "VALIDATION_ERROR"));
        };
        check(Wrong::Email, "INVALID_EMAIL");
        check(Wrong::Unknown, "PROPERTY_DOESNT_EXIST");
        check(Wrong::Option(vec!["lost".to_owned()]), "INVALID_OPTION");
        check(Wrong::ReadOnly, "READ_ONLY_VALUE");
    }
}
