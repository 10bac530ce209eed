//! Dynamics 365: what this vendor decides, and which endpoint of the Dataverse Web API a call reaches.

mod filter;
mod list;
mod quota;
mod refuse;
mod render;
mod rows;
mod stock;
mod token;

use serde_json::{Value, json};

use self::rows::Key;
use crate::{
    ObjectType, Refusal, Weather, alterations,
    call::{Answer, Call},
    quirk::{Quirks, Switch},
    record::Act,
    schema::{Fault, Habits, Kind, Property},
    turn::Turn,
    vendor::{ObjectName, Vendor},
    weather::Nature,
};

const OBJECTS: [ObjectName; 3] =
    [(ObjectType::Contacts, "contacts"), (ObjectType::Companies, "accounts"), (ObjectType::Deals, "opportunities")];

const PAGE_ROWS_MAX: Switch = Switch::number("page_rows_max", 5000, "rows of one page, whatever was asked for");
const DELTA_DAYS: Switch =
    Switch::number("delta_days", 7, "age in days at which a delta token is refused [status and code unverified]");
const TRACKING_OFF: Switch = Switch::flag("tracking_off", false, "change tracking is not turned on for the tables");
const MERGE_MOVES_TIME: Switch =
    Switch::flag("merge_moves_time", true, "a merge gives the survivor a new modifiedon [unverified]");
const DUPLICATE_STATUS: Switch =
    Switch::number("duplicate_status", 412, "status of a detected duplicate, 0x80040333; older words of the vendor say 500");
const BATCH_MAX: Switch = Switch::number("batch_max", 1000, "rows of CreateMultiple and UpdateMultiple [unverified]");

/// The Dataverse Web API, version 9.2.
#[derive(Debug)]
pub(crate) struct Dataverse;

impl Vendor for Dataverse {
    fn objects(&self) -> &'static [ObjectName] {
        &OBJECTS
    }

    fn properties(&self, object: ObjectType, now_ms: i64) -> Vec<Property> {
        stock::properties(object, now_ms)
    }

    fn columns(&self, object: ObjectType) -> &'static [&'static str] {
        match object {
            ObjectType::Contacts => &["firstname", "lastname", "emailaddress1", "telephone1", "address1_city"],
            ObjectType::Companies => &["name", "accountnumber", "telephone1", "websiteurl"],
            ObjectType::Deals => &["name", "estimatedvalue", "estimatedclosedate", "stepname"],
        }
    }

    fn sample(&self, at: u32) -> Vec<(&'static str, String)> {
        let email = format!("contact{at}@robots.example");
        vec![("emailaddress1", email), ("firstname", "Contact".to_owned()), (stock::needed(ObjectType::Contacts), at.to_string())]
    }

    fn id(&self, object: ObjectType, number: u64) -> String {
        render::guid(object, number)
    }

    fn number(&self, object: ObjectType, id: &str) -> Option<u64> {
        render::number(object, id)
    }

    fn switches(&self) -> Vec<&'static Switch> {
        let own: &[&Switch] = &[
            &PAGE_ROWS_MAX,
            &DELTA_DAYS,
            &TRACKING_OFF,
            &MERGE_MOVES_TIME,
            &DUPLICATE_STATUS,
            &BATCH_MAX,
            &quota::BURST_MAX,
            &quota::CONCURRENT_MAX,
            &quota::RETRY_AFTER_SECS,
            &token::ACCESS_TOKEN_SECS,
        ];
        [own, &alterations::SWITCHES].concat()
    }

    fn precision_ms(&self) -> i64 {
        1000
    }

    fn habits(&self, _weather: &Weather, quirks: &Quirks) -> Habits {
        Habits { text_chars_max: Some(2000), ..Habits::open(quirks) }
    }

    fn moves_stamp(&self, act: Act, quirks: &Quirks) -> bool {
        act != Act::Merge || quirks.is_on(&MERGE_MOVES_TIME)
    }

    fn property_name(&self, wished: &str) -> String {
        let plain: String = wished.to_lowercase().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        if plain.contains('_') { plain } else { format!("new_{plain}") }
    }

    fn endpoint(&self, call: &Call) -> String {
        let parts = call.segments();
        let named = parts.iter().map(|part| part.split_once('(').map_or(part.clone(), |(name, _)| format!("{name}({{id}})")));
        format!("{} /{}", call.method, named.collect::<Vec<_>>().join("/"))
    }

    fn nature(&self, call: &Call) -> Nature {
        if call.method == "GET" || token::is_endpoint(call) { Nature::Read } else { Nature::Write }
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
        refuse::whole(&Refusal::new(status, "0x80040216", "An unexpected error occurred."))
    }

    fn shapes(&self) -> &'static [&'static str] {
        &["429 requests", "429 concurrent", "429 execution time", "403 privilege", "413 payload"]
    }

    fn throttles(&self) -> &'static [&'static str] {
        &["429 requests", "429 concurrent", "429 execution time"]
    }

    fn quotas(&self) -> &'static [&'static str] {
        &["burst_max", "concurrent_max"]
    }

    fn shaped(&self, turn: &Turn<'_>, shape: &str) -> Option<Answer> {
        Some(match shape {
            "429 requests" => quota::burst(turn),
            "429 concurrent" => quota::concurrent(turn),
            "429 execution time" => quota::time(turn),
            "403 privilege" => token::privilege(),
            "413 payload" => refuse::whole(&Refusal::new(413, "0x80040216", "Request Entity Too Large")),
            _ => return None,
        })
    }

    fn throttle(&self, _call: &Call) -> &'static str {
        "429 requests"
    }

    fn missing(&self, object: ObjectType, id: &str) -> Refusal {
        refuse::missing(logical_name(object), id)
    }

    fn invalid(&self, _object: ObjectType, faults: &[Fault]) -> Refusal {
        refuse::invalid(faults)
    }

    fn taken(&self, _object: ObjectType, name: &str, _value: &str, _owner: u64) -> Refusal {
        key_taken(name)
    }
}

