//! Salesforce: what this vendor decides, and which endpoint a call reaches. Contacts, accounts and opportunities.

mod collections;
mod feeds;
mod ids;
mod plan;
mod query;
mod quota;
mod refuse;
mod render;
mod rows;
mod soql;
mod stock;
mod token;

use serde_json::json;

use self::collections::Verb;
use crate::{
    ObjectType, Refusal, Weather, alterations,
    call::{Answer, Call},
    oauth,
    quirk::{Quirks, Switch},
    schema::{Fault, Habits, Property},
    turn::Turn,
    vendor::{ObjectName, Vendor},
    weather::Nature,
};

const OBJECTS: [ObjectName; 3] =
    [(ObjectType::Contacts, "Contact"), (ObjectType::Companies, "Account"), (ObjectType::Deals, "Opportunity")];

const PAGE_ROWS_MAX: Switch = Switch::number("page_rows_max", 2000, "rows of one page of a query, whatever was asked for");
const OFFSET_MAX: Switch =
    Switch::number("offset_max", 2000, "the largest OFFSET of a query; beyond it: 400 NUMBER_OUTSIDE_VALID_RANGE");
const LOCATOR_MINUTES: Switch =
    Switch::number("locator_minutes", 2880, "age in minutes at which a query's locator is refused [unverified]");
const LOCATORS_MAX: Switch =
    Switch::number("locators_max", 10, "open query locators; a further one closes the oldest [unverified]");
const DELETED_DAYS: Switch =
    Switch::number("deleted_days", 15, "days for which queryAll and the feed of deleted records know a deleted record");
const UPDATED_DAYS: Switch = Switch::number("updated_days", 30, "days the feed of updated records reaches back");
const URI_MAX: Switch = Switch::number("uri_max", 16_384, "bytes of path and query; beyond it: 414");
const COLLECTION_MAX: Switch = Switch::number("collection_max", 200, "records one collection may hold");
const DUPLICATES_BLOCKED: Switch = Switch::flag(
    "duplicates_blocked",
    true,
    "a contact or account with the name and address of another is refused: DUPLICATES_DETECTED",
);
const DUPLICATES_ALERT: Switch = Switch::flag("duplicates_alert", false, "such a record is saved, and answered with 300");

/// Salesforce's REST API.
#[derive(Debug)]
pub(crate) struct Salesforce;

