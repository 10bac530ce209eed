//! Zoho CRM: what this vendor decides, and which endpoint a call reaches. The eighth version.

mod coql;
mod list;
mod quota;
mod refuse;
pub(crate) mod render;
mod stock;
pub(crate) mod token;
mod writes;

use serde_json::{Value, json};

use self::writes::Verb;
use crate::{
    ObjectType, Refusal, Weather, alterations,
    call::{Answer, Call},
    oauth,
    quirk::{Quirks, Switch},
    record::Act,
    schema::{Fault, Habits, Kind, Property},
    turn::Turn,
    vendor::{ObjectName, Vendor},
    weather::Nature,
};

const OBJECTS: [ObjectName; 3] =
    [(ObjectType::Contacts, "Contacts"), (ObjectType::Companies, "Accounts"), (ObjectType::Deals, "Deals")];

const OFFSET_MINUTES: Switch = Switch::number("offset_minutes", 330, "minutes east of UTC in which times are written");
const PAGED_ROWS_MAX: Switch =
    Switch::number("paged_rows_max", 2000, "rows that pages reach; beyond them: DISCRETE_PAGINATION_LIMIT_EXCEEDED, or a token");
const TOKEN_ROWS_MAX: Switch =
    Switch::number("token_rows_max", 100_000, "rows that tokens reach; beyond them: PAGINATION_LIMIT_EXCEEDED");
const PAGE_TOKEN_HOURS: Switch = Switch::number("page_token_hours", 24, "age in hours at which a page token is refused");
const SINCE_IS_INCLUSIVE: Switch = Switch::flag("since_is_inclusive", true, "If-Modified-Since holds its own second");
const BAD_TIMES_IGNORED: Switch =
    Switch::flag("bad_times_ignored", false, "an unreadable If-Modified-Since is ignored instead of refused [unverified]");
const EMPTY_IS_304: Switch =
    Switch::flag("empty_is_304", true, "nothing since a time is a 304 without a body; off: a 204 without a body");
const RECYCLE_DAYS: Switch = Switch::number("recycle_days", 60, "days a deleted record is told as recycled, then as permanent");
const FEED_DAYS: Switch = Switch::number("feed_days", 120, "days a delete is told at all [unverified]");
const MERGED_IN_FEED: Switch = Switch::flag("merged_in_feed", false, "the loser of a merge is told as deleted [unverified]");
const MERGE_MOVES_TIME: Switch =
    Switch::flag("merge_moves_time", true, "a merge gives the survivor a new Modified_Time [unverified]");
const RESTORE_MOVES_TIME: Switch =
    Switch::flag("restore_moves_time", false, "restoring gives a record a new Modified_Time [unverified]");
const UNKNOWN_FIELDS_IGNORED: Switch = Switch::flag(
    "unknown_fields_ignored",
    true,
    "unknown fields of a write are dropped in silence instead of refused [unverified]",
);
const LOCK_BY_MODIFIED: Switch = Switch::flag(
    "lock_by_if_modified_since",
    false,
    "the lock's header is If-Modified-Since instead of If-Unmodified-Since [unverified]",
);
const BATCH_MAX: Switch = Switch::number("batch_max", 100, "records one write may hold");

/// Zoho CRM's API.
#[derive(Debug)]
pub(crate) struct ZohoCrm;