fn route(turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Refusal> {
    if token::is_endpoint(call) {
        return Ok(token::give(turn, call));
    }
    let segments = call.segments();
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    let ["api", "data", "v9.2", rest @ ..] = path.as_slice() else {
        return Err(refuse::no_such_path(path.first().copied().unwrap_or_default()));
    };
    match (call.method.as_str(), rest) {
        ("GET", ["WhoAmI"]) => {
            let user = "2e451703-c3d1-e811-a966-000d3ab20e31";
            Ok(Answer::json(200, &json!({ "BusinessUnitId": user, "UserId": user, "OrganizationId": turn.account })))
        }
        ("GET", [definition, "Attributes"]) if definition.starts_with("EntityDefinitions(") => attributes(turn, definition),
        ("POST", [set, "Microsoft.Dynamics.CRM.CreateMultiple"]) => rows::multiple(turn, known(set)?, false, call),
        ("POST", [set, "Microsoft.Dynamics.CRM.UpdateMultiple"]) => rows::multiple(turn, known(set)?, true, call),
        (method, [segment]) => {
            let Some((set, inner)) = segment.split_once('(') else {
                return match method {
                    "GET" => list::list(turn, known(segment)?, call),
                    "POST" => rows::create(turn, known(segment)?, call),
                    _ => Err(refuse::no_such_path(segment)),
                };
            };
            let object = known(set)?;
            let key = Key::parse(inner.strip_suffix(')').ok_or_else(|| refuse::no_such_path(segment))?);
            match method {
                "GET" => rows::get(turn, object, &key, call),
                "PATCH" => rows::patch(turn, object, &key, call),
                "DELETE" => rows::delete(turn, object, &key, call),
                _ => Err(refuse::no_such_path(segment)),
            }
        }
        _ => Err(refuse::no_such_path(rest.last().copied().unwrap_or_default())),
    }
}

fn known(set: &str) -> Result<ObjectType, Refusal> {
    let found = OBJECTS.iter().find(|(_, name)| *name == set).map(|(object, _)| *object);
    found.ok_or_else(|| refuse::no_such_path(set))
}

fn set_name(object: ObjectType) -> &'static str {
    OBJECTS.iter().find(|(kind, _)| *kind == object).map_or("", |(_, name)| name)
}

fn logical_name(object: ObjectType) -> &'static str {
    stock::key(object).trim_end_matches("id")
}

fn key_taken(name: &str) -> Refusal {
    let text = format!(
        "A record that has the attribute values {name} already exists. The entity key {name} requires that this set of attributes contains unique values."
    );
    Refusal::new(412, "0x80060892", text)
}

/// The columns of the table that `EntityDefinitions(LogicalName='contact')` names.
fn attributes(turn: &Turn<'_>, definition: &str) -> Result<Answer, Refusal> {
    let name = definition.split('\'').nth(1).unwrap_or_default();
    let object = ObjectType::ALL.into_iter().find(|object| logical_name(*object) == name);
    let object = object.ok_or_else(|| refuse::missing("EntityDefinition", name))?;
    let described = |property: &Property| {
        let kind = match property.kind {
            _ if property.name == stock::key(object) => "Uniqueidentifier",
            _ if property.name.ends_with("_value") => "Lookup",
            Kind::Text | Kind::Email | Kind::Phone => "String",
            Kind::Number => "Decimal",
            Kind::Boolean => "Boolean",
            Kind::Date | Kind::DateTime => "DateTime",
            Kind::Enumeration => "Picklist",
        };
        json!({
            "LogicalName": property.name,
            "AttributeType": kind,
            "IsCustomAttribute": !property.stock,
            "IsValidForCreate": !property.read_only,
            "IsValidForUpdate": !property.read_only,
        })
    };
    let used = turn.store.table(object).schema.all().filter(|property| !property.archived);
    Ok(Answer::json(200, &json!({ "value": used.map(described).collect::<Vec<Value>>() })))
}
