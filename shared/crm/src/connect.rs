//! Decides which connector speaks to a connection, and refuses a connection that cannot be spoken to. Never calls the CRM.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::SecretString;
use tidemark_core::hook::{IFTTT, ZAPIER};
use tidemark_core::source::Order;
use tidemark_core::spec::ConnectionSpec;

use crate::description::DescriptionError;
use crate::engine::{Connector, Engine, LoadError};
use crate::http::ClientError;
use crate::{Crm, hooks, hubspot};

/// Every connector of this build.
pub const CONNECTORS: [&str; 9] =
    ["dataverse", hubspot::NAME, "mailchimp", "pipedrive", "salesforce", "zoho-books", "zoho-crm", ZAPIER, IFTTT];

/// Why a connection cannot be spoken to; all of it is configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("connections.{connection}.connector is `{connector}`, which this build does not know; known are: {known}")]
    UnknownConnector { connection: String, connector: String, known: String },
    #[error("connections.{connection}.secret.{key} is missing{about}")]
    MissingSecret { connection: String, key: String, about: String },
    #[error("connections.{connection}.{place} {what}")]
    Hook { connection: String, place: String, what: String },
    #[error("connections.{connection}: {what}")]
    Setting { connection: String, what: String },
    #[error("connections.{connection} cannot be used")]
    Client {
        connection: String,
        #[source]
        source: ClientError,
    },
    #[error(
        "the description of {connector} declares order = \"{order:?}\" for {object}, and it is asked by id alone: write \"id_only\""
    )]
    Order { connector: &'static str, object: String, order: Order },
    #[error("the connector's description cannot be used")]
    Description(#[from] DescriptionError),
    #[error("the connector's description cannot be used")]
    Load(#[from] LoadError),
}

/// The files that the engine speaks by.
pub(crate) const FILES: [(&str, &str, &str); 6] = [
    ("dataverse", "connectors/dataverse.toml", include_str!("../../../connectors/dataverse.toml")),
    ("mailchimp", "connectors/mailchimp.toml", include_str!("../../../connectors/mailchimp.toml")),
    ("pipedrive", "connectors/pipedrive.toml", include_str!("../../../connectors/pipedrive.toml")),
    ("salesforce", "connectors/salesforce.toml", include_str!("../../../connectors/salesforce.toml")),
    ("zoho-books", "connectors/zoho-books.toml", include_str!("../../../connectors/zoho-books.toml")),
    ("zoho-crm", "connectors/zoho-crm.toml", include_str!("../../../connectors/zoho-crm.toml")),
];

/// Makes the connector of this build that `spec.connector` names. `secrets` are keyed as in `secret.token`; `others` are known beside them, for messages.
pub(crate) fn connect(
    spec: &ConnectionSpec,
    secrets: &BTreeMap<String, SecretString>,
    others: &[&str],
) -> Result<Arc<dyn Crm>, ConnectError> {
    if let Some(hooks) = hooks::connect(spec, secrets) {
        return hooks;
    }
    if let Some((name, file, text)) = FILES.iter().find(|(name, ..)| *name == spec.connector) {
        let connector = Connector::load(name, file, text)?;
        return Ok(Arc::new(Engine::connect(spec, secrets, connector)?));
    }
    if spec.connector != hubspot::NAME {
        let known = CONNECTORS.iter().chain(others).copied().collect::<Vec<_>>().join(", ");
        return Err(ConnectError::UnknownConnector { connection: spec.name.clone(), connector: spec.connector.clone(), known });
    }
    let token = secrets.get("token").cloned();
    let missing = || ConnectError::MissingSecret { connection: spec.name.clone(), key: "token".to_owned(), about: String::new() };
    Ok(Arc::new(hubspot::connect(spec, token.ok_or_else(missing)?)?))
}
