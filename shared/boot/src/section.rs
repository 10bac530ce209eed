//! Reads a table key by key, each as the kind and within the bounds it must have; what nobody asked for is an unknown key.
//!
//! Every `None` given for a key that had to be there has left a finding behind.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::errors::{Findings, Origin, Place, listed, nearest};
use crate::node::{Entry, Located, Node, Value};

pub(crate) struct Section<'f> {
    pub(crate) at: Place,
    pub(crate) findings: &'f Findings,
    entries: Vec<Entry>,
    asked: Vec<&'static str>,
}

impl<'f> Section<'f> {
    pub(crate) fn open(node: Node, findings: &'f Findings) -> Option<Self> {
        let at = node.at.clone();
        let entries = entries(node, findings)?;
        Some(Self { at, findings, entries, asked: Vec::new() })
    }

    pub(crate) fn take(&mut self, name: &'static str) -> Option<Node> {
        self.asked.push(name);
        let index = self.entries.iter().position(|entry| entry.name == name)?;
        Some(self.entries.remove(index).node)
    }

    pub(crate) fn require(&mut self, name: &'static str, remedy: &str) -> Option<Node> {
        let node = self.take(name);
        if node.is_none() {
            self.findings.add_missing(&self.at, name, remedy);
        }
        node
    }

    /// A key that the embedded defaults give a value.
    fn defaulted(&mut self, name: &'static str) -> Option<Node> {
        self.require(name, "Give it a value; the embedded defaults have none.")
    }

