//! What is remembered: every query and every transaction of Tidemark, on PostgreSQL and on SQLite.
//!
//! One function per transaction, opened here and nowhere else; no network call inside one. The same SQL text serves both databases wherever it can; what differs
//! (clock, lists, row locks, catalogues) is named in [`dialect`]. Order tables are read and written in their columns' text form and are always qualified.

pub mod acts;
pub mod aliases;
pub mod arrivals;
pub mod brakes;
pub mod budget;
pub mod callouts;
pub mod capture;
pub mod capture_state;
pub mod changes;
pub mod children;
pub mod conflicts;
pub mod connections;
pub mod credentials;
pub mod debts;
pub mod deliveries;
pub mod described;
mod dialect;
pub mod environment;
pub mod erased;
pub mod erasure;
pub mod gone;
pub mod holds;
pub mod known;
pub mod leases;
pub mod lineage;
pub mod links;
pub mod overview;
mod owing;
pub mod pace;
pub mod page;
mod page_brakes;
mod page_rows;
pub mod push;
mod query;
pub mod recordings;
pub mod registration;
pub mod rehearsal;
pub mod reliability;
pub mod rewind;
mod row_writes;
pub mod rows;
mod session;
pub mod settle;
mod settled_links;
mod settlement;
pub mod shape;
pub mod streams;
pub mod sweeps;
mod terms;
mod touch;
pub mod unfit;
pub mod uninstall;
pub mod walk;
pub mod watch;
pub mod why;
pub mod windows;
pub mod workers;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DbBackend, DbErr};

pub use query::StoreError;

use pace::Pace;
use session::{Db, Tx};

/// How to reach the order database.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// `postgres://…` or `sqlite://file`; may hold a password, so it is never logged.
    pub url: String,
    /// Schema of the `tidemark_*` tables (PostgreSQL).
    pub schema: String,
    /// Schema of order tables written without one (PostgreSQL).
    pub orders_schema: String,
    pub pool_max: u32,
}

/// Our own tables first, then whatever the role or the database has set: a trigger of the order system runs in our sessions too and finds there what it finds in any other.
fn search_path(config: &StoreConfig) -> String {
    let ours = format!("{}, {}, ", dialect::quote(&config.schema), dialect::quote(&config.orders_schema));
    format!("SELECT set_config('search_path', {} || current_setting('search_path'), false)", dialect::literal(&ours))
}

/// The order database, with Tidemark's own tables in it.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) db: Db,
    pub(crate) schema: String,
    pub(crate) orders_schema: String,
    /// The most beats this process has seen of the database: one that stands below is older than that, and nothing is sent from it or
    /// taken into it.
    pub(crate) seen: Arc<AtomicI64>,
}

impl Store {
    /// Connects and proves that the database answers. A SQLite file is created when missing only if the URL says `mode=rwc`.
    pub async fn connect(config: &StoreConfig) -> Result<Self, StoreError> {
        Self::paced(config, Pace::Free).await
    }

    /// The same, by the clock and the turns of a simulation.
    pub async fn paced(config: &StoreConfig, pace: Pace) -> Result<Self, StoreError> {
        let mut options = ConnectOptions::new(&config.url);
        options
            .max_connections(config.pool_max)
            .acquire_timeout(Duration::from_secs(10))
            .connect_timeout(Duration::from_secs(5))
            .sqlx_logging(false)
            .test_before_acquire(false)
            .set_application_name("tidemark");
        if config.url.starts_with("postgres") {
            let path = search_path(config);
            options.map_sqlx_postgres_pool_opts(move |pool| {
                let path = path.clone();
                pool.after_connect(move |connection, _| {
                    let path = path.clone();
                    Box::pin(async move {
                        sea_orm::sqlx::Executor::execute(connection, sea_orm::sqlx::AssertSqlSafe(path)).await.map(|_| ())
                    })
                })
            });
            options.map_sqlx_postgres_opts(|options| options.options([("timezone", "UTC"), ("datestyle", "ISO")]));
        } else {
            options.map_sqlx_sqlite_opts(|options| options.busy_timeout(Duration::from_secs(15)).pragma("cache_size", "-8000"));
        }
        let db = Database::connect(options).await.map_err(|error| StoreError::unreachable(&config.url, error))?;
        let db = Db { inner: db, pace };
        let store = Self { db, schema: config.schema.clone(), orders_schema: config.orders_schema.clone(), seen: Arc::default() };
        store.now().await?;
        Ok(store)
    }

    pub fn is_postgres(&self) -> bool {
        self.db.get_database_backend() == DbBackend::Postgres
    }

    /// The database's clock, milliseconds.
    pub async fn now(&self) -> Result<i64, StoreError> {
        query::scalar(&self.db, "SELECT {now}", vec![]).await
    }

    /// Makes or updates Tidemark's own tables.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        use tidemark_migrations::Migrator;
        if self.is_postgres() {
            // Asked first: making a schema needs a right on the database even where the schema is there.
            let there = "SELECT count(*) FROM pg_namespace WHERE nspname = $1";
            if query::scalar::<i64>(&self.db, there, vec![self.schema.clone().into()]).await? == 0 {
                self.db.execute_unprepared(&format!("CREATE SCHEMA {}", dialect::quote(&self.schema))).await?;
            }
        }
        <Migrator as sea_orm_migration::MigratorTrait>::up(&self.db.inner, None).await?;
        Ok(())
    }

    /// True when the tables are there and up to date.
    pub async fn is_migrated(&self) -> Result<bool, StoreError> {
        let migrations = <tidemark_migrations::Migrator as sea_orm_migration::MigratorTrait>::migrations().len();
        let table = if self.is_postgres() {
            query::scalar::<i64>(
                &self.db,
                "SELECT count(*) FROM pg_tables WHERE schemaname = $1 AND tablename = 'tidemark_migration'",
                vec![self.schema.clone().into()],
            )
            .await?
        } else {
            query::scalar::<i64>(
                &self.db,
                "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'tidemark_migration'",
                vec![],
            )
            .await?
        };
        Ok(table == 1
            && query::scalar::<i64>(&self.db, "SELECT count(*) FROM tidemark_migration", vec![]).await?
                >= i64::try_from(migrations).unwrap_or(0))
    }

    /// Every transaction begins here.
    pub(crate) async fn begin(&self) -> Result<Tx, StoreError> {
        self.db.begin().await
    }

    pub fn pace(&self) -> &Pace {
        &self.db.pace
    }

    /// Closes the pool; what is under way fails.
    pub async fn close(self) -> Result<(), DbErr> {
        self.db.inner.close().await
    }
}
