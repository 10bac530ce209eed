//! The environment: where the database was adopted, its pulse, and which streams hold their pushes because it may be a restored one.

use crate::step::Step;

pub(crate) const STEP: Step = Step { name: "m20261126_000010_environment", up: UP, down: DOWN };

/// One row. `lineage` is the same in all copies of one database; `beats` moves while a scheduler runs. A stream whose `held_at` is set sends nothing; `keys_doubted` says
/// that keys of its rows may have been given out twice.
const UP: &str = "
CREATE TABLE tidemark_environment (
    id BIGINT PRIMARY KEY,
    lineage TEXT NOT NULL,
    place TEXT NOT NULL,
    timeline BIGINT,
    beats BIGINT NOT NULL DEFAULT 0,
    beat_at BIGINT,
    adopted_at BIGINT NOT NULL DEFAULT {now}
);
ALTER TABLE tidemark_stream ADD COLUMN held_at BIGINT;
ALTER TABLE tidemark_stream ADD COLUMN held_why TEXT;
ALTER TABLE tidemark_stream ADD COLUMN keys_doubted BIGINT NOT NULL DEFAULT 0
";

const DOWN: &str = "
ALTER TABLE tidemark_stream DROP COLUMN keys_doubted;
ALTER TABLE tidemark_stream DROP COLUMN held_why;
ALTER TABLE tidemark_stream DROP COLUMN held_at;
DROP TABLE IF EXISTS tidemark_environment
";
