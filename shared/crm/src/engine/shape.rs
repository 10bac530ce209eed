//! Decides how one row of a CRM's answer becomes a record: where its id, stamp and values stand, and in which form. Never decides whether an answer is to be believed.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use tidemark_core::Millis;
use tidemark_core::fit::PropertyKind;
use tidemark_core::record::{Record, RemoteId, Value};
use tidemark_core::source::IdOrder;

use super::body::Body;
use super::findings::Findings;
use super::moment::Stamp;
use super::node::{Fields, Node};
use super::place::{Place, scalar};
use super::template::Scope;

/// Where the parts of a record stand in its row.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) id: Place,
    pub(super) id_order: IdOrder,
    /// Absent for objects without stamps.
    pub(super) modified: Option<Modified>,
    pub(super) archived: Option<(Place, String)>,
    /// What names the version that a row shows.
    pub(super) version: Option<Place>,
    /// A list of ids, in one text where there is a sign between them.
    merged: Option<(Place, Option<String>)>,
    /// Asked for with every record.
    always: Vec<String>,
    /// What lists show of a record; `None`: all of it. One that ends in `*` stands for all that begin so.
    listed: Option<Vec<String>>,
    properties: BTreeMap<String, Property>,
}

#[derive(Debug, Clone)]
pub(super) struct Modified {
    /// The first that holds a stamp counts: some CRMs stamp a record only when it is changed.
    at: Vec<Place>,
    form: Stamp,
    pub(super) precision_ms: u32,
}

/// A property that does not simply stand under its name.
#[derive(Debug, Clone)]
pub(super) struct Property {
    at: Place,
    /// What is sent in its place, with `{value}`.
    pub(super) write: Option<Body>,
    /// What is sent in its place when it is cleared.
    pub(super) clear: Option<Body>,
    pub(super) kind: Option<PropertyKind>,
    pub(super) unique: bool,
    pub(super) read_only: bool,
}

pub(super) const KINDS: [(&str, PropertyKind); 7] = [
    ("text", PropertyKind::Text),
    ("number", PropertyKind::Number),
    ("bool", PropertyKind::Bool),
    ("date", PropertyKind::Date),
    ("moment", PropertyKind::Moment),
    ("choice", PropertyKind::Choice),
    ("other", PropertyKind::Other),
];

const PRECISIONS: [(&str, u32); 3] = [("millisecond", 1), ("second", 1_000), ("minute", 60_000)];
const ID_ORDERS: [(&str, IdOrder); 2] = [("number", IdOrder::Number), ("bytes", IdOrder::Bytes)];

impl Shape {
    /// Reads `id`, `id_order`, `modified`, `version`, `archived`, `merged`, `always`, `listed` and `property` of an object.
    pub(super) fn read(fields: &mut Fields<'_>, scope: &Scope<'_>, findings: &Findings) -> Option<Self> {
        let id = fields.need("id", "Write where a row's id stands, such as id = \"/id\".");
        let id = id.and_then(|node| place(node, findings));
        let id_order = fields.word("id_order", &ID_ORDERS).unwrap_or_default();
        let modified = fields.get("modified").and_then(|node| Modified::read(node, findings));
        let version = fields.get("version").and_then(|node| place(node, findings));
        let archived = fields.get("archived").and_then(|node| {
            let mut fields = Fields::of(node, findings);
            let at = fields.need("at", "Write where the mark stands.").and_then(|node| place(node, findings));
            let is = fields.need("is", "Write what stands there in an archived record, such as is = \"true\".");
            let is = is.and_then(|node| node.text(findings)).map(str::to_owned);
            fields.end();
            Some((at?, is?))
        });
        let merged = fields.get("merged").and_then(|node| {
            let mut fields = Fields::of(node, findings);
            let at = fields.need("at", "Write where the ids stand.").and_then(|node| place(node, findings));
            let split = fields.text("split").map(str::to_owned);
            fields.end();
            Some((at?, split))
        });
        let always = fields.get("always").map(|node| node.texts(findings)).unwrap_or_default();
        let always = always.into_iter().map(str::to_owned).collect();
        let listed = fields.get("listed").map(|node| node.texts(findings).into_iter().map(str::to_owned).collect());
        let mut properties = BTreeMap::new();
        let declared = fields.get("property").and_then(|node| node.entries(findings)).unwrap_or_default();
        for (name, node) in declared {
            properties.extend(Property::read(name, node, scope, findings).map(|property| (name.clone(), property)));
        }
        Some(Self { id: id?, id_order, modified, version, archived, merged, always, listed, properties })
    }

