//! Owes work: makes debts, or calls those that are there to it again, and says why. Claims and pays none.

use std::collections::BTreeMap;

use sea_orm::ConnectionTrait;
use tidemark_core::Millis;
use tidemark_core::brake::GO;

use crate::StoreError;
use crate::debts::Kind;
use crate::dialect::{in_list, list, table};
use crate::query::run;

/// Why work is owed, for a debt that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owing {
    /// Somebody has to look again: a parked debt stays parked.
    Doubt,
    /// What it was parked for is gone, or a person has spoken. That is no change of the row: when it last changed stands.
    Freed,
    /// The row itself changed.
    Changed,
}

/// Owes work for each subject. A debt that is there already moves to its next generation and is due again, without losing its history.
pub(crate) async fn owe<'a>(
    db: &impl ConnectionTrait,
    stream: i64,
    kind: Kind,
    subjects: impl Iterator<Item = &'a str>,
    delay: Millis,
    why: Owing,
) -> Result<u64, StoreError> {
    let mut subjects: Vec<(&str, Option<Millis>)> = subjects.map(|subject| (subject, None)).collect();
    subjects.sort_unstable();
    subjects.dedup();
    owe_sorted(db, stream, kind, &subjects, delay, why).await
}

/// Owes the reads of records of which a page shows a part. A record that was changed frees the read that was parked, as a page does that shows all of it; a sweep shows those too that were not.
/// What a first load finds passes the brakes, as in its pages.
pub(crate) async fn owe_whole(
    db: &impl ConnectionTrait,
    stream: i64,
    records: &[&str],
    delay: Millis,
    sweeping: bool,
) -> Result<(), StoreError> {
    if records.is_empty() {
        return Ok(());
    }
    let why = if sweeping { Owing::Doubt } else { Owing::Freed };
    owe(db, stream, Kind::Read, records.iter().copied(), delay, why).await?;
    let backend = db.get_database_backend();
    let sql = format!(
        "UPDATE tidemark_debt SET passed = $2 WHERE stream_id = $1 AND kind = 'read' AND state <> 'parked' AND passed IS NULL
            AND EXISTS (SELECT 1 FROM tidemark_stream s WHERE s.id = $1 AND s.braked_at IS NULL) AND subject {}",
        in_list(backend, 3, "text")
    );
    run(db, &sql, vec![stream.into(), GO.into(), list(backend, records.iter().copied())]).await?;
    Ok(())
}

/// Owes pushes for rows that changed, with when each last did.
pub(crate) async fn owe_changed(
    db: &impl ConnectionTrait,
    stream: i64,
    rows: &BTreeMap<String, Millis>,
) -> Result<u64, StoreError> {
    let rows: Vec<(&str, Option<Millis>)> = rows.iter().map(|(key, at)| (key.as_str(), Some(*at))).collect();
    owe_sorted(db, stream, Kind::Push, &rows, 0, Owing::Changed).await
}

/// The keys of these owed rows belong to other things than they did, or may do so.
pub(crate) async fn reborn<'a>(
    db: &impl ConnectionTrait,
    stream: i64,
    keys: impl Iterator<Item = &'a str>,
) -> Result<(), StoreError> {
    let backend = db.get_database_backend();
    let sql = format!(
        "UPDATE tidemark_debt SET reborn = 1 WHERE stream_id = $1 AND kind = 'push' AND subject {}",
        in_list(backend, 2, "text")
    );
    run(db, &sql, vec![stream.into(), list(backend, keys)]).await?;
    Ok(())
}

