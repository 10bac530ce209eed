//! Decides what a file says about one object: its shape, how it is read, looked up, written and described, and what the core may rely on.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use tidemark_core::fit::PropertyKind;
use tidemark_core::source::SourceTraits;

use super::feed::Feed;
use super::findings::{At, Findings};
use super::hole::Source;
use super::node::{Fields, Node};
use super::place::Place;
use super::reading::{Reading, Rows};
use super::request::Form;
use super::shape::{KINDS, Shape, place};
use super::template::Scope;
use super::writing::{Verb, Writing};

/// One object of the CRM.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) shape: Shape,
    pub(super) traits: SourceTraits,
    pub(super) reading: Reading,
    pub(super) deletes: Option<Feed>,
    pub(super) read_ids: Asking,
    pub(super) read_archived: Option<Asking>,
    pub(super) look_up: Option<LookingUp>,
    pub(super) create: Option<Writing>,
    pub(super) update: Option<Writing>,
    pub(super) upsert: Option<Writing>,
    pub(super) archive: Option<Writing>,
    pub(super) describe: Option<Describing>,
    pub(super) create_key: Option<Form>,
    /// Target object → the property that holds the target's id.
    pub(super) references: BTreeMap<String, String>,
}

/// How records that are known are asked for.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    pub(super) form: Form,
    pub(super) rows: Rows,
    pub(super) rows_max: u16,
}

#[derive(Debug, Clone)]
pub(super) struct LookingUp {
    pub(super) asking: Asking,
    /// What can be looked up; empty: everything.
    pub(super) properties: Vec<String>,
    /// The rows found need not show the value: that the CRM found them by it is its word.
    pub(super) trusts: bool,
}

/// How the CRM describes an object's properties.
#[derive(Debug, Clone)]
pub(super) struct Describing {
    pub(super) form: Form,
    pub(super) rows: Rows,
    pub(super) name: Place,
    /// Set before the names of properties, or of those that are marked so.
    pub(super) prefix: Option<(Option<Mark>, String)>,
    pub(super) kind: Place,
    pub(super) kinds: BTreeMap<String, PropertyKind>,
    /// Where the options stand, and in each of them its value.
    pub(super) options: Option<(Place, Place)>,
    pub(super) read_only: Option<Mark>,
    pub(super) unique: Option<Mark>,
}

/// A word that stands somewhere.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    pub(super) at: Place,
    pub(super) is: Vec<String>,
}

/// Times that every object has unless it says otherwise.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Timing {
    commit_lag_secs: Option<u32>,
    fast_lag_secs: Option<u32>,
    request_life_secs: Option<u32>,
}

impl Timing {
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            commit_lag_secs: fields.number("commit_lag_secs", 0, 604_800),
            fast_lag_secs: fields.number("fast_lag_secs", 0, 86_400),
            request_life_secs: fields.number("request_life_secs", 1, 86_400),
        }
    }

    fn or(self, usual: Self) -> Self {
        Self {
            commit_lag_secs: self.commit_lag_secs.or(usual.commit_lag_secs),
            fast_lag_secs: self.fast_lag_secs.or(usual.fast_lag_secs),
            request_life_secs: self.request_life_secs.or(usual.request_life_secs),
        }
    }
}

