//! Compares both sides of a stream, record by record and field by field, through the mapping. Changes nothing.
//!
//! The pages come from an index that may be late, so whatever seems to differ is read again: the record by its id, the row by its key. Only what still differs then
//! is reported.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use tidemark_core::agree::{Difference, Parked, Standing, compare, lone_record, lone_row};
use tidemark_core::link::LinkState;
use tidemark_core::page::KnownLink;
use tidemark_core::record::{Record, RemoteId, Row, RowKey};
use tidemark_store::children;
use tidemark_store::debts::{self, Kind};
use tidemark_store::rows::{self, Mapped};
use tidemark_store::{known, links};

use crate::calls::{Lane, Purpose};
use crate::context::Context;
use crate::trial::prove_account;
use crate::whole::{EveryRecord, ReportError, answered};
use crate::{read, told};

/// How many differences a report lists; the counts go on.
const LISTED_MAX: usize = 1_000;
pub(crate) const WALK_ROWS: u64 = 500;

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

impl StreamReport {
    /// Counts what does not simply agree; the list has an end.
    pub(crate) fn count(&mut self, standing: Standing, difference: Option<Difference>) {
        match standing {
            Standing::Agrees => self.agree += 1,
            Standing::Decided(reason) => {
                self.decided += 1;
                *self.decided_reasons.entry(reason).or_default() += 1;
            }
            Standing::Differs(_) => {
                self.differ += 1;
                self.differences.extend(difference.filter(|_| self.differences.len() < LISTED_MAX));
            }
        }
    }
}

/// Compares one stream.
pub async fn compare_stream(ctx: &Context, mapped: &Mapped) -> Result<StreamReport, ReportError> {
    if mapped.spec.is_one_way() {
        return Ok(told::compare(&ctx.store, mapped).await?);
    }
    let connection = ctx.connection(mapped)?;
    let purpose = Purpose { ctx, connection, stream: mapped, word: "agree", attempt: 1, fence: None, lane: Lane::Command };
    answered(&purpose, || prove_account(&purpose)).await?;
    let mut comparing = Comparing {
        purpose: &purpose,
        report: StreamReport { stream: mapped.spec.name.clone(), ..StreamReport::default() },
        seen: HashSet::new(),
    };
    comparing.remote().await?;
    comparing.local().await?;
    Ok(comparing.report)
}

struct Comparing<'a> {
    purpose: &'a Purpose<'a>,
    report: StreamReport,
    seen: HashSet<RemoteId>,
}

impl Comparing<'_> {
    /// Every record against its row.
    async fn remote(&mut self) -> Result<(), ReportError> {
        let mut every = EveryRecord::of(self.purpose);
        while let Some(records) = every.page().await? {
            let ids: Vec<RemoteId> = records.iter().map(|record| record.id.clone()).collect();
            self.compare_records(records).await?;
            self.seen.extend(ids);
        }
        Ok(())
    }

    /// Compares records; what seems to differ is read again by id and compared once more, and that counts.
    async fn compare_records(&mut self, records: Vec<Record>) -> Result<(), ReportError> {
        if records.is_empty() {
            return Ok(());
        }
        let doubtful = self.judge(records, false).await?;
        self.compare_by_id(&doubtful).await
    }

    /// Judges records against their rows. Without `last_word` nothing that differs is counted; its ids come back.
    async fn judge(&mut self, mut records: Vec<Record>, last_word: bool) -> Result<Vec<RemoteId>, ReportError> {
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
    ) -> Result<Vec<(Option<usize>, Standing)>, ReportError> {
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
                vec![(None, lone_record(spec, parked.as_ref().map(why)))]
            }
        })
    }

    async fn judge_gone(&mut self, ids: &[RemoteId]) -> Result<(), ReportError> {
        let links = links::of_records(&self.purpose.ctx.store, self.purpose.stream, ids).await?;
        for (id, link) in links {
            let standing = match link.view.state {
                LinkState::Tombstone => Standing::Decided("the record was deleted; deletes do not flow unless declared".into()),
                LinkState::Double => Standing::Differs(tidemark_core::survivor::REASON.into()),
                LinkState::Linked | LinkState::Creating => Standing::Differs("the record is gone from the CRM".into()),
            };
            self.count(standing, None, Some(&Record::gone(id, 0)), None);
        }
        Ok(())
    }

    /// The row waits for a parent that `send_when` keeps out of the CRM.
    async fn parent_is_excluded(&self, row: &Row) -> Result<bool, ReportError> {
        let (ctx, mapped) = (self.purpose.ctx, self.purpose.stream);
        let Some((object, key)) = children::parent_of(&ctx.store, mapped.id, row.key.as_str()).await? else { return Ok(false) };
        let Some(parent) = ctx.parents(mapped).get(object.as_str()).copied() else { return Ok(false) };
        let rows = rows::of_keys(&ctx.store, parent, &[RowKey(key)]).await?;
        Ok(rows.iter().all(|row| !row.is_sendable(&parent.spec)))
    }

    /// Every row that no record was compared with.
    async fn local(&mut self) -> Result<(), ReportError> {
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
                        let standing = lone_row(&mapped.spec, row, parked.as_ref().map(why), excluded);
                        self.count(standing, Some(row), None, None);
                    }
                }
            }
            // Linked, but in no page: too new for the index, or gone.
            self.compare_by_id(&unseen).await?;
        }
    }

    async fn compare_by_id(&mut self, ids: &[RemoteId]) -> Result<(), ReportError> {
        let batch = self
            .purpose
            .connection
            .crm
            .traits(&self.purpose.stream.spec.object)
            .map_or(100, |traits| usize::from(traits.read_rows_max))
            .max(1);
        for ids in ids.chunks(batch) {
            let mut records = answered(self.purpose, || read::by_ids(self.purpose, ids)).await?;
            // A survivor that answers for what was merged into it is compared under its own id.
            records.retain(|record| ids.contains(&record.id));
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

fn why((class, cause): &(String, String)) -> Parked<'_> {
    Parked { class, cause }
}
