//! Every key that the engine takes stands in the reference of docs/connectors.md, beneath its table and with its words. The engine itself is asked: whoever writes what it does not know is told what it knows.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use tidemark_crm::engine::{Connector, Finding};

const DOCUMENT: &str = include_str!("../../../docs/connectors.md");
/// What nobody calls anything.
const UNHEARD: &str = "/unheard";
/// Deeper than any table lies.
const DEPTH_MAX: usize = 6;

/// A table on the way to a key: its name, the kind it says it is of, and whether it stands in a list.
#[derive(Debug, Clone)]
struct Step {
    name: String,
    kind: Option<String>,
    listed: bool,
}

/// What the engine says of a file in which these tables hold nothing but what nobody knows.
fn findings(steps: &[Step], inner: &Value) -> Vec<Finding> {
    // Without words nobody looks at the rules of refusals.
    let words = json!({ "message": [], "code": [], "property": [], "existing": [] });
    let mut file = Map::from_iter([("words".to_owned(), words)]);
    let mut value = inner.clone();
    for (at, step) in steps.iter().enumerate().rev() {
        if let (Value::Object(table), Some(kind)) = (&mut value, &step.kind) {
            table.insert("kind".to_owned(), json!(kind));
        }
        value = if step.listed { json!([value]) } else { value };
        if at > 0 {
            value = json!({ step.name.as_str(): value });
        }
    }
    match steps.first() {
        Some(step) => file.insert(step.name.clone(), value),
        None => file.insert(UNHEARD.to_owned(), json!(true)),
    };
    let error = Connector::load("acme-crm", "acme-crm.toml", &toml::to_string(&file).unwrap());
    error.err().map(|error| error.findings).unwrap_or_default()
}

/// The words behind `marker`, in backticks or with commas between them.
fn words_behind(text: &str, marker: &str) -> Vec<String> {
    let Some((_, list)) = text.split_once(marker) else { return Vec::new() };
    let word = |word: &str| word.trim_matches(|sign: char| sign == '`' || sign == '.' || sign == ':').to_owned();
    let list = list.split(" at line").next().unwrap_or_default().replace(", or ", ", ").replace(" or ", ", ");
    list.split(", ").map(word).filter(|word| !word.is_empty()).collect()
}

/// The tables of a file and their keys, each with the words that it takes; a name that is free is NAME.
type Grammar = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

fn place(steps: &[Step]) -> String {
    let names: Vec<&str> = steps.iter().map(|step| if step.name == UNHEARD { "NAME" } else { step.name.as_str() }).collect();
    let place = names.join(".");
    match place.strip_prefix("object.NAME.").or_else(|| place.strip_prefix("object_default.")) {
        Some(below) => below.to_owned(),
        None if place == "object_default" => "object.NAME".to_owned(),
        None => place,
    }
}

/// What a table takes.
enum Taken {
    Keys(Vec<String>),
    /// Names that its author chooses.
    AnyName,
    /// It is no table.
    Nothing,
}

fn taken(steps: &[Step]) -> Taken {
    let told = findings(steps, &json!({ UNHEARD: true }));
    let at = steps.iter().map(|step| step.name.as_str()).chain([UNHEARD]).collect::<Vec<_>>().join(".");
    let unknown = |finding: &&Finding| finding.problem.contains(&format!("key `{UNHEARD}`")) && finding.place == at;
    let by_serde = |finding: &&Finding| finding.problem.contains(&format!("unknown field `{UNHEARD}`"));
    match (told.iter().find(unknown), told.iter().find(by_serde)) {
        (Some(finding), _) => Taken::Keys(words_behind(&finding.remedy, "one of ")),
        (None, Some(finding)) => Taken::Keys(words_behind(&finding.problem.replace("one of ", ""), "expected ")),
        (None, None) if told.iter().any(|finding| finding.place == at) => Taken::AnyName,
        (None, None) => Taken::Nothing,
    }
}

/// Asks for what a table takes, and those below it.
fn learn(steps: &[Step], grammar: &mut Grammar) {
    let taken = taken(steps);
    if let Some((last, before)) = steps.split_last().filter(|(last, _)| last.kind.is_none()) {
        for kind in words(steps, "kind") {
            grammar.entry(place(steps)).or_default().entry("kind".to_owned()).or_default().insert(kind.clone());
            learn(&[before, &[Step { kind: Some(kind), ..last.clone() }]].concat(), grammar);
        }
    }
    let names = match taken {
        Taken::Keys(keys) => {
            for key in &keys {
                grammar.entry(place(steps)).or_default().entry(key.clone()).or_default().extend(words(steps, key));
            }
            keys
        }
        Taken::AnyName if steps.last().is_none_or(|last| last.name != UNHEARD) => vec![UNHEARD.to_owned()],
        Taken::AnyName | Taken::Nothing => Vec::new(),
    };
    for name in names.into_iter().filter(|_| steps.len() < DEPTH_MAX) {
        let table = |listed| [steps, &[Step { name: name.clone(), kind: None, listed }]].concat();
        let asks =
            |finding: &Finding| ["a list belongs", "expected a sequence"].iter().any(|words| finding.problem.contains(words));
        let listed = findings(&table(false), &json!({ UNHEARD: true })).iter().any(asks);
        learn(&table(listed), grammar);
    }
}

