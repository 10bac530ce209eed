//! Sends what records refer to, once they exist: one call per reference field and batch. An end that is gone is read, so that a child waits for its parent in words.

use tidemark_core::failure::{Class, Failure};
use tidemark_core::record::{RemoteId, as_unlinked};
use tidemark_crm::Bucket;
use tidemark_store::StoreError;
use tidemark_store::debts::{self, Unpaid};
use tidemark_store::settle::{Settlement, settle};

use crate::calls::NoAnswer;
use crate::poll::READ_DELAY_MS;
use crate::push::{Going, Push};
use crate::read;

impl Push<'_> {
    /// Sends references of records that exist now, object by object.
    pub(crate) async fn refer(&self, going: Vec<(RemoteId, Going<'_>)>) -> Result<bool, StoreError> {
        if going.is_empty() {
            return Ok(true);
        }
        let spec = &self.purpose.stream.spec;
        let crm = &self.purpose.connection.crm;
        for (at, _, target) in spec.reference_fields() {
            let of_field = |going: &(RemoteId, Going<'_>)| {
                let reference = going.1.references.iter().find(|reference| reference.field == at)?;
                Some((going.0.clone(), reference.from.clone(), reference.to.clone()))
            };
            let all: Vec<_> = going.iter().filter_map(of_field).collect();
            let linked = |id: &RemoteId| as_unlinked(id.as_str()).is_none();
            let ended: Vec<(RemoteId, RemoteId)> =
                all.iter().filter_map(|(id, from, _)| Some((id.clone(), from.clone().filter(linked)?))).collect();
            let begun: Vec<(RemoteId, RemoteId)> = all.iter().filter_map(|(id, _, to)| Some((id.clone(), to.clone()?))).collect();
            for (pairs, ends) in [(ended, true), (begun, false)] {
                if pairs.is_empty() {
                    continue;
                }
                let answer = if ends {
                    self.purpose.call(Bucket::General, pairs.len(), crm.unrefer(&spec.object, target, &pairs)).await?
                } else {
                    self.purpose.call(Bucket::General, pairs.len(), crm.refer(&spec.object, target, &pairs)).await?
                };
                let failure = match answer {
                    Ok(outcomes) => outcomes.into_iter().find_map(Result::err),
                    Err(NoAnswer::Failed(failure)) => Some(failure),
                    Err(no) => return self.stop(no).await,
                };
                if let Some(failure) = failure {
                    return self.references_failed(&going, &failure).await;
                }
            }
        }
        let fields =
            |going: &Going<'_>| going.references.iter().map(|reference| (reference.field, reference.row.clone())).collect();
        let settlements: Vec<Settlement<'_>> = going
            .iter()
            .map(|(_, going)| Settlement::Referred {
                claim: &going.prepared.claim,
                fields: fields(going),
                complete: !going.owes_tie,
            })
            .collect();
        settle(&self.purpose.ctx.store, self.purpose.stream, self.fence, &settlements).await?;
        Ok(true)
    }

    async fn references_failed(&self, going: &[(RemoteId, Going<'_>)], failure: &Failure) -> Result<bool, StoreError> {
        let now = self.purpose.ctx.store.now().await?;
        if failure.class == Class::Gone {
            self.read_both_ends(going).await?;
        }
        let unpaid = |claim| Settlement::Unpaid {
            claim,
            unpaid: match failure.class {
                Class::Gone => Unpaid::Later { due_at: now + 4 * READ_DELAY_MS, cause: &failure.message },
                _ => read::unpaid(self.purpose, claim, failure, now),
            },
        };
        let settlements: Vec<Settlement<'_>> = going.iter().map(|(_, going)| unpaid(&going.prepared.claim)).collect();
        settle(&self.purpose.ctx.store, self.purpose.stream, self.fence, &settlements).await?;
        self.stop(NoAnswer::Failed(failure.clone())).await
    }

    /// One end of a reference is gone; which one, reads tell. A parent that is gone makes its children wait.
    async fn read_both_ends(&self, going: &[(RemoteId, Going<'_>)]) -> Result<(), StoreError> {
        let ctx = self.purpose.ctx;
        let own: Vec<&str> = going.iter().map(|(id, _)| id.as_str()).collect();
        debts::owe_reads(&ctx.store, self.purpose.stream.id, &own, 0).await?;
        let parents = ctx.parents(self.purpose.stream);
        for (at, _, target) in self.purpose.stream.spec.reference_fields() {
            let Some(parent) = parents.get(target) else { continue };
            let references = going.iter().flat_map(|(_, going)| &going.references).filter(|reference| reference.field == at);
            let ends: Vec<&str> = references.filter_map(|reference| reference.to.as_ref()).map(RemoteId::as_str).collect();
            debts::owe_reads(&ctx.store, parent.id, &ends, 0).await?;
        }
        Ok(())
    }
}
