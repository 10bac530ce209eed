//! Looks at an order table: that it is there, fits the mapping, is captured, and may be used.

use tidemark_core::fit::Fit;
use tidemark_core::newest::tells_time;
use tidemark_core::spec::{Inbound, StreamSpec};
use tidemark_store::capture::{self, Standing};
use tidemark_store::shape::{self, NewKey, TableShape};

use super::Findings;
use crate::compose::House;

pub(super) async fn look(house: &House, spec: &StreamSpec, findings: &mut Findings) -> eyre::Result<Option<TableShape>> {
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
