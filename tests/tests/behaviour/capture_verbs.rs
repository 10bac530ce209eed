//! `tidemark capture` and `tidemark uninstall`: each trigger with which something is wrong is named and put right, all can be taken away, and so can everything else of
//! Tidemark's, down to how the database was found.

use eyre::OptionExt;
use serde_json::Value;
use tidemark_scheduler::watch;
use tidemark_store::capture;
use tidemark_tests::house::House;
use tidemark_tests::{Kind, Rig, Setup, on_both_databases};
use tidemark_worker::map_streams;

use crate::local_sweep::PARTITIONED;

const ANA: &str =
    "INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', '2026-01-01 00:00:00')";

/// The findings of a verb that prints JSON, as table, trigger and what is wrong; and how it ended.
async fn findings(house: &House, args: &[&str]) -> eyre::Result<(Vec<[String; 3]>, Option<i32>)> {
    let ended = house.tidemark(args).await?;
    let report: Value =
        serde_json::from_str(&ended.stdout).map_err(|error| eyre::eyre!("{error}: {}{}", ended.stdout, ended.stderr))?;
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let list = report["findings"].as_array().ok_or_eyre("no findings")?;
    Ok((list.iter().map(|one| [text(one, "table"), text(one, "trigger"), text(one, "wrong")]).collect(), ended.code))
}

fn found(kind: Kind, wrong: &[(&str, &str, &str)]) -> Vec<[String; 3]> {
    let schema = if kind == Kind::Postgres { "public." } else { "" };
    wrong.iter().map(|(table, trigger, wrong)| [format!("{schema}{table}"), (*trigger).to_owned(), (*wrong).to_owned()]).collect()
}

/// Names of everything in the database that is not the server's own.
async fn catalogue(rig: &Rig) -> eyre::Result<Vec<Vec<Option<String>>>> {
    let sql = match rig.db.kind {
        Kind::Sqlite => "SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY 1, 2",
        Kind::Postgres => {
            "SELECT kind, name FROM (SELECT 'relation' AS kind, n.nspname || '.' || c.relname AS name, n.nspname AS place FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                UNION ALL SELECT 'trigger', t.tgname::text, n.nspname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT t.tgisinternal
                UNION ALL SELECT 'function', p.proname::text, n.nspname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                UNION ALL SELECT 'schema', nspname::text, nspname FROM pg_namespace) x
             WHERE place NOT LIKE 'pg!_%' ESCAPE '!' AND place <> 'information_schema' ORDER BY 1, 2"
        }
    };
    rig.db.rows(sql).await
}

