//! The local half of a sweep: what got round the triggers is found by comparing every row with what was agreed, and every link with its row.

use eyre::OptionExt;
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_scheduler::watch;
use tidemark_store::{capture, sweeps};
use tidemark_tests::{Kind, ONLY_READS, Rig, Setup, on_both_databases};
use tidemark_worker::map_streams;

const CONTACTS: &str = "hubspot.contacts";
const ARCHIVE: &str = "deletes = { outbound = \"archive\" }";

/// No window reads again what the one before has read: what is found then, the sweep has found.
const ONLY_READS_ONCE: &[(&str, &str)] = &[ONLY_READS[0], ONLY_READS[1], ONLY_READS[2], ("overlap = \"5s\"", "overlap = \"0s\"")];

/// Three customers that are in the CRM.
async fn three(kind: Kind, setup: Setup) -> eyre::Result<Rig> {
    let rig = Rig::with(kind, setup).await?;
    rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', '2026-01-01 00:00:00'),
        ('bo@acme.test', 'Bo', '2026-01-01 00:00:00'), ('cy@acme.test', 'Cy', '2026-01-01 00:00:00')").await?;
    rig.settle().await?;
    assert_eq!(rig.records("contacts").await?.len(), 3);
    // Past our own writes: a window that shows them would merge a row's edit, and owe it before the sweep does.
    rig.catch_up(CONTACTS).await?;
    Ok(rig)
}

/// No window reads again what the one before has read: what is found then, the sweep has found.
const NO_OVERLAP: (&str, &str) = ("overlap = \"5s\"", "overlap = \"0s\"");

fn calm() -> Setup {
    Setup { instead: &[NO_OVERLAP], ..Setup::default() }
}

fn contacts(contacts: &'static str) -> Setup {
    Setup { contacts, ..calm() }
}

/// Runs a statement that no trigger hears of.
async fn unheard(rig: &Rig, sql: &str) -> eyre::Result<()> {
    match rig.db.kind {
        Kind::Postgres => rig.db.run(&format!("BEGIN; SET LOCAL session_replication_role = replica; {sql}; COMMIT")).await,
        Kind::Sqlite => {
            let triggers = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'customers'";
            let triggers: Vec<(String, String)> = rig
                .db
                .rows(triggers)
                .await?
                .into_iter()
                .filter_map(|row| match row.as_slice() {
                    [Some(name), Some(sql)] => Some((name.clone(), sql.clone())),
                    _ => None,
                })
                .collect();
            let drop: String = triggers.iter().map(|(name, _)| format!("DROP TRIGGER \"{name}\"; ")).collect();
            let make: String = triggers.iter().map(|(_, sql)| format!("; {sql}")).collect();
            rig.db.run(&format!("BEGIN; {drop}{sql}{make}; COMMIT")).await
        }
    }
}

async fn key_of(rig: &Rig, name: &str) -> eyre::Result<String> {
    let sql = format!("SELECT CAST(id AS TEXT) FROM customers WHERE first_name = '{name}'");
    rig.db.one(&sql).await?.ok_or_eyre("no such row")
}

/// Sweeps, and pushes what that owes.
async fn sweep_and_push(rig: &Rig) -> eyre::Result<()> {
    rig.sweep(CONTACTS).await?;
    rig.settle().await?;
    Ok(())
}

async fn names(rig: &Rig) -> eyre::Result<Vec<String>> {
    let mut names: Vec<String> =
        rig.records("contacts").await?.into_values().filter_map(|record| record.get("firstname").cloned()).collect();
    names.sort();
    Ok(names)
}

fn found(key: &str, fields: &str, repair: &str) -> [String; 5] {
    ["row", key, "capture", fields, repair].map(str::to_owned)
}

