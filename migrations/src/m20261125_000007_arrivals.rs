//! Arrivals: how late versions became visible, by stream and day.

use crate::step::Step;

pub(crate) const STEP: Step = Step { name: "m20261125_000007_arrivals", up: UP, down: DOWN };

/// `day` is days since 1970. A version the fast reader had is counted under 0 and 0; one it missed under the two ages between which it became visible.
const UP: &str = "
CREATE TABLE tidemark_arrival (
    stream_id BIGINT NOT NULL,
    day BIGINT NOT NULL,
    low_ms BIGINT NOT NULL,
    high_ms BIGINT NOT NULL,
    versions BIGINT NOT NULL,
    PRIMARY KEY (stream_id, day, low_ms, high_ms)
)
";

const DOWN: &str = "
DROP TABLE IF EXISTS tidemark_arrival
";
