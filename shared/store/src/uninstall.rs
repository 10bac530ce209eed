//! Everything of ours in the order database, and the statements that take it away. Takes nothing away by itself: `run` does what it was given, whole or not at all.

use sea_orm::ConnectionTrait;
use tidemark_core::capture::Trigger;
use tidemark_core::spec::TableName;

use crate::capture::Captured;
use crate::dialect::quote;
use crate::query::{all, get, scalar};
use crate::{Store, StoreError, capture_state};

/// A column of the order system into which the CRM's ids were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdColumn {
    pub table: TableName,
    pub column: String,
    /// Rows in which it holds something.
    pub filled: i64,
    sql: String,
}

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objects {
    pub triggers: Vec<Trigger>,
    /// Trigger functions (PostgreSQL), quoted.
    pub functions: Vec<String>,
    /// Our tables in the order in which they can be dropped, with their indexes and sequences.
    pub tables: Vec<String>,
    /// Our schema (PostgreSQL), when nothing of anybody else is in it.
    pub schema: Option<String>,
    pub id_columns: Vec<IdColumn>,
}

/// Looks for what is ours.
pub async fn objects(store: &Store, mapped: &[Captured]) -> Result<Objects, StoreError> {
    Ok(Objects {
        triggers: capture_state::installed(store).await?,
        functions: capture_state::functions(store).await?,
        tables: tables(store).await?,
        schema: schema(store).await?,
        id_columns: id_columns(store, mapped).await?,
    })
}

async fn tables(store: &Store) -> Result<Vec<String>, StoreError> {
    let (sql, values) = if store.is_postgres() {
        let sql = "SELECT tablename::text FROM pg_tables WHERE schemaname = $1 AND tablename LIKE 'tidemark\\_%' ORDER BY 1";
        (sql, vec![store.schema.clone().into()])
    } else {
        // The youngest first: a table that refers to another was made after it.
        let sql =
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'tidemark\\_%' ESCAPE '\\' ORDER BY rowid DESC";
        (sql, vec![])
    };
    all(&store.db, sql, values).await?.iter().map(|row| get(row, 0)).collect()
}

async fn schema(store: &Store) -> Result<Option<String>, StoreError> {
    if !store.is_postgres() || [store.orders_schema.as_str(), "public"].contains(&store.schema.as_str()) {
        return Ok(None);
    }
    let there = "SELECT count(*) FROM pg_namespace WHERE nspname = $1";
    let others = "SELECT (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname NOT LIKE 'tidemark\\_%')
        + (SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = $1 AND p.proname NOT LIKE 'tidemark\\_%')";
    let name = || vec![store.schema.clone().into()];
    let empty = scalar::<i64>(&store.db, there, name()).await? == 1 && scalar::<i64>(&store.db, others, name()).await? == 0;
    Ok(empty.then(|| store.schema.clone()))
}

async fn id_columns(store: &Store, mapped: &[Captured]) -> Result<Vec<IdColumn>, StoreError> {
    let mut columns: Vec<IdColumn> = Vec::new();
    for table in mapped {
        for column in table.specs.iter().filter_map(|spec| spec.remote_id.as_ref()) {
            let sql = table.shape.sql();
            let filled = format!("SELECT count(*) FROM {sql} WHERE {} IS NOT NULL", quote(column));
            let filled = scalar(&store.db, &filled, vec![]).await?;
            columns.push(IdColumn { table: table.shape.table.clone(), column: column.clone(), filled, sql });
        }
    }
    Ok(columns)
}

/// The statements, in the order in which they work. The id columns are the order system's own, and emptied only if asked for.
pub fn statements(store: &Store, objects: &Objects, clear_ids: bool) -> Vec<String> {
    let mut statements: Vec<String> =
        objects.triggers.iter().map(|trigger| capture_state::drop(store, &trigger.table, &trigger.name)).collect();
    // Behind the triggers, which would note it.
    let filled = objects.id_columns.iter().filter(|column| clear_ids && column.filled > 0);
    statements.extend(filled.map(|one| format!("UPDATE {} SET {1} = NULL WHERE {1} IS NOT NULL", one.sql, quote(&one.column))));
    statements.extend(objects.functions.iter().map(|function| format!("DROP FUNCTION {function}()")));
    let table = |name: &String| match store.is_postgres() {
        true => format!("{}.{}", quote(&store.schema), quote(name)),
        false => quote(name),
    };
    if store.is_postgres() && !objects.tables.is_empty() {
        statements.push(format!("DROP TABLE {}", objects.tables.iter().map(table).collect::<Vec<_>>().join(", ")));
    } else {
        statements.extend(objects.tables.iter().map(|name| format!("DROP TABLE {}", table(name))));
    }
    statements.extend(objects.schema.iter().map(|schema| format!("DROP SCHEMA {}", quote(schema))));
    statements
}

/// Runs them in one transaction. It waits two seconds at most for a table that the order system holds.
pub async fn run(store: &Store, statements: &[String]) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    for statement in statements {
        tx.execute_unprepared(statement).await?;
    }
    tx.commit().await
}
