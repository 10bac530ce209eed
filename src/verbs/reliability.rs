//! `reliability`: how well the CRMs answered, as tables, Markdown or JSON.

use std::process::ExitCode;
use std::time::Duration;

use eyre::bail;
use tidemark_core::reliability::{Section, Table, markdown, sections};
use tidemark_core::window::millis;
use tidemark_store::reliability;

use crate::compose::House;
use crate::verbs::{say, say_json};

/// What it is printed as; a table for people without either.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    pub(crate) markdown: bool,
    pub(crate) json: bool,
}

pub(crate) async fn run(house: &House, connection: Option<&str>, since: Duration, form: Form) -> eyre::Result<ExitCode> {
    let known: Vec<&str> = house.config.connections.iter().map(|(spec, _)| spec.name.as_str()).collect();
    if let Some(name) = connection.filter(|name| !known.contains(name)) {
        bail!("there is no connection {name}: the configuration has {}", known.join(", "));
    }
    let since = house.store.now().await? - millis(since);
    let report = reliability::look(&house.store, connection, since).await?;
    if form.json {
        say_json(&report)?;
    } else if form.markdown {
        say(markdown(&report).trim_end());
    } else {
        let sections = sections(&report);
        if sections.is_empty() {
            say("No call was made in this time.");
        }
        sections.iter().for_each(print);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(section: &Section) {
    say(&section.title);
    for sentence in &section.lead {
        say(format_args!("    {sentence}"));
    }
    for table in &section.tables {
        say(format_args!("\n  {}", table.title));
        for line in lines(table) {
            say(format_args!("    {line}"));
        }
    }
    say("");
}

/// Columns as wide as their widest cell, two spaces apart; numbers stand to the right.
fn lines(table: &Table) -> Vec<String> {
    let head: Vec<String> = table.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
    let rows: Vec<&Vec<String>> = std::iter::once(&head).chain(&table.rows).collect();
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |row: &&Vec<String>| {
        let cells = row.iter().zip(&widths).zip(&table.columns);
        let cells =
            cells.map(|((cell, width), (_, number))| if *number { format!("{cell:>width$}") } else { format!("{cell:<width$}") });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
