//! One order database, one practice receiver, one worker's context over one-way streams; and the jobs, done by name.

use eyre::{bail, eyre};
use tidemark_boot::Config;
use tidemark_core::hint::{Hint, HintKind};
use tidemark_sandbox::hooks::{HookConfig, HookSandbox};
use tidemark_store::callouts::CalloutRow;
use tidemark_store::rows::Mapped;
use tidemark_store::{Store, StoreConfig, callouts, capture, streams};
use tidemark_worker::agree::{StreamReport, compare_stream};
use tidemark_worker::{Connection, Context, Outcome, Tuning, handle, map_streams};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

use crate::database::{Kind, OrderDatabase};

/// What nobody may ever read anywhere: the part of an address that opens a hook, and a key.
pub const CATCH_SECRET: &str = "s3cr3thook";
pub const MAKER_SECRET: &str = "m4k3rk3y";
pub const SIGNING_SECRET: &str = "s1gn1ngk3y";
pub const SECRETS: [&str; 3] = [CATCH_SECRET, MAKER_SECRET, SIGNING_SECRET];

/// The path of the catch hook that exists.
pub fn catch_path() -> String {
    format!("/hooks/catch/100001/{CATCH_SECRET}/")
}

/// How a rig is set up: settings of the Zapier stream of orders, rows that are there before Tidemark is, and what is written otherwise.
#[derive(Debug, Clone, Copy, Default)]
pub struct HookSetup {
    pub stream: &'static str,
    pub before: &'static str,
    pub instead: &'static [(&'static str, &'static str)],
    /// The receiver wants signatures.
    pub signed: bool,
    /// The streams still wait for their go.
    pub waits: bool,
    pub body_bytes_max: Option<usize>,
}

pub struct HookRig {
    pub db: OrderDatabase,
    pub receiver: HookSandbox,
    pub store: Store,
    pub ctx: Context,
    pub text: String,
    callouts: UnboundedReceiver<CalloutRow>,
    specs: Vec<Mapped>,
}

impl HookRig {
    pub async fn start(kind: Kind) -> eyre::Result<Self> {
        Self::with(kind, HookSetup::default()).await
    }

    /// The streams run, and the rows that were there are taken down as delivered.
    pub async fn with(kind: Kind, setup: HookSetup) -> eyre::Result<Self> {
        let db = OrderDatabase::create(kind).await?;
        if !setup.before.is_empty() {
            db.run(setup.before).await?;
        }
        let receiver = HookSandbox::start(HookConfig {
            listen: None,
            catch: vec![catch_path()],
            maker_key: Some(MAKER_SECRET.to_owned()),
            signing: setup.signed.then(|| SIGNING_SECRET.to_owned()),
            body_bytes_max: setup.body_bytes_max,
        })
        .await?;
        let text = configuration(&db.url, &receiver, &setup);
        let store = store(&db.url).await?;
        store.migrate().await?;
        let config = parse(&text, &receiver)?;
        let specs = map_streams(&store, &config.streams).await?;
        for table in capture::tables(&specs) {
            capture::apply(&store, &table.shape, &table.specs()).await?;
        }
        let (ctx, callouts) = context(&store, &config).await?;
        let rig = Self { db, receiver, store, ctx, text, callouts, specs };
        if !setup.waits {
            for name in ["zap.orders", "maker.customer_changed"] {
                rig.go(name).await?;
                rig.turn(name).await?;
            }
        }
        Ok(rig)
    }

    /// Somebody says go.
    pub async fn go(&self, name: &str) -> eyre::Result<()> {
        // The clock moves on, so that what follows is later than the go.
        streams::set_state(&self.store, name, "running", None).await?;
        let went = self.store.now().await?;
        crate::deadline::until("the clock has moved", std::time::Duration::from_secs(5), || async {
            Ok((self.store.now().await? > went).then_some(()))
        })
        .await
    }

    pub fn stream(&self, name: &str) -> eyre::Result<&Mapped> {
        self.specs.iter().find(|mapped| mapped.spec.name == name).ok_or_else(|| eyre!("no stream {name}"))
    }

    /// Variables that hold the secrets, for processes.
    pub fn env(&self) -> [(String, String); 3] {
        env(&self.receiver)
    }

    /// Another worker over the same database.
    pub async fn second_worker(&self) -> eyre::Result<Context> {
        Ok(context(&self.store, &parse(&self.text, &self.receiver)?).await?.0)
    }

    async fn job(&self, kind: HintKind, name: &str) -> eyre::Result<Outcome> {
        self.job_by(&self.ctx, kind, name).await
    }

    pub async fn job_by(&self, ctx: &Context, kind: HintKind, name: &str) -> eyre::Result<Outcome> {
        match handle(ctx, Hint { kind, stream: self.stream(name)?.id }).await {
            Outcome::Broken(error) => bail!("{name}: {error}: {}", error.words()),
            outcome => Ok(outcome),
        }
    }

