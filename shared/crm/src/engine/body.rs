//! Decides how a body is built: a tree of JSON written in TOML, whose texts may have holes. Values are put in as JSON values, never as text that is parsed again.

use serde_json::{Map, Value as Json};

use super::findings::Findings;
use super::hole::{Source, Values};
use super::node::{Node, Value};
use super::template::{Hole, Position, Scope, Template};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Body {
    Text(Template),
    Constant(Json),
    List(Vec<Body>),
    Object(Vec<(Template, Body)>),
}

impl Body {
    /// `None` after a finding.
    pub(super) fn read(node: &Node, scope: &Scope<'_>, findings: &Findings) -> Option<Self> {
        match &node.value {
            // TOML has no word for it.
            Value::Text(text) if text == "{null}" => Some(Self::Constant(Json::Null)),
            Value::Text(text) => Template::parse(text, Position::Json, &node.at, scope, findings).map(Self::Text),
            Value::Integer(_) | Value::Decimal(_) | Value::Bool(_) => Some(Self::Constant(node.to_json())),
            Value::Date => node.unfit(&node.value, "a text, a number, true, false, a list or a table", "it in quotes", findings),
            Value::List(items) => {
                items.iter().map(|item| Self::read(item, scope, findings)).collect::<Option<_>>().map(Self::List)
            }
            Value::Table(entries) => {
                let entry = |(name, node): &(String, Node)| {
                    let key = Template::parse(name, Position::Query, &node.at, scope, findings)?;
                    if key.holes().any(|hole| hole.source != Source::Property) {
                        findings.add(&node.at, "a name has no hole but {property}.", "Put other holes into values.");
                        return None;
                    }
                    Some((key, Self::read(node, scope, findings)?))
                };
                entries.iter().map(entry).collect::<Option<_>>().map(Self::Object)
            }
        }
    }

    pub(super) fn build(&self, values: &Values<'_>) -> Result<Json, String> {
        Ok(match self {
            Self::Text(template) => template.json(values)?,
            Self::Constant(json) => json.clone(),
            Self::List(items) => Json::Array(items.iter().map(|item| item.build(values)).collect::<Result<_, _>>()?),
            Self::Object(entries) => {
                let entry = |(name, body): &(Template, Self)| Ok((name.text(values)?, body.build(values)?));
                Json::Object(entries.iter().map(entry).collect::<Result<Map<_, _>, String>>()?)
            }
        })
    }

    pub(super) fn holes(&self) -> Vec<&Hole> {
        match self {
            Self::Text(template) => template.holes().collect(),
            Self::Constant(_) => Vec::new(),
            Self::List(items) => items.iter().flat_map(Self::holes).collect(),
            Self::Object(entries) => entries.iter().flat_map(|(_, body)| body.holes()).collect(),
        }
    }
}
