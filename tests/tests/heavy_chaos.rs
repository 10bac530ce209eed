//! Real processes, killed at random: nothing is lost, nothing is made twice, and both sides come to agree.
//!
//! Two schedulers and two workers on PostgreSQL and Redis, a CRM on a bad day, people editing both sides meanwhile. `TIDEMARK_CHAOS_KILLS` and
//! `TIDEMARK_CHAOS_SEED` choose another run; the seed of each run is printed.

#[path = "heavy_chaos/people.rs"]
mod people;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use eyre::{OptionExt, WrapErr, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_sandbox::{ForcedAnswer, Sandbox, SandboxConfig, Weather};
use tidemark_tests::deadline::until;
use tidemark_tests::outside::{Sides, listed};
use tidemark_tests::processes::{Ended, Service, command, run};
use tidemark_tests::{Kind, OrderDatabase, TOKEN, redis};
use tokio_util::sync::CancellationToken;

use people::{Dice, Edits, clerks, contact, customer, order, sales};

const KILLS: u64 = 50;
const SEED: u64 = 20_261_123;
/// How long the sides may take to agree once nobody edits and nothing dies any more.
const PATIENCE: Duration = Duration::from_secs(120);
/// As the configuration below has it.
const DRAIN: Duration = Duration::from_secs(10);
/// For what a process does when its jobs are done: the last calls recorded, connections closed.
const GOODBYE: Duration = Duration::from_secs(5);
const ACT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_nothing_is_lost_or_doubled_though_processes_die_and_the_queue_is_emptied() -> eyre::Result<()> {
    let (kills, seed) = (setting("TIDEMARK_CHAOS_KILLS", KILLS)?, setting("TIDEMARK_CHAOS_SEED", SEED)?);
    eprintln!("{kills} kills, TIDEMARK_CHAOS_SEED={seed}");
    let bad_day = Weather { latency_ms: (5, 60), ..Weather::rough() };
    let mut house = House::open(bad_day, seed).await?;
    house.fill(&mut Dice(seed)).await?;
    for name in ["scheduler-1", "scheduler-2", "worker-1", "worker-2"] {
        house.start(name)?;
    }
    let survived = survive(&mut house, kills, seed).await;
    house.explain(survived).await
}

async fn survive(house: &mut House, kills: u64, seed: u64) -> eyre::Result<()> {
    let mut dice = Dice(seed ^ 0xfa17);
    let stop = CancellationToken::new();
    let (app, crm) = (&house.db.app, house.sandbox.crm());
    let editors = [clerks(app, Dice(seed ^ 0x5eed_0001), stop.clone()), sales(&crm, Dice(seed ^ 0x5eed_0002), stop.clone())];
    let started = Instant::now();
    let mut emptied = 0;
    for number in 1..=kills {
        tokio::time::sleep(Duration::from_millis(100 + dice.below(801))).await;
        let at = started.elapsed().as_secs_f32();
        if dice.below(5) == 0 {
            eprintln!("{at:6.1}s  the queue is emptied");
            redis::flush_all().await?;
            emptied += 1;
        }
        let choice = dice.index(house.services.len());
        let service = house.services.get_mut(choice).ok_or_eyre("a service to kill")?;
        eprintln!("{at:6.1}s  kill {number}: {}", service.name);
        service.kill_and_restart().await?;
    }
    stop.cancel();
    let mut edits = Vec::new();
    for editor in editors {
        edits.push(editor.await??);
    }
    let made: Vec<u64> = edits.iter().map(|edits| edits.made).collect();
    eprintln!("{:6.1}s  the edits stop: {made:?}", started.elapsed().as_secs_f32());

    let agreed = house.agreement().await;
    if agreed.is_err() {
        eprintln!("not as last written:\n{}", house.lost(&edits).await?.join("\n"));
    }
    agreed?;
    eprintln!("{:6.1}s  both sides agree", started.elapsed().as_secs_f32());
    for service in &mut house.services {
        let (status, took) = service.terminate(DRAIN + GOODBYE).await?;
        ensure!(status.code() == Some(0), "{} ended with {status} after {took:?}\n{}", service.name, service.tail());
    }
    // Nothing that came later has changed the verdict.
    house.sandbox.crm().set_weather(Weather::calm());
    ensure!(house.wrong().await?.is_empty(), "agreed once, and then not: {:#?}", house.wrong().await?);
    house.tidemark(&["agree", "--json"]).await?.good()?;
    let lost = house.lost(&edits).await?;
    ensure!(lost.is_empty(), "both sides agree on what nobody wrote last:\n{}", lost.join("\n"));
    let counters = house.sandbox.crm().counters();
    ensure!(counters.limit_exceeded == 0, "the CRM's limits were exceeded: {counters:#?}");
    ensure!(emptied * 20 >= kills, "the queue was emptied {emptied} times only");
    ensure!(counters.faults > 0, "the weather was too good: {counters:#?}");
    ensure!(made.iter().all(|made| *made > kills), "hardly anybody edited: {made:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_worker_told_to_stop_finishes_its_calls_and_gives_its_leases_back() -> eyre::Result<()> {
    let mut house = House::open(Weather::calm(), 1).await?;
    house.start("scheduler-1")?;
    house.start("worker-1")?;
    let drained = drain(&mut house).await;
    house.explain(drained).await
}

async fn drain(house: &mut House) -> eyre::Result<()> {
    let (loaded, crm) = (format!("{} WHERE loaded_at IS NULL", house.db.own("tidemark_stream")), house.sandbox.crm());
    until("the first load", ACT, async || Ok((house.db.count(&loaded).await? == 0).then_some(()))).await?;
    // The CRM makes the first hundred records at once and answers late; more work is claimed or waits behind them.
    let slow = ForcedAnswer {
        honest: true,
        delay_ms: 2_000,
        times: 1,
        path_contains: "/batch/upsert".into(),
        ..ForcedAnswer::default()
    };
    crm.force_next(slow);
    house
        .db
        .run("INSERT INTO customers (email, first_name, last_name, email_confirmed_at) SELECT 'shop' || n || '@shop.test', 'First', 'Last', now() FROM generate_series(1, 450) n")
        .await?;
    until("a push is under way", ACT, async || Ok((!crm.list(Contacts).is_empty()).then_some(()))).await?;
    ensure!(!house.held().await?.is_empty(), "nothing is claimed while the CRM keeps a push waiting");
    let mut worker = house.services.pop().ok_or_eyre("there is a worker")?;
    let (status, took) = worker.terminate(DRAIN + GOODBYE).await?;
    ensure!(status.code() == Some(0), "the worker ended with {status} after {took:?}\n{}", worker.tail());
    let held = house.held().await?;
    ensure!(held.is_empty(), "the worker is gone and still holds {held:?}");
    let made = crm.list(Contacts).len();
    let linked = house.db.count(&format!("{} WHERE state = 'linked'", house.db.own("tidemark_link"))).await?;
    ensure!(usize::try_from(linked)? == made, "{made} contacts were made and {linked} are known to be");
    house.start("worker-2")?;
    house.agreement().await
}

/// The CRM answers later than the worker may wait: it leaves the calls, gives everything back, and what was sent is neither lost nor made twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_worker_told_to_stop_before_the_crm_answers_gives_its_leases_back() -> eyre::Result<()> {
    let mut house = House::open(Weather::calm(), 1).await?;
    house.start("scheduler-1")?;
    let env = [("HUBSPOT_TOKEN", TOKEN), ("TIDEMARK__WORKER__DRAIN_DEADLINE", "2s")];
    let worker = Service::start("worker-1", house.folder.path(), &env, &["worker"])?;
    let left = leave(&mut house, worker).await;
    house.explain(left).await
}

async fn leave(house: &mut House, mut worker: Service) -> eyre::Result<()> {
    let (loaded, crm) = (format!("{} WHERE loaded_at IS NULL", house.db.own("tidemark_stream")), house.sandbox.crm());
    until("the first load", ACT, async || Ok((house.db.count(&loaded).await? == 0).then_some(()))).await?;
    house.db.run("INSERT INTO customers (email, first_name, email_confirmed_at) VALUES ('old@shop.test', 'Old', now())").await?;
    until("a contact", ACT, async || Ok((house.db.count("customers WHERE hubspot_id IS NOT NULL").await? == 1).then_some(())))
        .await?;
    // A read and a write that outlast the drain, and even so end within a call's deadline.
    for path in ["/contacts/search", "/batch/upsert", "/batch/update"] {
        let slow = ForcedAnswer { honest: true, delay_ms: 4_500, path_contains: path.into(), ..ForcedAnswer::default() };
        crm.force_next(slow);
    }
    house
        .db
        .run("INSERT INTO customers (email, first_name, email_confirmed_at) SELECT 'shop' || n || '@shop.test', 'First', now() FROM generate_series(1, 450) n")
        .await?;
    until("a push is under way", ACT, async || Ok((crm.list(Contacts).len() > 1).then_some(()))).await?;
    until("a stream is being read", ACT, async || {
        Ok(house.held().await?.iter().any(|held| held[0].as_deref() == Some("stream")).then_some(()))
    })
    .await?;
    let (status, took) = worker.terminate(Duration::from_secs(2) + GOODBYE).await?;
    ensure!(status.code() == Some(0), "the worker ended with {status} after {took:?}\n{}", worker.tail());
    let (held, log) = (house.held().await?, worker.tail());
    ensure!(held.is_empty(), "the worker is gone and still holds {held:?}\n{log}");
    ensure!(!log.contains("handlers are dropped"), "handlers had to be dropped\n{log}");
    house.start("worker-2")?;
    house.agreement().await?;
    ensure!(crm.list(Contacts).len() == 451, "{} contacts for 451 customers", crm.list(Contacts).len());
    Ok(())
}

/// A number from the environment, or the usual one.
fn setting(name: &str, usual: u64) -> eyre::Result<u64> {
    std::env::var(name).map_or(Ok(usual), |text| text.parse().wrap_err_with(|| format!("{name} is no number: {text}")))
}

/// Everything that stands around the processes, and the processes.
struct House {
    db: OrderDatabase,
    sandbox: Sandbox,
    services: Vec<Service>,
    folder: TempDir,
}

impl House {
    /// Tables, configuration, and go for both streams; no process runs yet.
    async fn open(weather: Weather, seed: u64) -> eyre::Result<Self> {
        let db = OrderDatabase::create(Kind::Postgres).await?;
        let sandbox =
            Sandbox::start(SandboxConfig { token: TOKEN.to_owned(), weather: Weather::calm(), seed, ..SandboxConfig::default() })
                .await?;
        for object in ["contacts", "deals"] {
            let property = json!({ "name": "tidemark_key", "label": "Key", "type": "string", "fieldType": "text", "groupName": "x", "hasUniqueValue": true });
            let url = format!("{}/crm/v3/properties/{object}", sandbox.base_url());
            reqwest::Client::new().post(url).bearer_auth(TOKEN).json(&property).send().await?.error_for_status()?;
        }
        let folder = TempDir::new()?;
        std::fs::write(folder.path().join("tidemark.toml"), configuration(&db.url, &sandbox.base_url())?)?;
        let house = Self { db, sandbox, services: Vec::new(), folder };
        house.tidemark(&["migrate"]).await?.good()?;
        house.tidemark(&["resume", "all"]).await?.good()?;
        house.sandbox.crm().set_weather(weather);
        Ok(house)
    }

