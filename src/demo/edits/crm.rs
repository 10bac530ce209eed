//! Sales people in the CRM's own screens: companies, phones, e-mails, new contacts; and edits of what the order system owns, to be put right.

use std::time::{Duration, Instant};

use eyre::eyre;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tidemark_sandbox::{Crm, ObjectType, Refusal};

use super::super::people::{amount, company, first_name, person, phone};

/// How long a list of records is used before it is looked at again.
const LIST_AGE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Editor {
    crm: Crm,
    dice: StdRng,
    seed: u64,
    /// Contacts that the CRM knew first. Only their e-mail and phone are changed here: what the order system has of them came from here.
    own: Vec<String>,
    contacts: Vec<String>,
    /// Deals with the name of an order.
    deals: Vec<String>,
    listed: Option<Instant>,
    made: u64,
    visitors: u64,
}

impl Editor {
    pub(super) fn new(crm: Crm, dice: StdRng, seed: u64, own: Vec<String>) -> Self {
        Self { crm, dice, seed, own, contacts: Vec::new(), deals: Vec::new(), listed: None, made: 0, visitors: 0 }
    }

    pub(super) fn breath(&mut self, every: Duration) -> Duration {
        super::breath(&mut self.dice, every)
    }

    /// One edit; false when there was nothing of the kind to edit.
    pub(super) fn edit(&mut self) -> eyre::Result<bool> {
        self.list();
        let kind = self.dice.random_range(0..100);
        let edited = match kind {
            0..30 => self.change_company(),
            30..48 => self.change_phone(),
            48..54 => self.change_email(),
            54..68 => self.change_first_name(),
            68..84 => self.change_amount(),
            84..88 => self.change_stage(),
            _ => self.add_contact(),
        };
        edited.or_else(|refusal| match refusal.status() {
            // The e-mail is taken, or the record is gone: sales shrugs and goes on.
            404 | 409 => Ok(false),
            _ => Err(eyre!("the practice CRM refused an edit in its own screens: {}", refusal.message())),
        })
    }

    fn change_company(&mut self) -> Result<bool, Refusal> {
        let company = company(&mut self.dice);
        let id = self.contacts.choose(&mut self.dice).cloned();
        self.set(ObjectType::Contacts, id, "company", &company)
    }

    /// Even numbers only: the order system changes phones of odd ones.
    fn change_phone(&mut self) -> Result<bool, Refusal> {
        let even: Vec<&String> = self.own.iter().filter(|id| id.parse::<u64>().is_ok_and(|id| id % 2 == 0)).collect();
        let id = even.choose(&mut self.dice).map(|id| (*id).clone());
        let phone = phone(&mut self.dice);
        self.set(ObjectType::Contacts, id, "phone", &phone)
    }

    fn change_email(&mut self) -> Result<bool, Refusal> {
        self.made += 1;
        let email = person(&mut self.dice, &format!("moved{}-{}", self.seed, self.made)).email;
        let id = self.own.choose(&mut self.dice).cloned();
        self.set(ObjectType::Contacts, id, "email", &email)
    }

    fn change_first_name(&mut self) -> Result<bool, Refusal> {
        let name = first_name(&mut self.dice);
        let id = self.contacts.choose(&mut self.dice).cloned();
        self.set(ObjectType::Contacts, id, "firstname", &name)
    }

    fn change_amount(&mut self) -> Result<bool, Refusal> {
        let amount = amount(self.dice.random_range(100_000..5_000_000));
        let id = self.deals.choose(&mut self.dice).cloned();
        self.set(ObjectType::Deals, id, "amount", &amount)
    }

    fn change_stage(&mut self) -> Result<bool, Refusal> {
        let id = self.deals.choose(&mut self.dice).cloned();
        self.set(ObjectType::Deals, id, "dealstage", "contractsent")
    }

    fn add_contact(&mut self) -> Result<bool, Refusal> {
        let is_visitor = self.dice.random_bool(0.12);
        let person = if is_visitor {
            self.visitors += 1;
            super::visitor(self.seed, self.visitors)
        } else {
            self.made += 1;
            person(&mut self.dice, &format!("lead{}-{}", self.seed, self.made))
        };
        let mut properties =
            vec![("email", person.email.as_str()), ("lastname", person.last.as_str()), ("company", person.company.as_str())];
        if !is_visitor {
            properties.extend([("firstname", person.first.as_str()), ("phone", person.phone.as_str())]);
        }
        let id = self.crm.create(ObjectType::Contacts, &properties)?;
        if !is_visitor {
            self.own.push(id);
        }
        Ok(true)
    }

    fn set(&self, object: ObjectType, id: Option<String>, property: &str, value: &str) -> Result<bool, Refusal> {
        let Some(id) = id else { return Ok(false) };
        self.crm.edit(object, &id, &[(property, value)]).map(|()| true)
    }

    fn list(&mut self) {
        if self.listed.is_some_and(|listed| listed.elapsed() < LIST_AGE) {
            return;
        }
        let live = |object: ObjectType| self.crm.list(object).into_iter().filter(|record| !record.archived);
        let contacts = live(ObjectType::Contacts).map(|record| record.id).collect();
        let is_order = |name: &String| name.starts_with("R-");
        let deals = live(ObjectType::Deals).filter(|record| record.properties.get("dealname").is_some_and(is_order));
        let deals = deals.map(|record| record.id).collect();
        (self.contacts, self.deals, self.listed) = (contacts, deals, Some(Instant::now()));
    }
}
