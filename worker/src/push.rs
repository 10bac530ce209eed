//! Pays push debts: claim, load, plan, look up or read where the plan asks for it, send in batches, settle each item. What is sent is computed here and now from the
//! row and the base; the debt itself carries nothing.

use std::collections::{HashMap, HashSet};

use tidemark_core::Millis;
use tidemark_core::base::Base;
use tidemark_core::brake::{Act, act_on_record, names};
use tidemark_core::bug::{Bug, planted};
use tidemark_core::delete::{EDITED, archive};
use tidemark_core::failure::Class;
use tidemark_core::push::{Plan, REUSED, Reference, Sent, Subject, plan};
use tidemark_core::record::{Record, RemoteId, RowKey};
use tidemark_core::window::millis;
use tidemark_crm::WriteKind;
use tidemark_store::brakes::{Outgoing, ask_pushes};
use tidemark_store::debts::{self, Claim, Kind, Unpaid, Which};
use tidemark_store::push::{self as pushing, Prepared};
use tidemark_store::rows::Mapped;
use tidemark_store::settle::{Settlement, settle};
use tidemark_store::{StoreError, aliases};

use crate::calls::{Lane, NoAnswer, Purpose};
use crate::context::Context;
use crate::event::Event;
use crate::outcome::Outcome;
use crate::poll::READ_DELAY_MS;
use crate::trial::{pause_connection, prove_account};
use crate::{deliver, erase, push_create, read};

/// A child whose parent is not in the CRM is looked at again this often; the parent's own link frees it at once.
pub(crate) const PARENT_RECHECK_MS: Millis = 60_000;

/// Pays due pushes of one stream, batch after batch, until none is due or the slice is over.
pub(crate) async fn handle(ctx: &Context, mapped: &Mapped) -> Result<Outcome, StoreError> {
    // Whoever was erased goes before anything else is sent.
    erase::carry_on(ctx, mapped).await?;
    pay_due(ctx, mapped, Which::Due).await
}

/// The same for those that are chosen.
pub(crate) async fn pay_due(ctx: &Context, mapped: &Mapped, which: Which<'_>) -> Result<Outcome, StoreError> {
    let connection = ctx.connection(mapped)?;
    let Ok(traits) = connection.crm.traits(&mapped.spec.object) else {
        return Ok(Outcome::Skipped("the connector does not know the object"));
    };
    let until = ctx.slice_end();
    let mut units = 0;
    while ctx.now() < until && !ctx.shutdown.is_cancelled() {
        let fence = ctx.fence();
        let claims =
            debts::claim(&ctx.store, mapped.id, Kind::Push, which, &fence, ctx.lease(), usize::from(traits.batch_rows_max))
                .await?;
        if claims.is_empty() {
            return Ok(Outcome::Done { units });
        }
        units += claims.len();
        let attempt = claims.iter().map(|claim| u32::try_from(claim.attempts).unwrap_or(0)).max().unwrap_or(0) + 1;
        let purpose = Purpose { ctx, connection, stream: mapped, word: "push", attempt, fence: Some(&fence), lane: Lane::Live };
        let result = Push {
            purpose: &purpose,
            fence: &fence,
            claims: &claims,
            commit_lag: millis(traits.commit_lag.min(mapped.spec.poll.settled_lag)),
            request_life: millis(traits.request_life),
        }
        .pay()
        .await;
        let go_on = match result {
            Ok(go_on) => go_on
                .then_some(())
                .ok_or("the connection is paused, its calls are spent, the worker stops, or the lease is too short"),
            Err(error) if error.is_contention() => Err("the database was busy"),
            Err(StoreError::LeaseLost { .. }) => {
                pushing::release(&ctx.store, &fence).await?;
                return Ok(Outcome::LeaseLost);
            }
            Err(error) => return read::give_back_later(&purpose, &fence, &claims, error).await,
        };
        // Whatever was not settled (we stop, the lease is short, the database was busy) goes back as it was.
        pushing::release(&ctx.store, &fence).await?;
        if let Err(why) = go_on {
            return Ok(Outcome::Deferred(why.into()));
        }
    }
    Ok(Outcome::Done { units })
}

/// An item on its way to the CRM.
#[derive(Debug, Clone)]
pub(crate) struct Going<'a> {
    pub(crate) prepared: &'a Prepared,
    pub(crate) fields: Vec<Sent>,
    pub(crate) references: Vec<Reference>,
    /// A reference follows when there is something to refer to: the debt stays.
    pub(crate) owes_tie: bool,
    /// The version of its record that was read in this push.
    pub(crate) version: Option<String>,
}

