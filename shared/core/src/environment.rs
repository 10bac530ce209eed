//! Decides whether a database is where it was when Tidemark was adopted for it, and whether it is older than what was seen of it. Looks at nothing itself.
//!
//! A copy of the database carries everything with it, so nothing in it tells that it is one: the place has to. And a restored backup cannot know what happened since:
//! somebody outside it has to. That is the *witness*: it repeats the database's *pulse*, a number that moves while a scheduler runs.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Millis;

/// Where a database is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Place {
    Postgres {
        /// The cluster's own number, where the role may ask for it. A copy of the cluster's files keeps it.
        system: Option<String>,
        /// Made anew with each database, whatever its name: a restore into a new one shows.
        oid: i64,
        database: String,
        /// The schema of the `tidemark_*` tables.
        schema: String,
    },
    Sqlite {
        /// Without links and dots.
        file: String,
        /// The file's number on its volume, where there is one. The volume's own number is none of a place: it changes when a machine starts anew.
        inode: Option<u64>,
    },
}

impl Place {
    /// Whether this is the place that was `known`. What one of them could not be asked for is not held against it.
    pub fn is(&self, known: &Self) -> bool {
        match (self, known) {
            (
                Self::Postgres { system, oid, schema, .. },
                Self::Postgres { system: known_system, oid: known_oid, schema: known_schema, .. },
            ) => alike(system.as_ref(), known_system.as_ref()) && oid == known_oid && schema == known_schema,
            (Self::Sqlite { file, inode }, Self::Sqlite { file: known_file, inode: known_inode }) => {
                file == known_file && alike(inode.as_ref(), known_inode.as_ref())
            }
            (Self::Postgres { .. }, Self::Sqlite { .. }) | (Self::Sqlite { .. }, Self::Postgres { .. }) => false,
        }
    }
}

fn alike<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
    one.is_none() || other.is_none() || one == other
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres { system, oid, database, schema } => {
                write!(f, "PostgreSQL database {database} (oid {oid}), schema {schema}")?;
                system.as_ref().map_or(Ok(()), |system| write!(f, ", of the cluster {system}"))
            }
            Self::Sqlite { file, inode } => {
                write!(f, "SQLite file {file}")?;
                inode.map_or(Ok(()), |inode| write!(f, " (inode {inode})"))
            }
        }
    }
}

/// What a database says of itself, and what is repeated outside it: which database this is, over all its copies, and how far it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulse {
    pub lineage: String,
    pub beats: i64,
}

impl Pulse {
    /// The written form; `None` for what is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (lineage, beats) = text.trim().split_once(' ')?;
        Some(Self { lineage: lineage.to_owned(), beats: beats.parse().ok()? })
    }
}

impl fmt::Display for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.lineage, self.beats)
    }
}

/// How a database stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub beats: i64,
    /// Since its pulse last moved, by its own clock; `None` when it never did.
    pub silent: Option<Millis>,
    /// PostgreSQL's timeline when somebody last looked, where the role may ask for it.
    pub timeline: Option<i64>,
}

/// What is known of it from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Witnessed {
    /// The most beats anybody has seen of this database.
    pub beats: Option<i64>,
    /// PostgreSQL's timeline now: another one after a promotion or a recovery to a point in time.
    pub timeline: Option<i64>,
}

/// Why the database may be older than what was done with it; `None` when nothing says so. A witness that was lost says nothing.
pub fn doubt(standing: Standing, witnessed: Witnessed, guard: Millis) -> Option<String> {
    if let Some(seen) = witnessed.beats.filter(|seen| *seen > standing.beats) {
        return Some(format!(
            "the database is a restored one: its pulse stands at {}, and {seen} was seen of it before",
            standing.beats
        ));
    }
    if let Some(silent) = standing.silent.filter(|silent| *silent > guard) {
        return Some(format!(
            "nothing ran on this database for {} h, longer than environment.restore_guard: it may be a restored one",
            silent / HOUR_MS
        ));
    }
    match (standing.timeline, witnessed.timeline) {
        // A failover that lost nothing is on a new timeline, too: the pulse tells the two apart, where somebody remembers it.
        (Some(known), Some(now)) if known != now && witnessed.beats.is_none() => Some(format!(
            "PostgreSQL went from timeline {known} to {now}, and nobody outside the database remembers how far it was: it may be a restored one"
        )),
        _ => None,
    }
}

const HOUR_MS: Millis = 3_600_000;

#[cfg(test)]
#[path = "environment_tests.rs"]
mod tests;