on_both_databases! {
    async fn h20_a_row_changed_with_the_triggers_off_is_found_and_sent(kind) {
        let rig = three(kind, calm()).await?;
        let key = key_of(&rig, "Ana").await?;
        unheard(&rig, "UPDATE customers SET first_name = 'Anna' WHERE first_name = 'Ana'").await?;
        rig.push(CONTACTS).await?;
        assert_eq!(names(&rig).await?, ["Ana", "Bo", "Cy"], "no trigger told");
        sweep_and_push(&rig).await?;
        assert_eq!(names(&rig).await?, ["Anna", "Bo", "Cy"]);
        assert_eq!(rig.drift().await?, [found(&key, "firstname", "push owed")]);
        sweep_and_push(&rig).await?;
        assert_eq!(rig.drift().await?.len(), 1, "once");
        Ok(())
    }

    async fn h20_a_row_made_with_the_triggers_off_is_found_and_sent(kind) {
        let rig = three(kind, calm()).await?;
        unheard(&rig, "INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('dee@acme.test', 'Dee', '2026-01-01 00:00:00')").await?;
        let key = key_of(&rig, "Dee").await?;
        sweep_and_push(&rig).await?;
        assert_eq!(names(&rig).await?, ["Ana", "Bo", "Cy", "Dee"]);
        assert_eq!(rig.drift().await?, [found(&key, "", "push owed")]);
        Ok(())
    }

    async fn h20_a_link_whose_row_vanished_owes_what_the_mapping_says_of_deletes(kind) {
        let rig = three(kind, contacts(ARCHIVE)).await?;
        let key = key_of(&rig, "Bo").await?;
        unheard(&rig, "DELETE FROM customers WHERE first_name = 'Bo'").await?;
        sweep_and_push(&rig).await?;
        assert_eq!(names(&rig).await?, ["Ana", "Cy"], "the record was archived");
        assert_eq!(rig.drift().await?, [found(&key, "", "row gone: push owed")]);
        sweep_and_push(&rig).await?;
        assert_eq!(rig.drift().await?.len(), 1);
        Ok(())
    }

    async fn h20_a_vanished_row_leaves_its_record_alone_where_deletes_do_not_flow(kind) {
        let rig = three(kind, calm()).await?;
        unheard(&rig, "DELETE FROM customers WHERE first_name = 'Bo'").await?;
        sweep_and_push(&rig).await?;
        assert_eq!(names(&rig).await?.len(), 3);
        let ended = format!("{} WHERE state = 'tombstone' AND gone = 'row'", rig.db.own("tidemark_link"));
        assert_eq!(rig.db.count(&ended).await?, 1);
        Ok(())
    }

    async fn h20_a_key_used_again_behind_the_triggers_begins_a_new_link(kind) {
        let rig = three(kind, contacts(ARCHIVE)).await?;
        let key = key_of(&rig, "Bo").await?;
        rig.db.run("DELETE FROM customers WHERE first_name = 'Bo'").await?;
        rig.settle().await?;
        unheard(&rig, &format!("INSERT INTO customers (id, email, first_name, email_confirmed_at) VALUES ({key}, 'dee@acme.test', 'Dee', '2026-01-01 00:00:00')")).await?;
        sweep_and_push(&rig).await?;
        assert_eq!(names(&rig).await?, ["Ana", "Cy", "Dee"]);
        Ok(())
    }

    async fn h15_a_key_used_again_behind_the_triggers_while_its_link_lives_waits_for_a_person(kind) {
        let rig = three(kind, calm()).await?;
        let key = key_of(&rig, "Bo").await?;
        let dee = format!("INSERT INTO customers (id, email, first_name, email_confirmed_at) VALUES ({key}, 'dee@acme.test', 'Dee', '2026-01-01 00:00:00')");
        unheard(&rig, &format!("DELETE FROM customers WHERE first_name = 'Bo'; {dee}")).await?;
        rig.sweep(CONTACTS).await?;
        rig.push(CONTACTS).await?;
        assert_eq!(names(&rig).await?, ["Ana", "Bo", "Cy"], "nobody was rewritten");
        let (debts, is_reused) = (rig.db.own("tidemark_debt"), "state = 'parked' AND class = 'reused'");
        assert_eq!(rig.db.count(&format!("{debts} WHERE {is_reused}")).await?, 1);
        // It is another: the old record goes, and the row gets one of its own.
        let records = rig.records("contacts").await?;
        let (bo, _) = records.iter().find(|(_, record)| record["firstname"] == "Bo").ok_or_eyre("no Bo")?;
        rig.crm.crm().delete(Contacts, bo)?;
        let id = rig.db.one(&format!("SELECT CAST(id AS TEXT) FROM {debts} WHERE {is_reused}")).await?.ok_or_eyre("none")?;
        tidemark_store::debts::retry(&rig.store, id.parse()?).await?;
        rig.settle().await?;
        assert_eq!(names(&rig).await?, ["Ana", "Cy", "Dee"]);
        assert!(rig.records("contacts").await?.keys().all(|id| id != bo));
        Ok(())
    }

    async fn h15_nothing_of_the_old_record_is_written_into_a_row_whose_key_was_used_again(kind) {
        let rig = three(kind, calm()).await?;
        let key = key_of(&rig, "Bo").await?;
        let id = rig.db.one("SELECT hubspot_id FROM customers WHERE first_name = 'Bo'").await?.ok_or_eyre("no id")?;
        let dee = format!("INSERT INTO customers (id, email, first_name, email_confirmed_at) VALUES ({key}, 'dee@acme.test', 'Dee', '2026-01-01 00:00:00')");
        rig.db.run(&format!("DELETE FROM customers WHERE first_name = 'Bo'; {dee}")).await?;
        // The e-mail is the CRM's, and would be put back: first the change is only in the log, then it is owed, then it waits for a person.
        let row = "SELECT email || ' ' || COALESCE(company, '') FROM customers WHERE first_name = 'Dee'";
        rig.crm.crm().edit(Contacts, &id, &[("company", "Robots")])?;
        rig.catch_up(CONTACTS).await?;
        assert_eq!(rig.db.one(row).await?.as_deref(), Some("dee@acme.test "));
        for _ in 0..2 {
            rig.sweep(CONTACTS).await?;
            assert_eq!(rig.db.one(row).await?.as_deref(), Some("dee@acme.test "));
            rig.push(CONTACTS).await?;
        }
        assert_eq!(rig.record("contacts", &id).await?["email"], "bo@acme.test", "nor the other way round");
        let debts = rig.db.own("tidemark_debt");
        let parked = rig.db.rows(&format!("SELECT kind, class FROM {debts} WHERE state = 'parked' ORDER BY kind")).await?;
        let expected = [["push", "reused"], ["read", "rejected"]].map(|row| row.map(|cell| Some(cell.to_owned())).to_vec());
        assert_eq!(parked, expected, "both wait, and neither is lost");
        Ok(())
    }

    async fn h15_the_same_thing_renamed_behind_the_triggers_is_sent_once_a_person_says_so(kind) {
        let rig = three(kind, calm()).await?;
        unheard(&rig, "UPDATE customers SET email = 'bob@acme.test', first_name = 'Bob' WHERE first_name = 'Bo'").await?;
        rig.sweep(CONTACTS).await?;
        rig.push(CONTACTS).await?;
        assert_eq!(names(&rig).await?, ["Ana", "Bo", "Cy"]);
        let debts = rig.db.own("tidemark_debt");
        let id = rig.db.one(&format!("SELECT CAST(id AS TEXT) FROM {debts} WHERE class = 'reused'")).await?.ok_or_eyre("none")?;
        tidemark_store::debts::retry(&rig.store, id.parse()?).await?;
        rig.settle().await?;
        assert_eq!(names(&rig).await?, ["Ana", "Bob", "Cy"]);
        assert_eq!(rig.records("contacts").await?.len(), 3);
        Ok(())
    }

    async fn what_the_triggers_told_of_is_no_drift(kind) {
        let rig = three(kind, calm()).await?;
        rig.db.run("UPDATE customers SET first_name = 'Anna' WHERE first_name = 'Ana'").await?;
        rig.db.run("DELETE FROM customers WHERE first_name = 'Bo'").await?;
        // Neither relayed nor sent: the sweep comes first.
        rig.sweep(CONTACTS).await?;
        rig.settle().await?;
        assert_eq!(rig.drift().await?, [[""; 5]; 0]);
        assert_eq!(names(&rig).await?, ["Anna", "Bo", "Cy"]);
        Ok(())
    }

    async fn a_row_that_the_filter_keeps_back_owes_nothing(kind) {
        let rig = three(kind, calm()).await?;
        rig.db.run("UPDATE customers SET email_confirmed_at = NULL, first_name = 'Secret' WHERE first_name = 'Ana'").await?;
        rig.settle().await?;
        sweep_and_push(&rig).await?;
        assert_eq!(names(&rig).await?, ["Ana", "Bo", "Cy"], "leaving the filter freezes the link");
        assert_eq!(rig.drift().await?, [[""; 5]; 0]);
        Ok(())
    }

    async fn a_local_edit_behind_the_triggers_of_a_stream_that_only_reads_is_put_back(kind) {
        let rig = Rig::with(kind, Setup { instead: ONLY_READS_ONCE, ..Setup::default() }).await?;
        rig.crm.crm().create(Contacts, &[("email", "ana@acme.test"), ("company", "Robots")])?;
        rig.settle().await?;
        rig.catch_up(CONTACTS).await?;
        unheard(&rig, "UPDATE customers SET company = 'Edited here'").await?;
        sweep_and_push(&rig).await?;
        assert_eq!(rig.db.one("SELECT company FROM customers").await?.as_deref(), Some("Robots"));
        assert_eq!(rig.drift().await?[0][2..], ["capture", "company", "push owed"].map(str::to_owned));
        Ok(())
    }

    async fn h21_a_walk_that_a_bulk_statement_owes_compares_again_what_the_sweep_has_passed(kind) {
        let rig = three(kind, calm()).await?;
        sweeps::owe(&rig.store, rig.stream(CONTACTS)?.id).await?;
        // The walk has come to its second half when a statement leaves its marker.
        let stream = rig.db.own("tidemark_stream");
        rig.db.run(&format!("UPDATE {stream} SET walk_position = '', walk_links = 0 WHERE name = '{CONTACTS}'")).await?;
        unheard(&rig, "UPDATE customers SET first_name = 'Bulk'").await?;
        let (log, table) = (rig.db.own("tidemark_change"), rig.stream(CONTACTS)?.shape.log_name());
        rig.db.run(&format!("INSERT INTO {log} (table_name, op) VALUES ('{table}', 'M')")).await?;
        tidemark_worker::relay_once(&rig.ctx).await?;
        rig.settle().await?;
        assert_eq!(names(&rig).await?, ["Bulk", "Bulk", "Bulk"]);
        assert_eq!(rig.drift().await?, [[""; 5]; 0], "somebody told");
        Ok(())
    }

    async fn what_a_lost_trigger_would_have_told_is_drift(kind) {
        let rig = three(kind, calm()).await?;
        let key = key_of(&rig, "Ana").await?;
        let tables = capture::tables(&map_streams(&rig.store, &rig.config.streams).await?);
        watch::once(&rig.store, &tables).await?;
        let of = if kind == Kind::Postgres { " ON customers" } else { "" };
        rig.db.run(&format!("DROP TRIGGER tidemark_customers_update{of}; UPDATE customers SET first_name = 'Anna' WHERE first_name = 'Ana'")).await?;
        assert_eq!(watch::once(&rig.store, &tables).await?, 1);
        rig.settle().await?;
        assert_eq!(names(&rig).await?, ["Anna", "Bo", "Cy"]);
        assert_eq!(rig.drift().await?, [found(&key, "firstname", "push owed")]);
        Ok(())
    }

    async fn what_a_first_load_finds_is_no_drift(kind) {
        let rig = Rig::with(kind, Setup::default()).await?;
        unheard(&rig, "INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', '2026-01-01 00:00:00')").await?;
        rig.settle().await?;
        assert_eq!(names(&rig).await?, ["Ana"], "nobody told of the row, and nobody had to");
        assert_eq!(rig.drift().await?, [[""; 5]; 0]);
        Ok(())
    }
}

