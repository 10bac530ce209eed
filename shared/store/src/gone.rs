//! Records that a read by id did not find: what was concluded about each is written here, in the transaction of the read. The conclusion itself is the core's.

use std::collections::{HashMap, HashSet};

use sea_orm::ConnectionTrait;
use tidemark_core::Millis;
use tidemark_core::brake::{Act, Direction, Item, Ruling, names, passes};
use tidemark_core::bug::{Bug, planted};
use tidemark_core::delete::{Case, Conclusion, Gone, NOBODY_ANSWERS, Question, RowAct, Witness, Word, conclude, is_over};
use tidemark_core::lineage::What;
use tidemark_core::page::KnownLink;
use tidemark_core::record::{RemoteId, Row, RowKey};
use tidemark_core::spec::InboundDelete;

use crate::debts::{Claim, Kind};
use crate::lineage::Notes;
use crate::links::{self, Buried, By};
use crate::owing::{self, Parking};
use crate::rows::{self, Lock, Mapped};
use crate::session::Tx;
use crate::sweeps::{DriftLine, write_drift};
use crate::{StoreError, aliases, brakes, changes, row_writes, terms};

/// One record that was not found.
#[derive(Debug, Clone)]
pub struct Missing {
    pub id: RemoteId,
    pub word: Word,
}

/// What a round of asking came to.
#[derive(Debug, Clone)]
pub struct Round {
    pub missing: Vec<Missing>,
    pub witness: Witness,
    /// The connector shows archived records by id.
    pub archive_view: bool,
    pub commit_lag: Millis,
}

/// What became of the debts of the missing.
#[derive(Debug, Default)]
pub(crate) struct Concluded {
    /// A person is asked: the debt is parked.
    pub(crate) parked: HashSet<String>,
    /// Asked again later, with why.
    pub(crate) waiting: HashMap<String, &'static str>,
    pub(crate) rows_changed: usize,
}

