//! Decides how HubSpot describes itself: the account behind the token, an object's properties, the property for our key.

use serde::Deserialize;
use serde_json::json;
use tidemark_core::failure::{Class, Failure};
use tidemark_core::fit::PropertyKind;

use super::{HubSpot, parse_json, post};
use crate::description::Object;
use crate::http::{Exchange, Intent, Request};
use crate::{Account, Answer, Property};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccountReply {
    portal_id: u64,
    account_type: String,
}

pub(super) async fn account(crm: &HubSpot) -> Answer<Account> {
    let path = crm.description.paths.account.clone();
    let request = Request::get(path, "reading the account".to_owned());
    crm.call(request).await.settle(|reply| {
        let account: AccountReply = parse_json(&reply)?;
        let environment = crm.description.environment(&account.account_type);
        Ok(Account { id: account.portal_id.to_string(), environment })
    })
}

#[derive(Deserialize)]
struct PropertiesReply {
    results: Vec<PropertyText>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PropertyText {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    field_type: String,
    #[serde(default)]
    options: Vec<OptionText>,
    #[serde(default)]
    external_options: bool,
    #[serde(default)]
    has_unique_value: bool,
    #[serde(default)]
    calculated: bool,
    #[serde(default)]
    archived: bool,
    modification_metadata: Option<Modification>,
}

#[derive(Deserialize)]
struct OptionText {
    value: String,
    #[serde(default)]
    label: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Modification {
    #[serde(default)]
    read_only_value: bool,
}

/// Archived properties are left out: they can be neither read nor written.
pub(super) async fn describe(crm: &HubSpot, object: &str) -> Answer<Vec<Property>> {
    let path = format!("{}/{object}", crm.description.paths.properties);
    let request = Request::get(path, format!("describing {object}"));
    let exchange = match crm.object(object) {
        Ok(_) => crm.call(request).await,
        Err(failure) => Exchange::unsent(&request, failure),
    };
    exchange.settle(|reply| {
        let described: PropertiesReply = parse_json(&reply)?;
        let declared = crm.object(object)?;
        let properties = described.results.into_iter().filter(|property| !property.archived);
        let properties: Vec<Property> = properties.map(|property| property.read(declared)).collect();
        crm.learn_unique(object, properties.iter().filter(|property| property.unique).map(|property| &property.name));
        Ok(properties)
    })
}

impl PropertyText {
    /// HubSpot does not flag what is unique by the object's nature (a contact's e-mail), nor what no record is made without, nor how long a text may be, so the description adds it.
    /// Options that are kept elsewhere (stages in pipelines, owners among the users) are not listed, or not all.
    fn read(self, declared: &Object) -> Property {
        let options = if self.external_options { Vec::new() } else { self.options };
        let (options, labels) = options.into_iter().map(|option| (option.value, option.label)).unzip();
        Property {
            unique: self.has_unique_value || declared.unique.contains(&self.name),
            read_only: self.modification_metadata.map_or(self.calculated, |of| of.read_only_value),
            several: self.field_type == "checkbox",
            required: declared.required.contains(&self.name),
            chars_max: declared.chars_max(&self.name),
            options,
            labels,
            name: self.name,
            kind: kind_of(&self.kind),
        }
    }
}

/// What HubSpot's word for a property's type means; types that are left out (coordinates, JSON) are not judged.
fn kind_of(word: &str) -> PropertyKind {
    match word {
        "string" | "phone_number" => PropertyKind::Text,
        "number" => PropertyKind::Number,
        "bool" => PropertyKind::Bool,
        "date" => PropertyKind::Date,
        "datetime" => PropertyKind::Moment,
        "enumeration" => PropertyKind::Choice,
        _ => PropertyKind::Other,
    }
}

/// `Duplicate` when a property of that name is there already; whether it is unique only `describe` tells.
pub(super) async fn create_key(crm: &HubSpot, object: &str, property: &str) -> Answer<()> {
    let group = crm.object(object).map(|object| object.property_group.as_deref());
    let body = json!({
        "name": property,
        "label": "Tidemark key",
        "description": "The key of this record's row in the order database. Kept by Tidemark.",
        "groupName": group.as_ref().ok().copied().flatten(),
        "type": "string",
        "fieldType": "text",
        "hasUniqueValue": true,
        "formField": false,
    });
    let path = format!("{}/{object}", crm.description.paths.properties);
    let request = post(Intent::Write, path, &body, format!("making the property {property} of {object}"));
    let exchange = match group {
        Ok(Some(_)) => crm.call(request).await,
        Ok(None) => {
            let what = format!("no property_group is declared for {object}, so {property} has to be made in HubSpot by hand");
            Exchange::unsent(&request, Failure::new(Class::Schema, what))
        }
        Err(failure) => Exchange::unsent(&request, failure),
    };
    let answer = exchange.settle(|_| Ok(()));
    if answer.result.is_ok() {
        crm.learn_unique(object, std::iter::once(property));
    }
    answer
}
