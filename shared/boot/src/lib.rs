//! What a process needs before it can do anything: its configuration, its log, and word of when to stop.
//!
//! Knows the shape of `tidemark.toml` and nothing of databases, queues or CRMs.

mod config;
mod credentials;
mod errors;
mod layers;
mod node;
mod raw;
mod rules;
#[cfg(test)]
mod sample;
mod secrets;
mod section;
mod settings;
pub mod shutdown;
mod streams;
pub mod telemetry;

pub use config::{Config, DEFAULTS, Secrets};
pub use credentials::CredentialsConfig;
pub use errors::{ConfigError, ConfigErrors, Origin, Place};
pub use settings::{
    ConnectorsConfig, DatabaseConfig, LogConfig, LogFormat, QueueConfig, QueueUrl, RetentionConfig, SchedulerConfig,
    ServerConfig, WorkerConfig,
};
