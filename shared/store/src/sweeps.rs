//! Sweeps as they are kept: owed, claimed, resumed, what they saw and found, and the seal at their end. What counts as drift or as sealed is decided in the core.

use std::collections::HashSet;

use sea_orm::ConnectionTrait;
use tidemark_core::Millis;
use tidemark_core::delete::{Unseen, is_suspected};
use tidemark_core::failure::Failure;
use tidemark_core::link::LinkState;
use tidemark_core::page::{Known, Step};
use tidemark_core::record::{Record, RemoteId};
use tidemark_core::source::{Position, SourceTraits};
use tidemark_core::sweep::{Course, Cursors, Drift, Seal, drift, seal};
use tidemark_core::window::{Reader, Window};

use crate::debts::Kind;
use crate::dialect::{in_list, list, table};
use crate::environment::most_seen;
use crate::owing::{self, Owing};
use crate::query::{all, get, one, run, scalar};
use crate::rows::Mapped;
use crate::streams::{self, Fence};
use crate::windows::OpenWindow;
use crate::{Store, StoreError};

/// Owes both sides of a sweep, the remote and the local one, unless they are owed already. A stream that was not loaded once has nothing to compare.
pub async fn owe(store: &Store, stream: i64) -> Result<bool, StoreError> {
    let sql = "UPDATE tidemark_stream SET sweep_owed_at = {now}, sweep_begun_at = {now}, sweep_attempts = 0, sweep_error = NULL, walk_owed = CASE WHEN walk_owed = 0 THEN 2 ELSE walk_owed END,
        poll_owed_at = COALESCE(poll_owed_at, {now}) WHERE id = $1 AND sweep_owed_at IS NULL AND loaded_at IS NOT NULL";
    Ok(run(&store.db, sql, vec![stream.into()]).await? == 1)
}

/// A stream that is claimed for a slice of its sweep.
#[derive(Debug, Clone, Copy)]
pub struct Claimed {
    pub fence: Fence,
    /// Slices that failed since the last that did not.
    pub attempts: u32,
    /// Since when the stream sends nothing, if it is held; database clock.
    pub held_at: Option<Millis>,
}

/// Claims the stream for a slice of its sweep. `None` when none is owed, a poll is, somebody else reads it, or it is paused.
pub async fn claim(store: &Store, stream: i64, owner: &str, lease: Millis) -> Result<Option<Claimed>, StoreError> {
    let sql = "UPDATE tidemark_stream SET fence = fence + 1, lease_owner = $2, lease_until = {now} + $3
        WHERE id = $1 AND state = 'running' AND sweep_owed_at <= {now} AND COALESCE(poll_owed_at > {now}, true) AND (lease_until IS NULL OR lease_until < {now})
          AND EXISTS (SELECT 1 FROM tidemark_connection c WHERE c.name = tidemark_stream.connection AND c.state = 'running')
        RETURNING fence, sweep_attempts, held_at";
    let Some(row) = one(&store.db, sql, vec![stream.into(), owner.into(), lease.into()]).await? else { return Ok(None) };
    let attempts = u32::try_from(get::<i32>(&row, 1)?).unwrap_or(0);
    Ok(Some(Claimed {
        fence: Fence { stream, number: get(&row, 0)?, lease, beats: most_seen(store) },
        attempts,
        held_at: get(&row, 2)?,
    }))
}

/// Gives the lease back; the sweep goes on at `owed_at`, after whatever poll is owed by then.
pub async fn pause(store: &Store, fence: Fence, owed_at: Millis) -> Result<(), StoreError> {
    let sql = "UPDATE tidemark_stream SET lease_until = NULL, lease_owner = NULL, sweep_owed_at = $3, sweep_hinted_at = NULL WHERE id = $1 AND fence = $2";
    run(&store.db, sql, vec![fence.stream.into(), fence.number.into(), owed_at.into()]).await?;
    Ok(())
}

