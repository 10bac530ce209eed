//! What the triggers note of the order system's own changes, what they leave out, and that they never stand in its way.

use tidemark_store::{capture, streams};
use tidemark_tests::{Kind, Rig, Setup, on_both_databases};
use tidemark_worker::map_streams;

/// What waits for the relay: operation and key, in order.
async fn log(rig: &Rig) -> eyre::Result<Vec<(String, String)>> {
    let sql = format!("SELECT op, COALESCE(row_key, '') FROM {} ORDER BY id", rig.db.own("tidemark_change"));
    let rows = rig.db.rows(&sql).await?;
    Ok(rows.into_iter().map(|row| (row[0].clone().unwrap_or_default(), row[1].clone().unwrap_or_default())).collect())
}

/// What one statement of the application leaves in the log.
async fn captured(rig: &Rig, sql: &str) -> eyre::Result<Vec<(String, String)>> {
    rig.db.run(&format!("DELETE FROM {}", rig.db.own("tidemark_change"))).await?;
    rig.db.run(sql).await?;
    let mut log = log(rig).await?;
    // Within one statement the order is the database's own.
    log.sort();
    Ok(log)
}

fn changes<const N: usize>(expected: [(&str, &str); N]) -> Vec<(String, String)> {
    expected.map(|(op, key)| (op.to_owned(), key.to_owned())).to_vec()
}

async fn walk_owed(rig: &Rig, stream: &str) -> eyre::Result<bool> {
    let owed = format!("{} WHERE walk_owed <> 0 AND name = '{stream}'", rig.db.own("tidemark_stream"));
    Ok(rig.db.count(&owed).await? == 1)
}

on_both_databases! {
    async fn every_change_the_mapping_reads_is_noted_once_with_its_key(kind) {
        let rig = Rig::start(kind).await?;
        let three = "INSERT INTO customers (id, email, first_name) VALUES (1, 'a@acme.test', 'A'), (2, 'b@acme.test', 'B'), (3, 'c@acme.test', 'C')";
        assert_eq!(captured(&rig, three).await?, changes([("I", "1"), ("I", "2"), ("I", "3")]));
        assert_eq!(captured(&rig, "UPDATE customers SET phone = '1' WHERE id < 3").await?, changes([("U", "1"), ("U", "2")]));
        // Not a field, but it decides whether the row is sent.
        assert_eq!(captured(&rig, "UPDATE customers SET email_confirmed_at = '2026-01-01 00:00:00' WHERE id = 3").await?, changes([("U", "3")]));
        assert_eq!(captured(&rig, "UPDATE customers SET phone = NULL WHERE id = 1").await?, changes([("U", "1")]), "from a value to none");
        assert_eq!(captured(&rig, "UPDATE customers SET phone = phone, first_name = first_name").await?, changes([]), "the same values are no change");
        assert_eq!(captured(&rig, "UPDATE customers SET other_id = 'x'").await?, changes([]), "the mapping does not read it");
        assert_eq!(captured(&rig, "INSERT INTO customers (id, email) VALUES (4, 'd@acme.test') ON CONFLICT (email) DO UPDATE SET first_name = 'D'").await?, changes([("I", "4")]));
        let upsert = "INSERT INTO customers (id, email) VALUES (5, 'd@acme.test') ON CONFLICT (email) DO UPDATE SET first_name = 'D'";
        assert_eq!(captured(&rig, upsert).await?, changes([("U", "4")]), "an insert that became an update");
        assert_eq!(captured(&rig, "UPDATE customers SET id = 9, first_name = 'Nine' WHERE id = 4").await?, changes([("D", "4"), ("I", "9")]), "another key is another row");
        assert_eq!(captured(&rig, "DELETE FROM customers WHERE id IN (1, 9)").await?, changes([("D", "1"), ("D", "9")]));
        assert_eq!(captured(&rig, "UPDATE customers SET phone = '2' WHERE id = 77").await?, changes([]));
        assert_eq!(captured(&rig, "INSERT INTO orders (id, number, status) VALUES (1, 'R-1', 'draft')").await?, changes([("I", "1")]), "the other table too");
        Ok(())
    }

    async fn what_was_rolled_back_was_never_noted(kind) {
        let rig = Rig::start(kind).await?;
        let undone = "BEGIN; INSERT INTO customers (email, first_name) VALUES ('a@acme.test', 'A'); ROLLBACK";
        assert_eq!(captured(&rig, undone).await?, changes([]));
        Ok(())
    }
}

