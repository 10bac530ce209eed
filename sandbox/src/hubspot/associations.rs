//! Associations, fourth version: setting, reading and removing links. None of this moves a modified stamp.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{batch, plan::Reference, refuse};
use crate::{
    ObjectType, Refusal,
    call::{Answer, Call},
    turn::Turn,
};

const READ_INPUTS_MAX: usize = 1000;
const WRITE_INPUTS_MAX: usize = 2000;

#[derive(Deserialize)]
struct Inputs<T> {
    inputs: Vec<T>,
}

#[derive(Deserialize)]
struct Pair {
    from: Reference,
    to: Reference,
}

#[derive(Deserialize)]
struct Fan {
    from: Reference,
    to: Vec<Reference>,
}

pub(super) fn put(turn: &mut Turn<'_>, from: (ObjectType, &str), to: (ObjectType, &str)) -> Result<Answer, Refusal> {
    let row = link(turn, from, to)?;
    Ok(batch::complete(turn, 200, vec![row], &[]))
}

pub(super) fn remove(turn: &mut Turn<'_>, from: (ObjectType, &str), to: (ObjectType, &str)) -> Result<Answer, Refusal> {
    unlink(turn, from, to);
    Ok(Answer::empty(204))
}

pub(super) fn associate(turn: &mut Turn<'_>, from: ObjectType, to: ObjectType, call: &Call) -> Result<Answer, Refusal> {
    let inputs = call.read::<Inputs<Pair>>()?.inputs;
    check_count(inputs.len(), WRITE_INPUTS_MAX)?;
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for pair in &inputs {
        match link(turn, (from, &pair.from.id), (to, &pair.to.id)) {
            Ok(row) => results.push(row),
            Err(refusal) => errors.push(refuse::item(&refusal, None)),
        }
    }
    Ok(batch::complete(turn, 200, results, &errors))
}

/// A record without links of the wanted kind is told as an error, as the vendor does.
pub(super) fn read(turn: &mut Turn<'_>, from: ObjectType, to: ObjectType, call: &Call) -> Result<Answer, Refusal> {
    let inputs = call.read::<Inputs<Reference>>()?.inputs;
    check_count(inputs.len(), READ_INPUTS_MAX)?;
    let kind = association_type(from, to);
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for input in &inputs {
        let links: Vec<Value> = input
            .id
            .parse()
            .map(|id| turn.store.links.of((from, id), to).collect::<Vec<u64>>())
            .unwrap_or_default()
            .into_iter()
            .map(|id| json!({ "toObjectId": id, "associationTypes": [kind] }))
            .collect();
        if links.is_empty() {
            errors.push(unlinked(from, to, &input.id));
        } else {
            results.push(json!({ "from": { "id": input.id }, "to": links }));
        }
    }
    Ok(batch::complete(turn, 200, results, &errors))
}

pub(super) fn archive(turn: &mut Turn<'_>, from: ObjectType, to: ObjectType, call: &Call) -> Result<Answer, Refusal> {
    let inputs = call.read::<Inputs<Fan>>()?.inputs;
    check_count(inputs.len(), WRITE_INPUTS_MAX)?;
    for fan in &inputs {
        for end in &fan.to {
            unlink(turn, (from, &fan.from.id), (to, &end.id));
        }
    }
    Ok(Answer::empty(204))
}

fn link(turn: &mut Turn<'_>, from: (ObjectType, &str), to: (ObjectType, &str)) -> Result<Value, Refusal> {
    let (one, other) = turn.store.link(from, to)?;
    Ok(json!({
        "from": { "id": one.to_string() },
        "to": { "id": other.to_string() },
        "associationSpec": {
            "associationCategory": "HUBSPOT_DEFINED",
            "associationTypeId": from.0.association_type(to.0).unwrap_or_default(),
        },
    }))
}

fn unlink(turn: &mut Turn<'_>, from: (ObjectType, &str), to: (ObjectType, &str)) {
    if let (Ok(one), Ok(other)) = (from.1.parse(), to.1.parse()) {
        turn.store.links.remove((from.0, one), (to.0, other));
    }
}

fn association_type(from: ObjectType, to: ObjectType) -> Value {
    json!({ "category": "HUBSPOT_DEFINED", "typeId": from.association_type(to).unwrap_or_default(), "label": null })
}

fn unlinked(from: ObjectType, to: ObjectType, id: &str) -> Value {
    json!({
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
        "message": format!("No {} is associated with {} {id}.", to.singular(), from.singular()),
        "context": {
            "fromObjectId": [id],
            "fromObjectType": [from.type_id()],
            "toObjectType": [to.type_id()],
        },
    })
}

fn check_count(count: usize, max: usize) -> Result<(), Refusal> {
    if (1..=max).contains(&count) {
        return Ok(());
    }
    Err(Refusal::invalid(format!("Between 1 and {max} inputs are supported; this request contains {count}.")))
}
