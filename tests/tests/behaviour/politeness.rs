//! What an existing order system must never feel: a bad record, a row somebody holds, two CRMs over one table.

use std::time::{Duration, Instant};

use eyre::OptionExt;
use sea_orm::{ConnectionTrait, TransactionTrait};
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_tests::deadline::until;
use tidemark_tests::house::{House, PATIENCE};
use tidemark_tests::{Kind, Rig, Setup, connect, on_both_databases};

on_both_databases! {
    async fn one_bad_record_of_a_page_is_parked_alone(kind) {
        let rig = Rig::start(kind).await?;
        let crm = rig.crm.crm();
        for at in 0..200 {
            let last = if at == 77 { "Forbidden".to_owned() } else { format!("Number {at}") };
            crm.create(Contacts, &[("email", &format!("c{at}@acme.test")), ("lastname", &last)])?;
        }
        rig.catch_up("hubspot.contacts").await?;
        assert_eq!(rig.db.count("customers").await?, 199);
        assert_eq!(rig.debts("parked").await?, 1);
        let cause = rig.db.one(&format!("SELECT cause FROM {} WHERE state = 'parked'", rig.db.own("tidemark_debt"))).await?;
        assert!(cause.ok_or_eyre("no cause")?.contains("refused"));
        let cursor = rig.db.one(&format!("SELECT CAST(fast_until AS TEXT) FROM {} WHERE name = 'hubspot.contacts'", rig.db.own("tidemark_stream"))).await?;
        assert!(cursor.is_some(), "the cursor moved on");
        assert_eq!(rig.db.count(&rig.db.own("tidemark_link")).await?, 199, "no link without a row");

        // Corrected in the CRM, it comes by itself.
        let bad = crm.list(Contacts).into_iter().find(|record| record.properties.get("lastname").map(String::as_str) == Some("Forbidden")).ok_or_eyre("gone")?;
        crm.edit(Contacts, &bad.id, &[("lastname", "Allowed")])?;
        rig.settle().await?;
        assert_eq!(rig.db.count("customers").await?, 200);
        assert_eq!(rig.debts("parked").await?, 0);
        Ok(())
    }

    async fn a_value_of_the_wrong_type_parks_its_record_alone(kind) {
        let tables: &[&'static str] = match kind {
            Kind::Postgres => &["ALTER TABLE customers DROP COLUMN company; ALTER TABLE customers ADD COLUMN company INTEGER"],
            // SQLite takes a text into a column of numbers, unless the table is strict or checks it.
            Kind::Sqlite => &[
                "DROP TABLE orders; DROP TABLE customers; CREATE TABLE customers (id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT UNIQUE, first_name TEXT, last_name TEXT,
                    phone TEXT, email_confirmed_at TEXT, hubspot_id TEXT, company INTEGER) STRICT;
                 CREATE TABLE orders (id INTEGER PRIMARY KEY, number TEXT UNIQUE NOT NULL, customer_id INTEGER, status TEXT NOT NULL, total_cents INTEGER NOT NULL DEFAULT 0, hubspot_id TEXT)",
                "ALTER TABLE customers DROP COLUMN company; ALTER TABLE customers ADD COLUMN company INTEGER CHECK (typeof(company) IN ('integer', 'null'))",
            ],
        };
        for prepare in tables {
            let rig = Rig::with(kind, Setup { prepare, ..Setup::default() }).await?;
            let crm = rig.crm.crm();
            for at in 0..50 {
                let company = if at == 17 { "seventeen".to_owned() } else { at.to_string() };
                crm.create(Contacts, &[("email", &format!("c{at}@acme.test")), ("company", &company)])?;
            }
            rig.catch_up("hubspot.contacts").await?;
            assert_eq!((rig.db.count("customers").await?, rig.debts("parked").await?), (49, 1));
            // The same for a change of a row that is there.
            let good = crm.list(Contacts).into_iter().find(|one| one.properties.get("company").map(String::as_str) == Some("3")).ok_or_eyre("gone")?;
            crm.edit(Contacts, &good.id, &[("company", "three")])?;
            rig.catch_up("hubspot.contacts").await?;
            rig.catch_up("hubspot.contacts").await?;
            assert_eq!((rig.db.count("customers WHERE company = 3").await?, rig.debts("parked").await?), (1, 2));
            let causes = rig.db.rows(&format!("SELECT cause FROM {} WHERE state = 'parked'", rig.db.own("tidemark_debt"))).await?;
            assert!(causes.iter().all(|cause| cause[0].as_deref().is_some_and(|words| words.contains("customers refused"))), "{causes:?}");
            crm.edit(Contacts, &good.id, &[("company", "333")])?;
            rig.catch_up("hubspot.contacts").await?;
            // On a machine that is slow to hear the CRM's time the page may leave it in doubt: then it is read by id.
            rig.debts_due("hubspot.contacts").await?;
            rig.read("hubspot.contacts").await?;
            assert_eq!(rig.db.count("customers WHERE company = 333").await?, 1, "corrected, it comes by itself");
        }
        Ok(())
    }

    async fn a_refused_change_leaves_the_row_and_the_page_passes(kind) {
        let rig = Rig::with(kind, Setup { contacts: "owner = \"crm\"", ..Setup::default() }).await?;
        let crm = rig.crm.crm();
        let ids: Vec<String> = (0..5).map(|at| crm.create(Contacts, &[("email", &format!("c{at}@acme.test"))])).collect::<Result<_, _>>()?;
        rig.settle().await?;
        // Two contacts swap their unique e-mails through a third value; another takes a value the table refuses.
        for (id, email) in [(&ids[0], "c1x@acme.test"), (&ids[1], "c0@acme.test"), (&ids[0], "c1@acme.test")] {
            crm.edit(Contacts, id, &[("email", email)])?;
        }
        crm.edit(Contacts, &ids[2], &[("company", "Robots")])?;
        for _ in 0..2 {
            rig.catch_up("hubspot.contacts").await?;
            rig.read("hubspot.contacts").await?;
        }
        let company = rig.db.one("SELECT company FROM customers WHERE email = 'c2@acme.test'").await?;
        assert_eq!(company.as_deref(), Some("Robots"), "the others of the page are applied");
        Ok(())
    }

    async fn a_row_that_refuses_the_id_of_its_record_is_parked_alone(kind) {
        let rig = Rig::start(kind).await?;
        rig.settle().await?;
        rig.db.run(match kind {
            Kind::Sqlite => "CREATE TRIGGER raising BEFORE UPDATE OF hubspot_id ON customers WHEN NEW.first_name = 'Bo' BEGIN SELECT RAISE(ABORT, 'not for Bo'); END",
            Kind::Postgres => "CREATE FUNCTION raising() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.first_name = 'Bo' THEN RAISE 'not for %', NEW.first_name; END IF; RETURN NEW; END $$;
                CREATE TRIGGER raising BEFORE UPDATE OF hubspot_id ON customers FOR EACH ROW EXECUTE FUNCTION raising()",
        }).await?;
        for name in ["Ana", "Bo", "Cy"] {
            rig.db.run(&format!("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('{name}@acme.test', '{name}', '2026-01-01 00:00:00')")).await?;
        }
        rig.push("hubspot.contacts").await?;
        assert_eq!(rig.records("contacts").await?.len(), 3);
        assert_eq!(rig.db.count("customers WHERE hubspot_id IS NOT NULL").await?, 2, "the others of the batch have theirs");
        assert_eq!(rig.db.count(&format!("{} WHERE state = 'linked'", rig.db.own("tidemark_link"))).await?, 3, "and what is linked is known");
        rig.read("hubspot.contacts").await?;
        let parked = format!("SELECT kind, cause FROM {} WHERE state = 'parked'", rig.db.own("tidemark_debt"));
        let parked = rig.db.rows(&parked).await?;
        let [[Some(kind_of_debt), Some(cause)]] = parked.iter().map(Vec::as_slice).collect::<Vec<_>>()[..] else { eyre::bail!("{parked:?}") };
        assert_eq!(kind_of_debt, "read");
        assert!(cause.contains("refused the change") && cause.contains("not for Bo"), "{cause}");
        assert_eq!(rig.debts("waiting").await?, 0);
        let writes = rig.crm.crm().counters().writes;
        for _ in 0..3 {
            rig.push("hubspot.contacts").await?;
        }
        assert_eq!(rig.crm.crm().counters().writes, writes, "nothing is sent again");

        rig.db.run(if kind == Kind::Sqlite { "DROP TRIGGER raising" } else { "DROP TRIGGER raising ON customers" }).await?;
        let debt = rig.db.one(&format!("SELECT CAST(id AS TEXT) FROM {}", rig.db.own("tidemark_debt"))).await?.ok_or_eyre("no debt")?;
        tidemark_store::debts::retry(&rig.store, debt.parse()?).await?;
        rig.settle().await?;
        assert_eq!(rig.db.count("customers WHERE hubspot_id IS NOT NULL").await?, 3, "a person put it right and said retry");
        assert_eq!(rig.debts("parked").await?, 0);
        Ok(())
    }

    async fn an_edit_in_one_crm_reaches_the_other_once(kind) {
        let rig = Rig::with(kind, Setup { two_connections: true, ..Setup::default() }).await?;
        let (first, second) = (rig.crm.crm(), rig.other.as_ref().ok_or_eyre("no second CRM")?.crm());
        let id = first.create(Contacts, &[("email", "ana@acme.test"), ("phone", "1")])?;
        rig.settle().await?;
        let other_id = rig.db.one("SELECT other_id FROM customers").await?.ok_or_eyre("not in the second CRM")?;
        let writes = (first.counters().writes, second.counters().writes);
        first.edit(Contacts, &id, &[("phone", "2")])?;
        rig.settle().await?;
        let arrived = second.list(Contacts).into_iter().find(|record| record.id == other_id).ok_or_eyre("gone")?;
        assert_eq!(arrived.properties.get("phone").map(String::as_str), Some("2"));
        assert_eq!(second.counters().writes, writes.1 + 1, "once");
        assert_eq!(first.counters().writes, writes.0, "and not back");
        rig.settle().await?;
        assert_eq!((first.counters().writes, second.counters().writes), (writes.0, writes.1 + 1), "and never again");
        Ok(())
    }

    async fn a_deleted_record_is_not_made_again(kind) {
        let rig = Rig::start(kind).await?;
        rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', '2026-01-01 00:00:00')").await?;
        rig.settle().await?;
        let id = rig.db.one("SELECT hubspot_id FROM customers").await?.ok_or_eyre("no id")?;
        rig.crm.crm().delete(Contacts, &id)?;
        rig.db.run("UPDATE customers SET first_name = 'Anna'").await?;
        rig.settle().await?;
        assert_eq!(rig.records("contacts").await?.len(), 0, "it stays deleted");
        assert_eq!(rig.db.count("customers").await?, 1, "and the row stays: deletes do not flow unless declared");
        Ok(())
    }
}

