//! Anyone can see why a field has the value it has: each change says its rule, its source and what stood before, in the transaction that made it.

use std::time::Duration;

use eyre::OptionExt;
use tidemark_core::why::{Asked, Why, tell};
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_store::{lineage, why};
use tidemark_tests::processes::{self, Ended};
use tidemark_tests::{Kind, Rig, Setup, TOKEN, on_both_databases};

const CONTACTS: &str = "hubspot.contacts";

/// What is told of a thing.
async fn told(rig: &Rig, stream: &str, thing: &str, field: Option<&str>) -> eyre::Result<Why> {
    let mapped = rig.stream(stream)?;
    let facts = why::look(&rig.store, mapped.id, &mapped.spec, &Asked::parse(thing), rig.streams()).await?;
    Ok(tell(&mapped.spec, &facts, field))
}

/// The newest thing that happened to a field of row 1.
async fn newest(rig: &Rig, field: &str) -> eyre::Result<String> {
    let why = told(rig, CONTACTS, "row:1", Some(field)).await?;
    why.history.into_iter().next().map(|passage| passage.sentence).ok_or_eyre("nothing is told")
}

#[track_caller]
fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in:\n{text}");
    }
}

async fn rows(rig: &Rig) -> eyre::Result<i64> {
    rig.db.count(&rig.db.own("tidemark_lineage")).await
}

/// A confirmed customer that was made a record and is agreed.
async fn agreed(kind: Kind, contacts: &'static str) -> eyre::Result<(Rig, String)> {
    let rig = Rig::with(kind, Setup { contacts, ..Setup::default() }).await?;
    rig.db.run("INSERT INTO customers (email, first_name, phone, company, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', '1', 'Acme', '2026-01-01 00:00:00')").await?;
    rig.settle().await?;
    let id = rig.db.one("SELECT hubspot_id FROM customers").await?.ok_or_eyre("no id came back")?;
    Ok((rig, id))
}

