//! The handle on a running practice CRM: what humans do in its screens, and what tests look at. Reads the clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::Utc;
use serde_json::{Map, Value, json};

use crate::{
    CallEntry, Counters, Dialect, ForcedAnswer, ObjectType, QuirkView, Refusal, SandboxConfig, Setting, Snapshot, VersionView,
    Weather,
    call::Call,
    record::{Act, Author},
    schema::Property,
    snapshot,
    vendor::Vendor,
    world::{Delivery, World},
};

/// A cheap handle; clones share one CRM.
#[derive(Debug, Clone)]
pub struct Crm {
    dialect: Dialect,
    world: Arc<Mutex<World>>,
}

impl Crm {
    pub(crate) fn new(config: &SandboxConfig) -> Self {
        Self { dialect: config.dialect, world: Arc::new(Mutex::new(World::new(config, now_ms()))) }
    }

    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The kinds of object the dialect keeps, with the vendor's names for them.
    pub fn objects(&self) -> &'static [(ObjectType, &'static str)] {
        self.vendor().objects()
    }

    /// A human fills the account with so many records of its first kind.
    pub fn populate(&self, records: u32) -> Result<(), Refusal> {
        let vendor = self.vendor();
        let Some((object, _)) = vendor.objects().first() else { return Ok(()) };
        for at in 1..=records {
            let sample = vendor.sample(at);
            let props: Vec<(&str, &str)> = sample.iter().map(|(name, value)| (*name, value.as_str())).collect();
            self.create(*object, &props)?;
        }
        Ok(())
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
        let moment = world.moment_of(Act::Archive, now_ms);
        world.store.archive(object, id, Author::Human, moment).map(drop)
    }

    /// A human takes an archived record out of the archive.
    pub fn restore(&self, object: ObjectType, id: &str) -> Result<(), Refusal> {
        let (mut world, now_ms) = self.look();
        let moment = world.moment_of(Act::Restore, now_ms);
        world.store.restore(object, id, Author::Human, moment)
    }

    /// A human merges two records; the loser's id stops working.
    pub fn merge(&self, object: ObjectType, winner: &str, loser: &str) -> Result<(), Refusal> {
        let (mut world, now_ms) = self.look();
        let moment = world.moment_of(Act::Merge, now_ms);
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

    /// The quirks of this dialect, each with its present and its normal state.
    pub fn quirks(&self) -> Vec<QuirkView> {
        self.look().0.quirks.views()
    }

    /// Switches one quirk. A name the dialect does not have is refused.
    pub fn set_quirk(&self, name: &str, setting: impl Into<Setting>) -> Result<(), Refusal> {
        self.look().0.quirks.set(name, setting.into())
    }

    /// The answers a `ForcedAnswer` may name as its `shape`.
    pub fn shapes(&self) -> &'static [&'static str] {
        self.vendor().shapes()
    }

    /// Those of them that say: later.
    pub fn throttles(&self) -> &'static [&'static str] {
        self.vendor().throttles()
    }

    /// The switches that only make a caller wait.
    pub fn quotas(&self) -> &'static [&'static str] {
        self.vendor().quotas()
    }

    /// What a stranger has to know to make use of the control API.
    pub(crate) fn about(&self) -> Value {
        let vendor = self.vendor();
        json!({
            "program": "tidemark sandbox",
            "dialect": self.dialect.name(),
            "account": self.look().0.account(),
            "objects": vendor.objects().iter().map(|(_, name)| name).collect::<Vec<_>>(),
            "throttles": vendor.throttles(),
            "day": vendor.day(),
            "quotas": vendor.quotas(),
            "caps": vendor.caps(),
            "wears": vendor.wears().iter().copied().collect::<BTreeMap<_, _>>(),
            "merges": vendor.merges(),
        })
    }

    /// An administrator takes a property away. Its values stay where they are.
    pub fn remove_property(&self, object: ObjectType, name: &str) -> Result<(), Refusal> {
        let (mut world, now_ms) = self.look();
        let property = world.store.table_mut(object).schema.change(name).ok_or_else(|| no_such_property(name))?;
        property.archived = true;
        property.updated_ms = now_ms;
        Ok(())
    }

    /// Replaces the accepted token, and tells the one before. `None` accepts none. Access tokens given out before die with the old one.
    pub fn set_token(&self, token: Option<String>) -> Option<String> {
        let (mut world, _) = self.look();
        world.memory.forget_tokens();
        world.memory.forget_refresh();
        std::mem::replace(&mut world.token, token)
    }

    /// The access tokens given out so far are no longer accepted. New ones can be had.
    pub fn expire_access_tokens(&self) {
        self.look().0.memory.forget_tokens();
    }

    /// An administrator adds a property. Kinds: `text`, `email`, `phone`, `number`, `boolean`, `date`, `datetime`, `enumeration`.
    /// Returns the name the vendor gives it.
    pub fn add_property(&self, object: ObjectType, name: &str, kind: &str, unique: bool) -> Result<String, Refusal> {
        let kind = serde_json::from_value(Value::from(kind))
            .map_err(|_| Refusal::invalid(format!("There is no kind of property called {kind}")))?;
        self.add_made_property(object, Property { unique, stock: false, ..Property::stock(name, name, kind, now_ms()) })
    }

    /// Prepares an answer for the next matching calls.
    pub fn force_next(&self, forced: ForcedAnswer) {
        self.look().0.forced.add(forced);
    }

    pub(crate) fn create_from(&self, object: ObjectType, sent: &Map<String, Value>) -> Result<String, Refusal> {
        let (mut world, now_ms) = self.look();
        let (moment, habits) = (world.moment(now_ms), world.habits());
        let id = world.store.create_by_hand(object, sent, habits, moment)?;
        Ok(world.vendor.id(object, id))
    }

    pub(crate) fn edit_from(
        &self,
        object: ObjectType,
        id: &str,
        sent: &Map<String, Value>,
        author: Author,
    ) -> Result<(), Refusal> {
        let (mut world, now_ms) = self.look();
        let (moment, habits) = (world.moment(now_ms), world.habits());
        world.store.edit_by_hand(object, id, sent, author, habits, moment)
    }

    /// An administrator adds a property or brings a removed one back.
    pub(crate) fn add_made_property(&self, object: ObjectType, property: Property) -> Result<String, Refusal> {
        let mut world = self.look().0;
        let made = world.vendor.property_name(&property.name);
        let schema = &mut world.store.table_mut(object).schema;
        // One that was taken away comes back under the name that it had.
        let name = if schema.all().any(|known| known.name == property.name) { property.name.clone() } else { made };
        if schema.add(Property { name: name.clone(), ..property }) {
            return Ok(name);
        }
        Err(Refusal::new(409, "CONFLICT", format!("A property named {name} is already there")))
    }

    pub(crate) fn alter_quirks(&self, changes: &Map<String, Value>) -> Result<Value, Refusal> {
        let (mut world, _) = self.look();
        world.quirks.alter(changes)?;
        Ok(world.quirks.values())
    }

    pub(crate) fn vendor(&self) -> &'static dyn Vendor {
        self.dialect.vendor()
    }

    pub(crate) fn latency_ms(&self) -> u64 {
        self.lock().latency_ms()
    }

    /// Counts a call as being answered until the guard is dropped.
    pub(crate) fn enter(&self) -> Presence {
        self.lock().in_flight += 1;
        Presence(self.clone())
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

/// A call that is being answered.
pub(crate) struct Presence(Crm);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.lock().in_flight -= 1;
    }
}

fn now_ms() -> i64 {
    Utc::now().timestamp_millis()
}

fn no_such_property(name: &str) -> Refusal {
    Refusal::new(404, "OBJECT_NOT_FOUND", format!("There is no property {name} here"))
}

fn sent(props: &[(&str, &str)]) -> Map<String, Value> {
    props.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect()
}
