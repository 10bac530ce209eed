//! Decides what a file says about credentials: which header they stand in, and how a token is asked for. Holds no secret and asks nobody.

use std::collections::BTreeMap;

use reqwest::Method;
use reqwest::header::HeaderName;

use super::findings::Findings;
use super::hole::Source;
use super::node::{Fields, Node};
use super::place::Place;
use super::request::{Form, header_name};
use super::shape::place;
use super::statement::Statement;
use super::template::{Position, Scope, Template};

/// How a connection shows who it is.
#[derive(Debug, Clone)]
pub(super) enum Auth {
    /// The same header with every request.
    Header {
        name: HeaderName,
        value: Template,
    },
    Basic {
        user: Template,
        password: Template,
    },
    Token(Box<TokenAuth>),
}

/// A token is asked for, and wears out.
#[derive(Debug, Clone)]
pub(super) struct TokenAuth {
    /// Where it is asked for; the API's own host where none is named.
    pub(super) host: Option<Template>,
    pub(super) form: Form,
    /// Sent as a form; else the body of `form` is.
    pub(super) fields: Vec<(String, Template)>,
    pub(super) client: Option<(Template, Template)>,
    /// Signed, and sent with the fields.
    pub(super) statement: Option<Statement>,
    pub(super) token: Place,
    /// How long it lives, seconds: where the answer says so, else what is declared.
    pub(super) lifetime: Option<Place>,
    pub(super) lifetime_secs: Option<u32>,
    /// Something stands here when it is refused, whatever the status says.
    pub(super) refused: Option<Place>,
    /// All processes can share what comes of it.
    pub(super) shares: bool,
    /// Where the next refresh token stands; the one that was sent is spent.
    pub(super) rotates: Option<Place>,
    pub(super) keep: BTreeMap<String, Kept>,
    pub(super) name: HeaderName,
    pub(super) value: Template,
}

/// What is kept of the answer for later requests.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) at: Place,
    /// An address must lie below one of these: credentials go to no other host.
    pub(super) within: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Header,
    Basic,
    Refresh,
    Client,
    Jwt,
    Session,
}

/// The secret that is replaced by the next refresh token.
pub(super) const REFRESH: &str = "refresh_token";

const KINDS: [(&str, Kind); 6] = [
    ("header", Kind::Header),
    ("basic", Kind::Basic),
    ("oauth_refresh", Kind::Refresh),
    ("oauth_client", Kind::Client),
    ("oauth_jwt", Kind::Jwt),
    ("session_login", Kind::Session),
];

impl Auth {
    pub(super) fn read(node: &Node, scope: &Scope<'_>, findings: &Findings) -> Option<Self> {
        let mut fields = Fields::of(node, findings);
        if fields.get("kind").is_none() {
            findings.add(
                &node.at,
                "`kind` is missing.",
                "Write header, basic, oauth_refresh, oauth_client, oauth_jwt or session_login.",
            );
        }
        let kind = fields.word("kind", &KINDS)?;
        let text =
            |node: &Node, position, scope: &Scope<'_>| Template::parse(node.text(findings)?, position, &node.at, scope, findings);
        let auth = match kind {
            Kind::Basic => {
                let user =
                    fields.need("user", "Write the name to sign in with.").and_then(|node| text(node, Position::Header, scope));
                let password = fields.need("password", "Write password = \"{secret.NAME}\".");
                let password = password.and_then(|node| text(node, Position::Header, scope));
                user.zip(password).map(|(user, password)| Self::Basic { user, password })
            }
            Kind::Header => {
                let name = fields.need("header", "Write the header's name, such as header = \"Authorization\".");
                let name = name.and_then(|node| header_name(node.text(findings)?, &node.at, findings));
                let value = fields.need("value", "Write value = \"Bearer {secret.token}\".");
                let value = value.and_then(|node| {
                    let value = text(node, Position::Header, scope)?;
                    if !value.holes().any(|hole| matches!(hole.source, Source::Secret(_))) {
                        findings.add(&node.at, "no secret is used.", "Use {secret.NAME}.");
                    }
                    Some(value)
                });
                name.zip(value).map(|(name, value)| Self::Header { name, value })
            }
            Kind::Refresh | Kind::Client | Kind::Jwt | Kind::Session => {
                TokenAuth::read(&mut fields, kind, scope, findings).map(|token| Self::Token(Box::new(token)))
            }
        };
        fields.end();
        auth
    }

    /// What later requests may use of the answer to signing in.
    pub(super) fn kept(&self) -> Vec<String> {
        match self {
            Self::Token(token) => token.keep.keys().cloned().collect(),
            Self::Header { .. } | Self::Basic { .. } => Vec::new(),
        }
    }
}

