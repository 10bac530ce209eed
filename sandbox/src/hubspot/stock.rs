//! The properties every account starts with.

use crate::{
    ObjectType,
    schema::{Kind, Property},
};

const STAGES: [(&str, &str); 7] = [
    ("appointmentscheduled", "Appointment Scheduled"),
    ("qualifiedtobuy", "Qualified To Buy"),
    ("presentationscheduled", "Presentation Scheduled"),
    ("decisionmakerboughtin", "Decision Maker Bought-In"),
    ("contractsent", "Contract Sent"),
    ("closedwon", "Closed Won"),
    ("closedlost", "Closed Lost"),
];

const LIFECYCLE: [(&str, &str); 8] = [
    ("subscriber", "Subscriber"),
    ("lead", "Lead"),
    ("marketingqualifiedlead", "Marketing Qualified Lead"),
    ("salesqualifiedlead", "Sales Qualified Lead"),
    ("opportunity", "Opportunity"),
    ("customer", "Customer"),
    ("evangelist", "Evangelist"),
    ("other", "Other"),
];

/// The vendor's standard properties of one kind of object.
pub(super) fn properties(object: ObjectType, now_ms: i64) -> Vec<Property> {
    let stock = |name: &str, label: &str, kind| Property::stock(name, label, kind, now_ms);
    let own = |name: &str, label: &str, kind| Property { read_only: true, ..stock(name, label, kind) };
    let mut all = vec![
        own("hs_object_id", "Record ID", Kind::Number),
        own("createdate", "Create Date", Kind::DateTime),
        own(object.modified_property(), "Last Modified Date", Kind::DateTime),
        own("hs_merged_object_ids", "Merged record IDs", Kind::Text),
    ];
    all.extend(match object {
        ObjectType::Contacts => vec![
            Property { unique: true, ..stock("email", "Email", Kind::Email) },
            own("hs_additional_emails", "Additional email addresses", Kind::Text),
            stock("firstname", "First Name", Kind::Text),
            stock("lastname", "Last Name", Kind::Text),
            stock("phone", "Phone Number", Kind::Phone),
            stock("mobilephone", "Mobile Phone Number", Kind::Phone),
            stock("company", "Company Name", Kind::Text),
            stock("jobtitle", "Job Title", Kind::Text),
            stock("address", "Street Address", Kind::Text),
            stock("city", "City", Kind::Text),
            stock("zip", "Postal Code", Kind::Text),
            stock("country", "Country/Region", Kind::Text),
            stock("lifecyclestage", "Lifecycle Stage", Kind::Enumeration).with_options(&LIFECYCLE),
        ],
        ObjectType::Companies => vec![
            stock("name", "Company name", Kind::Text),
            stock("domain", "Company Domain Name", Kind::Text),
            stock("phone", "Phone Number", Kind::Phone),
            stock("city", "City", Kind::Text),
        ],
        ObjectType::Deals => vec![
            stock("dealname", "Deal Name", Kind::Text),
            stock("amount", "Amount", Kind::Number),
            stock("dealstage", "Deal Stage", Kind::Enumeration).with_options(&STAGES),
            stock("pipeline", "Pipeline", Kind::Enumeration).with_options(&[("default", "Sales Pipeline")]),
            stock("closedate", "Close Date", Kind::DateTime),
            stock("description", "Deal Description", Kind::Text),
        ],
    });
    all
}
