//! Decides when the next call may be made, so that a CRM's budget is kept by one bench after the other. Counts nothing but time.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tidemark_core::source::Bucket;
use tidemark_crm::BucketLimit;
use tokio::time::Instant;

/// One bucket after the other: the seconds between two of its calls, and when the next one is due.
#[derive(Debug)]
pub(crate) struct Pace(Vec<(Bucket, Duration, Mutex<Instant>)>);

impl Pace {
    pub(crate) fn of(limits: &[BucketLimit]) -> Self {
        let paced = limits.iter().filter(|limit| limit.per_second > 0.0);
        let between = |limit: &BucketLimit| Duration::from_secs_f64(1.0 / limit.per_second);
        Self(paced.map(|limit| (limit.bucket, between(limit), Mutex::new(Instant::now()))).collect())
    }

    pub(crate) async fn turn(&self, bucket: Bucket) {
        let Some((_, between, next)) = self.0.iter().find(|(own, ..)| *own == bucket) else { return };
        let slot = {
            let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
            let slot = (*next).max(Instant::now());
            *next = slot + *between;
            slot
        };
        tokio::time::sleep_until(slot).await;
    }
}
