//! Decides how references between records are read, made and ended: HubSpot's default associations, which need no type ids
//! and are the ones its own pages show. Labelled associations are neither made nor ended singly.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value as Json, json};
use tidemark_core::failure::{Class, Failure};
use tidemark_core::record::RemoteId;

use super::stamp::Scalar;
use super::{HubSpot, id_number, parse_json, post};
use crate::Answer;
use crate::http::{Exchange, Intent, Reply};

type Pair = (RemoteId, RemoteId);

#[derive(Deserialize)]
struct ReadReply {
    results: Vec<FromTo>,
    #[serde(default)]
    errors: Vec<Json>,
}

#[derive(Deserialize)]
struct FromTo {
    from: End,
    to: Vec<Target>,
}

#[derive(Deserialize)]
struct End {
    id: Scalar,
}

/// A number here, where every other id of HubSpot is text.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    to_object_id: Scalar,
}

/// At most the first page of each record's references, which holds hundreds: a reference field expects one.
pub(super) async fn read(crm: &HubSpot, object: &str, target: &str, ids: &[RemoteId]) -> Answer<Vec<(RemoteId, Vec<RemoteId>)>> {
    let inputs: Vec<Json> = ids.iter().map(|id| json!({ "id": id })).collect();
    let tried = format!("reading the {target} of {} {object}", ids.len());
    let exchange = call(crm, Intent::Read, [object, target, "batch/read"], &inputs, tried).await;
    exchange.settle(|reply| {
        let answer: ReadReply = parse_json(&reply)?;
        // A record without references is reported as an error of its own; other errors must not look like that.
        let failures = answer.errors.iter().map(|item| crm.refusals().of_item(&reply, item));
        if let Some(failure) = failures.into_iter().find(|failure| failure.class != Class::Gone) {
            return Err(failure);
        }
        let mut read = Vec::with_capacity(answer.results.len());
        for result in answer.results {
            let from = id(&reply, result.from.id)?;
            let mut to = result.to.into_iter().map(|to| id(&reply, to.to_object_id)).collect::<Result<Vec<_>, _>>()?;
            to.sort_by_key(|id| id_number(id.as_str()));
            to.dedup();
            if !to.is_empty() {
                read.push((from, to));
            }
        }
        Ok(read)
    })
}

pub(super) async fn refer(crm: &HubSpot, object: &str, target: &str, pairs: &[Pair]) -> Answer<Vec<Result<(), Failure>>> {
    let inputs: Vec<Json> = pairs.iter().map(|(from, to)| json!({ "from": { "id": from }, "to": { "id": to } })).collect();
    let tried = format!("referring {} {object} to {target}", pairs.len());
    let exchange = call(crm, Intent::Write, [object, target, "batch/associate/default"], &inputs, tried).await;
    exchange.settle(|reply| outcomes(crm, &reply, pairs))
}

/// HubSpot ends every association of a pair, labelled ones too.
pub(super) async fn unrefer(crm: &HubSpot, object: &str, target: &str, pairs: &[Pair]) -> Answer<Vec<Result<(), Failure>>> {
    let mut by_from: BTreeMap<&str, Vec<Json>> = BTreeMap::new();
    for (from, to) in pairs {
        by_from.entry(from.as_str()).or_default().push(json!({ "id": to }));
    }
    let inputs: Vec<Json> = by_from.into_iter().map(|(from, to)| json!({ "from": { "id": from }, "to": to })).collect();
    let tried = format!("ending references of {} {object} to {target}", pairs.len());
    let exchange = call(crm, Intent::Write, [object, target, "batch/archive"], &inputs, tried).await;
    exchange.settle(|reply| outcomes(crm, &reply, pairs))
}

async fn call(crm: &HubSpot, intent: Intent, [object, target, verb]: [&str; 3], inputs: &[Json], tried: String) -> Exchange {
    let path = format!("{}/{object}/{target}/{verb}", crm.description.paths.associations);
    let request = post(intent, path, &json!({ "inputs": inputs }), tried);
    match crm.object(object).and_then(|_| crm.object(target)) {
        Ok(_) => crm.call(request).await,
        Err(failure) => Exchange::unsent(&request, failure),
    }
}

#[derive(Deserialize)]
struct WriteReply {
    #[serde(default)]
    errors: Vec<Json>,
}

/// Both verbs may be repeated without harm, so a pair is done unless an error names it, or names no pair at all.
fn outcomes(crm: &HubSpot, reply: &Reply, pairs: &[Pair]) -> Result<Vec<Result<(), Failure>>, Failure> {
    if reply.body.is_empty() {
        return Ok(pairs.iter().map(|_| Ok(())).collect());
    }
    let answer: WriteReply = parse_json(reply)?;
    let mut outcomes: Vec<Result<(), Failure>> = pairs.iter().map(|_| Ok(())).collect();
    for error in &answer.errors {
        let (from, to) = (named(error, "/context/fromObjectId"), named(error, "/context/toObjectId"));
        let names = |texts: &[&str], id: &RemoteId| texts.is_empty() || texts.contains(&id.as_str());
        for (outcome, pair) in outcomes.iter_mut().zip(pairs) {
            if outcome.is_ok() && names(&from, &pair.0) && names(&to, &pair.1) {
                *outcome = Err(crm.refusals().of_item(reply, error));
            }
        }
    }
    Ok(outcomes)
}

fn named<'a>(error: &'a Json, pointer: &str) -> Vec<&'a str> {
    match error.pointer(pointer) {
        Some(Json::Array(list)) => list.iter().filter_map(Json::as_str).collect(),
        Some(Json::String(text)) => vec![text],
        _ => Vec::new(),
    }
}

fn id(reply: &Reply, Scalar(id): Scalar) -> Result<RemoteId, Failure> {
    id.map(RemoteId).ok_or_else(|| reply.malformed("a reference names no id"))
}
