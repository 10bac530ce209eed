//! Ids of records that were merged into another in the CRM, and the records they lead to.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::m20261123_000001_first_tide::render;

#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261125_000008_aliases"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in statements(manager.get_database_backend() == DbBackend::Postgres) {
            manager.get_connection().execute_unprepared(&statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared("DROP TABLE IF EXISTS tidemark_alias").await?;
        Ok(())
    }
}

/// `remote_id`: an id under which nothing answers any more, or its `survivor` does.
const STATEMENTS: &str = "
CREATE TABLE tidemark_alias (
    stream_id BIGINT NOT NULL,
    remote_id TEXT NOT NULL,
    survivor TEXT NOT NULL,
    at BIGINT NOT NULL DEFAULT {now},
    PRIMARY KEY (stream_id, remote_id)
);
CREATE INDEX tidemark_alias_survivor ON tidemark_alias (stream_id, survivor)
";

/// The statements for one kind of database, in order.
pub(crate) fn statements(postgres: bool) -> Vec<String> {
    render(STATEMENTS, postgres)
}
