//! The model CRM as Tidemark's workers meet it: one call at a time, each with its fate. Between a call and its answer others have their turn.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tidemark_core::Millis;
use tidemark_core::bug::{Bug, planted};
use tidemark_core::failure::{Class, Failure};
use tidemark_core::record::{Record, RemoteId, Value};
use tidemark_core::source::{IdOrder, Next, Order, Page, Paging, Position, SourceTraits};
use tidemark_crm::{
    Account, Answer, Bucket, BucketLimit, Callout, Crm, LookUp, Outcomes, PageRequest, Property, ReadIds, WriteBatch, WriteKind,
    Written,
};
use tidemark_store::pace::Driver;

use super::crm::{Author, Crm as Model, KEY, Landing, Rec, Target, Write};
use super::driver::{JOB, Turns};
use super::faulty::by_offset;
use super::index::listed;

pub(crate) const CALL_DEADLINE: Duration = Duration::from_millis(2_500);
pub(crate) const PER_SECOND: f64 = 50.0;
pub(crate) const BURST: u32 = 10;

/// What becomes of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    /// Nothing happened.
    Refused,
    Throttled,
    /// It happened; nobody hears it.
    Lost,
    /// It happens later; nobody hears it.
    LandsLate,
}

#[derive(Debug, Clone)]
pub(crate) struct Face {
    pub(crate) model: Arc<Mutex<Model>>,
    pub(crate) turns: Turns,
}

impl Face {
    pub(crate) fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fate(&self, writes: bool) -> Fate {
        let (fair, swarm) = {
            let model = self.model();
            (model.fair, model.swarm.clone())
        };
        let fate = if fair {
            Fate::Answered
        } else if self.turns.chance(swarm.refused) {
            Fate::Refused
        } else if self.turns.chance(swarm.throttled) {
            Fate::Throttled
        } else if writes && self.turns.chance(swarm.lost_answer) {
            Fate::Lost
        } else if writes && self.turns.chance(swarm.late_landing) {
            Fate::LandsLate
        } else {
            Fate::Answered
        };
        let mut model = self.model();
        model.faults += u64::from(fate != Fate::Answered);
        if fate == Fate::Lost {
            model.coverage.count("an answer was lost");
        }
        drop(model);
        fate
    }

    /// A call that reads.
    async fn ask<T>(&self, endpoint: &str, read: impl FnOnce(&mut Model) -> T + Send) -> Answer<T> {
        let started = self.turns.now();
        let turn = self.turns.turn("call").await;
        let fate = self.fate(false);
        let result = {
            let mut model = self.model();
            model.calls.push(started);
            match fate {
                Fate::Answered => Ok(read(&mut model)),
                fate => Err(failure(fate, false)),
            }
        };
        drop(turn);
        self.answer(endpoint, "GET", started, false, result).await
    }

    /// A call that writes; the commit may be later than the request, and the answer later than that.
    async fn tell<T>(
        &self,
        endpoint: &str,
        writes: Vec<Write>,
        say: impl FnOnce(&Model, Vec<Option<(String, bool)>>) -> T + Send,
    ) -> Answer<T> {
        let started = self.turns.now();
        let turn = self.turns.turn("call").await;
        let fate = self.fate(true);
        let (stamp, slow) = {
            let mut model = self.model();
            model.calls.push(started);
            model.under_way += 1;
            (model.stamp(), model.swarm.commit_lag > 0 && !model.fair)
        };
        drop(turn);
        let result = match fate {
            Fate::Refused | Fate::Throttled => Err(failure(fate, false)),
            Fate::LandsLate => {
                let mut model = self.model();
                let life = model.swarm.request_life.unsigned_abs();
                let at = self.turns.now() + i64::try_from(self.turns.below(life)).unwrap_or(0);
                model.landings.extend(writes.iter().cloned().map(|write| Landing { at, stamp, write }));
                Err(failure(fate, true))
            }
            Fate::Answered | Fate::Lost => {
                if slow && self.turns.chance(0.3) {
                    drop(self.turns.turn("commit").await);
                }
                let mut model = self.model();
                let made: Vec<_> = writes.iter().map(|write| model.apply(write, stamp)).collect();
                if fate == Fate::Lost { Err(failure(fate, true)) } else { Ok(say(&model, made)) }
            }
        };
        let made = writes.iter().map(|write| write.target.clone()).collect::<Vec<_>>();
        let answer = self.answer(endpoint, "POST", started, true, result).await;
        let mut model = self.model();
        model.under_way = model.under_way.saturating_sub(1);
        if answer.result.is_ok() && made.iter().any(|target| matches!(target, Target::New | Target::Key(_))) {
            model.unheard.clear();
        }
        drop(model);
        answer
    }

