//! Single records: read, made, changed by id or by a unique custom field, deleted, and given another status.

use serde_json::{Map, Value, json};

use super::{PERSONS_ONLY, SAME_NAME_MAX, UNKNOWN_FIELDS_IGNORED, UPSERT_SETS_KEY, refuse, render, stock};
use crate::{
    ObjectType, Refusal,
    call::{Answer, Call},
    record::{Act, Author, Changes, Life, Record},
    turn::Turn,
};

pub(super) fn get(turn: &Turn<'_>, object: ObjectType, id: &str) -> Result<Answer, Refusal> {
    let number = render::number(id).ok_or_else(|| refuse::missing(object))?;
    let (record, version) = turn
        .store
        .seen(object, number, turn.now_ms, turn.weather.merged_redirect)
        .filter(|(_, version)| version.life == Life::Active)
        .ok_or_else(|| refuse::missing(object))?;
    let body = json!({ "code": 0, "message": "success", render::one(object): render::row(turn, record, version, true) });
    Ok(Answer::json(200, &body))
}

pub(super) fn create(turn: &mut Turn<'_>, object: ObjectType, call: &Call) -> Result<Answer, Refusal> {
    let sent = sent(call)?;
    write(turn, object, None, sent)
}

pub(super) fn update(turn: &mut Turn<'_>, object: ObjectType, id: &str, call: &Call) -> Result<Answer, Refusal> {
    let target = target(turn, object, id)?;
    let sent = sent(call)?;
    write(turn, object, Some(target), sent)
}

/// The record that a unique custom field's value leads to, or a new one where that is asked for.
pub(super) fn by_key(turn: &mut Turn<'_>, object: ObjectType, call: &Call) -> Result<Answer, Refusal> {
    let header = |name: &str| call.header(name).map(str::to_owned).filter(|text| !text.is_empty());
    let (Some(key), Some(value)) = (header("x-unique-identifier-key"), header("x-unique-identifier-value")) else {
        return Err(refuse::invalid_value("X-Unique-Identifier-Key"));
    };
    let table = turn.store.table(object);
    if !table.schema.find(&key).is_some_and(|property| property.unique && stock::is_custom(&key)) {
        return Err(refuse::invalid_value("X-Unique-Identifier-Key"));
    }
    let found = table.owner(&key, &value);
    if found.is_none() && call.header("x-upsert") != Some("true") {
        return Err(refuse::missing(object));
    }
    let mut sent = sent(call)?;
    if found.is_none() && turn.is_on(&UPSERT_SETS_KEY) {
        let fields = sent.entry("custom_fields").or_insert_with(|| json!([]));
        if let Some(fields) = fields.as_array_mut() {
            fields.push(json!({ "api_name": key, "value": value }));
        }
    }
    write(turn, object, found, sent)
}

pub(super) fn delete(turn: &mut Turn<'_>, object: ObjectType, id: &str) -> Result<Answer, Refusal> {
    let target = target(turn, object, id)?;
    let names = |record: &Record| {
        let head = record.head();
        head.life == Life::Active && head.props.get("customer_id").and_then(|id| render::number(id)) == Some(target)
    };
    if object == ObjectType::Contacts && turn.store.table(ObjectType::Deals).records().any(names) {
        return Err(refuse::used());
    }
    let moment = turn.moment_of(Act::Archive);
    turn.store.table_mut(object).archive(target, Author::Api, moment);
    turn.wrote(object, target);
    let what = if object == ObjectType::Deals { "sales order" } else { "contact" };
    Ok(Answer::json(200, &json!({ "code": 0, "message": format!("The {what} has been deleted.") })))
}

/// `active`, `inactive`, `open`, `void`: a call of its own each, and a change like any other.
pub(super) fn set_status(turn: &mut Turn<'_>, object: ObjectType, id: &str, status: &str) -> Result<Answer, Refusal> {
    let target = target(turn, object, id)?;
    let changes = Changes::from([("status".to_owned(), Some(status.to_owned()))]);
    let moment = turn.moment();
    turn.store.table_mut(object).update(target, &changes, Author::Api, moment);
    turn.wrote(object, target);
    Ok(Answer::json(200, &json!({ "code": 0, "message": format!("The status is {status} now.") })))
}

fn sent(call: &Call) -> Result<Map<String, Value>, Refusal> {
    serde_json::from_str(&call.body).map_err(|_| refuse::unreadable())
}

