//! The vendor's names for the three kinds of object it keeps, and for the associations between them.

use crate::{ObjectType, vendor::ObjectName};

pub(super) const OBJECTS: [ObjectName; 3] =
    [(ObjectType::Contacts, "contacts"), (ObjectType::Companies, "companies"), (ObjectType::Deals, "deals")];

/// Accepts the plural, the singular and the vendor's type id. `None` for a kind not kept here.
pub(super) fn parse(name: &str) -> Option<ObjectType> {
    ObjectType::ALL.into_iter().find(|object| [object.plural(), object.singular(), object.type_id()].contains(&name))
}

impl ObjectType {
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
            _ => None,
        }
    }
}