async fn owe_sorted(
    db: &impl ConnectionTrait,
    stream: i64,
    kind: Kind,
    subjects: &[(&str, Option<Millis>)],
    delay: Millis,
    why: Owing,
) -> Result<u64, StoreError> {
    if subjects.is_empty() {
        return Ok(0);
    }
    let backend = db.get_database_backend();
    let times: Vec<Option<String>> = subjects.iter().map(|(_, at)| at.map(|at| at.to_string())).collect();
    let cells: Vec<Option<&str>> =
        subjects.iter().zip(&times).flat_map(|((subject, _), at)| [Some(*subject), at.as_deref()]).collect();
    let (source, mut values) = table(backend, 4, 2, &cells);
    values.splice(0..0, [stream.into(), kind.word().into(), delay.into()]);
    // A change of the row itself frees a parked debt and forgets its failures; anything else only makes sure it is not late.
    let again = match (why, kind) {
        (Owing::Doubt, _) => {
            "due_at = CASE WHEN excluded.due_at < tidemark_debt.due_at OR tidemark_debt.attempts = 0 THEN excluded.due_at ELSE tidemark_debt.due_at END"
        }
        // What a brake holds is held however often it is asked for: only a person lets it through.
        (_, Kind::Read) => {
            "state = CASE WHEN tidemark_debt.state = 'parked' AND tidemark_debt.class LIKE 'brake_%' THEN 'parked' ELSE 'waiting' END, attempts = 0, due_at = excluded.due_at,
            changed_at = excluded.changed_at"
        }
        (Owing::Freed, Kind::Push) => {
            "state = 'waiting', attempts = 0, due_at = excluded.due_at, passed = NULL,
            changed_at = CASE WHEN tidemark_debt.state = 'parked' THEN excluded.changed_at ELSE tidemark_debt.changed_at END"
        }
        (Owing::Changed, Kind::Push) => {
            "state = 'waiting', attempts = 0, due_at = excluded.due_at, changed_at = excluded.changed_at, passed = NULL"
        }
    };
    let sql = format!(
        "INSERT INTO tidemark_debt (stream_id, kind, subject, due_at, changed_at)
         SELECT $1, $2, v.c0, {{now}} + $3, COALESCE(CAST(v.c1 AS BIGINT), {{now}}) FROM {source} WHERE true ORDER BY v.c0
         ON CONFLICT (stream_id, kind, subject) DO UPDATE SET generation = tidemark_debt.generation + 1, {again}"
    );
    run(db, &sql, values).await
}

/// Why a debt waits for a person.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parking<'a> {
    pub(crate) class: &'static str,
    pub(crate) code: Option<&'a str>,
    pub(crate) cause: &'a str,
    pub(crate) next_step: &'a str,
}

/// Parks a debt, making it if need be: it waits for a person, with the cause and the next step.
pub(crate) async fn park_new(
    db: &impl ConnectionTrait,
    stream: i64,
    kind: Kind,
    subject: &str,
    why: Parking<'_>,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO tidemark_debt (stream_id, kind, subject, state, class, code, cause, next_step) VALUES ($1, $2, $3, 'parked', $4, $5, $6, $7)
        ON CONFLICT (stream_id, kind, subject) DO UPDATE SET state = 'parked', class = excluded.class, code = excluded.code, cause = excluded.cause,
            next_step = excluded.next_step, passed = NULL, lease_until = NULL, lease_fence = NULL, generation = tidemark_debt.generation + 1";
    let code = why.code.map(str::to_owned);
    let values = vec![
        stream.into(),
        kind.word().into(),
        subject.into(),
        why.class.into(),
        code.into(),
        why.cause.into(),
        why.next_step.into(),
    ];
    run(db, sql, values).await?;
    Ok(())
}

/// Forgets debts that were paid by other means.
pub(crate) async fn forget<'a>(
    db: &impl ConnectionTrait,
    stream: i64,
    kind: Kind,
    subjects: impl Iterator<Item = &'a str>,
) -> Result<u64, StoreError> {
    let backend = db.get_database_backend();
    let sql = format!("DELETE FROM tidemark_debt WHERE stream_id = $1 AND kind = $2 AND subject {}", in_list(backend, 3, "text"));
    run(db, &sql, vec![stream.into(), kind.word().into(), list(backend, subjects)]).await
}
