//! What an order table looks like: columns, types, keys and rights as the database's catalogue tells them. Never alters anything.

use tidemark_core::fit::{self, ColumnKind};
use tidemark_core::spec::{InboundDelete, StreamSpec, TableName};

use crate::dialect::quote;
use crate::query::{all, get, scalar};
use crate::{Store, StoreError};

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// As the database writes it: `character varying(80)`, `INTEGER`.
    pub sql_type: String,
    pub nullable: bool,
    /// The expression a new row gets, if any.
    pub default: Option<String>,
    /// Computed by the database: never written.
    pub generated: bool,
    /// Alone in a unique or primary key index.
    pub unique: bool,
}

/// Where the key of a new row comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewKey {
    /// An expression of the database, such as `nextval('…')` or `gen_random_uuid()`.
    Expression(String),
    /// One above the highest that was ever used here (SQLite rowid).
    NextInteger,
    /// A random UUID made here.
    Uuid,
    /// The mapping cannot insert.
    None,
}

impl NewKey {
    /// The sequence that hands keys out, as SQL names it.
    pub fn sequence(&self) -> Option<&str> {
        match self {
            Self::Expression(expression) => expression.strip_prefix("nextval('")?.split('\'').next(),
            Self::NextInteger | Self::Uuid | Self::None => None,
        }
    }
}

/// A table of the order system, mapped or about to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableShape {
    pub table: TableName,
    pub columns: Vec<Column>,
    pub new_key: NewKey,
    /// An identity column that refuses explicit values unless told.
    pub overriding: bool,
    /// A view: no triggers, no row locks.
    pub is_view: bool,
    /// Its partitions and theirs: a statement that names one wakes none of the whole's triggers.
    pub partitions: Vec<TableName>,
}

impl TableShape {
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The qualified, quoted name.
    pub fn sql(&self) -> String {
        match &self.table.schema {
            Some(schema) => format!("{}.{}", quote(schema), quote(&self.table.name)),
            None => format!("main.{}", quote(&self.table.name)),
        }
    }

    /// The same of the table and each of its partitions.
    pub(crate) fn relations(&self) -> impl Iterator<Item = (&TableName, String)> {
        std::iter::once(&self.table).chain(&self.partitions).map(|table| match &table.schema {
            Some(schema) => (table, format!("{}.{}", quote(schema), quote(&table.name))),
            None => (table, format!("main.{}", quote(&table.name))),
        })
    }

    /// The name the change log uses.
    pub fn log_name(&self) -> String {
        self.table.to_string()
    }

    /// What to do about a column that is not there: the one that was probably meant, else what there is.
    pub fn near(&self, wanted: &str) -> String {
        let folded = |name: &str| name.to_lowercase().replace('_', "");
        match self.columns.iter().find(|column| folded(&column.name) == folded(wanted)) {
            Some(column) => format!("did you mean {}?", column.name),
            None => format!("it has {}", self.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")),
        }
    }

    /// What a column holds, and how it is written: SQLite gives a boolean as 1 and 0.
    pub fn kind(&self, column: &Column) -> ColumnKind {
        match fit::column_kind(&column.sql_type) {
            ColumnKind::Bool if self.table.schema.is_none() => ColumnKind::Flag,
            kind => kind,
        }
    }

    pub(crate) fn type_of(&self, column: &str) -> &str {
        self.column(column).map_or("text", |column| column.sql_type.as_str())
    }
}

impl Store {
    /// The table as this database qualifies it: PostgreSQL adds the schema of the orders, SQLite has none.
    pub fn qualify(&self, table: &TableName) -> TableName {
        match (&table.schema, self.is_postgres()) {
            (_, false) => TableName { schema: None, name: table.name.clone() },
            (None, true) => TableName { schema: Some(self.orders_schema.clone()), name: table.name.clone() },
            (Some(_), true) => table.clone(),
        }
    }
}

/// Reads a table's shape; `None` when there is no such table or view. `key` is the column the mapping takes as the key.
pub async fn find(store: &Store, table: &TableName, key: &str) -> Result<Option<TableShape>, StoreError> {
    let table = store.qualify(table);
    let shape =
        if store.is_postgres() { find_postgres(store, table, key).await? } else { find_sqlite(store, table, key).await? };
    Ok(shape.filter(|shape| !shape.columns.is_empty()))
}

/// The table of a stream, proved to have every column the mapping names. Without one of them each statement of ours would fail, and a trigger that names it would
/// fail the shop's own (SQLite) or lose its changes (PostgreSQL).
pub async fn load(store: &Store, spec: &StreamSpec) -> Result<TableShape, StoreError> {
    let shape = find(store, &spec.table, &spec.key).await?.ok_or_else(|| StoreError::Missing {
        what: format!("table {}", store.qualify(&spec.table)),
        remedy: format!("correct `table` of {}, or `database.orders_schema`", spec.name),
    })?;
    match spec.read_columns().into_iter().find(|column| shape.column(column).is_none()) {
        None => Ok(shape),
        Some(column) => Err(StoreError::Missing {
            what: format!("column {column} of {}, which {} maps,", shape.table, spec.name),
            remedy: format!("{} Correct the mapping, or add the column", shape.near(column)),
        }),
    }
}

/// A table and all that is below it, by the catalogue alone: a name rather than `regclass`, which needs a right on the schema and fails when the table is gone.
pub(crate) const WHOLE: &str = "whole(oid, depth) AS (
        SELECT c.oid, 0 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2
        UNION ALL SELECT i.inhrelid, whole.depth + 1 FROM pg_inherits i JOIN whole ON whole.oid = i.inhparent)";