impl Vendor for ZohoCrm {
    fn objects(&self) -> &'static [ObjectName] {
        &OBJECTS
    }

    fn properties(&self, object: ObjectType, now_ms: i64) -> Vec<Property> {
        stock::properties(object, now_ms)
    }

    fn columns(&self, object: ObjectType) -> &'static [&'static str] {
        match object {
            ObjectType::Contacts => &["First_Name", "Last_Name", "Email", "Phone", "Account_Name"],
            ObjectType::Companies => &["Account_Name", "Phone", "Website", "Billing_City"],
            ObjectType::Deals => &["Deal_Name", "Stage", "Amount", "Closing_Date", "Contact_Name"],
        }
    }

    fn sample(&self, at: u32) -> Vec<(&'static str, String)> {
        let email = format!("contact{at}@robots.example");
        vec![("Email", email), ("First_Name", "Contact".to_owned()), ("Last_Name", at.to_string())]
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
            &PAGED_ROWS_MAX,
            &TOKEN_ROWS_MAX,
            &PAGE_TOKEN_HOURS,
            &SINCE_IS_INCLUSIVE,
            &BAD_TIMES_IGNORED,
            &EMPTY_IS_304,
            &RECYCLE_DAYS,
            &FEED_DAYS,
            &MERGED_IN_FEED,
            &MERGE_MOVES_TIME,
            &RESTORE_MOVES_TIME,
            &UNKNOWN_FIELDS_IGNORED,
            &LOCK_BY_MODIFIED,
            &BATCH_MAX,
            &quota::CREDITS_MAX,
            &quota::CONCURRENT_MAX,
            &quota::CREDITS_SHOWN_FROM,
            &token::ACCESS_TOKEN_SECS,
            &token::GRANTS_MAX,
            &token::REFUSALS_ARE_200,
            &oauth::REFRESH_ROTATES,
        ];
        [own, &alterations::SWITCHES].concat()
    }

    fn precision_ms(&self) -> i64 {
        1000
    }

    fn habits(&self, _weather: &Weather, quirks: &Quirks) -> Habits {
        Habits { check_emails: true, text_chars_max: Some(255), ..Habits::open(quirks) }
    }

    fn moves_stamp(&self, act: Act, quirks: &Quirks) -> bool {
        match act {
            Act::Archive => true,
            Act::Merge => quirks.is_on(&MERGE_MOVES_TIME),
            Act::Restore => quirks.is_on(&RESTORE_MOVES_TIME),
        }
    }

    fn nature(&self, call: &Call) -> Nature {
        if call.method == "GET" || token::is_endpoint(call) || call.path.ends_with("/coql") {
            Nature::Read
        } else {
            Nature::Write
        }
    }

    fn is_search(&self, call: &Call) -> bool {
        call.path.ends_with("/search")
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
        refuse::whole(&Refusal::new(status, "INTERNAL_ERROR", "Internal Server Error"))
    }

    fn shapes(&self) -> &'static [&'static str] {
        &["429 too many", "401 scope", "401 token", "400 record locked", "500 dependent service"]
    }

    fn throttles(&self) -> &'static [&'static str] {
        &["429 too many", "400 record locked", "500 dependent service"]
    }

    fn quotas(&self) -> &'static [&'static str] {
        &["credits_max", "concurrent_max", "grants_max"]
    }

    fn caps(&self) -> &'static [&'static str] {
        &["paged_rows_max", "token_rows_max"]
    }

    fn wears(&self) -> &'static [(&'static str, u64)] {
        &[("page_token_hours", 0)]
    }

    fn shaped(&self, turn: &Turn<'_>, shape: &str) -> Option<Answer> {
        let refused = |status, code, text: &str| refuse::whole(&Refusal::new(status, code, text));
        Some(match shape {
            "429 too many" => quota::too_many(turn),
            "401 scope" => refused(401, "OAUTH_SCOPE_MISMATCH", "invalid oauth scope to access this URL"),
            "401 token" => refused(401, "INVALID_TOKEN", "invalid oauth token"),
            "400 record locked" => refused(400, "RECORD_LOCKED", "The record is locked"),
            "500 dependent service" => refused(500, "DEPENDENT_SERVICE_ERROR", "A dependent service could not be reached"),
            _ => return None,
        })
    }

    fn throttle(&self, _call: &Call) -> &'static str {
        "429 too many"
    }

    fn missing(&self, _object: ObjectType, _id: &str) -> Refusal {
        refuse::no_such_id()
    }

    fn invalid(&self, object: ObjectType, faults: &[Fault]) -> Refusal {
        refuse::invalid(object, faults)
    }

    fn taken(&self, object: ObjectType, name: &str, _value: &str, owner: u64) -> Refusal {
        refuse::duplicate(name, &render::id(owner), self::name(object))
    }
}

