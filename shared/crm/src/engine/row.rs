//! Decides how the fields of one item become the row that is sent: each where its property stands, in the JSON type its property has. A value that is none of that type is refused before anything is sent.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value as Json};
use tidemark_core::fit::PropertyKind;

use super::hole::Values;
use super::place::Place;
use super::shape::Shape;
use super::writing::Writing;
use crate::WriteItem;

/// What the CRM said of an object's properties.
#[derive(Debug, Clone, Default)]
pub(super) struct Learned {
    pub(super) kinds: BTreeMap<String, PropertyKind>,
    /// Choices whose options are numbers.
    pub(super) numbered: Vec<String>,
}

/// A value that cannot be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfit {
    pub(super) property: String,
    pub(super) why: &'static str,
}

/// The row of one item.
pub(super) fn row(
    shape: &Shape,
    writing: &Writing,
    learned: &Learned,
    item: &WriteItem,
    values: &Values<'_>,
) -> Result<Json, Unfit> {
    let mut fields = Json::Object(Map::new());
    for (name, value) in &item.fields {
        put(shape, writing, learned, name, value.as_deref(), values, &mut fields)?;
    }
    let unfit = |_| Unfit { property: String::new(), why: "the row cannot be built" };
    let mut row = match &writing.item {
        Some(body) => body.build(values).map_err(unfit)?,
        None => Json::Object(Map::new()),
    };
    if writing.fields_at == Place::WHOLE {
        lay_into(&mut row, fields);
    } else {
        writing.fields_at.put(&mut row, fields);
    }
    Ok(row)
}

fn put(
    shape: &Shape,
    writing: &Writing,
    learned: &Learned,
    name: &str,
    value: Option<&str>,
    values: &Values<'_>,
    fields: &mut Json,
) -> Result<(), Unfit> {
    let unfit = |why| Unfit { property: name.to_owned(), why };
    let property = shape.property(name);
    if property.is_some_and(|property| property.read_only) {
        return Err(unfit("the property is read-only"));
    }
    let template = property.and_then(|property| if value.is_some() { property.write.as_ref() } else { property.clear.as_ref() });
    if let Some(body) = template {
        let one = [value.unwrap_or_default()];
        let built = body.build(&Values { values: &one, ..*values });
        lay_into(fields, built.map_err(|_| unfit("what is sent for it cannot be built"))?);
        return Ok(());
    }
    let kind = property.and_then(|property| property.kind).or_else(|| learned.kinds.get(name).copied());
    let json = match value {
        None if writing.clear_empty => Json::from(""),
        None => Json::Null,
        Some(text) => typed(text, kind, learned.numbered.iter().any(|numbered| numbered == name)).map_err(unfit)?,
    };
    let place = property.map_or_else(|| Place::of_property(name), |property| property.place().clone());
    place.put(fields, json);
    Ok(())
}

fn typed(text: &str, kind: Option<PropertyKind>, numbered: bool) -> Result<Json, &'static str> {
    Ok(match kind {
        Some(PropertyKind::Number) => Json::Number(number(text).ok_or("the CRM takes a number there")?),
        Some(PropertyKind::Choice) if numbered => number(text).map_or_else(|| Json::from(text), Json::Number),
        Some(PropertyKind::Bool) => match text {
            "true" | "1" => Json::Bool(true),
            "false" | "0" => Json::Bool(false),
            _ => return Err("the CRM takes true or false there"),
        },
        _ => Json::from(text),
    })
}

/// Only what JSON itself calls a number, so that nothing is rounded.
fn number(text: &str) -> Option<Number> {
    serde_json::from_str(text.trim()).ok()
}

/// Objects are laid into objects; anything else replaces what was there.
fn lay_into(into: &mut Json, from: Json) {
    match (into, from) {
        (Json::Object(into), Json::Object(from)) => {
            for (key, value) in from {
                lay_into(into.entry(key).or_insert(Json::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
