//! Knows the connectors: those of this build, and the files of a folder of one's own, which add to them or take the place of one that is described by a file. Speaks to nobody.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;
use serde::Serialize;
use tidemark_core::source::SourceTraits;
use tidemark_core::spec::ConnectionSpec;

use crate::connect::{ConnectError, FILES, connect};
use crate::engine::{Connector, Engine, LoadError, Said, said};
use crate::{Crm, hooks, hubspot};

/// What can be connected to.
#[derive(Debug, Default)]
pub struct Catalog {
    own: BTreeMap<String, (String, Connector)>,
}

/// One connector, for whoever chooses among them.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    pub name: String,
    pub vendor: String,
    /// The file it was read from; none for one of this build.
    pub file: Option<String>,
    /// It is told of changes and never read.
    pub one_way: bool,
    /// `secret.NAME` and `settings.NAME` of a connection, with what is to be written there.
    pub secrets: BTreeMap<String, String>,
    pub settings: BTreeMap<String, String>,
    /// By name; `*` is any that is not named.
    pub objects: BTreeMap<String, ObjectEntry>,
}

/// What can be done with an object.
#[derive(Debug, Clone, Serialize)]
pub struct ObjectEntry {
    pub can: Vec<&'static str>,
    pub traits: SourceTraits,
}

/// A file of one's own that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("{place} cannot be read: check the path and the rights")]
    Unreadable {
        place: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{file}: a connector's file is named after it, in small letters, digits, - and _, such as acme-crm.toml")]
    Name { file: String },
    #[error("{file}: {name} is spoken by code of this build, and no file takes its place: give it another name")]
    Taken { file: String, name: String },
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("{}", Lines(.0))]
    Several(Vec<CatalogError>),
}

/// One after the other.
struct Lines<'a>(&'a [CatalogError]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join("\n"))
    }
}

impl Catalog {
    /// With every `*.toml` of a folder. All that is wrong in any of them is said at once.
    pub fn with_folder(folder: &Path) -> Result<Self, CatalogError> {
        let unreadable = |source| CatalogError::Unreadable { place: folder.display().to_string(), source };
        let (mut own, mut wrong) = (BTreeMap::new(), Vec::new());
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_none_or(|ending| ending != "toml") {
                continue;
            }
            match open(&path) {
                Ok(Own { name, connector, .. }) => {
                    own.insert(name, (path.display().to_string(), connector));
                }
                Err(error) => wrong.push(error),
            }
        }
        wrong.sort_by_key(ToString::to_string);
        if wrong.is_empty() { Ok(Self { own }) } else { Err(CatalogError::Several(wrong)) }
    }

    /// Makes the connector that `spec.connector` names. `secrets` are keyed as in `secret.token`.
    pub fn connect(&self, spec: &ConnectionSpec, secrets: &BTreeMap<String, SecretString>) -> Result<Arc<dyn Crm>, ConnectError> {
        match self.own.get(&spec.connector) {
            Some((_, connector)) => Ok(Arc::new(Engine::connect(spec, secrets, connector.clone())?)),
            None => connect(spec, secrets, &self.own.keys().map(String::as_str).collect::<Vec<_>>()),
        }
    }

    /// All of them, by name.
    pub fn entries(&self) -> Result<Vec<Entry>, ConnectError> {
        let mut entries = vec![hubspot::entry()?];
        entries.extend(hooks::entries()?);
        for (name, file, text) in FILES.iter().filter(|(name, ..)| !self.own.contains_key(*name)) {
            entries.push(Connector::load(name, file, text)?.entry(None));
        }
        entries.extend(self.own.values().map(|(file, connector)| connector.entry(Some(file.clone()))));
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }
}

/// Reads one file and says what it comes to.
pub fn check(path: &Path) -> Result<Entry, CatalogError> {
    open(path).map(|own| own.connector.entry(Some(path.display().to_string())))
}

/// One file of one's own.
#[derive(Debug)]
pub struct Own {
    pub name: String,
    pub text: String,
    pub connector: Connector,
}

impl Own {
    pub fn entry(&self) -> Entry {
        self.connector.entry(None)
    }

    /// What the file says of an object, or of all that it does not list; from its root on where the place begins with a slash.
    pub fn said(&self, object: &str, place: &str) -> Option<Said> {
        if let Some(place) = place.strip_prefix('/') {
            return said(&self.text, &[place]);
        }
        let below: Vec<&str> = place.split('.').collect();
        let of_object = said(&self.text, &[&["object", object], below.as_slice()].concat());
        of_object.or_else(|| said(&self.text, &[&["object_default"], below.as_slice()].concat()))
    }
}

/// Reads one file.
pub fn open(path: &Path) -> Result<Own, CatalogError> {
    let file = path.display().to_string();
    let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    named(name, &file)?;
    let text = std::fs::read_to_string(path).map_err(|source| CatalogError::Unreadable { place: file.clone(), source })?;
    let connector = Connector::load(name, &file, &text)?;
    Ok(Own { name: name.to_owned(), text, connector })
}

/// A file for a connector of that name, with blanks where only its author knows what to write.
pub fn scaffold(name: &str) -> Result<String, CatalogError> {
    named(name, &format!("{name}.toml"))?;
    Ok(SCAFFOLD.replace("NAME", name))
}

const SCAFFOLD: &str = include_str!("scaffold.toml");

fn named(name: &str, file: &str) -> Result<(), CatalogError> {
    let plain = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit() || matches!(one, '-' | '_');
    if name.is_empty() || !name.chars().all(plain) {
        return Err(CatalogError::Name { file: file.to_owned() });
    }
    if name == hubspot::NAME || hooks::is_hook(name) {
        return Err(CatalogError::Taken { file: file.to_owned(), name: name.to_owned() });
    }
    Ok(())
}
