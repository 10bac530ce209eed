//! What people do on both sides: add persons and orders, edit, confirm, delete. Every edit goes into the ledger.

use tidemark_store::pace::Driver;

use super::crm::{Author, Target, Write};
use super::ledger::{Entry, Side};
use super::mapping::CONTACT;
use super::merges::LIVE_MIN;
use super::orders::sql;
use super::world::World;

/// Properties people edit; the tag says who somebody is and stays.
const EDITED: [(&str, &str); 5] =
    [("company", "company"), ("email", "email"), ("firstname", "first_name"), ("lastname", "last_name"), ("phone", "phone")];

/// People write into this column of a customer.
pub(crate) fn is_edited(column: &str) -> bool {
    EDITED.iter().any(|(_, one)| *one == column)
}

impl World {
    /// Who is there before the two sides meet.
    pub(crate) async fn populate(&mut self) -> eyre::Result<()> {
        // Long enough ago for every index to show it.
        self.face.model().fair = true;
        for _ in 0..self.swarm.people {
            match self.turns.below(3) {
                0 => drop(self.add_row().await?),
                1 => self.add_record(None),
                _ => {
                    let tag = self.add_row().await?;
                    self.add_record(Some(tag));
                }
            }
        }
        for _ in 0..self.swarm.people / 2 {
            self.add_order().await?;
        }
        self.face.model().fair = false;
        Ok(())
    }

    pub(crate) async fn edit(&mut self) -> eyre::Result<()> {
        if self.turns.below(100) < self.swarm.deletes {
            return self.delete().await;
        }
        if self.turns.below(100) < self.swarm.merges {
            self.merge_records();
            return Ok(());
        }
        match self.turns.below(20) {
            0 => drop(self.add_row().await?),
            1 => self.add_record(None),
            2 => self.add_order().await?,
            3 | 4 => self.edit_order().await?,
            5 => self.confirm().await?,
            6..=12 => drop(self.edit_row(None).await?),
            _ => drop(self.edit_record(None)),
        }
        if self.turns.chance(self.swarm.clashes)
            && let Some((tag, at)) = self.edit_row(None).await?
        {
            // The same field, or another of the same person: then nothing is in the way of the push, and its page is old.
            let at = if self.turns.chance(0.5) { at } else { self.turns.index(EDITED.len()) };
            self.edit_record(Some((tag, at)));
        }
        Ok(())
    }

    fn number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// Somebody's edit of a field that is none of these: property, column, value.
    pub(crate) fn edit_of_another(&mut self, columns: &[&str]) -> Option<(&'static str, &'static str, Option<String>)> {
        let others: Vec<_> = EDITED.into_iter().filter(|(_, column)| !columns.contains(column)).collect();
        let (property, column) = *others.get(self.turns.index(others.len()))?;
        Some((property, column, self.value(property)))
    }

    fn value(&mut self, property: &str) -> Option<String> {
        let number = self.number();
        match property {
            _ if self.turns.below(12) == 0 => None,
            "phone" => Some(format!("0 {number} 7")),
            _ => Some(format!("{property} {number}")),
        }
    }

    pub(crate) async fn add_row(&mut self) -> eyre::Result<String> {
        let tag = format!("p{}", self.number());
        let mut cells = vec![("tag", "tag", Some(tag.clone()))];
        for (property, column) in EDITED {
            cells.push((property, column, self.value(property)));
        }
        let confirmed = (self.turns.below(5) > 0).then_some("yes");
        let columns: Vec<&str> = cells.iter().map(|(_, column, _)| *column).collect();
        let values: Vec<String> = cells.iter().map(|(_, _, value)| sql(value.as_deref())).collect();
        self.note(|| format!("people add row {cells:?} confirmed {confirmed:?}"));
        let statement = format!(
            "INSERT INTO customers ({}, confirmed) VALUES ({}, {})",
            columns.join(", "),
            values.join(", "),
            sql(confirmed)
        );
        self.orders.person(&statement).await?;
        let key = self.orders.tagged(&tag).pop().unwrap_or_default();
        for (property, _, value) in cells {
            self.wrote(&key, &tag, property, value, None);
        }
        Ok(tag)
    }

    pub(crate) fn add_record(&mut self, tag: Option<String>) {
        let tag = tag.unwrap_or_else(|| format!("p{}", self.number()));
        let mut values = vec![("tag".to_owned(), Some(tag))];
        for (property, _) in EDITED {
            let value = self.value(property);
            values.push((property.to_owned(), value));
        }
        self.note(|| format!("people add record {values:?}"));
        self.face.model().edit(Write { object: "contacts", target: Target::New, values, author: Author::People });
        self.hear_people();
    }

    pub(crate) async fn add_order(&mut self) -> eyre::Result<()> {
        let customers: Vec<String> = self.orders.customers.keys().cloned().collect();
        if customers.is_empty() {
            return Ok(());
        }
        let customer = &customers[self.turns.index(customers.len())];
        let number = self.number();
        let status = ["draft", "accepted", "accepted"][self.turns.index(3)];
        let cents = self.turns.below(100_000);
        self.note(|| format!("people add order O{number} of row {customer}: {status} {cents}"));
        self.orders
            .person(&format!("INSERT INTO orders (number, customer_id, status, total_cents) VALUES ('O{number}', {customer}, '{status}', {cents})"))
            .await
    }

