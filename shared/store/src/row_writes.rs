//! Writes order rows, whole pages at a time, and reads back what the database made of them. Never decides what to write.

use std::borrow::Cow;

use sea_orm::{ConnectionTrait, DbBackend, QueryResult};
use tidemark_core::record::RowKey;
use tidemark_core::spec::Mark;

use crate::dialect::{in_list, list, quote, table, table_in_order};
use crate::query::{all, get, run, scalar};
use crate::rows::{Mapped, text_of};
use crate::shape::{NewKey, TableShape};
use crate::terms::Terms;
use crate::{StoreError, touch};

/// A row to be made: its key, and the columns it gets.
#[derive(Debug, Clone)]
pub(crate) struct NewRow<'a> {
    pub(crate) key: RowKey,
    /// Aligned with the columns passed along.
    pub(crate) values: Vec<Option<Cow<'a, str>>>,
}

/// A row as the database stored it, in the columns that were read back.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) key: RowKey,
    values: Vec<Option<String>>,
}

impl Stored {
    /// What the written column at this place holds now, when `sent` was written to it.
    pub(crate) fn get<'a>(&'a self, back: &ReadBack, at: usize, sent: Option<&'a str>) -> Option<&'a str> {
        match back.places.get(at) {
            Some(Some(place)) => self.values.get(*place)?.as_deref(),
            _ => sent,
        }
    }
}

/// Which of the written columns are read back; the others hold what was sent.
#[derive(Debug)]
pub(crate) struct ReadBack {
    places: Vec<Option<usize>>,
}

impl ReadBack {
    pub(crate) fn new<'a>(terms: &Terms, columns: &[&str], rows: impl Iterator<Item = &'a NewRow<'a>>) -> Self {
        // A NUL is dropped on the way: then everything is looked at.
        let altered = !terms.verbatim.is_empty() && rows.flat_map(|row| &row.values).flatten().any(|text| text.contains('\0'));
        let mut places = 0..;
        let place = |column: &&str| if !altered && terms.verbatim.contains(*column) { None } else { places.next() };
        Self { places: columns.iter().map(place).collect() }
    }

    /// The key and the columns in text form; `alias` is the table's, with its dot.
    fn selection(&self, backend: DbBackend, mapped: &Mapped, columns: &[&str], alias: &str) -> String {
        let read = columns.iter().zip(&self.places).filter(|(_, place)| place.is_some()).map(|(column, _)| *column);
        let texts = std::iter::once(mapped.spec.key.as_str()).chain(read).map(|column| text_of(backend, alias, column));
        texts.collect::<Vec<_>>().join(", ")
    }

    fn read(&self, row: &QueryResult) -> Result<Stored, StoreError> {
        let values = (1..=self.places.iter().flatten().count()).map(|at| get(row, at)).collect::<Result<_, _>>()?;
        Ok(Stored { key: RowKey(get(row, 0)?), values })
    }
}

/// Keys for `count` new rows.
pub(crate) async fn new_keys(db: &impl ConnectionTrait, mapped: &Mapped, count: usize) -> Result<Vec<RowKey>, StoreError> {
    let count_sql = i64::try_from(count).unwrap_or(0);
    match &mapped.shape.new_key {
        NewKey::Uuid => Ok((0..count).map(|_| RowKey(uuid::Uuid::new_v4().to_string())).collect()),
        NewKey::Expression(expression) => {
            let sql = match db.get_database_backend() {
                DbBackend::Postgres => format!("SELECT ({expression})::text FROM generate_series(1, $1)"),
                _ => format!(
                    "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < $1) SELECT CAST({expression} AS TEXT) FROM s"
                ),
            };
            all(db, &sql, vec![count_sql.into()]).await?.iter().map(|row| Ok(RowKey(get(row, 0)?))).collect()
        }
        NewKey::NextInteger => {
            // Above every key a row or a link ever had: a key that was deleted and handed out again would rewrite somebody else's record.
            let key = mapped.key();
            let sql = format!(
                "SELECT max(COALESCE((SELECT max({key}) FROM {}), 0), COALESCE((SELECT max(CAST(row_key AS INTEGER)) FROM tidemark_link WHERE stream_id = $1), 0))",
                mapped.shape.sql()
            );
            let highest: i64 = scalar(db, &sql, vec![mapped.id.into()]).await?;
            Ok((1..=count_sql).map(|step| RowKey((highest + step).to_string())).collect())
        }
        NewKey::None => Err(StoreError::Missing {
            what: format!("a value for the key {} of a new row of {}", mapped.spec.key, mapped.shape.table),
            remedy: "give the column a default, or set inbound = \"update_only\"".into(),
        }),
    }
}