/// The application keeps a row locked in a transaction of its own. Only PostgreSQL has row locks; SQLite's one writer is waited for by its busy time-out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_the_application_holds_stops_neither_its_page_nor_the_application() -> eyre::Result<()> {
    let rig = Rig::start(Kind::Postgres).await?;
    let crm = rig.crm.crm();
    let ids: Vec<String> = (0..20)
        .map(|at| crm.create(Contacts, &[("email", &format!("c{at}@acme.test")), ("company", "Old")]))
        .collect::<Result<_, _>>()?;
    rig.settle().await?;
    let application = connect(&rig.db.url).await?;
    let held = application.begin().await?;
    held.execute_unprepared("UPDATE customers SET last_name = 'Held' WHERE email = 'c7@acme.test'").await?;
    for id in &ids {
        crm.edit(Contacts, id, &[("company", "New")])?;
    }
    let started = Instant::now();
    until("the other rows are fresh", Duration::from_secs(10), || async {
        rig.poll("hubspot.contacts").await?;
        Ok((rig.db.count("customers WHERE company = 'New'").await? == 19).then_some(()))
    })
    .await?;
    assert!(started.elapsed() < Duration::from_secs(5), "the page did not wait for the row");
    let waiting =
        "pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'tidemark' AND datname = current_database()";
    assert_eq!(rig.db.count(waiting).await?, 0, "nothing of ours waits in a queue the application would have to join");
    let before = Instant::now();
    held.execute_unprepared("UPDATE customers SET last_name = 'Still held' WHERE email = 'c7@acme.test'").await?;
    held.commit().await?;
    assert!(before.elapsed() < Duration::from_secs(1), "the application never waits for us");
    rig.settle().await?;
    assert_eq!(rig.db.count("customers WHERE company = 'New'").await?, 20, "the held row followed");
    Ok(())
}

