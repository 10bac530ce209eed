//! The connectors that are described in files, each with the dialect it is tried against and a mapping of customers that means the same for all of them.

use tidemark_conformance::Subject;
use tidemark_sandbox::{Crm, Dialect, Limits, ObjectType, Sandbox, SandboxConfig, Weather};

use crate::rig::TOKEN;

/// A property that customers are mapped to: by the name of the mapping, and by that of the practice CRM's control API.
#[derive(Debug, Clone, Copy)]
pub struct Property {
    pub mapped: &'static str,
    pub kept: &'static str,
}

/// One connector and the dialect that answers it.
#[derive(Debug)]
pub struct Vendor {
    pub connector: &'static str,
    /// The connector's file.
    pub file: &'static str,
    pub dialect: Dialect,
    pub object: &'static str,
    pub email: Property,
    pub name: Property,
    pub phone: Property,
    /// A unique property that holds our key, where the vendor can have one.
    pub external_key: Option<&'static str>,
    /// What a new record needs beside the mapped ones.
    needed: &'static [(&'static str, &'static str)],
    /// Settings and secrets of the connection.
    connection: &'static str,
    /// A second record of the same e-mail and name is refused.
    pub refuses_doubles: bool,
    /// A refusal under 200.
    pub says_no_with_200: Option<&'static str>,
    /// Part of the path by which a record is made.
    pub makes: (&'static str, &'static str),
    /// Part of the path by which pages are read.
    pub lists: &'static str,
}

const fn same(name: &'static str) -> Property {
    Property { mapped: name, kept: name }
}

