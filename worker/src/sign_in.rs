//! Gives the connector a token: the one that another process keeps, or the next one, which one process at a time asks for. Decides who asks and what a refusal comes to; never paces,
//! and never waits for another process: who is not the one gives the work back.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use tidemark_core::Millis;
use tidemark_core::failure::{Class, Failure};
use tidemark_core::window::millis;
use tidemark_crm::seal::{SealError, Sealer};
use tidemark_crm::{Bucket, Crm, Grant, Need, Token};
use tidemark_store::credentials::{self, Credential};
use tidemark_store::{Store, StoreError};

use crate::calls::{NoAnswer, Purpose, waiting};

/// What another process needs to have asked for a token, usually.
const ASKED_MS: Millis = 1_000;
/// How soon a token that could not be kept is kept again.
const KEPT_AGAIN: Duration = Duration::from_millis(250);

/// One connection's part in the token that all processes share.
#[derive(Debug)]
pub(crate) struct Sharing {
    sealer: Arc<Sealer>,
    grant: Grant,
    /// The version that is in use here.
    version: AtomicI64,
    /// In this process one asks, and the others find what it was given.
    turn: tokio::sync::Mutex<()>,
}

/// A token is needed and cannot be had from what is kept.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("{0}")]
    Failed(Failure),
}

impl Sharing {
    pub(crate) fn new(sealer: Arc<Sealer>, grant: Grant) -> Self {
        Self { sealer, grant, version: AtomicI64::new(-1), turn: tokio::sync::Mutex::default() }
    }

    /// Before anything is asked: the row begins anew where the grant is another, and what the former key sealed is sealed by the present one.
    pub(crate) async fn register(&self, store: &Store, connection: &str) -> Result<(), SignInError> {
        credentials::register(store, connection, &self.grant.digest).await?;
        let row = credentials::find(store, connection).await?;
        let Some((version, sealed)) = row.and_then(|row| Some((row.version, row.sealed?))) else { return Ok(()) };
        let opened = self.sealer.open(connection, &sealed)?;
        if opened.former {
            credentials::reseal(store, connection, version, &self.sealer.seal(connection, &opened.text)?).await?;
        }
        Ok(())
    }

    /// The row, as far as it is of this process's grant.
    async fn row(&self, store: &Store, connection: &str) -> Result<Result<Credential, Failure>, StoreError> {
        let row = credentials::find(store, connection).await?;
        Ok(row.filter(|row| row.origin == self.grant.digest).ok_or_else(|| {
            let what = format!("another process was started with other credentials of {connection}: start this one again");
            Failure::new(Class::Retry, what)
        }))
    }

    /// Takes what is kept, if it is newer than what is used here and can still be used.
    fn take(&self, crm: &dyn Crm, connection: &str, row: &Credential) -> Result<bool, Failure> {
        let (Some(sealed), true) = (&row.sealed, row.version > self.version.load(Ordering::Relaxed)) else { return Ok(false) };
        if row.lives.is_some_and(|lives| lives <= 0) {
            return Ok(false);
        }
        let opened = self.sealer.open(connection, sealed).map_err(|error| Failure::new(Class::Auth, error.to_string()))?;
        let lives = row.lives.map(|lives| Duration::from_millis(u64::try_from(lives).unwrap_or(0)));
        self.adopt(crm, &Token { text: opened.text, lives }, row.version, false).map(|()| true)
    }

    fn adopt(&self, crm: &dyn Crm, token: &Token, version: i64, own: bool) -> Result<(), Failure> {
        crm.adopt(token, own)?;
        self.version.store(version, Ordering::Relaxed);
        Ok(())
    }
}

/// Takes the token that is kept into use, for a process that must not ask for one of its own. False where none is kept that can be used.
pub async fn adopt_kept(store: &Store, sealer: &Arc<Sealer>, crm: &dyn Crm, connection: &str) -> Result<bool, SignInError> {
    let Some(grant) = crm.grant() else { return Ok(false) };
    let row = credentials::find(store, connection).await?.filter(|row| row.origin == grant.digest);
    let Some(row) = row else { return Ok(false) };
    Sharing::new(Arc::clone(sealer), grant).take(crm, connection, &row).map_err(SignInError::Failed)
}

