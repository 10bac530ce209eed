//! One seed's world from its beginning to its verdict: people on both sides, two workers, a scheduler, a queue that drops, doubles and reorders, and a clock that is set by
//! hand. Decides what happens next; the laws decide what is right.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sea_orm::{ConnectOptions, Database};
use tidemark_core::Millis;
use tidemark_core::hint::Hint;
use tidemark_store::pace::{Driver, Pace};
use tidemark_store::rows::Mapped;
use tidemark_store::{Store, StoreConfig, capture, environment, streams};
use tidemark_worker::{Connection, Context, Outcome, Tuning, map_streams};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::coverage::Coverage;
use super::crm::Crm;
use super::decisions::OldField;
use super::driver::Turns;
use super::face::Face;
use super::laws::Decisions;
use super::ledger::Ledger;
use super::mapping;
use super::orders::{LOG_CLOCK, OrderSystem, SCHEMA};
use super::restores::Backup;
use super::swarm::Swarm;

static LIVES: AtomicU64 = AtomicU64::new(0);

/// A Wednesday morning.
const EPOCH: Millis = 1_764_144_000_000;

/// What a job is, for deciding how many of them may be at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Scheduler,
    Relay,
    Handler,
}

pub(crate) struct Job {
    pub(crate) handle: JoinHandle<()>,
    pub(crate) role: Role,
    pub(crate) worker: Option<usize>,
    pub(crate) frozen_until: u32,
    pub(crate) began: Millis,
}

pub(crate) struct World {
    pub(crate) swarm: Swarm,
    pub(crate) turns: Turns,
    pub(crate) face: Face,
    pub(crate) orders: OrderSystem,
    pub(crate) ledger: Ledger,
    pub(crate) coverage: Coverage,
    pub(crate) trace: Option<Vec<String>>,
    /// Lines about links that were traced already.
    shown: std::collections::BTreeSet<String>,
    pub(crate) step: u32,
    pub(crate) number: u64,
    pub(crate) store: Store,
    pub(crate) mapped: Vec<Mapped>,
    pub(crate) workers: Vec<Context>,
    pub(crate) queue: Arc<Mutex<Vec<Hint>>>,
    pub(crate) ended: Arc<Mutex<Vec<(u64, String, Outcome)>>>,
    pub(crate) jobs: BTreeMap<u64, Job>,
    pub(crate) next_job: u64,
    pub(crate) last_write: Millis,
    /// A worker that goes by the mapping as it was, and the step at which it is started anew.
    pub(crate) outdated: Option<(usize, u32)>,
    /// What the order database is put back to one day.
    pub(crate) backup: Option<Backup>,
    /// What somebody outside the database remembers of its pulse.
    pub(crate) witness: Arc<Mutex<Option<String>>>,
    /// When the job that had the last turn began.
    pub(crate) job_began: Millis,
    /// Objects that the application loaded before pages changed them.
    pub(crate) old: Vec<OldField>,
    /// Deletes of records that a person has let through, by object.
    pub(crate) let_through: BTreeMap<String, i64>,
}

