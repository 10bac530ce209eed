//! Pushes that wait because the CRM would refuse them: found at once, however much else is owed.

use crate::step::Step;

pub(crate) const STEP: Step = Step { name: "m20261126_000016_unfit", up: UP, down: DOWN };

const UP: &str = "
CREATE INDEX tidemark_debt_unfit ON tidemark_debt (stream_id) WHERE state = 'parked' AND class = 'unfit'
";

const DOWN: &str = "
DROP INDEX IF EXISTS tidemark_debt_unfit
";
