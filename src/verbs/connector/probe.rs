//! `connector probe`: what a running CRM does, beside what a file declares. Changes no file.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;
use tidemark_conformance::Bench;
use tidemark_conformance::probe::{Comparison, Declared, Finding, MAKES, probe, takes_at_most};
use tidemark_crm::engine::Said;

use super::trial::Trial;
use crate::cli::TrialArgs;
use crate::verbs::{DIFFERS, aside, say, say_json};

pub(crate) async fn run(config: &Path, wish: &TrialArgs) -> eyre::Result<ExitCode> {
    let trial = Trial::prepare(config, wish, None, MAKES).await?;
    trial.prove().await?;
    let Trial { own, subject, mark, crm } = &trial;
    let word = |place: &str| own.said(&subject.object, place).and_then(|said| said.text);
    let declared = Declared {
        lower_open: word("read.lower").filter(|word| word != "unknown").map(|word| word == "open"),
        upper_closed: word("read.upper").filter(|word| word != "none").map(|word| word == "closed"),
    };
    // A practice CRM is learned from like any other: nothing of it is set.
    let bench = Bench::new(Arc::clone(crm), Arc::clone(subject), None, mark.clone());
    let minutes = takes_at_most(&crm.traits(&subject.object)?).as_secs().div_ceil(60);
    aside(format_args!("two minutes as a rule; {minutes} at most, if each save shows a minute later than the file declares"));
    let findings = probe(&bench, declared, &|step| aside(step)).await;
    let left: Vec<String> = bench.left().into_iter().map(|id| id.0).collect();
    if !left.is_empty() && !wish.json {
        say(format_args!("{} test records could not be archived; look for {mark}: {}", left.len(), left.join(", ")));
    }
    let findings = findings?;
    let place = |finding: &Finding| finding.places.iter().find_map(|place| own.said(&subject.object, place));
    if wish.json {
        let told = |finding: &Finding| {
            let at = place(finding);
            json!({
                "what": finding.what,
                "declared": finding.declared,
                "found": finding.found,
                "comparison": comparison(finding.comparison),
                "line": at.as_ref().map(|at| at.line),
                "place": at.as_ref().map(|at| &at.place),
            })
        };
        let found: Vec<_> = findings.iter().map(told).collect();
        say_json(&json!({ "connector": own.name, "file": wish.file, "against": wish.against, "findings": found, "left": left }))?;
    } else {
        say(format_args!("{:<12} {:<20} {:<36} {:<9}", "", "declared", "found", ""));
        for finding in &findings {
            let Finding { what, declared, found, comparison: compared, .. } = finding;
            let at = place(finding).filter(|_| *compared != Comparison::Agrees);
            let at = at.map(|Said { line, place, .. }| format!("  ({}:{line}: {place})", wish.file.display()));
            say(format_args!("{what:<12} {declared:<20} {found:<36} {}{}", comparison(*compared), at.unwrap_or_default()));
        }
    }
    let differs = findings.iter().any(|finding| finding.comparison == Comparison::Differs);
    Ok(if differs { ExitCode::from(DIFFERS) } else { ExitCode::SUCCESS })
}

fn comparison(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Agrees => "agrees",
        Comparison::Harsher => "harsher",
        Comparison::Differs => "differs",
    }
}
