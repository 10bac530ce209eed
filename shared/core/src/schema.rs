//! Decides whether an object still is what it was mapped as, by how the CRM describes its properties: one that is gone, or of another type, looks like a change of every record
//! and is none. Asks nobody.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::fit::PropertyKind;
use crate::property::Property;
use crate::record::{Record, is_blank};
use crate::spec::StreamSpec;

/// The mapped properties of an object and their types, as the CRM described them last. A property that it never described (a token may not see it) is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schema(BTreeMap<String, PropertyKind>);

/// What became of a mapped property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Removed, or renamed, or hidden from the token.
    Gone {
        property: String,
    },
    Retyped {
        property: String,
        from: PropertyKind,
        to: PropertyKind,
    },
}

impl Schema {
    /// What a stream's mapping rests on.
    pub fn of(spec: &StreamSpec, described: &[Property]) -> Self {
        let mapped = described.iter().filter(|property| is_mapped(spec, &property.name));
        Self(mapped.map(|property| (property.name.clone(), property.kind)).collect())
    }

    /// What changed since this was described, of what is mapped still. A description that holds nothing of what is mapped is none: a token lost its right, or an answer is
    /// not what it seems.
    pub fn changes(&self, spec: &StreamSpec, now: &Self) -> Vec<Change> {
        if now.0.is_empty() {
            return Vec::new();
        }
        let change = |(property, from): (&String, &PropertyKind)| match now.0.get(property) {
            None => Some(Change::Gone { property: property.clone() }),
            Some(to) if to != from => Some(Change::Retyped { property: property.clone(), from: *from, to: *to }),
            Some(_) => None,
        };
        self.0.iter().filter(|(property, _)| is_mapped(spec, property)).filter_map(change).collect()
    }

    /// Whether records that were read together are blank where the CRM described a property, all of them: so does one show that is gone.
    pub fn is_in_doubt(&self, spec: &StreamSpec, records: &[Record]) -> bool {
        blank_in_all(spec, records).any(|property| self.0.contains_key(property))
    }

    pub fn to_json(&self) -> String {
        // Text and words alone: nothing of it fails to serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// `None` where nothing was described yet, or what is stored cannot be read any more.
    pub fn from_json(text: Option<&str>) -> Option<Self> {
        serde_json::from_str(text?).ok()
    }
}

/// The mapped properties that none of these records fills, those that are archived left aside.
pub fn blank_in_all<'a>(spec: &'a StreamSpec, records: &'a [Record]) -> impl Iterator<Item = &'a str> {
    // Of one that is gone a CRM may tell no more than the id.
    let living = move || records.iter().filter(|record| !record.archived);
    let showing = move |at: usize| living().filter(move |record| record.shows(at));
    let blank = move |at: usize| showing(at).all(|record| is_blank(record.values.get(at).and_then(Option::as_deref)));
    let fields = spec.fields.iter().enumerate().filter(|(_, field)| field.references.is_none());
    fields.filter(move |(at, _)| showing(*at).next().is_some() && blank(*at)).map(|(_, field)| field.property.as_str())
}

fn is_mapped(spec: &StreamSpec, property: &str) -> bool {
    spec.field(property).is_some_and(|(_, field)| field.references.is_none()) || spec.external_key.as_deref() == Some(property)
}

/// Why a stream is paused, with the next step.
pub fn reason(spec: &StreamSpec, changes: &[Change]) -> String {
    let object = &spec.object;
    let told = changes.iter().map(|change| match change {
        Change::Gone { property } => format!("{property} is no property of {object} any more"),
        Change::Retyped { property, from, to } => {
            format!("{property} of {object} was {} and is {} now", kind(*from), kind(*to))
        }
    });
    let told = told.collect::<Vec<_>>().join("; ");
    let stream = &spec.name;
    format!(
        "{told}. Bring it back in the CRM, map it otherwise or leave it out; then `tidemark resume {stream}`, which takes it as it is"
    )
}

fn kind(kind: PropertyKind) -> &'static str {
    match kind {
        PropertyKind::Text => "a text",
        PropertyKind::Number => "a number",
        PropertyKind::Bool => "true or false",
        PropertyKind::Date => "a date",
        PropertyKind::Moment => "a time",
        PropertyKind::Choice => "a choice",
        PropertyKind::Other => "of another type",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::tests::spec;
    use crate::record::RemoteId;

    fn described(properties: &[(&str, PropertyKind)]) -> Schema {
        let property = |(name, kind): &(&str, PropertyKind)| Property {
            name: (*name).to_owned(),
            kind: *kind,
            options: Vec::new(),
            labels: Vec::new(),
            several: false,
            unique: false,
            read_only: false,
            required: false,
            chars_max: None,
        };
        Schema::of(&spec(), &properties.iter().map(property).collect::<Vec<_>>())
    }

    fn record(values: [Option<&str>; 3]) -> Record {
        Record {
            id: RemoteId::new("1"),
            modified: None,
            archived: false,
            external_key: None,
            absorbed: Vec::new(),
            version: None,
            left_out: Vec::new(),
            values: values.map(|value| value.map(str::to_owned)).to_vec(),
        }
    }

    #[test]
    fn what_is_mapped_and_gone_or_of_another_type_is_a_change_and_nothing_else_is() {
        use PropertyKind::{Number, Text};
        let before = described(&[("city", Text), ("phone", Text), ("unmapped", Text)]);
        assert_eq!(before.changes(&spec(), &before), []);
        assert_eq!(before.changes(&spec(), &described(&[("city", Text), ("phone", Text), ("firstname", Text)])), [], "a new one");
        let gone = Change::Gone { property: "phone".into() };
        assert_eq!(before.changes(&spec(), &described(&[("city", Text)])), [gone]);
        let retyped = Change::Retyped { property: "phone".into(), from: Text, to: Number };
        assert_eq!(before.changes(&spec(), &described(&[("city", Text), ("phone", Number)])), std::slice::from_ref(&retyped));
        assert_eq!(before.changes(&spec(), &described(&[("unmapped", Text)])), [], "an answer that holds nothing tells nothing");
        assert!(reason(&spec(), &[retyped]).contains("phone of contacts was a text and is a number now"));
    }

    #[test]
    fn only_what_was_described_and_is_blank_in_every_record_is_in_doubt() {
        let schema = described(&[("phone", PropertyKind::Text)]);
        let check = |records: &[Record], expect: bool| assert_eq!(schema.is_in_doubt(&spec(), records), expect, "{records:?}");
        check(&[record([Some("Rome"), None, None]), record([None, None, Some("1")])], false);
        check(&[record([Some("Rome"), None, None]), record([None, None, Some("")])], true);
        check(&[record([None, None, Some("1")])], false);
        check(&[], false);
    }

    #[test]
    fn what_is_stored_is_read_back() {
        let schema = described(&[("phone", PropertyKind::Choice)]);
        assert_eq!(Schema::from_json(Some(&schema.to_json())), Some(schema));
        assert_eq!((Schema::from_json(None), Schema::from_json(Some("[]"))), (None, None));
    }
}
