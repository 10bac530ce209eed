//! Which vendors the practice CRM can play, by the names a command line knows them by.

use std::fmt;

use serde::Serialize;

use crate::{
    dataverse::Dataverse, hubspot::Hubspot, mailchimp::Mailchimp, pipedrive::Pipedrive, salesforce::Salesforce, vendor::Vendor,
    zoho_books::ZohoBooks, zoho_crm::ZohoCrm,
};

/// The vendor whose API a practice CRM speaks. One practice CRM speaks one, from its start to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    #[default]
    Hubspot,
    Pipedrive,
    Mailchimp,
    Salesforce,
    ZohoCrm,
    ZohoBooks,
    Dataverse,
}

impl Dialect {
    pub const ALL: [Self; 7] =
        [Self::Hubspot, Self::Pipedrive, Self::Mailchimp, Self::Salesforce, Self::ZohoCrm, Self::ZohoBooks, Self::Dataverse];

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Hubspot => "hubspot",
            Self::Pipedrive => "pipedrive",
            Self::Mailchimp => "mailchimp",
            Self::Salesforce => "salesforce",
            Self::ZohoCrm => "zoho-crm",
            Self::ZohoBooks => "zoho-books",
            Self::Dataverse => "dataverse",
        }
    }

    pub(crate) fn vendor(self) -> &'static dyn Vendor {
        match self {
            Self::Hubspot => &Hubspot,
            Self::Pipedrive => &Pipedrive,
            Self::Mailchimp => &Mailchimp,
            Self::Salesforce => &Salesforce,
            Self::ZohoCrm => &ZohoCrm,
            Self::ZohoBooks => &ZohoBooks,
            Self::Dataverse => &Dataverse,
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
