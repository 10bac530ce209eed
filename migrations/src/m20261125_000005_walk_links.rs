//! The walk's second half, over links whose row may be gone.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::m20261123_000001_first_tide::render;

#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261125_000005_walk_links"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let postgres = manager.get_database_backend() == DbBackend::Postgres;
        for statement in statements(postgres) {
            manager.get_connection().execute_unprepared(&statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in DOWN.trim().split(";\n") {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

/// `walk_links` is the last link whose row was looked for; NULL while rows are compared.
const STATEMENTS: &str = "
ALTER TABLE tidemark_stream ADD COLUMN walk_links BIGINT
";

const DOWN: &str = "
ALTER TABLE tidemark_stream DROP COLUMN walk_links
";

/// The statements for one kind of database, in order.
pub(crate) fn statements(postgres: bool) -> Vec<String> {
    render(STATEMENTS, postgres)
}
