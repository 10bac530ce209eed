//! Reads what was modified since the cursor: claim the stream, fix a window, fetch and apply its pages, finish or owe the rest.

use metrics::counter;
use tidemark_core::Millis;
use tidemark_core::bug::{Bug, planted};
use tidemark_core::crm_clock::Step;
use tidemark_core::failure::Failure;
use tidemark_core::push::{Verdict, after_failure};
use tidemark_core::source::{Next, Page, Position, SourceTraits};
use tidemark_core::sweep::EVERY_STAMP;
use tidemark_core::window::{Reader, millis, next_window, settled_start};
use tidemark_crm::PageRequest;
use tidemark_store::page::{WindowPage, apply_page};
use tidemark_store::rows::Mapped;
use tidemark_store::streams::{self, Fence, Stream};
use tidemark_store::windows::{self, OpenWindow};
use tidemark_store::{StoreError, acts, deliveries, sweeps, walk};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::calls::{Lane, NoAnswer, Purpose};
use crate::context::Context;
use crate::event::Event;
use crate::outcome::Outcome;
use crate::trial::{pause_connection, prove_account};
use crate::{references, schema};

/// Pages that may have arrived before they are applied.
const PAGES_AHEAD: usize = 5;
/// Records beyond which no further page joins a transaction.
const ROWS_TOGETHER_MAX: usize = 1_000;
/// Rows of one step of a walk.
const WALK_ROWS: u64 = 500;

/// How a poll ended.
enum Ended {
    Finished {
        fresh_at: Option<Millis>,
        pages: usize,
    },
    /// Its time is up, or we are stopping: the rest is owed. Fresh when only rows are left to compare.
    Yielded {
        fresh_at: Option<Millis>,
        pages: usize,
    },
    Failed(NoAnswer),
}

/// Polls one stream once.
pub(crate) async fn handle(ctx: &Context, mapped: &Mapped) -> Result<Outcome, StoreError> {
    let Some((fence, stream)) = streams::claim_poll(&ctx.store, mapped, &ctx.tuning.name, ctx.lease()).await? else {
        return Ok(Outcome::Skipped("nothing owed, another worker reads it, or another mapping is in force"));
    };
    let connection = ctx.connection(mapped)?;
    let attempt = u32::try_from(stream.poll_attempts).unwrap_or(0) + 1;
    let purpose = Purpose { ctx, connection, stream: mapped, word: "poll", attempt, fence: None, lane: Lane::Live };
    match poll(&purpose, fence, &stream).await {
        Ok(Ended::Finished { fresh_at, pages }) => {
            streams::finish_poll(&ctx.store, fence, fresh_at).await?;
            Ok(Outcome::Done { units: pages })
        }
        Ok(Ended::Yielded { fresh_at, pages }) => {
            streams::yield_poll(&ctx.store, fence, fresh_at).await?;
            Ok(Outcome::Done { units: pages })
        }
        Ok(Ended::Failed(no)) => settle_failure(&purpose, fence, no).await,
        Err(StoreError::LeaseLost { .. }) => Ok(Outcome::LeaseLost),
        Err(error) if error.is_contention() => {
            streams::yield_poll(&ctx.store, fence, None).await?;
            Ok(Outcome::Deferred("the database was busy".into()))
        }
        Err(error) => {
            // The lease would hold the stream for its whole length; the fault is ours, so give it back with a pause.
            let failure = Failure::new(tidemark_core::failure::Class::Retry, error.words());
            let at = ctx.store.now().await? + tidemark_core::backoff::delay(attempt, 0, ctx.dice(), &mapped.spec.retry);
            streams::fail_poll(&ctx.store, fence, at, &failure).await?;
            Err(error)
        }
    }
}

async fn settle_failure(purpose: &Purpose<'_>, fence: Fence, no: NoAnswer) -> Result<Outcome, StoreError> {
    let ctx = purpose.ctx;
    let NoAnswer::Failed(failure) = no else {
        streams::yield_poll(&ctx.store, fence, None).await?;
        return Ok(Outcome::Skipped("the connection is paused, or the worker stops"));
    };
    let now = ctx.store.now().await?;
    let spec = &purpose.stream.spec;
    let retry_at = match after_failure(&failure, purpose.attempt, now, ctx.dice(), &spec.retry) {
        Verdict::RetryAt { at } | Verdict::WaitForBudget { until: at } => at,
        Verdict::PauseConnection => {
            pause_connection(ctx, purpose.connection, &failure).await?;
            now
        }
        // What would park a push leaves a poll failing, slowly and visibly: nothing is lost, and it heals by itself when the cause is gone.
        Verdict::ReadFirst | Verdict::Parked { .. } => now + millis(spec.retry.cap),
    };
    streams::fail_poll(&ctx.store, fence, retry_at, &failure).await?;
    ctx.tell(Event::Failed { stream: spec.name.clone(), what: "poll", cause: failure.message.clone() });
    Ok(Outcome::Deferred(failure.message))
}

