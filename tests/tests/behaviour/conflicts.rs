//! What both sides changed waits for a person, who sees what was agreed and what each side holds, and whose word is carried out.

use eyre::OptionExt;
use tidemark_core::conflict::{Side, Undecidable};
use tidemark_core::record::RowKey;
use tidemark_core::why::{Asked, tell};
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_store::acts::By;
use tidemark_store::conflicts::{Which, resolve, resolve_all};
use tidemark_store::overview::{self, ConflictLine};
use tidemark_store::why;
use tidemark_tests::{Kind, Rig, on_both_databases};

const CONTACTS: &str = "hubspot.contacts";
const SOMEBODY: By<'_> = By { who: "somebody", reason: Some("asked the customer") };

/// Customers whose phone both sides changed: the row says `2`, the record says `3`, before both said `1`.
async fn disputed(kind: Kind, customers: usize) -> eyre::Result<(Rig, Vec<String>)> {
    let rig = Rig::start(kind).await?;
    for at in 1..=customers {
        let values = format!("('c{at}@acme.test', 'Ana', '1', '2026-01-01 00:00:00')");
        rig.db.run(&format!("INSERT INTO customers (email, first_name, phone, email_confirmed_at) VALUES {values}")).await?;
    }
    rig.settle().await?;
    let ids = rig.db.rows("SELECT hubspot_id FROM customers ORDER BY id").await?;
    let ids: Vec<String> = ids.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
    rig.db.run("UPDATE customers SET phone = '2'").await?;
    for id in &ids {
        rig.crm.crm().edit(Contacts, id, &[("phone", "3")])?;
    }
    rig.catch_up(CONTACTS).await?;
    rig.push(CONTACTS).await?;
    Ok((rig, ids))
}

async fn waiting(rig: &Rig) -> eyre::Result<Vec<ConflictLine>> {
    let specs: Vec<_> = rig.config.streams.iter().collect();
    Ok(overview::conflicts(&rig.store, &specs, 100, 0).await?)
}

async fn decide(rig: &Rig, row: &str, take: Side) -> eyre::Result<Result<(), Undecidable>> {
    let mapped = rig.stream(CONTACTS)?;
    let (field, _) = mapped.spec.field("phone").ok_or_eyre("no phone")?;
    Ok(resolve(&rig.store, mapped.id, &mapped.spec, &Which::Row(RowKey::new(row)), field, take, SOMEBODY).await?)
}

async fn phone(rig: &Rig, id: &str) -> eyre::Result<(Option<String>, Option<String>)> {
    let row = rig.db.one(&format!("SELECT phone FROM customers WHERE hubspot_id = '{id}'")).await?;
    Ok((row, rig.record("contacts", id).await?.get("phone").cloned()))
}

/// What is told of the phone of row 1, newest first.
async fn told(rig: &Rig) -> eyre::Result<Vec<String>> {
    let mapped = rig.stream(CONTACTS)?;
    let facts = why::look(&rig.store, mapped.id, &mapped.spec, &Asked::parse("row:1"), rig.streams()).await?;
    Ok(tell(&mapped.spec, &facts, Some("phone")).history.into_iter().map(|passage| passage.sentence).collect())
}

fn both(value: &str) -> (Option<String>, Option<String>) {
    (Some(value.to_owned()), Some(value.to_owned()))
}

