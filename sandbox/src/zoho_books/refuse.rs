//! How the vendor says no: a number and a sentence, under a status that is mostly, but not always, an error's.

use serde_json::json;

use super::{MISSING_STATUS, REFUSALS_ARE_200};
use crate::{
    ObjectType, Refusal,
    call::Answer,
    schema::{Fault, Wrong},
    turn::Turn,
};

pub(super) const INTERNAL: &str = "1000";
const EXISTS_NOT: &str = "1002";
const INVALID: &str = "2";
const UNREADABLE: &str = "4";
const TOO_LONG: &str = "15";
const USED: &str = "3000";
const NAME_TAKEN: &str = "3062";
const STRANGER: &str = "6041";

/// The category of a refusal is its number.
pub(super) fn whole(refusal: &Refusal) -> Answer {
    let code: u64 = refusal.category().parse().unwrap_or(1000);
    Answer::json(refusal.status(), &json!({ "code": code, "message": refusal.message() }))
}

/// A refusal of a record, which may come under a 200.
pub(super) fn of_record(turn: &Turn<'_>, refusal: &Refusal) -> Answer {
    let answer = whole(refusal);
    match refusal.status() {
        400..=499 if turn.is_on(&REFUSALS_ARE_200) => Answer { status: 200, ..answer },
        404 if refusal.category() == EXISTS_NOT => {
            Answer { status: u16::try_from(turn.number(&MISSING_STATUS)).unwrap_or(404), ..answer }
        }
        _ => answer,
    }
}

pub(super) fn token() -> Refusal {
    Refusal::new(401, "57", "You are not authorized to perform this operation")
}

pub(super) fn no_token() -> Refusal {
    Refusal::new(401, "14", "Invalid value passed for authtoken.")
}

pub(super) fn stranger(organization: &str) -> Refusal {
    Refusal::new(400, STRANGER, format!("This user is not associated with the CompanyID/CompanyName:{organization}."))
}

pub(super) fn missing(object: ObjectType) -> Refusal {
    let what = if object == ObjectType::Deals { "Sales Order" } else { "Contact" };
    Refusal::new(404, EXISTS_NOT, format!("{what} does not exist."))
}

pub(super) fn no_such_path() -> Refusal {
    Refusal::new(404, "5", "Invalid URL Passed")
}

pub(super) fn unreadable() -> Refusal {
    Refusal::new(400, UNREADABLE, "Invalid value passed for JSONString")
}

pub(super) fn invalid_value(name: &str) -> Refusal {
    Refusal::new(400, INVALID, format!("Invalid value passed for {name}"))
}

pub(super) fn used() -> Refusal {
    Refusal::new(400, USED, "Contacts that have transactions cannot be deleted. Mark them as inactive instead.")
}

pub(super) fn name_taken(name: &str) -> Refusal {
    Refusal::new(400, NAME_TAKEN, format!("The customer \"{name}\" already exists. Please specify a different name."))
}

pub(super) fn value_taken(name: &str, value: &str) -> Refusal {
    Refusal::new(400, "120124", format!("The value {value} of {name} already exists. Please specify a different value."))
}

/// The first fault alone is told.
pub(super) fn invalid(faults: &[Fault]) -> Refusal {
    match faults.first() {
        Some(Fault { name, wrong: Wrong::Long(max), .. }) => {
            Refusal::new(400, TOO_LONG, format!("Please ensure that the {name} has less than {max} characters."))
        }
        Some(Fault { name, .. }) => invalid_value(name),
        None => unreadable(),
    }
}