async fn poll(purpose: &Purpose<'_>, fence: Fence, stream: &Stream) -> Result<Ended, StoreError> {
    if !purpose.stream.spec.is_one_way()
        && let Err(no) = prove_account(purpose).await?
    {
        return Ok(Ended::Failed(no));
    }
    let spec = &purpose.stream.spec;
    let traits = match purpose.connection.crm.traits(&spec.object) {
        Ok(traits) => traits,
        Err(failure) => return Ok(Ended::Failed(NoAnswer::Failed(failure))),
    };
    if let Some(step) = purpose.connection.take_step().filter(|step| step.by < 0) {
        go_back(purpose, step).await?;
        return Ok(Ended::Yielded { fresh_at: None, pages: 0 });
    }
    let until = purpose.ctx.slice_end();
    let mut reading = Reading { purpose, fence, traits, until, pages: 0, feed: stream.feed.clone() };
    let started = purpose.ctx.store.now().await?;
    if spec.is_one_way() {
        return compare_rows(&reading, stream, started).await;
    }
    match reading.read(Reader::Fast, stream.fast_until, stream).await? {
        Read::Drained => {}
        Read::TimeUp => return Ok(Ended::Yielded { fresh_at: None, pages: reading.pages }),
        Read::Failed(no) => return Ok(Ended::Failed(no)),
    }
    let fresh_at = Some(started - Reader::Fast.lag(&spec.poll));
    // Without stamps the fast reader has read everything already, but who was deleted.
    let told = reading.traits.stamped || purpose.connection.crm.tells_deletes(&spec.object);
    let settled = told && stream.loaded_at.is_some() && !planted(Bug::NoSettledReader);
    if settled && started >= stream.settled_due_at {
        match reading.read(Reader::Settled, stream.settled_until, stream).await? {
            Read::Drained => {
                streams::set_settled_due(&purpose.ctx.store, fence, started + millis(spec.poll.settled_every)).await?;
            }
            Read::TimeUp => return Ok(Ended::Yielded { fresh_at, pages: reading.pages }),
            Read::Failed(no) => return Ok(Ended::Failed(no)),
        }
    }
    if (stream.walk_owed || stream.loaded_at.is_none()) && !walk_rows(&reading).await? {
        return Ok(Ended::Yielded { fresh_at, pages: reading.pages });
    }
    Ok(Ended::Finished { fresh_at, pages: reading.pages })
}

/// The turn of a one-way stream: nothing is read, and rows are compared with what was told where that is owed, the first time with nothing.
async fn compare_rows(reading: &Reading<'_>, stream: &Stream, started: Millis) -> Result<Ended, StoreError> {
    if (stream.walk_owed || stream.loaded_at.is_none()) && !walk_rows(reading).await? {
        return Ok(Ended::Yielded { fresh_at: None, pages: 0 });
    }
    deliveries::end_beginning(&reading.purpose.ctx.store, reading.fence).await?;
    Ok(Ended::Finished { fresh_at: Some(started), pages: 0 })
}

/// The CRM's clock was set back: stamps come again that the cursors have passed. Every stream of the connection reads on from where the clock was last known to be right.
async fn go_back(purpose: &Purpose<'_>, step: Step) -> Result<(), StoreError> {
    let (ctx, connection) = (purpose.ctx, &purpose.connection.spec.name);
    streams::step_back(&ctx.store, connection, step.doubt_from).await?;
    let reason = format!("the CRM's clock was set back by {} ms: everything stamped since is read again", -step.by);
    acts::record(&ctx.store, "tidemark", "go back", connection, Some(&reason)).await
}

/// Walks the rows; false when time was up before the end.
async fn walk_rows(reading: &Reading<'_>) -> Result<bool, StoreError> {
    if planted(Bug::NoWalk) {
        return Ok(true);
    }
    loop {
        let walked = walk::step(&reading.purpose.ctx.store, reading.purpose.stream, reading.fence, WALK_ROWS).await?;
        if walked.done {
            return Ok(true);
        }
        if reading.is_over() {
            return Ok(false);
        }
    }
}

/// How a window was left.
pub(crate) enum Read {
    Drained,
    TimeUp,
    Failed(NoAnswer),
}

