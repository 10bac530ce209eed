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

    /// A table is laid over a table: its entries replace those of the same name, and an empty text takes one away. Anything else is replaced as a whole.
    pub(super) fn under(self, overlay: &Self) -> Self {
        let Self::Object(others) = overlay else { return overlay.clone() };
        let mut entries = if let Self::Object(entries) = self { entries } else { Vec::new() };
        for (name, other) in others {
            let at = entries.iter().position(|(known, _)| known == name);
            let known = at.map(|at| entries.remove(at).1);
            if !other.is_empty_text() {
                let laid = known.unwrap_or(Self::Object(Vec::new())).under(other);
                entries.insert(at.unwrap_or(entries.len()), (name.clone(), laid));
            }
        }
        Self::Object(entries)
    }

    fn is_empty_text(&self) -> bool {
        matches!(self, Self::Text(template) if template.constant() == Some(""))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::node::parse;
    use super::*;

    fn body(toml: &str) -> Body {
        let findings = Findings::default();
        let scope = Scope { plain: &["token"], object: false, settings: &[], secrets: &[], signed_in: &[] };
        Body::read(&parse(toml, &findings).unwrap(), &scope, &findings).unwrap()
    }

    fn check(below: &str, over: &str, expect: Json) {
        let built = body(below).under(&body(over)).build(&Values { token: Some("t7"), ..Values::default() });
        assert_eq!(built, Ok(expect), "{over} over {below}");
    }

    #[test]
    fn a_table_is_laid_over_a_table_entry_by_entry() {
        let below = "limit = 3\nfilter = { by = \"stamp\", more = [1, 2] }";
        check(below, "after = \"{token}\"", json!({ "limit": 3, "filter": { "by": "stamp", "more": [1, 2] }, "after": "t7" }));
        check(
            below,
            "limit = \"\"\nfilter = { more = [3], at = \"{token}\" }",
            json!({ "filter": { "by": "stamp", "more": [3], "at": "t7" } }),
        );
        check(below, "filter = { by = \"\", more = \"\" }", json!({ "limit": 3, "filter": {} }));
        check(
            below,
            "paging = { after = \"{token}\", before = \"\" }",
            json!({ "limit": 3, "filter": { "by": "stamp", "more": [1, 2] }, "paging": { "after": "t7" } }),
        );
        check("filter = \"all\"", "filter = { by = \"stamp\", at = \"\" }", json!({ "filter": { "by": "stamp" } }));
        check(below, "filter = \"all\"\nother = \"\"", json!({ "limit": 3, "filter": "all" }));
    }
}