on_both_databases! {
    async fn every_change_in_the_row_says_its_rule_and_what_stood_before(kind) {
        let (rig, id) = agreed(kind, "").await?;
        let crm = rig.crm.crm();
        says(&newest(&rig, "company").await?, &["the record was made from the row (push)"]);

        crm.edit(Contacts, &id, &[("company", "Bolt")])?;
        rig.catch_up(CONTACTS).await?;
        says(&newest(&rig, "company").await?, &["it changed there and not here (window ", " reader); it was «Acme» and became «Bolt»"]);

        rig.db.run("UPDATE customers SET company = 'Ours'").await?;
        crm.edit(Contacts, &id, &[("company", "Theirs")])?;
        rig.catch_up(CONTACTS).await?;
        says(&newest(&rig, "company").await?, &["both sides changed, the CRM owns the field", "it was «Ours» and became «Theirs»"]);

        rig.db.run("UPDATE customers SET company = 'Mine'").await?;
        rig.push(CONTACTS).await?;
        rig.read(CONTACTS).await?;
        says(&newest(&rig, "company").await?, &["put back to the CRM's value", "(read by its id); it was «Mine» and became «Theirs»"]);

        crm.edit(Contacts, &id, &[("company", "")])?;
        rig.catch_up(CONTACTS).await?;
        says(&newest(&rig, "company").await?, &["a blank in the CRM does not overwrite", "the row says «Theirs», the record is blank"]);
        let why = told(&rig, CONTACTS, "1", Some("company")).await?;
        assert_eq!((why.fields[0].state, why.history.len()), ("differs", 5));
        assert_eq!(rows(&rig).await?, 5, "one row for each change");
        Ok(())
    }

    async fn every_change_in_the_record_says_its_rule_and_what_stood_before(kind) {
        let (rig, id) = agreed(kind, "").await?;
        rig.db.run("UPDATE customers SET first_name = 'Anna', last_name = 'Ortiz'").await?;
        rig.push(CONTACTS).await?;
        says(&newest(&rig, "firstname").await?, &["sent to the CRM: it changed in the row (push); it was «Ana» there and became «Anna»"]);
        assert_eq!(rows(&rig).await?, 2, "two fields of one push are one row");

        rig.crm.crm().edit(Contacts, &id, &[("firstname", "Wrong")])?;
        rig.catch_up(CONTACTS).await?;
        says(&newest(&rig, "firstname").await?, &["owed to the CRM: it changed there", "the row says «Anna», the record says «Wrong»"]);
        assert_eq!(told(&rig, CONTACTS, "1", Some("firstname")).await?.fields[0].state, "owed");
        rig.push(CONTACTS).await?;
        says(&newest(&rig, "firstname").await?, &["sent to the CRM: it was owed", "it was «Wrong» there and became «Anna»"]);

        rig.db.run("UPDATE customers SET phone = '030 12 34'").await?;
        rig.push(CONTACTS).await?;
        says(&newest(&rig, "phone").await?, &["which wrote it in its own form", "became «0301234»"]);
        Ok(())
    }

    async fn a_conflict_is_told_from_its_beginning_to_its_end(kind) {
        let (rig, id) = agreed(kind, "").await?;
        rig.db.run("UPDATE customers SET phone = '2'").await?;
        rig.crm.crm().edit(Contacts, &id, &[("phone", "3")])?;
        rig.catch_up(CONTACTS).await?;
        says(&newest(&rig, "phone").await?, &["a conflict began", "the row says «2», the record says «3»; they had agreed on «1»"]);
        let why = told(&rig, CONTACTS, "1", Some("phone")).await?;
        says(&why.fields[0].sentence, &["conflict", "before that, both say «1»", "an edit of one side"]);

        rig.db.run("UPDATE customers SET phone = '4'").await?;
        rig.push(CONTACTS).await?;
        says(&newest(&rig, "phone").await?, &["both sides had changed, then it was edited in the row", "it was «3» there and became «4»"]);

        rig.db.run("UPDATE customers SET phone = '5'").await?;
        rig.crm.crm().edit(Contacts, &id, &[("phone", "6")])?;
        rig.catch_up(CONTACTS).await?;
        rig.crm.crm().edit(Contacts, &id, &[("phone", "7")])?;
        rig.catch_up(CONTACTS).await?;
        says(&newest(&rig, "phone").await?, &["both sides had changed, then it was edited there", "it was «5» and became «7»"]);
        Ok(())
    }

    async fn a_row_that_was_made_and_a_pair_that_met_are_told_apart(kind) {
        let rig = Rig::start(kind).await?;
        rig.db.run("INSERT INTO customers (email, first_name, phone) VALUES ('ana@acme.test', 'Ana', NULL)").await?;
        rig.crm.crm().create(Contacts, &[("email", "ana@acme.test"), ("firstname", "Anna"), ("phone", "1")])?;
        rig.crm.crm().create(Contacts, &[("email", "only@crm.test"), ("firstname", "Only")])?;
        rig.catch_up(CONTACTS).await?;
        let made = told(&rig, CONTACTS, "row:2", Some("firstname")).await?;
        says(&made.history[0].sentence, &["the row was made from the record (window ", " reader)"]);
        assert_eq!(rows(&rig).await?, 1, "the row that was made costs no row of lineage");
        says(&newest(&rig, "phone").await?, &["the row was blank when the two met", "it was blank and became «1»"]);
        says(&newest(&rig, "firstname").await?, &["the two met with different values, the order database owns the field"]);
        says(&newest(&rig, "email").await?, &["both sides said the same when the two met"]);
        Ok(())
    }

    async fn the_end_of_a_row_and_of_a_record_is_told(kind) {
        let (rig, id) = agreed(kind, "deletes = { outbound = \"archive\" }").await?;
        rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('bo@acme.test', 'Bo', '2026-01-01 00:00:00')").await?;
        rig.settle().await?;
        let second = rig.db.one("SELECT hubspot_id FROM customers WHERE id = 2").await?.ok_or_eyre("no id came back")?;
        rig.db.run("DELETE FROM customers WHERE id = 1").await?;
        rig.push(CONTACTS).await?;
        let why = told(&rig, CONTACTS, &format!("record:{id}"), None).await?;
        says(&why.history[0].sentence, &["the record was archived, because its row was deleted (push)"]);
        says(&why.stands.join("\n"), &["were one thing, and one of them is gone", "not in"]);

        rig.crm.crm().delete(Contacts, &second)?;
        rig.db.run("UPDATE customers SET first_name = 'Bob'").await?;
        rig.push(CONTACTS).await?;
        rig.read(CONTACTS).await?;
        let why = told(&rig, CONTACTS, "2", Some("firstname")).await?;
        says(&why.history[0].sentence, &["the record is gone from the CRM", "(read by its id)"]);
        Ok(())
    }

    async fn polls_of_what_did_not_change_write_no_lineage(kind) {
        let (rig, _) = agreed(kind, "").await?;
        rig.crm.crm().create(Contacts, &[("email", "only@crm.test")])?;
        rig.settle().await?;
        let newest = format!("SELECT CAST(max(id) AS TEXT) FROM {}", rig.db.own("tidemark_lineage"));
        let before = rig.db.one(&newest).await?;
        for _ in 0..20 {
            rig.poll(CONTACTS).await?;
            rig.push(CONTACTS).await?;
        }
        // Read again by its id, too.
        rig.db.run("UPDATE customers SET first_name = first_name").await?;
        rig.push(CONTACTS).await?;
        assert_eq!(rig.db.one(&newest).await?, before);
        Ok(())
    }

    async fn lineage_is_forgotten_after_its_retention_and_not_before(kind) {
        let (rig, id) = agreed(kind, "").await?;
        for company in ["Bolt", "Crux"] {
            rig.crm.crm().edit(Contacts, &id, &[("company", company)])?;
            rig.catch_up(CONTACTS).await?;
        }
        let table = rig.db.own("tidemark_lineage");
        assert_eq!(rows(&rig).await?, 3);
        rig.db.run(&format!("UPDATE {table} SET at = 1000 * id")).await?;
        let last: i64 = rig.db.one(&format!("SELECT CAST(max(at) AS TEXT) FROM {table}")).await?.unwrap_or_default().parse()?;
        assert_eq!(lineage::prune(&rig.store, last).await?, 2);
        says(&newest(&rig, "company").await?, &["it was «Bolt» and became «Crux»"]);
        assert_eq!(lineage::prune(&rig.store, last + 1).await?, 1);
        let why = told(&rig, CONTACTS, "1", Some("company")).await?;
        assert!(why.history.is_empty());
        assert_eq!(why.fields[0].sentence, "agreed: both say «Crux»", "how it stands is never forgotten");
        Ok(())
    }

    async fn a_digest_keeps_and_shows_no_value(kind) {
        let (rig, id) = agreed(kind, "lineage = \"digest\"").await?;
        for company in ["Bolt", "Crux", "Bolt"] {
            rig.crm.crm().edit(Contacts, &id, &[("company", company)])?;
            rig.catch_up(CONTACTS).await?;
        }
        let kept = rig.db.rows(&format!("SELECT fields FROM {} ORDER BY id", rig.db.own("tidemark_lineage"))).await?;
        let why = told(&rig, CONTACTS, "1", None).await?;
        let shown = format!("{kept:?}{why}{}", serde_json::to_string(&why)?);
        for value in ["Acme", "Bolt", "Crux", "ana@acme.test"] {
            assert!(!shown.contains(value), "{value} shows in {shown}");
        }
        let why = told(&rig, CONTACTS, "1", Some("company")).await?;
        assert_eq!(why.history[0].row, why.history[2].row, "the same value is known for the same");
        assert_ne!(why.history[0].row, why.history[1].row);
        assert_eq!(why.history[0].row, why.fields[0].row, "and for the present one");
        Ok(())
    }

    async fn nothing_is_kept_of_a_field_whose_lineage_is_off(kind) {
        let (rig, id) = agreed(kind, "lineage = \"off\"").await?;
        rig.crm.crm().edit(Contacts, &id, &[("company", "Bolt")])?;
        rig.catch_up(CONTACTS).await?;
        assert_eq!(rig.db.one("SELECT company FROM customers").await?.as_deref(), Some("Bolt"));
        assert_eq!(rows(&rig).await?, 1, "only that the record was made");
        let why = told(&rig, CONTACTS, "1", Some("company")).await?;
        assert!(why.history.is_empty());
        says(&why.fields[0].sentence, &["agreed", "not shown"]);
        Ok(())
    }

    async fn why_is_told_on_the_command_line(kind) {
        let (rig, id) = agreed(kind, "").await?;
        rig.crm.crm().edit(Contacts, &id, &[("company", "Bolt")])?;
        rig.catch_up(CONTACTS).await?;
        for told in [why_says(&rig, &[CONTACTS, "1"]).await?, why_says(&rig, &[CONTACTS, &format!("record:{id}")]).await?] {
            assert_eq!(told.code, Some(0), "{}", told.stderr);
            says(&told.stdout, &[
                &format!("hubspot.contacts  row 1 ↔ record {id}"),
                "are one thing, linked since",
                "  company ↔ company  agreed: both say «Bolt»",
                "  firstname ↔ first_name  agreed: both say «Ana»",
                "  company: taken from the CRM: it changed there and not here (window ",
                "; it was «Acme» and became «Bolt»",
                "  the record was made from the row (push)",
            ]);
        }
        let json = why_says(&rig, &[CONTACTS, "1", "company", "--json"]).await?;
        let json: serde_json::Value = serde_json::from_str(&json.good()?)?;
        assert_eq!((&json["history"][0]["rule"], &json["history"][0]["was"], &json["history"][0]["stood"]), (&"taken".into(), &"Acme".into(), &"crm".into()));
        assert_eq!(json["fields"][0]["state"], "agreed");

        let unmapped = why_says(&rig, &[CONTACTS, "1", "colour"]).await?;
        assert_eq!(unmapped.code, Some(0));
        says(&unmapped.stdout, &["colour is not mapped in hubspot.contacts", "company ↔ company", "firstname ↔ first_name"]);
        let unknown = why_says(&rig, &[CONTACTS, "99"]).await?;
        assert_eq!(unknown.code, Some(1));
        says(&unknown.stderr, &["hubspot.contacts knows no 99", "has no row with id = 99"]);
        let no_key = why_says(&rig, &[CONTACTS, "no-number"]).await?;
        assert_eq!(no_key.code, Some(1), "what cannot be a key names no row: {}", no_key.stderr);
        let nowhere = why_says(&rig, &["hubspot.people", "1"]).await?;
        assert_eq!(nowhere.code, Some(1));
        says(&nowhere.stderr, &["there is no stream hubspot.people", "hubspot.deals"]);
        Ok(())
    }

    async fn why_says_what_a_row_waits_for(kind) {
        let rig = Rig::start(kind).await?;
        rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('nonsense', 'No', '2026-01-01 00:00:00'), ('secret@acme.test', 'Not', NULL)").await?;
        rig.db.run("INSERT INTO orders (number, customer_id, status, total_cents) VALUES ('R-1', 2, 'accepted', 1250), ('R-2', 2, 'draft', 5)").await?;
        for stream in [CONTACTS, "hubspot.deals"] {
            rig.catch_up(stream).await?;
            rig.push(stream).await?;
        }
        for (stream, row, words) in [
            (CONTACTS, "1", ["is parked, and a person has to see to it: email is not an e-mail address", "Next step: correct email of row 1"]),
            (CONTACTS, "2", ["is linked to no record of contacts", "email_confirmed_at must be present and is blank"]),
            ("hubspot.deals", "1", ["Waits until row 2 of contacts is in the CRM", "The parent is not sent while the send_when of its stream does not hold"]),
            ("hubspot.deals", "2", ["is linked to no record of deals", "status must be one of accepted, shipped, cancelled and is «draft»"]),
        ] {
            let told = why_says(&rig, &[stream, row]).await?;
            assert_eq!(told.code, Some(0), "{}", told.stderr);
            says(&told.stdout, &words);
        }
        Ok(())
    }
}

/// `tidemark why` as somebody runs it who has nothing but the configuration.
async fn why_says(rig: &Rig, args: &[&str]) -> eyre::Result<Ended> {
    let folder = rig.db.folder.path();
    std::fs::write(folder.join("tidemark.toml"), &rig.text)?;
    let args: Vec<&str> = ["why"].into_iter().chain(args.iter().copied()).collect();
    processes::run(processes::command(folder, &[("HUBSPOT_TOKEN", TOKEN)], &args)?, Duration::from_secs(60)).await
}
