//! What Tidemark does, on both databases, shown on real servers and processes. One program: a test runner gives each test a process of its own all the same, and one
//! program is built far sooner than twenty.

mod arrivals;
mod brakes;
mod budget;
mod calls;
mod capture;
mod children;
mod command;
mod conflicts;
mod deletes;
mod deploy;
mod faults;
mod first_meeting;
mod heavy_browser;
mod heavy_demo;
mod heavy_logs;
mod heavy_plan_ready;
mod heavy_processes;
mod help;
mod interleavings;
mod leases;
mod lineage;
mod live_demo;
mod local_sweep;
mod loops;
mod lost_triggers;
mod merged;
mod newest;
mod own_writes;
mod politeness;
mod rewind;
mod rights;
mod scheduling;
mod stale;
mod sweep;
mod tide;
