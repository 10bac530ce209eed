//! Mailchimp: what this vendor decides, and which endpoint a call reaches. One audience and its members, one store and its orders.

mod batch;
mod list;
mod members;
mod merge_fields;
mod orders;
mod quota;
mod refuse;
mod render;
mod stock;

use serde_json::json;

use crate::{
    ObjectType, Refusal, Weather, alterations,
    call::{Answer, Call},
    oauth,
    quirk::{Quirks, Switch},
    schema::{Fault, Habits, Property},
    turn::Turn,
    vendor::{ObjectName, Vendor},
};

const OBJECTS: [ObjectName; 2] = [(ObjectType::Contacts, "members"), (ObjectType::Deals, "orders")];

/// The id of the one audience.
const LIST: &str = "a1b2c3d4e5";

const SINCE_IS_EXCLUSIVE: Switch =
    Switch::flag("since_is_exclusive", true, "since_last_changed leaves out its own second, as its wording says [unverified]");
const BAD_TIMES_IGNORED: Switch = Switch::flag(
    "bad_times_ignored",
    true,
    "a filter's unreadable time, as with an unencoded +, is ignored, so that every member is answered",
);
const LIST_HAS_ARCHIVED: Switch =
    Switch::flag("list_has_archived", true, "a list without a status holds archived members [unverified]");
const UNKNOWN_MERGE_FIELDS_IGNORED: Switch = Switch::flag(
    "unknown_merge_fields_ignored",
    true,
    "merge fields the audience does not have are dropped in silence [unverified]",
);
const COMPLIANCE: Switch = Switch::flag(
    "compliance",
    true,
    "a member who left or bounced, not by the API, cannot be subscribed by the API: Member In Compliance State",
);
const FORGOTTEN: Switch = Switch::flag(
    "forgotten",
    true,
    "the address of a permanently deleted member cannot come back: Forgotten Email Not Subscribed",
);
const TRANSLATED_TITLES: Switch = Switch::flag("translated_titles", false, "the titles of errors come in the account's language");
const ROWS_MAX: Switch = Switch::number("rows_max", 1000, "members a page may hold");
const BATCH_MAX: Switch = Switch::number("batch_max", 500, "members one batch may hold");

/// Mailchimp's Marketing API.
#[derive(Debug)]
pub(crate) struct Mailchimp;

impl Vendor for Mailchimp {
    fn objects(&self) -> &'static [ObjectName] {
        &OBJECTS
    }

    fn properties(&self, object: ObjectType, now_ms: i64) -> Vec<Property> {
        match object {
            ObjectType::Contacts => stock::properties(now_ms),
            ObjectType::Deals => stock::of_orders(now_ms),
            ObjectType::Companies => Vec::new(),
        }
    }

    fn columns(&self, object: ObjectType) -> &'static [&'static str] {
        match object {
            ObjectType::Deals => &[stock::CUSTOMER, "order_total", "financial_status"],
            _ => &["email_address", "status", "FNAME", "LNAME", "PHONE"],
        }
    }

    fn sample(&self, at: u32) -> Vec<(&'static str, String)> {
        let email = format!("contact{at}@robots.example");
        let status = "subscribed".to_owned();
        vec![("email_address", email), ("status", status), ("FNAME", "Contact".to_owned()), ("LNAME", at.to_string())]
    }

    fn id(&self, object: ObjectType, number: u64) -> String {
        if object == ObjectType::Deals { orders::id(number) } else { render::contact_id(number) }
    }

    /// The id by the address is no help here: it changes with the address.
    fn number(&self, object: ObjectType, id: &str) -> Option<u64> {
        if object == ObjectType::Deals { orders::of_id(id) } else { render::contact_number(id) }
    }

    fn switches(&self) -> Vec<&'static Switch> {
        let own: &[&Switch] = &[
            &SINCE_IS_EXCLUSIVE,
            &BAD_TIMES_IGNORED,
            &LIST_HAS_ARCHIVED,
            &UNKNOWN_MERGE_FIELDS_IGNORED,
            &COMPLIANCE,
            &FORGOTTEN,
            &TRANSLATED_TITLES,
            &ROWS_MAX,
            &BATCH_MAX,
            &quota::CONNECTIONS_MAX,
            &quota::BLUNT_AFTER,
        ];
        [own, &alterations::SWITCHES].concat()
    }

    fn precision_ms(&self) -> i64 {
        1000
    }

    /// An address keeps its letter case, and is one with all its spellings.
    fn habits(&self, _weather: &Weather, quirks: &Quirks) -> Habits {
        Habits { check_emails: true, ..Habits::open(quirks) }
    }

    fn property_name(&self, wished: &str) -> String {
        stock::tag(wished)
    }

    fn endpoint(&self, call: &Call) -> String {
        let parts = call.segments();
        let named = parts.iter().enumerate().map(|(at, part)| match at {
            2 if parts.get(1).is_some_and(|part| part == "lists") => "{list}",
            3 if parts.get(2).is_some_and(|part| part == "stores") => "{store}",
            4 if parts.get(1).is_some_and(|part| part == "lists") => "{id}",
            5 if parts.get(2).is_some_and(|part| part == "stores") => "{id}",
            _ => part.as_str(),
        });
        format!("{} /{}", call.method, named.collect::<Vec<_>>().join("/"))
    }

    fn authorise(&self, turn: &mut Turn<'_>, call: &Call) -> Result<(), Answer> {
        let basic = oauth::basic_secret(call);
        let sent = call.credential("Bearer").or(call.credential("OAuth")).or(basic.as_deref());
        if sent.is_some() && sent == turn.token { Ok(()) } else { Err(refuse::whole(turn, &refuse::unauthenticated())) }
    }

    fn admit(&self, turn: &mut Turn<'_>, _call: &Call) -> Result<(), Answer> {
        quota::admit(turn)
    }

    fn route(&self, turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Refusal> {
        route(turn, call)
    }

    fn refused(&self, turn: &Turn<'_>, refusal: &Refusal) -> Answer {
        refuse::whole(turn, refusal)
    }

    fn server_error(&self, turn: &Turn<'_>, status: u16) -> Answer {
        let text = "An unexpected internal error has occurred. Please contact Support for more information.";
        refuse::whole(turn, &Refusal::new(status, "Internal Server Error", text))
    }

    fn shapes(&self) -> &'static [&'static str] {
        &["429 connections", "429 without JSON", "403 without JSON", "403 user disabled", "503 blocked"]
    }

    fn throttles(&self) -> &'static [&'static str] {
        &["429 connections", "429 without JSON", "403 without JSON"]
    }

    fn merges(&self) -> bool {
        false
    }

    fn quotas(&self) -> &'static [&'static str] {
        &["connections_max"]
    }

    fn shaped(&self, turn: &Turn<'_>, shape: &str) -> Option<Answer> {
        Some(match shape {
            "429 connections" => quota::connections(turn),
            "429 without JSON" => quota::blunt(429),
            "403 without JSON" => quota::blunt(403),
            "403 user disabled" => refuse::whole(turn, &Refusal::new(403, "User Disabled", "This account has been disabled.")),
            "503 blocked" => quota::blunt(503),
            _ => return None,
        })
    }

    fn throttle(&self, _call: &Call) -> &'static str {
        "429 connections"
    }

    fn missing(&self, _object: ObjectType, _id: &str) -> Refusal {
        refuse::missing()
    }

    fn invalid(&self, _object: ObjectType, faults: &[Fault]) -> Refusal {
        refuse::invalid(faults)
    }

    fn taken(&self, _object: ObjectType, _name: &str, value: &str, _owner: u64) -> Refusal {
        refuse::exists(value)
    }
}

