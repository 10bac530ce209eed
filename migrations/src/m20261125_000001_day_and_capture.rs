//! One day counter per connection: the moving time of searches joins the connection's row of the budget.

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
        manager.get_connection().execute_unprepared("ALTER TABLE tidemark_budget DROP COLUMN search_tat_us").await?;
        Ok(())
    }
}

/// The same on both databases.
pub(crate) const STATEMENTS: [&str; 1] = ["ALTER TABLE tidemark_budget ADD COLUMN search_tat_us BIGINT NOT NULL DEFAULT 0"];
