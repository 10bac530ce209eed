//! Two programs that both know better: the record is not written for ever, and a person is told which field goes round.

use eyre::OptionExt;
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_tests::{Kind, Rig, Setup, on_both_databases};

const CONTACTS: &str = "hubspot.contacts";
/// Three turns pass.
const THREE: &str = "loop_breaker = { times = 3, within = \"1h\" }";

/// A customer whose phone is the order system's, in both systems.
async fn customer(kind: Kind) -> eyre::Result<(Rig, String)> {
    let instead = &[("phone = { column = \"phone\", owner = \"hold\" }", "phone = { column = \"phone\", owner = \"orders\" }")];
    let rig = Rig::with(kind, Setup { contacts: THREE, instead, ..Setup::default() }).await?;
    rig.db.run("INSERT INTO customers (email, first_name, phone, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', '1', '2026-01-01 00:00:00')").await?;
    rig.settle().await?;
    let id = rig.db.one("SELECT hubspot_id FROM customers").await?.ok_or_eyre("no id came back")?;
    Ok((rig, id))
}

/// Another program writes this phone into the record; a page reads it, and what is owed is paid. Returns what the record says then.
async fn turn(rig: &Rig, id: &str, phone: &str) -> eyre::Result<String> {
    rig.crm.crm().edit(Contacts, id, &[("phone", phone)])?;
    rig.catch_up(CONTACTS).await?;
    rig.debts_due(CONTACTS).await?;
    rig.push(CONTACTS).await?;
    Ok(rig.record("contacts", id).await?.get("phone").cloned().unwrap_or_default())
}

async fn parked(rig: &Rig) -> eyre::Result<Option<String>> {
    let debts = rig.db.own("tidemark_debt");
    rig.db.one(&format!("SELECT class || ': ' || cause FROM {debts} WHERE kind = 'push' AND state = 'parked'")).await
}

on_both_databases! {
    async fn a_loop_with_another_program_is_held_and_names_its_field(kind) {
        let (rig, id) = customer(kind).await?;
        for _ in 0..3 {
            assert_eq!(turn(&rig, &id, "2").await?, "1", "three turns pass");
        }
        assert_eq!(turn(&rig, &id, "2").await?, "2", "the fourth waits");
        let cause = parked(&rig).await?.ok_or_eyre("nothing is parked")?;
        assert!(cause.starts_with("loop: phone was sent 3 times within 0 min"), "{cause}");
        let writes = rig.crm.crm().counters().writes;
        turn(&rig, &id, "2").await?;
        assert_eq!(rig.crm.crm().counters().writes, writes, "and nothing is written any more");
        Ok(())
    }

    async fn a_person_lets_one_turn_through_and_a_new_value_needs_nobody(kind) {
        let (rig, id) = customer(kind).await?;
        for _ in 0..4 {
            turn(&rig, &id, "2").await?;
        }
        let debts = rig.db.own("tidemark_debt");
        let debt: i64 = rig.db.one(&format!("SELECT CAST(id AS TEXT) FROM {debts} WHERE state = 'parked'")).await?.ok_or_eyre("nothing is parked")?.parse()?;
        tidemark_store::debts::retry(&rig.store, debt).await?;
        rig.push(CONTACTS).await?;
        assert_eq!(rig.record("contacts", &id).await?["phone"], "1");
        assert_eq!(turn(&rig, &id, "2").await?, "2", "one turn, not all that follow");
        rig.db.run("UPDATE customers SET phone = '3'").await?;
        rig.push(CONTACTS).await?;
        assert_eq!(rig.record("contacts", &id).await?["phone"], "3", "an edit of the row is no turn");
        assert_eq!(parked(&rig).await?, None);
        Ok(())
    }

    async fn other_values_each_time_are_edits(kind) {
        let (rig, id) = customer(kind).await?;
        for phone in ["2", "3", "4", "5", "6"] {
            assert_eq!(turn(&rig, &id, phone).await?, "1");
        }
        assert_eq!(parked(&rig).await?, None);
        Ok(())
    }
}