/// One claim's reading of windows; polls and sweeps read alike.
pub(crate) struct Reading<'a> {
    pub(crate) purpose: &'a Purpose<'a>,
    pub(crate) fence: Fence,
    pub(crate) traits: SourceTraits,
    /// End of the slice, on this process's clock.
    pub(crate) until: Millis,
    pub(crate) pages: usize,
    /// Where the CRM's own feed of changes was left.
    pub(crate) feed: Option<String>,
}

/// A page with the moment it was asked for, database clock.
struct Fetched {
    page: Page,
    asked_at: Millis,
}

impl Reading<'_> {
    pub(crate) fn is_over(&self) -> bool {
        self.purpose.ctx.now() >= self.until || self.purpose.ctx.shutdown.is_cancelled()
    }

    /// Reads one window of one reader to its end: the one it left open, else the next.
    async fn read(&mut self, reader: Reader, cursor: Option<Millis>, stream: &Stream) -> Result<Read, StoreError> {
        let ctx = self.purpose.ctx;
        let spec = &self.purpose.stream.spec;
        let digest = spec.digest();
        let window = match windows::resume(&ctx.store, stream.id, reader, &digest).await? {
            Some(window) => window,
            None => {
                let (overlap, precision) = (millis(spec.poll.overlap), Millis::from(self.traits.precision_ms));
                let crm_now = self.purpose.connection.crm_now(ctx.now());
                let Some(window) = next_window(cursor, crm_now, reader.lag(&spec.poll), overlap, precision) else {
                    return Ok(Read::Drained);
                };
                if reader == Reader::Fast && cursor.is_none() {
                    windows::set_settled_start(&ctx.store, self.fence, settled_start(window.until, &spec.poll)).await?;
                }
                windows::open(&ctx.store, self.fence, reader, window, &digest).await?
            }
        };
        self.read_pages(window).await
    }

    /// Pages are fetched while earlier ones are applied. What has arrived meanwhile is applied together, up to a bound that keeps the transaction short.
    pub(crate) async fn read_pages(&mut self, mut window: OpenWindow) -> Result<Read, StoreError> {
        // A sweep stops often, and what was fetched for nothing was paid for.
        let ahead = if window.reader == Reader::Sweep { 1 } else { PAGES_AHEAD };
        let (sender, receiver) = mpsc::channel(ahead);
        let stop = CancellationToken::new();
        let reading = &*self;
        let (start, fixed) = (window.position.clone(), window.clone());
        let (fetched, applied) =
            tokio::join!(reading.fetch_ahead(&fixed, start, sender, &stop), reading.apply_all(&mut window, receiver, &stop));
        let (fetched, applied) = (fetched?, applied?);
        let (pages, drained) = match applied {
            Ok(applied) => applied,
            Err(no) => return Ok(Read::Failed(no)),
        };
        self.pages += pages;
        if let Some(NoAnswer::Failed(Failure { anew: true, .. })) = &fetched {
            windows::begin_again(&self.purpose.ctx.store, self.fence, window.id).await?;
        }
        match fetched {
            Some(no) => Ok(Read::Failed(no)),
            None if drained => Ok(Read::Drained),
            None => Ok(Read::TimeUp),
        }
    }

    /// Fetches page after page until the window is drained, a call fails, or nobody wants more.
    async fn fetch_ahead(
        &self,
        window: &OpenWindow,
        mut position: Option<Position>,
        pages: mpsc::Sender<Fetched>,
        stop: &CancellationToken,
    ) -> Result<Option<NoAnswer>, StoreError> {
        while !stop.is_cancelled() {
            let fetched = match self.fetch(window, position.as_ref()).await? {
                Ok(fetched) => fetched,
                Err(no) => return Ok(Some(no)),
            };
            let next = fetched.page.next.clone();
            if pages.send(fetched).await.is_err() {
                return Ok(None);
            }
            match next {
                Next::More(next) => position = Some(next),
                Next::Drained => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Applies what arrives, unless it is not what was mapped. Returns how many pages, and whether the window is drained.
    async fn apply_all(
        &self,
        window: &mut OpenWindow,
        mut pages: mpsc::Receiver<Fetched>,
        stop: &CancellationToken,
    ) -> Result<Result<(usize, bool), NoAnswer>, StoreError> {
        // However this ends, the fetching ends with it.
        let _stop = stop.clone().drop_guard();
        let (mut count, mut rows_changed) = (0, 0);
        while let Some(mut batch) = pages.recv().await {
            let mut together = 1;
            while batch.page.records.len() < ROWS_TOGETHER_MAX
                && matches!(batch.page.next, Next::More(_))
                && let Ok(more) = pages.try_recv()
            {
                // The batch is as old as its oldest page.
                batch.page.records.extend(more.page.records);
                batch.page.next = more.page.next;
                batch.page.feed = more.page.feed.or(batch.page.feed);
                together += 1;
            }
            let position = match &batch.page.next {
                Next::More(position) => Some(position.clone()),
                Next::Drained => None,
            };
            match schema::prove(self.purpose, &batch.page.records).await? {
                Ok(true) => {}
                Ok(false) => return Ok(Ok((count, false))),
                Err(no) => return Ok(Err(no)),
            }
            let records = batch.page.records.len();
            let counts = self.apply(window, batch, position.as_ref(), together).await?;
            count += together;
            window.pages += i64::try_from(together).unwrap_or(1);
            window.records += counts.records;
            rows_changed += counts.rows_changed;
            let stream = self.purpose.stream.spec.name.clone();
            counter!("tidemark_records_read_total", "stream" => stream.clone()).increment(records as u64);
            counter!("tidemark_rows_changed_total", "stream" => stream.clone()).increment(counts.rows_changed.unsigned_abs());
            if position.is_none() {
                let event = Event::WindowCompleted {
                    stream,
                    reader: window.reader,
                    records: window.records,
                    rows_changed,
                    pages: window.pages,
                };
                self.purpose.ctx.tell(event);
                return Ok(Ok((count, true)));
            }
            self.purpose.ctx.tell(Event::PageApplied { stream, reader: window.reader, records: window.records });
            window.position = position;
            if self.is_over() || self.gives_way(window).await? {
                return Ok(Ok((count, false)));
            }
        }
        Ok(Ok((count, false)))
    }

    /// A sweep lets a poll that is owed go first: freshness is worth more than completeness a minute sooner.
    async fn gives_way(&self, window: &OpenWindow) -> Result<bool, StoreError> {
        Ok(window.reader == Reader::Sweep && sweeps::gives_way(&self.purpose.ctx.store, self.purpose.stream.id).await?)
    }

    async fn fetch(&self, window: &OpenWindow, position: Option<&Position>) -> Result<Result<Fetched, NoAnswer>, StoreError> {
        let spec = &self.purpose.stream.spec;
        let properties = wanted(self.purpose.stream);
        let asked = if window.reader == Reader::Sweep { EVERY_STAMP } else { window.window };
        let request = PageRequest {
            object: &spec.object,
            properties: &properties,
            external_key: spec.external_key.as_deref(),
            from: asked.from,
            until: asked.until,
            position,
            rows_max: spec.poll.page_rows_max.min(self.traits.page_rows_max),
            // Calls are counted: a delete may be seen a few minutes later than an edit.
            deletes: window.reader == Reader::Settled,
            feed: self.feed.as_deref(),
        };
        let asked_at = self.purpose.ctx.store.now().await?;
        let crm = &self.purpose.connection.crm;
        let page = self.purpose.call(crm.search_bucket(), usize::from(request.rows_max), crm.read_page(&request)).await?;
        let mut page = match page {
            Ok(page) => page,
            Err(no) => return Ok(Err(no)),
        };
        match references::fill(self.purpose, &mut page.records).await? {
            Ok(()) => Ok(Ok(Fetched { page, asked_at })),
            Err(no) => Ok(Err(no)),
        }
    }

    async fn apply(
        &self,
        window: &OpenWindow,
        fetched: Fetched,
        next: Option<&Position>,
        pages: usize,
    ) -> Result<windows::PageCounts, StoreError> {
        let ctx = self.purpose.ctx;
        let precision = Millis::from(self.traits.precision_ms);
        let commit_lag = millis(self.traits.commit_lag.min(self.purpose.stream.spec.poll.settled_lag));
        let page = WindowPage {
            fence: self.fence,
            window,
            pages,
            records: fetched.page.records,
            next,
            feed: fetched.page.feed.as_deref(),
            asked_at: fetched.asked_at,
            commit_lag,
            precision,
            clock: ctx.clock_of(self.purpose.connection, self.purpose.stream, precision).await?,
            crm_ahead: self.purpose.connection.crm_now(ctx.now()) - ctx.now(),
            // Asked when the answer is there: the CRM stamps nothing later than its time by then.
            orders_until: self.purpose.connection.orders_until(ctx.now(), commit_lag),
            read_delay: READ_DELAY_MS,
        };
        apply_page(&ctx.store, self.purpose.stream, &ctx.parents(self.purpose.stream), page).await
    }
}

/// An owed read waits this long: whatever made it doubtful (a push under way, a row in somebody's hands) is mostly over then.
pub(crate) const READ_DELAY_MS: Millis = 500;

/// Which property goes to which place of a record; references are read by calls of their own.
pub(crate) fn wanted(mapped: &Mapped) -> Vec<Option<String>> {
    mapped.spec.fields.iter().map(|field| field.references.is_none().then(|| field.property.clone())).collect()
}
