//! All that both sides hold at one moment, so that two moments can be compared to the last letter: whole tables, whole listings, the change log's sequence.

use serde_json::Value;

use crate::database::{Kind, OrderDatabase};
use crate::rig::Rig;

const TABLES: [&str; 2] = ["customers", "orders"];
const OBJECTS: [&str; 2] = ["contacts", "deals"];

/// Compared with `==`; its debug form shows where two moments part.
#[derive(Debug, PartialEq, Eq)]
pub struct Everything {
    /// Row by row, every column. On PostgreSQL with the transaction that wrote it and its place, so that even a write of the same values shows.
    rows: Vec<Vec<Vec<Option<String>>>>,
    /// The CRM's listings as they came over HTTP: archived records, stamps and associations too.
    listings: Vec<Value>,
    /// The last number the change log gave out: a row that was captured and cleared again moves it.
    log: Option<String>,
    /// Records the CRM wrote for callers of its API.
    writes: u64,
    /// Statements that changed a row, counted by triggers of the order system (SQLite only; see `count_writes`).
    written: Option<i64>,
}

impl Everything {
    pub async fn of(rig: &Rig) -> eyre::Result<Self> {
        let mut rows = Vec::new();
        for table in TABLES {
            rows.push(rig.db.rows(&whole(&rig.db, table).await?).await?);
        }
        let mut listings = Vec::new();
        for object in OBJECTS {
            let url = format!("{}/sandbox/records/{object}", rig.crm.base_url());
            listings.push(reqwest::get(url).await?.error_for_status()?.json().await?);
        }
        let log = match rig.db.kind {
            Kind::Sqlite => "SELECT CAST(seq AS TEXT) FROM sqlite_sequence WHERE name = 'tidemark_change'",
            Kind::Postgres => "SELECT CAST(last_value AS TEXT) FROM tidemark.tidemark_change_id_seq",
        };
        let written = if rig.db.kind == Kind::Sqlite { Some(rig.db.count("written").await?) } else { None };
        Ok(Self { rows, listings, log: rig.db.one(log).await?, writes: rig.crm.crm().counters().writes, written })
    }

    /// Every record of both kinds carries the stamp by which a silent write would show.
    pub fn is_stamped(&self) -> bool {
        let stamped = |record: &Value| record["modified_at"].as_str().is_some_and(|stamp| !stamp.is_empty());
        self.listings.iter().all(|listing| listing.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(stamped)))
    }
}

/// SQLite keeps no version of a row: triggers of the order system's own count every write, whatever it changed.
pub async fn count_writes(db: &OrderDatabase) -> eyre::Result<()> {
    if db.kind == Kind::Postgres {
        return Ok(());
    }
    db.run("CREATE TABLE written (row_key TEXT)").await?;
    for table in TABLES {
        for (event, side) in [("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")] {
            let name = format!("count_{table}_{event}");
            db.run(&format!("CREATE TRIGGER {name} AFTER {event} ON {table} BEGIN INSERT INTO written VALUES ({side}.id); END"))
                .await?;
        }
    }
    Ok(())
}

async fn whole(db: &OrderDatabase, table: &str) -> eyre::Result<String> {
    if db.kind == Kind::Postgres {
        return Ok(format!("SELECT CAST(xmin AS TEXT), CAST(ctid AS TEXT), CAST(t AS TEXT) FROM {table} t ORDER BY id"));
    }
    let columns = db.rows(&format!("SELECT name FROM pragma_table_info('{table}') ORDER BY cid")).await?;
    let columns: Vec<String> = columns.into_iter().flatten().flatten().map(|name| format!("quote({name})")).collect();
    Ok(format!("SELECT {} FROM {table} ORDER BY id", columns.join(", ")))
}
