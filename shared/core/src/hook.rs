//! What a one-way stream sends: the template of its body, and what becomes of the rows that are there when it begins. Builds JSON as JSON; sends nothing.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::Millis;
use crate::record::{RowKey, Value};
use crate::spec::StreamSpec;

/// The connectors that only ever send.
pub const ONE_WAY: [&str; 2] = [ZAPIER, IFTTT];
pub const ZAPIER: &str = "zapier";
pub const IFTTT: &str = "ifttt";

/// What makes a stream one-way. No part of the mapping's meaning: what was delivered stays delivered when the template changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookSpec {
    pub payload: Part,
    pub existing: Existing,
}

/// What becomes of the rows that are there when the stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Existing {
    /// They count as delivered: only what changes from then on is sent.
    Taken,
    /// Each is sent, as far as the brake lets it through.
    Send,
}

/// What happened to a row, as whoever listens sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The first that is told of the row.
    Created,
    Updated,
    Deleted,
}

impl Event {
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
        }
    }
}

/// One delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The idempotency key.
    pub id: String,
    pub event: Event,
    pub row: RowKey,
    /// When the row changed, database clock.
    pub occurred_at: Millis,
    /// Aligned with the fields; of a deleted row what was told last.
    pub values: Vec<Value>,
}

/// A part of the body: a constant, something of the delivery, or a list or table of parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Constant(Json),
    Event,
    RowKey,
    IdempotencyKey,
    OccurredAt,
    Stream,
    /// A table of all fields.
    Fields,
    /// One field, as text or null.
    Field(String),
    /// One field whose text is JSON: a number, true or false, a table.
    Json(String),
    List(Vec<Part>),
    Table(Vec<(String, Part)>),
}

/// Every placeholder, for messages.
pub const PLACEHOLDERS: &str = "$event, $row_key, $idempotency_key, $occurred_at, $stream, $fields, $field.NAME and $json.NAME; $$ begins a text that begins with $";

impl Part {
    /// A text of the template: a placeholder begins with `$`, and `$$` stands for a `$` that is meant.
    pub fn of_text(text: &str) -> Option<Self> {
        let Some(name) = text.strip_prefix('$') else { return Some(Self::Constant(text.into())) };
        Some(match name {
            "event" => Self::Event,
            "row_key" => Self::RowKey,
            "idempotency_key" => Self::IdempotencyKey,
            "occurred_at" => Self::OccurredAt,
            "stream" => Self::Stream,
            "fields" => Self::Fields,
            _ if name.starts_with('$') => Self::Constant(name.into()),
            _ => match name.split_once('.')? {
                ("field", field) if !field.is_empty() => Self::Field(field.to_owned()),
                ("json", field) if !field.is_empty() => Self::Json(field.to_owned()),
                _ => return None,
            },
        })
    }

    /// What is sent where the mapping has no template.
    pub fn whole() -> Self {
        let parts = [
            ("event", Self::Event),
            ("stream", Self::Stream),
            ("row_key", Self::RowKey),
            ("idempotency_key", Self::IdempotencyKey),
            ("occurred_at", Self::OccurredAt),
            ("fields", Self::Fields),
        ];
        Self::Table(parts.into_iter().map(|(name, part)| (name.to_owned(), part)).collect())
    }

    /// Itself and every part within.
    pub fn all(&self) -> Vec<&Self> {
        let within: Vec<&Self> = match self {
            Self::List(parts) => parts.iter().flat_map(Self::all).collect(),
            Self::Table(parts) => parts.iter().flat_map(|(_, part)| part.all()).collect(),
            _ => Vec::new(),
        };
        std::iter::once(self).chain(within).collect()
    }

    /// The body of one delivery. Fails where a text that is to be JSON is none.
    pub fn render(&self, spec: &StreamSpec, delivery: &Delivery) -> Result<Json, NotJson> {
        let value = |property: &str| spec.field(property).and_then(|(at, _)| delivery.values.get(at)?.as_deref());
        Ok(match self {
            Self::Constant(constant) => constant.clone(),
            Self::Event => delivery.event.word().into(),
            Self::RowKey => delivery.row.as_str().into(),
            Self::IdempotencyKey => delivery.id.as_str().into(),
            Self::OccurredAt => time(delivery.occurred_at).into(),
            Self::Stream => spec.name.as_str().into(),
            Self::Fields => {
                let of = |(at, field): (usize, &crate::spec::FieldSpec)| {
                    (field.property.clone(), delivery.values.get(at).cloned().flatten().map_or(Json::Null, Json::from))
                };
                Json::Object(spec.fields.iter().enumerate().map(of).collect())
            }
            Self::Field(property) => value(property).map_or(Json::Null, Json::from),
            Self::Json(property) => match value(property) {
                None => Json::Null,
                Some(text) => serde_json::from_str(text).map_err(|_| NotJson { property: property.clone() })?,
            },
            Self::List(parts) => Json::Array(parts.iter().map(|part| part.render(spec, delivery)).collect::<Result<_, _>>()?),
            Self::Table(parts) => {
                let of = |(name, part): &(String, Self)| Ok((name.clone(), part.render(spec, delivery)?));
                Json::Object(parts.iter().map(of).collect::<Result<Map<_, _>, NotJson>>()?)
            }
        })
    }
}

/// A field that the template wants as JSON holds something else. The value is people's data and is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{property} does not hold JSON, and the payload puts it in as `$json.{property}`")]
pub struct NotJson {
    pub property: String,
}

/// RFC 3339, UTC.
fn time(at: Millis) -> String {
    chrono::DateTime::from_timestamp_millis(at)
        .map_or_else(|| at.to_string(), |at| at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::merge::tests::spec;

    fn delivery(values: &[Option<&str>]) -> Delivery {
        let values = values.iter().map(|value| value.map(str::to_owned)).collect();
        Delivery { id: "k1".into(), event: Event::Updated, row: RowKey::new("7"), occurred_at: 1_700_000_000_123, values }
    }

    #[test]
    fn a_body_is_built_as_json_whatever_a_value_holds() {
        let spec = spec();
        let values = vec![Some("\",\"x\":\"\\"); spec.fields.len()];
        let property = spec.fields[0].property.clone();
        let part = Part::Table(vec![
            ("kind".into(), Part::of_text("$event").unwrap()),
            ("of".into(), Part::List(vec![Part::of_text(&format!("$field.{property}")).unwrap(), Part::Constant(json!(3))])),
            ("at".into(), Part::of_text("$occurred_at").unwrap()),
            ("cost".into(), Part::of_text("$$5").unwrap()),
        ]);
        assert_eq!(
            part.render(&spec, &delivery(&values)).unwrap(),
            json!({ "kind": "updated", "of": ["\",\"x\":\"\\", 3], "at": "2023-11-14T22:13:20.123Z", "cost": "$5" })
        );
    }

    #[test]
    fn a_field_that_is_to_be_json_is_parsed_or_refused_without_its_value() {
        let spec = spec();
        let part = Part::Json(spec.fields[0].property.clone());
        let with = |text| delivery(&vec![Some(text); spec.fields.len()]);
        assert_eq!(part.render(&spec, &with("12.5")).unwrap(), json!(12.5));
        assert_eq!(part.render(&spec, &delivery(&vec![None; spec.fields.len()])).unwrap(), Json::Null);
        assert!(!part.render(&spec, &with("secret words")).unwrap_err().to_string().contains("secret"));
    }

    #[test]
    fn what_is_no_placeholder_is_none() {
        for text in ["$evnt", "$field", "$field.", "$json", "$columns.x"] {
            assert_eq!(Part::of_text(text), None, "{text}");
        }
    }
}
