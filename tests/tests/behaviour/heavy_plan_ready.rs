//! A new stream stands at "plan ready": processes run, and nothing is called, read or written for it until somebody says go.

use tidemark_sandbox::ObjectType::{Contacts, Deals};
use tidemark_tests::deadline::until;
use tidemark_tests::everything::{Everything, count_writes};
use tidemark_tests::house::{House, PATIENCE};
use tidemark_tests::{Kind, Setup, on_both_databases};

on_both_databases! {
    async fn heavy_nothing_happens_for_a_new_stream_until_somebody_says_go(kind) {
        let mut house = House::open(kind, Setup::default(), &[]).await?;
        let stream = house.rig.db.own("tidemark_stream");
        house.rig.db.run(&format!("UPDATE {stream} SET state = 'plan_ready'")).await?;
        house.rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', '2026-01-01 00:00:00')").await?;
        house.rig.db.run("INSERT INTO orders (number, customer_id, status, total_cents) VALUES ('R-1', 1, 'accepted', 100)").await?;
        let crm = house.rig.crm.crm();
        for (object, properties) in [(Contacts, [("email", "only@crm.test")]), (Deals, [("dealname", "R-1")])] {
            crm.create(object, &properties).map_err(|refusal| eyre::eyre!("{}", refusal.message()))?;
        }
        count_writes(&house.rig.db).await?;
        let progress = format!("SELECT name, state, CAST(ticks AS TEXT), CAST(poll_owed_at AS TEXT), CAST(fast_until AS TEXT), CAST(settled_until AS TEXT), CAST(loaded_at AS TEXT) FROM {stream} ORDER BY id");
        let stands = house.rig.db.rows(&progress).await?;
        let (before, calls) = (Everything::of(&house.rig).await?, crm.calls().len());
        // A queue file is for one process; over Redis they are two.
        let processes: &[&str] = if kind == Kind::Postgres { &["scheduler-1", "worker-1"] } else { &["up-1"] };
        for name in processes {
            house.start(name)?;
        }
        // Longer than every interval of scheduler and worker: until both have shown a second sign of life, five seconds after their first.
        let (db, workers) = (&house.rig.db, format!("{} WHERE beat_at > started_at + 4000", house.rig.db.own("tidemark_worker")));
        let alive = until("scheduler and worker have been at work for a while", PATIENCE, async || Ok((db.count(&workers).await? == 2).then_some(()))).await;
        house.explain(alive)?;
        // The newest call stands first.
        let made: Vec<String> = crm.calls().into_iter().rev().skip(calls).map(|call| call.path).collect();
        assert!(made.is_empty(), "calls before anybody said go: {made:?}");
        assert_eq!(Everything::of(&house.rig).await?, before, "and nothing changed on either side");
        assert_eq!(house.rig.db.rows(&progress).await?, stands, "no tick, no poll, no cursor");
        let kept = ["tidemark_link", "tidemark_window", "tidemark_callout"].map(|table| house.rig.db.own(table));
        for table in kept {
            assert_eq!(house.rig.db.count(&table).await?, 0, "{table} is not empty");
        }
        let status = house.tidemark(&["status"]).await?.good()?;
        for words in ["hubspot.contacts", "plan_ready", "makes rows: yes", "tidemark resume hubspot.contacts"] {
            assert!(status.contains(words), "{words:?} is missing in\n{status}");
        }

        house.tidemark(&["resume", "hubspot.contacts"]).await?.good()?;
        house.agreed_on("hubspot.contacts").await?;
        assert_eq!(crm.list(Contacts).len(), 2, "Ana was sent");
        assert_eq!(house.rig.db.count("customers").await?, 2, "and the other one came");
        let deals: Vec<String> = crm.calls().into_iter().map(|call| call.path).filter(|path| path.contains("/objects/deals")).collect();
        assert!(deals.is_empty(), "the other stream still waits: {deals:?}");
        assert_eq!(crm.list(Deals).len(), 1);
        Ok(())
    }
}
