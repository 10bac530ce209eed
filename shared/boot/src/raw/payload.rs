//! The template of a one-way stream's body: which names carry which fields, constants and facts of the delivery.

use tidemark_core::hook::{PLACEHOLDERS, Part};

use crate::errors::Findings;
use crate::node::{Entry, Located, Node, Value};

/// A template and where its placeholders stand.
#[derive(Debug, Clone)]
pub(crate) struct RawPayload {
    pub(crate) whole: Part,
    /// Fields that are named, each where it is.
    pub(crate) fields: Vec<Located<String>>,
    /// The names at its top.
    pub(crate) names: Vec<Located<String>>,
    /// What at its top is a list or a table.
    pub(crate) nested: Vec<Located<String>>,
}

pub(super) fn payload(node: Node, findings: &Findings) -> Option<RawPayload> {
    let Value::Table(entries) = node.value else {
        let problem = format!("The payload is a table; this is {}.", node.value.kind());
        findings.add(&node.at, problem, "Write payload = { kind = \"$event\", number = \"$field.number\" }, or leave it out.");
        return None;
    };
    let named = |entry: &Entry| Located { value: entry.name.clone(), at: entry.at.clone() };
    let names: Vec<_> = entries.iter().map(named).collect();
    let is_nested = |entry: &&Entry| matches!(&entry.node.value, Value::List(_) | Value::Table(_)) || is_table(&entry.node.value);
    let nested = entries.iter().filter(is_nested).map(named).collect();
    let mut fields = Vec::new();
    let whole = table(entries, &mut fields, findings);
    Some(RawPayload { whole, fields, names, nested })
}

fn is_table(value: &Value) -> bool {
    matches!(value, Value::Text(text) if text == "$fields")
}

fn table(entries: Vec<Entry>, fields: &mut Vec<Located<String>>, findings: &Findings) -> Part {
    let part = |entry: Entry| Some((entry.name, part(entry.node, fields, findings)?));
    Part::Table(entries.into_iter().filter_map(part).collect())
}

fn part(node: Node, fields: &mut Vec<Located<String>>, findings: &Findings) -> Option<Part> {
    Some(match node.value {
        Value::Text(text) => {
            let part = Part::of_text(&text);
            if let Some(Part::Field(name) | Part::Json(name)) = &part {
                fields.push(Located { value: name.clone(), at: node.at.clone() });
            }
            if part.is_none() {
                findings.add(&node.at, format!("\"{text}\" is no placeholder."), format!("Known are {PLACEHOLDERS}."));
            }
            part?
        }
        Value::Integer(number) => Part::Constant(number.into()),
        Value::Decimal(number) => Part::Constant(number.into()),
        Value::Bool(yes) => Part::Constant(yes.into()),
        Value::Date => {
            findings.add(&node.at, "JSON knows no dates.", "Write it as a text, in quotes.");
            return None;
        }
        Value::List(items) => Part::List(items.into_iter().filter_map(|item| part(item, fields, findings)).collect()),
        Value::Table(entries) => table(entries, fields, findings),
    })
}
