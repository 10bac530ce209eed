//! All records of one kind: ids, unique values and versions. Decides who owns a unique value.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
};

use serde_json::{Map, Value};

use crate::{
    ObjectType, Refusal,
    record::{Author, Changes, Life, Moment, Props, Record},
    schema::{Habits, Kind, Schema},
    vendor::Vendor,
};

const FIRST_ID: u64 = 501;

#[derive(Debug)]
pub(crate) struct Table {
    vendor: &'static dyn Vendor,
    pub(crate) object: ObjectType,
    pub(crate) schema: Schema,
    records: BTreeMap<u64, Record>,
    /// Record that owns a unique value, by property and value. Uncommitted writes own theirs already.
    owners: HashMap<(String, String), u64>,
    next_id: u64,
}

impl Table {
    pub(crate) fn new(vendor: &'static dyn Vendor, object: ObjectType, now_ms: i64) -> Self {
        Self {
            vendor,
            object,
            schema: Schema::new(vendor.properties(object, now_ms)),
            records: BTreeMap::new(),
            owners: HashMap::new(),
            next_id: FIRST_ID,
        }
    }

    pub(crate) fn find(&self, id: u64) -> Option<&Record> {
        self.records.get(&id)
    }

    /// Every record ever made, ascending by id.
    pub(crate) fn records(&self) -> impl DoubleEndedIterator<Item = &Record> {
        self.records.values()
    }

    pub(crate) fn records_after(&self, id: u64) -> impl Iterator<Item = &Record> {
        self.records.range((Bound::Excluded(id), Bound::Unbounded)).map(|(_, record)| record)
    }

    /// The record that owns a value of a unique property.
    pub(crate) fn owner(&self, property: &str, value: &str) -> Option<u64> {
        self.owners.get(&self.claimed(property, value)).copied()
    }

    /// Checks and alters what one write sets.
    pub(crate) fn clean(&self, sent: &Map<String, Value>, habits: Habits) -> Result<Changes, Refusal> {
        self.schema.clean(sent, habits).map_err(|faults| self.vendor.invalid(self.object, &faults))
    }

    /// Refuses changes that would give `writer` (`None`: a new record) a value another record owns.
    pub(crate) fn check_unique(&self, changes: &Changes, writer: Option<u64>) -> Result<(), Refusal> {
        for (name, value) in self.unique_values(changes) {
            let Some(owner) = self.owner(name, value).filter(|owner| Some(*owner) != writer) else {
                continue;
            };
            return Err(self.vendor.taken(self.object, name, value, owner));
        }
        Ok(())
    }

    /// The unique values among some changes.
    pub(crate) fn unique_values<'a>(&self, changes: &'a Changes) -> impl Iterator<Item = (&'a str, &'a str)> {
        changes
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)))
            .filter(|(name, _)| self.schema.find(name).is_some_and(|property| property.unique))
    }

    /// Adds a record. The caller has checked its unique values.
    pub(crate) fn create(&mut self, changes: &Changes, author: Author, moment: Moment) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let props = altered(&Props::new(), changes);
        self.claim(id, &props);
        self.records.insert(id, Record::new(id, self.object, props, author, moment));
        id
    }

    /// Adds a version, even when nothing differs: a no-op write moves the modified stamp.
    pub(crate) fn update(&mut self, id: u64, changes: &Changes, author: Author, moment: Moment) {
        let Some(record) = self.records.get(&id) else {
            return;
        };
        let released: Vec<(String, String)> =
            changes.keys().filter_map(|name| Some((name.clone(), record.head().props.get(name)?.clone()))).collect();
        let released: Vec<(String, String)> = released.iter().map(|(name, value)| self.claimed(name, value)).collect();
        let Some(record) = self.records.get_mut(&id) else {
            return;
        };
        let props = altered(&record.head().props, changes);
        record.push(props.clone(), Life::Active, author, moment);
        for value in released {
            self.owners.remove(&value);
        }
        self.claim(id, &props);
    }

    /// Ends a record's life. An archived record gives up its unique values, so they can be used again.
    pub(crate) fn archive(&mut self, id: u64, author: Author, moment: Moment) {
        if let Some(record) = self.records.get_mut(&id) {
            let props = (*record.head().props).clone();
            record.push(props, Life::Archived, author, moment);
            self.owners.retain(|_, owner| *owner != id);
        }
    }

    pub(crate) fn erase(&mut self, id: u64, author: Author, moment: Moment) {
        if let Some(record) = self.records.get_mut(&id) {
            record.push(Props::new(), Life::Erased, author, moment);
            self.owners.retain(|_, owner| *owner != id);
        }
    }

    /// Brings an archived record back, with the values nobody took meanwhile.
    pub(crate) fn restore(&mut self, id: u64, author: Author, moment: Moment) {
        let Some(record) = self.records.get(&id) else { return };
        let mut props = (*record.head().props).clone();
        props.retain(|name, value| !self.owners.contains_key(&self.claimed(name, value)));
        if let Some(record) = self.records.get_mut(&id) {
            record.push(props.clone(), Life::Active, author, moment);
        }
        self.claim(id, &props);
    }

    /// Folds `loser` into `winner`: gaps are filled, the vendor's marks are set, the loser's e-mail leads to the winner.
    pub(crate) fn merge(&mut self, winner: u64, loser: u64, author: Author, moment: Moment) {
        let (Some(kept), Some(lost)) = (self.records.get(&winner), self.records.get(&loser)) else {
            return;
        };
        let (own, others) = (kept.head().props.clone(), lost.head().props.clone());
        let mut changes: Changes = others
            .iter()
            .filter(|(name, _)| !own.contains_key(*name))
            .map(|(name, value)| (name.clone(), Some(value.clone())))
            .collect();
        changes.extend(self.vendor.merge_marks(&own, &others, loser));
        for ((property, _), owner) in &mut self.owners {
            if property == "email" && *owner == loser {
                *owner = winner;
            }
        }
        self.owners.retain(|_, owner| *owner != loser);
        if let Some(record) = self.records.get_mut(&loser) {
            record.push((*others).clone(), Life::MergedInto(winner), author, moment);
        }
        self.update(winner, &changes, author, moment);
    }

    fn claim(&mut self, id: u64, props: &Props) {
        for (name, value) in props {
            if self.schema.find(name).is_some_and(|property| property.unique) {
                self.owners.insert(self.claimed(name, value), id);
            }
        }
    }

    /// The form in which a unique value is owned: e-mails in any letter case are one.
    fn claimed(&self, property: &str, value: &str) -> (String, String) {
        let value = value.trim();
        let folds = self.schema.find(property).is_some_and(|property| property.kind == Kind::Email);
        (property.to_owned(), if folds { value.to_lowercase() } else { value.to_owned() })
    }
}

fn altered(props: &Props, changes: &Changes) -> Props {
    let mut props = props.clone();
    for (name, value) in changes {
        match value {
            Some(value) => drop(props.insert(name.clone(), value.clone())),
            None => drop(props.remove(name)),
        }
    }
    props
}
