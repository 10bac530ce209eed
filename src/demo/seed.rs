//! What both sides hold before they meet: who is known where, which orders are deals already. Decides it from a seed, and puts it there.

use eyre::{WrapErr, bail};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use tidemark_sandbox::{Crm, ObjectType};

use super::config;
use super::order_system::{Customer, Order, OrderSystem};
use super::people::{Line, Person, amount, lines, person, spaced, total_cents};

/// Properties of a record and their values.
type Properties = Vec<(&'static str, String)>;

/// Where a person is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Both,
    Orders,
    /// In the order system, where the e-mail was never confirmed: must not be sent.
    Unconfirmed,
    Crm,
}

/// One person as each side has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contact {
    pub(crate) known: Known,
    pub(crate) customer: Option<Customer>,
    pub(crate) record: Option<Properties>,
}

/// One order, and the deal it already is, if it is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sale {
    pub(crate) number: String,
    /// Index of the contact who ordered.
    pub(crate) by: usize,
    pub(crate) status: &'static str,
    pub(crate) lines: Vec<Line>,
    pub(crate) deal_cents: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seed {
    pub(crate) contacts: Vec<Contact>,
    pub(crate) sales: Vec<Sale>,
    /// Names of deals that no order stands behind.
    pub(crate) leads: Vec<String>,
}

/// Decides the sample: 40 of 100 contacts are known on both sides, 30 to the order system alone, 25 to the CRM alone, and 5 never
/// confirmed their e-mail. Two accepted orders for every five contacts, three in ten of them deals already, and a few drafts.
pub(crate) fn plan(records: u32, seed: u64) -> Seed {
    let mut dice = StdRng::seed_from_u64(seed);
    let records = records as usize;
    let (both, orders, crm) = ((records * 40).div_ceil(100), records * 30 / 100, records * 25 / 100);
    let place = |at: usize| match at {
        at if at < both => Known::Both,
        at if at < both + orders => Known::Orders,
        at if at < both + orders + crm => Known::Crm,
        _ => Known::Unconfirmed,
    };
    let mut places: Vec<Known> = (0..records).map(place).collect();
    places.shuffle(&mut dice);
    let contacts: Vec<Contact> =
        places.into_iter().enumerate().map(|(at, known)| contact(&mut dice, known, &at.to_string())).collect();
    let sales = sales(&mut dice, &contacts, records * 2 / 5, records.div_ceil(20));
    let leads = (0..records.div_ceil(100)).map(|at| format!("Trade fair lead {}", at + 1)).collect();
    Seed { contacts, sales, leads }
}

fn contact(dice: &mut StdRng, known: Known, mark: &str) -> Contact {
    let person = person(dice, mark);
    let (customer, record) = match known {
        Known::Both => {
            let (customer, record) = two_views(dice, person);
            (Some(customer), Some(record))
        }
        Known::Orders => (Some(typed(dice, person)), None),
        Known::Unconfirmed => (Some(Customer { confirmed: false, ..typed(dice, person) }), None),
        Known::Crm => (None, Some(card(&Customer::of(person)))),
    };
    Contact { known, customer, record }
}

/// One person on both sides: letter case, blanks, and here and there another word. The phone is equal or blank on one side, because where both
/// sides have one and neither owns it, a person would have to decide.
fn two_views(dice: &mut StdRng, person: Person) -> (Customer, Properties) {
    let mut customer = Customer::of(person);
    let mut other = customer.clone();
    if dice.random_bool(0.25) {
        customer.email = capitalised(&customer.email);
    }
    match dice.random_range(0..8) {
        0 => customer.first_name = None,
        1 => other.first_name = None,
        2 => other.first_name = other.first_name.map(|name| name.chars().take(1).chain(['.']).collect()),
        _ => {}
    }
    match dice.random_range(0..4) {
        0 => customer.phone = None,
        1 => other.phone = None,
        _ => {}
    }
    match dice.random_range(0..5) {
        0 => customer.company = None,
        1 => other.company = None,
        2 => other.company = other.company.map(|name| format!("{name} GmbH")),
        _ => {}
    }
    (customer, card(&other))
}

/// As customers enter themselves.
fn typed(dice: &mut StdRng, person: Person) -> Customer {
    let mut customer = Customer::of(person);
    if dice.random_bool(0.5) {
        customer.phone = customer.phone.map(|phone| spaced(&phone));
    }
    if dice.random_bool(0.2) {
        customer.company = None;
    }
    customer
}

