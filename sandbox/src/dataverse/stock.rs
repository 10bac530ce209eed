//! The columns every environment starts with, and those that point to rows of other tables.

use crate::{
    ObjectType,
    schema::{Kind, Property},
};

pub(super) fn properties(object: ObjectType, now_ms: i64) -> Vec<Property> {
    let of = |name: &str, label: &str, kind| Property::stock(name, label, kind, now_ms);
    let own = |name: &str, kind| Property { read_only: true, ..Property::stock(name, name, kind, now_ms) };
    let mut all = vec![
        own(key(object), Kind::Text),
        own("createdon", Kind::DateTime),
        own("modifiedon", Kind::DateTime),
        own("versionnumber", Kind::Number),
        own("statecode", Kind::Number),
        own("merged", Kind::Boolean),
        own("_masterid_value", Kind::Text),
        of("description", "Description", Kind::Text),
    ];
    all.extend(match object {
        ObjectType::Contacts => vec![
            of("firstname", "First Name", Kind::Text),
            of("lastname", "Last Name", Kind::Text),
            of("emailaddress1", "Email", Kind::Text),
            of("telephone1", "Business Phone", Kind::Phone),
            of("mobilephone", "Mobile Phone", Kind::Phone),
            of("jobtitle", "Job Title", Kind::Text),
            of("address1_city", "City", Kind::Text),
            of("_parentcustomerid_value", "Company Name", Kind::Text),
        ],
        ObjectType::Companies => vec![
            of("name", "Account Name", Kind::Text),
            of("accountnumber", "Account Number", Kind::Text),
            of("telephone1", "Main Phone", Kind::Phone),
            of("websiteurl", "Website", Kind::Text),
            of("address1_city", "City", Kind::Text),
        ],
        ObjectType::Deals => vec![
            of("name", "Topic", Kind::Text),
            of("estimatedvalue", "Est. Revenue", Kind::Number),
            of("estimatedclosedate", "Est. Close Date", Kind::Date),
            of("stepname", "Pipeline Phase", Kind::Text),
            of("_parentcontactid_value", "Contact", Kind::Text),
            of("_parentaccountid_value", "Account", Kind::Text),
        ],
    });
    all
}

/// The column that holds a table's own id.
pub(super) fn key(object: ObjectType) -> &'static str {
    match object {
        ObjectType::Contacts => "contactid",
        ObjectType::Companies => "accountid",
        ObjectType::Deals => "opportunityid",
    }
}

/// The column without which no row is made, if there is one.
pub(super) fn needed(object: ObjectType) -> &'static str {
    if object == ObjectType::Contacts { "lastname" } else { "name" }
}

/// What a write binds, the column it sets, and the table it points to.
pub(super) fn bindings(object: ObjectType) -> &'static [(&'static str, &'static str, ObjectType)] {
    match object {
        ObjectType::Contacts => &[("parentcustomerid_account", "_parentcustomerid_value", ObjectType::Companies)],
        ObjectType::Companies => &[],
        ObjectType::Deals => &[
            ("parentcontactid", "_parentcontactid_value", ObjectType::Contacts),
            ("parentaccountid", "_parentaccountid_value", ObjectType::Companies),
        ],
    }
}
