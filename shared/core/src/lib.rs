//! What is true: the pure types and decisions of Tidemark.
//!
//! Values in, values out. No IO, no clock, no dice, no async: the caller supplies `now` and the dice, so that a test can name both.

pub mod agree;
pub mod arrival;
pub mod backoff;
pub mod base;
pub mod brake;
pub mod bug;
pub mod capture;
pub mod check;
pub mod conflict;
pub mod crm_clock;
pub mod cycle;
pub mod delete;
pub mod deliver;
pub mod environment;
pub mod erasure;
pub mod failure;
pub mod first_meeting;
pub mod fit;
pub mod freshness;
pub mod ghost;
pub mod hint;
pub mod hook;
pub mod lineage;
pub mod link;
pub mod loop_breaker;
pub mod meeting;
pub mod merge;
pub mod newest;
pub mod owner;
pub mod page;
pub mod policy;
pub mod property;
pub mod push;
pub mod reading;
pub mod record;
pub mod recording;
pub mod reliability;
pub mod rewind;
pub mod rule;
pub mod schedule;
pub mod schema;
pub mod source;
pub mod spec;
pub mod stale;
pub mod survivor;
pub mod sweep;
pub mod transform;
pub mod webhook;
pub mod why;
pub mod window;

/// Milliseconds since 1970-01-01T00:00:00Z. Times of our own tables are the database's clock; stamps of records are the CRM's.
pub type Millis = i64;

/// A day, milliseconds.
pub const DAY_MS: Millis = 86_400_000;
