//! Processes of the built command over a rig's database and practice CRM. Nothing is done by name here: the processes decide when, and a test waits for what they did.

use std::time::Duration;

use eyre::{OptionExt, bail};
use tempfile::TempDir;
use tidemark_store::streams;
use tidemark_worker::agree::compare_stream;

use crate::database::Kind;
use crate::deadline::until;
use crate::processes::{Ended, Service, command, run};
use crate::rig::{Rig, TOKEN};
use crate::{redis, rig};

/// How long a process may take for one thing; the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The Redis database of these processes.
pub const DATABASE: u8 = 9;

pub struct House {
    pub rig: Rig,
    /// Begins the queue's keys; no other house has it.
    pub prefix: String,
    folder: TempDir,
    env: Vec<(String, String)>,
    pub services: Vec<Service>,
}

impl House {
    /// Both streams may run, no process does yet. `env` is laid over the rig's configuration. On PostgreSQL the queue is Redis, on SQLite it is embedded.
    pub async fn open(kind: Kind, setup: rig::Setup, env: &[(&str, &str)]) -> eyre::Result<Self> {
        let rig = Rig::with(kind, setup).await?;
        let folder = TempDir::new()?;
        std::fs::write(folder.path().join("tidemark.toml"), &rig.text)?;
        let prefix = folder.path().file_name().and_then(|name| name.to_str()).ok_or_eyre("no name")?.replace('.', "");
        let mut all = vec![
            ("HUBSPOT_TOKEN".to_owned(), TOKEN.to_owned()),
            ("TIDEMARK__SERVER__LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("TIDEMARK__SCHEDULER__TICK_EVERY".to_owned(), "200ms".to_owned()),
        ];
        if kind == Kind::Postgres {
            all.push(("TIDEMARK__QUEUE__URL".to_owned(), format!("{}/{DATABASE}", redis::server()?)));
            all.push(("TIDEMARK__QUEUE__PREFIX".to_owned(), prefix.clone()));
        }
        all.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Ok(Self { rig, prefix, folder, env: all, services: Vec::new() })
    }

    /// A process that is named for its verb, `worker-1` for example.
    pub fn start(&mut self, name: &str) -> eyre::Result<()> {
        let verb = name.split('-').next().unwrap_or(name);
        self.services.push(Service::start(name, self.folder.path(), &self.env(), &[verb])?);
        Ok(())
    }

    /// Runs a verb to its end.
    pub async fn tidemark(&self, args: &[&str]) -> eyre::Result<Ended> {
        run(command(self.folder.path(), &self.env(), args)?, PATIENCE).await
    }

    pub fn service(&mut self, name: &str) -> eyre::Result<&mut Service> {
        self.services.iter_mut().find(|service| service.name == name).ok_or_eyre("no such process")
    }

    /// Where the dashboard of a process is; it says so once it listens.
    pub async fn dashboard(&mut self, name: &str) -> eyre::Result<String> {
        let service = self.service(name)?;
        let said = until("the dashboard's address", PATIENCE, async || {
            let log = service.log();
            let line = log.lines().find_map(|line| line.strip_prefix("dashboard  "));
            Ok(line.map(|address| address.trim().to_owned()))
        });
        let said = said.await;
        self.explain(said)
    }

    /// Waits until both streams were loaded once.
    pub async fn loaded(&mut self) -> eyre::Result<()> {
        let unloaded = format!("{} WHERE loaded_at IS NULL OR walk_owed <> 0", self.rig.db.own("tidemark_stream"));
        let db = &self.rig.db;
        let loaded = until("the first load", PATIENCE, async || Ok((db.count(&unloaded).await? == 0).then_some(()))).await;
        self.explain(loaded)
    }

    /// Waits until one stream's sides agree.
    pub async fn agreed_on(&mut self, stream: &str) -> eyre::Result<()> {
        let rig = &self.rig;
        let unloaded =
            format!("{} WHERE name = '{stream}' AND (loaded_at IS NULL OR walk_owed <> 0)", rig.db.own("tidemark_stream"));
        let agreed = until("the stream's sides agree", PATIENCE, async || {
            if rig.db.count(&unloaded).await? > 0 {
                return Ok(None);
            }
            Ok((compare_stream(&rig.ctx, rig.stream(stream)?).await?.differ == 0).then_some(()))
        });
        let agreed = agreed.await;
        self.explain(agreed)
    }

    /// Waits until nothing is on its way and both sides agree.
    pub async fn agreement(&mut self) -> eyre::Result<()> {
        let rig = &self.rig;
        let agreed = until("both sides agree", PATIENCE, async || {
            let quiet = streams::quiet(&rig.store).await?;
            if quiet.debts + quiet.changes + quiet.walks + quiet.unloaded > 0 {
                return Ok(None);
            }
            Ok(rig.agree().await?.iter().all(|report| report.differ == 0).then_some(()))
        });
        let agreed = agreed.await;
        self.explain(agreed)
    }

    /// A failure with what the processes said last; one that ended by itself is a failure too.
    pub fn explain<T>(&mut self, outcome: eyre::Result<T>) -> eyre::Result<T> {
        let tails: Vec<String> = self.services.iter().map(Service::tail).collect();
        match outcome {
            Err(error) => bail!("{error:#}\n{}", tails.join("\n")),
            Ok(value) => self.services.iter_mut().try_for_each(Service::prove_alive).map(|()| value),
        }
    }

    fn env(&self) -> Vec<(&str, &str)> {
        self.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}
