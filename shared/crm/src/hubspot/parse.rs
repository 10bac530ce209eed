//! Decides how a page of HubSpot's JSON becomes records: in one pass, values put straight into their places, properties
//! nobody asked for skipped. Never decides whether the page is to be believed.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use tidemark_core::record::{Record, RemoteId, Value};

use super::stamp::{Scalar, Stamp, parse_stamp};
use crate::description::Object;

/// The properties to ask for, and where each of them goes.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Sorted by name: HubSpot answers in that order, so the next key is nearly always the next name.
    names: Vec<Name>,
    places: usize,
}

#[derive(Debug)]
struct Name {
    text: String,
    places: Vec<usize>,
    is_external_key: bool,
    is_modified: bool,
    is_merged: bool,
}

impl Wanted {
    pub(super) fn new(properties: &[Option<String>], external_key: Option<&str>, object: &Object) -> Self {
        let (modified, merged) = (object.modified.as_str(), object.merged.as_deref());
        let mut all: Vec<&str> = properties.iter().flatten().map(String::as_str).collect();
        all.extend(external_key);
        all.push(modified);
        all.extend(merged);
        all.sort_unstable();
        all.dedup();
        let name = |text: &str| Name {
            text: text.to_owned(),
            places: (0..properties.len()).filter(|at| properties[*at].as_deref() == Some(text)).collect(),
            is_external_key: external_key == Some(text),
            is_modified: modified == text,
            is_merged: merged == Some(text),
        };
        Self { names: all.into_iter().map(name).collect(), places: properties.len() }
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.names.iter().map(|name| name.text.as_str()).collect()
    }

    fn find(&self, key: &str, next: usize) -> Option<usize> {
        if self.names.get(next).is_some_and(|name| name.text == key) {
            return Some(next);
        }
        self.names.binary_search_by(|name| name.text.as_str().cmp(key)).ok()
    }
}

/// What an answer with records holds.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) records: Vec<Record>,
    /// What the search index counted, on searches only.
    pub(super) total: Option<u64>,
    /// `paging.next` is present.
    pub(super) more: bool,
    /// Entries of a 207, for the error table.
    pub(super) errors: Vec<serde_json::Value>,
}

/// Fails on anything that is not one JSON object with `results`: an answer without them must not look like an empty page.
pub(super) fn parse(text: &str, wanted: &Wanted) -> Result<Parsed, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    let parsed = PageSeed(wanted).deserialize(&mut json)?;
    json.end()?;
    Ok(parsed)
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum PageKey {
    Results,
    Total,
    Paging,
    Errors,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Paging {
    next: Option<IgnoredAny>,
}

struct PageSeed<'w>(&'w Wanted);

impl<'de> DeserializeSeed<'de> for PageSeed<'_> {
    type Value = Parsed;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Parsed, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PageSeed<'_> {
    type Value = Parsed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer with results")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parsed, A::Error> {
        let (mut records, mut total, mut more, mut errors) = (None, None, false, Vec::new());
        while let Some(key) = map.next_key()? {
            match key {
                PageKey::Results => records = Some(map.next_value_seed(ResultsSeed(self.0))?),
                PageKey::Total => total = map.next_value()?,
                PageKey::Paging => more = map.next_value::<Option<Paging>>()?.is_some_and(|paging| paging.next.is_some()),
                PageKey::Errors => errors = map.next_value::<Option<_>>()?.unwrap_or_default(),
                PageKey::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let records = records.ok_or_else(|| A::Error::missing_field("results"))?;
        Ok(Parsed { records, total, more, errors })
    }
}

struct ResultsSeed<'w>(&'w Wanted);

impl<'de> DeserializeSeed<'de> for ResultsSeed<'_> {
    type Value = Vec<Record>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Record>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ResultsSeed<'_> {
    type Value = Vec<Record>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Record>, A::Error> {
        let mut records = Vec::with_capacity(seq.size_hint().unwrap_or(200));
        while let Some(record) = seq.next_element_seed(RecordSeed(self.0))? {
            records.push(record);
        }
        Ok(records)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum RecordKey {
    Id,
    Properties,
    UpdatedAt,
    Archived,
    #[serde(other)]
    Other,
}

struct RecordSeed<'w>(&'w Wanted);

impl<'de> DeserializeSeed<'de> for RecordSeed<'_> {
    type Value = Record;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Record, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RecordSeed<'_> {
    type Value = Record;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record with an id")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
        let mut record = Record {
            id: RemoteId(String::new()),
            modified: None,
            archived: false,
            external_key: None,
            absorbed: Vec::new(),
            version: None,
            left_out: Vec::new(),
            values: vec![None; self.0.places],
        };
        let mut updated_at = Stamp::default();
        while let Some(key) = map.next_key()? {
            match key {
                RecordKey::Id => record.id = RemoteId(map.next_value::<Scalar>()?.0.unwrap_or_default()),
                RecordKey::Properties => map.next_value_seed(PropertiesSeed { wanted: self.0, record: &mut record })?,
                RecordKey::UpdatedAt => updated_at = map.next_value()?,
                RecordKey::Archived => record.archived = map.next_value::<Option<bool>>()?.unwrap_or_default(),
                RecordKey::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if record.id.as_str().is_empty() {
            return Err(A::Error::missing_field("id"));
        }
        record.modified = record.modified.or(updated_at.0);
        Ok(record)
    }
}

struct PropertiesSeed<'w, 'r> {
    wanted: &'w Wanted,
    record: &'r mut Record,
}

impl<'de> DeserializeSeed<'de> for PropertiesSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PropertiesSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record's properties")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut next = 0;
        while let Some(found) = map.next_key_seed(NameSeed { wanted: self.wanted, next })? {
            let Some(at) = found else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            next = at + 1;
            let Scalar(value) = map.next_value()?;
            put(&self.wanted.names[at], value, self.record);
        }
        Ok(())
    }
}

fn put(name: &Name, value: Value, record: &mut Record) {
    if name.is_modified {
        record.modified = value.as_deref().and_then(parse_stamp);
    }
    if name.is_external_key {
        record.external_key.clone_from(&value);
    }
    if let Some(ids) = value.as_deref().filter(|_| name.is_merged) {
        let ids = ids.split(';').map(str::trim).filter(|id| !id.is_empty());
        record.absorbed = ids.map(RemoteId::new).collect();
    }
    let Some((last, others)) = name.places.split_last() else {
        return;
    };
    for at in others {
        record.values[*at].clone_from(&value);
    }
    record.values[*last] = value;
}

/// Finds a key's name without copying the key.
struct NameSeed<'w> {
    wanted: &'w Wanted,
    next: usize,
}

impl<'de> DeserializeSeed<'de> for NameSeed<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a property's name")
    }

    fn visit_str<E>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(self.wanted.find(key, self.next))
    }
}
