//! One order database, one or two practice CRMs, one worker's context; and the jobs, done by name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use eyre::{bail, eyre};
use futures::future::join_all;
use serde_json::json;
use tidemark_boot::{Config, Secrets};
use tidemark_core::hint::{Hint, HintKind};
use tidemark_core::spec::ConnectionSpec;
use tidemark_crm::description::Description;
use tidemark_crm::engine::{Connector, Engine};
use tidemark_crm::seal::Sealer;
use tidemark_crm::{Catalog, Crm, hubspot};
use tidemark_sandbox::{Limits, Sandbox, SandboxConfig, Weather};
use tidemark_store::rows::Mapped;
use tidemark_store::{Store, StoreConfig, capture, debts, streams, sweeps};
use tidemark_worker::agree::{StreamReport, compare_stream};
use tidemark_worker::{Connection, Context, Outcome, Tuning, handle, map_streams};
use tokio_util::sync::CancellationToken;

use crate::configuration::configuration;
use crate::database::{Keys, Kind, OrderDatabase};
use crate::deadline;
use crate::role::Role;
use crate::vendor::{DESCRIBED, Vendor};

/// Texts, and what is written instead of each.
pub type Otherwise = &'static [(&'static str, &'static str)];

/// How a rig is set up.
#[derive(Debug, Clone)]
pub struct Setup {
    pub weather: Weather,
    /// A second connection, `other`, over the same table of customers.
    pub two_connections: bool,
    /// Settings of the contacts stream beside the usual ones.
    pub contacts: &'static str,
    pub lease: Duration,
    pub keys: Keys,
    /// Tidemark works as a role of its own with the least rights (PostgreSQL).
    pub own_role: bool,
    /// The connector declares that archived records can be read by id; else a delete shows by absence alone.
    pub archive_view: bool,
    /// What stands otherwise in the configuration: text, and what is written instead.
    pub instead: Otherwise,
    /// The same in the connector's description.
    pub connector: Otherwise,
    /// Run on the order database before Tidemark sees it.
    pub prepare: &'static str,
    /// Another vendor than HubSpot: its dialect, by its connector, over the table of customers alone.
    pub vendor: Option<&'static Vendor>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            weather: Weather { index_lag_ms: (0, 0), ..Weather::calm() },
            two_connections: false,
            contacts: "",
            lease: Duration::from_secs(60),
            keys: Keys::default(),
            own_role: false,
            archive_view: true,
            instead: &[],
            connector: &[],
            prepare: "",
            vendor: None,
        }
    }
}

pub struct Rig {
    pub db: OrderDatabase,
    pub crm: Sandbox,
    pub other: Option<Sandbox>,
    pub store: Store,
    pub ctx: Context,
    pub config: Config,
    /// The role Tidemark works as, where that is not the administrator's.
    pub role: Option<Role>,
    /// The configuration as it would stand in a file.
    pub text: String,
    specs: Vec<Mapped>,
    connector: Vec<(&'static str, &'static str)>,
}

impl Rig {
    /// Calm weather, both streams running.
    pub async fn start(kind: Kind) -> eyre::Result<Self> {
        Self::with(kind, Setup::default()).await
    }

