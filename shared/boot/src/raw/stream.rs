//! One `[[connections.NAME.streams]]` table as the file shapes it.

use std::ops::RangeInclusive;
use std::time::Duration;

use tidemark_core::hook::Existing;
use tidemark_core::spec::{
    Blanks, DeletePolicy, Direction, Fallback, Inbound, InboundDelete, Lineage, Mark, Owner, RowModified, StaleSave, TableName,
    Test,
};

use super::payload::{RawPayload, payload};
use super::{RawField, Reading};
use crate::errors::{Findings, Place};
use crate::node::{Entry, Located, Node, Value};
use crate::section::{self, Section};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

const DIRECTIONS: [(&str, Direction); 3] = [("in", Direction::In), ("out", Direction::Out), ("both", Direction::Both)];
const INBOUND: [(&str, Inbound); 2] = [("full", Inbound::Full), ("update_only", Inbound::UpdateOnly)];
/// Who stands in for `newest` is a key of its own, put in its place once the rules have proved that it is there.
const OWNERS: [(&str, Owner); 4] =
    [("crm", Owner::Crm), ("orders", Owner::Orders), ("hold", Owner::Hold), ("newest", Owner::Newest(Fallback::Hold))];
const FALLBACKS: [(&str, Fallback); 3] = [("crm", Fallback::Crm), ("orders", Fallback::Orders), ("hold", Fallback::Hold)];
pub(super) const BLANKS: [(&str, Blanks); 2] = [("keep", Blanks::Keep), ("clear", Blanks::Clear)];
pub(super) const LINEAGE: [(&str, Lineage); 3] =
    [("values", Lineage::Values), ("digest", Lineage::Digest), ("off", Lineage::Off)];
const STALE: [(&str, StaleSave); 2] = [("ours", StaleSave::Ours), ("theirs", StaleSave::Theirs)];
const DELETES: [(&str, DeletePolicy); 3] =
    [("ignore", DeletePolicy::Ignore), ("archive", DeletePolicy::Archive), ("tell", DeletePolicy::Tell)];
const EXISTING: [(&str, Existing); 2] = [("taken", Existing::Taken), ("send", Existing::Send)];

pub(crate) struct RawStream {
    pub(crate) at: Place,
    pub(crate) object: Option<Located<String>>,
    /// With the schema it has when it names none.
    pub(crate) table: Option<Located<TableName>>,
    pub(crate) key: Option<Located<String>>,
    pub(crate) inherited: Inherited,
    pub(crate) remote_id: Option<Located<String>>,
    pub(crate) external_key: Option<Located<String>>,
    pub(crate) version_column: Option<Located<String>>,
    pub(crate) updated_at: Option<Located<String>>,
    pub(crate) row_modified: Option<Located<RowModified>>,
    pub(crate) fallback: Option<Located<Fallback>>,
    pub(crate) match_on: Vec<Located<String>>,
    pub(crate) send_when: Vec<RawCondition>,
    pub(crate) fields: Vec<RawField>,
    /// What a one-way stream sends; the whole row unless set.
    pub(crate) payload: Option<Located<RawPayload>>,
}

pub(crate) struct RawCondition {
    pub(crate) column: Located<String>,
    pub(crate) test: Test,
}

impl RawStream {
    /// `one_way` where the connector is only ever sent to.
    pub(super) fn read(node: Node, one_way: bool, reading: &Reading<'_>) -> Option<Self> {
        let findings = reading.findings;
        let mut section = Section::open(node, findings)?;
        let mut inherited = Inherited::read(&mut section);
        if let Some(direction) = inherited.direction.as_mut().filter(|direction| one_way && direction.at.is_inherited()) {
            direction.value = Direction::Out;
        }
        let direction = inherited.direction.as_ref().map(|direction| direction.value);
        let own = section.take("owner").and_then(|node| owner(node, findings));
        let owner = own.or_else(|| reading.defaults.owner(direction));
        let object = section.required_text("object", "Name the CRM's object, such as object = \"contacts\".");
        let table = section.required_text("table", "Name the table or view, such as table = \"customers\".");
        let key = section.required_text("key", "Name the table's key column, such as key = \"id\".");
        let fields = section.require("fields", "Add a table [connections.NAME.streams.fields] with lines property = \"column\".");
        let fields = fields.and_then(|node| section::entries(node, findings)).unwrap_or_default().into_iter();
        let own = FieldDefaults {
            owner,
            blanks: inherited.blanks.as_ref().map(|blanks| blanks.value),
            lineage: inherited.lineage.as_ref().map(|lineage| lineage.value),
        };
        let (mut version_column, mut updated_at) = (None, None);
        if let Some(mut touch) = section.take("touch").and_then(|node| Section::open(node, findings)) {
            version_column = touch.optional_text("version_column");
            updated_at = touch.optional_text("updated_at");
            touch.close();
        }
        let stream = Self {
            at: section.at.clone(),
            object,
            table: table.and_then(|table| table_name(table, reading)),
            key,
            inherited,
            remote_id: section.optional_text("remote_id"),
            external_key: section.optional_text("external_key"),
            version_column,
            updated_at,
            row_modified: section.take("row_modified").and_then(|node| row_modified(node, findings)),
            fallback: section.take("fallback").and_then(|node| fallback(node, findings)),
            match_on: section.take("match_on").map(|node| names(node, findings)).unwrap_or_default(),
            send_when: section.take("send_when").map(|node| conditions(node, findings)).unwrap_or_default(),
            fields: fields.filter_map(|entry| RawField::read(entry, &own, findings)).collect(),
            payload: section.take("payload").and_then(|node| {
                let at = node.at.clone();
                payload(node, findings).map(|value| Located { value, at })
            }),
        };
        section.close();
        Some(stream)
    }