const PIPE: Vendor = Vendor {
    connector: "pipedrive",
    file: include_str!("../../connectors/pipedrive.toml"),
    dialect: Dialect::Pipedrive,
    object: "persons",
    email: Property { mapped: "email", kept: "emails" },
    name: same("name"),
    phone: Property { mapped: "phone", kept: "phones" },
    external_key: None,
    needed: &[],
    connection: "settings.company = \"acme\"\nsecret.token = { env = \"CRM_TOKEN\" }",
    refuses_doubles: false,
    says_no_with_200: Some(r#"{ "success": false, "data": [] }"#),
    makes: ("POST", "/api/v2/persons"),
    lists: "/api/v2/persons",
};

pub static PIPEDRIVE: Vendor = PIPE;

/// With a field of the account's own, which has to be added there first.
pub static PIPEDRIVE_OWN: Vendor = Vendor {
    phone: Property {
        mapped: "custom_fields.5f2c8d9e0b7a4c3d8e1f60a9b4c7d2e35f8a1b0c",
        kept: "5f2c8d9e0b7a4c3d8e1f60a9b4c7d2e35f8a1b0c",
    },
    ..PIPE
};

const CHIMP: Vendor = Vendor {
    connector: "mailchimp",
    file: include_str!("../../connectors/mailchimp.toml"),
    dialect: Dialect::Mailchimp,
    object: "members",
    email: same("email_address"),
    name: Property { mapped: "merge_fields.LNAME", kept: "LNAME" },
    phone: Property { mapped: "merge_fields.PHONE", kept: "PHONE" },
    external_key: None,
    needed: &[("status", "subscribed")],
    connection: "settings = { dc = \"us1\", list = \"a1b2c3d4e5\", new_status = \"subscribed\" }\nsecret.key = { env = \"CRM_TOKEN\" }",
    refuses_doubles: true,
    says_no_with_200: None,
    makes: ("POST", "/members"),
    lists: "/members",
};

pub static MAILCHIMP: Vendor = CHIMP;

/// Orders of a store, which carry no stamp.
pub static MAILCHIMP_ORDERS: Vendor = Vendor {
    object: "orders",
    email: Property { mapped: "customer.email_address", kept: "email_address" },
    name: same("financial_status"),
    phone: same("tracking_code"),
    ..CHIMP
};

pub static SALESFORCE: Vendor = Vendor {
    connector: "salesforce",
    file: include_str!("../../connectors/salesforce.toml"),
    dialect: Dialect::Salesforce,
    object: "Contact",
    email: same("Email"),
    name: same("LastName"),
    phone: same("Phone"),
    external_key: Some("Tidemark__c"),
    needed: &[],
    connection: "settings.domain = \"acme\"\nsecret = { client_id = { env = \"CRM_TOKEN\" }, client_secret = { env = \"CRM_TOKEN\" } }",
    refuses_doubles: true,
    says_no_with_200: None,
    makes: ("PATCH", "/composite/sobjects"),
    lists: "/query",
};

pub static ZOHO_CRM: Vendor = Vendor {
    connector: "zoho-crm",
    file: include_str!("../../connectors/zoho-crm.toml"),
    dialect: Dialect::ZohoCrm,
    object: "Contacts",
    email: same("Email"),
    name: same("Last_Name"),
    phone: same("Phone"),
    external_key: Some("Tidemark_Key"),
    needed: &[],
    connection: "settings.dc = \"eu\"\nsecret = { client_id = { env = \"CRM_TOKEN\" }, client_secret = { env = \"CRM_TOKEN\" }, refresh_token = { env = \"CRM_TOKEN\" } }",
    refuses_doubles: false,
    says_no_with_200: None,
    makes: ("POST", "/Contacts/upsert"),
    lists: "/crm/v8/Contacts",
};

pub static DATAVERSE: Vendor = Vendor {
    connector: "dataverse",
    file: include_str!("../../connectors/dataverse.toml"),
    dialect: Dialect::Dataverse,
    object: "contacts",
    email: same("emailaddress1"),
    name: same("lastname"),
    phone: same("telephone1"),
    external_key: Some("tidemark_key"),
    needed: &[],
    connection: "settings = { domain = \"acme.crm4\", tenant = \"acme\" }\nsecret = { client_id = { env = \"CRM_TOKEN\" }, client_secret = { env = \"CRM_TOKEN\" } }",
    refuses_doubles: true,
    says_no_with_200: None,
    makes: ("PATCH", "/contacts"),
    lists: "/contacts",
};

const HUB: Vendor = Vendor {
    connector: "hubspot",
    file: include_str!("../../connectors/hubspot.toml"),
    dialect: Dialect::Hubspot,
    object: "contacts",
    email: same("email"),
    name: same("lastname"),
    phone: same("phone"),
    external_key: Some("tidemark_key"),
    needed: &[],
    connection: "secret.token = { env = \"CRM_TOKEN\" }",
    refuses_doubles: true,
    says_no_with_200: None,
    makes: ("POST", "/batch/upsert"),
    lists: "/search",
};

pub static HUBSPOT: Vendor = HUB;

/// HubSpot's contacts without its module: by a file that goes through one search from page to page.
pub static HUBSPOT_PAGED: Vendor = Vendor {
    connector: "paged",
    file: include_str!("conformance/paged.toml"),
    email: Property { mapped: "properties.email", kept: "email" },
    name: Property { mapped: "properties.lastname", kept: "lastname" },
    phone: Property { mapped: "properties.phone", kept: "phone" },
    external_key: None,
    makes: ("POST", "/contacts"),
    ..HUB
};

const BOOKS: Vendor = Vendor {
    connector: "zoho-books",
    file: include_str!("../../connectors/zoho-books.toml"),
    dialect: Dialect::ZohoBooks,
    object: "contacts",
    email: same("email"),
    name: same("contact_name"),
    phone: same("phone"),
    external_key: None,
    needed: &[],
    connection: "settings = { dc = \"com\", organization = \"24539219\" }\nsecret = { client_id = { env = \"CRM_TOKEN\" }, client_secret = { env = \"CRM_TOKEN\" }, refresh_token = { env = \"CRM_TOKEN\" } }",
    refuses_doubles: false,
    says_no_with_200: Some(r#"{ "code": 1000, "message": "Internal error", "contacts": [] }"#),
    makes: ("POST", "/books/v3/contacts"),
    lists: "/books/v3/contacts",
};

pub static ZOHO_BOOKS: Vendor = BOOKS;

/// With a property that no list shows.
pub static ZOHO_BOOKS_NOTES: Vendor = Vendor { phone: same("notes"), ..BOOKS };

/// Every connector that keeps records.
pub static EVERY: [&Vendor; 7] = [&DATAVERSE, &HUBSPOT, &MAILCHIMP, &PIPEDRIVE, &SALESFORCE, &ZOHO_BOOKS, &ZOHO_CRM];

/// Those that are described in files alone.
pub static DESCRIBED: [&Vendor; 7] = [&DATAVERSE, &PIPEDRIVE, &MAILCHIMP, &SALESFORCE, &ZOHO_BOOKS, &ZOHO_BOOKS_NOTES, &ZOHO_CRM];

/// Every kind of record that is mapped is the dialect's people.
pub const PEOPLE: ObjectType = ObjectType::Contacts;

impl Vendor {
    /// The name of the one stream.
    pub fn stream(&self) -> String {
        format!("crm.{}", self.object)
    }

    /// A practice CRM that speaks this dialect and hurries.
    pub async fn sandbox(&self, weather: Weather) -> eyre::Result<Sandbox> {
        let limits = Limits { per_10s: 100_000, search_per_second: 10_000, per_day: 10_000_000 };
        let config =
            SandboxConfig { dialect: self.dialect, token: TOKEN.to_owned(), weather, limits, ..SandboxConfig::default() };
        let sandbox = Sandbox::start(config).await?;
        for quota in sandbox.crm().quotas() {
            sandbox.crm().set_quirk(quota, 1_000_000_u64)?;
        }
        if self.dialect == Dialect::ZohoBooks {
            // Display names may be the same, as an organisation can allow: people in tests mostly have one name.
            sandbox.crm().set_quirk("same_name_max", 1_000_000_u64)?;
        }
        if let Some(key) = self.external_key {
            sandbox.crm().add_property(PEOPLE, key, "text", true)?;
        }
        Ok(sandbox)
    }

    /// The connection `crm` and its stream; `settings` are the stream's beside the usual ones.
    pub fn configuration(&self, base_url: &str, settings: &str) -> String {
        let Self { connector, connection, object, email, name, phone, .. } = self;
        let key = self.external_key.map(|key| format!("external_key = \"{key}\"\n")).unwrap_or_default();
        let (email, name, phone) = (email.mapped, name.mapped, phone.mapped);
        format!(
            r#"
[connections.crm]
connector = "{connector}"
environment = "sandbox"
base_url = "{base_url}"
{connection}
call_deadline = "5s"
request_life = "1s"
budget = {{ per_second = 900, search_per_second = 900 }}

[[connections.crm.streams]]
object = "{object}"
table = "customers"
key = "id"
direction = "both"
remote_id = "hubspot_id"
{key}match_on = ["{email}"]
deletes = {{ inbound = "delete", outbound = "archive" }}
{settings}
[connections.crm.streams.fields]
"{email}" = {{ column = "email", owner = "crm" }}
"{name}" = {{ column = "last_name", owner = "orders" }}
"{phone}" = {{ column = "phone", owner = "hold" }}
"#
        )
    }

    /// What the cases that every connector has to hold are about.
    pub fn subject(&self) -> Subject {
        let owned = |property: Property| property.mapped.to_owned();
        Subject {
            object: self.object.to_owned(),
            email: owned(self.email),
            name: owned(self.name),
            phone: owned(self.phone),
            external_key: self.external_key.map(str::to_owned),
            with: Vec::new(),
            domain: "acme.test".to_owned(),
            account: None,
            environment: "sandbox".to_owned(),
            kept: Some([self.email, self.name, self.phone].map(|property| property.kept.to_owned())),
            refuses_doubles: Some(self.refuses_doubles),
            says_no_with_200: self.says_no_with_200.map(str::to_owned),
            secrets: vec![TOKEN.to_owned()],
        }
    }

    /// Somebody at the CRM takes a person away, so that it says who is gone when it is asked.
    pub fn remove(&self, crm: &Crm, id: &str) -> eyre::Result<()> {
        // To delete there is to forget: who is only archived is asked for like any other.
        match self.dialect {
            Dialect::Mailchimp => crm.edit(PEOPLE, id, &[("status", "archived")])?,
            _ => crm.delete(PEOPLE, id)?,
        }
        Ok(())
    }

    /// Somebody at the CRM adds a person; the id.
    pub fn add(&self, crm: &Crm, email: &str, name: &str) -> eyre::Result<String> {
        let mut properties = vec![(self.email.kept, email), (self.name.kept, name)];
        properties.extend(self.needed);
        Ok(crm.create(PEOPLE, &properties)?)
    }
}
