//! The model CRM: every version of every record, who wrote it, and when each part of the CRM sees it. Knows nothing of Tidemark's tables; it is the oracle.

use std::collections::{BTreeMap, BTreeSet};

use tidemark_core::Millis;

use super::coverage::Coverage;
use super::driver::Turns;
use super::gap::Looked;
use super::index::Snapshot;
use super::swarm::Swarm;

/// The property that lists the records that were merged into one.
pub(crate) const MERGED: &str = "merged";

/// The property that holds our key.
pub(crate) const KEY: &str = "house_key";

/// Who wrote a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Author {
    People,
    /// Tidemark, in this job.
    House(u64),
}

/// One property as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) value: String,
    pub(crate) author: Author,
    /// Place in the world's one order of events.
    pub(crate) seq: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Rec {
    pub(crate) object: &'static str,
    pub(crate) key: Option<String>,
    pub(crate) stamp: Millis,
    pub(crate) archived: bool,
    /// The record that stands for it since people merged the two.
    pub(crate) merged_into: Option<String>,
    /// Records that were merged into it, and when the last of them was.
    pub(crate) absorbed: Vec<String>,
    pub(crate) absorbed_seq: u64,
    pub(crate) cells: BTreeMap<String, Cell>,
    /// Other records it refers to.
    pub(crate) refers: BTreeSet<String>,
    /// Every value a property ever had: when it said so last, and under which stamp.
    pub(crate) ever: BTreeMap<String, BTreeMap<String, (u64, Millis)>>,
    pub(super) snapshots: Vec<Snapshot>,
}

impl Rec {
    /// Its properties, with the one that lists what was merged into it and the one that holds our key.
    pub(crate) fn values(&self) -> BTreeMap<String, String> {
        let cells = self.cells.iter().map(|(name, cell)| (name.clone(), cell.value.clone()));
        let merged = (!self.absorbed.is_empty()).then(|| (MERGED.to_owned(), self.absorbed.join(";")));
        let key = self.key.clone().map(|key| (KEY.to_owned(), key));
        cells.chain(merged).chain(key).collect()
    }

    pub(crate) fn get(&self, property: &str) -> Option<&str> {
        self.cells.get(property).map(|cell| cell.value.as_str()).filter(|text| !text.is_empty())
    }
}

/// A write that takes effect later.
#[derive(Debug, Clone)]
pub(crate) struct Landing {
    pub(crate) at: Millis,
    pub(crate) stamp: Millis,
    pub(crate) write: Write,
}

/// One record's write.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) object: &'static str,
    pub(crate) target: Target,
    pub(crate) values: Vec<(String, Option<String>)>,
    pub(crate) author: Author,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    New,
    /// By our key: create or update.
    Key(String),
    Id(String),
    Archive(String),
}

/// What the house did to a property, for the laws.
#[derive(Debug, Clone)]
pub(crate) struct Overwritten {
    pub(crate) object: &'static str,
    pub(crate) id: String,
    pub(crate) property: String,
    pub(crate) before: Option<Cell>,
    pub(crate) after: String,
    pub(crate) job: u64,
    pub(crate) created: bool,
    /// It was meant for a record that has been merged into this one.
    pub(crate) through: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Crm {
    pub(crate) swarm: Swarm,
    pub(super) turns: Turns,
    pub(crate) records: BTreeMap<String, Rec>,
    next_id: u64,
    /// When what is being applied was committed, where that is not now.
    pub(super) committed_at: Option<Millis>,
    pub(crate) seq: u64,
    pub(crate) landings: Vec<Landing>,
    /// When a record was last served by its id to a job: the order of events.
    pub(crate) served: BTreeMap<(u64, String), u64>,
    /// Since the laws last looked.
    pub(crate) overwritten: Vec<Overwritten>,
    /// What people's writes came to: record, property, before, after, place in the order of events.
    pub(crate) heard: Vec<(String, String, Option<String>, String, u64)>,
    pub(crate) calls: Vec<Millis>,
    /// Pages served since they were traced last.
    pub(crate) pages: Vec<String>,
    pub(crate) coverage: Coverage,
    /// Writes of the house that have left and are not heard of yet.
    pub(crate) under_way: usize,
    /// Records the house made and has not heard of.
    pub(crate) unheard: BTreeSet<String>,
    /// A window was left with more to come: its object and bounds.
    pub(crate) paging: Option<(String, Millis, Millis)>,
    pub(crate) writes: u64,
    /// Records the house archived, by object.
    pub(crate) archived: BTreeMap<&'static str, i64>,
    /// Whom the house archived although others had been merged into them, in the moment between its read and its write.
    pub(crate) archived_in_the_gap: BTreeSet<String>,
    /// When a job last looked for records by what is in them.
    pub(super) looked: BTreeMap<u64, Looked>,
    /// Who got a second record although the house had looked for the first.
    pub(crate) doubled_in_the_gap: BTreeSet<String>,
    /// Edited records that a person told the house to archive all the same.
    pub(crate) let_go: BTreeSet<String>,
    /// Whose record the house archived with an edit in it, because a person said so or in that moment, and when.
    pub(crate) gone_edited: BTreeMap<String, u64>,
    pub(crate) faults: u64,
    pub(crate) fair: bool,
}

impl Crm {
    pub(crate) fn new(swarm: Swarm, turns: Turns) -> Self {
        Self {
            swarm,
            turns,
            records: BTreeMap::new(),
            next_id: 1_000,
            committed_at: None,
            seq: 0,
            landings: Vec::new(),
            served: BTreeMap::new(),
            overwritten: Vec::new(),
            heard: Vec::new(),
            calls: Vec::new(),
            pages: Vec::new(),
            coverage: Coverage::default(),
            under_way: 0,
            unheard: BTreeSet::new(),
            paging: None,
            writes: 0,
            archived: BTreeMap::new(),
            archived_in_the_gap: BTreeSet::new(),
            looked: BTreeMap::new(),
            doubled_in_the_gap: BTreeSet::new(),
            let_go: BTreeSet::new(),
            gone_edited: BTreeMap::new(),
            faults: 0,
            fair: false,
        }
    }