on_both_databases! {
    async fn each_trigger_with_which_something_is_wrong_is_named_and_put_right(kind) {
        let house = House::open(kind, Setup::default(), &[]).await?;
        assert_eq!(findings(&house, &["capture", "--verify", "--json"]).await?, (Vec::new(), Some(0)));
        let (harm, expect) = match kind {
            Kind::Postgres => (
                "DROP TRIGGER tidemark_customers_insert ON customers;
                 ALTER TABLE customers DISABLE TRIGGER tidemark_customers_update;
                 CREATE OR REPLACE FUNCTION tidemark.tidemark_customers_delete() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
                 CREATE TABLE public.former (id BIGINT PRIMARY KEY);
                 CREATE TRIGGER tidemark_former_truncate AFTER TRUNCATE ON public.former EXECUTE FUNCTION tidemark.tidemark_orders_truncate()",
                vec![
                    ("customers", "tidemark_customers_insert", "missing"),
                    ("customers", "tidemark_customers_update", "disabled"),
                    ("customers", "tidemark_customers_delete", "altered"),
                    ("former", "tidemark_former_truncate", "left_over"),
                ],
            ),
            Kind::Sqlite => (
                "DROP TRIGGER tidemark_customers_insert; DROP TRIGGER tidemark_customers_delete;
                 CREATE TRIGGER tidemark_customers_delete AFTER DELETE ON customers BEGIN INSERT INTO tidemark_change (table_name, op) VALUES ('x', 'D'); END;
                 CREATE TABLE former (id INTEGER PRIMARY KEY);
                 CREATE TRIGGER tidemark_former_insert AFTER INSERT ON former BEGIN INSERT INTO tidemark_change (table_name, op) VALUES ('former', 'I'); END",
                vec![
                    ("customers", "tidemark_customers_insert", "missing"),
                    ("customers", "tidemark_customers_delete", "altered"),
                    ("former", "tidemark_former_insert", "left_over"),
                ],
            ),
        };
        let expect = found(kind, &expect);
        house.rig.db.run(harm).await?;
        assert_eq!(findings(&house, &["capture", "--verify", "--json"]).await?, (expect.clone(), Some(2)));
        let said = house.tidemark(&["capture", "--verify"]).await?;
        for words in ["trigger tidemark_customers_insert: missing", "altered, or installed for another mapping", "left over from a mapping", "orders (hubspot.deals): captured", "`tidemark capture --apply` puts it right"] {
            assert!(said.stdout.contains(words), "{words:?} is missing in:\n{}", said.stdout);
        }
        // What is printed does it, by hand.
        let plan = house.tidemark(&["capture", "--plan"]).await?.good()?;
        assert_eq!(findings(&house, &["capture", "--verify", "--json"]).await?.0, expect, "it was only printed");
        house.rig.db.run(&plan).await?;
        assert_eq!(findings(&house, &["capture", "--verify", "--json"]).await?, (Vec::new(), Some(0)), "{plan}");
        assert!(house.tidemark(&["capture", "--plan"]).await?.good()?.contains("nothing is to be done"));
        // And so does the verb.
        house.rig.db.run(if kind == Kind::Postgres { "DROP TABLE public.former" } else { "DROP TABLE former" }).await?;
        house.rig.db.run(harm).await?;
        assert_eq!(findings(&house, &["capture", "--apply", "--json"]).await?, (Vec::new(), Some(0)));
        let owed = format!("{} WHERE name = 'hubspot.contacts' AND walk_owed <> 0", house.rig.db.own("tidemark_stream"));
        assert_eq!(house.rig.db.count(&owed).await?, 1, "what was changed while a trigger was gone is looked for");
        for wrong in [&["capture"][..], &["capture", "--plan", "--apply"], &["capture", "--verify", "--reason", "x"]] {
            assert_eq!(house.tidemark(wrong).await?.code, Some(1), "{wrong:?}");
        }
        Ok(())
    }

    async fn triggers_that_are_taken_away_are_missed_in_words_and_lose_no_edit(kind) {
        let house = House::open(kind, Setup::default(), &[]).await?;
        let rig = &house.rig;
        rig.db.run(ANA).await?;
        rig.settle().await?;
        let id = rig.db.one("SELECT hubspot_id FROM customers").await?.ok_or_eyre("no record")?;
        let said = house.tidemark(&["capture", "--remove", "--reason", "bulk load"]).await?.good()?;
        assert!(said.contains("8 triggers were taken away") && said.contains("every row is compared every"), "{said}");
        let left = catalogue(rig).await?.into_iter().flatten().flatten().filter(|name| name.starts_with("tidemark_customers") || name.starts_with("tidemark_orders"));
        assert_eq!(left.collect::<Vec<_>>(), Vec::<String>::new());
        assert!(house.tidemark(&["status"]).await?.good()?.contains("capture"), "status tells");
        let act = rig.db.one(&format!("SELECT reason FROM {} WHERE verb = 'remove capture' ORDER BY id LIMIT 1", rig.db.own("tidemark_act"))).await?;
        assert_eq!(act.as_deref(), Some("bulk load"));
        rig.db.run("UPDATE customers SET first_name = 'Anna'").await?;
        assert_eq!(rig.db.count(&rig.db.own("tidemark_change")).await?, 0);
        rig.settle().await?;
        assert_eq!(rig.record("contacts", &id).await?["firstname"], "Anna");
        assert_eq!(findings(&house, &["capture", "--verify", "--json"]).await?.1, Some(2));
        assert_eq!(findings(&house, &["capture", "--apply", "--json"]).await?, (Vec::new(), Some(0)));
        rig.db.run("UPDATE customers SET first_name = 'Anne'").await?;
        assert_eq!(rig.db.count(&rig.db.own("tidemark_change")).await?, 1);
        Ok(())
    }

    async fn uninstalling_leaves_the_database_as_it_was_found(kind) {
        let house = House::open(kind, Setup::default(), &[]).await?;
        let rig = &house.rig;
        rig.db.run(ANA).await?;
        rig.settle().await?;
        let rows = "SELECT CAST(id AS TEXT), email, first_name, hubspot_id FROM customers";
        let before = rig.db.rows(rows).await?;
        let database = match kind {
            Kind::Sqlite => "orders.db".to_owned(),
            Kind::Postgres => rig.db.url.rsplit('/').next().unwrap_or_default().to_owned(),
        };
        let said = house.tidemark(&["uninstall", "--plan"]).await?.good()?;
        for words in ["8 triggers", "DROP TABLE", "customers.hubspot_id stays as it is", "the property tidemark_key of contacts", "Nothing was done", &format!("--database {database}")] {
            assert!(said.contains(words), "{words:?} is missing in:\n{said}");
        }
        let report: Value = serde_json::from_str(&house.tidemark(&["uninstall", "--json"]).await?.good()?)?;
        assert_eq!((report["applied"].as_bool(), report["id_columns"][0]["filled"].as_i64()), (Some(false), Some(1)), "{report}");
        // The guards, one after another.
        let refused = async |args: &[&str], words: &str| {
            let ended = house.tidemark(args).await?;
            assert!(ended.code == Some(1) && ended.stderr.contains(words), "{words:?} is missing in:\n{}{}", ended.stdout, ended.stderr);
            eyre::Ok(())
        };
        refused(&["uninstall", "--apply"], "--database").await?;
        refused(&["uninstall", "--apply", "--database", "another"], &format!("this database is called {database}")).await?;
        let workers = rig.db.own("tidemark_worker");
        let now = rig.store.now().await?;
        rig.db.run(&format!("INSERT INTO {workers} (name, kind, started_at, beat_at) VALUES ('worker-7', 'worker', {now}, {now})")).await?;
        refused(&["uninstall", "--apply", "--database", &database], "worker-7 is at work on it").await?;
        rig.db.run(&format!("DELETE FROM {workers}")).await?;
        rig.db.run("UPDATE customers SET phone = '1'").await?;
        refused(&["uninstall", "--apply", "--database", &database], "changes are not dealt with yet").await?;
        assert_eq!(findings(&house, &["capture", "--verify", "--json"]).await?.1, Some(0), "nothing was taken away");

        let said = house.tidemark(&["uninstall", "--apply", "--database", &database, "--anyway"]).await?.good()?;
        assert!(said.contains("Nothing of Tidemark is in the database any more"), "{said}");
        let left: Vec<String> = catalogue(rig).await?.into_iter().flatten().flatten().filter(|name| name.contains("tidemark")).collect();
        assert_eq!(left, Vec::<String>::new());
        assert_eq!(rig.db.rows(rows).await?, before);
        rig.db.run("UPDATE customers SET phone = '2'; DELETE FROM customers; INSERT INTO customers (email) VALUES ('cy@acme.test')").await?;
        // Once more there is nothing to do, and the tables can be made again.
        assert!(house.tidemark(&["uninstall"]).await?.good()?.contains("0 triggers, 0 functions, 0 tables"));
        house.tidemark(&["migrate"]).await?.good()?;
        assert_eq!(findings(&house, &["capture", "--verify", "--json"]).await?, (Vec::new(), Some(0)));
        Ok(())
    }

    async fn the_id_columns_are_emptied_when_asked_for(kind) {
        let house = House::open(kind, Setup::default(), &[]).await?;
        house.rig.db.run(ANA).await?;
        house.rig.settle().await?;
        // Run by hand, as it is printed.
        let plan = house.tidemark(&["uninstall", "--plan", "--clear-ids"]).await?.good()?;
        assert!(plan.contains("is emptied: it held the CRM's id in 1 rows"), "{plan}");
        house.rig.db.run(&plan).await?;
        assert_eq!(house.rig.db.rows("SELECT email, hubspot_id FROM customers").await?, [[Some("ana@acme.test".to_owned()), None]]);
        assert!(!catalogue(&house.rig).await?.into_iter().flatten().flatten().any(|name| name.contains("tidemark")));
        Ok(())
    }
}

