//! Remembers how a CRM describes what is sent to it, and holds back what it would refuse. Describing is never why something does not go out: where nothing is known, or nothing can
//! be learned, the CRM's own word on the push decides.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tidemark_core::Millis;
use tidemark_core::brake::names;
use tidemark_core::property::{self, CLASS, Property, Unfit, codes, relevant};
use tidemark_crm::{Bucket, WriteKind};
use tidemark_store::debts::Unpaid;
use tidemark_store::rows::Mapped;
use tidemark_store::settle::{Settlement, settle};
use tidemark_store::{StoreError, registration, unfit};
use tracing::{info, warn};

use crate::calls::{NoAnswer, Purpose};
use crate::context::Context;
use crate::push::{Going, Push};
use crate::schema;
use crate::trial::prove_account;

/// A description is good for this long. Nothing is held back by an old one, so that its age costs a refusal at most.
const KNOWN_MS: Millis = 60 * 60_000;
/// Who waits for another description is looked after this often by one process, and one that could not be had is asked for again no sooner.
const AGAIN_MS: Millis = 5 * 60_000;

/// What one connection's CRM says of its objects, by object.
#[derive(Debug, Default)]
pub(crate) struct Descriptions(Mutex<HashMap<String, Known>>);

#[derive(Debug, Clone)]
struct Known {
    asked_at: Millis,
    good_until: Millis,
    /// `None` when it could not be had.
    properties: Option<Arc<Vec<Property>>>,
}

impl Descriptions {
    fn of(&self, object: &str) -> Option<Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(object).cloned()
    }

    fn remember(&self, object: &str, known: Known) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(object.to_owned(), known);
    }
}

impl Push<'_> {
    /// Parks what the CRM would refuse for certain; the rest goes on. Nothing is parked by what was described before this push: somebody may have added the option a minute ago.
    pub(crate) async fn fitting<'g>(&self, kind: WriteKind<'_>, going: Vec<Going<'g>>) -> Result<Vec<Going<'g>>, StoreError> {
        let creates = match kind {
            WriteKind::Create | WriteKind::Upsert { .. } => true,
            WriteKind::Update => false,
            WriteKind::Archive => return Ok(going),
        };
        let (ctx, mapped) = (self.purpose.ctx, self.purpose.stream);
        if going.is_empty() || !self.purpose.connection.crm.describes() {
            return Ok(going);
        }
        let judge = |described: &[Property]| -> Vec<Option<Unfit>> {
            let one = |going: &Going<'_>| {
                let claim = &going.prepared.claim;
                // A person has said that the CRM is to be asked.
                let passed = names(claim.passed.as_deref(), CLASS);
                if passed { None } else { property::unfit(&mapped.spec, described, &claim.subject, &going.fields, creates) }
            };
            going.iter().map(one).collect()
        };
        let purpose = self.purpose.describing();
        let remembered = purpose.connection.described.of(&mapped.spec.object).filter(|known| ctx.now() < known.good_until);
        let found = match remembered {
            Some(Known { properties: None, .. }) => return Ok(going),
            Some(Known { properties: Some(described), .. }) => {
                if judge(&described).iter().all(Option::is_none) {
                    return Ok(going);
                }
                describe(&purpose).await?
            }
            None => describe(&purpose).await?,
        };
        let described = match found {
            Heard::Told(described) => described,
            Heard::Nothing => return Ok(going),
            // What is not settled goes back as it was.
            Heard::Stopped => return Ok(Vec::new()),
        };
        let judged = judge(&described);
        let (mut fit, mut held) = (Vec::with_capacity(going.len()), Vec::new());
        for (going, unfit) in going.into_iter().zip(judged) {
            match unfit {
                None => fit.push(going),
                Some(unfit) => held.push(Settlement::Unpaid { claim: &going.prepared.claim, unpaid: Unpaid::Unfit(unfit) }),
            }
        }
        settle(&ctx.store, mapped, self.fence, &held).await?;
        Ok(fit)
    }
}

/// What came of asking how an object is described.
enum Heard {
    Told(Arc<Vec<Property>>),
    Nothing,
    /// A mapped property is gone, or of another type, and the stream has stopped for it.
    Stopped,
}

/// Asks how the object is described, remembers it, and lets go on what waits for just that.
async fn describe(purpose: &Purpose<'_>) -> Result<Heard, StoreError> {
    let (ctx, connection, mapped) = (purpose.ctx, purpose.connection, purpose.stream);
    let object = &mapped.spec.object;
    let asked_at = ctx.now();
    let (properties, good_for) = match purpose.call(Bucket::General, 1, connection.crm.describe(object)).await? {
        Ok(described) => {
            // What stopped the stream is not sent any more.
            if !schema::heard(purpose, &described).await? {
                return Ok(Heard::Stopped);
            }
            (Some(Arc::new(relevant(&mapped.spec, described))), KNOWN_MS)
        }
        Err(NoAnswer::Failed(failure)) => {
            warn!("{} is sent unjudged, because {object} could not be described: {}", mapped.spec.name, failure.message);
            (None, if failure.class.passes_by_itself() { AGAIN_MS } else { KNOWN_MS })
        }
        Err(_) => return Ok(Heard::Nothing),
    };
    connection.described.remember(object, Known { asked_at, good_until: asked_at + good_for, properties: properties.clone() });
    if let Some(described) = &properties {
        let freed = unfit::free(&ctx.store, mapped.id, &codes(&mapped.spec, described)).await?;
        if freed > 0 {
            info!("{freed} pushes of {} go on: the CRM describes their properties otherwise by now", mapped.spec.name);
        }
    }
    Ok(properties.map_or(Heard::Nothing, Heard::Told))
}

/// Looks whether what is parked fits by now, where anything is. At most one call for each object in a while.
pub(crate) async fn look_again(ctx: &Context) -> Result<(), StoreError> {
    let describes = |mapped: &Mapped| ctx.connection(mapped).is_ok_and(|connection| connection.crm.describes());
    if !ctx.streams().any(|mapped| describes(mapped)) {
        return Ok(());
    }
    let waiting = unfit::streams(&ctx.store).await?;
    for mapped in waiting.iter().filter_map(|id| ctx.stream(*id)).filter(|mapped| describes(mapped)) {
        let connection = ctx.connection(mapped)?;
        let known = connection.described.of(&mapped.spec.object);
        if known.is_some_and(|known| ctx.now() < known.asked_at + AGAIN_MS)
            || !registration::is_in_force(&ctx.store, mapped).await?
        {
            continue;
        }
        let purpose = Purpose::look(ctx, connection, mapped);
        if prove_account(&purpose).await?.is_ok() {
            describe(&purpose).await?;
        }
    }
    Ok(())
}
