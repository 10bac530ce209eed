//! Debts that wait for a parent: a push for the record of the row it refers to, a read for the row of the record it refers to. The parent's own link frees them.
//!
//! The code of such a debt names what it waits for: `contacts:7` the record of row 7, `contacts:record 5` the row of record 5.

use sea_orm::ConnectionTrait;
use tidemark_core::Millis;
use tidemark_core::page::Parent;
use tidemark_core::record::{RemoteId, unlinked};
use tidemark_core::spec::StreamSpec;

use crate::debts::Kind;
use crate::dialect::{in_list, list, table};
use crate::query::{get, one, run};
use crate::{Store, StoreError};

/// A record whose parent got no row is read again this often: it may refer to another by now.
const RECHECK_MS: Millis = 3_600_000;

/// Owes reads of these records, each for when its parent has a row. One that is parked stays parked.
pub(crate) async fn wait(db: &impl ConnectionTrait, stream: i64, waiting: &[(RemoteId, Parent)]) -> Result<(), StoreError> {
    if waiting.is_empty() {
        return Ok(());
    }
    let words = |parent: &Parent| {
        let cause = format!("waits until record {} of {} has a row", parent.record, parent.object);
        (format!("{}:{}", parent.object, unlinked(&parent.record)), cause)
    };
    let words: Vec<(String, String)> = waiting.iter().map(|(_, parent)| words(parent)).collect();
    let mut lines: Vec<(&str, &str, &str)> =
        waiting.iter().zip(&words).map(|((id, _), (code, cause))| (id.as_str(), code.as_str(), cause.as_str())).collect();
    lines.sort_unstable();
    lines.dedup_by_key(|line| line.0);
    let cells: Vec<Option<&str>> = lines.iter().flat_map(|(id, code, cause)| [Some(*id), Some(*code), Some(*cause)]).collect();
    let (source, mut values) = table(db.get_database_backend(), 4, 3, &cells);
    values.splice(0..0, [stream.into(), Kind::Read.word().into(), RECHECK_MS.into()]);
    let sql = format!(
        "INSERT INTO tidemark_debt (stream_id, kind, subject, state, class, code, cause, due_at)
         SELECT $1, $2, v.c0, 'parent', 'parent', v.c1, v.c2, {{now}} + $3 FROM {source} WHERE true ORDER BY v.c0
         ON CONFLICT (stream_id, kind, subject) DO UPDATE SET generation = tidemark_debt.generation + 1, class = excluded.class, code = excluded.code,
             cause = excluded.cause, state = 'parent', due_at = excluded.due_at WHERE tidemark_debt.state <> 'parked'"
    );
    run(db, &sql, values).await?;
    Ok(())
}

/// Frees what waits for these rows, or for these records, of an object.
pub(crate) async fn free(
    db: &impl ConnectionTrait,
    parent: &StreamSpec,
    rows: &[&str],
    records: &[&str],
) -> Result<u64, StoreError> {
    let object = &parent.object;
    let rows = rows.iter().map(|row| format!("{object}:{row}"));
    let codes: Vec<String> =
        rows.chain(records.iter().map(|record| format!("{object}:{}", unlinked(&RemoteId::new(*record))))).collect();
    if codes.is_empty() {
        return Ok(0);
    }
    let sql = format!(
        "UPDATE tidemark_debt SET state = 'waiting', due_at = {{now}} WHERE state = 'parent' AND code {}
         AND stream_id IN (SELECT id FROM tidemark_stream WHERE connection = $2)",
        in_list(db.get_database_backend(), 1, "text")
    );
    let codes = list(db.get_database_backend(), codes.iter().map(String::as_str));
    run(db, &sql, vec![codes, parent.connection.as_str().into()]).await
}

/// Frees children whose parent was linked while they were being told to wait: neither transaction saw the other, so somebody has to look again. Cheap when nobody
/// waits.
pub async fn free_linked(store: &Store) -> Result<u64, StoreError> {
    // The code begins with the object and a colon, for a record with one word more.
    let linked = |column: &str, before: usize| {
        format!(
            "EXISTS (SELECT 1 FROM tidemark_stream child JOIN tidemark_stream parent ON parent.connection = child.connection
                JOIN tidemark_link l ON l.stream_id = parent.id AND l.{column} = substr(tidemark_debt.code, length(parent.object) + {})
                WHERE child.id = tidemark_debt.stream_id AND tidemark_debt.code LIKE parent.object || ':%' AND l.state = 'linked')",
            before + 2
        )
    };
    let sql = format!(
        "UPDATE tidemark_debt SET state = 'waiting', due_at = {{now}} WHERE state = 'parent' AND lease_until IS NULL
           AND (kind = 'push' AND {} OR kind = 'read' AND {})",
        linked("row_key", 0),
        linked("remote_id", unlinked(&RemoteId::new("")).len())
    );
    run(&store.db, &sql, vec![]).await
}

/// The object and row a push waits for, if it waits for its parent.
pub async fn parent_of(store: &Store, stream: i64, subject: &str) -> Result<Option<(String, String)>, StoreError> {
    let sql = "SELECT code FROM tidemark_debt WHERE stream_id = $1 AND kind = 'push' AND subject = $2 AND state = 'parent'";
    let Some(row) = one(&store.db, sql, vec![stream.into(), subject.into()]).await? else { return Ok(None) };
    let code: Option<String> = get(&row, 0)?;
    Ok(code.and_then(|code| code.split_once(':').map(|(object, row)| (object.to_owned(), row.to_owned()))))
}