impl Vendor for Salesforce {
    fn objects(&self) -> &'static [ObjectName] {
        &OBJECTS
    }

    fn properties(&self, object: ObjectType, now_ms: i64) -> Vec<Property> {
        stock::properties(object, now_ms)
    }

    fn columns(&self, object: ObjectType) -> &'static [&'static str] {
        match object {
            ObjectType::Contacts => &["FirstName", "LastName", "Email", "Phone", "AccountId"],
            ObjectType::Companies => &["Name", "Phone", "Website", "BillingCity"],
            ObjectType::Deals => &["Name", "StageName", "CloseDate", "Amount", "AccountId"],
        }
    }

    fn sample(&self, at: u32) -> Vec<(&'static str, String)> {
        let email = format!("contact{at}@robots.example");
        vec![("Email", email), ("FirstName", "Contact".to_owned()), ("LastName", at.to_string())]
    }

    fn id(&self, object: ObjectType, number: u64) -> String {
        ids::long(object, number)
    }

    fn number(&self, object: ObjectType, id: &str) -> Option<u64> {
        ids::number(object, id)
    }

    fn switches(&self) -> Vec<&'static Switch> {
        let own: &[&Switch] = &[
            &PAGE_ROWS_MAX,
            &OFFSET_MAX,
            &LOCATOR_MINUTES,
            &LOCATORS_MAX,
            &DELETED_DAYS,
            &UPDATED_DAYS,
            &URI_MAX,
            &COLLECTION_MAX,
            &DUPLICATES_BLOCKED,
            &DUPLICATES_ALERT,
            &quota::DAILY_CALLS_MAX,
            &quota::LONG_CALLS_MAX,
            &quota::LIMIT_INFO,
            &token::SESSION_SECS,
            &token::STATEMENT_SECS,
        ];
        [own, &alterations::SWITCHES].concat()
    }

    fn precision_ms(&self) -> i64 {
        1000
    }

    fn habits(&self, _weather: &Weather, quirks: &Quirks) -> Habits {
        Habits { check_emails: true, text_chars_max: Some(255), ..Habits::open(quirks) }
    }

    fn property_name(&self, wished: &str) -> String {
        if wished.ends_with("__c") { wished.to_owned() } else { format!("{wished}__c") }
    }

    fn endpoint(&self, call: &Call) -> String {
        let parts = call.segments();
        let named = parts.iter().enumerate().map(|(at, part)| {
            let locator = at > 0 && parts[at - 1].starts_with("query");
            let value = at > 1 && parts[at - 1].ends_with("__c");
            if ids::is_id(part) || locator || value { "{id}" } else { part.as_str() }
        });
        format!("{} /{}", call.method, named.collect::<Vec<_>>().join("/"))
    }

    /// A posted list of ids is a read.
    fn nature(&self, call: &Call) -> Nature {
        let parts = call.segments();
        let retrieves =
            matches!(parts.as_slice(), [.., composite, sobjects, _] if composite == "composite" && sobjects == "sobjects");
        let reads = call.method == "GET" || token::is_endpoint(call) || (call.method == "POST" && retrieves);
        if reads { Nature::Read } else { Nature::Write }
    }

    fn is_search(&self, call: &Call) -> bool {
        call.path.contains("/query")
    }

    fn authorise(&self, turn: &mut Turn<'_>, call: &Call) -> Result<(), Answer> {
        token::authorise(turn, call)
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

    fn refused(&self, _turn: &Turn<'_>, refusal: &Refusal) -> Answer {
        refuse::whole(refusal)
    }

    fn server_error(&self, _turn: &Turn<'_>, status: u16) -> Answer {
        let (code, text) = match status {
            503 => ("SERVER_UNAVAILABLE", "Server too busy"),
            _ => ("UNKNOWN_EXCEPTION", "An unexpected error occurred. Please include this ErrorId if you contact support"),
        };
        refuse::whole(&Refusal::new(status, code, text))
    }

    fn shapes(&self) -> &'static [&'static str] {
        &[
            "403 daily",
            "403 concurrent",
            "400 row locked",
            "401 session",
            "403 API disabled",
            "406 without body",
            "420 without body",
        ]
    }

    fn throttles(&self) -> &'static [&'static str] {
        &["403 concurrent", "400 row locked", "406 without body", "420 without body"]
    }

    fn day(&self) -> Option<&'static str> {
        Some("403 daily")
    }

    fn quotas(&self) -> &'static [&'static str] {
        &["daily_calls_max"]
    }

    fn caps(&self) -> &'static [&'static str] {
        &["offset_max"]
    }

    fn wears(&self) -> &'static [(&'static str, u64)] {
        &[("locator_minutes", 0)]
    }

    fn shaped(&self, _turn: &Turn<'_>, shape: &str) -> Option<Answer> {
        let refused = |status, code, text: &str| refuse::whole(&Refusal::new(status, code, text));
        Some(match shape {
            "403 daily" => quota::daily(),
            "403 concurrent" => quota::concurrent(),
            "400 row locked" => refused(400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record"),
            "401 session" => refuse::whole(&refuse::session()),
            "403 API disabled" => refused(403, "API_DISABLED_FOR_ORG", "API is not enabled for this Organization or Partner"),
            "406 without body" => Answer::empty(406),
            "420 without body" => Answer::empty(420),
            _ => return None,
        })
    }

    fn throttle(&self, _call: &Call) -> &'static str {
        "403 concurrent"
    }

    fn missing(&self, _object: ObjectType, _id: &str) -> Refusal {
        refuse::not_found()
    }

    fn invalid(&self, object: ObjectType, faults: &[Fault]) -> Refusal {
        refuse::invalid(object, faults)
    }

    fn taken(&self, object: ObjectType, name: &str, _value: &str, owner: u64) -> Refusal {
        let text = format!("duplicate value found: {name} duplicates value on record with id: {}", ids::long(object, owner));
        Refusal::new(400, "DUPLICATE_VALUE", text).with_context(json!([name]))
    }
}

