//! What a stream is: the validated mapping between one object of a CRM and one table of the order database.
//!
//! Built by the configuration loader, which has already refused contradictions; nothing here reads a file.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::hook::HookSpec;
use crate::loop_breaker::LoopBreaker;
pub use crate::owner::{Fallback, Owner, RowModified};
pub use crate::policy::{BrakesSpec, Limit, PollSpec, RetrySpec, StaleSave, StaleSpec, SweepSpec};
use crate::transform::Transform;

/// Which way values flow. `Out` still reads the CRM: to see drift, never to write rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    In,
    Out,
    Both,
}

impl Direction {
    pub fn writes_rows(self) -> bool {
        matches!(self, Self::In | Self::Both)
    }

    pub fn writes_records(self) -> bool {
        matches!(self, Self::Out | Self::Both)
    }
}

/// What a blank on the other side does to a value that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blanks {
    /// A blank never overwrites a value; the difference is recorded as accepted.
    Keep,
    /// A blank is a value like any other.
    Clear,
}

/// What is kept of a field's former values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lineage {
    /// The values themselves.
    #[default]
    Values,
    /// A digest of each, for personal data.
    Digest,
    /// Nothing.
    Off,
}

/// A rule a value must meet before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    Email,
    Phone,
}

/// One column and the property it is kept in agreement with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldSpec {
    /// The CRM's name; for a reference a name of the mapping's own choice, never sent.
    pub property: String,
    pub column: String,
    pub owner: Owner,
    pub blanks: Blanks,
    pub transform: Transform,
    pub check: Option<Check>,
    /// The object whose record the column's row is linked to (an association in the CRM). The column holds that row's key.
    pub references: Option<String>,
    /// What it refers to refers back, directly or through others: neither can wait for the other, so the tie follows when both are there.
    #[serde(skip)]
    pub in_cycle: bool,
    /// No part of the mapping's meaning: its digest leaves it out, so that nothing is read again when it changes.
    #[serde(skip)]
    pub lineage: Lineage,
}

/// A condition on one column; all conditions of a stream must hold for a row to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    pub column: String,
    pub test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// Neither NULL nor the empty string.
    Present,
    /// NULL or the empty string.
    Absent,
    /// One of these texts.
    OneOf(Vec<String>),
}

impl Test {
    pub fn holds(&self, value: Option<&str>) -> bool {
        let present = value.is_some_and(|text| !text.is_empty());
        match self {
            Self::Present => present,
            Self::Absent => !present,
            Self::OneOf(texts) => value.is_some_and(|text| texts.iter().any(|one| one == text)),
        }
    }
}

/// What the other side does when one side's thing is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeletePolicy {
    /// Nothing: the link becomes a tombstone and both are left alone.
    Ignore,
    /// The record is archived in the CRM.
    Archive,
    /// Whoever only listens is told.
    Tell,
}

/// What becomes of a row whose record was deleted in the CRM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InboundDelete {
    /// Nothing: the row stays as it is and is no longer sent.
    Ignore,
    /// A column of it takes a mark, where the order system marks what is deleted.
    Set { column: String, value: Mark },
    /// It is deleted.
    Delete,
}

/// What a mark says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// The database's time.
    Now,
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletes {
    /// A row was deleted: what happens to its record.
    pub outbound: DeletePolicy,
    /// A record was deleted: what happens to its row.
    pub inbound: InboundDelete,
}

/// Columns by which the application notices that somebody else wrote its row; bumped by each of our writes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Touch {
    /// A counter: its lock version.
    pub version_column: Option<String>,
    /// A time.
    pub updated_at: Option<String>,
}

impl Touch {
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.version_column.iter().chain(&self.updated_at).map(String::as_str)
    }
}

/// Whether records without a row become rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inbound {
    Full,
    /// The table forbids inserts, or the shop does not want them: only rows that exist are updated.
    UpdateOnly,
}

/// `schema.name`; the schema is absent on SQLite.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableName {
    pub schema: Option<String>,
    pub name: String,
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// One object of one connection mapped to one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamSpec {
    /// `connection.object`, unique.
    pub name: String,
    pub connection: String,
    pub object: String,
    pub table: TableName,
    /// The single key column of the table.
    pub key: String,
    pub direction: Direction,
    pub inbound: Inbound,
    /// In the order of their properties' names.
    pub fields: Vec<FieldSpec>,
    pub send_when: Vec<Condition>,
    /// Properties (mapped above) by which a record and a row that never met are recognised as one thing.
    pub match_on: Vec<String>,
    /// Column that receives the CRM's id.
    pub remote_id: Option<String>,
    /// Unique property of the CRM that holds our row key.
    pub external_key: Option<String>,
    pub deletes: Deletes,
    pub stale: StaleSpec,
    pub touch: Touch,
    /// Read with the row where a field is owned by who was later; never captured, for its change alone decides nothing.
    pub row_modified: Option<RowModified>,
    pub poll: PollSpec,
    pub sweep: SweepSpec,
    pub brakes: BrakesSpec,
    pub loop_breaker: LoopBreaker,
    pub retry: RetrySpec,
    /// The staleness that alerts are about.
    pub fresh_within: Duration,
    /// Of a one-way stream: nothing is ever read back.
    #[serde(skip)]
    pub hook: Option<HookSpec>,
}

