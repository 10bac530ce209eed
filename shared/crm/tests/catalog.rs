//! Connectors of one's own beside those of this build.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails the test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tidemark_core::spec::{BudgetSpec, ConnectionSpec};
use tidemark_crm::catalog::{Catalog, CatalogError, check, open, scaffold};
use tidemark_crm::{CONNECTORS, ConnectError};

const PIPEDRIVE: &str = include_str!("../../../connectors/pipedrive.toml");

fn named(name: &str) -> String {
    PIPEDRIVE.replacen("name = \"pipedrive\"", &format!("name = \"{name}\""), 1)
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn connection(connector: &str) -> ConnectionSpec {
    ConnectionSpec {
        name: "acme".into(),
        connector: connector.into(),
        base_url: None,
        environment: "production".into(),
        account: None,
        budget: BudgetSpec::default(),
        call_deadline: Duration::from_secs(5),
        request_life: None,
        settings: [("company".to_owned(), "acme".to_owned())].into(),
    }
}

#[test]
fn every_connector_of_this_build_is_listed_with_what_it_asks_for() {
    let entries = Catalog::default().entries().unwrap();
    let mut known = CONNECTORS.to_vec();
    known.sort_unstable();
    assert_eq!(entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), known);
    for entry in &entries {
        assert!(!entry.secrets.is_empty() && !entry.objects.is_empty() && entry.file.is_none(), "{entry:?}");
        assert!(entry.objects.values().all(|object| object.can.contains(&"deliver") == entry.one_way), "{entry:?}");
    }
    let salesforce = entries.iter().find(|entry| entry.name == "salesforce").unwrap();
    assert!(salesforce.objects["*"].can.contains(&"upsert") && salesforce.settings.contains_key("domain"));
}

#[test]
fn a_file_of_ones_own_adds_a_connector_or_takes_the_place_of_one() {
    let own = PIPEDRIVE.replacen("vendor = \"Pipedrive\"", "vendor = \"Our Pipedrive\"", 1);
    let folder = folder(&[("acme-crm.toml", &named("acme-crm")), ("pipedrive.toml", &own), ("notes.txt", "no connector")]);
    let catalog = Catalog::with_folder(folder.path()).unwrap();
    let entries = catalog.entries().unwrap();
    assert_eq!(entries.len(), CONNECTORS.len() + 1);
    let vendor = |name: &str| entries.iter().find(|entry| entry.name == name).map(|entry| entry.vendor.as_str());
    assert_eq!((vendor("acme-crm"), vendor("pipedrive")), (Some("Pipedrive"), Some("Our Pipedrive")));
    let secrets = BTreeMap::from([("token".to_owned(), "t".into())]);
    assert_eq!(catalog.connect(&connection("acme-crm"), &secrets).unwrap().connector(), "acme-crm");
    let unknown = catalog.connect(&connection("acme"), &secrets).unwrap_err();
    assert!(matches!(&unknown, ConnectError::UnknownConnector { .. }) && unknown.to_string().contains("acme-crm"), "{unknown}");
}

#[test]
fn all_that_is_wrong_in_a_folder_is_said_at_once_with_file_and_line() {
    let broken = named("broken").replacen("lower = \"closed\"", "lower = \"shut\"", 1);
    let files = [
        ("broken.toml", broken.as_str()),
        ("hubspot.toml", ""),
        ("zapier.toml", ""),
        ("Acme CRM.toml", ""),
        ("other.toml", PIPEDRIVE),
        ("good.toml", &named("good")),
    ];
    let folder = folder(&files);
    let said = Catalog::with_folder(folder.path()).unwrap_err().to_string();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 6, "{said}");
    for (line, (file, words)) in lines.iter().zip([
        ("Acme CRM.toml", "small letters"),
        ("broken.toml", "`lower` is missing"),
        ("broken.toml", "`shut` is not known"),
        ("hubspot.toml", "give it another name"),
        ("other.toml", "rename the file"),
        ("zapier.toml", "give it another name"),
    ]) {
        assert!(line.starts_with(&folder.path().join(file).display().to_string()) && line.contains(words), "{line}");
    }
    assert!(lines[1].contains("broken.toml:") && lines[1].split(':').nth(1).unwrap().parse::<u32>().is_ok(), "{}", lines[1]);
    assert_eq!(check(&folder.path().join("good.toml")).unwrap().vendor, "Pipedrive");
    assert!(check(&folder.path().join("broken.toml")).unwrap_err().to_string().contains("shut"));
    let missing = Catalog::with_folder(Path::new("no-such-folder")).unwrap_err().to_string();
    assert!(missing.contains("no-such-folder") && missing.contains("rights"), "{missing}");
}

