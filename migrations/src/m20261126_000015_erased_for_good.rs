//! Erasures for good: whether the record is deleted so that nothing brings it back, rather than archived.

use crate::step::Step;

pub(crate) const STEP: Step = Step { name: "m20261126_000015_erased_for_good", up: UP, down: DOWN };

const UP: &str = "
ALTER TABLE tidemark_erasure ADD COLUMN for_good BIGINT NOT NULL DEFAULT 0
";

const DOWN: &str = "
ALTER TABLE tidemark_erasure DROP COLUMN for_good
";
