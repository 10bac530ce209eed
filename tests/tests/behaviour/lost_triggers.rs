//! Triggers that somebody drops or disables under a running system: it is noticed, and no edit is lost by it.

use tidemark_core::spec::Direction;
use tidemark_scheduler::watch;
use tidemark_store::{capture, overview};
use tidemark_tests::{Kind, Rig, on_both_databases};
use tidemark_worker::map_streams;

/// What can happen to a trigger, and how it comes back other than by `migrate`, if it can.
fn harms(kind: Kind) -> Vec<(&'static str, Option<&'static str>)> {
    match kind {
        Kind::Sqlite => vec![("DROP TRIGGER tidemark_customers_update", None)],
        Kind::Postgres => vec![
            ("DROP TRIGGER tidemark_customers_update ON customers", None),
            (
                "ALTER TABLE customers DISABLE TRIGGER tidemark_customers_update",
                Some("ALTER TABLE customers ENABLE TRIGGER tidemark_customers_update"),
            ),
        ],
    }
}

async fn standing(rig: &Rig) -> eyre::Result<(Option<String>, bool)> {
    let streams = overview::streams(&rig.store).await?;
    let contacts = streams.into_iter().find(|stream| stream.name == "hubspot.contacts");
    Ok(contacts.map(|stream| (stream.capture, stream.walk_owed)).unwrap_or_default())
}

on_both_databases! {
    async fn a_lost_trigger_is_noticed_once_and_no_edit_is_lost_by_it(kind) {
        for (harm, repair) in harms(kind) {
            let rig = Rig::start(kind).await?;
            rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', '2026-01-01 00:00:00')").await?;
            rig.settle().await?;
            let id = rig.db.one("SELECT hubspot_id FROM customers").await?.unwrap_or_default();
            let tables = capture::tables(&map_streams(&rig.store, &rig.config.streams).await?);
            assert_eq!(watch::once(&rig.store, &tables).await?, 0, "nothing is wrong");
            assert_eq!(standing(&rig).await?, (Some("installed".into()), false));

            rig.db.run(harm).await?;
            assert_eq!(watch::once(&rig.store, &tables).await?, 1, "{harm}");
            assert_eq!(watch::once(&rig.store, &tables).await?, 0, "another watcher tells nothing twice");
            assert_eq!(standing(&rig).await?, (Some("missing".into()), true));
            rig.db.run("UPDATE customers SET first_name = 'Anna'").await?;
            assert_eq!(rig.db.count(&rig.db.own("tidemark_change")).await?, 0, "nobody captured it");
            rig.settle().await?;
            assert_eq!(rig.record("contacts", &id).await?["firstname"], "Anna");

            // As long as it lasts, every row is compared again from time to time.
            rig.db.run("UPDATE customers SET first_name = 'Anne'").await?;
            rig.db.run(&format!("UPDATE {} SET capture_walk_at = 9000000000000", rig.db.own("tidemark_stream"))).await?;
            assert_eq!((watch::once(&rig.store, &tables).await?, standing(&rig).await?.1), (0, false));
            rig.db.run(&format!("UPDATE {} SET capture_walk_at = 0", rig.db.own("tidemark_stream"))).await?;
            assert_eq!((watch::once(&rig.store, &tables).await?, standing(&rig).await?.1), (0, true));
            rig.settle().await?;
            assert_eq!(rig.record("contacts", &id).await?["firstname"], "Anne");

            // However it comes back, what was changed in between is found.
            rig.db.run("UPDATE customers SET first_name = 'Anni'").await?;
            match repair {
                Some(repair) => rig.db.run(repair).await?,
                None => {
                    for table in &tables {
                        capture::apply(&rig.store, &table.shape, &table.specs()).await?;
                    }
                }
            }
            assert_eq!(watch::once(&rig.store, &tables).await?, usize::from(repair.is_some()));
            assert_eq!(standing(&rig).await?, (Some("installed".into()), true));
            rig.settle().await?;
            assert_eq!(rig.record("contacts", &id).await?["firstname"], "Anni");
            assert_eq!(watch::once(&rig.store, &tables).await?, 0);
        }
        Ok(())
    }

    /// Nobody watched while the triggers were gone: `migrate` finds out for itself.
    async fn triggers_that_migrate_puts_back_are_followed_by_a_comparison(kind) {
        let rig = Rig::start(kind).await?;
        rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', '2026-01-01 00:00:00')").await?;
        rig.settle().await?;
        let id = rig.db.one("SELECT hubspot_id FROM customers").await?.unwrap_or_default();
        let tables = capture::tables(&map_streams(&rig.store, &rig.config.streams).await?);
        for table in &tables {
            capture::apply(&rig.store, &table.shape, &table.specs()).await?;
        }
        assert!(!standing(&rig).await?.1, "installed again over what is there, nothing has to be compared");
        rig.db.run(harms(kind)[0].0).await?;
        rig.db.run("UPDATE customers SET first_name = 'Anna'").await?;
        for table in &tables {
            capture::apply(&rig.store, &table.shape, &table.specs()).await?;
        }
        assert!(standing(&rig).await?.1);
        rig.settle().await?;
        assert_eq!(rig.record("contacts", &id).await?["firstname"], "Anna");
        Ok(())
    }

    /// No trigger can watch a view, so nobody is alarmed, and its rows are compared from time to time.
    async fn the_rows_of_a_view_are_compared_again_and_again(kind) {
        let rig = Rig::start(kind).await?;
        let schema = if kind == Kind::Postgres { "public." } else { "" };
        rig.db.run(&format!("CREATE VIEW {schema}people AS SELECT * FROM customers")).await?;
        let mut spec = rig.stream("hubspot.contacts")?.spec.clone();
        (spec.name, spec.table.name, spec.direction) = ("hubspot.people".into(), "people".into(), Direction::Out);
        let tables = capture::tables(&map_streams(&rig.store, &[spec]).await?);
        let owed = async || -> eyre::Result<_> {
            let streams = overview::streams(&rig.store).await?;
            let people = streams.into_iter().find(|stream| stream.name == "hubspot.people");
            Ok(people.map(|stream| (stream.capture, stream.walk_owed)).unwrap_or_default())
        };
        for _ in 0..2 {
            assert_eq!(watch::once(&rig.store, &tables).await?, 0);
            assert_eq!(owed().await?, (Some("impossible".into()), true));
            rig.db.run(&format!("UPDATE {} SET walk_owed = 0, capture_walk_at = 0", rig.db.own("tidemark_stream"))).await?;
        }
        Ok(())
    }
}
