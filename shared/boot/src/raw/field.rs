//! One line of a stream's `fields` as the file shapes it: `property = "column"` or `property = { column = …, … }`.

use tidemark_core::spec::{Blanks, Check, Fallback, Lineage, Owner};
use tidemark_core::transform::Transform;

use super::stream::{BLANKS, FieldDefaults, LINEAGE, fallback, owner};
use crate::errors::Findings;
use crate::node::{Entry, Located, Node, Value};
use crate::section::{self, Section};

const TRANSFORMS: [&str; 5] = ["text", "integer", "decimal_of_cents", "bool", "date"];

const CHECKS: [(&str, Check); 2] = [("email", Check::Email), ("phone", Check::Phone)];

pub(crate) struct RawField {
    pub(crate) property: Located<String>,
    pub(crate) column: Option<Located<String>>,
    /// Its own, or the stream's, or the default of the stream's direction.
    pub(crate) owner: Option<Located<Owner>>,
    /// Its own; else the stream's counts.
    pub(crate) fallback: Option<Located<Fallback>>,
    pub(crate) blanks: Option<Blanks>,
    pub(crate) lineage: Option<Lineage>,
    /// `as`.
    pub(crate) form: Option<Located<Transform>>,
    /// Row text and record text, in the order written.
    pub(crate) map: Option<Located<Vec<(String, String)>>>,
    pub(crate) check: Option<Located<Check>>,
    pub(crate) references: Option<Located<String>>,
}

impl RawField {
    pub(super) fn read(entry: Entry, defaults: &FieldDefaults, findings: &Findings) -> Option<Self> {
        let property = Located { value: entry.name, at: entry.at };
        if property.value.trim().is_empty() {
            findings.add(&property.at, "A property has no name.", "Write property = \"column\".");
            return None;
        }
        let plain = Self {
            property,
            column: None,
            owner: defaults.owner.clone(),
            fallback: None,
            blanks: defaults.blanks,
            lineage: defaults.lineage,
            form: None,
            map: None,
            check: None,
            references: None,
        };
        match &entry.node.value {
            Value::Text(_) => Some(Self { column: section::text(entry.node, findings), ..plain }),
            Value::Table(_) => {
                let mut section = Section::open(entry.node, findings)?;
                let column = section.required_text("column", "Name the column of the table.");
                let own_owner = section.take("owner").map(|node| owner(node, findings));
                let own_fallback = section.take("fallback").and_then(|node| fallback(node, findings));
                let own_blanks = section.take("blanks").map(|node| section::choice(node, &BLANKS, findings));
                let own_lineage = section.take("lineage").map(|node| section::choice(node, &LINEAGE, findings));
                let field = Self {
                    column,
                    owner: own_owner.unwrap_or(plain.owner),
                    fallback: own_fallback,
                    blanks: own_blanks.map_or(plain.blanks, |own| own.map(|own| own.value)),
                    lineage: own_lineage.map_or(plain.lineage, |own| own.map(|own| own.value)),
                    form: section.take("as").and_then(|node| form(node, findings)),
                    map: section.take("map").and_then(|node| pairs(node, findings)),
                    check: section.take("check").and_then(|node| section::choice(node, &CHECKS, findings)),
                    references: section.optional_text("references"),
                    ..plain
                };
                section.close();
                Some(field)
            }
            other => {
                let problem = format!("A field is a column's name in quotes or a table; this is {}.", other.kind());
                findings.add(&entry.node.at, problem, "Write property = \"column\" or property = { column = \"column\", … }.");
                None
            }
        }
    }
}

fn form(node: Node, findings: &Findings) -> Option<Located<Transform>> {
    let numbered: Vec<(&str, usize)> = TRANSFORMS.iter().copied().zip(0..).collect();
    let chosen = section::choice(node, &numbered, findings)?;
    Some(chosen.map(|number| match TRANSFORMS[number] {
        "integer" => Transform::Integer,
        "decimal_of_cents" => Transform::DecimalOfCents,
        "bool" => Transform::Bool,
        "date" => Transform::Date,
        _ => Transform::Text,
    }))
}

fn pairs(node: Node, findings: &Findings) -> Option<Located<Vec<(String, String)>>> {
    let at = node.at.clone();
    let mut pairs = Vec::new();
    for entry in section::entries(node, findings)? {
        if entry.name.is_empty() {
            findings.add(&entry.at, "A blank is never mapped: it stays a blank.", "Take the pair out; see `blanks`.");
        } else if let Some(record) = section::scalar(entry.node, findings) {
            pairs.push((entry.name, record.value));
        }
    }
    if pairs.is_empty() {
        findings.add(&at, "The map has no pair.", "Write map = { row_text = \"record text\" }, or take it out.");
    }
    Some(Located { value: pairs, at })
}