impl<'a> Going<'a> {
    /// Refers to nothing.
    pub(crate) fn bare(prepared: &'a Prepared, fields: Vec<Sent>) -> Self {
        Self { prepared, fields, references: Vec::new(), owes_tie: false, version: None }
    }
}

pub(crate) struct Push<'a> {
    pub(crate) purpose: &'a Purpose<'a>,
    pub(crate) fence: &'a str,
    pub(crate) claims: &'a [Claim],
    pub(crate) commit_lag: Millis,
    /// How long a request may still take effect after we gave up on it.
    pub(crate) request_life: Millis,
}

impl Push<'_> {
    /// Pays one batch of claims. False when no further batch should be tried now.
    async fn pay(&self) -> Result<bool, StoreError> {
        let ctx = self.purpose.ctx;
        let mapped = self.purpose.stream;
        let prepared =
            pushing::prepare(&ctx.store, mapped, &ctx.parents(mapped), self.fence, self.claims.to_vec(), ctx.lease()).await?;
        let now = ctx.store.now().await?;
        if mapped.spec.is_one_way() {
            return deliver::pay(self, &prepared, now).await;
        }
        let mut planned: Vec<(&Prepared, Plan)> =
            prepared.iter().map(|prepared| (prepared, self.plan(prepared, false, now))).collect();
        let needs_call = |plan: &Plan| match plan {
            Plan::Nothing { .. }
            | Plan::NotOurs { .. }
            | Plan::Bury
            | Plan::Forget
            | Plan::HandOver { .. }
            | Plan::Park { .. }
            | Plan::WaitForParent { .. } => false,
            Plan::Create { .. } | Plan::Update { .. } | Plan::ReadFirst(_) | Plan::FindLost | Plan::Archive => true,
        };
        let mut versions = HashMap::new();
        if planned.iter().any(|(_, plan)| needs_call(plan)) {
            if let Err(no) = prove_account(self.purpose).await? {
                return self.stop(no).await;
            }
            match self.read_in_push(&mut planned, now).await? {
                Ok(read) => versions = read,
                Err(no) => return self.stop(no).await,
            }
        }
        let mut settlements = self.break_loops(&mut planned, now).await?;
        let held = self.ask_brakes(&planned).await?;
        planned.retain(|(prepared, _)| !held.contains(&prepared.claim.id));
        let (mut creates, mut updates, mut archives, mut lost) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (prepared, plan) in planned {
            let claim = &prepared.claim;
            let version = prepared.record().and_then(|id| versions.remove(id));
            match plan {
                Plan::Create { fields, references, owes_tie } => {
                    creates.push(Going { prepared, fields, references, owes_tie, version: None });
                }
                Plan::Update { fields, references, owes_tie } => {
                    updates.push(Going { prepared, fields, references, owes_tie, version });
                }
                Plan::FindLost => lost.push(Going::bare(prepared, sent_before(prepared))),
                Plan::Archive => archives.push(Going { version, ..Going::bare(prepared, Vec::new()) }),
                other => settlements.push(settle_plan(claim, prepared, other, now)),
            }
        }
        settle(&ctx.store, mapped, self.fence, &settlements).await?;
        if !push_create::create(self, creates).await? || !push_create::find_lost(self, lost).await? {
            return Ok(false);
        }
        let (only_references, updates): (Vec<_>, Vec<_>) = updates.into_iter().partition(|going| going.fields.is_empty());
        if !self.send(WriteKind::Update, updates).await? || !self.send(WriteKind::Archive, archives).await? {
            return Ok(false);
        }
        let linked = only_references.into_iter().filter_map(|going| Some((remote_id(&going)?, going)));
        self.refer(linked.collect()).await
    }

    pub(crate) fn plan(&self, prepared: &Prepared, just_read: bool, now: Millis) -> Plan {
        let subject = Subject {
            row: prepared.row.as_ref(),
            link: prepared.link.as_ref().map(|link| &link.view),
            // A person has said that it is the same thing.
            reborn: prepared.claim.reborn && !names(prepared.claim.passed.as_deref(), REUSED),
            parents: &prepared.parents,
            just_read,
            heir: prepared.heir,
            now,
        };
        plan(&self.purpose.stream.spec, &subject)
    }

    /// What the brakes hold is parked, and is none of this push's business any more.
    pub(crate) async fn ask_brakes(&self, planned: &[(&Prepared, Plan)]) -> Result<HashSet<i64>, StoreError> {
        if planted(Bug::BrakesOnlySweeps) {
            return Ok(HashSet::new());
        }
        let outgoing = |(prepared, plan): &(&'_ Prepared, Plan)| {
            let link = prepared.link.as_ref();
            Some((prepared.claim.id, act_on_record(plan, link.map(|link| &link.view.base))?))
        };
        let acts: HashMap<i64, Act> = planned.iter().filter_map(outgoing).collect();
        let going = planned.iter().filter_map(|(prepared, _)| {
            Some(Outgoing { claim: &prepared.claim, link: prepared.link.as_ref(), act: *acts.get(&prepared.claim.id)? })
        });
        ask_pushes(&self.purpose.ctx.store, self.purpose.stream, self.fence, &going.collect::<Vec<_>>()).await
    }

    /// Fields the CRM may change are sent only after a read in the same push: a record that still says what was agreed lets them go, any other is merged first. The versions that were read
    /// guard what is sent, where the CRM can tell.
    async fn read_in_push(
        &self,
        planned: &mut [(&Prepared, Plan)],
        now: Millis,
    ) -> Result<Result<HashMap<RemoteId, String>, NoAnswer>, StoreError> {
        let asks = |(prepared, plan): &(&Prepared, Plan)| match plan {
            Plan::ReadFirst(_) | Plan::Archive => prepared.link.as_ref()?.remote_id.clone(),
            _ => None,
        };
        let ids: Vec<RemoteId> = planned.iter().filter_map(asks).collect();
        if ids.is_empty() {
            return Ok(Ok(HashMap::new()));
        }
        let records = match read::by_ids(self.purpose, &ids).await? {
            Ok(records) => records,
            Err(no) => return Ok(Err(no)),
        };
        let by_id: HashMap<&RemoteId, _> = records.iter().map(|record| (&record.id, record)).collect();
        for (prepared, plan) in planned.iter_mut() {
            let Some(link) = prepared.link.as_ref().filter(|_| matches!(plan, Plan::ReadFirst(_))) else { continue };
            let record = link.remote_id.as_ref().and_then(|id| by_id.get(id));
            if record.is_some_and(|record| still_agreed(self.purpose.stream, &link.view.base, &record.values)) {
                *plan = self.plan(prepared, true, now);
            }
        }
        self.doubt_archives(planned, &records).await?;
        Ok(Ok(records.into_iter().filter_map(|record| Some((record.id, record.version?))).collect()))
    }

    /// A record is archived only if it is still its row's alone: another's that was merged into it, and that nobody here has heard of, would go with it. With the other's record it may
    /// have taken its key, before that record was heard of. And it says what was agreed, or a person has said that it goes all the same.
    async fn doubt_archives(&self, planned: &mut [(&Prepared, Plan)], records: &[Record]) -> Result<(), StoreError> {
        let (store, mapped) = (&self.purpose.ctx.store, self.purpose.stream);
        let contested = aliases::contested(store, mapped.id, records).await?;
        let own = |id: &RemoteId| {
            let going = planned.iter().find(|(prepared, plan)| *plan == Plan::Archive && prepared.record() == Some(id));
            going.map(|(prepared, _)| RowKey::new(prepared.claim.subject.as_str()))
        };
        let heirs = aliases::heirs_by_key(store, mapped, records, own).await?;
        for (prepared, plan) in planned.iter_mut().filter(|(_, plan)| *plan == Plan::Archive) {
            let Some(id) = prepared.record() else { continue };
            let record = records.iter().find(|record| record.ids().any(|one| one == id));
            if record.is_some_and(|record| record.id != *id || contested.contains(&record.id)) {
                *plan = Plan::ReadFirst("the record was merged with another in the CRM");
            } else if let Some(heir) = heirs.get(id) {
                *plan = Plan::HandOver { heir: heir.clone() };
            } else if let (Some(link), Some(record)) = (&prepared.link, record)
                && !names(prepared.claim.passed.as_deref(), EDITED)
            {
                let key = RowKey::new(prepared.claim.subject.as_str());
                *plan = archive(&mapped.spec, &key, &link.view, record);
            }
        }
        Ok(())
    }

    /// When a record that an earlier create of this row made has surely landed and is shown by the search index; `None` when none was sent unheard.
    pub(crate) fn shown_by(&self, prepared: &Prepared) -> Option<Millis> {
        Some(prepared.link.as_ref()?.view.ghosts.until()? + self.commit_lag)
    }

    /// Until when a create must not be sent again: one that was not heard of may land until then, and whatever people write into its record would be overwritten. By a key of
    /// ours the record is found once it is there, without one only the search index tells.
    pub(crate) fn unheard_until(&self, prepared: &Prepared) -> Option<Millis> {
        match &self.purpose.stream.spec.external_key {
            Some(_) => prepared.link.as_ref()?.view.ghosts.until(),
            None => self.shown_by(prepared),
        }
    }

    /// No further call now: what was not settled waits as the failure demands, and refused credentials pause the connection.
    pub(crate) async fn stop(&self, no: NoAnswer) -> Result<bool, StoreError> {
        if let NoAnswer::Failed(failure) = no {
            self.purpose.ctx.tell(Event::Failed {
                stream: self.purpose.stream.spec.name.clone(),
                what: "push",
                cause: failure.message.clone(),
            });
            let now = self.purpose.ctx.store.now().await?;
            let left: Vec<_> =
                self.claims.iter().map(|claim| (claim, read::unpaid(self.purpose, claim, &failure, now))).collect();
            debts::give_back(&self.purpose.ctx.store, self.fence, &left).await?;
            if failure.class == Class::Auth {
                pause_connection(self.purpose.ctx, self.purpose.connection, &failure).await?;
            }
        }
        Ok(false)
    }
}

