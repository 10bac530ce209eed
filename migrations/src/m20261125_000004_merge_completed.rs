//! What waits for a person in a link, so that conflicts are listed without reading every base.

use crate::step::Step;

pub(crate) const STEP: Step = Step { name: "m20261125_000004_merge_completed", up: UP, down: DOWN };

/// `open_since`: when the first field that now waits for a person was noticed. An earlier version wrote a conflict as a word at the end of a field.
const UP: &str = "
ALTER TABLE tidemark_link ADD COLUMN open_since BIGINT;
CREATE INDEX tidemark_link_open ON tidemark_link (stream_id, id) WHERE open_since IS NOT NULL;
UPDATE tidemark_link SET open_since = {now} WHERE base LIKE '%,\"conflict\"]%'
";

const DOWN: &str = "
DROP INDEX IF EXISTS tidemark_link_open;
ALTER TABLE tidemark_link DROP COLUMN open_since
";
