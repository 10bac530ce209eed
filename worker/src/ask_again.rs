//! Asks once more for records that a read by id did not find, and for one that is known to live: silence means something only where somebody else answers.
//!
//! Where the CRM shows its archive, that is asked; what is in it is archived by the CRM's own word. Concludes nothing itself.

use std::collections::HashSet;

use tidemark_core::delete::{Witness, Word};
use tidemark_core::record::{Record, RemoteId};
use tidemark_core::source::SourceTraits;
use tidemark_core::window::millis;
use tidemark_crm::{Bucket, ReadIds};
use tidemark_store::gone::{Missing, Round};
use tidemark_store::{StoreError, debts, links};

use crate::calls::{NoAnswer, Purpose};
use crate::poll::wanted;

/// Records that are asked as witnesses: one that answers is enough, and one may itself be gone.
const WITNESSES: u32 = 3;

/// One round of asking for `missing`, which were not among the answers to `asked`.
pub(crate) async fn round(
    purpose: &Purpose<'_>,
    missing: &[RemoteId],
    asked: &[RemoteId],
    traits: &SourceTraits,
) -> Result<Result<Round, NoAnswer>, StoreError> {
    let (store, mapped) = (&purpose.ctx.store, purpose.stream);
    let commit_lag = millis(traits.commit_lag.min(mapped.spec.poll.settled_lag));
    let mut round = Round { missing: Vec::new(), witness: Witness::Nobody, archive_view: traits.archive_view, commit_lag };
    if missing.is_empty() {
        return Ok(Ok(round));
    }
    let mut witnesses = links::witnesses(store, mapped, WITNESSES).await?;
    witnesses.retain(|id| !missing.contains(id));
    let batch = usize::from(traits.read_rows_max).max(2);
    let room = batch.saturating_sub(witnesses.len()).max(1);
    let mut answered = 0;
    // What does not fit into one round is asked for in the next.
    let missing = &missing[..missing.len().min(room)];
    let ids: Vec<RemoteId> = missing.iter().chain(&witnesses).cloned().collect();
    let mut found: Vec<Record> = Vec::new();
    for ids in ids.chunks(usize::from(traits.read_rows_max).max(1)) {
        match ask(purpose, ids, false).await? {
            Ok(records) => found.extend(records),
            Err(no) => return Ok(Err(no)),
        }
    }
    // A witness may be what one of the missing was merged into: it is read, so that this is heard, and the next round asks for one less.
    let survivors = found.iter().filter(|record| missing.iter().any(|id| record.id != *id && record.absorbed.contains(id)));
    let survivors: Vec<&str> = survivors.map(|record| record.id.as_str()).collect();
    debts::owe_reads(store, mapped.id, &survivors, 0).await?;
    answered += witnesses.iter().filter(|id| found.iter().any(|record| record.id == **id)).count();
    round.witness = match (witnesses.len(), answered) {
        (0, _) => Witness::Nobody,
        (_, 0) => Witness::Silent,
        _ => Witness::Answered,
    };
    let silent: Vec<RemoteId> =
        missing.iter().filter(|id| found.iter().flat_map(Record::ids).all(|answered| answered != *id)).cloned().collect();
    let mut archived = Vec::new();
    if traits.archive_view {
        let at_once = purpose.connection.crm.archived_rows_max(&mapped.spec.object);
        for ids in silent.chunks(usize::from(at_once).max(1)) {
            match ask(purpose, ids, true).await? {
                Ok(records) => archived.extend(records),
                Err(no) => return Ok(Err(no)),
            }
        }
    }
    let known: HashSet<&RemoteId> = asked.iter().chain(&ids).collect();
    let stranger = found.iter().any(|record| !known.contains(&record.id));
    let word = |id: &RemoteId| match archived.iter().find(|record| record.id == *id && record.archived) {
        Some(record) => Word::Archived { modified: record.modified },
        None if stranger => Word::Merged,
        None => Word::Absent,
    };
    // One that answers now is merged by the next read: nothing is concluded of it.
    round.missing = silent.into_iter().map(|id| Missing { word: word(&id), id }).collect();
    Ok(Ok(round))
}

async fn ask(purpose: &Purpose<'_>, ids: &[RemoteId], archived: bool) -> Result<Result<Vec<Record>, NoAnswer>, StoreError> {
    let spec = &purpose.stream.spec;
    let properties = wanted(purpose.stream);
    let request = ReadIds { object: &spec.object, properties: &properties, external_key: spec.external_key.as_deref(), ids };
    let crm = &purpose.connection.crm;
    if archived {
        purpose.call(Bucket::General, ids.len(), crm.read_archived(&request)).await
    } else {
        purpose.call(Bucket::General, ids.len(), crm.read_ids(&request)).await
    }
}
