//! Decides how a hint reaches a worker: apalis over Redis, or over a SQLite file of its own. Nothing else knows apalis.
//!
//! A hint says "there may be work of this kind in this stream" and nothing more. Attempts, due times, leases and errors
//! belong to the database. So whatever goes wrong in here may lose a hint or deliver it twice, and either is harmless:
//! the dispatcher hints again, and a lease turns the second delivery away.
//!
//! This crate never reads or writes the order system's database, never retries a handler and never looks at its outcome.

mod config;
mod embedded_queue;
mod error;
mod handlers;
mod liveness;
mod queue;
mod redis_queue;
mod supervisor;
mod ticker;
mod witness_file;

pub use config::{QueueConfig, WorkerSettings};
pub use error::QueueError;
pub use liveness::Liveness;
pub use queue::{Depth, Queue, WAITING_MAX};