/// SQLite has no TRUNCATE.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncated_table_leaves_a_marker_and_a_walk_follows() -> eyre::Result<()> {
    let rig = Rig::start(Kind::Postgres).await?;
    rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('a@acme.test', 'A', now())").await?;
    rig.settle().await?;
    assert!(!walk_owed(&rig, "hubspot.contacts").await?);
    // Refilled in the same breath, as a nightly import does; what it put there is found whether or not it was noted.
    let import = "BEGIN; TRUNCATE customers, orders; ALTER TABLE customers DISABLE TRIGGER USER;
        INSERT INTO customers (id, email, first_name, email_confirmed_at) VALUES (70, 'b@acme.test', 'B', now()); ALTER TABLE customers ENABLE TRIGGER USER; COMMIT";
    assert_eq!(
        captured(&rig, import).await?,
        changes([("M", ""), ("M", "")]),
        "one marker for each table, and nothing of the rest"
    );
    tidemark_worker::relay_once(&rig.ctx).await?;
    for stream in ["hubspot.contacts", "hubspot.deals"] {
        assert!(walk_owed(&rig, stream).await?, "{stream}");
    }
    rig.poll("hubspot.contacts").await?;
    assert!(!walk_owed(&rig, "hubspot.contacts").await?);
    rig.push("hubspot.contacts").await?;
    let emails = rig.records("contacts").await?.into_values().filter_map(|record| record.get("email").cloned());
    assert!(emails.into_iter().any(|email| email == "b@acme.test"), "the walk found what no trigger told");
    Ok(())
}

/// A statement over very many rows must not write as many rows of ours inside the shop's transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_over_very_many_rows_leaves_one_marker_and_a_walk_finds_what_it_changed() -> eyre::Result<()> {
    let rig = Rig::start(Kind::Postgres).await?;
    rig.settle().await?;
    let many = |rows: u32, from: u32| {
        format!(
            "INSERT INTO customers (id, email, first_name) SELECT n, 'c' || n || '@acme.test', 'C' FROM generate_series({from}, {from} + {rows} - 1) n"
        )
    };
    assert_eq!(captured(&rig, &many(10_000, 1)).await?.len(), 10_000, "so many are still noted one by one");
    assert_eq!(captured(&rig, &many(10_001, 10_001)).await?, changes([("M", "")]));
    let most = captured(&rig, "UPDATE customers SET phone = '1' WHERE id <= 10000").await?;
    assert_eq!(most.len(), 10_000, "the same for changes");
    let updated =
        captured(&rig, "UPDATE customers SET first_name = 'All', email_confirmed_at = CASE WHEN id % 5000 = 0 THEN now() END")
            .await?;
    assert_eq!(updated, changes([("M", "")]));
    tidemark_worker::relay_once(&rig.ctx).await?;
    assert_eq!(rig.debts("waiting").await?, 0, "not a debt for each row");
    rig.poll("hubspot.contacts").await?;
    assert!(!walk_owed(&rig, "hubspot.contacts").await?);
    rig.push("hubspot.contacts").await?;
    let names: Vec<String> =
        rig.records("contacts").await?.into_values().filter_map(|record| record.get("firstname").cloned()).collect();
    assert_eq!(names, ["All"; 4], "the confirmed ones and no other");
    assert_eq!(captured(&rig, "DELETE FROM customers WHERE email_confirmed_at IS NULL").await?, changes([("M", "")]));
    Ok(())
}

