//! The practice CRM: a real HTTP server that speaks HubSpot's dialect, with its quirks and with weather on demand.
//!
//! It shares no code with the rest of Tidemark, so a mistake in our reading of the vendor cannot cancel itself out.
//! Everything it decides is a plain function of its state, the call and the time; only `server` touches the network
//! and only `crm` reads the clock.

mod call;
mod config;
mod control;
mod counters;
mod crm;
mod forced;
pub mod hooks;
mod hubspot;
mod links;
mod object;
mod page;
mod preload;
mod record;
mod refusal;
mod schema;
mod server;
mod snapshot;
mod stamp;
mod store;
mod table;
mod throttle;
mod weather;
mod wire;
mod world;

pub use config::{Limits, SandboxConfig};
pub use counters::{CallEntry, Counters};
pub use crm::Crm;
pub use forced::ForcedAnswer;
pub use object::ObjectType;
pub use refusal::Refusal;
pub use server::{Sandbox, StartError};
pub use snapshot::{Snapshot, VersionView};
pub use weather::Weather;
