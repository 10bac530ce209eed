//! The main job: both sides are brought together, edits flow, echoes cost nothing.

use eyre::OptionExt;
use tidemark_sandbox::ObjectType::{Contacts, Deals};
use tidemark_tests::everything::{Everything, count_writes};
use tidemark_tests::{Keys, ONLY_READS, Rig, Setup, on_both_databases};

on_both_databases! {
    async fn both_sides_are_brought_together(kind) {
        let rig = Rig::start(kind).await?;
        let crm = rig.crm.crm();
        rig.db.run("INSERT INTO customers (email, first_name, last_name, email_confirmed_at) VALUES
            ('ana@acme.test', 'Ana', 'Ortiz', '2026-01-01 00:00:00'), ('bo@acme.test', 'Bo', 'Lund', '2026-01-01 00:00:00'),
            ('secret@acme.test', 'Not', 'Confirmed', NULL)").await?;
        rig.db.run("INSERT INTO orders (number, customer_id, status, total_cents) VALUES ('R-1', 1, 'accepted', 1250), ('R-2', 2, 'shipped', 99), ('R-3', 1, 'draft', 5)").await?;
        let ana = crm.create(Contacts, &[("email", "ANA@acme.test"), ("phone", "0301")])?;
        crm.create(Contacts, &[("email", "only@crm.test"), ("firstname", "Only")])?;
        crm.create(Deals, &[("dealname", "R-2"), ("amount", "1.00"), ("dealstage", "closedlost")])?;
        rig.settle().await?;

        assert_eq!(rig.db.count("customers").await?, 4, "the one that only the CRM knew became a row");
        let row = rig.db.rows("SELECT phone, hubspot_id, first_name FROM customers WHERE id = 1").await?;
        assert_eq!(row[0], [Some("0301".to_owned()), Some(ana.clone()), Some("Ana".to_owned())]);
        assert_eq!(rig.record("contacts", &ana).await?.get("firstname").map(String::as_str), Some("Ana"));
        let contacts = rig.records("contacts").await?;
        assert_eq!(contacts.len(), 3, "the unconfirmed one was not sent: {contacts:?}");
        let deals = rig.records("deals").await?;
        assert_eq!(deals.len(), 2, "the draft was not sent: {deals:?}");
        let second = deals.values().find(|deal| deal["dealname"] == "R-2").ok_or_eyre("no deal R-2")?;
        assert_eq!((second["amount"].as_str(), second["dealstage"].as_str()), ("0.99", "closedwon"), "what was there was put right, not doubled");
        Ok(())
    }

    async fn edits_on_both_sides_arrive_on_the_other(kind) {
        let rig = Rig::start(kind).await?;
        let crm = rig.crm.crm();
        rig.db.run("INSERT INTO customers (email, first_name, phone, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', '1', '2026-01-01 00:00:00')").await?;
        rig.settle().await?;
        let id = rig.db.one("SELECT hubspot_id FROM customers").await?.ok_or_eyre("no id came back")?;
        rig.db.run("UPDATE customers SET first_name = 'Anna'").await?;
        crm.edit(Contacts, &id, &[("company", "Robots"), ("firstname", "Wrong")])?;
        rig.settle().await?;
        let record = rig.record("contacts", &id).await?;
        assert_eq!(record["firstname"], "Anna", "the orders own the name");
        assert_eq!(rig.db.one("SELECT company FROM customers").await?.as_deref(), Some("Robots"));
        Ok(())
    }

    async fn after_agreement_a_hundred_ticks_write_nothing(kind) {
        let rig = Rig::start(kind).await?;
        let crm = rig.crm.crm();
        // What could start a quarrel that never ends: a value the CRM alters, blanks on one side, letter case, somebody who is not sent, his order that waits for
        // him, a draft, a record and a deal that the other side never had.
        rig.db.run("INSERT INTO customers (email, first_name, phone, company, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', '030 12 34', NULL, '2026-01-01 00:00:00'),
            ('Bo@acme.test', NULL, NULL, 'Old', '2026-01-01 00:00:00'), ('secret@acme.test', 'Not', '1', NULL, NULL)").await?;
        rig.db.run("INSERT INTO orders (number, customer_id, status, total_cents) VALUES ('R-1', 1, 'accepted', 1250), ('R-2', 2, 'cancelled', 0), ('R-3', 1, 'draft', 5),
            ('R-4', 3, 'accepted', 7)").await?;
        crm.create(Contacts, &[("email", "only@crm.test")])?;
        crm.create(Contacts, &[("email", "bo@acme.test"), ("firstname", "Bob"), ("phone", "0302")])?;
        crm.create(Deals, &[("dealname", "Lead"), ("dealstage", "appointmentscheduled")])?;
        rig.settle().await?;
        assert_eq!(rig.debts("parent").await?, 1, "the order of somebody unconfirmed waits");
        count_writes(&rig.db).await?;
        let before = Everything::of(&rig).await?;
        assert!(before.is_stamped(), "{before:#?}");
        let windows = format!("{} WHERE state = 'completed' AND reader", rig.db.own("tidemark_window"));
        let read = [rig.db.count(&format!("{windows} = 'fast'")).await?, rig.db.count(&format!("{windows} = 'settled'")).await?];
        for tick in 0..100 {
            assert_eq!(rig.tick().await?, 2, "both streams are due");
            let jobs = rig.work_off().await?;
            assert!(jobs >= 2, "tick {tick} made {jobs} jobs");
            if tick == 50 {
                // Time passes: what waits for its parent is looked at again.
                rig.debts_due("hubspot.deals").await?;
            }
        }
        assert_eq!(Everything::of(&rig).await?, before, "nothing was written on either side");
        assert!(rig.db.count(&format!("{windows} = 'fast'")).await? >= read[0] + 180, "the ticks read windows, unless the CRM's clock stood still");
        assert!(rig.db.count(&format!("{windows} = 'settled'")).await? > read[1], "and the settled reader took its turns");
        rig.db.run("UPDATE customers SET phone = phone WHERE id = 1").await?;
        assert_ne!(Everything::of(&rig).await?, before, "a write of the very same values would have shown");
        Ok(())
    }

    async fn a_stream_that_only_reads_sends_nothing_and_puts_local_edits_back(kind) {
        let rig = Rig::with(kind, Setup { instead: ONLY_READS, ..Setup::default() }).await?;
        let crm = rig.crm.crm();
        crm.create(Contacts, &[("email", "ana@acme.test"), ("company", "Robots")])?;
        rig.settle().await?;
        let writes = crm.counters().writes;
        rig.db.run("INSERT INTO customers (email, first_name) VALUES ('only@shop.test', 'Only')").await?;
        rig.db.run("UPDATE customers SET company = 'Edited here' WHERE email = 'ana@acme.test'").await?;
        rig.settle().await?;
        assert_eq!(rig.records("contacts").await?.len(), 1, "the shop's own row made no contact");
        assert_eq!(crm.counters().writes, writes);
        assert_eq!(rig.db.one("SELECT company FROM customers WHERE email = 'ana@acme.test'").await?.as_deref(), Some("Robots"));
        Ok(())
    }

    async fn keys_of_any_type_are_carried_both_ways(kind) {
        for keys in [Keys::Uuid, Keys::Text] {
            let rig = Rig::with(kind, Setup { keys, ..Setup::default() }).await?;
            let key = "2c5ea4c0-4067-11e9-8bad-9b1deb4d3b7d";
            rig.db.run(&format!("INSERT INTO customers (id, email, first_name, email_confirmed_at) VALUES ('{key}', 'ana@acme.test', 'Ana', '2026-01-01 00:00:00')")).await?;
            rig.db.run(&format!("INSERT INTO orders (number, customer_id, status, total_cents) VALUES ('R-1', '{key}', 'accepted', 1250)")).await?;
            rig.crm.crm().create(Contacts, &[("email", "only@crm.test"), ("firstname", "Only")])?;
            rig.settle().await?;
            assert_eq!(rig.db.count("customers WHERE id IS NOT NULL AND hubspot_id IS NOT NULL").await?, 2);
            let deals = rig.crm.crm().list(Deals);
            assert_eq!(deals[0].associations.get("contacts").map(Vec::len), Some(1), "the order found its customer's contact");
        }
        Ok(())
    }
}
