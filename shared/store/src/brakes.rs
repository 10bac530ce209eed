//! Brakes as they are kept: asked, tripped, told of, answered. Whether a thing passes is decided in the core.
//!
//! A brake's row is locked from the question to the commit, so that any number of workers together let no more through than one would.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sea_orm::{ConnectionTrait, DbBackend};
use tidemark_core::Millis;
use tidemark_core::brake::{Act, Brake, Direction, Item, Ruling, Tally, answer, passes, rule};
use tidemark_core::page::KnownLink;

use crate::debts::{Claim, Kind};
use crate::dialect::{in_list, list, table};
use crate::owing::Parking;
use crate::query::{all, get, run, scalar};
use crate::rows::Mapped;
use crate::session::Tx;
use crate::settled_links::unmark;
use crate::{Store, StoreError};

/// How long a count of the stream's links is good for a share of it.
const LINKS_KEPT_MS: Millis = 600_000;

/// One for each way and act.
pub(crate) const PER_STREAM: i64 = (Direction::ALL.len() * Act::ALL.len()) as i64;

/// Makes the brakes of a stream, if it has none.
pub(crate) async fn register(db: &impl ConnectionTrait, name: &str) -> Result<(), StoreError> {
    let pairs: Vec<String> = Direction::ALL
        .into_iter()
        .flat_map(|direction| Act::ALL.map(|act| format!("SELECT '{}' AS direction, '{}' AS act", direction.word(), act.word())))
        .collect();
    let sql = format!(
        "INSERT INTO tidemark_brake (stream_id, direction, act) SELECT s.id, p.direction, p.act FROM tidemark_stream s CROSS JOIN ({}) p WHERE s.name = $1 ON CONFLICT DO NOTHING",
        pairs.join(" UNION ALL ")
    );
    run(db, &sql, vec![name.into()]).await?;
    Ok(())
}

/// The kind of debt in which what the brakes of one direction hold is kept.
pub(crate) fn kind(direction: Direction) -> Kind {
    match direction {
        Direction::In => Kind::Read,
        Direction::Out => Kind::Push,
    }
}

/// Rules on a batch of things that are about to be written in one direction. A first load is let through, as a person has said go to it, but deletes
/// nothing.
pub(crate) async fn ask(tx: &Tx, mapped: &Mapped, direction: Direction, items: &[Item]) -> Result<Vec<Ruling>, StoreError> {
    let acts: BTreeSet<Act> = items.iter().filter(|item| is_asked(mapped, item)).map(|item| item.act).collect();
    if acts.is_empty() {
        return Ok(vec![Ruling::Passes; items.len()]);
    }
    let locking = if tx.get_database_backend() == DbBackend::Postgres { "FOR UPDATE OF b" } else { "" };
    let sql = format!(
        "SELECT b.act, b.tally, b.tripped_at, b.answered_at, b.links, b.links_at, {{now}}, s.braked_at FROM tidemark_brake b JOIN tidemark_stream s ON s.id = b.stream_id
         WHERE b.stream_id = $1 AND b.direction = $2 AND b.act {} ORDER BY b.act {locking}",
        in_list(tx.get_database_backend(), 3, "text")
    );
    let words = list(tx.get_database_backend(), acts.iter().map(|act| act.word()));
    let (mut brakes, mut links, mut now) = (BTreeMap::new(), None, 0);
    for row in all(tx, &sql, vec![mapped.id.into(), direction.word().into(), words]).await? {
        let Some(act) = Act::from_word(&get::<String>(&row, 0)?) else { continue };
        now = get(&row, 6)?;
        if get::<Option<Millis>>(&row, 7)?.is_none() && act != Act::Delete {
            continue;
        }
        let fresh = get::<Option<Millis>>(&row, 5)?.is_some_and(|at| at > now - LINKS_KEPT_MS);
        links = links.or(get::<Option<i64>>(&row, 4)?.filter(|_| fresh));
        let tally = Tally::parse(&get::<String>(&row, 1)?);
        let brake = Brake { tally, limit: 0, tripped_at: get(&row, 2)?, answered_at: get(&row, 3)? };
        brakes.insert(act, brake);
    }
    let wanted = |act: Act| items.iter().filter(|item| item.act == act && !item.passed).count();
    let is_many = |(act, brake): (&Act, &Brake)| {
        let most = i64::from(mapped.spec.brakes.limit(*act).count);
        brake.tally.within_day(now) + i64::try_from(wanted(*act)).unwrap_or(i64::MAX) > most
    };
    // Counting a million links takes longer than a page: only where the share can matter.
    let counted = match links {
        None if brakes.iter().any(is_many) => {
            let sql = "SELECT count(*) FROM tidemark_link WHERE stream_id = $1 AND state <> 'tombstone'";
            Some(scalar::<i64>(tx, sql, vec![mapped.id.into()]).await?)
        }
        _ => None,
    };
    let links = counted.or(links).unwrap_or(0);
    for (act, brake) in &mut brakes {
        brake.limit = mapped.spec.brakes.limit(*act).of(links);
    }
    let before = brakes.clone();
    let rulings = rule(&mut brakes, items, now);
    for (act, brake) in brakes.iter().filter(|(act, brake)| before.get(act) != Some(brake)) {
        let sql = "UPDATE tidemark_brake SET tally = $4, tripped_at = $5, most = $6, links = COALESCE(CAST($7 AS BIGINT), links), links_at = CASE WHEN CAST($7 AS BIGINT) IS NULL THEN links_at ELSE {now} END
            WHERE stream_id = $1 AND direction = $2 AND act = $3";
        let values = vec![
            mapped.id.into(),
            direction.word().into(),
            act.word().into(),
            brake.tally.to_text().into(),
            brake.tripped_at.into(),
            brake.limit.into(),
            counted.into(),
        ];
        run(tx, sql, values).await?;
    }
    Ok(rulings)
}

