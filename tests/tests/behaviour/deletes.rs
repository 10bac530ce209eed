//! Deletes in the CRM: suspected by a sealed sweep, established by id, and carried to the row only as the mapping says; and what brings either side back.

use std::time::Duration;

use eyre::OptionExt;
use tidemark_core::hint::HintKind;
use tidemark_sandbox::ForcedAnswer;
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_store::{debts, sweeps};
use tidemark_tests::{Kind, Rig, Setup, deadline, on_both_databases};
use tidemark_worker::Outcome;

const CONTACTS: &str = "hubspot.contacts";
const DELETE: &str = "deletes = { inbound = \"delete\" }";
const MARK: &str = "deletes = { inbound = { set = { column = \"other_id\", value = \"gone\" } } }";
const BOTH_WAYS: &str = "deletes = { inbound = \"delete\", outbound = \"archive\" }";

/// Three contacts that came from the CRM, and their ids.
async fn three(kind: Kind, setup: Setup) -> eyre::Result<(Rig, Vec<String>)> {
    let rig = Rig::with(kind, setup).await?;
    let crm = rig.crm.crm();
    let ids = ["ana", "bo", "cy"].map(|name| crm.create(Contacts, &[("email", &format!("{name}@acme.test"))]));
    let ids = ids.into_iter().collect::<Result<Vec<_>, _>>()?;
    rig.settle().await?;
    Ok((rig, ids))
}

fn contacts(contacts: &'static str) -> Setup {
    Setup { contacts, ..Setup::default() }
}

/// No archive to ask: a delete shows by absence alone.
fn by_absence(contacts: &'static str) -> Setup {
    Setup { contacts, archive_view: false, ..Setup::default() }
}

/// Sweeps, and pays what that owes.
async fn sweep_and_read(rig: &Rig) -> eyre::Result<()> {
    rig.sweep(CONTACTS).await?;
    rig.read(CONTACTS).await?;
    Ok(())
}

/// State and what is gone of a record's link.
async fn link(rig: &Rig, id: &str) -> eyre::Result<String> {
    let links = rig.db.own("tidemark_link");
    let sql = format!("SELECT state || COALESCE(' ' || gone, '') FROM {links} WHERE remote_id = '{id}'");
    Ok(rig.db.one(&sql).await?.unwrap_or_else(|| "none".into()))
}

async fn rows(rig: &Rig) -> eyre::Result<Vec<String>> {
    Ok(rig.db.rows("SELECT email FROM customers ORDER BY email").await?.into_iter().flatten().flatten().collect())
}

async fn parked(rig: &Rig) -> eyre::Result<Vec<Vec<Option<String>>>> {
    rig.db
        .rows(&format!("SELECT class, cause, CAST(id AS TEXT) FROM {} WHERE state = 'parked'", rig.db.own("tidemark_debt")))
        .await
}

/// The next batch read by id finds nothing, whatever is there.
fn silence(times: u32) -> ForcedAnswer {
    let body = serde_json::json!({ "status": "COMPLETE", "results": [] });
    ForcedAnswer { status: 200, body, times, path_contains: "/contacts/batch/read".into(), ..ForcedAnswer::default() }
}

