//! How one member looks in an answer, by which ids it is known, and which parts of an answer a caller asked for.

use md5::{Digest, Md5};
use serde_json::{Map, Value, json};

use super::{LIST, stock};
use crate::{
    call::Call,
    record::{Record, Version},
    stamp,
    store::Store,
};

const CONTACT_START: &str = "5a17ed00";

/// The id by the address, which is another one as soon as the address is.
pub(super) fn hash(address: &str) -> String {
    let digest = Md5::digest(address.trim().to_lowercase().as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The id that stays with the member.
pub(super) fn contact_id(number: u64) -> String {
    format!("{CONTACT_START}{number:024x}")
}

/// A plain number is understood too, for people at the control API.
pub(super) fn contact_number(id: &str) -> Option<u64> {
    match id.strip_prefix(CONTACT_START) {
        Some(hex) if hex.len() == 24 => u64::from_str_radix(hex, 16).ok(),
        _ => id.parse().ok(),
    }
}

pub(super) fn member(store: &Store, record: &Record, version: &Version) -> Value {
    let kept = |name: &str| version.props.get(name).map_or("", String::as_str);
    let address = kept("email_address");
    let schema = &store.table(record.object).schema;
    let merge_fields: Map<String, Value> = schema
        .all()
        .filter(|property| !property.archived && stock::is_merge_field(&property.name))
        .map(|property| (property.name.clone(), version.props.get(&property.name).map_or(json!(""), |kept| property.json(kept))))
        .collect();
    let name = format!("{} {}", kept("FNAME"), kept("LNAME"));
    json!({
        "id": hash(address),
        "email_address": address,
        "unique_email_id": hash(&contact_id(record.id))[..10],
        "contact_id": contact_id(record.id),
        "full_name": name.trim(),
        "web_id": record.id,
        "email_type": if kept("email_type").is_empty() { "html" } else { kept("email_type") },
        "status": kept("status"),
        "merge_fields": merge_fields,
        "language": kept("language"),
        "vip": kept("vip") == "true",
        "timestamp_opt": stamp_of(record.created_ms),
        "timestamp_signup": "",
        "last_changed": stamp_of(version.stamp_ms),
        "tags_count": 0,
        "tags": [],
        "list_id": LIST,
        "_links": links(address),
    })
}

/// Whole seconds with the offset written out.
fn stamp_of(ms: i64) -> String {
    stamp::seconds(ms).replace('Z', "+00:00")
}

/// Every member carries these, and a page is mostly these.
fn links(address: &str) -> Value {
    let base = format!("/3.0/lists/{LIST}/members/{}", hash(address));
    let link = |rel: &str, method: &str, path: String| json!({ "rel": rel, "href": path, "method": method, "targetSchema": "https://example.test/schema.json" });
    json!([
        link("self", "GET", base.clone()),
        link("parent", "GET", format!("/3.0/lists/{LIST}/members")),
        link("update", "PATCH", base.clone()),
        link("upsert", "PUT", base.clone()),
        link("delete", "DELETE", base.clone()),
        link("delete_permanent", "POST", format!("{base}/actions/delete-permanent")),
    ])
}

/// The parts `fields` names, less those `exclude_fields` names. Paths go through lists as if they were not there.
pub(super) fn pruned(call: &Call, body: Value) -> Value {
    let body = match call.list("fields") {
        Some(fields) => kept(body, &fields, ""),
        None => body,
    };
    match call.list("exclude_fields") {
        Some(fields) => dropped(body, &fields, ""),
        None => body,
    }
}

fn kept(value: Value, paths: &[String], at: &str) -> Value {
    match value {
        Value::Array(list) => list.into_iter().map(|value| kept(value, paths, at)).collect(),
        Value::Object(map) => {
            let chosen = map.into_iter().filter_map(|(name, value)| {
                let path = joined(at, &name);
                if paths.contains(&path) {
                    return Some((name, value));
                }
                let below = format!("{path}.");
                paths.iter().any(|wanted| wanted.starts_with(&below)).then(|| (name, kept(value, paths, &path)))
            });
            chosen.collect::<Map<_, _>>().into()
        }
        other => other,
    }
}

fn dropped(value: Value, paths: &[String], at: &str) -> Value {
    match value {
        Value::Array(list) => list.into_iter().map(|value| dropped(value, paths, at)).collect(),
        Value::Object(map) => {
            let left = map.into_iter().filter_map(|(name, value)| {
                let path = joined(at, &name);
                (!paths.contains(&path)).then(|| (name, dropped(value, paths, &path)))
            });
            left.collect::<Map<_, _>>().into()
        }
        other => other,
    }
}

fn joined(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_by_the_address_is_the_md5_of_its_lower_case() {
        assert_eq!(hash("Urist.McVankab@freddiesjokes.com"), "62eeb292278cc15f5817cb78f7790b08");
    }

    #[test]
    fn a_contact_id_leads_back_to_its_number() {
        assert_eq!(contact_id(501).len(), 32);
        assert_eq!((contact_number(&contact_id(501)), contact_number("501")), (Some(501), Some(501)));
        assert_eq!(contact_number(&hash("a@b.test")), None);
    }

    #[test]
    fn fields_are_chosen_through_lists() {
        let call = |name: &str, value: &str| Call {
            method: "GET".to_owned(),
            path: String::new(),
            query: vec![(name.to_owned(), value.to_owned())],
            headers: Vec::new(),
            body: String::new(),
        };
        let body = json!({ "members": [{ "id": "1", "merge_fields": { "FNAME": "Ana" }, "_links": [] }], "total_items": 1 });
        let check = |name: &str, value: &str, expect: Value| assert_eq!(pruned(&call(name, value), body.clone()), expect);
        check("fields", "members.id", json!({ "members": [{ "id": "1" }] }));
        check("fields", "members.merge_fields", json!({ "members": [{ "merge_fields": { "FNAME": "Ana" } }] }));
        let bare = json!({ "members": [{ "id": "1", "merge_fields": { "FNAME": "Ana" } }], "total_items": 1 });
        check("exclude_fields", "members._links", bare);
    }
}
