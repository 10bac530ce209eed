//! What was written, and on which line: a tree of TOML values, and a reader of one table that reports what it does not know. Knows nothing of what keys mean.

use toml::de::{DeTable, DeValue};

use super::findings::{At, Findings};

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Decimal(f64),
    Bool(bool),
    Date,
    List(Vec<Node>),
    /// In the order written.
    Table(Vec<(String, Node)>),
}

impl Value {
    fn kind(&self) -> &'static str {
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

/// The tree of a TOML text; `None` after a syntax error, which is a finding.
pub(super) fn parse(text: &str, findings: &Findings) -> Option<Node> {
    let root = At { line: 1, place: String::new() };
    match DeTable::parse(text) {
        Ok(table) => Some(table_node(text, table.get_ref(), root)),
        Err(error) => {
            let line = line_of(text, error.span().map_or(0, |span| span.start));
            let message = error.message().trim_end_matches('.').replace('\n', ", ");
            findings.add(
                &At { line, ..root },
                format!("this is not TOML: {message}."),
                "Correct the line; nothing else was checked.",
            );
            None
        }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

fn table_node(text: &str, table: &DeTable<'_>, at: At) -> Node {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let entry = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
        let name: String = <_ as AsRef<str>>::as_ref(key.get_ref()).to_owned();
        let child = at.child(line_of(text, key.span().start), &name);
        (name, value_node(text, value.get_ref(), child))
    };
    let entries = entries.into_iter().map(entry).collect();
    Node { value: Value::Table(entries), at }
}

fn value_node(text: &str, value: &DeValue<'_>, at: At) -> Node {
    let value = match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix()).map_or(Value::Date, Value::Integer),
        DeValue::Float(digits) => Value::Decimal(digits.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(yes) => Value::Bool(*yes),
        DeValue::Datetime(_) => Value::Date,
        DeValue::Array(items) => {
            let item = |(index, item): (usize, &toml::Spanned<DeValue<'_>>)| {
                let line = line_of(text, item.span().start);
                value_node(text, item.get_ref(), At { line, place: format!("{}[{index}]", at.place) })
            };
            Value::List(items.iter().enumerate().map(item).collect())
        }
        DeValue::Table(table) => return table_node(text, table, at),
    };
    Node { at, value }
}

impl Node {
    pub(super) fn text(&self, findings: &Findings) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            other => self.unfit(other, "a text", "\"…\"", findings),
        }
    }

    pub(super) fn list(&self, findings: &Findings) -> Option<&[Node]> {
        match &self.value {
            Value::List(items) => Some(items),
            other => self.unfit(other, "a list", "[…]", findings),
        }
    }

    pub(super) fn entries(&self, findings: &Findings) -> Option<&[(String, Node)]> {
        match &self.value {
            Value::Table(entries) => Some(entries),
            other => self.unfit(other, "a table", "{ … }", findings),
        }
    }

    /// The same table, with what it does not say itself.
    pub(super) fn completed_by(&self, usual: Option<&Self>) -> Self {
        let mut whole = self.clone();
        if let (Value::Table(own), Some(Self { value: Value::Table(usual), .. })) = (&mut whole.value, usual) {
            let missing: Vec<_> = usual.iter().filter(|(name, _)| !own.iter().any(|(known, _)| known == name)).cloned().collect();
            own.extend(missing);
        }
        whole
    }

    /// One text, or a list of them.
    pub(super) fn texts<'n>(&'n self, findings: &Findings) -> Vec<&'n str> {
        match &self.value {
            Value::List(items) => items.iter().filter_map(|item| item.text(findings)).collect(),
            _ => self.text(findings).into_iter().collect(),
        }
    }

    pub(super) fn unfit<T>(&self, found: &Value, wanted: &str, sample: &str, findings: &Findings) -> Option<T> {
        findings.add(&self.at, format!("this is {}, and {wanted} belongs here.", found.kind()), format!("Write {sample}."));
        None
    }

    /// The same as JSON, for parts of the file that are read by serde.
    pub(super) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Text(text) => text.as_str().into(),
            Value::Integer(number) => (*number).into(),
            Value::Decimal(number) => (*number).into(),
            Value::Bool(yes) => (*yes).into(),
            Value::Date => serde_json::Value::Null,
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Table(entries) => entries.iter().map(|(name, node)| (name.clone(), node.to_json())).collect(),
        }
    }
}

