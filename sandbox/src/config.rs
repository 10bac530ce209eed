//! What a practice CRM is started with: where it listens, who may call, how often, and in which weather.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{Dialect, Weather};

/// Everything a practice CRM needs to start.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    pub dialect: Dialect,
    /// Port 0 asks the system for a free one.
    pub listen: SocketAddr,
    /// What every call outside `/sandbox` must carry, in the form the dialect asks for.
    pub token: String,
    /// The account it says it is.
    pub account: String,
    pub weather: Weather,
    /// Quotas of the HubSpot dialect. Those of the others are quirks of theirs.
    pub limits: Limits,
    /// Seeds the dice behind the weather. The same seed and the same calls meet the same faults.
    pub seed: u64,
    /// Off, it has no `/sandbox`: a CRM as a stranger meets it.
    pub control: bool,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            dialect: Dialect::Hubspot,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            token: "pat-na1-sandbox".to_owned(),
            account: "24539219".to_owned(),
            weather: Weather::calm(),
            limits: Limits::default(),
            seed: 1,
            control: true,
        }
    }
}

/// Quotas of one account, as the vendor states them for a private app on a paid plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Calls in any ten seconds. Searches are exempt.
    pub per_10s: u32,
    /// Searches in any second.
    pub search_per_second: u32,
    /// Calls of any kind between two midnights, UTC.
    pub per_day: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_10s: 190, search_per_second: 5, per_day: 650_000 }
    }
}