on_both_databases! {
    async fn a_conflict_is_listed_with_what_was_agreed_and_what_each_side_holds(kind) {
        let (rig, ids) = disputed(kind, 1).await?;
        let before = rig.store.now().await?;
        let lines = waiting(&rig).await?;
        let [line] = lines.as_slice() else { eyre::bail!("{lines:?}") };
        assert_eq!((line.stream.as_str(), line.field.as_str(), line.column.as_str()), (CONTACTS, "phone", "phone"));
        assert_eq!((line.row.as_deref(), line.record.as_deref()), (Some("1"), Some(ids[0].as_str())));
        assert_eq!((line.agreed_row.as_deref(), line.agreed_record.as_deref()), (Some("1"), Some("1")));
        assert_eq!((line.row_value.as_deref(), line.record_value.as_deref()), (Some("2"), Some("3")));
        assert!(line.since <= before && line.since > before - 60_000);
        let overview = overview::streams(&rig.store).await?;
        assert_eq!(overview.iter().map(|stream| stream.open_conflicts).collect::<Vec<_>>(), [1, 0]);
        let reports = rig.agree().await?;
        assert_eq!(reports[0].differ, 1, "it is listed as a difference as well");
        Ok(())
    }

    async fn a_decision_for_the_orders_is_sent_and_one_for_the_crm_is_taken(kind) {
        for (take, value) in [(Side::Orders, "2"), (Side::Crm, "3")] {
            let (rig, ids) = disputed(kind, 1).await?;
            decide(&rig, "1", take).await??;
            assert!(waiting(&rig).await?.is_empty(), "nobody is asked twice");
            assert_eq!(rig.agree().await?[0].differ, 1, "the word is not carried out yet");
            rig.settle().await?;
            assert_eq!(phone(&rig, &ids[0]).await?, both(value), "{take:?}");
            let carried = if take == Side::Orders { "sent to the CRM: a person decided so" } else { "taken from the CRM: a person decided so" };
            let told = told(&rig).await?;
            let words = [carried, "a person decided: ", "a conflict began: both sides changed, and a person decides"];
            assert!(told.len() > 2 && told.iter().zip(words).all(|(told, words)| told.starts_with(words)), "{told:?}");
            let act = rig.db.rows(&format!("SELECT who, verb, subject, reason FROM {}", rig.db.own("tidemark_act"))).await?;
            let expect = ["somebody", &format!("take {}", take.word()), "phone of row 1 of hubspot.contacts", "asked the customer"];
            assert_eq!(act, [expect.map(|text| Some(text.to_owned()))]);
            assert_eq!(decide(&rig, "1", take).await?, Err(Undecidable::NotOpen));
        }
        Ok(())
    }

    async fn a_person_may_decide_for_a_blank_although_blanks_do_not_overwrite(kind) {
        for take in [Side::Orders, Side::Crm] {
            let (rig, ids) = disputed(kind, 1).await?;
            let (row, record) = if take == Side::Orders { ("NULL", "4") } else { ("'4'", "") };
            rig.db.run(&format!("UPDATE customers SET phone = {row}")).await?;
            rig.crm.crm().edit(Contacts, &ids[0], &[("phone", record)])?;
            rig.catch_up(CONTACTS).await?;
            decide(&rig, "1", take).await??;
            rig.settle().await?;
            let (row, record) = phone(&rig, &ids[0]).await?;
            assert_eq!((row.unwrap_or_default(), record.unwrap_or_default()), (String::new(), String::new()), "{take:?}");
        }
        Ok(())
    }

    async fn one_word_decides_a_field_in_every_row(kind) {
        let (rig, ids) = disputed(kind, 5).await?;
        decide(&rig, "3", Side::Orders).await??;
        let mapped = rig.stream(CONTACTS)?;
        let (field, _) = mapped.spec.field("phone").ok_or_eyre("no phone")?;
        let decided = resolve_all(&rig.store, mapped.id, &mapped.spec, field, Side::Crm, SOMEBODY).await??;
        assert_eq!(decided, 4, "the one that was decided before is left alone");
        rig.settle().await?;
        for (at, id) in ids.iter().enumerate() {
            assert_eq!(phone(&rig, id).await?, both(if at == 2 { "2" } else { "3" }), "row {}", at + 1);
        }
        Ok(())
    }

    async fn an_edit_of_either_side_decides_by_itself(kind) {
        let (rig, ids) = disputed(kind, 2).await?;
        rig.db.run("UPDATE customers SET phone = '5' WHERE id = 1").await?;
        rig.crm.crm().edit(Contacts, &ids[1], &[("phone", "6")])?;
        rig.settle().await?;
        assert_eq!(phone(&rig, &ids[0]).await?, both("5"));
        assert_eq!(phone(&rig, &ids[1]).await?, both("6"));
        assert!(waiting(&rig).await?.is_empty());
        assert_eq!(decide(&rig, "1", Side::Crm).await?, Err(Undecidable::NotOpen));
        Ok(())
    }

    async fn a_record_edited_after_a_word_for_the_orders_is_asked_about_again(kind) {
        let (rig, ids) = disputed(kind, 1).await?;
        decide(&rig, "1", Side::Orders).await??;
        rig.crm.crm().edit(Contacts, &ids[0], &[("phone", "8")])?;
        // The read before the push finds it, and the read that follows merges it.
        rig.push(CONTACTS).await?;
        rig.read(CONTACTS).await?;
        rig.push(CONTACTS).await?;
        let lines = waiting(&rig).await?;
        let [line] = lines.as_slice() else { eyre::bail!("{lines:?}") };
        assert_eq!((line.agreed_row.as_deref(), line.row_value.as_deref(), line.record_value.as_deref()), (Some("1"), Some("2"), Some("8")));
        assert!(told(&rig).await?[0].starts_with("the conflict goes on: the CRM changed it before a person's word was carried out"));
        Ok(())
    }

    async fn a_conflict_of_two_that_just_met_is_listed_and_ends_by_an_edit(kind) {
        let rig = Rig::start(kind).await?;
        rig.db.run("INSERT INTO customers (email, first_name, phone, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', '2', '2026-01-01 00:00:00')").await?;
        rig.crm.crm().create(Contacts, &[("email", "ana@acme.test"), ("firstname", "Ana"), ("phone", "3")])?;
        rig.catch_up(CONTACTS).await?;
        let lines = waiting(&rig).await?;
        assert_eq!(lines.iter().map(|line| (line.field.as_str(), line.met)).collect::<Vec<_>>(), [("phone", false)]);
        rig.db.run("UPDATE customers SET phone = '3'").await?;
        rig.settle().await?;
        assert!(waiting(&rig).await?.is_empty());
        Ok(())
    }

    async fn an_edit_made_after_a_decision_wins_over_it(kind) {
        let (rig, ids) = disputed(kind, 1).await?;
        decide(&rig, "1", Side::Crm).await??;
        rig.db.run("UPDATE customers SET phone = '7'").await?;
        rig.settle().await?;
        assert_eq!(phone(&rig, &ids[0]).await?, both("7"));
        Ok(())
    }
}
