//! Sweeps: when each stream is swept, how a sweep ended, which links it saw, and what it found. Deletes: which side of a tombstone is gone, and what a person let pass.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::m20261123_000001_first_tide::render;

#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261125_000003_sweep"
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

/// One column a statement: SQLite adds no more. `swept` is the window of the last sweep that saw the link's record; a window's `fence` the claim that read its last
/// page. `mark` is what a row's column holds because its record was deleted. `passed` names what a debt was parked for and is let through.
const STATEMENTS: &str = "
ALTER TABLE tidemark_stream ADD COLUMN sweep_owed_at BIGINT;
ALTER TABLE tidemark_stream ADD COLUMN sweep_begun_at BIGINT;
ALTER TABLE tidemark_stream ADD COLUMN sweep_hinted_at BIGINT;
ALTER TABLE tidemark_stream ADD COLUMN sweep_attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tidemark_stream ADD COLUMN sweep_error TEXT;
ALTER TABLE tidemark_window ADD COLUMN fence BIGINT;
ALTER TABLE tidemark_window ADD COLUMN seal TEXT;
ALTER TABLE tidemark_window ADD COLUMN drift BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tidemark_link ADD COLUMN swept BIGINT;
ALTER TABLE tidemark_link ADD COLUMN gone TEXT;
ALTER TABLE tidemark_link ADD COLUMN mark TEXT;
ALTER TABLE tidemark_debt ADD COLUMN passed TEXT;
ALTER TABLE tidemark_window ADD COLUMN suspected BIGINT NOT NULL DEFAULT 0;
CREATE INDEX tidemark_window_sweep ON tidemark_window (stream_id, id) WHERE reader = 'sweep';
CREATE TABLE tidemark_drift (
    id {id},
    stream_id BIGINT NOT NULL,
    side TEXT NOT NULL,
    subject TEXT NOT NULL,
    missed_by TEXT NOT NULL,
    fields TEXT NOT NULL,
    repair TEXT NOT NULL,
    at BIGINT NOT NULL DEFAULT {now}
);
CREATE INDEX tidemark_drift_recent ON tidemark_drift (stream_id, at)
";

const DOWN: &str = "
DROP TABLE IF EXISTS tidemark_drift;
DROP INDEX IF EXISTS tidemark_window_sweep;
ALTER TABLE tidemark_window DROP COLUMN suspected;
ALTER TABLE tidemark_debt DROP COLUMN passed;
ALTER TABLE tidemark_link DROP COLUMN mark;
ALTER TABLE tidemark_link DROP COLUMN gone;
ALTER TABLE tidemark_link DROP COLUMN swept;
ALTER TABLE tidemark_window DROP COLUMN drift;
ALTER TABLE tidemark_window DROP COLUMN seal;
ALTER TABLE tidemark_window DROP COLUMN fence;
ALTER TABLE tidemark_stream DROP COLUMN sweep_error;
ALTER TABLE tidemark_stream DROP COLUMN sweep_attempts;
ALTER TABLE tidemark_stream DROP COLUMN sweep_hinted_at;
ALTER TABLE tidemark_stream DROP COLUMN sweep_begun_at;
ALTER TABLE tidemark_stream DROP COLUMN sweep_owed_at
";

/// The statements for one kind of database, in order.
pub(crate) fn statements(postgres: bool) -> Vec<String> {
    render(STATEMENTS, postgres)
}
