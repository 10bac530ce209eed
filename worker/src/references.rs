//! Reads what records refer to, so that a record is whole before it is merged. One call per reference field and batch.

use std::collections::HashMap;

use tidemark_core::record::{Record, RemoteId};
use tidemark_crm::Bucket;
use tidemark_store::StoreError;

use crate::calls::{NoAnswer, Purpose};

/// Fills each record's reference fields with the ids of the records it refers to; the lowest where there are several.
pub(crate) async fn fill(purpose: &Purpose<'_>, records: &mut [Record]) -> Result<Result<(), NoAnswer>, StoreError> {
    let spec = &purpose.stream.spec;
    let crm = &purpose.connection.crm;
    let batch = crm.traits(&spec.object).map_or(100, |traits| usize::from(traits.read_rows_max)).max(1);
    for (at, _, target) in spec.reference_fields() {
        // Of who is archived nothing is merged.
        let ids: Vec<RemoteId> = records.iter().filter(|record| !record.archived).map(|record| record.id.clone()).collect();
        let mut found: HashMap<RemoteId, RemoteId> = HashMap::new();
        for ids in ids.chunks(batch) {
            let answer = crm.read_references(&spec.object, target, ids);
            match purpose.call(Bucket::General, ids.len(), answer).await? {
                Ok(pairs) => found.extend(pairs.into_iter().filter_map(|(id, to)| Some((id, to.into_iter().next()?)))),
                Err(no) => return Ok(Err(no)),
            }
        }
        for record in records.iter_mut() {
            if let Some(value) = record.values.get_mut(at) {
                *value = found.get(&record.id).map(|id| id.0.clone());
            }
        }
    }
    Ok(Ok(()))
}
