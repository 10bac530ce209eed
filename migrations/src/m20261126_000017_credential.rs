//! Credentials: the token that all processes of a connection share, sealed, and who asks for the next one.

use crate::step::Step;

pub(crate) const STEP: Step = Step { name: "m20261126_000017_credential", up: UP, down: DOWN };

/// `origin` is a digest of the configured grant. `version` counts the tokens that were kept; `good_until` is the end of the present one. `lease` stays after its time where
/// nobody heard the answer. While `refused` says why, nobody asks.
const UP: &str = "
CREATE TABLE tidemark_credential (
    connection TEXT PRIMARY KEY,
    origin TEXT NOT NULL,
    sealed TEXT,
    version BIGINT NOT NULL DEFAULT 0,
    good_until BIGINT,
    lease TEXT,
    lease_until BIGINT,
    refused TEXT,
    changed_at BIGINT NOT NULL DEFAULT {now}
)
";

const DOWN: &str = "
DROP TABLE IF EXISTS tidemark_credential
";
