//! One-way streams: which streams only ever send, and since when.

use crate::step::Step;

pub(crate) const STEP: Step = Step { name: "m20261126_000014_one_way", up: UP, down: DOWN };

/// `began_at` is when somebody first said go to a stream, database clock; nothing before this migration. What a one-way stream's rows held then counts as delivered. Its
/// `loaded_at` is when all of them were taken down as such.
const UP: &str = "
ALTER TABLE tidemark_stream ADD COLUMN one_way BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tidemark_stream ADD COLUMN began_at BIGINT
";

const DOWN: &str = "
ALTER TABLE tidemark_stream DROP COLUMN began_at;
ALTER TABLE tidemark_stream DROP COLUMN one_way
";