impl World {
    pub(crate) async fn open(seed: u64, trace: bool) -> eyre::Result<Self> {
        let swarm = Swarm::draw(seed);
        let turns = Turns::new(seed, EPOCH);
        // A name of its own for each life: a database in memory lasts as long as any connection to it.
        let life = LIVES.fetch_add(1, Ordering::Relaxed);
        let url = format!("sqlite:file:simulation-{}-{life}?mode=memory&cache=shared", std::process::id());
        let mut options = ConnectOptions::new(&url);
        options.max_connections(1).min_connections(1).sqlx_logging(false).test_before_acquire(false);
        let app = Database::connect(options).await?;
        let orders = OrderSystem::new(app);
        orders.run(SCHEMA).await?;
        orders.run(&format!("UPDATE simulated_clock SET now = {EPOCH}")).await?;
        let config = StoreConfig { url, schema: String::new(), orders_schema: String::new(), pool_max: 1 };
        let store = Store::paced(&config, Pace::Driven(Arc::new(turns.clone()))).await?;
        store.migrate().await?;
        environment::whereabouts(&store).await?;
        // The default of a column knows only the system's clock.
        orders.run(LOG_CLOCK).await?;
        let specs = mapping::streams(&swarm);
        let mapped = map_streams(&store, &specs).await?;
        let model = Arc::new(Mutex::new(Crm::new(swarm.clone(), turns.clone())));
        let mut world = Self {
            face: Face { model, turns: turns.clone() },
            swarm,
            turns,
            orders,
            ledger: Ledger::default(),
            coverage: Coverage::default(),
            trace: trace.then(Vec::new),
            shown: std::collections::BTreeSet::new(),
            step: 0,
            number: 0,
            store,
            mapped,
            workers: Vec::new(),
            queue: Arc::default(),
            ended: Arc::default(),
            jobs: BTreeMap::new(),
            next_job: 1,
            last_write: 0,
            outdated: None,
            backup: None,
            witness: Arc::default(),
            job_began: 0,
            old: Vec::new(),
            let_through: BTreeMap::new(),
        };
        // People were there before Tidemark: nothing of this is in the change log.
        world.populate().await?;
        for one in &world.mapped {
            capture::apply(&world.store, &one.shape, &[&one.spec]).await?;
            streams::set_state(&world.store, &one.spec.name, "running", None).await?;
        }
        for at in 0..2 {
            let worker = world.worker(at).await?;
            world.workers.push(worker);
        }
        Ok(world)
    }