/// `INSERT OR REPLACE` deletes the row that holds a unique value, and SQLite wakes no delete trigger for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h20_a_row_that_was_replaced_away_is_found_on_sqlite() -> eyre::Result<()> {
    let rig = three(Kind::Sqlite, contacts(ARCHIVE)).await?;
    let key = key_of(&rig, "Bo").await?;
    rig.db
        .run("INSERT OR REPLACE INTO customers (id, email, first_name, email_confirmed_at) VALUES (77, 'bo@acme.test', 'Bob', '2026-01-01 00:00:00')")
        .await?;
    let log = rig.db.rows("SELECT op FROM tidemark_change ORDER BY id").await?;
    assert_eq!(log, [[Some("I".to_owned())]], "the delete went unheard");
    sweep_and_push(&rig).await?;
    assert!(rig.drift().await?.contains(&found(&key, "", "row gone: push owed")));
    assert_eq!(rig.records("contacts").await?.values().filter(|record| record["email"] == "bo@acme.test").count(), 1);
    Ok(())
}

/// Its new row says who it is: the end of the old one is not left to the next sweep.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h20_a_row_that_was_replaced_away_does_not_stand_in_the_way_of_its_successor() -> eyre::Result<()> {
    let rig = three(Kind::Sqlite, contacts(ARCHIVE)).await?;
    rig.db
        .run("INSERT OR REPLACE INTO customers (id, email, first_name, email_confirmed_at) VALUES (77, 'bo@acme.test', 'Bob', '2026-01-01 00:00:00')")
        .await?;
    rig.settle().await?;
    assert_eq!(names(&rig).await?, ["Ana", "Bob", "Cy"]);
    Ok(())
}

