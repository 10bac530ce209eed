//! Brakes: a mistake that touches very many rows or records stops before it has done so, waits for a person in words, and loses nothing.

use std::collections::BTreeMap;

use tidemark_core::brake::{Act, Direction};
use tidemark_core::hint::{Hint, HintKind};
use tidemark_sandbox::ForcedAnswer;
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_scheduler::watch;
use tidemark_store::overview::{self, BrakeView};
use tidemark_store::{brakes, streams};
use tidemark_tests::{Kind, ONLY_READS, Rig, Setup, on_both_databases};

const CONTACTS: &str = "hubspot.contacts";
/// Small enough that a table of some dozens trips it.
const LIMITS: &str = "deletes = { outbound = \"archive\", inbound = \"delete\" }
brakes = { create = { count = 8, share = 0.0 }, update = { count = 6, share = 0.0 }, blank = { count = 3, share = 0.0 }, delete = { count = 4, share = 0.0 } }";
/// No window reads again what the one before has read.
const NO_OVERLAP: &[(&str, &str)] = &[("overlap = \"5s\"", "overlap = \"0s\"")];

/// So many customers that are in the CRM, more than any brake lets through: the first load is not braked.
async fn linked(kind: Kind, rows: usize, setup: Setup) -> eyre::Result<Rig> {
    let rig = Rig::with(kind, setup).await?;
    rig.db.run(&customers(1..=rows)).await?;
    tidemark_worker::relay_once(&rig.ctx).await?;
    rig.settle().await?;
    assert_eq!(rig.records("contacts").await?.len(), rows);
    Ok(rig)
}

fn customers(numbers: impl Iterator<Item = usize>) -> String {
    let row = |n: usize| format!("('c{n}@acme.test', 'C{n}', 'Robots', '2026-01-01 00:00:00')");
    let rows: Vec<String> = numbers.map(row).collect();
    format!("INSERT INTO customers (email, first_name, company, email_confirmed_at) VALUES {}", rows.join(", "))
}

fn limits() -> Setup {
    Setup { contacts: LIMITS, ..Setup::default() }
}

/// Relays, and does whatever is due, in slices until nothing moves any more. The sides need not agree.
async fn work(rig: &Rig) -> eyre::Result<()> {
    for _ in 0..4 {
        rig.catch_up(CONTACTS).await?;
        rig.debts_due(CONTACTS).await?;
        rig.push(CONTACTS).await?;
        rig.read(CONTACTS).await?;
    }
    Ok(())
}

async fn brake(rig: &Rig, direction: Direction, act: Act) -> eyre::Result<Option<BrakeView>> {
    let streams = overview::streams(&rig.store).await?;
    let contacts = streams.into_iter().find(|stream| stream.name == CONTACTS);
    let mut brakes = contacts.map(|stream| stream.brakes).unwrap_or_default().into_iter();
    Ok(brakes.find(|brake| (brake.direction, brake.act) == (direction, act)))
}

/// How many wait behind a brake that is on.
async fn held(rig: &Rig, direction: Direction, act: Act) -> eyre::Result<i64> {
    let brake = brake(rig, direction, act).await?;
    Ok(brake.filter(|brake| brake.tripped_at.is_some()).map_or(0, |brake| brake.held))
}

async fn resume(rig: &Rig, direction: Direction, act: Act) -> eyre::Result<Option<u64>> {
    Ok(brakes::release(&rig.store, rig.stream(CONTACTS)?.id, direction, act).await?)
}

async fn records_where(rig: &Rig, property: &str, value: &str) -> eyre::Result<usize> {
    let holds = |record: &BTreeMap<String, String>| record.get(property).is_some_and(|text| text == value);
    Ok(rig.records("contacts").await?.into_values().filter(holds).count())
}

