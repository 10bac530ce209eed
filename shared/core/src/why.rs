//! Tells why a row or record is as it is, in sentences for a person on call: how the pair stands, each field as last agreed, and what happened to it, newest first.
//! Knows what it is given; looks nothing up.

mod field;
mod history;
mod stands;

use serde::Serialize;
use serde_json::Value as Json;

use crate::Millis;
use crate::base::Base;
use crate::lineage::{Entry, Kept};
use crate::link::LinkState;
use crate::record::{RemoteId, Row, RowKey};
use crate::spec::StreamSpec;

/// What was asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A row's key or, where there is none, a record's id.
    Either(String),
    Row(String),
    Record(String),
}

impl Asked {
    /// `7`, `row:7` or `record:501`.
    pub fn parse(text: &str) -> Self {
        match text.split_once(':') {
            Some(("row", key)) => Self::Row(key.to_owned()),
            Some(("record", id)) => Self::Record(id.to_owned()),
            _ => Self::Either(text.to_owned()),
        }
    }

    pub fn text(&self) -> &str {
        match self {
            Self::Either(text) | Self::Row(text) | Self::Record(text) => text,
        }
    }

    pub fn may_be_row(&self) -> bool {
        !matches!(self, Self::Record(_))
    }

    pub fn may_be_record(&self) -> bool {
        !matches!(self, Self::Row(_))
    }
}

/// A link, as far as telling needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkFacts {
    pub id: i64,
    pub row_key: Option<RowKey>,
    pub remote_id: Option<RemoteId>,
    pub state: LinkState,
    pub base: Base,
    pub since: Millis,
    /// Through what the row was made from the record, in `Source::text`'s form; `None` when it was there before.
    pub made: Option<String>,
    pub push_under_way: bool,
    /// How a write to the record came through was not answered, or not yet.
    pub unheard: bool,
}

/// A debt of the row or the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebtFacts {
    /// `waiting`, `parent` or `parked`.
    pub state: String,
    pub attempts: i32,
    pub cause: Option<String>,
    pub next_step: Option<String>,
    pub due_at: Millis,
    pub leased: bool,
}

/// What is known of the row itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RowFacts {
    /// Whoever asks cannot look.
    #[default]
    NotLooked,
    Absent,
    Found(Row),
}

/// Everything that is known of what was asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Why nothing is read or written at the moment, if so.
    pub halted: Option<String>,
    pub row_key: Option<RowKey>,
    pub remote_id: Option<RemoteId>,
    pub row: RowFacts,
    pub link: Option<LinkFacts>,
    pub push: Option<DebtFacts>,
    pub read: Option<DebtFacts>,
    /// The parent that the push waits for is itself kept back by its stream's `send_when`.
    pub parent_kept_back: bool,
    /// What was asked about as a row is the id of another record, too.
    pub also_a_record: bool,
    /// Newest first.
    pub history: Vec<Entry>,
    /// There is more than was loaded.
    pub older: bool,
}

impl Facts {
    /// Something has to be known of it for there to be anything to tell.
    pub fn is_known(&self) -> bool {
        matches!(self.row, RowFacts::Found(_)) || self.link.is_some() || self.push.is_some() || self.read.is_some()
    }

