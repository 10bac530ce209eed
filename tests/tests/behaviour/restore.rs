//! A restored backup does not know what happened since: nothing is sent from it until every stream was read again and a person has looked.

use std::collections::HashMap;

use eyre::OptionExt;
use tidemark_core::Millis;
use tidemark_core::delete::Witness;
use tidemark_core::record::{Record, RemoteId};
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_store::environment::{Whereabouts, beat, look, whereabouts};
use tidemark_store::gone::Round;
use tidemark_store::page::{OwedReads, apply_reads};
use tidemark_store::{Store, StoreError, debts, holds};
use tidemark_tests::backup::Backup;
use tidemark_tests::deadline::until;
use tidemark_tests::house::{House, PATIENCE};
use tidemark_tests::{Kind, Rig, Setup, on_both_databases};
use tidemark_worker::would_send::would_send;

use crate::faults::NO_KEY;

pub(crate) const CONTACTS: &str = "hubspot.contacts";
pub(crate) const DEALS: &str = "hubspot.deals";
pub(crate) const GUARD: Millis = 86_400_000;

/// A rig whose environment is adopted and whose pulse has moved, with Ana on both sides.
pub(crate) async fn shop(kind: Kind) -> eyre::Result<Rig> {
    let rig = Rig::start(kind).await?;
    assert_eq!(whereabouts(&rig.store).await?, Whereabouts::Home);
    rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('ana@acme.test', 'Ana', '2026-01-01 00:00:00')").await?;
    rig.db.run("INSERT INTO orders (number, customer_id, status, total_cents) VALUES ('R-1', 1, 'accepted', 100)").await?;
    rig.settle().await?;
    beat(&rig.store).await?;
    Ok(rig)
}

/// A beat, as the witness outside repeats it.
pub(crate) async fn witness(store: &Store) -> eyre::Result<String> {
    Ok(beat(store).await?.ok_or_eyre("nothing is adopted")?.to_string())
}

/// How often the CRM was asked to write something.
pub(crate) fn writes(rig: &Rig) -> usize {
    let calls = rig.crm.crm().calls();
    let writes =
        |path: &str| ["/batch/upsert", "/batch/create", "/batch/update", "/batch/archive"].iter().any(|end| path.ends_with(end));
    calls.iter().filter(|call| writes(&call.path)).count()
}

/// Everything is read again and swept; then a person adopts.
pub(crate) async fn read_again_and_adopt(rig: &Rig) -> eyre::Result<()> {
    read_again(rig).await?;
    let held = holds::list_held(&rig.store).await?;
    assert!(held.iter().all(holds::Held::is_ready), "{held:?}");
    holds::release(&rig.store, &held.iter().collect::<Vec<_>>(), "ann", None).await?;
    Ok(())
}

async fn read_again(rig: &Rig) -> eyre::Result<()> {
    for stream in [CONTACTS, DEALS] {
        rig.catch_up(stream).await?;
        rig.sweep(stream).await?;
        rig.catch_up(stream).await?;
        rig.read(stream).await?;
    }
    Ok(())
}

/// What pushes and reads are parked for.
pub(crate) async fn parked(rig: &Rig, kind: &str) -> eyre::Result<Vec<String>> {
    let sql = format!("SELECT cause FROM {} WHERE state = 'parked' AND kind = '{kind}' ORDER BY id", rig.db.own("tidemark_debt"));
    Ok(rig.db.rows(&sql).await?.into_iter().flatten().flatten().collect())
}