impl TokenAuth {
    fn read(fields: &mut Fields<'_>, kind: Kind, scope: &Scope<'_>, findings: &Findings) -> Option<Self> {
        let text =
            |node: &Node, position, scope: &Scope<'_>| Template::parse(node.text(findings)?, position, &node.at, scope, findings);
        let host = fields.get("host").and_then(|node| text(node, Position::Host, scope));
        let form = Form::read(fields, &Method::POST, scope, findings);
        let written = fields.get("form");
        let entry = |(name, node): &(String, Node)| Some((name.clone(), text(node, Position::Form, scope)?));
        let mut sent: Vec<(String, Template)> =
            written.and_then(|node| node.entries(findings)).unwrap_or_default().iter().filter_map(entry).collect();
        // What the grant itself asks for, unless the file says it otherwise.
        let usual: &[(&str, &str)] = match kind {
            Kind::Refresh => &[
                ("grant_type", "refresh_token"),
                ("refresh_token", "{secret.refresh_token}"),
                ("client_id", "{secret.client_id}"),
                ("client_secret", "{secret.client_secret}"),
            ],
            Kind::Client => &[
                ("grant_type", "client_credentials"),
                ("client_id", "{secret.client_id}"),
                ("client_secret", "{secret.client_secret}"),
            ],
            Kind::Jwt => &[("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")],
            Kind::Header | Kind::Basic | Kind::Session => &[],
        };
        let statement = (kind == Kind::Jwt).then(|| Statement::read(fields, scope, findings)).flatten();
        let client = fields.flag("client_in_header").unwrap_or(false);
        for (name, value) in usual.iter().filter(|(name, _)| !(client && name.starts_with("client_"))) {
            if !sent.iter().any(|(known, _)| known == name) {
                sent.extend(
                    Template::parse(value, Position::Form, fields.at, scope, findings).map(|value| ((*name).to_owned(), value)),
                );
            }
        }
        let of_client = |name: &str| Template::parse(name, Position::Header, fields.at, scope, findings);
        let client = client.then(|| Some((of_client("{secret.client_id}")?, of_client("{secret.client_secret}")?))).flatten();
        let token = fields.need("token", "Write where the token stands in the answer, such as token = \"/access_token\".");
        let token = token.and_then(|node| place(node, findings));
        let lifetime = fields.get("lifetime").and_then(|node| place(node, findings));
        let lifetime_secs = fields.number("lifetime_secs", 1, 31_536_000);
        let refused = fields.get("refused").and_then(|node| place(node, findings));
        let rotates = fields.get("rotates");
        let sends_it =
            |(_, value): &(String, Template)| value.holes().any(|hole| hole.source == Source::Secret(REFRESH.to_owned()));
        if let Some(node) = rotates.filter(|_| kind != Kind::Refresh || !sent.iter().any(sends_it)) {
            let problem = "there is no refresh token that could be another the next time.";
            findings.add(
                &node.at,
                problem,
                "Write kind = \"oauth_refresh\" and send {secret.refresh_token}, or take `rotates` out.",
            );
        }
        let rotates = rotates.and_then(|node| place(node, findings));
        let kept = fields.get("keep").and_then(|node| node.entries(findings)).unwrap_or_default();
        let keep = kept.iter().filter_map(|(name, node)| Some((name.clone(), Kept::read(node, findings)?))).collect();
        let sends = fields.need("sends", "Write sends = { header = \"Authorization\", value = \"Bearer {token}\" }.");
        let sends = sends.and_then(|node| sent_as(node, scope, findings));
        let (name, value) = sends?;
        // A digest of a name and a password could be guessed.
        let shares = kind != Kind::Session;
        Some(Self {
            host,
            form: form?,
            fields: sent,
            client,
            statement,
            token: token?,
            lifetime,
            lifetime_secs,
            refused,
            shares,
            rotates,
            keep,
            name,
            value,
        })
    }
}

/// The header that carries the token.
fn sent_as(node: &Node, scope: &Scope<'_>, findings: &Findings) -> Option<(HeaderName, Template)> {
    let mut fields = Fields::of(node, findings);
    let name = fields.need("header", "Write the header's name, such as header = \"Authorization\".");
    let name = name.and_then(|node| header_name(node.text(findings)?, &node.at, findings));
    let value = fields.need("value", "Write value = \"Bearer {token}\".");
    let value = value.and_then(|node| {
        let scope = Scope { plain: &["token"], ..scope.clone() };
        let value = Template::parse(node.text(findings)?, Position::Header, &node.at, &scope, findings)?;
        if !value.holes().any(|hole| hole.source == Source::Token) {
            findings.add(&node.at, "{token} is never used.", "Write value = \"Bearer {token}\".");
        }
        Some(value)
    });
    fields.end();
    Some((name?, value?))
}

impl Kept {
    fn read(node: &Node, findings: &Findings) -> Option<Self> {
        let mut fields = Fields::of(node, findings);
        let at = fields.need("at", "Write where it stands in the answer.").and_then(|node| place(node, findings));
        let within = fields.get("within").map(|node| node.texts(findings)).unwrap_or_default();
        let within = within.into_iter().map(|host| host.trim_start_matches('.').to_lowercase()).collect();
        fields.end();
        Some(Self { at: at?, within })
    }
}