fn route(turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Refusal> {
    let segments = call.segments();
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (call.method.as_str(), path.as_slice()) {
        ("POST", ["oauth", "v2", "token"]) => Ok(token::give(turn, call)),
        ("GET", ["crm", "v8", "org"]) => {
            let org = json!({ "zgid": turn.account, "company_name": "Practice", "time_zone": "Asia/Kolkata", "type": "sandbox" });
            Ok(Answer::json(200, &json!({ "org": [org] })))
        }
        ("GET", ["crm", "v8", "settings", "modules"]) => {
            let modules: Vec<Value> =
                OBJECTS.iter().map(|(_, name)| json!({ "api_name": name, "api_supported": true })).collect();
            Ok(Answer::json(200, &json!({ "modules": modules })))
        }
        ("GET", ["crm", "v8", "settings", "fields"]) => fields(turn, call),
        ("POST", ["crm", "v8", "coql"]) => coql::answer(turn, call),
        (method, ["crm", "v8", module, rest @ ..]) => {
            let object = known(module)?;
            match (method, rest) {
                ("GET", []) => list::list(turn, object, call),
                ("POST", []) => writes::write(turn, object, Verb::Create, None, call),
                ("PUT", []) => writes::write(turn, object, Verb::Update, None, call),
                ("DELETE", []) => writes::delete(turn, object, &call.list("ids").unwrap_or_default(), call),
                ("POST", ["upsert"]) => writes::write(turn, object, Verb::Upsert, None, call),
                ("GET", ["deleted"]) => list::deleted(turn, object, call),
                ("GET", ["search"]) => list::search(turn, object, call),
                ("GET", [id]) => writes::get(turn, object, id, call),
                ("PUT", [id]) => writes::write(turn, object, Verb::Update, Some(id), call),
                ("DELETE", [id]) => writes::delete(turn, object, &[(*id).to_owned()], call),
                _ => Err(refuse::no_such_path()),
            }
        }
        _ => Err(refuse::no_such_path()),
    }
}

fn known(module: &str) -> Result<ObjectType, Refusal> {
    let found = OBJECTS.iter().find(|(_, name)| *name == module).map(|(object, _)| *object);
    found.ok_or_else(|| refuse::no_such_module(module))
}

fn name(object: ObjectType) -> &'static str {
    OBJECTS.iter().find(|(kind, _)| *kind == object).map_or("", |(_, name)| name)
}

fn fields(turn: &Turn<'_>, call: &Call) -> Result<Answer, Refusal> {
    let object = known(call.parameter("module").unwrap_or_default())?;
    let described = |property: &Property| {
        let kind = match property.kind {
            _ if stock::points_to(object, &property.name).is_some() => "lookup",
            Kind::Text => "text",
            Kind::Email => "email",
            Kind::Phone => "phone",
            Kind::Number => "double",
            Kind::Boolean => "boolean",
            Kind::Date => "date",
            Kind::DateTime => "datetime",
            Kind::Enumeration => "picklist",
        };
        let values: Vec<Value> = property
            .options
            .iter()
            .map(|choice| json!({ "actual_value": choice.value, "display_value": choice.label }))
            .collect();
        json!({
            "api_name": property.name,
            "field_label": property.label,
            "data_type": kind,
            "custom_field": !property.stock,
            "read_only": property.read_only,
            "system_mandatory": stock::needed(object).contains(&property.name.as_str()),
            "unique": if property.unique { json!({ "casesensitive": "false" }) } else { json!({}) },
            "pick_list_values": values,
            "length": 255,
        })
    };
    let used = turn.store.table(object).schema.all().filter(|property| !property.archived);
    Ok(Answer::json(200, &json!({ "fields": used.map(described).collect::<Vec<_>>() })))
}
