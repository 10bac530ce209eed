//! What processes log as JSON, at their most talkative and on a bad day: one object a line, each job's lines in its span, and nothing that belongs to a person or
//! opens a door.

use eyre::{OptionExt, WrapErr};
use serde_json::Value;
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_sandbox::{ForcedAnswer, Weather};
use tidemark_store::acts::By;
use tidemark_store::recordings;
use tidemark_tests::deadline::until;
use tidemark_tests::house::{House, PATIENCE};
use tidemark_tests::{Kind, Setup, TOKEN, on_both_databases};

const TALKATIVE: [(&str, &str); 2] = [("TIDEMARK__LOG__FORMAT", "json"), ("TIDEMARK__LOG__LEVEL", "debug")];
/// Whoever finds one of these in a log knows something about a person. Nothing else that is logged looks like them.
const PERSONAL: [&str; 6] = ["qvortex", "zylinda", "wupperfeld", "4930777", "glimmerkraft", "not-an-address"];

fn person(number: u32, confirmed: &str) -> String {
    format!("('qvortex{number}@acme.test', 'Zylinda', 'Wupperfeld', '+4930777{number}', 'Glimmerkraft', {confirmed})")
}

const REFUSED: &str = "refused with code 22P02";
const COLUMNS: &str = "INSERT INTO customers (email, first_name, last_name, phone, company, email_confirmed_at) VALUES";

async fn bad_day(house: &mut House, kind: Kind) -> eyre::Result<()> {
    let crm = house.rig.crm.crm();
    let confirmed = "'2026-01-01 00:00:00'";
    house.rig.db.run(&format!("{COLUMNS} {}, {}, {}", person(1, confirmed), person(2, confirmed), person(3, "NULL"))).await?;
    // A row the CRM refuses, a record the database refuses, and answers that quote what was sent.
    house.rig.db.run(&format!("{COLUMNS} ('not-an-address', 'Zylinda', 'Wupperfeld', '1', NULL, {confirmed})")).await?;
    let made = |number: u32, last: &str| {
        let (email, phone) = (format!("Qvortex{number}@crm.test"), format!("+4930777{number}"));
        crm.create(
            Contacts,
            &[("email", &email), ("firstname", "Zylinda"), ("lastname", last), ("phone", &phone), ("company", "Glimmerkraft")],
        )
    };
    for (number, last) in [(5, "Wupperfeld"), (6, "Forbidden")] {
        made(number, last).map_err(|refusal| eyre::eyre!("{}", refusal.message()))?;
    }
    let quoting = Value::String("{\"status\":\"error\",\"message\":\"qvortex1@acme.test cannot be looked for just now\"}".into());
    crm.force_next(ForcedAnswer { status: 503, body: quoting, path_contains: "/search".into(), ..ForcedAnswer::default() });
    // What is recorded is at hand in every process, and gets into no log.
    let by = By { who: "on-call", reason: None };
    eyre::ensure!(recordings::start(&house.rig.store, "hubspot", 3_600_000, by).await?, "no connection");
    match kind {
        Kind::Sqlite => house.start("up-1")?,
        Kind::Postgres => {
            house.start("scheduler-1")?;
            house.start("worker-1")?;
        }
    }
    house.loaded().await?;
    let (debts, db) = (house.rig.db.own("tidemark_debt"), &house.rig.db);
    let parked = format!("{debts} WHERE state = 'parked'");
    let settled = until("two wait for a person and nothing else", PATIENCE, async || {
        Ok((db.count(&parked).await? == 2 && db.count(&debts).await? == 2).then_some(()))
    });
    let settled = settled.await;
    house.explain(settled)?;
    if kind == Kind::Postgres {
        // Work that our own statements fail on: PostgreSQL quotes the value that is no number.
        let contacts = house.rig.stream("hubspot.contacts")?.id;
        house
            .rig
            .db
            .run(&format!("INSERT INTO {debts} (stream_id, kind, subject) VALUES ({contacts}, 'push', 'Zylinda')"))
            .await?;
        let log = async || Ok(house.services.iter().any(|service| service.log().contains(REFUSED)).then_some(()));
        until("the database's refusal is logged", PATIENCE, log).await?;
    }
    crm.set_weather(Weather::rough());
    house.rig.db.run(&format!("{COLUMNS} {}", person(7, confirmed))).await?;
    let ticks = format!("{} WHERE ticks < 5", house.rig.db.own("tidemark_stream"));
    let db = &house.rig.db;
    let rough = until("some ticks in rough weather", PATIENCE, async || Ok((db.count(&ticks).await? == 0).then_some(()))).await;
    house.explain(rough)?;
    crm.set_weather(Weather::calm());
    // At the end the token is refused, and everything stops.
    crm.set_token(Some("pat-na1-another".into()));
    let connections = format!("{} WHERE state = 'paused'", house.rig.db.own("tidemark_connection"));
    let db = &house.rig.db;
    let paused =
        until("the connection is paused", PATIENCE, async || Ok((db.count(&connections).await? == 1).then_some(()))).await;
    house.explain(paused)
}

