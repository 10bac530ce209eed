//! `migrate`: Tidemark's own tables and the capture triggers; with `--plan` only their SQL and the grants.

use std::process::ExitCode;

use tidemark_store::{capture, shape};

use crate::compose::House;
use crate::verbs::say;

pub(crate) async fn run(house: &House, plan: bool) -> eyre::Result<ExitCode> {
    if plan {
        return print_plan(house).await;
    }
    house.migrate().await?;
    for spec in &house.config.streams {
        say(format_args!("{}: {} is captured", spec.name, house.store.qualify(&spec.table)));
    }
    say("The tables are up to date. A new stream waits for `tidemark resume STREAM`.");
    Ok(ExitCode::SUCCESS)
}

async fn print_plan(house: &House) -> eyre::Result<ExitCode> {
    let store = &house.store;
    house.prove_columns().await?;
    say("-- 1. Tidemark's own tables");
    if store.is_postgres() {
        say(format_args!("CREATE SCHEMA IF NOT EXISTS \"{}\";\nSET search_path = \"{0}\";", house.config.database.schema));
    }
    say(tidemark_migrations::plan(store.is_postgres()));
    say("-- 2. Capture: the only change to order tables. The application's role needs no right on anything of Tidemark's.");
    let mut seen: Vec<String> = Vec::new();
    for spec in &house.config.streams {
        let shape = shape::load(store, spec).await?;
        if seen.contains(&shape.log_name()) {
            continue;
        }
        seen.push(shape.log_name());
        let specs: Vec<_> = house.config.streams.iter().filter(|other| store.qualify(&other.table) == shape.table).collect();
        for statement in capture::renamed(store, &shape).await?.iter().chain(&capture::plan(store, &shape, &specs)) {
            say(format_args!("{statement};"));
        }
    }
    if store.is_postgres() {
        say(
            "\n-- 3. The least rights Tidemark's role needs, here called \"tidemark\". To create triggers PostgreSQL wants the TRIGGER right, once;\n--    it can be revoked after `tidemark migrate`.",
        );
        let mut printed: Vec<String> = Vec::new();
        for spec in &house.config.streams {
            let shape = shape::load(store, spec).await?;
            for grant in capture::grants(store, &shape, spec, "tidemark") {
                if !printed.contains(&grant) {
                    say(format_args!("{grant};"));
                    printed.push(grant);
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
