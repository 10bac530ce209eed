//! Brakes: how much of each act was let through within a day, which are on, and what a person let pass.

use crate::step::Step;

pub(crate) const STEP: Step = Step { name: "m20261125_000006_brakes", up: UP, down: DOWN };

/// A stream's brakes are made with it. `tally` counts by hour, `most` is what passed without asking when the brake was last asked, `links` the count its share was taken
/// of. `braked_at` is when the first load ended: before, nothing is braked. `walk_pass` is what a walk's finds are let through for. `counted_in` and `counted_out` are
/// when an update of the link was last counted, each way.
const UP: &str = "
CREATE TABLE tidemark_brake (
    stream_id BIGINT NOT NULL,
    direction TEXT NOT NULL,
    act TEXT NOT NULL,
    tally TEXT NOT NULL DEFAULT '',
    most BIGINT NOT NULL DEFAULT 0,
    links BIGINT,
    links_at BIGINT,
    tripped_at BIGINT,
    told_at BIGINT,
    answered_at BIGINT,
    PRIMARY KEY (stream_id, direction, act)
);
ALTER TABLE tidemark_stream ADD COLUMN braked_at BIGINT;
ALTER TABLE tidemark_stream ADD COLUMN walk_pass TEXT;
ALTER TABLE tidemark_link ADD COLUMN counted_in BIGINT;
ALTER TABLE tidemark_link ADD COLUMN counted_out BIGINT;
UPDATE tidemark_stream SET braked_at = {now} WHERE loaded_at IS NOT NULL
";

const DOWN: &str = "
ALTER TABLE tidemark_link DROP COLUMN counted_out;
ALTER TABLE tidemark_link DROP COLUMN counted_in;
ALTER TABLE tidemark_stream DROP COLUMN walk_pass;
ALTER TABLE tidemark_stream DROP COLUMN braked_at;
DROP TABLE IF EXISTS tidemark_brake
";
