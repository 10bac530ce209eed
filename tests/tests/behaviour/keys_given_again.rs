//! After a backup was put back, keys of rows that were lost are given out again, and records in the CRM still carry them: nobody becomes somebody else, and nobody is lost.

use eyre::OptionExt;
use tidemark_sandbox::ObjectType::{Contacts, Deals};
use tidemark_store::debts;
use tidemark_store::environment::look;
use tidemark_tests::backup::Backup;
use tidemark_tests::{Kind, Rig, on_both_databases};

use crate::restore::{CONTACTS, DEALS, GUARD, parked, read_again_and_adopt, shop, witness};

/// Bo became a record, the backup from before him was put back, and Cy has his key; what is owed was tried.
async fn cy_has_the_key_of_bo(kind: Kind) -> eyre::Result<Rig> {
    let rig = shop(kind).await?;
    let backup = Backup::of(&rig.db).await?;
    rig.db
        .run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('bo@acme.test', 'Bo', '2026-01-01 00:00:00')")
        .await?;
    rig.settle().await?;
    let witness = witness(&rig.store).await?;
    backup.restore(&rig.db).await?;
    let cy = "INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('cy@acme.test', 'Cy', '2026-01-01 00:00:00')";
    rig.db.run(cy).await?;
    look(&rig.second_store().await?, Some(&witness), GUARD).await?.ok_or_eyre("nobody noticed")?;
    read_again_and_adopt(&rig).await?;
    rig.debts_due(CONTACTS).await?;
    rig.push(CONTACTS).await?;
    Ok(rig)
}

