//! Zoho Books: what this vendor decides, and which endpoint a call reaches. The third version.

mod list;
mod quota;
mod records;
mod refuse;
mod render;
mod stock;

use serde_json::{Value, json};

use crate::{
    ObjectType, Refusal, Weather, alterations,
    call::{Answer, Call},
    quirk::{Quirks, Switch},
    record::Act,
    schema::{Fault, Habits, Property},
    turn::Turn,
    vendor::{ObjectName, Vendor},
    weather::Nature,
    zoho_crm::token,
};

const OBJECTS: [ObjectName; 2] = [(ObjectType::Contacts, "contacts"), (ObjectType::Deals, "salesorders")];

const OFFSET_MINUTES: Switch = Switch::number("offset_minutes", 330, "minutes east of UTC in which times are written");
const SINCE_IS_INCLUSIVE: Switch =
    Switch::flag("since_is_inclusive", true, "last_modified_time holds its own second, as clients report [unverified]");
const SINCE_IS_EXACT: Switch = Switch::flag(
    "since_is_exact",
    false,
    "last_modified_time finds its own second alone, and nothing later, as one client reports against all others [unverified]",
);
const CONTACTS_HEED_SINCE: Switch = Switch::flag(
    "contacts_heed_since",
    true,
    "contacts heed last_modified_time, which the vendor's page does not list; off: it is ignored, so that every contact is answered [unverified]",
);
const BAD_TIMES_IGNORED: Switch = Switch::flag(
    "bad_times_ignored",
    false,
    "a time without an offset of four digits is ignored, so that everything is answered, instead of refused [unverified]",
);
const STAMP_ABSENT: Switch =
    Switch::flag("stamp_absent", false, "a record that was never changed shows no last_modified_time, as a client reports");
const PERSONS_ONLY: Switch = Switch::flag(
    "persons_only",
    false,
    "names, e-mail and phones of a contact are taken in contact_persons alone, and a contact by id shows them there alone [unverified]",
);
const SAME_NAME_MAX: Switch = Switch::number(
    "same_name_max",
    1,
    "contacts the API lets share one display name, in any letters' case; a further one: code 3062",
);
const UNKNOWN_FIELDS_IGNORED: Switch = Switch::flag(
    "unknown_fields_ignored",
    true,
    "unknown fields of a write are dropped in silence instead of refused [unverified]",
);
const UPSERT_SETS_KEY: Switch = Switch::flag(
    "upsert_sets_key",
    false,
    "a record that an upsert makes gets the custom field's value by itself; off: only where it is among the custom fields sent [unverified]",
);
const MERGE_MOVES_TIME: Switch =
    Switch::flag("merge_moves_time", true, "a merge gives the survivor a new last_modified_time [unverified]");
const MISSING_STATUS: Switch =
    Switch::number("missing_status", 404, "status under which a record that is not there is told, with code 1002 [unverified]");
const REFUSALS_ARE_200: Switch =
    Switch::flag("refusals_are_200", false, "a refusal comes under 200, told by its code alone [unverified]");

/// Zoho Books' API.
#[derive(Debug)]
pub(crate) struct ZohoBooks;

