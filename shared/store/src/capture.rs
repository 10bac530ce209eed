//! Capture: triggers that append to the change log inside the order system's own transactions. Plans, installs, verifies and removes them; nothing else alters an
//! order table.
//!
//! Captured are all columns the mapping reads for any purpose, compared inside the trigger. On PostgreSQL there is one statement-level trigger per event with
//! transition tables, running as its definer with a fixed search_path, so that the application's role needs no right on our tables; a failing capture is a warning,
//! never a failure of the shop. They pass over what we write ourselves ([`crate::terms`]). A statement that touches very many rows leaves one marker instead. On SQLite there is one row-level trigger per event.

use sea_orm::ConnectionTrait;
use tidemark_core::capture::Trigger;
use tidemark_core::spec::{InboundDelete, StreamSpec, TableName};

use crate::capture_state::{self, definition};
use crate::dialect::{literal, quote};
use crate::query::{get, one, run, scalar};
use crate::rows::Mapped;
use crate::shape::{TableShape, WHOLE};
use crate::terms::OWN;
use crate::{Store, StoreError, watch};

/// A statement that touches more rows than this leaves one marker, and the walk compares the whole table.
const BULK_ROWS: u32 = 10_000;

/// A mapped table with every stream over it.
#[derive(Debug, Clone)]
pub struct Captured {
    pub shape: TableShape,
    pub specs: Vec<StreamSpec>,
}

impl Captured {
    pub fn specs(&self) -> Vec<&StreamSpec> {
        self.specs.iter().collect()
    }
}

/// The mapped tables, each once.
pub fn tables(mapped: &[Mapped]) -> Vec<Captured> {
    let mut tables: Vec<Captured> = Vec::new();
    for one in mapped {
        match tables.iter_mut().find(|table| table.shape.table == one.shape.table) {
            Some(table) => table.specs.push(one.spec.clone()),
            None => tables.push(Captured { shape: one.shape.clone(), specs: vec![one.spec.clone()] }),
        }
    }
    tables
}

/// The statements that install capture on one table for these streams, in order.
pub fn plan(store: &Store, shape: &TableShape, specs: &[&StreamSpec]) -> Vec<String> {
    let Some(first) = specs.first() else { return Vec::new() };
    if shape.is_view {
        return Vec::new();
    }
    let columns = columns(specs);
    if store.is_postgres() { plan_postgres(store, shape, &first.key, &columns) } else { plan_sqlite(shape, &first.key, &columns) }
}

/// The schema in which a table's name alone is enough to name its triggers' functions.
const HOME: &str = "public";