/// Customers in partitions.
pub(crate) const PARTITIONED: &str = "DROP TABLE orders; DROP TABLE customers; CREATE SEQUENCE customers_id;
    CREATE TABLE customers (id BIGINT PRIMARY KEY DEFAULT nextval('customers_id'), email TEXT, first_name TEXT, last_name TEXT, phone TEXT, company TEXT,
        email_confirmed_at TIMESTAMPTZ, hubspot_id TEXT, other_id TEXT) PARTITION BY RANGE (id);
    CREATE TABLE customers_low PARTITION OF customers FOR VALUES FROM (0) TO (1000000);
    CREATE TABLE orders (id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, number TEXT UNIQUE NOT NULL, customer_id BIGINT REFERENCES customers(id),
        status TEXT NOT NULL, total_cents BIGINT NOT NULL DEFAULT 0, hubspot_id TEXT)";

/// A statement that names a partition wakes no statement trigger of the table it belongs to, and this partition has none of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h20_a_row_changed_through_a_partition_is_found_on_postgres() -> eyre::Result<()> {
    let rig = three(Kind::Postgres, Setup { prepare: PARTITIONED, ..contacts(ARCHIVE) }).await?;
    let (ana, bo) = (key_of(&rig, "Ana").await?, key_of(&rig, "Bo").await?);
    for event in ["update", "delete"] {
        rig.db.run(&format!("DROP TRIGGER tidemark_customers_{event} ON customers_low")).await?;
    }
    rig.db.run("UPDATE customers_low SET first_name = 'Anna' WHERE first_name = 'Ana'; DELETE FROM customers_low WHERE first_name = 'Bo'").await?;
    assert_eq!(rig.db.count(&rig.db.own("tidemark_change")).await?, 0, "no trigger told");
    sweep_and_push(&rig).await?;
    assert_eq!(names(&rig).await?, ["Anna", "Cy"]);
    assert_eq!(rig.drift().await?, [found(&ana, "firstname", "push owed"), found(&bo, "", "row gone: push owed")]);
    Ok(())
}
