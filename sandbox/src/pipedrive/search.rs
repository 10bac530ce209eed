//! Search by a term: the index's view of the records, which lags behind them.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{list, refuse, render, stock};
use crate::{
    ObjectType, Refusal,
    call::{Answer, Call},
    record::{Life, Record, Version},
    turn::Turn,
};

/// How a version of the API pages through what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paging {
    /// The second version: an opaque cursor.
    Cursor,
    /// The first: a position.
    Start,
}

pub(super) fn search(turn: &Turn<'_>, object: ObjectType, call: &Call, paging: Paging) -> Result<Answer, Refusal> {
    let exact = call.flag("exact_match") || call.parameter("exact_match") == Some("1");
    let term = call.parameter("term").unwrap_or_default().trim().to_lowercase();
    if term.chars().count() < if exact { 1 } else { 2 } {
        return Err(refuse::validation("term: at least 2 characters, or 1 with exact_match"));
    }
    let fields = call.list("fields");
    let limit = list::limit(call)?;
    let start = start(call, paging)?;
    let found: Vec<Value> = turn
        .store
        .table(object)
        .records()
        .filter_map(|record| Some((record, record.indexed(turn.now_ms)?)))
        .filter(|(_, version)| version.life == Life::Active)
        .filter(|(_, version)| {
            let mut texts = texts(object, version, fields.as_deref());
            texts.any(|text| if exact { text == term } else { text.contains(&term) })
        })
        .map(|(record, version)| item(object, record, version))
        .collect();
    let items: Vec<&Value> = found.iter().skip(start).take(limit).collect();
    let next = start + items.len();
    let more = next < found.len();
    let additional = match paging {
        Paging::Cursor => json!({ "next_cursor": more.then(|| STANDARD.encode(json!({ "start": next }).to_string())) }),
        Paging::Start => {
            let mut pagination = json!({ "start": start, "limit": limit, "more_items_in_collection": more });
            if more {
                pagination["next_start"] = json!(next);
            }
            json!({ "pagination": pagination })
        }
    };
    Ok(Answer::json(200, &json!({ "success": true, "data": { "items": items }, "additional_data": additional })))
}

fn start(call: &Call, paging: Paging) -> Result<usize, Refusal> {
    let wrong = || refuse::validation("cursor: Invalid cursor");
    match paging {
        Paging::Start => Ok(call.parameter("start").and_then(|start| start.parse().ok()).unwrap_or_default()),
        Paging::Cursor => {
            let Some(cursor) = call.parameter("cursor") else { return Ok(0) };
            let bytes = STANDARD.decode(cursor).map_err(|_| wrong())?;
            let place: Value = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
            place["start"].as_u64().and_then(|start| usize::try_from(start).ok()).ok_or_else(wrong)
        }
    }
}

/// The texts of a version that a search looks at, in lower case.
fn texts<'a>(object: ObjectType, version: &'a Version, fields: Option<&'a [String]>) -> impl Iterator<Item = String> + 'a {
    let asked = move |field: &str| fields.is_none_or(|fields| fields.iter().any(|asked| asked == field));
    version.props.iter().flat_map(move |(name, kept)| {
        let field = match name.as_str() {
            "emails" => "email",
            "phones" => "phone",
            "name" | "title" | "address" => name.as_str(),
            name if stock::is_custom(name) => "custom_fields",
            _ => return Vec::new(),
        };
        if !asked(field) {
            return Vec::new();
        }
        match (object, name.as_str()) {
            (ObjectType::Contacts, "emails" | "phones") => values(kept).iter().map(|value| value.to_lowercase()).collect(),
            _ => vec![kept.to_lowercase()],
        }
    })
}

fn values(kept: &str) -> Vec<String> {
    let Value::Array(list) = render::channels(kept) else { return Vec::new() };
    list.iter().filter_map(|entry| entry["value"].as_str().map(str::to_owned)).collect()
}

/// Bare values where a read would answer with labelled ones.
fn item(object: ObjectType, record: &Record, version: &Version) -> Value {
    let kept = |name: &str| version.props.get(name).map(String::as_str);
    let custom: Vec<&String> = version.props.iter().filter(|(name, _)| stock::is_custom(name)).map(|(_, kept)| kept).collect();
    let mut item = json!({ "id": record.id, "owner": { "id": 1 }, "custom_fields": custom, "notes": [] });
    match object {
        ObjectType::Contacts => {
            item["type"] = json!("person");
            item["name"] = json!(kept("name"));
            item["emails"] = json!(values(kept("emails").unwrap_or_default()));
            item["phones"] = json!(values(kept("phones").unwrap_or_default()));
        }
        ObjectType::Companies => {
            item["type"] = json!("organization");
            item["name"] = json!(kept("name"));
            item["address"] = json!(kept("address"));
        }
        ObjectType::Deals => {
            item["type"] = json!("deal");
            item["title"] = json!(kept("title"));
            item["status"] = json!(kept("status"));
            item["value"] = json!(kept("value").and_then(|value| value.parse::<f64>().ok()));
            item["is_archived"] = json!(kept("is_archived") == Some("true"));
        }
    }
    json!({ "result_score": 0.5, "item": item })
}
