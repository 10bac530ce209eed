//! What an existing order system must never feel: a bad record, a row somebody holds, two CRMs over one table.

use std::time::{Duration, Instant};

use eyre::OptionExt;
use sea_orm::{ConnectionTrait, TransactionTrait};
use tidemark_sandbox::ObjectType::Contacts;
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
    tidemark_tests::deadline::until("the other rows are fresh", Duration::from_secs(10), || async {
        rig.poll("hubspot.contacts").await?;
        Ok((rig.db.count("customers WHERE company = 'New'").await? == 19).then_some(()))
    })
    .await?;
    assert!(started.elapsed() < Duration::from_secs(5), "the page did not wait for the row");
    let waiting = "pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'tidemark'";
    assert_eq!(rig.db.count(waiting).await?, 0, "nothing of ours waits in a queue the application would have to join");
    let before = Instant::now();
    held.execute_unprepared("UPDATE customers SET last_name = 'Still held' WHERE email = 'c7@acme.test'").await?;
    held.commit().await?;
    assert!(before.elapsed() < Duration::from_secs(1), "the application never waits for us");
    rig.settle().await?;
    assert_eq!(rig.db.count("customers WHERE company = 'New'").await?, 20, "the held row followed");
    Ok(())
}