impl StreamSpec {
    /// Every column the mapping reads for any purpose: the fields' columns in field order, then those of the conditions, then the remote id's. A column that serves
    /// twice stands twice, so that a row's first values are its fields'.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let fields = self.fields.iter().map(|field| field.column.as_str());
        fields.chain(self.send_when.iter().map(|condition| condition.column.as_str())).chain(self.remote_id.as_deref())
    }

    /// The same, and behind them the column of the row's own time: what a row is read with.
    pub fn selected_columns(&self) -> impl Iterator<Item = &str> {
        self.columns().chain(self.row_modified.as_ref().map(|told| told.column.as_str()))
    }

    /// The columns of `columns` without the key and without doubles, for catalogues.
    pub fn distinct_columns(&self) -> Vec<&str> {
        let mut columns: Vec<&str> = Vec::new();
        for column in self.columns().filter(|column| *column != self.key) {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        columns
    }

    /// The column that marks a row whose record was deleted.
    pub fn delete_mark(&self) -> Option<&str> {
        match &self.deletes.inbound {
            InboundDelete::Set { column, .. } => Some(column),
            InboundDelete::Ignore | InboundDelete::Delete => None,
        }
    }

    /// The columns that are read, the key first. A delete mark is read where it is written: one of the order system's own is left alone.
    pub fn read_columns(&self) -> Vec<&str> {
        let mut columns = vec![self.key.as_str()];
        let told = self.row_modified.as_ref().map(|told| told.column.as_str());
        for column in self.distinct_columns().into_iter().chain(self.touch.columns()).chain(self.delete_mark()).chain(told) {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        columns
    }

    /// The columns a row that exists may get values in.
    pub fn updated_columns(&self) -> Vec<&str> {
        let mut columns = self.filled_columns();
        columns.extend(self.delete_mark().filter(|mark| !columns.contains(mark)));
        columns
    }

    /// The columns that take what a record holds, its id, and what tells the application of our writes.
    fn filled_columns(&self) -> Vec<&str> {
        let fields = self.fields.iter().filter(|_| self.direction.writes_rows()).map(|field| field.column.as_str());
        let mut columns: Vec<&str> = Vec::new();
        for column in fields.chain(self.remote_id.as_deref()).chain(self.touch.columns()) {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        columns
    }

    /// The columns a new row is made with; none where no row is made.
    pub fn inserted_columns(&self) -> Vec<&str> {
        if !self.direction.writes_rows() || self.inbound != Inbound::Full {
            return Vec::new();
        }
        let mut columns = vec![self.key.as_str()];
        columns.extend(self.filled_columns().into_iter().filter(|column| *column != self.key));
        columns
    }

    /// The properties to ask the CRM for, in field order, references left out.
    pub fn properties(&self) -> Vec<&str> {
        self.fields.iter().filter(|field| field.references.is_none()).map(|field| field.property.as_str()).collect()
    }

    pub fn is_one_way(&self) -> bool {
        self.hook.is_some()
    }

    pub fn field(&self, property: &str) -> Option<(usize, &FieldSpec)> {
        self.fields.iter().enumerate().find(|(_, field)| field.property == property)
    }

    pub fn reference_fields(&self) -> impl Iterator<Item = (usize, &FieldSpec, &str)> {
        self.fields.iter().enumerate().filter_map(|(at, field)| Some((at, field, field.references.as_deref()?)))
    }

    /// Changes when the meaning of a stored base or position would change: fields, conditions, table, object.
    pub fn digest(&self) -> String {
        let meaning = (&self.object, &self.table, &self.key, self.direction, &self.fields, &self.send_when, &self.external_key);
        let mut bytes = serde_json::to_vec(&meaning).unwrap_or_default();
        // What a two-way stream agreed on is not what was delivered.
        if self.is_one_way() {
            bytes.extend(b"one way");
        }
        Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What a connection may spend. `None` leaves the connector's declared limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetSpec {
    pub per_second: Option<f64>,
    pub search_per_second: Option<f64>,
    pub per_day: Option<u64>,
}

/// One account of one CRM, without its secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectionSpec {
    pub name: String,
    pub connector: String,
    pub base_url: Option<String>,
    /// `production`, `sandbox`, …: compared with what the CRM answers before any other call.
    pub environment: String,
    /// The account that must be behind the token; empty means "any, say which".
    pub account: Option<String>,
    pub budget: BudgetSpec,
    /// A whole call, connect to last body byte.
    pub call_deadline: Duration,
    /// How long a request may still take effect after its caller gave up; the connector's own value unless set.
    pub request_life: Option<Duration>,
    /// Settings the connector understands (data centre, list id, …).
    pub settings: BTreeMap<String, String>,
}