/// Whether a brake has a say: the thing was not let through yet, and not everything of its act passes.
fn is_asked(mapped: &Mapped, item: &Item) -> bool {
    !item.passed && !mapped.spec.brakes.limit(item.act).is_open()
}

/// Why something waits, and what a person can do.
pub(crate) fn words(mapped: &Mapped, direction: Direction, act: Act) -> (String, String) {
    let cause = format!(
        "the brake holds it back: more {} were to be {} within a day than pass without asking",
        direction.things(),
        act.done()
    );
    let next_step = format!(
        "look whether that is meant; put right here what is not, then `{}` lets the rest through",
        answer(&mapped.spec.name, act)
    );
    (cause, next_step)
}

/// These links' updates are counted from now on.
pub(crate) async fn count_links(tx: &Tx, direction: Direction, ids: &[i64]) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    let column = match direction {
        Direction::In => "counted_in",
        Direction::Out => "counted_out",
    };
    let texts: Vec<String> = ids.iter().map(i64::to_string).collect();
    let backend = tx.get_database_backend();
    let sql = format!("UPDATE tidemark_link SET {column} = {{now}} WHERE id {}", in_list(backend, 1, "bigint"));
    run(tx, &sql, vec![list(backend, texts.iter().map(String::as_str))]).await?;
    Ok(())
}

/// What a push is about to do to a record.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    pub claim: &'a Claim,
    pub link: Option<&'a KnownLink>,
    pub act: Act,
}

/// Asks the brakes about a batch of pushes and parks what they hold, all in one transaction: who answers meanwhile frees either all of it or none. Returns the claims
/// that are held.
pub async fn ask_pushes(store: &Store, mapped: &Mapped, fence: &str, going: &[Outgoing<'_>]) -> Result<HashSet<i64>, StoreError> {
    let item = |one: &Outgoing<'_>| Item {
        act: one.act,
        passed: passes(one.claim.passed.as_deref(), one.act),
        counted_at: one.link.and_then(|link| link.counted_out),
        owed_at: Some(one.claim.claimed_at),
    };
    let items: Vec<Item> = going.iter().map(item).collect();
    if !items.iter().any(|item| is_asked(mapped, item)) {
        return Ok(HashSet::new());
    }
    let tx = store.begin().await?;
    let rulings = ask(&tx, mapped, Direction::Out, &items).await?;
    let ruled = |wanted: Ruling| going.iter().zip(&rulings).filter(move |(_, ruling)| **ruling == wanted).map(|(one, _)| one);
    let (updates, others): (Vec<&Outgoing<'_>>, Vec<&Outgoing<'_>>) =
        ruled(Ruling::Counted).partition(|one| one.act == Act::Update);
    let links: Vec<i64> = updates.iter().filter_map(|one| Some(one.link?.id)).collect();
    count_links(&tx, Direction::Out, &links).await?;
    let held: Vec<&Outgoing<'_>> = ruled(Ruling::Held).collect();
    for act in Act::ALL {
        // Counted once, however often it has to be tried.
        let counted: Vec<&Claim> = others.iter().filter(|one| one.act == act).map(|one| one.claim).collect();
        pass(&tx, fence, &counted, act.class()).await?;
        let held: Vec<&Claim> = held.iter().filter(|one| one.act == act).map(|one| one.claim).collect();
        let (cause, next_step) = words(mapped, Direction::Out, act);
        hold(&tx, fence, &held, Parking { class: act.class(), code: None, cause: &cause, next_step: &next_step }).await?;
    }
    let links: Vec<i64> = held.iter().filter_map(|one| Some(one.link?.id)).collect();
    unmark(&tx, fence, &links).await?;
    tx.commit().await?;
    Ok(held.iter().map(|one| one.claim.id).collect())
}

