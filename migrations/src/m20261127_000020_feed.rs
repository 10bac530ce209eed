//! Where a CRM's own feed of changes was left, so that whoever is deleted is told by it.

use crate::step::Step;

pub(crate) const STEP: Step = Step { name: "m20261127_000020_feed", up: UP, down: DOWN };

/// `feed` is the vendor's text. It may be lost: then the feed is begun anew, and the sweep finds what it would have told.
const UP: &str = "ALTER TABLE tidemark_stream ADD COLUMN feed TEXT";

const DOWN: &str = "ALTER TABLE tidemark_stream DROP COLUMN feed";