/// The sweep is over, whatever it came to; the next is owed by its own time.
pub async fn finish(store: &Store, fence: Fence) -> Result<(), StoreError> {
    let sql = "UPDATE tidemark_stream SET lease_until = NULL, lease_owner = NULL, sweep_owed_at = NULL, sweep_hinted_at = NULL, sweep_attempts = 0, sweep_error = NULL
        WHERE id = $1 AND fence = $2";
    run(&store.db, sql, vec![fence.stream.into(), fence.number.into()]).await?;
    Ok(())
}

/// A call failed: the sweep goes on where it stands at `retry_at`.
pub async fn fail(store: &Store, fence: Fence, retry_at: Millis, failure: &Failure) -> Result<(), StoreError> {
    let sql = "UPDATE tidemark_stream SET lease_until = NULL, lease_owner = NULL, sweep_owed_at = $3, sweep_hinted_at = NULL, sweep_attempts = sweep_attempts + 1,
        sweep_error = $4 WHERE id = $1 AND fence = $2";
    let values = vec![fence.stream.into(), fence.number.into(), retry_at.into(), failure.message.clone().into()];
    run(&store.db, sql, values).await?;
    Ok(())
}

/// A poll is owed and waits for the stream.
pub async fn gives_way(store: &Store, stream: i64) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) FROM tidemark_stream WHERE id = $1 AND poll_owed_at <= {now}";
    Ok(scalar::<i64>(&store.db, sql, vec![stream.into()]).await? > 0)
}

/// A sweep that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSweep {
    pub window: OpenWindow,
    /// Its last page is applied; only its end is to be concluded.
    pub drained: bool,
    /// It is sealed; only what it did not see is to be suspected.
    pub sealed: bool,
}

/// Takes over the sweep that was left open, or begins one at `crm_now`. What was read with another query is abandoned: its pages say nothing about this one's.
pub async fn resume(store: &Store, fence: Fence, query_digest: &str, crm_now: Millis) -> Result<OpenSweep, StoreError> {
    let tx = store.begin().await?;
    streams::hold(&tx, fence).await?;
    let sql = "UPDATE tidemark_window SET state = 'abandoned', ended_at = {now}, seal = 'the mapping changed while it was read'
        WHERE stream_id = $1 AND reader = 'sweep' AND state IN ('open', 'drained') AND query_digest <> $2";
    run(&tx, sql, vec![fence.stream.into(), query_digest.into()]).await?;
    // The claim takes the window over from the one before it: that chain is what the seal asks for.
    let sql = "UPDATE tidemark_window SET fence = $2 WHERE stream_id = $1 AND reader = 'sweep' AND state IN ('open', 'drained')
        RETURNING id, from_stamp, until_stamp, position, pages, records, state, seal";
    let open = match one(&tx, sql, vec![fence.stream.into(), fence.number.into()]).await? {
        Some(row) => OpenSweep {
            window: OpenWindow {
                id: get(&row, 0)?,
                reader: Reader::Sweep,
                window: Window { from: get(&row, 1)?, until: get(&row, 2)? },
                position: get::<Option<String>>(&row, 3)?.map(Position),
                pages: get(&row, 4)?,
                records: get(&row, 5)?,
            },
            drained: get::<String>(&row, 6)? == "drained",
            sealed: get::<Option<String>>(&row, 7)?.is_some(),
        },
        None => {
            let sql = "INSERT INTO tidemark_window (stream_id, reader, from_stamp, until_stamp, query_digest, fence, started_at) VALUES ($1, 'sweep', 0, $2, $3, $4, {now}) RETURNING id";
            let values = vec![fence.stream.into(), crm_now.into(), query_digest.into(), fence.number.into()];
            let window = Window { from: 0, until: crm_now };
            let id = scalar(&tx, sql, values).await?;
            OpenSweep {
                window: OpenWindow { id, reader: Reader::Sweep, window, position: None, pages: 0, records: 0 },
                drained: false,
                sealed: false,
            }
        }
    };
    tx.commit().await?;
    Ok(open)
}

/// What a sweep's page tells of its records before anything is written.
pub(crate) struct Found<'a> {
    record: &'a RemoteId,
    drift: Drift,
}

