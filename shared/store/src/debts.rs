//! Debts: what is owed, durable, one live per (stream, kind, subject). A push is owed for a row, a read for a record. Waiting, parked and waiting for a parent are
//! states of a debt.

use sea_orm::{ConnectionTrait, QueryResult};
use tidemark_core::Millis;
use tidemark_core::bug::{Bug, planted};
use tidemark_core::failure::Failure;
use tidemark_core::property::{self, Unfit};

use crate::dialect::{in_list, list, table};
use crate::environment::most_seen;
use crate::owing::{Owing, owe};
use crate::query::{all, get, run, scalar};
use crate::{Store, StoreError};

/// Which way a debt is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The row may differ from what the CRM holds; the subject is the row's key.
    Push,
    /// The record has to be read by id and merged; the subject is its remote id.
    Read,
}

impl Kind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Read => "read",
        }
    }
}

/// A debt somebody holds a lease on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub id: i64,
    pub subject: String,
    /// What the row's generation was before the row was read: a later change makes it another.
    pub generation: i64,
    pub attempts: i32,
    pub reborn: bool,
    pub created_at: Millis,
    /// What it is let through for: what it was parked for and a person lets pass, or what a brake has counted.
    pub passed: Option<String>,
    /// When the row last changed, as far as it was captured.
    pub changed_at: Millis,
    pub claimed_at: Millis,
}

fn read_claim(row: &QueryResult) -> Result<Claim, StoreError> {
    Ok(Claim {
        id: get(row, 0)?,
        subject: get(row, 1)?,
        generation: get(row, 2)?,
        attempts: get(row, 3)?,
        reborn: get::<i64>(row, 4)? > 0,
        created_at: get(row, 5)?,
        passed: get(row, 6)?,
        changed_at: get(row, 7)?,
        claimed_at: get(row, 8)?,
    })
}

/// Which due debts a claim takes.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    /// Any, of a stream that runs.
    Due,
    /// Those of these subjects, also of a stream that waits for its go: a person tries it out.
    These(&'a [&'a str]),
}

/// Claims due debts of a stream, oldest due first. `fence` is fresh for each claim: a claimer that was overtaken settles nothing. Pushes of a stream that is held are
/// left alone, and so are all of a database that is older than this process has seen it.
pub async fn claim(
    store: &Store,
    stream: i64,
    kind: Kind,
    which: Which<'_>,
    fence: &str,
    lease: Millis,
    limit: usize,
) -> Result<Vec<Claim>, StoreError> {
    let backend = store.db.get_database_backend();
    let (chosen, these) = match which {
        Which::Due => ("s.state = 'running'".to_owned(), None),
        Which::These(subjects) => (
            format!("s.state IN ('running', 'plan_ready') AND d.subject {}", in_list(backend, 7, "text")),
            Some(list(backend, subjects.iter().copied())),
        ),
    };
    let sql = "UPDATE tidemark_debt SET lease_fence = $3, lease_until = {now} + $4 WHERE id IN (
            SELECT d.id FROM tidemark_debt d JOIN tidemark_stream s ON s.id = d.stream_id JOIN tidemark_connection c ON c.name = s.connection
            WHERE d.stream_id = $1 AND d.kind = $2 AND d.state <> 'parked' AND d.due_at <= {now} AND (d.lease_until IS NULL OR d.lease_until < {now})
              AND {chosen} AND c.state = 'running' AND (d.kind <> 'push' OR s.held_at IS NULL) AND NOT EXISTS (SELECT 1 FROM tidemark_environment e WHERE e.beats < $6) ORDER BY d.due_at, d.id LIMIT $5 {of_debt})
        RETURNING id, subject, generation, attempts, reborn, created_at, passed, changed_at, {now}";
    let sql = sql.replace("{of_debt}", if store.is_postgres() { "FOR UPDATE OF d SKIP LOCKED" } else { "" });
    let sql = sql.replace("{chosen}", &chosen);
    let limit = i64::try_from(limit).unwrap_or(100);
    let seen = most_seen(store);
    let mut values = vec![stream.into(), kind.word().into(), fence.into(), lease.into(), limit.into(), seen.into()];
    values.extend(these);
    let mut claims: Vec<Claim> = all(&store.db, &sql, values).await?.iter().map(read_claim).collect::<Result<_, _>>()?;
    claims.sort_by_key(|claim| claim.id);
    Ok(claims)
}

/// Whether our lease still has this long to go; asked right before sending.
pub async fn lease_left(store: &Store, fence: &str) -> Result<Millis, StoreError> {
    let sql = "SELECT COALESCE(min(lease_until) - {now}, 0) FROM tidemark_debt WHERE lease_fence = $1";
    scalar(&store.db, sql, vec![fence.into()]).await
}

