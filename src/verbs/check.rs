//! `check`: validates the file, the database, the queue and the CRM's answer; predicts what would fail, and says what to do about each. Changes nothing unless told.

use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;
use tidemark_boot::QueueUrl;
use tidemark_core::failure::Failure;
use tidemark_core::fit::{Fit, Pairing};
use tidemark_core::newest::tells_time;
use tidemark_core::property::never_given;
use tidemark_core::spec::{Direction, FieldSpec, Inbound, StreamSpec};
use tidemark_core::transform::Transform;
use tidemark_crm::{Account, Crm, Property};
use tidemark_store::capture::{self, Standing};
use tidemark_store::shape::{self, NewKey, TableShape};

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
        if let Some(shape) = look_at_table(house, spec, findings).await? {
            shapes.insert(spec.name.as_str(), shape);
        }
    }
    let catalog = house.catalog()?;
    for (connection, secrets) in &house.config.connections {
        let crm = match catalog.connect(connection, secrets) {
            Ok(crm) => crm,
            Err(error) => {
                findings.error(&connection.name, error.to_string(), "correct the connection");
                continue;
            }
        };
        let one_way: Vec<&StreamSpec> = streams_of(house, &connection.name).filter(|spec| spec.is_one_way()).collect();
        if !one_way.is_empty() {
            look_at_hooks(&crm, &one_way, findings);
            continue;
        }
        match account(&crm).await {
            Err(failure) => {
                findings.error(
                    &connection.name,
                    failure.message,
                    "check the token, its scopes, base_url, and that the CRM can be reached from here",
                );
                continue;
            }
            Ok(account) if connection.account.as_ref().is_some_and(|wanted| *wanted != account.id) => findings.error(
                &connection.name,
                format!(
                    "the token belongs to account {}, the configuration says {}",
                    account.id,
                    connection.account.as_deref().unwrap_or_default()
                ),
                "give it the right token, or correct `account`",
            ),
            Ok(account) if account.environment != connection.environment => findings.error(
                &connection.name,
                format!(
                    "account {} is a {} account, the configuration says {}",
                    account.id, account.environment, connection.environment
                ),
                "correct `environment`, or use the token of the other account",
            ),
            Ok(account) => findings.ok(&connection.name, format!("account {} ({}) answers", account.id, account.environment)),
        }
        for spec in streams_of(house, &connection.name) {
            look_at_object(&crm, spec, shapes.get(spec.name.as_str()), fix, findings).await;
        }
    }
    Ok(())
}

fn streams_of<'a>(house: &'a House, connection: &'a str) -> impl Iterator<Item = &'a StreamSpec> {
    house.config.streams.iter().filter(move |spec| spec.connection == connection)
}

/// A hook cannot be asked anything: whoever tries it fires it.
fn look_at_hooks(crm: &Arc<dyn Crm>, specs: &[&StreamSpec], findings: &mut Findings) {
    for spec in specs {
        match crm.traits(&spec.object) {
            Err(failure) => findings.error(&spec.name, failure.message, "add the secret that holds its address"),
            Ok(_) => findings.note(
                &spec.name,
                "has an address that nobody can try without firing it",
                "the first delivery tells; `tidemark status` shows what became of it",
            ),
        }
    }
}

/// Who is behind the credentials; signs in first where that takes a call of its own.
async fn account(crm: &Arc<dyn Crm>) -> Result<Account, Failure> {
    if let Some(need) = crm.need("") {
        crm.meet(&need).await.result?;
    }
    crm.account().await.result
}

async fn look_at_table(house: &House, spec: &StreamSpec, findings: &mut Findings) -> eyre::Result<Option<TableShape>> {
    let table = house.store.qualify(&spec.table);
    let Some(shape) = shape::find(&house.store, &spec.table, &spec.key).await? else {
        findings.error(&spec.name, format!("there is no table {table}"), "correct `table`, or database.orders_schema");
        return Ok(None);
    };
    let before = findings.0.iter().filter(|finding| finding.level == "error").count();
    look_at_columns(spec, &shape, findings);
    let specs: Vec<&StreamSpec> =
        house.config.streams.iter().filter(|other| house.store.qualify(&other.table) == table).collect();
    let mut captured = false;
    if house.store.is_migrated().await? {
        let standing = capture::verify(&house.store, &shape, &specs).await?;
        captured = standing == Standing::Installed;
        look_at_capture(spec, &shape, standing, findings);
    }
    for right in shape::missing_rights(&house.store, spec, &shape).await? {
        let (found, remedy) =
            (format!("the database role lacks {}", right.words), "run the grants that `tidemark migrate --plan` prints");
        if right.only_to_install && captured {
            findings.note(&spec.name, found, "capture is installed; grant it before the next `tidemark migrate`");
        } else {
            findings.error(&spec.name, found, remedy);
        }
    }
    if findings.0.iter().filter(|finding| finding.level == "error").count() == before {
        findings.ok(&spec.name, format!("{table} fits the mapping"));
    }
    Ok(Some(shape))
}

