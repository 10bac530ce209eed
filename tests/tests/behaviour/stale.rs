//! An application that loaded a row before a page changed it and saves it whole: its old value is no edit.

use eyre::OptionExt;
use tidemark_core::conflict::Side;
use tidemark_core::record::RowKey;
use tidemark_core::why::{Asked, tell};
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_store::acts::By;
use tidemark_store::conflicts::{Which, resolve};
use tidemark_store::why;
use tidemark_tests::{Kind, Rig, Setup, on_both_databases};

const CONTACTS: &str = "hubspot.contacts";

/// A customer whose phone the CRM changed from `1` to `2`; a page has just written it into the row.
async fn replaced(kind: Kind, contacts: &'static str) -> eyre::Result<(Rig, String)> {
    let rig = Rig::with(kind, Setup { contacts, ..Setup::default() }).await?;
    rig.db.run("INSERT INTO customers (email, first_name, phone, email_confirmed_at, updated_at) VALUES ('ana@acme.test', 'Ana', '1', '2026-01-01 00:00:00', '2026-01-01 00:00:00')").await?;
    rig.settle().await?;
    let id = rig.db.one("SELECT hubspot_id FROM customers").await?.ok_or_eyre("no id came back")?;
    rig.crm.crm().edit(Contacts, &id, &[("phone", "2")])?;
    rig.catch_up(CONTACTS).await?;
    assert_eq!(phones(&rig, &id).await?, ("2".to_owned(), "2".to_owned()));
    Ok((rig, id))
}

async fn phones(rig: &Rig, id: &str) -> eyre::Result<(String, String)> {
    let row = rig.db.one("SELECT phone FROM customers").await?;
    Ok((row.unwrap_or_default(), rig.record("contacts", id).await?.get("phone").cloned().unwrap_or_default()))
}

async fn cause(rig: &Rig) -> eyre::Result<Option<String>> {
    rig.db.one(&format!("SELECT cause FROM {} WHERE kind = 'push'", rig.db.own("tidemark_debt"))).await
}

/// The newest thing that happened to the phone of row 1, in words.
async fn told(rig: &Rig) -> eyre::Result<String> {
    let mapped = rig.stream(CONTACTS)?;
    let facts = why::look(&rig.store, mapped.id, &mapped.spec, &Asked::parse("row:1"), rig.streams()).await?;
    let history = tell(&mapped.spec, &facts, Some("phone")).history;
    history.into_iter().next().map(|passage| passage.sentence).ok_or_eyre("nothing is told")
}

/// Makes everything that a page replaced six minutes older.
async fn six_minutes_pass(rig: &Rig) -> eyre::Result<()> {
    let links = rig.db.own("tidemark_link");
    let base = rig.db.one(&format!("SELECT base FROM {links}")).await?.ok_or_eyre("no link")?;
    let mut base: serde_json::Value = serde_json::from_str(&base)?;
    let at = base.pointer_mut("/phone/3/0/1").ok_or_eyre("nothing is remembered")?;
    *at = (at.as_i64().ok_or_eyre("no time")? - 360_000).into();
    rig.db.run(&format!("UPDATE {links} SET base = '{base}'")).await
}