/// The CRM answered what was claimed: whatever is owed again from here on has not failed, and is due when its new cause says. With the failures of before it would be due
/// at once, each time, before everybody who was owed later.
pub(crate) async fn answered(db: &impl ConnectionTrait, fence: &str, claims: &[Claim]) -> Result<(), StoreError> {
    if claims.iter().any(|claim| claim.attempts > 0) {
        let sql = "UPDATE tidemark_debt SET attempts = 0, class = NULL, code = NULL, cause = NULL, next_step = NULL WHERE lease_fence = $1 AND attempts > 0";
        run(db, sql, vec![fence.into()]).await?;
    }
    Ok(())
}

/// Pays claims: those whose generation moved meanwhile stay, due as whoever moved it said; the rest are gone.
pub(crate) async fn pay(db: &impl ConnectionTrait, fence: &str, claims: &[&Claim]) -> Result<u64, StoreError> {
    if claims.is_empty() {
        return Ok(0);
    }
    let backend = db.get_database_backend();
    let texts: Vec<(String, String)> = claims.iter().map(|claim| (claim.id.to_string(), claim.generation.to_string())).collect();
    let cells: Vec<Option<&str>> =
        texts.iter().flat_map(|(id, generation)| [Some(id.as_str()), Some(generation.as_str())]).collect();
    let (source, mut values) = table(backend, 2, 2, &cells);
    values.insert(0, fence.into());
    let same = if planted(Bug::PaysAnyGeneration) { ">=" } else { "=" };
    let sql = format!(
        "DELETE FROM tidemark_debt WHERE lease_fence = $1 AND id IN (SELECT d.id FROM tidemark_debt d JOIN {source} ON d.id = CAST(v.c0 AS BIGINT) AND d.generation {same} CAST(v.c1 AS BIGINT))"
    );
    let paid = run(db, &sql, values).await?;
    let ids: Vec<&str> = texts.iter().map(|(id, _)| id.as_str()).collect();
    if paid < ids.len() as u64 {
        let sql = format!(
            "UPDATE tidemark_debt SET lease_fence = NULL, lease_until = NULL WHERE lease_fence = $1 AND id {}",
            in_list(backend, 2, "bigint")
        );
        run(db, &sql, vec![fence.into(), list(backend, ids.into_iter())]).await?;
    }
    Ok(paid)
}

/// What a claim that was not paid comes to.
#[derive(Debug, Clone)]
pub enum Unpaid<'a> {
    /// Tried and failed: due again, the attempt counts.
    Retry {
        due_at: Millis,
        failure: &'a Failure,
    },
    /// Not tried, or not its fault: due again, the attempt does not count.
    Later {
        due_at: Millis,
        cause: &'a str,
    },
    /// Something of the row is held back until then; the rest was sent. A change of the row meanwhile is not held up.
    Held {
        until: Millis,
    },
    /// Waits until its parent is linked; looked at again by itself now and then.
    Parent {
        object: String,
        row: String,
        due_at: Millis,
    },
    Parked {
        class: &'a str,
        code: Option<&'a str>,
        cause: &'a str,
        next_step: &'a str,
    },
    /// Parked for a reason found here, not by the CRM.
    ParkedOwned {
        class: &'static str,
        cause: String,
        next_step: String,
    },
    /// Parked for what the CRM would say, as it describes itself.
    Unfit(Unfit),
}

/// Gives one claim back with what came of it. A change of its row meanwhile makes it due at once.
pub(crate) async fn leave(db: &impl ConnectionTrait, fence: &str, claim: &Claim, unpaid: &Unpaid<'_>) -> Result<(), StoreError> {
    let (state, due_at, counts, class, code, cause, next_step) = match unpaid {
        Unpaid::Retry { due_at, failure } => {
            ("waiting", *due_at, 1, Some(failure.class.word()), failure.code.clone(), failure.message.clone(), None)
        }
        Unpaid::Later { due_at, cause } => ("waiting", *due_at, 0, None, None, (*cause).to_owned(), None),
        Unpaid::Held { until } => ("held", *until, 0, None, None, format!("held: it {}", tidemark_core::stale::REASON), None),
        Unpaid::Parent { object, row, due_at } => (
            "parent",
            *due_at,
            0,
            Some("parent"),
            Some(format!("{object}:{row}")),
            format!("waits until row {row} of {object} is in the CRM"),
            None,
        ),
        Unpaid::Parked { class, code, cause, next_step } => {
            ("parked", claim.created_at, 1, Some(*class), code.map(str::to_owned), (*cause).to_owned(), Some(*next_step))
        }
        Unpaid::ParkedOwned { class, cause, next_step } => {
            ("parked", claim.created_at, 1, Some(*class), None, cause.clone(), Some(next_step.as_str()))
        }
        Unpaid::Unfit(Unfit { code, cause, next_step }) => {
            ("parked", claim.created_at, 1, Some(property::CLASS), Some(code.clone()), cause.clone(), Some(next_step.as_str()))
        }
    };
    let sql = "UPDATE tidemark_debt SET lease_fence = NULL, lease_until = NULL, attempts = attempts + $4,
            state = CASE WHEN generation = $3 AND $5 <> 'held' THEN $5 ELSE 'waiting' END, due_at = CASE WHEN generation = $3 OR $5 = 'waiting' THEN $6 ELSE {now} END,
            class = $7, code = $8, cause = $9, next_step = $10
        WHERE id = $1 AND lease_fence = $2";
    let values = vec![
        claim.id.into(),
        fence.into(),
        claim.generation.into(),
        counts.into(),
        state.into(),
        due_at.into(),
        class.map(str::to_owned).into(),
        code.into(),
        cause.into(),
        next_step.map(str::to_owned).into(),
    ];
    run(db, sql, values).await?;
    Ok(())
}