impl Object {
    pub(super) fn read(node: &Node, usual: Timing, scope: &Scope<'_>, findings: &Findings) -> Option<Self> {
        let mut fields = Fields::of(node, findings);
        let shape = Shape::read(&mut fields, scope, findings);
        let timing = Timing::read(&mut fields).or(usual);
        let reading = fields.need("read", "Write a table `read` that says how pages are asked for.");
        let reading = reading.and_then(|node| Reading::read(node, shape.as_ref(), scope, findings));
        if shape.as_ref().is_some_and(|shape| shape.leaves_out() && shape.modified.is_none()) {
            let problem = "without stamps every record would be read by its id each time, because `listed` leaves something out.";
            findings.add(fields.at, problem, "Take `listed` out and map what lists show, or write `modified`.");
        }
        let deletes = fields.get("deletes").and_then(|node| Feed::read(node, shape.as_ref(), scope, findings));
        let read_ids = fields.need("read_ids", "Write a table `read_ids`: whatever is doubtful is read again by its id.");
        let read_ids = read_ids.and_then(|node| Asking::by_ids(node, scope, findings));
        let read_archived = fields.get("read_archived").and_then(|node| Asking::by_ids(node, scope, findings));
        if let (Some(node), Some(Shape { archived: None, .. })) = (fields.get("read_archived"), &shape) {
            let problem = "an archived record could not be told from any other.";
            findings.add(
                &node.at,
                problem,
                "Write `archived` at the object, such as archived = { at = \"/is_deleted\", is = \"true\" }.",
            );
        }
        let look_up = fields.get("look_up").and_then(|node| {
            let look_up = LookingUp::read(node, scope, findings)?;
            shape.iter().for_each(|shape| look_up.prove_shown(shape, &node.at, findings));
            Some(look_up)
        });
        let mut write = |key, verb| fields.get(key).and_then(|node| Writing::read(verb, node, scope, findings));
        let create = write("create", Verb::Create);
        let update = write("update", Verb::Update);
        let upsert = write("upsert", Verb::Upsert);
        let archive = write("archive", Verb::Archive);
        let describe = fields.get("describe").and_then(|node| Describing::read(node, scope, findings));
        let create_key = fields.get("create_key").and_then(|node| {
            let mut fields = Fields::of(node, findings);
            let scope = Scope { plain: &["property"], ..scope.clone() };
            let form = Form::read(&mut fields, &Method::POST, &scope, findings);
            fields.end();
            needs(form.as_ref(), &[Source::Property], &node.at, findings);
            form
        });
        let references = fields.get("reference").map(|node| texts_of(node, findings)).unwrap_or_default();
        fields.end();
        let (shape, reading, read_ids) = (shape?, reading?, read_ids?);
        let writes = [&create, &update, &upsert, &archive].into_iter().flatten().map(|writing| writing.rows_max).min();
        // What is written is looked up and read first, item by item: the smallest of the three is what goes together.
        let looked_up = look_up.as_ref().map_or(u16::MAX, |look_up| look_up.asking.rows_max);
        let guarded = [&update, &archive].into_iter().flatten().any(|writing| writing.guarded.is_some());
        if guarded && shape.version.is_none() {
            let remedy = "Write `version` at the object, such as version = \"/@odata.etag\".";
            findings.add(&node.at, "a guard names a version, and where it stands in a row is not said.", remedy);
        }
        let able = Able {
            read_rows_max: read_ids.rows_max,
            batch_rows_max: writes.unwrap_or(u16::MAX).min(looked_up).min(read_ids.rows_max),
            guarded,
            archive_view: read_archived.is_some(),
        };
        let traits = traits_of(&shape, &reading, timing, &able, &node.at, findings)?;
        Some(Self {
            shape,
            traits,
            reading,
            deletes,
            read_ids,
            read_archived,
            look_up,
            create,
            update,
            upsert,
            archive,
            describe,
            create_key,
            references,
        })
    }
}

/// What comes of how records are read by id and written.
struct Able {
    read_rows_max: u16,
    batch_rows_max: u16,
    guarded: bool,
    archive_view: bool,
}

fn traits_of(
    shape: &Shape,
    reading: &Reading,
    timing: Timing,
    able: &Able,
    at: &At,
    findings: &Findings,
) -> Option<SourceTraits> {
    let missing = |key: &str| {
        findings.add(at, format!("`{key}` is missing."), "Write it here, or under [timing] for every object.");
    };
    let secs = |secs: u32| Duration::from_secs(u64::from(secs));
    for (key, told) in [
        ("commit_lag_secs", timing.commit_lag_secs),
        ("fast_lag_secs", timing.fast_lag_secs),
        ("request_life_secs", timing.request_life_secs),
    ] {
        if told.is_none() {
            missing(key);
        }
    }
    let (commit_lag, fast_lag, life) =
        (secs(timing.commit_lag_secs?), secs(timing.fast_lag_secs?), secs(timing.request_life_secs?));
    if commit_lag < fast_lag {
        findings.add(
            at,
            "commit_lag_secs is shorter than fast_lag_secs.",
            "The settled reader stays behind the fast one: exchange them.",
        );
    }
    Some(SourceTraits {
        order: reading.order,
        paging: reading.paging(),
        id_order: shape.id_order,
        result_cap: reading.result_cap,
        token_life: reading.token_life(),
        stamped: shape.modified.is_some(),
        precision_ms: shape.modified.as_ref().map_or(1_000, |modified| modified.precision_ms),
        commit_lag,
        fast_lag,
        page_rows_max: reading.rows_max,
        page_cost: reading.first.cost_of_one(),
        read_rows_max: able.read_rows_max,
        batch_rows_max: able.batch_rows_max,
        request_life: life,
        guarded: able.guarded,
        archive_view: able.archive_view,
    })
}

