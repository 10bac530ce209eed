//! Decides how records are asked for, and when a page may be believed: by id inside a closed window, never by offset,
//! because HubSpot's search ends at 10 000 offsets and rows move between offset pages.

use serde::Serialize;
use serde_json::json;
use tidemark_core::failure::{Class, Failure};
use tidemark_core::record::Record;
use tidemark_core::source::{Next, Page, Position};

use super::parse::{Parsed, Wanted, parse};
use super::{HubSpot, id_number};
use crate::http::{Intent, Reply};
use crate::{Answer, LookUp, PageRequest, ReadIds};

/// The property every object is ordered by.
const ID: &str = "hs_object_id";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Filter<'a> {
    property_name: &'a str,
    operator: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<&'a [String]>,
}

fn filter<'a>(property_name: &'a str, operator: &'a str, value: String) -> Filter<'a> {
    Filter { property_name, operator, value: Some(value), values: None }
}

fn search(filters: &[Filter<'_>], wanted: &Wanted, limit: u16) -> serde_json::Value {
    json!({
        "filterGroups": [{ "filters": filters }],
        "sorts": [{ "propertyName": ID, "direction": "ASCENDING" }],
        "properties": wanted.names(),
        "limit": limit,
    })
}

/// Records outside the window are kept: the index sometimes answers with a newer stamp than was asked for.
pub(super) async fn page(crm: &HubSpot, request: &PageRequest<'_>) -> Answer<Page> {
    let object = crm.object(request.object).unwrap_or(crm.description.default_object());
    let wanted = Wanted::new(request.properties, request.external_key, &object.modified);
    let limit = request.rows_max.clamp(1, object.traits.page_rows_max);
    let mut filters = vec![
        filter(&object.modified, "GTE", request.from.to_string()),
        filter(&object.modified, "LT", request.until.to_string()),
    ];
    if let Some(Position(id)) = request.position {
        filters.push(filter(ID, "GT", id.clone()));
    }
    let body = search(&filters, &wanted, limit);
    let tried = format!("reading a page of {}", request.object);
    let exchange = crm.post_object(Intent::Read, request.object, "search", &body, tried).await;
    exchange.settle(|reply| {
        let parsed = parse_records(&reply, &wanted)?;
        conclude(&reply, parsed, request.position, usize::from(limit))
    })
}

/// Drained only when nothing in the answer says otherwise.
fn conclude(reply: &Reply, parsed: Parsed, position: Option<&Position>, limit: usize) -> Result<Page, Failure> {
    let mut last = match position {
        Some(Position(id)) => Some(id_number(id).ok_or_else(|| reply.malformed("the position asked from is not an id"))?),
        None => None,
    };
    for record in &parsed.records {
        let id = id_number(record.id.as_str()).ok_or_else(|| reply.malformed("a record's id is not a number"))?;
        if last.is_some_and(|last| id <= last) {
            return Err(reply.malformed(&format!("a page repeated the position {}", last.unwrap_or_default())));
        }
        last = Some(id);
    }
    let counted = parsed.total.unwrap_or_default();
    let given = parsed.records.len();
    let more = parsed.more || given >= limit || counted > u64::try_from(given).unwrap_or(u64::MAX);
    match parsed.records.last() {
        Some(record) if more => {
            let position = Position(record.id.0.clone());
            Ok(Page { records: parsed.records, next: Next::More(position) })
        }
        // Nothing to go on from, yet not the end: the index is behind the records, or cut the answer short.
        None if more => Err(Failure {
            status: Some(reply.status),
            wait: reply.wait,
            ..Failure::new(
                Class::Retry,
                format!("{}: the index promises more records (it counts {counted}) and gave none", reply.tried),
            )
        }),
        _ => Ok(Page { records: parsed.records, next: Next::Drained }),
    }
}

/// Of an id that was merged away HubSpot answers the survivor, under the survivor's id: it is kept, for the caller to see.
pub(super) async fn ids(crm: &HubSpot, request: &ReadIds<'_>) -> Answer<Vec<Record>> {
    let ids: Vec<&str> = request.ids.iter().map(|id| id.as_str()).collect();
    let tried = format!("reading {} {} by id", ids.len(), request.object);
    let asked = Asked { id_property: None, archived: false, properties: request.properties, external_key: request.external_key };
    batch_read(crm, request.object, &ids, asked, tried).await
}

/// The archive answers under the same path, to the same question with a flag.
pub(super) async fn archived(crm: &HubSpot, request: &ReadIds<'_>) -> Answer<Vec<Record>> {
    let ids: Vec<&str> = request.ids.iter().map(|id| id.as_str()).collect();
    let tried = format!("looking for {} {} in the archive", ids.len(), request.object);
    let asked = Asked { id_property: None, archived: true, properties: request.properties, external_key: request.external_key };
    batch_read(crm, request.object, &ids, asked, tried).await
}

pub(super) async fn look_up(crm: &HubSpot, request: &LookUp<'_>) -> Answer<Vec<Record>> {
    let object = crm.object(request.object).unwrap_or(crm.description.default_object());
    let lower = object.lower_case.iter().any(|name| name == request.property);
    let values: Vec<String> =
        request.values.iter().map(|value| if lower { value.to_lowercase() } else { value.clone() }).collect();
    let tried = format!("looking up {} {} by {}", values.len(), request.object, request.property);
    if request.unique {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let asked = Asked {
            id_property: Some(request.property),
            archived: false,
            properties: request.properties,
            external_key: request.external_key,
        };
        return batch_read(crm, request.object, &values, asked, tried).await;
    }
    let wanted = Wanted::new(request.properties, request.external_key, &object.modified);
    let one_of = Filter { property_name: request.property, operator: "IN", value: None, values: Some(&values) };
    let body = search(&[one_of], &wanted, object.traits.page_rows_max);
    let exchange = crm.post_object(Intent::Read, request.object, "search", &body, tried).await;
    exchange.settle(|reply| {
        let parsed = parse_records(&reply, &wanted)?;
        if parsed.more && values.len() > 1 {
            // A value crowded out by the others would look as if no record held it, and a second one would be made.
            let given = parsed.records.len();
            return Err(Failure {
                status: Some(reply.status),
                ..Failure::new(
                    Class::Rejected,
                    format!("{}: more than {given} records match, look up fewer at once", reply.tried),
                )
            });
        }
        Ok(parsed.records)
    })
}

/// How a batch is read: by which property, of the living or of the archived, and what of each record.
struct Asked<'a> {
    id_property: Option<&'a str>,
    archived: bool,
    properties: &'a [Option<String>],
    external_key: Option<&'a str>,
}

