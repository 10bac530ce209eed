//! `connector`: what can be connected to, and whether a file of one's own can be used.

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;
use tidemark_crm::Catalog;
use tidemark_crm::catalog::{self, Entry};

use crate::verbs::{say, say_json};

pub(crate) fn list(folder: Option<&Path>, json: bool) -> eyre::Result<ExitCode> {
    let catalog = folder.map_or_else(|| Ok(Catalog::default()), Catalog::with_folder)?;
    let entries = catalog.entries()?;
    if json {
        say_json(&json!({ "connectors": entries }))?;
    } else {
        entries.iter().for_each(tell);
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn check(file: &Path) -> eyre::Result<ExitCode> {
    let entry = catalog::check(file)?;
    say(format_args!("{} can be used", file.display()));
    tell(&entry);
    Ok(ExitCode::SUCCESS)
}

fn tell(entry: &Entry) {
    let from = entry.file.as_deref().unwrap_or("of this program");
    let direction = if entry.one_way { "only sends" } else { "both ways" };
    say(format_args!("\n{}  {}, {direction}, {from}", entry.name, entry.vendor));
    for (key, about) in &entry.secrets {
        say(format_args!("    secret.{key}: {about}"));
    }
    for (key, about) in &entry.settings {
        say(format_args!("    settings.{key}: {about}"));
    }
    for (name, object) in &entry.objects {
        let name = if name == "*" { "any other object" } else { name };
        say(format_args!("    {name}: {}", object.can.join(", ").replace('_', " ")));
    }
}
