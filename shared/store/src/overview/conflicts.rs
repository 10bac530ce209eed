//! Every field that waits for a person, with what there is to decide by: what was agreed, what the row holds, what the record holds, since when.

use serde::Serialize;
use tidemark_core::Millis;
use tidemark_core::conflict::open_fields;
use tidemark_core::spec::StreamSpec;

use crate::conflicts::open;
use crate::{Store, StoreError, streams};

/// One field of one pair. Values are as each side last showed them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConflictLine {
    pub stream: String,
    pub link: i64,
    pub row: Option<String>,
    pub record: Option<String>,
    pub field: String,
    pub column: String,
    /// False when the two sides never met in this field.
    pub met: bool,
    pub agreed_row: Option<String>,
    pub agreed_record: Option<String>,
    pub row_value: Option<String>,
    pub record_value: Option<String>,
    /// Database clock.
    pub since: Millis,
    pub reason: &'static str,
    /// What a person may choose here: a stream that does not write a side cannot carry the other's value there.
    pub take: Vec<&'static str>,
}

/// The fields that wait in these streams, stream after stream and the longest first; at most `limit` links after `offset`.
pub async fn conflicts(
    store: &Store,
    specs: &[&StreamSpec],
    mut limit: u32,
    mut offset: u32,
) -> Result<Vec<ConflictLine>, StoreError> {
    let mut lines = Vec::new();
    for spec in specs {
        let Some(stream) = streams::find(store, &spec.name).await?.filter(|_| limit > 0) else { continue };
        // Links before the offset are read and passed over, so that the pages of several streams follow each other.
        let links = open(store, stream.id, spec, limit.saturating_add(offset), 0).await?;
        let passed = u32::try_from(links.len()).unwrap_or(u32::MAX).min(offset);
        offset -= passed;
        for open in links.iter().skip(passed as usize) {
            limit -= 1;
            lines.extend(open_fields(&open.link.view.base).into_iter().filter_map(|field| {
                let mapped = spec.fields.get(field.field)?;
                let (agreed_row, agreed_record) = field.agreed.clone().unwrap_or_default();
                Some(ConflictLine {
                    stream: spec.name.clone(),
                    link: open.link.id,
                    row: open.link.row_key.as_ref().map(|key| key.0.clone()),
                    record: open.link.remote_id.as_ref().map(|id| id.0.clone()),
                    field: mapped.property.clone(),
                    column: mapped.column.clone(),
                    met: field.agreed.is_some(),
                    agreed_row,
                    agreed_record,
                    row_value: field.row,
                    record_value: field.record,
                    since: field.since.unwrap_or(open.since),
                    reason: "both sides changed it",
                    take: choices(spec),
                })
            }));
        }
    }
    Ok(lines)
}

fn choices(spec: &StreamSpec) -> Vec<&'static str> {
    let orders = spec.direction.writes_records().then_some("orders");
    orders.into_iter().chain(spec.direction.writes_rows().then_some("crm")).collect()
}