    pub async fn with(kind: Kind, setup: Setup) -> eyre::Result<Self> {
        let db = OrderDatabase::with_keys(kind, setup.keys).await?;
        if !setup.prepare.is_empty() {
            db.run(setup.prepare).await?;
        }
        let crm = sandbox(&setup).await?;
        let other = if setup.two_connections { Some(sandbox(&setup).await?) } else { None };
        let mut text = configuration(&db.url, &crm, other.as_ref(), &setup);
        let mut role = None;
        if setup.own_role {
            let own = Role::least_privileged(&db, &text).await?;
            text = configuration(&own.url, &crm, other.as_ref(), &setup);
            role = Some(own);
        }
        let env = ENV.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = Config::parse(&text, "tidemark.toml", env.into_iter()).map_err(|errors| eyre!("{errors}"))?;
        let store = Store::connect(&store_config(role.as_ref().map_or(&db.url, |role| &role.url))).await?;
        store.migrate().await?;
        let specs = map_streams(&store, &config.streams).await?;
        for mapped in &specs {
            let over: Vec<_> = config.streams.iter().filter(|spec| store.qualify(&spec.table) == mapped.shape.table).collect();
            capture::apply(&store, &mapped.shape, &over).await?;
            streams::set_state(&store, &mapped.spec.name, "running", None).await?;
        }
        let mut connector = setup.connector.to_vec();
        if !setup.archive_view {
            connector.push(("archive_view = true", "archive_view = false"));
        }
        let ctx = context(&store, &config, setup.lease, &connector).await?;
        Ok(Self { db, crm, other, store, ctx, config, role, text, specs, connector })
    }

    /// Another worker over the same database: its own leases, its own clock of the CRM.
    pub async fn second_worker(&self) -> eyre::Result<Context> {
        context(&self.store, &self.config, Duration::from_secs(60), &self.connector).await
    }

    /// Another worker with settings of its own, as variables of the environment give them.
    pub async fn worker_with(&self, env: &[(&str, &str)]) -> eyre::Result<Context> {
        let env = env.iter().chain(&ENV).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let config = Config::parse(&self.text, "tidemark.toml", env).map_err(|errors| eyre!("{errors}"))?;
        context(&self.store, &config, Duration::from_secs(60), &self.connector).await
    }

    /// Another process's connections to the same database.
    pub async fn second_store(&self) -> eyre::Result<Store> {
        Ok(Store::connect(&store_config(&self.db.url)).await?)
    }

    pub fn stream(&self, name: &str) -> eyre::Result<&Mapped> {
        self.specs.iter().find(|mapped| mapped.spec.name == name).ok_or_else(|| eyre!("no stream {name}"))
    }

    /// Every stream with its table.
    pub fn streams(&self) -> &[Mapped] {
        &self.specs
    }

    async fn job(&self, kind: HintKind, name: &str) -> eyre::Result<Outcome> {
        let outcome = handle(&self.ctx, Hint { kind, stream: self.stream(name)?.id }).await;
        match outcome {
            Outcome::Broken(error) => bail!("{name}: {error}: {}", error.words()),
            outcome => Ok(outcome),
        }
    }

    /// Ticks the stream and polls it, whatever its schedule says.
    pub async fn poll(&self, name: &str) -> eyre::Result<Outcome> {
        self.due(name, "poll_owed_at = 0, settled_due_at = 0").await?;
        self.job(HintKind::Poll, name).await
    }

    /// Polls until the fast reader has passed this moment. The CRM tells its time in whole seconds, so that may take one. Its clock is only
    /// estimated, so a cursor may stand a little ahead of it: what happens afterwards in the CRM happens after the cursor.
    pub async fn catch_up(&self, name: &str) -> eyre::Result<Outcome> {
        self.clock_passes_cursor(name).await?;
        let now = self.crm_now().await?;
        let outcome = deadline::until("the reader has passed this moment", Duration::from_secs(20), || async {
            let outcome = self.poll(name).await?;
            // A database that is busy is no failure: the next poll goes on where this one was.
            let failed = matches!(&outcome, Outcome::Deferred(words) if words != "the database was busy");
            let has_read = matches!(outcome, Outcome::Done { units: 1.. });
            Ok((failed || (has_read && self.cursor(name).await? > now)).then_some(outcome))
        })
        .await?;
        self.clock_passes_cursor(name).await?;
        Ok(outcome)
    }

    async fn clock_passes_cursor(&self, name: &str) -> eyre::Result<()> {
        deadline::until("the CRM's clock has passed the cursor", Duration::from_secs(20), || async {
            Ok((self.crm_now().await? > self.cursor(name).await?).then_some(()))
        })
        .await
    }

