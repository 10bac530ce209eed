//! Decides what a connector file says as a whole: host, settings, credentials, budgets, account, refusals, objects. Everything is checked here, once; nothing is asked.

use std::collections::BTreeMap;

use reqwest::Method;
use reqwest::header::HeaderName;
use tidemark_core::source::SourceTraits;

use super::auth::Auth;
use super::findings::{At, Findings, LoadError};
use super::hole::Source;
use super::node::{Fields, Node, Value, parse};
use super::object::{Object, Timing, texts_of};
use super::place::{Place, scalar};
use super::request::{Form, header_name};
use super::setting::{self, Settings};
use super::shape::place;
use super::template::{Position, Scope, Template};
use crate::description::BudgetText;
use crate::errors::{ErrorTable, RuleText, Words};
use crate::{Bucket, BucketLimit};

/// One kind of CRM, as its file describes it.
#[derive(Debug, Clone)]
pub struct Connector {
    pub(super) name: String,
    pub(super) vendor: String,
    pub(super) archive_leaves: Option<String>,
    pub(super) quota_header: Option<HeaderName>,
    pub(super) settings: Settings,
    pub(super) secrets: BTreeMap<String, String>,
    /// By environment; `any` for those that are not named.
    pub(super) hosts: BTreeMap<String, Template>,
    pub(super) auth: Auth,
    pub(super) budgets: Vec<BucketLimit>,
    pub(super) account: AccountForm,
    /// An answer that is called a success by its status, and says otherwise.
    refused: Vec<Refused>,
    pub(super) errors: ErrorTable,
    objects: BTreeMap<String, Object>,
    /// What an object that is not listed is like.
    object_default: Option<Object>,
}

/// A word in an answer that makes it a refusal.
#[derive(Debug, Clone)]
struct Refused {
    at: Place,
    words: Vec<String>,
    /// The words are those of a success: any other is a refusal.
    not: bool,
}

/// How the account behind the credentials is told.
#[derive(Debug, Clone)]
pub(super) struct AccountForm {
    pub(super) form: Form,
    pub(super) id: Place,
    /// Where a word stands that tells the environment, and what its words mean. `None` where the CRM does not tell: the host is all there is to go by.
    pub(super) environment: Option<(Place, BTreeMap<String, String>)>,
}

impl Connector {
    /// `file` is only named in findings; `name` is the name the file must carry.
    pub fn load(name: &str, file: &str, text: &str) -> Result<Self, LoadError> {
        let findings = Findings::default();
        let root = parse(text, &findings).inspect(|root| root.blanks(&findings));
        // Whatever else is wrong may be wrong because of them.
        let root = root.filter(|_| findings.is_empty());
        let connector = root.and_then(|root| Self::read(name, &root, &findings));
        match connector {
            Some(connector) if findings.is_empty() => Ok(connector),
            _ => Err(findings.into_error(file)),
        }
    }

    /// What is declared of an object.
    pub fn traits(&self, object: &str) -> Option<&SourceTraits> {
        self.object(object).map(|object| &object.traits)
    }

    /// The object's own description, or the default one of an object that is not listed.
    pub(super) fn object(&self, name: &str) -> Option<&Object> {
        self.objects.get(name).or_else(|| self.object_default.as_ref().filter(|_| is_name(name)))
    }

    /// The objects of the file, and `*` for any other where there is a default.
    pub(super) fn listed(&self) -> impl Iterator<Item = (&str, &Object)> {
        let named = self.objects.iter().map(|(name, object)| (name.as_str(), object));
        named.chain(self.object_default.as_ref().map(|object| ("*", object)))
    }

    pub fn objects(&self) -> impl Iterator<Item = &str> {
        self.objects.keys().map(String::as_str)
    }

    /// True when an answer says that it is a refusal, whatever its status.
    pub(super) fn refuses(&self, body: &serde_json::Value) -> bool {
        let told = |Refused { at, words, not }: &Refused| {
            at.find(body).and_then(scalar).is_some_and(|text| words.contains(&text) != *not)
        };
        self.refused.iter().any(told)
    }

