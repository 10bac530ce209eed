//! Decides what a file says about a feed of deletes: a list by time of the records that are gone, or a feed of changes. Nothing it tells is believed: whoever it names is read again by
//! their id.

use serde_json::Value as Json;
use tidemark_core::record::Record;
use tidemark_core::source::{Position, SourceTraits};

use super::delta::Delta;
use super::findings::Findings;
use super::node::{Fields, Node};
use super::reading::{Listed, Reading};
use super::shape::Shape;
use super::template::Scope;

/// Read behind a window.
#[derive(Debug, Clone)]
pub(super) enum Feed {
    /// Of the window's own time.
    OfTime(Box<OfTime>),
    /// From where it was left, as only the vendor knows.
    Delta(Box<Delta>),
}

#[derive(Debug, Clone)]
pub(super) struct OfTime {
    pub(super) shape: Shape,
    pub(super) reading: Reading,
}

/// Stands before the positions of a feed; those of a window are JSON.
const MARK: &str = "deletes ";

impl Feed {
    /// `id` and `modified` where a row of the feed has them elsewhere than a record; the rest as in `read`.
    pub(super) fn read(node: &Node, record: Option<&Shape>, scope: &Scope<'_>, findings: &Findings) -> Option<Self> {
        let mut fields = Fields::of(node, findings);
        if fields.get("kind").and_then(|node| node.text(findings)) == Some("delta") {
            return Delta::read(fields, scope, findings).map(|delta| Self::Delta(Box::new(delta)));
        }
        let shape = Shape::of_feed(record, &mut fields, findings);
        let modified = shape.as_ref().map(|shape| shape.modified.as_ref());
        let reading = Reading::of(fields, modified, Listed::Deletes, scope, findings);
        Some(Self::OfTime(Box::new(OfTime { shape: shape?, reading: reading? })))
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

impl OfTime {
    /// What the core may rely on, where it is not what holds for the object's records.
    pub(super) fn traits(&self, object: &SourceTraits) -> SourceTraits {
        SourceTraits {
            order: self.reading.order,
            paging: self.reading.paging(),
            result_cap: self.reading.result_cap,
            token_life: self.reading.token_life(),
            precision_ms: self.shape.modified.as_ref().map_or(object.precision_ms, |modified| modified.precision_ms),
            page_rows_max: self.reading.rows_max,
            ..object.clone()
        }
    }

    /// Whom a row names, as somebody who is gone.
    pub(super) fn record(&self, row: &Json, places: usize) -> Option<Record> {
        Some(Record { modified: self.shape.stamp(row), ..Record::gone(self.shape.id_of(row)?, places) })
    }
}