on_both_databases! {
    async fn h24_a_stale_save_is_put_right_and_reaches_nobody(kind) {
        let (rig, id) = replaced(kind, "").await?;
        let writes = rig.crm.crm().counters().writes;
        rig.db.run("UPDATE customers SET phone = '1', first_name = 'Ana'").await?;
        rig.push(CONTACTS).await?;
        assert_eq!(phones(&rig, &id).await?.1, "2", "the CRM's edit is not undone");
        assert_eq!(cause(&rig).await?.as_deref(), Some("looks like a stale save"));
        assert!(told(&rig).await?.starts_with("not sent for now: "));
        rig.settle().await?;
        assert_eq!(phones(&rig, &id).await?, ("2".to_owned(), "2".to_owned()));
        assert!(told(&rig).await?.starts_with("taken from the CRM: the row's value was one that a page had just replaced"));
        assert_eq!(rig.crm.crm().counters().writes, writes);
        Ok(())
    }

    async fn h24_any_other_value_and_a_later_return_are_edits(kind) {
        let (rig, id) = replaced(kind, "").await?;
        rig.db.run("UPDATE customers SET phone = '3'").await?;
        rig.settle().await?;
        assert_eq!(phones(&rig, &id).await?, ("3".to_owned(), "3".to_owned()));
        let (rig, id) = replaced(kind, "").await?;
        six_minutes_pass(&rig).await?;
        rig.db.run("UPDATE customers SET phone = '1'").await?;
        rig.settle().await?;
        assert_eq!(phones(&rig, &id).await?, ("1".to_owned(), "1".to_owned()));
        Ok(())
    }

    async fn h24_theirs_is_held_for_the_guard_and_then_an_edit(kind) {
        let (rig, id) = replaced(kind, "stale_save = \"theirs\"").await?;
        rig.db.run("UPDATE customers SET phone = '1', first_name = 'Anna'").await?;
        let before = rig.store.now().await?;
        for _ in 0..3 {
            rig.debts_due(CONTACTS).await?;
            rig.push(CONTACTS).await?;
            rig.poll(CONTACTS).await?;
        }
        assert_eq!(phones(&rig, &id).await?, ("1".to_owned(), "2".to_owned()), "neither sent nor undone");
        assert_eq!(rig.record("contacts", &id).await?["firstname"], "Anna", "what else was edited is sent");
        let due = rig.db.one(&format!("SELECT CAST(due_at AS TEXT) FROM {} WHERE kind = 'push'", rig.db.own("tidemark_debt"))).await?;
        let due: i64 = due.ok_or_eyre("nothing is owed")?.parse()?;
        assert!((before + 240_000..before + 300_000).contains(&due), "tried when the guard is over");
        assert_eq!(cause(&rig).await?.as_deref(), Some("held: it looks like a stale save"));
        six_minutes_pass(&rig).await?;
        rig.settle().await?;
        assert_eq!(phones(&rig, &id).await?, ("1".to_owned(), "1".to_owned()));
        assert!(told(&rig).await?.starts_with("sent to the CRM: it was held as a stale save"));
        Ok(())
    }

    async fn h24_a_held_field_of_a_row_that_is_no_longer_sent_is_tried_once_and_not_for_ever(kind) {
        let (rig, id) = replaced(kind, "stale_save = \"theirs\"").await?;
        rig.db.run("UPDATE customers SET phone = '1'").await?;
        rig.push(CONTACTS).await?;
        rig.db.run("UPDATE customers SET email_confirmed_at = NULL").await?;
        six_minutes_pass(&rig).await?;
        rig.debts_due(CONTACTS).await?;
        rig.push(CONTACTS).await?;
        assert_eq!(cause(&rig).await?, None, "the debt is paid");
        assert_eq!(phones(&rig, &id).await?, ("1".to_owned(), "2".to_owned()));
        rig.db.run("UPDATE customers SET email_confirmed_at = '2026-01-02 00:00:00'").await?;
        rig.settle().await?;
        assert_eq!(phones(&rig, &id).await?, ("1".to_owned(), "1".to_owned()), "and sent once the row is");
        Ok(())
    }

    async fn h24_an_edit_after_a_stale_save_in_a_row_that_is_not_sent_is_not_read_for_ever(kind) {
        let (rig, id) = replaced(kind, "").await?;
        rig.db.run("UPDATE customers SET phone = '1', email_confirmed_at = NULL").await?;
        rig.push(CONTACTS).await?;
        assert_eq!(cause(&rig).await?.as_deref(), Some("looks like a stale save"));
        rig.db.run("UPDATE customers SET phone = '3'").await?;
        for _ in 0..3 {
            rig.debts_due(CONTACTS).await?;
            rig.push(CONTACTS).await?;
            rig.read(CONTACTS).await?;
        }
        assert_eq!(rig.db.count(&rig.db.own("tidemark_debt")).await?, 0, "nothing is left to ask");
        assert_eq!(phones(&rig, &id).await?, ("3".to_owned(), "2".to_owned()));
        rig.db.run("UPDATE customers SET email_confirmed_at = '2026-01-01 00:00:00'").await?;
        rig.settle().await?;
        assert_eq!(phones(&rig, &id).await?, ("3".to_owned(), "3".to_owned()), "the edit was kept, and is sent when its row is");
        Ok(())
    }

    async fn h24_a_person_may_decide_what_is_held(kind) {
        let (rig, id) = replaced(kind, "stale_save = \"theirs\"").await?;
        rig.db.run("UPDATE customers SET phone = '1'").await?;
        rig.push(CONTACTS).await?;
        let mapped = rig.stream(CONTACTS)?;
        let (field, _) = mapped.spec.field("phone").ok_or_eyre("no phone")?;
        let by = By { who: "somebody", reason: None };
        resolve(&rig.store, mapped.id, &mapped.spec, &Which::Row(RowKey::new("1")), field, Side::Orders, by).await??;
        rig.push(CONTACTS).await?;
        assert_eq!(phones(&rig, &id).await?, ("1".to_owned(), "1".to_owned()));
        assert!(told(&rig).await?.starts_with("sent to the CRM: a person decided so"));
        Ok(())
    }

    async fn h24_without_a_guard_every_change_is_an_edit(kind) {
        let (rig, id) = replaced(kind, "stale_save_guard = \"0s\"").await?;
        rig.db.run("UPDATE customers SET phone = '1'").await?;
        rig.settle().await?;
        assert_eq!(phones(&rig, &id).await?, ("1".to_owned(), "1".to_owned()));
        Ok(())
    }

    async fn h24_our_writes_bump_the_applications_lock_version_and_time(kind) {
        let touch = "touch = { version_column = \"lock_version\", updated_at = \"updated_at\" }";
        let (rig, _) = replaced(kind, touch).await?;
        let state = "SELECT CAST(lock_version AS TEXT), substr(CAST(updated_at AS TEXT), 1, 4) FROM customers WHERE email = 'ana@acme.test'";
        let this_year = rig.db.one(if kind == Kind::Sqlite { "SELECT strftime('%Y', 'now')" } else { "SELECT to_char(now(), 'YYYY')" }).await?;
        assert_eq!(rig.db.rows(state).await?, [[Some("2".to_owned()), this_year.clone()]], "once for the id, once for the phone");
        rig.db.run("UPDATE customers SET phone = '1', lock_version = 1 WHERE lock_version = 0").await?;
        assert_eq!(rig.db.one("SELECT phone FROM customers").await?.as_deref(), Some("2"), "its own optimistic lock refused the old object");
        for _ in 0..3 {
            rig.poll(CONTACTS).await?;
            rig.push(CONTACTS).await?;
        }
        assert_eq!(rig.db.rows(state).await?[0][0].as_deref(), Some("2"), "nothing was written, so nothing is bumped");
        rig.crm.crm().create(Contacts, &[("email", "only@crm.test")])?;
        rig.settle().await?;
        let made = rig.db.rows("SELECT CAST(lock_version AS TEXT), substr(CAST(updated_at AS TEXT), 1, 4) FROM customers WHERE email = 'only@crm.test'").await?;
        assert_eq!(made, [[Some("0".to_owned()), this_year]]);
        Ok(())
    }
}