on_both_databases! {
    async fn h32_what_a_restored_backup_owes_is_held_until_everything_was_read_again_and_a_person_says_so(kind) {
        let rig = shop(kind).await?;
        // Owed when the backup is taken, sent after it, and then edited in the CRM.
        rig.db.run("UPDATE customers SET first_name = 'Anna', phone = '1'").await?;
        tidemark_worker::relay_once(&rig.ctx).await?;
        let backup = Backup::of(&rig.db).await?;
        rig.settle().await?;
        let id = rig.db.one("SELECT hubspot_id FROM customers").await?.ok_or_eyre("no id")?;
        rig.crm.crm().edit(Contacts, &id, &[("phone", "2")])?;
        rig.settle().await?;
        let witness = witness(&rig.store).await?;
        backup.restore(&rig.db).await?;

        let process = rig.second_store().await?;
        let why = look(&process, Some(&witness), GUARD).await?.ok_or_eyre("nobody noticed")?;
        assert!(why.contains("restored"), "{why}");
        assert_eq!(look(&process, Some(&witness), GUARD).await?, None, "it is told once");
        let sent = writes(&rig);
        rig.debts_due(CONTACTS).await?;
        rig.push(CONTACTS).await?;
        let hints = tidemark_store::streams::due_work(&rig.store, 0).await?;
        assert!(hints.iter().all(|work| work.kind != tidemark_core::hint::HintKind::Push), "{hints:?}");
        let held = holds::list_held(&rig.store).await?;
        let [contacts, deals] = held.as_slice() else { eyre::bail!("both streams are held: {held:?}") };
        assert_eq!((contacts.stream.as_str(), contacts.owed, contacts.is_ready(), deals.is_ready()), (CONTACTS, 1, false, false));
        assert_eq!(contacts.why, why);

        read_again(&rig).await?;
        rig.push(CONTACTS).await?;
        assert_eq!(writes(&rig), sent, "nothing was sent meanwhile");
        let conflicts = rig.db.one(&format!("SELECT CAST(conflicts AS TEXT) FROM {} WHERE name = '{CONTACTS}'", rig.db.own("tidemark_stream"))).await?;
        assert_eq!(conflicts.as_deref(), Some("1"), "what somebody wrote into the CRM since was read before anything could overwrite it");
        let held = holds::list_held(&rig.store).await?;
        assert!(held.iter().all(holds::Held::is_ready), "{held:?}");
        let would = would_send(&rig.store, rig.stream(CONTACTS)?).await?;
        assert_eq!((would.creates.count, would.archives.count), (0, 0), "{would:?}");
        holds::release(&rig.store, &held.iter().collect::<Vec<_>>(), "ann", Some("looked at it")).await?;
        let acts = format!("{} WHERE verb IN ('hold', 'adopt')", rig.db.own("tidemark_act"));
        assert_eq!(rig.db.count(&acts).await?, 3);
        rig.push(CONTACTS).await?;
        rig.push(CONTACTS).await?;
        let ana = rig.record("contacts", &id).await?;
        assert_eq!((ana["firstname"].as_str(), ana["phone"].as_str()), ("Anna", "2"));
        Ok(())
    }

    async fn h32_nothing_is_sent_from_a_database_that_was_put_back_under_a_running_worker(kind) {
        let rig = shop(kind).await?;
        rig.db.run("UPDATE customers SET first_name = 'Anna'").await?;
        tidemark_worker::relay_once(&rig.ctx).await?;
        let backup = Backup::of(&rig.db).await?;
        rig.settle().await?;
        beat(&rig.store).await?;
        backup.restore(&rig.db).await?;
        // Before anybody has looked: the worker itself remembers.
        let sent = writes(&rig);
        rig.push(CONTACTS).await?;
        assert_eq!((writes(&rig), rig.debts("waiting").await?), (sent, 1));
        assert_eq!(beat(&rig.store).await?, None, "nor does its pulse go on as if nothing had been");
        assert!(look(&rig.store, None, Millis::MAX).await?.is_some());
        assert_eq!(holds::list_held(&rig.store).await?.len(), 2);
        read_again_and_adopt(&rig).await?;
        rig.settle().await?;
        Ok(())
    }

    async fn h32_what_was_read_by_id_is_not_merged_into_a_database_that_was_put_back_meanwhile(kind) {
        let rig = shop(kind).await?;
        let backup = Backup::of(&rig.db).await?;
        rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('bo@acme.test', 'Bo', '2026-01-01 00:00:00')").await?;
        rig.settle().await?;
        beat(&rig.store).await?;
        let (mapped, bo) = (rig.stream(CONTACTS)?, rig.db.one("SELECT hubspot_id FROM customers WHERE id = 2").await?.ok_or_eyre("no id")?);
        let owed = format!("({}, 'read', '{bo}', 0, 0)", mapped.id);
        rig.db.run(&format!("INSERT INTO {} (stream_id, kind, subject, due_at, changed_at) VALUES {owed}", rig.db.own("tidemark_debt"))).await?;
        let claims = debts::claim(&rig.store, mapped.id, debts::Kind::Read, debts::Which::Due, "a reader", GUARD, 10).await?;
        assert_eq!(claims.len(), 1);
        let said = rig.record("contacts", &bo).await?;
        let record = Record {
            id: RemoteId::new(bo),
            modified: Some(rig.store.now().await?),
            archived: false,
            external_key: Some("2".into()),
            absorbed: Vec::new(),
version: None,
            left_out: Vec::new(),
            values: mapped.spec.fields.iter().map(|field| said.get(&field.property).cloned().filter(|text| !text.is_empty())).collect(),
        };
        backup.restore(&rig.db).await?;
        // The shop goes on, and gives Bo's key to Cy.
        rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('cy@acme.test', 'Cy', '2026-01-01 00:00:00')").await?;
        let reads = OwedReads {
            fence: "a reader",
            claims: &claims,
            asked_at: rig.store.now().await?,
            records: vec![record],
            versions: HashMap::new(),
            precision: 1,
            clock: None,
            read_delay: 0,
            round: Round { missing: Vec::new(), witness: Witness::Nobody, archive_view: true, commit_lag: 0 },
        };
        let applied = apply_reads(&rig.store, mapped, &HashMap::new(), reads).await;
        assert!(matches!(applied, Err(StoreError::LeaseLost { .. })), "{applied:?}");
        assert_eq!(rig.db.one("SELECT first_name FROM customers WHERE id = 2").await?.as_deref(), Some("Cy"), "nobody became somebody else");
        Ok(())
    }

    async fn h32_a_long_silence_is_held_like_a_restore(kind) {
        let rig = shop(kind).await?;
        assert_eq!(look(&rig.store, None, GUARD).await?, None);
        let environment = rig.db.own("tidemark_environment");
        rig.db.run(&format!("UPDATE {environment} SET beat_at = beat_at - 2 * {GUARD}")).await?;
        let why = look(&rig.second_store().await?, None, GUARD).await?.ok_or_eyre("nobody noticed")?;
        assert!(why.contains("nothing ran on this database for 48 h"), "{why}");
        assert_eq!(holds::list_held(&rig.store).await?.len(), 2);
        Ok(())
    }

    async fn h32_without_a_key_the_sweep_waits_until_what_was_sent_before_is_shown(kind) {
        let rig = Rig::with(kind, Setup { instead: NO_KEY, ..Setup::default() }).await?;
        whereabouts(&rig.store).await?;
        rig.settle().await?;
        beat(&rig.store).await?;
        let backup = Backup::of(&rig.db).await?;
        let witness = witness(&rig.store).await?;
        backup.restore(&rig.db).await?;
        look(&rig.second_store().await?, Some(&witness), GUARD).await?.ok_or_eyre("nobody noticed")?;
        rig.catch_up(CONTACTS).await?;
        let slice = rig.sweep_slice(CONTACTS).await?;
        assert!(matches!(slice, tidemark_worker::Outcome::Done { units: 0 }), "{slice:?}");
        assert_eq!(rig.seals(CONTACTS).await?, Vec::<String>::new(), "no sweep has begun");
        let streams = rig.db.own("tidemark_stream");
        rig.db.run(&format!("UPDATE {streams} SET held_at = held_at - 86400000")).await?;
        read_again_and_adopt(&rig).await?;
        assert_eq!(rig.seals(CONTACTS).await?, ["sealed"]);
        Ok(())
    }

    async fn h32_a_witness_that_is_lost_or_speaks_of_another_database_is_no_restore(kind) {
        let rig = shop(kind).await?;
        for witness in [None, Some(""), Some("another 999999"), Some("nonsense")] {
            assert_eq!(look(&rig.second_store().await?, witness, GUARD).await?, None, "{witness:?}");
        }
        assert_eq!(holds::list_held(&rig.store).await?, []);
        Ok(())
    }

    async fn a_stream_that_waits_for_its_go_is_not_held(kind) {
        let rig = shop(kind).await?;
        rig.db.run(&format!("UPDATE {} SET state = 'plan_ready' WHERE name = '{DEALS}'", rig.db.own("tidemark_stream"))).await?;
        let backup = Backup::of(&rig.db).await?;
        let witness = witness(&rig.store).await?;
        backup.restore(&rig.db).await?;
        assert!(look(&rig.store, Some(&witness), GUARD).await?.is_some());
        let held: Vec<String> = holds::list_held(&rig.store).await?.into_iter().map(|held| held.stream).collect();
        assert_eq!(held, [CONTACTS]);
        Ok(())
    }

    async fn heavy_h32_a_restored_backup_is_noticed_when_it_is_started(kind) {
        let mut house = House::open(kind, Setup::default(), &[]).await?;
        let processes: &[&str] = if kind == Kind::Postgres { &["scheduler-1", "worker-1"] } else { &["up-1"] };
        enter(&house, "ana@acme.test").await?;
        work_until_beaten(&mut house, processes).await?;
        let backup = Backup::of(&house.rig.db).await?;
        enter(&house, "bo@acme.test").await?;
        work_until_beaten(&mut house, processes).await?;
        backup.restore(&house.rig.db).await?;

        // The shop goes on: the key that Bo had is given to somebody else.
        enter(&house, "cy@acme.test").await?;
        for name in processes {
            house.start(name)?;
        }
        let ready = until("everything was read again", PATIENCE, async || {
            let said: serde_json::Value = serde_json::from_str(&house.tidemark(&["environment", "--json"]).await?.good()?)?;
            let held = said["held"].as_array().ok_or_eyre("no list")?;
            let is = |one: &serde_json::Value, what: &str| one[what] == true;
            let ready = held.len() == 2 && held.iter().all(|one| is(one, "read") && is(one, "compared") && is(one, "swept"));
            Ok(ready.then(|| said.clone()))
        });
        let ready = ready.await;
        let said = house.explain(ready)?;
        assert!(said["next"].as_str().is_some_and(|next| next.contains("lets it go")), "{said}");
        let told = house.services.iter().filter(|service| service.log().contains("nothing is sent: the database is a restored one")).count();
        assert_eq!(told, 1, "told once, by whoever looked first");
        assert_eq!(emails(&house), ["ana@acme.test", "bo@acme.test"], "Cy is held");
        assert_eq!(house.rig.db.one("SELECT email FROM customers WHERE id = 2").await?.as_deref(), Some("cy@acme.test"), "and has not become Bo");
        house.tidemark(&["environment", "adopt"]).await?.good()?;
        enter(&house, "dee@acme.test").await?;
        let sent = until("Dee is sent", PATIENCE, async || Ok(emails(&house).contains(&"dee@acme.test".to_owned()).then_some(())));
        let sent = sent.await;
        house.explain(sent)?;
        assert_eq!(emails(&house), ["ana@acme.test", "bo@acme.test", "dee@acme.test"], "the key that Cy was given waits for a person");
        Ok(())
    }
}

