//! Agreement as somebody sees it who never heard of Tidemark: rows by plain SQL, records as the CRM's own listing has them.
//!
//! Knows the mapping of the sample tables by heart, uses no crate of Tidemark and none of its tables. A blank on the side that owns a field leaves the
//! other side's value where it is, and nothing else may differ.

use std::collections::{BTreeMap, HashMap};

use eyre::{OptionExt, eyre};
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use serde::Deserialize;
use serde_json::Value;

const CUSTOMERS: &str = "SELECT CAST(id AS TEXT), email, first_name, last_name, phone, company, CAST(email_confirmed_at AS TEXT), hubspot_id FROM customers ORDER BY customers.id";
const ORDERS: &str = "SELECT o.number, o.status, CAST(o.total_cents AS TEXT), o.hubspot_id, c.hubspot_id FROM orders o JOIN customers c ON c.id = o.customer_id ORDER BY o.id";

/// One record of the CRM's listing.
#[derive(Debug, Clone, Deserialize)]
pub struct Record {
    pub id: String,
    pub archived: bool,
    pub properties: BTreeMap<String, String>,
    pub associations: BTreeMap<String, Vec<String>>,
}

impl Record {
    fn get(&self, property: &str) -> Option<&str> {
        self.properties.get(property).map(String::as_str).filter(|text| !text.is_empty())
    }
}

#[derive(Debug)]
struct Customer {
    key: String,
    email: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    phone: Option<String>,
    company: Option<String>,
    confirmed: bool,
    hubspot_id: Option<String>,
}

#[derive(Debug)]
struct Order {
    number: String,
    status: String,
    cents: f64,
    hubspot_id: Option<String>,
    /// The CRM's id of the customer's contact.
    contact: Option<String>,
}

/// Both sides at one moment.
#[derive(Debug)]
pub struct Sides {
    customers: Vec<Customer>,
    orders: Vec<Order>,
    contacts: Vec<Record>,
    deals: Vec<Record>,
}

/// The live records of a listing.
pub fn live(listing: Value) -> eyre::Result<Vec<Record>> {
    let records: Vec<Record> = serde_json::from_value(listing)?;
    Ok(records.into_iter().filter(|record| !record.archived).collect())
}

/// The live records as the practice CRM lists them over HTTP.
pub async fn listed(base_url: &str, object: &str) -> eyre::Result<Vec<Record>> {
    live(reqwest::get(format!("{base_url}/sandbox/records/{object}")).await?.error_for_status()?.json().await?)
}

impl Sides {
    pub async fn read(db: &DatabaseConnection, contacts: Vec<Record>, deals: Vec<Record>) -> eyre::Result<Self> {
        let customer = |row: Vec<Option<String>>| {
            let [key, email, first_name, last_name, phone, company, confirmed, hubspot_id] = columns(row)?;
            let key = key.ok_or_eyre("a customer without a key")?;
            Ok(Customer { key, email, first_name, last_name, phone, company, confirmed: confirmed.is_some(), hubspot_id })
        };
        let order = |row: Vec<Option<String>>| {
            let [number, status, cents, hubspot_id, contact] = columns(row)?;
            let (number, status) = (number.unwrap_or_default(), status.unwrap_or_default());
            Ok(Order { number, status, cents: cents.unwrap_or_default().parse()?, hubspot_id, contact })
        };
        Ok(Self {
            customers: texts(db, CUSTOMERS).await?.into_iter().map(customer).collect::<eyre::Result<_>>()?,
            orders: texts(db, ORDERS).await?.into_iter().map(order).collect::<eyre::Result<_>>()?,
            contacts,
            deals,
        })
    }

    pub fn counts(&self) -> String {
        let (customers, orders) = (self.customers.len(), self.orders.len());
        format!("{customers} customers, {} contacts, {orders} orders, {} deals", self.contacts.len(), self.deals.len())
    }

    /// Everything that is wrong, in words. `never_sent` says which unconfirmed customers nobody but the order system ever knew.
    pub fn differences(&self, never_sent: impl Fn(&str, &str) -> bool) -> Vec<String> {
        let mut found = self.doubles();
        self.compare_contacts(&mut found);
        self.compare_deals(&mut found);
        let emails: HashMap<String, &str> =
            self.contacts.iter().map(|record| (folded(record.get("email")), record.id.as_str())).collect();
        for customer in self.customers.iter().filter(|customer| !customer.confirmed) {
            let email = folded(customer.email.as_deref());
            if let Some(contact) = emails.get(&email).filter(|_| never_sent(&customer.key, &email)) {
                found.push(format!("contact {contact} has the unconfirmed e-mail of customer {}", customer.key));
            }
        }
        found
    }

    /// What is there twice, on either side.
    fn doubles(&self) -> Vec<String> {
        let ordered: HashMap<&str, ()> = self.orders.iter().map(|order| (order.number.as_str(), ())).collect();
        let deals = self.deals.iter().filter_map(|deal| deal.get("dealname")).filter(|name| ordered.contains_key(name));
        let mut found = twice("contacts with the e-mail", self.contacts.iter().map(|contact| folded(contact.get("email"))));
        found.extend(twice("deals with the name", deals.map(str::to_owned)));
        found.extend(twice("customers with the e-mail", self.customers.iter().map(|customer| folded(customer.email.as_deref()))));
        found.extend(twice(
            "customers with the hubspot_id",
            self.customers.iter().filter_map(|customer| customer.hubspot_id.clone()),
        ));
        found.extend(twice("orders with the hubspot_id", self.orders.iter().filter_map(|order| order.hubspot_id.clone())));
        found
    }

