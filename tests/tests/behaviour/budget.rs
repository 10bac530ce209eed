//! Two workers book at the same time: no rate and no day is ever passed.

use std::sync::Arc;

use tidemark_core::source::Bucket;
use tidemark_store::budget::{Grant, Purse, Rate, book};
use tidemark_store::{Store, StoreConfig};
use tidemark_tests::{OrderDatabase, on_both_databases};
use tokio::sync::Barrier;

/// Two stores over one database, with one connection that runs.
async fn stores(db: &OrderDatabase) -> eyre::Result<[Store; 2]> {
    let config = StoreConfig { url: db.url.clone(), schema: "tidemark".into(), orders_schema: "public".into(), pool_max: 8 };
    let (one, other) = (Store::connect(&config).await?, Store::connect(&config).await?);
    one.migrate().await?;
    db.run(&format!("INSERT INTO {} (name, connector) VALUES ('hubspot', 'hubspot')", db.own("tidemark_connection"))).await?;
    Ok([one, other])
}

/// `tasks` tasks, half on each store, book `each` calls from the buckets in turn, all at once. What they got.
async fn book_at_once(
    stores: &[Store; 2],
    tasks: usize,
    each: usize,
    buckets: &'static [Bucket],
    rate: Rate,
) -> eyre::Result<Vec<(Bucket, Grant)>> {
    let start = Arc::new(Barrier::new(tasks));
    let mut booking = Vec::new();
    for task in 0..tasks {
        let (store, start) = (stores[task % 2].clone(), Arc::clone(&start));
        booking.push(tokio::spawn(async move {
            start.wait().await;
            let mut grants = Vec::new();
            while grants.len() < each {
                let bucket = buckets[(task + grants.len()) % buckets.len()];
                match book(&store, "hubspot", Purse::Of(bucket), rate).await? {
                    // The row is being made: ask again.
                    Grant::Busy { wait: 1 } => {}
                    grant => grants.push((bucket, grant)),
                }
            }
            eyre::Ok(grants)
        }));
    }
    let mut all = Vec::new();
    for task in booking {
        all.extend(task.await??);
    }
    Ok(all)
}

on_both_databases! {
    async fn a_day_is_spent_once_whatever_the_calls_are(kind) {
        let db = OrderDatabase::create(kind).await?;
        let stores = stores(&db).await?;
        let rate = Rate { per_second: 10_000.0, burst: 1_000, per_day: Some(50), wait_max: 60_000 };
        let grants = book_at_once(&stores, 8, 15, &[Bucket::General, Bucket::Search], rate).await?;
        let slots = grants.iter().filter(|(_, grant)| matches!(grant, Grant::Slot { .. })).count();
        let spent = grants.iter().filter(|(_, grant)| matches!(grant, Grant::DaySpent { .. })).count();
        assert_eq!((slots, spent), (50, 70), "{grants:?}");
        // The next day begins at nought.
        db.run(&format!("UPDATE {} SET day = day - 1", db.own("tidemark_budget"))).await?;
        assert!(matches!(book(&stores[1], "hubspot", Purse::Of(Bucket::Search), rate).await?, Grant::Slot { .. }));
        Ok(())
    }

    async fn each_bucket_has_a_rate_of_its_own_that_all_workers_share(kind) {
        let db = OrderDatabase::create(kind).await?;
        let stores = stores(&db).await?;
        // 100 ms between two calls, three at once after a quiet time.
        let rate = Rate { per_second: 10.0, burst: 3, per_day: None, wait_max: 60_000 };
        let begun = stores[0].now().await?;
        let grants = book_at_once(&stores, 8, 10, &[Bucket::General, Bucket::Search], rate).await?;
        let ended = stores[0].now().await?;
        for bucket in [Bucket::General, Bucket::Search] {
            let waits = grants.iter().filter(|(one, _)| *one == bucket).map(|(_, grant)| match grant {
                Grant::Slot { wait, .. } => Ok(*wait),
                other => Err(eyre::eyre!("{other:?}")),
            });
            let waits = waits.collect::<eyre::Result<Vec<_>>>()?;
            assert_eq!(waits.len(), 40);
            // Forty calls: three at once, then one each 100 ms. The last is no sooner than that, and a rate shared by nobody else makes it no later.
            let last = waits.iter().copied().max().unwrap_or_default();
            assert!(ended + last >= begun + 37 * 100, "{bucket:?}: the last call of 40 starts {last} ms after it was booked");
            assert!(last <= 39 * 100, "{bucket:?}: {last} ms");
            // No two calls share a slot, so that no span holds more than the rate and the burst.
            let mut moments: Vec<i64> = waits;
            moments.sort_unstable();
            let at_once = moments.iter().filter(|wait| **wait == 0).count();
            let passed = usize::try_from((ended - begun) / 100)?;
            assert!(at_once <= 3 + passed + 1, "{bucket:?}: {at_once} calls at once");
        }
        Ok(())
    }
}
