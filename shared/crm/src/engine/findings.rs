//! Collects what is wrong with a connector file: line, place, problem, remedy. Decides nothing.

use std::cell::RefCell;
use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// From 1.
    pub line: usize,
    /// The dotted key.
    pub place: String,
    pub problem: String,
    pub remedy: String,
}

/// A connector file that cannot be used, with all that is wrong in it, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct LoadError {
    pub file: String,
    pub findings: Vec<Finding>,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, finding) in self.findings.iter().enumerate() {
            let Finding { line, place, problem, remedy } = finding;
            let (start, colon) = (if at == 0 { "" } else { "\n" }, if place.is_empty() { "" } else { ": " });
            write!(f, "{start}{}:{line}: {place}{colon}{problem} {remedy}", self.file)?;
        }
        Ok(())
    }
}

/// Where a finding belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct At {
    pub(super) line: usize,
    pub(super) place: String,
}

impl At {
    pub(super) fn child(&self, line: usize, key: &str) -> Self {
        let dot = if self.place.is_empty() { "" } else { "." };
        Self { line, place: format!("{}{dot}{key}", self.place) }
    }
}

/// What was found so far. Shared by everything that reads a file.
#[derive(Debug, Default)]
pub(super) struct Findings(RefCell<Vec<Finding>>);

impl Findings {
    pub(super) fn add(&self, at: &At, problem: impl Into<String>, remedy: impl Into<String>) {
        let (problem, remedy) = (problem.into(), remedy.into());
        self.0.borrow_mut().push(Finding { line: at.line, place: at.place.clone(), problem, remedy });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    pub(super) fn into_error(self, file: &str) -> LoadError {
        let mut findings = self.0.into_inner();
        findings.sort_by_key(|finding| finding.line);
        LoadError { file: file.to_owned(), findings }
    }
}
