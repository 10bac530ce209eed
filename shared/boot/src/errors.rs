//! What is wrong with a configuration, where it was written, and what would be right.
//!
//! Holds texts only. Whoever adds a finding leaves secrets out of it.

use std::cell::RefCell;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Everything found wrong, in the order of the files' lines, environment variables last. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    pub errors: Vec<ConfigError>,
}

impl ConfigErrors {
    pub(crate) fn unreadable(path: &Path, cause: &std::io::Error) -> Self {
        let origin = Origin::File { name: path.display().to_string().into(), position: None };
        let problem = format!("The file cannot be read: {cause}.");
        let remedy = "Check the path and the rights, or write the file.".to_owned();
        Self { errors: vec![ConfigError { at: Place { origin, key: String::new() }, problem, remedy }] }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errors.len() {
            1 => write!(f, "The configuration has 1 error.")?,
            count => write!(f, "The configuration has {count} errors.")?,
        }
        self.errors.iter().try_for_each(|error| write!(f, "\n\n{error}"))
    }
}

impl std::error::Error for ConfigErrors {}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    pub at: Place,
    /// What is wrong, one sentence.
    pub problem: String,
    /// What would be right, one sentence.
    pub remedy: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n    {}\n    {}", self.at, self.problem, self.remedy)
    }
}

/// Where a key was given its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub origin: Origin,
    /// The dotted key; empty for a whole file.
    pub key: String,
}

impl Place {
    /// The same position, one key further in.
    pub(crate) fn child(&self, name: &str) -> Self {
        let bare = |one: char| one.is_ascii_alphanumeric() || matches!(one, '-' | '_');
        let name = if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { format!("{name:?}") };
        let key = if self.key.is_empty() { name } else { format!("{}.{name}", self.key) };
        Self { origin: self.origin.clone(), key }
    }

    pub(crate) fn is_variable(&self) -> bool {
        matches!(self.origin, Origin::Variable(_))
    }

    /// True when a stream has the value only because `[defaults]` has it.
    pub(crate) fn is_inherited(&self) -> bool {
        self.key.starts_with("defaults.")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.origin, self.key.as_str()) {
            (origin, "") => write!(f, "{origin}"),
            (origin, key) => write!(f, "{origin}: {key}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Line and column count from 1.
    File { name: Arc<str>, position: Option<(usize, usize)> },
    /// The name of an environment variable.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, position: Some((line, column)) } => write!(f, "{name}:{line}:{column}"),
            Self::File { name, position: None } => f.write_str(name),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// Collects what is found wrong, so that one run reports all of it.
#[derive(Default)]
pub(crate) struct Findings {
    /// The user's file.
    file: Arc<str>,
    errors: RefCell<Vec<ConfigError>>,
}

impl Findings {
    pub(crate) fn of(file: &str) -> Self {
        Self { file: file.into(), errors: RefCell::default() }
    }

    /// A key that is not there is missing from the user's file, even where only the defaults have its table.
    pub(crate) fn add_missing(&self, table: &Place, name: &str, remedy: &str) {
        let mut at = table.child(name);
        if let Origin::File { name, position } = &mut at.origin
            && *name != self.file
        {
            (*name, *position) = (Arc::clone(&self.file), None);
        }
        self.add(&at, format!("`{name}` is missing."), remedy);
    }

    /// A value of `[defaults]` is checked once per stream that inherits it; the same finding at the same place counts once.
    pub(crate) fn add(&self, at: &Place, problem: impl Into<String>, remedy: impl Into<String>) {
        let error = ConfigError { at: at.clone(), problem: problem.into(), remedy: remedy.into() };
        let mut errors = self.errors.borrow_mut();
        if !errors.contains(&error) {
            errors.push(error);
        }
    }

    /// The value, unless something was found wrong on the way to it.
    pub(crate) fn settle<T>(self, value: Option<T>) -> Result<T, ConfigErrors> {
        let mut errors = self.errors.into_inner();
        match value {
            Some(value) if errors.is_empty() => Ok(value),
            _ => {
                errors.sort_by_key(|error| sort_key(&error.at.origin));
                Err(ConfigErrors { errors })
            }
        }
    }
}

fn sort_key(origin: &Origin) -> (bool, String, Option<(usize, usize)>) {
    match origin {
        Origin::File { name, position } => (false, name.to_string(), *position),
        Origin::Variable(name) => (true, name.clone(), None),
    }
}

/// ` Did you mean …?` material: the known word that a typing slip away from `wrong` could be.
pub(crate) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let close = known.into_iter().map(|word| (strsim::osa_distance(&wrong.to_lowercase(), &word.to_lowercase()), word));
    let allowed = |word: &str| (word.chars().count() / 3).max(1);
    close.filter(|(distance, word)| *distance <= allowed(word)).min_by_key(|(distance, _)| *distance).map(|(_, word)| word)
}

/// The words in backticks, for a sentence.
pub(crate) fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_finds_none() {
        let known = ["every", "lag", "settled_lag", "overlap"];
        assert_eq!(nearest("evry", known), Some("every"));
        assert_eq!(nearest("setled_lag", known), Some("settled_lag"));
        assert_eq!(nearest("Lag", known), Some("lag"));
        assert_eq!(nearest("webhook", known), None);
    }
}