on_both_databases! {
    async fn h36_a_first_load_is_not_braked_either_way(kind) {
        let rig = Rig::with(kind, limits()).await?;
        rig.db.run(&customers(1..=20)).await?;
        tidemark_worker::relay_once(&rig.ctx).await?;
        for n in 30..60 {
            rig.crm.crm().create(Contacts, &[("email", &format!("c{n}@acme.test"))])?;
        }
        // By then their stamps lie behind what a first window reads.
        rig.catch_up("hubspot.deals").await?;
        rig.settle().await?;
        assert_eq!(rig.records("contacts").await?.len(), 50);
        assert_eq!(rig.db.count("customers").await?, 50);
        assert_eq!(watch::brakes(&rig.store).await?, 0);
        Ok(())
    }

    async fn h36_a_delete_without_where_stops_at_the_brake_and_one_answer_lets_it_through(kind) {
        let rig = linked(kind, 30, limits()).await?;
        rig.db.run("DELETE FROM customers").await?;
        work(&rig).await?;
        assert_eq!(rig.records("contacts").await?.len(), 26, "four pass, and not the fifth");
        assert_eq!(held(&rig, Direction::Out, Act::Delete).await?, 26);
        assert_eq!(watch::brakes(&rig.store).await?, 1, "told in the log");
        assert_eq!(watch::brakes(&rig.store).await?, 0, "once");
        work(&rig).await?;
        assert_eq!(rig.records("contacts").await?.len(), 26, "nothing trickles through");
        assert_eq!(resume(&rig, Direction::Out, Act::Delete).await?, Some(26));
        work(&rig).await?;
        assert_eq!(rig.records("contacts").await?.len(), 0);
        assert_eq!(resume(&rig, Direction::Out, Act::Delete).await?, None, "nothing waits any more");
        assert_eq!(rig.debts("parked").await?, 0);
        Ok(())
    }

    async fn h36_after_an_answer_the_next_mistake_is_stopped_again(kind) {
        let rig = linked(kind, 30, limits()).await?;
        rig.db.run("DELETE FROM customers WHERE id IN (SELECT id FROM customers ORDER BY id LIMIT 15)").await?;
        work(&rig).await?;
        resume(&rig, Direction::Out, Act::Delete).await?;
        work(&rig).await?;
        assert_eq!(rig.records("contacts").await?.len(), 15);
        rig.db.run("DELETE FROM customers").await?;
        work(&rig).await?;
        assert_eq!(rig.records("contacts").await?.len(), 11);
        assert_eq!(held(&rig, Direction::Out, Act::Delete).await?, 11);
        Ok(())
    }

    async fn h36_single_deletes_pass_and_many_single_ones_are_one_large_one(kind) {
        let rig = linked(kind, 10, limits()).await?;
        for left in [9, 8, 7, 6, 6, 6] {
            rig.db.run("DELETE FROM customers WHERE id = (SELECT min(id) FROM customers)").await?;
            work(&rig).await?;
            assert_eq!(rig.records("contacts").await?.len(), left);
        }
        assert_eq!(held(&rig, Direction::Out, Act::Delete).await?, 2);
        Ok(())
    }

    async fn h36_rows_that_come_back_before_anybody_answers_are_not_deleted_there(kind) {
        let rig = linked(kind, 20, limits()).await?;
        rig.db.run("CREATE TABLE saved AS SELECT * FROM customers").await?;
        rig.db.run("DELETE FROM customers").await?;
        work(&rig).await?;
        assert_eq!(held(&rig, Direction::Out, Act::Delete).await?, 16);
        rig.db.run("INSERT INTO customers SELECT * FROM saved WHERE id NOT IN (SELECT id FROM customers)").await?;
        work(&rig).await?;
        resume(&rig, Direction::Out, Act::Delete).await?;
        work(&rig).await?;
        assert!(rig.records("contacts").await?.len() >= 16, "what is sent is computed when it is sent");
        assert_eq!(held(&rig, Direction::Out, Act::Delete).await?, 0);
        Ok(())
    }

    async fn h21_an_update_of_everything_trips_the_brake_and_one_act_resumes(kind) {
        let rig = linked(kind, 40, limits()).await?;
        rig.db.run("UPDATE customers SET first_name = 'All'").await?;
        work(&rig).await?;
        assert_eq!(records_where(&rig, "firstname", "All").await?, 6);
        assert_eq!(held(&rig, Direction::Out, Act::Update).await?, 34);
        assert_eq!(resume(&rig, Direction::Out, Act::Update).await?, Some(34));
        work(&rig).await?;
        assert_eq!(records_where(&rig, "firstname", "All").await?, 40);
        assert_eq!(rig.debts("parked").await?, 0);
        Ok(())
    }

    async fn h21_an_answer_covers_what_an_unfinished_walk_has_yet_to_find(kind) {
        let rig = linked(kind, 40, limits()).await?;
        rig.db.run("UPDATE customers SET first_name = 'All'").await?;
        work(&rig).await?;
        // A statement over very many rows left one marker, and the walk has not come to most of them.
        rig.db.run(&format!("DELETE FROM {} WHERE kind = 'push' AND class = 'brake_update' AND subject <> '40'", rig.db.own("tidemark_debt"))).await?;
        streams::owe_walk(&rig.store, rig.stream(CONTACTS)?.id).await?;
        resume(&rig, Direction::Out, Act::Update).await?;
        work(&rig).await?;
        assert_eq!(records_where(&rig, "firstname", "All").await?, 40);
        assert_eq!(held(&rig, Direction::Out, Act::Update).await?, 0);
        Ok(())
    }

    async fn h36_a_row_that_changes_again_and_again_is_one_changed_row(kind) {
        let rig = linked(kind, 3, limits()).await?;
        for n in 0..12 {
            rig.db.run(&format!("UPDATE customers SET first_name = 'N{n}' WHERE id = (SELECT min(id) FROM customers)")).await?;
            rig.push(CONTACTS).await?;
            assert_eq!(records_where(&rig, "firstname", &format!("N{n}")).await?, 1);
        }
        assert_eq!(brake(&rig, Direction::Out, Act::Update).await?.map(|brake| (brake.day, brake.held)), Some((1, 0)));
        Ok(())
    }

    async fn h36_records_that_would_be_made_by_the_dozen_wait(kind) {
        let rig = linked(kind, 3, limits()).await?;
        rig.db.run(&customers(100..130)).await?;
        work(&rig).await?;
        assert_eq!(rig.records("contacts").await?.len(), 11);
        assert_eq!(held(&rig, Direction::Out, Act::Create).await?, 22);
        resume(&rig, Direction::Out, Act::Create).await?;
        work(&rig).await?;
        assert_eq!(rig.records("contacts").await?.len(), 33);
        Ok(())
    }

    async fn h36_a_crm_whose_records_are_all_gone_takes_few_rows_with_it(kind) {
        let rig = linked(kind, 20, Setup { instead: NO_OVERLAP, ..limits() }).await?;
        for id in rig.records("contacts").await?.into_keys().skip(1) {
            rig.crm.crm().delete(Contacts, &id)?;
        }
        rig.sweep(CONTACTS).await?;
        work(&rig).await?;
        assert_eq!(rig.db.count("customers").await?, 16);
        assert_eq!(held(&rig, Direction::In, Act::Delete).await?, 15);
        assert_eq!(resume(&rig, Direction::In, Act::Delete).await?, Some(15));
        work(&rig).await?;
        assert_eq!(rig.db.count("customers").await?, 1);
        Ok(())
    }

    async fn h36_a_page_that_changes_too_many_rows_stops_and_the_window_passes(kind) {
        let rig = linked(kind, 20, limits()).await?;
        for id in rig.records("contacts").await?.into_keys() {
            rig.crm.crm().edit(Contacts, &id, &[("company", "Edited there")])?;
        }
        work(&rig).await?;
        let edited = "customers WHERE company = 'Edited there'";
        assert_eq!(rig.db.count(edited).await?, 6);
        assert_eq!(held(&rig, Direction::In, Act::Update).await?, 14);
        rig.crm.crm().create(Contacts, &[("email", "new@acme.test")])?;
        work(&rig).await?;
        assert_eq!(rig.db.count("customers WHERE email = 'new@acme.test'").await?, 1, "other acts go on");
        assert_eq!(resume(&rig, Direction::In, Act::Update).await?, Some(14));
        work(&rig).await?;
        assert_eq!(rig.db.count(edited).await?, 20);
        assert_eq!(rig.debts("parked").await?, 0);
        Ok(())
    }

    async fn h36_values_that_are_emptied_have_a_brake_of_their_own(kind) {
        let clears = "blanks = \"clear\"\nbrakes = { blank = { count = 3, share = 0.0 } }";
        let rig = linked(kind, 10, Setup { contacts: clears, ..Setup::default() }).await?;
        for id in rig.records("contacts").await?.into_keys() {
            rig.crm.crm().edit(Contacts, &id, &[("company", "")])?;
        }
        work(&rig).await?;
        assert_eq!(rig.db.count("customers WHERE COALESCE(company, '') = ''").await?, 3);
        assert_eq!(held(&rig, Direction::In, Act::Blank).await?, 7);
        rig.db.run("UPDATE customers SET first_name = NULL").await?;
        work(&rig).await?;
        assert_eq!(held(&rig, Direction::Out, Act::Blank).await?, 7, "each direction counts alone");
        Ok(())
    }

    async fn h36_the_sweep_asks_the_same_brakes(kind) {
        let rig = linked(kind, 20, Setup { instead: NO_OVERLAP, ..limits() }).await?;
        let ids: Vec<String> = rig.records("contacts").await?.into_keys().collect();
        for id in &ids {
            rig.crm.crm().edit(Contacts, id, &[("company", "Unheard")])?;
        }
        rig.sweep(CONTACTS).await?;
        assert_eq!(rig.db.count("customers WHERE company = 'Unheard'").await?, 6);
        assert_eq!(held(&rig, Direction::In, Act::Update).await?, 14);
        Ok(())
    }

    async fn h36_a_crm_that_is_away_makes_no_delete_count_twice(kind) {
        let rig = linked(kind, 10, limits()).await?;
        rig.db.run("DELETE FROM customers WHERE id IN (SELECT id FROM customers ORDER BY id LIMIT 3)").await?;
        for _ in 0..3 {
            rig.crm.crm().force_next(ForcedAnswer { status: 503, path_contains: "archive".into(), ..ForcedAnswer::default() });
            rig.debts_due(CONTACTS).await?;
            rig.push(CONTACTS).await?;
        }
        assert_eq!(brake(&rig, Direction::Out, Act::Delete).await?.map(|brake| (brake.day, brake.held)), Some((3, 0)));
        Ok(())
    }

    /// Two workers ask at once: together they let no more through than one would.
    async fn h36_any_number_of_workers_stop_at_the_same_mark(kind) {
        let rig = linked(kind, 30, limits()).await?;
        let other = rig.second_worker().await?;
        rig.db.run("DELETE FROM customers").await?;
        tidemark_worker::relay_once(&rig.ctx).await?;
        let hint = Hint { kind: HintKind::Push, stream: rig.stream(CONTACTS)?.id };
        tokio::join!(tidemark_worker::handle(&rig.ctx, hint), tidemark_worker::handle(&other, hint));
        work(&rig).await?;
        assert_eq!(rig.records("contacts").await?.len(), 26);
        Ok(())
    }

    async fn a_stream_that_only_reads_asks_before_it_makes_rows_by_the_dozen(kind) {
        let small = "brakes = { create = { count = 5, share = 0.0 } }";
        let rig = Rig::with(kind, Setup { instead: ONLY_READS, contacts: small, ..Setup::default() }).await?;
        rig.settle().await?;
        for n in 0..20 {
            rig.crm.crm().create(Contacts, &[("email", &format!("c{n}@acme.test"))])?;
        }
        rig.catch_up(CONTACTS).await?;
        assert_eq!(rig.db.count("customers").await?, 5);
        resume(&rig, Direction::In, Act::Create).await?;
        work(&rig).await?;
        assert_eq!(rig.db.count("customers").await?, 20);
        Ok(())
    }
}