    /// The shape of a row that tells of a delete: a record's own id and stamp, unless they stand elsewhere.
    pub(super) fn of_feed(record: Option<&Self>, fields: &mut Fields<'_>, findings: &Findings) -> Option<Self> {
        let id = fields.get("id").and_then(|node| place(node, findings));
        let modified = fields.get("modified").and_then(|node| Modified::read(node, findings));
        let usual = record?.clone();
        Some(Self { id: id.unwrap_or(usual.id), modified: modified.or(usual.modified), ..usual })
    }

    pub(super) fn property(&self, name: &str) -> Option<&Property> {
        self.properties.get(name)
    }

    pub(super) fn declared(&self) -> impl Iterator<Item = (&str, &Property)> {
        self.properties.iter().map(|(name, property)| (name.as_str(), property))
    }

    /// Lists show a part of each record.
    pub(super) fn leaves_out(&self) -> bool {
        self.listed.is_some()
    }

    /// Lists show this property of each record.
    pub(super) fn is_listed(&self, name: &str) -> bool {
        let stands_for = |listed: &String| listed.strip_suffix('*').map_or(listed == name, |start| name.starts_with(start));
        self.listed.as_ref().is_none_or(|listed| listed.iter().any(stands_for))
    }

    /// The places of these properties that a list does not fill. Without the external key nobody knows who a record is: then it fills none.
    fn left_out(&self, properties: &[Option<String>], external_key: Option<&str>) -> Vec<usize> {
        let keyless = external_key.is_some_and(|name| !self.is_listed(name));
        let left = |name: &Option<String>| keyless || name.as_deref().is_some_and(|name| !self.is_listed(name));
        properties.iter().enumerate().filter(|(_, name)| left(name)).map(|(at, _)| at).collect()
    }

    /// The names to ask for, so that the row holds these properties and what every record needs. Each once, in order.
    pub(super) fn asked<'a>(&'a self, properties: &'a [Option<String>], external_key: Option<&'a str>) -> Vec<&'a str> {
        let own = |name: &'a str| match self.properties.get(name) {
            Some(property) => property.at.first_key().unwrap_or(name),
            None => name,
        };
        let wanted = properties.iter().flatten().map(String::as_str).chain(external_key).map(own);
        let mut names: Vec<&str> = self.always.iter().map(String::as_str).chain(wanted).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The record of a whole row; `None` when it carries no id.
    pub(super) fn record(&self, row: &Json, properties: &[Option<String>], external_key: Option<&str>) -> Option<Record> {
        let archived = self.archived.as_ref().is_some_and(|(at, is)| at.find(row).and_then(scalar).as_ref() == Some(is));
        Some(Record {
            id: self.id_of(row)?,
            modified: self.stamp(row),
            archived,
            external_key: external_key.and_then(|name| self.value(row, name)),
            absorbed: self.absorbed(row),
            version: self.version.as_ref().and_then(|at| at.find(row).and_then(scalar)),
            values: properties.iter().map(|name| self.value(row, name.as_deref()?)).collect(),
            left_out: Vec::new(),
        })
    }

    /// The record of a list's row, which may show a part of it.
    pub(super) fn listed(&self, row: &Json, properties: &[Option<String>], external_key: Option<&str>) -> Option<Record> {
        let record = self.record(row, properties, external_key)?;
        Some(Record { left_out: self.left_out(properties, external_key), ..record })
    }

    pub(super) fn id_of(&self, row: &Json) -> Option<RemoteId> {
        self.id.find(row).and_then(scalar).map(RemoteId)
    }

    pub(super) fn stamp(&self, row: &Json) -> Option<Millis> {
        let modified = self.modified.as_ref()?;
        let text = modified.at.iter().find_map(|at| at.find(row).and_then(scalar))?;
        modified.form.read(&text)
    }

    /// `None` where the row does not name the property at all, or has nothing there.
    pub(super) fn value(&self, row: &Json, name: &str) -> Value {
        self.find(row, name).and_then(|json| text_of(json, self.properties.get(name).and_then(|property| property.kind)))
    }

    /// The property's JSON, where the row names it.
    pub(super) fn find<'j>(&self, row: &'j Json, name: &str) -> Option<&'j Json> {
        match self.properties.get(name) {
            Some(property) => property.at.find(row),
            // A name may hold a dot of its own.
            None => row.get(name).or_else(|| Place::of_property(name).find(row)),
        }
    }

    fn absorbed(&self, row: &Json) -> Vec<RemoteId> {
        let Some((at, split)) = &self.merged else { return Vec::new() };
        let texts: Vec<String> = match (at.find(row), split) {
            (Some(Json::Array(ids)), _) => ids.iter().filter_map(scalar).collect(),
            (Some(json), Some(sign)) => {
                let text = scalar(json).unwrap_or_default();
                text.split(sign.as_str()).map(|id| id.trim().to_owned()).filter(|id| !id.is_empty()).collect()
            }
            (Some(json), None) => scalar(json).into_iter().collect(),
            (None, _) => Vec::new(),
        };
        texts.into_iter().map(RemoteId).collect()
    }
}

