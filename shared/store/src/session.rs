//! The order database's connection and its transactions. Each statement hears which clock `{now}` means, and where a simulation drives the house, nothing outside a
//! transaction happens before its turn. Decides nothing.

use async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, SqliteTransactionMode,
    Statement, TransactionOptions, TransactionTrait,
};

use crate::StoreError;
use crate::pace::{Pace, Turn};

/// Nobody waits long for us, and we wait long for nobody: neither for a lock, nor on a process that stands still in the middle of a transaction (a paused machine)
/// with its locks in hand. Between two statements of a transaction there is only computing, so five seconds of silence are no work.
const LIMITS: &str = "SET LOCAL lock_timeout = '2s'; SET LOCAL idle_in_transaction_session_timeout = '5s'";

/// The pool.
#[derive(Debug, Clone)]
pub(crate) struct Db {
    pub(crate) inner: DatabaseConnection,
    pub(crate) pace: Pace,
}

impl Db {
    /// Every transaction begins here. On SQLite it takes the write lock at once: one that read first would fail with "database is locked" when it comes to write.
    pub(crate) async fn begin(&self) -> Result<Tx, StoreError> {
        let turn = self.pace.turn("transaction").await;
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let inner = self.inner.begin_with_options(options).await?;
        if inner.get_database_backend() == DbBackend::Postgres {
            inner.execute_unprepared(LIMITS).await?;
        }
        Ok(Tx { inner, pace: self.pace.clone(), _turn: turn })
    }
}

/// A transaction, or a savepoint in one.
pub(crate) struct Tx {
    inner: DatabaseTransaction,
    pace: Pace,
    _turn: Option<Turn>,
}

impl Tx {
    pub(crate) async fn savepoint(&self) -> Result<Self, StoreError> {
        Ok(Self { inner: self.inner.begin().await?, pace: self.pace.clone(), _turn: None })
    }

    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        Ok(self.inner.commit().await?)
    }

    pub(crate) async fn rollback(self) -> Result<(), StoreError> {
        Ok(self.inner.rollback().await?)
    }
}

fn timed(pace: &Pace, mut statement: Statement) -> Statement {
    if statement.sql.contains("{now}") {
        statement.sql = statement.sql.replace("{now}", pace.now_sql(statement.db_backend));
    }
    statement
}

#[async_trait]
impl ConnectionTrait for Db {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let _turn = self.pace.turn("statement").await;
        self.inner.execute_raw(timed(&self.pace, statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let _turn = self.pace.turn("statement").await;
        self.inner.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let _turn = self.pace.turn("statement").await;
        self.inner.query_one_raw(timed(&self.pace, statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let _turn = self.pace.turn("statement").await;
        self.inner.query_all_raw(timed(&self.pace, statement)).await
    }
}

#[async_trait]
impl ConnectionTrait for Tx {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.inner.execute_raw(timed(&self.pace, statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.inner.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.inner.query_one_raw(timed(&self.pace, statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.inner.query_all_raw(timed(&self.pace, statement)).await
    }
}
