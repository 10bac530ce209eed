//! Tidemark's parts as the demo watches over them: whether they still run, and how they ended. Never starts or stops one.

use std::time::Duration;

use eyre::{WrapErr, bail, eyre};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// All parts as one task, and the token that stops them. A part that fails cancels the token too, so that the token alone does not tell who wanted the end.
#[derive(Debug)]
pub(crate) struct Parts {
    /// `None` once its end was told.
    running: Option<JoinHandle<eyre::Result<()>>>,
    shutdown: CancellationToken,
}

impl Parts {
    pub(crate) fn new(running: JoinHandle<eyre::Result<()>>, shutdown: CancellationToken) -> Self {
        Self { running: Some(running), shutdown }
    }

    /// Waits; false when they are to stop. An end of their own is an error.
    pub(crate) async fn look_out(&mut self, wait: Duration) -> eyre::Result<bool> {
        let Some(running) = &mut self.running else { return Ok(false) };
        tokio::select! {
            biased;
            ended = running => {
                self.running = None;
                ended.wrap_err("Tidemark broke down")?.wrap_err("Tidemark broke down")?;
                if self.shutdown.is_cancelled() { Ok(false) } else { bail!("Tidemark stopped by itself") }
            }
            () = self.shutdown.cancelled() => Ok(false),
            () = tokio::time::sleep(wait) => Ok(true),
        }
    }

    /// Waits for their end, which may have been a failure, unless it was told before.
    pub(crate) async fn end(&mut self, within: Duration) -> eyre::Result<()> {
        let Some(running) = self.running.take() else { return Ok(()) };
        let ended = tokio::time::timeout(within, running).await;
        ended
            .map_err(|_| eyre!("Tidemark did not stop in time"))?
            .wrap_err("Tidemark broke down")?
            .wrap_err("Tidemark broke down")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Parts that end like this once they are let go, cancelling the token as a failing part does.
    fn parts(end: impl Future<Output = eyre::Result<()>> + Send + 'static) -> (Parts, CancellationToken) {
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        let running = tokio::spawn(async move {
            let ended = end.await;
            if ended.is_err() {
                token.cancel();
            }
            ended
        });
        (Parts::new(running, shutdown.clone()), shutdown)
    }

    /// As the demo does it: look out until it is over, then wait for the end.
    async fn watch(parts: &mut Parts) -> eyre::Result<()> {
        while parts.look_out(LONG).await? {}
        parts.end(LONG).await
    }

    #[tokio::test]
    async fn a_breakdown_is_an_error_although_it_asked_for_the_end_itself() {
        let (mut broken, _) = parts(async { bail!("the watchdog saw a loop that hangs") });
        let error = watch(&mut broken).await.expect_err("it broke down");
        assert!(format!("{error:#}").contains("a loop that hangs"), "{error:#}");
    }

    #[tokio::test]
    async fn a_part_that_fails_while_it_is_stopped_is_an_error() {
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let (mut broken, shutdown) = parts(async {
            gone.await?;
            bail!("could not close")
        });
        shutdown.cancel();
        assert!(!broken.look_out(LONG).await.expect("it is only asked to stop"));
        drop(go);
        assert!(broken.end(LONG).await.is_err());
    }

    #[tokio::test]
    async fn an_end_that_was_asked_for_is_none_of_its_own() {
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let (mut well, shutdown) = parts(async { Ok(gone.await?) });
        assert!(well.look_out(Duration::from_millis(1)).await.expect("it runs"));
        shutdown.cancel();
        go.send(()).expect("it waits");
        watch(&mut well).await.expect("it ends well");
    }

    #[tokio::test]
    async fn parts_that_end_by_themselves_are_an_error() {
        let (mut gone, _) = parts(async { Ok(()) });
        assert!(watch(&mut gone).await.is_err());
    }
}