fn route(turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Refusal> {
    let length: usize = call.query.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    if (call.path.len() + length) as u64 > turn.number(&URI_MAX) {
        return Ok(Answer::text(414, "text/html;charset=utf-8", "<h1>Bad Message 414</h1><pre>reason: URI Too Long</pre>"));
    }
    let segments = call.segments();
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (api, rest) = match path.as_slice() {
        ["services", "oauth2", "token"] if call.method == "POST" => return Ok(token::give(turn, call)),
        ["services", "oauth2", "userinfo"] => {
            let body = json!({ "organization_id": organization_id(turn), "user_id": "005Ax0000000001AAA", "preferred_username": "robot@practice.test" });
            return Ok(Answer::json(200, &body));
        }
        ["services", "data"] => {
            return Ok(Answer::json(200, &json!([{ "label": "Winter '25", "url": "/services/data/v62.0", "version": "62.0" }])));
        }
        ["services", "data", api, rest @ ..] if api.starts_with('v') => (*api, rest),
        _ => return Err(refuse::not_found()),
    };
    match (call.method.as_str(), rest) {
        ("GET", []) => Ok(Answer::json(
            200,
            &json!({ "sobjects": format!("/services/data/{api}/sobjects"), "identity": oauth::base_url(call) }),
        )),
        ("GET", ["limits"]) => Ok(quota::limits(turn)),
        ("GET", ["query"]) => query::query(turn, call, api, false),
        ("GET", ["queryAll"]) => query::query(turn, call, api, true),
        ("GET", ["query" | "queryAll", locator]) => query::more(turn, api, locator),
        ("GET", ["sobjects"]) => {
            let kinds: Vec<_> = OBJECTS.iter().map(|(_, name)| json!({ "name": name, "queryable": true })).collect();
            Ok(Answer::json(200, &json!({ "encoding": "UTF-8", "maxBatchSize": 200, "sobjects": kinds })))
        }
        (method, ["sobjects", kind, rest @ ..]) => {
            let object = known(kind)?;
            match (method, rest) {
                ("POST", []) => rows::create(turn, api, object, call),
                ("GET", ["describe"]) => rows::describe(turn, object, call),
                ("GET", ["updated"]) => feeds::updated(turn, object, call),
                ("GET", ["deleted"]) => feeds::deleted(turn, object, call),
                ("GET", [id]) => rows::get(turn, api, object, id, call),
                ("PATCH", [id]) => rows::update(turn, object, id, call),
                ("DELETE", [id]) => rows::delete(turn, object, id),
                ("GET", [field, value]) => rows::get_by(turn, api, object, (field, value), call),
                ("PATCH", [field, value]) => rows::upsert(turn, api, object, (field, value), call),
                _ => Err(refuse::not_found()),
            }
        }
        ("POST", ["composite", "sobjects"]) => collections::write(turn, Verb::Create, None, call),
        ("PATCH", ["composite", "sobjects"]) => collections::write(turn, Verb::Update, None, call),
        ("DELETE", ["composite", "sobjects"]) => collections::delete(turn, call),
        ("PATCH", ["composite", "sobjects", kind, field]) => {
            let object = known(kind)?;
            collections::write(turn, Verb::Upsert(field), Some(object), call)
        }
        ("GET" | "POST", ["composite", "sobjects", kind]) => collections::retrieve(turn, api, known(kind)?, call),
        _ => Err(refuse::not_found()),
    }
}

fn known(name: &str) -> Result<ObjectType, Refusal> {
    let found = OBJECTS.iter().find(|(_, own)| own.eq_ignore_ascii_case(name)).map(|(object, _)| *object);
    found.ok_or_else(refuse::not_found)
}

/// The organisation's id, made of the account it says it is.
fn organization_id(turn: &Turn<'_>) -> String {
    if turn.account.starts_with("00D") { turn.account.to_owned() } else { format!("00D{:0>12}EAA", turn.account) }
}
