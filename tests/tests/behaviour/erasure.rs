//! Erasing a person: gone on both sides and from everything that is kept, whatever crashes in between, and not brought back by anybody unasked.

use eyre::OptionExt;
use tempfile::TempDir;
use tidemark_core::erasure::{CLASS, WAITS};
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_sandbox::hooks::HookAnswer;
use tidemark_sandbox::{ForcedAnswer, Weather};
use tidemark_store::debts;
use tidemark_tests::hook_rig::HookRig;
use tidemark_tests::house::{House, PATIENCE};
use tidemark_tests::processes::{command, run};
use tidemark_tests::{Kind, Rig, Setup, on_both_databases};
use tidemark_worker::agree::compare_stream;

const CONTACTS: &str = "hubspot.contacts";
const ANA: &str = "INSERT INTO customers (email, first_name, phone, email_confirmed_at) VALUES ('ana@acme.test', 'Anastasia', '555-0100', '2026-01-01 00:00:00')";

/// Ana on both sides, with a history, and her record's id.
async fn shop(kind: Kind, setup: Setup) -> eyre::Result<(House, String)> {
    let house = House::open(kind, setup, &[]).await?;
    let rig = &house.rig;
    rig.db.run(ANA).await?;
    rig.settle().await?;
    rig.db.run("UPDATE customers SET first_name = 'Anabel'").await?;
    rig.settle().await?;
    let id = rig.db.one("SELECT hubspot_id FROM customers").await?.ok_or_eyre("no record")?;
    rig.db.run(&format!(
        "INSERT INTO {} (connection, stream_id, purpose, attempt, method, endpoint, items, elapsed_ms, message) VALUES
            ('hubspot', 1, 'push', 1, 'POST', '/x', 1, 5, 'contact {id} was refused: ANA@acme.test is taken'), ('hubspot', 1, 'push', 1, 'POST', '/x', 1, 5, 'no answer')",
        rig.db.own("tidemark_callout")
    ))
    .await?;
    Ok((house, id))
}

/// Tidemark's tables in which one of these texts stands, with the row.
async fn kept(rig: &Rig, texts: &[&str]) -> eyre::Result<Vec<String>> {
    let mut found = Vec::new();
    for (table, row) in rig.db.own_rows().await? {
        let row = row.to_lowercase();
        found.extend(texts.iter().filter(|text| row.contains(**text)).map(|text| format!("{table}: {text} in {row}")));
    }
    Ok(found)
}

/// The debts that wait because their person was erased: kind and id.
async fn asked(rig: &Rig) -> eyre::Result<Vec<(String, i64)>> {
    let sql = format!(
        "SELECT kind, CAST(id AS TEXT) FROM {} WHERE state = 'parked' AND class = '{CLASS}' ORDER BY id",
        rig.db.own("tidemark_debt")
    );
    let rows = rig.db.rows(&sql).await?;
    rows.into_iter().map(|row| Ok((row[0].clone().unwrap_or_default(), row[1].clone().unwrap_or_default().parse()?))).collect()
}

