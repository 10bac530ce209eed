//! Two records are merged in the CRM: the row goes on with the survivor, or two rows wait for a person. Nothing is made twice, nothing is lost.

use eyre::{OptionExt, WrapErr, bail};
use tidemark_core::hint::{Hint, HintKind};
use tidemark_core::why::{Asked, tell};
use tidemark_sandbox::ForcedAnswer;
use tidemark_sandbox::ObjectType::{Contacts, Deals};
use tidemark_store::why;
use tidemark_tests::{Kind, Rig, Setup, on_both_databases};
use tidemark_worker::handle;

const CONTACTS: &str = "hubspot.contacts";
const DEALS: &str = "hubspot.deals";

/// A confirmed customer with an order, both in the CRM and agreed. `redirect`: whether the CRM answers a survivor for the id of a record that was merged away.
async fn agreed(kind: Kind, redirect: bool) -> eyre::Result<(Rig, String)> {
    let mut setup = Setup::default();
    setup.weather.merged_redirect = redirect;
    let rig = Rig::with(kind, setup).await?;
    rig.db.run("INSERT INTO customers (email, first_name, phone, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', '1', '2026-01-01 00:00:00')").await?;
    rig.db.run("INSERT INTO orders (number, customer_id, status, total_cents) VALUES ('R-1', 1, 'accepted', 1250)").await?;
    rig.settle().await?;
    let id = rig.db.one("SELECT hubspot_id FROM customers").await?.ok_or_eyre("no id came back")?;
    Ok((rig, id))
}

/// Two confirmed customers, both in the CRM; their records.
async fn two(rig: &Rig) -> eyre::Result<(String, String)> {
    for name in ["ana", "bo"] {
        let confirmed = format!("('{name}@acme.test', '2026-01-01 00:00:00')");
        rig.db.run(&format!("INSERT INTO customers (email, email_confirmed_at) VALUES {confirmed}")).await?;
        rig.settle().await?;
    }
    let (first, second) = (customer(rig, 1).await?[0].clone(), customer(rig, 2).await?[0].clone());
    Ok((first.ok_or_eyre("no record")?, second.ok_or_eyre("no record")?))
}

/// Two rows of one record, one of which waits; another record that answers. The record that was merged away, and the survivor.
async fn doubled(kind: Kind, redirect: bool) -> eyre::Result<(Rig, String, String)> {
    let (rig, lost) = agreed(kind, redirect).await?;
    let crm = rig.crm.crm();
    let survivor = crm.create(Contacts, &[("email", "bo@acme.test")])?;
    crm.create(Contacts, &[("email", "witness@acme.test")])?;
    rig.settle().await?;
    crm.merge(Contacts, &survivor, &lost)?;
    rig.catch_up(CONTACTS).await?;
    assert_eq!(parked(&rig).await?.len(), 1);
    rig.db.run("UPDATE orders SET customer_id = NULL").await?;
    Ok((rig, lost, survivor))
}

async fn customer(rig: &Rig, id: u32) -> eyre::Result<Vec<Option<String>>> {
    let rows = rig.db.rows(&format!("SELECT hubspot_id, phone, company FROM customers WHERE id = {id}")).await?;
    rows.into_iter().next().ok_or_eyre("no such customer")
}

async fn parked(rig: &Rig) -> eyre::Result<Vec<Vec<Option<String>>>> {
    rig.db
        .rows(&format!(
            "SELECT kind, subject, cause FROM {} WHERE state = 'parked' ORDER BY subject",
            rig.db.own("tidemark_debt")
        ))
        .await
}

/// How a customer stands and what happened to it, in words.
async fn told(rig: &Rig, id: u32) -> eyre::Result<Vec<String>> {
    let mapped = rig.stream(CONTACTS)?;
    let asked = Asked::parse(&format!("row:{id}"));
    let facts = why::look(&rig.store, mapped.id, &mapped.spec, &asked, rig.streams()).await?;
    let why = tell(&mapped.spec, &facts, None);
    Ok(why.stands.into_iter().chain(why.history.into_iter().map(|passage| passage.sentence)).collect())
}

