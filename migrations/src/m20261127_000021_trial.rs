//! Whose turn it is to try a connection's credentials, and when they are tried again after the CRM has refused them.

use crate::step::Step;

pub(crate) const STEP: Step = Step { name: "m20261127_000021_trial", up: UP, down: DOWN };

/// `probe_at` is empty unless the CRM's refusal paused the connection: what a person paused is left alone.
const UP: &str = "ALTER TABLE tidemark_connection ADD COLUMN trial_until BIGINT;
ALTER TABLE tidemark_connection ADD COLUMN probe_at BIGINT";

const DOWN: &str = "ALTER TABLE tidemark_connection DROP COLUMN probe_at;
ALTER TABLE tidemark_connection DROP COLUMN trial_until";
