//! Debts as a person looks at them: a list with filters, and the parked ones grouped by what stops them.

use sea_orm::{QueryResult, Value};
use serde::Serialize;
use tidemark_core::Millis;

use crate::query::{all, get, one};
use crate::{Store, StoreError};

/// The states a debt can be shown in, in the order of a debt's life.
pub const DEBT_STATES: [&str; 3] = ["waiting", "parent", "parked"];

/// Which debts to show; an absent part filters nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DebtFilter {
    pub stream: Option<String>,
    /// `push` or `read`.
    pub kind: Option<String>,
    /// One of [`DEBT_STATES`].
    pub state: Option<String>,
}

/// One debt. Ages are milliseconds at the moment of the question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DebtRow {
    pub id: i64,
    pub stream: String,
    pub kind: String,
    /// A push names the row's key, a read the record's id.
    pub subject: String,
    pub state: String,
    pub attempts: i32,
    pub class: Option<String>,
    pub code: Option<String>,
    pub cause: Option<String>,
    pub next_step: Option<String>,
    pub due_at: Millis,
    /// Some worker is at it now.
    pub leased: bool,
    /// Since the row last changed.
    pub changed_age_ms: Millis,
    /// Since it was first owed.
    pub age_ms: Millis,
    pub now: Millis,
}

const COLUMNS: &str = "d.id, s.name, d.kind, d.subject, d.state, d.attempts, d.class, d.code, d.cause, d.next_step, d.due_at,
    COALESCE(d.lease_until > {now}, false), {now} - d.changed_at, {now} - d.created_at, {now}";

fn read(row: &QueryResult) -> Result<DebtRow, StoreError> {
    Ok(DebtRow {
        id: get(row, 0)?,
        stream: get(row, 1)?,
        kind: get(row, 2)?,
        subject: get(row, 3)?,
        state: get(row, 4)?,
        attempts: get(row, 5)?,
        class: get(row, 6)?,
        code: get(row, 7)?,
        cause: get(row, 8)?,
        next_step: get(row, 9)?,
        due_at: get(row, 10)?,
        leased: get(row, 11)?,
        changed_age_ms: get(row, 12)?,
        age_ms: get(row, 13)?,
        now: get(row, 14)?,
    })
}

/// The debts that match: parked first, then those that failed most often, then by due time.
pub async fn debts(store: &Store, filter: &DebtFilter, limit: u32, offset: u32) -> Result<Vec<DebtRow>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM tidemark_debt d JOIN tidemark_stream s ON s.id = d.stream_id
         WHERE (CAST($1 AS TEXT) IS NULL OR s.name = $1) AND (CAST($2 AS TEXT) IS NULL OR d.kind = $2) AND (CAST($3 AS TEXT) IS NULL OR d.state = $3)
         ORDER BY CASE d.state WHEN 'parked' THEN 0 ELSE 1 END, d.attempts DESC, d.due_at, d.id LIMIT {limit} OFFSET {offset}"
    );
    let values: Vec<Value> = vec![filter.stream.clone().into(), filter.kind.clone().into(), filter.state.clone().into()];
    all(&store.db, &sql, values).await?.iter().map(read).collect()
}

/// One debt by its id.
pub async fn find_debt(store: &Store, id: i64) -> Result<Option<DebtRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM tidemark_debt d JOIN tidemark_stream s ON s.id = d.stream_id WHERE d.id = $1");
    one(&store.db, &sql, vec![id.into()]).await?.as_ref().map(read).transpose()
}

/// How many debts of one stream, kind and state there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DebtCount {
    pub stream: String,
    pub kind: String,
    pub state: String,
    pub count: i64,
}

pub async fn debt_counts(store: &Store) -> Result<Vec<DebtCount>, StoreError> {
    let sql = "SELECT s.name, d.kind, d.state, count(*) FROM tidemark_debt d JOIN tidemark_stream s ON s.id = d.stream_id
        GROUP BY s.name, d.kind, d.state ORDER BY s.name, d.kind, d.state LIMIT 6000";
    let read =
        |row: &QueryResult| Ok(DebtCount { stream: get(row, 0)?, kind: get(row, 1)?, state: get(row, 2)?, count: get(row, 3)? });
    all(&store.db, sql, vec![]).await?.iter().map(read).collect()
}

/// Parked debts that stopped for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DebtGroup {
    pub stream: String,
    pub class: Option<String>,
    pub code: Option<String>,
    pub count: i64,
    /// One of the group's causes, as an example.
    pub cause: Option<String>,
    pub next_step: Option<String>,
    /// Age of the oldest.
    pub oldest_ms: Millis,
}

/// What waits for a person, grouped by class, code and stream; the largest group first.
pub async fn debt_groups(store: &Store) -> Result<Vec<DebtGroup>, StoreError> {
    let sql = "SELECT s.name, d.class, d.code, count(*), min(d.cause), min(d.next_step), {now} - min(d.created_at)
        FROM tidemark_debt d JOIN tidemark_stream s ON s.id = d.stream_id WHERE d.state = 'parked'
        GROUP BY s.name, d.class, d.code ORDER BY count(*) DESC, s.name, d.class, d.code LIMIT 100";
    let read = |row: &QueryResult| {
        Ok(DebtGroup {
            stream: get(row, 0)?,
            class: get(row, 1)?,
            code: get(row, 2)?,
            count: get(row, 3)?,
            cause: get(row, 4)?,
            next_step: get(row, 5)?,
            oldest_ms: get(row, 6)?,
        })
    };
    all(&store.db, sql, vec![]).await?.iter().map(read).collect()
}