/// The log is gone, full, or not writable: the shop goes on, and what was not noted is found later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_capture_does_not_fail_the_shop() -> eyre::Result<()> {
    let rig = Rig::start(Kind::Postgres).await?;
    rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('a@acme.test', 'A', now()), ('b@acme.test', 'B', now())").await?;
    rig.settle().await?;
    rig.db.run("ALTER TABLE tidemark.tidemark_change RENAME TO away").await?;
    rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('c@acme.test', 'C', now())").await?;
    rig.db.run("UPDATE customers SET first_name = 'Anna' WHERE first_name = 'A'").await?;
    rig.db.run("DELETE FROM customers WHERE first_name = 'B'").await?;
    rig.db.run("INSERT INTO orders (number, customer_id, status) VALUES ('R-1', 1, 'draft')").await?;
    rig.db.run("TRUNCATE orders").await?;
    assert_eq!(rig.db.count("customers").await?, 2, "every statement was carried out");
    rig.db.run("ALTER TABLE tidemark.away RENAME TO tidemark_change").await?;
    assert_eq!(log(&rig).await?, changes([]));
    streams::owe_walk(&rig.store, rig.stream("hubspot.contacts")?.id).await?;
    rig.poll("hubspot.contacts").await?;
    rig.push("hubspot.contacts").await?;
    let mut names: Vec<String> =
        rig.records("contacts").await?.into_values().filter_map(|record| record.get("firstname").cloned()).collect();
    names.sort();
    assert_eq!(names, ["Anna", "B", "C"], "the walk found the change and the new row");
    Ok(())
}

/// The other connection's contacts are in a schema of their own.
const ELSEWHERE: (&str, &str) = (
    "[[connections.other.streams]]\nobject = \"contacts\"\ntable = \"customers\"",
    "[[connections.other.streams]]\nobject = \"contacts\"\ntable = \"archive.customers\"",
);

/// The functions of their triggers stand in one schema.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tables_of_one_name_are_told_apart() -> eyre::Result<()> {
    let setup = Setup {
        two_connections: true,
        instead: &[ELSEWHERE],
        prepare: "CREATE SCHEMA archive; CREATE TABLE archive.customers (LIKE public.customers INCLUDING ALL)",
        ..Setup::default()
    };
    let rig = Rig::with(Kind::Postgres, setup).await?;
    let log = async |sql: &str| {
        rig.db.run("DELETE FROM tidemark.tidemark_change").await?;
        rig.db.run(sql).await?;
        let noted = rig.db.rows("SELECT table_name, op, row_key FROM tidemark.tidemark_change").await?.into_iter();
        eyre::Ok(
            noted.map(|row| row.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>(),
        )
    };
    assert_eq!(log("INSERT INTO public.customers (id, email) VALUES (1, 'a@acme.test')").await?, ["public.customers I 1"]);
    assert_eq!(log("INSERT INTO archive.customers (id, email) VALUES (2, 'b@acme.test')").await?, ["archive.customers I 2"]);
    assert_eq!(log("UPDATE archive.customers SET email = 'c@acme.test'").await?, ["archive.customers U 2"]);
    assert_eq!(log("DELETE FROM public.customers").await?, ["public.customers D 1"]);
    Ok(())
}

/// Earlier versions gave them other names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triggers_under_another_name_are_replaced_rather_than_added_to() -> eyre::Result<()> {
    let rig = Rig::start(Kind::Postgres).await?;
    for event in ["insert", "update", "delete", "truncate"] {
        rig.db.run(&format!("ALTER TRIGGER tidemark_customers_{event} ON customers RENAME TO tidemark_old_{event}")).await?;
    }
    for table in capture::tables(&map_streams(&rig.store, &rig.config.streams).await?) {
        capture::apply(&rig.store, &table.shape, &table.specs()).await?;
    }
    assert_eq!(captured(&rig, "INSERT INTO customers (id, email) VALUES (1, 'a@acme.test')").await?, changes([("I", "1")]));
    Ok(())
}
