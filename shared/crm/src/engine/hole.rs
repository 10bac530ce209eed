//! The closed list of holes a template may have, what kind of value each is, and the values that fill them for one request. Decides nothing about where they may stand.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value as Json;
use tidemark_core::Millis;

/// What a hole holds, before or after its filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Anybody's text: may stand alone, where it is encoded, and nowhere inside other text.
    Text,
    Texts,
    /// The name of a property: letters, digits, `_`, `-` and `.`.
    Name,
    Names,
    Moment,
    Number,
    Json,
    /// Anybody's texts with commas between them: stand alone, and no filter makes more of them.
    Joined,
    /// A text that can stand inside other text.
    Safe,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Texts => "a list of texts",
            Self::Name => "a property's name",
            Self::Names => "a list of properties",
            Self::Moment => "a moment",
            Self::Number => "a number",
            Self::Json => "JSON",
            Self::Joined => "a list with commas",
            Self::Safe => "a text that is ready",
        }
    }
}

/// Where a hole's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    From,
    Until,
    AfterTime,
    AfterId,
    Token,
    Page,
    Offset,
    RowsMax,
    Fields,
    Id,
    Ids,
    Property,
    Value,
    Values,
    Key,
    Version,
    Row,
    Rows,
    /// The object's name as the mapping writes it.
    Object,
    /// `settings.NAME` of the connection.
    Config(String),
    /// `secret.NAME` of the connection.
    Secret(String),
    /// Kept from the answer to signing in.
    SignedIn(String),
}

const PLAIN: [(&str, Source, Kind); 19] = [
    ("object", Source::Object, Kind::Name),
    ("from", Source::From, Kind::Moment),
    ("until", Source::Until, Kind::Moment),
    ("after_time", Source::AfterTime, Kind::Moment),
    ("after_id", Source::AfterId, Kind::Text),
    ("token", Source::Token, Kind::Text),
    ("page", Source::Page, Kind::Number),
    ("offset", Source::Offset, Kind::Number),
    ("rows_max", Source::RowsMax, Kind::Number),
    ("fields", Source::Fields, Kind::Names),
    ("id", Source::Id, Kind::Text),
    ("ids", Source::Ids, Kind::Texts),
    ("property", Source::Property, Kind::Name),
    ("value", Source::Value, Kind::Text),
    ("values", Source::Values, Kind::Texts),
    ("key", Source::Key, Kind::Text),
    ("version", Source::Version, Kind::Text),
    ("row", Source::Row, Kind::Json),
    ("rows", Source::Rows, Kind::Json),
];

impl Source {
    pub(super) fn parse(name: &str) -> Option<(Self, Kind)> {
        if let Some((_, source, kind)) = PLAIN.iter().find(|(plain, ..)| *plain == name) {
            return Some((source.clone(), *kind));
        }
        let (family, name) = name.split_once('.')?;
        let name = name.to_owned();
        match family {
            "config" => Some((Self::Config(name), Kind::Text)),
            "secret" => Some((Self::Secret(name), Kind::Text)),
            "signed_in" => Some((Self::SignedIn(name), Kind::Text)),
            _ => None,
        }
    }

    /// As it is written.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Config(name) => format!("config.{name}"),
            Self::Secret(name) => format!("secret.{name}"),
            Self::SignedIn(name) => format!("signed_in.{name}"),
            plain => {
                let named = PLAIN.iter().find(|(_, source, _)| source == plain);
                named.map_or_else(String::new, |(name, ..)| (*name).to_owned())
            }
        }
    }
}

/// What fills the holes of one request. What a request does not have is left out.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) from: Option<Millis>,
    pub(super) until: Option<Millis>,
    pub(super) after_time: Option<Millis>,
    pub(super) after_id: Option<&'a str>,
    pub(super) token: Option<&'a str>,
    pub(super) page: Option<u64>,
    pub(super) offset: Option<u64>,
    pub(super) rows_max: Option<u64>,
    pub(super) fields: &'a [&'a str],
    pub(super) ids: &'a [&'a str],
    pub(super) object: Option<&'a str>,
    pub(super) property: Option<&'a str>,
    pub(super) values: &'a [&'a str],
    pub(super) key: Option<&'a str>,
    pub(super) version: Option<&'a str>,
    pub(super) row: Option<&'a Json>,
    pub(super) rows: Option<&'a Json>,
    pub(super) constants: Option<&'a Constants>,
}

/// What is the same for every request of a connection.
#[derive(Debug, Default)]
pub(super) struct Constants {
    pub(super) settings: BTreeMap<String, String>,
    pub(super) secrets: BTreeMap<String, SecretString>,
    pub(super) signed_in: BTreeMap<String, String>,
}

/// One hole's value.
#[derive(Debug, Clone)]
pub(super) enum Found<'a> {
    Text(&'a str),
    Texts(&'a [&'a str]),
    Moment(Millis),
    Number(u64),
    Json(&'a Json),
}

impl<'a> Values<'a> {
    /// `None` where this request has no such value, or where one text is asked for and there are several.
    pub(super) fn find(&self, source: &Source) -> Option<Found<'a>> {
        let one = |list: &'a [&'a str]| match list {
            [text] => Some(Found::Text(text)),
            _ => None,
        };
        match source {
            Source::From => self.from.map(Found::Moment),
            Source::Until => self.until.map(Found::Moment),
            Source::AfterTime => self.after_time.map(Found::Moment),
            Source::AfterId => self.after_id.map(Found::Text),
            Source::Token => self.token.map(Found::Text),
            Source::Page => self.page.map(Found::Number),
            Source::Offset => self.offset.map(Found::Number),
            Source::RowsMax => self.rows_max.map(Found::Number),
            Source::Fields => Some(Found::Texts(self.fields)),
            Source::Id => one(self.ids),
            Source::Ids => Some(Found::Texts(self.ids)),
            Source::Object => self.object.map(Found::Text),
            Source::Property => self.property.map(Found::Text),
            Source::Value => one(self.values),
            Source::Values => Some(Found::Texts(self.values)),
            Source::Key => self.key.map(Found::Text),
            Source::Version => self.version.map(Found::Text),
            Source::Row => self.row.map(Found::Json),
            Source::Rows => self.rows.map(Found::Json),
            Source::Config(name) => self.constants?.settings.get(name).map(|text| Found::Text(text)),
            Source::Secret(name) => self.constants?.secrets.get(name).map(|secret| Found::Text(secret.expose_secret())),
            Source::SignedIn(name) => self.constants?.signed_in.get(name).map(|text| Found::Text(text)),
        }
    }
}
