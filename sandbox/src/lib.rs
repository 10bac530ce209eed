//! The practice CRM: a real HTTP server that speaks a vendor's dialect, with its quirks and with weather on demand.
//!
//! It shares no code with the rest of Tidemark, so a mistake in our reading of the vendor cannot cancel itself out.
//! Everything it decides is a plain function of its state, the call and the time; only `server` touches the network
//! and only `crm` reads the clock.

mod alterations;
mod call;
mod config;
mod control;
mod counters;
mod crm;
mod dataverse;
mod dialect;
mod forced;
pub mod hooks;
mod hubspot;
mod links;
mod mailchimp;
mod memory;
mod meters;
mod oauth;
mod object;
mod page;
mod pipedrive;
mod quirk;
mod record;
mod refusal;
mod salesforce;
mod schema;
mod server;
mod snapshot;
mod stamp;
mod store;
mod table;
mod turn;
mod vendor;
mod weather;
mod wire;
mod world;
mod zoho_books;
mod zoho_crm;

pub use config::{Limits, SandboxConfig};
pub use counters::{CallEntry, Counters};
pub use crm::Crm;
pub use dialect::Dialect;
pub use forced::ForcedAnswer;
pub use object::ObjectType;
pub use quirk::{QuirkView, Setting};
pub use refusal::Refusal;
pub use server::{Sandbox, StartError};
pub use snapshot::{Snapshot, VersionView};
pub use weather::Weather;
