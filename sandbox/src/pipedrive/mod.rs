//! Pipedrive: what this vendor decides, and which endpoint a call reaches. Version 2, and of version 1 what has no successor.

mod fields;
mod list;
mod quota;
mod records;
mod refuse;
mod render;
mod search;
mod stock;
mod token;

use crate::{
    ObjectType, Refusal, Weather, alterations,
    call::{Answer, Call},
    quirk::{Quirks, Switch},
    record::Act,
    schema::{Fault, Habits, Property},
    turn::Turn,
    vendor::{ObjectName, Vendor},
    weather::Nature,
};

const OBJECTS: [ObjectName; 3] =
    [(ObjectType::Contacts, "persons"), (ObjectType::Companies, "organizations"), (ObjectType::Deals, "deals")];

const DELETED_DAYS: Switch = Switch::number(
    "deleted_days",
    30,
    "days for which a deleted record can still be read by id, and a deal be listed as deleted",
);
const DELETE_MOVES_UPDATE_TIME: Switch =
    Switch::flag("delete_moves_update_time", true, "deleting gives a record a new update_time [unverified]");
const MERGE_MOVES_UPDATE_TIME: Switch =
    Switch::flag("merge_moves_update_time", true, "a merge gives the survivor a new update_time [unverified]");
const RESTORE_MOVES_UPDATE_TIME: Switch =
    Switch::flag("restore_moves_update_time", false, "restoring gives a record a new update_time [unverified]");
const MERGED_IS_DELETED: Switch = Switch::flag(
    "merged_is_deleted",
    true,
    "the loser of a merge shows as a deleted record; off: it is nowhere to be found [unverified]",
);
const FRACTIONS_REFUSED: Switch =
    Switch::flag("fractions_refused", true, "a time with a fraction of a second in a filter is refused with 400");
const BAD_TIMES_IGNORED: Switch =
    Switch::flag("bad_times_ignored", false, "a filter's unreadable time is ignored, so that everything is answered");
const UNKNOWN_FIELDS_IGNORED: Switch =
    Switch::flag("unknown_fields_ignored", false, "unknown fields of a write are dropped in silence instead of refused");
const TIMES_TAKEN: Switch =
    Switch::flag("times_taken", true, "add_time and update_time sent with a new person or organization are taken");
const CURSOR_MINUTES: Switch =
    Switch::number("cursor_minutes", 0, "age in minutes at which a cursor is refused; 0: never [unverified]");

/// Pipedrive's API.
#[derive(Debug)]
pub(crate) struct Pipedrive;

