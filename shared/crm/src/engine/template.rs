//! Decides what a text with holes means: `{from|rfc3339_secs}`, `{{` for a brace. Parsed once, when the file is loaded; a hole, filter or place that does not fit is found then.
//!
//! Never puts a text that is not ready inside other text: what a CRM or a row said reaches a query only alone, where it is encoded, or through a quoting filter.

use serde_json::Value as Json;

use super::filter::{Filter, KNOWN};
use super::findings::{At, Findings};
use super::hole::{Found, Kind, Source, Values};
use super::moment::Written;

/// Where a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// One part of a path between slashes.
    Segment,
    Query,
    Header,
    Json,
    /// A field of a form.
    Form,
    Host,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Hole(Hole),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) source: Source,
    /// At most two: `lower`, then what makes it ready.
    filters: Vec<Filter>,
}

impl Hole {
    /// The form in which a moment is written here.
    pub(super) fn written(&self) -> Option<Written> {
        self.filters.iter().find_map(|filter| match filter {
            Filter::Moment(written) => Some(*written),
            _ => None,
        })
    }

    fn text(&self, values: &Values<'_>) -> Result<String, String> {
        let missing = || format!("there is nothing for {{{}}}", self.source.name());
        let found = values.find(&self.source).ok_or_else(missing)?;
        let Some((first, rest)) = self.filters.split_first() else {
            return match found {
                Found::Text(text) => Ok(text.to_owned()),
                Found::Number(number) => Ok(number.to_string()),
                Found::Texts(_) | Found::Moment(_) | Found::Json(_) => Err(missing()),
            };
        };
        let first = first.apply(&found)?;
        rest.iter().try_fold(first, |text, filter| filter.apply(&Found::Text(&text)))
    }
}

impl Template {
    /// `None` after a finding.
    pub(super) fn parse(text: &str, position: Position, at: &At, scope: &Scope<'_>, findings: &Findings) -> Option<Self> {
        let parts = match split(text) {
            Ok(parts) => parts,
            Err(problem) => {
                findings.add(at, problem, "Write {name|filter}, and {{ or }} for a brace itself.");
                return None;
            }
        };
        let mixed = parts.len() > 1;
        let mut parsed = Vec::with_capacity(parts.len());
        for part in parts {
            parsed.push(match part {
                Ok(text) => Part::Text(text),
                Err(inner) => Part::Hole(hole(inner, position, mixed, at, scope, findings)?),
            });
        }
        Some(Self(parsed))
    }

    pub(super) fn holes(&self) -> impl Iterator<Item = &Hole> {
        self.0.iter().filter_map(|part| match part {
            Part::Hole(hole) => Some(hole),
            Part::Text(_) => None,
        })
    }

    /// The text itself where there is no hole.
    pub(super) fn constant(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    pub(super) fn text(&self, values: &Values<'_>) -> Result<String, String> {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Hole(hole) => out.push_str(&hole.text(values)?),
            }
        }
        Ok(out)
    }

    /// As one part of a path: what holes bring is encoded by `encode`, and never empty.
    pub(super) fn segment(&self, values: &Values<'_>, encode: fn(&mut String, &str)) -> Result<String, String> {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Hole(hole) => match hole.text(values)?.as_str() {
                    // An empty part would address the list in place of the record, and dots are taken out of a path.
                    "" | "." | ".." => return Err(format!("{{{}}} is nothing a path can hold", hole.source.name())),
                    text => encode(&mut out, text),
                },
            }
        }
        Ok(out)
    }

    /// The text with its holes unfilled: fit for grouping.
    pub(super) fn unfilled(&self) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Hole(hole) => format!("{{{}}}", hole.source.name()),
        };
        self.0.iter().map(part).collect()
    }

    /// A hole that stands alone keeps its kind: numbers stay numbers, lists stay lists.
    pub(super) fn json(&self, values: &Values<'_>) -> Result<Json, String> {
        let [Part::Hole(hole)] = self.0.as_slice() else { return self.text(values).map(Json::String) };
        if !hole.filters.is_empty() {
            return hole.text(values).map(Json::String);
        }
        match values.find(&hole.source) {
            Some(Found::Texts(texts)) => Ok(texts.iter().map(|text| Json::from(*text)).collect()),
            Some(Found::Number(number)) => Ok(number.into()),
            Some(Found::Json(json)) => Ok(json.clone()),
            _ => hole.text(values).map(Json::String),
        }
    }
}