/// Signs in for all processes.
pub(crate) async fn sign_in(purpose: &Purpose<'_>, sharing: &Sharing) -> Result<Result<(), NoAnswer>, StoreError> {
    let (crm, name, store) = (purpose.connection.crm.as_ref(), &purpose.connection.spec.name, &purpose.ctx.store);
    let _turn = sharing.turn.lock().await;
    if crm.need("") != Some(Need::SignIn) {
        return Ok(Ok(()));
    }
    let seen = match sharing.row(store, name).await? {
        Ok(row) => row,
        Err(failure) => return Ok(Err(NoAnswer::Failed(failure))),
    };
    match sharing.take(crm, name, &seen) {
        Ok(true) => return Ok(Ok(())),
        Ok(false) => {}
        Err(failure) => return Ok(Err(NoAnswer::Failed(failure))),
    }
    if let Some(refused) = &seen.refused {
        return Ok(Err(NoAnswer::Failed(Failure::new(Class::Auth, refused))));
    }
    if seen.lease_left > 0 {
        return Ok(Err(elsewhere(name)));
    }
    let recorded = match purpose.book(Bucket::General).await? {
        Ok(recorded) => recorded,
        Err(no) => return Ok(Err(no)),
    };
    let kept = match seen.sealed.as_ref().map(|sealed| sharing.sealer.open(name, sealed)).transpose() {
        Ok(opened) => opened.map(|opened| opened.text),
        Err(error) => return Ok(Err(NoAnswer::Failed(Failure::new(Class::Auth, error.to_string())))),
    };
    // A live process never asks for longer than this.
    let (fence, lease) = (purpose.ctx.fence(), 2 * millis(purpose.connection.spec.call_deadline));
    let until = Instant::now() + Duration::from_millis(lease.unsigned_abs());
    if !credentials::claim(store, name, &seen, &fence, lease).await? {
        return Ok(Err(elsewhere(name)));
    }
    let mut answer = tokio::select! {
        biased;
        answer = crate::calls::sent(recorded, crm.ask_token(kept.as_ref())) => answer,
        // What was asked for may be given: the lease stays until it lapses.
        () = purpose.ctx.cut.cancelled() => return Ok(Err(NoAnswer::Stopping)),
    };
    Purpose { word: "sign in", ..*purpose }.record(1, &mut answer);
    let failure = match answer.result {
        Ok(token) => return keep(purpose, sharing, &seen, &token, until).await,
        Err(failure) => failure,
    };
    if failure.class != Class::Auth {
        let unheard = !matches!(failure.class, Class::Throttled | Class::DayBudget);
        credentials::give_back(store, name, &fence, unheard).await?;
        return Ok(Err(NoAnswer::Failed(failure)));
    }
    refused(purpose, sharing, &seen, failure).await
}

/// The answer is kept before it is used. Where another was kept meanwhile, that one is used. It may be the only good one: a database that fails for a moment is asked again while
/// the claim lasts.
async fn keep(
    purpose: &Purpose<'_>,
    sharing: &Sharing,
    seen: &Credential,
    token: &Token,
    mut until: Instant,
) -> Result<Result<(), NoAnswer>, StoreError> {
    let (crm, name, store) = (purpose.connection.crm.as_ref(), &purpose.connection.spec.name, &purpose.ctx.store);
    let sealed = match sharing.sealer.seal(name, &token.text) {
        Ok(sealed) => sealed,
        Err(error) => return Ok(Err(NoAnswer::Failed(Failure::new(Class::Retry, error.to_string())))),
    };
    let is_kept = loop {
        match credentials::keep(store, name, seen.version, &sealed, token.lives.map(millis)).await {
            Err(error) if Instant::now() < until => tracing::warn!("the token of {name} could not be kept yet: {error}"),
            kept => break kept?,
        }
        tokio::select! {
            () = tokio::time::sleep(KEPT_AGAIN) => {}
            // The last try.
            () = purpose.ctx.cut.cancelled() => until = Instant::now(),
        }
    };
    let adopted =
        if is_kept { sharing.adopt(crm, token, seen.version + 1, true) } else { newer(sharing, store, crm, name).await? };
    Ok(adopted.map_err(NoAnswer::Failed))
}

/// A refusal counts only if nobody has kept a newer token meanwhile.
async fn refused(
    purpose: &Purpose<'_>,
    sharing: &Sharing,
    seen: &Credential,
    failure: Failure,
) -> Result<Result<(), NoAnswer>, StoreError> {
    let (crm, name, store) = (purpose.connection.crm.as_ref(), &purpose.connection.spec.name, &purpose.ctx.store);
    let message = needs_a_person(name, seen, sharing.grant.rotates, &failure.message);
    if credentials::refuse(store, name, seen.version, &message).await? {
        return Ok(Err(NoAnswer::Failed(Failure { message, ..failure })));
    }
    Ok(newer(sharing, store, crm, name).await?.map_err(NoAnswer::Failed))
}

/// Takes what another process has kept meanwhile.
async fn newer(sharing: &Sharing, store: &Store, crm: &dyn Crm, name: &str) -> Result<Result<(), Failure>, StoreError> {
    let taken = sharing.row(store, name).await?.and_then(|row| sharing.take(crm, name, &row));
    let none = || Failure::new(Class::Retry, format!("the token of {name} was asked for by another process meanwhile"));
    Ok(taken.and_then(|taken| if taken { Ok(()) } else { Err(none()) }))
}

fn elsewhere(name: &str) -> NoAnswer {
    waiting(Class::Throttled, &format!("another process asks for the token of {name}"), ASKED_MS)
}

/// Why the connection stands, and what a person does about it.
fn needs_a_person(name: &str, seen: &Credential, rotates: bool, refusal: &str) -> String {
    let lost = match &seen.lease {
        Some(_) if rotates => {
            " A process asked before and ended, or was not answered, before it could keep the answer: the refresh token it held was the only good one."
        }
        _ => "",
    };
    format!(
        "{refusal}.{lost} This needs a person: authorise Tidemark anew at the CRM, put what it gives into connections.{name}.secret, start Tidemark again, then run `tidemark resume {name}`"
    )
}
