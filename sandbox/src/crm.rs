//! The handle on a running practice CRM: what humans do in its screens, and what tests look at. Reads the clock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::Utc;
use serde_json::{Map, Value};

use crate::{
    CallEntry, Counters, ForcedAnswer, ObjectType, Refusal, SandboxConfig, Snapshot, VersionView, Weather,
    call::Call,
    record::Author,
    snapshot,
    world::{Delivery, World},
};

/// A cheap handle; clones share one CRM.
#[derive(Debug, Clone)]
pub struct Crm {
    world: Arc<Mutex<World>>,
}

impl Crm {
    pub(crate) fn new(config: &SandboxConfig) -> Self {
        Self { world: Arc::new(Mutex::new(World::new(config, now_ms()))) }
    }

    /// A human adds a record. Returns its id.
    pub fn create(&self, object: ObjectType, props: &[(&str, &str)]) -> Result<String, Refusal> {
        self.create_from(object, &sent(props))
    }

    /// A human changes some properties. An empty text clears one.
    pub fn edit(&self, object: ObjectType, id: &str, props: &[(&str, &str)]) -> Result<(), Refusal> {
        self.edit_from(object, id, &sent(props), Author::Human)
    }

    /// A calculated field changes: new content under the old modified stamp.
    pub fn recalculate(&self, object: ObjectType, id: &str, props: &[(&str, &str)]) -> Result<(), Refusal> {
        self.edit_from(object, id, &sent(props), Author::Calculation)
    }

    /// A human archives a record.
    pub fn delete(&self, object: ObjectType, id: &str) -> Result<(), Refusal> {
        let (mut world, now_ms) = self.look();
        let moment = world.moment(now_ms);
        world.store.archive(object, id, Author::Human, moment).map(drop)
    }

    /// A human takes an archived record out of the archive.
    pub fn restore(&self, object: ObjectType, id: &str) -> Result<(), Refusal> {
        let (mut world, now_ms) = self.look();
        let moment = world.moment(now_ms);
        world.store.restore(object, id, Author::Human, moment)
    }

    /// A human merges two records; the loser's id stops working.
    pub fn merge(&self, object: ObjectType, winner: &str, loser: &str) -> Result<(), Refusal> {
        let (mut world, now_ms) = self.look();
        let moment = world.moment(now_ms);
        world.store.merge(object, winner, loser, moment)
    }

    /// A human links two records.
    pub fn associate(&self, from: (ObjectType, &str), to: (ObjectType, &str)) -> Result<(), Refusal> {
        self.look().0.store.link(from, to).map(drop)
    }

    /// A human takes the link between two records away.
    pub fn dissociate(&self, from: (ObjectType, &str), to: (ObjectType, &str)) -> Result<(), Refusal> {
        self.look().0.store.unlink(from, to)
    }

    /// The records of one kind that a record is linked to.
    pub fn associated(&self, from: (ObjectType, &str), to: ObjectType) -> Result<Vec<String>, Refusal> {
        self.look().0.store.linked(from, to)
    }

    /// The true present state of all records of one kind, ascending by id.
    pub fn list(&self, object: ObjectType) -> Vec<Snapshot> {
        let (world, now_ms) = self.look();
        snapshot::list(&world.store, object, now_ms)
    }

    /// All versions of one record, oldest first.
    pub fn versions(&self, object: ObjectType, id: &str) -> Result<Vec<VersionView>, Refusal> {
        snapshot::versions(&self.look().0.store, object, id)
    }

    pub fn counters(&self) -> Counters {
        self.look().0.counters()
    }

    /// The last 1000 API calls, newest first.
    pub fn calls(&self) -> Vec<CallEntry> {
        self.look().0.journal.entries().cloned().collect()
    }

    pub fn weather(&self) -> Weather {
        self.look().0.weather.clone()
    }

    /// Holds for later calls; versions already written keep the times they were given.
    pub fn set_weather(&self, weather: Weather) {
        self.look().0.weather = weather;
    }

    /// Replaces the accepted token. `None` accepts none.
    pub fn set_token(&self, token: Option<String>) {
        self.look().0.token = token;
    }

    /// Prepares an answer for the next matching calls.
    pub fn force_next(&self, forced: ForcedAnswer) {
        self.look().0.forced.add(forced);
    }

    pub(crate) fn create_from(&self, object: ObjectType, sent: &Map<String, Value>) -> Result<String, Refusal> {
        let (mut world, now_ms) = self.look();
        let (moment, weather) = (world.moment(now_ms), world.weather.clone());
        let id = world.store.create_by_hand(object, sent, &weather, moment)?;
        Ok(id.to_string())
    }

    pub(crate) fn edit_from(
        &self,
        object: ObjectType,
        id: &str,
        sent: &Map<String, Value>,
        author: Author,
    ) -> Result<(), Refusal> {
        let (mut world, now_ms) = self.look();
        let (moment, weather) = (world.moment(now_ms), world.weather.clone());
        world.store.edit_by_hand(object, id, sent, author, &weather, moment)
    }

    pub(crate) fn latency_ms(&self) -> u64 {
        self.lock().latency_ms()
    }

    pub(crate) fn handle(&self, call: &Call) -> Delivery {
        self.lock().handle(call, now_ms())
    }

    /// The world as of now, late writes landed.
    fn look(&self) -> (MutexGuard<'_, World>, i64) {
        let (mut world, now_ms) = (self.lock(), now_ms());
        world.land(now_ms);
        (world, now_ms)
    }

    /// A panic elsewhere leaves the state readable: every write is a single push.
    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now_ms() -> i64 {
    Utc::now().timestamp_millis()
}

fn sent(props: &[(&str, &str)]) -> Map<String, Value> {
    props.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect()
}