/// The names of a table's triggers, and of their functions. PostgreSQL cuts names after 63 bytes, and names that were cut would be one; the functions of two tables of
/// one name stand in one schema, ours.
fn names(shape: &TableShape) -> [(&'static str, String); 4] {
    let TableName { schema, name: table } = &shape.table;
    let stem = match schema.as_deref() {
        None | Some(HOME) if table.len() <= 45 => table.clone(),
        None | Some(HOME) => format!("{}_{:08x}", &table[..table.floor_char_boundary(36)], hash(table) >> 32),
        Some(_) => format!("{}_{:08x}", &table[..table.floor_char_boundary(36)], hash(&shape.log_name()) >> 32),
    };
    let name = |event: &str| format!("tidemark_{stem}_{event}");
    [("INSERT", name("insert")), ("UPDATE", name("update")), ("DELETE", name("delete")), ("TRUNCATE", name("truncate"))]
}

/// Where our functions find what they name: nowhere that anybody else can put something.
pub(crate) const SEARCH_PATH: &str = "pg_catalog, pg_temp";

/// One trigger of PostgreSQL with its function, on whichever relation.
struct Piece {
    event: &'static str,
    name: String,
    /// `tgtype`: the event's bit.
    kind: u8,
    /// Transition tables: old, new.
    transition: [&'static str; 2],
    /// It passes over what we write ourselves.
    heard: bool,
    /// What stands between the function's dollar quotes.
    body: String,
}

fn pieces(store: &Store, shape: &TableShape, key: &str, columns: &[&str]) -> Vec<Piece> {
    let log = format!("{}.tidemark_change", quote(&store.schema));
    let (table_name, key) = (literal(&shape.log_name()), quote(key));
    let changed: Vec<String> =
        columns.iter().map(|column| format!("n.{0}::text IS DISTINCT FROM o.{0}::text", quote(column))).collect();
    let changed = if changed.is_empty() { "false".to_owned() } else { changed.join(" OR ") };
    let row = |op: &str, alias: &str| {
        format!(
            "INSERT INTO {log} (table_name, op, row_key, txid) SELECT {table_name}, '{op}', {alias}.{key}::text, txid_current()"
        )
    };
    let marker = format!("INSERT INTO {log} (table_name, op, txid) VALUES ({table_name}, 'M', txid_current())");
    let bodies = [
        format!("{} FROM new_rows n", row("I", "n")),
        format!(
            "{} FROM new_rows n JOIN old_rows o ON o.{key} = n.{key} WHERE {changed};\n      {} FROM old_rows o WHERE NOT EXISTS (SELECT 1 FROM new_rows n WHERE n.{key} = o.{key});\n      {} FROM new_rows n WHERE NOT EXISTS (SELECT 1 FROM old_rows o WHERE o.{key} = n.{key})",
            row("U", "n"),
            row("D", "o"),
            row("I", "n")
        ),
        format!("{} FROM old_rows o", row("D", "o")),
    ];
    // Bit of the event, transition tables: old, new; and the one that is counted.
    let kinds = [
        (4, ["", "new_rows"], "new_rows"),
        (16, ["old_rows", "new_rows"], "new_rows"),
        (8, ["old_rows", ""], "old_rows"),
        (32, ["", ""], ""),
    ];
    let mut pieces = Vec::new();
    for (at, ((event, name), (kind, transition, counted))) in names(shape).into_iter().zip(kinds).enumerate() {
        let body = match bodies.get(at) {
            Some(body) => format!(
                "IF (SELECT count(*) FROM (SELECT 1 FROM {counted} LIMIT {}) c) > {BULK_ROWS} THEN\n      {marker};\n    ELSE\n      {body};\n    END IF",
                BULK_ROWS + 1
            ),
            None => marker.clone(),
        };
        let body = format!(
            "\nBEGIN\n  BEGIN\n    {body};\n  EXCEPTION WHEN OTHERS THEN\n    RAISE WARNING 'tidemark: capture of % failed: %', {table_name}, SQLERRM;\n  END;\n  RETURN NULL;\nEND "
        );
        pieces.push(Piece { event, name, kind, transition, heard: event != "TRUNCATE", body });
    }
    pieces
}

fn plan_postgres(store: &Store, shape: &TableShape, key: &str, columns: &[&str]) -> Vec<String> {
    // Our own writes of the table: a transaction of ours that names it, outside any trigger.
    let table_name = literal(&shape.log_name());
    let heard = format!("WHEN (pg_trigger_depth() > 0 OR current_setting('{OWN}', true) IS DISTINCT FROM {table_name}) ");
    let mut statements = Vec::new();
    for piece in pieces(store, shape, key, columns) {
        let function = format!("{}.{}", quote(&store.schema), quote(&piece.name));
        statements.push(format!(
            "CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = {SEARCH_PATH} AS $tidemark${}$tidemark$",
            piece.body
        ));
        let [old, new] = piece.transition;
        let table = |what: &str, name: &str| if name.is_empty() { String::new() } else { format!("{what} TABLE AS {name} ") };
        let referencing = match format!("{}{}", table("OLD", old), table("NEW", new)) {
            tables if tables.is_empty() => tables,
            tables => format!("REFERENCING {tables}"),
        };
        let heard = if piece.heard { heard.as_str() } else { "" };
        for (_, relation) in shape.relations() {
            statements.push(format!(
                "CREATE OR REPLACE TRIGGER {} AFTER {} ON {relation} {referencing}FOR EACH STATEMENT {heard}EXECUTE FUNCTION {function}()",
                quote(&piece.name),
                piece.event
            ));
        }
    }
    statements
}

/// The triggers that ought to be there, as the catalogue shows them when they are.
pub(crate) fn expected(store: &Store, shape: &TableShape, specs: &[&StreamSpec]) -> Vec<Trigger> {
    let Some(first) = specs.first().filter(|_| !shape.is_view) else { return Vec::new() };
    let columns = columns(specs);
    let trigger = |table: &TableName, name: &str, definition: String| Trigger {
        table: table.clone(),
        is_partition: *table != shape.table,
        name: name.to_owned(),
        definition,
        enabled: true,
    };
    if store.is_postgres() {
        let pieces = pieces(store, shape, &first.key, &columns);
        let on = |table: &TableName| -> Vec<Trigger> {
            let of = |piece: &Piece| definition(piece.kind, piece.transition, piece.heard, &piece.name, &piece.body);
            pieces.iter().map(|piece| trigger(table, &piece.name, of(piece))).collect()
        };
        return shape.relations().flat_map(|(table, _)| on(table)).collect();
    }
    let made = triggers_sqlite(shape, &first.key, &columns);
    made.into_iter().map(|(name, statement)| trigger(&shape.table, &name, statement)).collect()
}

/// Every column the mapping reads for any purpose.
fn columns<'a>(specs: &[&'a StreamSpec]) -> Vec<&'a str> {
    let mut columns: Vec<&str> = specs.iter().flat_map(|spec| spec.distinct_columns()).collect();
    columns.sort_unstable();
    columns.dedup();
    columns
}