/// Concludes a round. `links` are the links of the missing, locked; links that moved since they were asked for are not among them.
pub(crate) async fn settle(
    tx: &Tx,
    mapped: &Mapped,
    links: &[&KnownLink],
    claims: &[Claim],
    asked_at: Millis,
    round: &Round,
) -> Result<Concluded, StoreError> {
    let mut concluded = Concluded::default();
    let words: HashMap<&RemoteId, Word> = round.missing.iter().map(|missing| (&missing.id, missing.word)).collect();
    let approved: HashSet<&str> =
        claims.iter().filter(|claim| names(claim.passed.as_deref(), GONE)).map(|claim| claim.subject.as_str()).collect();
    let (rows, locked) = load_rows(tx, mapped, links).await?;
    let mut acts = Acts::default();
    let (mut asked, mut items, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    let passed: HashMap<&str, &str> =
        claims.iter().filter_map(|claim| Some((claim.subject.as_str(), claim.passed.as_deref()?))).collect();
    for link in links {
        let Some((id, word)) = link.remote_id.as_ref().and_then(|id| Some((id, *words.get(id)?))) else { continue };
        let row = link.row_key.as_ref().and_then(|key| rows.get(key));
        let case = Case {
            link: &link.view,
            row,
            row_locked: link.row_key.as_ref().is_some_and(|key| locked.contains(key)),
            word,
            witness: round.witness,
            archive_view: round.archive_view,
            asked_at,
            commit_lag: round.commit_lag,
            approved: approved.contains(id.as_str()),
        };
        match conclude(&mapped.spec, &case) {
            Conclusion::Nothing => {}
            Conclusion::Ended => ended.push(id.as_str()),
            Conclusion::Wait(why) => drop(concluded.waiting.insert(id.0.clone(), why)),
            Conclusion::Gone(act @ (RowAct::Mark | RowAct::Delete)) => {
                let passed = case.approved || passes(passed.get(id.as_str()).copied(), Act::Delete);
                items.push(Item { act: Act::Delete, passed, counted_at: None, owed_at: None });
                asked.push((link, id, word, row.is_some(), act));
            }
            Conclusion::Gone(act) => acts.add(link, id, word, row.is_some(), act),
        }
    }
    let rulings = match planted(Bug::BrakesOnlySweeps) {
        true => vec![Ruling::Passes; items.len()],
        false => brakes::ask(tx, mapped, Direction::In, &items).await?,
    };
    let (cause, next_step) = brakes::words(mapped, Direction::In, Act::Delete);
    for ((link, id, word, has_row, act), ruling) in asked.into_iter().zip(rulings) {
        match ruling {
            Ruling::Passes | Ruling::Counted => acts.add(link, id, word, has_row, act),
            Ruling::Held => {
                let why = Parking { class: Act::Delete.class(), code: None, cause: &cause, next_step: &next_step };
                park(tx, mapped, id, why, &mut concluded).await?;
            }
        }
    }
    acts.carry_out(tx, mapped, &mut concluded).await?;
    let held: HashSet<&RemoteId> = links.iter().filter_map(|link| link.remote_id.as_ref()).collect();
    let strange: Vec<&Missing> = round.missing.iter().filter(|missing| !held.contains(&missing.id)).collect();
    let moved = links::free(tx, mapped, By::Remote, strange.iter().map(|missing| missing.id.as_str())).await?;
    let moved: HashSet<&RemoteId> = moved.iter().filter_map(|link| link.remote_id.as_ref()).collect();
    // What no link holds was asked for because a row waits for it.
    for Missing { id, word } in strange.into_iter().filter(|missing| !moved.contains(&missing.id)) {
        match is_over(*word, round.witness, approved.contains(id.as_str())) {
            Some(true) => ended.push(id.as_str()),
            Some(false) => {}
            None => drop(concluded.waiting.insert(id.0.clone(), NOBODY_ANSWERS)),
        }
    }
    aliases::end(tx, mapped.id, &ended).await?;
    Ok(concluded)
}

/// The class of a parked debt that asks whether a delete stands.
const GONE: &str = "gone";

async fn load_rows(
    tx: &Tx,
    mapped: &Mapped,
    links: &[&KnownLink],
) -> Result<(HashMap<RowKey, Row>, HashSet<RowKey>), StoreError> {
    let keys: Vec<&str> = links.iter().filter_map(|link| link.row_key.as_ref()).map(RowKey::as_str).collect();
    let rows = rows::by_keys(tx, mapped, keys.iter().copied(), Lock::Skip).await?;
    let rows: HashMap<RowKey, Row> = rows.into_iter().map(|row| (row.key.clone(), row)).collect();
    let absent = keys.into_iter().filter(|key| !rows.contains_key(&RowKey::new(*key)));
    let locked = match tx.get_database_backend() {
        sea_orm::DbBackend::Postgres => rows::by_keys(tx, mapped, absent, Lock::Free).await?,
        _ => Vec::new(),
    };
    Ok((rows, locked.into_iter().map(|row| row.key).collect()))
}

/// One link whose record is gone, on its way to a tombstone.
struct Ending<'a> {
    link: &'a KnownLink,
    id: &'a RemoteId,
    modified: Option<Millis>,
    has_row: bool,
}

#[derive(Default)]
struct Acts<'a> {
    endings: Vec<Ending<'a>>,
    mark: HashSet<RowKey>,
    delete: HashSet<RowKey>,
    ask: Vec<(&'a RemoteId, Question)>,
}

impl<'a> Acts<'a> {
    fn add(&mut self, link: &'a KnownLink, id: &'a RemoteId, word: Word, has_row: bool, act: RowAct) {
        let modified = match word {
            Word::Archived { modified } => modified,
            Word::Absent | Word::Merged => None,
        };
        self.endings.push(Ending { link, id, modified, has_row });
        match (act, &link.row_key) {
            (RowAct::Mark, Some(key)) => drop(self.mark.insert(key.clone())),
            (RowAct::Delete, Some(key)) => drop(self.delete.insert(key.clone())),
            (RowAct::Ask(question), _) => self.ask.push((id, question)),
            (RowAct::Leave | RowAct::Mark | RowAct::Delete, _) => {}
        }
    }

