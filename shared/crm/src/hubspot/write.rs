//! Decides which outcome belongs to which item of a batch. HubSpot answers in any order, so the order is never used:
//! items are told apart by the trace they carried, then by id or key; what cannot be told apart may have been done.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value as Json;
use tidemark_core::failure::{Class, Failure};
use tidemark_core::record::{RemoteId, Value};

use super::stamp::{Scalar, Stamp, parse_stamp};
use super::{HubSpot, parse_json};
use crate::http::{Exchange, Intent, Reply};
use crate::{Answer, Outcomes, WriteBatch, WriteItem, WriteKind, Written};

#[derive(Serialize)]
struct Inputs<'a> {
    inputs: Vec<Input<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Input<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_property: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<Fields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_write_trace_id: Option<&'a str>,
}

struct Fields<'a>(&'a [(String, Value)]);

impl Serialize for Fields<'_> {
    /// HubSpot clears a property that is sent as the empty text; null leaves it alone.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value.as_deref().unwrap_or_default())))
    }
}

#[derive(Deserialize)]
struct BatchReply {
    results: Vec<ResultText>,
    #[serde(default)]
    errors: Vec<Json>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResultText {
    id: String,
    #[serde(default)]
    properties: BTreeMap<String, Scalar>,
    #[serde(default)]
    updated_at: Stamp,
    new: Option<bool>,
    object_write_trace_id: Option<String>,
}

pub(super) async fn batch(crm: &HubSpot, batch: &WriteBatch<'_>) -> Answer<Outcomes> {
    let (path, word) = match batch.kind {
        WriteKind::Create => ("batch/create", "creating"),
        WriteKind::Update => ("batch/update", "updating"),
        WriteKind::Upsert { .. } => ("batch/upsert", "upserting"),
        WriteKind::Archive => ("batch/archive", "archiving"),
    };
    let tried = format!("{word} {} {}", batch.items.len(), batch.object);
    let inputs = Inputs { inputs: batch.items.iter().map(|item| input(batch.kind, item)).collect() };
    let needs_id = batch.kind != WriteKind::Create;
    if needs_id && inputs.inputs.iter().any(|input| input.id.is_none()) {
        let failure = Failure::new(Class::Rejected, format!("{tried}: an item carries neither id nor key"));
        let path = format!("{}/{}/{path}", crm.description.paths.objects, batch.object);
        return Exchange::unsent(&super::post(Intent::Write, path, &inputs, tried), failure).settle(|_| Ok(Vec::new()));
    }
    let exchange = crm.post_object(Intent::Write, batch.object, path, &inputs, tried).await;
    exchange.settle(|reply| match batch.kind {
        WriteKind::Archive if reply.body.is_empty() => Ok(batch.items.iter().map(archived).collect()),
        _ => outcomes(crm, batch, &reply),
    })
}

/// Of an address that no contact has HubSpot would make a block list entry; the id alone is sent, and never an address.
pub(super) async fn erase(crm: &HubSpot, object: &str, id: &RemoteId) -> Answer<()> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        object_id: &'a str,
    }
    let tried = format!("deleting one of {object} for good");
    let body = Body { object_id: id.as_str() };
    let Some(path) = crm.description.object(object).and_then(|object| object.erase.as_deref()) else {
        let path = format!("{}/{object}", crm.description.paths.objects);
        let failure = Failure::new(Class::Rejected, format!("{tried}: the connector declares no way to"));
        return Exchange::unsent(&super::post(Intent::Write, path, &body, tried), failure).settle(|_| Ok(()));
    };
    let exchange = crm.post_object(Intent::Write, object, path, &body, tried).await;
    exchange.settle(|_| Ok(()))
}

fn input<'a>(kind: WriteKind<'a>, item: &'a WriteItem) -> Input<'a> {
    let id = item.id.as_ref().map(RemoteId::as_str);
    let (id, id_property) = match kind {
        WriteKind::Create => (None, None),
        WriteKind::Update | WriteKind::Archive => (id, None),
        WriteKind::Upsert { key_property } => (item.key.as_deref(), Some(key_property)),
    };
    if kind == WriteKind::Archive {
        return Input { id, id_property, properties: None, object_write_trace_id: None };
    }
    Input { id, id_property, properties: Some(Fields(&item.fields)), object_write_trace_id: Some(&item.trace) }
}

