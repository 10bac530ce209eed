//! Decides what a file says about writing an object, and where each item's outcome stands. Refuses a batch whose outcomes could not be told apart.

use reqwest::Method;

use super::body::Body;
use super::findings::{At, Findings};
use super::hole::Source;
use super::node::{Fields, Node};
use super::place::Place;
use super::request::{Form, Overlay};
use super::shape::place;
use super::template::Scope;

/// One of the four things that can be done to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Create,
    Update,
    Upsert,
    Archive,
}

/// How records are written.
#[derive(Debug, Clone)]
pub(super) struct Writing {
    pub(super) form: Form,
    /// Of a record whose version is known: refused once it has another.
    pub(super) guarded: Option<Form>,
    /// What stands in each row beside the fields.
    pub(super) item: Option<Body>,
    /// Where in the row the fields go.
    pub(super) fields_at: Place,
    /// A cleared property is sent as null, or as the empty text.
    pub(super) clear_empty: bool,
    pub(super) rows_max: u16,
    pub(super) outcome: Outcome,
}

/// Where an answer says what became of each item.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    /// One item; the call's result is its own. Where the record stands in the answer, or only its id.
    Whole {
        row: Option<Place>,
        id: Option<Place>,
    },
    PerItem(PerItem),
    /// All items or none; where their ids stand, in the items' order.
    Atomic {
        ids: Option<Place>,
    },
}

#[derive(Debug, Clone)]
pub(super) struct PerItem {
    pub(super) items: Place,
    /// By the id each entry carries; else by its place in the list.
    pub(super) by_id: bool,
    /// What stands where in the entry of an item that was written.
    pub(super) ok: (Place, Vec<String>),
    pub(super) id: Option<Place>,
    pub(super) row: Option<Place>,
    /// What of an entry the error table looks at.
    pub(super) fault: Place,
}

impl Verb {
    fn holes(self) -> &'static [&'static str] {
        match self {
            Self::Create => &["row", "rows"],
            Self::Update => &["id", "row", "rows"],
            Self::Upsert => &["key", "property", "row", "rows"],
            Self::Archive => &["id", "ids", "rows"],
        }
    }

    fn item_holes(self) -> &'static [&'static str] {
        match self {
            Self::Create => &[],
            Self::Update | Self::Archive => &["id"],
            Self::Upsert => &["key", "property"],
        }
    }

    fn method(self) -> &'static Method {
        match self {
            Self::Create | Self::Upsert => &Method::POST,
            Self::Update => &Method::PATCH,
            Self::Archive => &Method::DELETE,
        }
    }
}

impl Writing {
    pub(super) fn read(verb: Verb, node: &Node, scope: &Scope<'_>, findings: &Findings) -> Option<Self> {
        let mut fields = Fields::of(node, findings);
        let form = Form::read(&mut fields, verb.method(), &Scope { plain: verb.holes(), ..scope.clone() }, findings);
        let guard = matches!(verb, Verb::Update | Verb::Archive).then(|| fields.get("guard")).flatten();
        let guarded = guard.zip(form.as_ref()).map(|(node, form)| {
            form.with(&Overlay::read(node, &Scope { plain: &["version"], ..scope.clone() }, findings), findings)
        });
        if let (Some(node), Some(guarded)) = (guard, &guarded)
            && !guarded.uses(&Source::Version)
        {
            findings.add(
                &node.at,
                "{version} is never used: nothing would be guarded.",
                "Write guard = { header = { If-Match = \"{version}\" } }.",
            );
        }
        let item = fields.get("item");
        let item_body = item.and_then(|node| Body::read(node, &Scope { plain: verb.item_holes(), ..scope.clone() }, findings));
        if let (Some(node), Some(body)) = (item, &item_body)
            && !matches!(body, Body::Object(_))
        {
            findings.add(&node.at, "an item is a table.", "Write { name = \"{id}\" }.");
        }
        let fields_at = fields.get("fields_at");
        let fields_place = fields_at.and_then(|node| place(node, findings)).unwrap_or(Place::WHOLE);
        if let Some(node) = fields_at.filter(|_| !fields_place.is_keys()) {
            findings.add(&node.at, "fields are put below keys only.", "Write a place such as /properties.");
        }
        let clear_empty = fields.word("clear", &[("null", false), ("empty", true)]).unwrap_or(false);
        let rows_max = match fields.get("rows_max") {
            Some(_) => fields.number("rows_max", 1, 1_000).and_then(|rows| u16::try_from(rows).ok()),
            None => Some(1),
        };
        let outcome = match fields.get("outcome") {
            Some(node) => Outcome::read(node, findings),
            None => Some(Outcome::Whole { row: None, id: None }),
        };
        fields.end();
        let writing = Self {
            form: form?,
            guarded,
            item: item_body,
            fields_at: fields_place,
            clear_empty,
            rows_max: rows_max?,
            outcome: outcome?,
        };
        writing.check(verb, &node.at, findings);
        Some(writing)
    }

