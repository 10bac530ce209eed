//! Turns signals into one token that everything long-running watches. Stops nothing itself, except a process asked twice.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// What a shell reports for a process ended by Ctrl-C.
const EXIT_CODE: i32 = 130;

/// A token that SIGTERM or Ctrl-C cancels. A second signal ends the process at once with code 130; leases free what was running.
///
/// Listens from this call on, inside a Tokio runtime. Where signals cannot be listened to, they keep what they do by default.
pub fn on_signal() -> CancellationToken {
    let token = CancellationToken::new();
    let (sender, signals) = mpsc::channel(2);
    if let Err(cause) = listen(&sender) {
        error!(%cause, "cannot listen for signals: a signal will end this process without draining");
    }
    let watched = token.clone();
    tokio::spawn(async move {
        if watch(signals, &watched).await {
            std::process::exit(EXIT_CODE);
        }
    });
    token
}

/// True when the process is to end at once. Without signals to come, never.
async fn watch(mut signals: mpsc::Receiver<&'static str>, token: &CancellationToken) -> bool {
    let Some(name) = signals.recv().await else { return false };
    info!(signal = name, "{name}: finishing what runs; a second signal ends at once");
    token.cancel();
    let Some(name) = signals.recv().await else { return false };
    warn!(signal = name, "{name} again: ending at once; what ran is taken over when its lease ends");
    true
}

#[cfg(unix)]
fn listen(sender: &mpsc::Sender<&'static str>) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    for (kind, name) in [(SignalKind::terminate(), "SIGTERM"), (SignalKind::interrupt(), "Ctrl-C")] {
        let (mut signal, sender) = (signal(kind)?, sender.clone());
        tokio::spawn(async move { while signal.recv().await.is_some() && sender.send(name).await.is_ok() {} });
    }
    Ok(())
}

#[cfg(not(unix))]
fn listen(sender: &mpsc::Sender<&'static str>) -> std::io::Result<()> {
    let sender = sender.clone();
    tokio::spawn(async move { while tokio::signal::ctrl_c().await.is_ok() && sender.send("Ctrl-C").await.is_ok() {} });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_signal_cancels_and_the_second_ends_the_process() {
        let (sender, signals) = mpsc::channel(2);
        let token = CancellationToken::new();
        let watching = tokio::spawn({
            let token = token.clone();
            async move { watch(signals, &token).await }
        });
        sender.send("SIGTERM").await.unwrap();
        token.cancelled().await;
        assert!(!watching.is_finished());
        sender.send("Ctrl-C").await.unwrap();
        assert!(watching.await.unwrap());
    }

    #[tokio::test]
    async fn a_process_that_cannot_hear_signals_goes_on() {
        let (sender, signals) = mpsc::channel(2);
        drop(sender);
        let token = CancellationToken::new();
        assert!(!watch(signals, &token).await);
        assert!(!token.is_cancelled());
    }
}