    pub(crate) fn direction(&self) -> Option<&Located<Direction>> {
        self.inherited.direction.as_ref()
    }
}

/// What a field has when it says nothing itself.
pub(super) struct FieldDefaults {
    pub(super) owner: Option<Located<Owner>>,
    pub(super) blanks: Option<Blanks>,
    pub(super) lineage: Option<Lineage>,
}

/// What a stream has from `[defaults]` when it says nothing itself.
pub(crate) struct Inherited {
    pub(crate) direction: Option<Located<Direction>>,
    pub(crate) inbound: Option<Located<Inbound>>,
    pub(crate) existing: Option<Located<Existing>>,
    pub(crate) blanks: Option<Located<Blanks>>,
    pub(crate) lineage: Option<Located<Lineage>>,
    pub(crate) stale_save_guard: Option<Located<Duration>>,
    pub(crate) stale_save: Option<Located<StaleSave>>,
    pub(crate) fresh_within: Option<Located<Duration>>,
    pub(crate) poll: Option<RawPoll>,
    pub(crate) sweep: Option<RawSweep>,
    pub(crate) brakes: Option<RawBrakes>,
    pub(crate) loop_times: Option<Located<u32>>,
    pub(crate) loop_within: Option<Located<Duration>>,
    pub(crate) retry_first: Option<Located<Duration>>,
    pub(crate) retry_cap: Option<Located<Duration>>,
    pub(crate) deletes_outbound: Option<Located<DeletePolicy>>,
    pub(crate) deletes_inbound: Option<Located<InboundDelete>>,
}

pub(crate) struct RawPoll {
    pub(crate) every: Option<Located<Duration>>,
    pub(crate) lag: Option<Located<Duration>>,
    pub(crate) settled_every: Option<Located<Duration>>,
    pub(crate) settled_lag: Option<Located<Duration>>,
    pub(crate) overlap: Option<Located<Duration>>,
    pub(crate) page_rows_max: Option<Located<u16>>,
}

pub(crate) struct RawSweep {
    pub(crate) every: Option<Located<Option<Duration>>>,
    pub(crate) share_permille: Option<Located<u16>>,
}

pub(crate) struct RawBrakes {
    pub(crate) create: Option<RawLimit>,
    pub(crate) update: Option<RawLimit>,
    pub(crate) blank: Option<RawLimit>,
    pub(crate) delete: Option<RawLimit>,
}

pub(crate) struct RawLimit {
    pub(crate) count: Option<Located<u32>>,
    pub(crate) share_permille: Option<Located<u16>>,
}