    fn read(name: &str, root: &Node, findings: &Findings) -> Option<Self> {
        let mut fields = Fields::of(root, findings);
        let head = fields.need("connector", "Write [connector] with name and vendor.");
        let head = head.and_then(|node| Head::read(name, node, findings));
        let settings = fields.get("config").map(|node| setting::read(node, findings)).unwrap_or_default();
        let secrets = fields.get("secret").map(|node| secrets(node, findings)).unwrap_or_default();
        let setting_names: Vec<String> = settings.keys().cloned().collect();
        let secret_names: Vec<String> = secrets.keys().cloned().collect();
        let scope = Scope { plain: &[], object: false, settings: &setting_names, secrets: &[], signed_in: &[] };
        let with_secrets = Scope { secrets: &secret_names, ..scope.clone() };
        let auth = fields.need("auth", "Write [auth] with kind and what it needs.");
        let auth = auth.and_then(|node| Auth::read(node, &with_secrets, findings));
        let kept = auth.as_ref().map(Auth::kept).unwrap_or_default();
        let hosts = fields.need("host", "Write [host] with any = \"https://…\", or one address for each environment.");
        let hosts = hosts.map(|node| hosts_of(node, &Scope { signed_in: &kept, ..scope.clone() }, findings)).unwrap_or_default();
        let budgets = fields.need("budget", "Write [budget.general] with calls, window_secs, per_second and burst.");
        let budgets = budgets.map(|node| budgets_of(node, findings)).unwrap_or_default();
        let timing = match fields.get("timing") {
            Some(node) => {
                let mut fields = Fields::of(node, findings);
                let timing = Timing::read(&mut fields);
                fields.end();
                timing
            }
            None => Timing::default(),
        };
        let account = fields
            .need("account", "Write [account] with path and id: nothing is sent to an account that is not the configured one.");
        let account = account.and_then(|node| AccountForm::read(node, &scope, findings));
        let refused = fields.get("refused").map(|node| refused_of(node, findings)).unwrap_or_default();
        let words = fields.need("words", "Write [words] with message, code, property and existing.");
        let rules = fields.get("error");
        let errors = words.and_then(|words| errors_of(words, rules, findings));
        let mut objects = BTreeMap::new();
        let usual = fields.get("object_default");
        let written = fields.get("object").and_then(|node| node.entries(findings)).unwrap_or_default();
        if usual.is_none() && written.is_empty() {
            findings.add(fields.at, "there is no object.", "Write [object.NAME] for each object, or [object_default].");
        }
        let of_object = Scope { object: true, ..scope.clone() };
        let object_default = usual.and_then(|node| Object::read(node, timing, &of_object, findings));
        for (name, node) in written {
            let whole = node.completed_by(usual);
            objects.extend(Object::read(&whole, timing, &of_object, findings).map(|object| (name.clone(), object)));
        }
        fields.end();
        let Head { name, vendor, archive_leaves, quota_header } = head?;
        for (name, object) in &objects {
            let unknown = |target: &&String| usual.is_none() && !objects.contains_key(*target);
            for target in object.references.keys().filter(unknown) {
                let at = At { line: 1, place: format!("object.{name}.reference.{target}") };
                findings.add(&at, "there is no such object.", "Name one of the file's objects.");
            }
        }
        Some(Self {
            name,
            vendor,
            archive_leaves,
            quota_header,
            settings,
            secrets,
            hosts,
            auth: auth?,
            budgets,
            account: account?,
            refused,
            errors: errors?,
            objects,
            object_default,
        })
    }
}

/// What can be an object's or a property's name: nothing in it means anything in a path or a query.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

struct Head {
    name: String,
    vendor: String,
    archive_leaves: Option<String>,
    quota_header: Option<HeaderName>,
}

impl Head {
    fn read(expected: &str, node: &Node, findings: &Findings) -> Option<Self> {
        let mut fields = Fields::of(node, findings);
        let name = fields.need("name", "Write the connector's name.");
        let name = name.and_then(|node| {
            let name = node.text(findings)?;
            if name != expected {
                findings.add(
                    &node.at,
                    format!("the file is for `{name}` and stands for `{expected}`."),
                    "Correct the name, or rename the file.",
                );
            }
            Some(name.to_owned())
        });
        let vendor = fields.need("vendor", "Write the vendor's name as people write it.");
        let vendor = vendor.and_then(|node| node.text(findings)).map(str::to_owned);
        let archive_leaves = fields.text("archive_leaves").map(str::to_owned);
        let quota_header = fields.get("quota_header").and_then(|node| header_name(node.text(findings)?, &node.at, findings));
        fields.end();
        Some(Self { name: name?, vendor: vendor?, archive_leaves, quota_header })
    }
}

fn secrets(node: &Node, findings: &Findings) -> BTreeMap<String, String> {
    let entry = |(name, node): &(String, Node)| {
        let mut fields = Fields::of(node, findings);
        let about = fields.need("about", "Say in words what is to be written there.");
        let about = about.and_then(|node| node.text(findings)).map(str::to_owned);
        fields.end();
        Some((name.clone(), about?))
    };
    node.entries(findings).unwrap_or_default().iter().filter_map(entry).collect()
}