/// Foreign tables among them have triggers of another kind, and are written elsewhere.
fn below() -> String {
    format!(
        "WITH RECURSIVE {WHOLE} SELECT n.nspname::text, c.relname::text FROM whole JOIN pg_class c ON c.oid = whole.oid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE whole.depth > 0 AND c.relispartition AND c.relkind IN ('r', 'p') ORDER BY 1, 2"
    )
}

async fn find_postgres(store: &Store, table: TableName, key: &str) -> Result<Option<TableShape>, StoreError> {
    let names = || vec![table.schema.clone().into(), table.name.clone().into()];
    let mut partitions = Vec::new();
    for row in all(&store.db, &below(), names()).await? {
        partitions.push(TableName { schema: Some(get(&row, 0)?), name: get(&row, 1)? });
    }
    let names = names();
    // The catalogue alone, which needs no right: `check` names a missing one rather than failing for it.
    let sql = "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attgenerated <> '',
            EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum AND i.indpred IS NULL),
            a.attidentity::text, c.relkind IN ('v', 'm'),
            (SELECT quote_ident(sn.nspname) || '.' || quote_ident(s.relname) FROM pg_depend u JOIN pg_class s ON s.oid = u.objid AND s.relkind = 'S' JOIN pg_namespace sn ON sn.oid = s.relnamespace
                WHERE u.classid = 'pg_class'::regclass AND u.refclassid = 'pg_class'::regclass AND u.refobjid = c.oid AND u.refobjsubid = a.attnum AND u.deptype IN ('a', 'i') LIMIT 1)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
    let mut shape =
        TableShape { table, columns: Vec::new(), new_key: NewKey::None, overriding: false, is_view: false, partitions };
    for row in all(&store.db, sql, names).await? {
        let name: String = get(&row, 0)?;
        let (identity, sequence): (String, Option<String>) = (get(&row, 6)?, get(&row, 8)?);
        let column = Column {
            sql_type: get(&row, 1)?,
            nullable: get(&row, 2)?,
            default: get(&row, 3)?,
            generated: get(&row, 4)?,
            unique: get(&row, 5)?,
            name,
        };
        shape.is_view = get(&row, 7)?;
        if column.name == key {
            shape.overriding = identity == "a";
            shape.new_key = match (&sequence, &column.default, column.sql_type.as_str()) {
                (Some(sequence), _, _) => NewKey::Expression(format!("nextval({})", crate::dialect::literal(sequence))),
                (None, Some(default), _) => NewKey::Expression(default.clone()),
                (None, None, "uuid") => NewKey::Expression("gen_random_uuid()".to_owned()),
                (None, None, kind) if kind == "text" || kind.starts_with("character varying") => NewKey::Uuid,
                (None, None, _) => NewKey::None,
            };
        }
        let has_value = !identity.is_empty();
        shape.columns.push(Column { default: column.default.or_else(|| has_value.then(|| "identity".to_owned())), ..column });
    }
    Ok(Some(shape))
}

async fn find_sqlite(store: &Store, table: TableName, key: &str) -> Result<Option<TableShape>, StoreError> {
    let name = vec![table.name.clone().into()];
    let kind = "SELECT count(*) FROM sqlite_master WHERE name = $1 AND type = 'view'";
    let is_view = scalar::<i64>(&store.db, kind, name.clone()).await? > 0;
    let unique =
        "SELECT ii.name FROM pragma_index_list($1) il, pragma_index_info(il.name) ii WHERE il.\"unique\" = 1 AND il.partial = 0
        GROUP BY il.name HAVING count(*) = 1";
    let mut uniques: Vec<String> = Vec::new();
    for row in all(&store.db, unique, name.clone()).await? {
        uniques.extend(get::<Option<String>>(&row, 0)?);
    }
    let partitions = Vec::new();
    let mut shape = TableShape { table, columns: Vec::new(), new_key: NewKey::None, overriding: false, is_view, partitions };
    let sql = "SELECT name, type, \"notnull\", dflt_value, hidden, pk, (SELECT count(*) FROM pragma_table_xinfo($1) k WHERE k.pk > 0) FROM pragma_table_xinfo($1)";
    for row in all(&store.db, sql, name).await? {
        let (column, sql_type): (String, String) = (get(&row, 0)?, get(&row, 1)?);
        let (not_null, default, hidden): (i64, Option<String>, i64) = (get(&row, 2)?, get(&row, 3)?, get(&row, 4)?);
        let sole_key = get::<i64>(&row, 5)? > 0 && get::<i64>(&row, 6)? == 1;
        let upper = sql_type.to_ascii_uppercase();
        if column == key {
            shape.new_key = match (&default, upper.as_str()) {
                (_, "INTEGER") if sole_key => NewKey::NextInteger,
                (Some(default), _) => NewKey::Expression(format!("({default})")),
                (None, kind) if kind.contains("CHAR") || kind.contains("TEXT") || kind == "UUID" => NewKey::Uuid,
                (None, kind) if kind.contains("INT") => NewKey::NextInteger,
                (None, _) => NewKey::None,
            };
        }
        shape.columns.push(Column {
            nullable: not_null == 0 && !sole_key,
            default: default.or_else(|| (sole_key && upper == "INTEGER").then(|| "rowid".to_owned())),
            generated: hidden > 1,
            unique: sole_key || uniques.contains(&column),
            name: column,
            sql_type,
        });
    }
    Ok(Some(shape))
}

