//! The capture triggers as the catalogue shows them, and how they are taken away. What is wrong with them is decided in `core::capture`; `capture` installs them.

use sea_orm::{ConnectionTrait, QueryResult};
use tidemark_core::capture::{Finding, Trigger, Wrong, judge};
use tidemark_core::spec::TableName;
use tidemark_core::window::millis;

use crate::acts::{self, By};
use crate::capture::{self, Captured, SEARCH_PATH, Standing};
use crate::dialect::{literal, quote};
use crate::query::{all, get};
use crate::terms::OWN;
use crate::{Store, StoreError, watch};

/// Every trigger of ours in the database, whatever table it is on.
pub async fn installed(store: &Store) -> Result<Vec<Trigger>, StoreError> {
    let (sql, values) = if store.is_postgres() {
        // A trigger is ours when its function is. The mark of our own writes is looked for in what the server makes of the condition.
        let sql = format!(
            "SELECT n.nspname::text, c.relname::text, t.tgname::text, c.relispartition, t.tgenabled IN ('O', 'A'),
                t.tgtype::int::text || '|' || COALESCE(t.tgoldtable::text, '') || '|' || COALESCE(t.tgnewtable::text, '')
                || '|' || CASE WHEN t.tgqual IS NULL THEN 'all' WHEN strpos(pg_get_triggerdef(t.oid), {}) > 0 AND strpos(pg_get_triggerdef(t.oid), 'pg_trigger_depth() > 0') > 0 THEN 'heard' ELSE 'other' END
                || '|' || p.prosecdef::int::text || '|' || COALESCE(array_to_string(p.proconfig, ','), '') || '|' || p.proname::text || '|' || p.prosrc
             FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
             JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace f ON f.oid = p.pronamespace
             WHERE NOT t.tgisinternal AND f.nspname = $1 AND p.proname LIKE 'tidemark\\_%' ORDER BY 1, 2, 3",
            literal(&format!("'{OWN}'"))
        );
        (sql, vec![store.schema.clone().into()])
    } else {
        let sql = "SELECT NULL, tbl_name, name, 0, 1, sql FROM sqlite_master
            WHERE type = 'trigger' AND name LIKE 'tidemark\\_%' ESCAPE '\\' AND sql LIKE '%INSERT INTO tidemark_change %' ORDER BY 2, 3";
        (sql.to_owned(), vec![])
    };
    let yes = |row: &QueryResult, at: usize| -> Result<bool, StoreError> {
        if store.is_postgres() { get(row, at) } else { Ok(get::<i64>(row, at)? == 1) }
    };
    let read = |row: &QueryResult| {
        Ok(Trigger {
            table: TableName { schema: get(row, 0)?, name: get(row, 1)? },
            is_partition: yes(row, 3)?,
            name: get(row, 2)?,
            definition: get(row, 5)?,
            enabled: yes(row, 4)?,
        })
    };
    all(&store.db, &sql, values).await?.iter().map(read).collect()
}

/// The same text for a trigger that ought to be there.
pub(crate) fn definition(kind: u8, [old, new]: [&str; 2], heard: bool, function: &str, body: &str) -> String {
    let heard = if heard { "heard" } else { "all" };
    format!("{kind}|{old}|{new}|{heard}|1|search_path={SEARCH_PATH}|{function}|{body}")
}

/// What is wrong with capture on these tables, and what of it is left over elsewhere.
pub async fn inspect(store: &Store, tables: &[Captured]) -> Result<Vec<Finding>, StoreError> {
    let expected: Vec<Trigger> = tables.iter().flat_map(|table| capture::expected(store, &table.shape, &table.specs())).collect();
    Ok(judge(&expected, &installed(store).await?))
}

/// What puts capture right where something is wrong with it, table by table; empty when all is well.
pub fn repair(store: &Store, tables: &[Captured], findings: &[Finding]) -> Vec<String> {
    let leftover = findings.iter().filter(|finding| finding.wrong == Wrong::LeftOver);
    let mut statements: Vec<String> = leftover.map(|finding| drop(store, &finding.table, &finding.trigger)).collect();
    for table in tables.iter().filter(|table| concerns(table, findings)) {
        statements.extend(capture::plan(store, &table.shape, &table.specs()));
    }
    statements
}

fn concerns(table: &Captured, findings: &[Finding]) -> bool {
    let of_it = |finding: &&Finding| finding.table == table.shape.table || table.shape.partitions.contains(&finding.table);
    findings.iter().filter(|finding| finding.wrong != Wrong::LeftOver).any(|finding| of_it(&finding))
}

/// Installs capture where something is wrong with it, and takes away what is left over.
pub async fn put_right(store: &Store, tables: &[Captured], findings: &[Finding]) -> Result<(), StoreError> {
    for finding in findings.iter().filter(|finding| finding.wrong == Wrong::LeftOver) {
        let tx = store.begin().await?;
        tx.execute_unprepared(&drop(store, &finding.table, &finding.trigger)).await?;
        tx.commit().await?;
    }
    for table in tables.iter().filter(|table| concerns(table, findings)) {
        capture::apply(store, &table.shape, &table.specs()).await?;
    }
    Ok(())
}

/// The statement that drops one trigger.
pub(crate) fn drop(store: &Store, table: &TableName, trigger: &str) -> String {
    let trigger = quote(trigger);
    match &table.schema {
        Some(schema) if store.is_postgres() => {
            format!("DROP TRIGGER IF EXISTS {trigger} ON {}.{}", quote(schema), quote(&table.name))
        }
        _ => format!("DROP TRIGGER IF EXISTS {trigger}"),
    }
}

/// Takes every trigger away, table by table so that no transaction holds two of the order system's tables, and notes that the rows are to be compared from now on.
/// Returns what was taken away.
pub async fn remove(store: &Store, tables: &[Captured], by: By<'_>) -> Result<Vec<Trigger>, StoreError> {
    let installed = installed(store).await?;
    let mut places: Vec<&TableName> = installed.iter().map(|trigger| &trigger.table).collect();
    places.dedup();
    for place in places {
        let tx = store.begin().await?;
        for trigger in installed.iter().filter(|trigger| trigger.table == *place) {
            tx.execute_unprepared(&drop(store, place, &trigger.name)).await?;
        }
        acts::record_in(&tx, by.who, "remove capture", &format!("table {place}"), by.reason).await?;
        tx.commit().await?;
    }
    let tx = store.begin().await?;
    for function in functions(store).await? {
        tx.execute_unprepared(&format!("DROP FUNCTION IF EXISTS {function}()")).await?;
    }
    tx.commit().await?;
    for table in tables.iter().filter(|table| !table.shape.is_view) {
        let walk_every = table.specs.iter().map(|spec| millis(spec.poll.settled_every)).min().unwrap_or_default();
        watch::note(store, &table.shape, Standing::Missing, walk_every).await?;
    }
    Ok(installed)
}

/// Our trigger functions, quoted.
pub(crate) async fn functions(store: &Store) -> Result<Vec<String>, StoreError> {
    if !store.is_postgres() {
        return Ok(Vec::new());
    }
    let sql = "SELECT p.proname::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = $1 AND p.proname LIKE 'tidemark\\_%' AND p.prorettype = 'pg_catalog.trigger'::regtype ORDER BY 1";
    let rows = all(&store.db, sql, vec![store.schema.clone().into()]).await?;
    rows.iter().map(|row| Ok(format!("{}.{}", quote(&store.schema), quote(&get::<String>(row, 0)?)))).collect()
}