    fn compare_contacts(&self, found: &mut Vec<String>) {
        let mut unclaimed: BTreeMap<&str, &Record> = self.contacts.iter().map(|record| (record.id.as_str(), record)).collect();
        for customer in &self.customers {
            let id = customer.hubspot_id.as_deref();
            let Some(record) = id.and_then(|id| unclaimed.remove(id)) else {
                if customer.confirmed || id.is_some() {
                    found.push(format!("customer {} has no contact of its own: {customer:?}", customer.key));
                }
                continue;
            };
            let at = format!("customer {} ↔ contact {}", customer.key, record.id);
            let (email, there) = (folded(customer.email.as_deref()), folded(record.get("email")));
            if email != there {
                found.push(format!("{at}: e-mail {email:?} ↔ {there:?}"));
            }
            if let company @ Some(_) = record.get("company")
                && company != customer.company.as_deref()
            {
                found.push(format!("{at}: company {:?} ↔ {company:?}", customer.company));
            }
            let names = [("firstname", &customer.first_name), ("lastname", &customer.last_name)];
            for (property, name) in names.into_iter().filter(|(_, name)| customer.confirmed && name.is_some()) {
                if name.as_deref() != record.get(property) {
                    found.push(format!("{at}: {property} {name:?} ↔ {:?}", record.get(property)));
                }
            }
            let (phone, there) = (dialled(customer.phone.as_deref()), dialled(record.get("phone")));
            // Of somebody who is not sent the record may know nothing; what it knows arrives all the same.
            if phone != there && (customer.confirmed || phone.is_empty()) {
                found.push(format!("{at}: phone {:?} ↔ {:?}", customer.phone, record.get("phone")));
            }
        }
        found.extend(unclaimed.into_keys().map(|id| format!("contact {id} has no customer")));
    }

    fn compare_deals(&self, found: &mut Vec<String>) {
        let mut by_name: HashMap<&str, Vec<&Record>> = HashMap::new();
        for deal in &self.deals {
            by_name.entry(deal.get("dealname").unwrap_or_default()).or_default().push(deal);
        }
        for order in &self.orders {
            let deals = by_name.get(order.number.as_str()).map(Vec::as_slice).unwrap_or_default();
            let stage = match order.status.as_str() {
                "accepted" | "shipped" => Some("closedwon"),
                "cancelled" => Some("closedlost"),
                _ => None,
            };
            let (number, expected) = (&order.number, stage.filter(|_| order.contact.is_some()));
            match (deals, expected) {
                ([], None) => {}
                ([deal], Some(stage)) => compare_deal(order, deal, stage, found),
                (deals, Some(_)) => found.push(format!("order {number} has {} deals", deals.len())),
                (_, None) => found.push(format!("order {number} has a deal though it is {}", order.status)),
            }
        }
    }
}

fn compare_deal(order: &Order, deal: &Record, stage: &str, found: &mut Vec<String>) {
    let at = format!("order {} ↔ deal {}", order.number, deal.id);
    if order.hubspot_id.as_ref() != Some(&deal.id) {
        found.push(format!("{at}: the order knows the deal {:?}", order.hubspot_id));
    }
    let amount = deal.get("amount").and_then(|amount| amount.parse::<f64>().ok());
    if !amount.is_some_and(|amount| amount.mul_add(100.0, -order.cents).abs() < 0.001) {
        found.push(format!("{at}: {} cents ↔ {amount:?}", order.cents));
    }
    if deal.get("dealstage") != Some(stage) {
        found.push(format!("{at}: {} ↔ {:?}", order.status, deal.get("dealstage")));
    }
    let contacts = deal.associations.get("contacts").map(Vec::as_slice).unwrap_or_default();
    if !matches!(contacts, [one] if Some(one) == order.contact.as_ref()) {
        found.push(format!("{at}: the customer's contact is {:?}, the deal is associated with {contacts:?}", order.contact));
    }
}

/// Letter case does not make another e-mail.
fn folded(email: Option<&str>) -> String {
    email.unwrap_or_default().trim().to_lowercase()
}

/// What one would dial: the CRM drops spaces, dashes, dots and brackets.
fn dialled(phone: Option<&str>) -> String {
    phone.unwrap_or_default().chars().filter(|letter| letter.is_ascii_digit() || *letter == '+').collect()
}

fn twice(what: &str, names: impl Iterator<Item = String>) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for name in names.filter(|name| !name.is_empty()) {
        *counts.entry(name).or_default() += 1;
    }
    counts.into_iter().filter(|(_, count)| *count > 1).map(|(name, count)| format!("{count} {what} {name}")).collect()
}

fn columns<const N: usize>(row: Vec<Option<String>>) -> eyre::Result<[Option<String>; N]> {
    row.try_into().map_err(|row| eyre!("{N} columns expected, not {row:?}"))
}

async fn texts(db: &DatabaseConnection, sql: &str) -> eyre::Result<Vec<Vec<Option<String>>>> {
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    let mut texts = Vec::with_capacity(rows.len());
    for row in rows {
        let cells: Result<Vec<Option<String>>, _> = (0..row.column_names().len()).map(|at| row.try_get_by_index(at)).collect();
        texts.push(cells?);
    }
    Ok(texts)
}
