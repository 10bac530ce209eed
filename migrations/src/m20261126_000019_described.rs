//! How a CRM described what a stream maps, and when it was asked last: what is gone since is known as such.

use crate::step::Step;

pub(crate) const STEP: Step = Step { name: "m20261126_000019_described", up: UP, down: DOWN };

/// `described` holds mapped properties and their types (JSON), `described_at` is by the database's clock.
const UP: &str = "
ALTER TABLE tidemark_stream ADD COLUMN described TEXT;
ALTER TABLE tidemark_stream ADD COLUMN described_at BIGINT
";

const DOWN: &str = "
ALTER TABLE tidemark_stream DROP COLUMN described_at;
ALTER TABLE tidemark_stream DROP COLUMN described
";