    fn row(&self) -> Option<&Row> {
        match &self.row {
            RowFacts::Found(row) => Some(row),
            RowFacts::NotLooked | RowFacts::Absent => None,
        }
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Why {
    pub stream: String,
    pub row: Option<RowKey>,
    pub record: Option<RemoteId>,
    /// How the thing stands, sentence by sentence.
    pub stands: Vec<String>,
    pub fields: Vec<FieldNow>,
    /// Newest first.
    pub history: Vec<Passage>,
    /// There is older history than is shown.
    pub older: bool,
}

/// A field as it was last agreed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldNow {
    pub property: String,
    pub column: String,
    /// `agreed`, `owed`, `conflict`, `decided`, `held`, `differs` or `never met`.
    pub state: &'static str,
    /// Values are texts, null, or `{"digest": …}`; absent where the field's lineage is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<Json>,
    pub sentence: String,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Passage {
    /// Milliseconds since 1970, database clock.
    pub at: Millis,
    /// The same for people, UTC.
    pub time: String,
    /// The property; absent where it happened to the thing as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Whose value stood: `crm`, `orders`, `both` where they came to agree, `neither` where each kept its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stood: Option<&'static str>,
    pub source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<Json>,
    pub sentence: String,
}

/// Tells what is known; of one field, named by its property or its column, or of all.
pub fn tell(spec: &StreamSpec, facts: &Facts, field: Option<&str>) -> Why {
    let asked = |at: &usize| field.is_none_or(|name| spec.fields[*at].property == name || spec.fields[*at].column == name);
    let fields: Vec<usize> = (0..spec.fields.len()).filter(asked).collect();
    let mut stands = stands::of_thing(spec, facts);
    if let Some(name) = field.filter(|_| fields.is_empty()) {
        stands.insert(0, field::not_mapped(spec, name));
    }
    Why {
        stream: spec.name.clone(),
        row: facts.row_key.clone(),
        record: facts.remote_id.clone(),
        stands,
        fields: fields.iter().filter_map(|at| field::now(spec, facts, *at)).collect(),
        history: history::of(spec, facts, &fields, field.is_some()),
        older: facts.older,
    }
}

/// What to say when nothing is known of what was asked about.
pub fn unknown(spec: &StreamSpec, asked: &Asked, halted: Option<&str>) -> String {
    let id = asked.text();
    let mut words = match asked {
        Asked::Row(_) => format!("{} knows no row {id}: {} has none with {} = {id}", spec.name, spec.table, spec.key),
        Asked::Record(_) => format!("{} knows no record {id}: none was ever linked to a row, and none is owed", spec.name),
        Asked::Either(_) => format!(
            "{} knows no {id}: {} has no row with {} = {id}, and no record {id} was ever linked to a row or is owed",
            spec.name, spec.table, spec.key
        ),
    };
    if asked.may_be_record() {
        if !spec.direction.writes_rows() {
            words.push_str("; a record without a row is left alone, because the stream does not write rows");
        } else if spec.inbound == crate::spec::Inbound::UpdateOnly {
            words.push_str("; a record without a row is left alone, because inbound = \"update_only\"");
        }
    }
    if let Some(halted) = halted {
        words.push_str("; ");
        words.push_str(halted);
    }
    words
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.stream)?;
        match (&self.row, &self.record) {
            (Some(row), Some(record)) => writeln!(f, "  row {row} ↔ record {record}")?,
            (Some(row), None) => writeln!(f, "  row {row}")?,
            (None, Some(record)) => writeln!(f, "  record {record}")?,
            (None, None) => writeln!(f)?,
        }
        for sentence in &self.stands {
            writeln!(f, "  {sentence}")?;
        }
        if !self.fields.is_empty() {
            writeln!(f, "\nAs last agreed:")?;
        }
        for field in &self.fields {
            writeln!(f, "  {} ↔ {}  {}", field.property, field.column, field.sentence)?;
        }
        writeln!(f, "\nWhat happened, newest first, UTC:")?;
        for passage in &self.history {
            match &passage.field {
                Some(field) => writeln!(f, "  {}  {field}: {}", passage.time, passage.sentence)?,
                None => writeln!(f, "  {}  {}", passage.time, passage.sentence)?,
            }
        }
        if self.history.is_empty() {
            writeln!(
                f,
                "  Nothing is kept: Tidemark changed nothing here, or longer ago than retention.lineage, or lineage is off."
            )?;
        }
        if self.older {
            writeln!(f, "  Older entries are not shown.")?;
        }
        Ok(())
    }
}

/// The longest value that a sentence quotes whole.
const QUOTED_MAX: usize = 120;

/// A value in a sentence; on one line whatever it holds.
fn quoted(kept: &Kept) -> String {
    match kept {
        Kept::Blank => "blank".to_owned(),
        Kept::Digest(digest) => format!("a value with digest {digest}"),
        Kept::Value(text) => {
            let mut short: String =
                text.chars().take(QUOTED_MAX).map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
            if text.chars().count() > QUOTED_MAX {
                short.push('…');
            }
            format!("«{short}»")
        }
    }
}

/// What two sides hold.
fn both(row: &Kept, record: &Kept) -> String {
    let says = |side: &str, kept: &Kept| match kept {
        Kept::Blank => format!("{side} is blank"),
        Kept::Value(_) => format!("{side} says {}", quoted(kept)),
        Kept::Digest(_) => format!("{side} holds {}", quoted(kept)),
    };
    match (row == record, row) {
        (false, _) => format!("{}, {}", says("the row", row), says("the record", record)),
        (true, Kept::Blank) => "both are blank".to_owned(),
        (true, Kept::Value(_)) => format!("both say {}", quoted(row)),
        (true, Kept::Digest(_)) => format!("both hold {}", quoted(row)),
    }
}

/// `2026-11-25 14:03:12`, UTC.
pub(crate) fn time(at: Millis) -> String {
    chrono::DateTime::from_timestamp_millis(at).map_or_else(|| at.to_string(), |at| at.format("%Y-%m-%d %H:%M:%S").to_string())
}

#[cfg(test)]
#[path = "why_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "why_decision_tests.rs"]
mod decision_tests;
