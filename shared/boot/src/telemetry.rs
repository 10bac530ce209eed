//! Where log lines go and which are written. Decides nothing about what is logged.

use std::io::{IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::sync::Arc;

use tracing::error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::LogFormat;

/// The words a level can be.
pub(crate) const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// Crates whose `info` is about themselves; a part of `log.level` that names one of them wins.
const NOISY: [&str; 8] = ["sqlx", "hyper", "apalis", "h2", "reqwest", "rustls", "redis", "tower"];

/// Sends log lines to standard error, text for people or one JSON object per line, and panics as one line of them.
///
/// Standard output stays free for what a command answers. Keep the guard until the process ends.
pub fn init(format: LogFormat, level: &str) -> Result<TelemetryGuard, TelemetryError> {
    let filter =
        EnvFilter::try_new(directives(level)).map_err(|source| TelemetryError::Level { level: level.to_owned(), source })?;
    let lines = tracing_subscriber::registry().with(filter);
    let text = || tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let installed = match format {
        LogFormat::Text => lines.with(text()).try_init(),
        LogFormat::Json => lines.with(text().json().flatten_event(true).with_span_list(false)).try_init(),
    };
    installed.map_err(TelemetryError::Installed)?;
    let before: Arc<PanicHook> = std::panic::take_hook().into();
    std::panic::set_hook(Box::new(log_panic));
    Ok(TelemetryGuard { before })
}

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("log.level \"{level}\" cannot be read")]
    Level {
        level: String,
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    #[error("this process logs already")]
    Installed(#[source] tracing_subscriber::util::TryInitError),
}

type PanicHook = dyn Fn(&PanicHookInfo<'_>) + Send + Sync;

/// While it lives panics are log lines; then they are what they were before.
#[must_use = "dropped at once, panics are no longer logged"]
pub struct TelemetryGuard {
    before: Arc<PanicHook>,
}

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        // The hook of a panicking thread cannot be replaced.
        if !std::thread::panicking() {
            let before = Arc::clone(&self.before);
            std::panic::set_hook(Box::new(move |panic| before(panic)));
        }
        // Nothing is left to tell when standard error is gone.
        let _ = std::io::stderr().flush();
    }
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    error!(panic.place = place, "panicked at {place}: {message}");
}

/// The part of a level text that is not one: `inof` of `info,sqlx=inof`.
pub(crate) fn wrong_part(level: &str) -> Option<&str> {
    let parts = level.split(',').map(|part| part.rsplit_once('=').map_or(part, |(_, level)| level).trim());
    parts.into_iter().find(|part| !LEVELS.contains(part))
}

/// Noisy crates speak from `warn` up, or less when the whole log says less. What the user wrote comes last, and wins.
fn directives(level: &str) -> String {
    let general = level.split(',').map(str::trim).find(|part| !part.contains('=')).unwrap_or("warn");
    let quiet = if matches!(general, "error" | "off") { general } else { "warn" };
    let quiet = NOISY.iter().map(|name| format!("{name}={quiet}"));
    quiet.chain([level.to_owned()]).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(level: &str, expect: &[(&str, &str)]) {
        let filter = EnvFilter::try_new(directives(level)).unwrap().to_string();
        for (name, level) in expect {
            assert!(filter.split(',').any(|part| part == format!("{name}={level}")), "{name} at {level} in {filter}");
        }
    }

    #[test]
    fn noisy_crates_are_heard_from_warn_up_unless_named() {
        check("info", &[("sqlx", "warn"), ("apalis", "warn")]);
        check("error", &[("sqlx", "error")]);
        check("info,sqlx=debug", &[("sqlx", "debug"), ("hyper", "warn")]);
    }

    #[test]
    fn a_level_that_is_none_is_found() {
        assert_eq!(wrong_part("info,tidemark_worker=debug"), None);
        assert_eq!(wrong_part("inof"), Some("inof"));
        assert_eq!(wrong_part("info,sqlx=loud"), Some("loud"));
    }

    #[test]
    fn a_second_init_is_refused_and_the_first_goes_on() {
        let _guard = init(LogFormat::Json, "off").unwrap();
        assert!(matches!(init(LogFormat::Text, "info"), Err(TelemetryError::Installed(_))));
    }
}
