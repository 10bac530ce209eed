//! Says in HubSpot's words how records are asked for. Which page is asked for next, and whether an answer may be believed, the core decides from what
//! the description declares: by id inside a closed window, because HubSpot's search ends at 10 000 offsets and rows move between offset pages.

use serde::Serialize;
use serde_json::json;
use tidemark_core::failure::{Class, Failure};
use tidemark_core::reading::{After, Answered, Ask, Course, Fault, Place, Sort, ask, conclude};
use tidemark_core::record::{Record, RemoteId};
use tidemark_core::source::{Next, Page, SourceTraits};
use tidemark_core::window::Window;

use super::HubSpot;
use super::parse::{Parsed, Wanted, parse};
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

fn search(filters: &[Filter<'_>], sort: &str, wanted: &Wanted, limit: u16) -> serde_json::Value {
    json!({
        "filterGroups": [{ "filters": filters }],
        "sorts": [{ "propertyName": sort, "direction": "ASCENDING" }],
        "properties": wanted.names(),
        "limit": limit,
    })
}

/// Records outside the window are kept: the index sometimes answers with a newer stamp than was asked for.
pub(super) async fn page(crm: &HubSpot, request: &PageRequest<'_>) -> Answer<Page> {
    let object = crm.object(request.object).unwrap_or(crm.description.default_object());
    let wanted = Wanted::new(request.properties, request.external_key, object);
    let window = Window { from: request.from, until: request.until };
    let place = Place::of(window, request.position);
    let question = ask(&object.traits, &place, request.rows_max);
    let mut filters = vec![
        filter(&object.modified, "GTE", question.from.to_string()),
        filter(&object.modified, "LT", question.until.to_string()),
    ];
    // No other way is declared: `connect_described` proves it.
    if let After::Id(id) = question.after {
        filters.push(filter(ID, "GT", id.to_owned()));
    }
    let sort = if question.sort == Sort::Id { ID } else { &object.modified };
    let body = search(&filters, sort, &wanted, question.rows_max);
    let tried = format!("reading a page of {}", request.object);
    let exchange = crm.post_object(Intent::Read, request.object, "search", &body, tried).await;
    exchange.settle(|reply| {
        let parsed = parse_records(&reply, &wanted)?;
        believed(&reply, &object.traits, window, &place, question, parsed)
    })
}

fn believed(
    reply: &Reply,
    traits: &SourceTraits,
    window: Window,
    place: &Place,
    question: Ask<'_>,
    parsed: Parsed,
) -> Result<Page, Failure> {
    let answered = Answered { records: &parsed.records, total: parsed.total, more: parsed.more, token: None };
    let next = match conclude(traits, window, place, question, answered) {
        Ok(Course::More(place)) => Next::More(place.position()),
        Ok(Course::Drained) => Next::Drained,
        // The index is behind the records, or cut the answer short.
        Err(fault @ Fault::Promised(_)) => {
            let failure = Failure::new(Class::Retry, format!("{}: {fault}", reply.tried));
            return Err(Failure { status: Some(reply.status), wait: reply.wait, ..failure });
        }
        Err(fault) => return Err(reply.malformed(&fault.to_string())),
    };
    Ok(Page { records: parsed.records, next, feed: None })
}

/// Of an id that was merged away HubSpot answers the survivor, under the survivor's id, or nothing.
pub(super) async fn ids(crm: &HubSpot, request: &ReadIds<'_>) -> Answer<Vec<Record>> {
    let ids: Vec<&str> = request.ids.iter().map(|id| id.as_str()).collect();
    let tried = format!("reading {} {} by id", ids.len(), request.object);
    let asked = Asked { id_property: None, archived: false, properties: request.properties, external_key: request.external_key };
    let mut answer = batch_read(crm, request.object, &ids, asked, tried).await;
    if let Ok(records) = &mut answer.result {
        name_survivor(request, records);
    }
    answer
}

/// A record nobody asked for answers for one that was. It mostly lists that id; where it does not, and only one can be meant, it is added.
fn name_survivor(request: &ReadIds<'_>, records: &mut [Record]) {
    let told = |id: &RemoteId| records.iter().any(|record| record.id == *id || record.absorbed.contains(id));
    let untold: Vec<RemoteId> = request.ids.iter().filter(|id| !told(id)).cloned().collect();
    let mut unasked = records.iter_mut().filter(|record| !request.ids.contains(&record.id));
    if let ([id], Some(record), None) = (untold.as_slice(), unasked.next(), unasked.next())
        && !record.absorbed.iter().any(|id| request.ids.contains(id))
    {
        record.absorbed.push(id.clone());
    }
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
    let wanted = Wanted::new(request.properties, request.external_key, object);
    let one_of = Filter { property_name: request.property, operator: "IN", value: None, values: Some(&values) };
    let body = search(&[one_of], ID, &wanted, object.traits.page_rows_max);
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
    let wanted = Wanted::new(asked.properties, asked.external_key, description);
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
