//! What waits for a person in a link, so that conflicts are listed without reading every base.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::m20261123_000001_first_tide::render;

#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261125_000004_merge_completed"
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
        for statement in ["DROP INDEX IF EXISTS tidemark_link_open", "ALTER TABLE tidemark_link DROP COLUMN open_since"] {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

/// `open_since`: when the first field that now waits for a person was noticed. An earlier version wrote a conflict as a word at the end of a field.
const STATEMENTS: &str = "
ALTER TABLE tidemark_link ADD COLUMN open_since BIGINT;
CREATE INDEX tidemark_link_open ON tidemark_link (stream_id, id) WHERE open_since IS NOT NULL;
UPDATE tidemark_link SET open_since = {now} WHERE base LIKE '%,\"conflict\"]%'
";

/// The statements for one kind of database, in order.
pub(crate) fn statements(postgres: bool) -> Vec<String> {
    render(STATEMENTS, postgres)
}