/// Gives claims back with what came of each, in one transaction.
pub async fn give_back(store: &Store, fence: &str, claims: &[(&Claim, Unpaid<'_>)]) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    for (claim, unpaid) in claims {
        leave(&tx, fence, claim, unpaid).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// A person's act on one debt: due now, whatever it waited for. What it was parked for is let through this time.
pub async fn retry(store: &Store, id: i64) -> Result<bool, StoreError> {
    let sql = "UPDATE tidemark_debt SET passed = CASE WHEN state = 'parked' THEN COALESCE(passed || ' ', '') || class ELSE passed END, state = 'waiting', due_at = {now}, lease_until = NULL, lease_fence = NULL, generation = generation + 1 WHERE id = $1";
    Ok(run(&store.db, sql, vec![id.into()]).await? == 1)
}

/// A person's act on one debt: it waits until somebody retries it or its row changes.
pub async fn park(store: &Store, id: i64, who: &str) -> Result<bool, StoreError> {
    let sql = "UPDATE tidemark_debt SET state = 'parked', class = 'person', cause = $2, next_step = 'retry it when the reason is gone', lease_until = NULL,
        lease_fence = NULL, generation = generation + 1 WHERE id = $1";
    Ok(run(&store.db, sql, vec![id.into(), format!("parked by {who}").into()]).await? == 1)
}

/// Owes pushes for these rows, from outside any page: the walk and the tests.
pub async fn owe_pushes(store: &Store, stream: i64, rows: &[&str]) -> Result<u64, StoreError> {
    owe(&store.db, stream, Kind::Push, rows.iter().copied(), 0, Owing::Doubt).await
}

/// Owes reads of these records after `delay`, from outside any page.
pub async fn owe_reads(store: &Store, stream: i64, records: &[&str], delay: Millis) -> Result<u64, StoreError> {
    owe(&store.db, stream, Kind::Read, records.iter().copied(), delay, Owing::Doubt).await
}

/// Rows of which a push is owed and not parked, by key, after one of them.
pub async fn owing_rows(store: &Store, stream: i64, after: &str, limit: u32) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT subject FROM tidemark_debt WHERE stream_id = $1 AND kind = 'push' AND state <> 'parked' AND subject > $2 ORDER BY subject LIMIT $3";
    all(&store.db, sql, vec![stream.into(), after.into(), i64::from(limit).into()]).await?.iter().map(|row| get(row, 0)).collect()
}

/// Why a debt is parked, if it is: class and cause.
pub async fn parked_cause(store: &Store, stream: i64, kind: Kind, subject: &str) -> Result<Option<(String, String)>, StoreError> {
    let sql = "SELECT COALESCE(class, ''), COALESCE(cause, '') FROM tidemark_debt WHERE stream_id = $1 AND kind = $2 AND subject = $3 AND state = 'parked'";
    let row = crate::query::one(&store.db, sql, vec![stream.into(), kind.word().into(), subject.into()]).await?;
    row.map(|row| Ok((get(&row, 0)?, get(&row, 1)?))).transpose()
}

/// What an unpaid debt waits for, in words.
pub async fn waits_for(store: &Store, stream: i64, kind: Kind, subject: &str) -> Result<Option<String>, StoreError> {
    let sql = "SELECT COALESCE(cause, 'its turn') FROM tidemark_debt WHERE stream_id = $1 AND kind = $2 AND subject = $3";
    let row = crate::query::one(&store.db, sql, vec![stream.into(), kind.word().into(), subject.into()]).await?;
    row.map(|row| get(&row, 0)).transpose()
}
