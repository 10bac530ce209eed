//! Runs one statement and reads its answer. Knows nothing of what it asks.

use sea_orm::{ConnectionTrait, DbErr, QueryResult, RuntimeErr, SqlxPostgresError, Statement, TryGetable, Value};

use crate::dialect;

/// Our own database plumbing failed; what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "cannot reach the order database at {place}: check `database.url`, that the server runs, and the user's right to connect"
    )]
    Unreachable {
        place: String,
        #[source]
        source: DbErr,
    },
    #[error("the database refused a statement")]
    Refused {
        #[source]
        source: DbErr,
    },
    /// Somebody else took the work over; drop it.
    #[error("the lease on {what} was lost")]
    LeaseLost { what: String },
    #[error("{what} is not in the database: {remedy}")]
    Missing { what: String, remedy: String },
    /// Its triggers, rules or columns changed between two statements of a transaction: try it again.
    #[error("{table} was altered while it was written")]
    Altered { table: String },
}

impl StoreError {
    pub(crate) fn unreachable(url: &str, source: DbErr) -> Self {
        Self::Unreachable { place: place_of(url), source }
    }

    /// The data itself was refused (constraint, type, length, a raising trigger): trying again is of no use, splitting is.
    pub(crate) fn is_about_data(&self) -> bool {
        let Self::Refused { source } = self else { return false };
        match code_of(source) {
            // PostgreSQL: integrity constraint, data exception, raised by a trigger (P0001), a row that a row-level security policy refuses.
            Some(Code::Postgres(code)) => {
                code.starts_with("23") || code.starts_with("22") || code.starts_with("P0") || is_refused_by_policy(source)
            }
            // SQLite: constraint (19, extended codes keep it in the low byte), type mismatch (20), too big (18).
            Some(Code::Sqlite(code)) => matches!(code & 0xff, 18..=20),
            None => false,
        }
    }

    /// Our role lacks a right: no record is at fault, and nothing goes until somebody grants it.
    fn is_missing_right(&self) -> bool {
        let Self::Refused { source } = self else { return false };
        matches!(code_of(source), Some(Code::Postgres(code)) if code == MISSING_RIGHT) && !is_refused_by_policy(source)
    }

    /// Lock not obtained, deadlock, serialisation failure, or a table altered under our hands: try again.
    pub fn is_contention(&self) -> bool {
        if matches!(self, Self::Altered { .. }) {
            return true;
        }
        let Self::Refused { source } = self else { return false };
        match code_of(source) {
            Some(Code::Postgres(code)) => matches!(code.as_str(), "55P03" | "40P01" | "40001"),
            Some(Code::Sqlite(code)) => matches!(code & 0xff, 5 | 6),
            None => false,
        }
    }

    /// What the database said, for the log: without its own words where they quote data, and a trigger of the order system may quote anything.
    pub fn log_words(&self) -> String {
        let Self::Refused { source } = self else { return self.words() };
        let quotes_data = match code_of(source) {
            Some(Code::Postgres(code)) => !SPEAKS_OF_ITSELF.iter().any(|class| code.starts_with(class)),
            Some(Code::Sqlite(code)) => code == SQLITE_RAISED,
            None => false,
        };
        if quotes_data { without_data(source) } else { self.words() }
    }

    /// What the database said, for a person who may see the order system's data; never holds a URL.
    pub fn words(&self) -> String {
        let said = self.said();
        if self.is_missing_right() { format!("{said}: run the grants that `tidemark migrate --plan` prints") } else { said }
    }

    fn said(&self) -> String {
        match self {
            Self::Refused { source } | Self::Unreachable { source, .. } => match source {
                DbErr::Exec(RuntimeErr::SqlxError(error))
                | DbErr::Query(RuntimeErr::SqlxError(error))
                | DbErr::Conn(RuntimeErr::SqlxError(error)) => {
                    error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
                }
                other => other.to_string(),
            },
            other => other.to_string(),
        }
    }
}

impl From<DbErr> for StoreError {
    fn from(source: DbErr) -> Self {
        Self::Refused { source }
    }
}

