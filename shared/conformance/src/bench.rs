//! One connector in front of a CRM, with nothing of Tidemark between: what it is asked, what is made for a case, and that it goes again. Decides nothing about what must hold.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use eyre::{WrapErr, ensure, eyre};
use serde_json::json;
use tidemark_core::failure::{Class, Failure};
use tidemark_core::record::{Record, RemoteId, Value};
use tidemark_core::source::{Bucket, Next, Position, SourceTraits};
use tidemark_crm::{Answer, Crm, LookUp, PageRequest, Property, ReadIds, WriteBatch, WriteItem, WriteKind, Written};
use tokio::time::Instant;

use crate::likely::Asked;
use crate::pace::Pace;
use crate::practice::Practice;
use crate::subject::Subject;

/// More pages than any case needs in front of a CRM that others use, too: who goes on for ever ends here.
const PAGES_MAX: usize = 500;
/// How often a call is made again that came too fast.
const PATIENCE: usize = 5;
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How soon and how late a record that does not show yet is looked for again.
const LOOKS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];

pub(crate) const MAKING: Asked = Asked { places: &["create"], what: "making a record" };
pub(crate) const CHANGING: Asked = Asked { places: &["update"], what: "changing a record" };
const REMOVING: Asked = Asked { places: &["archive"], what: "archiving a record" };
const PAGING: Asked = Asked { places: &["read"], what: "reading a window" };
const BY_ID: Asked = Asked { places: &["read_ids"], what: "reading by id" };
const LOOKING: Asked = Asked { places: &["look_up"], what: "looking up" };

pub struct Bench {
    pub crm: Arc<dyn Crm>,
    pub subject: Arc<Subject>,
    practice: Option<Practice>,
    /// Stands in everything that is made.
    mark: String,
    made: Mutex<Vec<RemoteId>>,
    left: Mutex<Vec<RemoteId>>,
    /// Where the CRM's feed of changes was left.
    feed: Mutex<Option<String>>,
    pace: Pace,
}

impl Bench {
    /// `mark` is how whatever is made here is known.
    pub fn new(crm: Arc<dyn Crm>, subject: Arc<Subject>, practice: Option<Practice>, mark: String) -> Self {
        let pace = Pace::of(&crm.limits());
        Self { crm, subject, practice, mark, made: Mutex::default(), left: Mutex::default(), feed: Mutex::default(), pace }
    }

    pub fn practice(&self) -> Option<&Practice> {
        self.practice.as_ref()
    }

    /// What was made and could not be taken away.
    pub fn left(&self) -> Vec<RemoteId> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    pub(crate) fn traits(&self) -> Result<SourceTraits, Failure> {
        self.crm.traits(&self.subject.object)
    }

    pub(crate) fn email(&self, who: &str) -> String {
        format!("{who}-{}@{}", self.mark, self.subject.domain)
    }

    pub(crate) fn name(&self, who: &str) -> String {
        format!("{who} {}", self.mark)
    }

    /// E-mail, name, phone.
    pub(crate) fn wanted(&self) -> [Option<String>; 3] {
        [&self.subject.email, &self.subject.name, &self.subject.phone].map(|name| Some(name.clone()))
    }

    // ---- asking

    /// Meets what the connector needs first, as the worker does.
    pub(crate) async fn ready(&self) -> Result<(), Failure> {
        for _ in 0..4 {
            let Some(need) = self.crm.need(&self.subject.object) else { break };
            self.turn(Bucket::General).await;
            self.crm.meet(&need).await.result?;
        }
        Ok(())
    }

    /// Waits until the CRM's budget has room. A practice CRM has none that counts.
    async fn turn(&self, bucket: Bucket) {
        if self.practice.is_none() {
            self.pace.turn(bucket).await;
        }
    }

    /// In front of a CRM that others use a call that came too fast is made again; a practice CRM says nothing that was not meant.
    async fn asked<T, F: Future<Output = Answer<T>>>(&self, bucket: Bucket, ask: impl Fn() -> F) -> Result<T, Failure> {
        for _ in 0..PATIENCE {
            self.ready().await?;
            self.turn(bucket).await;
            match ask().await.result {
                Err(failure) if self.practice.is_none() && failure.class == Class::Throttled => {
                    tokio::time::sleep(failure.wait.unwrap_or(LOOKS[0]).min(WAIT_MAX)).await;
                }
                result => return result,
            }
        }
        self.ready().await?;
        ask().await.result
    }