/// Inserts rows in one statement and gives back what the database made of the columns that `back` names, triggers included.
pub(crate) async fn insert<'a>(
    db: &impl ConnectionTrait,
    mapped: &Mapped,
    columns: &[&str],
    rows: impl Iterator<Item = &'a NewRow<'a>>,
    back: &ReadBack,
) -> Result<Vec<Stored>, StoreError> {
    let backend = db.get_database_backend();
    let touched = touch::of_new_row(backend, mapped);
    let mut names = vec![mapped.key()];
    names.extend(columns.iter().map(|column| quote(column)));
    let mut cells: Vec<Option<&str>> = Vec::new();
    for row in rows {
        cells.push(Some(row.key.as_str()));
        cells.extend(row.values.iter().map(Option::as_deref));
    }
    let (source, values) = table_in_order(backend, 1, names.len(), &cells);
    let mut casts: Vec<String> = std::iter::once(mapped.spec.key.as_str())
        .chain(columns.iter().copied())
        .enumerate()
        .map(|(at, column)| cast(backend, &mapped.shape, column, at))
        .collect();
    for (column, value) in touched {
        names.push(column);
        casts.push(value);
    }
    let overriding = if mapped.shape.overriding { "OVERRIDING SYSTEM VALUE" } else { "" };
    let sql = format!(
        "INSERT INTO {} ({}) {overriding} SELECT {} FROM {source} RETURNING {}",
        mapped.shape.sql(),
        names.join(", "),
        casts.join(", "),
        back.selection(backend, mapped, columns, "")
    );
    all(db, &sql, values).await?.iter().map(|row| back.read(row)).collect()
}

/// Sets the same columns of many rows in one statement and gives back what the database made of those that `back` names.
pub(crate) async fn update<'a>(
    db: &impl ConnectionTrait,
    mapped: &Mapped,
    columns: &[&str],
    rows: impl Iterator<Item = &'a NewRow<'a>>,
    back: &ReadBack,
) -> Result<Vec<Stored>, StoreError> {
    let backend = db.get_database_backend();
    let mut cells: Vec<Option<&str>> = Vec::new();
    for row in rows {
        cells.push(Some(row.key.as_str()));
        cells.extend(row.values.iter().map(Option::as_deref));
    }
    let (source, values) = table(backend, 1, columns.len() + 1, &cells);
    let mut sets: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| format!("{} = {}", quote(column), cast(backend, &mapped.shape, column, at + 1)))
        .collect();
    sets.extend(touch::sets(backend, mapped));
    let key = mapped.key();
    let sql = format!(
        "UPDATE {} AS t SET {} FROM {source} WHERE t.{key} = {} RETURNING {}",
        mapped.shape.sql(),
        sets.join(", "),
        cast(backend, &mapped.shape, &mapped.spec.key, 0),
        back.selection(backend, mapped, columns, if backend == DbBackend::Postgres { "t." } else { "" })
    );
    all(db, &sql, values).await?.iter().map(|row| back.read(row)).collect()
}

/// Writes the CRM's id into the rows' own column, where the mapping has one and it is not there yet.
pub(crate) async fn set_remote_ids(
    db: &impl ConnectionTrait,
    mapped: &Mapped,
    pairs: &[(&str, &str)],
) -> Result<u64, StoreError> {
    let Some(column) = &mapped.spec.remote_id else { return Ok(0) };
    if pairs.is_empty() {
        return Ok(0);
    }
    let backend = db.get_database_backend();
    let cells: Vec<Option<&str>> = pairs.iter().flat_map(|(key, id)| [Some(*key), Some(*id)]).collect();
    let (source, values) = table(backend, 1, 2, &cells);
    let value = cast(backend, &mapped.shape, column, 1);
    let column = quote(column);
    let differs = if backend == DbBackend::Postgres { "IS DISTINCT FROM" } else { "IS NOT" };
    let where_differs = format!("t.{column} {differs} {value}");
    run(db, &set_column(backend, mapped, &source, &format!("{column} = {value}"), &where_differs), values).await
}

/// Deletes rows in one statement; the keys of those that were there.
pub(crate) async fn delete<'a>(
    db: &impl ConnectionTrait,
    mapped: &Mapped,
    keys: impl Iterator<Item = &'a str>,
) -> Result<Vec<RowKey>, StoreError> {
    let backend = db.get_database_backend();
    let (key, text) = (mapped.key(), if backend == DbBackend::Postgres { "text" } else { "TEXT" });
    let sql = format!(
        "DELETE FROM {} WHERE {key} {} RETURNING CAST({key} AS {text})",
        mapped.shape.sql(),
        in_list(backend, 1, mapped.key_type())
    );
    all(db, &sql, vec![list(backend, keys)]).await?.iter().map(|row| Ok(RowKey(get(row, 0)?))).collect()
}

