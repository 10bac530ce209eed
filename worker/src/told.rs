//! Compares the rows of a one-way stream with what was last told of them. Asks nobody: nobody could answer.

use tidemark_core::agree::{Difference, Standing};
use tidemark_core::push::{Plan, Subject, plan};
use tidemark_core::record::{Row, RowKey};
use tidemark_store::debts::{self, Kind};
use tidemark_store::rows::{self, Mapped};
use tidemark_store::{Store, StoreError, links};

use crate::agree::{StreamReport, WALK_ROWS};

const OWING: u32 = 500;

/// Compares one stream.
pub(crate) async fn compare(store: &Store, mapped: &Mapped) -> Result<StreamReport, StoreError> {
    let mut report = StreamReport { stream: mapped.spec.name.clone(), ..StreamReport::default() };
    let mut position: Option<String> = None;
    loop {
        let rows = rows::walk(store, mapped, position.as_deref(), WALK_ROWS).await?;
        let Some(last) = rows.last() else { break };
        position = Some(last.key.0.clone());
        judge(store, mapped, &rows, &mut report).await?;
    }
    vanished(store, mapped, &mut report).await?;
    Ok(report)
}

async fn judge(store: &Store, mapped: &Mapped, rows: &[Row], report: &mut StreamReport) -> Result<(), StoreError> {
    let spec = &mapped.spec;
    let keys: Vec<RowKey> = rows.iter().map(|row| row.key.clone()).collect();
    let links = links::of_rows(store, mapped, &keys).await?;
    let parents = vec![None; spec.fields.len()];
    let now = store.now().await?;
    for row in rows {
        let link = links.get(&row.key).map(|link| &link.view);
        let subject = Subject { row: Some(row), link, reborn: false, parents: &parents, just_read: false, heir: false, now };
        let untold = async || {
            let parked = debts::parked_cause(store, mapped.id, Kind::Push, row.key.as_str()).await?;
            Ok::<_, StoreError>(parked.map_or_else(|| "not told yet".to_owned(), |(_, cause)| format!("parked: {cause}")))
        };
        match plan(spec, &subject) {
            Plan::Nothing { .. } => {
                report.pairs += 1;
                report.agree += spec.fields.len();
            }
            Plan::NotOurs { why } => report.count(Standing::Decided(why.into()), None),
            Plan::Create { .. } => {
                let reason = untold().await?;
                report.count(Standing::Differs(reason.clone()), Some(difference(mapped, row, None, reason)));
            }
            Plan::Update { fields, .. } => {
                report.pairs += 1;
                let reason = untold().await?;
                let known = |at: usize| link.and_then(|link| link.base.get(at)).and_then(|known| known.record.clone());
                for sent in fields {
                    if sent.record == known(sent.field) {
                        report.agree += 1;
                    } else {
                        let told = Some((sent.field, known(sent.field)));
                        let difference = difference(mapped, row, told, reason.clone());
                        report.count(Standing::Differs(reason.clone()), Some(difference));
                    }
                }
            }
            Plan::Park { cause, .. } => {
                let reason = format!("parked: {cause}");
                report.count(Standing::Differs(reason.clone()), Some(difference(mapped, row, None, reason)));
            }
            // None of them is a one-way stream's plan for a row that is there.
            Plan::ReadFirst(_)
            | Plan::FindLost
            | Plan::WaitForParent { .. }
            | Plan::Archive
            | Plan::Bury
            | Plan::Forget
            | Plan::HandOver { .. } => {}
        }
    }
    Ok(())
}

/// Rows that are gone, which is still to be told.
async fn vanished(store: &Store, mapped: &Mapped, report: &mut StreamReport) -> Result<(), StoreError> {
    let mut after = String::new();
    loop {
        let owing = debts::owing_rows(store, mapped.id, &after, OWING).await?;
        let Some(last) = owing.last() else { return Ok(()) };
        after.clone_from(last);
        let keys: Vec<RowKey> = owing.into_iter().map(RowKey).collect();
        let there = rows::of_keys(store, mapped, &keys).await?;
        let links = links::of_rows(store, mapped, &keys).await?;
        for key in keys.iter().filter(|key| there.iter().all(|row| row.key != **key)) {
            let link = links.get(key).map(|link| &link.view);
            let subject =
                Subject { row: None, link, reborn: false, parents: &[], just_read: false, heir: false, now: store.now().await? };
            if plan(&mapped.spec, &subject) == Plan::Archive {
                let row = Row { key: key.clone(), columns: Vec::new() };
                let reason = "the row is gone, which was not told yet".to_owned();
                report.count(Standing::Differs(reason.clone()), Some(difference(mapped, &row, None, reason)));
            }
        }
    }
}

fn difference(mapped: &Mapped, row: &Row, told: Option<(usize, Option<String>)>, reason: String) -> Difference {
    let field = told.as_ref().and_then(|(at, _)| mapped.spec.fields.get(*at));
    Difference {
        stream: mapped.spec.name.clone(),
        row: Some(row.key.0.clone()),
        record: None,
        field: field.map(|field| field.property.clone()),
        row_value: field.and_then(|field| row.get(&mapped.spec, &field.column).map(str::to_owned)),
        record_value: told.and_then(|(_, value)| value),
        reason,
    }
}
