//! Decides what is due, and shows how things stand: ticks, the dispatcher of hints, housekeeping, and the dashboard with its API, metrics and health.
//!
//! It never calls a CRM and never touches an order table; it looks at the catalogue to see that capture is there. Any number of schedulers may run.

mod clock;
pub mod dispatch;
pub mod http;
pub mod pulse;
pub mod run;
pub mod tick;
pub mod watch;