fn capitalised(email: &str) -> String {
    let mut start = true;
    let letter = |letter: char| {
        let large = std::mem::replace(&mut start, !letter.is_alphanumeric());
        if large { letter.to_ascii_uppercase() } else { letter }
    };
    email.chars().map(letter).collect()
}

/// A contact's properties, blanks left out.
fn card(customer: &Customer) -> Properties {
    let Customer { email, first_name, last_name, phone, company, .. } = customer.clone();
    let all =
        [("email", Some(email)), ("firstname", first_name), ("lastname", last_name), ("phone", phone), ("company", company)];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn sales(dice: &mut StdRng, contacts: &[Contact], accepted: usize, drafts: usize) -> Vec<Sale> {
    let who = |wanted: fn(&Known) -> bool| -> Vec<usize> {
        contacts.iter().enumerate().filter(|(_, contact)| wanted(&contact.known)).map(|(at, _)| at).collect()
    };
    let confirmed = who(|known| matches!(known, Known::Both | Known::Orders));
    let unconfirmed = who(|known| *known == Known::Unconfirmed);
    if confirmed.is_empty() {
        return Vec::new();
    }
    let sale = |at: usize| {
        let early = !unconfirmed.is_empty() && dice.random_bool(0.04);
        let by = if early { &unconfirmed } else { &confirmed };
        let by = by[dice.random_range(0..by.len())];
        let status = if at < accepted { "accepted" } else { "draft" };
        let lines = lines(dice);
        let is_deal = status == "accepted" && !early && dice.random_bool(0.3);
        let deal_cents = is_deal.then(|| total_cents(&lines) + if dice.random_bool(0.25) { 10_000 } else { 0 });
        Sale { number: format!("R-{}", 1001 + at), by, status, lines, deal_cents }
    };
    (0..accepted + drafts).map(sale).collect()
}

/// Records and rows as they were put there.
#[derive(Debug, Default)]
pub(crate) struct Planted {
    /// Ids of contacts that the CRM alone knows.
    pub(crate) crm_only: Vec<String>,
    /// Seeds the edits: another one in each run over the same order database, so that new people are new.
    pub(crate) edits_seed: u64,
}

/// Puts the sample into both sides.
pub(crate) async fn plant(seed: &Seed, system: &OrderSystem, crm: &Crm) -> eyre::Result<Planted> {
    let mut planted = Planted::default();
    let mut ids: Vec<Option<String>> = Vec::with_capacity(seed.contacts.len());
    for contact in &seed.contacts {
        let id = contact.record.as_ref().map(|record| create(crm, ObjectType::Contacts, record)).transpose()?;
        if contact.known == Known::Crm {
            planted.crm_only.extend(id.clone());
        }
        ids.push(id);
    }
    plant_leads(seed, crm)?;
    for sale in &seed.sales {
        plant_deal(crm, sale, &ids)?;
    }
    let customers: Vec<Customer> = seed.contacts.iter().filter_map(|contact| contact.customer.clone()).collect();
    let mut entered = system.enter_customers(&customers).await?.into_iter();
    let keys: Vec<Option<i64>> =
        seed.contacts.iter().map(|contact| contact.customer.as_ref().and_then(|_| entered.next())).collect();
    let order = |sale: &Sale| {
        let customer_id = keys.get(sale.by).copied().flatten()?;
        Some(Order { number: sale.number.clone(), customer_id, status: sale.status, lines: sale.lines.clone() })
    };
    system.enter_orders(&seed.sales.iter().filter_map(order).collect::<Vec<_>>()).await?;
    Ok(planted)
}

/// Puts into the CRM what it alone knows; the order system keeps what it has. It may have met these people in an earlier run and changed their
/// phone since, so the CRM knows none.
pub(crate) fn plant_crm_alone(seed: &Seed, crm: &Crm) -> eyre::Result<()> {
    for contact in seed.contacts.iter().filter(|contact| contact.known == Known::Crm) {
        let record: Properties = contact.record.iter().flatten().filter(|(name, _)| *name != "phone").cloned().collect();
        create(crm, ObjectType::Contacts, &record)?;
    }
    plant_leads(seed, crm)
}

fn plant_leads(seed: &Seed, crm: &Crm) -> eyre::Result<()> {
    for name in &seed.leads {
        let stage = ("dealstage", "appointmentscheduled".to_owned());
        create(crm, ObjectType::Deals, &[("dealname", name.clone()), ("pipeline", "default".to_owned()), stage])?;
    }
    Ok(())
}

fn plant_deal(crm: &Crm, sale: &Sale, contacts: &[Option<String>]) -> eyre::Result<()> {
    let Some(cents) = sale.deal_cents else { return Ok(()) };
    let stage = ("dealstage", "closedwon".to_owned());
    let deal = create(crm, ObjectType::Deals, &[("dealname", sale.number.clone()), ("amount", amount(cents)), stage])?;
    if let Some(contact) = contacts.get(sale.by).and_then(Option::as_deref) {
        crm.associate((ObjectType::Deals, &deal), (ObjectType::Contacts, contact))
            .map_err(|refusal| eyre::eyre!("the practice CRM refused a link: {}", refusal.message()))?;
    }
    Ok(())
}

fn create(crm: &Crm, object: ObjectType, properties: &[(&'static str, String)]) -> eyre::Result<String> {
    let properties: Vec<(&str, &str)> = properties.iter().map(|(name, value)| (*name, value.as_str())).collect();
    crm.create(object, &properties)
        .map_err(|refusal| eyre::eyre!("the practice CRM refused a sample record: {}", refusal.message()))
}

/// Adds the unique property that holds our row keys, as an administrator does once: over the CRM's API.
pub(crate) async fn add_key_properties(base_url: &str) -> eyre::Result<()> {
    let http = reqwest::Client::new();
    for (object, group) in [("contacts", "contactinformation"), ("deals", "dealinformation")] {
        let property = serde_json::json!({
            "name": config::KEY_PROPERTY, "label": "Tidemark key", "groupName": group,
            "type": "string", "fieldType": "text", "hasUniqueValue": true,
        });
        let url = format!("{base_url}/crm/v3/properties/{object}");
        let answer = http.post(&url).bearer_auth(config::TOKEN.1).json(&property).send().await;
        let answer = answer.wrap_err("the practice CRM does not answer")?;
        if !answer.status().is_success() {
            bail!("the practice CRM refused the property {} of {object}: {}", config::KEY_PROPERTY, answer.status());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn count(seed: &Seed, known: Known) -> usize {
        seed.contacts.iter().filter(|contact| contact.known == known).count()
    }

    #[test]
    fn contacts_are_spread_as_promised() {
        let seed = plan(500, 7);
        let spread = [Known::Both, Known::Orders, Known::Crm, Known::Unconfirmed].map(|known| count(&seed, known));
        assert_eq!(spread, [200, 150, 125, 25]);
        assert_eq!(seed.sales.iter().filter(|sale| sale.status == "accepted").count(), 200);
        let deals = seed.sales.iter().filter(|sale| sale.deal_cents.is_some()).count();
        assert!((35..=90).contains(&deals), "{deals}");
        assert!(seed.sales.iter().any(|sale| seed.contacts[sale.by].known == Known::Unconfirmed));
    }

    #[test]
    fn the_same_seed_gives_the_same_sample_and_another_gives_another() {
        assert_eq!(plan(100, 3), plan(100, 3));
        assert_ne!(plan(100, 3), plan(100, 4));
    }

    #[test]
    fn no_two_people_share_an_email_in_any_letter_case() {
        let seed = plan(300, 11);
        let emails = seed.contacts.iter().map(|contact| match (&contact.customer, &contact.record) {
            (Some(customer), _) => customer.email.to_lowercase(),
            (None, record) => record.as_ref().unwrap()[0].1.to_lowercase(),
        });
        assert_eq!(emails.collect::<HashSet<_>>().len(), 300);
    }

    #[test]
    fn a_phone_known_on_both_sides_is_the_same() {
        let seed = plan(400, 5);
        for contact in seed.contacts.iter().filter(|contact| contact.known == Known::Both) {
            let here = contact.customer.as_ref().and_then(|customer| customer.phone.as_deref());
            let there = contact.record.iter().flatten().find(|(name, _)| *name == "phone").map(|(_, value)| value.as_str());
            assert!(here.is_none() || there.is_none() || here == there);
        }
    }

    #[test]
    fn the_smallest_samples_hold_together() {
        for records in 1..12 {
            let seed = plan(records, 1);
            assert_eq!(seed.contacts.len(), records as usize);
            assert!(seed.sales.iter().all(|sale| seed.contacts[sale.by].customer.is_some()));
        }
    }
}
