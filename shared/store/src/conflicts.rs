//! Fields that wait for a person, and the person's word: the decision, what is owed for it and the act are one transaction. Which value stands is decided by nobody here.

use sea_orm::ConnectionTrait;
use tidemark_core::Millis;
use tidemark_core::conflict::{Decision, Side, Undecidable, decide};
use tidemark_core::lineage::Source;
use tidemark_core::page::KnownLink;
use tidemark_core::record::RowKey;
use tidemark_core::spec::StreamSpec;

use crate::acts::By;
use crate::debts::Kind;
use crate::lineage::Notes;
use crate::owing::{self, Owing};
use crate::query::{all, get, one};
use crate::session::Tx;
use crate::settled_links::{self, LinkSettled};
use crate::{Store, StoreError, acts, links};

/// Links of one transaction of a decision on many.
const LINKS_TOGETHER: u32 = 500;

/// A link in which something waits for a person.
#[derive(Debug, Clone)]
pub struct OpenLink {
    pub link: KnownLink,
    /// When the first field that still waits was noticed, database clock.
    pub since: Millis,
}

/// The links of a stream in which something waits, the longest first.
pub async fn open(store: &Store, stream: i64, spec: &StreamSpec, limit: u32, offset: u32) -> Result<Vec<OpenLink>, StoreError> {
    let sql = format!(
        "SELECT {}, open_since FROM tidemark_link WHERE stream_id = $1 AND open_since IS NOT NULL AND state = 'linked'
         ORDER BY open_since, id LIMIT $2 OFFSET $3",
        links::COLUMNS
    );
    let rows = all(&store.db, &sql, vec![stream.into(), i64::from(limit).into(), i64::from(offset).into()]).await?;
    rows.iter().map(|row| Ok(OpenLink { link: links::read(spec, row)?, since: get(row, 13)? })).collect()
}

/// The stream of a link.
pub async fn stream_of(store: &Store, link: i64) -> Result<Option<i64>, StoreError> {
    let row = one(&store.db, "SELECT stream_id FROM tidemark_link WHERE id = $1", vec![link.into()]).await?;
    row.map(|row| get(&row, 0)).transpose()
}

/// Which link a person means.
#[derive(Debug, Clone)]
pub enum Which {
    Link(i64),
    Row(RowKey),
}

/// Decides one field of one link.
pub async fn resolve(
    store: &Store,
    stream: i64,
    spec: &StreamSpec,
    which: &Which,
    field: usize,
    take: Side,
    by: By<'_>,
) -> Result<Result<(), Undecidable>, StoreError> {
    let tx = store.begin().await?;
    let (condition, value) = match which {
        Which::Link(id) => ("id = $2", (*id).into()),
        Which::Row(key) => ("row_key = $2", key.as_str().into()),
    };
    let sql = format!(
        "SELECT {} FROM tidemark_link WHERE stream_id = $1 AND state = 'linked' AND {condition} {{lock}}",
        links::COLUMNS
    );
    let Some(link) = one(&tx, &sql, vec![stream.into(), value]).await?.map(|row| links::read(spec, &row)).transpose()? else {
        return Ok(Err(Undecidable::NotOpen));
    };
    let decision = match decide(spec, &link.view.base, field, take) {
        Ok(decision) => decision,
        Err(why) => return Ok(Err(why)),
    };
    carry_out(&tx, stream, spec, &[(&link, decision)]).await?;
    let subject = format!("{} of row {} of {}", name(spec, field), link.row_key.map_or_else(String::new, |key| key.0), spec.name);
    acts::record_in(&tx, by.who, verb(take), &subject, by.reason).await?;
    tx.commit().await?;
    Ok(Ok(()))
}

/// Decides one field wherever it waits in the stream; returns in how many rows.
pub async fn resolve_all(
    store: &Store,
    stream: i64,
    spec: &StreamSpec,
    field: usize,
    take: Side,
    by: By<'_>,
) -> Result<Result<u64, Undecidable>, StoreError> {
    let (mut after, mut count) = (0, 0);
    loop {
        let tx = store.begin().await?;
        let sql = format!(
            "SELECT {} FROM tidemark_link WHERE stream_id = $1 AND open_since IS NOT NULL AND state = 'linked' AND id > $2
             ORDER BY id LIMIT {LINKS_TOGETHER} {{lock}}",
            links::COLUMNS
        );
        let rows = all(&tx, &sql, vec![stream.into(), after.into()]).await?;
        let found: Vec<KnownLink> = rows.iter().map(|row| links::read(spec, row)).collect::<Result<_, _>>()?;
        let Some(last) = found.last() else { return Ok(Ok(count)) };
        after = last.id;
        let mut decided = Vec::new();
        for link in &found {
            match decide(spec, &link.view.base, field, take) {
                Ok(decision) => decided.push((link, decision)),
                // Another field of the link waits.
                Err(Undecidable::NotOpen) => {}
                Err(why) => return Ok(Err(why)),
            }
        }
        if decided.is_empty() {
            continue;
        }
        carry_out(&tx, stream, spec, &decided).await?;
        let subject = format!("{} of {} rows of {}", name(spec, field), decided.len(), spec.name);
        acts::record_in(&tx, by.who, verb(take), &subject, by.reason).await?;
        tx.commit().await?;
        count += decided.len() as u64;
    }
}

/// The verb an act is recorded under.
fn verb(take: Side) -> &'static str {
    match take {
        Side::Orders => "take orders",
        Side::Crm => "take crm",
    }
}

fn name(spec: &StreamSpec, field: usize) -> &str {
    spec.fields.get(field).map_or("", |field| field.property.as_str())
}

/// Stores the decided bases with their lineage, and owes what follows from them. A debt that was parked is freed: the person has spoken.
async fn carry_out(tx: &Tx, stream: i64, spec: &StreamSpec, decided: &[(&KnownLink, Decision)]) -> Result<(), StoreError> {
    let (mut settled, mut pushes, mut reads, mut notes) = (Vec::new(), Vec::new(), Vec::new(), Notes::default());
    for (link, decision) in decided {
        let (base, open) = (decision.base.to_json(spec), decision.base.is_open());
        settled.push(LinkSettled { id: link.id, base, remote_id: None, modified: None, written: false, open });
        notes.merged(spec, link.id, Source::Person, false, std::slice::from_ref(&decision.because), &decision.base);
        match decision.take {
            Side::Orders => pushes.extend(link.row_key.as_ref().map(RowKey::as_str)),
            Side::Crm => reads.extend(link.remote_id.as_ref().map(|id| id.as_str())),
        }
    }
    settled_links::write(tx, &settled).await?;
    notes.write(tx).await?;
    owing::owe(tx, stream, Kind::Push, pushes.into_iter(), 0, Owing::Freed).await?;
    owing::owe(tx, stream, Kind::Read, reads.into_iter(), 0, Owing::Freed).await?;
    Ok(())
}

/// How many links wait for a person, by stream.
pub(crate) async fn count(db: &impl ConnectionTrait) -> Result<Vec<(i64, i64)>, StoreError> {
    let sql = "SELECT stream_id, count(*) FROM tidemark_link WHERE open_since IS NOT NULL AND state = 'linked' GROUP BY stream_id ORDER BY stream_id LIMIT 1000";
    all(db, sql, vec![]).await?.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect()
}
