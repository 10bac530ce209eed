//! A rig for tests of behaviour: the real store on a database of its own, the real worker, the practice CRM over HTTP. Work is done when a test says so, in the
//! order it says, so that every interleaving can be named.

pub mod backup;
mod configuration;
pub mod conformance;
mod database;
pub mod deadline;
pub mod everything;
pub mod hook_rig;
pub mod house;
pub mod outside;
pub mod processes;
pub mod redis;
mod rig;
mod role;
mod rounds;
pub mod simulation;
pub mod vendor;

pub use configuration::ONLY_READS;
pub use database::{Keys, Kind, OrderDatabase, connect};
pub use rig::{Otherwise, Rig, Setup, TOKEN};
pub use role::Role;

/// Runs one test body on SQLite and on PostgreSQL.
#[macro_export]
macro_rules! on_both_databases {
    ($($(#[$meta:meta])* async fn $name:ident($kind:ident) $body:block)*) => {
        $(mod $name {
            use super::*;

            async fn body($kind: $crate::Kind) -> eyre::Result<()> $body

            $(#[$meta])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() -> eyre::Result<()> {
                body($crate::Kind::Sqlite).await
            }

            $(#[$meta])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() -> eyre::Result<()> {
                body($crate::Kind::Postgres).await
            }
        })*
    };
}