async fn batch_read(crm: &HubSpot, object: &str, ids: &[&str], asked: Asked<'_>, tried: String) -> Answer<Vec<Record>> {
    let description = crm.object(object).unwrap_or(crm.description.default_object());
    let wanted = Wanted::new(asked.properties, asked.external_key, &description.modified);
    let inputs: Vec<_> = ids.iter().map(|id| json!({ "id": id })).collect();
    let mut body = json!({ "properties": wanted.names(), "propertiesWithHistory": [], "inputs": inputs });
    if let Some(property) = asked.id_property {
        body["idProperty"] = json!(property);
    }
    let path = if asked.archived { "batch/read?archived=true" } else { "batch/read" };
    let exchange = crm.post_object(Intent::Read, object, path, &body, tried).await;
    exchange.settle(|reply| {
        let parsed = parse_records(&reply, &wanted)?;
        // An absent record is an answer; a record that could not be read is not.
        let failures = parsed.errors.iter().map(|item| crm.refusals().of_item(&reply, item));
        match failures.into_iter().find(|failure| failure.class != Class::Gone) {
            Some(failure) => Err(failure),
            None => Ok(without_repeats(parsed.records)),
        }
    })
}

/// Asking for a survivor and for the record merged into it answers the survivor twice.
fn without_repeats(mut records: Vec<Record>) -> Vec<Record> {
    let mut seen = std::collections::HashSet::new();
    records.retain(|record| seen.insert(record.id.clone()));
    records
}

fn parse_records(reply: &Reply, wanted: &Wanted) -> Result<Parsed, Failure> {
    parse(reply.json_text()?, wanted).map_err(|error| reply.broken_json(&error))
}