impl Modified {
    fn read(node: &Node, findings: &Findings) -> Option<Self> {
        let mut fields = Fields::of(node, findings);
        let at = fields.need("at", "Write where the stamp stands, such as at = \"/updated_at\"; several are tried in turn.");
        let at: Vec<Place> = match at.map(|node| (node, node.texts(findings))) {
            Some((node, texts)) => texts.into_iter().filter_map(|text| parsed(text, node, findings)).collect(),
            None => Vec::new(),
        };
        let form = fields.need("form", "Write iso, naive(ZONE), millis or secs.");
        let form = form.and_then(|node| {
            let text = node.text(findings)?;
            let form = Stamp::parse(text);
            if form.is_none() {
                findings.add(
                    &node.at,
                    format!("`{text}` is no form of a stamp."),
                    "Write iso, naive(UTC), naive(+05:30), millis or secs.",
                );
            }
            form
        });
        if fields.get("precision").is_none() {
            let problem = "`precision` is missing: windows would meet at an unknown step, and a bound that leaves its own stamp out could not be moved by one.";
            findings.add(fields.at, problem, "Write precision = \"second\", \"millisecond\" or \"minute\".");
        }
        let precision_ms = fields.word("precision", &PRECISIONS);
        fields.end();
        (!at.is_empty()).then_some(Self { at, form: form?, precision_ms: precision_ms? })
    }
}

impl Property {
    fn read(name: &str, node: &Node, scope: &Scope<'_>, findings: &Findings) -> Option<Self> {
        let mut fields = Fields::of(node, findings);
        let at = match fields.get("at") {
            Some(node) => place(node, findings)?,
            None => Place::of_property(name),
        };
        let scope = Scope { plain: &["value"], ..scope.clone() };
        let write = fields.get("write").and_then(|node| Body::read(node, &scope, findings));
        let clear = fields.get("clear").and_then(|node| Body::read(node, &Scope { plain: &[], ..scope.clone() }, findings));
        let kind = fields.word("kind", &KINDS);
        let (unique, read_only) = (fields.flag("unique").unwrap_or(false), fields.flag("read_only").unwrap_or(false));
        if !read_only && write.is_none() && !at.is_keys() {
            let remedy = "Say in `write` what is sent, or write read_only = true.";
            findings.add(fields.at, "the place chooses from a list, so that nothing can be put there.", remedy);
        }
        if [&write, &clear].into_iter().flatten().any(|body| !matches!(body, Body::Object(_))) {
            findings.add(fields.at, "what is laid into the row is a table.", "Write { name = \"{value}\" }.");
        }
        if write.is_some() != clear.is_some() {
            let remedy = "Write both `write` and `clear`, such as clear = { emails = [] }.";
            findings.add(fields.at, "what is sent for a value, and what for none, belong together.", remedy);
        }
        fields.end();
        Some(Self { at, write, clear, kind, unique, read_only })
    }

    pub(super) fn place(&self) -> &Place {
        &self.at
    }
}

/// A node's text as a place. `None` after a finding.
pub(super) fn place(node: &Node, findings: &Findings) -> Option<Place> {
    parsed(node.text(findings)?, node, findings)
}

fn parsed(text: &str, node: &Node, findings: &Findings) -> Option<Place> {
    match Place::parse(text) {
        Ok(place) => Some(place),
        Err(problem) => {
            findings.add(&node.at, problem, "Write a JSON pointer such as /data/id, or \"\" for the whole.");
            None
        }
    }
}

/// A value in the CRM's text form: lists of plain values with `;` between them, anything deeper as compact JSON.
fn text_of(json: &Json, kind: Option<PropertyKind>) -> Value {
    match (json, kind) {
        (Json::Number(number), Some(PropertyKind::Bool)) if number.as_i64() == Some(1) => Some("true".to_owned()),
        (Json::Number(number), Some(PropertyKind::Bool)) if number.as_i64() == Some(0) => Some("false".to_owned()),
        (Json::Array(items), _) if items.iter().all(|item| scalar(item).is_some()) => {
            let texts: Vec<String> = items.iter().filter_map(scalar).collect();
            (!texts.is_empty()).then(|| texts.join(";"))
        }
        (Json::Array(_) | Json::Object(_), _) => Some(json.to_string()),
        _ => scalar(json),
    }
}
