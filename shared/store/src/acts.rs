//! Acts of people: who did what to what, and why. Append only.

use sea_orm::ConnectionTrait;

use crate::query::run;
use crate::{Store, StoreError};

/// Who acts, and why.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    pub who: &'a str,
    pub reason: Option<&'a str>,
}

/// Records an act.
pub async fn record(store: &Store, who: &str, verb: &str, subject: &str, reason: Option<&str>) -> Result<(), StoreError> {
    record_in(&store.db, who, verb, subject, reason).await
}

/// The same within the transaction of the act itself.
pub(crate) async fn record_in(
    db: &impl ConnectionTrait,
    who: &str,
    verb: &str,
    subject: &str,
    reason: Option<&str>,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO tidemark_act (who, verb, subject, reason) VALUES ($1, $2, $3, $4)";
    run(db, sql, vec![who.into(), verb.into(), subject.into(), reason.into()]).await?;
    Ok(())
}
