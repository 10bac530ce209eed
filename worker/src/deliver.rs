//! Pays the debts of a one-way stream: each row is told of in a call of its own, under a key that stays the same until somebody has answered for it. Looks nothing up and
//! reads nothing, because there is nothing to read.

use metrics::counter;
use tidemark_core::Millis;
use tidemark_core::deliver::{aligned, is_unsubscribed, key, last_told};
use tidemark_core::failure::{Class, Failure};
use tidemark_core::hook::{Delivery, Event as Told, Existing};
use tidemark_core::link::LinkState;
use tidemark_core::push::{Plan, Sent};
use tidemark_core::record::{RemoteId, RowKey};
use tidemark_crm::{Bucket, Posted};
use tidemark_store::debts::Unpaid;
use tidemark_store::deliveries::{Beginning, beginning};
use tidemark_store::push::{Prepared, begin_creates};
use tidemark_store::settle::{Settlement, settle};
use tidemark_store::{StoreError, acts, streams};

use crate::calls::NoAnswer;
use crate::event::Event;
use crate::poll::READ_DELAY_MS;
use crate::push::{Going, Push, settle_plan};
use crate::read;

/// Pays one batch of claims. False when no further one should be tried now.
pub(crate) async fn pay(push: &Push<'_>, prepared: &[Prepared], now: Millis) -> Result<bool, StoreError> {
    let (store, mapped) = (&push.purpose.ctx.store, push.purpose.stream);
    let beginning = beginning(store, mapped.id).await?;
    let (mut planned, mut settlements) = (Vec::new(), Vec::new());
    for prepared in prepared {
        let plan = push.plan(prepared, false, now);
        if matches!(plan, Plan::Create { .. }) && is_of_before(push, prepared, beginning) {
            let cause = "the rows that were there at the beginning are being taken down as delivered";
            let unpaid = Unpaid::Later { due_at: now + 2 * READ_DELAY_MS, cause };
            settlements.push(Settlement::Unpaid { claim: &prepared.claim, unpaid });
        } else {
            planned.push((prepared, plan));
        }
    }
    let held = push.ask_brakes(&planned).await?;
    let mut telling = Vec::new();
    for (prepared, plan) in planned.into_iter().filter(|(prepared, _)| !held.contains(&prepared.claim.id)) {
        match plan {
            Plan::Create { fields, .. } => telling.push((Told::Created, Going::bare(prepared, fields))),
            Plan::Update { fields, .. } => telling.push((Told::Updated, Going::bare(prepared, fields))),
            Plan::Archive => telling.push((Told::Deleted, Going::bare(prepared, gone(push, prepared)))),
            other => settlements.push(settle_plan(&prepared.claim, prepared, other, now)),
        }
    }
    settle(store, mapped, push.fence, &settlements).await?;
    for (event, going) in telling {
        if !tell(push, event, going).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The row was there when the stream began, and has not changed since as far as its debt knows: it is none of this push's business but of the walk's.
fn is_of_before(push: &Push<'_>, prepared: &Prepared, beginning: Beginning) -> bool {
    let takes = push.purpose.stream.spec.hook.as_ref().is_some_and(|hook| hook.existing == Existing::Taken);
    let before = beginning.began_at.is_some_and(|began_at| prepared.claim.changed_at <= began_at);
    takes && !beginning.is_over && before && prepared.link.is_none()
}

fn gone(push: &Push<'_>, prepared: &Prepared) -> Vec<Sent> {
    prepared.link.as_ref().map(|link| last_told(&push.purpose.stream.spec, &link.view.base)).unwrap_or_default()
}

/// Tells of one row. False when no further call should be made now.
async fn tell(push: &Push<'_>, event: Told, going: Going<'_>) -> Result<bool, StoreError> {
    let (ctx, mapped) = (push.purpose.ctx, push.purpose.stream);
    let (spec, claim) = (&mapped.spec, &going.prepared.claim);
    let settle = |settlement| async move { settle(&ctx.store, mapped, push.fence, &[settlement]).await };
    let row = RowKey::new(claim.subject.as_str());
    let link = going.prepared.link.as_ref();
    let values = aligned(spec, &going.fields);
    let id = key(spec, &row, link.and_then(|link| link.remote_id.as_ref()), event, &values);
    let delivery = Delivery { id, event, row: row.clone(), occurred_at: claim.changed_at, values };
    let rendered = spec.hook.as_ref().map(|hook| hook.payload.render(spec, &delivery));
    let body = match rendered.transpose() {
        Ok(body) => serde_json::to_vec(&body).unwrap_or_default(),
        Err(not_json) => {
            let column = spec.field(&not_json.property).map_or("the column", |(_, field)| field.column.as_str());
            let next_step = format!("correct {column} of row {row}; it is sent by itself then");
            settle(Settlement::Unpaid {
                claim,
                unpaid: Unpaid::ParkedOwned { class: "rejected", cause: not_json.to_string(), next_step },
            })
            .await?;
            return Ok(true);
        }
    };
    if link.is_none_or(|link| link.view.state == LinkState::Creating) {
        let won = begin_creates(&ctx.store, mapped, push.fence, &[row.as_str()], ctx.lease()).await?;
        if !won.contains(&row) {
            let due_at = ctx.store.now().await? + READ_DELAY_MS;
            settle(Settlement::Unpaid { claim, unpaid: Unpaid::Later { due_at, cause: "the row is being told of" } }).await?;
            return Ok(true);
        }
    }
    let posted = Posted { object: &spec.object, row: row.as_str(), id: &delivery.id, event, body: &body };
    let items = std::slice::from_ref(&going);
    let crm = &push.purpose.connection.crm;
    let answer = push.purpose.call_if(push.remember(items), Bucket::General, 1, crm.deliver(&posted)).await?;
    let now = ctx.store.now().await?;
    match answer {
        Ok(()) => {
            settle(told(event, &going, RemoteId::new(delivery.id.as_str()), now)).await?;
            counter!("tidemark_pushed_total", "stream" => spec.name.clone(), "verb" => event.word()).increment(1);
            ctx.tell(Event::Pushed { stream: spec.name.clone(), verb: event.word(), records: 1 });
            Ok(true)
        }
        Err(NoAnswer::Failed(failure)) => {
            settle(untold(push, &going, &failure, now)).await?;
            if is_unsubscribed(failure.class) {
                pause_stream(push, &failure).await?;
                return Ok(false);
            }
            // One row that nobody takes is no reason to keep the others back.
            if failure.class == Class::Rejected {
                return Ok(true);
            }
            push.stop(NoAnswer::Failed(failure)).await
        }
        Err(NoAnswer::CutOff) => {
            settle(untold(push, &going, &NoAnswer::unheard(), now)).await?;
            push.stop(NoAnswer::CutOff).await
        }
        Err(no) => push.stop(no).await,
    }
}

fn told<'a>(event: Told, going: &Going<'a>, remote_id: RemoteId, now: Millis) -> Settlement<'a> {
    let claim = &going.prepared.claim;
    match event {
        Told::Deleted => Settlement::Buried { claim, archived: true },
        Told::Created | Told::Updated => Settlement::Written {
            claim,
            sent: going.fields.clone(),
            remote_id,
            modified: None,
            answered: Vec::new(),
            heard_at: now,
            created: event == Told::Created,
            complete: true,
        },
    }
}