    async fn answer<T>(
        &self,
        endpoint: &str,
        method: &'static str,
        started: Millis,
        writes: bool,
        result: Result<T, Failure>,
    ) -> Answer<T> {
        let date = self.model().now().div_euclid(1_000) * 1_000;
        drop(self.turns.turn("answer").await);
        let elapsed = self.turns.now() - started;
        let late = elapsed > tidemark_core::window::millis(CALL_DEADLINE);
        let result = if late {
            self.model().coverage.count("a call came back too late");
            let mut failure = Failure::new(Class::Retry, "timed out");
            failure.maybe_done = writes;
            Err(failure)
        } else {
            result
        };
        Answer {
            callout: Callout {
                cost: 1,
                method,
                endpoint: endpoint.to_owned(),
                status: Some(200),
                class: result.as_ref().err().map(|failure| failure.class),
                elapsed_ms: u32::try_from(elapsed).unwrap_or(u32::MAX),
                quota_left: None,
                clock_offset_ms: (!late).then(|| date - (started + elapsed / 2)),
                tape: None,
            },
            result,
        }
    }
}

fn failure(fate: Fate, writes: bool) -> Failure {
    let (class, words) = match fate {
        Fate::Throttled => (Class::Throttled, "slow down"),
        Fate::Answered | Fate::Refused | Fate::Lost | Fate::LandsLate => (Class::Retry, "a bad day"),
    };
    let mut failure = Failure::new(class, words);
    failure.maybe_done = writes;
    if fate == Fate::Throttled {
        failure.wait = Some(Duration::from_secs(1));
    }
    failure
}

fn job() -> u64 {
    JOB.try_with(|job| *job).unwrap_or(0)
}

fn object(name: &str) -> &'static str {
    if name == "deals" { "deals" } else { "contacts" }
}

pub(crate) fn record(id: &str, stamp: Millis, values: &BTreeMap<String, String>, properties: &[Option<String>]) -> Record {
    let absorbed = values.get(super::crm::MERGED).map(|ids| ids.split(';').map(RemoteId::new).collect());
    let value = |property: &Option<String>| values.get(property.as_deref()?).filter(|text| !text.is_empty()).cloned();
    Record {
        id: RemoteId::new(id),
        modified: Some(stamp),
        archived: false,
        external_key: values.get(KEY).cloned(),
        absorbed: absorbed.unwrap_or_default(),
        version: None,
        left_out: Vec::new(),
        values: properties.iter().map(value).collect(),
    }
}

fn present(id: &str, rec: &Rec, properties: &[Option<String>]) -> Record {
    record(id, rec.stamp, &rec.values(), properties)
}

