//! Serves the dashboard over made-up data, to look at it: `cargo run -p tidemark-scheduler --example dashboard -- storm`, or `calm`, `empty`, `dead`.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use tidemark_core::spec::Direction;
use tidemark_scheduler::http::{AppState, HttpConfig, serve};
use tokio_util::sync::CancellationToken;

#[path = "../tests/dashboard/seed.rs"]
mod seed;

#[tokio::main]
async fn main() {
    let weather = std::env::args().nth(1).unwrap_or_else(|| "storm".into());
    let folder = tempfile::tempdir().expect("a folder for the database");
    let (store, db) = seed::open(&format!("sqlite://{}?mode=rwc", folder.path().join("orders.db").display())).await;
    let now = store.now().await.expect("the database's clock");
    seed::run(&db, "CREATE TABLE companies (id INTEGER PRIMARY KEY, name TEXT)").await;
    if weather != "empty" {
        seed::calm(&db, now).await;
        seed::history(&db, now).await;
        seed::lineage(&db, now).await;
    }
    if weather == "storm" {
        seed::storm(&db, now).await;
        seed::recorded(&db, now).await;
    }
    if weather == "dead" {
        seed::run(&db, "DELETE FROM tidemark_worker").await;
    }
    let mut specs = seed::specs();
    specs.push(seed::spec("hubspot", "companies", "companies", Direction::Both));
    specs.push(seed::spec("pipedrive", "persons", "customers", Direction::In));
    let state = AppState {
        store: store.clone(),
        queue_depth: Arc::new(|| Box::pin(async { Some((3, 2)) })),
        specs: Arc::new(specs),
        webhooks: Arc::default(),
        last_tick: Arc::new(AtomicI64::new(0)),
    };
    let beats = tokio::spawn(async move {
        if weather == "dead" || weather == "empty" {
            return;
        }
        loop {
            for (name, kind) in [("shop-1-worker", "worker"), ("shop-1-scheduler", "scheduler")] {
                tidemark_store::workers::beat(&store, name, kind).await.expect("a heartbeat");
            }
            tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        }
    });
    let listen = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8699".into()).parse().expect("an address and a port");
    serve(HttpConfig { listen, token: None }, state, CancellationToken::new()).await.expect("the server runs");
    beats.abort();
}
