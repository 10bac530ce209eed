//! The model order system: people edit, create and delete rows through a connection of their own. Remembers every row as it last stood, so that whatever else changed one
//! is Tidemark's doing.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};

/// The shop has a trigger of its own: what changes a customer may change their orders in the same transaction.
pub(crate) const SCHEMA: &str = "
CREATE TABLE simulated_clock (now INTEGER NOT NULL);
INSERT INTO simulated_clock VALUES (0);
CREATE TABLE customers (id INTEGER PRIMARY KEY AUTOINCREMENT, tag TEXT, email TEXT, first_name TEXT, last_name TEXT, phone TEXT, company TEXT, confirmed TEXT,
    remote TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, number TEXT, customer_id INTEGER, status TEXT, total_cents INTEGER, remote TEXT);
CREATE TRIGGER shop AFTER UPDATE OF company ON customers BEGIN UPDATE orders SET total_cents = total_cents + 1 WHERE customer_id = NEW.id; END";

/// When a row changed is told by the simulated clock, as everything else.
pub(crate) const LOG_CLOCK: &str = "CREATE TRIGGER simulated_log AFTER INSERT ON tidemark_change
BEGIN UPDATE tidemark_change SET at = (SELECT now FROM simulated_clock) WHERE id = NEW.id; END";

/// Columns in the order they are read; the key comes first.
pub(crate) const CUSTOMER: [&str; 9] =
    ["id", "tag", "email", "first_name", "last_name", "phone", "company", "confirmed", "remote"];
pub(crate) const ORDER: [&str; 6] = ["id", "number", "customer_id", "status", "total_cents", "remote"];

pub(crate) type Cells = BTreeMap<&'static str, Option<String>>;
pub(crate) type Rows = BTreeMap<String, Cells>;

/// A cell that changed although no person changed it.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) key: String,
    pub(crate) column: &'static str,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

/// What Tidemark did to a table since it was last looked at.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) made: Vec<String>,
    pub(crate) changed: Vec<Change>,
    pub(crate) gone: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct OrderSystem {
    app: DatabaseConnection,
    pub(crate) customers: Rows,
    pub(crate) orders: Rows,
    /// Every value a customer's column ever had, whoever wrote it.
    pub(crate) ever: BTreeMap<(String, &'static str), BTreeSet<String>>,
    /// Who each row was, gone or not.
    tags: BTreeMap<String, String>,
}

impl OrderSystem {
    pub(crate) fn new(app: DatabaseConnection) -> Self {
        Self { app, customers: Rows::new(), orders: Rows::new(), ever: BTreeMap::new(), tags: BTreeMap::new() }
    }

    pub(crate) async fn run(&self, sql: &str) -> eyre::Result<()> {
        self.app.execute_unprepared(sql).await?;
        Ok(())
    }

    pub(crate) async fn texts(&self, sql: &str, width: usize) -> eyre::Result<Vec<Vec<Option<String>>>> {
        let rows = self.app.query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await?;
        let cells = |row: &sea_orm::QueryResult| {
            (0..width).map(|at| row.try_get_by_index::<Option<String>>(at)).collect::<Result<Vec<_>, _>>()
        };
        Ok(rows.iter().map(cells).collect::<Result<Vec<_>, _>>()?)
    }

    /// A person's statement: what it changes is remembered as theirs.
    pub(crate) async fn person(&mut self, sql: &str) -> eyre::Result<()> {
        self.run(sql).await?;
        self.look().await?;
        Ok(())
    }

    /// Reads both tables; what differs from what was remembered.
    pub(crate) async fn look(&mut self) -> eyre::Result<(Changes, Changes)> {
        let customers = self.read("customers", &CUSTOMER).await?;
        let orders = self.read("orders", &ORDER).await?;
        for (key, cells) in &customers {
            self.tags.insert(key.clone(), cells["tag"].clone().unwrap_or_default());
            for (column, value) in cells {
                if let Some(value) = value {
                    self.ever.entry((key.clone(), column)).or_default().insert(value.clone());
                }
            }
        }
        let changes = (difference(&self.customers, &customers), difference(&self.orders, &orders));
        (self.customers, self.orders) = (customers, orders);
        Ok(changes)
    }

    async fn read(&self, table: &str, columns: &[&'static str]) -> eyre::Result<Rows> {
        let list: Vec<String> = columns.iter().map(|column| format!("CAST({column} AS TEXT)")).collect();
        let rows = self.texts(&format!("SELECT {} FROM {table} ORDER BY id", list.join(", ")), columns.len()).await?;
        let row = |row: Vec<Option<String>>| {
            let key = row.first().cloned().flatten().unwrap_or_default();
            (key, columns.iter().copied().zip(row).collect())
        };
        Ok(rows.into_iter().map(row).collect())
    }

    /// Rows that stood for one person at any time.
    pub(crate) fn ever_tagged(&self, tag: &str) -> Vec<String> {
        self.tags.iter().filter(|(_, one)| *one == tag).map(|(key, _)| key.clone()).collect()
    }

    /// Live rows that stand for one person.
    pub(crate) fn tagged(&self, tag: &str) -> Vec<String> {
        self.customers.iter().filter(|(_, cells)| cells["tag"].as_deref() == Some(tag)).map(|(key, _)| key.clone()).collect()
    }
}

fn difference(before: &Rows, after: &Rows) -> Changes {
    let mut changes = Changes::default();
    for (key, cells) in after {
        let Some(known) = before.get(key) else {
            changes.made.push(key.clone());
            continue;
        };
        for (column, value) in cells {
            if known[column] != *value {
                changes.changed.push(Change { key: key.clone(), column, before: known[column].clone(), after: value.clone() });
            }
        }
    }
    changes.gone.extend(before.keys().filter(|key| !after.contains_key(*key)).cloned());
    changes
}

/// A text literal, or NULL.
pub(crate) fn sql(value: Option<&str>) -> String {
    value.map_or_else(|| "NULL".to_owned(), |text| format!("'{}'", text.replace('\'', "''")))
}
