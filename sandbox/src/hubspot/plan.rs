//! Checks one write before anything is changed: what it would set, on which record, and whether that is allowed.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::refuse;
use crate::{
    ObjectType, Refusal,
    links::Node,
    record::{Author, Changes},
    table::Table,
    turn::Turn,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Create,
    Update,
    Upsert,
}

impl Verb {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "create" => Some(Self::Create),
            "update" => Some(Self::Update),
            "upsert" => Some(Self::Upsert),
            _ => None,
        }
    }
}

/// One write as sent: alone, or as an input of a batch.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Input {
    pub(crate) id: Option<String>,
    pub(crate) id_property: Option<String>,
    pub(crate) properties: Map<String, Value>,
    pub(crate) associations: Vec<Association>,
    pub(crate) object_write_trace_id: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Association {
    to: Reference,
    types: Vec<AssociationType>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Reference {
    pub(crate) id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AssociationType {
    association_type_id: u32,
}

/// A write that will succeed.
#[derive(Debug)]
pub(crate) struct Plan {
    /// `None` makes a new record.
    target: Option<u64>,
    changes: Changes,
    links: Vec<Node>,
}

/// Unique values the earlier writes of the same batch have claimed.
pub(crate) type Claimed = HashSet<(String, String)>;

/// Decides what one write would do.
pub(crate) fn plan(
    turn: &Turn<'_>,
    object: ObjectType,
    verb: Verb,
    input: &Input,
    claimed: &mut Claimed,
) -> Result<Plan, Refusal> {
    let mut properties = input.properties.clone();
    let target = match verb {
        Verb::Create => None,
        Verb::Update => Some(resolve(turn, object, identity(input)?, input.id_property.as_deref())?),
        Verb::Upsert => {
            let id = identity(input)?;
            match resolve(turn, object, id, input.id_property.as_deref()) {
                Ok(found) => Some(found),
                Err(refusal) => {
                    let name = input.id_property.as_deref().filter(|name| *name != "hs_object_id");
                    let name = name.filter(|_| refusal.is_missing()).ok_or(refusal)?;
                    properties.entry(name).or_insert_with(|| Value::from(id));
                    None
                }
            }
        }
    };
    let table = turn.store.table(object);
    let mut changes = table.clean(&properties, turn.habits())?;
    if target.is_none() && object == ObjectType::Deals {
        changes.entry("pipeline".to_owned()).or_insert_with(|| Some("default".to_owned()));
    }
    table.check_unique(&changes, target)?;
    let links = linked(turn, object, &input.associations)?;
    for (name, value) in table.unique_values(&changes) {
        if !claimed.insert((name.to_owned(), value.to_owned())) {
            return Err(refuse::taken(name, value, target.unwrap_or_default()));
        }
    }
    Ok(Plan { target, changes, links })
}

/// Carries a plan out. Returns the record's id and whether it is new.
pub(crate) fn apply(turn: &mut Turn<'_>, object: ObjectType, plan: Plan) -> (u64, bool) {
    let moment = turn.moment();
    let table = turn.store.table_mut(object);
    let id = match plan.target {
        Some(id) => {
            table.update(id, &plan.changes, Author::Api, moment);
            id
        }
        None => table.create(&plan.changes, Author::Api, moment),
    };
    for other in plan.links {
        turn.store.links.add((object, id), other);
    }
    turn.wrote(object, id);
    (id, plan.target.is_none())
}

/// The record an id, or a value of a unique property, leads to.
pub(crate) fn resolve(turn: &Turn<'_>, object: ObjectType, id: &str, id_property: Option<&str>) -> Result<u64, Refusal> {
    let follow = turn.weather.merged_redirect;
    match id_property {
        None | Some("hs_object_id") => turn.store.target(object, id, follow),
        Some(name) => {
            let table = turn.store.table(object);
            check_identifies(table, name)?;
            table.owner(name, id).ok_or_else(|| refuse::not_found(object, id))
        }
    }
}

/// A property identifies a record when it is the contacts' e-mail or was made with `hasUniqueValue`.
pub(super) fn check_identifies(table: &Table, name: &str) -> Result<(), Refusal> {
    let unique = table.schema.find(name).is_some_and(|property| property.unique);
    if unique { Ok(()) } else { Err(refuse::not_unique(name)) }
}

fn identity(input: &Input) -> Result<&str, Refusal> {
    input.id.as_deref().ok_or_else(|| Refusal::invalid("Some required fields were not set: [id]"))
}

/// The records a create wants to be linked to. The vendor names only the association's type; the kind follows from it.
fn linked(turn: &Turn<'_>, object: ObjectType, associations: &[Association]) -> Result<Vec<Node>, Refusal> {
    let mut nodes = Vec::new();
    for association in associations {
        for kind in &association.types {
            let number = kind.association_type_id;
            let to = ObjectType::ALL
                .into_iter()
                .find(|to| object.association_type(*to) == Some(number))
                .ok_or_else(|| Refusal::invalid(format!("invalid association type {number} from {}", object.plural())))?;
            nodes.push((to, turn.store.target(to, &association.to.id, turn.weather.merged_redirect)?));
        }
    }
    Ok(nodes)
}
