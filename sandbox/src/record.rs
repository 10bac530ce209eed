//! One record and all its versions, and which version a reader sees at a given time.

use std::{collections::BTreeMap, iter, sync::Arc};

use crate::ObjectType;

/// Values by property name. A cleared property is absent.
pub(crate) type Props = BTreeMap<String, String>;

/// What one write sets (`Some`) and clears (`None`).
pub(crate) type Changes = BTreeMap<String, Option<String>>;

/// The times of one write. `now_ms` is true time, `stamp_ms` is the CRM's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now_ms: i64,
    pub(crate) stamp_ms: i64,
    pub(crate) commit_delay_ms: u64,
    pub(crate) index_lag_ms: u64,
    /// False for an act that the vendor does not count as a modification.
    pub(crate) moves_stamp: bool,
}

/// What is done to a record besides giving it other values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Archive,
    Restore,
    Merge,
}

/// Who made a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Author {
    Api,
    Human,
    /// A calculated field: changes content, leaves the modified stamp alone.
    Calculation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Active,
    Archived,
    MergedInto(u64),
    /// Deleted for good: nothing shows it, nothing brings it back.
    Erased,
}

#[derive(Debug, Clone)]
pub(crate) struct Version {
    /// True time of the write.
    pub(crate) written_ms: i64,
    /// The modified stamp, on the CRM's clock.
    pub(crate) stamp_ms: i64,
    /// True time from which any reader sees it.
    pub(crate) commit_ms: i64,
    /// True time from which search sees it. Never before the commit.
    pub(crate) index_ms: i64,
    pub(crate) author: Author,
    pub(crate) life: Life,
    pub(crate) props: Arc<Props>,
}

#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) id: u64,
    pub(crate) object: ObjectType,
    pub(crate) created_ms: i64,
    head: Version,
    older: Vec<Version>,
}

impl Record {
    pub(crate) fn new(id: u64, object: ObjectType, props: Props, author: Author, moment: Moment) -> Self {
        let head = Version::at(moment, i64::MIN, moment.stamp_ms, author, Life::Active, props);
        Self { id, object, created_ms: moment.stamp_ms, head, older: Vec::new() }
    }

    /// The newest version written, whether or not anyone can see it yet.
    pub(crate) fn head(&self) -> &Version {
        &self.head
    }

    /// Newest first.
    pub(crate) fn versions(&self) -> impl Iterator<Item = &Version> {
        iter::once(&self.head).chain(self.older.iter().rev())
    }

    /// What a read by id or a list sees. `None` while the very first version is not committed.
    pub(crate) fn committed(&self, now_ms: i64) -> Option<&Version> {
        self.versions().find(|version| version.commit_ms <= now_ms)
    }

    /// What search sees: the newest version whose index time has come, which may be an old one.
    pub(crate) fn indexed(&self, now_ms: i64) -> Option<&Version> {
        self.versions().find(|version| version.index_ms <= now_ms)
    }

    /// Adds a version. Versions of one record commit in the order they were written, as behind a row lock.
    pub(crate) fn push(&mut self, props: Props, life: Life, author: Author, moment: Moment) {
        let moves = moment.moves_stamp && author != Author::Calculation;
        let stamp_ms = if moves { moment.stamp_ms } else { self.head.stamp_ms };
        let next = Version::at(moment, self.head.commit_ms, stamp_ms, author, life, props);
        self.older.push(std::mem::replace(&mut self.head, next));
    }
}

impl Version {
    fn at(moment: Moment, not_before_ms: i64, stamp_ms: i64, author: Author, life: Life, props: Props) -> Self {
        let commit_ms = moment.now_ms.saturating_add_unsigned(moment.commit_delay_ms).max(not_before_ms);
        Self {
            written_ms: moment.now_ms,
            stamp_ms,
            commit_ms,
            index_ms: commit_ms.saturating_add_unsigned(moment.index_lag_ms),
            author,
            life,
            props: Arc::new(props),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(now_ms: i64, commit_delay_ms: u64, index_lag_ms: u64) -> Moment {
        Moment { now_ms, stamp_ms: now_ms, commit_delay_ms, index_lag_ms, moves_stamp: true }
    }

    fn named(name: &str) -> Props {
        Props::from([("dealname".to_owned(), name.to_owned())])
    }

    fn seen(version: Option<&Version>) -> Option<&str> {
        version.map(|version| version.props["dealname"].as_str())
    }

    #[test]
    fn search_serves_the_old_version_until_the_new_one_is_indexed() {
        let mut deal = Record::new(1, ObjectType::Deals, named("old"), Author::Api, at(0, 0, 10));
        deal.push(named("new"), Life::Active, Author::Human, at(100, 0, 500));
        assert_eq!(seen(deal.indexed(9)), None);
        assert_eq!(seen(deal.indexed(599)), Some("old"));
        assert_eq!(seen(deal.indexed(600)), Some("new"));
        assert_eq!(seen(deal.committed(100)), Some("new"));
    }

    #[test]
    fn a_late_commit_keeps_its_early_stamp() {
        let mut deal = Record::new(1, ObjectType::Deals, named("old"), Author::Api, at(0, 0, 0));
        deal.push(named("new"), Life::Active, Author::Human, at(100, 900, 0));
        assert_eq!(seen(deal.committed(999)), Some("old"));
        assert_eq!(deal.committed(1000).map(|version| version.stamp_ms), Some(100));
    }

    #[test]
    fn a_second_write_waits_for_the_first_one_to_commit() {
        let mut deal = Record::new(1, ObjectType::Deals, named("old"), Author::Api, at(0, 0, 0));
        deal.push(named("slow"), Life::Active, Author::Human, at(100, 900, 0));
        deal.push(named("quick"), Life::Active, Author::Api, at(200, 0, 0));
        assert_eq!(seen(deal.committed(999)), Some("old"));
        assert_eq!(seen(deal.committed(1000)), Some("quick"));
    }

    #[test]
    fn a_calculated_change_leaves_the_stamp_alone() {
        let mut deal = Record::new(1, ObjectType::Deals, named("old"), Author::Api, at(0, 0, 0));
        deal.push(named("new"), Life::Active, Author::Calculation, at(100, 0, 0));
        assert_eq!((deal.head().stamp_ms, seen(Some(deal.head()))), (0, Some("new")));
    }
}