    /// The turn of a stream: nothing is read, rows are compared where that is owed.
    pub async fn turn(&self, name: &str) -> eyre::Result<Outcome> {
        let (streams, id) = (self.db.own("tidemark_stream"), self.stream(name)?.id);
        self.db.run(&format!("UPDATE {streams} SET poll_owed_at = 0 WHERE id = {id}")).await?;
        self.job(HintKind::Poll, name).await
    }

    /// Relays what was captured and delivers what is due.
    pub async fn deliver(&self, name: &str) -> eyre::Result<Outcome> {
        tidemark_worker::relay_once(&self.ctx).await?;
        self.job(HintKind::Push, name).await
    }

    /// Everything that waits becomes due now.
    pub async fn due(&self) -> eyre::Result<()> {
        let debts = self.db.own("tidemark_debt");
        self.db.run(&format!("UPDATE {debts} SET due_at = 0 WHERE lease_until IS NULL")).await
    }

    pub async fn debts(&self, state: &str) -> eyre::Result<i64> {
        self.db.count(&format!("{} WHERE state = '{state}'", self.db.own("tidemark_debt"))).await
    }

    pub async fn agree(&self, name: &str) -> eyre::Result<StreamReport> {
        Ok(compare_stream(&self.ctx, self.stream(name)?).await?)
    }

    /// One column of a stream's row.
    pub async fn of_stream(&self, column: &str, name: &str) -> eyre::Result<String> {
        let streams = self.db.own("tidemark_stream");
        let sql = format!("SELECT CAST({column} AS TEXT) FROM {streams} WHERE name = '{name}'");
        Ok(self.db.one(&sql).await?.unwrap_or_default())
    }

    /// Stores the record of calls so far, and returns it.
    pub async fn calls(&mut self) -> eyre::Result<Vec<CalloutRow>> {
        let mut rows = Vec::new();
        while let Ok(row) = self.callouts.try_recv() {
            rows.push(row);
        }
        callouts::record(&self.store, &rows).await?;
        Ok(rows)
    }

    /// Every text in every table of Tidemark.
    pub async fn everything(&self) -> eyre::Result<String> {
        let mut all = String::new();
        for (table, row) in self.db.own_rows().await? {
            all.push_str(&format!("{table}: {row}\n"));
        }
        Ok(all)
    }
}

async fn store(url: &str) -> eyre::Result<Store> {
    let config = StoreConfig { url: url.to_owned(), schema: "tidemark".into(), orders_schema: "public".into(), pool_max: 8 };
    Ok(Store::connect(&config).await?)
}

fn env(receiver: &HookSandbox) -> [(String, String); 3] {
    [
        ("ZAP_URL".to_owned(), format!("{}{}", receiver.base_url(), catch_path())),
        ("MAKER_KEY".to_owned(), MAKER_SECRET.to_owned()),
        ("ZAP_SIGNING".to_owned(), SIGNING_SECRET.to_owned()),
    ]
}

fn parse(text: &str, receiver: &HookSandbox) -> eyre::Result<Config> {
    Config::parse(text, "tidemark.toml", env(receiver).into_iter()).map_err(|errors| eyre!("{errors}"))
}

async fn context(store: &Store, config: &Config) -> eyre::Result<(Context, UnboundedReceiver<CalloutRow>)> {
    let mut connections = Vec::new();
    for (spec, secrets) in &config.connections {
        connections.push(Connection::new(spec.clone(), tidemark_crm::Catalog::default().connect(spec, secrets)?));
    }
    let lease = std::time::Duration::from_secs(60);
    let slice = std::time::Duration::from_secs(20);
    let tuning = Tuning { name: "test".into(), lease, slice, relay_every: std::time::Duration::from_millis(100) };
    Ok(Context::open(store.clone(), connections, &config.streams, tuning, None, CancellationToken::new()).await?)
}

fn configuration(database: &str, receiver: &HookSandbox, setup: &HookSetup) -> String {
    let (base, stream) = (receiver.base_url(), setup.stream);
    let both = format!(
        "environment = \"practice\"\nbase_url = \"{base}\"\ncall_deadline = \"2s\"\nrequest_life = \"1s\"\nbudget = {{ per_second = 900 }}\n"
    );
    let text = format!(
        r#"
[database]
url = "{database}"
[defaults.retry]
first = "50ms"
cap = "500ms"

[connections.zap]
connector = "zapier"
secret.url = {{ env = "ZAP_URL" }}
secret.signing = {{ env = "ZAP_SIGNING" }}
{both}
[[connections.zap.streams]]
object = "orders"
table = "orders"
key = "id"
send_when = {{ status = ["accepted", "shipped"] }}
{stream}
[connections.zap.streams.fields]
number = "number"
status = "status"
total = {{ column = "total_cents", as = "decimal_of_cents" }}

[connections.maker]
connector = "ifttt"
secret.key = {{ env = "MAKER_KEY" }}
{both}
[[connections.maker.streams]]
object = "customer_changed"
table = "customers"
key = "id"
payload = {{ value1 = "$event", value2 = "$field.email", value3 = "$idempotency_key" }}
[connections.maker.streams.fields]
email = {{ column = "email", check = "email" }}
"#
    );
    setup.instead.iter().fold(text, |text, (stands, instead)| text.replace(stands, instead))
}