impl Inherited {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let direction = section.choice("direction", &DIRECTIONS);
        let inbound = section.choice("inbound", &INBOUND);
        let existing = section.choice("existing", &EXISTING);
        let blanks = section.choice("blanks", &BLANKS);
        let lineage = section.choice("lineage", &LINEAGE);
        let stale_save_guard = section.duration("stale_save_guard", Duration::ZERO..=DAY);
        let stale_save = section.choice("stale_save", &STALE);
        let fresh_within = section.duration("fresh_within", Duration::from_secs(1)..=30 * DAY);
        let poll = section.section("poll").map(RawPoll::read);
        let sweep = section.section("sweep").map(RawSweep::read);
        let brakes = section.section("brakes").map(RawBrakes::read);
        let (mut loop_times, mut loop_within) = (None, None);
        if let Some(mut turns) = section.section("loop_breaker") {
            loop_times = turns.integer("times", 1..=1_000_000);
            loop_within = turns.duration("within", Duration::from_secs(1)..=DAY);
            turns.close();
        }
        let (mut retry_first, mut retry_cap, mut deletes_outbound, mut deletes_inbound) = (None, None, None, None);
        if let Some(mut retry) = section.section("retry") {
            retry_first = retry.duration("first", Duration::from_millis(10)..=HOUR);
            retry_cap = retry.duration("cap", Duration::from_millis(10)..=DAY);
            retry.close();
        }
        if let Some(mut deletes) = section.section("deletes") {
            deletes_outbound = deletes.choice("outbound", &DELETES);
            let remedy = "Write \"ignore\", \"delete\", or { set = { column = \"deleted_at\", value = \"now\" } }.";
            deletes_inbound = deletes.require("inbound", remedy).and_then(|node| inbound_delete(node, remedy, deletes.findings));
            deletes.close();
        }
        Self {
            direction,
            inbound,
            existing,
            blanks,
            lineage,
            stale_save_guard,
            stale_save,
            fresh_within,
            poll,
            sweep,
            brakes,
            loop_times,
            loop_within,
            retry_first,
            retry_cap,
            deletes_outbound,
            deletes_inbound,
        }
    }
}

impl RawPoll {
    fn read(mut section: Section<'_>) -> Self {
        let up_to = |most: Duration| -> RangeInclusive<Duration> { Duration::ZERO..=most };
        let poll = Self {
            every: section.duration("every", Duration::from_millis(500)..=HOUR),
            lag: section.duration("lag", up_to(HOUR)),
            settled_every: section.duration("settled_every", Duration::from_millis(500)..=DAY),
            settled_lag: section.duration("settled_lag", up_to(DAY)),
            overlap: section.duration("overlap", up_to(HOUR)),
            page_rows_max: section.integer("page_rows_max", 1..=1_000),
        };
        section.close();
        poll
    }
}

/// `"ignore"`, `"delete"`, or `{ set = { column = "deleted_at", value = "now" } }`.
fn inbound_delete(node: Node, remedy: &str, findings: &Findings) -> Option<Located<InboundDelete>> {
    let at = node.at.clone();
    let value = match &node.value {
        Value::Text(word) if word == "ignore" => InboundDelete::Ignore,
        Value::Text(word) if word == "delete" => InboundDelete::Delete,
        Value::Table(_) => {
            let mut section = Section::open(node, findings)?;
            let set = section.require("set", remedy).and_then(|node| Section::open(node, findings));
            section.close();
            let mut set = set?;
            let column = set.required_text("column", "Name the column that takes the mark.");
            let value = set.require("value", "Write \"now\" for the database's time, or the text the column shall hold.");
            let value = value.and_then(|node| section::scalar(node, findings));
            set.close();
            let value = value?.value;
            let value = if value == "now" { Mark::Now } else { Mark::Text(value) };
            InboundDelete::Set { column: column?.value, value }
        }
        other => {
            let problem = match other {
                Value::Text(word) => format!("\"{word}\" is not one of the choices."),
                other => format!("This must be a text or a table; it is {}.", other.kind()),
            };
            findings.add(&at, problem, remedy);
            return None;
        }
    };
    Some(Located { value, at })
}

impl RawSweep {
    fn read(mut section: Section<'_>) -> Self {
        let sweep = Self {
            every: section.duration_or_never("every", Duration::from_secs(1)..=30 * DAY),
            share_permille: section.permille("share", 0.001..=1.0),
        };
        section.close();
        sweep
    }
}

impl RawBrakes {
    fn read(mut section: Section<'_>) -> Self {
        let brakes = Self {
            create: section.section("create").map(RawLimit::read),
            update: section.section("update").map(RawLimit::read),
            blank: section.section("blank").map(RawLimit::read),
            delete: section.section("delete").map(RawLimit::read),
        };
        section.close();
        brakes
    }
}

impl RawLimit {
    fn read(mut section: Section<'_>) -> Self {
        let limit =
            Self { count: section.integer("count", 0..=1_000_000_000), share_permille: section.permille("share", 0.0..=1.0) };
        section.close();
        limit
    }
}

/// Whose value stands.
pub(super) fn owner(node: Node, findings: &Findings) -> Option<Located<Owner>> {
    section::choice(node, &OWNERS, findings)
}