    /// Runs a verb to its end.
    async fn tidemark(&self, args: &[&str]) -> eyre::Result<Ended> {
        run(command(self.folder.path(), &[("HUBSPOT_TOKEN", TOKEN)], args)?, ACT).await
    }

    /// A scheduler or a worker, as its name says.
    fn start(&mut self, name: &str) -> eyre::Result<()> {
        let (verb, _) = name.split_once('-').ok_or_eyre("a name is a verb and a number")?;
        self.services.push(Service::start(name, self.folder.path(), &[("HUBSPOT_TOKEN", TOKEN)], &[verb])?);
        Ok(())
    }

    /// What both sides hold before they meet: some people and orders are known to both.
    async fn fill(&self, dice: &mut Dice) -> eyre::Result<()> {
        let crm = self.sandbox.crm();
        for number in 0..150_u64 {
            self.db.run(&customer(&format!("shop{number}"), number % 7 != 0)).await?;
            if number % 3 == 1 && number % 7 != 0 {
                contact(&crm, &format!("SHOP{number}"), dice)?;
            }
        }
        for number in 0..60 {
            contact(&crm, &format!("crm{number}"), dice)?;
        }
        for _ in 0..60 {
            self.db.run(&order(dice)).await?;
        }
        Ok(())
    }

    /// Waits until nothing is on its way and both comparisons, Tidemark's and an outsider's, find nothing.
    async fn agreement(&mut self) -> eyre::Result<()> {
        let last = RefCell::new(String::new());
        // A deal of a customer who never confirms waits for good, and rightly so; whether it should wait is for the comparisons to say.
        let debts = format!("{} WHERE state <> 'parent'", self.db.own("tidemark_debt"));
        let changes = self.db.own("tidemark_change");
        let house = &*self;
        let ask = async || {
            let (owed, captured) = (house.db.count(&debts).await?, house.db.count(&changes).await?);
            let landing = house.sandbox.crm().counters().landings_pending;
            if owed > 0 || captured > 0 || landing > 0 {
                last.replace(format!("{owed} debts, {captured} changes, {landing} late writes"));
                return Ok(None);
            }
            let wrong = house.wrong().await?;
            if !wrong.is_empty() {
                last.replace(wrong.join("\n"));
                return Ok(None);
            }
            let compared = house.tidemark(&["agree", "--json"]).await?;
            last.replace(format!("{:?}: {}{}", compared.code, compared.stderr, compared.stdout));
            if compared.code != Some(0) {
                return Ok(None);
            }
            let report: Value = serde_json::from_str(&compared.stdout)?;
            ensure!(
                report["agree"] == true && report["streams"].as_array().is_some_and(|streams| streams.len() == 2),
                "{report:#}"
            );
            Ok(Some(()))
        };
        let agreed = until("both sides agree", PATIENCE, ask).await.wrap_err_with(|| last.borrow().clone());
        self.services.iter_mut().try_for_each(Service::prove_alive)?;
        agreed
    }