    /// A worker's process, newly started: it knows nothing of the CRM's clock or account.
    pub(crate) async fn worker(&self, at: usize) -> eyre::Result<Context> {
        let connection = Connection::new(mapping::connection(), Arc::new(self.face.clone()));
        let tuning = Tuning {
            name: format!("worker-{at}-{}", self.next_job),
            lease: self.swarm.lease,
            slice: self.swarm.lease / 4,
            relay_every: Duration::from_millis(200),
        };
        let specs = mapping::streams(&self.swarm);
        let (ctx, _) =
            Context::open(self.store.clone(), vec![connection], &specs, tuning, None, CancellationToken::new()).await?;
        Ok(ctx)
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let (step, at) = (self.step, self.turns.now() - EPOCH);
            trace.push(format!("{step:5} {:9.3}s  {}", at as f64 / 1_000.0, line()));
        }
    }

    /// Every link that changed, as it is stored.
    async fn trace_links(&mut self) -> eyre::Result<()> {
        if self.trace.is_none() {
            return Ok(());
        }
        let sql = "SELECT CAST(id AS TEXT), row_key, remote_id, state, CAST(seen AS TEXT), CAST(written_at AS TEXT), push_fence, ghosts, base FROM tidemark_link ORDER BY id";
        for link in self.orders.texts(sql, 9).await? {
            let line = format!(
                "     link {}",
                link.into_iter().map(|cell| cell.unwrap_or_else(|| "-".into())).collect::<Vec<_>>().join(" ")
            );
            if self.shown.insert(line.clone()) {
                self.trace_line(line);
            }
        }
        Ok(())
    }

    pub(crate) fn trace_line(&mut self, line: String) {
        self.note(|| line);
    }

    /// Lives the seed to its end. The breaches of the law, if any.
    pub(crate) async fn live(&mut self) -> eyre::Result<Vec<String>> {
        let swarm = format!("{:?}", self.swarm);
        self.trace_line(swarm);
        while self.step < self.swarm.steps {
            self.step += 1;
            let breaches = self.happen().await?;
            if !breaches.is_empty() {
                return Ok(breaches);
            }
        }
        self.calm().await
    }

    async fn happen(&mut self) -> eyre::Result<Vec<String>> {
        // People do not wait for a push to be over, and processes stop when they please: both more often while something is under way, or the races would be rare.
        let under_way = self.face.model().under_way > 0;
        if self.turns.below(u64::from(self.swarm.edit_every)) == 0 || under_way && self.turns.chance(0.08) {
            self.edit().await?;
        }
        self.look_after_values().await?;
        self.look_after_the_mapping().await?;
        self.look_after_backups().await?;
        if under_way && self.turns.chance(0.03) {
            self.freeze();
        }
        if self.turns.chance(self.swarm.crash) {
            self.crash().await?;
        }
        match self.turns.below(1_000) {
            0..=149 => {
                let step = [1, 20, 150, 400][self.turns.index(4)];
                self.pass(step).await?;
            }
            150..=169 => self.pass(2_000).await?,
            170 => self.pass(65_000).await?,
            // A round of the scheduler takes ten turns: were there more of them, hardly any would be left for the handlers.
            200..=219 => self.schedule(),
            260..=289 => self.relay(),
            300..=449 => self.deliver(),
            450..=464 => self.freeze(),
            490..=499 => self.answer_brakes().await?,
            480..=484 if self.swarm.clock_steps => self.set_the_clock(),
            _ => {}
        }
        self.turn().await
    }

    /// One of those who may go goes. What it did is judged at once.
    pub(crate) async fn turn(&mut self) -> eyre::Result<Vec<String>> {
        // Whoever was just begun asks for its first turn now, not when the runtime pleases.
        self.turns.settle().await;
        let ready = self.turns.ready();
        let awake: Vec<usize> =
            (0..ready.len()).filter(|at| self.jobs.get(&ready[*at].0).is_none_or(|job| job.frozen_until <= self.step)).collect();
        let Some(nth) = (!awake.is_empty()).then(|| awake[self.turns.index(awake.len())]) else {
            return Ok(Vec::new());
        };
        let (job, what) = ready[nth];
        self.note(|| format!("job {job} {what}"));
        // What Tidemark knew when it wrote is judged, not what it learned from the answer.
        let before = if what == "call" || what == "commit" { self.decisions().await? } else { Decisions::new() };
        self.job_began = self.jobs.get(&job).map_or(0, |job| job.began);
        self.turns.give(nth).await;
        self.reap()?;
        self.trace_links().await?;
        let pages = std::mem::take(&mut self.face.model().pages);
        for page in pages {
            self.trace_line(format!("     {page}"));
        }
        let mut breaches = self.judge_records(&before);
        if what == "transaction" {
            breaches.extend(self.judge_rows().await?);
        }
        breaches.extend(self.judge_outcomes());
        breaches.extend(self.judge_calls());
        breaches.extend(self.judge_brakes());
        Ok(breaches)
    }

    fn reap(&mut self) -> eyre::Result<()> {
        let over: Vec<u64> = self.jobs.iter().filter(|(_, job)| job.handle.is_finished()).map(|(id, _)| *id).collect();
        for id in over {
            self.jobs.remove(&id);
        }
        Ok(())
    }

    /// Time passes; late writes land.
    pub(crate) async fn pass(&mut self, time: Millis) -> eyre::Result<()> {
        let now = self.turns.now() + time;
        self.turns.set_now(now);
        self.orders.run(&format!("UPDATE simulated_clock SET now = {now}")).await?;
        let landed = {
            let mut crm = self.face.model();
            let before = crm.landings.len();
            crm.land();
            before - crm.landings.len()
        };
        if landed > 0 {
            self.coverage.count("a write landed late");
        }
        self.hear_people();
        self.judge_landed();
        Ok(())
    }
}

pub(crate) fn ended(result: Result<(), tidemark_store::StoreError>) -> Outcome {
    match result {
        Ok(()) => Outcome::Done { units: 0 },
        Err(error) => Outcome::Broken(error),
    }
}
