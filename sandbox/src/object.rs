//! The three kinds of object the practice CRM keeps, and the names the vendor gives them.

use serde::Serialize;

/// A kind of CRM object. Ids are counted per kind, so a contact and a deal may carry the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectType {
    Contacts,
    Companies,
    Deals,
}

impl ObjectType {
    pub const ALL: [Self; 3] = [Self::Contacts, Self::Companies, Self::Deals];

    /// Accepts the plural, the singular and the vendor's type id. `None` for a kind not kept here.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|object| [object.plural(), object.singular(), object.type_id()].contains(&name))
    }

    pub fn plural(self) -> &'static str {
        match self {
            Self::Contacts => "contacts",
            Self::Companies => "companies",
            Self::Deals => "deals",
        }
    }

    pub(crate) fn singular(self) -> &'static str {
        match self {
            Self::Contacts => "contact",
            Self::Companies => "company",
            Self::Deals => "deal",
        }
    }

    pub(crate) fn type_id(self) -> &'static str {
        match self {
            Self::Contacts => "0-1",
            Self::Companies => "0-2",
            Self::Deals => "0-3",
        }
    }

    /// The property that holds the modified stamp: contacts are the odd one out.
    pub(crate) fn modified_property(self) -> &'static str {
        match self {
            Self::Contacts => "lastmodifieddate",
            Self::Companies | Self::Deals => "hs_lastmodifieddate",
        }
    }

    /// What a read answers with when it names no properties.
    pub(crate) fn default_properties(self) -> &'static [&'static str] {
        match self {
            Self::Contacts => &["email", "firstname", "lastname"],
            Self::Companies => &["name", "domain"],
            Self::Deals => &["dealname", "amount", "dealstage", "pipeline", "closedate"],
        }
    }

    /// The vendor's id for the unlabelled association from `self` to `to`. `None` where it has none.
    pub(crate) fn association_type(self, to: Self) -> Option<u32> {
        match (self, to) {
            (Self::Deals, Self::Contacts) => Some(3),
            (Self::Contacts, Self::Deals) => Some(4),
            (Self::Contacts, Self::Companies) => Some(279),
            (Self::Companies, Self::Contacts) => Some(280),
            (Self::Deals, Self::Companies) => Some(341),
            (Self::Companies, Self::Deals) => Some(342),
            (Self::Contacts, Self::Contacts) | (Self::Companies, Self::Companies) | (Self::Deals, Self::Deals) => None,
        }
    }
}
