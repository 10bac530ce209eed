//! `connector test`: the cases that every connector has to hold, on a file of one's own, in front of a server that its author runs. Makes nothing before it was told to.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use eyre::ensure;
use serde_json::json;
use tidemark_conformance::{Bench, CASES, Case, Practice, Verdict, case_named, places};
use tidemark_crm::engine::Said;

use super::trial::Trial;
use crate::cli::TestArgs;
use crate::verbs::{DIFFERS, say, say_json};

/// What came of one case.
struct Row {
    case: &'static Case,
    outcome: &'static str,
    reason: Option<String>,
    at: Option<Said>,
}

const HOLDS: &str = "holds";
const FAILS: &str = "fails";
const UNSEEN: &str = "not seen";

pub(crate) async fn run(config: &Path, wish: &TestArgs) -> eyre::Result<ExitCode> {
    let cases = chosen(&wish.cases)?;
    let makes = cases.iter().map(|case| case.makes).sum();
    let trial = Trial::prepare(config, &wish.trial, wish.external_key.as_deref(), makes).await?;
    let practice = Practice::find(&wish.trial.against, &trial.subject.object).await?;
    if let Some(practice) = &practice {
        practice.calm().await?;
    }
    let ran = match trial.prove().await {
        Ok(()) => Ok(try_each(&cases, &trial, practice.as_ref(), wish).await),
        Err(error) => Err(error),
    };
    if let Some(practice) = &practice {
        practice.restore().await?;
    }
    let ran = ran?;
    if wish.trial.json {
        say_json(&document(&trial, wish, practice.as_ref(), &ran))?;
    } else {
        conclude(&ran, &trial.mark);
    }
    ensure!(ran.whole, "ended before the last case; what was made until then is archived");
    let bad = ran.rows.iter().any(|row| matches!(row.outcome, FAILS | UNSEEN));
    Ok(if bad { ExitCode::from(DIFFERS) } else { ExitCode::SUCCESS })
}

fn chosen(names: &[String]) -> eyre::Result<Vec<&'static Case>> {
    if names.is_empty() {
        return Ok(CASES.iter().collect());
    }
    names.iter().map(|name| case_named(name)).collect()
}

/// What came of all cases.
struct Ran {
    rows: Vec<Row>,
    /// Records that could not be archived.
    left: Vec<String>,
    /// The last case was reached.
    whole: bool,
}

/// Each case on a bench of its own.
async fn try_each(cases: &[&'static Case], trial: &Trial, practice: Option<&Practice>, wish: &TestArgs) -> Ran {
    let mut ran = Ran { rows: Vec::with_capacity(cases.len()), left: Vec::new(), whole: true };
    for (at, case) in cases.iter().enumerate() {
        let (crm, subject) = (Arc::clone(&trial.crm), Arc::clone(&trial.subject));
        let bench = Bench::new(crm, subject, practice.cloned(), format!("{}{at:02}", trial.mark));
        let verdict = tokio::select! {
            verdict = case.run(&bench) => Some(verdict),
            _ = tokio::signal::ctrl_c() => None,
        };
        if verdict.is_none() {
            bench.clear().await;
        }
        ran.left.extend(bench.left().into_iter().map(|id| id.0));
        let Some(verdict) = verdict else {
            ran.whole = false;
            break;
        };
        let row = row(case, verdict, trial);
        if !wish.trial.json {
            show(&row, wish);
        }
        ran.rows.push(row);
    }
    ran
}

fn row(case: &'static Case, verdict: eyre::Result<Verdict>, trial: &Trial) -> Row {
    let plain = |outcome, reason| Row { case, outcome, reason, at: None };
    let error = match verdict {
        Ok(Verdict::Holds) => return plain(HOLDS, None),
        Ok(Verdict::NotDeclared) => return plain("not declared", None),
        Ok(Verdict::NeedsPractice) => return plain("needs the practice CRM", None),
        Ok(Verdict::Unseen(why)) => return plain(UNSEEN, Some(why)),
        Err(error) => error,
    };
    let at = places(case, &error).iter().find_map(|place| trial.own.said(&trial.subject.object, place));
    Row { case, outcome: FAILS, reason: Some(format!("{error:#}")), at }
}

fn show(row: &Row, wish: &TestArgs) {
    let Row { case, outcome, reason, at } = row;
    let place = at.as_ref().map(|Said { line, place, .. }| format!("  ({}:{line}: {place})", wish.trial.file.display()));
    let reason = reason.as_deref().unwrap_or(case.says);
    say(format_args!("{:<12} {outcome:<22}  {reason}{}", case.name, place.unwrap_or_default()));
}

fn conclude(ran: &Ran, mark: &str) {
    let count = |outcome: &str| ran.rows.iter().filter(|row| row.outcome == outcome).count();
    let (holds, fails, unseen) = (count(HOLDS), count(FAILS), count(UNSEEN));
    say(format_args!("\n{holds} of {} hold, {fails} fail, {unseen} not seen", ran.rows.len()));
    if !ran.left.is_empty() {
        let (count, left) = (ran.left.len(), ran.left.join(", "));
        say(format_args!("{count} test records could not be archived; look for {mark}, and archive by hand: {left}"));
    }
}

fn document(trial: &Trial, wish: &TestArgs, practice: Option<&Practice>, ran: &Ran) -> serde_json::Value {
    let file = wish.trial.file.display().to_string();
    let case = |row: &Row| {
        json!({
            "case": row.case.name,
            "says": row.case.says,
            "outcome": row.outcome,
            "reason": row.reason,
            "line": row.at.as_ref().map(|at| at.line),
            "place": row.at.as_ref().map(|at| &at.place),
        })
    };
    json!({
        "connector": trial.own.name,
        "file": file,
        "against": wish.trial.against,
        "practice": practice.map(|practice| &practice.about.dialect),
        "object": trial.subject.object,
        "cases": ran.rows.iter().map(case).collect::<Vec<_>>(),
        "left": ran.left,
    })
}