fn plan_sqlite(shape: &TableShape, key: &str, columns: &[&str]) -> Vec<String> {
    let made = triggers_sqlite(shape, key, columns);
    let drop = made.iter().map(|(name, _)| format!("DROP TRIGGER IF EXISTS {}", quote(name)));
    drop.chain(made.iter().map(|(_, statement)| statement.clone())).collect()
}

/// Each trigger with the statement that makes it, which is what the catalogue keeps of it.
fn triggers_sqlite(shape: &TableShape, key: &str, columns: &[&str]) -> Vec<(String, String)> {
    let (table, table_name, key) = (quote(&shape.table.name), literal(&shape.log_name()), quote(key));
    let row = |op: &str, side: &str| {
        format!(
            "INSERT INTO tidemark_change (table_name, op, row_key) VALUES ({table_name}, '{op}', CAST({side}.{key} AS TEXT));"
        )
    };
    let changed: Vec<String> = columns.iter().map(|column| format!("NEW.{0} IS NOT OLD.{0}", quote(column))).collect();
    let changed = if changed.is_empty() { "0".to_owned() } else { changed.join(" OR ") };
    let [(_, insert), (_, update), (_, delete), _] = names(shape);
    let rekey = format!("{update}_key");
    let made = |name: String, rest: String| {
        let statement = format!("CREATE TRIGGER {} AFTER {rest} END", quote(&name));
        (name, statement)
    };
    vec![
        made(insert, format!("INSERT ON {table} BEGIN {}", row("I", "NEW"))),
        made(update, format!("UPDATE ON {table} WHEN NEW.{key} IS OLD.{key} AND ({changed}) BEGIN {}", row("U", "NEW"))),
        made(rekey, format!("UPDATE ON {table} WHEN NEW.{key} IS NOT OLD.{key} BEGIN {} {}", row("D", "OLD"), row("I", "NEW"))),
        made(delete, format!("DELETE ON {table} BEGIN {}", row("D", "OLD"))),
    ]
}

/// Installs capture in one transaction; installing again replaces it. Where a trigger had been missing, nobody knows since when: every row is compared once.
pub async fn apply(store: &Store, shape: &TableShape, specs: &[&StreamSpec]) -> Result<(), StoreError> {
    let old = renamed(store, shape).await?;
    let was_missing = verify(store, shape, specs).await? == Standing::Missing || !old.is_empty();
    let tx = store.begin().await?;
    // What is dropped comes first: it needs the strongest lock, and nobody may come between.
    for statement in old.iter().chain(&plan(store, shape, specs)) {
        tx.execute_unprepared(statement).await?;
    }
    if was_missing {
        watch::installed_again(&tx, shape).await?;
    }
    tx.commit().await?;
    remember(store, shape, specs).await
}

/// Drops what an earlier version installed on this table under other names: each change would be noted twice, perhaps as another table's.
pub async fn renamed(store: &Store, shape: &TableShape) -> Result<Vec<String>, StoreError> {
    if !store.is_postgres() {
        return Ok(Vec::new());
    }
    let ours = names(shape);
    let installed = capture_state::installed(store).await?.into_iter();
    let old = installed.filter(|found| {
        shape.relations().any(|(table, _)| *table == found.table) && !ours.iter().any(|(_, name)| *name == found.name)
    });
    Ok(old.map(|old| capture_state::drop(store, &old.table, &old.name)).collect())
}

