//! Batches: whole or Multi-Status, in an order of the CRM's own choosing.

use std::collections::HashSet;

use rand::seq::SliceRandom;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    objects,
    plan::{self, Claimed, Input, Plan, Reference, Verb},
    refuse,
    render::{self, Wanted},
};
use crate::{
    ObjectType, Refusal,
    call::{Answer, Call},
    turn::Turn,
};

const INPUTS_MAX: usize = 100;

#[derive(Deserialize)]
struct Inputs<T> {
    inputs: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReadBody {
    inputs: Vec<Reference>,
    #[serde(default)]
    properties: Vec<String>,
    id_property: Option<String>,
}

/// Those found, and one error that names all that were not.
pub(super) fn read(turn: &mut Turn<'_>, object: ObjectType, call: &Call) -> Result<Answer, Refusal> {
    let body: ReadBody = call.read()?;
    check_count(body.inputs.len())?;
    let wanted = Wanted::new(object, Some(&body.properties));
    let (mut results, mut missing, mut asked) = (Vec::new(), Vec::new(), HashSet::new());
    for input in body.inputs.iter().filter(|input| asked.insert(input.id.as_str())) {
        match objects::find(turn, object, &input.id, body.id_property.as_deref(), call.flag("archived"))? {
            Some((record, version)) => results.push(render::row(turn.store, record, version, &wanted)),
            None => missing.push(input.id.as_str()),
        }
    }
    let mut errors = Vec::new();
    if !missing.is_empty() {
        let text = format!(
            "Could not get some {} objects, they may be deleted or not exist. Check that ids are valid.",
            object.singular().to_uppercase()
        );
        let refusal = Refusal::new(404, "OBJECT_NOT_FOUND", text).with_context(json!({ "ids": missing }));
        errors.push(refuse::item(&refusal, None));
    }
    Ok(complete(turn, 200, results, &errors))
}

/// Create, update or upsert. Without trace ids one bad input fails the whole batch, except that an update of a
/// record that is not there is told per item in any case.
pub(super) fn write(turn: &mut Turn<'_>, object: ObjectType, verb: Verb, call: &Call) -> Result<Answer, Refusal> {
    let inputs = call.read::<Inputs<Input>>()?.inputs;
    check_count(inputs.len())?;
    check_distinct(&inputs, verb)?;
    let traced = inputs.iter().all(|input| input.object_write_trace_id.is_some());
    let mut claimed = Claimed::new();
    let (mut plans, mut errors): (Vec<(Plan, &Input)>, Vec<Value>) = (Vec::new(), Vec::new());
    for input in &inputs {
        match plan::plan(turn, object, verb, input, &mut claimed) {
            Ok(plan) => plans.push((plan, input)),
            Err(refusal) if traced || (verb == Verb::Update && refusal.is_missing()) => {
                errors.push(refuse::item(&refusal, input.object_write_trace_id.as_deref()));
            }
            Err(refusal) => return Err(refusal),
        }
    }
    let mut results = Vec::with_capacity(plans.len());
    for (plan, input) in plans {
        let (id, new) = plan::apply(turn, object, plan);
        let mut row = objects::written(turn, object, id);
        if verb == Verb::Upsert {
            row["new"] = json!(new);
        }
        if let Some(trace_id) = &input.object_write_trace_id {
            row["objectWriteTraceId"] = json!(trace_id);
        }
        results.push(row);
    }
    let status = if verb == Verb::Create { 201 } else { 200 };
    Ok(complete(turn, status, results, &errors))
}

/// Ids that are not there are passed over in silence.
pub(super) fn archive(turn: &mut Turn<'_>, object: ObjectType, call: &Call) -> Result<Answer, Refusal> {
    let inputs = call.read::<Inputs<Reference>>()?.inputs;
    check_count(inputs.len())?;
    for input in &inputs {
        match objects::archive_one(turn, object, &input.id) {
            Err(refusal) if !refusal.is_missing() => return Err(refusal),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(Answer::empty(204))
}

/// 207 as soon as there is an error to tell.
pub(super) fn complete(turn: &mut Turn<'_>, status: u16, mut results: Vec<Value>, errors: &[Value]) -> Answer {
    if turn.weather.shuffle {
        results.shuffle(turn.dice);
    }
    let clock = turn.clock();
    let mut body = json!({ "status": "COMPLETE", "results": results, "startedAt": clock, "completedAt": clock });
    if errors.is_empty() {
        return Answer::json(status, &body);
    }
    body["numErrors"] = json!(errors.len());
    body["errors"] = json!(errors);
    Answer::json(207, &body)
}

fn check_count(count: usize) -> Result<(), Refusal> {
    if count == 0 {
        return Err(Refusal::invalid("Some required fields were not set: [inputs]"));
    }
    if count > INPUTS_MAX {
        let text =
            format!("The maximum number of inputs supported in a batch request is {INPUTS_MAX}. This request contains {count}.");
        return Err(Refusal::invalid(text));
    }
    Ok(())
}

fn check_distinct(inputs: &[Input], verb: Verb) -> Result<(), Refusal> {
    if verb == Verb::Create {
        return Ok(());
    }
    let mut seen = HashSet::new();
    for id in inputs.iter().filter_map(|input| input.id.as_ref()) {
        if !seen.insert(id.to_lowercase()) {
            return Err(Refusal::invalid(format!("Duplicate IDs found in batch input: [{id}]. IDs must be unique")));
        }
    }
    Ok(())
}
