//! A backup of the order database and its restore, as a tool does it: every table, ours and the shop's, is put back to what it was in one transaction, sequences as well, and
//! no trigger hears of it.

use crate::database::{Kind, OrderDatabase};

/// What was copied.
#[derive(Debug)]
pub struct Backup {
    tables: Vec<String>,
    /// PostgreSQL's sequences with where they stood.
    sequences: Vec<(String, String)>,
}

pub(crate) const SHOP: [&str; 2] = ["customers", "orders"];

/// Tables of ours on SQLite, but for the one that says which migrations have run.
pub(crate) const OURS_ON_SQLITE: &str = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'tidemark!_%' ESCAPE '!' AND name <> 'tidemark_migration' ORDER BY name";

impl Backup {
    pub async fn of(db: &OrderDatabase) -> eyre::Result<Self> {
        let catalogue = match db.kind {
            Kind::Sqlite => OURS_ON_SQLITE,
            Kind::Postgres => {
                "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = 'tidemark' AND tablename <> 'tidemark_migration'"
            }
        };
        let mut tables: Vec<String> = SHOP.map(str::to_owned).into();
        tables.extend(db.rows(catalogue).await?.into_iter().flatten().flatten().map(|table| db.own(&table)));
        let mut sequences = Vec::new();
        if db.kind == Kind::Sqlite {
            tables.push("sqlite_sequence".to_owned());
        } else {
            let sql = "SELECT quote_ident(schemaname) || '.' || quote_ident(sequencename), CAST(COALESCE(last_value, 0) AS TEXT) FROM pg_sequences";
            for row in db.rows(sql).await? {
                let [Some(name), Some(at)] = row.as_slice() else { continue };
                sequences.push((name.clone(), at.clone()));
            }
        }
        db.run(&format!("BEGIN; {}; COMMIT", copied(&tables))).await?;
        Ok(Self { tables, sequences })
    }

    pub async fn restore(&self, db: &OrderDatabase) -> eyre::Result<()> {
        let silence = match db.kind {
            Kind::Sqlite => "PRAGMA defer_foreign_keys = ON",
            Kind::Postgres => "SET LOCAL session_replication_role = replica",
        };
        let sequences = self.sequences.iter().map(|(name, at)| match at.as_str() {
            "0" => format!("ALTER SEQUENCE {name} RESTART"),
            at => format!("SELECT setval('{name}', {at})"),
        });
        let statements: Vec<String> = std::iter::once(filled(&self.tables)).chain(sequences).collect();
        db.run(&format!("BEGIN; {silence}; {}; COMMIT", statements.join("; "))).await
    }
}

/// What copies these tables beside themselves; a copy of before goes.
pub(crate) fn copied(tables: &[String]) -> String {
    let copies = tables.iter().map(|table| {
        let copy = copy(table);
        format!("DROP TABLE IF EXISTS {copy}; CREATE TABLE {copy} AS SELECT * FROM {table}")
    });
    copies.collect::<Vec<_>>().join("; ")
}

/// What fills them from their copies. The change log comes after the shop's tables: what SQLite's triggers note of the restore goes with it.
pub(crate) fn filled(tables: &[String]) -> String {
    let empty = tables.iter().rev().map(|table| format!("DELETE FROM {table}"));
    let fill = tables
        .iter()
        .flat_map(|table| [format!("DELETE FROM {table}"), format!("INSERT INTO {table} SELECT * FROM {}", copy(table))]);
    empty.chain(fill).collect::<Vec<_>>().join("; ")
}

fn copy(table: &str) -> String {
    format!("backup_{}", table.replace('.', "_"))
}
