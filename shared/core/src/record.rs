//! The two sides of one thing, as each side gave them: a record of the CRM, a row of the order database. Text or nothing, never interpreted here.

use serde::{Deserialize, Serialize};

use crate::Millis;
use crate::spec::StreamSpec;

/// A row's key as the order database writes it in text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RowKey(pub String);

/// A record's id as the CRM writes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RemoteId(pub String);

macro_rules! text_id {
    ($name:ident) => {
        impl $name {
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
text_id!(RowKey);
text_id!(RemoteId);

/// One value in one side's own text form; `None` is NULL, absent or cleared.
pub type Value = Option<String>;

/// A value that says nothing: absent, cleared, or empty.
pub fn is_blank(value: Option<&str>) -> bool {
    value.is_none_or(str::is_empty)
}

const UNLINKED: &str = "record ";

/// What a reference says while the record it refers to has no row: no row ever takes it.
pub fn unlinked(id: &RemoteId) -> String {
    format!("{UNLINKED}{id}")
}

/// The record that such a reference refers to.
pub fn as_unlinked(value: &str) -> Option<&str> {
    value.strip_prefix(UNLINKED)
}

/// A record as the CRM answered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub id: RemoteId,
    /// The CRM's modified stamp, if the answer carried one.
    pub modified: Option<Millis>,
    /// Hidden or deleted in the CRM, as far as this answer tells.
    pub archived: bool,
    /// The value of the stream's external key property, if asked for.
    pub external_key: Option<String>,
    /// Ids of records that were merged into this one, as far as this answer tells. Nothing answers under them any more, or this record does.
    pub absorbed: Vec<RemoteId>,
    /// What a write names to say that this is the version it means, where the CRM has such a thing.
    pub version: Option<String>,
    /// Aligned with `StreamSpec::fields`; a reference holds the other record's remote id, `None` until read.
    pub values: Vec<Value>,
    /// The places of `values` that this answer does not show at all: a list may show a part of each record, and only a read by id all of it.
    pub left_out: Vec<usize>,
}

impl Record {
    /// Whom a feed names as gone, and nothing more of them.
    pub fn gone(id: RemoteId, places: usize) -> Self {
        Self {
            id,
            modified: None,
            archived: true,
            external_key: None,
            absorbed: Vec::new(),
            version: None,
            values: vec![None; places],
            left_out: Vec::new(),
        }
    }

    /// Of the mapped values some are not known by this answer. Nothing is merged from it.
    pub fn is_part(&self) -> bool {
        !self.left_out.is_empty()
    }

    /// The value of this place is what the record holds.
    pub fn shows(&self, at: usize) -> bool {
        !self.left_out.contains(&at)
    }

    /// Its own id, and those of the records that were merged into it.
    pub fn ids(&self) -> impl Iterator<Item = &RemoteId> {
        std::iter::once(&self.id).chain(&self.absorbed)
    }
}

/// A row as the order database returned it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub key: RowKey,
    /// Aligned with `StreamSpec::selected_columns()`.
    pub columns: Vec<Value>,
}

impl Row {
    /// The value of a column the mapping reads; the key column included.
    pub fn get<'a>(&'a self, spec: &StreamSpec, column: &str) -> Option<&'a str> {
        if column == spec.key {
            return Some(self.key.as_str());
        }
        let at = spec.columns().position(|name| name == column)?;
        self.columns.get(at)?.as_deref()
    }

    /// The row's own time of change, as its column writes it; `None` where the mapping names none.
    pub fn modified(&self, spec: &StreamSpec) -> Option<&str> {
        spec.row_modified.as_ref()?;
        self.columns.get(spec.columns().count())?.as_deref()
    }

    /// The value of a field's column, by the field's place in the mapping.
    pub fn field(&self, at: usize) -> Option<&str> {
        self.columns.get(at)?.as_deref()
    }

    /// The field values, aligned with `StreamSpec::fields`.
    pub fn values(&self, spec: &StreamSpec) -> &[Value] {
        self.columns.get(..spec.fields.len()).unwrap_or(&self.columns)
    }

    /// True when every condition of `send_when` holds.
    pub fn is_sendable(&self, spec: &StreamSpec) -> bool {
        spec.send_when.iter().all(|condition| condition.test.holds(self.get(spec, &condition.column)))
    }
}