const MISSING_RIGHT: &str = "42501";

/// PostgreSQL gives a missing right and a row that a policy refuses the same code; only the place in its source that raised it tells them apart in every language.
fn is_refused_by_policy(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error else { return false };
    let error = error.as_database_error().and_then(|error| error.try_downcast_ref::<SqlxPostgresError>());
    error.is_some_and(|error| error.code() == MISSING_RIGHT && error.routine() == Some("ExecWithCheckOptions"))
}

/// Classes of PostgreSQL's codes whose words name things of the database and of the statement, never a value: connection, transaction state, rights, names, locks,
/// resources, shutdown. Values are quoted by data exceptions (22), constraints (23), and whatever a trigger raises.
const SPEAKS_OF_ITSELF: [&str; 14] = ["08", "0A", "25", "26", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58"];
/// RAISE in a trigger.
const SQLITE_RAISED: i64 = 1811;

fn without_data(error: &DbErr) -> String {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error else {
        return "it was refused".to_owned();
    };
    let database = error.as_database_error();
    let code = database.and_then(|error| error.code()).unwrap_or_default();
    let place = |name: Option<&str>, what: &str| name.map_or_else(String::new, |name| format!(", {what} {name}"));
    let constraint = place(database.and_then(|error| error.constraint()), "constraint");
    let table = place(database.and_then(|error| error.table()), "table");
    format!("it was refused with code {code}{constraint}{table}; its words may quote data and are not logged")
}

enum Code {
    Postgres(String),
    Sqlite(i64),
}

fn code_of(error: &DbErr) -> Option<Code> {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error else { return None };
    let code = error.as_database_error()?.code()?.into_owned();
    Some(match code.parse() {
        Ok(number) if code.len() < 5 => Code::Sqlite(number),
        _ => Code::Postgres(code),
    })
}

/// The URL without user, password and parameters.
fn place_of(url: &str) -> String {
    let bare = url.split('?').next().unwrap_or(url);
    match bare.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, place)| place)),
        None => "an address without a scheme".to_owned(),
    }
}

pub(crate) async fn all(db: &impl ConnectionTrait, sql: &str, values: Vec<Value>) -> Result<Vec<QueryResult>, StoreError> {
    Ok(db.query_all_raw(statement(db, sql, values)).await?)
}

pub(crate) async fn one(db: &impl ConnectionTrait, sql: &str, values: Vec<Value>) -> Result<Option<QueryResult>, StoreError> {
    Ok(db.query_one_raw(statement(db, sql, values)).await?)
}

/// Rows touched.
pub(crate) async fn run(db: &impl ConnectionTrait, sql: &str, values: Vec<Value>) -> Result<u64, StoreError> {
    Ok(db.execute_raw(statement(db, sql, values)).await?.rows_affected())
}

/// The first column of the only row.
pub(crate) async fn scalar<T: TryGetable>(db: &impl ConnectionTrait, sql: &str, values: Vec<Value>) -> Result<T, StoreError> {
    let row = one(db, sql, values).await?;
    let row =
        row.ok_or_else(|| StoreError::Missing { what: "the answer to a query".into(), remedy: "run `tidemark migrate`".into() })?;
    Ok(row.try_get_by_index(0)?)
}

/// A column of one row by its place.
pub(crate) fn get<T: TryGetable>(row: &QueryResult, at: usize) -> Result<T, StoreError> {
    Ok(row.try_get_by_index(at)?)
}

fn statement(db: &impl ConnectionTrait, sql: &str, values: Vec<Value>) -> Statement {
    let backend = db.get_database_backend();
    Statement::from_sql_and_values(backend, dialect::render(backend, sql), values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_a_message_never_holds_a_password() {
        assert_eq!(place_of("postgres://me:secret@db:5432/orders?sslmode=require"), "postgres://db:5432/orders");
        assert_eq!(place_of("sqlite://demo/orders.db?mode=rwc"), "sqlite://demo/orders.db");
    }
}
