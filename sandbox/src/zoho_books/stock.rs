//! The fields every organisation starts with, and which of them a list leaves out.

use crate::{
    ObjectType,
    schema::{Kind, Property},
};

const STATUSES: [(&str, &str); 2] = [("active", "Active"), ("inactive", "Inactive")];
const TYPES: [(&str, &str); 2] = [("customer", "Customer"), ("vendor", "Vendor")];
const ORDER_STATUSES: [(&str, &str); 4] = [("draft", "Draft"), ("open", "Open"), ("closed", "Closed"), ("void", "Void")];

/// The fields of a contact that are its primary person's.
pub(super) const PERSONAL: [&str; 5] = ["first_name", "last_name", "email", "phone", "mobile"];

pub(super) fn properties(object: ObjectType, now_ms: i64) -> Vec<Property> {
    let of = |name: &str, label: &str, kind| Property::stock(name, label, kind, now_ms);
    match object {
        ObjectType::Contacts => vec![
            of("contact_name", "Display Name", Kind::Text),
            of("company_name", "Company Name", Kind::Text),
            of("contact_type", "Contact Type", Kind::Enumeration).with_options(&TYPES),
            of("status", "Status", Kind::Enumeration).with_options(&STATUSES),
            of("first_name", "First Name", Kind::Text),
            of("last_name", "Last Name", Kind::Text),
            of("email", "Email", Kind::Email),
            of("phone", "Phone", Kind::Phone),
            of("mobile", "Mobile", Kind::Phone),
            of("website", "Website", Kind::Text),
            of("notes", "Remarks", Kind::Text),
        ],
        ObjectType::Deals => vec![
            of("salesorder_number", "Sales Order#", Kind::Text),
            of("reference_number", "Reference#", Kind::Text),
            of("date", "Sales Order Date", Kind::Date),
            of("customer_id", "Customer", Kind::Text),
            of("status", "Status", Kind::Enumeration).with_options(&ORDER_STATUSES),
            of("total", "Total", Kind::Number),
            of("line_items", "Items", Kind::Text),
            of("notes", "Customer Notes", Kind::Text),
        ],
        ObjectType::Companies => Vec::new(),
    }
}

/// What is shown of a record that is read by id, and not in a list.
pub(super) fn is_detail(object: ObjectType, name: &str) -> bool {
    matches!((object, name), (ObjectType::Contacts, "website" | "notes") | (ObjectType::Deals, "line_items" | "notes"))
}

/// The columns a list can be sorted by, besides the two times.
pub(super) fn sorts(object: ObjectType) -> &'static [&'static str] {
    match object {
        ObjectType::Contacts => &["contact_name", "first_name", "last_name", "email"],
        _ => &["salesorder_number", "reference_number", "date", "total"],
    }
}

/// What a list can be searched by: the value itself, its beginning, or a part of it.
pub(super) fn searched(object: ObjectType) -> &'static [&'static str] {
    match object {
        ObjectType::Contacts => &["contact_name", "company_name", "first_name", "last_name", "email", "phone"],
        _ => &["salesorder_number", "reference_number", "customer_id"],
    }
}

pub(super) fn is_custom(name: &str) -> bool {
    name.starts_with("cf_")
}

/// The name of the custom field that people call by this name.
pub(super) fn custom_name(wished: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let name: String = wished.trim().chars().map(plain).collect();
    if is_custom(&name) { name } else { format!("cf_{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_custom_field_is_known_by_its_prefix() {
        assert_eq!(custom_name("Order Key"), "cf_order_key");
        assert_eq!(custom_name("cf_order_key"), "cf_order_key");
    }
}