/// What was installed, so that a changed mapping is noticed.
async fn remember(store: &Store, shape: &TableShape, specs: &[&StreamSpec]) -> Result<(), StoreError> {
    let sql = "INSERT INTO tidemark_meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    run(&store.db, sql, vec![format!("capture {}", shape.log_name()).into(), fingerprint(store, shape, specs).into()]).await?;
    Ok(())
}

fn fingerprint(store: &Store, shape: &TableShape, specs: &[&StreamSpec]) -> String {
    let text = plan(store, shape, specs).join("\n");
    // Only equality matters.
    format!("{:016x}", hash(&text))
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// How many triggers a captured table has, on either database.
const TRIGGERS: i64 = 4;

/// How capture stands on a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Installed,
    /// Installed for another mapping, or by another version.
    Outdated,
    /// One or more triggers are not there, or disabled.
    Missing,
    /// A view cannot be captured; the walk finds its changes.
    NotPossible,
}

/// Verifies capture by the catalogue.
pub async fn verify(store: &Store, shape: &TableShape, specs: &[&StreamSpec]) -> Result<Standing, StoreError> {
    if shape.is_view {
        return Ok(Standing::NotPossible);
    }
    if fewest_triggers(store, shape).await? < TRIGGERS {
        return Ok(Standing::Missing);
    }
    let known =
        one(&store.db, "SELECT value FROM tidemark_meta WHERE name = $1", vec![format!("capture {}", shape.log_name()).into()])
            .await?;
    let known: Option<String> = known.map(|row| get(&row, 0)).transpose()?;
    Ok(if known == Some(fingerprint(store, shape, specs)) { Standing::Installed } else { Standing::Outdated })
}

/// How many triggers of ours wake on a table; where it has partitions, on that which has the fewest: one that was made since has none.
async fn fewest_triggers(store: &Store, shape: &TableShape) -> Result<i64, StoreError> {
    let name = shape.table.name.clone().into();
    if !store.is_postgres() {
        let sql = "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND tbl_name = $1 AND name LIKE 'tidemark\\_%' ESCAPE '\\'";
        return scalar(&store.db, sql, vec![name]).await;
    }
    let sql = format!(
        "WITH RECURSIVE {WHOLE} SELECT COALESCE(min(there), 0) FROM (
            SELECT (SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = whole.oid AND t.tgname LIKE 'tidemark\\_%' AND t.tgenabled IN ('O', 'A')) AS there
            FROM whole JOIN pg_class c ON c.oid = whole.oid WHERE whole.depth = 0 OR c.relispartition AND c.relkind IN ('r', 'p')) relation"
    );
    scalar(&store.db, &sql, vec![shape.table.schema.clone().into(), name]).await
}

/// The grants Tidemark's own role needs on PostgreSQL, for the order database's administrator to read and run.
pub fn grants(store: &Store, shape: &TableShape, spec: &StreamSpec, role: &str) -> Vec<String> {
    if !store.is_postgres() {
        return Vec::new();
    }
    let (role, table) = (quote(role), shape.sql());
    let columns = |names: Vec<&str>| names.into_iter().map(quote).collect::<Vec<_>>().join(", ");
    let mut grants = vec![format!("GRANT SELECT ({}) ON {table} TO {role}", columns(spec.read_columns()))];
    if let Some(schema) = &shape.table.schema {
        grants.insert(0, format!("GRANT USAGE ON SCHEMA {} TO {role}", quote(schema)));
    }
    for (right, names) in [("UPDATE", spec.updated_columns()), ("INSERT", spec.inserted_columns())] {
        if !names.is_empty() {
            grants.push(format!("GRANT {right} ({}) ON {table} TO {role}", columns(names)));
        }
    }
    if spec.deletes.inbound == InboundDelete::Delete {
        grants.push(format!("GRANT DELETE ON {table} TO {role}"));
    }
    if let Some(sequence) = shape.new_key.sequence().filter(|_| !spec.inserted_columns().is_empty()) {
        grants.push(format!("GRANT USAGE ON SEQUENCE {sequence} TO {role}"));
    }
    if !shape.is_view {
        grants.extend(shape.relations().map(|(_, relation)| format!("GRANT TRIGGER ON {relation} TO {role}")));
    }
    grants
}
