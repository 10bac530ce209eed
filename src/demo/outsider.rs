//! Compares both sides as somebody who never heard of Tidemark: rows as the order system has them, records as the CRM's screens show them.
//!
//! Knows the demo's mapping by heart and uses none of Tidemark's links, so that Tidemark's own word is not all the report stands on.

use std::collections::{BTreeMap, HashMap};

use tidemark_core::agree::Difference;
use tidemark_sandbox::{Crm, ObjectType, Snapshot};

use super::config::STREAMS;
use super::order_system::OrderSystem;

const CUSTOMERS: &str = "SELECT CAST(id AS TEXT), hubspot_id, CASE WHEN email_confirmed_at IS NOT NULL THEN 'yes' END, email, first_name, last_name, phone, company FROM customers ORDER BY customers.id";
const ORDERS: &str = "SELECT CAST(o.id AS TEXT), o.hubspot_id, o.number, o.status, CAST(o.total_cents AS TEXT), c.hubspot_id FROM orders o JOIN customers c ON c.id = o.customer_id ORDER BY o.id";

/// A row's columns as text, in the order of its query.
pub(crate) type Texts = Vec<Option<String>>;

/// What somebody from outside would call a difference. Empty when the sides agree.
pub(crate) async fn compare(system: &OrderSystem, crm: &Crm) -> eyre::Result<Vec<Difference>> {
    let (customers, orders) = (system.texts(CUSTOMERS).await?, system.texts(ORDERS).await?);
    let live = |object| crm.list(object).into_iter().filter(|record: &Snapshot| !record.archived).collect::<Vec<_>>();
    let mut differences = contacts(&customers, &live(ObjectType::Contacts));
    differences.extend(deals(&orders, &live(ObjectType::Deals)));
    Ok(differences)
}

fn contacts(customers: &[Texts], records: &[Snapshot]) -> Vec<Difference> {
    let mut found = Found::new(STREAMS[0]);
    let mut unclaimed: BTreeMap<&str, &Snapshot> = records.iter().map(|record| (record.id.as_str(), record)).collect();
    for customer in customers {
        let [key, id, confirmed, email, first, last, phone, company] = std::array::from_fn(|at| text(customer, at));
        let Some(record) = id.and_then(|id| unclaimed.remove(id)) else {
            if confirmed.is_some() || id.is_some() {
                found.add((key, id), None, "the customer has no contact of its own");
            }
            continue;
        };
        found.same((key, id), ("email", email), record, |one| one.to_lowercase());
        if value(record, "company").is_some() {
            found.same((key, id), ("company", company), record, str::to_owned);
        }
        if confirmed.is_some() {
            let filled = [("firstname", first), ("lastname", last)].into_iter().filter(|(_, value)| value.is_some());
            filled.for_each(|field| found.same((key, id), field, record, str::to_owned));
            found.same((key, id), ("phone", phone), record, |one| one.split_whitespace().collect());
        }
    }
    for id in unclaimed.into_keys() {
        found.add((None, Some(id)), None, "the contact has no customer");
    }
    found.differences
}

fn deals(orders: &[Texts], records: &[Snapshot]) -> Vec<Difference> {
    let mut found = Found::new(STREAMS[1]);
    let mut by_name: HashMap<&str, Vec<&Snapshot>> = HashMap::new();
    for record in records {
        by_name.entry(value(record, "dealname").unwrap_or_default()).or_default().push(record);
    }
    for order in orders {
        let [key, id, number, status, cents, contact] = std::array::from_fn(|at| text(order, at));
        let named = by_name.remove(number.unwrap_or_default()).unwrap_or_default();
        let expected = status != Some("draft") && contact.is_some();
        match named.as_slice() {
            [] if expected => found.add((key, id), None, "the order has no deal"),
            [] => {}
            [deal] if expected => {
                if id != Some(deal.id.as_str()) {
                    found.add((key, Some(&deal.id)), None, "the order does not know its deal");
                }
                let stage = if status == Some("cancelled") { "closedlost" } else { "closedwon" };
                found.same((key, id), ("dealstage", Some(stage)), deal, str::to_owned);
                let of_cents = |text: &str| text.parse::<f64>().map_or_else(|_| text.to_owned(), |amount| format!("{amount:.2}"));
                let amount = cents.and_then(|cents| cents.parse::<f64>().ok()).map(|cents| format!("{:.2}", cents / 100.0));
                found.same((key, id), ("amount", amount.as_deref()), deal, of_cents);
                let linked = deal.associations.get("contacts").map(Vec::as_slice).unwrap_or_default();
                if !matches!(linked, [one] if Some(one.as_str()) == contact) {
                    found.add(
                        (key, id),
                        Some(("contact", contact, Some(&linked.join(" ")))),
                        "the deal is not linked to the customer's contact alone",
                    );
                }
            }
            [deal] => found.add((key, Some(&deal.id)), None, "the deal should not be there yet"),
            _ => found.add((key, id), None, "the order has more than one deal"),
        }
    }
    found.differences
}

