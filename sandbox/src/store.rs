//! Everything the CRM knows: a table per kind of object and the links between them. Every write takes its time from the caller.

use serde_json::{Map, Value};

use crate::{
    ObjectType, Refusal,
    links::Links,
    record::{Author, Life, Moment, Record, Version},
    schema::Habits,
    table::Table,
    vendor::Vendor,
};

#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) vendor: &'static dyn Vendor,
    /// In the order of `ObjectType::ALL`; those of kinds the vendor does not keep stay empty.
    tables: [Table; ObjectType::ALL.len()],
    pub(crate) links: Links,
}

impl Store {
    pub(crate) fn new(vendor: &'static dyn Vendor, now_ms: i64) -> Self {
        Self { vendor, tables: ObjectType::ALL.map(|object| Table::new(vendor, object, now_ms)), links: Links::default() }
    }

    pub(crate) fn table(&self, object: ObjectType) -> &Table {
        &self.tables[object as usize]
    }

    pub(crate) fn table_mut(&mut self, object: ObjectType) -> &mut Table {
        &mut self.tables[object as usize]
    }

    /// The record an id leads to and what a reader sees of it. A merged-away id leads on only where `follow` says so.
    pub(crate) fn seen(&self, object: ObjectType, id: u64, now_ms: i64, follow: bool) -> Option<(&Record, &Version)> {
        let record = self.table(object).find(id)?;
        let version = record.committed(now_ms)?;
        match version.life {
            Life::MergedInto(winner) if follow => self.seen(object, winner, now_ms, follow),
            Life::MergedInto(_) | Life::Erased => None,
            Life::Active | Life::Archived => Some((record, version)),
        }
    }

    /// The live record a write by id reaches: the newest state, committed or not, as behind a row lock.
    pub(crate) fn target(&self, object: ObjectType, id: &str, follow: bool) -> Result<u64, Refusal> {
        let missing = || self.vendor.missing(object, id);
        let number = self.vendor.number(object, id).ok_or_else(missing)?;
        let record = self.table(object).find(number).ok_or_else(missing)?;
        match record.head().life {
            Life::Active => Ok(number),
            Life::MergedInto(winner) if follow => self.target(object, &self.vendor.id(object, winner), follow),
            Life::MergedInto(_) | Life::Archived | Life::Erased => Err(missing()),
        }
    }

    /// A human creates a record in the CRM's own screens, which check values as the API does.
    pub(crate) fn create_by_hand(
        &mut self,
        object: ObjectType,
        sent: &Map<String, Value>,
        habits: Habits,
        moment: Moment,
    ) -> Result<u64, Refusal> {
        let table = self.table_mut(object);
        let changes = table.clean(sent, habits)?;
        table.check_unique(&changes, None)?;
        Ok(table.create(&changes, Author::Human, moment))
    }

    /// A human, or a calculation, changes a record.
    pub(crate) fn edit_by_hand(
        &mut self,
        object: ObjectType,
        id: &str,
        sent: &Map<String, Value>,
        author: Author,
        habits: Habits,
        moment: Moment,
    ) -> Result<(), Refusal> {
        let id = self.target(object, id, false)?;
        let table = self.table_mut(object);
        let changes = table.clean(sent, habits)?;
        table.check_unique(&changes, Some(id))?;
        table.update(id, &changes, author, moment);
        Ok(())
    }

    pub(crate) fn archive(&mut self, object: ObjectType, id: &str, author: Author, moment: Moment) -> Result<u64, Refusal> {
        let id = self.target(object, id, false)?;
        self.table_mut(object).archive(id, author, moment);
        self.links.forget((object, id));
        Ok(id)
    }

    /// A live or archived record is deleted for good.
    pub(crate) fn erase(&mut self, object: ObjectType, id: &str, author: Author, moment: Moment) -> Result<u64, Refusal> {
        let vendor = self.vendor;
        let missing = || vendor.missing(object, id);
        let number = vendor.number(object, id).ok_or_else(missing)?;
        let table = self.table_mut(object);
        let there = table.find(number).is_some_and(|record| matches!(record.head().life, Life::Active | Life::Archived));
        if !there {
            return Err(missing());
        }
        table.erase(number, author, moment);
        self.links.forget((object, number));
        Ok(number)
    }

    /// An archived record comes back; its links do not.
    pub(crate) fn restore(&mut self, object: ObjectType, id: &str, author: Author, moment: Moment) -> Result<(), Refusal> {
        let vendor = self.vendor;
        let missing = || vendor.missing(object, id);
        let number = vendor.number(object, id).ok_or_else(missing)?;
        let table = self.table_mut(object);
        let archived = table.find(number).is_some_and(|record| record.head().life == Life::Archived);
        if !archived {
            return Err(missing());
        }
        table.restore(number, author, moment);
        Ok(())
    }