impl Vendor for ZohoBooks {
    fn objects(&self) -> &'static [ObjectName] {
        &OBJECTS
    }

    fn properties(&self, object: ObjectType, now_ms: i64) -> Vec<Property> {
        stock::properties(object, now_ms)
    }

    fn columns(&self, object: ObjectType) -> &'static [&'static str] {
        match object {
            ObjectType::Deals => &["salesorder_number", "reference_number", "status", "total", "customer_id"],
            _ => &["contact_name", "email", "phone", "status"],
        }
    }

    fn sample(&self, at: u32) -> Vec<(&'static str, String)> {
        let email = format!("contact{at}@robots.example");
        vec![
            ("contact_name", format!("Contact {at}")),
            ("email", email),
            ("contact_type", "customer".to_owned()),
            ("status", "active".to_owned()),
        ]
    }

    fn id(&self, _object: ObjectType, number: u64) -> String {
        render::id(number)
    }

    fn number(&self, _object: ObjectType, id: &str) -> Option<u64> {
        render::number(id)
    }

    fn switches(&self) -> Vec<&'static Switch> {
        let own: &[&Switch] = &[
            &OFFSET_MINUTES,
            &SINCE_IS_INCLUSIVE,
            &SINCE_IS_EXACT,
            &CONTACTS_HEED_SINCE,
            &BAD_TIMES_IGNORED,
            &STAMP_ABSENT,
            &PERSONS_ONLY,
            &SAME_NAME_MAX,
            &UNKNOWN_FIELDS_IGNORED,
            &UPSERT_SETS_KEY,
            &MERGE_MOVES_TIME,
            &MISSING_STATUS,
            &REFUSALS_ARE_200,
            &quota::MINUTE_MAX,
            &quota::DAILY_MAX,
            &quota::CONCURRENT_MAX,
            &quota::BLOCK_SECS,
            &quota::LIMIT_HEADERS,
            &token::ACCESS_TOKEN_SECS,
            &token::GRANTS_MAX,
            &token::REFUSALS_ARE_200,
        ];
        [own, &alterations::SWITCHES].concat()
    }

    fn precision_ms(&self) -> i64 {
        1000
    }

    fn habits(&self, _weather: &Weather, quirks: &Quirks) -> Habits {
        Habits { check_emails: true, ..Habits::open(quirks) }
    }

    fn moves_stamp(&self, act: Act, quirks: &Quirks) -> bool {
        act != Act::Merge || quirks.is_on(&MERGE_MOVES_TIME)
    }

    fn property_name(&self, wished: &str) -> String {
        stock::custom_name(wished)
    }

    fn nature(&self, call: &Call) -> Nature {
        if call.method == "GET" || token::is_endpoint(call) { Nature::Read } else { Nature::Write }
    }

    fn authorise(&self, turn: &mut Turn<'_>, call: &Call) -> Result<(), Answer> {
        if token::is_endpoint(call) || token::is_known(turn, call) {
            return Ok(());
        }
        let sent = call.header("authorization").is_some();
        Err(refuse::whole(&if sent { refuse::token() } else { refuse::no_token() }))
    }

    fn admit(&self, turn: &mut Turn<'_>, call: &Call) -> Result<(), Answer> {
        quota::admit(turn, call)
    }

    fn route(&self, turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Refusal> {
        route(turn, call)
    }

    fn headers(&self, turn: &mut Turn<'_>, call: &Call) -> Vec<(String, String)> {
        if token::is_endpoint(call) { Vec::new() } else { quota::headers(turn) }
    }

    fn refused(&self, turn: &Turn<'_>, refusal: &Refusal) -> Answer {
        refuse::of_record(turn, refusal)
    }

    fn server_error(&self, _turn: &Turn<'_>, status: u16) -> Answer {
        refuse::whole(&Refusal::new(status, refuse::INTERNAL, "Internal error"))
    }

    fn shapes(&self) -> &'static [&'static str] {
        &["429 minute", "429 daily", "429 concurrent", "401 token", "500 internal", "200 refused"]
    }

    fn throttles(&self) -> &'static [&'static str] {
        &["429 minute", "429 concurrent", "500 internal"]
    }

    fn day(&self) -> Option<&'static str> {
        Some("429 daily")
    }

    fn quotas(&self) -> &'static [&'static str] {
        &["minute_calls_max", "daily_calls_max", "concurrent_max", "grants_max"]
    }

    fn shaped(&self, turn: &Turn<'_>, shape: &str) -> Option<Answer> {
        let internal = |status| refuse::whole(&Refusal::new(status, refuse::INTERNAL, "Internal error"));
        Some(match shape {
            "429 minute" => quota::minute(turn),
            "429 daily" => quota::daily(turn),
            "429 concurrent" => quota::concurrent(turn),
            "401 token" => refuse::whole(&refuse::token()),
            "500 internal" => internal(500),
            "200 refused" => internal(200),
            _ => return None,
        })
    }

    fn throttle(&self, _call: &Call) -> &'static str {
        "429 minute"
    }

    fn missing(&self, object: ObjectType, _id: &str) -> Refusal {
        refuse::missing(object)
    }

    fn invalid(&self, _object: ObjectType, faults: &[Fault]) -> Refusal {
        refuse::invalid(faults)
    }

    fn taken(&self, _object: ObjectType, name: &str, value: &str, _owner: u64) -> Refusal {
        refuse::value_taken(name, value)
    }
}

fn route(turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Refusal> {
    let segments = call.segments();
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (method, rest) = match (call.method.as_str(), path.as_slice()) {
        ("POST", ["oauth", "v2", "token"]) => return Ok(token::give(turn, call)),
        (method, ["books", "v3", rest @ ..]) => (method, rest),
        _ => return Err(refuse::no_such_path()),
    };
    if let ("GET", ["organizations"]) = (method, rest) {
        let all = json!({ "code": 0, "message": "success", "organizations": [organization(turn)] });
        return Ok(Answer::json(200, &all));
    }
    let named = call.parameter("organization_id").unwrap_or_default();
    if named != turn.account {
        return Err(refuse::stranger(named));
    }
    match (method, rest) {
        ("GET", ["organizations", id]) if *id == turn.account => {
            Ok(Answer::json(200, &json!({ "code": 0, "message": "success", "organization": organization(turn) })))
        }
        ("GET", ["organizations", id]) => Err(refuse::stranger(id)),
        (method, [name, rest @ ..]) => {
            let found = OBJECTS.iter().find(|(_, own)| own == name).map(|(object, _)| *object);
            let object = found.ok_or_else(refuse::no_such_path)?;
            match (method, rest) {
                ("GET", []) => list::list(turn, object, call),
                ("POST", []) => records::create(turn, object, call),
                ("PUT", []) => records::by_key(turn, object, call),
                ("GET", [id]) => records::get(turn, object, id),
                ("PUT", [id]) => records::update(turn, object, id, call),
                ("DELETE", [id]) => records::delete(turn, object, id),
                ("POST", [id, status @ ("active" | "inactive")]) if object == ObjectType::Contacts => {
                    records::set_status(turn, object, id, status)
                }
                ("POST", [id, "status", status @ ("open" | "void")]) if object == ObjectType::Deals => {
                    records::set_status(turn, object, id, status)
                }
                _ => Err(refuse::no_such_path()),
            }
        }
        _ => Err(refuse::no_such_path()),
    }
}

fn organization(turn: &Turn<'_>) -> Value {
    json!({
        "organization_id": turn.account,
        "name": "Practice",
        "is_default_org": true,
        "time_zone": "Asia/Calcutta",
        "currency_code": "EUR",
    })
}
