//! One connector in front of its dialect, with nothing of Tidemark between: what it is asked, and what really is there. Decides nothing.

use std::sync::Arc;

use eyre::{ensure, eyre};
use tidemark_boot::Config;
use tidemark_core::failure::Failure;
use tidemark_core::record::{Record, RemoteId, Value};
use tidemark_core::source::{Next, Position, SourceTraits};
use tidemark_crm::engine::{Connector, Engine};
use tidemark_crm::{Answer, Catalog, Crm, LookUp, PageRequest, ReadIds, WriteBatch, WriteItem, WriteKind, Written};
use tidemark_sandbox::{Sandbox, Weather};

use crate::rig::TOKEN;
use crate::vendor::{PEOPLE, Vendor};

/// More pages than any case needs: who goes on for ever ends here.
const PAGES_MAX: usize = 60;

/// What stands otherwise in a connector's file.
pub type Change = (&'static str, &'static str);

pub struct Bench {
    pub vendor: &'static Vendor,
    pub sandbox: Sandbox,
    pub crm: Arc<dyn Crm>,
    /// E-mail, name, phone.
    wanted: Vec<Option<String>>,
}

impl Bench {
    pub async fn open(vendor: &'static Vendor, changes: &[Change]) -> eyre::Result<Self> {
        let sandbox = vendor.sandbox(Weather { index_lag_ms: (0, 0), ..Weather::calm() }).await?;
        let text = format!("[database]\nurl = \"sqlite://orders.db\"\n{}", vendor.configuration(&sandbox.base_url(), ""));
        let env = [("CRM_TOKEN".to_owned(), TOKEN.to_owned())];
        let config = Config::parse(&text, "tidemark.toml", env.into_iter()).map_err(|errors| eyre!("{errors}"))?;
        let (spec, secrets) = config.connections.first().ok_or_else(|| eyre!("no connection"))?;
        let crm = match changes {
            [] => Catalog::default().connect(spec, secrets)?,
            changes => {
                let mut file = vendor.file.to_owned();
                for (stands, instead) in changes {
                    ensure!(file.contains(stands), "{} does not say {stands:?}", vendor.connector);
                    file = file.replace(stands, instead);
                }
                let connector = Connector::load(vendor.connector, "changed.toml", &file)?;
                Arc::new(Engine::connect(spec, secrets, connector)?)
            }
        };
        let wanted = [vendor.email, vendor.name, vendor.phone].map(|property| Some(property.mapped.to_owned()));
        Ok(Self { vendor, sandbox, crm, wanted: wanted.to_vec() })
    }

    /// Who works at the CRM by hand.
    pub fn hand(&self) -> tidemark_sandbox::Crm {
        self.sandbox.crm()
    }

    pub fn traits(&self) -> Result<SourceTraits, Failure> {
        self.crm.traits(self.vendor.object)
    }

