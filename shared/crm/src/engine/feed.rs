//! Decides what a file says about a feed of deletes: a list by time of the records that are gone. Nothing it tells is believed: whoever it names is read again by their id.

use serde_json::Value as Json;
use tidemark_core::record::Record;
use tidemark_core::source::{Position, SourceTraits};

use super::findings::Findings;
use super::node::{Fields, Node};
use super::reading::{Kept, Reading};
use super::shape::Shape;
use super::template::Scope;

/// Read behind a window, of the same time.
#[derive(Debug, Clone)]
pub(super) struct Feed {
    pub(super) shape: Shape,
    pub(super) reading: Reading,
    pub(super) traits: SourceTraits,
}

/// Stands before the positions of a feed; those of a window are JSON.
const MARK: &str = "deletes ";

impl Feed {
    /// `id` and `modified` where a row of the feed has them elsewhere than a record; the rest as in `read`.
    pub(super) fn read(node: &Node, of: (&Shape, &SourceTraits), scope: &Scope<'_>, findings: &Findings) -> Option<Self> {
        let (record, object) = of;
        let mut fields = Fields::of(node, findings);
        let shape = record.of_feed(&mut fields, findings);
        let reading = Reading::of(fields, Some(shape.modified.as_ref()), Kept::Deletes, scope, findings)?;
        let traits = SourceTraits {
            order: reading.order,
            paging: reading.paging(),
            result_cap: reading.result_cap,
            token_life: reading.token_life(),
            precision_ms: shape.modified.as_ref().map_or(object.precision_ms, |modified| modified.precision_ms),
            page_rows_max: reading.rows_max,
            ..object.clone()
        };
        Some(Self { shape, reading, traits })
    }

    /// Whom a row names, as somebody who is gone.
    pub(super) fn record(&self, row: &Json, values: usize) -> Option<Record> {
        let record = self.shape.record(row, &[], None)?;
        Some(Record { archived: true, values: vec![None; values], ..record })
    }

    pub(super) fn position(place: Option<&Position>) -> Position {
        Position(format!("{MARK}{}", place.map_or("", |Position(text)| text)))
    }

    /// Where a feed was reached, if this is a position of one; `None` in it at its start.
    pub(super) fn reached(position: &Position) -> Option<Option<Position>> {
        let rest = position.0.strip_prefix(MARK)?;
        Some((!rest.is_empty()).then(|| Position(rest.to_owned())))
    }
}
