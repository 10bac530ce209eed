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
mod m20261126_000010_environment;
mod m20261126_000011_call_hours;
mod m20261126_000012_erasure;
mod m20261126_000013_recordings;
mod m20261126_000014_one_way;
mod m20261126_000015_erased_for_good;
mod m20261126_000016_unfit;
mod m20261126_000017_credential;
mod m20261126_000019_described;
mod m20261127_000020_feed;
mod m20261127_000021_trial;
mod step;

use step::Step;

/// Oldest first.
const STEPS: [Step; 20] = [
    m20261123_000001_first_tide::STEP,
    m20261125_000001_day_and_capture::STEP,
    m20261125_000002_lineage::STEP,
    m20261125_000003_sweep::STEP,
    m20261125_000004_merge_completed::STEP,
    m20261125_000005_walk_links::STEP,
    m20261125_000006_brakes::STEP,
    m20261125_000007_arrivals::STEP,
    m20261125_000008_aliases::STEP,
    m20261126_000010_environment::STEP,
    m20261126_000011_call_hours::STEP,
    m20261126_000012_erasure::STEP,
    m20261126_000013_recordings::STEP,
    m20261126_000014_one_way::STEP,
    m20261126_000015_erased_for_good::STEP,
    m20261126_000016_unfit::STEP,
    m20261126_000017_credential::STEP,
    m20261126_000019_described::STEP,
    m20261127_000020_feed::STEP,
    m20261127_000021_trial::STEP,
];

/// All migrations, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        STEPS.into_iter().map(|step| Box::new(step) as Box<dyn MigrationTrait>).collect()
    }

    fn migration_table_name() -> DynIden {
        "tidemark_migration".into_iden()
    }
}

/// The SQL that a new database will run, for people who want to read it first.
pub fn plan(postgres: bool) -> String {
    let statements: Vec<String> = STEPS.iter().flat_map(|step| step.statements(postgres)).collect();
    statements.join(";\n") + ";\n"
}
