//! Lineage: one row for each row or record that changed, and on the link through what its row was made.

use crate::step::Step;

pub(crate) const STEP: Step = Step { name: "m20261125_000002_lineage", up: UP, down: DOWN };

/// The link rather than row and record: it is one number in one index, and it stays when the record's id changes. Pruned by the oldest ids, so that age needs no index.
const UP: &str = "
CREATE TABLE tidemark_lineage (
    id {id},
    link_id BIGINT NOT NULL,
    at BIGINT NOT NULL,
    what TEXT NOT NULL,
    source TEXT NOT NULL,
    source_number BIGINT,
    fields TEXT
);
CREATE INDEX tidemark_lineage_link ON tidemark_lineage (link_id);
ALTER TABLE tidemark_link ADD COLUMN made TEXT
";

const DOWN: &str = "
DROP TABLE IF EXISTS tidemark_lineage;
ALTER TABLE tidemark_link DROP COLUMN made
";