fn look_at_capture(spec: &StreamSpec, shape: &TableShape, standing: Standing, findings: &mut Findings) {
    let table = &shape.table;
    match standing {
        Standing::Installed => {}
        Standing::Outdated => {
            let found = format!("capture on {table} was installed for another mapping or by another version");
            findings.error(&spec.name, found, "run `tidemark migrate`");
        }
        Standing::Missing => {
            let found = format!("the capture triggers on {table} are missing or disabled");
            findings.error(&spec.name, found, "run `tidemark migrate`");
        }
        Standing::NotPossible => {
            let found = format!("{table} is a view and cannot be captured");
            findings.note(&spec.name, found, "its changes are found by comparing its rows each poll.settled_every");
        }
    }
}

fn look_at_columns(spec: &StreamSpec, shape: &TableShape, findings: &mut Findings) {
    let table = &shape.table;
    let Some(key) = shape.column(&spec.key) else {
        return findings.error(&spec.name, format!("{table} has no column {} for the key", spec.key), shape.near(&spec.key));
    };
    if !key.unique && !shape.is_view {
        findings.error(
            &spec.name,
            format!("{table}.{} is not unique", spec.key),
            "name the single primary key or unique column as `key`",
        );
    }
    for column in spec
        .distinct_columns()
        .into_iter()
        .chain(spec.touch.columns())
        .chain(spec.row_modified.iter().map(|told| told.column.as_str()))
    {
        match shape.column(column) {
            None => findings.error(&spec.name, format!("{table} has no column {column}"), shape.near(column)),
            Some(found) if found.generated && spec.direction.writes_rows() => {
                findings.note(
                    &spec.name,
                    format!("{table}.{column} is computed by the database"),
                    "give the field owner = \"orders\"",
                );
            }
            Some(_) => {}
        }
    }
    if let Some((told, column)) = spec.row_modified.as_ref().and_then(|told| Some((told, shape.column(&told.column)?))) {
        let found = |why: &str| format!("{table}.{} is {}: {why}", told.column, column.sql_type);
        match tells_time(shape.kind(column)) {
            Fit::Fine => {}
            Fit::Suspicious { why, remedy } => findings.note(&spec.name, found(why), remedy),
            Fit::WillFail { why, remedy } => findings.error(&spec.name, found(why), format!("{remedy} in row_modified")),
        }
    }
    if let Some(mark) = spec.delete_mark() {
        match shape.column(mark) {
            None => findings.error(&spec.name, format!("{table} has no column {mark} for deletes.inbound"), shape.near(mark)),
            Some(column) if !column.nullable => findings.note(
                &spec.name,
                format!("{table}.{mark} is NOT NULL: a record that is restored cannot take its mark off"),
                "allow NULL in it",
            ),
            Some(_) => {}
        }
    }
    if !spec.direction.writes_rows() || spec.inbound == Inbound::UpdateOnly {
        return;
    }
    if shape.new_key == NewKey::None {
        findings.error(
            &spec.name,
            format!("a new row of {table} has no value for its key {}", spec.key),
            "give the column a default, or set inbound = \"update_only\"",
        );
    }
    let mapped = |name: &str| {
        let touched = spec.touch.columns().any(|column| column == name);
        touched
            || name == spec.key
            || spec.fields.iter().any(|field| field.column == name)
            || spec.remote_id.as_deref() == Some(name)
    };
    for column in shape
        .columns
        .iter()
        .filter(|column| !column.nullable && column.default.is_none() && !column.generated && !mapped(&column.name))
    {
        findings.error(
            &spec.name,
            format!(
                "{table}.{} is NOT NULL without a default, and nothing is mapped to it: every new record would be refused",
                column.name
            ),
            format!("map a property to {}, give it a default, or set inbound = \"update_only\"", column.name),
        );
    }
    for field in &spec.fields {
        if shape.column(&field.column).is_some_and(|column| !column.nullable && column.default.is_none()) {
            findings.note(
                &spec.name,
                format!("{table}.{} is NOT NULL: records without {} will be parked", field.column, field.property),
                "allow NULL, or fill the property in the CRM",
            );
        }
    }
}

