//! How one record looks in an answer, in a list and by itself, and how times look in the organisation's own offset.

use serde_json::{Map, Value, json};

use super::{OFFSET_MINUTES, PERSONS_ONLY, STAMP_ABSENT, stock};
use crate::{
    ObjectType,
    record::{Record, Version},
    turn::Turn,
    zoho_crm::render::local,
};

/// Ids begin here, so that they look like the vendor's.
const FIRST: u64 = 460_000_000_000_000;

pub(super) fn id(number: u64) -> String {
    (FIRST + number).to_string()
}

/// A plain number is understood too, for people at the control API.
pub(super) fn number(id: &str) -> Option<u64> {
    let number: u64 = id.parse().ok()?;
    Some(number.checked_sub(FIRST).unwrap_or(number))
}

/// `2026-03-01T17:30:00+0530`: no colon in the offset.
pub(super) fn time(turn: &Turn<'_>, ms: i64) -> String {
    local(turn, &OFFSET_MINUTES, ms).format("%Y-%m-%dT%H:%M:%S%z").to_string()
}

/// A record as a list shows it, or whole.
pub(super) fn row(turn: &Turn<'_>, record: &Record, version: &Version, whole: bool) -> Value {
    let object = record.object;
    let mut row = Map::new();
    row.insert(id_name(object).to_owned(), json!(id(record.id)));
    let mut custom = Map::new();
    for property in turn.store.table(object).schema.all().filter(|property| !property.archived) {
        let name = property.name.as_str();
        let kept = version.props.get(name).map(String::as_str);
        if stock::is_custom(name) {
            if let Some(kept) = kept {
                row.insert(name.to_owned(), property.json(kept));
                custom.insert(name.to_owned(), property.json(kept));
            }
            continue;
        }
        if (!whole && stock::is_detail(object, name)) || (whole && hides(turn, object, name)) {
            continue;
        }
        // Nothing is the empty text.
        let shown = kept.map_or_else(|| json!(""), |kept| if name == "line_items" { parsed(kept) } else { property.json(kept) });
        row.insert(name.to_owned(), shown);
    }
    if object == ObjectType::Contacts && whole {
        row.insert("contact_persons".to_owned(), json!([person(record, version)]));
    }
    if object == ObjectType::Deals {
        row.insert("customer_name".to_owned(), json!(customer_name(turn, version)));
    }
    row.insert("custom_field_hash".to_owned(), custom.into());
    row.insert("created_time".to_owned(), json!(time(turn, record.created_ms)));
    let changed = record.versions().nth(1).is_some();
    if changed || !turn.is_on(&STAMP_ABSENT) {
        row.insert("last_modified_time".to_owned(), json!(time(turn, version.stamp_ms)));
    }
    row.into()
}

/// The key under which one record stands in an answer.
pub(super) fn one(object: ObjectType) -> &'static str {
    if object == ObjectType::Deals { "salesorder" } else { "contact" }
}

fn id_name(object: ObjectType) -> &'static str {
    if object == ObjectType::Deals { "salesorder_id" } else { "contact_id" }
}

/// Where the persons alone hold them, a whole contact does not show their fields beside them.
fn hides(turn: &Turn<'_>, object: ObjectType, name: &str) -> bool {
    object == ObjectType::Contacts && turn.is_on(&PERSONS_ONLY) && stock::PERSONAL.contains(&name)
}

fn person(record: &Record, version: &Version) -> Value {
    let mut person = json!({ "contact_person_id": id(record.id + 1_000_000), "is_primary_contact": true });
    for name in stock::PERSONAL {
        person[name] = json!(version.props.get(name).map_or("", String::as_str));
    }
    person
}

/// The name that the customer has by now, a change of which stamps no order.
fn customer_name(turn: &Turn<'_>, version: &Version) -> Option<String> {
    let customer = number(version.props.get("customer_id")?)?;
    let seen = turn.store.table(ObjectType::Contacts).find(customer)?.committed(turn.now_ms)?;
    seen.props.get("contact_name").cloned()
}

fn parsed(kept: &str) -> Value {
    serde_json::from_str(kept).unwrap_or_else(|_| json!([]))
}