async fn state(rig: &Rig) -> eyre::Result<Vec<String>> {
    let rows = rig.db.rows(&format!("SELECT state FROM {} ORDER BY id", rig.db.own("tidemark_erasure"))).await?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

/// A comparison counts the one who waits as decided, says what is waited for, and finds no difference.
async fn kept_out_on_purpose(house: &House) -> eyre::Result<()> {
    let report = compare_stream(&house.rig.ctx, house.rig.stream(CONTACTS)?).await?;
    assert_eq!((report.differ, report.decided_reasons.get(WAITS)), (0, Some(&1)), "{report:#?}");
    let said = house.tidemark(&["agree", CONTACTS]).await?.good()?;
    assert!(said.contains(WAITS), "{said}");
    Ok(())
}

on_both_databases! {
    async fn who_is_erased_is_gone_on_both_sides_and_from_everything_that_is_kept(kind) {
        let (house, id) = shop(kind, Setup::default()).await?;
        let rig = &house.rig;
        let key = rig.db.one("SELECT CAST(id AS TEXT) FROM customers").await?.ok_or_eyre("no row")?;
        let before = kept(rig, &["ana@acme.test", "anabel"]).await?;
        assert!(before.iter().any(|row| row.starts_with("tidemark_link:")) && before.iter().any(|row| row.starts_with("tidemark_lineage:")), "{before:#?}");
        let said = house.tidemark(&["erase", CONTACTS, &key, "--plan"]).await?.good()?;
        for words in [&format!("row {key} of "), " is deleted", &format!("record {id} of {CONTACTS} is archived"), "HubSpot keeps an archived record", "a keyed digest of 1 match key", "Nothing was changed"] {
            assert!(said.contains(words), "{words:?} is missing in:\n{said}");
        }
        assert_eq!((rig.db.count("customers").await?, rig.records("contacts").await?.len()), (1, 1));

        let said = house.tidemark(&["erase", CONTACTS, &key, "--reason", "asked for it"]).await?.good()?;
        assert!(said.contains(&format!("record {id} of {CONTACTS} was archived")), "{said}");
        assert_eq!((rig.db.count("customers").await?, rig.records("contacts").await?.len()), (0, 0));
        assert_eq!(kept(rig, &["ana@acme.test", "anabel", "anastasia", "555-0100"]).await?, Vec::<String>::new());
        let told = rig.db.rows(&format!("SELECT message FROM {} WHERE message IS NOT NULL ORDER BY id", rig.db.own("tidemark_callout"))).await?;
        assert_eq!(told, [[Some("erased".to_owned())], [Some("no answer".to_owned())]]);
        assert_eq!(state(rig).await?, ["done"]);
        // Whatever is read again, nothing comes back, and nothing is owed.
        rig.settle().await?;
        rig.sweep(CONTACTS).await?;
        rig.settle().await?;
        assert_eq!((rig.db.count("customers").await?, rig.records("contacts").await?.len()), (0, 0));
        assert_eq!(rig.db.count(&rig.db.own("tidemark_debt")).await?, 0);
        let ended = house.tidemark(&["erase", CONTACTS, "no-such-row"]).await?;
        assert_eq!(ended.code, Some(1), "{}", ended.stdout);
        Ok(())
    }

    async fn a_crm_that_does_not_answer_is_asked_again_and_meanwhile_nobody_comes_back(kind) {
        let (house, id) = shop(kind, Setup::default()).await?;
        let rig = &house.rig;
        rig.crm.crm().force_next(ForcedAnswer { status: 503, path_contains: "/batch/archive".into(), ..ForcedAnswer::default() });
        let ended = house.tidemark(&["erase", CONTACTS, "--record", &id]).await?;
        assert_eq!(ended.code, Some(2), "{}{}", ended.stdout, ended.stderr);
        assert!(ended.stdout.contains("is still there"), "{}", ended.stdout);
        assert_eq!((rig.db.count("customers").await?, rig.records("contacts").await?.len()), (0, 1));
        assert_eq!(kept(rig, &["ana@acme.test", "anabel"]).await?, Vec::<String>::new());
        assert!(house.tidemark(&["status"]).await?.good()?.contains(&format!("record {id} of {CONTACTS} is still to be archived, tried 1 times")));
        // An edit of the record is a newer version than any that was seen, and lifts nothing.
        rig.crm.crm().edit(Contacts, &id, &[("company", "Acme")])?;
        rig.catch_up(CONTACTS).await?;
        rig.read(CONTACTS).await?;
        rig.sweep(CONTACTS).await?;
        assert_eq!(rig.db.count("customers").await?, 0);
        // A worker that knows nothing but the database goes on.
        rig.db.run(&format!("UPDATE {} SET due_at = 0", rig.db.own("tidemark_erasure"))).await?;
        rig.push(CONTACTS).await?;
        assert_eq!((rig.records("contacts").await?.len(), state(rig).await?), (0, vec!["done".to_owned()]));
        assert!(!house.tidemark(&["status"]).await?.good()?.contains("erased:"));
        Ok(())
    }

    async fn a_record_is_deleted_for_good_where_that_is_asked_for_and_the_crm_can(kind) {
        let (house, id) = shop(kind, Setup::default()).await?;
        let rig = &house.rig;
        let said = house.tidemark(&["erase", CONTACTS, "--record", &id, "--for-good", "--plan"]).await?.good()?;
        assert!(said.contains(&format!("record {id} of {CONTACTS} is deleted for good")) && !said.contains("HubSpot keeps"), "{said}");
        rig.crm.crm().force_next(ForcedAnswer { status: 503, path_contains: "/gdpr-delete".into(), ..ForcedAnswer::default() });
        assert_eq!(house.tidemark(&["erase", CONTACTS, "--record", &id, "--for-good"]).await?.code, Some(2));
        assert!(house.tidemark(&["status"]).await?.good()?.contains(&format!("record {id} of {CONTACTS} is still to be deleted for good, tried 1 times")));
        rig.db.run(&format!("UPDATE {} SET due_at = 0", rig.db.own("tidemark_erasure"))).await?;
        rig.push(CONTACTS).await?;
        assert_eq!((rig.records("contacts").await?.len(), state(rig).await?), (0, vec!["done".to_owned()]));
        assert!(rig.crm.crm().restore(Contacts, &id).is_err(), "nothing brings it back");
        // Whoever has only archived one may go the whole way later.
        let archived = rig.crm.crm().create(Contacts, &[("email", "bo@acme.test")])?;
        house.tidemark(&["erase", CONTACTS, "--record", &archived]).await?.good()?;
        house.tidemark(&["erase", CONTACTS, "--record", &archived, "--for-good"]).await?.good()?;
        assert!(rig.crm.crm().restore(Contacts, &archived).is_err());
        // Of other objects the vendor has no such page.
        rig.db.run("INSERT INTO orders (number, status, total_cents) VALUES ('R-1', 'accepted', 100)").await?;
        rig.settle().await?;
        let deal = rig.db.one("SELECT CAST(id AS TEXT) FROM orders").await?.ok_or_eyre("no order")?;
        let ended = house.tidemark(&["erase", "hubspot.deals", &deal, "--for-good"]).await?;
        assert_eq!(ended.code, Some(1), "{}", ended.stdout);
        assert!(ended.stderr.contains("without --for-good its record is archived"), "{}", ended.stderr);
        assert_eq!(rig.records("deals").await?.len(), 1);
        Ok(())
    }

    async fn a_record_that_was_merged_a_moment_ago_takes_nobody_else_along(kind) {
        let (house, id) = shop(kind, Setup::default()).await?;
        let rig = &house.rig;
        let redirects = Weather { merged_redirect: true, ..rig.crm.crm().weather() };
        rig.crm.crm().set_weather(redirects);
        let other = rig.crm.crm().create(Contacts, &[("email", "bo@acme.test")])?;
        rig.crm.crm().merge(Contacts, &other, &id)?;
        let ended = house.tidemark(&["erase", CONTACTS, "--record", &id, "--for-good"]).await?;
        assert_eq!(ended.code, Some(2), "{}{}", ended.stdout, ended.stderr);
        assert!(ended.stdout.contains(&format!("was merged into record {other}")), "{}", ended.stdout);
        assert!(rig.records("contacts").await?.contains_key(&other), "it is somebody else's, too");
        house.tidemark(&["erase", CONTACTS, "--record", &other, "--for-good"]).await?.good()?;
        assert_eq!(rig.records("contacts").await?.len(), 0);
        Ok(())
    }

    async fn an_erasure_that_is_due_is_hinted(kind) {
        let (house, id) = shop(kind, Setup::default()).await?;
        let rig = &house.rig;
        rig.crm.crm().force_next(ForcedAnswer { status: 503, path_contains: "/batch/archive".into(), ..ForcedAnswer::default() });
        house.tidemark(&["erase", CONTACTS, "--record", &id]).await?;
        rig.db.run(&format!("UPDATE {} SET due_at = 0", rig.db.own("tidemark_erasure"))).await?;
        rig.db.run(&format!("UPDATE {} SET push_hinted_at = NULL", rig.db.own("tidemark_stream"))).await?;
        let hinted = |work: Vec<tidemark_store::streams::DueWork>| work.iter().filter(|one| one.kind == tidemark_core::hint::HintKind::Push).count();
        assert_eq!(hinted(tidemark_store::streams::due_work(&rig.store, 5_000).await?), 1);
        rig.db.run(&format!("UPDATE {} SET state = 'paused' WHERE name = 'hubspot'", rig.db.own("tidemark_connection"))).await?;
        assert_eq!(hinted(tidemark_store::streams::due_work(&rig.store, 5_000).await?), 0, "a pause stops every call");
        rig.push(CONTACTS).await?;
        assert_eq!(rig.records("contacts").await?.len(), 1);
        Ok(())
    }

    async fn a_record_with_the_match_key_of_one_who_was_erased_waits_for_a_word(kind) {
        let (house, id) = shop(kind, Setup::default()).await?;
        let rig = &house.rig;
        house.tidemark(&["erase", CONTACTS, "--record", &id]).await?.good()?;
        rig.crm.crm().create(Contacts, &[("email", "Ana@acme.test"), ("firstname", "Ana")])?;
        rig.crm.crm().create(Contacts, &[("email", "bo@acme.test")])?;
        rig.catch_up(CONTACTS).await?;
        rig.read(CONTACTS).await?;
        assert_eq!(rig.db.count("customers").await?, 1, "the other one comes");
        let waiting = asked(rig).await?;
        let [(kind, debt)] = waiting.as_slice() else { eyre::bail!("{waiting:?}") };
        assert_eq!(kind, "read");
        let cause = rig.db.one(&format!("SELECT cause || ' ' || next_step FROM {} WHERE id = {debt}", rig.db.own("tidemark_debt"))).await?.unwrap_or_default();
        assert!(cause.contains("was erased on ") && cause.contains("agreed anew, retry"), "{cause}");
        rig.catch_up(CONTACTS).await?;
        assert_eq!(asked(rig).await?.len(), 1, "a page that shows it again lets nobody in");
        kept_out_on_purpose(&house).await?;
        // A person says that it is a new consent.
        debts::retry(&rig.store, *debt).await?;
        rig.catch_up(CONTACTS).await?;
        rig.read(CONTACTS).await?;
        assert_eq!(rig.db.count("customers WHERE email = 'Ana@acme.test' OR email = 'ana@acme.test'").await?, 1);
        assert_eq!(state(rig).await?, ["lifted"]);
        rig.settle().await?;
        Ok(())
    }

    async fn a_row_that_is_made_again_waits_for_a_word_and_is_sent_then(kind) {
        let (house, id) = shop(kind, Setup::default()).await?;
        let rig = &house.rig;
        house.tidemark(&["erase", CONTACTS, "--record", &id]).await?.good()?;
        rig.db.run(ANA).await?;
        rig.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('bo@acme.test', 'Bo', '2026-01-01 00:00:00')").await?;
        rig.push(CONTACTS).await?;
        let emails = |records: std::collections::BTreeMap<String, std::collections::BTreeMap<String, String>>| records.into_values().filter_map(|mut record| record.remove("email")).collect::<Vec<_>>();
        assert_eq!(emails(rig.records("contacts").await?), ["bo@acme.test"]);
        let waiting = asked(rig).await?;
        let [(kind, debt)] = waiting.as_slice() else { eyre::bail!("{waiting:?}") };
        assert_eq!(kind, "push");
        rig.catch_up(CONTACTS).await?;
        rig.read(CONTACTS).await?;
        kept_out_on_purpose(&house).await?;
        debts::retry(&rig.store, *debt).await?;
        rig.push(CONTACTS).await?;
        assert_eq!(rig.records("contacts").await?.len(), 2);
        assert_eq!(state(rig).await?, ["lifted"]);
        rig.settle().await?;
        Ok(())
    }

    async fn a_row_that_something_refers_to_stays_and_so_does_everything_else(kind) {
        let (house, id) = shop(kind, Setup::default()).await?;
        let rig = &house.rig;
        rig.db.run("INSERT INTO orders (number, customer_id, status, total_cents) SELECT 'R-1', id, 'draft', 100 FROM customers").await?;
        let before = (kept(rig, &["ana@acme.test", "anabel"]).await?.len(), rig.db.count(&rig.db.own("tidemark_act")).await?);
        let ended = house.tidemark(&["erase", CONTACTS, "--record", &id]).await?;
        assert_eq!(ended.code, Some(1), "{}", ended.stdout);
        assert!(ended.stderr.contains("refused the delete of row") && ended.stderr.contains("nothing was changed"), "{}", ended.stderr);
        assert_eq!((kept(rig, &["ana@acme.test", "anabel"]).await?.len(), rig.db.count(&rig.db.own("tidemark_act")).await?), before);
        assert_eq!((rig.db.count("customers").await?, rig.records("contacts").await?.len(), state(rig).await?.len()), (1, 1, 0));
        rig.settle().await?;
        // Once the order system has let go of it, it goes.
        rig.db.run("DELETE FROM orders; DELETE FROM customers").await?;
        house.tidemark(&["erase", CONTACTS, "--record", &id]).await?.good()?;
        assert_eq!((rig.records("contacts").await?.len(), kept(rig, &["ana@acme.test", "anabel"]).await?), (0, Vec::new()));
        Ok(())
    }

    async fn a_record_that_no_row_knows_is_erased_by_its_id_and_known_again_by_its_key(kind) {
        let house = House::open(kind, Setup::default(), &[]).await?;
        let rig = &house.rig;
        let id = rig.crm.crm().create(Contacts, &[("email", "ana@acme.test")])?;
        assert_eq!(house.tidemark(&["erase", CONTACTS, "--record", "999999"]).await?.code, Some(1));
        house.tidemark(&["erase", CONTACTS, "--record", &id]).await?.good()?;
        assert_eq!(rig.records("contacts").await?.len(), 0);
        let again = rig.crm.crm().create(Contacts, &[("email", "ana@acme.test")])?;
        rig.catch_up(CONTACTS).await?;
        assert_eq!((rig.db.count("customers").await?, asked(rig).await?.len()), (0, 1));
        // It is erased in its turn.
        house.tidemark(&["erase", CONTACTS, "--record", &again]).await?.good()?;
        assert_eq!((rig.records("contacts").await?.len(), asked(rig).await?.len(), state(rig).await?), (0, 0, vec!["done".to_owned(), "done".to_owned()]));
        Ok(())
    }

    async fn a_record_that_is_restored_in_the_crm_is_told_and_not_taken_up(kind) {
        let (house, id) = shop(kind, Setup::default()).await?;
        let rig = &house.rig;
        house.tidemark(&["erase", CONTACTS, "--record", &id]).await?.good()?;
        rig.db.run(&format!("UPDATE {} SET done_at = 0", rig.db.own("tidemark_erasure"))).await?;
        rig.crm.crm().restore(Contacts, &id)?;
        rig.crm.crm().edit(Contacts, &id, &[("company", "Acme")])?;
        rig.catch_up(CONTACTS).await?;
        rig.read(CONTACTS).await?;
        assert_eq!(rig.db.count("customers").await?, 0);
        let said = house.tidemark(&["status"]).await?.good()?;
        assert!(said.contains(&format!("record {id} of {CONTACTS} shows in the CRM again and is not taken up")), "{said}");
        house.tidemark(&["erase", CONTACTS, "--record", &id]).await?.good()?;
        assert_eq!(rig.records("contacts").await?.len(), 0);
        Ok(())
    }

    async fn a_person_is_erased_in_every_crm_over_the_table(kind) {
        let house = House::open(kind, Setup { two_connections: true, ..Setup::default() }, &[]).await?;
        let rig = &house.rig;
        rig.db.run(ANA).await?;
        rig.settle().await?;
        let other = rig.other.as_ref().ok_or_eyre("no other CRM")?;
        let live = async || -> eyre::Result<usize> {
            let listing: serde_json::Value = reqwest::get(format!("{}/sandbox/records/contacts", other.base_url())).await?.json().await?;
            Ok(listing.as_array().map_or(0, |list| list.iter().filter(|record| !record["archived"].as_bool().unwrap_or(false)).count()))
        };
        assert_eq!(live().await?, 1);
        let key = rig.db.one("SELECT CAST(id AS TEXT) FROM customers").await?.ok_or_eyre("no row")?;
        house.tidemark(&["erase", CONTACTS, &key]).await?.good()?;
        assert_eq!((rig.records("contacts").await?.len(), live().await?, state(rig).await?), (0, 0, vec!["done".to_owned(), "done".to_owned()]));
        assert_eq!(kept(rig, &["ana@acme.test", "anastasia"]).await?, Vec::<String>::new());
        rig.settle().await?;
        Ok(())
    }

    async fn what_a_hook_was_told_cannot_be_called_back_and_all_that_is_here_goes(kind) {
        let mut rig = HookRig::start(kind).await?;
        let folder = TempDir::new()?;
        std::fs::write(folder.path().join("tidemark.toml"), &rig.text)?;
        let own = rig.env();
        let mut env: Vec<(&str, &str)> = own.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        env.push(("TIDEMARK__SERVER__LISTEN", "127.0.0.1:0"));
        let tidemark = async |args: &[&str]| run(command(folder.path(), &env, args)?, PATIENCE).await?.good();
        let customers = "maker.customer_changed";
        for email in ["ana@acme.test", "bo@acme.test"] {
            // Of the second nobody hears whether it was told: the hook is dead, and its stream stands.
            if email.starts_with("bo") {
                rig.receiver.always(Some(HookAnswer::Lost));
            }
            rig.db.run(&format!("INSERT INTO customers (email) VALUES ('{email}')")).await?;
            rig.deliver(customers).await?;
        }
        rig.calls().await?;
        let heard = rig.receiver.heard().len();
        tidemark(&["pause", customers]).await?;
        for (email, key) in [("ana@acme.test", "1"), ("bo@acme.test", "2")] {
            let plan = tidemark(&["erase", customers, key, "--plan"]).await?;
            let said = tidemark(&["erase", customers, key]).await?;
            let told = format!("{customers} has told of it, and nothing of that can be called back");
            for words in [told.as_str(), "What was delivered stays with whoever received it"] {
                assert!(plan.contains(words) && said.contains(words), "{words:?} is missing in:\n{plan}{said}");
            }
            assert!(said.contains(&format!("row {key} of ")) && said.contains(" was deleted") && !said.contains("archived"), "{said}");
            assert_eq!(rig.db.count(&format!("customers WHERE email = '{email}'")).await?, 0);
            let kept = rig.everything().await?;
            assert!(!kept.to_lowercase().contains(email), "{kept}");
        }
        let states = rig.db.rows(&format!("SELECT state FROM {} ORDER BY id", rig.db.own("tidemark_erasure"))).await?;
        assert_eq!(states, [[Some("done".to_owned())], [Some("done".to_owned())]], "nothing is left to be done, whatever the hook does");
        assert!(!tidemark(&["status"]).await?.contains("erased:"));
        // Nobody is told anything more of them.
        rig.receiver.always(None);
        tidemark(&["resume", customers]).await?;
        rig.due().await?;
        rig.deliver(customers).await?;
        rig.turn(customers).await?;
        assert_eq!((rig.receiver.heard().len(), rig.db.count(&rig.db.own("tidemark_debt")).await?), (heard, 0));
        Ok(())
    }
}