fn text(row: &Texts, at: usize) -> Option<&str> {
    row.get(at)?.as_deref().filter(|text| !text.is_empty())
}

fn value<'a>(record: &'a Snapshot, property: &str) -> Option<&'a str> {
    record.properties.get(property).map(String::as_str)
}

/// Differences of one stream, as they are found.
struct Found {
    stream: &'static str,
    differences: Vec<Difference>,
}

impl Found {
    fn new(stream: &'static str) -> Self {
        Self { stream, differences: Vec::new() }
    }

    /// The row's value and the record's, both brought into one form.
    fn same(
        &mut self,
        at: (Option<&str>, Option<&str>),
        (property, row): (&str, Option<&str>),
        record: &Snapshot,
        form: impl Fn(&str) -> String,
    ) {
        let record = value(record, property);
        if row.map(&form) != record.map(&form) {
            self.add(at, Some((property, row, record)), "the values differ");
        }
    }

    fn add(
        &mut self,
        (row, record): (Option<&str>, Option<&str>),
        field: Option<(&str, Option<&str>, Option<&str>)>,
        reason: &str,
    ) {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        self.differences.push(Difference {
            stream: self.stream.to_owned(),
            row: owned(row),
            record: owned(record),
            field: field.map(|(property, ..)| property.to_owned()),
            row_value: field.and_then(|(_, row, _)| owned(row)),
            record_value: field.and_then(|(.., record)| owned(record)),
            reason: format!("seen from outside: {reason}"),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, properties: &[(&str, &str)], contacts: &[&str]) -> Snapshot {
        Snapshot {
            id: id.to_owned(),
            properties: properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            archived: false,
            merged_into: None,
            created_at: String::new(),
            modified_at: String::new(),
            committed: true,
            versions: 1,
            associations: BTreeMap::from([("contacts", contacts.iter().map(|id| (*id).to_owned()).collect())]),
        }
    }

    fn row(texts: &[&str]) -> Texts {
        texts.iter().map(|text| Some((*text).to_owned())).collect()
    }

    fn order(status: &str, records: &[Snapshot]) -> Vec<String> {
        let orders = [row(&["1", "9", "R-1001", status, "1250", "5"])];
        deals(&orders, records).into_iter().map(|difference| difference.field.unwrap_or(difference.reason)).collect()
    }

    fn deal(id: &str, amount: &str, contacts: &[&str]) -> Snapshot {
        record(id, &[("dealname", "R-1001"), ("amount", amount), ("dealstage", "closedwon")], contacts)
    }

    #[test]
    fn an_order_agrees_with_the_one_deal_of_its_name() {
        assert!(order("shipped", &[deal("9", "12.5", &["5"])]).is_empty());
        assert_eq!(order("shipped", &[deal("9", "12.51", &["5", "6"])]), ["amount", "contact"]);
        assert_eq!(order("cancelled", &[deal("9", "12.50", &["5"])]), ["dealstage"]);
        assert_eq!(order("shipped", &[deal("9", "12.5", &["5"]), deal("8", "12.5", &["5"])]).len(), 1);
        assert_eq!(order("draft", &[deal("9", "12.5", &["5"])]).len(), 1);
        assert!(order("draft", &[]).is_empty());
    }

    #[test]
    fn a_contact_without_a_customer_is_a_difference_and_a_spaced_phone_is_none() {
        let customer = row(&["1", "5", "yes", "Ada@a.example", "Ada", "Lund", "+47 221 000", "Kiln & Co"]);
        let all = [
            ("email", "ada@a.example"),
            ("firstname", "Ada"),
            ("lastname", "Lund"),
            ("phone", "+47221000"),
            ("company", "Kiln & Co"),
        ];
        let contact = record("5", &all, &[]);
        assert!(contacts(std::slice::from_ref(&customer), std::slice::from_ref(&contact)).is_empty());
        assert_eq!(contacts(&[customer], &[contact, record("6", &all, &[])]).len(), 1);
    }
}
