//! The fields every organisation starts with, and the ones the CRM itself sets.

use crate::{
    ObjectType,
    schema::{Kind, Property},
};

const STAGES: [(&str, &str); 5] = [
    ("Prospecting", "Prospecting"),
    ("Proposal/Price Quote", "Proposal/Price Quote"),
    ("Negotiation/Review", "Negotiation/Review"),
    ("Closed Won", "Closed Won"),
    ("Closed Lost", "Closed Lost"),
];

/// Set by the CRM and computed where they are shown.
pub(super) const SYSTEM: [&str; 6] = ["Id", "IsDeleted", "MasterRecordId", "CreatedDate", "LastModifiedDate", "SystemModstamp"];

pub(super) fn properties(object: ObjectType, now_ms: i64) -> Vec<Property> {
    let of = |name: &str, label: &str, kind| Property::stock(name, label, kind, now_ms);
    let own = |name: &str, kind| Property { read_only: true, ..Property::stock(name, name, kind, now_ms) };
    let mut all: Vec<Property> = SYSTEM
        .into_iter()
        .map(|name| match name {
            "Id" | "MasterRecordId" => own(name, Kind::Text),
            "IsDeleted" => own(name, Kind::Boolean),
            _ => own(name, Kind::DateTime),
        })
        .collect();
    all.push(of("OwnerId", "Owner ID", Kind::Text));
    all.extend(match object {
        ObjectType::Contacts => vec![
            of("FirstName", "First Name", Kind::Text),
            of("LastName", "Last Name", Kind::Text),
            of("Email", "Email", Kind::Email),
            of("Phone", "Business Phone", Kind::Phone),
            of("MobilePhone", "Mobile Phone", Kind::Phone),
            of("Title", "Title", Kind::Text),
            of("MailingStreet", "Mailing Street", Kind::Text),
            of("MailingCity", "Mailing City", Kind::Text),
            of("MailingPostalCode", "Mailing Zip/Postal Code", Kind::Text),
            of("MailingCountry", "Mailing Country", Kind::Text),
            of("Description", "Description", Kind::Text),
            of("AccountId", "Account ID", Kind::Text),
        ],
        ObjectType::Companies => vec![
            of("Name", "Account Name", Kind::Text),
            of("Phone", "Account Phone", Kind::Phone),
            of("Website", "Website", Kind::Text),
            of("BillingCity", "Billing City", Kind::Text),
            of("Description", "Account Description", Kind::Text),
        ],
        ObjectType::Deals => vec![
            of("Name", "Name", Kind::Text),
            of("StageName", "Stage", Kind::Enumeration).with_options(&STAGES),
            of("CloseDate", "Close Date", Kind::Date),
            of("Amount", "Amount", Kind::Number),
            of("AccountId", "Account ID", Kind::Text),
            of("Description", "Description", Kind::Text),
        ],
    });
    all
}

/// The fields without which no record is made.
pub(super) fn needed(object: ObjectType) -> &'static [&'static str] {
    match object {
        ObjectType::Contacts => &["LastName"],
        ObjectType::Companies => &["Name"],
        ObjectType::Deals => &["Name", "StageName", "CloseDate"],
    }
}

/// Custom fields can serve as external ids here, whether or not they were made unique.
pub(super) fn is_external_id(property: &Property) -> bool {
    property.name.ends_with("__c") && matches!(property.kind, Kind::Text | Kind::Number | Kind::Email)
}