fn hosts_of(node: &Node, scope: &Scope<'_>, findings: &Findings) -> BTreeMap<String, Template> {
    let entry = |(environment, node): &(String, Node)| {
        let text = node.text(findings)?;
        let template = Template::parse(text, Position::Host, &node.at, scope, findings)?;
        let kept = matches!(template.holes().next().map(|hole| &hole.source), Some(Source::SignedIn(_)));
        let path = text.strip_prefix("https://").is_some_and(|rest| rest.contains(['/', '?', '#', '@']));
        let learned = kept && text.starts_with('{');
        if !learned && !text.starts_with("https://") {
            findings.add(
                &node.at,
                "credentials travel by https only.",
                "Write https://…; for a practice CRM set base_url on the connection.",
            );
        } else if path {
            findings.add(&node.at, "a host holds no path.", "Write the path with each request.");
        }
        Some((environment.clone(), template))
    };
    let hosts: BTreeMap<String, Template> = node.entries(findings).unwrap_or_default().iter().filter_map(entry).collect();
    if hosts.is_empty() {
        findings.add(&node.at, "there is no host.", "Write any = \"https://…\".");
    }
    hosts
}

fn budgets_of(node: &Node, findings: &Findings) -> Vec<BucketLimit> {
    let mut fields = Fields::of(node, findings);
    let general = fields.need("general", "Write [budget.general].");
    let search = fields.get("search");
    fields.end();
    let mut limits = Vec::new();
    for (bucket, node) in [(Bucket::General, general), (Bucket::Search, search)] {
        let Some(node) = node else { continue };
        let read = serde_json::from_value::<BudgetText>(node.to_json()).map_err(|error| error.to_string());
        match read.and_then(|text| text.check(bucket)) {
            Ok(limit) => limits.push(limit),
            Err(problem) => findings.add(
                &node.at,
                format!("{problem}."),
                "Write calls, window_secs, per_second and burst, so that no window is overdrawn.",
            ),
        }
    }
    limits
}

fn refused_of(node: &Node, findings: &Findings) -> Vec<Refused> {
    let entry = |(at, node): &(String, Node)| {
        let place = match Place::parse(at) {
            Ok(place) => place,
            Err(problem) => {
                findings.add(&node.at, problem, "Write a JSON pointer such as /success.");
                return None;
            }
        };
        let (words, not) = match &node.value {
            Value::Table(_) => {
                let mut fields = Fields::of(node, findings);
                let words = fields.need("not", "Write the word of a success, such as { not = \"0\" }.");
                let words = words.map(|node| node.texts(findings)).unwrap_or_default();
                fields.end();
                (words, true)
            }
            _ => (node.texts(findings), false),
        };
        Some(Refused { at: place, words: words.into_iter().map(str::to_owned).collect(), not })
    };
    node.entries(findings).unwrap_or_default().iter().filter_map(entry).collect()
}

fn errors_of(words: &Node, rules: Option<&Node>, findings: &Findings) -> Option<ErrorTable> {
    let read = serde_json::from_value::<Words>(words.to_json());
    let told = match read {
        Ok(told) => told,
        Err(error) => {
            findings.add(
                &words.at,
                format!("{error}."),
                "Write message, code, property and existing as lists of { at = \"/…\" }.",
            );
            return None;
        }
    };
    let nodes = rules.and_then(|node| node.list(findings)).unwrap_or_default();
    let mut texts = Vec::with_capacity(nodes.len());
    for node in nodes {
        match serde_json::from_value::<RuleText>(node.to_json()) {
            Ok(text) => texts.push(text),
            Err(error) => findings.add(&node.at, format!("{error}."), "Write rule, when and then."),
        }
    }
    if texts.len() < nodes.len() {
        return None;
    }
    match ErrorTable::build(texts, told) {
        Ok(table) => Some(table),
        Err((at, problem)) => {
            let node = at.and_then(|at| nodes.get(at)).unwrap_or(words);
            findings.add(&node.at, format!("{problem}."), "The first rule that matches counts: see the rules above it.");
            None
        }
    }
}

impl AccountForm {
    fn read(node: &Node, scope: &Scope<'_>, findings: &Findings) -> Option<Self> {
        let mut fields = Fields::of(node, findings);
        let form = Form::read(&mut fields, &Method::GET, scope, findings);
        let id = fields.need("id", "Write where the account's id stands.").and_then(|node| place(node, findings));
        let environment =
            fields.need("environment", "Write { at = …, words = { … } }, or \"untold\" where the CRM does not say.");
        let environment = environment.and_then(|node| {
            if node.to_json().as_str() == Some("untold") {
                return Some(None);
            }
            let mut fields = Fields::of(node, findings);
            let at = fields.need("at", "Write where the word stands.").and_then(|node| place(node, findings));
            let words = fields.need("words", "Write what the CRM's words mean, such as words = { true = \"sandbox\" }.");
            let words = words.map(|node| texts_of(node, findings)).unwrap_or_default();
            fields.end();
            Some(Some((at?, words)))
        });
        fields.end();
        Some(Self { form: form?, id: id?, environment: environment? })
    }
}
