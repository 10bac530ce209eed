//! Decides whether a CRM would refuse what is about to be sent, by what it says of its own properties. Judged is what is certain alone: whatever it may take after all fits,
//! and then its own word counts. Asks nobody.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::fit::PropertyKind;
use crate::push::Sent;
use crate::record::is_blank;
use crate::spec::StreamSpec;

/// What a push is parked as that the CRM would refuse.
pub const CLASS: &str = "unfit";

/// Of a value so much is said again.
const SAID_CHARS: usize = 40;

/// One property of an object, as the CRM describes it and as is declared of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    pub name: String,
    pub kind: PropertyKind,
    /// Allowed values, also those that people are not offered; empty when any is allowed, or when they are kept elsewhere.
    pub options: Vec<String>,
    /// What people read for each of them.
    pub labels: Vec<String>,
    /// Several of the options at once, with `;` between them.
    pub several: bool,
    pub unique: bool,
    pub read_only: bool,
    /// No record is made without it.
    pub required: bool,
    /// A text of more characters is refused.
    pub chars_max: Option<u32>,
}

/// Why the CRM would refuse a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// The property and a digest of how it is described: the same for all rows that stop for the same reason, another once that is gone.
    pub code: String,
    pub cause: String,
    pub next_step: String,
}

/// What is described of everything that a push of the stream may send, or has to.
pub fn relevant(spec: &StreamSpec, described: Vec<Property>) -> Vec<Property> {
    let concerns = |property: &Property| property.required || column_of(spec, &property.name).is_some();
    described.into_iter().filter(concerns).collect()
}

/// What no record is made without, and nothing of the mapping gives: each new record would be refused.
pub fn never_given<'a>(spec: &'a StreamSpec, described: &'a [Property]) -> impl Iterator<Item = &'a Property> {
    let is_given = |name: &str| column_of(spec, name).is_some() || spec.external_key.as_deref() == Some(name);
    described.iter().filter(move |property| spec.direction.writes_records() && property.required && !is_given(&property.name))
}

/// The codes under which something is parked as long as the CRM describes itself like this.
pub fn codes(spec: &StreamSpec, described: &[Property]) -> Vec<String> {
    described.iter().map(|property| code(spec, property)).collect()
}

/// Why the CRM would refuse this, if that is certain. `creates`: a record is made by it.
pub fn unfit(spec: &StreamSpec, described: &[Property], row: &str, sent: &[Sent], creates: bool) -> Option<Unfit> {
    let known = |name: &str| described.iter().find(|property| property.name == name);
    let refused = sent.iter().find_map(|sent| {
        let field = spec.fields.get(sent.field)?;
        let property = known(&field.property)?;
        let (column, name) = (&field.column, &property.name);
        if property.read_only {
            let next_step = format!("take {name} out of the mapping, or map it in a stream that only reads; {AFTER}");
            return Some((property, format!("{name} is read-only in the CRM"), next_step));
        }
        let why = property.refuses(sent.record.as_deref()?)?;
        let remedy = match property.kind {
            PropertyKind::Choice => {
                format!("correct {column} of row {row}, map its value to an option, or add the option in the CRM")
            }
            _ => format!("correct {column} of row {row}, or say with `as` or `map` how it is written"),
        };
        Some((property, format!("{column}: {why}"), format!("{remedy}; {AFTER}")))
    });
    let missing = || {
        let given = |name: &str| {
            let filled = |sent: &Sent| {
                !is_blank(sent.record.as_deref()) && spec.fields.get(sent.field).is_some_and(|field| field.property == name)
            };
            spec.external_key.as_deref() == Some(name) || sent.iter().any(filled)
        };
        let property = described.iter().find(|property| property.required && !given(&property.name))?;
        let (object, name) = (&spec.object, &property.name);
        let (why, remedy) = match column_of(spec, name) {
            Some(column) => (format!("{column} is blank"), format!("fill {column} of row {row}")),
            None => ("nothing is mapped to it".to_owned(), format!("map a column to {name}")),
        };
        Some((property, format!("the CRM makes none of the {object} without {name}, and {why}"), format!("{remedy}; {AFTER}")))
    };
    let (property, cause, next_step) = refused.or_else(|| if creates { missing() } else { None })?;
    Some(Unfit { code: code(spec, property), cause, next_step })
}

const AFTER: &str = "it is sent by itself then";

/// The column that is sent as this property.
fn column_of<'a>(spec: &'a StreamSpec, property: &str) -> Option<&'a str> {
    spec.field(property).filter(|(_, field)| field.references.is_none()).map(|(_, field)| field.column.as_str())
}