/// The next poll reads everything from the beginning.
async fn read_all_again(rig: &Rig) -> eyre::Result<()> {
    rig.db.run(&format!("UPDATE {} SET fast_until = NULL", rig.db.own("tidemark_stream"))).await
}

on_both_databases! {
    async fn h16_a_create_that_waits_for_doubles_goes_on_when_they_are_merged(kind) {
        let (rig, _) = agreed(kind, true).await?;
        let crm = rig.crm.crm();
        let doubles = [(); 2].map(|()| crm.create(Deals, &[("dealname", "R-2"), ("amount", "1.00")]));
        let [first, second] = doubles;
        let (first, second) = (first?, second?);
        rig.db.run("INSERT INTO orders (number, customer_id, status, total_cents) VALUES ('R-2', 1, 'accepted', 4200)").await?;
        tidemark_worker::relay_once(&rig.ctx).await?;
        rig.push(DEALS).await?;
        let waits = parked(&rig).await?;
        assert_eq!(waits[0][2].as_deref(), Some("several records in the CRM carry the same match key"), "{waits:?}");
        crm.merge(Deals, &first, &second)?;
        rig.settle().await?;
        assert_eq!(parked(&rig).await?, Vec::<Vec<Option<String>>>::new(), "nobody has to say it twice");
        assert_eq!(rig.record("deals", &first).await?["amount"], "42.00");
        Ok(())
    }

    async fn h16_a_row_goes_on_with_the_survivor_of_its_record(kind) {
        for redirect in [true, false] {
            let (rig, lost) = agreed(kind, redirect).await?;
            let crm = rig.crm.crm();
            let survivor = crm.create(Contacts, &[("email", "ana@home.test"), ("phone", "2"), ("company", "Robots")])?;
            crm.merge(Contacts, &survivor, &lost)?;
            rig.settle().await?;
            assert_eq!(rig.db.count("customers").await?, 1, "no second row");
            let expect = [Some(survivor.clone()), Some("2".to_owned()), Some("Robots".to_owned())];
            assert_eq!(customer(&rig, 1).await?, expect, "what the survivor says otherwise has changed in the CRM");
            let aliases = rig.db.rows(&format!("SELECT remote_id, survivor FROM {}", rig.db.own("tidemark_alias"))).await?;
            assert_eq!(aliases, [[Some(lost), Some(survivor.clone())]]);
            let told = told(&rig, 1).await?;
            assert!(told.iter().any(|words| words.starts_with("the record was merged into another in the CRM")), "{told:?}");
            rig.db.run("UPDATE customers SET first_name = 'Anna'").await?;
            rig.settle().await?;
            assert_eq!(rig.record("contacts", &survivor).await?["firstname"], "Anna");
            assert_eq!(rig.records("contacts").await?.len(), 1);
        }
        Ok(())
    }

    async fn h16_an_edit_meant_for_a_record_that_was_merged_away_reaches_the_survivor(kind) {
        for redirect in [true, false] {
            let (rig, lost) = agreed(kind, redirect).await?;
            let crm = rig.crm.crm();
            let survivor = crm.create(Contacts, &[("email", "ana@home.test")])?;
            crm.merge(Contacts, &survivor, &lost)?;
            rig.db.run("UPDATE customers SET first_name = 'Anna'").await?;
            // Pushed and read before any page tells of the merge.
            rig.push(CONTACTS).await?;
            rig.read(CONTACTS).await?;
            rig.settle().await?;
            assert_eq!(rig.record("contacts", &survivor).await?["firstname"], "Anna", "redirect: {redirect}");
            assert_eq!((rig.db.count("customers").await?, rig.records("contacts").await?.len()), (1, 1));
        }
        Ok(())
    }

    async fn h16_references_to_a_record_that_was_merged_away_are_no_difference(kind) {
        let (rig, lost) = agreed(kind, true).await?;
        let crm = rig.crm.crm();
        let survivor = crm.create(Contacts, &[("email", "ana@home.test")])?;
        crm.merge(Contacts, &survivor, &lost)?;
        rig.settle().await?;
        let writes = crm.counters().writes;
        read_all_again(&rig).await?;
        rig.settle().await?;
        assert_eq!(crm.counters().writes, writes, "the order's deal refers to the same customer as before");
        assert_eq!(crm.list(Deals)[0].associations["contacts"], [survivor]);
        Ok(())
    }

    async fn h16_old_pages_of_a_record_that_was_merged_away_make_no_row(kind) {
        let (rig, lost) = agreed(kind, true).await?;
        let crm = rig.crm.crm();
        let survivor = crm.create(Contacts, &[("email", "ana@home.test")])?;
        // The index goes on showing both records as they were.
        let mut lagging = crm.weather();
        lagging.index_lag_ms = (3_600_000, 3_600_000);
        crm.set_weather(lagging);
        crm.merge(Contacts, &survivor, &lost)?;
        rig.db.run("UPDATE customers SET first_name = 'Anna'").await?;
        rig.push(CONTACTS).await?;
        rig.read(CONTACTS).await?;
        assert_eq!(customer(&rig, 1).await?[0].as_deref(), Some(survivor.as_str()), "the read by id told of it");
        for _ in 0..2 {
            read_all_again(&rig).await?;
            rig.catch_up(CONTACTS).await?;
            rig.read(CONTACTS).await?;
        }
        assert_eq!(rig.db.count("customers").await?, 1);
        assert_eq!(customer(&rig, 1).await?[0].as_deref(), Some(survivor.as_str()));
        Ok(())
    }

    async fn h16_two_rows_of_one_record_wait_for_a_person_and_the_one_that_stays_keeps_it(kind) {
        for (redirect, stays) in [(true, 1), (false, 1), (true, 2), (false, 2)] {
            let (rig, lost) = agreed(kind, redirect).await?;
            let crm = rig.crm.crm();
            let survivor = crm.create(Contacts, &[("email", "bo@acme.test"), ("phone", "2")])?;
            rig.settle().await?;
            assert_eq!(rig.db.count("customers").await?, 2);
            crm.merge(Contacts, &survivor, &lost)?;
            rig.catch_up(CONTACTS).await?;
            let cause = format!("two rows, one record: record {lost} was merged into {survivor}, which belongs to row 2");
            assert_eq!(parked(&rig).await?, [["push", "1", cause.as_str()].map(|text| Some(text.to_owned()))]);
            // Its edits are held, however often they are tried.
            rig.db.run("UPDATE customers SET first_name = 'Held', last_name = 'Nine' WHERE id = 1").await?;
            for _ in 0..3 {
                rig.debts_due(CONTACTS).await?;
                rig.push(CONTACTS).await?;
                rig.read(CONTACTS).await?;
            }
            assert_eq!(parked(&rig).await?.len(), 1);
            let record = rig.record("contacts", &survivor).await?;
            let said = |property: &str| record.get(property).map(String::as_str).filter(|text| !text.is_empty());
            assert_eq!((said("firstname"), said("lastname"), said("phone")), (Some("Ana"), None, Some("2")));
            let told = told(&rig, 1).await?;
            assert!(told[0].contains("into one that belongs to another row"), "{told:?}");
            assert!(rig.agree().await?[0].differences.iter().any(|one| one.reason.contains("two rows, one record")));

            let goes = 3 - stays;
            rig.db.run("UPDATE orders SET customer_id = NULL").await?;
            rig.db.run(&format!("DELETE FROM customers WHERE id = {goes}")).await?;
            rig.db.run(&format!("UPDATE orders SET customer_id = {stays}")).await?;
            rig.settle().await?;
            assert_eq!(customer(&rig, stays).await?[0].as_deref(), Some(survivor.as_str()), "redirect: {redirect}, stays: {stays}");
            assert_eq!(rig.records("contacts").await?.len(), 1);
            assert!(parked(&rig).await?.is_empty());
            let name = rig.record("contacts", &survivor).await?["firstname"].clone();
            assert_eq!(name, if stays == 1 { "Held" } else { "Ana" }, "what was held is sent by the row that stays");
            assert_eq!(crm.list(Deals)[0].associations["contacts"], [survivor]);
        }
        Ok(())
    }

    async fn h16_a_row_that_waits_for_a_record_waits_no_more_when_it_is_deleted_after_its_own_row(kind) {
        for redirect in [true, false] {
            let (rig, lost, survivor) = doubled(kind, redirect).await?;
            let crm = rig.crm.crm();
            crm.delete(Contacts, &survivor)?;
            rig.db.run(&format!("DELETE FROM customers WHERE hubspot_id = '{survivor}'")).await?;
            rig.settle().await?;
            let contacts = rig.stream(CONTACTS)?.id;
            let owed = rig.db.count(&format!("{} WHERE stream_id = {contacts} AND subject = '1' AND kind = 'push'", rig.db.own("tidemark_debt"))).await?;
            let state = rig.db.one(&format!("SELECT state FROM {} WHERE stream_id = {contacts} AND remote_id = '{lost}'", rig.db.own("tidemark_link"))).await?;
            assert_eq!((owed, state.as_deref()), (0, Some("tombstone")), "redirect: {redirect}");
        }
        Ok(())
    }

    async fn h16_a_row_that_waits_for_a_record_that_no_row_holds_waits_no_more_when_it_is_gone(kind) {
        let (rig, lost, survivor) = doubled(kind, false).await?;
        let crm = rig.crm.crm();
        rig.db.run(&format!("DELETE FROM customers WHERE hubspot_id = '{survivor}'")).await?;
        // As a page leaves it that shows a part of the survivor: its own link has let go, and who goes on with it has to read it first.
        let released = "SET remote_id = NULL, state = 'tombstone', gone = 'both'";
        rig.db.run(&format!("UPDATE {} {released} WHERE remote_id = '{survivor}'", rig.db.own("tidemark_link"))).await?;
        crm.delete(Contacts, &survivor)?;
        // Whatever makes its push due again asks for the survivor, and hears that there is none.
        rig.db.run("UPDATE customers SET first_name = 'Anna'").await?;
        rig.settle().await?;
        let links = format!("{} WHERE stream_id = {}", rig.db.own("tidemark_link"), rig.stream(CONTACTS)?.id);
        let states = format!("SELECT state, gone FROM {links} AND remote_id = '{lost}'");
        assert_eq!(rig.db.rows(&states).await?, [["tombstone", "record"].map(|text| Some(text.to_owned()))]);
        assert!(parked(&rig).await?.is_empty());
        Ok(())
    }

    async fn h16_a_row_that_is_not_sent_takes_the_record_of_the_row_that_went(kind) {
        for redirect in [true, false] {
            let mut setup = Setup::default();
            setup.weather.merged_redirect = redirect;
            let rig = Rig::with(kind, setup).await?;
            let crm = rig.crm.crm();
            // Rows that came from the CRM: nobody confirmed their e-mail, so that nothing of them is sent.
            let lost = crm.create(Contacts, &[("email", "ana@acme.test")])?;
            rig.settle().await?;
            let survivor = crm.create(Contacts, &[("email", "bo@acme.test"), ("phone", "2")])?;
            rig.settle().await?;
            crm.merge(Contacts, &survivor, &lost)?;
            rig.catch_up(CONTACTS).await?;
            assert_eq!(parked(&rig).await?.len(), 1);
            rig.db.run("UPDATE customers SET first_name = 'Ana' WHERE id = 1").await?;
            rig.push(CONTACTS).await?;
            rig.read(CONTACTS).await?;
            assert_eq!(parked(&rig).await?.len(), 1, "somebody still has to merge the rows");
            rig.db.run("DELETE FROM customers WHERE id = 2").await?;
            rig.settle().await?;
            let expect = [Some(survivor.clone()), Some("2".to_owned()), None];
            assert_eq!((customer(&rig, 1).await?, parked(&rig).await?.len()), (expect.to_vec(), 0), "redirect: {redirect}");
        }
        Ok(())
    }

    async fn h16_what_was_merged_into_a_record_unheard_is_not_archived_with_it(kind) {
        for (redirect, goes) in [(true, 2), (false, 2), (true, 1), (false, 1)] {
            let mut setup = Setup { contacts: "deletes = { outbound = \"archive\" }", ..Setup::default() };
            setup.weather.merged_redirect = redirect;
            let rig = Rig::with(kind, setup).await?;
            let (lost, survivor) = two(&rig).await?;
            // Somebody merges the two on both sides at once.
            rig.crm.crm().merge(Contacts, &survivor, &lost)?;
            rig.db.run(&format!("DELETE FROM customers WHERE id = {goes}")).await?;
            for _ in 0..3 {
                rig.debts_due(CONTACTS).await?;
                rig.push(CONTACTS).await?;
                rig.read(CONTACTS).await?;
            }
            rig.settle().await.wrap_err_with(|| format!("redirect: {redirect}, row {goes} went"))?;
            let records: Vec<String> = rig.records("contacts").await?.into_keys().collect();
            assert_eq!(records, std::slice::from_ref(&survivor), "redirect: {redirect}, row {goes} went");
            assert_eq!(customer(&rig, 3 - goes).await?[0].as_deref(), Some(survivor.as_str()));
            assert!(parked(&rig).await?.is_empty());
            // With the last row the record goes too.
            rig.db.run("DELETE FROM customers").await?;
            rig.settle().await.wrap_err_with(|| format!("redirect: {redirect}, row {goes} went, and then the other"))?;
            assert!(rig.records("contacts").await?.is_empty(), "redirect: {redirect}, row {goes} went");
        }
        Ok(())
    }

    async fn h16_a_row_that_went_while_its_record_was_made_leaves_it_to_whose_was_merged_into_it(kind) {
        let (rig, lost) = agreed(kind, true).await?;
        let crm = rig.crm.crm();
        let hasty = rig.worker_with(&[("TIDEMARK__CONNECTIONS__HUBSPOT__CALL_DEADLINE", "500ms")]).await?;
        rig.db.run("INSERT INTO customers (email, email_confirmed_at) VALUES ('bo@acme.test', '2026-01-01 00:00:00')").await?;
        crm.force_next(ForcedAnswer { honest: true, delay_ms: 2_000, path_contains: "/batch/upsert".into(), ..ForcedAnswer::default() });
        tidemark_worker::relay_once(&hasty).await?;
        handle(&hasty, Hint { kind: HintKind::Push, stream: rig.stream(CONTACTS)?.id }).await;
        let made: Vec<String> = rig.records("contacts").await?.into_keys().filter(|id| *id != lost).collect();
        let [survivor] = made.as_slice() else { bail!("one record was to be made: {made:?}") };
        crm.merge(Contacts, survivor, &lost)?;
        rig.db.run("DELETE FROM customers WHERE id = 2").await?;
        rig.settle().await?;
        assert_eq!(customer(&rig, 1).await?[0].as_ref(), Some(survivor));
        assert_eq!((parked(&rig).await?, rig.records("contacts").await?.len()), (Vec::new(), 1));
        Ok(())
    }

    async fn h16_a_record_that_took_the_key_of_another_row_is_left_to_it_when_its_own_row_goes(kind) {
        let rig = Rig::with(kind, Setup { contacts: "deletes = { outbound = \"archive\" }", ..Setup::default() }).await?;
        let crm = rig.crm.crm();
        let survivor = crm.create(Contacts, &[("email", "ana@acme.test"), ("phone", "2")])?;
        rig.settle().await?;
        let hasty = rig.worker_with(&[("TIDEMARK__CONNECTIONS__HUBSPOT__CALL_DEADLINE", "500ms")]).await?;
        rig.db.run("INSERT INTO customers (email, email_confirmed_at) VALUES ('bo@acme.test', '2026-01-01 00:00:00')").await?;
        crm.force_next(ForcedAnswer { honest: true, delay_ms: 2_000, path_contains: "/batch/upsert".into(), ..ForcedAnswer::default() });
        tidemark_worker::relay_once(&hasty).await?;
        handle(&hasty, Hint { kind: HintKind::Push, stream: rig.stream(CONTACTS)?.id }).await;
        let made: Vec<String> = rig.records("contacts").await?.into_keys().filter(|id| *id != survivor).collect();
        let [lost] = made.as_slice() else { bail!("one record was to be made: {made:?}") };
        // Merged before anybody has heard of the record: what is left of it is its key, in a record that is another row's.
        crm.merge(Contacts, &survivor, lost)?;
        rig.catch_up(CONTACTS).await?;
        rig.debts_due(CONTACTS).await?;
        rig.push(CONTACTS).await?;
        let waits = parked(&rig).await?;
        assert_eq!(waits[0][2].as_deref(), Some("the record with the same match key belongs to another row"), "{waits:?}");
        // As it was told, somebody merges the rows.
        rig.db.run("DELETE FROM customers WHERE id = 1").await?;
        rig.settle().await?;
        let records: Vec<String> = rig.records("contacts").await?.into_keys().collect();
        assert_eq!(records, std::slice::from_ref(&survivor), "it is not archived with the row that went");
        assert_eq!((customer(&rig, 2).await?[0].as_ref(), parked(&rig).await?.len()), (Some(&survivor), 0));
        Ok(())
    }

    async fn h16_a_record_is_archived_when_nobody_is_left_who_waits_for_it(kind) {
        let setup = Setup { contacts: "deletes = { outbound = \"archive\" }", ..Setup::default() };
        let rig = Rig::with(kind, setup).await?;
        let (lost, survivor) = two(&rig).await?;
        rig.crm.crm().merge(Contacts, &survivor, &lost)?;
        rig.catch_up(CONTACTS).await?;
        assert_eq!(parked(&rig).await?.len(), 1);
        rig.db.run("DELETE FROM customers").await?;
        rig.settle().await?;
        assert!(rig.records("contacts").await?.is_empty());
        assert!(parked(&rig).await?.is_empty());
        Ok(())
    }

    async fn h16_a_second_record_of_a_row_asks_nobody_any_more_once_the_two_are_merged(kind) {
            let mut setup = Setup { instead: &[("match_on = [\"email\"]", "match_on = [\"phone\"]")], ..Setup::default() };
            setup.weather.merged_redirect = true;
            let rig = Rig::with(kind, setup).await?;
            rig.db.run("INSERT INTO customers (email, phone, email_confirmed_at) VALUES ('ana@acme.test', '12', '2026-01-01 00:00:00')").await?;
            rig.settle().await?;
            let first = customer(&rig, 1).await?[0].clone().ok_or_eyre("no record")?;
            let crm = rig.crm.crm();
            let second = crm.create(Contacts, &[("email", "ana@home.test"), ("phone", "12")])?;
            rig.catch_up(CONTACTS).await?;
            let cause = "two records, one row: row 1 is linked to another record with the same match key";
            assert_eq!(parked(&rig).await?, [["read", second.as_str(), cause].map(|text| Some(text.to_owned()))]);
            // As it was told, somebody merges them; no page tells of it before the record of the row is read.
            let mut lagging = crm.weather();
            lagging.index_lag_ms = (3_600_000, 3_600_000);
            crm.set_weather(lagging);
            crm.merge(Contacts, &second, &first)?;
            rig.db.run("UPDATE customers SET first_name = 'Ana'").await?;
            for _ in 0..3 {
                rig.debts_due(CONTACTS).await?;
                rig.push(CONTACTS).await?;
                rig.read(CONTACTS).await?;
            }
            assert_eq!(customer(&rig, 1).await?[0].as_ref(), Some(&second));
            assert!(parked(&rig).await?.is_empty());
        Ok(())
    }

    async fn h16_a_witness_that_took_in_what_is_asked_for_tells_of_the_merge(kind) {
        let rig = Rig::start(kind).await?;
        let (lost, survivor) = two(&rig).await?;
        let crm = rig.crm.crm();
        // No page tells of it, and the CRM knows nothing of the lost id any more.
        let mut lagging = crm.weather();
        lagging.index_lag_ms = (3_600_000, 3_600_000);
        crm.set_weather(lagging);
        crm.merge(Contacts, &survivor, &lost)?;
        rig.db.run("UPDATE customers SET first_name = 'Ana' WHERE id = 1").await?;
        for _ in 0..4 {
            rig.debts_due(CONTACTS).await?;
            rig.push(CONTACTS).await?;
            rig.read(CONTACTS).await?;
        }
        let cause = format!("two rows, one record: record {lost} was merged into {survivor}, which belongs to row 2");
        assert_eq!(parked(&rig).await?, [["push", "1", cause.as_str()].map(|text| Some(text.to_owned()))]);
        Ok(())
    }
}