fn route(turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Refusal> {
    let segments = call.segments();
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (call.method.as_str(), path.as_slice()) {
        ("GET", ["3.0"]) => Ok(account(turn)),
        ("GET", ["3.0", "ping"]) => Ok(Answer::json(200, &json!({ "health_status": "Everything's Chimpy!" }))),
        ("GET", ["oauth2", "metadata"]) => {
            let base = oauth::base_url(call);
            Ok(Answer::json(200, &json!({ "dc": "us1", "accountname": "Practice", "login_url": base, "api_endpoint": base })))
        }
        ("GET", ["3.0", "lists"]) => Ok(Answer::json(200, &json!({ "lists": [audience(turn)], "total_items": 1 }))),
        (method, ["3.0", "lists", list, rest @ ..]) => {
            if *list != LIST {
                return Err(refuse::missing());
            }
            match (method, rest) {
                ("GET", []) => Ok(Answer::json(200, &audience(turn))),
                ("POST", []) => batch::write(turn, call),
                ("GET", ["members"]) => list::list(turn, call),
                ("POST", ["members"]) => members::create(turn, call),
                ("GET", ["members", id]) => members::get(turn, id, call),
                ("PUT", ["members", id]) => members::put(turn, id, call),
                ("PATCH", ["members", id]) => members::update(turn, id, call),
                ("DELETE", ["members", id]) => members::archive(turn, id),
                ("POST", ["members", id, "actions", "delete-permanent"]) => members::forget(turn, id),
                ("GET", ["merge-fields"]) => Ok(merge_fields::list(turn, call)),
                ("POST", ["merge-fields"]) => merge_fields::create(turn, call),
                ("DELETE", ["merge-fields", id]) => merge_fields::remove(turn, id),
                _ => Err(refuse::missing()),
            }
        }
        ("GET", ["3.0", "ecommerce", "stores", orders::STORE, "orders"]) => orders::list(turn, call),
        ("GET", ["3.0", "ecommerce", "stores", orders::STORE, "orders", id]) => orders::get(turn, id, call),
        _ => Err(refuse::missing()),
    }
}

fn account(turn: &Turn<'_>) -> Answer {
    Answer::json(
        200,
        &json!({
            "account_id": turn.account,
            "login_id": turn.account,
            "account_name": "Practice",
            "role": "owner",
            "account_timezone": "Etc/UTC",
            "total_subscribers": list::count(turn),
        }),
    )
}

fn audience(turn: &Turn<'_>) -> serde_json::Value {
    json!({ "id": LIST, "web_id": 1, "name": "Practice", "stats": { "member_count": list::count(turn) } })
}