    pub(crate) fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    pub(super) fn our_now(&self) -> Millis {
        use tidemark_store::pace::Driver;
        self.turns.now()
    }

    /// The CRM's own clock.
    pub(crate) fn now(&self) -> Millis {
        self.our_now() + self.swarm.skew
    }

    /// The latest stamp there is.
    pub(crate) fn latest(&self) -> Millis {
        self.records.values().map(|record| record.stamp).max().unwrap_or(0)
    }

    pub(crate) fn stamp(&self) -> Millis {
        self.now().div_euclid(self.swarm.precision) * self.swarm.precision
    }

    /// People write; the commit may take its time.
    pub(crate) fn edit(&mut self, write: Write) {
        let stamp = self.stamp();
        if self.under_way > 0 {
            self.coverage.count("an edit met a push under way");
        }
        let late = self.swarm.commit_lag > 0 && !self.fair && self.turns.chance(0.4);
        let at = self.our_now()
            + if late { i64::try_from(self.turns.below(self.swarm.commit_lag.unsigned_abs())).unwrap_or(0) } else { 0 };
        self.landings.push(Landing { at, stamp, write });
        self.land();
    }

    /// Whatever is due takes effect.
    pub(crate) fn land(&mut self) {
        let now = self.our_now();
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.landings).into_iter().partition(|one| one.at <= now);
        self.landings = later;
        for landing in due {
            // However far the clock was set: the index counts from the commit.
            self.committed_at = Some(landing.at);
            let _ = self.apply(&landing.write, landing.stamp);
        }
        self.committed_at = None;
    }

    /// Applies one write now, under a stamp. The record's id, and whether it is new; `None` when its target is gone.
    pub(crate) fn apply(&mut self, write: &Write, stamp: Millis) -> Option<(String, bool)> {
        let (id, created) = match &write.target {
            Target::New => (self.make(write.object, None), true),
            Target::Key(key) => match self.by_key(write.object, key) {
                Some(id) => (id, false),
                None => (self.make(write.object, Some(key.clone())), true),
            },
            Target::Id(id) => (self.stands_for(id), false),
            Target::Archive(id) => (id.clone(), false),
        };
        let through = match &write.target {
            Target::Id(meant) if *meant != id => Some(meant.clone()),
            _ => None,
        };
        let seq = self.next_seq();
        let normalises = self.swarm.normalises;
        let record = self.records.get_mut(&id).filter(|record| !record.archived)?;
        if let Author::House(_) = write.author {
            self.writes += 1;
        }
        let mut moved = created;
        if let Target::Archive(_) = write.target {
            record.archived = true;
            moved = true;
            if let Author::House(job) = write.author {
                *self.archived.entry(record.object).or_default() += 1;
                let served = self.served.get(&(job, id.clone())).copied();
                let edited = record
                    .cells
                    .values()
                    .any(|cell| cell.author == Author::People && served.is_some_and(|served| cell.seq > served));
                if edited || self.let_go.contains(&id) {
                    self.gone_edited.extend(record.get("tag").map(|tag| (tag.to_owned(), seq)));
                }
                if served.is_some_and(|served| record.absorbed_seq > served) {
                    self.archived_in_the_gap.extend(record.get("tag").map(str::to_owned));
                }
            }
        }
        for (property, value) in &write.values {
            let value = value.clone().unwrap_or_default();
            let sent = value.len();
            let value = if normalises && property == "phone" { value.replace(' ', "") } else { value };
            if value.len() != sent {
                self.coverage.count("the CRM altered a value");
            }
            let before = record.cells.get(property).cloned();
            let same = before.as_ref().map_or(value.is_empty(), |cell| cell.value == value);
            if let Author::House(job) = write.author {
                self.overwritten.push(Overwritten {
                    object: write.object,
                    id: id.clone(),
                    property: property.clone(),
                    before: before.clone(),
                    after: value.clone(),
                    job,
                    created,
                    through: through.clone(),
                });
            }
            if same {
                continue;
            }
            moved = true;
            if write.author == Author::People {
                self.heard.push((id.clone(), property.clone(), before.map(|cell| cell.value), value.clone(), seq));
            }
            record.ever.entry(property.clone()).or_default().insert(value.clone(), (seq, stamp));
            record.cells.insert(property.clone(), Cell { value, author: write.author, seq });
        }
        if moved || self.swarm.noop_moves_stamp {
            let left = self.paging.as_ref().is_some_and(|(object, from, until)| {
                record.object == object && (*from..*until).contains(&record.stamp) && !(*from..*until).contains(&stamp)
            });
            if left {
                self.coverage.count("a record left its window while it was paged");
            }
            if moved && stamp == record.stamp {
                self.coverage.count("one stamp, two contents");
            }
            record.stamp = stamp;
        }
        if created && write.author != Author::People {
            self.unheard.insert(id.clone());
        }
        if let (true, Author::House(job)) = (created, write.author) {
            self.note_double(&id, job);
        }
        self.snapshot(&id);
        Some((id, created))
    }