    /// What somebody from outside finds wrong.
    async fn wrong(&self) -> eyre::Result<Vec<String>> {
        let base_url = self.sandbox.base_url();
        let (contacts, deals) = (listed(&base_url, "contacts").await?, listed(&base_url, "deals").await?);
        let sides = Sides::read(&self.db.app, contacts, deals).await?;
        Ok(sides.differences(|_, email| email.starts_with("shop")))
    }

    /// Edits that are gone although nobody edited the same thing later. The sides may well agree on that.
    async fn lost(&self, edits: &[Edits]) -> eyre::Result<Vec<String>> {
        let contacts = listed(&self.sandbox.base_url(), "contacts").await?;
        let mut lost = Vec::new();
        for ((place, id, field), wrote) in edits.iter().flat_map(|edits| &edits.last) {
            let stands = match *place {
                "contacts" => contacts.iter().find(|one| one.id == *id).and_then(|one| one.properties.get(*field).cloned()),
                table => self.db.one(&format!("SELECT CAST({field} AS TEXT) FROM {table} WHERE id = {id}")).await?,
            };
            if stands.as_ref() != Some(wrote) {
                lost.push(format!("{field} of {place} {id} was last written as {wrote:?} and is {stands:?}"));
            }
        }
        Ok(lost)
    }