    /// How far the fast reader is, by the CRM's clock.
    async fn cursor(&self, name: &str) -> eyre::Result<i64> {
        let streams = self.db.own("tidemark_stream");
        let sql = format!("SELECT CAST(COALESCE(fast_until, 0) AS TEXT) FROM {streams} WHERE name = '{name}'");
        Ok(self.db.one(&sql).await?.unwrap_or_default().parse()?)
    }

    /// The CRM's own clock.
    async fn crm_now(&self) -> eyre::Result<i64> {
        Ok(self.store.now().await? + self.crm.crm().weather().clock_offset_ms)
    }

    /// Relays what was captured and pushes what is due.
    pub async fn push(&self, name: &str) -> eyre::Result<Outcome> {
        tidemark_worker::relay_once(&self.ctx).await?;
        self.job(HintKind::Push, name).await
    }

    /// Everything that a start finds due, of every stream, by this worker and another at the same time: a poll, the pushes, and a read that is owed.
    pub async fn all_at_once(&self, other: &Context) -> eyre::Result<()> {
        tidemark_worker::relay_once(&self.ctx).await?;
        let mut jobs = Vec::new();
        for mapped in &self.specs {
            self.due(&mapped.spec.name, "poll_owed_at = 0, settled_due_at = 0").await?;
            debts::owe_reads(&self.store, mapped.id, &["1"], 0).await?;
            jobs.extend([HintKind::Poll, HintKind::Push, HintKind::Read].map(|kind| Hint { kind, stream: mapped.id }));
        }
        let by_both = jobs.into_iter().flat_map(|hint| [handle(&self.ctx, hint), handle(other, hint)]);
        for outcome in join_all(by_both).await {
            if let Outcome::Broken(error) = outcome {
                bail!("{error}: {}", error.words());
            }
        }
        Ok(())
    }

    /// The hour of a connection that was refused is over.
    pub async fn probe_due(&self, connection: &str) -> eyre::Result<()> {
        let connections = self.db.own("tidemark_connection");
        self.db.run(&format!("UPDATE {connections} SET probe_at = 0 WHERE name = '{connection}' AND probe_at IS NOT NULL")).await
    }

    /// Makes owed reads due and pays them.
    pub async fn read(&self, name: &str) -> eyre::Result<Outcome> {
        self.debts_due(name).await?;
        self.job(HintKind::Read, name).await
    }

    /// Sweeps both sides of the stream to the end, however many slices that takes.
    pub async fn sweep(&self, name: &str) -> eyre::Result<()> {
        sweeps::owe(&self.store, self.stream(name)?.id).await?;
        deadline::until("the sweep is over", Duration::from_secs(30), || async {
            self.poll(name).await?;
            self.sweep_slice(name).await?;
            let owed = format!("{} WHERE name = '{name}' AND sweep_owed_at IS NOT NULL", self.db.own("tidemark_stream"));
            Ok((self.db.count(&owed).await? == 0).then_some(()))
        })
        .await
    }

    /// Begins a sweep if none is owed and does one slice of it, with no poll before it: what it finds no reader has told meanwhile.
    pub async fn sweep_alone(&self, name: &str) -> eyre::Result<Outcome> {
        sweeps::owe(&self.store, self.stream(name)?.id).await?;
        self.due(name, "poll_owed_at = NULL").await?;
        self.sweep_slice(name).await
    }

    /// One slice of an owed sweep, due now.
    pub async fn sweep_slice(&self, name: &str) -> eyre::Result<Outcome> {
        self.due(name, "sweep_owed_at = CASE WHEN sweep_owed_at IS NULL THEN NULL ELSE 0 END").await?;
        self.job(HintKind::Sweep, name).await
    }

