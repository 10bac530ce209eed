//! One day counter per connection: the moving time of searches joins the connection's row of the budget. And how capture stands on each stream's table.

use sea_orm_migration::prelude::*;

#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261125_000001_day_and_capture"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in STATEMENTS {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in [
            "tidemark_budget DROP COLUMN search_tat_us",
            "tidemark_stream DROP COLUMN capture",
            "tidemark_stream DROP COLUMN capture_walk_at",
        ] {
            manager.get_connection().execute_unprepared(&format!("ALTER TABLE {column}")).await?;
        }
        Ok(())
    }
}

/// The same on both databases. `capture` is `installed`, `missing` or `impossible` (a view), and NULL before anybody looked; while it is not `installed` every row is
/// compared again at `capture_walk_at`.
pub(crate) const STATEMENTS: [&str; 3] = [
    "ALTER TABLE tidemark_budget ADD COLUMN search_tat_us BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE tidemark_stream ADD COLUMN capture TEXT",
    "ALTER TABLE tidemark_stream ADD COLUMN capture_walk_at BIGINT",
];