#[async_trait]
impl Crm for Face {
    fn connector(&self) -> &'static str {
        "model"
    }

    fn traits(&self, _: &str) -> Result<SourceTraits, Failure> {
        let swarm = self.model().swarm.clone();
        let duration = |time: Millis| Duration::from_millis(time.unsigned_abs());
        Ok(SourceTraits {
            order: Order::TimeThenId,
            paging: Paging::Queries,
            id_order: IdOrder::Number,
            result_cap: None,
            token_life: None,
            stamped: true,
            precision_ms: u32::try_from(swarm.precision).unwrap_or(1),
            commit_lag: duration(swarm.commit_lag + swarm.index_lag),
            fast_lag: Duration::ZERO,
            page_rows_max: swarm.page_rows,
            read_rows_max: 4,
            batch_rows_max: 4,
            request_life: duration(swarm.request_life),
            guarded: false,
            archive_view: swarm.archive_view,
            page_cost: 1,
        })
    }

    fn limits(&self) -> Vec<BucketLimit> {
        vec![BucketLimit { bucket: Bucket::General, per_second: PER_SECOND, burst: BURST }]
    }

    fn search_bucket(&self) -> Bucket {
        Bucket::General
    }

    fn is_unique(&self, _: &str, property: &str) -> bool {
        property == KEY
    }

    async fn account(&self) -> Answer<Account> {
        self.ask("account", |_| Account { id: "1".into(), environment: "simulation".into() }).await
    }

    async fn describe(&self, _: &str) -> Answer<Vec<Property>> {
        self.ask("describe", |_| Vec::new()).await
    }

    async fn create_key_property(&self, _: &str, _: &str) -> Answer<()> {
        self.ask("property", |_| ()).await
    }

    async fn read_page(&self, request: &PageRequest<'_>) -> Answer<Page> {
        let after = request.position.and_then(|position| {
            let (stamp, id) = position.0.split_once(':')?;
            Some((stamp.parse().ok()?, id.to_owned()))
        });
        self.ask("search", |model| {
            if planted(Bug::ForwardOffset) {
                return by_offset(model, request);
            }
            let mut found = model.search(request.object, request.from, request.until, after.as_ref());
            model.pages.push(format!(
                "page of {} [{}, {}): {:?}",
                request.object,
                request.from,
                request.until,
                found.iter().map(|(id, stamp, _)| (id, stamp)).collect::<Vec<_>>()
            ));
            let rows = usize::from(request.rows_max);
            let more = found.len() > rows;
            found.truncate(rows);
            let next = match found.last() {
                Some((id, stamp, _)) if more => Next::More(Position(format!("{stamp}:{id}"))),
                _ => Next::Drained,
            };
            let records: Vec<Record> = found.iter().map(|found| listed(found, &model.swarm, request.properties)).collect();
            records
                .iter()
                .filter(|record| record.is_part())
                .for_each(|_| model.coverage.count("a list showed a part of a record"));
            let page = Page { records, next, feed: None };
            let window = matches!(page.next, Next::More(_)).then_some((request.from, request.until));
            model.served_page(request.object, &found, window);
            page
        })
        .await
    }

    async fn read_ids(&self, request: &ReadIds<'_>) -> Answer<Vec<Record>> {
        let job = job();
        self.ask("read", |model| {
            let seq = model.seq;
            let mut records: Vec<Record> = Vec::new();
            for asked in request.ids {
                let id = model.stands_for(asked.as_str());
                let Some(rec) = model.records.get(&id).filter(|rec| !rec.archived && rec.object == request.object) else {
                    continue;
                };
                if records.iter().all(|known| known.id.as_str() != id) {
                    records.push(present(&id, rec, request.properties));
                }
                model.served.insert((job, asked.0.clone()), seq);
                model.served.insert((job, id), seq);
            }
            records
        })
        .await
    }

    async fn read_archived(&self, request: &ReadIds<'_>) -> Answer<Vec<Record>> {
        self.ask("read archived", |model| {
            let archived = |id: &RemoteId| {
                let rec = model
                    .records
                    .get(id.as_str())
                    .filter(|rec| rec.archived && rec.merged_into.is_none() && rec.object == request.object)?;
                Some(Record { archived: true, ..present(id.as_str(), rec, request.properties) })
            };
            request.ids.iter().filter_map(archived).collect()
        })
        .await
    }

    async fn look_up(&self, request: &LookUp<'_>) -> Answer<Vec<Record>> {
        let job = job();
        self.ask("look up", |model| {
            model.note_look_up(job);
            if request.unique {
                let ids = request.values.iter().filter_map(|key| model.by_key(request.object, key));
                let ids: Vec<String> = ids.collect();
                return ids.iter().filter_map(|id| Some(present(id, model.records.get(id)?, request.properties))).collect();
            }
            let folded: Vec<String> = request.values.iter().map(|value| value.to_lowercase()).collect();
            let all = model.search(request.object, Millis::MIN, Millis::MAX, None);
            let matching = all.iter().filter(|(_, _, values)| {
                values.get(request.property).is_some_and(|value| folded.contains(&value.to_lowercase()))
            });
            matching.map(|found| listed(found, &model.swarm, request.properties)).collect()
        })
        .await
    }

    async fn write(&self, batch: &WriteBatch<'_>) -> Answer<Outcomes> {
        let author = Author::House(job());
        let object = object(batch.object);
        let write = |item: &tidemark_crm::WriteItem| {
            let id = item.id.as_ref().map(|id| id.0.clone()).unwrap_or_default();
            let target = match batch.kind {
                WriteKind::Create => Target::New,
                WriteKind::Update => Target::Id(id),
                WriteKind::Upsert { key_property: KEY } => Target::Key(item.key.clone().unwrap_or_default()),
                WriteKind::Upsert { key_property } => self.by_natural_key(object, key_property, item),
                WriteKind::Archive => Target::Archive(id),
            };
            Write { object, target, values: item.fields.clone(), author }
        };
        let writes: Vec<Write> = batch.items.iter().map(write).collect();
        let sent: Vec<Vec<String>> =
            batch.items.iter().map(|item| item.fields.iter().map(|(name, _)| name.clone()).collect()).collect();
        self.tell("write", writes, move |model, made| {
            let outcome = |(made, sent): (Option<(String, bool)>, Vec<String>)| {
                let Some((id, created)) = made else { return Err(Failure::new(Class::Gone, "there is no such record")) };
                let Some(rec) = model.records.get(&id) else { return Err(Failure::new(Class::Gone, "there is no such record")) };
                let bodyless = model.swarm.bodyless;
                let value = |name: &String| -> (String, Value) { (name.clone(), rec.get(name).map(str::to_owned)) };
                Ok(Written {
                    id: RemoteId::new(id.as_str()),
                    modified: (!bodyless).then_some(rec.stamp),
                    created: Some(created),
                    fields: if bodyless { Vec::new() } else { sent.iter().map(value).collect() },
                })
            };
            made.into_iter().zip(sent).map(outcome).collect()
        })
        .await
    }

    async fn read_references(&self, _: &str, _: &str, ids: &[RemoteId]) -> Answer<Vec<(RemoteId, Vec<RemoteId>)>> {
        self.ask("references", |model| {
            let refers = |id: &RemoteId| {
                let refers = &model.records.get(id.as_str())?.refers;
                // Who is gone is not listed before who is there.
                let mut refers: Vec<&String> = refers.iter().collect();
                refers.sort_by_key(|id| model.records.get(*id).is_none_or(|record| record.archived));
                (!refers.is_empty()).then(|| (id.clone(), refers.into_iter().map(RemoteId::new).collect()))
            };
            ids.iter().filter_map(refers).collect()
        })
        .await
    }

    async fn refer(&self, _: &str, _: &str, pairs: &[(RemoteId, RemoteId)]) -> Answer<Vec<Result<(), Failure>>> {
        self.associate(pairs, true).await
    }

    async fn unrefer(&self, _: &str, _: &str, pairs: &[(RemoteId, RemoteId)]) -> Answer<Vec<Result<(), Failure>>> {
        self.associate(pairs, false).await
    }
}

impl Face {
    /// Associations move no stamp.
    async fn associate(&self, pairs: &[(RemoteId, RemoteId)], begin: bool) -> Answer<Vec<Result<(), Failure>>> {
        self.ask("associate", |model| {
            let mut outcomes = Vec::new();
            for (from, to) in pairs {
                let to = model.stands_for(to.as_str());
                let there = model.records.get(&to).is_some_and(|rec| !rec.archived);
                outcomes.push(match model.records.get_mut(from.as_str()) {
                    Some(rec) if !rec.archived && there => {
                        if begin {
                            rec.refers.insert(to)
                        } else {
                            rec.refers.remove(&to)
                        };
                        model.writes += 1;
                        Ok(())
                    }
                    _ => Err(Failure::new(Class::Gone, "one of them is gone")),
                });
            }
            outcomes
        })
        .await
    }
}
