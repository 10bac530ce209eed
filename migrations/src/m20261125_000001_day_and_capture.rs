//! One day counter per connection: the moving time of searches joins the connection's row of the budget. And how capture stands on each stream's table.

use crate::step::Step;

pub(crate) const STEP: Step = Step { name: "m20261125_000001_day_and_capture", up: UP, down: DOWN };

/// The same on both databases. `capture` is `installed`, `missing` or `impossible` (a view), and NULL before anybody looked; while it is not `installed` every row is
/// compared again at `capture_walk_at`.
const UP: &str = "
ALTER TABLE tidemark_budget ADD COLUMN search_tat_us BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tidemark_stream ADD COLUMN capture TEXT;
ALTER TABLE tidemark_stream ADD COLUMN capture_walk_at BIGINT
";

const DOWN: &str = "
ALTER TABLE tidemark_budget DROP COLUMN search_tat_us;
ALTER TABLE tidemark_stream DROP COLUMN capture;
ALTER TABLE tidemark_stream DROP COLUMN capture_walk_at
";
