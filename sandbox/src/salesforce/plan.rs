//! Checks one write before anything is changed: what it would set, on which record, and what stands against it.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::{DUPLICATES_ALERT, DUPLICATES_BLOCKED, ids, refuse, stock};
use crate::{
    ObjectType, Refusal,
    call::Call,
    record::{Author, Changes, Life, Record},
    turn::Turn,
};

/// A write that will succeed.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) object: ObjectType,
    /// `None` makes a new record.
    pub(super) target: Option<u64>,
    changes: Changes,
    /// It is saved, and answered as if it were not.
    pub(super) alerts: bool,
}

/// Unique values that earlier writes of the same call have claimed.
pub(super) type Claimed = HashSet<(ObjectType, String, String)>;

/// Whether a caller overrides the duplicate rules.
pub(super) fn may_duplicate(call: &Call) -> bool {
    let header = call.header("sforce-duplicate-rule-header").unwrap_or_default();
    header.replace(' ', "").to_lowercase().contains("allowsave=true")
}

/// The live record behind an id.
pub(super) fn target(turn: &Turn<'_>, object: ObjectType, id: &str) -> Result<u64, Refusal> {
    if !ids::is_id(id) {
        return Err(refuse::malformed_id(object, id));
    }
    let number = ids::number(object, id).ok_or_else(refuse::not_found)?;
    let record = turn.store.table(object).find(number).ok_or_else(refuse::not_found)?;
    match record.head().life {
        Life::Active => Ok(number),
        Life::MergedInto(winner) if turn.weather.merged_redirect => Ok(winner),
        Life::Archived | Life::MergedInto(_) => Err(refuse::deleted()),
        Life::Erased => Err(refuse::not_found()),
    }
}

/// The live records that hold a value of an external id.
pub(super) fn holders(turn: &Turn<'_>, object: ObjectType, field: &str, value: &str) -> Result<Vec<u64>, Refusal> {
    let table = turn.store.table(object);
    let property = table.schema.find(field).filter(|property| stock::is_external_id(property));
    if property.is_none() {
        return Err(Refusal::new(
            404,
            "NOT_FOUND",
            format!("Provided external ID field does not exist or is not accessible: {field}"),
        ));
    }
    let holds = |record: &&Record| {
        record.head().life == Life::Active && record.head().props.get(field).is_some_and(|own| own.eq_ignore_ascii_case(value))
    };
    Ok(table.records().filter(holds).map(|record| record.id).collect())
}

pub(super) fn plan(
    turn: &Turn<'_>,
    object: ObjectType,
    target: Option<u64>,
    mut fields: Map<String, Value>,
    may_duplicate: bool,
    claimed: &mut Claimed,
) -> Result<Plan, Refusal> {
    fields.remove("attributes");
    let table = turn.store.table(object);
    let changes = table.clean(&fields, turn.habits())?;
    check_needed(object, target, &changes)?;
    if let Some(Some(account)) = changes.get("AccountId") {
        self::target(turn, ObjectType::Companies, account).map_err(|_| crossed(account))?;
    }
    table.check_unique(&changes, target)?;
    for (name, value) in table.unique_values(&changes) {
        if !claimed.insert((object, name.to_owned(), value.to_owned())) {
            let text = format!("Duplicate external id specified: {value}");
            return Err(Refusal::new(400, "DUPLICATE_VALUE", text).with_context(json!([name])));
        }
    }
    let twin = if may_duplicate || target.is_some() { None } else { twin(turn, object, &changes) };
    let alerts = match twin {
        Some(twin) if turn.is_on(&DUPLICATES_BLOCKED) && !turn.is_on(&DUPLICATES_ALERT) => return Err(duplicate(object, twin)),
        Some(_) => turn.is_on(&DUPLICATES_ALERT),
        None => false,
    };
    Ok(Plan { object, target, changes, alerts })
}

/// Carries a plan out. Returns the record's number and whether it is new.
pub(super) fn apply(turn: &mut Turn<'_>, plan: &Plan) -> (u64, bool) {
    let moment = turn.moment();
    let table = turn.store.table_mut(plan.object);
    let id = match plan.target {
        Some(id) => {
            table.update(id, &plan.changes, Author::Api, moment);
            id
        }
        None => table.create(&plan.changes, Author::Api, moment),
    };
    turn.wrote(plan.object, id);
    (id, plan.target.is_none())
}

pub(super) fn duplicate(object: ObjectType, twin: u64) -> Refusal {
    let (kind, id) = (refuse::name(object), ids::long(object, twin));
    let url = format!("/services/data/v62.0/sobjects/{kind}/{id}");
    let matched = json!({
        "additionalInformation": [],
        "fieldDiffs": [],
        "matchConfidence": 100.0,
        "record": { "attributes": { "type": kind, "url": url }, "Id": id },
    });
    let result = json!({
        "allowSave": true,
        "duplicateRule": format!("Standard_{kind}_Duplicate_Rule"),
        "duplicateRuleEntityType": kind,
        "errorMessage": "Use one of these records?",
        "matchResults": [{
            "entityType": kind,
            "errors": [],
            "matchEngine": "FuzzyMatchEngine",
            "matchRecords": [matched],
            "rule": format!("Standard_{kind}_Match_Rule_v1_1"),
            "size": 1,
            "success": true,
        }],
    });
    Refusal::new(400, "DUPLICATES_DETECTED", "Use one of these records?").with_context(result)
}

fn check_needed(object: ObjectType, target: Option<u64>, changes: &Changes) -> Result<(), Refusal> {
    let lacks = |field: &&&str| match changes.get(**field) {
        Some(value) => value.is_none(),
        None => target.is_none(),
    };
    let missing: Vec<&str> = stock::needed(object).iter().filter(lacks).copied().collect();
    if missing.is_empty() { Ok(()) } else { Err(refuse::missing_fields(&missing)) }
}

fn crossed(id: &str) -> Refusal {
    Refusal::new(400, "INVALID_CROSS_REFERENCE_KEY", format!("invalid cross reference id: {id}"))
        .with_context(json!(["AccountId"]))
}

/// Another contact with the same name and address, or another account with the same name.
fn twin(turn: &Turn<'_>, object: ObjectType, changes: &Changes) -> Option<u64> {
    let compared: &[&str] = match object {
        ObjectType::Contacts => &["FirstName", "LastName", "Email"],
        ObjectType::Companies => &["Name", "Website"],
        ObjectType::Deals => return None,
    };
    let same = |record: &&Record| {
        let equal = |name: &str| {
            let (own, sent) = (record.head().props.get(name), changes.get(name).and_then(Option::as_ref));
            own.map(|own| own.to_lowercase()) == sent.map(|sent| sent.to_lowercase())
        };
        record.head().life == Life::Active && compared.iter().all(|name| equal(name))
    };
    let told = compared.iter().filter(|name| changes.get(**name).is_some_and(Option::is_some)).count() > 1;
    turn.store.table(object).records().filter(|_| told).find(same).map(|record| record.id)
}
