//! Waiting for a condition, with a deadline that fails loudly. Never a fixed wait.

use std::time::{Duration, Instant};

use eyre::bail;

/// Asks again until the answer is `Some`, or fails with what was waited for.
pub async fn until<T, F>(what: &str, within: Duration, mut ask: impl FnMut() -> F) -> eyre::Result<T>
where
    F: Future<Output = eyre::Result<Option<T>>>,
{
    let started = Instant::now();
    let mut every = tokio::time::interval(Duration::from_millis(25));
    loop {
        every.tick().await;
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        if started.elapsed() > within {
            bail!("waited {} s for this: {what}", within.as_secs());
        }
    }
}