    /// How a page is asked for.
    pub(crate) fn asking<'a>(
        &'a self,
        wanted: &'a [Option<String>],
        (from, until): (i64, i64),
        rows_max: u16,
        position: Option<&'a Position>,
    ) -> PageRequest<'a> {
        let (object, external_key) = (self.subject.object.as_str(), self.subject.external_key.as_deref());
        PageRequest { object, properties: wanted, external_key, from, until, position, rows_max, deletes: false, feed: None }
    }

    /// One page; and where the next one begins.
    pub async fn page(
        &self,
        window: (i64, i64),
        rows_max: u16,
        position: Option<&Position>,
    ) -> Result<(Vec<Record>, Next), Failure> {
        self.page_with(window, rows_max, position, false).await
    }

    async fn page_with(
        &self,
        window: (i64, i64),
        rows_max: u16,
        position: Option<&Position>,
        deletes: bool,
    ) -> Result<(Vec<Record>, Next), Failure> {
        let (wanted, feed) = (self.wanted(), self.feed.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let request = PageRequest { deletes, feed: feed.as_deref(), ..self.asking(&wanted, window, rows_max, position) };
        let page = self.asked(self.crm.search_bucket(), || self.crm.read_page(&request)).await?;
        if let Some(feed) = page.feed {
            *self.feed.lock().unwrap_or_else(PoisonError::into_inner) = Some(feed);
        }
        Ok((page.records, page.next))
    }

    /// A window to its end.
    pub(crate) async fn window(&self, window: (i64, i64), rows_max: u16) -> eyre::Result<Vec<Record>> {
        self.window_with(window, rows_max, false).await
    }

    /// A window, and what was deleted in it.
    pub(crate) async fn window_and_deletes(&self, window: (i64, i64)) -> eyre::Result<Vec<Record>> {
        self.window_with(window, 1, true).await
    }

    async fn window_with(&self, window: (i64, i64), rows_max: u16, deletes: bool) -> eyre::Result<Vec<Record>> {
        let (mut all, mut position) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let (records, next) = self.page_with(window, rows_max, position.as_ref(), deletes).await.wrap_err(PAGING)?;
            all.extend(records);
            match next {
                Next::Drained => return Ok(all),
                Next::More(more) => position = Some(more),
            }
        }
        Err(eyre!("a window does not end"))
    }

    /// How records are asked for.
    pub(crate) fn ids<'a>(&'a self, wanted: &'a [Option<String>], ids: &'a [RemoteId]) -> ReadIds<'a> {
        let (object, external_key) = (self.subject.object.as_str(), self.subject.external_key.as_deref());
        ReadIds { object, properties: wanted, external_key, ids }
    }

    /// By their ids, in as many calls as that takes.
    pub(crate) async fn by_ids(&self, ids: &[RemoteId]) -> eyre::Result<Vec<Record>> {
        let (wanted, mut found) = (self.wanted(), Vec::new());
        for ids in ids.chunks(usize::from(self.traits()?.read_rows_max)) {
            let request = self.ids(&wanted, ids);
            found.extend(self.asked(Bucket::General, || self.crm.read_ids(&request)).await.wrap_err(BY_ID)?);
        }
        Ok(found)
    }

    /// Other properties than usual, of so few that one call asks for them.
    pub(crate) async fn by_ids_with(&self, wanted: &[Option<String>], ids: &[RemoteId]) -> Result<Vec<Record>, Failure> {
        let request = self.ids(wanted, ids);
        self.asked(Bucket::General, || self.crm.read_ids(&request)).await
    }

    /// What the CRM says of the object's properties; `None` where it says nothing.
    pub(crate) async fn described(&self) -> Result<Option<Vec<Property>>, Failure> {
        if !self.crm.can_describe(&self.subject.object) {
            return Ok(None);
        }
        self.asked(Bucket::General, || self.crm.describe(&self.subject.object)).await.map(Some)
    }

    pub(crate) async fn archived(&self, ids: &[RemoteId]) -> Result<Vec<Record>, Failure> {
        let (wanted, mut found) = (self.wanted(), Vec::new());
        for ids in ids.chunks(usize::from(self.crm.archived_rows_max(&self.subject.object))) {
            let request = self.ids(&wanted, ids);
            found.extend(self.asked(Bucket::General, || self.crm.read_archived(&request)).await?);
        }
        Ok(found)
    }

    /// How records of these e-mails are looked for.
    pub(crate) fn looking<'a>(&'a self, wanted: &'a [Option<String>], values: &'a [String]) -> LookUp<'a> {
        let Subject { object, email, external_key, .. } = &*self.subject;
        let unique = self.crm.is_unique(object, email);
        LookUp { object, properties: wanted, external_key: external_key.as_deref(), property: email, values, unique }
    }

    pub(crate) async fn look_up(&self, email: &str) -> eyre::Result<Vec<Record>> {
        let (wanted, values) = (self.wanted(), [email.to_owned()]);
        let request = self.looking(&wanted, &values);
        let bucket = if request.unique { Bucket::General } else { self.crm.search_bucket() };
        self.asked(bucket, || self.crm.look_up(&request)).await.wrap_err(LOOKING)
    }

    /// By its e-mail, once the CRM's index shows it.
    pub(crate) async fn found(&self, email: &str) -> eyre::Result<Vec<Record>> {
        let until = Instant::now() + self.traits()?.commit_lag.max(LOOKS[1]);
        loop {
            let found = self.look_up(email).await?;
            if !found.is_empty() || self.practice.is_some() || Instant::now() >= until {
                return Ok(found);
            }
            tokio::time::sleep(LOOKS[1]).await;
        }
    }

    // ---- making

    /// An item with e-mail, name and phone; those that are not given are left out, and blank ones clear.
    pub(crate) fn item(&self, id: Option<&RemoteId>, key: Option<&str>, texts: [Option<&str>; 3]) -> WriteItem {
        let named = self.wanted().into_iter().flatten().zip(texts);
        let given = |(name, text): (String, Option<&str>)| Some((name, Some(text?.to_owned()).filter(|text| !text.is_empty())));
        let mut fields: Vec<(String, Value)> = named.filter_map(given).collect();
        if id.is_none() {
            fields.extend(self.subject.with.iter().map(|(name, text)| (name.clone(), Some(text.clone()))));
        }
        WriteItem { trace: "t".into(), id: id.cloned(), key: key.map(str::to_owned), version: None, fields }
    }

    pub(crate) fn batch<'a>(&'a self, kind: WriteKind<'a>, items: &'a [WriteItem]) -> WriteBatch<'a> {
        WriteBatch { object: &self.subject.object, kind, items }
    }

    /// Whatever is made is remembered, and goes again.
    pub(crate) async fn write(&self, kind: WriteKind<'_>, items: &[WriteItem]) -> Result<Vec<Result<Written, Failure>>, Failure> {
        let batch = WriteBatch { object: &self.subject.object, kind, items };
        let outcomes = self.asked(Bucket::General, || self.crm.write(&batch)).await?;
        if matches!(kind, WriteKind::Create | WriteKind::Upsert { .. }) {
            outcomes.iter().flatten().for_each(|written| self.remember(written.id.clone()));
        }
        Ok(outcomes)
    }

    pub(crate) fn remember(&self, id: RemoteId) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if !made.contains(&id) {
            made.push(id);
        }
    }

    /// Writes one; what refuses the call and what refuses the item are the same to the caller.
    pub(crate) async fn write_one(&self, kind: WriteKind<'_>, item: WriteItem) -> Result<Written, Failure> {
        let outcome = self.write(kind, std::slice::from_ref(&item)).await?.into_iter().next();
        outcome.unwrap_or_else(|| Err(Failure::new(Class::Malformed, "no outcome")))
    }

    /// Somebody new, of that name.
    pub(crate) async fn make(&self, who: &str) -> eyre::Result<RemoteId> {
        self.make_with(&self.email(who), &self.name(who)).await
    }

    pub(crate) async fn make_with(&self, email: &str, name: &str) -> eyre::Result<RemoteId> {
        let item = self.item(None, None, [Some(email), Some(name), None]);
        Ok(self.write_one(WriteKind::Create, item).await.wrap_err(MAKING)?.id)
    }

    pub(crate) async fn make_each<const N: usize>(&self, whos: [&str; N]) -> eyre::Result<[RemoteId; N]> {
        let mut made: [Option<RemoteId>; N] = [const { None }; N];
        for (place, who) in made.iter_mut().zip(whos) {
            *place = Some(self.make(who).await?);
        }
        Ok(made.map(|id| id.unwrap_or_else(|| RemoteId(String::new()))))
    }

    pub(crate) async fn change(&self, id: &RemoteId, texts: [Option<&str>; 3]) -> eyre::Result<Written> {
        self.write_one(WriteKind::Update, self.item(Some(id), None, texts)).await.wrap_err(CHANGING)
    }

    pub(crate) async fn archive(&self, id: &RemoteId) -> eyre::Result<()> {
        self.write_one(WriteKind::Archive, self.item(Some(id), None, [None; 3])).await.wrap_err(REMOVING)?;
        Ok(())
    }

    // ---- time

    /// What is stamped from now on is stamped so many steps after the first, where the clock can be set; where not, one step passes.
    pub(crate) async fn moment(&self, at: usize) -> eyre::Result<()> {
        let step = i64::from(self.traits()?.precision_ms).max(1_000);
        match &self.practice {
            Some(practice) => set_clock(practice, BASE + step * i64::try_from(at)? + INSIDE).await,
            None if at == 0 => Ok(()),
            None => {
                tokio::time::sleep(Duration::from_millis(u64::from(self.traits()?.precision_ms)) + Duration::from_millis(50))
                    .await;
                Ok(())
            }
        }
    }

    /// A good while passes, so that nothing new falls into the moments before.
    pub(crate) async fn later(&self) -> eyre::Result<()> {
        self.moment(600).await
    }

    /// The stamp of a record's present version, by the CRM's own word where it gives it.
    pub(crate) async fn stamp(&self, id: &RemoteId) -> eyre::Result<i64> {
        if let Some(practice) = &self.practice {
            return practice.stamp(id.as_str()).await;
        }
        let found = self.by_ids(std::slice::from_ref(id)).await?;
        let stamp = found.first().ok_or_else(|| eyre!("a record that was made is not read by its id"))?.modified;
        stamp.ok_or_else(|| eyre!("a record carries no stamp"))
    }

    pub(crate) async fn stamps(&self, ids: &[RemoteId]) -> eyre::Result<Vec<i64>> {
        let mut stamps = Vec::with_capacity(ids.len());
        for id in ids {
            stamps.push(self.stamp(id).await?);
        }
        Ok(stamps)
    }

    /// Waits until pages show these records, as long as the connector declares that it may take.
    pub(crate) async fn shown(&self, ids: &[RemoteId], window: (i64, i64)) -> eyre::Result<()> {
        let until = Instant::now() + self.traits()?.commit_lag.max(LOOKS[1]);
        let mut pause = LOOKS[0];
        loop {
            let found = self.window(window, 100).await?;
            let missing = ids.iter().filter(|id| !found.iter().any(|record| record.id == **id)).count();
            if missing == 0 || self.practice.is_some() {
                // A practice CRM that is calm shows everything at once, and the case says what is missing.
                return Ok(());
            }
            let lag = self.traits()?.commit_lag.as_secs();
            ensure!(
                Instant::now() < until,
                "{missing} of {} records show in no page within {lag} s, the declared lag",
                ids.len()
            );
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOKS[1]);
        }
    }

    // ---- what is left

    /// How many records live that this bench made; `None` where only the connector could say.
    pub(crate) async fn living(&self) -> eyre::Result<Option<usize>> {
        match &self.practice {
            Some(practice) => Ok(Some(practice.living(&self.mark).await?.len())),
            None => Ok(None),
        }
    }

    /// Takes away what was made. What a practice CRM made without telling is known by its mark.
    pub async fn clear(&self) {
        let made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        for id in made {
            // Twice: what a case did to the credentials or to the next answer is over with the first.
            if !self.is_gone(&id).await && !self.is_gone(&id).await {
                self.left.lock().unwrap_or_else(PoisonError::into_inner).push(id);
            }
        }
        let Some(practice) = &self.practice else { return };
        let unheard = practice.living(&self.mark).await.unwrap_or_default().into_iter().map(|record| record.id);
        for id in unheard.chain(self.left().into_iter().map(|id| id.0)) {
            if practice.delete(&id).await.is_ok() {
                self.left.lock().unwrap_or_else(PoisonError::into_inner).retain(|left| left.as_str() != id);
            }
        }
    }

    async fn is_gone(&self, id: &RemoteId) -> bool {
        match self.write_one(WriteKind::Archive, self.item(Some(id), None, [None; 3])).await {
            Ok(_) => true,
            Err(failure) => failure.class == Class::Gone,
        }
    }
}

/// A while ago, in the middle of a second.
pub(crate) const BASE: i64 = 1_772_366_400_000;
pub(crate) const INSIDE: i64 = 400;

/// What is stamped from now on is stamped with this time, and what follows it.
pub(crate) async fn set_clock(practice: &Practice, at_ms: i64) -> eyre::Result<()> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
    practice.weather(json!({ "clock_offset_ms": at_ms - i64::try_from(now)? })).await
}