/// These claims are let through for this act, however often they have to be tried.
async fn pass(db: &impl ConnectionTrait, fence: &str, claims: &[&Claim], class: &str) -> Result<u64, StoreError> {
    if claims.is_empty() {
        return Ok(0);
    }
    let ids: Vec<String> = claims.iter().map(|claim| claim.id.to_string()).collect();
    let backend = db.get_database_backend();
    let sql = format!(
        "UPDATE tidemark_debt SET passed = CASE WHEN passed IS NULL THEN $2 ELSE passed || ' ' || $2 END WHERE lease_fence = $1 AND id {}",
        in_list(backend, 3, "bigint")
    );
    run(db, &sql, vec![fence.into(), class.into(), list(backend, ids.iter().map(String::as_str))]).await
}

/// Pushes of these rows are let through for this.
pub(crate) async fn pass_rows<'a>(
    db: &impl ConnectionTrait,
    stream: i64,
    rows: impl Iterator<Item = &'a str>,
    what: &str,
) -> Result<u64, StoreError> {
    let backend = db.get_database_backend();
    let sql = format!(
        "UPDATE tidemark_debt SET passed = $2 WHERE stream_id = $1 AND kind = 'push' AND state <> 'parked' AND passed IS NULL AND subject {}",
        in_list(backend, 3, "text")
    );
    run(db, &sql, vec![stream.into(), what.into(), list(backend, rows)]).await
}

/// Parks claims that a brake holds, in one statement. One whose row changed meanwhile is looked at again instead.
async fn hold(db: &impl ConnectionTrait, fence: &str, claims: &[&Claim], why: Parking<'_>) -> Result<u64, StoreError> {
    if claims.is_empty() {
        return Ok(0);
    }
    let backend = db.get_database_backend();
    let texts: Vec<(String, String)> = claims.iter().map(|claim| (claim.id.to_string(), claim.generation.to_string())).collect();
    let cells: Vec<Option<&str>> =
        texts.iter().flat_map(|(id, generation)| [Some(id.as_str()), Some(generation.as_str())]).collect();
    let (source, mut values) = table(backend, 5, 2, &cells);
    values.splice(0..0, [fence.into(), why.class.into(), why.cause.into(), why.next_step.into()]);
    let sql = format!(
        "UPDATE tidemark_debt AS t SET lease_fence = NULL, lease_until = NULL, class = $2, code = NULL, cause = $3, next_step = $4,
            state = CASE WHEN t.generation = CAST(v.c1 AS BIGINT) THEN 'parked' ELSE 'waiting' END
         FROM {source} WHERE t.id = CAST(v.c0 AS BIGINT) AND t.lease_fence = $1"
    );
    run(db, &sql, values).await
}

/// What owed reads of these records are let through for.
pub(crate) async fn passed_reads<'a>(
    db: &impl ConnectionTrait,
    stream: i64,
    records: impl Iterator<Item = &'a str>,
) -> Result<HashMap<String, String>, StoreError> {
    let backend = db.get_database_backend();
    let sql = format!(
        "SELECT subject, passed FROM tidemark_debt WHERE stream_id = $1 AND kind = 'read' AND state <> 'parked' AND passed IS NOT NULL AND subject {}",
        in_list(backend, 2, "text")
    );
    all(db, &sql, vec![stream.into(), list(backend, records)]).await?.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect()
}