/// The drift among a batch's records. What is owed a read already was told by somebody, and waits.
pub(crate) async fn found<'a>(
    db: &impl ConnectionTrait,
    mapped: &Mapped,
    records: &'a [Record],
    known: &Known,
    steps: &[Step<'_>],
    cursors: Cursors,
) -> Result<Vec<Found<'a>>, StoreError> {
    let drifted = records.iter().zip(steps).filter_map(|(record, step)| {
        let link = known.links.get(&record.id).map(|link| &link.view);
        Some(Found { record: &record.id, drift: drift(record, link, step, cursors)? })
    });
    let mut drifted: Vec<Found<'a>> = drifted.collect();
    if drifted.is_empty() {
        return Ok(drifted);
    }
    let backend = db.get_database_backend();
    let sql = format!(
        "SELECT subject FROM tidemark_debt WHERE stream_id = $1 AND kind = 'read' AND subject {} ORDER BY subject LIMIT 5000",
        in_list(backend, 2, "text")
    );
    let subjects = list(backend, drifted.iter().map(|found| found.record.as_str()));
    let told = all(db, &sql, vec![mapped.id.into(), subjects]).await?;
    let told: HashSet<String> = told.iter().map(|row| get(row, 0)).collect::<Result<_, _>>()?;
    drifted.retain(|found| !told.contains(found.record.as_str()));
    Ok(drifted)
}

/// Writes down what was found, by name and never by value; and that the sweep saw these records.
pub(crate) async fn note(
    db: &impl ConnectionTrait,
    mapped: &Mapped,
    window: i64,
    records: &[Record],
    found: &[Found<'_>],
) -> Result<(), StoreError> {
    let backend = db.get_database_backend();
    let sql = format!("UPDATE tidemark_link SET swept = $2 WHERE stream_id = $1 AND remote_id {}", in_list(backend, 3, "text"));
    let ids = list(backend, records.iter().map(|record| record.id.as_str()));
    run(db, &sql, vec![mapped.id.into(), window.into(), ids]).await?;
    let fields = |found: &Found<'_>| {
        let names = found.drift.fields.iter().filter_map(|at| mapped.spec.fields.get(*at));
        names.map(|field| field.property.as_str()).collect::<Vec<_>>().join(", ")
    };
    let lines: Vec<DriftLine<'_>> = found
        .iter()
        .map(|found| DriftLine {
            side: "record",
            subject: found.record.as_str(),
            missed_by: found.drift.missed.word(),
            fields: fields(found),
            repair: found.drift.repair,
        })
        .collect();
    write_drift(db, mapped.id, &lines).await
}

/// One repair, as it is remembered.
pub(crate) struct DriftLine<'a> {
    pub(crate) side: &'static str,
    pub(crate) subject: &'a str,
    pub(crate) missed_by: &'static str,
    pub(crate) fields: String,
    pub(crate) repair: &'static str,
}

