//! Rehearses the first meeting of a stream: plans every record and every row as a load would, and writes nothing. And tries it out on a few things, before the go.

use std::collections::HashMap;

use serde::Serialize;
use tidemark_core::first_meeting::{Chosen, FirstMeeting, Tally};
use tidemark_core::record::{RemoteId, Row, RowKey};
use tidemark_store::debts::{self, Kind, Which};
use tidemark_store::rows::{self, Mapped};
use tidemark_store::{links, rehearsal};

use crate::calls::{Lane, Purpose};
use crate::context::Context;
use crate::trial::prove_account;
use crate::whole::{EveryRecord, ReportError, answered};
use crate::{push, read};

/// How many things a person should look at are listed; the counts go on.
const CASES_MAX: usize = 1_000;
const WALK_ROWS: u64 = 500;

/// What the first meeting of one stream would come to.
#[derive(Debug, Clone, Serialize)]
pub struct MatchReport {
    pub stream: String,
    #[serde(flatten)]
    pub tally: Tally,
    /// The least number of calls that carrying it out takes.
    pub calls_at_least: usize,
}

/// Rehearses one stream; with up to `sample` things to try the mapping out on.
pub async fn rehearse(ctx: &Context, mapped: &Mapped, sample: usize) -> Result<(MatchReport, Vec<Chosen>), ReportError> {
    let connection = ctx.connection(mapped)?;
    let purpose = Purpose { ctx, connection, stream: mapped, word: "match", attempt: 1, fence: None, lane: Lane::Command };
    answered(&purpose, || prove_account(&purpose)).await?;
    let mut meeting = FirstMeeting::new(CASES_MAX, sample);
    let mut every = EveryRecord::of(&purpose);
    while let Some(records) = every.page().await? {
        let planned = rehearsal::rehearse(&ctx.store, mapped, &ctx.parents(mapped), records).await?;
        meeting.records(&mapped.spec, &planned.records, &planned.known, &planned.steps(&mapped.spec));
    }
    local(ctx, mapped, &mut meeting).await?;
    let batch = connection.crm.traits(&mapped.spec.object).map_err(ReportError::Crm)?.batch_rows_max;
    let chosen = meeting.sample(sample);
    let calls_at_least = meeting.tally.calls_at_least(every.calls, usize::from(batch));
    Ok((MatchReport { stream: mapped.spec.name.clone(), tally: meeting.tally, calls_at_least }, chosen))
}

async fn local(ctx: &Context, mapped: &Mapped, meeting: &mut FirstMeeting) -> Result<(), ReportError> {
    let mut position: Option<String> = None;
    loop {
        let rows = rows::walk(&ctx.store, mapped, position.as_deref(), WALK_ROWS).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        position = Some(last.key.0.clone());
        let keys: Vec<RowKey> = rows.iter().map(|row| row.key.clone()).collect();
        let links = links::of_rows(&ctx.store, mapped, &keys).await?;
        let stays = orphans(ctx, mapped, &rows).await?;
        for (row, parent_stays) in rows.iter().zip(stays) {
            meeting.row(&mapped.spec, row, links.contains_key(&row.key), parent_stays);
        }
    }
}

/// Which of these rows refer to a row that is not there, or that `send_when` keeps out of the CRM.
async fn orphans(ctx: &Context, mapped: &Mapped, rows: &[Row]) -> Result<Vec<bool>, ReportError> {
    let mut stays = vec![false; rows.len()];
    let parents = ctx.parents(mapped);
    for (at, _, object) in mapped.spec.reference_fields() {
        let Some(parent) = parents.get(object) else { continue };
        let wanted: Vec<RowKey> = rows.iter().filter_map(|row| row.field(at)).map(RowKey::new).collect();
        let sent: Vec<Row> = rows::of_keys(&ctx.store, parent, &wanted).await?;
        let sent: HashMap<&str, bool> = sent.iter().map(|row| (row.key.as_str(), row.is_sendable(&parent.spec))).collect();
        for (row, stays) in rows.iter().zip(&mut stays) {
            *stays |= row.field(at).is_some_and(|key| sent.get(key) != Some(&true));
        }
    }
    Ok(stays)
}

/// What became of one thing that was tried.
#[derive(Debug, Clone, Serialize)]
pub struct Tried {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<RowKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<RemoteId>,
    pub linked: bool,
    /// What it waits for, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
}

/// Carries these things out as the load would, and nothing else: records are read by id and merged, then rows are pushed, those that the records belong to as well.
pub async fn try_out(ctx: &Context, mapped: &Mapped, chosen: &[Chosen]) -> Result<Vec<Tried>, ReportError> {
    let mut records: Vec<RemoteId> = Vec::new();
    let mut keys: Vec<RowKey> = Vec::new();
    for one in chosen {
        match one {
            Chosen::Record(id) => records.push(id.clone()),
            Chosen::Row(key) => keys.push(key.clone()),
        }
    }
    let ids: Vec<&str> = records.iter().map(RemoteId::as_str).collect();
    debts::owe_reads(&ctx.store, mapped.id, &ids, 0).await?;
    read::pay_due(ctx, mapped, Which::These(&ids)).await?;
    let new_rows: Vec<&str> = keys.iter().map(RowKey::as_str).collect();
    debts::owe_pushes(&ctx.store, mapped.id, &new_rows).await?;
    let links = links::of_records(&ctx.store, mapped, &records).await?;
    keys.extend(links.values().filter_map(|link| link.row_key.clone()));
    let pushed: Vec<&str> = keys.iter().map(RowKey::as_str).collect();
    push::pay_due(ctx, mapped, Which::These(&pushed)).await?;
    let mut tried = Vec::with_capacity(chosen.len());
    for one in chosen {
        tried.push(outcome(ctx, mapped, one).await?);
    }
    Ok(tried)
}

async fn outcome(ctx: &Context, mapped: &Mapped, chosen: &Chosen) -> Result<Tried, ReportError> {
    let (link, record) = match chosen {
        Chosen::Record(id) => {
            (links::of_records(&ctx.store, mapped, std::slice::from_ref(id)).await?.remove(id), Some(id.clone()))
        }
        Chosen::Row(key) => (links::of_rows(&ctx.store, mapped, std::slice::from_ref(key)).await?.remove(key), None),
    };
    let row = match chosen {
        Chosen::Record(_) => link.as_ref().and_then(|link| link.row_key.clone()),
        Chosen::Row(key) => Some(key.clone()),
    };
    let record = record.or_else(|| link.as_ref()?.remote_id.clone());
    let mut waits = None;
    for (kind, subject) in [(Kind::Read, record.as_ref().map(RemoteId::as_str)), (Kind::Push, row.as_ref().map(RowKey::as_str))] {
        if let Some(subject) = subject {
            waits = waits.or(debts::waits_for(&ctx.store, mapped.id, kind, subject).await?);
        }
    }
    let linked = link.is_some_and(|link| link.remote_id.is_some() && link.row_key.is_some());
    Ok(Tried { row, record, linked, waits })
}