/// `None` makes a record.
fn write(turn: &mut Turn<'_>, object: ObjectType, target: Option<u64>, sent: Map<String, Value>) -> Result<Answer, Refusal> {
    let fields = flattened(turn, object, target, sent)?;
    let changes = turn.store.table(object).clean(&fields, turn.habits())?;
    check(turn, object, target, &changes)?;
    let moment = turn.moment();
    let table = turn.store.table_mut(object);
    let id = match target {
        Some(id) => {
            table.update(id, &changes, Author::Api, moment);
            id
        }
        None => table.create(&changes, Author::Api, moment),
    };
    turn.wrote(object, id);
    let record = turn.store.table(object).find(id).ok_or_else(|| refuse::missing(object))?;
    let (status, message) = match target {
        None => (201, "The record has been added."),
        Some(_) => (200, "The information has been saved."),
    };
    let row = render::row(turn, record, record.head(), true);
    Ok(Answer::json(status, &json!({ "code": 0, "message": message, render::one(object): row })))
}

/// What is sent as lists of parts, as fields; what nobody may set is left out.
fn flattened(
    turn: &Turn<'_>,
    object: ObjectType,
    target: Option<u64>,
    mut sent: Map<String, Value>,
) -> Result<Map<String, Value>, Refusal> {
    let (custom, persons) = (sent.remove("custom_fields"), sent.remove("contact_persons"));
    // Custom fields have their list; status has calls of its own.
    sent.retain(|name, _| !stock::is_custom(name) && name != "status");
    if turn.is_on(&PERSONS_ONLY) {
        sent.retain(|name, _| !stock::PERSONAL.contains(&name.as_str()));
    }
    if let Some(persons) = persons.as_ref().and_then(Value::as_array) {
        let is_primary = |person: &&Value| person["is_primary_contact"] == true;
        let person = persons.iter().find(is_primary).or_else(|| persons.first());
        // Those sent take the place of those there were, with all they held.
        for name in stock::PERSONAL {
            sent.insert(name.to_owned(), person.map_or(Value::Null, |person| person[name].clone()));
        }
    }
    if let Some(lines) = sent.remove("line_items") {
        let amount = |line: &Value| {
            let of = |name: &str| line[name].as_f64().or_else(|| line[name].as_str()?.parse().ok());
            Some(of("rate")? * of("quantity").unwrap_or(1.0))
        };
        let lines = lines.as_array().filter(|lines| !lines.is_empty()).ok_or_else(|| refuse::invalid_value("line_items"))?;
        let total: Option<f64> = lines.iter().map(amount).sum();
        sent.insert("total".to_owned(), json!(total.ok_or_else(|| refuse::invalid_value("rate"))?));
        sent.insert("line_items".to_owned(), json!(Value::from(lines.clone()).to_string()));
    } else {
        sent.remove("total");
    }
    let schema = &turn.store.table(object).schema;
    if turn.is_on(&UNKNOWN_FIELDS_IGNORED) {
        sent.retain(|name, _| schema.find(name).is_some());
    }
    for field in custom.as_ref().and_then(Value::as_array).into_iter().flatten() {
        let name = field["api_name"].as_str().map(str::to_owned);
        let name = name.or_else(|| Some(stock::custom_name(field["label"].as_str()?)));
        let name = name.filter(|name| stock::is_custom(name) && schema.find(name).is_some());
        sent.insert(name.ok_or_else(|| refuse::invalid_value("custom_fields"))?, field["value"].clone());
    }
    if target.is_none() {
        let first = if object == ObjectType::Deals { "draft" } else { "active" };
        sent.insert("status".to_owned(), json!(first));
        if object == ObjectType::Contacts {
            sent.entry("contact_type").or_insert_with(|| json!("customer"));
        }
    }
    Ok(sent)
}

fn check(turn: &Turn<'_>, object: ObjectType, target: Option<u64>, changes: &Changes) -> Result<(), Refusal> {
    let needed: &[&str] = if object == ObjectType::Deals { &["customer_id", "line_items"] } else { &["contact_name"] };
    for name in needed {
        if changes.get(*name).map_or(target.is_none(), Option::is_none) {
            return Err(refuse::invalid_value(name));
        }
    }
    let table = turn.store.table(object);
    if let Some(Some(name)) = changes.get("contact_name") {
        let holds = |record: &&Record| {
            let head = record.head();
            let own = head.props.get("contact_name");
            Some(record.id) != target && head.life == Life::Active && own.is_some_and(|own| own.eq_ignore_ascii_case(name))
        };
        if table.records().filter(holds).count() as u64 >= turn.number(&SAME_NAME_MAX) {
            return Err(refuse::name_taken(name));
        }
    }
    if let Some(Some(customer)) = changes.get("customer_id") {
        self::target(turn, ObjectType::Contacts, customer).map_err(|_| refuse::invalid_value("customer_id"))?;
    }
    table.check_unique(changes, target)
}

/// The live record a write reaches.
fn target(turn: &Turn<'_>, object: ObjectType, id: &str) -> Result<u64, Refusal> {
    turn.store.target(object, id, turn.weather.merged_redirect)
}
