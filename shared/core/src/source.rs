//! What a connector declares of an object: the engine derives how to read and write it from these, never from per-connector code.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::record::Record;

/// Which rate of the connection a call draws on. Each bucket has a rate of its own, as the vendors count them; all calls share the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bucket {
    General,
    Search,
}

/// The order in which pages of a window can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// `(modified, id)`: a keyset over both.
    TimeThenId,
    /// By id inside a closed window.
    IdOnly,
    /// By modified stamp alone.
    TimeOnly,
    /// None that can be relied on.
    None,
}

/// How a query goes on behind its first page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Paging {
    /// Not at all: the next page is a query of its own.
    #[default]
    Queries,
    /// By page number or offset, and each answer says how many there are.
    Numbers,
    /// By page number or offset, and each page says whether another follows: nobody says how many there are.
    Uncounted,
    /// By a token of the answer.
    Tokens,
}

/// What comes after what among ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdOrder {
    #[default]
    Number,
    /// Letter by letter, as bytes.
    Bytes,
}

/// Limits and guarantees of one object of one CRM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceTraits {
    pub order: Order,
    #[serde(default)]
    pub paging: Paging,
    #[serde(default)]
    pub id_order: IdOrder,
    /// Most records that the pages of one query reach.
    #[serde(default)]
    pub result_cap: Option<u32>,
    /// How long a token is taken.
    #[serde(default, with = "maybe_secs")]
    pub token_life: Option<Duration>,
    /// Records carry a stamp of their last change. Without one nothing is told by time: each reading reads everything.
    #[serde(default = "yes")]
    pub stamped: bool,
    /// Smallest step of a modified stamp, milliseconds.
    pub precision_ms: u32,
    /// Longest time a commit or the search index may stay behind its stamp. The readers stay as far behind as the stream says.
    #[serde(with = "secs")]
    pub commit_lag: Duration,
    /// How long it stays behind as a rule.
    #[serde(with = "secs")]
    pub fast_lag: Duration,
    /// Most records a page may hold.
    pub page_rows_max: u16,
    /// What a page takes of the day's budget, in the unit in which the vendor counts.
    #[serde(default = "one")]
    pub page_cost: u32,
    /// Most records one call reads by id, or looks up.
    pub read_rows_max: u16,
    /// Most records one call writes.
    pub batch_rows_max: u16,
    /// Longest time a request may still take effect after its caller gave up.
    #[serde(with = "secs")]
    pub request_life: Duration,
    /// Whether a write can be guarded by the version read before.
    pub guarded: bool,
    /// Whether archived records can be read by id, as such: what is neither there nor archived is then no plain delete.
    pub archive_view: bool,
}

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}

mod secs {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(value.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let secs = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(secs).map_err(serde::de::Error::custom)
    }
}

mod maybe_secs {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(|life| life.as_secs_f64()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let secs = Option::<f64>::deserialize(deserializer)?;
        secs.map(Duration::try_from_secs_f64).transpose().map_err(serde::de::Error::custom)
    }
}

/// Where the next page starts, opaque to everything but the connector that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub String);

/// How a page ended. An error can never look like one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// More is to come from here.
    More(Position),
    /// The window is read to its end.
    Drained,
}

/// One page of a window, in the order the connector declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub records: Vec<Record>,
    pub next: Next,
    /// Where the CRM's own feed of changes is gone on with later: the place to keep, once this page is applied.
    pub feed: Option<String>,
}
