//! `uninstall`: everything of Tidemark's in the order database, with the SQL that takes it away; with `--apply`, behind guards, it is taken away.

use std::process::ExitCode;

use eyre::{WrapErr, bail, ensure};
use serde::Serialize;
use tidemark_core::environment::Place;
use tidemark_store::uninstall::{self, Objects};
use tidemark_store::{environment, overview, streams};

use crate::cli::UninstallArgs;
use crate::compose::House;
use crate::verbs::{capture, say, say_json};

#[derive(Serialize)]
struct Report {
    /// What `--database` has to say.
    database: String,
    triggers: Vec<String>,
    functions: Vec<String>,
    tables: Vec<String>,
    schema: Option<String>,
    id_columns: Vec<IdColumn>,
    /// What takes it away, in order.
    statements: Vec<String>,
    /// What is not in this database.
    elsewhere: Vec<String>,
    applied: bool,
}

#[derive(Serialize)]
struct IdColumn {
    table: String,
    column: String,
    filled: i64,
}

pub(crate) async fn run(house: &House, args: &UninstallArgs) -> eyre::Result<ExitCode> {
    let store = &house.store;
    let objects = uninstall::objects(store, &capture::tables(house).await?).await?;
    let database = name(&environment::place(store).await?);
    let statements = uninstall::statements(store, &objects, args.clear_ids);
    if args.apply {
        prove_meant(house, args, &database).await?;
        uninstall::run(store, &statements)
            .await
            .wrap_err("nothing was taken away. If the order system held a table, try again when it is quieter")?;
    }
    let report = report(house, objects, statements, database, args.apply);
    if args.json {
        say_json(&report)?;
    } else {
        print(&report, args);
    }
    Ok(ExitCode::SUCCESS)
}

/// The person names the database, nobody works on it, and nothing is lost by it that was not said.
async fn prove_meant(house: &House, args: &UninstallArgs, database: &str) -> eyre::Result<()> {
    ensure!(
        args.database.as_deref() == Some(database),
        "this database is called {database}: say `--database {database}` if it is the one you mean"
    );
    if !house.store.is_migrated().await? {
        return Ok(());
    }
    let alive: Vec<String> =
        overview::workers(&house.store).await?.into_iter().filter(|worker| worker.alive).map(|worker| worker.name).collect();
    ensure!(alive.is_empty(), "{} is at work on it: stop every scheduler and worker first", alive.join(", "));
    let quiet = streams::quiet(&house.store).await?;
    let unsent = quiet.debts + quiet.changes;
    if unsent > 0 && !args.anyway {
        bail!("changes are not dealt with yet ({unsent}), and would be forgotten: let them be sent first, or say --anyway");
    }
    Ok(())
}

/// The database as people call it.
fn name(place: &Place) -> String {
    match place {
        Place::Postgres { database, .. } => database.clone(),
        Place::Sqlite { file, .. } => {
            std::path::Path::new(file).file_name().map_or_else(|| file.clone(), |name| name.to_string_lossy().into_owned())
        }
    }
}

fn report(house: &House, objects: Objects, statements: Vec<String>, database: String, applied: bool) -> Report {
    let id_column = |one: uninstall::IdColumn| IdColumn { table: one.table.to_string(), column: one.column, filled: one.filled };
    let mut elsewhere = Vec::new();
    for spec in &house.config.streams {
        if let Some(property) = &spec.external_key {
            elsewhere.push(format!(
                "{}: the property {property} of {}, which holds keys of {}",
                spec.connection, spec.object, spec.table
            ));
        }
    }
    elsewhere.push(match &house.config.queue.url {
        tidemark_boot::QueueUrl::Redis(_) => format!("Redis: keys that begin with {}", house.config.queue.prefix),
        tidemark_boot::QueueUrl::File(file) => format!("the queue's file {} and the witness beside it", file.display()),
        tidemark_boot::QueueUrl::Embedded => "the queue's file tidemark-queue.db and the witness beside it".to_owned(),
    });
    Report {
        database,
        triggers: objects.triggers.iter().map(|trigger| format!("{}.{}", trigger.table, trigger.name)).collect(),
        functions: objects.functions,
        tables: objects.tables,
        schema: objects.schema,
        id_columns: objects.id_columns.into_iter().map(id_column).collect(),
        statements,
        elsewhere,
        applied,
    }
}

fn print(report: &Report, args: &UninstallArgs) {
    say(format_args!(
        "-- Of Tidemark in {}: {} triggers, {} functions, {} tables{}.",
        report.database,
        report.triggers.len(),
        report.functions.len(),
        report.tables.len(),
        report.schema.as_ref().map(|schema| format!(", the schema {schema}")).unwrap_or_default()
    ));
    for statement in &report.statements {
        say(format_args!("{statement};"));
    }
    for column in &report.id_columns {
        let what = if args.clear_ids { "is emptied: it held" } else { "stays as it is, for --clear-ids was not said: it holds" };
        say(format_args!("-- {}.{} {what} the CRM's id in {} rows.", column.table, column.column, column.filled));
    }
    for place in &report.elsewhere {
        say(format_args!("-- Not in this database, and left alone: {place}."));
    }
    if report.applied {
        say("-- This was done. Nothing of Tidemark is in the database any more.");
    } else {
        say(format_args!(
            "-- Nothing was done. Stop every scheduler and worker, then run this, or `tidemark uninstall --apply --database {}`.",
            report.database
        ));
    }
}
