//! People at work on both sides while Tidemark runs: how often they edit, and when they stop. What they edit is in the files below.

mod crm;
mod orders;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidemark_sandbox::Crm;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::order_system::OrderSystem;
use super::people::{Person, person};

/// The two sides' dice differ, whatever the seed.
const ORDERS_SALT: u64 = 0x6f72_6465_7273;
const CRM_SALT: u64 = 0x0063_726d;

/// Edits that were made, as they are made.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) orders: AtomicU64,
    pub(crate) crm: AtomicU64,
}

impl Tally {
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.orders.load(Ordering::Relaxed), self.crm.load(Ordering::Relaxed))
    }
}

/// How the editors work.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    /// Between two edits of one side, on average.
    pub(crate) every: Duration,
    pub(crate) seed: u64,
}

/// The editors of both sides, at work until they are stopped.
#[derive(Debug)]
pub(crate) struct Editors {
    pub(crate) tally: Arc<Tally>,
    stop: CancellationToken,
    sides: Vec<JoinHandle<eyre::Result<()>>>,
}

impl Editors {
    /// `crm_only` are the contacts that nobody but the CRM knows at the start.
    pub(crate) fn start(
        pace: &Pace,
        system: &OrderSystem,
        crm: &Crm,
        crm_only: Vec<String>,
        shutdown: &CancellationToken,
    ) -> Self {
        let (tally, stop) = (Arc::new(Tally::default()), shutdown.child_token());
        let dice = |salt: u64| StdRng::seed_from_u64(pace.seed ^ salt);
        let orders = orders::Editor::new(system.clone(), dice(ORDERS_SALT), pace.seed);
        let crm = crm::Editor::new(crm.clone(), dice(CRM_SALT), pace.seed, crm_only);
        let sides = vec![
            tokio::spawn(edit_orders(orders, pace.every, Arc::clone(&tally), stop.clone())),
            tokio::spawn(edit_crm(crm, pace.every, Arc::clone(&tally), stop.clone())),
        ];
        Self { tally, stop, sides }
    }

    /// Both sides stop; an edit under way is finished first.
    pub(crate) async fn stop(self) -> eyre::Result<Arc<Tally>> {
        self.stop.cancel();
        for side in self.sides {
            side.await??;
        }
        Ok(self.tally)
    }

    /// One side gave up, which only trouble of its own makes it do.
    pub(crate) fn has_failed(&self) -> bool {
        !self.stop.is_cancelled() && self.sides.iter().any(JoinHandle::is_finished)
    }
}

async fn edit_orders(
    mut editor: orders::Editor,
    every: Duration,
    tally: Arc<Tally>,
    stop: CancellationToken,
) -> eyre::Result<()> {
    while stop.run_until_cancelled(tokio::time::sleep(editor.breath(every))).await.is_some() {
        tally.orders.fetch_add(u64::from(editor.edit().await?), Ordering::Relaxed);
    }
    Ok(())
}

async fn edit_crm(mut editor: crm::Editor, every: Duration, tally: Arc<Tally>, stop: CancellationToken) -> eyre::Result<()> {
    while stop.run_until_cancelled(tokio::time::sleep(editor.breath(every))).await.is_some() {
        tally.crm.fetch_add(u64::from(editor.edit()?), Ordering::Relaxed);
    }
    Ok(())
}

/// Half to one and a half of the average.
fn breath(dice: &mut impl Rng, every: Duration) -> Duration {
    every.mul_f64(dice.random_range(0.5..1.5))
}

/// Visitors of a trade fair enter themselves as customers and are entered by sales too: both sides know the same ones, in the same order.
fn visitor(seed: u64, number: u64) -> Person {
    let mut dice = StdRng::seed_from_u64(seed.wrapping_mul(31).wrapping_add(number));
    person(&mut dice, &format!("fair{seed}-{number}"))
}
