//! The fields every organisation starts with.

use crate::{
    ObjectType,
    schema::{Kind, Property},
};

const STAGES: [(&str, &str); 5] = [
    ("Qualification", "Qualification"),
    ("Proposal/Price Quote", "Proposal/Price Quote"),
    ("Negotiation/Review", "Negotiation/Review"),
    ("Closed Won", "Closed Won"),
    ("Closed Lost", "Closed Lost"),
];

pub(super) fn properties(object: ObjectType, now_ms: i64) -> Vec<Property> {
    let of = |name: &str, label: &str, kind| Property::stock(name, label, kind, now_ms);
    let own = |name: &str, kind| Property { read_only: true, ..Property::stock(name, name, kind, now_ms) };
    let mut all = vec![
        own("id", Kind::Text),
        own("Created_Time", Kind::DateTime),
        own("Modified_Time", Kind::DateTime),
        of("Description", "Description", Kind::Text),
    ];
    all.extend(match object {
        ObjectType::Contacts => vec![
            of("First_Name", "First Name", Kind::Text),
            of("Last_Name", "Last Name", Kind::Text),
            of("Email", "Email", Kind::Email),
            of("Phone", "Phone", Kind::Phone),
            of("Mobile", "Mobile", Kind::Phone),
            of("Title", "Title", Kind::Text),
            of("Mailing_City", "Mailing City", Kind::Text),
            of("Account_Name", "Account Name", Kind::Text),
        ],
        ObjectType::Companies => vec![
            of("Account_Name", "Account Name", Kind::Text),
            of("Phone", "Phone", Kind::Phone),
            of("Website", "Website", Kind::Text),
            of("Billing_City", "Billing City", Kind::Text),
        ],
        ObjectType::Deals => vec![
            of("Deal_Name", "Deal Name", Kind::Text),
            of("Stage", "Stage", Kind::Enumeration).with_options(&STAGES),
            of("Closing_Date", "Closing Date", Kind::Date),
            of("Amount", "Amount", Kind::Number),
            of("Account_Name", "Account Name", Kind::Text),
            of("Contact_Name", "Contact Name", Kind::Text),
        ],
    });
    all
}

/// The fields without which no record is made.
pub(super) fn needed(object: ObjectType) -> &'static [&'static str] {
    match object {
        ObjectType::Contacts => &["Last_Name"],
        ObjectType::Companies => &["Account_Name"],
        ObjectType::Deals => &["Deal_Name", "Stage"],
    }
}

/// The field an upsert looks at when it names none.
pub(super) fn duplicate_check(object: ObjectType) -> &'static str {
    match object {
        ObjectType::Contacts => "Email",
        ObjectType::Companies => "Account_Name",
        ObjectType::Deals => "Deal_Name",
    }
}

/// The kind a field points to. `None` for a field that holds its own value.
pub(super) fn points_to(object: ObjectType, field: &str) -> Option<ObjectType> {
    match (object, field) {
        (ObjectType::Contacts | ObjectType::Deals, "Account_Name") => Some(ObjectType::Companies),
        (ObjectType::Deals, "Contact_Name") => Some(ObjectType::Contacts),
        _ => None,
    }
}
