//! Sweeps: when each stream is swept, how a sweep ended, which links it saw, and what it found. Deletes: which side of a tombstone is gone, and what a person let pass.

use crate::step::Step;

pub(crate) const STEP: Step = Step { name: "m20261125_000003_sweep", up: UP, down: DOWN };

/// One column a statement: SQLite adds no more. `swept` is the window of the last sweep that saw the link's record; a window's `fence` the claim that read its last
/// page. `mark` is what a row's column holds because its record was deleted. `passed` names what a debt was parked for and is let through.
const UP: &str = "
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
