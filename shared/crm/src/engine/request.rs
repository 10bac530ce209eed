//! Decides how a request is built from what a file says and what a question needs: path, query, headers, body. Sends nothing.

use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};

use super::body::Body;
use super::findings::{At, Findings};
use super::hole::{Source, Values};
use super::node::{Fields, Node, Value};
use super::template::{Hole, Position, Scope, Template};

/// A request as the file writes it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Form {
    method: Method,
    /// The parts between slashes.
    path: Vec<Template>,
    query: Vec<(String, Template)>,
    headers: Vec<(HeaderName, Template)>,
    body: Option<Body>,
    cost: Cost,
}

/// What a call takes of the day's budget, in the vendor's unit.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cost {
    units: u32,
    /// The units are for so many rows, begun ones too; else for the call.
    rows: Option<u32>,
}

/// What stands differently in some pages' requests.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Overlay {
    path: Option<Vec<Template>>,
    query: Vec<(String, Template)>,
    headers: Vec<(HeaderName, Template)>,
    body: Option<Body>,
    /// Where the body stands.
    body_at: Option<At>,
}

/// A request that can be sent below a host.
#[derive(Debug, PartialEq)]
pub(super) struct Built {
    pub(super) method: Method,
    /// Path and query, encoded.
    pub(super) path: String,
    /// The path with its holes unfilled: fit for grouping.
    pub(super) endpoint: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Option<Vec<u8>>,
    pub(super) cost: u32,
}

const METHODS: [(&str, &Method); 5] = [
    ("GET", &Method::GET),
    ("POST", &Method::POST),
    ("PUT", &Method::PUT),
    ("PATCH", &Method::PATCH),
    ("DELETE", &Method::DELETE),
];

impl Form {
    /// Reads `method`, `path`, `query`, `header`, `body` and `cost` of a table. `None` after a finding.
    pub(super) fn read(fields: &mut Fields<'_>, usual: &Method, scope: &Scope<'_>, findings: &Findings) -> Option<Self> {
        let method = fields.word("method", &METHODS).unwrap_or(usual).clone();
        let path = fields.need("path", "Write the path below the host, such as path = \"/api/contacts\".");
        let path = path.and_then(|node| read_path(node, scope, findings));
        let Overlay { query, headers, body, .. } = Overlay::read_rest(fields, scope, findings);
        if body.is_some() && method == Method::GET {
            findings.add(fields.at, BODY_OF_GET, REMEDY);
        }
        let cost = fields.get("cost").map_or(Some(Cost { units: 1, rows: None }), |node| Cost::read(node, findings));
        Some(Self { method, path: path?, query, headers, body, cost: cost? })
    }

    pub(super) fn with(&self, overlay: &Overlay, findings: &Findings) -> Self {
        if let Some(at) = overlay.body_at.as_ref().filter(|_| self.method == Method::GET) {
            findings.add(at, BODY_OF_GET, REMEDY);
        }
        let mut form = self.clone();
        if let Some(path) = &overlay.path {
            form.path.clone_from(path);
        }
        lay_over(&mut form.query, &overlay.query);
        lay_over(&mut form.headers, &overlay.headers);
        if let Some(body) = &overlay.body {
            form.body = Some(form.body.map_or_else(|| body.clone(), |below| below.under(body)));
        }
        form
    }

    pub(super) fn holes(&self) -> impl Iterator<Item = &Hole> {
        let query = self.query.iter().flat_map(|(_, template)| template.holes());
        let headers = self.headers.iter().flat_map(|(_, template)| template.holes());
        let body = self.body.iter().flat_map(Body::holes);
        self.path.iter().flat_map(Template::holes).chain(query).chain(headers).chain(body)
    }

    pub(super) fn cost_of_one(&self) -> u32 {
        self.cost.of(1)
    }

    pub(super) fn uses(&self, source: &Source) -> bool {
        self.holes().any(|hole| hole.source == *source)
    }

    /// `Err` says what cannot be asked in this way; it holds no value.
    pub(super) fn build(&self, values: &Values<'_>) -> Result<Built, String> {
        let mut path = String::new();
        let mut endpoint = String::new();
        for segment in &self.path {
            path.push('/');
            path.push_str(&segment.segment(values, encode)?);
            endpoint.push('/');
            endpoint.push_str(&segment.unfilled());
        }
        for (at, (name, template)) in self.query.iter().enumerate() {
            path.push(if at == 0 { '?' } else { '&' });
            encode(&mut path, name);
            path.push('=');
            encode(&mut path, &template.text(values)?);
        }
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, template) in &self.headers {
            let value =
                HeaderValue::try_from(template.text(values)?).map_err(|_| format!("the header {name} cannot carry its value"))?;
            headers.push((name.clone(), value));
        }
        let body = match &self.body {
            // Maps have text keys, so JSON is always written.
            Some(body) => Some(serde_json::to_vec(&body.build(values)?).unwrap_or_default()),
            None => None,
        };
        let rows = values.rows.and_then(serde_json::Value::as_array).map_or(values.ids.len(), Vec::len);
        Ok(Built { method: self.method.clone(), path, endpoint, headers, body, cost: self.cost.of(rows) })
    }
}

