//! Compares both sides of a stream, record by record and field by field, through the mapping. Changes nothing.
//!
//! The pages come from an index that may be late, so whatever seems to differ is read again: the record by its id, the row by its key. Only what still differs then
//! is reported.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use tidemark_core::agree::{Difference, Standing, compare, lone_record, lone_row};
use tidemark_core::failure::Failure;
use tidemark_core::page::KnownLink;
use tidemark_core::record::{Record, RemoteId, Row, RowKey};
use tidemark_core::source::{Next, Position};
use tidemark_crm::PageRequest;
use tidemark_store::debts::{self, Kind};
use tidemark_store::rows::{self, Mapped};
use tidemark_store::{StoreError, known, links};

use crate::calls::{Lane, NoAnswer, Purpose, prove_account};
use crate::context::Context;
use crate::poll::wanted;
use crate::{read, references};

/// How many differences a report lists; the counts go on.
const LISTED_MAX: usize = 1_000;
const WALK_ROWS: u64 = 500;

/// One stream's comparison.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StreamReport {
    pub stream: String,
    /// Linked pairs that were compared.
    pub pairs: usize,
    /// Fields that agree.
    pub agree: usize,
    /// Fields and lone things that are decided to differ.
    pub decided: usize,
    /// Fields and lone things that differ.
    pub differ: usize,
    /// Why things are decided to differ, with how many.
    pub decided_reasons: HashMap<String, usize>,
    pub differences: Vec<Difference>,
}

/// The comparison could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AgreeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the CRM could not be read: {0}")]
    Crm(Failure),
    #[error("connection {0} is paused: resume it to compare")]
    Paused(String),
}

impl From<NoAnswer> for AgreeError {
    fn from(no: NoAnswer) -> Self {
        match no {
            NoAnswer::Failed(failure) => Self::Crm(failure),
            NoAnswer::Paused | NoAnswer::LeaseShort | NoAnswer::Stopping | NoAnswer::CutOff | NoAnswer::LaneSpent { .. } => {
                Self::Paused(String::new())
            }
        }
    }
}

/// Compares one stream.
pub async fn compare_stream(ctx: &Context, mapped: &Mapped) -> Result<StreamReport, AgreeError> {
    let connection = ctx.connection(mapped)?;
    let purpose = Purpose { ctx, connection, stream: mapped, word: "agree", attempt: 1, fence: None, lane: Lane::Live };
    let mut comparing = Comparing {
        purpose,
        report: StreamReport { stream: mapped.spec.name.clone(), ..StreamReport::default() },
        seen: HashSet::new(),
    };
    answered(&comparing.purpose, || prove_account(&comparing.purpose)).await?;
    comparing.remote().await?;
    comparing.local().await?;
    Ok(comparing.report)
}

/// Asks until there is an answer: a comparison made while the weather is rough waits it out, within reason.
async fn answered<T, F, A>(purpose: &Purpose<'_>, ask: F) -> Result<T, AgreeError>
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
                return Err(AgreeError::Paused(spec.connection.clone()));
            }
        };
        attempts += 1;
        let passing = matches!(
            tidemark_core::push::after_failure(&failure, attempts, 0, 0.5, &spec.retry),
            tidemark_core::push::Verdict::RetryAt { .. } | tidemark_core::push::Verdict::WaitForBudget { .. }
        );
        if !passing || attempts > 8 || failure.class == tidemark_core::failure::Class::DayBudget {
            return Err(AgreeError::Crm(failure));
        }
        let floor = failure.wait.map_or(0, tidemark_core::window::millis);
        let wait = tidemark_core::backoff::delay(attempts, floor, rand::random(), &spec.retry).min(10_000);
        tokio::time::sleep(std::time::Duration::from_millis(u64::try_from(wait).unwrap_or(1_000))).await;
    }
}

struct Comparing<'a> {
    purpose: Purpose<'a>,
    report: StreamReport,
    seen: HashSet<RemoteId>,
}