    /// Leases that still run, as words.
    async fn held(&self) -> eyre::Result<Vec<Vec<Option<String>>>> {
        let now = "(extract(epoch FROM clock_timestamp()) * 1000)";
        let sql = format!(
            "SELECT 'debt', kind, subject, lease_fence FROM {} WHERE lease_until > {now} UNION ALL
             SELECT 'stream', name, lease_owner, '' FROM {} WHERE lease_until > {now} UNION ALL
             SELECT 'link', row_key, remote_id, push_fence FROM {} WHERE push_until > {now} LIMIT 20",
            self.db.own("tidemark_debt"),
            self.db.own("tidemark_stream"),
            self.db.own("tidemark_link")
        );
        self.db.rows(&sql).await
    }

    /// A failure with what can be seen around it; the folder with the logs stays.
    async fn explain(self, outcome: eyre::Result<()>) -> eyre::Result<()> {
        let Err(error) = outcome else { return Ok(()) };
        let debts = format!(
            "SELECT s.name, d.kind, d.subject, d.state, CAST(d.attempts AS TEXT), d.class, d.cause, CAST(d.due_at AS TEXT), CAST(d.lease_until AS TEXT)
             FROM {} d JOIN {} s ON s.id = d.stream_id ORDER BY d.id LIMIT 40",
            self.db.own("tidemark_debt"),
            self.db.own("tidemark_stream")
        );
        for debt in self.db.rows(&debts).await? {
            eprintln!("{debt:?}");
        }
        for service in &self.services {
            eprintln!("{}", service.tail());
        }
        eprintln!("database {}, logs in {}", self.db.url, self.folder.keep().display());
        Err(error)
    }
}

/// Budgets below the CRM's limits of 19 calls and 5 searches a second; the rest quick enough for a test.
fn configuration(database: &str, crm: &str) -> eyre::Result<String> {
    let redis = format!("{}/7", redis::server()?);
    let mut text = format!(
        r#"
[database]
url = "{database}"
[queue]
url = "{redis}"
prefix = "chaos"
[server]
listen = "127.0.0.1:0"
[worker]
lease = "12s"
drain_deadline = "{}s"
[scheduler]
tick_every = "200ms"
dispatch_every = "200ms"
[connections.hubspot]
connector = "hubspot"
environment = "sandbox"
base_url = "{crm}"
secret.token = {{ env = "HUBSPOT_TOKEN" }}
call_deadline = "5s"
request_life = "5s"
budget = {{ per_second = 10, search_per_second = 3 }}
"#,
        DRAIN.as_secs()
    );
    text.push_str(
        r#"
[[connections.hubspot.streams]]
object = "contacts"
table = "customers"
key = "id"
direction = "both"
remote_id = "hubspot_id"
external_key = "tidemark_key"
match_on = ["email"]
send_when = { email_confirmed_at = "present" }
[connections.hubspot.streams.fields]
email = { column = "email", owner = "crm", check = "email" }
firstname = { column = "first_name", owner = "orders" }
lastname = { column = "last_name", owner = "orders" }
phone = { column = "phone", owner = "hold" }
company = { column = "company", owner = "crm" }
[[connections.hubspot.streams]]
object = "deals"
table = "orders"
key = "id"
direction = "out"
remote_id = "hubspot_id"
external_key = "tidemark_key"
match_on = ["dealname"]
send_when = { status = ["accepted", "shipped", "cancelled"] }
[connections.hubspot.streams.fields]
dealname = "number"
amount = { column = "total_cents", as = "decimal_of_cents" }
dealstage = { column = "status", map = { accepted = "closedwon", shipped = "closedwon", cancelled = "closedlost" } }
contact = { column = "customer_id", references = "contacts" }
[defaults]
fresh_within = "1m"
[defaults.poll]
every = "1s"
lag = "200ms"
settled_every = "3s"
settled_lag = "4s"
[defaults.retry]
first = "300ms"
cap = "5s"
"#,
    );
    Ok(text)
}