    pub(crate) fn section(&mut self, name: &'static str) -> Option<Section<'f>> {
        let findings = self.findings;
        self.defaulted(name).and_then(|node| Section::open(node, findings))
    }

    pub(crate) fn text(&mut self, name: &'static str) -> Option<Located<String>> {
        self.defaulted(name).and_then(|node| text(node, self.findings))
    }

    pub(crate) fn optional_text(&mut self, name: &'static str) -> Option<Located<String>> {
        self.take(name).and_then(|node| text(node, self.findings))
    }

    pub(crate) fn required_text(&mut self, name: &'static str, remedy: &str) -> Option<Located<String>> {
        self.require(name, remedy).and_then(|node| text(node, self.findings))
    }

    pub(crate) fn choice<T: Copy>(&mut self, name: &'static str, options: &[(&str, T)]) -> Option<Located<T>> {
        self.defaulted(name).and_then(|node| choice(node, options, self.findings))
    }

    pub(crate) fn duration(&mut self, name: &'static str, bounds: RangeInclusive<Duration>) -> Option<Located<Duration>> {
        self.defaulted(name).and_then(|node| duration(node, &bounds, self.findings))
    }

    /// A duration, or "never".
    pub(crate) fn duration_or_never(
        &mut self,
        name: &'static str,
        bounds: RangeInclusive<Duration>,
    ) -> Option<Located<Option<Duration>>> {
        let node = self.defaulted(name)?;
        if matches!(&node.value, Value::Text(word) if word == "never") {
            return Some(Located { value: None, at: node.at });
        }
        duration(node, &bounds, self.findings).map(|found| Located { value: Some(found.value), at: found.at })
    }

    /// A share from 0 to 1, in thousandths.
    pub(crate) fn permille(&mut self, name: &'static str, bounds: RangeInclusive<f64>) -> Option<Located<u16>> {
        let Located { value, at } = self.decimal(name)?;
        if !bounds.contains(&value) {
            let remedy = format!("Write a share from {} to {}.", bounds.start(), bounds.end());
            self.findings.add(&at, format!("{value} is out of bounds."), remedy);
            return None;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 and 1")]
        let value = (value * 1_000.0).round() as u16;
        Some(Located { value, at })
    }

    pub(crate) fn integer<T: TryFrom<i64> + Display + Copy>(
        &mut self,
        name: &'static str,
        bounds: RangeInclusive<T>,
    ) -> Option<Located<T>>
    where
        i64: TryFrom<T>,
    {
        self.defaulted(name).and_then(|node| integer(node, &bounds, self.findings))
    }

    pub(crate) fn decimal(&mut self, name: &'static str) -> Option<Located<f64>> {
        self.defaulted(name).and_then(|node| decimal(node, self.findings))
    }

    /// Reports what nobody asked for.
    pub(crate) fn close(self) {
        for entry in &self.entries {
            let remedy = match nearest(&entry.name, self.asked.iter().copied()) {
                Some(known) => format!("Did you mean `{known}`?"),
                None => format!("Known here: {}.", listed(self.asked.iter().copied())),
            };
            self.findings.add(&entry.at, format!("There is no key `{}` here.", entry.name), remedy);
        }
    }
}

/// The entries of a table whose keys the user chose.
pub(crate) fn entries(node: Node, findings: &Findings) -> Option<Vec<Entry>> {
    let remedy = match &node.at.origin {
        Origin::Variable(name) => format!("Set a key in it: {name}__KEY."),
        Origin::File { .. } => "Write { key = … } or a [table] of its own.".to_owned(),
    };
    match node.value {
        Value::Table(entries) => Some(entries),
        other => wrong_kind(&node.at, &other, "a table", &remedy, findings),
    }
}

pub(crate) fn items(node: Node, remedy: &str, findings: &Findings) -> Option<Vec<Node>> {
    match node.value {
        Value::List(items) => Some(items),
        other => wrong_kind(&node.at, &other, "a list", remedy, findings),
    }
}

pub(crate) fn text(node: Node, findings: &Findings) -> Option<Located<String>> {
    match node.value {
        Value::Text(text) if text.trim().is_empty() => {
            findings.add(&node.at, "The text is empty.", "Write something between the quotes.");
            None
        }
        Value::Text(value) => Some(Located { value, at: node.at }),
        other => wrong_kind(&node.at, &other, "a text", "Put it in quotes.", findings),
    }
}

/// Text, or a number or truth value as it would be written.
pub(crate) fn scalar(node: Node, findings: &Findings) -> Option<Located<String>> {
    let value = match node.value {
        Value::Integer(number) => Value::Text(number.to_string()),
        Value::Bool(yes) => Value::Text(yes.to_string()),
        other => other,
    };
    text(Node { at: node.at, value }, findings)
}

pub(crate) fn choice<T: Copy>(node: Node, options: &[(&str, T)], findings: &Findings) -> Option<Located<T>> {
    let Located { value: word, at } = text(node, findings)?;
    let found = options.iter().find(|(name, _)| *name == word);
    if found.is_none() {
        let names = options.iter().map(|(name, _)| *name);
        let remedy = match nearest(&word, names.clone()) {
            Some(known) => format!("Did you mean \"{known}\"?"),
            None => format!("Write one of {}.", names.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")),
        };
        findings.add(&at, format!("\"{word}\" is not one of the choices."), remedy);
    }
    found.map(|(_, value)| Located { value: *value, at })
}

pub(crate) fn duration(node: Node, bounds: &RangeInclusive<Duration>, findings: &Findings) -> Option<Located<Duration>> {
    let range = format!("Write a duration from {} to {}.", in_words(*bounds.start()), in_words(*bounds.end()));
    if !matches!(node.value, Value::Text(_)) {
        return wrong_kind(&node.at, &node.value, "a duration in quotes, such as \"30s\"", &range, findings);
    }
    let Located { value: words, at } = text(node, findings)?;
    match humantime::parse_duration(&words) {
        Ok(value) if bounds.contains(&value) => return Some(Located { value, at }),
        Ok(_) => findings.add(&at, format!("\"{words}\" is out of bounds."), range),
        Err(_) => findings.add(
            &at,
            format!("\"{words}\" is not a duration."),
            "Write a number and a unit, such as \"500ms\", \"30s\" or \"5m\".",
        ),
    }
    None
}

pub(crate) fn integer<T: TryFrom<i64> + Display + Copy>(
    node: Node,
    bounds: &RangeInclusive<T>,
    findings: &Findings,
) -> Option<Located<T>>
where
    i64: TryFrom<T>,
{
    let range = format!("Write a whole number from {} to {}.", bounds.start(), bounds.end());
    let number = match &node.value {
        Value::Integer(number) => Some(*number),
        Value::Text(digits) if node.at.is_variable() => digits.parse().ok(),
        _ => None,
    };
    let Some(number) = number else { return wrong_kind(&node.at, &node.value, "a whole number", &range, findings) };
    let (least, most) = (i64::try_from(*bounds.start()).ok(), i64::try_from(*bounds.end()).ok());
    let within = least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most);
    match T::try_from(number) {
        Ok(value) if within => Some(Located { value, at: node.at }),
        _ => {
            findings.add(&node.at, format!("{number} is out of bounds."), range);
            None
        }
    }
}

pub(crate) fn decimal(node: Node, findings: &Findings) -> Option<Located<f64>> {
    let number = match &node.value {
        #[expect(clippy::cast_precision_loss, reason = "rates are small numbers")]
        Value::Integer(number) => Some(*number as f64),
        Value::Decimal(number) => Some(*number),
        Value::Text(digits) if node.at.is_variable() => digits.parse().ok(),
        _ => None,
    };
    match number.filter(|number| number.is_finite()) {
        Some(value) => Some(Located { value, at: node.at }),
        None => wrong_kind(&node.at, &node.value, "a number", "Write a number such as 8 or 0.5, without quotes.", findings),
    }
}

/// A duration as the file would write it.
pub(crate) fn in_words(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn wrong_kind<T>(at: &Place, found: &Value, wanted: &str, remedy: &str, findings: &Findings) -> Option<T> {
    let problem = match at.is_variable() {
        // A variable is always a text.
        true => format!("This must be {wanted}."),
        false => format!("This must be {wanted}; it is {}.", found.kind()),
    };
    findings.add(at, problem, remedy);
    None
}