    async fn carry_out(self, tx: &Tx, mapped: &Mapped, concluded: &mut Concluded) -> Result<(), StoreError> {
        if self.endings.is_empty() {
            return Ok(());
        }
        let terms = terms::ask(tx, mapped).await?;
        let (deleted, refused) = delete(tx, mapped, &self.delete).await?;
        let marks: HashMap<RowKey, String> = match &mapped.spec.deletes.inbound {
            InboundDelete::Set { column, value } if !self.mark.is_empty() => {
                let keys = self.mark.iter().map(RowKey::as_str);
                row_writes::mark(tx, mapped, column, value, keys).await?.into_iter().collect()
            }
            _ => HashMap::new(),
        };
        let changed: Vec<&str> = deleted.iter().chain(marks.keys()).map(RowKey::as_str).collect();
        concluded.rows_changed = changed.len();
        changes::end_own(tx, mapped, &terms, &changed, &[]).await?;
        let (mut buried, mut drift, mut notes) = (Vec::new(), Vec::new(), Notes::default());
        for ending in &self.endings {
            let key = ending.link.row_key.as_ref();
            let went = key.is_some_and(|key| deleted.contains(key));
            let gone = if went || !ending.has_row { Gone::Both } else { Gone::Record };
            let mark = key.and_then(|key| marks.get(key)).cloned();
            let repair = match (went, key.is_some_and(|key| self.mark.contains(key))) {
                (true, _) => "record gone: row deleted",
                (false, true) => "record gone: row marked",
                (false, false) => "record gone: row left",
            };
            notes.whole(
                ending.link.id,
                match (went, mark.is_some()) {
                    (true, _) => What::RowDeleted,
                    (false, true) => What::RowMarked,
                    (false, false) => What::Gone,
                },
            );
            drift.push(DriftLine {
                side: "record",
                subject: ending.id.as_str(),
                missed_by: "none",
                fields: String::new(),
                repair,
            });
            buried.push(Buried { id: ending.link.id, gone, modified: ending.modified, mark });
        }
        links::bury(tx, &buried).await?;
        let ids: Vec<&str> = self.endings.iter().map(|ending| ending.id.as_str()).collect();
        aliases::end(tx, mapped.id, &ids).await?;
        notes.write(tx).await?;
        write_drift(tx, mapped.id, &drift).await?;
        for (id, question) in &self.ask {
            let why = Parking { class: GONE, code: None, cause: &question.cause, next_step: &question.next_step };
            park(tx, mapped, id, why, concluded).await?;
        }
        for ending in &self.endings {
            let Some(words) = ending.link.row_key.as_ref().and_then(|key| refused.get(key)) else { continue };
            let cause = format!("{} refused the delete of its row: {words}", mapped.spec.table);
            let next_step = "take away what refers to the row, then retry; or leave this: the row stays, and is no longer sent";
            park(tx, mapped, ending.id, Parking { class: GONE, code: None, cause: &cause, next_step }, concluded).await?;
        }
        Ok(())
    }
}

async fn park(tx: &Tx, mapped: &Mapped, id: &RemoteId, why: Parking<'_>, concluded: &mut Concluded) -> Result<(), StoreError> {
    owing::park_new(tx, mapped.id, Kind::Read, id.as_str(), why).await?;
    concluded.parked.insert(id.0.clone());
    Ok(())
}

/// Deletes what the database lets go, and names what it refuses: a row that others refer to stays.
async fn delete(
    tx: &Tx,
    mapped: &Mapped,
    keys: &HashSet<RowKey>,
) -> Result<(HashSet<RowKey>, HashMap<RowKey, String>), StoreError> {
    let (mut deleted, mut refused) = (HashSet::new(), HashMap::new());
    let mut all: Vec<&RowKey> = keys.iter().collect();
    all.sort();
    let mut parts: Vec<&[&RowKey]> = vec![&all];
    while let Some(part) = parts.pop() {
        if part.is_empty() {
            continue;
        }
        let savepoint = tx.savepoint().await?;
        match row_writes::delete(&savepoint, mapped, part.iter().map(|key| key.as_str())).await {
            Ok(keys) => {
                savepoint.commit().await?;
                deleted.extend(keys);
            }
            Err(error) if error.is_about_data() => {
                savepoint.rollback().await?;
                match part {
                    [key] => drop(refused.insert((*key).clone(), error.words())),
                    _ => {
                        let (left, right) = part.split_at(part.len() / 2);
                        parts.extend([right, left]);
                    }
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok((deleted, refused))
}
