//! Ids of records that were merged into another in the CRM, and the records they lead to.

use crate::step::Step;

pub(crate) const STEP: Step = Step { name: "m20261125_000008_aliases", up: UP, down: DOWN };

/// `remote_id`: an id under which nothing answers any more, or its `survivor` does.
const UP: &str = "
CREATE TABLE tidemark_alias (
    stream_id BIGINT NOT NULL,
    remote_id TEXT NOT NULL,
    survivor TEXT NOT NULL,
    at BIGINT NOT NULL DEFAULT {now},
    PRIMARY KEY (stream_id, remote_id)
);
CREATE INDEX tidemark_alias_survivor ON tidemark_alias (stream_id, survivor)
";

const DOWN: &str = "
DROP TABLE IF EXISTS tidemark_alias
";