    /// What is stamped from now on is stamped with this time, and what follows it.
    pub fn stamp_from(&self, at_ms: i64) -> eyre::Result<()> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
        let weather = self.hand().weather();
        self.hand().set_weather(Weather { clock_offset_ms: at_ms - i64::try_from(now)?, ..weather });
        Ok(())
    }

    /// The stamp of a record's present version.
    pub fn stamp(&self, id: &str) -> eyre::Result<i64> {
        let versions = self.hand().versions(PEOPLE, id)?;
        versions.last().map(|version| version.stamp_ms).ok_or_else(|| eyre!("{id} has no version"))
    }

    /// What the CRM keeps of a record's e-mail, name and phone.
    pub fn kept(&self, id: &str) -> eyre::Result<[String; 3]> {
        let all = self.hand().list(PEOPLE);
        let record = all.iter().find(|record| record.id == id).ok_or_else(|| eyre!("there is no {id}"))?;
        let kept = |name: &str| record.properties.get(name).cloned().unwrap_or_default();
        Ok([self.vendor.email, self.vendor.name, self.vendor.phone].map(|property| kept(property.kept)))
    }

    /// Records that live.
    pub fn count(&self) -> usize {
        let lives = |record: &&tidemark_sandbox::Snapshot| {
            !record.archived && record.properties.get("status").is_none_or(|status| status != "archived")
        };
        self.hand().list(PEOPLE).iter().filter(lives).count()
    }

    /// Meets what the connector needs first, as the worker does.
    pub async fn ready(&self) -> Result<(), Failure> {
        for _ in 0..4 {
            let Some(need) = self.crm.need(self.vendor.object) else { break };
            self.crm.meet(&need).await.result?;
        }
        Ok(())
    }

    async fn asked<T>(&self, ask: impl Future<Output = Answer<T>>) -> Result<T, Failure> {
        self.ready().await?;
        ask.await.result
    }

    /// How a page is asked for.
    pub fn asking<'a>(&'a self, (from, until): (i64, i64), rows_max: u16, position: Option<&'a Position>) -> PageRequest<'a> {
        let (object, external_key) = (self.vendor.object, self.vendor.external_key);
        PageRequest { object, properties: &self.wanted, external_key, from, until, position, rows_max }
    }

    /// One page; and where the next one begins.
    pub async fn page(
        &self,
        (from, until): (i64, i64),
        rows_max: u16,
        position: Option<&Position>,
    ) -> Result<(Vec<Record>, Next), Failure> {
        let page = self.asked(self.crm.read_page(&self.asking((from, until), rows_max, position))).await?;
        Ok((page.records, page.next))
    }

    /// A window to its end.
    pub async fn window(&self, window: (i64, i64), rows_max: u16) -> eyre::Result<Vec<Record>> {
        let (mut all, mut position) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let (records, next) = self.page(window, rows_max, position.as_ref()).await?;
            all.extend(records);
            match next {
                Next::Drained => return Ok(all),
                Next::More(more) => position = Some(more),
            }
        }
        Err(eyre!("a window does not end"))
    }

    /// How records are asked for.
    pub fn ids<'a>(&'a self, ids: &'a [RemoteId]) -> ReadIds<'a> {
        ReadIds { object: self.vendor.object, properties: &self.wanted, external_key: self.vendor.external_key, ids }
    }

    /// By their ids, in as many calls as that takes.
    pub async fn by_ids(&self, ids: &[RemoteId]) -> Result<Vec<Record>, Failure> {
        let mut found = Vec::new();
        for ids in ids.chunks(usize::from(self.traits()?.read_rows_max)) {
            found.extend(self.asked(self.crm.read_ids(&self.ids(ids))).await?);
        }
        Ok(found)
    }

    pub async fn archived(&self, ids: &[RemoteId]) -> Result<Vec<Record>, Failure> {
        let mut found = Vec::new();
        for ids in ids.chunks(usize::from(self.crm.archived_rows_max(self.vendor.object))) {
            found.extend(self.asked(self.crm.read_archived(&self.ids(ids))).await?);
        }
        Ok(found)
    }

    /// How records of these e-mails are looked for.
    pub fn looking<'a>(&'a self, values: &'a [String]) -> LookUp<'a> {
        let (object, property) = (self.vendor.object, self.vendor.email.mapped);
        let unique = self.crm.is_unique(object, property);
        LookUp { object, properties: &self.wanted, external_key: self.vendor.external_key, property, values, unique }
    }

    pub async fn look_up(&self, email: &str) -> Result<Vec<Record>, Failure> {
        self.asked(self.crm.look_up(&self.looking(&[email.to_owned()]))).await
    }

    pub fn batch<'a>(&self, kind: WriteKind<'a>, items: &'a [WriteItem]) -> WriteBatch<'a> {
        WriteBatch { object: self.vendor.object, kind, items }
    }

    pub async fn write(&self, kind: WriteKind<'_>, items: &[WriteItem]) -> Result<Vec<Result<Written, Failure>>, Failure> {
        self.asked(self.crm.write(&self.batch(kind, items))).await
    }

    /// Writes one; what refuses the call and what refuses the item are the same to the caller.
    pub async fn write_one(&self, kind: WriteKind<'_>, item: WriteItem) -> Result<Written, Failure> {
        let outcome = self.write(kind, std::slice::from_ref(&item)).await?.into_iter().next();
        outcome.unwrap_or_else(|| Err(Failure::new(tidemark_core::failure::Class::Malformed, "no outcome")))
    }

    /// An item with e-mail, name and phone; blank ones are left out.
    pub fn item(&self, id: Option<&str>, key: Option<&str>, texts: [Option<&str>; 3]) -> WriteItem {
        let named = self.wanted.iter().flatten().zip(texts);
        let fields: Vec<(String, Value)> = named
            .filter_map(|(name, text)| Some((name.clone(), Some(text?.to_owned()).filter(|text| !text.is_empty()))))
            .collect();
        WriteItem { trace: "t".into(), id: id.map(RemoteId::new), key: key.map(str::to_owned), fields }
    }
}
