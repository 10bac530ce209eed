//! Records of which lists show a part, where their reads by id meet what pages of whole records meet: brakes, and debts that wait for a person.

use eyre::{OptionExt, ensure};
use tidemark_store::holds;
use tidemark_tests::vendor::{PEOPLE, ZOHO_BOOKS_NOTES};
use tidemark_tests::{Kind, Rig, Setup, on_both_databases};

const CONTACTS: &str = "crm.contacts";

async fn shop(kind: Kind, contacts: &'static str, people: &[&str]) -> eyre::Result<(Rig, Vec<String>)> {
    let rig = Rig::with(kind, Setup { vendor: Some(&ZOHO_BOOKS_NOTES), contacts, ..Setup::default() }).await?;
    let mut ids = Vec::new();
    for name in people {
        ids.push(ZOHO_BOOKS_NOTES.add(&rig.crm.crm(), &format!("{name}@acme.test"), name)?);
    }
    Ok((rig, ids))
}

async fn notes_of_ana(rig: &Rig) -> eyre::Result<Option<String>> {
    rig.db.one("SELECT phone FROM customers WHERE email = 'ana@acme.test'").await
}

on_both_databases! {
    async fn a_first_load_passes_the_brakes_and_what_comes_later_does_not(kind) {
        let brakes = "brakes = { create = { count = 2, share = 0.0 } }";
        let (rig, _) = shop(kind, brakes, &["ana", "bo", "cy", "di", "ed"]).await?;
        rig.settle().await?;
        ensure!(rig.db.count("customers").await? == 5 && rig.debts("parked").await? == 0);
        for name in ["fay", "gus", "hal"] {
            ZOHO_BOOKS_NOTES.add(&rig.crm.crm(), &format!("{name}@acme.test"), name)?;
        }
        rig.catch_up(CONTACTS).await?;
        rig.read(CONTACTS).await?;
        let parked = format!("{} WHERE class = 'brake_create'", rig.db.own("tidemark_debt"));
        ensure!(rig.db.count(&parked).await? == 1, "{} are held, {} rows", rig.db.count(&parked).await?, rig.db.count("customers").await?);
        Ok(())
    }

    async fn a_change_frees_the_read_that_waits_for_a_person(kind) {
        let (rig, ids) = shop(kind, "", &["ana"]).await?;
        rig.settle().await?;
        let id = ids.first().ok_or_eyre("nobody")?;
        let stream = rig.stream(CONTACTS)?.id;
        rig.db.run(&format!(
            "INSERT INTO {} (stream_id, kind, subject, state, class, cause, next_step) VALUES ({stream}, 'read', '{id}', 'parked', 'rejected', 'its note fits nowhere', 'correct it')",
            rig.db.own("tidemark_debt")
        ))
        .await?;
        rig.sweep_alone(CONTACTS).await?;
        rig.read(CONTACTS).await?;
        ensure!(rig.debts("parked").await? == 1, "a sweep frees nothing");
        rig.crm.crm().edit(PEOPLE, id, &[("notes", "put right")])?;
        rig.settle().await?;
        ensure!(rig.debts("parked").await? == 0 && notes_of_ana(&rig).await?.as_deref() == Some("put right"));
        Ok(())
    }

    async fn what_was_read_without_a_property_says_nothing_of_it_later(kind) {
        let (rig, ids) = shop(kind, "", &["ana"]).await?;
        rig.settle().await?;
        let links = rig.db.own("tidemark_link");
        // As a property leaves it that was mapped once and is not any more.
        rig.db.run(&format!("UPDATE {links} SET base = replace(base, '{{', '{{\"fax\":\"1\",')")).await?;
        let kept = format!("{links} WHERE base LIKE '%\"fax\":\"1\"%'");
        ensure!(rig.db.count(&kept).await? == 1, "it is not there");
        rig.crm.crm().edit(PEOPLE, ids.first().ok_or_eyre("nobody")?, &[("website", "https://acme.test")])?;
        rig.settle().await?;
        ensure!(rig.db.count(&kept).await? == 0, "a version is seen of which this property was not read");
        Ok(())
    }

    async fn h32_what_waits_to_be_read_by_id_was_not_read(kind) {
        let (rig, ids) = shop(kind, "", &["ana"]).await?;
        rig.settle().await?;
        let streams = rig.db.own("tidemark_stream");
        rig.db.run(&format!("UPDATE {streams} SET held_at = 1, held_why = 'a restore'")).await?;
        rig.settle().await?;
        let read = async || eyre::Ok(holds::list_held(&rig.store).await?.iter().all(|held| held.read));
        ensure!(read().await?, "everything was read");
        rig.crm.crm().edit(PEOPLE, ids.first().ok_or_eyre("nobody")?, &[("notes", "written since")])?;
        rig.catch_up(CONTACTS).await?;
        ensure!(!read().await?, "its note was not");
        rig.read(CONTACTS).await?;
        ensure!(read().await? && notes_of_ana(&rig).await?.as_deref() == Some("written since"));
        Ok(())
    }
}