impl Vendor for Pipedrive {
    fn objects(&self) -> &'static [ObjectName] {
        &OBJECTS
    }

    fn properties(&self, object: ObjectType, now_ms: i64) -> Vec<Property> {
        stock::properties(object, now_ms)
    }

    fn columns(&self, object: ObjectType) -> &'static [&'static str] {
        match object {
            ObjectType::Contacts => &["name", "emails", "phones", "org_id"],
            ObjectType::Companies => &["name", "address"],
            ObjectType::Deals => &["title", "value", "currency", "status", "person_id", "org_id"],
        }
    }

    fn sample(&self, at: u32) -> Vec<(&'static str, String)> {
        vec![("name", format!("Contact {at}")), ("emails", format!("contact{at}@robots.example"))]
    }

    fn switches(&self) -> Vec<&'static Switch> {
        let own: &[&Switch] = &[
            &DELETED_DAYS,
            &DELETE_MOVES_UPDATE_TIME,
            &MERGE_MOVES_UPDATE_TIME,
            &RESTORE_MOVES_UPDATE_TIME,
            &MERGED_IS_DELETED,
            &FRACTIONS_REFUSED,
            &BAD_TIMES_IGNORED,
            &UNKNOWN_FIELDS_IGNORED,
            &TIMES_TAKEN,
            &CURSOR_MINUTES,
            &quota::BURST_CALLS_MAX,
            &quota::BURST_SEARCHES_MAX,
            &quota::DAILY_TOKENS_MAX,
            &quota::DAILY_HEADERS,
            &quota::EDGE_BLOCK_AFTER,
            &quota::EDGE_BLOCK_SECS,
            &token::ACCESS_TOKEN_SECS,
        ];
        [own, &alterations::SWITCHES].concat()
    }

    fn precision_ms(&self) -> i64 {
        1000
    }

    fn habits(&self, _weather: &Weather, quirks: &Quirks) -> Habits {
        Habits::open(quirks)
    }

    fn moves_stamp(&self, act: Act, quirks: &Quirks) -> bool {
        quirks.is_on(match act {
            Act::Archive => &DELETE_MOVES_UPDATE_TIME,
            Act::Merge => &MERGE_MOVES_UPDATE_TIME,
            Act::Restore => &RESTORE_MOVES_UPDATE_TIME,
        })
    }

    /// Custom fields are known by forty hexadecimal digits.
    fn property_name(&self, wished: &str) -> String {
        if stock::is_custom(wished) { wished.to_owned() } else { stock::code(wished) }
    }

    fn is_search(&self, call: &Call) -> bool {
        call.method == "GET" && call.path.ends_with("/search")
    }

    fn nature(&self, call: &Call) -> Nature {
        if call.method == "GET" || call.path.starts_with("/oauth/") { Nature::Read } else { Nature::Write }
    }

    fn authorise(&self, turn: &mut Turn<'_>, call: &Call) -> Result<(), Answer> {
        token::authorise(turn, call)
    }

    fn admit(&self, turn: &mut Turn<'_>, call: &Call) -> Result<(), Answer> {
        quota::admit(turn, call, self.is_search(call))
    }

    fn route(&self, turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Refusal> {
        route(turn, call)
    }

    fn headers(&self, turn: &mut Turn<'_>, call: &Call) -> Vec<(String, String)> {
        if token::is_endpoint(call) { Vec::new() } else { quota::headers(turn, self.is_search(call)) }
    }

    fn refused(&self, _turn: &Turn<'_>, refusal: &Refusal) -> Answer {
        refuse::whole(refusal)
    }

    fn server_error(&self, _turn: &Turn<'_>, status: u16) -> Answer {
        refuse::whole(&Refusal::new(status, "", "Something went wrong on our side"))
    }

    fn shapes(&self) -> &'static [&'static str] {
        &["429 burst", "429 daily", "403 edge", "403 plan limit", "402 payment"]
    }

    fn throttles(&self) -> &'static [&'static str] {
        &["429 burst"]
    }

    fn day(&self) -> Option<&'static str> {
        Some("429 daily")
    }

    fn quotas(&self) -> &'static [&'static str] {
        &["burst_calls_max", "burst_searches_max", "daily_tokens_max"]
    }

    fn wears(&self) -> &'static [(&'static str, u64)] {
        &[("cursor_minutes", 1)]
    }

    fn shaped(&self, turn: &Turn<'_>, shape: &str) -> Option<Answer> {
        Some(match shape {
            "429 burst" => quota::burst(turn),
            "429 daily" => quota::daily(turn),
            "403 edge" => quota::edge_page(),
            "403 plan limit" => refuse::whole(&Refusal::new(
                403,
                "feature_capping_deals_limit",
                "Couldn't add the deal. Open deals limit reached.",
            )),
            "402 payment" => refuse::whole(&Refusal::new(402, "", "Company account is not open")),
            _ => return None,
        })
    }

    fn throttle(&self, _call: &Call) -> &'static str {
        "429 burst"
    }

    fn missing(&self, object: ObjectType, _id: &str) -> Refusal {
        refuse::missing(object)
    }

    fn invalid(&self, _object: ObjectType, faults: &[Fault]) -> Refusal {
        refuse::invalid(faults)
    }

    /// Nothing is unique here; only a property made unique by hand can say so.
    fn taken(&self, _object: ObjectType, name: &str, _value: &str, owner: u64) -> Refusal {
        refuse::validation(&format!("{name} is already used by {owner}"))
    }
}

fn route(turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Refusal> {
    let segments = call.segments();
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (call.method.as_str(), path.as_slice()) {
        ("POST", ["oauth", "token"]) => Ok(token::give(turn, call)),
        ("GET", ["api", "v2", object, "search"]) => search::search(turn, known(object)?, call, search::Paging::Cursor),
        ("GET", ["v1", object, "search"] | ["api", "v1", object, "search"]) => {
            search::search(turn, known(object)?, call, search::Paging::Start)
        }
        ("PUT", ["v1", object, id, "merge"] | ["api", "v1", object, id, "merge"]) => {
            records::merge(turn, known(object)?, id, call)
        }
        ("GET", ["api", "v2", "deals", "archived"]) => list::list(turn, ObjectType::Deals, call, true),
        (method, ["api", "v2", fields, rest @ ..]) if fields.ends_with("Fields") => {
            let object = fields::owner(fields).ok_or_else(refuse::no_such_path)?;
            match (method, rest) {
                ("GET", []) => fields::list(turn, object, call),
                ("POST", []) => fields::create(turn, object, call),
                ("GET", [code]) => fields::get(turn, object, code),
                ("DELETE", [code]) => fields::remove(turn, object, code),
                _ => Err(refuse::no_such_path()),
            }
        }
        (method, ["api", "v2", object, rest @ ..]) => {
            let object = known(object)?;
            match (method, rest) {
                ("GET", []) => list::list(turn, object, call, false),
                ("POST", []) => records::create(turn, object, call),
                ("GET", [id]) => records::get(turn, object, id),
                ("PATCH", [id]) => records::update(turn, object, id, call),
                ("DELETE", [id]) => records::delete(turn, object, id),
                _ => Err(refuse::no_such_path()),
            }
        }
        ("GET", ["v1", "users", "me"] | ["api", "v1", "users", "me"]) => Ok(records::me(turn)),
        _ => Err(refuse::no_such_path()),
    }
}

fn known(object: &str) -> Result<ObjectType, Refusal> {
    OBJECTS.iter().find(|(_, name)| *name == object).map(|(object, _)| *object).ok_or_else(refuse::no_such_path)
}
