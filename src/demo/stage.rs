//! Sets the demo up and takes it down: folder, practice CRM, order system, Tidemark. Everything that can be wrong from the start is an error here.

use std::net::SocketAddr;
use std::time::Duration;

use eyre::{WrapErr, eyre};
use tidemark_sandbox::{Sandbox, SandboxConfig, StartError};
use tidemark_worker::event::Event;
use tokio::net::TcpListener;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::args::DemoArgs;
use super::config::{self, Places};
use super::folder::Folder;
use super::order_system::OrderSystem;
use super::parts::Parts;
use super::seed::{self, Planted};
use super::watch::{self, Printer};
use crate::compose::{self, House, Roles};
use crate::verbs;

/// A database that hangs is left to itself.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// Everything that runs.
pub(crate) struct Stage {
    pub(crate) args: DemoArgs,
    pub(crate) printer: Printer,
    pub(crate) folder: Folder,
    pub(crate) sandbox: Sandbox,
    pub(crate) system: OrderSystem,
    pub(crate) planted: Planted,
    pub(crate) house: House,
    pub(crate) dashboard: Option<SocketAddr>,
    pub(crate) shutdown: CancellationToken,
    parts: Parts,
    printing: JoinHandle<()>,
    _log: tidemark_boot::telemetry::TelemetryGuard,
}

impl Stage {
    pub(crate) async fn set(args: DemoArgs, shutdown: CancellationToken) -> eyre::Result<Self> {
        let printer = Printer::new(args.json);
        let dashboard = args.dashboard();
        prove_free(dashboard).await?;
        let sandbox = start_sandbox(&args).await?;
        let folder = Folder::open(&args.folder, args.keep)?;
        let orders_url = args.orders_url.clone().unwrap_or_else(|| folder.orders_url());
        let text = config::text(&Places {
            orders_url: &orders_url,
            queue_url: args.queue_url.as_deref().unwrap_or("embedded"),
            dashboard,
            crm: &sandbox.base_url(),
        });
        folder.write_config(&text)?;
        let config = config::parse(&text, &folder.config().display().to_string())?;
        let log = verbs::log(&config)?;

        let system = OrderSystem::connect(&orders_url).await?;
        let planted = plant(&args, &system, &sandbox).await?;
        let house = House::open(config).await?;
        house.migrate().await?;
        let (events, lines) = unbounded_channel::<Event>();
        let running = compose::start(&house, Roles::ALL, Some(events), shutdown.clone()).await?;
        let dashboard = running.dashboard;
        sandbox.crm().set_weather(args.weather.weather());
        for stream in config::STREAMS {
            house.go(stream, "the demo").await?;
        }
        let parts = Parts::new(tokio::spawn(running.join(compose::stop_deadline(&house))), shutdown.clone());
        let printing = tokio::spawn(watch::print(lines, printer));
        Ok(Self { args, printer, folder, sandbox, system, planted, house, dashboard, shutdown, parts, printing, _log: log })
    }

    /// Waits; false when we are to stop. Tidemark's own end is an error while we wait.
    pub(crate) async fn look_out(&mut self, wait: Duration) -> eyre::Result<bool> {
        self.parts.look_out(wait).await
    }

    /// Stops scheduler, workers and dashboard; the store, the order system and the CRM can still be asked.
    pub(crate) async fn stop_tidemark(&mut self) -> eyre::Result<()> {
        self.shutdown.cancel();
        // They are given up by themselves before that.
        self.parts.end(compose::stop_deadline(&self.house) + CLOSE_DEADLINE).await
    }

    /// Takes down the rest, whatever of it does not go well.
    pub(crate) async fn clear(self) -> eyre::Result<()> {
        let closing = async {
            self.house.store.close().await?;
            self.system.close().await
        };
        let closed = tokio::time::timeout(CLOSE_DEADLINE, closing).await;
        self.sandbox.stop().await;
        self.printing.abort();
        closed.map_err(|_| eyre!("the order database did not let go of us within {} s", CLOSE_DEADLINE.as_secs()))?
    }
}

/// The workers have opened nothing yet when a taken port would be found out; so it is tried first.
async fn prove_free(dashboard: SocketAddr) -> eyre::Result<()> {
    let remedy = || format!("the dashboard cannot listen on {dashboard}: choose another address with --listen");
    TcpListener::bind(dashboard).await.map(drop).wrap_err_with(remedy)
}

/// In calm weather: it turns when everything stands.
async fn start_sandbox(args: &DemoArgs) -> eyre::Result<Sandbox> {
    let listen = args.sandbox();
    let config = SandboxConfig {
        listen,
        token: config::TOKEN.1.to_owned(),
        account: config::ACCOUNT.to_owned(),
        seed: args.seed,
        ..SandboxConfig::default()
    };
    Sandbox::start(config).await.map_err(|error| match error {
        StartError::PortInUse { .. } => eyre!("{error}; choose another address with --sandbox-listen"),
        StartError::Listen { .. } => eyre::Report::new(error).wrap_err("choose another address with --sandbox-listen"),
    })
}

async fn plant(args: &DemoArgs, system: &OrderSystem, sandbox: &Sandbox) -> eyre::Result<Planted> {
    let seed = seed::plan(args.records, args.seed);
    seed::add_key_properties(&sandbox.base_url()).await?;
    if args.keep && !system.is_empty().await? {
        system.forget_crm().await?;
        seed::plant_crm_alone(&seed, &sandbox.crm())?;
    } else {
        system.create_schema().await?;
    }
    let kept = system.number("SELECT COALESCE(max(id), 0) FROM customers").await?.unsigned_abs();
    let planted = if kept == 0 { seed::plant(&seed, system, &sandbox.crm()).await? } else { Planted::default() };
    Ok(Planted { edits_seed: args.seed.wrapping_add(kept), ..planted })
}
