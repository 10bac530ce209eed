//! How the vendor says no: problem details with a title for people, which programs must live with.

use serde_json::{Value, json};

use super::TRANSLATED_TITLES;
use crate::{
    Refusal,
    call::Answer,
    schema::{Fault, Wrong},
    turn::Turn,
};

const TYPE: &str = "https://mailchimp.com/developer/marketing/docs/errors/";

pub(super) fn whole(turn: &Turn<'_>, refusal: &Refusal) -> Answer {
    let title = if turn.is_on(&TRANSLATED_TITLES) { translated(refusal.category()) } else { refusal.category() };
    let mut body = json!({
        "type": TYPE,
        "title": title,
        "status": refusal.status(),
        "detail": refusal.message(),
        "instance": turn.correlation,
    });
    if refusal.context().is_array() {
        body["errors"] = refusal.context().clone();
    }
    Answer::text(refusal.status(), "application/problem+json; charset=utf-8", body.to_string())
}

pub(super) fn unauthenticated() -> Refusal {
    let text = "Your API key may be invalid, or you've attempted to access the wrong datacenter.";
    Refusal::new(401, "API Key Invalid", text)
}

pub(super) fn missing() -> Refusal {
    Refusal::new(404, "Resource Not Found", "The requested resource could not be found.")
}

pub(super) fn exists(address: &str) -> Refusal {
    let text = format!("{address} is already a list member. Use PUT to insert or update list members.");
    Refusal::new(400, "Member Exists", text)
}

pub(super) fn forgotten(address: &str) -> Refusal {
    let text = format!(
        "{address} was permanently deleted and cannot be re-imported. The contact must re-subscribe to get back on the list."
    );
    Refusal::new(400, "Forgotten Email Not Subscribed", text)
}

pub(super) fn in_compliance_state(address: &str) -> Refusal {
    let text =
        format!("{address} is in a compliance state due to unsubscribe, bounce, or compliance review and cannot be subscribed.");
    Refusal::new(400, "Member In Compliance State", text)
}

pub(super) fn looks_fake(address: &str) -> Refusal {
    let text = format!("{address} looks fake or invalid, please enter a real email address.");
    Refusal::new(400, "Invalid Resource", text)
}

/// A resource that breaks the vendor's schema, told field by field.
pub(super) fn not_valid(errors: &[(&str, String)]) -> Refusal {
    let list: Vec<Value> = errors.iter().map(|(field, message)| json!({ "field": field, "message": message })).collect();
    let text = "The resource submitted could not be validated. For field-specific details, see the 'errors' array.";
    Refusal::new(400, "Invalid Resource", text).with_context(list.into())
}

/// An address that is none has a sentence of its own.
pub(super) fn invalid(faults: &[Fault]) -> Refusal {
    if let Some(fault) = faults.iter().find(|fault| fault.name == "email_address") {
        return match fault.wrong {
            Wrong::Email => looks_fake(&fault.value),
            _ => Refusal::new(400, "Invalid Resource", "Please provide a valid email address."),
        };
    }
    let told: Vec<(&str, String)> = faults.iter().map(|fault| (fault.name.as_str(), told(fault))).collect();
    not_valid(&told)
}

fn told(Fault { value, wrong, .. }: &Fault) -> String {
    match wrong {
        Wrong::Unknown => "This field is not known".to_owned(),
        Wrong::ReadOnly => "This field cannot be set".to_owned(),
        Wrong::Shape => "Schema describes string, object found instead".to_owned(),
        Wrong::Email => format!("{value} looks fake or invalid"),
        Wrong::Number => "Please enter a number".to_owned(),
        Wrong::Time => "Please enter the date".to_owned(),
        Wrong::Flag => "Schema describes boolean, string found instead".to_owned(),
        Wrong::Option(allowed) => format!("Data did not match any of the values: {}", allowed.join(", ")),
        Wrong::Long(max) => format!("Please enter {max} characters or less"),
    }
}

fn translated(title: &str) -> &str {
    match title {
        "Member Exists" => "Miembro existente",
        "Resource Not Found" => "Recurso no encontrado",
        "Invalid Resource" => "Recurso no válido",
        "Forgotten Email Not Subscribed" => "Correo olvidado no suscrito",
        "Member In Compliance State" => "Miembro en estado de cumplimiento",
        "API Key Invalid" => "Clave de API no válida",
        other => other,
    }
}
