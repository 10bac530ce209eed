//! Sends batches of a push and settles each item by its own outcome: what the CRM took, what it refused, what nobody heard of. A batch that is refused as a whole is halved.

use metrics::counter;
use tidemark_core::Millis;
use tidemark_core::bug::{Bug, planted};
use tidemark_core::failure::{Class, Failure};
use tidemark_core::push::{Sent, Verdict, after_failure};
use tidemark_crm::{Bucket, Outcomes, WriteBatch, WriteItem, WriteKind, Written};
use tidemark_store::StoreError;
use tidemark_store::debts::Unpaid;
use tidemark_store::push::{self as pushing, Prepared};
use tidemark_store::settle::{Settlement, settle};

use crate::calls::NoAnswer;
use crate::event::Event;
use crate::poll::READ_DELAY_MS;
use crate::push::{Going, Push, remote_id};
use crate::{read, schema};

impl Push<'_> {
    /// Sends one batch and settles each item; what the CRM would refuse is left out, and a batch it refuses as a whole is halved. False when no further call should be made now.
    pub(crate) async fn send(&self, kind: WriteKind<'_>, going: Vec<Going<'_>>) -> Result<bool, StoreError> {
        let mut parts = vec![self.fitting(kind, going).await?];
        while let Some(mut part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let items: Vec<WriteItem> = part.iter().map(|going| self.item(kind, going)).collect();
            let batch = WriteBatch { object: &self.purpose.stream.spec.object, kind, items: &items };
            let send = self.purpose.connection.crm.write(&batch);
            let answer = match kind {
                WriteKind::Archive => self.purpose.call(Bucket::General, items.len(), send).await?,
                WriteKind::Create | WriteKind::Update | WriteKind::Upsert { .. } => {
                    self.purpose.call_if(self.remember(&part), Bucket::General, items.len(), send).await?
                }
            };
            match answer {
                Ok(outcomes) => {
                    if !self.settle_sent(kind, part, outcomes).await? {
                        return Ok(false);
                    }
                }
                Err(NoAnswer::Failed(failure)) if part.len() > 1 && is_about_an_item(&failure) => {
                    let right = part.split_off(part.len() / 2);
                    parts.extend([right, part]);
                }
                Err(NoAnswer::Failed(failure)) => {
                    let outcomes = part.iter().map(|_| Err(failure.clone())).collect();
                    self.settle_sent(kind, part, outcomes).await?;
                    return self.stop(NoAnswer::Failed(failure)).await;
                }
                Err(NoAnswer::CutOff) => {
                    let outcomes = part.iter().map(|_| Err(NoAnswer::unheard())).collect();
                    self.settle_sent(kind, part, outcomes).await?;
                    return self.stop(NoAnswer::CutOff).await;
                }
                Err(no) => return self.stop(no).await,
            }
        }
        Ok(true)
    }

    /// Writes down what is on its way, so that it is known for our own if nobody hears the answer. False when the lease is too short to send it.
    pub(crate) async fn remember(&self, going: &[Going<'_>]) -> Result<bool, StoreError> {
        let ctx = self.purpose.ctx;
        let until = ctx.store.now().await? + ctx.lease() + self.request_life;
        let spec = &self.purpose.stream.spec;
        let ghosts = |going: &Going<'_>| {
            let before = going.prepared.link.as_ref().map(|link| link.view.ghosts.clone()).unwrap_or_default();
            // Of a one-way stream it is enough to know that something was not heard of.
            if spec.is_one_way() && !before.is_empty() {
                return before.to_json(spec);
            }
            before.with(&going.fields, self.fence, until).to_json(spec)
        };
        let items: Vec<(&str, Option<String>)> =
            going.iter().map(|going| (going.prepared.claim.subject.as_str(), ghosts(going))).collect();
        pushing::remember(&ctx.store, self.purpose.stream, self.fence, self.purpose.lease_needed(), &items).await
    }

    fn item(&self, kind: WriteKind<'_>, going: &Going<'_>) -> WriteItem {
        let spec = &self.purpose.stream.spec;
        let name = |sent: &Sent| spec.fields.get(sent.field).map(|field| field.property.clone()).unwrap_or_default();
        WriteItem {
            trace: going.prepared.claim.id.to_string(),
            id: remote_id(going),
            key: matches!(kind, WriteKind::Upsert { .. }).then(|| going.prepared.claim.subject.clone()),
            version: going.version.clone(),
            fields: going.fields.iter().map(|sent| (name(sent), sent.record.clone())).collect(),
        }
    }

    async fn settle_sent(&self, kind: WriteKind<'_>, going: Vec<Going<'_>>, outcomes: Outcomes) -> Result<bool, StoreError> {
        let ctx = self.purpose.ctx;
        let now = ctx.store.now().await?;
        let failures: Vec<Option<Failure>> = outcomes.iter().map(|outcome| outcome.as_ref().err().cloned()).collect();
        let mut settlements = Vec::with_capacity(going.len());
        let mut refer = Vec::new();
        let mut sent_count = 0;
        for ((going, outcome), failure) in going.into_iter().zip(outcomes).zip(&failures) {
            let prepared = going.prepared;
            match (outcome, failure) {
                (Ok(_), _) if kind == WriteKind::Archive => {
                    settlements.push(Settlement::Buried { claim: &prepared.claim, archived: true });
                }
                (Ok(Written { id, modified, created, fields }), _) => {
                    sent_count += 1;
                    let refers = !going.references.is_empty();
                    let complete = !refers && !going.owes_tie;
                    let sent = going.fields.clone();
                    let created = created.unwrap_or(kind == WriteKind::Create);
                    settlements.push(Settlement::Written {
                        claim: &prepared.claim,
                        sent,
                        remote_id: id.clone(),
                        modified,
                        answered: fields,
                        heard_at: now,
                        created,
                        complete,
                    });
                    if refers {
                        refer.push((id, going));
                    }
                }
                (Err(_), Some(failure)) => settlements.push(self.settle_failure(kind, prepared, failure, now)),
                (Err(_), None) => {}
            }
        }
        settle(&ctx.store, self.purpose.stream, self.fence, &settlements).await?;
        let verb = match kind {
            WriteKind::Update => "updated",
            WriteKind::Create | WriteKind::Upsert { .. } => "created",
            WriteKind::Archive => "archived",
        };
        if sent_count > 0 {
            counter!("tidemark_pushed_total", "stream" => self.purpose.stream.spec.name.clone(), "verb" => verb)
                .increment(sent_count);
            let records = usize::try_from(sent_count).unwrap_or(0);
            ctx.tell(Event::Pushed { stream: self.purpose.stream.spec.name.clone(), verb, records });
        }
        if failures.iter().flatten().any(|failure| matches!(failure.class, Class::Rejected | Class::Schema)) {
            schema::doubt(self.purpose).await?;
        }
        if let Some(failure) = failures.iter().flatten().next() {
            ctx.tell(Event::Failed {
                stream: self.purpose.stream.spec.name.clone(),
                what: "push",
                cause: failure.message.clone(),
            });
        }
        self.refer(refer).await
    }

    fn settle_failure<'a>(
        &self,
        kind: WriteKind<'_>,
        prepared: &'a Prepared,
        failure: &'a Failure,
        now: Millis,
    ) -> Settlement<'a> {
        let claim = &prepared.claim;
        let attempts = u32::try_from(claim.attempts).unwrap_or(0) + 1;
        let known = prepared.link.as_ref().and_then(|link| link.remote_id.clone()).or_else(|| failure.existing.clone());
        let landed_by = now + self.request_life;
        let verdict = after_failure(failure, attempts, now, self.purpose.ctx.dice(), &self.purpose.stream.spec.retry);
        match (verdict, known) {
            _ if failure.maybe_done && planted(Bug::LostAnswerIsPaid) => Settlement::Nothing { claim, base: None },
            (Verdict::ReadFirst, Some(remote_id)) => {
                Settlement::ReadFirst { claim, remote_id, due_at: now + 2 * READ_DELAY_MS, cause: failure.message.clone() }
            }
            // Without a key of ours a create whose answer was lost may be found only once the search index shows it: look no sooner.
            (Verdict::RetryAt { at }, _) if kind == WriteKind::Create && failure.maybe_done => {
                let known_from = landed_by + self.commit_lag;
                Settlement::Unheard { claim, unpaid: Unpaid::Retry { due_at: at.max(known_from), failure }, landed_by }
            }
            _ if failure.maybe_done => {
                Settlement::Unheard { claim, unpaid: read::unpaid(self.purpose, claim, failure, now), landed_by }
            }
            _ => Settlement::Unpaid { claim, unpaid: read::unpaid(self.purpose, claim, failure, now) },
        }
    }
}

/// One bad item makes some CRMs refuse a whole batch: the batch is halved until the item stands alone.
fn is_about_an_item(failure: &Failure) -> bool {
    match failure.class {
        Class::Rejected | Class::Duplicate | Class::Schema | Class::Gone | Class::Conflict => true,
        Class::Throttled | Class::DayBudget | Class::Retry | Class::Auth | Class::Scope | Class::Malformed => false,
    }
}