#[test]
fn a_file_is_begun_only_for_a_name_that_can_be_one_and_is_of_no_use_before_it_is_filled() {
    let text = scaffold("acme-crm").unwrap();
    assert!(text.contains("name = \"acme-crm\"") && !text.contains("NAME"), "{text}");
    let folder = folder(&[("acme-crm.toml", text.as_str())]);
    let told = check(&folder.path().join("acme-crm.toml")).unwrap_err().to_string();
    assert!(told.lines().count() > 20 && told.lines().all(|line| line.contains("is not filled in")), "{told}");
    assert!(matches!(scaffold("hubspot"), Err(CatalogError::Taken { .. })));
    assert!(matches!(scaffold("Acme CRM"), Err(CatalogError::Name { .. })));
}

/// A line of the begun file that would be a setting without its sign.
fn is_setting(line: &str) -> bool {
    let key = |text: &str| text.starts_with(|one: char| one.is_ascii_lowercase() || one == '"') && !text.contains(' ');
    line.starts_with('[') && line.ends_with(']') || line.split_once(" = ").is_some_and(|(name, _)| key(name))
}

#[test]
fn what_stands_in_the_begun_file_as_a_comment_is_known_to_the_engine() {
    let text = scaffold("acme-crm").unwrap().replace("FILL-", "x-");
    let mut taken = String::new();
    let mut names = Vec::new();
    for line in text.lines() {
        let setting = line.strip_prefix("# ").filter(|rest| is_setting(rest));
        names.extend(setting.and_then(|setting| setting.split_once(" = ")).map(|(name, _)| name.to_owned()));
        taken.push_str(setting.unwrap_or(line));
        taken.push('\n');
    }
    for name in ["more", "total", "done", "end", "properties", "id_order", "kind", "archived", "\"/code\""] {
        assert!(names.iter().any(|known| known == name), "{name} is in no comment: {names:?}");
    }
    assert!(text.contains("Where there is no upper bound at all: none"));
    let folder = folder(&[("acme-crm.toml", &taken)]);
    let told = check(&folder.path().join("acme-crm.toml")).unwrap_err().to_string();
    // Only one of four is to be kept.
    let expected = ["`more` and `done` say the same thing", "Take `end` out"];
    let strange: Vec<&str> = told.lines().filter(|line| !expected.iter().any(|words| line.contains(words))).collect();
    assert!(strange.is_empty(), "{strange:#?}");
}

#[test]
fn what_a_file_says_is_found_with_its_line_for_the_object_for_all_objects_and_from_the_root_on() {
    let folder = folder(&[("acme-crm.toml", &named("acme-crm"))]);
    let own = open(&folder.path().join("acme-crm.toml")).unwrap();
    let line = |part: &str| own.text.lines().position(|line| line.contains(part)).unwrap() + 1;
    let lower = own.said("persons", "read.lower").unwrap();
    assert_eq!((lower.line, lower.text.as_deref()), (line("lower = "), Some("closed")));
    assert_eq!(lower.place, "object.persons.read.lower");
    assert_eq!(own.said("persons", "/timing").unwrap().line, line("[timing]"));
    assert!(own.said("persons", "upsert").is_none() && own.said("people", "read").is_none());
}
