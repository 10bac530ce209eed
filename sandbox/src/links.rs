//! Associations between records. They have no time of their own and move no modified stamp.

use std::collections::{BTreeMap, BTreeSet};

use crate::ObjectType;

/// A record named across kinds.
pub(crate) type Node = (ObjectType, u64);

/// Every link is kept from both ends.
#[derive(Debug, Default)]
pub(crate) struct Links {
    ends: BTreeMap<Node, BTreeSet<Node>>,
}

impl Links {
    pub(crate) fn add(&mut self, one: Node, other: Node) {
        self.ends.entry(one).or_default().insert(other);
        self.ends.entry(other).or_default().insert(one);
    }

    pub(crate) fn remove(&mut self, one: Node, other: Node) {
        for (from, to) in [(one, other), (other, one)] {
            if let Some(ends) = self.ends.get_mut(&from) {
                ends.remove(&to);
            }
        }
    }

    /// Ids of the given kind linked to a record, ascending.
    pub(crate) fn of(&self, node: Node, kind: ObjectType) -> impl Iterator<Item = u64> {
        self.ends.get(&node).into_iter().flatten().filter(move |(object, _)| *object == kind).map(|(_, id)| *id)
    }

    /// Drops all links of a record.
    pub(crate) fn forget(&mut self, node: Node) {
        for other in self.ends.remove(&node).unwrap_or_default() {
            self.remove(other, node);
        }
    }

    /// Gives all links of `from` to `to`, as a merge does.
    pub(crate) fn inherit(&mut self, from: Node, to: Node) {
        let inherited = self.ends.get(&from).cloned().unwrap_or_default();
        self.forget(from);
        for other in inherited.into_iter().filter(|other| *other != to) {
            self.add(to, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEAL: Node = (ObjectType::Deals, 1);
    const ANA: Node = (ObjectType::Contacts, 1);
    const BEN: Node = (ObjectType::Contacts, 2);

    fn contacts(links: &Links) -> Vec<u64> {
        links.of(DEAL, ObjectType::Contacts).collect()
    }

    #[test]
    fn one_deal_may_have_several_contacts_and_each_end_knows() {
        let mut links = Links::default();
        links.add(DEAL, BEN);
        links.add(ANA, DEAL);
        assert_eq!(contacts(&links), [1, 2]);
        assert_eq!(links.of(ANA, ObjectType::Deals).collect::<Vec<_>>(), [1]);
        links.remove(ANA, DEAL);
        assert_eq!(contacts(&links), [2]);
    }

    #[test]
    fn a_merge_hands_the_losers_links_to_the_winner() {
        let mut links = Links::default();
        links.add(DEAL, BEN);
        links.inherit(BEN, ANA);
        assert_eq!(contacts(&links), [1]);
    }
}
