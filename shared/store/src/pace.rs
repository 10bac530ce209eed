//! Whose clock and dice the house goes by, and whose turn it is. In service the database's clock, the system's dice, and everybody at once; a simulation drives all three.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sea_orm::DbBackend;
use tidemark_core::Millis;

/// Held while a statement, a transaction or a call is under way; the next turn may be given when it is dropped.
pub type Turn = Box<dyn Any + Send + Sync>;

/// Drives a simulation: one thing happens at a time, in the order its seed gives.
pub trait Driver: Send + Sync + std::fmt::Debug {
    fn now(&self) -> Millis;
    /// An SQL expression for `now`, always the same text.
    fn now_sql(&self) -> &'static str;
    /// Uniform in `[0, 1)`.
    fn dice(&self) -> f64;
    /// Waits until it may go on.
    fn turn(&self, what: &'static str) -> BoxFuture<'static, Turn>;
    /// Waits until the clock stands at this moment or later.
    fn until(&self, moment: Millis) -> BoxFuture<'static, ()>;
}

/// How the house is paced.
#[derive(Debug, Clone, Default)]
pub enum Pace {
    #[default]
    Free,
    Driven(Arc<dyn Driver>),
}

impl Pace {
    /// This process's clock: for the CRM's time and for measuring, never for leases.
    pub fn now(&self) -> Millis {
        match self {
            Self::Free => chrono::Utc::now().timestamp_millis(),
            Self::Driven(driver) => driver.now(),
        }
    }

    /// Uniform in `[0, 1)`.
    pub fn dice(&self) -> f64 {
        match self {
            Self::Free => rand::random(),
            Self::Driven(driver) => driver.dice(),
        }
    }

    pub async fn sleep(&self, time: Duration) {
        match self {
            Self::Free => tokio::time::sleep(time).await,
            Self::Driven(driver) => driver.until(driver.now() + tidemark_core::window::millis(time)).await,
        }
    }

    /// Waits for its turn; in service it is always everybody's.
    pub async fn turn(&self, what: &'static str) -> Option<Turn> {
        match self {
            Self::Free => None,
            Self::Driven(driver) => Some(driver.turn(what).await),
        }
    }

    /// The database's clock in milliseconds, as SQL.
    pub(crate) fn now_sql(&self, backend: DbBackend) -> &'static str {
        match (self, backend) {
            (Self::Driven(driver), _) => driver.now_sql(),
            (Self::Free, DbBackend::Postgres) => "((extract(epoch from clock_timestamp()) * 1000)::bigint)",
            (Self::Free, _) => "(CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER))",
        }
    }
}
