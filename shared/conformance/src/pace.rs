//! Decides when the next call may be made, so that a CRM's budget is kept by one bench after the other. Counts nothing but time.

use std::collections::HashMap;
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tidemark_core::source::Bucket;
use tidemark_crm::BucketLimit;

/// One call after the other, in each bucket as far apart as its limit asks.
#[derive(Debug)]
pub(crate) struct Pace(HashMap<Bucket, DefaultDirectRateLimiter>);

impl Pace {
    pub(crate) fn of(limits: &[BucketLimit]) -> Self {
        let paced = limits.iter().filter(|limit| limit.per_second > 0.0);
        let between = |limit: &BucketLimit| {
            let quota = Quota::with_period(Duration::from_secs_f64(1.0 / limit.per_second))?;
            Some((limit.bucket, RateLimiter::direct(quota)))
        };
        Self(paced.filter_map(between).collect())
    }

    pub(crate) async fn turn(&self, bucket: Bucket) {
        if let Some(limiter) = self.0.get(&bucket) {
            limiter.until_ready().await;
        }
    }
}
