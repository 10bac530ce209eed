//! What was written, and where: a tree of values that each know their file, line, column and dotted key.
//!
//! Knows TOML's grammar and nothing of what the keys mean. No `Debug`: a node may hold a secret.

use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use crate::errors::{Findings, Origin, Place};

#[derive(Clone)]
pub(crate) struct Node {
    /// Where the value stands.
    pub(crate) at: Place,
    pub(crate) value: Value,
}

#[derive(Clone)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Decimal(f64),
    Bool(bool),
    Date,
    List(Vec<Node>),
    /// In the order written.
    Table(Vec<Entry>),
}

#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// Where the key stands.
    pub(crate) at: Place,
    pub(crate) node: Node,
}

/// A value that knows where it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) at: Place,
}

impl<T> Located<T> {
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Located<U> {
        Located { value: change(self.value), at: self.at }
    }
}

impl Value {
    /// The kind in words. Error texts say the kind and not the value, which could be a secret in the wrong place.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "a whole number",
            Self::Decimal(_) => "a decimal number",
            Self::Bool(_) => "true or false",
            Self::Date => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// The tree of a TOML text. `None` after syntax errors, all of which are findings.
pub(crate) fn parse(text: &str, file: &str, findings: &Findings) -> Option<Node> {
    let reader = Reader { text, file: file.into(), findings };
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Some(reader.table(table.get_ref(), reader.place(0, "")));
    }
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let at = reader.place(span.start, "");
        let message = error.message().trim_end_matches('.').replace('\n', ", ");
        if message == "duplicate key" {
            let key = text.get(span).unwrap_or_default();
            findings.add(&at, format!("The key `{key}` is written twice in this table."), "Keep one; nothing else was checked.");
        } else {
            findings.add(&at, format!("This is not TOML: {message}."), "Correct the line; nothing else was checked.");
        }
    }
    None
}

struct Reader<'a> {
    text: &'a str,
    file: Arc<str>,
    findings: &'a Findings,
}

impl Reader<'_> {
    fn table(&self, table: &DeTable<'_>, at: Place) -> Node {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let entries = entries.into_iter().map(|(key, value)| {
            let name = key.get_ref().to_string();
            let path = at.child(&name).key;
            let node = self.value(value.get_ref(), self.place(value.span().start, &path));
            Entry { at: self.place(key.span().start, &path), name, node }
        });
        Node { value: Value::Table(entries.collect()), at }
    }

    fn value(&self, value: &DeValue<'_>, at: Place) -> Node {
        let value = match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(digits) => {
                Value::Integer(i64::from_str_radix(digits.as_str(), digits.radix()).unwrap_or_else(|_| {
                    self.findings.add(&at, "The number is too large.", "Write a smaller one.");
                    0
                }))
            }
            DeValue::Float(digits) => Value::Decimal(digits.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(yes) => Value::Bool(*yes),
            DeValue::Datetime(_) => Value::Date,
            DeValue::Array(items) => {
                Value::List(items.iter().enumerate().map(|(index, item)| self.item(index, item, &at)).collect())
            }
            DeValue::Table(table) => return self.table(table, at),
        };
        Node { at, value }
    }

    /// An item of a list is called by its `object`, as people call a stream, else by its number from 0.
    fn item(&self, index: usize, item: &toml::Spanned<DeValue<'_>>, list: &Place) -> Node {
        let object = item.get_ref().get("object").and_then(|object| object.get_ref().as_str());
        let label = object.map_or_else(|| index.to_string(), str::to_owned);
        self.value(item.get_ref(), self.place(item.span().start, &format!("{}[{label}]", list.key)))
    }

    fn place(&self, offset: usize, key: &str) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        Place { origin: Origin::File { name: Arc::clone(&self.file), position: Some((line, column)) }, key: key.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(node: &Node) -> Vec<String> {
        let nested: Vec<&Node> = match &node.value {
            Value::Table(entries) => entries.iter().map(|entry| &entry.node).collect(),
            Value::List(items) => items.iter().collect(),
            _ => return vec![node.at.to_string()],
        };
        nested.into_iter().flat_map(places).collect()
    }

    #[test]
    fn every_value_knows_its_line_column_and_dotted_key_in_the_order_written() {
        let text = "z = 1\n[b.c]\n'ä'.x = 'é'\n[[b.list]]\nobject = 'deals'\nmap = { q = 1, a = 2 }\n[[b.list]]\n";
        let node = parse(text, "t.toml", &Findings::default()).unwrap();
        assert_eq!(
            places(&node),
            [
                "t.toml:1:5: z",
                "t.toml:3:9: b.c.\"ä\".x",
                "t.toml:5:10: b.list[deals].object",
                "t.toml:6:13: b.list[deals].map.q",
                "t.toml:6:20: b.list[deals].map.a",
            ]
        );
    }

    #[test]
    fn all_syntax_errors_are_reported_and_no_line_of_the_file_is_quoted() {
        let findings = Findings::default();
        assert!(parse("[a]\ntoken = pat-na1-secret\nb = \n", "t.toml", &findings).is_none());
        let errors = findings.settle(None::<()>).unwrap_err().to_string();
        assert!(errors.contains("t.toml:2:") && errors.contains("t.toml:3:"), "{errors}");
        assert!(!errors.contains("secret"), "{errors}");
    }
}
