//! Erasures: people who were erased, how far that is, and digests by which they would be known again.

use crate::step::Step;

pub(crate) const STEP: Step = Step { name: "m20261126_000012_erasure", up: UP, down: DOWN };

/// An erasure is a debt of its own kind until its record is gone: `due_at`, `attempts`, lease and cause are as a debt's. No value of the person is in it.
const UP: &str = "
CREATE TABLE tidemark_erasure (
    id {id},
    stream_id BIGINT NOT NULL,
    row_key TEXT,
    remote_id TEXT,
    state TEXT NOT NULL DEFAULT 'begun',
    who TEXT NOT NULL,
    reason TEXT,
    begun_at BIGINT NOT NULL DEFAULT {now},
    done_at BIGINT,
    again_at BIGINT,
    lifted_at BIGINT,
    lifted_for TEXT,
    due_at BIGINT NOT NULL DEFAULT {now},
    attempts INTEGER NOT NULL DEFAULT 0,
    class TEXT,
    cause TEXT,
    lease_fence TEXT,
    lease_until BIGINT
);
CREATE INDEX tidemark_erasure_due ON tidemark_erasure (stream_id, due_at) WHERE state = 'begun';
CREATE INDEX tidemark_erasure_remote ON tidemark_erasure (stream_id, remote_id);
CREATE TABLE tidemark_erased_key (
    stream_id BIGINT NOT NULL,
    digest TEXT NOT NULL,
    erasure_id BIGINT NOT NULL,
    PRIMARY KEY (stream_id, digest, erasure_id)
)
";

const DOWN: &str = "
DROP TABLE IF EXISTS tidemark_erased_key;
DROP TABLE IF EXISTS tidemark_erasure
";