const HELD_FOR: Duration = Duration::from_secs(30);
/// What the application would notice. Nine of ten statements must stay below it; the tenth may have met a page of ours just being written on a busy machine.
const NOTICED: Duration = Duration::from_millis(200);
/// No statement may wait longer for a lock: far more than a page of ours takes, far less than the row is held.
const LOCK_TIMEOUT: &str = "SET SESSION lock_timeout = '1s'";
/// An edit on one side shows on the other within this time; the streams are polled each second.
const FRESH: Duration = Duration::from_secs(15);
/// Statements of ours that wait for a lock of the application's: whoever of the application came next would have to wait behind them.
const BEHIND_THE_SHOP: &str = "SELECT a.query FROM pg_stat_activity a WHERE a.datname = current_database() AND a.application_name = 'tidemark'
    AND EXISTS (SELECT 1 FROM unnest(pg_blocking_pids(a.pid)) b JOIN pg_stat_activity o ON o.pid = b WHERE o.application_name IS DISTINCT FROM 'tidemark')";

/// For half a minute: one row is in somebody's hands, the shop goes on changing the others, and the CRM goes on editing all of them. Real processes, as in production.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_while_a_row_is_held_for_half_a_minute_the_others_stay_fresh_and_the_shop_waits_for_nothing() -> eyre::Result<()> {
    let mut house = House::open(Kind::Postgres, Setup::default(), &[]).await?;
    let crm = house.rig.crm.crm();
    for at in 0..10 {
        let email = format!("c{at}@acme.test");
        let sql = format!("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('{email}', 'First', now())");
        house.rig.db.run(&sql).await?;
    }
    house.rig.settle().await?;
    let ids = house.rig.db.rows("SELECT hubspot_id FROM customers ORDER BY id").await?;
    let ids: Vec<String> = ids.into_iter().flatten().flatten().collect();
    house.start("scheduler-1")?;
    house.start("worker-1")?;

    let application = connect(&house.rig.db.url).await?;
    let (held, shop) = (application.begin().await?, application.begin().await?);
    for session in [&held, &shop] {
        session.execute_unprepared(LOCK_TIMEOUT).await?;
    }
    shop.commit().await?;
    held.execute_unprepared("UPDATE customers SET last_name = 'Held' WHERE id = 1").await?;
    let since = Instant::now();
    let (mut took, mut round) = (Vec::new(), 0_usize);
    while since.elapsed() < HELD_FOR {
        round += 1;
        let (key, company, name) = (2 + round % 9, format!("Company {round}"), format!("Name {round}"));
        // Everything is edited in the CRM, the held one too; of the rest one is followed.
        for (at, id) in ids.iter().enumerate().filter(|(at, _)| at % 3 == round % 3 || at + 1 == key) {
            crm.edit(Contacts, id, &[("company", &company)]).map_err(|refusal| eyre::eyre!("{at}: {}", refusal.message()))?;
        }
        for (at, column) in (2..=10).map(|at| (at, "last_name")).chain([(key, "first_name")]) {
            let statement = Instant::now();
            application.execute_unprepared(&format!("UPDATE customers SET {column} = '{name}' WHERE id = {at}")).await?;
            took.push(statement.elapsed());
        }
        let (rig, id) = (&house.rig, &ids[key - 1]);
        let what = format!("round {round} shows on both sides");
        let fresh = until(&what, FRESH, async || {
            let behind = rig.db.rows(BEHIND_THE_SHOP).await?;
            eyre::ensure!(behind.is_empty(), "the shop would have to wait behind {behind:?}");
            let row = rig.db.one(&format!("SELECT company FROM customers WHERE id = {key}")).await?;
            let record = crm.list(Contacts).into_iter().find(|record| record.id == *id).ok_or_eyre("gone")?;
            let there = record.properties.get("firstname") == Some(&name);
            Ok((there && row.as_ref() == Some(&company)).then_some(()))
        });
        let fresh = fresh.await;
        house.explain(fresh)?;
    }
    let statement = Instant::now();
    held.execute_unprepared("UPDATE customers SET phone = '+49301' WHERE id = 1").await?;
    held.commit().await?;
    took.push(statement.elapsed());
    took.sort_unstable();
    assert!(round >= 3, "only {round} rounds");
    assert!(took[took.len() * 9 / 10] < NOTICED, "the application's statements took {took:?}");

    house.agreement().await?;
    let row = house.rig.db.rows("SELECT last_name, phone, company FROM customers WHERE id = 1").await?;
    let [last_name, phone, company] = row[0].as_slice() else { eyre::bail!("{row:?}") };
    assert_eq!((last_name.as_deref(), phone.as_deref()), (Some("Held"), Some("+49301")), "what the holder wrote stands");
    assert!(company.as_deref().is_some_and(|company| company.starts_with("Company")), "and the held row followed: {company:?}");
    house.service("worker-1")?.terminate(PATIENCE).await?;
    Ok(())
}