/// All that a judgement rests on is in the digest: how the property is described, and how its values are made.
fn code(spec: &StreamSpec, property: &Property) -> String {
    #[derive(Serialize)]
    struct Grounds<'a> {
        kind: PropertyKind,
        options: Vec<&'a String>,
        labels: Vec<&'a String>,
        several: bool,
        read_only: bool,
        required: bool,
        chars_max: Option<u32>,
        made: Option<(&'a str, &'a crate::transform::Transform)>,
    }
    fn sorted(texts: &[String]) -> Vec<&String> {
        let mut texts: Vec<&String> = texts.iter().collect();
        texts.sort_unstable();
        texts
    }
    let grounds = Grounds {
        kind: property.kind,
        options: sorted(&property.options),
        labels: sorted(&property.labels),
        several: property.several,
        read_only: property.read_only,
        required: property.required,
        chars_max: property.chars_max,
        made: spec.field(&property.name).map(|(_, field)| (field.column.as_str(), &field.transform)),
    };
    // Only maps with keys that are not text fail to serialise, and there are none.
    let bytes = serde_json::to_vec(&grounds).unwrap_or_default();
    let digest: String = Sha256::digest(bytes).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{}:{digest}", property.name)
}

impl Property {
    /// Why it certainly takes no such value. A blank clears it.
    fn refuses(&self, value: &str) -> Option<String> {
        let text = value.trim();
        if text.is_empty() {
            return None;
        }
        let name = &self.name;
        let takes_nothing_else = |is_no: &str| Some(format!("{} {is_no}, and {name} takes nothing else", said(text)));
        match self.kind {
            PropertyKind::Number if is_surely_no_number(text) => takes_nothing_else("is no number"),
            PropertyKind::Date | PropertyKind::Moment if is_surely_no_time(text) => {
                takes_nothing_else("is no date such as 2026-03-01, nor a number of milliseconds")
            }
            PropertyKind::Bool if !self.knows(text) && !reads_as_bool(text) => takes_nothing_else("is neither true nor false"),
            PropertyKind::Choice if !self.options.is_empty() => {
                let mut chosen = text.split(|letter| self.several && letter == ';').map(str::trim);
                let stranger = chosen.find(|one| !one.is_empty() && !self.knows(one))?;
                Some(format!("{} is none of the {} options of {name}", said(stranger), self.options.len()))
            }
            // Whatever the vendor counts, letters, code units or bytes, there are no fewer of them.
            PropertyKind::Text => {
                let most = usize::try_from(self.chars_max?).ok().filter(|most| value.len() > *most)?;
                let chars = value.chars().count();
                (chars > most).then(|| format!("it has {chars} characters, and {name} takes {most}"))
            }
            PropertyKind::Number
            | PropertyKind::Date
            | PropertyKind::Moment
            | PropertyKind::Bool
            | PropertyKind::Choice
            | PropertyKind::Other => None,
        }
    }

    /// An option or what people read for it, in any letter case: what a CRM is strict about differs.
    fn knows(&self, text: &str) -> bool {
        let as_read = |lower: &str| self.options.iter().chain(&self.labels).any(|option| option.trim().to_lowercase() == lower);
        self.options.iter().any(|option| option == text) || as_read(&text.to_lowercase())
    }
}

/// No digit in it, or a letter that no way of writing numbers has: exponents, suffixes and hexadecimal digits are left to the CRM, and so are separators and signs.
fn is_surely_no_number(text: &str) -> bool {
    let lower = text.to_lowercase();
    let word = lower.trim_start_matches(['+', '-']);
    if matches!(word, "nan" | "inf" | "infinity") {
        return false;
    }
    !lower.contains(|letter: char| letter.is_numeric())
        || lower.contains(|letter: char| letter.is_alphabetic() && !matches!(letter, 'a'..='f' | 'x'))
}

/// Neither a count of milliseconds nor anything that begins with a year, as each form of ISO 8601 does.
fn is_surely_no_time(text: &str) -> bool {
    let digits = text.trim_start_matches(['+', '-']);
    let leading = digits.bytes().take_while(u8::is_ascii_digit).count();
    leading < 4 && leading < digits.len()
}

fn reads_as_bool(text: &str) -> bool {
    matches!(text.to_lowercase().as_str(), "true" | "false" | "t" | "f" | "yes" | "no" | "y" | "n" | "1" | "0" | "on" | "off")
}

fn said(text: &str) -> String {
    let mut letters = text.chars();
    let start: String = letters.by_ref().take(SAID_CHARS).collect();
    let more = if letters.next().is_some() { "…" } else { "" };
    format!("{:?}", format!("{start}{more}"))
}

#[cfg(test)]
#[path = "property_tests.rs"]
mod tests;
