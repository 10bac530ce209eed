//! What every member has, and the merge fields an audience starts with. Merge fields are kept under their tags.

use crate::schema::{Kind, Property};

const TAG_CHARS_MAX: usize = 10;

pub(super) const STATUSES: [&str; 6] = ["subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived"];

/// The customer's address, which stands inside the order.
pub(super) const CUSTOMER: &str = "email_address";
pub(super) const ORDER_TEXTS: [&str; 4] = ["financial_status", "fulfillment_status", "currency_code", "tracking_code"];

pub(super) fn of_orders(now_ms: i64) -> Vec<Property> {
    let of = |name: &str, label: &str, kind| Property::stock(name, label, kind, now_ms);
    let texts = ORDER_TEXTS.iter().map(|name| of(name, name, Kind::Text));
    let own = [of(CUSTOMER, "Customer", Kind::Email), of("order_total", "Order total", Kind::Number)];
    own.into_iter().chain(texts).collect()
}

pub(super) fn properties(now_ms: i64) -> Vec<Property> {
    let of = |name: &str, label: &str, kind| Property::stock(name, label, kind, now_ms);
    let statuses = STATUSES.map(|status| (status, status));
    vec![
        Property { unique: true, ..of("email_address", "Email Address", Kind::Email) },
        of("status", "Status", Kind::Enumeration).with_options(&statuses),
        of("email_type", "Email type", Kind::Enumeration).with_options(&[("html", "html"), ("text", "text")]),
        of("language", "Language", Kind::Text),
        of("vip", "VIP", Kind::Boolean),
        of("FNAME", "First Name", Kind::Text),
        of("LNAME", "Last Name", Kind::Text),
        of("PHONE", "Phone Number", Kind::Phone),
        of("BIRTHDAY", "Birthday", Kind::Text),
    ]
}

/// Merge fields are written in capitals, members' own fields are not.
pub(super) fn is_merge_field(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
}

/// The tag of the merge field that people call by this name.
pub(super) fn tag(name: &str) -> String {
    let kept = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase());
    let tag: String = kept.take(TAG_CHARS_MAX).collect();
    if tag.starts_with(|c: char| c.is_ascii_uppercase()) { tag } else { format!("M{tag}").chars().take(TAG_CHARS_MAX).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_short_and_in_capitals() {
        let check = |name: &str, expect: &str| assert_eq!(tag(name), expect);
        check("order number", "ORDERNUMBE");
        check("FNAME", "FNAME");
        check("1st", "M1ST");
    }
}