on_both_databases! {
    async fn heavy_the_log_names_no_person_and_opens_no_door(kind) {
        let mut house = House::open(kind, Setup::default(), &TALKATIVE).await?;
        bad_day(&mut house, kind).await?;
        let password = house.rig.db.url.split_once("://").and_then(|(_, rest)| rest.split_once('@')).and_then(|(user, _)| user.split_once(':')).map(|(_, word)| word.to_owned());
        let (mut kinds, mut all) = (Vec::new(), String::new());
        for service in &mut house.services {
            service.terminate(PATIENCE).await?;
            let log = service.log();
            for line in log.lines() {
                let small = line.to_lowercase();
                let leaked = PERSONAL.iter().chain(&[TOKEN, "pat-na1"]).copied().chain(password.as_deref()).find(|word| small.contains(*word));
                assert_eq!(leaked, None, "in {line}");
                let entry: Value = serde_json::from_str(line).wrap_err_with(|| line.to_owned())?;
                for key in ["timestamp", "level", "target", "message"] {
                    assert!(entry[key].is_string(), "no {key} in {line}");
                }
                if entry["target"].as_str().is_some_and(|target| target.starts_with("tidemark_worker::outcome")) {
                    let span = &entry["span"];
                    assert_eq!(span["name"], "job", "{line}");
                    assert!(span["stream"].as_str().is_some_and(|stream| stream.starts_with("hubspot.")), "{line}");
                    kinds.push(span["kind"].as_str().ok_or_eyre("no kind")?.to_owned());
                }
            }
            all.push_str(&log);
        }
        let tapes = format!("SELECT request || COALESCE(response, '') FROM {}", house.rig.db.own("tidemark_tape"));
        let tapes: Vec<String> = house.rig.db.rows(&tapes).await?.into_iter().flatten().flatten().collect();
        assert!(tapes.len() > 10, "only {} calls were kept", tapes.len());
        for tape in &tapes {
            let small = tape.to_lowercase();
            assert_eq!(PERSONAL.iter().chain(&[TOKEN]).copied().find(|word| small.contains(*word)), None, "in {tape}");
            assert!(!all.contains(tape.as_str()) && !all.contains("‹secret›"), "a tape is in the log");
        }
        let refused = (kind == Kind::Postgres).then_some(REFUSED);
        for word in ["is paused", "[e-mail] cannot be looked for", "\"level\":\"DEBUG\""].into_iter().chain(refused) {
            assert!(all.contains(word), "{word:?} is missing in\n{all}");
        }
        for kind in ["Poll", "Push"] {
            assert!(kinds.iter().any(|one| one == kind), "no {kind} among {kinds:?}");
        }
        Ok(())
    }
}
