//! Holds the workspace to its plan: which package may use which, where apalis, sea-orm and transactions may appear, and what every file owes its reader.
//!
//! Reads manifests and sources as text and never builds anything, so it says what is wrong before a slower test trips over it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// What one package may use of the workspace: in what ships, and beyond that in its own tests.
struct Layer {
    package: &'static str,
    uses: &'static [&'static str],
    tests_use: &'static [&'static str],
}

const fn layer(package: &'static str, uses: &'static [&'static str], tests_use: &'static [&'static str]) -> Layer {
    Layer { package, uses, tests_use }
}

/// The plan of ARCHITECTURE.md. The root package and the end-to-end tests stand above it and may use everything.
const LAYERS: [Layer; 11] = [
    layer("tidemark-core", &[], &[]),
    layer("tidemark-migrations", &[], &[]),
    layer("tidemark-sandbox", &[], &[]),
    layer("tidemark-boot", &["core"], &[]),
    layer("tidemark-queue", &["core"], &[]),
    layer("tidemark-crm", &["core"], &[]),
    layer("tidemark-conformance", &["core", "crm"], &[]),
    layer("tidemark-store", &["core", "migrations"], &[]),
    layer("tidemark-worker", &["core", "store", "queue", "crm"], &["migrations", "sandbox"]),
    layer("tidemark-scheduler", &["core", "store", "queue"], &["migrations", "sandbox"]),
    layer("tidemark-benches", &["boot", "core", "crm", "migrations", "queue", "scheduler", "store", "worker"], &[]),
];
const ABOVE_THE_LAYERS: [&str; 2] = ["tidemark", "tidemark-tests"];

/// Outside packages that only some folders may know, by the start of their name, and those folders.
const CONFINED: [(&str, &[&str]); 2] =
    [("apalis", &["shared/queue"]), ("sea-orm", &["shared/store", "migrations", "tests", "src", ".", "scheduler/tests"])];

/// The store; and the embedded queue on its own throw-away file, which holds nothing that cannot be lost.
const TRANSACTIONS_LIVE_IN: [&str; 2] = ["shared/store/src", "shared/queue/src"];
const SOURCE_LINES_MAX: usize = 450;

/// Pieces that only a developer's own machine has. In halves, so that this file does not hold what it forbids.
const MACHINE_PATHS: [(&str, &str); 2] = [("/wo", "rk/"), ("/ro", "ot/")];

#[test]
fn a_package_uses_only_the_layers_below_it() {
    let mut wrong = Vec::new();
    for member in members() {
        if ABOVE_THE_LAYERS.contains(&member.name.as_str()) {
            continue;
        }
        let Some(layer) = LAYERS.iter().find(|layer| layer.package == member.name) else {
            wrong.push(format!("{} has no place in LAYERS: say what it may use", member.name));
            continue;
        };
        for dependency in member.dependencies.iter().filter(|dependency| dependency.package.starts_with("tidemark")) {
            let short = dependency.package.trim_start_matches("tidemark-");
            let allowed = layer.uses.contains(&short) || (dependency.only_in_tests && layer.tests_use.contains(&short));
            if !allowed {
                wrong.push(format!("{} uses {} in [{}]", member.name, dependency.package, dependency.section));
            }
        }
    }
    assert_none(&wrong, "packages that use what is not below them");
}

#[test]
fn every_layer_of_the_plan_exists() {
    let names: Vec<String> = members().into_iter().map(|member| member.name).collect();
    let planned = LAYERS.iter().map(|layer| layer.package).chain(ABOVE_THE_LAYERS);
    let wrong: Vec<String> = planned.filter(|package| !names.iter().any(|name| name == package)).map(str::to_owned).collect();
    assert_none(&wrong, "packages of the plan that the workspace lacks");
}

#[test]
fn apalis_and_sea_orm_are_known_only_where_they_belong() {
    let mut wrong = Vec::new();
    for (start, folders) in CONFINED {
        for member in members().iter().filter(|member| !folders.contains(&member.folder.as_str())) {
            // A package's own tests may, in the folders named for it.
            let tests = format!("{}/tests", member.folder);
            let excused = |dependency: &Dependency| dependency.only_in_tests && folders.contains(&tests.as_str());
            let named = member.dependencies.iter().filter(|dependency| dependency.package.starts_with(start));
            let found = named.filter(|dependency| !excused(dependency));
            wrong.extend(found.map(|dependency| format!("{} depends on {}", member.name, dependency.package)));
        }
        // A package may also be reached through another that passes it on.
        let path = start.replace('-', "_");
        for source in rust_files().iter().filter(|source| !folders.iter().any(|folder| source.is_in(folder))) {
            wrong.extend(
                source.code_lines().filter(|(_, line)| names_a_path(line, &path)).map(|(at, _)| format!("{}:{at}", source.name)),
            );
        }
    }
    assert_none(&wrong, "places that know apalis or sea-orm and should not");
}

#[test]
fn transactions_are_opened_in_the_store_and_nowhere_else() {
    let mut wrong = Vec::new();
    // The demo's order system is another application, with transactions of its own.
    let exempt = [TRANSACTIONS_LIVE_IN.as_slice(), &["tests", "benches"]].concat();
    let is_exempt =
        |source: &Source| exempt.iter().any(|folder| source.is_in(folder)) || source.name == "src/demo/order_system.rs";
    let shipped = rust_files().into_iter().filter(|source| source.name.split('/').any(|part| part == "src"));
    for source in shipped.filter(|source| !is_exempt(source)) {
        let opened = source.code_lines().filter(|(_, line)| opens_a_transaction(line));
        wrong.extend(opened.map(|(at, _)| format!("{}:{at}", source.name)));
    }
    assert_none(&wrong, "transactions opened outside the store");
}

#[test]
fn what_opens_a_transaction_is_told_from_what_sounds_like_it() {
    for opens in [
        "db.begin().await?",
        "    .begin()",
        "TransactionTrait::begin(&db)",
        "db.begin_with_config(None, None)",
        "pool.begin_with(sql)",
    ] {
        assert!(opens_a_transaction(opens), "{opens}");
    }
    for sounds in ["fn begin(self)", "window.beginning()", "let begin = 3;", "page.begins_with(x)", "begin_windows()"] {
        assert!(!opens_a_transaction(sounds), "{sounds}");
    }
}

#[test]
fn every_source_file_opens_by_saying_what_it_is_for() {
    let silent = rust_files().into_iter().filter(|source| !source.text.starts_with("//! "));
    assert_none(&silent.map(|source| source.name).collect::<Vec<_>>(), "files that do not open with `//! `");
}

#[test]
fn no_source_file_is_too_long_to_hold_in_mind() {
    let long = rust_files().into_iter().filter(|source| source.name.split('/').any(|part| part == "src"));
    let long = long.map(|source| (source.text.lines().count(), source.name)).filter(|(lines, _)| *lines > SOURCE_LINES_MAX);
    let wrong: Vec<String> = long.map(|(lines, name)| format!("{name}: {lines} lines")).collect();
    assert_none(&wrong, "files beyond the limit of 450 lines: look for the second noun");
}

#[test]
fn nothing_names_a_path_of_one_machine() {
    let mut wrong = Vec::new();
    for source in files(&|_| true) {
        for (at, line) in source.text.lines().enumerate() {
            if MACHINE_PATHS.iter().any(|(head, tail)| names_a_machine_path(line, &format!("{head}{tail}"))) {
                wrong.push(format!("{}:{}", source.name, at + 1));
            }
        }
    }
    assert_none(&wrong, "lines that name a path of one machine");
}

#[test]
fn a_path_of_one_machine_is_told_from_a_part_of_another_path() {
    let path: String = [MACHINE_PATHS[0].0, MACHINE_PATHS[0].1].concat();
    assert!(names_a_machine_path(&format!("see {path}main"), &path));
    assert!(names_a_machine_path(&format!("\"{path}\""), &path));
    assert!(!names_a_machine_path(&format!("https://example.com{path}main"), &path));
    assert!(!names_a_machine_path("shared/work", &path));
}

fn assert_none(wrong: &[String], what: &str) {
    assert!(wrong.is_empty(), "{what}:\n  {}", wrong.join("\n  "));
}

// --- manifests

struct Member {
    name: String,
    /// From the root, `.` for the root package.
    folder: String,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    package: String,
    section: String,
    only_in_tests: bool,
}

/// The root package and every member of the workspace.
fn members() -> Vec<Member> {
    let root = manifest(".");
    let folders = root["workspace"]["members"].as_array().expect("workspace.members is a list");
    let folders = folders.iter().map(|folder| folder.as_str().expect("a member is a folder"));
    let renamed = renamed_in(root["workspace"]["dependencies"].as_table().expect("workspace.dependencies is a table"));
    std::iter::once(".").chain(folders).map(|folder| member(folder, &renamed)).collect()
}

fn member(folder: &str, renamed: &BTreeMap<String, String>) -> Member {
    let manifest = manifest(folder);
    let name = manifest["package"]["name"].as_str().expect("a package has a name").to_owned();
    let mut dependencies = dependencies(&manifest, "", renamed);
    for (target, table) in manifest.get("target").and_then(Value::as_table).into_iter().flatten() {
        dependencies.extend(self::dependencies(
            table.as_table().expect("a target is a table"),
            &format!("target.{target}."),
            renamed,
        ));
    }
    Member { name, folder: folder.to_owned(), dependencies }
}

fn dependencies(table: &Table, prefix: &str, renamed: &BTreeMap<String, String>) -> Vec<Dependency> {
    let sections = ["dependencies", "build-dependencies", "dev-dependencies"];
    let sections = sections.into_iter().filter_map(|section| Some((section, table.get(section)?.as_table()?)));
    let of_section = |(section, entries): (&str, &Table)| -> Vec<Dependency> {
        let dependency = |(key, entry): (&String, &Value)| Dependency {
            package: real_name(entry).or_else(|| renamed.get(key).cloned()).unwrap_or_else(|| key.clone()),
            section: format!("{prefix}{section}"),
            only_in_tests: section == "dev-dependencies",
        };
        entries.iter().map(dependency).collect()
    };
    sections.flat_map(of_section).collect()
}

fn renamed_in(dependencies: &Table) -> BTreeMap<String, String> {
    dependencies.iter().filter_map(|(key, entry)| Some((key.clone(), real_name(entry)?))).collect()
}

/// The package behind `name = { package = "…" }`.
fn real_name(entry: &Value) -> Option<String> {
    Some(entry.get("package")?.as_str()?.to_owned())
}

fn manifest(folder: &str) -> Table {
    let path = root().join(folder).join("Cargo.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

// --- sources

struct Source {
    /// From the root, with `/`.
    name: String,
    text: String,
}

impl Source {
    /// `.` holds nothing: it stands for the root package's manifest.
    fn is_in(&self, folder: &str) -> bool {
        self.name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Lines with their number, comments left out.
    fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        numbered.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn names_a_path(line: &str, package: &str) -> bool {
    line.match_indices(package).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at..].trim_start_matches(|letter: char| letter.is_ascii_alphanumeric() || letter == '_');
        !before.is_some_and(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '"' | '-'))
            && after.starts_with("::")
    })
}

fn opens_a_transaction(line: &str) -> bool {
    ["begin(", "begin_with(", "begin_with_config(", "begin_with_options("]
        .iter()
        .any(|call| line.match_indices(call).any(|(at, _)| line[..at].ends_with(['.', ':'])))
}

fn names_a_machine_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        !line[..at]
            .chars()
            .next_back()
            .is_some_and(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.' | '}' | '>'))
    })
}

