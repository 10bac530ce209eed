//! `connector`: what can be connected to, and a file of one's own: begun, checked, tried.

pub(crate) mod probe;
pub(crate) mod test;
mod trial;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use eyre::WrapErr;
use serde_json::json;
use tidemark_crm::Catalog;
use tidemark_crm::catalog::{self, Entry};
use tidemark_crm::engine::BLANK;

use crate::verbs::{say, say_json};

pub(crate) fn list(folder: Option<&Path>, json: bool) -> eyre::Result<ExitCode> {
    let catalog = folder.map_or_else(|| Ok(Catalog::default()), Catalog::with_folder)?;
    let entries = catalog.entries()?;
    if json {
        say_json(&json!({ "connectors": entries }))?;
    } else {
        for (at, entry) in entries.iter().enumerate() {
            if at > 0 {
                say("");
            }
            tell(entry);
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn check(file: &Path) -> eyre::Result<ExitCode> {
    let entry = catalog::check(file)?;
    say(format_args!("{} can be used\n", file.display()));
    tell(&entry);
    Ok(ExitCode::SUCCESS)
}

/// The file with blanks: printed, or written where nothing is yet.
pub(crate) fn new(name: &str, out: Option<&Path>) -> eyre::Result<ExitCode> {
    let text = catalog::scaffold(name)?;
    let Some(path) = out else {
        say(text.trim_end());
        return Ok(ExitCode::SUCCESS);
    };
    let expected = format!("{name}.toml");
    if path.file_name().is_none_or(|file| file != expected.as_str()) {
        eyre::bail!("{}: a connector's file is named after it: write {expected}", path.display());
    }
    let file =
        File::create_new(path).wrap_err_with(|| format!("{} cannot be made: choose a path where nothing is yet", path.display()));
    file?.write_all(text.as_bytes()).wrap_err_with(|| format!("{} cannot be written", path.display()))?;
    say(format_args!("{0} is written. Replace every {BLANK}… in it, then:\n  tidemark connector check {0}", path.display()));
    let blanks: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && line.contains(BLANK)).collect();
    say(format_args!("{} lines wait for you; the comment above each says what it wants.", blanks.len()));
    Ok(ExitCode::SUCCESS)
}

fn tell(entry: &Entry) {
    let from = entry.file.as_deref().unwrap_or("of this program");
    let direction = if entry.one_way { "only sends" } else { "both ways" };
    say(format_args!("{}  {}, {direction}, {from}", entry.name, entry.vendor));
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