/// A statement that names a partition wakes the partition's own triggers; one that was made later has none until somebody looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_without_triggers_is_named_and_gets_them() -> eyre::Result<()> {
    let house = House::open(Kind::Postgres, Setup { prepare: PARTITIONED, ..Setup::default() }, &[]).await?;
    let rig = &house.rig;
    rig.db.run("CREATE TABLE public.customers_high PARTITION OF customers FOR VALUES FROM (1000000) TO (2000000)").await?;
    let triggers = ["insert", "update", "delete", "truncate"].map(|event| format!("tidemark_customers_{event}"));
    let missing: Vec<[String; 3]> =
        triggers.iter().map(|name| ["public.customers_high".to_owned(), name.clone(), "missing".to_owned()]).collect();
    assert_eq!(findings(&house, &["capture", "--verify", "--json"]).await?, (missing, Some(2)));
    let tables = capture::tables(&map_streams(&rig.store, &rig.config.streams).await?);
    assert_eq!(
        (watch::once(&rig.store, &tables).await?, watch::once(&rig.store, &tables).await?),
        (1, 0),
        "a scheduler tells of it"
    );
    let said = house.tidemark(&["capture", "--verify"]).await?;
    assert!(said.stdout.contains("a statement that names this partition is noted by nobody"), "{}", said.stdout);
    assert_eq!(findings(&house, &["capture", "--apply", "--json"]).await?, (Vec::new(), Some(0)));
    assert_eq!(watch::once(&rig.store, &tables).await?, 0);
    let ops = "SELECT op, row_key FROM tidemark.tidemark_change ORDER BY id";
    let noted = async |sql: &str| {
        rig.db.run("DELETE FROM tidemark.tidemark_change").await?;
        rig.db.run(sql).await?;
        let rows = rig.db.rows(ops).await?.into_iter();
        eyre::Ok(rows.map(|row| row.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>())
    };
    assert_eq!(
        noted("INSERT INTO customers (id, email) VALUES (7, 'a@acme.test'), (1000007, 'b@acme.test')").await?.len(),
        2,
        "once each"
    );
    assert_eq!(noted("UPDATE customers_high SET first_name = 'B'").await?, ["U 1000007"]);
    assert_eq!(noted("UPDATE customers_low SET first_name = 'A'").await?, ["U 7"]);
    assert_eq!(noted("UPDATE customers SET first_name = 'C'").await?.len(), 2, "once each");
    assert_eq!(noted("DELETE FROM customers_high").await?, ["D 1000007"]);
    Ok(())
}
