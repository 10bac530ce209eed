//! The tables Tidemark keeps for itself, `tidemark_*`, as migrations that only expand: deploy, then contract in a later release.
//!
//! Unqualified names: on PostgreSQL they live in the schema the connection's `search_path` names, on SQLite in the order database's own file. Tables of the order
//! system are never touched here. All times are BIGINT milliseconds since 1970 (UTC), by the database's clock unless a column's comment says the CRM's.

use sea_orm_migration::prelude::*;

mod m20261123_000001_first_tide;
mod m20261125_000001_day_and_capture;
mod m20261125_000002_lineage;
mod m20261125_000003_sweep;
mod m20261125_000004_merge_completed;
mod m20261125_000005_walk_links;
mod m20261125_000006_brakes;
mod m20261125_000007_arrivals;
mod m20261125_000008_aliases;

/// All migrations, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_000001_first_tide::Migration),
            Box::new(m20261125_000001_day_and_capture::Migration),
            Box::new(m20261125_000002_lineage::Migration),
            Box::new(m20261125_000003_sweep::Migration),
            Box::new(m20261125_000004_merge_completed::Migration),
            Box::new(m20261125_000005_walk_links::Migration),
            Box::new(m20261125_000006_brakes::Migration),
            Box::new(m20261125_000007_arrivals::Migration),
            Box::new(m20261125_000008_aliases::Migration),
        ]
    }

    fn migration_table_name() -> DynIden {
        "tidemark_migration".into_iden()
    }
}

/// The SQL that a new database will run, for people who want to read it first.
pub fn plan(postgres: bool) -> String {
    let mut statements = m20261123_000001_first_tide::statements(postgres);
    statements.extend(m20261125_000001_day_and_capture::STATEMENTS.map(str::to_owned));
    statements.extend(m20261125_000002_lineage::statements(postgres));
    statements.extend(m20261125_000003_sweep::statements(postgres));
    statements.extend(m20261125_000004_merge_completed::statements(postgres));
    statements.extend(m20261125_000005_walk_links::statements(postgres));
    statements.extend(m20261125_000006_brakes::statements(postgres));
    statements.extend(m20261125_000007_arrivals::statements(postgres));
    statements.extend(m20261125_000008_aliases::statements(postgres));
    statements.join(";\n") + ";\n"
}
