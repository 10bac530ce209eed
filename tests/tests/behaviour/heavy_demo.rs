//! The demo as a stranger runs it: one process, no server, an empty environment. Its word that both sides agree is not taken, but checked.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use eyre::{OptionExt, WrapErr, bail, eyre};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidemark_tests::deadline::until;
use tidemark_tests::outside::{Sides, live};
use tidemark_tests::processes::{Ended, command, run};
use tidemark_tests::{TOKEN, connect};
use tokio::task::JoinHandle;

/// The demo's own patience is two minutes of edits and three of waiting.
const PATIENCE: Duration = Duration::from_secs(330);
const RECORDS: i64 = 500;
/// Of a hundred people the sample enters 40 on both sides, 30 and 5 with an unconfirmed e-mail in the order system alone: these keys are the first.
const ENTERED: i64 = RECORDS * 75 / 100;
/// Promised to programs: no more, no less.
const KEYS: [&str; 16] = [
    "agree",
    "calls",
    "conflicts",
    "decided",
    "differ",
    "differences",
    "edits",
    "faults",
    "limit_exceeded",
    "pushes",
    "records",
    "retries",
    "rows_changed",
    "seconds",
    "seed",
    "weather",
];
/// Between two looks at the practice CRM. The demo compares both sides for seconds after the last write, so one look falls there.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_both_sides_agree_after_a_demo_in_calm_weather() -> eyre::Result<()> {
    let report = demo_agrees("calm").await?;
    assert_eq!(report["faults"], 0, "{report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_both_sides_agree_after_a_demo_in_rough_weather() -> eyre::Result<()> {
    let report = demo_agrees("rough").await?;
    assert!(report["faults"].as_u64() > Some(0) && report["retries"].as_u64() > Some(0), "{report}");
    Ok(())
}

async fn demo_agrees(weather: &str) -> eyre::Result<Value> {
    let mut demo = Demo::start(&["--records", &RECORDS.to_string(), "--weather", weather]).await?;
    let (ended, seen) = demo.watch().await?;
    assert_eq!(ended.code, Some(0), "{}{}", ended.stderr, ended.stdout);
    let report = report(&ended)?;
    assert_eq!((&report["agree"], &report["limit_exceeded"]), (&Value::Bool(true), &Value::from(0)), "{report:#}");
    assert_eq!((&report["differ"], &report["differences"]), (&Value::from(0), &json!([])), "{report:#}");
    assert!(report["records"].as_i64() > Some(RECORDS) && report["edits"]["crm"].as_u64() > Some(0), "{report}");
    assert!(report["edits"]["orders"].as_u64() > Some(0), "{report}");
    assert_eq!(report["weather"], weather);
    nothing_listens(&demo.crm)?;

    let seen = seen.ok_or_eyre("the practice CRM was never listed while it ran")?;
    let (contacts, deals) = (live(seen.contacts.clone())?, live(seen.deals.clone())?);
    let sides = Sides::read(&connect(&demo.orders_url()).await?, contacts, deals).await?;
    let wrong = sides.differences(never_sent);
    assert!(wrong.is_empty(), "{}:\n{}", sides.counts(), wrong.join("\n"));
    // What the demo keeps for whoever compares later is what anybody could read while it ran.
    for (name, listing) in [("crm-contacts.json", seen.contacts), ("crm-deals.json", seen.deals)] {
        let kept: Value = serde_json::from_str(&std::fs::read_to_string(demo.shop.join(name))?)?;
        assert!(kept == listing, "{name} is not what the CRM listed last");
    }
    Ok(report)
}

/// What the order system entered by itself. A customer that came from the CRM is unconfirmed too, and a visitor is entered on both sides.
fn never_sent(key: &str, email: &str) -> bool {
    let entered_while_it_ran = email.split('@').next().is_some_and(|name| name.contains(".new"));
    key.parse::<i64>().is_ok_and(|key| key <= ENTERED) || entered_while_it_ran
}

/// A phone that both sides change while Tidemark looks away waits for a person, and nobody decides in a demo.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_demo_whose_sides_differ_lists_what_differs_and_exits_2() -> eyre::Result<()> {
    let mut demo = Demo::start(&["--records", "60", "--patience", "8s"]).await?;
    let app = connect(&demo.orders_url()).await?;
    // Of those that nobody else changes in a demo: known to both sides from the start, with an even number in the CRM.
    let met = "SELECT CAST(id AS TEXT) AS id, hubspot_id FROM customers WHERE CAST(hubspot_id AS INTEGER) % 2 = 0 AND phone IS NOT NULL AND email_confirmed_at IS NOT NULL
        AND id <= 24 ORDER BY id LIMIT 1";
    // The tables may not be there yet.
    let pair = async || Ok(app.query_one_raw(Statement::from_string(DbBackend::Sqlite, met)).await.ok().flatten());
    let pair = until("somebody both sides know", Duration::from_secs(60), pair).await?;
    let (key, id): (String, String) = (pair.try_get_by("id")?, pair.try_get_by("hubspot_id")?);
    demo.tidemark(&["pause", "hubspot.contacts", "--reason", "two people edit one phone"]).await?.good()?;
    app.execute_unprepared(&format!("UPDATE customers SET phone = '+49301111' WHERE id = {key}")).await?;
    let edit = json!({ "id": id, "properties": { "phone": "+49302222" } });
    reqwest::Client::new().post(format!("{}/sandbox/records/contacts", demo.crm)).json(&edit).send().await?.error_for_status()?;
    demo.tidemark(&["resume", "hubspot.contacts"]).await?.good()?;

    let (ended, _) = demo.watch().await?;
    assert_eq!(ended.code, Some(2), "{}{}", ended.stderr, ended.stdout);
    let report = report(&ended)?;
    let differences = report["differences"].as_array().ok_or_eyre("no list")?;
    assert_eq!(
        (&report["agree"], report["differ"].as_u64()),
        (&Value::Bool(false), Some(differences.len() as u64)),
        "{report:#}"
    );
    assert!(report["conflicts"].as_u64() >= Some(1), "{report:#}");
    for one in differences {
        assert_eq!((one["stream"].as_str(), one["field"].as_str()), (Some("hubspot.contacts"), Some("phone")), "{report:#}");
        assert_eq!((one["row"].as_str(), one["record"].as_str()), (Some(key.as_str()), Some(id.as_str())), "{report:#}");
        assert_eq!((&one["row_value"], &one["record_value"]), (&json!("+49301111"), &json!("+49302222")), "{report:#}");
    }
    let reasons: Vec<&str> = differences.iter().filter_map(|one| one["reason"].as_str()).collect();
    assert_eq!(reasons, ["changed on both sides: a person decides", "seen from outside: the values differ"]);
    nothing_listens(&demo.crm)
}