    pub(crate) fn merge(&mut self, object: ObjectType, winner: &str, loser: &str, moment: Moment) -> Result<(), Refusal> {
        let winner = self.target(object, winner, false)?;
        let loser = self.target(object, loser, false)?;
        if winner == loser {
            return Err(Refusal::invalid("Cannot merge a record into itself"));
        }
        self.table_mut(object).merge(winner, loser, Author::Human, moment);
        self.links.inherit((object, loser), (object, winner));
        Ok(())
    }

    pub(crate) fn link(&mut self, from: (ObjectType, &str), to: (ObjectType, &str)) -> Result<(u64, u64), Refusal> {
        let (one, other) = (self.target(from.0, from.1, false)?, self.target(to.0, to.1, false)?);
        self.links.add((from.0, one), (to.0, other));
        Ok((one, other))
    }

    pub(crate) fn unlink(&mut self, from: (ObjectType, &str), to: (ObjectType, &str)) -> Result<(), Refusal> {
        let (one, other) = (self.target(from.0, from.1, false)?, self.target(to.0, to.1, false)?);
        self.links.remove((from.0, one), (to.0, other));
        Ok(())
    }

    pub(crate) fn linked(&mut self, from: (ObjectType, &str), to: ObjectType) -> Result<Vec<String>, Refusal> {
        let one = self.target(from.0, from.1, false)?;
        Ok(self.links.of((from.0, one), to).map(|id| self.vendor.id(to, id)).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{alterations::Alterations, hubspot::Hubspot};

    const HABITS: Habits = Habits {
        check_emails: true,
        lower_emails: true,
        bare_phones: true,
        text_chars_max: None,
        alterations: Alterations::NONE,
    };
    const AT: Moment = Moment { now_ms: 1000, stamp_ms: 1000, commit_delay_ms: 0, index_lag_ms: 0, moves_stamp: true };

    fn create(store: &mut Store, email: &str, phone: &str) -> Result<u64, Refusal> {
        let sent = Map::from_iter([("email".to_owned(), json!(email)), ("phone".to_owned(), json!(phone))]);
        store.create_by_hand(ObjectType::Contacts, &sent, HABITS, AT)
    }

    #[test]
    fn an_email_belongs_to_one_contact_in_any_letter_case() {
        let mut store = Store::new(&Hubspot, 0);
        let id = create(&mut store, "ana@acme.test", "").unwrap();
        let refusal = create(&mut store, "ANA@acme.test", "").unwrap_err();
        assert_eq!(refusal.status(), 409);
        assert_eq!(refusal.message(), format!("Contact already exists. Existing ID: {id}"));
    }

    #[test]
    fn an_archived_contact_gives_its_email_back() {
        let mut store = Store::new(&Hubspot, 0);
        let id = create(&mut store, "ana@acme.test", "").unwrap();
        store.archive(ObjectType::Contacts, &id.to_string(), Author::Human, AT).unwrap();
        assert_ne!(create(&mut store, "ana@acme.test", "").unwrap(), id);
    }

    #[test]
    fn a_restored_contact_lives_again_without_what_was_taken_meanwhile() {
        let mut store = Store::new(&Hubspot, 0);
        let id = create(&mut store, "ana@acme.test", "1").unwrap().to_string();
        assert!(store.restore(ObjectType::Contacts, &id, Author::Human, AT).is_err(), "it is not archived");
        store.archive(ObjectType::Contacts, &id, Author::Human, AT).unwrap();
        create(&mut store, "ana@acme.test", "").unwrap();
        store.restore(ObjectType::Contacts, &id, Author::Human, AT).unwrap();
        let record = store.table(ObjectType::Contacts).find(id.parse().unwrap()).unwrap();
        assert_eq!(record.head().life, Life::Active);
        assert_eq!((record.head().props.get("email"), record.head().props.get("phone").map(String::as_str)), (None, Some("1")));
    }

    #[test]
    fn a_merge_fills_gaps_and_the_losers_email_leads_to_the_winner() {
        let mut store = Store::new(&Hubspot, 0);
        let (winner, loser) =
            (create(&mut store, "ana@acme.test", "").unwrap(), create(&mut store, "ana@home.test", "123").unwrap());
        store.merge(ObjectType::Contacts, &winner.to_string(), &loser.to_string(), AT).unwrap();
        let table = store.table(ObjectType::Contacts);
        let props = &table.find(winner).unwrap().head().props;
        assert_eq!((props["email"].as_str(), props["phone"].as_str()), ("ana@acme.test", "123"));
        assert_eq!(props["hs_merged_object_ids"], loser.to_string());
        assert_eq!(table.owner("email", "Ana@home.test"), Some(winner));
        assert!(store.seen(ObjectType::Contacts, loser, 2000, false).is_none());
        assert_eq!(store.seen(ObjectType::Contacts, loser, 2000, true).unwrap().0.id, winner);
    }
}