/// Sets the column that marks a row as deleted, where it is not set already, and says what it holds now.
pub(crate) async fn mark<'a>(
    db: &impl ConnectionTrait,
    mapped: &Mapped,
    column: &str,
    mark: &Mark,
    keys: impl Iterator<Item = &'a str>,
) -> Result<Vec<(RowKey, String)>, StoreError> {
    let backend = db.get_database_backend();
    let (key, text) = (mapped.key(), if backend == DbBackend::Postgres { "text" } else { "TEXT" });
    let (quoted, sql_type) = (quote(column), mapped.shape.type_of(column));
    let mut values = vec![list(backend, keys)];
    let value = match (mark, backend) {
        (Mark::Now, DbBackend::Postgres) => format!("CURRENT_TIMESTAMP::{sql_type}"),
        (Mark::Now, _) => "CURRENT_TIMESTAMP".to_owned(),
        (Mark::Text(word), _) => {
            values.push(word.as_str().into());
            if backend == DbBackend::Postgres { format!("$2::text::{sql_type}") } else { "$2".to_owned() }
        }
    };
    // A row the order system has marked itself keeps its mark.
    let unmarked = match mark {
        Mark::Now => format!("{quoted} IS NULL"),
        Mark::Text(_) if backend == DbBackend::Postgres => format!("{quoted} IS DISTINCT FROM {value}"),
        Mark::Text(_) => format!("{quoted} IS NOT {value}"),
    };
    let mut sets = vec![format!("{quoted} = {value}")];
    sets.extend(touch::sets(backend, mapped));
    let sql = format!(
        "UPDATE {} AS t SET {} WHERE {key} {} AND {unmarked} RETURNING CAST({key} AS {text}), CAST({quoted} AS {text})",
        mapped.shape.sql(),
        sets.join(", "),
        in_list(backend, 1, mapped.key_type())
    );
    all(db, &sql, values).await?.iter().map(|row| Ok((RowKey(get(row, 0)?), get(row, 1)?))).collect()
}

/// Takes the marks off that these links' rows got from us; a column that says something else by now is the order system's.
pub(crate) async fn unmark(db: &impl ConnectionTrait, mapped: &Mapped, column: &str, links: &[i64]) -> Result<u64, StoreError> {
    if links.is_empty() {
        return Ok(0);
    }
    let backend = db.get_database_backend();
    let text = if backend == DbBackend::Postgres { "text" } else { "TEXT" };
    let texts: Vec<String> = links.iter().map(i64::to_string).collect();
    let sql = format!(
        "SELECT row_key, mark FROM tidemark_link WHERE mark IS NOT NULL AND row_key IS NOT NULL AND id {} ORDER BY id LIMIT 5000",
        in_list(backend, 1, "bigint")
    );
    let marked = all(db, &sql, vec![list(backend, texts.iter().map(String::as_str))]).await?;
    let marked: Vec<(String, String)> =
        marked.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect::<Result<_, StoreError>>()?;
    let cells: Vec<Option<&str>> = marked.iter().flat_map(|(key, mark)| [Some(key.as_str()), Some(mark.as_str())]).collect();
    if cells.is_empty() {
        return Ok(0);
    }
    let (source, values) = table(backend, 1, 2, &cells);
    let column = quote(column);
    let is_ours = format!("CAST(t.{column} AS {text}) = v.c1");
    run(db, &set_column(backend, mapped, &source, &format!("{column} = NULL"), &is_ours), values).await
}

/// One column of the rows whose keys are the source's first; the application notices.
fn set_column(backend: DbBackend, mapped: &Mapped, source: &str, set: &str, only_where: &str) -> String {
    let mut sets = vec![set.to_owned()];
    sets.extend(touch::sets(backend, mapped));
    format!(
        "UPDATE {} AS t SET {} FROM {source} WHERE t.{} = {} AND {only_where}",
        mapped.shape.sql(),
        sets.join(", "),
        mapped.key(),
        cast(backend, &mapped.shape, &mapped.spec.key, 0)
    )
}

/// Column `c{at}` of the source as the column's own type.
fn cast(backend: DbBackend, shape: &TableShape, column: &str, at: usize) -> String {
    let sql_type = shape.type_of(column);
    match backend {
        DbBackend::Postgres if sql_type == "text" => format!("v.c{at}"),
        DbBackend::Postgres => format!("v.c{at}::{sql_type}"),
        // A foreign key or unique index compares by affinity, and so does a join: give an integer column an integer.
        _ if sql_type.to_ascii_uppercase().contains("BOOL") => {
            format!("(CASE v.c{at} WHEN 'true' THEN 1 WHEN 'false' THEN 0 ELSE v.c{at} END)")
        }
        _ => format!("v.c{at}"),
    }
}