impl Asking {
    fn by_ids(node: &Node, scope: &Scope<'_>, findings: &Findings) -> Option<Self> {
        let mut fields = Fields::of(node, findings);
        let asking = Self::read(&mut fields, &["id", "ids", "fields"], [Source::Id, Source::Ids], scope, findings);
        fields.end();
        asking
    }

    fn read(
        fields: &mut Fields<'_>,
        holes: &[&str],
        [one, many]: [Source; 2],
        scope: &Scope<'_>,
        findings: &Findings,
    ) -> Option<Self> {
        let form = Form::read(fields, &Method::GET, &Scope { plain: holes, ..scope.clone() }, findings);
        let rows = Rows::read(fields, findings);
        let rows_max = match fields.get("rows_max") {
            Some(_) => fields.number("rows_max", 1, 1_000).and_then(|rows| u16::try_from(rows).ok()),
            None => Some(1),
        };
        let (form, rows, rows_max) = (form?, rows?, rows_max?);
        needs(Some(&form), &[one.clone(), many], fields.at, findings);
        if rows_max > 1 && form.uses(&one) {
            let problem = format!("{{{}}} is one, and rows_max says {rows_max}.", one.name());
            findings.add(fields.at, problem, "Use the list, or write rows_max = 1.");
        }
        if rows_max > 1 && rows.one {
            findings.add(fields.at, "one row cannot answer for several.", "Take `one` out, or write rows_max = 1.");
        }
        Some(Self { form, rows, rows_max })
    }
}

impl LookingUp {
    fn read(node: &Node, scope: &Scope<'_>, findings: &Findings) -> Option<Self> {
        let mut fields = Fields::of(node, findings);
        let holes = ["property", "value", "values", "fields"];
        let asking = Asking::read(&mut fields, &holes, [Source::Value, Source::Values], scope, findings);
        let properties = fields.get("properties").map(|node| node.texts(findings)).unwrap_or_default();
        let properties: Vec<String> = properties.into_iter().map(str::to_owned).collect();
        let trusts = fields.flag("trusts").unwrap_or(false);
        let at = fields.at;
        fields.end();
        let asking = asking?;
        if trusts && asking.rows_max > 1 {
            findings.add(
                at,
                "which of several values found a row would not be said.",
                "Write rows_max = 1, or take `trusts` out.",
            );
        }
        if properties.len() != 1 {
            needs(Some(&asking.form), &[Source::Property], at, findings);
        }
        Some(Self { asking, properties, trusts })
    }

    /// What is found has to show what it was found by, unless the CRM's word is taken for it.
    fn prove_shown(&self, shape: &Shape, at: &At, findings: &Findings) {
        if shape.leaves_out() && self.properties.is_empty() && !self.trusts {
            let problem = "`listed` leaves properties out, and any may be looked up: what is found would not show it.";
            findings.add(at, problem, "Write in `properties` what is looked up, or `trusts = true`.");
        }
        for name in self.properties.iter().filter(|name| !self.trusts && !shape.is_listed(name)) {
            let problem = format!("a record is looked up by {name}, and `listed` says that no list shows it.");
            findings.add(at, problem, "Write `trusts = true` where the CRM finds that value alone, or name it in `listed`.");
        }
    }
}