    /// What sweeps found: side, subject, who missed it, fields, repair.
    pub async fn drift(&self) -> eyre::Result<Vec<[String; 5]>> {
        let sql = format!("SELECT side, subject, missed_by, fields, repair FROM {} ORDER BY id", self.db.own("tidemark_drift"));
        let rows = self.db.rows(&sql).await?;
        let line = |row: Vec<Option<String>>| {
            let cells: Vec<String> = row.into_iter().map(Option::unwrap_or_default).collect();
            cells.try_into().map_err(|cells| eyre!("five cells expected, not {cells:?}"))
        };
        rows.into_iter().map(line).collect()
    }

    /// How the stream's sweeps ended, oldest first.
    pub async fn seals(&self, name: &str) -> eyre::Result<Vec<String>> {
        let (windows, id) = (self.db.own("tidemark_window"), self.stream(name)?.id);
        let sql = format!("SELECT COALESCE(seal, state) FROM {windows} WHERE stream_id = {id} AND reader = 'sweep' ORDER BY id");
        Ok(self.db.rows(&sql).await?.into_iter().flatten().flatten().collect())
    }

    /// Everything that waits becomes due now.
    pub async fn debts_due(&self, name: &str) -> eyre::Result<()> {
        let (debts, id) = (self.db.own("tidemark_debt"), self.stream(name)?.id);
        self.db.run(&format!("UPDATE {debts} SET due_at = 0 WHERE stream_id = {id} AND lease_until IS NULL")).await
    }

    async fn due(&self, name: &str, set: &str) -> eyre::Result<()> {
        let (table, id) = (self.db.own("tidemark_stream"), self.stream(name)?.id);
        self.db.run(&format!("UPDATE {table} SET {set} WHERE id = {id}")).await
    }

    /// Runs rounds of everything until nothing is on its way and both sides agree; fails with what differs.
    pub async fn settle(&self) -> eyre::Result<Vec<StreamReport>> {
        for _ in 0..60 {
            for mapped in &self.specs {
                self.catch_up(&mapped.spec.name).await?;
            }
            for mapped in &self.specs {
                self.debts_due(&mapped.spec.name).await?;
                self.push(&mapped.spec.name).await?;
                self.read(&mapped.spec.name).await?;
            }
            let quiet = streams::quiet(&self.store).await?;
            if quiet.debts == 0 && quiet.changes == 0 && quiet.walks == 0 && quiet.unloaded == 0 {
                let reports = self.agree().await?;
                if reports.iter().all(|report| report.differ == 0) {
                    return Ok(reports);
                }
            }
        }
        bail!("the sides do not agree after 60 rounds: {:#?}", self.agree().await?)
    }

    pub async fn agree(&self) -> eyre::Result<Vec<StreamReport>> {
        let mut reports = Vec::new();
        for mapped in &self.specs {
            reports.push(compare_stream(&self.ctx, mapped).await?);
        }
        Ok(reports)
    }

    /// The present properties of a record, as anybody sees them over HTTP, without a crate of ours.
    pub async fn record(&self, object: &str, id: &str) -> eyre::Result<BTreeMap<String, String>> {
        let all = self.records(object).await?;
        all.get(id).cloned().ok_or_else(|| eyre!("the CRM has no {object} {id}"))
    }

    pub async fn records(&self, object: &str) -> eyre::Result<BTreeMap<String, BTreeMap<String, String>>> {
        let url = format!("{}/sandbox/records/{object}", self.crm.base_url());
        let listing: serde_json::Value = reqwest::get(url).await?.json().await?;
        let list = listing
            .as_array()
            .cloned()
            .or_else(|| listing.get("records")?.as_array().cloned())
            .ok_or_else(|| eyre!("no list: {listing}"))?;
        let record = |value: &serde_json::Value| {
            let id = value.get("id")?.as_str()?.to_owned();
            let live = !value.get("archived").and_then(serde_json::Value::as_bool).unwrap_or(false);
            let properties = value
                .get("properties")?
                .as_object()?
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
            live.then(|| (id, properties.collect()))
        };
        Ok(list.iter().filter_map(record).collect())
    }