fn untold<'a>(push: &Push<'_>, going: &Going<'a>, failure: &'a Failure, now: Millis) -> Settlement<'a> {
    let claim = &going.prepared.claim;
    let unpaid = match failure.class {
        Class::Gone => Unpaid::Later { due_at: now, cause: &failure.message },
        _ => read::unpaid(push.purpose, claim, failure, now),
    };
    if failure.maybe_done {
        return Settlement::Unheard { claim, unpaid, landed_by: now + push.request_life };
    }
    Settlement::Unpaid { claim, unpaid }
}

/// Nobody listens any more: nothing is sent until a person has given the stream another address. What is owed stays owed.
async fn pause_stream(push: &Push<'_>, failure: &Failure) -> Result<(), StoreError> {
    let (ctx, name) = (push.purpose.ctx, &push.purpose.stream.spec.name);
    let reason = format!(
        "needs a person: {}: nobody listens there any more. Give the connection the address of a hook that does, start Tidemark again, then `tidemark resume {name}`; every change is kept until then",
        failure.message
    );
    streams::set_state(&ctx.store, name, "paused", Some(&reason)).await?;
    acts::record(&ctx.store, "tidemark", "pause", name, Some(&reason)).await?;
    tracing::error!("{name} is paused: {reason}");
    ctx.tell(Event::Failed { stream: name.clone(), what: "delivery", cause: failure.message.clone() });
    Ok(())
}