on_both_databases! {
    async fn h32_a_key_given_out_again_never_overwrites_the_record_of_the_row_that_was_lost(kind) {
        let rig = shop(kind).await?;
        let backup = Backup::of(&rig.db).await?;
        rig.db.run("INSERT INTO orders (number, customer_id, status, total_cents) VALUES ('R-2', 1, 'accepted', 200)").await?;
        rig.settle().await?;
        let lost = record_of(&rig, "R-2").await?;
        let witness = witness(&rig.store).await?;
        backup.restore(&rig.db).await?;
        // The shop goes on, and gives the number of the lost row to another order.
        rig.db.run("INSERT INTO orders (number, customer_id, status, total_cents) VALUES ('R-3', 1, 'accepted', 300)").await?;
        assert_eq!(rig.db.one("SELECT number FROM orders WHERE id = 2").await?.as_deref(), Some("R-3"));
        look(&rig.second_store().await?, Some(&witness), GUARD).await?.ok_or_eyre("nobody noticed")?;
        read_again_and_adopt(&rig).await?;
        for _ in 0..2 {
            rig.debts_due(DEALS).await?;
            rig.push(DEALS).await?;
        }
        let deal = rig.record("deals", &lost).await?;
        assert_eq!((deal["dealname"].as_str(), deal["amount"].as_str()), ("R-2", "2.00"), "it is as it was");
        let [cause] = &parked(&rig, "push").await?[..] else { eyre::bail!("one waits: {:?}", parked(&rig, "push").await?) };
        assert!(cause.contains(&format!("record {lost} is in the way")) && cause.contains("key of row 2"), "{cause}");
        // A person looks: the lost order stays in the CRM as it is, and the new one gets a record of its own.
        rig.crm.crm().edit(Deals, &lost, &[("tidemark_key", "")])?;
        retry_all(&rig).await?;
        rig.settle().await?;
        let mut deals: Vec<String> = rig.records("deals").await?.into_values().filter_map(|deal| deal.get("dealname").cloned()).collect();
        deals.sort();
        assert_eq!(deals, ["R-1", "R-2", "R-3"]);
        Ok(())
    }

    async fn h32_a_record_whose_key_was_given_out_again_is_not_bound_to_the_new_row(kind) {
        let rig = cy_has_the_key_of_bo(kind).await?;
        assert_eq!(rig.db.one("SELECT email FROM customers WHERE id = 2").await?.as_deref(), Some("cy@acme.test"));
        let emails = |records: std::collections::BTreeMap<String, std::collections::BTreeMap<String, String>>| {
            let mut emails: Vec<String> = records.into_values().filter_map(|record| record.get("email").cloned()).collect();
            emails.sort();
            emails
        };
        assert_eq!(emails(rig.records("contacts").await?), ["ana@acme.test", "bo@acme.test"], "nobody became somebody else");
        assert_eq!((parked(&rig, "read").await?.len(), parked(&rig, "push").await?.len()), (1, 1));
        // Cleared, Bo is read again and becomes a row once more, and Cy a record.
        let records = rig.records("contacts").await?;
        let (bo, _) = records.iter().find(|(_, record)| record["email"] == "bo@acme.test").ok_or_eyre("no Bo")?;
        rig.crm.crm().edit(Contacts, bo, &[("tidemark_key", "")])?;
        retry_all(&rig).await?;
        rig.settle().await?;
        assert_eq!(emails(rig.records("contacts").await?), ["ana@acme.test", "bo@acme.test", "cy@acme.test"]);
        assert_eq!(rig.db.count("customers").await?, 3);
        Ok(())
    }

    async fn h32_a_record_whose_key_was_given_out_again_outlives_the_row_that_got_it(kind) {
        let rig = cy_has_the_key_of_bo(kind).await?;
        assert_eq!(parked(&rig, "push").await?.len(), 1, "Cy's create was begun, and found Bo under its key");
        rig.db.run("DELETE FROM customers WHERE email = 'cy@acme.test'").await?;
        rig.settle().await?;
        rig.sweep(CONTACTS).await?;
        assert_eq!(rig.db.rows("SELECT email FROM customers ORDER BY email").await?.concat(), [Some("ana@acme.test".to_owned()), Some("bo@acme.test".to_owned())]);
        assert_eq!((parked(&rig, "read").await?, parked(&rig, "push").await?), (vec![], vec![]));
        Ok(())
    }

    async fn h32_a_record_whose_key_was_given_to_a_row_with_a_record_of_its_own_is_not_its_double(kind) {
        let rig = shop(kind).await?;
        let backup = Backup::of(&rig.db).await?;
        rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('bo@acme.test', 'Bo', '2026-01-01 00:00:00')").await?;
        rig.settle().await?;
        let records = rig.records("contacts").await?;
        let (bo, _) = records.iter().find(|(_, record)| record["email"] == "bo@acme.test").ok_or_eyre("no Bo")?;
        let witness = witness(&rig.store).await?;
        backup.restore(&rig.db).await?;
        // Cy has a record already, and his row gets the key of the row that was Bo's.
        rig.crm.crm().create(Contacts, &[("email", "cy@acme.test")])?;
        let cy = "INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('cy@acme.test', 'Cy', '2026-01-01 00:00:00')";
        rig.db.run(cy).await?;
        look(&rig.second_store().await?, Some(&witness), GUARD).await?.ok_or_eyre("nobody noticed")?;
        read_again_and_adopt(&rig).await?;
        rig.crm.crm().edit(Contacts, bo, &[("firstname", "Robert")])?;
        rig.catch_up(CONTACTS).await?;
        let [cause] = &parked(&rig, "read").await?[..] else { eyre::bail!("one waits: {:?}", parked(&rig, "read").await?) };
        assert!(cause.contains("given out twice"), "merging the two would make one person of Bo and Cy: {cause}");
        Ok(())
    }

    async fn h32_a_row_that_was_there_when_the_backup_was_taken_finds_its_record_by_key_and_name(kind) {
        let rig = shop(kind).await?;
        rig.db.run("INSERT INTO orders (number, customer_id, status, total_cents) VALUES ('R-2', 1, 'accepted', 200)").await?;
        tidemark_worker::relay_once(&rig.ctx).await?;
        let backup = Backup::of(&rig.db).await?;
        rig.settle().await?;
        let witness = witness(&rig.store).await?;
        backup.restore(&rig.db).await?;
        look(&rig.second_store().await?, Some(&witness), GUARD).await?.ok_or_eyre("nobody noticed")?;
        read_again_and_adopt(&rig).await?;
        rig.settle().await?;
        assert_eq!(rig.records("deals").await?.len(), 2, "its record was made after the backup, and is not made twice");
        assert_eq!(parked(&rig, "push").await?, [""; 0]);
        Ok(())
    }
}

async fn record_of(rig: &Rig, number: &str) -> eyre::Result<String> {
    let sql = format!("SELECT hubspot_id FROM orders WHERE number = '{number}'");
    rig.db.one(&sql).await?.ok_or_eyre("no record")
}

/// A person retries everything that is parked.
async fn retry_all(rig: &Rig) -> eyre::Result<()> {
    let sql = format!("SELECT CAST(id AS TEXT) FROM {} WHERE state = 'parked' ORDER BY id", rig.db.own("tidemark_debt"));
    for id in rig.db.rows(&sql).await?.into_iter().flatten().flatten() {
        debts::retry(&rig.store, id.parse()?).await?;
    }
    Ok(())
}