    /// What answers for an id: itself, or, in a CRM that leads on, the record it was merged into.
    pub(crate) fn stands_for(&self, id: &str) -> String {
        match self.records.get(id).and_then(|record| record.merged_into.as_deref()).filter(|_| self.swarm.merged_answers) {
            Some(survivor) => self.stands_for(survivor),
            None => id.to_owned(),
        }
    }

    /// People merge one record into another, whose blanks it fills; what referred to it refers to the other. Its place in the order of events.
    pub(crate) fn merge(&mut self, survivor: &str, lost: &str) -> u64 {
        let (stamp, seq) = (self.stamp(), self.next_seq());
        let Some(gone) = self.records.get_mut(lost) else { return seq };
        (gone.archived, gone.merged_into, gone.absorbed_seq) = (true, Some(survivor.to_owned()), seq);
        let (cells, key) = (gone.cells.clone(), gone.key.take());
        let absorbed = std::mem::take(&mut gone.absorbed);
        self.snapshot(lost);
        let Some(stays) = self.records.get_mut(survivor) else { return seq };
        stays.absorbed.push(lost.to_owned());
        stays.absorbed.extend(absorbed);
        (stays.stamp, stays.absorbed_seq) = (stamp, seq);
        stays.key = stays.key.take().or(key);
        for (property, cell) in cells {
            if stays.get(&property).is_none() && !cell.value.is_empty() {
                self.heard.push((survivor.to_owned(), property.clone(), None, cell.value.clone(), seq));
                stays.ever.entry(property.clone()).or_default().insert(cell.value.clone(), (seq, stamp));
                stays.cells.insert(property, Cell { value: cell.value, author: Author::People, seq });
            }
        }
        self.snapshot(survivor);
        for record in self.records.values_mut() {
            if record.refers.remove(lost) {
                record.refers.insert(survivor.to_owned());
            }
        }
        seq
    }

    fn make(&mut self, object: &'static str, key: Option<String>) -> String {
        self.next_id += 1;
        let id = self.next_id.to_string();
        let record = Rec {
            object,
            key,
            stamp: 0,
            archived: false,
            merged_into: None,
            absorbed: Vec::new(),
            absorbed_seq: 0,
            cells: BTreeMap::new(),
            refers: BTreeSet::new(),
            ever: BTreeMap::new(),
            snapshots: Vec::new(),
        };
        self.records.insert(id.clone(), record);
        id
    }

    /// People take our key out of a record.
    pub(crate) fn take_key(&mut self, id: &str) {
        let stamp = self.stamp();
        let Some(record) = self.records.get_mut(id) else { return };
        (record.key, record.stamp) = (None, stamp);
        self.snapshot(id);
    }

    pub(crate) fn by_key(&self, object: &str, key: &str) -> Option<String> {
        let same = |record: &&Rec| record.object == object && !record.archived && record.key.as_deref() == Some(key);
        self.records.iter().find(|(_, record)| same(record)).map(|(id, _)| id.clone())
    }

    /// Records that stand for one thing: live ones of an object with this tag.
    pub(crate) fn tagged(&self, object: &str, property: &str, tag: &str) -> Vec<String> {
        let same = |record: &&Rec| record.object == object && !record.archived && record.get(property) == Some(tag);
        self.records.iter().filter(|(_, record)| same(record)).map(|(id, _)| id.clone()).collect()
    }
}