    pub async fn debts(&self, state: &str) -> eyre::Result<i64> {
        self.db.count(&format!("{} WHERE state = '{state}'", self.db.own("tidemark_debt"))).await
    }
}

pub const TOKEN: &str = "pat-na1-sandbox";

/// What the configuration finds in the environment; the key is 32 times the byte 1.
const ENV: [(&str, &str); 3] =
    [("HUBSPOT_TOKEN", TOKEN), ("CRM_TOKEN", TOKEN), ("TIDEMARK_KEY", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=")];

async fn sandbox(setup: &Setup) -> eyre::Result<Sandbox> {
    if let Some(vendor) = setup.vendor {
        return vendor.sandbox(setup.weather.clone()).await;
    }
    let limits = Limits { per_10s: 100_000, search_per_second: 10_000, per_day: 10_000_000 };
    let sandbox = Sandbox::start(SandboxConfig {
        token: TOKEN.to_owned(),
        weather: setup.weather.clone(),
        limits,
        ..SandboxConfig::default()
    })
    .await?;
    for object in ["contacts", "deals"] {
        let property = json!({ "name": "tidemark_key", "label": "Order key", "type": "string", "fieldType": "text", "groupName": "x", "hasUniqueValue": true });
        let url = format!("{}/crm/v3/properties/{object}", sandbox.base_url());
        let answer = reqwest::Client::new().post(url).bearer_auth(TOKEN).json(&property).send().await?;
        if !answer.status().is_success() {
            bail!("the unique property could not be made: {}", answer.text().await?);
        }
    }
    Ok(sandbox)
}

fn store_config(url: &str) -> StoreConfig {
    StoreConfig { url: url.to_owned(), schema: "tidemark".into(), orders_schema: "public".into(), pool_max: 8 }
}

async fn context(store: &Store, config: &Config, lease: Duration, otherwise: &[(&str, &str)]) -> eyre::Result<Context> {
    let credentials = &config.credentials;
    let sealer = credentials.key.as_ref().map(|key| Sealer::new(key, credentials.former_key.as_ref())).transpose()?.map(Arc::new);
    let mut connections = Vec::new();
    for (spec, secrets) in &config.connections {
        let crm =
            if otherwise.is_empty() { Catalog::default().connect(spec, secrets)? } else { described(spec, secrets, otherwise)? };
        let connection = Connection::new(spec.clone(), crm);
        connections.push(match &sealer {
            Some(sealer) => connection.shared(sealer),
            None => connection,
        });
    }
    let tuning = Tuning { name: "test".into(), lease, slice: Duration::from_secs(20), relay_every: Duration::from_millis(100) };
    let (ctx, callouts) =
        Context::open(store.clone(), connections, &config.streams, tuning, None, CancellationToken::new()).await?;
    drop(callouts);
    Ok(ctx)
}

/// The same CRM by a connector that is described otherwise.
fn described(spec: &ConnectionSpec, secrets: &Secrets, otherwise: &[(&str, &str)]) -> eyre::Result<Arc<dyn Crm>> {
    let vendor = DESCRIBED.iter().find(|vendor| vendor.connector == spec.connector);
    let mut text = vendor.map_or(include_str!("../../connectors/hubspot.toml"), |vendor| vendor.file).to_owned();
    for (stands, instead) in otherwise {
        if !text.contains(stands) {
            bail!("the connector does not say {stands:?}");
        }
        text = text.replace(stands, instead);
    }
    if vendor.is_some() {
        let connector = Connector::load(&spec.connector, "changed.toml", &text)?;
        return Ok(Arc::new(Engine::connect(spec, secrets, connector)?));
    }
    let description = Description::load("hubspot", "connectors/hubspot.toml", &text)?;
    Ok(Arc::new(hubspot::connect_described(spec, TOKEN.into(), description)?))
}