/// 204, for records that were there and for those already archived alike.
fn archived(item: &WriteItem) -> Result<Written, Failure> {
    let id = item.id.clone().unwrap_or_else(|| RemoteId::new(""));
    Ok(Written { id, modified: None, created: Some(false), fields: Vec::new() })
}

fn outcomes(crm: &HubSpot, batch: &WriteBatch<'_>, reply: &Reply) -> Result<Outcomes, Failure> {
    let answer: BatchReply = parse_json(reply)?;
    let mut outcomes: Vec<Option<Result<Written, Failure>>> = vec![None; batch.items.len()];
    let alone = batch.items.len() == 1 && answer.results.len() + answer.errors.len() == 1;
    for result in &answer.results {
        let at = if alone { Some(0) } else { item_of_result(batch, result) };
        if let Some(at) = at {
            outcomes[at] = Some(Ok(written(crm, batch, &batch.items[at], result)));
        }
    }
    for error in &answer.errors {
        let named = if alone { vec![0] } else { items_of_error(batch, error) };
        for at in named {
            outcomes[at].get_or_insert_with(|| Err(crm.refusals().of_item(reply, error)));
        }
    }
    let silence = || {
        let mut failure = Failure::new(Class::Retry, format!("{}: the answer does not say what became of one item", reply.tried));
        failure.status = Some(reply.status);
        failure.maybe_done = true;
        Err(failure)
    };
    Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(silence)).collect())
}

/// The trace is echoed where HubSpot can; an update is known by its id, an upsert by the key it carried.
fn item_of_result(batch: &WriteBatch<'_>, result: &ResultText) -> Option<usize> {
    let mut items = batch.items.iter();
    if let Some(trace) = &result.object_write_trace_id {
        return items.position(|item| item.trace == *trace);
    }
    match batch.kind {
        WriteKind::Create => None,
        WriteKind::Update | WriteKind::Archive => {
            items.position(|item| item.id.as_ref().is_some_and(|id| id.as_str() == result.id))
        }
        WriteKind::Upsert { key_property } => {
            let key = result.properties.get(key_property)?.0.as_deref()?;
            items.position(|item| item.key.as_deref() == Some(key))
        }
    }
}

/// Every item an entry of `errors` names: by trace where it names one, else by id or key. Never by both, because one item's
/// trace may read like another's id.
fn items_of_error(batch: &WriteBatch<'_>, error: &Json) -> Vec<usize> {
    let details = error["errors"].as_array().into_iter().flatten();
    let parts: Vec<&Json> = std::iter::once(error).chain(details).collect();
    let traces = texts_at(&parts, &["/context/objectWriteTraceId", "/objectWriteTraceId"]);
    let ids = texts_at(&parts, &["/context/ids", "/context/id", "/id"]);
    let is_named = |item: &WriteItem| {
        if !traces.is_empty() {
            return traces.contains(&item.trace.as_str());
        }
        let own = [item.id.as_ref().map(RemoteId::as_str), item.key.as_deref()];
        own.into_iter().flatten().any(|text| ids.contains(&text))
    };
    (0..batch.items.len()).filter(|at| is_named(&batch.items[*at])).collect()
}

fn texts_at<'a>(parts: &[&'a Json], pointers: &[&str]) -> Vec<&'a str> {
    let found = parts.iter().flat_map(|part| pointers.iter().filter_map(|at| part.pointer(at)));
    let texts = found.flat_map(|named| match named {
        Json::Array(list) => list.iter().filter_map(Json::as_str).collect(),
        other => other.as_str().into_iter().collect::<Vec<_>>(),
    });
    texts.collect()
}

fn written(crm: &HubSpot, batch: &WriteBatch<'_>, item: &WriteItem, result: &ResultText) -> Written {
    let stamp = crm.object(batch.object).ok().and_then(|object| result.properties.get(&object.modified)?.0.as_deref());
    let created = match batch.kind {
        WriteKind::Create => Some(true),
        WriteKind::Update | WriteKind::Archive => Some(false),
        WriteKind::Upsert { .. } => result.new,
    };
    let answered = |(name, _): &(String, Value)| Some((name.clone(), result.properties.get(name)?.0.clone()));
    Written {
        id: RemoteId::new(result.id.clone()),
        modified: stamp.and_then(parse_stamp).or(result.updated_at.0),
        created,
        fields: item.fields.iter().filter_map(answered).collect(),
    }
}