impl Describing {
    fn read(node: &Node, scope: &Scope<'_>, findings: &Findings) -> Option<Self> {
        let mut fields = Fields::of(node, findings);
        let form = Form::read(&mut fields, &Method::GET, &Scope { plain: &[], ..scope.clone() }, findings);
        let rows = Rows::read(&mut fields, findings);
        let name = fields.need("name", "Write where a property's name stands.").and_then(|node| place(node, findings));
        let prefix = fields.get("prefix").and_then(|node| {
            let mut fields = Fields::of(node, findings);
            let marked = fields.get("at").is_some() || fields.get("is").is_some();
            let mark = if marked { Mark::of(&mut fields, findings) } else { None };
            let text = fields.need("text", "Write the prefix, such as text = \"custom_fields.\".");
            let text = text.and_then(|node| node.text(findings)).map(str::to_owned);
            fields.end();
            Some((mark, text?))
        });
        let kind = fields.need("kind", "Write where a property's type stands.").and_then(|node| place(node, findings));
        let words = fields.need("kinds", "Write what the vendor's types mean, such as kinds = { double = \"number\" }.");
        let kinds = words.map(|node| kinds_of(node, findings)).unwrap_or_default();
        let options = fields.get("options").and_then(|node| {
            let mut fields = Fields::of(node, findings);
            let at = fields.need("at", "Write where the options stand.").and_then(|node| place(node, findings));
            let value = fields.need("value", "Write where an option's value stands.").and_then(|node| place(node, findings));
            fields.end();
            Some((at?, value?))
        });
        let mut mark = |key| fields.get(key).and_then(|node| Mark::read(node, findings));
        let (read_only, unique) = (mark("read_only"), mark("unique"));
        fields.end();
        Some(Self { form: form?, rows: rows?, name: name?, prefix, kind: kind?, kinds, options, read_only, unique })
    }
}

impl Mark {
    pub(super) fn read(node: &Node, findings: &Findings) -> Option<Self> {
        let mut fields = Fields::of(node, findings);
        let mark = Self::of(&mut fields, findings);
        fields.end();
        mark
    }

    fn of(fields: &mut Fields<'_>, findings: &Findings) -> Option<Self> {
        let at = fields.need("at", "Write where the word stands.").and_then(|node| place(node, findings));
        let is = fields.need("is", "Write the word that stands there, or a list of words.");
        let is = is.map(|node| node.texts(findings)).unwrap_or_default();
        Some(Self { at: at?, is: is.into_iter().map(str::to_owned).collect() })
    }

    pub(super) fn stands_in(&self, json: &serde_json::Value) -> bool {
        self.at.find(json).and_then(super::place::scalar).is_some_and(|text| self.is.contains(&text))
    }
}

fn kinds_of(node: &Node, findings: &Findings) -> BTreeMap<String, PropertyKind> {
    let entry = |(word, node): &(String, Node)| {
        let text = node.text(findings)?;
        let kind = KINDS.iter().find(|(name, _)| *name == text).map(|(_, kind)| *kind);
        if kind.is_none() {
            let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
            findings.add(&node.at, format!("`{text}` is no kind of property."), format!("Write one of {}.", names.join(", ")));
        }
        Some((word.clone(), kind?))
    };
    node.entries(findings).unwrap_or_default().iter().filter_map(entry).collect()
}

pub(super) fn texts_of(node: &Node, findings: &Findings) -> BTreeMap<String, String> {
    let entry = |(name, node): &(String, Node)| Some((name.clone(), node.text(findings)?.to_owned()));
    node.entries(findings).unwrap_or_default().iter().filter_map(entry).collect()
}

/// One of these must stand in the request, or it would not say what is asked for.
fn needs(form: Option<&Form>, any: &[Source], at: &At, findings: &Findings) {
    let Some(form) = form else { return };
    if !any.iter().any(|source| form.uses(source)) {
        let names: Vec<String> = any.iter().map(|source| format!("{{{}}}", source.name())).collect();
        let problem = format!("{} is never used: what is asked for would not be said.", names.join(" or "));
        findings.add(at, problem, "Use it in the path, the query or the body.");
    }
}