impl Comparing<'_> {
    /// Every record against its row.
    async fn remote(&mut self) -> Result<(), AgreeError> {
        let mapped = self.purpose.stream;
        let spec = &mapped.spec;
        let properties = wanted(mapped);
        let crm = &self.purpose.connection.crm;
        let rows_max = crm.traits(&spec.object).map_err(AgreeError::Crm)?.page_rows_max;
        let until = self.purpose.connection.crm_now(self.purpose.ctx.now()) + 86_400_000;
        let mut position: Option<Position> = None;
        loop {
            let request = PageRequest {
                object: &spec.object,
                properties: &properties,
                external_key: spec.external_key.as_deref(),
                from: 0,
                until,
                position: position.as_ref(),
                rows_max,
            };
            let page = answered(&self.purpose, || {
                self.purpose.call(crm.search_bucket(), usize::from(rows_max), crm.read_page(&request))
            })
            .await?;
            let ids: Vec<RemoteId> = page.records.iter().map(|record| record.id.clone()).collect();
            self.compare_records(page.records).await?;
            self.seen.extend(ids);
            match page.next {
                Next::More(next) => position = Some(next),
                Next::Drained => return Ok(()),
            }
        }
    }

    /// Compares records; what seems to differ is read again by id and compared once more, and that counts.
    async fn compare_records(&mut self, mut records: Vec<Record>) -> Result<(), AgreeError> {
        if records.is_empty() {
            return Ok(());
        }
        answered_in_place(&self.purpose, &mut records).await?;
        let doubtful = self.judge(records, false).await?;
        self.compare_by_id(&doubtful).await
    }

    /// Judges records against their rows. Without `last_word` nothing that differs is counted; its ids come back.
    async fn judge(&mut self, mut records: Vec<Record>, last_word: bool) -> Result<Vec<RemoteId>, AgreeError> {
        let ctx = self.purpose.ctx;
        let mapped = self.purpose.stream;
        known::resolve_parents(&ctx.store, mapped, &ctx.parents(mapped), &mut records).await?;
        let ids: Vec<RemoteId> = records.iter().map(|record| record.id.clone()).collect();
        let links = links::of_records(&ctx.store, mapped, &ids).await?;
        let keys: Vec<RowKey> = links.values().filter_map(|link| link.row_key.clone()).collect();
        let rows = rows::of_keys(&ctx.store, mapped, &keys).await?;
        let rows: HashMap<&RowKey, &Row> = rows.iter().map(|row| (&row.key, row)).collect();
        let mut doubtful = Vec::new();
        for record in &records {
            let link = links.get(&record.id);
            let row = link.and_then(|link| link.row_key.as_ref()).and_then(|key| rows.get(key)).copied();
            let standings = self.standings(record, link, row).await?;
            if !last_word && standings.iter().any(|(_, standing)| matches!(standing, Standing::Differs(_))) {
                doubtful.push(record.id.clone());
                continue;
            }
            self.report.pairs += usize::from(row.is_some());
            for (field, standing) in standings {
                self.count(standing, row, Some(record), field);
            }
        }
        Ok(doubtful)
    }

    async fn standings(
        &self,
        record: &Record,
        link: Option<&KnownLink>,
        row: Option<&Row>,
    ) -> Result<Vec<(Option<usize>, Standing)>, AgreeError> {
        let spec = &self.purpose.stream.spec;
        Ok(match (link, row) {
            (Some(link), Some(row)) => {
                compare(spec, &link.view.base, row, record).into_iter().enumerate().map(|(at, one)| (Some(at), one)).collect()
            }
            (Some(_), None) => vec![(None, Standing::Decided("the row was deleted; deletes do not flow unless declared".into()))],
            (None, _) if record.archived => Vec::new(),
            (None, _) => {
                let parked =
                    debts::parked_cause(&self.purpose.ctx.store, self.purpose.stream.id, Kind::Read, record.id.as_str()).await?;
                vec![(None, lone_record(spec, parked.as_deref()))]
            }
        })
    }

    async fn judge_gone(&mut self, ids: &[RemoteId]) -> Result<(), AgreeError> {
        let links = links::of_records(&self.purpose.ctx.store, self.purpose.stream, ids).await?;
        for (id, link) in links {
            let standing = match link.view.state {
                tidemark_core::merge::LinkState::Tombstone => {
                    Standing::Decided("the record was deleted; deletes do not flow unless declared".into())
                }
                _ => Standing::Differs("the record is gone from the CRM".into()),
            };
            let record = Record { id, modified: None, archived: true, external_key: None, values: Vec::new() };
            self.count(standing, None, Some(&record), None);
        }
        Ok(())
    }

    /// The row waits for a parent that `send_when` keeps out of the CRM.
    async fn parent_is_excluded(&self, row: &Row) -> Result<bool, AgreeError> {
        let (ctx, mapped) = (self.purpose.ctx, self.purpose.stream);
        let Some((object, key)) = debts::parent_of(&ctx.store, mapped.id, row.key.as_str()).await? else { return Ok(false) };
        let Some(parent) = ctx.parents(mapped).get(object.as_str()).copied() else { return Ok(false) };
        let rows = rows::of_keys(&ctx.store, parent, &[RowKey(key)]).await?;
        Ok(rows.iter().all(|row| !row.is_sendable(&parent.spec)))
    }

    /// Every row that no record was compared with.
    async fn local(&mut self) -> Result<(), AgreeError> {
        let (ctx, mapped) = (self.purpose.ctx, self.purpose.stream);
        let mut position: Option<String> = None;
        loop {
            let rows = rows::walk(&ctx.store, mapped, position.as_deref(), WALK_ROWS).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            position = Some(last.key.0.clone());
            let keys: Vec<RowKey> = rows.iter().map(|row| row.key.clone()).collect();
            let links = links::of_rows(&ctx.store, mapped, &keys).await?;
            let mut unseen = Vec::new();
            for row in &rows {
                match links.get(&row.key).and_then(|link| link.remote_id.clone()) {
                    Some(id) if self.seen.contains(&id) => {}
                    Some(id) => unseen.push(id),
                    None => {
                        // A row that is not sent owes nothing, and there may be a great many of them: nothing is asked for each.
                        let (mut parked, mut excluded) = (None, false);
                        if row.is_sendable(&mapped.spec) {
                            parked = debts::parked_cause(&ctx.store, mapped.id, Kind::Push, row.key.as_str()).await?;
                            excluded = self.parent_is_excluded(row).await?;
                        }
                        let standing = lone_row(&mapped.spec, row, parked.as_deref(), excluded);
                        self.count(standing, Some(row), None, None);
                    }
                }
            }
            // Linked, but in no page: too new for the index, or gone.
            self.compare_by_id(&unseen).await?;
        }
    }

    async fn compare_by_id(&mut self, ids: &[RemoteId]) -> Result<(), AgreeError> {
        let batch = self
            .purpose
            .connection
            .crm
            .traits(&self.purpose.stream.spec.object)
            .map_or(100, |traits| usize::from(traits.batch_rows_max))
            .max(1);
        for ids in ids.chunks(batch) {
            let records = answered(&self.purpose, || read::by_ids(&self.purpose, ids)).await?;
            let answered: HashSet<&RemoteId> = records.iter().map(|record| &record.id).collect();
            let gone: Vec<RemoteId> = ids.iter().filter(|id| !answered.contains(id)).cloned().collect();
            self.judge(records, true).await?;
            self.judge_gone(&gone).await?;
        }
        Ok(())
    }

    fn count(&mut self, standing: Standing, row: Option<&Row>, record: Option<&Record>, field: Option<usize>) {
        let spec = &self.purpose.stream.spec;
        match standing {
            Standing::Agrees => self.report.agree += 1,
            Standing::Decided(reason) => {
                self.report.decided += 1;
                *self.report.decided_reasons.entry(reason).or_default() += 1;
            }
            Standing::Differs(reason) => {
                self.report.differ += 1;
                if self.report.differences.len() < LISTED_MAX {
                    let spec_field = field.and_then(|at| spec.fields.get(at));
                    self.report.differences.push(Difference {
                        stream: spec.name.clone(),
                        row: row.map(|row| row.key.0.clone()),
                        record: record.map(|record| record.id.0.clone()),
                        field: spec_field.map(|field| field.property.clone()),
                        row_value: spec_field.and_then(|field| row?.get(spec, &field.column).map(str::to_owned)),
                        record_value: field.and_then(|at| record?.values.get(at).cloned().flatten()),
                        reason,
                    });
                }
            }
        }
    }
}

async fn answered_in_place(purpose: &Purpose<'_>, records: &mut Vec<Record>) -> Result<(), AgreeError> {
    if purpose.stream.spec.reference_fields().next().is_none() {
        return Ok(());
    }
    let whole = answered(purpose, || async {
        let mut records = records.clone();
        Ok(references::fill(purpose, &mut records).await?.map(|()| records))
    });
    *records = whole.await?;
    Ok(())
}
