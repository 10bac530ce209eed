//! Recordings: until when each call of a connection keeps its request and response, and those that were kept.

use crate::step::Step;

pub(crate) const STEP: Step = Step { name: "m20261126_000013_recordings", up: UP, down: DOWN };

/// `record_left`: calls that are still kept before the recording ends by its number. The texts of a tape are redacted.
const UP: &str = "
CREATE TABLE tidemark_tape (
    callout_id BIGINT PRIMARY KEY,
    request TEXT NOT NULL,
    response TEXT,
    at BIGINT NOT NULL DEFAULT {now}
);
CREATE INDEX tidemark_tape_age ON tidemark_tape (at);
ALTER TABLE tidemark_connection ADD COLUMN record_until BIGINT;
ALTER TABLE tidemark_connection ADD COLUMN record_left BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tidemark_connection ADD COLUMN record_by TEXT
";

const DOWN: &str = "
ALTER TABLE tidemark_connection DROP COLUMN record_by;
ALTER TABLE tidemark_connection DROP COLUMN record_left;
ALTER TABLE tidemark_connection DROP COLUMN record_until;
DROP TABLE IF EXISTS tidemark_tape
";
