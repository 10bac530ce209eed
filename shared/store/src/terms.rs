//! On what terms a transaction writes an order table: whether capture passes over what we write ourselves, and which columns keep a text just as it was sent. Asked
//! before the first write, proved after the last one, when the lock on the table holds both still. Writes nothing.
//!
//! On PostgreSQL a transaction names the table it is about to write in a setting that ends with it, and the capture triggers of that table pass over a statement that
//! comes neither from a trigger nor under another table's name. So what the shop's own triggers and cascades change meanwhile is logged, in this table and in others.
//! A rule over the table itself could not be told from us, and triggers of an older version do not ask: there everything is logged, and our own echo is taken out of the log.

use std::collections::HashSet;

use sea_orm::{ConnectionTrait, DbBackend};

use crate::StoreError;
use crate::query::{get, one, scalar};
use crate::rows::Mapped;

/// The setting that names the table a transaction writes.
pub(crate) const OWN: &str = "tidemark.own";

/// What holds while a transaction writes one table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Capture passes over our own statements.
    pub(crate) unlogged: bool,
    /// The database may make something else of a row than what was written, in any of its columns.
    pub(crate) alters: bool,
    /// Columns of plain text that no trigger can alter: what is stored is what was sent, and need not be read back.
    pub(crate) verbatim: HashSet<String>,
    /// The change log's last id before the first write.
    pub(crate) mark: i64,
}

/// `tgtype` has a bit each: 1 row, 2 before, 4 insert, 8 delete, 16 update. A rule, a partition, a child or a foreign table may make of a value what it likes.
const FACTS: &str = "SELECT NOT c.relhasrules AND NOT EXISTS (SELECT FROM pg_trigger t
        WHERE t.tgrelid = c.oid AND t.tgname LIKE 'tidemark\\_%' AND t.tgtype & 28 <> 0 AND t.tgqual IS NULL) AS unlogged,
    NOT x.plain AS alters,
    CASE WHEN x.plain THEN (SELECT string_agg(a.attname, E'\\x1F' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
            AND NOT a.attisdropped AND a.atttypid IN ('pg_catalog.text'::regtype, 'pg_catalog.varchar'::regtype) AND a.atttypmod = -1)
    END AS verbatim
    FROM pg_class c CROSS JOIN LATERAL (SELECT c.relkind = 'r' AND NOT c.relhasrules AND NOT c.relhassubclass AND NOT EXISTS (
        SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgtype & 3 = 3) AS plain) x
    WHERE c.oid = $1::text::regclass";

/// Asks, and says to the table's capture triggers that we are the ones who write it from here on.
pub(crate) async fn ask(db: &impl ConnectionTrait, mapped: &Mapped) -> Result<Terms, StoreError> {
    if db.get_database_backend() != DbBackend::Postgres {
        let sql = "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'tidemark_change'), 0)";
        return Ok(Terms { mark: scalar(db, sql, vec![]).await?, ..Terms::default() });
    }
    // A sequence read is not transactional: rows logged from here on have higher ids, whoever writes them.
    let sql = format!(
        "SELECT f.unlogged, f.alters, f.verbatim, l.last_value - 1, set_config('{OWN}', CASE WHEN f.unlogged THEN $2 ELSE '' END, true)
         FROM ({FACTS}) f, tidemark_change_id_seq l"
    );
    let row = one(db, &sql, vec![mapped.shape.sql().into(), mapped.shape.log_name().into()]).await?;
    let row = row.ok_or_else(|| moved(mapped))?;
    let verbatim = names(get::<Option<String>>(&row, 2)?.as_deref());
    Ok(Terms { unlogged: get(&row, 0)?, alters: get(&row, 1)?, verbatim, mark: get(&row, 3)? })
}

/// Fails, for the transaction to be tried again, if somebody altered the table between the asking and our first write.
pub(crate) async fn prove(db: &impl ConnectionTrait, mapped: &Mapped, terms: &Terms) -> Result<(), StoreError> {
    if db.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    let row = one(db, FACTS, vec![mapped.shape.sql().into()]).await?.ok_or_else(|| moved(mapped))?;
    let verbatim = names(get::<Option<String>>(&row, 2)?.as_deref());
    let holds = get::<bool>(&row, 0)? == terms.unlogged && get::<bool>(&row, 1)? == terms.alters && verbatim == terms.verbatim;
    if holds { Ok(()) } else { Err(moved(mapped)) }
}

fn names(list: Option<&str>) -> HashSet<String> {
    list.into_iter().flat_map(|list| list.split('\u{1f}')).map(str::to_owned).collect()
}

fn moved(mapped: &Mapped) -> StoreError {
    StoreError::Altered { table: mapped.shape.log_name() }
}
