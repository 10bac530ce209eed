//! What one seed's world is like: drawn from the seed, printed with every failure. Each option is a way in which real systems differ, or a fault.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidemark_core::Millis;
use tidemark_core::spec::StaleSave;

/// The options of one run.
#[derive(Debug, Clone)]
pub(crate) struct Swarm {
    /// Turns, edits and faults before the calm.
    pub(crate) steps: u32,
    pub(crate) people: u64,
    /// Handlers at work at once.
    pub(crate) jobs: usize,
    // --- the CRM
    /// Smallest step of its stamps.
    pub(crate) precision: Millis,
    /// How far its clock is ahead of ours.
    pub(crate) skew: Millis,
    /// Longest time a write takes to become visible after its stamp.
    pub(crate) commit_lag: Millis,
    /// Longest time a search stays behind a commit.
    pub(crate) index_lag: Millis,
    pub(crate) page_rows: u16,
    pub(crate) external_key: bool,
    /// Phone numbers lose their spaces.
    pub(crate) normalises: bool,
    /// Answers to writes carry neither stamp nor fields.
    pub(crate) bodyless: bool,
    /// A write without a difference moves the stamp.
    pub(crate) noop_moves_stamp: bool,
    pub(crate) refused: f64,
    pub(crate) lost_answer: f64,
    pub(crate) late_landing: f64,
    pub(crate) throttled: f64,
    /// Longest time a request may still take effect.
    pub(crate) request_life: Millis,
    // --- the house
    pub(crate) overlap: Millis,
    pub(crate) lease: Duration,
    pub(crate) clear_blanks: bool,
    pub(crate) archive: bool,
    // --- the weather over the house
    pub(crate) crash: f64,
    pub(crate) drop_hint: f64,
    pub(crate) double_hint: f64,
    /// One step in so many is an edit.
    pub(crate) edit_every: u32,
    /// Of the edits, so many in a hundred delete something.
    pub(crate) deletes: u64,
    /// So many in a hundred merge two records.
    pub(crate) merges: u64,
    /// The CRM answers the survivor for the id of a record that was merged away.
    pub(crate) merged_answers: bool,
    /// The rest of the edits happen on both sides of one thing at nearly the same time, now and then.
    pub(crate) clashes: f64,
    /// The CRM's clock is set now and then.
    pub(crate) clock_steps: bool,
    /// Sweeps run, each soon after the other.
    pub(crate) sweeps: bool,
    /// Archived records can be read by id.
    pub(crate) archive_view: bool,
    /// The field that is taken out of the mapping and put in again, now and then.
    pub(crate) remapped: Option<&'static str>,
    /// The field that is out of the mapping now.
    pub(crate) unmapped: Option<&'static str>,
    /// What is done about an old object that was saved.
    pub(crate) stale_saves: StaleSave,
    /// Lists show a part of each contact; only a read by id shows all of it.
    pub(crate) part: bool,
    /// Narrow brakes, and a person who answers them.
    pub(crate) brakes: bool,
    /// The order database is put back to an older state now and then.
    pub(crate) restores: bool,
}

impl Swarm {
    pub(crate) fn draw(seed: u64) -> Self {
        let dice = &mut StdRng::seed_from_u64(seed ^ 0x5eed_ca5e);
        let mut faulty = |often: f64| if dice.random_bool(0.5) { often * dice.random::<f64>() } else { 0.0 };
        let (refused, lost_answer, late_landing, throttled) = (faulty(0.15), faulty(1.0), faulty(0.3), faulty(0.1));
        let (crash, drop_hint, double_hint) = (faulty(0.02), faulty(0.3), faulty(0.3));
        let precision = [1, 1, 1_000, 60_000][dice.random_range(0..4)];
        let commit_lag = [0, 0, 500, 5_000][dice.random_range(0..4)];
        let index_lag = [0, 10_000, 20_000, 20_000][dice.random_range(0..4)];
        let (clock_steps, sweeps) = (dice.random_bool(0.4), dice.random_bool(0.5));
        let remapped = [None, None, Some("company"), Some("firstname"), Some("phone")][dice.random_range(0..5)];
        let mut swarm = Self {
            steps: dice.random_range(1_200..2_000),
            people: dice.random_range(3..9),
            jobs: dice.random_range(3..7),
            precision,
            skew: [0, -7_300, 4_100, 120_000][dice.random_range(0..4)],
            commit_lag,
            index_lag,
            page_rows: [1, 2, 3, 100][dice.random_range(0..4)],
            external_key: dice.random_bool(0.75),
            normalises: dice.random_bool(0.5),
            bodyless: dice.random_bool(0.25),
            noop_moves_stamp: dice.random_bool(0.5),
            refused,
            lost_answer,
            late_landing,
            throttled,
            request_life: 8_000,
            overlap: [0, 2_000][dice.random_range(0..2)],
            lease: Duration::from_secs([8, 60][dice.random_range(0..2)]),
            clear_blanks: dice.random_bool(0.3),
            archive: dice.random_bool(0.3),
            // Whoever knew the old time and dies takes the proof of a step along: what was stamped again is the sweep's to find.
            crash: if clock_steps && !sweeps { 0.0 } else { crash },
            drop_hint,
            double_hint,
            edit_every: dice.random_range(13..40),
            deletes: [0, 4, 8][dice.random_range(0..3)],
            merged_answers: dice.random_bool(0.5),
            clashes: [0.0, 0.5, 0.8][dice.random_range(0..3)],
            clock_steps,
            sweeps,
            archive_view: dice.random_bool(0.5),
            remapped: remapped.filter(|_| !clock_steps || sweeps),
            unmapped: None,
            stale_saves: if dice.random_bool(0.75) { StaleSave::Ours } else { StaleSave::Theirs },
            part: false,
            // What waits behind a brake is pushed less often: where a page may be older than a push, that race comes first.
            brakes: index_lag == 0 && dice.random_bool(0.9),
            restores: sweeps && dice.random_bool(0.8),
            merges: [0, 0, 4, 16][dice.random_range(0..4)],
        };
        // A hidden edit under the very stamp that was seen before the clock was set back is beyond any reader.
        swarm.part = !swarm.clock_steps && StdRng::seed_from_u64(seed ^ 0x9a27).random_bool(0.3);
        if swarm.brakes {
            (swarm.archive, swarm.deletes) = (true, 8);
        }
        if swarm.restores {
            // A mapping of yesterday, a day's count of yesterday and a merge whose rows are forgotten are stories of their own.
            (swarm.remapped, swarm.brakes, swarm.merges) = (None, false, 0);
        }
        swarm
    }
}