fn rust_files() -> Vec<Source> {
    files(&|path| path.extension().is_some_and(|extension| extension == "rs"))
}

/// Files of the project that are text, by name. What a build or a run leaves behind is no part of it.
fn files(wanted: &dyn Fn(&Path) -> bool) -> Vec<Source> {
    let mut found = Vec::new();
    collect(&root(), &root(), wanted, &mut found);
    assert!(!found.is_empty(), "no files under {}", root().display());
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

fn collect(root: &Path, folder: &Path, wanted: &dyn Fn(&Path) -> bool, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let entry = entry.expect("a folder can be listed");
        let (path, kind) = (entry.path(), entry.file_type().expect("an entry has a kind"));
        let name = entry.file_name().to_string_lossy().into_owned();
        if kind.is_dir() {
            let ours = !name.starts_with('.') || [".ci", ".config", ".github"].contains(&name.as_str());
            if ours && !["target", "node_modules"].contains(&name.as_str()) && path != root.join("demo") {
                collect(root, &path, wanted, found);
            }
        } else if kind.is_file() && wanted(&path) {
            // What is not UTF-8 is a picture or a database, and has no lines.
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let name = path.strip_prefix(root).expect("a path under the root").to_string_lossy().replace('\\', "/");
            found.push(Source { name, text });
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a member of the workspace").to_owned()
}