/// Those of a key that takes one of a few.
fn words(steps: &[Step], key: &str) -> Vec<String> {
    let leaf = Step { name: key.to_owned(), kind: None, listed: false };
    let told = findings(&[steps, &[leaf]].concat(), &json!(UNHEARD));
    let of = |finding: &Finding| match finding.problem.split_once("; known are ") {
        Some((_, known)) => words_behind(known, ""),
        None if finding.problem.contains(&format!("`{UNHEARD}` is not known here")) => words_behind(&finding.remedy, "one of "),
        None => Vec::new(),
    };
    told.iter().map(of).find(|words| !words.is_empty()).unwrap_or_default()
}

/// A table of the reference: what it is about, and the text beside each key.
fn sections() -> Vec<(BTreeSet<String>, BTreeMap<String, String>)> {
    let (_, rest) = DOCUMENT.split_once("\n### Every key\n").unwrap();
    let reference = rest.split("\n## ").next().unwrap();
    let spans = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<String>>();
    let (mut sections, mut about, mut rows) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
    for line in reference.lines() {
        match line.strip_prefix("| `") {
            Some(_) => {
                let first = line.split('|').nth(1).unwrap();
                rows.extend(spans(first).into_iter().map(|key| (key, line.to_owned())));
            }
            None if line.starts_with('|') => {}
            None => {
                if !rows.is_empty() {
                    sections.push((std::mem::take(&mut about), std::mem::take(&mut rows)));
                }
                about.extend(spans(line));
            }
        }
    }
    sections
}

#[test]
fn every_key_that_the_engine_takes_stands_in_the_reference_with_its_words() {
    let mut grammar = Grammar::new();
    learn(&[], &mut grammar);
    let keys: usize = grammar.values().map(BTreeMap::len).sum();
    assert!(grammar.len() > 40 && keys > 200, "{} tables, {keys} keys", grammar.len());
    let (sections, mut missing) = (sections(), String::new());
    for (table, keys) in &grammar {
        for (key, words) in keys {
            let table = if table.is_empty() { "NAME.toml" } else { table };
            let own = sections.iter().filter(|(about, _)| about.contains(table));
            let text: String = own.filter_map(|(_, rows)| rows.get(key)).cloned().collect();
            if text.is_empty() {
                writeln!(missing, "{table}: `{key}` is missing").unwrap();
            }
            for word in words.iter().filter(|word| !text.is_empty() && !text.contains(&format!("`{word}`"))) {
                writeln!(missing, "{table}: `{key}` does not name `{word}`").unwrap();
            }
        }
    }
    assert!(missing.is_empty(), "docs/connectors.md, Every key:\n{missing}");
}

#[test]
fn nothing_stands_in_the_reference_that_the_engine_does_not_take() {
    let mut grammar = Grammar::new();
    learn(&[], &mut grammar);
    let mut strange = String::new();
    for (about, rows) in sections() {
        let known = |key: &String| {
            about
                .iter()
                .any(|table| grammar.get(table.replace("NAME.toml", "").as_str()).is_some_and(|keys| keys.contains_key(key)))
        };
        let hole_or_filter = |key: &&String| !key.starts_with('{') && rows.keys().all(|key| !key.starts_with("rfc3339"));
        for key in rows.keys().filter(hole_or_filter).filter(|key| !known(key)) {
            writeln!(strange, "`{key}` of {about:?}").unwrap();
        }
    }
    assert!(strange.is_empty(), "docs/connectors.md, Every key:\n{strange}");
}

#[test]
fn every_hole_and_every_filter_stands_in_the_reference() {
    let query = json!({ "query": { "x": "{unheard}" } });
    let mut asked: Vec<(Vec<&str>, Value)> = vec![
        (vec!["auth"], json!({ "kind": "oauth_client", "sends": { "header": "x", "value": "{unheard}" } })),
        (vec!["object", "x", "read"], query.clone()),
        (vec!["object", "x", "property", "y"], json!({ "write": { "x": "{unheard}" } })),
        (vec!["object", "x", "create"], json!({ "query": { "x": "{id|unheard}", "y": "{row|unheard}" } })),
    ];
    for kind in ["keyset", "token", "number", "offset"] {
        asked.push((vec!["object", "x", "read"], json!({ "page": { "kind": kind, "next": "/x" }, "after": query })));
    }
    for request in ["read_ids", "look_up", "create", "update", "upsert", "archive", "create_key"] {
        asked.push((vec!["object", "x", request], query.clone()));
    }
    let (mut named, sections) = (BTreeSet::new(), sections());
    for (names, value) in asked {
        let steps: Vec<Step> = names.iter().map(|name| Step { name: (*name).to_owned(), kind: None, listed: false }).collect();
        for finding in findings(&steps, &value) {
            named.extend(words_behind(&finding.remedy, "Holes here are "));
            named.extend(words_behind(&finding.remedy, "Filters are "));
        }
    }
    named.remove("none");
    assert!(named.len() > 30, "{named:?}");
    let stands = |name: &String| sections.iter().any(|(_, rows)| rows.contains_key(name));
    let missing: Vec<&String> = named.iter().filter(|name| !stands(name)).collect();
    assert!(missing.is_empty(), "docs/connectors.md, Every key: {missing:?}");
}