/// Which of these owed reads wait for a person, behind a brake or otherwise.
pub(crate) async fn parked_reads<'a>(
    db: &impl ConnectionTrait,
    stream: i64,
    records: impl Iterator<Item = &'a str>,
) -> Result<HashSet<String>, StoreError> {
    let backend = db.get_database_backend();
    let sql = format!(
        "SELECT subject FROM tidemark_debt WHERE stream_id = $1 AND kind = 'read' AND state = 'parked' AND subject {}",
        in_list(backend, 2, "text")
    );
    all(db, &sql, vec![stream.into(), list(backend, records)]).await?.iter().map(|row| get(row, 0)).collect()
}

/// A person's answer: what waits behind the brake is let through once, with what is owed already and not looked at yet, and the day begins anew. Returns how much waited;
/// `None` when nothing does and the brake is not on.
pub async fn release(store: &Store, stream: i64, direction: Direction, act: Act) -> Result<Option<u64>, StoreError> {
    let tx = store.begin().await?;
    if direction == Direction::Out {
        // What an unfinished walk has yet to find was there when the answer was given.
        let sql = "UPDATE tidemark_stream SET walk_pass = CASE WHEN walk_pass IS NULL THEN $2 ELSE walk_pass || ' ' || $2 END WHERE id = $1 AND walk_owed <> 0";
        run(&tx, sql, vec![stream.into(), act.class().into()]).await?;
    }
    let sql = "UPDATE tidemark_brake SET tally = '', tripped_at = NULL, told_at = NULL, answered_at = {now} WHERE stream_id = $1 AND direction = $2 AND act = $3
            AND (tripped_at IS NOT NULL OR EXISTS (SELECT 1 FROM tidemark_debt d WHERE d.stream_id = $1 AND d.kind = $4 AND d.state = 'parked' AND d.class = $5))";
    let kind = kind(direction).word();
    let values = vec![stream.into(), direction.word().into(), act.word().into(), kind.into(), act.class().into()];
    if run(&tx, sql, values).await? == 0 {
        tx.rollback().await?;
        return Ok(None);
    }
    let sql = "UPDATE tidemark_debt SET state = 'waiting', passed = COALESCE(passed || ' ', '') || $3, due_at = {now}, lease_until = NULL, lease_fence = NULL, generation = generation + 1
        WHERE stream_id = $1 AND kind = $2 AND state = 'parked' AND class = $3";
    let freed = run(&tx, sql, vec![stream.into(), kind.into(), act.class().into()]).await?;
    let sql = "UPDATE tidemark_debt SET passed = CASE WHEN passed IS NULL THEN $3 ELSE passed || ' ' || $3 END WHERE stream_id = $1 AND kind = $2 AND state <> 'parked'
            AND NOT COALESCE(passed = 'go' OR passed LIKE '%' || $3 || '%', false)";
    run(&tx, sql, vec![stream.into(), kind.into(), act.class().into()]).await?;
    tx.commit().await?;
    Ok(Some(freed))
}

/// A brake that has tripped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tripped {
    pub stream: String,
    pub direction: Direction,
    pub act: Act,
    pub most: i64,
}

/// Brakes that tripped since anybody told of it: of any number of tellers one gets each.
pub async fn untold(store: &Store) -> Result<Vec<Tripped>, StoreError> {
    // Asked first: on SQLite an update takes the write lock even when it finds nothing to do.
    let sql = "SELECT count(*) FROM (SELECT 1 FROM tidemark_brake WHERE tripped_at IS NOT NULL AND told_at IS NULL LIMIT 1) b";
    if scalar::<i64>(&store.db, sql, vec![]).await? == 0 {
        return Ok(Vec::new());
    }
    let sql = "UPDATE tidemark_brake SET told_at = {now} WHERE tripped_at IS NOT NULL AND told_at IS NULL
        RETURNING (SELECT s.name FROM tidemark_stream s WHERE s.id = stream_id), direction, act, most";
    let mut tripped = Vec::new();
    for row in all(&store.db, sql, vec![]).await? {
        let (direction, act) = (Direction::from_word(&get::<String>(&row, 1)?), Act::from_word(&get::<String>(&row, 2)?));
        if let (Some(stream), Some(direction), Some(act)) = (get::<Option<String>>(&row, 0)?, direction, act) {
            tripped.push(Tripped { stream, direction, act, most: get(&row, 3)? });
        }
    }
    Ok(tripped)
}
