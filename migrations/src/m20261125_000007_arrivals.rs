//! Arrivals: how late versions became visible, by stream and day.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::m20261123_000001_first_tide::render;

#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261125_000007_arrivals"
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
        manager.get_connection().execute_unprepared("DROP TABLE IF EXISTS tidemark_arrival").await?;
        Ok(())
    }
}

/// `day` is days since 1970. A version the fast reader had is counted under 0 and 0; one it missed under the two ages between which it became visible.
const STATEMENTS: &str = "
CREATE TABLE tidemark_arrival (
    stream_id BIGINT NOT NULL,
    day BIGINT NOT NULL,
    low_ms BIGINT NOT NULL,
    high_ms BIGINT NOT NULL,
    versions BIGINT NOT NULL,
    PRIMARY KEY (stream_id, day, low_ms, high_ms)
)
";

/// The statements for one kind of database, in order.
pub(crate) fn statements(postgres: bool) -> Vec<String> {
    render(STATEMENTS, postgres)
}
