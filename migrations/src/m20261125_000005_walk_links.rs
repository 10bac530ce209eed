//! The walk's second half, over links whose row may be gone.

use crate::step::Step;

pub(crate) const STEP: Step = Step { name: "m20261125_000005_walk_links", up: UP, down: DOWN };

/// `walk_links` is the last link whose row was looked for; NULL while rows are compared.
const UP: &str = "
ALTER TABLE tidemark_stream ADD COLUMN walk_links BIGINT
";

const DOWN: &str = "
ALTER TABLE tidemark_stream DROP COLUMN walk_links
";
