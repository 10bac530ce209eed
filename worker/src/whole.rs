//! Reads every record of a stream, outside any window, for reports on whole sides. Waits out rough weather within reason; writes nothing.

use std::time::Duration;

use tidemark_core::backoff;
use tidemark_core::failure::{Class, Failure};
use tidemark_core::push::{Verdict, after_failure};
use tidemark_core::record::{Record, RemoteId};
use tidemark_core::source::{Next, Position};
use tidemark_core::window::millis;
use tidemark_core::{DAY_MS, Millis};
use tidemark_crm::PageRequest;
use tidemark_store::StoreError;

use crate::calls::{NoAnswer, Purpose};
use crate::poll::wanted;
use crate::{read, references};

/// A report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the CRM could not be read: {0}")]
    Crm(Failure),
    #[error("connection {0} is paused: resume it first")]
    Paused(String),
}

/// A call that goes on failing is given up after this many tries.
const ATTEMPTS_MAX: u32 = 8;
const WAIT_MAX_MS: Millis = 10_000;

/// Asks until there is an answer: a report that is made while the weather is rough waits it out, within reason.
pub(crate) async fn answered<T, F, A>(purpose: &Purpose<'_>, ask: F) -> Result<T, ReportError>
where
    F: Fn() -> A,
    A: Future<Output = Result<Result<T, NoAnswer>, StoreError>>,
{
    let spec = &purpose.stream.spec;
    let mut attempts = 0;
    loop {
        let failure = match ask().await? {
            Ok(answer) => return Ok(answer),
            Err(NoAnswer::Failed(failure)) => failure,
            Err(NoAnswer::Paused | NoAnswer::LeaseShort | NoAnswer::Stopping | NoAnswer::CutOff | NoAnswer::LaneSpent { .. }) => {
                return Err(ReportError::Paused(spec.connection.clone()));
            }
        };
        attempts += 1;
        let verdict = after_failure(&failure, attempts, 0, 0.5, &spec.retry);
        let passing = matches!(verdict, Verdict::RetryAt { .. } | Verdict::WaitForBudget { .. });
        if !passing || attempts > ATTEMPTS_MAX || failure.class == Class::DayBudget {
            return Err(ReportError::Crm(failure));
        }
        let floor = failure.wait.map_or(0, millis);
        let wait = backoff::delay(attempts, floor, rand::random(), &spec.retry).min(WAIT_MAX_MS);
        tokio::time::sleep(Duration::from_millis(wait.unsigned_abs())).await;
    }
}

/// Every record, page after page, with what it refers to.
pub(crate) struct EveryRecord<'a> {
    purpose: &'a Purpose<'a>,
    until: Millis,
    next: Option<Next>,
    /// How many calls its pages took, with those for what a list leaves out.
    pub(crate) calls: usize,
}

impl<'a> EveryRecord<'a> {
    pub(crate) fn of(purpose: &'a Purpose<'a>) -> Self {
        // A day ahead: nothing is too new for a report.
        Self { purpose, until: purpose.connection.crm_now(purpose.ctx.now()) + DAY_MS, next: None, calls: 0 }
    }

    /// The next page; `None` after the last.
    pub(crate) async fn page(&mut self) -> Result<Option<Vec<Record>>, ReportError> {
        let position: Option<Position> = match &self.next {
            None => None,
            Some(Next::More(position)) => Some(position.clone()),
            Some(Next::Drained) => return Ok(None),
        };
        let purpose = self.purpose;
        let (spec, crm) = (&purpose.stream.spec, &purpose.connection.crm);
        let properties = wanted(purpose.stream);
        let rows_max = crm.traits(&spec.object).map_err(ReportError::Crm)?.page_rows_max;
        let request = PageRequest {
            object: &spec.object,
            properties: &properties,
            external_key: spec.external_key.as_deref(),
            from: 0,
            until: self.until,
            position: position.as_ref(),
            rows_max,
            deletes: false,
            feed: None,
        };
        let ask = || purpose.call(crm.search_bucket(), usize::from(rows_max), crm.read_page(&request));
        let page = answered(purpose, ask).await?;
        self.next = Some(page.next);
        self.calls += 1;
        let (part, whole): (Vec<Record>, Vec<Record>) = page.records.into_iter().partition(Record::is_part);
        let mut records = with_references(purpose, whole).await?;
        records.extend(self.completed(&part).await?);
        Ok(Some(records))
    }

    /// The same records with what the list leaves out of them. Who is gone since is left out.
    async fn completed(&mut self, part: &[Record]) -> Result<Vec<Record>, ReportError> {
        let (purpose, object) = (self.purpose, &self.purpose.stream.spec.object);
        let batch = purpose.connection.crm.traits(object).map_err(ReportError::Crm)?.read_rows_max;
        let ids: Vec<RemoteId> = part.iter().map(|record| record.id.clone()).collect();
        let mut records = Vec::with_capacity(ids.len());
        for ids in ids.chunks(usize::from(batch).max(1)) {
            let found = answered(purpose, || read::by_ids(purpose, ids)).await?;
            records.extend(found.into_iter().filter(|record| ids.contains(&record.id)));
            self.calls += 1;
        }
        Ok(records)
    }
}

async fn with_references(purpose: &Purpose<'_>, records: Vec<Record>) -> Result<Vec<Record>, ReportError> {
    if records.is_empty() || purpose.stream.spec.reference_fields().next().is_none() {
        return Ok(records);
    }
    let fill = || async {
        let mut records = records.clone();
        Ok(references::fill(purpose, &mut records).await?.map(|()| records))
    };
    answered(purpose, fill).await
}