    fn check(&self, verb: Verb, at: &At, findings: &Findings) {
        let item_uses = |source: &Source| self.item.iter().flat_map(Body::holes).any(|hole| hole.source == *source);
        let uses = |source: &Source| self.form.uses(source) || (item_uses(source) && self.form_takes_rows());
        let refuse = |problem: String, remedy: &str| findings.add(at, problem, remedy);
        let several = self.rows_max > 1;
        match verb {
            Verb::Archive => {}
            _ if !self.form_takes_rows() => {
                refuse("what is written is never used.".to_owned(), "Write body = \"{row}\", or \"{rows}\" in it for a batch.");
            }
            _ => {}
        }
        let needed: &[Source] = match verb {
            Verb::Create => &[],
            Verb::Update => &[Source::Id],
            Verb::Upsert => &[Source::Key],
            Verb::Archive => &[Source::Id, Source::Ids],
        };
        if !needed.is_empty() && !needed.iter().any(uses) {
            let name = needed.first().map(Source::name).unwrap_or_default();
            refuse(
                format!("{{{name}}} is never used: which record is meant would not be said."),
                "Use it in the path or in `item`.",
            );
        }
        if several && self.guarded.is_some() {
            refuse("a guard is one record's, and a batch is declared.".to_owned(), "Write rows_max = 1, or take `guard` out.");
        }
        for single in [Source::Id, Source::Row, Source::Key].iter().filter(|single| several && self.form.uses(single)) {
            let problem = format!("{{{}}} is one item's, and a batch of {} is declared.", single.name(), self.rows_max);
            refuse(problem, "Write rows_max = 1, or {rows} with `item`.");
        }
        if !several && self.form.uses(&Source::Rows) && matches!(self.outcome, Outcome::Whole { .. }) {
            return;
        }
        match &self.outcome {
            Outcome::Whole { .. } if several => {
                let problem = "a batch has one outcome for each item, and nothing says where they stand.".to_owned();
                refuse(problem, "Write outcome = { kind = \"per_item\", items = …, ok = … }, or kind = \"atomic\".");
            }
            Outcome::Whole { row: None, id: None } if verb == Verb::Create => {
                let problem = "where the new record's id stands is not said: it would be made again.".to_owned();
                refuse(problem, "Write outcome = { kind = \"whole\", row = \"/data\" }, or id = \"/id\".");
            }
            Outcome::PerItem(PerItem { id: None, row: None, .. }) if verb == Verb::Create => {
                let problem = "where a new record's id stands in its entry is not said: it would be made again.".to_owned();
                refuse(problem, "Write outcome.id = \"/id\".");
            }
            Outcome::Atomic { ids: None } if verb == Verb::Create => {
                let problem = "where the new records' ids stand is not said: they would be made again.".to_owned();
                refuse(problem, "Write outcome.ids = \"/Ids\".");
            }
            Outcome::PerItem(PerItem { by_id: true, .. }) if matches!(verb, Verb::Create | Verb::Upsert) => {
                refuse("a new record has no id by which its entry could be known.".to_owned(), "Write by = \"index\".");
            }
            _ => {}
        }
    }

    fn form_takes_rows(&self) -> bool {
        self.form.uses(&Source::Row) || self.form.uses(&Source::Rows)
    }
}

impl Outcome {
    fn read(node: &Node, findings: &Findings) -> Option<Self> {
        let mut fields = Fields::of(node, findings);
        if fields.get("kind").is_none() {
            findings.add(&node.at, "`kind` is missing.", "Write kind = \"whole\", \"per_item\" or \"atomic\".");
        }
        let kind = fields.word("kind", &[("whole", 0), ("per_item", 1), ("atomic", 2)])?;
        let mut at = |key| fields.get(key).and_then(|node| place(node, findings));
        let outcome = match kind {
            0 => Some(Self::Whole { row: at("row"), id: at("id") }),
            1 => PerItem::read(&mut fields, findings).map(Self::PerItem),
            _ => Some(Self::Atomic { ids: at("ids") }),
        };
        fields.end();
        outcome
    }
}

impl PerItem {
    fn read(fields: &mut Fields<'_>, findings: &Findings) -> Option<Self> {
        let items = fields.need("items", "Write where the list of outcomes stands, such as items = \"/data\".");
        let items = items.and_then(|node| place(node, findings));
        let by_id = fields.word("by", &[("index", false), ("id", true)]).unwrap_or(false);
        let ok = fields.need("ok", "Write how success is told, such as ok = { at = \"/success\", is = \"true\" }.");
        let ok = ok.and_then(|node| {
            let mut fields = Fields::of(node, findings);
            let at = fields.need("at", "Write where the word stands.").and_then(|node| place(node, findings));
            let is = fields.need("is", "Write the word for success, or a list of them.");
            let is = is.map(|node| node.texts(findings)).unwrap_or_default();
            fields.end();
            Some((at?, is.into_iter().map(str::to_owned).collect::<Vec<_>>()))
        });
        let mut at = |key| fields.get(key).and_then(|node| place(node, findings));
        let (id, row, fault) = (at("id"), at("row"), at("fault").unwrap_or(Place::WHOLE));
        if by_id && id.is_none() {
            findings.add(
                fields.at,
                "entries are told apart by their id, and where it stands is not said.",
                "Write id = \"/id\".",
            );
        }
        Some(Self { items: items?, by_id, ok: ok?, id, row, fault })
    }
}