/// A demo that runs, in a folder of its own.
struct Demo {
    folder: TempDir,
    shop: PathBuf,
    /// The practice CRM's base URL.
    crm: String,
    running: JoinHandle<eyre::Result<Ended>>,
}

/// The practice CRM's listings as they came over HTTP.
struct Listings {
    contacts: Value,
    deals: Value,
}

impl Demo {
    async fn start(args: &[&str]) -> eyre::Result<Self> {
        let folder = TempDir::new()?;
        let shop = folder.path().join("shop");
        let all = [&["demo", "--once", "--json", "--folder", "shop"], args].concat();
        let running = tokio::spawn(run(command(folder.path(), &[], &all)?, PATIENCE));
        let file = shop.join("tidemark.toml");
        let address = async || {
            if running.is_finished() {
                bail!("the demo has ended before it began");
            }
            // Not before the order database is there: the file with the address is written first, and whole by then.
            if !shop.join("orders.db").exists() {
                return Ok(None);
            }
            let config: toml::Table = std::fs::read_to_string(&file)?.parse()?;
            Ok(config["connections"]["hubspot"].get("base_url").and_then(toml::Value::as_str).map(str::to_owned))
        };
        let crm = until("the demo says where its CRM is", Duration::from_secs(30), address).await?;
        Ok(Self { shop, crm, running, folder })
    }

    fn orders_url(&self) -> String {
        format!("sqlite://{}", self.shop.join("orders.db").display())
    }

    /// Another command over the same configuration, as somebody in another terminal would give it.
    async fn tidemark(&self, args: &[&str]) -> eyre::Result<Ended> {
        let args = [&["--config", "shop/tidemark.toml"], args].concat();
        run(command(self.folder.path(), &[("HUBSPOT_TOKEN", TOKEN)], &args)?, Duration::from_secs(60)).await
    }

    /// Lists the CRM over and over until the demo has ended: how that was, and the last listings.
    async fn watch(&mut self) -> eyre::Result<(Ended, Option<Listings>)> {
        let (mut every, mut seen) = (tokio::time::interval(LOOK_EVERY), None);
        while !self.running.is_finished() {
            every.tick().await;
            // At the end the CRM goes away between two looks.
            if let (Ok(contacts), Ok(deals)) = (listing(&self.crm, "contacts").await, listing(&self.crm, "deals").await) {
                seen = Some(Listings { contacts, deals });
            }
        }
        Ok(((&mut self.running).await??, seen))
    }
}

async fn listing(base_url: &str, object: &str) -> eyre::Result<Value> {
    Ok(reqwest::get(format!("{base_url}/sandbox/records/{object}")).await?.error_for_status()?.json().await?)
}

fn report(ended: &Ended) -> eyre::Result<Value> {
    let report: Value = serde_json::from_str(&ended.stdout).wrap_err_with(|| ended.stdout.clone())?;
    let mut keys: Vec<&str> = report.as_object().ok_or_eyre("no object")?.keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, KEYS);
    Ok(report)
}

/// Nothing is left running.
fn nothing_listens(base_url: &str) -> eyre::Result<()> {
    let address = base_url.strip_prefix("http://").ok_or_eyre("no address")?;
    match TcpStream::connect(address) {
        Ok(_) => Err(eyre!("something listens on {address} after the end")),
        Err(_) => Ok(()),
    }
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_option_that_chooses_another() -> eyre::Result<()> {
    let folder = TempDir::new()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    for option in ["--listen", "--sandbox-listen"] {
        let ended = demo(folder.path(), &[option, &address]).await?;
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert!(ended.stderr.contains(&address) && ended.stderr.contains(option), "{}", ended.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named_with_the_option_that_chooses_another() -> eyre::Result<()> {
    let folder = TempDir::new()?;
    // Below a file nobody can make a folder, an administrator neither.
    std::fs::write(folder.path().join("file"), "")?;
    let below = folder.path().join("file").join("shop");
    let below = below.to_str().ok_or_eyre("a folder with a strange name")?;
    let ended = demo(folder.path(), &["--folder", below]).await?;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains(below) && ended.stderr.contains("--folder"), "{}", ended.stderr);
    Ok(())
}

async fn demo(folder: &Path, args: &[&str]) -> eyre::Result<Ended> {
    run(command(folder, &[], &[&["demo", "--once"], args].concat())?, PATIENCE).await
}
