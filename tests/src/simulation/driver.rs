//! Gives turns: every statement, transaction and call of the house waits for one, and one is given at a time. The order is the seed's. Never decides what is right.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidemark_core::Millis;
use tidemark_store::pace::{Driver, Turn};
use tokio::sync::{Notify, oneshot};

tokio::task_local! {
    /// The job that asks. Whoever is none (the setting up, the judges) never waits.
    pub(crate) static JOB: u64;
}

/// Hops of a task that need no outside help, at most: a channel between the two halves of a poll, a wake-up, and room.
const HOPS: usize = 12;

/// A turn that is asked for.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) job: u64,
    pub(crate) what: &'static str,
    /// Not before the clock stands here.
    pub(crate) from: Millis,
    release: oneshot::Sender<()>,
}

#[derive(Debug)]
struct Shared {
    now: AtomicI64,
    dice: Mutex<StdRng>,
    waiting: Mutex<Vec<Ticket>>,
    busy: AtomicUsize,
    idle: Notify,
}

/// The driver's own end; the house holds clones of it.
#[derive(Debug, Clone)]
pub(crate) struct Turns(Arc<Shared>);

struct Busy(Arc<Shared>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
        self.0.idle.notify_one();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Turns {
    pub(crate) fn new(seed: u64, now: Millis) -> Self {
        Self(Arc::new(Shared {
            now: AtomicI64::new(now),
            dice: Mutex::new(StdRng::seed_from_u64(seed)),
            waiting: Mutex::new(Vec::new()),
            busy: AtomicUsize::new(0),
            idle: Notify::new(),
        }))
    }

    pub(crate) fn set_now(&self, now: Millis) {
        self.0.now.store(now, Ordering::SeqCst);
    }

    fn ask(&self, what: &'static str, from: Millis) -> BoxFuture<'static, Turn> {
        let shared = Arc::clone(&self.0);
        let Ok(job) = JOB.try_with(|job| *job) else { return Box::pin(async { Box::new(()) as Turn }) };
        let (release, released) = oneshot::channel();
        locked(&self.0.waiting).push(Ticket { job, what, from, release });
        Box::pin(async move {
            // A driver that is gone lets everybody through: the simulation is over.
            let _ = released.await;
            Box::new(Busy(shared)) as Turn
        })
    }

    /// Who may go now, in the order they asked: job and what for.
    pub(crate) fn ready(&self) -> Vec<(u64, &'static str)> {
        let now = self.now();
        let mut waiting = locked(&self.0.waiting);
        waiting.retain(|ticket| !ticket.release.is_closed());
        waiting.iter().filter(|ticket| ticket.from <= now).map(|ticket| (ticket.job, ticket.what)).collect()
    }

    /// When the next of those who wait for the clock may go.
    pub(crate) fn next_moment(&self) -> Option<Millis> {
        let now = self.now();
        locked(&self.0.waiting).iter().filter(|ticket| !ticket.release.is_closed() && ticket.from > now).map(|t| t.from).min()
    }

    /// Lets the `nth` of those who are ready go, and waits until nothing moves any more.
    pub(crate) async fn give(&self, nth: usize) {
        let now = self.now();
        let ticket = {
            let mut waiting = locked(&self.0.waiting);
            let at = waiting.iter().enumerate().filter(|(_, ticket)| ticket.from <= now).map(|(at, _)| at).nth(nth);
            at.map(|at| waiting.remove(at))
        };
        if let Some(ticket) = ticket {
            self.0.busy.fetch_add(1, Ordering::SeqCst);
            if ticket.release.send(()).is_err() {
                self.0.busy.fetch_sub(1, Ordering::SeqCst);
            }
        }
        self.settle().await;
    }

    /// Waits until every job waits for a turn or has ended.
    pub(crate) async fn settle(&self) {
        loop {
            for _ in 0..HOPS {
                tokio::task::yield_now().await;
            }
            if self.0.busy.load(Ordering::SeqCst) == 0 {
                return;
            }
            self.0.idle.notified().await;
        }
    }

    /// Uniform in `[0, below)`.
    pub(crate) fn below(&self, below: u64) -> u64 {
        locked(&self.0.dice).random_range(0..below.max(1))
    }

    pub(crate) fn index(&self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    pub(crate) fn chance(&self, probability: f64) -> bool {
        self.dice() < probability
    }
}

impl Driver for Turns {
    fn now(&self) -> Millis {
        self.0.now.load(Ordering::SeqCst)
    }

    fn now_sql(&self) -> &'static str {
        "(SELECT now FROM simulated_clock)"
    }

    fn dice(&self) -> f64 {
        locked(&self.0.dice).random()
    }

    fn turn(&self, what: &'static str) -> BoxFuture<'static, Turn> {
        self.ask(what, Millis::MIN)
    }

    fn until(&self, moment: Millis) -> BoxFuture<'static, ()> {
        let asked = self.ask("clock", moment);
        Box::pin(async move { drop(asked.await) })
    }
}