on_both_databases! {
    async fn h37_deletes_flow_in_no_direction_unless_declared(kind) {
        let (rig, ids) = three(kind, Setup::default()).await?;
        rig.crm.crm().delete(Contacts, &ids[1])?;
        sweep_and_read(&rig).await?;
        assert_eq!(link(&rig, &ids[1]).await?, "tombstone record");
        assert_eq!(rows(&rig).await?.len(), 3, "the row stays");
        let expect = ["record", ids[1].as_str(), "none", "", "record gone: row left"].map(str::to_owned);
        assert_eq!(rig.drift().await?, [expect]);
        rig.settle().await?;
        assert_eq!(rig.records("contacts").await?.len(), 2, "and the record is not made again");
        Ok(())
    }

    async fn h37_a_record_that_was_archived_takes_its_row_with_it_where_that_is_declared(kind) {
        let (rig, ids) = three(kind, contacts(BOTH_WAYS)).await?;
        rig.crm.crm().delete(Contacts, &ids[1])?;
        let writes = rig.crm.crm().counters().writes;
        sweep_and_read(&rig).await?;
        assert_eq!(rows(&rig).await?, ["ana@acme.test", "cy@acme.test"]);
        assert_eq!(link(&rig, &ids[1]).await?, "tombstone both");
        rig.settle().await?;
        assert_eq!(rig.crm.crm().counters().writes, writes, "our own delete is no news for the CRM");
        assert_eq!(rig.debts("waiting").await?, 0);
        Ok(())
    }

    async fn h37_a_deleted_record_marks_its_row_and_one_that_is_restored_takes_the_mark_off(kind) {
        let (rig, ids) = three(kind, contacts(MARK)).await?;
        rig.crm.crm().delete(Contacts, &ids[1])?;
        sweep_and_read(&rig).await?;
        let marked = "SELECT email FROM customers WHERE other_id = 'gone'";
        assert_eq!(rig.db.one(marked).await?.as_deref(), Some("bo@acme.test"));
        sweep_and_read(&rig).await?;
        assert_eq!(link(&rig, &ids[1]).await?, "tombstone record");
        rig.crm.crm().restore(Contacts, &ids[1])?;
        rig.crm.crm().edit(Contacts, &ids[1], &[("company", "Robots")])?;
        rig.settle().await?;
        assert_eq!(rig.db.one(marked).await?, None, "the mark is off");
        assert_eq!(rig.db.one("SELECT company FROM customers WHERE email = 'bo@acme.test'").await?.as_deref(), Some("Robots"));
        assert_eq!(link(&rig, &ids[1]).await?, "linked");
        let told = told(&rig, &ids[1]).await?;
        assert!(told.contains(&"row_marked".to_owned()) && told.contains(&"restored".to_owned()), "{told:?}");
        Ok(())
    }

    async fn h37_a_mark_of_the_order_systems_own_is_left_alone(kind) {
        let (rig, ids) = three(kind, contacts("deletes = { inbound = { set = { column = \"other_id\", value = \"now\" } } }")).await?;
        rig.db.run("UPDATE customers SET other_id = 'by the shop' WHERE email = 'bo@acme.test'").await?;
        rig.crm.crm().delete(Contacts, &ids[0])?;
        rig.crm.crm().delete(Contacts, &ids[1])?;
        sweep_and_read(&rig).await?;
        let marks = rig.db.rows("SELECT other_id FROM customers ORDER BY email").await?;
        assert!(marks[0][0].as_deref().is_some_and(|mark| mark.starts_with("20")), "the database's time: {marks:?}");
        assert_eq!(marks[1][0].as_deref(), Some("by the shop"));
        rig.crm.crm().restore(Contacts, &ids[1])?;
        rig.settle().await?;
        let mark = rig.db.one("SELECT other_id FROM customers WHERE email = 'bo@acme.test'").await?;
        assert_eq!(mark.as_deref(), Some("by the shop"), "what we did not set we do not take off");
        Ok(())
    }

    async fn h37_a_restored_record_brings_its_deleted_row_back_as_a_new_one(kind) {
        let (rig, ids) = three(kind, contacts(DELETE)).await?;
        rig.crm.crm().delete(Contacts, &ids[1])?;
        sweep_and_read(&rig).await?;
        assert_eq!(rows(&rig).await?.len(), 2);
        rig.crm.crm().restore(Contacts, &ids[1])?;
        rig.settle().await?;
        assert_eq!(rows(&rig).await?.len(), 3);
        assert_eq!(link(&rig, &ids[1]).await?, "linked");
        assert_eq!(rig.db.count("customers WHERE email = 'bo@acme.test' AND id > 3").await?, 1, "under a key of its own");
        assert_eq!(told(&rig, &ids[1]).await?, ["row_deleted", "restored"], "its history goes on");
        Ok(())
    }

    async fn h37_the_version_that_was_deleted_lifts_no_tombstone_when_the_index_shows_it_late(kind) {
        let (rig, ids) = three(kind, contacts(DELETE)).await?;
        let mut lagging = rig.crm.crm().weather();
        lagging.index_lag_ms = (3_600_000, 3_600_000);
        rig.crm.crm().set_weather(lagging);
        // An edit nobody has read, then the delete: the index goes on showing the record as it was.
        rig.crm.crm().delete(Contacts, &ids[1])?;
        debts_owe_read(&rig, &ids[1]).await?;
        rig.read(CONTACTS).await?;
        assert_eq!(rows(&rig).await?.len(), 2);
        for _ in 0..2 {
            rig.sweep(CONTACTS).await?;
            rig.catch_up(CONTACTS).await?;
            rig.read(CONTACTS).await?;
        }
        assert_eq!(rows(&rig).await?.len(), 2, "old news brings nobody back");
        assert_eq!(link(&rig, &ids[1]).await?, "tombstone both");
        Ok(())
    }

    async fn h36_absence_counts_only_while_a_known_record_answers(kind) {
        let (rig, ids) = three(kind, by_absence(DELETE)).await?;
        rig.crm.crm().delete(Contacts, &ids[1])?;
        rig.sweep(CONTACTS).await?;
        // The token lost its rights: every read by id is answered with nothing at all.
        rig.crm.crm().force_next(silence(2));
        rig.read(CONTACTS).await?;
        assert_eq!(rows(&rig).await?.len(), 3, "nothing is concluded");
        assert_eq!(link(&rig, &ids[1]).await?, "linked");
        let cause = rig.db.one(&format!("SELECT cause FROM {}", rig.db.own("tidemark_debt"))).await?;
        assert!(cause.ok_or_eyre("no debt")?.contains("known to live"));
        rig.read(CONTACTS).await?;
        assert_eq!(rows(&rig).await?, ["ana@acme.test", "cy@acme.test"], "once somebody answers, silence is a delete");
        Ok(())
    }

    async fn h36_the_only_record_of_a_stream_is_not_deleted_on_silence(kind) {
        let rig = Rig::with(kind, by_absence(DELETE)).await?;
        let id = rig.crm.crm().create(Contacts, &[("email", "ana@acme.test")])?;
        rig.settle().await?;
        rig.crm.crm().delete(Contacts, &id)?;
        debts_owe_read(&rig, &id).await?;
        rig.read(CONTACTS).await?;
        let waits = parked(&rig).await?;
        assert!(waits[0][1].as_deref().is_some_and(|cause| cause.contains("no other to ask")), "{waits:?}");
        assert_eq!(rows(&rig).await?.len(), 1);
        debts::retry(&rig.store, waits[0][2].as_deref().unwrap_or_default().parse()?).await?;
        rig.read(CONTACTS).await?;
        assert_eq!(rows(&rig).await?.len(), 0, "a person has looked");
        assert_eq!(parked(&rig).await?.len(), 0);
        Ok(())
    }

    async fn h36_what_a_sealed_sweep_did_not_see_is_only_suspected(kind) {
        let (rig, ids) = three(kind, contacts(DELETE)).await?;
        // A search that leaves out one record, as an index that lags would.
        let live: Vec<serde_json::Value> = rig.crm.crm().list(Contacts).iter().filter(|record| record.id != ids[1]).map(|record| serde_json::json!({
            "id": record.id, "properties": { "hs_object_id": record.id, "email": record.properties["email"], "lastmodifieddate": "2026-01-01T00:00:00.000Z" },
            "createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-01-01T00:00:00.000Z", "archived": false })).collect();
        let body = serde_json::json!({ "total": live.len(), "results": live });
        sweeps::owe(&rig.store, rig.stream(CONTACTS)?.id).await?;
        rig.poll(CONTACTS).await?;
        rig.crm.crm().force_next(ForcedAnswer { status: 200, body, path_contains: "/contacts/search".into(), ..ForcedAnswer::default() });
        rig.sweep_slice(CONTACTS).await?;
        assert_eq!(rig.seals(CONTACTS).await?, ["sealed"]);
        let owed = format!("{} WHERE kind = 'read' AND subject = '{}'", rig.db.own("tidemark_debt"), ids[1]);
        assert_eq!(rig.db.count(&owed).await?, 1, "it owes a read");
        rig.read(CONTACTS).await?;
        assert_eq!(rows(&rig).await?.len(), 3, "which finds it alive");
        assert_eq!(link(&rig, &ids[1]).await?, "linked");
        assert_eq!(rig.db.count(&owed).await?, 0);
        Ok(())
    }

    async fn h36_a_sweep_that_was_not_sealed_suspects_nobody(kind) {
        let (rig, ids) = three(kind, contacts("poll = { page_rows_max = 1 }\ndeletes = { inbound = \"delete\" }")).await?;
        rig.crm.crm().delete(Contacts, &ids[2])?;
        sweeps::owe(&rig.store, rig.stream(CONTACTS)?.id).await?;
        rig.poll(CONTACTS).await?;
        let page = ForcedAnswer { honest: true, path_contains: "/contacts/search".into(), ..ForcedAnswer::default() };
        rig.crm.crm().force_next(page.clone());
        rig.crm.crm().force_next(ForcedAnswer { honest: false, status: 502, ..page });
        let outcome = rig.sweep_slice(CONTACTS).await?;
        assert!(matches!(outcome, Outcome::Deferred(_)), "{outcome:?}");
        assert_eq!(rig.seals(CONTACTS).await?, ["open"]);
        assert_eq!(rig.db.count(&rig.db.own("tidemark_debt")).await?, 0);
        rig.sweep(CONTACTS).await?;
        rig.read(CONTACTS).await?;
        assert_eq!(rows(&rig).await?.len(), 2, "its end concludes what its beginning could not");
        Ok(())
    }

    async fn h37_a_delete_against_an_unsent_edit_waits_for_a_person(kind) {
        let rig = Rig::with(kind, contacts(DELETE)).await?;
        rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', '2026-01-01 00:00:00'),
            ('bo@acme.test', 'Bo', '2026-01-01 00:00:00')").await?;
        rig.settle().await?;
        let id = rig.db.one("SELECT hubspot_id FROM customers WHERE first_name = 'Ana'").await?.ok_or_eyre("no id")?;
        rig.crm.crm().delete(Contacts, &id)?;
        rig.db.run("UPDATE customers SET first_name = 'Anna' WHERE first_name = 'Ana'").await?;
        sweep_and_read(&rig).await?;
        let waits = parked(&rig).await?;
        assert_eq!(waits[0][0].as_deref(), Some("gone"), "{waits:?}");
        assert!(waits[0][1].as_deref().is_some_and(|cause| cause.contains("not sent")), "{waits:?}");
        rig.settle().await?;
        assert_eq!(rows(&rig).await?.len(), 2, "the row stays until somebody says");
        assert_eq!(rig.records("contacts").await?.len(), 1, "and is not sent to a record that is gone");
        debts::retry(&rig.store, waits[0][2].as_deref().unwrap_or_default().parse()?).await?;
        rig.read(CONTACTS).await?;
        assert_eq!(rows(&rig).await?, ["bo@acme.test"]);
        Ok(())
    }

    async fn h37_a_row_that_is_deleted_against_an_unread_edit_of_its_record_waits_for_a_person(kind) {
        let (rig, ids) = three(kind, contacts(BOTH_WAYS)).await?;
        rig.crm.crm().edit(Contacts, &ids[0], &[("phone", "2")])?;
        rig.db.run("DELETE FROM customers WHERE email IN ('ana@acme.test', 'bo@acme.test')").await?;
        rig.push(CONTACTS).await?;
        assert_eq!(rig.records("contacts").await?.len(), 2, "the one that nobody edited went with its row");
        let waits = parked(&rig).await?;
        assert_eq!(waits[0][0].as_deref(), Some("edited"), "{waits:?}");
        assert!(waits[0][1].as_deref().is_some_and(|cause| cause.ends_with("was edited in the CRM: phone")), "{waits:?}");
        rig.settle().await?;
        assert_eq!((rows(&rig).await?.len(), rig.records("contacts").await?.len()), (1, 2), "until somebody says");
        debts::retry(&rig.store, waits[0][2].as_deref().unwrap_or_default().parse()?).await?;
        rig.push(CONTACTS).await?;
        assert_eq!(rig.records("contacts").await?.len(), 1);
        Ok(())
    }

    async fn a_row_that_others_refer_to_stays_and_asks(kind) {
        let (rig, ids) = three(kind, contacts(DELETE)).await?;
        if kind == Kind::Sqlite {
            // SQLite asks each connection whether it minds its foreign keys; the driver's default is that it does.
            assert_eq!(rig.db.one("SELECT CAST(foreign_keys AS TEXT) FROM pragma_foreign_keys").await?.as_deref(), Some("1"));
        }
        let row = rig.db.one("SELECT CAST(id AS TEXT) FROM customers WHERE email = 'bo@acme.test'").await?.unwrap_or_default();
        rig.db.run(&format!("INSERT INTO orders (number, customer_id, status) VALUES ('R-1', {row}, 'draft')")).await?;
        rig.crm.crm().delete(Contacts, &ids[0])?;
        rig.crm.crm().delete(Contacts, &ids[1])?;
        sweep_and_read(&rig).await?;
        assert_eq!(rows(&rig).await?, ["bo@acme.test", "cy@acme.test"], "the other one of the batch went");
        let waits = parked(&rig).await?;
        assert!(waits[0][1].as_deref().is_some_and(|cause| cause.contains("refused the delete")), "{waits:?}");
        rig.db.run("DELETE FROM orders").await?;
        debts::retry(&rig.store, waits[0][2].as_deref().unwrap_or_default().parse()?).await?;
        rig.read(CONTACTS).await?;
        assert_eq!(rows(&rig).await?, ["cy@acme.test"]);
        Ok(())
    }

    async fn h37_a_merged_record_is_no_deleted_one(kind) {
        let (rig, ids) = three(kind, contacts(DELETE)).await?;
        rig.crm.crm().merge(Contacts, &ids[0], &ids[1])?;
        sweep_and_read(&rig).await?;
        assert_eq!(rows(&rig).await?.len(), 3, "no row is deleted for it");
        let waits = parked(&rig).await?;
        assert!(waits[0][1].as_deref().is_some_and(|cause| cause.contains("merged")), "{waits:?}");
        Ok(())
    }

    async fn a_record_we_made_a_moment_ago_is_not_taken_for_deleted(kind) {
        let rig = Rig::with(kind, Setup { contacts: "poll = { settled_lag = \"1h\" }\ndeletes = { inbound = \"delete\" }", archive_view: false, ..Setup::default() }).await?;
        rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', '2026-01-01 00:00:00'),
            ('bo@acme.test', 'Bo', '2026-01-01 00:00:00')").await?;
        rig.catch_up(CONTACTS).await?;
        rig.push(CONTACTS).await?;
        let id = rig.db.one("SELECT hubspot_id FROM customers WHERE first_name = 'Ana'").await?.ok_or_eyre("no id")?;
        // The CRM answers a write before it can be read.
        let without: Vec<serde_json::Value> = Vec::new();
        let body = serde_json::json!({ "status": "COMPLETE", "results": without });
        rig.crm.crm().force_next(ForcedAnswer { status: 200, body, path_contains: "/contacts/batch/read".into(), ..ForcedAnswer::default() });
        debts_owe_read(&rig, &id).await?;
        rig.read(CONTACTS).await?;
        assert_eq!(link(&rig, &id).await?, "linked");
        assert_eq!(rows(&rig).await?.len(), 2);
        Ok(())
    }

    async fn h37_a_key_that_is_used_again_begins_a_new_link(kind) {
        let rig = Rig::with(kind, contacts(BOTH_WAYS)).await?;
        rig.db.run("INSERT INTO customers (id, email, first_name, email_confirmed_at) VALUES (7, 'ana@acme.test', 'Ana', '2026-01-01 00:00:00'),
            (8, 'bo@acme.test', 'Bo', '2026-01-01 00:00:00')").await?;
        rig.settle().await?;
        let former = rig.db.one("SELECT hubspot_id FROM customers WHERE id = 7").await?.ok_or_eyre("no id")?;
        rig.db.run("DELETE FROM customers WHERE id = 7").await?;
        rig.settle().await?;
        assert_eq!(link(&rig, &former).await?, "tombstone both");
        rig.db.run("INSERT INTO customers (id, email, first_name, email_confirmed_at) VALUES (7, 'cy@acme.test', 'Cy', '2026-01-01 00:00:00')").await?;
        rig.settle().await?;
        let now = rig.db.one("SELECT hubspot_id FROM customers WHERE id = 7").await?.ok_or_eyre("no id")?;
        assert_ne!(now, former, "a record of its own");
        assert_eq!(rig.record("contacts", &now).await?["email"], "cy@acme.test");
        assert_eq!((link(&rig, &now).await?, link(&rig, &former).await?), ("linked".into(), "tombstone both".into()));
        Ok(())
    }

    async fn h15_a_key_that_is_used_again_never_overwrites_the_record_that_was_left_alone(kind) {
        let rig = Rig::start(kind).await?;
        rig.db.run("INSERT INTO customers (id, email, first_name, email_confirmed_at) VALUES (7, 'ana@acme.test', 'Ana', '2026-01-01 00:00:00')").await?;
        rig.settle().await?;
        let ana = rig.db.one("SELECT hubspot_id FROM customers WHERE id = 7").await?.ok_or_eyre("no id")?;
        rig.db.run("DELETE FROM customers WHERE id = 7").await?;
        rig.settle().await?;
        assert_eq!(link(&rig, &ana).await?, "tombstone row");
        // Another person under the same key: the record of the first still carries that key.
        rig.db.run("INSERT INTO customers (id, email, first_name, email_confirmed_at) VALUES (7, 'bo@acme.test', 'Bo', '2026-01-01 00:00:00')").await?;
        for _ in 0..3 {
            rig.debts_due(CONTACTS).await?;
            rig.push(CONTACTS).await?;
        }
        assert_eq!(rig.record("contacts", &ana).await?["email"], "ana@acme.test", "nobody was rewritten");
        let waits = parked(&rig).await?;
        assert!(waits[0][1].as_deref().is_some_and(|cause| cause.starts_with(&format!("record {ana}, whose row was deleted, is in the way"))), "{waits:?}");
        // Somebody clears the key; the push is tried again.
        rig.crm.crm().edit(Contacts, &ana, &[("tidemark_key", "")])?;
        debts::retry(&rig.store, waits[0][2].as_deref().unwrap_or_default().parse()?).await?;
        rig.settle().await?;
        assert_eq!(rig.records("contacts").await?.len(), 2);
        Ok(())
    }

    async fn h15_the_same_thing_under_its_old_key_takes_its_record_up_again(kind) {
        let rig = Rig::start(kind).await?;
        let ana = "INSERT INTO customers (id, email, first_name, email_confirmed_at) VALUES (7, 'ana@acme.test', 'Ana', '2026-01-01 00:00:00')";
        rig.db.run(ana).await?;
        rig.settle().await?;
        let id = rig.db.one("SELECT hubspot_id FROM customers WHERE id = 7").await?.ok_or_eyre("no id")?;
        rig.db.run("DELETE FROM customers WHERE id = 7").await?;
        rig.settle().await?;
        rig.db.run(ana).await?;
        rig.db.run("UPDATE customers SET first_name = 'Anna'").await?;
        rig.settle().await?;
        assert_eq!(rig.records("contacts").await?.len(), 1);
        assert_eq!(rig.record("contacts", &id).await?["firstname"], "Anna");
        assert_eq!(link(&rig, &id).await?, "linked");
        Ok(())
    }

    async fn a_row_that_goes_after_its_record_leaves_neither(kind) {
        let rig = Rig::start(kind).await?;
        rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', '2026-01-01 00:00:00'),
            ('bo@acme.test', 'Bo', '2026-01-01 00:00:00')").await?;
        rig.settle().await?;
        let id = rig.db.one("SELECT hubspot_id FROM customers WHERE first_name = 'Ana'").await?.ok_or_eyre("no id")?;
        rig.crm.crm().delete(Contacts, &id)?;
        sweep_and_read(&rig).await?;
        rig.db.run("DELETE FROM customers WHERE first_name = 'Ana'").await?;
        rig.settle().await?;
        assert_eq!(link(&rig, &id).await?, "tombstone both");
        Ok(())
    }

    async fn a_delete_in_one_crm_is_heard_of_in_the_other(kind) {
        let setup = Setup { contacts: DELETE, two_connections: true, ..Setup::default() };
        let (rig, ids) = three(kind, setup).await?;
        let other = rig.db.one("SELECT other_id FROM customers WHERE email = 'bo@acme.test'").await?.ok_or_eyre("not there")?;
        rig.crm.crm().delete(Contacts, &ids[1])?;
        sweep_and_read(&rig).await?;
        assert_eq!(rows(&rig).await?.len(), 2);
        rig.push("other.contacts").await?;
        let links = rig.db.own("tidemark_link");
        let id = rig.stream("other.contacts")?.id;
        let gone = rig.db.one(&format!("SELECT gone FROM {links} WHERE stream_id = {id} AND remote_id = '{other}'")).await?;
        assert_eq!(gone.as_deref(), Some("row"), "what becomes of its record is that stream's own policy");
        Ok(())
    }

    async fn a_push_to_a_record_that_is_gone_ends_in_a_tombstone(kind) {
        let (rig, ids) = three(kind, Setup::default()).await?;
        rig.db.run("UPDATE customers SET email_confirmed_at = '2026-01-01 00:00:00'").await?;
        rig.settle().await?;
        rig.crm.crm().delete(Contacts, &ids[0])?;
        rig.db.run("UPDATE customers SET first_name = 'New'").await?;
        deadline::until("the delete is established", Duration::from_secs(20), || async {
            rig.debts_due(CONTACTS).await?;
            rig.push(CONTACTS).await?;
            rig.read(CONTACTS).await?;
            Ok((link(&rig, &ids[0]).await? == "tombstone record").then_some(()))
        }).await?;
        rig.settle().await?;
        let hints = tidemark_store::streams::due_work(&rig.store, 0).await?;
        assert!(hints.iter().all(|work| work.kind != HintKind::Push), "nothing goes on being tried: {hints:?}");
        Ok(())
    }
}

/// What happened to a record as a whole, oldest first.
async fn told(rig: &Rig, id: &str) -> eyre::Result<Vec<String>> {
    let (lineage, links) = (rig.db.own("tidemark_lineage"), rig.db.own("tidemark_link"));
    let sql =
        format!("SELECT h.what FROM {lineage} h JOIN {links} l ON l.id = h.link_id WHERE l.remote_id = '{id}' ORDER BY h.id");
    Ok(rig.db.rows(&sql).await?.into_iter().flatten().flatten().collect())
}

async fn debts_owe_read(rig: &Rig, id: &str) -> eyre::Result<()> {
    let (debts, stream) = (rig.db.own("tidemark_debt"), rig.stream(CONTACTS)?.id);
    rig.db.run(&format!("INSERT INTO {debts} (stream_id, kind, subject, due_at) VALUES ({stream}, 'read', '{id}', 0)")).await
}