    async fn edit_order(&mut self) -> eyre::Result<()> {
        let orders: Vec<String> = self.orders.orders.keys().cloned().collect();
        if orders.is_empty() {
            return Ok(());
        }
        let order = &orders[self.turns.index(orders.len())];
        let set = match self.turns.below(3) {
            0 => format!("total_cents = {}", self.turns.below(100_000)),
            _ => format!("status = '{}'", ["accepted", "shipped", "cancelled"][self.turns.index(3)]),
        };
        self.note(|| format!("people edit order {order}: {set}"));
        self.orders.person(&format!("UPDATE orders SET {set} WHERE id = {order}")).await
    }

    async fn confirm(&mut self) -> eyre::Result<()> {
        self.note(|| "people confirm an e-mail".into());
        let unconfirmed = self.orders.customers.iter().filter(|(_, row)| row["confirmed"].is_none());
        let first = unconfirmed.min_by_key(|(key, _)| key.parse::<i64>().unwrap_or(i64::MAX));
        if let Some(tag) = first.and_then(|(_, row)| row["tag"].clone()) {
            self.ledger.touched.insert(tag, self.turns.now());
        }
        self.orders
            .person("UPDATE customers SET confirmed = 'yes' WHERE id = (SELECT min(id) FROM customers WHERE confirmed IS NULL)")
            .await
    }

    /// Edits one field of a row. Whose, and which.
    async fn edit_row(&mut self, what: Option<(String, usize)>) -> eyre::Result<Option<(String, usize)>> {
        let keys: Vec<String> = match &what {
            Some((tag, _)) => self.orders.tagged(tag),
            None => self.orders.customers.keys().cloned().collect(),
        };
        if keys.is_empty() {
            return Ok(None);
        }
        let key = keys[self.turns.index(keys.len())].clone();
        let at = what.map_or_else(|| self.turns.index(EDITED.len()), |(_, at)| at);
        let (property, column) = EDITED[at];
        let value = self.value(property);
        let before = self.orders.customers[&key][column].clone();
        let tag = self.orders.customers[&key]["tag"].clone().unwrap_or_default();
        self.note(|| format!("people edit row {key} ({tag}): {column} {before:?} → {value:?}"));
        self.orders.person(&format!("UPDATE customers SET {column} = {} WHERE id = {key}", sql(value.as_deref()))).await?;
        if before != value {
            self.wrote(&key, &tag, property, value, before);
        }
        Ok(Some((tag, at)))
    }

    /// Edits one property of a record.
    fn edit_record(&mut self, what: Option<(String, usize)>) -> Option<()> {
        let ids: Vec<String> = {
            let crm = self.face.model();
            match &what {
                Some((tag, _)) => crm.tagged("contacts", "tag", tag),
                None => crm
                    .records
                    .iter()
                    .filter(|(_, rec)| rec.object == "contacts" && !rec.archived)
                    .map(|(id, _)| id.clone())
                    .collect(),
            }
        };
        let id = ids.get(self.turns.index(ids.len()))?.clone();
        let at = what.map_or_else(|| self.turns.index(EDITED.len()), |(_, at)| at);
        let (property, _) = EDITED[at];
        let value = self.value(property);
        self.note(|| format!("people edit record {id}: {property} → {value:?}"));
        let values = vec![(property.to_owned(), value)];
        self.face.model().edit(Write { object: "contacts", target: Target::Id(id), values, author: Author::People });
        self.hear_people();
        Some(())
    }

    async fn delete(&mut self) -> eyre::Result<()> {
        let keys: Vec<String> = self.orders.customers.keys().cloned().collect();
        if keys.is_empty() {
            return Ok(());
        }
        let key = &keys[self.turns.index(keys.len())];
        let tag = self.orders.customers[key]["tag"].clone().unwrap_or_default();
        self.ledger.deleted.insert(tag.clone());
        // Their record may be another's by now.
        let became = self.ledger.became(&tag).to_owned();
        self.ledger.deleted.insert(became);
        if self.orders.customers[key]["remote"].is_some() {
            self.ledger.buried.insert(tag.clone());
        }
        self.coverage.count("a person was deleted");
        let live = self.face.model().records.values().filter(|rec| rec.object == "contacts" && !rec.archived).count();
        if self.turns.below(2) == 0 || live < LIVE_MIN {
            self.note(|| format!("people delete row {key} ({tag})"));
            self.orders.person(&format!("DELETE FROM customers WHERE id = {key}")).await?;
        } else {
            let ids = self.face.model().tagged("contacts", "tag", &tag);
            for id in ids {
                self.note(|| format!("people archive record {id} ({tag})"));
                let write = Write { object: "contacts", target: Target::Archive(id), values: Vec::new(), author: Author::People };
                self.face.model().edit(write);
            }
        }
        Ok(())
    }

    /// What people's writes in the CRM came to, as they took effect.
    pub(crate) fn hear_people(&mut self) {
        let heard = std::mem::take(&mut self.face.model().heard);
        for (id, property, before, value, seq) in heard {
            let tag = self.face.model().records.get(&id).and_then(|rec| rec.get("tag").map(str::to_owned));
            let Some(tag) = tag else { continue };
            let blank = |text: Option<String>| text.filter(|text| !text.is_empty());
            let entry = Entry { side: Side::Records, row: None, seq, value: blank(Some(value)), before: blank(before) };
            self.ledger.write(&tag, &property, entry);
        }
    }

    /// Somebody wrote into a row.
    pub(crate) fn wrote(&mut self, key: &str, tag: &str, property: &str, value: Option<String>, before: Option<String>) {
        debug_assert!(CONTACT.iter().any(|(name, _, _)| *name == property));
        let seq = self.face.model().next_seq();
        self.ledger.touched.insert(tag.to_owned(), self.turns.now());
        self.ledger.write(tag, property, Entry { side: Side::Rows, row: Some(key.to_owned()), seq, value, before });
    }
}
