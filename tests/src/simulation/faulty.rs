//! How connectors with deliberate bugs ask and write. Used only while such a bug is planted.

use tidemark_core::source::{Next, Page, Position};
use tidemark_crm::{PageRequest, WriteItem};

use super::crm::{Crm as Model, Target};
use super::face::{Face, record};

/// As a connector reads that counts what it has read: with the bug planted.
pub(crate) fn by_offset(model: &Model, request: &PageRequest<'_>) -> Page {
    let offset: usize = request.position.and_then(|position| position.0.parse().ok()).unwrap_or(0);
    let found = model.search(request.object, request.from, request.until, None);
    let rows = usize::from(request.rows_max);
    let next = if found.len() > offset + rows { Next::More(Position((offset + rows).to_string())) } else { Next::Drained };
    let page = found.iter().skip(offset).take(rows);
    let records = page.map(|(id, stamp, values)| record(id, *stamp, values, request.properties));
    Page { records: records.collect(), next, feed: None }
}

impl Face {
    /// Whom an upsert by a natural key meets: with the bug planted.
    pub(crate) fn by_natural_key(&self, object: &'static str, property: &str, item: &WriteItem) -> Target {
        let value = item.fields.iter().find(|(name, _)| name == property).and_then(|(_, value)| value.clone());
        let ids = value.map(|value| self.model().tagged(object, property, &value)).unwrap_or_default();
        ids.into_iter().next().map_or(Target::New, Target::Id)
    }
}
