//! Decides which connector speaks to a connection, and refuses a connection that cannot be spoken to. Never calls the CRM.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::SecretString;
use tidemark_core::hook::{IFTTT, ZAPIER};
use tidemark_core::source::Order;
use tidemark_core::spec::ConnectionSpec;

use crate::description::DescriptionError;
use crate::http::ClientError;
use crate::{Crm, hooks, hubspot};

/// Every connector of this build.
pub const CONNECTORS: [&str; 3] = [hubspot::NAME, ZAPIER, IFTTT];

/// Why a connection cannot be spoken to; all of it is configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("connections.{connection}.connector is `{connector}`, which this build does not know; known are: {}", CONNECTORS.join(", "))]
    UnknownConnector { connection: String, connector: String },
    #[error("connections.{connection}.secret.{key} is missing")]
    MissingSecret { connection: String, key: &'static str },
    #[error("connections.{connection}.{place} {what}")]
    Hook { connection: String, place: String, what: String },
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
}

/// Makes the connector that `spec.connector` names. `secrets` are keyed as in `secret.token`.
pub fn connect(spec: &ConnectionSpec, secrets: &BTreeMap<String, SecretString>) -> Result<Arc<dyn Crm>, ConnectError> {
    if let Some(hooks) = hooks::connect(spec, secrets) {
        return hooks;
    }
    if spec.connector != hubspot::NAME {
        return Err(ConnectError::UnknownConnector { connection: spec.name.clone(), connector: spec.connector.clone() });
    }
    let token = secrets.get("token").cloned();
    let token = token.ok_or_else(|| ConnectError::MissingSecret { connection: spec.name.clone(), key: "token" })?;
    Ok(Arc::new(hubspot::connect(spec, token)?))
}