/// What an earlier push of the row sent without hearing of it.
fn sent_before(prepared: &Prepared) -> Vec<Sent> {
    prepared.link.as_ref().map(|link| link.view.ghosts.sent()).unwrap_or_default()
}

/// The record's id, once there is one.
pub(crate) fn remote_id(going: &Going<'_>) -> Option<RemoteId> {
    going.prepared.link.as_ref()?.remote_id.clone()
}

/// The record says what was last agreed: nobody changed it meanwhile. References were not resolved and are left out.
fn still_agreed(mapped: &Mapped, base: &Base, record: &[Option<String>]) -> bool {
    let fields = mapped.spec.fields.iter().enumerate().filter(|(_, field)| field.references.is_none());
    let mut fields = fields.map(|(at, _)| (base.get(at), record.get(at).and_then(Option::as_deref)));
    fields.all(|(base, value)| base.is_some_and(|base| base.record.as_deref() == value))
}

pub(crate) fn settle_plan<'a>(claim: &'a Claim, prepared: &'a Prepared, plan: Plan, now: Millis) -> Settlement<'a> {
    let parked = |class: &'static str, cause: String, next_step: String| {
        // The texts live as long as the batch: settlements borrow what they were made from.
        Settlement::Unpaid { claim, unpaid: Unpaid::ParkedOwned { class, cause, next_step } }
    };
    match plan {
        Plan::Nothing { base, .. } => Settlement::Nothing { claim, base },
        Plan::NotOurs { .. } => Settlement::NotOurs { claim },
        Plan::Bury => Settlement::Buried { claim, archived: false },
        Plan::Forget => Settlement::Forgotten { claim },
        Plan::HandOver { heir } => Settlement::HandedOver { claim, heir },
        Plan::Park { class, cause, next_step } => parked(class, cause, next_step),
        Plan::WaitForParent { object, row } => {
            Settlement::Unpaid { claim, unpaid: Unpaid::Parent { object, row, due_at: now + PARENT_RECHECK_MS } }
        }
        Plan::ReadFirst(why) => match prepared.link.as_ref().and_then(|link| link.remote_id.clone()) {
            Some(remote_id) => Settlement::ReadFirst { claim, remote_id, due_at: now + 2 * READ_DELAY_MS, cause: why.to_owned() },
            None => parked("rejected", why.to_owned(), "look for the record in the CRM, then retry or discard".to_owned()),
        },
        // Sent elsewhere; reaching here would only make the debt due again.
        Plan::Create { .. } | Plan::Update { .. } | Plan::Archive | Plan::FindLost => {
            Settlement::Unpaid { claim, unpaid: Unpaid::Later { due_at: now, cause: "not sent" } }
        }
    }
}
