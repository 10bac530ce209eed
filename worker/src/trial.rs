//! Tries credentials that are not known to be good, because a dozen wrong keys lock an address for everybody: one job at a time over all workers, none after a refusal, and a paused connection
//! once an hour by one of them ([ADR 0049](../../docs/adr/0049-credentials-are-tried-one-at-a-time.md)).
//!
//! Failure cases. Who tries is held up or dies: its turn lapses, and the next one tries; a refusal comes at once, so that what takes long is none. Calls that were under way when a key died are
//! refused, too, no more than each worker does at the same time. A person pauses while a probe is under way: the pause stands.

use std::time::Duration;

use tidemark_core::Millis;
use tidemark_core::failure::{Class, Failure};
use tidemark_crm::{Bucket, Need};
use tidemark_store::connections::{self, Trial};
use tidemark_store::{StoreError, acts};
use tracing::{error, info, warn};

use crate::calls::{Lane, NoAnswer, Purpose};
use crate::context::{Connection, Context};
use crate::event::Event;

/// A turn lapses after this long.
const TURN_MS: Millis = 5_000;
/// Between two looks of who waits for a turn.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Between two probes of a connection whose credentials were refused.
const PROBE_EVERY_MS: Millis = 60 * 60_000;

/// Compares the account behind the token with the configuration, once per process and connection, before any other call.
pub(crate) async fn prove_account(purpose: &Purpose<'_>) -> Result<Result<(), NoAnswer>, StoreError> {
    on_trial(purpose, || purpose.connection.account.initialized(), compare_account(purpose)).await
}

/// Tries when it is this job's turn, and pauses for a refusal before it is another's, unless it is only a command's. Waits for the turn; nothing is tried when `is_known` by then that the
/// credentials are good.
pub(crate) async fn on_trial(
    purpose: &Purpose<'_>,
    is_known: impl Fn() -> bool,
    tries: impl Future<Output = Result<Result<(), NoAnswer>, StoreError>>,
) -> Result<Result<(), NoAnswer>, StoreError> {
    let (ctx, name) = (purpose.ctx, &purpose.connection.spec.name);
    let until = loop {
        if is_known() {
            return Ok(Ok(()));
        }
        match connections::begin_trial(&ctx.store, name, TURN_MS).await? {
            Trial::Ours { until } => break until,
            Trial::Paused => return Ok(Err(NoAnswer::Paused)),
            Trial::Elsewhere => {}
        }
        tokio::select! {
            () = ctx.cut.cancelled() => return Ok(Err(NoAnswer::Stopping)),
            () = ctx.store.pace().sleep(LOOK_EVERY) => {}
        }
    };
    let tried = if is_known() { Ok(Ok(())) } else { tries.await };
    if let Ok(Err(NoAnswer::Failed(failure))) = &tried
        && failure.class == Class::Auth
        && purpose.lane != Lane::Command
    {
        pause_connection(ctx, purpose.connection, failure).await?;
    }
    connections::end_trial(&ctx.store, name, until).await?;
    tried
}

async fn compare_account(purpose: &Purpose<'_>) -> Result<Result<(), NoAnswer>, StoreError> {
    let connection = purpose.connection;
    let account = match purpose.call(Bucket::General, 1, connection.crm.account()).await? {
        Ok(account) => account,
        Err(no) => return Ok(Err(no)),
    };
    let spec = &connection.spec;
    if spec.account.as_ref().is_some_and(|wanted| *wanted != account.id) || account.environment != spec.environment {
        let found = format!(
            "the token of {} belongs to account {} ({}), the configuration says {} ({}): give it the right token, or correct `account` and `environment`",
            spec.name,
            account.id,
            account.environment,
            spec.account.as_deref().unwrap_or("any"),
            spec.environment
        );
        return Ok(Err(NoAnswer::Failed(Failure::new(Class::Auth, found))));
    }
    connections::set_account(&purpose.ctx.store, &spec.name, &account.id, &account.environment).await?;
    let _ = connection.account.set(());
    Ok(Ok(()))
}

/// Stops all calls of a connection until a person resumes it, or a probe finds its credentials taken again.
pub(crate) async fn pause_connection(ctx: &Context, connection: &Connection, failure: &Failure) -> Result<(), StoreError> {
    let name = &connection.spec.name;
    // Whoever only tells has no account to ask for.
    let probe_in = ctx.two_way_stream(name).map(|_| PROBE_EVERY_MS);
    if !connections::refuse(&ctx.store, name, &failure.message, probe_in).await? {
        return Ok(());
    }
    acts::record(&ctx.store, "tidemark", "pause", name, Some(&failure.message)).await?;
    error!("connection {name} is paused: {}", failure.message);
    ctx.tell(Event::Paused { connection: name.clone(), cause: failure.message.clone() });
    Ok(())
}

/// Asks the accounts of connections whose credentials were refused, where that is due, and resumes those that answer.
pub(crate) async fn probe(ctx: &Context) -> Result<(), StoreError> {
    for connection in ctx.connections() {
        let name = &connection.spec.name;
        let Some(stream) = ctx.two_way_stream(name) else { continue };
        if !connections::take_probe(&ctx.store, name, PROBE_EVERY_MS).await? {
            continue;
        }
        let purpose = Purpose { ctx, connection, stream, word: "probe", attempt: 1, fence: None, lane: Lane::Probe };
        let was_signed_in = connection.crm.need("") != Some(Need::SignIn);
        let mut answered = compare_account(&purpose).await?;
        // The token was only worn out.
        if answered.is_err() && was_signed_in && connection.crm.need("") == Some(Need::SignIn) {
            answered = compare_account(&purpose).await?;
        }
        match answered {
            Ok(()) if connections::accept(&ctx.store, name).await? => {
                acts::record(&ctx.store, "tidemark", "resume", name, Some("its credentials are taken again")).await?;
                info!("connection {name} goes on: its credentials are taken again");
            }
            Err(NoAnswer::Failed(failure)) => warn!("connection {name} stays paused: {}", failure.message),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}
