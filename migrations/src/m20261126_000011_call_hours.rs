//! Call hours: what the calls of an hour came to, by endpoint, kept long after the calls themselves.

use crate::step::Step;

pub(crate) const STEP: Step = Step { name: "m20261126_000011_call_hours", up: UP, down: DOWN };

/// `endpoint` has its method before it; the empty one counts all calls of the connection together. `hour` is when it began. `tally` is JSON, and additive: see
/// `core/src/reliability.rs`. Up to which hour calls were counted stands in `tidemark_meta`.
const UP: &str = "
CREATE TABLE tidemark_call_hour (
    connection TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    hour BIGINT NOT NULL,
    tally TEXT NOT NULL,
    PRIMARY KEY (connection, endpoint, hour)
);
CREATE INDEX tidemark_call_hour_age ON tidemark_call_hour (hour)
";

const DOWN: &str = "DROP TABLE IF EXISTS tidemark_call_hour";