/// Who decides where `newest` cannot tell. What is no choice has its finding, and is not missing as well.
pub(super) fn fallback(node: Node, findings: &Findings) -> Option<Located<Fallback>> {
    let at = node.at.clone();
    section::choice(node, &FALLBACKS, findings).or(Some(Located { value: Fallback::Hold, at }))
}

/// `"updated_at"`, or `{ column = "updated_at", zone = "+01:00" }`.
fn row_modified(node: Node, findings: &Findings) -> Option<Located<RowModified>> {
    let at = node.at.clone();
    if !matches!(node.value, Value::Table(_)) {
        return section::text(node, findings).map(|column| column.map(|column| RowModified { column, east_secs: 0 }));
    }
    let mut section = Section::open(node, findings)?;
    let column = section.required_text("column", "Name the column in which the order system keeps when it changed the row.");
    let zone = section.optional_text("zone");
    section.close();
    let east_secs = match &zone {
        None => 0,
        Some(zone) => east_secs(&zone.value).unwrap_or_else(|| {
            let problem = format!("\"{}\" is no zone with a fixed distance from UTC.", zone.value);
            let remedy = "Write \"UTC\" or one such as \"+01:00\". A local time that is put forward and back names an hour twice and cannot say what was later.";
            findings.add(&zone.at, problem, remedy);
            0
        }),
    };
    Some(Located { value: RowModified { column: column?.value, east_secs }, at })
}

/// `UTC`, `+01:00`, `-04:30`.
fn east_secs(zone: &str) -> Option<i32> {
    if zone == "UTC" {
        return Some(0);
    }
    let (sign, rest) = zone.strip_prefix('+').map(|rest| (1, rest)).or_else(|| Some((-1, zone.strip_prefix('-')?)))?;
    let (hours, minutes) = rest.split_once(':').filter(|(hours, minutes)| hours.len() == 2 && minutes.len() == 2)?;
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    ((0..=14).contains(&hours) && (0..60).contains(&minutes)).then_some(sign * (hours * 3_600 + minutes * 60))
}

/// `customers` or `shop.customers`.
fn table_name(table: Located<String>, reading: &Reading<'_>) -> Option<Located<TableName>> {
    let parts: Vec<&str> = table.value.split('.').collect();
    let value = match (parts.as_slice(), reading.orders_schema) {
        ([name], schema) if !name.is_empty() => TableName { schema: schema.map(str::to_owned), name: (*name).to_owned() },
        ([schema, name], Some(_)) if !schema.is_empty() && !name.is_empty() => {
            TableName { schema: Some((*schema).to_owned()), name: (*name).to_owned() }
        }
        ([_, name], None) if !name.is_empty() => {
            let problem = format!("\"{}\" names a schema, and database.url names SQLite, which has none.", table.value);
            reading.findings.add(&table.at, problem, format!("Write \"{name}\"."));
            return None;
        }
        _ => {
            let problem = format!("\"{}\" is not the name of a table.", table.value);
            reading.findings.add(&table.at, problem, "Write \"customers\" or \"schema.customers\".");
            return None;
        }
    };
    Some(Located { value, at: table.at })
}

fn names(node: Node, findings: &Findings) -> Vec<Located<String>> {
    let items = section::items(node, "Write a list such as [\"email\"].", findings).unwrap_or_default().into_iter();
    items.filter_map(|item| section::text(item, findings)).collect()
}

fn conditions(node: Node, findings: &Findings) -> Vec<RawCondition> {
    let entries = section::entries(node, findings).unwrap_or_default().into_iter();
    entries.filter_map(|entry| condition(entry, findings)).collect()
}

fn condition(entry: Entry, findings: &Findings) -> Option<RawCondition> {
    let remedy = "Write \"present\", \"absent\", or a list of texts such as [\"accepted\", \"shipped\"].";
    let test = match entry.node.value {
        Value::Text(word) if word == "present" => Test::Present,
        Value::Text(word) if word == "absent" => Test::Absent,
        Value::List(items) if !items.is_empty() => {
            Test::OneOf(items.into_iter().filter_map(|item| section::scalar(item, findings)).map(|text| text.value).collect())
        }
        other => {
            let problem = match other {
                Value::Text(word) => format!("\"{word}\" is not a condition."),
                Value::List(_) => "The list is empty: no row would ever be sent.".to_owned(),
                other => format!("A condition is a text or a list; this is {}.", other.kind()),
            };
            findings.add(&entry.node.at, problem, remedy);
            return None;
        }
    };
    Some(RawCondition { column: Located { value: entry.name, at: entry.at }, test })
}