pub(crate) async fn enter(house: &House, email: &str) -> eyre::Result<()> {
    house
        .rig
        .db
        .run(&format!("INSERT INTO customers (email, email_confirmed_at) VALUES ('{email}', '2026-01-01 00:00:00')"))
        .await
}

/// Runs these processes until both sides agree and the pulse has moved, and stops them.
pub(crate) async fn work_until_beaten(house: &mut House, processes: &[&str]) -> eyre::Result<()> {
    let environment = house.rig.db.own("tidemark_environment");
    let before = house.rig.db.one(&format!("SELECT CAST(beats AS TEXT) FROM {environment}")).await?.unwrap_or_default();
    for name in processes {
        house.start(name)?;
    }
    house.loaded().await?;
    house.agreement().await?;
    let moved = format!("{environment} WHERE CAST(beats AS TEXT) <> '{before}' AND beats > 0");
    let beaten =
        until("the pulse has moved", PATIENCE, async || Ok((house.rig.db.count(&moved).await? == 1).then_some(()))).await;
    house.explain(beaten)?;
    for mut service in house.services.drain(..) {
        service.terminate(PATIENCE).await?;
    }
    Ok(())
}

fn emails(house: &House) -> Vec<String> {
    let crm = house.rig.crm.crm();
    let mut emails: Vec<String> =
        crm.list(Contacts).into_iter().filter_map(|record| record.properties.get("email").cloned()).collect();
    emails.sort();
    emails
}
