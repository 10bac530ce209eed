//! `tidemark match`: both sides are looked through before anything is written, tried out on a few things, then let go; and the forecast comes true.

use std::time::Duration;

use serde_json::Value;
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_tests::everything::{Everything, count_writes};
use tidemark_tests::processes::{self, Ended};
use tidemark_tests::{Kind, Rig, TOKEN, on_both_databases};

const CONTACTS: &str = "hubspot.contacts";
const CONFIRMED: &str = "'2026-01-01 00:00:00'";

/// Two sides that never met: pairs, lone ones, one that could be two, one that is wrong, one that stays.
async fn unmet(kind: Kind) -> eyre::Result<Rig> {
    let rig = Rig::start(kind).await?;
    rig.db.run(&format!("UPDATE {} SET state = 'plan_ready'", rig.db.own("tidemark_stream"))).await?;
    rig.db
        .run(&format!(
            "INSERT INTO customers (email, first_name, phone, company, email_confirmed_at) VALUES
            ('ana@acme.test', 'Ana', '1', NULL, {CONFIRMED}), ('bo@acme.test', 'Bo', NULL, NULL, {CONFIRMED}),
            ('twice@acme.test', 'One', NULL, NULL, {CONFIRMED}), ('Twice@acme.test', 'Two', NULL, NULL, {CONFIRMED}),
            ('new@shop.test', 'New', NULL, NULL, {CONFIRMED}), ('not an address', 'Wrong', NULL, NULL, {CONFIRMED}),
            ('stays@shop.test', 'Stays', NULL, NULL, NULL)"
        ))
        .await?;
    let crm = rig.crm.crm();
    crm.create(Contacts, &[("email", "ANA@acme.test"), ("firstname", "Anna"), ("phone", "2"), ("company", "Robots")])?;
    crm.create(Contacts, &[("firstname", "Bo"), ("tidemark_key", "2")])?;
    crm.create(Contacts, &[("email", "twice@acme.test")])?;
    crm.create(Contacts, &[("email", "only@crm.test")])?;
    Ok(rig)
}

async fn command(rig: &Rig, args: &[&str]) -> eyre::Result<Ended> {
    let folder = rig.db.folder.path();
    std::fs::write(folder.join("tidemark.toml"), &rig.text)?;
    processes::run(processes::command(folder, &[("HUBSPOT_TOKEN", TOKEN)], args)?, Duration::from_secs(60)).await
}

async fn json(rig: &Rig, args: &[&str]) -> eyre::Result<(Option<i32>, Value)> {
    let ended = command(rig, &[args, &["--json"]].concat()).await?;
    Ok((
        ended.code,
        serde_json::from_str(&ended.stdout).map_err(|error| eyre::eyre!("{error}: {}{}", ended.stdout, ended.stderr))?,
    ))
}

fn count(report: &Value, name: &str) -> i64 {
    report[name].as_i64().unwrap_or(-1)
}

on_both_databases! {
    async fn a_plan_tells_who_is_who_and_writes_nothing(kind) {
        let rig = unmet(kind).await?;
        count_writes(&rig.db).await?;
        let before = Everything::of(&rig).await?;
        let (code, report) = json(&rig, &["match", CONTACTS]).await?;
        assert_eq!(code, Some(2), "two things wait for a person: {report:#}");
        let counts = ["records", "rows", "matched", "matched_by_key", "new_rows", "new_records", "ambiguous", "invalid"];
        assert_eq!(counts.map(|name| count(&report, name)), [4, 7, 1, 1, 1, 1, 1, 1], "{report:#}");
        assert_eq!(["rows_changed", "records_changed", "conflicts", "twins"].map(|name| count(&report, name)), [1, 1, 1, 0], "{report:#}");
        assert_eq!(report["excluded"]["send_when does not hold"], 1);
        let told = command(&rig, &["match", CONTACTS, "--plan"]).await?;
        for word in ["1  pairs, told by our own key", "1  records become rows", "2 rows match this record: 3, 4", "not an e-mail address", "Nothing was written"] {
            assert!(told.stdout.contains(word), "{word:?} is missing in:\n{}", told.stdout);
        }
        assert_eq!(Everything::of(&rig).await?, before);
        Ok(())
    }

    async fn a_trial_touches_what_it_names_and_nothing_else(kind) {
        let rig = unmet(kind).await?;
        let (code, report) = json(&rig, &["match", CONTACTS, "--apply", "--only", "3"]).await?;
        let tried = report["tried"].as_array().cloned().unwrap_or_default();
        assert_eq!((code, tried.len()), (Some(2), 3), "{report:#}");
        assert!(tried.iter().all(|one| one["linked"] == true && one["waits"].is_null()), "{tried:#?}");
        let links = format!("{} WHERE state = 'linked'", rig.db.own("tidemark_link"));
        assert_eq!(rig.db.count(&links).await?, 3);
        assert_eq!(rig.db.one("SELECT company FROM customers WHERE id = 1").await?.as_deref(), Some("Robots"), "one pair met");
        assert_eq!(rig.db.count("customers WHERE email = 'only@crm.test'").await?, 1, "one record became a row");
        assert_eq!(rig.records("contacts").await?.len(), 5, "one row became a record");
        assert_eq!(rig.db.count(&format!("{} WHERE state = 'plan_ready'", rig.db.own("tidemark_stream"))).await?, 2, "and the stream waits on");
        Ok(())
    }

    async fn what_was_foretold_comes_true(kind) {
        let rig = unmet(kind).await?;
        let (_, plan) = json(&rig, &["match", CONTACTS]).await?;
        let went = command(&rig, &["match", CONTACTS, "--apply"]).await?;
        assert!(went.stdout.contains("hubspot.contacts runs."), "{}{}", went.stdout, went.stderr);
        let again = command(&rig, &["match", CONTACTS, "--apply"]).await?;
        assert_eq!(again.code, Some(1), "{}", again.stdout);
        assert!(again.stderr.contains("has met its CRM already (it is running)"), "{}", again.stderr);
        for _ in 0..4 {
            rig.catch_up(CONTACTS).await?;
            rig.push(CONTACTS).await?;
            rig.read(CONTACTS).await?;
        }
        assert_eq!(rig.db.count("customers").await?, 7 + count(&plan, "new_rows"));
        let met = count(&plan, "matched") + count(&plan, "matched_by_key");
        let links = format!("{} WHERE state = 'linked'", rig.db.own("tidemark_link"));
        let linked = met + count(&plan, "new_rows") + count(&plan, "new_records");
        assert_eq!(rig.db.count(&links).await?, linked, "and what was ambiguous waits");
        Ok(())
    }
}
