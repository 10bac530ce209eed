//! Looks at the CRMs: that each answers for the configured account, and that its objects, properties, options and key fit the mapping.

use std::collections::HashMap;
use std::sync::Arc;

use tidemark_core::failure::Failure;
use tidemark_core::fit::{Fit, Pairing};
use tidemark_core::property::never_given;
use tidemark_core::spec::{ConnectionSpec, Direction, FieldSpec, StreamSpec};
use tidemark_core::transform::Transform;
use tidemark_crm::{Account, Crm, Grant, Property};
use tidemark_store::shape::TableShape;
use tidemark_worker::adopt_kept;

use super::{Findings, words};
use crate::compose::{House, no_key};

pub(super) async fn look(house: &House, shapes: &HashMap<&str, TableShape>, fix: bool, findings: &mut Findings) {
    let catalog = match house.catalog() {
        Ok(catalog) => catalog,
        Err(error) => return findings.error("connectors", words(&error), "correct the file, or connectors.folder"),
    };
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
        if !may_sign_in(house, &crm, &connection.name, findings).await || !look_at_account(&crm, connection, findings).await {
            continue;
        }
        for spec in streams_of(house, &connection.name) {
            look_at_object(&crm, spec, shapes.get(spec.name.as_str()), fix, findings).await;
        }
    }
}

fn streams_of<'a>(house: &'a House, connection: &'a str) -> impl Iterator<Item = &'a StreamSpec> {
    house.config.streams.iter().filter(move |spec| spec.connection == connection)
}

/// A refresh token that changes with each use is spent by nobody but the workers, who keep the next one: here only what they keep is used.
async fn may_sign_in(house: &House, crm: &Arc<dyn Crm>, name: &str, findings: &mut Findings) -> bool {
    let Some(Grant { rotates: true, .. }) = crm.grant() else { return true };
    let sealer = match house.sealer() {
        Ok(Some(sealer)) => sealer,
        Ok(None) => {
            findings.error(name, no_key(name, crm.connector()), "write credentials.key");
            return false;
        }
        Err(error) => {
            findings.error(name, words(&error), "correct credentials.key");
            return false;
        }
    };
    match adopt_kept(&house.store, &sealer, crm.as_ref(), name).await {
        Ok(true) => true,
        Ok(false) => {
            let what = "was not asked: its refresh token changes with each use, and no token is kept that could be used";
            findings.note(name, what, "a worker signs in by itself");
            false
        }
        Err(error) => {
            findings.error(name, error.to_string(), "see credentials.key, and whether `tidemark migrate` was run");
            false
        }
    }
}

/// False when nobody answers.
async fn look_at_account(crm: &Arc<dyn Crm>, connection: &ConnectionSpec, findings: &mut Findings) -> bool {
    match account(crm).await {
        Err(failure) => {
            findings.error(
                &connection.name,
                failure.message,
                "check the token, its scopes, base_url, and that the CRM can be reached from here",
            );
            return false;
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
    true
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
    tidemark_crm::ready(crm.as_ref(), "").await?;
    crm.account().await.result
}

/// What only a read by id shows costs calls.
fn note_unlisted(crm: &Arc<dyn Crm>, spec: &StreamSpec, findings: &mut Findings) {
    let mapped = spec.fields.iter().filter(|field| field.references.is_none()).map(|field| field.property.as_str());
    let unlisted: Vec<&str> =
        mapped.chain(spec.external_key.as_deref()).filter(|name| !crm.is_listed(&spec.object, name)).collect();
    if !unlisted.is_empty() {
        let what = format!("{} shows {} of {} by id alone, in no list", crm.connector(), unlisted.join(", "), spec.object);
        let remedy = "each record that changes takes two calls of its own: leave out of the mapping what nobody needs, where the day is short";
        findings.note(&spec.name, what, remedy);
    }
}

async fn look_at_object(crm: &Arc<dyn Crm>, spec: &StreamSpec, shape: Option<&TableShape>, fix: bool, findings: &mut Findings) {
    note_unlisted(crm, spec, findings);
    if !crm.can_describe(&spec.object) {
        let what = format!("{} says nothing of what {} are made of", crm.connector(), spec.object);
        return findings.note(
            &spec.name,
            what,
            "compare the mapped properties with the CRM's own pages; the first read and the first push tell",
        );
    }
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