impl Cost {
    fn read(node: &Node, findings: &Findings) -> Option<Self> {
        if let Value::Integer(_) = node.value {
            let units = node
                .to_json()
                .as_u64()
                .and_then(|units| u32::try_from(units).ok())
                .filter(|units| (1..=COST_MAX).contains(units));
            if units.is_none() {
                findings.add(&node.at, "this is no cost of a call.", format!("Write a number from 1 to {COST_MAX}."));
            }
            return Some(Self { units: units?, rows: None });
        }
        let mut fields = Fields::of(node, findings);
        let units = fields.number("units", 1, COST_MAX).unwrap_or(1);
        fields.need("rows", "Write for how many rows it is, such as cost = { units = 1, rows = 10 }.");
        let rows = fields.number("rows", 1, 10_000);
        fields.end();
        Some(Self { units, rows: Some(rows?) })
    }

    fn of(self, rows: usize) -> u32 {
        let rows = u32::try_from(rows).unwrap_or(u32::MAX).max(1);
        self.rows.map_or(self.units, |each| self.units.saturating_mul(rows.div_ceil(each)))
    }
}

const BODY_OF_GET: &str = "a GET has no body.";
const REMEDY: &str = "Write method = \"POST\", or move the body into `query`.";

const COST_MAX: u32 = 10_000;

impl Overlay {
    pub(super) fn read(node: &Node, scope: &Scope<'_>, findings: &Findings) -> Self {
        let mut fields = Fields::of(node, findings);
        let path = fields.get("path").and_then(|node| read_path(node, scope, findings));
        let overlay = Self::read_rest(&mut fields, scope, findings);
        fields.end();
        Self { path, ..overlay }
    }

    fn read_rest(fields: &mut Fields<'_>, scope: &Scope<'_>, findings: &Findings) -> Self {
        let query = fields.get("query").map(|node| read_query(node, scope, findings)).unwrap_or_default();
        let headers = fields.get("header").map(|node| read_headers(node, scope, findings)).unwrap_or_default();
        let body = fields.get("body");
        let body_at = body.map(|node| node.at.clone());
        let body = body.and_then(|node| Body::read(node, scope, findings));
        Self { path: None, query, headers, body, body_at }
    }
}

/// The overlay's entries replace those of the same name; an empty text takes one away.
fn lay_over<N: Clone + PartialEq>(entries: &mut Vec<(N, Template)>, overlay: &[(N, Template)]) {
    for (name, template) in overlay {
        entries.retain(|(known, _)| known != name);
        if template.constant() != Some("") {
            entries.push((name.clone(), template.clone()));
        }
    }
}

fn read_path(node: &Node, scope: &Scope<'_>, findings: &Findings) -> Option<Vec<Template>> {
    let text = node.text(findings)?;
    let Some(rest) = text.strip_prefix('/') else {
        findings.add(
            &node.at,
            format!("the path `{text}` does not begin with /."),
            "Write it from the host on, such as /api/contacts.",
        );
        return None;
    };
    if text.contains(['?', '#', ' ', '%']) {
        findings.add(
            &node.at,
            "a path holds neither a query nor encoded signs.",
            "Write parameters under `query`; values are encoded where they stand.",
        );
        return None;
    }
    let segment = |part: &str| Template::parse(part, Position::Segment, &node.at, scope, findings);
    rest.split('/').map(segment).collect()
}

fn read_query(node: &Node, scope: &Scope<'_>, findings: &Findings) -> Vec<(String, Template)> {
    let entry = |(name, node): &(String, Node)| {
        let template = Template::parse(node.text(findings)?, Position::Query, &node.at, scope, findings)?;
        Some((name.clone(), template))
    };
    node.entries(findings).unwrap_or_default().iter().filter_map(entry).collect()
}

fn read_headers(node: &Node, scope: &Scope<'_>, findings: &Findings) -> Vec<(HeaderName, Template)> {
    let entry = |(name, node): &(String, Node)| {
        let template = Template::parse(node.text(findings)?, Position::Header, &node.at, scope, findings)?;
        Some((header_name(name, &node.at, findings)?, template))
    };
    node.entries(findings).unwrap_or_default().iter().filter_map(entry).collect()
}

pub(super) fn header_name(name: &str, at: &At, findings: &Findings) -> Option<HeaderName> {
    let parsed = HeaderName::try_from(name).ok();
    if parsed.is_none() {
        findings.add(at, format!("`{name}` is not a header's name."), "Write letters, digits and -.");
    }
    parsed
}

/// Everything but unreserved signs as %XX: no value can end its place, and a `+` stays one.
pub(super) fn encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}