pub(crate) async fn write_drift(db: &impl ConnectionTrait, stream: i64, lines: &[DriftLine<'_>]) -> Result<(), StoreError> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut cells = Vec::with_capacity(lines.len() * 5);
    for line in lines {
        cells.extend([line.side, line.subject, line.missed_by, line.fields.as_str(), line.repair].map(Some));
    }
    let (source, mut values) = table(db.get_database_backend(), 2, 5, &cells);
    values.insert(0, stream.into());
    let sql = format!(
        "INSERT INTO tidemark_drift (stream_id, side, subject, missed_by, fields, repair) SELECT $1, v.c0, v.c1, v.c2, v.c3, v.c4 FROM {source}
         WHERE true ORDER BY v.n"
    );
    run(db, &sql, values).await?;
    Ok(())
}

/// Seals a drained sweep, or ends it with why not. Links made after it began say nothing about it.
pub async fn conclude(
    store: &Store,
    mapped: &Mapped,
    fence: Fence,
    window: i64,
    traits: &SourceTraits,
) -> Result<Seal, StoreError> {
    let tx = store.begin().await?;
    streams::hold(&tx, fence).await?;
    let sql = "SELECT w.state = 'drained', w.query_digest = $2, w.fence = $3,
            (SELECT count(*) FROM tidemark_link l WHERE l.stream_id = w.stream_id AND l.state = 'linked' AND l.created_at < w.started_at),
            (SELECT count(*) FROM tidemark_link l WHERE l.stream_id = w.stream_id AND l.state = 'linked' AND l.created_at < w.started_at AND l.swept = w.id)
        FROM tidemark_window w WHERE w.id = $1";
    let values = vec![window.into(), mapped.spec.digest().into(), fence.number.into()];
    let row = one(&tx, sql, values).await?.ok_or_else(|| StoreError::LeaseLost { what: format!("sweep {window}") })?;
    let truth = |at| Ok::<_, StoreError>(get::<Option<bool>>(&row, at)?.unwrap_or(false));
    let course = Course {
        drained: truth(0)?,
        one_query: truth(1)?,
        one_lineage: truth(2)?,
        order: traits.order,
        paging: traits.paging,
        links: get(&row, 3)?,
        links_seen: get(&row, 4)?,
    };
    let seal = seal(course);
    let sql = match seal {
        Seal::Sealed => "UPDATE tidemark_window SET seal = $2 WHERE id = $1",
        Seal::Void(_) => "UPDATE tidemark_window SET seal = $2, state = 'completed', ended_at = {now} WHERE id = $1",
    };
    run(&tx, sql, vec![window.into(), seal.word().into()]).await?;
    tx.commit().await?;
    Ok(seal)
}

/// Owes a read of each record that a sealed sweep did not see, up to `limit` links in one transaction. True when none is left, and the sweep over.
pub async fn suspect(store: &Store, mapped: &Mapped, fence: Fence, window: i64, limit: u32) -> Result<bool, StoreError> {
    let tx = store.begin().await?;
    streams::hold(&tx, fence).await?;
    let sql = "SELECT COALESCE(CAST(position AS BIGINT), 0), started_at FROM tidemark_window WHERE id = $1 AND fence = $2 AND state = 'drained' AND seal = 'sealed'";
    let row = one(&tx, sql, vec![window.into(), fence.number.into()]).await?;
    let row = row.ok_or_else(|| StoreError::LeaseLost { what: format!("sweep {window}") })?;
    let (position, begun_at): (i64, Millis) = (get(&row, 0)?, get(&row, 1)?);
    let sql = format!(
        "SELECT id, remote_id, created_at, written_at FROM tidemark_link WHERE stream_id = $1 AND id > $2 AND COALESCE(swept, 0) <> $3
            AND state = 'linked' AND remote_id IS NOT NULL ORDER BY id LIMIT {limit}"
    );
    let unseen = all(&tx, &sql, vec![mapped.id.into(), position.into(), window.into()]).await?;
    let (mut last, mut suspects) = (position, Vec::new());
    for row in &unseen {
        last = get(row, 0)?;
        let link = Unseen { state: LinkState::Linked, created_at: get(row, 2)?, written_at: get(row, 3)? };
        if is_suspected(link, begun_at) {
            suspects.push(get::<String>(row, 1)?);
        }
    }
    owing::owe(&tx, mapped.id, Kind::Read, suspects.iter().map(String::as_str), 0, Owing::Doubt).await?;
    let done = unseen.len() < limit as usize;
    let end = if done { ", state = 'completed', ended_at = {now}" } else { "" };
    let sql = format!("UPDATE tidemark_window SET position = $2, suspected = suspected + $3{end} WHERE id = $1");
    let found = i64::try_from(suspects.len()).unwrap_or(0);
    run(&tx, &sql, vec![window.into(), last.to_string().into(), found.into()]).await?;
    tx.commit().await?;
    Ok(done)
}

/// Forgets repairs made before `before`, a bounded number at a time.
pub async fn prune(store: &Store, before: Millis) -> Result<u64, StoreError> {
    let sql = "DELETE FROM tidemark_drift WHERE id IN (SELECT id FROM tidemark_drift WHERE at < $1 ORDER BY id LIMIT 5000)";
    run(&store.db, sql, vec![before.into()]).await
}
