//! `check`: validates the file, the database, the queue and the CRM's answer; predicts what would fail, and says what to do about each. Changes nothing unless told.

mod crm;
mod table;

use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;
use tidemark_boot::QueueUrl;

use crate::compose::House;
use crate::verbs::{DIFFERS, load, say, say_json};

pub(crate) struct Options {
    pub(crate) fix: bool,
    pub(crate) offline: bool,
    pub(crate) json: bool,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    /// `ok`, `note` (works, but look at it) or `error` (will fail).
    level: &'static str,
    subject: String,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, subject: impl Into<String>, found: impl Into<String>) {
        self.0.push(Finding { level: "ok", subject: subject.into(), found: found.into(), remedy: None });
    }

    fn note(&mut self, subject: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Finding { level: "note", subject: subject.into(), found: found.into(), remedy: Some(remedy.into()) });
    }

    fn error(&mut self, subject: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Finding { level: "error", subject: subject.into(), found: found.into(), remedy: Some(remedy.into()) });
    }
}

pub(crate) async fn run(path: &Path, options: Options) -> eyre::Result<ExitCode> {
    let config = load(path)?;
    let mut findings = Findings::default();
    findings
        .ok(path.display().to_string(), format!("{} streams on {} connections", config.streams.len(), config.connections.len()));
    if !options.offline {
        match House::open(config).await {
            Err(error) => findings.error("database", words(&error), "correct database.url, or start the server"),
            Ok(house) => look(&house, options.fix, &mut findings).await?,
        }
    }
    let failed = findings.0.iter().any(|finding| finding.level == "error");
    if options.json {
        say_json(&findings.0)?;
    } else {
        for finding in &findings.0 {
            say(format_args!("{:<5} {}: {}", finding.level, finding.subject, finding.found));
            if let Some(remedy) = &finding.remedy {
                say(format_args!("      → {remedy}"));
            }
        }
    }
    Ok(if failed { ExitCode::from(DIFFERS) } else { ExitCode::SUCCESS })
}

async fn look(house: &House, fix: bool, findings: &mut Findings) -> eyre::Result<()> {
    findings.ok("database", "answers");
    match (house.probe_queue().await, &house.config.queue.url) {
        (Ok(()), QueueUrl::Redis(_)) => findings.ok("queue", "answers"),
        (Ok(()), QueueUrl::File(_) | QueueUrl::Embedded) => findings.ok("queue", "its file can be written"),
        (Err(error), QueueUrl::Redis(_)) => findings.error("queue", error.to_string(), "start Redis, or correct queue.url"),
        (Err(error), QueueUrl::File(_) | QueueUrl::Embedded) => {
            findings.error("queue", error.to_string(), "let queue.url name a file in a folder that can be written, or a Redis");
        }
    }
    if !house.store.is_migrated().await? {
        findings.error("tables of Tidemark", "are missing or old", "run `tidemark migrate` (with --plan to read the SQL first)");
    }
    let mut shapes = HashMap::new();
    for spec in &house.config.streams {
        if let Some(shape) = table::look(house, spec, findings).await? {
            shapes.insert(spec.name.as_str(), shape);
        }
    }
    crm::look(house, &shapes, fix, findings).await;
    Ok(())
}

fn words(error: &eyre::Report) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
