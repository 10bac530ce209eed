//! Real processes on PostgreSQL and Redis, in the order that hurts. Nothing is lost and nothing is done twice.

use std::cell::Cell;
use std::time::Duration;

use eyre::OptionExt;
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_sandbox::Refusal;
use tidemark_tests::deadline::until;
use tidemark_tests::house::{House, PATIENCE};
use tidemark_tests::{Kind, Setup};

const ENV: [(&str, &str); 2] = [("TIDEMARK__WORKER__LEASE", "8s"), ("TIDEMARK__CONNECTIONS__HUBSPOT__CALL_DEADLINE", "3500ms")];
fn refused(refusal: &Refusal) -> eyre::Report {
    eyre::eyre!("{}", refusal.message())
}

/// A paused machine has whatever it had, locks too. The server takes them back, and the order system's people do not wait until somebody finds the machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_worker_that_stands_still_inside_a_transaction_loses_its_locks() -> eyre::Result<()> {
    let mut house = House::open(Kind::Postgres, Setup::default(), &ENV).await?;
    house.start("scheduler-1")?;
    house.start("worker-1")?;
    house.loaded().await?;
    // Each page of a window is one transaction; ours is caught in one, as often as it takes.
    let inside =
        "pg_stat_activity WHERE datname = current_database() AND application_name = 'tidemark' AND state = 'idle in transaction'
        AND EXISTS (SELECT 1 FROM pg_locks l WHERE l.pid = pg_stat_activity.pid AND l.mode = 'RowExclusiveLock')";
    let (rig, made) = (&house.rig, Cell::new(0));
    let worker = house.services.last().ok_or_eyre("no worker")?;
    let caught = until("the worker stands still inside a transaction", PATIENCE, async || {
        for _ in 0..20 {
            made.set(made.get() + 1);
            rig.crm
                .crm()
                .create(Contacts, &[("email", &format!("c{}@crm.test", made.get())), ("firstname", "C")])
                .map_err(|refusal| refused(&refusal))?;
        }
        worker.pause().await?;
        if rig.db.count(inside).await? > 0 {
            return Ok(Some(()));
        }
        worker.go_on().await?;
        Ok(None)
    });
    caught.await?;
    let freed = until("the server takes the locks back", Duration::from_secs(15), async || {
        Ok((rig.db.count(inside).await? == 0).then_some(()))
    });
    freed.await?;
    worker.go_on().await?;
    house.agreement().await?;
    assert_eq!(house.rig.db.count("customers").await?, made.get());
    Ok(())
}
