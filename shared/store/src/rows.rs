//! Reads order rows, whole pages at a time, in their columns' text form.

use std::collections::HashSet;

use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Value};
use tidemark_core::record::{Row, RowKey};
use tidemark_core::spec::StreamSpec;

use crate::dialect::{in_list, list, quote};
use crate::query::{all, get};
use crate::shape::TableShape;
use crate::{Store, StoreError};

/// A stream together with the table it is mapped to: what every statement over its rows is made from.
#[derive(Debug, Clone)]
pub struct Mapped {
    /// `tidemark_stream.id`.
    pub id: i64,
    pub spec: StreamSpec,
    pub shape: TableShape,
    /// Streams of other connections (or objects) over the same table that write records: they hear of every row this one changes.
    pub siblings: Vec<i64>,
}

impl Mapped {
    pub(crate) fn key(&self) -> String {
        quote(&self.spec.key)
    }

    pub(crate) fn key_type(&self) -> &str {
        self.shape.type_of(&self.spec.key)
    }

    /// Key and mapped columns in text form; `t` is the table's alias.
    fn selection(&self, backend: DbBackend, alias: &str) -> String {
        let columns = std::iter::once(self.spec.key.as_str()).chain(self.spec.selected_columns());
        columns.map(|column| text_of(backend, alias, column)).collect::<Vec<_>>().join(", ")
    }

    fn read(&self, row: &QueryResult) -> Result<Row, StoreError> {
        let columns = (1..=self.spec.selected_columns().count()).map(|at| get(row, at)).collect::<Result<_, _>>()?;
        Ok(Row { key: RowKey(get(row, 0)?), columns })
    }
}

pub(crate) fn text_of(backend: DbBackend, alias: &str, column: &str) -> String {
    match backend {
        DbBackend::Postgres => format!("{alias}{}::text", quote(column)),
        _ => format!("CAST({alias}{} AS TEXT)", quote(column)),
    }
}

/// Whether rows are locked while they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    Free,
    /// Rows somebody else has locked are left out: nobody waits for us, and we wait for nobody.
    Skip,
}

/// The rows with these keys, in key order.
pub(crate) async fn by_keys<'a>(
    db: &impl ConnectionTrait,
    mapped: &Mapped,
    keys: impl Iterator<Item = &'a str>,
    lock: Lock,
) -> Result<Vec<Row>, StoreError> {
    let backend = db.get_database_backend();
    let (key, table) = (mapped.key(), mapped.shape.sql());
    // A lock needs the right to update, which a stream that never writes rows does not have.
    let writes = mapped.spec.direction.writes_rows() || mapped.spec.remote_id.is_some();
    let skip = if lock == Lock::Skip && writes && !mapped.shape.is_view { "{skip}" } else { "" };
    let sql = format!(
        "SELECT {} FROM {table} t WHERE t.{key} {} ORDER BY t.{key} {skip}",
        mapped.selection(backend, "t."),
        in_list(backend, 1, mapped.key_type())
    );
    all(db, &sql, vec![list(backend, keys)]).await?.iter().map(|row| mapped.read(row)).collect()
}

/// Which of these keys have a row.
pub(crate) async fn existing<'a>(
    db: &impl ConnectionTrait,
    mapped: &Mapped,
    keys: impl Iterator<Item = &'a str>,
) -> Result<HashSet<String>, StoreError> {
    let backend = db.get_database_backend();
    let (key, text) = (mapped.key(), if backend == DbBackend::Postgres { "text" } else { "TEXT" });
    let sql = format!(
        "SELECT CAST(t.{key} AS {text}) FROM {} t WHERE t.{key} {} ORDER BY t.{key}",
        mapped.shape.sql(),
        in_list(backend, 1, mapped.key_type())
    );
    all(db, &sql, vec![list(backend, keys)]).await?.iter().map(|row| get(row, 0)).collect()
}

/// The rows with these keys, for reports outside transactions.
pub async fn of_keys(store: &Store, mapped: &Mapped, keys: &[RowKey]) -> Result<Vec<Row>, StoreError> {
    by_keys(&store.db, mapped, keys.iter().map(RowKey::as_str), Lock::Free).await
}

/// The keys of rows whose column, normalised (trimmed, lower case), equals one of `values`; with the normalised value.
pub(crate) async fn matching<'a>(
    db: &impl ConnectionTrait,
    mapped: &Mapped,
    column: &str,
    values: impl Iterator<Item = &'a str>,
) -> Result<Vec<(String, RowKey)>, StoreError> {
    let backend = db.get_database_backend();
    let text = if backend == DbBackend::Postgres { "text" } else { "TEXT" };
    let (key, column) = (mapped.key(), quote(column));
    let sql = format!(
        "SELECT lower(trim(CAST(t.{column} AS {text}))), CAST(t.{key} AS {text}) FROM {} t WHERE lower(trim(CAST(t.{column} AS {text}))) {} ORDER BY t.{key} LIMIT 5000",
        mapped.shape.sql(),
        in_list(backend, 1, "text")
    );
    let rows = all(db, &sql, vec![list(backend, values)]).await?;
    rows.iter().map(|row| Ok((get(row, 0)?, RowKey(get(row, 1)?)))).collect()
}

/// One page of rows in key order, after `position`.
pub async fn walk(store: &Store, mapped: &Mapped, position: Option<&str>, limit: u64) -> Result<Vec<Row>, StoreError> {
    walk_in(&store.db, mapped, position, limit).await
}

pub(crate) async fn walk_in(
    db: &impl ConnectionTrait,
    mapped: &Mapped,
    position: Option<&str>,
    limit: u64,
) -> Result<Vec<Row>, StoreError> {
    let backend = db.get_database_backend();
    let key = mapped.key();
    let after = match (position, backend) {
        (None, _) => String::new(),
        (Some(_), DbBackend::Postgres) => format!("WHERE t.{key} > $1::text::{}", mapped.key_type()),
        // The key column's affinity turns the text into what the column holds.
        (Some(_), _) => format!("WHERE t.{key} > $1"),
    };
    let sql = format!(
        "SELECT {} FROM {} t {after} ORDER BY t.{key} LIMIT {limit}",
        mapped.selection(backend, "t."),
        mapped.shape.sql()
    );
    let values: Vec<Value> = position.into_iter().map(Value::from).collect();
    all(db, &sql, values).await?.iter().map(|row| mapped.read(row)).collect()
}