/// Texts as `Ok`, the insides of holes as `Err`.
fn split(text: &str) -> Result<Vec<Result<String, &str>>, String> {
    let mut parts = Vec::new();
    let (mut plain, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(['{', '}']) {
        plain.push_str(&rest[..at]);
        let (brace, behind) = rest[at..].split_at(1);
        if let Some(after) = behind.strip_prefix(brace) {
            plain.push_str(brace);
            rest = after;
            continue;
        }
        if brace == "}" {
            return Err(format!("`{text}` closes a hole that was not opened."));
        }
        let end = behind.find('}').ok_or_else(|| format!("`{text}` opens a hole and never closes it."))?;
        if !plain.is_empty() {
            parts.push(Ok(std::mem::take(&mut plain)));
        }
        parts.push(Err(&behind[..end]));
        rest = &behind[end + 1..];
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(Ok(plain));
    }
    Ok(parts)
}

/// Which holes a text may have.
#[derive(Debug, Clone)]
pub(super) struct Scope<'a> {
    pub(super) plain: &'a [&'a str],
    /// Inside an object's tables.
    pub(super) object: bool,
    pub(super) settings: &'a [String],
    /// Secrets are for signing in, and reach no other request.
    pub(super) secrets: &'a [String],
    pub(super) signed_in: &'a [String],
}

impl Scope<'_> {
    fn has(&self, source: &Source) -> bool {
        match source {
            Source::Config(name) => self.settings.contains(name),
            Source::Secret(name) => self.secrets.contains(name),
            Source::SignedIn(name) => self.signed_in.contains(name),
            Source::Object => self.object,
            plain => self.plain.contains(&plain.name().as_str()),
        }
    }

    fn names(&self) -> String {
        let object: &[&str] = if self.object { &["object"] } else { &[] };
        let plain = self.plain.iter().chain(object).map(|name| format!("{{{name}}}"));
        let families = [("config", self.settings), ("secret", self.secrets), ("signed_in", self.signed_in)];
        let others = families.iter().flat_map(|(family, names)| names.iter().map(move |name| format!("{{{family}.{name}}}")));
        let all: Vec<String> = plain.chain(others).collect();
        if all.is_empty() { "none".to_owned() } else { all.join(", ") }
    }
}

fn hole(inner: &str, position: Position, mixed: bool, at: &At, scope: &Scope<'_>, findings: &Findings) -> Option<Hole> {
    let mut words = inner.split('|').map(str::trim);
    let name = words.next().unwrap_or_default();
    let Some((source, first)) = Source::parse(name).filter(|(source, _)| scope.has(source)) else {
        findings.add(at, format!("there is no hole {{{name}}} here."), format!("Holes here are {}.", scope.names()));
        return None;
    };
    let (mut kind, mut filters) = (first, Vec::new());
    for word in words {
        let Some(filter) = Filter::parse(word) else {
            findings.add(at, format!("`{word}` is no filter."), format!("Filters are {KNOWN}."));
            return None;
        };
        let Some(made) = filter.makes(kind) else {
            let problem = format!("the filter {word} does not fit {{{name}}}, which is {}.", kind.word());
            findings.add(at, problem, "Take it out, or use one that fits.");
            return None;
        };
        kind = made;
        filters.push(filter);
    }
    let refuse = |problem: &str, remedy: &str| {
        findings.add(at, format!("{{{name}}} {problem}"), remedy);
        None
    };
    let alone_in_json = position == Position::Json && !mixed;
    match kind {
        Kind::Moment => refuse("is a moment without a form.", "Add a filter such as |rfc3339_secs or |millis."),
        Kind::Json if !alone_in_json => {
            refuse("is JSON and stands only alone in a body.", "Write it as the whole value in `body`.")
        }
        Kind::Names | Kind::Texts if !alone_in_json => refuse("is a list.", "Add |csv, or a quoting filter such as |soql."),
        Kind::Text | Kind::Joined if mixed && matches!(position, Position::Query | Position::Json) => refuse(
            "is a text inside other text and could change its meaning.",
            "Quote it with |soql, |odata or |coql; in an address write |segment.",
        ),
        Kind::Text | Kind::Joined if position == Position::Host && !matches!(source, Source::Config(_) | Source::SignedIn(_)) => {
            refuse("cannot be part of a host.", "Use {config.NAME}.")
        }
        _ => Some(Hole { source, filters }),
    }
}