async fn look_at_object(crm: &Arc<dyn Crm>, spec: &StreamSpec, shape: Option<&TableShape>, fix: bool, findings: &mut Findings) {
    let properties = match crm.describe(&spec.object).await.result {
        Ok(properties) => properties,
        Err(failure) => {
            return findings.error(
                &spec.name,
                failure.message,
                "give the token the scope to read this object and its properties",
            );
        }
    };
    let mut fits = true;
    for field in spec.fields.iter().filter(|field| field.references.is_none()) {
        match properties.iter().find(|property| property.name == field.property) {
            None => {
                fits = false;
                findings.error(
                    &spec.name,
                    format!("{} has no property {}", spec.object, field.property),
                    "make the property in the CRM, or correct the mapping",
                );
            }
            Some(property) if property.read_only && spec.direction != Direction::In => {
                fits = false;
                findings.error(
                    &spec.name,
                    format!("property {} is read-only", field.property),
                    "give the field owner = \"crm\" in a stream that reads, or take it out",
                );
            }
            Some(property) => {
                fits &= look_at_options(spec, field, property, findings);
                fits &= shape.is_none_or(|shape| look_at_types(spec, field, shape, property, findings));
            }
        }
    }
    for property in never_given(spec, &properties) {
        fits = false;
        let found = format!("no record of {} is made without {}, and nothing is mapped to it", spec.object, property.name);
        findings.error(&spec.name, found, format!("map a column to {}", property.name));
    }
    if let Some(key) = &spec.external_key {
        fits &= look_at_key(crm, spec, key, properties.iter().find(|property| property.name == *key), fix, findings).await;
    } else if spec.direction.writes_records() {
        findings.note(
            &spec.name,
            "no external_key: a create whose answer is lost can be found only by look-up, so a double create can be detected but not excluded",
            "set external_key = \"tidemark_key\" and run `tidemark check --fix`",
        );
    }
    if fits {
        findings.ok(&spec.name, format!("{} fits the mapping", spec.object));
    }
}

/// A map's words are among the property's options.
fn look_at_options(spec: &StreamSpec, field: &FieldSpec, property: &Property, findings: &mut Findings) -> bool {
    let Transform::Map(pairs) = &field.transform else { return true };
    let unknown = pairs.iter().filter(|(_, record)| !property.options.is_empty() && !property.options.contains(record));
    let before = findings.0.len();
    for (row, record) in unknown {
        let found = format!("{} has no option {record:?} (for {row:?})", field.property);
        findings.error(&spec.name, found, format!("use one of {}", property.options.join(", ")));
    }
    findings.0.len() == before
}

/// What the column holds can be carried into the property, and back.
fn look_at_types(spec: &StreamSpec, field: &FieldSpec, shape: &TableShape, property: &Property, findings: &mut Findings) -> bool {
    let Some(column) = shape.column(&field.column) else { return true };
    let pairing =
        Pairing { transform: &field.transform, column: shape.kind(column), property: property.kind, options: &property.options };
    let inward = if spec.direction.writes_rows() { pairing.to_row() } else { Fit::Fine };
    let outward = if spec.direction.writes_records() { pairing.to_record() } else { Fit::Fine };
    let found = |why: &str| {
        let kind = format!("{:?}", property.kind).to_lowercase();
        format!("{} ({kind}) and {}.{} ({}) do not fit: {why}", field.property, shape.table, column.name, column.sql_type)
    };
    match inward.max(outward) {
        Fit::Fine => true,
        Fit::Suspicious { why, remedy } => {
            findings.note(&spec.name, found(why), remedy);
            true
        }
        Fit::WillFail { why, remedy } => {
            findings.error(&spec.name, found(why), remedy);
            false
        }
    }
}

async fn look_at_key(
    crm: &Arc<dyn Crm>,
    spec: &StreamSpec,
    key: &str,
    found: Option<&Property>,
    fix: bool,
    findings: &mut Findings,
) -> bool {
    match found {
        Some(property) if property.unique => true,
        Some(_) => {
            findings.error(
                &spec.name,
                format!("property {key} is not unique"),
                "make another property with unique values and name it as external_key",
            );
            false
        }
        None if fix => match crm.create_key_property(&spec.object, key).await.result {
            Ok(()) => {
                findings.ok(&spec.name, format!("made the unique property {key}"));
                true
            }
            Err(failure) => {
                findings.error(&spec.name, failure.message, "make the property by hand: single-line text with unique values");
                false
            }
        },
        None => {
            findings.error(
                &spec.name,
                format!("the unique property {key} is missing"),
                "run `tidemark check --fix`, or make it by hand: single-line text with unique values",
            );
            false
        }
    }
}

fn words(error: &eyre::Report) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
