//! How one record looks in an answer, and how what is sent becomes what is kept.

use serde_json::{Map, Value, json};

use super::{refuse, stock};
use crate::{
    ObjectType, Refusal,
    record::{Life, Props, Record, Version},
    schema::{Kind, Property},
    stamp,
    store::Store,
};

/// Every field, absent values as `null`, custom fields in a map of their own.
pub(super) fn row(store: &Store, record: &Record, version: &Version) -> Value {
    let mut row = json!({
        "id": record.id,
        "add_time": stamp::seconds(record.created_ms),
        "update_time": stamp::seconds(version.stamp_ms),
        "is_deleted": version.life != Life::Active,
    });
    let mut custom = Map::new();
    for property in store.table(record.object).schema.all().filter(|property| !property.archived) {
        let shown = shown(property, &version.props);
        if stock::is_custom(&property.name) {
            custom.insert(property.name.clone(), shown);
        } else {
            row[property.name.as_str()] = shown;
        }
    }
    if record.object == ObjectType::Deals && version.life != Life::Active {
        row["status"] = json!("deleted");
    }
    row["custom_fields"] = custom.into();
    row
}

fn shown(property: &Property, props: &Props) -> Value {
    let kept = props.get(&property.name).map(String::as_str);
    match (property.name.as_str(), kept) {
        ("emails" | "phones", kept) => channels(kept.unwrap_or_default()),
        ("label_ids", kept) => kept.and_then(|kept| serde_json::from_str(kept).ok()).unwrap_or_else(|| json!([])),
        (_, None) => Value::Null,
        ("address", Some(kept)) => json!({ "value": kept }),
        ("close_time" | "won_time" | "lost_time", Some(kept)) => {
            stamp::parse(kept).map_or(Value::Null, |ms| json!(stamp::seconds(ms)))
        }
        (_, Some(kept)) if property.kind == Kind::Enumeration => {
            kept.parse::<u64>().map_or_else(|_| json!(kept), |option| json!(option))
        }
        (_, Some(kept)) => property.json(kept),
    }
}

/// E-mails or phones: kept as one plain value, or as the list that was sent.
pub(super) fn channels(kept: &str) -> Value {
    if kept.is_empty() {
        return json!([]);
    }
    match serde_json::from_str(kept) {
        Ok(list @ Value::Array(_)) => list,
        _ => json!([{ "value": kept, "primary": true, "label": "work" }]),
    }
}

/// What a write sends, as properties with plain values. Lists and maps the vendor knows become text.
pub(super) fn flat(mut sent: Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
    let custom = match sent.remove("custom_fields") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(custom)) => custom,
        Some(_) => return Err(refuse::validation("custom_fields: Expected object")),
    };
    if let Some(name) = custom.keys().find(|name| !stock::is_custom(name)) {
        return Err(refuse::validation(&format!("custom_fields.{name}: Unrecognized key")));
    }
    for name in ["emails", "phones"] {
        if let Some(list) = sent.get_mut(name) {
            *list = packed(name, list)?;
        }
    }
    if let Some(labels) = sent.get_mut("label_ids").filter(|labels| labels.is_array()) {
        *labels = json!(labels.to_string());
    }
    if let Some(address) = sent.get_mut("address").filter(|address| !address.is_null()) {
        let value = address.get("value").cloned().ok_or_else(|| refuse::validation("address: Expected object"))?;
        *address = value;
    }
    sent.extend(custom);
    Ok(sent)
}

fn packed(name: &str, list: &Value) -> Result<Value, Refusal> {
    let list = match list {
        Value::Null => return Ok(Value::Null),
        Value::Array(list) => list,
        _ => return Err(refuse::validation(&format!("{name}: Expected array"))),
    };
    let mut entries = Vec::new();
    for (at, entry) in list.iter().enumerate() {
        let value = entry.get("value").and_then(Value::as_str);
        let value = value.ok_or_else(|| refuse::validation(&format!("{name}.{at}.value: Expected string")))?;
        let primary = entry.get("primary").and_then(Value::as_bool).unwrap_or(at == 0);
        let label = entry.get("label").and_then(Value::as_str).unwrap_or("work");
        entries.push((value, primary, label));
    }
    Ok(match entries.as_slice() {
        [] => Value::Null,
        [(value, true, "work")] => json!(value),
        entries => {
            let list =
                entries.iter().map(|(value, primary, label)| json!({ "value": value, "primary": primary, "label": label }));
            json!(Value::from(list.collect::<Vec<_>>()).to_string())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_ordinary_address_is_kept_plain_and_several_as_the_list_that_was_sent() {
        let check = |sent: Value, kept: Value| {
            let sent = Map::from_iter([("emails".to_owned(), sent)]);
            assert_eq!(flat(sent).unwrap()["emails"], kept);
        };
        check(json!([{ "value": "a@b.test" }]), json!("a@b.test"));
        check(json!([]), Value::Null);
        let two =
            json!([{ "value": "a", "primary": true, "label": "home" }, { "value": "b", "primary": false, "label": "work" }]);
        check(two.clone(), json!(two.to_string()));
        assert_eq!(channels(&two.to_string()), two);
        assert_eq!(channels("a@b.test")[0]["primary"], true);
    }

    #[test]
    fn a_plain_text_where_a_list_belongs_is_refused() {
        let sent = Map::from_iter([("emails".to_owned(), json!("a@b.test"))]);
        assert_eq!(flat(sent).unwrap_err().category(), "ERR_SCHEMA_VALIDATION_FAILED");
    }
}
