//! The dashboard over a real socket, on SQLite and on PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails the test")]

mod acts;
mod machines;
mod pages;
mod seed;
mod site;
mod visitors;
mod webhooks;

/// Runs each law on both databases.
macro_rules! on_both_databases {
    ($($law:ident($token:expr);)*) => {
        mod on_sqlite {
            $(#[tokio::test] async fn $law() { super::$law(crate::site::on_sqlite($token).await).await; })*
        }
        mod on_postgres {
            $(#[tokio::test] async fn $law() { super::$law(crate::site::on_postgres($token).await).await; })*
        }
    };
}
pub(crate) use on_both_databases;