/// One key of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// From 1.
    pub line: usize,
    /// The dotted key.
    pub place: String,
    /// What stands there, where it is a text.
    pub text: Option<String>,
}

/// What a file says there; `None` where it says nothing.
pub fn said(text: &str, keys: &[&str]) -> Option<Said> {
    let root = parse(text, &Findings::default())?;
    let found = keys.iter().try_fold(&root, |node, key| match &node.value {
        Value::Table(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, node)| node),
        _ => None,
    })?;
    let text = match &found.value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    };
    Some(Said { line: found.at.line, place: found.at.place.clone(), text })
}

impl Node {
    /// Reports what `tidemark connector new` left for a person to write.
    pub(super) fn blanks(&self, findings: &Findings) {
        let blank = |text: &str, at: &At| {
            if let Some(start) = text.find(BLANK) {
                let name: String =
                    text[start..].chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '-').collect();
                findings.add(at, format!("{name} is not filled in."), "Write what the comment above it asks for.");
            }
        };
        match &self.value {
            Value::Text(text) => blank(text, &self.at),
            Value::List(items) => items.iter().for_each(|item| item.blanks(findings)),
            Value::Table(entries) => {
                for (name, node) in entries {
                    blank(name, &node.at);
                    node.blanks(findings);
                }
            }
            Value::Integer(_) | Value::Decimal(_) | Value::Bool(_) | Value::Date => {}
        }
    }
}

/// Begins what a person has to write.
pub const BLANK: &str = "FILL-";

/// Reads one table key by key; what nobody asked for is reported at the end.
pub(super) struct Fields<'n> {
    pub(super) at: &'n At,
    entries: &'n [(String, Node)],
    known: Vec<&'static str>,
    findings: &'n Findings,
}

impl<'n> Fields<'n> {
    pub(super) fn of(node: &'n Node, findings: &'n Findings) -> Self {
        let entries = node.entries(findings).unwrap_or_default();
        Self { at: &node.at, entries, known: Vec::new(), findings }
    }

    pub(super) fn get(&mut self, key: &'static str) -> Option<&'n Node> {
        self.known.push(key);
        self.entries.iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    pub(super) fn need(&mut self, key: &'static str, remedy: &str) -> Option<&'n Node> {
        let found = self.get(key);
        if found.is_none() {
            self.findings.add(self.at, format!("`{key}` is missing."), remedy);
        }
        found
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<&'n str> {
        self.get(key)?.text(self.findings)
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let node = self.get(key)?;
        match &node.value {
            Value::Bool(yes) => Some(*yes),
            other => node.unfit(other, "true or false", "true or false", self.findings),
        }
    }

    /// A whole number within bounds.
    pub(super) fn number(&mut self, key: &'static str, least: u32, most: u32) -> Option<u32> {
        let node = self.get(key)?;
        let Value::Integer(number) = node.value else {
            return node.unfit(&node.value, "a whole number", &format!("a number from {least} to {most}"), self.findings);
        };
        let fits = u32::try_from(number).ok().filter(|number| (least..=most).contains(number));
        if fits.is_none() {
            let remedy = format!("Write a number from {least} to {most}.");
            self.findings.add(&node.at, format!("{number} is out of bounds."), remedy);
        }
        fits
    }

    /// One of a closed list.
    pub(super) fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let node = self.get(key)?;
        let text = node.text(self.findings)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.findings.add(&node.at, format!("`{text}` is not known here."), format!("Write one of {}.", known.join(", ")));
        }
        found
    }

    /// Reports the keys nobody asked for.
    pub(super) fn end(self) {
        for (name, node) in self.entries.iter().filter(|(name, _)| !self.known.contains(&name.as_str())) {
            let remedy = format!("Take it out, or write one of {}.", self.known.join(", "));
            self.findings.add(&node.at, format!("the key `{name}` is not known here."), remedy);
        }
    }
}