/// A right the present role lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingRight {
    /// `UPDATE (company) on public.customers`.
    pub words: String,
    /// Needed to install capture, not to work.
    pub only_to_install: bool,
}

/// What the present role may not do and the mapping needs, the same list that `capture::grants` grants; empty when all is well. On SQLite the file's owner may
/// everything. Asked by the catalogue's numbers, because a name cannot be looked up in a schema that may not be used.
pub async fn missing_rights(store: &Store, spec: &StreamSpec, shape: &TableShape) -> Result<Vec<MissingRight>, StoreError> {
    if !store.is_postgres() {
        return Ok(Vec::new());
    }
    let (schema, table) = (shape.table.schema.clone().unwrap_or_default(), shape.table.name.clone());
    let of_table = |right: &str| {
        format!(
            "SELECT {right} FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2"
        )
    };
    let place = vec![schema.clone().into(), table.into()];
    let mut missing = Vec::new();
    if !scalar::<bool>(&store.db, &of_table("has_schema_privilege(n.oid, 'USAGE')"), place.clone()).await? {
        missing.push(MissingRight { words: format!("USAGE on schema {schema}"), only_to_install: false });
    }
    let rights = [("SELECT", spec.read_columns()), ("UPDATE", spec.updated_columns()), ("INSERT", spec.inserted_columns())];
    for (right, columns) in rights {
        let mut refused = Vec::new();
        for column in columns.into_iter().filter(|column| shape.column(column).is_some()) {
            let sql = of_table("has_column_privilege(c.oid, $3, $4)");
            let mut values = place.clone();
            values.extend([column.into(), right.into()]);
            if !scalar::<bool>(&store.db, &sql, values).await? {
                refused.push(column);
            }
        }
        if !refused.is_empty() {
            let words = format!("{right} ({}) on {}", refused.join(", "), shape.table);
            missing.push(MissingRight { words, only_to_install: false });
        }
    }
    if let Some(sequence) = shape.new_key.sequence().filter(|_| !spec.inserted_columns().is_empty()) {
        // CASE, because has_sequence_privilege fails for whatever is no sequence and nothing else says in which order conditions are asked.
        let sql = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE CASE c.relkind WHEN 'S' THEN NOT has_sequence_privilege(c.oid, 'USAGE') ELSE false END
            AND (quote_ident(n.nspname) || '.' || quote_ident(c.relname) = $1 OR (quote_ident(c.relname) = $1 AND pg_table_is_visible(c.oid)))";
        if scalar::<i64>(&store.db, sql, vec![sequence.into()]).await? > 0 {
            missing.push(MissingRight { words: format!("USAGE on sequence {sequence}"), only_to_install: false });
        }
    }
    if spec.deletes.inbound == InboundDelete::Delete
        && !scalar::<bool>(&store.db, &of_table("has_table_privilege(c.oid, 'DELETE')"), place.clone()).await?
    {
        missing.push(MissingRight { words: format!("DELETE on {}", shape.table), only_to_install: false });
    }
    for (table, _) in shape.relations().filter(|_| !shape.is_view) {
        let place = vec![table.schema.clone().unwrap_or_default().into(), table.name.clone().into()];
        if !scalar::<bool>(&store.db, &of_table("has_table_privilege(c.oid, 'TRIGGER')"), place).await? {
            missing.push(MissingRight { words: format!("TRIGGER on {table}"), only_to_install: true });
        }
    }
    Ok(missing)
}

/// How many rows the catalogue believes the table has; exact on SQLite.
pub async fn estimate(store: &Store, shape: &TableShape) -> Result<i64, StoreError> {
    if store.is_postgres() {
        let guess: i64 = scalar(
            &store.db,
            "SELECT GREATEST(reltuples, -1)::bigint FROM pg_class WHERE oid = $1::regclass",
            vec![shape.sql().into()],
        )
        .await?;
        if guess >= 10_000 {
            return Ok(guess);
        }
    }
    scalar(&store.db, &format!("SELECT count(*) FROM {}", shape.sql()), vec![]).await
}
