//! Turns what the workers tell into lines that people can follow. Quiet windows make no line.

use std::fmt::Display;
use std::io::IsTerminal;
use std::time::Instant;

use tidemark_core::window::Reader;
use tidemark_worker::event::Event;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::verbs::say;

/// Prints lines with the seconds since the start before them; or none at all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    started: Instant,
    silent: bool,
    coloured: bool,
}

impl Printer {
    pub(crate) fn new(silent: bool) -> Self {
        Self {
            started: Instant::now(),
            silent,
            coloured: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// A line without time, for addresses and headings.
    pub(crate) fn plain(&self, line: impl Display) {
        if !self.silent {
            say(line);
        }
    }

    pub(crate) fn line(&self, colour: Colour, words: impl Display) {
        if self.silent {
            return;
        }
        let seconds = self.seconds();
        match colour.code().filter(|_| self.coloured) {
            Some(code) => say(format_args!("\x1b[2m{seconds:7.1}s\x1b[0m  \x1b[{code}m{words}\x1b[0m")),
            None => say(format_args!("{seconds:7.1}s  {words}")),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    Plain,
    /// Read from the CRM.
    Read,
    /// Sent to the CRM.
    Sent,
    /// Tried again by itself.
    Later,
    /// Wants a person.
    Alarm,
    Good,
}

impl Colour {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Read => Some("36"),
            Self::Sent => Some("35"),
            Self::Later => Some("33"),
            Self::Alarm => Some("1;31"),
            Self::Good => Some("32"),
        }
    }
}

/// Prints until the workers are gone.
pub(crate) async fn print(mut events: UnboundedReceiver<Event>, printer: Printer) {
    while let Some(event) = events.recv().await {
        if let Some((colour, words)) = line(&event) {
            printer.line(colour, words);
        }
    }
}

fn line(event: &Event) -> Option<(Colour, String)> {
    let pad = |stream: &str, verb: &str| format!("{stream:<17} {verb:<9}");
    Some(match event {
        Event::WindowCompleted { records: 0, .. } => return None,
        // What it reads again was mostly read before; only what it still had to change is news.
        Event::WindowCompleted { reader: Reader::Settled | Reader::Sweep, rows_changed: 0, .. } => return None,
        Event::WindowCompleted { stream, reader, records, rows_changed, .. } => {
            let late = match reader {
                Reader::Fast => "",
                Reader::Settled => ", seen late",
                Reader::Sweep => ", found by the sweep",
            };
            let words =
                format!("{} {}, {} changed{late}", pad(stream, "read"), count(*records, "record"), count(*rows_changed, "row"));
            (Colour::Read, words)
        }
        Event::PageApplied { stream, records, .. } => {
            (Colour::Read, format!("{} {} so far", pad(stream, "reading"), count(*records, "record")))
        }
        Event::Pushed { stream, verb, records } => {
            (Colour::Sent, format!("{} {}", pad(stream, verb), count(i64::try_from(*records).unwrap_or(i64::MAX), "record")))
        }
        Event::Failed { stream, what, cause } => {
            (Colour::Later, format!("{} {what} again later: {cause}", pad(stream, "failed")))
        }
        Event::Paused { connection, cause } => (
            Colour::Alarm,
            format!("{} until its credentials are taken or somebody resumes it: {cause}", pad(connection, "paused")),
        ),
    })
}

pub(crate) fn count(number: i64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(reader: Reader, records: i64, rows_changed: i64) -> Option<String> {
        line(&Event::WindowCompleted { stream: "hubspot.contacts".into(), reader, records, rows_changed, pages: 1 })
            .map(|(_, words)| words)
    }

    #[test]
    fn a_quiet_window_makes_no_line() {
        assert_eq!(completed(Reader::Fast, 0, 0), None);
        assert_eq!(completed(Reader::Settled, 12, 0), None);
    }

    #[test]
    fn a_window_with_news_makes_one() {
        assert_eq!(completed(Reader::Fast, 1, 0).unwrap(), "hubspot.contacts  read      1 record, 0 rows changed");
        assert!(completed(Reader::Settled, 9, 2).unwrap().ends_with("9 records, 2 rows changed, seen late"));
    }
}
